//! Health of the cloud connection: time without a response goes in, a problem comes out.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Problem, ProblemCode, Severity, Subject, SubjectKind, one_line};

/// Time without a response that is a warning; with an open bake it is a problem.
pub const UNANSWERED_WARNING: Duration = Duration::from_mins(1);
/// Time without a response that is always a problem.
pub const UNANSWERED_PROBLEM: Duration = Duration::from_mins(5);

/// Calls to a host of the cloud without a response since its last one, or since the start of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The host.
    pub host: String,
    /// When the first of them was sent.
    pub since: DateTime<Utc>,
    /// Time since then, by the monotonic clock.
    pub lasted: Duration,
    /// Error of the last call.
    pub error: String,
}

impl Outage {
    /// Severity; `None` while it is short. `has_open_bake`: whether a due bake has not ended.
    pub fn severity(&self, has_open_bake: bool) -> Option<Severity> {
        if self.lasted < UNANSWERED_WARNING {
            None
        } else if has_open_bake || self.lasted >= UNANSWERED_PROBLEM {
            Some(Severity::Problem)
        } else {
            Some(Severity::Warning)
        }
    }

    /// The problem; `None` while it is short.
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
