//! The data of the page, from the history and the configuration in force.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::{context::DaemonContext, health, image_tasks::prune::judgement_of, schedule_rows::read_facts};
use crate::{
    adapters::{
        store::{BakeRow, Filter, StoreError},
        web::source::{Answer, Source, SourceError, Standing},
    },
    domain::{
        clock::later,
        ids::{BakeId, InstanceId, LineId},
        image::report::Judged,
        page::{
            calendar, main_zone,
            night::{self, Facts, Night},
            views::{BakeView, ImagesView, ScheduleView},
        },
        plan::forecast::Builders,
        schedule::Schedule,
        schedule_rows::RowFacts,
        suggestion::ConfigOption,
    },
};

/// Maximum number of bakes of the last weeks of a schedule, and of open ones.
const MOST_BAKES: u32 = 3_000;
/// Maximum number of bakes of the shown nights that are read one by one. More are counted.
const MOST_LISTED: u32 = 1_000;
/// Maximum number of lines whose durations are read. More lines make columns, for which the median of these is enough.
const MOST_LINES: usize = 1_000;
/// Number of bakes on the page of a schedule.
const LAST_BAKES: u32 = 14;
/// Maximum number of listed deletions.
const MOST_GOING: u32 = 200;

impl Source for DaemonContext {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn config_option(&self) -> ConfigOption {
        ConfigOption::new(&std::path::absolute(&self.config_path).unwrap_or_else(|_| self.config_path.clone()))
    }

    fn is_ticking(&self) -> bool {
        health::is_ticking(&self.engine.borrow())
    }

    fn schedules(&self) -> Vec<Arc<Schedule>> {
        self.config().schedules.clone()
    }

    fn standing(&self) -> Answer<'_, Standing> {
        answer(Self::standing(self, false))
    }

    fn nights(&self) -> Answer<'_, [Night; 2]> {
        answer(self.compute_nights())
    }

    fn row_facts(&self, schedules: Vec<Arc<Schedule>>) -> Answer<'_, RowFacts> {
        answer(async move { read_facts(self.store.reader(), schedules.iter().map(|schedule| &**schedule)).await })
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

/// All lines of these schedules, or every n-th of very many.
fn sampled_lines(schedules: &[Arc<Schedule>]) -> Vec<LineId> {
    let lines: Vec<(&Schedule, &InstanceId)> = schedules
        .iter()
        .flat_map(|schedule| schedule.instances.as_slice().iter().map(|instance| (&**schedule, instance)))
        .collect();
    let step = lines.len().div_ceil(MOST_LINES).max(1);
    lines.into_iter().step_by(step).map(|(schedule, instance)| schedule.line(instance)).collect()
}

impl DaemonContext {
    async fn compute_nights(&self) -> Result<[Night; 2], StoreError> {
        let (reader, config, now) = (self.store.reader(), self.config(), self.clock.now());
        let zone = main_zone(config.schedules.iter().map(|schedule| &**schedule));
        let from = night::needed_from(zone, now);
        let mut recorded = reader.recorded_between(from, now, MOST_LISTED + 1).await?;
        let mut counted = Vec::new();
        if recorded.len() > MOST_LISTED as usize {
            recorded = reader.recorded_open(later(now, Duration::from_millis(1)), MOST_BAKES).await?;
            counted = reader.counted_between(from, now).await?;
        }
        let pauses = reader.pauses().await?;
        let is_paused = |schedule: &Schedule| {
            schedule.paused || pauses.get(&schedule.id).is_some_and(|pause| pause.until.is_none())
        };
        let schedules: Vec<_> = config.schedules.iter().filter(|schedule| !is_paused(schedule)).cloned().collect();
        let durations = reader.durations_of(&sampled_lines(&schedules)).await?;
        let builders = Builders {
            all: config.daemon.max_builders as usize,
            per_region: config.daemon.max_builders_per_region as usize,
        };
        let facts = Facts { recorded, counted, schedules, pauses, durations, builders };
        Ok(night::nights(&facts, zone, now))
    }

    async fn read_schedule(&self, schedule: Arc<Schedule>) -> Result<ScheduleView, StoreError> {
        let (reader, config, now) = (self.store.reader(), self.config(), self.clock.now());
        let lines: Vec<LineId> = schedule.instances.as_slice().iter().map(|one| schedule.line(one)).collect();
        let newest = reader.newest_images(&lines).await?;
        let newest = newest.into_iter().map(|image| (image.line.clone(), image)).collect();
        let last = Filter { schedule: Some(schedule.id.to_string()), limit: LAST_BAKES, ..Filter::default() };
        let bakes = reader.history(&last).await?;
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
        Ok(ScheduleView { schedule, bakes, newest, images, replicas, recorded })
    }
}
