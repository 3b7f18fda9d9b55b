//! Scheduled backups and the housekeeping in `status`, of a real daemon.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;
use support::{Cloud, Host, eventually};

const GOLDEN: &str = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"@yearly\"\n";

fn schedule_backups(host: &Host, dir: &Path) {
    fs::create_dir_all(host.path("conf.d")).unwrap();
    let text = format!("[daemon]\nbackup = {{ every = \"1h\", keep = 2, dir = \"{}\" }}\n", dir.display());
    fs::write(host.path("conf.d/backups.toml"), text).unwrap();
}

fn backup(host: &Host, code: i32, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually("the backups are as wanted", || {
        let output = host.run(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).ok()?;
        (output.status.code() == Some(code) && is_so(&status["backup"])).then_some(status)
    })
}

#[test]
fn a_backup_that_fails_is_a_problem_until_one_is_good() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, GOLDEN);
    fs::write(host.path("file"), "no folder").unwrap();
    schedule_backups(&host, &host.path("file"));
    host.start();
    let status = backup(&host, 5, |backup| !backup["failing"].is_null());
    let problem = &status["health"]["problems"][0];
    assert_eq!((&problem["code"], &problem["severity"]), (&"backup_failed".into(), &"warning".into()), "{status:#}");
    assert_eq!(
        (&problem["since"], &status["backup"]["last_good"]),
        (&status["backup"]["failing"]["since"], &Value::Null)
    );
    let shown = host.expect(5, &["status"]).0;
    assert!(shown.contains("last backup  none in") && shown.contains("failing, for the first time"), "{shown}");

    // Another folder has not failed; the first backup in it is made at once.
    schedule_backups(&host, &host.path("backups"));
    host.expect(0, &["reload"]);
    let status = backup(&host, 0, |backup| !backup["last_good"].is_null());
    let last_good = &status["backup"]["last_good"];
    let file = Path::new(last_good["file"].as_str().unwrap());
    let metadata = fs::metadata(file).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o777, last_good["bytes"].as_u64()), (0o640, Some(metadata.len())));
    let jobs: Vec<&str> =
        status["housekeeping"].as_array().unwrap().iter().map(|job| job["name"].as_str().unwrap()).collect();
    assert_eq!(jobs, ["backup", "heartbeat", "history_upkeep", "old_events", "retention"]);
    let ran = |name: &str| {
        eventually("the job has run", || {
            let jobs = host.json(0, &["status"])["housekeeping"].clone();
            let job = jobs.as_array()?.iter().find(|job| job["name"] == name)?.clone();
            (!job["last_run"].is_null()).then_some(job)
        })
    };
    assert!(ran("retention")["last_run_seconds"].as_f64().is_some());
    assert!(ran("heartbeat")["next_run"].is_null());
    assert_eq!(ran("backup")["running_since"], Value::Null);

    host.stop();
    let made = host.path("copy.db");
    fs::copy(file, &made).unwrap();
    host.expect(0, &["restore", made.to_str().unwrap()]);
}

#[test]
fn a_damaged_history_leads_to_the_newest_backup() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, GOLDEN);
    schedule_backups(&host, &host.path("backups"));
    host.start();
    let status = backup(&host, 0, |backup| !backup["last_good"].is_null());
    let file = status["backup"]["last_good"]["file"].as_str().unwrap().to_owned();
    host.stop();
    fs::write(host.path("state/imagebaked.db"), [0x5a; 9_000]).unwrap();
    let (_, err) = host.expect(7, &["status"]);
    assert!(err.contains("not reachable") && err.contains("imagebaked.db"), "{err}");
    let restore = format!("imagebaked --config {} restore {file}", host.path("imagebaked.toml").display());
    assert!(err.contains(&restore), "{err}");
    let out = String::from_utf8(host.run(&["doctor"]).stdout).unwrap();
    let advice: String = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(advice.contains(&restore), "{out}");
    host.expect(0, &["restore", &file]);
    assert!(host.run(&["status"]).status.code() == Some(4), "only the daemon is missing now");
}
