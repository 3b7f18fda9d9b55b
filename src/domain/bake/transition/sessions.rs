//! The session of a workstation, which the create call has to name: it is resolved before anything is stopped.
//!
//! One that the configuration names is looked up in the list, too: a create call with a session that does not exist would
//! come after a stop in vain. Where the cloud does not let the sessions be listed, the named one is used as it is.

use super::{
    ABSENT_AFTER, Step,
    ends::{failed, failed_by},
    obstacle::Obstacle,
};
use crate::domain::{
    api::{
        call::{ApiError, Call, ErrorClass, Response},
        cause::Cause,
    },
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
    pub(super) fn list_sessions(&self, work: BakeWork) -> (State, Effect) {
        (State::Preparing { work, hook: None, next: self.now }, Effect::Call(Call::ListSessions))
    }

    pub(super) fn sessions_listed(mut self, work: BakeWork, answer: Response) -> (State, Effect) {
        let named = self.bake.settings.sub_instance_id.clone();
        match (answer, named) {
            // Nothing was stopped yet, and no hook has run.
            (Response::Sessions(_) | Response::SessionsNotListed, _) if self.past_deadline() => self.give_up(work),
            (Response::Sessions(Some(sessions)), named) => match self.chosen(&sessions, named.as_deref()) {
                Ok(None) => self.wait_for_session(work, &Obstacle::NoSession),
                Ok(Some(session)) => self.session_known(work, session),
                Err(reason) => self.finish(work, failed(ReasonCode::Refused, true, reason)),
            },
            (Response::SessionsNotListed, Some(named)) => {
                self.session_unproven(work, named, "the cloud does not list its sessions")
            }
            (Response::SessionsNotListed, None) => self.wait_for_session(work, &Obstacle::SessionsNotListed),
            (Response::Sessions(None), _) => self.wait_for_session(work, &Obstacle::Absent),
            (Response::Refused(api_error), named) if api_error.class == ErrorClass::Permanent => {
                self.list_refused(work, &api_error, named)
            }
            (Response::Refused(api_error), _) => self.wait_for_instance(work, 0, false, &Obstacle::Refused(api_error)),
            _ => {
                let next = self.after(self.pace.poll_interval);
                (State::Preparing { work, hook: None, next }, Effect::Wait(next))
            }
        }
    }

    /// One session is used. Which of several is meant, only the operator knows. `None`: there is none. Fails with the reason.
    fn chosen(&self, sessions: &[String], named: Option<&str>) -> Result<Option<String>, String> {
        let instance = &self.bake.instance_id;
        match (sessions, named) {
            ([], _) => Ok(None),
            (sessions, Some(named)) if sessions.iter().any(|session| session == named) => Ok(Some(named.to_owned())),
            (sessions, Some(named)) => {
                let choice = if sessions.len() == 1 { "it to" } else { "it to one of" };
                Err(format!(
                    "{instance} has no session {named}, which sub_instance_id names: set {choice} {}",
                    shown(sessions)
                ))
            }
            ([one], None) => Ok(Some(one.clone())),
            (several, None) => Err(format!(
                "{instance} has {} sessions and none is chosen: set sub_instance_id to one of {}",
                several.len(),
                shown(several)
            )),
        }
    }

    fn session_known(self, mut work: BakeWork, session: String) -> (State, Effect) {
        work.session = Some(session);
        work.waiting = None;
        // A row of an older version may have sent its create call without one.
        let has_begun = work.evidence.first_sent.is_some();
        if has_begun { self.search_then_create(work) } else { self.first_step(work) }
    }

    /// Without the right to list, a bake whose session is named can be made all the same. A cloud that has no such instance
    /// makes no image of it.
    fn list_refused(self, work: BakeWork, api_error: &ApiError, named: Option<String>) -> (State, Effect) {
        let why = format!("its sessions could not be listed: {}", api_error.describe());
        match named {
            Some(named) if api_error.cause() != Cause::Instance => self.session_unproven(work, named, &why),
            _ => self.finish(work, failed_by(api_error, true, why)),
        }
    }

    /// Goes on with the session of the configuration, and says so once, in the reason of the end.
    fn session_unproven(self, mut work: BakeWork, named: String, why: &str) -> (State, Effect) {
        work.note(format!("the session {named} of sub_instance_id was taken unchecked, because {why}"));
        self.session_known(work, named)
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
                let named = self.bake.settings.sub_instance_id.as_deref();
                let named = named.map(|named| format!(", and sub_instance_id names {named}")).unwrap_or_default();
                failed(ReasonCode::Refused, true, format!("the cloud lists no session of {instance}{named}"))
            }
            Obstacle::SessionsNotListed => {
                let reason = format!("the cloud does not list the sessions of {instance}: set sub_instance_id");
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
