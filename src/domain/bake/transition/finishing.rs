//! The ends: each leads through the start of what was stopped, and through the hooks of the end.

use super::{
    Step,
    ends::{failed, failed_waiting},
};
use crate::domain::{
    api::call::Call,
    bake::{
        event::Effect,
        reason::ReasonCode,
        state::{BakeWork, End, State},
        waiting::WaitReason,
    },
    hooks::{HookCommand, HookOutcome, Moment},
};

impl Step<'_> {
    /// Runs the hooks of the end after the first `done`; ends the bake if none is left.
    pub(super) fn run_end_hooks(&self, mut work: BakeWork, end: Option<End>, done: usize) -> (State, Effect) {
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
    pub(super) fn end_hook_finished(
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

    /// Ends the bake, after the pending restart and the pending hooks.
    pub(super) fn finish(&self, mut work: BakeWork, end: End) -> (State, Effect) {
        work.waiting = None;
        let end = end.after(&std::mem::take(&mut work.notes));
        self.start(work, Some(end))
    }

    /// Starts the instance if it was stopped, then runs the hooks of the end.
    pub(super) fn start(&self, work: BakeWork, end: Option<End>) -> (State, Effect) {
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
    pub(super) fn give_up(&self, work: BakeWork) -> (State, Effect) {
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
}
