//! Slots that are due while no daemon runs: they have no row yet, and stand in place of the next ones.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};

use crate::{
    adapters::store::StoredTarget,
    domain::{
        ids::ScheduleId,
        schedule::Schedule,
        status::ScheduleRow,
        time::{rfc3339_seconds, show},
    },
};

/// Shows the first slot of each schedule that is due and that no daemon has recorded.
pub(super) fn mark(
    rows: &mut [ScheduleRow],
    schedules: &[Arc<Schedule>],
    targets: &[StoredTarget],
    now: DateTime<Utc>,
) {
    let mut recorded: HashMap<&ScheduleId, DateTime<Utc>> = HashMap::new();
    for target in targets.iter().filter(|target| target.removed_at.is_none()) {
        let until = recorded.entry(&target.schedule_id).or_insert(target.processed_until);
        *until = (*until).min(target.processed_until);
    }
    let known: HashMap<&str, &Schedule> = schedules.iter().map(|one| (one.id.as_str(), &**one)).collect();
    // A paused schedule has no next slot.
    for row in rows.iter_mut().filter(|row| row.next.is_some()) {
        let Some(schedule) = known.get(row.id.as_str()) else { continue };
        let first = recorded.get(&schedule.id).and_then(|until| schedule.timing.next_after(*until));
        if let Some(due) = first.filter(|first| *first <= now) {
            row.next = Some(rfc3339_seconds(due));
            row.next_local = Some(show(due, schedule.timing.zone()));
            row.due = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule;

    #[test]
    fn a_slot_that_passed_while_no_daemon_ran_is_due_and_not_skipped() {
        let golden = Arc::new(schedule::example("golden", &["ecd-1"]));
        let recorded: DateTime<Utc> = "2026-11-26T03:00:00Z".parse().unwrap();
        let (first, second) = {
            let first = golden.timing.next_after(recorded).unwrap();
            (first, golden.timing.next_after(first).unwrap())
        };
        let target = StoredTarget {
            schedule_id: golden.id.clone(),
            instance_id: "ecd-1".into(),
            schedule: golden.name.clone(),
            line: "golden".into(),
            timing: String::new(),
            processed_until: recorded,
            known_since: recorded,
            removed_at: None,
        };
        let shown = |now: DateTime<Utc>, is_paused: bool| {
            let next = golden.timing.next_after(now).filter(|_| !is_paused);
            let mut rows = [ScheduleRow {
                id: golden.id.to_string(),
                next: next.map(rfc3339_seconds),
                ..super::super::schedules::row_for_tests("golden")
            }];
            mark(&mut rows, std::slice::from_ref(&golden), std::slice::from_ref(&target), now);
            let [row] = rows;
            (row.due, row.next)
        };
        let before = first - chrono::TimeDelta::seconds(1);
        assert_eq!(shown(before, false), (false, Some(rfc3339_seconds(first))));
        assert_eq!(shown(first, false), (true, Some(rfc3339_seconds(first))));
        assert_eq!(shown(second, false), (true, Some(rfc3339_seconds(first))), "the first of them");
        assert_eq!(shown(second, true), (false, None));
    }
}
