//! Reconstruction of the history from the tags of images. It only adds rows and raises versions.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{
    Reader, Store, StoreError,
    audit::audit,
    failed,
    slots::INSERT_SETTINGS,
    transitions::{RAISE_VERSIONS, settings_row},
    writer::WriteTransaction,
};
use crate::domain::{
    api::{
        call::MadeImage,
        cause::Cause,
        gmt_offset::{self, GmtOffset},
        identity::ImageStatus,
    },
    bake::{
        BakeSettings, State, Trigger,
        reason::ReasonCode,
        state::{BakeWork, End},
    },
    event::{Action, AuditLine},
    health::{Subject, SubjectKind},
    ids::{BakeId, ImageId, LineId},
    image::reconcile::{Comparison, NOT_IN_TAGS, REBUILT, Rebuilt, Recorded, ReturnedImage},
    text::counted,
};

/// Rows that have to do with images: those with one, with a version or without an end, and those of some slots. Whose image
/// is known to be deleted is not missing it.
pub(super) const RECORDED: &str = "
SELECT id, line_id, slot,
       CASE WHEN EXISTS (SELECT 1 FROM images i WHERE i.image_id = bakes.image_id AND i.deletion_state = 'deleted')
            THEN 'deleted' ELSE state END AS state,
       finished_at IS NOT NULL AS ended,
       state = 'skipped' AND reason_code = 'missed' AND version IS NULL AND image_id IS NULL AS missed,
       image_id FROM bakes
WHERE image_id IS NOT NULL OR version IS NOT NULL OR finished_at IS NULL
   OR slot IN (SELECT value FROM json_each(?1))
ORDER BY id";

/// Rows made from the tags of images. A slot that has its row keeps it.
pub(super) const INSERT_REBUILT: &str = "
INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, slot_count, first_slot, config_hash,
                   settings, state, progress, reason, reason_code, cause, version, image_name, image_id, version_id,
                   created_at, finished_at)
SELECT value ->> 'schedule_id', value ->> 'schedule', value ->> 'instance_id', value ->> 'line_id', value ->> 'slot',
       value ->> 'trigger', 1, value ->> 'slot', value ->> 'config_hash', value ->> 'settings', value ->> 'state', value ->> 'progress',
       value ->> 'reason', value ->> 'reason_code', value ->> 'cause', value ->> 'version', value ->> 'image_name',
       value ->> 'image_id', value ->> 'version_id', value ->> 'at', value ->> 'at'
FROM json_each(?1) WHERE true
ON CONFLICT (schedule_id, instance_id, slot) DO NOTHING";

/// Rows of missed slots, which made no call, whose last slot gets a row made from the tags of its image.
pub(super) const MISSED_BUT_MADE: &str = "
SELECT b.id, b.schedule_id, b.instance_id, rebuilt.value ->> 'image_id' AS image_id
FROM json_each(?1) AS rebuilt CROSS JOIN bakes b
  ON b.schedule_id = rebuilt.value ->> 'schedule_id' AND b.instance_id = rebuilt.value ->> 'instance_id'
     AND b.slot = rebuilt.value ->> 'slot'
WHERE b.state = 'skipped' AND b.reason_code = 'missed' AND b.version IS NULL AND b.image_id IS NULL
ORDER BY b.id";

/// Such rows of one slot go.
pub(super) const REMOVE_MISSED_BUT_MADE: &str = "
DELETE FROM bakes WHERE id IN (SELECT value FROM json_each(?1)) AND slot_count = 1";

/// Such ranges end just before it, with one slot less. The slot before is not known here: the rule may be gone that made it.
pub(super) const SHORTEN_MISSED_BUT_MADE: &str = "
UPDATE bakes SET slot_count = slot_count - 1, slot = slot - 1 WHERE id IN (SELECT value FROM json_each(?1)) AND slot_count > 1";

/// Ranges of missed slots no longer count those that get rows of their own from tags. Slots of the file are whole seconds;
/// those of manual bakes, which no range counts, are not.
macro_rules! uncount_rebuilt {
    ($rest:literal) => {
        concat!(
            "
WITH fresh AS (
    SELECT DISTINCT value ->> 'schedule_id' AS schedule_id, value ->> 'instance_id' AS instance_id,
                    value ->> 'slot' AS slot
    FROM json_each(?1)
    WHERE value ->> 'slot' % 1000 = 0
      AND NOT EXISTS (SELECT 1 FROM bakes b
                      WHERE b.schedule_id = value ->> 'schedule_id' AND b.instance_id = value ->> 'instance_id'
                        AND b.slot = value ->> 'slot')
), counted AS (
    SELECT b.id, b.slot_count, count(*) AS own
    FROM fresh CROSS JOIN bakes b
      ON b.schedule_id = fresh.schedule_id AND b.instance_id = fresh.instance_id AND b.slot > fresh.slot
         AND b.first_slot <= fresh.slot
    WHERE b.state = 'skipped'
    GROUP BY b.id
)
",
            $rest
        )
    };
}

/// Ranges of which nothing is left go.
pub(super) const REMOVE_REBUILT_RANGES: &str = uncount_rebuilt!(
    "DELETE FROM bakes WHERE id IN (SELECT counted.id FROM counted WHERE counted.own >= counted.slot_count)"
);

/// The others count fewer.
pub(super) const UNCOUNT_REBUILT: &str = uncount_rebuilt!(
    "UPDATE bakes SET slot_count = bakes.slot_count - counted.own FROM counted WHERE bakes.id = counted.id"
);

/// Unknown bakes are due now.
pub(super) const WAKE_UNKNOWN: &str = "
UPDATE bakes SET wake_at = min(wake_at, wake.value ->> 'at')
FROM json_each(?1) AS wake
WHERE bakes.id = wake.value ->> 'id' AND bakes.state = 'unknown' AND bakes.finished_at IS NULL";

/// Images made known by rows that were rebuilt from tags. No tag shows the result of a check: rows of schedules that have one
/// have its settings, and it is made again, that of the newest image first.
pub(super) const INSERT_REBUILT_IMAGES: &str = "
INSERT INTO images (image_id, line_id, schedule_id, instance_id, bake_id, version, version_id, image_name, slot,
                    available_at, verify, verify_next)
SELECT b.image_id, b.line_id, b.schedule_id, b.instance_id, b.id, coalesce(b.version, 0), b.version_id,
       coalesce(b.image_name, ''), b.slot, b.finished_at,
       CASE WHEN b.settings IS NOT NULL THEN 'due' END,
       CASE WHEN b.settings IS NOT NULL THEN -b.version END
FROM json_each(?1) AS rebuilt CROSS JOIN bakes b
  ON b.schedule_id = rebuilt.value ->> 'schedule_id' AND b.instance_id = rebuilt.value ->> 'instance_id'
     AND b.slot = rebuilt.value ->> 'slot'
WHERE b.state = 'succeeded' AND b.image_id = rebuilt.value ->> 'image_id'
ON CONFLICT (image_id) DO NOTHING";

/// Images that the history lists, and those that it deleted since ?1: the cloud may still list them.
pub(super) const LISTED_IMAGES: &str = "
SELECT image_id FROM images WHERE deletion_state <> 'deleted' OR coalesce(deleted_at, 0) > ?1";

/// Images that came back belong to the ended bake of their slot, unless it has another. Their ages count from when they were
/// made. They are checked again.
pub(super) const TAKE_BACK_IMAGES: &str = "
INSERT INTO images (image_id, line_id, schedule_id, instance_id, bake_id, version, version_id, image_name, slot,
                    available_at, verify, verify_next)
SELECT back.value ->> 'image_id', b.line_id, b.schedule_id, b.instance_id, b.id, back.value ->> 'version',
       back.value ->> 'version_id', back.value ->> 'image_name', b.slot, back.value ->> 'at',
       CASE WHEN json_array_length(s.json, '$.hooks.verify') > 0 THEN 'due' END,
       CASE WHEN json_array_length(s.json, '$.hooks.verify') > 0 THEN ?2 END
FROM json_each(?1) AS back CROSS JOIN bakes b ON b.id = back.value ->> 'bake' LEFT JOIN settings s ON s.hash = b.settings
WHERE b.finished_at IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM images other
                  WHERE other.bake_id = b.id AND other.image_id <> back.value ->> 'image_id'
                    AND other.deletion_state <> 'deleted')
ON CONFLICT (image_id) DO UPDATE
SET deletion_state = 'kept', rule = NULL, marked_at = NULL, delete_after = NULL, refused = NULL, deleted_at = NULL,
    tries = 0, available = 1, missing_since = NULL, verify = excluded.verify, verify_tries = 0,
    verify_next = excluded.verify_next
WHERE deletion_state = 'deleted'";

/// How long the cloud may list an image after its deletion.
const LISTED_AFTER_DELETION: TimeDelta = TimeDelta::hours(1);

impl Reader {
    /// Rows with an image, a version or no end, and the rows of `slots`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn recorded(&self, slots: &[DateTime<Utc>]) -> Result<Vec<Recorded>, StoreError> {
        type Columns = (i64, String, i64, String, bool, bool, Option<String>);
        let slots: Vec<i64> = slots.iter().map(DateTime::timestamp_millis).collect();
        let rows: Vec<Columns> = sqlx::query_as(RECORDED)
            .bind(serde_json::to_string(&slots).map_err(StoreError::Encode)?)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the recorded images"))?;
        Ok(rows
            .into_iter()
            .map(|(id, line, slot, state, ended, missed, image_id)| Recorded {
                bake: BakeId(id),
                line: line.into(),
                slot: DateTime::from_timestamp_millis(slot).unwrap_or_default(),
                state,
                ended,
                missed,
                image_id: image_id.map(ImageId::from),
            })
            .collect())
    }
}

impl Reader {
    /// Images that the history lists, and those that it deleted within the last hour.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn listed_images(&self, now: DateTime<Utc>) -> Result<HashSet<ImageId>, StoreError> {
        let since = now.checked_sub_signed(LISTED_AFTER_DELETION).unwrap_or(now);
        let ids: Vec<String> = sqlx::query_scalar(LISTED_IMAGES)
            .bind(since.timestamp_millis())
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the listed images"))?;
        Ok(ids.into_iter().map(ImageId::from).collect())
    }
}

impl Store {
    /// Raises the last versions of lines; higher ones stay.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn raise_versions(&self, versions: &BTreeMap<LineId, u32>) -> Result<(), StoreError> {
        let rows: Vec<_> = versions.iter().map(|(line_id, version)| Version { line_id, version: *version }).collect();
        let mut tx = self.begin().await?;
        write(&mut tx, RAISE_VERSIONS, &rows).await?;
        tx.commit().await.map_err(failed("commit the versions"))
    }

    /// Applies a comparison, with the person who requested it. All or nothing.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn rebuild(
        &self,
        found: &Comparison,
        who: &str,
        config_hash: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let versions: Vec<_> =
            found.versions.iter().map(|(line_id, version)| Version { line_id, version: *version }).collect();
        let zone = self.reader().gmt_offset().await?;
        let rows =
            found.rows.iter().map(|rebuilt| Row::of(rebuilt, config_hash, zone, now)).collect::<Result<Vec<_>, _>>()?;
        let settings = checking_settings(&found.rows)?;
        let unknown: Vec<Wake> = found.unknown.iter().map(|id| Wake { id: *id, at: now.timestamp_millis() }).collect();
        let mut tx = self.begin().await?;
        write(&mut tx, RAISE_VERSIONS, &versions).await?;
        make_way(&mut tx, &rows, who, now).await?;
        write(&mut tx, REMOVE_REBUILT_RANGES, &rows).await?;
        write(&mut tx, UNCOUNT_REBUILT, &rows).await?;
        write(&mut tx, INSERT_SETTINGS, &settings).await?;
        write(&mut tx, INSERT_REBUILT, &rows).await?;
        write(&mut tx, INSERT_REBUILT_IMAGES, &rows).await?;
        take_back(&mut tx, &found.returned, zone, (who, now)).await?;
        write(&mut tx, WAKE_UNKNOWN, &unknown).await?;
        let (raised, rebuilt, due) = (versions.len(), rows.len(), unknown.len());
        let mut detail = format!(
            "{} raised, {} rebuilt, {} made due",
            counted(raised, "line", "lines"),
            counted(rebuilt, "row", "rows"),
            counted(due, "unknown bake", "unknown bakes")
        );
        if !found.returned.is_empty() {
            detail.push_str(&format!(", {} listed again", counted(found.returned.len(), "image", "images")));
        }
        if !rows.is_empty() {
            detail.push_str(&format!("; {NOT_IN_TAGS}"));
        }
        audit(&mut tx, &reconciled(now, who, Subject::only(SubjectKind::History), detail)).await?;
        tx.commit().await.map_err(failed("commit the data of the cloud"))
    }
}

/// Lists images again whose bake ended without them, with a line of the audit each.
async fn take_back(
    tx: &mut WriteTransaction,
    returned: &[ReturnedImage],
    zone: Option<GmtOffset>,
    (who, now): (&str, DateTime<Utc>),
) -> Result<(), StoreError> {
    if returned.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = returned.iter().map(|returned| Back::of(returned, zone, now)).collect();
    let json = serde_json::to_string(&rows).map_err(StoreError::Encode)?;
    sqlx::query(TAKE_BACK_IMAGES)
        .bind(json)
        .bind(now.timestamp_millis())
        .execute(&mut **tx)
        .await
        .map_err(failed("list images again"))?;
    for ReturnedImage { bake, version, image, .. } in returned {
        let detail = format!("image {} came after the end of bake {bake}: version {version}", image.image_id);
        let subject = Subject::new(SubjectKind::Image, image.image_id.as_str());
        audit(tx, &reconciled(now, who, subject, detail)).await?;
    }
    Ok(())
}

fn reconciled(at: DateTime<Utc>, who: &str, subject: Subject, detail: String) -> AuditLine<'_> {
    AuditLine { at, who, action: Action::Reconcile, subject, detail }
}

/// Removes the slots of `rows` from rows of missed slots, with a line of the audit each.
async fn make_way(
    tx: &mut WriteTransaction,
    rows: &[Row<'_>],
    who: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let found: Vec<(i64, String, String, String)> = sqlx::query_as(MISSED_BUT_MADE)
        .bind(serde_json::to_string(rows).map_err(StoreError::Encode)?)
        .fetch_all(&mut **tx)
        .await
        .map_err(failed("find missed slots that have an image"))?;
    for (id, schedule, instance, image) in &found {
        let detail = format!("bake {id} of {schedule} on {instance}: image {image} was made for its slot");
        let subject = Subject::new(SubjectKind::Bake, id.to_string());
        audit(tx, &reconciled(now, who, subject, detail)).await?;
    }
    let ids: Vec<i64> = found.into_iter().map(|(id, ..)| id).collect();
    write(tx, REMOVE_MISSED_BUT_MADE, &ids).await?;
    write(tx, SHORTEN_MISSED_BUT_MADE, &ids).await
}

#[derive(Serialize)]
struct Version<'a> {
    line_id: &'a LineId,
    version: u32,
}

#[derive(Serialize)]
struct Back<'a> {
    bake: BakeId,
    version: u32,
    image_id: &'a ImageId,
    version_id: Option<&'a str>,
    image_name: &'a str,
    at: i64,
}

impl<'a> Back<'a> {
    fn of(returned: &'a ReturnedImage, zone: Option<GmtOffset>, now: DateTime<Utc>) -> Self {
        let ReturnedImage { bake, version, slot, image } = returned;
        // The cloud's times have no fraction; an image is not as old as its slot, which would count as lost after it.
        let at = gmt_offset::made_at(image.made_at, zone, *slot, now).timestamp_millis();
        let at = at.max(slot.timestamp_millis() + 1);
        let (image_id, version_id) = (&image.image_id, image.version_id.as_deref());
        Self { bake: *bake, version: *version, image_id, version_id, image_name: &image.name, at }
    }
}

#[derive(Serialize)]
struct Wake {
    id: BakeId,
    at: i64,
}

#[derive(Serialize)]
struct Row<'a> {
    schedule_id: &'a str,
    schedule: &'a str,
    instance_id: &'a str,
    line_id: &'a LineId,
    slot: i64,
    trigger: &'static str,
    config_hash: &'a str,
    state: &'static str,
    progress: String,
    reason: &'static str,
    reason_code: Option<&'static str>,
    cause: Option<&'static str>,
    version: u32,
    image_name: &'a str,
    image_id: &'a ImageId,
    version_id: Option<&'a str>,
    at: i64,
    settings: Option<String>,
}

impl<'a> Row<'a> {
    /// Ages count from when the image was made, and not from now.
    fn of(
        rebuilt: &'a Rebuilt,
        config_hash: &'a str,
        zone: Option<GmtOffset>,
        now: DateTime<Utc>,
    ) -> Result<Self, StoreError> {
        let settings = rebuilt.checked_by.as_deref().map(settings_row).transpose()?.map(|(hash, _)| hash);
        let (image, tagged) = (&rebuilt.image, &rebuilt.tagged);
        let made_at = gmt_offset::made_at(image.made_at, zone, tagged.slot, now);
        let work = BakeWork { version: tagged.version, image_name: image.name.clone(), ..BakeWork::default() };
        let made = MadeImage { image_id: image.image_id.clone(), version_id: image.version_id.clone(), task_id: None };
        let reason = REBUILT.to_owned();
        let end = if image.status == ImageStatus::Available {
            End::Succeeded { image: made, reason }
        } else {
            let code = ReasonCode::CreatedFailed;
            End::Failed { image: Some(made), permanent: false, code, cause: code.cause(), reason }
        };
        let state = State::Ended { work: Some(work), end };
        Ok(Self {
            schedule_id: rebuilt.schedule_id.as_str(),
            schedule: rebuilt.schedule.as_str(),
            instance_id: rebuilt.instance_id.as_str(),
            line_id: &tagged.line,
            slot: tagged.slot.timestamp_millis(),
            trigger: Trigger::Slot.as_str(),
            config_hash,
            state: state.as_str(),
            progress: serde_json::to_string(&state).map_err(StoreError::Encode)?,
            reason: REBUILT,
            reason_code: state.reason_code().map(ReasonCode::as_str),
            cause: state.cause().map(Cause::as_str),
            version: tagged.version,
            image_name: &image.name,
            image_id: &image.image_id,
            version_id: image.version_id.as_deref(),
            at: made_at.timestamp_millis(),
            settings,
        })
    }
}

/// Settings that rows rebuilt from tags refer to.
#[derive(Serialize)]
struct CheckingSettings {
    hash: String,
    json: String,
}

fn checking_settings(rows: &[Rebuilt]) -> Result<Vec<CheckingSettings>, StoreError> {
    let mut settings: Vec<_> = rows.iter().filter_map(|rebuilt| rebuilt.checked_by.clone()).collect();
    settings.sort_by_key(Arc::as_ptr);
    settings.dedup_by(|one, other| Arc::ptr_eq(one, other));
    let row = |settings: &Arc<BakeSettings>| settings_row(settings).map(|(hash, json)| CheckingSettings { hash, json });
    settings.iter().map(row).collect()
}

async fn write<T: Serialize>(tx: &mut sqlx::SqliteConnection, sql: &'static str, rows: &[T]) -> Result<(), StoreError> {
    let json = serde_json::to_string(rows).map_err(StoreError::Encode)?;
    sqlx::query(sql).bind(json).execute(tx).await.map_err(failed("store the data of the cloud"))?;
    Ok(())
}
