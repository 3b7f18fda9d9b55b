//! The row of a schedule: the results of its last slots, its newest good image, what comes next, what it waits for, and its
//! place among the others. `status` and the page show these rows and compute nothing of their own.

mod document;
mod facts;
pub mod open;
pub mod order;
pub mod outcome;
pub mod search;
pub mod strip;

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use self::{
    open::{Circumstances, OpenBake, PauseNote},
    order::Entry,
    strip::{Mark, strip},
};
use crate::domain::{
    health::{Problem, ProblemCode, schedules::Findings},
    schedule::Schedule,
    status::RowMark,
};

pub use self::facts::{NewestGood, RowFacts, SlotRow};

/// A schedule in one row.
#[derive(Debug, Clone)]
pub struct Row {
    /// The schedule with its place.
    pub entry: Entry,
    /// Codes of the problems that concern it and that nobody has acknowledged: about itself first, then about all schedules.
    pub problems: Vec<ProblemCode>,
    /// Its last slots, the oldest first.
    pub strip: Vec<Mark>,
    /// Number of its lines.
    pub lines: usize,
    /// Number of its lines that have a good image.
    pub lines_with_image: usize,
    /// The newest good image; of several lines, the oldest of their newest ones.
    pub image: Option<NewestGood>,
    /// How it is paused.
    pub pause: Option<PauseNote>,
    /// Its next slot; `None` while it is paused.
    pub next: Option<DateTime<Utc>>,
    /// Its first open bake with what that waits for.
    pub open: Option<OpenBake>,
    /// The row of its newest slot.
    pub newest: Option<SlotRow>,
}

impl Row {
    /// What a person sees first of it.
    pub fn mark(&self) -> RowMark {
        self.entry.mark(self.pause.is_some())
    }

    /// What the first open bake waits for, or until when the schedule is paused.
    pub fn waits_for(&self) -> Option<String> {
        self.open.as_ref().map(ToString::to_string).or_else(|| self.paused())
    }

    /// Why a slot to come is skipped, where that is certain; `observes`: the daemon only observes.
    pub fn skips(&self, slot: DateTime<Utc>, observes: bool) -> Option<String> {
        match &self.pause {
            Some(pause) if pause.covers(slot) => Some(pause.describe(self.entry.schedule.timing.zone())),
            _ => observes.then(|| "the daemon only observes".to_owned()),
        }
    }

    /// How it is paused.
    pub fn paused(&self) -> Option<String> {
        let zone = self.entry.schedule.timing.zone();
        self.pause.as_ref().map(|pause| pause.describe(zone))
    }
}

/// The rows of these schedules, in this order.
pub fn rows(order: &[Entry], facts: &RowFacts, about: Circumstances<'_>, now: DateTime<Utc>) -> Vec<Row> {
    let (open, findings) = (about.open(), Findings::of(about.health));
    order
        .iter()
        .map(|entry| {
            let schedule = &entry.schedule;
            let slots = facts.slots.get(&schedule.id).map_or(&[][..], Vec::as_slice);
            let instances = schedule.instances.as_slice();
            let images: Vec<&NewestGood> =
                instances.iter().filter_map(|instance| facts.images.get(&schedule.line(instance))).collect();
            let pause = about.pause(schedule);
            Row {
                problems: codes(&findings, schedule, pause.is_some()),
                strip: strip(slots),
                lines: instances.len(),
                lines_with_image: images.len(),
                image: images.into_iter().min_by_key(|image| image.good_at).cloned(),
                next: if pause.is_some() { None } else { schedule.timing.next_after(now) },
                open: open.get(schedule.name.as_str()).cloned().or_else(|| OpenBake::first_of(slots)),
                newest: slots.first().cloned(),
                pause,
                entry: entry.clone(),
            }
        })
        .collect()
}

/// The codes of these problems, each once.
fn codes(findings: &Findings<'_>, schedule: &Schedule, is_paused: bool) -> Vec<ProblemCode> {
    let mut of_itself: Vec<&Problem> = findings.of_schedule(schedule).collect();
    of_itself.sort_by_key(|problem| (Reverse(problem.severity), problem.code));
    let of_all = findings.of_all().filter(|_| !is_paused);
    let mut codes = Vec::new();
    for problem in of_itself.into_iter().chain(of_all) {
        if !codes.contains(&problem.code) {
            codes.push(problem.code);
        }
    }
    codes
}

#[cfg(test)]
#[path = "schedule_rows/tests.rs"]
mod tests;
