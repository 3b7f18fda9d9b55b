//! Before the stop: the instance is polled, connected users are waited for, and the `before` hooks run.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{RECONCILE_AFTER, Step, ends::failed, obstacle::Obstacle};
use crate::domain::{
    api::call::{Call, ErrorClass, PowerState, Response},
    bake::{
        event::Effect,
        hook_environment::environment,
        reason::ReasonCode,
        retry::later,
        settings::{IfConnected, StopInstance},
        state::{BakeWork, End, State},
        waiting::{Wait, WaitReason},
    },
    clock::show::show_length,
    hooks::{HookCommand, HookOutcome, HookResult, HookRun, Moment},
};

impl Step<'_> {
    pub(super) fn poll_instance(&self, work: BakeWork) -> (State, Effect) {
        if self.bake.needs_session(&work) {
            return self.list_sessions(work);
        }
        (State::Preparing { work, hook: None, next: self.now }, Effect::Call(Call::DescribeInstance))
    }

    /// Reports what blocks the stop before any hook runs and before a restart is pending.
    pub(super) fn instance_polled(&mut self, mut work: BakeWork, answer: Response) -> (State, Effect) {
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
            let waited = show_length(Duration::from_secs(waited.as_secs()));
            work.notes.push(format!("waited {waited} for a connected user to leave"));
        }
    }

    pub(super) fn somebody_is_connected(&mut self, work: BakeWork, who: &str) -> (State, Effect) {
        let settings = &self.bake.settings;
        if settings.if_connected == IfConnected::Skip {
            let reason = format!("{who} was connected to the instance, and if_connected is \"skip\"");
            return self.finish(work, End::Skipped { code: ReasonCode::UsersConnected, reason });
        }
        let limit = later(self.wait_since(&work, WaitReason::Users), settings.connected_wait);
        if self.has_come(limit) {
            let reason = format!("somebody was connected to the instance for {}", show_length(settings.connected_wait));
            return self.finish(work, End::Skipped { code: ReasonCode::UsersConnected, reason });
        }
        self.wait_for_instance(work, 0, false, &Obstacle::Users(who.to_owned()))
    }

    /// Start of the uninterrupted wait for `on`.
    pub(super) fn wait_since(&self, work: &BakeWork, on: WaitReason) -> DateTime<Utc> {
        // The clock may have been set back since.
        work.waiting.as_ref().filter(|waiting| waiting.on == on).map_or(self.now, |waiting| waiting.since.min(self.now))
    }

    /// Continues from the `before` hook with this number.
    pub(super) fn prepare(&mut self, mut work: BakeWork, number: usize) -> (State, Effect) {
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
    pub(super) fn is_late(&self) -> bool {
        self.now > later(self.bake.slot, RECONCILE_AFTER)
    }

    pub(super) fn prepared(&mut self, work: BakeWork, number: usize, outcome: &HookOutcome) -> (State, Effect) {
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

    pub(super) fn hook(
        &self,
        work: &BakeWork,
        end: Option<&End>,
        moment: Moment,
        number: usize,
        command: &HookCommand,
    ) -> Effect {
        Effect::Call(Call::RunHook(HookRun {
            moment,
            number,
            command: command.clone(),
            timeout: self.bake.settings.hooks.timeout,
            environment: environment(self.bake, work, end, moment),
        }))
    }
}
