//! Rows for slots, and how far each target has them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    Store, StoreError,
    batch::{BATCH, execute},
    clock_steps::{RowAhead, give_up_slots},
    failed, instant,
    spans::{Span, spans_json},
    transitions::settings_row,
    writer::WriteTransaction,
};
use crate::{
    adapters::failpoint,
    domain::{
        bake::{BakeSettings, State, Trigger, reason::ReasonCode},
        catch_up::GivenUp,
        event::{Event, bakes},
        ids::{BakeId, InstanceId, LineId, ScheduleId, ScheduleName},
    },
};

/// Rows for slots: those that are to be baked and those that were missed. A row that is there already stays as it is:
/// the unique key is what makes planning the same slot twice harmless.
pub(super) const INSERT_BAKES: &str = "
INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, slot_count, first_slot, settings,
                             config_hash, state, progress, reason, reason_code, wake_at, give_up_at, created_at,
                             finished_at, requested_by, region, holds_builder, holds_instance)
SELECT value ->> 'schedule_id', value ->> 'schedule', value ->> 'instance_id', value ->> 'line_id', value ->> 'slot',
       value ->> 'trigger', value ->> 'slot_count', value ->> 'first_slot', value ->> 'settings', value ->> 'config_hash',
       value ->> 'state', value ->> 'progress', value ->> 'reason', value ->> 'reason_code', value ->> 'wake_at',
       value ->> 'give_up_at',
       value ->> 'created_at', value ->> 'finished_at', value ->> 'requested_by', value ->> 'region',
       value ->> 'holds_builder', value ->> 'holds_instance'
FROM json_each(?1) WHERE true
ON CONFLICT (schedule_id, instance_id, slot) DO NOTHING
RETURNING id, schedule_id, instance_id, slot";

/// What bakes do, once for all that do the same.
pub(super) const INSERT_SETTINGS: &str = "
INSERT INTO settings (hash, json)
SELECT value ->> 'hash', value ->> 'json' FROM json_each(?1) WHERE true
ON CONFLICT (hash) DO NOTHING";

/// Every slot of these targets from `known_since` up to `processed_until` has its row.
pub(super) const UPDATE_ACCOUNTED: &str = "
UPDATE targets SET processed_until = entry.value ->> 'processed_until', known_since = entry.value ->> 'known_since'
FROM json_each(?1) AS entry
WHERE targets.schedule_id = entry.value ->> 'schedule_id' AND targets.instance_id = entry.value ->> 'instance_id'";

/// The slots in (after, until] of some targets that have rows, other than the rows ?2.
pub(super) const SLOTS_WITH_ROWS: &str = "
SELECT b.schedule_id, b.instance_id, b.first_slot, b.slot
FROM json_each(?1) AS span CROSS JOIN bakes b
  ON b.schedule_id = span.value ->> 'schedule_id' AND b.instance_id = span.value ->> 'instance_id'
     AND b.slot > span.value ->> 'after' AND b.first_slot <= span.value ->> 'until'
WHERE b.trigger <> 'manual' AND b.id NOT IN (SELECT value FROM json_each(?2))
ORDER BY b.slot";

/// Instances with an unfinished bake, whatever its state, but for those in the queue for a slot later than ?1 and the rows
/// in ?2, which give their slots up.
pub(super) const OPEN_INSTANCES: &str = "
SELECT instance_id, id FROM bakes INDEXED BY bakes_open
WHERE finished_at IS NULL AND (holds_instance OR slot <= ?1) AND id NOT IN (SELECT value FROM json_each(?2))
ORDER BY id";

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
    pub first_slot: DateTime<Utc>,
    /// Number of slots of the row.
    pub slot_count: u64,
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
        bakes::Row { id, schedule, instance, line, slot: *slot }.written(&self.state, self.slot_count)
    }
}

/// Progress of one (schedule, instance).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetProgress {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// The instance.
    pub instance_id: InstanceId,
    /// See [`StoredTarget`](super::StoredTarget).
    pub processed_until: DateTime<Utc>,
    /// See [`StoredTarget`](super::StoredTarget).
    pub known_since: DateTime<Utc>,
}

impl Store {
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
            processed_until: i64,
            known_since: i64,
        }
        let accounted: Vec<_> = accounted
            .iter()
            .map(|TargetProgress { schedule_id, instance_id, processed_until, known_since }| Json {
                schedule_id,
                instance_id,
                processed_until: processed_until.timestamp_millis(),
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

pub(super) async fn insert_rows(
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

#[derive(Serialize)]
struct Row<'a> {
    schedule_id: &'a ScheduleId,
    schedule: &'a ScheduleName,
    instance_id: &'a InstanceId,
    line_id: &'a LineId,
    slot: i64,
    trigger: &'static str,
    slot_count: u64,
    first_slot: i64,
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
    holds_builder: bool,
    holds_instance: bool,
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
            slot_count: row.slot_count,
            first_slot: row.first_slot.timestamp_millis(),
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
            holds_builder: row.state.holds_builder(),
            holds_instance: row.state.holds_instance(),
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
