//! Promise 3 from outside: the real daemon and the simulator, in every situation that could lead to a wrong deletion.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::collections::BTreeMap;

use imagebaked::{
    adapters::failpoint::DELETION_POINTS,
    domain::clock::{Clock as _, SystemClock},
};
use serde_json::{Value, json};
use support::{Cloud, Host, eventually, exchange};

/// One line with at most three images by its rules, deleted at the next pass after they were marked.
const KEEP_TWO: &str = r#"
[[schedule]]
name = "golden"
instance_id = "ecd-1"
cron = "@yearly"
keep = { last = 2, grace = "1s" }
"#;

/// A host with a daemon that has baked `golden` `n` times; the images from the oldest to the newest.
fn baked(cloud: &Cloud, schedules: &str, n: usize) -> (Host, Vec<String>) {
    let mut host = Host::new(cloud.addr, schedules);
    host.start();
    let images = (0..n).map(|_| host.bake("golden")["image_id"].as_str().unwrap().to_owned()).collect();
    (host, images)
}

/// The lines of `prune --dry-run` or `prune`, by image.
fn prune(host: &Host, args: &[&str]) -> BTreeMap<String, Value> {
    let report = host.json(0, &[&["prune"], args].concat());
    let images = report["images"].as_array().unwrap().iter();
    images.map(|image| (image["image_id"].as_str().unwrap().to_owned(), image.clone())).collect()
}

fn actions(report: &BTreeMap<String, Value>) -> BTreeMap<&str, &str> {
    report.iter().map(|(id, image)| (id.as_str(), image["action"].as_str().unwrap())).collect()
}

/// Reasons why an image stays.
fn why(image: &Value) -> Vec<&str> {
    image["why"].as_array().unwrap().iter().map(|why| why["why"].as_str().unwrap()).collect()
}

fn status(cloud: &Cloud, image: &str) -> String {
    let state = cloud.state();
    let images = state["images"].as_array().unwrap();
    images.iter().find(|seen| seen["image_id"] == image).unwrap()["status"].as_str().unwrap().to_owned()
}

fn control(cloud: &Cloud, what: &str, body: &Value) {
    let answer = exchange(cloud.addr, "POST", &format!("/_sim/{what}"), &body.to_string());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Prunes until no image is marked.
fn prune_to_the_end(host: &Host) {
    eventually("everything that goes has gone", || {
        let report = prune(host, &[]);
        report.values().all(|image| image["action"] == "keep").then_some(())
    });
}

#[test]
fn what_no_rule_wants_is_marked_then_deleted_and_all_outputs_agree() {
    let cloud = Cloud::start();
    let (mut host, images) = baked(&cloud, KEEP_TWO, 4);

    // From the history only, as a dry run, and as a real pass.
    let planned = host.json(0, &["plan"]);
    let planned: Vec<_> = planned["images"].as_array().unwrap().iter().map(|image| image["image_id"].clone()).collect();
    assert_eq!(planned, [images[1].as_str(), images[0].as_str()]);
    let rehearsed = prune(&host, &["--dry-run"]);
    assert_eq!(rehearsed[&images[0]]["rule"], "keep = { last = 2, min = 1 }");
    assert_eq!(why(&rehearsed[&images[3]]), ["channel", "last_good", "rule"]);
    let calls = cloud.calls("ListImage", None).len();
    prune(&host, &["--dry-run"]);
    assert_eq!(cloud.calls("ListImage", None).len(), calls, "the history alone answers");
    assert_eq!(prune(&host, &["--dry-run", "--ask-cloud"]), rehearsed, "and what the cloud says is the same");
    assert!(cloud.calls("ListImage", None).len() > calls);
    // All have the same instant: that of the daemon's next pass and the grace.
    let planned = host.json(0, &["plan"]);
    let listed = host.json(0, &["images", "golden"]);
    let time = |value: &Value| value.as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let next_pass = time(&planned["next_pass"]["at"]);
    assert!(next_pass > SystemClock.now(), "{planned}");
    let announced = [
        &planned["images"][1]["not_before"],
        &rehearsed[&images[0]]["not_before"],
        &listed["images"][3]["retention"]["not_before"],
    ];
    assert_eq!(announced.map(time), [next_pass + chrono::TimeDelta::seconds(1); 3]);
    assert_eq!(listed["images"][0]["retention"]["why"][2]["place"], 1, "{listed}");
    let (out, _) = host.expect(0, &["images", "golden"]);
    assert!(out.contains("the 1st of last = 2") && out.contains("mark, deleted not before "), "{out}");
    assert!(out.contains("The next retention pass of the daemon is in "), "{out}");
    assert!(host.json(0, &["images"])["images"].as_array().unwrap().iter().all(|image| image["deletion"] == "kept"));
    let done = prune(&host, &[]);
    assert_eq!(actions(&rehearsed), actions(&done));
    assert_eq!(
        actions(&done),
        BTreeMap::from([
            (images[0].as_str(), "mark"),
            (images[1].as_str(), "mark"),
            (images[2].as_str(), "keep"),
            (images[3].as_str(), "keep"),
        ])
    );
    assert!(images.iter().all(|image| status(&cloud, image) == "AVAILABLE"), "marked is not deleted");

    // The image task itself runs when the grace is over.
    eventually("both are deleted", || {
        (status(&cloud, &images[0]) == "DELETE" && status(&cloud, &images[1]) == "DELETE").then_some(())
    });
    prune_to_the_end(&host);
    assert_eq!(status(&cloud, &images[2]), "AVAILABLE");
    assert_eq!(cloud.calls("DeleteImage", None).len(), 2);
    let left = host.json(0, &["images"]);
    let left: Vec<_> =
        left["images"].as_array().unwrap().iter().map(|image| image["image_id"].as_str().unwrap()).collect();
    assert_eq!(left, [images[3].as_str(), images[2].as_str()]);

    // Without a daemon the history answers, and says what it does not know.
    host.kill();
    let (out, _) = host.expect(0, &["prune", "--dry-run"]);
    assert!(out.contains("2 kept") && out.contains("No daemon answers"), "{out}");
    assert!(out.contains("From the history, as of the last scan of the cloud,"), "{out}");
    assert!(out.contains("without a daemon the cloud is not asked"), "{out}");
    let report = host.json(0, &["prune", "--dry-run"]);
    assert_eq!((&report["of"], &report["next_pass"]["pass"]), (&json!("history"), &json!("at_start")), "{report}");
    assert!(report["scanned_at"].is_string(), "{report}");
    host.expect(4, &["prune", "--dry-run", "--ask-cloud"]);
    // Deletions by the rules are no difference between history and cloud.
    assert_eq!(host.json(0, &["reconcile"])["equal"], true);
}

#[test]
fn an_edit_of_the_rules_lists_the_affected_images() {
    let cloud = Cloud::start();
    let rules = |last: u32| KEEP_TWO.replace("last = 2", &format!("last = {last}")).replace("1s", "1h");
    let (mut host, images) = baked(&cloud, &rules(3), 4);
    let ids = |report: &Value, key: &str| -> Vec<String> {
        report[key].as_array().unwrap().iter().map(|image| image["image_id"].as_str().unwrap().to_owned()).collect()
    };
    let means = |report: &Value| [ids(report, "images_going"), ids(report, "images_staying"), ids(report, "orphans")];
    let (main, new) = (host.path("imagebaked.toml"), host.path("new.toml"));
    let new_path = new.display().to_string();
    let other = rules(3).replace("golden", "silver").replace("ecd-1", "ecd-2");
    let all: Vec<_> = images.iter().rev().cloned().collect();
    let edits = [
        (rules(1), [vec![images[2].clone(), images[1].clone()], vec![], vec![]]),
        // From one to five: also the image that the first rules did not want.
        (rules(5), [vec![], vec![images[2].clone(), images[1].clone(), images[0].clone()], vec![]]),
        (rules(5).replace("@yearly", "@monthly"), [vec![], vec![], vec![]]),
        (other, [vec![], vec![], all]),
        // The line returns with rules that want few images.
        (rules(1), [vec![images[2].clone(), images[1].clone(), images[0].clone()], vec![], vec![]]),
    ];
    for (schedules, wanted) in edits {
        let before = std::fs::read_to_string(&main).unwrap();
        host.configure(cloud.addr, &schedules);
        std::fs::rename(&main, &new).unwrap();
        std::fs::write(&main, before).unwrap();
        let planned = host.json(0, &["plan", "--diff", &new_path]);
        assert_eq!(means(&planned), wanted, "{schedules}");
        let counts = json!({ "going": wanted[0].len(), "staying": wanted[1].len(), "orphans": wanted[2].len() });
        assert_eq!(planned["image_counts"], counts);
        let (text, _) = host.expect(0, &["plan", "--diff", &new_path]);
        assert_eq!(text.contains("Images that are deleted by the new rules"), !wanted[0].is_empty(), "{text}");

        std::fs::rename(&new, &main).unwrap();
        let report = host.json(0, &["reload"]);
        assert_eq!((means(&report), &report["image_counts"]), (wanted, &counts), "{schedules}");
    }
    assert!(host.log().contains("; 2 images more to go"), "{}", host.log());
    assert!(images.iter().all(|image| status(&cloud, image) == "AVAILABLE"), "nothing but words so far");

    // Without a readable history nothing is reported.
    host.configure(cloud.addr, &rules(2));
    std::fs::rename(&main, &new).unwrap();
    host.configure(cloud.addr, &rules(1));
    host.stop();
    std::fs::write(host.path("state/imagebaked.db"), "no database").unwrap();
    let (out, err) = host.expect(0, &["plan", "--diff", &new_path, "--json"]);
    assert!(err.contains("the effect of the edit on images is unknown"), "{err}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["images_going"], Value::Null);
    std::fs::remove_dir_all(host.path("state")).unwrap();
    assert_eq!(host.json(0, &["plan", "--diff", &new_path])["images_going"], json!([]), "no history, no images");
}

#[test]
fn a_person_has_the_last_word() {
    let cloud = Cloud::start();
    let rules = KEEP_TWO.replace("1s", "1h");
    let (host, images) = baked(&cloud, &rules, 4);
    host.expect(3, &["pin", "imgc-nobody"]);
    host.expect(1, &["undelete", &images[0]]);
    host.expect(1, &["unpin", &images[0]]);
    host.expect(0, &["pin", &images[0], "--reason", "the audit needs it"]);
    let report = prune(&host, &[]);
    assert_eq!((why(&report[&images[0]]), &report[&images[1]]["action"]), (vec!["pinned"], &json!("mark")));
    host.expect(0, &["undelete", &images[1]]);
    let report = prune(&host, &[]);
    assert_eq!(why(&report[&images[1]]), ["pinned"]);
    let (out, _) = host.expect(0, &["images"]);
    assert!(
        out.contains("kept: pinned by ") && out.contains(": the audit needs it") && out.contains(": undeleted"),
        "{out}"
    );
    // Without the pin the rules apply again.
    host.expect(0, &["unpin", &images[0]]);
    assert_eq!(prune(&host, &["--dry-run"])[&images[0]]["action"], "mark");
    // A pin that has ended has no effect, and cannot be set.
    host.expect(2, &["pin", &images[0], "--until", "2001-01-01T00:00:00Z"]);
    assert!(cloud.calls("DeleteImage", None).is_empty());
}

#[test]
fn nobody_is_tricked_out_of_an_image() {
    let cloud = Cloud::start();
    let rules = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"@yearly\"\nkeep = { last = 1, grace = \"0s\" }\n";
    let (host, images) = baked(&cloud, rules, 1);
    for _ in 0..4 {
        host.bake("golden");
    }
    // The simulator has the order, because the daemon may prune at any time from here on.
    let images: Vec<String> = cloud
        .images("ecd-1")
        .iter()
        .map(|image| image["image_id"].as_str().unwrap().to_owned())
        .inspect(|image| assert!(!images.is_empty() && !image.is_empty()))
        .collect();
    control(&cloud, "groups", &json!({"group_id": "aig-1", "image_id": images[0]}));
    control(&cloud, "images", &json!({"image_id": images[1], "tags": {"team": "others"}}));
    control(&cloud, "images", &json!({"image_id": images[2], "image_type": "Shared"}));
    control(
        &cloud,
        "images",
        &json!({"image_id": "imgc-foreign", "image_name": "golden-v9", "tags": {"imagebaked:line": "golden"}}),
    );
    cloud.add_faults("[[fault]]\naction = \"DeleteImage\"\ntimes = 0\ncode = \"ImageNotAllowDelete\"\nstatus = 400\n");
    let report = prune(&host, &[]);
    assert_eq!(why(&report[&images[0]]), ["in_use"]);
    assert_eq!(report[&images[0]]["why"][0]["by"], json!(["aig-1"]));
    assert_eq!(why(&report[&images[1]]), ["not_ours"]);
    assert_eq!(why(&report[&images[2]]), ["not_ours"]);
    assert_eq!((&report[&images[3]]["action"], why(&report[&images[3]])), (&json!("blocked"), vec!["refused"]));
    assert_eq!(why(&report[&images[4]]), ["channel", "last_good", "rule"]);

    // A deletion that was rejected because of a user is repeated later, and at once on request.
    assert_eq!(prune(&host, &[])[&images[3]]["action"], "wait");
    assert_eq!(cloud.calls("DeleteImage", None).len(), 1);
    let (out, _) = host.expect(0, &["images"]);
    assert!(out.contains("not deleted yet: ImageNotAllowDelete"), "{out}");
    assert_eq!(prune(&host, &["--dry-run", "--again"])[&images[3]]["action"], "delete");
    exchange(cloud.addr, "DELETE", "/_sim/faults", "");
    assert_eq!(prune(&host, &["--again"])[&images[3]]["action"], "delete");
    assert_eq!(status(&cloud, &images[3]), "DELETE");
    for image in [&images[0], &images[1], &images[2], &images[4], &"imgc-foreign".to_owned()] {
        assert_eq!(status(&cloud, image), "AVAILABLE");
    }
    assert_eq!(cloud.calls("DeleteImage", None).len(), 2);
}

/// A host that keeps one image without a grace and has made two, in a cloud whose next image ends CREATE_FAILED.
fn two_good_images_before_a_bad_one(cloud: &Cloud) -> (Host, Vec<String>) {
    let rules = KEEP_TWO.replace("last = 2, grace = \"1s\"", "last = 1, grace = \"0s\"");
    let mut host = Host::new(cloud.addr, &format!("{rules}retry = {{ rebakes = 0 }}\n"));
    host.start();
    // The first scan of a daemon finds nothing here; the next one comes in an hour, except on request.
    let good: Vec<_> = (0..2).map(|_| host.bake("golden")["image_id"].as_str().unwrap().to_owned()).collect();
    cloud.add_faults("[[fault]]\naction = \"CreateImageByInstance\"\nimage = \"CREATE_FAILED\"\n");
    (host, good)
}

#[test]
fn a_blocker_keeps_every_image() {
    let cloud = Cloud::start();
    let (host, good) = two_good_images_before_a_bad_one(&cloud);
    let failed = host.bake("golden");
    assert_eq!((&failed["state"], &failed["cause"]), (&"failed".into(), &"image".into()));
    let report = prune(&host, &[]);
    assert_eq!(report[&good[0]]["why"][0]["because"]["blocker"], "newest_failed");
    let (out, _) = host.expect(0, &["prune", "--dry-run"]);
    assert!(out.contains("no rule wants it, but bake 3 of the line failed, and none has succeeded since"), "{out}");

    // Without permission to list users nothing is deleted.
    host.bake("golden");
    for action in ["ListWuyingServer", "DescribeDesktops", "ListAppInstanceGroup", "ListImage"] {
        cloud.add_faults(&format!(
            "[[fault]]\naction = \"{action}\"\ntimes = 0\ncode = \"Forbidden.RAM\"\nstatus = 403\n"
        ));
        let report = host.json(1, &["prune"]);
        assert!(report["problem"].as_str().unwrap().contains("Forbidden.RAM"), "{report}");
        let idle = |image: &Value| image["action"] == "keep" || image["action"] == "blocked";
        assert!(report["images"].as_array().unwrap().iter().all(idle), "{report}");
        exchange(cloud.addr, "DELETE", "/_sim/faults", "");
    }
    assert!(cloud.calls("DeleteImage", None).is_empty());
    let report = prune(&host, &[]);
    assert_eq!(report.values().filter(|image| image["action"] == "delete").count(), 2);
}

/// An instance that allows no image does not concern existing images, and a person can pass over a failed image.
#[test]
fn a_failure_for_another_cause_than_the_image_blocks_no_deletion_and_a_person_can_pass_over_one() {
    let cloud = Cloud::start();
    let (host, good) = two_good_images_before_a_bad_one(&cloud);
    assert_eq!(host.bake("golden")["cause"], "image");
    cloud.add_faults(
        "[[fault]]\naction = \"CreateImageByInstance\"\ncode = \"Instance.ImageUnsupported\"\nstatus = 400\n",
    );
    assert_eq!(host.bake("golden")["cause"], "instance");
    assert_eq!(prune(&host, &[])[&good[0]]["why"][0]["because"]["bake"], 3, "the failed image is the newest result");
    assert_eq!(prune(&host, &["--dry-run", "--despite-failed-bake"])[&good[0]]["action"], "delete");
    assert!(audited(&host, "prune despite failed bake").is_empty(), "a dry run does nothing");
    assert_eq!(prune(&host, &["--despite-failed-bake"])[&good[0]]["action"], "delete");
    assert_eq!((status(&cloud, &good[0]), status(&cloud, &good[1])), ("DELETE".to_owned(), "AVAILABLE".to_owned()));
    let audit = audited(&host, "prune despite failed bake");
    assert!(audit.len() == 1 && audit[0].contains("bake 3 of golden"), "{audit:?}");

    // After a good image only the instance fails: the old image is deleted without a confirmation.
    host.bake("golden");
    cloud.add_faults(
        "[[fault]]\naction = \"CreateImageByInstance\"\ncode = \"Instance.ImageUnsupported\"\nstatus = 400\n",
    );
    assert_eq!(host.bake("golden")["cause"], "instance");
    assert_eq!(prune(&host, &[])[&good[1]]["action"], "delete");
    assert_eq!(status(&cloud, &good[1]), "DELETE");
}

/// A vetoed image is not good: the newest image without a veto is the last good one.
#[test]
fn the_last_good_image_is_the_newest_without_a_veto() {
    let cloud = Cloud::start();
    let rules = KEEP_TWO.replace("last = 2, grace = \"1s\"", "last = 1, grace = \"0s\"");
    let (host, images) = baked(&cloud, &rules, 3);
    host.expect(0, &["veto", &images[2], "--reason", "no sound"]);
    let report = prune(&host, &[]);
    assert_eq!(why(&report[&images[2]]), ["rule"]);
    assert_eq!(why(&report[&images[1]]), ["channel", "last_good"]);
    assert_eq!(report[&images[0]]["action"], "delete");
    let (out, _) = host.expect(0, &["prune", "--dry-run"]);
    assert_eq!(out.matches("newest good image").count(), 1, "{out}");
    // No good image is left: a problem, whether or not a slot has failed since.
    host.expect(0, &["veto", &images[1], "--reason", "no sound either"]);
    let wanted = |health: &str| health.contains("no_good_image") && health.contains(r#""verdict":"problem""#);
    eventually("it is a problem", || Some(problems(&host)).filter(|health| wanted(health)));
    cloud.add_faults(
        "[[fault]]\naction = \"CreateImageByInstance\"\ncode = \"Instance.ImageUnsupported\"\nstatus = 400\n",
    );
    assert_eq!(host.bake("golden")["state"], "failed");
    assert!(wanted(&problems(&host)), "{}", problems(&host));
    host.expect(0, &["unveto", &images[1]]);
    eventually("it has one", || (!problems(&host).contains("no_good_image")).then_some(()));
}

/// The quota is full of images that no rule wants: they are deleted, and the bake of the night succeeds.
#[test]
fn a_full_image_quota_is_met_by_one_pass_and_the_bake_is_tried_again() {
    let cloud =
        Cloud::with(&["--open", "--build-time", "300ms", "--power-time", "200ms", "--builders", "50", "--images", "4"]);
    let rules = KEEP_TWO.replace("last = 2, grace = \"1s\"", "last = 1, grace = \"0s\"");
    // Because of the quota alone no bake would try for an hour.
    let more = "stop_instance = \"required\"\nmax_downtime = \"1s\"\nretry = { cap = \"1h\" }\n";
    let mut host = Host::new(cloud.addr, &format!("{rules}{more}"));
    host.start();
    // The first pass found nothing, the next regular one comes in an hour.
    let images: Vec<_> = (0..4).map(|_| host.bake("golden")["image_id"].as_str().unwrap().to_owned()).collect();
    host.expect(0, &["pin", &images[0]]);
    let stops = cloud.calls("StopDesktops", None).len();
    let bake = host.bake("golden");
    assert_eq!(bake["state"], "succeeded", "{bake}");
    let reason = bake["reason"].as_str().unwrap();
    assert!(reason.contains("the instance was started again") && reason.contains("QuotaExceeded.Image"), "{reason}");
    assert_eq!(cloud.calls("StopDesktops", None).len(), stops + 2, "it ran while the images were deleted");
    // The pinned image and the last good image remain.
    let left = images.iter().map(|image| status(&cloud, image)).collect::<Vec<_>>();
    assert_eq!(left, ["AVAILABLE", "DELETE", "DELETE", "AVAILABLE"]);
    assert_eq!(audited(&host, "delete").len(), 2);
}

#[test]
fn an_image_that_is_gone_does_not_count_and_one_that_went_with_the_call_is_deleted() {
    let cloud = Cloud::start();
    let rules = KEEP_TWO.replace("last = 2, grace = \"1s\"", "last = 1, min = 2, grace = \"0s\"");
    let (host, images) = baked(&cloud, &rules, 4);
    // The newest image but one was deleted externally; two good ones must remain.
    control(&cloud, "images", &json!({"image_id": images[2], "deleted": true}));
    cloud.add_faults("[[fault]]\naction = \"DeleteImage\"\ndrop = \"after\"\n");
    let report = prune(&host, &[]);
    assert_eq!(why(&report[&images[1]])[0], "rule");
    assert_eq!(why(&report[&images[2]]), ["missing"]);
    // The response was lost and the image is deleted: a search detects it at once.
    assert_eq!(report[&images[0]]["action"], "delete");
    assert_eq!(status(&cloud, &images[0]), "DELETE");
    assert!(!prune(&host, &[]).contains_key(&images[0]));
    assert_eq!(cloud.calls("DeleteImage", None).len(), 1);
}

#[test]
fn a_removed_schedule_keeps_its_images_until_they_are_adopted() {
    let cloud = Cloud::start();
    let (host, images) = baked(&cloud, KEEP_TWO, 3);
    let other = "[[schedule]]\nname = \"silver\"\ninstance_id = \"ecd-2\"\ncron = \"@yearly\"\nkeep = { last = 1, grace = \"1h\" }\n";
    host.configure(cloud.addr, other);
    host.expect(0, &["reload"]);
    assert!(prune(&host, &[]).is_empty());
    let orphans = host.json(0, &["images", "--orphans"]);
    assert_eq!(orphans["images"].as_array().unwrap().len(), 3);
    control(
        &cloud,
        "images",
        &json!({"image_id": "imgc-found", "image_name": "old-golden-7", "tags": {"made": "by hand"}}),
    );

    host.expect(3, &["adopt", "golden", &images[0]]);
    host.expect(3, &["adopt", "silver", "imgc-nobody"]);
    host.expect(2, &["adopt", "silver"]);
    let report = host.json(0, &["adopt", "silver", "--tag", "imagebaked:line=golden", "--dry-run"]);
    assert_eq!(report["images"].as_array().unwrap().len(), 3);
    assert_eq!(host.json(0, &["images", "--orphans"])["images"].as_array().unwrap().len(), 3, "that was a rehearsal");
    let report = host.json(0, &["adopt", "silver", "--tag", "imagebaked:line=golden"]);
    assert!(report["images"].as_array().unwrap().iter().all(|image| image["ours"] == true), "{report}");
    let report = host.json(0, &["adopt", "silver", "--name", "old-golden-*"]);
    assert_eq!((&report["images"][0]["version"], &report["images"][0]["ours"]), (&json!(4), &json!(false)));
    host.expect(1, &["adopt", "silver", "imgc-found"]);
    assert!(host.json(0, &["images", "--orphans"])["images"].as_array().unwrap().is_empty());

    // The line does not adopt an image of another kind of machine, and an adopted image is not newer by its version.
    control(&cloud, "images", &json!({"image_id": "imgc-ws", "product_type": "WuyingServer"}));
    let report = host.json(1, &["adopt", "silver", "imgc-ws"]);
    assert!(report["images"][0]["obstacle"].as_str().unwrap().contains("WuyingServer"), "{report}");
    let latest = || host.json(0, &["images", "--channel", "latest"])["images"][0]["image_id"].clone();
    eventually("the newest by its slot is the latest", || (latest() == images[2].as_str()).then_some(()));

    // Rules count only images of this owner; the foreign one has no effect.
    let report = prune(&host, &["--dry-run"]);
    assert_eq!(why(&report["imgc-found"]), ["not_ours"]);
    assert_eq!(why(&report[&images[2]]), ["channel", "last_good", "rule"]);
    assert_eq!(report[&images[0]]["action"], "mark");
    // Its versions continue after all of them.
    assert_eq!(host.bake("silver")["version"], 5);
}

#[test]
fn a_line_of_the_file_gives_no_image_away() {
    let cloud = Cloud::start();
    let (host, images) = baked(&cloud, KEEP_TWO, 2);
    let other = "[[schedule]]\nname = \"silver\"\ninstance_id = \"ecd-2\"\ncron = \"@yearly\"\nkeep = { last = 1, grace = \"0s\" }\n";
    host.configure(cloud.addr, &format!("{KEEP_TWO}{other}"));
    host.expect(0, &["reload"]);
    let report = host.json(1, &["adopt", "silver", "--name", "*"]);
    let refused = report["images"].as_array().unwrap();
    assert_eq!(refused.len(), images.len());
    for image in refused {
        assert!(image["obstacle"].as_str().unwrap().contains("golden, which is in the file"), "{report}");
    }
}

/// Two images are to be deleted, one stays, wherever the daemon is killed meanwhile.
#[test]
fn a_kill_at_any_point_of_a_deletion_takes_what_goes_and_no_more() {
    std::thread::scope(|scope| {
        for point in DELETION_POINTS {
            scope.spawn(move || {
                let cloud = Cloud::start();
                let rules = KEEP_TWO.replace("last = 2, grace = \"1s\"", "last = 1, grace = \"200ms\"");
                let (mut host, images) = baked(&cloud, &rules.replace("keep =", "# keep ="), 3);
                host.stop();
                // At the second pass one image is deleted already.
                for passing in [1, 2] {
                    host.configure(cloud.addr, &rules);
                    host.launch(&format!("{point}:{passing}"));
                    eventually("the daemon is killed, or has nothing left to do", || {
                        (host.has_died()
                            || status(&cloud, &images[0]) == "DELETE" && status(&cloud, &images[1]) == "DELETE")
                            .then_some(())
                    });
                    host.kill();
                }
                host.launch("");
                eventually("both are deleted, and the history knows", || {
                    let output = host.run(&["images", "--json"]);
                    let report: Value = serde_json::from_slice(&output.stdout).ok()?;
                    let left = report["images"].as_array()?;
                    (left.len() == 1 && left[0]["image_id"] == images[2].as_str()).then_some(())
                });
                assert_eq!(
                    images.iter().map(|image| status(&cloud, image)).collect::<Vec<_>>(),
                    ["DELETE", "DELETE", "AVAILABLE"],
                    "{point}"
                );
            });
        }
    });
}

/// The audit's lines of an action.
fn audited(host: &Host, action: &str) -> Vec<String> {
    let report = host.json(0, &["audit"]);
    let entries = report["audit"].as_array().unwrap().iter();
    entries
        .filter(|entry| entry["action"] == action)
        .map(|entry| format!("{}: {}", entry["who"].as_str().unwrap(), entry["detail"].as_str().unwrap()))
        .collect()
}

fn image_row(host: &Host, image: &str) -> Value {
    let report = host.json(0, &["images"]);
    let found = report["images"].as_array().unwrap().iter().find(|row| row["image_id"] == image);
    assert!(found.is_some(), "{image}: {report}");
    found.unwrap().clone()
}

fn no_more_faults(cloud: &Cloud) {
    exchange(cloud.addr, "DELETE", "/_sim/faults", "");
}

/// Lists by id and scans fail from now on; so do lists with the image.
const NO_LISTS: &str = "[[fault]]\naction = \"ListImage\"\ntimes = 0\ncode = \"ServiceUnavailable\"\nstatus = 503\n";

#[test]
fn an_image_whose_deletion_is_unclear_is_promised_to_nobody_and_was_deleted_by_us() {
    let cloud = Cloud::start();
    let rules = KEEP_TWO.replace("last = 2, grace = \"1s\"", "last = 1, grace = \"0s\"");
    let (mut host, images) = baked(&cloud, &rules, 2);
    // The first list by id, right before the call, works; no other does.
    cloud.add_faults("[[fault]]\naction = \"DeleteImage\"\ndrop = \"after\"\n");
    cloud.add_faults(&NO_LISTS.replace("times = 0", "nth = 3\ntimes = 0"));
    let report = host.json(0, &["prune"]);
    let report =
        report["images"].as_array().unwrap().iter().find(|image| image["image_id"] == images[0].as_str()).unwrap();
    assert_eq!(report["action"], "search", "{report}");
    assert_eq!(status(&cloud, &images[0]), "DELETE");
    for _ in 0..2 {
        let (_, report) = host.expect(1, &["pin", &images[0]]);
        assert!(report.contains("whether the cloud deleted it is not known yet"), "{report}");
        let (_, report) = host.expect(1, &["undelete", &images[0]]);
        assert!(report.contains("whether the cloud deleted it is not known yet"), "{report}");
        assert_eq!(image_row(&host, &images[0])["deletion"], "deleting");
        // A failing scan or a restart changes nothing.
        let report = host.json(1, &["prune"]);
        assert!(report["problem"].as_str().unwrap().contains("ServiceUnavailable"), "{report}");
        host.kill();
        host.start();
    }
    no_more_faults(&cloud);
    eventually("a search has found it gone", || {
        let report = host.json(0, &["images"]);
        (report["images"].as_array().unwrap().len() == 1).then_some(())
    });
    let deleted = audited(&host, "deleted");
    assert!(deleted.len() == 1 && deleted[0].contains(&images[0]), "{deleted:?}");
    assert!(audited(&host, "vanished").is_empty());
    let (_, report) = host.expect(1, &["pin", &images[0]]);
    assert!(report.contains("is deleted since"), "{report}");
    assert_eq!(cloud.calls("DeleteImage", None).len(), 1);
}

#[test]
fn a_delete_call_that_was_lost_on_its_way_is_repeated_after_a_search_and_a_fresh_judgement() {
    let cloud = Cloud::start();
    let rules = KEEP_TWO.replace("last = 2, grace = \"1s\"", "last = 1, grace = \"0s\"");
    let (host, images) = baked(&cloud, &rules, 2);
    cloud.add_faults("[[fault]]\naction = \"DeleteImage\"\ndrop = \"before\"\ntimes = 2\n");
    assert_eq!(prune(&host, &[])[&images[0]]["action"], "search");
    host.expect(1, &["pin", &images[0]]);
    eventually("it was deleted at the third call", || (status(&cloud, &images[0]) == "DELETE").then_some(()));
    eventually("the history knows", || {
        (host.json(0, &["images"])["images"].as_array().unwrap().len() == 1).then_some(())
    });
    assert_eq!((cloud.calls("DeleteImage", None).len(), audited(&host, "delete").len()), (3, 3));
    assert_eq!(audited(&host, "deleted").len(), 1);
}

#[test]
fn a_blocker_makes_a_deletion_wait_and_takes_no_mark_back() {
    let cloud = Cloud::start();
    let (mut host, images) = baked(&cloud, &KEEP_TWO.replace("1s", "4s"), 3);
    assert_eq!(prune(&host, &[])[&images[0]]["action"], "mark");
    let delete_after = image_row(&host, &images[0])["delete_after"].clone();
    let is_marked_still = |host: &Host| {
        let row = image_row(host, &images[0]);
        assert_eq!((&row["deletion"], &row["delete_after"]), (&json!("marked"), &delete_after), "{row}");
    };
    // The image is in use, the lists fail, the daemon is killed. The grace continues.
    control(&cloud, "groups", &json!({"group_id": "aig-1", "image_id": images[0]}));
    let report = prune(&host, &[]);
    assert_eq!((&report[&images[0]]["action"], why(&report[&images[0]])), (&json!("blocked"), vec!["in_use"]));
    is_marked_still(&host);
    for action in ["ListImage", "ListAppInstanceGroup"] {
        cloud.add_faults(&NO_LISTS.replace("ListImage", action));
        host.json(1, &["prune"]);
        is_marked_still(&host);
        no_more_faults(&cloud);
    }
    host.kill();
    host.start();
    is_marked_still(&host);
    control(&cloud, "images", &json!({"image_id": images[0], "tags": {"team": "others"}}));
    eventually("its time has come", || {
        (prune(&host, &["--dry-run", "--ask-cloud"])[&images[0]]["action"] == "blocked").then_some(())
    });
    let row = image_row(&host, &images[0]);
    let until = row["delete_after"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    eventually("the grace is over", || (SystemClock.now() > until).then_some(()));
    prune(&host, &[]);
    is_marked_still(&host);
    assert!(cloud.calls("DeleteImage", None).is_empty());
    // Its user disappears, and its tags return.
    let tags: Value = cloud.images("ecd-1")[1]["tags"].clone();
    control(&cloud, "images", &json!({"image_id": images[0], "tags": tags}));
    control(&cloud, "groups", &json!({"group_id": "aig-1", "image_id": images[2]}));
    assert_eq!(prune(&host, &[])[&images[0]]["action"], "delete");
    assert_eq!(status(&cloud, &images[0]), "DELETE");
    // Rules that want it again remove the mark.
    host.bake("golden");
    assert_eq!(prune(&host, &[])[&images[1]]["action"], "mark");
    host.configure(cloud.addr, &KEEP_TWO.replace("last = 2", "last = 9"));
    host.expect(0, &["reload"]);
    assert_eq!(prune(&host, &[])[&images[1]]["action"], "unmark");
}

#[test]
fn a_preview_goes_by_the_rules_in_force_where_the_file_is_refused() {
    let cloud = Cloud::start();
    let (host, images) = baked(&cloud, KEEP_TWO, 3);
    let expect_its_end = |from: &str| {
        let report = host.json(0, &["prune", "--dry-run"]);
        assert_eq!(report["of"], from, "{report}");
        let all = report["images"].as_array().unwrap();
        let oldest = all.iter().find(|image| image["image_id"] == images[0]).unwrap();
        assert!(oldest["action"].as_str().unwrap().starts_with("mark"), "{oldest}");
    };
    expect_its_end("history");
    let file = std::fs::read_to_string(host.path("imagebaked.toml")).unwrap();
    std::fs::write(host.path("imagebaked.toml"), format!("{file}\ncron = \"61 * * * *\"\n")).unwrap();
    expect_its_end("history");
}

/// Which images are deleted next, by every command that says so.
fn to_be_deleted(host: &Host, bake: &str) -> Vec<Vec<String>> {
    let going = |images: &Value, verdict: &str| -> Vec<String> {
        let images = images.as_array().unwrap().iter().filter(|image| image.pointer(verdict) == Some(&json!("goes")));
        images.map(|image| image["image_id"].as_str().unwrap().to_owned()).collect()
    };
    let shown = host.json(0, &["show", bake]);
    vec![
        going(&host.json(0, &["prune", "--dry-run"])["images"], "/verdict"),
        going(&host.json(0, &["plan"])["images"], "/verdict"),
        going(&host.json(0, &["plan", "golden"])["images"], "/verdict"),
        going(&host.json(0, &["images"])["images"], "/retention/verdict"),
        going(&json!([shown]), "/retention/verdict"),
    ]
}

#[test]
fn all_answers_about_deletions_go_by_the_rules_in_force_whatever_the_file_has() {
    let cloud = Cloud::start();
    let (host, images) = baked(&cloud, KEEP_TWO, 3);
    let bake = host.rows().iter().find(|row| row["image_id"] == images[0]).unwrap()["id"].to_string();
    let expected = vec![vec![images[0].clone()]; 5];
    assert_eq!(to_be_deleted(&host, &bake), expected);
    let path = host.path("imagebaked.toml");
    let file = std::fs::read_to_string(&path).unwrap();
    let edited = file.replace("last = 2", "last = 9");
    let without_rules: String =
        file.lines().filter(|line| !line.starts_with("keep")).map(|line| format!("{line}\n")).collect();
    for text in [edited, without_rules, format!("{file}\ncron = \"61 * * * *\"\n"), format!("{file}\n[[[\n= 3\n")] {
        assert_ne!(text, file);
        std::fs::write(&path, &text).unwrap();
        assert_eq!(to_be_deleted(&host, &bake), expected, "{text}");
        for command in [&["prune", "--dry-run"][..], &["plan"], &["images"], &["show", &bake]] {
            let (_, err) = host.expect(0, command);
            assert!(err.contains("is not in force"), "{command:?} with {text}: {err}");
        }
    }
}

#[test]
fn a_preview_names_the_lines_that_no_rules_delete_from() {
    let cloud = Cloud::start();
    let without = "[[schedule]]\nname = \"silver\"\ninstance_id = \"ecd-2\"\ncron = \"0 3 1 1 *\"\n";
    let (host, _) = baked(&cloud, &format!("{KEEP_TWO}{without}"), 1);
    host.bake("silver");
    let (out, _) = host.expect(0, &["prune", "--dry-run"]);
    assert!(out.contains("no rules (`keep`) for them: 1 image of silver."), "{out}");
    let report = host.json(0, &["prune", "--dry-run"]);
    assert_eq!(report["without_rules"], json!([{ "line": "silver", "images": 1 }]));
}

fn problems(host: &Host) -> String {
    let output = host.run(&["status", "--json"]);
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["health"].to_string()
}

#[test]
fn an_edit_that_wants_less_than_half_waits_for_a_persons_word() {
    let cloud = Cloud::start();
    let rules = |last: u32| KEEP_TWO.replace("last = 2, grace = \"1s\"", &format!("last = {last}, grace = \"1s\""));
    let config = |text: &str| format!("prune_interval = \"1s\"\n{text}");
    let mut host = Host::new(cloud.addr, &rules(9));
    // `[daemon]` comes first in the file.
    let configure = |host: &Host, last: u32| {
        host.configure(cloud.addr, &rules(last));
        let path = host.path("imagebaked.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("[daemon]\n", &format!("[daemon]\n{}", config("")), 1)).unwrap();
    };
    configure(&host, 9);
    host.start();
    let images: Vec<String> = (0..6).map(|_| host.bake("golden")["image_id"].as_str().unwrap().to_owned()).collect();
    let there = |n: usize| {
        let images = cloud.images("ecd-1");
        let good = images.iter().filter(|image| image["status"] == "AVAILABLE").count();
        assert_eq!(good, n);
    };
    // Six exist, four are not wanted any more: first a dry run, then a real pass.
    configure(&host, 2);
    host.expect(0, &["reload"]);
    eventually("the brake holds", || problems(&host).contains("golden").then_some(()));
    let report = problems(&host);
    assert!(report.contains("4 of 6 good images of golden") && report.contains("more than half"), "{report}");
    let (out, _) = host.expect(0, &["prune", "--dry-run"]);
    assert!(out.contains("needs confirmation") && out.contains("4 of 6 good images of golden"), "{out}");
    let (out, _) = host.expect(0, &["plan"]);
    assert!(out.contains("4 of 6 good images of golden") && out.contains("prune --confirm"), "{out}");
    let report = host.json(0, &["prune"]);
    assert_eq!(report["brakes"][0]["scope"], "line");
    assert!(report["images"].as_array().unwrap().iter().all(|image| image["action"] != "delete"), "{report}");
    host.kill();
    host.start();
    assert!(problems(&host).contains("4 of 6 good images of golden"), "it survives a restart");
    there(6);
    assert!(cloud.calls("DeleteImage", None).is_empty());
    // The problem ends when no limit is exceeded, and returns with the next one.
    configure(&host, 4);
    host.expect(0, &["reload"]);
    eventually("two went without a word", || (cloud.calls("DeleteImage", None).len() == 2).then_some(()));
    eventually("nothing is held", || (!problems(&host).contains("good images of golden")).then_some(()));
    // Two of six were deleted today, two more are more than half.
    configure(&host, 2);
    host.expect(0, &["reload"]);
    eventually("a trickle meets it, too", || problems(&host).contains("deleted 2 in the last 24 hours").then_some(()));
    there(4);
    let report = prune(&host, &["--confirm"]);
    assert_eq!(report[&images[2]]["action"], "delete");
    there(2);
    eventually("all is well", || (!problems(&host).contains("good images of golden")).then_some(()));
    let confirmed = audited(&host, "confirm deletions");
    assert!(
        confirmed.len() == 1 && confirmed[0].contains(&images[3]) && confirmed[0].contains("golden"),
        "{confirmed:?}"
    );
}

#[test]
fn nights_never_meet_the_brake_and_the_operators_own_limit_holds_all() {
    let cloud = Cloud::start();
    let schedule = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"* * * * * *\"\noverlap = \"skip\"\n\
                    keep = { last = 1, grace = \"0s\" }\n";
    let host = Host::new(cloud.addr, schedule);
    let write = |limit: &str| {
        host.configure(cloud.addr, schedule);
        let path = host.path("imagebaked.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let daemon = format!("[daemon]\nprune_interval = \"1s\"\n{limit}");
        std::fs::write(&path, text.replacen("[daemon]\n", &daemon, 1)).unwrap();
    };
    write("");
    let mut host = host;
    host.start();
    eventually("seven nights have passed", || (cloud.calls("DeleteImage", None).len() >= 7).then_some(()));
    assert!(!problems(&host).contains("retention would delete"), "{}", problems(&host));
    let path = host.path("imagebaked.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("[daemon]\n", "[daemon]\nmax_deletions = 0\n", 1)).unwrap();
    host.expect(0, &["reload"]);
    eventually("the limit holds", || problems(&host).contains("more than max_deletions (0)").then_some(()));
    host.stop();
}

#[test]
fn images_that_failed_are_shown_and_those_that_nobody_knows_too() {
    let cloud = Cloud::start();
    let once = KEEP_TWO.replacen("cron =", "retry = { rebakes = 0 }\ncron =", 1);
    let (host, images) = baked(&cloud, &once, 2);
    cloud.add_faults("[[fault]]\naction = \"CreateImageByInstance\"\nimage = \"CREATE_FAILED\"\n");
    let failed = host.bake("golden");
    let id = failed["image_id"].as_str().unwrap();
    let tags =
        |slot: &str| json!({"imagebaked:owner": "imagebaked", "imagebaked:line": "golden", "imagebaked:slot": slot});
    control(
        &cloud,
        "images",
        &json!({"image_id": "imgc-strange", "image_name": "golden-x", "status": "CREATE_FAILED", "tags": tags("2026-01-01T00:00:00Z")}),
    );
    let of = |report: &Value, id: &str| {
        let images = report["images"].as_array().unwrap();
        images.iter().find(|image| image["image_id"] == id).cloned()
    };
    let report = host.json(0, &["images", "--failed"]);
    assert_eq!(of(&report, id).unwrap()["bake"], failed["id"], "{report}");
    // The list of the next pass has both.
    let pruned = host.json(0, &["prune", "--dry-run", "--ask-cloud"]);
    assert_eq!(pruned["failed"].as_array().unwrap().len(), 2, "{pruned}");
    let report = host.json(0, &["images", "--failed"]);
    let (known, strange) = (of(&report, id).unwrap(), of(&report, "imgc-strange").unwrap());
    assert_eq!((&known["action"], &known["in_history"]), (&json!("wait"), &json!(true)), "{known}");
    assert_eq!((&strange["action"], &strange["in_history"]), (&json!("keep"), &json!(false)), "{strange}");
    let (out, _) = host.expect(0, &["images", "--failed"]);
    assert!(out.contains("the history does not know it") && out.contains("wait, deleted not before"), "{out}");
    let report = host.json(1, &["reconcile"]);
    assert!(report["failed"].to_string().contains(id), "{report}");
    // Failed images do not count as good ones.
    assert!(of(&host.json(0, &["images"]), id).is_none());
    prune(&host, &[]);
    assert_eq!(status(&cloud, id), "CREATE_FAILED");
    assert!(images.iter().all(|image| status(&cloud, image) == "AVAILABLE"));
}
