//! The columns of an image, as they are read one by one and as a JSON list.

use std::borrow::Cow;

use serde::Deserialize;

use super::{ImageRow, instant};
use crate::domain::{
    ids::{BakeId, LineId},
    image::{DeletionState, LineImage, ObservedState, Pin, brake::MarkKind},
};

/// Columns of an image. A JSON list has them in this order.
#[derive(Debug, Deserialize)]
pub(super) struct ImageColumns<'a> {
    #[serde(borrow)]
    pub(super) image_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) schedule_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) schedule: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) instance_id: Cow<'a, str>,
    pub(super) bake_id: Option<i64>,
    pub(super) version: i64,
    pub(super) version_id: Option<String>,
    #[serde(borrow)]
    pub(super) image_name: Cow<'a, str>,
    pub(super) slot: i64,
    pub(super) available_at: i64,
    #[serde(borrow)]
    pub(super) deletion_state: Cow<'a, str>,
    pub(super) rule: Option<String>,
    pub(super) marked_at: Option<i64>,
    pub(super) delete_after: Option<i64>,
    pub(super) tries: i64,
    pub(super) refused: Option<String>,
    pub(super) deleted_at: Option<i64>,
    pub(super) available: i64,
    pub(super) ours: i64,
    /// `None`: nobody.
    pub(super) used_by: Option<Vec<String>>,
    pub(super) missing_since: Option<i64>,
    pub(super) verify: Option<String>,
    pub(super) sent_at: Option<i64>,
    pub(super) judged: i64,
    pub(super) brake: Option<String>,
    pub(super) of_slot: i64,
    /// End, reason, who.
    pub(super) pin: Option<(Option<i64>, String, String)>,
    pub(super) veto: Option<String>,
    /// `None`: none.
    pub(super) channels: Option<Vec<String>>,
    /// `None`: nowhere.
    pub(super) copied_to: Option<Vec<String>>,
}

impl ImageColumns<'_> {
    /// The row of an image of this line.
    pub(super) fn into_row(self, line: LineId) -> ImageRow {
        let deletion = self.deletion();
        let pin = self.pin.map(|(until, reason, who)| Pin { until: until.map(instant), reason, who });
        ImageRow {
            image: LineImage {
                image_id: self.image_id.as_ref().into(),
                line,
                version: u32::try_from(self.version).unwrap_or(u32::MAX),
                name: self.image_name.into_owned(),
                slot: instant(self.slot),
                available_at: instant(self.available_at),
                deletion,
                seen: ObservedState {
                    available: self.available == 1,
                    ours: self.ours == 1,
                    used_by: self.used_by.unwrap_or_default(),
                    missing_since: self.missing_since.map(instant),
                },
                pin,
                channels: self.channels.unwrap_or_default(),
                copied_to: self.copied_to.unwrap_or_default(),
                veto: self.veto,
                unchecked: self.verify.as_deref() == Some("due"),
            },
            schedule_id: self.schedule_id.into_owned(),
            schedule: self.schedule.into_owned(),
            instance_id: self.instance_id.into_owned(),
            bake: self.bake_id.map(BakeId),
            version_id: self.version_id,
            verify: self.verify,
            judged: self.judged == 1,
            of_slot: self.of_slot == 1,
            mark: MarkKind::parse(self.brake.as_deref()),
        }
    }

    fn deletion(&self) -> DeletionState {
        let (rule, refused) = (|| self.rule.clone().unwrap_or_default(), || self.refused.clone());
        let tries = u32::try_from(self.tries).unwrap_or(u32::MAX);
        let at = |column: Option<i64>| instant(column.unwrap_or_default());
        match self.deletion_state.as_ref() {
            "refused" => DeletionState::Refused { why: refused().unwrap_or_default() },
            "marked" => DeletionState::Marked {
                since: at(self.marked_at),
                delete_after: at(self.delete_after),
                rule: rule(),
                tries,
                last_error: refused(),
            },
            "deleting" => DeletionState::Deleting {
                rule: rule(),
                tries,
                sent_at: at(self.sent_at.or(self.marked_at)),
                next: at(self.delete_after),
            },
            "deleted" => DeletionState::Deleted { at: at(self.deleted_at) },
            _ => DeletionState::Kept,
        }
    }
}
