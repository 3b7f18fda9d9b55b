//! `imagebaked doctor` on hosts and accounts with one fault each. The command changes nothing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use chrono::TimeDelta;
use imagebaked::{
    domain::{
        clock::{Clock as _, ManualClock, SystemClock},
        ids::{NO_SUCH_IMAGE, NO_SUCH_INSTANCE},
    },
    sim::{Options, Simulator},
};
use serde_json::Value;
use support::{Cloud, Host, SECRET, exchange};
use tokio::net::TcpListener;

const FILE: &str = r#"
[[schedule]]
name = "golden"
instance_id = "ecd-1"
cron = "0 3 * * *"
stop_instance = "if_running"
[[schedule]]
name = "farm"
instance_ids = ["ws-1", "ws-2"]
cron = "0 4 * * *"
stop_instance = "required"
"#;

/// The rights that only `keep` and `regions` use.
const MORE: &str = "keep = { last = 3 }\nregions = [\"cn-hangzhou\"]\n";

fn cloud() -> Cloud {
    let instances = ["--instance", "ecd-1", "--instance", "ws-1", "--instance", "ws-2"];
    Cloud::with(&[&["--build-time", "300ms", "--power-time", "100ms"][..], &instances].concat())
}

/// A host whose key files only their owner can read.
fn configured(endpoint: SocketAddr, schedules: &str) -> Host {
    let host = Host::new(endpoint, schedules);
    chmod(&host.path("keys"), 0o700);
    host
}

/// Puts a `systemctl` into the host's path that always prints these words.
fn systemctl(host: &Host, enabled: &str, active: &str) {
    let folder = host.path("bin");
    fs::create_dir_all(&folder).unwrap();
    let script = format!("#!/bin/sh\ncase $1 in is-enabled) echo {enabled};; *) echo {active};; esac\n");
    fs::write(folder.join("systemctl"), script).unwrap();
    chmod(&folder.join("systemctl"), 0o755);
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn command(host: &Host, args: &[&str]) -> Command {
    let mut command = host.command(&[&["doctor"], args].concat());
    command.env("PATH", host.path("bin"));
    command
}

/// The output of `doctor` in a pipe; it must end with `code` and print no secret.
fn examined(host: &Host, code: i32, args: &[&str]) -> Report {
    report(command(host, &[args, &["--json"]].concat()).output().unwrap(), code)
}

fn report(output: Output, code: i32) -> Report {
    let text = [&output.stdout[..], &output.stderr].map(|text| String::from_utf8_lossy(text)).concat();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains(SECRET), "{text}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}"));
    let failed = shown["checks"].as_array().unwrap().iter().any(|check| check["result"] == "fail");
    assert_eq!(shown["ok"], !failed, "{text}");
    Report(shown["checks"].as_array().unwrap().clone())
}

struct Report(Vec<Value>);

impl Report {
    /// Result, finding and advice of the check `name`.
    fn of(&self, name: &str) -> (&str, &str, &str) {
        let check = self.0.iter().find(|check| check["name"] == name);
        let check = check.unwrap_or_else(|| panic!("no check {name}: {:#?}", self.0));
        (check["result"].as_str().unwrap(), check["found"].as_str().unwrap(), check["advice"].as_str().unwrap_or(""))
    }

    /// The names of all checks with this result.
    fn names(&self, result: &str) -> Vec<&str> {
        self.0.iter().filter(|check| check["result"] == result).map(|check| check["name"].as_str().unwrap()).collect()
    }

    fn is(&self, name: &str, result: &str, words: &[&str]) {
        let shown = self.of(name);
        assert_eq!(shown.0, result, "{name}: {shown:?}");
        for word in words {
            assert!(shown.1.contains(word) || shown.2.contains(word), "{name}: no {word:?} in {shown:?}");
        }
        assert!(!["warn", "fail"].contains(&result) || !shown.2.is_empty(), "{name} gives no advice");
    }
}

#[test]
fn a_sound_host_has_no_findings() {
    let cloud = cloud();
    let mut host = configured(cloud.addr, FILE);
    systemctl(&host, "enabled", "active");
    host.start();
    host.bake("golden");
    let report = examined(&host, 0, &[]);
    assert_eq!((report.names("fail"), report.names("warn")), (vec![], vec![]));
    report.is("credentials", "ok", &["credentials folder", "1000000000000001", "acs:ram::"]);
    report.is("clock", "ok", &[]);
    report.is("database", "ok", &["sound"]);
    report.is("daemon", "ok", &[env!("CARGO_PKG_VERSION"), "health OK"]);
    report.is("systemd unit", "ok", &["enabled, active"]);
    report.is("time zones", "ok", &[imagebaked::domain::calendar::zone::release().version()]);
    report.is("images", "ok", &["1 of owner imagebaked"]);
    report.is("instance ws-2", "ok", &["Running", "farm"]);
    report.is("appstreaming:CreateImageByInstance", "ok", &["allowed"]);
    report.is("ecd:StopDesktops", "ok", &["allowed"]);
    report.is("appstreaming:DeleteImage", "skip", &["not needed"]);
    report.is("appstreaming:ListAppInstanceGroup", "skip", &["not needed"]);
    report.is("appstreaming:StartTaskForDistributeImage", "skip", &["not needed"]);

    // The text has a line for each check, one for those of a kind that found nothing, and the totals.
    let output = command(&host, &[]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("\nok    clock: "), "{text}");
    assert!(text.contains("\nok    permissions: 8 granted, 8 not tried or not needed\n"), "{text}");
    assert!(text.ends_with(" ok, 0 warnings, 0 failed, 9 skipped; --all shows each check.\n"), "{text}");
}

#[test]
fn trying_rights_changes_nothing() {
    // The simulator creates each instance that is named (`--open`). A careless probe would change it.
    for cloud in [cloud(), Cloud::start()] {
        let host = configured(cloud.addr, &format!("{FILE}{MORE}"));
        systemctl(&host, "enabled", "active");
        // The first call for an instance creates it in the simulator (`--open`).
        examined(&host, 0, &["--no-probe"]);
        let world = |cloud: &Cloud| {
            let state = cloud.state();
            (state["instances"].clone(), state["images"].clone())
        };
        let before = world(&cloud);
        let report = examined(&host, 0, &[]);
        assert_eq!(world(&cloud), before);
        for action in [
            "appstreaming:CreateImageByInstance",
            "appstreaming:StopWuyingServer",
            "appstreaming:StartWuyingServer",
            "ecd:StopDesktops",
            "ecd:StartDesktops",
            "appstreaming:DeleteImage",
            "appstreaming:StartTaskForDistributeImage",
        ] {
            report.is(action, "ok", &["allowed ("]);
            let calls = cloud.calls(action.split_once(':').unwrap().1, None);
            // One call, with an id that does not exist, and it is refused.
            assert_eq!(calls.len(), 1, "{action}: {calls:#?}");
            assert_eq!(calls[0]["outcome"], "refused", "{action}");
            assert!([&Value::Null, &NO_SUCH_INSTANCE.into()].contains(&&calls[0]["instance_id"]), "{calls:#?}");
        }
        assert!(!before.1.to_string().contains(NO_SUCH_IMAGE));
    }
}

#[test]
fn what_should_exist_nowhere_but_does_is_left_alone() {
    let cloud = cloud();
    let host = configured(cloud.addr, FILE);
    let instance = format!(r#"{{"instance_id":"{NO_SUCH_INSTANCE}","instance_type":"WuyingServer"}}"#);
    let answer = exchange(cloud.addr, "POST", "/_sim/instances", &instance);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let report = examined(&host, 0, &[]);
    for action in ["CreateImageByInstance", "StopWuyingServer", "StartWuyingServer"] {
        report.is(&format!("appstreaming:{action}"), "skip", &["should exist nowhere"]);
        assert!(cloud.calls(action, None).is_empty(), "{action}");
    }
    assert!(cloud.calls("StopDesktops", None).is_empty());
}

#[test]
fn a_missing_right_is_named_with_what_to_grant() {
    let cloud = cloud();
    let host = configured(cloud.addr, &format!("{FILE}{MORE}"));
    systemctl(&host, "enabled", "active");
    let deny = |action: &str| {
        cloud.add_faults(&format!("[[fault]]\naction = \"{action}\"\ncode = \"Forbidden.RAM\"\nstatus = 403"));
    };
    for (action, name) in [
        ("StopDesktops", "ecd:StopDesktops"),
        ("CreateImageByInstance", "appstreaming:CreateImageByInstance"),
        ("DeleteImage", "appstreaming:DeleteImage"),
    ] {
        deny(action);
        let report = examined(&host, 5, &[]);
        report.is(name, "fail", &["denied: Forbidden.RAM", &format!("grant {name} on resource *")]);
        assert_eq!(report.names("fail"), [name]);
    }
    // Retention lists every kind of user of an image, in every region. Every time: the calls are made side by side.
    for (action, name, granted) in [
        ("ListImage", "appstreaming:ListImage", "appstreaming:ListImage"),
        ("ListWuyingServer", "appstreaming:ListWuyingServer", "appstreaming:ListWuyingServer"),
        ("ListAppInstanceGroup", "appstreaming:ListAppInstanceGroup", "appstreaming:ListAppInstanceGroup"),
        ("DescribeTemplates", "ecd:DescribeTemplates", "ecd:DescribeTemplates"),
        ("DescribeDesktopGroups", "ecd:DescribeDesktopGroups in cn-hangzhou", "ecd:DescribeDesktopGroups"),
        ("DescribeBundles", "ecd:DescribeBundles in cn-hangzhou", "ecd:DescribeBundles"),
        ("DescribeImages", "ecd:DescribeImages in cn-hangzhou", "ecd:DescribeImages"),
        ("DescribeDesktops", "ecd:DescribeDesktops in cn-hangzhou", "ecd:DescribeDesktops"),
    ] {
        cloud.add_faults(&format!(
            "[[fault]]\naction = \"{action}\"\ntimes = 0\ncode = \"Forbidden.RAM\"\nstatus = 403"
        ));
        let report = examined(&host, 5, &[]);
        report.is(name, "fail", &["denied: Forbidden.RAM", &format!("grant {granted} on resource *")]);
        exchange(cloud.addr, "DELETE", "/_sim/faults", "");
    }
    // A kind that `in_use` leaves out needs no right, and the report names it.
    let kinds = "in_use = [\"desktops\", \"workstations\", \"delivery_groups\", \"pools\"]";
    host.configure(cloud.addr, &format!("{kinds}\n{FILE}{MORE}"));
    for action in ["DescribeTemplates", "DescribeBundles"] {
        deny(action);
    }
    let report = examined(&host, 0, &[]);
    report.is("in_use", "warn", &["templates, bundles are not listed as users"]);
    report.is("ecd:DescribeBundles", "skip", &["left out by in_use"]);
    report.is("ecd:DescribeDesktopGroups in cn-hangzhou", "ok", &[]);
    exchange(cloud.addr, "DELETE", "/_sim/faults", "");
    host.configure(cloud.addr, &format!("{FILE}{MORE}"));

    deny("StopDesktops");
    let report = examined(&host, 0, &["--no-probe"]);
    report.is("ecd:StopDesktops", "skip", &["--no-probe"]);
    report.is("appstreaming:CreateImageByInstance", "skip", &["--no-probe"]);
    report.is("appstreaming:ListImage", "ok", &[]);
    examined(&host, 5, &[]);

    // Rights that no bake needs may be missing.
    host.configure(cloud.addr, &FILE.replace("stop_instance", "#"));
    // Every time: the calls are made side by side.
    cloud.add_faults("[[fault]]\naction = \"DescribeDesktops\"\ntimes = 0\ncode = \"Forbidden.RAM\"\nstatus = 403");
    examined(&host, 0, &[]).is("ecd:DescribeDesktops in cn-shanghai", "warn", &["denied", "grant"]);
    exchange(cloud.addr, "DELETE", "/_sim/faults", "");
    // Of a workstation the session is listed, unless the configuration names it.
    cloud.add_faults("[[fault]]\naction = \"ListWuyingServer\"\ntimes = 0\ncode = \"Forbidden.RAM\"\nstatus = 403");
    examined(&host, 5, &[]).is("appstreaming:ListWuyingServer", "fail", &["denied", "grant"]);
    exchange(cloud.addr, "DELETE", "/_sim/faults", "");
    // An answer without information is no denial.
    cloud.add_faults("[[fault]]\naction = \"CreateImageByInstance\"\ncode = \"InternalError\"\nstatus = 400");
    examined(&host, 0, &[]).is("appstreaming:CreateImageByInstance", "warn", &["not known: InternalError"]);
}

#[test]
fn refused_and_absent_credentials() {
    let cloud = cloud();
    let host = configured(cloud.addr, FILE);
    host.set_key("another-secret-altogether");
    let report = examined(&host, 5, &[]);
    report.is("credentials", "fail", &["SignatureDoesNotMatch", "Check the access key secret"]);
    report.is("permissions, instances and images", "skip", &[]);
    assert!(!format!("{:?}", report.0).contains("another-secret"));
    assert!(cloud.calls("CreateImageByInstance", None).is_empty());

    fs::remove_file(host.path("keys/access_key_secret")).unwrap();
    examined(&host, 5, &[]).is("credentials", "fail", &["no credentials", "no access_key_secret in"]);
    // The key files of the unit's LoadCredential= are beside the configuration.
    host.configure(cloud.addr, FILE);
    let config = fs::read_to_string(host.path("imagebaked.toml")).unwrap();
    let config: Vec<&str> = config.lines().filter(|line| !line.starts_with("credentials_dir")).collect();
    fs::write(host.path("imagebaked.toml"), config.join("\n")).unwrap();
    fs::rename(host.path("keys"), host.path("credentials")).unwrap();
    let command = format!("CREDENTIALS_DIRECTORY={} imagebaked", host.path("credentials").display());
    examined(&host, 5, &[]).is("credentials", "fail", &["is not set", &command]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off() {
    for (minutes, result, code) in [(0, "ok", 0), (5, "warn", 0), (-16, "fail", 5), (20, "fail", 5)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let clock = ManualClock::at(SystemClock.now() + TimeDelta::minutes(minutes));
        let options = Options { access_key_secret: SECRET.into(), ..Options::default() };
        let sim = Simulator::start(listener, options, Arc::new(clock)).unwrap();
        let addr = sim.addr();
        let report = tokio::task::spawn_blocking(move || {
            let host = configured(addr, &FILE.replace("ecd-1", "ecd-sim0001").replace("ws-", "ws-sim000"));
            systemctl(&host, "enabled", "active");
            examined(&host, code, &[])
        });
        let report = report.await.unwrap();
        let side = match minutes {
            0 => "by the cloud's",
            ..0 => "ahead of the cloud's",
            _ => "behind the cloud's",
        };
        report.is("clock", result, &[side]);
        if result == "fail" {
            report.is("credentials", "fail", &["InvalidTimeStamp.Expired", "clock"]);
        }
        sim.stop().await;
    }
}

#[test]
fn instances_that_do_not_match_the_configuration() {
    let cloud = cloud();
    let file = FILE.replace("\"ws-2\"]", "\"ws-9\"]").replace("ecd-1", "ecd-9");
    let swapped = "[[schedule]]\nname = \"swapped\"\ninstance_id = \"ws-2\"\ninstance_type = \"CloudDesktop\"\n\
                   cron = \"0 5 * * *\"\npaused = false\n";
    let host = configured(cloud.addr, &format!("{file}{swapped}"));
    let report = examined(&host, 5, &[]);
    report.is("instance ecd-9", "fail", &["no such cloud desktop in cn-shanghai", "golden", "instance_region"]);
    report.is("instance ws-9", "fail", &["no such workstation", "farm"]);
    report.is("instance ws-2", "fail", &["a workstation", "swapped", "set instance_type = \"WuyingServer\""]);
    report.is("instance ws-1", "ok", &["Running"]);

    // A paused schedule is no problem.
    host.configure(cloud.addr, &FILE.replace("ecd-1\"", "ecd-9\"\npaused = true"));
    examined(&host, 0, &[]).is("instance ecd-9", "warn", &["no such cloud desktop"]);

    // Many good instances share one line.
    let many: Vec<String> = (0..130).map(|n| format!("ecd-m{n}")).collect();
    let args: Vec<&str> = many.iter().flat_map(|id| ["--instance", id]).collect();
    let cloud = Cloud::with(&args);
    let schedule = format!("[[schedule]]\nname = \"many\"\ninstance_ids = {many:?}\ncron = \"0 5 * * *\"\n");
    let host = configured(cloud.addr, &schedule);
    examined(&host, 0, &[]).is("130 instances", "ok", &["130 Running"]);
}

#[test]
fn images_of_lines_that_are_not_in_the_file() {
    let cloud = cloud();
    let mut host = configured(cloud.addr, FILE);
    host.start();
    host.bake("golden");
    host.bake("farm");
    host.stop();
    let before = cloud.state()["images"].clone();
    host.configure(cloud.addr, &FILE.replace("golden", "silver"));
    let report = examined(&host, 0, &[]);
    report.is("images", "warn", &["3 of owner imagebaked, 1 of them", "golden (1)", "console"]);
    report.is("daemon", "warn", &["no daemon listens", "systemctl start"]);
    assert_eq!(cloud.state()["images"], before);
}

#[test]
fn a_damaged_database_is_reported_and_left_as_it_is() {
    let cloud = cloud();
    let mut host = configured(cloud.addr, FILE);
    let database = host.path("state/imagebaked.db");
    examined(&host, 0, &[]).is("database", "ok", &["none yet"]);
    assert!(!host.path("state").exists(), "doctor creates nothing");
    host.start();
    host.bake("farm");
    host.stop();
    let sound = fs::read(&database).unwrap();
    // Pages are of 4 KiB; the schema is in the first.
    let mut torn = sound.clone();
    for page in torn.chunks_mut(4096).skip(1) {
        page[..64].fill(0x5a);
    }
    let mut headless = sound.clone();
    headless[..64].fill(0);
    for damaged in [torn, headless, sound[..sound.len() / 2].to_vec()] {
        fs::write(&database, &damaged).unwrap();
        examined(&host, 5, &[]).is("database", "fail", &["imagebaked restore FILE", "aside"]);
        assert_eq!(fs::read(&database).unwrap(), damaged);
    }
    fs::write(&database, &sound).unwrap();
    examined(&host, 0, &[]).is("database", "ok", &["sound"]);
}

#[test]
fn files_that_are_open_to_everybody() {
    let cloud = cloud();
    let host = configured(cloud.addr, FILE);
    let (config, secret) = (host.path("imagebaked.toml"), host.path("keys/access_key_secret"));
    chmod(config.parent().unwrap(), 0o755);
    chmod(&secret, 0o444);
    // Files in a closed folder are closed, too.
    examined(&host, 0, &[]).is("credential files", "ok", &["access_key_secret"]);
    chmod(&host.path("keys"), 0o755);
    chmod(&host.path("keys/access_key_id"), 0o400);
    examined(&host, 5, &[]).is("credential files", "fail", &["everybody can read", "chmod 0400", "new key pair"]);
    chmod(&secret, 0o400);
    chmod(&config, 0o666);
    let report = examined(&host, 5, &[]);
    report.is("credential files", "ok", &[]);
    report.is("configuration permissions", "fail", &["everybody can write", "chmod o-w"]);
    chmod(&config, 0o644);
    chmod(config.parent().unwrap(), 0o777);
    examined(&host, 5, &[]).is("configuration permissions", "fail", &["everybody can replace", "chmod o-w"]);
    chmod(config.parent().unwrap(), 0o755);
    examined(&host, 0, &[]).is("configuration permissions", "ok", &[]);
}

#[test]
fn a_configuration_behind_a_link_and_all_that_is_open_is_named() {
    let cloud = cloud();
    let host = configured(cloud.addr, FILE);
    let (config, open) = (host.path("imagebaked.toml"), host.path("elsewhere"));
    chmod(config.parent().unwrap(), 0o755);
    fs::create_dir(&open).unwrap();
    fs::rename(&config, open.join("real.toml")).unwrap();
    std::os::unix::fs::symlink("elsewhere/real.toml", &config).unwrap();
    chmod(&open, 0o755);
    examined(&host, 0, &[]).is("configuration permissions", "ok", &[]);
    chmod(&open, 0o777);
    let folder = open.display().to_string();
    examined(&host, 5, &[]).is("configuration permissions", "fail", &["everybody can replace files of", &folder]);
    chmod(&open.join("real.toml"), 0o646);
    examined(&host, 5, &[]).is("configuration permissions", "fail", &["can replace files", "can write", "; chmod"]);
    chmod(&open.join("real.toml"), 0o644);
    chmod(&open, 0o755);
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: only root can give a folder away");
    }
    // The keys are root's alone, and the daemon is another user.
    fs::create_dir_all(host.path("state")).unwrap();
    std::os::unix::fs::chown(host.path("state"), Some(471_147), Some(471_147)).unwrap();
    let keys = host.path("keys").display().to_string();
    let report = examined(&host, 5, &[]);
    report.is("credential files", "fail", &["uid 471147", "cannot read", "may not enter", &keys]);
    chmod(&host.path("keys/access_key_id"), 0o400);
    chmod(&host.path("keys/access_key_secret"), 0o400);
    chmod(&host.path("keys"), 0o755);
    examined(&host, 5, &[]).is("credential files", "fail", &["access_key_secret", "cannot read", "LoadCredential"]);
}

#[test]
fn what_answers_in_place_of_the_cloud_is_named_and_no_success() {
    let cloud = cloud();
    let host = configured(cloud.addr, FILE);
    for action in ["ListImage", "ListWuyingServer", "DescribeDesktops", "GetCallerIdentity"] {
        cloud.add_faults(&format!(r#"{{"fault":[{{"action":"{action}","times":0,"body":"html"}}]}}"#));
    }
    let report = examined(&host, 5, &[]);
    let name = "appstreaming:ListImage and 2 more permissions";
    let address = cloud.addr.to_string();
    report.is(name, "fail", &["no answer of the cloud", &address, "no JSON object (text/html: Bad gateway)", "proxy"]);
    report.is("appstreaming:CreateImageByInstance", "skip", &["what answers is not the cloud"]);
    assert!(cloud.calls("CreateImageByInstance", None).is_empty());
}

#[test]
fn one_name_that_cannot_be_read_costs_no_list() {
    let cloud = cloud();
    let host = configured(cloud.addr, FILE);
    cloud.add_faults(r#"{"fault":[{"action":"ListWuyingServer","times":0,"list":"damaged_names"}]}"#);
    let report = examined(&host, 0, &[]);
    report.is("instance ws-2", "ok", &["Running", "farm", "\u{fffd}"]);
    report.is("answers of the cloud", "warn", &["ListWuyingServer", "no valid text"]);
    // A damaged id makes its own row unreadable, and no other instance is called missing for it.
    cloud.clear_faults();
    cloud.add_faults(r#"{"fault":[{"action":"ListWuyingServer","times":0,"list":"damaged_ids"}]}"#);
    let report = examined(&host, 0, &[]);
    report.is("instance ws-1", "warn", &["not known", "unreadable", "its id is damaged"]);
    report.is("instance ecd-1", "ok", &["Running"]);
}

#[test]
fn a_broken_configuration_is_no_reason_to_stop() {
    let cloud = cloud();
    let host = configured(cloud.addr, &FILE.replace("0 3 *", "0 99 *"));
    let report = examined(&host, 2, &[]);
    report.is("configuration", "fail", &["1 error", "bad-cron", "check"]);
    report.is("credentials", "ok", &[]);
    report.is("instance ws-1", "ok", &[]);
    report.is("images", "skip", &[]);
    assert_eq!(report.names("fail"), ["configuration"]);

    fs::remove_file(host.path("imagebaked.toml")).unwrap();
    let output =
        command(&host, &["--json"]).env("IMAGEBAKED_CLOUD__ENDPOINT", format!("http://{}", cloud.addr)).output();
    report_of_nothing(&self::report(output.unwrap(), 2));
}

fn report_of_nothing(report: &Report) {
    report.is("configuration", "fail", &["no such file", "imagebaked init"]);
    report.is("credentials", "fail", &["no credentials"]);
}

#[test]
fn a_host_that_does_not_answer() {
    // The port was bound and is closed again: nothing listens.
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let host = configured(addr, FILE);
    let report = examined(&host, 5, &[]);
    report.is(&format!("endpoint {addr}"), "fail", &["ConnectFailed", "firewall"]);
    report.is("credentials and all else in the cloud", "skip", &[]);
    assert_eq!(report.names("fail").len(), 1);
}

#[test]
fn a_service_that_is_not_as_it_should_be() {
    let cloud = cloud();
    let mut host = configured(cloud.addr, FILE);
    host.start();
    for (enabled, active, result, advice) in [
        ("enabled", "failed", "fail", "journalctl"),
        ("disabled", "active", "warn", "systemctl enable imagebaked"),
        ("enabled", "inactive", "warn", "systemctl enable --now"),
        ("not-found", "inactive", "warn", "systemd/imagebaked.service"),
    ] {
        systemctl(&host, enabled, active);
        examined(&host, if result == "fail" { 5 } else { 0 }, &[]).is("systemd unit", result, &[advice]);
    }
    fs::remove_file(host.path("bin/systemctl")).unwrap();
    examined(&host, 0, &[]).is("systemd unit", "warn", &["no systemctl"]);

    host.configure(cloud.addr, &FILE.replace("0 3", "0 5"));
    examined(&host, 0, &[]).is("daemon", "warn", &["runs by configuration", "imagebaked reload"]);
}
