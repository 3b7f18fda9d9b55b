//! Bars in lanes on an axis of full hours, or their numbers where they are too many.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};

use super::{
    bars::{Bar, Beside},
    columns::Columns,
    drawing::{Drawing, Night},
    facts::Counted,
};
use crate::domain::{calendar::zone::Zone, clock::shifted, schedule_rows::outcome::Outcome, time::night::Window};

/// Maximum number of lanes that are drawn.
const LANES: usize = 12;
/// Maximum number of bars and marks that are drawn.
const MOST_DRAWN: usize = 150;
/// Minimum length of the time axis.
const SHORTEST: TimeDelta = TimeDelta::hours(4);

/// A night of these bars and marks, each in its order, and of what is only counted.
pub(super) fn drawn(
    bars: Vec<Bar>,
    beside: Vec<Beside>,
    counted: Vec<Counted>,
    window: Window,
    zone: Zone,
    is_assumed: bool,
) -> Night {
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    let marked = beside.iter().filter(|mark| mark.bake.is_some()).map(|mark| mark.outcome);
    for outcome in bars.iter().filter_map(|bar| bar.outcome).chain(marked) {
        *counts.entry(outcome).or_default() += 1;
    }
    for one in &counted {
        *counts.entry(one.outcome).or_default() += one.count;
    }
    let planned = bars.iter().filter(|bar| bar.outcome.is_none()).count();
    let late = beside.iter().filter(|mark| mark.bake.is_none()).count();
    let end = bars.iter().map(Bar::until).chain(counted.iter().map(|one| one.last_end)).max();
    let is_empty = bars.is_empty() && beside.is_empty() && counted.is_empty();
    let lanes = if counted.is_empty() { lanes(&bars, beside.len()) } else { None };
    let (drawing, (from, to)) = match lanes {
        _ if is_empty => (Drawing::Nothing, (window.from, window.to)),
        Some(lanes) => {
            let axis = axis(extent_of_bars(&lanes, &beside, window), window, zone);
            (Drawing::Lanes { lanes, beside }, axis)
        }
        None => {
            let slots = bars.iter().map(|bar| bar.slot.max(window.from)).chain(beside.iter().map(|mark| mark.slot));
            let slots = slots.chain(counted.iter().map(|one| one.slot));
            let axis = axis(extent(slots.clone(), slots, window), window, zone);
            (Drawing::Columns(Columns::new(&bars, &beside, &counted, axis)), axis)
        }
    };
    Night { name: window.name, from, to, zone, drawing, counts, planned, late, end, is_assumed }
}

/// Each bar in the first lane that is free; `None` if they are too many.
fn lanes(bars: &[Bar], beside: usize) -> Option<Vec<Vec<Bar>>> {
    if bars.len() + beside > MOST_DRAWN {
        return None;
    }
    let mut lanes: Vec<Vec<Bar>> = Vec::new();
    for bar in bars {
        let free = lanes.iter().position(|lane| lane.last().is_none_or(|last| last.until() <= bar.begin));
        match free {
            Some(lane) => lanes[lane].push(bar.clone()),
            None if lanes.len() < LANES => lanes.push(vec![bar.clone()]),
            None => return None,
        }
    }
    Some(lanes)
}

type Extent = (DateTime<Utc>, DateTime<Utc>);

fn extent_of_bars(lanes: &[Vec<Bar>], beside: &[Beside], window: Window) -> Extent {
    let begins = lanes.iter().flatten().map(|bar| bar.waited_from.unwrap_or(bar.begin).max(window.from));
    let ends = lanes.iter().flatten().map(|bar| bar.until().max(bar.planned_end).min(window.to));
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
