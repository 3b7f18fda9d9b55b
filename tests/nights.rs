//! Nights in fast motion with everything that happens to a fleet: machines in every state, users, quotas, an outage, lost
//! answers, a wrong clock. At the end the promises are counted from what the simulator has, without the daemon's code.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

#[path = "support/fast_motion.rs"]
mod fast_motion;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use fast_motion::{FastMotion, Places};
use imagebaked::{
    adapters::store::{BakeRow, Filter},
    sim::{FaultPlan, InstanceKind, InstanceSpec, Options},
};
use serde_json::{Value, json};
/// Machines of the fleet; `MACHINES=200` is the long run.
fn machines() -> usize {
    std::env::var("MACHINES").map_or(36, |count| count.parse().unwrap())
}

const NIGHTS: i64 = 7;
/// States that pass: the machine is ready some hours later.
const PASSING: [&str; 7] = ["Hibernated", "Rebuilding", "Updating", "Starting", "Stopping", "Humming", "Connected"];
/// States that never pass.
const FINAL: [&str; 4] = ["Expired", "Deleted", "Deleting", "Locked"];

/// What a machine is at the beginning of each night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Healthy,
    Off,
    Passing(&'static str),
    Final(&'static str),
}

/// A third of the machines is in some state other than running.
fn condition(machine: usize) -> Condition {
    match (machine % 3, machine / 3 % 12) {
        (0, n) if n < PASSING.len() => Condition::Passing(PASSING[n]),
        (0, n) if n < PASSING.len() + FINAL.len() => Condition::Final(FINAL[n - PASSING.len()]),
        (0, _) => Condition::Off,
        _ => Condition::Healthy,
    }
}

fn id(machine: usize) -> String {
    format!("ecd-{machine:03}")
}

fn spec(machine: usize, status: &str) -> Value {
    let connected = status == "Connected";
    let status = if connected { "Running" } else { status };
    json!({ "instance_id": id(machine), "instance_type": "CloudDesktop", "status": status, "connected": connected })
}

/// The three ways to treat a machine, by its number.
const WAYS: [&str; 3] = ["never", "if_running", "required"];

fn configuration(places: &Places) -> String {
    let mut text = format!(
        r#"
        [cloud]
        endpoint = "http://{}"
        requests_per_second = 1000
        poll_interval = "5m"
        [daemon]
        state_dir = "{}"
        control_socket = "{}"
        listen = ""
        max_builders = {}
        pause_after_failures = 0
        [defaults]
        cron = "0 3 * * *"
        timezone = "Asia/Shanghai"
        deadline = "7h"
        connected_wait = "4h"
        image_name = "{{instance_id}}-{{slot}}-v{{version}}"
        "#,
        places.endpoint,
        places.state_dir.display(),
        places.socket.display(),
        // More than the cloud has: its own quota shows.
        machines() * 3 / 10,
    );
    for (way, stop) in WAYS.iter().enumerate() {
        let ids: Vec<String> = (0..machines()).filter(|machine| machine / 3 % 3 == way).map(id).collect();
        let ids = serde_json::to_string(&ids).unwrap();
        writeln!(text, "[[schedule]]\nname = \"{stop}\"\nstop_instance = \"{stop}\"\ninstance_ids = {ids}").unwrap();
    }
    text
}

struct Fleet(FastMotion);

impl Fleet {
    async fn begin(now: DateTime<Utc>) -> Self {
        let options = Options {
            build_time: Duration::from_mins(10),
            power_time: Duration::from_mins(1),
            builder_quota: machines() / 5,
            instances: (0..machines()).map(|n| InstanceSpec::running(&id(n), InstanceKind::CloudDesktop)).collect(),
            ..Options::default()
        };
        Self(FastMotion::begin(now, options, configuration).await)
    }

    async fn set(&self, machine: usize, status: &str) {
        self.0.control("POST", "instances", &spec(machine, status).to_string()).await;
    }

    fn add_faults(&self, plan: &str) {
        self.0.sim.add_faults(FaultPlan::parse(plan).unwrap());
    }
}

/// An instant of a night, by the hour and minute in Shanghai.
fn at(midnight: DateTime<Utc>, hour: i64, minute: i64) -> DateTime<Utc> {
    midnight + TimeDelta::hours(hour) + TimeDelta::minutes(minute)
}

/// What befalls each night.
async fn night(fleet: &mut Fleet, number: i64, midnight: DateTime<Utc>) {
    fleet.0.go_on_to(at(midnight, 2, 0)).await;
    for machine in 0..machines() {
        match condition(machine) {
            Condition::Passing(status) | Condition::Final(status) => fleet.set(machine, status).await,
            Condition::Off => fleet.set(machine, "Stopped").await,
            Condition::Healthy => {}
        }
    }
    if number == 5 {
        // Ahead by three hours, across the slot, and set right again.
        fleet.0.clock.set_ahead(TimeDelta::hours(3));
        fleet.0.go_on_to(at(midnight, 2, 30)).await;
        fleet.0.clock.set_ahead(TimeDelta::zero());
    }
    fleet.0.go_on_to(at(midnight, 2, 59)).await;
    let create = "[[fault]]\naction = \"CreateImageByInstance\"\n";
    match number {
        2 => fleet.add_faults(&format!("{create}code = \"QuotaExceeded.Image\"\nstatus = 400\ntimes = 5\n")),
        // Fewer than are created at once: no bake fails twice.
        4 => fleet.add_faults(&format!("{create}image = \"CREATE_FAILED\"\ntimes = {}\n", machines() / 12)),
        6 => {
            fleet.add_faults(&format!("{create}drop = \"after\"\ntimes = 20\n"));
            fleet.add_faults(&format!("{create}code = \"Throttling.User\"\nstatus = 429\ntimes = 20\n"));
            fleet.add_faults(&format!("{create}status = 429\nbody = \"not_json\"\ntimes = 10\n"));
        }
        _ => {}
    }
    fleet.0.go_on_to(at(midnight, 3, 0)).await;
    if number == 3 {
        fleet.0.go_on_to(at(midnight, 3, 10)).await;
        fleet.0.cut_line().await;
        fleet.0.go_on_to(at(midnight, 5, 10)).await;
        fleet.0.restore_line().await;
    }
    if number == 4 {
        fleet.0.go_on_to(at(midnight, 3, 6)).await;
        // Users come while images are made.
        for machine in (1..machines()).step_by(20) {
            fleet.set(machine, "Connected").await;
        }
    }
    fleet.0.go_on_to(at(midnight, 5, 30)).await;
    for machine in 0..machines() {
        if matches!(condition(machine), Condition::Passing(_)) || number == 4 && machine % 20 == 1 {
            let is_final = matches!(condition(machine), Condition::Final(_));
            fleet.set(machine, if is_final { "Expired" } else { "Running" }).await;
        }
    }
    fleet.0.go_on_to(at(midnight, 12, 0)).await;
    fleet.0.control("DELETE", "faults", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_of_bad_nights_keeps_the_promises() {
    let first: DateTime<Utc> = "2026-11-30T16:00:00Z".parse().unwrap();
    let mut fleet = Fleet::begin(first).await;
    let begun = Instant::now();
    for number in 0..NIGHTS {
        night(&mut fleet, number, first + TimeDelta::days(number)).await;
        eprintln!("night {number}: {:?}", begun.elapsed());
    }
    let state = fleet.0.sim.state();
    let rows = fleet.0.reader.history(&Filter { limit: 100_000, ..Filter::default() }).await.unwrap();

    // One: a row for each slot, ended, with a reason and its code.
    let mut accounted: BTreeMap<(String, DateTime<Utc>), &BakeRow> = BTreeMap::new();
    for row in &rows {
        let is_new = accounted.insert((row.instance_id.clone(), row.slot()), row).is_none();
        assert!(is_new && row.is_ended() && row.reason.is_some(), "{row:?}");
    }
    let slots: BTreeSet<_> = (0..NIGHTS).map(|number| at(first + TimeDelta::days(number), 3, 0)).collect();
    let due: BTreeSet<_> = (0..machines()).flat_map(|n| slots.iter().map(move |slot| (id(n), *slot))).collect();
    assert_eq!(accounted.keys().cloned().collect::<BTreeSet<_>>(), due);

    // Two: a slot has one good image where the machine can be imaged, and none else.
    let mut good: BTreeMap<(String, DateTime<Utc>), Vec<&str>> = BTreeMap::new();
    for image in state["images"].as_array().unwrap() {
        assert_ne!(image["status"], "DELETE", "nothing is to be deleted: {image}");
        if image["status"] == "AVAILABLE" {
            let slot = image["tags"]["imagebaked:slot"].as_str().unwrap().parse().unwrap();
            let instance = image["instance_id"].as_str().unwrap().to_owned();
            good.entry((instance, slot)).or_default().push(image["image_id"].as_str().unwrap());
        }
    }
    for machine in 0..machines() {
        for slot in &slots {
            let key = (id(machine), *slot);
            let row = accounted[&key];
            let words = || format!("{:?} {row:?} {:?}", condition(machine), good.get(&key));
            if matches!(condition(machine), Condition::Final(_)) {
                // Without a stop nobody asks for the state, and the simulated cloud images whatever there is.
                if WAYS[machine / 3 % 3] == "never" {
                    continue;
                }
                assert!(row.state != "succeeded" && !good.contains_key(&key), "{}", words());
                continue;
            }
            assert_eq!(row.state, "succeeded", "{}", words());
            let image = row.image_id.as_deref().unwrap();
            assert_eq!(good.get(&key).map(Vec::as_slice), Some(&[image][..]), "{}", words());
        }
    }

    // Four: what ran runs, and what was off was not started.
    let statuses: BTreeMap<&str, &str> = state["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["instance_id"].as_str().unwrap(), one["status"].as_str().unwrap()))
        .collect();
    for machine in 0..machines() {
        let wanted = match condition(machine) {
            Condition::Healthy | Condition::Passing(_) => "Running",
            Condition::Off => "Stopped",
            Condition::Final(status) => status,
        };
        let status = statuses[id(machine).as_str()];
        assert!(
            status == wanted || matches!(condition(machine), Condition::Final(_)),
            "{machine}: {status}, not {wanted}"
        );
    }
    fleet.0.end().await;
}
