//! Rows of bakes and their calls, as people and programs see them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{QueryBuilder, Sqlite};

use super::{AttemptRow, BakeRow, CopyRow, Filter, Reader, StoreError, failed, from_row::from_row};
use crate::domain::ids::{BakeId, ScheduleId};

/// The columns of a row of the history, as people and programs see them.
pub(super) const BAKE_ROW_COLUMNS: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, slot_count, first_slot, state, reason, reason_code,
       cause, version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at,
       requested_by, config_hash, EXISTS (SELECT 1 FROM vetoes v WHERE v.image_id = bakes.image_id) AS vetoed
FROM bakes";

/// One row of the history.
pub(super) const BAKE_ROW: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, slot_count, first_slot, state, reason, reason_code,
       cause, version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at,
       requested_by, config_hash, EXISTS (SELECT 1 FROM vetoes v WHERE v.image_id = bakes.image_id) AS vetoed
FROM bakes WHERE id = ?1";

/// The highest number of a bake.
pub(super) const NEWEST_BAKE: &str = "SELECT max(id) FROM bakes";

/// The row of one schedule and instance for an instant: the one of that slot, or the first that covers a range
/// which the instant lies in.
pub(super) const ROW_COVERING: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, slot_count, first_slot, state, reason, reason_code,
       cause, version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at,
       requested_by, config_hash, EXISTS (SELECT 1 FROM vetoes v WHERE v.image_id = bakes.image_id) AS vetoed
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

/// The same of one schedule. The index of its rows has no state, and would read years of them: those of all schedules in these
/// states are few.
pub(super) const COUNTS_OF_SCHEDULE: &str = "
SELECT state, count(*) AS n FROM bakes WHERE state IN (SELECT value FROM json_each(?2)) AND slot >= ?1 AND +schedule_id = ?3
GROUP BY state";

/// How many of those that succeeded, of slots since an instant and of one schedule or of all, have an image that is vetoed.
pub(super) const VETOED_SINCE: &str = "
SELECT count(*) FROM bakes b INDEXED BY bakes_by_state
WHERE b.state = 'succeeded' AND b.slot >= ?1 AND (?2 IS NULL OR b.schedule_id = ?2)
  AND EXISTS (SELECT 1 FROM vetoes v WHERE v.image_id = b.image_id)";

from_row! {
    BakeRow {
        id, schedule_id, schedule, instance_id, line_id, slot, trigger, slot_count, first_slot, state, reason, reason_code,
        cause, version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at,
        requested_by, config_hash, vetoed,
    }
}

from_row! {
    AttemptRow { stage, call, started_at, finished_at, outcome, code, http_status, request_id, message, success, answer }
}

from_row! {
    CopyRow { region, state, status, tries, progress, reason, task_id, wake_at, created_at, finished_at }
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

    /// Number of rows in each of these states, of slots at or after `since`: of one schedule, or of all.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn counts(
        &self,
        of: Option<&ScheduleId>,
        since: DateTime<Utc>,
        states: &[&str],
    ) -> Result<HashMap<String, u64>, StoreError> {
        let (since, states) = (since.timestamp_millis(), serde_json::to_string(states).map_err(StoreError::Encode)?);
        let statement = match of {
            Some(schedule) => sqlx::query_as(COUNTS_OF_SCHEDULE).bind(since).bind(states).bind(schedule.as_str()),
            None => sqlx::query_as(COUNTS_SINCE).bind(since).bind(states),
        };
        let rows: Vec<(String, i64)> = statement.fetch_all(&self.pool).await.map_err(failed("count the bakes"))?;
        Ok(rows.into_iter().map(|(state, n)| (state, n.unsigned_abs())).collect())
    }

    /// How many bakes that succeeded, of slots since `since`, have an image that is vetoed.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn vetoed(&self, of: Option<&ScheduleId>, since: DateTime<Utc>) -> Result<u64, StoreError> {
        let (since, schedule) = (since.timestamp_millis(), of.map(ScheduleId::as_str));
        let counted: i64 = sqlx::query_scalar(VETOED_SINCE)
            .bind(since)
            .bind(schedule)
            .fetch_one(&self.pool)
            .await
            .map_err(failed("count the vetoed images"))?;
        Ok(counted.unsigned_abs())
    }
}
