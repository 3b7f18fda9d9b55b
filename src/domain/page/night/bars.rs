//! The parts of a night that is drawn bake by bake.

use chrono::{DateTime, Utc};

use crate::domain::{ids::InstanceId, schedule_rows::outcome::Outcome};

/// A bake on a builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// The bake's number; `None` if its slot has not come.
    pub bake: Option<i64>,
    /// The schedule's name.
    pub schedule: String,
    /// The instance.
    pub instance: InstanceId,
    /// The slot.
    pub slot: DateTime<Utc>,
    /// It got a builder.
    pub begin: DateTime<Utc>,
    /// Its end by the durations of former bakes.
    pub planned_end: DateTime<Utc>,
    /// Its real end, or now while it runs; `None` if it has not begun.
    pub end: Option<DateTime<Utc>>,
    /// Its result; `None` if it has not begun.
    pub outcome: Option<Outcome>,
    /// From when it waited for its begin, if it did.
    pub waited_from: Option<DateTime<Utc>>,
    /// What it waits for in the words of its row, if it is in the queue.
    pub waits_for: Option<String>,
    /// Until when it must have begun; `None` once it has.
    pub deadline: Option<DateTime<Utc>>,
}

impl Bar {
    /// When its lane is free again.
    pub(super) fn until(&self) -> DateTime<Utc> {
        match (self.end, self.outcome) {
            (Some(end), Some(outcome)) if !outcome.is_open() => end,
            (Some(end), _) => end.max(self.planned_end),
            (None, _) => self.planned_end,
        }
    }
}

/// The time of a bake before its begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Since when.
    pub from: DateTime<Utc>,
    /// The bake; it waits until its begin.
    pub bar: Bar,
}

/// A slot without a builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The bake's number; `None` if its slot has not come.
    pub bake: Option<i64>,
    /// The schedule's name.
    pub schedule: String,
    /// The slot.
    pub slot: DateTime<Utc>,
    /// Its result, or the expected one.
    pub outcome: Outcome,
    /// Its reason.
    pub reason: String,
}
