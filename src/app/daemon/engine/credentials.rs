//! Suspension of all schedules after rejected credentials, until the cloud accepts them again.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::{Engine, SUSPENSION_PROBE};
use crate::{
    app::daemon::calls::Finished,
    domain::{
        api::call::{ApiError, ErrorClass, Response},
        clock::shifted,
    },
};

/// Maximum time without an accepted call: then a cheap one is sent. What `status` says of the key is not older.
const IDLE_KEY_CHECK: Duration = Duration::from_mins(5);
/// The same for a key whose end has passed.
const ENDED_KEY_CHECK: Duration = Duration::from_mins(1);

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
                self.suspend(api_error, now);
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
            if let Some(uncompared) = &mut self.uncompared {
                uncompared.why = Some(format!("the cloud accepts this host's {what} again, and is asked now"));
            }
        }
    }

    /// The cloud accepted the credentials outside of a bake.
    pub(super) fn credentials_accepted(&mut self) {
        if self.suspension.as_ref().is_some_and(|suspension| !suspension.is_clock) {
            self.end_suspension();
        }
    }

    /// No bake starts until the cloud accepts the credentials, or the time of this host; one call a minute probes.
    pub(super) fn suspend(&mut self, rejection: &ApiError, now: DateTime<Utc>) {
        let (message, is_clock) = (format!("{rejection} ({})", rejection.advice), rejection.is_clock());
        self.cloud.key_watch().reject();
        let before = self.suspension.take().filter(|suspension| suspension.is_clock == is_clock);
        let since = before.as_ref().map_or(now, |suspension| suspension.since);
        // Rejections of other calls do not put the probe off.
        let next_probe = before.as_ref().map(|suspension| suspension.next_probe).filter(|probe| *probe > now);
        let next_probe = next_probe.unwrap_or_else(|| shifted(now, SUSPENSION_PROBE));
        let suspension = Suspension { since, message, is_clock, next_probe };
        if before.is_none() {
            tracing::error!(reason = %suspension.message, "{}", suspension.headline());
        }
        self.suspension = Some(suspension);
    }

    /// What calls outside of bakes have shown of the credentials. Returns whether that begins or ends a suspension.
    pub(super) fn heed_key_watch(&mut self, now: DateTime<Utc>) -> bool {
        let was_suspended = self.suspension.is_some();
        if let Some(rejection) = self.cloud.key_watch().take_rejection() {
            self.suspend(&rejection, now);
        } else if was_suspended && self.cloud.key_watch().is_accepted_again() {
            self.end_suspension();
        }
        was_suspended != self.suspension.is_some()
    }

    /// Checks the credentials where no bake does: after a rejected call, once a minute during a suspension, when they have
    /// ended, and after some minutes without an accepted call.
    pub(super) fn check_key(&mut self, now: DateTime<Utc>) {
        let has_ended = || self.cloud.credentials_in_use().and_then(|key| key.expires_at).is_some_and(|end| end <= now);
        let after = match &self.suspension {
            Some(suspension) if now < suspension.next_probe => return,
            Some(_) => Duration::ZERO,
            None if has_ended() => ENDED_KEY_CHECK,
            None => IDLE_KEY_CHECK,
        };
        let Some(check) = self.cloud.take_key_check(after) else { return };
        if let Some(suspension) = &mut self.suspension {
            suspension.next_probe = shifted(now, SUSPENSION_PROBE);
        }
        let cloud = Arc::clone(&self.cloud);
        // The next tick takes the result.
        tokio::spawn(async move { cloud.check_key(check).await });
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
