//! What is expected of a slot to come, for `why`: by the same reasons as `plan` has.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    forecast::{KnownHistory, Outlook, expectation},
    plan_obstacles::Obstacles,
    presence::Presence,
};
use crate::{
    adapters::config::Config,
    domain::{
        bake::naming::{Template, Values},
        clock::shifted,
        ids::InstanceId,
        plan::forecast::ForecastOutcome,
        schedule::Schedule,
    },
};

/// Slots before one in question that are considered for its version.
const MOST_BEFORE: usize = 20_000;

/// What is expected of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Prospect {
    /// It makes an image of this name.
    Runs { image: String },
    /// It makes one if this is so by then.
    RunsOnly { image: String, condition: String },
    /// It makes none.
    Skipped { why: String },
}

impl Prospect {
    /// The sentences after those on the slot; `is_followed`: a daemon is at work, as far as this shows.
    pub(super) fn words(&self, is_followed: bool) -> String {
        match self {
            Self::Runs { image } if is_followed => format!("It will run; its image will be called {image}."),
            Self::Runs { image } => format!("It runs only if a daemon does then; its image would be called {image}."),
            Self::RunsOnly { image, condition } => {
                format!("It runs only {condition}; its image would be called {image}.")
            }
            Self::Skipped { why } => format!("It {why}."),
        }
    }

    /// The name of the image that it makes, if it does.
    pub(super) fn image(&self) -> Option<&str> {
        match self {
            Self::Runs { image } | Self::RunsOnly { image, .. } => Some(image),
            Self::Skipped { .. } => None,
        }
    }
}

/// What slots to come depend on.
pub(super) struct Prospects<'a> {
    config: &'a Config,
    history: KnownHistory,
    obstacles: Obstacles,
    is_in_force: bool,
    now: DateTime<Utc>,
}

impl<'a> Prospects<'a> {
    /// Reads them for the slots of a schedule; `is_in_force`: of the configuration by which the daemon works.
    pub(super) async fn find(
        config: &'a Config,
        presence: &Presence,
        schedule: &Schedule,
        is_in_force: bool,
        (state_dir, now): (&Path, DateTime<Utc>),
    ) -> Self {
        let schedules = [schedule];
        let obstacles = Obstacles::find(config, state_dir, presence, (&schedules, schedule.timing.zone())).await;
        // An answer on a rule needs no history.
        let history = KnownHistory::read(config, state_dir).await.unwrap_or_default();
        Self { config, history, obstacles, is_in_force, now }
    }

    /// What is expected of each of these slots of a schedule, none of which is paused.
    pub(super) fn of(&self, schedule: &Schedule, slots: &[(InstanceId, DateTime<Utc>)]) -> Vec<Prospect> {
        let times = || slots.iter().map(|(_, slot)| *slot);
        let before = |slot| shifted(slot, -TimeDelta::milliseconds(1));
        let (first, last) = (times().min().map_or(self.now, before), times().max().unwrap_or(self.now));
        // One forecast for all: it goes over the slots of every schedule.
        let outlook = Outlook::of(self.config, &self.history, self.now, first, last);
        slots.iter().map(|(instance, slot)| self.of_one(&outlook, schedule, (instance, *slot))).collect()
    }

    fn of_one(
        &self,
        outlook: &Outlook<'_>,
        schedule: &Schedule,
        (instance, slot): (&InstanceId, DateTime<Utc>),
    ) -> Prospect {
        if self.obstacles.observes {
            return Prospect::Skipped { why: "will be skipped: the daemon only observes".to_owned() };
        }
        if let Some(expected) = outlook.expected(schedule, instance, slot)
            && matches!(expected.outcome, ForecastOutcome::TooLate | ForecastOutcome::Overlaps)
            && let Some(why) = expectation(schedule, instance, slot, expected.outcome)
        {
            return Prospect::Skipped { why };
        }
        let image = self.image(schedule, instance, slot);
        if !self.is_in_force {
            let condition = "if the file is in force by then (`imagebaked reload`)".to_owned();
            return Prospect::RunsOnly { image, condition };
        }
        match self.obstacles.blocked.as_ref().filter(|_| self.obstacles.is_of_a_daemon) {
            Some(why) => Prospect::RunsOnly { image, condition: format!("if this has ended by then: {why}") },
            None => Prospect::Runs { image },
        }
    }

    /// Name of the image of a slot, if every slot until then that is not paused makes one.
    fn image(&self, schedule: &Schedule, instance: &InstanceId, slot: DateTime<Utc>) -> String {
        let last = self.history.versions_taken().get(&schedule.line(instance)).copied().unwrap_or_default();
        let ahead = schedule.timing.between(self.now, slot).take(MOST_BEFORE);
        let ahead = ahead.filter(|slot| !self.history.is_paused(schedule, *slot)).count();
        let values = Values {
            name: schedule.name.as_str(),
            id: schedule.id.as_str(),
            instance_id: instance.as_str(),
            slot,
            zone: schedule.timing.zone(),
            version: last.saturating_add(u32::try_from(ahead).unwrap_or(u32::MAX)),
        };
        // Checked when the configuration was loaded.
        Template::parse(&schedule.settings.image_name).map(|template| template.render(&values)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_runs_or_does_not_and_says_why() {
        let image = || "golden-v7".to_owned();
        let condition = "if the file is in force by then".to_owned();
        for (prospect, is_followed, wanted) in [
            (Prospect::Runs { image: image() }, true, "It will run; its image will be called golden-v7."),
            (Prospect::Runs { image: image() }, false, "It runs only if a daemon does then; its image would"),
            (
                Prospect::RunsOnly { image: image(), condition },
                true,
                "It runs only if the file is in force by then; its image",
            ),
            (Prospect::Skipped { why: "will be skipped: x".to_owned() }, true, "It will be skipped: x."),
        ] {
            assert!(prospect.words(is_followed).starts_with(wanted), "{}", prospect.words(is_followed));
            assert_eq!(prospect.image().is_none(), matches!(prospect, Prospect::Skipped { .. }));
        }
    }
}
