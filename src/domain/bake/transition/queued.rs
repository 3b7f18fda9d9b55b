//! A bake in the queue: before it begins, and while it waits with nothing stopped.

use chrono::{DateTime, Utc};

use super::{Step, ends::failed};
use crate::domain::{
    api::call::Call,
    bake::{
        Trigger,
        event::Effect,
        identity::values,
        maintenance::Maintenance,
        naming::Template,
        reason::ReasonCode,
        settings::StopInstance,
        state::{BakeWork, End, Resume, State, Suspended},
    },
};

impl Step<'_> {
    pub(super) fn wait_in_queue(&self, not_before: DateTime<Utc>, suspended: Option<Suspended>) -> (State, Effect) {
        if !self.past_deadline() {
            return (State::Queued { not_before, suspended }, Effect::Wait(not_before));
        }
        match suspended {
            None => {
                let deadline = self.deadline_in_words();
                // It may have come too late rather than waited.
                let reason = match self.bake.trigger {
                    Trigger::CaughtUp if self.not_after().is_some() => {
                        format!("the slot was caught up, but no bake of it could begin until {deadline}")
                    }
                    _ => format!("waited past its deadline ({deadline}) for its instance or a builder"),
                };
                self.end_queued(None, End::Skipped { code: ReasonCode::Deadline, reason })
            }
            // A bake past its deadline searches once more where an image may exist.
            Some(Suspended { work, resume: Resume::FindImage }) => self.search_then_create(work),
            Some(suspended) => self.give_up(suspended.work),
        }
    }

    /// Returns to the queue. The bake uses neither a builder nor the instance while it waits, and keeps its version.
    pub(super) fn queue(&self, mut work: BakeWork, resume: Resume, next: DateTime<Utc>) -> (State, Effect) {
        if work.maintenance.is_pending() {
            return self.leave_before_queue(work, resume, next);
        }
        // Others may begin or end one until then.
        work.maintenance = Maintenance::Unknown;
        self.wait_in_queue(next, Some(Suspended { work, resume }))
    }

    pub(super) fn resume(&mut self, suspended: Suspended) -> (State, Effect) {
        if self.bake.needs_session(&suspended.work) {
            return self.list_sessions(suspended.work);
        }
        match suspended.resume {
            Resume::Instance => self.poll_instance(suspended.work),
            Resume::FindImage => self.search_then_create(suspended.work),
            Resume::Create => self.search_or_create(suspended.work),
        }
    }

    pub(super) fn end_queued(&self, suspended: Option<Suspended>, end: End) -> (State, Effect) {
        match suspended {
            Some(suspended) => self.finish(suspended.work, end),
            // The bake has no version; `on_failure` runs all the same.
            None => self.run_end_hooks(BakeWork::default(), Some(end), 0),
        }
    }

    pub(super) fn begin(self, version: u32) -> (State, Effect) {
        let bake = self.bake;
        let template = match Template::parse(&bake.settings.image_name) {
            Ok(template) => template,
            Err(error) => {
                let reason = format!("the image name's template is not readable: {error}");
                return self.end_queued(None, failed(ReasonCode::Refused, true, reason));
            }
        };
        let work = BakeWork { version, image_name: template.render(&values(bake, version)), ..BakeWork::default() };
        if self.bake.needs_session(&work) { self.list_sessions(work) } else { self.first_step(work) }
    }

    /// The first step of a bake that knows the session of its workstation.
    pub(super) fn first_step(mut self, work: BakeWork) -> (State, Effect) {
        let settings = &self.bake.settings;
        if !settings.hooks.wrap_a_bake() {
            self.stop_or_create(work)
        } else if settings.stop_instance != StopInstance::Never {
            // No hook runs before the instance was polled.
            self.poll_instance(work)
        } else {
            self.prepare(work, 0)
        }
    }

    pub(super) fn stop_or_create(&mut self, work: BakeWork) -> (State, Effect) {
        match self.bake.settings.stop_instance {
            StopInstance::Never if self.is_late() => self.search_then_create(work),
            StopInstance::Never => self.search_or_create(work),
            StopInstance::IfRunning | StopInstance::Required => {
                let state = State::Stopping { work, polls: 0, sent: false, first_stop: false, next: self.now };
                (state, Effect::Call(Call::DescribeInstance))
            }
        }
    }
}
