//! A night, and what is drawn of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    bars::{Bar, Beside, Wait},
    columns::Columns,
};
use crate::domain::{calendar::zone::Zone, schedule_rows::outcome::Outcome, time::night::NightName};

/// What is drawn of a night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drawing {
    /// Nothing happened, and nothing is planned.
    Nothing,
    /// Each bake by itself.
    Lanes {
        /// Bars of each builder in their order; no more than the limit has builders.
        builders: Vec<Vec<Bar>>,
        /// Bars that had no builder to themselves: their instance was being started while the next image was made, or more
        /// builders were allowed then.
        others: Vec<Vec<Bar>>,
        /// Those that waited for their begin, or wait.
        waiting: Vec<Vec<Wait>>,
        /// Slots without a builder, in their order.
        beside: Vec<Beside>,
    },
    /// Numbers of bakes.
    Columns(Columns),
}

/// A night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Night {
    /// What it is called.
    pub name: NightName,
    /// First instant of the axis, a full hour.
    pub from: DateTime<Utc>,
    /// Last instant of the axis, a full hour.
    pub to: DateTime<Utc>,
    /// Zone of the axis.
    pub zone: Zone,
    /// What is drawn.
    pub drawing: Drawing,
    /// Number of bakes of each result.
    pub counts: BTreeMap<Outcome, usize>,
    /// Number of those that are of schedules or instances that the configuration does not have any more.
    pub former: usize,
    /// Number of planned bakes.
    pub planned: usize,
    /// Number of slots that are expected to be skipped.
    pub late: usize,
    /// End of the last bake, real or planned.
    pub end: Option<DateTime<Utc>>,
    /// Whether no duration is known yet.
    pub is_assumed: bool,
}
