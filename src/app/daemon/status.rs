//! Builds the status of the daemon for `status`, the status page and `status.json`.

use chrono::{DateTime, Utc};

use super::{
    context::DaemonContext,
    health::is_ticking,
    housekeeping::board::{BackupReport, JobReport, RETENTION},
    problems::Judgement,
    schedule_rows::schedule_rows,
};
use crate::{
    adapters::{store::StoreError, web::source::Standing},
    domain::{
        bake::queue::as_of,
        clock::{age, later},
        ids::ScheduleId,
        schedule_rows::open::Circumstances,
        status::{
            Backups, Bakes, Daemon, FailingBackups, GoodBackup, HousekeepingJob, ImageTask, Next, Paused, Status,
            SuspendedSince, TaskError, Zones,
        },
        time::{rfc3339_seconds, show},
    },
};

impl DaemonContext {
    /// The status, from the history and the engine; with the rows of all schedules if wanted.
    pub(super) async fn status(&self, all: bool) -> Result<Status, StoreError> {
        Ok(self.standing(all).await?.status)
    }

    /// The status of the schedule with this name or id alone; `None` if none in force has it.
    pub(super) async fn status_of(&self, wanted: &str) -> Result<Option<Status>, StoreError> {
        let config = self.config();
        let Some(schedule) = config.schedule(wanted) else { return Ok(None) };
        let now = self.clock.now();
        let status = self.without_rows(now, Some(&schedule.id)).await?.only(schedule);
        let about = Circumstances::of(&status);
        let one = std::slice::from_ref(schedule);
        let (rows, _) = schedule_rows(self.store.reader(), one, about, true, now).await?;
        Ok(rows.into_iter().next().map(|row| status.with_row_of(schedule, row)))
    }

    /// The status with the order of all schedules.
    pub(super) async fn standing(&self, all: bool) -> Result<Standing, StoreError> {
        let now = self.clock.now();
        let mut status = self.without_rows(now, None).await?;
        let about = Circumstances::of(&status);
        let (rows, order) = schedule_rows(self.store.reader(), &self.config().schedules, about, all, now).await?;
        status.schedules = rows;
        Ok(Standing { status, order })
    }

    /// The status without rows of schedules; with the bakes of one schedule, or of all.
    async fn without_rows(&self, now: DateTime<Utc>, of: Option<&ScheduleId>) -> Result<Status, StoreError> {
        let engine = self.engine.borrow().clone();
        let config = self.config();
        let Bakes { mut running, mut waiting, queued, last_day } = self.store.reader().work(now, of).await?;
        let mut late = self.store.reader().late(now, of).await?;
        let is_ticking = is_ticking(&engine);
        for bake in &mut running {
            bake.reason_as_of(now, is_ticking);
        }
        for bake in &mut waiting {
            bake.reason_as_of(now, false);
        }
        for bake in &mut late {
            bake.reason = as_of(&bake.reason, now, false).into_owned();
        }
        let credentials = self.cloud.credentials_in_use();
        let files = self.compare_files();
        let Judgement { health, no_image_yet } = self.judge(&engine, files, now).await?;
        Ok(Status {
            daemon: Daemon {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                started_at: rfc3339_seconds(self.started_at()),
                config_hash: engine.config_hash.clone(),
                config_files: config.files.iter().map(|file| file.display().to_string()).collect(),
                config_on_disk: files.into(),
                mode: self.cloud.mode(),
                schedules: engine.schedules,
                state_dir: self.started_with.daemon.state_dir.display().to_string(),
                restart_required: self.restart_keys(),
                credentials: credentials.as_ref().map(|in_use| in_use.source.clone()),
                credentials_key_id: credentials.as_ref().map(|in_use| in_use.key_id.clone()),
                credentials_identity: credentials.as_ref().and_then(|in_use| in_use.identity.clone()),
                credentials_accepted_at: self.cloud.key_watch().accepted_at(now).map(rfc3339_seconds),
                credentials_expire_at: credentials.and_then(|in_use| in_use.expires_at).map(rfc3339_seconds),
                zones: Some(Zones {
                    release: config.zones.version().to_owned(),
                    source: config.zones.origin().to_owned(),
                }),
                zone: self.zone().name().to_owned(),
            },
            health,
            no_image_yet,
            running,
            waiting,
            queued,
            late,
            suspended: engine.suspension.as_ref().map(|suspension| SuspendedSince {
                since: rfc3339_seconds(suspension.since),
                reason: suspension.message.clone(),
            }),
            paused_in_file: config.schedules.iter().filter(|one| one.paused).map(|one| one.name.to_string()).collect(),
            paused: engine.pauses.iter().filter(|pause| pause.is_in_force(now)).map(Paused::from).collect(),
            next: engine
                .upcoming
                .iter()
                .map(|next| Next {
                    schedule: next.schedule.clone(),
                    instance_id: next.instance.to_string(),
                    slot: rfc3339_seconds(next.slot),
                    local: show(next.slot, next.zone),
                })
                .collect(),
            schedules: Vec::new(),
            image_tasks: self
                .task_reports()
                .into_iter()
                // It is a job of the housekeeping.
                .filter(|(name, _)| *name != RETENTION)
                .map(|(name, report)| ImageTask {
                    name: name.to_owned(),
                    last_run: report.last_run.map(rfc3339_seconds),
                    next_run: report.next_run.map(rfc3339_seconds),
                    last_error: report.last_error.map(|(at, message)| TaskError { at: rfc3339_seconds(at), message }),
                })
                .collect(),
            housekeeping: self.housekeeping_jobs(now),
            backup: self.housekeeping.backups().map(|report| backups(&report, now)),
            last_day,
        })
    }

    fn housekeeping_jobs(&self, now: DateTime<Utc>) -> Vec<HousekeepingJob> {
        let boottime = self.clock.boottime();
        let job = |(name, report): (&str, JobReport)| HousekeepingJob {
            name: name.to_owned(),
            running_since: report.running_since.map(rfc3339_seconds),
            last_run: report.last_run.map(rfc3339_seconds),
            last_run_seconds: report.took.map(|took| took.as_secs_f64()),
            next_run: report.due.map(|due| rfc3339_seconds(later(now, due.saturating_sub(boottime)))),
            last_error: report.last_error.map(|(at, message)| TaskError { at: rfc3339_seconds(at), message }),
        };
        self.housekeeping.reports().into_iter().map(job).collect()
    }
}

fn backups(report: &BackupReport, now: DateTime<Utc>) -> Backups {
    Backups {
        dir: report.dir.display().to_string(),
        last_good: report.newest.as_ref().map(|newest| GoodBackup {
            file: report.dir.join(&newest.name).display().to_string(),
            at: rfc3339_seconds(newest.at),
            age_seconds: age(newest.at, now).as_secs(),
            bytes: newest.bytes,
        }),
        failing: report
            .failing
            .as_ref()
            .map(|(since, reason)| FailingBackups { since: rfc3339_seconds(*since), reason: reason.clone() }),
    }
}
