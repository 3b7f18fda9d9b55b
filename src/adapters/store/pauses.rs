//! Pauses of schedules: by whom and why, and the consecutive permanent failures of each.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{Store, StoreError, audit::audit, failed, instant, reader::Reader, transitions::settings_row};
use crate::domain::{
    bake::BakeSettings,
    calendar::zone::Zone,
    event::{Action, AuditLine},
    health::{Subject, SubjectKind},
    ids::ScheduleId,
    pause::{ITSELF, Pause},
};

/// All pauses.
pub(super) const ALL_PAUSES: &str = "SELECT schedule_id, since, until, reason, who FROM pauses";

/// The pause of a schedule.
pub(super) const PAUSE_OF: &str = "SELECT since, until, reason, who FROM pauses WHERE schedule_id = ?1";

/// A schedule is paused; a later word replaces an earlier one.
pub(super) const SET_PAUSE: &str = "
INSERT INTO pauses (schedule_id, since, until, reason, who) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (schedule_id) DO UPDATE
SET since = excluded.since, until = excluded.until, reason = excluded.reason, who = excluded.who";

/// A schedule is no longer paused.
pub(super) const LIFT_PAUSE: &str = "DELETE FROM pauses WHERE schedule_id = ?1";

/// A schedule has a clean slate.
pub(super) const CLEAR_STREAK: &str = "DELETE FROM streaks WHERE schedule_id = ?1";

/// Schedules with too many permanent failures in a row that are not paused yet.
pub(super) const TOO_MANY_FAILURES: &str = "
SELECT s.schedule_id, s.failures FROM streaks s
WHERE s.failures >= ?1 AND s.schedule_id NOT IN (SELECT schedule_id FROM pauses)";

/// Schedules that the daemon paused by itself, with a success since.
pub(super) const RECOVERED_SCHEDULES: &str = "
SELECT p.schedule_id FROM pauses p JOIN streaks s ON s.schedule_id = p.schedule_id
WHERE p.who = ?1 AND s.failures = 0";

/// How often in a row a schedule failed, and the settings it had.
pub(super) const ALL_STREAKS: &str = "SELECT schedule_id, settings FROM streaks WHERE failures > 0";

fn of<'a>(id: &ScheduleId, at: DateTime<Utc>, who: &'a str, action: Action, detail: String) -> AuditLine<'a> {
    AuditLine { at, who, action, subject: Subject::new(SubjectKind::Schedule, id.as_str()), detail }
}

impl Reader {
    /// All pauses, including those that have ended.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn pauses(&self) -> Result<HashMap<ScheduleId, Pause>, StoreError> {
        let rows: Vec<(String, i64, Option<i64>, String, String)> =
            sqlx::query_as(ALL_PAUSES).fetch_all(&self.pool).await.map_err(failed("read the pauses"))?;
        Ok(rows
            .into_iter()
            .map(|(id, since, until, reason, who)| {
                let schedule_id = ScheduleId::from(id);
                let pause = Pause {
                    schedule_id: schedule_id.clone(),
                    since: instant(since),
                    until: until.map(instant),
                    reason,
                    who,
                };
                (schedule_id, pause)
            })
            .collect())
    }
}

impl Reader {
    /// The pause of a schedule, which may have ended.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn pause_of(&self, schedule_id: &ScheduleId) -> Result<Option<Pause>, StoreError> {
        let row: Option<(i64, Option<i64>, String, String)> = sqlx::query_as(PAUSE_OF)
            .bind(schedule_id.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read the pause of a schedule"))?;
        Ok(row.map(|(since, until, reason, who)| Pause {
            schedule_id: schedule_id.clone(),
            since: instant(since),
            until: until.map(instant),
            reason,
            who,
        }))
    }
}

impl Store {
    /// Pauses a schedule, with a line of the audit that has times of its zone.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn pause(&self, pause: &Pause, zone: Zone) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(SET_PAUSE)
            .bind(pause.schedule_id.as_str())
            .bind(pause.since.timestamp_millis())
            .bind(pause.until.map(|until| until.timestamp_millis()))
            .bind(&pause.reason)
            .bind(&pause.who)
            .execute(&mut *tx)
            .await
            .map_err(failed("pause a schedule"))?;
        let detail = format!("{}{}: {}", pause.schedule_id, pause.bound(zone), pause.reason);
        audit(&mut tx, &of(&pause.schedule_id, pause.since, &pause.who, Action::Pause, detail)).await?;
        tx.commit().await.map_err(failed("commit a pause"))
    }

    /// Resumes a schedule: ends its pause and resets its failures.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn resume(
        &self,
        schedule_id: &ScheduleId,
        who: &str,
        why: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for sql in [LIFT_PAUSE, CLEAR_STREAK] {
            let query = sqlx::query(sql).bind(schedule_id.as_str());
            query.execute(&mut *tx).await.map_err(failed("resume a schedule"))?;
        }
        audit(&mut tx, &of(schedule_id, now, who, Action::Resume, format!("{schedule_id}: {why}"))).await?;
        tx.commit().await.map_err(failed("commit the end of a pause"))
    }

    /// Schedules that failed permanently at least `limit` times in a row and are not paused.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn too_many_failures(&self, limit: u32) -> Result<Vec<(ScheduleId, u32)>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(TOO_MANY_FAILURES)
            .bind(limit)
            .fetch_all(&self.reader().pool)
            .await
            .map_err(failed("count failures in a row"))?;
        Ok(rows.into_iter().map(|(id, n)| (ScheduleId::from(id), u32::try_from(n).unwrap_or(u32::MAX))).collect())
    }

    /// Schedules that were paused for their failures and have had a good image since.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn recovered_schedules(&self) -> Result<Vec<ScheduleId>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(RECOVERED_SCHEDULES)
            .bind(ITSELF)
            .fetch_all(&self.reader().pool)
            .await
            .map_err(failed("find schedules that have recovered"))?;
        Ok(rows.into_iter().map(ScheduleId::from).collect())
    }

    /// Schedules with permanent failures, and whether those happened under other settings than `settings`.
    pub async fn failed_under_other_settings<'a>(
        &self,
        settings: impl Fn(&ScheduleId) -> Option<&'a BakeSettings>,
    ) -> Result<Vec<ScheduleId>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(ALL_STREAKS)
            .fetch_all(&self.reader().pool)
            .await
            .map_err(failed("read failures in a row"))?;
        let mut edited = Vec::new();
        for (id, then) in rows {
            let id = ScheduleId::from(id);
            if let Some(settings) = settings(&id)
                && settings_row(settings)?.0 != then
            {
                edited.push(id);
            }
        }
        Ok(edited)
    }
}
