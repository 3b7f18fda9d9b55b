//! Whether a job is due: by the time since boot, which no person and no NTP sets and which goes on while the host sleeps.
//! Signals are not counted, so late, lost and doubled ones have no effect.

use std::{path::PathBuf, time::Duration};

/// How often a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// From the beginning of a good run to the next one.
    pub every: Duration,
    /// From the end of a failed run to the next one.
    pub retry: Duration,
    /// A run that takes longer counts as one without an end.
    pub longest: Duration,
    /// The folder that the job works on: runs on another folder do not count.
    pub place: Option<PathBuf>,
}

/// The runs of a job, in time since boot.
#[derive(Debug, Default)]
pub struct Timing {
    plan: Option<Plan>,
    first: Duration,
    last: Option<Run>,
}

/// An ended run.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Its beginning.
    pub began: Duration,
    /// Its end.
    pub ended: Duration,
    /// Whether it did what it is for.
    pub is_good: bool,
}

impl Timing {
    /// Takes over a plan. Returns whether the first run under it has to be set.
    pub fn adopt(&mut self, plan: &Plan) -> bool {
        if self.plan.as_ref() == Some(plan) {
            return false;
        }
        if self.plan.take().is_some_and(|before| before.place != plan.place) {
            self.last = None;
        }
        self.plan = Some(plan.clone());
        self.last.is_none()
    }

    /// Sets the first run, until there has been one.
    pub fn set_first(&mut self, at: Duration) {
        self.first = at;
    }

    /// The next run.
    pub fn due(&self) -> Duration {
        match (self.last, &self.plan) {
            (Some(run), Some(plan)) if run.is_good => run.began.saturating_add(plan.every),
            (Some(run), Some(plan)) => run.ended.saturating_add(plan.retry),
            _ => self.first,
        }
    }

    /// Notes an ended run.
    pub fn note(&mut self, run: Run) {
        self.last = Some(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn plan(hours: u32, place: &str) -> Plan {
        Plan { every: HOUR * hours, retry: HOUR, longest: HOUR, place: Some(place.into()) }
    }

    #[test]
    fn a_good_run_counts_from_its_beginning_and_a_failed_one_from_its_end() {
        let mut timing = Timing::default();
        assert!(timing.adopt(&plan(24, "a")) && !timing.adopt(&plan(24, "a")));
        timing.set_first(HOUR * 3);
        assert_eq!(timing.due(), HOUR * 3);
        timing.note(Run { began: HOUR * 3, ended: HOUR * 5, is_good: true });
        assert_eq!(timing.due(), HOUR * 27);
        timing.note(Run { began: HOUR * 27, ended: HOUR * 28, is_good: false });
        assert_eq!(timing.due(), HOUR * 29);
    }

    #[test]
    fn an_edit_counts_at_once_and_another_folder_begins_anew() {
        let mut timing = Timing::default();
        timing.adopt(&plan(24, "a"));
        timing.note(Run { began: HOUR, ended: HOUR, is_good: true });
        assert!(!timing.adopt(&plan(6, "a")));
        assert_eq!(timing.due(), HOUR * 7);
        assert!(timing.adopt(&plan(6, "b")));
        timing.set_first(HOUR * 2);
        assert_eq!(timing.due(), HOUR * 2);
    }
}
