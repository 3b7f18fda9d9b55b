//! What is queued and what will be due, with the builders that it gets.

use chrono::{DateTime, Utc};

use super::{
    bars::{Bar, Beside},
    facts::{Facts, Recorded},
};
use crate::domain::{
    plan::{
        forecast::{Coming, ForecastOutcome, RunningBake, forecast},
        slots::slots_ahead,
    },
    schedule::Overlap,
    schedule_rows::outcome::Outcome,
};

/// Maximum number of planned slots.
const MOST_PLANNED: usize = 20_000;

/// Adds the bars of what is queued now or due until then, and what gets no builder.
pub(super) fn add(
    facts: &Facts,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    bars: &mut Vec<Bar>,
    beside: &mut Vec<Beside>,
) {
    let running: Vec<RunningBake<'_>> = open(facts)
        .filter_map(|bake| {
            let until = facts.expected_end(&bake.line, bake.begun_at?).max(now);
            Some(RunningBake { instance: &bake.instance, region: &bake.region, until })
        })
        .collect();
    let (slots, coming): (Vec<_>, Vec<_>) = queued(facts, now).chain(due(facts, now, until)).unzip();
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

/// The bake's number if it has one, and the schedule's name.
type Slot<'a> = (Option<i64>, &'a str);

fn open(facts: &Facts) -> impl Iterator<Item = &Recorded> {
    facts.recorded.iter().filter(|bake| bake.finished_at.is_none())
}

fn queued(facts: &Facts, now: DateTime<Utc>) -> impl Iterator<Item = (Slot<'_>, Coming<'_>)> {
    open(facts).filter(|bake| bake.begun_at.is_none()).map(move |bake| {
        let coming = Coming {
            slot: bake.slot,
            not_before: bake.wake_at.unwrap_or(bake.slot).max(now),
            give_up_at: bake.give_up_at.unwrap_or(DateTime::<Utc>::MAX_UTC),
            instance: &bake.instance,
            region: &bake.region,
            overlap: Overlap::Queue,
            takes: facts.durations.expected(&bake.line),
        };
        ((Some(bake.bake), bake.schedule.as_str()), coming)
    })
}

fn due(facts: &Facts, now: DateTime<Utc>, until: DateTime<Utc>) -> impl Iterator<Item = (Slot<'_>, Coming<'_>)> {
    let slots = slots_ahead(facts.schedules.iter().map(|one| &**one), now, until);
    slots.take(MOST_PLANNED).filter(|slot| !facts.is_paused(slot.schedule, slot.at)).map(|slot| {
        let coming = Coming {
            slot: slot.at,
            not_before: slot.schedule.timing.begin(slot.at, slot.schedule.id.as_str()),
            give_up_at: slot.schedule.settings.give_up_at(slot.at, slot.at),
            instance: slot.instance,
            region: &slot.schedule.settings.instance_region,
            overlap: slot.schedule.overlap,
            takes: facts.durations.expected(&slot.schedule.line(slot.instance)),
        };
        ((None, slot.schedule.name.as_str()), coming)
    })
}
