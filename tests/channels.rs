//! Channels, vetoes and checks, by the real daemon and the simulator.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};
use support::{Cloud, Host, eventually, exchange};

const GOLDEN: &str = r#"
[[schedule]]
name = "golden"
instance_id = "ecd-1"
cron = "@yearly"
channels = { stable = { after = "2s" }, pilot = {} }
"#;

/// A host with a daemon that has baked `golden` `n` times; the images from the oldest to the newest.
fn baked(cloud: &Cloud, schedules: &str, n: usize) -> (Host, Vec<String>) {
    let mut host = Host::new(cloud.addr, schedules);
    host.start();
    let images = (0..n).map(|_| baked_once(&host)).collect();
    (host, images)
}

/// Waits for the image and not for its check.
fn baked_once(host: &Host) -> String {
    let id = host.json(0, &["bake", "golden"])["bakes"][0]["id"].clone();
    let done = |row: &Value| row["id"] == id && row["state"] == "succeeded";
    host.until("it is made", &[], done)["image_id"].as_str().unwrap().to_owned()
}

/// The image of a channel, as other tools request it.
fn stands(host: &Host, channel: &str) -> Option<String> {
    let report = host.json(0, &["images", "golden", "--channel", channel]);
    let images = report["images"].as_array().unwrap();
    assert!(images.len() <= 1, "{report}");
    images.first().map(|image| image["image_id"].as_str().unwrap().to_owned())
}

fn until(host: &Host, channel: &str, image: Option<&str>) {
    eventually(&format!("{channel} points to {image:?}"), || (stands(host, channel).as_deref() == image).then_some(()));
}

fn delete(cloud: &Cloud, image: &str, deleted: bool) {
    let body = json!({ "image_id": image, "deleted": deleted }).to_string();
    assert!(exchange(cloud.addr, "POST", "/_sim/images", &body).starts_with("HTTP/1.1 200"));
}

fn history(host: &Host, channel: &str) -> Vec<(Value, String, String)> {
    let report = host.json(0, &["channels", "golden", "--history"]);
    let rows = report["history"].as_array().unwrap().iter().rev().filter(|row| row["channel"] == channel);
    rows.map(|row| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        (row["version"].clone(), text("who"), text("why"))
    })
    .collect()
}

#[test]
fn an_image_soaks_is_promoted_and_can_be_rolled_back() {
    let cloud = Cloud::start();
    let (host, images) = baked(&cloud, GOLDEN, 1);
    until(&host, "latest", Some(&images[0]));
    assert_eq!(stands(&host, "stable"), None, "it has not soaked");
    let report = host.json(0, &["channels"]);
    let empty = report["channels"].as_array().unwrap().iter().find(|row| row["channel"] == "stable").unwrap();
    assert_eq!(
        (&empty["image_id"], &empty["why"]),
        (&json!(null), &json!("waits for an image that has been good for 2s"))
    );
    until(&host, "stable", Some(&images[0]));
    let second = baked_once(&host);
    until(&host, "latest", Some(&second));
    assert_eq!(stands(&host, "stable").as_deref(), Some(&*images[0]));
    until(&host, "stable", Some(&second));

    let (out, _) = host.expect(0, &["rollback", "golden", "stable", "--reason", "no sound"]);
    assert!(out.contains("Channel stable of golden goes back to v1"), "{out}");
    assert!(out.contains("Channel latest of golden goes back to v1"), "{out}");
    assert_eq!((stands(&host, "stable"), stands(&host, "latest")), (Some(images[0].clone()), Some(images[0].clone())));
    let (_, err) = host.expect(1, &["promote", &second, "pilot"]);
    assert!(err.contains("is vetoed: rolled back from stable: no sound"), "{err}");
    // Removing a veto restores `latest`, and not the rolled-back channel.
    host.expect(0, &["unveto", &second]);
    assert_eq!((stands(&host, "stable"), stands(&host, "latest")), (Some(images[0].clone()), Some(second)));
    let third = baked_once(&host);
    until(&host, "stable", Some(&third));

    let report = history(&host, "stable");
    let versions: Vec<&Value> = report.iter().map(|(version, ..)| version).collect();
    assert_eq!(versions, [1, 2, 1, 3]);
    assert_eq!((report[1].1.as_str(), report[1].2.as_str()), ("imagebaked", "good for 2s"));
    assert!(report[2].1.starts_with("uid ") && report[2].2 == "rolled back: no sound", "{report:?}");
    let (out, _) = host.expect(0, &["channels", "golden"]);
    assert!(out.contains("CHANNEL") && out.contains("good for 2s"), "{out}");
    assert!(host.log().contains("channel stable of golden goes back to v1"), "{}", host.log());
}

#[test]
fn a_person_moves_a_channel_without_after_or_gets_the_reason_why_not() {
    let cloud = Cloud::start();
    let (host, images) = baked(&cloud, GOLDEN, 3);
    assert_eq!(stands(&host, "pilot"), None);
    let (out, _) = host.expect(0, &["promote", &images[0], "pilot", "--reason", "for the testers"]);
    assert!(out.contains("Channel pilot of golden is v1") && out.contains("for the testers"), "{out}");
    host.expect(1, &["promote", &images[0], "pilot"]);
    let (_, err) = host.expect(3, &["promote", &images[1], "plot"]);
    assert!(err.contains("golden has no channel `plot`; did you mean `pilot`?"), "{err}");
    let (_, err) = host.expect(1, &["promote", &images[0], "latest"]);
    assert!(err.contains("`latest` always points to the newest good image"), "{err}");
    host.expect(3, &["promote", "imgc-nobody", "pilot"]);
    host.expect(3, &["rollback", "silver", "pilot", "--reason", "x"]);
    host.expect(2, &["rollback", "golden", "pilot"]);
    host.expect(2, &["veto", &images[0]]);
    host.expect(3, &["veto", "imgc-nobody", "--reason", "x"]);
    host.expect(1, &["unveto", &images[0]]);
    let (_, err) = host.expect(1, &["rollback", "golden", "pilot", "--reason", "x"]);
    assert!(err.contains("pointed to no other image"), "{err}");

    host.expect(0, &["promote", &images[2], "pilot"]);
    let (out, _) = host.expect(0, &["veto", &images[2], "--reason", "it does not boot"]);
    assert!(out.contains("Channel pilot of golden goes back to v1"), "{out}");
    assert_eq!(stands(&host, "pilot").as_deref(), Some(&*images[0]));
    assert_eq!(stands(&host, "latest").as_deref(), Some(&*images[1]));
    let (out, _) = host.expect(0, &["veto", &images[0], "--reason", "it does neither"]);
    assert!(out.contains("Channel pilot of golden is empty: v1"), "{out}");
    assert_eq!(stands(&host, "pilot"), None);
    let (_, err) = host.expect(3, &["images", "--channel", "pilot"]);
    assert!(err.contains("no image is in channel \"pilot\""), "{err}");
    for json in [&[][..], &["--json"]] {
        let (_, err) = host.expect(3, &[&["images", "--channel", "pilto"], json].concat());
        assert!(err.contains("there is no channel \"pilto\"; did you mean \"pilot\"?"), "{err}");
    }
    // A vetoed image differs from the others.
    let (out, _) = host.expect(0, &["images"]);
    assert!(out.contains("vetoed: it does not boot"), "{out}");
}

#[test]
fn an_image_that_goes_away_leaves_its_channels_and_comes_back_into_them() {
    let cloud = Cloud::start();
    let (host, images) = baked(&cloud, GOLDEN, 2);
    until(&host, "stable", Some(&images[1]));
    delete(&cloud, &images[1], true);
    host.expect(0, &["prune"]);
    until(&host, "stable", Some(&images[0]));
    until(&host, "latest", Some(&images[0]));
    delete(&cloud, &images[1], false);
    host.expect(0, &["prune"]);
    until(&host, "stable", Some(&images[1]));
    until(&host, "latest", Some(&images[1]));
}

#[test]
fn the_image_of_a_channel_is_not_deleted_and_promoting_takes_a_mark_off() {
    let cloud = Cloud::start();
    let rules = GOLDEN.replace("channels", "keep = { last = 1, grace = \"1h\" }\nchannels");
    let (host, images) = baked(&cloud, &rules.replace("after = \"2s\"", ""), 3);
    let deletion = |image: &str| {
        let report = host.json(0, &["images"]);
        let images = report["images"].as_array().unwrap().clone();
        images.into_iter().find(|row| row["image_id"] == image).unwrap()["deletion"].as_str().unwrap().to_owned()
    };
    host.expect(0, &["prune"]);
    assert_eq!([&images[0], &images[1], &images[2]].map(|image| deletion(image)), ["marked", "marked", "kept"]);
    let (out, _) = host.expect(0, &["promote", &images[0], "pilot"]);
    assert!(out.contains("its mark for deletion is removed"), "{out}");
    assert_eq!(deletion(&images[0]), "kept");
    let unmarked = || {
        let audit = host.json(0, &["audit", "--action", "unmark"]);
        let lines = audit["audit"].as_array().unwrap().clone();
        lines.iter().map(|line| line["detail"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(
        unmarked()[0].contains(&images[0]) && unmarked()[0].ends_with(": channel pilot points to it"),
        "{:?}",
        unmarked()
    );
    let report = host.json(0, &["prune"]);
    let image = report["images"].as_array().unwrap().iter().find(|row| row["image_id"] == *images[0]).unwrap();
    assert_eq!(image["why"], json!([{ "why": "channel", "channel": "pilot" }]));

    // So do a pin and a rollback.
    host.expect(0, &["promote", &images[2], "pilot"]);
    host.expect(0, &["prune"]);
    assert_eq!([&images[0], &images[1]].map(|image| deletion(image)), ["marked", "marked"]);
    host.expect(0, &["pin", &images[1], "--reason", "for the audit"]);
    assert!(
        unmarked()[0].contains(&images[1]) && unmarked()[0].ends_with(": pinned: for the audit"),
        "{:?}",
        unmarked()
    );
    let (out, _) = host.expect(0, &["rollback", "golden", "pilot", "--reason", "no sound"]);
    assert!(out.contains("goes back to v1") && out.contains("its mark for deletion is removed"), "{out}");
    assert!(unmarked()[0].contains(&images[0]), "{:?}", unmarked());
}

#[test]
fn channels_follow_the_file() {
    let cloud = Cloud::start();
    let (host, images) = baked(&cloud, GOLDEN, 1);
    until(&host, "stable", Some(&images[0]));
    host.configure(cloud.addr, &GOLDEN.replace("stable = { after = \"2s\" }", "proven = { after = \"1s\" }"));
    host.expect(0, &["reload"]);
    until(&host, "stable", None);
    until(&host, "proven", Some(&images[0]));
    assert_eq!(history(&host, "stable").last().unwrap().2, "not in the file any more");
    // A removed schedule keeps its channels.
    host.configure(cloud.addr, "[[schedule]]\nname = \"other\"\ninstance_id = \"ecd-2\"\ncron = \"@yearly\"\n");
    host.expect(0, &["reload"]);
    host.expect(0, &["veto", &baked_other(&host), "--reason", "to pass the time"]);
    assert_eq!(stands(&host, "proven").as_deref(), Some(&*images[0]));
}

fn baked_other(host: &Host) -> String {
    host.bake("other")["image_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_kill_in_the_middle_of_a_move_leaves_all_of_it_or_none() {
    for point in ["before.latest", "after.latest", "before.stable", "after.stable"] {
        let cloud = Cloud::start();
        // No other line can pass the failpoint.
        let mut host = Host::new(cloud.addr, GOLDEN);
        host.launch(&format!("{point}:1"));
        eventually("the bake is asked for", || host.run(&["bake", "golden"]).status.success().then_some(()));
        eventually("the daemon has died", || host.has_died().then_some(()));
        host.start();
        let image = host.newest(&[]).unwrap()["image_id"].as_str().unwrap().to_owned();
        until(&host, "latest", Some(&image));
        until(&host, "stable", Some(&image));
        assert_eq!(history(&host, "latest").len(), 1, "{point}");
        assert_eq!(history(&host, "stable").len(), 1, "{point}");
    }
}

/// A schedule with this script as its `verify` hook, which stands in the host's folder.
fn with_check(host: &Host, script: &str) -> String {
    let path = host.path("check.sh");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    GOLDEN.replace("channels", &format!("hooks = {{ verify = [\"{}\"], timeout = \"1s\" }}\nchannels", path.display()))
}

fn image_row(host: &Host) -> Value {
    host.json(0, &["images"])["images"][0].clone()
}

#[test]
fn a_check_that_passes_opens_the_way() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, "");
    let seen = host.path("seen");
    // Blocked until the file exists, to show that the check gates the channel.
    let gate = host.path("open");
    let script = format!("env | sort > {}; [ -e {} ] || sleep 60; echo fine", seen.display(), gate.display());
    let schedule = with_check(&host, &script).replace("timeout = \"1s\"", "timeout = \"20s\"");
    host.configure(cloud.addr, &schedule);
    host.start();
    let image = baked_once(&host);
    eventually("the check runs", || {
        fs::read_to_string(&seen).ok().filter(|report| report.contains("IMAGEBAKED_VERSION"))
    });
    assert_eq!(image_row(&host)["verify"], "due");
    assert_eq!(stands(&host, "latest"), None, "it may still fail");
    let (_, err) = host.expect(1, &["promote", &image, "pilot"]);
    assert!(err.contains("the check of image") && err.contains("is not over; --force"), "{err}");
    // An interrupted check is repeated.
    fs::write(&gate, "").unwrap();
    host.kill();
    host.start();
    eventually("it has passed", || (image_row(&host)["verify"] == "passed").then_some(()));
    until(&host, "latest", Some(&image));
    until(&host, "stable", Some(&image));
    let report = fs::read_to_string(&seen).unwrap();
    for line in [
        "IMAGEBAKED_HOOK=verify",
        &format!("IMAGEBAKED_IMAGE_ID={image}"),
        "IMAGEBAKED_LINE=golden",
        "IMAGEBAKED_VERSION=1",
    ] {
        assert!(report.lines().any(|seen| seen == line), "{line} in {report}");
    }
    let bake = host.show(&json!(1));
    let call = bake["calls"].as_array().unwrap().iter().find(|call| call["call"] == "hook verify 1").unwrap();
    assert_eq!(call["outcome"], "ok");
    host.expect(0, &["status"]);
}

#[test]
fn an_image_that_is_known_by_its_tags_alone_is_checked_again_before_it_counts() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, "");
    let (runs, gate) = (host.path("runs"), host.path("open"));
    let script = format!("echo $IMAGEBAKED_VERSION >> {}; [ -e {} ] || sleep 60", runs.display(), gate.display());
    let schedule = with_check(&host, &script).replace("timeout = \"1s\"", "timeout = \"20s\"");
    host.configure(cloud.addr, &schedule);
    fs::write(&gate, "").unwrap();
    host.start();
    let image = baked_once(&host);
    until(&host, "stable", Some(&image));
    host.stop();
    fs::remove_dir_all(host.path("state")).unwrap();
    fs::remove_file(&gate).unwrap();
    host.start();
    eventually("it is listed", || (image_row(&host)["verify"] == "due").then_some(()));
    eventually("its check runs", || (fs::read_to_string(&runs).unwrap().lines().count() == 2).then_some(()));
    assert_eq!(host.json(0, &["channels", "golden"])["channels"][1]["image_id"], Value::Null, "no channel trusts it");
    fs::write(&gate, "").unwrap();
    host.kill();
    host.start();
    eventually("it has passed", || (image_row(&host)["verify"] == "passed").then_some(()));
    until(&host, "stable", Some(&image));
}

#[test]
fn a_check_that_fails_vetoes_the_image_and_is_loud() {
    let cloud = Cloud::start();
    let (mut host, images) = baked(&cloud, GOLDEN, 1);
    until(&host, "stable", Some(&images[0]));
    let schedule = with_check(&host, "echo starting; echo the login screen is black; exit 1");
    host.configure(cloud.addr, &schedule);
    host.expect(0, &["reload"]);
    let bad = baked_once(&host);
    eventually("it has failed", || (image_row(&host)["verify"] == "failed").then_some(()));
    until(&host, "latest", Some(&images[0]));
    assert_eq!(image_row(&host)["veto"], "its check failed: the login screen is black");
    let report = host.json(5, &["status"])["health"]["problems"].to_string();
    assert!(
        report.contains("the newest image of golden, v2") && report.contains("the login screen is black"),
        "{report}"
    );
    assert!(host.log().contains("is vetoed: its check failed: the login screen is black"), "{}", host.log());
    // A person can override the check.
    host.expect(0, &["unveto", &bad]);
    until(&host, "latest", Some(&bad));
    host.expect(0, &["status"]);
    host.expect(1, &["promote", &bad, "stable"]);
    host.expect(0, &["promote", &bad, "stable", "--force"]);
    assert_eq!(stands(&host, "stable").as_deref(), Some(&*bad));
    host.stop();
}

#[test]
fn a_check_that_cannot_be_made_is_tried_again_then_counts_as_failed() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, "");
    let count = host.path("count");
    // A hook that is killed by a signal has failed to run; it has not rejected the image.
    let schedule = with_check(&host, &format!("echo x >> {}; kill -9 $$", count.display()));
    host.configure(cloud.addr, &schedule);
    host.start();
    baked_once(&host);
    eventually("it has been given up", || (image_row(&host)["verify"] == "failed").then_some(()));
    assert_eq!(fs::read_to_string(&count).unwrap().lines().count(), 4);
    let veto = image_row(&host)["veto"].clone();
    assert_eq!(veto, "its check could not be made in 4 tries: killed by signal 9");
}
