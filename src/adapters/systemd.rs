//! Notifications to the service manager. Without NOTIFY_SOCKET nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;

/// Reports readiness, with the state in one line.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports a reload; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "the monotonic clock could not be read");
        }
    }
}

/// Reports the stop, and requests `bound` from now on. `TimeoutStopSec` need not be longer. systemd takes microseconds;
/// a bound of more than 71 minutes is sent as 71 minutes, and must be sent again before that.
pub fn stopping(bound: Duration) {
    notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(extension(bound))]);
}

/// The bound of a stop in microseconds, at most what fits.
fn extension(bound: Duration) -> u32 {
    u32::try_from(bound.as_micros()).unwrap_or(u32::MAX)
}

/// Updates the status line of `systemctl status`.
pub fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

/// Reports progress.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// Maximum time between two calls of [`alive`]; `None` without a watchdog.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Whether a service manager listens.
pub fn is_supervised() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

fn notify(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::debug!(error = &error as &dyn std::error::Error, "the notification to systemd failed");
    }
}
