//! False answers to the create call: proxies in place of the cloud, ids of other images, images of others under the same
//! name. Whatever the answer is, a slot has one AVAILABLE image, and the history has its id.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::fmt::Write as _;

use imagebaked::domain::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use support::{Cloud, Host, eventually, exchange};

fn schedule(name: &str, instance: &str, keys: &str) -> String {
    format!("[[schedule]]\nname = \"{name}\"\ninstance_id = \"{instance}\"\ncron = \"0 0 1 1 *\"\n{keys}\n")
}

fn put_image(cloud: &Cloud, image: &Value) {
    let answer = exchange(cloud.addr, "POST", "/_sim/images", &image.to_string());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn instance<'a>(state: &'a Value, id: &str) -> &'a Value {
    state["instances"].as_array().unwrap().iter().find(|instance| instance["instance_id"] == id).unwrap()
}

/// Asserts that instance `id` has one good image, that its bake's row names it, that no image failed, and that the instance
/// runs. Returns the row.
fn one_good_image(cloud: &Cloud, host: &Host, name: &str, id: &str, what: &str) -> Value {
    let row = eventually(&format!("{what}: the bake of {name} ends"), || {
        host.newest(&["--schedule", name]).filter(|row| !row["finished_at"].is_null())
    });
    assert_eq!(row["state"], "succeeded", "{what}: {row:#}");
    let images = cloud.images(id);
    assert_eq!(images.len(), 1, "{what}: {images:#?}");
    assert_eq!((&images[0]["status"], &images[0]["image_id"]), (&json!("AVAILABLE"), &row["image_id"]), "{what}");
    let state = cloud.state();
    assert!(instance(&state, id)["status"].as_str().unwrap().eq_ignore_ascii_case("running"), "{what}: left stopped");
    row
}

#[test]
fn a_proxy_s_answer_costs_neither_an_image_nor_a_second_one() {
    const STATUSES: [u16; 13] = [200, 301, 302, 307, 400, 401, 403, 407, 408, 429, 499, 500, 503];
    const BODIES: [&str; 6] = ["html", "empty", "other_json", "null", "half", "json_without_request_id"];
    let cloud = Cloud::with(&["--open", "--build-time", "300ms", "--power-time", "200ms", "--builders", "500"]);
    let mut config = String::new();
    let mut faults = Vec::new();
    let mut cases = Vec::new();
    for (n, status) in STATUSES.into_iter().enumerate() {
        for acts in [true, false] {
            // Two neighbouring runs together cover each status with each kind of body; 429 and 403 have all bodies in one.
            let bodies =
                if [429, 403].contains(&status) { BODIES.to_vec() } else { vec![BODIES[n % 6], BODIES[(n + 3) % 6]] };
            for body in bodies {
                let (name, id) = (format!("s{}", cases.len()), format!("ecd-{}", cases.len()));
                // Our start of a stopped instance must not spoil an image that the history does not have yet.
                let stop = if cases.len() % 2 == 0 { "if_running" } else { "never" };
                config += &schedule(&name, &id, &format!("stop_instance = \"{stop}\""));
                faults
                    .push(json!({"action": "CreateImageByInstance", "instance_id": id, "status": status, "body": body,
                                   "times": 2, "act": acts}));
                cases.push((name, id, format!("{status} {body}, acts: {acts}")));
            }
        }
    }
    cloud.add_faults(&json!({"fault": faults}).to_string());
    let mut host = Host::new(cloud.addr, &config);
    host.start();
    for (name, ..) in &cases {
        host.expect(0, &["bake", name]);
    }
    for (name, id, what) in &cases {
        let row = one_good_image(&cloud, &host, name, id, what);
        let made = cloud.calls("CreateImageByInstance", Some(id)).len();
        let wanted = if what.ends_with("true") { 1 } else { 3 };
        assert_eq!(made, wanted, "{what}: {row:#}");
    }
    let status = host.json(0, &["status"]);
    assert_eq!((&status["suspended"], &status["paused"]), (&Value::Null, &json!([])), "{status:#}");
    host.stop();
}

#[test]
fn a_good_answer_with_a_wrong_image_id_is_found_out() {
    let cloud = Cloud::start();
    put_image(&cloud, &json!({"image_id": "imgc-others", "image_name": "of others"}));
    put_image(&cloud, &json!({"image_id": "imgc-gone", "image_name": "of others", "deleted": true}));
    let lies = [
        json!({"body": "wrong_image_id"}),
        json!({"body": "empty_image_id"}),
        json!({"body": "implausible_image_id"}),
        json!({"body": "no_image_id"}),
        json!({"body": "no_data"}),
        json!({"body": "json_without_request_id"}),
        json!({"body": "good", "status": 500}),
        json!({"body": "wrong_image_id", "status": 403}),
        json!({"image_id": "imgc-others"}),
        json!({"image_id": "imgc-gone"}),
        json!({"redirect": "http://127.0.0.1:1/", "body": "html", "act": true}),
    ];
    let mut config = String::new();
    let mut faults = Vec::new();
    for (n, lie) in lies.iter().enumerate() {
        config += &schedule(&format!("s{n}"), &format!("ecd-{n}"), "stop_instance = \"if_running\"");
        let mut fault = json!({"action": "CreateImageByInstance", "instance_id": format!("ecd-{n}")});
        fault.as_object_mut().unwrap().extend(lie.as_object().unwrap().clone());
        faults.push(fault);
    }
    cloud.add_faults(&json!({"fault": faults}).to_string());
    let mut host = Host::new(cloud.addr, &config);
    host.start();
    for n in 0..lies.len() {
        host.expect(0, &["bake", &format!("s{n}")]);
    }
    for (n, lie) in lies.iter().enumerate() {
        one_good_image(&cloud, &host, &format!("s{n}"), &format!("ecd-{n}"), &lie.to_string());
    }
    host.stop();
}

#[test]
fn images_of_others_under_the_same_name_are_never_the_slot_s() {
    let cloud = Cloud::start();
    let others = [
        ("User", json!({})),
        ("Shared", json!({})),
        (
            "User",
            json!({"imagebaked:owner": "another", "imagebaked:line": "b", "imagebaked:slot": "2026-01-01T00:00:00Z"}),
        ),
        ("System", json!({"imagebaked:version": "1"})),
    ];
    let mut config = String::new();
    for (n, (kind, tags)) in others.iter().enumerate() {
        config +=
            &schedule(&format!("s{n}"), &format!("ecd-{n}"), &format!("image_name = \"golden-{n}-v{{version}}\""));
        // Versions 1 and 2 are taken. Names that have them as a prefix do not count.
        for version in ["1", "2", "33"] {
            let image = json!({"image_id": format!("imgc-other-{n}-{version}"), "tags": tags, "image_type": kind,
                               "image_name": format!("golden-{n}-v{version}")});
            put_image(&cloud, &image);
        }
    }
    // The same holds after an unclear answer.
    let unclear = |id: &str| json!({"action": "CreateImageByInstance", "instance_id": id, "status": 502, "body": "html", "act": false});
    cloud.add_faults(&json!({"fault": [unclear("ecd-1"), unclear("ecd-2")]}).to_string());
    let mut host = Host::new(cloud.addr, &config);
    host.start();
    for n in 0..others.len() {
        let (name, id) = (format!("s{n}"), format!("ecd-{n}"));
        host.expect(0, &["bake", &name]);
        let row = one_good_image(&cloud, &host, &name, &id, &name);
        assert_eq!((&row["version"], &row["image_name"]), (&json!(3), &json!(format!("golden-{n}-v3"))), "{row:#}");
    }
    host.stop();
}

#[test]
fn a_name_that_is_taken_for_good_fails_the_bake_by_its_code() {
    let cloud = Cloud::start();
    // A name without a version has the slot to the minute. All minutes around now are taken.
    let mut host = Host::new(
        cloud.addr,
        &schedule("golden", "ecd-a", "timezone = \"UTC\"\nimage_name = \"golden-{slot:%Y%m%d-%H%M}\""),
    );
    let now = SystemClock.now();
    for minute in -1..5 {
        let name = (now + chrono::TimeDelta::minutes(minute)).format("golden-%Y%m%d-%H%M").to_string();
        put_image(&cloud, &json!({"image_id": format!("imgc-by-hand-{}", minute + 1), "image_name": name}));
    }
    host.start();
    host.expect(0, &["bake", "golden"]);
    let row = host.until("the bake ends", &[], |row| !row["finished_at"].is_null());
    assert_eq!((&row["state"], &row["reason_code"]), (&json!("failed"), &json!("name_taken")), "{row:#}");
    assert_eq!((&row["image_id"], cloud.calls("CreateImageByInstance", None).len()), (&Value::Null, 0), "{row:#}");
    host.stop();
}

#[test]
fn the_zone_of_gmt_create_is_learned_and_kept() {
    let cloud = Cloud::with(&["--open", "--build-time", "300ms", "--power-time", "200ms", "--gmt-zone", "480"]);
    let mut host = Host::new(cloud.addr, &schedule("golden", "ecd-a", ""));
    host.start();
    host.bake("golden");
    let learned = |log: &str| log.lines().filter(|line| line.contains("as an image of ours shows")).count();
    eventually("the zone is learned", || (learned(&host.log()) == 1).then_some(()));
    host.stop();
    let mut text = String::new();
    for (path, bytes) in host.files() {
        if path.ends_with("imagebaked.db") {
            write!(text, "{}", String::from_utf8_lossy(&bytes)).unwrap();
        }
    }
    assert!(text.contains("gmt_offset480"), "it is in the history");
    host.start();
    host.bake("golden");
    assert_eq!(learned(&host.log()), 1, "what is known is no news");
    host.stop();
}

#[test]
fn tags_that_cannot_be_true_are_left_for_a_person() {
    let cloud = Cloud::start();
    let tags = |version: &str, slot: &str| {
        json!({"imagebaked:owner": "imagebaked", "imagebaked:schedule": "golden", "imagebaked:line": "golden",
               "imagebaked:version": version, "imagebaked:slot": slot})
    };
    put_image(&cloud, &json!({"image_id": "imgc-huge", "tags": tags("4294967295", "2026-01-01T00:00:00Z")}));
    put_image(&cloud, &json!({"image_id": "imgc-late", "tags": tags("1", "+262142-12-31T00:00:00Z")}));
    let mut host = Host::new(cloud.addr, &schedule("golden", "ecd-a", "id = \"golden\""));
    host.start();
    assert_eq!(host.bake("golden")["version"], 1, "versions go on after plausible ones only");
    let found = host.json(1, &["reconcile"]);
    let report = found["differences"].to_string();
    for image in ["imgc-huge", "imgc-late"] {
        assert!(report.contains(image) && report.contains("not plausible"), "{report}");
    }
    let who = host.json(0, &["history"]);
    assert!(!who.to_string().contains("imgc-huge"), "{who}");
    assert!(found["differences"].as_array().is_some_and(|differences| !differences.is_empty()), "{found}");
    host.stop();
}
