//! Files that nobody else can slip something under: opened relative to a folder's handle, never through a symlink, and
//! never a second name of somebody else's file.
//!
//! Root works in folders of other users (`restore`, `import` and `run` in the daemon's state directory). Whoever owns such a
//! folder can put a symlink or a hard link of any file of the host there; what root writes, truncates or gives away must not
//! be that file.

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

/// A folder by its handle. It stays this folder, whatever becomes of its path.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    handle: OwnedFd,
    uid: u32,
    gid: u32,
}

impl Folder {
    /// Opens it. The path itself may be a symlink: whoever names the folder decides which one it is.
    pub fn open(path: &Path) -> io::Result<Self> {
        let handle = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let stat = rustix::fs::fstat(&handle)?;
        Ok(Self { path: path.to_owned(), handle, uid: stat.st_uid, gid: stat.st_gid })
    }

    /// Opens it, and makes it first where it is not there.
    pub fn make(path: &Path, mode: u32) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(mode).create(path)?;
        Self::open(path)
    }

    /// The folder that `file` is in.
    pub fn of(file: &Path) -> io::Result<Self> {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        Self::open(parent.unwrap_or(Path::new(".")))
    }

    /// Opens a regular file for reading and writing, and makes it with `mode` where it is not there. Fails for a symlink,
    /// for anything that is no regular file, and in a folder of somebody else for a file with a second name.
    pub fn open_or_make(&self, name: &str, mode: u32) -> io::Result<File> {
        // Not blocking: a FIFO must not hold whoever opens it. It has no effect on regular files.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.handle, name, flags, Mode::from_raw_mode(mode))
            .map_err(|error| self.refused(name, error))?;
        self.judge(name, &rustix::fs::fstat(&file)?)?;
        Ok(File::from(file))
    }

    /// Makes a file that was not there.
    pub fn create_new(&self, name: &str, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.handle, name, flags, Mode::from_raw_mode(mode))?;
        Ok(File::from(file))
    }

    /// Whether there is such a file; an error where what is there is not to be opened by its name.
    pub fn check(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => self.judge(name, &stat).map(|()| true),
            Err(error) if error == rustix::io::Errno::NOENT => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a file to whom the folder belongs: one that root makes in the daemon's folder must be the daemon's.
    pub fn give(&self, file: &File) {
        let Ok(stat) = rustix::fs::fstat(file) else { return };
        if (stat.st_uid, stat.st_gid) != (self.uid, self.gid) && stat.st_nlink == 1 {
            // Only root can, and for nobody else is there a need.
            let _ = rustix::fs::fchown(file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)));
        }
    }

    /// Removes a name; one that is not there is as good.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Err(error) if error != rustix::io::Errno::NOENT => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Gives a file a second name, which must be free. A symlink is not followed.
    pub fn link(&self, name: &str, other: &str) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.handle, name, &self.handle, other, AtFlags::empty())?)
    }

    /// Renames a file; what has the new name is replaced.
    pub fn rename(&self, name: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.handle, name, &self.handle, to)?)
    }

    /// Renames a file to a name that is free.
    pub fn rename_new(&self, name: &str, to: &str) -> io::Result<()> {
        use rustix::io::Errno;
        match rustix::fs::renameat_with(&self.handle, name, &self.handle, to, RenameFlags::NOREPLACE) {
            // Some file systems cannot do that in one step; two can.
            Err(error) if error == Errno::INVAL || error == Errno::NOSYS || error == Errno::OPNOTSUPP => {
                self.link(name, to)?;
                self.remove(name)
            }
            renamed => Ok(renamed?),
        }
    }

    /// Puts on the disk which names there are.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.handle)?)
    }

    /// Whether `file` is what has this name now.
    pub fn has(&self, name: &str, file: &File) -> bool {
        let there = rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW);
        let mine = rustix::fs::fstat(file);
        matches!((there, mine), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    }

    /// Where a name is, for those who can only open by path.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn judge(&self, name: &str, stat: &Stat) -> io::Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            let what = if kind == FileType::Symlink { "a symlink" } else { "not a regular file" };
            return Err(io::Error::other(format!("{name} is {what}; it was left as it is")));
        }
        // A second name that we gave it ourselves is none to fear; in a folder of somebody else anybody may have.
        if stat.st_nlink > 1 && self.uid != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other(format!("{name} has a second name (a hard link); it was left as it is")));
        }
        Ok(())
    }

    fn refused(&self, name: &str, error: rustix::io::Errno) -> io::Error {
        // The kernel's words for a symlink, "too many levels of symbolic links", lead astray.
        self.check(name).err().unwrap_or_else(|| error.into())
    }
}

/// The identity of a file: a name with another one has been moved, removed or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// What has this path now; `None` where there is nothing.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(there) => Ok(Some(Self { device: there.dev(), inode: there.ino() })),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Which file a handle is of.
    pub fn of_file(file: &File) -> io::Result<Self> {
        let mine = file.metadata()?;
        Ok(Self { device: mine.dev(), inode: mine.ino() })
    }
}

/// A file that is there whole or not at all: written under a name that nobody can guess, put in its place at the end.
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
    /// Begins the file that is to be `target`, which must not be there unless it may be replaced. `mode` holds from the
    /// first byte on.
    pub fn begin(target: &Path, replace: bool, mode: u32) -> io::Result<Self> {
        let name = target.file_name().and_then(|name| name.to_str());
        let Some(name) = name else { return Err(io::Error::other("its name is not UTF-8, or there is none")) };
        let folder = Folder::of(target)?;
        if !replace && rustix::fs::statat(&folder.handle, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        folder.clear_left(name);
        let part = format!("{name}.{}{PART}", uuid::Uuid::new_v4().simple());
        let file = folder.create_new(&part, mode)?;
        // As asked for, whatever the umask; and locked for as long as it is written, so that it is not cleared away.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        let _ = file.try_lock();
        Ok(Self { folder, name: name.to_owned(), part, replace, file, done: false })
    }

    /// Where it is written.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it is written, for those who write it by name.
    pub fn part(&self) -> PathBuf {
        self.folder.at(&self.part)
    }

    /// Puts it in its place, once it is on the disk.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        if !self.folder.has(&self.part, &self.file) {
            return Err(io::Error::other("somebody else took it away while it was written"));
        }
        if self.replace {
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

/// How the name of a file ends that is being written.
const PART: &str = ".tmp";

fn companions(name: &str) -> impl Iterator<Item = String> {
    ["-journal", "-wal", "-shm"].map(|suffix| format!("{name}{suffix}")).into_iter()
}

impl Folder {
    /// Clears away what killed writers of `name` left, if it is ours and nobody writes it any more.
    fn clear_left(&self, name: &str) {
        let Ok(handle) = rustix::fs::openat(CWD, &self.path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) else {
            return;
        };
        let Ok(entries) = rustix::fs::Dir::new(handle) else { return };
        let me = rustix::process::geteuid().as_raw();
        for entry in entries.flatten() {
            let Ok(left) = entry.file_name().to_str() else { continue };
            let random = left.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(PART));
            if random.is_none_or(|random| random.len() != 32) {
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
