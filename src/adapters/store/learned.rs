//! Undocumented properties of the cloud that the daemon has observed.

use chrono::{DateTime, Utc};

use super::{Reader, Store, StoreError, failed, statements};
use crate::domain::{api::gmt_offset::GmtOffset, clock::watch::ClockAnchor};

/// The zone of `GmtCreate`, in minutes ahead of UTC.
const GMT_OFFSET: &str = "gmt_offset";
/// The last comparison of this host's clock with the cloud's, as JSON.
const CLOCK_ANCHOR: &str = "clock_anchor";

impl Reader {
    /// Zone of `GmtCreate`, once an own image has shown it.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn gmt_offset(&self) -> Result<Option<GmtOffset>, StoreError> {
        let value: Option<String> = sqlx::query_scalar(statements::LEARNED)
            .bind(GMT_OFFSET)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read the zone of GmtCreate"))?;
        Ok(value.and_then(|value| value.parse().ok()).map(GmtOffset::from_minutes))
    }

    /// Last comparison of this host's clock with the cloud's; `None` if none is readable.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn clock_anchor(&self) -> Result<Option<ClockAnchor>, StoreError> {
        let value: Option<String> = sqlx::query_scalar(statements::LEARNED)
            .bind(CLOCK_ANCHOR)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read the last comparison of the clocks"))?;
        Ok(value.and_then(|value| serde_json::from_str(&value).ok()))
    }
}

impl Store {
    /// Stores the zone of `GmtCreate`; `None`: images contradict each other.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn keep_gmt_offset(&self, offset: Option<GmtOffset>, now: DateTime<Utc>) -> Result<(), StoreError> {
        let query = match offset {
            Some(offset) => sqlx::query(statements::LEARN)
                .bind(GMT_OFFSET)
                .bind(offset.minutes().to_string())
                .bind(now.timestamp_millis()),
            None => sqlx::query(statements::UNLEARN).bind(GMT_OFFSET),
        };
        let mut tx = self.begin().await?;
        query.execute(&mut *tx).await.map_err(failed("keep the zone of GmtCreate"))?;
        tx.commit().await.map_err(failed("keep the zone of GmtCreate"))?;
        Ok(())
    }

    /// Stores the last comparison of this host's clock with the cloud's.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn keep_clock_anchor(&self, anchor: &ClockAnchor, now: DateTime<Utc>) -> Result<(), StoreError> {
        let json = serde_json::to_string(anchor).map_err(StoreError::Encode)?;
        let mut tx = self.begin().await?;
        sqlx::query(statements::LEARN)
            .bind(CLOCK_ANCHOR)
            .bind(json)
            .bind(now.timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(failed("keep the last comparison of the clocks"))?;
        tx.commit().await.map_err(failed("keep the last comparison of the clocks"))
    }
}
