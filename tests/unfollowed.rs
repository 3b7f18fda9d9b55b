//! An open bake whose daemon is gone, or does nothing: every answer that shows it says that no daemon follows it now, since
//! when, and what helps.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use serde_json::Value;
use support::{Cloud, Host};

const SCHEDULE: &str = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 1 1 *\"\n\
                        timezone = \"Asia/Shanghai\"\nkeep = { last = 3 }\n";

/// What each answer about bakes is asked by, with whether it shows each bake.
const ANSWERS: [(&[&str], bool); 6] = [
    (&["why", "golden"], true),
    (&["show", "1"], true),
    (&["history"], true),
    (&["events", "golden"], false),
    (&["plan", "tonight"], false),
    (&["status"], false),
];

/// A host with a bake that the cloud takes an hour for.
fn building(cloud: &Cloud) -> Host {
    let mut host = Host::new(cloud.addr, SCHEDULE);
    host.start();
    host.expect(0, &["bake", "golden"]);
    host.until("the image is being made", &[], |row| row["state"] == "building");
    host
}

/// The text of an answer, with what it writes beside.
fn answer(host: &Host, args: &[&str]) -> String {
    let output = host.run(args);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Asserts that each answer names the absence with its begin and this command; of `why` also the reason.
fn all_say_so(host: &Host, why: &str, command: &str) {
    for (args, shows_bakes) in ANSWERS {
        let text = answer(host, args);
        let is_said = text.contains("o daemon follows") || text.contains("the daemon does not answer");
        assert!(is_said && text.contains(command) && text.contains(" +08:00"), "{args:?}: {text}");
        assert!(!shows_bakes || text.contains("was building") && text.contains(why), "{args:?}: {text}");
        assert!(!text.contains("is building"), "{args:?}: {text}");
    }
    let unfollowed = |bake: &Value| {
        let unfollowed = &bake["unfollowed"];
        assert_eq!((bake["state"].as_str(), unfollowed["command"].as_str()), (Some("building"), Some(command)));
        assert!(unfollowed["since"].is_string() && unfollowed["why"].as_str().unwrap().contains(why), "{bake:#}");
    };
    unfollowed(&host.json(0, &["history"])["bakes"][0]);
    unfollowed(&host.json(0, &["show", "1"]));
    unfollowed(&host.json(0, &["why", "golden"])["bakes"][0]);
    let output = host.run(&["export", "-"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no daemon follows the open bakes since"), "{output:?}");
}

/// Asserts that no answer says so.
fn none_says_so(host: &Host) {
    for (args, _) in ANSWERS {
        let text = answer(host, args);
        assert!(!text.contains("o daemon follows") && !text.contains("was building"), "{args:?}: {text}");
    }
    assert_eq!(host.json(0, &["history"])["bakes"][0]["unfollowed"], Value::Null);
}

#[test]
fn an_open_bake_without_a_daemon_is_shown_as_such_until_one_runs_again() {
    let cloud = Cloud::with(&["--open", "--build-time", "1h", "--power-time", "200ms", "--builders", "50"]);
    let mut host = building(&cloud);
    none_says_so(&host);
    host.signal("STOP");
    let command = format!("kill -CONT {}", host.pid());
    all_say_so(&host, "was stopped by a signal", &command);
    host.signal("CONT");
    none_says_so(&host);
    host.kill();
    all_say_so(&host, "none answers", "systemctl status imagebaked");
    host.start();
    none_says_so(&host);
    // After an orderly stop, too; and an ended bake needs nobody.
    host.stop();
    all_say_so(&host, "none answers", "systemctl status imagebaked");
    host.start();
    host.expect(0, &["pause", "golden", "--reason", "test"]);
    host.stop();
}

#[test]
fn bakes_that_have_ended_need_no_daemon() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, SCHEDULE);
    host.start();
    host.bake("golden");
    host.kill();
    for args in [&["why", "golden"][..], &["show", "1"], &["history"]] {
        let text = answer(&host, args);
        assert!(
            !text.contains("follows it") && !text.contains("open ones") && text.contains("succeeded"),
            "{args:?}: {text}"
        );
    }
    // Whoever asks whether it ran sees that none makes rows any more.
    assert!(answer(&host, &["history"]).contains("No daemon follows this history since"));
    assert_eq!(host.json(0, &["show", "1"])["unfollowed"], Value::Null);
}
