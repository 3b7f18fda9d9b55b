//! The forecast of `plan` and `check`, from a history of bakes with known durations.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not recognised as tests; a failure in them is a failed test"
)]

use std::{fs, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use imagebaked::{
    adapters::store::{Attempt, NewRow, Store, Transition},
    domain::{
        api::call::MadeImage,
        bake::{
            BakeSettings, State, Trigger,
            state::{BakeWork, End},
        },
        calendar::zone::Zone,
        clock::{Clock as _, SystemClock},
        ids::{BakeId, LineId},
        pause::Pause,
    },
};
use serde_json::{Value, json};

use support::Host;

mod support;

const NIGHT: &str = r#"
[defaults]
timezone = "Asia/Shanghai"

[[schedule]]
name = "win11-golden"
instance_id = "ecd-1"
cron = "0 3 * * *"

[[schedule]]
name = "fleet"
instance_ids = ["ecd-2", "ecd-3"]
cron = "0 3 * * *"

[[schedule]]
name = "hasty"
instance_id = "ecd-4"
cron = "0 3,4 * * *"
overlap = "skip"

[[schedule]]
name = "impatient"
instance_id = "ecd-5"
cron = "5 3 * * *"
deadline = "10m"

[[schedule]]
name = "resting"
instance_id = "ecd-6"
cron = "0 3 * * *"
paused = true
"#;

const THAT_NIGHT: [&str; 5] = ["plan", "--from", "2040-03-04T12:00:00Z", "--until", "2040-03-05T12:00:00Z"];

/// A host with this many builders whose daemon is never started.
fn host(schedules: &str, builders: u32) -> Host {
    let host = Host::new("127.0.0.1:9".parse().unwrap(), schedules);
    fs::create_dir(host.path("conf.d")).unwrap();
    fs::write(host.path("conf.d/builders.toml"), format!("[daemon]\nmax_builders = {builders}\n")).unwrap();
    host
}

/// Settings as a row has them that was written before the newest keys.
fn settings() -> Arc<BakeSettings> {
    let settings = json!({
        "instance_type": "CloudDesktop",
        "instance_region": "cn-hangzhou",
        "disk_type": "ALL",
        "tags": {},
        "image_name": "{name}-v{version}",
        "timezone": "UTC",
        "deadline": "4h",
        "build_deadline": "12h",
        "retry": { "attempts": 5, "base": "30s", "cap": "10m", "rebakes": 1 },
        "stop_instance": "never",
        "stopped_mode": "KeepCharging",
    });
    Arc::new(serde_json::from_value(settings).unwrap())
}

/// A history that the test fills.
struct Past {
    store: Store,
    bakes: i64,
}

impl Past {
    async fn of(host: &Host) -> Self {
        Self { store: Store::open(&host.path("state")).await.unwrap(), bakes: 0 }
    }

    /// Begins a bake of a line whose schedule has one instance, or `schedule/instance`.
    async fn begin(&mut self, line: &str, instance: &str, at: DateTime<Utc>) -> Transition {
        let schedule = line.split('/').next().unwrap();
        let row = NewRow {
            schedule_id: schedule.into(),
            schedule: schedule.into(),
            instance_id: instance.into(),
            line: line.into(),
            slot: at,
            first_slot: at,
            slot_count: 1,
            trigger: Trigger::Slot,
            settings: Some(settings()),
            state: State::Queued { not_before: at, suspended: None },
        };
        self.store.record_slots(&[row], &[], "abc", at).await.unwrap();
        self.bakes += 1;
        let image = MadeImage { image_id: "imgc-1".into(), version_id: None, task_id: None };
        let work = BakeWork { version: 1, image_name: "x".into(), attempts: 1, ..BakeWork::default() };
        let building = State::Building {
            work,
            image,
            since: at,
            seen_at: at,
            consecutive_errors: 0,
            next: at,
            status: "CREATING".into(),
            found: None,
            searching: false,
        };
        let attempt = Attempt {
            stage: "create",
            call: "CreateImageByInstance".into(),
            started_at: at,
            finished_at: at + TimeDelta::seconds(1),
            outcome: "ok",
            code: None,
            http_status: Some(200),
            request_id: None,
            message: None,
            success: None,
            answer: None,
        };
        let (bake, line) = (BakeId(self.bakes), LineId::from(line));
        let step = Transition { bake, line, state: building, reason: None, attempt: Some(attempt), events: Vec::new() };
        self.store.commit(std::slice::from_ref(&step), at).await.unwrap();
        step
    }

    /// Adds a bake that succeeded some years ago and took this long.
    async fn took(&mut self, line: &str, instance: &str, minutes: i64) {
        let begun: DateTime<Utc> = "2025-01-01T00:00:00Z".parse().unwrap();
        let step = self.begin(line, instance, begun + TimeDelta::days(self.bakes)).await;
        let State::Building { work, image, since, .. } = step.state else { unreachable!() };
        let state = State::Ended { work: Some(work), end: End::Succeeded { image, reason: "good".into() } };
        let end = Transition { state, attempt: None, ..step };
        self.store.commit(&[end], since + TimeDelta::minutes(minutes)).await.unwrap();
    }
}

async fn with_a_past(builders: u32) -> Host {
    let host = host(NIGHT, builders);
    let mut past = Past::of(&host).await;
    for (line, instance, minutes) in [
        ("win11-golden", "ecd-1", 70),
        ("fleet/ecd-2", "ecd-2", 25),
        ("fleet/ecd-3", "ecd-3", 40),
        ("hasty", "ecd-4", 65),
    ] {
        past.took(line, instance, minutes).await;
    }
    past.store.close().await;
    host
}

/// The table with all that depends on the day masked.
fn timeless(text: &str) -> String {
    let start = |line: &str| line.find("WHEN").or_else(|| line.find("  in ").map(|at| at + 2));
    let cut = |line: &str| match start(line) {
        Some(at) if line.starts_with("SLOT") || line.contains("  in ") => {
            let rest = &line[at..];
            // Two spaces end the column. Its text has only single spaces.
            format!("{}{}", &line[..at], rest.split_once("  ").unwrap().1.trim_start())
        }
        // When the history was last written.
        _ => match line.split_once(" since ").zip(line.split_once(": none answers")) {
            Some(((before, _), (_, after))) => format!("{before}: none answers{after}"),
            None => line.to_owned(),
        },
    };
    // Versions count the slots until then, and their digits set the width of the column.
    let unversioned = |line: String| {
        let Some((before, after)) = line.rsplit_once("-v") else {
            return match line.split_once("IMAGE NAME") {
                Some((before, after)) => format!("{before}IMAGE NAME  {}", after.trim_start()),
                None => line,
            };
        };
        let note = after.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        format!("{before}-v…  {note}").trim_end().to_owned()
    };
    text.lines().map(cut).map(unversioned).collect::<Vec<_>>().join("\n")
}

fn slots<'a>(plan: &'a Value, schedule: &str) -> Vec<&'a Value> {
    plan["slots"].as_array().unwrap().iter().filter(|slot| slot["schedule"] == schedule).collect()
}

#[tokio::test]
async fn the_table_has_each_start_and_the_end() {
    let host = with_a_past(1).await;
    let (table, _) = host.expect(0, &THAT_NIGHT);
    insta::assert_snapshot!(timeless(&table));
}

#[tokio::test]
async fn json_has_the_same_and_keeps_what_it_had() {
    let host = with_a_past(1).await;
    let plan = host.json(0, &THAT_NIGHT);
    let golden = slots(&plan, "win11-golden")[0];
    for (field, value) in [
        ("slot", "2040-03-04T19:00:00Z"),
        ("local", "2040-03-05T03:00:00+08:00"),
        ("instance_id", "ecd-1"),
        ("expected_begin", "2040-03-04T19:00:00Z"),
        ("expected_end", "2040-03-04T20:10:00Z"),
    ] {
        assert_eq!(golden[field], value, "{golden}");
    }
    assert!(golden["image_name"].is_string() && golden.get("warning").is_none(), "{golden}");
    let fleet: Vec<_> = slots(&plan, "fleet").iter().map(|slot| slot["expected_end"].clone()).collect();
    assert_eq!(fleet, ["2040-03-04T20:35:00Z", "2040-03-04T21:15:00Z"]);
    let [hasty, skipped] = slots(&plan, "hasty")[..] else { panic!("{plan}") };
    assert_eq!(
        hasty["warning"],
        "hasty Mon 2040-03-05 03:00 +08:00 is expected to be still running at its next slot 04:00"
    );
    assert!(skipped.get("expected_begin").is_none() && skipped["warning"].is_string(), "{skipped}");
    let resting = slots(&plan, "resting")[0];
    assert!(resting["paused"] == true && resting.get("expected_begin").is_none(), "{resting}");
}

#[tokio::test]
async fn with_builders_enough_nothing_waits() {
    let host = with_a_past(20).await;
    let (table, _) = host.expect(0, &THAT_NIGHT);
    // Without a schedule, times are those of the zone of most schedules.
    let sentence = "Up to Mon 2040-03-05 20:00 +08:00: 5 bakes on 5 instances, the last done at Mon 2040-03-05 04:10 +08:00 by \
                    the durations of former bakes; 1 slot is expected to be skipped; 1 slot is paused.";
    assert!(table.contains(sentence), "{table}");
}

#[tokio::test]
async fn one_schedule_is_shown_as_part_of_the_whole_queue() {
    let host = with_a_past(1).await;
    let (table, _) = host.expect(0, &[&THAT_NIGHT[..], &["--schedule", "fleet"]].concat());
    let sentence = "2 bakes of fleet on 2 instances, the last done at Mon 2040-03-05 05:15 +08:00 by the durations of former \
                    bakes; the longest wait is 1h 35m.";
    assert!(table.contains(sentence), "{table}");
}

#[test]
fn without_bakes_half_an_hour_is_assumed() {
    let host = host(NIGHT, 20);
    let (table, _) = host.expect(0, &[&THAT_NIGHT[..], &["--schedule", "fleet"]].concat());
    assert!(table.contains("if each takes 30 min, as none is known yet"), "{table}");
    assert!(!table.contains("BEGINS"), "nothing to be learned from them: {table}");
    let plan = host.json(0, &THAT_NIGHT);
    assert_eq!(slots(&plan, "win11-golden")[0]["expected_end"], "2040-03-04T19:30:00Z");
    assert_eq!(host.json(0, &["check"])["warnings"], serde_json::json!([]));
}

#[tokio::test]
async fn what_is_at_work_now_is_waited_for() {
    let schedules = "\n[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 0 1 1 *\"\n\n\
                     [[schedule]]\nname = \"next\"\ninstance_id = \"ecd-2\"\ncron = \"* * * * *\"\n";
    let host = host(schedules, 1);
    let mut past = Past::of(&host).await;
    past.took("golden", "ecd-1", 60).await;
    let begun = SystemClock.now() - TimeDelta::minutes(10);
    past.begin("golden", "ecd-1", begun).await;
    past.store.close().await;
    let until = (SystemClock.now() + TimeDelta::minutes(3)).to_rfc3339();
    let plan = host.json(0, &["plan", "--schedule", "next", "--until", &until]);
    let first = slots(&plan, "next")[0];
    let begin: DateTime<Utc> = first["expected_begin"].as_str().unwrap().parse().unwrap();
    assert_eq!(begin.timestamp(), (begun + TimeDelta::hours(1)).timestamp(), "{first}");
}

/// A bake in the queue takes the next version of its line, and a slot that is expected to be skipped takes none.
#[tokio::test]
async fn versions_are_those_that_the_bakes_will_take() {
    let host = host(NIGHT, 20);
    let mut past = Past::of(&host).await;
    past.took("win11-golden", "ecd-1", 70).await;
    past.took("hasty", "ecd-4", 65).await;
    let queue = async |store: &Store, slot: DateTime<Utc>| {
        let row = NewRow {
            schedule_id: "win11-golden".into(),
            schedule: "win11-golden".into(),
            instance_id: "ecd-1".into(),
            line: "win11-golden".into(),
            slot,
            first_slot: slot,
            slot_count: 1,
            trigger: Trigger::Slot,
            settings: Some(settings()),
            state: State::Queued { not_before: slot, suspended: None },
        };
        store.record_slots(&[row], &[], "abc", slot).await.unwrap();
    };
    // Each slot with its local time and the version in its name, which one that is skipped does not have.
    let versions = |schedule: &str| -> Vec<(String, Option<u32>)> {
        let plan = host.json(0, &["plan", "--schedule", schedule, "--until", "9d"]);
        let version = |slot: &Value| Some(slot["image_name"].as_str()?.rsplit_once("-v").unwrap().1.parse().unwrap());
        slots(&plan, schedule).iter().map(|slot| (slot["local"].as_str().unwrap().to_owned(), version(slot))).collect()
    };
    let first = versions("win11-golden")[0].1;
    queue(&past.store, SystemClock.now() - TimeDelta::minutes(1)).await;
    past.store.close().await;
    assert_eq!((first, versions("win11-golden")[0].1), (Some(2), Some(3)), "the queued one is version 2");
    // A slot at 04:00 is skipped, because the one at 03:00 is still running: it takes no version.
    let hasty = versions("hasty");
    let at_three = hasty.iter().position(|(local, _)| local.contains("T03:")).unwrap();
    let first = hasty[at_three].1.unwrap();
    let of: Vec<_> = hasty[at_three..at_three + 4].iter().map(|(_, version)| version.map(|n| n - first)).collect();
    assert_eq!(of, [Some(0), None, Some(1), None]);
}

#[tokio::test]
async fn who_is_paused_by_a_person_is_not_in_the_queue() {
    let host = with_a_past(1).await;
    let store = Store::open(&host.path("state")).await.unwrap();
    let pause = Pause {
        schedule_id: "win11-golden".into(),
        since: "2026-01-01T00:00:00Z".parse().unwrap(),
        until: Some("2040-03-04T19:00:00Z".parse().unwrap()),
        reason: "holidays".into(),
        who: "uid 0".into(),
    };
    store.pause(&pause, Zone::UTC).await.unwrap();
    store.close().await;
    let plan = host.json(0, &["plan", "--from", "2040-03-04T12:00:00Z", "--until", "2040-03-06T12:00:00Z"]);
    let [paused, resumed] = slots(&plan, "win11-golden")[..] else { panic!("{plan}") };
    assert!(paused["paused"] == true && paused.get("expected_begin").is_none(), "{paused}");
    assert!(resumed["paused"] == false && resumed["expected_begin"].is_string(), "{resumed}");
    assert_eq!(slots(&plan, "fleet")[0]["expected_begin"], "2040-03-04T19:00:00Z");
}

#[tokio::test]
async fn check_warns_of_bakes_that_outlast_their_interval_and_never_fails_for_it() {
    let host = with_a_past(20).await;
    let (text, _) = host.expect(0, &["check"]);
    let code = "warning[outlasts-interval]: ";
    let warnings: Vec<_> = text.lines().filter(|line| line.starts_with(code)).collect();
    let [warning] = warnings[..] else { panic!("{text}") };
    assert!(
        warning.starts_with(&format!("{code}hasty ")) && warning.contains(" 03:00 +08:00 is expected to take 1h 5m,"),
        "{text}"
    );
    let rest = "and its next slot is 1h after it, at 04:00, and is skipped then (overlap = \"skip\")";
    assert!(warning.ends_with(rest), "{text}");
    let report = host.json(0, &["check"]);
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1);
    let problems = report["problems"].as_array().unwrap();
    assert!(
        problems.iter().any(|problem| problem["code"] == "outlasts-interval" && problem["line"].is_u64()),
        "{report}"
    );
    // `plan` works without a history that it can read.
    fs::write(host.path("state/imagebaked.db"), "not a database".repeat(100)).unwrap();
    for file in ["state/imagebaked.db-wal", "state/imagebaked.db-shm"] {
        let _ = fs::remove_file(host.path(file));
    }
    assert!(!host.expect(0, &["check"]).0.contains("outlasts-interval"));
    let (table, warning) = host.expect(0, &THAT_NIGHT);
    assert!(
        warning.contains("the history cannot be read") && table.contains("as none is known yet"),
        "{warning}{table}"
    );
}

#[test]
fn a_year_of_seconds_is_counted_and_not_computed() {
    let schedules: String = (0..20)
        .map(|n| {
            format!(
                "[[schedule]]\nname = \"s{n}\"\ninstance_ids = [\"ecd-{n}\", \"ecd-1{n}\"]\ncron = \"* * * * * *\"\n"
            )
        })
        .collect();
    let host = host(&schedules, 5);
    let year = ["plan", "--from", "2039-01-01T00:00:00Z", "--until", "2040-01-01T00:00:00Z"];
    let plan = host.json(0, &[&year[..], &["--limit", "3"]].concat());
    assert_eq!(plan["slots"].as_array().unwrap().len(), 3);
    assert_eq!(plan["more"], 20 * 2 * 365 * 24 * 3600 - 3);
    let plan = host.json(0, &year);
    assert_eq!(plan["slots"].as_array().unwrap().len(), 1000);
    let (table, _) = host.expect(0, &year);
    assert!(
        table.contains("… and 1261439900 more up to Sun 2040-01-01 00:00 +00:00"),
        "{}",
        table.lines().last().unwrap()
    );
    host.expect(0, &["check"]);
}
