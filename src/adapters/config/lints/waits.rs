//! Times and places that have no effect, or another one than meant: jitter, catch-up, pauses, the own region.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Linter, MOST_GAPS, local, span};
use crate::{
    adapters::config::source_map::WrittenValue,
    domain::{
        bake::settings::StopInstance,
        catch_up::CatchUp,
        clock::{ON_TIME, shifted},
        schedule::Schedule,
    },
};

/// How far ahead slots are compared with their deadline, after the next one.
const COMPARED: TimeDelta = TimeDelta::hours(24);
/// Maximum number of them.
const MOST_COMPARED: usize = 30;

impl Linter<'_> {
    /// A window that never contains a missed slot.
    pub(super) fn short_window(&mut self, schedule: &Schedule, written: &WrittenValue) {
        if schedule.catch_up == CatchUp::Skip || schedule.catch_up_window > ON_TIME {
            return;
        }
        let Some(mark) = self.place(written.catch_up_window, "catch-up-window-short") else { return };
        let message = format!(
            "nothing is ever caught up: a slot counts as missed after {}, and is too old then for this window",
            span(ON_TIME)
        );
        let hint = "a window of hours, like \"6h\"; or `catch_up = \"skip\"`, which is explicit";
        self.found.warning(mark, "catch-up-window-short", message, Some(hint.into()));
    }

    /// A window that reaches past the next slot.
    pub(super) fn long_window(&mut self, schedule: &Schedule, written: &WrittenValue) {
        // One in [defaults] is for all schedules, however often each has slots.
        if written.catch_up_window_is_default {
            return;
        }
        let Some(mark) = self.place(written.catch_up_window, "catch-up-window-long") else { return };
        let (window, name) = (schedule.catch_up_window, &schedule.name);
        let (message, hint) = match schedule.catch_up {
            CatchUp::Skip => return,
            CatchUp::Latest => {
                let Some((_, gap)) = schedule.timing.longest_gap(self.now, MOST_GAPS).filter(|(_, gap)| window > *gap)
                else {
                    return;
                };
                let message = format!(
                    "the window reaches past the next slot: only the newest missed slot of {name} is caught up, and that \
                     is at most {} old",
                    span(gap)
                );
                (message, format!("at most \"{}\"; `catch_up = \"all\"` catches up every slot", span(gap)))
            }
            CatchUp::All => {
                let slots = schedule.timing.count(earlier(self.now, window), self.now);
                if slots < 2 {
                    return;
                }
                let message = format!(
                    "the window reaches past the next slot: after an outage up to {slots} slots of {name} are baked one \
                     after another, and all these images have the same content"
                );
                (message, "`catch_up = \"latest\"` bakes the newest one only".to_owned())
            }
        };
        self.found.warning(mark, "catch-up-window-long", message, Some(hint));
    }

    /// A slot that is caught up may stop its instance hours later, when people work.
    pub(super) fn late_stop(&mut self, schedule: &Schedule, written: &WrittenValue) {
        let settings = &schedule.settings;
        let caught_up = schedule.catch_up != CatchUp::Skip && schedule.catch_up_window > ON_TIME;
        if settings.stop_instance == StopInstance::Never
            || settings.not_after.is_some()
            || !caught_up
            || schedule.paused
        {
            return;
        }
        let Some(mark) = self.place(written.stop_instance, "late-stop") else { return };
        let Some(slot) = schedule.timing.next_after(self.now) else { return };
        let taken = later(slot, schedule.catch_up_window);
        let until = later(taken, settings.deadline);
        let zone = schedule.timing.zone();
        let message = format!(
            "after an outage {} may stop its instance until {}: the slot of {} is caught up until {} (`catch_up_window`), \
             and then waits for at most {} (`deadline`)",
            schedule.name,
            local(until, zone),
            local(slot, zone),
            local(taken, zone),
            span(settings.deadline),
        );
        let hint = "`not_after = \"07:00\"` stops nothing after that time; or `catch_up = \"skip\"`";
        self.found.warning(mark, "late-stop", message, Some(hint.into()));
    }

    /// Jitter that the next slot or the deadline cuts.
    pub(super) fn jitter(&mut self, schedule: &Schedule, written: &WrittenValue) {
        let jitter = schedule.timing.jitter();
        if jitter.is_zero() {
            return;
        }
        let zone = schedule.timing.zone();
        let name = &schedule.name;
        let too_late = |slot: &DateTime<Utc>| {
            let next = schedule.timing.next_after(*slot).unwrap_or(DateTime::<Utc>::MAX_UTC);
            let end = schedule.settings.give_up_at(*slot, *slot);
            let latest = later(*slot, jitter).min(next);
            (latest >= end).then_some((*slot, latest, end))
        };
        if let Some(mark) = self.place(written.jitter, "jitter-long")
            && let Some((slot, gap)) =
                schedule.timing.shortest_gap(self.now, MOST_GAPS).filter(|(_, gap)| *gap < jitter)
        {
            let message = format!(
                "the jitter is longer than the time between slots: after {} the next slot of {name} comes {} later, and \
                 bakes are spread over that time only",
                local(slot, zone),
                span(gap)
            );
            self.found.warning(mark, "jitter-long", message, Some(format!("at most \"{}\"", span(gap))));
        }
        let settings = &schedule.settings;
        if (settings.not_after.is_some() || jitter >= settings.deadline)
            && let Some(mark) = self.place(written.jitter, "jitter-past-deadline")
            && let Some(next) = schedule.timing.next_after(self.now)
            && let Some((slot, latest, end)) = std::iter::once(next)
                .chain(schedule.timing.between(next, shifted(next, COMPARED)).take(MOST_COMPARED))
                .find_map(|slot| too_late(&slot))
        {
            let key = if end < later(slot, settings.deadline) { "not_after" } else { "deadline" };
            let room = span((end - slot).to_std().unwrap_or_default());
            let message = format!(
                "bakes of {name} may be delayed past their {}: the slot of {} begins by {} at the latest, and is skipped \
                 after {}",
                if key == "deadline" { "deadline" } else { "`not_after`" },
                local(slot, zone),
                local(latest, zone),
                local(end, zone)
            );
            let hint = format!("a jitter below \"{room}\", or a later `{key}`");
            self.found.warning(mark, "jitter-past-deadline", message, Some(hint));
        }
    }

    /// The region of the images among those that they are copied to.
    pub(super) fn own_region(&mut self, schedule: &Schedule, written: &WrittenValue) {
        let own = &schedule.settings.instance_region;
        if !schedule.settings.regions.contains(own) {
            return;
        }
        let Some(mark) = self.place(written.regions, "own-region") else { return };
        let message = format!("the images of {} are made in {own}, and need no copy there", schedule.name);
        let hint = "leave it out: `regions` are those to which a finished image is copied";
        self.found.warning(mark.inside(own, 0..own.len()), "own-region", message, Some(hint.into()));
    }

    pub(super) fn paused(&mut self, schedule: &Schedule, written: &WrittenValue) {
        if !schedule.paused {
            return;
        }
        let Some(mark) = self.place(written.paused, "paused-for-ever") else { return };
        let message = format!("{} makes no image until somebody edits this line again", schedule.name);
        let hint = format!(
            "`imagebaked pause {} --until … --reason …` ends by itself and has a reason; or remove the schedule",
            schedule.name
        );
        self.found.warning(mark, "paused-for-ever", message, Some(hint));
    }
}

fn later(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    shifted(at, TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX))
}

fn earlier(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    shifted(at, -TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX))
}
