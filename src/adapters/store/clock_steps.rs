//! What was written while the clock was ahead: slots that are given up, and instants that count anew.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    ITSELF, Store, StoreError,
    audit::audit,
    batch::execute,
    failed, instant,
    spans::{Span, spans_json},
    writer::WriteTransaction,
};
use crate::domain::{
    bake::{reason::ReasonCode, state::End},
    catch_up::{GivenUp, Range},
    clock::{ON_TIME, STEP_BACK, earlier, later, shifted},
    event::{Action, AuditLine},
    health::{Subject, SubjectKind},
    ids::{BakeId, InstanceId, ScheduleId},
    time::show_utc,
};

/// Targets with rows for slots that they are not accounted for up to: the clock was ahead when those were written. Rows that
/// were rebuilt from tags, which end without settings, do not count for the slots before them. One step down an index for each
/// target; CROSS JOIN keeps the order of the tables.
pub(super) const SLOTS_AHEAD: &str = "
SELECT t.schedule_id, t.instance_id, max(b.slot)
FROM targets t CROSS JOIN bakes b
  ON b.schedule_id = t.schedule_id AND b.instance_id = t.instance_id AND b.slot > min(t.processed_until, ?1)
WHERE b.trigger <> 'manual' AND (b.settings IS NOT NULL OR b.state = 'skipped')
GROUP BY t.schedule_id, t.instance_id";

/// Rows of some targets for slots in (after, until] that were written later than now, ?2, while the clock was ahead, made no
/// call and may give their slots up; and those that ended for that and never sent a create call. A skipped row may be as
/// young as ?3: it was written as far behind its slot as this tick may be, and a queued one of that age is baked as it is.
pub(super) const ROWS_AHEAD: &str = "
SELECT b.id, b.schedule_id, b.instance_id, b.slot, b.first_slot, b.slot_count, b.created_at
FROM json_each(?1) AS span CROSS JOIN bakes b
  ON b.schedule_id = span.value ->> 'schedule_id' AND b.instance_id = span.value ->> 'instance_id'
     AND b.slot > span.value ->> 'after' AND b.first_slot <= span.value ->> 'until'
WHERE b.trigger <> 'manual' AND b.state IN ('queued', 'skipped')
  AND (b.reason_code = 'clock_ahead' AND b.progress ->> '$.work.evidence.first_sent' IS NULL
          AND b.progress ->> '$.work.evidence.earlier' IS NULL
       OR b.version IS NULL AND (b.created_at > ?2 OR b.state = 'skipped' AND b.created_at > ?3)
          AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.bake_id = b.id))
ORDER BY b.id";

/// Rows that give up all their slots.
pub(super) const REMOVE_ROWS_AHEAD: &str = "
DELETE FROM bakes
WHERE id IN (SELECT value ->> 'id' FROM json_each(?1) WHERE value ->> 'slot_count' IS NULL) AND state IN ('queued', 'skipped')";

/// Remaining slots of rows that give up slots in the middle, as rows of their own: the earlier part.
pub(super) const SPLIT_ROWS_AHEAD: &str = "
INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, slot_count, first_slot, settings, config_hash,
                   state, progress, reason, reason_code, created_at, finished_at)
SELECT b.schedule_id, b.schedule, b.instance_id, b.line_id, part.value ->> 'split_slot', b.trigger,
       part.value ->> 'split_covers', b.first_slot, b.settings, b.config_hash, b.state, b.progress, b.reason,
       b.reason_code, b.created_at, b.finished_at
FROM json_each(?1) AS part CROSS JOIN bakes b ON b.id = part.value ->> 'id'
WHERE part.value ->> 'split_slot' IS NOT NULL
ON CONFLICT (schedule_id, instance_id, slot) DO NOTHING";

/// And the part that stays in the row.
pub(super) const SHRINK_ROWS_AHEAD: &str = "
UPDATE bakes SET slot = part.value ->> 'slot', slot_count = part.value ->> 'slot_count', first_slot = part.value ->> 'first_slot'
FROM json_each(?1) AS part
WHERE bakes.id = part.value ->> 'id' AND part.value ->> 'slot_count' IS NOT NULL";

/// Bakes in the queue for a slot later than ?1 end, because the clock was ahead when they were written: those without pending work
/// and never sent a create call. One that did waits for its slot, which no other row may take, unless that is later than ?5.
pub(super) const END_QUEUED_AHEAD: &str = "
UPDATE bakes
SET state = 'skipped', reason = ?3, reason_code = 'clock_ahead', wake_at = NULL, finished_at = ?4,
    progress = json_object('state', 'ended', 'work', json(progress -> '$.kept.work'), 'end', json(?2))
WHERE state = 'queued' AND slot > ?1
  AND coalesce(progress ->> '$.kept.work.restart_pending', 0) = 0 AND coalesce(progress ->> '$.kept.work.end_hooks_pending', 0) = 0
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
                             WHERE verify = 'due' AND deletion_state <> 'deleted' AND verify_next > ?3)";

/// The same for the last inventory scan.
pub(super) const CLAMP_SCAN: &str = "
UPDATE inventory_scan SET at = min(at, ?1), since = min(since, ?1) WHERE at > ?1 OR since > ?1";

/// Whether there are such.
pub(super) const IMAGES_AHEAD: &str = "
SELECT EXISTS (SELECT 1 FROM images INDEXED BY images_by_availability WHERE available_at > ?1)
    OR EXISTS (SELECT 1 FROM images INDEXED BY images_missing WHERE missing_since > ?1)
    OR EXISTS (SELECT 1 FROM images INDEXED BY images_to_verify
               WHERE verify = 'due' AND deletion_state <> 'deleted' AND verify_next > ?2)";

/// Last write of the history, by its newest rows.
pub(super) const NEWEST_WRITE: &str = "
SELECT max(at) FROM (
    SELECT (SELECT at FROM audit ORDER BY id DESC LIMIT 1) AS at
    UNION ALL SELECT (SELECT max(created_at, coalesce(finished_at, created_at)) FROM bakes ORDER BY id DESC LIMIT 1)
    UNION ALL SELECT (SELECT finished_at FROM attempts ORDER BY id DESC LIMIT 1)
    UNION ALL SELECT (SELECT at FROM inventory_scan))";

/// Whether the audit has a line that begins so.
pub(super) const AUDIT_BEGINS: &str = "
SELECT EXISTS (SELECT 1 FROM audit WHERE action = ?1 AND substr(detail, 1, length(?2)) = ?2)";

/// Maximum time that a bake waits for its slot if its create call was rejected while the clock was ahead.
const LONGEST_WAIT_FOR_SLOT: Duration = Duration::from_hours(24);

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

impl Store {
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
            .map(|(id, schedule_id, instance_id, slot, first, slot_count, created_at)| RowAhead {
                id: BakeId(id),
                schedule_id: schedule_id.into(),
                instance_id: instance_id.into(),
                slots: Range {
                    first: instant(first),
                    last: instant(slot),
                    count: u64::try_from(slot_count).unwrap_or_default(),
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
        let reason = format!("the clock was ahead until {}", show_utc(until));
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
}

/// Removes slots from rows that were written while the clock was ahead: a row is deleted, shortened, or split.
pub(super) async fn give_up_slots(
    tx: &mut WriteTransaction,
    given_up: &[(RowAhead, GivenUp)],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Part {
        id: BakeId,
        /// Remaining slots of the row; none if it is deleted.
        slot: Option<i64>,
        slot_count: Option<u64>,
        first_slot: Option<i64>,
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
                slot_count: stays.map(|range| range.count),
                first_slot: stays.map(|range| range.first.timestamp_millis()),
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
                1 => format!("the slot {}", show_utc(slots.first)),
                n => format!("{n} slots, {} to {}", show_utc(slots.first), show_utc(slots.last)),
            },
            show_utc(row.created_at),
        );
        audit(tx, &of_clock(now, Subject::new(SubjectKind::Bake, row.id.to_string()), detail)).await?;
    }
    for sql in [REMOVE_ROWS_AHEAD, SPLIT_ROWS_AHEAD, SHRINK_ROWS_AHEAD] {
        execute(tx, sql, &parts).await?;
    }
    Ok(())
}

fn of_clock(at: DateTime<Utc>, subject: Subject, detail: String) -> AuditLine<'static> {
    AuditLine { at, who: ITSELF, action: Action::Clock, subject, detail }
}
