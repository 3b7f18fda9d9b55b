//! The stop of the instance, until it is stopped.

use std::time::Duration;

use super::{
    ABSENT_AFTER, STEADY_POLLS, Step,
    ends::{failed, failed_by},
    obstacle::Obstacle,
};
use crate::domain::{
    api::call::{ApiError, Call, ErrorClass, PowerState, Response},
    bake::{
        event::Effect,
        reason::ReasonCode,
        retry::{self, later},
        settings::{IfConnected, StopInstance},
        state::{BakeWork, End, Resume, State},
        waiting::WaitReason,
    },
};

impl Step<'_> {
    pub(super) fn stopping(&mut self, mut work: BakeWork, polls: u32, sent: bool, answer: Response) -> (State, Effect) {
        match answer {
            Response::Instance(Some(PowerState::Stopped)) => {
                work.waiting = None;
                work.downtime.seen_at_rest = true;
                if work.restart_pending {
                    work.downtime.stopped_since.get_or_insert(self.now);
                }
                self.create_after_stop(work)
            }
            Response::Instance(Some(PowerState::RunningInUse(who)))
                if !sent && self.bake.settings.if_connected != IfConnected::Proceed =>
            {
                self.somebody_is_connected(work, &who)
            }
            Response::Instance(Some(PowerState::Running | PowerState::RunningInUse(_)))
                if !sent && self.past_deadline() =>
            {
                self.give_up(work)
            }
            Response::Instance(Some(PowerState::Running | PowerState::RunningInUse(_)))
                if !sent && self.asks_for_maintenance(&work) =>
            {
                self.ask_for_maintenance(work, polls)
            }
            Response::Instance(Some(power @ (PowerState::Running | PowerState::RunningInUse(_)))) if !sent => {
                if let PowerState::RunningInUse(who) = power {
                    work.notes.push(format!(
                        "{who} was connected; stopped nevertheless, because if_connected is \"proceed\""
                    ));
                }
                // The pending restart is committed before the stop is sent: a crash in between costs at most one
                // unneeded poll.
                work.restart_pending = true;
                work.downtime.stops += 1;
                work.waiting = None;
                let next = self.after(self.pace.poll_interval);
                let state = State::Stopping { work, polls, sent: true, first_stop: true, next };
                (state, Effect::Call(Call::StopInstance))
            }
            Response::Instance(Some(PowerState::Running | PowerState::RunningInUse(_))) => {
                work.waiting = None;
                if self.past_deadline() {
                    return self.give_up(work);
                }
                // The stop was lost or is slow; repeating it after a few polls has no side effect.
                if polls > 0 && polls.is_multiple_of(5) {
                    let (polls, next) = (polls + 1, self.after(self.pace.poll_interval));
                    let state = State::Stopping { work, polls, sent, first_stop: false, next };
                    return (state, Effect::Call(Call::StopInstance));
                }
                self.poll_instance_again(work, polls, sent, None)
            }
            Response::Instance(Some(PowerState::Transitioning(status)))
                if sent && status.eq_ignore_ascii_case("stopping") =>
            {
                work.waiting = None;
                self.poll_instance_again(work, polls, sent, None)
            }
            Response::Instance(Some(PowerState::Transitioning(status))) => {
                self.wait_for_instance(work, polls, sent, &Obstacle::State(status))
            }
            Response::Instance(Some(PowerState::Final(status))) => {
                let reason = format!("the instance is {status}, which does not change by itself");
                self.finish(work, End::Skipped { code: ReasonCode::InstanceState, reason })
            }
            Response::Instance(None) => {
                let absent = work.waiting.as_ref().filter(|waiting| waiting.on == WaitReason::Absent);
                if absent.is_some_and(|waiting| waiting.times + 1 >= ABSENT_AFTER) {
                    let reason = format!("the cloud does not know the instance {}", self.bake.instance_id);
                    return self.finish(work, failed(ReasonCode::InstanceState, true, reason));
                }
                self.wait_for_instance(work, polls, sent, &Obstacle::Absent)
            }
            Response::Refused(api_error) => match api_error.class {
                ErrorClass::Permanent if self.bake.settings.stop_instance == StopInstance::IfRunning => {
                    work.waiting = None;
                    work.note(format!("imaged without a stop, which the cloud refused: {}", api_error.describe()));
                    self.create_after_stop(work)
                }
                ErrorClass::Permanent => {
                    let reason = format!("the instance could not be stopped: {}", api_error.describe());
                    self.finish(work, failed_by(&api_error, true, reason))
                }
                _ => self.wait_for_instance(work, polls, sent, &Obstacle::Refused(api_error)),
            },
            Response::Accepted
            | Response::Sessions(_)
            | Response::SessionsNotListed
            | Response::Maintenance(_)
            | Response::Created(_)
            | Response::Found(_)
            | Response::NameTaken(_)
            | Response::InProgress(_)
            | Response::Image(_)
            | Response::Hook(_)
            | Response::NotSent => self.poll_instance_again(work, polls, sent, None),
        }
    }

    pub(super) fn poll_instance_again(
        &mut self,
        work: BakeWork,
        polls: u32,
        sent: bool,
        asked: Option<Duration>,
    ) -> (State, Effect) {
        let next = self.after(self.pace.poll_interval.max(asked.unwrap_or_default()));
        (State::Stopping { work, polls: polls + 1, sent, first_stop: false, next }, Effect::Wait(next))
    }

    /// Something blocks the stop. A bake that has sent no stop waits in the queue.
    pub(super) fn wait_for_instance(
        &mut self,
        mut work: BakeWork,
        polls: u32,
        sent: bool,
        obstacle: &Obstacle,
    ) -> (State, Effect) {
        let waiting = obstacle.wait(work.waiting.as_ref(), self.now);
        let (on, times) = (waiting.on, waiting.times);
        work.waiting = Some(waiting);
        if sent {
            let asked = obstacle.api_error().and_then(ApiError::server_delay);
            return self.poll_instance_again(work, polls, sent, asked);
        }
        let poll = self.pace.poll_interval;
        let pause = match obstacle {
            Obstacle::Users(_) | Obstacle::Absent | Obstacle::NoSession | Obstacle::SessionsNotListed => poll,
            Obstacle::State(_) => retry::poll_delay(poll, times / STEADY_POLLS + 1, self.longest_pause(), self.rng),
            Obstacle::Refused(api_error) => self.pause_after(api_error, times).max(poll),
        };
        let mut next = self.after(pause);
        if on == WaitReason::Users {
            // The last poll comes when `connected_wait` ends.
            next = next.min(later(self.wait_since(&work, on), self.bake.settings.connected_wait));
        }
        self.queue(work, Resume::Instance, next)
    }

    fn create_after_stop(&self, work: BakeWork) -> (State, Effect) {
        if self.past_deadline() { self.give_up(work) } else { self.search_then_create(work) }
    }
}
