//! The ticker: tokio-cron-scheduler with two jobs in UTC, added once and never changed.
//!
//! It has no timetable. Release 0.15.1 drops jobs when many are due at once, keeps a fixed UTC offset through clock
//! changes, and can ignore added jobs; one tick a second in UTC avoids all of that. A late or lost tick has no effect:
//! the engine computes what is due and does not count ticks. After the clock was set back, the ticker is silent until
//! that time comes again; the engine then ticks by itself, every two seconds.

use std::sync::Arc;

use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use super::{context::DaemonContext, engine::EngineRequest};
use crate::domain::{clock::earlier, error::chain};

/// The running ticker; it ticks until it is stopped.
pub struct Ticker(JobScheduler);

impl std::fmt::Debug for Ticker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticker").finish_non_exhaustive()
    }
}

impl Ticker {
    /// Wakes the engine every second and maintains the database once a day.
    pub async fn start(shared: &Arc<DaemonContext>) -> Result<Self, JobSchedulerError> {
        let (orders, shared) = (shared.orders.clone(), Arc::clone(shared));
        let scheduler = JobScheduler::new().await?;
        let tick = Job::new_async("* * * * * *", move |_, _| {
            let orders = orders.clone();
            Box::pin(async move {
                // A full queue means that the engine has work to do, a closed one that it has stopped.
                let _ = orders.try_send(EngineRequest::Tick);
            })
        })?;
        let upkeep = Job::new_async("0 17 4 * * *", move |_, _| {
            let shared = Arc::clone(&shared);
            Box::pin(async move {
                let oldest = earlier(shared.clock.now(), shared.config().daemon.keep_events);
                if let Err(error) = shared.store.prune_events(oldest).await {
                    tracing::warn!(error = chain(&error), "old events could not be deleted; tried again tomorrow");
                }
                match shared.store.upkeep().await {
                    Ok(()) => tracing::debug!("the database was tidied up"),
                    Err(error) => {
                        let error = chain(&error);
                        tracing::warn!(error, "the database could not be tidied up; tried again tomorrow");
                    }
                }
            })
        })?;
        scheduler.add(tick).await?;
        scheduler.add(upkeep).await?;
        scheduler.start().await?;
        Ok(Self(scheduler))
    }

    /// Stops it.
    pub async fn stop(mut self) {
        if let Err(error) = self.0.shutdown().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the ticker did not stop");
        }
    }
}
