//! Schedule of retention passes: by the clock, at the end of a grace, and after a full image quota.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    deletions,
    inventory_scan::AFTER_PROBLEM,
    prune,
    task_driver::{ImageTask, TaskRun},
};
use crate::{
    adapters::{
        config::Config,
        store::{ITSELF, StoreError},
    },
    app::daemon::{context::DaemonContext, housekeeping::board::RETENTION},
    domain::error::chain,
};

/// Minimum time between two passes for a full image quota.
const BETWEEN_QUOTA_PASSES: TimeDelta = TimeDelta::hours(1);

/// A pass that takes longer counts as one without an end: each of its calls has a timeout.
const LONGEST: Duration = Duration::from_hours(2);

/// Retention task: scans the images and deletes those whose grace has passed.
#[derive(Debug, Default)]
pub(super) struct RetentionTask {
    /// Next regular pass; `None` before the first.
    next_pass: Option<DateTime<Utc>>,
    /// Last pass for a full image quota.
    quota_pass: Option<DateTime<Utc>>,
    /// Last pass. Images that were due then and not deleted wait for the next one.
    judged_at: Option<DateTime<Utc>>,
}

impl RetentionTask {
    /// Instant of a pass after the image quota rejected a create call: at once, and at most once an hour.
    fn quota_pass_due(&self, refused_at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let refused_at = refused_at?;
        match self.quota_pass {
            Some(last) if refused_at <= last => None,
            Some(last) => Some(refused_at.max(last + BETWEEN_QUOTA_PASSES)),
            None => Some(refused_at),
        }
    }

    async fn pass_if_due(
        &mut self,
        shared: &DaemonContext,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let (config, reader) = (shared.config(), shared.store.reader());
        let pause = TimeDelta::from_std(config.daemon.prune_interval).unwrap_or(TimeDelta::hours(1));
        // A clock that was set back must not delay anything.
        let pass = self.next_pass.map_or(now, |next| next.min(now + pause));
        self.judged_at = self.judged_at.map(|at| at.min(now));
        self.quota_pass = self.quota_pass.map(|at| at.min(now));
        let refused_at = shared.engine.borrow().image_quota_refused;
        let for_quota = self.quota_pass_due(refused_at);
        let going = reader.next_deletion(self.judged_at).await?;
        self.next_pass = Some(pass);
        if [Some(pass), going, for_quota].into_iter().flatten().any(|due| now >= due) {
            if for_quota.is_some_and(|due| now >= due) {
                tracing::info!("the image quota is full: what is past its grace is deleted now");
                self.quota_pass = Some(now);
            }
            let _one_at_a_time = shared.image_lock.lock().await;
            let whole = run_pass(shared, &config).await?;
            self.judged_at = Some(now);
            self.next_pass = Some(next_pass(now, whole, pause));
        } else if reader.next_search().await?.is_some_and(|search| search <= now) {
            let _one_at_a_time = shared.image_lock.lock().await;
            deletions::search(shared, &config, ITSELF).await?;
        }
        let wait = self.next_pass.map_or(TimeDelta::zero(), |next| next - now).to_std().unwrap_or_default();
        shared.housekeeping.set_due(RETENTION, shared.clock.boottime().saturating_add(wait));
        let soon = |at: DateTime<Utc>| at.max(now + TimeDelta::seconds(1));
        let going = reader.next_deletion(self.judged_at).await?.map(soon);
        let search = reader.next_search().await?.map(soon);
        let for_quota = self.quota_pass_due(refused_at);
        Ok([self.next_pass, going, search, for_quota].into_iter().flatten().min())
    }
}

/// A pass, reported as a run of its housekeeping job. Returns whether the inventory scan was complete.
async fn run_pass(shared: &DaemonContext, config: &Config) -> Result<bool, StoreError> {
    let run = shared.housekeeping.begin(RETENTION, shared.clock.now(), shared.clock.boottime(), LONGEST);
    let report = prune::pass(shared, config, prune::Mode::default(), ITSELF).await;
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
        Box::pin(self.pass_if_due(shared, now))
    }
}

/// Instant of the next regular pass.
fn next_pass(now: DateTime<Utc>, whole: bool, pause: TimeDelta) -> DateTime<Utc> {
    now + if whole { pause } else { pause.min(AFTER_PROBLEM) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_image_quota_asks_for_one_pass_per_rejection_and_hour() {
        let minute = |n| DateTime::UNIX_EPOCH + TimeDelta::minutes(n);
        let mut task = RetentionTask::default();
        assert_eq!(task.quota_pass_due(None), None);
        assert_eq!(task.quota_pass_due(Some(minute(10))), Some(minute(10)));
        task.quota_pass = Some(minute(11));
        assert_eq!(task.quota_pass_due(Some(minute(10))), None, "the pass came after the rejection");
        assert_eq!(task.quota_pass_due(Some(minute(20))), Some(minute(71)));
        assert_eq!(task.quota_pass_due(Some(minute(90))), Some(minute(90)));
    }

    #[test]
    fn a_pass_that_did_not_see_everything_is_repeated_after_five_minutes_or_sooner() {
        let now = DateTime::UNIX_EPOCH;
        let minutes = |whole, pause| (next_pass(now, whole, TimeDelta::minutes(pause)) - now).num_minutes();
        assert_eq!([minutes(true, 60), minutes(false, 60), minutes(false, 3)], [60, 5, 3]);
    }
}
