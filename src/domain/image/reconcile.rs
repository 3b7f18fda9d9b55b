//! Comparison of history and cloud: their differences, and rows that image tags can restore.
//!
//! Tags store what the history needs after its loss: line, slot and version. A comparison only adds rows for slots
//! without one, and raises versions. It never leads to a deletion.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::api::identity::{
    ImageStatus, RemoteImage, TAG_LINE, TAG_OWNER, TAG_SCHEDULE, TAG_SLOT, TAG_VERSION,
};
use crate::domain::{
    bake::BakeSettings,
    ids::{BakeId, ImageId, InstanceId, LineId, ScheduleId, ScheduleName},
    schedule::Schedule,
    time::rfc3339,
};

/// A row of the history with its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The row.
    pub bake: BakeId,
    /// The line.
    pub line: LineId,
    /// The slot.
    pub slot: DateTime<Utc>,
    /// Spelling of its state.
    pub state: String,
    /// Whether the bake has ended.
    pub ended: bool,
    /// Whether the row is for a missed slot without a call: an image of that slot replaces it.
    pub missed: bool,
    /// The image, if it has one.
    pub image_id: Option<ImageId>,
}

impl Recorded {
    /// Whether an image of its slot that appears later becomes the row's. A row that was skipped made none, but stays as it
    /// is: somebody else did, such as a second daemon.
    fn takes_image_back(&self) -> bool {
        self.ended && !self.missed
    }
}

/// Content of the owner's tags on an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// The line.
    pub line: LineId,
    /// The slot.
    pub slot: DateTime<Utc>,
    /// The version in the line.
    pub version: u32,
}

impl Tagged {
    /// Parses the tags; `None` unless all are present and valid and the owner is `owner`.
    pub fn read(image: &RemoteImage, owner: &str) -> Option<Self> {
        let tag = |key: &str| image.tags.get(key).map(String::as_str);
        if tag(TAG_OWNER) != Some(owner) {
            return None;
        }
        Some(Self {
            schedule_id: ScheduleId::from(tag(TAG_SCHEDULE)?),
            line: LineId::from(tag(TAG_LINE)?),
            slot: tag(TAG_SLOT)?.parse().ok()?,
            version: tag(TAG_VERSION)?.parse().ok()?,
        })
    }
}

/// Why an image gets no row yet.
const BEING_MADE: &str = "it is still being made; reconcile again later";
/// Reason of rows that were made from tags.
pub const REBUILT: &str = "rebuilt from the image's tags";
/// What images do not carry: a history that is rebuilt from them has none of it.
pub const NOT_IN_TAGS: &str = "rows made from tags have no vetoes, pins, channel assignments and results of checks, and what only \
                               a lost history had is gone: acknowledgements, pauses, failed bakes, the audit";

/// Maximum distance of a tagged version from the last known one of its line.
const FURTHEST_AHEAD: u32 = 1_000;
/// Bound of a tagged version if no version of the line is known.
const VERSION_BOUND: u32 = 1_000_000;

impl Tagged {
    /// Reason why the tags cannot be valid: others can write them too. `last` is the last known version of the line.
    pub fn implausible(&self, last: Option<u32>, now: DateTime<Utc>) -> Option<String> {
        let Self { schedule_id, line, slot, version } = self;
        let own = line.as_str().strip_prefix(schedule_id.as_str());
        if !own.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Some(format!("its line {line} is none of its schedule {schedule_id}"));
        }
        if *slot > now {
            return Some(format!("its slot {} is later than now", rfc3339(*slot)));
        }
        if *slot < DateTime::UNIX_EPOCH {
            return Some(format!("its slot {} is before 1970", rfc3339(*slot)));
        }
        match last.filter(|last| *last > 0) {
            _ if *version == 0 => Some("versions begin at 1".to_owned()),
            Some(last) if *version > last.saturating_add(FURTHEST_AHEAD) => Some(format!(
                "its version {version} is more than {FURTHEST_AHEAD} above the last one of the line, {last}"
            )),
            None if *version >= VERSION_BOUND => {
                Some(format!("its version {version} is not below {VERSION_BOUND}, and none of the line is known"))
            }
            _ => None,
        }
    }

    /// Parses the tags like [`Tagged::read`]; `None` also if they are implausible.
    pub fn read_plausible<S: std::hash::BuildHasher>(
        image: &RemoteImage,
        owner: &str,
        versions: &HashMap<LineId, u32, S>,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let tagged = Self::read(image, owner)?;
        tagged.implausible(versions.get(&tagged.line).copied(), now).is_none().then_some(tagged)
    }
}

/// A difference between history and cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Difference {
    /// An image with the owner's tags that no row has.
    Unrecorded {
        /// The image.
        image_id: ImageId,
        /// Its name.
        image_name: String,
        /// Status of the image.
        status: String,
        /// The line, if tagged.
        line: Option<LineId>,
        /// The slot, if tagged.
        slot: Option<DateTime<Utc>>,
        /// Reason why it gets no row; `None` if it gets one.
        obstacle: Option<String>,
    },
    /// An AVAILABLE image of a slot whose row ended without it, or after its end: it came back.
    Returned {
        /// The row.
        bake: BakeId,
        /// Spelling of the row's state.
        state: String,
        /// The image.
        image_id: ImageId,
        /// Its name.
        image_name: String,
        /// The line.
        line: LineId,
        /// The slot.
        slot: DateTime<Utc>,
    },
    /// A succeeded row whose image is gone.
    Vanished {
        /// The row.
        bake: BakeId,
        /// The image that is gone.
        image_id: ImageId,
    },
    /// Several images of one slot.
    Doubled {
        /// The line.
        line: LineId,
        /// The slot.
        slot: DateTime<Utc>,
        /// The images, by id.
        images: Vec<ImageId>,
        /// The row of the slot, if there is one.
        bake: Option<BakeId>,
    },
    /// A row with an unclear create call.
    Unknown {
        /// The row.
        bake: BakeId,
    },
    /// Images of the line have higher versions than the history.
    VersionBehind {
        /// The line.
        line: LineId,
        /// The history's last version.
        #[serde(rename = "ledger")]
        history: u32,
        /// The highest version on an image.
        cloud: u32,
        /// Whether a schedule of the configuration has the line. One that comes back goes on above its versions.
        #[serde(default = "yes")]
        in_file: bool,
    },
}

/// What a daemon of an earlier version means.
fn yes() -> bool {
    true
}

impl Difference {
    /// Whether the history can be updated; other differences need a person.
    pub fn is_repairable(&self) -> bool {
        match self {
            Self::Unrecorded { obstacle, .. } => obstacle.is_none(),
            Self::Returned { .. } | Self::Unknown { .. } | Self::VersionBehind { .. } => true,
            Self::Vanished { .. } | Self::Doubled { .. } => false,
        }
    }
}

/// A row restored from tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// Name of the schedule; its id if the configuration does not have it.
    pub schedule: ScheduleName,
    /// The instance.
    pub instance_id: InstanceId,
    /// Line, slot and version.
    pub tagged: Tagged,
    /// The image.
    pub image: RemoteImage,
    /// Settings of its schedule, if that checks images: tags do not show whether this one has passed, so it is checked again.
    pub checked_by: Option<Arc<BakeSettings>>,
}

/// An AVAILABLE image whose bake ended without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnedImage {
    /// The row of its slot.
    pub bake: BakeId,
    /// Its version in the line.
    pub version: u32,
    /// Its slot.
    pub slot: DateTime<Utc>,
    /// The image.
    pub image: RemoteImage,
}

/// Result of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What differs.
    pub differences: Vec<Difference>,
    /// Lines with a new last version.
    pub versions: Vec<(LineId, u32)>,
    /// Rows to add.
    pub rows: Vec<Rebuilt>,
    /// Images to list again.
    pub returned: Vec<ReturnedImage>,
    /// Rows whose image is to be searched for now.
    pub unknown: Vec<BakeId>,
    /// Images of this owner that the cloud lists as CREATE_FAILED. They are no difference.
    pub failed: Vec<FailedImage>,
}

/// An image of this owner that the cloud lists as CREATE_FAILED.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedImage {
    /// The image.
    pub image_id: ImageId,
    /// Its name.
    pub image_name: String,
    /// The line, if tagged.
    pub line: Option<LineId>,
    /// The slot, if tagged.
    pub slot: Option<DateTime<Utc>>,
    /// The row of its slot, if there is one.
    pub bake: Option<BakeId>,
}

/// Input from the history.
#[derive(Debug, Clone, Copy)]
pub struct RecordedHistory<'a> {
    /// `[daemon] owner`.
    pub owner: &'a str,
    /// Rows with an image or without an end, and the rows of all slots of `images`.
    pub rows: &'a [Recorded],
    /// Images that the history lists, and those that it deleted a short while ago: the cloud may still list them.
    pub listed: &'a HashSet<ImageId>,
    /// The last version of each line.
    pub versions: &'a HashMap<LineId, u32>,
    /// Schedules of the configuration: they have the instance of a line, the tags do not.
    pub schedules: &'a [Arc<Schedule>],
    /// Current instant: later slots are implausible.
    pub now: DateTime<Utc>,
}

/// An image with all tags of this owner.
type Ours<'a> = (&'a RemoteImage, Tagged);

/// Images of the history.
#[derive(Debug)]
struct KnownImages<'a> {
    /// Those of rows, whatever became of them.
    recorded: HashSet<&'a ImageId>,
    /// Those that are listed, and those of running bakes.
    in_use: HashSet<&'a ImageId>,
}

impl<'a> KnownImages<'a> {
    fn of(history: RecordedHistory<'a>) -> Self {
        let of_rows = |ended: bool| {
            history.rows.iter().filter(move |row| ended || !row.ended).filter_map(|row| row.image_id.as_ref())
        };
        Self { recorded: of_rows(true).collect(), in_use: of_rows(false).chain(history.listed).collect() }
    }

    /// Whether an image is no difference. One that its row has, and that is AVAILABLE, has to be listed as well: a bake
    /// may have given it up, or it counted as deleted, and then it came back.
    fn has(&self, image: &RemoteImage) -> bool {
        self.in_use.contains(&image.image_id)
            || image.status != ImageStatus::Available && self.recorded.contains(&image.image_id)
    }
}

/// Highest plausible version of each line among the images.
fn highest_versions(history: RecordedHistory<'_>, images: &[RemoteImage]) -> BTreeMap<LineId, u32> {
    let plausible = |image| Tagged::read_plausible(image, history.owner, history.versions, history.now);
    let mut highest = BTreeMap::new();
    for tagged in images.iter().filter_map(plausible) {
        let last = highest.entry(tagged.line).or_default();
        *last = tagged.version.max(*last);
    }
    highest
}

/// Compares history and cloud. `images` are all images with the owner's tag and all images of rows, as far as the cloud
/// lists them.
pub fn compare(history: RecordedHistory<'_>, images: &[RemoteImage]) -> Comparison {
    let mut comparison = Comparison::default();
    let known = KnownImages::of(history);
    let row_of: HashMap<(&LineId, DateTime<Utc>), &Recorded> =
        history.rows.iter().map(|row| ((&row.line, row.slot), row)).collect();

    let mut slots: BTreeMap<(LineId, DateTime<Utc>), Vec<Ours<'_>>> = BTreeMap::new();
    for image in images.iter().filter(|image| image.status != ImageStatus::Deleted) {
        match Tagged::read(image, history.owner) {
            Some(tagged) => match tagged.implausible(history.versions.get(&tagged.line).copied(), history.now) {
                None => slots.entry((tagged.line.clone(), tagged.slot)).or_default().push((image, tagged)),
                Some(_) if known.has(image) => {}
                Some(why) => {
                    let obstacle = format!("its tags are not plausible: {why}; check the image in the console");
                    comparison.differences.push(unrecorded(image, Some(&tagged), Some(obstacle)));
                }
            },
            None if image.tags.get(TAG_OWNER).map(String::as_str) == Some(history.owner) && !known.has(image) => {
                let obstacle = "not all of our tags are on it";
                comparison.differences.push(unrecorded(image, None, Some(obstacle.to_owned())));
            }
            None => {}
        }
    }
    for ((line, slot), mut of_slot) in slots {
        of_slot.sort_by_key(|(image, _)| (image.status.rank(), image.image_id.clone()));
        let row = row_of.get(&(&line, slot)).copied();
        comparison.slot(history, row, &known, &of_slot);
        let mut good: Vec<ImageId> = of_slot
            .iter()
            .filter(|(image, _)| image.status != ImageStatus::CreateFailed)
            .map(|(image, _)| image.image_id.clone())
            .collect();
        if good.len() > 1 {
            good.sort();
            let bake = row.map(|row| row.bake);
            comparison.differences.push(Difference::Doubled { line, slot, images: good, bake });
        }
    }

    comparison.failed = failed(history.owner, &row_of, images);

    let there: HashSet<&ImageId> =
        images.iter().filter(|image| image.status != ImageStatus::Deleted).map(|image| &image.image_id).collect();
    for row in history.rows {
        match &row.image_id {
            Some(image_id) if row.state == "succeeded" && !there.contains(image_id) => {
                comparison.differences.push(Difference::Vanished { bake: row.bake, image_id: image_id.clone() });
            }
            _ if row.state == "unknown" => {
                comparison.differences.push(Difference::Unknown { bake: row.bake });
                comparison.unknown.push(row.bake);
            }
            _ => {}
        }
    }
    for behind in versions_behind(history, images) {
        if let Difference::VersionBehind { line, cloud, .. } = &behind {
            comparison.versions.push((line.clone(), *cloud));
        }
        comparison.differences.push(behind);
    }
    comparison
}

/// Lines with images of versions that the history has not given out.
pub(super) fn versions_behind(history: RecordedHistory<'_>, images: &[RemoteImage]) -> Vec<Difference> {
    let known: HashSet<LineId> = history.schedules.iter().flat_map(|schedule| schedule.lines()).collect();
    let behind = highest_versions(history, images).into_iter().filter_map(|(line, cloud)| {
        let last = history.versions.get(&line).copied().unwrap_or_default();
        let in_file = known.contains(&line);
        (last < cloud).then_some(Difference::VersionBehind { line, history: last, cloud, in_file })
    });
    behind.collect()
}

/// CREATE_FAILED images of `owner`, by line and slot.
fn failed(
    owner: &str,
    row_of: &HashMap<(&LineId, DateTime<Utc>), &Recorded>,
    images: &[RemoteImage],
) -> Vec<FailedImage> {
    let is_ours = |image: &&RemoteImage| image.tags.get(TAG_OWNER).map(String::as_str) == Some(owner);
    let mut failed: Vec<FailedImage> = images
        .iter()
        .filter(|image| image.status == ImageStatus::CreateFailed)
        .filter(is_ours)
        .map(|image| {
            let tagged = Tagged::read(image, owner);
            FailedImage {
                image_id: image.image_id.clone(),
                image_name: image.name.clone(),
                bake: tagged.as_ref().and_then(|tagged| row_of.get(&(&tagged.line, tagged.slot))).map(|row| row.bake),
                slot: tagged.as_ref().map(|tagged| tagged.slot),
                line: tagged.map(|tagged| tagged.line),
            }
        })
        .collect();
    failed.sort_by(|a, b| (&a.line, a.slot, &a.image_id).cmp(&(&b.line, b.slot, &b.image_id)));
    failed
}

impl Comparison {
    /// Whether images without a row are still being made: they get a row when they are complete.
    pub fn images_being_made(&self) -> bool {
        self.differences.iter().any(|difference| {
            matches!(difference, Difference::Unrecorded { status, .. }
                if ImageStatus::parse(status) == ImageStatus::InProgress)
        })
    }

    /// An image whose bake ended without it.
    fn take_back(&mut self, row: &Recorded, image: &RemoteImage, tagged: &Tagged) {
        self.differences.push(Difference::Returned {
            bake: row.bake,
            state: row.state.clone(),
            image_id: image.image_id.clone(),
            image_name: image.name.clone(),
            line: tagged.line.clone(),
            slot: tagged.slot,
        });
        self.returned.push(ReturnedImage {
            bake: row.bake,
            version: tagged.version,
            slot: tagged.slot,
            image: image.clone(),
        });
    }

    /// Compares the images of one slot, the best first.
    fn slot(
        &mut self,
        history: RecordedHistory<'_>,
        row: Option<&Recorded>,
        known: &KnownImages<'_>,
        images: &[Ours<'_>],
    ) {
        // The row of a running bake may not have its image yet. Once one image is in use, others are duplicates.
        let is_in_use = images.iter().any(|(image, _)| known.in_use.contains(&image.image_id));
        if is_in_use || row.is_some_and(|row| !row.ended) {
            return;
        }
        for (place, (image, tagged)) in images.iter().enumerate() {
            if known.has(image) {
                continue;
            }
            if let Some(row) = row.filter(|row| place == 0 && row.takes_image_back())
                && image.status == ImageStatus::Available
            {
                self.take_back(row, image, tagged);
                continue;
            }
            let obstacle = match (row, &image.status) {
                // Row and image both report the failure.
                (Some(_), ImageStatus::CreateFailed) => continue,
                (Some(row), ImageStatus::Available) if row.missed && place == 0 => None,
                (Some(_), ImageStatus::InProgress) if place == 0 => Some(BEING_MADE.to_owned()),
                (Some(row), _) => Some(format!("its slot has one, bake {}, {}", row.bake, row.state)),
                (None, _) if place > 0 => Some("another image of its slot is taken".to_owned()),
                (None, ImageStatus::Available | ImageStatus::CreateFailed) => None,
                (None, _) => Some(BEING_MADE.to_owned()),
            };
            let instance = instance_of(tagged, history.schedules);
            let obstacle = match (obstacle, instance) {
                (None, Some((schedule, instance_id))) => {
                    let checks = |schedule: &&Arc<Schedule>| {
                        schedule.id == tagged.schedule_id && !schedule.settings.hooks.verify.is_empty()
                    };
                    let checked_by = history.schedules.iter().find(checks);
                    self.rows.push(Rebuilt {
                        schedule_id: tagged.schedule_id.clone(),
                        schedule,
                        instance_id,
                        tagged: tagged.clone(),
                        image: (*image).clone(),
                        checked_by: checked_by.map(|schedule| Arc::clone(&schedule.settings)),
                    });
                    None
                }
                (None, None) => Some("its schedule is not in the file, so that its instance is not known".to_owned()),
                (obstacle, _) => obstacle,
            };
            self.differences.push(unrecorded(image, Some(tagged), obstacle));
        }
    }
}

fn unrecorded(image: &RemoteImage, tagged: Option<&Tagged>, obstacle: Option<String>) -> Difference {
    Difference::Unrecorded {
        image_id: image.image_id.clone(),
        image_name: image.name.clone(),
        status: image.status.as_str().to_owned(),
        line: tagged.map(|tagged| tagged.line.clone()),
        slot: tagged.map(|tagged| tagged.slot),
        obstacle,
    }
}

/// Schedule name and instance of a line: from the configuration, else from the line's id.
fn instance_of(tagged: &Tagged, schedules: &[Arc<Schedule>]) -> Option<(ScheduleName, InstanceId)> {
    let by_file = schedules.iter().filter(|schedule| schedule.id == tagged.schedule_id).find_map(|schedule| {
        let instance = schedule.instances.as_slice().iter().find(|instance| schedule.line(instance) == tagged.line)?;
        Some((schedule.name.clone(), instance.clone()))
    });
    by_file.or_else(|| {
        let instance = tagged.line.as_str().strip_prefix(tagged.schedule_id.as_str())?.strip_prefix('/')?;
        Some((ScheduleName::from(tagged.schedule_id.as_str()), InstanceId::from(instance)))
    })
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
