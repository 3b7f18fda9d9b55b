//! Health of the cloud connection: time without a response goes in, a problem comes out.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Problem, ProblemCode, Severity, Subject, SubjectKind, one_line};
use crate::domain::{calendar::zone::Zone, time::show};

/// Time without a response that is a warning; with an open bake it is a problem.
pub const UNANSWERED_WARNING: Duration = Duration::from_mins(1);
/// Time without a response that is always a problem.
pub const UNANSWERED_PROBLEM: Duration = Duration::from_mins(5);

/// What a host is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The calls of bakes and scans.
    Calls,
    /// The keys that sign them.
    Credentials {
        /// Until when those at hand serve, if they do.
        bridged_until: Option<DateTime<Utc>>,
    },
}

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
    /// What it is asked for.
    pub purpose: Purpose,
}

impl Outage {
    /// Severity; `None` while it is short. `has_open_bake`: whether a due bake has not ended.
    pub fn severity(&self, has_open_bake: bool) -> Option<Severity> {
        if self.lasted < UNANSWERED_WARNING {
            None
        } else if self.bridged_until().is_some() {
            // Nothing waits for it yet.
            Some(Severity::Warning)
        } else if has_open_bake || self.lasted >= UNANSWERED_PROBLEM {
            Some(Severity::Problem)
        } else {
            Some(Severity::Warning)
        }
    }

    /// The problem, with times in this zone; `None` while it is short.
    pub fn problem(&self, has_open_bake: bool, zone: Zone) -> Option<Problem> {
        let severity = self.severity(has_open_bake)?;
        Some(Problem::new(
            ProblemCode::CloudUnreachable,
            severity,
            Subject::new(SubjectKind::Cloud, self.host.as_str()),
            self.since,
            self.message(zone),
            Some("imagebaked doctor".to_owned()),
        ))
    }
}

impl Outage {
    fn bridged_until(&self) -> Option<DateTime<Utc>> {
        match self.purpose {
            Purpose::Calls => None,
            Purpose::Credentials { bridged_until } => bridged_until,
        }
    }

    fn message(&self, zone: Zone) -> String {
        let error = one_line(&self.error);
        match (self.purpose, self.bridged_until()) {
            (Purpose::Calls, _) => format!("the cloud does not answer at {}: {error}", self.host),
            (_, None) => format!("the service of the credentials does not answer: {error}"),
            (_, Some(until)) => {
                let until = show(until, zone);
                format!("the credentials cannot be renewed, those at hand serve until {until}: {error}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage(lasted: Duration, purpose: Purpose) -> Outage {
        let error = "ConnectFailed: cannot connect".to_owned();
        Outage { host: "host".to_owned(), since: DateTime::UNIX_EPOCH, lasted, error, purpose }
    }

    #[test]
    fn keys_that_serve_still_bridge_an_outage_of_their_service() {
        let (short, long) = (Duration::from_secs(59), Duration::from_mins(14));
        let found = |lasted, bridged_until| {
            let problem = outage(lasted, Purpose::Credentials { bridged_until }).problem(true, Zone::UTC)?;
            Some((problem.severity, problem.message))
        };
        let until = DateTime::from_timestamp(1_790_000_000, 0);
        assert_eq!(found(short, until), None);
        let (severity, message) = found(long, until).unwrap();
        assert_eq!(severity, Severity::Warning);
        assert!(message.starts_with("the credentials cannot be renewed, those at hand serve until "), "{message}");
        let (severity, message) = found(long, None).unwrap();
        assert_eq!(severity, Severity::Problem);
        assert!(message.starts_with("the service of the credentials does not answer: "), "{message}");
    }

    #[test]
    fn a_minute_is_a_warning_and_a_problem_with_an_open_bake_or_after_five() {
        let severity = |seconds, has_open_bake| {
            let lasted = Duration::from_secs(seconds);
            outage(lasted, Purpose::Calls).severity(has_open_bake)
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
