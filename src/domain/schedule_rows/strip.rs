//! The results of the last slots of a schedule as a row of marks.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{facts::SlotRow, outcome::Outcome};

/// Number of slots in a strip.
pub const SLOTS: usize = 14;

/// One slot of a schedule: of all its instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The slot.
    pub slot: DateTime<Utc>,
    /// The result that a person should see.
    pub outcome: Outcome,
    /// How many of its bakes have that result, and how many there are.
    pub count: (usize, usize),
    /// A bake with that result.
    pub bake: i64,
    /// The word of its state.
    pub state: String,
    /// Its reason code.
    pub reason_code: Option<String>,
    /// Number of slots of its row, if that covers a range.
    pub slot_count: i64,
}

/// The last slots of these rows of one schedule, the oldest first. Of several rows of a slot the first of the greatest
/// [`Outcome`] is shown.
pub fn strip(rows: &[SlotRow]) -> Vec<Mark> {
    let mut slots: BTreeMap<DateTime<Utc>, Vec<&SlotRow>> = BTreeMap::new();
    for row in rows {
        slots.entry(row.slot).or_default().push(row);
    }
    let skipped = slots.len().saturating_sub(SLOTS);
    slots.into_iter().skip(skipped).filter_map(|(slot, rows)| mark(slot, &rows)).collect()
}

fn mark(slot: DateTime<Utc>, rows: &[&SlotRow]) -> Option<Mark> {
    // The last of equal ones, and so the first row.
    let shown = rows.iter().rev().max_by_key(|row| row.outcome())?;
    let outcome = shown.outcome();
    let same = rows.iter().filter(|row| row.outcome() == outcome).count();
    Some(Mark {
        slot,
        outcome,
        count: (same, rows.len()),
        bake: shown.bake,
        state: shown.state.clone(),
        reason_code: shown.reason_code.clone(),
        slot_count: shown.slot_count,
    })
}

/// In words, for those who do not see it: `last 14: 12 succeeded, 1 skipped, 1 failed; newest failed`.
pub fn describe(marks: &[Mark]) -> String {
    let Some(newest) = marks.last() else { return "no slot yet".to_owned() };
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    for mark in marks {
        *counts.entry(mark.outcome).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(outcome, n)| format!("{n} {}", outcome.word())).collect();
    format!("last {}: {}; newest {}", marks.len(), counts.join(", "), newest.outcome.word())
}

#[cfg(test)]
#[path = "strip_tests.rs"]
mod tests;
