//! The maintenance of a cloud desktop around its stop: it keeps users out from the last poll before the stop until the
//! instance is started again.
//!
//! A desktop that was in maintenance stays in it. The begin is committed before the call, so that the end is pending
//! whatever happens. After a begin without an answer the list decides whether it is repeated: nothing is stopped while
//! users may still connect. The image is more important than the maintenance: a begin that the cloud rejects is noted,
//! and the bake goes on.

use chrono::{DateTime, Utc};

use super::{ABSENT_AFTER, SETTLED_AFTER, Step, obstacle::Obstacle};
use crate::domain::{
    api::call::{ApiError, Call, ErrorClass, Response},
    bake::{
        event::Effect,
        maintenance::Maintenance,
        reason::ReasonCode,
        state::{BakeWork, End, QueueReturn, Resume, State},
        waiting::{Wait, WaitReason},
    },
};

impl Step<'_> {
    // Begin

    pub(super) fn asks_for_maintenance(&self, work: &BakeWork) -> bool {
        self.bake.settings.keeps_users_out() && matches!(work.maintenance, Maintenance::Unknown | Maintenance::Unclear)
    }

    /// The instance runs and may be stopped.
    pub(super) fn ask_for_maintenance(&self, work: BakeWork, polls: u32) -> (State, Effect) {
        self.before_stop(work, polls, Call::DescribeMaintenance)
    }

    fn before_stop(&self, work: BakeWork, polls: u32, call: Call) -> (State, Effect) {
        let next = self.after(self.pace.poll_interval);
        (State::Stopping { work, polls, sent: false, first_stop: false, next }, Effect::Call(call))
    }

    /// Nobody can connect any more; a poll shows whether somebody did before.
    pub(super) fn maintenance_answered(&mut self, mut work: BakeWork, polls: u32, answer: Response) -> (State, Effect) {
        match answer {
            Response::Maintenance(_) if self.past_deadline() => self.give_up(work),
            Response::Maintenance(Some(false)) => {
                let is_first = work.maintenance == Maintenance::Unknown;
                work.maintenance = if is_first { Maintenance::Entering } else { Maintenance::EnteringAgain };
                self.before_stop(work, polls, Call::EnterMaintenance)
            }
            // It was not in it before the call.
            Response::Maintenance(Some(true)) if work.maintenance == Maintenance::Unclear => {
                work.maintenance = Maintenance::Entered;
                self.before_stop(work, polls, Call::DescribeInstance)
            }
            Response::Maintenance(Some(true)) => {
                work.maintenance = Maintenance::Found;
                work.note("its instance was in maintenance, and stays in it".to_owned());
                self.before_stop(work, polls, Call::DescribeInstance)
            }
            Response::Maintenance(None) => self.stopping(work, polls, false, Response::Instance(None)),
            Response::Refused(api_error) => self.begin_refused(work, polls, &api_error),
            Response::NotSent => {
                work.maintenance = before_call(work.maintenance);
                let next = self.now;
                (State::Stopping { work, polls, sent: false, first_stop: false, next }, Effect::Wait(next))
            }
            _ => {
                work.maintenance = Maintenance::Entered;
                self.before_stop(work, polls, Call::DescribeInstance)
            }
        }
    }

    fn begin_refused(&mut self, mut work: BakeWork, polls: u32, api_error: &ApiError) -> (State, Effect) {
        match api_error.class {
            // Perhaps because the former call has begun it: it is ended all the same.
            ErrorClass::Permanent | ErrorClass::Busy if work.maintenance == Maintenance::EnteringAgain => {
                work.maintenance = Maintenance::Entered;
                self.before_stop(work, polls, Call::DescribeInstance)
            }
            ErrorClass::Permanent | ErrorClass::Busy => {
                work.maintenance = Maintenance::Refused;
                work.note(format!("without maintenance, which the cloud refused: {}", api_error.describe()));
                self.before_stop(work, polls, Call::DescribeInstance)
            }
            _ if api_error.did_nothing() => {
                work.maintenance = before_call(work.maintenance);
                self.wait_for_instance(work, 0, false, &Obstacle::Refused(api_error.clone()))
            }
            // It may yet begin: only after that is it certain that its end comes later.
            _ => {
                work.maintenance = work.maintenance.unanswered();
                self.poll_instance_again(work, polls, false, api_error.server_delay())
            }
        }
    }

    // End

    /// Ends the maintenance if it is pending; then come the hooks of the end, or the queue.
    pub(super) fn end_maintenance(&self, work: BakeWork, end: Option<End>) -> (State, Effect) {
        if !work.maintenance.is_pending() {
            return self.maintenance_ended(work, end);
        }
        let mut state = State::Starting {
            work,
            end,
            tries: 0,
            stop_unconfirmed: false,
            since: Some(self.now),
            start_sent: false,
            refused_since: None,
            last_error: None,
            next: self.now,
        };
        // The call in flight may still begin it.
        if let State::Starting { work, next, .. } = &mut state
            && work.maintenance.is_entering()
        {
            work.maintenance = Maintenance::Entered;
            *next = self.after(self.pace.poll_interval);
            let effect = Effect::Wait(*next);
            return (state, effect);
        }
        self.leave_again(state)
    }

    fn maintenance_ended(&self, mut work: BakeWork, end: Option<End>) -> (State, Effect) {
        match (end, work.queue_return.take()) {
            (None, Some(QueueReturn { resume, not_before })) => {
                work.waiting = work.downtime.waited_for.take();
                self.queue(work, resume, not_before.max(self.now))
            }
            (end, _) => {
                work.waiting = None;
                self.run_end_hooks(work, end, 0)
            }
        }
    }

    /// Sends the end, or asks whether one that the cloud rejected is needed.
    pub(super) fn leave_again(&self, mut state: State) -> (State, Effect) {
        let State::Starting { work, end, .. } = &mut state else { return (state, Effect::Wait(self.now)) };
        let call = match work.maintenance {
            Maintenance::LeaveRefused => Call::DescribeMaintenance,
            maintenance if maintenance.is_pending() => {
                work.maintenance = Maintenance::Leaving;
                Call::LeaveMaintenance
            }
            _ => {
                let (work, end) = (std::mem::take(work), end.take());
                return self.maintenance_ended(work, end);
            }
        };
        (state, Effect::Call(call))
    }

    /// The answer to the end of the maintenance, or to the question whether it is over. Like starts, it is repeated
    /// without limit: until then nobody can use the desktop.
    pub(super) fn leaving(&mut self, answer: Response) -> (State, Effect) {
        let mut state = self.bake.state.clone();
        let State::Starting { work, end, tries, start_sent, refused_since, last_error, next, .. } = &mut state else {
            return (state, Effect::Wait(self.now));
        };
        let was_leaving = work.maintenance == Maintenance::Leaving;
        work.maintenance = work.maintenance.unanswered();
        let asked = if let Response::Refused(api_error) = &answer { api_error.server_delay() } else { None };
        match &answer {
            Response::Accepted if was_leaving => work.maintenance = Maintenance::Unknown,
            Response::Maintenance(Some(true)) => return self.leave_again_now(state),
            // The list may be wrong, and the cloud may have rejected the end for now only.
            Response::Maintenance(Some(false)) if *tries < SETTLED_AFTER => work.maintenance = Maintenance::Entered,
            Response::Maintenance(Some(false)) => {
                work.maintenance = Maintenance::Unknown;
                let error = last_error.take().unwrap_or_default();
                let note = format!("the end of its maintenance was refused, and it is listed without: {error}");
                match end.take() {
                    Some(it) => *end = Some(it.with_note(&note)),
                    None => work.note(note),
                }
            }
            Response::Maintenance(None) => {
                let waiting = Obstacle::Absent.wait(work.waiting.as_ref(), self.now);
                if waiting.times >= ABSENT_AFTER {
                    work.maintenance = Maintenance::Unknown;
                }
                work.waiting = Some(waiting);
            }
            Response::Refused(api_error) => {
                if was_leaving && matches!(api_error.class, ErrorClass::Permanent | ErrorClass::Busy) {
                    work.maintenance = Maintenance::LeaveRefused;
                }
                if api_error.is_decided() {
                    refused_since.get_or_insert(self.now);
                }
                *last_error = Some(api_error.describe());
            }
            _ => {}
        }
        if work.restart_pending {
            // Whatever the answer is: a stopped instance is worse.
            *start_sent = true;
            *next = self.start_pause(*tries);
            return (state, Effect::Call(Call::StartInstance));
        }
        if !work.maintenance.is_pending() {
            let (work, end) = (std::mem::take(work), end.take());
            return self.maintenance_ended(work, end);
        }
        let pause = self.start_pause(*tries);
        *tries += 1;
        *next = pause.max(self.after(asked.unwrap_or_default()));
        let effect = Effect::Wait(*next);
        (state, effect)
    }

    fn leave_again_now(&self, mut state: State) -> (State, Effect) {
        if let State::Starting { work, .. } = &mut state {
            work.maintenance = Maintenance::Entered;
        }
        self.leave_again(state)
    }

    // Queue

    /// A bake that waits in the queue keeps nobody out meanwhile.
    pub(super) fn leave_before_queue(
        &self,
        mut work: BakeWork,
        resume: Resume,
        not_before: DateTime<Utc>,
    ) -> (State, Effect) {
        work.downtime.waited_for = work.waiting.take();
        work.queue_return = Some(QueueReturn { resume, not_before });
        self.end_maintenance(work, None)
    }

    /// Nothing more is stopped or created for now.
    pub(super) fn wait_for_admission(&self, code: ReasonCode, why: &str) -> (State, Effect) {
        let (State::Stopping { mut work, .. } | State::Ready { mut work, .. }) = self.bake.state.clone() else {
            return (self.bake.state.clone(), Effect::Wait(self.now));
        };
        let on = match code {
            ReasonCode::Quota => WaitReason::Quota,
            ReasonCode::Credentials => WaitReason::Credentials,
            _ => WaitReason::Outage,
        };
        let resume = if matches!(self.bake.state, State::Ready { .. }) { Resume::FindImage } else { Resume::Instance };
        work.waiting = Some(Wait::go_on(work.waiting.as_ref(), on, format!("waits for the cloud: {why}"), self.now));
        self.queue(work, resume, self.after(self.pace.poll_interval))
    }
}

/// What was known before a begin that did nothing.
fn before_call(maintenance: Maintenance) -> Maintenance {
    if maintenance == Maintenance::EnteringAgain { Maintenance::Unclear } else { Maintenance::Unknown }
}

#[cfg(test)]
#[path = "maintenance_tests.rs"]
mod tests;
