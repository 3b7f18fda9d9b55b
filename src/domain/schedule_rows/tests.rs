use std::{collections::HashMap, sync::Arc};

use super::*;
use crate::domain::{
    health::{Health, Severity, Subject, SubjectKind},
    schedule::{self, Schedule},
    status::{Late, Paused, Running, ScheduleRow},
};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    at("2027-03-01T00:00:00Z")
}

fn slot(bake: i64, at_text: &str, state: &str) -> SlotRow {
    SlotRow {
        bake,
        slot: at(at_text),
        slot_count: 1,
        state: state.to_owned(),
        reason: Some(format!("reason of {bake}")),
        reason_code: None,
        vetoed: false,
    }
}

fn image(line: &str, version: i64, good_at: &str) -> NewestGood {
    NewestGood {
        line: line.into(),
        image_id: format!("m-{version}"),
        name: format!("{line}-{version}"),
        version,
        good_at: at(good_at),
    }
}

fn late(schedule: &str) -> Late {
    Late {
        id: 9,
        schedule: schedule.to_owned(),
        instance_id: "ecd-1".to_owned(),
        slot: "2027-02-28T23:00:00Z".to_owned(),
        reason: "waits for a builder".to_owned(),
    }
}

fn row_of(schedule: Schedule, facts: &RowFacts, late: &[Late], paused: &[Paused]) -> Row {
    let (health, running): (_, [Running; 0]) = (Health::default(), []);
    let about = Circumstances { health: &health, running: &running, waiting: &[], late, paused, next: &[] };
    let order = order::order(&[Arc::new(schedule)], about, &HashMap::new());
    rows(&order, facts, about, now()).remove(0)
}

#[test]
fn a_row_of_several_lines_shows_the_oldest_of_their_newest_images() {
    let schedule = schedule::example("farm", &["ecd-1", "ecd-2", "ecd-3"]);
    let images = [image("farm/ecd-1", 4, "2027-02-28T00:00:00Z"), image("farm/ecd-2", 7, "2027-02-20T00:00:00Z")];
    let slots = vec![slot(2, "2027-02-28T19:00:00Z", "failed"), slot(1, "2027-02-27T19:00:00Z", "succeeded")];
    let facts = RowFacts {
        slots: [("farm".into(), slots)].into(),
        images: images.into_iter().map(|image| (image.line.clone(), image)).collect(),
    };
    let row = row_of(schedule, &facts, &[], &[]);
    assert_eq!((row.lines, row.lines_with_image, row.image.as_ref().unwrap().version), (3, 2, 7));
    assert_eq!((row.newest.as_ref().unwrap().bake, row.waits_for()), (2, None));
    let document = ScheduleRow::from(&row);
    let results: Vec<_> = document.results.iter().map(|result| (result.bake, result.state.as_str())).collect();
    assert_eq!(results, [(1, "succeeded"), (2, "failed")]);
    assert_eq!(document.next.as_deref(), Some("2027-03-01T19:00:00Z"));
    assert_eq!(document.image.unwrap().since, "2027-02-20T00:00:00Z");
}

#[test]
fn a_row_has_the_codes_of_the_problems_that_concern_it() {
    let problem = |code, severity, subject| Problem::new(code, severity, subject, now(), "wrong".to_owned(), None);
    let of_bake = |id: &str| Subject::new(SubjectKind::Bake, id);
    let copy = |id| problem(ProblemCode::ReplicaFailed, Severity::Warning, of_bake(id)).of_line(&"lab".into());
    let credentials = Subject::only(SubjectKind::Credentials);
    let health = Health::of(vec![
        copy("7"),
        copy("8"),
        problem(ProblemCode::InstanceNotRunning, Severity::Problem, Subject::new(SubjectKind::Instance, "ecd-1")),
        problem(ProblemCode::CredentialsRejected, Severity::Problem, credentials),
    ]);
    let codes = |schedule: Schedule| {
        let about = Circumstances { health: &health, running: &[], waiting: &[], late: &[], paused: &[], next: &[] };
        let order = order::order(&[Arc::new(schedule)], about, &HashMap::new());
        let document = ScheduleRow::from(&rows(&order, &RowFacts::default(), about, now())[0]);
        document.problems.into_iter().map(ProblemCode::as_str).collect::<Vec<_>>()
    };
    let lab = schedule::example("lab", &["ecd-1"]);
    assert_eq!(codes(lab.clone()), ["instance_not_running", "replica_failed", "credentials_rejected"]);
    assert_eq!(codes(Schedule { paused: true, ..lab }), ["instance_not_running", "replica_failed"]);
    assert_eq!(codes(schedule::example("other", &["ecd-2"])), ["credentials_rejected"]);
}

#[test]
fn a_vetoed_image_is_a_result_of_its_own() {
    let slots = vec![SlotRow { vetoed: true, ..slot(1, "2027-02-27T19:00:00Z", "succeeded") }];
    let facts = RowFacts { slots: [("lab".into(), slots)].into(), ..RowFacts::default() };
    let document = ScheduleRow::from(&row_of(schedule::example("lab", &["ecd-1"]), &facts, &[], &[]));
    assert_eq!(document.results[0].state, "vetoed");
}

#[test]
fn a_row_names_what_its_open_bake_waits_for_or_how_it_is_paused() {
    let lab = || schedule::example("lab", &["ecd-1"]);
    let slots = vec![slot(3, "2027-02-28T19:00:00Z", "queued"), slot(2, "2027-02-27T19:00:00Z", "building")];
    let facts = RowFacts { slots: [("lab".into(), slots)].into(), ..RowFacts::default() };
    let waits_for = |schedule, facts: &RowFacts, late: &[Late], paused: &[Paused]| {
        let row = row_of(schedule, facts, late, paused);
        (row.waits_for(), row.next.is_some())
    };
    let none = RowFacts::default();
    assert_eq!(waits_for(lab(), &none, &[], &[]), (None, true));
    let of_row = waits_for(lab(), &facts, &[], &[]).0;
    assert_eq!(of_row.as_deref(), Some("bake 2 building: reason of 2"), "the oldest open one");
    let of_queue = waits_for(lab(), &facts, &[late("lab"), late("other")], &[]).0;
    assert_eq!(of_queue.as_deref(), Some("bake 9 queued: waits for a builder"));
    let pause = |until: Option<&str>| Paused {
        schedule: "lab".to_owned(),
        since: "2027-02-28T00:00:00Z".to_owned(),
        until: until.map(str::to_owned),
        who: "ann".to_owned(),
        reason: "patch day".to_owned(),
    };
    let (text, has_next) = waits_for(lab(), &none, &[], &[pause(None)]);
    assert_eq!((text.as_deref(), has_next), (Some("paused by ann until it is resumed: patch day"), false));
    let text = waits_for(lab(), &none, &[], &[pause(Some("2027-03-02T00:00:00Z"))]).0.unwrap();
    assert_eq!(text, "paused by ann until Tue 2027-03-02 08:00 +08:00: patch day");
    let until = "2027-03-02T00:00:00Z".parse().unwrap();
    let row = row_of(lab(), &none, &[], &[pause(Some("2027-03-02T00:00:00Z"))]);
    let skips = |slot, observes| row.skips(slot, observes).map(|why| why.split(' ').next().unwrap().to_owned());
    assert_eq!(skips(until, false).as_deref(), Some("paused"), "a slot at its end is skipped");
    assert_eq!(skips(until + chrono::TimeDelta::seconds(1), false), None);
    assert_eq!(skips(until + chrono::TimeDelta::seconds(1), true).as_deref(), Some("the"), "the daemon only observes");
    let in_file = Schedule { paused: true, ..lab() };
    let text = waits_for(in_file, &none, &[], &[pause(None)]).0;
    assert_eq!(text.as_deref(), Some("paused in the file"), "resuming it does not help");
}
