//! Time as a parameter: no other code asks the system for it.
//!
//! ```
//! use chrono::{DateTime, TimeDelta, Utc};
//! use imagebaked::domain::clock::{Clock as _, ManualClock};
//!
//! let midnight: DateTime<Utc> = "2027-03-01T00:00:00Z".parse()?;
//! let clock = ManualClock::at(midnight);
//! let booted = clock.boottime();
//! clock.step(midnight + TimeDelta::hours(2));
//! assert_eq!(clock.boottime(), booted, "a step takes no time");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

pub mod show;
pub mod watch;

/// Slots up to this age are due, not missed: wake-ups are never exact, and a restart takes a moment.
pub const ON_TIME: Duration = Duration::from_mins(1);
/// A smaller jump of the clock is no step.
pub const STEP_BACK: TimeDelta = TimeDelta::minutes(1);

/// A source of time. Slots are wall-clock instants, so a suspended or stepped clock shows in [`Clock::now`].
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock. It may be wrong, and may be set.
    fn now(&self) -> DateTime<Utc>;

    /// Time since boot, including suspension. It cannot be set: the wall clock is compared with it.
    fn boottime(&self) -> Duration;

    /// Identifies the boot of [`Clock::boottime`]; `None` if the host has no boot id.
    fn boot_id(&self) -> Option<String>;
}

/// Age at `now` of an event at `since`; zero if that is in the future.
pub fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (now - since).to_std().unwrap_or_default()
}

/// `instant + span`, at the end of time where that overflows.
pub fn later(instant: DateTime<Utc>, span: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(span).ok().and_then(|span| instant.checked_add_signed(span)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// `instant - span`, at the beginning of time where that overflows.
pub fn earlier(instant: DateTime<Utc>, span: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(span).ok().and_then(|span| instant.checked_sub_signed(span)).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// `instant + shift`, which may be negative, at either end of time where that overflows.
pub fn shifted(instant: DateTime<Utc>, shift: TimeDelta) -> DateTime<Utc> {
    let end = if shift < TimeDelta::zero() { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    instant.checked_add_signed(shift).unwrap_or(end)
}

/// The system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that may ask the system")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn boottime(&self) -> Duration {
        let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(up.tv_sec).unwrap_or_default(), u32::try_from(up.tv_nsec).unwrap_or_default())
    }

    fn boot_id(&self) -> Option<String> {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
    }
}

/// A clock that moves only by calls, for tests and rehearsals.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<(DateTime<Utc>, Duration)>>);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new((now, Duration::from_hours(1)))))
    }

    /// Advances time to `now`. An earlier `now` is a step: time itself does not go back.
    pub fn set(&self, now: DateTime<Utc>) {
        let mut clock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clock.1 = clock.1.saturating_add(age(clock.0, now));
        clock.0 = now;
    }

    /// Advances time by `span`; a negative one is a step.
    pub fn advance(&self, span: TimeDelta) {
        self.set(shifted(self.now(), span));
    }

    /// Sets the wall clock to `now` without advancing time, as a person or NTP does.
    pub fn step(&self, now: DateTime<Utc>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn boottime(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    fn boot_id(&self) -> Option<String> {
        Some("manual".to_owned())
    }
}
