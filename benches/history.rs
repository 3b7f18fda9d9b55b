//! A history of a million bakes: the time that its pages and the start of the daemon take.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

mod support;

use std::{process::ExitCode, time::Duration};

use chrono::TimeDelta;
use imagebaked::{
    adapters::store::{Filter, Reader},
    domain::{
        clock::{Clock, SystemClock},
        health::lines::Line,
        ids::BakeId,
    },
};
use support::{Daemon, Table, fill_history, schedules, timed, write_config};

const BAKES: u32 = 1_000_000;
const PAGE: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let state_dir = folder.path().join("state");
    let now = SystemClock.now();
    let (took, ()) = timed(|| runtime.block_on(fill_history(&state_dir, BAKES, now)));
    println!("{BAKES} bakes were written in {took:.1?}\n");
    let mut table = Table::new();

    runtime.block_on(async {
        let reader = Reader::open(&state_dir).await.unwrap();
        let page = Filter { limit: 50, ..Filter::default() };
        let states =
            |states: &[&str]| Filter { states: states.iter().map(|&state| state.to_owned()).collect(), ..page.clone() };
        let schedule = Some("golden-04200".to_owned());
        let instance = Some("ecd-bench04200".to_owned());
        let code = |code: &str| Filter { code: Some(code.to_owned()), ..page.clone() };
        let half_a_year_ago = now - TimeDelta::days(35);
        let filters = [
            ("newest", page.clone()),
            ("older than a row in the middle", Filter { before: Some((half_a_year_ago, BakeId(9))), ..page.clone() }),
            ("of a schedule", Filter { schedule: schedule.clone(), ..page.clone() }),
            ("of a schedule that is not there", Filter { schedule: Some("none".to_owned()), ..page.clone() }),
            ("of an instance", Filter { instance: instance.clone(), ..page.clone() }),
            ("in a common state", states(&["succeeded"])),
            ("in a rare state", states(&["skipped"])),
            ("in a state that none is in", states(&["unknown"])),
            ("in one of two states", states(&["failed", "skipped"])),
            ("unfinished", states(&["queued", "ready", "creating", "unknown", "building", "starting"])),
            ("of a schedule in a rare state", Filter { schedule, ..states(&["failed"]) }),
            ("of an instance in a state none is in", Filter { instance, ..states(&["building"]) }),
            ("since a day in the middle", Filter { since: Some(half_a_year_ago), ..page.clone() }),
            ("until a day in the middle", Filter { until: Some(half_a_year_ago), ..page.clone() }),
            ("failed, until a day in the middle", Filter { until: Some(half_a_year_ago), ..states(&["failed"]) }),
            ("that met a rare code", code("ExceedBuilderQuota")),
            ("that met a common code", code("Throttling.User")),
            ("that met a code nobody met", code("NoSuchCode")),
        ];
        for (what, filter) in filters {
            let mut all = Vec::new();
            for _ in 0..5 {
                let begun = std::time::Instant::now();
                reader.history(&filter).await.unwrap();
                all.push(begun.elapsed());
            }
            all.sort_unstable();
            table.time(&format!("a page: {what}"), PAGE, all[2]);
        }
        let begun = std::time::Instant::now();
        reader.work(now, None).await.unwrap();
        table.time("what the status page counts", PAGE, begun.elapsed());
        let versions = reader.versions().await.unwrap();
        let lines: Vec<_> = versions
            .keys()
            .map(|id| Line {
                id: id.clone(),
                schedule: id.as_str().into(),
                zone: imagebaked::domain::calendar::zone::Zone::find("Asia/Shanghai").unwrap(),
                max_image_age: None,
                known_since: now,
            })
            .collect();
        let begun = std::time::Instant::now();
        let facts = reader.line_facts(&lines).await.unwrap();
        table.time("what 10,000 lines have lost", Duration::from_millis(100), begun.elapsed());
        println!("{} of {} lines have something to judge", facts.len(), lines.len());
        reader.close().await;
    });

    write_config(folder.path(), &format!("{}{}", support::daemon_section(folder.path()), schedules(10_000, now)));
    let first = Daemon::start(folder.path());
    table.time("READY with it and 10,000 changed schedules", Duration::from_millis(500), first.ready_after);
    drop(first);
    let daemon = Daemon::start(folder.path());
    table.time("READY with it and 10,000 known schedules", Duration::from_millis(500), daemon.ready_after);
    std::thread::sleep(Duration::from_secs(5));
    table.row("resident memory with both, once it is idle", 16.0, daemon.resident_mib(), "MiB");
    table.finish()
}
