//! The state of the daemon in one document: what `status`, `/status.json` and the status page show. Data only: the daemon fills
//! it from the history and from what the engine publishes.

use serde::{Deserialize, Serialize};

use super::{api::mode::Mode, health::Health};

/// The state of the daemon. Instants are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The process.
    pub daemon: Daemon,
    /// The verdict, and the problems that led to it.
    pub health: Health,
    /// How many lines of schedules in force have had no finished slot yet, and so have no image.
    #[serde(default)]
    pub no_image_yet: u64,
    /// Running bakes, the oldest slot first.
    pub running: Vec<Running>,
    /// Bakes in the queue that wait (for users to leave, for their instance, a builder, a quota, the cloud), the oldest slot
    /// first. They hold neither a builder nor the instance.
    #[serde(default)]
    pub waiting: Vec<Running>,
    /// How many bakes wait for their turn, those included.
    pub queued: u64,
    /// Bakes that should have started by now, the oldest slot first.
    #[serde(default)]
    pub late: Vec<Late>,
    /// Why nothing new starts; `None` while bakes may start.
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
    /// The image tasks, by name.
    #[serde(default)]
    pub image_tasks: Vec<ImageTask>,
    /// What ended in the last 24 hours.
    pub last_day: LastDay,
}

impl Status {
    /// Bakes that wait and are not late: text lists each once.
    pub fn waiting_in_time(&self) -> Vec<Running> {
        let is_late = |bake: &Running| self.late.iter().any(|late| late.id == bake.id);
        self.waiting.iter().filter(|bake| !is_late(bake)).cloned().collect()
    }
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
    /// Whether it changes the cloud.
    #[serde(default)]
    pub mode: Mode,
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

/// A running bake.
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
    /// When it is polled next.
    pub wake_at: Option<String>,
}

/// A bake that should have started by now.
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
    /// The message of the cloud.
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

/// What is known of an image task since the daemon started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageTask {
    /// `retention`, `channels`, `replicas` or `verify`.
    pub name: String,
    /// When the last run began.
    pub last_run: Option<String>,
    /// When the next is due; `None`: after the next change.
    pub next_run: Option<String>,
    /// The last error of a run, whether or not runs since were without one.
    pub last_error: Option<TaskError>,
}

/// An error that ended the run of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    /// When the run began.
    pub at: String,
    /// Which error.
    pub message: String,
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
    /// Cancelled by a person.
    #[serde(default)]
    pub cancelled: u64,
}

/// The bakes from the history, with the fields of [`Status`].
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
