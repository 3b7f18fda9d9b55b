//! When those who look after images look: at the instant they asked for, after something has changed, and after the
//! clock was set back. Never for nothing, never late.

use std::{sync::atomic::Ordering, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{Interval, MissedTickBehavior};

use crate::{daemon::Shared, error::chain, store::StoreError};

/// How often it is asked whether there is something to do; the question costs nothing.
const BEAT: Duration = Duration::from_millis(250);
/// After a failure of the database.
const AFTER_STORE_ERROR: TimeDelta = TimeDelta::seconds(30);

/// Decides when the next turn is.
#[derive(Debug)]
pub(super) struct Rounds {
    beat: Interval,
    /// When the last turn began, and what had changed by then.
    last: Option<(DateTime<Utc>, [u64; 2])>,
    next: Option<DateTime<Utc>>,
}

impl Rounds {
    pub(super) fn new() -> Self {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { beat, last: None, next: None }
    }

    /// Waits until there may be something to do.
    pub(super) async fn begin(&mut self, shared: &Shared) -> DateTime<Utc> {
        loop {
            self.beat.tick().await;
            let now = shared.clock.now();
            let changes = [shared.engine.borrow().changes, shared.stirred.load(Ordering::Relaxed)];
            let is_quiet = self.next.is_none_or(|next| now < next);
            if is_quiet && self.last.is_some_and(|(at, seen)| now >= at && changes == seen) {
                continue;
            }
            self.last = Some((now, changes));
            return now;
        }
    }

    /// Takes what a turn says: when something will be due again. `complaint` is what does not happen while the ledger
    /// cannot be used.
    pub(super) fn end(&mut self, turned: Result<Option<DateTime<Utc>>, StoreError>, complaint: &str) {
        self.next = turned.unwrap_or_else(|error| {
            tracing::error!(error = chain(&error), "{complaint} until the ledger can be used");
            self.last.map(|(at, _)| at + AFTER_STORE_ERROR)
        });
    }
}
