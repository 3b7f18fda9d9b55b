//! Spans of slots, and what rows that were written while the clock was ahead give up of them.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    adapters::store::RowAhead,
    domain::{
        calendar::Timing,
        catch_up::{GivenUp, give_up},
        ids::{InstanceId, ScheduleId},
    },
};

pub(super) type Key = (ScheduleId, InstanceId);

pub(super) fn by_target(rows: Vec<RowAhead>) -> HashMap<Key, Vec<RowAhead>> {
    let mut targets: HashMap<Key, Vec<RowAhead>> = HashMap::new();
    for row in rows {
        targets.entry((row.schedule_id.clone(), row.instance_id.clone())).or_default().push(row);
    }
    targets
}

/// A span of slots: those behind the first instant, up to and including the second.
pub(super) type SlotSpan = (DateTime<Utc>, DateTime<Utc>);

/// What is left of `spans`, in order, without slots from the first to the last of each of `own`, in order.
pub(super) fn around(spans: &[SlotSpan], own: &[SlotSpan]) -> Vec<SlotSpan> {
    let mut left = Vec::with_capacity(spans.len() + own.len());
    for &(mut after, until) in spans {
        for &(first, last) in own {
            let before = (first - TimeDelta::nanoseconds(1)).min(until);
            if after < before {
                left.push((after, before));
            }
            after = after.max(last);
        }
        if after < until {
            left.push((after, until));
        }
    }
    left
}

/// What these rows give up of the slots in (`after`, `until`], and which spans that makes.
pub(super) fn give_up_rows(
    timing: &Timing,
    rows: &[RowAhead],
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> (Vec<SlotSpan>, Vec<(RowAhead, GivenUp)>) {
    rows.iter()
        .filter_map(|row| {
            let gives_up = give_up(timing, row.slots, after, until)?;
            let span = (gives_up.slots.first - TimeDelta::nanoseconds(1), gives_up.slots.last);
            Some((span, (row.clone(), gives_up)))
        })
        .unzip()
}
