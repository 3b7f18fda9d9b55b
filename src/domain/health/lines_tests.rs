use proptest::prelude::*;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn night(day: i64) -> DateTime<Utc> {
    at("2026-11-01T19:00:00Z") + TimeDelta::days(day)
}

fn line() -> Line {
    Line {
        id: "golden".into(),
        schedule: "golden".into(),
        zone: crate::domain::calendar::zone::Zone::find("Asia/Shanghai").unwrap(),
        max_image_age: None,
        known_since: night(0),
    }
}

fn lost(slots: u64, first: DateTime<Utc>, slot: DateTime<Utc>, state: &str, code: ReasonCode, reason: &str) -> Lost {
    let last = LastLost {
        bake: BakeId(7),
        slot,
        state: state.into(),
        code: Some(code),
        reason: reason.into(),
        image: Some("imgc-7".into()),
    };
    Lost { slots, more: false, first, only_missed: code == ReasonCode::Missed, last }
}

fn good(at: DateTime<Utc>) -> Good {
    Good { at }
}

fn report(line: &Line, facts: &Facts, now: DateTime<Utc>) -> Vec<String> {
    judge(line, facts, now)
        .into_iter()
        .map(|one| {
            let id = one.subject.id;
            format!(
                "{} {} {id} {}: {} [{}]",
                one.severity,
                one.code.as_str(),
                one.since,
                one.message,
                one.command.unwrap()
            )
        })
        .collect()
}

#[test]
fn problems_of_a_line_are_plain_words() {
    let now = night(5) + TimeDelta::hours(2);
    let fine = Facts { good: Some(good(night(4))), ..Facts::default() };
    let with = |one| Facts { lost: Some(one), ..fine.clone() };
    let never = |one| Facts { lost: Some(one), ..Facts::default() };
    let unverified = |version, day| Unverified {
        image: format!("imgc-{version}").as_str().into(),
        version,
        slot: night(day),
        vetoed_at: night(day) + TimeDelta::hours(1),
        bake: Some(BakeId(version.into())),
        reason: "its check failed: no boot\nafter 5m".into(),
    };
    let aged = Line { max_image_age: Some(Duration::from_hours(25)), ..line() };
    let quota = "QuotaExceeded.Image: the image quota is used up";
    let mut many = lost(100, night(0), night(5), "failed", ReasonCode::Quota, quota);
    many.more = true;
    let cases = [
        ("its image", line(), fine.clone()),
        ("no finished slot", line(), Facts::default()),
        ("one failed", line(), with(lost(1, night(5), night(5), "failed", ReasonCode::Quota, quota))),
        ("the first of all failed", line(), never(lost(1, night(5), night(5), "failed", ReasonCode::Quota, quota))),
        ("two failed", line(), with(lost(2, night(4), night(5), "failed", ReasonCode::Quota, quota))),
        ("never any", line(), never(lost(2, night(4), night(5), "failed", ReasonCode::Quota, quota))),
        ("very many", line(), with(many)),
        (
            "one missed",
            line(),
            with(lost(1, night(5), night(5), "skipped", ReasonCode::Missed, "missed while the daemon could not run")),
        ),
        (
            "a range missed",
            line(),
            with(lost(48, night(3), night(5), "skipped", ReasonCode::Missed, "missed while the daemon could not run")),
        ),
        (
            "users",
            line(),
            with(lost(1, night(5), night(5), "skipped", ReasonCode::UsersConnected, "ann was connected")),
        ),
        ("stuck", line(), with(lost(1, night(5), night(5), "failed", ReasonCode::Stuck, "stuck: still CREATING"))),
        ("a manual one", line(), with(lost(0, night(5), night(5), "failed", ReasonCode::Refused, "no"))),
        ("not verified", line(), Facts { unverified: vec![unverified(9, 5)], ..fine.clone() }),
        (
            "not verified, and none before",
            line(),
            Facts {
                unverified: vec![Unverified { bake: None, ..unverified(9, 5) }],
                none_good_since: Some(night(5)),
                ..Facts::default()
            },
        ),
        ("twice not", line(), Facts { unverified: vec![unverified(9, 5), unverified(8, 4)], ..fine.clone() }),
        (
            "one and one",
            line(),
            Facts {
                unverified: vec![unverified(9, 5)],
                ..with(lost(1, night(4), night(4), "failed", ReasonCode::Quota, quota))
            },
        ),
        ("none good any more", line(), Facts { none_good_since: Some(night(3)), ..Facts::default() }),
        (
            "none good any more, and one failed",
            line(),
            Facts {
                none_good_since: Some(night(3)),
                ..never(lost(1, night(5), night(5), "failed", ReasonCode::Quota, quota))
            },
        ),
        ("too old", aged.clone(), fine.clone()),
        ("old enough to have one", aged, Facts::default()),
    ];
    let shown: Vec<_> = cases
        .iter()
        .map(|(what, line, facts)| {
            let report = report(line, facts, now);
            let report = if report.is_empty() { vec!["ok".to_owned()] } else { report };
            format!("{what}\n  {}", report.join("\n  "))
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_burst_within_an_hour_is_a_warning_and_an_hour_later_a_problem() {
    let first = night(5);
    let facts = Facts {
        good: Some(good(night(4))),
        lost: Some(lost(9, first, first + TimeDelta::minutes(8), "failed", ReasonCode::Outage, "no answer")),
        ..Facts::default()
    };
    let severity = |minutes| judge(&line(), &facts, first + TimeDelta::minutes(minutes))[0].severity;
    assert_eq!([8, 59].map(severity), [Severity::Warning; 2]);
    assert_eq!([60, 61, 1_000_000].map(severity), [Severity::Problem; 3], "and no time ends it");
    assert_eq!(severity(-600), Severity::Warning, "a clock that was set back");
}

#[test]
fn every_reason_is_lost_or_wanted() {
    let wanted: Vec<&str> = ReasonCode::ALL
        .into_iter()
        .filter(|code| !is_lost("skipped", Some(*code), Trigger::Slot))
        .map(ReasonCode::as_str)
        .collect();
    let design = ["paused", "vetoed_by_hook", "clock_ahead", "calendar", "superseded", "cancelled", "observe"];
    assert_eq!(wanted, design);
    for counted in ["missed", "overlap", "users_connected", "deadline", "instance_state"] {
        assert!(is_lost("skipped", ReasonCode::parse(counted), Trigger::CaughtUp), "{counted}");
    }
    assert!(is_lost("skipped", None, Trigger::Slot), "a reason that is not known");
    for code in ReasonCode::ALL {
        assert!(is_lost("failed", Some(code), Trigger::Slot) && is_lost("failed", Some(code), Trigger::Manual));
        assert!(!is_lost("skipped", Some(code), Trigger::Manual));
        for state in ["succeeded", "cancelled", "queued", "building"] {
            assert!(!is_lost(state, Some(code), Trigger::Slot), "{state}");
        }
    }
}

/// A row as the rule reads it.
#[derive(Debug, Clone)]
struct Row {
    slot: i64,
    slot_count: u64,
    trigger: Trigger,
    state: &'static str,
    code: Option<ReasonCode>,
    finished: i64,
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        0..120_i64,
        1..4_u64,
        prop::sample::select(&[Trigger::Slot, Trigger::CaughtUp, Trigger::Manual][..]),
        prop::sample::select(&["succeeded", "failed", "skipped", "cancelled", "queued"][..]),
        prop::option::of(prop::sample::select(&ReasonCode::ALL[..])),
        0..40_i64,
    );
    let row = row.prop_map(|(slot, slot_count, trigger, state, code, took)| Row {
        slot,
        slot_count: if state == "skipped" { slot_count } else { 1 },
        trigger,
        state,
        code,
        finished: slot + took,
    });
    prop::collection::vec(row, 0..12)
}

/// The rule of a line without an index: every question reads every row.
fn brute_force(rows: &[Row], now: i64) -> Option<Severity> {
    let ended_by = |row: &Row| rows.iter().any(|good| good.state == "succeeded" && good.finished > row.slot);
    let counted: Vec<&Row> =
        rows.iter().filter(|row| is_lost(row.state, row.code, row.trigger) && !ended_by(row)).collect();
    let first = counted.iter().map(|row| row.slot).min()?;
    let slots: u64 = counted.iter().filter(|row| row.trigger != Trigger::Manual).map(|row| row.slot_count).sum();
    Some(if slots >= 2 && now - first >= 60 { Severity::Problem } else { Severity::Warning })
}

proptest! {
    #[test]
    fn facts_that_are_folded_come_to_what_all_rows_come_to(rows in rows(), later in 0..200_i64) {
        let minute = |n: i64| night(0) + TimeDelta::minutes(n);
        let good_at = rows.iter().filter(|row| row.state == "succeeded").map(|row| row.finished).max();
        let since: Vec<&Row> = rows
            .iter()
            .filter(|row| is_lost(row.state, row.code, row.trigger) && good_at.is_none_or(|good| row.slot >= good))
            .collect();
        let lost = since.iter().max_by_key(|row| row.slot).map(|last| Lost {
            slots: since.iter().filter(|row| row.trigger != Trigger::Manual).map(|row| row.slot_count).sum(),
            more: false,
            first: minute(since.iter().map(|row| row.slot).min().unwrap()),
            only_missed: since.iter().all(|row| row.code == Some(ReasonCode::Missed)),
            last: LastLost {
                bake: BakeId(1),
                slot: minute(last.slot),
                state: last.state.into(),
                code: last.code,
                reason: String::new(),
                image: None,
            },
        });
        let facts = Facts { good: good_at.map(|at| good(minute(at))), lost, ..Facts::default() };
        let now = 120 + later;
        let problems = judge(&line(), &facts, minute(now));
        prop_assert_eq!(problems.iter().map(|one| one.severity).max(), brute_force(&rows, now));
    }
}
