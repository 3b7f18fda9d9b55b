//! Why a bake is as it is now, in plain words. Everything that shows a bake shows this.

use chrono::{DateTime, Utc};

use super::{
    Bake,
    maintenance::Maintenance,
    queue,
    retry::later,
    state::{BakeWork, End, State},
    waiting::{Wait, WaitReason},
};
use crate::domain::{hooks::HookCommand, time::show_minute};

impl Bake {
    /// What an open bake does or waits for now, in the cloud's last words, with the next try and the last instant at which
    /// there is one; why a bake that is over ended as it did. `None` for a bake in the queue that has not begun: what it
    /// waits for lies outside of it.
    pub fn reason(&self) -> Option<String> {
        // The wait before the create call has ended while the call is in flight.
        let waiting = self.state.waiting().filter(|_| !matches!(self.state, State::Creating { .. }));
        let wait = waiting.map(|waiting| waiting.describe(self.settings.timezone));
        let what = match (self.doing(waiting.is_some()), wait) {
            (Some(doing), Some(wait)) => format!("{doing}; {wait}"),
            (Some(what), None) | (None, Some(what)) => what,
            (None, None) => return None,
        };
        let zone = self.settings.timezone;
        Some(format!("{what}{}", queue::tries(self.next_try(waiting), self.last_try(waiting), zone)))
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
            State::Building { status, work, .. } => Some(format!("{status}{}", self.at_rest(work))),
            State::Starting { end, last_error, work, .. } => {
                let error =
                    last_error.as_ref().filter(|_| !waits).map(|error| format!(": {error}")).unwrap_or_default();
                let what = if work.restart_pending || work.maintenance == Maintenance::Unknown {
                    "starts its instance again"
                } else {
                    "ends the maintenance of its instance"
                };
                Some(format!("{}{what}{error}", of_end(end.as_ref(), work)))
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
            State::Preparing { work, .. } if self.needs_session(work) => {
                Some("lists the sessions of its workstation".to_owned())
            }
            State::Stopping { work, .. } if work.maintenance.is_entering() => {
                Some("puts its instance into maintenance".to_owned())
            }
            State::Preparing { .. } | State::Stopping { sent: false, .. } => Some("polls its instance".to_owned()),
            State::Stopping { .. } => Some("waits for its instance to stop".to_owned()),
            State::Ready { reconcile_before_create: true, .. } => {
                Some("searches for an image of its slot before the create call".to_owned())
            }
            State::Ready { .. } => Some("sends its create call".to_owned()),
            State::Creating { .. } => Some("waits for the answer to its create call".to_owned()),
        }
    }

    /// That its instance is stopped, and since when: users wait for it.
    fn at_rest(&self, work: &BakeWork) -> String {
        match work.downtime.stopped_since.filter(|_| work.restart_pending) {
            Some(since) => format!("{}{}", queue::AT_REST, show_minute(since, self.settings.timezone)),
            None => String::new(),
        }
    }

    fn next_try(&self, waiting: Option<&Wait>) -> Option<DateTime<Utc>> {
        match &self.state {
            State::Unknown { .. } | State::Starting { .. } | State::Stopping { sent: true, .. } => self.state.wake_at(),
            state => waiting.and_then(|_| state.wake_at()),
        }
    }

    /// The last instant at which it may begin its image, or else is followed. An instance is started without a time limit,
    /// and a cloud that cannot be reached ends no image. A stopped instance rests until its image has ended.
    fn last_try(&self, waiting: Option<&Wait>) -> Option<DateTime<Utc>> {
        match (&self.state, waiting) {
            (State::Building { since, work, .. }, None) if !self.at_rest(work).is_empty() => {
                Some(later(*since, self.settings.build_deadline))
            }
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
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{
        api::call::MadeImage,
        bake::{
            settings::BakeSettings,
            state::{Downtime, Resume, Suspended},
            transition::tests::{a_bake, settings, slot},
        },
        hooks::Hooks,
    };

    const AT: &str = "Mon 2026-03-02 11:05 +08:00";

    fn next() -> DateTime<Utc> {
        later(slot(), std::time::Duration::from_mins(5))
    }

    fn waits(on: WaitReason, why: &str) -> BakeWork {
        let waiting = Wait { since: slot(), why: why.to_owned(), on, times: 3 };
        BakeWork { version: 7, waiting: Some(waiting), ..BakeWork::default() }
    }

    fn work() -> BakeWork {
        BakeWork { version: 7, ..BakeWork::default() }
    }

    fn queued(on: WaitReason, why: &str) -> State {
        let suspended = Suspended { work: waits(on, why), resume: Resume::Instance };
        State::Queued { not_before: next(), suspended: Some(suspended) }
    }

    fn stopping(work: BakeWork, sent: bool) -> State {
        State::Stopping { work, polls: 0, sent, first_stop: false, next: next() }
    }

    fn ready(work: BakeWork, reconcile_before_create: bool, blocked_on: Option<&str>) -> State {
        State::Ready { work, reconcile_before_create, next: next(), blocked_on: blocked_on.map(str::to_owned) }
    }

    fn image() -> MadeImage {
        MadeImage { image_id: "imgc-1".into(), version_id: None, task_id: None }
    }

    fn building(work: BakeWork) -> State {
        State::Building {
            work,
            image: image(),
            since: slot(),
            seen_at: slot(),
            consecutive_errors: 0,
            next: next(),
            status: "CREATING".to_owned(),
            found: None,
            searching: false,
        }
    }

    fn starting(work: BakeWork, end: Option<End>, last_error: Option<&str>) -> State {
        State::Starting {
            work,
            end,
            tries: 1,
            stop_unconfirmed: false,
            since: Some(slot()),
            start_sent: false,
            refused_since: None,
            last_error: last_error.map(str::to_owned),
            next: next(),
        }
    }

    /// Every state and every wait: what is waited for, in the cloud's last words, the next try, and the last one.
    #[test]
    fn the_reason_of_an_open_bake_is_what_it_does_or_waits_for_now() {
        let next_try = format!("; next try {AT}");
        let bounded = format!("{next_try}, until Mon 2026-03-02 13:00 +08:00 at most");
        let cloud = |words: &str| format!("waits for the cloud: {words}");
        let outage = |words: &str| format!("the cloud does not answer since Mon 2026-03-02 11:00 +08:00: {words}");
        let users = "waits for ann to leave, who is connected to the instance";
        let refused = cloud("ConnectFailed: no");
        let good = || Some(End::Succeeded { image: image(), reason: "image made".to_owned() });
        let put_back = BakeWork {
            downtime: Downtime {
                waited_for: waits(WaitReason::Busy, "waits for the cloud: TaskExist").waiting,
                ..Downtime::default()
            },
            ..work()
        };
        let cases = [
            (State::Queued { not_before: next(), suspended: None }, None),
            (
                queued(WaitReason::Users, users),
                Some(format!("{users}{next_try}, until Mon 2026-03-02 12:00 +08:00 at most")),
            ),
            (
                queued(WaitReason::Instance, "waits for the instance, which is Updating"),
                Some(format!("waits for the instance, which is Updating{bounded}")),
            ),
            (
                queued(WaitReason::Absent, "waits for the instance, which the cloud does not list"),
                Some(format!("waits for the instance, which the cloud does not list{bounded}")),
            ),
            (
                queued(WaitReason::Throttled, &cloud("Throttling.User: slow")),
                Some(format!("{}{bounded}", cloud("Throttling.User: slow"))),
            ),
            (
                queued(WaitReason::Quota, &cloud("ExceedBuilderQuota: full")),
                Some(format!("{}{bounded}", cloud("ExceedBuilderQuota: full"))),
            ),
            (
                queued(WaitReason::Credentials, &cloud("InvalidAccessKeyId: no")),
                Some(format!("{}{bounded}", cloud("InvalidAccessKeyId: no"))),
            ),
            (queued(WaitReason::Outage, &refused), Some(format!("{}{bounded}", outage("ConnectFailed: no")))),
            (State::Preparing { work: work(), hook: None, next: next() }, Some("polls its instance".to_owned())),
            (
                State::Preparing { work: work(), hook: Some(1), next: next() },
                Some("runs hook 2 of before, /b2".to_owned()),
            ),
            (stopping(work(), false), Some("polls its instance".to_owned())),
            (stopping(work(), true), Some(format!("waits for its instance to stop{bounded}"))),
            (
                stopping(waits(WaitReason::Busy, &cloud("OperationConflict: no")), true),
                Some(format!("{}{bounded}", cloud("OperationConflict: no"))),
            ),
            (ready(work(), true, None), Some("searches for an image of its slot before the create call".to_owned())),
            (ready(work(), false, None), Some("sends its create call".to_owned())),
            (
                ready(work(), true, Some("the name x is taken by imgc-2")),
                Some("the name x is taken by imgc-2".to_owned()),
            ),
            (
                ready(waits(WaitReason::Busy, &cloud("TaskExist: no")), true, None),
                Some(format!("{}{bounded}", cloud("TaskExist: no"))),
            ),
            (
                State::Creating { work: waits(WaitReason::Busy, &cloud("TaskExist: no")), sent_at: slot() },
                Some("waits for the answer to its create call".to_owned()),
            ),
            (
                State::Unknown {
                    work: work(),
                    since: slot(),
                    polls: 1,
                    next: next(),
                    why: "Timeout: no answer".to_owned(),
                },
                Some(format!("searches for its image: Timeout: no answer{next_try}")),
            ),
            (
                State::Unknown {
                    work: waits(WaitReason::Outage, &refused),
                    since: slot(),
                    polls: 1,
                    next: next(),
                    why: "Timeout: no answer".to_owned(),
                },
                Some(format!("searches for its image: Timeout: no answer; {}{next_try}", outage("ConnectFailed: no"))),
            ),
            (building(work()), Some("CREATING".to_owned())),
            (
                building(BakeWork {
                    restart_pending: true,
                    downtime: Downtime { stopped_since: Some(slot()), ..Downtime::default() },
                    ..work()
                }),
                Some(
                    "CREATING; its instance is stopped since Mon 2026-03-02 11:00 +08:00, until Mon 2026-03-02 17:00 \
                     +08:00 at most"
                        .to_owned(),
                ),
            ),
            (
                building(waits(WaitReason::Outage, &refused)),
                Some(format!("CREATING; {}{next_try}", outage("ConnectFailed: no"))),
            ),
            (
                building(waits(WaitReason::Throttled, &cloud("Throttling: slow"))),
                Some(format!(
                    "CREATING; {}{next_try}, until Mon 2026-03-02 17:00 +08:00 at most",
                    cloud("Throttling: slow")
                )),
            ),
            (starting(work(), good(), None), Some(format!("image made; starts its instance again{next_try}"))),
            (
                starting(work(), good(), Some("NoStock: none")),
                Some(format!("image made; starts its instance again: NoStock: none{next_try}")),
            ),
            (
                starting(waits(WaitReason::Outage, &refused), good(), Some("ConnectFailed: no")),
                Some(format!("image made; starts its instance again; {}{next_try}", outage("ConnectFailed: no"))),
            ),
            (
                starting(put_back.clone(), None, None),
                Some(format!("waits for the cloud: TaskExist; starts its instance again{next_try}")),
            ),
            (
                State::Finishing {
                    work: BakeWork { end_hooks_pending: true, ..work() },
                    end: good(),
                    done: 0,
                    next: next(),
                },
                Some("image made; runs hook 1 of after, /a1".to_owned()),
            ),
            (State::Ended { work: Some(work()), end: good().unwrap() }, Some("image made".to_owned())),
        ];
        let command = |program: &str| HookCommand(vec![program.to_owned()]);
        let hooks =
            Hooks { before: vec![command("/b1"), command("/b2")], after: vec![command("/a1")], ..Hooks::default() };
        let mut bake = a_bake(Arc::new(BakeSettings { hooks, ..settings() }));
        for (state, wanted) in cases {
            bake.state = state;
            assert_eq!(bake.reason(), wanted, "{:?}", bake.state);
        }
    }
}
