//! Calls of a bake to the cloud and to the operator's hooks, their responses, and their errors.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

pub use super::class::ErrorClass;
use super::{
    cause::Cause,
    codes::{self, AccountQuota, CodeRule},
    identity::{Identity, RemoteImage, TakenName},
};
use crate::domain::hooks::{HookOutcome, HookRun};
use crate::domain::ids::ImageId;

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}{message}", code.as_ref().map(|code| format!("{code}: ")).unwrap_or_default())]
pub struct ApiError {
    /// Determines whether the call is repeated.
    pub class: ErrorClass,
    /// The API's `Code`, or one of this program if there was no valid response: `Timeout`, `ConnectFailed`,
    /// `ConnectionLost`, `AnswerNotJson`, `AnswerNotFromApi`, `AnswerTooLarge`, `AnswerIncomplete`, `ListIncomplete`,
    /// `HttpStatus`, `CredentialsUnavailable`, `CredentialsUnreachable`.
    pub code: Option<String>,
    /// Message of the API or of this program; at most 500 characters, never a secret.
    pub message: String,
    /// One sentence: what an operator can do.
    pub advice: Cow<'static, str>,
    /// HTTP status, if there was a response.
    pub http_status: Option<u16>,
    /// For support tickets.
    pub request_id: Option<String>,
    /// Delay that the server asks for (x-acs-retry-after, x-ratelimit-*), unbounded; see [`ApiError::server_delay`].
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// The message and the advice.
    pub fn describe(&self) -> String {
        let advice = self.advice.trim();
        if advice.is_empty() { self.to_string() } else { format!("{self} ({advice})") }
    }

    /// Delay that the server asks for, bounded; takes precedence over the computed one. A header that is wrong by an
    /// order of magnitude must not delay a bake for days, or leave an instance stopped that long.
    pub fn server_delay(&self) -> Option<Duration> {
        const LONGEST: Duration = Duration::from_hours(1);
        self.retry_after.map(|asked| asked.min(LONGEST))
    }
}

/// Own code of calls that were not sent, because the service that gives the keys does not answer.
pub const CREDENTIALS_UNREACHABLE: &str = "CredentialsUnreachable";
/// Own code of calls that were not sent, because there are no keys.
pub const CREDENTIALS_UNAVAILABLE: &str = "CredentialsUnavailable";

/// Own codes of calls that did not reach the cloud, or that something in between answered.
const NOT_THE_CLOUD: [&str; 5] =
    ["ConnectFailed", "AnswerNotJson", "AnswerNotFromApi", "AnswerTooLarge", CREDENTIALS_UNREACHABLE];
/// Own codes of calls that were not sent.
const NOT_SENT: [&str; 2] = ["ConnectFailed", CREDENTIALS_UNREACHABLE];
/// Own codes of calls without a complete response: the cloud may have acted.
const NO_ANSWER: [&str; 5] = ["Timeout", "ConnectionLost", "AnswerIncomplete", "ListIncomplete", "HttpStatus"];

/// Codes of the cloud for a region that it does not have.
const NO_SUCH_REGION: [&str; 5] = [
    "InvalidRegionId",
    "InvalidRegionId.NotFound",
    "InvalidRegionId.NotExist",
    "InvalidRegion.NotFound",
    "InvalidRegion.NotExist",
];

impl ApiError {
    /// Whether the cloud answered that there is no such region. A host that is not reached is no answer.
    pub fn is_no_such_region(&self) -> bool {
        self.is_decided() && self.code.as_deref().is_some_and(|code| NO_SUCH_REGION.contains(&code))
    }

    /// Whether the call counts against `retry.attempts`: if the cloud reports a failure, or may have acted. For errors
    /// of the network, a proxy or a rate limit the bake waits until its deadline.
    pub fn spends_attempt(&self) -> bool {
        match self.class {
            ErrorClass::Permanent => true,
            ErrorClass::Transient => !self.is_throttled() && !self.is_outage(),
            ErrorClass::Unclear => !self.is_not_the_cloud(),
            ErrorClass::Busy | ErrorClass::Credential => false,
        }
    }

    /// Whether the cloud could not be reached, or did not respond.
    pub fn is_outage(&self) -> bool {
        self.is_not_the_cloud() || self.code.as_deref().is_some_and(|code| NO_ANSWER.contains(&code))
    }

    /// Whether the cloud has certainly not acted.
    pub fn did_nothing(&self) -> bool {
        match self.class {
            ErrorClass::Busy | ErrorClass::Credential => true,
            _ => {
                self.code.as_deref().is_some_and(|code| NOT_SENT.contains(&code))
                    || self.is_throttled() && !self.is_outage()
            }
        }
    }

    /// Whether a rate limit rejected it.
    pub fn is_throttled(&self) -> bool {
        let by_code = |code: &str| code.contains("Throttling") || code == "TooManyRequests";
        self.http_status == Some(429) || self.code.as_deref().is_some_and(by_code)
    }

    /// Whether a quota is exceeded.
    pub fn is_quota(&self) -> bool {
        self.rule().is_some_and(|rule| rule.cause == Cause::Quota)
    }

    /// The account's quota that is exceeded, if that is the reason.
    pub fn account_quota(&self) -> Option<AccountQuota> {
        self.rule().and_then(|rule| rule.quota)
    }

    /// Cause of the failure of a bake that ends with this error.
    pub fn cause(&self) -> Cause {
        match (self.rule(), self.class) {
            (Some(rule), _) => rule.cause,
            (None, ErrorClass::Credential) => Cause::Credentials,
            (None, _) if self.is_outage() => Cause::Outage,
            (None, _) => Cause::Cloud,
        }
    }

    fn rule(&self) -> Option<&'static CodeRule> {
        self.code.as_deref().and_then(codes::find)
    }

    /// Whether the time stamp was rejected: this host's clock is wrong. The credentials may be valid.
    pub fn is_clock(&self) -> bool {
        self.code.as_deref().is_some_and(|code| code.starts_with("InvalidTimeStamp"))
    }

    fn is_not_the_cloud(&self) -> bool {
        self.code.as_deref().is_some_and(|code| NOT_THE_CLOUD.contains(&code))
    }

    /// Whether the cloud processed the call and rejected it. Rate limits and missing responses are no rejection.
    pub fn is_decided(&self) -> bool {
        self.http_status.is_some()
            && self.class != ErrorClass::Unclear
            && self.code.as_deref().is_some_and(|code| !code.contains("Throttling"))
    }
}

/// A call to the cloud or of a hook, with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// Get the state of the instance.
    DescribeInstance,
    /// List the sessions of the workstation.
    ListSessions,
    /// Ask whether the desktop is in maintenance.
    DescribeMaintenance,
    /// Begin the maintenance of the desktop.
    EnterMaintenance,
    /// End it.
    LeaveMaintenance,
    /// Stop the instance.
    StopInstance,
    /// Start the instance.
    StartInstance,
    /// CreateImageByInstance, under the name and tags of the slot.
    CreateImage(Identity),
    /// Search for the image of this slot, by name and by tags.
    FindImage(Identity),
    /// Search for images of other lines on the instance that are being made.
    FindImagesInProgress,
    /// Get the status of this image.
    DescribeImage(ImageId),
    /// Run a hook on this host.
    RunHook(HookRun),
}

impl Call {
    /// Whether a blind repetition could do harm: its intent is committed before it is sent.
    pub fn is_create(&self) -> bool {
        matches!(self, Self::CreateImage(_))
    }

    /// Spelling in the attempts table.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::DescribeInstance => "describe_instance",
            Self::ListSessions => "list_sessions",
            Self::DescribeMaintenance => "describe_maintenance",
            Self::EnterMaintenance => "enter_maintenance",
            Self::LeaveMaintenance => "leave_maintenance",
            Self::StopInstance => "stop_instance",
            Self::StartInstance => "start_instance",
            Self::CreateImage(_) => "create_image",
            Self::FindImage(_) => "find_image",
            Self::FindImagesInProgress => "find_images_in_progress",
            Self::DescribeImage(_) => "describe_image",
            Self::RunHook(_) => "run_hook",
        }
    }
}

/// Response to a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// To `DescribeInstance`; `None`: a valid response does not list it.
    Instance(Option<PowerState>),
    /// To `ListSessions`: their ids; `None`: a valid response does not list the workstation.
    Sessions(Option<Vec<String>>),
    /// To `ListSessions`: the workstation is listed, without a list of its sessions.
    SessionsNotListed,
    /// To `DescribeMaintenance`; `None`: a valid response does not list the desktop.
    Maintenance(Option<bool>),
    /// To `StopInstance`, `StartInstance`, `EnterMaintenance` and `LeaveMaintenance`: the cloud has accepted the task.
    Accepted,
    /// To `CreateImage`.
    Created(MadeImage),
    /// To `FindImage`; `None`: neither an image of the slot nor one with its name is listed.
    Found(Option<RemoteImage>),
    /// To `FindImagesInProgress`.
    InProgress(Vec<RemoteImage>),
    /// To `FindImage`: no image of the slot is listed, but these have its name.
    NameTaken(TakenName),
    /// To `DescribeImage`; `None`: not listed.
    Image(Option<RemoteImage>),
    /// To `RunHook`.
    Hook(HookOutcome),
    /// To any call that failed.
    Refused(ApiError),
    /// The call was not sent: its time had passed before the rate limit admitted it, or the daemon stops.
    NotSent,
}

impl Response {
    /// To `FindImage`, from complete lists of the images with the name and of those with the tags of the slot.
    pub fn of_search(identity: &Identity, images: Vec<RemoteImage>) -> Self {
        let taken = identity.taken_name(&images);
        match (identity.choose(images), taken) {
            (None, Some(taken)) => Self::NameTaken(taken),
            (found, _) => Self::Found(found),
        }
    }
}

/// Ids in the response to the create call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeImage {
    /// The image.
    pub image_id: ImageId,
    /// Its version (`iv-…`).
    pub version_id: Option<String>,
    /// The task that makes it (`tid-…`): no call uses it, it is stored for support tickets.
    pub task_id: Option<String>,
}

/// State of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PowerState {
    /// Running, without a known connected user.
    Running,
    /// Running, with a connected user: the name, if the cloud lists one.
    RunningInUse(String),
    /// Stopped.
    Stopped,
    /// In a transitional or undocumented state, as the cloud spells it: polled again later.
    Transitioning(String),
    /// In a state that does not change by itself, as the cloud spells it.
    Final(String),
}
