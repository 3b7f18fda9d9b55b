//! What becomes of the images of a line: which stay and which go, under what names they can be found, where they are
//! copied to.
//!
//! All of it is pure. The daemon looks at the cloud, writes down what it saw, and asks here what that means; the commands
//! ask the same functions about the same rows, so that what is announced is what happens.

use super::calendar::zone::Zone;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    clock::{shifted, watch::SKEW_TOO_FAR},
    ids::{ImageId, LineId, ScheduleName},
    schedule::{Channel, Keep},
};

pub mod brake;
pub mod change;
pub mod channels;
pub mod distribution;
pub mod failed;
pub mod judge;
pub mod reconcile;
pub mod report;
pub mod retention;
pub mod users;

/// What the file says of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The schedule's name.
    pub schedule: ScheduleName,
    /// The zone by whose clock days begin.
    pub zone: Zone,
    /// Which images stay; `None`: all.
    pub keep: Option<Keep>,
    /// Names for images, beside `latest`.
    pub channels: Vec<Channel>,
}

/// An image of a line, with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineImage {
    /// The image.
    pub image_id: ImageId,
    /// The line.
    pub line: LineId,
    /// The version in the line.
    pub version: u32,
    /// Its name in the cloud.
    pub name: String,
    /// The slot that it was made for.
    pub slot: DateTime<Utc>,
    /// When it was first seen AVAILABLE, by the cloud's time.
    pub available_at: DateTime<Utc>,
    /// How far its end is.
    pub deletion: DeletionState,
    /// What the last look at the cloud showed.
    pub seen: ObservedState,
    /// Why it must stay whatever the rules say: a person's word.
    pub pin: Option<Pin>,
    /// Channels that stand for it now.
    pub channels: Vec<String>,
    /// Regions that it is being copied to.
    pub copied_to: Vec<String>,
    /// Why it should not be used: the veto of a person or of a check.
    pub veto: Option<String>,
}

impl LineImage {
    /// When it was first seen AVAILABLE; noted by a wrong clock, that counts as `now`.
    fn seen_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.available_at.min(now)
    }

    /// Whether it was made for a slot that had not come when it was AVAILABLE: this host's clock was ahead.
    pub fn is_of_the_future(&self, now: DateTime<Utc>) -> bool {
        self.slot > shifted(self.seen_at(now), SKEW_TOO_FAR)
    }

    /// The date that rules go by: the slot, but for one of the future.
    pub fn date(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        if self.is_of_the_future(now) { self.seen_at(now) } else { self.slot }
    }
}

/// How far the end of an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum DeletionState {
    /// Not in sight.
    Kept,
    /// The cloud will not delete it; it is not asked again by itself.
    Refused {
        /// The cloud's words and ours.
        why: String,
    },
    /// No rule wants it: it is deleted once the grace is over.
    Marked {
        /// Since when.
        since: DateTime<Utc>,
        /// Not before.
        delete_after: DateTime<Utc>,
        /// What asked for it.
        rule: String,
        /// Delete calls so far.
        tries: u32,
        /// Why the last of them did not delete it.
        last_error: Option<String>,
    },
    /// A delete call was about to be sent, and no search has answered since whether the image is gone.
    Deleting {
        /// What asked for it.
        rule: String,
        /// Delete calls so far, this one included.
        tries: u32,
        /// Just before the call.
        sent_at: DateTime<Utc>,
        /// When the image is searched for next.
        next: DateTime<Utc>,
    },
    /// Gone, by our doing.
    Deleted {
        /// When.
        at: DateTime<Utc>,
    },
}

impl DeletionState {
    /// The word for it in tables, JSON and the history.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Refused { .. } => "refused",
            Self::Marked { .. } => "marked",
            Self::Deleting { .. } => "deleting",
            Self::Deleted { .. } => "deleted",
        }
    }
}

/// What the last look at the cloud showed of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedState {
    /// Listed as AVAILABLE.
    pub available: bool,
    /// Listed with our ownership tag, as an image of the account's own.
    pub ours: bool,
    /// Who reports to use it: instances and delivery groups.
    pub used_by: Vec<String>,
    /// Since when it is not listed any more.
    pub missing_since: Option<DateTime<Utc>>,
}

/// A person's word that an image stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Until when; `None`: until it is unpinned.
    pub until: Option<DateTime<Utc>>,
    /// Why.
    pub reason: String,
    /// Who.
    pub who: String,
}

impl Pin {
    /// Whether it holds at `now`.
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}
