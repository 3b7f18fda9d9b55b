use chrono::DateTime;

use super::*;
use crate::domain::{
    health::{Problem, ProblemCode, Subject, SubjectKind},
    schedule,
};

fn schedule(name: &str, instances: &[&str]) -> Arc<Schedule> {
    Arc::new(schedule::example(name, instances))
}

fn problem(severity: Severity, kind: SubjectKind, id: &str) -> Problem {
    let since = DateTime::UNIX_EPOCH;
    Problem::new(ProblemCode::BakeFailed, severity, Subject::new(kind, id), since, "failed".to_owned(), None)
}

#[test]
fn what_needs_a_person_comes_first() {
    let schedules = [
        schedule("good", &["ecd-1"]),
        schedule("new", &["ecd-2"]),
        schedule("warned", &["ecd-3"]),
        schedule("stopped", &["ecd-4"]),
        schedule("farm", &["ecd-5", "ecd-6"]),
    ];
    let health = Health::of(vec![
        problem(Severity::Warning, SubjectKind::Schedule, "warned"),
        problem(Severity::Problem, SubjectKind::Instance, "ecd-4"),
        problem(Severity::Warning, SubjectKind::Line, "farm/ecd-6"),
    ]);
    let without = HashSet::from(["new".into(), "farm/ecd-6".into()]);
    let entries = roster(&schedules, &health, &without);
    let order: Vec<_> = entries.iter().map(|entry| (entry.schedule.name.as_str(), entry.rank)).collect();
    assert_eq!(
        order,
        [
            ("farm", Rank::NoGoodImage),
            ("stopped", Rank::Problem),
            ("warned", Rank::Warning),
            ("new", Rank::NoImageYet),
            ("good", Rank::Good),
        ]
    );
    assert_eq!((entries[0].without_image, entries[0].problems), (1, 1));
}

#[test]
fn a_part_of_a_name_or_an_instance_finds_a_schedule() {
    let farm = schedule("Farm-Nord", &["ecd-5", "ecd-6"]);
    for typed in ["farm", " NORD ", "ecd-6", ""] {
        assert!(is_meant(&farm, typed), "{typed}");
    }
    assert!(!is_meant(&farm, "south"));
}
