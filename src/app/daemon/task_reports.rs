//! What is known of each task that works beside the engine, for `status`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

/// By the name of the task.
pub(super) type TaskReports = BTreeMap<&'static str, TaskReport>;

/// What is known of a task since the daemon started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TaskReport {
    /// When the last run began.
    pub(super) last_run: Option<DateTime<Utc>>,
    /// When the next is due; `None`: after the next change.
    pub(super) next_run: Option<DateTime<Utc>>,
    /// When a run last ended with an error, and which.
    pub(super) last_error: Option<(DateTime<Utc>, String)>,
}
