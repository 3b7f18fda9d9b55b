//! What a plan says of the present: bakes that are open, and slots that are due and that no daemon has recorded. Neither is a slot
//! to come, and both are part of the night.

use chrono::{DateTime, TimeDelta, Utc};

use super::{forecast::KnownHistory, presence::Presence};
use crate::domain::{calendar::zone::Zone, clock::shifted, schedule::Schedule, text::counted, time::show};

/// A daemon records a slot within seconds.
const RECORDED_WITHIN: TimeDelta = TimeDelta::seconds(10);

/// What is open or due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    open: usize,
    due: u64,
    first_due: Option<DateTime<Utc>>,
}

impl Present {
    /// That of these schedules.
    pub fn of(history: &KnownHistory, schedules: &[&Schedule], now: DateTime<Utc>) -> Self {
        let late = shifted(now, -RECORDED_WITHIN);
        let (mut due, mut first_due) = (0, None);
        for schedule in schedules {
            for instance in schedule.instances.as_slice() {
                let Some(recorded) = history.recorded_until(&schedule.id, instance) else { continue };
                let first = schedule.timing.next_after(recorded);
                let Some(first) = first.filter(|first| *first <= late && !history.is_paused(schedule, *first)) else {
                    continue;
                };
                due += schedule.timing.count(recorded, late);
                first_due = Some(first_due.map_or(first, |known: DateTime<Utc>| known.min(first)));
            }
        }
        Self { open: history.open_bakes(schedules), due, first_due }
    }

    /// A sentence on it; none if there is nothing.
    pub fn sentence(self, presence: &Presence, zone: Zone) -> Option<String> {
        let is_followed = presence.may_follow();
        let open = (self.open > 0).then(|| {
            let bakes = counted(self.open, "bake", "bakes");
            match (is_followed, self.open) {
                (true, 1) => format!("{bakes} is queued or at work"),
                (true, _) => format!("{bakes} are queued or at work"),
                (false, 1) => format!("{bakes} is open, with which nothing goes on"),
                (false, _) => format!("{bakes} are open, with which nothing goes on"),
            }
        });
        let due = self.first_due.map(|first| {
            let slots = counted(usize::try_from(self.due).unwrap_or(usize::MAX), "slot", "slots");
            let (since, verb) = (show(first, zone), if self.due == 1 { "is" } else { "are" });
            let held = presence.slots_held().map_or_else(String::new, |why| format!(": {why}"));
            format!("{slots} since {since} {verb} due and not recorded yet{held}")
        });
        let parts: Vec<String> = [open, due].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("Now: {}.\n", parts.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::example;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_due_and_has_no_row_is_named() {
        let golden = example("golden", &["ecd-1"]);
        let recorded = at("2027-03-02T12:00:00Z");
        let slot = golden.timing.next_after(recorded).unwrap();
        let history = KnownHistory::recorded(&golden.id, &"ecd-1".into(), recorded);
        let present = |now| Present::of(&history, &[&golden], now).sentence(&Presence::Unknown, Zone::UTC);
        assert_eq!(present(slot + TimeDelta::seconds(9)), None, "the daemon has some seconds for it");
        let sentence = present(slot + TimeDelta::seconds(10)).unwrap();
        let since = show(slot, Zone::UTC);
        assert_eq!(sentence, format!("Now: 1 slot since {since} is due and not recorded yet.\n"));
        let next = golden.timing.next_after(slot).unwrap();
        let sentence = present(next + TimeDelta::minutes(1)).unwrap();
        assert_eq!(sentence, format!("Now: 2 slots since {since} are due and not recorded yet.\n"));
    }
}
