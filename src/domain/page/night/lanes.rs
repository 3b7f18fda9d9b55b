//! Bars in lanes on an axis of full hours, or their numbers where they are too many.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};

use super::{
    bars::{Bar, Beside, Wait},
    columns::Columns,
    drawing::{Drawing, Night},
    facts::Counted,
};
use crate::domain::{calendar::zone::Zone, clock::shifted, schedule_rows::outcome::Outcome, time::night::Window};

/// Maximum number of lanes that are drawn, of all kinds.
const LANES: usize = 16;
/// Maximum number of bars and marks that are drawn.
const MOST_DRAWN: usize = 150;
/// Minimum length of the time axis.
const SHORTEST: TimeDelta = TimeDelta::hours(4);

/// What there is of a night.
pub(super) struct Shown {
    /// In the order of their begin.
    pub(super) bars: Vec<Bar>,
    /// In the order of their slots.
    pub(super) beside: Vec<Beside>,
    /// What is only counted.
    pub(super) counted: Vec<Counted>,
    /// How many of the bars and marks are of former schedules.
    pub(super) former: usize,
    /// Maximum number of images that are made at once.
    pub(super) builders: usize,
}

/// The drawing of a night.
pub(super) fn drawn(shown: Shown, window: Window, zone: Zone, is_assumed: bool) -> Night {
    let Shown { bars, beside, counted, former, builders } = shown;
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    let marked = beside.iter().filter(|mark| mark.bake.is_some()).map(|mark| mark.outcome);
    for outcome in bars.iter().filter_map(|bar| bar.outcome).chain(marked) {
        *counts.entry(outcome).or_default() += 1;
    }
    for one in &counted {
        *counts.entry(one.outcome).or_default() += one.count;
    }
    let former = former + counted.iter().filter(|one| one.is_former).map(|one| one.count).sum::<usize>();
    let planned = bars.iter().filter(|bar| bar.outcome.is_none()).count();
    let late = beside.iter().filter(|mark| mark.bake.is_none()).count();
    let end = bars.iter().map(Bar::until).chain(counted.iter().map(|one| one.last_end)).max();
    let is_empty = bars.is_empty() && beside.is_empty() && counted.is_empty();
    let lanes = if counted.is_empty() { Lanes::of(&bars, beside.len(), builders) } else { None };
    let (drawing, (from, to)) = match lanes {
        _ if is_empty => (Drawing::Nothing, (window.from, window.to)),
        Some(lanes) => {
            let axis = axis(extent_of_bars(&bars, &beside, window), window, zone);
            let Lanes { builders, others, waiting } = lanes;
            (Drawing::Lanes { builders, others, waiting, beside }, axis)
        }
        None => {
            let slots = bars.iter().map(|bar| bar.slot.max(window.from)).chain(beside.iter().map(|mark| mark.slot));
            let slots = slots.chain(counted.iter().map(|one| one.slot));
            let axis = axis(extent(slots.clone(), slots, window), window, zone);
            (Drawing::Columns(Columns::new(&bars, &beside, &counted, axis)), axis)
        }
    };
    Night { name: window.name, from, to, zone, drawing, counts, former, planned, late, end, is_assumed }
}

/// The lanes of a night, each with what lies in it in its order.
#[derive(Default)]
struct Lanes {
    builders: Vec<Vec<Bar>>,
    others: Vec<Vec<Bar>>,
    waiting: Vec<Vec<Wait>>,
}

impl Lanes {
    /// Each bar in the first builder that is free, and its wait in a lane of its own kind; `None` if they are too many.
    fn of(bars: &[Bar], beside: usize, builders: usize) -> Option<Self> {
        if bars.len() + beside > MOST_DRAWN {
            return None;
        }
        let mut lanes = Self::default();
        for bar in bars {
            let (begin, until) = (bar.begin, Bar::until);
            if !add(&mut lanes.builders, builders, bar, begin, until) {
                add(&mut lanes.others, usize::MAX, bar, begin, until);
            }
        }
        let waits = bars.iter().filter_map(|bar| Some(Wait { from: bar.waited_from?, bar: bar.clone() }));
        let mut waits: Vec<Wait> = waits.filter(|wait| wait.from < wait.bar.begin).collect();
        waits.sort_by_key(|wait| (wait.from, wait.bar.begin));
        for wait in &waits {
            add(&mut lanes.waiting, usize::MAX, wait, wait.from, |wait| wait.bar.begin);
        }
        let all = lanes.builders.len() + lanes.others.len() + lanes.waiting.len();
        (all <= LANES).then_some(lanes)
    }
}

/// Adds something to the first lane whose last element has ended by its begin, or to a new one; whether there was one.
fn add<T: Clone>(
    lanes: &mut Vec<Vec<T>>,
    most: usize,
    one: &T,
    begin: DateTime<Utc>,
    until: impl Fn(&T) -> DateTime<Utc>,
) -> bool {
    let free = lanes.iter().position(|lane| lane.last().is_none_or(|last| until(last) <= begin));
    match free {
        Some(lane) => lanes[lane].push(one.clone()),
        None if lanes.len() < most => lanes.push(vec![one.clone()]),
        None => return false,
    }
    true
}

type Extent = (DateTime<Utc>, DateTime<Utc>);

fn extent_of_bars(bars: &[Bar], beside: &[Beside], window: Window) -> Extent {
    let begins = bars.iter().map(|bar| bar.waited_from.unwrap_or(bar.begin).max(window.from));
    let ends = bars.iter().map(|bar| bar.until().max(bar.planned_end).min(window.to));
    let marks = beside.iter().map(|mark| mark.slot);
    extent(begins.chain(marks.clone()), ends.chain(marks), window)
}

fn extent(
    begins: impl Iterator<Item = DateTime<Utc>>,
    ends: impl Iterator<Item = DateTime<Utc>>,
    window: Window,
) -> Extent {
    (begins.min().unwrap_or(window.from), ends.max().unwrap_or(window.to))
}

/// Full hours around these instants within the night.
fn axis((first, last): Extent, Window { from, to, .. }: Window, zone: Zone) -> Extent {
    // Offsets of zones are not always full hours.
    let into_hour = |at: DateTime<Utc>| {
        let local = at.with_timezone(&zone);
        TimeDelta::seconds(i64::from(local.minute() * 60 + local.second()))
            + TimeDelta::milliseconds(at.timestamp_subsec_millis().into())
    };
    let begin = shifted(first, -into_hour(first)).max(from);
    let hour_after = |at: DateTime<Utc>| shifted(at, TimeDelta::hours(1) - into_hour(at));
    let end = hour_after(last).min(to);
    let missing = SHORTEST - (end - begin);
    if missing <= TimeDelta::zero() {
        return (begin, end);
    }
    let end = (end + missing).min(to);
    let begin = (end - SHORTEST).min(begin).max(from);
    (begin, end)
}
