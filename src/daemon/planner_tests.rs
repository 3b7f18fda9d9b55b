use std::{collections::BTreeMap, time::Instant};

use super::*;
use crate::{
    config,
    store::{Filter, LedgerRow},
};

/// A ledger and a file, with a clock that is moved by hand.
struct Night {
    folder: tempfile::TempDir,
    store: Store,
    planner: Planner,
    now: DateTime<Utc>,
}

impl Night {
    async fn begin(now: &str, schedules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state")).await.unwrap();
        let now = now.parse().unwrap();
        let planner = adopt(&folder, &store, schedules, now).await;
        Self { folder, store, planner, now }
    }

    /// The file says something else from now on, as after a reload.
    async fn reload(&mut self, schedules: &str) {
        self.look().await;
        self.planner = adopt(&self.folder, &self.store, schedules, self.now).await;
    }

    /// The process is another one, after so long.
    async fn restart(&mut self, schedules: &str, down: TimeDelta) {
        self.now += down;
        self.planner = adopt(&self.folder, &self.store, schedules, self.now).await;
    }

    async fn look(&mut self) -> usize {
        self.planner.plan(&self.store, self.now).await.unwrap()
    }

    /// Moves the clock and looks.
    async fn pass(&mut self, step: TimeDelta) -> usize {
        self.now += step;
        self.look().await
    }

    /// Lets time pass in small steps, as pulses do.
    async fn live(&mut self, length: TimeDelta, step: TimeDelta) {
        let end = self.now + length;
        while self.now < end {
            self.pass(step).await;
        }
    }

    /// All rows, the oldest slot first.
    async fn rows(&self) -> Vec<LedgerRow> {
        let mut rows = self.store.reader().history(&Filter { limit: 1_000_000, ..Filter::default() }).await.unwrap();
        rows.reverse();
        rows
    }

    /// `state slot xN` of each row.
    async fn table(&self) -> Vec<String> {
        let line = |row: &LedgerRow| {
            let slot = row.slot().format("%m-%d %H:%M");
            let times = if row.covers > 1 { format!(" x{}", row.covers) } else { String::new() };
            format!("{} {} {slot}{times}", row.schedule, row.state)
        };
        self.rows().await.iter().map(line).collect()
    }
}

async fn adopt(folder: &tempfile::TempDir, store: &Store, schedules: &str, now: DateTime<Utc>) -> Planner {
    let path = folder.path().join("imagebaked.toml");
    std::fs::write(&path, schedules).unwrap();
    let config = config::load(&path, &BTreeMap::new()).unwrap_or_else(|wrong| panic!("{}", wrong.render(false))).config;
    Planner::adopt(&config.schedules, &config.hash, store, now).await.unwrap()
}

fn schedule(name: &str, cron: &str, more: &str) -> String {
    format!("[[schedule]]\nname = \"{name}\"\ninstance_id = \"ecd-{name}\"\ncron = \"{cron}\"\n{more}\n")
}

const HOUR: TimeDelta = TimeDelta::hours(1);
const MINUTE: TimeDelta = TimeDelta::minutes(1);

#[tokio::test]
async fn a_year_in_vienna_has_every_slot_once() {
    let zone = "timezone = \"Europe/Vienna\"";
    let file = [("hourly", "0 * * * *"), ("daily", "30 2 * * *"), ("monthly", "0 3 31 * *")]
        .map(|(name, cron)| schedule(name, if name == "monthly" { "0 3 L * *" } else { cron }, zone))
        .concat();
    // From midnight to midnight, local time.
    let mut night = Night::begin("2026-12-31T23:00:00Z", &file).await;
    for _ in 0..8760 {
        night.pass(HOUR).await;
    }
    let rows = night.rows().await;
    let of = |name: &str| rows.iter().filter(|row| row.schedule == name).count();
    assert_eq!((of("hourly"), of("daily"), of("monthly")), (8760, 365, 12));
    let baked = |row: &&LedgerRow| row.covers == 1 && row.state == "queued";
    assert_eq!(rows.iter().filter(baked).count(), 8760 + 365 + 12, "none missed, none twice");
}

#[tokio::test]
async fn a_minutely_schedule_that_was_down_for_a_month_costs_one_short_look() {
    for (catch_up, queued) in [("skip", 0), ("latest", 1), ("all", 359)] {
        let file = schedule("minutely", "* * * * *", &format!("catch_up = \"{catch_up}\"\ncatch_up_window = \"6h\""));
        let mut night = Night::begin("2027-03-01T00:00:30Z", &file).await;
        let begun = Instant::now();
        night.restart(&file, TimeDelta::days(30)).await;
        night.look().await;
        assert!(begun.elapsed().as_millis() < 1000, "{:?}", begun.elapsed());
        let rows = night.rows().await;
        let covered: i64 = rows.iter().map(|row| row.covers).sum();
        assert_eq!(covered, 30 * 24 * 60, "{catch_up}: every slot has its row");
        // The newest slot is half a minute old, and so simply due.
        let caught_up = rows.iter().filter(|row| row.trigger == "caught_up").count();
        let expected = if catch_up == "latest" { 0 } else { queued };
        assert_eq!(caught_up, expected, "{catch_up}");
        assert!(rows.len() <= queued + 3, "{catch_up}: {} rows", rows.len());
        // Another restart in the middle of it adds nothing.
        night.restart(&file, TimeDelta::zero()).await;
        assert_eq!(night.look().await, 0);
        assert_eq!(night.rows().await.len(), rows.len());
    }
}

#[tokio::test]
async fn a_clock_an_hour_back_runs_nothing_twice_and_misses_nothing() {
    let file = schedule("half", "*/30 * * * *", "");
    let mut night = Night::begin("2027-03-01T00:10:00Z", &file).await;
    night.live(HOUR * 2, MINUTE).await;
    assert_eq!(night.rows().await.len(), 4);
    night.pass(-HOUR).await;
    night.live(HOUR * 2, MINUTE).await;
    let table = night.table().await;
    let wanted = ["00:30", "01:00", "01:30", "02:00", "02:30", "03:00"].map(|slot| format!("half queued 03-01 {slot}"));
    assert_eq!(table, wanted);
}

#[tokio::test]
async fn a_clock_in_the_far_future_for_a_moment_stalls_nothing() {
    let file = schedule("daily", "0 3 * * *", "");
    let mut night = Night::begin("2027-03-01T00:00:00Z", &file).await;
    let rows = night.pass(TimeDelta::days(400)).await;
    assert!(rows <= 3, "no burst: {rows} rows");
    night.pass(-TimeDelta::days(400)).await;
    night.live(TimeDelta::days(3), MINUTE * 30).await;
    let queued: Vec<_> = night.table().await.into_iter().filter(|line| line.contains("queued 03-0")).collect();
    assert_eq!(queued, ["daily queued 03-01 03:00", "daily queued 03-02 03:00", "daily queued 03-03 03:00"]);

    // The same, with the clock put right while the daemon is down.
    let mut night = Night::begin("2027-03-01T00:00:00Z", &file).await;
    night.pass(TimeDelta::days(400)).await;
    night.restart(&file, -TimeDelta::days(400)).await;
    night.live(TimeDelta::days(1), MINUTE * 30).await;
    assert!(night.table().await.contains(&"daily queued 03-01 03:00".to_owned()));
}

#[tokio::test]
async fn a_clock_in_1970_for_a_moment_brings_no_burst() {
    let file = schedule("minutely", "* * * * *", "catch_up = \"all\"\ncatch_up_window = \"6h\"");
    let mut night = Night::begin("2027-03-01T00:00:30Z", &file).await;
    night.live(MINUTE * 5, MINUTE).await;
    let right = night.now;
    night.now = DateTime::UNIX_EPOCH;
    assert_eq!(night.look().await, 0);
    night.pass(MINUTE).await;
    night.now = right + MINUTE;
    night.look().await;
    night.live(MINUTE * 2, MINUTE).await;
    let rows = night.rows().await;
    let of_2027 = rows.iter().filter(|row| row.slot() > right - HOUR).count();
    assert_eq!(of_2027, 8, "{:?}", night.table().await);
    assert!(rows.len() <= 10, "{:?}", night.table().await);
}

#[tokio::test]
async fn nothing_runs_for_being_written_down_edited_or_resumed() {
    let mut night = Night::begin("2027-03-01T02:59:00Z", &schedule("a", "0 3 * * *", "")).await;
    night.live(MINUTE * 3, MINUTE).await;
    // Moved to a time that has passed, and back to one that has passed, too.
    night.reload(&schedule("a", "1 3 * * *", "")).await;
    night.live(MINUTE * 3, MINUTE).await;
    night.reload(&schedule("a", "4 3 * * *", "paused = true")).await;
    night.live(MINUTE * 3, MINUTE).await;
    night.reload(&schedule("a", "4 3 * * *", "")).await;
    night.live(MINUTE * 3, MINUTE).await;
    assert_eq!(night.table().await, ["a queued 03-01 03:00"]);
}

#[tokio::test]
async fn a_slot_in_a_pause_is_recorded_and_not_made_up_for() {
    let file = |more: &str| schedule("a", "4 3 * * *", more);
    let mut night = Night::begin("2027-03-01T03:00:00Z", &file("paused = true")).await;
    night.live(MINUTE * 6, MINUTE).await;
    night.reload(&file("")).await;
    night.live(HOUR * 25, MINUTE).await;
    assert_eq!(night.table().await, ["a skipped 03-01 03:04", "a queued 03-02 03:04"]);
    assert_eq!(night.rows().await[0].reason.as_deref(), Some("paused in the file"));
}

#[tokio::test]
async fn a_pause_by_a_person_ends_while_the_daemon_is_down() {
    let file = schedule("a", "*/10 * * * *", "catch_up = \"all\"");
    let mut night = Night::begin("2027-03-01T03:05:00Z", &file).await;
    let pause = Pause {
        schedule_id: "a".into(),
        since: night.now,
        until: Some(night.now + MINUTE * 20),
        reason: "patch day".into(),
        who: "uid 7".into(),
    };
    night.store.pause(&pause).await.unwrap();
    night.restart(&file, MINUTE * 46).await;
    night.look().await;
    let wanted = ["a skipped 03-01 03:20 x2", "a queued 03-01 03:30", "a queued 03-01 03:40", "a queued 03-01 03:50"];
    assert_eq!(night.table().await, wanted);
    let reason = night.rows().await[0].reason.clone().unwrap();
    assert!(reason.starts_with("paused by uid 7 until") && reason.ends_with("patch day"), "{reason}");
}

#[tokio::test]
async fn slots_of_a_rule_that_was_replaced_while_the_daemon_was_down_are_accounted_for() {
    let mut night = Night::begin("2027-03-01T00:00:00Z", &schedule("a", "0 * * * *", "")).await;
    night.live(HOUR * 2, MINUTE * 30).await;
    night.restart(&schedule("a", "30 * * * *", ""), HOUR * 5 + MINUTE).await;
    night.live(HOUR, MINUTE * 10).await;
    let table = night.table().await;
    assert_eq!(
        table,
        ["a queued 03-01 01:00", "a queued 03-01 02:00", "a skipped 03-01 07:00 x5", "a queued 03-01 07:30"]
    );
    assert!(night.rows().await[2].reason.as_deref().unwrap().contains("were changed meanwhile"));
}

#[tokio::test]
async fn a_renamed_schedule_goes_on_and_one_that_comes_back_begins_anew() {
    let before = schedule("old", "0 * * * *", "").replace("ecd-old", "ecd-1");
    let after = schedule("new", "0 * * * *", "id = \"old\"").replace("ecd-new", "ecd-1");
    let mut night = Night::begin("2027-03-01T00:30:00Z", &before).await;
    night.live(HOUR, MINUTE * 30).await;
    // The slot missed on the way is that of the same schedule.
    night.restart(&after, HOUR).await;
    night.look().await;
    let rows = night.rows().await;
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (rows[1].schedule.as_str(), rows[1].line_id.as_str(), rows[1].trigger.as_str()),
        ("new", "old", "caught_up")
    );

    night.reload("").await;
    night.live(HOUR * 3, MINUTE * 30).await;
    night.reload(&after).await;
    night.live(HOUR, MINUTE * 30).await;
    assert_eq!(night.rows().await.len(), 3, "nothing for the time it was not there: {:?}", night.table().await);
}

#[tokio::test]
async fn overlap_skips_or_queues() {
    for (overlap, second) in [("skip", "skipped"), ("queue", "queued")] {
        let file = schedule("a", "0 * * * *", &format!("overlap = \"{overlap}\""));
        let mut night = Night::begin("2027-03-01T00:30:00Z", &file).await;
        night.live(HOUR * 2, MINUTE * 30).await;
        assert_eq!(night.table().await, ["a queued 03-01 01:00".to_owned(), format!("a {second} 03-01 02:00")]);
    }
}
