//! What kind of failure a call met.

use serde::{Deserialize, Serialize};

/// What kind of failure a call met: decides whether and how it is repeated. Judged by the answer's `Code` first and
/// by the HTTP status second; the table is [`codes`](super::codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
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
