//! What the page shows, as data: the order of the schedules, the results of their last slots, the nights and the calendar.
//! The page draws it.

pub mod calendar;
pub mod night;
pub mod roster;
pub mod strip;
pub mod views;

use std::collections::HashMap;

use super::{calendar::zone::Zone, schedule::Schedule};

/// The zone of most schedules; UTC where there are none. Times that belong to no schedule are shown in it.
pub fn main_zone<'a>(schedules: impl IntoIterator<Item = &'a Schedule>) -> Zone {
    let mut counts: HashMap<&str, (usize, usize, Zone)> = HashMap::new();
    for (place, schedule) in schedules.into_iter().enumerate() {
        let zone = schedule.timing.zone();
        counts.entry(zone.name()).or_insert((0, place, zone)).0 += 1;
    }
    // Of equally many the first of the file.
    let most = counts.into_values().max_by_key(|(count, place, _)| (*count, std::cmp::Reverse(*place)));
    most.map_or(Zone::UTC, |(_, _, zone)| zone)
}
