//! The standing problems as this process knows them.

use chrono::{DateTime, Utc};

use crate::domain::health::ReportedProblem;

/// Result of the last comparison of problems.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// As they are committed; `None` before the first comparison.
    pub(super) committed: Option<Vec<ReportedProblem>>,
    /// Instant of the last comparison.
    pub(super) compared_at: Option<DateTime<Utc>>,
}
