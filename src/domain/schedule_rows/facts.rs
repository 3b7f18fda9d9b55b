//! What rows are made of, as the history has it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::outcome::Outcome;
use crate::domain::ids::{LineId, ScheduleId};

/// A row of the history in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotRow {
    /// The bake's number.
    pub bake: i64,
    /// Its slot.
    pub slot: DateTime<Utc>,
    /// Number of slots that the row covers.
    pub slot_count: i64,
    /// The word of its state.
    pub state: String,
    /// Its reason.
    pub reason: Option<String>,
    /// Reason code of an end without a good image.
    pub reason_code: Option<String>,
    /// Whether its image is vetoed.
    pub vetoed: bool,
}

impl SlotRow {
    /// What a person sees of it.
    pub fn outcome(&self) -> Outcome {
        Outcome::with_veto(&self.state, self.vetoed)
    }
}

/// The newest good image of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestGood {
    /// The line.
    pub line: LineId,
    /// The image.
    pub image_id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i64,
    /// Since when it has been good. An adopted image is as old as its slot.
    pub good_at: DateTime<Utc>,
}

/// What the history has of some schedules.
#[derive(Debug, Clone, Default)]
pub struct RowFacts {
    /// Rows of the last slots of each schedule, the newest first.
    pub slots: HashMap<ScheduleId, Vec<SlotRow>>,
    /// The newest good image of each line that has one.
    pub images: HashMap<LineId, NewestGood>,
}
