//! Rate limit shared by all calls: GCRA without a burst, so that no second of any alignment has more calls than the
//! limit.
//!
//! [`Gate`] computes and takes the time as a parameter; [`Throttle`] waits.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// Maximum delay that a server can cause for all calls: a wrong header must not stop the daemon.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Time of the next call; instants are durations since some start.
#[derive(Debug, Clone)]
pub struct Gate {
    interval: Duration,
    next: Duration,
    paused_until: Duration,
    /// So many calls do not wait.
    free: u32,
}

impl Gate {
    /// Opens at once, then `per_second` times a second; once a second if that is no positive number.
    pub fn new(per_second: f64) -> Self {
        let interval = Duration::try_from_secs_f64(per_second.recip()).unwrap_or(Duration::from_secs(1));
        Self { interval, next: Duration::ZERO, paused_until: Duration::ZERO, free: 0 }
    }

    /// Lets the next `calls` calls pass without a wait, unless the server asks for a pause.
    pub fn allow(&mut self, calls: u32) {
        self.free = calls;
    }

    /// Reserves the next free place and returns the time until then.
    pub fn reserve(&mut self, now: Duration) -> Duration {
        if self.free > 0 && now >= self.paused_until {
            self.free -= 1;
            return Duration::ZERO;
        }
        let place = self.next.max(self.paused_until).max(now);
        self.next = place + self.interval;
        place.saturating_sub(now)
    }

    /// Admits no call for `delay`; never shortens an earlier pause.
    pub fn pause(&mut self, now: Duration, delay: Duration) {
        self.free = 0;
        self.paused_until = self.paused_until.max(now + delay.min(LONGEST_PAUSE));
    }

    /// Whether a pause is in force: a place reserved before it must be reserved again.
    pub fn is_paused(&self, now: Duration) -> bool {
        now < self.paused_until
    }
}

/// The gate with waiting.
#[derive(Debug)]
pub struct Throttle {
    start: Instant,
    gate: Mutex<Gate>,
}

impl Throttle {
    /// A new throttle.
    pub fn new(per_second: f64) -> Self {
        Self { start: Instant::now(), gate: Mutex::new(Gate::new(per_second)) }
    }

    /// Returns when the next call may be sent. A cancelled wait only wastes its place.
    pub async fn wait(&self) {
        loop {
            let delay = self.with(Gate::reserve);
            if !delay.is_zero() {
                sleep(delay).await;
            }
            if !self.with(|gate, now| gate.is_paused(now)) {
                return;
            }
        }
    }

    /// See [`Gate::allow`].
    pub fn allow(&self, calls: u32) {
        self.with(|gate, _| gate.allow(calls));
    }

    /// Delays all calls as the server asked.
    pub fn pause(&self, delay: Duration) {
        self.with(|gate, now| gate.pause(now, delay));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Gate, Duration) -> T) -> T {
        act(&mut self.gate.lock().unwrap_or_else(PoisonError::into_inner), self.start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn places_are_evenly_spaced_and_idle_time_is_not_saved_up() {
        let mut gate = Gate::new(10.0);
        let now = MS(1000);
        assert_eq!([gate.reserve(now), gate.reserve(now), gate.reserve(now)], [MS(0), MS(100), MS(200)]);
        let later = MS(60_000);
        assert_eq!([gate.reserve(later), gate.reserve(later)], [MS(0), MS(100)]);
    }

    #[test]
    fn what_is_allowed_at_once_ends_with_its_number_or_with_a_pause() {
        let mut gate = Gate::new(10.0);
        gate.allow(3);
        let now = MS(1000);
        let delays: Vec<_> = (0..5).map(|_| gate.reserve(now)).collect();
        assert_eq!(delays, [MS(0), MS(0), MS(0), MS(0), MS(100)]);
        gate.allow(3);
        assert_eq!(gate.reserve(now), MS(0));
        gate.pause(now, MS(500));
        assert_eq!([gate.reserve(now), gate.reserve(now)], [MS(500), MS(600)], "the server's word goes first");
    }

    #[test]
    fn a_hold_pushes_on_those_who_wait_and_those_to_come() {
        let mut gate = Gate::new(10.0);
        gate.pause(MS(0), MS(2000));
        gate.pause(MS(0), MS(500));
        assert!(gate.is_paused(MS(1999)));
        assert!(!gate.is_paused(MS(2000)));
        assert_eq!(gate.reserve(MS(100)), MS(1900));
        gate.pause(MS(0), Duration::MAX);
        assert!(!gate.is_paused(LONGEST_PAUSE));
    }
}
