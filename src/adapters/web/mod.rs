//! The status page, and the part of a [`Status`](crate::domain::status::Status) that comes from the history.

use chrono::{DateTime, TimeDelta, Utc};

use super::store::{BakeRow, Filter, Reader, StoreError, rfc3339};
use crate::domain::status::{Bakes, LastDay, Late, Running};

pub mod http;
mod listener;
mod page;

/// Maximum number of listed running bakes.
const LISTED: u32 = 200;
/// The states of a running bake.
const RUNNING_STATES: [&str; 8] =
    ["preparing", "stopping", "ready", "creating", "unknown", "building", "starting", "finishing"];

/// Reads the bakes of a status from the history.
///
/// # Errors
///
/// `StoreError` if the query fails.
pub async fn from_history(reader: &Reader, now: DateTime<Utc>) -> Result<Bakes, StoreError> {
    let listed = async |states: &[&str], with_reason| {
        let states = states.iter().map(|&state| state.to_owned()).collect();
        let filter = Filter { states, with_reason, limit: LISTED, ..Filter::default() };
        let mut bakes: Vec<_> = reader.history(&filter).await?.into_iter().map(running).collect();
        bakes.reverse();
        Ok::<_, StoreError>(bakes)
    };
    let running_bakes = listed(&RUNNING_STATES, false).await?;
    // Other queued bakes have no wait reason in their row.
    let waiting = listed(&["queued"], true).await?;
    let all = reader.counts(DateTime::UNIX_EPOCH, &["queued"]).await?;
    let day = reader.counts(now - TimeDelta::days(1), &["succeeded", "failed", "skipped", "cancelled"]).await?;
    let of = |state: &str| day.get(state).copied().unwrap_or_default();
    let last_day = LastDay {
        succeeded: of("succeeded"),
        failed: of("failed"),
        skipped: of("skipped"),
        cancelled: of("cancelled"),
    };
    Ok(Bakes { running: running_bakes, waiting, queued: all.get("queued").copied().unwrap_or_default(), last_day })
}

/// A bake that has waited longer than this is late.
const LATE: TimeDelta = TimeDelta::minutes(5);

/// Bakes that are late, with their wait reason. `wait_reason` is the reason why no bake starts.
///
/// # Errors
///
/// `StoreError` if the query fails.
pub async fn late(
    reader: &Reader,
    running: &[Running],
    builders: u32,
    wait_reason: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Vec<Late>, StoreError> {
    let long_ago = now - LATE;
    let filter =
        Filter { states: vec!["queued".to_owned()], until: Some(long_ago), limit: LISTED, ..Filter::default() };
    let mut waiting = reader.history(&filter).await?;
    // Jitter delays a bake of its slot.
    waiting.retain(|row| row.wake_at.is_none_or(|wake_at| wake_at <= long_ago.timestamp_millis()));
    waiting.reverse();
    let full = running.len() >= builders as usize;
    let reason = |row: &BakeRow| match running.iter().find(|bake| bake.instance_id == row.instance_id) {
        _ if wait_reason.is_some() => wait_reason.unwrap_or_default().to_owned(),
        Some(bake) => format!("bake {} of {} is at work on its instance", bake.id, bake.schedule),
        None if full => format!("all {builders} builders are at work"),
        None => "an earlier bake of its instance, or a builder in its region".to_owned(),
    };
    let late = |row: BakeRow| Late {
        id: row.id,
        reason: reason(&row),
        slot: rfc3339(row.slot),
        schedule: row.schedule,
        instance_id: row.instance_id,
    };
    Ok(waiting.into_iter().map(late).collect())
}

fn running(row: BakeRow) -> Running {
    Running {
        id: row.id,
        slot: rfc3339(row.slot),
        schedule: row.schedule,
        instance_id: row.instance_id,
        state: row.state,
        reason: row.reason,
        image_name: row.image_name,
        image_id: row.image_id,
        created_at: rfc3339(row.created_at),
        wake_at: row.wake_at.map(rfc3339),
    }
}
