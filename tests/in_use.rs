//! Users of images, checked from outside: matched by any id or by name, for every kind of user; and false lists, which
//! must have no effect.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not recognised as tests")]

mod support;

use serde_json::{Value, json};
use support::{Cloud, Host, eventually, exchange};

/// Only the newest image is kept by its rules, and others are deleted at once. The configuration has workstations only;
/// desktops can still use its images.
const KEEP_ONE: &str = r#"
[[schedule]]
name = "golden"
instance_id = "ws-1"
cron = "@yearly"
keep = { last = 1, grace = "0s" }
"#;

/// The calls that list the users of images.
const CALLS: [&str; 6] = [
    "DescribeDesktops",
    "ListWuyingServer",
    "ListAppInstanceGroup",
    "DescribeDesktopGroups",
    "DescribeBundles",
    "DescribeTemplates",
];

const LIES: [&str; 12] = [
    "damaged_ids",
    "null",
    "missing",
    "empty",
    "short",
    "no_ids",
    "no_image_ids",
    "wrong_type",
    "wrong_rows",
    "same_page",
    "same_token",
    "growing",
];

fn control(cloud: &Cloud, what: &str, body: &Value) {
    let answer = exchange(cloud.addr, "POST", &format!("/_sim/{what}"), &body.to_string());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn clear_faults(cloud: &Cloud) {
    exchange(cloud.addr, "DELETE", "/_sim/faults", "");
}

/// A cloud without protection: it deletes whatever the daemon requests.
fn unkind() -> Cloud {
    let cloud = Cloud::start();
    control(&cloud, "deletes_in_use", &json!(true));
    cloud
}

/// A host with a daemon that has baked the line `n` times, without an inventory scan; the oldest image first.
fn baked(cloud: &Cloud, schedules: &str, n: usize) -> (Host, Vec<String>) {
    let without_rules: String =
        schedules.lines().filter(|line| !line.starts_with("keep")).collect::<Vec<_>>().join("\n");
    let mut host = Host::new(cloud.addr, &without_rules);
    host.start();
    let images = (0..n).map(|_| host.bake("golden")["image_id"].as_str().unwrap().to_owned()).collect();
    host.stop();
    host.configure(cloud.addr, schedules);
    (host, images)
}

/// Adds a user of the image that only this call lists.
fn put_user(cloud: &Cloud, action: &str, image: &str) {
    match action {
        "DescribeDesktops" => {
            control(
                cloud,
                "instances",
                &json!({"instance_id": "ecd-9", "instance_type": "CloudDesktop", "image_id": image}),
            );
        }
        "ListWuyingServer" => {
            control(
                cloud,
                "instances",
                &json!({"instance_id": "ws-9", "instance_type": "WuyingServer", "image_id": image}),
            );
        }
        "ListAppInstanceGroup" => control(cloud, "groups", &json!({"group_id": "aig-9", "image_id": image})),
        "DescribeDesktopGroups" => control(cloud, "pools", &json!({"pool_id": "dg-9", "image_id": image})),
        "DescribeBundles" => {
            control(cloud, "bundles", &json!({"bundle_id": "b-9", "image_id": image, "multi_session": true}));
        }
        _ => control(cloud, "templates", &json!({"template_id": "t-9", "image_id": image})),
    }
}

fn status(cloud: &Cloud, image: &str) -> String {
    let state = cloud.state();
    let images = state["images"].as_array().unwrap();
    images.iter().find(|seen| seen["image_id"] == image).unwrap()["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_list_that_lies_deletes_nothing() {
    let cloud = unkind();
    let (mut host, images) = baked(&cloud, KEEP_ONE, 3);
    // Before the first scan of the daemon: one user of each kind, of the oldest image.
    for action in CALLS {
        put_user(&cloud, action, &images[0]);
    }
    start_without_a_whole_pass(&mut host, &cloud);
    let mut tried = 0;
    for action in ["ListImage", "DescribeImages"].into_iter().chain(CALLS) {
        for lie in LIES {
            clear_faults(&cloud);
            let plan = format!(r#"{{"fault":[{{"action":"{action}","times":0,"list":"{lie}"}}]}}"#);
            if !exchange(cloud.addr, "POST", "/_sim/faults", &plan).starts_with("HTTP/1.1 200") {
                // This list cannot be false in this way: it has no count, or no tokens.
                continue;
            }
            let before = cloud.calls(action, None).len();
            let report = host.json(1, &["prune"]);
            let problem = report["problem"].as_str().unwrap_or_else(|| panic!("{action} {lie}: {report}"));
            assert!(problem.contains("ListIncomplete") && problem.contains(action), "{action} {lie}: {problem}");
            assert!(
                report["images"].as_array().unwrap().iter().all(|image| image["action"] == "keep"),
                "{action} {lie}"
            );
            assert!(cloud.calls(action, None).len() - before <= 20, "{action} {lie} is followed for long");
            tried += 1;
        }
    }
    assert!(tried >= 60, "{tried}");
    assert!(cloud.calls("DeleteImage", None).is_empty());
    // A user whose image cannot be read may use any; one whose name cannot be read costs nothing but that.
    for action in CALLS {
        clear_faults(&cloud);
        cloud.add_faults(&format!(r#"{{"fault":[{{"action":"{action}","times":0,"list":"damaged_image_ids"}}]}}"#));
        let report = host.json(0, &["prune"]);
        for image in &images {
            assert_eq!(judged(&report, image)["action"], "keep", "{action}: {report}");
        }
        assert!(!used_by(&report, &images[1]).is_empty(), "{action}: {report}");
    }
    assert!(cloud.calls("DeleteImage", None).is_empty());
    clear_faults(&cloud);
    for action in ["ListImage", "DescribeImages"].into_iter().chain(CALLS) {
        cloud.add_faults(&format!(r#"{{"fault":[{{"action":"{action}","times":0,"list":"damaged_names"}}]}}"#));
    }

    // With true lists the image in use stays, and the other one is deleted.
    let report = host.json(0, &["prune"]);
    assert_eq!(cloud.calls("DeleteImage", None).len(), 1, "{report}");
    assert_eq!([status(&cloud, &images[0]), status(&cloud, &images[1])], ["AVAILABLE", "DELETE"]);
}

/// The line of `prune` for an image.
fn judged(report: &Value, image: &str) -> Value {
    let images = report["images"].as_array().unwrap().iter();
    images.clone().find(|judged| judged["image_id"] == image).unwrap_or_else(|| panic!("{image}: {report}")).clone()
}

fn used_by(report: &Value, image: &str) -> Vec<String> {
    let judged = judged(report, image);
    let why = judged["why"].as_array().into_iter().flatten().find(|why| why["why"] == "in_use").cloned();
    let by = why.unwrap_or_else(|| panic!("not in use: {judged}"))["by"].clone();
    serde_json::from_value(by).unwrap()
}

#[test]
fn an_image_is_in_use_by_whatever_name_and_by_whatever_kind() {
    let cloud = unkind();
    let (mut host, images) = baked(&cloud, KEEP_ONE, 12);
    let state = cloud.state();
    let name = |n: usize| {
        let all = state["images"].as_array().unwrap();
        all.iter().find(|image| image["image_id"] == images[n]).unwrap()["image_name"].clone()
    };
    let desktop = |id: &str| json!({"instance_id": id, "instance_type": "CloudDesktop"});
    let with = |mut spec: Value, more: Value| {
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    // By the id of the image service: a pooled desktop, a workstation, a delivery group.
    control(&cloud, "instances", &with(desktop("ecd-0"), json!({"image_id": images[0], "pool_id": "dg-0"})));
    put_user(&cloud, "ListWuyingServer", &images[1]);
    put_user(&cloud, "ListAppInstanceGroup", &images[2]);
    // By the id of the desktop service, which lists no name: a pool without desktops, a template, a bundle.
    for (n, id) in [(3, "m-3"), (4, "m-4"), (5, "m-5")] {
        control(&cloud, "images", &json!({"image_id": images[n], "desktop_image_id": id}));
    }
    put_user(&cloud, "DescribeDesktopGroups", "m-3");
    put_user(&cloud, "DescribeTemplates", "m-4");
    put_user(&cloud, "DescribeBundles", "m-5");
    // By name only, with an unknown id: a desktop, a workstation, a bundle.
    control(&cloud, "instances", &with(desktop("ecd-6"), json!({"image_id": "m-x6", "image_name": name(6)})));
    let workstation = json!({"instance_id": "ws-7", "instance_type": "WuyingServer"});
    control(&cloud, "instances", &with(workstation, json!({"image_id": "m-x7", "image_name": name(7)})));
    control(&cloud, "bundles", &json!({"bundle_id": "b-8", "image_id": "m-x8", "image_name": name(8)}));
    // A pool, by the id that a desktop lists with the name.
    control(&cloud, "pools", &json!({"pool_id": "dg-8", "image_id": "m-x8"}));
    // A user of another image with a similar name does not count, nor does a deleted user.
    control(&cloud, "instances", &with(desktop("ecd-9"), json!({"image_id": "m-x9", "image_name": "golden"})));
    let gone = json!({"image_id": images[10], "status": "Deleted"});
    control(&cloud, "instances", &with(desktop("ecd-10"), gone));

    host.start();
    let report = eventually("all that goes has gone", || {
        let report = host.json(0, &["prune"]);
        (report["images"].as_array().unwrap().len() == 10).then_some(report)
    });
    let expected: [&[&str]; 9] = [
        &["ecd-0"],
        &["ws-9"],
        &["aig-9"],
        &["pool dg-9"],
        &["template t-9"],
        &["bundle b-9"],
        &["ecd-6"],
        &["ws-7"],
        &["pool dg-8", "bundle b-8"],
    ];
    for (image, expected) in images.iter().zip(expected) {
        assert_eq!(used_by(&report, image), expected, "{image}");
        assert_eq!(status(&cloud, image), "AVAILABLE");
    }
    assert_eq!(status(&cloud, &images[9]), "DELETE");
    assert_eq!(status(&cloud, &images[10]), "DELETE");
    assert_eq!(cloud.calls("DeleteImage", None).len(), 2);
}

/// Starts the daemon, and returns once its own passes are over, of which none has seen true lists: one that waited for the
/// comparison with the cloud comes as soon as that has ended.
fn start_without_a_whole_pass(host: &mut Host, cloud: &Cloud) {
    const HELD: &str = r#"{"action":"DescribeTemplates","times":0,"list":"null"}"#;
    cloud.add_faults(&format!(r#"{{"fault":[{{"action":"ListImage","times":0,"list":"null"}},{HELD}]}}"#));
    host.start();
    let is_pending = |host: &Host| {
        let status: Value = serde_json::from_slice(&host.run(&["status", "--json"]).stdout).unwrap();
        let problems = status["health"]["problems"].as_array().unwrap();
        problems.iter().any(|problem| problem["code"] == "reconcile_pending")
    };
    eventually("the comparison has failed", || is_pending(host).then_some(()));
    host.json(1, &["prune"]);
    let scans = || cloud.calls("DescribeTemplates", None).len();
    let before = scans();
    clear_faults(cloud);
    cloud.add_faults(&format!(r#"{{"fault":[{HELD}]}}"#));
    eventually("the pass that waited has asked", || {
        // It wakes the comparison.
        host.run(&["reconcile"]);
        (!is_pending(host) && scans() > before).then_some(())
    });
    clear_faults(cloud);
}

/// A user may appear between the scan and the delete call: the second query finds each of them, under any id of its
/// list.
#[test]
fn a_user_that_comes_after_the_scan_is_seen_before_the_deletion() {
    let cloud = unkind();
    let (mut host, images) = baked(&cloud, KEEP_ONE, 2);
    control(&cloud, "images", &json!({"image_id": images[0], "desktop_image_id": "m-0"}));
    start_without_a_whole_pass(&mut host, &cloud);
    for (action, label) in CALLS.into_iter().zip(["ecd-9", "ws-9", "aig-9", "pool dg-9", "bundle b-9", "template t-9"])
    {
        // The last call of the scan has been executed, and its response is still pending.
        cloud.add_faults(r#"{"fault":[{"action":"DescribeBundles","delay":"1500ms"}]}"#);
        let before = cloud.calls("DescribeBundles", None).len();
        let pass = host.command(&["prune", "--json"]).stdout(std::process::Stdio::null()).spawn().unwrap();
        eventually("the scan has asked", || (cloud.calls("DescribeBundles", None).len() > before).then_some(()));
        put_user(&cloud, action, &images[0]);
        let _ = pass.wait_with_output().unwrap();
        assert!(cloud.calls("DescribeBundles", None).len() >= before + 2, "{action}: not asked again");
        assert!(cloud.calls("DeleteImage", None).is_empty(), "{action}");
        assert_eq!(used_by(&host.json(0, &["prune"]), &images[0]), [label]);
        match action {
            "DescribeDesktops" => {
                control(&cloud, "instances", &json!({"instance_id": "ecd-9", "instance_type": "CloudDesktop"}));
            }
            "ListWuyingServer" => {
                control(&cloud, "instances", &json!({"instance_id": "ws-9", "instance_type": "WuyingServer"}));
            }
            _ => put_user(&cloud, action, ""),
        }
    }
    // A false list in the second query blocks the deletion too.
    cloud.add_faults(r#"{"fault":[{"action":"DescribeTemplates","nth":2,"list":"null"}]}"#);
    host.json(0, &["prune"]);
    assert!(cloud.calls("DeleteImage", None).is_empty());
}

#[test]
fn users_are_listed_in_every_region_that_an_image_may_be_in() {
    let cloud = unkind();
    let rules = KEEP_ONE.replace("keep", "regions = [\"cn-beijing\"]\nkeep");
    let (mut host, images) = baked(&cloud, &rules, 3);
    eventually("the images are copied", || {
        let state = cloud.state();
        let copied = |id: &String| {
            let all = state["images"].as_array().unwrap();
            all.iter().any(|image| image["image_id"] == *id && image["regions"] == json!(["cn-beijing"]))
        };
        images.iter().all(copied).then_some(())
    });
    // The configuration does not have the region any more, only the history has.
    host.configure(cloud.addr, KEEP_ONE);
    for (kind, id, image) in [("pools", "dg-1", &images[0]), ("bundles", "b-1", &images[1])] {
        control(&cloud, kind, &json!({"id": id, "image_id": image, "region": "cn-beijing"}));
    }
    host.start();
    let report = host.json(0, &["prune"]);
    assert_eq!(used_by(&report, &images[0]), ["pool dg-1"]);
    assert_eq!(used_by(&report, &images[1]), ["bundle b-1"]);
    assert!(cloud.calls("DeleteImage", None).is_empty());
}

/// The cloud does not have the region, so it holds no image and hides no user.
#[test]
fn a_mistyped_region_stops_no_deletion() {
    let cloud = unkind();
    let mistyped = KEEP_ONE.replace("keep", "regions = [\"cn-hangzuo\"]\nkeep");
    let (mut host, images) = baked(&cloud, &mistyped, 3);
    put_user(&cloud, "DescribeDesktops", &images[1]);
    host.start();
    for bake in 1..=3 {
        eventually("the copy has failed", || {
            (host.show(&json!(bake))["distributions"][0]["state"] == "failed").then_some(())
        });
    }
    let report = host.json(0, &["prune"]);
    assert_eq!(used_by(&report, &images[1]), ["ecd-9"]);
    eventually("the image without a user is deleted", || (status(&cloud, &images[0]) == "DELETE").then_some(()));
    assert_eq!(status(&cloud, &images[1]), "AVAILABLE");
    let warning = "the cloud has no region cn-hangzuo, so no image is in use there: \
                   cn-hangzuo is mistyped (perhaps cn-hangzhou), correct `regions` in the configuration";
    let warnings = || host.log().matches(warning).count();
    assert!(warnings() > 0, "{}", host.log());

    // Once the file is corrected, the failed copies in the history add no region.
    host.configure(cloud.addr, KEEP_ONE);
    host.expect(0, &["reload"]);
    host.json(0, &["prune"]);
    let before = warnings();
    host.json(0, &["prune"]);
    assert_eq!(warnings(), before);
}

#[test]
fn a_kind_that_is_left_out_is_not_asked_and_that_is_on_record() {
    let cloud = unkind();
    let rules = format!("in_use = [\"desktops\", \"workstations\", \"pools\", \"bundles\"]\n{KEEP_ONE}");
    let (mut host, images) = baked(&cloud, &rules, 3);
    put_user(&cloud, "DescribeTemplates", &images[0]);
    put_user(&cloud, "DescribeDesktopGroups", &images[1]);
    for action in ["DescribeTemplates", "ListAppInstanceGroup"] {
        cloud.add_faults(&format!(r#"{{"fault":[{{"action":"{action}","times":0,"code":"Forbidden.RAM"}}]}}"#));
    }
    host.start();
    let report = host.json(0, &["prune"]);
    assert_eq!(used_by(&report, &images[1]), ["pool dg-9"]);
    eventually("the image is deleted", || (status(&cloud, &images[0]) == "DELETE").then_some(()));
    assert!(cloud.calls("DescribeTemplates", None).is_empty());
    // The cloud deleted the template with its image.
    assert_eq!(cloud.state()["templates"], json!([]));

    let words = "templates, delivery_groups are not listed as users before an image is deleted";
    let audit = host.json(0, &["audit", "--action", "in_use"]);
    assert!(audit.to_string().contains(words), "{audit}");
    let doctor = host.run(&["doctor", "--json"]);
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains(words), "{doctor}");

    // After a reload an added kind needs its permission again.
    host.configure(cloud.addr, KEEP_ONE);
    host.expect(0, &["reload"]);
    let report = host.json(1, &["prune"]);
    assert!(report["problem"].as_str().unwrap().contains("Forbidden.RAM"), "{report}");
}

/// False lists during a bake delay it and have no other effect.
#[test]
fn a_bake_outlives_lists_that_lie() {
    let cloud = Cloud::start();
    let lies = ["null", "missing", "empty", "short", "no_ids", "wrong_type", "wrong_rows"];
    let mut bakes = Vec::new();
    for (number, lie) in lies.into_iter().enumerate() {
        for nth in 1..=3 {
            bakes.push((format!("ecd-{number}{nth}"), "DescribeDesktops", lie, nth));
            bakes.push((format!("ws-{number}{nth}"), "ListWuyingServer", lie, nth));
        }
        bakes.push((format!("ecd-{number}9"), "ListImage", lie, 1));
    }
    let schedules: String = bakes
        .iter()
        .map(|(id, ..)| {
            format!(
                "\n[[schedule]]\nname = \"{id}\"\ninstance_id = \"{id}\"\ncron = \"@yearly\"\n\
                 stop_instance = \"required\"\n"
            )
        })
        .collect();
    let mut host = Host::new(cloud.addr, &schedules);
    host.start();
    for (id, action, lie, nth) in &bakes {
        cloud.add_faults(&format!(
            r#"{{"fault":[{{"action":"{action}","instance_id":"{id}","nth":{nth},"times":4,"list":"{lie}"}}]}}"#
        ));
    }
    for (id, ..) in &bakes {
        host.expect(0, &["bake", id]);
    }
    let rows = eventually("every bake has ended", || {
        let rows = host.json(0, &["history", "--limit", "100"])["bakes"].as_array().unwrap().clone();
        (rows.len() == bakes.len() && rows.iter().all(|row| !row["finished_at"].is_null())).then_some(rows)
    });
    for row in rows {
        assert_eq!(row["state"], "succeeded", "{row}");
    }
    assert_eq!(cloud.state()["images"].as_array().unwrap().len(), bakes.len());
    let state = cloud.state();
    let instances = state["instances"].as_array().unwrap().iter();
    assert!(instances.filter(|one| one["instance_id"] != "ecd-sim0003").all(|one| one["status"] != "Stopped"));
    let lied = state["calls"].as_array().unwrap().iter().filter(|call| call["outcome"] == "lied").count();
    assert!(lied >= 2 * bakes.len(), "only {lied} lists lied");
}

/// An image was made from each of these instances, so a list that does not show them is no evidence that nobody uses an image.
#[test]
fn a_list_without_the_instances_of_the_schedules_deletes_nothing() {
    let cloud = unkind();
    let desktop = "[[schedule]]\nname = \"desk\"\ninstance_id = \"ecd-2\"\ncron = \"@yearly\"\n";
    let without_rules = KEEP_ONE.lines().filter(|line| !line.starts_with("keep")).collect::<Vec<_>>().join("\n");
    let mut host = Host::new(cloud.addr, &format!("{without_rules}\n{desktop}"));
    host.start();
    let images: Vec<String> = (0..2).map(|_| host.bake("golden")["image_id"].as_str().unwrap().to_owned()).collect();
    host.bake("desk");
    host.stop();
    host.configure(cloud.addr, &format!("{KEEP_ONE}\n{desktop}"));
    cloud
        .control("instances", &json!({"instance_id": "ecd-1", "instance_type": "CloudDesktop", "image_id": "m-other"}));
    cloud.control("instances", &json!({"instance_id": "ws-9", "instance_type": "WuyingServer", "image_id": "m-other"}));
    start_without_a_whole_pass(&mut host, &cloud);
    for (action, times, list, wanted) in [
        ("DescribeDesktops", 0, "nothing", "it is empty, without ecd-2 of the configuration"),
        (
            "ListWuyingServer",
            0,
            "nothing",
            "it is empty, without ws-1 of the configuration: if that was deleted, remove its",
        ),
        ("ListWuyingServer", 1, "less", "it lacks ws-1, which a call by its id shows"),
    ] {
        clear_faults(&cloud);
        cloud.add_faults(&format!(r#"{{"fault":[{{"action":"{action}","times":{times},"list":"{list}"}}]}}"#));
        let report = host.json(1, &["prune"]);
        let problem = report["problem"].as_str().unwrap_or_else(|| panic!("{action}: {report}"));
        assert!(problem.contains(action) && problem.contains(wanted), "{action}: {problem}");
    }
    clear_faults(&cloud);
    assert!(cloud.calls("DeleteImage", None).is_empty());
    assert_eq!(status(&cloud, &images[0]), "AVAILABLE");
    host.json(0, &["prune"]);
    eventually("true lists let it go", || (status(&cloud, &images[0]) == "DELETE").then_some(()));
}
