//! Classes of errors.

use serde::{Deserialize, Serialize};

/// Class of an error: determines whether and how a call is repeated. The response's `Code` decides first, the HTTP
/// status second; the table is in [`codes`](super::codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Nothing happened and a later attempt may work: repeated with growing delay.
    Transient,
    /// The cloud is occupied (a task on the instance, builders in use): the bake waits, without using an attempt.
    Busy,
    /// Key, token or signature was rejected: refreshed once, then all schedules are suspended.
    Credential,
    /// A repetition does not help: the bake fails now.
    Permanent,
    /// The cloud may have acted (lost response, 5xx after sending): the result is looked up before any repetition.
    Unclear,
}
