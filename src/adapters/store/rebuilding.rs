//! Reconstruction of the history from the tags of images. It only adds rows and raises versions.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Reader, Store, StoreError, audit::audit, failed, statements, writer::WriteTransaction};
use crate::domain::{
    api::{call::MadeImage, cause::Cause, identity::ImageStatus},
    bake::{
        State, Trigger,
        reason::ReasonCode,
        state::{BakeWork, End},
    },
    event::{Action, AuditLine},
    health::{Subject, SubjectKind},
    ids::{BakeId, ImageId, LineId},
    image::reconcile::{Comparison, Rebuilt, Recorded},
};

/// Reason of rows made from tags.
const REASON: &str = "rebuilt from the image's tags";

impl Reader {
    /// Rows with an image, a version or no end, and the rows of `slots`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn recorded(&self, slots: &[DateTime<Utc>]) -> Result<Vec<Recorded>, StoreError> {
        type Columns = (i64, String, i64, String, bool, bool, Option<String>);
        let slots: Vec<i64> = slots.iter().map(DateTime::timestamp_millis).collect();
        let rows: Vec<Columns> = sqlx::query_as(statements::RECORDED)
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

impl Store {
    /// Raises the last versions of lines; higher ones stay.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn raise_versions(&self, versions: &BTreeMap<LineId, u32>) -> Result<(), StoreError> {
        let rows: Vec<_> = versions.iter().map(|(line_id, version)| Version { line_id, version: *version }).collect();
        let mut tx = self.begin().await?;
        write(&mut tx, statements::RAISE_VERSIONS, &rows).await?;
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
        let rows = found
            .rows
            .iter()
            .map(|rebuilt| Row::of(rebuilt, config_hash, now))
            .collect::<Result<Vec<_>, _>>()
            .map_err(StoreError::Encode)?;
        let unknown: Vec<Wake> = found.unknown.iter().map(|id| Wake { id: *id, at: now.timestamp_millis() }).collect();
        let mut tx = self.begin().await?;
        write(&mut tx, statements::RAISE_VERSIONS, &versions).await?;
        make_way(&mut tx, &rows, who, now).await?;
        write(&mut tx, statements::REMOVE_REBUILT_RANGES, &rows).await?;
        write(&mut tx, statements::UNCOUNT_REBUILT, &rows).await?;
        write(&mut tx, statements::INSERT_REBUILT, &rows).await?;
        write(&mut tx, statements::INSERT_REBUILT_IMAGES, &rows).await?;
        write(&mut tx, statements::WAKE_UNKNOWN, &unknown).await?;
        let detail = format!(
            "{} lines raised, {} rows rebuilt, {} unknown bakes made due",
            versions.len(),
            rows.len(),
            unknown.len()
        );
        audit(&mut tx, &reconciled(now, who, Subject::only(SubjectKind::History), detail)).await?;
        tx.commit().await.map_err(failed("commit the data of the cloud"))
    }
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
    let found: Vec<(i64, String, String, String)> = sqlx::query_as(statements::MISSED_BUT_MADE)
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
    write(tx, statements::REMOVE_MISSED_BUT_MADE, &ids).await?;
    write(tx, statements::SHORTEN_MISSED_BUT_MADE, &ids).await
}

#[derive(Serialize)]
struct Version<'a> {
    line_id: &'a LineId,
    version: u32,
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
}

impl<'a> Row<'a> {
    fn of(rebuilt: &'a Rebuilt, config_hash: &'a str, now: DateTime<Utc>) -> Result<Self, serde_json::Error> {
        let (image, tagged) = (&rebuilt.image, &rebuilt.tagged);
        let work = BakeWork { version: tagged.version, image_name: image.name.clone(), ..BakeWork::default() };
        let made = MadeImage { image_id: image.image_id.clone(), version_id: image.version_id.clone(), task_id: None };
        let reason = REASON.to_owned();
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
            progress: serde_json::to_string(&state)?,
            reason: REASON,
            reason_code: state.reason_code().map(ReasonCode::as_str),
            cause: state.cause().map(Cause::as_str),
            version: tagged.version,
            image_name: &image.name,
            image_id: &image.image_id,
            version_id: image.version_id.as_deref(),
            at: now.timestamp_millis(),
        })
    }
}

async fn write<T: Serialize>(tx: &mut sqlx::SqliteConnection, sql: &'static str, rows: &[T]) -> Result<(), StoreError> {
    let json = serde_json::to_string(rows).map_err(StoreError::Encode)?;
    sqlx::query(sql).bind(json).execute(tx).await.map_err(failed("store the data of the cloud"))?;
    Ok(())
}
