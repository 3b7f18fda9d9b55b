//! A value that takes long to compute: visitors get the last one while the next is computed.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::timeout};

use super::source::SourceError;
use crate::domain::error::chain;

/// A value is fresh for this many times as long as its computation took, so that this takes at most a twentieth of one core.
const REST: u32 = 20;
/// A value that is this many times as old as a fresh one may be is not shown any more.
const TOO_OLD: u32 = 4;

/// A value with its computation.
#[derive(Debug)]
pub(super) struct Background<T> {
    fresh_for: Duration,
    last: watch::Sender<Option<Result<Computed<T>, String>>>,
    is_computing: AtomicBool,
}

#[derive(Debug)]
struct Computed<T> {
    value: Arc<T>,
    at: Instant,
    fresh_for: Duration,
}

impl<T> Clone for Computed<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), ..*self }
    }
}

impl<T: Send + Sync + 'static> Background<T> {
    /// Of a value that is fresh for this long at least.
    pub(super) fn new(fresh_for: Duration) -> Arc<Self> {
        Arc::new(Self { fresh_for, last: watch::Sender::new(None), is_computing: AtomicBool::new(false) })
    }

    /// The last value unless that is too old at `now`, else the next one; `None` if that takes longer than `longest_wait`.
    ///
    /// # Errors
    ///
    /// That of the computation.
    pub(super) async fn get(
        self: &Arc<Self>,
        now: Instant,
        longest_wait: Duration,
        compute: impl Future<Output = Result<T, SourceError>> + Send + 'static,
    ) -> Result<Option<Arc<T>>, SourceError> {
        let mut updates = self.last.subscribe();
        let last = updates.borrow_and_update().clone();
        if let Some(Ok(last)) = &last
            && now.saturating_duration_since(last.at) < last.fresh_for
        {
            return Ok(Some(Arc::clone(&last.value)));
        }
        self.begin(compute);
        if let Some(Ok(last)) = last
            && now.saturating_duration_since(last.at) < last.fresh_for * TOO_OLD
        {
            return Ok(Some(last.value));
        }
        if timeout(longest_wait, updates.changed()).await.is_err() {
            return Ok(None);
        }
        match updates.borrow().clone() {
            Some(Ok(computed)) => Ok(Some(computed.value)),
            Some(Err(error)) => Err(error.into()),
            None => Ok(None),
        }
    }

    /// Computes the next value, unless that is done already.
    fn begin(self: &Arc<Self>, compute: impl Future<Output = Result<T, SourceError>> + Send + 'static) {
        if self.is_computing.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = Computing(Arc::clone(self));
        tokio::spawn(async move {
            let begun = Instant::now();
            let computed = compute.await.map(|value| Computed {
                value: Arc::new(value),
                at: Instant::now(),
                fresh_for: fresh_for(this.0.fresh_for, begun.elapsed()),
            });
            this.0.last.send_replace(Some(computed.map_err(|error| chain(&*error))));
        });
    }
}

/// How long a value is fresh that took so long.
fn fresh_for(least: Duration, took: Duration) -> Duration {
    least.max(took.saturating_mul(REST))
}

/// A computation; its end, even by a panic, lets the next one begin.
struct Computing<T>(Arc<Background<T>>);

impl<T> Drop for Computing<T> {
    fn drop(&mut self) {
        self.0.is_computing.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    const LEAST: Duration = Duration::from_secs(15);

    /// What a visitor gets who comes so long after now and waits for a minute at most.
    async fn get(shared: &Arc<Background<u8>>, later: u64, value: u8) -> Option<u8> {
        let now = Instant::now() + Duration::from_secs(later);
        shared.get(now, Duration::from_mins(1), async move { Ok(value) }).await.unwrap().map(|value| *value)
    }

    async fn computed(shared: &Background<u8>, wanted: u8) {
        let is_wanted = |last: &Option<Result<Computed<u8>, String>>| {
            last.as_ref().is_some_and(|last| last.as_ref().is_ok_and(|last| *last.value == wanted))
        };
        shared.last.subscribe().wait_for(is_wanted).await.unwrap();
    }

    #[tokio::test]
    async fn the_last_value_is_shown_while_the_next_is_computed() {
        let shared = Background::new(LEAST);
        assert_eq!(get(&shared, 0, 1).await, Some(1));
        assert_eq!(get(&shared, 9, 2).await, Some(1), "it is fresh");
        assert_eq!(get(&shared, 20, 3).await, Some(1), "the next one is computed");
        computed(&shared, 3).await;
        assert_eq!(get(&shared, 0, 4).await, Some(3));
        assert_eq!(get(&shared, 3_600, 5).await, Some(5), "a value that is too old is not shown");
    }

    #[tokio::test]
    async fn a_visitor_does_not_wait_for_long_and_one_computation_serves_all() {
        let (shared, gate) = (Background::new(LEAST), Arc::new(Notify::new()));
        let slow = Arc::clone(&gate);
        let first = shared.get(Instant::now(), Duration::ZERO, async move {
            slow.notified().await;
            Ok(7)
        });
        assert_eq!(first.await.unwrap(), None);
        let second = shared.get(Instant::now(), Duration::ZERO, async { Ok(8) });
        assert_eq!(second.await.unwrap(), None, "no second computation");
        gate.notify_one();
        computed(&shared, 7).await;
        assert_eq!(get(&shared, 0, 9).await, Some(7));
    }

    #[tokio::test]
    async fn an_error_is_shown_and_does_not_last() {
        let shared = Background::new(LEAST);
        let failed = shared.get(Instant::now(), Duration::from_mins(1), async { Err::<u8, _>("busy".into()) }).await;
        assert_eq!(failed.unwrap_err().to_string(), "busy");
        assert_eq!(get(&shared, 0, 4).await, Some(4));
    }

    #[test]
    fn what_takes_long_is_computed_less_often() {
        assert_eq!(fresh_for(LEAST, Duration::from_millis(20)), LEAST);
        assert_eq!(fresh_for(LEAST, Duration::from_secs(3)), Duration::from_mins(1));
    }
}
