//! Users of images: matched by image id, by the other ids of the cloud, and by name.
//!
//! Images have `imgc-…` ids, while the desktop service lists `m-…` ids. No call maps one to the other, so names count
//! as well: an image that shares its name with one in use stays.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::domain::text::{UNREADABLE, may_be};

/// Kinds of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// Cloud desktops, including those of pools.
    Desktops,
    /// Workstations.
    Workstations,
    /// Desktop pools, including empty ones.
    Pools,
    /// Templates of cloud desktops; DeleteImage deletes them with their image.
    Templates,
    /// Bundles, from which desktops and pools are made.
    Bundles,
    /// Delivery groups of App Streaming.
    DeliveryGroups,
}

impl UserKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Desktops, Self::Workstations, Self::Pools, Self::Templates, Self::Bundles, Self::DeliveryGroups];

    /// Spelling in the configuration and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Desktops => "desktops",
            Self::Workstations => "workstations",
            Self::Pools => "pools",
            Self::Templates => "templates",
            Self::Bundles => "bundles",
            Self::DeliveryGroups => "delivery_groups",
        }
    }

    /// Whether the desktop service lists them, with its own image ids.
    pub fn is_of_desktop_service(self) -> bool {
        match self {
            Self::Desktops | Self::Pools | Self::Templates | Self::Bundles => true,
            Self::Workstations | Self::DeliveryGroups => false,
        }
    }
}

/// A user of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    /// Kind.
    pub kind: UserKind,
    /// Its id in the cloud.
    pub id: String,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            // The prefix of the id shows the kind.
            UserKind::Desktops | UserKind::Workstations | UserKind::DeliveryGroups => f.write_str(&self.id),
            UserKind::Pools => write!(f, "pool {}", self.id),
            UserKind::Templates => write!(f, "template {}", self.id),
            UserKind::Bundles => write!(f, "bundle {}", self.id),
        }
    }
}

/// Ids and names of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownAs {
    /// Ids of both services.
    pub ids: BTreeSet<String>,
    /// Names in the history and in the cloud.
    pub names: BTreeSet<String>,
}

impl KnownAs {
    /// From ids and names; empty ones are omitted.
    pub fn new<'a>(ids: impl IntoIterator<Item = &'a str>, names: impl IntoIterator<Item = &'a str>) -> Self {
        let filled = |text: &&str| !text.is_empty();
        Self {
            ids: ids.into_iter().filter(filled).map(str::to_owned).collect(),
            names: names.into_iter().filter(filled).map(str::to_owned).collect(),
        }
    }
}

impl KnownAs {
    /// Whether an id that the cloud lists may be one of its own.
    pub fn may_have_id(&self, listed: &str) -> bool {
        let listed = doubtful_id(listed);
        self.ids.iter().any(|id| may_be(&listed, &doubtful_id(id)))
    }

    /// Whether a name that the cloud lists may be one of its own.
    pub fn may_be_named(&self, listed: &str) -> bool {
        let listed = doubtful(listed);
        self.names.iter().any(|name| may_be(&listed, name))
    }
}

/// All uses of images that the cloud lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    by_id: BTreeMap<String, BTreeSet<User>>,
    by_name: BTreeMap<String, BTreeSet<User>>,
    /// Ids that were listed with each name.
    ids_of: BTreeMap<String, BTreeSet<String>>,
}

impl Uses {
    /// Adds a use of the image with this id, listed with this name.
    pub fn add(&mut self, user: &User, image_id: &str, image_name: Option<&str>) {
        let (image_id, image_name) = (&*doubtful_id(image_id), image_name.map(doubtful));
        let image_name = image_name.as_deref();
        self.by_id.entry(image_id.to_owned()).or_default().insert(user.clone());
        if let Some(name) = image_name.filter(|name| !name.is_empty()) {
            self.by_name.entry(name.to_owned()).or_default().insert(user.clone());
            self.add_id(name, image_id);
        }
    }

    /// Adds an id of an image with this name.
    pub fn add_id(&mut self, name: &str, image_id: &str) {
        let (name, image_id) = (&*doubtful(name), &*doubtful_id(image_id));
        if !name.is_empty() && !image_id.is_empty() {
            self.ids_of.entry(name.to_owned()).or_default().insert(image_id.to_owned());
        }
    }

    /// All ids of an image: its own, and those listed with one of its names, or with a damaged one that may be it.
    pub fn ids(&self, image: &KnownAs) -> BTreeSet<String> {
        let others = matching(&self.ids_of, &image.names).flatten();
        image.ids.iter().map(|id| doubtful_id(id)).chain(others.cloned()).collect()
    }

    /// Users of this image, also those that may use it: of whose text a part could not be read.
    pub fn users_of(&self, image: &KnownAs) -> BTreeSet<User> {
        let by_id = self.ids(image);
        let users = matching(&self.by_id, &by_id).chain(matching(&self.by_name, &image.names));
        users.flatten().cloned().collect()
    }
}

/// A text with invisible characters, which were made visible when it was read, may be the same without them: it is no other
/// image for certain.
fn doubtful(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = r"\u{";
    let mut rest = text;
    let mut doubtful = String::new();
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let Some((_, end)) = after.split_once('}') else { break };
        doubtful.push_str(before);
        doubtful.push(UNREADABLE);
        rest = end;
    }
    if rest.len() == text.len() { Cow::Borrowed(text) } else { Cow::Owned(doubtful + rest) }
}

/// The same of an id, which has neither blanks nor capital letters in the cloud.
fn doubtful_id(id: &str) -> String {
    doubtful(id).chars().map(|c| if c.is_whitespace() { UNREADABLE } else { c.to_ascii_lowercase() }).collect()
}

/// The values of all keys that are, or may be, one of `wanted`.
fn matching<'a, T>(
    map: &'a BTreeMap<String, T>,
    wanted: &'a BTreeSet<String>,
) -> impl Iterator<Item = &'a T> + use<'a, T> {
    let damaged = map.iter().filter(|(key, _)| key.contains(UNREADABLE));
    let damaged = damaged.filter(move |(key, _)| wanted.iter().any(|wanted| may_be(key, wanted)));
    wanted.iter().filter_map(|wanted| map.get(wanted)).chain(damaged.map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(kind: UserKind, id: &str) -> User {
        User { kind, id: id.to_owned() }
    }

    fn names(users: BTreeSet<User>) -> Vec<String> {
        users.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_text_with_invisible_characters_may_be_the_image_without_them() {
        for (id, name) in [
            (r"imgc-1\u{0}", None),
            (r"\u{200b}imgc-1", None),
            (" imgc-1", None),
            ("IMGC-1", None),
            ("m-1", Some(r"golden\u{0} v1")),
        ] {
            let mut uses = Uses::default();
            uses.add(&user(UserKind::Workstations, "ws-1"), id, name);
            assert_eq!(names(uses.users_of(&KnownAs::new(["imgc-1"], ["golden v1"]))), ["ws-1"], "{id} {name:?}");
            assert!(uses.users_of(&KnownAs::new(["imgc-2"], ["golden v2"])).is_empty(), "{id} {name:?}");
            let found = |image: &KnownAs| image.may_have_id(id) || name.is_some_and(|name| image.may_be_named(name));
            assert!(found(&KnownAs::new(["imgc-1"], ["golden v1"])), "{id} {name:?}");
            assert!(!found(&KnownAs::new(["imgc-2"], ["golden v2"])), "{id} {name:?}");
        }
    }

    #[test]
    fn an_image_is_used_by_id_by_name_and_by_the_other_id_of_its_name() {
        let mut uses = Uses::default();
        uses.add(&user(UserKind::Workstations, "ws-1"), "imgc-1", None);
        uses.add(&user(UserKind::Desktops, "ecd-1"), "m-1", Some("golden v1"));
        // Pools and templates are listed without the name of the image.
        uses.add(&user(UserKind::Pools, "dg-1"), "m-1", None);
        uses.add(&user(UserKind::Templates, "t-2"), "m-2", None);
        uses.add_id("golden v2", "m-2");
        uses.add(&user(UserKind::Bundles, "b-9"), "m-9", Some("other"));

        let image = KnownAs::new(["imgc-1"], ["golden v1"]);
        assert_eq!(names(uses.users_of(&image)), ["ecd-1", "ws-1", "pool dg-1"]);
        assert_eq!(names(uses.users_of(&KnownAs::new(["imgc-2"], ["golden v2"]))), ["template t-2"]);
        assert_eq!(names(uses.users_of(&KnownAs::new(["imgc-2", "m-9"], [""]))), ["bundle b-9"]);
        assert!(uses.users_of(&KnownAs::new(["imgc-3"], ["golden v3"])).is_empty());
    }

    #[test]
    fn a_damaged_text_counts_as_each_that_it_may_have_been() {
        for (text, known, wanted) in [
            ("\u{fffd}", "anything", true),
            ("a\u{fffd}c", "abc", true),
            ("a\u{fffd}c", "ac", true),
            ("a\u{fffd}b\u{fffd}c", "a-b-b-c", true),
            ("a\u{fffd}b\u{fffd}c", "abc", true),
            ("ab\u{fffd}ba", "aba", false),
            ("a\u{fffd}c", "abd", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(may_be(text, known), wanted, "{text} {known}");
        }
        let mut uses = Uses::default();
        uses.add(&user(UserKind::Desktops, "ecd-1"), "m-1", Some("golden\u{fffd}v1"));
        uses.add(&user(UserKind::Pools, "dg-1"), "m-2\u{fffd}", None);
        uses.add(&user(UserKind::Templates, "t-1"), "m-3", None);
        uses.add_id("gold\u{fffd}", "m-3");
        let of = |id: &str, name: &str| names(uses.users_of(&KnownAs::new([id], [name])));
        assert_eq!(of("imgc-1", "golden v1"), ["ecd-1", "template t-1"]);
        assert_eq!(of("m-27", "silver"), ["pool dg-1"]);
        assert!(of("imgc-9", "silver").is_empty());
    }

    #[test]
    fn rows_without_a_name_do_not_meet_images_without_one() {
        let mut uses = Uses::default();
        uses.add(&user(UserKind::Pools, "dg-1"), "m-1", Some(""));
        uses.add_id("", "m-1");
        assert!(uses.users_of(&KnownAs::new(["imgc-1"], [""])).is_empty());
    }
}
