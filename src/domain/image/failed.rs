//! Cleanup of images that the cloud lists as CREATE_FAILED. An image and its policy go in, the action comes out.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Policy;
use crate::domain::ids::{BakeId, ImageId, LineId, ScheduleId};

/// Minimum time between two complete lists that both show an image as CREATE_FAILED.
const APART: TimeDelta = TimeDelta::hours(1);

/// A CREATE_FAILED image with our tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedImage {
    /// The image.
    pub image_id: ImageId,
    /// Its line.
    pub line: LineId,
    /// The line's schedule.
    pub schedule_id: ScheduleId,
    /// Its name.
    pub name: String,
    /// Its version, from its tags or the history.
    pub version: Option<u32>,
    /// Its slot, likewise.
    pub slot: Option<DateTime<Utc>>,
    /// Bake of the image; `None` if the history has none.
    pub bake: Option<BakeId>,
    /// First and last of the consecutive complete lists with the image; `None` before the first.
    pub seen: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Whether a delete call was sent whose result is not known.
    pub is_deleting: bool,
    /// Whether the cloud rejects its deletion.
    pub is_refused: bool,
    /// Delete calls so far.
    pub tries: u32,
    /// Earliest next call after a failed one.
    pub next: Option<DateTime<Utc>>,
    /// Reason why it is not deleted yet.
    pub last_error: Option<String>,
}

/// What to do with a CREATE_FAILED image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum FailedAction {
    /// Nothing.
    Keep {
        /// Why.
        reason: String,
    },
    /// The grace has not passed.
    Wait {
        /// Earliest deletion.
        delete_after: DateTime<Utc>,
    },
    /// Delete now.
    Delete,
    /// The delete call was sent: search for the image.
    Search,
}

impl FailedAction {
    /// Spelling in tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Keep { .. } => "keep",
            Self::Wait { .. } => "wait",
            Self::Delete => "delete",
            Self::Search => "deleting",
        }
    }
}

/// Decides for one image by the policy of its line. `whole`: the last list was complete. `again`: retries images whose
/// deletion the cloud rejected.
pub fn judge(
    image: &FailedImage,
    policy: Option<&Policy>,
    whole: bool,
    again: bool,
    now: DateTime<Utc>,
) -> FailedAction {
    let keep = |reason: &str| FailedAction::Keep { reason: reason.to_owned() };
    if image.is_deleting {
        return FailedAction::Search;
    }
    let Some(rules) = policy.and_then(|policy| policy.keep.as_ref()) else { return keep("no rules") };
    let Some(age) = rules.failed else { return keep("keep.failed is \"never\"") };
    if image.bake.is_none() {
        return keep("the history does not know it");
    }
    if image.is_refused && !again {
        return keep(image.last_error.as_deref().unwrap_or("the cloud will not delete it"));
    }
    let Some((first, last)) = image.seen else { return keep("no whole list has shown it yet") };
    let age = TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX).max(APART);
    let mut due = first.checked_add_signed(age).unwrap_or(DateTime::<Utc>::MAX_UTC);
    if !again {
        due = due.max(image.next.unwrap_or(due));
    }
    if now < due || last - first < APART || !whole {
        return FailedAction::Wait { delete_after: due };
    }
    FailedAction::Delete
}

/// When an image with this action is deleted at the earliest, as it stands; `None` if nothing is planned. The end of its
/// wait prompts no pass of its own: the first pass after it deletes the image. `next_pass` is the next one.
pub fn deleted_from(action: &FailedAction, next_pass: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match action {
        FailedAction::Wait { delete_after } => Some(next_pass.max(*delete_after)),
        FailedAction::Delete => Some(next_pass),
        FailedAction::Keep { .. } | FailedAction::Search => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{image::retention::tests::keep, schedule::Keep};

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    fn image(first: i64, last: i64) -> FailedImage {
        FailedImage {
            image_id: "imgc-1".into(),
            line: "golden".into(),
            schedule_id: "golden".into(),
            name: "golden-v1".into(),
            version: Some(1),
            slot: None,
            bake: Some(BakeId(1)),
            seen: Some((at(first), at(last))),
            is_deleting: false,
            is_refused: false,
            tries: 0,
            next: None,
            last_error: None,
        }
    }

    fn judged(image: &FailedImage, failed: Option<Duration>, now: i64) -> FailedAction {
        let keep = Keep { failed, ..keep() };
        let policy = Policy {
            schedule: "golden".into(),
            zone: crate::domain::calendar::zone::Zone::UTC,
            keep: Some(keep),
            channels: vec![],
        };
        judge(image, Some(&policy), true, false, at(now))
    }

    #[test]
    fn it_goes_when_it_is_old_enough_and_two_lists_an_hour_apart_show_it() {
        let week = Some(Duration::from_hours(24 * 7));
        let due = FailedAction::Wait { delete_after: at(168) };
        assert_eq!(judged(&image(0, 167), week, 167), due);
        assert_eq!(judged(&image(0, 168), week, 168), FailedAction::Delete);
        // One list is never enough, whatever the configuration.
        let soon = Some(Duration::from_secs(1));
        assert_eq!(judged(&image(0, 0), soon, 5), FailedAction::Wait { delete_after: at(1) });
        assert_eq!(judged(&image(0, 1), soon, 1), FailedAction::Delete);
        assert!(matches!(judged(&image(0, 999), None, 999), FailedAction::Keep { .. }));
    }

    #[test]
    fn what_the_history_does_not_know_stays() {
        let soon = Some(Duration::from_secs(1));
        let strange = FailedImage { bake: None, ..image(0, 9) };
        assert!(matches!(judged(&strange, soon, 9), FailedAction::Keep { .. }));
        assert!(matches!(judge(&image(0, 9), None, true, false, at(9)), FailedAction::Keep { .. }));
        let unseen = FailedImage { seen: None, ..image(0, 9) };
        assert!(matches!(judged(&unseen, soon, 9), FailedAction::Keep { .. }));
        let sent = FailedImage { is_deleting: true, ..image(0, 9) };
        assert_eq!(judged(&sent, soon, 9), FailedAction::Search);
        let later = FailedImage { next: Some(at(12)), ..image(0, 9) };
        assert_eq!(judged(&later, soon, 9), FailedAction::Wait { delete_after: at(12) });
    }
}
