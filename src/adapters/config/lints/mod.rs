//! Lints: valid configurations that are probably not intended. Each lint reports what will happen, with dates, and what
//! to write instead. Schedules, their places and the current instant go in; only the lint of hooks reads the host.

mod ages;
mod collisions;
mod hook_files;
mod hooks;
mod names;
mod tags;
mod times;
mod waits;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Utc};

use self::hook_files::HookFiles;
pub use self::hooks::hooks_that_cannot_start;
use super::{
    Config, SourceMap,
    reader::{Diagnostics, Mark, Source, Span},
};
use crate::domain::{
    calendar::zone::Zone,
    plan::{
        clock_change_lints::{ClockChange, clock_changes},
        forecast::Durations,
    },
    time::{show, show_length},
};

/// Maximum number of slots among which the largest gap is searched.
const MOST_GAPS: usize = 300;

/// Number of reported clock changes: usually one in spring and one in autumn.
const CHANGES: usize = 2;

impl SourceMap {
    /// Adds warnings about the schedules of this map. `durations` are those of their former bakes.
    pub fn lint(&mut self, config: &Config, now: DateTime<Utc>, durations: &Durations) {
        let mut linter = Linter {
            sources: &self.sources,
            found: &mut self.found,
            now,
            changes: HashMap::new(),
            hooks: HookFiles::default(),
            judged: HashSet::new(),
        };
        for (schedule, written) in config.schedules.iter().zip(&self.marks.schedules) {
            linter.times(schedule, written);
            linter.zone(schedule, written);
            linter.retention(schedule, written);
            linter.age(schedule, written);
            linter.short_window(schedule, written);
            linter.long_window(schedule, written);
            linter.late_stop(schedule, written);
            linter.jitter(schedule, written);
            linter.paused(schedule, written);
            linter.own_region(schedule, written);
            linter.tags(schedule, written);
            linter.characters(schedule, written);
            linter.repeated_names(schedule, written);
            linter.hooks(schedule, written);
        }
        linter.shared_names(config, &self.marks.schedules);
        linter.collisions(config, &self.marks.schedules, durations);
    }
}

struct Linter<'a> {
    sources: &'a [Source],
    found: &'a mut Diagnostics,
    now: DateTime<Utc>,
    /// The next clock changes of each zone.
    changes: HashMap<Zone, Vec<ClockChange>>,
    hooks: HookFiles,
    /// Shared expressions that were judged: by their place, their zone and its place.
    judged: HashSet<(Span, Zone, Option<Span>)>,
}

impl<'a> Linter<'a> {
    /// The next clock changes of a zone.
    fn clock_changes_of(&mut self, zone: Zone) -> &[ClockChange] {
        let now = self.now;
        self.changes.entry(zone).or_insert_with(|| clock_changes(zone, now, CHANGES))
    }

    /// The place of a key, unless it was reported before: a key that many schedules share is reported once.
    fn place(&self, span: Option<Span>, code: &'static str) -> Option<Mark<'a>> {
        span?.of(self.sources).filter(|mark| !self.found.has(*mark, code))
    }
}

/// `Mon 2027-03-01 03:00 +01:00`.
fn local(slot: DateTime<Utc>, zone: Zone) -> String {
    show(slot, zone)
}

fn span(duration: Duration) -> String {
    show_length(duration)
}
