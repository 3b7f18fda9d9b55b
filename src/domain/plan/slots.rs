//! The slots of many schedules in their order, without holding more than one of each schedule.
//!
//! A rule may fire each second: whoever shows a hundred slots must not compute a year of them.

use std::{cmp::Reverse, collections::BinaryHeap};

use chrono::{DateTime, Utc};

use crate::domain::{ids::InstanceId, schedule::Schedule};

/// A slot of one instance.
#[derive(Debug, Clone, Copy)]
pub struct SlotAhead<'a> {
    /// When.
    pub at: DateTime<Utc>,
    /// The schedule.
    pub schedule: &'a Schedule,
    /// Its place among the schedules.
    pub place: usize,
    /// The instance.
    pub instance: &'a InstanceId,
}

/// The slots of `schedules` after `from` up to `until`: the earliest first, of equal ones that of the first schedule, and
/// within a schedule in the order of its instances. Computed as they are asked for.
///
/// ```
/// use imagebaked::domain::plan::slots::{count, slots_ahead};
///
/// let at = |text: &str| text.parse().unwrap();
/// let (from, until) = (at("2027-01-01T00:00:00Z"), at("2027-01-02T00:00:00Z"));
/// assert_eq!(slots_ahead([], from, until).count(), 0);
/// assert_eq!(count([], from, until), 0);
/// ```
pub fn slots_ahead<'a>(
    schedules: impl IntoIterator<Item = &'a Schedule>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> impl Iterator<Item = SlotAhead<'a>> {
    let next = move |schedule: &Schedule, after| schedule.timing.next_after(after).filter(|slot| *slot <= until);
    let schedules: Vec<&Schedule> = schedules.into_iter().collect();
    let first = schedules.iter().enumerate();
    let mut heap: BinaryHeap<_> =
        first.filter_map(|(place, schedule)| Some(Reverse((next(schedule, from)?, place)))).collect();
    std::iter::from_fn(move || {
        let Reverse((at, place)) = heap.pop()?;
        let schedule = schedules[place];
        heap.extend(next(schedule, at).map(|slot| Reverse((slot, place))));
        Some((at, place, schedule))
    })
    .flat_map(|(at, place, schedule)| {
        schedule.instances.as_slice().iter().map(move |instance| SlotAhead { at, schedule, place, instance })
    })
}

/// How many there are, without walking through them.
pub fn count<'a>(schedules: impl IntoIterator<Item = &'a Schedule>, from: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
    let of = |schedule: &Schedule| {
        schedule.timing.count(from, until).saturating_mul(schedule.instances.as_slice().len() as u64)
    };
    schedules.into_iter().map(of).fold(0, u64::saturating_add)
}
