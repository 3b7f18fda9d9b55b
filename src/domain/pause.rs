//! A schedule that is paused other than in the file, and which of its slots that concerns.

use chrono::{DateTime, Utc};

use super::{calendar::zone::Zone, ids::ScheduleId, time::show};

/// The name under which the daemon pauses a schedule by itself.
pub const ITSELF: &str = "imagebaked";

/// A schedule is paused. Its slots are recorded as skipped meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// Since when.
    pub since: DateTime<Utc>,
    /// The last instant whose slot is skipped; `None`: until it is resumed.
    pub until: Option<DateTime<Utc>>,
    /// In words.
    pub reason: String,
    /// A person, or [`ITSELF`].
    pub who: String,
}

/// Neither asks for `since`: slots up to there have their rows when the pause is made, and a clock that was ahead then, and was
/// set back, must not lift the pause.
impl Pause {
    /// Whether a slot that has no row yet is skipped for it.
    pub fn covers(&self, slot: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| slot <= until)
    }

    /// Whether slots after `now` are skipped for it.
    pub fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// As the skipped rows have it, after the word `paused`, with the time in the zone of the schedule.
    pub fn words(&self, zone: Zone) -> String {
        format!("by {}{}: {}", self.who, self.bound(zone), self.reason)
    }

    /// ` until …`, where it ends by itself.
    pub fn bound(&self, zone: Zone) -> String {
        self.until.map(|until| format!(" until {}", show(until, zone))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_pause_is_in_force_as_long_as_it_covers_slots_to_come() {
        let until: DateTime<Utc> = "2026-11-26T03:00:00Z".parse().unwrap();
        let pause = |until| Pause {
            schedule_id: "golden".into(),
            since: DateTime::UNIX_EPOCH,
            until,
            reason: "patch day".to_owned(),
            who: "ann".to_owned(),
        };
        let moment = TimeDelta::milliseconds(1);
        for (at, covers, is_in_force) in
            [(until - moment, true, true), (until, true, false), (until + moment, false, false)]
        {
            let bounded = pause(Some(until));
            assert_eq!((bounded.covers(at), bounded.is_in_force(at)), (covers, is_in_force), "{at}");
            assert_eq!(bounded.is_in_force(at), bounded.covers(at + moment), "the next slot that can be: {at}");
            assert!(pause(None).covers(at) && pause(None).is_in_force(at));
        }
    }
}
