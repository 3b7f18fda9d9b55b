//! The port of the page: what it reads, whoever keeps it.

use std::{error::Error, future::Future, pin::Pin, sync::Arc};

use chrono::{DateTime, Utc};

use crate::domain::{
    history::{BakeRow, Filter},
    ids::BakeId,
    page::{
        night::Night,
        views::{BakeView, ImagesView, ScheduleView},
    },
    schedule::Schedule,
    schedule_rows::{RowFacts, order::Entry},
    status::Status,
    suggestion::ConfigOption,
};

/// Why something cannot be read.
pub type SourceError = Box<dyn Error + Send + Sync>;

/// Future of an answer.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SourceError>> + Send + 'a>>;

/// What all pages begin with.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Status of the daemon.
    pub status: Status,
    /// All schedules in force, in their order.
    pub order: Vec<Entry>,
}

/// Data source of the page.
pub trait Source: Send + Sync + 'static {
    /// Current instant.
    fn now(&self) -> DateTime<Utc>;

    /// What finds this daemon, for the commands that the page suggests.
    fn config_option(&self) -> ConfigOption;

    /// Whether the engine ticks. Reads memory only, so that it responds whatever else hangs.
    fn is_ticking(&self) -> bool;

    /// The schedules in force, in the order of the file.
    fn schedules(&self) -> Vec<Arc<Schedule>>;

    /// Status of the daemon, and the schedules in their order.
    fn standing(&self) -> Answer<'_, Standing>;

    /// The last night and the coming or current one.
    fn nights(&self) -> Answer<'_, [Night; 2]>;

    /// What the history has of these schedules for their rows.
    fn row_facts(&self, schedules: Vec<Arc<Schedule>>) -> Answer<'_, RowFacts>;

    /// All about one schedule.
    fn schedule(&self, schedule: Arc<Schedule>) -> Answer<'_, ScheduleView>;

    /// One bake, if it exists.
    fn bake(&self, id: BakeId) -> Answer<'_, Option<BakeView>>;

    /// A page of the history.
    fn history(&self, filter: Filter) -> Answer<'_, Vec<BakeRow>>;

    /// Images to be deleted, and the newest images of `limit` lines after one.
    fn images(&self, after: String, limit: u32) -> Answer<'_, ImagesView>;
}
