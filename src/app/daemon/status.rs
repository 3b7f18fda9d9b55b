//! Builds the status of the daemon for `status`, the status page and `status.json`.

use chrono::{DateTime, SecondsFormat, Utc};

use super::{context::DaemonContext, health, problems::Judgement, reload::Files};
use crate::{
    adapters::{
        store::{Reader, StoreError},
        web::{
            self,
            http::{Source, StatusFuture},
        },
    },
    domain::{
        status::{Bakes, Daemon, ImageTask, Next, OnDisk, Paused, Status, SuspendedSince, TaskError, Zones},
        time::show,
    },
};

impl Source for DaemonContext {
    fn status(&self) -> StatusFuture<'_> {
        Box::pin(Self::status(self))
    }

    fn reader(&self) -> &Reader {
        self.store.reader()
    }

    fn is_ticking(&self) -> bool {
        health::is_ticking(&self.engine.borrow())
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}

impl DaemonContext {
    /// The status, from the history and the engine.
    pub(super) async fn status(&self) -> Result<Status, StoreError> {
        let now = self.clock.now();
        let engine = self.engine.borrow().clone();
        let config = self.config();
        let Bakes { running, waiting, queued, last_day } = web::from_history(self.store.reader(), now).await?;
        let late = web::late(self.store.reader(), now).await?;
        let credentials = self.cloud.credentials_in_use().await;
        let files = self.compare_files();
        let Judgement { health, no_image_yet } = self.judge(&engine, files, now).await?;
        let utc = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        Ok(Status {
            daemon: Daemon {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                started_at: utc(self.started_at()),
                config_hash: engine.config_hash.clone(),
                config_files: config.files.iter().map(|file| file.display().to_string()).collect(),
                config_on_disk: match files {
                    Files::InForce => OnDisk::InForce,
                    Files::Edited => OnDisk::Edited,
                    Files::Refused { .. } => OnDisk::Refused,
                },
                mode: self.cloud.mode(),
                schedules: engine.schedules,
                credentials: credentials.map(|(source, _)| source.to_string()),
                credentials_expire_at: credentials.and_then(|(_, expires_at)| expires_at).map(utc),
                zones: Some(Zones {
                    release: config.zones.version().to_owned(),
                    source: config.zones.origin().to_owned(),
                }),
            },
            health,
            no_image_yet,
            running,
            waiting,
            queued,
            late,
            suspended: engine
                .suspension
                .as_ref()
                .map(|suspension| SuspendedSince { since: utc(suspension.since), reason: suspension.message.clone() }),
            paused_in_file: config.schedules.iter().filter(|one| one.paused).map(|one| one.name.to_string()).collect(),
            paused: engine
                .pauses
                .iter()
                .filter(|pause| pause.is_in_force(now))
                .map(|pause| Paused {
                    schedule: pause.schedule_id.to_string(),
                    since: utc(pause.since),
                    until: pause.until.map(utc),
                    who: pause.who.clone(),
                    reason: pause.reason.clone(),
                })
                .collect(),
            next: engine
                .upcoming
                .iter()
                .map(|next| Next {
                    schedule: next.schedule.clone(),
                    instance_id: next.instance.to_string(),
                    slot: utc(next.slot),
                    local: show(next.slot, next.zone),
                })
                .collect(),
            image_tasks: self
                .task_reports()
                .into_iter()
                .map(|(name, report)| ImageTask {
                    name: name.to_owned(),
                    last_run: report.last_run.map(utc),
                    next_run: report.next_run.map(utc),
                    last_error: report.last_error.map(|(at, message)| TaskError { at: utc(at), message }),
                })
                .collect(),
            last_day,
        })
    }
}
