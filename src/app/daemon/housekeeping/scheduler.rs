//! tokio-cron-scheduler on a thread of its own. It gives signals, in UTC, to jobs that are added once at its start.
//!
//! Release 0.15.1 drops jobs when hundreds are due at once, keeps a fixed offset from UTC, can ignore jobs that are added
//! later, and is silent after the clock was set back. Its tasks cannot be ended one by one; with the runtime of its thread
//! they all end, so that a new start leaves nothing behind.

use std::{io, sync::Arc};

use tokio::{runtime::Builder, sync::oneshot};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::domain::error::chain;

/// Called at each signal of a job; must not block.
pub type Signal = Arc<dyn Fn() + Send + Sync>;

/// Six fields with the seconds first, in UTC, and what is called then.
pub type SignalRule = (&'static str, Signal);

/// The running scheduler; its thread ends when this is dropped.
#[derive(Debug)]
pub struct Scheduler {
    _stop: oneshot::Sender<()>,
}

/// Why it has ended.
#[derive(Debug, thiserror::Error)]
enum SchedulerError {
    #[error("its runtime cannot be made")]
    Runtime(#[from] io::Error),
    #[error(transparent)]
    Crate(#[from] JobSchedulerError),
}

impl Scheduler {
    /// Starts the thread. Later errors are logged; that the signals are missing shows in the status.
    ///
    /// # Errors
    ///
    /// The error of the system, if there can be no further thread.
    pub fn start(jobs: Vec<SignalRule>) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        std::thread::Builder::new().name("housekeeping".to_owned()).spawn(move || {
            if let Err(error) = serve(jobs, stopped) {
                tracing::error!(error = chain(&error), "the scheduler of the housekeeping has ended");
            }
        })?;
        Ok(Self { _stop: stop })
    }
}

/// Until the other end of `stopped` is dropped.
fn serve(jobs: Vec<SignalRule>, stopped: oneshot::Receiver<()>) -> Result<(), SchedulerError> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let scheduler = JobScheduler::new().await?;
        for (rule, signal) in jobs {
            let job = Job::new_async(rule, move |_, _| {
                let signal = Arc::clone(&signal);
                Box::pin(async move { signal() })
            })?;
            scheduler.add(job).await?;
        }
        scheduler.start().await?;
        let _ = stopped.await;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{TimeDelta, Utc};
    use tokio::sync::watch;

    use super::*;
    use crate::app::daemon::housekeeping::scheduler_watch::{Measured, SILENT, SchedulerWatch, StartAgain};

    fn start(signals: &watch::Sender<u64>) -> Scheduler {
        let signals = signals.clone();
        Scheduler::start(vec![("* * * * * *", Arc::new(move || signals.send_modify(|count| *count += 1)))]).unwrap()
    }

    #[tokio::test]
    async fn a_scheduler_that_was_stopped_is_noticed_and_replaced() {
        let (signals, mut received) = watch::channel(0);
        let mut watch = SchedulerWatch::default();
        let mut check = |heartbeats, seconds| {
            let step = Duration::from_secs(1);
            let measured = Measured {
                step,
                heartbeats,
                offset: TimeDelta::zero(),
                has_overdue: false,
                now: chrono::DateTime::<Utc>::UNIX_EPOCH,
            };
            let reasons: Vec<_> = (0..seconds).filter_map(|_| watch.check(measured)).collect();
            (reasons, watch.silent_since().is_some())
        };
        let signal = async |received: &mut watch::Receiver<u64>| {
            tokio::time::timeout(Duration::from_mins(1), received.changed()).await.unwrap().map(|()| *received.borrow())
        };
        let first = start(&signals);
        let heartbeats = signal(&mut received).await.unwrap();
        assert_eq!(check(heartbeats, 10), (vec![], false));

        // The thread owns the only other sender: with it the channel is closed.
        drop((first, signals));
        while signal(&mut received).await.is_ok() {}
        let heartbeats = *received.borrow();
        assert_eq!(check(heartbeats, 1 + SILENT.as_secs()), (vec![StartAgain::Silent], true));

        let (signals, mut received) = watch::channel(heartbeats);
        let _second = start(&signals);
        let heartbeats = signal(&mut received).await.unwrap();
        assert_eq!(check(heartbeats, 10), (vec![], true));
        for heartbeats in (heartbeats + 1)..(heartbeats + 7) {
            check(heartbeats, 10);
        }
        assert_eq!(check(heartbeats + 7, 1), (vec![], false));
    }
}
