//! The state machine of a bake: `step(state, event) -> (state, effect)`.
//!
//! ```text
//! queued -> preparing -> stopping -> ready -> creating -> building -> starting -> finishing -> succeeded | failed | skipped
//!   ^           |            |         ^         |  ^         ^
//!   |           v            v         v         v  |         |
//!   +-- waits, with nothing stopped ---+------ unknown -------+
//! ```
//!
//! `preparing` polls the instance and runs the `before` hooks; `finishing` runs the hooks of the end. A bake that has
//! stopped nothing and has to wait (for users, its instance or the cloud) returns to `queued`. It then uses neither a
//! builder nor its instance, and keeps its version.
//!
//! Five rules ensure the promises of docs/promises.md:
//!
//! * `creating` is committed before the create call is sent. A bake that is found in it without a call in flight (after
//!   a crash) does not know whether the cloud acted: it becomes `unknown`.
//! * `unknown` ends only by a search: either the image is found, or the look-up window has passed without it and the
//!   call may be repeated.
//! * A maintenance is pending in the same way (`maintenance`): the bake ends what it began before it waits in the queue,
//!   before it starts its instance, and before it ends.
//! * A stop is committed as a pending restart (`restart_pending`) before it is sent. While the restart is pending,
//!   every end leads through `starting`, and never before the image has reached an end state.
//! * Hooks of the end are pending in the same way (`end_hooks_pending`) and run after the start: they revert what
//!   `before` did, however the bake ends.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, Utc};
use fastrand::Rng;

use self::{
    ends::{failed, observed},
    obstacle::Obstacle,
};
use crate::domain::{
    api::{
        call::{ApiError, Call, PowerState, Response},
        identity::Identity,
    },
    bake::{
        Bake, Trigger,
        event::{Effect, Event, PollPolicy},
        identity::identity,
        maintenance::Maintenance,
        reason::ReasonCode,
        retry::{self, later},
        state::{BakeWork, End, State},
        waiting::Wait,
    },
    clock::{shifted, show::show_length},
};

mod building;
mod creating;
mod downtime;
mod ends;
mod finishing;
mod maintenance;
mod obstacle;
mod preparing;
mod queued;
mod sessions;
mod starting;
mod stopping;
mod unknown;

/// A create call later than this after its slot searches first: another host with the same configuration may have made
/// the image.
const RECONCILE_AFTER: Duration = Duration::from_mins(1);
/// Polls that must show an instance running before an unconfirmed stop counts as lost.
const SETTLED_AFTER: u32 = 3;
/// Consecutive polls without the instance after which it counts as missing.
const ABSENT_AFTER: u32 = 5;
/// Maximum number of stops per bake, see `max_downtime`.
const MOST_STOPS: u32 = 2;
/// Polls of an instance at the usual interval before the pauses grow.
const STEADY_POLLS: u32 = 8;

/// Returns the next state of `bake` after `event`, and the effect to carry out once that state is committed. An event
/// that does not belong to the state changes nothing: it is a late response.
pub fn step(bake: &Bake, event: Event, now: DateTime<Utc>, pace: &PollPolicy, rng: &mut Rng) -> (State, Effect) {
    Step { bake, now, pace, rng }.take(event)
}

struct Step<'a> {
    bake: &'a Bake,
    now: DateTime<Utc>,
    pace: &'a PollPolicy,
    rng: &'a mut Rng,
}

impl Step<'_> {
    fn take(mut self, event: Event) -> (State, Effect) {
        match (self.bake.state.clone(), event) {
            (State::Ended { work, end }, _) => (State::Ended { work, end }, Effect::Done),

            (State::Queued { suspended, .. }, Event::NoVersion { why }) => {
                self.end_queued(suspended, failed(ReasonCode::Refused, true, why))
            }
            // A bake past its deadline starts no hook and no stop.
            (State::Queued { not_before, suspended }, Event::Admitted { .. }) if self.past_deadline() => {
                self.wait_in_queue(not_before, suspended)
            }
            (State::Queued { suspended: None, .. }, Event::Admitted { version }) => self.begin(version),
            (State::Queued { suspended: Some(suspended), .. }, Event::Admitted { .. }) => self.resume(suspended),
            (State::Queued { not_before, suspended }, Event::Due) => self.wait_in_queue(not_before, suspended),

            (State::Preparing { work, .. }, Event::Due) if self.past_deadline() => self.give_up(work),
            (State::Preparing { work, hook: None, .. }, Event::Due) => self.poll_instance(work),
            // The process of the hook is gone, and the hook may not have finished.
            (State::Preparing { work, hook: Some(hook), .. }, Event::Due) => self.prepare(work, hook),
            (State::Preparing { work, hook: None, .. }, Event::Answered(answer)) if self.bake.needs_session(&work) => {
                self.sessions_listed(work, answer)
            }
            (State::Preparing { work, hook: None, .. }, Event::Answered(answer)) => self.instance_polled(work, answer),
            (State::Preparing { work, hook: Some(hook), .. }, Event::Answered(Response::Hook(outcome))) => {
                self.prepared(work, hook, &outcome)
            }

            (State::Stopping { work, .. }, Event::Due) if self.past_deadline() => self.give_up(work),
            (State::Stopping { mut work, polls, sent, next, .. }, Event::Due) => {
                work.maintenance = work.maintenance.unanswered();
                // The response to the stop was lost: it may have worked.
                let state = State::Stopping { work, polls, sent, first_stop: false, next };
                (state, Effect::Call(Call::DescribeInstance))
            }
            (State::Stopping { mut work, first_stop: true, .. }, Event::Answered(Response::Refused(api_error)))
                if api_error.did_nothing() =>
            {
                work.restart_pending = false;
                work.downtime.stops = work.downtime.stops.saturating_sub(1);
                self.wait_for_instance(work, 0, false, &Obstacle::Refused(api_error))
            }
            (State::Stopping { work, polls, sent: false, .. }, Event::Answered(answer))
                if work.maintenance.is_entering() || matches!(answer, Response::Maintenance(_)) =>
            {
                self.maintenance_answered(work, polls, answer)
            }
            (State::Stopping { work, polls, sent, .. }, Event::Answered(answer)) => {
                self.stopping(work, polls, sent, answer)
            }

            // A bake past its deadline searches once more where an image may exist.
            (State::Ready { work, reconcile_before_create: false, .. }, Event::Due) if self.past_deadline() => {
                self.give_up(work)
            }
            (State::Ready { work, .. }, Event::NoVersion { why }) if work.needs_version => {
                self.finish(work, failed(ReasonCode::Refused, true, why))
            }
            (State::Ready { work, blocked_on, .. }, Event::Renumbered { version }) if work.needs_version => {
                self.renumbered(work, version, blocked_on)
            }
            (State::Ready { work, reconcile_before_create, blocked_on, .. }, Event::Due) if work.needs_version => {
                let next = self.after(self.pace.poll_interval);
                (State::Ready { work, reconcile_before_create, next, blocked_on }, Effect::Wait(next))
            }
            (State::Ready { work, reconcile_before_create: false, .. }, Event::Due) if self.downtime_is_over(&work) => {
                self.restart(work)
            }
            (State::Ready { work, reconcile_before_create: false, .. }, Event::Due) => self.search_or_create(work),
            (State::Ready { work, .. } | State::Unknown { work, .. }, Event::Due) => {
                (self.bake.state.clone(), self.find_image(&work))
            }
            (State::Ready { work, blocked_on, .. }, Event::Answered(answer)) => {
                self.searched_before_create(work, blocked_on, answer)
            }

            // The process that sent the call is gone: a call in flight gets no `Due`.
            (State::Creating { mut work, sent_at }, Event::Due) => {
                work.attempts += 1;
                let why = "the daemon stopped before the create call was answered".to_owned();
                self.unclear(work, sent_at, why, Duration::ZERO)
            }
            (State::Creating { work, sent_at }, Event::Answered(answer)) => self.create_answered(work, sent_at, answer),

            (State::Unknown { work, since, polls, why, .. }, Event::Answered(answer)) => {
                self.searched(work, since, polls, why, answer)
            }

            (State::Building { work, searching: true, .. }, Event::Due) => {
                (self.bake.state.clone(), self.find_image(&work))
            }
            (State::Building { image, .. }, Event::Due) => {
                (self.bake.state.clone(), Effect::Call(Call::DescribeImage(image.image_id)))
            }
            (State::Building { .. }, Event::Answered(answer)) => self.building(answer),

            (mut state @ State::Starting { .. }, Event::Due) => {
                if let State::Starting { work, start_sent, .. } = &mut state {
                    *start_sent = false;
                    work.maintenance = work.maintenance.unanswered();
                    if !work.restart_pending {
                        return self.leave_again(state);
                    }
                }
                (state, Effect::Call(Call::DescribeInstance))
            }
            (State::Starting { work, .. }, Event::Answered(answer))
                if !work.restart_pending || work.maintenance == Maintenance::Leaving =>
            {
                self.leaving(answer)
            }
            (State::Starting { .. }, Event::Answered(answer)) => self.starting(answer),

            (State::Finishing { work, end, done, .. }, Event::Due) => self.run_end_hooks(work, end, done),
            (State::Finishing { work, end, done, .. }, Event::Answered(Response::Hook(outcome))) => {
                self.end_hook_finished(work, end, done, &outcome)
            }

            (State::Queued { suspended, .. }, Event::AdmissionClosed { code, why }) if self.past_deadline() => {
                let reason = format!("the deadline passed before it could begin: {why}");
                let end = match code {
                    _ if self.not_after().is_some() => {
                        let until = self.deadline_in_words();
                        End::Skipped {
                            code: ReasonCode::Deadline,
                            reason: format!("no bake was admitted until {until}: {why}"),
                        }
                    }
                    ReasonCode::Outage | ReasonCode::Quota => failed(code, false, reason),
                    code => End::Skipped { code, reason },
                };
                self.end_queued(suspended, end)
            }
            (State::Stopping { sent: false, .. } | State::Ready { .. }, Event::AdmissionClosed { code, why })
                if self.bake.state.only_keeps_users_out() =>
            {
                self.wait_for_admission(code, &why)
            }
            // Nothing was requested yet: the slot gets another row when it is due.
            (
                State::Preparing { work, .. } | State::Stopping { work, .. } | State::Ready { work, .. },
                Event::ClockAhead,
            ) if work.evidence.first_sent.is_none() => {
                let reason = "the clock was ahead when the bake started; the slot is baked when it is due".to_owned();
                self.finish(work, End::Skipped { code: ReasonCode::ClockAhead, reason })
            }
            (State::Queued { suspended, .. }, Event::Observed) => self.end_queued(suspended, observed()),
            (
                State::Preparing { work, .. } | State::Stopping { work, .. } | State::Ready { work, .. },
                Event::Observed,
            ) => self.finish(work, observed()),
            (State::Queued { suspended, .. }, Event::Cancelled { by }) => {
                self.end_queued(suspended, End::Cancelled { reason: format!("cancelled by {by} before it started") })
            }
            (
                State::Preparing { work, .. } | State::Stopping { work, .. } | State::Ready { work, .. },
                Event::Cancelled { by },
            ) => self.finish(work, End::Cancelled { reason: format!("cancelled by {by}") }),

            (
                state,
                Event::Admitted { .. }
                | Event::NoVersion { .. }
                | Event::Renumbered { .. }
                | Event::AdmissionClosed { .. }
                | Event::ClockAhead
                | Event::Observed
                | Event::Answered(_)
                | Event::Cancelled { .. },
            ) => {
                let next = state.wake_at().unwrap_or(self.now).max(self.after(self.pace.poll_interval));
                (state, Effect::Wait(next))
            }
        }
    }

    /// `not_after`, if it ends the bake before its deadline.
    fn not_after(&self) -> Option<NaiveTime> {
        let settings = &self.bake.settings;
        let comes_first =
            settings.first_not_after(self.bake.slot).is_some_and(|instant| instant <= self.bake.give_up_at);
        settings.not_after.filter(|_| comes_first)
    }

    fn deadline_in_words(&self) -> String {
        if let Some(not_after) = self.not_after() {
            return format!("not_after, {} {}", not_after.format("%H:%M"), self.bake.settings.timezone);
        }
        let after = match self.bake.trigger {
            Trigger::Slot => "the slot",
            Trigger::CaughtUp => "it was caught up",
            Trigger::Manual => "the request",
        };
        format!("{} after {after}", show_length(self.bake.settings.deadline))
    }

    /// What is in the way of a poll: a call that was refused, until one is answered.
    fn note_poll(&self, work: &mut BakeWork, answer: &Response) {
        work.waiting = match answer {
            Response::Refused(api_error) => Some(Wait::for_cloud(work.waiting.as_ref(), api_error, self.now)),
            Response::NotSent => return,
            _ => None,
        };
    }

    /// See [`retry::pause_after`].
    fn pause_after(&mut self, api_error: &ApiError, n: u32) -> Duration {
        retry::pause_after(api_error, n, self.pace.poll_interval, self.longest_pause(), self.rng)
    }

    /// Maximum pause between two attempts of anything except a start.
    fn longest_pause(&self) -> Duration {
        retry::LONGEST_GAP.min(self.bake.settings.retry.cap).max(self.pace.poll_interval)
    }

    fn past_deadline(&self) -> bool {
        self.bake.is_past_deadline(self.now, self.pace.unproven)
    }

    /// Whether an age limit is reached at `instant`.
    fn has_come(&self, instant: DateTime<Utc>) -> bool {
        shifted(self.now, -self.pace.unproven) >= instant
    }

    fn after(&self, pause: Duration) -> DateTime<Utc> {
        later(self.now, pause)
    }

    fn identity(&self, work: &BakeWork) -> Identity {
        identity(self.bake, work, self.pace)
    }
}

fn is_running(power: Option<&PowerState>) -> bool {
    matches!(power, Some(PowerState::Running | PowerState::RunningInUse(_)))
}

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
#[path = "transition_model.rs"]
mod model;
