//! `[daemon] mode = "observe"`: every call that reads, none that changes the cloud, and a row for every slot.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::fs;

use serde_json::Value;
use support::{Cloud, Host};

const SCHEDULES: &str = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"* * * * * *\"\n\
                         stop_instance = \"required\"\nkeep = { last = 1, grace = \"1s\" }\n";

fn set_mode(host: &Host, mode: &str) {
    let file = host.path("imagebaked.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("[daemon]\n", &format!("[daemon]\nmode = \"{mode}\"\n"), 1)).unwrap();
}

fn changes(cloud: &Cloud) -> Vec<String> {
    let state = cloud.state();
    let actions = state["calls"].as_array().unwrap().iter().map(|call| call["action"].as_str().unwrap().to_owned());
    let reads = |action: &str| ["Describe", "List", "Get"].iter().any(|verb| action.starts_with(verb));
    actions.filter(|action| !reads(action)).collect()
}

#[test]
fn observe_mode_changes_nothing_and_accounts_for_every_slot() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, SCHEDULES);
    set_mode(&host, "observe");
    host.start();
    host.until("slots have come", &[], |row| row["id"].as_i64() >= Some(3));
    let rows = host.rows();
    for row in &rows {
        assert_eq!((row["state"].as_str(), row["reason_code"].as_str()), (Some("skipped"), Some("observe")), "{row:#}");
    }
    let (_, refused) = host.expect(1, &["bake", "golden"]);
    assert!(refused.contains("only observes"), "{refused}");
    let status = host.json(0, &["status"]);
    assert_eq!(status["daemon"]["mode"], "observe");
    assert!(host.expect(0, &["status"]).0.contains("observe"));
    assert_eq!(changes(&cloud), Vec::<String>::new());
    assert!(!cloud.calls("ListImage", None).is_empty(), "it reads");
}

#[test]
fn a_bake_that_observe_mode_meets_ends_skipped_and_its_image_is_followed() {
    let cloud = Cloud::with(&["--open", "--build-time", "2s", "--power-time", "100ms", "--builders", "1"]);
    let schedules = |names: &[&str]| -> String {
        let one = |name: &&str| {
            format!("[[schedule]]\nname = \"{name}\"\ninstance_id = \"ecd-{name}\"\ncron = \"0 3 1 1 *\"\n")
        };
        names.iter().map(one).collect()
    };
    let mut host = Host::new(cloud.addr, &schedules(&["a", "b"]));
    host.start();
    host.expect(0, &["bake", "a"]);
    host.until("it is being made", &["--schedule", "a"], |bake| bake["state"] == "building");
    host.expect(0, &["bake", "b"]);
    host.until("it waits", &["--schedule", "b"], |bake| bake["state"] == "queued");
    host.stop();
    let before = changes(&cloud);
    set_mode(&host, "observe");
    host.start();
    let skipped = host.until("it ends", &["--schedule", "b"], |bake| bake["state"] == "skipped");
    assert_eq!(skipped["reason_code"], "observe", "{skipped:#}");
    let made = host.until("it is made", &["--schedule", "a"], |bake| bake["state"] == "succeeded");
    assert_ne!(made["image_id"], Value::Null);
    assert_eq!(changes(&cloud), before);
}

#[test]
fn every_answer_about_what_comes_says_that_nothing_is_done() {
    let cloud = Cloud::start();
    let schedule = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 1 1 *\"\n\
                    keep = { last = 1, grace = \"9d\" }\nchannels = { stable = { after = \"1d\" } }\n";
    let mut host = Host::new(cloud.addr, schedule);
    host.start();
    let first = host.bake("golden");
    host.bake("golden");
    host.stop();
    set_mode(&host, "observe");
    host.start();
    let bake = first["id"].to_string();
    let commands: [&[&str]; 8] = [
        &["images"],
        &["show", &bake],
        &["plan", "--until", "400d"],
        &["plan", "golden"],
        &["channels"],
        &["prune", "--dry-run"],
        &["status"],
        &["check"],
    ];
    for command in commands {
        let (out, _) = host.expect(0, command);
        assert!(out.contains("the daemon only observes"), "{command:?}: {out}");
    }
    let image = &host.json(0, &["images"])["images"][1];
    assert_eq!(
        (&image["retention"]["verdict"], &image["retention"]["held"]),
        (&"goes".into(), &"observe".into()),
        "{image}"
    );
    for command in [&["status", "--check"][..], &["doctor", "--no-probe"]] {
        let checked = host.run(command);
        assert!(String::from_utf8_lossy(&checked.stdout).contains("the daemon only observes"), "{checked:?}");
    }
}
