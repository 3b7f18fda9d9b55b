//! Jobs on a clock that the test moves, with signals that the test gives.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Semaphore;

use super::*;
use crate::{
    app::daemon::{
        context_for_tests::context,
        housekeeping::{
            backups::Backups,
            board::{BACKUP, HISTORY_UPKEEP},
        },
    },
    domain::clock::{Clock as _, ManualClock},
};

const HOUR: Duration = Duration::from_hours(1);

fn midnight() -> DateTime<Utc> {
    "2027-03-01T00:00:00Z".parse().unwrap()
}

/// A job every day that waits for a permit in each run; it panics in its second run and fails in its third.
#[derive(Default)]
struct Scripted {
    runs: AtomicU32,
}

static PERMITS: Semaphore = Semaphore::const_new(0);

impl Job for Scripted {
    fn name(&self) -> &'static str {
        HISTORY_UPKEEP
    }

    fn plan(&self, _: &Config) -> Option<Plan> {
        Some(Plan { every: HOUR * 24, retry: HOUR, longest: HOUR, place: None })
    }

    fn first_wait<'a>(&'a self, _: &'a DaemonContext, _: &'a Plan) -> BoxFuture<'a, Duration> {
        Box::pin(async { HOUR })
    }

    fn run<'a>(&'a self, _: &'a DaemonContext) -> BoxFuture<'a, Result<(), JobError>> {
        Box::pin(async {
            let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
            PERMITS.acquire().await.unwrap().forget();
            match run {
                2 => panic!("no such luck"),
                3 => Err(StoreError::WentBack.into()),
                _ => Ok(()),
            }
        })
    }
}

/// Until the report is as wanted.
async fn eventually(shared: &DaemonContext, job: &str, is_wanted: impl Fn(&super::super::board::JobReport) -> bool) {
    let wanted = async {
        while !shared.housekeeping.reports().get(job).is_some_and(&is_wanted) {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), wanted).await;
    waited.unwrap_or_else(|_| panic!("{:?}", shared.housekeeping.reports()));
}

#[tokio::test]
async fn a_job_runs_when_it_is_due_and_never_twice_at_once_whatever_the_signals_and_the_clock_do() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(midnight());
    let shared = Arc::new(context(folder.path(), &clock, "").await);
    let stop = CancellationToken::new();
    let driven = tokio::spawn(drive(Box::new(Scripted::default()), Arc::clone(&shared), stop.clone()));
    let signal = || shared.housekeeping.signal(HISTORY_UPKEEP, clock.now());
    let running =
        |since: DateTime<Utc>| move |report: &super::super::board::JobReport| report.running_since == Some(since);

    eventually(&shared, HISTORY_UPKEEP, |report| report.due == Some(clock.boottime() + HOUR)).await;
    clock.step(midnight() + TimeDelta::days(400));
    signal();
    clock.step(midnight());
    clock.advance(TimeDelta::hours(1));
    let due = clock.now();
    signal();
    eventually(&shared, HISTORY_UPKEEP, running(due)).await;
    signal();
    clock.advance(TimeDelta::hours(30));
    signal();
    PERMITS.add_permits(1);
    // The next run was due during the first: it begins once, and panics.
    let second = clock.now();
    eventually(&shared, HISTORY_UPKEEP, running(second)).await;
    let report = shared.housekeeping.reports().remove(HISTORY_UPKEEP).unwrap();
    assert_eq!((report.last_run, report.took), (Some(due), Some(HOUR * 30)), "the step of the clock had no effect");
    PERMITS.add_permits(1);
    eventually(&shared, HISTORY_UPKEEP, |report| report.last_error.is_some()).await;
    let report = shared.housekeeping.reports().remove(HISTORY_UPKEEP).unwrap();
    assert_eq!(report.last_error, Some((second, "it panicked: no such luck".into())));

    for (wait, error) in [(1, Some(chain(&StoreError::WentBack))), (1, None)] {
        clock.advance(TimeDelta::hours(wait));
        PERMITS.add_permits(1);
        signal();
        let now = clock.now();
        eventually(&shared, HISTORY_UPKEEP, |report| report.last_run == Some(now)).await;
        let report = shared.housekeeping.reports().remove(HISTORY_UPKEEP).unwrap();
        assert!(error.is_none() || report.last_error == error.map(|error| (now, error)), "{report:?}");
    }
    signal();
    stop.cancel();
    driven.await.unwrap();
    assert_eq!(PERMITS.available_permits(), 0, "it ran four times");
}

#[tokio::test]
async fn a_failed_backup_is_tried_again_after_an_hour_and_a_good_one_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(midnight());
    let dir = folder.path().join("backups");
    std::fs::write(&dir, "a file where the folder should be").unwrap();
    let backup = format!("backup = {{ every = \"1d\", keep = 2, dir = \"{}\" }}", dir.display());
    let shared = context(folder.path(), &clock, &backup).await;
    let mut timing = Timing::default();
    let report = || shared.housekeeping.backups().unwrap();

    run_if_due(&Backups, &shared, &mut timing).await;
    let (since, reason) = report().failing.unwrap();
    assert!(since == midnight() && reason.contains("File exists"), "{reason}");
    clock.advance(TimeDelta::minutes(59));
    std::fs::remove_file(&dir).unwrap();
    run_if_due(&Backups, &shared, &mut timing).await;
    assert!(report().failing.is_some(), "too early");
    clock.advance(TimeDelta::minutes(1));
    run_if_due(&Backups, &shared, &mut timing).await;
    let good = report();
    assert_eq!((good.failing, good.newest.unwrap().name.as_str()), (None, "imagebaked-20270301T010000Z.db"));

    for _ in 0..3 {
        clock.advance(TimeDelta::hours(24));
        run_if_due(&Backups, &shared, &mut timing).await;
    }
    let mut names: Vec<_> =
        std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.ends_with(".sha256"));
    names.sort();
    assert_eq!(names, ["imagebaked-20270303T010000Z.db", "imagebaked-20270304T010000Z.db"]);

    // Another process goes by the newest backup.
    clock.advance(TimeDelta::hours(5));
    let mut timing = Timing::default();
    run_if_due(&Backups, &shared, &mut timing).await;
    let due = shared.housekeeping.reports()[BACKUP].due.unwrap();
    assert_eq!(due, clock.boottime() + HOUR * 19);
}
