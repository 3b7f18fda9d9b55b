use proptest::prelude::*;

use super::*;
use crate::domain::{
    bake::settings::{self, BakeSettings},
    calendar::Timing,
    catch_up::CatchUp,
    schedule::{Keep, Overlap},
};

fn schedule(id: &str, name: &str, instances: Instances, cron: &str, zone: Zone) -> Schedule {
    let settings = BakeSettings {
        instance_region: "cn-shanghai".into(),
        image_name: "{name}-v{version}".into(),
        timezone: zone,
        ..settings::example()
    };
    Schedule {
        id: id.into(),
        name: name.into(),
        instances,
        timing: Timing::parse(&[cron], zone, Duration::ZERO, name).unwrap(),
        catch_up: CatchUp::Latest,
        catch_up_window: Duration::from_hours(6),
        overlap: Overlap::Queue,
        paused: false,
        max_image_age: None,
        keep: None,
        channels: Vec::new(),
        settings: Arc::new(settings),
    }
}

fn one(id: &str, instance: &str, cron: &str) -> Schedule {
    schedule(id, id, Instances::One(instance.into()), cron, Zone::UTC)
}

fn diff(old: &[Schedule], new: &[Schedule]) -> Diff {
    let shared = |all: &[Schedule]| all.iter().cloned().map(Arc::new).collect::<Vec<_>>();
    // A Monday, and the week that follows.
    let from: DateTime<Utc> = "2027-03-01T00:00:00Z".parse().unwrap();
    Diff::between(&shared(old), &shared(new), from, from + chrono::TimeDelta::days(7))
}

#[test]
fn a_later_hour_moves_every_slot() {
    let report = diff(&[one("a", "ecd-1", "0 3 * * mon-fri")], &[one("a", "ecd-1", "0 4 * * mon-fri")]);
    let keys = &report.changed[0].keys;
    assert_eq!(keys, &[KeyChange { key: "cron".into(), old: "0 3 * * mon-fri".into(), new: "0 4 * * mon-fri".into() }]);
    assert_eq!((report.counts.slots_moved, report.counts.slots_added, report.counts.slots_gone), (5, 0, 0));
    assert_eq!(report.summary(), "1 schedule changed; 5 slots moved");
    let fewer = diff(&[one("a", "ecd-1", "0 3 * * *")], &[one("a", "ecd-1", "0 3 * * mon-fri")]);
    assert_eq!(fewer.summary(), "1 schedule changed; 2 slots gone");
}

#[test]
fn another_zone_moves_slots_of_the_same_local_day() {
    let old = schedule("a", "a", Instances::One("ecd-1".into()), "0 3 * * *", Zone::UTC);
    let new = schedule("a", "a", Instances::One("ecd-1".into()), "0 3 * * *", Zone::find("Asia/Shanghai").unwrap());
    let report = diff(&[old], &[new]);
    assert_eq!(report.slots_moved[0].from - report.slots_moved[0].to, chrono::TimeDelta::hours(8));
    assert!(report.changed[0].keys.iter().any(|change| change.key == "timezone" && change.new == "Asia/Shanghai"));
}

#[test]
fn a_new_name_with_the_old_id_is_the_same_schedule_and_without_it_a_lost_line() {
    let old = one("a", "ecd-1", "0 3 * * *");
    let renamed =
        diff(std::slice::from_ref(&old), &[schedule("a", "b", old.instances.clone(), "0 3 * * *", Zone::UTC)]);
    assert_eq!(renamed.summary(), "1 schedule changed");
    assert_eq!(renamed.changed[0].keys[0].key, "name");
    let lost = diff(&[old], &[one("b", "ecd-1", "0 3 * * *")]);
    assert_eq!(lost.lost_lines, [LostLine { id: "a".into(), name: "b".into() }]);
    assert_eq!((lost.counts.added, lost.counts.removed, lost.uncovered.len()), (1, 1, 0));
}

#[test]
fn an_instance_is_covered_by_a_schedule_that_is_not_paused() {
    let old = one("a", "ecd-1", "0 3 * * *");
    let paused = Schedule { paused: true, ..old.clone() };
    let report = diff(std::slice::from_ref(&old), std::slice::from_ref(&paused));
    assert_eq!((report.uncovered.as_slice(), report.counts.slots_gone), (&["ecd-1".into()][..], 7));
    assert_eq!(diff(&[paused], std::slice::from_ref(&old)).covered, ["ecd-1".into()]);
    let many = Schedule { instances: Instances::Many(vec!["ecd-1".into(), "ecd-2".into()]), ..old.clone() };
    let report = diff(&[old], &[many]);
    assert_eq!((report.covered.as_slice(), report.counts.slots_added), (&["ecd-2".into()][..], 7));
    let keys: Vec<_> = report.changed[0].keys.iter().map(|change| change.key.as_str()).collect();
    assert_eq!(keys, ["instance_id", "instance_ids"]);
}

#[test]
fn values_are_shown_as_people_write_them() {
    let old = one("a", "ecd-1", "0 3 * * *");
    let keep = Keep {
        last: 3,
        hourly: 0,
        daily: 0,
        weekly: 0,
        monthly: 0,
        yearly: 0,
        within: None,
        min: 1,
        grace: Duration::ZERO,
        failed: None,
    };
    let new = Schedule {
        keep: Some(Keep { within: Some(Duration::from_hours(48)), ..keep }),
        catch_up_window: Duration::from_mins(90),
        ..old.clone()
    };
    let report: Vec<_> = diff(&[old], &[new]).changed.remove(0).keys.into_iter().map(|change| change.new).collect();
    assert_eq!(
        report,
        [
            "1h 30m",
            "{ daily = 0, grace = 0s, hourly = 0, last = 3, min = 1, monthly = 0, weekly = 0, within = 2d, yearly = 0 }"
        ]
    );
}

#[test]
fn a_slot_a_second_is_compared_up_to_the_bound() {
    let report = diff(&[one("a", "ecd-1", "* * * * * *")], &[one("a", "ecd-1", "*/2 * * * * *")]);
    assert_eq!((report.counts.slots_gone, report.counts.slots_added), (MOST / 2, 0));
    let short = report.shortened(10);
    assert_eq!((short.slots_gone.len(), short.counts.slots_gone), (10, MOST / 2));
}

fn any_schedules() -> impl Strategy<Value = Vec<Schedule>> {
    const CRONS: [&str; 5] = ["0 3 * * *", "0 4 * * mon-fri", "*/30 * * * *", "30 2 * * sun", "0 */6 * * *"];
    let zones = [Zone::UTC, Zone::find("Asia/Shanghai").unwrap(), Zone::find("Europe/Berlin").unwrap()];
    let single = (0_usize..4, 0_usize..3, 0_usize..3, any::<bool>());
    proptest::collection::vec(proptest::option::of(single), 4).prop_map(move |all| {
        let present = all.into_iter().enumerate().filter_map(|(id, of)| Some((id, of?)));
        present
            .map(|(id, (cron, zone, instances, paused))| {
                let ids: Vec<InstanceId> = (0..=instances).map(|n| format!("ecd-{}", n + id).into()).collect();
                let id = format!("s{id}");
                Schedule { paused, ..schedule(&id, &id, Instances::Many(ids), CRONS[cron], zones[zone]) }
            })
            .collect()
    })
}

/// All slots of these schedules in the week.
fn slots(schedules: &[Schedule]) -> BTreeSet<(DateTime<Utc>, String, InstanceId)> {
    let all = diff(&[], schedules).slots_added;
    all.into_iter().map(|slot| (slot.slot, slot.schedule.to_string(), slot.instance_id)).collect()
}

proptest! {
    #![proptest_config(crate::domain::random_tests::cases(64))]

    #[test]
    fn nothing_changes_between_equals(schedules in any_schedules()) {
        let report = diff(&schedules, &schedules);
        prop_assert!(report.is_empty(), "{report:?}");
        prop_assert_eq!(report, Diff::default());
    }

    #[test]
    fn the_difference_leads_from_the_old_slots_to_the_new(old in any_schedules(), new in any_schedules()) {
        let report = diff(&old, &new);
        let mut applied = slots(&old);
        for gone in report.slots_gone {
            prop_assert!(applied.remove(&(gone.slot, gone.schedule.to_string(), gone.instance_id)));
        }
        for moved in &report.slots_moved {
            prop_assert!(applied.remove(&(moved.from, moved.schedule.to_string(), moved.instance_id.clone())));
        }
        for moved in report.slots_moved {
            prop_assert!(applied.insert((moved.to, moved.schedule.to_string(), moved.instance_id)));
        }
        for added in report.slots_added {
            prop_assert!(applied.insert((added.slot, added.schedule.to_string(), added.instance_id)));
        }
        prop_assert_eq!(applied, slots(&new));
        let back = diff(&new, &old);
        prop_assert_eq!((report.counts.slots_added, report.counts.uncovered), (back.counts.slots_gone, back.counts.covered));
        prop_assert_eq!((report.added, report.removed.len()), (back.removed, back.added.len()));
    }

    #[test]
    fn a_diff_survives_the_control_socket(old in any_schedules(), new in any_schedules()) {
        let report = diff(&old, &new);
        let text = serde_json::to_string(&report).unwrap();
        prop_assert_eq!(serde_json::from_str::<Diff>(&text).unwrap(), report);
    }
}

#[test]
fn changes_are_listed_key_by_key_up_to_a_bound() {
    let change = |n: usize| KeyChange { key: format!("daemon.key{n}"), old: "1".to_owned(), new: "2".to_owned() };
    let diff = Diff::default().with_settings((0..5).map(change).collect());
    assert_eq!(diff.changes(2), ["daemon.key0: 1 → 2", "daemon.key1: 1 → 2", "and 3 more"]);
    assert_eq!(diff.changes(5).len(), 5);
    assert!(Diff::default().changes(2).is_empty());
}
