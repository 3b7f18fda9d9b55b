//! Obstacles to the stop of an instance, as what the bake then waits for.

use chrono::{DateTime, Utc};

use crate::domain::{
    api::call::ApiError,
    bake::waiting::{Wait, WaitReason},
};

/// What blocks the stop of an instance.
pub(super) enum Obstacle {
    Users(String),
    State(String),
    Absent,
    /// The cloud lists the workstation without a session.
    NoSession,
    /// The cloud lists the workstation and not its sessions.
    SessionsNotListed,
    Refused(ApiError),
}

impl Obstacle {
    /// The wait for its end, which may have begun before.
    pub(super) fn wait(&self, before: Option<&Wait>, now: DateTime<Utc>) -> Wait {
        let (on, why) = match self {
            Self::Users(who) => {
                (WaitReason::Users, format!("waits for {who} to leave, who is connected to the instance"))
            }
            Self::State(status) => (WaitReason::Instance, format!("waits for the instance, which is {status}")),
            Self::Absent => (WaitReason::Absent, "waits for the instance, which the cloud does not list".to_owned()),
            Self::NoSession => {
                (WaitReason::Absent, "waits for the session of its workstation: the cloud lists none".to_owned())
            }
            Self::SessionsNotListed => (
                WaitReason::Absent,
                "waits for the sessions of its workstation, which the cloud does not list".to_owned(),
            ),
            Self::Refused(api_error) => return Wait::for_cloud(before, api_error, now),
        };
        Wait::go_on(before, on, why, now)
    }

    pub(super) fn api_error(&self) -> Option<&ApiError> {
        if let Self::Refused(api_error) = self { Some(api_error) } else { None }
    }
}
