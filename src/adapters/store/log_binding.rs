//! Binding of the write-ahead log to its database file.
//!
//! SQLite binds the two by their names alone. If another database is moved or copied over the first one, the next
//! checkpoint or start writes the old log over it, which damages it. Therefore each checkpoint gives the database a new
//! random number, in the field of the header that SQLite leaves to applications (`user_version`, bytes 60 to 63,
//! <https://sqlite.org/fileformat.html>), and the lock file stores the numbers that the file may have. The log is
//! identified by its salts (bytes 16 to 23 of its header), which SQLite changes whenever the log restarts.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use sqlx::SqliteConnection;

use super::{
    StoreError, failed,
    location::{DATABASE_FILE, LOCK_FILE},
    lock_file::{LockFile, Marker},
};
use crate::adapters::files::{Folder, under_free_name};

/// As much of the write-ahead log as nobody reads goes into the database.
pub(super) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// A number that a database's header can have, and that none has by itself.
pub(super) const RANDOM_NUMBER: &str = "SELECT abs(random() % 2147483646) + 1";

/// The log of the database.
const LOG_FILE: &str = "imagebaked.db-wal";
/// Index of the log, useless without it.
const LOG_INDEX_FILE: &str = "imagebaked.db-shm";
/// Transactions between two checkpoints, about a thousand pages.
const TRANSACTIONS: i64 = 256;
/// Growth of the log in bytes between two checkpoints.
const LOG_BYTES: u64 = 4 << 20;

/// The database that is open for writing, and its log.
#[derive(Debug)]
pub(super) struct LogBinding {
    /// Open until the end: a process that closes any handle of a file loses SQLite's locks on it.
    database: File,
    log: PathBuf,
    lock: Arc<LockFile>,
    transactions: AtomicI64,
    log_bytes: AtomicU64,
}

impl LogBinding {
    /// Opens the database's file, before SQLite does.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn open(folder: &Folder, lock: Arc<LockFile>) -> io::Result<Self> {
        Ok(Self {
            database: folder.open_or_make(DATABASE_FILE, 0o640)?,
            log: folder.at(LOG_FILE),
            lock,
            transactions: AtomicI64::new(0),
            log_bytes: AtomicU64::new(0),
        })
    }

    /// Whether another database was copied over this one. SQLite reports unreadable files.
    pub fn is_broken(&self) -> bool {
        let is_foreign = |found| self.lock.notes(|marker| marker.excludes(found));
        number(&self.database).is_ok_and(is_foreign)
    }

    /// Records the log that a transaction was just written to.
    pub fn committed(&self) {
        self.transactions.fetch_add(1, Ordering::Relaxed);
        if let Ok(salts) = salts(&self.log)
            && self.lock.notes(|marker| marker.log != salts)
        {
            let _ = self.lock.update(|marker| marker.log = salts);
        }
    }

    /// Makes a checkpoint if the last one is long ago. A failed one is repeated after the same number of transactions.
    ///
    /// # Errors
    ///
    /// `StoreError` if the checkpoint fails.
    pub async fn checkpoint_if_due(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let grown = self.log_size() >= self.log_bytes.load(Ordering::Relaxed).saturating_add(LOG_BYTES);
        if !grown && self.transactions.load(Ordering::Relaxed) < TRANSACTIONS {
            return Ok(());
        }
        self.checkpoint(connection).await
    }

    /// Writes the log into the database, as far as no reader uses it, with a new number. Outside of any transaction.
    ///
    /// # Errors
    ///
    /// The number cannot be stored in the lock file or written to the log, or the checkpoint fails.
    pub async fn checkpoint(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        self.transactions.store(0, Ordering::Relaxed);
        let new = self.next_number(connection).await?;
        let sql = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {new}"));
        sqlx::query(sql).execute(&mut *connection).await.map_err(failed("number the database"))?;
        sqlx::query(CHECKPOINT).execute(connection).await.map_err(failed("make a checkpoint"))?;
        self.log_bytes.store(self.log_size(), Ordering::Relaxed);
        let io = |error: io::Error| failed("read the number of the database")(error.into());
        if number(&self.database).map_err(io)? == Some(new) {
            let _ = self.lock.update(|marker| marker.numbers = vec![new]);
        }
        Ok(())
    }

    /// The number of the next checkpoint, synced to the lock file before the database can have it. The last one, as
    /// long as the database does not have it.
    async fn next_number(&self, connection: &mut SqliteConnection) -> Result<i32, StoreError> {
        let io = |error: io::Error| failed("note the number of the database")(error.into());
        let found = number(&self.database).map_err(io)?;
        let known = self.lock.marker().unwrap_or_default();
        if known.numbers.len() > 1
            && known.may_have(found)
            && let Some(pending) = known.numbers.last().filter(|pending| found != Some(**pending))
        {
            return Ok(*pending);
        }
        let new: i32 =
            sqlx::query_scalar(RANDOM_NUMBER).fetch_one(connection).await.map_err(failed("draw a number"))?;
        let numbers = found.into_iter().chain([new]).collect();
        self.lock.update_and_sync(|marker| marker.numbers = numbers).map_err(io)?;
        Ok(new)
    }

    fn log_size(&self) -> u64 {
        self.log.metadata().map_or(0, |log| log.len())
    }
}

impl Marker {
    fn may_have(&self, number: Option<i32>) -> bool {
        number.is_some_and(|number| self.numbers.contains(&number))
    }

    /// Whether the database is another one; a marker of an earlier version excludes none.
    fn excludes(&self, number: Option<i32>) -> bool {
        !self.numbers.is_empty() && !self.may_have(number)
    }
}

/// The number in the header of a database; `None` if the file is too short.
fn number(database: &File) -> io::Result<Option<i32>> {
    Ok(read_at(database, 60)?.map(i32::from_be_bytes))
}

/// The salts of a log; `None` if there is no log, or an empty one.
fn salts(log: &Path) -> io::Result<Option<String>> {
    match File::open(log) {
        Ok(log) => Ok(read_at::<8>(&log, 16)?.map(hex::encode)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Bytes of a file; `None` if it is too short.
fn read_at<const N: usize>(file: &File, offset: u64) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the log in `state_dir` belongs to another file than the database beside it. Unreadable or unrecorded files
/// count as belonging together. Not while this process has the database open: see [`LogBinding`].
pub(super) fn has_foreign_log(state_dir: &Path) -> bool {
    let is_foreign = || -> Option<bool> {
        let found = number(&File::open(state_dir.join(DATABASE_FILE)).ok()?).ok()?;
        let log = salts(&state_dir.join(LOG_FILE)).ok()??;
        let marker = Marker::read(&File::open(state_dir.join(LOCK_FILE)).ok()?)?;
        Some(marker.excludes(found) && marker.log == Some(log))
    };
    // A checkpoint may come between the reads; two do not follow each other that fast.
    (0..3).all(|_| is_foreign().unwrap_or(false))
}

/// Renames the log, so that SQLite does not find it. Returns its new path.
///
/// # Errors
///
/// The folder cannot be written to.
pub(super) fn set_log_aside(folder: &Folder) -> io::Result<PathBuf> {
    let (name, ()) = under_free_name(&format!("{LOG_FILE}.of-another-file"), |name| folder.rename_new(LOG_FILE, name))?;
    folder.remove(LOG_INDEX_FILE)?;
    folder.sync()?;
    Ok(folder.at(&name))
}
