//! Deletion of images: marked, delete call pending, searched for, deleted. Each step is one transaction with its line
//! of the audit, committed before its effect.

use chrono::{DateTime, Utc};

use super::{ITSELF, Reader, Store, StoreError, audit::audit, failed, instant, writer::WriteTransaction};
use crate::{
    adapters::failpoint,
    domain::{
        event::{Action, AuditLine},
        health::{Subject, SubjectKind},
        ids::{ImageId, LineId},
        image::{LineImage, brake::MarkKind},
    },
};

/// Lines with images that are marked or being deleted.
pub(super) const LINES_WITH_MARKS: &str =
    "SELECT DISTINCT line_id FROM images INDEXED BY images_going WHERE deletion_state IN ('marked', 'deleting')";

/// An image has gone by other hands. One that we may have deleted is searched for instead.
pub(super) const IMAGE_VANISHED: &str = "
UPDATE images SET deletion_state = 'deleted', rule = 'gone from the cloud, not by our doing', deleted_at = ?2, brake = NULL
WHERE image_id = ?1 AND deletion_state NOT IN ('deleting', 'deleted')";

/// When the next marked image may be deleted that was not due yet at an instant.
pub(super) const NEXT_DELETION: &str = "
SELECT min(delete_after) FROM images
WHERE deletion_state IN ('marked', 'deleting') AND deletion_state = 'marked' AND delete_after > ?1";

/// How many images are marked: ?1 all of them, otherwise those whose deletion counts for the brake.
pub(super) const MARKED_IMAGES: &str = "
SELECT count(*) FROM images
WHERE deletion_state IN ('marked', 'deleting') AND deletion_state = 'marked' AND (?1 OR brake = 'counted')";

/// When the next image is to be searched for whose delete call was sent.
pub(super) const NEXT_SEARCH: &str = "
SELECT min(at) FROM (SELECT min(delete_after) AS at FROM images WHERE deletion_state IN ('marked', 'deleting') AND deletion_state = 'deleting'
                     UNION ALL SELECT min(delete_after) FROM failed_images WHERE deletion_state = 'deleting')";

/// Images whose delete call was sent, with no search that answered since.
pub(super) const SENT_DELETIONS: &str = "
SELECT image_id, line_id, image_name, tries, coalesce(sent_at, marked_at, 0) AS sent_at, delete_after, 0 AS of_failed
FROM images WHERE deletion_state IN ('marked', 'deleting') AND deletion_state = 'deleting'
UNION ALL
SELECT image_id, line_id, image_name, tries, coalesce(sent_at, 0), delete_after, 1 FROM failed_images WHERE deletion_state = 'deleting'
ORDER BY sent_at, image_id";

/// Marks an image, unless something keeps it now.
pub(super) const MARK_IMAGE: &str = "
UPDATE images SET deletion_state = 'marked', rule = ?2, delete_after = ?3, marked_at = ?4, refused = NULL, tries = 0, brake = ?5
WHERE image_id = ?1 AND deletion_state IN ('kept', 'refused')
  AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.image_id = images.image_id AND (p.until IS NULL OR p.until > ?4))
  AND NOT EXISTS (SELECT 1 FROM channels c WHERE c.image_id = images.image_id)";

/// An image is not marked any more.
pub(super) const UNMARK_IMAGE: &str = "
UPDATE images SET deletion_state = 'kept', rule = NULL, delete_after = NULL, marked_at = NULL, refused = NULL, tries = 0,
                  brake = CASE WHEN brake = 'counted' THEN brake END
WHERE image_id = ?1 AND deletion_state = 'marked' RETURNING image_name, line_id";

/// A person has confirmed that marked images are deleted.
pub(super) const CONFIRM_DELETIONS: &str = "
UPDATE images SET brake = 'confirmed'
WHERE deletion_state = 'marked' AND image_id IN (SELECT value FROM json_each(?1))";

/// A marked image is about to be deleted: only if nothing keeps it and a newer good image of its line is left that is
/// not about to be deleted, and has no veto and no check to come unless the image has one, too.
pub(super) const BEGIN_DELETION: &str = "
UPDATE images SET deletion_state = 'deleting', rule = ?2, delete_after = ?3, tries = tries + 1, sent_at = ?3, refused = NULL
WHERE image_id = ?1 AND deletion_state = 'marked'
  AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.image_id = images.image_id AND (p.until IS NULL OR p.until > ?3))
  AND NOT EXISTS (SELECT 1 FROM channels c WHERE c.image_id = images.image_id)
  AND NOT EXISTS (SELECT 1 FROM distributions d WHERE d.image_id = images.image_id AND d.finished_at IS NULL)
  AND EXISTS (SELECT 1 FROM images o
              WHERE o.line_id = images.line_id AND o.deletion_state <> 'deleted' AND o.deletion_state IN ('kept', 'refused') AND o.available = 1 AND o.ours = 1
                AND o.missing_since IS NULL AND o.version > images.version AND (o.verify IS NOT 'due' OR images.verify IS 'due')
                AND (NOT EXISTS (SELECT 1 FROM vetoes v WHERE v.image_id = o.image_id)
                     OR EXISTS (SELECT 1 FROM vetoes v WHERE v.image_id = images.image_id)))";

/// How a deletion goes on, or ended.
pub(super) const END_DELETION: &str = "
UPDATE images SET deletion_state = ?2, refused = ?3, delete_after = ?4, deleted_at = CASE ?2 WHEN 'deleted' THEN ?5 END,
                  brake = CASE WHEN ?2 = 'deleted' AND brake = 'left' THEN 'counted' ELSE brake END
WHERE image_id = ?1 AND deletion_state = 'deleting'";

/// A marked image is not deleted yet: why, and when it is tried next.
pub(super) const PUT_OFF_DELETION: &str = "
UPDATE images SET refused = ?2, delete_after = max(delete_after, ?3) WHERE image_id = ?1 AND deletion_state = 'marked'";

/// Users of an image, from a query about this image only.
pub(super) const SET_USERS: &str = "UPDATE images SET used_by = ?2 WHERE image_id = ?1 AND used_by <> ?2";

/// A CREATE_FAILED image is about to be deleted.
pub(super) const BEGIN_FAILED_DELETION: &str = "
UPDATE failed_images SET deletion_state = 'deleting', rule = ?2, delete_after = ?3, tries = tries + 1, sent_at = ?3, refused = NULL
WHERE image_id = ?1 AND deletion_state = 'kept'
  AND NOT EXISTS (SELECT 1 FROM images i WHERE i.image_id = failed_images.image_id)
  AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.image_id = failed_images.image_id AND (p.until IS NULL OR p.until > ?3))";

/// How the deletion of a CREATE_FAILED image goes on, or ended. A mark is nothing that it has.
pub(super) const END_FAILED_DELETION: &str = "
UPDATE failed_images
SET deletion_state = CASE ?2 WHEN 'marked' THEN 'kept' ELSE ?2 END, refused = ?3, delete_after = ?4,
    deleted_at = CASE ?2 WHEN 'deleted' THEN ?5 END
WHERE image_id = ?1 AND deletion_state = 'deleting'";

/// A CREATE_FAILED image is not deleted yet.
pub(super) const PUT_OFF_FAILED_DELETION: &str = "
UPDATE failed_images SET refused = ?2, delete_after = ?3 WHERE image_id = ?1 AND deletion_state = 'kept'";

/// An image to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// The image.
    pub image_id: ImageId,
    /// Its line.
    pub line: LineId,
    /// Its name.
    pub name: String,
    /// Whether the cloud lists it as CREATE_FAILED.
    pub of_failed: bool,
}

impl From<&LineImage> for Doomed {
    fn from(image: &LineImage) -> Self {
        Self { image_id: image.image_id.clone(), line: image.line.clone(), name: image.name.clone(), of_failed: false }
    }
}

impl Doomed {
    /// The line of the audit of a step of its deletion.
    fn line<'a>(&self, at: DateTime<Utc>, who: &'a str, action: Action, message: &str) -> AuditLine<'a> {
        let detail = format!("{} ({}) of {}{message}", self.image_id, self.name, self.line);
        AuditLine { at, who, action, subject: Subject::new(SubjectKind::Image, self.image_id.as_str()), detail }
    }
}

/// A delete call with an unknown result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentDeletion {
    /// The image.
    pub image: Doomed,
    /// Number of delete calls.
    pub tries: u32,
    /// Instant just before the last of them.
    pub sent_at: DateTime<Utc>,
    /// Instant of the next search.
    pub next: DateTime<Utc>,
}

/// Result of a delete call, or of a search after one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// The image is deleted.
    Deleted,
    /// The cloud rejects the deletion; it is not repeated automatically.
    Refused {
        /// Why.
        why: String,
    },
    /// The image exists: it is marked and judged again.
    Again {
        /// Earliest next deletion.
        at: DateTime<Utc>,
        /// Error of the call.
        why: String,
    },
    /// The image may be deleted: a search is needed.
    Unclear {
        /// Instant of the search.
        search_at: DateTime<Utc>,
        /// Error of the call.
        why: String,
    },
}

impl Reader {
    /// Lines with images that are marked or being deleted, with or without a configuration.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn lines_with_marks(&self) -> Result<Vec<LineId>, StoreError> {
        let lines: Vec<String> = sqlx::query_scalar(LINES_WITH_MARKS)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the marked lines"))?;
        Ok(lines.into_iter().map(LineId::from).collect())
    }

    /// Instant of the next deletion that was not due at `judged_at`: those that were due then wait for the next pass.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn next_deletion(&self, judged_at: Option<DateTime<Utc>>) -> Result<Option<DateTime<Utc>>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar(NEXT_DELETION)
            .bind(judged_at.map_or(i64::MIN, |at| at.timestamp_millis()))
            .fetch_one(&self.pool)
            .await
            .map_err(failed("read the next deletion"))?;
        Ok(at.map(instant))
    }

    /// Number of marked images; without `all`, of those whose deletion counts for the brake.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn marked_images(&self, all: bool) -> Result<usize, StoreError> {
        let marked: i64 = sqlx::query_scalar(MARKED_IMAGES)
            .bind(all)
            .fetch_one(&self.pool)
            .await
            .map_err(failed("count the marked images"))?;
        Ok(usize::try_from(marked).unwrap_or_default())
    }

    /// Instant of the next search for an image with a pending delete call.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn next_search(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar(NEXT_SEARCH)
            .fetch_one(&self.pool)
            .await
            .map_err(failed("read the next search of a deleted image"))?;
        Ok(at.map(instant))
    }

    /// Delete calls with an unknown result, oldest first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn sent_deletions(&self) -> Result<Vec<SentDeletion>, StoreError> {
        type Row = (String, String, String, i64, i64, Option<i64>, i64);
        let rows: Vec<Row> = sqlx::query_as(SENT_DELETIONS)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read which deletions were sent"))?;
        let row = |(image_id, line, name, tries, sent_at, next, of_failed): Row| SentDeletion {
            image: Doomed { image_id: image_id.into(), line: LineId::from(line), name, of_failed: of_failed == 1 },
            tries: u32::try_from(tries).unwrap_or(u32::MAX),
            sent_at: instant(sent_at),
            next: instant(next.unwrap_or_default()),
        };
        Ok(rows.into_iter().map(row).collect())
    }
}

impl Store {
    /// Marks an image for deletion; `false` if something keeps it now.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn mark_image(
        &self,
        image: &LineImage,
        rule: &str,
        delete_after: DateTime<Utc>,
        kind: MarkKind,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let until =
            if delete_after > now { format!(", deleted after {}", self.shown(delete_after)) } else { String::new() };
        let line = Doomed::from(image).line(now, who, Action::Mark, &format!(": {rule}{until}"));
        self.change(
            sqlx::query(MARK_IMAGE)
                .bind(image.image_id.as_str())
                .bind(rule)
                .bind(delete_after.timestamp_millis())
                .bind(now.timestamp_millis())
                .bind(kind.as_str()),
            &line,
            "marked",
        )
        .await
    }

    /// Removes the mark of an image.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn unmark_image(
        &self,
        image: &LineImage,
        why: &str,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if !unmark(&mut tx, &image.image_id, Some(why), who, now).await? {
            tx.rollback().await.map_err(failed("unmark an image"))?;
            return Ok(false);
        }
        failpoint::hit("before", "unmarked");
        tx.commit().await.map_err(failed("commit an image's row"))?;
        failpoint::hit("after", "unmarked");
        Ok(true)
    }

    /// Records a person's confirmation of the deletions that exceed a limit.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn confirm_deletions(
        &self,
        images: &[ImageId],
        held: &str,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(CONFIRM_DELETIONS)
            .bind(serde_json::to_string(images).map_err(StoreError::Encode)?)
            .execute(&mut *tx)
            .await
            .map_err(failed("confirm deletions"))?;
        let ids: Vec<&str> = images.iter().map(ImageId::as_str).collect();
        let line = AuditLine {
            at: now,
            who,
            action: Action::ConfirmDeletions,
            subject: Subject::only(SubjectKind::Configuration),
            detail: format!("{held}: {}", ids.join(", ")),
        };
        audit(&mut tx, &line).await?;
        failpoint::hit("before", "confirmed");
        tx.commit().await.map_err(failed("commit confirmed deletions"))
    }

    /// Commits the intent to delete an image, before the call; `false` if it must not be deleted: a pin, a channel, or
    /// no newer good image left in its line. This statement checks all of that again, whatever was decided before.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn begin_deletion(
        &self,
        image: &Doomed,
        rule: &str,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let line = image.line(now, who, Action::Delete, &format!(", requested by {rule}"));
        let sql = if image.of_failed { BEGIN_FAILED_DELETION } else { BEGIN_DELETION };
        self.change(
            // Searched for at once by whoever finds it after a crash.
            sqlx::query(sql).bind(image.image_id.as_str()).bind(rule).bind(now.timestamp_millis()),
            &line,
            "deleting",
        )
        .await
    }

    /// Notes how a deletion goes on, or ended.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn end_deletion(
        &self,
        image: &Doomed,
        outcome: &DeleteOutcome,
        message: &str,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let (deletion, refused, next, action) = match outcome {
            DeleteOutcome::Deleted => ("deleted", None, None, Action::Deleted),
            DeleteOutcome::Refused { why } => ("refused", Some(why.as_str()), None, Action::DeleteRefused),
            DeleteOutcome::Again { at, why } => ("marked", Some(why.as_str()), Some(at), Action::DeletePutOff),
            DeleteOutcome::Unclear { search_at, why } => {
                ("deleting", Some(why.as_str()), Some(search_at), Action::DeleteUnclear)
            }
        };
        let sql = if image.of_failed { END_FAILED_DELETION } else { END_DELETION };
        self.change(
            sqlx::query(sql)
                .bind(image.image_id.as_str())
                .bind(deletion)
                .bind(refused)
                .bind(next.map(DateTime::timestamp_millis))
                .bind(now.timestamp_millis()),
            &image.line(now, who, action, &format!(": {message}")),
            "deleted",
        )
        .await
    }

    /// Runs one statement as a transaction of its own.
    async fn run_alone(
        &self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
        step: &'static str,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        query.execute(&mut *tx).await.map_err(failed(step))?;
        tx.commit().await.map_err(failed(step))
    }

    /// Has an image searched for again, about which nothing new is known.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn search_later(&self, sent: &SentDeletion, at: DateTime<Utc>, why: &str) -> Result<(), StoreError> {
        let sql = if sent.image.of_failed { END_FAILED_DELETION } else { END_DELETION };
        let query = sqlx::query(sql)
            .bind(sent.image.image_id.as_str())
            .bind("deleting")
            .bind(why)
            .bind(at.timestamp_millis())
            .bind(None::<i64>);
        self.run_alone(query, "put a search off").await
    }

    /// Notes why an image is not deleted yet for which no call was sent, and when it is tried next.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn put_off_deletion(&self, image: &Doomed, why: &str, at: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = if image.of_failed { PUT_OFF_FAILED_DELETION } else { PUT_OFF_DELETION };
        let query = sqlx::query(sql).bind(image.image_id.as_str()).bind(why).bind(at.timestamp_millis());
        self.run_alone(query, "put a deletion off").await
    }

    /// Notes who uses an image, as a question about it alone showed.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn set_users(&self, image_id: &ImageId, users: &[String]) -> Result<(), StoreError> {
        let query = sqlx::query(SET_USERS)
            .bind(image_id.as_str())
            .bind(serde_json::to_string(users).map_err(StoreError::Encode)?);
        self.run_alone(query, "note who uses an image").await
    }

    /// Notes that an image has gone by other hands; `false` where that is known.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn image_vanished(&self, image: &LineImage, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let line = Doomed::from(image).line(now, ITSELF, Action::Vanished, ": gone from the cloud");
        self.change(
            sqlx::query(IMAGE_VANISHED).bind(image.image_id.as_str()).bind(now.timestamp_millis()),
            &line,
            "vanished",
        )
        .await
    }
}

/// Removes the mark of an image in the transaction of what keeps it from now on; returns whether it had one. `why` is for the
/// line of the audit; `None`: the action itself says it.
pub(super) async fn unmark(
    tx: &mut WriteTransaction,
    image_id: &ImageId,
    why: Option<&str>,
    who: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let unmarked: Option<(String, String)> = sqlx::query_as(UNMARK_IMAGE)
        .bind(image_id.as_str())
        .fetch_optional(&mut **tx)
        .await
        .map_err(failed("unmark an image"))?;
    let Some((name, line)) = unmarked else { return Ok(false) };
    if let Some(why) = why {
        let image = Doomed { image_id: image_id.clone(), line: LineId::from(line), name, of_failed: false };
        audit(tx, &image.line(now, who, Action::Unmark, &format!(": {why}"))).await?;
    }
    Ok(true)
}
