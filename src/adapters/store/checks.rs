//! Checks before promotion: due checks and their results.

use chrono::{DateTime, Utc};

use super::{
    BakeRow, ITSELF, Reader, Store, StoreError,
    audit::audit,
    channels::SET_VETO,
    failed,
    transitions::INSERT_ATTEMPTS,
    transitions::{Attempt, AttemptJson},
};
use crate::{
    adapters::failpoint,
    domain::{
        event::{Action, AuditLine, Event, EventSeverity, EventType},
        health::{Subject, SubjectKind},
        history::veto::Veto,
        ids::{BakeId, ImageId, LineId},
    },
};

/// Images whose check is due.
pub(super) const DUE_CHECKS: &str = "
SELECT image_id, bake_id, line_id, version, verify_tries FROM images
WHERE verify = 'due' AND deletion_state <> 'deleted' AND coalesce(verify_next, 0) <= ?1
ORDER BY verify_next, image_id";

/// When the next check is due.
pub(super) const NEXT_CHECK: &str =
    "SELECT min(coalesce(verify_next, 0)) FROM images WHERE verify = 'due' AND deletion_state <> 'deleted'";

/// A check ended, or is put off.
pub(super) const END_CHECK: &str = "
UPDATE images SET verify = ?2, verify_tries = verify_tries + 1, verify_next = ?3 WHERE image_id = ?1 AND verify = 'due'";

/// How the check of an image went, and why somebody vetoes it.
pub(super) const CHECK_OF_IMAGE: &str = "
SELECT i.verify, v.reason FROM images i LEFT JOIN vetoes v ON v.image_id = i.image_id WHERE i.image_id = ?1";

/// Who vetoes an image, and why.
pub(super) const VETO_OF_IMAGE: &str = "SELECT at, who, reason FROM vetoes WHERE image_id = ?1";

/// An image whose check is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCheck {
    /// The image.
    pub image_id: ImageId,
    /// The bake that made it.
    pub bake: Option<BakeId>,
    /// Its line.
    pub line: LineId,
    /// Its version.
    pub version: u32,
    /// Number of attempts without a result.
    pub tries: u32,
}

impl DueCheck {
    fn passed(&self) -> Event {
        let Self { image_id: image, line, version, .. } = self;
        let subject = Subject::new(SubjectKind::Image, image.as_str());
        let message = format!("v{version} of {line}, {image}, passed its check");
        Event::new(EventType::ImageVerified, EventSeverity::Info, subject, message)
            .with("image_id", image.as_str())
            .with("line", line.as_str())
            .with("version", *version)
    }
}

/// Result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckResult {
    /// The image passed.
    Passed,
    /// The image failed: it is vetoed.
    Failed {
        /// Why.
        why: String,
    },
    /// The check did not run; it is repeated.
    Again {
        /// Instant of the next attempt.
        at: DateTime<Utc>,
    },
}

/// State of the check of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageCheck {
    /// `due`, `passed` or `failed`; `None` if its schedule has no check.
    pub verify: Option<String>,
    /// Reason of its veto.
    pub veto: Option<String>,
}

impl Reader {
    /// State of the check of an image; `None` if the history does not have the image.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn check_of_image(&self, image_id: &str) -> Result<Option<ImageCheck>, StoreError> {
        let row: Option<(Option<String>, Option<String>)> = sqlx::query_as(CHECK_OF_IMAGE)
            .bind(image_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read how a check went"))?;
        Ok(row.map(|(verify, veto)| ImageCheck { verify, veto }))
    }

    /// The veto of the image of a bake; `None` if nobody vetoes it.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn veto_of(&self, row: &BakeRow) -> Result<Option<Veto>, StoreError> {
        let Some(image_id) = row.image_id.as_ref().filter(|_| row.vetoed) else { return Ok(None) };
        let veto: Option<(i64, String, String)> = sqlx::query_as(VETO_OF_IMAGE)
            .bind(image_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read a veto"))?;
        Ok(veto.map(|(at, who, reason)| Veto { at, who, reason }))
    }
}

impl Store {
    /// Images whose check is due.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn due_checks(&self, now: DateTime<Utc>) -> Result<Vec<DueCheck>, StoreError> {
        let rows: Vec<(String, Option<i64>, String, i64, i64)> = sqlx::query_as(DUE_CHECKS)
            .bind(now.timestamp_millis())
            .fetch_all(&self.reader().pool)
            .await
            .map_err(failed("read the checks that are due"))?;
        let number = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
        let row = |(image_id, bake, line, version, tries): (String, Option<i64>, String, i64, i64)| DueCheck {
            image_id: image_id.into(),
            bake: bake.map(BakeId),
            line: line.into(),
            version: number(version),
            tries: number(tries),
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Instant of the next check.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn next_check(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar(NEXT_CHECK)
            .fetch_one(&self.reader().pool)
            .await
            .map_err(failed("read the next check"))?;
        Ok(at.and_then(DateTime::from_timestamp_millis))
    }

    /// Records the result of a check with its calls; a failed image is vetoed. All or nothing.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn end_check(
        &self,
        check: &DueCheck,
        result: &CheckResult,
        attempts: &[Attempt],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let (word, next) = match result {
            CheckResult::Passed => ("passed", None),
            CheckResult::Failed { .. } => ("failed", None),
            CheckResult::Again { at } => ("due", Some(at.timestamp_millis())),
        };
        let mut tx = self.begin().await?;
        let done = sqlx::query(END_CHECK)
            .bind(check.image_id.as_str())
            .bind(word)
            .bind(next)
            .execute(&mut *tx)
            .await
            .map_err(failed("note the end of a check"))?;
        if done.rows_affected() == 0 {
            return Ok(());
        }
        if let CheckResult::Failed { why } = result {
            sqlx::query(SET_VETO)
                .bind(check.image_id.as_str())
                .bind(now.timestamp_millis())
                .bind(why)
                .bind(ITSELF)
                .execute(&mut *tx)
                .await
                .map_err(failed("veto an image"))?;
            let line = AuditLine {
                at: now,
                who: ITSELF,
                action: Action::Veto,
                subject: Subject::new(SubjectKind::Image, check.image_id.as_str()),
                detail: format!("{} of {}: {why}", check.image_id, check.line),
            };
            audit(&mut tx, &line).await?;
        }
        if let (Some(bake), false) = (check.bake, attempts.is_empty()) {
            let rows: Vec<_> = attempts.iter().map(|attempt| AttemptJson::of(bake, attempt)).collect();
            sqlx::query(INSERT_ATTEMPTS)
                .bind(serde_json::to_string(&rows).map_err(StoreError::Encode)?)
                .execute(&mut *tx)
                .await
                .map_err(failed("record a check"))?;
        }
        if matches!(result, CheckResult::Passed) {
            tx.record(now, check.passed());
        }
        failpoint::hit("before", "check");
        tx.commit().await.map_err(failed("commit the end of a check"))?;
        failpoint::hit("after", "check");
        Ok(())
    }
}
