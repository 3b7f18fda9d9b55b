//! How far a bake is: the states, what each carries, and how a bake ended.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    reason::ReasonCode,
    retry::later,
    waiting::{Wait, WaitReason},
};
use crate::domain::api::cause::Cause;
use crate::domain::api::{call::MadeImage, identity::Evidence};

/// How far a bake is. Every state carries what is needed to go on from it, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Waits for its time, then for its instance and for a builder.
    Queued {
        /// The slot and its share of the jitter, or the next try.
        not_before: DateTime<Utc>,
        /// What it keeps of an earlier turn, while it waits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<Suspended>,
    },
    /// The instance is looked at, or the `before` hooks run.
    Preparing {
        /// See [`BakeWork`].
        work: BakeWork,
        /// The hook under way, from 0; `None`: the look at the instance.
        hook: Option<usize>,
        /// The next look.
        next: DateTime<Utc>,
    },
    /// The instance is brought to rest.
    Stopping {
        /// See [`BakeWork`].
        work: BakeWork,
        /// How often the instance was looked at.
        looks: u32,
        /// Whether a stop was sent, or was about to be.
        sent: bool,
        /// Whether the answer to the first stop is not there yet: refused, it has stopped nothing.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        first_stop: bool,
        /// The next look.
        next: DateTime<Utc>,
    },
    /// The create call may be made.
    Ready {
        /// See [`BakeWork`].
        work: BakeWork,
        /// Whether an image of the slot is looked for first.
        #[serde(alias = "look_first")]
        reconcile_before_create: bool,
        /// When.
        next: DateTime<Utc>,
        /// Why not before; `None` at the first call.
        #[serde(alias = "waits_for")]
        blocked_on: Option<String>,
    },
    /// The create call was about to be sent at `sent_at`.
    Creating {
        /// See [`BakeWork`].
        work: BakeWork,
        /// Just before the call.
        sent_at: DateTime<Utc>,
    },
    /// It is not known whether the cloud acted on the create call.
    Unknown {
        /// See [`BakeWork`].
        work: BakeWork,
        /// When the call was made.
        since: DateTime<Utc>,
        /// How often the image was looked for.
        looks: u32,
        /// The next look.
        next: DateTime<Utc>,
        /// What made it unclear.
        why: String,
    },
    /// The image is being made.
    Building {
        /// See [`BakeWork`].
        work: BakeWork,
        /// The image.
        image: MadeImage,
        /// When it was first known.
        since: DateTime<Utc>,
        /// When it was last listed; a listing may lag behind the create call.
        seen_at: DateTime<Utc>,
        /// Calls in a row that did not answer.
        #[serde(alias = "misses")]
        consecutive_errors: u32,
        /// The next look.
        next: DateTime<Utc>,
        /// The cloud's word for how far it is.
        status: String,
        /// How the image came to be ours, when it was not by a plain answer.
        found: Option<String>,
        /// The image is not listed any more: the slot's image is searched for by name and tags before it counts as vanished.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        searching: bool,
    },
    /// The instance that we stopped is started again.
    Starting {
        /// See [`BakeWork`].
        work: BakeWork,
        /// What the bake came to; `None`: it goes back to the queue, see `max_downtime`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<End>,
        /// Looks and calls so far.
        tries: u32,
        /// Whether a stop was sent whose effect was never seen: the instance may still be about to go down.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        #[serde(alias = "doubt")]
        stop_unconfirmed: bool,
        /// Since when the start is owed; rows of older versions do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<DateTime<Utc>>,
        /// Whether the call under way is a start.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        start_sent: bool,
        /// When the cloud first refused the start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused_since: Option<DateTime<Utc>>,
        /// What was in the way at the last try.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[serde(alias = "trouble")]
        last_error: Option<String>,
        /// The next look.
        next: DateTime<Utc>,
    },
    /// The instance runs again, and the hooks of the end run.
    Finishing {
        /// See [`BakeWork`].
        work: BakeWork,
        /// What the bake came to; `None`: it goes back to the queue.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<End>,
        /// How many of those hooks have run.
        done: usize,
        /// When the next one may.
        next: DateTime<Utc>,
    },
    /// Over.
    Ended {
        /// `None` if it never began.
        work: Option<BakeWork>,
        /// What the bake came to.
        end: End,
    },
}

/// What a bake carries from its admission to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BakeWork {
    /// The version in the line.
    pub version: u32,
    /// The name given to the image.
    pub image_name: String,
    /// Create calls so far that count against `retry.attempts`, see [`ApiError::spends_attempt`](crate::domain::api::call::ApiError::spends_attempt)(crate::domain::api::call::ApiError::spends_attempt).
    pub attempts: u32,
    /// Whether we stopped the instance and have not seen it running since.
    #[serde(rename = "owes_start")]
    pub restart_pending: bool,
    /// Whether the `before` hooks were begun and the hooks of the end have not all run since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[serde(rename = "owes_hooks")]
    pub end_hooks_pending: bool,
    /// What the reason of the end says besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What tells its image from those of others.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
    /// Whether it needs another version before it can go on: its name is taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_version: bool,
    /// How many images were created again because the cloud listed the one before as CREATE_FAILED.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rebakes: u32,
    /// What it waits for, or was waiting for until the call under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Wait>,
    /// How long its instance is stopped, and how often it was.
    #[serde(default, skip_serializing_if = "Downtime::is_none")]
    pub downtime: Downtime,
}

/// What a bake knows of its instance at rest, for `max_downtime` above all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downtime {
    /// How often it stopped its instance and did not find the stop refused.
    pub stops: u32,
    /// The first answer Stopped after the last of them, until the instance runs again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_since: Option<DateTime<Utc>>,
    /// When the instance ran again after the last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_since: Option<DateTime<Utc>>,
    /// Whether its instance was seen Stopped before the create call: nobody but us is expected to start it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen_at_rest: bool,
    /// What it waited for when the time was over, until it is back in the queue.
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
    /// When an instance that waits stopped is started again: after `max_downtime`, and at once where only the deletion of
    /// images makes room. Never where the cloud cannot be called: a start would not reach it either, and the image may be
    /// begun as soon as it answers.
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

    /// Whether it has a version: a bake that ended in the queue has none.
    pub(super) fn has_begun(&self) -> bool {
        self.version > 0
    }

    /// Adds a note to the reason of the end, once.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// What a bake keeps that went back to the queue: it is not begun anew at its next turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SuspendedRow")]
pub struct Suspended {
    /// See [`BakeWork`].
    pub work: BakeWork,
    /// What it does first at its next turn.
    pub resume: Resume,
}

/// What a bake that comes back from the queue does first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resume {
    /// It looks at its instance.
    #[default]
    Instance,
    /// It looks whether there is an image of the slot, and then makes the create call.
    FindImage,
    /// It makes the create call.
    Create,
}

/// [`Suspended`] as rows have it. Those of older versions waited for users, and had the wait beside the work.
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

/// What a bake came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// There is a good image.
    Succeeded {
        /// Which.
        image: MadeImage,
        /// How it came about.
        reason: String,
    },
    /// There is none.
    Failed {
        /// The image, when one was begun.
        image: Option<MadeImage>,
        /// Whether the next slot must be expected to fail likewise: a schedule whose bakes keep failing so is paused.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        permanent: bool,
        /// Why, for programs.
        #[serde(default = "ReasonCode::unrecorded")]
        code: ReasonCode,
        /// Where the cause lies; `None`: it failed under a version that kept none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
        /// Why.
        reason: String,
    },
    /// None was asked for.
    Skipped {
        /// Why, for programs.
        #[serde(default = "ReasonCode::unrecorded")]
        code: ReasonCode,
        /// Why.
        reason: String,
    },
    /// A person did not want it any more.
    Cancelled {
        /// Who, in words.
        reason: String,
    },
}

impl End {
    /// Why it ended so, in plain words.
    pub fn reason(&self) -> &str {
        match self {
            Self::Succeeded { reason, .. }
            | Self::Failed { reason, .. }
            | Self::Skipped { reason, .. }
            | Self::Cancelled { reason } => reason,
        }
    }

    /// Why there is no good image, for programs; `None` where there is one.
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

    /// The word for it in tables and JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// The image, where there is one.
    pub fn image(&self) -> Option<&MadeImage> {
        match self {
            Self::Succeeded { image, .. } => Some(image),
            Self::Failed { image, .. } => image.as_ref(),
            Self::Skipped { .. } | Self::Cancelled { .. } => None,
        }
    }

    pub(super) fn with_note(mut self, note: &str) -> Self {
        let (Self::Succeeded { reason, .. }
        | Self::Failed { reason, .. }
        | Self::Skipped { reason, .. }
        | Self::Cancelled { reason }) = &mut self;
        reason.push_str("; ");
        reason.push_str(note);
        self
    }
}

impl State {
    /// The word for it in tables and JSON.
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

    /// All the words, in the order of a bake's life.
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

    /// What it carries, once it has begun.
    pub fn work(&self) -> Option<&BakeWork> {
        match self {
            Self::Queued { kept, .. } => kept.as_ref().map(|kept| &kept.work),
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

    /// The image, once there is one.
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
            // An instance that is not running is worth more words than the image that is made.
            Self::Starting { last_error: Some(trouble), .. } => Some(trouble),
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

    /// Why it ended without a good image, for programs; `None` while it is open, and where it succeeded.
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

    /// What it waits for, if something is in its way.
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

    /// When it wants to be looked at again; `None` once it is over.
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

    /// Whether nothing can change any more.
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }

    /// Whether it is over and brought an image.
    pub fn has_succeeded(&self) -> bool {
        matches!(self, Self::Ended { end: End::Succeeded { .. }, .. })
    }

    /// Why nobody can call it off now; `None` where that can be done.
    pub fn cannot_be_cancelled(&self) -> Option<&'static str> {
        match self {
            Self::Queued { .. } | Self::Preparing { .. } | Self::Stopping { .. } | Self::Ready { .. } => None,
            Self::Creating { .. } => Some("its create call is under way"),
            Self::Unknown { .. } => Some("it is not known whether its image was begun; that is found out first"),
            Self::Building { .. } => Some("the cloud has no way to call off an image that is being made"),
            Self::Starting { .. } => Some("its instance is being started again"),
            Self::Finishing { .. } => Some("it is over but for its hooks"),
            Self::Ended { .. } => Some("it is over"),
        }
    }

    /// Whether it waits for another version, by [`Event::Renumbered`](super::event::Event::Renumbered)(super::event::Event::Renumbered).
    pub fn needs_version(&self) -> bool {
        matches!(self, Self::Ready { work, .. } if work.needs_version)
    }

    /// Whether it takes one of the builders.
    pub fn holds_builder(&self) -> bool {
        !matches!(self, Self::Queued { .. } | Self::Starting { .. } | Self::Finishing { .. } | Self::Ended { .. })
    }

    /// Whether no other bake may touch its instance.
    pub fn holds_instance(&self) -> bool {
        !matches!(self, Self::Queued { .. } | Self::Ended { .. })
    }
}
