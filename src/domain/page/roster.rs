//! The order of the schedules on the page: those first that need a person.

use std::{collections::HashSet, hash::BuildHasher, sync::Arc};

use crate::domain::{
    health::{Health, Severity, schedules::Findings},
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
    /// Number of its problems that nobody has acknowledged.
    pub problems: usize,
    /// Number of its lines without a good image.
    pub without_image: usize,
}

/// All schedules in force in the order of the page; of equal ones in the order of the file. `without` are the lines without
/// a good image.
pub fn roster<S: BuildHasher>(
    schedules: &[Arc<Schedule>],
    health: &Health,
    without: &HashSet<LineId, S>,
) -> Vec<Entry> {
    let findings = Findings::of(health);
    let mut entries: Vec<Entry> = schedules
        .iter()
        .map(|schedule| {
            let found = findings.of_schedule(schedule);
            let instances = schedule.instances.as_slice();
            let without_image = instances.iter().filter(|instance| without.contains(&schedule.line(instance))).count();
            let rank = match (found.iter().max(), without_image) {
                (Some(_), 1..) => Rank::NoGoodImage,
                (Some(Severity::Problem), 0) => Rank::Problem,
                (Some(Severity::Warning), 0) => Rank::Warning,
                (None, 1..) => Rank::NoImageYet,
                (None, 0) => Rank::Good,
            };
            Entry { schedule: Arc::clone(schedule), rank, problems: found.len(), without_image }
        })
        .collect();
    entries.sort_by_key(|entry| entry.rank);
    entries
}

/// Whether a schedule is meant by what a person typed: a part of its name, id or an instance, in any case.
pub fn is_meant(schedule: &Schedule, typed: &str) -> bool {
    let typed = typed.trim().to_lowercase();
    let mut words = [schedule.name.as_str(), schedule.id.as_str()].into_iter();
    words.any(|word| word.to_lowercase().contains(&typed))
        || schedule.instances.as_slice().iter().any(|instance| instance.as_str().to_lowercase().contains(&typed))
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
