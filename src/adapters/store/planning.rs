//! Writes of the planner: the state of each (schedule, instance), and the rows for its slots.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    ITSELF, Store, StoreError, audit::audit, failed, instant, transitions::settings_row, writer::WriteTransaction,
};
use crate::{
    adapters::failpoint,
    domain::{
        bake::{BakeSettings, State, Trigger, reason::ReasonCode, state::End},
        catch_up::{GivenUp, Range},
        clock::{ON_TIME, STEP_BACK, earlier, later, shifted},
        event::{Action, AuditLine, Event, bakes},
        health::{Subject, SubjectKind},
        ids::{BakeId, InstanceId, LineId, ScheduleId, ScheduleName},
    },
};

/// Rows for slots: those that are to be baked and those that were missed. A row that is there already stays as it is:
/// the unique key is what makes planning the same slot twice harmless.
pub(super) const INSERT_BAKES: &str = "
INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, settings,
                             config_hash, state, progress, reason, reason_code, wake_at, give_up_at, created_at,
                             finished_at,
                             requested_by, region)
SELECT value ->> 'schedule_id', value ->> 'schedule', value ->> 'instance_id', value ->> 'line_id', value ->> 'slot',
       value ->> 'trigger', value ->> 'covers', value ->> 'covers_from', value ->> 'settings', value ->> 'config_hash',
       value ->> 'state', value ->> 'progress', value ->> 'reason', value ->> 'reason_code', value ->> 'wake_at',
       value ->> 'give_up_at',
       value ->> 'created_at', value ->> 'finished_at', value ->> 'requested_by', value ->> 'region'
FROM json_each(?1) WHERE true
ON CONFLICT (schedule_id, instance_id, slot) DO NOTHING
RETURNING id, schedule_id, instance_id, slot";

/// What bakes do, once for all that do the same.
pub(super) const INSERT_SETTINGS: &str = "
INSERT INTO settings (hash, json)
SELECT value ->> 'hash', value ->> 'json' FROM json_each(?1) WHERE true
ON CONFLICT (hash) DO NOTHING";

/// Every slot of these targets from `known_since` up to `accounted_to` has its row.
pub(super) const UPDATE_ACCOUNTED: &str = "
UPDATE targets SET accounted_to = entry.value ->> 'accounted_to', known_since = entry.value ->> 'known_since'
FROM json_each(?1) AS entry
WHERE targets.schedule_id = entry.value ->> 'schedule_id' AND targets.instance_id = entry.value ->> 'instance_id'";

/// Targets as the file has them now.
pub(super) const UPSERT_TARGETS: &str = "
INSERT INTO targets (schedule_id, instance_id, schedule, line_id, timing, accounted_to, known_since, removed_at)
SELECT value ->> 'schedule_id', value ->> 'instance_id', value ->> 'schedule', value ->> 'line_id',
       value ->> 'timing', value ->> 'accounted_to', value ->> 'known_since', NULL
FROM json_each(?1) WHERE true
ON CONFLICT (schedule_id, instance_id) DO UPDATE
SET schedule = excluded.schedule, line_id = excluded.line_id, timing = excluded.timing,
    accounted_to = excluded.accounted_to, known_since = excluded.known_since, removed_at = NULL";

/// Targets that the file no longer has.
pub(super) const REMOVE_TARGETS: &str = "
UPDATE targets SET removed_at = gone.value ->> 'removed_at'
FROM json_each(?1) AS gone
WHERE targets.schedule_id = gone.value ->> 'schedule_id' AND targets.instance_id = gone.value ->> 'instance_id'
  AND targets.removed_at IS NULL";

/// Targets with rows for slots that they are not accounted for up to: the clock was ahead when those were written. Rows that
/// were rebuilt from tags, which end without settings, do not count for the slots before them. One step down an index for each
/// target; CROSS JOIN keeps the order of the tables.
pub(super) const SLOTS_AHEAD: &str = "
SELECT t.schedule_id, t.instance_id, max(b.slot)
FROM targets t CROSS JOIN bakes b
  ON b.schedule_id = t.schedule_id AND b.instance_id = t.instance_id AND b.slot > min(t.accounted_to, ?1)
WHERE b.trigger <> 'manual' AND (b.settings IS NOT NULL OR b.state = 'skipped')
GROUP BY t.schedule_id, t.instance_id";

/// The slots in (after, until] of some targets that have rows, other than the rows ?2.
pub(super) const SLOTS_WITH_ROWS: &str = "
SELECT b.schedule_id, b.instance_id, b.covers_from, b.slot
FROM json_each(?1) AS span CROSS JOIN bakes b
  ON b.schedule_id = span.value ->> 'schedule_id' AND b.instance_id = span.value ->> 'instance_id'
     AND b.slot > span.value ->> 'after' AND b.covers_from <= span.value ->> 'until'
WHERE b.trigger <> 'manual' AND b.id NOT IN (SELECT value FROM json_each(?2))
ORDER BY b.slot";

/// Rows of some targets for slots in (after, until] that were written later than now, ?2, while the clock was ahead, made no
/// call and may give their slots up; and those that ended for that and never sent a create call. A skipped row may be as
/// young as ?3: it was written as far behind its slot as this tick may be, and a queued one of that age is baked as it is.
pub(super) const ROWS_AHEAD: &str = "
SELECT b.id, b.schedule_id, b.instance_id, b.slot, b.covers_from, b.covers, b.created_at
FROM json_each(?1) AS span CROSS JOIN bakes b
  ON b.schedule_id = span.value ->> 'schedule_id' AND b.instance_id = span.value ->> 'instance_id'
     AND b.slot > span.value ->> 'after' AND b.covers_from <= span.value ->> 'until'
WHERE b.trigger <> 'manual' AND b.state IN ('queued', 'skipped')
  AND (b.reason_code = 'clock_ahead' AND b.progress ->> '$.work.evidence.first_sent' IS NULL
          AND b.progress ->> '$.work.evidence.earlier' IS NULL
       OR b.version IS NULL AND (b.created_at > ?2 OR b.state = 'skipped' AND b.created_at > ?3)
          AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.bake_id = b.id))
ORDER BY b.id";

/// Rows that give up all their slots.
pub(super) const REMOVE_ROWS_AHEAD: &str = "
DELETE FROM bakes
WHERE id IN (SELECT value ->> 'id' FROM json_each(?1) WHERE value ->> 'covers' IS NULL) AND state IN ('queued', 'skipped')";

/// Remaining slots of rows that give up slots in the middle, as rows of their own: the earlier part.
pub(super) const SPLIT_ROWS_AHEAD: &str = "
INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, settings, config_hash,
                   state, progress, reason, reason_code, created_at, finished_at)
SELECT b.schedule_id, b.schedule, b.instance_id, b.line_id, part.value ->> 'split_slot', b.trigger,
       part.value ->> 'split_covers', b.covers_from, b.settings, b.config_hash, b.state, b.progress, b.reason,
       b.reason_code, b.created_at, b.finished_at
FROM json_each(?1) AS part CROSS JOIN bakes b ON b.id = part.value ->> 'id'
WHERE part.value ->> 'split_slot' IS NOT NULL
ON CONFLICT (schedule_id, instance_id, slot) DO NOTHING";

/// And the part that stays in the row.
pub(super) const SHRINK_ROWS_AHEAD: &str = "
UPDATE bakes SET slot = part.value ->> 'slot', covers = part.value ->> 'covers', covers_from = part.value ->> 'covers_from'
FROM json_each(?1) AS part
WHERE bakes.id = part.value ->> 'id' AND part.value ->> 'covers' IS NOT NULL";

/// Bakes in the queue for a slot later than ?1 end, because the clock was ahead when they were written: those without pending work
/// and never sent a create call. One that did waits for its slot, which no other row may take, unless that is later than ?5.
pub(super) const END_QUEUED_AHEAD: &str = "
UPDATE bakes
SET state = 'skipped', reason = ?3, reason_code = 'clock_ahead', wake_at = NULL, finished_at = ?4,
    progress = json_object('state', 'ended', 'work', json(progress -> '$.kept.work'), 'end', json(?2))
WHERE state = 'queued' AND slot > ?1
  AND coalesce(progress ->> '$.kept.work.owes_start', 0) = 0 AND coalesce(progress ->> '$.kept.work.owes_hooks', 0) = 0
  AND (coalesce(progress ->> '$.kept.work.evidence.first_sent', progress ->> '$.kept.work.evidence.earlier') IS NULL
       OR slot > ?5)
RETURNING id, schedule, instance_id";

/// Until when such were written, if there are any.
pub(super) const QUEUED_AHEAD: &str = "
SELECT max(created_at) FROM bakes INDEXED BY bakes_queued WHERE state = 'queued' AND slot > ?1";

/// Instants of images that are later than now were noted while the clock was ahead; from here on they count from now.
pub(super) const CLAMP_IMAGES: &str = "
UPDATE images
SET available_at = min(available_at, ?1), missing_since = min(missing_since, ?1), verify_next = min(verify_next, ?1)
WHERE image_id IN (SELECT image_id FROM images INDEXED BY images_by_availability WHERE available_at > ?2
                   UNION ALL SELECT image_id FROM images INDEXED BY images_missing WHERE missing_since > ?2
                   UNION ALL SELECT image_id FROM images INDEXED BY images_to_verify
                             WHERE verify = 'due' AND fate <> 'deleted' AND verify_next > ?3)";

/// The same for the last inventory scan.
pub(super) const CLAMP_SCAN: &str = "
UPDATE looks SET at = min(at, ?1), since = min(since, ?1) WHERE at > ?1 OR since > ?1";

/// Whether there are such.
pub(super) const IMAGES_AHEAD: &str = "
SELECT EXISTS (SELECT 1 FROM images INDEXED BY images_by_availability WHERE available_at > ?1)
    OR EXISTS (SELECT 1 FROM images INDEXED BY images_missing WHERE missing_since > ?1)
    OR EXISTS (SELECT 1 FROM images INDEXED BY images_to_verify
               WHERE verify = 'due' AND fate <> 'deleted' AND verify_next > ?2)";

/// Last write of the history, by its newest rows.
pub(super) const NEWEST_WRITE: &str = "
SELECT max(at) FROM (
    SELECT (SELECT at FROM audit ORDER BY id DESC LIMIT 1) AS at
    UNION ALL SELECT (SELECT max(created_at, coalesce(finished_at, created_at)) FROM bakes ORDER BY id DESC LIMIT 1)
    UNION ALL SELECT (SELECT finished_at FROM attempts ORDER BY id DESC LIMIT 1)
    UNION ALL SELECT (SELECT at FROM looks))";

/// Whether the audit has a line that begins so.
pub(super) const AUDIT_BEGINS: &str = "
SELECT EXISTS (SELECT 1 FROM audit WHERE action = ?1 AND substr(detail, 1, length(?2)) = ?2)";

/// All targets, also those that are gone from the file.
pub(super) const ALL_TARGETS: &str = "
SELECT schedule_id, instance_id, schedule, line_id, timing, accounted_to, known_since, removed_at FROM targets";

/// Instances with an unfinished bake, whatever its state, but for those in the queue for a slot later than ?1 and the rows
/// in ?2, which give their slots up.
pub(super) const OPEN_INSTANCES: &str = "
SELECT instance_id, id FROM bakes INDEXED BY bakes_open
WHERE finished_at IS NULL AND (state <> 'queued' OR slot <= ?1) AND id NOT IN (SELECT value FROM json_each(?2))
ORDER BY id";

/// The number of the row for a slot.
pub(super) const BAKE_OF_SLOT: &str = "
SELECT id FROM bakes WHERE schedule_id = ?1 AND instance_id = ?2 AND slot = ?3";

/// Maximum time that a bake waits for its slot if its create call was rejected while the clock was ahead.
const LONGEST_WAIT_FOR_SLOT: Duration = Duration::from_hours(24);

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
    /// Rule of `accounted_to`, as JSON of the planner.
    pub timing: String,
    /// All slots up to this instant, inclusive, have a row.
    pub accounted_to: DateTime<Utc>,
    /// When it was first seen.
    pub known_since: DateTime<Utc>,
    /// Instant from which the configuration does not have it.
    pub removed_at: Option<DateTime<Utc>>,
}

/// A row for a slot, or for a range of missed ones.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRow {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// Its name now.
    pub schedule: ScheduleName,
    /// The instance.
    pub instance_id: InstanceId,
    /// The line.
    pub line: LineId,
    /// The slot; the last one of a range.
    pub slot: DateTime<Utc>,
    /// The first slot of a range; otherwise the slot.
    pub covers_from: DateTime<Utc>,
    /// Number of slots of the row.
    pub covers: u64,
    /// Reason of the row.
    pub trigger: Trigger,
    /// Settings of the bake; `None` for a row without one.
    pub settings: Option<Arc<BakeSettings>>,
    /// Queued, or ended.
    pub state: State,
}

impl NewRow {
    /// The event of the row, once it has a number.
    fn event(&self, id: BakeId) -> Event {
        let Self { schedule, instance_id: instance, line, slot, .. } = self;
        bakes::Row { id, schedule, instance, line, slot: *slot }.written(&self.state, self.covers)
    }
}

/// Progress of one (schedule, instance).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetProgress {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// The instance.
    pub instance_id: InstanceId,
    /// See [`StoredTarget`].
    pub accounted_to: DateTime<Utc>,
    /// See [`StoredTarget`].
    pub known_since: DateTime<Utc>,
}

/// Slots of one (schedule, instance): after `after`, until `until` inclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// The instance.
    pub instance_id: InstanceId,
    /// Exclusive.
    pub after: DateTime<Utc>,
    /// Inclusive.
    pub until: DateTime<Utc>,
}

/// A row that never started, made no call and was written while the clock was ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowAhead {
    /// Its number.
    pub id: BakeId,
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// The instance.
    pub instance_id: InstanceId,
    /// Its slots.
    pub slots: Range,
    /// When it was written, by the clock at that time.
    pub created_at: DateTime<Utc>,
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

/// A manual bake.
#[derive(Debug, Clone, PartialEq)]
pub struct ManualBake {
    /// Its row.
    pub row: NewRow,
    /// Who requested it.
    pub who: String,
    /// The bake that it repeats.
    pub retry_of: Option<BakeId>,
}

impl Store {
    /// All targets, including removed ones.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn targets(&self) -> Result<Vec<StoredTarget>, StoreError> {
        type Columns = (String, String, String, String, String, i64, i64, Option<i64>);
        let rows: Vec<Columns> = sqlx::query_as(ALL_TARGETS)
            .fetch_all(&self.reader().pool)
            .await
            .map_err(failed("read the known schedules"))?;
        Ok(rows
            .into_iter()
            .map(|(schedule_id, instance_id, schedule, line, timing, accounted_to, known_since, removed_at)| {
                StoredTarget {
                    schedule_id: schedule_id.into(),
                    instance_id: instance_id.into(),
                    schedule: schedule.into(),
                    line: line.into(),
                    timing,
                    accounted_to: instant(accounted_to),
                    known_since: instant(known_since),
                    removed_at: removed_at.map(instant),
                }
            })
            .collect())
    }

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
            accounted_to: i64,
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
                accounted_to: target.accounted_to.timestamp_millis(),
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

    /// Records slots and the progress of each target. All or nothing.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn record_slots(
        &self,
        rows: &[NewRow],
        accounted: &[TargetProgress],
        config_hash: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.replace_slots(rows, &[], accounted, config_hash, now).await
    }

    /// Records slots and the progress of each target; rows that were written while the clock was ahead give up the
    /// slots that are due now, with a line of the audit. All or nothing.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn replace_slots(
        &self,
        rows: &[NewRow],
        given_up: &[(RowAhead, GivenUp)],
        accounted: &[TargetProgress],
        config_hash: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Json<'a> {
            schedule_id: &'a ScheduleId,
            instance_id: &'a InstanceId,
            accounted_to: i64,
            known_since: i64,
        }
        let accounted: Vec<_> = accounted
            .iter()
            .map(|TargetProgress { schedule_id, instance_id, accounted_to, known_since }| Json {
                schedule_id,
                instance_id,
                accounted_to: accounted_to.timestamp_millis(),
                known_since: known_since.timestamp_millis(),
            })
            .collect();
        let mut tx = self.begin().await?;
        give_up_slots(&mut tx, given_up, now).await?;
        insert_rows(&mut tx, rows, None, config_hash, now).await?;
        execute(&mut tx, UPDATE_ACCOUNTED, &accounted).await?;
        failpoint::hit("before", "slots");
        tx.commit().await.map_err(failed("commit slots"))?;
        failpoint::hit("after", "slots");
        Ok(())
    }

    /// The last slot with a row, for each target with rows later than its progress, or than `now`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn slots_ahead(
        &self,
        now: DateTime<Utc>,
    ) -> Result<HashMap<(ScheduleId, InstanceId), DateTime<Utc>>, StoreError> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(SLOTS_AHEAD)
            .bind(now.timestamp_millis())
            .fetch_all(&self.reader().pool)
            .await
            .map_err(failed("read the slots that lie ahead"))?;
        Ok(rows
            .into_iter()
            .map(|(schedule_id, instance_id, slot)| ((schedule_id.into(), instance_id.into()), instant(slot)))
            .collect())
    }

    /// Slots in these spans that have rows, other than the rows `but`: the first and last slot of each row, in the
    /// order of slots.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn slots_with_rows(
        &self,
        spans: &[Span],
        but: &[BakeId],
    ) -> Result<HashMap<(ScheduleId, InstanceId), Vec<(DateTime<Utc>, DateTime<Utc>)>>, StoreError> {
        if spans.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(SLOTS_WITH_ROWS)
            .bind(spans_json(spans)?)
            .bind(serde_json::to_string(but).map_err(StoreError::Encode)?)
            .fetch_all(&self.reader().pool)
            .await
            .map_err(failed("read which slots have rows"))?;
        let mut slots: HashMap<_, Vec<_>> = HashMap::new();
        for (schedule_id, instance_id, first, last) in rows {
            let key = (schedule_id.into(), instance_id.into());
            slots.entry(key).or_default().push((instant(first), instant(last)));
        }
        Ok(slots)
    }

    /// Rows for slots in these spans that never started and made no call, and were written later than `now` or ended
    /// because the clock was ahead.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn rows_ahead(&self, spans: &[Span], now: DateTime<Utc>) -> Result<Vec<RowAhead>, StoreError> {
        type Columns = (i64, String, String, i64, i64, i64, i64);
        if spans.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<Columns> = sqlx::query_as(ROWS_AHEAD)
            .bind(spans_json(spans)?)
            .bind(now.timestamp_millis())
            .bind(earlier(now, ON_TIME).timestamp_millis())
            .fetch_all(&self.reader().pool)
            .await
            .map_err(failed("read the rows that lie ahead"))?;
        Ok(rows
            .into_iter()
            .map(|(id, schedule_id, instance_id, slot, first, covers, created_at)| RowAhead {
                id: BakeId(id),
                schedule_id: schedule_id.into(),
                instance_id: instance_id.into(),
                slots: Range {
                    first: instant(first),
                    last: instant(slot),
                    count: u64::try_from(covers).unwrap_or_default(),
                },
                created_at: instant(created_at),
            })
            .collect())
    }

    /// Ends queued bakes that never sent a create call and are for a slot later than `latest`: they were written while
    /// the clock was ahead, and the cloud has confirmed since that it is earlier. Returns their number.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn end_queued_ahead(&self, latest: DateTime<Utc>, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let until: Option<i64> = sqlx::query_scalar(QUEUED_AHEAD)
            .bind(latest.timestamp_millis())
            .fetch_one(&self.reader().pool)
            .await
            .map_err(failed("read the queue ahead"))?;
        let Some(until) = until.map(instant) else { return Ok(0) };
        let reason = format!("the clock was ahead until {}", until.format("%F %T UTC"));
        let end = End::Skipped { code: ReasonCode::ClockAhead, reason: reason.clone() };
        let mut tx = self.begin().await?;
        let ended: Vec<(i64, String, String)> = sqlx::query_as(END_QUEUED_AHEAD)
            .bind(latest.timestamp_millis())
            .bind(serde_json::to_string(&end).map_err(StoreError::Encode)?)
            .bind(&reason)
            .bind(now.timestamp_millis())
            .bind(later(now, LONGEST_WAIT_FOR_SLOT).timestamp_millis())
            .fetch_all(&mut *tx)
            .await
            .map_err(failed("end the queue ahead"))?;
        for (id, schedule, instance) in &ended {
            let detail = format!("bake {id} of {schedule} on {instance} ends: {reason}");
            audit(&mut tx, &of_clock(now, Subject::new(SubjectKind::Bake, id.to_string()), detail)).await?;
        }
        tx.commit().await.map_err(failed("commit the end of the queue ahead"))?;
        Ok(ended.len())
    }

    /// Sets instants of images that are in the future to `now`, which the cloud has confirmed. `longest` is the maximum
    /// delay of a check.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn clamp_images_ahead(&self, now: DateTime<Utc>, longest: DateTime<Utc>) -> Result<(), StoreError> {
        let latest = shifted(now, STEP_BACK);
        let any: bool = sqlx::query_scalar(IMAGES_AHEAD)
            .bind(latest.timestamp_millis())
            .bind(longest.timestamp_millis())
            .fetch_one(&self.reader().pool)
            .await
            .map_err(failed("read the images that lie ahead"))?;
        let dated = failed("date images anew that lie ahead");
        let mut tx = self.begin().await?;
        if any {
            sqlx::query(CLAMP_IMAGES)
                .bind(now.timestamp_millis())
                .bind(latest.timestamp_millis())
                .bind(longest.timestamp_millis())
                .execute(&mut *tx)
                .await
                .map_err(failed("date images anew that lie ahead"))?;
        }
        let scan = sqlx::query(CLAMP_SCAN).bind(now.timestamp_millis()).execute(&mut *tx).await;
        scan.map_err(failed("date an inventory scan anew"))?;
        tx.commit().await.map_err(dated)
    }

    /// Last write of the history, by its newest rows; `None` for an empty one.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn newest_write(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar(NEWEST_WRITE)
            .fetch_one(&self.reader().pool)
            .await
            .map_err(failed("read when the history was last written"))?;
        Ok(at.map(instant))
    }

    /// Records an observation about the clock in the audit. `once`: the beginning of a line that is not repeated.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn note_clock(&self, now: DateTime<Utc>, detail: &str, once: Option<&str>) -> Result<(), StoreError> {
        if let Some(begin) = once {
            let known: bool = sqlx::query_scalar(AUDIT_BEGINS)
                .bind(Action::Clock.as_str())
                .bind(begin)
                .fetch_one(&self.reader().pool)
                .await
                .map_err(failed("read the audit"))?;
            if known {
                return Ok(());
            }
        }
        self.note(&of_clock(now, Subject::only(SubjectKind::Clock), detail.to_owned())).await
    }

    /// Records manual bakes with their lines of the audit. Returns their numbers, in order.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn record_manual(
        &self,
        asked: &[ManualBake],
        config_hash: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<BakeId>, StoreError> {
        let mut tx = self.begin().await?;
        let mut ids = Vec::with_capacity(asked.len());
        for ManualBake { row, who, retry_of } in asked {
            let retry = retry_of.map(|bake| format!("retry of bake {bake}"));
            let requested_by = retry.as_ref().map_or_else(|| who.clone(), |retry| format!("{who} ({retry})"));
            insert_rows(&mut tx, std::slice::from_ref(row), Some(&requested_by), config_hash, now).await?;
            let id: i64 = sqlx::query_scalar(BAKE_OF_SLOT)
                .bind(row.schedule_id.as_str())
                .bind(row.instance_id.as_str())
                .bind(row.slot.timestamp_millis())
                .fetch_one(&mut *tx)
                .await
                .map_err(failed("read the new bake's number"))?;
            ids.push(BakeId(id));
            let detail = format!("bake {id} of {} on {}", row.schedule, row.instance_id);
            let (action, detail) = match retry {
                Some(retry) => (Action::Retry, format!("{detail}, {retry}")),
                None => (Action::Bake, detail),
            };
            let subject = Subject::new(SubjectKind::Bake, id.to_string());
            audit(&mut tx, &AuditLine { at: now, who, action, subject, detail }).await?;
        }
        failpoint::hit("before", "manual");
        tx.commit().await.map_err(failed("commit a manual bake"))?;
        failpoint::hit("after", "manual");
        Ok(ids)
    }

    /// The unfinished bake of each instance: the one with the lowest number. Bakes queued for a slot later than `now`
    /// and the rows `but` do not count.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn open_instances(
        &self,
        now: DateTime<Utc>,
        but: &[BakeId],
    ) -> Result<HashMap<InstanceId, BakeId>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(OPEN_INSTANCES)
            .bind(now.timestamp_millis())
            .bind(serde_json::to_string(but).map_err(StoreError::Encode)?)
            .fetch_all(&self.reader().pool)
            .await
            .map_err(failed("read the instances at work"))?;
        let mut open = HashMap::with_capacity(rows.len());
        for (instance, id) in rows {
            open.entry(InstanceId::from(instance)).or_insert(BakeId(id));
        }
        Ok(open)
    }
}

fn spans_json(spans: &[Span]) -> Result<String, StoreError> {
    #[derive(Serialize)]
    struct Wanted<'a> {
        schedule_id: &'a ScheduleId,
        instance_id: &'a InstanceId,
        after: i64,
        until: i64,
    }
    let wanted: Vec<_> = spans
        .iter()
        .map(|Span { schedule_id, instance_id, after, until }| Wanted {
            schedule_id,
            instance_id,
            after: after.timestamp_millis(),
            until: until.timestamp_millis(),
        })
        .collect();
    serde_json::to_string(&wanted).map_err(StoreError::Encode)
}

/// Removes slots from rows that were written while the clock was ahead: a row is deleted, shortened, or split.
async fn give_up_slots(
    tx: &mut WriteTransaction,
    given_up: &[(RowAhead, GivenUp)],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Part {
        id: BakeId,
        /// Remaining slots of the row; none if it is deleted.
        slot: Option<i64>,
        covers: Option<u64>,
        covers_from: Option<i64>,
        /// Slots that become a row of their own.
        split_slot: Option<i64>,
        split_covers: Option<u64>,
    }
    if given_up.is_empty() {
        return Ok(());
    }
    let parts: Vec<Part> = given_up
        .iter()
        .map(|(row, given_up)| {
            let stays = given_up.later.or(given_up.earlier);
            let split = given_up.earlier.filter(|_| given_up.later.is_some());
            Part {
                id: row.id,
                slot: stays.map(|range| range.last.timestamp_millis()),
                covers: stays.map(|range| range.count),
                covers_from: stays.map(|range| range.first.timestamp_millis()),
                split_slot: split.map(|range| range.last.timestamp_millis()),
                split_covers: split.map(|range| range.count),
            }
        })
        .collect();
    for (row, GivenUp { slots, .. }) in given_up {
        let detail = format!(
            "bake {} of {} on {} gives up {}: it was written {}, while the clock was ahead, and made no call",
            row.id,
            row.schedule_id,
            row.instance_id,
            match slots.count {
                1 => format!("the slot {}", slots.first.format("%F %T UTC")),
                n => format!("{n} slots, {} to {}", slots.first.format("%F %T UTC"), slots.last.format("%F %T UTC")),
            },
            row.created_at.format("%F %T UTC"),
        );
        audit(tx, &of_clock(now, Subject::new(SubjectKind::Bake, row.id.to_string()), detail)).await?;
    }
    for sql in [REMOVE_ROWS_AHEAD, SPLIT_ROWS_AHEAD, SHRINK_ROWS_AHEAD] {
        execute(tx, sql, &parts).await?;
    }
    Ok(())
}

async fn insert_rows(
    tx: &mut WriteTransaction,
    rows: &[NewRow],
    who: Option<&str>,
    config_hash: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let (settings, encoded) = encode(rows, who, config_hash, now)?;
    execute(tx, INSERT_SETTINGS, &settings).await?;
    let by_key: HashMap<_, &NewRow> = rows
        .iter()
        .map(|row| ((row.schedule_id.as_str(), row.instance_id.as_str(), row.slot.timestamp_millis()), row))
        .collect();
    for batch in encoded.chunks(BATCH) {
        let json = serde_json::to_string(batch).map_err(StoreError::Encode)?;
        let written: Vec<(i64, String, String, i64)> = sqlx::query_as(INSERT_BAKES)
            .bind(json)
            .fetch_all(&mut **tx)
            .await
            .map_err(failed("write the rows of slots"))?;
        // A slot that has its row already is no news.
        for (id, schedule_id, instance_id, slot) in &written {
            let Some(row) = by_key.get(&(schedule_id.as_str(), instance_id.as_str(), *slot)) else { continue };
            tx.record(now, row.event(BakeId(*id)));
        }
    }
    Ok(())
}

fn of_clock(at: DateTime<Utc>, subject: Subject, detail: String) -> AuditLine<'static> {
    AuditLine { at, who: ITSELF, action: Action::Clock, subject, detail }
}

#[derive(Serialize)]
struct Row<'a> {
    schedule_id: &'a ScheduleId,
    schedule: &'a ScheduleName,
    instance_id: &'a InstanceId,
    line_id: &'a LineId,
    slot: i64,
    trigger: &'static str,
    covers: u64,
    covers_from: i64,
    settings: Option<String>,
    config_hash: &'a str,
    state: &'static str,
    progress: String,
    reason: Option<&'a str>,
    reason_code: Option<&'static str>,
    wake_at: Option<i64>,
    give_up_at: Option<i64>,
    created_at: i64,
    finished_at: Option<i64>,
    requested_by: Option<&'a str>,
    region: Option<&'a str>,
}

#[derive(Serialize)]
struct Settings {
    hash: String,
    json: String,
}

fn encode<'a>(
    rows: &'a [NewRow],
    who: Option<&'a str>,
    config_hash: &'a str,
    now: DateTime<Utc>,
) -> Result<(Vec<Settings>, Vec<Row<'a>>), StoreError> {
    // Schedules share equal settings, so most rows of a burst find theirs here.
    let mut hashes: HashMap<*const BakeSettings, String> = HashMap::new();
    let mut settings = Vec::new();
    let mut encoded = Vec::with_capacity(rows.len());
    let created_at = now.timestamp_millis();
    for row in rows {
        let hash = match &row.settings {
            None => None,
            Some(shared) => {
                if let Entry::Vacant(vacant) = hashes.entry(Arc::as_ptr(shared)) {
                    let (hash, json) = settings_row(shared)?;
                    settings.push(Settings { hash: hash.clone(), json });
                    vacant.insert(hash);
                }
                hashes.get(&Arc::as_ptr(shared)).cloned()
            }
        };
        encoded.push(Row {
            schedule_id: &row.schedule_id,
            schedule: &row.schedule,
            instance_id: &row.instance_id,
            line_id: &row.line,
            slot: row.slot.timestamp_millis(),
            trigger: row.trigger.as_str(),
            covers: row.covers,
            covers_from: row.covers_from.timestamp_millis(),
            settings: hash,
            config_hash,
            state: row.state.as_str(),
            progress: serde_json::to_string(&row.state).map_err(StoreError::Encode)?,
            reason: row.state.reason(),
            reason_code: row.state.reason_code().map(ReasonCode::as_str),
            wake_at: row.state.wake_at().map(|at| at.timestamp_millis()),
            give_up_at: row
                .settings
                .as_ref()
                .map(|settings| settings.give_up_at(row.slot, deadline_base(row, now)).timestamp_millis()),
            created_at,
            finished_at: row.state.is_ended().then_some(created_at),
            requested_by: who,
            region: row.settings.as_ref().map(|settings| settings.instance_region.as_str()),
        });
    }
    Ok((settings, encoded))
}

/// Start of the deadline: the slot; for one that was caught up, this commit, or it would fail at once.
fn deadline_base(row: &NewRow, now: DateTime<Utc>) -> DateTime<Utc> {
    match row.trigger {
        Trigger::Slot | Trigger::Manual => row.slot,
        Trigger::CaughtUp => row.slot.max(now),
    }
}

/// Rows per statement: a burst of slots needs one or two statements, and ten thousand new schedules no peak of memory.
const BATCH: usize = 1000;

/// Executes a batch statement; an empty batch does nothing.
async fn execute<T: Serialize>(
    tx: &mut sqlx::SqliteConnection,
    sql: &'static str,
    rows: &[T],
) -> Result<(), StoreError> {
    for batch in rows.chunks(BATCH) {
        let json = serde_json::to_string(batch).map_err(StoreError::Encode)?;
        sqlx::query(sql).bind(json).execute(&mut *tx).await.map_err(failed("write a batch of rows"))?;
    }
    Ok(())
}
