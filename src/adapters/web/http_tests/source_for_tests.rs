//! A data source whose problems can be set, and whose engine can be stopped.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};

use super::history::{HOSTILE, now};
use crate::{
    adapters::{
        store::{Store, StoreError},
        web::source::{Answer, Source, SourceError, Standing},
    },
    domain::{
        api::mode::Mode,
        calendar::zone::Zone,
        health::{Health, Problem},
        history::{BakeRow, Filter, ImageRow},
        ids::{BakeId, LineId, ScheduleId},
        image::{
            judge::{Action, RetentionDecision, Why},
            passes::NextPass,
            report::Judged,
        },
        page::{
            night::{self, Facts, Night},
            views::{BakeView, ImagesView, ScheduleView},
        },
        plan::forecast::Builders,
        schedule::Schedule,
        schedule_rows::{RowFacts, open::Circumstances, order::order},
        status::{Bakes, Daemon, HousekeepingJob, Next, OnDisk, Status, TaskError},
        suggestion::ConfigOption,
    },
};

/// The history of a temporary directory, problems that can be set, and an engine that can be stopped.
pub(super) struct Fake {
    pub(super) store: Store,
    pub(super) problems: Mutex<Vec<Problem>>,
    pub(super) ticks: AtomicBool,
    pub(super) schedules: Mutex<Vec<Arc<Schedule>>>,
    pub(super) config: Mutex<ConfigOption>,
    /// How often the status was computed.
    pub(super) asked: AtomicUsize,
    pub(super) _dir: tempfile::TempDir,
}

pub(super) fn answer<'a, T: Send + 'a>(read: impl Future<Output = Result<T, StoreError>> + Send + 'a) -> Answer<'a, T> {
    Box::pin(async move { read.await.map_err(SourceError::from) })
}

impl Source for Fake {
    fn now(&self) -> DateTime<Utc> {
        now()
    }

    fn config_option(&self) -> ConfigOption {
        self.config.lock().unwrap().clone()
    }

    fn is_ticking(&self) -> bool {
        self.ticks.load(Ordering::Relaxed)
    }

    fn schedules(&self) -> Vec<Arc<Schedule>> {
        self.schedules.lock().unwrap().clone()
    }

    fn standing(&self) -> Answer<'_, Standing> {
        let problems = self.problems.lock().unwrap().clone();
        answer(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let Bakes { running, waiting, queued, last_day } = self.store.reader().work(now(), None).await?;
            let coming = |schedule: &str, slot: &str, local: &str| Next {
                schedule: schedule.into(),
                instance_id: "ecd-7w78ozhjcwa3u".into(),
                slot: slot.into(),
                local: local.into(),
            };
            let status = Status {
                daemon: Daemon {
                    version: "0.1.0".into(),
                    pid: 4711,
                    started_at: "2027-02-20T06:00:00Z".into(),
                    config_hash: "5f0c2a9be1d4".into(),
                    config_files: vec!["/etc/imagebaked/imagebaked.toml".into(), HOSTILE.into()],
                    config_on_disk: OnDisk::InForce,
                    mode: Mode::Act,
                    schedules: 6,
                    state_dir: "/var/lib/imagebaked".into(),
                    restart_required: Vec::new(),
                    credentials: Some("the RAM role of this ECS instance".into()),
                    credentials_key_id: Some("STS.…a1b2".into()),
                    credentials_identity: Some("acs:ram::1:assumed-role/baker/imagebaked".into()),
                    credentials_accepted_at: None,
                    credentials_expire_at: Some("2027-03-02T23:00:00Z".into()),
                    zones: None,
                    zone: "UTC".to_owned(),
                },
                health: Health::of(problems),
                no_image_yet: 3,
                running,
                waiting,
                queued,
                late: Vec::new(),
                suspended: None,
                paused: Vec::new(),
                paused_in_file: Vec::new(),
                next: vec![
                    coming("hourly-dev", "2027-03-02T20:00:00Z", "2027-03-03 04:00:00 CST"),
                    coming("office-cn", "2027-03-02T22:16:20Z", "2027-03-03 06:16:20 CST"),
                    coming(HOSTILE, "2027-03-03T19:00:00Z", "2027-03-04 03:00:00 CST"),
                ],
                schedules: Vec::new(),
                image_tasks: Vec::new(),
                housekeeping: vec![HousekeepingJob {
                    name: "backup".into(),
                    running_since: None,
                    last_run: Some("2027-03-02T11:00:00Z".into()),
                    last_run_seconds: Some(0.1),
                    next_run: Some("2027-03-02T23:00:00Z".into()),
                    last_error: Some(TaskError { at: "2027-03-02T11:00:00Z".into(), message: HOSTILE.into() }),
                }],
                backup: None,
                last_day,
            };
            let schedules = self.schedules();
            let without = self.store.reader().lines_without_image(&lines(&schedules)).await?;
            let order = order(&schedules, Circumstances::of(&status), &without);
            Ok(Standing { status, order })
        })
    }

    fn nights(&self) -> Answer<'_, [Night; 2]> {
        answer(async move {
            let recorded = self.store.reader().recorded_between(now() - TimeDelta::days(2), now(), 99).await?;
            let (schedules, durations) = (self.schedules(), self.store.reader().durations().await?);
            let facts = Facts {
                recorded,
                counted: Vec::new(),
                schedules,
                pauses: HashMap::new(),
                durations,
                builders: Builders { all: 5, per_region: 5 },
                observes: false,
            };
            Ok(night::nights(&facts, "Asia/Shanghai".parse::<Zone>().unwrap(), now()))
        })
    }

    fn row_facts(&self, schedules: Vec<Arc<Schedule>>) -> Answer<'_, RowFacts> {
        answer(async move {
            let ids: Vec<&ScheduleId> = schedules.iter().map(|schedule| &schedule.id).collect();
            let slots = self.store.reader().newest_rows(&ids, 14).await?;
            Ok(RowFacts { slots, images: self.store.reader().newest_good_images(&lines(&schedules)).await? })
        })
    }

    fn schedule(&self, schedule: Arc<Schedule>) -> Answer<'_, ScheduleView> {
        answer(async move {
            let (reader, lines) = (self.store.reader(), lines(std::slice::from_ref(&schedule)));
            let newest = reader.newest_images(&lines).await?;
            let newest = newest.into_iter().map(|image| (image.line.clone(), image)).collect();
            // No targets are recorded, by which the history knows the names of schedules.
            let instance = schedule.instances.as_slice().first().map(ToString::to_string);
            let bakes = reader.history(&Filter { instance, limit: 14, ..Filter::default() }).await?;
            let images = reader.present_images(Some(&lines)).await?.into_iter().map(kept).collect();
            let recorded = reader.recorded_of(&schedule.id, now() - TimeDelta::days(40), 99).await?;
            Ok(ScheduleView {
                schedule,
                bakes,
                newest,
                images,
                next_pass: NextPass::AtStart,
                replicas: [].into(),
                recorded,
            })
        })
    }

    fn bake(&self, id: BakeId) -> Answer<'_, Option<BakeView>> {
        answer(async move {
            let reader = self.store.reader();
            let Some(row) = reader.bake(id).await? else { return Ok(None) };
            let (settings, attempts) = (reader.settings(id).await?, reader.attempts(id).await?);
            Ok(Some(BakeView { row, settings, attempts, copies: Vec::new() }))
        })
    }

    fn history(&self, filter: Filter) -> Answer<'_, Vec<BakeRow>> {
        answer(async move { self.store.reader().history(&filter).await })
    }

    fn images(&self, after: String, limit: u32) -> Answer<'_, ImagesView> {
        answer(async move {
            let reader = self.store.reader();
            let lines = reader.newest_images_after(&after, limit).await?;
            let going = reader.going_images(9).await?.into_iter().map(kept).collect();
            Ok(ImagesView { going, more_going: 0, only_marked: false, next_pass: NextPass::AtStart, lines, scan: None })
        })
    }
}

/// An image of a line without rules.
fn kept(row: ImageRow) -> (ImageRow, Judged) {
    let image = &row.image;
    let judged = Judged {
        image_id: image.image_id.clone(),
        image_name: image.name.clone(),
        line: image.line.clone(),
        schedule: None,
        version: image.version,
        slot: image.slot,
        action: Action::Keep,
        verdict: RetentionDecision::Stays { why: vec![Why::NoRules] },
        not_before: None,
        vetoed: image.veto.is_some(),
        held: None,
    };
    (row, judged)
}

fn lines(schedules: &[Arc<Schedule>]) -> Vec<LineId> {
    let of = |schedule: &Arc<Schedule>| -> Vec<LineId> { schedule.lines().collect() };
    schedules.iter().flat_map(of).collect()
}
