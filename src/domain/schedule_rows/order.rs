//! The order of the schedules: those first that need a person.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use super::open::Circumstances;
use crate::domain::{
    health::{Severity, schedules::Findings},
    ids::LineId,
    schedule::Schedule,
    status::RowMark,
};

/// The lines without a good image, each with whether a slot of it ended without one, or it had one before. Without that there
/// is no image yet, and nothing is wrong.
pub type LinesWithoutImage = HashMap<LineId, bool>;

/// Place of a schedule, the first ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A line has lost its slots or its images, has no good one, and health has found something.
    NoGoodImage,
    /// Health has found a problem of this schedule.
    Problem,
    /// Health has found a warning of this schedule.
    Warning,
    /// Health has found something about all schedules, and nothing about this one.
    Affected,
    /// A line has no good image yet, and nothing is wrong.
    NoImageYet,
    /// Each line has a good image.
    Good,
}

/// A schedule with its place.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The schedule.
    pub schedule: Arc<Schedule>,
    /// Its place.
    pub rank: Rank,
    /// The highest severity of the problems that concern it and that nobody has acknowledged: about itself, its lines, bakes,
    /// images and instances, and about all schedules, unless it is paused.
    pub severity: Option<Severity>,
    /// Number of its lines without a good image.
    pub without_image: usize,
    /// Those of them that had slots or images before.
    pub lost: Vec<LineId>,
}

impl Entry {
    /// Of a schedule that nothing is known of.
    pub fn unknown(schedule: Arc<Schedule>) -> Self {
        Self { schedule, rank: Rank::Good, severity: None, without_image: 0, lost: Vec::new() }
    }

    /// What a person sees first of it: one rule for the page and a terminal.
    pub fn mark(&self, is_paused: bool) -> RowMark {
        match (self.rank, self.severity) {
            (Rank::NoGoodImage, _) => RowMark::NoGoodImage,
            (_, Some(Severity::Problem)) => RowMark::Problem,
            (_, Some(Severity::Warning)) => RowMark::Warning,
            (_, None) if is_paused => RowMark::Paused,
            (_, None) if !self.lost.is_empty() => RowMark::Acknowledged,
            (Rank::NoImageYet, None) => RowMark::NoImageYet,
            (_, None) => RowMark::Good,
        }
    }

    /// Number of its lines that have no image yet, because no slot of theirs has ended.
    pub fn no_image_yet(&self) -> usize {
        self.without_image - self.lost.len()
    }
}

/// All schedules in their order: by rank and severity; of equal ones those with an open bake, then those that are due next,
/// then as in the file. `without` are the lines without a good image.
pub fn order(schedules: &[Arc<Schedule>], about: Circumstances<'_>, without: &LinesWithoutImage) -> Vec<Entry> {
    let findings = Findings::of(about.health);
    let places: HashMap<&str, usize> =
        about.next.iter().enumerate().rev().map(|(place, next)| (next.schedule.as_str(), place)).collect();
    let of_all = findings.of_all().map(|problem| problem.severity).max();
    let (open, paused) = (about.open(), about.paused_ids());
    let mut ranked: Vec<_> = schedules
        .iter()
        .map(|schedule| {
            let of_itself = findings.of_schedule(schedule).map(|problem| problem.severity).max();
            let is_paused = schedule.paused || paused.contains(schedule.id.as_str());
            let entry = entry(schedule, (of_itself, of_all.filter(|_| !is_paused)), without);
            let name = schedule.name.as_str();
            let place = places.get(name).copied().unwrap_or(usize::MAX);
            ((entry.rank, Reverse(entry.severity), !open.contains_key(name), place), entry)
        })
        .collect();
    // Stable, so that the order of the file decides the rest.
    ranked.sort_by_key(|(key, _)| *key);
    ranked.into_iter().map(|(_, entry)| entry).collect()
}

fn entry(
    schedule: &Arc<Schedule>,
    (of_itself, of_all): (Option<Severity>, Option<Severity>),
    without: &LinesWithoutImage,
) -> Entry {
    let (mut without_image, mut lost) = (0, Vec::new());
    for line in schedule.lines() {
        let Some(had_slot) = without.get(&line) else { continue };
        without_image += 1;
        lost.extend(had_slot.then_some(line));
    }
    let rank = match of_itself {
        Some(_) if !lost.is_empty() => Rank::NoGoodImage,
        Some(Severity::Problem) => Rank::Problem,
        Some(Severity::Warning) => Rank::Warning,
        None if of_all.is_some() => Rank::Affected,
        None if without_image > 0 => Rank::NoImageYet,
        None => Rank::Good,
    };
    Entry { schedule: Arc::clone(schedule), rank, severity: of_itself.max(of_all), without_image, lost }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
