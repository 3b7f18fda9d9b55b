//! Manual bakes, and retries.

use chrono::{DateTime, Utc};

use super::{
    Store, StoreError,
    audit::audit,
    failed,
    slots::{NewRow, insert_rows},
};
use crate::{
    adapters::failpoint,
    domain::{
        event::{Action, AuditLine},
        health::{Subject, SubjectKind},
        ids::BakeId,
    },
};

/// The number of the row for a slot.
pub(super) const BAKE_OF_SLOT: &str = "
SELECT id FROM bakes WHERE schedule_id = ?1 AND instance_id = ?2 AND slot = ?3";

/// A manual bake.
#[derive(Debug, Clone, PartialEq)]
pub struct ManualBake {
    /// Its row.
    pub row: NewRow,
    /// Who requested it.
    pub who: String,
    /// The bake that it repeats.
    pub retry_of: Option<BakeId>,
}

impl Store {
    /// Records manual bakes with their lines of the audit. Returns their numbers, in order.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn record_manual(
        &self,
        asked: &[ManualBake],
        config_hash: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<BakeId>, StoreError> {
        let mut tx = self.begin().await?;
        let mut ids = Vec::with_capacity(asked.len());
        for ManualBake { row, who, retry_of } in asked {
            let retry = retry_of.map(|bake| format!("retry of bake {bake}"));
            let requested_by = retry.as_ref().map_or_else(|| who.clone(), |retry| format!("{who} ({retry})"));
            insert_rows(&mut tx, std::slice::from_ref(row), Some(&requested_by), config_hash, now).await?;
            let id: i64 = sqlx::query_scalar(BAKE_OF_SLOT)
                .bind(row.schedule_id.as_str())
                .bind(row.instance_id.as_str())
                .bind(row.slot.timestamp_millis())
                .fetch_one(&mut *tx)
                .await
                .map_err(failed("read the new bake's number"))?;
            ids.push(BakeId(id));
            let detail = format!("bake {id} of {} on {}", row.schedule, row.instance_id);
            let (action, detail) = match retry {
                Some(retry) => (Action::Retry, format!("{detail}, {retry}")),
                None => (Action::Bake, detail),
            };
            let subject = Subject::new(SubjectKind::Bake, id.to_string());
            audit(&mut tx, &AuditLine { at: now, who, action, subject, detail }).await?;
        }
        failpoint::hit("before", "manual");
        tx.commit().await.map_err(failed("commit a manual bake"))?;
        failpoint::hit("after", "manual");
        Ok(ids)
    }
}
