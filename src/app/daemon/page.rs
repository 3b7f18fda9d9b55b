//! The data of the page, from the history and the configuration in force.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::{
    context::DaemonContext,
    health,
    image_tasks::judging::{Judge, lines_to_judge},
    schedule_rows::read_facts,
};
use crate::{
    adapters::{
        store::{BakeRow, Filter, ImageRow, StoreError},
        web::source::{Answer, Source, SourceError, Standing},
    },
    domain::{
        clock::later,
        ids::{BakeId, InstanceId, LineId},
        image::DeletionState,
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
/// Maximum number of lines whose durations are read, and whose images are judged. More lines make columns, for which the
/// median of these is enough.
const MOST_LINES: usize = 1_000;
/// Number of bakes on the page of a schedule.
const LAST_BAKES: u32 = 14;
/// Maximum number of listed deletions.
const MOST_GOING: usize = 200;

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
        answer(self.read_images(after, limit))
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
        let observes = self.cloud.mode().is_observe();
        let facts = Facts { recorded, counted, schedules, pauses, durations, builders, observes };
        Ok(night::nights(&facts, zone, now))
    }

    async fn read_schedule(&self, schedule: Arc<Schedule>) -> Result<ScheduleView, StoreError> {
        let (reader, config, now) = (self.store.reader(), self.config(), self.clock.now());
        let lines: Vec<LineId> = schedule.lines().collect();
        let newest = reader.newest_images(&lines).await?;
        let newest = newest.into_iter().map(|image| (image.line.clone(), image)).collect();
        let last = Filter { schedule: Some(schedule.id.to_string()), limit: LAST_BAKES, ..Filter::default() };
        let bakes = reader.history(&last).await?;
        let next_pass = self.next_pass().await?;
        let rows = reader.present_images(Some(&lines)).await?;
        let images = Judge::of_some(reader, &config, (now, next_pass)).await?.some(reader, rows, next_pass).await?;
        let ids: Vec<_> = images.iter().map(|(row, _)| &row.image.image_id).collect();
        let replicas = reader.copies_of_images(&ids).await?;
        let since = calendar::needed_from(schedule.timing.zone(), now);
        let recorded = reader.recorded_of(&schedule.id, since, MOST_BAKES).await?;
        Ok(ScheduleView { schedule, bakes, newest, images, next_pass, replicas, recorded })
    }

    async fn read_images(&self, after: String, limit: u32) -> Result<ImagesView, StoreError> {
        let (reader, config, now) = (self.store.reader(), self.config(), self.clock.now());
        let next_pass = self.next_pass().await?;
        let mut judged_lines = lines_to_judge(reader, &config).await?;
        let only_marked = judged_lines.len() > MOST_LINES;
        if only_marked {
            let marked = reader.going_images(u32::try_from(MOST_GOING).unwrap_or(u32::MAX)).await?;
            judged_lines = marked.into_iter().map(|row| row.image.line).collect();
            judged_lines.dedup();
        }
        let rows = reader.present_images(Some(&judged_lines)).await?;
        let mut going = Judge::of_some(reader, &config, (now, next_pass)).await?.some(reader, rows, next_pass).await?;
        let is_marked = |row: &ImageRow| row.image.deletion != DeletionState::Kept;
        going.retain(|(row, judged)| judged.is_going() && (!only_marked || is_marked(row)));
        going.sort_by_key(|(_, judged)| judged.not_before.unwrap_or(now));
        let more_going = going.len().saturating_sub(MOST_GOING);
        going.truncate(MOST_GOING);
        let lines = reader.newest_images_after(&after, limit).await?;
        let scan = reader.last_scan().await?.map(|scan| (scan.at, scan.problem));
        Ok(ImagesView { going, more_going, only_marked, next_pass, lines, scan })
    }
}
