//! Live edits: files that are changed in the ways of editors and people are taken or refused as a whole, and the daemon
//! reports which.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::symlink,
    process::Stdio,
};

use serde_json::Value;
use support::{Cloud, Host, eventually};

const FILE: &str = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 * * *\"\n";

fn host(cloud: &Cloud, watch: bool) -> Host {
    let mut host = Host::new(cloud.addr, FILE);
    fs::create_dir(host.path("conf.d")).unwrap();
    fs::write(host.path("conf.d/watch.toml"), format!("[daemon]\nwatch = {watch}\n")).unwrap();
    host.start();
    host
}

/// The status, whatever its verdict is.
fn status(host: &Host) -> Value {
    serde_json::from_slice(&host.run(&["status", "--json"]).stdout).unwrap()
}

/// The hash of the configuration in force.
fn in_force(host: &Host) -> String {
    status(host)["daemon"]["config_hash"].as_str().unwrap().to_owned()
}

/// The hash of the configuration on disk.
fn on_disk(host: &Host) -> String {
    host.json(0, &["check"])["config_hash"].as_str().unwrap().to_owned()
}

fn reaches_the_daemon(host: &Host, how: &str) {
    let wanted = on_disk(host);
    eventually(how, || (in_force(host) == wanted).then_some(()));
    assert_eq!(status(host)["daemon"]["config_on_disk"], "in_force", "{how}");
}

fn reads(host: &Host) -> usize {
    host.log().matches("the configuration was read again").count()
}

#[test]
fn every_way_to_edit_is_noticed() {
    let cloud = Cloud::start();
    let host = host(&cloud, true);
    let main = host.path("imagebaked.toml");
    let text = fs::read_to_string(&main).unwrap();
    let edited = |hour: u8| text.replace("0 3 *", &format!("0 {hour} *"));

    fs::write(&main, edited(4)).unwrap();
    reaches_the_daemon(&host, "written in place");

    fs::write(host.path(".imagebaked.toml.swp"), edited(5)).unwrap();
    fs::rename(host.path(".imagebaked.toml.swp"), &main).unwrap();
    reaches_the_daemon(&host, "another file renamed over it");

    for hour in [6, 7] {
        let (release, link) = (host.path(&format!("release-{hour}.toml")), host.path("link"));
        fs::write(&release, edited(hour)).unwrap();
        symlink(&release, &link).unwrap();
        fs::rename(&link, &main).unwrap();
        reaches_the_daemon(&host, "a link swapped to another file");
    }

    fs::write(host.path("conf.d/more.toml"), FILE.replace("golden", "silver")).unwrap();
    reaches_the_daemon(&host, "a file added to conf.d");
    fs::remove_file(host.path("conf.d/more.toml")).unwrap();
    reaches_the_daemon(&host, "and taken away");

    // A touched file has the same content. The next file that is read is that of the edit after it.
    let before = reads(&host);
    fs::write(&main, edited(7)).unwrap();
    eventually("the daemon has read the file", || {
        (status(&host)["daemon"]["config_on_disk"] == "in_force").then_some(())
    });
    fs::write(&main, edited(8)).unwrap();
    reaches_the_daemon(&host, "edited after a touch");
    assert_eq!(reads(&host), before + 1, "{}", host.log());

    // An edit can turn the watch off.
    fs::write(host.path("conf.d/watch.toml"), "").unwrap();
    reaches_the_daemon(&host, "watch turned off");
    fs::write(&main, edited(9)).unwrap();
    assert_eq!(status(&host)["daemon"]["config_on_disk"], "edited");
    host.expect(0, &["reload"]);
    reaches_the_daemon(&host, "reloaded by hand");
}

#[test]
fn half_a_file_is_refused_once_and_the_whole_one_taken() {
    let cloud = Cloud::start();
    let host = host(&cloud, true);
    let main = host.path("imagebaked.toml");
    let text = fs::read_to_string(&main).unwrap();
    let before = in_force(&host);
    let refused = |why: &str| {
        eventually(why, || (status(&host)["daemon"]["config_on_disk"] == "refused").then_some(()));
        let report = status(&host);
        let problem = &report["health"]["problems"][0];
        assert_eq!(problem["code"], "configuration_refused", "{report}");
        assert!(problem["message"].as_str().unwrap().contains("has problems and is not in force"), "{report}");
        assert_eq!(report["daemon"]["config_hash"], before.as_str());
    };
    let reports = || host.log().matches("the configuration has problems").count();

    let longer = format!("{text}{}", FILE.replace("golden", "silver"));
    fs::write(&main, &longer[..longer.len() - 20]).unwrap();
    refused("half a file");
    host.expect(5, &["status"]);
    // `reload` reports the problems again. The watch logs them once.
    let (_, err) = host.expect(2, &["reload"]);
    assert!(err.contains("error["), "{err}");
    fs::write(&main, &longer).unwrap();
    reaches_the_daemon(&host, "the other half");
    assert_eq!(reports(), 2, "once by the watch, once by a person: {}", host.log());
    assert_eq!(status(&host)["health"]["verdict"], "ok");

    let before = in_force(&host);
    fs::remove_file(&main).unwrap();
    eventually("no file", || (status_elsewhere(&host)["daemon"]["config_on_disk"] == "refused").then_some(()));
    assert_eq!(status_elsewhere(&host)["daemon"]["config_hash"], before.as_str());
    fs::write(&main, &longer).unwrap();
    reaches_the_daemon(&host, "it is there again");
    assert_eq!(status(&host)["health"]["verdict"], "ok");
}

/// The status, read with another configuration than the daemon's, which is gone.
fn status_elsewhere(host: &Host) -> Value {
    let elsewhere = host.path("elsewhere.toml");
    fs::write(&elsewhere, format!("[daemon]\ncontrol_socket = \"{}\"\n", host.path("control.sock").display())).unwrap();
    let output = support::imagebaked().arg("--config").arg(&elsewhere).args(["status", "--json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn without_watch_edits_are_reported_and_not_taken() {
    let cloud = Cloud::start();
    let host = host(&cloud, false);
    let before = in_force(&host);
    host.configure(cloud.addr, &FILE.replace("0 3 *", "0 4 *"));
    let (text, _) = host.expect(0, &["status"]);
    assert!(text.contains("edited since, not reloaded: `imagebaked reload`"), "{text}");
    assert_eq!(in_force(&host), before);
    // What is shown is what the daemon does.
    let in_force = |has_warning: bool| {
        for args in
            [&["plan", "--until", "3d"][..], &["why", "golden"], &["images"], &["channels"], &["prune", "--dry-run"]]
        {
            let (out, err) = host.expect(0, args);
            let warned =
                err.contains("the file was edited and is not in force: this answer is by the configuration in force");
            assert_eq!(warned, has_warning, "{args:?}: {err}");
            assert!(!out.contains(" 04:00 "), "{args:?}: {out}");
        }
    };
    in_force(true);
    let path = host.path("imagebaked.toml");
    let (out, _) = host.expect(0, &["plan", "--diff", path.to_str().unwrap()]);
    assert!(out.contains("in place of the configuration in force") && out.contains("0 4 * * *"), "{out}");
    // A comment changes no answer.
    host.configure(cloud.addr, &format!("# The golden image.\n{FILE}"));
    assert_eq!(status(&host)["daemon"]["config_on_disk"], "edited");
    in_force(false);
    host.configure(cloud.addr, FILE);
    assert_eq!(status(&host)["daemon"]["config_on_disk"], "in_force", "put back");
    in_force(false);
}

#[test]
fn reload_reports_the_changes() {
    let cloud = Cloud::start();
    let host = host(&cloud, false);
    let (text, _) = host.expect(0, &["reload"]);
    assert!(text.starts_with("Nothing changed.\nIn force: configuration "), "{text}");

    let silver = FILE.replace("golden", "silver").replace("ecd-1", "ecd-2");
    host.configure(cloud.addr, &format!("{}{silver}", FILE.replace("0 3 *", "0 4 *")));
    let (text, _) = host.expect(0, &["reload"]);
    for wanted in [
        "1 schedule added, 1 changed; ",
        " moved; 1 instance newly covered.\n",
        "  + silver\n",
        "  ~ golden\n    cron: 0 3 * * * → 0 4 * * *\n",
        "(was 03:00)",
        "Newly covered: ecd-2\n",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }

    // The next slots are those of the rules in force.
    let next = status(&host)["next"].as_array().unwrap().clone();
    let slot =
        |name: &str| next.iter().find(|next| next["schedule"] == name).unwrap()["slot"].as_str().unwrap().to_owned();
    assert!(slot("golden").contains("T04:00:00") && slot("silver").contains("T03:00:00"), "{next:?}");

    // A new name without the old `id` ends the line.
    host.configure(cloud.addr, &format!("{}{silver}", FILE.replace("golden", "gold").replace("0 3 *", "0 4 *")));
    let report = host.json(0, &["reload"]);
    assert_eq!(report["diff"]["lost_lines"][0], serde_json::json!({ "id": "golden", "name": "gold" }));
    host.configure(cloud.addr, FILE);
    host.signal("HUP");
    eventually("the log has one line of it", || {
        host.log().lines().any(|line| line.contains("read again: 1 schedule added, 2 removed; ")).then_some(())
    });
}

#[test]
fn reloads_at_once_end_with_what_is_on_disk() {
    let cloud = Cloud::start();
    let host = host(&cloud, true);
    for hour in 4..9 {
        host.configure(cloud.addr, &FILE.replace("0 3 *", &format!("0 {hour} *")));
        let reloads: Vec<_> =
            (0..3).map(|_| host.command(&["reload"]).stdout(Stdio::null()).spawn().unwrap()).collect();
        host.signal("HUP");
        for mut reload in reloads {
            assert!(reload.wait().unwrap().success());
        }
        assert_eq!(in_force(&host), on_disk(&host));
        assert_eq!(status(&host)["daemon"]["config_on_disk"], "in_force");
    }
}

#[test]
fn a_running_bake_is_not_touched() {
    let cloud = Cloud::with(&["--open", "--build-time", "2s"]);
    let host = host(&cloud, false);
    host.expect(0, &["bake", "golden"]);
    let building = host.until("it is building", &[], |bake| bake["state"] == "building");
    host.configure(cloud.addr, &FILE.replace("golden", "silver").replace("ecd-1", "ecd-2"));
    let (text, _) = host.expect(0, &["reload"]);
    assert!(text.contains("- golden") && text.contains("No longer covered: ecd-1"), "{text}");
    let ended = host.until("it ends", &[], |bake| bake["state"] == "succeeded");
    assert_eq!((&ended["id"], &ended["image_id"]), (&building["id"], &building["image_id"]));
    assert_eq!(cloud.images("ecd-1").len(), 1);
}

#[test]
fn plan_diff_shows_an_edit_before_it_counts() {
    let cloud = Cloud::start();
    let host = Host::new(cloud.addr, FILE);
    let new = host.path("new.toml");
    let text = fs::read_to_string(host.path("imagebaked.toml")).unwrap();
    let new_path = new.display().to_string();
    let range = ["--from", "2027-03-01T00:00:00Z", "--until", "2027-03-03T00:00:00Z"];
    let diff = |code: i32| host.expect(code, &[&["plan", "--diff", &new_path], &range[..]].concat());

    fs::write(&new, &text).unwrap();
    assert!(diff(0).0.contains(" changes nothing of "));

    // The files of conf.d still count.
    fs::create_dir(host.path("conf.d")).unwrap();
    fs::write(host.path("conf.d/farm.toml"), FILE.replace("golden", "farm").replace("ecd-1", "ecd-9")).unwrap();
    let edited = text.replace("0 3 * * *", "0 4 1 * *").replace("max_builders = 20", "max_builders = 3");
    fs::write(&new, edited.replace("drain = \"2s\"", "drain = \"3s\"")).unwrap();
    let (report, _) = diff(0);
    let report = report.replace(&host.path("").display().to_string(), "/etc/");
    insta::assert_snapshot!(report);
    let json = host.json(0, &[&["plan", "--diff", &new_path], &range[..]].concat());
    assert_eq!((&json["needs_restart"], &json["diff"]["counts"]["slots_moved"]), (&true.into(), &1.into()), "{json}");
    assert_eq!(json["diff"]["slots_gone"][0]["slot"], "2027-03-02T03:00:00Z");

    fs::write(&new, text.replace("0 3 * * *", "0 33 * * *")).unwrap();
    assert!(diff(2).1.contains("error[bad-cron]"));
    fs::remove_file(&new).unwrap();
    assert!(diff(2).1.contains("error[no-file]"));
}

#[test]
fn status_can_be_watched_and_ends_with_the_daemon() {
    let cloud = Cloud::start();
    let mut host = host(&cloud, false);
    let mut watch =
        host.command(&["status", "--watch", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["paused"], serde_json::json!([]));
    host.expect(0, &["pause", "golden"]);
    // Only changes are printed: the next line is the pause, although several polls may come first.
    assert_eq!(next()["paused"][0]["schedule"], "golden");
    host.stop();
    let ended = watch.wait_with_output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(4) && err.contains("the daemon has gone"), "{err}");
}

#[test]
fn nagios_gets_one_line_and_its_own_exit_codes() {
    let cloud = Cloud::start();
    let mut host = host(&cloud, false);
    let (line, _) = host.expect(0, &["status", "--check"]);
    assert!(line.starts_with("OK - 1 schedule, next golden at ") && line.contains(" | running=0 queued=0 "), "{line}");
    host.configure(cloud.addr, &FILE.replace("0 3 *", "0 44 *"));
    host.expect(2, &["reload"]);
    let (line, _) = host.expect(1, &["status", "--check"]);
    assert!(line.starts_with("WARNING - 1 warning: the configuration on disk has problems"), "{line}");
    host.stop();
    let (line, _) = host.expect(3, &["status", "--check"]);
    assert!(line.starts_with("UNKNOWN - the daemon is not reachable") && line.lines().count() == 1, "{line}");
    fs::remove_file(host.path("imagebaked.toml")).unwrap();
    fs::remove_file(host.path("conf.d/watch.toml")).unwrap();
    assert!(host.expect(3, &["status", "--check"]).0.starts_with("UNKNOWN - "));
}

#[test]
fn commands_find_the_running_daemon_after_its_paths_were_edited() {
    let cloud = Cloud::start();
    let host = host(&cloud, false);
    host.bake("golden");
    let edit = |key: &str, from: &str, to: &str| {
        let text = fs::read_to_string(host.path("imagebaked.toml")).unwrap();
        let line = |name: &str| format!("{key} = \"{}\"", host.path(name).display());
        assert!(text.contains(&line(from)), "{text}");
        fs::write(host.path("imagebaked.toml"), text.replace(&line(from), &line(to))).unwrap();
    };
    let finds_all = || {
        assert_eq!(status(&host)["daemon"]["state_dir"], host.path("state").display().to_string());
        for args in [&["history"][..], &["show", "1"], &["images"], &["why", "golden"]] {
            assert!(host.expect(0, args).0.contains("golden"), "{args:?}");
        }
    };
    edit("control_socket", "control.sock", "moved/control.sock");
    finds_all();
    host.expect(0, &["reload"]);
    finds_all();
    // By now both differ from those in use, and only the link at the new socket leads to the daemon.
    edit("state_dir", "state", "other-state");
    finds_all();
    let (out, _) = host.expect(0, &["reload"]);
    assert!(out.contains("daemon.control_socket and daemon.state_dir apply at the next start"), "{out}");
    finds_all();
    let (out, _) = host.expect(5, &["status"]);
    assert!(out.contains("restart: daemon.control_socket, daemon.state_dir"), "{out}");
    let problem = &status(&host)["health"]["problems"][0];
    assert_eq!(problem["code"], "restart_required");
    // Back again: nothing is left to restart for.
    edit("state_dir", "other-state", "state");
    edit("control_socket", "moved/control.sock", "control.sock");
    host.expect(0, &["reload"]);
    host.expect(0, &["status"]);
}

#[test]
fn a_schedule_that_only_the_file_has_is_not_called_unknown() {
    let cloud = Cloud::start();
    let host = host(&cloud, false);
    let brand2 = FILE.replace("golden", "brand2").replace("ecd-1", "ecd-2");
    host.configure(cloud.addr, &format!("{FILE}{brand2}"));
    let to_the_daemon = [&["status", "brand2"][..], &["bake", "brand2"], &["pause", "brand2", "--reason", "patch day"]];
    for command in [&["plan", "brand2"][..], &["why", "brand2"], &["images", "brand2"]].iter().chain(&to_the_daemon) {
        let (_, refused) = host.expect(3, command);
        assert!(refused.contains("\"brand2\" is in the file, but not in force yet: `imagebaked reload`"), "{refused}");
    }
    assert!(host.expect(3, &["status", "brand3"]).1.contains("there is no schedule \"brand3\""));
    host.expect(0, &["reload"]);
    cloud
        .add_faults("[[fault]]\naction = \"CreateImageByInstance\"\ntimes = 0\ncode = \"Instance.ImageUnsupported\"\n");
    host.expect(1, &["bake", "brand2", "--wait"]);
    eventually("it is judged", || (status(&host)["health"]["verdict"] == "warning").then_some(()));
    let of_one = |exit: i32, name: &str| host.json(exit, &["status", name]);
    let golden = of_one(0, "golden");
    assert_eq!((&golden["health"]["verdict"], &golden["last_day"]["failed"]), (&"ok".into(), &0.into()), "{golden}");
    assert_eq!((&golden["no_image_yet"], &golden["next"][0]["schedule"]), (&1.into(), &"golden".into()), "{golden}");
    assert_eq!(golden["schedules"].as_array().map(Vec::len), Some(1), "{golden}");
    let brand2 = of_one(5, "brand2");
    assert_eq!((&brand2["last_day"]["failed"], &brand2["no_image_yet"]), (&1.into(), &0.into()), "{brand2}");
    assert_eq!(brand2["schedules"][0]["mark"], "no_good_image", "{brand2}");
    assert!(host.expect(0, &["status", "golden", "--check"]).0.starts_with("OK - 1 schedule, next golden at "));
    assert!(host.expect(1, &["status", "brand2", "--check"]).0.starts_with("WARNING - 1 warning: brand2 failed"));
}

#[test]
fn another_owner_applies_at_the_next_start_and_open_bakes_keep_theirs() {
    let cloud = Cloud::with(&["--open", "--build-time", "3s", "--power-time", "100ms"]);
    let mut host = host(&cloud, false);
    host.bake("golden");
    let building = |host: &Host| {
        host.expect(0, &["bake", "golden"]);
        host.until("the cloud makes its image", &[], |bake| bake["state"] == "building")["id"].clone()
    };
    let first = building(&host);
    fs::write(host.path("conf.d/owner.toml"), "[daemon]\nowner = \"other\"\n").unwrap();
    let (out, _) = host.expect(0, &["check"]);
    assert!(out.contains("owner-changed") && out.contains("1 image of the former owner is not ours any more"), "{out}");
    let (out, _) = host.expect(0, &["reload"]);
    assert!(out.contains("daemon.owner applies at the next start"), "{out}");
    assert!(
        out.contains("not ours any more, neither counted nor deleted") && out.contains("1 open bake ends under"),
        "{out}"
    );
    assert!(host.expect(0, &["reload"]).0.contains("Nothing changed"), "it was said once");
    let ends = |host: &Host, id: &Value| {
        let of = |bake: &Value| bake["id"] == *id && bake["state"] != "building" && bake["state"] != "queued";
        eventually("it ends", || host.rows().into_iter().find(|bake| of(bake) && !bake["finished_at"].is_null()))
    };
    let ended = ends(&host, &first);
    assert_eq!(ended["state"], "succeeded", "{ended}");

    // Under the former owner, too, if it began before the start that takes the new one.
    let second = building(&host);
    host.stop();
    host.start();
    let ended = ends(&host, &second);
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert!(host.log().contains("daemon.owner is \"other\", before it was \"imagebaked\""));
    let owners: Vec<Value> =
        cloud.images("ecd-1").iter().map(|image| image["tags"]["imagebaked:owner"].clone()).collect();
    assert_eq!(owners, ["imagebaked"; 3]);
    assert!(!host.expect(0, &["check"]).0.contains("owner-changed"), "it is the one of the last start");
}
