//! `imagebaked init` writes a configuration from the account; `coverage` compares the two.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Output,
};

use serde_json::Value;
use support::{Cloud, Host, KEY_ID, SECRET, eventually, imagebaked};
use tempfile::TempDir;

/// `init` with a good key pair, against this cloud.
fn init(cloud: &Cloud, args: &[&str]) -> Output {
    let endpoint = format!("http://{}", cloud.addr);
    imagebaked()
        .arg("init")
        .args(args)
        .env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY_ID)
        .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
        .env("IMAGEBAKED_CLOUD__ENDPOINT", endpoint)
        .env("IMAGEBAKED_CLOUD__REQUESTS_PER_SECOND", "200")
        .output()
        .unwrap()
}

fn words(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

/// The JSON of `check` for a file, which must have neither errors nor warnings.
fn checked(file: &Path) -> Value {
    let output = imagebaked().args(["check", "--json", "--next", "1000"]).arg(file).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let complaints = [&report["problems"], &report["warnings"]].map(|list| list.as_array().unwrap().len());
    assert!(report["ok"] == true && complaints == [0, 0], "{report:#}");
    report
}

#[test]
fn the_file_is_what_check_accepts_and_never_overwritten() {
    let cloud = Cloud::with(&[]);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("imagebaked.toml");
    let path = file.to_str().unwrap();
    let output = init(&cloud, &[path]);
    assert!(output.status.success() && words(&output).starts_with("5 schedules written"), "{}", words(&output));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    let report = checked(&file);
    assert_eq!(report["schedules"], 5);
    for next in report["next"].as_array().unwrap() {
        let local = next["local"].as_str().unwrap();
        assert!(local.ends_with("+08:00") && ("01:00".."05:00").contains(&&local[11..16]), "{local}");
    }
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains(SECRET) && !text.contains(KEY_ID), "{text}");
    // The choices that it offers are valid, alone and together.
    let choices = ["stop_instance", "not_after", "keep", "channels", "auto_clean_userdata", "max_image_age"];
    let chosen = choices.iter().fold(text.clone(), |text, key| {
        assert!(text.contains(&format!("\n# {key} = ")), "{key}: {text}");
        text.replace(&format!("\n# {key} = "), &format!("\n{key} = "))
    });
    let other = folder.path().join("chosen.toml");
    fs::write(&other, chosen).unwrap();
    checked(&other);
    for next in ["check", "doctor", "run", "status"] {
        assert!(words(&output).contains(&format!("--config {path} {next}")), "{next}: {}", words(&output));
    }

    // An existing file stays as it is, whether or not its text would be the same. A dangling link stays, too.
    let output = init(&cloud, &[path]);
    assert!(output.status.code() == Some(1) && words(&output).contains("exists already"), "{}", words(&output));
    fs::write(&file, "mine").unwrap();
    assert_eq!(init(&cloud, &[path]).status.code(), Some(1));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let link = folder.path().join("link.toml");
    symlink(folder.path().join("nowhere.toml"), &link).unwrap();
    assert_eq!(init(&cloud, &[link.to_str().unwrap()]).status.code(), Some(1));
    assert!(!folder.path().join("nowhere.toml").exists());

    // Standard output has the same text. Each instance keeps its times.
    let printed = init(&cloud, &["--stdout"]);
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), text);
    let report: Value = serde_json::from_slice(&init(&cloud, &["--stdout", "--json"]).stdout).unwrap();
    assert_eq!((&report["file"], &report["text"]), (&Value::Null, &text.into()));
    assert_eq!(report["schedules"][0]["instance_id"], "ecd-sim0001");
}

#[test]
fn a_file_that_appears_meanwhile_is_not_overwritten_either() {
    let cloud = Cloud::with(&[]);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("imagebaked.toml");
    cloud.add_faults("[[fault]]\naction = \"ListWuyingServer\"\ndelay = \"2s\"");
    let output = std::thread::scope(|scope| {
        let running = scope.spawn(|| init(&cloud, &[file.to_str().unwrap()]));
        // The command has found no file, and waits for the cloud.
        eventually("the cloud is asked", || cloud.calls("ListWuyingServer", None).pop());
        fs::write(&file, "mine").unwrap();
        running.join().unwrap()
    });
    assert!(output.status.code() == Some(1) && words(&output).contains("exists already"), "{}", words(&output));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_big_account_abroad() {
    let folder = TempDir::new().unwrap();
    let desktop = |n| {
        format!(
            "[[instance]]\ninstance_id = \"ecd-{n:03}\"\ninstance_type = \"CloudDesktop\"\nregion = \"us-west-1\"\n"
        )
    };
    let workstation = |n| format!("[[instance]]\ninstance_id = \"ws-{n:03}\"\ninstance_type = \"WuyingServer\"\n");
    let instances: String = (0..123).map(desktop).chain((0..122).map(workstation)).collect();
    fs::write(folder.path().join("instances.toml"), instances).unwrap();
    let cloud = Cloud::with(&["--no-instances", "--instances", folder.path().join("instances.toml").to_str().unwrap()]);
    let file = folder.path().join("big.toml");
    let args = ["--region", "eu-central-1", "--desktop-region", "us-west-1", "--timezone", "Europe/Berlin"];
    let output = init(&cloud, &[&[file.to_str().unwrap()], &args[..]].concat());
    assert!(output.status.success(), "{}", words(&output));
    // Each kind has several pages. 245 instances do not fit into one night.
    assert_eq!(checked(&file)["schedules"], 245);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("region = \"eu-central-1\"\n") && text.contains("timezone = \"Europe/Berlin\""), "{text}");
    assert_eq!(text.matches("instance_region = \"us-west-1\"").count(), 123);
    let days: BTreeSet<&str> =
        text.lines().filter(|line| line.starts_with("cron")).map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(days.len(), 7, "{days:?}");
}

#[test]
fn nothing_is_written_where_there_is_nothing_to_write() {
    let cloud = Cloud::with(&[]);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("imagebaked.toml");
    let path = file.to_str().unwrap();
    let endpoint = format!("http://{}", cloud.addr);
    let none = imagebaked().args(["init", path, "--endpoint", &endpoint, "--credentials", "files"]).output().unwrap();
    assert_eq!(none.status.code(), Some(1));
    assert!(
        words(&none).contains("no credentials") && words(&none).contains("Nothing was written"),
        "{}",
        words(&none)
    );

    let output = init(&cloud, &[folder.path().join("no/such.toml").to_str().unwrap()]);
    assert!(output.status.code() == Some(1) && words(&output).contains("there is no folder"), "{}", words(&output));
    let output = init(&cloud, &[path, "--endpoint", "http://cloud.example"]);
    assert!(output.status.code() == Some(2) && words(&output).contains("allowed on loopback"), "{}", words(&output));

    let deny = |action: &str| {
        cloud.add_faults(&format!("[[fault]]\naction = \"{action}\"\ncode = \"Forbidden.RAM\"\nstatus = 403"));
    };
    deny("ListWuyingServer");
    deny("DescribeDesktops");
    let output = init(&cloud, &[path]);
    assert!(output.status.code() == Some(1) && words(&output).contains("Forbidden.RAM"), "{}", words(&output));
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());

    // The instances of one kind are written where the other cannot be listed.
    deny("ListWuyingServer");
    let output = init(&cloud, &[path]);
    assert!(output.status.success() && words(&output).contains("workstations cannot be listed"), "{}", words(&output));
    assert_eq!(checked(&file)["schedules"], 3);
}

#[test]
fn coverage_lists_both_directions() {
    let cloud = Cloud::with(&["--instance", "ecd-1"]);
    let schedules = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 * * *\"\n\
                     [[schedule]]\nname = \"gone\"\ninstance_ids = [\"ws-sim0001\", \"ws-gone\"]\ncron = \"0 3 * * *\"\n";
    let host = Host::new(cloud.addr, schedules);
    let report = host.json(0, &["coverage"]);
    assert_eq!(report["covered"], 2);
    assert_eq!(report["missing"], serde_json::json!([{ "schedule": "gone", "instance_id": "ws-gone" }]));
    let uncovered = report["uncovered"].as_array().unwrap();
    let ids: Vec<&str> = uncovered.iter().map(|one| one["instance_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["ecd-sim0001", "ecd-sim0002", "ecd-sim0003", "ws-sim0002"]);
    let stopped = serde_json::json!({ "instance_id": "ecd-sim0003", "instance_type": "CloudDesktop",
                                      "name": "ecd-sim0003", "region": "cn-shanghai", "status": "Stopped" });
    assert_eq!(uncovered[2], stopped);
    host.json(1, &["coverage", "--strict"]);
    let (text, _) = host.expect(0, &["coverage"]);
    assert!(text.starts_with("2 of the account's 6 instances have a schedule"), "{text}");

    // With a part of the account, the rest would count as missing.
    cloud.add_faults("[[fault]]\naction = \"DescribeDesktops\"\ncode = \"Forbidden.RAM\"\nstatus = 403");
    let (_, err) = host.expect(1, &["coverage"]);
    assert!(err.contains("cloud desktops of cn-shanghai cannot be listed: Forbidden.RAM"), "{err}");

    // The file of `init` covers every instance.
    let file = host.path("all.toml");
    assert!(init(&cloud, &[file.to_str().unwrap()]).status.success());
    let all = imagebaked()
        .args(["coverage", "--strict", "--json", "--config"])
        .arg(&file)
        .env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY_ID)
        .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
        .output()
        .unwrap();
    assert!(all.status.success(), "{}", words(&all));
    let report: Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(report, serde_json::json!({ "covered": 6, "uncovered": [], "missing": [] }));
}

#[test]
fn sessions_of_workstations_are_written_down_and_the_choice_is_left_to_the_operator() {
    let cloud = Cloud::with(&[]);
    let several = serde_json::json!({
        "instance_id": "ws-sim0002", "instance_type": "WuyingServer", "sub_instance_ids": ["p-1", "p-2"],
    });
    cloud.control("instances", &several);
    let text = String::from_utf8(init(&cloud, &["--stdout"]).stdout).unwrap();
    assert!(text.contains("# ws-sim0001, workstation, Running, session p-sim0001.\n"), "{text}");
    let choice = "# It has several sessions; its bakes fail until one is chosen:\n# sub_instance_id = \"p-1\"\n\
                  # sub_instance_id = \"p-2\"\ncron = ";
    assert!(text.contains(choice), "{text}");
    let report: Value = serde_json::from_slice(&init(&cloud, &["--stdout", "--json"]).stdout).unwrap();
    assert_eq!(report["schedules"][4]["sessions"], serde_json::json!(["p-1", "p-2"]));
    assert_eq!(report["schedules"][0].get("sessions"), None);
}
