//! Protocol between commands and the daemon over its Unix socket: one line of JSON for a request, one for its reply.
//!
//! Every message has the versions of protocol and program, so that a client and a daemon of different versions get a
//! clear error. Sizes are bounded on both sides.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use crate::domain::{
    api::{credential_review::CredentialReview, mode::Mode},
    health::ProblemCode,
    ids::{BakeId, ImageId, InstanceId},
    image::{
        change::Change,
        passes::NextPass,
        reconcile::{Difference, FailedImage},
        report::{Adopted, RetentionReport},
    },
    plan::diff::Diff,
    status::{OnDisk, Status},
};

pub mod client;
pub mod liveness;
pub mod who;

/// Incremented when a change would make an older side misread a message.
pub const PROTOCOL: u32 = 1;
/// Maximum size of a request.
pub const MAX_REQUEST: u64 = 1 << 20;
/// Maximum size of a reply: a report on a hundred thousand images is smaller.
pub const MAX_ANSWER: u64 = 64 << 20;
/// Maximum number of bakes of one `Follow`: a row takes a few KiB of memory on its way.
pub const MOST_FOLLOWED: usize = 1000;
/// Maximum number of images of one `Adopt` by id: each is a call of the cloud.
pub const MOST_ADOPTED: usize = 1000;
/// Maximum number of schedules, and of instances, that one `Bake` names.
pub const MOST_NAMED: usize = 10_000;
/// Advice for different versions.
pub const OUTDATED: &str = "after an upgrade, restart the daemon (systemctl restart imagebaked)";

/// Name of the link to the control socket in the state directory.
pub const SOCKET_LINK: &str = "control.link";

/// A path by which two processes compare a file; as it is if the file is not there.
pub fn canonical(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// A message with the version of its sender.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// [`PROTOCOL`] of the sender.
    pub protocol: u32,
    /// The sender's version.
    pub version: String,
    /// The message.
    pub body: T,
}

/// A request to the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Report the status.
    Status {
        /// With the rows of all schedules.
        #[serde(default)]
        all: bool,
    },
    /// Report the status of one schedule.
    StatusOf {
        /// Its name or id.
        schedule: String,
    },
    /// Report which daemon this is.
    Locate,
    /// Report when the next retention pass comes.
    NextPass,
    /// Report the configuration in force.
    Config,
    /// Bake schedules now.
    Bake(BakeSelection),
    /// Reply when one of these bakes may have changed, or after a few seconds.
    Follow {
        /// The bakes, at most [`MOST_FOLLOWED`].
        bakes: Vec<BakeId>,
        /// Change counter of the last reply.
        seen: u64,
    },
    /// Reload the configuration.
    Reload,
    /// Compare the history with the cloud.
    Reconcile {
        /// Whether to apply the result.
        apply: bool,
    },
    /// Repeat a bake.
    Retry {
        /// Number of the bake.
        bake: BakeId,
    },
    /// Repeat the failed copies of a bake's image.
    RetryCopies {
        /// Which bake.
        bake: BakeId,
    },
    /// Point a channel to an image.
    Promote {
        /// The image.
        image: ImageId,
        /// The channel.
        channel: String,
        /// Whether an image that has not passed its check is accepted.
        force: bool,
        /// Why.
        reason: String,
    },
    /// Point a channel to its former image, and veto the one it leaves.
    Rollback {
        /// Name or id of the schedule.
        schedule: String,
        /// The instance, if the schedule has several.
        instance: Option<InstanceId>,
        /// The channel.
        channel: String,
        /// Why.
        reason: String,
    },
    /// Veto an image.
    Veto {
        /// Which.
        image: ImageId,
        /// Why.
        reason: String,
    },
    /// Remove the veto of an image.
    Unveto {
        /// Which.
        image: ImageId,
    },
    /// Cancel a bake.
    Cancel {
        /// Which.
        bake: BakeId,
    },
    /// Pause a schedule.
    Pause {
        /// Name or id.
        schedule: String,
        /// Until when; `None`: until it is resumed.
        until: Option<DateTime<Utc>>,
        /// Why.
        reason: String,
    },
    /// Resume a schedule.
    Resume {
        /// Name or id.
        schedule: String,
    },
    /// Scan the images, and delete those that no rule keeps.
    Prune {
        /// Report what would be done, and do nothing.
        dry_run: bool,
        /// Also retry deletions that the cloud rejected.
        again: bool,
        /// Also delete images that need a confirmation.
        #[serde(default)]
        confirm: bool,
        /// Also delete images of lines whose newest image failed.
        #[serde(default)]
        despite_failed_bake: bool,
    },
    /// Pin an image.
    Pin {
        /// Which.
        image: ImageId,
        /// Until when; `None`: until it is unpinned.
        until: Option<DateTime<Utc>>,
        /// Why.
        reason: String,
    },
    /// Unpin an image.
    Unpin {
        /// Which.
        image: ImageId,
    },
    /// Unmark an image, and pin it.
    Undelete {
        /// Which.
        image: ImageId,
    },
    /// Acknowledge a standing problem.
    Acknowledge {
        /// Its code.
        code: ProblemCode,
        /// Its subject; may be omitted if there is only one problem of the code.
        subject: Option<String>,
        /// Until when; `None`: until it ends.
        until: Option<DateTime<Utc>>,
        /// Why.
        reason: String,
    },
    /// End the acknowledgement of a problem.
    Unacknowledge {
        /// Its code.
        code: ProblemCode,
        /// Its subject; may be omitted if there is only one problem of the code.
        subject: Option<String>,
    },
    /// Adopt images for a line.
    Adopt {
        /// Name or id of the schedule.
        schedule: String,
        /// The instance, if the schedule has several.
        instance: Option<InstanceId>,
        /// Selection of the images.
        wanted: Wanted,
        /// Report the result without a change.
        dry_run: bool,
    },
}

/// Selection of schedules and instances to bake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BakeSelection {
    /// Names or ids of schedules; none: those that have the instances.
    pub schedules: Vec<String>,
    /// Only these instances; none: all of the schedules.
    pub instances: Vec<InstanceId>,
    /// Every schedule.
    pub all: bool,
}

/// Selection of images to adopt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// By id, at most [`MOST_ADOPTED`].
    Images(Vec<ImageId>),
    /// All whose name is this; a `*` matches any text.
    Name(String),
    /// By tag.
    Tag(String, String),
}

impl Request {
    /// Whether it changes nothing: then it is irrelevant whether it arrived.
    pub fn only_asks(&self) -> bool {
        matches!(
            self,
            Self::Status { .. }
                | Self::StatusOf { .. }
                | Self::Locate
                | Self::NextPass
                | Self::Config
                | Self::Follow { .. }
                | Self::Reconcile { apply: false }
                | Self::Prune { dry_run: true, .. }
                | Self::Adopt { dry_run: true, .. }
        )
    }

    /// The command that shows whether a request without an answer was carried out.
    pub fn shown_by(&self) -> &'static str {
        match self {
            Self::Bake(_) | Self::Retry { .. } | Self::Cancel { .. } => "imagebaked history",
            _ => "imagebaked audit",
        }
    }

    /// Until when it holds, if it says so.
    pub fn until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Pause { until, .. } | Self::Pin { until, .. } | Self::Acknowledge { until, .. } => *until,
            _ => None,
        }
    }

    /// Timeout of the reply; `Follow` is answered within half of it. Listing all images of an account, page by page, takes
    /// its time.
    fn time_limit(&self) -> Duration {
        match self {
            Self::Reconcile { .. } | Self::Prune { .. } | Self::Adopt { .. } => Duration::from_mins(10),
            // They wait for a running pass.
            Self::Pin { .. } | Self::Undelete { .. } => Duration::from_mins(2),
            Self::NextPass | Self::Config => Duration::from_secs(5),
            _ => Duration::from_secs(20),
        }
    }

    /// How long the daemon may do nothing at all before its answer until it counts as hung: the engine ticks every second, also
    /// while a request waits for the cloud.
    fn idle_limit(&self) -> Duration {
        match self {
            // They are answered without a wait.
            Self::Status { .. } | Self::StatusOf { .. } | Self::Locate | Self::NextPass | Self::Config => {
                Duration::from_secs(1)
            }
            _ => Duration::from_secs(5),
        }
    }
}

/// Why a daemon that answers makes no progress with any bake, or with slots that are due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standstill {
    /// Its begin, if it is known.
    #[serde(default)]
    pub since: Option<DateTime<Utc>>,
    /// In a few words.
    pub why: String,
    /// The command that helps, or shows more.
    pub command: String,
}

/// Reply of the daemon.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Reply {
    /// To `Status` and `StatusOf`.
    Status(Box<Status>),
    /// To `Locate`: what the daemon was started with.
    Located {
        /// Its configuration.
        config_path: PathBuf,
        /// Its control socket.
        control_socket: PathBuf,
        /// The folder of its history.
        state_dir: PathBuf,
        /// Why no bake of the history makes progress, though the daemon answers.
        #[serde(default)]
        standstill: Option<Box<Standstill>>,
        /// Why due slots get no rows, though bakes proceed.
        #[serde(default)]
        slots_held: Option<Box<Standstill>>,
        /// Whether the files are the configuration in force.
        #[serde(default)]
        on_disk: OnDisk,
        /// Whether it changes the cloud.
        #[serde(default)]
        mode: Mode,
    },
    /// To `NextPass`.
    NextPass {
        /// The pass.
        next_pass: NextPass,
    },
    /// To `Config`: the configuration in force, as a document of its own.
    Config {
        /// The document.
        document: serde_json::Value,
    },
    /// To `Bake`.
    Bakes {
        /// One bake number per instance.
        bakes: Vec<BakeId>,
    },
    /// To `Follow`: the bakes as JSON rows of the history.
    Rows {
        /// The rows.
        rows: Vec<serde_json::Value>,
        /// Change counter of the rows.
        changes: u64,
    },
    /// To `Reload`.
    Reloaded {
        /// Fingerprint of the configuration in force.
        config_hash: String,
        /// Number of schedules.
        schedules: usize,
        /// Warnings of the new configuration, rendered.
        warnings: String,
        /// The changes; long lists are shortened.
        #[serde(default)]
        diff: Box<Diff>,
        /// Their effect on the images; long lists are shortened.
        #[serde(default)]
        images: Box<Change>,
        /// What became of the credentials, which are read again, too.
        #[serde(default)]
        credentials: Option<Box<CredentialReview>>,
    },
    /// To `Reconcile`.
    Reconciled {
        /// Differences before the update.
        differences: Vec<Difference>,
        /// CREATE_FAILED images of this owner.
        #[serde(default)]
        failed: Vec<FailedImage>,
    },
    /// To `Prune`: the report; `None` if no line has rules.
    Pruned {
        /// All images that were judged.
        report: Option<RetentionReport>,
    },
    /// To `Adopt`.
    Adopted {
        /// Result for each image.
        images: Vec<Adopted>,
    },
    /// To `Cancel`, `Pause`, `Resume`, `Pin`, `Unpin` and `Undelete`.
    Done,
    /// Success.
    CommandOutput {
        /// The result, in sentences.
        sentences: Vec<String>,
    },
    /// The daemon is stopping; nothing was done.
    Stopping,
    /// The request was accepted, and the daemon ended before its result.
    Unconfirmed {
        /// In words.
        message: String,
    },
    /// Not found.
    NotFound {
        /// In words.
        message: String,
    },
    /// The configuration has problems and was not applied.
    BadConfig {
        /// The problems, rendered.
        problems: String,
    },
    /// Failure.
    Failed {
        /// In words.
        message: String,
    },
    /// The other side has another protocol.
    OtherProtocol,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No daemon listens.
    #[error("the daemon is not reachable at {}; is it running? (systemctl status imagebaked)", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Permission denied.
    #[error("you may not connect to the daemon at {}; that takes membership of the socket's group", socket.display())]
    Forbidden {
        /// The socket.
        socket: PathBuf,
    },
    /// No response.
    #[error("the daemon at {} {}", socket.display(), silence.label())]
    Silent {
        /// The socket.
        socket: PathBuf,
        /// Why.
        silence: liveness::Silence,
    },
    /// The answer began and does not end.
    #[error(
        "the answer at {} began and was not whole within {} s; what listens there is no daemon, or is overloaded",
        socket.display(), limit.as_secs()
    )]
    Slow {
        /// The socket.
        socket: PathBuf,
        /// The time.
        limit: Duration,
    },
    /// The connection broke.
    #[error("the connection to the daemon broke")]
    Broken(#[source] io::Error),
    /// Versions differ.
    #[error(
        "the daemon is of version {theirs}, this command of version {ours}, and they do not understand each other: {OUTDATED}"
    )]
    OtherVersion {
        /// The daemon's.
        theirs: String,
        /// Ours.
        ours: &'static str,
    },
    /// Not a message.
    #[error("a message could not be read")]
    Garbled(#[source] serde_json::Error),
    /// Too long.
    #[error("a message was longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: u64,
    },
}

impl ControlError {
    /// Why no daemon is at work, in a few words; `None` where this error does not show that.
    pub fn absence(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => Some("none answers".to_owned()),
            Self::Silent { silence, .. } => Some(silence.brief()),
            _ => None,
        }
    }

    /// The command that helps, or shows more.
    pub fn command(&self) -> String {
        match self {
            Self::Silent { silence, .. } => silence.command(),
            _ => liveness::SERVICE.to_owned(),
        }
    }
}

/// Sends one message.
///
/// # Errors
///
/// `ControlError` if the message is too large or the connection breaks.
pub async fn write<T: Serialize>(stream: &mut (impl AsyncWrite + Unpin), body: T) -> Result<(), ControlError> {
    let envelope = Envelope { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), body };
    let mut line = serde_json::to_vec(&envelope).map_err(ControlError::Garbled)?;
    line.push(b'\n');
    if line.len() as u64 > MAX_ANSWER {
        return Err(ControlError::TooLong { limit: MAX_ANSWER });
    }
    stream.write_all(&line).await.map_err(ControlError::Broken)?;
    stream.flush().await.map_err(ControlError::Broken)
}

/// Receives one message of at most `limit` bytes. Its body is parsed later, because that depends on the protocol.
///
/// # Errors
///
/// `ControlError` if the message is too large, malformed or of another protocol, or the connection breaks.
pub async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    limit: u64,
) -> Result<Envelope<T>, ControlError> {
    let mut line = Vec::new();
    let mut bounded = BufReader::new(stream.take(limit));
    bounded.read_until(b'\n', &mut line).await.map_err(ControlError::Broken)?;
    if line.last() != Some(&b'\n') {
        return Err(if line.len() as u64 >= limit {
            ControlError::TooLong { limit }
        } else {
            ControlError::Broken(io::ErrorKind::UnexpectedEof.into())
        });
    }
    serde_json::from_slice(&line).map_err(ControlError::Garbled)
}
