//! The order of the schedules on the page: those first that need a person.

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasher,
    sync::Arc,
};

use crate::domain::{
    health::{Health, Severity, SubjectKind},
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
            let instances = schedule.instances.as_slice();
            let lines: Vec<LineId> = instances.iter().map(|instance| schedule.line(instance)).collect();
            let mut found: Vec<Severity> = findings.of_schedules.get(schedule.id.as_str()).cloned().unwrap_or_default();
            for line in &lines {
                found.extend(findings.of_lines.get(line.as_str()).into_iter().flatten());
            }
            for instance in instances {
                found.extend(findings.of_instances.get(instance.as_str()).into_iter().flatten());
            }
            let without_image = lines.iter().filter(|line| without.contains(*line)).count();
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

/// Severities of the problems of each schedule, line and instance.
#[derive(Default)]
struct Findings<'a> {
    of_schedules: HashMap<&'a str, Vec<Severity>>,
    of_lines: HashMap<&'a str, Vec<Severity>>,
    of_instances: HashMap<&'a str, Vec<Severity>>,
}

impl<'a> Findings<'a> {
    fn of(health: &'a Health) -> Self {
        let mut findings = Self::default();
        for problem in health.problems() {
            let by_id = match problem.subject.kind {
                SubjectKind::Schedule => &mut findings.of_schedules,
                SubjectKind::Line => &mut findings.of_lines,
                SubjectKind::Instance => &mut findings.of_instances,
                _ => continue,
            };
            by_id.entry(problem.subject.id.as_str()).or_default().push(problem.severity);
        }
        findings
    }
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
