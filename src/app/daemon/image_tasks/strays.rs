//! Images with the owner's tags that are no good images: CREATE_FAILED ones, which are deleted after a while, and those
//! without a row, which are a problem and are never deleted.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{deletions, inventory_scan, policies};
use crate::{
    adapters::{
        cloud::actions::{Image, ImageStatus},
        config::Config,
        store::{Doomed, FailedImageRow, FailedSighting, Reader, StoreError, UnrecordedImage, UnrecordedSighting},
    },
    app::daemon::context::DaemonContext,
    domain::{
        api::identity::{TAG_LINE, TAG_SLOT, TAG_VERSION},
        health::{Problem, ProblemCode, Severity, Subject, SubjectKind},
        ids::{InstanceId, LineId, ScheduleId},
        image::{
            Policy,
            failed::{FailedAction, FailedImage, deleted_from, judge},
            held::Held,
            passes::NextPass,
            report::JudgedFailed,
        },
        schedule::Keep,
        time::{rfc3339_seconds, show_length},
    },
};

/// Maximum number of listed images.
const MOST_NAMED: u32 = 20;

/// Records the images of a complete list that are no good ones.
pub(super) async fn record(shared: &DaemonContext, config: &Config, listed: &[Image]) -> Result<(), StoreError> {
    let owner = config.daemon.owner.as_str();
    let mut lines: BTreeMap<LineId, (ScheduleId, InstanceId)> = BTreeMap::new();
    for schedule in &config.schedules {
        for instance in schedule.instances.as_slice() {
            lines.insert(schedule.line(instance), (schedule.id.clone(), instance.clone()));
        }
    }
    let (mut failures, mut others) = (Vec::new(), Vec::new());
    for image in listed.iter().filter(|image| inventory_scan::is_ours(image, owner)) {
        let tag = |key: &str| image.tags.get(key).map(String::as_str);
        let Some((line_id, (schedule_id, instance_id))) =
            tag(TAG_LINE).and_then(|line| lines.get_key_value(&LineId::from(line)))
        else {
            continue;
        };
        let slot = tag(TAG_SLOT).and_then(|slot| slot.parse::<DateTime<Utc>>().ok()).map(|at| at.timestamp_millis());
        let image_name = image.image_name.clone().unwrap_or_default();
        let (image_id, line_id) = (image.image_id.clone(), line_id.clone());
        let (schedule_id, instance_id) = (schedule_id.clone(), instance_id.clone());
        match (&image.status, slot) {
            (ImageStatus::Deleted, _) => {}
            (ImageStatus::CreateFailed, slot) => {
                let version = tag(TAG_VERSION).and_then(|version| version.parse().ok());
                failures.push(FailedSighting {
                    image_id,
                    line_id,
                    schedule_id,
                    instance_id,
                    version,
                    image_name,
                    slot,
                });
            }
            // Without a slot it is unknown whether it was made after this history began.
            (status, None) if *status != ImageStatus::Available => {}
            (status, slot) => others.push(UnrecordedSighting {
                image_id,
                line_id,
                schedule_id,
                instance_id,
                image_name,
                status: status.to_string(),
                slot: slot.unwrap_or_default(),
            }),
        }
    }
    shared.store.record_strays(&failures, &others, shared.clock.now()).await
}

/// Judges the known CREATE_FAILED images. `whole`: the last list was complete. `again`: retries what the cloud rejected.
pub(super) async fn judge_failed(
    reader: &Reader,
    policies: &BTreeMap<LineId, Policy>,
    (whole, again): (bool, bool),
    (now, next_pass): (DateTime<Utc>, NextPass),
) -> Result<Vec<(FailedImage, JudgedFailed)>, StoreError> {
    let images = reader.failed_images().await?.into_iter().map(image_of);
    Ok(images
        .map(|image| {
            let action = judge(&image, policies.get(&image.line), whole, again, now);
            let judged = JudgedFailed {
                image_id: image.image_id.clone(),
                image_name: image.name.clone(),
                line: image.line.clone(),
                version: image.version,
                slot: image.slot,
                bake: image.bake,
                not_before: next_pass.not_before(now).and_then(|at| deleted_from(&action, at)),
                held: (next_pass == NextPass::Never && !matches!(action, FailedAction::Keep { .. }))
                    .then_some(Held::Observe),
                action,
            };
            (image, judged)
        })
        .collect())
}

/// Converts a row to the domain's type.
pub fn image_of(row: FailedImageRow) -> FailedImage {
    let instant = |at: i64| DateTime::from_timestamp_millis(at).unwrap_or_default();
    FailedImage {
        bake: row.bake(),
        line: LineId::from(row.line_id),
        schedule_id: ScheduleId::from(row.schedule_id),
        name: row.image_name,
        version: row.version.and_then(|version| u32::try_from(version).ok()),
        slot: row.slot.map(instant),
        seen: row.first_seen.map(instant).zip(row.last_seen.map(instant)),
        is_deleting: row.deletion == "deleting",
        is_refused: row.deletion == "refused",
        tries: u32::try_from(row.tries).unwrap_or(u32::MAX),
        next: row.delete_after.map(instant),
        last_error: row.refused,
        image_id: row.image_id.into(),
    }
}

/// Actions for CREATE_FAILED images by the configuration, without a scan.
pub async fn failed_images(
    reader: &Reader,
    config: &Config,
    (now, next_pass): (DateTime<Utc>, NextPass),
) -> Result<Vec<(FailedImage, JudgedFailed)>, StoreError> {
    judge_failed(reader, &policies::all(config), (true, false), (now, next_pass)).await
}

/// Deletes an image after its grace.
pub(super) async fn delete(
    shared: &DaemonContext,
    config: &Config,
    image: &FailedImage,
    keep: Option<&Keep>,
    who: &str,
) -> Result<FailedAction, StoreError> {
    let doomed = Doomed {
        image_id: image.image_id.clone(),
        line: image.line.clone(),
        name: image.name.clone(),
        of_failed: true,
    };
    let age = keep.and_then(|keep| keep.failed).map(show_length);
    let rule = format!("keep.failed = \"{}\"", age.unwrap_or_default());
    Ok(match deletions::delete(shared, config, &doomed, image.tries, &rule, who).await? {
        deletions::Progress::Deleted => FailedAction::Delete,
        deletions::Progress::Waits { why, .. } => FailedAction::Keep { reason: why },
        deletions::Progress::Sent => FailedAction::Search,
    })
}

/// Images without a row, each a problem.
pub(crate) async fn list_problems(reader: &Reader) -> Result<Vec<Problem>, StoreError> {
    Ok(reader.unrecorded_images(MOST_NAMED).await?.into_iter().map(problem).collect())
}

fn problem(image: UnrecordedImage) -> Problem {
    let UnrecordedImage { image_id, line, image_name, status, slot, found_at, bake } = image;
    let slot = slot.map_or_else(|| "no readable slot".to_owned(), |slot| format!("the slot {}", rfc3339_seconds(slot)));
    let cause = match bake {
        Some((bake, state)) => format!(
            "is in no list, for bake {bake} of this slot ended {state}: it came back after that, or a second daemon with the \
             same owner made it; it fills the quota and is not deleted"
        ),
        None => "is in no row of this history: a second daemon with the same owner made it, or the history is an older one; \
                 it is never deleted"
            .to_owned(),
    };
    let message = format!("image {image_id} ({image_name}, {status}) has the tags of {line} for {slot} and {cause}");
    let subject = Subject::new(SubjectKind::Image, image_id.as_str());
    let command = Some("imagebaked reconcile".to_owned());
    Problem::new(ProblemCode::ImageNotInHistory, Severity::Problem, subject, found_at, message, command).of_line(&line)
}
