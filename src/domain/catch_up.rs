//! Decides which of the slots since the last tick are baked, caught up or missed.
//!
//! A restart, a suspend, a stopped process and a clock that jumps have the same effect: some slots lie between the last tick
//! and now. Each of them ends in exactly one [`Entry`]. A long run of missed slots is counted, not enumerated, and makes one
//! entry with its count.
//!
//! ```
//! use std::time::Duration;
//! use imagebaked::domain::{calendar::{Timing, Zone}, catch_up::{SlotPolicy, CatchUp, Entry, process_slots}};
//!
//! let hour = Duration::from_secs(3600);
//! let hourly = Timing::parse(&["0 * * * *"], Zone::UTC, Duration::ZERO, "golden")?;
//! let policy = SlotPolicy { catch_up: CatchUp::Latest, window: 6 * hour, on_time: hour / 60, paused: None };
//! // The daemon was down from 00:30 to 05:30: the newest slot is caught up, one entry counts the four others.
//! let outcome = process_slots(&hourly, &policy, "2027-03-01T00:30:00Z".parse()?, "2027-03-01T05:30:00Z".parse()?);
//! assert!(matches!(outcome.entries[..], [Entry::Missed { count: 4, .. }, Entry::Due { caught_up: true, .. }]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::clock::earlier;
use crate::domain::calendar::Timing;

/// `catch_up`: which of the slots missed while the daemon could not run are caught up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// None.
    Skip,
    /// The latest inside the window.
    Latest,
    /// All inside the window.
    All,
}

/// The most slots that one tick catches up under `catch_up = "all"`: each one costs a bake.
pub const MOST_CAUGHT_UP: u64 = 1000;

/// How a schedule treats its slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotPolicy<'a> {
    /// Which late slots are caught up.
    pub catch_up: CatchUp,
    /// Maximum age of a slot that is caught up.
    pub window: Duration,
    /// Maximum age of a slot that counts as on time; all of those are due, so keep it to about a minute.
    pub on_time: Duration,
    /// Why the schedule is paused, if it is; may be empty.
    pub paused: Option<&'a str>,
}

/// The outcome of one tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessedSlots {
    /// In the order of their slots, which do not overlap.
    pub entries: Vec<Entry>,
    /// Every slot up to and including this instant is processed; the next tick starts from it.
    pub processed_until: DateTime<Utc>,
}

/// Result of one slot, or of a run of slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// To be baked.
    Due {
        /// The slot.
        slot: DateTime<Utc>,
        /// Whether it is late and caught up.
        caught_up: bool,
    },
    /// Not to be baked: all slots from `first` to `last`.
    Missed {
        /// The first of them.
        first: DateTime<Utc>,
        /// The last of them; the same as `first` if there is one.
        last: DateTime<Utc>,
        /// How many they are, at least 1.
        count: u64,
        /// The reason.
        why: Missed,
    },
}

/// Why a slot is not baked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missed {
    /// It was late, and `catch_up` is `skip`.
    CatchUpSkip,
    /// It was older than `catch_up_window`.
    OutsideWindow,
    /// It was late, and a newer slot is baked instead: `catch_up = "latest"`.
    Coalesced,
    /// There were more late slots than one tick catches up.
    TooMany,
    /// The schedule was paused: `by …: why`, or `in the file`.
    Paused(Box<str>),
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CatchUpSkip => f.write_str("missed while the daemon could not run, and catch_up is \"skip\""),
            Self::OutsideWindow => f.write_str("missed for longer than catch_up_window"),
            Self::Coalesced => f.write_str("missed, and a newer slot is baked instead"),
            Self::TooMany => write!(f, "missed, and only the latest {MOST_CAUGHT_UP} slots are caught up at once"),
            Self::Paused(reason) if reason.is_empty() => f.write_str("paused"),
            Self::Paused(reason) => write!(f, "paused {reason}"),
        }
    }
}

/// Decides the slots in (`processed_until`, `now`]. After a step back of the clock there is nothing to do until it has
/// passed `processed_until` again. For the first tick of a schedule, `processed_until` is `now`.
pub fn process_slots(
    timing: &Timing,
    policy: &SlotPolicy<'_>,
    processed_until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> ProcessedSlots {
    if now <= processed_until {
        return ProcessedSlots { entries: Vec::new(), processed_until };
    }
    let mut entries = Vec::new();
    if let Some(reason) = policy.paused {
        entries.extend(missed(timing, processed_until, now, Missed::Paused(reason.into())));
        return ProcessedSlots { entries, processed_until: now };
    }
    // Spans are open at their start, so each ends just before the oldest slot of the next one.
    let late_until = just_before(now, policy.on_time).max(processed_until);
    let outside_until = just_before(now, policy.window).clamp(processed_until, late_until);
    match policy.catch_up {
        CatchUp::Skip => entries.extend(missed(timing, processed_until, late_until, Missed::CatchUpSkip)),
        CatchUp::Latest => {
            entries.extend(missed(timing, processed_until, outside_until, Missed::OutsideWindow));
            let newest = timing.last_until(now).filter(|slot| *slot > outside_until);
            if let Some(newest) = newest {
                let older_until = (newest - TimeDelta::nanoseconds(1)).min(late_until);
                entries.extend(missed(timing, outside_until, older_until, Missed::Coalesced));
                entries.extend((newest <= late_until).then_some(Entry::Due { slot: newest, caught_up: true }));
            }
        }
        CatchUp::All => {
            entries.extend(missed(timing, processed_until, outside_until, Missed::OutsideWindow));
            let too_many_until = if timing.count(outside_until, late_until) > MOST_CAUGHT_UP {
                latest_but(timing, MOST_CAUGHT_UP, late_until).unwrap_or(outside_until)
            } else {
                outside_until
            };
            entries.extend(missed(timing, outside_until, too_many_until, Missed::TooMany));
            entries.extend(timing.between(too_many_until, late_until).map(|slot| Entry::Due { slot, caught_up: true }));
        }
    }
    entries.extend(timing.between(late_until, now).map(|slot| Entry::Due { slot, caught_up: false }));
    ProcessedSlots { entries, processed_until: now }
}

/// Slots of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first of them.
    pub first: DateTime<Utc>,
    /// The last of them.
    pub last: DateTime<Utc>,
    /// How many they are, at least 1.
    pub count: u64,
}

/// Result for a row that gives up slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Slots that it gives up.
    pub slots: Range,
    /// Slots before them, which it keeps.
    pub earlier: Option<Range>,
    /// Slots after them, which it keeps until they are due.
    pub later: Option<Range>,
}

/// What a row with the slots of `row` gives up in (`after`, `until`]; `None` if it has no slot there.
pub fn give_up(timing: &Timing, row: Range, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<GivenUp> {
    let before_first = row.first - TimeDelta::nanoseconds(1);
    let (after, until) = (after.max(before_first), until.min(row.last));
    if until <= after {
        return None;
    }
    let slots = range(timing, after, until)?;
    let earlier = range(timing, before_first, after);
    let counted = slots.count.saturating_add(earlier.map_or(0, |earlier| earlier.count));
    // By the row's own number, so that the sum of all rows does not change.
    let later = range(timing, until, row.last).map(|later| Range {
        last: row.last,
        count: row.count.saturating_sub(counted).max(1),
        ..later
    });
    Some(GivenUp { slots, earlier, later })
}

impl ProcessedSlots {
    /// Whether one entry covers several slots.
    pub fn has_range(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry, Entry::Missed { count, .. } if *count > 1))
    }

    /// Restricts the outcome to the slots in `spans`, each from after its first instant to its second one, inclusive:
    /// all other slots have their rows. The spans do not overlap.
    #[must_use]
    pub fn within(self, timing: &Timing, spans: &[(DateTime<Utc>, DateTime<Utc>)]) -> Self {
        let entries = self.entries.into_iter().flat_map(|entry| match entry {
            Entry::Due { slot, .. } => {
                let wanted = spans.iter().any(|(after, until)| *after < slot && slot <= *until);
                wanted.then_some(entry).into_iter().collect()
            }
            Entry::Missed { first, last, why, .. } => spans
                .iter()
                .filter_map(|(after, until)| {
                    let after = (*after).max(first - TimeDelta::nanoseconds(1));
                    let until = (*until).min(last);
                    let Range { first, last, count } = (after < until).then(|| range(timing, after, until))??;
                    Some(Entry::Missed { first, last, count, why: why.clone() })
                })
                .collect::<Vec<_>>(),
        });
        Self { entries: entries.collect(), processed_until: self.processed_until }
    }
}

/// All slots in (`after`, `until`], if there are any.
pub fn range(timing: &Timing, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<Range> {
    let first = timing.next_after(after).filter(|slot| *slot <= until)?;
    let last = timing.last_until(until)?;
    Some(Range { first, last, count: timing.count(after, until) })
}

/// One entry for all slots in (`after`, `until`], if there are any.
fn missed(timing: &Timing, after: DateTime<Utc>, until: DateTime<Utc>, why: Missed) -> Option<Entry> {
    let Range { first, last, count } = range(timing, after, until)?;
    Some(Entry::Missed { first, last, count, why })
}

/// The latest instant older than `age`.
fn just_before(now: DateTime<Utc>, age: Duration) -> DateTime<Utc> {
    earlier(now, age.saturating_add(Duration::from_nanos(1)))
}

/// The slot that `count` slots follow, up to and including `until`.
fn latest_but(timing: &Timing, count: u64, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
    (0..count).try_fold(timing.last_until(until)?, |slot, _| timing.last_until(slot - TimeDelta::nanoseconds(1)))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::clock::ON_TIME;

    const HOUR: Duration = Duration::from_hours(1);

    fn at(day: u32, hour: u32, minute: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, day, hour, minute, 0).unwrap()
    }

    fn timing(expressions: &[&str]) -> Timing {
        Timing::parse(expressions, crate::domain::calendar::zone::Zone::UTC, Duration::ZERO, "x").unwrap()
    }

    fn policy(catch_up: CatchUp, hours: u32) -> SlotPolicy<'static> {
        SlotPolicy { catch_up, window: HOUR * hours, on_time: ON_TIME, paused: None }
    }

    fn due(slot: DateTime<Utc>, caught_up: bool) -> Entry {
        Entry::Due { slot, caught_up }
    }

    fn missed_run(first: DateTime<Utc>, last: DateTime<Utc>, count: u64, why: Missed) -> Entry {
        Entry::Missed { first, last, count, why }
    }

    fn tick(policy: &SlotPolicy<'_>, from: DateTime<Utc>, now: DateTime<Utc>) -> Vec<Entry> {
        let processed = process_slots(&timing(&["0 * * * *"]), policy, from, now);
        assert_eq!(processed.processed_until, now.max(from));
        processed.entries
    }

    #[test]
    fn a_slot_a_minute_old_is_due_and_one_older_is_late() {
        let skip = policy(CatchUp::Skip, 24);
        assert_eq!(tick(&skip, at(1, 2, 30), at(1, 3, 0)), [due(at(1, 3, 0), false)]);
        assert_eq!(tick(&skip, at(1, 2, 30), at(1, 3, 1)), [due(at(1, 3, 0), false)]);
        let late = at(1, 3, 1) + TimeDelta::nanoseconds(1);
        let entry = missed_run(at(1, 3, 0), at(1, 3, 0), 1, Missed::CatchUpSkip);
        assert_eq!(tick(&skip, at(1, 2, 30), late), [entry]);
    }

    #[test]
    fn nothing_is_due_at_the_first_tick_or_after_a_step_back() {
        for catch_up in [CatchUp::Skip, CatchUp::Latest, CatchUp::All] {
            assert_eq!(tick(&policy(catch_up, 24), at(1, 3, 0), at(1, 3, 0)), []);
            assert_eq!(tick(&policy(catch_up, 24), at(1, 3, 0), at(1, 1, 0)), []);
        }
    }

    #[test]
    fn latest_bakes_one_and_counts_the_others() {
        let entries = tick(&policy(CatchUp::Latest, 6), at(1, 0, 30), at(2, 12, 30));
        assert_eq!(
            entries,
            [
                missed_run(at(1, 1, 0), at(2, 6, 0), 30, Missed::OutsideWindow),
                missed_run(at(2, 7, 0), at(2, 11, 0), 5, Missed::Coalesced),
                due(at(2, 12, 0), true),
            ]
        );
    }

    #[test]
    fn latest_needs_no_late_slot_when_one_is_on_time() {
        let entries = tick(&policy(CatchUp::Latest, 6), at(2, 9, 30), at(2, 12, 0));
        assert_eq!(entries, [missed_run(at(2, 10, 0), at(2, 11, 0), 2, Missed::Coalesced), due(at(2, 12, 0), false)]);
    }

    #[test]
    fn the_window_includes_its_edge() {
        let entries = tick(&policy(CatchUp::All, 2), at(2, 8, 30), at(2, 12, 0));
        assert_eq!(
            entries,
            [
                missed_run(at(2, 9, 0), at(2, 9, 0), 1, Missed::OutsideWindow),
                due(at(2, 10, 0), true),
                due(at(2, 11, 0), true),
                due(at(2, 12, 0), false),
            ]
        );
    }

    #[test]
    fn all_is_bounded() {
        let minutely = timing(&["* * * * *"]);
        let processed = process_slots(&minutely, &policy(CatchUp::All, 48), at(1, 0, 0), at(2, 0, 0));
        let run = missed_run(at(1, 0, 1), at(1, 7, 18), 438, Missed::TooMany);
        assert_eq!(processed.entries[0], run);
        // A thousand late ones, and those at 23:59 and 00:00, which are on time.
        assert_eq!(processed.entries.len(), 1 + 1000 + 2);
        assert_eq!(processed.entries[1], due(at(1, 7, 19), true));
    }

    #[test]
    fn a_pause_takes_every_slot_with_its_reason() {
        let paused = SlotPolicy { paused: Some("moving"), ..policy(CatchUp::All, 48) };
        let run = missed_run(at(1, 1, 0), at(1, 4, 0), 4, Missed::Paused("moving".into()));
        assert_eq!(tick(&paused, at(1, 0, 0), at(1, 4, 0)), [run]);
        assert_eq!(Missed::Paused("by the removal: moving".into()).to_string(), "paused by the removal: moving");
        assert_eq!(Missed::Paused("".into()).to_string(), "paused");
    }

    fn slots_of(entry: &Entry, timing: &Timing) -> Vec<DateTime<Utc>> {
        match entry {
            Entry::Due { slot, .. } => vec![*slot],
            Entry::Missed { first, last, count, .. } => {
                let slots: Vec<_> = timing.between(*first - TimeDelta::nanoseconds(1), *last).collect();
                assert_eq!(slots.len() as u64, *count);
                slots
            }
        }
    }

    proptest! {
        #[test]
        fn every_slot_is_in_exactly_one_entry(
            minutes in 0_i64..6000,
            window in 0_u64..200_000,
            on_time in 0_u64..300,
            which in 0_usize..3,
            rule in 0_usize..3,
            paused in any::<bool>(),
        ) {
            let rules: [&[&str]; 3] = [&["*/7 * * * *"], &["0 3 * * *", "30 */4 * * *"], &["13 2 * * mon"]];
            let timing = Timing::parse(rules[rule], crate::domain::calendar::zone::Zone::find("Europe/Vienna").unwrap(), Duration::ZERO, "x").unwrap();
            let policy = SlotPolicy {
                catch_up: [CatchUp::Skip, CatchUp::Latest, CatchUp::All][which],
                window: Duration::from_secs(window),
                on_time: Duration::from_secs(on_time),
                paused: paused.then_some("why"),
            };
            // The spring night of Vienna lies inside.
            let from = at(27, 0, 0);
            let now = from + TimeDelta::minutes(minutes);
            let processed = process_slots(&timing, &policy, from, now);
            let slots: Vec<_> = processed.entries.iter().flat_map(|entry| slots_of(entry, &timing)).collect();
            prop_assert_eq!(slots, timing.between(from, now).collect::<Vec<_>>());
            prop_assert_eq!(processed.processed_until, now.max(from));
        }

        #[test]
        fn a_row_keeps_what_it_does_not_give_up(a in 0_i64..600, b in 0_i64..600, c in -50_i64..650, d in -50_i64..650) {
            let timing = timing(&["*/7 * * * *"]);
            let at = |minutes: i64| at(1, 0, 0) + TimeDelta::minutes(minutes);
            let Some(row) = range(&timing, at(a.min(b)), at(a.max(b))) else { return Ok(()) };
            let all: Vec<_> = timing.between(row.first - TimeDelta::nanoseconds(1), row.last).collect();
            let of = |range: Range| -> Vec<_> {
                let slots: Vec<_> = timing.between(range.first - TimeDelta::nanoseconds(1), range.last).collect();
                assert_eq!(slots.len() as u64, range.count);
                slots
            };
            let given_up = give_up(&timing, row, at(c.min(d)), at(c.max(d)));
            let wanted: Vec<_> = all.iter().copied().filter(|slot| at(c.min(d)) < *slot && *slot <= at(c.max(d))).collect();
            match given_up {
                None => prop_assert!(wanted.is_empty()),
                Some(GivenUp { slots, earlier, later }) => {
                    prop_assert_eq!(&of(slots), &wanted);
                    let whole: Vec<_> = [earlier, Some(slots), later].into_iter().flatten().flat_map(of).collect();
                    prop_assert_eq!(whole, all);
                }
            }
        }

        #[test]
        fn an_accounting_within_spans_is_that_of_their_slots(ends in prop::collection::vec(0_i64..600, 4), which in 0_usize..3) {
            let timing = timing(&["*/7 * * * *"]);
            let at = |minutes: i64| at(1, 0, 0) + TimeDelta::minutes(minutes);
            let mut ends = ends;
            ends.sort_unstable();
            let spans = [(at(ends[0]), at(ends[1])), (at(ends[2]), at(ends[3]))];
            let policy = policy([CatchUp::Skip, CatchUp::Latest, CatchUp::All][which], 3);
            let processed = process_slots(&timing, &policy, at(0), at(600)).within(&timing, &spans);
            let slots: Vec<_> = processed.entries.iter().flat_map(|entry| slots_of(entry, &timing)).collect();
            let wanted: Vec<_> = spans.iter().flat_map(|(after, until)| timing.between(*after, *until)).collect();
            prop_assert_eq!(slots.len(), wanted.len());
            prop_assert!(wanted.iter().all(|slot| slots.contains(slot)));
        }

        #[test]
        fn two_ticks_equal_one_while_on_time(first in 0_i64..60, second in 0_i64..60) {
            let timing = timing(&["*/5 * * * * *"]);
            let from = at(1, 0, 0);
            let middle = from + TimeDelta::seconds(first.min(second));
            let now = from + TimeDelta::seconds(first.max(second));
            let policy = policy(CatchUp::Latest, 1);
            let mut steps = process_slots(&timing, &policy, from, middle).entries;
            steps.extend(process_slots(&timing, &policy, middle, now).entries);
            prop_assert_eq!(steps, process_slots(&timing, &policy, from, now).entries);
        }
    }
}
