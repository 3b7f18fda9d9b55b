//! `why` and `reconcile`: the real binary, a simulated cloud, and histories that were lost or changed.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not recognised as tests; a failure in them is a failed test"
)]

use std::{collections::BTreeMap, fs, sync::Arc};

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use imagebaked::{
    adapters::cloud::{
        CloudClient, CloudOptions, Environment,
        actions::{CreateImageByInstance, DeleteImage},
        random_nonces,
    },
    domain::{
        api::instance_state::InstanceType,
        clock::{Clock as _, SystemClock},
        ids::ImageId,
    },
};
use serde_json::{Value, json};

use support::{Cloud, Host, KEY_ID, SECRET, eventually};

mod support;

const GOLDEN: &str = "\n[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 0 1 1 *\"\n";
const NIGHTLY: &str = "\n[[schedule]]\nname = \"nightly\"\ninstance_ids = [\"ecd-2\", \"ecd-3\"]\n\
                       cron = \"30 2 * * *\"\ntimezone = \"Europe/Berlin\"\n";

/// A client of another user of the account.
fn client(cloud: &Cloud) -> CloudClient {
    let options = CloudOptions {
        endpoint: Some(format!("http://{}", cloud.addr)),
        requests_per_second: 100.0,
        ..CloudOptions::default()
    };
    let environment = Environment::read(|name| match name {
        "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some(KEY_ID.to_owned()),
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some(SECRET.to_owned()),
        _ => None,
    });
    CloudClient::new(&options, environment, Arc::new(SystemClock), random_nonces()).unwrap()
}

/// Makes an image and waits until it is AVAILABLE.
async fn make(cloud: &Cloud, instance: &str, tags: &[(&str, &str)]) -> ImageId {
    let tags: BTreeMap<String, String> = tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let request = CreateImageByInstance {
        image_name: format!("by hand of {instance}"),
        description: None,
        instance_id: instance.into(),
        sub_instance_id: None,
        instance_type: InstanceType::CloudDesktop,
        auto_clean_userdata: None,
        copy_profile: None,
        disk_type: None,
        biz_type: None,
        product_type: None,
        tags,
    };
    let id = client(cloud).create_image(&request).await.unwrap().value.image_id;
    eventually("the image is good", || {
        cloud.images(instance).iter().any(|image| image["status"] == "AVAILABLE").then_some(())
    });
    id
}

fn lose_the_history(host: &Host) {
    for entry in fs::read_dir(host.path("state")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("imagebaked.db") {
            fs::remove_file(path).unwrap();
        }
    }
}

fn kinds(report: &Value) -> Vec<&str> {
    let mut kinds: Vec<_> =
        report["differences"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    kinds
}

fn instant(text: &Value) -> DateTime<Utc> {
    text.as_str().unwrap().parse().unwrap()
}

#[test]
fn a_slot_is_explained_call_by_call_and_the_times_beside_it_are_none() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    let at = (SystemClock.now() + TimeDelta::seconds(4)).with_nanosecond(0).unwrap();
    let cron = format!("{} {} {} * * *", at.second(), at.minute(), at.hour());
    let schedule = format!("\n[[schedule]]\nname = \"soon\"\ninstance_id = \"ecd-1\"\ncron = \"{cron}\"\n");
    host.configure(cloud.addr, &schedule);
    cloud.add_faults(
        "[[fault]]\naction = \"CreateImageByInstance\"\nnth = 1\ncode = \"OperationConflict\"\nstatus = 400\n",
    );
    host.expect(0, &["reload"]);
    let row = host.until("the slot is baked", &["--schedule", "soon"], |row| !row["finished_at"].is_null());
    host.stop();

    let slot = at.to_rfc3339();
    let output = host.json(0, &["why", "soon", "--at", &slot]);
    assert_eq!((&output["schedule"], &output["due"]), (&json!("soon"), &json!(true)));
    assert_eq!(instant(&output["slot"]), at);
    assert_eq!(instant(&output["nearest"]["after"]) - at, TimeDelta::days(1));
    assert_eq!(output["bakes"][0]["id"], row["id"]);
    let calls = output["bakes"][0]["calls"].as_array().unwrap();
    let refused = calls.iter().find(|call| call["code"] == "OperationConflict").unwrap();
    let request_id = refused["request_id"].as_str().unwrap();
    let (text, _) = host.expect(0, &["why", "soon", "--at", &slot]);
    assert!(text.contains(request_id) && text.contains("is the one of this slot"), "{text}");

    let beside = (at + TimeDelta::minutes(1)).to_rfc3339();
    let none = host.json(0, &["why", "soon", "--at", &beside]);
    assert_eq!((&none["due"], &none["slot"], &none["bakes"]), (&json!(false), &Value::Null, &json!([])));
    assert_eq!(instant(&none["nearest"]["before"]), at);

    let tomorrow = (at + TimeDelta::days(1)).to_rfc3339();
    let ahead = host.json(0, &["why", "soon", "--at", &tomorrow]);
    let name = ahead["answers"][0]["image_name"].as_str().unwrap();
    assert!(name.ends_with("-v2") && ahead["explanation"].as_str().unwrap().contains(name), "{ahead}");

    let before = (at - TimeDelta::days(7)).to_rfc3339();
    let (text, _) = host.expect(0, &["why", "soon", "--at", &before]);
    assert!(text.contains("has the schedule only since"), "{text}");

    host.expect(3, &["why", "sooner", "--at", &slot]);
    host.expect(3, &["why", "soon", "--instance", "ecd-9", "--at", &slot]);
    host.expect(2, &["why", "soon", "--at", "half past two"]);

    // The schedule is not in the file, but in the history.
    host.configure(cloud.addr, GOLDEN);
    host.start();
    host.stop();
    assert_eq!(host.json(0, &["why", "soon", "--at", &slot])["bakes"][0]["id"], row["id"]);
    let (text, _) = host.expect(0, &["why", "soon", "--at", &tomorrow]);
    assert!(text.contains("taken out of the file"), "{text}");
}

#[test]
fn times_that_the_clock_skips_or_repeats_are_explained_before_the_daemon_ever_ran() {
    let host = Host::new("127.0.0.1:9".parse().unwrap(), NIGHTLY);
    // The command must not create the daemon's database.
    host.expect(3, &["reconcile", "--apply"]);
    let skipped = host.json(0, &["why", "nightly", "--at", "2021-03-28 02:30"]);
    assert_eq!(skipped["slot"], "2021-03-28T01:00:00Z");
    assert_eq!(skipped["due"], false, "it was not written down then");
    let words = skipped["explanation"].as_str().unwrap();
    assert!(words.contains("never showed") && words.contains("never run with this schedule"), "{words}");
    assert_eq!(skipped["answers"].as_array().unwrap().len(), 2, "one for each instance");
    let repeated = host.json(0, &["why", "nightly", "--instance", "ecd-2", "--at", "2021-10-31 02:30"]);
    let slots: Vec<_> = repeated["answers"].as_array().unwrap().iter().map(|answer| &answer["slot"]).collect();
    assert_eq!(slots, [&json!("2021-10-31T00:30:00Z"), &Value::Null], "{repeated}");
}

#[test]
fn a_lost_history_goes_on_with_the_next_version_and_is_made_whole() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    assert_eq!(host.bake("golden")["version"], 1);
    assert_eq!(host.bake("golden")["version"], 2);
    let (text, _) = host.expect(0, &["reconcile"]);
    assert_eq!(text, "History and cloud agree.\n");
    host.stop();
    lose_the_history(&host);

    host.start();
    assert_eq!(host.bake("golden")["version"], 3, "{}", host.log());
    assert_eq!(host.json(0, &["reconcile"])["equal"], true, "it was made whole before the bake");
    assert!(host.log().contains("the history that was here is gone"), "{}", host.log());
    let bakes = host.json(0, &["history"]);
    let versions: Vec<_> = bakes["bakes"].as_array().unwrap().iter().map(|row| &row["version"]).collect();
    assert_eq!(versions, [&json!(3), &json!(2), &json!(1)]);
    let rebuilt = &bakes["bakes"][1];
    assert_eq!((&rebuilt["state"], &rebuilt["attempts"]), (&json!("succeeded"), &json!(0)));
    assert_eq!(rebuilt["reason"], "rebuilt from the image's tags");
    assert_eq!(rebuilt["instance_id"], "ecd-1");
    assert_eq!(host.json(0, &["images"])["images"].as_array().unwrap().len(), 3);

    // Without the socket the daemon cannot be asked. The command must not open the history that the daemon holds.
    fs::remove_file(host.path("control.sock")).unwrap();
    let (_, err) = host.expect(1, &["reconcile", "--apply"]);
    assert!(err.contains("another imagebaked is running"), "{err}");
    assert_eq!(cloud.calls("DeleteImage", None).len(), 0);
}

#[test]
fn an_empty_history_waits_for_the_cloud_before_anything_begins() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    host.bake("golden");
    host.stop();
    lose_the_history(&host);
    cloud.add_faults("[[fault]]\naction = \"ListImage\"\ntimes = 3\ncode = \"NoPermission\"\nstatus = 403\n");
    host.start();
    host.expect(0, &["bake", "golden"]);
    eventually("the problem", || {
        let output = host.run(&["status"]);
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("its first comparison with the cloud is not finished")
            .then_some(())
    });
    assert_eq!(cloud.calls("CreateImageByInstance", None).len(), 1, "nothing begins before");
    let bake = host.until("it is made in the end", &[], |bake| bake["state"] == "succeeded");
    assert_eq!(bake["version"], 2);
    host.expect(0, &["status"]);

    host.expect(0, &["pause", "golden", "--reason", "moving"]);
    let (text, _) = host.expect(0, &["why", "golden", "--at", "2099-01-01 00:00"]);
    assert!(text.contains("moving; it will be skipped"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_doubled_and_vanished_images_are_found_without_the_daemon() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    let baked = host.bake("golden");
    host.stop();
    let image_id = ImageId::from(baked["image_id"].as_str().unwrap());
    client(&cloud).delete_image(&DeleteImage { image_id }).await.unwrap();
    let tags = [
        ("imagebaked:owner", "imagebaked"),
        ("imagebaked:schedule", "golden"),
        ("imagebaked:line", "golden"),
        ("imagebaked:slot", "2026-01-01T00:00:00Z"),
        ("imagebaked:version", "9"),
    ];
    let doubles = [make(&cloud, "ecd-1", &tags).await, make(&cloud, "ecd-2", &tags).await];
    make(&cloud, "ecd-3", &tags[..1]).await;
    // The image has another owner.
    make(&cloud, "ecd-4", &[("imagebaked:owner", "somebody else")]).await;

    let report = host.json(1, &["reconcile"]);
    assert_eq!(
        kinds(&report),
        ["doubled", "unrecorded", "unrecorded", "unrecorded", "vanished", "version_behind"],
        "{report}"
    );
    let doubled = report["differences"].as_array().unwrap().iter().find(|one| one["kind"] == "doubled").unwrap();
    assert!(doubles.iter().all(|id| doubled["images"].as_array().unwrap().contains(&json!(id))), "{doubled}");

    // One of the doubled images gets the row of the slot. The others are left to a person.
    host.json(1, &["reconcile", "--apply"]);
    let report = host.json(1, &["reconcile"]);
    assert_eq!(kinds(&report), ["doubled", "unrecorded", "vanished"], "{report}");
    let (text, _) = host.expect(1, &["reconcile"]);
    assert!(text.contains("not all of our tags are on it") && !text.contains("--apply"), "{text}");
    assert_eq!(cloud.calls("DeleteImage", None).len(), 1, "the one of this test");
    let output = host.json(0, &["why", "golden", "--at", "2026-01-01T00:00:00Z"]);
    assert_eq!(output["bakes"][0]["reason"], "rebuilt from the image's tags");

    host.start();
    assert_eq!(host.bake("golden")["version"], 10);
}

/// Times as they are printed: weekday, date, time, offset.
fn printed(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_weekday = |word: &str| ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&word);
    words.windows(4).filter(|four| is_weekday(four[0]) && four[1].len() == 10).map(|four| four.join(" ")).collect()
}

#[test]
fn every_time_that_a_command_prints_is_taken_and_names_its_bake() {
    let cloud = Cloud::start();
    let file = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 * * *\"\ntimezone = \"Asia/Shanghai\"\n";
    let mut host = Host::new(cloud.addr, file);
    host.start();
    let bake = host.bake("golden")["id"].clone();
    let mut all = Vec::new();
    for args in [&["history"][..], &["status"], &["plan"], &["audit"], &["events"], &["images"], &["why", "golden"]] {
        let (text, _) = host.expect(0, args);
        let times = printed(&text);
        assert!(!times.is_empty(), "{args:?}: {text}");
        all.extend(times);
    }
    for time in &all {
        host.expect(0, &["why", "golden", "--at", time]);
        host.expect(0, &["history", "--since", time]);
    }
    // A bake by hand is named by its time, though that is printed without fractions of a second.
    let slot = printed(&host.expect(0, &["history"]).0).remove(0);
    assert!(slot.ends_with("+08:00"), "the schedule's zone: {slot}");
    assert_eq!(host.json(0, &["why", "golden", "--at", &slot])["bakes"][0]["id"], bake);
    assert_eq!(host.json(0, &["history", "--since", &slot, "--until", &slot])["bakes"][0]["id"], bake);
    assert_eq!(host.json(0, &["why", "golden", "--at", "today"])["answers"].as_array().unwrap().len(), 2);
    for (args, part) in [
        (&["why", "golden", "--at", "noon"][..], "`tomorrow 07:00`"),
        (&["history", "--since", "Mon 2026-11-26 03:00"], "2026-11-26 is a Thu, not a Mon"),
        (&["plan", "tonight", "--from", "now"], "cannot be used with"),
    ] {
        let (_, error) = host.expect(2, args);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn an_image_that_comes_back_after_its_bake_failed_is_found_and_listed_again() {
    let cloud = Cloud::with(&["--open", "--build-time", "2s", "--power-time", "100ms"]);
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    host.expect(0, &["bake", "golden"]);
    let bake = host.until("the cloud makes its image", &[], |bake| bake["image_id"].is_string());
    let image = bake["image_id"].as_str().unwrap();
    cloud.control("images", &json!({ "image_id": image, "deleted": true }));
    let bake = host.until("it vanished", &[], |bake| bake["state"] == "failed");
    assert_eq!(bake["reason_code"], "vanished");
    cloud.control("images", &json!({ "image_id": image, "deleted": false }));
    eventually("it is complete", || {
        cloud.images("ecd-1").iter().any(|seen| seen["status"] == "AVAILABLE").then_some(())
    });

    host.expect(0, &["prune"]);
    let codes = |host: &Host| {
        let status: Value = serde_json::from_slice(&host.run(&["status", "--json"]).stdout).unwrap();
        let problems = status["health"]["problems"].as_array().unwrap().clone();
        problems.iter().map(|problem| problem["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    eventually("it is a problem", || codes(&host).contains(&"image_not_in_history".to_owned()).then_some(()));
    let report = host.json(1, &["reconcile"]);
    assert_eq!(kinds(&report), ["returned"], "{report}");
    assert_eq!(report["differences"][0]["bake"], bake["id"]);
    let (text, _) = host.expect(0, &["reconcile", "--apply"]);
    assert!(text.contains("Added to the history:") && text.contains("ended failed"), "{text}");
    assert_eq!(host.json(0, &["reconcile"])["equal"], true);
    let images = host.json(0, &["images", "golden"])["images"].clone();
    assert_eq!((&images[0]["image_id"], &images[0]["version"]), (&json!(image), &json!(1)), "{images}");
    eventually("the problem has ended", || codes(&host).is_empty().then_some(()));

    // A slot has one image at most: another one of the same slot stays with a person.
    assert_eq!(host.bake("golden")["version"], 2);
    assert_eq!(
        host.json(0, &["audit"])["audit"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|line| { line["detail"].as_str().unwrap().contains("came after the end of bake") })
            .count(),
        1
    );
}
