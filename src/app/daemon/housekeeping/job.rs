//! A job, and the loop that runs it: at a signal it asks whether the job is due, and never runs it twice at once.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::timing::{Plan, Run, Timing};
use crate::{
    adapters::{
        config::Config,
        store::{BackupError, StoreError},
    },
    app::daemon::{catch_panic::catch_panic, context::DaemonContext},
    domain::error::chain,
};

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The history.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// A job of the housekeeping.
pub trait Job: Send + Sync {
    /// Its name in `status`; one of `board::SIGNALS`.
    fn name(&self) -> &'static str;

    /// How often it runs; `None` if the configuration does not have it.
    fn plan(&self, config: &Config) -> Option<Plan>;

    /// Forgets what it reports: the configuration does not have it.
    fn forget(&self, _shared: &DaemonContext) {}

    /// Time until the first run of this process, or of a changed plan.
    fn first_wait<'a>(&'a self, shared: &'a DaemonContext, plan: &'a Plan) -> BoxFuture<'a, Duration>;

    /// Does the work. Every effect is complete or has not begun: a run can be interrupted anywhere.
    fn run<'a>(&'a self, shared: &'a DaemonContext) -> BoxFuture<'a, Result<(), JobError>>;
}

/// Runs a job whenever a signal finds it due, until `stop`.
pub async fn drive(job: Box<dyn Job>, shared: Arc<DaemonContext>, stop: CancellationToken) {
    let work = async {
        let mut signals = shared.housekeeping.signals_of(job.name());
        let mut timing = Timing::default();
        loop {
            plan(&*job, &shared, &mut timing).await;
            // The other end is in `shared`.
            if signals.changed().await.is_err() {
                return;
            }
            run_if_due(&*job, &shared, &mut timing).await;
        }
    };
    stop.run_until_cancelled(work).await;
}

/// Takes over the plan of the configuration in force.
async fn plan(job: &dyn Job, shared: &DaemonContext, timing: &mut Timing) -> Option<Plan> {
    let Some(plan) = job.plan(&shared.config()) else {
        *timing = Timing::default();
        job.forget(shared);
        shared.housekeeping.forget(job.name());
        return None;
    };
    if timing.adopt(&plan) {
        let wait = job.first_wait(shared, &plan).await;
        timing.set_first(shared.clock.boottime().saturating_add(wait));
    }
    shared.housekeeping.set_due(job.name(), timing.due());
    Some(plan)
}

async fn run_if_due(job: &dyn Job, shared: &DaemonContext, timing: &mut Timing) {
    let Some(plan) = plan(job, shared, timing).await else { return };
    let began = shared.clock.boottime();
    if began < timing.due() {
        return;
    }
    let (name, board) = (job.name(), &shared.housekeeping);
    let run = board.begin(name, shared.clock.now(), began, plan.longest);
    let outcome = match catch_panic(job.run(shared)).await {
        Ok(outcome) => outcome.map_err(|error| chain(&error)),
        Err(panic) => Err(panic),
    };
    let ended = shared.clock.boottime();
    timing.note(Run { began, ended, is_good: outcome.is_ok() });
    match &outcome {
        Ok(()) => tracing::debug!(job = name, "the housekeeping job {name} ran"),
        Err(error) => tracing::warn!(job = name, error, "the housekeeping job {name} failed: {error}"),
    }
    run.end(outcome, ended);
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
