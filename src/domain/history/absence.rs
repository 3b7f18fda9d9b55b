//! A time without a daemon, as the history shows it: it explains slots that were missed or caught up.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::{
    calendar::zone::Zone,
    time::{rfc3339_seconds, show},
};

/// A time in which no daemon wrote the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// The last event before it.
    pub last_event: Option<DateTime<Utc>>,
    /// Whether that is the daemon's stop.
    pub stopped_in_order: bool,
    /// The start that ended it.
    pub started: DateTime<Utc>,
}

/// The same for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AbsenceDocument {
    last_event: Option<String>,
    stopped_in_order: bool,
    started: String,
}

impl Absence {
    /// `stopped in order at Thu … and started again at Fri …`.
    pub fn describe(&self, zone: Zone) -> String {
        let started = show(self.started, zone);
        match self.last_event {
            Some(at) if self.stopped_in_order => {
                format!("stopped in order at {} and started again at {started}", show(at, zone))
            }
            Some(at) => format!("ended after {}, its last event, and started again at {started}", show(at, zone)),
            None => format!("did not run before {started}"),
        }
    }

    /// For programs.
    pub fn document(&self) -> AbsenceDocument {
        AbsenceDocument {
            last_event: self.last_event.map(rfc3339_seconds),
            stopped_in_order: self.stopped_in_order,
            started: rfc3339_seconds(self.started),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_the_daemon_ended() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let mut absence = Absence {
            last_event: Some(at("2026-11-26T03:00:00Z")),
            stopped_in_order: true,
            started: at("2026-11-27T04:00:00Z"),
        };
        let start = "started again at Fri 2026-11-27 04:00 +00:00";
        let stop = "Thu 2026-11-26 03:00 +00:00";
        assert_eq!(absence.describe(Zone::UTC), format!("stopped in order at {stop} and {start}"));
        absence.stopped_in_order = false;
        assert_eq!(absence.describe(Zone::UTC), format!("ended after {stop}, its last event, and {start}"));
        absence.last_event = None;
        assert_eq!(absence.describe(Zone::UTC), "did not run before Fri 2026-11-27 04:00 +00:00");
    }
}
