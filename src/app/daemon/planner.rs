//! Planner: turns due slots into rows of the history, and records for each (schedule, instance) up to which instant
//! every slot has its row. It does not use the cloud.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    sync::Arc,
};

use crate::domain::calendar::zone::Zone;
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    adapters::store::{Adoption, ITSELF, Span, Store, StoreError, StoredTarget},
    domain::{
        api::mode::Mode,
        catch_up::{ProcessedSlots, SlotPolicy, process_slots},
        clock::{ON_TIME, STEP_BACK, shifted},
        event::{Event, EventSeverity, EventType},
        health::{Subject, SubjectKind},
        ids::{BakeId, InstanceId, LineId, ScheduleId},
        pause::Pause,
        schedule::{Overlap, Schedule},
    },
};

mod old_rules;
mod selection;
mod spans;
mod target;

pub use self::old_rules::StoredTiming;
use self::old_rules::{Ahead, end_old_rule, rows_of_old_rules, slots_given_up_while_down};
pub use self::selection::NotSelected;
use self::spans::{around, by_target, give_up_rows};
use self::target::PlannedTarget;

/// A clock before this instant was not set yet: the program did not exist.
const FIRST_PLAUSIBLE: DateTime<Utc> = DateTime::from_timestamp_secs(1_735_689_600).unwrap();

/// Timetable of the configuration, with the progress of each target.
#[derive(Debug)]
pub struct Planner {
    config_hash: String,
    entries: Vec<PlannedTarget>,
    /// Next slot of each entry, the earliest on top.
    heap: BinaryHeap<Reverse<(DateTime<Utc>, usize)>>,
    /// Latest planned instant since the clock was last set back.
    planned_to: DateTime<Utc>,
    /// Schedules paused by a person or by the daemon.
    pauses: HashMap<ScheduleId, Pause>,
    /// In observe mode slots are recorded and not baked.
    mode: Mode,
}

/// One instance of one schedule.
#[derive(Debug, Clone, Copy)]
pub struct Planned<'a> {
    /// The schedule.
    pub schedule: &'a Schedule,
    /// The line of its images.
    pub line: &'a LineId,
    /// Start of its presence in the configuration.
    pub known_since: DateTime<Utc>,
}

/// A future slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    /// The slot.
    pub slot: DateTime<Utc>,
    /// The schedule's name.
    pub schedule: String,
    /// The instance.
    pub instance: InstanceId,
    /// The schedule's zone.
    pub zone: Zone,
}

impl Planner {
    /// Configured lines of an instance.
    pub fn lines_on(&self, instance: &InstanceId) -> Vec<LineId> {
        self.entries.iter().filter(|entry| entry.instance == *instance).map(|entry| entry.line.clone()).collect()
    }

    /// Applies the schedules of a configuration. New ones are accounted for up to now: adding a schedule runs nothing.
    /// Known ones continue from their last row, so that missed slots are handled. Slots of a rule that was replaced
    /// while the daemon was down are recorded as missed.
    pub async fn adopt(
        schedules: &[Arc<Schedule>],
        config_hash: &str,
        store: &Store,
        mode: Mode,
        now: DateTime<Utc>,
    ) -> Result<Self, StoreError> {
        // Lasting values are allocated before temporary ones: otherwise the heap of the process stays fragmented.
        let mut entries: Vec<PlannedTarget> = schedules
            .iter()
            .flat_map(|schedule| {
                schedule.instances.as_slice().iter().map(|instance| PlannedTarget {
                    schedule: Arc::clone(schedule),
                    instance: instance.clone(),
                    line: schedule.line(instance),
                    processed_until: now,
                    seen_to: DateTime::<Utc>::MIN_UTC,
                    rows_to: DateTime::<Utc>::MIN_UTC,
                    known_since: now,
                    is_provisional: true,
                })
            })
            .collect();
        let mut known: HashMap<(ScheduleId, InstanceId), StoredTarget> = store
            .reader()
            .targets()
            .await?
            .into_iter()
            .map(|target| {
                let timing = StoredTiming::rewritten(target.timing)?;
                Ok(((target.schedule_id.clone(), target.instance_id.clone()), StoredTarget { timing, ..target }))
            })
            .collect::<Result<_, StoreError>>()?;
        let seen = store.slots_ahead(now).await?;
        let ahead = rows_of_old_rules(&entries, &known, &seen, store, now).await?;
        let came_while_down = slots_given_up_while_down(&entries, &known, store, now).await?;
        let mut changed = Vec::new();
        let mut former: HashMap<ScheduleId, StoredTarget> = HashMap::new();
        let mut missed = Vec::new();
        let mut given_up = Vec::new();
        let mut edited: HashSet<ScheduleId> = HashSet::new();
        for entry in &mut entries {
            let schedule = &entry.schedule;
            let timing = StoredTiming::of(schedule).to_json()?;
            let key = (schedule.id.clone(), entry.instance.clone());
            let before = known.remove(&key);
            if let Some(before) = before.as_ref().filter(|before| !before.is_kept(&timing)) {
                let rows = ahead.get(&key).map(Vec::as_slice).unwrap_or_default();
                let seen_to = seen.get(&key).copied();
                let gives_up: Vec<BakeId> = rows.iter().map(|row| row.id).collect();
                let span = entry.span(before.processed_until.min(now), now);
                let own = store.slots_with_rows(&[span], &gives_up).await?.remove(&key).unwrap_or_default();
                let ahead = Ahead { seen_to, rows, own: &own };
                let (rows, gives_up) = end_old_rule(schedule, &entry.instance, &entry.line, before, &ahead, now);
                missed.extend(rows);
                given_up.extend(gives_up);
            }
            let before = before.filter(|before| before.removed_at.is_none());
            if let Some(before) = &before {
                // An unset clock does not show since when.
                if before.known_since >= FIRST_PLAUSIBLE || now < FIRST_PLAUSIBLE {
                    entry.is_provisional = before.known_since > now;
                    entry.known_since = before.known_since.min(now);
                    if before.timing == timing {
                        // Rows of the future were written by a wrong clock.
                        let came_while_down = came_while_down.get(&key).copied().unwrap_or(now);
                        entry.processed_until =
                            before.processed_until.min(now).min(came_while_down).max(entry.known_since);
                    }
                }
                if before.timing == timing {
                    entry.rows_to = seen.get(&key).copied().unwrap_or(entry.rows_to);
                    entry.seen_to = before.processed_until.max(entry.rows_to);
                }
            }
            if before.as_ref().is_none_or(|before| before.timing != timing || before.schedule != schedule.name) {
                edited.insert(schedule.id.clone());
            }
            let target = StoredTarget {
                schedule_id: schedule.id.clone(),
                instance_id: entry.instance.clone(),
                schedule: schedule.name.clone(),
                line: entry.line.clone(),
                timing,
                processed_until: entry.processed_until,
                known_since: entry.known_since,
                removed_at: None,
            };
            if before.as_ref() != Some(&target) {
                changed.push(target);
            }
            if let Some(before) = before {
                former.entry(before.schedule_id.clone()).or_insert(before);
            }
        }
        let gone: Vec<_> =
            known.into_iter().filter(|(_, target)| target.removed_at.is_none()).map(|(key, _)| key).collect();
        let events = schedule_events(&changed, &former, &gone, schedules);
        let adoption = Adoption { present: &changed, gone: &gone, given_up: &given_up, rows: &missed, events };
        store.adopt_targets(adoption, config_hash, now).await?;
        let pauses = unpause_edited(schedules, edited, store, now).await?;
        let mut planner = Self {
            config_hash: config_hash.to_owned(),
            entries,
            heap: BinaryHeap::new(),
            planned_to: now,
            pauses,
            mode,
        };
        planner.rebuild();
        Ok(planner)
    }

    /// Records all due slots. It can be called at any time, and repeated.
    pub async fn plan(&mut self, store: &Store, now: DateTime<Utc>) -> Result<usize, StoreError> {
        if now < shifted(self.planned_to, -STEP_BACK) {
            self.set_back(store, now).await?;
        }
        self.planned_to = self.planned_to.max(now);
        let due = self.take_due(now);
        if due.is_empty() {
            return Ok(0);
        }
        let planned = self.record(store, &due, now).await;
        if planned.is_ok() {
            for &index in &due {
                self.entries[index].processed_until = now;
            }
        }
        // Without a record nothing is accounted for: the next tick finds the same slots due.
        for index in due {
            self.push(index);
        }
        planned
    }

    /// The clock was set back: repeated slots are planned again.
    async fn set_back(&mut self, store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
        tracing::warn!(
            from = %self.planned_to, to = %now,
            "the clock was set back; slots that come again are known by their rows and do not run twice"
        );
        let mut progress = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.processed_until > now) {
            entry.seen_to = entry.seen_to.max(entry.processed_until);
            entry.processed_until = now;
            entry.known_since = entry.known_since.min(now);
            progress.push(entry.progress(now));
        }
        self.planned_to = now;
        self.rebuild();
        store.record_slots(&[], &progress, &self.config_hash, now).await
    }

    async fn record(&self, store: &Store, due: &[usize], now: DateTime<Utc>) -> Result<usize, StoreError> {
        let spans: Vec<Span> = due.iter().filter_map(|&index| self.entries[index].span_ahead(now)).collect();
        let mut ahead = by_target(store.rows_ahead(&spans, now).await?);
        let mut given_up = Vec::new();
        let mut wanted = Vec::with_capacity(due.len());
        for &index in due {
            let entry = &self.entries[index];
            let rows = match entry.span_ahead(now) {
                Some(span) => ahead.remove(&(span.schedule_id, span.instance_id)).unwrap_or_default(),
                None => Vec::new(),
            };
            // A row is needed for slots without one, and for those that rows give up.
            let seen_to = entry.seen_to.max(entry.processed_until).min(now);
            let (mut spans, gives_up) = give_up_rows(&entry.schedule.timing, &rows, entry.processed_until, seen_to);
            spans.push((seen_to, now));
            wanted.push(spans);
            given_up.extend(gives_up);
        }
        let open = if due.iter().any(|&index| self.entries[index].schedule.overlap == Overlap::Skip) {
            let but: Vec<BakeId> = given_up.iter().map(|(row, _)| row.id).collect();
            store.open_instances(now, &but).await?
        } else {
            HashMap::new()
        };
        let mut progress = Vec::with_capacity(due.len());
        let mut processed_parts = Vec::with_capacity(due.len());
        for (&index, spans) in due.iter().zip(&wanted) {
            let entry = &self.entries[index];
            let schedule = &entry.schedule;
            let mut processed_until = entry.processed_until;
            let mut parts = Vec::with_capacity(1);
            for (until, paused) in self.offset_spans(entry, processed_until, now) {
                let policy = SlotPolicy {
                    catch_up: schedule.catch_up,
                    window: schedule.catch_up_window,
                    on_time: ON_TIME,
                    paused: paused.as_deref(),
                };
                let processed =
                    process_slots(&schedule.timing, &policy, processed_until, until).within(&schedule.timing, spans);
                processed_until = processed.processed_until;
                parts.push(processed);
            }
            processed_parts.push(parts);
            progress.push(entry.progress(now));
        }
        // A range of missed slots does not count those with their own rows, such as rebuilt ones.
        let ranges: Vec<Span> = due
            .iter()
            .zip(&processed_parts)
            .filter(|(_, parts)| parts.iter().any(ProcessedSlots::has_range))
            .map(|(&index, _)| self.entries[index].span(self.entries[index].processed_until, now))
            .collect();
        let but: Vec<BakeId> = given_up.iter().map(|(row, _)| row.id).collect();
        let mut own = store.slots_with_rows(&ranges, &but).await?;
        let mut rows = Vec::new();
        let mut queued_now = HashSet::new();
        for ((&index, parts), spans) in due.iter().zip(processed_parts).zip(&wanted) {
            let entry = &self.entries[index];
            let own = own.remove(&(entry.schedule.id.clone(), entry.instance.clone()));
            for mut processed in parts {
                if let Some(own) = &own {
                    processed = processed.within(&entry.schedule.timing, &around(spans, own));
                }
                let entries = processed.entries.into_iter();
                rows.extend(entries.map(|of_slot| entry.row(of_slot, self.mode, &open, &mut queued_now)));
            }
        }
        store.replace_slots(&rows, &given_up, &progress, &self.config_hash, now).await?;
        Ok(rows.len())
    }

    /// The clock was set by `by` before the cloud confirmed it: targets first seen by it get corrected dates.
    pub fn clock_corrected(&mut self, by: TimeDelta, now: DateTime<Utc>) {
        for entry in self.entries.iter_mut().filter(|entry| entry.is_provisional) {
            let has_planned = entry.processed_until != entry.known_since;
            entry.known_since = shifted(entry.known_since, by).min(now);
            entry.processed_until =
                if has_planned { entry.processed_until.max(entry.known_since) } else { entry.known_since };
        }
        self.rebuild();
    }

    /// The cloud has confirmed the clock: instants from it are valid. Slots that were skipped because the clock was
    /// ahead when the schedule was added, and that have no rows, are planned.
    pub fn clock_confirmed(&mut self) {
        for entry in &mut self.entries {
            if entry.is_provisional && entry.seen_to > entry.rows_to {
                entry.processed_until = entry.processed_until.min(entry.known_since);
                entry.seen_to = entry.rows_to;
            }
            entry.is_provisional = false;
        }
        self.rebuild();
    }

    /// Instant of the next slot.
    pub fn next_at(&self) -> Option<DateTime<Utc>> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next `n` slots of all schedules that are not paused at `now`, in order.
    pub fn upcoming(&self, n: usize, now: DateTime<Utc>) -> Vec<Upcoming> {
        let mut nearest: Vec<_> = self.heap.iter().map(|Reverse(next)| *next).collect();
        nearest.sort_unstable();
        nearest
            .into_iter()
            .filter(|(_, index)| {
                let schedule = &self.entries[*index].schedule;
                !schedule.paused && !self.is_paused(&schedule.id, now)
            })
            .take(n)
            .map(|(slot, index)| {
                let entry = &self.entries[index];
                Upcoming {
                    slot,
                    schedule: entry.schedule.name.to_string(),
                    instance: entry.instance.clone(),
                    zone: entry.schedule.timing.zone(),
                }
            })
            .collect()
    }

    /// The schedule with this name or id.
    pub fn find(&self, text: &str) -> Option<ScheduleId> {
        let mut schedules = self.entries.iter().map(|entry| &entry.schedule);
        let found = schedules.find(|schedule| schedule.is_called(text))?;
        Some(found.id.clone())
    }

    /// All names and ids of schedules.
    pub fn schedule_words(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().flat_map(|entry| [entry.schedule.name.as_str(), entry.schedule.id.as_str()])
    }

    /// Applies the current pauses.
    pub fn set_pauses(&mut self, pauses: HashMap<ScheduleId, Pause>) {
        self.pauses = pauses;
    }

    /// Whether a schedule is paused, other than in the configuration.
    pub fn is_paused(&self, id: &ScheduleId, now: DateTime<Utc>) -> bool {
        self.pauses.get(id).is_some_and(|pause| pause.is_in_force(now))
    }

    /// The zone of a schedule; UTC if the configuration does not have it.
    pub fn zone_of(&self, id: &ScheduleId) -> Zone {
        let entry = self.entries.iter().find(|entry| entry.schedule.id == *id);
        entry.map_or(Zone::UTC, |entry| entry.schedule.timing.zone())
    }

    /// Pauses of configured schedules that are in force at `now`.
    pub fn pauses_at(&self, now: DateTime<Utc>) -> impl Iterator<Item = &Pause> {
        let known: HashSet<&ScheduleId> = self.entries.iter().map(|entry| &entry.schedule.id).collect();
        let mut pauses: Vec<_> = self.pauses.values().filter(|pause| known.contains(&pause.schedule_id)).collect();
        pauses.retain(|pause| self.is_paused(&pause.schedule_id, now));
        pauses.sort_unstable_by(|a, b| a.schedule_id.cmp(&b.schedule_id));
        pauses.into_iter()
    }

    /// The time from `processed_until` to `now` in spans that are paused or not: a pause may have ended while the daemon
    /// was down.
    fn offset_spans(
        &self,
        entry: &PlannedTarget,
        processed_until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Vec<(DateTime<Utc>, Option<String>)> {
        let pause = self.pauses.get(&entry.schedule.id);
        let mut ends: Vec<_> = pause.and_then(|pause| pause.until).into_iter().collect();
        ends.retain(|end| processed_until < *end && *end < now);
        ends.push(now);
        let paused = |end: DateTime<Utc>| {
            if entry.schedule.paused {
                return Some("in the file".to_owned());
            }
            pause.filter(|pause| pause.covers(end)).map(|pause| pause.words(entry.schedule.timing.zone()))
        };
        ends.into_iter().map(|end| (end, paused(end))).collect()
    }

    /// All instances of all schedules, in the order of the configuration.
    pub fn planned(&self) -> impl Iterator<Item = Planned<'_>> {
        self.entries.iter().map(|entry| Planned {
            schedule: &entry.schedule,
            line: &entry.line,
            known_since: entry.known_since,
        })
    }

    fn take_due(&mut self, now: DateTime<Utc>) -> Vec<usize> {
        let mut due = Vec::new();
        while let Some(&Reverse((at, index))) = self.heap.peek() {
            if at > now {
                break;
            }
            self.heap.pop();
            due.push(index);
        }
        // In the order of the configuration, not of the heap: the order of rows is the order of the queue.
        due.sort_unstable();
        due
    }

    fn push(&mut self, index: usize) {
        let entry = &self.entries[index];
        if let Some(next) = entry.schedule.timing.next_after(entry.processed_until) {
            self.heap.push(Reverse((next, index)));
        }
    }

    fn rebuild(&mut self) {
        self.heap.clear();
        for index in 0..self.entries.len() {
            self.push(index);
        }
    }
}

/// Ends the daemon's own pauses of schedules that were edited since they failed; returns the remaining pauses.
async fn unpause_edited(
    schedules: &[Arc<Schedule>],
    mut edited: HashSet<ScheduleId>,
    store: &Store,
    now: DateTime<Utc>,
) -> Result<HashMap<ScheduleId, Pause>, StoreError> {
    let mut pauses = store.reader().pauses().await?;
    if pauses.values().all(|pause| pause.who != ITSELF) {
        return Ok(pauses);
    }
    let by_id: HashMap<&ScheduleId, &Arc<Schedule>> =
        schedules.iter().map(|schedule| (&schedule.id, schedule)).collect();
    edited.extend(store.failed_under_other_settings(|id| by_id.get(id).map(|schedule| &*schedule.settings)).await?);
    for id in &edited {
        if pauses.get(id).is_some_and(|pause| pause.who == ITSELF) {
            store.resume(id, ITSELF, "it was edited", now).await?;
            pauses.remove(id);
        }
    }
    Ok(pauses)
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;

/// Events of the schedules that came, changed and went, one for each schedule.
fn schedule_events(
    changed: &[StoredTarget],
    former: &HashMap<ScheduleId, StoredTarget>,
    gone: &[(ScheduleId, InstanceId)],
    schedules: &[Arc<Schedule>],
) -> Vec<Event> {
    let event = |kind, id: &ScheduleId, message: String| {
        let subject = Subject::new(SubjectKind::Schedule, id.as_str());
        Event::new(kind, EventSeverity::Info, subject, message).with("schedule", id.as_str())
    };
    let mut seen = HashSet::new();
    let mut events = Vec::new();
    for StoredTarget { schedule_id: id, schedule: name, timing, .. } in changed {
        if !seen.insert(id.clone()) {
            continue;
        }
        match former.get(id) {
            None => events.push(event(EventType::ScheduleAdded, id, format!("schedule {name} was added"))),
            Some(before) if before.schedule != *name => {
                let message = format!("schedule {} is called {name} now", before.schedule);
                events.push(event(EventType::ScheduleChanged, id, message));
            }
            Some(before) if before.timing != *timing => {
                let message = format!("the slots of schedule {name} changed");
                events.push(event(EventType::ScheduleChanged, id, message));
            }
            Some(_) => {}
        }
    }
    let is_in_force = |id: &ScheduleId| schedules.iter().any(|schedule| schedule.id == *id);
    for (id, _) in gone.iter().filter(|(id, _)| !is_in_force(id)) {
        if seen.insert(id.clone()) {
            events.push(event(EventType::ScheduleRemoved, id, format!("schedule {id} was removed")));
        }
    }
    events
}
