//! File access that other users cannot redirect: relative to a folder's handle, never through a symlink, and never to a
//! second name of another user's file.
//!
//! Root works in folders of other users (`restore`, `import` and `run` in the daemon's state directory). The owner of
//! such a folder can create a symlink or a hard link to any file of the host; root must not write, truncate or give
//! away that file.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid};

pub use self::regular::{open_regular, read_regular};

mod regular;

/// A folder by its handle. It stays this folder, whatever happens to its path.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    handle: OwnedFd,
    uid: u32,
    gid: u32,
}

impl Folder {
    /// Opens it. The path itself may be a symlink: its caller decides.
    ///
    /// # Errors
    ///
    /// The error of the system, also if the path is no folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        let handle = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let stat = rustix::fs::fstat(&handle)?;
        Ok(Self { path: path.to_owned(), handle, uid: stat.st_uid, gid: stat.st_gid })
    }

    /// Opens it, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn make(path: &Path, mode: u32) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(mode).create(path)?;
        Self::open(path)
    }

    /// The folder that `file` is in.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn of(file: &Path) -> io::Result<Self> {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        Self::open(parent.unwrap_or(Path::new(".")))
    }

    /// Opens a regular file for reading and writing, and creates it with `mode` if it does not exist. Fails for a
    /// symlink, for anything but a regular file, and in another user's folder for a file with a second name.
    ///
    /// # Errors
    ///
    /// The error of the system, also for a symlink, a file of another kind, or a foreign file with a second name.
    pub fn open_or_make(&self, name: &str, mode: u32) -> io::Result<File> {
        // Not blocking: a FIFO must not block the caller. It has no effect on regular files.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.handle, name, flags, Mode::from_raw_mode(mode))
            .map_err(|error| self.refused(name, error))?;
        self.judge(name, &rustix::fs::fstat(&file)?)?;
        Ok(File::from(file))
    }

    /// Creates a new file.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, or another error of the system.
    pub fn create_new(&self, name: &str, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.handle, name, flags, Mode::from_raw_mode(mode))?;
        Ok(File::from(file))
    }

    /// Whether the file exists; an error if it must not be opened by its name.
    ///
    /// # Errors
    ///
    /// The file exists and must not be opened by its name.
    pub fn check(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => self.judge(name, &stat).map(|()| true),
            Err(error) if error == rustix::io::Errno::NOENT => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes the owner of a file to that of the folder: a file of root in the daemon's folder must be the daemon's.
    pub fn give(&self, file: &File) {
        let Ok(stat) = rustix::fs::fstat(file) else { return };
        if (stat.st_uid, stat.st_gid) != (self.uid, self.gid) && stat.st_nlink == 1 {
            // Only root can, and only root needs to.
            let _ = rustix::fs::fchown(file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)));
        }
    }

    /// Removes a name; a missing one is no error.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Err(error) if error != rustix::io::Errno::NOENT => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Creates a second name, which must be free. A symlink is not followed.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, or another error of the system.
    pub fn link(&self, name: &str, other: &str) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.handle, name, &self.handle, other, AtFlags::empty())?)
    }

    /// Renames a file; replaces the target.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn rename(&self, name: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.handle, name, &self.handle, to)?)
    }

    /// Renames a file to a free name.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, or another error of the system.
    pub fn rename_new(&self, name: &str, to: &str) -> io::Result<()> {
        use rustix::io::Errno;
        match rustix::fs::renameat_with(&self.handle, name, &self.handle, to, RenameFlags::NOREPLACE) {
            // Some file systems need two steps for that.
            Err(error) if error == Errno::INVAL || error == Errno::NOSYS || error == Errno::OPNOTSUPP => {
                self.link(name, to)?;
                self.remove(name)
            }
            renamed => Ok(renamed?),
        }
    }

    /// Syncs the folder.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.handle)?)
    }

    /// Whether the name refers to `file` now.
    pub fn has(&self, name: &str, file: &File) -> bool {
        let there = rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW);
        let mine = rustix::fs::fstat(file);
        matches!((there, mine), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    }

    /// Path of a name, for callers that need one.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn judge(&self, name: &str, stat: &Stat) -> io::Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            let what = if kind == FileType::Symlink { "a symlink" } else { "not a regular file" };
            return Err(io::Error::other(format!("{name} is {what}; it was left as it is")));
        }
        // Our own second names are harmless; in another user's folder they may be foreign.
        if stat.st_nlink > 1 && self.uid != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other(format!("{name} has a second name (a hard link); it was left as it is")));
        }
        Ok(())
    }

    fn refused(&self, name: &str, error: rustix::io::Errno) -> io::Error {
        // The kernel's message for a symlink, "too many levels of symbolic links", is misleading.
        self.check(name).err().unwrap_or_else(|| error.into())
    }
}

/// Creates something under the first free name of `base`, `base-2`, `base-3` and so on. Returns the name, and what `create`
/// returned for it.
///
/// # Errors
///
/// The error of `create`, except that a name is taken.
pub fn under_free_name<T>(base: &str, mut create: impl FnMut(&str) -> io::Result<T>) -> io::Result<(String, T)> {
    let mut name = base.to_owned();
    let mut taken = 1;
    loop {
        match create(&name) {
            Ok(created) => return Ok((name, created)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                taken += 1;
                name = format!("{base}-{taken}");
            }
            Err(error) => return Err(error),
        }
    }
}

/// Identity of a file: if a name has another one, the file was moved, removed or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Identity of the file at this path; `None` if there is none.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(there) => Ok(Some(Self { device: there.dev(), inode: there.ino() })),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Which file a handle is of.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn of_file(file: &File) -> io::Result<Self> {
        let mine = file.metadata()?;
        Ok(Self { device: mine.dev(), inode: mine.ino() })
    }
}

/// A file that is written completely or not at all: under a random name, moved into place at the end.
#[derive(Debug)]
pub struct AtomicFile {
    folder: Folder,
    name: String,
    part: String,
    replace: bool,
    file: File,
    done: bool,
}

impl AtomicFile {
    /// Begins the file `target`, which must not exist unless it may be replaced. `mode` applies from the first byte on.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the target must not be replaced, `InvalidInput` if it is a device, a pipe or a link, which never is,
    /// or another error of the system.
    pub fn begin(target: &Path, replace: bool, mode: u32) -> io::Result<Self> {
        let name = target.file_name().and_then(|name| name.to_str());
        let Some(name) = name else { return Err(io::Error::other("its name is not UTF-8, or there is none")) };
        let folder = Folder::of(target)?;
        if folder.has_regular(name)? && !replace {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        folder.clear_left(|target| target == name);
        let part = format!("{name}.{}{PART}", uuid::Uuid::new_v4().simple());
        let file = folder.create_new(&part, mode)?;
        // Whatever the umask; and locked while it is written, so that it is not removed as stale.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        let _ = file.try_lock();
        Ok(Self { folder, name: name.to_owned(), part, replace, file, done: false })
    }

    /// Handle for writing.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Path for writing.
    pub fn part(&self) -> PathBuf {
        self.folder.at(&self.part)
    }

    /// Syncs it and moves it into place.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        if !self.folder.has(&self.part, &self.file) {
            return Err(io::Error::other("somebody else took it away while it was written"));
        }
        if self.replace {
            self.folder.has_regular(&self.name)?;
            self.folder.rename(&self.part, &self.name)?;
        } else {
            self.folder.rename_new(&self.part, &self.name)?;
        }
        self.done = true;
        self.folder.sync()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.done {
            for name in std::iter::once(self.part.clone()).chain(companions(&self.part)) {
                let _ = self.folder.remove(&name);
            }
        }
    }
}

/// Suffix of a file that is being written.
const PART: &str = ".tmp";

fn companions(name: &str) -> impl Iterator<Item = String> {
    ["-journal", "-wal", "-shm"].map(|suffix| format!("{name}{suffix}")).into_iter()
}

impl Folder {
    /// Whether there is a regular file of this name; an error if there is something else.
    fn has_regular(&self, name: &str) -> io::Result<bool> {
        let Ok(found) = rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(false) };
        if FileType::from_raw_mode(found.st_mode).is_file() {
            return Ok(true);
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
    }

    /// Removes stale files of killed writers, if they are ours and unlocked: those of the targets that `is_target` names.
    pub fn clear_left(&self, is_target: impl Fn(&str) -> bool) {
        let Ok(handle) = rustix::fs::openat(CWD, &self.path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) else {
            return;
        };
        let Ok(entries) = rustix::fs::Dir::new(handle) else { return };
        let me = rustix::process::geteuid().as_raw();
        for entry in entries.flatten() {
            let Ok(left) = entry.file_name().to_str() else { continue };
            let target = left.strip_suffix(PART).and_then(|rest| rest.rsplit_once('.'));
            if target.is_none_or(|(target, random)| random.len() != 32 || !is_target(target)) {
                continue;
            }
            let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let Ok(file) = rustix::fs::openat(&self.handle, left, flags, Mode::empty()).map(File::from) else {
                continue;
            };
            let is_ours = rustix::fs::fstat(file.as_fd()).is_ok_and(|stat| stat.st_uid == me);
            if is_ours && file.try_lock().is_ok() {
                for name in std::iter::once(left.to_owned()).chain(companions(left)) {
                    let _ = self.remove(&name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
