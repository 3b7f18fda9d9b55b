//! The instants at which a wall clock shows a time: there are none in a gap, and two where an hour is repeated.

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone as _, Utc};

use super::zone::Zone;

/// First instant at which the clock of `zone` shows `wall`, or the first one after a gap.
pub fn first_at(wall: NaiveDateTime, zone: Zone) -> DateTime<Utc> {
    zone.from_local_datetime(&wall).earliest().map_or_else(|| after_gap(wall, zone), |at| at.to_utc())
}

/// First instant at which the clock of `zone` shows `wall` or later; `wall` lies in a gap.
pub fn after_gap(wall: NaiveDateTime, zone: Zone) -> DateTime<Utc> {
    // No zone is a full day from UTC, and none skips more than a day.
    let (mut before, mut after) = (wall.and_utc() - TimeDelta::days(2), wall.and_utc() + TimeDelta::days(2));
    while after - before > TimeDelta::seconds(1) {
        let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
        if middle.with_timezone(&zone).naive_local() < wall {
            before = middle;
        } else {
            after = middle;
        }
    }
    // `wall` may have fractions of a second, clock changes have none.
    DateTime::from_timestamp(after.timestamp(), 0).unwrap_or(after)
}
