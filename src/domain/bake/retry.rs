//! Delays between attempts and between polls, from the number of failures and a random number generator.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;

use super::settings::RetryPolicy;
use crate::domain::api::call::{ApiError, ErrorClass};

/// Delay before the first search after an unclear response.
pub const FIRST_POLL: Duration = Duration::from_secs(2);
/// Maximum time between two polls of the same thing, unless the server asks for more.
pub const LONGEST_GAP: Duration = Duration::from_mins(10);
/// Pause after rejected credentials.
const CREDENTIAL_PAUSE: Duration = Duration::from_mins(1);

/// Delay after call number `attempt` (from 1) failed: full jitter under `base` · 2^(attempt-1), at most `cap`. A delay
/// that the server asks for takes precedence; jitter is added, so that many bakes do not return at the same instant.
pub fn delay(policy: &RetryPolicy, attempt: u32, retry_after: Option<Duration>, rng: &mut Rng) -> Duration {
    if let Some(asked) = retry_after {
        return asked.saturating_add(between(Duration::ZERO, asked / 10 + MIN_DELAY, rng));
    }
    let ceiling = policy.base.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1).min(31))).min(policy.cap);
    between(MIN_DELAY.min(ceiling), ceiling, rng)
}

/// Delay before repetition number `poll` (from 1) of a call without side effects: doubles from `first`, varies by a
/// tenth either way, and is at most `cap`.
pub fn poll_delay(first: Duration, poll: u32, cap: Duration, rng: &mut Rng) -> Duration {
    let nominal = first.saturating_mul(2u32.saturating_pow(poll.saturating_sub(1).min(31))).min(cap);
    between(nominal.saturating_sub(nominal / 10), nominal.saturating_add(nominal / 10).min(cap), rng)
}

/// Delay after a call without side effects failed `n` times in a row: at most `cap`, unless the server asks for more.
pub fn pause_after(error: &ApiError, n: u32, poll_interval: Duration, cap: Duration, rng: &mut Rng) -> Duration {
    let pause = match error.class {
        ErrorClass::Credential => credential_pause(poll_interval),
        _ => poll_delay(poll_interval.min(FIRST_POLL), n, cap, rng),
    };
    pause.max(error.server_delay().unwrap_or_default())
}

/// Pause of a running bake after rejected credentials. The daemon probes the credentials once a minute; a bake waits no
/// longer than for any other poll, so that new credentials work at once after a restart.
pub fn credential_pause(poll_interval: Duration) -> Duration {
    CREDENTIAL_PAUSE.min(poll_interval)
}

/// `instant + pause`, or the end of time on overflow.
pub fn later(instant: DateTime<Utc>, pause: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(pause)
        .ok()
        .and_then(|pause| instant.checked_add_signed(pause))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Full jitter can come to zero; this bound prevents a busy loop of failing calls.
const MIN_DELAY: Duration = Duration::from_millis(20);

fn between(low: Duration, high: Duration, rng: &mut Rng) -> Duration {
    let span = u64::try_from(high.saturating_sub(low).as_millis()).unwrap_or(u64::MAX);
    low.saturating_add(Duration::from_millis(rng.u64(0..=span)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { attempts: 5, base: Duration::from_secs(30), cap: Duration::from_mins(10), rebakes: 1 };

    #[test]
    fn grows_to_the_cap_and_never_past_it() {
        let mut rng = Rng::with_seed(1);
        for attempt in 1..200 {
            let ceiling = Duration::from_secs((30u64 << (attempt - 1).min(10)).min(600));
            for _ in 0..50 {
                assert!(delay(&POLICY, attempt, None, &mut rng) <= ceiling);
            }
        }
    }

    #[test]
    fn spreads_over_the_whole_range() {
        let mut rng = Rng::with_seed(2);
        let delays: Vec<_> = (0..200).map(|_| delay(&POLICY, 3, None, &mut rng)).collect();
        assert!(delays.iter().any(|d| *d < Duration::from_secs(20)));
        assert!(delays.iter().any(|d| *d > Duration::from_secs(100)));
    }

    #[test]
    fn poll_delays_double_up_to_the_cap_and_never_past_it() {
        let mut rng = Rng::with_seed(4);
        let (first, cap) = (Duration::from_secs(2), Duration::from_mins(10));
        for poll in 1..200 {
            let nominal = Duration::from_secs((2u64 << (poll - 1).min(20)).min(600));
            for _ in 0..50 {
                let wait = poll_delay(first, poll, cap, &mut rng);
                assert!(wait >= nominal * 9 / 10 && wait <= (nominal * 11 / 10).min(cap), "poll {poll}: {wait:?}");
            }
        }
    }

    #[test]
    fn the_server_knows_better() {
        let mut rng = Rng::with_seed(3);
        let asked = Duration::from_millis(1500);
        for _ in 0..100 {
            let wait = delay(&POLICY, 1, Some(asked), &mut rng);
            assert!(wait >= asked && wait <= Duration::from_millis(1680), "{wait:?}");
        }
    }
}
