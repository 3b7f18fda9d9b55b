//! Several schedules of one instance.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Linter, local, span};
use crate::{
    adapters::config::{Config, source_map::WrittenValue},
    domain::{
        ids::InstanceId,
        plan::forecast::Durations,
        schedule::{Overlap, Schedule},
    },
};

/// How far ahead slots of one instance are compared.
const COMPARED: TimeDelta = TimeDelta::days(7);
/// Maximum number of compared slots per schedule, so that a slot per second does not cost more.
const MOST_COMPARED: usize = 500;
/// Maximum number of instances with the same schedules whose slots are compared: their bakes differ in duration only.
const MOST_ALIKE: usize = 20;

impl Linter<'_> {
    /// Slots of one instance in several schedules at the same instant, or closer together than the duration of a bake.
    pub(super) fn collisions(&mut self, config: &Config, written: &[WrittenValue], durations: &Durations) {
        let mut by_instance: BTreeMap<&InstanceId, Vec<usize>> = BTreeMap::new();
        for (index, schedule) in config.schedules.iter().enumerate().filter(|(_, schedule)| !schedule.paused) {
            for instance in schedule.instances.as_slice() {
                by_instance.entry(instance).or_default().push(index);
            }
        }
        let until = self.now.checked_add_signed(COMPARED).unwrap_or(self.now);
        let mut found = HashSet::new();
        let mut alike: HashMap<Vec<usize>, usize> = HashMap::new();
        for (instance, indices) in by_instance.into_iter().filter(|(_, indices)| indices.len() > 1) {
            let compared = alike.entry(indices.clone()).or_default();
            *compared += 1;
            if *compared > MOST_ALIKE {
                continue;
            }
            let mut slots: Vec<(DateTime<Utc>, usize)> = Vec::new();
            for &index in &indices {
                let slots_of = config.schedules[index].timing.some_between(self.now, until, MOST_COMPARED);
                slots.extend(slots_of.map(|slot| (slot, index)));
            }
            slots.sort_unstable();
            for pair in slots.windows(2) {
                let ((before, first), (slot, second)) = (pair[0], pair[1]);
                let earlier = &config.schedules[first];
                let takes = durations.expected(&earlier.line(instance));
                let apart = (slot - before).to_std().unwrap_or_default();
                let (lower, upper) = (first.min(second), first.max(second));
                if lower == upper || (!apart.is_zero() && apart >= takes) || !found.insert((lower, upper)) {
                    continue;
                }
                let marks = [upper, lower].map(|at| written.get(at).and_then(|place| place.name.of(self.sources)));
                let [Some(place), Some(other)] = marks else { continue };
                let assumed = durations.learned(&earlier.line(instance)).is_none();
                let collision = Collision { instance, slot, apart, takes, assumed };
                let message = collision.words(earlier, &config.schedules[second]);
                let hint = "move one of them; or write one schedule with both times, if one line of images is enough";
                let other = (other, "the other schedule");
                self.found.warn_with_related(place, "same-instance-collision", &message, Some(hint.into()), other);
            }
        }
    }
}

struct Collision<'a> {
    instance: &'a InstanceId,
    slot: DateTime<Utc>,
    apart: Duration,
    takes: Duration,
    assumed: bool,
}

impl Collision<'_> {
    fn words(&self, earlier: &Schedule, later: &Schedule) -> String {
        let when = local(self.slot, later.timing.zone());
        let instance = self.instance;
        if self.apart.is_zero() {
            let effect = match later.overlap {
                Overlap::Queue => "one waits for the other",
                Overlap::Skip => "one of them is skipped (overlap = \"skip\")",
            };
            let (earlier, later) = (&earlier.name, &later.name);
            return format!("{earlier} and {later} have slots of {instance} at one instant, next {when}: {effect}");
        }
        let assumed = if self.assumed { ", as is assumed before the first" } else { "" };
        let effect = match later.overlap {
            Overlap::Queue => "waits",
            Overlap::Skip => "is skipped (overlap = \"skip\")",
        };
        format!(
            "{} comes {} after {} on {instance}, next {when}, and {effect} if a bake takes {}{assumed}",
            later.name,
            span(self.apart),
            earlier.name,
            span(self.takes)
        )
    }
}
