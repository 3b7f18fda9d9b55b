//! Schedule of retention passes: by the clock, at the end of a grace, and after a full image quota.

use std::{sync::PoisonError, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    deletions,
    judging::Mode,
    prune,
    task_driver::{ImageTask, TaskRun},
};
use crate::{
    adapters::{
        config::Config,
        store::{ITSELF, StoreError},
    },
    app::daemon::{
        context::DaemonContext,
        engine::{EngineStatus, Ground},
        housekeeping::board::RETENTION,
    },
    domain::{
        error::chain,
        image::passes::{NextPass, Prompts, Timetable},
    },
};

/// A pass that takes longer counts as one without an end: each of its calls has a timeout.
const LONGEST: Duration = Duration::from_hours(2);
/// Time to the next run if something is due that this run did not do.
const SOON: TimeDelta = TimeDelta::seconds(1);
/// Interval of the checks whether what held a pass back is over.
const WHILE_HELD: TimeDelta = TimeDelta::seconds(2);
/// How long whoever asks waits for the comparison that each start begins with.
const FOR_COMPARISON: Duration = Duration::from_secs(1);

impl DaemonContext {
    /// Changes the timetable of the passes, and returns it.
    fn plan_passes(&self, change: impl FnOnce(&mut Timetable)) -> Timetable {
        let mut timetable = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut timetable);
        *timetable
    }

    /// Instant of the next pass, `now` at the earliest.
    async fn pass_due(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        let timetable = self.plan_passes(|_| {});
        let grace_ends = self.store.reader().next_deletion(timetable.judged_at()).await?;
        let quota_refused = self.engine.borrow().image_quota_refused;
        Ok(timetable.next(Prompts { grace_ends, quota_refused }, now))
    }

    /// Whether the history is not compared with the cloud yet. At a start that takes as long as a list, which is waited for.
    pub(super) async fn awaits_comparison(&self) -> bool {
        let mut engine = self.engine.clone();
        let is_decided = |status: &EngineStatus| {
            status.uncompared.as_ref().is_none_or(|it| it.ground == Ground::NotTheFormer || it.why.is_some())
        };
        let _ = tokio::time::timeout(FOR_COMPARISON, engine.wait_for(is_decided)).await;
        self.engine.borrow().uncompared.is_some()
    }

    /// Whether no pass marks or deletes anything now: the history has to be compared with the cloud, or a clock is wrong.
    fn holds_deletions(&self) -> bool {
        self.engine.borrow().uncompared.is_some() || self.clocks_agree().is_err()
    }

    /// The next pass that deletes images, for previews.
    pub(in crate::app::daemon) async fn next_pass(&self) -> Result<NextPass, StoreError> {
        if self.cloud.mode().is_observe() {
            return Ok(NextPass::Never);
        }
        if self.awaits_comparison().await || self.holds_deletions() {
            return Ok(NextPass::Held);
        }
        Ok(NextPass::At(self.pass_due(self.clock.now()).await?))
    }
}

/// Retention task: scans the images and deletes those whose grace has passed. Its timetable is in the shared state, where
/// previews read it.
#[derive(Debug)]
pub(super) struct RetentionTask;

impl RetentionTask {
    async fn pass_if_due(shared: &DaemonContext, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
        let (config, reader) = (shared.config(), shared.store.reader());
        let interval = TimeDelta::from_std(config.daemon.prune_interval).unwrap_or(TimeDelta::hours(1));
        let timetable = shared.plan_passes(|timetable| {
            timetable.correct(now, interval);
            if !shared.holds_deletions() {
                timetable.released(now);
            }
        });
        if shared.pass_due(now).await? <= now {
            let for_quota = timetable.quota_pass(shared.engine.borrow().image_quota_refused);
            if for_quota.is_some_and(|due| now >= due) {
                tracing::info!("the image quota is full: what is past its grace is deleted now");
                shared.plan_passes(|timetable| timetable.begins_for_quota(now));
            }
            let _one_at_a_time = shared.image_lock.lock().await;
            let was_held = shared.holds_deletions();
            let whole = run_pass(shared, &config).await?;
            let is_held = !whole && (was_held || shared.holds_deletions());
            shared.plan_passes(|timetable| timetable.passed(now, (whole, is_held), interval));
        } else if reader.next_search().await?.is_some_and(|search| search <= now) {
            let _one_at_a_time = shared.image_lock.lock().await;
            deletions::search(shared, &config, ITSELF).await?;
        }
        let timetable = shared.plan_passes(|_| {});
        let check = timetable.is_held().then(|| now + WHILE_HELD);
        let next = timetable.regular().into_iter().chain(check).min();
        let wait = next.map_or(TimeDelta::zero(), |next| next - now).to_std().unwrap_or_default();
        shared.housekeeping.set_due(RETENTION, shared.clock.boottime().saturating_add(wait));
        let others = reader.next_search().await?.into_iter().chain(check);
        let next = others.fold(shared.pass_due(now).await?, DateTime::min);
        Ok(Some(next.max(now + SOON)))
    }
}

/// A pass, reported as a run of its housekeeping job. Returns whether the inventory scan was complete.
async fn run_pass(shared: &DaemonContext, config: &Config) -> Result<bool, StoreError> {
    let run = shared.housekeeping.begin(RETENTION, shared.clock.now(), shared.clock.boottime(), LONGEST);
    let report = prune::pass(shared, config, Mode::default(), ITSELF).await;
    let problem = report.as_ref().ok().and_then(|report| report.as_ref()?.problem.clone());
    let whole = problem.is_none();
    let outcome = match (&report, problem) {
        (Err(error), _) => Err(chain(error)),
        // A problem of its own says that the comparison with the cloud is pending.
        (Ok(_), Some(problem)) if shared.engine.borrow().uncompared.is_none() => Err(problem),
        (Ok(_), _) => Ok(()),
    };
    run.end(outcome, shared.clock.boottime());
    report.map(|_| whole)
}

impl ImageTask for RetentionTask {
    fn name(&self) -> &'static str {
        RETENTION
    }

    fn signals(&self) -> Option<&'static str> {
        Some(RETENTION)
    }

    fn complaint(&self) -> &'static str {
        "images are not pruned"
    }

    fn run_once<'a>(&'a mut self, shared: &'a DaemonContext, now: DateTime<Utc>) -> TaskRun<'a> {
        Box::pin(Self::pass_if_due(shared, now))
    }
}
