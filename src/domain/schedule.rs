//! When something is due: cron rules in a time zone, slots, and what becomes of slots that were missed.
//!
//! A slot is one due instant of a schedule, in UTC. Everything here is a pure function of the rule and the
//! instants passed in; independent of bakes.

use std::{sync::Arc, time::Duration};

use super::{calendar::Timing, catch_up::CatchUp};
use serde::{Deserialize, Serialize};

use super::{
    bake::settings::BakeSettings,
    ids::{InstanceId, LineId, ScheduleId, ScheduleName},
};

/// One `[[schedule]]` of the file, validated.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Stable through renames; the key of every history row.
    pub id: ScheduleId,
    /// What people call it.
    pub name: ScheduleName,
    /// The instances to image, at least one, no doubles.
    pub instances: Instances,
    /// When.
    pub timing: Timing,
    /// What becomes of missed slots.
    pub catch_up: CatchUp,
    /// How far back a missed slot may lie to be caught up.
    pub catch_up_window: Duration,
    /// What happens when the instance is still being baked at the next slot.
    pub overlap: Overlap,
    /// Slots are recorded as skipped while this is set.
    pub paused: bool,
    /// The newest good image of a line is overdue when older than this.
    pub max_image_age: Option<Duration>,
    /// Which images are kept; `None` keeps all.
    pub keep: Option<Keep>,
    /// Names under which images of a line can be found, beside `latest`.
    pub channels: Vec<Channel>,
    /// What a bake of this schedule does; shared by schedules with equal settings.
    pub settings: Arc<BakeSettings>,
}

impl Schedule {
    /// The line that images of `instance` belong to.
    pub fn line(&self, instance: &InstanceId) -> LineId {
        match &self.instances {
            Instances::One(_) => LineId::new(self.id.as_str()),
            Instances::Many(_) => LineId::new(format!("{}/{instance}", self.id)),
        }
    }
}

/// `instance_id` or `instance_ids` of a schedule. They differ in the line's id: a single golden machine may be
/// replaced by another without beginning a new line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instances {
    /// `instance_id = "…"`.
    One(InstanceId),
    /// `instance_ids = […]`: one line per instance.
    Many(Vec<InstanceId>),
}

impl Instances {
    /// The instances in the order of the file.
    pub fn as_slice(&self) -> &[InstanceId] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// `overlap`: what a slot does that comes due while its instance is still being baked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is recorded as skipped.
    Skip,
    /// It waits for its turn, no longer than its deadline.
    Queue,
}

/// The channel that every line has: its newest good image.
pub const LATEST: &str = "latest";

/// One of `channels`: a name that stands for one image of the line at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// An image that has been good for so long without a veto takes the name by itself; `None`: only by a person's word.
    pub after: Option<Duration>,
}

/// `keep`: which images of a line stay. The rules are united: an image that any rule selects is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of so many hours, days, weeks, months and years that have one.
    pub hourly: u32,
    /// See `hourly`.
    pub daily: u32,
    /// See `hourly`.
    pub weekly: u32,
    /// See `hourly`.
    pub monthly: u32,
    /// See `hourly`.
    pub yearly: u32,
    /// Everything younger than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// Never fewer than this many good images, whatever the rules are; at least 1.
    pub min: u32,
    /// How long an image that no rule keeps stays marked before it is deleted.
    pub grace: Duration,
    /// How long an image stays that the cloud lists as CREATE_FAILED; `None`: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Duration>,
}
