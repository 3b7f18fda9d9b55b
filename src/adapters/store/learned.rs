//! What was learned of the cloud that no page says, and how the queue stands.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use super::{Reader, Store, StoreError, failed};
use crate::domain::{
    api::gmt_offset::GmtOffset,
    bake::queue::{ClosedAdmission, QueueState},
    clock::watch::ClockAnchor,
};

/// What was learned of the cloud under a name.
pub(super) const LEARNED: &str = "SELECT value FROM learned WHERE name = ?1";

/// Something was learned; a later word replaces an earlier one.
pub(super) const LEARN: &str = "
INSERT INTO learned (name, value, at) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at";

/// Something turned out not to be so.
pub(super) const UNLEARN: &str = "DELETE FROM learned WHERE name = ?1";

/// The zone of `GmtCreate`, in minutes ahead of UTC.
const GMT_OFFSET: &str = "gmt_offset";
/// The last comparison of this host's clock with the cloud's, as JSON.
const CLOCK_ANCHOR: &str = "clock_anchor";
/// The queue as the engine sees it, as JSON.
const QUEUE_STATE: &str = "queue_state";
/// The quota that has closed admission, as JSON.
const CLOSED_ADMISSION: &str = "closed_admission";

impl Reader {
    /// Zone of `GmtCreate`, once an own image has shown it.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn gmt_offset(&self) -> Result<Option<GmtOffset>, StoreError> {
        let value = self.learned(GMT_OFFSET, "read the zone of GmtCreate").await?;
        Ok(value.and_then(|value| value.parse().ok()).map(GmtOffset::from_minutes))
    }

    /// Last comparison of this host's clock with the cloud's; `None` if none is readable.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn clock_anchor(&self) -> Result<Option<ClockAnchor>, StoreError> {
        self.learned_json(CLOCK_ANCHOR, "read the last comparison of the clocks").await
    }

    /// The queue as the engine saw it last; `None` where no engine of this version has.
    pub async fn queue_state(&self) -> Result<Option<QueueState>, StoreError> {
        self.learned_json(QUEUE_STATE, "read the state of the queue").await
    }

    /// The quota that had closed admission, if one had.
    pub async fn closed_admission(&self) -> Result<Option<ClosedAdmission>, StoreError> {
        self.learned_json(CLOSED_ADMISSION, "read which quota is used up").await
    }

    /// What is not readable is of another version, and is learned again.
    async fn learned_json<T: DeserializeOwned>(&self, name: &str, what: &'static str) -> Result<Option<T>, StoreError> {
        Ok(self.learned(name, what).await?.and_then(|value| serde_json::from_str(&value).ok()))
    }

    async fn learned(&self, name: &str, what: &'static str) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar(LEARNED).bind(name).fetch_optional(&self.pool).await.map_err(failed(what))
    }
}

impl Store {
    /// Stores the zone of `GmtCreate`; `None`: images contradict each other.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn keep_gmt_offset(&self, offset: Option<GmtOffset>, now: DateTime<Utc>) -> Result<(), StoreError> {
        let value = offset.map(|offset| offset.minutes().to_string());
        self.keep([(GMT_OFFSET, value)], "keep the zone of GmtCreate", now).await
    }

    /// Stores the last comparison of this host's clock with the cloud's.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn keep_clock_anchor(&self, anchor: &ClockAnchor, now: DateTime<Utc>) -> Result<(), StoreError> {
        let json = serde_json::to_string(anchor).map_err(StoreError::Encode)?;
        self.keep([(CLOCK_ANCHOR, Some(json))], "keep the last comparison of the clocks", now).await
    }

    /// Keeps how the queue stands, for those who show bakes and for the next start.
    pub async fn keep_queue(
        &self,
        queue: &QueueState,
        closed: Option<&ClosedAdmission>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let queue = serde_json::to_string(queue).map_err(StoreError::Encode)?;
        let closed = closed.map(serde_json::to_string).transpose().map_err(StoreError::Encode)?;
        let values = [(QUEUE_STATE, Some(queue)), (CLOSED_ADMISSION, closed)];
        self.keep(values, "keep the state of the queue", now).await
    }

    /// Keeps values under their names; `None` removes one.
    async fn keep<const N: usize>(
        &self,
        values: [(&'static str, Option<String>); N],
        what: &'static str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for (name, value) in values {
            let query = match value {
                Some(value) => sqlx::query(LEARN).bind(name).bind(value).bind(now.timestamp_millis()),
                None => sqlx::query(UNLEARN).bind(name),
            };
            query.execute(&mut *tx).await.map_err(failed(what))?;
        }
        tx.commit().await.map_err(failed(what))
    }
}
