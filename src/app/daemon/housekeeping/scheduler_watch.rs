//! Whether the scheduler still gives signals, and when it has to be started anew. Pure: the caller measures the time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::clock::earlier;

/// Time without a heartbeat after which the scheduler counts as stopped.
pub const SILENT: Duration = Duration::from_mins(2);
/// The problem ends after this time of regular heartbeats, so that nobody misses a short one.
const STEADY: Duration = Duration::from_mins(1);
/// Heartbeats at most this far apart are regular.
const REGULAR: Duration = Duration::from_secs(15);
/// Minimum time between two starts of a scheduler that does not work.
const START_AGAIN: Duration = Duration::from_mins(10);
/// A smaller step back of the clock silences the scheduler for less than this.
const SET_BACK: TimeDelta = TimeDelta::seconds(1);

/// Why the scheduler is started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartAgain {
    /// It waits until the clock shows its next signal again.
    #[error("the clock was set back")]
    SetBack,
    /// It has ended or hangs.
    #[error("it gave no heartbeat for two minutes")]
    Silent,
    /// It gives heartbeats, but a job gets no signal.
    #[error("a job that is due does not begin")]
    JobLost,
}

/// What was measured since the last check.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Time since the last check; the time for which this process was stopped or the host slept is not in it.
    pub step: Duration,
    /// Number of heartbeats so far.
    pub heartbeats: u64,
    /// The system's wall clock less the time since boot.
    pub offset: TimeDelta,
    /// Whether a job is overdue.
    pub has_overdue: bool,
    /// The wall clock.
    pub now: DateTime<Utc>,
}

/// What is known of the scheduler.
#[derive(Debug)]
pub struct SchedulerWatch {
    heartbeats: u64,
    missing: Duration,
    steady: Duration,
    since_start: Duration,
    offset: Option<TimeDelta>,
    silent_since: Option<DateTime<Utc>>,
}

impl Default for SchedulerWatch {
    fn default() -> Self {
        Self {
            heartbeats: 0,
            missing: Duration::ZERO,
            steady: Duration::ZERO,
            since_start: START_AGAIN,
            offset: None,
            silent_since: None,
        }
    }
}

impl SchedulerWatch {
    /// Since when it has been silent; `None` while it works.
    pub fn silent_since(&self) -> Option<DateTime<Utc>> {
        self.silent_since
    }

    /// Takes a measurement. Returns why the scheduler has to be started anew, if it has to.
    pub fn check(&mut self, measured: Measured) -> Option<StartAgain> {
        let Measured { step, heartbeats, offset, has_overdue, now } = measured;
        self.since_start = self.since_start.saturating_add(step);
        if heartbeats == self.heartbeats {
            self.missing = self.missing.saturating_add(step);
        } else {
            (self.heartbeats, self.missing) = (heartbeats, Duration::ZERO);
        }
        self.judge(step, now);
        let is_set_back = self.offset.replace(offset).is_some_and(|before| before - offset >= SET_BACK);
        let reason = if is_set_back {
            StartAgain::SetBack
        } else if self.since_start < START_AGAIN {
            return None;
        } else if self.missing >= SILENT {
            StartAgain::Silent
        } else if has_overdue {
            StartAgain::JobLost
        } else {
            return None;
        };
        self.since_start = Duration::ZERO;
        Some(reason)
    }

    fn judge(&mut self, step: Duration, now: DateTime<Utc>) {
        if self.missing >= SILENT {
            self.silent_since.get_or_insert_with(|| earlier(now, self.missing));
        }
        self.steady = if self.missing < REGULAR { self.steady.saturating_add(step) } else { Duration::ZERO };
        if self.steady >= STEADY {
            self.silent_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        watch: SchedulerWatch,
        measured: Measured,
    }

    impl Case {
        fn new() -> Self {
            let measured = Measured {
                step: Duration::from_secs(1),
                heartbeats: 0,
                offset: TimeDelta::zero(),
                has_overdue: false,
                now: "2027-03-01T03:00:00Z".parse().unwrap(),
            };
            Self { watch: SchedulerWatch::default(), measured }
        }

        /// So many seconds, with a heartbeat every five seconds or none.
        fn pass(&mut self, seconds: u64, with_heartbeats: bool) -> Vec<(u64, StartAgain)> {
            let mut reasons = Vec::new();
            for second in 1..=seconds {
                self.measured.now += TimeDelta::seconds(1);
                self.measured.heartbeats += u64::from(with_heartbeats && second % 5 == 0);
                reasons.extend(self.watch.check(self.measured).map(|reason| (second, reason)));
            }
            reasons
        }
    }

    #[test]
    fn silence_is_noticed_after_two_minutes_and_ends_after_one_of_regular_heartbeats() {
        let mut case = Case::new();
        assert_eq!(case.pass(3600, true), []);
        let last_heartbeat = case.measured.now;
        assert_eq!(case.pass(119, false), []);
        assert_eq!(case.watch.silent_since(), None);
        assert_eq!(case.pass(1, false), [(1, StartAgain::Silent)]);
        assert_eq!(case.watch.silent_since(), Some(last_heartbeat));
        assert_eq!(case.pass(1800, false).len(), 3, "it is tried again, but not all the time");
        assert_eq!(case.pass(63, true), []);
        assert_eq!(case.watch.silent_since(), Some(last_heartbeat), "the beginning stays");
        case.pass(10, true);
        assert_eq!(case.watch.silent_since(), None);
    }

    #[test]
    fn a_clock_that_was_set_back_starts_it_anew_at_once_and_one_that_was_set_forward_does_not() {
        let mut case = Case::new();
        case.pass(10, true);
        case.measured.offset = TimeDelta::hours(5);
        assert_eq!(case.pass(10, true), []);
        case.measured.offset = TimeDelta::hours(4);
        assert_eq!(case.pass(10, true), [(1, StartAgain::SetBack)]);
        case.measured.offset -= TimeDelta::milliseconds(900);
        assert_eq!(case.pass(10, true), [], "NTP moves it a little all the time");
        case.measured.offset -= TimeDelta::seconds(2);
        assert_eq!(case.pass(10, true), [(1, StartAgain::SetBack)], "each step counts");
    }

    #[test]
    fn a_job_that_gets_no_signal_starts_it_anew() {
        let mut case = Case::new();
        case.pass(10, true);
        case.measured.has_overdue = true;
        assert_eq!(case.pass(5, true), [(1, StartAgain::JobLost)]);
        assert_eq!(case.watch.silent_since(), None);
    }
}
