//! Audit of actions by people and of automatic changes. Rows are only added.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{QueryBuilder, Sqlite};

use super::{
    Store, StoreError, failed, from_row::from_row, json_instants::instant, reader::Reader, writer::WriteTransaction,
};
use crate::domain::event::AuditLine;

/// One more line of the audit.
pub(super) const INSERT_AUDIT: &str = "INSERT INTO audit (at, who, action, detail) VALUES (?1, ?2, ?3, ?4)";

/// The columns of the audit.
pub(super) const AUDIT: &str = "SELECT id, at, who, action, detail FROM audit";

/// One line of the audit; the field names are those of `audit --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// Its number.
    pub id: i64,
    /// When, milliseconds since 1970; RFC 3339 in JSON.
    #[serde(serialize_with = "instant")]
    pub at: i64,
    /// Who.
    pub who: String,
    /// `bake`, `pause`, `reload`, …
    pub action: String,
    /// Object and details of the action.
    pub detail: String,
}

from_row!(AuditRow { id, at, who, action, detail });

/// Filter of the audit, newest line first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// At or after.
    pub since: Option<DateTime<Utc>>,
    /// At or before.
    pub until: Option<DateTime<Utc>>,
    /// By a person of this name or uid.
    pub who: Option<String>,
    /// With this action.
    pub action: Option<String>,
    /// Lines before this one: the end of the last page.
    pub before: Option<i64>,
    /// Maximum number of lines.
    pub limit: u32,
}

impl Reader {
    /// A page of the audit.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(AUDIT);
        query.push(" WHERE 1");
        if let Some(since) = filter.since {
            query.push(" AND at >= ").push_bind(since.timestamp_millis());
        }
        if let Some(until) = filter.until {
            query.push(" AND at <= ").push_bind(until.timestamp_millis());
        }
        if let Some(who) = &filter.who {
            // Whole words: `alice`, `1000` and `uid 1000 (alice)` match the same person, `100` does not.
            query.push(" AND instr(' ' || replace(replace(who, '(', ''), ')', '') || ' ', ");
            query.push_bind(format!(" {} ", who.trim().replace(['(', ')'], ""))).push(") > 0");
        }
        if let Some(action) = &filter.action {
            query.push(" AND action = ").push_bind(action);
        }
        if let Some(before) = filter.before {
            query.push(" AND id < ").push_bind(before);
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(filter.limit));
        query.build_query_as().fetch_all(&self.pool).await.map_err(failed("read the audit"))
    }
}

impl Store {
    /// Adds a line to the audit, with its event.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn note(&self, line: &AuditLine<'_>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        audit(&mut tx, line).await?;
        tx.commit().await.map_err(failed("write the audit"))
    }
}

/// Adds a line to the audit and its event, in the transaction of the action.
pub(super) async fn audit(tx: &mut WriteTransaction, line: &AuditLine<'_>) -> Result<(), StoreError> {
    insert_audit(tx, line).await?;
    tx.record(line.at, line.event());
    Ok(())
}

/// Adds a line to the audit alone.
pub(super) async fn insert_audit(
    connection: &mut sqlx::SqliteConnection,
    AuditLine { at, who, action, detail, .. }: &AuditLine<'_>,
) -> Result<(), StoreError> {
    let query = sqlx::query(INSERT_AUDIT).bind(at.timestamp_millis()).bind(*who);
    let query = query.bind(action.as_str()).bind(detail);
    query.execute(connection).await.map_err(failed("write the audit")).map(|_| ())
}
