//! The state of the daemon in one document, for `status`, `/status.json` and the status page. Data only: the daemon
//! fills it from the history and from the engine's status.
//!
//! ```
//! use imagebaked::domain::status::OnDisk;
//!
//! assert_eq!(OnDisk::default(), OnDisk::InForce);
//! ```

mod only;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    api::mode::Mode,
    bake::queue::as_of,
    calendar::zone::Zone,
    clock::show::{rfc3339_seconds, show_length},
    health::{Health, ProblemCode, Severity},
    pause::Pause,
};

/// The state of the daemon. Instants are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The process.
    pub daemon: Daemon,
    /// The verdict and its problems.
    pub health: Health,
    /// Lines of schedules in force without a finished slot, and so without an image.
    #[serde(default)]
    pub no_image_yet: u64,
    /// Running bakes, the oldest slot first.
    pub running: Vec<Running>,
    /// Bakes in the queue that wait (for users to leave, for their instance, a builder, a quota, the cloud), the oldest slot
    /// first. They hold neither a builder nor the instance.
    #[serde(default)]
    pub waiting: Vec<Running>,
    /// Number of queued bakes, including the waiting ones.
    pub queued: u64,
    /// Bakes that should have started, the oldest slot first.
    #[serde(default)]
    pub late: Vec<Late>,
    /// Why no bake starts; `None` while bakes may start.
    #[serde(default)]
    pub suspended: Option<SuspendedSince>,
    /// Paused schedules, except those paused in the configuration.
    #[serde(default)]
    pub paused: Vec<Paused>,
    /// Names of schedules paused in the configuration.
    #[serde(default)]
    pub paused_in_file: Vec<String>,
    /// The next slots.
    pub next: Vec<Next>,
    /// A row per schedule, in the order of [`schedule_rows`](super::schedule_rows). Not more than were asked for;
    /// `daemon.schedules` is how many there are.
    #[serde(default)]
    pub schedules: Vec<ScheduleRow>,
    /// The image tasks, by name.
    #[serde(default)]
    pub image_tasks: Vec<ImageTask>,
    /// The jobs of the housekeeping, by name.
    #[serde(default)]
    pub housekeeping: Vec<HousekeepingJob>,
    /// The scheduled backups; `None` without `[daemon] backup`.
    #[serde(default)]
    pub backup: Option<Backups>,
    /// Bakes that ended in the last 24 hours.
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
    /// Start of the process.
    pub started_at: String,
    /// The configuration in force.
    pub config_hash: String,
    /// Its files.
    pub config_files: Vec<String>,
    /// State of these files.
    #[serde(default)]
    pub config_on_disk: OnDisk,
    /// Whether it changes the cloud.
    #[serde(default)]
    pub mode: Mode,
    /// Number of schedules in force.
    pub schedules: usize,
    /// The folder of the history in use.
    #[serde(default)]
    pub state_dir: String,
    /// Keys whose new values apply only at the next start, such as `daemon.listen`.
    #[serde(default)]
    pub restart_required: Vec<String>,
    /// Source of the credentials, once they were needed.
    pub credentials: Option<String>,
    /// Id of the key in use, masked.
    #[serde(default)]
    pub credentials_key_id: Option<String>,
    /// The session of the role that they are of, if the source reports it.
    #[serde(default)]
    pub credentials_identity: Option<String>,
    /// When the cloud last accepted a call that they signed.
    #[serde(default)]
    pub credentials_accepted_at: Option<String>,
    /// Expiry of the credentials, if they expire.
    pub credentials_expire_at: Option<String>,
    /// Time zone rules; `None` from a daemon that does not report them.
    #[serde(default)]
    pub zones: Option<Zones>,
    /// The zone of times that belong to no schedule: that of most schedules.
    #[serde(default)]
    pub zone: String,
}

impl Daemon {
    /// The zone of times that belong to no schedule.
    pub fn zone(&self) -> Zone {
        Zone::find(&self.zone).unwrap_or(Zone::UTC)
    }
}

/// Source of the time zone rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zones {
    /// The release of the IANA database, such as `2026f`.
    pub release: String,
    /// `built in`, or the directory of the host.
    pub source: String,
}

/// State of the files of the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDisk {
    /// The files are the configuration in force.
    #[default]
    InForce,
    /// The files were edited and not read again.
    Edited,
    /// The files were read and have problems.
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
    /// When the row was created.
    pub created_at: String,
    /// When it is polled next.
    pub wake_at: Option<String>,
    /// While the cloud makes its image: the first call that stopped the instance or was to make the image.
    #[serde(default)]
    pub begun_at: Option<String>,
    /// How long the last bakes of its line took from there, in the middle.
    #[serde(default)]
    pub usual_seconds: Option<u64>,
}

impl Running {
    /// Words the reason for this instant; `is_called`: whether calls that are due are made.
    pub fn reason_as_of(&mut self, now: DateTime<Utc>, is_called: bool) {
        self.reason = self.reason.take().map(|reason| as_of(&reason, now, is_called).into_owned());
    }

    /// The state, and while the image is made for how long and how long the last ones took: `building for 42m, usually 38m`.
    pub fn progress(&self, now: DateTime<Utc>) -> String {
        let begun: Option<DateTime<Utc>> = self.begun_at.as_ref().and_then(|at| at.parse().ok());
        let Some(lasted) = begun.and_then(|begun| (now - begun).to_std().ok()) else { return self.state.clone() };
        // To the minute from two minutes on.
        let length =
            |seconds: u64| show_length(Duration::from_secs(if seconds < 120 { seconds } else { seconds / 60 * 60 }));
        let usual = self.usual_seconds.map(|seconds| format!(", usually {}", length(seconds)));
        format!("{} for {}{}", self.state, length(lasted.as_secs()), usual.unwrap_or_default())
    }
}

/// A bake that should have started.
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

/// All schedules are suspended: the cloud rejects the credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspendedSince {
    /// Start of the suspension.
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
    /// End; `None`: until it is resumed.
    pub until: Option<String>,
    /// Who paused it: a person, or the daemon.
    pub who: String,
    /// The reason.
    pub reason: String,
}

impl From<&Pause> for Paused {
    fn from(pause: &Pause) -> Self {
        Self {
            schedule: pause.schedule_id.to_string(),
            since: rfc3339_seconds(pause.since),
            until: pause.until.map(rfc3339_seconds),
            who: pause.who.clone(),
            reason: pause.reason.clone(),
        }
    }
}

/// A future slot.
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

/// A schedule in one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// Its name.
    pub schedule: String,
    /// Its stable id.
    pub id: String,
    /// The highest severity of the problems that concern it; acknowledged ones do not count.
    pub severity: Option<Severity>,
    /// Codes of these problems: about itself, its lines, bakes, images and instances first, then about all schedules, which do
    /// not concern a paused one.
    #[serde(default)]
    pub problems: Vec<ProblemCode>,
    /// What a person sees first of it.
    #[serde(default)]
    pub mark: RowMark,
    /// Its last results, the oldest first; one per slot, the worst of all instances.
    pub results: Vec<SlotResult>,
    /// Number of its lines.
    pub lines: usize,
    /// Number of its lines that have a good image.
    pub lines_with_image: usize,
    /// Number of its lines of which no slot has ended, and which have no image yet.
    #[serde(default)]
    pub no_image_yet: usize,
    /// The newest good image; of several lines, the oldest of their newest ones.
    pub image: Option<GoodImage>,
    /// Its next slot in UTC; `None` while it is paused.
    pub next: Option<String>,
    /// The same in its zone.
    pub next_local: Option<String>,
    /// Whether that slot is due, and no daemon has recorded it.
    #[serde(default)]
    pub due: bool,
    /// What its first open bake waits for, or until when it is paused.
    pub waits_for: Option<String>,
    /// How it is paused, whatever its open bake does.
    #[serde(default)]
    pub paused: Option<String>,
}

/// What a person sees first of a schedule, on the page and in a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowMark {
    /// A line has lost its slots or its images, and has no good one.
    NoGoodImage,
    /// A problem concerns it.
    Problem,
    /// A warning concerns it.
    Warning,
    /// It is paused.
    Paused,
    /// A line has lost its slots or its images, and a person has acknowledged what was found.
    Acknowledged,
    /// A line has no image yet, because no slot of it has ended.
    NoImageYet,
    /// Nothing of these.
    #[default]
    Good,
}

/// What a slot came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotResult {
    /// The bake's number.
    pub bake: i64,
    /// The slot.
    pub slot: String,
    /// The bake's state; `vetoed` for one that succeeded and whose image is vetoed.
    pub state: String,
    /// Reason code of an end without a good image.
    pub reason_code: Option<String>,
}

/// A good image of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoodImage {
    /// The line.
    pub line: String,
    /// The image.
    pub image_id: String,
    /// Its name.
    pub image_name: String,
    /// Its version.
    pub version: i64,
    /// Since when it has been good.
    pub since: String,
}

/// Runs of an image task since the start of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageTask {
    /// `channels`, `replicas` or `verify`.
    pub name: String,
    /// Start of the last run.
    pub last_run: Option<String>,
    /// Next run; `None`: after the next change.
    pub next_run: Option<String>,
    /// Last error of a run; later runs may have succeeded.
    pub last_error: Option<TaskError>,
}

/// An error that ended the run of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    /// Start of the run.
    pub at: String,
    /// Error and its causes.
    pub message: String,
}

/// Runs of a job of the housekeeping since the start of the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HousekeepingJob {
    /// `heartbeat`, `retention`, `history_upkeep`, `old_events` or `backup`.
    pub name: String,
    /// Beginning of a run that has not ended.
    pub running_since: Option<String>,
    /// Beginning of the last ended run.
    pub last_run: Option<String>,
    /// Duration of that run.
    pub last_run_seconds: Option<f64>,
    /// When it is due; `None` for the heartbeat.
    pub next_run: Option<String>,
    /// Last error of a run; later runs may have succeeded.
    pub last_error: Option<TaskError>,
}

impl HousekeepingJob {
    /// The error of the last run, if that failed.
    pub fn standing_error(&self) -> Option<&TaskError> {
        self.last_error.as_ref().filter(|error| Some(&error.at) == self.last_run.as_ref())
    }
}

/// Scheduled backups of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backups {
    /// Their folder.
    pub dir: String,
    /// The newest good one.
    pub last_good: Option<GoodBackup>,
    /// The failed runs after it.
    pub failing: Option<FailingBackups>,
}

/// A complete and verified backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoodBackup {
    /// Its path.
    pub file: String,
    /// The instant of the history in it.
    pub at: String,
    /// Its age.
    pub age_seconds: u64,
    /// Its size.
    pub bytes: u64,
}

/// Backups that fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingBackups {
    /// Beginning of the first failed run.
    pub since: String,
    /// Error of the last one.
    pub reason: String,
}

/// Bakes that ended in the last 24 hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDay {
    /// Images that are not vetoed.
    pub succeeded: u64,
    /// Failures.
    pub failed: u64,
    /// Skipped slots' rows.
    pub skipped: u64,
    /// Cancelled by a person.
    #[serde(default)]
    pub cancelled: u64,
    /// Images that are vetoed, by a failed check or a person.
    #[serde(default)]
    pub vetoed: u64,
}

/// Bakes from the history, with the fields of [`Status`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bakes {
    /// Running.
    pub running: Vec<Running>,
    /// Waiting.
    pub waiting: Vec<Running>,
    /// Number of queued bakes.
    pub queued: u64,
    /// What ended in the last 24 hours.
    pub last_day: LastDay,
}
