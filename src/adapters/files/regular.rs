//! Files that a command line or a variable names: only those that end are opened.
//!
//! A pipe would be waited for, a device need not end, and a folder or a socket cannot be read at all.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::fs::OFlags;

/// Opens a regular file, or the null device, for reading.
///
/// # Errors
///
/// The error of the system; `InvalidInput` or `IsADirectory`, with what it is, for anything else.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Before it is opened: opening has effects on some devices, and a socket cannot be opened.
    must_end(&std::fs::metadata(path)?)?;
    // Not blocking, in case somebody replaces it in between. It has no effect on regular files.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    must_end(&file.metadata()?)?;
    Ok(file)
}

/// Reads a regular file of at most `largest` bytes.
///
/// # Errors
///
/// As of [`open_regular`]; `FileTooLarge` if it is longer.
pub fn read_regular(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(largest.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {largest} bytes")));
    }
    Ok(bytes)
}

fn must_end(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let is_null = kind.is_char_device() && metadata.rdev() == rustix::fs::makedev(1, 3);
    let (error, what) = match () {
        () if kind.is_file() || is_null => return Ok(()),
        () if kind.is_dir() => (io::ErrorKind::IsADirectory, "a folder"),
        () if kind.is_fifo() => (io::ErrorKind::InvalidInput, "a pipe"),
        () if kind.is_socket() => (io::ErrorKind::InvalidInput, "a socket"),
        () => (io::ErrorKind::InvalidInput, "a device"),
    };
    Err(io::Error::new(error, format!("it is {what}, and only a regular file is read")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    #[test]
    fn only_what_ends_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "text").unwrap();
        symlink(at("file"), at("link")).unwrap();
        symlink(at("loop"), at("loop")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        let _listener = UnixListener::bind(at("socket")).unwrap();
        for name in ["file", "link"] {
            assert_eq!(read_regular(&at(name), 4).unwrap(), b"text");
            assert_eq!(read_regular(&at(name), 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        }
        assert_eq!(read_regular(Path::new("/dev/null"), 3).unwrap(), b"");
        let error = |path: &Path| open_regular(path).unwrap_err().to_string();
        for (path, what) in [
            (at("pipe"), "it is a pipe,"),
            (at("socket"), "it is a socket,"),
            (at(""), "it is a folder,"),
            ("/dev/zero".into(), "it is a device,"),
            (at("loop"), "Too many levels of symbolic links"),
            (at("missing"), "No such file"),
        ] {
            assert!(error(&path).starts_with(what), "{}", error(&path));
        }
    }
}
