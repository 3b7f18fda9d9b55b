//! A night as a timeline: a lane per builder with what was baked and what is planned, lanes of those that wait, and beside
//! them what got no builder. A crowded night is counted in columns instead.
//!
//! A night is the time from noon to noon. It is computed from rows of the history, the schedules and the learned durations.

mod bars;
pub mod columns;
mod drawing;
mod facts;
mod lanes;
mod plan;

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};

use self::lanes::{Shown, drawn};
use crate::domain::{calendar::zone::Zone, clock::shifted, time::night::windows};

pub use self::{
    bars::{Bar, Beside, Wait},
    drawing::{Drawing, Night},
    facts::{Counted, Facts, Recorded},
};

/// The last night and the coming or current one, each from noon to noon in `zone`; the current one first while it is on.
pub fn nights(facts: &Facts, zone: Zone, now: DateTime<Utc>) -> [Night; 2] {
    let windows = windows(zone, now);
    let last = windows.iter().map(|window| window.to).max().unwrap_or(now);
    let (mut bars, mut beside) = of_history(facts, now);
    plan::add(facts, now, last, &mut bars, &mut beside);
    bars.sort_by_key(|bar| (bar.begin, bar.slot));
    beside.sort_by_key(|mark| mark.slot);
    windows.map(|window| {
        let bars = taken(&mut bars, |bar| window.has(bar.begin));
        let beside = taken(&mut beside, |mark| window.has(mark.slot));
        let counted = facts.counted.iter().filter(|counted| window.has(counted.slot)).copied().collect();
        let of_this = |bake: &&Recorded| bake.is_former && window.has(bake.begun_at.unwrap_or(bake.slot));
        let counts = bake_numbers(&bars, &beside);
        let former = facts.recorded.iter().filter(of_this).filter(|bake| counts.contains(&bake.bake)).count();
        let shown = Shown { bars, beside, counted, former, builders: facts.builders.all };
        drawn(shown, window, zone, facts.durations.is_empty())
    })
}

/// The numbers of the bakes that have ended or begun.
fn bake_numbers(bars: &[Bar], beside: &[Beside]) -> HashSet<i64> {
    let bars = bars.iter().filter(|bar| bar.outcome.is_some()).filter_map(|bar| bar.bake);
    bars.chain(beside.iter().filter_map(|mark| mark.bake)).collect()
}

/// Removes some elements and returns them, in their order.
fn taken<T>(all: &mut Vec<T>, is_wanted: impl FnMut(&T) -> bool) -> Vec<T> {
    let (wanted, rest) = std::mem::take(all).into_iter().partition(is_wanted);
    *all = rest;
    wanted
}

/// Instant from which rows of the history are needed: a bake begins after its slot.
pub fn needed_from(zone: Zone, now: DateTime<Utc>) -> DateTime<Utc> {
    let first = windows(zone, now).iter().map(|window| window.from).min();
    shifted(first.unwrap_or(now), -TimeDelta::days(1))
}

/// What has begun or ended.
fn of_history(facts: &Facts, now: DateTime<Utc>) -> (Vec<Bar>, Vec<Beside>) {
    let (mut bars, mut beside) = (Vec::new(), Vec::new());
    for bake in &facts.recorded {
        let outcome = bake.outcome();
        match bake.begun_at {
            // What has gone back to the queue is planned again.
            _ if bake.is_queued() => {}
            Some(begin) => bars.push(Bar {
                bake: Some(bake.bake),
                schedule: bake.schedule.clone(),
                instance: bake.instance.clone(),
                slot: bake.slot,
                begin,
                planned_end: facts.expected_end(&bake.line, begin),
                end: Some(bake.finished_at.unwrap_or(now).max(begin)),
                outcome: Some(outcome),
                waited_from: (begin - bake.slot > TimeDelta::minutes(1)).then_some(bake.slot),
                waits_for: None,
                deadline: None,
            }),
            None => beside.push(Beside {
                bake: Some(bake.bake),
                schedule: bake.schedule.clone(),
                slot: bake.slot,
                outcome,
                reason: bake.reason.clone().unwrap_or_default(),
            }),
        }
    }
    (bars, beside)
}

#[cfg(test)]
#[path = "night_tests.rs"]
mod tests;
