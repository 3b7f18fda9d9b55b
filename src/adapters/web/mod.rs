//! How the daemon is: what `status` and the status page show. Built from the history and from what the engine publishes;
//! nobody has to interrupt the engine to ask.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::store::{BakeRow, Filter, Reader, StoreError, rfc3339};
use crate::domain::health::Health;

pub mod http;
mod listener;
mod page;

/// Everything at a glance. Instants are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The process.
    pub daemon: Daemon,
    /// The verdict, and the problems that led to it.
    pub health: Health,
    /// How many lines of schedules in force have had no finished slot yet, and so have no image.
    #[serde(default)]
    pub no_image_yet: u64,
    /// Bakes under way, the oldest slot first.
    pub running: Vec<Running>,
    /// Bakes that wait (for users to leave, for their instance, for the cloud), the oldest slot first. They hold neither a
    /// builder nor the instance.
    #[serde(default)]
    pub waiting: Vec<Running>,
    /// How many bakes wait for their turn, those included.
    pub queued: u64,
    /// Bakes that should have begun by now, the oldest slot first.
    #[serde(default)]
    pub late: Vec<Late>,
    /// Why nothing new is begun, if that is so.
    #[serde(default)]
    pub held: Option<Held>,
    /// Schedules that are paused, but not in the file.
    #[serde(default)]
    pub paused: Vec<Paused>,
    /// Names of those that are paused in the file.
    #[serde(default)]
    pub paused_in_file: Vec<String>,
    /// The next slots.
    pub next: Vec<Next>,
    /// What ended in the last 24 hours.
    pub last_day: LastDay,
}

/// The process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Since when it runs.
    pub started_at: String,
    /// The configuration in force.
    pub config_hash: String,
    /// The files it was read from.
    pub config_files: Vec<String>,
    /// How those files stand to what is in force.
    #[serde(default)]
    pub config_on_disk: OnDisk,
    /// How many schedules are in force.
    pub schedules: usize,
    /// Which source the credentials came from, once they were needed.
    pub credentials: Option<String>,
    /// Until when they hold, where they end.
    pub credentials_expire_at: Option<String>,
    /// The rules of the time zones; `None` from a daemon that does not report them.
    #[serde(default)]
    pub zones: Option<Zones>,
}

/// Which rules the time zones have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zones {
    /// The release of the IANA database, such as `2026f`.
    pub release: String,
    /// `built in`, or the directory of the host.
    pub source: String,
}

/// How the files of the configuration stand to what is in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDisk {
    /// They are what is in force.
    #[default]
    InForce,
    /// They were edited since, and not read again.
    Edited,
    /// They were read and have problems.
    Refused,
}

/// A bake under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The bake's number.
    pub id: i64,
    /// The schedule's name.
    pub schedule: String,
    /// The instance.
    pub instance_id: String,
    /// The slot.
    pub slot: String,
    /// The state.
    pub state: String,
    /// What it waits for.
    pub reason: Option<String>,
    /// The image's name.
    pub image_name: Option<String>,
    /// The image, once there is one.
    pub image_id: Option<String>,
    /// When the row was made.
    pub created_at: String,
    /// When it is looked at next.
    pub wake_at: Option<String>,
}

/// A bake that should have begun by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// The bake's number.
    pub id: i64,
    /// The schedule's name.
    pub schedule: String,
    /// The instance.
    pub instance_id: String,
    /// The slot.
    pub slot: String,
    /// What it waits for.
    pub reason: String,
}

/// Every schedule is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Since when.
    pub since: String,
    /// What the cloud says.
    pub reason: String,
}

/// A schedule that is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Its id.
    pub schedule: String,
    /// Since when.
    pub since: String,
    /// Until when; `None`: until it is resumed.
    pub until: Option<String>,
    /// Who paused it: a person, or the daemon.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// A slot to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// The schedule's name.
    pub schedule: String,
    /// The instance.
    pub instance_id: String,
    /// The slot in UTC.
    pub slot: String,
    /// The slot in the schedule's zone.
    pub local: String,
}

/// What ended in the last 24 hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDay {
    /// Good images.
    pub succeeded: u64,
    /// Failures.
    pub failed: u64,
    /// Skipped slots' rows.
    pub skipped: u64,
    /// Called off by a person.
    #[serde(default)]
    pub cancelled: u64,
}

/// How many running bakes are listed.
const LISTED: u32 = 200;
/// The states of a bake under way.
const UNDER_WAY: [&str; 8] =
    ["preparing", "stopping", "ready", "creating", "unknown", "building", "starting", "finishing"];

/// The bakes as the history knows them, with the fields of [`Status`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bakes {
    /// Under way.
    pub running: Vec<Running>,
    /// For something that is in their way.
    pub waiting: Vec<Running>,
    /// How many wait for their turn.
    pub queued: u64,
    /// What ended in the last 24 hours.
    pub last_day: LastDay,
}

/// What the history knows.
pub async fn from_history(reader: &Reader, now: DateTime<Utc>) -> Result<Bakes, StoreError> {
    let listed = async |states: &[&str], with_reason| {
        let states = states.iter().map(|&state| state.to_owned()).collect();
        let filter = Filter { states, with_reason, limit: LISTED, ..Filter::default() };
        let mut bakes: Vec<_> = reader.history(&filter).await?.into_iter().map(Running::from).collect();
        bakes.reverse();
        Ok::<_, StoreError>(bakes)
    };
    let running = listed(&UNDER_WAY, false).await?;
    // What waits in the queue for anything else has no word for it in its row.
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
    Ok(Bakes { running, waiting, queued: all.get("queued").copied().unwrap_or_default(), last_day })
}

/// A bake that has waited longer than this is late.
const LATE: TimeDelta = TimeDelta::minutes(5);

/// Bakes that wait although their time has come, and for what. `held` is why nothing new is begun.
pub async fn late(
    reader: &Reader,
    running: &[Running],
    builders: u32,
    held: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Vec<Late>, StoreError> {
    let long_ago = now - LATE;
    let filter =
        Filter { states: vec!["queued".to_owned()], until: Some(long_ago), limit: LISTED, ..Filter::default() };
    let mut waiting = reader.history(&filter).await?;
    // Jitter puts off a bake of its slot.
    waiting.retain(|row| row.wake_at.is_none_or(|wake_at| wake_at <= long_ago.timestamp_millis()));
    waiting.reverse();
    let full = running.len() >= builders as usize;
    let reason = |row: &BakeRow| match running.iter().find(|bake| bake.instance_id == row.instance_id) {
        _ if held.is_some() => held.unwrap_or_default().to_owned(),
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

impl From<BakeRow> for Running {
    fn from(row: BakeRow) -> Self {
        Self {
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
}
