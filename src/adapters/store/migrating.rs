//! Creation of the database, and its migration from an earlier version.

use std::{fs::File, io, path::Path, time::Duration};

use sqlx::{
    Connection as _, SqliteConnection,
    migrate::MigrateError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    BackupError, Reader, StoreError, failed,
    location::{COMPANIONS, DATABASE_FILE},
    schema::{MIGRATIONS, last_migration},
    tables,
};
use crate::adapters::files::{Folder, under_free_name};

/// Name under which the first database is created.
const FIRST_FILE: &str = "imagebaked.db.first";

/// Removes the statistics of an earlier version or of a person. Those of a young history make SQLite scan the tables of a grown
/// one, and each statement has its indexes without them.
pub(super) const DROP_STATISTICS: &str = "DROP TABLE IF EXISTS sqlite_stat1";

/// Options of the writing connection.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        // The log binding makes the checkpoints, because it numbers the database at each.
        .pragma("wal_autocheckpoint", "0")
}

/// Creates a database if there is none: under another name, so that an incomplete one is never used.
pub(super) async fn make_first(folder: &Folder) -> Result<(), StoreError> {
    let unusable = |source| StoreError::StateDir { dir: folder.at(""), source };
    for suffix in [""].iter().chain(&COMPANIONS) {
        folder.remove(&format!("{FIRST_FILE}{suffix}")).map_err(unusable)?;
    }
    // A log that lost its database must never meet another one.
    for suffix in COMPANIONS {
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

/// Migrates the database to this version. A migration is logged and preceded by a verified copy, which stays beside the
/// database on success. Foreign keys are off: recreating a table must not delete the rows that refer to it.
///
/// # Errors
///
/// The database is damaged, no history or of a newer version; the copy cannot be made; or a migration fails and is
/// rolled back.
pub(super) async fn migrate(folder: &Folder, options: &SqliteConnectOptions) -> Result<(), StoreError> {
    let path = &folder.at(DATABASE_FILE);
    let open = |source| StoreError::Open { path: path.to_owned(), source };
    // Without settings that would write into a file of another program.
    let plain = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(5));
    let mut connection = SqliteConnection::connect_with(&plain).await.map_err(open)?;
    let known = tables::migration(&mut connection).await;
    let _ = connection.close().await;
    let found = match known {
        Ok(Some(found)) => found,
        // Emptied, or created by another program.
        Ok(None) => return Err(StoreError::NotAHistory { path: path.to_owned() }),
        Err(StoreError::Query { source, .. }) => return Err(open(source)),
        Err(error) => return Err(error),
    };
    let needed = last_migration();
    let copy = if found < needed { Some(copy_before_migration(folder, found).await?) } else { None };
    if let Some(copy) = &copy {
        tracing::info!(
            path = %path.display(),
            copy = %folder.at(copy).display(),
            "the history is migrated from migration {found} to {needed}"
        );
    }
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect_with(options.clone().foreign_keys(false)).await.map_err(open)?;
    let migrated = MIGRATIONS.run(&pool).await.map_err(|source| migration_error(path, source));
    let dropped = sqlx::query(DROP_STATISTICS).execute(&pool).await;
    pool.close().await;
    match (&migrated, copy) {
        (Ok(()), Some(copy)) => tracing::info!(
            "the history is at migration {needed}; the former one is kept as {}",
            folder.at(&copy).display()
        ),
        // A failed migration is rolled back: the copy has nothing that the history does not have.
        (Err(_), Some(copy)) => {
            let _ = folder.remove(&copy);
        }
        (_, None) => {}
    }
    migrated?;
    dropped.map(drop).map_err(failed("drop its statistics"))
}

/// Copies the history and verifies the copy. Returns its name in `folder`.
async fn copy_before_migration(folder: &Folder, found: i64) -> Result<String, StoreError> {
    let base = format!("{DATABASE_FILE}.before-migration-from-{found}");
    let mut path = folder.at(&base);
    // A copy of an earlier migration from the same version is never overwritten.
    let created = under_free_name(&base, |name| {
        path = folder.at(name);
        folder.create_new(name, 0o640)
    });
    let (name, file) = match created {
        Ok(created) => created,
        Err(source) => return Err(StoreError::Copy { path, source }),
    };
    folder.give(&file);
    let copied = async {
        let reader = Reader::connect(&folder.at(DATABASE_FILE)).await?;
        let copied = reader.copy(&path, &|_| ()).await;
        reader.close().await;
        copied
    };
    let Err(error) = copied.await else { return Ok(name) };
    let _ = folder.remove(&name);
    Err(match error {
        BackupError::Store(error) => error,
        BackupError::File { source, .. } => StoreError::Copy { path, source },
        BackupError::Damaged { what, .. } => StoreError::Damaged { path: folder.at(DATABASE_FILE), what },
        error => StoreError::Copy { path, source: io::Error::other(error) },
    })
}

pub(super) fn migration_error(path: &Path, source: MigrateError) -> StoreError {
    match source {
        MigrateError::VersionMissing(version) => StoreError::Newer { path: path.to_owned(), version },
        MigrateError::Execute(source) => StoreError::Open { path: path.to_owned(), source },
        source => StoreError::Migrate { path: path.to_owned(), source },
    }
}

/// Lets a test remove a table and restore it, from outside.
///
/// # Panics
///
/// If the database rejects a statement.
#[cfg(test)]
pub(crate) async fn rename_table(path: &Path, from: &str, to: &str) {
    let options = SqliteConnectOptions::new().filename(path).pragma("legacy_alter_table", "ON");
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let sql = sqlx::AssertSqlSafe(format!("ALTER TABLE {from} RENAME TO {to}"));
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
