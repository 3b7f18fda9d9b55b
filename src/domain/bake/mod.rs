//! The bake of one slot: hooks, stop, create, build, start, retries, names and versions.
//!
//! [`transition::step`] is a pure function from a bake's state and an event to the next state and one effect. The
//! daemon commits the state before it carries out the effect. After a crash a bake continues from its last commit.
//!
//! ```
//! use imagebaked::domain::bake::naming::Template;
//!
//! let template = Template::parse("{name}-{slot:%Y%m%d}")?;
//! assert!(!template.is_unique_per_slot(), "two slots of one day get the same name");
//! # Ok::<(), imagebaked::domain::bake::naming::TemplateError>(())
//! ```

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
pub mod maintenance;
pub mod naming;
pub mod queue;
pub mod reason;
pub mod retry;
pub mod settings;
pub mod state;
pub mod stored_settings;
pub mod transition;
pub mod unfollowed;
pub mod waiting;

pub use self::settings::BakeSettings;
use self::state::BakeWork;
pub use self::state::State;

/// The work for one slot of one instance, or for one manual request.
#[derive(Debug, Clone, PartialEq)]
pub struct Bake {
    /// Number in the history, from 1.
    pub id: BakeId,
    /// Stable id of the schedule.
    pub schedule_id: ScheduleId,
    /// Name of the schedule when the bake was recorded.
    pub schedule: ScheduleName,
    /// Instance whose image is made.
    pub instance_id: InstanceId,
    /// Line of the image.
    pub line: LineId,
    /// Due instant of the slot; for a manual request the instant of the request.
    pub slot: DateTime<Utc>,
    /// Reason for the row.
    pub trigger: Trigger,
    /// The bake is given up at this instant unless its image is being made: `deadline` after the slot, or after the row
    /// of a slot that was caught up. Stored with the row; neither a restart nor a reload changes it.
    pub give_up_at: DateTime<Utc>,
    /// Settings of the schedule when the bake started.
    pub settings: Arc<BakeSettings>,
    /// Current state.
    pub state: State,
}

impl Bake {
    /// First instant, by the cloud's time, at which the bake may start: its slot, less the clock difference that goes
    /// unnoticed. Manual requests have no such bound.
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

    /// Whether the sessions of its workstation are listed before anything else. A row of an older version that has begun goes
    /// on with the session that the configuration names.
    fn needs_session(&self, work: &BakeWork) -> bool {
        let has_begun = work.end_hooks_pending || work.downtime.stops > 0 || work.evidence.first_sent.is_some();
        let settings = &self.settings;
        work.session.is_none() && (settings.asks_for_session() || settings.has_sessions() && !has_begun)
    }

    /// Whether nothing may be begun any more at `now`. Of the time until then, `unproven` may not have passed: a clock that
    /// is ahead ends no bake.
    pub fn is_past_deadline(&self, now: DateTime<Utc>, unproven: TimeDelta) -> bool {
        shifted(now, -unproven) > self.give_up_at
    }
}

/// Reason for a row in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The slot was due.
    Slot,
    /// The slot was missed and is caught up.
    CaughtUp,
    /// A person requested the bake.
    Manual,
}

impl Trigger {
    /// Spelling in the history.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slot => "slot",
            Self::CaughtUp => "caught_up",
            Self::Manual => "manual",
        }
    }

    /// Parses the spelling of the history.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Slot, Self::CaughtUp, Self::Manual].into_iter().find(|trigger| trigger.as_str() == text)
    }
}
