//! The first sentence of a plan: how many bakes there are, on how many instances, when the last one is done, and who waits.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::{
    forecast::{Expected, KnownHistory, warning},
    output::short,
};
use crate::domain::{
    calendar::zone::Zone,
    ids::InstanceId,
    plan::{forecast::ASSUMED, slots::SlotAhead},
    text::counted,
    time::{
        night::{Window, end_of, tonight},
        show, show_day, show_minute,
    },
};

/// A slot, and what is expected of it.
#[derive(Debug, Clone, Copy)]
pub struct Foreseen<'a> {
    pub slot: SlotAhead<'a>,
    pub expected: Option<Expected>,
}

impl Foreseen<'_> {
    pub fn warning(&self) -> Option<String> {
        warning(self.slot.schedule, self.slot.instance, self.slot.at, self.expected?.outcome)
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: the sum is that of the first night.
    Nothing,
    /// The night.
    Tonight,
    /// The day that begins then.
    Day(DateTime<Utc>),
    /// The time up to this instant.
    Until(DateTime<Utc>),
}

/// What a sum is of: its name, and the number of slots, which are the first ones.
pub struct SumSpan {
    name: String,
    first: usize,
    after: usize,
}

impl SumSpan {
    /// That of these slots, which are sorted and are all that was asked for.
    pub fn of(asked: Asked, slots: &[Foreseen<'_>], (zone, now): (Zone, DateTime<Utc>)) -> Self {
        let until = |name: &str, to: DateTime<Utc>| format!("{name} up to {}", show_minute(to, zone));
        let all = |name: String| Self { name, first: 0, after: slots.len() };
        let night = tonight(zone, now);
        match asked {
            Asked::Tonight => all(until("Tonight,", night.to)),
            Asked::Day(first) => all(show_day(first, zone)),
            Asked::Until(last) => all(format!("Up to {}", show(last, zone))),
            Asked::Nothing => Self::first_night(slots, night, zone),
        }
    }

    /// Tonight if it has slots, otherwise the night of the first slot.
    fn first_night(slots: &[Foreseen<'_>], tonight: Window, zone: Zone) -> Self {
        let before = |end: DateTime<Utc>| slots.partition_point(|one| one.slot.at < end);
        let (first, after) = (before(tonight.from), before(tonight.to));
        let until = |name: &str, to: DateTime<Utc>| format!("{name} up to {}", show_minute(to, zone));
        if first < after {
            return Self { name: until("Tonight,", tonight.to), first, after };
        }
        let end = slots.first().map_or(tonight.to, |one| end_of(zone, one.slot.at));
        Self { name: until("The night", end), first: 0, after: before(end) }
    }
}

/// The sentence; none if there is nothing to count. `only` is the schedule that was asked for; `is_cut`: there are more slots
/// than these.
pub fn sum(
    span: &SumSpan,
    slots: &[Foreseen<'_>],
    only: Option<&str>,
    history: &KnownHistory,
    (zone, is_cut): (Zone, bool),
) -> Option<String> {
    let whose = only.map(|name| format!(" of {name}")).unwrap_or_default();
    let slots = &slots[span.first..span.after];
    let paused = slots.iter().filter(|one| history.is_paused(one.slot.schedule, one.slot.at)).count();
    let expected: Vec<(&InstanceId, Expected)> =
        slots.iter().filter_map(|one| Some((one.slot.instance, one.expected?))).collect();
    if expected.is_empty() && paused == 0 {
        return None;
    }
    let baked: Vec<_> =
        expected.iter().filter_map(|(instance, one)| Some((*instance, one.work()?.1, one.wait()))).collect();
    let instances = baked.iter().map(|(instance, ..)| *instance).collect::<HashSet<_>>().len();
    let mut text = match baked.iter().map(|(_, end, _)| *end).max() {
        None => format!("{}: no bake{whose}", span.name),
        Some(end) => {
            let basis = if history.durations.is_empty() {
                format!("if each takes {} min, as none is known yet", ASSUMED.as_secs() / 60)
            } else {
                "by the durations of former bakes".to_owned()
            };
            let more = if is_cut { "more than " } else { "" };
            let (bakes, on) = (counted(baked.len(), "bake", "bakes"), counted(instances, "instance", "instances"));
            let done = show_minute(end, zone);
            let what = if baked.len() == 1 { "done" } else { "the last done" };
            format!("{}: {more}{bakes}{whose} on {on}, {what} at {done} {basis}", span.name)
        }
    };
    if let Some(wait) = baked.iter().map(|(_, _, wait)| *wait).max().and_then(|wait| wait.to_std().ok())
        && !wait.is_zero()
    {
        text.push_str(&format!("; the longest wait is {}", short(wait)));
    }
    match expected.len() - baked.len() {
        0 => {}
        1 => text.push_str("; 1 slot is expected to be skipped"),
        n => text.push_str(&format!("; {n} slots are expected to be skipped")),
    }
    match paused {
        0 => {}
        1 => text.push_str("; 1 slot is paused"),
        n => text.push_str(&format!("; {n} slots are paused")),
    }
    text.push_str(".\n");
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::{self, Schedule};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn foreseen(schedule: &Schedule, slots: &[&str]) -> Vec<(DateTime<Utc>, InstanceId)> {
        slots.iter().map(|slot| (at(slot), schedule.instances.as_slice()[0].clone())).collect()
    }

    /// The name of the sum at an hour, and how many of these slots belong to it.
    fn span(asked: Asked, slots: &[&str], now: &str) -> (String, usize, usize) {
        let schedule = schedule::example("s", &["ecd-1"]);
        let slots = foreseen(&schedule, slots);
        let slots: Vec<Foreseen<'_>> = slots
            .iter()
            .map(|(at, instance)| Foreseen {
                slot: SlotAhead { at: *at, schedule: &schedule, place: 0, instance },
                expected: None,
            })
            .collect();
        let span = SumSpan::of(asked, &slots, (Zone::UTC, at(now)));
        (span.name, span.first, span.after)
    }

    #[test]
    fn tonight_is_the_night_of_the_page_and_a_longer_list_is_not_called_that() {
        let slots = ["2027-03-02T09:00:00Z", "2027-03-02T22:00:00Z", "2027-03-03T03:00:00Z", "2027-03-03T22:00:00Z"];
        let tonight = "Tonight, up to Wed 2027-03-03 12:00 +00:00".to_owned();
        // In the morning the slots until noon are not of tonight.
        assert_eq!(span(Asked::Nothing, &slots, "2027-03-02T08:00:00Z"), (tonight.clone(), 1, 3));
        assert_eq!(span(Asked::Nothing, &slots[1..], "2027-03-02T20:00:00Z"), (tonight.clone(), 0, 2));
        // At 02:00 it is the night that is on, and ends at noon of the same day.
        assert_eq!(span(Asked::Nothing, &slots[2..], "2027-03-03T02:00:00Z"), (tonight, 0, 1));
        let later = "The night up to Thu 2027-03-04 12:00 +00:00".to_owned();
        assert_eq!(span(Asked::Nothing, &slots[3..], "2027-03-02T14:00:00Z"), (later, 0, 1));
    }

    #[test]
    fn a_sum_of_what_was_asked_for_has_all_of_it() {
        let slots = ["2027-03-03T00:00:00Z", "2027-03-03T22:00:00Z"];
        let now = "2027-03-02T14:00:00Z";
        let day = Asked::Day(at("2027-03-03T00:00:00Z"));
        assert_eq!(span(day, &slots, now), ("Wed 2027-03-03".to_owned(), 0, 2));
        let until = Asked::Until(at("2027-03-04T00:00:00Z"));
        assert_eq!(span(until, &slots, now), ("Up to Thu 2027-03-04 00:00 +00:00".to_owned(), 0, 2));
        assert_eq!(span(Asked::Tonight, &[], now).0, "Tonight, up to Wed 2027-03-03 12:00 +00:00");
    }
}
