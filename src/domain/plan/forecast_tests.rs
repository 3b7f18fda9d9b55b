use proptest::prelude::*;

use super::*;

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + minute * 60, 0).unwrap()
}

fn minutes(n: u64) -> Duration {
    Duration::from_mins(n)
}

const WIDE: Builders = Builders { all: 99, per_region: 99 };

fn coming(instance: &InstanceId, slot: i64, takes: u64) -> Coming<'_> {
    Coming {
        slot: at(slot),
        not_before: at(slot),
        give_up_at: at(slot + 240),
        instance,
        region: "cn-hangzhou",
        overlap: Overlap::Queue,
        takes: minutes(takes),
    }
}

fn baked(begin: i64, end: i64) -> ForecastOutcome {
    ForecastOutcome::Baked { begin: at(begin), end: at(end), runs_into: None }
}

fn ids(n: usize) -> Vec<InstanceId> {
    (0..n).map(|n| InstanceId::new(format!("ecd-{n}"))).collect()
}

#[test]
fn older_slots_go_first_and_of_equal_ones_the_first_in_the_file() {
    let ids = ids(3);
    let coming = [coming(&ids[0], 5, 10), coming(&ids[1], 0, 10), coming(&ids[2], 0, 10)];
    let outcomes = forecast(&coming, &[], Builders { all: 1, ..WIDE });
    assert_eq!(outcomes, [baked(20, 30), baked(0, 10), baked(10, 20)]);
}

#[test]
fn an_instance_is_baked_once_at_a_time_and_holds_up_nobody_else() {
    let ids = ids(2);
    let coming = [coming(&ids[0], 0, 30), coming(&ids[0], 0, 30), coming(&ids[1], 0, 30)];
    assert_eq!(forecast(&coming, &[], Builders { all: 2, ..WIDE }), [baked(0, 30), baked(30, 60), baked(0, 30)]);
}

#[test]
fn a_full_region_is_passed_over() {
    let ids = ids(3);
    let elsewhere = Coming { region: "cn-shanghai", ..coming(&ids[2], 1, 10) };
    let coming = [coming(&ids[0], 0, 10), coming(&ids[1], 0, 10), elsewhere];
    assert_eq!(forecast(&coming, &[], Builders { all: 9, per_region: 1 }), [baked(0, 10), baked(10, 20), baked(1, 11)]);
}

#[test]
fn a_bake_may_begin_at_its_deadline_and_not_after_it() {
    let ids = ids(2);
    let late = |give_up| Coming { give_up_at: at(give_up), ..coming(&ids[1], 0, 10) };
    let one = Builders { all: 1, ..WIDE };
    assert_eq!(forecast(&[coming(&ids[0], 0, 60), late(60)], &[], one)[1], baked(60, 70));
    assert_eq!(forecast(&[coming(&ids[0], 0, 60), late(59)], &[], one)[1], ForecastOutcome::TooLate);
}

#[test]
fn a_bake_that_is_not_over_runs_into_the_next_slot_of_its_instance() {
    let ids = ids(1);
    let skips = |slot| Coming { overlap: Overlap::Skip, ..coming(&ids[0], slot, 61) };
    let outcomes = forecast(&[skips(0), skips(60), skips(120)], &[], WIDE);
    let first = ForecastOutcome::Baked { begin: at(0), end: at(61), runs_into: Some(at(60)) };
    assert_eq!(outcomes, [first, ForecastOutcome::Overlaps, baked(120, 181)]);
    // One that ends as the next slot comes is over.
    let outcomes =
        forecast(&[coming(&ids[0], 0, 60), Coming { overlap: Overlap::Skip, ..coming(&ids[0], 60, 60) }], &[], WIDE);
    assert_eq!(outcomes, [baked(0, 60), baked(60, 120)]);
}

#[test]
fn jitter_is_waited_for_and_nobody_waits_for_it_in_turn() {
    let ids = ids(2);
    let coming = [Coming { not_before: at(7), ..coming(&ids[0], 0, 10) }, coming(&ids[1], 3, 10)];
    assert_eq!(forecast(&coming, &[], Builders { all: 1, ..WIDE }), [baked(13, 23), baked(3, 13)]);
}

#[test]
fn a_running_bake_uses_its_instance_and_its_builder() {
    let ids = ids(3);
    let running_bakes = [RunningBake { instance: &ids[0], region: "cn-hangzhou", until: at(20) }];
    let coming = [coming(&ids[0], 0, 10), coming(&ids[1], 0, 10), coming(&ids[2], 0, 10)];
    assert_eq!(
        forecast(&coming, &running_bakes, Builders { all: 2, ..WIDE }),
        [baked(20, 30), baked(0, 10), baked(10, 20)]
    );
    assert_eq!(forecast(&coming, &running_bakes, Builders { all: 1, ..WIDE })[2], baked(40, 50));
}

#[test]
fn without_builders_everything_is_too_late() {
    let ids = ids(1);
    assert_eq!(forecast(&[coming(&ids[0], 0, 1)], &[], Builders { all: 0, ..WIDE }), [ForecastOutcome::TooLate]);
}

#[test]
fn durations_are_medians_and_one_outlier_is_nothing() {
    let samples = [("a", 10), ("a", 11), ("a", 600), ("b", 20), ("b", 40)];
    let durations = Durations::learn(samples.map(|(line, took)| (LineId::from(line), minutes(took))));
    assert_eq!(durations.expected(&LineId::from("a")), minutes(11));
    assert_eq!(durations.expected(&LineId::from("b")), minutes(40));
    // Of 11 and 40, the later one.
    assert_eq!(durations.expected(&LineId::from("new")), minutes(40));
    assert_eq!(Durations::default().expected(&LineId::from("new")), ASSUMED);
    assert_eq!(Durations::default().learned(&LineId::from("new")), None);
}

/// The same, minute by minute, without optimisation. Each instance has one region.
fn slowly(
    coming: &[Coming<'_>],
    running_bakes: &[RunningBake<'_>],
    builders: Builders,
) -> Vec<Option<ForecastOutcome>> {
    let mut order: Vec<usize> = (0..coming.len()).collect();
    order.sort_by_key(|&i| (coming[i].slot, i));
    let mut outcomes: Vec<Option<ForecastOutcome>> = vec![None; coming.len()];
    let mut come = vec![false; coming.len()];
    let mut running: Vec<(&InstanceId, &str, DateTime<Utc>)> =
        running_bakes.iter().map(|bake| (bake.instance, bake.region, bake.until)).collect();
    for now in (0..2000).map(at) {
        running.retain(|(_, _, until)| *until > now);
        for &i in &order {
            if outcomes[i].is_none() && coming[i].give_up_at < now {
                outcomes[i] = Some(ForecastOutcome::TooLate);
            }
        }
        for &i in &order {
            let one = &coming[i];
            if one.slot != now {
                continue;
            }
            let waits = |j: usize| come[j] && outcomes[j].is_none() && coming[j].instance == one.instance;
            let taken = running.iter().any(|(instance, ..)| *instance == one.instance) || (0..coming.len()).any(waits);
            if taken && one.overlap == Overlap::Skip {
                outcomes[i] = Some(ForecastOutcome::Overlaps);
            }
            come[i] = true;
        }
        for &i in &order {
            let one = &coming[i];
            let in_region = running.iter().filter(|(_, region, _)| *region == one.region).count();
            let free = running.len() < builders.all
                && in_region < builders.per_region
                && running.iter().all(|(instance, ..)| *instance != one.instance);
            if come[i] && outcomes[i].is_none() && one.not_before <= now && free {
                let end = now + TimeDelta::from_std(one.takes).unwrap();
                let later = coming.iter().filter(|other| other.instance == one.instance && other.slot > one.slot);
                let runs_into = later.map(|other| other.slot).min().filter(|next| *next < end);
                outcomes[i] = Some(ForecastOutcome::Baked { begin: now, end, runs_into });
                running.push((one.instance, one.region, end));
            }
        }
    }
    outcomes
}

const REGIONS: [&str; 2] = ["cn-hangzhou", "cn-shanghai"];

#[derive(Debug, Clone)]
struct Plan {
    slots: Vec<(i64, i64, i64, usize, bool, u64)>,
    running_bakes: Vec<(usize, i64)>,
    builders: Builders,
}

fn plans() -> impl Strategy<Value = Plan> {
    let slot = (0..200_i64, 0..20_i64, 0..90_i64, 0..6_usize, any::<bool>(), 1..50_u64);
    let slots = proptest::collection::vec(slot, 0..40);
    // Of different instances, as it must be.
    let running_bakes = proptest::collection::vec(1..60_i64, 0..3);
    (slots, running_bakes, 1..5_usize, 1..4_usize).prop_map(|(slots, running_bakes, all, per_region)| Plan {
        slots,
        running_bakes: running_bakes.into_iter().enumerate().collect(),
        builders: Builders { all, per_region },
    })
}

impl Plan {
    fn coming<'a>(&self, ids: &'a [InstanceId]) -> Vec<Coming<'a>> {
        let coming = self.slots.iter().map(|&(slot, jitter, deadline, instance, skip, takes)| Coming {
            slot: at(slot),
            not_before: at(slot + jitter),
            give_up_at: at(slot + deadline),
            instance: &ids[instance],
            region: REGIONS[instance % 2],
            overlap: if skip { Overlap::Skip } else { Overlap::Queue },
            takes: minutes(takes),
        });
        coming.collect()
    }

    fn running_bakes<'a>(&self, ids: &'a [InstanceId]) -> Vec<RunningBake<'a>> {
        let bakes = self.running_bakes.iter().map(|&(instance, until)| RunningBake {
            instance: &ids[instance],
            region: REGIONS[instance % 2],
            until: at(until),
        });
        bakes.collect()
    }
}

/// A stretch of work on an instance.
#[derive(Debug, Clone, Copy)]
struct Work<'a> {
    instance: &'a InstanceId,
    region: &'a str,
    begin: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Work<'_> {
    fn at_work(&self, now: DateTime<Utc>) -> bool {
        self.begin <= now && now < self.end
    }
}

proptest! {
    #[test]
    fn it_equals_a_walk_minute_by_minute(plan in plans()) {
        let ids = ids(6);
        let (coming, running_bakes) = (plan.coming(&ids), plan.running_bakes(&ids));
        let outcomes = forecast(&coming, &running_bakes, plan.builders);
        let slowly: Option<Vec<ForecastOutcome>> = slowly(&coming, &running_bakes, plan.builders).into_iter().collect();
        prop_assert_eq!(Some(outcomes), slowly);
    }

    #[test]
    fn the_rules_are_kept(plan in plans()) {
        let ids = ids(6);
        let (coming, running_bakes) = (plan.coming(&ids), plan.running_bakes(&ids));
        let outcomes = forecast(&coming, &running_bakes, plan.builders);
        let mut works: Vec<_> = running_bakes
            .iter()
            .map(|bake| Work { instance: bake.instance, region: bake.region, begin: at(0), end: bake.until })
            .collect();
        for (coming, outcome) in coming.iter().zip(&outcomes) {
            if let ForecastOutcome::Baked { begin, end, .. } = *outcome {
                prop_assert!(begin >= coming.not_before && begin <= coming.give_up_at);
                prop_assert_eq!((end - begin).to_std().unwrap(), coming.takes);
                works.push(Work { instance: coming.instance, region: coming.region, begin, end });
            }
        }
        let at_work = |now| works.iter().filter(move |work| work.at_work(now));
        let blocked = |coming: &Coming<'_>, now| {
            at_work(now).count() >= plan.builders.all
                || at_work(now).filter(|work| work.region == coming.region).count() >= plan.builders.per_region
                || at_work(now).any(|work| work.instance == coming.instance)
        };
        for now in (0..600).map(at) {
            // Running bakes may exceed the limits for new ones.
            let begun = works[running_bakes.len()..].iter().any(|work| work.begin == now);
            if begun {
                prop_assert!(at_work(now).count() <= plan.builders.all);
                for region in REGIONS {
                    let begun = works[running_bakes.len()..].iter().any(|work| work.begin == now && work.region == region);
                    let busy = at_work(now).filter(|work| work.region == region).count();
                    prop_assert!(!begun || busy <= plan.builders.per_region);
                }
            }
            for id in &ids {
                prop_assert!(at_work(now).filter(|work| work.instance == id).count() <= 1);
            }
            // No slot waits except for an instance, a region or a builder in use.
            for (coming, outcome) in coming.iter().zip(&outcomes) {
                let waits = match outcome {
                    ForecastOutcome::Baked { begin, .. } => coming.not_before <= now && now < *begin,
                    ForecastOutcome::TooLate => coming.not_before <= now && now <= coming.give_up_at,
                    ForecastOutcome::Overlaps => false,
                };
                prop_assert!(!waits || blocked(coming, now), "{coming:?} waits at {now}");
            }
        }
        // Fair: a slot that is overtaken could not have started.
        for (i, first) in coming.iter().enumerate() {
            for (j, second) in coming.iter().enumerate() {
                let in_order = (first.slot, i) < (second.slot, j);
                let (ForecastOutcome::Baked { begin: mine, .. }, ForecastOutcome::Baked { begin: theirs, .. }) = (outcomes[i], outcomes[j]) else {
                    continue;
                };
                if in_order && first.not_before <= theirs && theirs < mine {
                    let elsewhere = first.region != second.region
                        && at_work(theirs).filter(|work| work.region == first.region).count() >= plan.builders.per_region;
                    let instance = at_work(theirs).any(|work| work.instance == first.instance);
                    prop_assert!(first.instance != second.instance && (instance || elsewhere));
                }
            }
        }
    }
}
