//! Instances of the simulated account, and the changes of their power state.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::sim::codes::SimFailure;

/// The two kinds of instance that images are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceKind {
    /// A cloud desktop (`ecd-…`).
    CloudDesktop,
    /// A workstation (`ws-…`).
    WuyingServer,
}

impl InstanceKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CloudDesktop => "CloudDesktop",
            Self::WuyingServer => "WuyingServer",
        }
    }

    /// The error of the image calls for an instance of this kind that does not exist.
    pub(crate) fn not_found(self) -> SimFailure {
        SimFailure::new(match self {
            Self::CloudDesktop => "DesktopInstance.NotFound",
            Self::WuyingServer => "Instance.NotFound",
        })
    }
}

/// A new instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// `ecd-…` or `ws-…`.
    pub instance_id: String,
    /// What it is.
    pub instance_type: InstanceKind,
    /// `Running` (the default), `Stopped`, or any other permanent status, such as `Expired`.
    #[serde(default = "running")]
    pub status: String,
    /// A workstation's session instance (`p-…`); made from the instance's id where it is absent.
    #[serde(default)]
    pub sub_instance_id: Option<String>,
    /// A workstation's sessions, in place of `sub_instance_id`; there may be none.
    #[serde(default)]
    pub sub_instance_ids: Option<Vec<String>>,
    /// Whether a user is connected while it runs.
    #[serde(default)]
    pub connected: bool,
    /// The image that it was made from, by an id of either service; one of the system's where it is absent.
    #[serde(default)]
    pub image_id: Option<String>,
    /// Desktops: `ManagementFlag`, such as `Migrating`; `NoFlag` where it is absent.
    #[serde(default)]
    pub management_flag: Option<String>,
    /// Desktops: whether it is in maintenance, in which nobody connects.
    #[serde(default)]
    pub maintenance: bool,
    /// The name that lists show for that image; that of the image where it is absent.
    #[serde(default)]
    pub image_name: Option<String>,
    /// A desktop of this pool, which lists leave out by default.
    #[serde(default)]
    pub pool_id: Option<String>,
    /// Listed in this region only; in all where it is absent.
    #[serde(default)]
    pub region: Option<String>,
}

impl InstanceSpec {
    /// One that runs, with defaults for everything else.
    pub fn running(instance_id: &str, instance_type: InstanceKind) -> Self {
        Self {
            instance_id: instance_id.to_owned(),
            instance_type,
            status: running(),
            sub_instance_id: None,
            sub_instance_ids: None,
            connected: false,
            image_id: None,
            management_flag: None,
            maintenance: false,
            image_name: None,
            pool_id: None,
            region: None,
        }
    }
}

fn running() -> String {
    RUNNING.to_owned()
}

pub(super) const RUNNING: &str = "Running";
pub(super) const STOPPED: &str = "Stopped";
pub(super) const DELETED: &str = "Deleted";

/// A desktop or workstation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SimulatedInstance {
    pub(crate) id: String,
    pub(crate) kind: InstanceKind,
    /// Of state files of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub_instance_id: Option<String>,
    #[serde(default)]
    sub_instance_ids: Vec<String>,
    pub(super) status: String,
    /// Future status, and its instant.
    pub(super) turning: Option<(DateTime<Utc>, String)>,
    #[serde(default)]
    connected: bool,
    /// The image, by whichever id it was given; see [`World::shown_image`](super::World::shown_image).
    #[serde(default)]
    pub(crate) image_id: Option<String>,
    #[serde(default)]
    pub(crate) management_flag: Option<String>,
    #[serde(default)]
    pub(crate) maintenance: bool,
    #[serde(default)]
    pub(crate) image_name: Option<String>,
    #[serde(default)]
    pub(crate) pool_id: Option<String>,
    #[serde(default)]
    pub(crate) region: Option<String>,
    pub(crate) since: DateTime<Utc>,
}

impl SimulatedInstance {
    pub(super) fn new(spec: InstanceSpec, now: DateTime<Utc>) -> Self {
        let suffix =
            spec.instance_id.split_once('-').map_or(spec.instance_id.as_str(), |(_, suffix)| suffix).to_owned();
        let sub_instance_ids = match spec.instance_type {
            InstanceKind::CloudDesktop => Vec::new(),
            InstanceKind::WuyingServer => spec
                .sub_instance_ids
                .unwrap_or_else(|| vec![spec.sub_instance_id.unwrap_or_else(|| format!("p-{suffix}"))]),
        };
        let status = capitalised(&spec.status);
        Self {
            id: spec.instance_id,
            kind: spec.instance_type,
            sub_instance_id: None,
            sub_instance_ids,
            status,
            turning: None,
            connected: spec.connected,
            image_id: spec.image_id,
            management_flag: spec.management_flag,
            maintenance: spec.maintenance,
            image_name: spec.image_name,
            pool_id: spec.pool_id,
            region: spec.region,
            since: now,
        }
    }

    /// The sessions of a workstation.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &str> {
        self.sub_instance_id.iter().chain(&self.sub_instance_ids).map(String::as_str)
    }

    pub(super) fn plain_status(&self, now: DateTime<Utc>) -> &str {
        match &self.turning {
            Some((at, next)) if *at <= now => next,
            _ => &self.status,
        }
    }

    /// Whether a user is connected: nobody is unless it runs.
    pub(crate) fn is_connected(&self, now: DateTime<Utc>) -> bool {
        self.connected && self.plain_status(now) == RUNNING
    }

    /// The status as its API spells it: `Running` for desktops, `RUNNING` for workstations.
    pub(crate) fn status(&self, now: DateTime<Utc>) -> String {
        match self.kind {
            InstanceKind::CloudDesktop => self.plain_status(now).to_owned(),
            InstanceKind::WuyingServer => self.plain_status(now).to_ascii_uppercase(),
        }
    }
}

/// `RUNNING` and `running` are `Running`.
pub(super) fn capitalised(status: &str) -> String {
    let mut text = status.to_ascii_lowercase();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// A change of an instance's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PowerAction {
    Start,
    Stop,
    Reboot,
}
