//! What an operator keeps books with: the audit.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::fs;

use serde_json::Value;
use support::{Cloud, Host, eventually};

const FILE: &str = r#"
[[schedule]]
name = "golden"
instance_id = "ecd-1"
cron = "0 3 1 1 *"
[[schedule]]
name = "wrong"
id = "wrong-id"
instance_id = "ecd-wrong"
cron = "0 4 1 1 *"
"#;

/// Who this test is, as the audit is to say it.
fn myself() -> String {
    use std::os::unix::fs::MetadataExt as _;
    let uid = fs::metadata("/proc/self").unwrap().uid();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|user| user[2] == uid.to_string());
    name.map_or_else(|| format!("uid {uid}"), |user| format!("uid {uid} ({})", user[0]))
}

fn column<'a>(lines: &'a Value, field: &str) -> Vec<&'a str> {
    lines["audit"].as_array().unwrap().iter().map(|line| line[field].as_str().unwrap()).collect()
}

#[test]
fn whatever_a_person_does_is_in_the_audit() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    host.expect(3, &["audit"]);
    host.start();
    assert!(host.expect(0, &["audit"]).0.starts_with("Nothing noted"));
    cloud.add_faults(
        "[[fault]]\naction = \"CreateImageByInstance\"\ninstance_id = \"ecd-wrong\"\ncode = \"Instance.ImageUnsupported\"\n\
         [[fault]]\naction = \"CreateImageByInstance\"\ninstance_id = \"ecd-1\"\ntimes = 0\ncode = \"ExceedBuilderQuota\"\n",
    );
    let failed = host.bake("wrong")["id"].to_string();
    host.expect(0, &["retry", &failed, "--wait"]);
    host.expect(0, &["bake", "golden"]);
    let waiting = host.until("it waits", &[], |bake| bake["state"] == "ready")["id"].to_string();
    eventually("it is cancelled between two calls", || host.run(&["cancel", &waiting]).status.success().then_some(()));
    host.expect(0, &["pause", "golden", "--reason", "patch day"]);
    host.expect(0, &["resume", "golden"]);
    host.configure(cloud.addr, &FILE.replace("0 3 1", "0 5 1"));
    host.expect(0, &["reload"]);
    host.configure(cloud.addr, &FILE.replace("0 3 1", "0 99 1"));
    host.expect(2, &["reload"]);
    host.configure(cloud.addr, FILE);
    host.signal("HUP");
    eventually("the signal is noted", || (host.json(0, &["audit"])["audit"][0]["who"] == "SIGHUP").then_some(()));
    host.expect(0, &["reconcile", "--apply"]);

    let all = host.json(0, &["audit"]);
    let wanted = ["reconcile", "reload", "reload", "resume", "pause", "cancel", "bake", "retry", "bake"];
    let actions: Vec<_> = column(&all, "action");
    assert_eq!(actions, wanted, "{all:#}");
    let who = column(&all, "who");
    assert_eq!(who.iter().filter(|who| **who == "SIGHUP").count(), 1);
    assert_eq!(who.iter().filter(|who| **who == myself()).count(), who.len() - 1, "{all:#}");
    let details = column(&all, "detail").join("\n");
    for told in ["patch day", "retry of bake 1", "bake 3 of golden on ecd-1", " instead of "] {
        assert!(details.contains(told), "{told}: {details}");
    }
    let ids: Vec<_> = all["audit"].as_array().unwrap().iter().map(|line| line["id"].as_i64().unwrap()).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
    assert!(column(&all, "at").iter().all(|at| at.ends_with('Z')));

    // Pages and filters.
    let only = |args: &[&str]| column(&host.json(0, &[&["audit"], args].concat()), "action").len();
    let mine = myself();
    let uid = mine.split(' ').nth(1).unwrap();
    assert_eq!(only(&["--who", "SIGHUP"]), 1);
    assert_eq!((only(&["--who", &mine]), only(&["--who", uid])), (actions.len() - 1, actions.len() - 1));
    assert_eq!((only(&["--who", "99999"]), only(&["--who", "ui"])), (0, 0));
    assert_eq!(
        (only(&["--action", "reload"]), only(&["--until", "1h"]), only(&["--since", "1h"])),
        (2, 0, actions.len())
    );
    assert_eq!(only(&["--before", &ids[1].to_string()]), actions.len() - 2);
    let (out, _) = host.expect(0, &["audit", "--limit", "2"]);
    assert!(out.ends_with(&format!("older ones: --before {}\n", ids[1])), "{out}");
    host.stop();
    assert_eq!(host.json(0, &["audit"]), all, "the daemon need not run");

    // Without the daemon it is the command that knows who types.
    let mut alone = host.command(&["reconcile", "--apply"]);
    let alone = alone.env("ALIBABA_CLOUD_ACCESS_KEY_ID", support::KEY_ID);
    assert!(alone.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", support::SECRET).output().unwrap().status.success());
    let who = format!("{mine}, without the daemon");
    assert_eq!(host.json(0, &["audit"])["audit"][0]["who"], who);
}

#[test]
fn a_slip_in_a_name_is_told_with_what_was_meant() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    host.expect(3, &["plan", "--schedule", "gloden"]);
    let meant = |host: &Host, commands: &[&[&str]]| {
        for args in commands {
            let (out, err) = host.expect(3, args);
            assert!(
                out.is_empty() && err.contains(r#"no schedule "gloden"; did you mean "golden"?"#),
                "{args:?}: {err}"
            );
        }
    };
    let local: &[&[&str]] = &[&["plan", "--schedule", "gloden"], &["why", "gloden", "--at", "2027-01-01T03:00:00Z"]];
    let ledger: &[&[&str]] = &[&["history", "--schedule", "gloden"], &["images", "gloden"]];
    meant(&host, local);
    host.start();
    meant(&host, &[&["bake", "gloden"], &["pause", "gloden"], &["resume", "gloden"]]);
    meant(&host, local);
    meant(&host, ledger);
    // What is known but has nothing to show is no slip.
    assert!(host.expect(0, &["history", "--schedule", "wrong-id"]).0.contains("Nothing recorded"));
    assert!(host.expect(3, &["images", "wrong"]).1.contains("no good image"));
    assert!(host.expect(3, &["show", "7"]).1.contains("none is recorded yet"));
    host.bake("golden");
    assert!(host.expect(3, &["show", "7"]).1.contains("the last one is 1"));
    // Gone from the file, still in the ledger.
    host.configure(cloud.addr, "[[schedule]]\nname = \"farm\"\ninstance_id = \"ecd-2\"\ncron = \"@yearly\"\n");
    host.expect(0, &["reload"]);
    assert_eq!(host.json(0, &["history", "--schedule", "golden"])["bakes"].as_array().unwrap().len(), 1);
    meant(&host, &ledger[..1]);
    let (_, err) = host.expect(3, &["bake", "gloden"]);
    assert!(err.contains("those there are: farm"), "{err}");
}
