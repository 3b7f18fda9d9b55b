//! The session of a workstation, which the create call has to name: it is resolved before anything is stopped.

use super::{
    ABSENT_AFTER, Step,
    ends::{failed, failed_by},
    obstacle::Obstacle,
};
use crate::domain::{
    api::call::{Call, ErrorClass, Response},
    bake::{
        event::Effect,
        reason::ReasonCode,
        state::{BakeWork, State},
        waiting::WaitReason,
    },
};

/// Maximum number of sessions in a reason.
const MOST_SHOWN: usize = 5;

impl Step<'_> {
    pub(super) fn needs_session(&self, work: &BakeWork) -> bool {
        work.session.is_none() && self.bake.settings.asks_for_session()
    }

    pub(super) fn list_sessions(&self, work: BakeWork) -> (State, Effect) {
        (State::Preparing { work, hook: None, next: self.now }, Effect::Call(Call::ListSessions))
    }

    /// One session is used. Which of several is meant, only the operator knows.
    pub(super) fn sessions_listed(mut self, mut work: BakeWork, answer: Response) -> (State, Effect) {
        match answer {
            // Nothing was stopped yet, and no hook has run.
            Response::Sessions(_) if self.past_deadline() => self.give_up(work),
            Response::Sessions(Some(sessions)) => match sessions.as_slice() {
                [] => self.wait_for_session(work, &Obstacle::NoSession),
                [one] => {
                    work.session = Some(one.clone());
                    work.waiting = None;
                    // A row of an older version may have sent its create call without one.
                    let has_begun = work.evidence.first_sent.is_some();
                    if has_begun { self.search_then_create(work) } else { self.first_step(work) }
                }
                several => {
                    let reason = format!(
                        "{} has {} sessions and none is chosen: set sub_instance_id to one of {}",
                        self.bake.instance_id,
                        several.len(),
                        shown(several)
                    );
                    self.finish(work, failed(ReasonCode::Refused, true, reason))
                }
            },
            Response::Sessions(None) => self.wait_for_session(work, &Obstacle::Absent),
            Response::Refused(api_error) if api_error.class == ErrorClass::Permanent => {
                let reason = format!("its sessions could not be listed: {}", api_error.describe());
                self.finish(work, failed_by(&api_error, true, reason))
            }
            Response::Refused(api_error) => self.wait_for_instance(work, 0, false, &Obstacle::Refused(api_error)),
            _ => {
                let next = self.after(self.pace.poll_interval);
                (State::Preparing { work, hook: None, next }, Effect::Wait(next))
            }
        }
    }

    /// One list without it proves nothing; several do.
    fn wait_for_session(&mut self, work: BakeWork, obstacle: &Obstacle) -> (State, Effect) {
        let absent = work.waiting.as_ref().filter(|waiting| waiting.on == WaitReason::Absent);
        if absent.is_none_or(|waiting| waiting.times + 1 < ABSENT_AFTER) {
            return self.wait_for_instance(work, 0, false, obstacle);
        }
        let instance = &self.bake.instance_id;
        let end = match obstacle {
            Obstacle::NoSession => {
                let reason = format!("the cloud lists no session of {instance}: set sub_instance_id");
                failed(ReasonCode::Refused, true, reason)
            }
            _ => failed(ReasonCode::InstanceState, true, format!("the cloud does not know the instance {instance}")),
        };
        self.finish(work, end)
    }
}

fn shown(sessions: &[String]) -> String {
    let listed = sessions.iter().take(MOST_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match sessions.len().saturating_sub(MOST_SHOWN) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
