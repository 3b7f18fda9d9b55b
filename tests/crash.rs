//! Promises 1, 2 and 4, and the order of hooks, under `kill -9`. The real daemon is killed at every point where work may be
//! half done and is started again; then the history is compared with the simulator.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests are not recognised as tests, and real processes live by the real clock"
)]

mod support;

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use imagebaked::adapters::failpoint::{MAINTENANCE_POINTS, POINTS};
use serde_json::{Value, json};
use support::{BOUND, Cloud, Host, eventually, in_parallel, number};

/// How many hosts run at once. They mostly wait.
const HOSTS: usize = 6;

/// Time between two polls of a host: each starts a process.
const PAUSE: Duration = Duration::from_millis(50);

/// The answer to the first create call of `plain` is lost, and each call of `bad` is refused. A hook of `vetoed` vetoes.
const FAULTS: &str = r#"
[[fault]]
action = "CreateImageByInstance"
instance_id = "ecd-plain"
drop = "after"

[[fault]]
action = "CreateImageByInstance"
instance_id = "ecd-bad"
times = 0
code = "Instance.ImageUnsupported"
status = 400
"#;

/// One kill of a run.
#[derive(Debug, Clone)]
enum Kill {
    /// At the nth pass of this failpoint.
    At(&'static str, u32),
    /// This long after the start.
    After(Duration),
}

/// Runs four slots and a manual bake through these kills, one start of the daemon for each, then to their end without kills,
/// and checks every promise. With `long_outage` the host stays down until the cloud has finished its images, otherwise for a
/// moment: a repeated create call meets a finished image, or one that is being made.
fn survive(kills: &[Kill], long_outage: bool) {
    // On a busy machine the first start may come after the slot, which is then no slot of a new schedule.
    let survived = [6, 30, 90].into_iter().any(|pause| survive_in(Duration::from_secs(pause), kills, long_outage));
    assert!(survived, "{kills:?}: the daemon did not start before its slot");
}

/// As [`survive`], with slots after `pause`. Is false if the schedules came into force after their slot.
fn survive_in(pause: Duration, kills: &[Kill], long_outage: bool) -> bool {
    let cloud = Cloud::start();
    cloud.add_faults(FAULTS);
    let slot = Slot::after(pause);
    let (one, two, veto) = (noted("1", 0), noted("2", 0), noted("veto", 1));
    let mut host = Host::new(
        cloud.addr,
        &format!(
            r#"
            [defaults]
            retry = {{ attempts = 9, base = "100ms", cap = "1s" }}
            [[schedule]]
            name = "plain"
            instance_id = "ecd-plain"
            cron = "{slot}"
            [[schedule]]
            name = "stopped"
            instance_id = "ws-stopped"
            cron = "{slot}"
            stop_instance = "required"
            hooks = {{ before = [{one}, {two}], after = [{one}, {two}], on_failure = {one} }}
            [[schedule]]
            name = "vetoed"
            instance_id = "ecd-vetoed"
            cron = "{slot}"
            hooks = {{ before = [{one}, {veto}, {two}], after = {one} }}
            [[schedule]]
            name = "bad"
            instance_id = "ecd-bad"
            cron = "{slot}"
            [[schedule]]
            name = "asked"
            instance_id = "ecd-asked"
            cron = "0 0 1 1 *"
            "#,
            slot = slot.cron(),
        ),
    );
    let mut asked = false;
    for kill in kills {
        match kill {
            Kill::At(point, n) => host.launch(&format!("{point}:{n}")),
            Kill::After(_) => host.launch(""),
        }
        let started = Instant::now();
        loop {
            if host.has_died() {
                break;
            }
            if let Kill::After(pause) = kill
                && started.elapsed() >= *pause
            {
                host.kill();
                break;
            }
            // Refused until the socket is there, and where the request makes the daemon die.
            asked = asked || host.run(&["bake", "asked"]).status.success();
            if matches!(kill, Kill::At(..)) {
                match progress(&host, slot) {
                    Progress::Going => {}
                    Progress::Settled => {
                        // This run did not pass the point, or not so often.
                        host.kill();
                        break;
                    }
                    Progress::NoSlot => return false,
                }
            }
            assert!(started.elapsed() < BOUND, "{kill:?} in vain:\n{}", host.log());
            std::thread::sleep(PAUSE);
        }
        if long_outage {
            eventually("the cloud is at rest", || cloud.is_at_rest().then_some(()));
        }
    }
    host.launch("");
    let started = Instant::now();
    loop {
        match progress(&host, slot) {
            Progress::Going => {}
            Progress::Settled => break,
            Progress::NoSlot => return false,
        }
        assert!(started.elapsed() < BOUND, "{kills:?}: not all has ended:\n{:#?}\n{}", host.rows(), host.log());
        std::thread::sleep(PAUSE);
    }
    check(&cloud, &host, &format!("{kills:?}"));
    true
}

/// A hook that records that it ran.
fn noted(name: &str, status: i32) -> String {
    let script = format!("echo $IMAGEBAKED_HOOK $0 >> hooks-$IMAGEBAKED_SCHEDULE; exit {status}");
    format!("[\"/bin/sh\", \"-c\", \"{script}\", \"{name}\"]")
}

/// The hooks that ran for a schedule. A hook that a kill interrupted ran again and counts once.
fn hooks(host: &Host, schedule: &str) -> Vec<String> {
    let text = std::fs::read_to_string(host.path("state").join(format!("hooks-{schedule}"))).unwrap_or_default();
    let mut ran: Vec<String> = text.lines().map(str::to_owned).collect();
    ran.dedup();
    ran
}

/// How far a host is with its slots.
enum Progress {
    Going,
    /// Every slot has a row, and every row has ended.
    Settled,
    /// The schedules came into force after their slot: it is none of theirs.
    NoSlot,
}

fn progress(host: &Host, slot: Slot) -> Progress {
    let rows = host.rows();
    let has_row = |name: &&str| rows.iter().any(|row| row["schedule"] == *name);
    let names = ["plain", "stopped", "vetoed", "bad"];
    if names.iter().all(has_row) && rows.iter().all(|row| !row["finished_at"].is_null()) {
        Progress::Settled
    } else if slot.has_passed() && !names.iter().any(has_row) && slot.is_before_schedules_of(host) {
        Progress::NoSlot
    } else {
        Progress::Going
    }
}

fn check(cloud: &Cloud, host: &Host, kills: &str) {
    let (rows, world) = (host.rows(), cloud.state());
    let report = || format!("{kills}\n{rows:#?}\n{world:#}\n{}", host.log());
    let mut images: HashMap<String, usize> = HashMap::new();
    for image in world["images"].as_array().unwrap() {
        assert_eq!(image["status"], "AVAILABLE", "an image was disturbed: {}", report());
        let tag = |key: &str| image["tags"][key].as_str().unwrap().to_owned();
        *images.entry(format!("{} {}", tag("imagebaked:line"), tag("imagebaked:slot"))).or_default() += 1;
    }
    let mut slots: HashMap<String, usize> = HashMap::new();
    for row in &rows {
        let key = format!("{} {}", row["line"].as_str().unwrap(), row["slot"].as_str().unwrap());
        *slots.entry(key.clone()).or_default() += 1;
        assert!(!row["reason"].as_str().unwrap_or_default().is_empty(), "a row without a reason: {}", report());
        let (state, made) = (row["state"].as_str().unwrap(), images.remove(&key).unwrap_or_default());
        if row["schedule"] == "stopped" {
            let session = |image: &Value| {
                (&image["instance_id"] == "ws-stopped").then(|| image["parameters"]["SubInstanceId"].clone())
            };
            let sessions: Vec<Value> = world["images"].as_array().unwrap().iter().filter_map(session).collect();
            assert_eq!(sessions, ["p-stopped"], "{}", report());
        }
        let wanted = match row["schedule"].as_str() {
            Some("bad") => ("failed", 0),
            Some("vetoed") => ("skipped", 0),
            _ => ("succeeded", 1),
        };
        assert_eq!((state, made), wanted, "{key}: {}", report());
    }
    assert!(images.is_empty(), "images without a row: {images:?} {}", report());
    let ends = ["bake_succeeded", "bake_failed", "bake_skipped", "bake_cancelled"];
    let args: Vec<&str> = ends.iter().flat_map(|kind| ["--type", kind]).chain(["--limit", "1000"]).collect();
    let events = host.json(0, &[&["events"], args.as_slice()].concat())["events"].clone();
    let of_events = events.as_array().unwrap().iter().map(|event| (&event["data"]["bake"], &event["type"]));
    let mut of_events: Vec<String> =
        of_events.map(|(bake, kind)| format!("{bake} {}", kind.as_str().unwrap())).collect();
    let ended = rows.iter().map(|row| format!("{} bake_{}", row["id"], row["state"].as_str().unwrap()));
    let mut ended: Vec<String> = ended.collect();
    of_events.sort_unstable();
    ended.sort_unstable();
    assert_eq!(of_events, ended, "a fact and its event differ: {}", report());
    assert!(slots.values().all(|n| *n == 1), "a slot has two rows: {}", report());
    assert_eq!(hooks(host, "stopped"), ["before 1", "before 2", "after 2", "after 1"], "{}", report());
    assert_eq!(hooks(host, "vetoed"), ["before 1", "before veto", "after 1"], "{}", report());
    for instance in world["instances"].as_array().unwrap() {
        let status = instance["status"].as_str().unwrap();
        // An instance of the sample account that no test uses.
        let is_ours = !instance["instance_id"].as_str().unwrap().contains("-sim");
        assert!(!is_ours || status.eq_ignore_ascii_case("running"), "{instance}: {}", report());
    }
}

/// A time of the host's clock, in seconds since 1970.
#[derive(Clone, Copy)]
struct Slot(u64);

impl Slot {
    /// The next whole second that is at least `pause` away.
    fn after(pause: Duration) -> Self {
        Self((SystemTime::now() + pause).duration_since(UNIX_EPOCH).unwrap().as_secs() + 1)
    }

    /// The cron expression whose next slot it is.
    fn cron(self) -> String {
        let Self(at) = self;
        format!("{} {} {} * * *", at % 60, at / 60 % 60, at / 3600 % 24)
    }

    fn has_passed(self) -> bool {
        SystemTime::now() > UNIX_EPOCH + Duration::from_secs(self.0)
    }

    /// The schedules of a host were added later, as its history says. A slot after they were added has to have a row.
    fn is_before_schedules_of(self, host: &Host) -> bool {
        let output = host.run(&["events", "--type", "schedule_added", "--limit", "1", "--json"]);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let added =
            document["events"][0]["time"].as_str().and_then(|time| time.parse::<chrono::DateTime<chrono::Utc>>().ok());
        added.is_some_and(|added| added.timestamp() >= i64::try_from(self.0).unwrap())
    }
}

/// Runs every list of kills, a few at a time; panics with the lists that broke a promise.
fn sweep(runs: &[Vec<Kill>]) {
    let numbered: Vec<(usize, &Vec<Kill>)> = runs.iter().enumerate().collect();
    let broken: Vec<String> = in_parallel(HOSTS, &numbered, |&(index, kills)| {
        let long_outage = kills.len() == 1 || index.is_multiple_of(2);
        let run = std::panic::catch_unwind(|| survive(kills, long_outage));
        run.err().map(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
    })
    .into_iter()
    .flatten()
    .collect();
    assert!(broken.is_empty(), "{} of {} runs broke a promise:\n{}", broken.len(), runs.len(), broken.join("\n\n"));
}

/// Random lists of one to three kills.
fn random_runs(seed: u64, count: usize) -> Vec<Vec<Kill>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut kill = || {
        if rng.u8(0..3) == 0 {
            Kill::After(Duration::from_millis(rng.u64(50..4000)))
        } else {
            Kill::At(POINTS[rng.usize(0..POINTS.len())], rng.u32(1..4))
        }
    };
    (0..count).map(|n| (0..=n % 3).map(|_| kill()).collect()).collect()
}

#[test]
fn a_kill_at_any_point_breaks_no_promise() {
    sweep(&POINTS.map(|point| vec![Kill::At(point, 1)]));
}

// Maintenance

const KEPT: &str = "ecd-kept";
const FOUND: &str = "ecd-found";

fn maintained(cloud: &Cloud, more: &str) -> Host {
    let found = json!({"instance_id": FOUND, "instance_type": "CloudDesktop", "maintenance": true});
    cloud.control("instances", &found);
    let schedule = |name: &str, instance: &str| {
        format!(
            "[[schedule]]\nname = \"{name}\"\ninstance_id = \"{instance}\"\ncron = \"@yearly\"\n\
             stop_instance = \"required\"\nmaintenance = true\nretry = {{ base = \"100ms\", cap = \"1s\" }}\n{more}\n"
        )
    };
    Host::new(cloud.addr, &[schedule("kept", KEPT), schedule("found", FOUND)].concat())
}

/// Runs a daemon that dies at a point, with a request for these schedules, and starts the next one.
fn die_once(host: &mut Host, point: &str, schedules: &[&str]) {
    host.launch(&format!("{point}:1"));
    let mut left = schedules.to_vec();
    eventually(point, || {
        // Refused until the socket is there, and where the request makes the daemon die.
        left.retain(|name| !host.run(&["bake", name]).status.success());
        host.has_died().then_some(())
    });
    host.start();
    for name in left {
        // A request that died with the daemon may have left its bake.
        host.run(&["bake", name]);
    }
}

/// Whether an instance runs, and whether it is in maintenance.
fn running_and_kept(cloud: &Cloud, instance: &str) -> (bool, bool) {
    let state = cloud.state();
    let all = state["instances"].as_array().unwrap();
    let it = all.iter().find(|known| known["instance_id"] == instance).unwrap();
    (it["status"].as_str().unwrap().eq_ignore_ascii_case("running"), it["maintenance"] == true)
}

/// The calls on an instance that changed something, in their order.
fn changes(cloud: &Cloud, instance: &str) -> Vec<String> {
    let state = cloud.state();
    let of_instance = state["calls"].as_array().unwrap().iter().filter(|call| call["instance_id"] == instance);
    let actions = of_instance.map(|call| call["action"].as_str().unwrap().to_owned());
    actions.filter(|action| !action.starts_with("Describe") && !action.starts_with("List")).collect()
}

#[test]
fn a_kill_around_a_maintenance_ends_the_one_that_we_began_and_no_other() {
    let broken = in_parallel(HOSTS, &MAINTENANCE_POINTS, |point| {
        let run = std::panic::catch_unwind(|| survive_maintenance(point));
        run.err().map(|panic| format!("{point}: {}", panic.downcast_ref::<String>().cloned().unwrap_or_default()))
    });
    let broken: Vec<String> = broken.into_iter().flatten().collect();
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}

fn survive_maintenance(point: &str) {
    let cloud = Cloud::start();
    let mut host = maintained(&cloud, "");
    die_once(&mut host, point, &["kept", "found"]);
    for (name, instance) in [("kept", KEPT), ("found", FOUND)] {
        let is_over = |row: &Value| !row["finished_at"].is_null();
        let bake = host.until("it has ended", &["--schedule", name], is_over);
        assert_eq!(bake["state"], "succeeded", "{bake:#}\n{}", host.log());
        // A later request for it may run.
        eventually("the instance is as it was", || {
            (running_and_kept(&cloud, instance) == (true, instance == FOUND)).then_some(())
        });
    }
    assert!(!changes(&cloud, FOUND).contains(&"SetDesktopMaintenance".to_owned()), "{:?}", changes(&cloud, FOUND));
    let changes = changes(&cloud, KEPT);
    let place = |action: &str| changes.iter().position(|change| change == action).unwrap();
    let last = |action: &str| changes.iter().rposition(|change| change == action).unwrap();
    let set = "SetDesktopMaintenance";
    assert!(place(set) < place("StopDesktops"), "{changes:?}");
    assert!(last("CreateImageByInstance") < last(set) && last(set) < last("StartDesktops"), "{changes:?}");
}

#[test]
fn a_kill_at_max_downtime_leaves_no_desktop_in_maintenance() {
    let points = ["after.maintenance_leaving", "send.leave_maintenance", "answer.leave_maintenance"];
    in_parallel(HOSTS, &points, |point| {
        let cloud = Cloud::start();
        cloud.add_faults(
            "[[fault]]\naction = \"CreateImageByInstance\"\ntimes = 0\ncode = \"ExceedBuilderQuota\"\nstatus = 400\n",
        );
        let mut host = maintained(&cloud, "max_downtime = \"1s\"");
        die_once(&mut host, point, &["kept"]);
        eventually("it is started without an image", || {
            (running_and_kept(&cloud, KEPT) == (true, false)).then_some(())
        });
        let bake = host.newest(&["--schedule", "kept"]).unwrap();
        assert!(bake["finished_at"].is_null() && cloud.images(KEPT).is_empty(), "{point}: {bake:#}");
        cloud.clear_faults();
        host.until("it goes on", &["--schedule", "kept"], |row| row["state"] == "succeeded");
        assert_eq!(running_and_kept(&cloud, KEPT), (true, false), "{point}");
    });
}

#[test]
fn kills_during_recovery_break_no_promise() {
    let mut runs = random_runs(20_270_301, 12);
    // The critical failpoints, one right after the other.
    for second in ["send.find_image", "after.unknown", "send.create_image", "before.building"] {
        runs.push(vec![Kill::At("send.create_image", 1), Kill::At(second, 1)]);
        runs.push(vec![Kill::At("answer.create_image", 1), Kill::At(second, 1)]);
    }
    sweep(&runs);
}

/// The long sweep; prints its counts. `KILLS` and `SEED` change how many and which.
#[test]
#[ignore = "takes the better part of an hour"]
fn thousand_kills() {
    let (kills, seed) = (number("KILLS", 1000), number("SEED", 1));
    // One to three kills a run.
    let runs = random_runs(seed, usize::try_from(kills / 2).unwrap());
    let count: usize = runs.iter().map(Vec::len).sum();
    let started = Instant::now();
    sweep(&runs);
    println!("{count} kills in {} runs, seed {seed}: no promise broken, {:?}", runs.len(), started.elapsed());
}

#[test]
fn two_hosts_with_the_same_file_make_one_image() {
    // As in the real cloud, an image takes longer than the time between two ticks.
    let cloud = Cloud::with(&["--open", "--build-time", "3s"]);
    let slot = Slot::after(Duration::from_secs(20)).cron();
    let schedules = format!("[[schedule]]\nname = \"plain\"\ninstance_id = \"ecd-plain\"\ncron = \"{slot}\"\n");
    let mut hosts = [Host::new(cloud.addr, &schedules), Host::new(cloud.addr, &schedules)];
    for host in &mut hosts {
        host.start();
    }
    let images = hosts.each_ref().map(|host| {
        let row = host.until("the slot has ended", &[], |row| !row["finished_at"].is_null());
        assert_eq!(row["state"], "succeeded", "{row}\n{}", host.log());
        row["image_id"].clone()
    });
    assert_eq!(images[0], images[1]);
    assert_eq!(cloud.images("ecd-plain").len(), 1);
}

#[test]
fn a_second_daemon_on_one_state_directory_is_refused() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, "[[schedule]]\nname = \"a\"\ninstance_id = \"ecd-a\"\ncron = \"@yearly\"\n");
    host.start();
    let (_, err) = host.expect(2, &["run"]);
    assert!(err.contains("another imagebaked is running on"), "{err}");
    assert!(host.run(&["status"]).status.success(), "the first one works on");
}

#[test]
fn a_suspended_daemon_accounts_for_every_slot_and_stays_quiet() {
    let cloud = Cloud::start();
    let schedules =
        "[[schedule]]\nname = \"often\"\ninstance_id = \"ecd-often\"\ncron = \"*/2 * * * * *\"\noverlap = \"skip\"\n";
    let mut host = Host::new(cloud.addr, schedules);
    host.start();
    eventually("it is at work", || (!host.rows().is_empty()).then_some(()));
    host.signal("STOP");
    // The test is about real time that passes.
    std::thread::sleep(Duration::from_secs(5));
    let lines = host.log().lines().filter(|line| !line.contains("DEBUG")).count();
    host.signal("CONT");
    let slots = eventually("it has caught up", || {
        let mut slots: Vec<i64> = host
            .rows()
            .iter()
            .map(|row| row["slot"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp())
            .collect();
        slots.sort_unstable();
        (slots.len() >= 6).then_some(slots)
    });
    assert!(slots.windows(2).all(|pair| pair[1] - pair[0] == 2), "no gap and no double: {slots:?}");
    let after = host.log().lines().filter(|line| !line.contains("DEBUG")).count();
    assert!(after - lines < 40, "{} lines in a few seconds", after - lines);
}

#[test]
fn a_daemon_with_nothing_to_do_logs_nothing() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, "[[schedule]]\nname = \"a\"\ninstance_id = \"ecd-a\"\ncron = \"@yearly\"\n");
    host.start();
    let lines = |host: &Host| host.log().lines().filter(|line| !line.contains("DEBUG")).count();
    // The lines of the start are logged by then, and no commit is running that SIGSTOP would make slow.
    eventually("it has come to rest", || host.log().contains("the history is settled").then_some(()));
    let before = lines(&host);
    host.signal("STOP");
    // The test is about real time that passes.
    std::thread::sleep(Duration::from_secs(2));
    host.signal("CONT");
    std::thread::sleep(Duration::from_secs(4));
    let logged = lines(&host) - before;
    assert!(logged <= 1, "{logged} lines in six seconds, that is more than ten a minute:\n{}", host.log());
    assert!(host.run(&["status"]).status.success());
}
