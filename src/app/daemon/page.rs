//! The data of the page, from the history and the configuration in force.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::{context::DaemonContext, health, image_tasks::prune::judgement_of};
use crate::{
    adapters::{
        store::{BakeRow, Filter, StoreError},
        web::source::{Answer, Source, SourceError},
    },
    domain::{
        ids::{BakeId, InstanceId, LineId, ScheduleId},
        image::report::Judged,
        page::{
            calendar, main_zone,
            night::{self, Facts, Night},
            strip::SLOTS,
            views::{BakeView, Details, ImagesView, ScheduleView},
        },
        plan::forecast::Builders,
        schedule::Schedule,
        status::Status,
    },
};

/// Maximum number of bakes of a night, and of the last weeks of a schedule.
const MOST_BAKES: u32 = 3_000;
/// Maximum number of listed deletions.
const MOST_GOING: u32 = 200;

impl Source for DaemonContext {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn is_ticking(&self) -> bool {
        health::is_ticking(&self.engine.borrow())
    }

    fn schedules(&self) -> Vec<Arc<Schedule>> {
        self.config().schedules.clone()
    }

    fn status(&self) -> Answer<'_, Status> {
        answer(Self::status(self, false))
    }

    fn lines_without_image(&self, lines: Vec<LineId>) -> Answer<'_, HashSet<LineId>> {
        answer(async move { self.store.reader().lines_without_image(&lines).await })
    }

    fn nights(&self) -> Answer<'_, [Night; 2]> {
        answer(self.compute_nights())
    }

    fn details(&self, schedules: Vec<Arc<Schedule>>) -> Answer<'_, Details> {
        answer(async move { self.read_details(&schedules).await })
    }

    fn schedule(&self, schedule: Arc<Schedule>) -> Answer<'_, ScheduleView> {
        answer(self.read_schedule(schedule))
    }

    fn bake(&self, id: BakeId) -> Answer<'_, Option<BakeView>> {
        answer(async move {
            let reader = self.store.reader();
            let Some(row) = reader.bake(id).await? else { return Ok(None) };
            let settings = reader.settings(id).await?;
            let (attempts, copies) = (reader.attempts(id).await?, reader.copies(id).await?);
            Ok(Some(BakeView { row, settings, attempts, copies }))
        })
    }

    fn history(&self, filter: Filter) -> Answer<'_, Vec<BakeRow>> {
        answer(async move { self.store.reader().history(&filter).await })
    }

    fn images(&self, after: String, limit: u32) -> Answer<'_, ImagesView> {
        answer(async move {
            let reader = self.store.reader();
            let lines = reader.newest_images_after(&after, limit).await?;
            let scan = reader.last_scan().await?.map(|scan| (scan.at, scan.problem));
            Ok(ImagesView { going: reader.going_images(MOST_GOING).await?, lines, scan })
        })
    }
}

fn answer<'a, T: Send + 'a>(read: impl Future<Output = Result<T, StoreError>> + Send + 'a) -> Answer<'a, T> {
    Box::pin(async move { read.await.map_err(SourceError::from) })
}

impl DaemonContext {
    async fn compute_nights(&self) -> Result<[Night; 2], StoreError> {
        let (reader, config, now) = (self.store.reader(), self.config(), self.clock.now());
        let zone = main_zone(config.schedules.iter().map(|schedule| &**schedule));
        let recorded = reader.recorded_between(night::needed_from(zone, now), now, MOST_BAKES).await?;
        let pauses = reader.pauses().await?;
        let is_paused = |schedule: &Schedule| {
            schedule.paused || pauses.get(&schedule.id).is_some_and(|pause| pause.is_in_force(now))
        };
        let schedules = config.schedules.iter().filter(|schedule| !is_paused(schedule)).cloned().collect();
        let builders = Builders {
            all: config.daemon.max_builders as usize,
            per_region: config.daemon.max_builders_per_region as usize,
        };
        let facts = Facts { recorded, schedules, durations: reader.durations().await?, builders };
        Ok(night::nights(&facts, zone, now))
    }

    async fn read_details(&self, schedules: &[Arc<Schedule>]) -> Result<Details, StoreError> {
        let reader = self.store.reader();
        let (mut targets, mut lines): (Vec<(ScheduleId, InstanceId)>, Vec<LineId>) = (Vec::new(), Vec::new());
        for schedule in schedules {
            for instance in schedule.instances.as_slice() {
                targets.push((schedule.id.clone(), instance.clone()));
                lines.push(schedule.line(instance));
            }
        }
        let slots = u32::try_from(SLOTS).unwrap_or(u32::MAX);
        let mut rows: HashMap<String, Vec<BakeRow>> = HashMap::new();
        for row in reader.last_bakes(&targets, slots).await? {
            rows.entry(row.schedule_id.clone()).or_default().push(row);
        }
        let images = reader.newest_images(&lines).await?;
        Ok(Details { rows, images: images.into_iter().map(|image| (image.line.clone(), image)).collect() })
    }

    async fn read_schedule(&self, schedule: Arc<Schedule>) -> Result<ScheduleView, StoreError> {
        let (reader, config, now) = (self.store.reader(), self.config(), self.clock.now());
        let details = self.read_details(std::slice::from_ref(&schedule)).await?;
        let lines: Vec<LineId> = schedule.instances.as_slice().iter().map(|one| schedule.line(one)).collect();
        let judged = judgement_of(reader, &config, &lines, now).await?;
        let mut judged: HashMap<_, Judged> =
            judged.images.into_iter().map(|image| (image.image_id.clone(), image)).collect();
        let mut rows = reader.present_images(Some(&lines)).await?;
        rows.sort_by_key(|row| (row.image.line.clone(), std::cmp::Reverse(row.image.version)));
        let ids: Vec<_> = rows.iter().map(|row| &row.image.image_id).collect();
        let replicas = reader.copies_of_images(&ids).await?;
        let since = calendar::needed_from(schedule.timing.zone(), now);
        let recorded = reader.recorded_of(&schedule.id, since, MOST_BAKES).await?;
        let images = rows
            .into_iter()
            .map(|row| {
                let next = judged.remove(&row.image.image_id);
                (row, next)
            })
            .collect();
        Ok(ScheduleView { schedule, details, images, replicas, recorded })
    }
}
