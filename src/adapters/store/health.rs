//! Queries for health: the slots that lines have lost since their last good image. One index step per line, and a few
//! more for lines with lost slots.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::SqliteConnection;

use super::{
    Reader, StoreError, failed,
    fragments::{good_at, good_but_for_veto, lost, newest_good, newest_good_but_for_veto},
    instant,
};
use crate::domain::{
    bake::reason::ReasonCode,
    health::lines::{Facts, Good, LastLost, Line, Lost, Unverified},
    ids::{BakeId, ImageId, LineId},
};

/// Lines with something to judge: those that have lost a slot since their last good image, those without one, and those
/// that are wanted in any case. An image that only a person vetoes ends what was lost before it, as a good one does.
pub(super) const LINES_TO_JUDGE: &str = concat!(
    "
SELECT * FROM (
    SELECT line.value ->> 'id' AS line_id,
           ",
    good_at!("good"),
    " AS good_at,
           ",
    good_at!("made"),
    " AS made_at,
           (SELECT first_slot FROM bakes INDEXED BY bakes_lost
            WHERE line_id = line.value ->> 'id' AND ",
    lost!(),
    "
              AND slot >= coalesce(",
    good_at!("made"),
    ", ?2)
            ORDER BY slot LIMIT 1) AS first_lost,
           line.value ->> 'always' AS always
    FROM json_each(?1) AS line LEFT JOIN images AS good
      ON good.image_id = ",
    newest_good!("line.value ->> 'id'"),
    "
         LEFT JOIN images AS made
      ON made.image_id = ",
    newest_good_but_for_veto!("line.value ->> 'id'"),
    ")
WHERE good_at IS NULL OR first_lost IS NOT NULL OR always"
);

/// The slots that some lines have lost since an instant each. The last of them; and as a JSON list, of at most ?2 rows:
/// the slots that they cover, how many they are, and how many have another reason than that the daemon could not run.
pub(super) const LOST_SLOTS: &str = concat!(
    "
SELECT line.value ->> 'id' AS line_id, b.id, b.slot, b.state, b.reason_code, coalesce(b.reason, '') AS reason, b.image_id,
       (SELECT json_array(coalesce(sum(slot_count) FILTER (WHERE trigger <> 'manual'), 0), count(*),
                          count(*) FILTER (WHERE reason_code IS NOT 'missed'))
        FROM (SELECT slot_count, trigger, reason_code FROM bakes INDEXED BY bakes_lost
              WHERE line_id = line.value ->> 'id' AND slot >= line.value ->> 'since' AND ",
    lost!(),
    "
              ORDER BY slot DESC LIMIT ?2)) AS counts
FROM json_each(?1) AS line CROSS JOIN bakes b
  ON b.id = (SELECT id FROM bakes INDEXED BY bakes_lost
             WHERE line_id = line.value ->> 'id' AND slot >= line.value ->> 'since' AND ",
    lost!(),
    "
             ORDER BY slot DESC, id DESC LIMIT 1)"
);

/// Since when some lines have no good image although a bake made one: what became of the last. No row for one whose check
/// is still due.
pub(super) const NONE_GOOD_SINCE: &str = "
SELECT line.value AS line_id, coalesce(v.at, i.missing_since, i.deleted_at, b.finished_at, b.slot) AS since
FROM json_each(?1) AS line CROSS JOIN bakes b
  ON b.id = (SELECT id FROM bakes INDEXED BY bakes_good
             WHERE line_id = line.value AND state = 'succeeded' ORDER BY version DESC LIMIT 1)
     LEFT JOIN images i ON i.image_id = b.image_id LEFT JOIN vetoes v ON v.image_id = b.image_id
WHERE i.verify IS NOT 'due'";

/// Images that did not pass their check and are vetoed, with none after them that is good or that only a person vetoes; the
/// newest of each line first.
pub(super) const UNVERIFIED_IMAGES: &str = concat!(
    "
SELECT f.line_id, f.image_id, f.version, f.slot, v.at, f.bake_id, v.reason
FROM images f INDEXED BY images_check_failed JOIN vetoes v ON v.image_id = f.image_id
WHERE f.verify = 'failed' AND f.deletion_state <> 'deleted' AND f.missing_since IS NULL
  AND NOT EXISTS (SELECT 1 FROM images WHERE line_id = f.line_id AND version > f.version AND ",
    good_but_for_veto!(),
    ")
ORDER BY f.line_id, f.version DESC"
);

impl Reader {
    /// Those of these lines that health judges, with their history.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn line_facts(&self, lines: &[Line]) -> Result<HashMap<LineId, Facts>, StoreError> {
        type Columns = (String, Option<i64>, Option<i64>, Option<i64>);
        let asked: Vec<_> =
            lines.iter().map(|line| json!({ "id": line.id, "always": line.max_image_age.is_some() })).collect();
        // One transaction reads one state: an image that is made in between would belong to a line without a good one.
        let mut tx = self.pool.begin().await.map_err(failed("begin to read"))?;
        let rows: Vec<Columns> = sqlx::query_as(LINES_TO_JUDGE)
            .bind(serde_json::to_string(&asked).map_err(StoreError::Encode)?)
            .bind(i64::MIN)
            .fetch_all(&mut *tx)
            .await
            .map_err(failed("read what lines have lost"))?;
        let mut all: HashMap<LineId, Facts> = HashMap::with_capacity(rows.len());
        let (mut with_losses, mut without_image) = (Vec::new(), Vec::new());
        for (line, good_at, made_at, first_lost) in rows {
            let line = LineId::from(line);
            let good = good_at.map(|at| Good { at: instant(at) });
            if let Some(first) = first_lost {
                with_losses.push((line.clone(), made_at.unwrap_or(i64::MIN), instant(first)));
            }
            if good.is_none() {
                without_image.push(line.clone());
            }
            all.insert(line, Facts { good, ..Facts::default() });
        }
        for (line, lost) in lost_slots(&mut tx, &with_losses).await? {
            all.entry(line).or_default().lost = Some(lost);
        }
        for (line, since) in none_good_since(&mut tx, &without_image).await? {
            all.entry(line).or_default().none_good_since = Some(since);
        }
        for (line, image) in unverified_images(&mut tx).await? {
            all.entry(line).or_default().unverified.push(image);
        }
        // The pool closes a connection that is left within a transaction, and its file may be gone by now.
        tx.commit().await.map_err(failed("end reading"))?;
        Ok(all)
    }
}

/// Lost slots of lines since an instant each; the first one is known.
async fn lost_slots(
    connection: &mut SqliteConnection,
    lines: &[(LineId, i64, DateTime<Utc>)],
) -> Result<Vec<(LineId, Lost)>, StoreError> {
    type Columns = (String, i64, i64, String, Option<String>, String, Option<String>, String);
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let asked: Vec<_> = lines.iter().map(|(id, since, _)| json!({ "id": id, "since": since })).collect();
    let firsts: HashMap<&str, DateTime<Utc>> = lines.iter().map(|(id, _, first)| (id.as_str(), *first)).collect();
    let rows: Vec<Columns> = sqlx::query_as(LOST_SLOTS)
        .bind(serde_json::to_string(&asked).map_err(StoreError::Encode)?)
        // One more row than is counted shows that there are more.
        .bind(Lost::BOUND + 1)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed("read the slots that lines have lost"))?;
    Ok(rows
        .into_iter()
        .map(|(line, id, slot, state, code, reason, image, counts)| {
            // SQLite made this text in the same statement.
            let (slots, rows, not_missed): (u64, u32, u32) = serde_json::from_str(&counts).unwrap_or((1, 1, 1));
            let last = LastLost {
                bake: BakeId(id),
                slot: instant(slot),
                state,
                code: code.as_deref().and_then(ReasonCode::parse),
                reason,
                image: image.map(ImageId::from),
            };
            let first = firsts.get(line.as_str()).copied().unwrap_or(last.slot);
            let lost = Lost { slots, more: rows > Lost::BOUND, first, only_missed: not_missed == 0, last };
            (LineId::from(line), lost)
        })
        .collect())
}

/// Instant from which each line has no good image although there was one.
async fn none_good_since(
    connection: &mut SqliteConnection,
    lines: &[LineId],
) -> Result<Vec<(LineId, DateTime<Utc>)>, StoreError> {
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(String, i64)> = sqlx::query_as(NONE_GOOD_SINCE)
        .bind(serde_json::to_string(lines).map_err(StoreError::Encode)?)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed("read which lines have no good image any more"))?;
    Ok(rows.into_iter().map(|(line, since)| (LineId::from(line), instant(since))).collect())
}

/// Images that failed their check, without a good image after them; the newest of each line first.
async fn unverified_images(connection: &mut SqliteConnection) -> Result<Vec<(LineId, Unverified)>, StoreError> {
    type Columns = (String, String, i64, i64, i64, Option<i64>, String);
    let rows: Vec<Columns> = sqlx::query_as(UNVERIFIED_IMAGES)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed("read which checks failed"))?;
    Ok(rows
        .into_iter()
        .map(|(line, image, version, slot, vetoed_at, bake, reason)| {
            let unverified = Unverified {
                image: image.into(),
                version: u32::try_from(version).unwrap_or(u32::MAX),
                slot: instant(slot),
                vetoed_at: instant(vetoed_at),
                bake: bake.map(BakeId),
                reason,
            };
            (LineId::from(line), unverified)
        })
        .collect())
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
