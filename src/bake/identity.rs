//! How an image in the cloud is known to be the one of a slot: by its exact name and by the tags we put on it.
//!
//! The create call has no client token, so this is all there is to tell whether an unclear call made an image.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};

use super::settings::BakeSettings;
use crate::ids::{ImageId, LineId, ScheduleId};

/// Whose image it is: the value is `[daemon] owner`.
pub const TAG_OWNER: &str = "imagebaked:owner";
/// The schedule's stable id.
pub const TAG_SCHEDULE: &str = "imagebaked:schedule";
/// The line's id.
pub const TAG_LINE: &str = "imagebaked:line";
/// The slot, RFC 3339 in UTC.
pub const TAG_SLOT: &str = "imagebaked:slot";
/// The version in the line.
pub const TAG_VERSION: &str = "imagebaked:version";

/// What must agree for an image to be the one of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `[daemon] owner`.
    pub owner: String,
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// The line.
    pub line: LineId,
    /// The slot.
    pub slot: DateTime<Utc>,
    /// The version in the line.
    pub version: u32,
    /// The name, which the template makes unique to the slot.
    pub image_name: String,
}

impl Identity {
    /// The slot as the tag shows it: seconds for a scheduled slot, milliseconds for a manual one.
    pub fn slot_text(&self) -> String {
        self.slot.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }

    /// Every tag of a new image: the operator's own and ours.
    pub fn tags(&self, settings: &BakeSettings) -> BTreeMap<String, String> {
        let mut tags = settings.tags.clone();
        tags.insert(TAG_OWNER.into(), self.owner.clone());
        tags.insert(TAG_SCHEDULE.into(), self.schedule_id.to_string());
        tags.insert(TAG_VERSION.into(), self.version.to_string());
        tags.extend(self.look_up_tags());
        tags
    }

    /// The two tags that find the image of this slot whatever its name.
    pub fn look_up_tags(&self) -> [(String, String); 2] {
        [(TAG_LINE.into(), self.line.to_string()), (TAG_SLOT.into(), self.slot_text())]
    }

    /// Whether `image` is the one of this slot. Tags decide where the listing shows ours; an image that is listed
    /// without them is ours when its name is exactly the one we gave.
    pub fn matches(&self, image: &SeenImage) -> bool {
        let shows = |key: &str, value: &str| image.tags.get(key).map(|shown| shown == value);
        match (shows(TAG_OWNER, &self.owner), shows(TAG_LINE, self.line.as_str()), shows(TAG_SLOT, &self.slot_text())) {
            (None, None, None) => image.name == self.image_name,
            (owner, line, slot) => owner == Some(true) && line == Some(true) && slot == Some(true),
        }
    }

    /// Of several images of this slot the one to follow: a finished one before one being made, then the lower id, so
    /// that every look answers the same.
    pub fn choose(&self, images: Vec<SeenImage>) -> Option<SeenImage> {
        images
            .into_iter()
            .filter(|image| image.status != ImageStatus::Deleted && self.matches(image))
            .min_by(|a, b| (a.status.rank(), &a.image_id).cmp(&(b.status.rank(), &b.image_id)))
    }
}

/// An image as the cloud lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenImage {
    /// Its id.
    pub image_id: ImageId,
    /// Its version (`iv-…`), where shown.
    pub version_id: Option<String>,
    /// Its name.
    pub name: String,
    /// How far it is.
    pub status: ImageStatus,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// How far an image is. The API page of ListImage lists the first four; the sister product adds `DELETE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageStatus {
    /// `INIT` or `CREATING`.
    InProgress,
    /// `AVAILABLE`.
    Available,
    /// `CREATE_FAILED`.
    CreateFailed,
    /// `DELETE`.
    Deleted,
    /// Anything else, as written: tolerated, and taken as still in progress.
    Other(String),
}

impl ImageStatus {
    /// Which of several images of one slot is followed: the lowest.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Available => 0,
            Self::InProgress | Self::Other(_) => 1,
            Self::CreateFailed => 2,
            Self::Deleted => 3,
        }
    }

    /// As shown in the history.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InProgress => "CREATING",
            Self::Available => "AVAILABLE",
            Self::CreateFailed => "CREATE_FAILED",
            Self::Deleted => "DELETE",
            Self::Other(text) => text,
        }
    }

    /// Reads the API's text in any case.
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_uppercase().as_str() {
            "INIT" | "CREATING" => Self::InProgress,
            "AVAILABLE" => Self::Available,
            "CREATE_FAILED" => Self::CreateFailed,
            "DELETE" | "DELETED" => Self::Deleted,
            _ => Self::Other(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, TimeZone};

    use super::*;
    use crate::bake::state::tests::settings;

    fn identity() -> Identity {
        Identity {
            owner: "ops".into(),
            schedule_id: "golden".into(),
            line: "golden/ecd-1".into(),
            slot: Utc.with_ymd_and_hms(2026, 3, 2, 3, 0, 0).single().expect("a real instant"),
            version: 7,
            image_name: "golden-v7".into(),
        }
    }

    /// An image under our name with every tag of ours.
    fn ours(id: &str, status: ImageStatus) -> SeenImage {
        let (name, tags) = ("golden-v7".to_owned(), identity().tags(&settings()));
        SeenImage { image_id: id.into(), version_id: None, name, status, tags }
    }

    fn tagged(change: impl FnOnce(&mut BTreeMap<String, String>)) -> SeenImage {
        let mut image = ours("imgc-1", ImageStatus::Available);
        change(&mut image.tags);
        image
    }

    #[test]
    fn tags_decide_over_the_name() {
        let renamed = SeenImage { name: "renamed".into(), ..ours("imgc-1", ImageStatus::Available) };
        assert!(identity().matches(&renamed));
        for (key, another) in [(TAG_OWNER, "another"), (TAG_LINE, "golden/ecd-2"), (TAG_SLOT, "2026-03-02T03:00:01Z")] {
            let image = tagged(|tags| drop(tags.insert(key.into(), another.into())));
            assert!(!identity().matches(&image), "{key} differs");
        }
    }

    #[test]
    fn some_of_the_tags_are_not_enough() {
        for key in [TAG_OWNER, TAG_LINE, TAG_SLOT] {
            assert!(!identity().matches(&tagged(|tags| drop(tags.remove(key)))), "{key} is not shown");
        }
    }

    #[test]
    fn without_our_tags_the_exact_name_decides() {
        let untagged = tagged(|tags| tags.retain(|key, _| !key.starts_with("imagebaked:")));
        assert!(identity().matches(&untagged));
        for name in ["golden-v70", "golden-v", "Golden-v7", " golden-v7"] {
            assert!(!identity().matches(&SeenImage { name: name.into(), ..untagged.clone() }), "{name}");
        }
    }

    #[test]
    fn an_operators_tag_never_hides_ours() {
        let mut settings = settings();
        settings.tags.insert(TAG_SLOT.into(), "mine".into());
        let tags = identity().tags(&settings);
        assert_eq!(tags[TAG_SLOT], "2026-03-02T03:00:00Z");
        assert_eq!(tags[TAG_VERSION], "7");
        assert_eq!(tags["team"], "desktops");
        assert_eq!(tags.len(), 6);
    }

    #[test]
    fn the_look_up_tags_are_on_the_image() {
        let tags = identity().tags(&settings());
        for (key, value) in identity().look_up_tags() {
            assert_eq!(tags.get(&key), Some(&value));
        }
    }

    #[test]
    fn a_manual_request_is_told_apart_by_its_milliseconds() {
        let mut manual = identity();
        manual.slot += TimeDelta::milliseconds(120);
        assert_eq!(manual.slot_text(), "2026-03-02T03:00:00.120Z");
        assert!(!manual.matches(&ours("imgc-1", ImageStatus::Available)));
    }

    #[test]
    fn of_several_the_furthest_is_chosen_then_the_lower_id_in_any_order() {
        use ImageStatus::{Available, CreateFailed, Deleted, InProgress};
        let mut images = vec![
            ours("imgc-1", Deleted),
            ours("imgc-2", CreateFailed),
            ours("imgc-3", ImageStatus::Other("AUDITING".into())),
            ours("imgc-5", Available),
            ours("imgc-4", Available),
            ours("imgc-6", InProgress),
        ];
        for expected in ["imgc-4", "imgc-5", "imgc-3", "imgc-6", "imgc-2"] {
            let chosen = identity().choose(images.clone()).expect("one of them");
            assert_eq!(chosen.image_id.as_str(), expected);
            images.reverse();
            assert_eq!(identity().choose(images.clone()), Some(chosen.clone()));
            images.retain(|image| image.image_id != chosen.image_id);
        }
        assert_eq!(identity().choose(images), None, "a deleted image is none");
    }

    #[test]
    fn a_status_is_read_in_any_case_and_never_refused() {
        for (text, status) in [
            ("INIT", ImageStatus::InProgress),
            ("creating", ImageStatus::InProgress),
            ("Available", ImageStatus::Available),
            ("CREATE_FAILED", ImageStatus::CreateFailed),
            ("DELETE", ImageStatus::Deleted),
            ("Auditing", ImageStatus::Other("Auditing".into())),
            ("", ImageStatus::Other(String::new())),
        ] {
            assert_eq!(ImageStatus::parse(text), status);
        }
    }
}
