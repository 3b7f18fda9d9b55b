//! Images of a line: retention, channels, copies, users, and the comparison of history and cloud.
//!
//! All of it is pure. The daemon scans the cloud, stores the result and calls these functions; the commands call the
//! same functions on the same rows, so that a preview matches what the daemon does.
//!
//! ```
//! use std::time::Duration;
//! use imagebaked::domain::{calendar::Zone, image::retention::{RetentionRule, claims}, schedule::Keep};
//!
//! let keep = Keep {
//!     last: 1, hourly: 0, daily: 2, weekly: 0, monthly: 0, yearly: 0, within: None, min: 1,
//!     grace: Duration::ZERO, failed: None,
//! };
//! // The newest image first: two rules want it, none wants the third one.
//! let images = ["2027-03-03T03:00:00Z".parse()?, "2027-03-02T03:00:00Z".parse()?, "2027-03-01T03:00:00Z".parse()?];
//! let claims = claims(&keep, Zone::UTC, &images);
//! let rules: Vec<RetentionRule> = claims[0].iter().map(|claim| claim.rule).collect();
//! assert_eq!(rules, [RetentionRule::Last, RetentionRule::Daily]);
//! assert!(claims[2].is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
mod difference_text;
pub mod distribution;
pub mod failed;
pub mod held;
pub mod judge;
pub mod passes;
pub mod reconcile;
pub mod report;
pub mod retention;
pub mod start_check;
pub mod users;

#[cfg(test)]
mod deletion_time_tests;

/// Configuration of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The schedule's name.
    pub schedule: ScheduleName,
    /// Zone whose calendar days the rules use.
    pub zone: Zone,
    /// Retention rules; `None` keeps all images.
    pub keep: Option<Keep>,
    /// Channels besides `latest`.
    pub channels: Vec<Channel>,
}

/// An image of a line.
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
    /// Slot of the image.
    pub slot: DateTime<Utc>,
    /// First time it was seen AVAILABLE, by the cloud's time.
    pub available_at: DateTime<Utc>,
    /// State of its deletion.
    pub deletion: DeletionState,
    /// Result of the last inventory scan.
    pub seen: ObservedState,
    /// Pin of a person.
    pub pin: Option<Pin>,
    /// Channels that point to it.
    pub channels: Vec<String>,
    /// Regions that it is being copied to.
    pub copied_to: Vec<String>,
    /// Veto of a person or of a check.
    pub veto: Option<String>,
    /// Whether its check is not over: it is no good image yet.
    pub unchecked: bool,
}

impl LineImage {
    /// First time it was seen AVAILABLE; an instant in the future counts as `now`.
    fn seen_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.available_at.min(now)
    }

    /// Whether its slot was in the future when it became AVAILABLE: this host's clock was ahead.
    pub fn is_of_the_future(&self, now: DateTime<Utc>) -> bool {
        self.slot > shifted(self.seen_at(now), SKEW_TOO_FAR)
    }

    /// Date for the rules: the slot, except for one in the future.
    pub fn date(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        if self.is_of_the_future(now) { self.seen_at(now) } else { self.slot }
    }
}

/// State of an image's deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DeletionState {
    /// No deletion is planned.
    Kept,
    /// The cloud rejected the deletion; it is not repeated automatically.
    Refused {
        /// The error and its advice.
        why: String,
    },
    /// No rule wants it: it is deleted after the grace.
    Marked {
        /// Instant of the mark.
        since: DateTime<Utc>,
        /// Earliest deletion.
        delete_after: DateTime<Utc>,
        /// Rule that wants it deleted.
        rule: String,
        /// Number of delete calls.
        tries: u32,
        /// Error of the last one.
        last_error: Option<String>,
    },
    /// A delete call was about to be sent, and no search has confirmed the result.
    Deleting {
        /// Rule that wants it deleted.
        rule: String,
        /// Number of delete calls, this one included.
        tries: u32,
        /// Instant just before the call.
        sent_at: DateTime<Utc>,
        /// Instant of the next search.
        next: DateTime<Utc>,
    },
    /// Deleted by this daemon.
    Deleted {
        /// Instant of the deletion.
        at: DateTime<Utc>,
    },
}

impl DeletionState {
    /// Spelling in tables, JSON and the history.
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

/// What the last inventory scan showed of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedState {
    /// Listed as AVAILABLE.
    pub available: bool,
    /// Listed with the owner's tag, as an image of this account.
    pub ours: bool,
    /// Users of the image: instances, delivery groups and others.
    pub used_by: Vec<String>,
    /// Instant from which it is not listed.
    pub missing_since: Option<DateTime<Utc>>,
}

/// A person's order to keep an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// End of the pin; `None`: until it is unpinned.
    pub until: Option<DateTime<Utc>>,
    /// The person's reason.
    pub reason: String,
    /// The person.
    pub who: String,
}

impl Pin {
    /// Whether the pin is valid at `now`.
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}
