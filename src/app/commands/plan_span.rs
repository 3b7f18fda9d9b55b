//! The time that a plan is asked for.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    app::cli::PlanArgs,
    domain::{
        calendar::zone::Zone,
        clock::shifted,
        time::{AskedTime, Edge, Facing},
    },
};

/// Days of a plan of no time.
const DAYS: i64 = 7;

/// The first instant, exclusive, and the last one, inclusive.
pub(super) fn wanted(
    args: &PlanArgs,
    when: Option<AskedTime>,
    zone: Zone,
    now: DateTime<Utc>,
) -> (DateTime<Utc>, DateTime<Utc>) {
    let before = |at| shifted(at, -TimeDelta::milliseconds(1));
    if let Some(when) = when {
        let (first, after) = when.span(zone, now, Facing::Future);
        return (before(first), before(after));
    }
    let from = args.from.map_or(now, |from| from.instant(zone, now, Facing::Future, Edge::Start));
    let until = args.until.map(|until| until.instant(zone, now, Facing::Future, Edge::End));
    (from, until.unwrap_or_else(|| shifted(from, TimeDelta::days(DAYS))))
}
