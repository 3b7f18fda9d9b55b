use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{columns::Columns, *};
use crate::domain::{
    pause::Pause,
    plan::forecast::{Builders, Durations},
    schedule::{self, Schedule},
    schedule_rows::outcome::Outcome,
    time::night::NightName,
};

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
        vetoed: false,
        reason: Some("because".to_owned()),
        wake_at: None,
        give_up_at: Some(minutes(240)),
        begun_at: begun.map(minutes),
        finished_at: ended.map(minutes),
        is_former: false,
    }
}

fn facts(recorded: Vec<Recorded>, schedules: &[Arc<Schedule>], builders: usize) -> Facts {
    Facts {
        recorded,
        counted: Vec::new(),
        schedules: schedules.to_vec(),
        pauses: HashMap::new(),
        durations: Durations::learn([("s1".into(), Duration::from_mins(40))]),
        builders: Builders { all: builders, per_region: builders },
        observes: false,
    }
}

/// The lanes of builders and the marks beside them.
fn lanes(night: &Night) -> (&[Vec<Bar>], &[Beside]) {
    let Drawing::Lanes { builders, beside, .. } = &night.drawing else { panic!("{night:?}") };
    (builders, beside)
}

/// The schedules of the lanes that are no builder's: of others, and of those that wait.
fn other_lanes(night: &Night) -> (Vec<Vec<&str>>, Vec<Vec<&str>>) {
    let Drawing::Lanes { others, waiting, .. } = &night.drawing else { panic!("{night:?}") };
    let others = others.iter().map(|lane| lane.iter().map(|bar| bar.schedule.as_str()).collect()).collect();
    let waiting = waiting.iter().map(|lane| lane.iter().map(|wait| wait.bar.schedule.as_str()).collect()).collect();
    (others, waiting)
}

fn columns(night: &Night) -> &Columns {
    let Drawing::Columns(columns) = &night.drawing else { panic!("{night:?}") };
    columns
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
    assert_eq!(tonight.drawing, Drawing::Nothing);
    let (drawn, beside) = lanes(&last);
    let numbers: Vec<Vec<_>> = drawn.iter().map(|lane| lane.iter().map(|bar| bar.bake.unwrap()).collect()).collect();
    assert_eq!(numbers, [vec![1, 3], vec![2]], "a lane is free as soon as its bake has ended");
    let first = &drawn[0][0];
    assert_eq!(first.planned_end, at("2027-03-02T19:40:00Z"));
    assert_eq!(first.end, Some(at("2027-03-02T20:00:00Z")));
    assert_eq!((first.waited_from, drawn[0][1].waited_from), (None, Some(at(slot))));
    let marks: Vec<_> = beside.iter().map(|mark| (mark.bake, mark.outcome)).collect();
    assert_eq!(marks, [(Some(4), Outcome::Skipped)]);
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
    let open = &lanes(&last).0[0][0];
    assert_eq!((open.bake, open.end, open.outcome), (Some(9), Some(now()), Some(Outcome::Running)));
    let bars = &lanes(&tonight).0[0];
    let begin = at("2027-03-03T19:00:00Z");
    assert_eq!(lanes(&tonight).0.len(), 1);
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
    let (_, beside) = lanes(&last);
    assert_eq!(beside.len(), 1);
    assert_eq!((beside[0].bake, beside[0].outcome), (Some(8), Outcome::Skipped));
}

#[test]
fn no_more_builders_are_drawn_than_there_are_and_what_waits_has_lanes_of_its_own() {
    let slot = "2027-03-02T23:00:00Z";
    let mut recorded: Vec<_> = (1..=3).map(|n| bake(n, slot, Some(0), None, "building")).collect();
    // Gone back to the queue after a first call.
    recorded.push(bake(4, slot, Some(1), None, "queued"));
    recorded.push(bake(5, slot, None, None, "queued"));
    recorded[4].is_former = true;
    let schedules: Vec<_> =
        (0..5).map(|n| Arc::new(schedule::example(&format!("p{n}"), &[&format!("ecd-p{n}")]))).collect();
    let [last, tonight] = nights(&facts(recorded, &schedules, 2), zone(), now());
    let (builders, _) = lanes(&last);
    assert_eq!(builders.len(), 2);
    assert_eq!(other_lanes(&last), (vec![vec!["s3"]], vec![vec!["s4"], vec!["s5"]]));
    let bars = builders.iter().flatten();
    let queued: Vec<_> =
        bars.filter(|bar| bar.outcome.is_none()).map(|bar| (bar.bake, bar.waits_for.as_deref())).collect();
    assert_eq!(queued, [(Some(4), Some("because")), (Some(5), Some("because"))], "they are planned");
    assert_eq!((last.planned, last.former), (2, 0), "what is planned is in no count");
    assert_eq!(lanes(&tonight).0.len(), 2);
    assert_eq!(other_lanes(&tonight), (Vec::new(), vec![vec!["p2"], vec!["p3"], vec!["p4"]]));
}

#[test]
fn bakes_of_former_schedules_are_counted_and_named_as_such() {
    let slot = "2027-03-02T19:00:00Z";
    let mut recorded = vec![bake(1, slot, Some(0), Some(30), "succeeded"), bake(2, slot, None, Some(0), "skipped")];
    recorded[1].is_former = true;
    let [last, _] = nights(&facts(recorded, &[], 5), zone(), now());
    assert_eq!((last.counts.values().sum::<usize>(), last.former), (2, 1));
}

#[test]
fn a_daemon_that_observes_plans_no_bake() {
    let schedules = [Arc::new(schedule::example("s1", &["ecd-1"]))];
    let [_, tonight] = nights(&Facts { observes: true, ..facts(Vec::new(), &schedules, 5) }, zone(), now());
    let (builders, beside) = lanes(&tonight);
    assert_eq!((builders.len(), tonight.planned, tonight.late), (0, 0, 1));
    assert_eq!(beside[0].reason, "the daemon only observes");
}

#[test]
fn a_crowded_night_is_counted_and_nothing_is_left_out() {
    let slot = "2027-03-02T19:02:00Z";
    let mut recorded: Vec<_> = (0..50).map(|n| bake(n, slot, Some(0), Some(60), "succeeded")).collect();
    recorded[7].state = "failed".to_owned();
    recorded[8].vetoed = true;
    recorded.push(bake(60, "2027-03-02T19:31:00Z", None, Some(0), "skipped"));
    let [last, _] = nights(&facts(recorded, &[], 50), zone(), now());
    let drawn = columns(&last);
    assert_eq!(drawn.length, TimeDelta::minutes(5));
    let counts: Vec<_> = drawn.columns.iter().map(|column| (column.from, column.counts.clone())).collect();
    let first = [(Outcome::Succeeded, 48), (Outcome::Vetoed, 1), (Outcome::Failed, 1)].into();
    let second = [(Outcome::Skipped, 1)].into();
    assert_eq!(counts, [(at("2027-03-02T19:00:00Z"), first), (at("2027-03-02T19:30:00Z"), second)]);
    assert_eq!((drawn.highest(), last.counts.values().sum::<usize>()), (50, 51));
}

#[test]
fn a_pause_that_ends_in_the_night_leaves_the_slots_after_it() {
    let schedules = [Arc::new(schedule::example("s1", &["ecd-1"])), Arc::new(schedule::example("s2", &["ecd-2"]))];
    let pause = |id: &str, until: &str| {
        let (reason, who) = ("patch day".to_owned(), "ann".to_owned());
        let pause = Pause { schedule_id: id.into(), since: now(), until: Some(at(until)), reason, who };
        (id.into(), pause)
    };
    // Both have a slot at 03:00 in Shanghai.
    let pauses = HashMap::from([pause("s1", "2027-03-03T18:59:00Z"), pause("s2", "2027-03-03T19:00:00Z")]);
    let [_, tonight] = nights(&Facts { pauses, ..facts(Vec::new(), &schedules, 5) }, zone(), now());
    let planned: Vec<_> = lanes(&tonight).0.iter().flatten().map(|bar| bar.schedule.as_str()).collect();
    assert_eq!((planned, tonight.planned), (vec!["s1"], 1));
}

#[test]
fn what_the_history_counted_is_added_to_what_is_open_and_planned() {
    let count = |slot: &str, outcome, count| Counted {
        slot: at(slot),
        outcome,
        is_former: outcome == Outcome::Failed,
        count,
        last_end: at(slot),
    };
    let running = bake(9, "2027-03-02T23:50:00Z", Some(0), None, "building");
    let schedules: Vec<_> =
        (0..400).map(|n| Arc::new(schedule::example(&format!("s{n}"), &[&format!("ecd-{n}")]))).collect();
    let facts = Facts {
        counted: vec![
            count("2027-03-01T19:00:00Z", Outcome::Failed, 7),
            count("2027-03-02T19:00:00Z", Outcome::Succeeded, 900),
            count("2027-03-02T20:05:00Z", Outcome::Failed, 40),
        ],
        ..facts(vec![running], &schedules, 20)
    };
    let [last, tonight] = nights(&facts, zone(), now());
    let counts = [(Outcome::Succeeded, 900), (Outcome::Running, 1), (Outcome::Failed, 40)];
    assert_eq!((&last.counts, columns(&last).columns.len()), (&counts.into(), 3));
    assert_eq!((last.former, tonight.former), (40, 0));
    // Of four hundred at one time, twenty at once, some would wait past their deadline.
    let [column] = columns(&tonight).columns.as_slice() else { panic!("{tonight:?}") };
    assert_eq!((column.planned, column.late), (tonight.planned, tonight.late));
    assert!(tonight.planned >= 100 && tonight.late >= 100, "{} and {}", tonight.planned, tonight.late);
    assert_eq!(tonight.planned + tonight.late, 400);
}

#[test]
fn a_whole_day_has_a_column_for_every_half_hour() {
    for (zone, date) in [("Asia/Shanghai", "2027-03-02"), ("Europe/Berlin", "2027-10-30")] {
        let zone: Zone = zone.parse().unwrap();
        let day: chrono::NaiveDate = date.parse().unwrap();
        let noon = crate::domain::time::first_at(day.and_hms_opt(12, 0, 0).unwrap(), zone);
        let recorded: Vec<_> = (0..24 * 60)
            .map(|minute| {
                let slot = (noon + TimeDelta::minutes(minute)).to_rfc3339();
                bake(minute, &slot, Some(0), Some(5), "succeeded")
            })
            .collect();
        let now = noon + TimeDelta::hours(22);
        let [last, _] = nights(&facts(recorded, &[], 50), zone, now);
        assert!((24..=48).contains(&columns(&last).columns.len()), "{}", columns(&last).columns.len());
        assert_eq!(columns(&last).columns.iter().map(columns::Column::all).sum::<usize>(), 24 * 60);
    }
}

#[test]
fn a_night_is_from_noon_to_noon_across_a_change_of_the_clock() {
    let zone: Zone = "Europe/Berlin".parse().unwrap();
    let [last, tonight] = windows(zone, at("2027-03-28T06:00:00Z"));
    assert_eq!((last.from, last.to), (at("2027-03-27T11:00:00Z"), at("2027-03-28T10:00:00Z")));
    assert_eq!(tonight.to, at("2027-03-29T10:00:00Z"));
    assert_eq!(needed_from(zone, at("2027-03-28T06:00:00Z")), at("2027-03-26T11:00:00Z"));
}

#[test]
fn a_bake_that_runs_over_midnight_is_one_bar_of_the_current_night() {
    // 00:30 in Shanghai; it began at 23:50.
    let now = at("2027-03-02T16:30:00Z");
    let running = bake(9, "2027-03-02T15:50:00Z", Some(0), None, "building");
    let [tonight, last] = nights(&facts(vec![running], &[], 1), zone(), now);
    assert_eq!((tonight.name, last.name), (NightName::Tonight, NightName::Last));
    let bar = &lanes(&tonight).0[0][0];
    assert_eq!((bar.begin, bar.end), (at("2027-03-02T15:50:00Z"), Some(now)));
    assert_eq!(last.drawing, Drawing::Nothing);
}
