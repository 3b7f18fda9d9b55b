//! What the history knows of each schedule and its instances.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    Reader, Store, StoreError,
    batch::execute,
    clock_steps::{RowAhead, give_up_slots},
    failed,
    from_row::from_row,
    instant,
    slots::{NewRow, insert_rows},
};
use crate::{
    adapters::failpoint,
    domain::{
        calendar::zone::Zone,
        catch_up::GivenUp,
        event::Event,
        ids::{InstanceId, LineId, ScheduleId, ScheduleName},
        plan::explain::Known,
    },
};

/// Targets as the file has them now.
pub(super) const UPSERT_TARGETS: &str = "
INSERT INTO targets (schedule_id, instance_id, schedule, line_id, timing, processed_until, known_since, removed_at)
SELECT value ->> 'schedule_id', value ->> 'instance_id', value ->> 'schedule', value ->> 'line_id',
       value ->> 'timing', value ->> 'processed_until', value ->> 'known_since', NULL
FROM json_each(?1) WHERE true
ON CONFLICT (schedule_id, instance_id) DO UPDATE
SET schedule = excluded.schedule, line_id = excluded.line_id, timing = excluded.timing,
    processed_until = excluded.processed_until, known_since = excluded.known_since, removed_at = NULL";

/// Targets that the file no longer has.
pub(super) const REMOVE_TARGETS: &str = "
UPDATE targets SET removed_at = gone.value ->> 'removed_at'
FROM json_each(?1) AS gone
WHERE targets.schedule_id = gone.value ->> 'schedule_id' AND targets.instance_id = gone.value ->> 'instance_id'
  AND targets.removed_at IS NULL";

/// All targets, also those that are gone from the file.
pub(super) const ALL_TARGETS: &str = "
SELECT schedule_id, instance_id, schedule, line_id, timing, processed_until, known_since, removed_at FROM targets";

/// What is known of a schedule, by id or by name, also of those that are gone from the file.
pub(super) const SEEN_OF: &str = "
SELECT schedule_id, schedule, instance_id, timing, processed_until, known_since, removed_at
FROM targets WHERE schedule_id = ?1 OR schedule = ?1
ORDER BY schedule_id, instance_id";

/// Every name and id of a schedule that was ever seen.
pub(super) const SCHEDULE_WORDS: &str = "SELECT schedule FROM targets UNION SELECT schedule_id FROM targets";

/// Names and ids of schedules with the zone of their rule when last seen.
pub(super) const SCHEDULE_ZONES: &str = "
SELECT DISTINCT schedule_id, schedule, coalesce(CASE WHEN json_valid(timing) THEN timing ->> '$.timezone' END, '')
FROM targets";

/// Every instance that was ever seen.
pub(super) const INSTANCE_WORDS: &str = "SELECT DISTINCT instance_id FROM targets";

/// An instance of a schedule in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRow {
    /// The schedule's stable id.
    pub schedule_id: String,
    /// Name of the schedule when last seen.
    pub schedule: String,
    /// The instance.
    pub instance_id: String,
    /// Its rule when last seen, as JSON of the planner.
    pub timing: String,
    processed_until: i64,
    known_since: i64,
    removed_at: Option<i64>,
}

from_row!(TargetRow { schedule_id, schedule, instance_id, timing, processed_until, known_since, removed_at });

impl TargetRow {
    /// Start, progress and end.
    pub fn known(&self) -> Known {
        Known {
            since: instant(self.known_since),
            processed_until: instant(self.processed_until),
            removed_at: self.removed_at.map(instant),
        }
    }
}

impl Reader {
    /// State of the instances of a schedule, by id or name, including removed ones.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn seen(&self, schedule: &str) -> Result<Vec<TargetRow>, StoreError> {
        sqlx::query_as(SEEN_OF)
            .bind(schedule)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read what is known of a schedule"))
    }

    /// All names and ids of schedules in the history.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn schedule_words(&self) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(SCHEDULE_WORDS).fetch_all(&self.pool).await.map_err(failed("read the names of schedules"))
    }
}

impl Reader {
    /// All targets, including removed ones.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn targets(&self) -> Result<Vec<StoredTarget>, StoreError> {
        type Columns = (String, String, String, String, String, i64, i64, Option<i64>);
        let rows: Vec<Columns> =
            sqlx::query_as(ALL_TARGETS).fetch_all(&self.pool).await.map_err(failed("read the known schedules"))?;
        Ok(rows
            .into_iter()
            .map(|(schedule_id, instance_id, schedule, line, timing, processed_until, known_since, removed_at)| {
                StoredTarget {
                    schedule_id: schedule_id.into(),
                    instance_id: instance_id.into(),
                    schedule: schedule.into(),
                    line: line.into(),
                    timing,
                    processed_until: instant(processed_until),
                    known_since: instant(known_since),
                    removed_at: removed_at.map(instant),
                }
            })
            .collect())
    }

    /// The zone of each schedule that the history has, by id and by name, as last seen.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn schedule_zones(&self) -> Result<Vec<([String; 2], Zone)>, StoreError> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(SCHEDULE_ZONES)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the zones of schedules"))?;
        Ok(rows.into_iter().filter_map(|(id, name, zone)| Some(([id, name], Zone::find(&zone)?))).collect())
    }

    /// All instances of schedules in the history.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn instance_words(&self) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(INSTANCE_WORDS).fetch_all(&self.pool).await.map_err(failed("read the known instances"))
    }
}

/// State of one (schedule, instance).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTarget {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// The instance.
    pub instance_id: InstanceId,
    /// Name of the schedule when last seen.
    pub schedule: ScheduleName,
    /// The line of its images.
    pub line: LineId,
    /// Rule of `processed_until`, as JSON of the planner.
    pub timing: String,
    /// All slots up to this instant, inclusive, have a row.
    pub processed_until: DateTime<Utc>,
    /// When it was first seen.
    pub known_since: DateTime<Utc>,
    /// Instant from which the configuration does not have it.
    pub removed_at: Option<DateTime<Utc>>,
}

/// What another configuration changes in the history.
#[derive(Debug)]
pub struct Adoption<'a> {
    /// Its targets that are new or changed.
    pub present: &'a [StoredTarget],
    /// Targets that it does not have any more.
    pub gone: &'a [(ScheduleId, InstanceId)],
    /// Future slots that rows of replaced rules give up.
    pub given_up: &'a [(RowAhead, GivenUp)],
    /// Rows for slots of rules that are replaced.
    pub rows: &'a [NewRow],
    /// What it makes true.
    pub events: Vec<Event>,
}

impl Store {
    /// Applies a new configuration: its targets, removed targets, rows for slots of rules that are replaced, and future
    /// slots that rows of such rules give up. All or nothing.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn adopt_targets(
        &self,
        adoption: Adoption<'_>,
        config_hash: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Present<'a> {
            schedule_id: &'a ScheduleId,
            instance_id: &'a InstanceId,
            schedule: &'a ScheduleName,
            line_id: &'a LineId,
            timing: &'a str,
            processed_until: i64,
            known_since: i64,
        }
        #[derive(Serialize)]
        struct Gone<'a> {
            schedule_id: &'a ScheduleId,
            instance_id: &'a InstanceId,
            removed_at: i64,
        }
        let Adoption { present, gone, given_up, rows, events } = adoption;
        let present: Vec<_> = present
            .iter()
            .map(|target| Present {
                schedule_id: &target.schedule_id,
                instance_id: &target.instance_id,
                schedule: &target.schedule,
                line_id: &target.line,
                timing: &target.timing,
                processed_until: target.processed_until.timestamp_millis(),
                known_since: target.known_since.timestamp_millis(),
            })
            .collect();
        let removed_at = now.timestamp_millis();
        let gone: Vec<_> =
            gone.iter().map(|(schedule_id, instance_id)| Gone { schedule_id, instance_id, removed_at }).collect();
        let mut tx = self.begin().await?;
        give_up_slots(&mut tx, given_up, now).await?;
        insert_rows(&mut tx, rows, None, config_hash, now).await?;
        execute(&mut tx, UPSERT_TARGETS, &present).await?;
        execute(&mut tx, REMOVE_TARGETS, &gone).await?;
        for event in events {
            tx.record(now, event);
        }
        failpoint::hit("before", "targets");
        tx.commit().await.map_err(failed("commit the schedules"))?;
        failpoint::hit("after", "targets");
        Ok(())
    }
}
