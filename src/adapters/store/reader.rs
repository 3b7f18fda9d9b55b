//! The read-only view of the history, whether or not the daemon runs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::{
    Connection as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use super::{
    DATABASE_FILE, StoreError,
    error::sqlite_code,
    failed, json_columns,
    log_binding::has_foreign_log,
    schema::{self, last_migration},
    tables::{self, TABLE_NAMES},
};

/// Integrity of the file: one row `ok`, or up to ten rows with faults.
pub(super) const QUICK_CHECK: &str = "PRAGMA quick_check(10)";

/// Number of reading connections.
const READERS: u32 = 2;

/// A read-only view of the history.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(super) pool: SqlitePool,
}

impl Reader {
    /// Opens the history in `state_dir` for reading. The daemon may run or not.
    ///
    /// # Errors
    ///
    /// There is no history, or it is unreadable, of another program or of another version.
    pub async fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let (reader, found) = Self::open_at(state_dir).await?;
        let needed = last_migration();
        if found < needed {
            reader.close().await;
            return Err(StoreError::Older { path: state_dir.join(DATABASE_FILE), found, needed });
        }
        Ok(reader)
    }

    /// The same for copies and exports, which also read the history of an earlier version.
    ///
    /// # Errors
    ///
    /// There is no history, or it is unreadable, of another program or of a newer version.
    pub async fn open_any_version(state_dir: &Path) -> Result<Self, StoreError> {
        Ok(Self::open_at(state_dir).await?.0)
    }

    /// Opens the history and reads its migration.
    async fn open_at(state_dir: &Path) -> Result<(Self, i64), StoreError> {
        let path = state_dir.join(DATABASE_FILE);
        match fs::metadata(&path) {
            // SQLite treats it as a database without tables.
            Ok(file) if file.len() == 0 => return Err(StoreError::NotAHistory { path }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::Missing { path }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(StoreError::Forbidden { path });
            }
            Err(source) => return Err(StoreError::StateDir { dir: state_dir.to_owned(), source }),
        }
        // SQLite does not say why it cannot open a file.
        if let Err(error) = fs::File::open(&path)
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            return Err(StoreError::Forbidden { path });
        }
        if has_foreign_log(state_dir) {
            return Err(StoreError::ForeignLog { path });
        }
        let mut reader = Self::connect(&path).await?;
        let mut found = reader.migration().await;
        if let Err(StoreError::Query { source, .. }) = &found
            && needs_log(source)
            && !log_of(&path).exists()
        {
            // After an orderly stop there is no log. A reader cannot create one in a folder without write access, and
            // needs none: the database is complete and not in use.
            reader.close().await;
            reader = Self::connect_with(&path, SqlitePoolOptions::new(), true).await?;
            found = reader.migration().await;
        }
        match found {
            Ok(Some(found)) if found > last_migration() => Err(StoreError::Newer { path, version: found }),
            Ok(Some(found)) => Ok((reader, found)),
            Ok(None) => Err(StoreError::NotAHistory { path }),
            Err(StoreError::Query { source, .. }) => Err(StoreError::Open { path, source }),
            Err(error) => Err(error),
        }
    }

    async fn migration(&self) -> Result<Option<i64>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("be opened"))?;
        tables::migration(&mut connection).await
    }

    pub(super) async fn connect(path: &Path) -> Result<Self, StoreError> {
        Self::connect_with(path, SqlitePoolOptions::new(), false).await
    }

    /// Opens all connections now and never again as long as they work: the path may name another file later.
    pub(super) async fn connect_for_life(path: &Path) -> Result<Self, StoreError> {
        let pool = SqlitePoolOptions::new().min_connections(READERS).idle_timeout(None).max_lifetime(None);
        let reader = Self::connect_with(path, pool, false).await?;
        // SQLite opens the files beside the database at the first statement.
        let mut opened = Vec::new();
        for _ in 0..READERS {
            let mut connection = reader.pool.acquire().await.map_err(failed("be opened"))?;
            sqlx::query(TABLE_NAMES).execute(&mut *connection).await.map_err(failed("be opened"))?;
            opened.push(connection);
        }
        drop(opened);
        Ok(reader)
    }

    async fn connect_with(path: &Path, pool: SqlitePoolOptions, immutable: bool) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .immutable(immutable)
            .busy_timeout(Duration::from_secs(5));
        let pool = pool
            .max_connections(READERS)
            // A connection that was left within a transaction is not reused.
            .after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options)
            .await
            .map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        Ok(Self { pool })
    }

    /// Checks the whole database and lists its faults: damage as SQLite reports it, differences of the schema from the
    /// migrations, and texts that are not the JSON that they should be. Empty if there are none.
    ///
    /// # Errors
    ///
    /// The database is unreadable, or of a newer version.
    pub async fn examine(&self) -> Result<Vec<String>, StoreError> {
        let path = || self.pool.connect_options().get_filename().to_path_buf();
        let mut connection = self.pool.acquire().await.map_err(failed("be opened"))?;
        let Some(migration) = tables::migration(&mut connection).await? else {
            return Err(StoreError::NotAHistory { path: path() });
        };
        if migration > last_migration() {
            return Err(StoreError::Newer { path: path(), version: migration });
        }
        let found: Vec<String> = sqlx::query_scalar(QUICK_CHECK)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed("read through the database"))?;
        let mut faults: Vec<_> = found.into_iter().filter(|line| line != "ok").collect();
        faults.extend(schema::differences(&mut connection, migration).await?);
        if faults.is_empty() && migration == last_migration() {
            faults = json_columns::unreadable(&mut connection).await?;
        }
        Ok(faults)
    }

    /// When a daemon last wrote this history, by its files; `None` if the file system does not say it. A copy is as old as its
    /// copying.
    pub fn last_write(&self) -> Option<DateTime<Utc>> {
        let options = self.pool.connect_options();
        let database = options.get_filename();
        let written = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        written(database).max(written(&log_of(database))).map(DateTime::<Utc>::from)
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether SQLite failed because it may not make the log beside the database.
fn needs_log(error: &sqlx::Error) -> bool {
    /// <https://sqlite.org/rescode.html>: READONLY and CANTOPEN.
    const CODES: [u32; 2] = [8, 14];
    sqlite_code(error).is_some_and(|code| CODES.contains(&code))
}

fn log_of(database: &Path) -> PathBuf {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    PathBuf::from(log)
}
