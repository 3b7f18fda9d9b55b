//! What happens when a slot is due: hooks, stop, create, build, start; retries, names, versions and the end of it.
//!
//! [`transition::step`] is the whole of it: a pure function from a bake's state and an event to the next state and one
//! effect. The daemon commits the state and only then carries out the effect, so a bake that is read back from the
//! database after a crash goes on where its last commit left it.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    clock::{STEP_BACK, shifted},
    ids::{BakeId, InstanceId, LineId, ScheduleId, ScheduleName},
};

mod describe;
pub mod event;
pub mod hook_environment;
pub mod identity;
pub mod naming;
pub mod queue;
pub mod reason;
pub mod retry;
pub mod settings;
pub mod state;
pub mod transition;
pub mod waiting;

pub use self::settings::BakeSettings;
pub use self::state::State;

/// The work for one slot of one instance, or for one manual request.
#[derive(Debug, Clone, PartialEq)]
pub struct Bake {
    /// Its number in the history.
    pub id: BakeId,
    /// The schedule it belongs to.
    pub schedule_id: ScheduleId,
    /// What the schedule was called when the bake was recorded.
    pub schedule: ScheduleName,
    /// The instance to image.
    pub instance_id: InstanceId,
    /// The line that the image belongs to.
    pub line: LineId,
    /// The due instant; for a manual request the moment of the request.
    pub slot: DateTime<Utc>,
    /// Why there is a bake.
    pub trigger: Trigger,
    /// When it is given up, unless its image is being made by then: `deadline` after the slot, or after the row of a slot
    /// that was caught up. Stored with the row; neither a restart nor a reload moves it.
    pub give_up_at: DateTime<Utc>,
    /// What it does, as of its beginning.
    pub settings: Arc<BakeSettings>,
    /// How far it is.
    pub state: State,
}

impl Bake {
    /// The first instant, by the cloud's time, at which it may begin: its slot, less what a clock may be off without notice.
    /// A request of a person has none.
    pub fn earliest(&self) -> DateTime<Utc> {
        match self.trigger {
            Trigger::Manual => DateTime::<Utc>::MIN_UTC,
            Trigger::Slot | Trigger::CaughtUp => shifted(self.slot, -STEP_BACK),
        }
    }

    /// Whether its instance was stopped for as long as it may: it does no more than to search for its image and to start the
    /// instance.
    pub fn only_restarts(&self, now: DateTime<Utc>, unproven: TimeDelta) -> bool {
        let State::Ready { work, .. } = &self.state else { return false };
        work.downtime_end(self.settings.max_downtime, now).is_some_and(|end| shifted(now, -unproven) >= end)
    }

    /// Whether nothing may be begun any more at `now`. Of the time until then, `unproven` may not have passed: a clock that
    /// is ahead ends no bake.
    pub fn is_past_deadline(&self, now: DateTime<Utc>, unproven: TimeDelta) -> bool {
        shifted(now, -unproven) > self.give_up_at
    }
}

/// Why there is a row in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The slot came due.
    Slot,
    /// The slot was missed and is made up for.
    CaughtUp,
    /// A person asked.
    Manual,
}

impl Trigger {
    /// As the history spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slot => "slot",
            Self::CaughtUp => "caught_up",
            Self::Manual => "manual",
        }
    }

    /// Reads the history's spelling.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Slot, Self::CaughtUp, Self::Manual].into_iter().find(|trigger| trigger.as_str() == text)
    }
}
