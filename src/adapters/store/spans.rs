//! Stretches of slots.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::StoreError;
use crate::domain::ids::{InstanceId, ScheduleId};

/// Slots of one (schedule, instance): after `after`, until `until` inclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// The instance.
    pub instance_id: InstanceId,
    /// Exclusive.
    pub after: DateTime<Utc>,
    /// Inclusive.
    pub until: DateTime<Utc>,
}

pub(super) fn spans_json(spans: &[Span]) -> Result<String, StoreError> {
    #[derive(Serialize)]
    struct Wanted<'a> {
        schedule_id: &'a ScheduleId,
        instance_id: &'a InstanceId,
        after: i64,
        until: i64,
    }
    let wanted: Vec<_> = spans
        .iter()
        .map(|Span { schedule_id, instance_id, after, until }| Wanted {
            schedule_id,
            instance_id,
            after: after.timestamp_millis(),
            until: until.timestamp_millis(),
        })
        .collect();
    serde_json::to_string(&wanted).map_err(StoreError::Encode)
}
