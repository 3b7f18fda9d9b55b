//! What each page shows beside the status.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};

use super::night::Recorded;
use crate::domain::{
    history::{AttemptRow, BakeRow, CopyRow, ImageRow, ReplicaRow},
    ids::LineId,
    image::{passes::NextPass, report::Judged},
    schedule::Schedule,
};

/// The newest good image of a line, and the targets of its channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestImage {
    /// The line.
    pub line: LineId,
    /// The image.
    pub image_id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i64,
    /// Its slot.
    pub slot: DateTime<Utc>,
    /// Since when it has been good.
    pub good_at: DateTime<Utc>,
    /// Number of images of the line that are not deleted.
    pub images: i64,
    /// Each channel and the version it points to, `latest` first; none if it is empty.
    pub channels: Vec<(String, Option<i64>)>,
}

/// One schedule.
#[derive(Debug, Clone)]
pub struct ScheduleView {
    /// The schedule.
    pub schedule: Arc<Schedule>,
    /// Its last bakes, the newest first.
    pub bakes: Vec<BakeRow>,
    /// The newest good image of each of its lines that has one.
    pub newest: HashMap<LineId, NewestImage>,
    /// Its images that are not deleted, the newest version first, with what happens to each next.
    pub images: Vec<(ImageRow, Judged)>,
    /// The next retention pass.
    pub next_pass: NextPass,
    /// Copies of each image, by its id.
    pub replicas: HashMap<String, Vec<ReplicaRow>>,
    /// Bakes of the last weeks, the newest first.
    pub recorded: Vec<Recorded>,
}

/// One bake.
#[derive(Debug, Clone)]
pub struct BakeView {
    /// Its row.
    pub row: BakeRow,
    /// Its settings as JSON; `None` for a row that was never to be a bake.
    pub settings: Option<String>,
    /// Its calls.
    pub attempts: Vec<AttemptRow>,
    /// Copies of its image.
    pub copies: Vec<CopyRow>,
}

/// The images of all lines.
#[derive(Debug, Clone)]
pub struct ImagesView {
    /// Images to be deleted, the next one first.
    pub going: Vec<(ImageRow, Judged)>,
    /// Number of further ones.
    pub more_going: usize,
    /// Whether only marked images are among them: there are too many lines to judge all.
    pub only_marked: bool,
    /// The next retention pass.
    pub next_pass: NextPass,
    /// The newest good image of some lines.
    pub lines: Vec<NewestImage>,
    /// Instant of the last inventory scan, and why it was not complete.
    pub scan: Option<(DateTime<Utc>, Option<String>)>,
}
