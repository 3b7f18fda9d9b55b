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

/// Why no slot is baked by a daemon that only observes.
const OBSERVES: &str = "the daemon only observes";

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
        .filter(|bake| !bake.is_queued())
        .filter_map(|bake| {
            let until = facts.expected_end(&bake.line, bake.begun_at?).max(now);
            Some(RunningBake { instance: &bake.instance, region: &bake.region, until })
        })
        .collect();
    let (slots, coming): (Vec<_>, Vec<_>) = queued(facts, now).chain(due(facts, now, until)).unzip();
    let outcomes = forecast(&coming, &running, facts.builders);
    for ((slot, coming), outcome) in slots.iter().zip(&coming).zip(outcomes) {
        let missed = |reason: &str| Beside {
            bake: slot.bake,
            schedule: slot.schedule.to_owned(),
            slot: coming.slot,
            outcome: Outcome::Skipped,
            reason: reason.to_owned(),
        };
        match outcome {
            _ if facts.observes => beside.push(missed(OBSERVES)),
            ForecastOutcome::Baked { begin, end, .. } => bars.push(Bar {
                bake: slot.bake,
                schedule: slot.schedule.to_owned(),
                instance: coming.instance.clone(),
                slot: coming.slot,
                begin,
                planned_end: end,
                end: None,
                outcome: None,
                // The jitter of a slot is no wait; what is in the queue waits whatever for.
                waited_from: (slot.bake.is_some() || begin > coming.not_before.max(coming.slot)).then_some(coming.slot),
                waits_for: slot.waits_for.map(str::to_owned),
                deadline: Some(coming.give_up_at),
            }),
            ForecastOutcome::TooLate => beside.push(missed("would wait past its deadline")),
            ForecastOutcome::Overlaps => beside.push(missed("another bake of its instance is not over by then")),
        }
    }
}

/// A slot that is to be baked.
struct Slot<'a> {
    /// The bake's number if it has one.
    bake: Option<i64>,
    /// The schedule's name.
    schedule: &'a str,
    /// What the bake waits for.
    waits_for: Option<&'a str>,
}

fn open(facts: &Facts) -> impl Iterator<Item = &Recorded> {
    facts.recorded.iter().filter(|bake| bake.finished_at.is_none())
}

fn queued(facts: &Facts, now: DateTime<Utc>) -> impl Iterator<Item = (Slot<'_>, Coming<'_>)> {
    open(facts).filter(|bake| bake.is_queued()).map(move |bake| {
        let coming = Coming {
            slot: bake.slot,
            not_before: bake.wake_at.unwrap_or(bake.slot).max(now),
            give_up_at: bake.give_up_at.unwrap_or(DateTime::<Utc>::MAX_UTC),
            instance: &bake.instance,
            region: &bake.region,
            overlap: Overlap::Queue,
            takes: facts.durations.expected(&bake.line),
        };
        (Slot { bake: Some(bake.bake), schedule: &bake.schedule, waits_for: bake.reason.as_deref() }, coming)
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
        (Slot { bake: None, schedule: slot.schedule.name.as_str(), waits_for: None }, coming)
    })
}
