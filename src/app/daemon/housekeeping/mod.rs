//! Housekeeping: jobs that keep the daemon's own things in order. tokio-cron-scheduler gives the signals; whether a job is due
//! is decided here, by the time since boot, so that clock steps, sleep, and late, lost or doubled signals have no effect.
//!
//! - `scheduler` has the crate on its own thread, `scheduler_watch` finds that it has stopped, `supervise` starts it anew.
//! - `job` runs a job whenever a signal finds it due: never twice at once, and again after an error or a panic.
//! - `board` has what `status` and health show.
//!
//! To add a job: its file with a [`Job`], its name and signal in `board`, its place in [`jobs`]. The retention task is a job,
//! too; it also runs after changes, so the image tasks drive it. No bake waits for any of this.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::{
    backups::Backups,
    board::SIGNALS,
    history_upkeep::HistoryUpkeep,
    job::{Job, drive},
    old_events::OldEvents,
    scheduler::{Scheduler, SignalRule},
};
use super::context::DaemonContext;
use crate::domain::clock::{Clock, SystemClock};

mod backups;
pub(super) mod board;
mod history_upkeep;
mod job;
mod old_events;
pub(super) mod problems;
mod scheduler;
mod scheduler_watch;
mod timing;

/// Interval of the checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Longer steps between two checks mean that this process was stopped, or is very busy: no fault of the scheduler.
const LONGEST_STEP: Duration = Duration::from_secs(2);

/// The jobs that have no other place.
fn jobs() -> [Box<dyn Job>; 3] {
    [Box::new(HistoryUpkeep), Box::new(OldEvents), Box::new(Backups)]
}

/// Runs the jobs and the scheduler until `stop`.
pub(super) async fn run(shared: Arc<DaemonContext>, stop: CancellationToken) {
    let running = jobs().map(|job| tokio::spawn(drive(job, Arc::clone(&shared), stop.clone())));
    stop.run_until_cancelled(supervise(&shared)).await;
    for job in running {
        let _ = job.await;
    }
}

/// Starts the scheduler, again whenever it has to be.
async fn supervise(shared: &Arc<DaemonContext>) {
    let mut scheduler = start(shared);
    let mut checks = interval(CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        checks.tick().await;
        let step = last.elapsed().min(LONGEST_STEP);
        last = Instant::now();
        let (now, boottime) = (shared.clock.now(), shared.clock.boottime());
        if let Some(reason) = shared.housekeeping.check(step, offset(), boottime, now) {
            tracing::warn!("the scheduler of the housekeeping is started anew: {reason}");
            // The former one ends first.
            drop(scheduler.take());
            scheduler = start(shared);
        }
    }
}

/// The clock that the scheduler reads, whatever the daemon has, less the time since boot.
fn offset() -> TimeDelta {
    let boottime = TimeDelta::from_std(SystemClock.boottime()).unwrap_or_default();
    TimeDelta::milliseconds(SystemClock.now().timestamp_millis()) - boottime
}

fn start(shared: &Arc<DaemonContext>) -> Option<Scheduler> {
    let rules = SIGNALS.map(|(job, rule)| -> SignalRule {
        let shared = Arc::clone(shared);
        (rule, Arc::new(move || shared.housekeeping.signal(job, shared.clock.now())))
    });
    let started = Scheduler::start(rules.into());
    if let Err(error) = &started {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "the scheduler of the housekeeping cannot be started; it is tried again"
        );
    }
    started.ok()
}
