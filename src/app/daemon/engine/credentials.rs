//! Suspension of all schedules after rejected credentials, until the cloud accepts them again.

use chrono::{DateTime, Utc};

use super::{Engine, SUSPENSION_PROBE};
use crate::{
    app::daemon::calls::Finished,
    domain::{
        api::call::{ErrorClass, Response},
        clock::shifted,
    },
};

/// Reason of a suspension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Start.
    pub since: DateTime<Utc>,
    /// Message of the cloud.
    pub message: String,
    /// Whether the cloud rejects the time of this host, and not the credentials.
    pub is_clock: bool,
    pub(super) next_probe: DateTime<Utc>,
}

impl Suspension {
    /// One line for the log, `status` and the page.
    pub fn headline(&self) -> String {
        let cause = if self.is_clock { "this host's clock is refused by the cloud" } else { "credentials rejected" };
        format!("{cause}, every schedule is suspended: {}", self.message)
    }
}

impl Engine {
    pub(super) fn judge_credentials(&mut self, finished: &Finished, now: DateTime<Utc>) {
        match &finished.answer {
            Response::Refused(api_error) if api_error.class == ErrorClass::Credential => {
                self.suspend(format!("{api_error} ({})", api_error.advice), api_error.is_clock(), now);
            }
            // Some rejections precede the check of the signature, and hooks do not use credentials.
            Response::Refused(_) | Response::Hook(_) => {}
            _ => self.end_suspension(),
        }
    }

    fn end_suspension(&mut self) {
        if let Some(suspension) = self.suspension.take() {
            let what = if suspension.is_clock { "clock" } else { "credentials" };
            tracing::info!(since = %suspension.since, "{what} accepted again: no schedule is suspended");
            self.cloud.ask_owner_again();
        }
    }

    /// The cloud accepted the credentials outside of a bake.
    pub(super) fn credentials_accepted(&mut self) {
        if self.suspension.as_ref().is_some_and(|suspension| !suspension.is_clock) {
            self.end_suspension();
        }
    }

    /// No bake starts until the cloud accepts the credentials, or the time of this host; one call a minute probes.
    pub(super) fn suspend(&mut self, message: String, is_clock: bool, now: DateTime<Utc>) {
        let before = self.suspension.take().filter(|suspension| suspension.is_clock == is_clock);
        let since = before.as_ref().map_or(now, |suspension| suspension.since);
        let suspension = Suspension { since, message, is_clock, next_probe: shifted(now, SUSPENSION_PROBE) };
        if before.is_none() {
            tracing::error!(reason = %suspension.message, "{}", suspension.headline());
        }
        self.suspension = Some(suspension);
    }

    /// Whether a call that starts something may be sent: always, except for one probe a minute during a suspension.
    pub(super) fn may_call(&mut self, now: DateTime<Utc>) -> bool {
        match &mut self.suspension {
            None => true,
            Some(suspension) if now >= suspension.next_probe => {
                suspension.next_probe = shifted(now, SUSPENSION_PROBE);
                true
            }
            Some(_) => false,
        }
    }

    pub(super) fn suspension_ends(&self) -> Option<DateTime<Utc>> {
        self.suspension.as_ref().map(|suspension| suspension.next_probe)
    }
}
