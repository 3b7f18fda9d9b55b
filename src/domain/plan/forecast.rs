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

    /// Median of the line's own bakes.
    pub fn of_line(&self, line: &LineId) -> Option<Duration> {
        self.lines.get(line).copied()
    }

    /// The same, but `None` instead of the assumed duration.
    pub fn learned(&self, line: &LineId) -> Option<Duration> {
        self.of_line(line).or(self.overall)
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
#[path = "forecast_tests.rs"]
mod tests;
