//! What health is judged by: the slots that lines have lost since their last good image. One step down an index for each
//! line, and a few more only for those with something to judge.

use std::collections::HashMap;

use serde_json::json;

use super::{Reader, StoreError, failed, instant, statements};
use crate::{
    bake::reason::ReasonCode,
    health::lines::{Facts, Good, LastLost, Line, Lost, Unverified},
    ids::{BakeId, ImageId, LineId},
};

/// A row of [`statements::LOST_SLOTS`].
type LostRow = (String, i64, i64, String, Option<String>, String, Option<String>, String);

impl Reader {
    /// What the history knows of those of these lines that have something to judge.
    pub async fn line_facts(&self, lines: &[Line]) -> Result<HashMap<LineId, Facts>, StoreError> {
        let mut all: HashMap<LineId, Facts> = HashMap::new();
        let (mut with_losses, mut without_image) = (Vec::new(), Vec::new());
        let asked: Vec<_> =
            lines.iter().map(|line| json!({ "id": line.id, "always": line.max_image_age.is_some() })).collect();
        let rows: Vec<(String, Option<i64>, Option<i64>, Option<i64>)> = sqlx::query_as(statements::LINES_TO_JUDGE)
            .bind(serde_json::to_string(&asked).map_err(StoreError::Encode)?)
            .bind(i64::MIN)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read what lines have lost"))?;
        for (line, good_at, made, first_lost) in rows {
            let good = good_at.zip(made).map(|(at, made)| Good { at: instant(at), made: instant(made) });
            if let Some(first) = first_lost {
                with_losses.push((json!({ "id": line, "since": good_at.unwrap_or(i64::MIN) }), instant(first)));
            } else if good.is_none() {
                without_image.push(line.clone());
            }
            all.insert(LineId::from(line), Facts { good, ..Facts::default() });
        }
        if !with_losses.is_empty() {
            let (asked, firsts): (Vec<_>, Vec<_>) = with_losses.into_iter().unzip();
            let firsts: HashMap<&str, _> = asked.iter().filter_map(|line| line["id"].as_str()).zip(firsts).collect();
            let rows: Vec<LostRow> = sqlx::query_as(statements::LOST_SLOTS)
                .bind(serde_json::to_string(&asked).map_err(StoreError::Encode)?)
                // One more than is counted shows that there are more.
                .bind(Lost::BOUND + 1)
                .fetch_all(&self.pool)
                .await
                .map_err(failed("read the slots that lines have lost"))?;
            for (line, id, slot, state, code, reason, image, counts) in rows {
                // SQLite made this text in the same statement.
                let (slots, rows, not_missed): (u64, u32, u32) = serde_json::from_str(&counts).unwrap_or((1, 1, 1));
                let lost = Lost {
                    slots,
                    more: rows > Lost::BOUND,
                    first: firsts.get(line.as_str()).copied().unwrap_or_else(|| instant(slot)),
                    only_missed: not_missed == 0,
                    last: LastLost {
                        bake: BakeId(id),
                        slot: instant(slot),
                        state,
                        code: code.as_deref().and_then(ReasonCode::parse),
                        reason,
                        image: image.map(ImageId::from),
                    },
                };
                all.entry(LineId::from(line)).or_default().lost = Some(lost);
            }
        }
        if !without_image.is_empty() {
            let rows: Vec<(String, i64)> = sqlx::query_as(statements::NONE_GOOD_SINCE)
                .bind(serde_json::to_string(&without_image).map_err(StoreError::Encode)?)
                .fetch_all(&self.pool)
                .await
                .map_err(failed("read which lines have no good image any more"))?;
            for (line, since) in rows {
                all.entry(LineId::from(line)).or_default().none_good_since = Some(instant(since));
            }
        }
        let unverified: Vec<(String, String, i64, i64, String)> = sqlx::query_as(statements::UNVERIFIED_IMAGES)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read which checks failed"))?;
        for (line, image, version, slot, reason) in unverified {
            let version = u32::try_from(version).unwrap_or(u32::MAX);
            let one = Unverified { image: image.into(), version, slot: instant(slot), reason };
            all.entry(LineId::from(line)).or_default().unverified.push(one);
        }
        Ok(all)
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
