//! Whether the cloud let bakes put their instances into maintenance.

use chrono::{DateTime, Utc};

use super::{Reader, StoreError, failed, instant};
use crate::domain::ids::{BakeId, InstanceId};

/// Begins of a maintenance in the newest bakes of some instances, the newest first.
pub(super) const MAINTENANCE_BEGINS: &str = "
SELECT i.value AS instance_id, a.bake_id, a.finished_at, a.outcome, a.code, a.message
FROM json_each(?1) AS i CROSS JOIN attempts a INDEXED BY attempts_by_bake
  ON a.bake_id IN (SELECT id FROM bakes WHERE instance_id = i.value ORDER BY slot DESC, id DESC LIMIT ?2)
     AND a.call = 'enter_maintenance'
ORDER BY a.id DESC";

/// Bakes of an instance that are read: those that were skipped or refused before have none.
const NEWEST: u32 = 5;

/// The last begin of a maintenance, if the cloud rejected it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedMaintenance {
    /// Of this instance.
    pub instance: InstanceId,
    /// By this bake.
    pub bake: BakeId,
    /// When.
    pub at: DateTime<Utc>,
    /// The API's code.
    pub code: String,
    /// The API's message with the advice.
    pub message: String,
}

impl Reader {
    /// Those of these instances whose last maintenance the cloud rejected.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn refused_maintenances(&self, instances: &[InstanceId]) -> Result<Vec<RefusedMaintenance>, StoreError> {
        type Columns = (String, i64, i64, String, Option<String>, Option<String>);
        if instances.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<Columns> = sqlx::query_as(MAINTENANCE_BEGINS)
            .bind(serde_json::to_string(instances).map_err(StoreError::Encode)?)
            .bind(NEWEST)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read which maintenances were refused"))?;
        let mut seen = std::collections::HashSet::new();
        Ok(rows
            .into_iter()
            .filter(|(instance, ..)| seen.insert(instance.clone()))
            .filter(|(_, _, _, outcome, ..)| outcome == "permanent")
            .map(|(instance, bake, at, _, code, message)| RefusedMaintenance {
                instance: instance.into(),
                bake: BakeId(bake),
                at: instant(at),
                code: code.unwrap_or_default(),
                message: message.unwrap_or_default(),
            })
            .collect())
    }
}
