//! Schema of the history: its migrations, and the comparison of a database with them.

use std::{collections::BTreeMap, sync::LazyLock};

use sqlx::{
    SqlSafeStr as _, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use super::{StoreError, failed};

/// All migrations that were carried out.
pub(super) const APPLIED_MIGRATIONS: &str = "SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version";

/// All objects of the schema with the statements that make them, but for those of SQLite and of the migrations.
pub(super) const SCHEMA_OBJECTS: &str = "
SELECT type, name, sql FROM sqlite_schema
WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite^_%' ESCAPE '^' AND name <> '_sqlx_migrations'";

/// How texts are stored.
pub(super) const ENCODING: &str = "PRAGMA encoding";

/// Version, name and text of each file of `migrations`, by the build script.
const FILES: &[(i64, &str, &str)] = &include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// All migrations of this version.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let migration = |(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(FILES.iter().map(migration).collect())
});

/// The last migration of this version.
pub(super) fn last_migration() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// The migrations up to `last`.
pub(super) fn migrations_up_to(last: i64) -> Migrator {
    Migrator::with_migrations(MIGRATIONS.iter().filter(|migration| migration.version <= last).cloned().collect())
}

/// The statement of each object, by the object's kind and name.
type Objects = BTreeMap<(String, String), String>;

/// Compares a database at `migration` with the result of the migrations up to there, object by object. Returns one
/// sentence for each difference.
///
/// # Errors
///
/// A statement fails.
pub(super) async fn differences(connection: &mut SqliteConnection, migration: i64) -> Result<Vec<String>, StoreError> {
    let mut found = applied_differences(connection, migration).await?;
    let encoding: String = sqlx::query_scalar(ENCODING)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed("read how its texts are stored"))?;
    if encoding != "UTF-8" {
        found.push(format!("its texts are stored as {encoding}"));
    }
    let reference = SqliteConnectOptions::new().in_memory(true).foreign_keys(false);
    let step = "compare its schema";
    // A pool of one connection: with a connection alone the future could not change its thread.
    let reference = SqlitePoolOptions::new().max_connections(1).connect_with(reference).await.map_err(failed(step))?;
    migrations_up_to(migration).run(&reference).await.map_err(|error| match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => failed(step)(source),
        error => failed(step)(sqlx::Error::Migrate(Box::new(error))),
    })?;
    let wanted = objects(&mut *reference.acquire().await.map_err(failed(step))?).await?;
    reference.close().await;
    let present = objects(connection).await?;
    for (object, sql) in &wanted {
        let (kind, name) = object;
        match present.get(object) {
            None => found.push(format!("the {kind} {name} is missing")),
            Some(other) if other != sql => found.push(format!("the {kind} {name} is not that of imagebaked")),
            Some(_) => {}
        }
    }
    found.extend(
        present
            .keys()
            .filter(|object| !wanted.contains_key(*object))
            .map(|(kind, name)| format!("the {kind} {name} is not of imagebaked")),
    );
    Ok(found)
}

/// Faults in the list of migrations of a database.
async fn applied_differences(connection: &mut SqliteConnection, last: i64) -> Result<Vec<String>, StoreError> {
    let rows: Vec<(i64, Vec<u8>, bool)> =
        sqlx::query_as(APPLIED_MIGRATIONS).fetch_all(connection).await.map_err(failed("list its migrations"))?;
    let mut found = Vec::new();
    for migration in MIGRATIONS.iter().filter(|migration| migration.version <= last) {
        let version = migration.version;
        match rows.iter().find(|(applied, ..)| *applied == version) {
            None => found.push(format!("migration {version} was not carried out")),
            Some((_, _, false)) => found.push(format!("migration {version} did not end")),
            Some((_, checksum, true)) if *checksum != *migration.checksum => {
                found.push(format!("migration {version} is not that of this imagebaked"));
            }
            Some(_) => {}
        }
    }
    let is_known = |version: i64| MIGRATIONS.iter().any(|migration| migration.version == version);
    let unknown = rows.iter().filter(|(version, ..)| !is_known(*version));
    found.extend(unknown.map(|(version, ..)| format!("migration {version} is not of this imagebaked")));
    Ok(found)
}

async fn objects(connection: &mut SqliteConnection) -> Result<Objects, StoreError> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(SCHEMA_OBJECTS).fetch_all(connection).await.map_err(failed("read its schema"))?;
    Ok(rows.into_iter().map(|(kind, name, sql)| ((kind, name), sql)).collect())
}
