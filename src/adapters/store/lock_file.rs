//! The lock file of the single writer, with a note about the database beside it.
//!
//! The note is outside of the database, so that another database under its name does not have it.

use std::{
    fmt,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Note about the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Marker {
    /// Token of the last start.
    pub run: String,
    /// Token before it, until the database has the new one.
    pub previous: Option<String>,
    /// Minimum number of committed transactions.
    pub steps: i64,
    /// Whether the last start ended in order.
    pub stopped: bool,
    /// Numbers that the database's header may have: one, or two until a checkpoint has written the second.
    pub numbers: Vec<i32>,
    /// Salts of the write-ahead log that belongs to the database.
    pub log: Option<String>,
}

/// First line, for people.
const HEAD: &str = "imagebaked: belongs to the history beside it, do not copy";
/// One sector: written completely or not at all.
const SIZE: usize = 512;

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let previous = self.previous.as_deref().unwrap_or("-");
        write!(f, "{HEAD}\nrun {}\nprevious {previous}\nsteps {}\nstopped {}\n", self.run, self.steps, self.stopped)?;
        let numbers: Vec<String> = self.numbers.iter().map(i32::to_string).collect();
        write!(f, "numbers {}\nlog {}\n", numbers.join(","), self.log.as_deref().unwrap_or("-"))
    }
}

impl FromStr for Marker {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut lines = text.trim_end_matches(['\0', '\n']).lines();
        if lines.next() != Some(HEAD) {
            return Err(());
        }
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ').map(str::to_owned);
        let run = value("run").ok_or(())?;
        let previous = value("previous").ok_or(())?;
        let steps = value("steps").and_then(|steps| steps.parse().ok()).ok_or(())?;
        let stopped = value("stopped").and_then(|stopped| stopped.parse().ok()).ok_or(())?;
        // An earlier version wrote neither.
        let numbers = value("numbers").unwrap_or_default();
        let numbers = numbers.split(',').filter_map(|number| number.parse().ok()).collect();
        let is_noted = |value: &String| value != "-";
        let log = value("log").filter(is_noted);
        Ok(Self { run, previous: Some(previous).filter(is_noted), steps, stopped, numbers, log })
    }
}

impl Marker {
    /// `None` if there is none, or if it is unreadable.
    pub fn read(lock: &File) -> Option<Self> {
        let mut bytes = [0; SIZE];
        let n = lock.read_at(&mut bytes, 0).ok()?;
        std::str::from_utf8(bytes.get(..n)?).ok()?.parse().ok()
    }

    fn write(&self, lock: &File) -> io::Result<()> {
        let mut bytes = [0; SIZE];
        let text = self.to_string();
        // Tokens and salts have a fixed length, and numbers have at most 19 digits: it fits.
        let n = text.len().min(SIZE);
        bytes[..n].copy_from_slice(&text.as_bytes()[..n]);
        lock.write_all_at(&bytes, 0)
    }
}

/// Lock file of the history that is open for writing. The lock lasts as long as this value; the system releases it
/// however the process ends.
#[derive(Debug)]
pub(super) struct LockFile {
    file: File,
    marker: Mutex<Option<Marker>>,
}

impl LockFile {
    /// Reads the note of a locked file.
    pub fn new(file: File) -> Self {
        let marker = Marker::read(&file);
        Self { file, marker: Mutex::new(marker) }
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// The note; `None` if there is none.
    pub fn marker(&self) -> Option<Marker> {
        self.locked().clone()
    }

    /// Whether the file has a marker of which this is true.
    pub fn notes(&self, is_true: impl FnOnce(&Marker) -> bool) -> bool {
        self.locked().as_ref().is_some_and(is_true)
    }

    /// Changes the note. A power cut may lose the change.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn update(&self, change: impl FnOnce(&mut Marker)) -> io::Result<()> {
        let mut marker = self.locked();
        let marker = marker.get_or_insert_default();
        change(marker);
        marker.write(&self.file)
    }

    /// Changes the note and syncs it.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn update_and_sync(&self, change: impl FnOnce(&mut Marker)) -> io::Result<()> {
        self.update(change)?;
        self.file.sync_data()
    }

    fn locked(&self) -> MutexGuard<'_, Option<Marker>> {
        self.marker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_reads_as_it_was_written_and_nothing_else_does() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Marker::read(&file), None, "a lock file of an earlier version is empty");
        let longest = Marker {
            run: "c".repeat(32),
            previous: Some("b".repeat(32)),
            steps: i64::MAX,
            stopped: false,
            numbers: vec![i32::MAX, i32::MIN],
            log: Some("0123456789abcdef".into()),
        };
        let shortest = Marker { run: "b".into(), stopped: true, ..Marker::default() };
        for marker in [longest, shortest] {
            marker.write(&file).unwrap();
            assert_eq!(Marker::read(&file), Some(marker));
        }
        let earlier = format!("{HEAD}\nrun b\nprevious -\nsteps 9\nstopped true\n");
        let read: Marker = earlier.parse().unwrap();
        assert_eq!(read, Marker { run: "b".into(), steps: 9, stopped: true, ..Marker::default() });
        file.write_all_at(b"what?", 0).unwrap();
        assert_eq!(Marker::read(&file), None);
    }
}
