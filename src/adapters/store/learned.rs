//! What was learned of the cloud that no page says, and how the queue stands.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use sqlx::SqliteConnection;

use super::{ITSELF, Reader, Store, StoreError, audit::audit, failed};
use crate::domain::{
    api::gmt_offset::GmtOffset,
    bake::queue::{ClosedAdmission, QueueState},
    clock::watch::ClockAnchor,
    event::{Action, AuditLine},
    health::{Subject, SubjectKind},
};

/// Images of ours, and bakes that are not over.
pub(super) const WORK_IN_CLOUD: &str = "
SELECT (SELECT count(*) FROM images INDEXED BY images_present
        WHERE deletion_state <> 'deleted' AND ours) AS images,
       (SELECT count(*) FROM bakes WHERE finished_at IS NULL) AS open";

/// Marks of a history that was restored are old: what keeps the images may have been decided since.
pub(super) const UNMARK_ALL: &str = "
UPDATE images INDEXED BY images_going
SET deletion_state = 'kept', rule = NULL, delete_after = NULL, marked_at = NULL, refused = NULL, tries = 0, brake = NULL
WHERE deletion_state IN ('marked', 'deleting') AND deletion_state = 'marked'";

/// What was learned of the cloud under a name.
pub(super) const LEARNED: &str = "SELECT value FROM learned WHERE name = ?1";

/// Something was learned; a later word replaces an earlier one.
pub(super) const LEARN: &str = "
INSERT INTO learned (name, value, at) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at";

/// Something turned out not to be so.
pub(super) const UNLEARN: &str = "DELETE FROM learned WHERE name = ?1";

/// The zone of `GmtCreate`, in minutes ahead of UTC.
const GMT_OFFSET: &str = "gmt_offset";
/// The last comparison of this host's clock with the cloud's, as JSON.
const CLOCK_ANCHOR: &str = "clock_anchor";
/// The queue as the engine sees it, as JSON.
const QUEUE_STATE: &str = "queue_state";
/// The quota that has closed admission, as JSON.
const CLOSED_ADMISSION: &str = "closed_admission";

/// `[daemon] owner` of the last start.
const OWNER: &str = "owner";

/// What a restored history does not have of the one before, in words for its first start.
pub(super) const RESTORED: &str = "restored";

/// That the history is another one, or older, since when no whole scan has shown its images.
pub(super) const UNSCANNED: &str = "unscanned";

/// The owner of a history that is not open.
pub(super) async fn owner_of(connection: &mut SqliteConnection) -> Result<Option<String>, StoreError> {
    sqlx::query_scalar(LEARNED).bind(OWNER).fetch_optional(connection).await.map_err(failed("read the former owner"))
}

/// Leaves a sentence for the first start of a restored history.
pub(super) async fn say_at_start(
    connection: &mut SqliteConnection,
    sentence: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    for (name, value) in [(RESTORED, sentence), (UNSCANNED, "restored")] {
        let query = sqlx::query(LEARN).bind(name).bind(value).bind(now.timestamp_millis());
        query.execute(&mut *connection).await.map_err(failed("note what is lost"))?;
    }
    Ok(())
}

/// What a history has in the cloud.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkInCloud {
    /// Images of ours.
    pub images: u64,
    /// Bakes that are not over.
    pub open: u64,
}

impl Reader {
    /// `[daemon] owner` of the last start; `None` where no daemon of this version has started.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn owner(&self) -> Result<Option<String>, StoreError> {
        self.learned(OWNER, "read the former owner").await
    }

    /// What a history that was restored does not have of the one before; `None` if nobody restored it by a command.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn restored(&self) -> Result<Option<String>, StoreError> {
        self.learned(RESTORED, "read what is lost").await
    }

    /// Whether images may be gone without notice: the history is another one, or older, and no whole scan of the cloud has been
    /// made since.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn awaits_scan(&self) -> Result<bool, StoreError> {
        Ok(self.learned(UNSCANNED, "read whether the cloud was scanned").await?.is_some())
    }

    /// Counts images and open bakes.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn work_in_cloud(&self) -> Result<WorkInCloud, StoreError> {
        let (images, open): (i64, i64) =
            sqlx::query_as(WORK_IN_CLOUD).fetch_one(&self.pool).await.map_err(failed("count images and open bakes"))?;
        Ok(WorkInCloud { images: images.unsigned_abs(), open: open.unsigned_abs() })
    }

    /// Zone of `GmtCreate`, once an own image has shown it.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn gmt_offset(&self) -> Result<Option<GmtOffset>, StoreError> {
        let value = self.learned(GMT_OFFSET, "read the zone of GmtCreate").await?;
        Ok(value.and_then(|value| value.parse().ok()).map(GmtOffset::from_minutes))
    }

    /// Last comparison of this host's clock with the cloud's; `None` if none is readable.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn clock_anchor(&self) -> Result<Option<ClockAnchor>, StoreError> {
        self.learned_json(CLOCK_ANCHOR, "read the last comparison of the clocks").await
    }

    /// The queue as the engine saw it last; `None` where no engine of this version has.
    pub async fn queue_state(&self) -> Result<Option<QueueState>, StoreError> {
        self.learned_json(QUEUE_STATE, "read the state of the queue").await
    }

    /// The quota that had closed admission, if one had.
    pub async fn closed_admission(&self) -> Result<Option<ClosedAdmission>, StoreError> {
        self.learned_json(CLOSED_ADMISSION, "read which quota is used up").await
    }

    /// What is not readable is of another version, and is learned again.
    async fn learned_json<T: DeserializeOwned>(&self, name: &str, what: &'static str) -> Result<Option<T>, StoreError> {
        Ok(self.learned(name, what).await?.and_then(|value| serde_json::from_str(&value).ok()))
    }

    async fn learned(&self, name: &str, what: &'static str) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar(LEARNED).bind(name).fetch_optional(&self.pool).await.map_err(failed(what))
    }
}

impl Store {
    /// Stores `[daemon] owner` of this start.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn keep_owner(&self, owner: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.keep([(OWNER, Some(owner.to_owned()))], "keep the owner", now).await
    }

    /// Prepares a history that was restored: marks begin anew, with a whole grace from now. Returns their number.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn begin_marks_anew(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let marks = sqlx::query(UNMARK_ALL).execute(&mut *tx).await.map_err(failed("unmark images"))?.rows_affected();
        sqlx::query(UNLEARN).bind(RESTORED).execute(&mut *tx).await.map_err(failed("note that it was said"))?;
        let unscanned = sqlx::query(LEARN).bind(UNSCANNED).bind("restored").bind(now.timestamp_millis());
        unscanned.execute(&mut *tx).await.map_err(failed("note that the cloud is to be scanned"))?;
        if marks > 0 {
            let detail = format!(
                "{marks} images: the history was restored, and their grace begins anew when they are marked again"
            );
            let subject = Subject::only(SubjectKind::History);
            audit(&mut tx, &AuditLine { at: now, who: ITSELF, action: Action::Unmark, subject, detail }).await?;
        }
        tx.commit().await.map_err(failed("unmark images"))?;
        Ok(marks)
    }

    /// Stores the zone of `GmtCreate`; `None`: images contradict each other.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn keep_gmt_offset(&self, offset: Option<GmtOffset>, now: DateTime<Utc>) -> Result<(), StoreError> {
        let value = offset.map(|offset| offset.minutes().to_string());
        self.keep([(GMT_OFFSET, value)], "keep the zone of GmtCreate", now).await
    }

    /// Stores the last comparison of this host's clock with the cloud's.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn keep_clock_anchor(&self, anchor: &ClockAnchor, now: DateTime<Utc>) -> Result<(), StoreError> {
        let json = serde_json::to_string(anchor).map_err(StoreError::Encode)?;
        self.keep([(CLOCK_ANCHOR, Some(json))], "keep the last comparison of the clocks", now).await
    }

    /// Keeps how the queue stands, for those who show bakes and for the next start.
    pub async fn keep_queue(
        &self,
        queue: &QueueState,
        closed: Option<&ClosedAdmission>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let queue = serde_json::to_string(queue).map_err(StoreError::Encode)?;
        let closed = closed.map(serde_json::to_string).transpose().map_err(StoreError::Encode)?;
        let values = [(QUEUE_STATE, Some(queue)), (CLOSED_ADMISSION, closed)];
        self.keep(values, "keep the state of the queue", now).await
    }

    /// Keeps values under their names; `None` removes one.
    async fn keep<const N: usize>(
        &self,
        values: [(&'static str, Option<String>); N],
        what: &'static str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for (name, value) in values {
            let query = match value {
                Some(value) => sqlx::query(LEARN).bind(name).bind(value).bind(now.timestamp_millis()),
                None => sqlx::query(UNLEARN).bind(name),
            };
            query.execute(&mut *tx).await.map_err(failed(what))?;
        }
        tx.commit().await.map_err(failed(what))
    }
}
