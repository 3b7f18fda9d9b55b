//! The port of the page: what it reads, whoever keeps it.

use std::{collections::HashSet, error::Error, future::Future, pin::Pin, sync::Arc};

use chrono::{DateTime, Utc};

use crate::domain::{
    history::{BakeRow, Filter},
    ids::{BakeId, LineId},
    page::{
        night::Night,
        views::{BakeView, Details, ImagesView, ScheduleView},
    },
    schedule::Schedule,
    status::Status,
};

/// Why something cannot be read.
pub type SourceError = Box<dyn Error + Send + Sync>;

/// Future of an answer.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SourceError>> + Send + 'a>>;

/// Data source of the page.
pub trait Source: Send + Sync + 'static {
    /// Current instant.
    fn now(&self) -> DateTime<Utc>;

    /// Whether the engine ticks. Reads memory only, so that it responds whatever else hangs.
    fn is_ticking(&self) -> bool;

    /// The schedules in force, in the order of the file.
    fn schedules(&self) -> Vec<Arc<Schedule>>;

    /// Status of the daemon.
    fn status(&self) -> Answer<'_, Status>;

    /// Those of these lines that have no good image.
    fn lines_without_image(&self, lines: Vec<LineId>) -> Answer<'_, HashSet<LineId>>;

    /// The last night and the coming one.
    fn nights(&self) -> Answer<'_, [Night; 2]>;

    /// Last bakes and newest images of these schedules.
    fn details(&self, schedules: Vec<Arc<Schedule>>) -> Answer<'_, Details>;

    /// All about one schedule.
    fn schedule(&self, schedule: Arc<Schedule>) -> Answer<'_, ScheduleView>;

    /// One bake, if it exists.
    fn bake(&self, id: BakeId) -> Answer<'_, Option<BakeView>>;

    /// A page of the history.
    fn history(&self, filter: Filter) -> Answer<'_, Vec<BakeRow>>;

    /// Images to be deleted, and the newest images of `limit` lines after one.
    fn images(&self, after: String, limit: u32) -> Answer<'_, ImagesView>;
}
