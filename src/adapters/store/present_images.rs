//! All images of many lines. SQLite makes one row of each line, with a list of its images: to fetch a row for each image takes
//! longer than to judge it.

use std::cmp::Reverse;

use futures_util::TryStreamExt;

use super::{ImageRow, Reader, StoreError, failed, image_columns::ImageColumns};
use crate::domain::ids::LineId;

/// For each of these lines its images that are not deleted, with what keeps them: a JSON list of [`ImageColumns`].
pub(super) const IMAGES_OF_LINES: &str = "
SELECT line.value, (
    SELECT json_group_array(json_array(
        i.image_id, i.schedule_id,
        coalesce((SELECT t.schedule FROM targets t WHERE t.schedule_id = i.schedule_id LIMIT 1), i.schedule_id),
        i.instance_id, i.bake_id, i.version, i.version_id, i.image_name, i.slot, i.available_at, i.deletion_state, i.rule,
        i.marked_at, i.delete_after, i.tries, i.refused, i.deleted_at, i.available, i.ours,
        CASE WHEN i.used_by <> '[]' THEN json(i.used_by) END,
        i.missing_since, i.verify, i.sent_at, i.judged, i.brake,
        coalesce((SELECT b.trigger <> 'manual' FROM bakes b WHERE b.id = i.bake_id), 0),
        json((SELECT json_array(p.until, p.reason, p.who) FROM pins p WHERE p.image_id = i.image_id)),
        (SELECT v.reason FROM vetoes v WHERE v.image_id = i.image_id),
        json((SELECT nullif(json_group_array(c.channel), '[]') FROM channels c
              WHERE c.image_id = i.image_id AND c.line_id = i.line_id)),
        json((SELECT nullif(json_group_array(d.region), '[]') FROM distributions d
              WHERE d.image_id = i.image_id AND d.finished_at IS NULL))))
    FROM images i INDEXED BY images_present WHERE i.deletion_state <> 'deleted' AND i.line_id = line.value) AS images
FROM json_each(?1) AS line";

impl Reader {
    /// Images that are not deleted, of these lines or of all: by line, the newest version first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn present_images(&self, lines: Option<&[LineId]>) -> Result<Vec<ImageRow>, StoreError> {
        let mut lines = match lines {
            Some(lines) => lines.to_vec(),
            None => self.lines_of_images().await?.into_iter().map(|(line, _)| line).collect(),
        };
        lines.sort_unstable();
        lines.dedup();
        // One line is decoded while SQLite reads the next.
        let mut rows = sqlx::query_as::<_, (String, String)>(IMAGES_OF_LINES)
            .bind(serde_json::to_string(&lines).map_err(StoreError::Encode)?)
            .fetch(&self.pool);
        let mut images = Vec::new();
        while let Some((line, list)) = rows.try_next().await.map_err(failed("read the images"))? {
            let (line, first) = (LineId::from(line), images.len());
            let list: Vec<ImageColumns<'_>> = serde_json::from_str(&list).map_err(StoreError::Encode)?;
            images.extend(list.into_iter().map(|columns| columns.into_row(line.clone())));
            images[first..].sort_unstable_by(|a: &ImageRow, b| {
                (Reverse(a.image.version), &a.image.image_id).cmp(&(Reverse(b.image.version), &b.image.image_id))
            });
        }
        Ok(images)
    }
}
