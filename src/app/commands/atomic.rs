//! Files that commands write for people: written completely or not at all, never through an existing link.

use std::{io, path::Path};

use super::outcome::{Exit, Failure, Result};
use crate::adapters::files::AtomicFile;

/// Readable by the user only.
pub const PRIVATE: u32 = 0o600;
/// Readable by everybody.
pub const READABLE: u32 = 0o644;

/// Begins the file `target`, which must not exist unless it may be replaced.
pub fn begin(target: &Path, replace: bool, mode: u32) -> Result<AtomicFile> {
    if target.is_dir() {
        return Err(Failure::new(Exit::Usage, format!("{} is a folder; name a file in it", target.display())));
    }
    AtomicFile::begin(target, replace, mode).map_err(|error| failure(target, &error))
}

/// Moves it into place.
pub fn finish(file: AtomicFile, target: &Path) -> Result<()> {
    file.finish().map_err(|error| failure(target, &error))
}

fn failure(target: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::InvalidInput {
        return Failure::new(Exit::Usage, format!("{} is not replaced: {error}; name another", target.display()));
    }
    if error.kind() == io::ErrorKind::AlreadyExists {
        return Failure::new(Exit::Usage, format!("{} is there already; --force replaces it", target.display()));
    }
    let folder = target.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let message = format!("cannot write {}: there is no folder {}", target.display(), folder.display());
        return Failure::new(Exit::Failed, message);
    }
    Failure::new(Exit::Failed, format!("cannot write {}: {error}", target.display()))
}
