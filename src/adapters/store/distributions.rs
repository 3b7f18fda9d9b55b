//! Copies of images to other regions: those that are due, their steps, and their reports.

use std::{fmt, sync::PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    CopyRow, Reader, Store, StoreError,
    audit::audit,
    failed,
    transitions::INSERT_ATTEMPTS,
    transitions::{Attempt, AttemptJson},
    writer::WriteTransaction,
};
use crate::{
    adapters::failpoint,
    domain::{
        bake::BakeSettings,
        event::{Action, AuditLine, Event, EventSeverity, EventType},
        health::{Subject, SubjectKind, one_line},
        ids::{BakeId, ImageId, LineId},
        image::distribution::{LONGEST_WAIT, State},
    },
};

/// Copies that are due, or wait for an instant of a clock that was set back since.
pub(super) const DUE_COPIES: &str = "
SELECT d.image_id, d.region, d.bake_id, d.copy_state, d.wake_at, i.version_id, b.schedule, b.line_id, s.json AS settings,
       CASE WHEN i.image_id IS NULL OR i.deletion_state = 'deleted' THEN coalesce(i.rule, 'not in the history') END AS gone
FROM distributions d INDEXED BY distributions_open CROSS JOIN bakes b ON b.id = d.bake_id
     CROSS JOIN settings s ON s.hash = b.settings LEFT JOIN images i ON i.image_id = d.image_id
WHERE d.finished_at IS NULL AND (d.wake_at <= ?1 OR d.wake_at > ?2)
ORDER BY d.wake_at, d.image_id, d.region
LIMIT ?3";

/// Instant at which the next copy is due.
pub(super) const NEXT_COPY: &str = "SELECT min(wake_at) FROM distributions WHERE finished_at IS NULL";

/// Copies that took a step. One that has ended is never reopened by a step.
pub(super) const UPDATE_COPIES: &str = "
UPDATE distributions
SET state = step.value ->> 'state', copy_state = step.value ->> 'copy_state', tries = coalesce(step.value ->> 'tries', tries),
    wake_at = step.value ->> 'wake_at', progress = coalesce(step.value ->> 'progress', progress),
    status = coalesce(step.value ->> 'status', status),
    reason = step.value ->> 'reason', task_id = coalesce(step.value ->> 'task_id', task_id),
    finished_at = step.value ->> 'finished_at'
FROM json_each(?1) AS step
WHERE distributions.image_id = step.value ->> 'image_id' AND distributions.region = step.value ->> 'region'
  AND distributions.finished_at IS NULL";

/// What an inventory scan showed of copies that have ended, where it is news; the others are polled.
pub(super) const RECORD_REPLICAS: &str = "
UPDATE distributions
SET status = coalesce(entry.value ->> 'status', status), progress = coalesce(entry.value ->> 'progress', progress)
FROM json_each(?1) AS entry
WHERE distributions.image_id = entry.value ->> 'image_id' AND distributions.region = entry.value ->> 'region'
  AND distributions.finished_at IS NOT NULL
  AND (status IS NOT coalesce(entry.value ->> 'status', status)
       OR progress IS NOT coalesce(entry.value ->> 'progress', progress))";

/// Failed copies of a bake's image to these regions are queued again, with the state in which they ended, unless the image is deleted or being deleted.
pub(super) const REOPEN_COPIES: &str = "
UPDATE distributions
SET state = 'pending', tries = 0, wake_at = ?2, status = NULL, progress = NULL, reason = NULL, finished_at = NULL
WHERE bake_id = ?1 AND state = 'failed' AND region IN (SELECT value FROM json_each(?3))
  AND EXISTS (SELECT 1 FROM images i WHERE i.image_id = distributions.image_id AND i.deletion_state NOT IN ('deleting', 'deleted'))";

/// Regions that the image of a bake is to be copied to besides, unless it is deleted or being deleted.
pub(super) const ADD_COPIES: &str = "
INSERT INTO distributions (image_id, region, bake_id, state, wake_at, created_at)
SELECT i.image_id, region.value, b.id, 'pending', ?2, ?2
FROM bakes b CROSS JOIN images i ON i.image_id = b.image_id CROSS JOIN json_each(?3) AS region
WHERE b.id = ?1 AND b.state = 'succeeded' AND i.deletion_state NOT IN ('deleting', 'deleted')
ON CONFLICT (image_id, region) DO NOTHING";

/// The copies of a bake's image.
pub(super) const COPIES_OF: &str = "
SELECT region, state, status, tries, progress, reason, task_id, wake_at, created_at, finished_at
FROM distributions WHERE bake_id = ?1 ORDER BY region";

/// The regions that may have copies: all that images were ever to be copied to, but those where each copy certainly failed before
/// anything was there.
pub(super) const REPLICA_REGIONS: &str = "
SELECT DISTINCT region FROM distributions
WHERE state <> 'failed' OR NOT coalesce(CASE WHEN json_valid(copy_state) THEN copy_state ->> 'nothing_there' END, 0)
ORDER BY region";

/// Bakes whose image could not be copied everywhere and is still there.
pub(super) const FAILED_COPIES: &str = "
SELECT b.id, b.schedule, b.schedule_id, b.line_id,
       json_group_array(json_object('region', d.region, 'reason', coalesce(d.reason, ''), 'at', coalesce(d.finished_at, 0))) AS copies,
       (SELECT json_group_array(json_object('region', e.region, 'state', e.state))
        FROM images n CROSS JOIN distributions e ON e.image_id = n.image_id
        WHERE n.line_id = i.line_id AND n.version >= i.version AND e.state <> 'failed') AS others
FROM distributions d INDEXED BY distributions_failed CROSS JOIN bakes b ON b.id = d.bake_id
     CROSS JOIN images i ON i.image_id = d.image_id
WHERE d.state = 'failed' AND i.deletion_state <> 'deleted' AND i.missing_since IS NULL
  -- A newer image of the line that is in the region replaces it.
  AND NOT EXISTS (SELECT 1 FROM images n CROSS JOIN distributions e ON e.image_id = n.image_id
                  WHERE n.line_id = i.line_id AND n.version > i.version AND e.region = d.region AND e.state = 'done')
GROUP BY b.id ORDER BY b.id DESC LIMIT ?1";

/// A copy that is due.
#[derive(Debug, Clone)]
pub struct Copy {
    /// The image.
    pub image_id: ImageId,
    /// Its own version in the cloud.
    pub version_id: Option<String>,
    /// Where to.
    pub region: String,
    /// The bake that made it.
    pub bake: BakeId,
    /// The schedule's name then.
    pub schedule: String,
    /// What the bake was to do.
    pub settings: BakeSettings,
    /// How far it is.
    pub state: State,
    /// Why the image is not there any more, if it is not.
    pub gone: Option<String>,
}

impl fmt::Display for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "copy of {} (bake {} of {}) to {}", self.image_id, self.bake, self.schedule, self.region)
    }
}

/// One step of a copy, to be committed before its effect.
#[derive(Debug)]
pub struct CopyStep {
    /// Which copy, in its new state.
    pub copy: Copy,
    /// The task that the cloud named.
    pub task_id: Option<String>,
    /// The call that led to it, if it is worth a row.
    pub attempt: Option<Attempt>,
    /// The state before.
    pub before: State,
    /// What the cloud lists of it in its region, if this step is about a list that does.
    pub listed: Option<ListedReplica>,
}

/// What the cloud lists of an image in a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedReplica {
    /// Its status.
    pub status: Option<String>,
    /// Percent done.
    pub progress: Option<String>,
}

/// What an inventory scan showed of one copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplicaObservation {
    /// The image.
    pub image_id: ImageId,
    /// Where.
    pub region: String,
    /// What is listed there.
    #[serde(flatten)]
    pub listed: ListedReplica,
}

/// A bake whose image could not be copied everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCopies {
    /// The bake.
    pub bake: BakeId,
    /// The schedule's name.
    pub schedule: String,
    /// Its id.
    pub schedule_id: String,
    /// The line of the image.
    pub line: LineId,
    /// The copies, at least one.
    pub copies: Vec<FailedCopy>,
    /// The copies of this image, and of newer ones of the line, that did not fail.
    pub others: Vec<OtherCopy>,
}

/// A copy that did not fail.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OtherCopy {
    /// Where to.
    pub region: String,
    /// How far.
    pub state: String,
}

/// A copy that failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FailedCopy {
    /// Where the image is missing.
    pub region: String,
    /// Why.
    pub reason: String,
    #[serde(rename = "at")]
    failed_at: i64,
}

impl FailedCopy {
    /// When it failed.
    pub fn failed_at(&self) -> DateTime<Utc> {
        super::instant(self.failed_at)
    }
}

impl Reader {
    /// The copies of a bake's image.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn copies(&self, bake: BakeId) -> Result<Vec<CopyRow>, StoreError> {
        sqlx::query_as(COPIES_OF)
            .bind(bake.0)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the copies of an image"))
    }

    /// The regions that may have copies of images: each copy but those that failed before anything was there.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn replica_regions(&self) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(REPLICA_REGIONS).fetch_all(&self.pool).await.map_err(failed("read the regions of copies"))
    }

    /// Bakes whose image could not be copied everywhere and is still there, the newest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn failed_copies(&self, limit: u32) -> Result<Vec<FailedCopies>, StoreError> {
        type Columns = (i64, String, String, String, String, String);
        let rows: Vec<Columns> = sqlx::query_as(FAILED_COPIES)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read which copies failed"))?;
        Ok(rows
            .into_iter()
            .map(|(bake, schedule, schedule_id, line, copies, others)| FailedCopies {
                bake: BakeId(bake),
                schedule,
                schedule_id,
                line: line.into(),
                copies: serde_json::from_str(&copies).unwrap_or_default(),
                others: serde_json::from_str(&others).unwrap_or_default(),
            })
            .collect())
    }
}

impl Store {
    /// Copies whose time has come, at most `limit`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn due_copies(&self, now: DateTime<Utc>, limit: u32) -> Result<Vec<Copy>, StoreError> {
        let longest = TimeDelta::from_std(LONGEST_WAIT).unwrap_or(TimeDelta::days(1));
        let rows = sqlx::query(DUE_COPIES)
            .bind(now.timestamp_millis())
            .bind((now + longest).timestamp_millis())
            .bind(limit)
            .fetch_all(&self.reader().pool)
            .await
            .map_err(failed("read the copies that are due"))?;
        let mut copies = Vec::with_capacity(rows.len());
        for row in &rows {
            match copy(row) {
                Ok(copy) => copies.push(copy),
                // It must not keep the others from being made: it is reported once and left alone.
                Err(error) => {
                    let bake = row.try_get::<i64, _>("bake_id").unwrap_or_default();
                    if self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).insert(bake) {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(
                            bake,
                            error,
                            "a copy of bake {bake} in the history is unreadable and left alone"
                        );
                    }
                }
            }
        }
        Ok(copies)
    }

    /// Instant at which the next copy is due.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn next_copy(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let at: Option<i64> =
            sqlx::query_scalar(NEXT_COPY).fetch_one(&self.reader().pool).await.map_err(failed("read the next copy"))?;
        Ok(at.and_then(DateTime::from_timestamp_millis))
    }

    /// Commits steps and the calls behind them, all or none.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn commit_copies(&self, steps: &[CopyStep], now: DateTime<Utc>) -> Result<(), StoreError> {
        if steps.is_empty() {
            return Ok(());
        }
        let rows = steps.iter().map(|step| StepRow::of(step, now)).collect::<Result<Vec<_>, _>>();
        let json = rows.and_then(|rows| serde_json::to_string(&rows)).map_err(StoreError::Encode)?;
        let attempts: Vec<_> =
            steps.iter().filter_map(|step| Some(AttemptJson::of(step.copy.bake, step.attempt.as_ref()?))).collect();
        let mut tx = self.begin().await?;
        sqlx::query(UPDATE_COPIES).bind(json).execute(&mut *tx).await.map_err(failed("record a step of a copy"))?;
        if !attempts.is_empty() {
            sqlx::query(INSERT_ATTEMPTS)
                .bind(serde_json::to_string(&attempts).map_err(StoreError::Encode)?)
                .execute(&mut *tx)
                .await
                .map_err(failed("record a call for a copy"))?;
        }
        for step in steps {
            if let Some(event) = event(step) {
                tx.record(now, event);
            }
        }
        for step in steps {
            failpoint::hit("before", point(&step.copy.state));
        }
        tx.commit().await.map_err(failed("commit a step of a copy"))?;
        for step in steps {
            failpoint::hit("after", point(&step.copy.state));
        }
        Ok(())
    }

    /// Wants the failed copies of a bake's image to the regions `again` anew, and copies to the regions `new`; how many there
    /// are.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn reopen_copies(
        &self,
        bake: BakeId,
        again: &[String],
        new: &[String],
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let mut changed = 0;
        for (sql, regions) in [(REOPEN_COPIES, again), (ADD_COPIES, new)] {
            let done = sqlx::query(sql)
                .bind(bake.0)
                .bind(now.timestamp_millis())
                .bind(serde_json::to_string(regions).map_err(StoreError::Encode)?)
                .execute(&mut *tx)
                .await
                .map_err(failed("want copies anew"))?;
            changed += done.rows_affected();
        }
        if changed > 0 {
            let line = AuditLine {
                at: now,
                who,
                action: Action::RetryDistribute,
                subject: Subject::new(SubjectKind::Bake, bake.to_string()),
                detail: format!("bake {bake} to {}", [again, new].concat().join(", ")),
            };
            audit(&mut tx, &line).await?;
        }
        tx.commit().await.map_err(failed("commit a retry of copies"))?;
        Ok(changed)
    }
}

/// Records what an inventory scan showed of copies.
pub(super) async fn record_replicas(
    tx: &mut WriteTransaction,
    replicas: &[ReplicaObservation],
) -> Result<(), StoreError> {
    if replicas.is_empty() {
        return Ok(());
    }
    sqlx::query(RECORD_REPLICAS)
        .bind(serde_json::to_string(replicas).map_err(StoreError::Encode)?)
        .execute(&mut **tx)
        .await
        .map_err(failed("note what the cloud shows of copies"))?;
    Ok(())
}

/// The event of a copy that started or ended.
fn event(CopyStep { copy, before, .. }: &CopyStep) -> Option<Event> {
    let (kind, severity, what) = match &copy.state {
        state if state.as_str() == before.as_str() => return None,
        State::Copying { .. } => (EventType::ReplicaStarted, EventSeverity::Info, "is running"),
        State::Done { .. } => (EventType::ReplicaMade, EventSeverity::Info, "is done"),
        State::Failed { .. } => (EventType::ReplicaFailed, EventSeverity::Problem, "failed"),
        State::Pending { .. } | State::Asking { .. } => return None,
    };
    let reason = one_line(copy.state.reason().unwrap_or_default());
    let message = format!("the {copy} {what}{}{reason}", if reason.is_empty() { "" } else { ": " });
    Some(
        Event::new(kind, severity, Subject::new(SubjectKind::Image, copy.image_id.as_str()), message)
            .with("bake", copy.bake.0)
            .with("schedule", copy.schedule.as_str())
            .with("image_id", copy.image_id.as_str())
            .with("region", copy.region.as_str())
            .with("reason", reason)
            .command(format!("imagebaked show {}", copy.bake)),
    )
}

/// Where tests let the daemon die.
fn point(state: &State) -> &'static str {
    match state {
        State::Pending { .. } => "copy_pending",
        State::Asking { .. } => "copy_asking",
        State::Copying { .. } => "copy_copying",
        State::Done { .. } => "copy_done",
        State::Failed { .. } => "copy_failed",
    }
}

#[derive(Serialize)]
struct StepRow<'a> {
    image_id: &'a ImageId,
    region: &'a str,
    state: &'static str,
    copy_state: String,
    tries: Option<u32>,
    wake_at: Option<i64>,
    status: Option<&'a str>,
    progress: Option<&'a str>,
    reason: Option<&'a str>,
    task_id: Option<&'a str>,
    finished_at: Option<i64>,
}

impl<'a> StepRow<'a> {
    fn of(step: &'a CopyStep, now: DateTime<Utc>) -> Result<Self, serde_json::Error> {
        let state = &step.copy.state;
        let listed = step.listed.as_ref();
        Ok(Self {
            image_id: &step.copy.image_id,
            region: &step.copy.region,
            state: state.as_str(),
            copy_state: serde_json::to_string(state)?,
            tries: state.work().map(|work| work.tries),
            wake_at: state.wake_at().map(|at| at.timestamp_millis()),
            status: listed.and_then(|listed| listed.status.as_deref()),
            // The percentage of the list that ended the copy is in no state.
            progress: listed.and_then(|listed| listed.progress.as_deref()).or_else(|| state.progress()),
            reason: state.reason(),
            task_id: step.task_id.as_deref(),
            finished_at: state.is_ended().then(|| now.timestamp_millis()),
        })
    }
}

fn copy(row: &SqliteRow) -> Result<Copy, sqlx::Error> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let maybe = |column: &str| row.try_get::<Option<String>, _>(column);
    let decode = |column: &'static str| {
        move |source: serde_json::Error| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: Box::new(source),
        }
    };
    let since = || Ok::<_, sqlx::Error>(super::instant(row.try_get::<i64, _>("wake_at")?));
    let state = match maybe("copy_state")? {
        Some(json) => match serde_json::from_str(&json).map_err(decode("copy_state"))? {
            // It is wanted again; what may be there from before is not forgotten.
            State::Failed { nothing_there, .. } => State::wanted_again(since()?, nothing_there),
            state => state,
        },
        None => State::wanted(since()?),
    };
    Ok(Copy {
        image_id: text("image_id")?.into(),
        version_id: maybe("version_id")?,
        region: text("region")?,
        bake: BakeId(row.try_get::<i64, _>("bake_id")?),
        schedule: text("schedule")?,
        settings: serde_json::from_str(&text("settings")?).map_err(decode("settings"))?,
        state,
        gone: maybe("gone")?,
    })
}
