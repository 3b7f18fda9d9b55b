//! Retention pass: scan, judge, and carry out the actions, for all lines.
//!
//! A dry run omits only the last step, so that its output matches a real pass.

use chrono::TimeDelta;

use super::{
    channels,
    deletions::{self, Progress},
    inventory_scan,
    judging::{Judge, Judgement, Mode, lines_to_judge},
    strays,
};
use crate::{
    adapters::{
        config::Config,
        control::Reply,
        store::{Doomed, ImageRow, Reader, StandingBrake, StoreError},
    },
    app::daemon::{context::DaemonContext, engine::EngineRequest},
    domain::{
        error::chain,
        event,
        health::{Problem, ProblemCode, Severity, Subject, SubjectKind},
        ids::{ImageId, LineId},
        image::{
            DeletionState, LineImage,
            brake::MarkKind,
            failed::FailedAction,
            judge::{Action, RetentionDecision, Why},
            passes::NextPass,
            report::{Judged, RetentionReport},
        },
    },
};

/// Calls of a pass on request that do not wait for the rate limit.
const AT_ONCE: u32 = 20;
/// Time after which an image that was never listed counts as deleted externally.
const GONE_AFTER: TimeDelta = TimeDelta::hours(24);

/// Runs a pass on request.
pub async fn asked(shared: &DaemonContext, mode: Mode, who: &str) -> Reply {
    let _one_at_a_time = shared.image_lock.lock().await;
    // Somebody waits for the report: a scan makes a few calls, each of another action.
    shared.cloud.allow_at_once(AT_ONCE);
    let passed = pass(shared, &shared.config(), mode, who).await;
    shared.activate();
    match passed {
        Ok(report) => Reply::Pruned { report },
        Err(error) => Reply::Failed { message: chain(&error) },
    }
}

/// One pass over all lines that have rules, an age limit or marked images, after a list of all own images. `None` if
/// there is nothing to judge.
pub async fn pass(
    shared: &DaemonContext,
    config: &Config,
    mode: Mode,
    who: &str,
) -> Result<Option<RetentionReport>, StoreError> {
    let mode = Mode { dry_run: mode.dry_run || shared.cloud.mode().is_observe(), ..mode };
    // First, whatever the lists show: searches for images whose delete call was sent.
    if !mode.dry_run {
        deletions::search(shared, config, who).await?;
    }
    let reader = shared.store.reader();
    let lines = lines_to_judge(reader, config).await?;
    // What became of the images of the other lines is for those who read of them.
    let mut seen = lines.clone();
    seen.extend(config.schedules.iter().flat_map(|schedule| schedule.lines()));
    seen.sort_unstable();
    seen.dedup();
    let images = reader.present_images(Some(&seen)).await?;
    if images.is_empty() && config.schedules.is_empty() {
        return Ok(None);
    }
    // A marked image of a line without rules is unmarked, whoever uses it.
    let is_judged = |row: &ImageRow| lines.binary_search(&row.image.line).is_ok();
    let may_delete = images.iter().any(is_judged) && config.schedules.iter().any(|schedule| schedule.keep.is_some());
    let is_uncompared = shared.awaits_comparison().await;
    if let Some(listed) = inventory_scan::scan(shared, config, &images, may_delete).await?
        && !is_uncompared
    {
        strays::record(shared, config, &listed).await?;
    }
    // A channel that is about to move must not keep the image that it leaves.
    if !images.is_empty() {
        channels::settle(shared, config).await?;
    }
    let clocks = shared.confirm_clocks().await;
    let now = clocks.as_ref().copied().unwrap_or_else(|_| shared.cloud.clocks().cloud_now());
    // The daemon's own passes neither retry what was rejected nor pass over a failed bake.
    let is_own = !mode.again && !mode.despite_failed_bake;
    let is_preview = mode.dry_run && is_own || shared.cloud.mode().is_observe();
    let next_pass = if is_preview { shared.next_pass().await? } else { NextPass::At(now) };
    let images = reader.present_images(Some(&lines)).await?;
    let judge = Judge::read(reader, config, now).await?;
    let mut judgement = judge.all(reader, mode, next_pass, images).await?;
    // A history that may be older than the cloud does not know the newest images.
    match clocks {
        Err(blocker) => {
            if !mode.dry_run {
                tracing::warn!(reason = %blocker, "no image is marked or deleted: {blocker}");
            }
            judgement.problem.get_or_insert_with(|| blocker.to_string());
        }
        Ok(_) if is_uncompared => {
            judgement.problem.get_or_insert_with(|| "the history has to be compared with the cloud first".to_owned());
        }
        Ok(_) if shared.cloud.mode().is_observe() => judgement.log_what_would_go(),
        Ok(_) if mode.dry_run => {}
        Ok(_) => judgement.apply(shared, config, &judge, mode, who).await?,
    }
    if !mode.dry_run && judgement.has_deleted() {
        // If it is lost, a bake tries after `retry.cap`.
        let _ = shared.orders.try_send(EngineRequest::ImagesDeleted);
    }
    let mut report = judgement.report();
    report.next_pass = is_preview.then_some(next_pass);
    Ok((!report.images.is_empty() || !report.failed.is_empty() || report.problem.is_some()).then_some(report))
}

impl Judgement {
    /// In observe mode the log has what would be deleted.
    fn log_what_would_go(&self) {
        for (_, judged) in self.images.iter().filter(|(_, judged)| judged.verdict.goes()) {
            let (image, line) = (judged.image_id.as_str(), judged.line.as_str());
            tracing::info!(image, line, "image {image} of {line} would be deleted; the daemon only observes");
        }
    }

    /// Whether any image that was to be deleted is deleted.
    fn has_deleted(&self) -> bool {
        self.images.iter().any(|(_, judged)| judged.action == Action::Delete)
            || self.failed.iter().any(|(_, judged)| judged.action == FailedAction::Delete)
    }

    /// Carries out the actions, and updates the report with different results.
    async fn apply(
        &mut self,
        shared: &DaemonContext,
        config: &Config,
        judge: &Judge,
        mode: Mode,
        who: &str,
    ) -> Result<(), StoreError> {
        let (store, now) = (&shared.store, shared.clock.now());
        if self.problem.is_none() {
            // Confirmed deletions exceed no limit any more.
            let standing = if mode.confirm { &[][..] } else { &self.brakes };
            let unjudged: Vec<&LineId> = self.blocked.iter().collect();
            let before = store.reader().brakes().await?;
            if !(before.is_empty() && standing.is_empty()) {
                store.set_brakes(standing, &unjudged, now).await?;
            }
            for brake in standing.iter().filter(|brake| before.iter().all(|old| old.brake.line() != brake.line())) {
                tracing::error!("{brake}; `imagebaked prune --confirm` goes on");
            }
        }
        if !self.overridden.is_empty() {
            let lines: Vec<String> =
                self.overridden.iter().map(|(line, bake)| format!("bake {} of {line}", bake.0)).collect();
            let subject = Subject::only(SubjectKind::Configuration);
            let (action, detail) = (event::Action::PruneDespiteFailedBake, lines.join(", "));
            store.note(&event::AuditLine { at: now, who, action, subject, detail }).await?;
        }
        // Marks first, so that a line is marked completely before any of its images is deleted.
        for (row, judged) in &self.images {
            let kind = self.kinds.get(&row.image.image_id).copied().unwrap_or_default();
            mark(shared, row, judged, kind, who).await?;
        }
        if mode.confirm && !self.brakes.is_empty() {
            let going = self.images.iter().filter(|(_, judged)| judged.action == Action::Delete);
            let going: Vec<ImageId> = going.map(|(row, _)| row.image.image_id.clone()).collect();
            let held: Vec<String> = self.brakes.iter().map(ToString::to_string).collect();
            store.confirm_deletions(&going, &held.join("; "), who, now).await?;
            tracing::warn!(who, "{who} confirmed the deletion of {} images: {}", going.len(), held.join("; "));
        }
        for (row, judged) in &mut self.images {
            if judged.action == Action::Delete {
                // Checked before each: the clock can be set during a pass.
                if let Err(blocker) = shared.clocks_agree() {
                    tracing::warn!(reason = %blocker, "no more images are deleted: {blocker}");
                    self.problem.get_or_insert_with(|| blocker.to_string());
                    return Ok(());
                }
                delete(shared, config, &row.image, judged, who).await?;
            }
        }
        for (image, judged) in &mut self.failed {
            if judged.action == FailedAction::Delete && shared.clocks_agree().is_ok() {
                let keep = judge.policies.get(&image.line).and_then(|policy| policy.keep.as_ref());
                judged.action = strays::delete(shared, config, image, keep, who).await?;
                judged.not_before = None;
            }
        }
        self.note_judged(shared, judge).await
    }

    /// Images of a complete pass are not new to the next one.
    async fn note_judged(&self, shared: &DaemonContext, judge: &Judge) -> Result<(), StoreError> {
        if self.problem.is_some() {
            return Ok(());
        }
        let rules: Vec<(&LineId, String)> = judge.rules.iter().map(|(line, rules)| (line, rules.clone())).collect();
        let known = shared.store.reader().line_rules().await?;
        let with_rules: Vec<&LineId> = rules.iter().map(|(line, _)| *line).collect();
        let changed: Vec<(&LineId, String)> = rules
            .iter()
            .filter(|(line, rules)| !self.blocked.contains(*line) && known.get(*line) != Some(rules))
            .cloned()
            .collect();
        let new: Vec<&ImageId> = self
            .images
            .iter()
            .filter(|(row, _)| !row.judged && !self.blocked.contains(&row.image.line))
            .filter(|(row, _)| with_rules.binary_search(&&row.image.line).is_ok())
            .map(|(row, _)| &row.image.image_id)
            .collect();
        let is_gone = known.keys().any(|line| with_rules.binary_search(&line).is_err());
        if new.is_empty() && changed.is_empty() && !is_gone {
            return Ok(());
        }
        shared.store.record_judged(&new, &changed, &with_rules).await
    }
}

/// Carries out the action for one image, except its deletion.
async fn mark(
    shared: &DaemonContext,
    row: &ImageRow,
    judged: &Judged,
    kind: MarkKind,
    who: &str,
) -> Result<(), StoreError> {
    let (image, store, now) = (&row.image, &shared.store, shared.clock.now());
    let is_marked = matches!(image.deletion, DeletionState::Marked { .. });
    match (&judged.action, &judged.verdict) {
        (Action::Keep | Action::Blocked { .. }, verdict) if verdict.why().contains(&Why::Missing) => {
            let since = image.seen.missing_since.unwrap_or(now);
            if now - since >= GONE_AFTER {
                store.image_vanished(image, now).await?;
            }
        }
        (Action::Mark { delete_after }, RetentionDecision::Goes { rule }) => {
            store.mark_image(image, rule, *delete_after, kind, who, now).await?;
        }
        // Without a grace it is marked and deleted in one pass.
        (Action::Delete | Action::NeedsConfirmation, RetentionDecision::Goes { rule }) if !is_marked => {
            store.mark_image(image, rule, now, kind, who, now).await?;
        }
        (Action::Unmark, verdict) => {
            let why = verdict.why().first().map(ToString::to_string).unwrap_or_default();
            store.unmark_image(image, &why, who, now).await?;
        }
        _ => {}
    }
    Ok(())
}

/// Deletes one image, and stores the result in `judged`.
async fn delete(
    shared: &DaemonContext,
    config: &Config,
    image: &LineImage,
    judged: &mut Judged,
    who: &str,
) -> Result<(), StoreError> {
    let RetentionDecision::Goes { rule } = judged.verdict.clone() else { return Ok(()) };
    let (tries, delete_after) = match &image.deletion {
        DeletionState::Marked { tries, delete_after, .. } => (*tries, *delete_after),
        _ => (0, shared.clock.now()),
    };
    match deletions::delete(shared, config, &Doomed::from(image), tries, &rule, who).await? {
        Progress::Deleted => judged.not_before = None,
        Progress::Sent => {
            (judged.action, judged.not_before) = (Action::Search, None);
            judged.verdict = RetentionDecision::Blocked { rule, why: vec![Why::Deleting] };
        }
        Progress::Waits { users, why } => {
            let why = if users.is_empty() { Why::Refused { reason: why } } else { Why::InUse { by: users } };
            judged.action = Action::Blocked { delete_after };
            judged.verdict = RetentionDecision::Blocked { rule, why: vec![why] };
        }
    }
    Ok(())
}

/// Deletions that need a confirmation, each a problem.
pub(crate) async fn list_problems(reader: &Reader) -> Result<Vec<Problem>, StoreError> {
    Ok(reader.brakes().await?.into_iter().map(problem).collect())
}

fn problem(StandingBrake { since, brake }: StandingBrake) -> Problem {
    let subject = match brake.line() {
        Some(line) => Subject::new(SubjectKind::Line, line.as_str()),
        None => Subject::only(SubjectKind::Daemon),
    };
    let message = format!("{brake} until `imagebaked prune --confirm`");
    // The images first: a confirmation deletes them.
    let command = Some("imagebaked prune --dry-run".to_owned());
    Problem::new(ProblemCode::PruneNeedsConfirmation, Severity::Problem, subject, since, message, command)
}
