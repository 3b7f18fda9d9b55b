//! Report of a retention pass, image by image: the response to `prune`, and part of `plan`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    brake::Brake,
    failed::FailedAction,
    judge::{Action, RetentionDecision},
};
use crate::domain::ids::{BakeId, ImageId, LineId};

/// All judged images, line by line, the newest version first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionReport {
    /// Why the last inventory scan was not complete; nothing is deleted then.
    pub problem: Option<String>,
    /// Limits that need a confirmation.
    #[serde(default)]
    pub brakes: Vec<Brake>,
    /// The images.
    pub images: Vec<Judged>,
    /// Images that the cloud lists as CREATE_FAILED.
    #[serde(default)]
    pub failed: Vec<JudgedFailed>,
}

/// A CREATE_FAILED image with its action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedFailed {
    /// The image.
    pub image_id: ImageId,
    /// Its name.
    pub image_name: String,
    /// Its line.
    pub line: LineId,
    /// Its version.
    pub version: Option<u32>,
    /// Its slot.
    pub slot: Option<DateTime<Utc>>,
    /// Bake of the image; `None` if the history has none.
    pub bake: Option<BakeId>,
    /// What happens next.
    #[serde(flatten)]
    pub action: FailedAction,
}

/// An image with its decision and action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The image.
    pub image_id: ImageId,
    /// Its name.
    pub image_name: String,
    /// Its line.
    pub line: LineId,
    /// Name of the schedule; `None` if the configuration does not have the line.
    pub schedule: Option<String>,
    /// Its version.
    pub version: u32,
    /// Its slot.
    pub slot: DateTime<Utc>,
    /// What happens next.
    #[serde(flatten)]
    pub action: Action,
    /// The decision with its reasons.
    #[serde(flatten)]
    pub verdict: RetentionDecision,
}

impl Judged {
    /// The reasons in plain words.
    pub fn reasons(&self) -> String {
        match &self.verdict {
            RetentionDecision::Stays { why } | RetentionDecision::Blocked { why, .. } => {
                why.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            }
            RetentionDecision::Goes { rule } => format!("not wanted by {rule}"),
        }
    }
}

/// Result of the adoption of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The image.
    pub image_id: ImageId,
    /// Its name.
    pub image_name: String,
    /// New line.
    pub line: LineId,
    /// Former line.
    #[serde(default)]
    pub from: Option<LineId>,
    /// Version in the new line.
    pub version: Option<u32>,
    /// Whether it carries the owner's tag: rules count and delete only such images.
    pub ours: bool,
    /// Reason why it was not adopted; `None` if it was, or would be.
    pub obstacle: Option<String>,
}
