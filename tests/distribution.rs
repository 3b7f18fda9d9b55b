//! Copies to other regions, by the real daemon and the simulator: in peace, under faults and under kill -9.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::{Cloud, Host, eventually, exchange};

const TWO_REGIONS: &str = r#"
[[schedule]]
name = "golden"
instance_id = "ecd-1"
cron = "@yearly"
regions = ["cn-beijing", "cn-hangzhou"]
retry = { attempts = 3, base = "50ms", cap = "200ms" }
"#;

/// The copies of a bake, by region.
fn copies(host: &Host, bake: &Value) -> BTreeMap<String, Value> {
    let report = host.show(&bake["id"]);
    let copies = report["distributions"].as_array().unwrap().iter();
    copies.map(|copy| (copy["region"].as_str().unwrap().to_owned(), copy.clone())).collect()
}

fn states(copies: &BTreeMap<String, Value>) -> Vec<(&str, &str)> {
    copies.iter().map(|(region, copy)| (region.as_str(), copy["state"].as_str().unwrap())).collect()
}

/// The copies once all have ended.
fn ended(host: &Host, bake: &Value) -> BTreeMap<String, Value> {
    eventually("every copy has ended", || {
        let copies = copies(host, bake);
        copies.values().all(|copy| !copy["finished_at"].is_null()).then_some(copies)
    })
}

/// The regions that the simulator has the image in, beside its own.
fn regions(cloud: &Cloud, bake: &Value) -> Vec<String> {
    let images = cloud.images("ecd-1");
    let image = images.iter().find(|image| image["image_id"] == bake["image_id"]).unwrap();
    let mut regions: Vec<String> = serde_json::from_value(image["regions"].clone()).unwrap();
    regions.sort_unstable();
    regions
}

fn reasons(host: &Host, code: i32) -> String {
    host.json(code, &["status"])["health"]["problems"].to_string()
}

#[test]
fn a_finished_image_is_copied_to_every_region() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, &TWO_REGIONS.replace("\"cn-hangzhou\"", "\"cn-hangzhou\", \"cn-shanghai\""));
    host.start();
    let bake = host.bake("golden");
    let copies = ended(&host, &bake);
    assert_eq!(states(&copies), [("cn-beijing", "done"), ("cn-hangzhou", "done"), ("cn-shanghai", "done")]);
    assert_eq!(regions(&cloud, &bake), ["cn-beijing", "cn-hangzhou"]);
    assert_eq!(cloud.calls("StartTaskForDistributeImage", None).len(), 2, "where it is already nobody asks");
    assert_eq!((&copies["cn-beijing"]["tries"], &copies["cn-beijing"]["progress"]), (&json!(1), &json!("100%")));
    assert!(copies["cn-beijing"]["task_id"].as_str().unwrap().starts_with("tid-"));
    let report = host.show(&bake["id"]);
    let calls: Vec<&Value> =
        report["calls"].as_array().unwrap().iter().filter(|call| call["stage"] == "distribute").collect();
    assert!(calls.iter().any(|call| call["call"] == "distribute_image" && call["outcome"] == "ok"), "{calls:#?}");
    let (out, _) = host.expect(0, &["show", &bake["id"].to_string()]);
    assert!(out.contains("Copies to other regions") && out.contains("cn-hangzhou  done"), "{out}");
    let listed = |copy: &Value| (copy["status"].clone(), copy["progress"].clone());
    assert!(copies.values().all(|copy| listed(copy) == ("AVAILABLE".into(), "100%".into())), "{copies:#?}");
    let images = host.json(0, &["images"])["images"].clone();
    let replica = json!({"region": "cn-beijing", "state": "done", "status": "AVAILABLE", "progress": "100%"});
    assert_eq!(images[0]["replicas"][0], replica);
    let (out, _) = host.expect(0, &["images"]);
    assert!(out.contains("copied to cn-beijing, copied to cn-hangzhou"), "{out}");
    host.expect(0, &["status"]);
    // Nothing failed, so there is nothing to try again.
    let (_, err) = host.expect(1, &["retry", &bake["id"].to_string(), "--stage", "distribute"]);
    assert!(err.contains("no copy of the image of bake 1 failed: cn-beijing is done"), "{err}");
    host.expect(3, &["retry", "99", "--stage", "distribute"]);
    host.expect(2, &["retry", "1", "--stage", "distribute", "--wait"]);
    host.expect(2, &["retry", "1", "--stage", "create"]);
}

#[test]
fn one_region_fails_for_good_and_is_tried_again_by_hand() {
    let cloud = Cloud::start();
    cloud.add_faults(
        "[[fault]]\naction = \"StartTaskForDistributeImage\"\nregion = \"cn-beijing\"\ncode = \
         \"ImageDistribute.ImageNotSupport\"\nstatus = 400\n",
    );
    let mut host = Host::new(cloud.addr, TWO_REGIONS);
    host.start();
    let bake = host.bake("golden");
    assert_eq!(bake["state"], "succeeded");
    let before = ended(&host, &bake);
    assert_eq!(states(&before), [("cn-beijing", "failed"), ("cn-hangzhou", "done")]);
    assert!(before["cn-beijing"]["reason"].as_str().unwrap().starts_with("ImageDistribute.ImageNotSupport"));
    let report = reasons(&host, 5);
    assert!(report.contains("bake 1 of golden was not copied to cn-beijing"), "{report}");
    assert!(report.contains("imagebaked retry 1 --stage distribute"), "{report}");
    let row = host.json(5, &["status"])["schedules"][0].clone();
    assert_eq!(row["severity"], "warning", "its bake is good, and its mark is not: {row}");
    assert_eq!(row["problems"][0], "replica_failed", "{row}");

    // What the cloud lists of a copy is kept after its end, too: by each scan.
    let of_image = |copies: Value| json!({"image_id": bake["image_id"], "copies": copies});
    cloud.control("images", &of_image(json!({"cn-beijing": "CREATE_FAILED", "cn-hangzhou": "DELETE"})));
    host.expect(0, &["prune"]);
    let after = copies(&host, &bake);
    let known = |region: &str| (after[region]["state"].as_str().unwrap(), after[region]["status"].as_str().unwrap());
    assert_eq!((known("cn-beijing"), known("cn-hangzhou")), (("failed", "CREATE_FAILED"), ("done", "DELETE")));
    let (out, _) = host.expect(0, &["images"]);
    for note in ["not copied to cn-beijing (CREATE_FAILED, 100%)", "copied to cn-hangzhou (DELETE)"] {
        assert!(out.contains(note), "{out}");
    }

    let reply = host.json(0, &["retry", "1", "--stage", "distribute"]);
    assert!(reply["done"].as_str().unwrap().contains("copied to cn-beijing again"), "{reply}");
    assert_eq!(states(&ended(&host, &bake)), [("cn-beijing", "done"), ("cn-hangzhou", "done")]);
    assert_eq!(host.json(0, &["history"])["bakes"].as_array().unwrap().len(), 1, "without a new bake");
    host.expect(0, &["status"]);
}

/// He corrects the file, reloads, and tries again. The edit alone ends no problem: the new region is to be seen first.
#[test]
fn a_mistyped_region_is_corrected_in_the_file_and_tried_again() {
    let cloud = Cloud::start();
    let mistyped = TWO_REGIONS.replace("cn-hangzhou", "cn-hangzou");
    let mut host = Host::new(cloud.addr, &mistyped);
    host.start();
    let (warning, _) = host.expect(0, &["check"]);
    assert!(warning.contains("unknown region `cn-hangzou`"), "{warning}");
    assert!(warning.contains("did you mean `cn-hangzhou`?"), "{warning}");
    let bake = host.bake("golden");
    let before = ended(&host, &bake);
    assert_eq!(states(&before), [("cn-beijing", "done"), ("cn-hangzou", "failed")]);
    let why = before["cn-hangzou"]["reason"].as_str().unwrap();
    let advice = "cn-hangzou is no region that is known here, perhaps cn-hangzhou: correct `regions` of golden";
    assert!(why.contains(advice), "{why}");
    let report = reasons(&host, 5);
    assert!(report.contains(advice) && report.contains("imagebaked retry 1 --stage distribute"), "{report}");

    host.configure(cloud.addr, TWO_REGIONS);
    host.expect(0, &["reload"]);
    let report = reasons(&host, 5);
    assert!(report.contains("`regions` was edited since; cn-hangzhou not tried yet"), "{report}");
    assert!(report.contains("imagebaked retry 1 --stage distribute"), "{report}");
    let reply = host.json(0, &["retry", "1", "--stage", "distribute"]);
    let reply = reply["done"].as_str().unwrap();
    assert!(reply.contains("is copied to cn-hangzhou, new in `regions` of golden"), "{reply}");
    assert!(reply.contains("Not to cn-hangzou: `regions` of golden does not have it any more"), "{reply}");
    let after = ended(&host, &bake);
    assert_eq!(states(&after), [("cn-beijing", "done"), ("cn-hangzhou", "done"), ("cn-hangzou", "failed")]);
    assert_eq!(regions(&cloud, &bake), ["cn-beijing", "cn-hangzhou"]);
    eventually("the problem has ended", || {
        let events = host.json(0, &["events", "--limit", "0"]);
        let events = events["events"].as_array().unwrap().clone();
        events.iter().any(|event| event["type"] == "problem_ended" && event["subject"]["id"] == "1").then_some(())
    });
    host.expect(0, &["status"]);
    let (_, err) = host.expect(1, &["retry", "1", "--stage", "distribute"]);
    assert!(err.contains("is not copied to cn-hangzou any more") && err.contains("reload"), "{err}");
}

#[test]
fn a_lost_answer_is_polled_for_and_a_repeated_request_is_success() {
    let cloud = Cloud::start();
    cloud.add_faults(
        r#"
        [[fault]]
        action = "StartTaskForDistributeImage"
        region = "cn-beijing"
        drop = "after"
        [[fault]]
        action = "StartTaskForDistributeImage"
        region = "cn-hangzhou"
        act = true
        code = "ImageDistribute.RepeatedDistribution"
        status = 400
        "#,
    );
    let mut host = Host::new(cloud.addr, TWO_REGIONS);
    host.start();
    let bake = host.bake("golden");
    assert_eq!(states(&ended(&host, &bake)), [("cn-beijing", "done"), ("cn-hangzhou", "done")]);
    assert_eq!(cloud.calls("StartTaskForDistributeImage", None).len(), 2, "none was repeated");
    assert_eq!(regions(&cloud, &bake), ["cn-beijing", "cn-hangzhou"]);
}

#[test]
fn a_region_that_the_cloud_reports_and_never_lists_counts_as_done() {
    let cloud = Cloud::start();
    cloud.add_faults(
        "[[fault]]\naction = \"StartTaskForDistributeImage\"\nregion = \"cn-beijing\"\ntimes = 0\ncode = \
         \"ImageDistribute.RepeatedDistribution\"\nstatus = 400\n",
    );
    let mut host = Host::new(cloud.addr, TWO_REGIONS);
    host.start();
    let bake = host.bake("golden");
    let copies = ended(&host, &bake);
    assert_eq!(copies["cn-beijing"]["state"], "done");
    assert!(copies["cn-beijing"]["reason"].as_str().unwrap().contains("lists no status there"), "{copies:#?}");
}

#[test]
fn a_copy_that_fails_is_made_again_and_one_that_never_ends_is_given_up() {
    let cloud = Cloud::start();
    cloud.add_faults(
        r#"
        [[fault]]
        action = "StartTaskForDistributeImage"
        region = "cn-beijing"
        image = "CREATE_FAILED"
        [[fault]]
        action = "StartTaskForDistributeImage"
        region = "cn-hangzhou"
        image = "STUCK"
        "#,
    );
    let mut host = Host::new(cloud.addr, &TWO_REGIONS.replace("retry", "build_deadline = \"3s\"\nretry"));
    host.start();
    let bake = host.bake("golden");
    let copies = ended(&host, &bake);
    assert_eq!(states(&copies), [("cn-beijing", "done"), ("cn-hangzhou", "failed")]);
    assert_eq!(copies["cn-beijing"]["tries"], 2);
    assert_eq!(
        (&copies["cn-hangzhou"]["status"], &copies["cn-hangzhou"]["progress"]),
        (&json!("CREATING"), &json!("100%"))
    );
    assert!(copies["cn-hangzhou"]["reason"].as_str().unwrap().starts_with("stuck: not copied after 3s"), "{copies:#?}");
}

#[test]
fn an_image_that_other_hands_delete_ends_its_copies() {
    let cloud = Cloud::start();
    cloud.add_faults("[[fault]]\naction = \"StartTaskForDistributeImage\"\nimage = \"STUCK\"\ntimes = 0\n");
    let mut host = Host::new(cloud.addr, TWO_REGIONS);
    host.start();
    let bake = host.bake("golden");
    eventually("both are running", || {
        states(&copies(&host, &bake)).iter().all(|(_, state)| *state == "copying").then_some(())
    });
    let body = json!({ "image_id": bake["image_id"], "deleted": true }).to_string();
    assert!(exchange(cloud.addr, "POST", "/_sim/images", &body).starts_with("HTTP/1.1 200"));
    let copies = ended(&host, &bake);
    assert_eq!(states(&copies), [("cn-beijing", "failed"), ("cn-hangzhou", "failed")]);
    assert!(copies["cn-beijing"]["reason"].as_str().unwrap().contains("has not been listed for"), "{copies:#?}");
}

#[test]
fn an_image_on_its_way_is_not_deleted() {
    let cloud = Cloud::start();
    cloud.add_faults(
        "[[fault]]\naction = \"StartTaskForDistributeImage\"\nregion = \"cn-beijing\"\nimage = \"STUCK\"\n",
    );
    let rules = TWO_REGIONS.replace("retry", "keep = { last = 1, grace = \"0s\" }\nretry");
    let mut host = Host::new(cloud.addr, &rules);
    host.start();
    let first = host.bake("golden");
    let second = host.bake("golden");
    ended(&host, &second);
    let report = host.json(0, &["prune"]);
    let image =
        report["images"].as_array().unwrap().iter().find(|image| image["image_id"] == first["image_id"]).unwrap();
    assert_eq!(image["action"], "keep");
    let why: Vec<&Value> = image["why"].as_array().unwrap().iter().collect();
    assert_eq!(why, [&json!({ "why": "copied", "regions": ["cn-beijing"] })]);
    assert_eq!(cloud.calls("DeleteImage", None).len(), 0);
}

/// Every point that a copy passes, killed once; and the same with the answer to the call lost.
#[test]
fn a_kill_at_any_point_costs_a_poll_and_no_more() {
    let points = [
        "before.copy_asking",
        "after.copy_asking",
        "send.distribute_image",
        "answer.distribute_image",
        "before.copy_copying",
        "after.copy_copying",
        "before.copy_done",
        "after.copy_done",
    ];
    std::thread::scope(|scope| {
        for half in points.chunks(4) {
            scope.spawn(move || half.iter().for_each(|point| survive(point)));
        }
    });
}

fn survive(point: &str) {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, TWO_REGIONS);
    host.launch(&format!("{point}:1"));
    eventually("the bake is asked for", || host.run(&["bake", "golden"]).status.success().then_some(()));
    eventually("the daemon has died", || host.has_died().then_some(()));
    host.start();
    let bake = host.newest(&[]).unwrap();
    assert_eq!(bake["state"], "succeeded", "{point}");
    let copies = ended(&host, &bake);
    assert_eq!(states(&copies), [("cn-beijing", "done"), ("cn-hangzhou", "done")], "{point}\n{}", host.log());
    assert_eq!(regions(&cloud, &bake), ["cn-beijing", "cn-hangzhou"], "{point}: no copy twice, none missing");
    let refused = cloud.calls("StartTaskForDistributeImage", None);
    assert!(refused.iter().all(|call| call["code"].is_null()), "{point}: asked for what was there: {refused:#?}");
}
