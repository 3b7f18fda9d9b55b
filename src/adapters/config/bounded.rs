//! Reads a file of the configuration within bounds of time and size: a pipe without a writer, or an endless device,
//! must not block the daemon's start or a reload.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
    io::Errno,
};

/// Maximum time to read a file. A file on a disk is read at once; a pipe depends on its writer.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Maximum size of all files: ten thousand schedules take 3 MiB.
pub(super) const SIZE_LIMIT: u64 = 16 << 20;

/// Reads the file at `path`.
///
/// # Errors
///
/// `TimedOut` if a pipe does not end within [`TIME_LIMIT`], `FileTooLarge` above [`SIZE_LIMIT`], else the system's
/// error.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_within(path, TIME_LIMIT, SIZE_LIMIT)
}

/// Like `read`, with another maximum size.
pub fn read_up_to(path: &Path, size: u64) -> io::Result<Vec<u8>> {
    read_within(path, TIME_LIMIT, size)
}

fn read_within(path: &Path, time: Duration, size: u64) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + time;
    // Opening one fails with words of the system that say nothing of it.
    if std::fs::metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a socket"));
    }
    // With the flag, opening a pipe without a writer does not block. It has no effect on a file on a disk.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut data = Vec::new();
    loop {
        // Before the first writer has come, a pipe is not readable; reading it then would give an empty file.
        wait_until_readable(&file, deadline)?;
        let room = (size + 1).saturating_sub(data.len() as u64);
        match (&mut file).take(room).read_to_end(&mut data) {
            Ok(_) if data.len() as u64 > size => return Err(io::ErrorKind::FileTooLarge.into()),
            Ok(_) => return Ok(data),
            // The bytes read so far stay in `data`.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn wait_until_readable(file: &std::fs::File, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, path::PathBuf, sync::mpsc, thread};

    use super::*;

    const GENEROUS: Duration = Duration::from_mins(1);

    fn pipe() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        (folder, path)
    }

    #[test]
    fn a_pipe_is_read_until_its_writer_closes_it() {
        let (_folder, path) = pipe();
        let (first_is_written, wait) = mpsc::channel();
        let writer = {
            let path = path.clone();
            thread::spawn(move || {
                let mut pipe = OpenOptions::new().write(true).open(path).unwrap();
                pipe.write_all(b"one ").unwrap();
                first_is_written.send(()).unwrap();
                // More than a pipe holds: the end is written while the reader reads.
                pipe.write_all(&vec![b'x'; 1 << 18]).unwrap();
            })
        };
        let data = read_within(&path, GENEROUS, SIZE_LIMIT).unwrap();
        wait.recv().unwrap();
        writer.join().unwrap();
        assert_eq!((data.len(), data.starts_with(b"one xxx")), (4 + (1 << 18), true));
    }

    #[test]
    fn a_pipe_that_does_not_end_is_given_up() {
        let (_folder, path) = pipe();
        let short = Duration::from_millis(50);
        assert_eq!(read_within(&path, short, SIZE_LIMIT).unwrap_err().kind(), io::ErrorKind::TimedOut, "no writer");
        // Opened for both, it has a writer that never closes it.
        let mut writer = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        writer.write_all(b"half").unwrap();
        assert_eq!(read_within(&path, short, SIZE_LIMIT).unwrap_err().kind(), io::ErrorKind::TimedOut, "no end");
    }

    #[test]
    fn size_is_bounded() {
        let kind = |path: &Path, size| read_within(path, GENEROUS, size).map_err(|error| error.kind());
        assert_eq!(kind(Path::new("/dev/zero"), 1000), Err(io::ErrorKind::FileTooLarge));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [b'x'; 1000]).unwrap();
        assert_eq!(kind(&path, 999), Err(io::ErrorKind::FileTooLarge));
        assert_eq!(kind(&path, 1000), Ok(vec![b'x'; 1000]));
        assert_eq!(kind(folder.path(), 1000), Err(io::ErrorKind::IsADirectory));
        assert_eq!(kind(&folder.path().join("absent"), 1000), Err(io::ErrorKind::NotFound));
    }
}
