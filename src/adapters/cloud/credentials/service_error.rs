//! Answers of the services that give keys, and what is none: an outage passes, a rejection does not.

use std::{borrow::Cow, time::Duration};

use chrono::{DateTime, Utc};

use super::types::{NoKey, ServiceError};
use crate::{
    adapters::cloud::{
        actions::TemporaryKey,
        answer,
        http::{HttpError, Incoming},
    },
    domain::api::{
        call::{ApiError, CREDENTIALS_UNREACHABLE, ErrorClass},
        codes::Idempotency,
    },
    domain::time::rfc3339_seconds,
};

/// The error for a request to `host` without a complete response. `what` names the keys in words.
pub(super) fn unanswered(host: &str, what: &str, error: &HttpError) -> NoKey {
    of_api(host, what, &answer::unanswered(error, Idempotency::Idempotent))
}

/// Whether a service that answers with this HTTP status cannot answer now.
pub(super) fn is_down(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// The error for a response that is not the keys.
pub(super) fn unexpected(host: &str, what: &str, incoming: &Incoming) -> NoKey {
    let status = incoming.status;
    if !is_down(status) {
        return NoKey::unusable(format!("{host} refuses {what} with HTTP {status}"));
    }
    let message = format!("{host} does not give {what}: it answered HTTP {status}");
    outage(host, message, "It is asked again until it answers.".into(), answer::retry_after(incoming))
}

/// The error for a response that no service of keys sends.
pub(super) fn foreign(host: &str, what: &str) -> NoKey {
    let message = format!("{host} does not give {what}: the answer is no JSON");
    outage(host, message, "Something in between answers in its place: check the address and proxies.".into(), None)
}

/// The key, unless it has ended by the clock of this host.
pub(super) fn unless_ended(
    host: &str,
    what: &str,
    key: TemporaryKey,
    now: DateTime<Utc>,
) -> Result<TemporaryKey, NoKey> {
    if now < key.expiration {
        return Ok(key);
    }
    let end = rfc3339_seconds(key.expiration);
    Err(NoKey::unusable(format!(
        "{host} gives {what}, which ended {end}: check that service and the clock of this host"
    )))
}

/// The error for what the token service answered, or did not.
pub(super) fn of_api(host: &str, what: &str, error: &ApiError) -> NoKey {
    let message = format!("{host} does not give {what}: {}", without_canonical_text(&error.to_string()));
    match error.class {
        // The keys may be right: the clock is reported, as by the other services of the cloud.
        ErrorClass::Credential if error.is_clock() => NoKey::Service(Box::new(ServiceError {
            host: host.to_owned(),
            error: ApiError { message, ..error.clone() },
        })),
        ErrorClass::Permanent | ErrorClass::Credential => NoKey::unusable(message),
        ErrorClass::Transient | ErrorClass::Busy | ErrorClass::Unclear => {
            outage(host, message, error.advice.clone(), error.retry_after)
        }
    }
}

fn outage(host: &str, message: String, advice: Cow<'static, str>, retry_after: Option<Duration>) -> NoKey {
    let error = ApiError {
        class: ErrorClass::Transient,
        code: Some(CREDENTIALS_UNREACHABLE.to_owned()),
        message: answer::one_line(&message),
        advice,
        http_status: None,
        request_id: None,
        retry_after,
    };
    NoKey::Service(Box::new(ServiceError { host: host.to_owned(), error }))
}

/// A message about a wrong signature quotes what was signed, a token included.
fn without_canonical_text(message: &str) -> String {
    let lower = message.to_ascii_lowercase();
    match lower.find("server string") {
        Some(at) => message[..at].trim_end().to_owned(),
        None => message.to_owned(),
    }
}
