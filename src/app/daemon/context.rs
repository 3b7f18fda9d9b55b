//! State that the tasks of the daemon share.

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
    housekeeping::board::Board,
    signposts::Signposts,
    standing::Standing,
    task_reports::{TaskReport, TaskReports},
};
use crate::{
    adapters::{
        cloud::CloudClient,
        config::{Config, FileStamps},
        store::Store,
    },
    domain::{
        calendar::zone::Zone,
        clock::{Clock, STEP_BACK, earlier, watch::ClockBlocker},
        image::passes::Timetable,
        page::main_zone,
    },
};

/// State that the tasks of the daemon share.
#[derive(Debug)]
pub(super) struct DaemonContext {
    pub(super) store: Arc<Store>,
    pub(super) cloud: Arc<CloudClient>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) orders: mpsc::Sender<EngineRequest>,
    pub(super) engine: Receiver<EngineStatus>,
    pub(super) config_path: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
    // Read briefly, replaced at a reload: never locked across an await.
    pub(super) config: Mutex<Arc<Config>>,
    // Keys that apply at the start have the values of this configuration.
    pub(super) started_with: Arc<Config>,
    // Held during a pass over the images, so that two never overlap.
    pub(super) image_lock: tokio::sync::Mutex<()>,
    // Timetable of the retention passes: read and written briefly, never locked across an await.
    pub(super) passes: Mutex<Timetable>,
    // Counts changes of images by commands: it wakes the image tasks.
    pub(super) activations: Sender<u64>,
    // Read and written briefly: never locked across an await.
    pub(super) task_reports: Mutex<TaskReports>,
    pub(super) housekeeping: Board,
    pub(super) on_disk: Mutex<Tried>,
    // Held during a comparison, so that two never commit the same change.
    pub(super) standing: tokio::sync::Mutex<Standing>,
    pub(super) reloading: tokio::sync::Mutex<()>,
    // Links to the control socket.
    pub(super) signposts: Signposts,
    /// Wall clock and time since boot at the start.
    pub(super) started: (DateTime<Utc>, Duration),
}

/// Files that were read and rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Instant of their first rejection.
    pub since: DateTime<Utc>,
    /// The files.
    pub fingerprint: String,
}

/// Files on disk that differ from the configuration in force.
#[derive(Debug, Default)]
pub struct Tried {
    /// The last rejected files, until a configuration is applied.
    pub(super) refused: Option<Refused>,
    /// Stamps and fingerprint of the last read, so that unchanged files are not read again.
    pub(super) known: Option<(FileStamps, String)>,
    /// Instant from which the files have keys that apply only at the next start.
    pub(super) restart_since: Option<DateTime<Utc>>,
}

impl DaemonContext {
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The zone of times that belong to no schedule: that of most schedules.
    pub(super) fn zone(&self) -> Zone {
        main_zone(self.config().schedules.iter().map(|schedule| &**schedule))
    }

    pub(super) fn replace_config(&self, config: Arc<Config>) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        self.store.set_zone(self.zone());
    }

    /// Updates the report of a task.
    pub(super) fn report_task(&self, name: &'static str, note: impl FnOnce(&mut TaskReport)) {
        note(self.task_reports.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default());
    }

    /// Reports of all tasks.
    pub(super) fn task_reports(&self) -> TaskReports {
        self.task_reports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a request to the engine and waits for its response.
    pub(super) async fn order<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, RequestError>>) -> EngineRequest,
    ) -> Result<T, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(make(reply)).await.map_err(|_| RequestError::Stopping)?;
        answer.await.map_err(|_| RequestError::Unconfirmed)?
    }

    /// Start of the daemon, corrected if the clock was set since: the clock may have been wrong at boot.
    pub(super) fn started_at(&self) -> DateTime<Utc> {
        let (started_at, began) = self.started;
        let by_boottime = earlier(self.clock.now(), self.clock.boottime().saturating_sub(began));
        if (by_boottime - started_at).abs() <= STEP_BACK { started_at } else { by_boottime }
    }

    /// The instant for ages now, or why no image may be marked or deleted and no channel may move: this host's clock is
    /// unconfirmed. To be called right before each of these.
    pub(super) fn clocks_agree(&self) -> Result<DateTime<Utc>, ClockBlocker> {
        self.cloud.clocks().agreed()
    }

    /// The same, after a request for the cloud's time if it is not known yet.
    pub(super) async fn confirm_clocks(&self) -> Result<DateTime<Utc>, ClockBlocker> {
        self.cloud.ask_for_the_time().await;
        self.clocks_agree()
    }

    /// Wakes the image tasks after a command has changed images.
    pub(super) fn activate(&self) {
        self.activations.send_modify(|count| *count += 1);
    }

    /// Counter of changes of bakes and images; never decreases.
    pub(super) fn changes(&self) -> u64 {
        self.engine.borrow().changes + *self.activations.borrow()
    }

    /// The counter once it differs from `seen`, or as it is after `longest`; `None` when the engine has ended.
    pub(super) async fn changed_within(&self, seen: u64, longest: Duration) -> Option<u64> {
        let changed = tokio::time::timeout(longest, self.changed_since(seen)).await;
        changed.unwrap_or_else(|_| Some(self.changes()))
    }

    /// The counter once it differs from `seen`; `None` when the engine has ended.
    async fn changed_since(&self, seen: u64) -> Option<u64> {
        let (mut engine, mut images) = (self.engine.clone(), self.activations.subscribe());
        loop {
            // A change after this read wakes the wait below.
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
