//! A night as a timeline: a lane per builder with what was baked and what is planned, and beside it what got no builder.
//!
//! A night is the time from noon to noon. It is computed from rows of the history, the schedules and the learned durations.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, NaiveTime, TimeDelta, Timelike as _, Utc};

use super::strip::Outcome;
use crate::domain::{
    calendar::zone::Zone,
    clock::shifted,
    ids::{InstanceId, LineId},
    plan::{
        forecast::{Builders, Coming, Durations, ForecastOutcome, RunningBake, forecast},
        slots::slots_ahead,
    },
    schedule::{Overlap, Schedule},
    time::first_at,
};

/// Maximum number of planned slots.
const MOST_PLANNED: usize = 20_000;
/// Maximum number of lanes that are drawn.
pub const LANES: usize = 12;
/// Maximum number of bars and marks of a night that are drawn.
const MOST_DRAWN: usize = 400;
/// Minimum length of the time axis.
const SHORTEST: TimeDelta = TimeDelta::hours(4);

/// A bake as the history has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The bake's number.
    pub bake: i64,
    /// The schedule's name.
    pub schedule: String,
    /// The instance.
    pub instance: InstanceId,
    /// The line.
    pub line: LineId,
    /// Region of the instance.
    pub region: String,
    /// The slot.
    pub slot: DateTime<Utc>,
    /// Number of slots of the row.
    pub slot_count: i64,
    /// The word of its state.
    pub state: String,
    /// Its reason.
    pub reason: Option<String>,
    /// Instant of its next step.
    pub wake_at: Option<DateTime<Utc>>,
    /// Its deadline.
    pub give_up_at: Option<DateTime<Utc>>,
    /// Its first call that changed something.
    pub begun_at: Option<DateTime<Utc>>,
    /// Its end.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Recorded {
    /// Its result.
    pub fn outcome(&self) -> Outcome {
        Outcome::of(&self.state)
    }

    /// How long it took from its first call to its end; `None` while it runs and for one without a call.
    pub fn took(&self) -> Option<TimeDelta> {
        let took = self.finished_at? - self.begun_at?;
        (took > TimeDelta::zero()).then_some(took)
    }
}

/// What a night is computed from.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Bakes of the last two days, and all open ones.
    pub recorded: Vec<Recorded>,
    /// Schedules in force that are not paused.
    pub schedules: Vec<Arc<Schedule>>,
    /// Durations of former bakes.
    pub durations: Durations,
    /// Maximum number of images that are made at once.
    pub builders: Builders,
}

/// A bake on a builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// The bake's number; `None` if its slot has not come.
    pub bake: Option<i64>,
    /// The schedule's name.
    pub schedule: String,
    /// The instance.
    pub instance: InstanceId,
    /// The slot.
    pub slot: DateTime<Utc>,
    /// It got a builder.
    pub begin: DateTime<Utc>,
    /// Its end by the durations of former bakes.
    pub planned_end: DateTime<Utc>,
    /// Its real end, or now while it runs; `None` if it has not begun.
    pub end: Option<DateTime<Utc>>,
    /// Its result; `None` if it has not begun.
    pub outcome: Option<Outcome>,
    /// From when to when it waited for a builder, if it did.
    pub waited_from: Option<DateTime<Utc>>,
    /// Until when it must have begun; `None` once it has.
    pub deadline: Option<DateTime<Utc>>,
}

impl Bar {
    /// When its lane is free again.
    fn until(&self) -> DateTime<Utc> {
        match (self.end, self.outcome) {
            (Some(end), Some(outcome)) if !outcome.is_open() => end,
            (Some(end), _) => end.max(self.planned_end),
            (None, _) => self.planned_end,
        }
    }
}

/// A slot without a builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The bake's number; `None` if its slot has not come.
    pub bake: Option<i64>,
    /// The schedule's name.
    pub schedule: String,
    /// The slot.
    pub slot: DateTime<Utc>,
    /// Its result, or the expected one.
    pub outcome: Outcome,
    /// Its reason.
    pub reason: String,
}

/// A night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Night {
    /// First instant of the axis, a full hour.
    pub from: DateTime<Utc>,
    /// Last instant of the axis, a full hour.
    pub to: DateTime<Utc>,
    /// Zone of the axis.
    pub zone: Zone,
    /// Bars of each builder in their order.
    pub lanes: Vec<Vec<Bar>>,
    /// Slots without a builder, in their order.
    pub beside: Vec<Beside>,
    /// Number of bars and marks that are not drawn.
    pub more: usize,
    /// Number of bakes of each result, drawn or not.
    pub counts: BTreeMap<Outcome, usize>,
    /// Number of planned bakes.
    pub planned: usize,
    /// Number of slots that are expected to be skipped.
    pub late: usize,
    /// End of the last bake, real or planned.
    pub end: Option<DateTime<Utc>>,
    /// Whether no duration is known yet.
    pub is_assumed: bool,
}

impl Night {
    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.beside.is_empty()
    }
}

/// The last night and the coming one, each from noon to noon in `zone`.
pub fn nights(facts: &Facts, zone: Zone, now: DateTime<Utc>) -> [Night; 2] {
    let noon = noons(zone, now);
    let (mut bars, mut beside) = of_history(facts, now);
    of_plan(facts, now, noon[2], &mut bars, &mut beside);
    bars.sort_by_key(|bar| (bar.begin, bar.slot));
    beside.sort_by_key(|mark| mark.slot);
    let night = |from, to| {
        let bars = bars.iter().filter(|bar| from <= bar.begin && bar.begin < to).cloned().collect();
        let beside = beside.iter().filter(|mark| from <= mark.slot && mark.slot < to).cloned().collect();
        drawn(bars, beside, (from, to), zone, facts.durations.is_empty())
    };
    [night(noon[0], noon[1]), night(noon[1], noon[2])]
}

/// Instant from which rows of the history are needed.
pub fn needed_from(zone: Zone, now: DateTime<Utc>) -> DateTime<Utc> {
    shifted(noons(zone, now)[0], -TimeDelta::days(1))
}

/// Noon of yesterday, today and tomorrow.
fn noons(zone: Zone, now: DateTime<Utc>) -> [DateTime<Utc>; 3] {
    let noon = NaiveTime::MIN + TimeDelta::hours(12);
    let today = now.with_timezone(&zone).date_naive();
    [-1, 0, 1].map(|days| {
        let date = today.checked_add_signed(TimeDelta::days(days)).unwrap_or(today);
        first_at(date.and_time(noon), zone)
    })
}

/// What has begun or ended.
fn of_history(facts: &Facts, now: DateTime<Utc>) -> (Vec<Bar>, Vec<Beside>) {
    let (mut bars, mut beside) = (Vec::new(), Vec::new());
    for bake in &facts.recorded {
        let outcome = bake.outcome();
        match bake.begun_at {
            Some(begin) => bars.push(Bar {
                bake: Some(bake.bake),
                schedule: bake.schedule.clone(),
                instance: bake.instance.clone(),
                slot: bake.slot,
                begin,
                planned_end: expected_end(facts, &bake.line, begin),
                end: Some(bake.finished_at.unwrap_or(now).max(begin)),
                outcome: Some(outcome),
                waited_from: (begin - bake.slot > TimeDelta::minutes(1)).then_some(bake.slot),
                deadline: None,
            }),
            None if bake.finished_at.is_some() => beside.push(Beside {
                bake: Some(bake.bake),
                schedule: bake.schedule.clone(),
                slot: bake.slot,
                outcome,
                reason: bake.reason.clone().unwrap_or_default(),
            }),
            None => {}
        }
    }
    (bars, beside)
}

/// What is queued and what will be due.
fn of_plan(facts: &Facts, now: DateTime<Utc>, until: DateTime<Utc>, bars: &mut Vec<Bar>, beside: &mut Vec<Beside>) {
    let open = |bake: &&Recorded| bake.finished_at.is_none();
    let running: Vec<RunningBake<'_>> = facts
        .recorded
        .iter()
        .filter(open)
        .filter_map(|bake| {
            let until = expected_end(facts, &bake.line, bake.begun_at?).max(now);
            Some(RunningBake { instance: &bake.instance, region: &bake.region, until })
        })
        .collect();
    let queued: Vec<&Recorded> = facts.recorded.iter().filter(open).filter(|bake| bake.begun_at.is_none()).collect();
    let mut slots: Vec<(Option<i64>, &str)> = Vec::new();
    let mut coming: Vec<Coming<'_>> = Vec::new();
    for bake in &queued {
        slots.push((Some(bake.bake), &bake.schedule));
        coming.push(Coming {
            slot: bake.slot,
            not_before: bake.wake_at.unwrap_or(bake.slot).max(now),
            give_up_at: bake.give_up_at.unwrap_or(DateTime::<Utc>::MAX_UTC),
            instance: &bake.instance,
            region: &bake.region,
            overlap: Overlap::Queue,
            takes: facts.durations.expected(&bake.line),
        });
    }
    for slot in slots_ahead(facts.schedules.iter().map(|one| &**one), now, until).take(MOST_PLANNED) {
        slots.push((None, slot.schedule.name.as_str()));
        coming.push(Coming {
            slot: slot.at,
            not_before: slot.schedule.timing.begin(slot.at, slot.schedule.id.as_str()),
            give_up_at: slot.schedule.settings.give_up_at(slot.at, slot.at),
            instance: slot.instance,
            region: &slot.schedule.settings.instance_region,
            overlap: slot.schedule.overlap,
            takes: facts.durations.expected(&slot.schedule.line(slot.instance)),
        });
    }
    let outcomes = forecast(&coming, &running, facts.builders);
    for ((&(bake, schedule), coming), outcome) in slots.iter().zip(&coming).zip(outcomes) {
        let missed = |reason: &str| Beside {
            bake,
            schedule: schedule.to_owned(),
            slot: coming.slot,
            outcome: Outcome::Skipped,
            reason: reason.to_owned(),
        };
        match outcome {
            ForecastOutcome::Baked { begin, end, .. } => bars.push(Bar {
                bake,
                schedule: schedule.to_owned(),
                instance: coming.instance.clone(),
                slot: coming.slot,
                begin,
                planned_end: end,
                end: None,
                outcome: None,
                waited_from: (begin > coming.not_before.max(coming.slot)).then_some(coming.slot),
                deadline: Some(coming.give_up_at),
            }),
            ForecastOutcome::TooLate => beside.push(missed("would wait past its deadline")),
            ForecastOutcome::Overlaps => beside.push(missed("another bake of its instance is not over by then")),
        }
    }
}

fn expected_end(facts: &Facts, line: &LineId, begin: DateTime<Utc>) -> DateTime<Utc> {
    let takes = TimeDelta::from_std(facts.durations.expected(line)).unwrap_or(TimeDelta::zero());
    shifted(begin, takes)
}

/// Bars in lanes, on an axis of full hours around them.
fn drawn(
    bars: Vec<Bar>,
    mut beside: Vec<Beside>,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    zone: Zone,
    is_assumed: bool,
) -> Night {
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    let marked = beside.iter().filter(|mark| mark.bake.is_some()).map(|mark| mark.outcome);
    for outcome in bars.iter().filter_map(|bar| bar.outcome).chain(marked) {
        *counts.entry(outcome).or_default() += 1;
    }
    let planned = bars.iter().filter(|bar| bar.outcome.is_none()).count();
    let late = beside.iter().filter(|mark| mark.bake.is_none()).count();
    let end_of_last = bars.iter().map(Bar::until).max();
    let mut more = 0;
    let mut lanes: Vec<Vec<Bar>> = Vec::new();
    let mut drawn = 0;
    for bar in bars {
        let free = lanes.iter().position(|lane| lane.last().is_none_or(|last| last.until() <= bar.begin));
        match free {
            _ if drawn >= MOST_DRAWN => more += 1,
            Some(lane) => {
                lanes[lane].push(bar);
                drawn += 1;
            }
            None if lanes.len() < LANES => {
                lanes.push(vec![bar]);
                drawn += 1;
            }
            None => more += 1,
        }
    }
    more += beside.len().saturating_sub(MOST_DRAWN);
    beside.truncate(MOST_DRAWN);
    let begins = lanes.iter().flatten().map(|bar| bar.waited_from.unwrap_or(bar.begin).max(from));
    let ends = lanes.iter().flatten().map(|bar| bar.until().max(bar.planned_end).min(to));
    let marks = beside.iter().map(|mark| mark.slot);
    let first = begins.chain(marks.clone()).min().unwrap_or(from);
    let last = ends.chain(marks).max().unwrap_or(to);
    let (from, to) = axis((first, last), (from, to), zone);
    Night { from, to, zone, lanes, beside, more, counts, planned, late, end: end_of_last, is_assumed }
}

/// Full hours around these instants within the night.
fn axis(
    (first, last): (DateTime<Utc>, DateTime<Utc>),
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    zone: Zone,
) -> (DateTime<Utc>, DateTime<Utc>) {
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

#[cfg(test)]
#[path = "night_tests.rs"]
mod tests;
