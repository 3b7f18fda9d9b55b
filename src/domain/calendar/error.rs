//! What is wrong with a cron expression, and where.

use std::ops::Range;

/// An expression that is not a cron rule, with the place inside it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    /// Which of the expressions, from 0.
    pub index: usize,
    /// Bytes of that expression.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl CronError {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { index: 0, span, message: message.into(), hint: hint.into() }
    }
}
