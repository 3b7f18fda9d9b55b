//! Images of the lines: their state, what keeps them, and their deletion.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, sqlite::SqliteRow};

use super::{Reader, Store, StoreError, audit::audit, failed, instant, statements};
use crate::{
    adapters::failpoint,
    domain::{
        event::{Action, AuditLine},
        health::{Subject, SubjectKind},
        ids::{BakeId, ImageId, InstanceId, LineId, ScheduleId},
        image::{DeletionState, LineImage, ObservedState, Pin, brake::MarkKind, report::Adopted},
    },
};

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

/// An image of a line with its origin, for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRow {
    /// The image.
    pub image: LineImage,
    /// The schedule's stable id.
    pub schedule_id: String,
    /// Name of the schedule when last seen.
    pub schedule: String,
    /// The instance.
    pub instance_id: String,
    /// The bake; `None` for an adopted image.
    pub bake: Option<BakeId>,
    /// Version id in the cloud.
    pub version_id: Option<String>,
    /// State of its check; `None` if the schedule has none.
    pub verify: Option<String>,
    /// Whether a complete pass has judged it by the rules of its line.
    pub judged: bool,
    /// Whether it was made for a slot, not for a manual request.
    pub of_slot: bool,
    /// Whether its deletion counts for the brake; only for marked images.
    pub mark: MarkKind,
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
    /// Images that are not deleted, of these lines or of all.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn present_images(&self, lines: Option<&[LineId]>) -> Result<Vec<ImageRow>, StoreError> {
        let query = match lines {
            Some(lines) => {
                let lines = serde_json::to_string(lines).map_err(StoreError::Encode)?;
                sqlx::query_as(statements::PRESENT_IMAGES_OF).bind(lines)
            }
            None => sqlx::query_as(statements::PRESENT_IMAGES),
        };
        query.fetch_all(&self.pool).await.map_err(failed("read the images"))
    }

    /// One image, including deleted ones.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn image(&self, image_id: &ImageId) -> Result<Option<ImageRow>, StoreError> {
        sqlx::query_as(statements::ONE_IMAGE)
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
        let rows: Vec<(String, i64, String)> = sqlx::query_as(statements::NEWEST_RESULTS)
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
        let row: Option<Row> = sqlx::query_as(statements::LAST_SCAN)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read the last scan"))?;
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
        problem: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let json = serde_json::to_string(sights).map_err(StoreError::Encode)?;
        let mut tx = self.begin().await?;
        sqlx::query(statements::RECORD_SIGHTS)
            .bind(json)
            .bind(now.timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(failed("note what the cloud shows"))?;
        sqlx::query(statements::SET_SCAN)
            .bind(now.timestamp_millis())
            .bind(problem)
            .execute(&mut *tx)
            .await
            .map_err(failed("record a scan of the cloud"))?;
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
        sqlx::query(statements::SET_PIN)
            .bind(image_id.as_str())
            .bind(now.timestamp_millis())
            .bind(pin.until.map(|until| until.timestamp_millis()))
            .bind(&pin.reason)
            .bind(&pin.who)
            .execute(&mut *tx)
            .await
            .map_err(failed("pin an image"))?;
        sqlx::query(statements::UNMARK_IMAGE)
            .bind(image_id.as_str())
            .execute(&mut *tx)
            .await
            .map_err(failed("unmark an image"))?;
        let until = pin.until.map_or_else(String::new, |until| format!(" until {}", until.format("%F %TZ")));
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
            let before: Option<(String, String)> = sqlx::query_as(statements::LINE_OF_IMAGE)
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
            let version: i64 = sqlx::query_scalar(statements::ADOPT_IMAGE)
                .bind(image.image_id.as_str())
                .bind(image.line.as_str())
                .bind(image.schedule_id.as_str())
                .bind(image.instance_id.as_str())
                .bind(image.version)
                .bind(image.version_id.as_deref())
                .bind(&image.image_name)
                .bind(image.slot.timestamp_millis())
                .bind(image.ours)
                .bind(now.timestamp_millis())
                .fetch_one(&mut *tx)
                .await
                .map_err(failed("adopt an image"))?;
            sqlx::query(statements::RAISE_VERSION)
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
        self.change(sqlx::query(statements::LIFT_PIN).bind(image_id.as_str()), &line, "unpinned").await
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
        let number = |column: &str| row.try_get::<i64, _>(column);
        let maybe = |column: &str| row.try_get::<Option<i64>, _>(column);
        let words = |column: &str| row.try_get::<Option<String>, _>(column);
        let list = |column: &'static str| {
            serde_json::from_str::<Vec<String>>(&text(column)?)
                .map_err(|source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(source) })
        };
        let rule = words("rule")?.unwrap_or_default();
        let tries = u32::try_from(number("tries")?).unwrap_or(u32::MAX);
        let deletion = match text("fate")?.as_str() {
            "refused" => DeletionState::Refused { why: words("refused")?.unwrap_or_default() },
            "marked" => DeletionState::Marked {
                since: instant(maybe("marked_at")?.unwrap_or_default()),
                delete_after: instant(maybe("delete_after")?.unwrap_or_default()),
                rule,
                tries,
                last_error: words("refused")?,
            },
            "deleting" => DeletionState::Deleting {
                rule,
                tries,
                sent_at: instant(maybe("sent_at")?.or(maybe("marked_at")?).unwrap_or_default()),
                next: instant(maybe("delete_after")?.unwrap_or_default()),
            },
            "deleted" => DeletionState::Deleted { at: instant(maybe("deleted_at")?.unwrap_or_default()) },
            _ => DeletionState::Kept,
        };
        let pin = match words("pin_reason")? {
            None => None,
            Some(reason) => Some(Pin {
                until: maybe("pin_until")?.map(instant),
                reason,
                who: words("pin_who")?.unwrap_or_default(),
            }),
        };
        Ok(Self {
            image: LineImage {
                image_id: text("image_id")?.into(),
                line: text("line_id")?.into(),
                version: u32::try_from(number("version")?).unwrap_or(u32::MAX),
                name: text("image_name")?,
                slot: instant(number("slot")?),
                available_at: instant(number("available_at")?),
                deletion,
                seen: ObservedState {
                    available: number("available")? == 1,
                    ours: number("ours")? == 1,
                    used_by: list("used_by")?,
                    missing_since: maybe("missing_since")?.map(instant),
                },
                pin,
                channels: list("in_channels")?,
                copied_to: list("copied_to")?,
                veto: words("veto")?,
            },
            schedule_id: text("schedule_id")?,
            schedule: text("schedule")?,
            instance_id: text("instance_id")?,
            bake: maybe("bake_id")?.map(BakeId),
            version_id: words("version_id")?,
            verify: words("verify")?,
            judged: number("judged")? == 1,
            of_slot: number("of_slot")? == 1,
            mark: MarkKind::parse(words("brake")?.as_deref()),
        })
    }
}
