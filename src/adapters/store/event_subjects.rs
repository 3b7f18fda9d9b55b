//! What belongs to a thing that events are asked about: a schedule has lines, instances, bakes, images and channels, each of
//! which has events of its own.

use sqlx::SqlitePool;

use super::{StoreError, failed};

/// The subjects of events that belong to ?1, as `KIND:ID`: to a schedule by its name or id, to an instance, a line, an image, or
/// a bake by its number. What has left the configuration still counts. The joins keep their order: the lines are few.
pub(super) const RELATED_SUBJECTS: &str = "
WITH line AS MATERIALIZED (
    SELECT schedule_id, schedule, instance_id, line_id FROM targets WHERE ?1 IN (schedule_id, schedule, instance_id, line_id)
), bake AS MATERIALIZED (
    SELECT b.id FROM line CROSS JOIN bakes b ON b.schedule_id = line.schedule_id AND b.instance_id = line.instance_id
    UNION
    SELECT i.bake_id FROM images i WHERE i.image_id = ?1 AND i.bake_id IS NOT NULL
), image AS MATERIALIZED (
    SELECT i.image_id FROM line CROSS JOIN images i ON i.line_id = line.line_id
    UNION
    SELECT i.image_id FROM images i WHERE i.bake_id = CAST(?1 AS INTEGER) AND CAST(CAST(?1 AS INTEGER) AS TEXT) = ?1
    UNION
    SELECT f.image_id FROM line CROSS JOIN failed_images f ON f.line_id = line.line_id
    UNION
    SELECT u.image_id FROM line CROSS JOIN unrecorded_images u ON u.line_id = line.line_id
)
SELECT 'bake:' || id FROM bake
UNION ALL SELECT 'image:' || image_id FROM image
UNION ALL SELECT 'line:' || line_id FROM line
UNION ALL SELECT 'channel:' || c.line_id || '/' || c.channel FROM line CROSS JOIN channels c ON c.line_id = line.line_id
UNION ALL SELECT 'schedule:' || schedule_id FROM line WHERE ?1 IN (schedule_id, schedule, line_id)
UNION ALL SELECT 'instance:' || instance_id FROM line";

/// A JSON list of these subjects.
pub(super) async fn related(pool: &SqlitePool, about: &str) -> Result<String, StoreError> {
    let found: Vec<String> = sqlx::query_scalar(RELATED_SUBJECTS)
        .bind(about)
        .fetch_all(pool)
        .await
        .map_err(failed("read what belongs to the subject of the events"))?;
    serde_json::to_string(&found).map_err(StoreError::Encode)
}
