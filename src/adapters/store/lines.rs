//! Lines: their last version, and how long their bakes take.

use std::{collections::HashMap, time::Duration};

use futures_util::TryStreamExt;

use super::{Reader, StoreError, failed};
use crate::domain::{ids::LineId, plan::forecast::Durations};

/// The last version of every line.
pub(super) const ALL_VERSIONS: &str = "SELECT line_id, last_version FROM lines";

/// How long the last bakes of every line took that succeeded, from the first call that stopped the instance or was to make
/// the image to the end: a JSON list for each line. Rows that were made from the tags of images know nothing of calls and do not count.
pub(super) const LAST_DURATIONS: &str = "
SELECT l.line_id, (
    SELECT json_group_array(max(0, newest.finished_at - newest.begun_at)) FROM (
        SELECT g.finished_at,
               (SELECT min(a.started_at) FROM attempts a WHERE a.bake_id = g.id AND a.stage IN ('stop', 'create')) AS begun_at
        FROM bakes g
        WHERE g.line_id = l.line_id AND g.state = 'succeeded'
          AND EXISTS (SELECT 1 FROM attempts a WHERE a.bake_id = g.id AND a.stage IN ('stop', 'create'))
        ORDER BY g.version DESC LIMIT ?1) newest) AS took
FROM (SELECT line_id FROM lines WHERE ?2 IS NULL OR line_id IN (SELECT value FROM json_each(?2))) l";

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
        let mut rows =
            sqlx::query_as::<_, (String, String)>(LAST_DURATIONS).bind(LEARNED_FROM).bind(lines).fetch(&self.pool);
        // A clock that was set back during a bake gives it an end before its start.
        let sound = |took: i64| u64::try_from(took).ok().filter(|took| *took > 0).map(Duration::from_millis);
        let mut samples = Vec::new();
        while let Some((line, took)) = rows.try_next().await.map_err(failed("read how long bakes took"))? {
            let line = LineId::from(line);
            let took: Vec<i64> = serde_json::from_str(&took).map_err(StoreError::Encode)?;
            samples.extend(took.into_iter().filter_map(sound).map(|took| (line.clone(), took)));
        }
        Ok(Durations::learn(samples))
    }
}
