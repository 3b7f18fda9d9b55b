//! Status that the engine publishes.

use std::{collections::HashSet, sync::Arc, time::Instant};

use chrono::{DateTime, Utc};

use super::{Engine, UPCOMING, comparison::Uncompared, credentials::Suspension, history::LostHistory};
use crate::{
    app::daemon::planner::Upcoming,
    domain::{health::lines::Line, ids::ScheduleId, pause::Pause},
};

/// State of the engine after a turn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EngineStatus {
    /// Number of ticks and of batches of responses.
    pub ticks: u64,
    /// Last tick, by the wall clock.
    pub last_tick_at: Option<DateTime<Utc>>,
    /// Last tick, by the monotonic clock.
    pub last_tick: Option<Instant>,
    /// Counts turns with a change; clients that wait for a change observe it.
    pub changes: u64,
    /// Suspension after rejected credentials.
    pub suspension: Option<Suspension>,
    /// Instant at which the quota of images last rejected a create call, while it prevents bakes.
    pub image_quota_refused: Option<DateTime<Utc>>,
    /// The database cannot be used.
    pub store_error: Option<String>,
    /// Start of the failure.
    pub store_error_since: Option<DateTime<Utc>>,
    /// History and cloud must be compared first.
    pub uncompared: Option<Uncompared>,
    /// The history's files have lost their names.
    pub lost_history: Option<LostHistory>,
    /// Fingerprint of the configuration in force.
    pub config_hash: String,
    /// Future slots.
    pub upcoming: Vec<Upcoming>,
    /// Number of schedules in force.
    pub schedules: usize,
    /// The lines of all schedules in force.
    pub lines: Arc<[PlannedLine]>,
    /// Paused schedules, except those paused in the configuration.
    pub pauses: Vec<Pause>,
}

/// A line of a schedule in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedLine {
    /// The schedule's stable id.
    pub schedule_id: ScheduleId,
    /// Whether the schedule is paused in the configuration.
    pub paused_in_file: bool,
    /// Settings for the health of its image.
    pub line: Line,
}

impl Engine {
    pub(super) fn publish_status(&mut self, store_error: Option<String>, changed: bool) {
        let image_quota_refused = self.image_quota_refused();
        self.publish.send_modify(|status| {
            status.image_quota_refused = image_quota_refused;
            status.store_error = store_error;
            status.store_error_since = self.store_failure.as_ref().map(|failure| failure.since);
            status.uncompared.clone_from(&self.uncompared);
            status.lost_history.clone_from(&self.lost);
            status.changes += u64::from(changed);
            status.suspension.clone_from(&self.suspension);
            let renewed = status.config_hash != self.config_hash || !self.status_published;
            if renewed {
                status.pauses = self.planner.pauses_at(self.last_turn).cloned().collect();
                status.config_hash.clone_from(&self.config_hash);
                let ids: HashSet<_> = self.planner.planned().map(|planned| &planned.schedule.id).collect();
                status.schedules = ids.len();
                status.lines = self
                    .planner
                    .planned()
                    .map(|planned| PlannedLine {
                        schedule_id: planned.schedule.id.clone(),
                        paused_in_file: planned.schedule.paused,
                        line: Line {
                            id: planned.line.clone(),
                            schedule: planned.schedule.name.clone(),
                            zone: planned.schedule.timing.zone(),
                            max_image_age: planned.schedule.max_image_age,
                            known_since: planned.known_since,
                        },
                    })
                    .collect();
            }
            if changed || renewed || status.upcoming.is_empty() {
                status.upcoming = self.planner.upcoming(UPCOMING, self.last_turn);
            }
        });
        self.status_published = true;
    }
}
