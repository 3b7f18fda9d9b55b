//! The planner's side: what is known of each (schedule, instance), and the rows for its slots.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Store, StoreError, audit::audit, failed, instant, ledger::settings_row, statements};
use crate::{
    bake::{BakeSettings, State, Trigger, reason::ReasonCode},
    failpoint,
    ids::{BakeId, InstanceId, LineId, ScheduleId, ScheduleName},
};

/// What the planner knows of one (schedule, instance).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// The instance.
    pub instance_id: InstanceId,
    /// The schedule's name when last seen.
    pub schedule: ScheduleName,
    /// The line of its images.
    pub line: LineId,
    /// The rule that `accounted_to` was reckoned with, as JSON of the planner's making.
    pub timing: String,
    /// Every slot up to here, inclusive, has its row.
    pub accounted_to: DateTime<Utc>,
    /// When it was first seen.
    pub known_since: DateTime<Utc>,
    /// When it was no longer in the file.
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
    /// The slot; of a range the last one.
    pub slot: DateTime<Utc>,
    /// Of a range the first slot; else the slot.
    pub covers_from: DateTime<Utc>,
    /// How many slots the row stands for.
    pub covers: u64,
    /// Why there is a row.
    pub trigger: Trigger,
    /// What is to be done; `None` for a row that only accounts.
    pub settings: Option<Arc<BakeSettings>>,
    /// Queued, or ended at once.
    pub state: State,
}

/// A bake that a person asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ManualBake {
    /// Its row.
    pub row: NewRow,
    /// Who asked.
    pub who: String,
    /// The bake that it makes up for.
    pub retry_of: Option<BakeId>,
}

impl Store {
    /// All targets ever seen.
    pub async fn targets(&self) -> Result<Vec<Target>, StoreError> {
        type Columns = (String, String, String, String, String, i64, i64, Option<i64>);
        let rows: Vec<Columns> = sqlx::query_as(statements::ALL_TARGETS)
            .fetch_all(&self.reader().pool)
            .await
            .map_err(failed("read the known schedules"))?;
        Ok(rows
            .into_iter()
            .map(|(schedule_id, instance_id, schedule, line, timing, accounted_to, known_since, removed_at)| Target {
                schedule_id: schedule_id.into(),
                instance_id: instance_id.into(),
                schedule: schedule.into(),
                line: line.into(),
                timing,
                accounted_to: instant(accounted_to),
                known_since: instant(known_since),
                removed_at: removed_at.map(instant),
            })
            .collect())
    }

    /// Takes over what a new configuration says: the targets it has, those it no longer has, and rows that account
    /// for slots of rules that are being replaced. All or none.
    pub async fn adopt_targets(
        &self,
        present: &[Target],
        gone: &[(ScheduleId, InstanceId)],
        rows: &[NewRow],
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
        insert_rows(&mut tx, rows, None, config_hash, now).await?;
        execute(&mut tx, statements::UPSERT_TARGETS, &present).await?;
        execute(&mut tx, statements::REMOVE_TARGETS, &gone).await?;
        failpoint::hit("before", "targets");
        tx.commit().await.map_err(failed("commit the schedules"))?;
        failpoint::hit("after", "targets");
        Ok(())
    }

    /// Records slots and how far each target is accounted for. All or none.
    pub async fn record_slots(
        &self,
        rows: &[NewRow],
        accounted: &[(ScheduleId, InstanceId, DateTime<Utc>)],
        config_hash: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Accounted<'a> {
            schedule_id: &'a ScheduleId,
            instance_id: &'a InstanceId,
            accounted_to: i64,
        }
        let accounted: Vec<_> = accounted
            .iter()
            .map(|(schedule_id, instance_id, to)| Accounted {
                schedule_id,
                instance_id,
                accounted_to: to.timestamp_millis(),
            })
            .collect();
        let mut tx = self.begin().await?;
        insert_rows(&mut tx, rows, None, config_hash, now).await?;
        execute(&mut tx, statements::UPDATE_ACCOUNTED, &accounted).await?;
        failpoint::hit("before", "slots");
        tx.commit().await.map_err(failed("commit slots"))?;
        failpoint::hit("after", "slots");
        Ok(())
    }

    /// Records bakes that a person asked for, and that they did. Answers with their numbers, in order.
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
            let id: i64 = sqlx::query_scalar(statements::BAKE_OF_SLOT)
                .bind(row.schedule_id.as_str())
                .bind(row.instance_id.as_str())
                .bind(row.slot.timestamp_millis())
                .fetch_one(&mut *tx)
                .await
                .map_err(failed("read the new bake's number"))?;
            ids.push(BakeId(id));
            let detail = format!("bake {id} of {} on {}", row.schedule, row.instance_id);
            let (action, detail) = match retry {
                Some(retry) => ("retry", format!("{detail}, {retry}")),
                None => ("bake", detail),
            };
            audit(&mut tx, now, who, action, &detail).await?;
        }
        failpoint::hit("before", "manual");
        tx.commit().await.map_err(failed("commit a manual bake"))?;
        failpoint::hit("after", "manual");
        Ok(ids)
    }

    /// The unfinished bake of each instance that has one: the lowest-numbered, which is next or at work.
    pub async fn open_instances(&self) -> Result<HashMap<InstanceId, BakeId>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(statements::OPEN_INSTANCES)
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

async fn insert_rows(
    tx: &mut sqlx::SqliteConnection,
    rows: &[NewRow],
    who: Option<&str>,
    config_hash: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let (settings, encoded) = encode(rows, who, config_hash, now)?;
    execute(tx, statements::INSERT_SETTINGS, &settings).await?;
    execute(tx, statements::INSERT_BAKES, &encoded).await
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
    let now = now.timestamp_millis();
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
            give_up_at: row.settings.as_ref().map(|settings| {
                let deadline = i64::try_from(settings.deadline.as_millis()).unwrap_or(i64::MAX);
                deadline_base(row, now).saturating_add(deadline).min(DateTime::<Utc>::MAX_UTC.timestamp_millis())
            }),
            created_at: now,
            finished_at: row.state.is_ended().then_some(now),
            requested_by: who,
            region: row.settings.as_ref().map(|settings| settings.instance_region.as_str()),
        });
    }
    Ok((settings, encoded))
}

/// What the deadline counts from: the slot; for one that was caught up, this commit, or it would be caught up only to fail.
fn deadline_base(row: &NewRow, now: i64) -> i64 {
    match row.trigger {
        Trigger::Slot | Trigger::Manual => row.slot.timestamp_millis(),
        Trigger::CaughtUp => row.slot.timestamp_millis().max(now),
    }
}

/// Rows of one statement: a burst of slots is one or two trips, and ten thousand new schedules are no peak of memory.
const BATCH: usize = 1000;

/// Runs a batch statement; an empty batch is nothing to do.
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
