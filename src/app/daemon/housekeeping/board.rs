//! What is known of the housekeeping: signals of the scheduler, runs of the jobs, backups. Written by those who do the work,
//! read by `status` and health.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use super::scheduler_watch::{Measured, SchedulerWatch, StartAgain};
use crate::{adapters::store::BackupFile, domain::clock::earlier};

/// Shows that the scheduler works.
pub const HEARTBEAT: &str = "heartbeat";
/// Inventory scan and retention pass.
pub const RETENTION: &str = "retention";
/// Statistics and write-ahead log of the history.
pub const HISTORY_UPKEEP: &str = "history_upkeep";
/// Deletion of old events.
pub const OLD_EVENTS: &str = "old_events";
/// Scheduled backups.
pub const BACKUP: &str = "backup";

/// The signals of the scheduler: the job, and six fields of a cron expression with the seconds first. A signal only asks the
/// job whether it is due.
pub const SIGNALS: [(&str, &str); 5] = [
    (HEARTBEAT, "*/5 * * * * *"),
    // `prune_interval` may be short.
    (RETENTION, "* * * * * *"),
    (HISTORY_UPKEEP, "*/5 * * * * *"),
    (OLD_EVENTS, "*/5 * * * * *"),
    (BACKUP, "*/5 * * * * *"),
];

/// A job that is due for this long and does not begin is stalled: signals come every few seconds.
pub const OVERDUE: Duration = Duration::from_hours(1);

/// What is known of a job since the daemon started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobReport {
    /// Beginning of the run that has not ended.
    pub running_since: Option<DateTime<Utc>>,
    /// Beginning of the last ended run.
    pub last_run: Option<DateTime<Utc>>,
    /// Its duration.
    pub took: Option<Duration>,
    /// Beginning and error of the last run that failed.
    pub last_error: Option<(DateTime<Utc>, String)>,
    /// When it is due, in time since boot.
    pub due: Option<Duration>,
    /// Since when it has been due, or has run, for too long.
    pub stalled_since: Option<DateTime<Utc>>,
    longest: Duration,
    /// How long it has been due, or has run.
    waited: Duration,
}

/// The scheduled backups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Their folder.
    pub dir: PathBuf,
    /// The newest good one.
    pub newest: Option<BackupFile>,
    /// Beginning of the first failed run after it, and the last error.
    pub failing: Option<(DateTime<Utc>, String)>,
}

/// The state of the housekeeping.
#[derive(Debug)]
pub struct Board {
    signals: BTreeMap<&'static str, watch::Sender<u64>>,
    // Each is locked briefly, never across an await.
    reports: Mutex<BTreeMap<&'static str, JobReport>>,
    scheduler: Mutex<SchedulerWatch>,
    backups: Mutex<Option<BackupReport>>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            signals: SIGNALS.map(|(job, _)| (job, watch::Sender::default())).into(),
            reports: Mutex::default(),
            scheduler: Mutex::default(),
            backups: Mutex::default(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    /// Passes a signal of the scheduler on. Signals that nobody has taken yet become one.
    pub fn signal(&self, job: &str, now: DateTime<Utc>) {
        if job == HEARTBEAT {
            self.edit(HEARTBEAT, |report| report.last_run = Some(now));
        }
        if let Some(signal) = self.signals.get(job) {
            signal.send_modify(|count| *count += 1);
        }
    }

    /// The signals of a job.
    pub fn signals_of(&self, job: &str) -> watch::Receiver<u64> {
        self.signals.get(job).map_or_else(|| watch::channel(0).1, watch::Sender::subscribe)
    }

    fn edit(&self, job: &'static str, edit: impl FnOnce(&mut JobReport)) {
        edit(lock(&self.reports).entry(job).or_default());
    }

    /// When a job is due, in time since boot.
    pub fn set_due(&self, job: &'static str, due: Duration) {
        self.edit(job, |report| report.due = Some(due));
    }

    /// Forgets a job that the configuration does not have.
    pub fn forget(&self, job: &str) {
        lock(&self.reports).remove(job);
    }

    /// Notes that a run begins.
    pub fn begin(&self, job: &'static str, now: DateTime<Utc>, boottime: Duration, longest: Duration) -> Run<'_> {
        self.edit(job, |report| {
            report.running_since = Some(now);
            (report.longest, report.waited, report.stalled_since) = (longest, Duration::ZERO, None);
        });
        Run { board: self, job, began: boottime, has_ended: false }
    }

    /// Reports of all jobs.
    pub fn reports(&self) -> BTreeMap<&'static str, JobReport> {
        lock(&self.reports).clone()
    }

    /// Checks scheduler and jobs, `step` after the last check. Returns why the scheduler has to be started anew.
    pub fn check(
        &self,
        step: Duration,
        offset: TimeDelta,
        boottime: Duration,
        now: DateTime<Utc>,
    ) -> Option<StartAgain> {
        let mut has_overdue = false;
        for (job, report) in lock(&self.reports).iter_mut().filter(|(job, _)| **job != HEARTBEAT) {
            let was_stalled = report.stalled_since.is_some();
            has_overdue |= report.check(step, boottime, now) && report.running_since.is_none();
            if report.stalled_since.is_some() && !was_stalled {
                tracing::error!(job, "the housekeeping job {job} does not end or does not begin");
            }
        }
        let heartbeats = self.signals.get(HEARTBEAT).map_or(0, |signal| *signal.borrow());
        lock(&self.scheduler).check(Measured { step, heartbeats, offset, has_overdue, now })
    }

    /// Since when the scheduler has been silent; `None` while it works.
    pub fn silent_since(&self) -> Option<DateTime<Utc>> {
        lock(&self.scheduler).silent_since()
    }

    /// The scheduled backups; `None` if there are none.
    pub fn backups(&self) -> Option<BackupReport> {
        lock(&self.backups).clone()
    }

    /// Edits the report of the backups in `dir`; that of another folder is forgotten.
    pub fn report_backups(&self, dir: &std::path::Path, edit: impl FnOnce(&mut BackupReport)) {
        let mut backups = lock(&self.backups);
        let known = backups.take().filter(|report| report.dir == dir);
        let mut report = known.unwrap_or_else(|| BackupReport { dir: dir.to_owned(), ..BackupReport::default() });
        edit(&mut report);
        *backups = Some(report);
    }

    /// Forgets the backups: the configuration has none.
    pub fn forget_backups(&self) {
        *lock(&self.backups) = None;
    }
}

impl JobReport {
    /// Whether it has stalled, `step` after the last check.
    fn check(&mut self, step: Duration, boottime: Duration, now: DateTime<Utc>) -> bool {
        let bound = match (self.running_since, self.due) {
            (Some(_), _) => self.longest,
            (None, Some(due)) if due <= boottime => OVERDUE,
            _ => {
                (self.waited, self.stalled_since) = (Duration::ZERO, None);
                return false;
            }
        };
        self.waited = self.waited.saturating_add(step);
        if self.waited > bound {
            self.stalled_since.get_or_insert_with(|| earlier(now, self.waited));
        }
        self.stalled_since.is_some()
    }
}

/// A run that has begun. One that is dropped was interrupted.
#[derive(Debug)]
pub struct Run<'a> {
    board: &'a Board,
    job: &'static str,
    began: Duration,
    has_ended: bool,
}

impl Run<'_> {
    /// Notes its end, with its error.
    pub fn end(mut self, outcome: Result<(), String>, boottime: Duration) {
        self.note(outcome, Some(boottime.saturating_sub(self.began)));
    }

    fn note(&mut self, outcome: Result<(), String>, took: Option<Duration>) {
        self.has_ended = true;
        self.board.edit(self.job, |report| {
            report.last_run = report.running_since.take();
            (report.took, report.waited, report.stalled_since) = (took, Duration::ZERO, None);
            if let (Err(error), Some(at)) = (outcome, report.last_run) {
                report.last_error = Some((at, error));
            }
        });
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.note(Err("the run was interrupted".to_owned()), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_hours(1);

    /// Checks once a second for so long, at this time since boot.
    fn pass(board: &Board, span: Duration, boottime: Duration) {
        for _ in 0..span.as_secs() {
            board.check(SECOND, TimeDelta::zero(), boottime, DateTime::UNIX_EPOCH + TimeDelta::days(1));
        }
    }

    fn stalled(board: &Board) -> bool {
        board.reports()[BACKUP].stalled_since.is_some()
    }

    #[test]
    fn a_job_that_is_due_and_does_not_begin_stalls_until_it_begins() {
        let board = Board::default();
        board.set_due(BACKUP, HOUR * 9);
        pass(&board, HOUR * 2, HOUR * 8);
        assert!(!stalled(&board), "it is not due");
        pass(&board, HOUR, HOUR * 900);
        assert!(!stalled(&board), "a host that slept is not what makes it late");
        pass(&board, SECOND, HOUR * 900);
        assert!(stalled(&board));
        let run = board.begin(BACKUP, DateTime::UNIX_EPOCH, HOUR * 900, HOUR);
        assert!(!stalled(&board));
        run.end(Ok(()), HOUR * 900);
    }

    #[test]
    fn a_run_without_an_end_stalls_until_it_ends() {
        let board = Board::default();
        let run = board.begin(BACKUP, DateTime::UNIX_EPOCH, HOUR, HOUR * 2);
        pass(&board, HOUR * 2, HOUR);
        assert!(!stalled(&board));
        pass(&board, SECOND, HOUR);
        assert!(stalled(&board));
        run.end(Err("no room".into()), HOUR * 3);
        let report = board.reports().remove(BACKUP).unwrap();
        assert_eq!((report.stalled_since, report.took), (None, Some(HOUR * 2)));
        assert_eq!(report.last_error, Some((DateTime::UNIX_EPOCH, "no room".into())));
        drop(board.begin(BACKUP, DateTime::UNIX_EPOCH, HOUR * 4, HOUR));
        let report = board.reports().remove(BACKUP).unwrap();
        assert_eq!((report.running_since, report.last_error.unwrap().1), (None, "the run was interrupted".into()));
    }
}
