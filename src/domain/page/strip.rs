//! The results of the last slots of a schedule as a row of marks.

use std::collections::BTreeMap;

use crate::domain::history::BakeRow;

/// Number of slots in a strip.
pub const SLOTS: usize = 14;

/// Result of a slot, in the order in which one of several is shown: the one that a person should see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A good image was made.
    Succeeded,
    /// A person cancelled it.
    Cancelled,
    /// It was not baked.
    Skipped,
    /// It is queued.
    Queued,
    /// It is being baked.
    Running,
    /// It is not known what the cloud did.
    Unknown,
    /// It failed.
    Failed,
}

impl Outcome {
    /// Of the word of a state.
    pub fn of(state: &str) -> Self {
        match state {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "skipped" => Self::Skipped,
            "cancelled" => Self::Cancelled,
            "queued" => Self::Queued,
            "unknown" => Self::Unknown,
            _ => Self::Running,
        }
    }

    /// The word of a state that has this result.
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
        }
    }

    /// Whether it can still change.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Unknown)
    }
}

/// One slot of a schedule: of all its instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The slot, in milliseconds since 1970.
    pub slot: i64,
    /// The result that a person should see.
    pub outcome: Outcome,
    /// How many of its bakes have that result, and how many there are.
    pub count: (usize, usize),
    /// A bake with that result.
    pub bake: i64,
    /// Number of slots of the row, if it covers a range.
    pub slot_count: i64,
}

/// The last slots of these rows of one schedule, the oldest first.
pub fn strip(rows: &[BakeRow]) -> Vec<Mark> {
    let mut slots: BTreeMap<i64, Mark> = BTreeMap::new();
    for row in rows {
        let outcome = Outcome::of(&row.state);
        let new = Mark { slot: row.slot, outcome, count: (0, 0), bake: row.id, slot_count: row.slot_count };
        let mark = slots.entry(row.slot).or_insert_with(|| new.clone());
        let all = mark.count.1 + 1;
        if outcome > mark.outcome {
            *mark = new;
        }
        let same = mark.count.0 + usize::from(outcome == mark.outcome);
        mark.count = (same, all);
    }
    let skipped = slots.len().saturating_sub(SLOTS);
    slots.into_values().skip(skipped).collect()
}

/// In words, for those who do not see it: `12 succeeded, 1 failed, 1 skipped; newest failed`.
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
