//! What is asked of the cloud for a bake, and how a call can come back without what was asked for.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

/// What kind of failure a call met: decides whether and how it is repeated. Judged by the answer's `Code` first and
/// by the HTTP status second; the table is in `cloud/codes.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Nothing happened and a later attempt may work: repeated with growing delay.
    Transient,
    /// The cloud is occupied (a task on the instance, builders in use): waited for, uses no attempts.
    Busy,
    /// Key, token or signature was not accepted: refreshed once, then everything is held.
    Credential,
    /// No repetition will help: fails now.
    Permanent,
    /// It is not known whether the cloud acted (lost answer, 5xx after sending): looked up before any repetition.
    Unclear,
}

/// A call that did not bring what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}{message}", code.as_ref().map(|code| format!("{code}: ")).unwrap_or_default())]
pub struct Refusal {
    /// What may be done about it.
    pub class: Class,
    /// The API's `Code`, or one of ours where there was no answer: `Timeout`, `ConnectFailed`, `ConnectionLost`,
    /// `AnswerNotJson`, `AnswerTooLarge`, `AnswerIncomplete`, `HttpStatus`, `CredentialsUnavailable`.
    pub code: Option<String>,
    /// The API's words, or ours; bounded to 500 characters, never a secret.
    pub message: String,
    /// One plain sentence: what an operator can do.
    pub advice: Cow<'static, str>,
    /// The HTTP status where there was one.
    pub http_status: Option<u16>,
    /// For support tickets.
    pub request_id: Option<String>,
    /// The server's own delay (x-acs-retry-after, x-ratelimit-*); wins over ours.
    pub retry_after: Option<Duration>,
}
