//! A night with keys of a short life: they are renewed while bakes run, and their service is down for a while.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use imagebaked::{
    adapters::{
        control::{Reply, Request},
        store::{BakeRow, Filter},
    },
    domain::{
        health::{ProblemCode, Severity},
        status::Status,
    },
    sim::{FaultPlan, InstanceKind, InstanceSpec, Options},
};
use serde_json::{Value, json};

use super::{
    fast_motion::{FastMotion, Places},
    hosts::{Host, session, user_profile},
};

/// Life of the keys: they are renewed five minutes before its end.
const LIFE: Duration = Duration::from_mins(20);
/// Each with a bake every quarter of an hour; one of the two is always at work, and calls the cloud.
const MACHINES: [(&str, &str); 2] = [("ecd-1", "0,15,30,45 1-2 * * *"), ("ecd-2", "7,22,37,52 1-2 * * *")];

fn configuration(places: &Places) -> String {
    let schedule = |(id, cron): (&str, &str)| {
        format!("[[schedule]]\nname = \"{id}\"\ninstance_id = \"{id}\"\ncron = \"{cron}\"\n")
    };
    format!(
        "[cloud]\nendpoint = \"http://{}\"\nrequests_per_second = 1000\npoll_interval = \"3m\"\n\
         [daemon]\nstate_dir = \"{}\"\ncontrol_socket = \"{}\"\nlisten = \"\"\n\
         [defaults]\ntimezone = \"Asia/Shanghai\"\nstop_instance = \"if_running\"\ndeadline = \"3h\"\noverlap = \"queue\"\n{}",
        places.endpoint,
        places.state_dir.display(),
        places.socket.display(),
        MACHINES.map(schedule).concat(),
    )
}

async fn status(night: &FastMotion) -> Status {
    let reply = night.ask(Request::Status { all: true }).await;
    let status = if let Reply::Status(status) = reply { Some(*status) } else { None };
    status.unwrap()
}

async fn problems(night: &FastMotion) -> Vec<(ProblemCode, Severity, String)> {
    let problems = status(night).await.health.problems.into_iter().map(|reported| reported.problem);
    problems.map(|problem| (problem.code, problem.severity, problem.message)).collect()
}

/// The service is asked beside the bakes: its answer takes a moment.
async fn until_no_problem(night: &FastMotion) {
    let begun = Instant::now();
    loop {
        let found = problems(night).await;
        if found.is_empty() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{found:?}");
        night.nudge().await;
        tokio::task::yield_now().await;
    }
}

fn renewals(night: &FastMotion) -> usize {
    super::calls(&night.sim, "AssumeRole")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_end_in_the_middle_of_a_night_fail_no_bake_and_double_none() {
    let midnight: DateTime<Utc> = "2026-11-27T16:00:00Z".parse().unwrap();
    let at = |hour: i64, minute: i64| midnight + TimeDelta::hours(hour) + TimeDelta::minutes(minute);
    let host = Host::new("a role").profiles(&json!([user_profile("RamRoleArn", json!({}))]));
    let options = Options {
        session_life: Some(LIFE),
        build_time: Duration::from_mins(8),
        power_time: Duration::from_mins(1),
        instances: MACHINES.map(|(id, _)| InstanceSpec::running(id, InstanceKind::CloudDesktop)).into(),
        ..Options::default()
    };
    let night = FastMotion::begin_with(host.variables.clone(), at(0, 55), options, configuration).await;
    let down = json!({"fault": [{"action": "AssumeRole", "status": 503, "times": 0}]}).to_string();

    // Bakes over several renewals.
    night.go_on_to(at(1, 40)).await;
    let calls = renewals(&night);
    assert!((3..=5).contains(&calls), "one call renews for all: {calls}");
    let daemon = status(&night).await.daemon;
    assert_eq!(daemon.credentials_identity, Some(session("night")));
    let end: DateTime<Utc> = daemon.credentials_expire_at.unwrap().parse().unwrap();
    assert!(at(1, 40) < end && end <= at(2, 0), "{end}");
    // On a busy machine a machine may be late; the keys are not.
    let of_keys = [ProblemCode::CredentialsRejected, ProblemCode::CloudUnreachable];
    let found = problems(&night).await;
    assert!(!found.iter().any(|(code, ..)| of_keys.contains(code)), "{found:?}");

    // The service is down at the time of a renewal, and there again before the key ends.
    night.go_on_to(end - TimeDelta::minutes(6)).await;
    night.sim.add_faults(FaultPlan::parse(&down).unwrap());
    night.go_on_to(end - TimeDelta::minutes(1)).await;
    let found = problems(&night).await;
    let unreachable = found.iter().find(|(code, ..)| *code == ProblemCode::CloudUnreachable);
    let (_, severity, message) = unreachable.unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!(*severity, Severity::Warning);
    assert!(message.contains("those at hand serve until"), "{message}");
    night.control("DELETE", "faults", "").await;
    night.go_on_to(end + TimeDelta::minutes(1)).await;
    until_no_problem(&night).await;

    // It is down for three quarters of an hour, across slots and builds, and the key at hand ends.
    night.go_on_to(at(2, 5)).await;
    night.sim.add_faults(FaultPlan::parse(&down).unwrap());
    night.go_on_to(at(2, 45)).await;
    let found = problems(&night).await;
    let unreachable = found.iter().find(|(code, ..)| *code == ProblemCode::CloudUnreachable);
    let (_, severity, message) = unreachable.unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!(*severity, Severity::Problem);
    assert!(message.starts_with("the service of the credentials does not answer: "), "{message}");
    assert!(!found.iter().any(|(code, ..)| *code == ProblemCode::CredentialsRejected), "{found:?}");
    assert_eq!(status(&night).await.suspended, None, "nobody refused the key");
    let waiting = night.open().await;
    assert!(waiting.len() > MACHINES.len(), "{waiting:?}");
    let reasons: BTreeSet<_> = waiting.iter().filter_map(|row| row.reason.clone()).collect();
    assert!(reasons.iter().any(|why| why.contains("CredentialsUnreachable")), "{reasons:?}");
    night.control("DELETE", "faults", "").await;
    night.go_on_to(at(4, 30)).await;
    until_no_problem(&night).await;

    let rows = night.reader.history(&Filter { limit: 1_000, ..Filter::default() }).await.unwrap();
    assert_one_image_each(&night, &rows);
    night.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_whose_renewal_is_refused_are_a_warning_before_their_end_and_no_bake_fails() {
    let midnight: DateTime<Utc> = "2026-11-27T16:00:00Z".parse().unwrap();
    let at = |hour: i64, minute: i64| midnight + TimeDelta::hours(hour) + TimeDelta::minutes(minute);
    let host = Host::new("a role").profiles(&json!([user_profile("RamRoleArn", json!({}))]));
    let options = Options {
        session_life: Some(LIFE),
        build_time: Duration::from_mins(8),
        power_time: Duration::from_mins(1),
        instances: MACHINES.map(|(id, _)| InstanceSpec::running(id, InstanceKind::CloudDesktop)).into(),
        ..Options::default()
    };
    let night = FastMotion::begin_with(host.variables.clone(), at(2, 25), options, configuration).await;
    night.go_on_to(at(2, 32)).await;
    let end: DateTime<Utc> = status(&night).await.daemon.credentials_expire_at.unwrap().parse().unwrap();
    let refused = json!({"fault": [{"action": "AssumeRole", "status": 403, "code": "NoPermission", "times": 0}]});
    night.sim.add_faults(FaultPlan::parse(&refused.to_string()).unwrap());
    night.go_on_to(end - TimeDelta::minutes(1)).await;
    let found = problems(&night).await;
    assert!(matches!(&found[..], [(ProblemCode::CredentialsNotRenewed, Severity::Warning, _)]), "{found:?}");
    assert!(found[0].2.starts_with("the credentials end at ") && found[0].2.contains("NoPermission"), "{found:?}");
    night.go_on_to(end + TimeDelta::minutes(4)).await;
    let found = problems(&night).await;
    assert!(found.iter().any(|(code, ..)| *code == ProblemCode::CredentialsRejected), "{found:?}");
    assert!(!found.iter().any(|(code, ..)| *code == ProblemCode::CredentialsNotRenewed), "{found:?}");
    night.control("DELETE", "faults", "").await;
    night.go_on_to(at(4, 0)).await;
    until_no_problem(&night).await;
    let rows = night.reader.history(&Filter { limit: 1_000, ..Filter::default() }).await.unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row.state == "succeeded"), "{rows:?}");
    night.end().await;
}

/// Every slot succeeded, with one image, and the machines run.
fn assert_one_image_each(night: &FastMotion, rows: &[BakeRow]) {
    assert_eq!(rows.len(), MACHINES.len() * 8);
    let state = night.sim.state();
    let mut made: BTreeMap<(String, String), usize> = BTreeMap::new();
    for image in state["images"].as_array().unwrap() {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        *made.entry((text(&image["instance_id"]), text(&image["tags"]["imagebaked:slot"]))).or_default() += 1;
    }
    assert_eq!(made.len(), rows.len());
    for row in rows {
        assert_eq!(row.state, "succeeded", "{row:?}");
    }
    assert!(made.values().all(|images| *images == 1), "{made:?}");
    let running = |one: &Value| one["status"] == "Running";
    assert!(state["instances"].as_array().unwrap().iter().all(running), "{}", state["instances"]);
}
