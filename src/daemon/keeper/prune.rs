//! Retention at work: look, judge, and do what follows, for all lines at once.
//!
//! A dry run does the same but for the last step, so that what it prints is what would be done.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{channels, look};
use crate::{
    bake::call::{Class, Refusal},
    cloud::actions::{DeleteImage, ImageStatus, ListImage},
    config::Config,
    control::Reply,
    daemon::Shared,
    error::chain,
    ids::LineId,
    line::{
        Fate, LineImage, Policy,
        judge::{Action, Doubt, Verdict, Why, action, judge},
        report::{Judged, Report},
    },
    store::{DeleteOutcome, ImageRow, NewestResult, Reader, StoreError},
};

/// Whether anything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Look and judge.
    DryRun {
        /// Also judge images anew that the cloud would not delete.
        again: bool,
    },
    /// And do what follows.
    Apply {
        /// Also ask again for the deletion of images that the cloud would not delete.
        again: bool,
    },
}

impl Mode {
    fn again(self) -> bool {
        match self {
            Self::DryRun { again } | Self::Apply { again } => again,
        }
    }
}

/// Delete calls for one image whose failure may pass, before it counts as refused.
const MOST_TRIES: u32 = 8;
/// An image that was never listed for so long has gone by other hands.
const GONE_AFTER: TimeDelta = TimeDelta::hours(24);

/// A pass that a person asks for.
pub async fn asked(shared: &Shared, dry_run: bool, again: bool, who: &str) -> Reply {
    let mode = if dry_run { Mode::DryRun { again } } else { Mode::Apply { again } };
    let _one_at_a_time = shared.keeping.lock().await;
    let passed = pass(shared, &shared.config(), mode, who).await;
    shared.stir();
    match passed {
        Ok(report) => Reply::Pruned { report },
        Err(error) => Reply::Failed { message: chain(&error) },
    }
}

/// One pass over all lines that have rules, an age limit or marked images. `None` where there is nothing to look at.
pub async fn pass(shared: &Shared, config: &Config, mode: Mode, who: &str) -> Result<Option<Report>, StoreError> {
    let reader = shared.store.reader();
    let watched = Watched::of(reader, config).await?;
    let images = reader.present_images(Some(&watched.lines)).await?;
    if images.is_empty() {
        return Ok(None);
    }
    // A marked image of a line without rules is unmarked, whoever uses it.
    let may_delete = watched.policies.values().any(|policy| policy.keep.is_some());
    look::look(shared, config, &images, may_delete).await?;
    // A channel that is about to move must not hold the image that it leaves.
    channels::settle(shared, config).await?;
    let clocks = shared.confirm_clocks().await;
    let now = clocks.as_ref().copied().unwrap_or_else(|_| shared.cloud.clocks().cloud_now());
    let mut judgement = watched.judge(reader, mode.again(), now).await?;
    if let Mode::Apply { .. } = mode {
        for (row, judged) in &judgement.images {
            // Asked before each: a clock can be set while a pass is under way.
            if let Err(blocker) = shared.clocks_agree() {
                tracing::warn!(reason = %blocker, "no image is marked or deleted: {blocker}");
                judgement.problem.get_or_insert_with(|| blocker.to_string());
                break;
            }
            act(shared, config, row, watched.policies.get(&row.image.line), judged, who).await?;
        }
    } else if let Err(blocker) = clocks {
        judgement.problem.get_or_insert_with(|| blocker.to_string());
    }
    Ok(Some(judgement.report()))
}

/// Judges by what the ledger knows, without a look: `plan` announces by this what a pass does.
pub async fn judgement(
    reader: &Reader,
    config: &Config,
    again: bool,
    now: DateTime<Utc>,
) -> Result<Report, StoreError> {
    Ok(Watched::of(reader, config).await?.judge(reader, again, now).await?.report())
}

/// Lines that are worth a look.
struct Watched {
    policies: BTreeMap<LineId, Policy>,
    lines: Vec<LineId>,
}

impl Watched {
    /// Those that the file has anything to say of, and those with marked images, which it may have lost.
    async fn of(reader: &Reader, config: &Config) -> Result<Self, StoreError> {
        let policies = super::policies_with_rules(config);
        let mut lines: Vec<LineId> = policies.keys().cloned().collect();
        lines.extend(reader.lines_with_marks().await?);
        lines.sort_unstable();
        lines.dedup();
        Ok(Self { policies, lines })
    }

    /// Judges their images as of the last look.
    async fn judge(&self, reader: &Reader, again: bool, now: DateTime<Utc>) -> Result<Judgement, StoreError> {
        let results = reader.newest_results(&self.lines).await?;
        let problem = reader.last_look().await?.and_then(|look| look.problem);
        let mut images = Vec::new();
        for (line, rows) in by_line(reader.present_images(Some(&self.lines)).await?) {
            let (policy, newest) = (self.policies.get(&line), results.get(&line));
            let judged = judge_line(&rows, policy, newest, problem.as_deref(), again, now);
            images.extend(rows.into_iter().zip(judged));
        }
        Ok(Judgement { problem, images })
    }
}

/// Images with what was found of them.
struct Judgement {
    /// Why the last look was not whole.
    problem: Option<String>,
    images: Vec<(ImageRow, Judged)>,
}

impl Judgement {
    /// For others.
    fn report(self) -> Report {
        Report { problem: self.problem, images: self.images.into_iter().map(|(_, judged)| judged).collect() }
    }
}

/// The images of each line.
pub(super) fn by_line(images: Vec<ImageRow>) -> BTreeMap<LineId, Vec<ImageRow>> {
    let mut lines: BTreeMap<LineId, Vec<ImageRow>> = BTreeMap::new();
    for row in images {
        lines.entry(row.image.line.clone()).or_default().push(row);
    }
    lines
}

/// Judges one line, and says what follows for each image.
pub(super) fn judge_line(
    rows: &[ImageRow],
    policy: Option<&Policy>,
    newest: Option<&NewestResult>,
    problem: Option<&str>,
    again: bool,
    now: DateTime<Utc>,
) -> Vec<Judged> {
    let mut doubts = Vec::new();
    if let Some(newest) = newest.filter(|newest| !newest.succeeded) {
        doubts.push(Doubt::NewestFailed { bake: newest.bake });
    }
    if let Some(problem) = problem {
        doubts.push(Doubt::NotSeen { why: problem.to_owned() });
    }
    let images: Vec<LineImage> = rows
        .iter()
        .map(|row| {
            let mut image = row.image.clone();
            if again && matches!(image.fate, Fate::Refused { .. }) {
                image.fate = Fate::Kept;
            }
            image
        })
        .collect();
    let grace = policy.and_then(|policy| policy.keep.as_ref()).map_or(Duration::ZERO, |keep| keep.grace);
    let grace = TimeDelta::from_std(grace).unwrap_or(TimeDelta::MAX);
    let verdicts = judge(&images, policy, &doubts, now);
    let schedule = policy.map(|policy| policy.schedule.to_string());
    images
        .iter()
        .zip(verdicts)
        .map(|(image, verdict)| Judged {
            image_id: image.image_id.clone(),
            image_name: image.name.clone(),
            line: image.line.clone(),
            schedule: schedule.clone(),
            version: image.version,
            slot: image.slot,
            action: action(image, &verdict, grace, now),
            verdict,
        })
        .collect()
}

/// Does what follows for one image.
async fn act(
    shared: &Shared,
    config: &Config,
    row: &ImageRow,
    policy: Option<&Policy>,
    judged: &Judged,
    who: &str,
) -> Result<(), StoreError> {
    let (image, store, now) = (&row.image, &shared.store, shared.clock.now());
    let (line, id) = (image.line.as_str(), image.image_id.as_str());
    match (&judged.action, &judged.verdict) {
        (Action::Keep, Verdict::Stays { why }) if why.contains(&Why::Missing) => {
            let since = image.seen.missing_since.unwrap_or(now);
            if now - since >= GONE_AFTER && store.image_vanished(image, now).await? {
                tracing::warn!(image = id, line, "image {id} of {line} is gone from the cloud, not by our doing");
            }
        }
        (Action::Keep | Action::Wait { .. }, _) => {}
        (Action::Mark { delete_after }, Verdict::Goes { rule }) => {
            if store.mark_image(image, rule, *delete_after, who, now).await? {
                let at = delete_after.format("%F %RZ");
                tracing::info!(
                    image = id,
                    line,
                    rule,
                    "image {id} of {line} is marked; it is deleted after {at}: {rule}"
                );
            }
        }
        (Action::Unmark, Verdict::Stays { why }) => {
            let why = why.first().map(ToString::to_string).unwrap_or_default();
            if store.unmark_image(image, &why, who, now).await? {
                tracing::info!(image = id, line, "image {id} of {line} is not marked any more: {why}");
            }
        }
        (Action::Confirm, _) => {
            store.end_deletion(image, &DeleteOutcome::Deleted, "it is gone", who, now).await?;
            tracing::info!(image = id, line, "image {id} of {line} is deleted");
        }
        (Action::Delete, Verdict::Goes { rule }) => delete(shared, config, image, policy, rule, who).await?,
        // A verdict and an action of it always go together.
        (Action::Mark { .. } | Action::Delete, Verdict::Stays { .. }) | (Action::Unmark, Verdict::Goes { .. }) => {}
    }
    Ok(())
}

/// Deletes one image: intent, one more look at it, the call, the outcome.
async fn delete(
    shared: &Shared,
    config: &Config,
    image: &LineImage,
    policy: Option<&Policy>,
    rule: &str,
    who: &str,
) -> Result<(), StoreError> {
    let (store, cloud) = (&shared.store, &shared.cloud);
    let (line, id) = (image.line.as_str(), image.image_id.as_str());
    let tries = match &image.fate {
        Fate::Deleting { tries, .. } => *tries,
        _ => 0,
    };
    let now = shared.clock.now();
    let next = now + pause(tries);
    // Due at once until its outcome is known: whoever finds it after a crash looks first.
    if !store.begin_deletion(image, rule, now, who, now).await? {
        return Ok(());
    }
    crate::failpoint::hit("send", "delete_image");
    let request = ListImage { image_id: Some(image.image_id.clone()), ..ListImage::default() };
    let there = match cloud.list_images(&request).await {
        Ok(answer) => {
            answer.value.images.into_iter().filter(|seen| seen.image_id == image.image_id).collect::<Vec<_>>()
        }
        Err(refusal) => {
            let later = DeleteOutcome::Later { at: next };
            store.end_deletion(image, &later, &refusal.to_string(), who, shared.clock.now()).await?;
            return Ok(());
        }
    };
    let owner = config.daemon.owner.as_str();
    let sound = there.iter().all(|seen| look::is_ours(seen, owner) && seen.status == ImageStatus::Available);
    let (outcome, told) = if there.is_empty() {
        (DeleteOutcome::Deleted, "it was gone already".to_owned())
    } else if !sound {
        (DeleteOutcome::Kept, "it changed since it was judged: not ours by its tags, or not AVAILABLE".to_owned())
    } else {
        match cloud.delete_image(&DeleteImage { image_id: image.image_id.clone() }).await {
            Ok(answer) if answer.value != Some(false) => {
                (DeleteOutcome::Deleted, format!("request {}", answer.request_id.unwrap_or_default()))
            }
            Ok(answer) => {
                let why = answer.message.unwrap_or_else(|| "the cloud says that it did not delete it".to_owned());
                (DeleteOutcome::Refused { why: why.clone() }, why)
            }
            Err(refusal) => (judge_refusal(&refusal, tries + 1, next), refusal.told()),
        }
    };
    crate::failpoint::hit("answer", "delete_image");
    store.end_deletion(image, &outcome, &told, who, shared.clock.now()).await?;
    let schedule = policy.map_or("-", |policy| policy.schedule.as_str());
    match &outcome {
        DeleteOutcome::Deleted => {
            tracing::info!(
                image = id,
                line,
                schedule,
                rule,
                "image {id} of {line} is deleted: {told}; asked for by {rule}"
            );
        }
        DeleteOutcome::Refused { .. } => {
            tracing::warn!(
                image = id,
                line,
                schedule,
                "the cloud does not delete image {id} of {line}; it stays: {told}"
            );
        }
        DeleteOutcome::Later { .. } => {
            tracing::warn!(image = id, line, schedule, "image {id} of {line} could not be deleted yet: {told}");
        }
        DeleteOutcome::Kept => tracing::warn!(image = id, line, schedule, "image {id} of {line} stays: {told}"),
    }
    Ok(())
}

/// What a refused delete call means for the image.
fn judge_refusal(refusal: &Refusal, tries: u32, next: DateTime<Utc>) -> DeleteOutcome {
    match (refusal.code.as_deref(), refusal.class) {
        (Some("Image.NotExist"), _) => DeleteOutcome::Deleted,
        // Credentials and limits are no matter of this image.
        (_, Class::Credential | Class::Busy) => DeleteOutcome::Later { at: next },
        (_, Class::Transient | Class::Unclear) if tries < MOST_TRIES => DeleteOutcome::Later { at: next },
        _ => DeleteOutcome::Refused { why: refusal.told() },
    }
}

/// Doubles from a minute to a day.
fn pause(tries: u32) -> TimeDelta {
    TimeDelta::minutes(1i64 << tries.min(10)).min(TimeDelta::days(1))
}
