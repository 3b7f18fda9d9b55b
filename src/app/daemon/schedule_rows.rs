//! Reads what the rows of schedules are made of, for the status and the page.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};

use crate::{
    adapters::store::{Reader, StoreError},
    domain::{
        ids::{LineId, ScheduleId},
        schedule::Schedule,
        schedule_rows::{
            RowFacts, SlotRow,
            open::Circumstances,
            order::{Entry, order},
            rows,
            strip::SLOTS,
        },
        status::ScheduleRow,
    },
};

/// Number of rows where not all are asked for.
pub const ROWS: usize = 20;
/// Maximum number of read rows of a schedule with many instances.
const MOST_READ: usize = 2_000;

/// The rows of these schedules for the status: all, or the first of those that matter most. With the order of all.
///
/// # Errors
///
/// `StoreError` if the history cannot be read.
pub async fn schedule_rows(
    reader: &Reader,
    schedules: &[Arc<Schedule>],
    about: Circumstances<'_>,
    all: bool,
    now: DateTime<Utc>,
) -> Result<(Vec<ScheduleRow>, Vec<Entry>), StoreError> {
    let lines: Vec<LineId> = schedules.iter().flat_map(|schedule| schedule.lines()).collect();
    let order = order(schedules, about, &reader.lines_without_image(&lines).await?);
    let shown = &order[..if all { order.len() } else { order.len().min(ROWS) }];
    let facts = read_facts(reader, shown.iter().map(|entry| &*entry.schedule)).await?;
    let rows = rows(shown, &facts, about, now).iter().map(ScheduleRow::from).collect();
    Ok((rows, order))
}

/// What the history has of these schedules.
pub(super) async fn read_facts<'a>(
    reader: &Reader,
    schedules: impl Iterator<Item = &'a Schedule> + Clone,
) -> Result<RowFacts, StoreError> {
    let mut slots: HashMap<ScheduleId, Vec<SlotRow>> = HashMap::new();
    // One of many instances must not make all others read as many rows.
    let mut by_instances: HashMap<usize, Vec<&ScheduleId>> = HashMap::new();
    for schedule in schedules.clone() {
        by_instances.entry(schedule.instances.as_slice().len()).or_default().push(&schedule.id);
    }
    for (instances, ids) in by_instances {
        let most = instances.saturating_mul(SLOTS).min(MOST_READ);
        slots.extend(reader.newest_rows(&ids, u32::try_from(most).unwrap_or(u32::MAX)).await?);
    }
    let lines: Vec<LineId> = schedules.flat_map(Schedule::lines).collect();
    Ok(RowFacts { slots, images: reader.newest_good_images(&lines).await? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapters::store::Store,
        domain::{health::Health, schedule},
    };

    #[tokio::test]
    async fn the_rest_is_cut_off_unless_all_are_wanted() {
        let schedules: Vec<_> =
            (0..30).map(|n| Arc::new(schedule::example(&format!("s{n}"), &[&format!("ecd-{n}")]))).collect();
        let health = Health::default();
        let about = Circumstances { health: &health, running: &[], waiting: &[], late: &[], paused: &[], next: &[] };
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let now = "2027-03-01T00:00:00Z".parse().unwrap();
        for (all, count) in [(false, ROWS), (true, 30)] {
            let (rows, order) = schedule_rows(store.reader(), &schedules, about, all, now).await.unwrap();
            assert_eq!((order.len(), order[0].without_image), (30, 1));
            assert_eq!((rows.len(), rows[0].schedule.as_str(), rows[0].lines_with_image), (count, "s0", 0));
        }
    }
}
