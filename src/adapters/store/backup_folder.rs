//! The folder of the scheduled backups: one file per backup and its checksum, named after the owner tag and the instant in UTC
//! (`imagebaked-20270301T030000Z.db`). Only files of such a name that this user owns are ever removed.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use chrono::{DateTime, NaiveDateTime, Utc};
use futures_util::future::BoxFuture;

use super::{
    Reader,
    backup_error::BackupError,
    checksum::{remove_checksum, verify_checksum, write_checksum},
};
use crate::adapters::files::{AtomicFile, Folder};

/// Readable by the group, which may read the history as well.
const MODE: u32 = 0o640;
/// The folder, if it is not there yet.
const FOLDER_MODE: u32 = 0o750;
/// The instant in a name.
const STAMP: &str = "%Y%m%dT%H%M%SZ";
const SUFFIX: &str = ".db";
/// Longer owner tags are cut: names have at most 255 bytes.
const LONGEST_OWNER: usize = 64;

/// The folder of the scheduled backups of one daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFolder {
    path: PathBuf,
    /// First part of each name.
    prefix: String,
}

/// A backup that was complete and verified when it got its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFile {
    /// Its name in the folder.
    pub name: String,
    /// The instant in its name, in whole seconds.
    pub at: DateTime<Utc>,
    /// Its size.
    pub bytes: u64,
}

impl BackupFolder {
    /// The backups of the daemon with this owner tag. Two daemons of one account have different ones.
    pub fn new(path: &Path, owner: &str) -> Self {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let plain = owner.chars().take(LONGEST_OWNER).map(|letter| if is_plain(letter) { letter } else { '_' });
        Self { path: path.to_owned(), prefix: format!("{}-", plain.collect::<String>()) }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn name(&self, at: DateTime<Utc>) -> String {
        format!("{}{}{SUFFIX}", self.prefix, at.format(STAMP))
    }

    /// The instant in a name of ours.
    fn instant(&self, name: &str) -> Option<DateTime<Utc>> {
        let stamp = name.strip_prefix(&self.prefix)?.strip_suffix(SUFFIX)?;
        let at = NaiveDateTime::parse_from_str(stamp, STAMP).ok()?.and_utc();
        // The parser also takes other spellings of the same instant.
        (self.name(at) == name).then_some(at)
    }

    /// Its backups, the oldest first; none if there is no such folder. Reads the disk: not for the threads of the runtime.
    ///
    /// # Errors
    ///
    /// [`BackupError::File`] if the folder cannot be read.
    pub fn list(&self) -> Result<Vec<BackupFile>, BackupError> {
        self.list_of(Some(rustix::process::geteuid().as_raw()))
    }

    /// The newest backup that is not later than `now`, whoever made it: for a restore by root.
    ///
    /// # Errors
    ///
    /// [`BackupError::File`] if the folder cannot be read.
    pub fn newest_of_anybody(&self, now: DateTime<Utc>) -> Result<Option<BackupFile>, BackupError> {
        Ok(self.list_of(None)?.into_iter().rfind(|file| file.at <= now))
    }

    fn list_of(&self, user: Option<u32>) -> Result<Vec<BackupFile>, BackupError> {
        let unread = |source| BackupError::File { step: "read", path: self.path.clone(), source };
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unread(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(unread)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Some(at) = self.instant(&name) else { continue };
            // Of the name itself, not of what a symlink points to.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() && user.is_none_or(|user| metadata.uid() == user) {
                files.push(BackupFile { name, at, bytes: metadata.len() });
            }
        }
        files.sort_by_key(|file| file.at);
        Ok(files)
    }

    /// The newest backup that is not later than `now`: a clock that was ahead gave it a name of the future.
    ///
    /// # Errors
    ///
    /// [`BackupError::File`] if the folder cannot be read.
    pub fn newest(&self, now: DateTime<Utc>) -> Result<Option<BackupFile>, BackupError> {
        Ok(self.list()?.into_iter().rfind(|file| file.at <= now))
    }

    /// Copies the history as it is at `now`, and verifies the copy as a restore does. A file that has the name of a
    /// backup is complete and verified, whatever happens meanwhile.
    ///
    /// # Errors
    ///
    /// [`BackupError`] if the copy cannot be written, or is not a complete history. No file is left then.
    pub async fn back_up(&self, reader: &Reader, now: DateTime<Utc>) -> Result<BackupFile, BackupError> {
        let name = self.name(now);
        let (folder, target) = (self.clone(), self.path.join(&name));
        let file = blocking(&self.path, move || folder.begin(&target)).await?;
        let part = file.part();
        // Boxed: the compiler cannot show otherwise that the future of a caller may change its thread.
        let copied: BoxFuture<'_, _> = Box::pin(reader.back_up(&part, &silent));
        let sound = copied.await?;
        let target = self.path.join(&name);
        let sealed = move || {
            file.finish().map_err(unwritten(&target))?;
            write_checksum(&target, MODE)?;
            verify_checksum(&target)
        };
        blocking(&self.path, sealed).await?;
        let at = self.instant(&name).unwrap_or(now);
        Ok(BackupFile { name, at, bytes: sound.bytes })
    }

    /// Begins the file, after removing what killed processes have left of theirs.
    fn begin(&self, target: &Path) -> Result<AtomicFile, BackupError> {
        let folder = Folder::make(&self.path, FOLDER_MODE).map_err(unwritten(&self.path))?;
        folder.clear_left(|name| self.instant(name).is_some());
        AtomicFile::begin(target, false, MODE).map_err(unwritten(target))
    }

    /// Removes the oldest backups beyond `keep`. Backups later than `now` neither count nor are removed. Returns the removed
    /// names.
    ///
    /// # Errors
    ///
    /// [`BackupError::File`] for the first one that cannot be removed.
    pub fn remove_beyond(&self, keep: u32, now: DateTime<Utc>) -> Result<Vec<String>, BackupError> {
        let mut old: Vec<BackupFile> = self.list()?.into_iter().filter(|file| file.at <= now).collect();
        old.truncate(old.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX)));
        if old.is_empty() {
            return Ok(Vec::new());
        }
        let folder = Folder::open(&self.path).map_err(unwritten(&self.path))?;
        let mut removed = Vec::new();
        for BackupFile { name, .. } in old {
            remove_checksum(&self.path.join(&name))?;
            folder.remove(&name).map_err(|source| BackupError::File {
                step: "remove",
                path: self.path.join(&name),
                source,
            })?;
            removed.push(name);
        }
        Ok(removed)
    }
}

/// Runs what waits for the disk on a thread of its own: a folder on a network may not answer.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|ended| Err(unwritten(path)(io::Error::other(ended))))
}

/// Nobody waits for its progress.
fn silent(_: &str) {}

fn unwritten(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { step: "write", path, source }
}

#[cfg(test)]
#[path = "backup_folder_tests.rs"]
mod tests;
