//! The last weeks of a schedule, day by day.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, NaiveDate, TimeDelta, Utc};

use super::night::Recorded;
use crate::domain::{calendar::zone::Zone, schedule_rows::outcome::Outcome};

/// Number of weeks.
pub const WEEKS: i64 = 5;

/// One day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// The date in the schedule's zone.
    pub date: NaiveDate,
    /// Whether its month is named: the first one of all, and the first one of a month.
    pub names_month: bool,
    /// Whether it has not come.
    pub is_ahead: bool,
    /// Number of bakes of each result.
    pub counts: BTreeMap<Outcome, usize>,
}

impl Day {
    /// The result that a person should see; `None` without a slot.
    pub fn worst(&self) -> Option<Outcome> {
        self.counts.keys().max().copied()
    }
}

/// The last weeks with the current one, from Monday to Sunday.
pub fn weeks(rows: &[Recorded], zone: Zone, now: DateTime<Utc>) -> Vec<[Day; 7]> {
    let today = now.with_timezone(&zone).date_naive();
    let mut counts: BTreeMap<NaiveDate, BTreeMap<Outcome, usize>> = BTreeMap::new();
    for row in rows {
        let date = row.slot.with_timezone(&zone).date_naive();
        *counts.entry(date).or_default().entry(row.outcome()).or_default() += 1;
    }
    let monday = first_day(today);
    (0..WEEKS)
        .map(|week| {
            std::array::from_fn(|day| {
                let days = week * 7 + i64::try_from(day).unwrap_or_default();
                let date = monday.checked_add_signed(TimeDelta::days(days)).unwrap_or(monday);
                let names_month = date == monday || date.day() == 1;
                Day { date, names_month, is_ahead: date > today, counts: counts.remove(&date).unwrap_or_default() }
            })
        })
        .collect()
}

/// Monday of the first of the weeks.
fn first_day(today: NaiveDate) -> NaiveDate {
    let back = i64::from(today.weekday().num_days_from_monday()) + (WEEKS - 1) * 7;
    today.checked_sub_signed(TimeDelta::days(back)).unwrap_or(today)
}

/// Instant from which rows are needed: the begin of the first day, by a day early for the zone.
pub fn needed_from(zone: Zone, now: DateTime<Utc>) -> DateTime<Utc> {
    let first = first_day(now.with_timezone(&zone).date_naive());
    let first = first.and_time(chrono::NaiveTime::MIN).and_utc();
    first.checked_sub_signed(TimeDelta::days(1)).unwrap_or(first)
}

#[cfg(test)]
#[path = "calendar_tests.rs"]
mod tests;
