//! Identity of images: whether an image in the cloud belongs to a slot. Tags decide; without any of them the exact name
//! and an appearance after the create call do.
//!
//! The create call has no client token, so only this shows whether an unclear call made an image. Others can use the
//! same names: an image of undecided owner is not ours.
//! image whose owner cannot be decided is not ours.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::gmt_offset::GmtOffset;
use crate::domain::{
    ids::{ImageId, LineId, ScheduleId},
    text::{UNREADABLE, may_be},
};

/// Owner: the value is `[daemon] owner`.
pub const TAG_OWNER: &str = "imagebaked:owner";
/// The schedule's stable id.
pub const TAG_SCHEDULE: &str = "imagebaked:schedule";
/// The line's id.
pub const TAG_LINE: &str = "imagebaked:line";
/// The slot, RFC 3339 in UTC.
pub const TAG_SLOT: &str = "imagebaked:slot";
/// The version in the line.
pub const TAG_VERSION: &str = "imagebaked:version";

/// All tags of ours. An image without any of them may still be ours: some lists omit tags.
const OUR_TAGS: [&str; 5] = [TAG_OWNER, TAG_SCHEDULE, TAG_LINE, TAG_SLOT, TAG_VERSION];

/// An untagged image made this long before the create call does not belong to it. Clocks agree within this bound.
const BEFORE_THE_CALL: TimeDelta = TimeDelta::seconds(60);

/// What an image of a slot must match.
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
    /// Name, which is unique to the slot by its template.
    pub image_name: String,
    /// Evidence for images without tags.
    pub evidence: Evidence,
    /// Zone of `GmtCreate`, once it is known.
    pub gmt_offset: Option<GmtOffset>,
}

/// Evidence of a bake for images without tags, and the images it has given up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Ids of all images that had the name before the first create call under it; `None` without a complete list from
    /// before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Vec<ImageId>>,
    /// Instant of the first create call under the name that may have made an image, by the cloud's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_sent: Option<DateTime<Utc>>,
    /// Whether all answered create calls under the name were rejected: the cloud has nothing of them, and a complete
    /// list counts as taken before the first call. `false` in rows of older versions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_refused: bool,
    /// Evidence of former names whose create call may have made an image. At most one per attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierName>,
    /// Images that this bake has given up: searches ignore them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<ImageId>,
}

impl Evidence {
    /// Whether there is no evidence.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the cloud has nothing of this bake under its name: no create call was sent, or all were rejected.
    pub fn nothing_made(&self) -> bool {
        self.first_sent.is_none() || self.all_refused
    }
}

/// A former name of a bake, under which the cloud may have made its image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierName {
    /// The version in the line.
    pub version: u32,
    /// The name.
    pub image_name: String,
    /// See [`Evidence`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Vec<ImageId>>,
    /// See [`Evidence`].
    pub first_sent: DateTime<Utc>,
}

/// Other images with the name of a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenName {
    /// Images of others.
    pub by_others: Vec<ImageId>,
    /// Images of the same owner for other slots.
    pub by_own: Vec<ImageId>,
}

impl TakenName {
    /// All of them.
    pub fn ids(&self) -> impl Iterator<Item = &ImageId> {
        self.by_others.iter().chain(&self.by_own)
    }
}

impl Identity {
    /// The slot as in the tag: seconds for a scheduled slot, milliseconds for a manual one.
    pub fn slot_text(&self) -> String {
        self.slot.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }

    /// All tags of a new image: the operator's and ours.
    pub fn tags(&self, of_schedule: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut tags = of_schedule.clone();
        tags.insert(TAG_OWNER.into(), self.owner.clone());
        tags.insert(TAG_SCHEDULE.into(), self.schedule_id.to_string());
        tags.insert(TAG_VERSION.into(), self.version.to_string());
        tags.extend(self.look_up_tags());
        tags
    }

    /// The two tags that find the image of this slot under any name.
    pub fn look_up_tags(&self) -> [(String, String); 2] {
        [(TAG_LINE.into(), self.line.to_string()), (TAG_SLOT.into(), self.slot_text())]
    }

    /// Whether `image` belongs to this slot. If any of our tags is listed, tags decide, whatever its age and name.
    pub fn matches(&self, image: &RemoteImage) -> bool {
        if self.evidence.given_up.contains(&image.image_id) {
            return false;
        }
        self.tags_match(image).unwrap_or_else(|| self.is_ours_by_name(image))
    }

    /// Result by tags; `None` if the image has none of ours.
    fn tags_match(&self, image: &RemoteImage) -> Option<bool> {
        if !OUR_TAGS.iter().any(|key| image.tags.contains_key(*key)) {
            return None;
        }
        let shows = |key: &str, value: &str| image.tags.get(key).is_some_and(|shown| shown == value);
        let of_slot = shows(TAG_LINE, self.line.as_str()) && shows(TAG_SLOT, &self.slot_text());
        Some(of_slot && shows(TAG_OWNER, &self.owner))
    }

    /// An untagged image is ours only if it appeared after our create call.
    fn is_ours_by_name(&self, image: &RemoteImage) -> bool {
        if !image.is_of_user() {
            return false;
        }
        let Evidence { baseline, first_sent, earlier, .. } = &self.evidence;
        let present = first_sent.filter(|_| !self.evidence.nothing_made() && image.name == self.image_name);
        let before = earlier.iter().filter(|earlier| image.name == earlier.image_name);
        let mut sent = before.map(|earlier| (&earlier.baseline, earlier.first_sent));
        sent.any(|(baseline, sent)| self.appeared_since(image, baseline.as_deref(), sent) == Some(true))
            || present.is_some_and(|sent| self.appeared_since(image, baseline.as_deref(), sent) == Some(true))
    }

    /// Whether an image appeared after our first create call; `None` if undecided.
    fn appeared_since(
        &self,
        image: &RemoteImage,
        baseline: Option<&[ImageId]>,
        first_sent: DateTime<Utc>,
    ) -> Option<bool> {
        if let Some(baseline) = baseline {
            return Some(!baseline.contains(&image.image_id));
        }
        Some(self.gmt_offset?.instant(image.made_at?) >= earliest(first_sent))
    }

    /// Whether the image in a response cannot belong to this slot: a create call may return the id of another image.
    pub fn contradicts(&self, image: &RemoteImage) -> bool {
        if let Some(matches) = self.tags_match(image) {
            return !matches;
        }
        let has_other_name = !image.name.is_empty() && image.name != self.image_name;
        let baseline = self.evidence.baseline.as_deref();
        let is_older =
            || self.evidence.first_sent.and_then(|sent| self.appeared_since(image, baseline, sent)) == Some(false);
        has_other_name || image.kind.is_some() && !image.is_of_user() || is_older()
    }

    /// The image to follow among several of this slot: a complete one before one being made, then one by its tags, then
    /// the lower id, so that every search returns the same.
    pub fn choose(&self, images: Vec<RemoteImage>) -> Option<RemoteImage> {
        let key = |image: &RemoteImage| (image.status.rank(), self.tags_match(image).is_none(), image.image_id.clone());
        images
            .into_iter()
            .filter(|image| image.status != ImageStatus::Deleted && self.matches(image))
            .min_by(|a, b| key(a).cmp(&key(b)))
    }

    /// An image that may belong to this slot, of whose name or tags a part could not be read; none if another one does.
    pub fn unreadable_candidate<'a>(&self, images: &'a [RemoteImage]) -> Option<&'a RemoteImage> {
        if self.is_tagged(images) {
            return None;
        }
        let names: Vec<&str> = self.evidence.earlier.iter().map(|earlier| earlier.image_name.as_str()).collect();
        let may_be_named = |image: &RemoteImage| {
            may_be(&image.name, &self.image_name) || names.iter().any(|name| may_be(&image.name, name))
        };
        images.iter().find(|image| {
            let has_damaged_tag =
                image.tags.iter().any(|(key, value)| [key, value].iter().any(|it| it.contains(UNREADABLE)));
            let is_of_slot = image.tags.get(TAG_SLOT).is_some_and(|slot| *slot == self.slot_text());
            let is_damaged = has_damaged_tag && is_of_slot
                || (has_damaged_tag || image.name.contains(UNREADABLE)) && may_be_named(image);
            is_damaged && image.status != ImageStatus::Deleted && !self.evidence.given_up.contains(&image.image_id)
        })
    }

    /// Whether one of `images` is identified by tags: no further list is needed.
    pub fn is_tagged(&self, images: &[RemoteImage]) -> bool {
        images.iter().any(|image| image.status != ImageStatus::Deleted && self.tags_match(image) == Some(true))
    }

    /// Images of a complete list that have the name and do not belong to this slot; `None` if there are none.
    pub fn taken_name(&self, images: &[RemoteImage]) -> Option<TakenName> {
        let mut taken = TakenName::default();
        for image in images {
            let is_named = image.name == self.image_name && image.status != ImageStatus::Deleted;
            if !is_named || self.matches(image) || self.evidence.given_up.contains(&image.image_id) {
                continue;
            }
            let is_own = image.tags.get(TAG_OWNER).is_some_and(|owner| *owner == self.owner);
            let carriers = if is_own { &mut taken.by_own } else { &mut taken.by_others };
            carriers.push(image.image_id.clone());
        }
        (taken != TakenName::default()).then_some(taken)
    }
}

fn earliest(first_sent: DateTime<Utc>) -> DateTime<Utc> {
    first_sent.checked_sub_signed(BEFORE_THE_CALL).unwrap_or(first_sent)
}

/// An image as the cloud lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteImage {
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
    /// `ImageType`: `User`, `Shared`, `System` or `Community`, where shown.
    pub kind: Option<String>,
    /// `GmtCreate`, in the zone of [`super::gmt_offset`].
    pub made_at: Option<NaiveDateTime>,
}

impl RemoteImage {
    /// Whether it was made in this account: images of the cloud and of other accounts are not ours.
    pub fn is_of_user(&self) -> bool {
        self.kind.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("user"))
    }
}

/// Status of an image. The API page of ListImage lists the first four; the sister product adds `DELETE`.
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
    /// Any other status, as written: treated as in progress.
    Other(String),
}

impl ImageStatus {
    /// Order among several images of one slot: the lowest is followed.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Available => 0,
            Self::InProgress | Self::Other(_) => 1,
            Self::CreateFailed => 2,
            Self::Deleted => 3,
        }
    }

    /// Spelling in the history.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InProgress => "CREATING",
            Self::Available => "AVAILABLE",
            Self::CreateFailed => "CREATE_FAILED",
            Self::Deleted => "DELETE",
            Self::Other(text) => text,
        }
    }

    /// Parses the API's text, in any case.
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
    use crate::domain::bake::transition::tests::settings;

    fn identity() -> Identity {
        Identity {
            owner: "ops".into(),
            schedule_id: "golden".into(),
            line: "golden/ecd-1".into(),
            slot: Utc.with_ymd_and_hms(2026, 3, 2, 3, 0, 0).single().expect("a real instant"),
            version: 7,
            image_name: "golden-v7".into(),
            evidence: Evidence::default(),
            gmt_offset: None,
        }
    }

    const SENT: &str = "2026-03-02T03:00:05Z";

    /// A create call was sent at [`SENT`], after a list with these images.
    fn sent(baseline: Option<&[&str]>, gmt_offset: Option<i32>) -> Identity {
        let baseline = baseline.map(|ids| ids.iter().map(|id| ImageId::from(*id)).collect());
        let evidence = Evidence { baseline, first_sent: Some(SENT.parse().unwrap()), ..Evidence::default() };
        Identity { evidence, gmt_offset: gmt_offset.map(GmtOffset::from_minutes), ..identity() }
    }

    /// An image that others may have made.
    fn untagged(id: &str) -> RemoteImage {
        RemoteImage { tags: [("team".to_owned(), "desktops".to_owned())].into(), ..ours(id, ImageStatus::Available) }
    }

    /// An image under our name with every tag of ours.
    fn ours(id: &str, status: ImageStatus) -> RemoteImage {
        let (name, tags) = ("golden-v7".to_owned(), identity().tags(&settings().tags));
        let made_at = crate::domain::api::gmt_offset::parse("2026-03-02 11:00:06");
        RemoteImage { image_id: id.into(), version_id: None, name, status, tags, kind: Some("User".into()), made_at }
    }

    fn tagged(change: impl FnOnce(&mut BTreeMap<String, String>)) -> RemoteImage {
        let mut image = ours("imgc-1", ImageStatus::Available);
        change(&mut image.tags);
        image
    }

    #[test]
    fn tags_decide_over_the_name() {
        let renamed = RemoteImage { name: "renamed".into(), ..ours("imgc-1", ImageStatus::Available) };
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
    fn without_our_tags_it_must_have_appeared_after_the_call() {
        let image = untagged("imgc-1");
        assert!(!identity().matches(&image), "no call was sent");
        assert!(sent(Some(&[]), None).matches(&image));
        assert!(sent(Some(&["imgc-2"]), None).matches(&image));
        assert!(!sent(Some(&["imgc-1"]), None).matches(&image), "it was there before");
        assert!(!sent(None, None).matches(&image), "nothing decides");
        assert!(!sent(Some(&["imgc-1"]), Some(480)).matches(&image), "the list decides before the time");
    }

    #[test]
    fn where_every_create_was_refused_for_certain_nothing_without_our_tags_is_ours() {
        let mut identity = sent(Some(&[]), Some(480));
        identity.evidence.all_refused = true;
        assert!(!identity.matches(&untagged("imgc-1")), "the cloud holds nothing of it");
        assert!(identity.matches(&ours("imgc-1", ImageStatus::Available)), "tags decide all the same");
    }

    #[test]
    fn an_image_under_an_earlier_name_is_ours_by_what_was_known_of_that_name() {
        let earlier = EarlierName {
            version: 6,
            image_name: "golden-v6".into(),
            baseline: Some(vec!["imgc-byhand".into()]),
            first_sent: SENT.parse().unwrap(),
        };
        let evidence = Evidence { earlier: vec![earlier], ..Evidence::default() };
        let identity = Identity { evidence, ..identity() };
        let named = |id, name: &str| RemoteImage { name: name.into(), ..untagged(id) };
        assert!(identity.matches(&named("imgc-1", "golden-v6")));
        assert!(!identity.matches(&named("imgc-byhand", "golden-v6")), "it was there before");
        assert!(!identity.matches(&named("imgc-1", "golden-v7")), "no call was sent under the present name");
        assert!(!identity.matches(&RemoteImage { kind: Some("Shared".into()), ..named("imgc-1", "golden-v6") }));
    }

    #[test]
    fn without_a_list_the_learned_zone_decides() {
        let made =
            |text: &str| RemoteImage { made_at: crate::domain::api::gmt_offset::parse(text), ..untagged("imgc-1") };
        // Sent at 03:00:05 UTC, which is 11:00:05 in Shanghai; a minute of slack.
        for (shown, is_ours) in [
            ("2026-03-02 11:00:06", true),
            ("2026-03-02 10:59:05", true),
            ("2026-03-02 10:59:04", false),
            ("2026-03-02 03:00:06", false),
            ("2026-03-03 00:00:00", true),
        ] {
            assert_eq!(sent(None, Some(480)).matches(&made(shown)), is_ours, "{shown}");
        }
        assert!(!sent(None, Some(480)).matches(&RemoteImage { made_at: None, ..untagged("imgc-1") }));
    }

    #[test]
    fn only_an_image_of_a_user_can_be_ours_without_tags() {
        for (kind, is_ours) in [
            (Some("User"), true),
            (Some("USER"), true),
            (Some("Shared"), false),
            (Some("System"), false),
            (Some("Community"), false),
            (Some(""), false),
            (None, false),
        ] {
            let image = RemoteImage { kind: kind.map(str::to_owned), ..untagged("imgc-1") };
            assert_eq!(sent(Some(&[]), None).matches(&image), is_ours, "{kind:?}");
            assert!(identity().matches(&RemoteImage { kind: image.kind, ..ours("imgc-1", ImageStatus::Available) }));
        }
    }

    #[test]
    fn without_our_tags_the_name_must_be_exact() {
        for name in ["golden-v70", "golden-v", "Golden-v7", " golden-v7", ""] {
            assert!(!sent(Some(&[]), None).matches(&RemoteImage { name: name.into(), ..untagged("imgc-1") }), "{name}");
        }
    }

    #[test]
    fn any_tag_of_ours_makes_tags_decide() {
        for key in OUR_TAGS {
            let mut image = untagged("imgc-1");
            image.tags.insert(key.into(), "another".into());
            assert!(!sent(Some(&[]), None).matches(&image), "{key}");
        }
    }

    #[test]
    fn an_image_that_was_given_up_is_found_no_more() {
        let mut identity = sent(Some(&[]), None);
        identity.evidence.given_up.push("imgc-1".into());
        let images = || vec![ours("imgc-1", ImageStatus::Available), untagged("imgc-1")];
        assert_eq!(identity.choose(images()), None);
        assert_eq!(identity.taken_name(&images()), None, "nor does it take the name");
    }

    #[test]
    fn a_name_is_taken_by_all_that_are_not_the_slot_s() {
        let mut other_slot = ours("imgc-3", ImageStatus::CreateFailed);
        other_slot.tags.insert(TAG_SLOT.into(), "2026-03-01T03:00:00Z".into());
        let mut other_owner = ours("imgc-4", ImageStatus::Available);
        other_owner.tags.insert(TAG_OWNER.into(), "another".into());
        let gone = RemoteImage { status: ImageStatus::Deleted, ..untagged("imgc-5") };
        let longer = RemoteImage { name: "golden-v70".into(), ..untagged("imgc-6") };
        let images =
            [untagged("imgc-1"), ours("imgc-2", ImageStatus::Available), other_slot, other_owner, gone, longer];
        let taken = identity().taken_name(&images).expect("it is taken");
        assert_eq!(taken.by_others, [ImageId::from("imgc-1"), "imgc-4".into()]);
        assert_eq!(taken.by_own, [ImageId::from("imgc-3")]);
        assert_eq!(identity().taken_name(&images[1..2]), None);
    }

    #[test]
    fn an_answer_may_name_an_image_that_cannot_be_the_slot_s() {
        let renamed = RemoteImage { name: "another".into(), ..ours("imgc-1", ImageStatus::InProgress) };
        assert!(!identity().contradicts(&renamed), "tags decide");
        assert!(!identity().contradicts(&untagged("imgc-1")));
        assert!(!identity().contradicts(&RemoteImage { name: String::new(), kind: None, ..untagged("imgc-1") }));
        assert!(identity().contradicts(&RemoteImage { name: "another".into(), ..untagged("imgc-1") }));
        assert!(identity().contradicts(&RemoteImage { kind: Some("Shared".into()), ..untagged("imgc-1") }));
        assert!(identity().contradicts(&tagged(|tags| drop(tags.insert(TAG_SLOT.into(), "x".into())))));
        assert!(sent(Some(&["imgc-1"]), None).contradicts(&untagged("imgc-1")), "it was there before the call");
        assert!(!sent(None, None).contradicts(&untagged("imgc-1")), "the answer is believed where nothing decides");
    }

    #[test]
    fn an_operators_tag_never_hides_ours() {
        let mut settings = settings();
        settings.tags.insert(TAG_SLOT.into(), "mine".into());
        let tags = identity().tags(&settings.tags);
        assert_eq!(tags[TAG_SLOT], "2026-03-02T03:00:00Z");
        assert_eq!(tags[TAG_VERSION], "7");
        assert_eq!(tags["team"], "desktops");
        assert_eq!(tags.len(), 6);
    }

    #[test]
    fn the_look_up_tags_are_on_the_image() {
        let tags = identity().tags(&settings().tags);
        for (key, value) in identity().look_up_tags() {
            assert_eq!(tags.get(&key), Some(&value));
        }
    }

    #[test]
    fn a_manual_request_is_distinguished_by_its_milliseconds() {
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
