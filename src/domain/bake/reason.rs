//! Reason codes: why a row ended without a good image. Health counts by code; `--json` and SQL return it.

use crate::domain::api::{
    call::{ApiError, ErrorClass},
    cause::Cause,
};
use serde::{Deserialize, Serialize};

/// Machine-readable reason of an end without a good image. The words are stable: scripts compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// The daemon could not run when the slot was due, and `catch_up` does not bake it.
    Missed,
    /// The schedule was paused.
    Paused,
    /// Another bake of the instance was running, and `overlap` is `skip`.
    Overlap,
    /// A user was connected to the instance.
    UsersConnected,
    /// No image was started before the deadline.
    Deadline,
    /// A `before` hook refused the bake.
    VetoedByHook,
    /// A hook did not start, or failed.
    HookFailed,
    /// The instance is in a state that allows no image, or does not exist.
    InstanceState,
    /// The row was written while the clock was ahead.
    ClockAhead,
    /// The cloud rejected the credentials until the deadline.
    Credentials,
    /// A calendar excludes the slot.
    Calendar,
    /// A newer slot is baked instead.
    Superseded,
    /// A person cancelled the bake.
    Cancelled,
    /// The cloud reports `CREATE_FAILED`.
    CreatedFailed,
    /// The image was still being made after `build_deadline`.
    Stuck,
    /// The image is not listed any more, or was deleted during its build.
    Vanished,
    /// Another image has the name.
    NameTaken,
    /// A quota was exceeded.
    Quota,
    /// The cloud could not be reached, or did not answer.
    Outage,
    /// The cloud rejected a call permanently.
    Refused,
    /// `observe` is set: the daemon makes no changes.
    Observe,
}

impl ReasonCode {
    /// Reason code for a bake that ends with this error.
    pub fn of(error: &ApiError) -> Self {
        let code = error.code.as_deref().unwrap_or_default();
        match error.class {
            ErrorClass::Credential if error.is_clock() => Self::Outage,
            ErrorClass::Credential => Self::Credentials,
            _ if error.is_quota() => Self::Quota,
            _ if code.ends_with("Instance.NotFound") || code.contains("Status") && code != "HttpStatus" => {
                Self::InstanceState
            }
            ErrorClass::Permanent | ErrorClass::Busy => Self::Refused,
            ErrorClass::Transient | ErrorClass::Unclear => Self::Outage,
        }
    }

    /// Where the cause of a bake lies that failed with this code, if no error of the cloud says more. `None`: no bake fails
    /// with this code.
    pub const fn cause(self) -> Option<Cause> {
        match self {
            Self::CreatedFailed | Self::Stuck | Self::Vanished => Some(Cause::Image),
            // Past the deadline without an obstacle: the instance was not ready in time.
            Self::InstanceState | Self::Deadline => Some(Cause::Instance),
            Self::Quota => Some(Cause::Quota),
            Self::Outage => Some(Cause::Outage),
            Self::Credentials => Some(Cause::Credentials),
            Self::HookFailed => Some(Cause::Hook),
            Self::NameTaken | Self::Refused => Some(Cause::Operator),
            Self::Missed
            | Self::Paused
            | Self::Overlap
            | Self::UsersConnected
            | Self::VetoedByHook
            | Self::ClockAhead
            | Self::Calendar
            | Self::Superseded
            | Self::Cancelled
            | Self::Observe => None,
        }
    }

    /// All codes, in the order of their declaration.
    pub const ALL: [Self; 21] = [
        Self::Missed,
        Self::Paused,
        Self::Overlap,
        Self::UsersConnected,
        Self::Deadline,
        Self::VetoedByHook,
        Self::HookFailed,
        Self::InstanceState,
        Self::ClockAhead,
        Self::Credentials,
        Self::Calendar,
        Self::Superseded,
        Self::Cancelled,
        Self::CreatedFailed,
        Self::Stuck,
        Self::Vanished,
        Self::NameTaken,
        Self::Quota,
        Self::Outage,
        Self::Refused,
        Self::Observe,
    ];

    /// Spelling in tables, in JSON and in serde.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::Paused => "paused",
            Self::Overlap => "overlap",
            Self::UsersConnected => "users_connected",
            Self::Deadline => "deadline",
            Self::VetoedByHook => "vetoed_by_hook",
            Self::HookFailed => "hook_failed",
            Self::InstanceState => "instance_state",
            Self::ClockAhead => "clock_ahead",
            Self::Credentials => "credentials",
            Self::Calendar => "calendar",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
            Self::CreatedFailed => "created_failed",
            Self::Stuck => "stuck",
            Self::Vanished => "vanished",
            Self::NameTaken => "name_taken",
            Self::Quota => "quota",
            Self::Outage => "outage",
            Self::Refused => "refused",
            Self::Observe => "observe",
        }
    }

    /// Parses a code; `None` for an unknown word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }

    /// Code for rows of older versions, which have none.
    pub(crate) const fn unrecorded() -> Self {
        Self::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes that bakes fail with; any other ends a bake as skipped or cancelled.
    #[test]
    fn every_code_of_a_failure_has_its_cause() {
        let mut causes: Vec<_> = ReasonCode::ALL
            .into_iter()
            .filter_map(|code| code.cause().map(|cause| format!("{} {}", code.as_str(), cause.as_str())))
            .collect();
        causes.sort_unstable();
        assert_eq!(
            causes,
            [
                "created_failed image",
                "credentials credentials",
                "deadline instance",
                "hook_failed hook",
                "instance_state instance",
                "name_taken operator",
                "outage outage",
                "quota quota",
                "refused operator",
                "stuck image",
                "vanished image",
            ]
        );
    }

    #[test]
    fn an_error_determines_the_code_and_the_cause() {
        use crate::domain::api::codes::{self, Idempotency};
        for (code, status, reason, cause) in [
            ("Instance.NotFound", 404, "instance_state", "instance"),
            ("Instance.ImageUnsupported", 400, "refused", "instance"),
            ("InvalidBaseImage.NotConfigured", 400, "refused", "instance"),
            ("ImageCreateByInstance.TaskExist", 400, "refused", "instance"),
            ("IncorrectDesktopStatus", 400, "instance_state", "instance"),
            ("ExceedBuilderQuota", 400, "quota", "quota"),
            ("QuotaExceeded.Image", 403, "quota", "quota"),
            ("ImageQuotaExceeded", 403, "quota", "quota"),
            ("LimitExceeded.Images", 403, "quota", "quota"),
            ("Throttling.User", 400, "outage", "cloud"),
            ("InternalError", 500, "outage", "cloud"),
            ("NeverHeardOf", 400, "refused", "cloud"),
            ("NeverHeardOf", 500, "outage", "cloud"),
            ("Forbidden.RAM", 403, "refused", "credentials"),
            ("InvalidAccessKeyId.NotFound", 404, "credentials", "credentials"),
            ("InvalidTimeStamp.Expired", 400, "outage", "operator"),
            ("InvalidBizType", 400, "refused", "operator"),
        ] {
            let class = codes::judge(Some(code), status, Idempotency::Idempotent).class;
            let error = error(class, code);
            assert_eq!((ReasonCode::of(&error).as_str(), error.cause().as_str()), (reason, cause), "{code} {status}");
        }
        for (class, code) in [
            (ErrorClass::Permanent, "ConnectFailed"),
            (ErrorClass::Unclear, "Timeout"),
            (ErrorClass::Transient, "AnswerNotFromApi"),
        ] {
            assert_eq!(error(class, code).cause(), Cause::Outage, "{code}");
        }
        assert_eq!(error(ErrorClass::Credential, "CredentialsUnavailable").cause(), Cause::Credentials);
    }

    fn error(class: ErrorClass, code: &str) -> ApiError {
        ApiError {
            class,
            code: Some(code.to_owned()),
            message: String::new(),
            advice: String::new().into(),
            http_status: None,
            request_id: None,
            retry_after: None,
        }
    }

    #[test]
    fn every_word_is_read_back_and_is_the_one_of_json() {
        for code in ReasonCode::ALL {
            assert_eq!(ReasonCode::parse(code.as_str()), Some(code));
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
        assert_eq!(ReasonCode::parse("nonsense"), None);
    }
}
