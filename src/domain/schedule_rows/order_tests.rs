use chrono::DateTime;

use super::*;
use crate::domain::{
    health::{Health, Problem, ProblemCode, Subject, SubjectKind},
    schedule,
    status::{Next, Paused, Running},
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
        begun_at: None,
        usual_seconds: None,
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
    let without = HashMap::from([("new".into(), false), ("farm/ecd-6".into(), true), ("worse".into(), true)]);
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
    assert_eq!((entries[1].lost.as_slice(), entries[1].no_image_yet()), (&["farm/ecd-6".into()][..], 0));
}

/// Ranks and severities of these schedules, by name.
fn ranked(
    problems: Vec<Problem>,
    without: &LinesWithoutImage,
    paused: &[Paused],
) -> Vec<(String, Rank, Option<Severity>)> {
    let schedules = [schedule("golden", &["ecd-1"]), schedule("other", &["ecd-2"])];
    let health = Health::of(problems);
    let about = Circumstances { health: &health, running: &[], waiting: &[], late: &[], paused, next: &[] };
    let entries = order(&schedules, about, without);
    entries.into_iter().map(|entry| (entry.schedule.name.to_string(), entry.rank, entry.severity)).collect()
}

fn rejected() -> Problem {
    let subject = Subject::only(SubjectKind::Credentials);
    let (code, severity) = (ProblemCode::CredentialsRejected, Severity::Problem);
    Problem::new(code, severity, subject, DateTime::UNIX_EPOCH, "rejected".to_owned(), None)
}

#[test]
fn what_concerns_all_schedules_marks_all_but_paused_ones_below_those_with_a_problem_of_their_own() {
    let own = problem(Severity::Warning, SubjectKind::Line, "other");
    let pause = Paused {
        schedule: "other".to_owned(),
        since: "2027-03-01T00:00:00Z".to_owned(),
        until: None,
        who: "ann".to_owned(),
        reason: "patch day".to_owned(),
    };
    let worst = Some(Severity::Problem);
    assert_eq!(
        ranked(vec![rejected(), own.clone()], &HashMap::new(), &[]),
        [("other".to_owned(), Rank::Warning, worst), ("golden".to_owned(), Rank::Affected, worst)]
    );
    assert_eq!(
        ranked(vec![rejected()], &HashMap::new(), &[pause]),
        [("golden".to_owned(), Rank::Affected, worst), ("other".to_owned(), Rank::Good, None)]
    );
}

#[test]
fn a_line_that_had_no_slot_yet_has_no_lost_image() {
    let of_instance = || problem(Severity::Warning, SubjectKind::Instance, "ecd-2");
    let new = |had_slot| HashMap::from([("other".into(), had_slot)]);
    let first = |problems, without| ranked(problems, &without, &[]).remove(0);
    assert_eq!(first(vec![of_instance()], new(true)), ("other".to_owned(), Rank::NoGoodImage, Some(Severity::Warning)));
    assert_eq!(first(vec![of_instance()], new(false)), ("other".to_owned(), Rank::Warning, Some(Severity::Warning)));
    assert_eq!(ranked(vec![rejected()], &new(false), &[])[1].1, Rank::Affected, "a new schedule beside rejected keys");
    assert_eq!(first(vec![], new(false)), ("other".to_owned(), Rank::NoImageYet, None));
}

#[test]
fn a_lost_line_differs_from_one_without_a_slot_also_where_it_is_acknowledged() {
    let mark = |found: Vec<Problem>, had_slot: bool| {
        let health = Health::of(found);
        let about = Circumstances { health: &health, running: &[], waiting: &[], late: &[], paused: &[], next: &[] };
        let without = LinesWithoutImage::from([(LineId::from("farm"), had_slot)]);
        order(&[schedule("farm", &["ecd-1"])], about, &without)[0].mark(false)
    };
    let warning = || vec![problem(Severity::Warning, SubjectKind::Line, "farm")];
    assert_eq!(mark(warning(), true), RowMark::NoGoodImage);
    assert_eq!(mark(warning(), false), RowMark::Warning);
    assert_eq!(mark(Vec::new(), true), RowMark::Acknowledged);
    assert_eq!(mark(Vec::new(), false), RowMark::NoImageYet);
}
