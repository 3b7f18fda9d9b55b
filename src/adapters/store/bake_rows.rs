//! Rows of bakes and their calls, as people and programs see them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{QueryBuilder, Sqlite};

use super::{
    Reader, StoreError, failed,
    from_row::from_row,
    json_instants::{instant, maybe_instant},
};
use crate::domain::{bake::Trigger, ids::BakeId, plan::explain::Record};

/// The columns of a row of the history, as people and programs see them.
pub(super) const BAKE_ROW_COLUMNS: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, slot_count, first_slot, state, reason, reason_code,
       cause, version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at,
       requested_by, config_hash
FROM bakes";

/// One row of the history.
pub(super) const BAKE_ROW: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, slot_count, first_slot, state, reason, reason_code,
       cause, version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at,
       requested_by, config_hash
FROM bakes WHERE id = ?1";

/// The highest number of a bake.
pub(super) const NEWEST_BAKE: &str = "SELECT max(id) FROM bakes";

/// The row of one schedule and instance for an instant: the one of that slot, or the first that covers a range
/// which the instant lies in.
pub(super) const ROW_COVERING: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, slot_count, first_slot, state, reason, reason_code,
       cause, version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at,
       requested_by, config_hash
FROM bakes WHERE schedule_id = ?1 AND instance_id = ?2 AND slot >= ?3 AND first_slot <= ?3
ORDER BY slot LIMIT 1";

/// The calls of one bake, in order.
pub(super) const ATTEMPTS_OF: &str = "
SELECT stage, call, started_at, finished_at, outcome, code, http_status, request_id, message, success, answer
FROM attempts WHERE bake_id = ?1 ORDER BY id";

/// What a bake was to do.
pub(super) const SETTINGS_OF: &str = "
SELECT s.json FROM bakes b JOIN settings s ON s.hash = b.settings WHERE b.id = ?1";

/// How many bakes are in each of some states, of slots since an instant.
pub(super) const COUNTS_SINCE: &str = "
SELECT state, count(*) AS n FROM bakes WHERE state IN (SELECT value FROM json_each(?2)) AND slot >= ?1 GROUP BY state";

/// One row of the history; the field names are those of `history --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BakeRow {
    /// The bake's number.
    pub id: i64,
    /// The schedule's stable id.
    pub schedule_id: String,
    /// Name of the schedule when the row was created.
    pub schedule: String,
    /// The instance.
    pub instance_id: String,
    /// The line.
    #[serde(rename = "line")]
    pub line_id: String,
    /// The slot, in milliseconds since 1970; RFC 3339 in JSON, as all instants here.
    #[serde(serialize_with = "instant")]
    pub slot: i64,
    /// `slot`, `caught_up` or `manual`.
    pub trigger: String,
    /// Number of slots of the row.
    pub slot_count: i64,
    /// First of its slots.
    #[serde(serialize_with = "instant")]
    pub first_slot: i64,
    /// One of [`crate::domain::bake::State::WORDS`].
    pub state: String,
    /// Reason in plain words.
    pub reason: Option<String>,
    /// Reason code of an end without a good image, see [`crate::domain::bake::reason::ReasonCode`].
    pub reason_code: Option<String>,
    /// Cause of a failure, see [`crate::domain::api::cause::Cause`].
    pub cause: Option<String>,
    /// The version in the line.
    pub version: Option<i64>,
    /// The image's name.
    pub image_name: Option<String>,
    /// The image.
    pub image_id: Option<String>,
    /// Version id in the cloud.
    pub version_id: Option<String>,
    /// Task that made the image.
    pub task_id: Option<String>,
    /// Create calls that count as attempts.
    pub attempts: i64,
    /// Instant of the next event.
    #[serde(serialize_with = "maybe_instant")]
    pub wake_at: Option<i64>,
    /// When the row was created.
    #[serde(serialize_with = "instant")]
    pub created_at: i64,
    /// When it ended.
    #[serde(serialize_with = "maybe_instant")]
    pub finished_at: Option<i64>,
    /// Who requested a manual bake.
    pub requested_by: Option<String>,
    /// Fingerprint of its configuration.
    pub config_hash: String,
}

from_row!(BakeRow {
    id,
    schedule_id,
    schedule,
    instance_id,
    line_id,
    slot,
    trigger,
    slot_count,
    first_slot,
    state,
    reason,
    reason_code,
    cause,
    version,
    image_name,
    image_id,
    version_id,
    task_id,
    attempts,
    wake_at,
    created_at,
    finished_at,
    requested_by,
    config_hash
});

/// One call of a bake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptRow {
    /// `stop`, `create`, `build`, `start`, …
    pub stage: String,
    /// Which call.
    pub call: String,
    /// When it was started.
    #[serde(serialize_with = "instant")]
    pub started_at: i64,
    /// When it was answered.
    #[serde(serialize_with = "instant")]
    pub finished_at: i64,
    /// `ok`, or the class of the failure.
    pub outcome: String,
    /// The API's Code, of a good answer too where the call has one.
    pub code: Option<String>,
    /// The HTTP status.
    pub http_status: Option<i64>,
    /// For support tickets.
    pub request_id: Option<String>,
    /// Description of the result.
    pub message: Option<String>,
    /// The API's Success, where the call has it.
    pub success: Option<bool>,
    /// The API's own Message.
    pub answer: Option<String>,
}

from_row!(AttemptRow {
    stage,
    call,
    started_at,
    finished_at,
    outcome,
    code,
    http_status,
    request_id,
    message,
    success,
    answer
});

/// Filter of the history, newest slot first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Name or stable id.
    pub schedule: Option<String>,
    /// The instance.
    pub instance: Option<String>,
    /// State.
    pub states: Vec<String>,
    /// Slots at or after this instant.
    pub since: Option<DateTime<Utc>>,
    /// Slots at or before this instant.
    pub until: Option<DateTime<Utc>>,
    /// Bakes with a call that returned this code.
    pub code: Option<String>,
    /// Rows older than this (slot, number): the end of the last page.
    pub before: Option<(DateTime<Utc>, BakeId)>,
    /// Maximum number of rows.
    pub limit: u32,
}

impl BakeRow {
    /// The slot as an instant.
    pub fn slot(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.slot).unwrap_or_default()
    }

    /// Progress of the bake.
    pub fn record(&self) -> Record {
        Record {
            bake: BakeId(self.id),
            state: self.state.clone(),
            reason: self.reason.clone(),
            manual: self.trigger == Trigger::Manual.as_str(),
            first: DateTime::from_timestamp_millis(self.first_slot).unwrap_or_default(),
            last: self.slot(),
            count: self.slot_count.unsigned_abs(),
        }
    }

    /// Whether the bake has ended.
    pub fn is_ended(&self) -> bool {
        self.finished_at.is_some()
    }
}

impl Reader {
    /// A page of the history.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn history(&self, filter: &Filter) -> Result<Vec<BakeRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(BAKE_ROW_COLUMNS);
        query.push(" WHERE 1");
        if let Some(schedule) = &filter.schedule {
            // The id first: names can be reused, ids cannot.
            query.push(" AND schedule_id IN (SELECT schedule_id FROM targets WHERE schedule_id = ");
            query.push_bind(schedule).push(" OR schedule = ").push_bind(schedule).push(")");
        }
        if let Some(instance) = &filter.instance {
            query.push(" AND instance_id = ").push_bind(instance);
        }
        if !filter.states.is_empty() {
            query.push(" AND state IN (");
            let mut list = query.separated(", ");
            for state in &filter.states {
                list.push_bind(state);
            }
            query.push(")");
        }
        if let Some(since) = filter.since {
            query.push(" AND slot >= ").push_bind(since.timestamp_millis());
        }
        if let Some(until) = filter.until {
            query.push(" AND slot <= ").push_bind(until.timestamp_millis());
        }
        if let Some(code) = &filter.code {
            query.push(" AND id IN (SELECT bake_id FROM attempts WHERE code = ").push_bind(code).push(")");
        }
        if let Some((slot, id)) = filter.before {
            query.push(" AND (slot, id) < (").push_bind(slot.timestamp_millis()).push(", ").push_bind(id.0).push(")");
        }
        query.push(" ORDER BY slot DESC, id DESC LIMIT ").push_bind(i64::from(filter.limit));
        let rows = query.build_query_as().fetch_all(&self.pool).await.map_err(failed("read the history"))?;
        self.with_waits(rows).await
    }

    /// One row, if the bake exists.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn bake(&self, id: BakeId) -> Result<Option<BakeRow>, StoreError> {
        let query = sqlx::query_as(BAKE_ROW).bind(id.0);
        let row = query.fetch_optional(&self.pool).await.map_err(failed("read a bake"))?;
        Ok(self.with_waits(Vec::from_iter(row)).await?.pop())
    }

    /// The highest number of a bake.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn newest_bake(&self) -> Result<Option<BakeId>, StoreError> {
        let id: Option<i64> =
            sqlx::query_scalar(NEWEST_BAKE).fetch_one(&self.pool).await.map_err(failed("read a bake"))?;
        Ok(id.map(BakeId))
    }

    /// The row of a schedule's instance at an instant, if there is one.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn row_covering(
        &self,
        schedule_id: &str,
        instance_id: &str,
        at: DateTime<Utc>,
    ) -> Result<Option<BakeRow>, StoreError> {
        let row = sqlx::query_as(ROW_COVERING)
            .bind(schedule_id)
            .bind(instance_id)
            .bind(at.timestamp_millis())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read the row of a slot"))?;
        Ok(self.with_waits(Vec::from_iter(row)).await?.pop())
    }

    /// The calls of one bake, in order.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn attempts(&self, id: BakeId) -> Result<Vec<AttemptRow>, StoreError> {
        sqlx::query_as(ATTEMPTS_OF).bind(id.0).fetch_all(&self.pool).await.map_err(failed("read the attempts"))
    }

    /// Settings of a bake, as JSON; `None` for a row without a bake.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn settings(&self, id: BakeId) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar(SETTINGS_OF)
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read a bake's settings"))
    }

    /// Number of rows in each of these states, of slots at or after `since`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn counts(&self, since: DateTime<Utc>, states: &[&str]) -> Result<HashMap<String, u64>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(COUNTS_SINCE)
            .bind(since.timestamp_millis())
            .bind(serde_json::to_string(states).map_err(StoreError::Encode)?)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("count the bakes"))?;
        Ok(rows.into_iter().map(|(state, n)| (state, n.unsigned_abs())).collect())
    }
}
