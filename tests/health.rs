//! `status` in provoked situations: the verdict, the code of each problem, and what ends it. Real processes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use imagebaked::domain::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use support::{Cloud, Host, eventually, exchange};

/// Never due by itself while a test runs.
const GOLDEN: &str = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"@yearly\"\n";
/// Due every second.
const EVERY_SECOND: &str = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"* * * * * *\"\n";
const REFUSED: &str =
    "[[fault]]\naction = \"CreateImageByInstance\"\ntimes = 0\ncode = \"Instance.ImageUnsupported\"\n";

/// The verdict, and each problem as `severity code kind:id`; all outputs agree on it.
fn judged(host: &Host) -> (String, Vec<String>) {
    let output = host.run(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", String::from_utf8_lossy(&output.stderr), host.log()));
    let health = &status["health"];
    let verdict = health["verdict"].as_str().unwrap().to_owned();
    assert_eq!(output.status.code(), Some(if verdict == "ok" { 0 } else { 5 }), "{health:#}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let problems = health["problems"].as_array().unwrap();
    for problem in problems {
        assert!(problem["acknowledged"].is_null() && problem.get("acknowledged").is_some(), "{problem}");
        assert!(text(&problem["since"]).parse::<DateTime<Utc>>().is_ok(), "{problem}");
        let (message, command) = (text(&problem["message"]), text(&problem["command"]));
        assert!(!message.is_empty() && !message.contains('\n') && !command.is_empty(), "{problem}");
    }
    let problems = problems
        .iter()
        .map(|one| {
            let (kind, id) = (text(&one["subject"]["kind"]), text(&one["subject"]["id"]));
            format!("{} {} {kind}:{id}", text(&one["severity"]), text(&one["code"]))
        })
        .collect();
    (verdict, problems)
}

/// Waits for a verdict with these problems, and then checks all other outputs.
fn until_judged(host: &Host, verdict: &str, problems: &[&str]) {
    let wanted = (verdict.to_owned(), problems.iter().map(|&one| one.to_owned()).collect::<Vec<_>>());
    let mut last = None;
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually("the verdict", || {
            let now = judged(host);
            let found = (now == wanted).then_some(());
            last = Some(now);
            found
        });
    }));
    assert!(seen.is_ok(), "{wanted:?} was wanted, {last:?} was found\n{}", host.log());
    let word = verdict.to_uppercase();
    let plugin = host.run(&["status", "--check"]);
    let (code, nagios) = match verdict {
        "ok" => (0, "OK"),
        "warning" => (1, "WARNING"),
        _ => (2, "CRITICAL"),
    };
    let line = String::from_utf8(plugin.stdout).unwrap();
    assert!(plugin.status.code() == Some(code) && line.starts_with(&format!("{nagios} - ")), "{line}");
    let text = String::from_utf8(host.run(&["status"]).stdout).unwrap();
    assert!(text.starts_with(&word), "{text}");
    assert_eq!(standing_by_events(host), judged(host).1.into_iter().collect(), "{}", host.log());
}

/// The problems that stand by their events, of which each begins once and ends once.
fn standing_by_events(host: &Host) -> BTreeSet<String> {
    let kinds = ["problem_started", "problem_changed", "problem_ended"];
    let args: Vec<&str> = kinds.iter().flat_map(|kind| ["--type", kind]).chain(["--limit", "1000"]).collect();
    let events = host.json(0, &[&["events"], args.as_slice()].concat())["events"].clone();
    let mut standing: BTreeMap<String, String> = BTreeMap::new();
    for event in events.as_array().unwrap() {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (code, subject) = (text(&event["data"]["code"]), &event["subject"]);
        let problem = format!("{code} {}:{}", text(&subject["kind"]), text(&subject["id"]));
        let before = match event["type"].as_str().unwrap() {
            "problem_started" => standing.insert(problem.clone(), text(&event["severity"])).is_none(),
            "problem_changed" => standing.insert(problem.clone(), text(&event["severity"])).is_some(),
            _ => standing.remove(&problem).is_some(),
        };
        assert!(before, "{problem} began or ended twice: {events:#}");
    }
    standing.into_iter().map(|(problem, severity)| format!("{severity} {problem}")).collect()
}

#[test]
fn an_acknowledged_problem_is_listed_and_does_not_count_until_it_ends() {
    let cloud = Cloud::start();
    cloud.add_faults(REFUSED);
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    host.bake("golden");
    until_judged(&host, "warning", &["warning bake_failed line:golden"]);
    let (_, refused) = host.expect(3, &["ack", "bake_missed", "--reason", "known"]);
    assert!(refused.contains("no problem bake_missed stands"), "{refused}");
    let (_, refused) = host.expect(3, &["ack", "bake_failed", "silver", "--reason", "known"]);
    assert!(refused.contains("it stands of: line:golden"), "{refused}");
    host.expect(2, &["ack", "bake_failde", "--reason", "known"]);
    host.expect(2, &["ack", "bake_failed", "--reason", " "]);
    host.expect(0, &["ack", "bake_failed", "golden", "--reason", "ticket 17"]);
    let acknowledged = |host: &Host| {
        let health = host.json(0, &["status"])["health"].clone();
        assert_eq!(health["verdict"], "ok", "{health}");
        assert_eq!(health["problems"][0]["acknowledged"]["reason"], "ticket 17", "{health}");
        assert!(host.expect(0, &["status"]).0.starts_with("OK: 1 acknowledged."));
        assert!(host.expect(0, &["status", "--check"]).0.starts_with("OK - "));
    };
    acknowledged(&host);
    host.kill();
    host.start();
    acknowledged(&host);
    host.expect(0, &["unack", "bake_failed"]);
    until_judged(&host, "warning", &["warning bake_failed line:golden"]);
    host.expect(0, &["ack", "bake_failed", "--reason", "ticket 17", "--until", "1h"]);
    recover(&cloud);
    host.bake("golden");
    until_judged(&host, "ok", &[]);
    cloud.add_faults(REFUSED);
    host.bake("golden");
    until_judged(&host, "warning", &["warning bake_failed line:golden"]);
    let actions: Vec<String> = host.json(0, &["events", "--about", "line:golden"])["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect();
    let wanted = [
        "problem_started",
        "problem_acknowledged",
        "problem_unacknowledged",
        "problem_acknowledged",
        "problem_ended",
        "problem_started",
    ];
    assert_eq!(actions, wanted, "{:#}", host.json(0, &["events", "--about", "line:golden"]));
}

/// Changes the history while no daemon runs.
async fn change(host: &Host, sql: &'static str) -> u64 {
    let file = SqliteConnectOptions::new().filename(host.path("state/imagebaked.db"));
    let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
    let done = sqlx::query(sql).execute(&mut connection).await.unwrap().rows_affected();
    connection.close().await.unwrap();
    done
}

fn recover(cloud: &Cloud) {
    let answer = exchange(cloud.addr, "DELETE", "/_sim/faults", "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn slots_that_fail_are_a_warning_then_a_problem_until_a_good_image() {
    let cloud = Cloud::start();
    cloud.add_faults(REFUSED);
    let quiet = |file: &str| format!("\n[defaults]\ncatch_up = \"skip\"\n{file}");
    let mut host = Host::new(cloud.addr, &quiet(EVERY_SECOND));
    host.start();
    host.until("two have failed", &["--state", "failed"], |row| row["id"].as_i64() > Some(1));
    host.configure(cloud.addr, &quiet(GOLDEN));
    host.expect(0, &["reload"]);
    // A burst within a minute may have one transient cause.
    eventually("no bake is open", || (host.json(5, &["status"])["queued"] == 0).then_some(()));
    until_judged(&host, "warning", &["warning bake_failed line:golden"]);
    host.stop();
    assert!(change(&host, "UPDATE bakes SET slot = slot - 3700000, first_slot = first_slot - 3700000").await > 1);
    host.start();
    until_judged(&host, "problem", &["problem bake_failed line:golden"]);
    let problem = host.json(5, &["status"])["health"]["problems"][0].clone();
    let message = problem["message"].as_str().unwrap();
    assert!(message.contains("golden has had no good image in ") && message.contains("ImageUnsupported"), "{message}");
    // A pause, a cancelled bake or another failure do not end it; a paused line is not checked.
    host.expect(0, &["pause", "golden", "--reason", "moving house"]);
    until_judged(&host, "ok", &[]);
    host.expect(0, &["resume", "golden"]);
    until_judged(&host, "problem", &["problem bake_failed line:golden"]);
    host.bake("golden");
    until_judged(&host, "problem", &["problem bake_failed line:golden"]);
    recover(&cloud);
    let made = host.bake("golden");
    assert_eq!(made["state"], "succeeded");
    until_judged(&host, "ok", &[]);
    host.stop();
    host.start();
    until_judged(&host, "ok", &[]);
}

#[tokio::test]
async fn slots_missed_while_down_count_and_those_that_are_superseded_do_not() {
    let cloud = Cloud::start();
    // Every 20 minutes, the last and the next slot ten minutes from now: no slot comes due meanwhile, and the last one is too
    // old to be on time, or it would be made without being caught up.
    let minute = SystemClock.now().minute() % 20;
    let [first, second, third] = [10, 30, 50].map(|ahead| (minute + ahead) % 60);
    let cron = format!("cron = \"{first},{second},{third} * * * *\"\ntimezone = \"UTC\"");
    let golden = GOLDEN.replace("cron = \"@yearly\"", &cron);
    let file = |catch_up: &str| format!("\n[defaults]\ncatch_up = \"{catch_up}\"\n{golden}");
    let mut host = Host::new(cloud.addr, &file("skip"));
    host.start();
    until_judged(&host, "ok", &[]);
    let (text, _) = host.expect(0, &["status"]);
    assert!(text.starts_with("OK; 1 line has no image yet."), "{text}");
    host.stop();
    // As if it had stopped an hour and a half ago: at least four slots are missed.
    let back = "UPDATE targets SET processed_until = processed_until - 5400000, known_since = known_since - 5400000";
    assert_eq!(change(&host, back).await, 1);
    host.start();
    until_judged(&host, "problem", &["problem bake_missed line:golden"]);
    let problem = host.json(5, &["status"])["health"]["problems"][0].clone();
    assert_eq!(problem["command"], "imagebaked bake golden");
    host.stop();
    host.start();
    until_judged(&host, "problem", &["problem bake_missed line:golden"]);
    assert_eq!(host.bake("golden")["state"], "succeeded");
    until_judged(&host, "ok", &[]);
    // With the latest one caught up, the others are not missing.
    host.stop();
    host.configure(cloud.addr, &file("latest"));
    assert_eq!(change(&host, back).await, 1);
    // They have their rows already.
    assert!(change(&host, "DELETE FROM bakes WHERE state = 'skipped'").await > 0);
    host.start();
    eventually("the latest is made", || {
        let rows = host.json(0, &["history", "--state", "succeeded"])["bakes"].clone();
        rows.as_array().unwrap().iter().any(|row| row["trigger"] == "caught_up").then_some(())
    });
    assert_eq!(host.newest(&["--state", "skipped"]).unwrap()["reason_code"], "superseded");
    until_judged(&host, "ok", &[]);
}

#[test]
fn a_slot_skipped_for_its_users_counts() {
    let cloud = Cloud::start();
    let users = "stop_instance = \"required\"\nif_connected = \"skip\"\n";
    let mut host = Host::new(cloud.addr, &format!("{}{users}", EVERY_SECOND.replace("ecd-1", "ws-1")));
    let body = json!({ "instance_id": "ws-1", "instance_type": "WuyingServer", "connected": true }).to_string();
    let answer = exchange(cloud.addr, "POST", "/_sim/instances", &body);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    host.start();
    host.until("one is skipped", &["--state", "skipped"], |row| row["reason_code"] == "users_connected");
    until_judged(&host, "warning", &["warning bake_failed line:golden"]);
}

#[test]
fn what_a_person_cancels_is_no_problem() {
    let cloud = Cloud::start();
    cloud.add_faults(&REFUSED.replace("Instance.ImageUnsupported", "ExceedBuilderQuota"));
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    host.expect(0, &["bake", "golden"]);
    host.until("it waits", &[], |bake| bake["state"] == "queued" && !bake["reason"].is_null());
    eventually("it is cancelled between two calls", || host.run(&["cancel", "1"]).status.success().then_some(()));
    host.until("it is over", &["--state", "cancelled"], |bake| bake["reason_code"] == "cancelled");
    until_judged(&host, "ok", &[]);
}

#[test]
fn rejected_credentials_and_a_refused_file_are_problems_of_their_own() {
    let cloud = Cloud::start();
    let mut host = Host::with_history(cloud.addr, GOLDEN);
    host.set_key("not-the-secret");
    host.start();
    host.expect(0, &["bake", "golden"]);
    until_judged(&host, "problem", &["problem credentials_rejected credentials:"]);
    host.configure(cloud.addr, &GOLDEN.replace("@yearly", "0 44 * * *"));
    host.expect(2, &["reload"]);
    let both = ["problem credentials_rejected credentials:", "warning configuration_refused configuration:"];
    until_judged(&host, "problem", &both);
    host.set_key(support::SECRET);
    host.configure(cloud.addr, GOLDEN);
    host.expect(0, &["reload"]);
    host.until("it is made", &[], |row| row["state"] == "succeeded");
    until_judged(&host, "ok", &[]);
}

#[test]
fn a_key_that_counts_from_the_next_start_on_is_reported_until_then() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    host.configure(cloud.addr, &format!("region = \"cn-beijing\"\n{GOLDEN}"));
    host.expect(0, &["reload"]);
    until_judged(&host, "warning", &["warning restart_required configuration:"]);
    let since = |host: &Host| host.json(5, &["status"])["health"]["problems"][0]["since"].clone();
    let first = since(&host);
    host.expect(0, &["reload"]);
    assert_eq!(since(&host), first);
    host.stop();
    host.start();
    until_judged(&host, "ok", &[]);
}

#[tokio::test]
async fn an_image_that_is_too_old_is_a_problem_unless_its_schedule_has_never() {
    let cloud = Cloud::start();
    let aged = |more: &str| format!("\n[defaults]\nmax_image_age = \"1h\"\n{GOLDEN}{more}");
    let mut host = Host::new(cloud.addr, &aged(""));
    host.start();
    assert_eq!(host.bake("golden")["state"], "succeeded");
    until_judged(&host, "ok", &[]);
    host.stop();
    change(&host, "UPDATE images SET slot = slot - 7200000, available_at = available_at - 7200000").await;
    host.start();
    until_judged(&host, "problem", &["problem image_too_old line:golden"]);
    host.configure(cloud.addr, &aged("max_image_age = \"never\"\n"));
    host.expect(0, &["reload"]);
    until_judged(&host, "ok", &[]);
    // Removes the bound, and nothing else.
    cloud.add_faults(REFUSED);
    host.bake("golden");
    until_judged(&host, "warning", &["warning bake_failed line:golden"]);
}

#[test]
fn a_bake_that_is_waited_for_ends_with_the_verdict_of_its_check() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, "");
    let verdict = host.path("verdict");
    let hook = format!("[ \"$(cat {})\" = good ] || {{ echo no desktop; exit 1; }}", verdict.display());
    let hooks = format!("hooks = {{ verify = [[\"/bin/sh\", \"-c\", {hook:?}]], timeout = \"20s\" }}\n");
    host.configure(cloud.addr, &format!("{GOLDEN}{hooks}"));
    host.start();
    std::fs::write(&verdict, "good").unwrap();
    let (text, _) = host.expect(0, &["bake", "golden", "--wait"]);
    let image = cloud.images("ecd-1")[0]["image_id"].as_str().unwrap().to_owned();
    let last = text.lines().last().unwrap();
    assert_eq!(last, format!("bake 1: succeeded: image made; image {image}, verified"));
    let report = host.json(0, &["bake", "golden", "--wait"]);
    assert_eq!((&report["bakes"][0]["verify"], &report["bakes"][0]["reason_code"]), (&"passed".into(), &Value::Null));
    std::fs::write(&verdict, "bad").unwrap();
    let report = host.json(1, &["bake", "golden", "--wait"]);
    let bake = &report["bakes"][0];
    assert_eq!((&bake["state"], &bake["verify"]), (&"succeeded".into(), &"failed".into()), "{report}");
    assert_eq!(bake["veto"], "its check failed: no desktop");
    until_judged(&host, "warning", &[&format!("warning verify_failed image:{}", bake["image_id"].as_str().unwrap())]);
    cloud.add_faults(REFUSED);
    let report = host.json(1, &["bake", "golden", "--wait"]);
    let bake = &report["bakes"][0];
    assert_eq!(
        (&bake["state"], &bake["reason_code"], &bake["verify"]),
        (&"failed".into(), &"refused".into(), &Value::Null)
    );
    recover(&cloud);
    std::fs::write(&verdict, "good").unwrap();
    host.expect(0, &["retry", &bake["id"].to_string(), "--wait"]);
    until_judged(&host, "ok", &[]);
}

#[test]
fn who_waits_for_a_daemon_that_dies_learns_that_the_bake_is_not_confirmed() {
    let cloud = Cloud::with(&["--open", "--build-time", "1h"]);
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.expect(4, &["bake", "golden", "--wait"]);
    for (end, json) in [(true, false), (false, true)] {
        host.start();
        let mut command = host.command(&["bake", "golden", "--wait"]);
        if json {
            command.arg("--json");
        }
        let waiting =
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        host.until("it is recorded", &[], |row| row["finished_at"].is_null() && (!json || row["id"] == 2));
        if end {
            host.stop();
        } else {
            host.kill();
        }
        let ended = waiting.wait_with_output().unwrap();
        let err = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(6), "{err}");
        // The daemon may have ended before it answered which bake it is.
        let is_known = err.contains("are recorded and continue") && err.contains("imagebaked show ");
        assert!(is_known || err.contains("the request was sent, but its answer did not come"), "{err}");
        if json && is_known {
            let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
            assert!(report["bakes"].is_array(), "{report}");
        }
    }
}

#[test]
fn a_schedule_that_the_daemon_paused_is_a_problem() {
    let cloud = Cloud::start();
    cloud.add_faults(REFUSED);
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    for _ in 0..5 {
        host.bake("golden");
    }
    until_judged(&host, "problem", &["problem schedule_auto_paused schedule:golden"]);
    host.expect(0, &["resume", "golden"]);
    until_judged(&host, "warning", &["warning bake_failed line:golden"]);
    recover(&cloud);
    host.bake("golden");
    until_judged(&host, "ok", &[]);
}

#[test]
fn instants_and_messages_are_those_of_the_schedules_zone() {
    let cloud = Cloud::start();
    cloud.add_faults(REFUSED);
    let mut host = Host::new(cloud.addr, &format!("{GOLDEN}timezone = \"Asia/Kolkata\"\n"));
    host.start();
    let slot: DateTime<Utc> = host.bake("golden")["slot"].as_str().unwrap().parse().unwrap();
    let message = host.json(5, &["status"])["health"]["problems"][0]["message"].as_str().unwrap().to_owned();
    let local = (slot + TimeDelta::minutes(330)).format("%a %F %H:%M +05:30").to_string();
    assert!(message.contains(&local) && message.contains(": Instance.ImageUnsupported"), "{message}");
}
