//! What time it is, as a parameter: nothing else in the program asks the system.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

pub mod watch;

/// Slots not older than this are due, not missed: no wake-up is ever exactly on time, and a restart takes a moment.
pub const ON_TIME: Duration = Duration::from_mins(1);
/// A clock that moved by less than this was not stepped: what rests on it stays as it is.
pub const STEP_BACK: TimeDelta = TimeDelta::minutes(1);

/// A source of time. Slots are wall-clock instants, so a suspended or stepped clock shows in [`Clock::now`].
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock. It may be wrong, and may be set.
    fn now(&self) -> DateTime<Utc>;

    /// How long the host has been up, suspended or not. Nobody sets it: the wall clock is compared with it.
    fn boottime(&self) -> Duration;

    /// Names the boot that [`Clock::boottime`] counts from; `None` where the host has no such name.
    fn boot_id(&self) -> Option<String>;
}

/// How old at `now` what happened at `since` is; zero where that lies ahead.
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

/// A clock that stands still until it is moved, for tests and rehearsals.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<(DateTime<Utc>, Duration)>>);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new((now, Duration::from_hours(1)))))
    }

    /// Lets time pass until `now`. To an earlier `now` it is a step: time itself does not go back.
    pub fn set(&self, now: DateTime<Utc>) {
        let mut clock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clock.1 = clock.1.saturating_add(age(clock.0, now));
        clock.0 = now;
    }

    /// Lets time pass by `span`; a negative one is a step.
    pub fn advance(&self, span: TimeDelta) {
        self.set(shifted(self.now(), span));
    }

    /// Sets the wall clock to `now` while no time passes, as a person or NTP does.
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
