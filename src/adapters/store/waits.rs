//! What open bakes wait for that lies outside of their rows: filled in wherever rows are read.

use chrono::{DateTime, Utc};

use super::{BakeRow, Reader, StoreError, failed, instant};
use crate::domain::{
    bake::queue::{AtWork, QueuedBake},
    calendar::zone::Zone,
    ids::BakeId,
};

/// Bakes that have begun and are not over.
pub(super) const AT_WORK: &str = "
SELECT id, schedule, instance_id, coalesce(region, ''), holds_builder
FROM bakes INDEXED BY bakes_open WHERE finished_at IS NULL AND holds_instance
ORDER BY id";

/// What the rows ?1 do not show, of those that are in the queue or whose next call begins something.
pub(super) const QUEUE_DETAILS: &str = "
SELECT b.id, coalesce(b.region, ''), b.give_up_at, s.json ->> '$.timezone',
       (SELECT o.id FROM bakes o
        WHERE b.state = 'queued' AND o.state = 'queued' AND o.instance_id = b.instance_id AND o.wake_at <= b.wake_at
          AND (o.slot, o.id) < (b.slot, b.id)
        ORDER BY o.slot, o.id LIMIT 1)
FROM bakes b CROSS JOIN settings s ON s.hash = b.settings
WHERE b.id IN (SELECT value FROM json_each(?1))
  AND CASE b.state
      WHEN 'preparing' THEN b.progress ->> '$.hook' IS NULL
      WHEN 'stopping' THEN b.progress ->> '$.sent' = 0
      ELSE 1 END";

/// What the row of a bake does not show: region, deadline, zone, the bake before it in the queue.
type Details = (i64, String, Option<i64>, String, Option<i64>);

/// Until when a bake begins at the latest.
pub(super) const GIVE_UP_AT: &str = "SELECT give_up_at FROM bakes WHERE id = ?1";

impl Reader {
    /// Until when a bake begins at the latest; afterwards it is skipped. `None` for a row that is none.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn give_up_at(&self, bake: BakeId) -> Result<Option<DateTime<Utc>>, StoreError> {
        let at: Option<Option<i64>> = sqlx::query_scalar(GIVE_UP_AT)
            .bind(bake.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read the deadline of a bake"))?;
        Ok(at.flatten().map(instant))
    }

    /// The rows with the reasons of those that wait for something outside of them.
    pub(super) async fn with_waits(&self, mut rows: Vec<BakeRow>) -> Result<Vec<BakeRow>, StoreError> {
        if !rows.iter().any(waits_outside) {
            return Ok(rows);
        }
        let Some(queue) = self.queue_state().await? else { return Ok(rows) };
        // Without anything that keeps every bake from beginning, a wait of its own is what a bake waits for.
        let is_blocked = queue.blocker.is_some();
        let asked =
            |row: &&BakeRow| waits_outside(row) && (is_blocked || row.state != "queued" || row.reason.is_none());
        let waits: Vec<i64> = rows.iter().filter(asked).map(|row| row.id).collect();
        if waits.is_empty() {
            return Ok(rows);
        }
        let at_work = self.at_work().await?;
        let json = serde_json::to_string(&waits).map_err(StoreError::Encode)?;
        let details: Vec<Details> = sqlx::query_as(QUEUE_DETAILS)
            .bind(json)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read what bakes wait for"))?;
        for (id, region, give_up_at, zone, behind) in details {
            let Some(row) = rows.iter_mut().find(|row| row.id == id) else { continue };
            let bake = QueuedBake {
                bake: BakeId(id),
                instance: row.instance_id.as_str().into(),
                region,
                slot: row.slot(),
                not_before: row.wake_at.map_or_else(|| row.slot(), instant),
                give_up_at: give_up_at.map_or(DateTime::<Utc>::MAX_UTC, instant),
                zone: Zone::find(&zone).unwrap_or(Zone::UTC),
                behind: behind.map(BakeId),
            };
            // Its own wait may end before what keeps every bake from beginning.
            if row.state == "queued" && row.reason.is_some() && !queue.outlasts_wait_of(&bake) {
                continue;
            }
            let reason = if row.state == "queued" { queue.reason(&bake, &at_work) } else { queue.reason_begun(&bake) };
            row.reason = reason.or(row.reason.take());
        }
        Ok(rows)
    }

    async fn at_work(&self) -> Result<Vec<AtWork>, StoreError> {
        let rows: Vec<(i64, String, String, String, bool)> =
            sqlx::query_as(AT_WORK).fetch_all(&self.pool).await.map_err(failed("read the running bakes"))?;
        let at_work = |(bake, schedule, instance, region, holds_builder): (i64, String, String, String, bool)| AtWork {
            bake: BakeId(bake),
            schedule,
            instance: instance.into(),
            region,
            holds_builder,
        };
        Ok(rows.into_iter().map(at_work).collect())
    }
}

/// A bake in the queue, and one that has begun and whose next call begins something.
fn waits_outside(row: &BakeRow) -> bool {
    ["queued", "preparing", "stopping", "ready"].contains(&row.state.as_str())
}
