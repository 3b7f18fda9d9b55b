//! State of the brake: the rules by which each line was judged, recent deletions, and limits that need a confirmation.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Reader, Store, StoreError, failed, instant};
use crate::domain::{
    ids::{ImageId, LineId},
    image::brake::{Brake, Departed},
};

/// Images were judged by a whole pass.
pub(super) const SET_JUDGED: &str = "
UPDATE images SET judged = 1 WHERE judged = 0 AND image_id IN (SELECT value FROM json_each(?1))";

/// The rules by which lines were last judged.
pub(super) const LINE_RULES: &str = "SELECT line_id, rules FROM line_rules";

/// Lines were judged by these rules.
pub(super) const SET_LINE_RULES: &str = "
INSERT INTO line_rules (line_id, rules) SELECT value ->> 'line_id', value ->> 'rules' FROM json_each(?1) WHERE true
ON CONFLICT (line_id) DO UPDATE SET rules = excluded.rules";

/// Lines that have no rules any more begin anew when they get some.
pub(super) const DROP_LINE_RULES: &str =
    "DELETE FROM line_rules WHERE line_id NOT IN (SELECT value FROM json_each(?1))";

/// Images that were deleted since an instant and count for the brake.
pub(super) const COUNTED_DELETIONS: &str = "
SELECT line_id, image_id, available_at, deleted_at FROM images INDEXED BY images_deleted_counted
WHERE deletion_state = 'deleted' AND brake = 'counted' AND deleted_at > ?1";

/// Limits that need a confirmation.
pub(super) const BRAKES: &str = "SELECT line_id, since, brake FROM brakes ORDER BY line_id";

/// Records limits that need a confirmation. A known one keeps its date.
pub(super) const SET_BRAKES: &str = "
INSERT INTO brakes (line_id, since, brake)
SELECT value ->> 'line_id', ?2, value -> 'brake' FROM json_each(?1) WHERE true
ON CONFLICT (line_id) DO UPDATE SET brake = excluded.brake";

/// Removes limits that are not exceeded any more.
pub(super) const DROP_BRAKES: &str = "
DELETE FROM brakes WHERE line_id NOT IN (SELECT value ->> 'line_id' FROM json_each(?1))
                     AND line_id NOT IN (SELECT value FROM json_each(?2))";

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
        let rows: Vec<(String, String)> = sqlx::query_as(LINE_RULES)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read by which rules lines were judged"))?;
        Ok(rows.into_iter().map(|(line, rules)| (LineId::from(line), rules)).collect())
    }

    /// Counting deletions of each line since an instant; `left` are the images that a channel has left.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn counted_deletions(
        &self,
        since: DateTime<Utc>,
        left: &HashSet<ImageId>,
    ) -> Result<BTreeMap<LineId, Vec<Departed>>, StoreError> {
        let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(COUNTED_DELETIONS)
            .bind(since.timestamp_millis())
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read what was deleted of late"))?;
        let mut lines: BTreeMap<LineId, Vec<Departed>> = BTreeMap::new();
        for (line, image, available_at, deleted_at) in rows {
            let left_by_channel = left.contains(&ImageId::from(image));
            let (available_at, deleted_at) = (instant(available_at), instant(deleted_at));
            lines.entry(line.into()).or_default().push(Departed { available_at, deleted_at, left_by_channel });
        }
        Ok(lines)
    }

    /// Limits that need a confirmation, as of the last pass.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn brakes(&self) -> Result<Vec<StandingBrake>, StoreError> {
        let rows: Vec<(String, i64, String)> =
            sqlx::query_as(BRAKES).fetch_all(&self.pool).await.map_err(failed("read what needs confirmation"))?;
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
            (SET_JUDGED, json(serde_json::to_string(images))?),
            (SET_LINE_RULES, json(serde_json::to_string(&rules))?),
            (DROP_LINE_RULES, json(serde_json::to_string(with_rules))?),
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
        sqlx::query(DROP_BRAKES)
            .bind(&list)
            .bind(unjudged)
            .execute(&mut *tx)
            .await
            .map_err(failed("note what needs no confirmation"))?;
        sqlx::query(SET_BRAKES)
            .bind(&list)
            .bind(now.timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(failed("note what needs confirmation"))?;
        tx.commit().await.map_err(failed("commit what needs confirmation"))
    }
}
