//! Times without a daemon, by the events: nothing is written in them, and its start ends them.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Reader, StoreError, failed};
use crate::domain::{clock::shifted, history::absence::Absence};

/// The first start of a daemon after ?1 and up to ?2, if nothing was written from ?1 until shortly before it (?3 milliseconds), and
/// the last event before.
pub(super) const ABSENCE: &str = "
SELECT started.at AS started, last.at AS last_event, coalesce(last.type, '') AS last_type
FROM (SELECT at FROM events INDEXED BY events_by_time
      WHERE at > ?1 AND at <= ?2 AND type = 'daemon_started' ORDER BY at LIMIT 1) started
LEFT JOIN (SELECT at, type FROM events INDEXED BY events_by_time WHERE at <= ?1 ORDER BY at DESC, id DESC LIMIT 1) last
WHERE NOT EXISTS (SELECT 1 FROM events e INDEXED BY events_by_time WHERE e.at > ?1 AND e.at < started.at - ?3)";

/// A start writes what it finds before its own event.
const START_WRITES: TimeDelta = TimeDelta::minutes(1);

impl Reader {
    /// The time without a daemon in which `slot` was due, if its row was made at the start after it, at `recorded`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn absence(&self, slot: DateTime<Utc>, recorded: DateTime<Utc>) -> Result<Option<Absence>, StoreError> {
        let found: Option<(i64, Option<i64>, String)> = sqlx::query_as(ABSENCE)
            .bind(slot.timestamp_millis())
            .bind(shifted(recorded, START_WRITES).timestamp_millis())
            .bind(START_WRITES.num_milliseconds())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read when the daemon started"))?;
        Ok(found.and_then(|(started, last_event, last_type)| {
            Some(Absence {
                last_event: last_event.and_then(DateTime::from_timestamp_millis),
                stopped_in_order: last_type == "daemon_stopped",
                started: DateTime::from_timestamp_millis(started)?,
            })
        }))
    }
}
