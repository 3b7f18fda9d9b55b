//! The ledger in SQLite: the only place that knows SQL, or that there is SQLite.
//!
//! One writer connection, whose transactions all begin IMMEDIATE, and a pool of read-only ones. The journal is WAL with
//! `synchronous = FULL`: the row that says "about to call CreateImageByInstance" must outlive a power cut. A database
//! that is damaged, or was written by a newer version, is refused and left as it is.

use std::{
    collections::HashSet,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::{
    SqlitePool,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

mod audit;
mod backup;
mod brakes;
mod channels;
mod checks;
mod deletions;
mod distributions;
mod health;
mod images;
mod ledger;
mod pauses;
mod planning;
mod reading;
mod rebuilding;
mod statements;
mod strays;
mod tables;
mod transfer;

pub use audit::{AuditFilter, AuditRow};
pub use backup::{BackupError, Progress, Restored, Sound, restore};
pub use brakes::StandingBrake;
pub use channels::{ChannelOrder, ChannelRow, Moved};
pub use checks::{CheckResult, DueCheck, ImageCheck};
pub use deletions::{DeleteOutcome, Doomed, SentDeletion};
pub use distributions::{Copy, CopyRow, CopyStep, FailedCopies};
pub use images::{ImageRow, Look, NewImage, NewestResult, Sight};
pub use ledger::{Attempt, DueBake, Outcome, Transition};
pub use pauses::{ITSELF, Pause};
pub use planning::{ManualBake, NewRow, Target};
pub use reading::{AttemptRow, Filter, LedgerRow, LineRow, OpenBake, OpenStage, OwedStart, Reader, Seen, rfc3339};
pub use strays::{FailedImageRow, FailedSighting, UnrecordedImage, UnrecordedSighting};
pub use tables::Rows;
pub use transfer::{TransferError, import};

/// The database's file in the state directory.
pub const DATABASE_FILE: &str = "imagebaked.db";
const LOCK_FILE: &str = "lock";

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Why the ledger could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state directory cannot be used.
    #[error("cannot use the state directory {}", dir.display())]
    StateDir {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon has it.
    #[error("another imagebaked is running on {}; stop it first, or give this one its own [daemon] state_dir", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// Nothing there to read.
    #[error("there is no database at {} yet; it is made when the daemon first runs", path.display())]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// Not a database, or damaged.
    #[error("cannot open the database {}; it was left as it is", path.display())]
    Open {
        /// The database.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// Written by a newer version.
    #[error(
        "the database {} was written by a newer imagebaked (migration {version}); it was left as it is: install that version",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// The unknown migration.
        version: i64,
    },
    /// A migration failed.
    #[error("cannot bring the database {} up to date; it was left as it is", path.display())]
    Migrate {
        /// The database.
        path: PathBuf,
        /// Why.
        source: MigrateError,
    },
    /// A statement failed.
    #[error("the ledger could not {step}")]
    Query {
        /// What it was to do.
        step: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// A batch could not be written as JSON.
    #[error("a batch of rows could not be encoded")]
    Encode(#[source] serde_json::Error),
}

/// An instant as the ledger keeps it, milliseconds since 1970; the epoch for what no calendar has.
fn instant(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

/// Gives a failed statement its step in words.
fn failed(step: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Query { step, source }
}

/// The ledger, open for writing. At most one in the world for each state directory.
#[derive(Debug)]
pub struct Store {
    writer: SqlitePool,
    reader: Reader,
    // Rows that cannot be read are met at every look, and reported once.
    unreadable: Mutex<HashSet<i64>>,
    // Held for life: the lock is what makes this the only writer. Released by the system however the process ends.
    _lock: File,
}

impl Store {
    /// Opens the ledger in `state_dir`, making directory and database where there is none.
    pub async fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let lock = lock(state_dir)?;
        let path = state_dir.join(DATABASE_FILE);
        // SQLite gives its other files the mode of the first. Where it is there already, it stays as it is.
        drop(OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path));
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .optimize_on_close(true, None);
        migrate(&path, &options).await?;
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await
            .map_err(|source| StoreError::Open { path: path.clone(), source })?;
        let reader = Reader::connect(&path).await?;
        Ok(Self { writer, reader, unreadable: Mutex::default(), _lock: lock })
    }

    /// The reading side.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Keeps the planner's statistics fresh and folds the write-ahead log into the database.
    pub async fn upkeep(&self) -> Result<(), StoreError> {
        for sql in [statements::OPTIMIZE, statements::CHECKPOINT] {
            sqlx::query(sql).execute(&self.writer).await.map_err(failed("tidy up the database"))?;
        }
        Ok(())
    }

    /// Ends all connections; the write-ahead log is folded into the database. The lock goes with the value.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

fn lock(state_dir: &Path) -> Result<File, StoreError> {
    let unusable = |source| StoreError::StateDir { dir: state_dir.to_owned(), source };
    // For the daemon and its group: output of hooks is in there.
    DirBuilder::new().recursive(true).mode(0o750).create(state_dir).map_err(unusable)?;
    let file = OpenOptions::new()
        .create(true)
        .mode(0o640)
        .truncate(false)
        .write(true)
        .open(state_dir.join(LOCK_FILE))
        .map_err(unusable)?;
    backup::belong_to_folder(&state_dir.join(LOCK_FILE), state_dir);
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: state_dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Brings the database to this version. Without foreign keys: a table that is made anew must not take the rows with it
/// that refer to the old one.
async fn migrate(path: &Path, options: &SqliteConnectOptions) -> Result<(), StoreError> {
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone().foreign_keys(false)).await;
    let pool = pool.map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
    let migrated = MIGRATIONS.run(&pool).await.map_err(|source| migration_error(path, source));
    pool.close().await;
    migrated
}

fn migration_error(path: &Path, source: MigrateError) -> StoreError {
    match source {
        MigrateError::VersionMissing(version) => StoreError::Newer { path: path.to_owned(), version },
        MigrateError::Execute(source) => StoreError::Open { path: path.to_owned(), source },
        source => StoreError::Migrate { path: path.to_owned(), source },
    }
}

#[cfg(test)]
mod tests;
