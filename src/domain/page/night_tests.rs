use std::time::Duration;

use super::*;
use crate::domain::schedule;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// 08:00 in Shanghai.
fn now() -> DateTime<Utc> {
    at("2027-03-03T00:00:00Z")
}

fn zone() -> Zone {
    "Asia/Shanghai".parse().unwrap()
}

fn bake(id: i64, slot: &str, begun: Option<i64>, ended: Option<i64>, state: &str) -> Recorded {
    let slot = at(slot);
    let minutes = |n: i64| slot + TimeDelta::minutes(n);
    Recorded {
        bake: id,
        schedule: format!("s{id}"),
        instance: format!("ecd-{id}").into(),
        line: format!("s{id}").into(),
        region: "cn-shanghai".to_owned(),
        slot,
        slot_count: 1,
        state: state.to_owned(),
        reason: Some("because".to_owned()),
        wake_at: None,
        give_up_at: Some(minutes(240)),
        begun_at: begun.map(minutes),
        finished_at: ended.map(minutes),
    }
}

fn facts(recorded: Vec<Recorded>, schedules: &[Arc<Schedule>], builders: usize) -> Facts {
    Facts {
        recorded,
        schedules: schedules.to_vec(),
        durations: Durations::learn([("s1".into(), Duration::from_mins(40))]),
        builders: Builders { all: builders, per_region: builders },
    }
}

#[test]
fn what_was_baked_lies_over_what_is_usual() {
    let slot = "2027-03-02T19:00:00Z";
    let recorded = vec![
        bake(1, slot, Some(0), Some(60), "succeeded"),
        bake(2, slot, Some(10), Some(30), "failed"),
        bake(3, slot, Some(60), Some(80), "succeeded"),
        bake(4, slot, None, Some(0), "skipped"),
    ];
    let [last, tonight] = nights(&facts(recorded, &[], 5), zone(), now());
    assert!(tonight.is_empty());
    let lanes: Vec<Vec<_>> = last.lanes.iter().map(|lane| lane.iter().map(|bar| bar.bake.unwrap()).collect()).collect();
    assert_eq!(lanes, [vec![1, 3], vec![2]], "a lane is free as soon as its bake has ended");
    let first = &last.lanes[0][0];
    assert_eq!(first.planned_end, at("2027-03-02T19:40:00Z"));
    assert_eq!(first.end, Some(at("2027-03-02T20:00:00Z")));
    assert_eq!((first.waited_from, last.lanes[0][1].waited_from), (None, Some(at(slot))));
    assert_eq!(
        last.beside.iter().map(|mark| (mark.bake, mark.outcome)).collect::<Vec<_>>(),
        [(Some(4), Outcome::Skipped)]
    );
    let counts = [(Outcome::Succeeded, 2), (Outcome::Skipped, 1), (Outcome::Failed, 1)];
    assert_eq!((last.counts, last.planned, last.end), (counts.into(), 0, Some(at("2027-03-02T20:20:00Z"))));
    // From 03:00 in Shanghai, four hours at least.
    assert_eq!((last.from, last.to), (at("2027-03-02T19:00:00Z"), at("2027-03-02T23:00:00Z")));
}

#[test]
fn the_plan_follows_the_learned_durations_and_the_builders() {
    let schedules = [Arc::new(schedule::example("s1", &["ecd-1"])), Arc::new(schedule::example("s2", &["ecd-2"]))];
    let running = bake(9, "2027-03-02T23:50:00Z", Some(0), None, "building");
    let [last, tonight] = nights(&facts(vec![running], &schedules, 1), zone(), now());
    let open = &last.lanes[0][0];
    assert_eq!((open.bake, open.end, open.outcome), (Some(9), Some(now()), Some(Outcome::Running)));
    let bars = &tonight.lanes[0];
    let begin = at("2027-03-03T19:00:00Z");
    assert_eq!(tonight.lanes.len(), 1);
    assert_eq!(
        (bars[0].begin, bars[0].planned_end, bars[0].waited_from),
        (begin, begin + TimeDelta::minutes(40), None)
    );
    assert_eq!((bars[1].begin, bars[1].waited_from), (begin + TimeDelta::minutes(40), Some(begin)));
    assert!(bars.iter().all(|bar| bar.bake.is_none() && bar.outcome.is_none() && bar.deadline.is_some()));
}

#[test]
fn a_slot_that_would_wait_too_long_is_shown_without_a_builder() {
    let mut late = bake(8, "2027-03-02T23:30:00Z", None, None, "queued");
    late.give_up_at = Some(now() + TimeDelta::minutes(5));
    let running = bake(1, "2027-03-02T23:55:00Z", Some(0), None, "building");
    let [last, _] = nights(&facts(vec![running, late], &[], 1), zone(), now());
    assert_eq!(last.beside.len(), 1);
    assert_eq!((last.beside[0].bake, last.beside[0].outcome), (Some(8), Outcome::Skipped));
}

#[test]
fn a_crowded_night_is_drawn_in_part() {
    let recorded: Vec<_> = (0..50).map(|n| bake(n, "2027-03-02T19:00:00Z", Some(0), Some(60), "succeeded")).collect();
    let [last, _] = nights(&facts(recorded, &[], 50), zone(), now());
    assert_eq!((last.lanes.len(), last.more), (LANES, 50 - LANES));
    assert_eq!(last.counts[&Outcome::Succeeded], 50);
}

#[test]
fn a_night_is_from_noon_to_noon_across_a_change_of_the_clock() {
    let zone: Zone = "Europe/Berlin".parse().unwrap();
    let noon = noons(zone, at("2027-03-28T06:00:00Z"));
    assert_eq!(noon, [at("2027-03-27T11:00:00Z"), at("2027-03-28T10:00:00Z"), at("2027-03-29T10:00:00Z")]);
}
