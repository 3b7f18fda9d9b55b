//! The end of max_downtime: the instance runs again, and the bake returns to the queue.

use chrono::{DateTime, Utc};

use super::{
    MOST_STOPS, Step,
    ends::{failed, failed_waiting},
};
use crate::domain::bake::{
    event::Effect,
    reason::ReasonCode,
    retry::later,
    state::{BakeWork, Resume, State},
    waiting::{Wait, WaitReason},
};
use crate::domain::clock::show::show_length;

impl Step<'_> {
    pub(super) fn downtime_end(&self, work: &BakeWork) -> Option<DateTime<Utc>> {
        work.downtime_end(self.bake.settings.max_downtime, self.now)
    }

    pub(super) fn downtime_is_over(&self, work: &BakeWork) -> bool {
        self.downtime_end(work).is_some_and(|end| self.has_come(end))
    }

    /// The instance was stopped for as long as it may, and no image could be started: the instance is started and the bake
    /// returns to the queue. Called only where no create call is unclear and no image of the slot is listed.
    pub(super) fn restart(&self, mut work: BakeWork) -> (State, Effect) {
        let limit = match &work.waiting {
            Some(waiting) if waiting.on == WaitReason::ImageQuota => String::new(),
            _ => format!("{} (max_downtime)", show_length(self.bake.settings.max_downtime)),
        };
        let (for_limit, after_limit) = match limit.as_str() {
            "" => (String::new(), String::new()),
            limit => (format!(" for {limit}"), format!(" after {limit}")),
        };
        let what = work.waiting.as_ref().map_or("the cloud", Wait::what);
        if work.downtime.stops >= MOST_STOPS {
            let stops = work.downtime.stops;
            let reason = format!(
                "no image could be started while the instance was stopped, {stops} times{for_limit}: it \
                 waited for {what}"
            );
            let end = match &work.waiting {
                Some(waiting) => failed_waiting(waiting.on, reason),
                None => failed(ReasonCode::Deadline, false, reason),
            };
            return self.finish(work, end);
        }
        work.downtime.seen_at_rest = false;
        work.note(format!("the instance was started again{after_limit}: the bake waited for {what}"));
        work.downtime.waited_for = work.waiting.take();
        self.start(work, None)
    }

    /// After [`Self::restart`] and the hooks: the next stop comes when the instance has run as long as it was stopped.
    pub(super) fn back_to_queue(&self, mut work: BakeWork) -> (State, Effect) {
        work.waiting = work.downtime.waited_for.take();
        let running_since = work.downtime.running_since.unwrap_or(self.now).min(self.now);
        let next = later(running_since, self.bake.settings.max_downtime);
        self.queue(work, Resume::Instance, next)
    }
}
