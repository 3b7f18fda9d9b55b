//! Images with the owner's tags that are no good images of a line: those that the cloud lists as CREATE_FAILED, and
//! those without a row.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Reader, Store, StoreError, failed, from_row::from_row, instant};
use crate::domain::ids::{BakeId, ImageId, InstanceId, LineId, ScheduleId};

/// Images that the list shows as CREATE_FAILED.
pub(super) const SET_FAILED_IMAGES: &str = "
INSERT INTO failed_images (image_id, line_id, schedule_id, instance_id, version, image_name, slot, first_seen, last_seen)
SELECT value ->> 'image_id', value ->> 'line_id', value ->> 'schedule_id', value ->> 'instance_id', value ->> 'version',
       value ->> 'image_name', value ->> 'slot', ?2, ?2
FROM json_each(?1) WHERE true
ON CONFLICT (image_id) DO UPDATE
SET last_seen = excluded.last_seen, line_id = excluded.line_id,
    first_seen = CASE WHEN deletion_state IN ('deleted', 'gone') THEN excluded.first_seen ELSE min(first_seen, excluded.first_seen) END,
    deletion_state = CASE WHEN deletion_state IN ('deleted', 'gone') THEN 'kept' ELSE deletion_state END";

/// Images that it does not show so any more. Those that we may have deleted are searched for instead.
pub(super) const DROP_FAILED_IMAGES: &str = "
UPDATE failed_images SET deletion_state = 'gone'
WHERE deletion_state NOT IN ('deleting', 'deleted', 'gone') AND image_id NOT IN (SELECT value ->> 'image_id' FROM json_each(?1))";

/// Images that the cloud shows, or showed when their bake ended, as CREATE_FAILED. The history has one as the image of a
/// bake, or as one that a bake gave up.
pub(super) const FAILED_IMAGES: &str = "
SELECT f.image_id, f.line_id, f.schedule_id, f.instance_id, f.version, f.image_name, f.slot, f.first_seen, f.last_seen,
       f.deletion_state, f.tries, f.delete_after, f.refused, b.id AS bake_id
FROM failed_images f
     LEFT JOIN bakes b ON b.schedule_id = f.schedule_id AND b.instance_id = f.instance_id AND b.slot = f.slot
               AND b.finished_at IS NOT NULL
               AND (b.image_id = f.image_id OR instr(b.progress, json_quote(f.image_id)) > 0)
WHERE f.deletion_state NOT IN ('deleted', 'gone')
UNION ALL
SELECT b.image_id, b.line_id, b.schedule_id, b.instance_id, b.version, coalesce(b.image_name, ''), b.slot, NULL, NULL,
       'kept', 0, NULL, NULL, b.id
FROM bakes b INDEXED BY bakes_by_state
WHERE b.state = 'failed' AND b.reason_code = 'created_failed' AND b.image_id IS NOT NULL
  AND b.finished_at > coalesce((SELECT whole_at FROM inventory_scan), 0)
  AND NOT EXISTS (SELECT 1 FROM failed_images f WHERE f.image_id = b.image_id)
ORDER BY 2, 7 DESC, 1";

/// Images that are in no list. One that is AVAILABLE is not listed if a bake has ended without it, or the history deleted it
/// more than an hour ago and it came back; nor if its slot is older than this history, or not to be read from its tags: 0.
/// Others are not if no row has them, and their slot came since this history began. Slots whose bake is not over do not count.
pub(super) const SET_UNRECORDED_IMAGES: &str = "
INSERT INTO unrecorded_images (image_id, line_id, schedule_id, instance_id, image_name, status, slot, found_at)
SELECT value ->> 'image_id', value ->> 'line_id', value ->> 'schedule_id', value ->> 'instance_id',
       value ->> 'image_name', value ->> 'status', value ->> 'slot', ?2
FROM json_each(?1)
WHERE NOT EXISTS (SELECT 1 FROM images i
                  WHERE i.image_id = value ->> 'image_id'
                    AND (i.deletion_state <> 'deleted' OR coalesce(i.deleted_at, 0) > ?2 - 3600000))
  AND (value ->> 'status' = 'AVAILABLE' OR value ->> 'slot' >= (SELECT min(known_since) FROM targets))
  AND NOT EXISTS (SELECT 1 FROM bakes b
                  WHERE b.image_id = value ->> 'image_id'
                    AND (b.finished_at IS NULL OR value ->> 'status' <> 'AVAILABLE'))
  AND NOT EXISTS (SELECT 1 FROM bakes b
                  WHERE b.schedule_id = value ->> 'schedule_id' AND b.instance_id = value ->> 'instance_id'
                    AND b.slot = value ->> 'slot'
                    AND (b.finished_at IS NULL OR value ->> 'status' <> 'AVAILABLE'
                                                  AND instr(b.progress, json_quote(value ->> 'image_id')) > 0))
ON CONFLICT (image_id) DO UPDATE SET status = excluded.status";

/// Images that the list does not show any more.
pub(super) const DROP_UNRECORDED_IMAGES: &str = "
DELETE FROM unrecorded_images WHERE image_id NOT IN (SELECT value ->> 'image_id' FROM json_each(?1))";

/// Images in no list, as of the last whole scan and of what was recorded since, with the bake of their slot.
pub(super) const UNRECORDED_IMAGES: &str = "
SELECT u.image_id, u.line_id, u.image_name, u.status, u.slot, u.found_at, b.id AS bake_id, b.state AS bake_state
FROM unrecorded_images u
     LEFT JOIN bakes b ON b.schedule_id = u.schedule_id AND b.instance_id = u.instance_id AND b.slot = u.slot
WHERE NOT EXISTS (SELECT 1 FROM bakes o
                  WHERE o.image_id = u.image_id AND (o.finished_at IS NULL OR u.status <> 'AVAILABLE'))
  AND NOT EXISTS (SELECT 1 FROM images i
                  WHERE i.image_id = u.image_id
                    AND (i.deletion_state <> 'deleted' OR coalesce(i.deleted_at, 0) >= u.found_at))
ORDER BY u.found_at, u.image_id LIMIT ?1";

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
    /// By its tags, in milliseconds; 0 if they do not show it.
    pub slot: i64,
}

/// A CREATE_FAILED image.
#[derive(Debug, Clone, PartialEq, Eq)]
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

from_row!(FailedImageRow { image_id, line_id, schedule_id, instance_id, version, image_name, slot, first_seen, last_seen, deletion = "deletion_state", tries, delete_after, refused, bake_id });

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
    /// By its tags; `None` if they do not show it.
    pub slot: Option<DateTime<Utc>>,
    /// First list with it.
    pub found_at: DateTime<Utc>,
    /// The bake of its slot, and the spelling of its state.
    pub bake: Option<(BakeId, String)>,
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
        sqlx::query_as(FAILED_IMAGES).fetch_all(&self.pool).await.map_err(failed("read the images that failed"))
    }

    /// Images of configured lines without a row, at most `limit`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn unrecorded_images(&self, limit: u32) -> Result<Vec<UnrecordedImage>, StoreError> {
        type Columns = (String, String, String, String, i64, i64, Option<i64>, Option<String>);
        let rows: Vec<Columns> = sqlx::query_as(UNRECORDED_IMAGES)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the images without a row"))?;
        Ok(rows
            .into_iter()
            .map(|(image_id, line, image_name, status, slot, found_at, bake, state)| UnrecordedImage {
                image_id: image_id.into(),
                line: LineId::from(line),
                image_name,
                status,
                slot: (slot != 0).then(|| instant(slot)),
                found_at: instant(found_at),
                bake: bake.map(BakeId).zip(state),
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
            (DROP_FAILED_IMAGES, &failures),
            (SET_FAILED_IMAGES, &failures),
            (DROP_UNRECORDED_IMAGES, &others),
            (SET_UNRECORDED_IMAGES, &others),
        ] {
            let query = sqlx::query(sql).bind(list);
            let query = if sql.contains("?2") { query.bind(now) } else { query };
            query.execute(&mut *tx).await.map_err(failed("note what else a list showed"))?;
        }
        tx.commit().await.map_err(failed("commit what else a list showed"))
    }
}
