//! Two daemons with one `owner` on one account: neither takes, deletes or spoils an image of the other.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use serde_json::{Value, json};
use support::{Cloud, Host, eventually, exchange};

const RULES: &str = r#"
[[schedule]]
name = "golden"
instance_id = "ecd-1"
cron = "@yearly"
keep = { last = 1, grace = "0s" }
"#;

fn status(cloud: &Cloud, image: &str) -> String {
    let state = cloud.state();
    let images = state["images"].as_array().unwrap();
    images.iter().find(|seen| seen["image_id"] == image).unwrap()["status"].as_str().unwrap().to_owned()
}

fn control(cloud: &Cloud, what: &str, body: &Value) {
    let answer = exchange(cloud.addr, "POST", &format!("/_sim/{what}"), &body.to_string());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn problems(host: &Host) -> String {
    let output = host.run(&["status", "--json"]);
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["health"].to_string()
}

#[test]
fn an_image_of_a_second_daemon_is_a_problem_and_is_never_deleted() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, RULES);
    host.start();
    let ours = host.bake("golden")["image_id"].as_str().unwrap().to_owned();
    // An image of a slot before this history that came later.
    let tags = |slot: &str| {
        json!({"imagebaked:owner": "imagebaked", "imagebaked:line": "golden", "imagebaked:schedule": "golden",
               "imagebaked:version": "7", "imagebaked:slot": slot})
    };
    control(
        &cloud,
        "images",
        &json!({"image_id": "imgc-old", "image_name": "golden-old", "tags": tags("2026-01-01T00:00:00Z")}),
    );
    let mut second = Host::new(cloud.addr, RULES);
    second.start();
    let theirs = second.bake("golden")["image_id"].as_str().unwrap().to_owned();
    second.kill();
    host.json(0, &["prune"]);
    let report = problems(&host);
    assert!(report.contains(&theirs) && report.contains("imgc-old") && !report.contains(&ours), "{report}");
    host.bake("golden");
    let pruned = host.json(0, &["prune"]);
    assert_eq!(pruned["images"][1]["action"], "delete");
    assert_eq!((status(&cloud, &theirs), status(&cloud, "imgc-old")), ("AVAILABLE".into(), "AVAILABLE".into()));
    // With a row in the history it is an image like any other.
    host.run(&["reconcile", "--apply"]);
    eventually("nothing is unknown", || (!problems(&host).contains(&theirs)).then_some(()));
}

#[test]
fn no_instance_is_started_under_the_image_of_another_line() {
    let cloud = Cloud::start();
    let schedules = "[defaults]\nstop_instance = \"required\"\n\
                     [[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"@yearly\"\n\
                     [[schedule]]\nname = \"silver\"\ninstance_id = \"ecd-1\"\ncron = \"@yearly\"\n";
    let mut host = Host::new(cloud.addr, schedules);
    host.start();
    host.expect(0, &["bake", "golden"]);
    host.until("its image is being made", &[], |bake| bake["state"] == "building");
    // Another host with the same file bakes the other schedule.
    let tags = json!({"imagebaked:owner": "imagebaked", "imagebaked:line": "silver", "imagebaked:schedule": "silver"});
    let theirs =
        |status: &str| json!({"image_id": "imgc-theirs", "image_name": "silver-v1", "status": status, "tags": tags});
    control(&cloud, "images", &theirs("CREATING"));
    let waiting = host.until("its own image is made", &[], |bake| bake["state"] == "starting");
    eventually("it has been searched for more than once", || {
        let calls = host.show(&waiting["id"])["calls"].to_string();
        (cloud.calls("ListImage", None).len() > 12 && !calls.contains("start_instance")).then_some(())
    });
    assert!(cloud.calls("StartDesktops", None).is_empty());
    control(&cloud, "images", &theirs("AVAILABLE"));
    let ended = host.until("it is started", &[], |bake| bake["state"] == "succeeded");
    assert_eq!(ended["id"], waiting["id"]);
    assert_eq!(cloud.calls("StartDesktops", None).len(), 1);
}
