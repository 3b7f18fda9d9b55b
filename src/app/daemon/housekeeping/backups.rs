//! Scheduled backups of the history, each verified. `[daemon] backup` says how often, how many, and where.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tokio::task::spawn_blocking;

use super::{
    board::BACKUP,
    job::{Job, JobError},
    timing::Plan,
};
use crate::{
    adapters::{
        config::{BackupSettings, Config},
        store::{BackupError, BackupFile, BackupFolder},
    },
    app::daemon::context::DaemonContext,
    domain::{clock::age, error::chain},
};

/// Longest pause after a failure. A copy of a million bakes takes less than a minute, so this bounds a run as well.
const HOUR: Duration = Duration::from_hours(1);

#[derive(Debug)]
pub struct Backups;

impl Job for Backups {
    fn name(&self) -> &'static str {
        BACKUP
    }

    fn plan(&self, config: &Config) -> Option<Plan> {
        let BackupSettings { every, dir, .. } = config.daemon.backup.clone()?;
        Some(Plan { every, retry: every.min(HOUR), longest: HOUR, place: Some(dir) })
    }

    fn forget(&self, shared: &DaemonContext) {
        shared.housekeeping.forget_backups();
    }

    /// The age of the newest backup counts, whichever process made it.
    fn first_wait<'a>(&'a self, shared: &'a DaemonContext, plan: &'a Plan) -> BoxFuture<'a, Duration> {
        Box::pin(async move {
            let config = shared.config();
            let (Some(settings), now) = (&config.daemon.backup, shared.clock.now()) else { return plan.every };
            // An unreadable folder is an error of the first run.
            let newest = newest(&config, settings, now).await.unwrap_or_default();
            let since = newest.as_ref().map(|newest| age(newest.at, now));
            shared.housekeeping.report_backups(&settings.dir, |report| report.newest = newest);
            since.map_or(Duration::ZERO, |age| plan.every.saturating_sub(age))
        })
    }

    fn run<'a>(&'a self, shared: &'a DaemonContext) -> BoxFuture<'a, Result<(), JobError>> {
        Box::pin(async move {
            let config = shared.config();
            let Some(settings) = &config.daemon.backup else { return Ok(()) };
            let now = shared.clock.now();
            let outcome = back_up(shared, &config, settings, now).await;
            shared.housekeeping.report_backups(&settings.dir, |report| match &outcome {
                Ok(made) => (report.newest, report.failing) = (Some(made.clone()), None),
                Err(error) => {
                    let since = report.failing.as_ref().map_or(now, |(since, _)| *since);
                    report.failing = Some((since, chain(error)));
                }
            });
            let BackupFile { name, bytes, .. } = outcome?;
            tracing::info!(backup = name, bytes, "the history is backed up as {name}");
            // The backup is good, so a failure here must not make the next one earlier.
            if let Err(error) = remove_old(shared, &config, settings, now).await {
                tracing::error!(error = chain(&error), "old backups cannot be deleted; their folder grows");
            }
            Ok(())
        })
    }
}

fn folder(config: &Config, settings: &BackupSettings) -> BackupFolder {
    BackupFolder::new(&settings.dir, &config.daemon.owner)
}

async fn newest(
    config: &Config,
    settings: &BackupSettings,
    now: DateTime<Utc>,
) -> Result<Option<BackupFile>, BackupError> {
    let folder = folder(config, settings);
    // A folder on a network may not answer.
    spawn_blocking(move || folder.newest(now)).await.unwrap_or(Ok(None))
}

async fn back_up(
    shared: &DaemonContext,
    config: &Config,
    settings: &BackupSettings,
    now: DateTime<Utc>,
) -> Result<BackupFile, JobError> {
    // What is left of a replaced history is saved when the daemon ends.
    if let Some(error) = shared.store.replaced() {
        return Err(error.into());
    }
    Ok(folder(config, settings).back_up(shared.store.reader(), now).await?)
}

/// Not before the history has been compared with the cloud: after a loss, backups of a new history must not take the place of
/// those of the lost one.
async fn remove_old(
    shared: &DaemonContext,
    config: &Config,
    settings: &BackupSettings,
    now: DateTime<Utc>,
) -> Result<(), BackupError> {
    if shared.engine.borrow().uncompared.is_some() {
        return Ok(());
    }
    let (folder, keep) = (folder(config, settings), settings.keep);
    let removed = spawn_blocking(move || folder.remove_beyond(keep, now)).await.unwrap_or_else(|_| Ok(Vec::new()))?;
    for name in removed {
        tracing::info!(backup = name, "the old backup {name} is deleted");
    }
    Ok(())
}
