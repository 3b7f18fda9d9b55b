//! What the service manager is told. Without NOTIFY_SOCKET all of it is silence.

use std::time::Duration;

use sd_notify::NotifyState;

/// Says that the daemon works.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that the configuration is being read again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "the monotonic clock could not be read");
        }
    }
}

/// Says that the daemon ends, and how long that may take.
pub fn stopping(bound: Duration) {
    let micros = u32::try_from(bound.as_micros()).unwrap_or(u32::MAX);
    notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
}

/// Says in one line how it goes.
pub fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

/// Says that the daemon is alive.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// How often [`alive`] must be said at the latest; `None` where nobody waits for it.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn notify(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::debug!(error = &error as &dyn std::error::Error, "systemd could not be told");
    }
}
