//! The comparison of the history with the cloud at the start, as the engine waits for it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::api::call::ApiError;

/// Why a history is compared with the cloud before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// It was restored, imported or is empty.
    NotTheFormer,
    /// A start like any other: nothing on this host shows whether the whole folder was put back.
    Start,
}

/// A history before its comparison with the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncompared {
    /// Start of the wait.
    pub since: DateTime<Utc>,
    /// Error of the last comparison.
    pub why: Option<String>,
    /// Whether that error is a problem of its own: an outage, rejected credentials.
    pub is_reported: bool,
    /// Why it is compared.
    pub ground: Ground,
}

/// What a comparison showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryAge {
    /// The cloud has nothing that is later.
    Current,
    /// The cloud had images that it did not know, or that is not known: each create searches first for a while.
    Older,
}

/// Time for which slots are not planned at a start: a cloud that answers has listed its images by then.
const PLANS_AFTER: TimeDelta = TimeDelta::seconds(10);

/// Creates search first until the comparison has ended.
pub(super) const UNTIL_COMPARED: DateTime<Utc> = DateTime::<Utc>::MAX_UTC;

impl Uncompared {
    /// Wait reason of bakes.
    pub fn wait_reason(&self) -> String {
        let why = self.why.as_deref().unwrap_or("the cloud has not listed all images yet");
        format!("waits for the comparison of the history with the cloud: {why}")
    }

    /// Whether slots are planned although it is not compared. Slots with an image in the cloud get their rows by the
    /// comparison; at an ordinary start none is expected, and an outage must not hide what is due.
    pub fn lets_plan(&self, now: DateTime<Utc>) -> bool {
        self.ground == Ground::Start && (self.why.is_some() || (now - self.since).abs() >= PLANS_AFTER)
    }
}

/// Why history and cloud could not be compared.
#[derive(Debug)]
pub struct NotCompared {
    /// Description.
    pub why: String,
    /// Whether a host does not answer.
    pub is_outage: bool,
    /// Error of the cloud, if the credentials or this host's time were rejected.
    pub rejection: Option<ApiError>,
}
