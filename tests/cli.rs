//! The commands as people and programs use them: text, JSON fields, exit codes.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{Cloud, Host, Running, eventually, exchange, imagebaked, signal};

const FILE: &str = r#"
[[schedule]]
name = "golden"
instance_id = "ecd-1"
cron = "0 3 * * mon-fri"
timezone = "Asia/Shanghai"
[[schedule]]
name = "farm"
id = "farm-id"
instance_ids = ["ws-1", "ws-2"]
cron = "30 4 * * *"
"#;

fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_day_on_the_command_line() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);

    // The daemon has never run.
    host.expect(4, &["status"]);
    host.expect(3, &["history"]);
    host.expect(4, &["bake", "golden"]);
    let (out, _) = host.expect(0, &["check"]);
    assert!(out.contains("valid. 2 schedules, 3 instances."), "{out}");

    host.start();
    let (out, _) = host.expect(0, &["status"]);
    assert!(out.starts_with("OK; 3 lines have no image yet.\n"), "{out}");
    host.expect(3, &["bake", "silver"]);
    for (code, about) in
        [(0, "golden"), (0, "line:golden"), (3, "goldn"), (3, "line:goldn"), (3, "7"), (3, "\u{1b}[2J")]
    {
        host.expect(code, &["events", "--about", about]);
    }
    // A number of a history that was replaced since.
    let (_, err) = host.expect(3, &["events", "--after", "999999"]);
    assert!(err.contains("its newest is"), "{err}");
    let (_, err) = host.expect(3, &["adopt", "golden", "imgc-none"]);
    assert!(err.contains("\"imgc-none\""), "{err}");
    host.expect(2, &["bake"]);
    let bake = host.bake("golden");
    assert_eq!((bake["state"].as_str(), bake["trigger"].as_str()), (Some("succeeded"), Some("manual")));
    host.bake("farm-id");

    let report = host.json(0, &["history"]);
    let bakes = report["bakes"].as_array().unwrap();
    assert_eq!(bakes.len(), 3);
    let promised = [
        "id",
        "schedule",
        "slot",
        "instance_id",
        "state",
        "reason",
        "image_id",
        "version_id",
        "task_id",
        "image_name",
        "version",
        "attempts",
        "created_at",
        "finished_at",
    ];
    for bake in bakes {
        assert!(fields(bake).is_superset(&promised.into()), "{bake:#}");
        assert!(bake["slot"].as_str().unwrap().ends_with('Z') && bake["id"].is_i64(), "{bake:#}");
    }
    let only = |args: &[&str]| host.json(0, &[&["history"], args].concat())["bakes"].as_array().unwrap().len();
    assert_eq!(
        (only(&["--schedule", "farm"]), only(&["--schedule", "farm-id"]), only(&["--instance", "ws-2"])),
        (2, 2, 1)
    );
    assert_eq!((only(&["--state", "failed"]), only(&["--since", "1h"]), only(&["--until", "1h"])), (0, 3, 0));
    let newest = host.json(0, &["history", "--limit", "2"])["bakes"][1]["id"].to_string();
    assert_eq!(only(&["--before", &newest]), 1);
    host.expect(2, &["history", "--state", "lost"]);
    host.expect(3, &["show", "99"]);
    assert_eq!(host.json(0, &["images"])["images"].as_array().unwrap().len(), 3);
    host.expect(3, &["images", "silver"]);

    // The history is readable without the daemon. A closed pipe is no failure.
    host.stop();
    let mut history = host.command(&["history"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(history.stdout.take());
    assert!(history.wait().unwrap().success());
    let (_, err) = host.expect(4, &["status"]);
    assert!(err.contains("is it running?"), "{err}");
}

#[test]
fn the_plan_follows_the_configuration() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    let range = ["plan", "--from", "2027-03-01T19:00:00Z", "--until", "2027-03-03T19:00:00Z"];
    let slots = host.json(0, &range)["slots"].as_array().unwrap().clone();
    let report: Vec<_> = slots
        .iter()
        .map(|slot| {
            ["schedule", "instance_id", "slot", "image_name"].map(|field| slot[field].as_str().unwrap()).join(" ")
        })
        .collect();
    // Versions go on from those of the slots until then.
    let (report, versions): (Vec<_>, Vec<u32>) = report
        .iter()
        .map(|line| line.rsplit_once("-v").map(|(name, version)| (name, version.parse::<u32>().unwrap())).unwrap())
        .unzip();
    // `--from` is exclusive, `--until` is inclusive.
    let wanted = [
        "farm ws-1 2027-03-02T04:30:00Z farm-ws-1-20270302-0430",
        "farm ws-2 2027-03-02T04:30:00Z farm-ws-2-20270302-0430",
        "golden ecd-1 2027-03-02T19:00:00Z golden-20270303-0300",
        "farm ws-1 2027-03-03T04:30:00Z farm-ws-1-20270303-0430",
        "farm ws-2 2027-03-03T04:30:00Z farm-ws-2-20270303-0430",
        "golden ecd-1 2027-03-03T19:00:00Z golden-20270304-0300",
    ];
    assert_eq!(report, wanted);
    let until = ["plan", "golden", "--limit", "0", "--until", "2027-03-03T19:00:00Z"];
    let golden = u32::try_from(host.json(0, &until)["slots"].as_array().unwrap().len()).unwrap();
    assert_eq!((versions[2], versions[5]), (golden - 1, golden));
    assert_eq!((versions[1], versions[3]), (versions[0], versions[0] + 1));
    assert_eq!(slots[2]["local"], "2027-03-03T03:00:00+08:00");
    host.start();
    host.bake("golden");
    let after = host.json(0, &range);
    let next = format!("golden-20270303-0300-v{}", versions[2] + 1);
    assert_eq!(after["slots"][2]["image_name"], next.as_str(), "the next version of the line");
    host.expect(2, &["plan", "--from", "2027-03-02T00:00:00Z", "--until", "2027-03-01T00:00:00Z"]);
    host.expect(3, &["plan", "--schedule", "silver"]);
}

#[test]
fn a_reload_takes_all_or_nothing() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    host.start();
    let hash_with = |code| host.json(code, &["status"])["daemon"]["config_hash"].clone();
    let hash = || hash_with(0);
    let before = hash();
    host.configure(cloud.addr, &FILE.replace("0 3 *", "0 99 *"));
    let (_, err) = host.expect(2, &["reload"]);
    assert!(err.contains("error[bad-cron]") && err.contains("hours run from 0 to 23"), "{err}");
    assert_eq!(hash_with(5), before, "in force, and a problem: a restart would find no configuration");
    host.expect(2, &["check"]);
    let problems = host.json(2, &["check"]);
    assert_eq!((problems["ok"].as_bool(), problems["problems"][0]["code"].as_str()), (Some(false), Some("bad-cron")));
    host.configure(cloud.addr, &FILE.replace("0 3 *", "0 4 *"));
    host.expect(0, &["reload"]);
    let second = hash();
    assert_ne!(second, before);
    host.configure(cloud.addr, FILE);
    host.signal("HUP");
    eventually("SIGHUP reads the file again", || (hash() == before).then_some(()));
}

#[test]
fn people_can_pause_resume_retry_and_cancel() {
    let cloud = Cloud::start();
    let file = format!("{FILE}[[schedule]]\nname = \"wrong\"\ninstance_id = \"ecd-wrong\"\ncron = \"@yearly\"\n");
    let mut host = Host::new(cloud.addr, &file);
    host.start();
    host.expect(0, &["pause", "golden", "--until", "2h", "--reason", "patch day"]);
    let status = host.json(0, &["status"]);
    assert_eq!(
        (&status["paused"][0]["schedule"], &status["paused"][0]["reason"]),
        (&"golden".into(), &"patch day".into())
    );
    host.expect(0, &["resume", "golden"]);
    let (_, err) = host.expect(1, &["resume", "golden"]);
    assert!(err.contains("golden is not paused by a command"), "{err}");
    host.expect(3, &["pause", "silver"]);

    let error = "[[fault]]\naction = \"CreateImageByInstance\"\ninstance_id = \"ecd-wrong\"\ncode = \"Instance.ImageUnsupported\"\n";
    cloud.add_faults(error);
    let failed = host.bake("wrong");
    assert_eq!(failed["state"], "failed");
    let id = failed["id"].to_string();
    let (out, _) = host.expect(0, &["retry", &id, "--wait"]);
    assert!(out.contains("succeeded"), "{out}");
    host.expect(3, &["retry", "99"]);
    let (_, err) = host.expect(1, &["cancel", &id]);
    assert!(err.contains("it has ended"), "{err}");

    // A bake that waits for a busy cloud can be cancelled.
    cloud.add_faults(&error.replace("Instance.ImageUnsupported\"", "ExceedBuilderQuota\"\ntimes = 0"));
    host.expect(0, &["bake", "wrong"]);
    let waits = |bake: &Value| bake["state"] == "queued" && !bake["reason"].is_null();
    let waiting = host.until("it waits", &[], waits);
    eventually("it is cancelled between two calls", || {
        host.run(&["cancel", &waiting["id"].to_string()]).status.success().then_some(())
    });
    let ended = host.until("it is over", &["--state", "cancelled"], |bake| bake["id"] == waiting["id"]);
    assert_eq!(ended["reason_code"], "cancelled");
    assert!(host.newest(&["--state", "failed,skipped"]).is_none_or(|row| row["id"] != waiting["id"]));
    assert_eq!(host.json(0, &["status"])["last_day"]["cancelled"], 1, "what a person wanted is no problem");
    assert_eq!(ended["reason"].as_str().unwrap().split(" uid").next(), Some("cancelled by"));
}

#[test]
fn a_schedule_that_keeps_failing_is_paused_until_it_is_edited() {
    let cloud = Cloud::start();
    let file =
        |more: &str| format!("[[schedule]]\nname = \"a\"\ninstance_id = \"ecd-a\"\ncron = \"@yearly\"\n{more}\n");
    let mut host = Host::new(cloud.addr, &file(""));
    host.start();
    let error = "[[fault]]\naction = \"CreateImageByInstance\"\ntimes = 0\ncode = \"Instance.ImageUnsupported\"\n";
    cloud.add_faults(error);
    for n in 1..=5 {
        let before = host.json(if n == 1 { 0 } else { 5 }, &["status"]);
        assert_eq!(before["health"]["verdict"], if n == 1 { "ok" } else { "warning" }, "{before}");
        assert_eq!(host.bake("a")["state"], "failed", "bake {n}");
    }
    let status = host.json(5, &["status"]);
    assert_eq!(status["paused"][0]["who"], "imagebaked");
    let [problem] = status["health"]["problems"].as_array().unwrap().as_slice() else { panic!("{status}") };
    assert_eq!((&problem["code"], &problem["subject"]["id"]), (&"schedule_auto_paused".into(), &"a".into()));
    assert_eq!(problem["command"], "imagebaked resume a");
    let reason = problem["message"].as_str().unwrap();
    assert!(
        reason.contains("failed permanently 5 times in a row") && reason.contains("imagebaked resume a"),
        "{reason}"
    );
    host.configure(cloud.addr, &file("disk_type = \"SYSTEM\""));
    host.expect(0, &["reload"]);
    // It is resumed, and its last image is still missing.
    let status = host.json(5, &["status"]);
    assert_eq!(status["paused"].as_array().unwrap().len(), 0);
    assert_eq!(
        (&status["health"]["verdict"], &status["health"]["problems"][0]["code"]),
        (&"warning".into(), &"bake_failed".into())
    );
}

#[test]
fn a_good_bake_by_hand_ends_the_pause_of_a_schedule_that_kept_failing() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, "[[schedule]]\nname = \"a\"\ninstance_id = \"ecd-a\"\ncron = \"@yearly\"\n");
    host.start();
    cloud
        .add_faults("[[fault]]\naction = \"CreateImageByInstance\"\ntimes = 0\ncode = \"Instance.ImageUnsupported\"\n");
    for n in 1..=5 {
        assert_eq!(host.bake("a")["state"], "failed", "bake {n}");
    }
    assert_eq!(host.json(5, &["status"])["paused"][0]["who"], "imagebaked");
    exchange(cloud.addr, "DELETE", "/_sim/faults", "");
    assert_eq!(host.bake("a")["state"], "succeeded");
    eventually("it goes on", || host.json(0, &["status"])["paused"].as_array().unwrap().is_empty().then_some(()));
    let audit = host.json(0, &["audit", "--action", "resume"]).to_string();
    assert!(audit.contains("a: a bake of it succeeded"), "{audit}");
}

/// Masks what differs from run to run, and the column widths that follow from it.
macro_rules! same_words {
    ($text:expr) => {
        insta::with_settings!({ filters => [
            (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z", "[instant]"),
            (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? [+-]\d\d:\d\d", "[time]"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", "[local]"),
            (r"\b(now|(in )?\d+[dhms]+( \d+[hms])?( ago)?)  ", "[span]  "),
            (r"\bv(\d+), \d+[dhms]+( \d+[hms])? old", "v$1, [span] old"),
            (r"(started|accepted) (now|\d+\w+ ago)", "$1 [span]"),
            (r"scan of the cloud, (now|\d+\w+ ago)", "scan of the cloud, [span]"),
            (r"/\S+/(imagebaked\.toml|keys)", "[folder]/$1"),
            (r"\bimgc-[0-9a-z]+", "[image]"),
            (r"\((now|\d+[dhms]+( \d+[hms])? ago)\)", "([span])"),
            (r"uid \d+( \([\w-]+\))?", "uid [uid]"),
            (r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", "[request]"),
            (r"(onfiguration +)[0-9a-f]{8,}", "$1[hash]"),
            (r"pid \d+", "pid [pid]"),
            (r"golden-\d{8}-\d{4}", "golden-[slot]"),
            (r"release \d{4}\w+ \([^)]+\)", "release [release] ([source])"),
            (r" {2,}", "  "),
        ] }, { insta::assert_snapshot!($text) });
    };
}

#[test]
fn a_terminal_gets_tables() {
    let cloud = Cloud::start();
    let file = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 1 1 *\"\n";
    let mut host = Host::new(cloud.addr, file);
    let report = |host: &Host, args: &[&str]| host.expect(0, args).0;
    let check = report(&host, &["check"]);
    host.start();
    host.bake("golden");
    // A new history searches before each create in its first seconds. A history after an orderly stop does not.
    eventually("the history is settled", || host.log().contains("the history is settled").then_some(()));
    host.stop();
    host.start();
    cloud.add_faults("[[fault]]\naction = \"CreateImageByInstance\"\ncode = \"Instance.ImageUnsupported\"\n");
    let id = host.bake("golden")["id"].to_string();
    host.expect(0, &["pause", "golden", "--reason", "patch day"]);
    eventually("the image is the latest", || {
        host.json(0, &["images"])["images"][0]["channels"].as_array().filter(|names| !names.is_empty()).map(|_| ())
    });
    eventually("the key's owner is known", || {
        host.json(0, &["status"])["daemon"]["credentials_identity"].as_str().map(|_| ())
    });
    let all = [
        ("check", check),
        // Which jobs of the housekeeping have run already differs from run to run.
        ("status", report(&host, &["status"]).split("\nHousekeeping\n").next().unwrap().to_owned()),
        ("history", report(&host, &["history"])),
        ("history, nothing fits", report(&host, &["history", "--state", "skipped"])),
        ("show", report(&host, &["show", &id])),
        ("images", report(&host, &["images"])),
        ("pause", report(&host, &["pause", "golden"])),
        ("resume", report(&host, &["resume", "golden"])),
        ("bake", report(&host, &["bake", "golden"])),
        ("reload", report(&host, &["reload"])),
    ];
    let whole: String = all.iter().map(|(name, text)| format!("== {name}\n{text}\n")).collect();
    same_words!(whole);
}

#[test]
fn programs_get_one_document_and_only_terminals_colour() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    host.start();
    let id = host.bake("golden")["id"].to_string();
    let commands: &[&[&str]] = &[
        &["check"],
        &["plan"],
        &["status"],
        &["history"],
        &["show", &id],
        &["images"],
        &["why", "golden", "--at", "2027-03-01T19:00:00Z"],
        &["reconcile"],
        &["pause", "golden"],
        &["resume", "golden"],
        &["reload"],
        &["bake", "golden"],
    ];
    for args in commands {
        assert!(host.json(0, args).is_object(), "{args:?}");
    }
    let (plain, _) = host.expect(0, &["history"]);
    let (painted, _) = host.expect(0, &["history", "--color", "always"]);
    assert!(!plain.contains('\u{1b}') && painted.contains("\u{1b}[32msucceeded\u{1b}[0m"), "{painted}");
    // A failure prints to standard error, and nothing to standard output.
    for (code, args) in [(3, vec!["show", "99"]), (3, vec!["bake", "silver"]), (2, vec!["history", "--limit", "x"])] {
        let (out, err) = host.expect(code, &[&args[..], &["--json"]].concat());
        assert!(out.is_empty() && err.starts_with("error: "), "{args:?}: {out}{err}");
    }
    host.stop();
    let (out, err) = host.expect(4, &["status", "--json"]);
    assert!(out.is_empty() && err.starts_with("error: "), "{out}{err}");
}

#[test]
fn slots_of_a_pause_are_recorded_with_its_reason() {
    let cloud = Cloud::start();
    let file = "[[schedule]]\nname = \"often\"\ninstance_id = \"ecd-1\"\ncron = \"* * * * * *\"\n";
    let mut host = Host::new(cloud.addr, FILE);
    host.start();
    host.expect(3, &["pause", "often"]);
    host.configure(cloud.addr, &file.replace("\"often\"", "\"often\"\npaused = true"));
    host.expect(0, &["reload"]);
    let by_file = host.until("a slot comes", &["--schedule", "often"], |_| true);
    assert_eq!((by_file["state"].as_str(), by_file["reason"].as_str()), (Some("skipped"), Some("paused in the file")));
    host.expect(0, &["pause", "often", "--reason", "patch day"]);
    host.configure(cloud.addr, file);
    host.expect(0, &["reload"]);
    let row = host.until("the person's reason", &["--schedule", "often"], |row| {
        row["reason"].as_str().is_some_and(|reason| reason.contains("patch day"))
    });
    assert_eq!(row["state"], "skipped");
    assert_eq!(cloud.calls("CreateImageByInstance", None).len(), 0);
    host.expect(0, &["resume", "often"]);
    host.until("it bakes again", &["--schedule", "often", "--state", "succeeded"], |_| true);
}

#[test]
fn the_demo_keeps_its_promises() {
    let begun = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let output = imagebaked().arg("demo").arg("--dir").arg(folder.path()).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(out.matches(". kept: ").count(), 4, "{out}");
    assert!(!out.contains('\u{1b}'), "no colours into a pipe");
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    assert!(!out.contains("[[schedule]]") && out.contains("Instance.ImageUnsupported"), "{out}");
    assert!(out.contains("v4 -> v3") || out.contains("prod of win11-golden"), "{out}");
    // It ends with three commands that work.
    let (_, last) = out.split_once("Now you:\n").unwrap();
    let commands: Vec<&str> = last.lines().take_while(|line| line.starts_with("  ")).collect();
    assert_eq!(commands.len(), 3, "{last}");
    for line in &commands[..2] {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let output = imagebaked().args(&words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("cad"), "{words:?}");
    }
    assert!(commands[2].ends_with(" demo --dir trial --stay"), "{last}");
}

#[test]
fn a_trial_goes_on_until_it_is_stopped_and_then_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("imagebaked.toml");
    let on = |args: &[&str]| imagebaked().arg("--config").arg(&config).args(args).output().unwrap();
    for bakes in 1..=2 {
        let mut command = imagebaked();
        command.arg("demo").arg("--dir").arg(folder.path()).arg("--stay").stdout(Stdio::null());
        let mut trial = Running(command.spawn().unwrap());
        eventually("the daemon answers", || on(&["status"]).status.success().then_some(()));
        assert!(on(&["bake", "--instance", "ecd-sim0001"]).status.success());
        let history = String::from_utf8(on(&["history", "--json", "win11-golden"]).stdout).unwrap();
        assert!(history.matches("\"trigger\":\"manual\"").count() >= bakes, "{history}");
        signal(trial.0.id(), "TERM");
        assert!(eventually("it has stopped", || trial.0.try_wait().unwrap()).success());
    }
    assert!(folder.path().join("cloud.json").exists());
    // The half minute does not replace the file of a trial.
    let edited = fs::read_to_string(&config).unwrap();
    let output = imagebaked().arg("demo").arg("--dir").arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(fs::read_to_string(&config).unwrap(), edited);
}

#[test]
fn what_is_not_utf_8_is_named_and_not_ignored() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let odd = OsStr::from_bytes(b"a\xff");
    for command in ["status", "show", "help"] {
        let output = imagebaked().arg(command).arg(odd).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}: {output:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("imagebaked.toml");
    fs::write(&file, "[[schedule]]\nname = 'a'\ninstance_id = 'ecd-1'\ncron = '@daily'\n").unwrap();
    let output = imagebaked().arg("check").arg(&file).env("IMAGEBAKED_DAEMON__MODE", odd).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(2) && text.contains("IMAGEBAKED_DAEMON__MODE=a"), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_reported_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.toml");
    let output = imagebaked().arg("--config").arg(&path).arg("run").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("there is no such file") && err.contains(" init` writes one"), "{err}");
    fs::write(&path, "").unwrap();
    let output = imagebaked().arg("--config").arg(&path).arg("check").output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && out.contains("there are no schedules"), "{out}");
    for (below, hint) in [("x", "is a file, so there is nothing below it"), (&"n".repeat(300), "so long a name")] {
        let path = if below == "x" { path.join(below) } else { folder.path().join(below) };
        let output = imagebaked().arg("--config").arg(path).arg("check").output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.code() == Some(2) && out.contains(hint) && out.contains("1 problem in"), "{out}");
    }
}

#[test]
fn the_release_of_the_time_zone_rules_is_shown() {
    let zones = tempfile::tempdir().unwrap();
    fs::write(zones.path().join("tzdata.zi"), "# version 2099a\n").unwrap();
    let version = |args: &[&str]| {
        let output = imagebaked().env("TZDIR", zones.path()).args(args).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let short = format!("imagebaked {}\n", env!("CARGO_PKG_VERSION"));
    let long = format!("{short}time zones: release 2099a ({})\n", zones.path().display());
    assert_eq!(version(&["--version"]), (0, short));
    assert_eq!(version(&["--version", "--verbose"]), (0, long.clone()));
    assert_eq!(version(&["--verbose", "--version"]), (0, long));
    assert_eq!(version(&["--verbose", "plan"]), (2, String::new()));

    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    host.start();
    let release = imagebaked::domain::calendar::zone::Release::built_in();
    let status = host.json(0, &["status"]);
    assert_eq!(status["daemon"]["zones"]["release"], release.version());
    assert_eq!(status["daemon"]["zones"]["source"], "built in");
    let (text, _) = host.expect(0, &["status", "--all"]);
    assert!(text.contains(&format!("time zones   {release}")), "{text}");
}

#[test]
fn wrong_command_lines_are_answered_with_what_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("imagebaked.toml");
    let state = folder.path().join("state");
    fs::write(
        &config,
        format!("[daemon]\nstate_dir = '{}'\ncontrol_socket = '{0}/none.sock'\n{FILE}", state.display()),
    )
    .unwrap();
    for (code, line, part) in [
        (2, "", "How it is:"),
        (2, "staus", "imagebaked.toml status"),
        (2, "wyh golden", "imagebaked.toml why"),
        (2, "crontab imprt", "imagebaked crontab import"),
        (2, "status —json", "write `--json`"),
        (2, "bake golden –wait", "write `--wait`"),
        (2, "status -all", "--all, with two hyphens"),
        (2, "pause golden --for 2hours", "--until 2h"),
        (2, "doctor --fast", "doctor takes --"),
        (2, "why golden 3am", "write `03:00`"),
        (2, "why golden monday", "as its date"),
        (2, "history --since 26.11.2026", "year, month and day"),
        (2, "history --since 1764000000", "seconds since 1970"),
        (2, "audit --since tomorow", "did you mean `tomorrow`?"),
        (2, "help bakee", "imagebaked help bake"),
        (2, "bake", "bake SCHEDULE, --instance ID or --all"),
        (2, "bake --all", "add --yes"),
        (2, "bake --all golden", "cannot be used with"),
        (4, "bake golden", "is it running?"),
        (2, "history --limit many", "a whole number"),
        (2, "history --limit -1", "a whole number"),
        (2, "sim --build-time fast", "30s, 5m or 2h"),
        (2, "why golden 25:00", "this is no time"),
        (2, "why golden 03:00 --at 04:00", "cannot be used with"),
        (2, "why --schedule golden 03:00 04:00", "one word too many"),
        (3, "why gold", "did you mean \"golden\"?"),
        (3, "plan gold", "did you mean \"golden\"?"),
        (2, "plan tonight tomorrow", "cannot be used with another time"),
        (2, "plan golden golden", "takes one schedule"),
        (2, "rollback golden --reason x", "<CHANNEL>"),
        (2, "adopt golden", "takes images by id"),
        (2, "adopt golden imgc-1 --name x", "takes images by id"),
        (2, "status golden golden", "unexpected argument"),
        (2, "ack bake_faild --reason x", "did you mean `bake_failed`?"),
        (2, "show golden", "by its number"),
        (2, "completions tcsh", "possible values"),
        (2, "crontab", "takes a command: imagebaked crontab import"),
        (2, "crontab --json", "takes a command: imagebaked crontab import"),
        (2, "prune golden", "takes nothing but options"),
        (2, "reload now", "takes nothing but options"),
        (2, "show 1 2", "takes BAKE, and nothing after that"),
        (2, "history --since -2h", "no sign: 2h"),
        (2, "history --count 5", "--limit N"),
        (2, "events --after -5", "named by its number"),
        (2, "events --after 99999999999999999999", "named by its number"),
        (2, "init --stdout --endpoint ftp://x", "--endpoint \"ftp://x\""),
        (2, "init --stdout --region Mars!", "--region \"Mars!\""),
        (2, "init --stdout --desktop-region ../x", "regions look like"),
        (2, "adopt golden --tag =v", "KEY=VALUE"),
        (2, "adopt golden --tag k=", "KEY=VALUE"),
    ] {
        let output = imagebaked().arg("--config").arg(&config).args(line.split_whitespace()).output().unwrap();
        let answer = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "imagebaked {line}: {answer}");
        assert!(answer.contains(part), "imagebaked {line}: {answer}");
    }
    let version = imagebaked().arg("version").output().unwrap();
    assert_eq!(version.stdout, imagebaked().arg("--version").output().unwrap().stdout);
}

#[test]
fn suggested_commands_repeat_the_configuration_that_was_typed() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("my file.toml");
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let text = format!(
        "[daemon]\nstate_dir = \"{}\"\ncontrol_socket = \"{}\"\n\n[[schedule]]\nname = \"golden\"\ncron = \"0 3 * * *\"\n\
         instance_id = \"ws-1\"\n",
        state.display(),
        folder.path().join("s").display()
    );
    fs::write(&config, text).unwrap();
    let typed = |args: &[&str]| imagebaked().arg("--config").arg(&config).args(args).output().unwrap();
    let exported = |args: &[&str]| imagebaked().env("IMAGEBAKED_CONFIG", &config).args(args).output().unwrap();
    let words = |output: &std::process::Output| {
        let text = [output.stdout.as_slice(), &output.stderr].concat();
        String::from_utf8(text).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let option = format!("imagebaked --config '{}' ", config.display());
    // The text of an output, and that of an error.
    for args in [&["check"][..], &["bake"]] {
        let (typed, exported) = (words(&typed(args)), words(&exported(args)));
        assert!(typed.contains(&option), "{args:?}: {typed}");
        assert_eq!(typed.replace(&option, "imagebaked "), exported, "{args:?}");
        assert!(exported.contains("`imagebaked ") || exported.contains(" imagebaked "), "{exported}");
    }
    let other =
        imagebaked().env("IMAGEBAKED_CONFIG", "/nowhere.toml").arg("--config").arg(&config).arg("check").output();
    assert!(other.unwrap().status.success(), "the command line wins over the environment");
    let json = words(&typed(&["check", "--json"]));
    assert!(!json.contains("--config"), "programs get what they always got: {json}");
}
