//! What the page shows beside the rows of the schedules, as data: the nights, the calendar, images and bakes. The page draws
//! it.

pub mod calendar;
pub mod night;
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
