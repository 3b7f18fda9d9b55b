//! What the history has of schedules for their rows: the newest results, and the newest good image of each line.

use std::collections::HashMap;

use sqlx::{FromRow, Row as _, sqlite::SqliteRow};

use super::{
    Reader, StoreError, failed,
    fragments::{good_at, newest_good},
    instant,
};
use crate::domain::{
    ids::{LineId, ScheduleId},
    schedule_rows::{NewestGood, SlotRow},
};

/// The newest ?2 rows of each of the schedules ?1, the newest first; with whether the image is vetoed.
pub(super) const NEWEST_ROWS: &str = "
SELECT b.schedule_id, b.id, b.slot, b.slot_count, b.state, b.reason, b.reason_code,
       EXISTS (SELECT 1 FROM vetoes v WHERE v.image_id = b.image_id) AS vetoed
FROM json_each(?1) AS s CROSS JOIN bakes b
  ON b.id IN (SELECT id FROM bakes INDEXED BY bakes_by_schedule
              WHERE schedule_id = s.value ORDER BY slot DESC, id DESC LIMIT ?2)
ORDER BY s.key, b.slot DESC, b.id DESC";

/// The newest good image of each of the lines ?1 that has one.
pub(super) const NEWEST_GOOD_IMAGES: &str = concat!(
    "
SELECT i.line_id, i.image_id, i.image_name, i.version, ",
    good_at!("i"),
    " AS good_at
FROM json_each(?1) AS line CROSS JOIN images i ON i.image_id = ",
    newest_good!("line.value")
);

impl FromRow<'_, SqliteRow> for SlotRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            bake: row.try_get("id")?,
            slot: instant(row.try_get("slot")?),
            slot_count: row.try_get("slot_count")?,
            state: row.try_get("state")?,
            reason: row.try_get("reason")?,
            reason_code: row.try_get("reason_code")?,
            vetoed: row.try_get("vetoed")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for NewestGood {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            line: row.try_get::<String, _>("line_id")?.into(),
            image_id: row.try_get("image_id")?,
            name: row.try_get("image_name")?,
            version: row.try_get("version")?,
            good_at: instant(row.try_get("good_at")?),
        })
    }
}

impl Reader {
    /// The newest rows of each of these schedules, at most `most` of each, the newest first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn newest_rows(
        &self,
        schedules: &[&ScheduleId],
        most: u32,
    ) -> Result<HashMap<ScheduleId, Vec<SlotRow>>, StoreError> {
        let rows = sqlx::query(NEWEST_ROWS)
            .bind(serde_json::to_string(schedules).map_err(StoreError::Encode)?)
            .bind(most)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the newest results"))?;
        let mut of_schedules: HashMap<ScheduleId, Vec<SlotRow>> = HashMap::new();
        for row in rows {
            let read = || Ok((ScheduleId::from(row.try_get::<String, _>("schedule_id")?), SlotRow::from_row(&row)?));
            let (schedule, slot) = read().map_err(failed("read the newest results"))?;
            of_schedules.entry(schedule).or_default().push(slot);
        }
        Ok(of_schedules)
    }

    /// The newest good image of each of these lines that has one.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn newest_good_images(&self, lines: &[LineId]) -> Result<HashMap<LineId, NewestGood>, StoreError> {
        let images: Vec<NewestGood> = sqlx::query_as(NEWEST_GOOD_IMAGES)
            .bind(serde_json::to_string(lines).map_err(StoreError::Encode)?)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the newest good images"))?;
        Ok(images.into_iter().map(|image| (image.line.clone(), image)).collect())
    }
}
