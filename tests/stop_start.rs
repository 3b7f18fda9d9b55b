//! A real daemon stops an instance, makes its image and starts it again: hooks, connected users, and starts that are
//! refused. `crash.rs` covers kills.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::fs;

use serde_json::Value;
use support::{Cloud, Host, SECRET, eventually, exchange};

/// A schedule that is baked when a test asks for it.
fn schedule(name: &str, instance: &str, keys: &str) -> String {
    format!("[[schedule]]\nname = \"{name}\"\ninstance_id = \"{instance}\"\ncron = \"0 0 1 1 *\"\n{keys}\n")
}

fn host(cloud: &Cloud, instance: &str, keys: &str) -> Host {
    let mut host = Host::new(cloud.addr, &schedule("golden", instance, keys));
    host.start();
    host
}

/// A hook command as a TOML array. The quotes need no escapes.
fn shell(name: &str, script: &str) -> String {
    format!("['/bin/sh', '-c', '''{script}''', '{name}']")
}

fn connect(cloud: &Cloud, instance: &str, connected: bool) {
    let kind = if instance.starts_with("ws-") { "WuyingServer" } else { "CloudDesktop" };
    put(cloud, &format!(r#"{{"instance_id":"{instance}","instance_type":"{kind}","connected":{connected}}}"#));
}

fn put(cloud: &Cloud, instance: &str) {
    let answer = exchange(cloud.addr, "POST", "/_sim/instances", instance);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn power(cloud: &Cloud, instance: &str) -> String {
    let state = cloud.state();
    let all = state["instances"].as_array().unwrap();
    let found = all.iter().find(|known| known["instance_id"] == instance).unwrap();
    found["status"].as_str().unwrap().to_ascii_lowercase()
}

/// The calls that were recorded, as `stage call outcome`.
fn calls(bake: &Value) -> Vec<String> {
    let word = |call: &Value, key: &str| call[key].as_str().unwrap().to_owned();
    let calls = bake["calls"].as_array().unwrap();
    calls.iter().map(|call| ["stage", "call", "outcome"].map(|key| word(call, key)).join(" ")).collect()
}

fn message<'a>(bake: &'a Value, call: &str) -> &'a str {
    let calls = bake["calls"].as_array().unwrap();
    calls.iter().find(|row| row["call"] == call).unwrap()["message"].as_str().unwrap()
}

fn reason(row: &Value) -> &str {
    row["reason"].as_str().unwrap()
}

fn is_alive(pid: &str) -> bool {
    // A zombie is as good as gone.
    fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

fn gone(pid: &str) {
    assert!(!pid.trim().is_empty());
    eventually(&format!("process {pid} is gone"), || (!is_alive(pid)).then_some(()));
}

/// A file that a hook wrote, once it is there.
fn written(host: &Host, name: &str) -> String {
    eventually(name, || fs::read_to_string(host.path("state").join(name)).ok().filter(|text| text.ends_with('\n')))
}

// Hooks

#[test]
fn hooks_run_around_the_stop_in_order_and_get_their_variables() {
    let cloud = Cloud::start();
    let script = r#"echo "$0" >> order; env > "env-$0"; pwd; echo "to stderr" >&2"#;
    let keys = format!(
        "stop_instance = 'required'\nhooks = {{ before = [{}, {}], after = [{}, {}], on_failure = {} }}",
        shell("b1", script),
        shell("b2", script),
        shell("a1", script),
        shell("a2", script),
        shell("f1", script)
    );
    let host = host(&cloud, "ws-hooked", &keys);
    let bake = host.bake("golden");
    assert_eq!((&bake["state"], reason(&bake)), (&"succeeded".into(), "image made"));
    assert_eq!(written(&host, "order"), "b1\nb2\na2\na1\n");
    let calls = calls(&bake);
    let changes: Vec<&str> = calls
        .iter()
        .map(String::as_str)
        .filter(|call| ["hook", "stop_instance", "create_image", "start_instance"].iter().any(|of| call.contains(of)))
        .collect();
    let wanted = [
        "hook hook before 1 ok",
        "hook hook before 2 ok",
        "stop stop_instance ok",
        "create create_image ok",
        "start start_instance ok",
        "hook hook after 2 ok",
        "hook hook after 1 ok",
    ];
    assert_eq!(changes, wanted);
    let state = host.path("state").canonicalize().unwrap();
    let wrote = format!("/bin/sh: exit status 0; it wrote:\n{}\nto stderr", state.display());
    assert_eq!(message(&bake, "hook before 1"), wrote);

    let env = written(&host, "env-a1");
    let report = |name: &str| {
        let line = env.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("no {name} in {env}")).to_owned()
    };
    for (name, key) in [
        ("IMAGEBAKED_BAKE_ID", "id"),
        ("IMAGEBAKED_VERSION", "version"),
        ("IMAGEBAKED_IMAGE_ID", "image_id"),
        ("IMAGEBAKED_IMAGE_NAME", "image_name"),
        ("IMAGEBAKED_INSTANCE_ID", "instance_id"),
        ("IMAGEBAKED_SCHEDULE", "schedule"),
        ("IMAGEBAKED_SCHEDULE_ID", "schedule_id"),
        ("IMAGEBAKED_LINE", "line"),
        ("IMAGEBAKED_STATE", "state"),
        ("IMAGEBAKED_REASON", "reason"),
    ] {
        let value = bake[key].as_str().map_or_else(|| bake[key].to_string(), str::to_owned);
        assert_eq!(report(name), value, "{name}");
    }
    assert_eq!(report("IMAGEBAKED_HOOK"), "after");
    assert!(bake["slot"].as_str().unwrap().starts_with(report("IMAGEBAKED_SLOT").trim_end_matches('Z')), "{env}");
    let own = ["IMAGEBAKED_", "PATH=", "PWD=", "OLDPWD=", "SHLVL=", "_="];
    assert!(env.lines().all(|line| own.iter().any(|own| line.starts_with(own))), "{env}");
    assert!(!env.contains(SECRET) && !written(&host, "env-b1").contains("IMAGEBAKED_IMAGE_ID"));
}

#[test]
fn before_may_veto() {
    let cloud = Cloud::start();
    let keys = format!(
        "stop_instance = 'required'\nhooks = {{ before = [{}, {}, {}], after = {}, on_failure = {} }}",
        shell("b1", "echo b1 >> order"),
        shell("b2", "echo checking; echo the database is being restored; exit 7"),
        shell("b3", "echo b3 >> order"),
        shell("a1", "echo a1 $IMAGEBAKED_STATE: $IMAGEBAKED_REASON >> order"),
        shell("f1", "echo f1 >> order")
    );
    let host = host(&cloud, "ecd-vetoed", &keys);
    let bake = host.bake("golden");
    let why = "vetoed by /bin/sh: the database is being restored";
    assert_eq!((&bake["state"], reason(&bake)), (&"skipped".into(), why));
    assert_eq!(written(&host, "order"), format!("b1\na1 skipped: {why}\n"));
    assert_eq!(calls(&bake)[1..], ["hook hook before 1 ok", "hook hook before 2 veto", "hook hook after 1 ok"]);
    let all = message(&bake, "hook before 2");
    assert_eq!(all, "/bin/sh: exit status 7; it wrote:\nchecking\nthe database is being restored");
    assert!(cloud.images("ecd-vetoed").is_empty() && cloud.calls("StopDesktops", None).is_empty());
}

#[test]
fn a_hook_that_hangs_is_ended_with_all_that_it_started() {
    let cloud = Cloud::start();
    let keys = format!(
        "hooks = {{ before = {}, after = {}, timeout = '1s' }}",
        shell("b1", "sleep 600 & echo $! > pid; echo begun; wait"),
        // A background process that keeps the pipe open does not delay the end of the hook, and is killed.
        shell("a1", "sleep 600 & echo $! > pid-after")
    );
    let host = host(&cloud, "ecd-hangs", &keys);
    let bake = host.bake("golden");
    let why = "the hook /bin/sh of before failed: not done after 1s, ended";
    assert_eq!((&bake["state"], reason(&bake)), (&"failed".into(), why));
    assert_eq!(calls(&bake), ["hook hook before 1 timeout", "hook hook after 1 ok"]);
    assert_eq!(message(&bake, "hook before 1"), "/bin/sh: not done after 1s, ended; it wrote:\nbegun");
    gone(&written(&host, "pid"));
    gone(&written(&host, "pid-after"));
}

#[test]
fn hooks_of_a_failure_run_when_the_instance_is_up_again_and_change_nothing() {
    let cloud = Cloud::start();
    cloud.add_faults(
        "[[fault]]\naction = \"CreateImageByInstance\"\ncode = \"Instance.ImageUnsupported\"\nstatus = 400\n",
    );
    let much = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 3";
    let keys = format!(
        "stop_instance = 'required'\nhooks = {{ on_failure = [['/nowhere/x'], {}], after = {} }}",
        shell("f2", "echo f2 $IMAGEBAKED_STATE >> order"),
        shell("a1", much)
    );
    let host = host(&cloud, "ws-fails", &keys);
    let bake = host.bake("golden");
    let calls = calls(&bake);
    assert_eq!(
        calls[calls.len() - 3..],
        ["hook hook on_failure 2 ok", "hook hook on_failure 1 failed", "hook hook after 1 failed"]
    );
    assert_eq!(written(&host, "order"), "f2 failed\n");
    assert_eq!(bake["state"], "failed");
    assert!(reason(&bake).starts_with("Instance.ImageUnsupported"), "{bake}");
    let notes = "; the hook /nowhere/x of on_failure failed: cannot be started: No such file or directory (os error 2); \
                 the hook /bin/sh of after failed: exit status 3";
    assert!(reason(&bake).ends_with(notes), "{bake}");
    let output = message(&bake, "hook after 1");
    assert!(output.ends_with("line 2999") && output.len() < 4200, "{} bytes", output.len());
    assert_eq!(host.log().matches("a hook of bake 1 of golden failed").count(), 2, "{}", host.log());
    assert_eq!(power(&cloud, "ws-fails"), "running");
}

#[test]
fn a_hook_running_ends_with_the_daemon_and_runs_again() {
    let cloud = Cloud::start();
    let keys = format!(
        "hooks = {{ before = [{}, {}] }}",
        shell("b1", "echo b1 >> order"),
        shell("b2", "echo b2 >> order; [ -e pid ] && exit 0; sleep 600 & echo $! > pid; wait")
    );
    let mut host = host(&cloud, "ecd-again", &keys);
    host.expect(0, &["bake", "golden"]);
    let pid = written(&host, "pid");
    host.stop();
    gone(&pid);
    assert!(host.log().contains("stopping before every call was answered"), "{}", host.log());
    host.start();
    host.until("it has ended", &[], |row| row["state"] == "succeeded");
    assert_eq!(written(&host, "order"), "b1\nb2\nb2\n");
}

#[test]
fn the_exit_status_of_a_hook_ended_by_a_shutdown_is_no_veto() {
    let cloud = Cloud::start();
    // The script ends with status 143 after SIGTERM, as where a service manager signals all processes of a service.
    let script = "[ -e begun ] && exit 0; echo $$ > begun; trap 'exit 143' TERM; sleep 600 & wait";
    let keys = format!("hooks = {{ before = {} }}", shell("b1", script));
    let mut host = host(&cloud, "ecd-signalled", &keys);
    host.expect(0, &["bake", "golden"]);
    let pid = written(&host, "begun");
    host.signal("TERM");
    eventually("it is stopping", || host.log().contains("waiting for running calls").then_some(()));
    assert!(std::process::Command::new("kill").arg(pid.trim()).status().unwrap().success());
    host.stopped();
    host.start();
    host.until("it has ended", &[], |row| row["state"] == "succeeded");
}

#[test]
fn a_bake_that_is_cancelled_ends_its_hook_and_undoes_it() {
    let cloud = Cloud::start();
    let keys = format!(
        "hooks = {{ before = {}, after = {} }}",
        shell("b1", "sleep 600 & echo $! > pid; wait"),
        shell("a1", "echo a1 >> order")
    );
    let host = host(&cloud, "ecd-off", &keys);
    host.expect(0, &["bake", "golden"]);
    let pid = written(&host, "pid");
    host.expect(0, &["cancel", "1"]);
    gone(&pid);
    let row = host.until("it has ended", &[], |row| row["state"] == "cancelled");
    assert!(reason(&row).starts_with("cancelled by uid "), "{row}");
    assert_eq!(written(&host, "order"), "a1\n");
    assert!(cloud.images("ecd-off").is_empty());
    assert!(!host.log().contains("ended without an answer"), "{}", host.log());
}

#[test]
fn without_hooks_and_stop_nothing_is_asked_and_nothing_runs() {
    let cloud = Cloud::start();
    connect(&cloud, "ecd-plain", true);
    let host = host(&cloud, "ecd-plain", "");
    let mut calls = calls(&host.bake("golden"));
    // A daemon that has just started searches before it creates.
    calls.retain(|call| call != "create find_image ok");
    assert_eq!(calls[0], "create create_image ok");
    assert!(calls[1..].iter().all(|call| call == "build describe_image ok"), "{calls:?}");
    assert!(cloud.calls("DescribeDesktops", None).is_empty());
}

// Connected users

#[test]
fn a_bake_waits_until_users_have_left() {
    for instance in ["ecd-used", "ws-used"] {
        let cloud = Cloud::start();
        connect(&cloud, instance, true);
        let keys = format!("stop_instance = 'required'\nhooks = {{ before = {} }}", shell("b1", "echo ran >> order"));
        // There is one builder. The waiting bake must not hold it.
        let other = schedule("other", "ecd-other", "");
        let mut host = Host::new(cloud.addr, &format!("{}{other}", schedule("golden", instance, &keys)));
        let text = fs::read_to_string(host.path("imagebaked.toml")).unwrap();
        fs::write(host.path("imagebaked.toml"), text.replace("max_builders = 20", "max_builders = 1")).unwrap();
        host.start();
        host.expect(0, &["bake", "golden"]);
        let golden = ["--schedule", "golden"];
        let who = if instance.starts_with("ws-") { "sim-user" } else { "somebody" };
        let waits = host.until("it waits", &golden, |row| row["state"] == "queued" && !row["reason"].is_null());
        assert!(reason(&waits).starts_with(&format!("waits for {who} to leave")), "{waits}");
        assert_eq!(waits["version"], 1);
        // Status lists it with its reason between two polls. During a poll it counts as running.
        let listed = eventually("status lists it", || host.json(0, &["status"])["waiting"].get(0).cloned());
        assert_eq!(listed["schedule"], "golden");
        let report = reason(&listed);
        assert!(report.starts_with(&format!("waits for {who} to leave")) && report.contains("; next try "), "{report}");
        eventually("in words, too", || host.expect(0, &["status"]).0.contains("\nWaiting\n").then_some(()));
        assert_eq!(host.bake("other")["state"], "succeeded");
        let polls = || cloud.calls("ListWuyingServer", None).len() + cloud.calls("DescribeDesktops", None).len();
        let seen = polls();
        eventually("it polls again and again", || (polls() > seen + 2).then_some(()));
        assert!(!host.path("state/order").exists(), "no hook runs for a bake that waits");
        connect(&cloud, instance, false);
        let done = host.until("it has ended", &golden, |row| row["state"] == "succeeded");
        assert!(reason(&done).starts_with("waited ") && reason(&done).ends_with(" to leave; image made"), "{done}");
        assert_eq!(done["version"], 1, "versions are not burnt by waiting");
        let calls = host.show(&done["id"])["calls"].as_array().unwrap().clone();
        let report = format!("Running, {who} is connected");
        assert_eq!(
            calls.iter().filter(|call| call["message"] == report.as_str()).count(),
            1,
            "reported once: {calls:?}"
        );
        assert_eq!(host.log().matches("of golden waits for").count(), 1, "{}", host.log());
        assert_eq!(power(&cloud, instance), "running");
    }
}

#[test]
fn users_who_stay_cost_the_slot() {
    let cloud = Cloud::start();
    connect(&cloud, "ecd-used", true);
    let schedules = [
        schedule("waits", "ecd-used", "stop_instance = 'if_running'\nconnected_wait = '1s'"),
        schedule("skips", "ecd-used", "stop_instance = 'required'\nif_connected = 'skip'"),
    ];
    let mut host = Host::new(cloud.addr, &schedules.concat());
    host.start();
    let waits = host.bake("waits");
    assert_eq!((&waits["state"], reason(&waits)), (&"skipped".into(), "somebody was connected to the instance for 1s"));
    let skips = host.bake("skips");
    let why = "somebody was connected to the instance, and if_connected is \"skip\"";
    assert_eq!((&skips["state"], reason(&skips)), (&"skipped".into(), why));
    assert!(cloud.calls("StopDesktops", None).is_empty() && cloud.images("ecd-used").is_empty());
}

#[test]
fn an_instance_is_stopped_under_its_users_where_the_configuration_allows_it() {
    let cloud = Cloud::start();
    connect(&cloud, "ws-used", true);
    let host = host(&cloud, "ws-used", "stop_instance = 'required'\nif_connected = 'proceed'");
    let bake = host.bake("golden");
    let why = "sim-user was connected; stopped nevertheless, because if_connected is \"proceed\"; image made";
    assert_eq!((&bake["state"], reason(&bake)), (&"succeeded".into(), why));
    assert_eq!(power(&cloud, "ws-used"), "running");
}

// Start

#[test]
fn an_instance_found_stopped_stays_stopped() {
    let cloud = Cloud::start();
    put(&cloud, r#"{"instance_id":"ecd-off","instance_type":"CloudDesktop","status":"Stopped"}"#);
    let host = host(&cloud, "ecd-off", "stop_instance = 'required'");
    assert_eq!(host.bake("golden")["state"], "succeeded");
    assert_eq!(power(&cloud, "ecd-off"), "stopped");
    assert!(cloud.calls("StopDesktops", None).is_empty() && cloud.calls("StartDesktops", None).is_empty());
}

#[test]
fn a_start_that_is_refused_is_reported_and_tried_until_it_works() {
    let cloud = Cloud::start();
    cloud.add_faults(
        "[[fault]]\naction = \"StartDesktops\"\ntimes = 4\ncode = \"InsufficientResource\"\nstatus = 400\n",
    );
    let host = host(&cloud, "ecd-slow", "stop_instance = 'required'");
    let bake = host.bake("golden");
    assert_eq!((&bake["state"], power(&cloud, "ecd-slow").as_str()), (&"succeeded".into(), "running"));
    assert_eq!(cloud.calls("StartDesktops", None).len(), 5);
    let report =
        "ERROR instance ecd-slow was stopped for bake 1 of golden and is not running again yet: InsufficientResource";
    assert_eq!(host.log().matches(report).count(), 1, "{}", host.log());
}

#[test]
fn a_schedule_that_is_removed_leaves_no_instance_stopped() {
    let cloud = Cloud::with(&["--open", "--build-time", "1s", "--power-time", "100ms"]);
    let keys = format!("stop_instance = 'required'\nhooks = {{ after = {} }}", shell("a1", "echo a1 >> order"));
    let host = host(&cloud, "ws-left", &keys);
    host.expect(0, &["bake", "golden"]);
    host.until("its image is being made", &[], |row| row["state"] == "building");
    assert_eq!(power(&cloud, "ws-left"), "stopped");
    host.configure(cloud.addr, &schedule("other", "ecd-other", ""));
    host.expect(0, &["reload"]);
    host.until("it has ended", &[], |row| row["state"] == "succeeded");
    assert_eq!(power(&cloud, "ws-left"), "running");
    assert_eq!(written(&host, "order"), "a1\n", "a bake ends under the settings it began with");
}

#[test]
fn what_is_left_stopped_by_a_shutdown_is_reported_and_started_at_the_next_start() {
    let cloud = Cloud::with(&["--open", "--build-time", "1s", "--power-time", "100ms"]);
    let mut host = host(&cloud, "ws-left", "stop_instance = 'required'");
    host.expect(0, &["bake", "golden"]);
    host.until("its image is being made", &[], |row| row["state"] == "building");
    host.stop();
    let report = "instance ws-left is stopped for bake 1 of golden; the next start of the daemon starts it again";
    assert_eq!(host.log().matches(report).count(), 1, "{}", host.log());
    let (out, _) = host.expect(4, &["status"]);
    assert!(out.contains("Instance ws-left was stopped for bake 1 of golden;"), "{out}");
    assert_eq!(power(&cloud, "ws-left"), "stopped");
    // The schedule is removed while the daemon is down.
    host.configure(cloud.addr, &schedule("other", "ecd-other", ""));
    host.start();
    host.until("it has ended", &[], |row| row["state"] == "succeeded");
    assert_eq!(power(&cloud, "ws-left"), "running");
    host.stop();
    assert_eq!(host.log().matches(report).count(), 1, "nothing is left stopped now");
}

#[test]
fn a_refused_start_is_a_problem_at_once_and_the_reason_of_its_bake() {
    let cloud = Cloud::start();
    cloud.add_faults("[[fault]]\naction = \"StartWuyingServer\"\ntimes = 0\ncode = \"NoStock\"\nstatus = 400\n");
    let mut host = host(&cloud, "ws-down", "stop_instance = 'required'");
    host.expect(0, &["bake", "golden"]);
    let row = host.until("its start is refused", &[], |row| {
        row["state"] == "starting" && row["reason"].as_str().is_some_and(|reason| reason.contains("NoStock"))
    });
    assert!(!row["image_id"].is_null(), "the image is made: {row}");
    let status = host.json(5, &["status"]);
    assert_eq!(status["health"]["verdict"], "problem", "{status}");
    let [problem] = status["health"]["problems"].as_array().unwrap().as_slice() else { panic!("{status}") };
    assert_eq!(problem["code"], "instance_not_running");
    assert_eq!(problem["subject"], serde_json::json!({ "kind": "instance", "id": "ws-down" }));
    let report = problem["message"].as_str().unwrap();
    assert!(
        report.starts_with("instance ws-down was stopped for bake 1 of golden and is not running again yet: NoStock"),
        "{report}"
    );
    assert!(host.log().contains("is not running again yet: NoStock"), "{}", host.log());
    // Further refused starts and a restart do not change `since`.
    host.stop();
    host.start();
    let refused = cloud.calls("StartWuyingServer", Some("ws-down")).len();
    eventually("it is refused again", || {
        (cloud.calls("StartWuyingServer", Some("ws-down")).len() > refused + 1).then_some(())
    });
    assert_eq!(&host.json(5, &["status"])["health"]["problems"][0]["since"], &problem["since"]);
    let answer = exchange(cloud.addr, "DELETE", "/_sim/faults", "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    host.until("it runs again", &[], |row| row["state"] == "succeeded");
    eventually("it is over", || host.run(&["status"]).status.success().then_some(()));
    assert_eq!(power(&cloud, "ws-down"), "running");
}

#[test]
fn an_instance_that_is_started_by_other_hands_while_its_image_is_made_is_named_in_the_failure() {
    let cloud = Cloud::with(&["--open", "--build-time", "2s", "--power-time", "100ms", "--builders", "5"]);
    let host = host(&cloud, "ws-started", "stop_instance = 'required'\nretry.rebakes = 0");
    host.expect(0, &["bake", "golden"]);
    host.until("it is being made", &["--schedule", "golden"], |bake| bake["state"] == "building");
    cloud.control(
        "instances",
        &serde_json::json!({"instance_id": "ws-started", "instance_type": "WuyingServer", "status": "Running"}),
    );
    let bake = host.until("it has failed", &["--schedule", "golden"], |bake| bake["state"] == "failed");
    assert_eq!(bake["reason_code"], "created_failed", "{bake:#}");
    assert!(reason(&bake).contains("the instance was started while its image was being made; "), "{bake:#}");
}

// Sessions of workstations

#[test]
fn a_workstation_is_imaged_with_its_session_and_never_stopped_without_a_choice() {
    let cloud = Cloud::start();
    let several = r#"{"instance_id":"ws-several","instance_type":"WuyingServer","sub_instance_ids":["p-1","p-2"]}"#;
    put(&cloud, several);
    let stop = "stop_instance = 'required'";
    let schedules = [
        schedule("one", "ws-one", ""),
        schedule("several", "ws-several", stop),
        schedule("chosen", "ws-several", &format!("{stop}\nsub_instance_id = 'p-2'")),
        schedule("gone", "ws-several", &format!("{stop}\nsub_instance_id = 'p-3'")),
    ];
    let mut host = Host::new(cloud.addr, &schedules.concat());
    host.start();
    let session = |instance: &str| cloud.images(instance)[0]["parameters"]["SubInstanceId"].clone();

    let bake = host.bake("one");
    assert_eq!((&bake["state"], session("ws-one")), (&"succeeded".into(), "p-one".into()));
    assert_eq!(message(&bake, "list_sessions"), "session p-one");

    let bake = host.bake("several");
    let why = "ws-several has 2 sessions and none is chosen: set sub_instance_id to one of p-1, p-2";
    assert_eq!((&bake["state"], &bake["reason_code"], reason(&bake)), (&"failed".into(), &"refused".into(), why));
    assert!(cloud.calls("StopWuyingServer", None).is_empty() && cloud.images("ws-several").is_empty());

    let bake = host.bake("gone");
    let why = "ws-several has no session p-3, which sub_instance_id names: set it to one of p-1, p-2";
    assert_eq!((&bake["state"], &bake["reason_code"], reason(&bake)), (&"failed".into(), &"refused".into(), why));
    assert!(cloud.calls("StopWuyingServer", None).is_empty() && cloud.images("ws-several").is_empty());

    assert_eq!(host.bake("chosen")["state"], "succeeded");
    assert_eq!(session("ws-several"), "p-2");

    let (text, _) = host.expect(2, &["check", "--sessions"]);
    for row in [
        "ws-one       one       p-one    yes",
        "ws-several   several   p-1      no",
        "ws-several   gone      p-1      no",
    ] {
        assert!(text.contains(row), "{text}");
    }
    assert!(text.contains("ws-several (several): set sub_instance_id to one of its sessions"), "{text}");
    let report = host.json(5, &["doctor", "--no-probe"]);
    let found = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap().clone()
    };
    assert_eq!(found("instance ws-several")["result"], "fail");
    let one = found("instance ws-one");
    assert_eq!((&one["result"], &one["found"]), (&"ok".into(), &"Running, ws-one, session p-one (one)".into()));
}

// Maintenance

fn in_maintenance(cloud: &Cloud, instance: &str) -> bool {
    let state = cloud.state();
    let all = state["instances"].as_array().unwrap();
    all.iter().find(|known| known["instance_id"] == instance).unwrap()["maintenance"] == true
}

#[test]
fn a_desktop_is_in_maintenance_from_its_stop_to_its_start_and_one_of_others_stays() {
    let cloud = Cloud::start();
    put(&cloud, r#"{"instance_id":"ecd-found","instance_type":"CloudDesktop","maintenance":true}"#);
    let keys = "stop_instance = 'required'\nmaintenance = true";
    let schedules = [schedule("kept", "ecd-kept", keys), schedule("found", "ecd-found", keys)].concat();
    let mut host = Host::new(cloud.addr, &schedules);
    // The daemon dies with the begin committed, and the answer to it lost.
    host.launch("answer.enter_maintenance:1");
    eventually("it takes the request", || host.run(&["bake", "kept"]).status.success().then_some(()));
    eventually("it has died", || host.has_died().then_some(()));
    assert!(in_maintenance(&cloud, "ecd-kept"));
    host.start();
    host.until("it has ended", &["--schedule", "kept"], |row| row["state"] == "succeeded");
    assert!(!in_maintenance(&cloud, "ecd-kept"));

    let bake = host.bake("kept");
    let calls = calls(&bake);
    let changes: Vec<&str> = calls
        .iter()
        .map(String::as_str)
        .filter(|call| ["maintenance", "stop_", "create_", "start_"].iter().any(|of| call.contains(of)))
        .filter(|call| !call.contains("describe"))
        .collect();
    let wanted = [
        "stop enter_maintenance ok",
        "stop stop_instance ok",
        "create create_image ok",
        "start leave_maintenance ok",
        "start start_instance ok",
    ];
    assert_eq!(changes, wanted);
    assert!(!in_maintenance(&cloud, "ecd-kept"));
    // Of a good answer the cloud's own words are kept, as of a refused one.
    let made = bake["calls"].as_array().unwrap().iter().find(|call| call["call"] == "create_image").unwrap();
    let own = (&made["success"], &made["code"], &made["answer"]);
    assert_eq!(own, (&true.into(), &"200".into(), &"NULL".into()), "{made:#}");

    let bake = host.bake("found");
    assert_eq!(bake["state"], "succeeded");
    assert!(reason(&bake).contains("was in maintenance, and stays in it"), "{bake}");
    assert!(in_maintenance(&cloud, "ecd-found") && cloud.calls("SetDesktopMaintenance", Some("ecd-found")).is_empty());

    // Without the right the bake goes on, and health warns.
    cloud
        .add_faults("[[fault]]\naction = \"SetDesktopMaintenance\"\ntimes = 0\ncode = \"Forbidden.RAM\"\nstatus = 403");
    let bake = host.bake("kept");
    assert_eq!(bake["state"], "succeeded");
    assert!(reason(&bake).contains("without maintenance, which the cloud refused: Forbidden.RAM"), "{bake}");
    let refused = bake["calls"].as_array().unwrap().iter().find(|call| call["call"] == "enter_maintenance").unwrap();
    assert_eq!((&refused["success"], &refused["code"]), (&false.into(), &"Forbidden.RAM".into()), "{refused:#}");
    let warned = |bake: &Value| {
        let text = format!("bake {} could not put ecd-kept into maintenance", bake["id"]);
        eventually("health warns", || {
            let status: Value = serde_json::from_slice(&host.run(&["status", "--json"]).stdout).ok()?;
            let problems = status["health"]["problems"].as_array()?.clone();
            problems.into_iter().find(|problem| {
                let subject = (&problem["subject"]["kind"], &problem["subject"]["id"]);
                problem["code"] == "rights_missing"
                    && problem["severity"] == "warning"
                    && subject == (&"instance".into(), &"ecd-kept".into())
                    && problem["message"].as_str().unwrap().starts_with(&text)
            })
        })
    };
    let first = warned(&bake);
    // One warning, however many bakes go without.
    let second = warned(&host.bake("kept"));
    assert_eq!(first["since"], second["since"]);
    let started = host.json(0, &["events", "--type", "problem_started"])["events"].clone();
    let of_right = started.as_array().unwrap().iter().filter(|event| event["data"]["code"] == "rights_missing");
    assert_eq!(of_right.count(), 1, "{started:#}");
    let report = host.json(5, &["doctor"]);
    let found =
        report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "instance ecd-found").unwrap();
    assert_eq!(found["found"], "Running in maintenance, ecd-found (found)");
    let right = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "ecd:SetDesktopMaintenance");
    assert_eq!(right.unwrap()["result"], "warn");
}
