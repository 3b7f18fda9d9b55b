//! Calls of the API, with the parameters and elements of their documentation: [`images`] are made, listed, deleted and
//! distributed; [`workstations`] and [`desktops`] are listed, stopped and started; [`pools`] and [`groups`] are listed
//! as users of images; [`identity`] returns the owner of the credentials, [`assume_role`] keys of a role.

use serde::{Deserialize, Deserializer};

use super::lenient;

pub mod assume_role;
pub mod desktops;
pub mod groups;
pub mod identity;
pub mod images;
pub mod pools;
pub mod workstations;

pub use self::assume_role::{AssumeRole, AssumedRole, TemporaryKey};
pub use self::desktops::{DescribeDesktops, Desktop, SetDesktopMaintenance, StartDesktops, StopDesktops};
pub use self::groups::{DeliveryGroup, ListAppInstanceGroup};
pub use self::identity::{CallerIdentity, GetCallerIdentity};
pub use self::images::{
    CreateImageByInstance, CreatedImage, DeleteImage, Distribution, Image, ImagePage, ImageStatus, ListImage,
    StartTaskForDistributeImage,
};
pub use self::pools::{
    Bundle, DescribeBundles, DescribeDesktopGroups, DescribeImages, DescribeTemplates, DesktopGroup, DesktopImage,
    Template,
};
pub use self::workstations::{ListWuyingServer, Server, ServerMachine, Session, StartWuyingServer, StopWuyingServer};

/// A response with only a RequestId.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Accepted {}

/// Whether a machine runs. Of workstations only `RUNNING` is documented, so all other words are in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineStatus {
    /// Up.
    Running,
    /// Down.
    Stopped,
    /// Any other word: starting, stopping, rebuilding, expired …
    Other(String),
}

impl MachineStatus {
    /// Spelling of the cloud.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Running => "Running",
            Self::Stopped => "Stopped",
            Self::Other(text) => text,
        }
    }
}

impl Default for MachineStatus {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl<'de> Deserialize<'de> for MachineStatus {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = lenient::text(from)?.unwrap_or_default();
        Ok(match text.to_ascii_uppercase().as_str() {
            "RUNNING" => Self::Running,
            "STOPPED" => Self::Stopped,
            _ => Self::Other(text),
        })
    }
}
