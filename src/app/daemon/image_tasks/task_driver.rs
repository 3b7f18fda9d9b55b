//! Driver of the image tasks: runs a task at the requested instant, after a change, and after the clock was set back.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use tokio::{
    sync::watch::Receiver,
    time::{Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::store::StoreError,
    app::daemon::{catch_panic::catch_panic, context::DaemonContext, engine::EngineStatus},
    domain::error::chain,
};

/// Interval of reading the clock, which may be set; changes wake the task at once.
const TICK_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after an error of the database, or a panic.
const AFTER_ERROR: TimeDelta = TimeDelta::seconds(30);

/// Result of a run: the next due instant, if nothing changes before.
pub(super) type TaskRun<'a> = BoxFuture<'a, Result<Option<DateTime<Utc>>, StoreError>>;

/// A task on images.
pub(super) trait ImageTask: Send {
    /// Name in `status`.
    fn name(&self) -> &'static str;

    /// The housekeeping job whose signals replace the timer of the driver.
    fn signals(&self) -> Option<&'static str> {
        None
    }

    /// What does not happen while the history cannot be used.
    fn complaint(&self) -> &'static str;

    /// Processes what is due. Every intent is committed before its effect: a run can be interrupted anywhere.
    fn run_once<'a>(&'a mut self, shared: &'a DaemonContext, now: DateTime<Utc>) -> TaskRun<'a>;
}

/// Runs a task until `stop`. An error or a panic ends a run, not the task.
pub(super) async fn drive(mut task: Box<dyn ImageTask>, shared: Arc<DaemonContext>, stop: CancellationToken) {
    let work = async {
        let mut wakeups = Wakeups::new(&shared, task.signals());
        loop {
            let now = wakeups.next(&shared).await;
            shared.report_task(task.name(), |report| report.last_run = Some(now));
            let outcome = match catch_panic(task.run_once(&shared, now)).await {
                Ok(outcome) => outcome.map_err(|error| chain(&error)),
                Err(panic) => Err(panic),
            };
            wakeups.due = outcome.as_ref().map_or(Some(now + AFTER_ERROR), |due| *due);
            shared.report_task(task.name(), |report| {
                report.next_run = wakeups.due;
                if let Err(error) = &outcome {
                    report.last_error = Some((now, error.clone()));
                }
            });
            if let Err(error) = &outcome {
                tracing::error!(error, "{} until the cause is gone: {error}", task.complaint());
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

/// Determines the next run.
#[derive(Debug)]
struct Wakeups {
    ticks: Ticks,
    engine: Receiver<EngineStatus>,
    activations: Receiver<u64>,
    /// Start of the last run, and the change counters at that time.
    last: Option<(DateTime<Utc>, [u64; 2])>,
    /// Next due instant of the last run.
    due: Option<DateTime<Utc>>,
}

impl Wakeups {
    fn new(shared: &DaemonContext, signals: Option<&str>) -> Self {
        Self {
            ticks: Ticks::new(shared, signals),
            engine: shared.engine.clone(),
            activations: shared.activations.subscribe(),
            last: None,
            due: None,
        }
    }

    /// Waits until there may be something to do.
    async fn next(&mut self, shared: &DaemonContext) -> DateTime<Utc> {
        loop {
            tokio::select! {
                // An engine that has ended changes nothing any more.
                Ok(()) = self.engine.changed() => {}
                Ok(()) = self.activations.changed() => {}
                () = self.ticks.next() => {}
            }
            let now = shared.clock.now();
            let changes = [self.engine.borrow_and_update().changes, *self.activations.borrow_and_update()];
            let is_quiet = self.due.is_none_or(|due| now < due);
            if is_quiet && self.last.is_some_and(|(at, seen)| now >= at && changes == seen) {
                continue;
            }
            self.last = Some((now, changes));
            return now;
        }
    }
}

/// What wakes a task if nothing changes.
#[derive(Debug)]
enum Ticks {
    Timer(Interval),
    Signals(Receiver<u64>),
}

impl Ticks {
    /// The first tick is at once.
    fn new(shared: &DaemonContext, signals: Option<&str>) -> Self {
        if let Some(job) = signals {
            let mut signals = shared.housekeeping.signals_of(job);
            signals.mark_changed();
            return Self::Signals(signals);
        }
        let mut timer = tokio::time::interval(TICK_INTERVAL);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self::Timer(timer)
    }

    async fn next(&mut self) {
        match self {
            Self::Timer(timer) => {
                timer.tick().await;
            }
            // The other end is in the shared state.
            Self::Signals(signals) => {
                let _ = signals.changed().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::{app::daemon::context_for_tests::context, domain::clock::ManualClock};

    /// A task whose results the test determines.
    struct Scripted {
        name: &'static str,
        fails: bool,
        runs: mpsc::UnboundedSender<&'static str>,
    }

    impl ImageTask for Scripted {
        fn name(&self) -> &'static str {
            self.name
        }

        fn complaint(&self) -> &'static str {
            "nothing happens"
        }

        fn run_once<'a>(&'a mut self, _: &'a DaemonContext, now: DateTime<Utc>) -> TaskRun<'a> {
            Box::pin(async move {
                let _ = self.runs.send(self.name);
                if self.fails {
                    self.fails = false;
                    return Err(StoreError::WentBack);
                }
                Ok(Some(now + TimeDelta::hours(1)))
            })
        }
    }

    #[tokio::test]
    async fn an_error_is_reported_and_stops_neither_the_task_nor_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let start: DateTime<Utc> = "2026-11-26T03:00:00Z".parse().unwrap();
        let clock = ManualClock::at(start);
        let shared = Arc::new(context(folder.path(), &clock, "").await);
        let stop = CancellationToken::new();
        let (runs, mut ran) = mpsc::unbounded_channel();
        let spawned = [("good", false), ("bad", true)].map(|(name, fails)| {
            let task = Box::new(Scripted { name, fails, runs: runs.clone() });
            tokio::spawn(drive(task, Arc::clone(&shared), stop.clone()))
        });
        let report = async |name, is_wanted: &dyn Fn(&crate::app::daemon::task_reports::TaskReport) -> bool| {
            let wanted = async {
                loop {
                    if let Some(report) = shared.task_reports().remove(name).filter(|report| is_wanted(report)) {
                        return report;
                    }
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), wanted).await.unwrap()
        };
        let bad = report("bad", &|report| report.last_error.is_some()).await;
        assert_eq!((bad.last_run, bad.next_run), (Some(start), Some(start + AFTER_ERROR)));
        let good = report("good", &|report| report.next_run.is_some()).await;
        assert_eq!((good.next_run, good.last_error), (Some(start + TimeDelta::hours(1)), None));

        clock.advance(AFTER_ERROR);
        let again = report("bad", &|report| report.last_run > Some(start) && report.next_run > bad.next_run).await;
        assert_eq!(again.last_error, Some((start, chain(&StoreError::WentBack))), "the last error is kept");
        stop.cancel();
        for task in spawned {
            task.await.unwrap();
        }
        drop(runs);
        let mut names = Vec::new();
        while let Some(name) = ran.recv().await {
            names.push(name);
        }
        names.sort_unstable();
        assert_eq!(names, ["bad", "bad", "good"], "what is not due does not run");
    }
}
