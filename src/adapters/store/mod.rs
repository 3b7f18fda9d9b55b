//! The history in SQLite: the only place that knows SQL, or that there is SQLite.
//!
//! One writer connection, whose transactions all begin IMMEDIATE, and a pool of read-only ones. The journal is WAL with
//! `synchronous = FULL`: the row that says "about to call CreateImageByInstance" must outlive a power cut. A database
//! that is damaged, or was written by a newer version, is refused and left as it is.

use std::{
    collections::HashSet,
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::{
    Connection as _, SqliteConnection,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::files::{FileId, Folder};

mod audit;
mod backup;
mod brakes;
mod channels;
mod checks;
mod deletions;
mod distributions;
mod health;
mod images;
mod learned;
mod lineage;
mod pauses;
mod planning;
mod reading;
mod rebuilding;
mod statements;
mod strays;
mod tables;
mod transfer;
mod transitions;
mod writer;

pub use self::audit::{AuditFilter, AuditRow};
pub use self::backup::{BackupError, Progress, Restored, Sound, restore};
pub use self::brakes::StandingBrake;
pub use self::channels::{ChannelOrder, ChannelRow, Moved};
pub use self::checks::{CheckResult, DueCheck, ImageCheck};
pub use self::deletions::{DeleteOutcome, Doomed, SentDeletion};
pub use self::distributions::{Copy, CopyRow, CopyStep, FailedCopies};
pub use self::images::{ImageObservation, ImageRow, Look, NewImage, NewestResult};
pub use self::lineage::Lineage;
use self::lineage::LineageMarks;
pub use self::pauses::{ITSELF, Pause};
pub use self::planning::{ManualBake, NewRow, RowAhead, Span, StoredTarget, TargetProgress};
pub use self::reading::{
    AttemptRow, BakeRow, Filter, LineRow, OpenBake, OpenStage, PendingRestart, Reader, TargetRow, rfc3339,
};
pub use self::strays::{FailedImageRow, FailedSighting, UnrecordedImage, UnrecordedSighting};
pub use self::tables::Rows;
pub use self::transfer::{TransferError, import};
pub use self::transitions::{Attempt, DueBake, Outcome, Transition};
use self::writer::{Names, Writer};

/// The database's file in the state directory.
pub const DATABASE_FILE: &str = "imagebaked.db";
const LOCK_FILE: &str = "lock";
/// Where the first database is made.
const FIRST_FILE: &str = "imagebaked.db.first";

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Why the history could not be opened, read or written.
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
    /// A database of something else, or an empty file.
    #[error("{} is not a history of imagebaked; it was left as it is. Move it away, or restore a backup", path.display())]
    NotAHistory {
        /// The file.
        path: PathBuf,
    },
    /// What is open is not what the path names any more.
    #[error("the history database {} {what}", path.display())]
    Replaced {
        /// Where it was.
        path: PathBuf,
        /// What became of it.
        what: String,
    },
    /// A statement failed.
    #[error("the history could not {step}")]
    Query {
        /// What it was to do.
        step: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// Rows that were read a moment ago are gone, or have ended by other hands.
    #[error(
        "the history went back under the running daemon: bakes that it works on are not in it, or have ended there; was the \
         database restored or replaced?"
    )]
    WentBack,
    /// A batch could not be written as JSON.
    #[error("a batch of rows could not be encoded")]
    Encode(#[source] serde_json::Error),
}

impl StoreError {
    /// Whether the history is damaged, of another program or of a newer version, so that trying again is in vain until a person
    /// has restored or replaced it. A disk that is full or fails is not: it may be well again at the next try.
    pub fn is_unusable_history(&self) -> bool {
        match self {
            Self::Newer { .. } | Self::NotAHistory { .. } => true,
            Self::Open { source, .. } | Self::Query { source, .. } => is_damage(source),
            Self::Migrate { source, .. } => match source {
                MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                    is_damage(source) || sqlite_code(source) == Some(SQLITE_ERROR)
                }
                _ => true,
            },
            _ => false,
        }
    }
}

/// A statement does not fit the schema.
const SQLITE_ERROR: u32 = 1;
/// The file is malformed, or no database at all.
const SQLITE_DAMAGE: [u32; 2] = [11, 26];

/// SQLite's primary result code, <https://sqlite.org/rescode.html>.
fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn is_damage(error: &sqlx::Error) -> bool {
    sqlite_code(error).is_some_and(|code| SQLITE_DAMAGE.contains(&code))
}

/// An instant as the history keeps it, milliseconds since 1970; the epoch for what no calendar has.
fn instant(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

/// Gives a failed statement its step in words.
fn failed(step: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Query { step, source }
}

/// The history, open for writing. At most one in the world for each state directory.
#[derive(Debug)]
pub struct Store {
    folder: Folder,
    writer: Writer,
    reader: Reader,
    lineage: Lineage,
    // Rows that cannot be read are met at every look, and reported once.
    unreadable: Mutex<HashSet<i64>>,
    // Held for life: the lock is what makes this the only writer. Released by the system however the process ends.
    _lock: File,
}

impl Store {
    /// Opens the history in `state_dir`, making directory and database where there is none.
    pub async fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let unusable = |source| StoreError::StateDir { dir: state_dir.to_owned(), source };
        let folder = state_folder(state_dir)?;
        let lock = lock(&folder, state_dir)?;
        let path = folder.at(DATABASE_FILE);
        for suffix in backup::COMPANIONS {
            folder.check(&format!("{DATABASE_FILE}{suffix}")).map_err(unusable)?;
        }
        if !folder.check(DATABASE_FILE).map_err(unusable)? {
            make_first(&folder).await?;
        }
        let before = FileId::of(&path).map_err(unusable)?;
        let options = options(&path);
        migrate(&path, &options).await?;
        let open = |source| StoreError::Open { path: path.clone(), source };
        let writer = Writer::open(options).await.map_err(open)?;
        let marks = LineageMarks::begin(&mut *writer.connection().await?, &lock).await?;
        let lineage = marks.lineage();
        if marks.is_lost() {
            tracing::error!(
                path = %path.display(),
                "the history that was here is gone; a new one is begun. Restore it from a backup, if there is one"
            );
        }
        writer.hold_against(marks, Names::of(&path, before, &lock).map_err(unusable)?);
        let reader = Reader::connect_for_life(&path).await?;
        Ok(Self { folder, writer, reader, lineage, unreadable: Mutex::default(), _lock: lock })
    }

    /// What this history has to do with the one that was here before.
    pub fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// Notes that whatever the cloud had to tell a history of this lineage has been taken over: the next start need not ask.
    pub async fn settle(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(statements::SETTLE).execute(&mut *tx).await.map_err(failed("note that it is settled"))?;
        tx.commit().await.map_err(failed("note that it is settled"))
    }

    /// The reading side.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Whether what was written last came to nothing, so that [`probe`](Self::probe) should be asked whether anything can
    /// be written now.
    pub fn is_suspect(&self) -> bool {
        self.writer.is_suspect()
    }

    /// Writes something that changes nothing, to see whether that is possible.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.writer.probe().await
    }

    /// Whether the files that are open have lost their names, and how.
    pub fn replaced(&self) -> Option<StoreError> {
        self.writer.replaced()
    }

    /// After [`replaced`](Self::replaced): lets bakes that were begun be ended in a file without a name.
    pub fn detach(&self) {
        self.writer.detach();
    }

    /// Saves a database that has lost its name, under a new one.
    pub async fn save_copy(&self, now: DateTime<Utc>) -> Result<PathBuf, BackupError> {
        let name = format!("{DATABASE_FILE}.saved-{}", now.format("%Y%m%dT%H%M%S%.3fZ"));
        // By its path: where the folder was moved, too, there may be a new one, and that is where people look.
        let path = self.folder.at(&name);
        let copy = Folder::of(&path).and_then(|folder| Ok((folder.create_new(&name, 0o640)?, folder)));
        let (copy, folder) = copy.map_err(|source| BackupError::File { step: "write", path: path.clone(), source })?;
        folder.give(&copy);
        self.reader.copy(&path, &|_| ()).await?;
        Ok(path)
    }

    /// Whether it is the database itself that has lost its name.
    pub fn has_lost_database(&self) -> bool {
        self.writer.has_lost_database()
    }

    /// Puts a saved copy where the database was, if nothing is there. Only after [`close`](Self::close). Answers whether it did.
    pub fn put_back(&self, saved: &Path) -> io::Result<bool> {
        let Some(name) = saved.file_name().and_then(|name| name.to_str()) else { return Ok(false) };
        let folder = Folder::of(saved)?;
        if folder.check(DATABASE_FILE)? {
            return Ok(false);
        }
        // A log must never meet a database that it is not of.
        for suffix in backup::COMPANIONS {
            folder.remove(&format!("{DATABASE_FILE}{suffix}"))?;
        }
        match folder.rename_new(name, DATABASE_FILE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            renamed => renamed?,
        }
        folder.sync()?;
        Ok(true)
    }

    /// Keeps the planner's statistics fresh and folds the write-ahead log into the database.
    pub async fn upkeep(&self) -> Result<(), StoreError> {
        let mut connection = self.writer.connection().await?;
        for sql in [statements::OPTIMIZE, statements::CHECKPOINT] {
            sqlx::query(sql).execute(&mut *connection).await.map_err(failed("tidy up the database"))?;
        }
        Ok(())
    }

    /// Ends all connections without the mark of an orderly end: the next start finds out what became of the last calls.
    pub async fn abandon(&self) {
        self.reader.close().await;
        self.writer.abandon().await;
    }

    /// Ends all connections; the write-ahead log is folded into the database. The lock goes with the value.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// How the writing connection is opened, the first time and after every failure.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .optimize_on_close(true, None)
}

/// For the daemon and its group: output of hooks is in there.
fn state_folder(state_dir: &Path) -> Result<Folder, StoreError> {
    Folder::make(state_dir, 0o750).map_err(|source| StoreError::StateDir { dir: state_dir.to_owned(), source })
}

fn lock(folder: &Folder, state_dir: &Path) -> Result<File, StoreError> {
    let unusable = |source| StoreError::StateDir { dir: state_dir.to_owned(), source };
    let file = folder.open_or_make(LOCK_FILE, 0o640).map_err(unusable)?;
    folder.give(&file);
    match file.try_lock() {
        // Whoever had it may have removed it: then this is a lock on nothing.
        Ok(()) if folder.has(LOCK_FILE, &file) => Ok(file),
        Ok(()) | Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: state_dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Makes a database where there is none: under another name, so that half a one is never taken for one.
async fn make_first(folder: &Folder) -> Result<(), StoreError> {
    let unusable = |source| StoreError::StateDir { dir: folder.at(""), source };
    for suffix in [""].iter().chain(&backup::COMPANIONS) {
        folder.remove(&format!("{FIRST_FILE}{suffix}")).map_err(unusable)?;
    }
    // A log that lost its database must never meet another one.
    for suffix in backup::COMPANIONS {
        folder.remove(&format!("{DATABASE_FILE}{suffix}")).map_err(unusable)?;
    }
    // SQLite gives its other files the mode of the first.
    let file = folder.create_new(FIRST_FILE, 0o640).map_err(unusable)?;
    folder.give(&file);
    drop(file);
    let path = folder.at(FIRST_FILE);
    let open = |source| StoreError::Open { path: path.clone(), source };
    let options = options(&path).journal_mode(SqliteJournalMode::Delete).foreign_keys(false);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(open)?;
    MIGRATIONS.run(&pool).await.map_err(|source| migration_error(&path, source))?;
    pool.close().await;
    File::open(&path).and_then(|file| file.sync_all()).map_err(unusable)?;
    folder.rename_new(FIRST_FILE, DATABASE_FILE).and_then(|()| folder.sync()).map_err(unusable)
}

/// Brings the database to this version. Without foreign keys: a table that is made anew must not take the rows with it
/// that refer to the old one.
async fn migrate(path: &Path, options: &SqliteConnectOptions) -> Result<(), StoreError> {
    let open = |source| StoreError::Open { path: path.to_owned(), source };
    // Without settings that would write into a file which is none of ours.
    let plain = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(5));
    let mut connection = SqliteConnection::connect_with(&plain).await.map_err(open)?;
    let known = tables::migration(&mut connection).await;
    let _ = connection.close().await;
    match known {
        Ok(Some(_)) => {}
        // Emptied, or made by somebody else.
        Ok(None) => return Err(StoreError::NotAHistory { path: path.to_owned() }),
        Err(StoreError::Query { source, .. }) => return Err(open(source)),
        Err(error) => return Err(error),
    }
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect_with(options.clone().foreign_keys(false)).await.map_err(open)?;
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

/// Lets a test take a table away and put it back, from outside.
///
/// # Panics
///
/// Where the database refuses.
#[cfg(test)]
pub(crate) async fn rename_table(path: &Path, from: &str, to: &str) {
    let options = SqliteConnectOptions::new().filename(path).pragma("legacy_alter_table", "ON");
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let sql = sqlx::AssertSqlSafe(format!("ALTER TABLE {from} RENAME TO {to}"));
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[cfg(test)]
impl Store {
    /// What other hands may do to the history: one statement.
    pub(crate) async fn execute(&self, sql: &'static str) {
        let mut work = self.begin().await.expect("a transaction");
        sqlx::query(sql).execute(&mut *work).await.expect("a statement");
        work.commit().await.expect("a commit");
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod query_plan_tests;
