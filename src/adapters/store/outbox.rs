//! The outbox: events of a transaction are inserted with it, and logged once it is committed.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::{FromRow, QueryBuilder, Row as _, Sqlite, SqliteConnection, sqlite::SqliteRow};

use super::{Reader, Store, StoreError, event_subjects, failed};
use crate::domain::{
    event::{ENVELOPE, Event, EventSeverity, EventType},
    history::instants::{instant, maybe_instant},
};

/// Events of a transaction. The wording and the facts were composed by whoever made them true.
pub(super) const INSERT_EVENTS: &str = "
INSERT INTO events (at, type, severity, subject_kind, subject_id, since, message, command, data)
SELECT value ->> 'at', value ->> 'type', value ->> 'severity', value ->> 'subject_kind', value ->> 'subject_id',
       value ->> 'since', value ->> 'message', value ->> 'command', value -> 'data'
FROM json_each(?1)";

/// Events; the conditions are appended.
pub(super) const EVENTS: &str = "
SELECT id, type, at, severity, subject_kind, subject_id, since, message, command, data FROM events";

/// Number of the newest event.
pub(super) const NEWEST_EVENT: &str = "SELECT coalesce(max(id), 0) FROM events";

/// The oldest events, at most ?3 of them: those before ?1, and those beyond the newest ?2.
pub(super) const PRUNE_EVENTS: &str = "
DELETE FROM events WHERE id IN (
    SELECT id FROM (SELECT id, at FROM events ORDER BY id LIMIT ?3)
    WHERE at < ?1 OR id <= (SELECT max(id) FROM events) - ?2)";

/// The only fact of an event whose facts are damaged: what is wrong with them.
pub const UNREADABLE: &str = "unreadable";
/// Events of one statement.
const BATCH: usize = 1000;
/// Maximum number of events that are deleted in one transaction: the writer serves bakes in between.
const PRUNED_AT_ONCE: i64 = 10_000;
/// Maximum number of stored events, however young they are: about a gigabyte.
pub const MOST_EVENTS: i64 = 2_000_000;

/// An event of the outbox in its envelope; the field names are those of `events --json` and of notifications.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventRow {
    /// Version of the envelope.
    pub version: u32,
    /// Its number; later events have higher ones.
    pub id: i64,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// When, milliseconds since 1970; RFC 3339 in JSON.
    #[serde(rename = "time", serialize_with = "instant")]
    pub at: i64,
    /// `info`, `warning` or `problem`.
    pub severity: String,
    /// What it is about.
    pub subject: EventSubject,
    /// Start of the problem that it is about.
    #[serde(serialize_with = "maybe_instant")]
    pub since: Option<i64>,
    /// One sentence.
    pub message: String,
    /// Command that shows more or fixes it.
    pub command: Option<String>,
    /// Page that shows more; none as long as the address of the page is not known outside.
    pub link: Option<String>,
    /// The facts by name.
    pub data: Map<String, Value>,
}

impl FromRow<'_, SqliteRow> for EventRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let text = |column: &str| row.try_get::<String, _>(column);
        // One damaged row does not hide the others.
        let unreadable = |error: serde_json::Error| Map::from_iter([(UNREADABLE.to_owned(), error.to_string().into())]);
        Ok(Self {
            version: ENVELOPE,
            id: row.try_get("id")?,
            kind: text("type")?,
            at: row.try_get("at")?,
            severity: text("severity")?,
            subject: EventSubject { kind: text("subject_kind")?, id: text("subject_id")? },
            since: row.try_get("since")?,
            message: text("message")?,
            command: row.try_get("command")?,
            link: None,
            data: serde_json::from_str(&text("data")?).unwrap_or_else(unreadable),
        })
    }
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventSubject {
    /// Kind of thing.
    pub kind: String,
    /// Its id; empty if there is only one.
    pub id: String,
}

/// Filter of the events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// At or after.
    pub since: Option<DateTime<Utc>>,
    /// At or before.
    pub until: Option<DateTime<Utc>>,
    /// Of these types; all if empty.
    pub kinds: Vec<EventType>,
    /// At least this severe.
    pub severity: Option<EventSeverity>,
    /// About the thing with this id, about what belongs to it, or with it among the facts.
    pub subject: Option<String>,
    /// After this number: oldest first. Otherwise the newest ones are read.
    pub after: Option<i64>,
    /// Maximum number.
    pub limit: u32,
}

/// Event of a transaction, with its time.
#[derive(Debug)]
pub(super) struct Recorded {
    pub at: DateTime<Utc>,
    pub event: Event,
}

#[derive(Serialize)]
struct Row<'a> {
    at: i64,
    #[serde(rename = "type")]
    kind: &'static str,
    severity: &'static str,
    subject_kind: &'static str,
    subject_id: &'a str,
    since: Option<i64>,
    message: &'a str,
    command: Option<&'a str>,
    data: &'a Map<String, Value>,
}

/// Inserts events in the transaction of what they are about.
pub(super) async fn insert(connection: &mut SqliteConnection, events: &[Recorded]) -> Result<(), sqlx::Error> {
    for batch in events.chunks(BATCH) {
        let rows: Vec<_> = batch
            .iter()
            .map(|Recorded { at, event }| Row {
                at: at.timestamp_millis(),
                kind: event.kind.as_str(),
                severity: event.severity.as_str(),
                subject_kind: event.subject.kind.as_str(),
                subject_id: &event.subject.id,
                since: event.since.map(|since| since.timestamp_millis()),
                message: &event.message,
                command: event.command.as_deref(),
                data: &event.data,
            })
            .collect();
        let json = serde_json::to_string(&rows).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        sqlx::query(INSERT_EVENTS).bind(json).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Logs a committed event in one line that is readable alone, with its facts as fields.
pub(super) fn log(event: &Event) {
    // The message of a problem is in its end, too.
    let begins = if event.kind == EventType::ProblemStarted { "problem began: " } else { "" };
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                event = event.kind.as_str(),
                bake = event.number("bake"),
                schedule = event.text("schedule"),
                instance = event.text("instance_id"),
                line = event.text("line"),
                image = event.text("image_id"),
                region = event.text("region"),
                channel = event.text("channel"),
                code = event.text("code"),
                reason = event.text("reason"),
                who = event.text("who"),
                "{begins}{}",
                event.message
            )
        };
    }
    match event.severity {
        EventSeverity::Info if event.kind.is_routine() => line!(debug),
        EventSeverity::Info => line!(info),
        EventSeverity::Warning => line!(warn),
        EventSeverity::Problem => line!(error),
    }
}

impl Reader {
    /// Events, oldest first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn events(&self, filter: &EventFilter) -> Result<Vec<EventRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(EVENTS);
        query.push(" WHERE 1");
        if let Some(since) = filter.since {
            query.push(" AND at >= ").push_bind(since.timestamp_millis());
        }
        if let Some(until) = filter.until {
            query.push(" AND at <= ").push_bind(until.timestamp_millis());
        }
        if !filter.kinds.is_empty() {
            query.push(" AND type IN (");
            let mut kinds = query.separated(", ");
            for kind in &filter.kinds {
                kinds.push_bind(kind.as_str());
            }
            query.push(")");
        }
        if let Some(severity) = filter.severity {
            query.push(" AND severity IN (");
            let mut words = query.separated(", ");
            for (_, word) in EventSeverity::WORDS.iter().filter(|(other, _)| *other >= severity) {
                words.push_bind(*word);
            }
            query.push(")");
        }
        if let Some(subject) = &filter.subject {
            let related = event_subjects::related(&self.pool, subject).await?;
            query.push(" AND (").push_bind(subject.clone()).push(" IN (subject_id, subject_kind || ':' || subject_id)");
            query.push(" OR subject_kind || ':' || subject_id IN (SELECT value FROM json_each(").push_bind(related);
            // The text is searched first: to read millions of facts takes long.
            let quoted = serde_json::to_string(subject).map_err(StoreError::Encode)?;
            query
                .push(")) OR instr(data, ")
                .push_bind(quoted)
                .push(") > 0 AND json_valid(data) AND ")
                .push_bind(subject.clone());
            query.push(" IN (data ->> 'schedule', data ->> 'instance_id', data ->> 'line', data ->> 'image_id'))");
        }
        if let Some(after) = filter.after {
            query.push(" AND id > ").push_bind(after).push(" ORDER BY id LIMIT ");
        } else {
            query.push(" ORDER BY id DESC LIMIT ");
        }
        query.push_bind(i64::from(filter.limit));
        let read: Result<Vec<EventRow>, _> = query.build_query_as().fetch_all(&self.pool).await;
        let mut events = read.map_err(failed("read the events"))?;
        if filter.after.is_none() {
            events.reverse();
        }
        Ok(events)
    }

    /// Number of the newest event; 0 if there is none.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn newest_event(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar(NEWEST_EVENT).fetch_one(&self.pool).await.map_err(failed("read the newest event"))
    }
}

impl Store {
    /// Records an event of its own, such as the start of the daemon.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn record_event(&self, at: DateTime<Utc>, event: Event) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.record(at, event);
        tx.commit().await.map_err(failed("commit an event"))
    }

    /// Deletes the oldest events: those before `before`, and those beyond `MOST_EVENTS`. Returns their number.
    ///
    /// # Errors
    ///
    /// `StoreError` if a transaction fails; earlier ones stay committed.
    pub async fn prune_events(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        self.prune_events_beyond(before, MOST_EVENTS).await
    }

    async fn prune_events_beyond(&self, before: DateTime<Utc>, most: i64) -> Result<u64, StoreError> {
        let mut pruned = 0;
        loop {
            let mut tx = self.begin().await?;
            let done = sqlx::query(PRUNE_EVENTS)
                .bind(before.timestamp_millis())
                .bind(most)
                .bind(PRUNED_AT_ONCE)
                .execute(&mut *tx)
                .await
                .map_err(failed("delete old events"))?
                .rows_affected();
            tx.commit().await.map_err(failed("delete old events"))?;
            pruned += done;
            if done < PRUNED_AT_ONCE.unsigned_abs() {
                return Ok(pruned);
            }
        }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
