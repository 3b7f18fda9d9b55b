//! Driver of the image tasks: runs a turn at the requested instant, after a change, and after the clock was set back.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{
    sync::watch::Receiver,
    time::{Interval, MissedTickBehavior},
};

use crate::{
    adapters::store::StoreError,
    app::daemon::{context::DaemonContext, engine::EngineStatus},
    domain::error::chain,
};

/// Interval of reading the clock, which may be set; changes wake the task at once.
const TICK_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after a failure of the database.
const AFTER_STORE_ERROR: TimeDelta = TimeDelta::seconds(30);

/// Determines the next turn.
#[derive(Debug)]
pub(super) struct TaskDriver {
    ticker: Interval,
    engine: Receiver<EngineStatus>,
    activations: Receiver<u64>,
    /// Start of the last turn, and the change counters at that time.
    last: Option<(DateTime<Utc>, [u64; 2])>,
    next: Option<DateTime<Utc>>,
}

impl TaskDriver {
    pub(super) fn new(shared: &DaemonContext) -> Self {
        let mut ticker = tokio::time::interval(TICK_INTERVAL);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ticker,
            engine: shared.engine.clone(),
            activations: shared.activations.subscribe(),
            last: None,
            next: None,
        }
    }

    /// Waits until there may be something to do.
    pub(super) async fn begin(&mut self, shared: &DaemonContext) -> DateTime<Utc> {
        loop {
            tokio::select! {
                // An engine that has ended changes nothing any more.
                Ok(()) = self.engine.changed() => {}
                Ok(()) = self.activations.changed() => {}
                _ = self.ticker.tick() => {}
            }
            let now = shared.clock.now();
            let changes = [self.engine.borrow_and_update().changes, *self.activations.borrow_and_update()];
            let is_quiet = self.next.is_none_or(|next| now < next);
            if is_quiet && self.last.is_some_and(|(at, seen)| now >= at && changes == seen) {
                continue;
            }
            self.last = Some((now, changes));
            return now;
        }
    }

    /// Takes the result of a turn: the next due instant. `complaint` names what does not happen while the history
    /// cannot be used.
    pub(super) fn end(&mut self, turned: Result<Option<DateTime<Utc>>, StoreError>, complaint: &str) {
        self.next = turned.unwrap_or_else(|error| {
            tracing::error!(error = chain(&error), "{complaint} until the history can be used");
            self.last.map(|(at, _)| at + AFTER_STORE_ERROR)
        });
    }
}
