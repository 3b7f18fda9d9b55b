//! Queries and commits of the engine: due bakes, their steps, and the calls behind them.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Row, sqlite::SqliteRow};

use super::{Store, StoreError, failed, writer::WriteTransaction};
use crate::{
    adapters::failpoint,
    domain::{
        api::cause::Cause,
        bake::{
            Bake, BakeSettings, State, Trigger, maintenance::Maintenance, reason::ReasonCode, retry::later, state::End,
        },
        event::Event,
        ids::{BakeId, LineId},
    },
};

/// Bakes that took a step. An ended row is never reopened.
pub(super) const UPDATE_BAKES: &str = "
UPDATE bakes
SET state = step.value ->> 'state', progress = step.value ->> 'progress', reason = step.value ->> 'reason',
    reason_code = step.value ->> 'reason_code', cause = step.value ->> 'cause',
    version = step.value ->> 'version', image_name = step.value ->> 'image_name',
    image_id = step.value ->> 'image_id', version_id = step.value ->> 'version_id',
    task_id = coalesce(step.value ->> 'task_id', task_id), attempts = step.value ->> 'attempts',
    wake_at = step.value ->> 'wake_at', finished_at = step.value ->> 'finished_at',
    holds_builder = step.value ->> 'holds_builder', holds_instance = step.value ->> 'holds_instance'
FROM json_each(?1) AS step
WHERE bakes.id = step.value ->> 'id' AND bakes.finished_at IS NULL";

/// Versions given out by those steps; a line's last version never goes back.
pub(super) const RAISE_VERSIONS: &str = "
INSERT INTO lines (line_id, last_version)
SELECT value ->> 'line_id', value ->> 'version' FROM json_each(?1) WHERE value ->> 'version' IS NOT NULL
ON CONFLICT (line_id) DO UPDATE SET last_version = max(last_version, excluded.last_version)";

/// The calls behind those steps.
pub(super) const INSERT_ATTEMPTS: &str = "
INSERT INTO attempts (bake_id, stage, call, started_at, finished_at, outcome, code, http_status, request_id, message,
                      success, answer)
SELECT value ->> 'bake_id', value ->> 'stage', value ->> 'call', value ->> 'started_at', value ->> 'finished_at',
       value ->> 'outcome', value ->> 'code', value ->> 'http_status', value ->> 'request_id', value ->> 'message',
       value ->> 'success', value ->> 'answer'
FROM json_each(?1)";

/// Started bakes that are due.
pub(super) const DUE_BAKES: &str = "
SELECT b.id, b.schedule_id, b.schedule, b.instance_id, b.line_id, b.slot, b.trigger, b.give_up_at, b.progress,
       s.json AS settings, coalesce(l.last_version, 0) AS last_version
FROM bakes b INDEXED BY bakes_open JOIN settings s ON s.hash = b.settings LEFT JOIN lines l ON l.line_id = b.line_id
WHERE b.finished_at IS NULL AND b.wake_at <= ?1 AND b.holds_instance
ORDER BY b.slot, b.id";

/// Queued bakes that have waited too long.
pub(super) const OVERDUE_QUEUED: &str = "
SELECT b.id, b.schedule_id, b.schedule, b.instance_id, b.line_id, b.slot, b.trigger, b.give_up_at, b.progress,
       s.json AS settings, coalesce(l.last_version, 0) AS last_version
FROM bakes b JOIN settings s ON s.hash = b.settings LEFT JOIN lines l ON l.line_id = b.line_id
WHERE b.state = 'queued' AND b.give_up_at < ?1
ORDER BY b.slot, b.id";

/// Queued bakes that may begin, as many as there are free builders: the oldest slot first, the lower number first, one
/// for each instance that is free, none in regions that are full, and none whose deadline has passed: those are ended.
pub(super) const NEXT_QUEUED: &str = "
SELECT b.id, b.schedule_id, b.schedule, b.instance_id, b.line_id, b.slot, b.trigger, b.give_up_at, b.progress,
       s.json AS settings, coalesce(l.last_version, 0) AS last_version
FROM bakes b JOIN settings s ON s.hash = b.settings LEFT JOIN lines l ON l.line_id = b.line_id
WHERE b.state = 'queued' AND b.wake_at <= ?1 AND b.slot <= ?1 AND (b.give_up_at IS NULL OR b.give_up_at >= ?1)
  AND coalesce(b.region, '') NOT IN (SELECT value FROM json_each(?3))
  AND b.instance_id NOT IN (SELECT instance_id FROM bakes WHERE finished_at IS NULL AND holds_instance)
  AND NOT EXISTS (SELECT 1 FROM bakes o
                  WHERE o.state = 'queued' AND o.instance_id = b.instance_id AND o.wake_at <= ?1 AND o.slot <= ?1
                    AND (o.give_up_at IS NULL OR o.give_up_at >= ?1)
                    AND (o.slot, o.id) < (b.slot, b.id))
ORDER BY b.slot, b.id
LIMIT ?2";

/// One bake, whatever its state.
pub(super) const OPEN_BAKE: &str = "
SELECT b.id, b.schedule_id, b.schedule, b.instance_id, b.line_id, b.slot, b.trigger, b.give_up_at, b.progress,
       s.json AS settings, coalesce(l.last_version, 0) AS last_version
FROM bakes b JOIN settings s ON s.hash = b.settings LEFT JOIN lines l ON l.line_id = b.line_id
WHERE b.id = ?1";

/// The next instant at which an open bake is due.
pub(super) const NEXT_WAKE: &str = "
SELECT min(at) FROM (
    SELECT min(wake_at) AS at FROM bakes WHERE finished_at IS NULL AND wake_at > ?1
    UNION ALL
    SELECT min(give_up_at) + 1 AS at FROM bakes WHERE state = 'queued')";

/// Started bakes that wait for an instant later than ?2 are due now, including those in the queue with a version.
pub(super) const CLAMP_WAKEUPS_AFTER_CLOCK_STEP: &str = "
UPDATE bakes SET wake_at = ?1
WHERE finished_at IS NULL AND (holds_instance OR version IS NOT NULL) AND wake_at > ?2";

/// Bakes whose last call was not answered are due at ?1, spread over ?2 milliseconds.
pub(super) const WAKE_OUTAGE_WAITS: &str = "
UPDATE bakes SET wake_at = min(wake_at, ?1 + (id * 7919) % ?2)
WHERE finished_at IS NULL AND wake_at > ?1
  AND coalesce(progress ->> '$.work.waiting.on', progress ->> '$.kept.work.waiting.on') = 'outage'";

/// How many builders are in use, by region.
pub(super) const BUSY_BUILDERS: &str = "
SELECT coalesce(region, ''), count(*) FROM bakes WHERE finished_at IS NULL AND holds_builder
GROUP BY region";

/// Bakes that ended: one more permanent failure in a row, or the end of the row. Under other settings it begins anew.
pub(super) const COUNT_FAILURES: &str = "
INSERT INTO streaks (schedule_id, failures, settings)
SELECT b.schedule_id, max(step.value ->> 'permanent'), b.settings
FROM json_each(?1) AS step CROSS JOIN bakes b ON b.id = step.value ->> 'id'
WHERE step.value ->> 'permanent' IS NOT NULL AND b.settings IS NOT NULL
GROUP BY b.schedule_id
ON CONFLICT (schedule_id) DO UPDATE
SET failures = CASE WHEN excluded.failures = 0 THEN 0
                    WHEN settings = excluded.settings THEN failures + 1
                    ELSE 1 END,
    settings = excluded.settings";

/// Images that came out of those steps, seen AVAILABLE at ?2 by the cloud's time. The checks and regions of their bake's
/// settings begin with them.
pub(super) const INSERT_IMAGES: &str = "
INSERT INTO images (image_id, line_id, schedule_id, instance_id, bake_id, version, version_id, image_name, slot,
                    available_at, verify, verify_next)
SELECT b.image_id, b.line_id, b.schedule_id, b.instance_id, b.id, coalesce(b.version, 0), b.version_id,
       coalesce(b.image_name, ''), b.slot, ?2,
       CASE WHEN json_array_length(s.json, '$.hooks.verify') > 0 THEN 'due' END,
       CASE WHEN json_array_length(s.json, '$.hooks.verify') > 0 THEN b.finished_at END
FROM json_each(?1) AS step CROSS JOIN bakes b ON b.id = step.value ->> 'id' LEFT JOIN settings s ON s.hash = b.settings
WHERE b.state = 'succeeded' AND b.image_id IS NOT NULL
ON CONFLICT (image_id) DO NOTHING";

/// Regions that those images are to be copied to.
pub(super) const INSERT_DISTRIBUTIONS: &str = "
INSERT INTO distributions (image_id, region, bake_id, state, wake_at, created_at)
SELECT b.image_id, region.value, b.id, 'pending', b.finished_at, b.finished_at
FROM json_each(?1) AS step CROSS JOIN bakes b ON b.id = step.value ->> 'id' CROSS JOIN settings s ON s.hash = b.settings
     CROSS JOIN json_each(s.json, '$.regions') AS region
WHERE b.state = 'succeeded' AND b.image_id IS NOT NULL
ON CONFLICT (image_id, region) DO NOTHING";

/// A due bake, with the data for its admission.
#[derive(Debug)]
pub struct DueBake {
    /// The bake.
    pub bake: Bake,
    /// Last assigned version of its line.
    pub last_version: u32,
}

/// A step of a bake, committed before its effect.
#[derive(Debug)]
pub struct Transition {
    /// The bake.
    pub bake: BakeId,
    /// The line, for its version.
    pub line: LineId,
    /// The new state.
    pub state: State,
    /// Why it is as it is, see [`Bake::reason`].
    pub reason: Option<String>,
    /// The call behind it, if it is recorded.
    pub attempt: Option<Attempt>,
    /// What it makes true.
    pub events: Vec<Event>,
}

/// A call and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// `stop`, `create`, `build`, `start`, `hook`, …
    pub stage: &'static str,
    /// Which call.
    pub call: Cow<'static, str>,
    /// Start of the call, including the wait for the rate limit.
    pub started_at: DateTime<Utc>,
    /// Instant of its response.
    pub finished_at: DateTime<Utc>,
    /// Its result.
    pub outcome: Outcome,
    /// The API's Code, of a good answer too where the call has one.
    pub code: Option<String>,
    /// The HTTP status.
    pub http_status: Option<u16>,
    /// For support tickets.
    pub request_id: Option<String>,
    /// Description: the API's message with the advice, or an observation.
    pub message: Option<String>,
    /// The API's Success, where the call has it.
    pub success: Option<bool>,
    /// The API's own Message.
    pub answer: Option<String>,
}

/// Result of a call: `ok`, or the class of its error.
pub type Outcome = &'static str;

/// Where tests let the daemon die.
fn pass(moment: &str, transitions: &[Transition]) {
    for state in transitions.iter().map(|transition| &transition.state) {
        failpoint::hit(moment, state.as_str());
        let maintenance = state.work().map(|work| work.maintenance).unwrap_or_default();
        let point = match maintenance {
            Maintenance::Found => "maintenance_found",
            Maintenance::Entering | Maintenance::EnteringAgain => "maintenance_entering",
            Maintenance::Entered => "maintenance_entered",
            Maintenance::Leaving => "maintenance_leaving",
            Maintenance::Unknown | Maintenance::Unclear | Maintenance::LeaveRefused | Maintenance::Refused => continue,
        };
        failpoint::hit(moment, point);
    }
}

impl Store {
    /// Due bakes that have started, oldest slot first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn due(&self, now: DateTime<Utc>) -> Result<Vec<DueBake>, StoreError> {
        let query = sqlx::query(DUE_BAKES).bind(now.timestamp_millis());
        let rows = query.fetch_all(&self.reader.pool).await.map_err(failed("read the bakes that are due"))?;
        Ok(self.readable(&rows))
    }

    /// Queued bakes that may start now: at most `free`, one for each free instance, none in full regions, oldest slot
    /// first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn next_queued(
        &self,
        now: DateTime<Utc>,
        free: usize,
        full_regions: &[&str],
    ) -> Result<Vec<DueBake>, StoreError> {
        let query = sqlx::query(NEXT_QUEUED)
            .bind(now.timestamp_millis())
            .bind(i64::try_from(free).unwrap_or(i64::MAX))
            .bind(serde_json::to_string(full_regions).map_err(StoreError::Encode)?);
        let rows = query.fetch_all(&self.reader.pool).await.map_err(failed("read the queue"))?;
        Ok(self.readable(&rows))
    }

    /// One bake; `None` if it does not exist, or if its row has none.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn bake(&self, id: BakeId) -> Result<Option<Bake>, StoreError> {
        let row =
            sqlx::query(OPEN_BAKE).bind(id.0).fetch_optional(&self.reader.pool).await.map_err(failed("read a bake"))?;
        row.map(|row| due_bake(&row).map(|due| due.bake).map_err(failed("read a bake"))).transpose()
    }

    /// Queued bakes whose deadline has passed.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn overdue_queued(&self, now: DateTime<Utc>) -> Result<Vec<DueBake>, StoreError> {
        let query = sqlx::query(OVERDUE_QUEUED).bind(now.timestamp_millis());
        let rows = query.fetch_all(&self.reader.pool).await.map_err(failed("read the queue"))?;
        Ok(self.readable(&rows))
    }

    /// Instant of the next event of a bake, after `now`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn next_wake(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar(NEXT_WAKE)
            .bind(now.timestamp_millis())
            .fetch_one(&self.reader.pool)
            .await
            .map_err(failed("read the next wake-up"))?;
        Ok(at.and_then(DateTime::from_timestamp_millis))
    }

    /// Makes started bakes due now that wait for an instant later than `latest`: the clock was set back since. Queued
    /// bakes keep their time.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn clamp_wakeups_after_clock_step(
        &self,
        now: DateTime<Utc>,
        latest: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let query =
            sqlx::query(CLAMP_WAKEUPS_AFTER_CLOCK_STEP).bind(now.timestamp_millis()).bind(latest.timestamp_millis());
        let mut tx = self.begin().await?;
        let done = query.execute(&mut *tx).await.map_err(failed("make waiting bakes due"))?;
        tx.commit().await.map_err(failed("make waiting bakes due"))?;
        Ok(done.rows_affected())
    }

    /// Makes bakes due that wait for a cloud that did not respond, within `spread` from `now`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn wake_outage_waits(&self, now: DateTime<Utc>, spread: Duration) -> Result<u64, StoreError> {
        let query = sqlx::query(WAKE_OUTAGE_WAITS)
            .bind(now.timestamp_millis())
            .bind(i64::try_from(spread.as_millis()).unwrap_or(i64::MAX));
        let mut tx = self.begin().await?;
        let done = query.execute(&mut *tx).await.map_err(failed("wake bakes after an outage"))?;
        tx.commit().await.map_err(failed("wake bakes after an outage"))?;
        Ok(done.rows_affected())
    }

    /// How many builders are in use, by region.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn busy_builders(&self) -> Result<HashMap<String, usize>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(BUSY_BUILDERS)
            .fetch_all(&self.reader.pool)
            .await
            .map_err(failed("count the running bakes"))?;
        Ok(rows.into_iter().map(|(region, n)| (region, usize::try_from(n).unwrap_or_default())).collect())
    }

    /// Commits steps and the calls behind them, all or nothing. Each belongs to another open bake. A row that is
    /// missing or has ended means that this is not the history that the steps were read from.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn commit(&self, transitions: &[Transition], now: DateTime<Utc>) -> Result<(), StoreError> {
        self.commit_seen(transitions, now, now).await
    }

    /// The same; images of successful bakes count as AVAILABLE from `cloud_now` on, the cloud's time.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn commit_seen(
        &self,
        transitions: &[Transition],
        cloud_now: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        if transitions.is_empty() {
            return Ok(());
        }
        let steps = transitions
            .iter()
            .map(|transition| StepRow::of(transition, now))
            .collect::<Result<Vec<_>, _>>()
            .and_then(|rows| serde_json::to_string(&rows))
            .map_err(StoreError::Encode)?;
        let attempts: Vec<AttemptJson<'_>> = transitions
            .iter()
            .filter_map(|transition| Some(AttemptJson::of(transition.bake, transition.attempt.as_ref()?)))
            .collect();
        // Running bakes are ended, even if the file has lost its name.
        let mut tx = self.writer.begin_detached().await?;
        let run = async |tx: &mut sqlx::SqliteConnection, sql: &'static str, json: &str| {
            sqlx::query(sql).bind(json).execute(tx).await.map_err(failed("record a step"))
        };
        let hit = run(&mut tx, UPDATE_BAKES, &steps).await?;
        if hit.rows_affected() < u64::try_from(transitions.len()).unwrap_or(u64::MAX) {
            return Err(StoreError::WentBack);
        }
        run(&mut tx, RAISE_VERSIONS, &steps).await?;
        if transitions.iter().any(|transition| transition.state.is_ended()) {
            run(&mut tx, COUNT_FAILURES, &steps).await?;
        }
        if transitions.iter().any(|transition| transition.state.has_succeeded()) {
            sqlx::query(INSERT_IMAGES)
                .bind(&steps)
                .bind(cloud_now.timestamp_millis())
                .execute(&mut *tx)
                .await
                .map_err(failed("record an image"))?;
            run(&mut tx, INSERT_DISTRIBUTIONS, &steps).await?;
        }
        if !attempts.is_empty() {
            let json = serde_json::to_string(&attempts).map_err(StoreError::Encode)?;
            run(&mut tx, INSERT_ATTEMPTS, &json).await?;
        }
        for event in transitions.iter().flat_map(|transition| &transition.events) {
            tx.record(now, event.clone());
        }
        pass("before", transitions);
        tx.commit().await.map_err(failed("commit a step"))?;
        pass("after", transitions);
        Ok(())
    }

    /// A row that this version cannot read must not block the others: it is reported once and ignored.
    fn readable(&self, rows: &[SqliteRow]) -> Vec<DueBake> {
        let mut bakes = Vec::with_capacity(rows.len());
        for row in rows {
            match due_bake(row) {
                Ok(bake) => bakes.push(bake),
                Err(error) => {
                    let bake = row.try_get::<i64, _>("id").unwrap_or_default();
                    if self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).insert(bake) {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(bake, error, "bake {bake} in the history is unreadable and left alone");
                    }
                }
            }
        }
        bakes
    }

    pub(super) async fn begin(&self) -> Result<WriteTransaction, StoreError> {
        self.writer.begin().await
    }
}

#[derive(Serialize)]
struct StepRow<'a> {
    id: BakeId,
    line_id: &'a LineId,
    state: &'static str,
    progress: String,
    reason: Option<&'a str>,
    reason_code: Option<&'static str>,
    cause: Option<&'static str>,
    version: Option<u32>,
    image_name: Option<&'a str>,
    image_id: Option<&'a str>,
    version_id: Option<&'a str>,
    task_id: Option<&'a str>,
    attempts: u32,
    wake_at: Option<i64>,
    finished_at: Option<i64>,
    holds_builder: bool,
    holds_instance: bool,
    /// 1 for a failure that counts for the pause of the schedule, 0 for a success, none otherwise.
    permanent: Option<u8>,
}

impl<'a> StepRow<'a> {
    fn of(transition: &'a Transition, now: DateTime<Utc>) -> Result<Self, serde_json::Error> {
        let state = &transition.state;
        let (work, image) = (state.work(), state.image());
        Ok(Self {
            id: transition.bake,
            line_id: &transition.line,
            state: state.as_str(),
            progress: serde_json::to_string(state)?,
            reason: transition.reason.as_deref(),
            reason_code: state.reason_code().map(ReasonCode::as_str),
            cause: state.cause().map(Cause::as_str),
            version: work.map(|work| work.version),
            image_name: work.map(|work| work.image_name.as_str()),
            image_id: image.map(|image| image.image_id.as_str()),
            version_id: image.and_then(|image| image.version_id.as_deref()),
            task_id: image.and_then(|image| image.task_id.as_deref()),
            attempts: work.map_or(0, |work| work.attempts),
            wake_at: state.wake_at().map(|at| at.timestamp_millis()),
            finished_at: state.is_ended().then(|| now.timestamp_millis()),
            holds_builder: state.holds_builder(),
            holds_instance: state.holds_instance(),
            permanent: match state {
                State::Ended { end, .. } if end.counts_for_auto_pause() => Some(1),
                State::Ended { end: End::Succeeded { .. }, .. } => Some(0),
                _ => None,
            },
        })
    }
}

/// One row of the attempts in a batch.
#[derive(Serialize)]
pub(super) struct AttemptJson<'a> {
    bake_id: BakeId,
    stage: &'static str,
    call: &'a str,
    started_at: i64,
    finished_at: i64,
    outcome: Outcome,
    code: Option<&'a str>,
    http_status: Option<u16>,
    request_id: Option<&'a str>,
    message: Option<&'a str>,
    success: Option<bool>,
    answer: Option<&'a str>,
}

impl<'a> AttemptJson<'a> {
    pub(super) fn of(bake_id: BakeId, attempt: &'a Attempt) -> Self {
        Self {
            bake_id,
            stage: attempt.stage,
            call: &attempt.call,
            started_at: attempt.started_at.timestamp_millis(),
            finished_at: attempt.finished_at.timestamp_millis(),
            outcome: attempt.outcome,
            code: attempt.code.as_deref(),
            http_status: attempt.http_status,
            request_id: attempt.request_id.as_deref(),
            message: attempt.message.as_deref(),
            success: attempt.success,
            answer: attempt.answer.as_deref(),
        }
    }
}

fn due_bake(row: &SqliteRow) -> Result<DueBake, sqlx::Error> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let number = |column: &str| row.try_get::<i64, _>(column);
    let slot = DateTime::from_timestamp_millis(number("slot")?).unwrap_or_default();
    let settings: BakeSettings = serde_json::from_str(&text("settings")?).map_err(decode("settings"))?;
    let give_up_at = row.try_get::<Option<i64>, _>("give_up_at")?.and_then(DateTime::from_timestamp_millis);
    let bake = Bake {
        id: BakeId(number("id")?),
        schedule_id: text("schedule_id")?.into(),
        schedule: text("schedule")?.into(),
        instance_id: text("instance_id")?.into(),
        line: text("line_id")?.into(),
        slot,
        trigger: Trigger::parse(&text("trigger")?).unwrap_or(Trigger::Slot),
        // Rows of the first version lack it; the value was fixed.
        give_up_at: give_up_at.unwrap_or_else(|| later(slot, settings.deadline)),
        settings: Arc::new(settings),
        state: serde_json::from_str(&text("progress")?).map_err(decode("progress"))?,
    };
    Ok(DueBake { bake, last_version: u32::try_from(number("last_version")?).unwrap_or(u32::MAX) })
}

fn decode(column: &'static str) -> impl FnOnce(serde_json::Error) -> sqlx::Error {
    move |source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(source) }
}

/// The JSON of settings, and its hash.
pub(super) fn settings_row(settings: &BakeSettings) -> Result<(String, String), StoreError> {
    use sha2::Digest;
    let json = serde_json::to_string(settings).map_err(StoreError::Encode)?;
    Ok((hex::encode(sha2::Sha256::digest(json.as_bytes())), json))
}
