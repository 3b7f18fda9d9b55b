//! Images of the simulated account, their copies in other regions, and their changes over time.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::instance::InstanceKind;
use crate::sim::params::Params;

/// Change of an image by others: one with that id is changed, otherwise one is added as AVAILABLE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageSpec {
    pub(super) image_id: String,
    /// Its id in the desktop service (`m-…`).
    #[serde(default)]
    pub(super) desktop_image_id: Option<String>,
    #[serde(default)]
    pub(super) image_name: Option<String>,
    #[serde(default)]
    pub(super) tags: Option<BTreeMap<String, String>>,
    /// `User`, `Shared` …
    #[serde(default)]
    pub(super) image_type: Option<String>,
    /// `CloudDesktop` or `WuyingServer`.
    #[serde(default)]
    pub(super) product_type: Option<String>,
    /// `YYYY-MM-DD HH:MM:SS`, shown as it is.
    #[serde(default)]
    pub(super) gmt_create: Option<String>,
    /// When it was made; `gmt_create` is that in the cloud's zone, where it is absent.
    #[serde(default)]
    pub(super) created_at: Option<DateTime<Utc>>,
    /// The instance that it was made from.
    #[serde(default)]
    pub(super) instance_id: Option<String>,
    /// It is deleted, or is there again.
    #[serde(default)]
    pub(super) deleted: Option<bool>,
    /// Permanent status in lists: `AVAILABLE`, `CREATING`, `CREATE_FAILED` or any other.
    #[serde(default)]
    pub(super) status: Option<String>,
    /// Permanent status of its copies in other regions, by region; other copies stay as they are.
    #[serde(default)]
    pub(super) copies: BTreeMap<String, String>,
}

pub(super) fn user() -> String {
    "User".to_owned()
}

/// Final status of an image in the making.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) enum ImageFault {
    /// It can be used.
    #[default]
    Available,
    /// It never finishes.
    Stuck,
    /// It disappears from all lists.
    Vanish,
    /// Any other status, such as `CREATE_FAILED`.
    Status(String),
}

impl From<String> for ImageFault {
    fn from(text: String) -> Self {
        match text.as_str() {
            "AVAILABLE" => Self::Available,
            "STUCK" => Self::Stuck,
            "VANISH" => Self::Vanish,
            _ => Self::Status(text),
        }
    }
}

impl Serialize for ImageFault {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(match self {
            Self::Available => "AVAILABLE",
            Self::Stuck => "STUCK",
            Self::Vanish => "VANISH",
            Self::Status(text) => text,
        })
    }
}

/// An image since the acceptance of its create call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SimulatedImage {
    pub(crate) id: String,
    /// Its id in the desktop service (`m-…`), where that is another id.
    #[serde(default)]
    pub(crate) desktop_id: Option<String>,
    pub(crate) version_id: String,
    pub(crate) task_id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) instance_id: String,
    pub(crate) instance_type: InstanceKind,
    pub(crate) product_type: String,
    pub(crate) biz_type: usize,
    pub(crate) tags: BTreeMap<String, String>,
    /// The parameters of the call, as received.
    pub(crate) parameters: Params,
    pub(crate) request_id: String,
    pub(crate) created_at: DateTime<Utc>,
    /// What `GmtCreate` shows instead of `created_at`.
    #[serde(default)]
    pub(super) gmt_create: Option<String>,
    /// When lists start to include it: later than `created_at` only by a fault.
    pub(super) visible_at: DateTime<Utc>,
    /// INIT until then, CREATING after.
    pub(super) begins_at: DateTime<Utc>,
    pub(crate) ready_at: DateTime<Utc>,
    #[serde(alias = "fate")]
    pub(super) fault: ImageFault,
    /// Its instance was switched during its creation.
    pub(super) spoiled: bool,
    pub(super) deleted: bool,
    /// When DeleteImage deleted it; other hands leave no time.
    #[serde(default)]
    pub(crate) deleted_at: Option<DateTime<Utc>>,
    #[serde(default = "user")]
    pub(crate) image_type: String,
    pub(crate) distributions: Vec<SimulatedDistribution>,
}

/// A copy of an image on its way to another region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SimulatedDistribution {
    pub(crate) region: String,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) ready_at: DateTime<Utc>,
    /// Final status; only a fault makes it anything but AVAILABLE.
    #[serde(default, alias = "fate")]
    pub(super) fault: ImageFault,
}

impl SimulatedDistribution {
    /// Status.
    pub(crate) fn status(&self, now: DateTime<Utc>) -> &str {
        match &self.fault {
            _ if now < self.ready_at => "CREATING",
            ImageFault::Available => "AVAILABLE",
            ImageFault::Stuck => "CREATING",
            ImageFault::Vanish => "DELETE",
            ImageFault::Status(text) => text,
        }
    }

    /// Percent done.
    pub(crate) fn progress(&self, now: DateTime<Utc>) -> i64 {
        let whole = (self.ready_at - self.started_at).num_milliseconds();
        let done = now.signed_duration_since(self.started_at).num_milliseconds();
        if done >= whole { 100 } else { (done.max(0) * 100).checked_div(whole).unwrap_or(100) }
    }
}

impl SimulatedImage {
    /// Whether it has this id in either service.
    pub(super) fn has_id(&self, id: &str) -> bool {
        self.id == id || self.desktop_id.as_deref() == Some(id)
    }

    pub(crate) fn status(&self, now: DateTime<Utc>) -> &str {
        if self.deleted {
            "DELETE"
        } else if self.spoiled {
            "CREATE_FAILED"
        } else if now < self.begins_at {
            "INIT"
        } else if now < self.ready_at {
            "CREATING"
        } else {
            match &self.fault {
                ImageFault::Available => "AVAILABLE",
                ImageFault::Stuck => "CREATING",
                ImageFault::Vanish => "VANISHED",
                ImageFault::Status(text) => text,
            }
        }
    }

    /// Instant from which it can be used; `None` if its creation fails.
    pub(crate) fn available_from(&self) -> Option<DateTime<Utc>> {
        (!self.spoiled && self.fault == ImageFault::Available).then_some(self.ready_at)
    }

    /// `GmtCreate`, in a zone so many minutes ahead of UTC.
    pub(crate) fn gmt_create(&self, zone: i32) -> String {
        let shown = self.created_at.checked_add_signed(TimeDelta::minutes(zone.into())).unwrap_or(self.created_at);
        self.gmt_create.clone().unwrap_or_else(|| shown.format("%Y-%m-%d %H:%M:%S").to_string())
    }

    pub(super) fn is_building(&self, now: DateTime<Utc>) -> bool {
        matches!(self.status(now), "INIT" | "CREATING")
    }

    /// Whether the API lists it: it has appeared and has not vanished.
    pub(crate) fn is_visible(&self, now: DateTime<Utc>) -> bool {
        self.visible_at <= now && self.status(now) != "VANISHED"
    }
}

/// An image to make, with the effects of a fault.
#[derive(Debug)]
pub(crate) struct NewImage {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) instance_id: String,
    pub(crate) instance_type: InstanceKind,
    pub(crate) product_type: String,
    pub(crate) biz_type: usize,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) parameters: Params,
    pub(crate) request_id: String,
    pub(crate) fault: ImageFault,
    pub(crate) late: Duration,
}
