//! The order of the schedules: those first that need a person.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    hash::BuildHasher,
    sync::Arc,
};

use super::open::Circumstances;
use crate::domain::{
    health::{Severity, schedules::Findings},
    ids::LineId,
    schedule::Schedule,
};

/// Place of a schedule, the first ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A line has no good image, and health has found something.
    NoGoodImage,
    /// Health has found a problem.
    Problem,
    /// Health has found a warning.
    Warning,
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
    /// The highest severity of its problems that nobody has acknowledged.
    pub severity: Option<Severity>,
    /// Number of its lines without a good image.
    pub without_image: usize,
}

/// All schedules in their order: by rank and severity; of equal ones those with an open bake, then those that are due next,
/// then as in the file. `without` are the lines without a good image.
pub fn order<S: BuildHasher>(
    schedules: &[Arc<Schedule>],
    about: Circumstances<'_>,
    without: &HashSet<LineId, S>,
) -> Vec<Entry> {
    let findings = Findings::of(about.health);
    let places: HashMap<&str, usize> =
        about.next.iter().enumerate().rev().map(|(place, next)| (next.schedule.as_str(), place)).collect();
    let open = about.open();
    let mut ranked: Vec<_> = schedules
        .iter()
        .map(|schedule| {
            let severity = findings.of_schedule(schedule).into_iter().max();
            let entry = entry(schedule, severity, without);
            let name = schedule.name.as_str();
            let place = places.get(name).copied().unwrap_or(usize::MAX);
            ((entry.rank, Reverse(severity), !open.contains_key(name), place), entry)
        })
        .collect();
    // Stable, so that the order of the file decides the rest.
    ranked.sort_by_key(|(key, _)| *key);
    ranked.into_iter().map(|(_, entry)| entry).collect()
}

fn entry<S: BuildHasher>(schedule: &Arc<Schedule>, severity: Option<Severity>, without: &HashSet<LineId, S>) -> Entry {
    let instances = schedule.instances.as_slice();
    let without_image = instances.iter().filter(|instance| without.contains(&schedule.line(instance))).count();
    let rank = match (severity, without_image) {
        (Some(_), 1..) => Rank::NoGoodImage,
        (Some(Severity::Problem), 0) => Rank::Problem,
        (Some(Severity::Warning), 0) => Rank::Warning,
        (None, 1..) => Rank::NoImageYet,
        (None, 0) => Rank::Good,
    };
    Entry { schedule: Arc::clone(schedule), rank, severity, without_image }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
