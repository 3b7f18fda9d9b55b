//! The checksum of a backup, in a file beside it that `sha256sum --check` reads as well: SQLite does not notice a byte of a
//! text that has become another one.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::backup_error::BackupError;
use crate::adapters::files::{AtomicFile, open_regular, read_regular};

const SUFFIX: &str = ".sha256";
/// Maximum size of such a file: a checksum and a name.
const LARGEST: u64 = 16 * 1024;
const BUFFER: usize = 1 << 16;

/// What is known of a backup by its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// It is as it was made.
    Right,
    /// It has none: an earlier version made it, or it was copied without it.
    Missing,
}

impl Checksum {
    /// Word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Missing => "missing",
        }
    }
}

/// The file with the checksum of `backup`.
pub fn checksum_file(backup: &Path) -> PathBuf {
    let mut name = backup.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

/// Writes the checksum of a finished backup beside it, and returns the file.
///
/// # Errors
///
/// [`BackupError::File`] if the backup cannot be read or the file not be written.
pub fn write_checksum(backup: &Path, mode: u32) -> Result<PathBuf, BackupError> {
    let digest = digest(backup).map_err(failed("read", backup))?;
    let target = checksum_file(backup);
    let write = || {
        let file = AtomicFile::begin(&target, true, mode)?;
        file.file().write_all(line(&digest, backup).as_bytes())?;
        file.finish()
    };
    write().map_err(failed("write", &target))?;
    Ok(target)
}

/// Removes the checksum of a backup that is about to be replaced or removed: none is better than a wrong one.
///
/// # Errors
///
/// [`BackupError::File`] if it cannot be removed, or is no regular file.
pub fn remove_checksum(backup: &Path) -> Result<(), BackupError> {
    let target = checksum_file(backup);
    let removed = match fs::symlink_metadata(&target) {
        Ok(found) if !found.is_file() => Err(io::Error::other("it is no regular file")),
        Ok(_) => fs::remove_file(&target),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(failed("replace", &target))
}

/// Compares a backup with its checksum.
///
/// # Errors
///
/// [`BackupError::Damaged`] if they differ or the checksum is none, [`BackupError::File`] if one cannot be read.
pub fn verify_checksum(backup: &Path) -> Result<Checksum, BackupError> {
    let file = checksum_file(backup);
    let text = match read_regular(&file, LARGEST) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checksum::Missing),
        Err(error) => return Err(failed("read", &file)(error)),
    };
    let damaged = |what| Err(BackupError::Damaged { path: backup.to_owned(), what });
    let word = text.trim_start_matches('\\').split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    if word.len() != 2 * Sha256::output_size() || !word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return damaged(format!("{} has no checksum of it", file.display()));
    }
    let found = digest(backup).map_err(failed("read", backup))?;
    if found != word {
        return damaged(format!(
            "its checksum is not that of {}: since it was made, it was changed or the disk lost a bit; take another backup",
            file.display()
        ));
    }
    Ok(Checksum::Right)
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = open_regular(path)?;
    let (mut sum, mut buffer) = (Sha256::new(), vec![0; BUFFER]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(sum.finalize())),
            length => sum.update(&buffer[..length]),
        }
    }
}

/// As `sha256sum` writes it: a name with line ends is escaped.
fn line(digest: &str, backup: &Path) -> String {
    let name = backup.file_name().unwrap_or_default().to_string_lossy();
    if name.contains(['\\', '\n', '\r']) {
        let name = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        return format!("\\{digest}  {name}\n");
    }
    format!("{digest}  {name}\n")
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { step, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_is_noticed_and_a_renamed_backup_stays_right() {
        let place = tempfile::tempdir().unwrap();
        let backup = place.path().join("a.db");
        fs::write(&backup, "x".repeat(3 * BUFFER + 7)).unwrap();
        assert_eq!(verify_checksum(&backup).unwrap(), Checksum::Missing);
        let file = write_checksum(&backup, 0o600).unwrap();
        assert_eq!(verify_checksum(&backup).unwrap(), Checksum::Right);
        for at in [0, BUFFER, 3 * BUFFER + 6] {
            let mut bytes = fs::read(&backup).unwrap();
            bytes[at] ^= 1;
            fs::write(&backup, &bytes).unwrap();
            let error = verify_checksum(&backup).unwrap_err().to_string();
            assert!(error.contains("its checksum is not that of") && error.contains("a.db.sha256"), "{error}");
            bytes[at] ^= 1;
            fs::write(&backup, &bytes).unwrap();
        }
        let moved = place.path().join("b.db");
        fs::rename(&backup, &moved).unwrap();
        fs::rename(&file, checksum_file(&moved)).unwrap();
        assert_eq!(verify_checksum(&moved).unwrap(), Checksum::Right);
        for text in ["", "\n", "abc  b.db\n", "\u{fffd}"] {
            fs::write(checksum_file(&moved), text).unwrap();
            assert!(verify_checksum(&moved).unwrap_err().to_string().contains("has no checksum of it"), "{text:?}");
        }
        remove_checksum(&moved).unwrap();
        remove_checksum(&moved).unwrap();
        assert_eq!(verify_checksum(&moved).unwrap(), Checksum::Missing);
        std::os::unix::fs::symlink(&moved, checksum_file(&moved)).unwrap();
        assert!(remove_checksum(&moved).is_err() && write_checksum(&moved, 0o600).is_err());
        assert!(moved.exists(), "no link is followed");
    }

    #[test]
    fn lines_are_those_of_sha256sum() {
        let place = tempfile::tempdir().unwrap();
        for name in ["a.db", "it's \"one\".db", "back\\slash\nline.db"] {
            let backup = place.path().join(name);
            fs::write(&backup, name).unwrap();
            let file = write_checksum(&backup, 0o600).unwrap();
            let mut command = std::process::Command::new("sha256sum");
            let checked = command.arg("--check").arg("--quiet").arg(&file).current_dir(place.path()).status();
            match checked {
                Ok(status) => assert!(status.success(), "{name:?}"),
                Err(_) => println!("skipped: there is no sha256sum"),
            }
        }
    }
}
