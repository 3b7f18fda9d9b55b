//! Report of a retention pass, image by image: the response to `prune`, and part of `plan`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    brake::Brake,
    failed::FailedAction,
    held::Held,
    judge::{Action, RetentionDecision, Why},
    passes::NextPass,
};
use crate::domain::{
    calendar::zone::Zone,
    ids::{BakeId, ImageId, LineId},
    time::show,
};

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
    /// The pass that carries the actions out; `None` in the report of a pass.
    #[serde(default)]
    pub next_pass: Option<NextPass>,
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
    /// When a pass deletes it at the earliest; `None` if none does as it stands.
    #[serde(default)]
    pub not_before: Option<DateTime<Utc>>,
    /// Why the daemon does not do it.
    #[serde(default)]
    pub held: Option<Held>,
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
    /// When a pass deletes it at the earliest; `None` if none does as it stands.
    #[serde(default)]
    pub not_before: Option<DateTime<Utc>>,
    /// Whether it is vetoed. The rules count it nevertheless.
    #[serde(default)]
    pub vetoed: bool,
    /// Why the daemon does not do it, or not without a person.
    #[serde(default)]
    pub held: Option<Held>,
}

impl JudgedFailed {
    /// What happens next and when, with times in this zone.
    pub fn step(&self, zone: Zone) -> String {
        let at = self.not_before.map(|at| show(at, zone));
        let step = match (&self.action, at) {
            (FailedAction::Wait { .. }, Some(at)) => format!("wait, deleted not before {at}"),
            (FailedAction::Delete, Some(at)) => format!("delete, not before {at}"),
            (action, _) => action.as_str().to_owned(),
        };
        self.held.map_or(step.clone(), |held| format!("{step}, {held}"))
    }
}

impl Judged {
    /// Whether it is deleted, or something only delays that.
    pub fn is_going(&self) -> bool {
        self.verdict.goes() || matches!(self.action, Action::Blocked { .. } | Action::Search)
    }

    /// Whether something is announced of it that depends on the next pass.
    pub fn is_announced(&self) -> bool {
        self.not_before.is_some() || self.held == Some(Held::Observe)
    }

    /// Its place among images to be deleted: what goes first comes first, and what stays comes last.
    pub fn turn(&self) -> (bool, bool, Option<DateTime<Utc>>) {
        (!self.is_going(), self.not_before.is_none(), self.not_before)
    }

    /// What happens next and when, with times in this zone.
    pub fn step(&self, zone: Zone) -> String {
        let word = self.action.as_str();
        let at = self.not_before.map(|at| show(at, zone));
        let step = match (&self.action, at) {
            (Action::Keep, _) if matches!(self.verdict, RetentionDecision::Blocked { .. }) => format!("{word} for now"),
            (Action::Mark { .. }, Some(at)) => format!("{word}, deleted not before {at}"),
            (Action::Wait { .. }, Some(at)) => format!("{word}, in grace until {at}"),
            (Action::Blocked { .. }, Some(at)) => format!("{word}, deleted not before {at}"),
            (Action::Delete, Some(at)) => format!("{word}, not before {at}"),
            _ => word.to_owned(),
        };
        match self.held {
            Some(held) if self.action != Action::NeedsConfirmation => format!("{step}, {held}"),
            _ => step,
        }
    }

    /// Why, with times in this zone: each reason that keeps it or delays its deletion, or the rules that do not want it.
    pub fn reasons(&self, zone: Zone) -> String {
        match &self.verdict {
            RetentionDecision::Stays { why } | RetentionDecision::Blocked { why, .. } => {
                let mut reasons: Vec<String> = why.iter().map(|why| why.describe(zone)).collect();
                if self.vetoed && why.iter().any(|why| matches!(why, Why::Rule(_))) {
                    reasons.push("vetoed images count, too".to_owned());
                }
                reasons.join("; ")
            }
            RetentionDecision::Goes { rule } => format!("not wanted by {rule}"),
        }
    }

    /// Action and decision, without the image.
    pub fn decision(&self) -> Decision<'_> {
        Decision { action: &self.action, verdict: &self.verdict, not_before: self.not_before, held: self.held }
    }

    /// Both in one text.
    pub fn describe(&self, zone: Zone) -> String {
        let step = match &self.action {
            Action::Keep if matches!(self.verdict, RetentionDecision::Stays { .. }) => "kept".to_owned(),
            _ => self.step(zone),
        };
        match self.reasons(zone) {
            reasons if reasons.is_empty() => step,
            reasons => format!("{step}: {reasons}"),
        }
    }
}

/// What retention does with an image, for lists that have the image itself.
#[derive(Debug, Clone, Serialize)]
pub struct Decision<'a> {
    #[serde(flatten)]
    action: &'a Action,
    #[serde(flatten)]
    verdict: &'a RetentionDecision,
    not_before: Option<DateTime<Utc>>,
    held: Option<Held>,
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
