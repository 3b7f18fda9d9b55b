//! Images of the lines: their state, what keeps them, and their deletion.

use std::{borrow::Cow, collections::HashMap};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, sqlite::SqliteRow};

use super::{
    ImageRow, Reader, Store, StoreError,
    audit::audit,
    deletions::unmark,
    distributions::{ReplicaObservation, record_replicas},
    failed,
    image_columns::ImageColumns,
    instant,
    learned::{UNLEARN, UNSCANNED},
};
use crate::{
    adapters::failpoint,
    domain::{
        event::{Action, AuditLine},
        health::{Subject, SubjectKind},
        ids::{BakeId, ImageId, InstanceId, LineId, ScheduleId},
        image::{Pin, report::Adopted},
    },
};

/// Images with what keeps them; the condition follows.
macro_rules! images {
    ($condition:literal) => {
        concat!(
            "
SELECT i.image_id, i.line_id, i.schedule_id, i.instance_id, i.bake_id, i.version, i.version_id, i.image_name, i.slot,
       i.available_at, i.deletion_state, i.rule, i.marked_at, i.delete_after, i.tries, i.refused, i.deleted_at, i.available, i.ours,
       i.used_by, i.missing_since, i.verify, i.sent_at, i.judged, i.brake,
       coalesce((SELECT b.trigger <> 'manual' FROM bakes b WHERE b.id = i.bake_id), 0) AS of_slot, p.until AS pin_until, p.reason AS pin_reason, p.who AS pin_who,
       v.reason AS veto,
       coalesce((SELECT t.schedule FROM targets t WHERE t.schedule_id = i.schedule_id LIMIT 1), i.schedule_id) AS schedule,
       (SELECT json_group_array(c.channel) FROM channels c WHERE c.image_id = i.image_id AND c.line_id = i.line_id)
           AS in_channels,
       (SELECT json_group_array(d.region) FROM distributions d
        WHERE d.image_id = i.image_id AND d.finished_at IS NULL) AS copied_to
FROM images i LEFT JOIN pins p ON p.image_id = i.image_id LEFT JOIN vetoes v ON v.image_id = i.image_id
",
            $condition
        )
    };
}

/// Images of some lines that are not deleted, with what keeps them.
pub(super) const PRESENT_IMAGES_OF: &str = images!(
    "WHERE i.deletion_state <> 'deleted' AND i.line_id IN (SELECT value FROM json_each(?1))
ORDER BY i.line_id, i.version DESC, i.image_id"
);

/// Lines with images that are not deleted, each with their number.
pub(super) const LINES_OF_IMAGES: &str = "
SELECT line_id, count(*) AS images FROM images INDEXED BY images_present WHERE deletion_state <> 'deleted'
GROUP BY line_id ORDER BY line_id";

/// Images that are marked or being deleted, the next one first.
pub(super) const GOING_IMAGES: &str = images!(
    "WHERE i.deletion_state IN ('marked', 'deleting')
ORDER BY i.delete_after, i.image_id LIMIT ?1"
);

/// Present images whose id begins with some text, the newest first. The bounds let the primary key find them.
pub(super) const IMAGES_BY_ID: &str = "
SELECT image_id, image_name FROM images
WHERE image_id >= ?1 AND image_id < ?1 || char(1114111) AND deletion_state <> 'deleted'
ORDER BY available_at DESC, image_id LIMIT ?2";

/// One image, deleted or not.
pub(super) const ONE_IMAGE: &str = images!("WHERE i.image_id = ?1");

/// The newest result of each of some lines that concerns its images: a success, or a failure of the image or of
/// unknown cause. Of the bake that was written last, for a slot says nothing where the clock was ahead.
pub(super) const NEWEST_RESULTS: &str = "
SELECT b.line_id, b.id, b.state
FROM json_each(?1) AS line CROSS JOIN bakes b
  ON b.id = (SELECT id FROM bakes WHERE line_id = line.value AND state IN ('succeeded', 'failed')
               AND (state = 'succeeded' OR coalesce(cause, 'image') = 'image')
             ORDER BY id DESC LIMIT 1)";

/// The last inventory scan.
pub(super) const LAST_SCAN: &str = "SELECT at, problem, since, whole_at FROM inventory_scan";

/// Records an inventory scan.
pub(super) const SET_SCAN: &str = "
INSERT INTO inventory_scan (id, at, problem, since, whole_at)
VALUES (1, ?1, ?2, CASE WHEN ?2 IS NOT NULL THEN ?1 END, CASE WHEN ?2 IS NULL THEN ?1 END)
ON CONFLICT (id) DO UPDATE
SET at = excluded.at, problem = excluded.problem, whole_at = coalesce(excluded.whole_at, whole_at),
    since = CASE WHEN excluded.problem IS NOT NULL THEN coalesce(since, excluded.at) END";

/// Results of an inventory scan.
pub(super) const RECORD_SIGHTS: &str = "
UPDATE images
SET available = entry.value ->> 'available', ours = entry.value ->> 'ours', used_by = entry.value ->> 'used_by',
    seen_at = ?2, missing_since = CASE WHEN entry.value ->> 'listed' THEN NULL ELSE coalesce(missing_since, ?2) END
FROM json_each(?1) AS entry
WHERE images.image_id = entry.value ->> 'image_id'";

/// Which line an image belongs to, and what became of it.
pub(super) const LINE_OF_IMAGE: &str = "SELECT line_id, deletion_state FROM images WHERE image_id = ?1";

/// An image is given to a line, under the version that it has or the next one. Answers with the version.
pub(super) const ADOPT_IMAGE: &str = "
INSERT INTO images (image_id, line_id, schedule_id, instance_id, version, version_id, image_name, slot, ours, available_at,
                    seen_at)
VALUES (?1, ?2, ?3, ?4,
        CASE WHEN ?5 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM images WHERE line_id = ?2 AND version = ?5) THEN ?5
             ELSE 1 + max(coalesce((SELECT last_version FROM lines WHERE line_id = ?2), 0),
                          coalesce((SELECT max(version) FROM images WHERE line_id = ?2), 0)) END,
        ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (image_id) DO UPDATE
SET line_id = excluded.line_id, schedule_id = excluded.schedule_id, instance_id = excluded.instance_id,
    version = excluded.version, image_name = excluded.image_name, slot = excluded.slot, ours = excluded.ours,
    deletion_state = 'kept', rule = NULL, marked_at = NULL, delete_after = NULL, refused = NULL, deleted_at = NULL, tries = 0,
    available = 1, seen_at = excluded.seen_at, missing_since = NULL
RETURNING version";

/// A line's last version, raised; it never goes back.
pub(super) const RAISE_VERSION: &str = "
INSERT INTO lines (line_id, last_version) VALUES (?1, ?2)
ON CONFLICT (line_id) DO UPDATE SET last_version = max(last_version, excluded.last_version)";

/// An image is pinned; a later word replaces an earlier one.
pub(super) const SET_PIN: &str = "
INSERT INTO pins (image_id, since, until, reason, who) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (image_id) DO UPDATE
SET since = excluded.since, until = excluded.until, reason = excluded.reason, who = excluded.who";

/// An image is not pinned any more.
pub(super) const LIFT_PIN: &str = "DELETE FROM pins WHERE image_id = ?1";

/// What an inventory scan showed of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageObservation {
    /// The image.
    pub image_id: ImageId,
    /// Whether it was listed.
    pub listed: bool,
    /// Whether it was listed as AVAILABLE.
    pub available: bool,
    /// Whether it was listed with the owner's tag, as an image of this account.
    pub ours: bool,
    /// Its users.
    #[serde(serialize_with = "as_text")]
    pub used_by: Vec<String>,
}

/// The list as a JSON text inside the JSON of the batch, as in the column.
fn as_text<S: serde::Serializer>(list: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&serde_json::to_string(list).map_err(serde::ser::Error::custom)?)
}

/// The last inventory scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryScan {
    /// When.
    pub at: DateTime<Utc>,
    /// Why it was not complete; `None` if it was.
    pub problem: Option<String>,
    /// Instant from which scans have not been complete.
    pub incomplete_since: Option<DateTime<Utc>>,
    /// Instant of the last complete one.
    pub whole_at: Option<DateTime<Utc>>,
}

/// Last result of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestResult {
    /// The bake.
    pub bake: BakeId,
    /// Whether it made an image.
    pub succeeded: bool,
}

/// An image that a person adopts for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImage {
    /// The image.
    pub image_id: ImageId,
    /// Its name.
    pub image_name: String,
    /// Version id in the cloud.
    pub version_id: Option<String>,
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// The instance.
    pub instance_id: InstanceId,
    /// The line.
    pub line: LineId,
    /// The version in its tags; the next one of the line if they have none, or a used one.
    pub version: Option<u32>,
    /// Date for the rules.
    pub slot: DateTime<Utc>,
    /// When it was made, as far as the cloud shows it: from then on it is good.
    pub made_at: DateTime<Utc>,
    /// Whether it carries the owner's tag.
    pub ours: bool,
    /// Reason why it cannot be adopted.
    pub obstacle: Option<String>,
}

impl NewImage {
    fn into_adopted(self, from: Option<String>, version: Option<u32>, obstacle: Option<String>) -> Adopted {
        let Self { image_id, image_name, line, ours, .. } = self;
        Adopted { image_id, image_name, line, from: from.map(LineId::from), version, ours, obstacle }
    }
}

impl Reader {
    /// Lines with images that are not deleted, by name, each with their number.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn lines_of_images(&self) -> Result<Vec<(LineId, usize)>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(LINES_OF_IMAGES)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the lines of the images"))?;
        Ok(rows.into_iter().map(|(line, n)| (LineId::from(line), usize::try_from(n).unwrap_or_default())).collect())
    }

    /// Id and name of present images whose id begins with `prefix`: the newest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn images_by_id(&self, prefix: &str, limit: u32) -> Result<Vec<(String, String)>, StoreError> {
        sqlx::query_as(IMAGES_BY_ID)
            .bind(prefix)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the ids of images"))
    }

    /// One image, including deleted ones.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn image(&self, image_id: &ImageId) -> Result<Option<ImageRow>, StoreError> {
        sqlx::query_as(ONE_IMAGE)
            .bind(image_id.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read an image"))
    }

    /// The newest result of each of these lines that has one.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn newest_results(&self, lines: &[LineId]) -> Result<HashMap<LineId, NewestResult>, StoreError> {
        let rows: Vec<(String, i64, String)> = sqlx::query_as(NEWEST_RESULTS)
            .bind(serde_json::to_string(lines).map_err(StoreError::Encode)?)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the newest results"))?;
        Ok(rows
            .into_iter()
            .map(|(line, bake, state)| {
                (LineId::from(line), NewestResult { bake: BakeId(bake), succeeded: state == "succeeded" })
            })
            .collect())
    }

    /// The last inventory scan; `None` before the first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn last_scan(&self) -> Result<Option<InventoryScan>, StoreError> {
        type Row = (i64, Option<String>, Option<i64>, Option<i64>);
        let row: Option<Row> =
            sqlx::query_as(LAST_SCAN).fetch_optional(&self.pool).await.map_err(failed("read the last scan"))?;
        Ok(row.map(|(at, problem, since, whole_at)| InventoryScan {
            at: instant(at),
            problem,
            incomplete_since: since.map(instant),
            whole_at: whole_at.map(instant),
        }))
    }
}

impl Store {
    /// Records an inventory scan, and whether it was complete. All or nothing.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn record_scan(
        &self,
        sights: &[ImageObservation],
        replicas: &[ReplicaObservation],
        problem: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let json = serde_json::to_string(sights).map_err(StoreError::Encode)?;
        let mut tx = self.begin().await?;
        sqlx::query(RECORD_SIGHTS)
            .bind(json)
            .bind(now.timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(failed("note what the cloud shows"))?;
        record_replicas(&mut tx, replicas).await?;
        sqlx::query(SET_SCAN)
            .bind(now.timestamp_millis())
            .bind(problem)
            .execute(&mut *tx)
            .await
            .map_err(failed("record a scan of the cloud"))?;
        if problem.is_none() {
            sqlx::query(UNLEARN)
                .bind(UNSCANNED)
                .execute(&mut *tx)
                .await
                .map_err(failed("note that the cloud was scanned"))?;
        }
        tx.commit().await.map_err(failed("commit what the cloud shows"))
    }

    /// Pins an image and removes its mark. A later pin replaces an earlier one.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn pin_image(
        &self,
        image_id: &ImageId,
        pin: &Pin,
        action: Action,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(SET_PIN)
            .bind(image_id.as_str())
            .bind(now.timestamp_millis())
            .bind(pin.until.map(|until| until.timestamp_millis()))
            .bind(&pin.reason)
            .bind(&pin.who)
            .execute(&mut *tx)
            .await
            .map_err(failed("pin an image"))?;
        // `undelete` says so itself.
        let is_said = action == Action::Undelete;
        let why = format!("pinned: {}", pin.reason);
        unmark(&mut tx, image_id, (!is_said).then_some(why.as_str()), &pin.who, now).await?;
        let until = pin.until.map_or_else(String::new, |until| format!(" until {}", self.shown(until)));
        let subject = Subject::new(SubjectKind::Image, image_id.as_str());
        let detail = format!("{image_id}{until}: {}", pin.reason);
        audit(&mut tx, &AuditLine { at: now, who: &pin.who, action, subject, detail }).await?;
        failpoint::hit("before", "pin");
        tx.commit().await.map_err(failed("commit a pin"))
    }

    /// Adopts images for a line, and returns the result of each. Runs between two turns of the engine, because it
    /// assigns versions.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn adopt_images(
        &self,
        images: Vec<NewImage>,
        dry_run: bool,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<Adopted>, StoreError> {
        let mut tx = self.begin().await?;
        let mut adopted = Vec::with_capacity(images.len());
        for image in images {
            if let Some(obstacle) = image.obstacle.clone() {
                adopted.push(image.into_adopted(None, None, Some(obstacle)));
                continue;
            }
            let before: Option<(String, String)> = sqlx::query_as(LINE_OF_IMAGE)
                .bind(image.image_id.as_str())
                .fetch_optional(&mut *tx)
                .await
                .map_err(failed("read an image's line"))?;
            if before.as_ref().is_some_and(|(_, deletion)| deletion == "deleting") {
                let obstacle = "its deletion was sent and is not confirmed yet; try again later".to_owned();
                adopted.push(image.into_adopted(None, None, Some(obstacle)));
                continue;
            }
            let before = before.filter(|(_, deletion)| deletion != "deleted").map(|(line, _)| line);
            if before.as_deref() == Some(image.line.as_str()) {
                adopted.push(image.into_adopted(None, None, Some("it belongs to the line already".to_owned())));
                continue;
            }
            let version: i64 = sqlx::query_scalar(ADOPT_IMAGE)
                .bind(image.image_id.as_str())
                .bind(image.line.as_str())
                .bind(image.schedule_id.as_str())
                .bind(image.instance_id.as_str())
                .bind(image.version)
                .bind(image.version_id.as_deref())
                .bind(&image.image_name)
                .bind(image.slot.timestamp_millis())
                .bind(image.ours)
                .bind(image.made_at.timestamp_millis())
                .bind(now.timestamp_millis())
                .fetch_one(&mut *tx)
                .await
                .map_err(failed("adopt an image"))?;
            sqlx::query(RAISE_VERSION)
                .bind(image.line.as_str())
                .bind(version)
                .execute(&mut *tx)
                .await
                .map_err(failed("raise a line's version"))?;
            let from = before.as_ref().map_or_else(String::new, |line| format!(", before of {line}"));
            let detail =
                format!("{} ({}) to {} as version {version}{from}", image.image_id, image.image_name, image.line);
            let subject = Subject::new(SubjectKind::Image, image.image_id.as_str());
            audit(&mut tx, &AuditLine { at: now, who, action: Action::Adopt, subject, detail }).await?;
            adopted.push(image.into_adopted(before, u32::try_from(version).ok(), None));
        }
        if dry_run {
            tx.rollback().await.map_err(failed("take back a rehearsal"))?;
        } else {
            tx.commit().await.map_err(failed("commit adopted images"))?;
        }
        Ok(adopted)
    }

    /// Removes a pin; `false` if there was none.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn unpin_image(&self, image_id: &ImageId, who: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let subject = Subject::new(SubjectKind::Image, image_id.as_str());
        let line = AuditLine { at: now, who, action: Action::Unpin, subject, detail: image_id.to_string() };
        self.change(sqlx::query(LIFT_PIN).bind(image_id.as_str()), &line, "unpinned").await
    }

    /// Executes one statement that changes one row or none, with its line of the audit if it did.
    pub(super) async fn change(
        &self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
        line: &AuditLine<'_>,
        point: &'static str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = query.execute(&mut *tx).await.map_err(failed("change an image's row"))?;
        if done.rows_affected() == 0 {
            tx.rollback().await.map_err(failed("change an image's row"))?;
            return Ok(false);
        }
        audit(&mut tx, line).await?;
        failpoint::hit("before", point);
        tx.commit().await.map_err(failed("commit an image's row"))?;
        failpoint::hit("after", point);
        Ok(true)
    }
}

impl FromRow<'_, SqliteRow> for ImageRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        let text = |column: &str| row.try_get::<String, _>(column);
        let word = |column: &str| text(column).map(Cow::Owned);
        let number = |column: &str| row.try_get::<i64, _>(column);
        let maybe = |column: &str| row.try_get::<Option<i64>, _>(column);
        let words = |column: &str| row.try_get::<Option<String>, _>(column);
        let list = |column: &'static str| {
            serde_json::from_str::<Vec<String>>(&text(column)?)
                .map_err(|source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(source) })
        };
        let pin = match words("pin_reason")? {
            None => None,
            Some(reason) => Some((maybe("pin_until")?, reason, words("pin_who")?.unwrap_or_default())),
        };
        let columns = ImageColumns {
            image_id: word("image_id")?,
            schedule_id: word("schedule_id")?,
            schedule: word("schedule")?,
            instance_id: word("instance_id")?,
            bake_id: maybe("bake_id")?,
            version: number("version")?,
            version_id: words("version_id")?,
            image_name: word("image_name")?,
            slot: number("slot")?,
            available_at: number("available_at")?,
            deletion_state: word("deletion_state")?,
            rule: words("rule")?,
            marked_at: maybe("marked_at")?,
            delete_after: maybe("delete_after")?,
            tries: number("tries")?,
            refused: words("refused")?,
            deleted_at: maybe("deleted_at")?,
            available: number("available")?,
            ours: number("ours")?,
            used_by: Some(list("used_by")?),
            missing_since: maybe("missing_since")?,
            verify: words("verify")?,
            sent_at: maybe("sent_at")?,
            judged: number("judged")?,
            brake: words("brake")?,
            of_slot: number("of_slot")?,
            pin,
            veto: words("veto")?,
            channels: Some(list("in_channels")?),
            copied_to: Some(list("copied_to")?),
        };
        Ok(columns.into_row(text("line_id")?.into()))
    }
}
