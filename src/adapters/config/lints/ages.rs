//! Images that go, or grow too old, before the next one comes.

use super::{Linter, MOST_GAPS, local, span};
use crate::{
    adapters::config::source_map::WrittenValue,
    domain::{image::retention::counts, schedule::Schedule},
};

impl Linter<'_> {
    /// Images that are deleted before the next one is made.
    pub(super) fn retention(&mut self, schedule: &Schedule, written: &WrittenValue) {
        let Some(keep) = &schedule.keep else { return };
        let Some(within) = keep.within.filter(|_| counts(keep).next().is_none()) else { return };
        let Some(mark) = self.place(written.keep, "retention-shorter-than-interval") else { return };
        let Some((slot, gap)) = schedule.timing.longest_gap(self.now, MOST_GAPS).filter(|(_, gap)| within < *gap)
        else {
            return;
        };
        let message = format!(
            "`within` keeps images of {} for {}, and after {} the next one comes {} later: then only `min` = {} is left",
            schedule.name,
            span(within),
            local(slot, schedule.timing.zone()),
            span(gap),
            keep.min
        );
        let hint = format!("did you mean `within = \"{}\"`? or count them, as in `last = 3`", span(gap * 2));
        self.found.warning(mark, "retention-shorter-than-interval", message, Some(hint));
    }

    /// Images that exceed their maximum age before the next one is made.
    pub(super) fn age(&mut self, schedule: &Schedule, written: &WrittenValue) {
        let Some(age) = schedule.max_image_age else { return };
        let Some(mark) = self.place(written.max_image_age, "age-shorter-than-interval") else { return };
        let Some((slot, gap)) = schedule.timing.longest_gap(self.now, MOST_GAPS).filter(|(_, gap)| age <= *gap) else {
            return;
        };
        let message = format!(
            "{} will be overdue by itself: after {} the next slot comes {} later, and its images may be {} old",
            schedule.name,
            local(slot, schedule.timing.zone()),
            span(gap),
            span(age)
        );
        let hint = format!("at least {} and the time that a bake takes", span(gap));
        self.found.warning(mark, "age-shorter-than-interval", message, Some(hint));
    }
}
