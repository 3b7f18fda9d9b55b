//! Notifications to the service manager. Without NOTIFY_SOCKET nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;

/// Reports that the daemon works, with its state in one line.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports that the configuration is being read again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "the monotonic clock could not be read");
        }
    }
}

/// Reports that the daemon ends, and asks for `bound` from now on. `TimeoutStopSec` need not be longer. systemd takes the
/// bound in microseconds; one of more than 71 minutes is sent as 71 minutes, and has to be sent again before it is over.
pub fn stopping(bound: Duration) {
    notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(extension(bound))]);
}

/// The bound of a stop in microseconds, at most what fits.
fn extension(bound: Duration) -> u32 {
    u32::try_from(bound.as_micros()).unwrap_or(u32::MAX)
}

/// Renews the line that `systemctl status` shows.
pub fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

/// Reports that the daemon makes progress.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// The longest time between two calls of [`alive`] that systemd allows; `None` where it does not watch.
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
