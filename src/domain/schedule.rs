//! Schedules: cron rules in a time zone, slots, and the policy for missed slots.
//!
//! A slot is one due instant of a schedule, in UTC. Everything here is a pure function of the rule and its arguments;
//! independent of bakes.
//!
//! ```
//! use imagebaked::domain::{ids::InstanceId, schedule::Instances};
//!
//! let instances = Instances::Many(vec![InstanceId::from("ecd-1"), InstanceId::from("ecd-2")]);
//! assert_eq!(instances.as_slice().len(), 2);
//! ```

use std::{sync::Arc, time::Duration};

use super::{calendar::Timing, catch_up::CatchUp};
use serde::{Deserialize, Serialize};

use super::{
    bake::settings::BakeSettings,
    ids::{InstanceId, LineId, ScheduleId, ScheduleName},
};

/// One validated `[[schedule]]` of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Stable id; key of every history row.
    pub id: ScheduleId,
    /// Name for people.
    pub name: ScheduleName,
    /// The instances to image, at least one, without duplicates.
    pub instances: Instances,
    /// Rules and zone.
    pub timing: Timing,
    /// Policy for missed slots.
    pub catch_up: CatchUp,
    /// Maximum age of a missed slot that is caught up.
    pub catch_up_window: Duration,
    /// What happens if the instance is in use when a slot is due.
    pub overlap: Overlap,
    /// While set, slots are recorded as skipped.
    pub paused: bool,
    /// Maximum age of the newest good image of a line.
    pub max_image_age: Option<Duration>,
    /// Retention rules; `None` keeps all.
    pub keep: Option<Keep>,
    /// Channels besides `latest`.
    pub channels: Vec<Channel>,
    /// Settings of its bakes; shared by schedules with equal settings.
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

    /// The lines of all instances, in their order.
    pub fn lines(&self) -> impl Iterator<Item = LineId> {
        self.instances.as_slice().iter().map(|instance| self.line(instance))
    }

    /// Whether a word that a person types means this schedule: its name or its id.
    pub fn is_called(&self, word: &str) -> bool {
        self.name.as_str() == word || self.id.as_str() == word
    }
}

/// `instance_id` or `instance_ids` of a schedule. They differ in the line's id: a single golden machine can be replaced
/// by another without starting a new line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instances {
    /// `instance_id = "…"`.
    One(InstanceId),
    /// `instance_ids = […]`: one line per instance.
    Many(Vec<InstanceId>),
}

impl Instances {
    /// The instances in the order of the configuration.
    pub fn as_slice(&self) -> &[InstanceId] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// `overlap`: what happens to a slot that is due while its instance is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is recorded as skipped.
    Skip,
    /// It is queued, at most until its deadline.
    Queue,
}

/// The channel that every line has: its newest good image.
pub const LATEST: &str = "latest";

/// One of `channels`: a name that points to one image of the line at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Time that an image must be good, without a veto, before the channel moves to it; `None`: only a person moves it.
    pub after: Option<Duration>,
}

/// `keep`: which images of a line stay. An image that any rule wants is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Number of newest images to keep.
    pub last: u32,
    /// Number of hours, days, weeks, months and years with images of which the newest is kept.
    pub hourly: u32,
    /// See `hourly`.
    pub daily: u32,
    /// See `hourly`.
    pub weekly: u32,
    /// See `hourly`.
    pub monthly: u32,
    /// See `hourly`.
    pub yearly: u32,
    /// Keep all images up to this age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// Minimum number of good images, whatever the rules are; at least 1.
    pub min: u32,
    /// Time between mark and deletion of an image that no rule wants.
    pub grace: Duration,
    /// Time that a CREATE_FAILED image stays; `None`: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Duration>,
}

/// A schedule for tests, each day at 3 in Shanghai, with these instances.
#[cfg(test)]
#[expect(clippy::missing_panics_doc, reason = "for tests alone")]
pub fn example(name: &str, instances: &[&str]) -> Schedule {
    let zone = "Asia/Shanghai".parse().unwrap();
    let many: Vec<InstanceId> = instances.iter().map(|one| (*one).into()).collect();
    Schedule {
        id: name.into(),
        name: name.into(),
        instances: if many.len() == 1 { Instances::One(many[0].clone()) } else { Instances::Many(many) },
        timing: Timing::parse(&["0 3 * * *"], zone, Duration::ZERO, name).unwrap(),
        catch_up: CatchUp::Latest,
        catch_up_window: Duration::from_hours(12),
        overlap: Overlap::Skip,
        paused: false,
        max_image_age: None,
        keep: None,
        channels: Vec::new(),
        settings: Arc::new(super::bake::settings::example()),
    }
}
