//! The bakes of a [`Status`](crate::domain::status::Status): what runs, what waits, and what ended lately.

use chrono::{DateTime, TimeDelta, Utc};

use super::{BakeRow, Filter, Reader, StoreError, rfc3339};
use crate::domain::{
    bake::State,
    ids::ScheduleId,
    status::{Bakes, LastDay, Late, Running},
    time::rfc3339_seconds,
};

/// Maximum number of listed bakes of each kind: running, waiting, late.
pub const LISTED_BAKES: u32 = 200;
/// A bake that has waited longer than this is late.
const LATE: TimeDelta = TimeDelta::minutes(5);

impl Reader {
    /// What runs, what waits, and what ended in the last 24 hours: of one schedule, or of all.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn work(&self, now: DateTime<Utc>, of: Option<&ScheduleId>) -> Result<Bakes, StoreError> {
        let listed = async |states: &[&str], wanted: fn(&BakeRow, i64) -> bool| {
            let states = states.iter().map(|&state| state.to_owned()).collect();
            let filter =
                Filter { schedule: of.map(ToString::to_string), states, limit: LISTED_BAKES, ..Filter::default() };
            let rows = self.history(&filter).await?.into_iter();
            let mut bakes: Vec<_> = rows.filter(|row| wanted(row, now.timestamp_millis())).map(running).collect();
            bakes.reverse();
            Ok::<_, StoreError>(bakes)
        };
        let mut running = listed(&State::RUNNING_WORDS, |_, _| true).await?;
        self.add_durations(&mut running).await?;
        // Jitter is no wait; a bake that waits for a reason of its own has a version.
        let waiting = listed(&["queued"], |row, now| {
            row.reason.is_some() && (row.version.is_some() || row.wake_at.is_none_or(|wake_at| wake_at <= now))
        })
        .await?;
        let all = self.counts(of, DateTime::UNIX_EPOCH, &["queued"]).await?;
        let yesterday = now - TimeDelta::days(1);
        let vetoed = self.vetoed(of, yesterday).await?;
        let day = self.counts(of, yesterday, &["succeeded", "failed", "skipped", "cancelled"]).await?;
        let of = |state: &str| day.get(state).copied().unwrap_or_default();
        let last_day = LastDay {
            succeeded: of("succeeded").saturating_sub(vetoed),
            failed: of("failed"),
            skipped: of("skipped"),
            cancelled: of("cancelled"),
            vetoed,
        };
        Ok(Bakes { running, waiting, queued: all.get("queued").copied().unwrap_or_default(), last_day })
    }

    /// Since when the images of these bakes are made, and how long that usually takes.
    async fn add_durations(&self, running: &mut [Running]) -> Result<(), StoreError> {
        let images = if running.is_empty() { Vec::new() } else { self.images_in_progress().await? };
        if images.is_empty() {
            return Ok(());
        }
        let durations = self.durations_of(&images.iter().map(|image| image.line.clone()).collect::<Vec<_>>()).await?;
        for bake in running {
            let Some(image) = images.iter().find(|image| image.bake.0 == bake.id) else { continue };
            bake.begun_at = Some(rfc3339_seconds(image.begun_at));
            bake.usual_seconds = durations.of_line(&image.line).map(|usual| usual.as_secs());
        }
        Ok(())
    }

    /// Bakes that wait although their time has come, and for what: of one schedule, or of all.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn late(&self, now: DateTime<Utc>, of: Option<&ScheduleId>) -> Result<Vec<Late>, StoreError> {
        let long_ago = now - LATE;
        let filter = Filter {
            schedule: of.map(ToString::to_string),
            states: vec!["queued".to_owned()],
            until: Some(long_ago),
            limit: LISTED_BAKES,
            ..Filter::default()
        };
        let mut waiting = self.history(&filter).await?;
        // Jitter delays a bake of its slot.
        waiting.retain(|row| row.wake_at.is_none_or(|wake_at| wake_at <= long_ago.timestamp_millis()));
        waiting.reverse();
        let late = |row: BakeRow| Late {
            id: row.id,
            reason: row.reason.unwrap_or_else(|| "is queued".to_owned()),
            slot: rfc3339(row.slot),
            schedule: row.schedule,
            instance_id: row.instance_id,
        };
        Ok(waiting.into_iter().map(late).collect())
    }
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
        begun_at: None,
        usual_seconds: None,
    }
}
