//! A thousand slots in one second: the real daemon against the simulator in this process. The times come from the history
//! (when rows were written and calls began) and from the simulator (when calls arrived).

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

mod support;

use std::{fmt::Write as _, process::ExitCode, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use imagebaked::{
    adapters::store::{Filter, Reader},
    domain::{
        clock::{Clock, SystemClock},
        ids::BakeId,
    },
    sim::{Options, RunningSimulator, Simulator},
};
use support::{Daemon, Table, write_config};
use tokio::net::TcpListener;

const SLOTS: usize = 1000;
/// The bench fails if not all calls are made this long after the slot.
const BOUND: TimeDelta = TimeDelta::seconds(60);

fn main() -> ExitCode {
    // Two threads, as the daemon has: this process plays the cloud only.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sim = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options =
            Options { open: true, builder_quota: SLOTS, build_time: Duration::from_hours(1), ..Options::default() };
        Simulator::start(listener, options, Arc::new(SystemClock)).unwrap()
    });
    let slot = (SystemClock.now() + TimeDelta::seconds(5)).with_nanosecond(0).unwrap();
    write_config(folder.path(), &configuration(&sim, folder.path(), slot));
    let daemon = Daemon::start(folder.path());
    assert!(SystemClock.now() < slot, "the daemon was not ready before the slot");

    let before = daemon.cpu();
    let arrived = loop {
        let arrived = creates(&sim);
        if arrived.len() == SLOTS {
            break arrived;
        }
        assert!(SystemClock.now() < slot + BOUND, "only {} of {SLOTS} calls were made", arrived.len());
        std::thread::sleep(Duration::from_millis(200));
    };
    let (rows, created_at, started) = runtime.block_on(async {
        let reader = Reader::open(&folder.path().join("state")).await.unwrap();
        loop {
            let limit = u32::try_from(SLOTS).unwrap() + 1;
            let rows = reader.history(&Filter { limit, ..Filter::default() }).await.unwrap();
            if rows.iter().all(|row| row.state == "building") {
                let created_at = rows.iter().map(|row| row.created_at).max().unwrap();
                let mut started = Vec::new();
                for row in &rows {
                    started.push(reader.attempts(BakeId(row.id)).await.unwrap()[0].started_at);
                }
                started.sort_unstable();
                break (rows.len(), created_at, started);
            }
            assert!(SystemClock.now() < slot + BOUND, "the answers were not all recorded");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let recorded = SystemClock.now();
    let cpu = daemon.cpu().saturating_sub(before);
    assert_eq!((rows, arrived.len()), (SLOTS, SLOTS), "one row and one call for each slot");

    let at = |millis| DateTime::from_timestamp_millis(millis).unwrap();
    let (woke, first, last) = (at(created_at), at(started[0]), at(started[SLOTS - 1]));
    let span = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).to_std().unwrap_or_default();
    let mut table = Table::new();
    table.time("the slot to the wake-up", Duration::from_secs(1), span(slot, woke));
    table.time(
        "the wake-up to the first call: every intent is committed",
        Duration::from_millis(100),
        span(woke, first),
    );
    table.time("the first call begun to the last one begun", Duration::from_millis(100), span(first, last));
    table.time("the first call begun to the last one arrived", Duration::from_secs(1), span(first, arrived[SLOTS - 1]));
    table.time(
        "the last call arrived to the last answer recorded",
        Duration::from_secs(1),
        span(arrived[SLOTS - 1], recorded),
    );
    table.row(
        "CPU for one bake: plan, create, record",
        5.0,
        cpu.as_secs_f64() * 1e3 / f64::from(u32::try_from(SLOTS).unwrap()),
        "ms",
    );
    table.row("resident memory afterwards", 48.0, daemon.resident_mib(), "MiB");
    drop(daemon);
    runtime.block_on(sim.stop());
    table.finish()
}

fn configuration(sim: &RunningSimulator, folder: &std::path::Path, slot: DateTime<Utc>) -> String {
    let mut text = support::daemon_section(folder);
    let _ = write!(
        text,
        "max_builders = {SLOTS}\n\n[cloud]\nendpoint = \"http://{}\"\nrequests_per_second = 1000\npoll_interval = \"1h\"\n\n",
        sim.addr()
    );
    let cron = format!("{} {} {} * * *", slot.second(), slot.minute(), slot.hour());
    for n in 0..SLOTS {
        let _ = write!(
            text,
            "[[schedule]]\nname = \"burst-{n:04}\"\ninstance_id = \"ecd-bench{n:04}\"\ncron = \"{cron}\"\n\n"
        );
    }
    text
}

/// When the create calls arrived, in order.
fn creates(sim: &RunningSimulator) -> Vec<DateTime<Utc>> {
    let state = sim.state();
    let calls = state["calls"].as_array().unwrap();
    let of_creates = calls.iter().filter(|call| call["action"] == "CreateImageByInstance");
    let mut arrived: Vec<_> = of_creates.map(|call| call["at"].as_str().unwrap().parse().unwrap()).collect();
    arrived.sort_unstable();
    arrived
}
