//! Planner: turns due slots into rows of the history, and records for each (schedule, instance) up to which instant
//! every slot has its row. It does not use the cloud.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use crate::domain::calendar::zone::Zone;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    adapters::store::{ITSELF, NewRow, RowAhead, Span, Store, StoreError, StoredTarget, TargetProgress},
    domain::{
        bake::{State, Trigger, reason::ReasonCode, state::End},
        calendar::Timing,
        catch_up::{AccountPolicy, Accounting, CatchUp, Entry, GivenUp, Missed, account, give_up},
        clock::{ON_TIME, STEP_BACK, shifted},
        ids::{BakeId, InstanceId, LineId, ScheduleId},
        pause::Pause,
        schedule::{Overlap, Schedule},
    },
};

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
}

#[derive(Debug)]
struct PlannedTarget {
    schedule: Arc<Schedule>,
    instance: InstanceId,
    line: LineId,
    accounted_to: DateTime<Utc>,
    /// End of the slots after `accounted_to` that have rows, because the clock was ahead. Such a row keeps its slots
    /// when they are due, unless it never started and was written later than that.
    seen_to: DateTime<Utc>,
    /// Last slot with a row, if it is in the future.
    rows_to: DateTime<Utc>,
    known_since: DateTime<Utc>,
    /// `known_since` is from an unconfirmed clock: a correction of the clock corrects it.
    is_provisional: bool,
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
                    accounted_to: now,
                    seen_to: DateTime::<Utc>::MIN_UTC,
                    rows_to: DateTime::<Utc>::MIN_UTC,
                    known_since: now,
                    is_provisional: true,
                })
            })
            .collect();
        let mut known: HashMap<(ScheduleId, InstanceId), StoredTarget> = store
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
                let span = entry.span(before.accounted_to.min(now), now);
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
                        entry.accounted_to = before.accounted_to.min(now).min(came_while_down).max(entry.known_since);
                    }
                }
                if before.timing == timing {
                    entry.rows_to = seen.get(&key).copied().unwrap_or(entry.rows_to);
                    entry.seen_to = before.accounted_to.max(entry.rows_to);
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
                accounted_to: entry.accounted_to,
                known_since: entry.known_since,
                removed_at: None,
            };
            if before.as_ref() != Some(&target) {
                changed.push(target);
            }
        }
        let gone: Vec<_> =
            known.into_iter().filter(|(_, target)| target.removed_at.is_none()).map(|(key, _)| key).collect();
        store.adopt_targets(&changed, &gone, &given_up, &missed, config_hash, now).await?;
        let pauses = unpause_edited(schedules, edited, store, now).await?;
        let mut planner =
            Self { config_hash: config_hash.to_owned(), entries, heap: BinaryHeap::new(), planned_to: now, pauses };
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
                self.entries[index].accounted_to = now;
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
        for entry in self.entries.iter_mut().filter(|entry| entry.accounted_to > now) {
            entry.seen_to = entry.seen_to.max(entry.accounted_to);
            entry.accounted_to = now;
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
            let seen_to = entry.seen_to.max(entry.accounted_to).min(now);
            let (mut spans, gives_up) = give_up_rows(&entry.schedule.timing, &rows, entry.accounted_to, seen_to);
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
        let mut accounted = Vec::with_capacity(due.len());
        for (&index, spans) in due.iter().zip(&wanted) {
            let entry = &self.entries[index];
            let schedule = &entry.schedule;
            let mut accounted_to = entry.accounted_to;
            let mut accountings = Vec::with_capacity(1);
            for (until, paused) in self.offset_spans(entry, accounted_to, now) {
                let policy = AccountPolicy {
                    catch_up: schedule.catch_up,
                    window: schedule.catch_up_window,
                    on_time: ON_TIME,
                    paused: paused.as_deref(),
                };
                let accounting =
                    account(&schedule.timing, &policy, accounted_to, until).within(&schedule.timing, spans);
                accounted_to = accounting.accounted_to;
                accountings.push(accounting);
            }
            accounted.push(accountings);
            progress.push(entry.progress(now));
        }
        // A range of missed slots does not count those with their own rows, such as rebuilt ones.
        let ranges: Vec<Span> = due
            .iter()
            .zip(&accounted)
            .filter(|(_, accountings)| accountings.iter().any(Accounting::has_range))
            .map(|(&index, _)| self.entries[index].span(self.entries[index].accounted_to, now))
            .collect();
        let but: Vec<BakeId> = given_up.iter().map(|(row, _)| row.id).collect();
        let mut own = store.slots_with_rows(&ranges, &but).await?;
        let mut rows = Vec::new();
        let mut queued_now = HashSet::new();
        for ((&index, accountings), spans) in due.iter().zip(accounted).zip(&wanted) {
            let entry = &self.entries[index];
            let own = own.remove(&(entry.schedule.id.clone(), entry.instance.clone()));
            for mut accounting in accountings {
                if let Some(own) = &own {
                    accounting = accounting.within(&entry.schedule.timing, &around(spans, own));
                }
                rows.extend(accounting.entries.into_iter().map(|of_slot| entry.row(of_slot, &open, &mut queued_now)));
            }
        }
        store.replace_slots(&rows, &given_up, &progress, &self.config_hash, now).await?;
        Ok(rows.len())
    }

    /// The clock was set by `by` before the cloud confirmed it: targets first seen by it get corrected dates.
    pub fn clock_corrected(&mut self, by: TimeDelta, now: DateTime<Utc>) {
        for entry in self.entries.iter_mut().filter(|entry| entry.is_provisional) {
            let has_planned = entry.accounted_to != entry.known_since;
            entry.known_since = shifted(entry.known_since, by).min(now);
            entry.accounted_to =
                if has_planned { entry.accounted_to.max(entry.known_since) } else { entry.known_since };
        }
        self.rebuild();
    }

    /// The cloud has confirmed the clock: instants from it are valid. Slots that were skipped because the clock was
    /// ahead when the schedule was added, and that have no rows, are planned.
    pub fn clock_confirmed(&mut self) {
        for entry in &mut self.entries {
            if entry.is_provisional && entry.seen_to > entry.rows_to {
                entry.accounted_to = entry.accounted_to.min(entry.known_since);
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

    /// Rows for a bake of every instance of a schedule, now. `None` for an unknown schedule; `text` is its name or id.
    pub fn manual(&self, text: &str, now: DateTime<Utc>) -> Option<Vec<NewRow>> {
        // The history counts in milliseconds; the slot of the row must equal the instant in its tag.
        let slot = DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now);
        let rows: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| entry.schedule.name.as_str() == text || entry.schedule.id.as_str() == text)
            .map(|entry| {
                let state = State::Queued { not_before: slot, suspended: None };
                entry.new_row(slot, Trigger::Manual, Some(Arc::clone(&entry.schedule.settings)), state)
            })
            .collect();
        (!rows.is_empty()).then_some(rows)
    }

    /// The schedule with this name or id.
    pub fn find(&self, text: &str) -> Option<ScheduleId> {
        let mut schedules = self.entries.iter().map(|entry| &entry.schedule);
        let found = schedules.find(|schedule| schedule.name.as_str() == text || schedule.id.as_str() == text)?;
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

    /// Pauses of configured schedules that are in force at `now`.
    pub fn pauses_at(&self, now: DateTime<Utc>) -> impl Iterator<Item = &Pause> {
        let known: HashSet<&ScheduleId> = self.entries.iter().map(|entry| &entry.schedule.id).collect();
        let mut pauses: Vec<_> = self.pauses.values().filter(|pause| known.contains(&pause.schedule_id)).collect();
        pauses.retain(|pause| self.is_paused(&pause.schedule_id, now));
        pauses.sort_unstable_by(|a, b| a.schedule_id.cmp(&b.schedule_id));
        pauses.into_iter()
    }

    /// The time from `accounted_to` to `now` in spans that are paused or not: a pause may have ended while the daemon
    /// was down.
    fn offset_spans(
        &self,
        entry: &PlannedTarget,
        accounted_to: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Vec<(DateTime<Utc>, Option<String>)> {
        let pause = self.pauses.get(&entry.schedule.id);
        let mut ends: Vec<_> = pause.and_then(|pause| pause.until).into_iter().collect();
        ends.retain(|end| accounted_to < *end && *end < now);
        ends.push(now);
        let paused = |end: DateTime<Utc>| {
            if entry.schedule.paused {
                return Some("in the file".to_owned());
            }
            pause.filter(|pause| pause.covers(end)).map(Pause::words)
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
        if let Some(next) = entry.schedule.timing.next_after(entry.accounted_to) {
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

impl PlannedTarget {
    /// Slots that are due now and have rows from when the clock was ahead, if there are any.
    fn span_ahead(&self, now: DateTime<Utc>) -> Option<Span> {
        (self.seen_to > self.accounted_to).then(|| self.span(self.accounted_to, self.seen_to.min(now)))
    }

    fn span(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Span {
        Span { schedule_id: self.schedule.id.clone(), instance_id: self.instance.clone(), after, until }
    }

    /// Progress to store once all slots up to `accounted_to` have rows.
    fn progress(&self, accounted_to: DateTime<Utc>) -> TargetProgress {
        TargetProgress {
            schedule_id: self.schedule.id.clone(),
            instance_id: self.instance.clone(),
            accounted_to,
            known_since: self.known_since,
        }
    }

    fn row(&self, entry: Entry, open: &HashMap<InstanceId, BakeId>, queued_now: &mut HashSet<InstanceId>) -> NewRow {
        match entry {
            Entry::Due { slot, caught_up } => {
                let trigger = if caught_up { Trigger::CaughtUp } else { Trigger::Slot };
                if self.schedule.overlap == Overlap::Skip {
                    let busy = match open.get(&self.instance) {
                        Some(bake) => Some(format!("bake {bake} of the instance was still running")),
                        None if queued_now.contains(&self.instance) => {
                            Some("another bake of the instance was due at the same moment".to_owned())
                        }
                        None => None,
                    };
                    if let Some(busy) = busy {
                        return self.new_row(
                            slot,
                            trigger,
                            None,
                            skipped(ReasonCode::Overlap, format!("skipped, overlap: {busy}")),
                        );
                    }
                }
                queued_now.insert(self.instance.clone());
                let not_before = self.schedule.timing.begin(slot, self.schedule.id.as_str());
                let settings = Some(Arc::clone(&self.schedule.settings));
                self.new_row(slot, trigger, settings, State::Queued { not_before, suspended: None })
            }
            Entry::Missed { first, last, count, why } => {
                let mut row = self.new_row(last, Trigger::Slot, None, skipped(code_of(&why), why.to_string()));
                row.covers_from = first;
                row.covers = count;
                row
            }
        }
    }

    fn new_row(
        &self,
        slot: DateTime<Utc>,
        trigger: Trigger,
        settings: Option<Arc<crate::domain::bake::BakeSettings>>,
        state: State,
    ) -> NewRow {
        NewRow {
            schedule_id: self.schedule.id.clone(),
            schedule: self.schedule.name.clone(),
            instance_id: self.instance.clone(),
            line: self.line.clone(),
            slot,
            covers_from: slot,
            covers: 1,
            trigger,
            settings,
            state,
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
            tracing::info!(schedule = %id, "schedule {id} was edited; it is no longer paused for its failures");
            store.resume(id, ITSELF, "it was edited", now).await?;
            pauses.remove(id);
        }
    }
    Ok(pauses)
}

fn code_of(why: &Missed) -> ReasonCode {
    match why {
        Missed::CatchUpSkip | Missed::OutsideWindow | Missed::TooMany => ReasonCode::Missed,
        Missed::Coalesced => ReasonCode::Superseded,
        Missed::Paused(_) => ReasonCode::Paused,
    }
}

fn skipped(code: ReasonCode, reason: String) -> State {
    State::Ended { work: None, end: End::Skipped { code, reason } }
}

type Key = (ScheduleId, InstanceId);

fn by_target(rows: Vec<RowAhead>) -> HashMap<Key, Vec<RowAhead>> {
    let mut targets: HashMap<Key, Vec<RowAhead>> = HashMap::new();
    for row in rows {
        targets.entry((row.schedule_id.clone(), row.instance_id.clone())).or_default().push(row);
    }
    targets
}

/// A span of slots: after the first instant, up to and including the second.
type SlotSpan = (DateTime<Utc>, DateTime<Utc>);

/// Remaining parts of `spans`, in order, without the slots from the first to the last of each of `own`, in order.
fn around(spans: &[SlotSpan], own: &[SlotSpan]) -> Vec<SlotSpan> {
    let mut left = Vec::with_capacity(spans.len() + own.len());
    for &(mut after, until) in spans {
        for &(first, last) in own {
            let before = (first - TimeDelta::nanoseconds(1)).min(until);
            if after < before {
                left.push((after, before));
            }
            after = after.max(last);
        }
        if after < until {
            left.push((after, until));
        }
    }
    left
}

/// What these rows give up of the slots in (`after`, `until`], and the resulting spans.
fn give_up_rows(
    timing: &Timing,
    rows: &[RowAhead],
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> (Vec<SlotSpan>, Vec<(RowAhead, GivenUp)>) {
    rows.iter()
        .filter_map(|row| {
            let gives_up = give_up(timing, row.slots, after, until)?;
            let span = (gives_up.slots.first - TimeDelta::nanoseconds(1), gives_up.slots.last);
            Some((span, (row.clone(), gives_up)))
        })
        .unzip()
}

impl StoredTarget {
    /// Whether its rule is unchanged.
    fn is_kept(&self, timing: &str) -> bool {
        self.removed_at.is_none() && self.timing == timing
    }
}

/// Rows that were written while the clock was ahead, of targets whose rule is replaced or that return.
async fn rows_of_old_rules(
    entries: &[PlannedTarget],
    known: &HashMap<Key, StoredTarget>,
    seen: &HashMap<Key, DateTime<Utc>>,
    store: &Store,
    now: DateTime<Utc>,
) -> Result<HashMap<Key, Vec<RowAhead>>, StoreError> {
    let mut spans = Vec::new();
    for entry in entries {
        let key = (entry.schedule.id.clone(), entry.instance.clone());
        let Some(before) = known.get(&key).filter(|_| seen.contains_key(&key)) else { continue };
        if !before.is_kept(&StoredTiming::of(&entry.schedule).to_json()?) {
            let after = before.accounted_to.min(now);
            spans.push(Span { schedule_id: key.0, instance_id: key.1, after, until: DateTime::<Utc>::MAX_UTC });
        }
    }
    Ok(by_target(store.rows_ahead(&spans, now).await?))
}

/// Targets whose future rows cover slots that were due since, while no daemon ran: the instant from which those slots
/// are accounted for again.
async fn slots_given_up_while_down(
    entries: &[PlannedTarget],
    known: &HashMap<Key, StoredTarget>,
    store: &Store,
    now: DateTime<Utc>,
) -> Result<HashMap<Key, DateTime<Utc>>, StoreError> {
    let mut spans = Vec::new();
    for entry in entries {
        let key = (entry.schedule.id.clone(), entry.instance.clone());
        let Some(before) = known.get(&key).filter(|before| before.accounted_to > shifted(now, STEP_BACK)) else {
            continue;
        };
        if before.is_kept(&StoredTiming::of(&entry.schedule).to_json()?) {
            spans.push(Span { schedule_id: key.0, instance_id: key.1, after: before.known_since, until: now });
        }
    }
    let rows = by_target(store.rows_ahead(&spans, now).await?);
    let first = |rows: Vec<RowAhead>| rows.iter().map(|row| row.slots.first).min();
    Ok(rows.into_iter().filter_map(|(key, rows)| Some((key, first(rows)? - TimeDelta::nanoseconds(1)))).collect())
}

/// Slots of a target that have rows.
struct Ahead<'a> {
    /// See [`PlannedTarget`].
    seen_to: Option<DateTime<Utc>>,
    /// Those written while the clock was ahead.
    rows: &'a [RowAhead],
    /// First and last slot of each other row.
    own: &'a [SlotSpan],
}

/// Ends a former rule: its slots up to now without a row are recorded as missed, and future rows give up later slots.
fn end_old_rule(
    schedule: &Schedule,
    instance: &InstanceId,
    line: &LineId,
    before: &StoredTarget,
    ahead: &Ahead<'_>,
    now: DateTime<Utc>,
) -> (Vec<NewRow>, Vec<(RowAhead, GivenUp)>) {
    let Some(old) = StoredTiming::from_json(&before.timing).and_then(|timing| timing.read()) else {
        return (Vec::new(), Vec::new());
    };
    // A removed target is accounted for up to its removal only.
    let after = if before.removed_at.is_some() { now } else { before.accounted_to.min(now) };
    let (mut spans, given_up) = give_up_rows(&old, ahead.rows, after, DateTime::<Utc>::MAX_UTC);
    spans.push((ahead.seen_to.unwrap_or(after).max(before.accounted_to).clamp(after, now), now));
    let policy =
        AccountPolicy { catch_up: CatchUp::Skip, window: Duration::ZERO, on_time: Duration::ZERO, paused: None };
    let reason = "missed while the daemon was not running; the schedule's times were changed meanwhile";
    let missed = account(&old, &policy, after, now).within(&old, &around(&spans, ahead.own)).entries.into_iter();
    let rows = missed.filter_map(|entry| match entry {
        Entry::Missed { first, last, count, .. } => Some(NewRow {
            schedule_id: schedule.id.clone(),
            schedule: schedule.name.clone(),
            instance_id: instance.clone(),
            line: line.clone(),
            slot: last,
            covers_from: first,
            covers: count,
            trigger: Trigger::Slot,
            settings: None,
            state: skipped(ReasonCode::Missed, reason.to_owned()),
        }),
        Entry::Due { .. } => None,
    });
    (rows.collect(), given_up)
}

/// A rule as stored, to account for its slots after it was replaced.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredTiming {
    cron: Vec<String>,
    timezone: Zone,
    /// Seed of `H`: the schedule's id; empty if no expression has an `H`.
    #[serde(rename = "name")]
    seed: String,
}

impl StoredTiming {
    fn of(schedule: &Schedule) -> Self {
        Self {
            cron: schedule.timing.expressions().map(str::to_owned).collect(),
            timezone: schedule.timing.zone(),
            seed: if schedule.timing.is_hashed() { schedule.id.to_string() } else { String::new() },
        }
    }

    /// The same rule as this version writes it: older versions stored a seed that no `H` used.
    fn rewritten(json: String) -> Result<String, StoreError> {
        match Self::from_json(&json) {
            Some(stored) if stored.read().is_some_and(|timing| !timing.is_hashed()) => {
                Self { seed: String::new(), ..stored }.to_json()
            }
            _ => Ok(json),
        }
    }

    fn to_json(&self) -> Result<String, StoreError> {
        serde_json::to_string(self).map_err(StoreError::Encode)
    }

    /// The stored rule; `None` if this version cannot read it.
    pub fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The rule.
    pub fn read(&self) -> Option<Timing> {
        Timing::parse(&self.cron, self.timezone, Duration::ZERO, &self.seed).ok()
    }
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;
