//! What all visitors see alike is computed at most once in a while, however many they are.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

/// A value that is shared as long as it is fresh. Visitors who come while it is computed wait for it.
#[derive(Debug)]
pub(super) struct Shared<T> {
    fresh_for: Duration,
    last: Mutex<Option<(Instant, Arc<T>)>>,
}

impl<T> Shared<T> {
    /// Of a value that is fresh for this long.
    pub(super) fn new(fresh_for: Duration) -> Self {
        Self { fresh_for, last: Mutex::new(None) }
    }

    /// The value; an error is not shared.
    ///
    /// # Errors
    ///
    /// That of `compute`.
    pub(super) async fn get<E>(&self, compute: impl Future<Output = Result<T, E>>) -> Result<Arc<T>, E> {
        let mut last = self.last.lock().await;
        if let Some((at, value)) = &*last
            && at.elapsed() < self.fresh_for
        {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(compute.await?);
        // From its end: a value that takes long to compute is not computed all the time.
        *last = Some((Instant::now(), Arc::clone(&value)));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test]
    async fn a_fresh_value_is_not_computed_again() {
        let (computed, shared) = (AtomicUsize::new(0), Shared::new(Duration::from_mins(1)));
        let compute = async || Ok::<_, Infallible>(computed.fetch_add(1, Ordering::Relaxed));
        for _ in 0..5 {
            assert_eq!(*shared.get(compute()).await.unwrap(), 0);
        }
        let shared = Shared::new(Duration::ZERO);
        assert_eq!((*shared.get(compute()).await.unwrap(), *shared.get(compute()).await.unwrap()), (1, 2));
    }

    #[tokio::test]
    async fn an_error_is_not_shared() {
        let shared = Shared::new(Duration::from_mins(1));
        assert_eq!(shared.get(async { Err::<u8, _>("busy") }).await, Err("busy"));
        assert_eq!(*shared.get(async { Ok::<_, &str>(7) }).await.unwrap(), 7);
    }
}
