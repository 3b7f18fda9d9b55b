//! When retention passes come: by the clock, when a grace has passed, and after a full image quota. The daemon runs by this
//! timetable, and the commands and the page announce deletions by it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::{
    calendar::zone::Zone,
    time::{show, show_relative},
};

/// Minimum time between two passes for a full image quota.
const BETWEEN_QUOTA_PASSES: TimeDelta = TimeDelta::hours(1);
/// Maximum time to the pass after one that did not see everything, and to the next try of a deletion that could not be checked.
pub const AFTER_PROBLEM: TimeDelta = TimeDelta::minutes(5);

/// Timetable of the passes. An instant in the past means now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timetable {
    /// Next regular pass; `None` before the first, which is at once.
    regular: Option<DateTime<Utc>>,
    /// Last pass for a full image quota.
    for_quota: Option<DateTime<Utc>>,
    /// Last pass. Images that were due then and not deleted wait for the next one.
    judged_at: Option<DateTime<Utc>>,
    /// Whether the last pass could delete nothing, for a reason of this host: the next one comes when that has ended.
    is_held: bool,
}

/// What brings a pass forward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prompts {
    /// End of the first grace that had not passed at [`Timetable::judged_at`].
    pub grace_ends: Option<DateTime<Utc>>,
    /// Instant at which the cloud rejected a create call, because the image quota is full.
    pub quota_refused: Option<DateTime<Utc>>,
}

impl Timetable {
    /// A clock that was set back must not delay anything. `interval` is the time between two regular passes.
    pub fn correct(&mut self, now: DateTime<Utc>, interval: TimeDelta) {
        self.regular = Some(self.regular.map_or(now, |next| next.min(now + interval)));
        self.judged_at = self.judged_at.map(|at| at.min(now));
        self.for_quota = self.for_quota.map(|at| at.min(now));
    }

    /// Instant of the last pass.
    pub fn judged_at(&self) -> Option<DateTime<Utc>> {
        self.judged_at
    }

    /// Instant of the next regular pass; `None` before the first.
    pub fn regular(&self) -> Option<DateTime<Utc>> {
        self.regular
    }

    /// Instant of a pass after the image quota rejected a create call: at once, and at most once an hour.
    pub fn quota_pass(&self, refused_at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let refused_at = refused_at?;
        match self.for_quota {
            Some(last) if refused_at <= last => None,
            Some(last) => Some(refused_at.max(last + BETWEEN_QUOTA_PASSES)),
            None => Some(refused_at),
        }
    }

    /// Instant of the next pass, now at the earliest.
    pub fn next(&self, prompts: Prompts, now: DateTime<Utc>) -> DateTime<Utc> {
        let quota = self.quota_pass(prompts.quota_refused);
        let regular = self.regular.unwrap_or(now);
        prompts.grace_ends.into_iter().chain(quota).fold(regular, DateTime::min).max(now)
    }

    /// Whether the last pass was held back by this host.
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// Nothing holds deletions back at `now`: a pass that was held back comes at once.
    pub fn released(&mut self, now: DateTime<Utc>) {
        if std::mem::take(&mut self.is_held) {
            self.regular = Some(now);
        }
    }

    /// Notes a pass that began at `now`; `is_whole`: it saw everything; `is_held`: it could delete nothing, because the history
    /// is not compared with the cloud or a clock is wrong.
    pub fn passed(&mut self, now: DateTime<Utc>, (is_whole, is_held): (bool, bool), interval: TimeDelta) {
        (self.judged_at, self.is_held) = (Some(now), is_held);
        self.regular = Some(now + if is_whole { interval } else { interval.min(AFTER_PROBLEM) });
    }

    /// Notes that the pass that begins now is one for a full image quota.
    pub fn begins_for_quota(&mut self, now: DateTime<Utc>) {
        self.for_quota = Some(now);
    }
}

/// When the next retention pass comes, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "pass", content = "at", rename_all = "snake_case")]
pub enum NextPass {
    /// At this instant.
    At(DateTime<Utc>),
    /// When the daemon starts: it does not run.
    AtStart,
    /// Never: the daemon only observes.
    Never,
    /// Not as long as the history is not compared with the cloud, or a clock is wrong.
    Held,
    /// The daemon does not answer.
    Unknown,
}

impl NextPass {
    /// Its instant, now at the earliest; `None` if there is none.
    pub fn not_before(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::At(at) => Some(at.max(now)),
            Self::AtStart | Self::Held | Self::Unknown => Some(now),
            Self::Never => None,
        }
    }

    /// In a sentence, with the time in this zone.
    pub fn describe(self, zone: Zone, now: DateTime<Utc>) -> String {
        match self {
            Self::At(at) if at <= now => "A retention pass of the daemon is due now.".to_owned(),
            Self::At(at) => {
                format!("The next retention pass of the daemon is {}, {}.", show_relative(at, now), show(at, zone))
            }
            Self::AtStart => {
                "No daemon answers: nothing is deleted before one runs, and times count from now.".to_owned()
            }
            Self::Held => {
                "The daemon deletes nothing yet (`imagebaked status` says why): times count from now.".to_owned()
            }
            Self::Never => "The daemon only observes: it deletes nothing.".to_owned(),
            Self::Unknown => "The daemon does not answer: times count from now.".to_owned(),
        }
    }
}

#[cfg(test)]
#[path = "passes_tests.rs"]
mod tests;
