//! Files that commands write for people: there whole or not at all, and never through a name that somebody else put there.

use std::{io, path::Path};

use super::{Exit, Failure, Result};
use crate::adapters::files::AtomicFile;

/// For the person who typed the command alone.
pub const PRIVATE: u32 = 0o600;
/// For everybody to read.
pub const READABLE: u32 = 0o644;

/// Begins the file that is to be `target`, which must not be there unless it may be replaced.
pub fn begin(target: &Path, replace: bool, mode: u32) -> Result<AtomicFile> {
    if target.is_dir() {
        return Err(Failure::new(Exit::Usage, format!("{} is a folder; name a file in it", target.display())));
    }
    AtomicFile::begin(target, replace, mode).map_err(|error| failure(target, &error))
}

/// Puts it in its place.
pub fn finish(file: AtomicFile, target: &Path) -> Result<()> {
    file.finish().map_err(|error| failure(target, &error))
}

fn failure(target: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return Failure::new(Exit::Usage, format!("{} is there already; --force replaces it", target.display()));
    }
    Failure::new(Exit::Failed, format!("cannot write {}: {error}", target.display()))
}
