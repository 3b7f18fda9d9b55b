use std::{collections::BTreeMap, time::Instant};

use proptest::prelude::*;

use super::*;
use crate::{
    adapters::{
        config,
        store::{AuditFilter, AuditRow, BakeRow, Filter, Transition},
    },
    domain::{
        api::{
            call::MadeImage,
            identity::{ImageStatus, RemoteImage},
        },
        bake::{
            State,
            state::{BakeWork, End},
        },
        image::reconcile::{Comparison, Rebuilt, Tagged},
    },
};

/// A history and a file, with a clock that is moved by hand.
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

    /// The configuration is another one from now on, as after a reload.
    async fn reload(&mut self, schedules: &str) {
        self.plan_now().await;
        self.planner = adopt(&self.folder, &self.store, schedules, self.now).await;
    }

    /// The process is another one, after so long.
    async fn restart(&mut self, schedules: &str, down: TimeDelta) {
        self.now += down;
        self.planner = adopt(&self.folder, &self.store, schedules, self.now).await;
    }

    async fn plan_now(&mut self) -> usize {
        self.planner.plan(&self.store, self.now).await.unwrap()
    }

    /// Moves the clock and plans.
    async fn pass(&mut self, step: TimeDelta) -> usize {
        self.now += step;
        self.plan_now().await
    }

    /// Lets time pass in small steps, as ticks do.
    async fn live(&mut self, length: TimeDelta, step: TimeDelta) {
        let end = self.now + length;
        while self.now < end {
            self.pass(step).await;
        }
    }

    /// What is due is baked at once. Answers with the slots.
    async fn bake(&mut self) -> Vec<DateTime<Utc>> {
        let mut slots = Vec::new();
        loop {
            let due = self.store.next_queued(self.now, 100, &[]).await.unwrap();
            if due.is_empty() {
                return slots;
            }
            let done: Vec<_> = due
                .into_iter()
                .map(|due| {
                    let bake = due.bake;
                    slots.push(bake.slot);
                    let image =
                        MadeImage { image_id: format!("imgc-{}", bake.id).into(), version_id: None, task_id: None };
                    let work = BakeWork { version: due.last_version + 1, ..BakeWork::default() };
                    let end = End::Succeeded { image, reason: "image made".to_owned() };
                    let state = State::Ended { work: Some(work), end };
                    Transition {
                        bake: bake.id,
                        line: bake.line,
                        state,
                        reason: None,
                        attempt: None,
                        events: Vec::new(),
                    }
                })
                .collect();
            self.store.commit(&done, self.now).await.unwrap();
        }
    }

    async fn audit(&self) -> Vec<AuditRow> {
        self.store.reader().audit(&AuditFilter { limit: 1000, ..AuditFilter::default() }).await.unwrap()
    }

    /// The cloud has good images of the schedule `a` for these slots of 2027-03-01, in hours; rows are made of them.
    async fn rebuild(&self, hours: &[u32]) {
        let image = |hour: &u32| {
            let slot = "2027-03-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + HOUR * i32::try_from(*hour).unwrap();
            let tagged = Tagged { schedule_id: "a".into(), line: "a/ecd-a".into(), slot, version: *hour };
            let image = RemoteImage {
                image_id: format!("imgc-{hour}").into(),
                version_id: None,
                name: format!("a-v{hour}"),
                status: ImageStatus::Available,
                tags: [].into(),
                kind: None,
                made_at: None,
            };
            let schedule_id = tagged.schedule_id.clone();
            Rebuilt { schedule_id, schedule: "a".into(), instance_id: "ecd-a".into(), tagged, image, checked_by: None }
        };
        let found = Comparison { rows: hours.iter().map(image).collect(), ..Comparison::default() };
        self.store.rebuild(&found, "uid 0", "abc", self.now).await.unwrap();
    }

    /// All rows, the oldest slot first.
    async fn rows(&self) -> Vec<BakeRow> {
        let mut rows = self.store.reader().history(&Filter { limit: 1_000_000, ..Filter::default() }).await.unwrap();
        rows.reverse();
        rows
    }

    /// `state slot xN` of each row.
    async fn table(&self) -> Vec<String> {
        let line = |row: &BakeRow| {
            let slot = row.slot().format("%m-%d %H:%M");
            let times = if row.slot_count > 1 { format!(" x{}", row.slot_count) } else { String::new() };
            format!("{} {} {slot}{times}", row.schedule, row.state)
        };
        self.rows().await.iter().map(line).collect()
    }
}

async fn adopt(folder: &tempfile::TempDir, store: &Store, schedules: &str, now: DateTime<Utc>) -> Planner {
    let path = folder.path().join("imagebaked.toml");
    std::fs::write(&path, schedules).unwrap();
    let config = config::load(&path, &BTreeMap::new()).unwrap_or_else(|wrong| panic!("{}", wrong.render(false))).config;
    Planner::adopt(&config.schedules, &config.hash, store, config.daemon.mode, now).await.unwrap()
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
    let baked = |row: &&BakeRow| row.slot_count == 1 && row.state == "queued";
    assert_eq!(rows.iter().filter(baked).count(), 8760 + 365 + 12, "none missed, none twice");
}

#[tokio::test]
async fn a_minutely_schedule_that_was_down_for_a_month_costs_one_short_plan() {
    for (catch_up, queued) in [("skip", 0), ("latest", 1), ("all", 359)] {
        let file = schedule("minutely", "* * * * *", &format!("catch_up = \"{catch_up}\"\ncatch_up_window = \"6h\""));
        let mut night = Night::begin("2027-03-01T00:00:30Z", &file).await;
        let begun = Instant::now();
        night.restart(&file, TimeDelta::days(30)).await;
        night.plan_now().await;
        assert!(begun.elapsed().as_millis() < 1000, "{:?}", begun.elapsed());
        let rows = night.rows().await;
        let covered: i64 = rows.iter().map(|row| row.slot_count).sum();
        assert_eq!(covered, 30 * 24 * 60, "{catch_up}: every slot has its row");
        // The newest slot is half a minute old, and so simply due.
        let caught_up = rows.iter().filter(|row| row.trigger == "caught_up").count();
        let expected = if catch_up == "latest" { 0 } else { queued };
        assert_eq!(caught_up, expected, "{catch_up}");
        assert!(rows.len() <= queued + 3, "{catch_up}: {} rows", rows.len());
        // Another restart in the middle of it adds nothing.
        night.restart(&file, TimeDelta::zero()).await;
        assert_eq!(night.plan_now().await, 0);
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
    assert_eq!(night.plan_now().await, 0);
    night.pass(MINUTE).await;
    night.now = right + MINUTE;
    night.plan_now().await;
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
async fn a_slot_in_a_pause_is_recorded_and_not_caught_up() {
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
    night.store.pause(&pause, Zone::UTC).await.unwrap();
    night.restart(&file, MINUTE * 46).await;
    night.plan_now().await;
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
async fn missed_ranges_do_not_count_slots_that_were_rebuilt_before() {
    let file = schedule("a", "0 * * * *", "catch_up = \"skip\"");
    let expected = [
        "a skipped 03-01 01:00",
        "a succeeded 03-01 02:00",
        "a skipped 03-01 04:00 x2",
        "a succeeded 03-01 05:00",
        "a succeeded 03-01 06:00",
        "a skipped 03-01 08:00 x2",
        "a succeeded 03-01 09:00",
    ];
    let hours = [2, 5, 6, 9];
    let mut night = Night::begin("2027-03-01T00:00:00Z", &file).await;
    night.now += HOUR * 9 + MINUTE * 30;
    night.rebuild(&hours).await;
    night.plan_now().await;
    assert_eq!(night.table().await, expected);

    // Also where the daemon ends before it has planned, and where the rule is another one then.
    for other in [file.as_str(), &schedule("a", "45 * * * *", "catch_up = \"skip\"")] {
        let mut night = Night::begin("2027-03-01T00:00:00Z", &file).await;
        night.now += HOUR * 9 + MINUTE * 30;
        night.rebuild(&hours).await;
        night.restart(other, MINUTE).await;
        night.plan_now().await;
        assert_eq!(night.table().await, expected, "{other}");
    }
}

#[tokio::test]
async fn missed_ranges_count_no_slots_that_are_rebuilt_later() {
    let file = schedule("a", "0 * * * *", "catch_up = \"skip\"");
    let mut night = Night::begin("2027-03-01T00:00:00Z", &file).await;
    night.restart(&schedule("a", "45 * * * *", ""), HOUR * 9 + MINUTE * 30).await;
    assert_eq!(night.table().await, ["a skipped 03-01 09:00 x9"]);
    for _ in 0..2 {
        night.rebuild(&[1, 3, 5]).await;
        let mut table = night.table().await;
        assert_eq!(table.pop().unwrap(), "a skipped 03-01 09:00 x6");
        assert_eq!(table, ["a succeeded 03-01 01:00", "a succeeded 03-01 03:00", "a succeeded 03-01 05:00"]);
    }
}

/// A schedule that was first seen by a clock that was ahead has its slots from the moment on at which the clock is right.
#[tokio::test]
async fn a_first_start_with_a_clock_ahead_loses_no_slot() {
    let file = schedule("a", "0 * * * *", "");
    let expected = ["a queued 03-01 01:00", "a queued 03-01 02:00"];
    let ahead = "2027-03-04T00:30:00Z";
    let back = TimeDelta::days(-3);

    let mut restarted = Night::begin(ahead, &file).await;
    restarted.restart(&file, back).await;
    restarted.pass(HOUR / 2).await;
    restarted.planner.clock_confirmed();
    restarted.live(HOUR * 3 / 2, MINUTE * 30).await;
    assert_eq!(restarted.table().await, expected, "after a restart");

    let mut set_back = Night::begin(ahead, &file).await;
    set_back.live(HOUR / 4, MINUTE * 5).await;
    set_back.now += back - HOUR / 4;
    set_back.plan_now().await;
    set_back.planner.clock_confirmed();
    set_back.live(HOUR * 2, MINUTE * 30).await;
    assert_eq!(set_back.table().await, expected, "while it runs");

    let mut corrected = Night::begin(ahead, &file).await;
    corrected.now += back;
    corrected.planner.clock_corrected(back, corrected.now);
    corrected.live(HOUR * 2, MINUTE * 30).await;
    assert_eq!(corrected.table().await, expected, "before the cloud confirms the clock");
    corrected.restart(&file, MINUTE).await;
    corrected.live(HOUR, MINUTE * 30).await;
    assert_eq!(corrected.table().await.len(), 3, "and after a restart");
}

#[tokio::test]
async fn a_missed_slot_makes_way_for_its_image() {
    let file = schedule("a", "0 * * * *", "catch_up = \"skip\"");
    let mut night = Night::begin("2027-03-01T00:00:00Z", &file).await;
    night.restart(&schedule("a", "45 * * * *", ""), HOUR * 9 + MINUTE * 30).await;
    let all = ["a skipped 03-01 09:00 x9"];
    assert_eq!(night.table().await, all);
    // The last slots of the range, one in its middle, and in the end the only one that is left.
    for _ in 0..2 {
        night.rebuild(&[9, 8, 4]).await;
        let rest = ["a succeeded 03-01 04:00", "a succeeded 03-01 08:00", "a skipped 03-01 08:59 x6"];
        assert_eq!(night.table().await[..3], rest);
    }
    assert_eq!(night.table().await.len(), 4);
    night.rebuild(&[7, 6, 5, 3, 2, 1]).await;
    let table = night.table().await;
    assert_eq!((table.len(), table.iter().filter(|row| row.contains("succeeded")).count()), (9, 9), "{table:?}");
    let audit = night.audit().await;
    assert!(audit.iter().any(|row| row.detail.ends_with("image imgc-9 was made for its slot")), "{audit:?}");
}

#[tokio::test]
async fn a_renamed_schedule_goes_on_and_one_that_comes_back_begins_anew() {
    let before = schedule("old", "0 * * * *", "").replace("ecd-old", "ecd-1");
    let after = schedule("new", "0 * * * *", "id = \"old\"").replace("ecd-new", "ecd-1");
    let mut night = Night::begin("2027-03-01T00:30:00Z", &before).await;
    night.live(HOUR, MINUTE * 30).await;
    // The slot missed on the way is that of the same schedule.
    night.restart(&after, HOUR).await;
    night.plan_now().await;
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
async fn a_rename_with_an_id_moves_no_slot_of_a_rule_with_h() {
    for hash in ["H", "h"] {
        let before = schedule("old", &format!("{hash} * * * *"), "").replace("ecd-old", "ecd-1");
        let after = schedule("new", &format!("{hash} * * * *"), "id = \"old\"").replace("ecd-new", "ecd-1");
        let mut night = Night::begin("2027-03-01T00:00:00Z", &before).await;
        let slots = night.planner.next_at();
        night.restart(&after, TimeDelta::zero()).await;
        assert_eq!(night.planner.next_at(), slots);
        // While the daemon was down for a renamed schedule, its slots were missed, not those of another rule.
        night.restart(&after, HOUR * 2).await;
        night.plan_now().await;
        assert!(night.table().await.iter().all(|row| row.starts_with("new ")), "{:?}", night.table().await);
        assert_eq!(night.rows().await.last().unwrap().trigger, "caught_up");
        // Another name of its own is another rule.
        let other = schedule("other", &format!("{hash} * * * *"), "").replace("ecd-other", "ecd-1");
        night.restart(&other, TimeDelta::zero()).await;
        assert_ne!(night.planner.next_at().unwrap() - slots.unwrap(), HOUR * 2);
    }
}

#[tokio::test]
async fn a_seed_that_no_h_used_makes_no_other_rule() {
    let file = schedule("a", "0 * * * THU,MON", "");
    let mut night = Night::begin("2027-03-01T00:30:00Z", &file).await;
    night.store.execute("UPDATE targets SET timing = json_set(timing, '$.name', 'a')").await;
    night.restart(&file, HOUR).await;
    night.plan_now().await;
    assert_eq!(night.table().await, ["a queued 03-01 01:00"], "caught up, not missed under an older rule");
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

#[tokio::test]
async fn a_clock_that_was_ahead_for_a_moment_before_a_slot_does_not_cost_it() {
    // Hours ahead and right again, seconds before the slot: its row from the future was `missed`.
    for (catch_up, restart) in [("skip", false), ("skip", true), ("latest", false), ("latest", true), ("all", true)] {
        let file = schedule("a", "0 3 * * *", &format!("catch_up = \"{catch_up}\""));
        let mut night = Night::begin("2027-03-01T02:00:00Z", &file).await;
        night.live(MINUTE * 59, MINUTE).await;
        night.pass(HOUR * 5).await;
        assert_eq!(night.bake().await.len(), usize::from(catch_up != "skip"), "{catch_up}: late, or not at all");
        if catch_up != "skip" {
            continue;
        }
        night.pass(-HOUR * 5).await;
        if restart {
            night.restart(&file, TimeDelta::zero()).await;
        }
        night.live(MINUTE * 3, MINUTE).await;
        assert_eq!(night.table().await, ["a queued 03-01 03:00"], "{catch_up}, restart {restart}");
        let report: Vec<_> = night.audit().await.into_iter().filter(|row| row.action == "clock").collect();
        assert_eq!(report.len(), 1);
        assert!(report[0].detail.contains("gives up the slot Mon 2027-03-01 03:00 +00:00"), "{}", report[0].detail);
        assert_eq!(night.bake().await.len(), 1);
    }
}

#[tokio::test]
async fn slots_that_came_while_the_daemon_was_down_are_not_lost_to_rows_of_a_clock_that_was_ahead() {
    for (catch_up, row) in [("latest", "queued"), ("skip", "skipped")] {
        let file = schedule("a", "0 3 * * *", &format!("catch_up = \"{catch_up}\""));
        let mut night = Night::begin("2027-03-01T02:00:00Z", &file).await;
        // Three days ahead: the nights until then count as missed. Then off, and on again half an hour after a slot.
        night.pass(HOUR * 72).await;
        night.restart(&file, -HOUR * 72 + MINUTE * 90).await;
        night.plan_now().await;
        let table = night.table().await;
        assert_eq!(table[0], format!("a {row} 03-01 03:00"), "{table:?}");
        assert_eq!(table[1..], ["a skipped 03-03 03:00 x2"], "what has not come waits");
        let again = night.plan_now().await;
        assert_eq!((again, night.table().await), (0, table), "once");
    }
}

#[tokio::test]
async fn a_row_that_is_queued_for_the_future_waits_for_its_slot_and_bars_no_other() {
    let file = schedule("a", "0 * * * *", "overlap = \"skip\"\ncatch_up = \"skip\"");
    let mut night = Night::begin("2027-03-01T02:30:00Z", &file).await;
    // On time by the wrong clock, but no builder was free.
    night.pass(HOUR * 48 - MINUTE * 30).await;
    assert!(night.table().await.contains(&"a queued 03-03 02:00".to_owned()), "{:?}", night.table().await);
    night.pass(-HOUR * 48 + MINUTE * 30).await;
    assert!(night.bake().await.is_empty(), "a slot later than now is never baked");
    night.live(HOUR, MINUTE).await;
    assert_eq!(night.bake().await.len(), 1, "{:?}", night.table().await);
    let table = night.table().await;
    assert_eq!(table[0], "a succeeded 03-01 03:00", "{table:?}");
    // The range gave up one slot of its 46.
    assert_eq!(table[1..], ["a skipped 03-03 01:00 x46", "a queued 03-03 02:00"], "{table:?}");
}

#[tokio::test]
async fn a_range_of_the_future_gives_up_its_slots_one_by_one_also_in_its_middle() {
    let file = schedule("a", "0 * * * *", "catch_up = \"skip\"");
    let mut night = Night::begin("2027-03-01T00:30:00Z", &file).await;
    // Down for three hours, and then seven hours ahead.
    night.restart(&file, HOUR * 10 + MINUTE * 10).await;
    night.plan_now().await;
    assert_eq!(night.table().await, ["a skipped 03-01 10:00 x10"]);
    night.pass(-HOUR * 7).await;
    night.live(HOUR, MINUTE).await;
    assert_eq!(night.table().await, ["a skipped 03-01 03:00 x3", "a queued 03-01 04:00", "a skipped 03-01 10:00 x6"]);
    // Once more ahead, over the rest of it, and back to where it was.
    night.pass(HOUR * 20).await;
    night.pass(-HOUR * 20).await;
    night.live(HOUR * 2, MINUTE).await;
    let table = night.table().await;
    assert_eq!(
        table[..4],
        ["a skipped 03-01 03:00 x3", "a queued 03-01 04:00", "a queued 03-01 05:00", "a queued 03-01 06:00"]
    );
    assert_eq!(table.last().unwrap(), "a skipped 03-02 00:00 x14", "{table:?}");
}

#[tokio::test]
async fn a_row_that_was_begun_by_a_wrong_clock_keeps_its_slot() {
    let file = schedule("a", "0 3 * * *", "catch_up = \"latest\"");
    let mut night = Night::begin("2027-03-01T02:00:00Z", &file).await;
    night.pass(HOUR + MINUTE * 5).await;
    assert_eq!(night.bake().await.len(), 1);
    night.pass(-HOUR).await;
    night.live(HOUR * 2, MINUTE).await;
    assert_eq!(night.table().await, ["a succeeded 03-01 03:00"]);
    assert!(night.bake().await.is_empty());
}

#[tokio::test]
async fn slots_of_the_future_go_with_the_rule_that_made_them() {
    let mut night = Night::begin("2027-03-01T00:30:00Z", &schedule("a", "0 * * * *", "")).await;
    night.pass(HOUR * 8).await;
    night.pass(-HOUR * 8).await;
    night.reload(&schedule("a", "0,30 * * * *", "")).await;
    night.live(HOUR * 2, MINUTE).await;
    let wanted = ["01:00", "01:30", "02:00", "02:30"].map(|slot| format!("a queued 03-01 {slot}"));
    assert_eq!(night.table().await, wanted);
    // Gone from the file, and back.
    night.pass(HOUR * 8).await;
    night.pass(-HOUR * 8).await;
    night.reload("").await;
    night.reload(&schedule("a", "0,30 * * * *", "")).await;
    night.live(MINUTE * 40, MINUTE).await;
    assert_eq!(night.table().await.last().unwrap(), "a queued 03-01 03:00");
}

#[tokio::test]
async fn no_row_covers_slots_before_its_schedule_was_known() {
    let file = schedule("minutely", "* * * * *", "catch_up = \"all\"");
    // The clock had not been set when the daemon first ran, and was corrected while it ran.
    let mut night = Night::begin("1970-01-01T00:00:10Z", &file).await;
    night.plan_now().await;
    let right: DateTime<Utc> = "2027-03-01T00:00:30Z".parse().unwrap();
    night.planner.clock_corrected(right - night.now, right);
    night.now = right;
    night.plan_now().await;
    night.live(MINUTE * 2, MINUTE).await;
    assert_eq!(night.table().await, ["minutely queued 03-01 00:01", "minutely queued 03-01 00:02"]);
    // The same, corrected while it did not run.
    let mut night = Night::begin("1970-01-01T00:00:10Z", &file).await;
    night.restart(&file, right - night.now).await;
    night.live(MINUTE * 2, MINUTE).await;
    assert_eq!(night.table().await, ["minutely queued 03-01 00:01", "minutely queued 03-01 00:02"]);
    // A clock that the cloud had confirmed was right: what it missed is missed.
    let hourly = schedule("a", "0 * * * *", "catch_up = \"skip\"");
    let mut night = Night::begin("2027-03-01T00:30:00Z", &hourly).await;
    night.planner.clock_confirmed();
    night.now += HOUR * 3 - MINUTE * 20;
    night.planner.clock_corrected(HOUR * 3, night.now);
    night.plan_now().await;
    assert_eq!(night.table().await, ["a skipped 03-01 03:00 x3"]);
}

/// What happens to a daemon and its clock.
#[derive(Debug, Clone)]
enum Blow {
    /// Nothing: so many minutes pass.
    Live(i64),
    /// The host sleeps so many minutes.
    Sleep(i64),
    /// The clock is so many seconds off from now on.
    Off(i64),
    /// The process ends and begins again, so many minutes later.
    Restart(i64, usize),
    /// The file is read again.
    Reload(usize),
    /// From now on a builder is free, or none is.
    Builder(bool),
}

fn blows() -> impl Strategy<Value = Vec<Blow>> {
    let off = prop_oneof![
        3 => Just(0_i64),
        4 => -20_000_i64..20_000,
        1 => prop_oneof![Just(400 * 86_400), Just(-400 * 86_400), Just(70), Just(-70), Just(61)],
    ];
    let blow = prop_oneof![
        4 => (1_i64..120).prop_map(Blow::Live),
        1 => (1_i64..600).prop_map(Blow::Sleep),
        4 => off.prop_map(Blow::Off),
        2 => (0_i64..400, 0_usize..3).prop_map(|(down, catch_up)| Blow::Restart(down, catch_up)),
        1 => (0_usize..3).prop_map(Blow::Reload),
        1 => any::<bool>().prop_map(Blow::Builder),
    ];
    prop::collection::vec(blow, 1..14)
}

proptest! {
    #![proptest_config(crate::domain::random_tests::cases(32))]

    /// Promise 1 under clocks that go ahead and back, with restarts and reloads in between: every slot that has come has one
    /// row, and each that came in true time while the daemon ran by a right clock is baked exactly once.
    #[test]
    fn every_slot_is_accounted_for_once_whatever_the_clock_does(blows in blows()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(survive(&blows));
    }
}

async fn survive(blows: &[Blow]) {
    let file = |catch_up: usize| {
        let word = ["skip", "latest", "all"][catch_up];
        schedule("a", "*/20 * * * *", &format!("catch_up = \"{word}\"\ncatch_up_window = \"3h\"\ndeadline = \"9000h\""))
    };
    let begin: DateTime<Utc> = "2027-03-01T00:10:00Z".parse().unwrap();
    let mut night = Night::begin("2027-03-01T00:10:00Z", &file(0)).await;
    let (mut truth, mut off, mut has_builder) = (begin, TimeDelta::zero(), true);
    let mut baked: BTreeMap<DateTime<Utc>, u32> = BTreeMap::new();
    let mut on_time = Vec::new();
    let last = [Blow::Off(0), Blow::Builder(true), Blow::Live(70)];
    for blow in blows.iter().chain(&last) {
        match blow {
            Blow::Live(minutes) => {
                let end = truth + TimeDelta::minutes(*minutes);
                while truth < end {
                    truth += TimeDelta::seconds(45);
                    night.now = truth + off;
                    night.plan_now().await;
                    let slot = DateTime::from_timestamp(truth.timestamp() / 1200 * 1200, 0).unwrap();
                    if off.is_zero() && truth - slot < TimeDelta::seconds(45) {
                        on_time.push(slot);
                    }
                    if has_builder {
                        for slot in night.bake().await {
                            assert!(slot <= night.now, "a slot later than now was baked: {slot}");
                            *baked.entry(slot).or_default() += 1;
                        }
                    }
                }
            }
            Blow::Sleep(minutes) => {
                truth += TimeDelta::minutes(*minutes);
                night.now = truth + off;
                night.plan_now().await;
            }
            Blow::Off(seconds) => {
                off = TimeDelta::seconds(*seconds);
                night.now = truth + off;
                night.plan_now().await;
            }
            Blow::Restart(minutes, catch_up) => {
                truth += TimeDelta::minutes(*minutes);
                night.now = truth + off;
                night.restart(&file(*catch_up), TimeDelta::zero()).await;
                night.plan_now().await;
            }
            Blow::Reload(catch_up) => night.reload(&file(*catch_up)).await,
            Blow::Builder(free) => has_builder = *free,
        }
    }
    // An independent count: rows taken apart into slots, against the multiples of twenty minutes.
    let mut counts: BTreeMap<i64, u32> = BTreeMap::new();
    for row in night.rows().await {
        let (first, last) = (row.first_slot / 1_200_000, row.slot / 1_200_000);
        assert_eq!(last - first + 1, row.slot_count, "{:?}", night.table().await);
        for slot in first..=last {
            *counts.entry(slot).or_default() += 1;
        }
    }
    let known = begin.timestamp() / 1200 + 1;
    let now = truth.timestamp() / 1200;
    for slot in known..=now {
        assert_eq!(counts.get(&slot), Some(&1), "slot {slot} of {known}..={now}: {:#?}", night.table().await);
    }
    assert!(counts.values().all(|count| *count == 1), "{:#?}", night.table().await);
    for slot in on_time {
        assert_eq!(baked.get(&slot), Some(&1), "{slot} came on time: {:#?}", night.table().await);
    }
}
