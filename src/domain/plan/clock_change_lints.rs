//! Lints of valid rules: uneven steps, days that hardly ever occur, and the effect of clock changes. A timing and an
//! instant go in, findings come out; callers decide whether and how to report them.

use std::{iter, ops::Range, time::Duration};

use crate::domain::calendar::zone::Zone;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use crate::domain::calendar::{
    Timing,
    cron::{DAY, count_in},
    field::Word,
    utc_offsets::offset_spans,
};

/// Days between two slots above which a rule counts as rare. The first Monday of a month of the year comes after 371
/// days at most.
const RARE: i64 = 400;
/// How far ahead clock changes are searched: a zone with two changes a year shows both.
const AHEAD: i64 = 370 * DAY;

/// A step that leaves another distance at the end of the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnevenStep {
    /// The bytes of the field in its expression.
    pub span: Range<usize>,
    /// The step.
    pub step: u32,
    /// What is counted: `minutes`.
    pub unit: &'static str,
    /// The last value before the field begins again.
    pub last: u32,
    /// The first value.
    pub first: u32,
    /// The distance from the last to the first; `None` if it depends on the month.
    pub gap: Option<u32>,
    /// The nearest even steps: one below and one above, if there are any.
    pub even: Vec<u32>,
}

/// A change of a zone's wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockChange {
    /// First instant after the change.
    pub at: DateTime<Utc>,
    /// What the clock would have shown.
    pub from: NaiveDateTime,
    /// What it shows.
    pub to: NaiveDateTime,
}

impl ClockChange {
    /// The times that are skipped or repeated; the end is exclusive.
    pub fn times(&self) -> Range<NaiveDateTime> {
        self.from.min(self.to)..self.from.max(self.to)
    }
}

/// Effect of a clock change on a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Fixed times that are skipped: the slot is the first instant after the change.
    MadeUp {
        /// The first of them.
        time: NaiveDateTime,
        /// Their number; all have the same slot.
        count: u64,
    },
    /// Fixed times that are repeated: only the first pass has slots.
    FirstPass {
        /// The first of them.
        time: NaiveDateTime,
        /// How many they are.
        count: u64,
    },
    /// Matches of the wall clock that are skipped, and have no slot.
    LeftOut {
        /// The first of them.
        time: NaiveDateTime,
        /// How many they are.
        count: u64,
    },
    /// Matches of the wall clock that are repeated, with two slots each.
    Twice {
        /// The first of them.
        time: NaiveDateTime,
        /// How many they are.
        count: u64,
    },
}

/// The next changes of the zone's clock after `now`, at most `n`.
pub fn clock_changes(zone: Zone, now: DateTime<Utc>, n: usize) -> Vec<ClockChange> {
    let wall = |second: i64| DateTime::from_timestamp(second, 0).map(|at| at.naive_utc());
    let from = now.timestamp().max(0);
    offset_spans(zone, from, from.saturating_add(AHEAD))
        .filter(|stretch| stretch.start > from)
        .filter_map(|stretch| {
            let shown = stretch.wall_start();
            let length = stretch.wall_end() - shown;
            let would_be = if stretch.repeated { shown + length } else { shown - stretch.skipped };
            let change = ClockChange {
                at: DateTime::from_timestamp(stretch.start, 0)?,
                from: wall(would_be)?,
                to: wall(shown)?,
            };
            (change.from != change.to).then_some(change)
        })
        .take(n)
        .collect()
}

impl Timing {
    /// The rules one by one, each as its own timing.
    pub fn rules_apart(&self) -> impl Iterator<Item = Self> + '_ {
        (0..self.len()).map(|index| self.only(index))
    }

    /// Effect of a clock change on a timing of one expression. None for an hourly one, which runs evenly.
    pub fn effect_of(&self, change: &ClockChange) -> Option<Effect> {
        let times = change.times();
        let (from, to) = (times.start.and_utc().timestamp(), times.end.and_utc().timestamp());
        let rule = self.rules().next()?;
        let time = DateTime::from_timestamp(rule.first_in(from, to)?, 0)?.naive_utc();
        let count = count_in(&iter::once(rule), from, to);
        match (rule.is_fixed(), change.to > change.from) {
            _ if rule.is_of_every_hour() => None,
            (true, true) => Some(Effect::MadeUp { time, count }),
            (true, false) => Some(Effect::FirstPass { time, count }),
            (false, true) => Some(Effect::LeftOut { time, count }),
            (false, false) => Some(Effect::Twice { time, count }),
        }
    }

    /// The next slot of a timing of one expression and the one after it, if years lie before either.
    pub fn rare_slots(&self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, Option<DateTime<Utc>>)> {
        let rule = self.rules().next()?;
        let today = now.timestamp().div_euclid(DAY);
        let next = rule.next_day(today)?;
        let after = rule.next_day(next + 1);
        if next - today <= RARE && after.is_some_and(|after| after - next <= RARE) {
            return None;
        }
        let slot = self.next_after(now)?;
        // A rule may have several slots on its day.
        let after = self.next_after(slot.checked_add_signed(TimeDelta::days(2))?);
        Some((slot, after))
    }

    /// The uneven steps of a timing of one expression.
    pub fn uneven_steps(&self) -> Vec<UnevenStep> {
        let (Some(text), Some(rule)) = (self.expressions().next(), self.rules().next()) else { return Vec::new() };
        if !text.contains('/') {
            return Vec::new();
        }
        let words: Vec<_> = Word::split(text, 0, char::is_whitespace).filter(|word| !word.text.is_empty()).collect();
        let units = &UNITS[UNITS.len().saturating_sub(words.len())..];
        let uneven = |(unit, word): (&Unit, &Word<'_>)| {
            let (values, step) = word.text.split_once('/')?;
            let step: u32 = step.parse().ok()?;
            if !["*", "?", "H", "h"].contains(&values) {
                return None;
            }
            let (first, last) = rule.bounds_of(unit.name)?;
            let size = unit.size;
            let gap = size.map(|size| size + first - last).filter(|gap| first != last && *gap != step);
            if step == 1 || (size.is_some() && gap.is_none()) {
                return None;
            }
            let divides = |step: &u32| size.is_some_and(|size| size % step == 0);
            let even =
                (2..step).rev().find(divides).into_iter().chain((step + 1..=size.unwrap_or(0) / 2).find(divides));
            let span = word.start..word.start + word.text.len();
            Some(UnevenStep { span, step, unit: unit.name, last, first, gap, even: even.collect() })
        };
        units.iter().zip(&words).filter_map(uneven).collect()
    }

    /// The longest time between two consecutive slots, with the first of them, among the slots of eight days and the
    /// one after them; at most `most` slots are compared.
    pub fn longest_gap(&self, now: DateTime<Utc>, most: usize) -> Option<(DateTime<Utc>, Duration)> {
        self.gaps(now, most).reduce(|known, other| if other.1 > known.1 { other } else { known })
    }

    /// The shortest, likewise.
    pub fn shortest_gap(&self, now: DateTime<Utc>, most: usize) -> Option<(DateTime<Utc>, Duration)> {
        self.gaps(now, most).reduce(|known, other| if other.1 < known.1 { other } else { known })
    }

    /// The slots of eight days, at most `most`, each with the time to the next one.
    fn gaps(&self, now: DateTime<Utc>, most: usize) -> impl Iterator<Item = (DateTime<Utc>, Duration)> {
        let end = now.checked_add_signed(TimeDelta::days(8)).unwrap_or(now);
        let first = self.next_after(now);
        let with_next = |slot: DateTime<Utc>| Some((slot, self.next_after(slot)?));
        iter::successors(first.and_then(with_next), move |(_, next)| with_next(*next).filter(|_| *next <= end))
            .take(self.share_of(most))
            .map(|(slot, next)| (slot, (next - slot).to_std().unwrap_or_default()))
    }
}

/// What a field counts, and its number of values.
struct Unit {
    name: &'static str,
    size: Option<u32>,
}

/// In the order of the fields.
const UNITS: [Unit; 6] = [
    Unit { name: "seconds", size: Some(60) },
    Unit { name: "minutes", size: Some(60) },
    Unit { name: "hours", size: Some(24) },
    Unit { name: "days", size: None },
    Unit { name: "months", size: Some(12) },
    Unit { name: "weekdays", size: Some(7) },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> Zone {
        Zone::find("Europe/Berlin").unwrap()
    }

    fn timing(expression: &str, zone: Zone) -> Timing {
        Timing::parse(&[expression], zone, Duration::ZERO, "x").unwrap()
    }

    fn now() -> DateTime<Utc> {
        "2027-01-15T12:00:00Z".parse().unwrap()
    }

    fn wall(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn the_next_two_changes_of_a_clock_are_found() {
        let changes = clock_changes(berlin(), now(), 2);
        let report: Vec<_> = changes.iter().map(|change| (change.at.to_rfc3339(), change.from, change.to)).collect();
        assert_eq!(
            report,
            [
                ("2027-03-28T01:00:00+00:00".into(), wall("2027-03-28T02:00:00"), wall("2027-03-28T03:00:00")),
                ("2027-10-31T01:00:00+00:00".into(), wall("2027-10-31T03:00:00"), wall("2027-10-31T02:00:00")),
            ]
        );
        assert_eq!(clock_changes(crate::domain::calendar::zone::Zone::find("Asia/Shanghai").unwrap(), now(), 2), []);
        let lord_howe =
            clock_changes(crate::domain::calendar::zone::Zone::find("Australia/Lord_Howe").unwrap(), now(), 2);
        assert_eq!(lord_howe[0].from - lord_howe[0].to, TimeDelta::minutes(30), "its autumn comes first");
    }

    #[test]
    fn each_kind_of_rule_meets_a_change_in_its_way() {
        let effects = |expression| {
            let timing = timing(expression, berlin());
            clock_changes(berlin(), now(), 2).iter().filter_map(|change| timing.effect_of(change)).collect::<Vec<_>>()
        };
        let (spring, autumn) = (wall("2027-03-28T02:30:00"), wall("2027-10-31T02:30:00"));
        assert_eq!(
            effects("30 2 * * *"),
            [Effect::MadeUp { time: spring, count: 1 }, Effect::FirstPass { time: autumn, count: 1 }]
        );
        assert_eq!(
            effects("30-59/10 2 * * *"),
            [Effect::LeftOut { time: spring, count: 3 }, Effect::Twice { time: autumn, count: 3 }]
        );
        assert_eq!(effects("30 2 * * mon-fri"), [], "clocks change on Sundays");
        assert_eq!(effects("30 3 * * *"), []);
        assert_eq!(effects("30 * * * *"), [], "every hour goes on evenly");
    }

    #[test]
    fn slots_agree_with_the_reported_effects() {
        for expression in ["30 2 * * *", "0,30 2 * * *", "*/10 2 * * *", "15 1-4 * * *"] {
            let timing = timing(expression, berlin());
            for change in clock_changes(berlin(), now(), 2) {
                let slots = |days: i64| {
                    let from = change.at - TimeDelta::hours(3) + TimeDelta::days(days);
                    timing.count(from, from + TimeDelta::hours(6))
                };
                // The hours from 23 to 5 of the night before, which has no clock change.
                let (ordinary, that_night) = (slots(-1), slots(0));
                let report = match timing.effect_of(&change).unwrap() {
                    Effect::MadeUp { count, .. } => ordinary - count + 1,
                    Effect::FirstPass { .. } => ordinary,
                    Effect::LeftOut { count, .. } => ordinary - count,
                    Effect::Twice { count, .. } => ordinary + count,
                };
                assert_eq!(that_night, report, "{expression} at {}", change.at);
            }
        }
    }

    #[test]
    fn steps_that_do_not_come_out_even_are_reported() {
        let uneven = |expression| {
            let found = timing(expression, Zone::UTC).uneven_steps();
            found.into_iter().map(|step| (step.span, step.unit, step.last, step.gap, step.even)).collect::<Vec<_>>()
        };
        assert_eq!(uneven("*/7 3 * * *"), [(0..3, "minutes", 56, Some(4), vec![6, 10])]);
        assert_eq!(uneven("0 */5 * * *"), [(2..5, "hours", 20, Some(4), vec![4, 6])]);
        assert_eq!(uneven("0 0 0 */2 * *"), [(6..9, "days", 31, None, vec![])]);
        assert_eq!(uneven("0 0 1 */5 *"), [(6..9, "months", 11, Some(2), vec![4, 6])]);
        assert_eq!(uneven("*/45 * * * *"), [(0..4, "minutes", 45, Some(15), vec![30])]);
        for even in ["*/15 * * * *", "0 */6 * * *", "8-20/5 3 * * *", "@daily", "*/1 * * * *", "0 0 1 */3 *"] {
            assert_eq!(uneven(even), [], "{even}");
        }
    }

    #[test]
    fn days_that_hardly_ever_come_are_reported() {
        let rare = |expression| timing(expression, Zone::UTC).rare_slots(now());
        let leap: DateTime<Utc> = "2028-02-29T03:00:00Z".parse().unwrap();
        assert_eq!(rare("0 3 29 2 *"), Some((leap, Some("2032-02-29T03:00:00Z".parse().unwrap()))));
        for often in ["0 3 L 2 *", "0 0 1 1 *", "0 0 * 1 mon#1", "0 3 * * *", "0 3 31 * *"] {
            assert_eq!(rare(often), None, "{often}");
        }
    }

    #[test]
    fn the_longest_gap_is_that_of_the_weekend() {
        let (slot, gap) = timing("0 3 * * mon-fri", Zone::UTC).longest_gap(now(), 300).unwrap();
        assert_eq!((slot.to_rfc3339().as_str(), gap), ("2027-01-22T03:00:00+00:00", Duration::from_hours(72)));
        let (_, gap) = timing("0 3 1 * *", Zone::UTC).longest_gap(now(), 300).unwrap();
        assert_eq!(gap, Duration::from_hours(28 * 24));
    }
}
