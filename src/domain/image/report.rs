//! What a pass of retention found and what follows, image by image: the answer to `prune`, and part of `plan`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    brake::Brake,
    failed::FailedAction,
    judge::{Action, RetentionDecision},
};
use crate::domain::ids::{BakeId, ImageId, LineId};

/// All images that were judged, line by line, newest version first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionReport {
    /// Why the cloud could not be looked at as a whole; nothing is deleted then.
    pub problem: Option<String>,
    /// What is not deleted before a person has confirmed it.
    #[serde(default)]
    pub brakes: Vec<Brake>,
    /// The images.
    pub images: Vec<Judged>,
    /// Images that the cloud lists as CREATE_FAILED.
    #[serde(default)]
    pub failed: Vec<JudgedFailed>,
}

/// A CREATE_FAILED image and what follows.
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
    /// The bake that it belongs to; `None`: the history does not know it.
    pub bake: Option<BakeId>,
    /// What follows.
    #[serde(flatten)]
    pub action: FailedAction,
}

/// An image, its verdict, and what follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The image.
    pub image_id: ImageId,
    /// Its name.
    pub image_name: String,
    /// Its line.
    pub line: LineId,
    /// The schedule's name; `None` where the file does not have the line.
    pub schedule: Option<String>,
    /// Its version.
    pub version: u32,
    /// Its slot.
    pub slot: DateTime<Utc>,
    /// What follows.
    #[serde(flatten)]
    pub action: Action,
    /// Why.
    #[serde(flatten)]
    pub verdict: RetentionDecision,
}

impl Judged {
    /// Why, in words.
    pub fn reasons(&self) -> String {
        match &self.verdict {
            RetentionDecision::Stays { why } | RetentionDecision::Blocked { why, .. } => {
                why.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            }
            RetentionDecision::Goes { rule } => format!("not wanted by {rule}"),
        }
    }
}

/// What became of an image that was to be adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The image.
    pub image_id: ImageId,
    /// Its name.
    pub image_name: String,
    /// Its line now.
    pub line: LineId,
    /// The line that it leaves.
    #[serde(default)]
    pub from: Option<LineId>,
    /// Its version there.
    pub version: Option<u32>,
    /// Whether it carries our tag: rules count and delete only such images.
    pub ours: bool,
    /// Why it was not adopted; `None`: it was, or would be.
    pub obstacle: Option<String>,
}
