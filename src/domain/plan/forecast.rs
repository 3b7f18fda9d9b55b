//! Forecast of the queue: future slots, running bakes and limits go in, expected start and end times come out. Each
//! bake takes as long as former bakes of its line.
//!
//! The rules of admission apply. The number of running bakes is limited, in total and per region; an instance has one
//! bake at a time; the older slot goes first, and of equal slots the first one in the configuration. If its instance is
//! in use, a slot waits or is skipped according to `overlap`, at most until its deadline.
//!
//! Not predicted: failed calls, other load on the cloud, and manual requests. An instance that is being started counts
//! as a used builder, although it is not.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap},
    hash::Hash,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::ids::{InstanceId, LineId};
use crate::domain::schedule::Overlap;

/// Assumed duration where no bake has succeeded yet.
pub const ASSUMED: Duration = Duration::from_mins(30);

/// Maximum distance between two slots of one night.
const NIGHT_GAP: TimeDelta = TimeDelta::hours(3);
/// Maximum length of a night.
const LONGEST_NIGHT: TimeDelta = TimeDelta::hours(24);

/// Durations of former bakes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations {
    lines: HashMap<LineId, Duration>,
    overall: Option<Duration>,
}

impl Durations {
    /// Uses bakes that succeeded. The median counts for a line: one delayed bake is not typical. Of an even number it
    /// is the longer one in the middle, so that a forecast is late rather than early.
    pub fn learn(samples: impl IntoIterator<Item = (LineId, Duration)>) -> Self {
        let mut of_lines: HashMap<LineId, Vec<Duration>> = HashMap::new();
        for (line, took) in samples {
            of_lines.entry(line).or_default().push(took);
        }
        let lines: HashMap<_, _> =
            of_lines.into_iter().filter_map(|(line, took)| Some((line, median(took)?))).collect();
        let overall = median(lines.values().copied().collect());
        Self { lines, overall }
    }

    /// Expected duration of the next bake of `line`: the median of its own bakes; for a line without any the median of
    /// all lines; [`ASSUMED`] if there are none.
    pub fn expected(&self, line: &LineId) -> Duration {
        self.learned(line).unwrap_or(ASSUMED)
    }

    /// The same, but `None` instead of the assumed duration.
    pub fn learned(&self, line: &LineId) -> Option<Duration> {
        self.lines.get(line).copied().or(self.overall)
    }

    /// Whether no bake has succeeded yet.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

fn median(mut sample: Vec<Duration>) -> Option<Duration> {
    sample.sort_unstable();
    sample.get(sample.len() / 2).copied()
}

/// A future slot that is to be baked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coming<'a> {
    /// The slot.
    pub slot: DateTime<Utc>,
    /// The slot plus its jitter.
    pub not_before: DateTime<Utc>,
    /// A bake that has not started by then is skipped.
    pub give_up_at: DateTime<Utc>,
    /// The instance.
    pub instance: &'a InstanceId,
    /// Region of the instance.
    pub region: &'a str,
    /// What happens to the slot if the instance is in use.
    pub overlap: Overlap,
    /// How long the bake is expected to take.
    pub takes: Duration,
}

/// A running bake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningBake<'a> {
    /// Its instance.
    pub instance: &'a InstanceId,
    /// Region of its instance.
    pub region: &'a str,
    /// Its expected end.
    pub until: DateTime<Utc>,
}

/// Limits of running bakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builders {
    /// In total.
    pub all: usize,
    /// Per region.
    pub per_region: usize,
}

/// Expected result of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForecastOutcome {
    /// It is baked.
    Baked {
        /// Its bake begins.
        begin: DateTime<Utc>,
        /// Its bake ends.
        end: DateTime<Utc>,
        /// The next slot of the instance, if it comes before the end of the bake.
        runs_into: Option<DateTime<Utc>>,
    },
    /// It waits until after its deadline.
    TooLate,
    /// Its instance is in use, and its `overlap` is `skip`.
    Overlaps,
}

/// Expected results of `coming`, which is in the order of the configuration; `running_bakes` are the bakes that run at the
/// start.
///
/// Takes O(n log n) for n slots and a handful of regions.
pub fn forecast(coming: &[Coming<'_>], running_bakes: &[RunningBake<'_>], builders: Builders) -> Vec<ForecastOutcome> {
    let mut queue = Queue::new(coming, running_bakes, builders);
    while let Some(&Reverse((now, _))) = queue.events.peek() {
        queue.catch_up(now);
        queue.admit(now);
    }
    queue.into_outcomes()
}

/// How many of these sorted slots belong to the first night: those up to the first gap of more than three hours, at
/// most those of a day.
pub fn night(slots: &[DateTime<Utc>]) -> usize {
    let Some(first) = slots.first() else { return 0 };
    let goes_on = |pair: &&[DateTime<Utc>]| {
        pair[1] - pair[0] <= NIGHT_GAP && pair[1].signed_duration_since(first) < LONGEST_NIGHT
    };
    1 + slots.windows(2).take_while(goes_on).count()
}

/// Events at an instant, in this order: the end of a bake makes room for a slot of the same instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ends { instance: usize, region: usize },
    IsGivenUp { turn: usize },
    Comes { turn: usize },
    MayBegin { turn: usize },
}

/// A slot is identified by its turn, its place in the fair order; instances and regions by numbers.
struct Queue<'a> {
    slots: Vec<Slot<'a>>,
    events: BinaryHeap<Reverse<(DateTime<Utc>, Event)>>,
    instances: Vec<Instance>,
    regions: Vec<Region>,
    builders: Builders,
    busy: usize,
}

struct Slot<'a> {
    coming: &'a Coming<'a>,
    place: usize,
    instance: usize,
    region: usize,
    outcome: Option<ForecastOutcome>,
}

#[derive(Default)]
struct Instance {
    busy: usize,
    /// Bakes that are not over: waiting or at work.
    open: usize,
    /// Turns of the slots that may start.
    waiting: BTreeSet<usize>,
    /// Every slot, in order.
    slots: Vec<DateTime<Utc>>,
}

impl Instance {
    /// The one bake that may start next.
    fn head(&self) -> Option<usize> {
        self.waiting.first().copied().filter(|_| self.busy == 0)
    }
}

#[derive(Default)]
struct Region {
    busy: usize,
    /// First waiting slots of the instances.
    heads: BTreeSet<usize>,
}

impl<'a> Queue<'a> {
    fn new(coming: &'a [Coming<'a>], running_bakes: &[RunningBake<'_>], builders: Builders) -> Self {
        let mut places: Vec<usize> = (0..coming.len()).collect();
        places.sort_by_key(|&place| coming[place].slot);
        let (mut instance_numbers, mut region_numbers) = (HashMap::new(), HashMap::new());
        let mut events = BinaryHeap::with_capacity(coming.len() * 3);
        let mut slots = Vec::with_capacity(coming.len());
        for (turn, place) in places.into_iter().enumerate() {
            let coming = &coming[place];
            let instance = number(&mut instance_numbers, coming.instance);
            let region = number(&mut region_numbers, coming.region);
            slots.push(Slot { coming, place, instance, region, outcome: None });
            events.push(Reverse((coming.slot, Event::Comes { turn })));
            events.push(Reverse((coming.not_before.max(coming.slot), Event::MayBegin { turn })));
            // It may still start at that instant.
            let given_up = coming.give_up_at.checked_add_signed(TimeDelta::milliseconds(1));
            events.push(Reverse((given_up.unwrap_or(DateTime::<Utc>::MAX_UTC), Event::IsGivenUp { turn })));
        }
        let begun: Vec<_> = running_bakes
            .iter()
            .map(|bake| {
                let instance = number(&mut instance_numbers, bake.instance);
                let region = number(&mut region_numbers, bake.region);
                events.push(Reverse((bake.until, Event::Ends { instance, region })));
                (instance, region)
            })
            .collect();
        let mut instances: Vec<Instance> = instance_numbers.iter().map(|_| Instance::default()).collect();
        let mut regions: Vec<Region> = region_numbers.iter().map(|_| Region::default()).collect();
        for slot in &slots {
            instances[slot.instance].slots.push(slot.coming.slot);
        }
        for &(instance, region) in &begun {
            instances[instance].busy += 1;
            instances[instance].open += 1;
            regions[region].busy += 1;
        }
        Self { slots, events, instances, regions, builders, busy: begun.len() }
    }

    /// All events at `now`.
    fn catch_up(&mut self, now: DateTime<Utc>) {
        while let Some(&Reverse((at, event))) = self.events.peek() {
            if at > now {
                break;
            }
            self.events.pop();
            self.happens(event);
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Ends { instance, region } => {
                self.busy -= 1;
                self.regions[region].busy -= 1;
                self.change(instance, |instance| {
                    instance.busy -= 1;
                    instance.open -= 1;
                });
            }
            Event::IsGivenUp { turn } => {
                let slot = &mut self.slots[turn];
                if slot.outcome.is_none() {
                    slot.outcome = Some(ForecastOutcome::TooLate);
                    let instance = slot.instance;
                    self.change(instance, |instance| {
                        instance.waiting.remove(&turn);
                        instance.open -= 1;
                    });
                }
            }
            Event::Comes { turn } => {
                let slot = &mut self.slots[turn];
                let instance = &mut self.instances[slot.instance];
                if slot.coming.overlap == Overlap::Skip && instance.open > 0 {
                    slot.outcome = Some(ForecastOutcome::Overlaps);
                } else {
                    instance.open += 1;
                }
            }
            Event::MayBegin { turn } => {
                let slot = &self.slots[turn];
                if slot.outcome.is_none() {
                    self.change(slot.instance, |instance| {
                        instance.waiting.insert(turn);
                    });
                }
            }
        }
    }

    /// Starts all bakes that may start at `now`, in order.
    fn admit(&mut self, now: DateTime<Utc>) {
        while let Some(turn) = self.next_turn() {
            let slot = &mut self.slots[turn];
            let end = TimeDelta::from_std(slot.coming.takes).ok().and_then(|takes| now.checked_add_signed(takes));
            let end = end.unwrap_or(DateTime::<Utc>::MAX_UTC);
            let (instance, region) = (slot.instance, slot.region);
            let own = slot.coming.slot;
            let slots = &self.instances[instance].slots;
            let runs_into = slots.get(slots.partition_point(|other| *other <= own)).copied().filter(|next| *next < end);
            slot.outcome = Some(ForecastOutcome::Baked { begin: now, end, runs_into });
            self.events.push(Reverse((end, Event::Ends { instance, region })));
            self.busy += 1;
            self.regions[region].busy += 1;
            self.change(instance, |instance| {
                instance.waiting.remove(&turn);
                instance.busy += 1;
            });
        }
    }

    fn next_turn(&self) -> Option<usize> {
        if self.busy >= self.builders.all {
            return None;
        }
        let with_room = self.regions.iter().filter(|region| region.busy < self.builders.per_region);
        with_room.filter_map(|region| region.heads.first().copied()).min()
    }

    /// Changes an instance and updates its first waiting slot.
    fn change(&mut self, instance: usize, change: impl FnOnce(&mut Instance)) {
        let instance = &mut self.instances[instance];
        if let Some(head) = instance.head() {
            self.regions[self.slots[head].region].heads.remove(&head);
        }
        change(instance);
        if let Some(head) = instance.head() {
            self.regions[self.slots[head].region].heads.insert(head);
        }
    }

    /// In the order of the configuration.
    fn into_outcomes(self) -> Vec<ForecastOutcome> {
        let mut outcomes = vec![ForecastOutcome::TooLate; self.slots.len()];
        for slot in self.slots {
            if let Some(outcome) = slot.outcome {
                outcomes[slot.place] = outcome;
            }
        }
        outcomes
    }
}

fn number<K: Hash + Eq>(numbers: &mut HashMap<K, usize>, key: K) -> usize {
    let next = numbers.len();
    *numbers.entry(key).or_insert(next)
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            forecast(&coming, &[], Builders { all: 9, per_region: 1 }),
            [baked(0, 10), baked(10, 20), baked(1, 11)]
        );
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
        let outcomes = forecast(
            &[coming(&ids[0], 0, 60), Coming { overlap: Overlap::Skip, ..coming(&ids[0], 60, 60) }],
            &[],
            WIDE,
        );
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
    fn a_night_ends_at_a_gap_or_after_a_day() {
        assert_eq!(night(&[]), 0);
        assert_eq!(night(&[at(0)]), 1);
        assert_eq!(night(&[at(0), at(180), at(361), at(362)]), 2);
        let hourly: Vec<_> = (0..100).map(|hour| at(hour * 60)).collect();
        assert_eq!(night(&hourly), 24);
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
                let taken =
                    running.iter().any(|(instance, ..)| *instance == one.instance) || (0..coming.len()).any(waits);
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
}
