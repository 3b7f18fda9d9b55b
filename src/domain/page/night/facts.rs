//! What a night is computed from.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::{
    clock::shifted,
    ids::{InstanceId, LineId, ScheduleId},
    pause::Pause,
    plan::forecast::{Builders, Durations},
    schedule::Schedule,
    schedule_rows::outcome::Outcome,
};

/// A bake as the history has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The bake's number.
    pub bake: i64,
    /// The schedule's name.
    pub schedule: String,
    /// The instance.
    pub instance: InstanceId,
    /// The line.
    pub line: LineId,
    /// Region of the instance.
    pub region: String,
    /// The slot.
    pub slot: DateTime<Utc>,
    /// Number of slots of the row.
    pub slot_count: i64,
    /// The word of its state.
    pub state: String,
    /// Whether its image is vetoed.
    pub vetoed: bool,
    /// Its reason.
    pub reason: Option<String>,
    /// Instant of its next step.
    pub wake_at: Option<DateTime<Utc>>,
    /// Its deadline.
    pub give_up_at: Option<DateTime<Utc>>,
    /// Its first call that changed something.
    pub begun_at: Option<DateTime<Utc>>,
    /// Its end.
    pub finished_at: Option<DateTime<Utc>>,
    /// Whether the configuration does not have its schedule and instance any more.
    pub is_former: bool,
}

impl Recorded {
    /// Its result.
    pub fn outcome(&self) -> Outcome {
        Outcome::with_veto(&self.state, self.vetoed)
    }

    /// Whether it is in the queue; it may have begun before, and gone back.
    pub fn is_queued(&self) -> bool {
        self.finished_at.is_none() && (self.begun_at.is_none() || self.outcome() == Outcome::Queued)
    }

    /// How long it took from its first call to its end; `None` while it runs and for one without a call.
    pub fn took(&self) -> Option<TimeDelta> {
        let took = self.finished_at? - self.begun_at?;
        (took > TimeDelta::zero()).then_some(took)
    }
}

/// Ended bakes of the slots of a few minutes, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Begin of these minutes.
    pub slot: DateTime<Utc>,
    /// The result of these bakes.
    pub outcome: Outcome,
    /// Whether the configuration does not have their schedules and instances any more.
    pub is_former: bool,
    /// Their number.
    pub count: usize,
    /// End of the last one.
    pub last_end: DateTime<Utc>,
}

/// What a night is computed from.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Bakes since [`needed_from`](super::needed_from), and all open ones.
    pub recorded: Vec<Recorded>,
    /// The ended ones among them as numbers, where they are too many to be listed; `recorded` has the open ones only then.
    pub counted: Vec<Counted>,
    /// Schedules in force that are not paused in the file.
    pub schedules: Vec<Arc<Schedule>>,
    /// Those of them that are paused otherwise: some of their slots may come after the end of the pause.
    pub pauses: HashMap<ScheduleId, Pause>,
    /// Durations of former bakes.
    pub durations: Durations,
    /// Maximum number of images that are made at once.
    pub builders: Builders,
    /// Whether the daemon only observes: no slot is baked.
    pub observes: bool,
}

impl Facts {
    /// Whether a slot to come is skipped because its schedule is paused.
    pub(super) fn is_paused(&self, schedule: &Schedule, slot: DateTime<Utc>) -> bool {
        schedule.paused || self.pauses.get(&schedule.id).is_some_and(|pause| pause.covers(slot))
    }

    /// End of a bake of a line that begins then, by the durations of former ones.
    pub(super) fn expected_end(&self, line: &LineId, begin: DateTime<Utc>) -> DateTime<Utc> {
        let takes = TimeDelta::from_std(self.durations.expected(line)).unwrap_or(TimeDelta::zero());
        shifted(begin, takes)
    }
}
