//! The protocol between commands and the daemon over its Unix socket: one line of JSON for a request, one for its reply.
//!
//! Every message names the protocol and the program's version, so that a client and a daemon of different versions part
//! with a clear error instead of a misunderstanding. Sizes are bounded on both sides.

use std::{io, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use crate::domain::{
    ids::{BakeId, ImageId, InstanceId},
    image::{
        change::Change,
        reconcile::{Difference, FailedImage},
        report::{Adopted, RetentionReport},
    },
    plan::diff::Diff,
    status::Status,
};

pub mod client;
pub mod who;

/// Raised whenever a message changes so that an older side would misread it.
pub const PROTOCOL: u32 = 1;
/// No request is longer.
pub const MAX_REQUEST: u64 = 1 << 20;
/// No answer is longer: a report on a hundred thousand images is not.
pub const MAX_ANSWER: u64 = 64 << 20;
/// What to do where versions differ.
pub const OUTDATED: &str = "after an upgrade, restart the daemon (systemctl restart imagebaked)";

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
    Status,
    /// Bake a schedule now.
    Bake {
        /// Name or id.
        schedule: String,
    },
    /// Reply when one of these bakes may have changed, or after a few seconds.
    Follow {
        /// The bakes.
        bakes: Vec<BakeId>,
        /// The count of changes in the last reply.
        seen: u64,
    },
    /// Read the configuration again.
    Reload,
    /// Compare the history with the images in the cloud.
    Reconcile {
        /// Whether to take over what can be.
        apply: bool,
    },
    /// Bake again what a bake did not bring.
    Retry {
        /// Which.
        bake: BakeId,
    },
    /// Copy the image of a bake again to the regions where that failed.
    RetryCopies {
        /// Which bake.
        bake: BakeId,
    },
    /// Let a channel stand for an image.
    Promote {
        /// The image.
        image: ImageId,
        /// The channel.
        channel: String,
        /// Whether an image that did not pass its check will do.
        force: bool,
        /// Why.
        reason: String,
    },
    /// Let a channel stand for what it stood for before, and veto what it leaves.
    Rollback {
        /// Name or id of the schedule.
        schedule: String,
        /// Which of its instances, where it has several.
        instance: Option<InstanceId>,
        /// The channel.
        channel: String,
        /// Why.
        reason: String,
    },
    /// Nobody should use an image.
    Veto {
        /// Which.
        image: ImageId,
        /// Why.
        reason: String,
    },
    /// An image may be used again.
    Unveto {
        /// Which.
        image: ImageId,
    },
    /// Call a bake off.
    Cancel {
        /// Which.
        bake: BakeId,
    },
    /// Skip the slots of a schedule from now on.
    Pause {
        /// Name or id.
        schedule: String,
        /// Until when; `None`: until it is resumed.
        until: Option<DateTime<Utc>>,
        /// Why.
        reason: String,
    },
    /// Bake its slots again, from now on.
    Resume {
        /// Name or id.
        schedule: String,
    },
    /// Scan the images, and delete those that no rule keeps.
    Prune {
        /// Report what would be done, and do nothing.
        dry_run: bool,
        /// Also ask again about images that the cloud would not delete.
        again: bool,
        /// Also delete what is held until a person confirms it.
        #[serde(default)]
        confirm: bool,
        /// Also delete images of lines whose newest image failed.
        #[serde(default)]
        despite_failed_bake: bool,
    },
    /// Keep an image whatever the rules are.
    Pin {
        /// Which.
        image: ImageId,
        /// Until when; `None`: until it is unpinned.
        until: Option<DateTime<Utc>>,
        /// Why.
        reason: String,
    },
    /// Let the rules decide about an image again.
    Unpin {
        /// Which.
        image: ImageId,
    },
    /// Take the mark off an image, and pin it.
    Undelete {
        /// Which.
        image: ImageId,
    },
    /// Give images to a line.
    Adopt {
        /// Name or id of the schedule.
        schedule: String,
        /// Which of its instances, where it has several.
        instance: Option<InstanceId>,
        /// How they are found.
        wanted: Wanted,
        /// Report which, and do nothing.
        dry_run: bool,
    },
}

/// How images to be adopted are found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// These.
    Images(Vec<ImageId>),
    /// All whose name is this; a `*` stands for any text.
    Name(String),
    /// All that carry this tag.
    Tag(String, String),
}

impl Request {
    /// Whether it changes nothing, so that it does not matter whether it arrived.
    pub fn only_asks(&self) -> bool {
        matches!(self, Self::Status | Self::Follow { .. })
    }

    /// How long the daemon may take to answer; it answers `Follow` within half of it. Listing all images of an account,
    /// page by page, takes its time.
    fn time_limit(&self) -> Duration {
        match self {
            Self::Reconcile { .. } | Self::Prune { .. } | Self::Adopt { .. } => Duration::from_mins(10),
            // They wait for a pass that is under way.
            Self::Pin { .. } | Self::Undelete { .. } => Duration::from_mins(2),
            // A status that hangs is reported soon.
            Self::Status => Duration::from_secs(5),
            _ => Duration::from_secs(20),
        }
    }
}

/// What the daemon answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Reply {
    /// To `Status`.
    Status(Box<Status>),
    /// To `Bake`: the numbers of the bakes.
    Bakes {
        /// One for each instance.
        bakes: Vec<BakeId>,
    },
    /// To `Follow`: the bakes as JSON rows of the history.
    Rows {
        /// The rows.
        rows: Vec<serde_json::Value>,
        /// The count of changes that they show.
        changes: u64,
    },
    /// To `Reload`.
    Reloaded {
        /// What is in force now.
        config_hash: String,
        /// How many schedules.
        schedules: usize,
        /// Warnings of the new configuration, rendered.
        warnings: String,
        /// What changed, its lists cut where they are long.
        #[serde(default)]
        diff: Box<Diff>,
        /// What that means for the images, its lists cut as well.
        #[serde(default)]
        images: Box<Change>,
    },
    /// To `Reconcile`.
    Reconciled {
        /// What differed before anything was taken over.
        differences: Vec<Difference>,
        /// Images of ours that never came to be.
        #[serde(default)]
        failed: Vec<FailedImage>,
    },
    /// To `Prune`: what was found, and what follows; `None` where no line has rules.
    Pruned {
        /// All images that were judged.
        report: Option<RetentionReport>,
    },
    /// To `Adopt`.
    Adopted {
        /// What became of each image that was found.
        images: Vec<Adopted>,
    },
    /// To `Cancel`, `Pause`, `Resume`, `Pin`, `Unpin` and `Undelete`.
    Done,
    /// It is done, and this came of it.
    CommandOutput {
        /// In sentences.
        sentences: Vec<String>,
    },
    /// The daemon is on its way down; nothing was done.
    Stopping,
    /// The request was taken, and the daemon ended before it confirmed it.
    Unconfirmed {
        /// In words.
        message: String,
    },
    /// There is no such thing.
    NotFound {
        /// In words.
        message: String,
    },
    /// The configuration has problems and was not taken over.
    BadConfig {
        /// The problems, rendered.
        problems: String,
    },
    /// It did not work.
    Failed {
        /// In words.
        message: String,
    },
    /// The other side has another protocol.
    OtherProtocol,
}

/// Why no answer was had.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("the daemon is not reachable at {}; is it running? (systemctl status imagebaked)", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket is not ours to use.
    #[error("you may not connect to the daemon at {}; that takes membership of the socket's group", socket.display())]
    Forbidden {
        /// The socket.
        socket: PathBuf,
    },
    /// It does not answer.
    #[error("the daemon at {} took the request but does not answer; it may hang (systemctl status imagebaked)", socket.display())]
    Silent {
        /// The socket.
        socket: PathBuf,
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
        /// What was allowed.
        limit: u64,
    },
}

/// Sends one message.
pub async fn write<T: Serialize>(stream: &mut (impl AsyncWrite + Unpin), body: T) -> Result<(), ControlError> {
    let envelope = Envelope { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), body };
    let mut line = serde_json::to_vec(&envelope).map_err(ControlError::Garbled)?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(ControlError::Broken)?;
    stream.flush().await.map_err(ControlError::Broken)
}

/// Receives one message of at most `limit` bytes. Its body is left unread, for that depends on the protocol.
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
