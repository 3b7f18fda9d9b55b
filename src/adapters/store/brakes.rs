//! State of the brake: the rules by which each line was judged, recent deletions, and limits that need a confirmation.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Reader, Store, StoreError, failed, instant, statements};
use crate::domain::{
    ids::{ImageId, LineId},
    image::brake::Brake,
};

/// A limit that needs a confirmation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingBrake {
    /// Instant of the first pass that exceeded it.
    pub since: DateTime<Utc>,
    /// Description of the limit.
    pub brake: Brake,
}

impl Reader {
    /// Rules of the last pass for each line, as text.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn line_rules(&self) -> Result<HashMap<LineId, String>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(statements::LINE_RULES)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read by which rules lines were judged"))?;
        Ok(rows.into_iter().map(|(line, rules)| (LineId::from(line), rules)).collect())
    }

    /// Number of counting deletions of each line since an instant.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn counted_deletions(&self, since: DateTime<Utc>) -> Result<BTreeMap<LineId, usize>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(statements::COUNTED_DELETIONS)
            .bind(since.timestamp_millis())
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read what was deleted of late"))?;
        Ok(rows.into_iter().map(|(line, n)| (LineId::from(line), usize::try_from(n).unwrap_or_default())).collect())
    }

    /// Limits that need a confirmation, as of the last pass.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn brakes(&self) -> Result<Vec<StandingBrake>, StoreError> {
        let rows: Vec<(String, i64, String)> = sqlx::query_as(statements::BRAKES)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read what needs confirmation"))?;
        rows.into_iter()
            .map(|(_, since, brake)| {
                let brake = serde_json::from_str(&brake).map_err(StoreError::Encode)?;
                Ok(StandingBrake { since: instant(since), brake })
            })
            .collect()
    }
}

impl Store {
    /// Records which images a complete pass has judged, and by which rules; lines that are not among `with_rules` have
    /// none.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn record_judged(
        &self,
        images: &[&ImageId],
        rules: &[(&LineId, String)],
        with_rules: &[&LineId],
    ) -> Result<(), StoreError> {
        let json = |value: serde_json::Result<String>| value.map_err(StoreError::Encode);
        let rules: Vec<_> = rules.iter().map(|(line, rules)| json!({ "line_id": line, "rules": rules })).collect();
        let mut tx = self.begin().await?;
        for (sql, list) in [
            (statements::SET_JUDGED, json(serde_json::to_string(images))?),
            (statements::SET_LINE_RULES, json(serde_json::to_string(&rules))?),
            (statements::DROP_LINE_RULES, json(serde_json::to_string(with_rules))?),
        ] {
            sqlx::query(sql).bind(list).execute(&mut *tx).await.map_err(failed("note what was judged"))?;
        }
        tx.commit().await.map_err(failed("commit what was judged"))
    }

    /// Records which limits need a confirmation. Those of the lines in `unjudged` stay unchanged.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn set_brakes(
        &self,
        brakes: &[Brake],
        unjudged: &[&LineId],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let list: Vec<_> = brakes
            .iter()
            .map(|brake| json!({ "line_id": brake.line().map_or("", LineId::as_str), "brake": brake }))
            .collect();
        let list = serde_json::to_string(&list).map_err(StoreError::Encode)?;
        let unjudged = serde_json::to_string(unjudged).map_err(StoreError::Encode)?;
        let mut tx = self.begin().await?;
        sqlx::query(statements::DROP_BRAKES)
            .bind(&list)
            .bind(unjudged)
            .execute(&mut *tx)
            .await
            .map_err(failed("note what needs no confirmation"))?;
        sqlx::query(statements::SET_BRAKES)
            .bind(&list)
            .bind(now.timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(failed("note what needs confirmation"))?;
        tx.commit().await.map_err(failed("commit what needs confirmation"))
    }
}
