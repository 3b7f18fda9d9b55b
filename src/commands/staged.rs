//! A file that is there whole or not at all: written beside its place, put there at the end. Whoever is killed in between
//! leaves `FILE.tmp`, which the next try begins anew.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{Exit, Failure, Result};

/// A file on its way.
#[derive(Debug)]
pub struct Staged {
    target: PathBuf,
    part: PathBuf,
    replace: bool,
    /// Locked, so that two tries do not write into one file.
    file: File,
}

impl Staged {
    /// Begins the file that is to be `target`, which must not be there unless it may be replaced.
    pub fn begin(target: &Path, replace: bool) -> Result<Self> {
        let mut part = target.as_os_str().to_owned();
        part.push(".tmp");
        let part = PathBuf::from(part);
        if target.is_dir() {
            return Err(Failure::new(Exit::Usage, format!("{} is a folder; name a file in it", target.display())));
        }
        free(target, replace)?;
        let failed = |error| failure(&part, &error);
        let options = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&part);
        let file = options.map_err(failed)?;
        let locked = file.try_lock().is_ok();
        // The one that held the lock may have put its file in place meanwhile: then this is that file.
        let same = |there: fs::Metadata| file.metadata().is_ok_and(|mine| mine.ino() == there.ino());
        if !locked || !fs::metadata(&part).is_ok_and(same) {
            let message = format!("somebody else is writing {}; wait, or choose another file", part.display());
            return Err(Failure::new(Exit::Failed, message));
        }
        file.set_len(0).map_err(failed)?;
        // SQLite would take what an earlier try left for a part of this one.
        for suffix in ["-journal", "-wal", "-shm"] {
            let mut left = part.as_os_str().to_owned();
            left.push(suffix);
            match fs::remove_file(&left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        Ok(Self { target: target.to_owned(), part, replace, file })
    }

    /// Where it is written, for those who write it by name.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// Where it is written.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Puts it in its place, once it is on the disk.
    pub fn finish(self) -> Result<()> {
        let failed = |error| failure(&self.target, &error);
        self.file.sync_all().map_err(failed)?;
        free(&self.target, self.replace)?;
        fs::rename(&self.part, &self.target).map_err(failed)?;
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Not there any more where it was put in place.
        let _ = fs::remove_file(&self.part);
    }
}

fn free(target: &Path, replace: bool) -> Result<()> {
    match target.symlink_metadata() {
        Ok(_) if replace => Ok(()),
        Ok(_) => Err(Failure::new(Exit::Usage, format!("{} is there already; --force replaces it", target.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failure(target, &error)),
    }
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()))
}
