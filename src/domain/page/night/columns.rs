//! A crowded night: how many slots of each few minutes came to what.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    bars::{Bar, Beside},
    facts::Counted,
};
use crate::domain::{clock::shifted, schedule_rows::outcome::Outcome};

/// Lengths of a column in minutes; each is a whole part of an hour.
const LENGTHS: [i64; 6] = [5, 10, 15, 20, 30, 60];
/// Maximum number of columns of a night without a change of the clock.
const MOST: i64 = 48;
/// Length of the minutes that the history counts together.
pub const COUNTED: TimeDelta = TimeDelta::minutes(5);

/// The columns of a night that have something, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Length of each.
    pub length: TimeDelta,
    /// The columns.
    pub columns: Vec<Column>,
}

/// The slots of a few minutes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    /// Its begin.
    pub from: DateTime<Utc>,
    /// Number of bakes of each result.
    pub counts: BTreeMap<Outcome, usize>,
    /// Number of slots that are planned.
    pub planned: usize,
    /// Number of slots that are expected to be skipped.
    pub late: usize,
}

impl Column {
    /// Number of its slots.
    pub fn all(&self) -> usize {
        self.counts.values().sum::<usize>() + self.planned + self.late
    }
}

impl Columns {
    /// Of all bars, marks and counts of a night, by their slots on this axis.
    pub(super) fn new(
        bars: &[Bar],
        beside: &[Beside],
        counted: &[Counted],
        (from, to): (DateTime<Utc>, DateTime<Utc>),
    ) -> Self {
        let hours = (to - from).num_hours().max(1);
        let minutes = LENGTHS.into_iter().find(|minutes| hours * 60 / minutes <= MOST).unwrap_or(60);
        let length = TimeDelta::minutes(minutes);
        let mut columns: BTreeMap<DateTime<Utc>, Column> = BTreeMap::new();
        // A bar may have begun in this night and have its slot before.
        let begin = |slot: DateTime<Utc>| {
            let number = (slot.max(from) - from).num_minutes() / minutes;
            shifted(from, TimeDelta::minutes(number * minutes))
        };
        for bar in bars {
            let column = columns.entry(begin(bar.slot)).or_default();
            match bar.outcome {
                Some(outcome) => *column.counts.entry(outcome).or_default() += 1,
                None => column.planned += 1,
            }
        }
        for mark in beside {
            let column = columns.entry(begin(mark.slot)).or_default();
            match mark.bake {
                Some(_) => *column.counts.entry(mark.outcome).or_default() += 1,
                None => column.late += 1,
            }
        }
        for one in counted {
            let column = columns.entry(begin(one.slot)).or_default();
            *column.counts.entry(one.outcome).or_default() += one.count;
        }
        Self { length, columns: columns.into_iter().map(|(from, column)| Column { from, ..column }).collect() }
    }

    /// The greatest number of slots of a column.
    pub fn highest(&self) -> usize {
        self.columns.iter().map(Column::all).max().unwrap_or_default()
    }
}
