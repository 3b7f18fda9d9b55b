//! The tables of the history as data: a backup counts them, an export contains them. A new table needs one line here; a
//! test finds missing ones.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{StoreError, failed};

/// The tables of the database.
pub(super) const TABLE_NAMES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table'";

/// The last migration that was carried out.
pub(super) const MIGRATION: &str = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success";

/// The columns of a table, each with its place in the primary key, or 0.
pub(super) const COLUMNS_OF: &str = "SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid";

/// One table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table {
    pub name: &'static str,
    pub kind: Kind,
}

/// Lifetime of the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows are only added.
    Record,
    /// Rows are added and deleted.
    State,
    /// Rows follow from the configuration and the cloud: a daemon that was just started has some.
    Mirror,
}

/// All tables, in the order of their references. Without `channels_due`, which triggers fill, and `lineage`, which
/// belongs to this file only.
const TABLES: &[Table] = &[
    Table { name: "settings", kind: Kind::Record },
    Table { name: "targets", kind: Kind::Mirror },
    Table { name: "lines", kind: Kind::Mirror },
    Table { name: "bakes", kind: Kind::Record },
    Table { name: "attempts", kind: Kind::Record },
    Table { name: "images", kind: Kind::State },
    Table { name: "inventory_scan", kind: Kind::Mirror },
    Table { name: "line_rules", kind: Kind::Mirror },
    Table { name: "brakes", kind: Kind::State },
    Table { name: "failed_images", kind: Kind::Mirror },
    Table { name: "unrecorded_images", kind: Kind::Mirror },
    Table { name: "pins", kind: Kind::State },
    Table { name: "vetoes", kind: Kind::State },
    Table { name: "channels", kind: Kind::State },
    Table { name: "channel_history", kind: Kind::Record },
    Table { name: "distributions", kind: Kind::State },
    Table { name: "audit", kind: Kind::Record },
    Table { name: "pauses", kind: Kind::State },
    Table { name: "streaks", kind: Kind::State },
    Table { name: "learned", kind: Kind::Mirror },
    Table { name: "events", kind: Kind::Mirror },
    Table { name: "problems", kind: Kind::Mirror },
];

/// Tables that a migration renamed: the name of today and the former one. An earlier history has it under that.
const RENAMED: &[(&str, &str)] = &[("inventory_scan", "looks")];

/// Number of rows of each table, by name.
pub type Rows = BTreeMap<String, u64>;

/// Migration of the database; `None` if it is no history.
pub(super) async fn migration(connection: &mut SqliteConnection) -> Result<Option<i64>, StoreError> {
    if !names(connection).await?.iter().any(|name| name == "_sqlx_migrations") {
        return Ok(None);
    }
    sqlx::query_scalar(MIGRATION).fetch_one(connection).await.map_err(failed("read which migration it is at"))
}

/// The tables that the database has, by the names that it has for them; an earlier version has fewer.
pub(super) async fn present(connection: &mut SqliteConnection) -> Result<Vec<Table>, StoreError> {
    let names = names(connection).await?;
    let is_there = |name: &&str| names.iter().any(|there| there == name);
    let former = |table: &Table| RENAMED.iter().find(|(name, _)| *name == table.name).map(|(_, former)| *former);
    let present = TABLES.iter().filter_map(|table| {
        let name = Some(table.name).filter(is_there).or_else(|| former(table).filter(is_there))?;
        Some(Table { name, ..*table })
    });
    Ok(present.collect())
}

/// Whether its version marks its starts.
pub(super) async fn has_marks(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    Ok(names(connection).await?.iter().any(|name| name == "lineage"))
}

async fn names(connection: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
    sqlx::query_scalar(TABLE_NAMES).fetch_all(connection).await.map_err(failed("list its tables"))
}

/// Number of rows of each of these tables.
pub(super) async fn count(connection: &mut SqliteConnection, tables: &[Table]) -> Result<Rows, StoreError> {
    let mut rows = Rows::new();
    for table in tables {
        // Names come from the list above, never from outside.
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {}", table.name));
        let n: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await.map_err(failed("count its rows"))?;
        rows.insert(table.name.to_owned(), n.unsigned_abs());
    }
    Ok(rows)
}

/// The columns of a table in their order, and those of its primary key in theirs.
pub(super) async fn columns(
    connection: &mut SqliteConnection,
    table: Table,
) -> Result<(Vec<String>, Vec<String>), StoreError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(COLUMNS_OF)
        .bind(table.name)
        .fetch_all(connection)
        .await
        .map_err(failed("read the columns of a table"))?;
    let mut key: Vec<_> = rows.iter().filter(|(_, place)| *place > 0).collect();
    key.sort_by_key(|(_, place)| *place);
    let key = key.into_iter().map(|(name, _)| name.clone()).collect();
    Ok((rows.into_iter().map(|(name, _)| name).collect(), key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::store::Store;

    #[tokio::test]
    async fn no_table_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let mut connection = store.writer.connection().await.unwrap();
        let mut all = names(&mut connection).await.unwrap();
        all.retain(|name| {
            !["_sqlx_migrations", "channels_due", "lineage"].contains(&name.as_str()) && !name.starts_with("sqlite_")
        });
        all.sort_unstable();
        let mut listed: Vec<_> = TABLES.iter().map(|table| table.name.to_owned()).collect();
        listed.sort_unstable();
        assert_eq!(all, listed, "a table that is not in TABLES is in no export");
        assert_eq!(migration(&mut connection).await.unwrap(), Some(super::super::schema::last_migration()));
    }

    #[tokio::test]
    async fn tables_come_after_those_that_they_refer_to() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let mut seen = Vec::new();
        let mut connection = store.writer.connection().await.unwrap();
        for table in TABLES {
            let sql = AssertSqlSafe(format!("SELECT \"table\" FROM pragma_foreign_key_list('{}')", table.name));
            let parents: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut *connection).await.unwrap();
            seen.push(table.name.to_owned());
            assert!(parents.iter().all(|parent| seen.contains(parent)), "{}: {parents:?}", table.name);
        }
    }
}
