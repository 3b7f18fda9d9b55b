//! Images with the owner's tags that are no good images of a line: those that the cloud lists as CREATE_FAILED, and
//! those without a row.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;

use super::{Reader, Store, StoreError, failed, instant, statements};
use crate::domain::ids::{BakeId, ImageId, InstanceId, LineId, ScheduleId};

/// A CREATE_FAILED image of a line in a complete list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedSighting {
    /// The image.
    pub image_id: ImageId,
    /// By its tags.
    pub line_id: LineId,
    /// The line's schedule.
    pub schedule_id: ScheduleId,
    /// The line's instance.
    pub instance_id: InstanceId,
    /// By its tags.
    pub version: Option<u32>,
    /// Its name.
    pub image_name: String,
    /// By its tags, in milliseconds.
    pub slot: Option<i64>,
}

/// Any other image of a line in a complete list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnrecordedSighting {
    /// The image.
    pub image_id: ImageId,
    /// By its tags.
    pub line_id: LineId,
    /// The line's schedule.
    pub schedule_id: ScheduleId,
    /// The line's instance.
    pub instance_id: InstanceId,
    /// Its name.
    pub image_name: String,
    /// Status of the image.
    pub status: String,
    /// By its tags, in milliseconds.
    pub slot: i64,
}

/// A CREATE_FAILED image.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct FailedImageRow {
    /// The image.
    pub image_id: String,
    /// Its line.
    pub line_id: String,
    /// The line's schedule.
    pub schedule_id: String,
    /// The line's instance.
    pub instance_id: String,
    /// Its version.
    pub version: Option<i64>,
    /// Its name.
    pub image_name: String,
    /// Its slot.
    pub slot: Option<i64>,
    /// First of the consecutive complete lists with it; `None` before the first.
    pub first_seen: Option<i64>,
    /// Last of these lists.
    pub last_seen: Option<i64>,
    /// State of its deletion: `kept`, `deleting` or `refused`.
    #[sqlx(rename = "fate")]
    pub deletion: String,
    /// Delete calls so far.
    pub tries: i64,
    /// Next attempt after a failed one.
    pub delete_after: Option<i64>,
    /// Why it is not deleted yet.
    pub refused: Option<String>,
    /// Its bake; `None` if the history does not have it.
    pub bake_id: Option<i64>,
}

/// An image without a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnrecordedImage {
    /// The image.
    pub image_id: ImageId,
    /// By its tags.
    pub line: LineId,
    /// Its name.
    pub image_name: String,
    /// Status of the image.
    pub status: String,
    /// By its tags.
    pub slot: DateTime<Utc>,
    /// First list with it.
    pub found_at: DateTime<Utc>,
}

impl FailedImageRow {
    /// Its bake.
    pub fn bake(&self) -> Option<BakeId> {
        self.bake_id.map(BakeId)
    }
}

impl Reader {
    /// CREATE_FAILED images of this owner, line by line.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn failed_images(&self) -> Result<Vec<FailedImageRow>, StoreError> {
        sqlx::query_as(statements::FAILED_IMAGES)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the images that failed"))
    }

    /// Images of configured lines without a row, at most `limit`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn unrecorded_images(&self, limit: u32) -> Result<Vec<UnrecordedImage>, StoreError> {
        let rows: Vec<(String, String, String, String, i64, i64)> = sqlx::query_as(statements::UNRECORDED_IMAGES)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the images without a row"))?;
        Ok(rows
            .into_iter()
            .map(|(image_id, line, image_name, status, slot, found_at)| UnrecordedImage {
                image_id: image_id.into(),
                line: LineId::from(line),
                image_name,
                status,
                slot: instant(slot),
                found_at: instant(found_at),
            })
            .collect())
    }
}

impl Store {
    /// Records the other images of a complete list. All or nothing.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn record_strays(
        &self,
        failures: &[FailedSighting],
        others: &[UnrecordedSighting],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let failures = serde_json::to_string(failures).map_err(StoreError::Encode)?;
        let others = serde_json::to_string(others).map_err(StoreError::Encode)?;
        let now = now.timestamp_millis();
        let mut tx = self.begin().await?;
        for (sql, list) in [
            (statements::DROP_FAILED_IMAGES, &failures),
            (statements::SET_FAILED_IMAGES, &failures),
            (statements::DROP_UNRECORDED_IMAGES, &others),
            (statements::SET_UNRECORDED_IMAGES, &others),
        ] {
            let query = sqlx::query(sql).bind(list);
            let query = if sql.contains("?2") { query.bind(now) } else { query };
            query.execute(&mut *tx).await.map_err(failed("note what else a list showed"))?;
        }
        tx.commit().await.map_err(failed("commit what else a list showed"))
    }
}
