//! Errors of cron expressions, with their place.

use std::ops::Range;

/// An invalid cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    /// Index of the expression, from 0.
    pub index: usize,
    /// Byte range in that expression.
    pub span: Range<usize>,
    /// The error.
    pub message: String,
    /// The correction.
    pub hint: String,
}

impl CronError {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { index: 0, span, message: message.into(), hint: hint.into() }
    }
}
