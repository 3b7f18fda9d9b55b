use super::*;

fn at(slot: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(slot, 0).unwrap()
}

fn row(bake: i64, slot: i64, state: &str) -> SlotRow {
    SlotRow {
        bake,
        slot: at(slot),
        slot_count: 1,
        state: state.to_owned(),
        reason: None,
        reason_code: None,
        vetoed: false,
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
fn a_lost_instance_is_shown_while_others_of_its_slot_are_still_at_work() {
    let rows = [row(4, 10, "building"), row(3, 10, "skipped"), row(2, 10, "queued"), row(1, 10, "cancelled")];
    let marks = strip(&rows);
    assert_eq!((marks[0].outcome, marks[0].bake, marks[0].count), (Outcome::Skipped, 3, (1, 4)));
    let vetoed = [SlotRow { vetoed: true, ..row(5, 10, "succeeded") }, row(4, 10, "building"), row(3, 10, "skipped")];
    let marks = strip(&vetoed);
    assert_eq!((marks[0].outcome, marks[0].bake, marks[0].state.as_str()), (Outcome::Vetoed, 5, "succeeded"));
}

#[test]
fn of_equal_results_the_first_row_is_shown() {
    let rows = [row(9, 10, "failed"), row(8, 10, "failed"), row(7, 10, "succeeded")];
    assert_eq!((strip(&rows)[0].bake, strip(&rows)[0].count), (9, (2, 3)));
}

#[test]
fn the_newest_slots_are_shown() {
    let rows: Vec<_> = (0..40).map(|n| row(n, n, "succeeded")).collect();
    let marks = strip(&rows);
    assert_eq!(marks.iter().map(|mark| mark.slot).collect::<Vec<_>>(), (26..40).map(at).collect::<Vec<_>>());
}
