//! Why a bake is as it is now, in plain words. Everything that shows a bake shows this.

use chrono::{DateTime, Utc};

use super::{
    Bake,
    retry::later,
    state::{BakeWork, End, State},
    waiting::{Wait, WaitReason},
};
use crate::domain::hooks::HookCommand;

impl Bake {
    /// What an open bake does or waits for now, in the cloud's last words, with the next try and the last instant at which
    /// there is one; why a bake that is over ended as it did. `None` for a bake in the queue that has not begun: what it
    /// waits for lies outside of it.
    pub fn reason(&self) -> Option<String> {
        let waiting = self.state.waiting();
        let wait = waiting.map(|waiting| waiting.describe(self.settings.timezone));
        let what = match (self.doing(waiting.is_some()), wait) {
            (Some(doing), Some(wait)) => format!("{doing}; {wait}"),
            (Some(what), None) | (None, Some(what)) => what,
            (None, None) => return None,
        };
        let next = self.next_try(waiting).map(|next| format!("; next try {}", self.local(next, "%a %F %T %:z")));
        let until =
            self.last_try(waiting).map(|until| format!(", until {} at most", self.local(until, "%a %F %R %:z")));
        Some(format!("{what}{}{}", next.unwrap_or_default(), until.unwrap_or_default()))
    }

    /// What it does besides, or instead of, its wait.
    fn doing(&self, waits: bool) -> Option<String> {
        let hooks = &self.settings.hooks;
        let of_end = |end: Option<&End>, work: &BakeWork| match (end, &work.downtime.waited_for) {
            (Some(end), _) => format!("{}; ", end.reason()),
            (None, Some(waited_for)) => format!("{}; ", waited_for.why),
            (None, None) => String::new(),
        };
        match &self.state {
            State::Ended { end, .. } => Some(end.reason().to_owned()),
            State::Ready { blocked_on: Some(blocked_on), .. } => Some(blocked_on.clone()),
            State::Unknown { why, .. } => Some(format!("searches for its image: {why}")),
            State::Building { status, .. } => Some(status.clone()),
            State::Starting { end, last_error, work, .. } => {
                let error =
                    last_error.as_ref().filter(|_| !waits).map(|error| format!(": {error}")).unwrap_or_default();
                Some(format!("{}starts its instance again{error}", of_end(end.as_ref(), work)))
            }
            State::Finishing { end, work, done, .. } => {
                let failed = matches!(end, Some(End::Failed { .. }));
                let hook = hooks.ending(failed, work.end_hooks_pending).nth(*done);
                let hook = hook.map(|(moment, number, command)| {
                    format!("runs hook {number} of {}, {}", moment.as_str(), command.program())
                });
                Some(format!("{}{}", of_end(end.as_ref(), work), hook.unwrap_or_default()))
            }
            State::Preparing { hook: Some(number), .. } => {
                let program = hooks.before.get(*number).map_or("", HookCommand::program);
                Some(format!("runs hook {} of before, {program}", number + 1))
            }
            State::Queued { .. } => None,
            _ if waits => None,
            State::Preparing { .. } | State::Stopping { sent: false, .. } => Some("polls its instance".to_owned()),
            State::Stopping { .. } => Some("waits for its instance to stop".to_owned()),
            State::Ready { reconcile_before_create: true, .. } => {
                Some("searches for an image of its slot before the create call".to_owned())
            }
            State::Ready { .. } => Some("sends its create call".to_owned()),
            State::Creating { .. } => Some("waits for the answer to its create call".to_owned()),
        }
    }

    fn next_try(&self, waiting: Option<&Wait>) -> Option<DateTime<Utc>> {
        match &self.state {
            State::Unknown { .. } | State::Starting { .. } | State::Stopping { sent: true, .. } => self.state.wake_at(),
            State::Creating { .. } => None,
            state => waiting.and_then(|_| state.wake_at()),
        }
    }

    /// The last instant at which it may begin its image, or else is followed. An instance is started without a time limit,
    /// and a cloud that cannot be reached ends no image.
    fn last_try(&self, waiting: Option<&Wait>) -> Option<DateTime<Utc>> {
        match (&self.state, waiting) {
            (State::Building { since, .. }, Some(waiting)) if waiting.on != WaitReason::Outage => {
                Some(later(*since, self.settings.build_deadline))
            }
            (State::Building { .. } | State::Unknown { .. } | State::Starting { .. } | State::Creating { .. }, _) => {
                None
            }
            (_, Some(Wait { since, on: WaitReason::Users, .. })) => {
                Some(self.give_up_at.min(later(*since, self.settings.connected_wait)))
            }
            (State::Stopping { sent: true, .. }, None) | (_, Some(_)) => Some(self.give_up_at),
            (_, None) => None,
        }
    }

    fn local(&self, instant: DateTime<Utc>, format: &str) -> String {
        instant.with_timezone(&self.settings.timezone).format(format).to_string()
    }
}
