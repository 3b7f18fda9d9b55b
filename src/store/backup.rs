//! Copies of the whole ledger, looked over before anybody relies on them, and the way back.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    DATABASE_FILE, Reader, StoreError,
    audit::audit,
    failed, lock, statements,
    tables::{self, Kind, Rows},
};

/// Where a database is made that is to take the place of the ledger.
const INCOMING: &str = "imagebaked.db.incoming";
/// What SQLite may keep beside a database.
const COMPANIONS: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Why a copy was not made, or not taken over.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error("cannot {step} {}", path.display())]
    File {
        /// What was to be done with it.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite takes names in UTF-8 alone.
    #[error("the name {} is not UTF-8; choose another", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// Some other database.
    #[error("{} is a database, but not a ledger of imagebaked", path.display())]
    NotALedger {
        /// The file.
        path: PathBuf,
    },
    /// The copy is not what it should be.
    #[error("the database {} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        what: String,
    },
}

/// A database that was looked over and found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// Its size.
    pub bytes: u64,
    /// The migration that it is at.
    pub migration: i64,
    /// How many rows each table has.
    pub rows: Rows,
}

/// What is told of while it goes on, for people who wait.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

impl Reader {
    /// Copies the whole ledger, as it is at one moment, into a file that is absent or empty, and looks the copy over. The
    /// daemon may be at work meanwhile.
    pub async fn copy(&self, into: &Path, progress: Progress<'_>) -> Result<Sound, BackupError> {
        let absolute = std::path::absolute(into).map_err(file("find", into))?;
        let Some(target) = absolute.to_str() else { return Err(BackupError::Name { path: absolute }) };
        let mut connection = self.pool.acquire().await.map_err(failed("be opened"))?;
        let present = tables::present(&mut connection).await?;
        let before = tables::count(&mut connection, &present).await?;
        progress("copying the ledger");
        sqlx::query(statements::COPY_INTO).bind(target).execute(&mut *connection).await.map_err(failed("be copied"))?;
        File::open(&absolute).and_then(|copy| copy.sync_all()).map_err(file("write", &absolute))?;
        progress("looking the copy over");
        let sound = look_over(&absolute).await?;
        for table in present.iter().filter(|table| table.kind == Kind::Record) {
            // What was there before the copy began must be in it.
            if sound.rows.get(table.name) < before.get(table.name) {
                let what = format!("it has fewer {} than the ledger", table.name);
                return Err(BackupError::Damaged { path: absolute, what });
            }
        }
        Ok(sound)
    }
}

/// Looks a database over: pages, indexes, keys between tables, rows.
pub(super) async fn look_over(path: &Path) -> Result<Sound, BackupError> {
    let reader = Reader::connect(path).await?;
    let sound = async {
        let mut connection = reader.pool.acquire().await.map_err(failed("be opened"))?;
        let Some(migration) = tables::migration(&mut connection).await? else {
            return Err(BackupError::NotALedger { path: path.to_owned() });
        };
        if migration > tables::last_migration() {
            return Err(StoreError::Newer { path: path.to_owned(), version: migration }.into());
        }
        let damaged = |what| BackupError::Damaged { path: path.to_owned(), what };
        let told: Vec<String> = sqlx::query_scalar(statements::INTEGRITY)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed("be looked over"))?;
        if told != ["ok"] {
            return Err(damaged(told.join("; ")));
        }
        let orphans: i64 = sqlx::query_scalar(statements::ORPHANS)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed("be looked over"))?;
        if orphans > 0 {
            return Err(damaged(format!("{orphans} rows belong to rows that are not there")));
        }
        let present = tables::present(&mut connection).await?;
        let rows = tables::count(&mut connection, &present).await?;
        let bytes = fs::metadata(path).map_err(file("read", path))?.len();
        Ok(Sound { bytes, migration, rows })
    };
    let sound = sound.await;
    reader.close().await;
    // Whatever cannot be read here is the fault of this very file.
    sound.map_err(|error| match error {
        BackupError::Store(StoreError::Query { source, .. }) => {
            StoreError::Open { path: path.to_owned(), source }.into()
        }
        error => error,
    })
}

/// What was taken over, and where the former database is.
#[derive(Debug)]
pub struct Restored {
    /// The ledger as it is now.
    pub ledger: Sound,
    /// The former one; `None` where there was none.
    pub kept: Option<PathBuf>,
}

/// Puts a copy of `backup` in the place of the ledger in `state_dir`, once it is found sound. Refuses while a daemon is at
/// work there; what was there is kept beside it.
pub async fn restore(
    state_dir: &Path,
    backup: &Path,
    who: &str,
    now: DateTime<Utc>,
    progress: Progress<'_>,
) -> Result<Restored, BackupError> {
    // Before all else: a folder that is not there is not to be made for a file that is not there.
    File::open(backup).map_err(file("read", backup))?;
    let _lock = lock(state_dir)?;
    let incoming = Incoming::new(state_dir)?;
    progress("looking the backup over");
    look_over(backup).await?;
    let reader = Reader::connect(backup).await?;
    let copied = reader.copy(&incoming.path, progress).await;
    reader.close().await;
    copied?;
    let options = SqliteConnectOptions::new().filename(&incoming.path);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed("be opened"))?;
    audit(&mut connection, now, who, "restore", &format!("from {}", backup.display())).await?;
    connection.close().await.map_err(failed("be closed"))?;
    let ledger = look_over(&incoming.path).await?;
    let kept = incoming.take_over(state_dir, "restore", now)?;
    Ok(Restored { ledger, kept })
}

/// A database that is to take the place of the ledger; removed again where it comes to nothing.
#[derive(Debug)]
pub(super) struct Incoming {
    pub path: PathBuf,
}

impl Incoming {
    /// Its place, with nothing left in it from an earlier try. Needs the lock of `state_dir`.
    pub fn new(state_dir: &Path) -> Result<Self, BackupError> {
        let incoming = Self { path: state_dir.join(INCOMING) };
        incoming.clear().map_err(file("remove", &incoming.path))?;
        Ok(incoming)
    }

    fn clear(&self) -> io::Result<()> {
        remove(&self.path)?;
        COMPANIONS.iter().try_for_each(|suffix| remove(&beside(&self.path, suffix)))
    }

    /// Puts it in the place of the ledger. The former one stays beside it, under the name that is answered.
    pub fn take_over(self, state_dir: &Path, why: &str, now: DateTime<Utc>) -> Result<Option<PathBuf>, BackupError> {
        let database = state_dir.join(DATABASE_FILE);
        belong_to_folder(&self.path, state_dir);
        File::open(&self.path).and_then(|copy| copy.sync_all()).map_err(file("write", &self.path))?;
        let mut kept = None;
        if database.exists() {
            let name = format!("{DATABASE_FILE}.before-{why}-{}", now.format("%Y%m%dT%H%M%S%.3fZ"));
            let path = state_dir.join(name);
            // The newest steps may be in the log alone; under one name both are one database.
            for suffix in ["", "-wal"] {
                let from = beside(&database, suffix);
                if from.exists() {
                    fs::hard_link(&from, beside(&path, suffix)).map_err(file("keep", &from))?;
                }
            }
            kept = Some(path);
        }
        // A log must never meet a database that it is not of. Who dies before the last step leaves the former ledger, with
        // its log, under the name that it is kept by.
        for suffix in COMPANIONS {
            let path = beside(&database, suffix);
            remove(&path).map_err(file("remove", &path))?;
        }
        fs::rename(&self.path, &database).map_err(file("replace", &database))?;
        File::open(state_dir).and_then(|folder| folder.sync_all()).map_err(file("write", state_dir))?;
        Ok(kept)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Gone already where it took the place; else the next try removes what cannot be removed now.
        let _ = self.clear();
    }
}

/// Gives a file to whom its folder belongs: one that root makes in the daemon's folder must be the daemon's.
pub(super) fn belong_to_folder(path: &Path, folder: &Path) {
    if let (Ok(mine), Ok(theirs)) = (fs::metadata(path), fs::metadata(folder))
        && (mine.uid(), mine.gid()) != (theirs.uid(), theirs.gid())
    {
        // Only root can, and for nobody else is there a need.
        let _ = chown(path, Some(theirs.uid()), Some(theirs.gid()));
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn file(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { step, path, source }
}
