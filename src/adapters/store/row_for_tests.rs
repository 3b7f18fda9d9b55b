//! A row of the history for tests, here and of the page.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::NewRow;
use crate::domain::{
    bake::{BakeSettings, State, Trigger},
    ids::{InstanceId, LineId, ScheduleId},
};

/// The queued bake of a slot. Schedule, id and line have one name.
pub(crate) fn queued_row(schedule: &str, instance: &str, slot: DateTime<Utc>, settings: Arc<BakeSettings>) -> NewRow {
    NewRow {
        schedule_id: ScheduleId::from(schedule),
        schedule: schedule.into(),
        instance_id: InstanceId::from(instance),
        line: LineId::from(schedule),
        slot,
        first_slot: slot,
        slot_count: 1,
        trigger: Trigger::Slot,
        settings: Some(settings),
        state: State::Queued { not_before: slot, suspended: None },
    }
}
