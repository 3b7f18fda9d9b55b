//! Whether the cloud let bakes put their instances into maintenance.

use std::collections::BTreeMap;

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

/// The last begin of a maintenance that the cloud rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedMaintenance {
    /// Of this instance.
    pub instance: InstanceId,
    /// By this bake.
    pub bake: BakeId,
    /// First of the begins that the cloud rejected in a row, as far as they are read.
    pub since: DateTime<Utc>,
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
        let mut begins: BTreeMap<String, Vec<Begin>> = BTreeMap::new();
        for (instance, bake, at, outcome, code, message) in rows {
            let begin =
                Begin { bake: BakeId(bake), at: instant(at), is_refused: outcome == "permanent", code, message };
            begins.entry(instance).or_default().push(begin);
        }
        Ok(begins.into_iter().filter_map(|(instance, begins)| refused(instance.into(), begins)).collect())
    }
}

/// A begin of a maintenance.
struct Begin {
    bake: BakeId,
    at: DateTime<Utc>,
    is_refused: bool,
    code: Option<String>,
    message: Option<String>,
}

/// Begins come the newest first. A problem that begins anew with every bake would be reported every night.
fn refused(instance: InstanceId, begins: Vec<Begin>) -> Option<RefusedMaintenance> {
    let in_a_row = begins.into_iter().take_while(|begin| begin.is_refused).collect::<Vec<_>>();
    let since = in_a_row.last()?.at;
    let Begin { bake, code, message, .. } = in_a_row.into_iter().next()?;
    let (code, message) = (code.unwrap_or_default(), message.unwrap_or_default());
    Some(RefusedMaintenance { instance, bake, since, code, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejections_in_a_row_began_with_the_first_of_them() {
        let begin = |bake: i64, is_refused| Begin {
            bake: BakeId(bake),
            at: instant(bake * 1000),
            is_refused,
            code: Some("Forbidden".to_owned()),
            message: None,
        };
        let judged = |begins: &[(i64, bool)]| {
            let begins = begins.iter().map(|&(bake, is_refused)| begin(bake, is_refused)).collect();
            refused("ecd-1".into(), begins).map(|refused| (refused.bake.0, refused.since.timestamp()))
        };
        assert_eq!(judged(&[]), None);
        assert_eq!(judged(&[(3, false), (2, true)]), None);
        assert_eq!(judged(&[(4, true), (3, true), (2, false), (1, true)]), Some((4, 3)));
        assert_eq!(judged(&[(4, true), (3, true)]), Some((4, 3)));
    }
}
