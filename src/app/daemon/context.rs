//! What the tasks of the daemon share.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::sync::{
    mpsc, oneshot,
    watch::{Receiver, Sender},
};

use super::{
    engine::{EngineRequest, EngineStatus, RequestError},
    task_reports::{TaskReport, TaskReports},
};
use crate::{
    adapters::{
        cloud::CloudClient,
        config::{Config, FileStamps},
        store::Store,
    },
    domain::clock::{Clock, STEP_BACK, earlier, watch::ClockBlocker},
};

/// What the tasks of the daemon share.
#[derive(Debug)]
pub(super) struct DaemonContext {
    pub(super) store: Arc<Store>,
    pub(super) cloud: Arc<CloudClient>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) orders: mpsc::Sender<EngineRequest>,
    pub(super) engine: Receiver<EngineStatus>,
    pub(super) config_path: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
    // Read for a moment, replaced at a reload: never held across an await.
    pub(super) config: Mutex<Arc<Config>>,
    // What counts only from the start on is in force as it stood here.
    pub(super) started_with: Arc<Config>,
    // Held through a pass over the images, so that two never cross.
    pub(super) keeping: tokio::sync::Mutex<()>,
    // Counts what commands changed about images: those who look after them look again.
    pub(super) stirred: Sender<u64>,
    // Read and written for a moment: never held across an await.
    pub(super) task_reports: Mutex<TaskReports>,
    pub(super) on_disk: Mutex<Tried>,
    pub(super) reloading: tokio::sync::Mutex<()>,
    /// The clock, and the time since boot, at the start.
    pub(super) started: (DateTime<Utc>, Duration),
}

/// Files that were read and not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// When they were first refused.
    pub since: DateTime<Utc>,
    /// What they were.
    pub fingerprint: String,
}

/// What is known of the files on disk besides what is in force.
#[derive(Debug, Default)]
pub struct Tried {
    /// What was refused last, until something is taken over.
    pub(super) refused: Option<Refused>,
    /// The last look with the fingerprint found then, so that files which look the same are not read again.
    pub(super) known: Option<(FileStamps, String)>,
    /// Since when keys are in the file that count from the next start on.
    pub(super) restart_since: Option<DateTime<Utc>>,
}

impl DaemonContext {
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace_config(&self, config: Arc<Config>) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Notes what is known of a task now.
    pub(super) fn report_task(&self, name: &'static str, note: impl FnOnce(&mut TaskReport)) {
        note(self.task_reports.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default());
    }

    /// What is known of the tasks.
    pub(super) fn task_reports(&self) -> TaskReports {
        self.task_reports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a request to the engine and waits for its answer.
    pub(super) async fn order<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, RequestError>>) -> EngineRequest,
    ) -> Result<T, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(make(reply)).await.map_err(|_| RequestError::Stopping)?;
        answer.await.map_err(|_| RequestError::Unconfirmed)?
    }

    /// When the daemon started. By the present clock, where the one that it started with was set since: a daemon is not years
    /// old for having begun at boot before the clock was set.
    pub(super) fn started_at(&self) -> DateTime<Utc> {
        let (started_at, began) = self.started;
        let by_boottime = earlier(self.clock.now(), self.clock.boottime().saturating_sub(began));
        if (by_boottime - started_at).abs() <= STEP_BACK { started_at } else { by_boottime }
    }

    /// The instant by which ages are judged now, or why nothing may be marked, deleted or moved to a channel: this host's
    /// clock is in doubt. To be asked again right before each of these.
    pub(super) fn clocks_agree(&self) -> Result<DateTime<Utc>, ClockBlocker> {
        self.cloud.clocks().agreed()
    }

    /// The same, after the cloud was asked for its time where it has not told it yet.
    pub(super) async fn confirm_clocks(&self) -> Result<DateTime<Utc>, ClockBlocker> {
        self.cloud.ask_for_the_time().await;
        self.clocks_agree()
    }

    /// Images were changed by a command; whoever looks after them looks again.
    pub(super) fn stir(&self) {
        self.stirred.send_modify(|count| *count += 1);
    }

    /// Counts what may have changed bakes and images; never goes back.
    pub(super) fn changes(&self) -> u64 {
        self.engine.borrow().changes + *self.stirred.borrow()
    }

    /// The count once it is another one than `seen`; `None` when the engine has ended.
    pub(super) async fn changed_since(&self, seen: u64) -> Option<u64> {
        let (mut engine, mut images) = (self.engine.clone(), self.stirred.subscribe());
        loop {
            // What comes after this look wakes the wait below.
            engine.mark_unchanged();
            images.mark_unchanged();
            let count = self.changes();
            if count != seen {
                return engine.has_changed().is_ok().then_some(count);
            }
            tokio::select! {
                changed = engine.changed() => changed.ok()?,
                changed = images.changed() => changed.ok()?,
            }
        }
    }
}
