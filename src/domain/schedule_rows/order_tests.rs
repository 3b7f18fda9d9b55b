use chrono::DateTime;

use super::*;
use crate::domain::{
    health::{Health, Problem, ProblemCode, Subject, SubjectKind},
    schedule,
    status::{Next, Running},
};

fn schedule(name: &str, instances: &[&str]) -> Arc<Schedule> {
    Arc::new(schedule::example(name, instances))
}

fn problem(severity: Severity, kind: SubjectKind, id: &str) -> Problem {
    let since = DateTime::UNIX_EPOCH;
    Problem::new(ProblemCode::BakeFailed, severity, Subject::new(kind, id), since, "failed".to_owned(), None)
}

fn running(schedule: &str) -> Running {
    Running {
        id: 7,
        schedule: schedule.to_owned(),
        instance_id: "ecd-7".to_owned(),
        slot: "2027-03-01T00:00:00Z".to_owned(),
        state: "building".to_owned(),
        reason: Some("CREATING".to_owned()),
        image_name: None,
        image_id: None,
        created_at: "2027-03-01T00:00:00Z".to_owned(),
        wake_at: None,
    }
}

fn next(schedule: &str) -> Next {
    Next {
        schedule: schedule.to_owned(),
        instance_id: "ecd-7".to_owned(),
        slot: "2027-03-01T03:00:00Z".to_owned(),
        local: String::new(),
    }
}

#[test]
fn what_needs_a_person_comes_first() {
    let schedules = [
        schedule("good", &["ecd-1"]),
        schedule("due", &["ecd-7"]),
        schedule("due-later", &["ecd-8"]),
        schedule("at-work", &["ecd-9"]),
        schedule("new", &["ecd-2"]),
        schedule("warned", &["ecd-3"]),
        schedule("stopped", &["ecd-4"]),
        schedule("farm", &["ecd-5", "ecd-6"]),
        schedule("worse", &["ecd-10"]),
    ];
    let health = Health::of(vec![
        problem(Severity::Warning, SubjectKind::Schedule, "warned"),
        problem(Severity::Problem, SubjectKind::Instance, "ecd-4"),
        problem(Severity::Warning, SubjectKind::Line, "farm/ecd-6"),
        problem(Severity::Warning, SubjectKind::Line, "worse"),
        problem(Severity::Problem, SubjectKind::Instance, "ecd-10"),
    ]);
    let without = HashSet::from(["new".into(), "farm/ecd-6".into(), "worse".into()]);
    let (running, next) = ([running("at-work")], [next("due"), next("due-later"), next("due")]);
    let about = Circumstances { health: &health, running: &running, waiting: &[], late: &[], paused: &[], next: &next };
    let entries = order(&schedules, about, &without);
    let order: Vec<_> = entries.iter().map(|entry| (entry.schedule.name.as_str(), entry.rank)).collect();
    assert_eq!(
        order,
        [
            ("worse", Rank::NoGoodImage),
            ("farm", Rank::NoGoodImage),
            ("stopped", Rank::Problem),
            ("warned", Rank::Warning),
            ("new", Rank::NoImageYet),
            ("at-work", Rank::Good),
            ("due", Rank::Good),
            ("due-later", Rank::Good),
            ("good", Rank::Good),
        ]
    );
    assert_eq!((entries[1].without_image, entries[1].severity), (1, Some(Severity::Warning)));
}
