use proptest::prelude::*;

use super::*;
use crate::domain::health::{Health, SubjectKind, Verdict};

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + minute * 60, 0).unwrap()
}

fn problem(severity: Severity, line: &str, since: i64) -> Problem {
    let subject = Subject::new(SubjectKind::Line, line);
    Problem::new(ProblemCode::BakeFailed, severity, subject, at(since), format!("{line} failed"), None)
}

fn acknowledged(problem: Problem, until: Option<i64>) -> ReportedProblem {
    let until = until.map(|until| crate::domain::time::rfc3339_seconds(at(until)));
    let (by, reason) = ("alice".to_owned(), "known".to_owned());
    ReportedProblem { problem, acknowledged: Some(Acknowledgement { by, at: String::new(), until, reason }) }
}

fn plain(problem: Problem) -> ReportedProblem {
    ReportedProblem { problem, acknowledged: None }
}

#[test]
fn a_problem_begins_once_and_ends_once() {
    let one = problem(Severity::Warning, "golden", 0);
    let (standing, changes) = compare(&[], vec![one.clone(), one.clone()], None, at(1));
    assert_eq!(changes, [ProblemChange::Started(one.clone())]);
    let (standing, changes) = compare(&standing, vec![one.clone()], Some(at(1)), at(2));
    assert_eq!(changes, []);
    let (standing, changes) = compare(&standing, vec![], Some(at(2)), at(3));
    assert_eq!((standing, changes), (vec![], vec![ProblemChange::Ended(one)]));
}

#[test]
fn it_keeps_its_beginning_unless_it_began_after_the_last_comparison() {
    let standing = [plain(problem(Severity::Warning, "golden", 0))];
    let again = problem(Severity::Warning, "golden", 5);
    // The first comparison after a start does not know what happened meanwhile.
    let (after, changes) = compare(&standing, vec![again.clone()], None, at(9));
    assert_eq!((after[0].problem.since.as_str(), changes), (standing[0].problem.since.as_str(), vec![]));
    let (after, changes) = compare(&standing, vec![again.clone()], Some(at(7)), at(9));
    assert_eq!((after[0].problem.since.as_str(), changes.len()), (standing[0].problem.since.as_str(), 0));
    let (after, changes) = compare(&standing, vec![again.clone()], Some(at(4)), at(9));
    let ended = ProblemChange::Ended(standing[0].problem.clone());
    assert_eq!((after, changes), (vec![plain(again.clone())], vec![ended, ProblemChange::Started(again)]));
}

#[test]
fn an_acknowledgement_ends_with_its_time_and_when_the_problem_gets_worse() {
    let warning = problem(Severity::Warning, "golden", 0);
    let worse = problem(Severity::Problem, "golden", 0);
    let ends = |known: ReportedProblem, found: &Problem, minute| {
        let (after, changes) = compare(&[known], vec![found.clone()], Some(at(1)), at(minute));
        (after[0].acknowledged.is_none(), changes)
    };
    let over = |problem: &Problem, why| ProblemChange::AcknowledgementEnded { problem: problem.clone(), why };
    assert_eq!(ends(acknowledged(warning.clone(), Some(10)), &warning, 9), (false, vec![]));
    assert_eq!(
        ends(acknowledged(warning.clone(), Some(10)), &warning, 10),
        (true, vec![over(&warning, AcknowledgementEnd::Over)])
    );
    let changed = ProblemChange::SeverityChanged { problem: worse.clone(), before: Severity::Warning };
    assert_eq!(
        ends(acknowledged(warning.clone(), None), &worse, 2),
        (true, vec![changed, over(&worse, AcknowledgementEnd::Worse)])
    );
    // One that gets better stays acknowledged.
    assert!(!ends(acknowledged(worse, None), &warning, 2).0);
}

#[test]
fn what_is_acknowledged_is_listed_last_and_does_not_count() {
    let all = vec![acknowledged(problem(Severity::Problem, "a", 0), None), plain(problem(Severity::Warning, "b", 0))];
    let health = Health::of_reported(all.clone());
    assert_eq!(health.verdict, Verdict::Warning);
    assert_eq!(health.headline(), "WARNING: 1 warning, 1 acknowledged: b failed");
    assert_eq!(health.problems[1], all[0]);
    let health = Health::of_reported(all[..1].to_vec());
    assert_eq!((health.verdict, health.headline().as_str()), (Verdict::Ok, "OK: 1 acknowledged"));
}

#[test]
fn a_person_names_a_problem_by_code_and_subject() {
    let clock = Problem {
        code: ProblemCode::ClockSkew,
        subject: Subject::only(SubjectKind::Clock),
        ..problem(Severity::Warning, "", 0)
    };
    let standing = [plain(problem(Severity::Warning, "a", 0)), plain(problem(Severity::Warning, "b", 0)), plain(clock)];
    let found = |code, subject| find(&standing, code, subject).map(|one| one.problem.subject.to_string());
    assert_eq!(found(ProblemCode::ClockSkew, None).unwrap(), "clock");
    assert_eq!(found(ProblemCode::ClockSkew, Some("clock")).unwrap(), "clock");
    assert_eq!(found(ProblemCode::BakeFailed, Some("b")).unwrap(), "line:b");
    assert_eq!(found(ProblemCode::BakeFailed, Some("line:b")).unwrap(), "line:b");
    for (code, subject) in [
        (ProblemCode::BakeFailed, None),
        (ProblemCode::BakeFailed, Some("line")),
        (ProblemCode::BakeFailed, Some("c")),
        (ProblemCode::ZonesOld, None),
    ] {
        let refused = found(code, subject).unwrap_err();
        assert!(!refused.to_string().is_empty(), "{refused:?}");
    }
}

proptest! {
    #[test]
    fn starts_and_ends_alternate_for_each_subject(
        steps in prop::collection::vec(prop::collection::vec((0..3u8, prop::bool::ANY, 0..30i64), 0..4), 1..30)
    ) {
        let mut standing = Vec::new();
        let mut open: BTreeMap<Subject, bool> = BTreeMap::new();
        for (n, found) in steps.into_iter().enumerate() {
            let now = i64::try_from(n).unwrap();
            let severity = |worse| if worse { Severity::Problem } else { Severity::Warning };
            let found: Vec<_> = found
                .into_iter()
                .map(|(line, worse, since)| problem(severity(worse), &line.to_string(), since.min(now)))
                .collect();
            let wanted: std::collections::BTreeSet<_> = found.iter().map(|problem| problem.subject.clone()).collect();
            let (after, changes) = compare(&standing, found, Some(at(now - 1)), at(now));
            for change in changes {
                match change {
                    ProblemChange::Started(problem) => {
                        prop_assert_eq!(open.insert(problem.subject, true).unwrap_or(false), false);
                    }
                    ProblemChange::Ended(problem) => prop_assert_eq!(open.insert(problem.subject, false), Some(true)),
                    ProblemChange::SeverityChanged { problem, .. } => prop_assert_eq!(open.get(&problem.subject), Some(&true)),
                    ProblemChange::AcknowledgementEnded { .. } => prop_assert!(false, "nothing is acknowledged"),
                }
            }
            let is_open: std::collections::BTreeSet<_> =
                open.iter().filter(|(_, is_open)| **is_open).map(|(subject, _)| subject.clone()).collect();
            prop_assert_eq!(&is_open, &wanted);
            standing = after;
        }
    }
}
