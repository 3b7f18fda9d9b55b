//! Waits of a bake: the reason, its start, and its description for people and programs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::reason::ReasonCode;
use crate::domain::{
    api::{
        call::{ApiError, ErrorClass},
        cause::Cause,
        codes::AccountQuota,
    },
    calendar::zone::Zone,
    time::show,
};

/// How the words of a wait begin that ends with an answer of the cloud.
const FOR_CLOUD: &str = "waits for the cloud: ";

/// A wait that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Start of the wait.
    pub since: DateTime<Utc>,
    /// Description that begins with "waits for"; unchanged as long as the reason is the same.
    pub why: String,
    /// Reason for programs; rows of older versions waited for users only.
    #[serde(default)]
    pub on: WaitReason,
    /// Number of consecutive responses with this reason.
    #[serde(default)]
    pub times: u32,
}

/// Reason of a wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// Users are connected to the instance.
    #[default]
    Users,
    /// The instance changes its state.
    Instance,
    /// The cloud does not list the instance.
    Absent,
    /// The cloud cannot be reached, or does not respond.
    Outage,
    /// The cloud reports an internal error.
    Fault,
    /// The cloud limits the rate of calls.
    Throttled,
    /// A quota is exceeded.
    Quota,
    /// The quota of images is exceeded: only the deletion of images frees it.
    ImageQuota,
    /// Another task runs on the instance.
    Busy,
    /// The cloud rejects the credentials.
    Credentials,
    /// The cloud rejects the time of this host.
    Clock,
    /// Its slot has not come: the clock was ahead when it was begun.
    Slot,
}

impl WaitReason {
    /// Reason of the wait after an error.
    pub fn of(error: &ApiError) -> Self {
        match error.class {
            ErrorClass::Credential if error.is_clock() => Self::Clock,
            ErrorClass::Credential => Self::Credentials,
            _ if error.is_outage() => Self::Outage,
            _ if error.account_quota() == Some(AccountQuota::Images) => Self::ImageQuota,
            _ if error.is_quota() => Self::Quota,
            ErrorClass::Busy => Self::Busy,
            _ if error.is_throttled() => Self::Throttled,
            ErrorClass::Transient | ErrorClass::Permanent | ErrorClass::Unclear => Self::Fault,
        }
    }

    /// Reason code of a bake whose deadline passes during the wait.
    pub fn code_at_deadline(self) -> ReasonCode {
        match self {
            Self::Users => ReasonCode::UsersConnected,
            Self::Instance | Self::Absent => ReasonCode::InstanceState,
            Self::Outage | Self::Fault | Self::Clock => ReasonCode::Outage,
            Self::Quota | Self::ImageQuota => ReasonCode::Quota,
            Self::Throttled | Self::Busy => ReasonCode::Deadline,
            Self::Credentials => ReasonCode::Credentials,
            Self::Slot => ReasonCode::ClockAhead,
        }
    }

    /// Where the cause of a bake lies whose deadline comes during the wait.
    pub fn cause(self) -> Cause {
        match self {
            Self::Users | Self::Instance | Self::Absent | Self::Busy => Cause::Instance,
            Self::Outage => Cause::Outage,
            Self::Fault | Self::Throttled => Cause::Cloud,
            Self::Quota | Self::ImageQuota => Cause::Quota,
            Self::Credentials => Cause::Credentials,
            Self::Clock | Self::Slot => Cause::Operator,
        }
    }
}

impl Wait {
    /// Like [`Self::go_on`], for a call that met `error`.
    pub fn for_cloud(before: Option<&Self>, error: &ApiError, now: DateTime<Utc>) -> Self {
        Self::go_on(before, WaitReason::of(error), format!("{FOR_CLOUD}{}", error.describe()), now)
    }

    /// The wait goes on, or another one begins: `before` is the one until now. The clock may have been set back since.
    pub fn go_on(before: Option<&Self>, on: WaitReason, why: String, now: DateTime<Utc>) -> Self {
        match before.filter(|before| before.on == on) {
            Some(before) => Self { since: before.since.min(now), why, on, times: before.times.saturating_add(1) },
            None => Self { since: now, why, on, times: 1 },
        }
    }

    /// What the bake waits for, without the verb.
    pub fn what(&self) -> &str {
        self.why.strip_prefix("waits for ").unwrap_or(&self.why)
    }

    /// What it waits for as it is shown; of a cloud that does not answer also since when.
    pub(super) fn describe(&self, zone: Zone) -> String {
        if self.on != WaitReason::Outage {
            return self.why.clone();
        }
        let since = show(self.since, zone);
        format!("the cloud does not answer since {since}: {}", self.why.strip_prefix(FOR_CLOUD).unwrap_or(&self.why))
    }
}
