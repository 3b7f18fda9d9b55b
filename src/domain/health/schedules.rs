//! The problems of a schedule: those about itself, its lines and its instances.

use std::collections::HashMap;

use super::{Health, Severity, SubjectKind};
use crate::domain::schedule::Schedule;

/// Severities of the problems that nobody has acknowledged, by what they are about.
#[derive(Debug)]
pub struct Findings<'a>(HashMap<(SubjectKind, &'a str), Vec<Severity>>);

impl<'a> Findings<'a> {
    /// Those of a health.
    pub fn of(health: &'a Health) -> Self {
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for problem in health.problems() {
            found.entry((problem.subject.kind, problem.subject.id.as_str())).or_default().push(problem.severity);
        }
        Self(found)
    }

    /// Severities of the problems of a schedule, in no order.
    pub fn of_schedule(&self, schedule: &Schedule) -> Vec<Severity> {
        // Most of ten thousand schedules have no problem, and mostly none has.
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut add = |kind, id: &str| found.extend(self.0.get(&(kind, id)).into_iter().flatten());
        add(SubjectKind::Schedule, schedule.id.as_str());
        for instance in schedule.instances.as_slice() {
            add(SubjectKind::Line, schedule.line(instance).as_str());
            add(SubjectKind::Instance, instance.as_str());
        }
        found
    }
}
