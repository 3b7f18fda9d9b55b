//! What the history knows of each schedule and its instances.

use sqlx::FromRow;

use super::{Reader, StoreError, failed, instant};
use crate::domain::plan::explain::Known;

/// What is known of a schedule, by id or by name, also of those that are gone from the file.
pub(super) const SEEN_OF: &str = "
SELECT schedule_id, schedule, instance_id, timing, accounted_to, known_since, removed_at
FROM targets WHERE schedule_id = ?1 OR schedule = ?1
ORDER BY schedule_id, instance_id";

/// Every name and id of a schedule that was ever seen.
pub(super) const SCHEDULE_WORDS: &str = "SELECT schedule FROM targets UNION SELECT schedule_id FROM targets";

/// An instance of a schedule in the history.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct TargetRow {
    /// The schedule's stable id.
    pub schedule_id: String,
    /// Name of the schedule when last seen.
    pub schedule: String,
    /// The instance.
    pub instance_id: String,
    /// Its rule when last seen, as JSON of the planner.
    pub timing: String,
    accounted_to: i64,
    known_since: i64,
    removed_at: Option<i64>,
}

impl TargetRow {
    /// Start, progress and end.
    pub fn known(&self) -> Known {
        Known {
            since: instant(self.known_since),
            accounted_to: instant(self.accounted_to),
            removed_at: self.removed_at.map(instant),
        }
    }
}

impl Reader {
    /// State of the instances of a schedule, by id or name, including removed ones.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn seen(&self, schedule: &str) -> Result<Vec<TargetRow>, StoreError> {
        sqlx::query_as(SEEN_OF)
            .bind(schedule)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read what is known of a schedule"))
    }

    /// All names and ids of schedules in the history.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn schedule_words(&self) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(SCHEDULE_WORDS).fetch_all(&self.pool).await.map_err(failed("read the names of schedules"))
    }
}
