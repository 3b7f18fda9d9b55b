//! What the page reads: the newest images of lines, the bakes of a night, and deletions to come.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Row as _, sqlite::SqliteRow};

use super::{
    ImageRow, Reader, StoreError, failed,
    fragments::{good_at, lost, newest_good},
    images::GOING_IMAGES,
    instant,
};
use crate::domain::{
    history::ReplicaRow,
    ids::{ImageId, LineId, ScheduleId},
    page::{
        night::{Counted, Recorded, columns::COUNTED},
        views::NewestImage,
    },
    schedule_rows::{order::LinesWithoutImage, outcome::Outcome},
};

/// Those of some lines that have no good image; and whether a slot of theirs has ended without one, or brought one that is
/// good no more. An image whose check is due is neither.
pub(super) const LINES_WITHOUT_IMAGE: &str = concat!(
    "
SELECT line.value,
       EXISTS (SELECT 1 FROM bakes INDEXED BY bakes_lost WHERE line_id = line.value AND ",
    lost!(),
    ")
       OR EXISTS (SELECT 1 FROM bakes b INDEXED BY bakes_good LEFT JOIN images i ON i.image_id = b.image_id
                  WHERE b.line_id = line.value AND b.state = 'succeeded' AND i.verify IS NOT 'due') AS had_slot
FROM json_each(?1) AS line
WHERE ",
    newest_good!("line.value"),
    " IS NULL"
);

/// The newest good image of each line; the lines follow as `l.line_id`, and their condition.
macro_rules! newest_images {
    ($lines:literal) => {
        concat!(
            "
SELECT i.line_id, i.image_id, i.image_name, i.version, i.slot, ",
            good_at!("i"),
            " AS good_at,
       (SELECT count(*) FROM images n INDEXED BY images_present WHERE n.line_id = i.line_id AND n.deletion_state <> 'deleted') AS images,
       (SELECT json_group_array(json_array(c.channel, n.version) ORDER BY c.channel <> 'latest', c.channel)
        FROM channels c LEFT JOIN images n ON n.image_id = c.image_id
        WHERE c.line_id = l.line_id) AS channels
FROM ",
            $lines,
            " CROSS JOIN images i
  ON i.image_id = ",
            newest_good!("l.line_id")
        )
    };
}

/// The newest good image of some lines.
pub(super) const NEWEST_IMAGES_OF: &str = newest_images!("(SELECT value AS line_id FROM json_each(?1)) l");

/// The newest good image of the lines after one, by name.
pub(super) const NEWEST_IMAGES_AFTER: &str =
    concat!(newest_images!("lines l"), "\nWHERE l.line_id > ?1\nORDER BY l.line_id LIMIT ?2");

/// Whether the configuration in force does not have the schedule and the instance of a bake.
macro_rules! former {
    () => {
        "NOT EXISTS (SELECT 1 FROM targets t WHERE t.schedule_id = b.schedule_id AND t.instance_id = b.instance_id AND t.removed_at IS NULL)"
    };
}

/// Bakes with what a timeline needs; the condition follows.
macro_rules! recorded {
    ($condition:literal) => {
        concat!(
            "
SELECT b.id, b.schedule, b.instance_id, b.line_id, coalesce(b.region, '') AS region, b.slot, b.slot_count, b.state, b.reason,
       b.wake_at, b.give_up_at, b.finished_at,
       EXISTS (SELECT 1 FROM vetoes v WHERE v.image_id = b.image_id) AS vetoed,
       (SELECT min(a.started_at) FROM attempts a WHERE a.bake_id = b.id AND a.stage IN ('stop', 'create')) AS begun_at,
       ",
            former!(),
            " AS is_former
FROM bakes b ",
            $condition
        )
    };
}

/// Bakes of slots between two instants, the newest first.
pub(super) const RECORDED_BETWEEN: &str =
    recorded!("WHERE b.slot BETWEEN ?1 AND ?2\nORDER BY b.slot DESC, b.id DESC LIMIT ?3");

/// Open bakes of older slots.
pub(super) const RECORDED_OPEN: &str =
    recorded!("INDEXED BY bakes_open WHERE b.finished_at IS NULL AND b.slot < ?1\nLIMIT ?2");

/// Ended bakes of slots between two instants, counted by ?3 milliseconds and result.
pub(super) const COUNTED_BETWEEN: &str = concat!(
    "
SELECT b.slot / ?3 * ?3 AS part, b.state, EXISTS (SELECT 1 FROM vetoes v WHERE v.image_id = b.image_id) AS vetoed,
       ",
    former!(),
    " AS is_former, count(*) AS bakes, max(b.finished_at) AS last_end
FROM bakes b INDEXED BY bakes_by_slot WHERE b.slot BETWEEN ?1 AND ?2 AND b.finished_at IS NOT NULL
GROUP BY 1, 2, 3, 4"
);

/// Bakes of a schedule since an instant, the newest first.
pub(super) const RECORDED_OF: &str =
    recorded!("WHERE b.schedule_id = ?1 AND b.slot >= ?2\nORDER BY b.slot DESC, b.id DESC LIMIT ?3");

/// Copies of some images.
pub(super) const COPIES_OF_IMAGES: &str = "
SELECT d.image_id, d.region, d.state, d.status, d.progress FROM json_each(?1) AS image CROSS JOIN distributions d ON d.image_id = image.value
ORDER BY d.image_id, d.region";

impl Reader {
    /// Those of these lines that have no good image, each with whether a slot of it has ended or it had an image.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn lines_without_image(&self, lines: &[LineId]) -> Result<LinesWithoutImage, StoreError> {
        let lines: Vec<(String, bool)> = sqlx::query_as(LINES_WITHOUT_IMAGE)
            .bind(json(lines)?)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read which lines have no good image"))?;
        Ok(lines.into_iter().map(|(line, had_slot)| (LineId::from(line), had_slot)).collect())
    }

    /// The newest good image of each of these lines that has one.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn newest_images(&self, lines: &[LineId]) -> Result<Vec<NewestImage>, StoreError> {
        let query = sqlx::query_as(NEWEST_IMAGES_OF).bind(json(lines)?);
        query.fetch_all(&self.pool).await.map_err(failed("read the newest images"))
    }

    /// The newest good image of the next `limit` lines after this one, by name.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn newest_images_after(&self, line: &str, limit: u32) -> Result<Vec<NewestImage>, StoreError> {
        let query = sqlx::query_as(NEWEST_IMAGES_AFTER).bind(line).bind(limit);
        query.fetch_all(&self.pool).await.map_err(failed("read the newest images"))
    }

    /// Bakes of slots between two instants and all open ones before, at most `limit` of each, the newest first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn recorded_between(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError> {
        let mut rows: Vec<Recorded> = sqlx::query_as(RECORDED_BETWEEN)
            .bind(from.timestamp_millis())
            .bind(until.timestamp_millis())
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the bakes of a night"))?;
        rows.extend(self.recorded_open(from, limit).await?);
        Ok(rows)
    }

    /// Open bakes of slots before an instant, at most `limit`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn recorded_open(&self, before: DateTime<Utc>, limit: u32) -> Result<Vec<Recorded>, StoreError> {
        let query = sqlx::query_as(RECORDED_OPEN).bind(before.timestamp_millis()).bind(limit);
        query.fetch_all(&self.pool).await.map_err(failed("read the open bakes"))
    }

    /// Ended bakes of slots between two instants, counted by a few minutes and result.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn counted_between(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Vec<Counted>, StoreError> {
        let query = sqlx::query_as(COUNTED_BETWEEN)
            .bind(from.timestamp_millis())
            .bind(until.timestamp_millis())
            .bind(COUNTED.num_milliseconds());
        query.fetch_all(&self.pool).await.map_err(failed("count the bakes of a night"))
    }

    /// Bakes of a schedule since an instant, at most `limit`, the newest first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn recorded_of(
        &self,
        schedule: &ScheduleId,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError> {
        let query = sqlx::query_as(RECORDED_OF).bind(schedule.as_str()).bind(since.timestamp_millis()).bind(limit);
        query.fetch_all(&self.pool).await.map_err(failed("read the bakes of a schedule"))
    }

    /// Images that are marked or being deleted, the next one first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn going_images(&self, limit: u32) -> Result<Vec<ImageRow>, StoreError> {
        let query = sqlx::query_as(GOING_IMAGES).bind(limit);
        query.fetch_all(&self.pool).await.map_err(failed("read which images are to be deleted"))
    }

    /// Copies of these images, by the image.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn copies_of_images(&self, images: &[&ImageId]) -> Result<HashMap<String, Vec<ReplicaRow>>, StoreError> {
        type Columns = (String, String, String, Option<String>, Option<String>);
        let rows: Vec<Columns> = sqlx::query_as(COPIES_OF_IMAGES)
            .bind(json(images)?)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the copies of images"))?;
        let mut copies: HashMap<String, Vec<ReplicaRow>> = HashMap::new();
        for (image, region, state, status, progress) in rows {
            copies.entry(image).or_default().push(ReplicaRow { region, state, status, progress });
        }
        Ok(copies)
    }
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::Encode)
}

impl FromRow<'_, SqliteRow> for NewestImage {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let channels: String = row.try_get("channels")?;
        Ok(Self {
            line: row.try_get::<String, _>("line_id")?.into(),
            image_id: row.try_get("image_id")?,
            name: row.try_get("image_name")?,
            version: row.try_get("version")?,
            slot: instant(row.try_get("slot")?),
            good_at: instant(row.try_get("good_at")?),
            images: row.try_get("images")?,
            // SQLite made this text in the same statement.
            channels: serde_json::from_str(&channels).unwrap_or_default(),
        })
    }
}

impl FromRow<'_, SqliteRow> for Counted {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            slot: instant(row.try_get("part")?),
            outcome: Outcome::with_veto(row.try_get("state")?, row.try_get("vetoed")?),
            is_former: row.try_get("is_former")?,
            count: usize::try_from(row.try_get::<i64, _>("bakes")?).unwrap_or_default(),
            last_end: instant(row.try_get("last_end")?),
        })
    }
}

impl FromRow<'_, SqliteRow> for Recorded {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let maybe = |column: &str| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(instant));
        Ok(Self {
            bake: row.try_get("id")?,
            schedule: row.try_get("schedule")?,
            instance: row.try_get::<String, _>("instance_id")?.into(),
            line: row.try_get::<String, _>("line_id")?.into(),
            region: row.try_get("region")?,
            slot: instant(row.try_get("slot")?),
            slot_count: row.try_get("slot_count")?,
            state: row.try_get("state")?,
            vetoed: row.try_get("vetoed")?,
            reason: row.try_get("reason")?,
            wake_at: maybe("wake_at")?,
            give_up_at: maybe("give_up_at")?,
            begun_at: maybe("begun_at")?,
            finished_at: maybe("finished_at")?,
            is_former: row.try_get("is_former")?,
        })
    }
}
