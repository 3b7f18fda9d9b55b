//! Rules that are no longer in force: what was due under them is accounted for as missed.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    spans::{Key, SlotSpan, around, by_target, give_up_rows},
    target::{PlannedTarget, skipped},
};
use crate::{
    adapters::store::{NewRow, RowAhead, Span, Store, StoreError, StoredTarget},
    domain::{
        bake::{Trigger, reason::ReasonCode},
        calendar::{Timing, zone::Zone},
        catch_up::{CatchUp, Entry, GivenUp, SlotPolicy, process_slots},
        clock::{STEP_BACK, shifted},
        ids::{InstanceId, LineId},
        schedule::Schedule,
    },
};

impl StoredTarget {
    /// Whether it is in the file as it was.
    pub(super) fn is_kept(&self, timing: &str) -> bool {
        self.removed_at.is_none() && self.timing == timing
    }
}

/// Rows that were written while the clock was ahead, of targets whose rule is replaced or that come back.
pub(super) async fn rows_of_old_rules(
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
            let after = before.processed_until.min(now);
            spans.push(Span { schedule_id: key.0, instance_id: key.1, after, until: DateTime::<Utc>::MAX_UTC });
        }
    }
    Ok(by_target(store.rows_ahead(&spans, now).await?))
}

/// Targets whose future rows cover slots that were due since, while no daemon ran: the instant from which those slots are
/// accounted for again.
pub(super) async fn slots_given_up_while_down(
    entries: &[PlannedTarget],
    known: &HashMap<Key, StoredTarget>,
    store: &Store,
    now: DateTime<Utc>,
) -> Result<HashMap<Key, DateTime<Utc>>, StoreError> {
    let mut spans = Vec::new();
    for entry in entries {
        let key = (entry.schedule.id.clone(), entry.instance.clone());
        let Some(before) = known.get(&key).filter(|before| before.processed_until > shifted(now, STEP_BACK)) else {
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

/// What a target has rows for already.
pub(super) struct Ahead<'a> {
    /// See [`PlannedTarget`].
    pub(super) seen_to: Option<DateTime<Utc>>,
    /// Those that were written while the clock was ahead.
    pub(super) rows: &'a [RowAhead],
    /// The first and the last slot of each other one.
    pub(super) own: &'a [SlotSpan],
}

/// Ends a rule that was in force before: its slots up to now that have no row make rows of missed ones, and rows of the
/// future give up what is later.
pub(super) fn end_old_rule(
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
    // What was removed from the file is accounted for up to then, and not after.
    let after = if before.removed_at.is_some() { now } else { before.processed_until.min(now) };
    let (mut spans, given_up) = give_up_rows(&old, ahead.rows, after, DateTime::<Utc>::MAX_UTC);
    spans.push((ahead.seen_to.unwrap_or(after).max(before.processed_until).clamp(after, now), now));
    let policy = SlotPolicy { catch_up: CatchUp::Skip, window: Duration::ZERO, on_time: Duration::ZERO, paused: None };
    let reason = "missed while the daemon was not running; the schedule's times were changed meanwhile";
    let missed = process_slots(&old, &policy, after, now).within(&old, &around(&spans, ahead.own)).entries.into_iter();
    let rows = missed.filter_map(|entry| match entry {
        Entry::Missed { first, last, count, .. } => Some(NewRow {
            schedule_id: schedule.id.clone(),
            schedule: schedule.name.clone(),
            instance_id: instance.clone(),
            line: line.clone(),
            slot: last,
            first_slot: first,
            slot_count: count,
            trigger: Trigger::Slot,
            settings: None,
            state: skipped(ReasonCode::Missed, reason.to_owned()),
        }),
        Entry::Due { .. } => None,
    });
    (rows.collect(), given_up)
}

/// A rule as the history remembers it, to account for its slots after it was replaced.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredTiming {
    cron: Vec<String>,
    timezone: Zone,
    /// What seeds `H`: the schedule's id; empty where no expression has one.
    #[serde(rename = "name")]
    seed: String,
}

impl StoredTiming {
    pub(super) fn of(schedule: &Schedule) -> Self {
        Self {
            cron: schedule.timing.expressions().map(str::to_owned).collect(),
            timezone: schedule.timing.zone(),
            seed: if schedule.timing.is_hashed() { schedule.id.to_string() } else { String::new() },
        }
    }

    /// The same rule as this version writes it: older versions kept a seed that no `H` used.
    pub(super) fn rewritten(json: String) -> Result<String, StoreError> {
        match Self::from_json(&json) {
            Some(stored) if stored.read().is_some_and(|timing| !timing.is_hashed()) => {
                Self { seed: String::new(), ..stored }.to_json()
            }
            _ => Ok(json),
        }
    }

    pub(super) fn to_json(&self) -> Result<String, StoreError> {
        serde_json::to_string(self).map_err(StoreError::Encode)
    }

    /// As the history keeps it; `None` where this version cannot read it.
    pub fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The rule.
    pub fn read(&self) -> Option<Timing> {
        Timing::parse(&self.cron, self.timezone, Duration::ZERO, &self.seed).ok()
    }
}
