//! The writing connection, and its renewal.
//!
//! After a full disk, an I/O error or a cancelled task the state of a connection is unknown: SQLite may have rolled
//! back, or not. A connection whose transaction was not committed is therefore discarded, and the next transaction uses
//! a new one. The file contains exactly the transactions that were reported as committed.
//!
//! Each transaction also checks that it writes into the file that the path names. SQLite continues with a file whose
//! name is gone, where nobody would find the data. It also continues with a file that another database was copied over,
//! and mixes the two.

use std::{
    fs::File,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex as StdMutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    StoreError, failed,
    lineage::LineageMarks,
    location::LOCK_FILE,
    log_binding::LogBinding,
    outbox::{self, Recorded},
};
use crate::{adapters::files::FileId, domain::event::Event};

/// Files that SQLite keeps beside a database in use.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// The connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    options: SqliteConnectOptions,
    place: Arc<Mutex<Place>>,
    /// A transaction failed, and none has been committed since.
    is_suspect: Arc<AtomicBool>,
    names: OnceLock<Names>,
    marks: OnceLock<Arc<LineageMarks>>,
    binding: OnceLock<Arc<LogBinding>>,
    /// The file has lost its name, and is written nevertheless, to end running bakes.
    is_detached: AtomicBool,
}

#[derive(Debug)]
enum Place {
    /// Free.
    Free(SqliteConnection),
    /// Discarded, with its open transaction.
    Broken,
    /// The store was closed.
    Closed,
}

impl Writer {
    /// Opens the connection.
    ///
    /// # Errors
    ///
    /// The error of SQLite.
    pub async fn open(options: SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let connection = SqliteConnection::connect_with(&options).await?;
        Ok(Self {
            options,
            place: Arc::new(Mutex::new(Place::Free(connection))),
            is_suspect: Arc::default(),
            names: OnceLock::new(),
            marks: OnceLock::new(),
            binding: OnceLock::new(),
            is_detached: AtomicBool::new(false),
        })
    }

    /// Every later transaction is checked against these.
    pub fn hold_against(&self, marks: LineageMarks, names: Names, binding: LogBinding) {
        let _ = self.marks.set(Arc::new(marks));
        let _ = self.names.set(names);
        let _ = self.binding.set(Arc::new(binding));
    }

    /// Change of the names of the open files; `None` if there is none.
    pub fn replaced(&self) -> Option<StoreError> {
        let names = self.names.get()?;
        let changed = names.changed();
        let overwritten = || self.is_overwritten().then(|| names.error("was overwritten while it was in use"));
        changed.or_else(overwritten)
    }

    /// Whether another database was copied over this one, which keeps its name.
    pub fn is_overwritten(&self) -> bool {
        self.binding.get().is_some_and(|binding| binding.is_broken())
    }

    /// Whether the database itself has lost its name.
    pub fn has_lost_database(&self) -> bool {
        self.names.get().is_some_and(|names| {
            names
                .own
                .iter()
                .any(|(path, id)| *path == names.path && !matches!(FileId::of(path), Ok(Some(now)) if now == *id))
        })
    }

    /// Lets running bakes end in a file without a name. Its content is lost at the end of the process unless it is
    /// saved.
    pub fn detach(&self) {
        self.is_detached.store(true, Ordering::Relaxed);
    }

    /// Whether a transaction failed and none has been committed since.
    pub fn is_suspect(&self) -> bool {
        self.is_suspect.load(Ordering::Relaxed)
    }

    /// The connection, outside of any transaction; it is returned when the value is dropped.
    ///
    /// # Errors
    ///
    /// `StoreError` if the connection is closed, the files have lost their names, or SQLite fails.
    pub async fn connection(&self) -> Result<WriteTransaction, StoreError> {
        let mut place = Arc::clone(&self.place).lock_owned().await;
        let connection = match std::mem::replace(&mut *place, Place::Broken) {
            Place::Free(connection) => connection,
            Place::Broken => self.renew().await?,
            Place::Closed => {
                *place = Place::Closed;
                return Err(failed("begin a transaction")(sqlx::Error::PoolClosed));
            }
        };
        Ok(WriteTransaction {
            place,
            connection: Some(connection),
            in_transaction: false,
            events: Vec::new(),
            is_suspect: Arc::clone(&self.is_suspect),
            marks: None,
            binding: self.binding.get().map(Arc::clone),
            steps: 0,
        })
    }

    /// Writes the log into the database.
    ///
    /// # Errors
    ///
    /// `StoreError` if the connection is closed, the files have lost their names, or SQLite fails.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        if let Some(replaced) = self.replaced() {
            return Err(replaced);
        }
        let Some(binding) = self.binding.get() else { return Ok(()) };
        binding.checkpoint(&mut connection).await
    }

    async fn renew(&self) -> Result<SqliteConnection, StoreError> {
        if self.is_detached.load(Ordering::Relaxed) {
            // The path would open another file.
            return Err(failed("go on in a file without a name")(sqlx::Error::PoolClosed));
        }
        if let Some(names) = self.names.get() {
            if let Some(replaced) = names.changed() {
                return Err(replaced);
            }
            names.forget_beside();
        }
        SqliteConnection::connect_with(&self.options).await.map_err(failed("open the database anew"))
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    ///
    /// `StoreError` if the connection is closed, the files have lost their names, or SQLite fails.
    pub async fn begin(&self) -> Result<WriteTransaction, StoreError> {
        if let Some(replaced) = self.replaced() {
            return Err(replaced);
        }
        self.begin_detached().await
    }

    /// Begins a transaction that may write, also in a file that is known to have lost its name.
    ///
    /// # Errors
    ///
    /// `StoreError` if the connection is closed, the files have lost their names, or SQLite fails.
    pub async fn begin_detached(&self) -> Result<WriteTransaction, StoreError> {
        let mut work = self.connection().await?;
        if !self.is_detached.load(Ordering::Relaxed)
            && let Some(replaced) = self.replaced()
        {
            return Err(replaced);
        }
        if let Some(binding) = self.binding.get()
            && !self.is_detached.load(Ordering::Relaxed)
            && let Err(error) = binding.checkpoint_if_due(&mut work).await
        {
            let error = crate::domain::error::chain(&error);
            tracing::debug!(error, "the write-ahead log could not be written into the history; it grows meanwhile");
        }
        work.in_transaction = true;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *work).await.map_err(failed("begin a transaction"))?;
        if let Some(names) = self.names.get() {
            names.see_beside_if_forgotten();
        }
        if let Some(marks) = self.marks.get() {
            let Some(steps) = marks.step(&mut work).await? else {
                return Err(StoreError::WentBack);
            };
            work.marks = Some(Arc::clone(marks));
            work.steps = steps;
        }
        Ok(work)
    }

    /// Commits a transaction without a change, to check whether writing is possible.
    ///
    /// # Errors
    ///
    /// `StoreError` if the connection is closed, the files have lost their names, or SQLite fails.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.begin().await?.commit().await.map_err(failed("commit a transaction"))
    }

    /// Marks an orderly end and closes. Nothing is written after it.
    pub async fn close(&self) {
        self.end(self.marks.get().filter(|_| self.replaced().is_none())).await;
    }

    /// Closes without a mark.
    pub async fn abandon(&self) {
        self.end(None).await;
    }

    /// Leaves the connection open until the process ends: closing would write the log into whatever is in the file.
    pub async fn leave_open(&self) {
        let mut place = Arc::clone(&self.place).lock_owned().await;
        if let Place::Free(connection) = std::mem::replace(&mut *place, Place::Closed) {
            std::mem::forget(connection);
        }
    }

    async fn end(&self, marks: Option<&Arc<LineageMarks>>) {
        let mut place = Arc::clone(&self.place).lock_owned().await;
        let connection = match std::mem::replace(&mut *place, Place::Closed) {
            Place::Free(connection) => Some(connection),
            Place::Broken => self.renew().await.ok(),
            Place::Closed => None,
        };
        let Some(mut connection) = connection else { return };
        if let Some(marks) = marks
            && let Err(error) = marks.end(&mut connection).await
        {
            let error = crate::domain::error::chain(&error);
            tracing::warn!(
                error,
                "the orderly end could not be marked in the history; creates of the next start search for their image first"
            );
        }
        let _ = connection.close().await;
    }
}

/// The connection in use. One that is dropped within a transaction is discarded.
#[derive(Debug)]
pub(super) struct WriteTransaction {
    place: OwnedMutexGuard<Place>,
    connection: Option<SqliteConnection>,
    in_transaction: bool,
    /// What the transaction makes true.
    events: Vec<Recorded>,
    is_suspect: Arc<AtomicBool>,
    marks: Option<Arc<LineageMarks>>,
    binding: Option<Arc<LogBinding>>,
    steps: i64,
}

impl WriteTransaction {
    /// Adds an event: it is committed with the transaction, and logged then.
    pub fn record(&mut self, at: DateTime<Utc>, event: Event) {
        self.events.push(Recorded { at, event });
    }

    /// Commits.
    ///
    /// # Errors
    ///
    /// The error of SQLite; the transaction is not committed then.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        let events = std::mem::take(&mut self.events);
        outbox::insert(&mut self, &events).await?;
        sqlx::query("COMMIT").execute(&mut *self).await?;
        self.in_transaction = false;
        self.is_suspect.store(false, Ordering::Relaxed);
        if let Some(marks) = &self.marks {
            marks.committed(self.steps);
        }
        if let Some(binding) = &self.binding {
            binding.committed();
        }
        for recorded in &events {
            outbox::log(&recorded.event);
        }
        Ok(())
    }

    /// Rolls the transaction back.
    ///
    /// # Errors
    ///
    /// The error of SQLite.
    pub async fn rollback(mut self) -> Result<(), sqlx::Error> {
        sqlx::query("ROLLBACK").execute(&mut *self).await?;
        self.in_transaction = false;
        Ok(())
    }
}

// Both are present until the value is dropped.
#[expect(clippy::expect_used, reason = "the connection is taken by drop alone")]
mod access {
    use super::{Deref, DerefMut, SqliteConnection, WriteTransaction};

    impl Deref for WriteTransaction {
        type Target = SqliteConnection;

        fn deref(&self) -> &SqliteConnection {
            self.connection.as_ref().expect("it is there until the drop")
        }
    }

    impl DerefMut for WriteTransaction {
        fn deref_mut(&mut self) -> &mut SqliteConnection {
            self.connection.as_mut().expect("it is there until the drop")
        }
    }
}

impl Drop for WriteTransaction {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        *self.place = if self.in_transaction {
            self.is_suspect.store(true, Ordering::Relaxed);
            // Its own thread closes it and rolls back. An orderly close would write.
            drop(connection);
            Place::Broken
        } else {
            Place::Free(connection)
        };
    }
}

/// The files of an open database by their names, as of its opening.
#[derive(Debug)]
pub(super) struct Names {
    path: PathBuf,
    /// The database and the lock.
    own: Vec<(PathBuf, FileId)>,
    /// Files beside it; removed by the last connection that closes, created by the next.
    beside: StdMutex<Vec<(PathBuf, FileId)>>,
}

impl Names {
    /// For a database at `path`, which is that file.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn of(path: &Path, database: Option<FileId>, lock: &File) -> std::io::Result<Self> {
        let mut own = vec![(path.with_file_name(LOCK_FILE), FileId::of_file(lock)?)];
        own.extend(database.map(|database| (path.to_owned(), database)));
        let names = Self { path: path.to_owned(), own, beside: StdMutex::default() };
        names.see_beside();
        Ok(names)
    }

    /// Records the files beside the database as SQLite's.
    fn see_beside(&self) {
        let mut found = Vec::new();
        for suffix in BESIDE {
            let mut name = self.path.as_os_str().to_owned();
            name.push(suffix);
            let name = PathBuf::from(name);
            if let Ok(Some(id)) = FileId::of(&name) {
                found.push((name, id));
            }
        }
        *self.beside.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    fn see_beside_if_forgotten(&self) {
        if self.beside.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            self.see_beside();
        }
    }

    /// Until the next transaction the files beside the database are unknown.
    fn forget_beside(&self) {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn changed(&self) -> Option<StoreError> {
        let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, id) in self.own.iter().chain(&*beside) {
            match FileId::of(path) {
                Ok(Some(now)) if now == *id => {}
                Ok(Some(_)) => {
                    return Some(self.error(&format!("was replaced while it was in use ({})", path.display())));
                }
                Ok(None) => {
                    return Some(self.error(&format!("was removed or moved while it was in use ({})", path.display())));
                }
                // SQLite reports whether the disk is readable.
                Err(_) => {}
            }
        }
        None
    }

    fn error(&self, what: &str) -> StoreError {
        StoreError::Replaced { path: self.path.clone(), what: what.to_owned() }
    }
}
