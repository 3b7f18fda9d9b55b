//! File names of the history in the state directory, and the lock that makes its writer the only one.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use super::StoreError;
use crate::adapters::files::Folder;

/// The database's file in the state directory.
pub const DATABASE_FILE: &str = "imagebaked.db";
/// The file that the writer has locked.
pub(super) const LOCK_FILE: &str = "lock";
/// Files that SQLite may keep beside a database.
pub(super) const COMPANIONS: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Readable by the daemon and its group: output of hooks is in it.
pub(super) fn state_folder(state_dir: &Path) -> Result<Folder, StoreError> {
    Folder::make(state_dir, 0o750).map_err(|source| StoreError::StateDir { dir: state_dir.to_owned(), source })
}

pub(super) fn lock(folder: &Folder, state_dir: &Path) -> Result<File, StoreError> {
    let unusable = |source| StoreError::StateDir { dir: state_dir.to_owned(), source };
    let file = folder.open_or_make(LOCK_FILE, 0o640).map_err(unusable)?;
    folder.give(&file);
    match file.try_lock() {
        // The former owner may have removed it: then this locks an unlinked file.
        Ok(()) if folder.has(LOCK_FILE, &file) => Ok(file),
        Ok(()) | Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: state_dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}
