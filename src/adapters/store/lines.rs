//! Lines: their newest good image, their last version, and how long their bakes take.

use std::{collections::HashMap, time::Duration};

use super::{Reader, StoreError, failed, fragments::good};
use crate::domain::{ids::LineId, plan::forecast::Durations};

/// The last version of every line.
pub(super) const ALL_VERSIONS: &str = "SELECT line_id, last_version FROM lines";

/// The newest good image of every line that has one, with the channels that point to it.
pub(super) const LINES: &str = concat!(
    "
SELECT i.line_id, i.image_id, i.image_name, i.version, i.slot,
       (SELECT json_group_array(json_array(c.channel, n.version) ORDER BY c.channel <> 'latest', c.channel)
        FROM channels c LEFT JOIN images n ON n.image_id = c.image_id
        WHERE c.line_id = l.line_id) AS channels
FROM lines l JOIN images i
  ON i.image_id = (SELECT image_id FROM images
                   WHERE line_id = l.line_id AND ",
    good!(),
    "
                   ORDER BY version DESC LIMIT 1)
ORDER BY l.line_id LIMIT ?1"
);

/// How long the last bakes of every line took that succeeded, from the first call that stopped the instance or was to make
/// the image to the end. Rows that were made from the tags of images know nothing of calls and do not count.
pub(super) const LAST_DURATIONS: &str = "
SELECT l.line_id, max(0, b.finished_at - (SELECT min(a.started_at) FROM attempts a
                                          WHERE a.bake_id = b.id AND a.stage IN ('stop', 'create'))) AS took
FROM (SELECT line_id FROM lines WHERE ?2 IS NULL OR line_id IN (SELECT value FROM json_each(?2))) l
CROSS JOIN json_each((
    SELECT json_group_array(newest.id) FROM (
        SELECT g.id FROM bakes g
        WHERE g.line_id = l.line_id AND g.state = 'succeeded'
          AND EXISTS (SELECT 1 FROM attempts a WHERE a.bake_id = g.id AND a.stage IN ('stop', 'create'))
        ORDER BY g.version DESC LIMIT ?1) newest)) last
CROSS JOIN bakes b ON b.id = last.value";

/// The same of one line.
pub(super) const LAST_DURATIONS_OF: &str = "
SELECT max(0, b.finished_at - (SELECT min(a.started_at) FROM attempts a
                               WHERE a.bake_id = b.id AND a.stage IN ('stop', 'create'))) AS took
FROM bakes b
WHERE b.id IN (
    SELECT g.id FROM bakes g
    WHERE g.line_id = ?1 AND g.state = 'succeeded'
      AND EXISTS (SELECT 1 FROM attempts a WHERE a.bake_id = g.id AND a.stage IN ('stop', 'create'))
    ORDER BY g.version DESC LIMIT ?2)";

/// Number of recent bakes from which a line's duration is computed: old ones made images of another size.
const LEARNED_FROM: u32 = 10;

/// The newest good image of a line, and the targets of its channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRow {
    /// The line.
    pub line_id: String,
    /// The image.
    pub image_id: String,
    /// Its name.
    pub image_name: String,
    /// Its version.
    pub version: i64,
    /// Its slot, milliseconds since 1970.
    pub slot: i64,
    /// Each channel and the version it points to, `latest` first; none if it is empty.
    pub channels: Vec<(String, Option<i64>)>,
}

impl Reader {
    /// The last version of every line.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn versions(&self) -> Result<HashMap<LineId, u32>, StoreError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as(ALL_VERSIONS).fetch_all(&self.pool).await.map_err(failed("read the versions"))?;
        Ok(rows
            .into_iter()
            .map(|(line, version)| (LineId::from(line), u32::try_from(version).unwrap_or(u32::MAX)))
            .collect())
    }

    /// Names of lines with a good image, at most that many.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn lines(&self, limit: u32) -> Result<Vec<LineRow>, StoreError> {
        let rows: Vec<(String, String, String, i64, i64, String)> =
            sqlx::query_as(LINES).bind(limit).fetch_all(&self.pool).await.map_err(failed("read the lines"))?;
        Ok(rows
            .into_iter()
            .map(|(line_id, image_id, image_name, version, slot, channels)| LineRow {
                line_id,
                image_id,
                image_name,
                version,
                slot,
                // SQLite made this text in the same statement.
                channels: serde_json::from_str(&channels).unwrap_or_default(),
            })
            .collect())
    }

    /// How long a bake of this line takes, from the last ten that succeeded; `None` if there is none.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn usual_duration(&self, line: &LineId) -> Result<Option<Duration>, StoreError> {
        let took: Vec<i64> = sqlx::query_scalar(LAST_DURATIONS_OF)
            .bind(line.as_str())
            .bind(LEARNED_FROM)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read how long bakes of a line took"))?;
        let sound = took.into_iter().filter_map(|took| u64::try_from(took).ok().filter(|took| *took > 0));
        let samples = sound.map(|took| (line.clone(), Duration::from_millis(took)));
        Ok(Durations::learn(samples).learned(line))
    }

    /// Durations of the last ten successful bakes of each line.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn durations(&self) -> Result<Durations, StoreError> {
        self.last_durations(None).await
    }

    /// The same for `lines` alone.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn durations_of(&self, lines: &[LineId]) -> Result<Durations, StoreError> {
        self.last_durations(Some(serde_json::to_string(lines).map_err(StoreError::Encode)?)).await
    }

    async fn last_durations(&self, lines: Option<String>) -> Result<Durations, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(LAST_DURATIONS)
            .bind(LEARNED_FROM)
            .bind(lines)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read how long bakes took"))?;
        // A clock that was set back during a bake gives it an end before its start.
        let sound = |took| u64::try_from(took).ok().filter(|took| *took > 0).map(Duration::from_millis);
        Ok(Durations::learn(rows.into_iter().filter_map(|(line, took)| Some((LineId::from(line), sound(took)?)))))
    }
}
