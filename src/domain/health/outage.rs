//! A cloud that does not answer: since when, and how much that weighs.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Problem, ProblemCode, Severity, Subject, SubjectKind, one_line};

/// So long without an answer is a warning, while calls are made; where a bake is open, its slot is at stake: a problem.
pub const UNANSWERED_WARNING: Duration = Duration::from_mins(1);
/// So long without an answer is a problem, whatever there is to do.
pub const UNANSWERED_PROBLEM: Duration = Duration::from_mins(5);

/// Calls to a host of the cloud have had no answer since the last one that had, or since the start of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The host.
    pub host: String,
    /// When the first of them was sent.
    pub since: DateTime<Utc>,
    /// The time since then, by a clock that nobody sets.
    pub lasted: Duration,
    /// What the last of them met.
    pub error: String,
}

impl Outage {
    /// What it weighs; `None` while it is short. `has_open_bake`: whether a slot has come whose bake is not over.
    pub fn severity(&self, has_open_bake: bool) -> Option<Severity> {
        if self.lasted < UNANSWERED_WARNING {
            None
        } else if has_open_bake || self.lasted >= UNANSWERED_PROBLEM {
            Some(Severity::Problem)
        } else {
            Some(Severity::Warning)
        }
    }

    /// The problem that it is; `None` while it is short.
    pub fn problem(&self, has_open_bake: bool) -> Option<Problem> {
        let severity = self.severity(has_open_bake)?;
        Some(Problem::new(
            ProblemCode::CloudUnreachable,
            severity,
            Subject::new(SubjectKind::Cloud, self.host.as_str()),
            self.since,
            format!("the cloud does not answer at {}: {}", self.host, one_line(&self.error)),
            Some("imagebaked doctor".to_owned()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_a_warning_and_a_problem_with_an_open_bake_or_after_five() {
        let severity = |seconds, has_open_bake| {
            let lasted = Duration::from_secs(seconds);
            let error = "ConnectFailed: cannot connect".to_owned();
            Outage { host: "host".to_owned(), since: DateTime::UNIX_EPOCH, lasted, error }.severity(has_open_bake)
        };
        for (seconds, idle, with_open_bake) in [
            (0, None, None),
            (59, None, None),
            (60, Some(Severity::Warning), Some(Severity::Problem)),
            (299, Some(Severity::Warning), Some(Severity::Problem)),
            (300, Some(Severity::Problem), Some(Severity::Problem)),
        ] {
            assert_eq!((severity(seconds, false), severity(seconds, true)), (idle, with_open_bake), "{seconds} s");
        }
    }
}
