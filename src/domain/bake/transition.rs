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

use super::{
    Bake, Trigger,
    event::{Effect, Event, PollPolicy},
    hook_environment::environment,
    identity::{identity, values},
    maintenance::Maintenance,
    naming::Template,
    reason::ReasonCode,
    retry::{self, later},
    settings::{IfConnected, StopInstance},
    state::{BakeWork, End, Resume, State, Suspended},
    waiting::{Wait, WaitReason},
};
use crate::domain::clock::shifted;
use crate::domain::{
    api::{
        call::{ApiError, Call, ErrorClass, MadeImage, PowerState, Response},
        identity::{EarlierName, Evidence, Identity, ImageStatus, RemoteImage, TAG_LINE, TakenName},
    },
    hooks::{HookCommand, HookOutcome, HookResult, HookRun, Moment},
};

mod maintenance;
mod sessions;

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
            (State::Preparing { work, hook: None, .. }, Event::Answered(answer)) if self.needs_session(&work) => {
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
                if work.maintenance == Maintenance::Entering || matches!(answer, Response::Maintenance(_)) =>
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
                let reason = format!("no bake was admitted before the deadline: {why}");
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

    // Queue

    fn wait_in_queue(&self, not_before: DateTime<Utc>, suspended: Option<Suspended>) -> (State, Effect) {
        if !self.past_deadline() {
            return (State::Queued { not_before, suspended }, Effect::Wait(not_before));
        }
        match suspended {
            None => {
                let deadline = self.deadline_in_words();
                let reason = format!("waited past its deadline ({deadline}) for its instance or a builder");
                self.end_queued(None, End::Skipped { code: ReasonCode::Deadline, reason })
            }
            // A bake past its deadline searches once more where an image may exist.
            Some(Suspended { work, resume: Resume::FindImage }) => self.search_then_create(work),
            Some(suspended) => self.give_up(suspended.work),
        }
    }

    /// Returns to the queue. The bake uses neither a builder nor the instance while it waits, and keeps its version.
    fn queue(&self, mut work: BakeWork, resume: Resume, next: DateTime<Utc>) -> (State, Effect) {
        if work.maintenance.is_pending() {
            return self.leave_before_queue(work, resume, next);
        }
        // Others may begin or end one until then.
        work.maintenance = Maintenance::Unknown;
        self.wait_in_queue(next, Some(Suspended { work, resume }))
    }

    fn resume(&mut self, suspended: Suspended) -> (State, Effect) {
        if self.needs_session(&suspended.work) {
            return self.list_sessions(suspended.work);
        }
        match suspended.resume {
            Resume::Instance => self.poll_instance(suspended.work),
            Resume::FindImage => self.search_then_create(suspended.work),
            Resume::Create => self.search_or_create(suspended.work),
        }
    }

    fn end_queued(&self, suspended: Option<Suspended>, end: End) -> (State, Effect) {
        match suspended {
            Some(suspended) => self.finish(suspended.work, end),
            // The bake has no version; `on_failure` runs all the same.
            None => self.run_end_hooks(BakeWork::default(), Some(end), 0),
        }
    }

    fn begin(self, version: u32) -> (State, Effect) {
        let bake = self.bake;
        let template = match Template::parse(&bake.settings.image_name) {
            Ok(template) => template,
            Err(error) => {
                let reason = format!("the image name's template is not readable: {error}");
                return self.end_queued(None, failed(ReasonCode::Refused, true, reason));
            }
        };
        let work = BakeWork { version, image_name: template.render(&values(bake, version)), ..BakeWork::default() };
        if self.needs_session(&work) { self.list_sessions(work) } else { self.first_step(work) }
    }

    /// The first step of a bake that knows the session of its workstation.
    fn first_step(mut self, work: BakeWork) -> (State, Effect) {
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

    fn stop_or_create(&mut self, work: BakeWork) -> (State, Effect) {
        match self.bake.settings.stop_instance {
            StopInstance::Never if self.is_late() => self.search_then_create(work),
            StopInstance::Never => self.search_or_create(work),
            StopInstance::IfRunning | StopInstance::Required => {
                let state = State::Stopping { work, polls: 0, sent: false, first_stop: false, next: self.now };
                (state, Effect::Call(Call::DescribeInstance))
            }
        }
    }

    // Prepare

    fn poll_instance(&self, work: BakeWork) -> (State, Effect) {
        if self.needs_session(&work) {
            return self.list_sessions(work);
        }
        (State::Preparing { work, hook: None, next: self.now }, Effect::Call(Call::DescribeInstance))
    }

    /// Reports what blocks the stop before any hook runs and before a restart is pending.
    fn instance_polled(&mut self, mut work: BakeWork, answer: Response) -> (State, Effect) {
        let settings = &self.bake.settings;
        let goes_on = match &answer {
            Response::Instance(Some(PowerState::RunningInUse(_))) => settings.if_connected == IfConnected::Proceed,
            Response::Instance(Some(PowerState::Running | PowerState::Stopped)) => true,
            Response::Refused(api_error) => {
                api_error.class == ErrorClass::Permanent && settings.stop_instance == StopInstance::IfRunning
            }
            _ => false,
        };
        if goes_on {
            self.note_wait(&mut work);
            if !work.end_hooks_pending && !settings.hooks.before.is_empty() {
                return self.prepare(work, 0);
            }
            // Nothing happens in between, so this poll is the one right before the stop.
            work.end_hooks_pending |= settings.hooks.wrap_a_bake();
        }
        self.stopping(work, 0, false, answer)
    }

    /// The wait has ended; a wait for users is added to the reason of the end.
    fn note_wait(&self, work: &mut BakeWork) {
        if let Some(Wait { since, on: WaitReason::Users, .. }) = work.waiting.take() {
            let waited = (self.now - since).to_std().unwrap_or_default();
            let waited = words(Duration::from_secs(waited.as_secs()));
            work.notes.push(format!("waited {waited} for a connected user to leave"));
        }
    }

    fn somebody_is_connected(&mut self, work: BakeWork, who: &str) -> (State, Effect) {
        let settings = &self.bake.settings;
        if settings.if_connected == IfConnected::Skip {
            let reason = format!("{who} was connected to the instance, and if_connected is \"skip\"");
            return self.finish(work, End::Skipped { code: ReasonCode::UsersConnected, reason });
        }
        let limit = later(self.wait_since(&work, WaitReason::Users), settings.connected_wait);
        if self.has_come(limit) {
            let reason = format!("somebody was connected to the instance for {}", words(settings.connected_wait));
            return self.finish(work, End::Skipped { code: ReasonCode::UsersConnected, reason });
        }
        self.wait_for_instance(work, 0, false, &Obstacle::Users(who.to_owned()))
    }

    /// Start of the uninterrupted wait for `on`.
    fn wait_since(&self, work: &BakeWork, on: WaitReason) -> DateTime<Utc> {
        // The clock may have been set back since.
        work.waiting.as_ref().filter(|waiting| waiting.on == on).map_or(self.now, |waiting| waiting.since.min(self.now))
    }

    /// Continues from the `before` hook with this number.
    fn prepare(&mut self, mut work: BakeWork, number: usize) -> (State, Effect) {
        let bake = self.bake;
        if self.past_deadline() {
            return self.give_up(work);
        }
        work.end_hooks_pending = true;
        match bake.settings.hooks.before.get(number) {
            Some(command) => {
                let run = self.hook(&work, None, Moment::Before, number + 1, command);
                (State::Preparing { work, hook: Some(number), next: self.now }, run)
            }
            None if number == 0 => self.stop_or_create(work),
            // A hook may run for long: whether a stop or a create call may still begin is asked anew.
            None => (self.after_before_hooks(work), Effect::Wait(self.now)),
        }
    }

    fn after_before_hooks(&self, work: BakeWork) -> State {
        let next = self.now;
        match self.bake.settings.stop_instance {
            StopInstance::Never => {
                let reconcile_before_create = self.is_late();
                State::Ready { work, reconcile_before_create, next, blocked_on: None }
            }
            StopInstance::IfRunning | StopInstance::Required => {
                State::Stopping { work, polls: 0, sent: false, first_stop: false, next }
            }
        }
    }

    /// Whether another host with the same file may have made the image since the slot.
    fn is_late(&self) -> bool {
        self.now > later(self.bake.slot, RECONCILE_AFTER)
    }

    fn prepared(&mut self, work: BakeWork, number: usize, outcome: &HookOutcome) -> (State, Effect) {
        if outcome.is_ok() {
            return self.prepare(work, number + 1);
        }
        let program = self.bake.settings.hooks.before.get(number).map_or("", HookCommand::program);
        if outcome.is_veto() {
            let reason = format!("vetoed by {program}: {}", outcome.last_word());
            return self.finish(work, End::Skipped { code: ReasonCode::VetoedByHook, reason });
        }
        let permanent = matches!(outcome.result, HookResult::NotStarted(_));
        let reason = format!("the hook {program} of before failed: {}", outcome.result);
        self.finish(work, failed(ReasonCode::HookFailed, permanent, reason))
    }

    fn hook(&self, work: &BakeWork, end: Option<&End>, moment: Moment, number: usize, command: &HookCommand) -> Effect {
        Effect::Call(Call::RunHook(HookRun {
            moment,
            number,
            command: command.clone(),
            timeout: self.bake.settings.hooks.timeout,
            environment: environment(self.bake, work, end, moment),
        }))
    }

    // Stop

    fn stopping(&mut self, mut work: BakeWork, polls: u32, sent: bool, answer: Response) -> (State, Effect) {
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

    fn poll_instance_again(
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
    fn wait_for_instance(
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
            Obstacle::Users(_) | Obstacle::Absent | Obstacle::NoSession => poll,
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

    // Create

    fn create(&self, mut work: BakeWork) -> (State, Effect) {
        // A rejected call made no image: the first call that counts is this one.
        if work.evidence.nothing_made() {
            work.evidence.first_sent = Some(self.now.checked_add_signed(self.pace.clock_skew).unwrap_or(self.now));
            work.evidence.all_refused = true;
        }
        let identity = self.identity(&work);
        (State::Creating { work, sent_at: self.now }, Effect::Call(Call::CreateImage(identity)))
    }

    fn search_or_create(&self, work: BakeWork) -> (State, Effect) {
        if self.must_search(&work) { self.search_then_create(work) } else { self.create(work) }
    }

    /// Whether a search precedes the next create call.
    fn must_search(&self, work: &BakeWork) -> bool {
        if self.pace.search_until.is_some_and(|until| self.now < until) {
            return true;
        }
        let Evidence { baseline, first_sent, .. } = &work.evidence;
        // Others may use a name without the slot. While the zone of GmtCreate is not known, only a list from before the
        // call identifies the image if its tags are not listed.
        let decides_later = self.has_slot() && self.pace.gmt_offset.is_some();
        baseline.is_none() && first_sent.is_none() && !decides_later
    }

    fn has_slot(&self) -> bool {
        Template::parse(&self.bake.settings.image_name).is_ok_and(|template| template.has_slot())
    }

    fn has_version(&self) -> bool {
        Template::parse(&self.bake.settings.image_name).is_ok_and(|template| template.has_version())
    }

    fn find_image(&self, work: &BakeWork) -> Effect {
        Effect::Call(Call::FindImage(self.identity(work)))
    }

    fn search_then_create(&self, work: BakeWork) -> (State, Effect) {
        let search = self.find_image(&work);
        (State::Ready { work, reconcile_before_create: true, next: self.now, blocked_on: None }, search)
    }

    /// No image of the slot is listed, but others with its name. A name that does not identify its image is not used.
    fn name_taken(&mut self, mut work: BakeWork, taken: TakenName) -> (State, Effect) {
        let known = work.evidence.baseline.as_ref();
        let news = taken.ids().find(|id| known.is_none_or(|known| !known.contains(id)));
        let Some(image_id) = news else { return self.create(work) };
        let why = format!("the name {} is taken by {image_id}", work.image_name);
        if self.has_version() {
            work.needs_version = true;
            let next = self.now;
            return (
                State::Ready { work, reconcile_before_create: true, next, blocked_on: Some(why) },
                Effect::Wait(next),
            );
        }
        if taken.by_others.is_empty() {
            // Tags identify images of other slots of this owner; a template without a version gives no other name.
            work.evidence.baseline = Some(taken.by_own);
            return self.create(work);
        }
        let reason =
            format!("{why}, which is not an image of ours; add {{version}} to image_name, or rename that image");
        self.finish(work, failed(ReasonCode::NameTaken, false, reason))
    }

    fn renumbered(&mut self, mut work: BakeWork, version: u32, blocked_on: Option<String>) -> (State, Effect) {
        if self.past_deadline() {
            return self.give_up(work);
        }
        let template = match Template::parse(&self.bake.settings.image_name) {
            Ok(template) => template,
            Err(error) => {
                let reason = format!("the image name's template is not readable: {error}");
                return self.finish(work, failed(ReasonCode::Refused, true, reason));
            }
        };
        let before = (work.version, std::mem::take(&mut work.image_name));
        work.version = version;
        work.image_name = template.render(&values(self.bake, version));
        work.needs_version = false;
        // Nothing is known about images with the new name. A call under the old name may still have made an image.
        let Evidence { baseline, first_sent, all_refused, .. } = &mut work.evidence;
        let (baseline, first_sent) = (baseline.take(), first_sent.take());
        let is_clear = std::mem::take(all_refused);
        if let Some(first_sent) = first_sent.filter(|_| !is_clear) {
            let (version, image_name) = (before.0, before.1);
            work.evidence.earlier.push(EarlierName { version, image_name, baseline, first_sent });
        }
        let search = self.find_image(&work);
        (State::Ready { work, reconcile_before_create: true, next: self.now, blocked_on }, search)
    }

    fn searched_before_create(
        &mut self,
        mut work: BakeWork,
        blocked_on: Option<String>,
        answer: Response,
    ) -> (State, Effect) {
        match answer {
            Response::Found(Some(image)) => {
                self.adopt(work, image, "found in the cloud before the create call was made")
            }
            Response::Refused(api_error) if api_error.class == ErrorClass::Permanent => {
                self.finish(work, failed_by(&api_error, true, api_error.describe()))
            }
            _ if self.past_deadline() => self.give_up(work),
            Response::Found(None) | Response::NameTaken(_) if self.downtime_is_over(&work) => self.restart(work),
            Response::Found(None) => {
                if work.evidence.nothing_made() {
                    work.evidence.baseline = Some(Vec::new());
                }
                self.create(work)
            }
            Response::NameTaken(taken) => self.name_taken(work, taken),
            Response::Refused(api_error) => self.wait_for_cloud(work, &api_error, true),
            _ => {
                let next = self.after(self.pace.poll_interval);
                (State::Ready { work, reconcile_before_create: true, next, blocked_on }, Effect::Wait(next))
            }
        }
    }

    fn create_answered(&mut self, mut work: BakeWork, sent_at: DateTime<Utc>, answer: Response) -> (State, Effect) {
        match answer {
            Response::Created(image) => {
                work.attempts += 1;
                work.evidence.all_refused = false;
                self.follow(work, image, "CREATING".to_owned(), None)
            }
            Response::Refused(api_error) => match api_error.class {
                ErrorClass::Permanent => {
                    work.attempts += 1;
                    self.finish(work, failed_by(&api_error, true, api_error.describe()))
                }
                ErrorClass::Unclear => {
                    work.attempts += u32::from(api_error.spends_attempt());
                    let asked = api_error.server_delay().unwrap_or_default();
                    self.unclear(work, sent_at, api_error.to_string(), asked)
                }
                ErrorClass::Transient if api_error.spends_attempt() => {
                    work.attempts += 1;
                    self.try_again(work, &api_error)
                }
                // Another image of the instance may be in the making, possibly this bake's.
                ErrorClass::Busy => self.wait_for_cloud(work, &api_error, true),
                ErrorClass::Transient | ErrorClass::Credential => self.wait_for_cloud(work, &api_error, false),
            },
            Response::NotSent if self.past_deadline() => self.give_up(work),
            Response::NotSent => {
                let next = self.now;
                (State::Ready { work, reconcile_before_create: false, next, blocked_on: None }, Effect::Wait(next))
            }
            _ => {
                work.attempts += 1;
                let why = "the create call returned the response to another call".to_owned();
                self.unclear(work, sent_at, why, Duration::ZERO)
            }
        }
    }

    fn try_again(&mut self, work: BakeWork, api_error: &ApiError) -> (State, Effect) {
        if work.attempts >= self.attempts(&work) {
            let reason = format!("gave up after {}: {}", count(work.attempts, "attempt"), api_error.describe());
            return self.finish(work, failed_by(api_error, false, reason));
        }
        self.wait_for_cloud(work, api_error, false)
    }

    /// The cloud rejects the create call, or the search before it, for now. With a stopped instance the bake waits in
    /// its state, otherwise in the queue.
    fn wait_for_cloud(
        &mut self,
        mut work: BakeWork,
        api_error: &ApiError,
        reconcile_before_create: bool,
    ) -> (State, Effect) {
        let waiting = Wait::for_cloud(work.waiting.as_ref(), api_error, self.now);
        let on = waiting.on;
        let (policy, asked) = (self.bake.settings.retry, api_error.server_delay());
        let steady = |pause, rng: &mut Rng| retry::poll_delay(pause, 1, retry::LONGEST_GAP, rng);
        let pause = match on {
            WaitReason::Fault => retry::delay(&policy, work.attempts.max(waiting.times), asked, self.rng),
            WaitReason::Outage | WaitReason::Throttled => retry::delay(&policy, waiting.times, asked, self.rng),
            WaitReason::Credentials | WaitReason::Clock => {
                steady(retry::credential_pause(self.pace.poll_interval), self.rng)
            }
            _ => steady(self.pace.poll_interval, self.rng),
        };
        let mut next = self.after(pause.max(asked.unwrap_or_default()));
        let is_first = waiting.times == 1;
        work.waiting = Some(waiting);
        if work.restart_pending {
            next = self.downtime_end(&work).filter(|end| *end > self.now).map_or(next, |end| next.min(end));
            // The instance is started as soon as a search has shown that no image is being made.
            if is_first && on == WaitReason::ImageQuota {
                next = self.now;
            }
            let blocked_on = None;
            (State::Ready { work, reconcile_before_create, next, blocked_on }, Effect::Wait(next))
        } else {
            self.queue(work, if reconcile_before_create { Resume::FindImage } else { Resume::Create }, next)
        }
    }

    fn downtime_end(&self, work: &BakeWork) -> Option<DateTime<Utc>> {
        work.downtime_end(self.bake.settings.max_downtime, self.now)
    }

    fn downtime_is_over(&self, work: &BakeWork) -> bool {
        self.downtime_end(work).is_some_and(|end| self.has_come(end))
    }

    /// The instance was stopped for as long as it may, and no image could be started: the instance is started and the bake
    /// returns to the queue. Called only where no create call is unclear and no image of the slot is listed.
    fn restart(&self, mut work: BakeWork) -> (State, Effect) {
        let limit = match &work.waiting {
            Some(waiting) if waiting.on == WaitReason::ImageQuota => String::new(),
            _ => format!("{} (max_downtime)", words(self.bake.settings.max_downtime)),
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
    fn back_to_queue(&self, mut work: BakeWork) -> (State, Effect) {
        work.waiting = work.downtime.waited_for.take();
        let running_since = work.downtime.running_since.unwrap_or(self.now).min(self.now);
        let next = later(running_since, self.bake.settings.max_downtime);
        self.queue(work, Resume::Instance, next)
    }

    // Unknown

    fn unclear(&mut self, mut work: BakeWork, since: DateTime<Utc>, why: String, asked: Duration) -> (State, Effect) {
        work.waiting = None;
        work.evidence.all_refused = false;
        // The clock may have been set back since.
        let since = since.min(self.now);
        let next = self.after(self.first_poll_delay().max(asked));
        (State::Unknown { work, since, polls: 0, next, why }, Effect::Wait(next))
    }

    fn searched(
        &mut self,
        mut work: BakeWork,
        since: DateTime<Utc>,
        polls: u32,
        why: String,
        answer: Response,
    ) -> (State, Effect) {
        // The clock may have been set back since; a window that starts in the future would delay the bake by as much.
        let since = since.min(self.now);
        self.note_poll(&mut work, &answer);
        match answer {
            Response::Found(Some(image)) => {
                let found = format!("found by name after the create call stayed unclear ({why})");
                self.adopt(work, image, &found)
            }
            // Images with the same name are checked right before the call is repeated.
            Response::Found(None) | Response::NameTaken(_) if self.now >= later(since, self.pace.lookup_window) => {
                let nothing = format!("{why}; no image appeared within {}", words(self.pace.lookup_window));
                let spent = work.attempts >= self.attempts(&work);
                if self.past_deadline() && !spent {
                    let deadline = self.deadline_in_words();
                    let reason = format!("no image could be started before the deadline ({deadline}); last: {nothing}");
                    let end = match self.not_after() {
                        Some(_) => End::Skipped { code: ReasonCode::Deadline, reason },
                        None => failed(ReasonCode::Outage, false, reason),
                    };
                    return self.finish(work, end);
                }
                if spent {
                    let reason = format!("gave up after {}: {nothing}", count(work.attempts, "attempt"));
                    return self.finish(work, failed(ReasonCode::Outage, false, reason));
                }
                let next = self.now;
                let state = State::Ready { work, reconcile_before_create: true, next, blocked_on: Some(nothing) };
                (state, Effect::Wait(next))
            }
            Response::Refused(_) if self.has_come(later(since, self.bake.settings.build_deadline)) => {
                let reason = format!("{why}; the image could not be searched for either, see the attempts");
                self.finish(work, failed(ReasonCode::Outage, false, reason))
            }
            Response::Refused(api_error) => {
                let pause = self.pause_after(&api_error, polls + 1);
                let next = self.after(pause);
                (State::Unknown { work, since, polls: polls + 1, next, why }, Effect::Wait(next))
            }
            _ => {
                let gap = retry::poll_delay(self.first_poll_delay(), polls + 1, self.longest_poll_delay(), self.rng);
                // The last search comes right after the window, not up to a full interval later.
                let window_end = later(since, self.pace.lookup_window).max(self.after(self.first_poll_delay()));
                let next = self.after(gap).min(window_end);
                (State::Unknown { work, since, polls: polls + 1, next, why }, Effect::Wait(next))
            }
        }
    }

    fn first_poll_delay(&self) -> Duration {
        retry::FIRST_POLL.min(self.pace.lookup_window / 4)
    }

    fn longest_poll_delay(&self) -> Duration {
        retry::LONGEST_GAP.min(self.pace.lookup_window)
    }

    fn adopt(&mut self, mut work: BakeWork, image: RemoteImage, found: &str) -> (State, Effect) {
        // An image under a former name is identified by that name from here on.
        let evidence = &mut work.evidence;
        if let Some(index) = evidence.earlier.iter().position(|earlier| earlier.image_name == image.name) {
            let EarlierName { version, image_name, baseline, first_sent } = evidence.earlier.remove(index);
            (evidence.baseline, evidence.first_sent, evidence.all_refused) = (baseline, Some(first_sent), false);
            (work.version, work.image_name) = (version, image_name);
        }
        let made = MadeImage { image_id: image.image_id, version_id: image.version_id, task_id: None };
        match image.status {
            ImageStatus::Available => {
                self.finish(work, End::Succeeded { image: made, reason: format!("image made; {found}") })
            }
            status => self.follow(work, made, status.as_str().to_owned(), Some(found.to_owned())),
        }
    }

    // Build

    fn follow(
        &mut self,
        mut work: BakeWork,
        image: MadeImage,
        status: String,
        found: Option<String>,
    ) -> (State, Effect) {
        work.waiting = None;
        let next = self.after(self.pace.poll_interval);
        let now = self.now;
        let state = State::Building {
            work,
            image,
            since: now,
            seen_at: now,
            consecutive_errors: 0,
            next,
            status,
            found,
            searching: false,
        };
        (state, Effect::Wait(next))
    }

    fn building(&mut self, answer: Response) -> (State, Effect) {
        let State::Building {
            mut work,
            image,
            since,
            mut seen_at,
            mut consecutive_errors,
            mut status,
            found,
            mut searching,
            ..
        } = self.bake.state.clone()
        else {
            return (self.bake.state.clone(), Effect::Wait(self.now));
        };
        // The clock may have been set back since.
        let since = since.min(self.now);
        seen_at = seen_at.min(self.now);
        self.note_poll(&mut work, &answer);
        let lag = self.pace.lookup_window.max(self.pace.poll_interval.saturating_mul(3));
        let mut pause = self.pace.poll_interval;
        let answer = match answer {
            Response::Found(Some(seen)) if seen.image_id == image.image_id => Response::Image(Some(seen)),
            // The id in the response to the create call may belong to another image.
            Response::Image(Some(seen)) if self.identity(&work).contradicts(&seen) => Response::Image(None),
            answer => answer,
        };
        if let Response::Instance(power) = &answer {
            if is_running(power.as_ref()) {
                work.note(STARTED_MEANWHILE.to_owned());
            }
            return self.create_failed(work, image);
        }
        let (mut asks_instance, mut is_outage) = (false, false);
        match answer {
            Response::Image(Some(seen)) => match seen.status {
                ImageStatus::Available => {
                    let reason = match found {
                        Some(found) => format!("image made; {found}"),
                        None if work.attempts > 1 => format!("image made at attempt {}", work.attempts),
                        None => "image made".to_owned(),
                    };
                    return self.finish(work, End::Succeeded { image, reason });
                }
                // Somebody may have started the instance, which makes the image fail.
                ImageStatus::CreateFailed if work.downtime.seen_at_rest => {
                    seen.status.as_str().clone_into(&mut status);
                    asks_instance = true;
                }
                ImageStatus::CreateFailed => return self.create_failed(work, image),
                ImageStatus::Deleted => {
                    seen.status.as_str().clone_into(&mut status);
                    searching = true;
                }
                ImageStatus::InProgress | ImageStatus::Other(_) => {
                    seen_at = self.now;
                    consecutive_errors = 0;
                    searching = false;
                    seen.status.as_str().clone_into(&mut status);
                }
            },
            Response::Image(None) => searching = self.now >= later(seen_at, lag),
            Response::Found(Some(seen)) => {
                let listed = format!("found by name and tags after {} was not listed", image.image_id);
                work.evidence.given_up.push(image.image_id);
                return self.adopt(work, seen, &listed);
            }
            Response::Found(None) | Response::NameTaken(_) if searching => {
                return self.finish(work, vanished(image, &status, lag));
            }
            // What its instance does is not known; the image has failed all the same.
            Response::Refused(_) if ImageStatus::parse(&status) == ImageStatus::CreateFailed => {
                return self.create_failed(work, image);
            }
            Response::Refused(api_error) => {
                consecutive_errors += 1;
                pause = self.pause_after(&api_error, consecutive_errors).max(pause);
                // A cloud that cannot be reached reports nothing about the image and starts no instance.
                is_outage = api_error.is_outage();
            }
            _ => consecutive_errors += 1,
        }
        if !asks_instance && !is_outage && self.has_come(later(since, self.bake.settings.build_deadline)) {
            if searching {
                return self.finish(work, vanished(image, &status, lag));
            }
            let reason = format!(
                "stuck: the image is still {status} after {}, no longer followed",
                words(self.bake.settings.build_deadline)
            );
            return self.finish(work, made_in_vain(image, ReasonCode::Stuck, false, reason));
        }
        let was_searching = matches!(self.bake.state, State::Building { searching: true, .. });
        let (next, effect) = if asks_instance {
            (self.after(pause), Effect::Call(Call::DescribeInstance))
        } else if searching && !was_searching {
            (self.now, self.find_image(&work))
        } else {
            let next = self.after(pause);
            (next, Effect::Wait(next))
        };
        (State::Building { work, image, since, seen_at, consecutive_errors, next, status, found, searching }, effect)
    }

    /// The cloud lists the image as CREATE_FAILED.
    fn create_failed(&self, work: BakeWork, image: MadeImage) -> (State, Effect) {
        if work.rebakes < self.bake.settings.retry.rebakes && !self.past_deadline() {
            return self.rebake(work, image);
        }
        let reason = "the cloud reports CREATE_FAILED and gives no reason; the request id of the create call is in the \
                      attempts, for a support ticket";
        self.finish(work, made_in_vain(image, ReasonCode::CreatedFailed, true, reason.to_owned()))
    }

    /// The cloud lists the image as CREATE_FAILED: another one is created under the next version. Later searches of
    /// this bake ignore the failed one.
    fn rebake(&self, mut work: BakeWork, image: MadeImage) -> (State, Effect) {
        let why = format!("the cloud reports CREATE_FAILED for image {}; another one is created", image.image_id);
        work.note(why.clone());
        work.rebakes += 1;
        work.needs_version = true;
        work.evidence.given_up.push(image.image_id);
        let next = self.now;
        (State::Ready { work, reconcile_before_create: true, next, blocked_on: Some(why) }, Effect::Wait(next))
    }

    /// Maximum number of create calls: each image that is created again adds one.
    fn attempts(&self, work: &BakeWork) -> u32 {
        self.bake.settings.retry.attempts.saturating_add(work.rebakes)
    }

    // Start

    fn starting(&mut self, answer: Response) -> (State, Effect) {
        let State::Starting {
            mut work,
            end,
            tries,
            stop_unconfirmed,
            since,
            start_sent,
            mut refused_since,
            mut last_error,
            ..
        } = self.bake.state.clone()
        else {
            return (self.bake.state.clone(), Effect::Wait(self.now));
        };
        let asked = if let Response::Refused(api_error) = &answer { api_error.server_delay() } else { None };
        let absent = match &answer {
            Response::Instance(None) => true,
            Response::Instance(Some(PowerState::Final(status))) => status.eq_ignore_ascii_case("deleted"),
            _ => false,
        };
        if absent {
            let before = work.waiting.as_ref();
            work.waiting = Some(Obstacle::Absent.wait(before, self.now));
        } else {
            self.note_poll(&mut work, &answer);
        }
        let times = work.waiting.as_ref().map_or(0, |waiting| waiting.times);
        if let Response::Refused(api_error) = &answer
            && start_sent
            && api_error.is_decided()
        {
            refused_since = refused_since.or(Some(self.now));
        }
        let (tries, stop_unconfirmed, next, call) = match answer {
            Response::Instance(Some(PowerState::Running | PowerState::RunningInUse(_)))
                if stop_unconfirmed && tries < SETTLED_AFTER =>
            {
                (tries + 1, stop_unconfirmed, self.after(self.pace.poll_interval), None)
            }
            Response::Instance(Some(PowerState::Running | PowerState::RunningInUse(_))) => {
                work.restart_pending = false;
                work.downtime.stopped_since = None;
                work.downtime.running_since = Some(self.now);
                return self.end_maintenance(work, end.map(|end| started_meanwhile(end, tries)));
            }
            // Another line or host may be making an image of the instance now; a start would damage it.
            Response::Instance(Some(PowerState::Stopped)) => {
                let waited = self.has_come(later(since.unwrap_or(self.now), self.bake.settings.build_deadline));
                let call = if waited { Call::StartInstance } else { Call::FindImagesInProgress };
                (tries + 1, false, self.start_pause(tries), Some(call))
            }
            Response::InProgress(images) => {
                let own = end.as_ref().and_then(End::image).map(|image| &image.image_id);
                match images.iter().find(|image| Some(&image.image_id) != own) {
                    None => (tries, false, self.start_pause(tries), Some(Call::StartInstance)),
                    Some(image) => {
                        let line = image.tags.get(TAG_LINE).map_or("another line", String::as_str);
                        let name = &image.image_id;
                        last_error =
                            Some(format!("it is not started while image {name} of {line} is being made of it"));
                        (tries, false, self.start_pause(tries), None)
                    }
                }
            }
            // One listing without the instance proves nothing: it could stay stopped.
            Response::Instance(_) if absent && times >= ABSENT_AFTER => {
                work.waiting = None;
                work.restart_pending = false;
                work.maintenance = Maintenance::Unknown;
                work.downtime.stopped_since = None;
                let end = end.map(|end| end.with_note("the instance is gone, it could not be started again"));
                return self.run_end_hooks(work, end, 0);
            }
            Response::Accepted => (tries, stop_unconfirmed, self.after(self.pace.poll_interval), None),
            answer => {
                last_error = match answer {
                    Response::Refused(api_error) => Some(api_error.describe()),
                    Response::Instance(Some(PowerState::Transitioning(status) | PowerState::Final(status))) => {
                        Some(format!("the cloud reports it {status}"))
                    }
                    Response::Instance(None) => Some("the cloud does not list it".to_owned()),
                    _ => last_error,
                };
                (tries + 1, stop_unconfirmed, self.start_pause(tries), None)
            }
        };
        let next = next.max(self.after(asked.unwrap_or_default()));
        // Before each start: the cloud may reject one of a desktop in maintenance, and may have rejected the end for now
        // only.
        let call = match call {
            Some(Call::StartInstance) if work.maintenance.is_pending() => {
                work.maintenance = Maintenance::Leaving;
                Some(Call::LeaveMaintenance)
            }
            call => call,
        };
        let start_sent = call == Some(Call::StartInstance);
        let effect = call.map_or(Effect::Wait(next), Effect::Call);
        (
            State::Starting { work, end, tries, stop_unconfirmed, since, start_sent, refused_since, last_error, next },
            effect,
        )
    }

    /// Starts are repeated without limit: a stopped instance is worse than one more call. An instance needs a few polls
    /// to start, so the pauses grow only after those.
    fn start_pause(&mut self, tries: u32) -> DateTime<Utc> {
        let pause = retry::poll_delay(self.pace.poll_interval, tries / STEADY_POLLS + 1, retry::LONGEST_GAP, self.rng);
        self.after(pause)
    }

    // Finish

    /// Runs the hooks of the end after the first `done`; ends the bake if none is left.
    fn run_end_hooks(&self, mut work: BakeWork, end: Option<End>, done: usize) -> (State, Effect) {
        let Some((moment, number, command)) = self.end_hook(&work, end.as_ref(), done) else {
            work.end_hooks_pending = false;
            return match end {
                Some(end) => (State::Ended { work: Some(work).filter(BakeWork::has_begun), end }, Effect::Done),
                None => self.back_to_queue(work),
            };
        };
        let run = self.hook(&work, end.as_ref(), moment, number, command);
        (State::Finishing { work, end, done, next: self.now }, run)
    }

    /// The hook of the end that comes after `done` of them.
    fn end_hook(&self, work: &BakeWork, end: Option<&End>, done: usize) -> Option<(Moment, usize, &HookCommand)> {
        let failed = matches!(end, Some(End::Failed { .. }));
        self.bake.settings.hooks.ending(failed, work.end_hooks_pending).nth(done)
    }

    /// The result of an end hook never changes the result of the bake.
    fn end_hook_finished(
        &self,
        mut work: BakeWork,
        mut end: Option<End>,
        done: usize,
        outcome: &HookOutcome,
    ) -> (State, Effect) {
        if let Some((moment, _, command)) = self.end_hook(&work, end.as_ref(), done)
            && !outcome.is_ok()
        {
            let (program, moment) = (command.program(), moment.as_str());
            let note = format!("the hook {program} of {moment} failed: {}", outcome.result);
            match end {
                Some(it) => end = Some(it.with_note(&note)),
                None => work.note(note),
            }
        }
        self.run_end_hooks(work, end, done + 1)
    }

    // Shared

    /// Ends the bake, after the pending restart and the pending hooks.
    fn finish(&self, mut work: BakeWork, mut end: End) -> (State, Effect) {
        work.waiting = None;
        for note in std::mem::take(&mut work.notes) {
            end = end.with_note(&note);
        }
        self.start(work, Some(end))
    }

    /// Starts the instance if it was stopped, then runs the hooks of the end.
    fn start(&self, work: BakeWork, end: Option<End>) -> (State, Effect) {
        if work.restart_pending {
            let stop_unconfirmed = matches!(self.bake.state, State::Stopping { sent: true, .. });
            let since = Some(self.now);
            let (start_sent, refused_since, last_error, next) = (false, None, None, self.now);
            let state = State::Starting {
                work,
                end,
                tries: 0,
                stop_unconfirmed,
                since,
                start_sent,
                refused_since,
                last_error,
                next,
            };
            (state, Effect::Call(Call::DescribeInstance))
        } else {
            self.end_maintenance(work, end)
        }
    }

    /// The deadline has passed. The wait decides the result: a bake that waited for users or its instance is skipped,
    /// not failed.
    fn give_up(&self, work: BakeWork) -> (State, Effect) {
        let deadline = self.deadline_in_words();
        if self.not_after().is_some() {
            let last = work.waiting.as_ref().map(|waiting| format!(": it waited for {}", waiting.what()));
            let last = last.or_else(|| self.bake.state.reason().map(|reason| format!("; last: {reason}")));
            let reason = format!("no image could be started before {deadline}{}", last.unwrap_or_default());
            return self.finish(work, End::Skipped { code: ReasonCode::Deadline, reason });
        }
        let Some(waiting) = &work.waiting else {
            let because = self.bake.state.reason().map(|reason| format!("; last: {reason}")).unwrap_or_default();
            let reason = format!("no image could be started before the deadline ({deadline}){because}");
            return self.finish(work, failed(ReasonCode::Deadline, false, reason));
        };
        let code = waiting.on.code_at_deadline();
        let end = match waiting.on {
            WaitReason::Users => {
                let reason = format!("somebody was connected to the instance until the deadline ({deadline})");
                End::Skipped { code, reason }
            }
            on => {
                let what = waiting.what();
                let reason =
                    format!("no image could be started before the deadline ({deadline}): it waited for {what}");
                match on {
                    WaitReason::Instance | WaitReason::Absent => End::Skipped { code, reason },
                    on => failed_waiting(on, reason),
                }
            }
        };
        self.finish(work, end)
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
        format!("{} after {after}", words(self.bake.settings.deadline))
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

/// What blocks the stop of an instance.
enum Obstacle {
    Users(String),
    State(String),
    Absent,
    /// The cloud lists the workstation without a session.
    NoSession,
    Refused(ApiError),
}

impl Obstacle {
    /// The wait for its end, which may have begun before.
    fn wait(&self, before: Option<&Wait>, now: DateTime<Utc>) -> Wait {
        let (on, why) = match self {
            Self::Users(who) => {
                (WaitReason::Users, format!("waits for {who} to leave, who is connected to the instance"))
            }
            Self::State(status) => (WaitReason::Instance, format!("waits for the instance, which is {status}")),
            Self::Absent => (WaitReason::Absent, "waits for the instance, which the cloud does not list".to_owned()),
            Self::NoSession => {
                (WaitReason::Absent, "waits for the session of its workstation: the cloud lists none".to_owned())
            }
            Self::Refused(api_error) => return Wait::for_cloud(before, api_error, now),
        };
        Wait::go_on(before, on, why, now)
    }

    fn api_error(&self) -> Option<&ApiError> {
        if let Self::Refused(api_error) = self { Some(api_error) } else { None }
    }
}

/// What makes the image of a stopped instance fail.
const STARTED_MEANWHILE: &str = "the instance was started while its image was being made";

fn is_running(power: Option<&PowerState>) -> bool {
    matches!(power, Some(PowerState::Running | PowerState::RunningInUse(_)))
}

/// The end of a bake whose instance ran when it was to be started: other hands did it. After `tries` it may have been ours.
fn started_meanwhile(end: End, tries: u32) -> End {
    match &end {
        End::Failed { image: Some(_), reason, .. } if tries == 0 && !reason.contains(STARTED_MEANWHILE) => {
            end.with_note(STARTED_MEANWHILE)
        }
        _ => end,
    }
}

/// The daemon only observes.
fn observed() -> End {
    let reason = "not baked: the daemon only observes since it was begun ([daemon] mode)".to_owned();
    End::Skipped { code: ReasonCode::Observe, reason }
}

/// Ends without an image.
fn failed(code: ReasonCode, permanent: bool, reason: String) -> End {
    End::Failed { image: None, permanent, code, cause: code.cause(), reason }
}

/// Ends without an image: the cloud's error is the reason.
fn failed_by(error: &ApiError, permanent: bool, reason: String) -> End {
    End::Failed { image: None, permanent, code: ReasonCode::of(error), cause: Some(error.cause()), reason }
}

/// There is no image: what it waited for was in the way until it gave up.
fn failed_waiting(on: WaitReason, reason: String) -> End {
    End::Failed { image: None, permanent: false, code: on.code_at_deadline(), cause: Some(on.cause()), reason }
}

/// Ends with an image that is not good.
fn made_in_vain(image: MadeImage, code: ReasonCode, permanent: bool, reason: String) -> End {
    End::Failed { image: Some(image), permanent, code, cause: code.cause(), reason }
}

/// Ends because the image is not listed any more.
fn vanished(image: MadeImage, status: &str, lag: Duration) -> End {
    let reason = if ImageStatus::parse(status) == ImageStatus::Deleted {
        "the image was deleted while it was being made".to_owned()
    } else {
        format!(
            "the image vanished: it has not been listed for {}, and no other image of its slot is listed",
            words(lag)
        )
    };
    made_in_vain(image, ReasonCode::Vanished, false, reason)
}

fn words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn count(n: u32, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
#[path = "transition_tests.rs"]
pub(crate) mod tests;

#[cfg(test)]
#[path = "transition_model.rs"]
mod model;
