use super::*;
use crate::domain::bake::State;

fn row(id: i64, slot: i64, state: &str) -> BakeRow {
    BakeRow {
        id,
        schedule_id: "golden".to_owned(),
        schedule: "golden".to_owned(),
        instance_id: "ecd-1".to_owned(),
        line_id: "golden".to_owned(),
        slot,
        trigger: "slot".to_owned(),
        slot_count: 1,
        first_slot: slot,
        state: state.to_owned(),
        reason: None,
        reason_code: None,
        cause: None,
        version: None,
        image_name: None,
        image_id: None,
        version_id: None,
        task_id: None,
        attempts: 0,
        wake_at: None,
        created_at: slot,
        finished_at: None,
        requested_by: None,
        config_hash: String::new(),
    }
}

#[test]
fn each_state_has_an_outcome_of_its_kind() {
    for word in State::WORDS {
        let is_running = State::RUNNING_WORDS.contains(&word);
        let outcome = Outcome::of(word);
        assert_eq!(outcome.is_open(), is_running || word == "queued", "{word}");
        assert!(is_running || outcome.word() == word, "{word}");
    }
}

#[test]
fn a_slot_shows_the_worst_of_its_bakes() {
    let rows = [row(1, 10, "succeeded"), row(2, 10, "failed"), row(3, 10, "succeeded"), row(4, 20, "succeeded")];
    let marks = strip(&rows);
    assert_eq!(marks.len(), 2);
    assert_eq!((marks[0].outcome, marks[0].bake, marks[0].count), (Outcome::Failed, 2, (1, 3)));
    assert_eq!((marks[1].outcome, marks[1].count), (Outcome::Succeeded, (1, 1)));
    assert_eq!(describe(&marks), "last 2: 1 succeeded, 1 failed; newest succeeded");
    assert_eq!(describe(&[]), "no slot yet");
}

#[test]
fn the_newest_slots_are_shown() {
    let rows: Vec<_> = (0..40).map(|n| row(n, n, "succeeded")).collect();
    let marks = strip(&rows);
    assert_eq!(marks.iter().map(|mark| mark.slot).collect::<Vec<_>>(), (26..40).collect::<Vec<_>>());
}
