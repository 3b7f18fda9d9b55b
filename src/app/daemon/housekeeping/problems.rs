//! Problems of the housekeeping, for health.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::board::{BackupReport, Board};
use crate::{
    adapters::config::BackupSettings,
    domain::{
        clock::age,
        health::{Problem, ProblemCode, Severity, Subject, SubjectKind, one_line},
    },
};

/// After so many periods without a good backup, failing ones are a problem, before that a warning.
const PERIODS: u32 = 3;

/// The scheduler gives no signals, or a job does not begin or does not end.
pub fn housekeeping_stalled(board: &Board) -> Vec<Problem> {
    let problem = |id: &str, since: DateTime<Utc>, message: String| {
        Problem::new(
            ProblemCode::HousekeepingStalled,
            Severity::Warning,
            Subject::new(SubjectKind::Daemon, id),
            since,
            message,
            Some("systemctl restart imagebaked".to_owned()),
        )
    };
    let silent = board.silent_since();
    if let Some(since) = silent {
        let message = "the scheduler of the housekeeping gave no signal for over two minutes; it is started anew, and \
                       bakes go on";
        // What the jobs miss follows from it.
        return vec![problem("scheduler", since, message.to_owned())];
    }
    let stalled = board.reports().into_iter().filter_map(|(job, report)| {
        let since = report.stalled_since?;
        let what = if report.running_since.is_some() { "has run for too long" } else { "is due and does not begin" };
        Some(problem(job, since, format!("the housekeeping job {job} {what}; bakes go on")))
    });
    stalled.collect()
}

/// The last scheduled backup failed.
pub fn backup_failed(board: &Board, settings: Option<&BackupSettings>, now: DateTime<Utc>) -> Option<Problem> {
    let settings = settings?;
    let BackupReport { dir, newest, failing } = board.backups().filter(|report| report.dir == settings.dir)?;
    let (since, reason) = failing?;
    let without = age(newest.as_ref().map_or(since, |newest| newest.at), now);
    let is_long: bool = without > settings.every.checked_mul(PERIODS).unwrap_or(Duration::MAX);
    let last = newest
        .map_or_else(|| "there is no good one".to_owned(), |newest| format!("the last good one is {}", newest.name));
    Some(Problem::new(
        ProblemCode::BackupFailed,
        if is_long { Severity::Problem } else { Severity::Warning },
        Subject::only(SubjectKind::History),
        since,
        format!("the history is not backed up to {}, {last}: {}", dir.display(), one_line(&reason)),
        Some("imagebaked doctor".to_owned()),
    ))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{adapters::store::BackupFile, app::daemon::housekeeping::board::BACKUP};

    fn instant() -> DateTime<Utc> {
        "2027-03-01T03:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_failed_backup_is_a_warning_and_becomes_a_problem_after_three_periods() {
        let (board, settings) = (Board::default(), BackupSettings::default());
        let judged = |hours| {
            let problem = backup_failed(&board, Some(&settings), instant() + TimeDelta::hours(hours))?;
            Some((problem.severity, problem.since, problem.message))
        };
        assert_eq!(judged(100), None);
        board.report_backups(&settings.dir, |report| report.failing = Some((instant(), "no\nroom".into())));
        let (severity, since, message) = judged(72).unwrap();
        assert_eq!((severity, since.as_str()), (Severity::Warning, "2027-03-01T03:00:00Z"));
        assert!(message.contains("no room") && message.contains("there is no good one"), "{message}");
        assert_eq!(judged(73).unwrap().0, Severity::Problem);
        let newest = BackupFile { name: "b.db".into(), at: instant() - TimeDelta::hours(24), bytes: 1 };
        board.report_backups(&settings.dir, |report| report.newest = Some(newest));
        assert_eq!(judged(48).unwrap().0, Severity::Warning);
        let (severity, _, message) = judged(49).unwrap();
        assert!(severity == Severity::Problem && message.contains("b.db"), "{message}");
        let elsewhere = BackupSettings { dir: "/elsewhere".into(), ..settings.clone() };
        assert_eq!(backup_failed(&board, Some(&elsewhere), instant()), None, "another folder has not failed");
        assert_eq!(backup_failed(&board, None, instant()), None);
        board.report_backups(&settings.dir, |report| report.failing = None);
        assert_eq!(judged(1000), None);
    }

    #[test]
    fn a_silent_scheduler_and_a_stalled_job_are_one_problem_each() {
        let board = Board::default();
        let subjects =
            || housekeeping_stalled(&board).into_iter().map(|problem| problem.subject.id).collect::<Vec<_>>();
        let check = |seconds, boottime| {
            for _ in 0..seconds {
                board.check(Duration::from_secs(1), TimeDelta::zero(), boottime, instant());
                board.signal(super::super::board::HEARTBEAT, instant());
            }
        };
        board.set_due(BACKUP, Duration::from_secs(1));
        check(3601, Duration::from_secs(2));
        assert_eq!(subjects(), ["backup"]);
        for _ in 0..121 {
            board.check(Duration::from_secs(1), TimeDelta::zero(), Duration::ZERO, instant());
        }
        assert_eq!(subjects(), ["scheduler"]);
        board.set_due(BACKUP, Duration::from_hours(9));
        check(70, Duration::from_secs(2));
        assert_eq!(subjects(), [""; 0]);
    }
}
