//! What is asked of the cloud, and of the operator's hooks, for a bake, and how a call can come back without what was asked for.

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

/// A call that did not bring what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}{message}", code.as_ref().map(|code| format!("{code}: ")).unwrap_or_default())]
pub struct ApiError {
    /// What may be done about it.
    pub class: ErrorClass,
    /// The API's `Code`, or one of ours where there was no answer: `Timeout`, `ConnectFailed`, `ConnectionLost`,
    /// `AnswerNotJson`, `AnswerNotFromApi`, `AnswerTooLarge`, `AnswerIncomplete`, `ListIncomplete`, `HttpStatus`,
    /// `CredentialsUnavailable`.
    pub code: Option<String>,
    /// The API's words, or ours; bounded to 500 characters, never a secret.
    pub message: String,
    /// One plain sentence: what an operator can do.
    pub advice: Cow<'static, str>,
    /// The HTTP status where there was one.
    pub http_status: Option<u16>,
    /// For support tickets.
    pub request_id: Option<String>,
    /// The server's own delay (x-acs-retry-after, x-ratelimit-*), as it came; see [`ApiError::server_delay`].
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// The cloud's words, and what can be done.
    pub fn describe(&self) -> String {
        let advice = self.advice.trim();
        if advice.is_empty() { self.to_string() } else { format!("{self} ({advice})") }
    }

    /// The delay that the server asked for; wins over ours. A header that is wrong by an order of magnitude must not
    /// put a bake to sleep for days, or leave a stopped instance so long.
    pub fn server_delay(&self) -> Option<Duration> {
        const LONGEST: Duration = Duration::from_hours(1);
        self.retry_after.map(|asked| asked.min(LONGEST))
    }
}

/// Codes of ours where nothing reached the cloud, or where something on the way answered in its place.
const NOT_THE_CLOUD: [&str; 4] = ["ConnectFailed", "AnswerNotJson", "AnswerNotFromApi", "AnswerTooLarge"];
/// Codes of ours where the cloud may have acted, and brought no whole answer.
const NO_ANSWER: [&str; 5] = ["Timeout", "ConnectionLost", "AnswerIncomplete", "ListIncomplete", "HttpStatus"];

impl ApiError {
    /// Whether the call counts against `retry.attempts`: where the cloud itself says that it failed, or may have acted.
    /// What the network, a proxy or a limit on calls keeps from it is waited for instead, until the deadline.
    pub fn spends_attempt(&self) -> bool {
        match self.class {
            ErrorClass::Permanent => true,
            ErrorClass::Transient => !self.is_throttled() && !self.is_outage(),
            ErrorClass::Unclear => !self.is_not_the_cloud(),
            ErrorClass::Busy | ErrorClass::Credential => false,
        }
    }

    /// Whether the cloud could not be reached, or did not answer.
    pub fn is_outage(&self) -> bool {
        self.is_not_the_cloud() || self.code.as_deref().is_some_and(|code| NO_ANSWER.contains(&code))
    }

    /// Whether it is certain that the cloud did not act on the call.
    pub fn did_nothing(&self) -> bool {
        match self.class {
            ErrorClass::Busy | ErrorClass::Credential => true,
            _ => self.code.as_deref() == Some("ConnectFailed") || self.is_throttled() && !self.is_outage(),
        }
    }

    /// Whether a limit on calls refused it.
    pub fn is_throttled(&self) -> bool {
        let by_code = |code: &str| code.contains("Throttling") || code == "TooManyRequests";
        self.http_status == Some(429) || self.code.as_deref().is_some_and(by_code)
    }

    /// Whether a quota is used up.
    pub fn is_quota(&self) -> bool {
        self.rule().is_some_and(|rule| rule.cause == Cause::Quota)
    }

    /// The quota of the account that is used up, if that is why the call was refused.
    pub fn account_quota(&self) -> Option<AccountQuota> {
        self.rule().and_then(|rule| rule.quota)
    }

    /// Where the cause of a bake lies that ends by this error.
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

    /// Whether the time stamp was refused: this host's clock is off. The credentials may be right.
    pub fn is_clock(&self) -> bool {
        self.code.as_deref().is_some_and(|code| code.starts_with("InvalidTimeStamp"))
    }

    fn is_not_the_cloud(&self) -> bool {
        self.code.as_deref().is_some_and(|code| NOT_THE_CLOUD.contains(&code))
    }

    /// Whether the cloud considered the call and declined it. Who was only too fast, or got no answer, was not refused.
    pub fn is_decided(&self) -> bool {
        self.http_status.is_some()
            && self.class != ErrorClass::Unclear
            && self.code.as_deref().is_some_and(|code| !code.contains("Throttling"))
    }
}

/// A call to the cloud, or of a hook, with all that it needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// What is the instance doing?
    DescribeInstance,
    /// Stop it.
    StopInstance,
    /// Start it.
    StartInstance,
    /// CreateImageByInstance, under the name and tags of the slot.
    CreateImage(Identity),
    /// Is there an image of this slot? By name first, by tags second.
    FindImage(Identity),
    /// Which images of lines on the instance are being made?
    FindImagesInProgress,
    /// How far is this image?
    DescribeImage(ImageId),
    /// Run the operator's command on this host.
    RunHook(HookRun),
}

impl Call {
    /// Whether repeating the call without looking could do harm: its intent is committed before it is sent.
    pub fn is_create(&self) -> bool {
        matches!(self, Self::CreateImage(_))
    }

    /// As the attempts table names it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::DescribeInstance => "describe_instance",
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

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// To `DescribeInstance`; `None`: a well-formed answer does not list it.
    Instance(Option<PowerState>),
    /// To `StopInstance` and `StartInstance`: the cloud will see to it.
    Accepted,
    /// To `CreateImage`.
    Created(MadeImage),
    /// To `FindImage`; `None`: neither an image of the slot nor one of its name is listed.
    Found(Option<RemoteImage>),
    /// To `FindImagesInProgress`.
    InProgress(Vec<RemoteImage>),
    /// To `FindImage`: no image of the slot is listed, but these carry its name.
    NameTaken(TakenName),
    /// To `DescribeImage`; `None`: not listed.
    Image(Option<RemoteImage>),
    /// To `RunHook`.
    Hook(HookOutcome),
    /// Instead of any answer of the cloud's.
    Refused(ApiError),
    /// The call did not go out: its time had passed before the rate limit let it, or the daemon stops.
    NotSent,
}

impl Response {
    /// To `FindImage`, of whole lists that show every image of the name and every one with the tags of the slot.
    pub fn of_search(identity: &Identity, images: Vec<RemoteImage>) -> Self {
        let taken = identity.taken_name(&images);
        match (identity.choose(images), taken) {
            (None, Some(taken)) => Self::NameTaken(taken),
            (found, _) => Self::Found(found),
        }
    }
}

/// The ids that the create call answers with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeImage {
    /// The image.
    pub image_id: ImageId,
    /// Its version (`iv-…`).
    pub version_id: Option<String>,
    /// The task that makes it (`tid-…`): no call takes it, it is kept for support tickets.
    pub task_id: Option<String>,
}

/// What an instance is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PowerState {
    /// It runs, and nobody is known to be connected.
    Running,
    /// It runs, and a user is connected: the name, if the cloud gives one.
    RunningInUse(String),
    /// It is at rest.
    Stopped,
    /// In a passing state, or in one that is not documented: looked at again later. The text is the cloud's.
    Transitioning(String),
    /// In a state that does not change by itself. The text is the cloud's.
    Final(String),
}
