//! Difference of two configurations: their schedules, and the slots of both in a time window.
//!
//! Schedules are matched by id, so that a renamed one is the same. A slot that is removed and one that is added on the
//! same local day of the same schedule and instance count as one slot that moves.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use crate::domain::calendar::zone::Zone;
use crate::domain::clock::show::show_length;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::ids::{InstanceId, ScheduleId, ScheduleName};
use crate::domain::schedule::{Instances, Schedule};

/// Maximum number of slots compared per schedule: a slot per second must not cost more.
const MOST: usize = 2000;

/// The differences. The lists may be shortened; the counts are complete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Diff {
    /// Complete counts.
    pub counts: Counts,
    /// Keys of `[cloud]` and `[daemon]`, with their section.
    pub settings: Vec<KeyChange>,
    /// New schedules.
    pub added: Vec<Named>,
    /// Removed schedules.
    pub removed: Vec<Named>,
    /// Changed schedules.
    pub changed: Vec<Changed>,
    /// Removed schedules that seem to have a new name: their lines end, and new ones start.
    pub lost_lines: Vec<LostLine>,
    /// Instances that no schedule bakes any more.
    pub uncovered: Vec<InstanceId>,
    /// Instances that a schedule bakes now.
    pub covered: Vec<InstanceId>,
    /// Additional slots.
    pub slots_added: Vec<SlotOf>,
    /// Removed slots.
    pub slots_gone: Vec<SlotOf>,
    /// Slots that move within their day.
    pub slots_moved: Vec<MovedSlot>,
}

/// Number of entries of each kind in a [`Diff`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Keys of `[cloud]` and `[daemon]`.
    pub settings: usize,
    /// New schedules.
    pub added: usize,
    /// Schedules that are gone.
    pub removed: usize,
    /// Schedules that changed.
    pub changed: usize,
    /// Instances that no schedule bakes any more.
    pub uncovered: usize,
    /// Instances that some schedule bakes now.
    pub covered: usize,
    /// More slots.
    pub slots_added: usize,
    /// Fewer slots.
    pub slots_gone: usize,
    /// Other slots.
    pub slots_moved: usize,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its id.
    pub id: ScheduleId,
    /// Its name.
    pub name: ScheduleName,
}

/// A schedule that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Its id.
    pub id: ScheduleId,
    /// Its name now.
    pub name: ScheduleName,
    /// What changed.
    pub keys: Vec<KeyChange>,
}

/// A key with its old and new value as in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The key.
    pub key: String,
    /// Its value before.
    pub old: String,
    /// Its value after.
    pub new: String,
}

/// A schedule that was renamed without an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostLine {
    /// Id of the removed schedule.
    pub id: ScheduleId,
    /// Its probable new name.
    pub name: ScheduleName,
}

/// A slot of one instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SlotOf {
    /// When.
    pub slot: DateTime<Utc>,
    /// The schedule's name.
    pub schedule: ScheduleName,
    /// The instance.
    pub instance_id: InstanceId,
    /// The schedule's zone.
    pub timezone: Zone,
}

/// A slot that moves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MovedSlot {
    /// Old instant.
    pub from: DateTime<Utc>,
    /// New instant.
    pub to: DateTime<Utc>,
    /// The schedule's name.
    pub schedule: ScheduleName,
    /// The instance.
    pub instance_id: InstanceId,
    /// The schedule's zone.
    pub timezone: Zone,
}

impl Diff {
    /// Compares `old` with `new`, with the slots after `from` up to and including `until`.
    pub fn between(old: &[Arc<Schedule>], new: &[Arc<Schedule>], from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        let before: HashMap<&ScheduleId, &Schedule> = old.iter().map(|one| (&one.id, &**one)).collect();
        let after: HashMap<&ScheduleId, &Schedule> = new.iter().map(|one| (&one.id, &**one)).collect();
        let mut newcomers: HashMap<&[InstanceId], Vec<&Schedule>> = HashMap::new();
        for new in new.iter().filter(|new| !before.contains_key(&new.id)) {
            newcomers.entry(new.instances.as_slice()).or_default().push(new);
        }
        let mut diff = Self::default();
        for new in new {
            let old = before.get(&new.id).copied();
            match old {
                None => diff.added.push(Named::of(new)),
                Some(old) if old != &**new => {
                    let keys = changes(&keys(old), &keys(new));
                    diff.changed.push(Changed { id: new.id.clone(), name: new.name.clone(), keys });
                }
                Some(_) => continue,
            }
            diff.compare_slots(old, Some(new), from, until);
        }
        for old in old.iter().filter(|old| !after.contains_key(&old.id)) {
            diff.removed.push(Named::of(old));
            diff.compare_slots(Some(old), None, from, until);
            let newcomers = newcomers.get(old.instances.as_slice()).into_iter().flatten();
            if let Some(new) = newcomers.into_iter().find(|new| does_the_same(old, new)) {
                diff.lost_lines.push(LostLine { id: old.id.clone(), name: new.name.clone() });
            }
        }
        let (was, is) = (baked(old), baked(new));
        diff.uncovered = was.difference(&is).map(|one| (*one).clone()).collect();
        diff.covered = is.difference(&was).map(|one| (*one).clone()).collect();
        diff.slots_added.sort_unstable();
        diff.slots_gone.sort_unstable();
        diff.slots_moved.sort_unstable();
        diff.count()
    }

    /// Adds changed keys of the sections.
    #[must_use]
    pub fn with_settings(mut self, settings: Vec<KeyChange>) -> Self {
        self.settings = settings;
        self.count()
    }

    /// The changes of the configuration itself, one sentence each: at most `most`, and the number of the others.
    pub fn changes(&self, most: usize) -> Vec<String> {
        let key = |KeyChange { key, old, new }: &KeyChange| format!("{key}: {old} → {new}");
        let settings = self.settings.iter().map(key);
        let added = self.added.iter().map(|one| format!("schedule {} added", one.name));
        let removed = self.removed.iter().map(|one| format!("schedule {} removed", one.name));
        let changed = self.changed.iter().map(|Changed { name, keys, .. }| {
            format!("schedule {name}: {}", keys.iter().map(key).collect::<Vec<_>>().join(", "))
        });
        let mut lines: Vec<String> = settings.chain(added).chain(removed).chain(changed).take(most).collect();
        let Counts { settings, added, removed, changed, .. } = self.counts;
        match (settings + added + removed + changed).saturating_sub(lines.len()) {
            0 => {}
            more => lines.push(format!("and {more} more")),
        }
        lines
    }

    /// Whether nothing relevant changes.
    pub fn is_empty(&self) -> bool {
        self.counts == Counts::default()
    }

    /// Shortens every list to `most` entries, so that a message stays short.
    #[must_use]
    pub fn shortened(mut self, most: usize) -> Self {
        self.settings.truncate(most);
        self.added.truncate(most);
        self.removed.truncate(most);
        self.changed.truncate(most);
        self.lost_lines.truncate(most);
        self.uncovered.truncate(most);
        self.covered.truncate(most);
        self.slots_added.truncate(most);
        self.slots_gone.truncate(most);
        self.slots_moved.truncate(most);
        self
    }

    /// One line: `1 schedule added, 2 changed; 5 slots moved`.
    pub fn summary(&self) -> String {
        let Counts { settings, added, removed, changed, uncovered, covered, slots_added, slots_gone, slots_moved } =
            self.counts;
        let parts: Vec<String> = [
            group("schedule", "schedules", &[(added, "added"), (removed, "removed"), (changed, "changed")]),
            group("slot", "slots", &[(slots_added, "added"), (slots_gone, "gone"), (slots_moved, "moved")]),
            group("instance", "instances", &[(uncovered, "no longer covered"), (covered, "newly covered")]),
            group("key of [cloud] or [daemon]", "keys of [cloud] and [daemon]", &[(settings, "changed")]),
        ]
        .into_iter()
        .flatten()
        .collect();
        if parts.is_empty() { "nothing changes".to_owned() } else { parts.join("; ") }
    }

    fn count(mut self) -> Self {
        self.counts = Counts {
            settings: self.settings.len(),
            added: self.added.len(),
            removed: self.removed.len(),
            changed: self.changed.len(),
            uncovered: self.uncovered.len(),
            covered: self.covered.len(),
            slots_added: self.slots_added.len(),
            slots_gone: self.slots_gone.len(),
            slots_moved: self.slots_moved.len(),
        };
        self
    }

    fn compare_slots(
        &mut self,
        old: Option<&Schedule>,
        new: Option<&Schedule>,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) {
        let same = |old: &Schedule, new: &Schedule| {
            old.timing == new.timing && old.paused == new.paused && old.instances == new.instances
        };
        if old.zip(new).is_some_and(|(old, new)| same(old, new)) {
            return;
        }
        let Some(named) = new.or(old) else { return };
        let slots = |one: Option<&Schedule>| -> Vec<DateTime<Utc>> {
            let one = one.filter(|one| !one.paused);
            one.map(|one| one.timing.between(from, until).take(MOST).collect()).unwrap_or_default()
        };
        let (mut was, mut is) = (slots(old), slots(new));
        // A shortened list bounds the comparison of the other one.
        let horizon =
            [&was, &is].into_iter().filter(|slots| slots.len() == MOST).filter_map(|slots| slots.last()).min();
        if let Some(horizon) = horizon.copied() {
            was.retain(|slot| *slot <= horizon);
            is.retain(|slot| *slot <= horizon);
        }
        let of = |one: Option<&Schedule>| one.map(|one| one.instances.as_slice()).unwrap_or_default().to_vec();
        let (olds, news) = (of(old), of(new));
        let zone = |one: Option<&Schedule>| one.map_or(Zone::UTC, |one| one.timing.zone());
        let all: BTreeSet<&InstanceId> = olds.iter().chain(&news).collect();
        for instance in all {
            let was = if olds.contains(instance) { was.as_slice() } else { &[] };
            let is = if news.contains(instance) { is.as_slice() } else { &[] };
            let slot = |slot: DateTime<Utc>, zone: Zone| SlotOf {
                slot,
                schedule: named.name.clone(),
                instance_id: instance.clone(),
                timezone: zone,
            };
            for step in steps((was, zone(old)), (is, zone(new))) {
                match step {
                    EditStep::Gone(at) => self.slots_gone.push(slot(at, zone(old))),
                    EditStep::Added(at) => self.slots_added.push(slot(at, zone(new))),
                    EditStep::Moved(from, to) => self.slots_moved.push(MovedSlot {
                        from,
                        to,
                        schedule: named.name.clone(),
                        instance_id: instance.clone(),
                        timezone: zone(new),
                    }),
                }
            }
        }
    }
}

impl Named {
    fn of(schedule: &Schedule) -> Self {
        Self { id: schedule.id.clone(), name: schedule.name.clone() }
    }
}

/// Change of a slot.
enum EditStep {
    Gone(DateTime<Utc>),
    Added(DateTime<Utc>),
    Moved(DateTime<Utc>, DateTime<Utc>),
}

/// Slots of one local day that only one of two rules has.
#[derive(Default)]
struct Day {
    gone: Vec<DateTime<Utc>>,
    added: Vec<DateTime<Utc>>,
}

/// Changes from the slots of one rule to those of another; common slots are omitted.
fn steps(old: (&[DateTime<Utc>], Zone), new: (&[DateTime<Utc>], Zone)) -> Vec<EditStep> {
    let (was, is): (BTreeSet<_>, BTreeSet<_>) = (old.0.iter().copied().collect(), new.0.iter().copied().collect());
    let mut days: BTreeMap<NaiveDate, Day> = BTreeMap::new();
    for slot in was.difference(&is) {
        days.entry(slot.with_timezone(&old.1).date_naive()).or_default().gone.push(*slot);
    }
    for slot in is.difference(&was) {
        days.entry(slot.with_timezone(&new.1).date_naive()).or_default().added.push(*slot);
    }
    let mut steps = Vec::new();
    for Day { gone, added } in days.into_values() {
        let both = gone.len().min(added.len());
        steps.extend(gone.iter().zip(&added).map(|(from, to)| EditStep::Moved(*from, *to)));
        steps.extend(gone[both..].iter().map(|at| EditStep::Gone(*at)));
        steps.extend(added[both..].iter().map(|at| EditStep::Added(*at)));
    }
    steps
}

/// Instances of schedules that are not paused in the configuration.
fn baked(schedules: &[Arc<Schedule>]) -> BTreeSet<&InstanceId> {
    schedules.iter().filter(|one| !one.paused).flat_map(|one| one.instances.as_slice()).collect()
}

/// Whether two schedules differ in little except their names.
fn does_the_same(old: &Schedule, new: &Schedule) -> bool {
    old.instances == new.instances && old.timing.expressions().eq(new.timing.expressions())
}

/// The keys in which two tables differ, with their values.
pub fn changes(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<KeyChange> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let value = |table: &Map<String, Value>, key: &String| table.get(key).map_or_else(|| "-".to_owned(), words);
    keys.into_iter()
        .map(|key| KeyChange { key: key.clone(), old: value(old, key), new: value(new, key) })
        .filter(|change| change.old != change.new)
        .collect()
}

/// The keys of a schedule, by the names that the file has for them.
fn keys(schedule: &Schedule) -> Map<String, Value> {
    let mut keys = table(&*schedule.settings);
    let (instances, list) = match &schedule.instances {
        Instances::One(one) => ("instance_id", json(one)),
        Instances::Many(many) => ("instance_ids", json(many)),
    };
    let cron: Vec<&str> = schedule.timing.expressions().collect();
    let cron = if let [only] = cron[..] { json(only) } else { json(&cron) };
    keys.extend([
        ("name".to_owned(), json(&schedule.name)),
        (instances.to_owned(), list),
        ("cron".to_owned(), cron),
        ("timezone".to_owned(), json(schedule.timing.zone().name())),
        ("jitter".to_owned(), json(&schedule.timing.jitter())),
        ("catch_up".to_owned(), json(&schedule.catch_up)),
        ("catch_up_window".to_owned(), json(&schedule.catch_up_window)),
        ("overlap".to_owned(), json(&schedule.overlap)),
        ("paused".to_owned(), json(&schedule.paused)),
        ("max_image_age".to_owned(), json(&schedule.max_image_age)),
        ("keep".to_owned(), json(&schedule.keep)),
        ("channels".to_owned(), json(&schedule.channels)),
    ]);
    keys
}

/// A table of keys; empty where there is none.
pub fn table(of: &impl Serialize) -> Map<String, Value> {
    match json(of) {
        Value::Object(table) => table,
        _ => Map::new(),
    }
}

fn json(of: &(impl Serialize + ?Sized)) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

/// A value as a person writes it.
fn words(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(words).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            if let Ok(period) = serde_json::from_value::<Duration>(value.clone()) {
                return show_length(period);
            }
            let parts = fields.iter().filter(|(_, value)| !value.is_null());
            let parts: Vec<_> = parts.map(|(key, value)| format!("{key} = {}", words(value))).collect();
            format!("{{ {} }}", parts.join(", "))
        }
        other => other.to_string(),
    }
}

/// `2 schedules added, 1 removed`; nothing for counts of zero.
fn group(one: &str, many: &str, parts: &[(usize, &str)]) -> Option<String> {
    let mut parts = parts.iter().filter(|(n, _)| *n > 0);
    let (n, how) = parts.next()?;
    let what = if *n == 1 { one } else { many };
    let rest: String = parts.map(|(n, how)| format!(", {n} {how}")).collect();
    Some(format!("{n} {what} {how}{rest}"))
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
