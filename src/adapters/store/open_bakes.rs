//! Bakes that are not over, and the instances that they stopped.

use chrono::{DateTime, Utc};

use super::{Reader, StoreError, failed};
use crate::domain::{
    bake::State,
    health::late::ImageInProgress,
    ids::{BakeId, InstanceId, LineId},
};

/// Whether a bake is not over.
pub(super) const HAS_OPEN_BAKE: &str = "SELECT EXISTS (SELECT 1 FROM bakes WHERE finished_at IS NULL)";

/// Bakes that are not over, with when each made its first call. Without a word about the index, SQLite walks through all
/// bakes for the sake of their order.
pub(super) const OPEN_BAKES: &str = "
SELECT b.line_id, b.instance_id, coalesce(s.json ->> 'instance_region', '') AS region, b.slot, b.state, b.wake_at,
       b.give_up_at, coalesce(b.version, 0) > 0 AS has_version, (SELECT min(a.started_at) FROM attempts a
                      WHERE a.bake_id = b.id AND a.stage IN ('stop', 'create')) AS begun_at
FROM bakes b INDEXED BY bakes_open LEFT JOIN settings s ON s.hash = b.settings
WHERE b.finished_at IS NULL
ORDER BY b.slot, b.id";

/// Bakes that stopped their instance, or put it into maintenance, and have not ended that.
pub(super) const PENDING_RESTARTS: &str = "
SELECT id, schedule, instance_id, progress FROM bakes INDEXED BY bakes_open
WHERE finished_at IS NULL
  AND (progress ->> '$.work.restart_pending'
       OR progress ->> '$.work.maintenance' IN ('entering', 'unclear', 'entering_again', 'entered', 'leaving', 'leave_refused'))
ORDER BY id";

/// Bakes whose image the cloud makes, or may be making, with their first call.
pub(super) const IMAGES_IN_PROGRESS: &str = "
SELECT b.id, b.schedule, b.line_id, (SELECT min(a.started_at) FROM attempts a
                                     WHERE a.bake_id = b.id AND a.stage IN ('stop', 'create')) AS begun_at
FROM bakes b INDEXED BY bakes_open
WHERE b.finished_at IS NULL AND b.state IN ('unknown', 'building')
ORDER BY b.id";

/// An open bake, for a forecast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBake {
    /// Its line.
    pub line: LineId,
    /// Its instance.
    pub instance: InstanceId,
    /// Region of the instance.
    pub region: String,
    /// Its slot.
    pub slot: DateTime<Utc>,
    /// Its progress.
    pub stage: OpenStage,
    /// Whether it has its version: it takes one when it begins.
    pub has_version: bool,
}

/// Progress of an open bake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenStage {
    /// Queued.
    Queued {
        /// Earliest start.
        not_before: DateTime<Utc>,
        /// Latest start.
        give_up_at: DateTime<Utc>,
    },
    /// Started.
    Begun {
        /// Instant of its first answered call.
        at: Option<DateTime<Utc>>,
    },
}

/// An instance that a bake stopped and has not seen running since, or that it put into maintenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRestart {
    /// The bake.
    pub bake: BakeId,
    /// Its schedule's name.
    pub schedule: String,
    /// The instance.
    pub instance: InstanceId,
    /// State of the bake.
    pub state: State,
}

impl Reader {
    /// Whether a due bake has not ended.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn has_open_bake(&self) -> Result<bool, StoreError> {
        sqlx::query_scalar(HAS_OPEN_BAKE).fetch_one(&self.pool).await.map_err(failed("read a bake"))
    }

    /// Open bakes, oldest slot first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn open_bakes(&self) -> Result<Vec<OpenBake>, StoreError> {
        type Columns = (String, String, String, i64, String, Option<i64>, Option<i64>, bool, Option<i64>);
        let rows: Vec<Columns> =
            sqlx::query_as(OPEN_BAKES).fetch_all(&self.pool).await.map_err(failed("read the open bakes"))?;
        Ok(rows
            .into_iter()
            .map(|(line, instance, region, slot, state, wake_at, give_up_at, has_version, begun_at)| {
                let slot = DateTime::from_timestamp_millis(slot).unwrap_or_default();
                let stage = if state == "queued" {
                    OpenStage::Queued {
                        not_before: wake_at.and_then(DateTime::from_timestamp_millis).unwrap_or(slot),
                        give_up_at: give_up_at
                            .and_then(DateTime::from_timestamp_millis)
                            .unwrap_or(DateTime::<Utc>::MAX_UTC),
                    }
                } else {
                    OpenStage::Begun { at: begun_at.and_then(DateTime::from_timestamp_millis) }
                };
                OpenBake { line: line.into(), instance: instance.into(), region, slot, stage, has_version }
            })
            .collect())
    }

    /// Bakes whose image is being made, or may be, in the order of their ids.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn images_in_progress(&self) -> Result<Vec<ImageInProgress>, StoreError> {
        let rows: Vec<(i64, String, String, Option<i64>)> = sqlx::query_as(IMAGES_IN_PROGRESS)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read which images are being made"))?;
        Ok(rows
            .into_iter()
            .filter_map(|(bake, schedule, line, begun_at)| {
                let begun_at = DateTime::from_timestamp_millis(begun_at?)?;
                Some(ImageInProgress { bake: BakeId(bake), schedule, line: line.into(), begun_at })
            })
            .collect())
    }

    /// Instances that bakes stopped and that are not known to run again, oldest bake first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn pending_restarts(&self) -> Result<Vec<PendingRestart>, StoreError> {
        let rows: Vec<(i64, String, String, String)> = sqlx::query_as(PENDING_RESTARTS)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read which instances are stopped"))?;
        Ok(rows
            .into_iter()
            .filter_map(|(bake, schedule, instance, progress)| {
                // The engine reports rows that this version cannot read.
                let state = serde_json::from_str(&progress).ok()?;
                Some(PendingRestart { bake: BakeId(bake), schedule, instance: instance.into(), state })
            })
            .collect())
    }
}
