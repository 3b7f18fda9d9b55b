//! Bakes that wait on a real daemon: for their instance, for the cloud, for a quota. They hold neither a builder nor the
//! instance, name what they wait for, and end only at their deadline. `src/domain/bake/transition/tests` has the rules alone.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{fs, net::TcpListener};

use serde_json::Value;
use support::{Cloud, Host, eventually, exchange};

const RARELY: &str = "0 3 1 1 *";
/// Five instances that cannot be baked, and the same number of builders.
const BAD: [&str; 5] = ["x1", "x2", "x3", "x4", "x5"];

fn schedule(name: &str, keys: &str) -> String {
    format!("[[schedule]]\nname = \"{name}\"\ninstance_id = \"ecd-{name}\"\ncron = \"{RARELY}\"\n{keys}\n")
}

fn put(cloud: &Cloud, name: &str, keys: &str) {
    let body = format!(r#"{{"instance_id":"ecd-{name}","instance_type":"CloudDesktop",{keys}}}"#);
    let answer = exchange(cloud.addr, "POST", "/_sim/instances", &body);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A host with as many builders as bad instances. The bad bakes are requested before the good one.
fn host(cloud: &Cloud, keys: &str) -> Host {
    let all: String = BAD.iter().chain(&["good"]).map(|name| schedule(name, keys)).collect();
    let mut host = Host::new(cloud.addr, &all);
    set_builders(&host, BAD.len());
    host.start();
    for name in BAD {
        host.expect(0, &["bake", name]);
    }
    host
}

fn set_builders(host: &Host, builders: usize) {
    let file = host.path("imagebaked.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("max_builders = 20", &format!("max_builders = {builders}"))).unwrap();
}

fn row(host: &Host, name: &str) -> Value {
    host.json(0, &["history", "--schedule", name])["bakes"][0].clone()
}

fn reason(row: &Value) -> &str {
    row["reason"].as_str().unwrap_or_default()
}

/// All bad bakes wait in the queue for this, and `status` and `history` show it.
fn all_wait_for(host: &Host, what: &str) {
    for name in BAD {
        let row = eventually(&format!("{name} waits for {what}"), || {
            Some(row(host, name)).filter(|row| row["state"] == "queued" && reason(row).contains(what))
        });
        assert!(reason(&row).contains("; next try ") && reason(&row).contains(", until "), "{row}");
        let shown = host.show(&row["id"]);
        assert_eq!(shown["version"], 1, "the version is kept: {shown:#}");
    }
    eventually("status lists them", || {
        let status = host.json(0, &["status"]);
        let listed = status["waiting"].as_array().unwrap().iter().filter(|bake| reason(bake).contains(what)).count();
        (listed == BAD.len()).then_some(())
    });
}

fn cancel_the_bad(host: &Host) {
    for name in BAD {
        let id = row(host, name)["id"].to_string();
        eventually("it can be cancelled", || host.run(&["cancel", &id]).status.success().then_some(()));
    }
}

const STOPS: &str = "stop_instance = 'if_running'\ndeadline = '10m'";

#[test]
fn instances_in_a_passing_or_an_unknown_state_keep_no_other_from_being_baked() {
    for (keys, shown) in [
        (r#""status":"Migrating""#, "Migrating"),
        (r#""status":"Hibernated""#, "Hibernated"),
        (r#""status":"Somehow""#, "Somehow"),
        (r#""status":"Running","management_flag":"Updating""#, "Updating"),
    ] {
        let cloud = Cloud::start();
        for name in BAD {
            put(&cloud, name, keys);
        }
        let host = host(&cloud, STOPS);
        assert_eq!(host.bake("good")["state"], "succeeded", "{shown}");
        all_wait_for(&host, &format!("waits for the instance, which is {shown}"));
        let unknown = host.log().matches("unknown instance state").count();
        assert_eq!(unknown, usize::from(shown == "Somehow"), "reported once: {}", host.log());
        // The state ends.
        put(&cloud, "x1", r#""status":"Running""#);
        host.until("the first is baked", &["--schedule", "x1"], |row| row["state"] == "succeeded");
        assert_eq!(row(&host, "x1")["version"], 1);
        cancel_the_bad_but_the_first(&host);
    }
}

fn cancel_the_bad_but_the_first(host: &Host) {
    for name in &BAD[1..] {
        let id = row(host, name)["id"].to_string();
        eventually("it can be cancelled", || host.run(&["cancel", &id]).status.success().then_some(()));
    }
}

#[test]
fn instances_in_a_final_state_end_their_bakes_at_once() {
    for state in ["Expired", "Deleted", "Deleting", "Locked"] {
        let cloud = Cloud::start();
        for name in BAD {
            put(&cloud, name, &format!(r#""status":"{state}""#));
        }
        let hook = "hooks = { before = ['/bin/sh', '-c', 'touch ran'] }";
        let host = host(&cloud, &format!("{STOPS}\n{hook}"));
        assert_eq!(host.bake("good")["state"], "succeeded", "{state}");
        fs::remove_file(host.path("state/ran")).unwrap();
        for name in BAD {
            let row = host.until("it has ended", &["--schedule", name], |row| !row["finished_at"].is_null());
            assert_eq!((row["state"].as_str(), row["reason_code"].as_str()), (Some("skipped"), Some("instance_state")));
            assert!(reason(&row).contains(state), "{row}");
        }
        assert!(!host.path("state/ran").exists(), "no hook runs for nothing");
        assert_eq!(cloud.calls("StopDesktops", Some("ecd-x1")).len(), 0);
    }
}

#[test]
fn instances_that_are_not_there_keep_no_other_from_being_baked() {
    let cloud = Cloud::with(&["--instance", "ecd-good", "--build-time", "300ms", "--power-time", "200ms"]);
    let host = host(&cloud, STOPS);
    assert_eq!(host.bake("good")["state"], "succeeded");
    for name in BAD {
        let row = host.until("it has ended", &["--schedule", name], |row| !row["finished_at"].is_null());
        assert_eq!(
            (row["state"].as_str(), row["reason_code"].as_str()),
            (Some("failed"), Some("instance_state")),
            "{row}"
        );
        let asked = cloud.calls("DescribeDesktops", Some(&format!("ecd-{name}"))).len();
        assert!(asked >= 5, "asked {asked} times");
    }
}

#[test]
fn what_the_cloud_refuses_for_one_instance_keeps_no_other_from_being_baked() {
    // Quotas are of the account: they close admission for all.
    for (action, code, stop) in [
        ("DescribeDesktops", "InternalError", "required"),
        ("DescribeDesktops", "ServiceUnavailable", "if_running"),
        ("DescribeDesktops", "Throttling.User", "if_running"),
        ("StopDesktops", "IncorrectDesktopStatus", "required"),
        ("StopDesktops", "OperationDenied.ImageCopying", "required"),
        ("StopDesktops", "DesktopStatusNotSupport", "if_running"),
        ("CreateImageByInstance", "OperationConflict", "never"),
        ("CreateImageByInstance", "Throttling.User", "never"),
    ] {
        let cloud = Cloud::start();
        for name in BAD {
            let fault = format!("action = \"{action}\"\ninstance_id = \"ecd-{name}\"\ncode = \"{code}\"\ntimes = 0");
            cloud.add_faults(&format!("[[fault]]\n{fault}\n"));
        }
        let host = host(&cloud, &format!("stop_instance = '{stop}'\ndeadline = '10m'"));
        assert_eq!(host.bake("good")["state"], "succeeded", "{action} {code}");
        all_wait_for(&host, code);
        cancel_the_bad(&host);
        for name in BAD {
            let row = host.until("it has ended", &["--schedule", name], |row| !row["finished_at"].is_null());
            assert_eq!(row["state"], "cancelled", "{row}");
        }
    }
}

#[test]
fn an_outage_is_waited_for_by_bakes_that_stop_their_instance_too() {
    // Nothing listens while the simulator is stopped. The history was compared with the cloud before.
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let start = || Cloud::at(&addr.to_string(), &["--open", "--build-time", "300ms", "--power-time", "200ms"]);
    let keys = "deadline = '10m'\nretry = { attempts = 2, base = '20ms', cap = '100ms' }";
    let file =
        [schedule("first", ""), schedule("a", keys), schedule("b", &format!("{keys}\nstop_instance = 'required'"))];
    let mut host = Host::new(addr, &file.concat());
    let cloud = start();
    host.start();
    assert_eq!(host.bake("first")["state"], "succeeded");
    drop(cloud);
    for name in ["a", "b"] {
        host.expect(0, &["bake", name]);
        host.until("more calls failed than there are attempts", &["--schedule", name], |row| {
            let shown = host.show(&row["id"]);
            let failed = support::calls_with(&shown, "ConnectFailed").len();
            assert!(row["finished_at"].is_null(), "{shown:#}");
            failed > 4 && reason(row).contains("ConnectFailed")
        });
    }
    let cloud = start();
    for name in ["a", "b"] {
        let row = host.until("it is baked", &["--schedule", name], |row| !row["finished_at"].is_null());
        assert_eq!((row["state"].as_str(), &row["attempts"]), (Some("succeeded"), &Value::from(1)), "{row}");
        assert_eq!(cloud.images(&format!("ecd-{name}")).len(), 1);
    }
}

#[test]
fn an_image_in_the_making_is_polled_again_as_soon_as_the_cloud_answers_again() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("cloud.json");
    let mut cloud = Cloud::with(&["--open", "--build-time", "3s", "--state", file.to_str().unwrap()]);
    let mut host = Host::new(cloud.addr, &schedule("a", "deadline = \"1h\"\nretry = { base = \"1h\", cap = \"1h\" }"));
    host.start();
    host.expect(0, &["bake", "a"]);
    host.until("it is being made", &["--schedule", "a"], |bake| bake["state"] == "building");
    cloud.stop();
    let waits = host.until("its reason names the outage", &["--schedule", "a"], |bake| {
        reason(bake).starts_with("CREATING; the cloud does not answer since ")
    });
    assert!(reason(&waits).contains("ConnectFailed") && reason(&waits).contains("; next try "), "{waits:#}");
    let shown = host.show(&waits["id"]);
    assert_eq!(shown["state"], "building", "an outage ends nothing: {shown:#}");
    cloud.start_again();
    host.until("it is made", &["--schedule", "a"], |bake| bake["state"] == "succeeded");
    assert!(host.log().contains("answers again"), "{}", host.log());
}
