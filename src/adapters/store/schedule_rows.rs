//! What schedules came to: their newest results, and the newest good image of each of their lines.

use chrono::{DateTime, Utc};

use super::{Reader, StoreError, failed, fragments::good, from_row::from_row, instant};

/// The newest ?2 rows of each of the schedules ?1, the newest first; with whether the image is vetoed.
pub(super) const NEWEST_ROWS: &str = "
SELECT b.schedule_id, b.id, b.slot, b.state, b.reason_code,
       EXISTS (SELECT 1 FROM vetoes v WHERE v.image_id = b.image_id) AS vetoed
FROM json_each(?1) AS s CROSS JOIN bakes b
  ON b.id IN (SELECT id FROM bakes INDEXED BY bakes_by_schedule
              WHERE schedule_id = s.value ORDER BY slot DESC, id DESC LIMIT ?2)
ORDER BY s.key, b.slot DESC, b.id DESC";

/// The newest good image of each of the lines ?1 that has one. An adopted image is as old as its slot.
pub(super) const NEWEST_GOOD_IMAGES: &str = concat!(
    "
SELECT i.line_id, i.image_id, i.image_name, i.version,
       CASE WHEN i.bake_id IS NULL THEN i.slot ELSE i.available_at END AS good_at
FROM json_each(?1) AS line CROSS JOIN images i
  ON i.image_id = (SELECT image_id FROM images INDEXED BY images_present WHERE line_id = line.value AND ",
    good!(),
    "
                   ORDER BY version DESC LIMIT 1)"
);

/// A row of a schedule, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRow {
    /// The schedule's stable id.
    pub schedule_id: String,
    /// The bake's number.
    pub id: i64,
    slot: i64,
    /// One of [`crate::domain::bake::State::WORDS`].
    pub state: String,
    /// Reason code of an end without a good image.
    pub reason_code: Option<String>,
    /// Whether its image is vetoed.
    pub vetoed: bool,
}

from_row!(ResultRow { schedule_id, id, slot, state, reason_code, vetoed });

impl ResultRow {
    /// The slot.
    pub fn slot(&self) -> DateTime<Utc> {
        instant(self.slot)
    }
}

/// The newest good image of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoodImageRow {
    /// The line.
    pub line_id: String,
    /// The image.
    pub image_id: String,
    /// Its name.
    pub image_name: String,
    /// Its version.
    pub version: i64,
    good_at: i64,
}

from_row!(GoodImageRow { line_id, image_id, image_name, version, good_at });

impl GoodImageRow {
    /// Since when it has been good.
    pub fn good_at(&self) -> DateTime<Utc> {
        instant(self.good_at)
    }
}

impl Reader {
    /// The newest rows of each of these schedules, at most `most` of each, the newest first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn newest_rows(&self, schedule_ids: &[&str], most: u32) -> Result<Vec<ResultRow>, StoreError> {
        sqlx::query_as(NEWEST_ROWS)
            .bind(serde_json::to_string(schedule_ids).map_err(StoreError::Encode)?)
            .bind(most)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the newest results"))
    }

    /// The newest good image of each of these lines that has one.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn newest_good_images(&self, lines: &[&str]) -> Result<Vec<GoodImageRow>, StoreError> {
        sqlx::query_as(NEWEST_GOOD_IMAGES)
            .bind(serde_json::to_string(lines).map_err(StoreError::Encode)?)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the newest good images"))
    }
}
