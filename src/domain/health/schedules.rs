//! The problems that concern a schedule: those about itself, its lines, their bakes and images, its instances, and those about
//! all schedules.

use std::collections::HashMap;

use super::{Health, Problem, SubjectKind};
use crate::domain::{ids::LineId, schedule::Schedule};

/// What a problem is about, as far as schedules go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concern<'a> {
    /// One thing of a schedule.
    One(SubjectKind, &'a str),
    /// All schedules.
    All,
    /// The daemon alone.
    None,
}

impl<'a> Concern<'a> {
    fn of(problem: &'a Problem) -> Self {
        let id = problem.subject.id.as_str();
        match (problem.subject.kind, &problem.line) {
            (kind @ (SubjectKind::Schedule | SubjectKind::Line | SubjectKind::Instance), _) => Self::One(kind, id),
            (SubjectKind::Bake | SubjectKind::Image, Some(line)) => Self::One(SubjectKind::Line, line.as_str()),
            // The id is LINE/CHANNEL.
            (SubjectKind::Channel, _) => Self::One(SubjectKind::Line, id.rsplit_once('/').map_or(id, |(line, _)| line)),
            _ if problem.code.is_of_daemon() => Self::None,
            // A bake or an image of an unknown line, too: it may be of any schedule.
            _ => Self::All,
        }
    }
}

/// Whether a problem concerns a schedule: it is about the schedule, a line, a bake, an image or an instance of it, or about
/// all schedules. The latter do not concern a paused one.
pub fn concerns(problem: &Problem, schedule: &Schedule, is_paused: bool) -> bool {
    let instances = schedule.instances.as_slice();
    match Concern::of(problem) {
        Concern::One(SubjectKind::Schedule, id) => schedule.id.as_str() == id,
        Concern::One(SubjectKind::Instance, id) => instances.iter().any(|instance| instance.as_str() == id),
        Concern::One(_, id) => instances.iter().any(|instance| schedule.line(instance).as_str() == id),
        Concern::All => !is_paused,
        Concern::None => false,
    }
}

/// The problems that nobody has acknowledged, by what they are about.
#[derive(Debug)]
pub struct Findings<'a> {
    of_one: HashMap<(SubjectKind, &'a str), Vec<&'a Problem>>,
    of_all: Vec<&'a Problem>,
}

impl<'a> Findings<'a> {
    /// Those of a health.
    pub fn of(health: &'a Health) -> Self {
        let (mut of_one, mut of_all): (HashMap<_, Vec<_>>, _) = (HashMap::new(), Vec::new());
        for problem in health.problems() {
            match Concern::of(problem) {
                Concern::One(kind, id) => of_one.entry((kind, id)).or_default().push(problem),
                Concern::All => of_all.push(problem),
                Concern::None => {}
            }
        }
        Self { of_one, of_all }
    }

    /// The problems about all schedules, the most severe first.
    pub fn of_all(&self) -> impl Iterator<Item = &'a Problem> {
        self.of_all.iter().copied()
    }

    /// The problems about a schedule, its lines or its instances, in no order.
    pub fn of_schedule(&self, schedule: &Schedule) -> impl Iterator<Item = &'a Problem> {
        let mut found = Vec::new();
        // Most of ten thousand schedules have no problem, and mostly none has.
        if !self.of_one.is_empty() {
            let mut add = |kind, id: &str| found.extend(self.of_one.get(&(kind, id)).into_iter().flatten());
            add(SubjectKind::Schedule, schedule.id.as_str());
            // Two instances can share a line.
            let mut lines: Vec<LineId> = Vec::new();
            for instance in schedule.instances.as_slice() {
                add(SubjectKind::Instance, instance.as_str());
                lines.push(schedule.line(instance));
            }
            lines.sort_unstable();
            lines.dedup();
            for line in &lines {
                add(SubjectKind::Line, line.as_str());
            }
        }
        found.into_iter()
    }
}

#[cfg(test)]
#[path = "schedules_tests.rs"]
mod tests;
