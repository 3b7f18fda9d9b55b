//! States of a bake: what each one stores, how it is stored in the history, and how a bake ends.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    maintenance::Maintenance,
    reason::ReasonCode,
    retry::later,
    waiting::{Wait, WaitReason},
};
use crate::domain::api::cause::Cause;
use crate::domain::api::{call::MadeImage, identity::Evidence};

/// State of a bake. Each state stores exactly what the bake needs to continue from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Waits for its slot, its instance and a builder.
    Queued {
        /// Slot plus jitter, or the next attempt.
        not_before: DateTime<Utc>,
        /// Stored work of a bake that returned to the queue.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[serde(rename = "kept")]
        suspended: Option<Suspended>,
    },
    /// Polls the instance or runs the `before` hooks.
    Preparing {
        /// See [`BakeWork`].
        work: BakeWork,
        /// Index of the running hook, from 0; `None` while the instance is polled.
        hook: Option<usize>,
        /// Instant of the next poll.
        next: DateTime<Utc>,
    },
    /// Stops the instance.
    Stopping {
        /// See [`BakeWork`].
        work: BakeWork,
        /// Number of polls of the instance.
        #[serde(alias = "looks")]
        polls: u32,
        /// Whether a stop call was sent, or was about to be sent.
        sent: bool,
        /// Whether the first stop call is unanswered. If the cloud rejects it, nothing was stopped.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        first_stop: bool,
        /// Instant of the next poll.
        next: DateTime<Utc>,
    },
    /// Ready for the create call.
    Ready {
        /// See [`BakeWork`].
        work: BakeWork,
        /// Whether the image of the slot is searched for before the create call.
        #[serde(alias = "look_first")]
        reconcile_before_create: bool,
        /// Instant of the create call.
        next: DateTime<Utc>,
        /// Reason for a delay; `None` at the first call.
        #[serde(alias = "waits_for")]
        blocked_on: Option<String>,
    },
    /// The create call was about to be sent at `sent_at`.
    Creating {
        /// See [`BakeWork`].
        work: BakeWork,
        /// Instant just before the call.
        sent_at: DateTime<Utc>,
    },
    /// The create call has no clear result: it may have made an image.
    Unknown {
        /// See [`BakeWork`].
        work: BakeWork,
        /// Instant of the call.
        since: DateTime<Utc>,
        /// Number of searches for the image.
        #[serde(alias = "looks")]
        polls: u32,
        /// Instant of the next search.
        next: DateTime<Utc>,
        /// Reason: the error of the call.
        why: String,
    },
    /// The cloud makes the image.
    Building {
        /// See [`BakeWork`].
        work: BakeWork,
        /// The image.
        image: MadeImage,
        /// Instant at which the image became known.
        since: DateTime<Utc>,
        /// Last time the image was listed; a listing may lag behind the create call.
        seen_at: DateTime<Utc>,
        /// Consecutive polls without a valid response.
        #[serde(alias = "misses")]
        consecutive_errors: u32,
        /// Instant of the next poll.
        next: DateTime<Utc>,
        /// Status as the cloud spells it.
        status: String,
        /// How the image was found, if the create call did not return it.
        found: Option<String>,
        /// The image is not listed: it is searched for by name and tags before it counts as vanished.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        searching: bool,
    },
    /// Starts the instance that the bake has stopped.
    Starting {
        /// See [`BakeWork`].
        work: BakeWork,
        /// Result of the bake; `None`: the bake returns to the queue, see `max_downtime`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<End>,
        /// Number of polls and start calls.
        tries: u32,
        /// A stop call was sent and no poll has shown the instance stopped: it may still stop.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        #[serde(alias = "doubt")]
        stop_unconfirmed: bool,
        /// Instant from which the start is pending; `None` in rows of older versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<DateTime<Utc>>,
        /// Whether the call in flight is a start.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        start_sent: bool,
        /// First instant at which the cloud rejected the start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused_since: Option<DateTime<Utc>>,
        /// Error or state at the last attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[serde(alias = "trouble")]
        last_error: Option<String>,
        /// Instant of the next poll.
        next: DateTime<Utc>,
    },
    /// The instance runs again; the hooks of the end run.
    Finishing {
        /// See [`BakeWork`].
        work: BakeWork,
        /// Result of the bake; `None`: the bake returns to the queue.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<End>,
        /// Number of finished hooks.
        done: usize,
        /// Earliest start of the next hook.
        next: DateTime<Utc>,
    },
    /// Ended.
    Ended {
        /// `None` if the bake never started.
        work: Option<BakeWork>,
        /// Result of the bake.
        end: End,
    },
}

/// Data of a bake from its admission to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BakeWork {
    /// Version in the line, from 1.
    pub version: u32,
    /// Name of the image.
    pub image_name: String,
    /// Session of the workstation: found in the list, or taken from the configuration, before the first stop and the intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Create calls that count against `retry.attempts`, see
    /// [`ApiError::spends_attempt`](crate::domain::api::call::ApiError::spends_attempt).
    pub attempts: u32,
    /// Whether the bake has stopped the instance and not yet seen it running again.
    #[serde(alias = "owes_start")]
    pub restart_pending: bool,
    /// Whether the `before` hooks have started and the hooks of the end have not all run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[serde(alias = "owes_hooks")]
    pub end_hooks_pending: bool,
    /// Additions to the reason of the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// `[daemon] owner` at the first create call: the value of the tag on its image. `None` before, and in rows of older
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Evidence that distinguishes the bake's image from those of others.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
    /// Whether the bake needs another version: its name is taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_version: bool,
    /// Images that were created again because the cloud listed the former one as CREATE_FAILED.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rebakes: u32,
    /// Current wait, or the last one until the call in flight is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Wait>,
    /// Maintenance of the desktop around the stop.
    #[serde(default, skip_serializing_if = "Maintenance::is_unknown")]
    pub maintenance: Maintenance,
    /// The return to the queue, which the end of the maintenance precedes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_return: Option<QueueReturn>,
    /// Stops of the instance and their duration.
    #[serde(default, skip_serializing_if = "Downtime::is_none")]
    pub downtime: Downtime,
}

/// What a bake knows of its instance at rest, for `max_downtime` above all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downtime {
    /// Number of stops, without those that the cloud rejected.
    pub stops: u32,
    /// First poll that showed the instance stopped after the last stop; `None` once it runs again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_since: Option<DateTime<Utc>>,
    /// Instant at which the instance ran again after the last stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_since: Option<DateTime<Utc>>,
    /// Whether its instance was seen Stopped before the create call: nobody but us is expected to start it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen_at_rest: bool,
    /// The wait at the time of the restart, until the bake is back in the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<Wait>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Downtime {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl BakeWork {
    /// Instant at which a stopped instance is started again: after `max_downtime`, or at once if the quota of images is
    /// exceeded. `None` while the cloud cannot be reached: a start would not arrive either, and the image can be started as
    /// soon as the cloud responds.
    pub(super) fn downtime_end(&self, max_downtime: Duration, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let longest = match self.waiting.as_ref()?.on {
            WaitReason::Outage | WaitReason::Clock | WaitReason::Credentials => return None,
            WaitReason::ImageQuota => Duration::ZERO,
            _ => max_downtime,
        };
        let since = self.downtime.stopped_since.filter(|_| self.restart_pending)?;
        // The clock may have been set back since.
        Some(later(since.min(now), longest))
    }

    /// Whether the bake has a version; one that ended in the queue has none.
    pub(super) fn has_begun(&self) -> bool {
        self.version > 0
    }

    /// What the bake did to its instance and has not ended yet, for messages.
    pub fn what_is_pending(&self) -> [&'static str; 2] {
        if self.restart_pending && self.maintenance.is_pending() {
            ["was put into maintenance and stopped", "is not running again yet"]
        } else if self.restart_pending {
            ["was stopped", "is not running again yet"]
        } else {
            ["was put into maintenance", "is still in it"]
        }
    }

    /// Adds a note to the reason of the end, once.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// Work of a bake that returned to the queue. Its next turn continues from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SuspendedRow")]
pub struct Suspended {
    /// See [`BakeWork`].
    pub work: BakeWork,
    /// First step of the next turn.
    pub resume: Resume,
}

/// How a bake returns to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueReturn {
    /// First step of the next turn.
    pub resume: Resume,
    /// Its earliest instant.
    pub not_before: DateTime<Utc>,
}

/// First step of a bake that returns from the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resume {
    /// Poll the instance.
    #[default]
    Instance,
    /// Search for an image of the slot, then send the create call.
    FindImage,
    /// Send the create call.
    Create,
}

/// [`Suspended`] as stored. Rows of older versions waited for users only and stored the wait beside the work.
#[derive(Deserialize)]
struct SuspendedRow {
    work: BakeWork,
    #[serde(default)]
    waiting: Option<Wait>,
    #[serde(default)]
    resume: Resume,
}

impl From<SuspendedRow> for Suspended {
    fn from(row: SuspendedRow) -> Self {
        let SuspendedRow { mut work, waiting, resume } = row;
        work.waiting = work.waiting.or(waiting);
        Self { work, resume }
    }
}

/// Result of a bake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// The bake made a good image.
    Succeeded {
        /// The image.
        image: MadeImage,
        /// How the image was made.
        reason: String,
    },
    /// The bake made no good image.
    Failed {
        /// The image, if one was started.
        image: Option<MadeImage>,
        /// Whether the next slot will probably fail for the same reason. Consecutive failures of this kind pause the
        /// schedule.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        permanent: bool,
        /// Reason code.
        #[serde(default = "ReasonCode::unrecorded")]
        code: ReasonCode,
        /// Where the cause lies; `None`: it failed under a version that kept none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
        /// Reason in plain words.
        reason: String,
    },
    /// No image was requested from the cloud.
    Skipped {
        /// Reason code.
        #[serde(default = "ReasonCode::unrecorded")]
        code: ReasonCode,
        /// Reason in plain words.
        reason: String,
    },
    /// A person cancelled the bake.
    Cancelled {
        /// Who cancelled it.
        reason: String,
    },
}

impl End {
    /// Reason of the end, in plain words.
    pub fn reason(&self) -> &str {
        match self {
            Self::Succeeded { reason, .. }
            | Self::Failed { reason, .. }
            | Self::Skipped { reason, .. }
            | Self::Cancelled { reason } => reason,
        }
    }

    /// Reason code of an end without a good image.
    pub fn reason_code(&self) -> Option<ReasonCode> {
        match self {
            Self::Succeeded { .. } => None,
            Self::Failed { code, .. } | Self::Skipped { code, .. } => Some(*code),
            Self::Cancelled { .. } => Some(ReasonCode::Cancelled),
        }
    }

    /// Where the cause of a failure lies, as far as it is known.
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Failed { cause, .. } => *cause,
            Self::Succeeded { .. } | Self::Skipped { .. } | Self::Cancelled { .. } => None,
        }
    }

    /// Whether it is one of the failures that pause a schedule. A failure of unknown cause is.
    pub fn counts_for_auto_pause(&self) -> bool {
        matches!(self, Self::Failed { permanent: true, cause, .. } if cause.is_none_or(Cause::counts_for_auto_pause))
    }

    /// Spelling in tables and JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// The image, if there is one.
    pub fn image(&self) -> Option<&MadeImage> {
        match self {
            Self::Succeeded { image, .. } => Some(image),
            Self::Failed { image, .. } => image.as_ref(),
            Self::Skipped { .. } | Self::Cancelled { .. } => None,
        }
    }

    /// With what came after it.
    pub(super) fn with_note(mut self, note: &str) -> Self {
        let reason = self.reason_mut();
        reason.push_str("; ");
        reason.push_str(note);
        self
    }

    /// With what came before it: a reason is in the order of time.
    pub(super) fn after(mut self, notes: &[String]) -> Self {
        for note in notes.iter().rev() {
            self.reason_mut().insert_str(0, &format!("{note}; "));
        }
        self
    }

    fn reason_mut(&mut self) -> &mut String {
        let (Self::Succeeded { reason, .. }
        | Self::Failed { reason, .. }
        | Self::Skipped { reason, .. }
        | Self::Cancelled { reason }) = self;
        reason
    }
}

impl State {
    /// Spelling in tables and JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Preparing { .. } => "preparing",
            Self::Stopping { .. } => "stopping",
            Self::Ready { .. } => "ready",
            Self::Creating { .. } => "creating",
            Self::Unknown { .. } => "unknown",
            Self::Building { .. } => "building",
            Self::Starting { .. } => "starting",
            Self::Finishing { .. } => "finishing",
            Self::Ended { end, .. } => end.as_str(),
        }
    }

    /// Spellings of all states, in the order of a bake's life.
    pub const WORDS: [&'static str; 13] = [
        "queued",
        "preparing",
        "stopping",
        "ready",
        "creating",
        "unknown",
        "building",
        "starting",
        "finishing",
        "succeeded",
        "failed",
        "skipped",
        "cancelled",
    ];

    /// Those of a bake that has begun and is not over.
    pub const RUNNING_WORDS: [&'static str; 8] =
        ["preparing", "stopping", "ready", "creating", "unknown", "building", "starting", "finishing"];

    /// Data of a bake that has started.
    pub fn work(&self) -> Option<&BakeWork> {
        match self {
            Self::Queued { suspended, .. } => suspended.as_ref().map(|suspended| &suspended.work),
            Self::Preparing { work, .. }
            | Self::Stopping { work, .. }
            | Self::Ready { work, .. }
            | Self::Creating { work, .. }
            | Self::Unknown { work, .. }
            | Self::Building { work, .. }
            | Self::Starting { work, .. } => Some(work),
            Self::Finishing { work, .. } => Some(work).filter(|work| work.has_begun()),
            Self::Ended { work, .. } => work.as_ref(),
        }
    }

    /// The image, once it is known.
    pub fn image(&self) -> Option<&MadeImage> {
        match self {
            Self::Building { image, .. } => Some(image),
            Self::Starting { end, .. } | Self::Finishing { end, .. } => end.as_ref().and_then(End::image),
            Self::Ended { end, .. } => end.image(),
            _ => None,
        }
    }

    /// Why it is as it is, in plain words; those of an open bake are in [`Bake::reason`](super::Bake::reason), with the next
    /// try.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Ready { blocked_on: Some(blocked_on), .. } => Some(blocked_on),
            Self::Unknown { why, .. } => Some(why),
            Self::Building { status, .. } => Some(status),
            // An error of the start takes precedence over the image: the instance is not running.
            Self::Starting { last_error: Some(error), .. } => Some(error),
            Self::Starting { work, end: None, .. } | Self::Finishing { work, end: None, .. } => {
                work.downtime.waited_for.as_ref().map(|waited| waited.why.as_str())
            }
            Self::Starting { end: Some(end), .. }
            | Self::Finishing { end: Some(end), .. }
            | Self::Ended { end, .. } => Some(end.reason()),
            Self::Preparing { hook: Some(_), .. } => Some("its before hooks run"),
            Self::Queued { .. }
            | Self::Preparing { .. }
            | Self::Stopping { .. }
            | Self::Ready { .. }
            | Self::Creating { .. } => self.waiting().map(|waiting| waiting.why.as_str()),
        }
    }

    /// Reason code of an end without a good image; `None` while the bake is open.
    pub fn reason_code(&self) -> Option<ReasonCode> {
        match self {
            Self::Ended { end, .. } => end.reason_code(),
            _ => None,
        }
    }

    /// Where the cause lies of a bake that ended failed.
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Ended { end, .. } => end.cause(),
            _ => None,
        }
    }

    /// Current wait.
    pub fn waiting(&self) -> Option<&Wait> {
        match self {
            Self::Queued { .. }
            | Self::Preparing { hook: None, .. }
            | Self::Stopping { .. }
            | Self::Ready { .. }
            | Self::Creating { .. }
            | Self::Unknown { .. }
            | Self::Building { .. }
            | Self::Starting { .. } => self.work().and_then(|work| work.waiting.as_ref()),
            Self::Preparing { .. } | Self::Finishing { .. } | Self::Ended { .. } => None,
        }
    }

    /// Instant of the next event; `None` once the bake has ended.
    pub fn wake_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Queued { not_before, .. } => Some(*not_before),
            Self::Preparing { next, .. }
            | Self::Stopping { next, .. }
            | Self::Ready { next, .. }
            | Self::Unknown { next, .. }
            | Self::Building { next, .. }
            | Self::Starting { next, .. }
            | Self::Finishing { next, .. } => Some(*next),
            Self::Creating { sent_at, .. } => Some(*sent_at),
            Self::Ended { .. } => None,
        }
    }

    /// Whether the bake has ended.
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }

    /// Whether the bake ended with an image.
    pub fn has_succeeded(&self) -> bool {
        matches!(self, Self::Ended { end: End::Succeeded { .. }, .. })
    }

    /// Reason why the bake cannot be cancelled now; `None` if it can.
    pub fn cannot_be_cancelled(&self) -> Option<&'static str> {
        match self {
            Self::Queued { .. } | Self::Preparing { .. } | Self::Stopping { .. } | Self::Ready { .. } => None,
            Self::Creating { .. } => Some("its create call is in flight"),
            Self::Unknown { .. } => {
                Some("it is not known whether its image was started; the bake searches for it first")
            }
            Self::Building { .. } => Some("the cloud cannot cancel an image that is being made"),
            Self::Starting { work, .. } if !work.restart_pending => {
                Some("the maintenance of its instance is being ended")
            }
            Self::Starting { .. } => Some("its instance is being started again"),
            Self::Finishing { .. } => Some("it has ended and only its hooks still run"),
            Self::Ended { .. } => Some("it has ended"),
        }
    }

    /// Whether the next step stops or creates something. Closed admission delays it.
    pub fn begins_something(&self) -> bool {
        matches!(self, Self::Preparing { hook: None, .. } | Self::Stopping { sent: false, .. } | Self::Ready { .. })
    }

    /// Whether the bake keeps users out of an instance that it has not stopped.
    pub fn only_keeps_users_out(&self) -> bool {
        self.work().is_some_and(|work| work.maintenance.is_pending() && !work.restart_pending)
    }

    /// Whether the bake waits for another version, by [`Event::Renumbered`](super::event::Event::Renumbered).
    pub fn needs_version(&self) -> bool {
        matches!(self, Self::Ready { work, .. } if work.needs_version)
    }

    /// Whether the bake uses a builder.
    pub fn holds_builder(&self) -> bool {
        match self {
            Self::Preparing { .. }
            | Self::Stopping { .. }
            | Self::Ready { .. }
            | Self::Creating { .. }
            | Self::Unknown { .. }
            | Self::Building { .. } => true,
            Self::Queued { .. } | Self::Starting { .. } | Self::Finishing { .. } | Self::Ended { .. } => false,
        }
    }

    /// Whether the bake uses its instance exclusively.
    pub fn holds_instance(&self) -> bool {
        self.holds_builder() || matches!(self, Self::Starting { .. } | Self::Finishing { .. })
    }
}
