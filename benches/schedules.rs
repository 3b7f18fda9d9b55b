//! Ten thousand schedules: the time to read them and to find their slots, and the CPU time and memory of an idle daemon.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

mod support;

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use imagebaked::{
    adapters::config,
    domain::clock::{Clock, SystemClock},
};
use support::{Daemon, Table, median, program, schedules, timed, write_config};

const SCHEDULES: usize = 10_000;
/// How long the idle daemon is measured.
const IDLE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemClock.now();
    write_config(folder.path(), &format!("{}{}", support::daemon_section(folder.path()), schedules(SCHEDULES, now)));
    let file = folder.path().join("imagebaked.toml");
    let mut table = Table::new();

    let check = || {
        let (took, output) = timed(|| program().arg("check").arg(&file).output().unwrap());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        took
    };
    table.time("`check` of 10,000 schedules", Duration::from_millis(300), median(5, check));

    let config = config::load(&file, &BTreeMap::new()).unwrap().config;
    let next = || timed(|| config.schedules.iter().filter_map(|one| one.timing.next_after(now)).count()).0;
    table.time("the next slot of each, in process", Duration::from_millis(100), median(5, next));
    drop(config);

    let ready = Duration::from_millis(500);
    table.time("READY with 10,000 schedules that are new", ready, Daemon::start(folder.path()).ready_after);
    let daemon = Daemon::start(folder.path());
    table.time("READY with 10,000 schedules that are known", ready, daemon.ready_after);
    std::thread::sleep(Duration::from_secs(5));
    table.row("resident memory, once it is idle", 16.0, daemon.resident_mib(), "MiB");
    let before = daemon.cpu();
    let (took, ()) = timed(|| std::thread::sleep(IDLE));
    let share = daemon.cpu().saturating_sub(before).as_secs_f64() / took.as_secs_f64() * 100.0;
    table.row("CPU while idle, of one core", 0.1, share, "%");
    table.finish()
}
