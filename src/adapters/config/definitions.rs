//! The keys of the configuration as data, for editors and the reference. They are those of the reader: both come from
//! one declaration, see `layer!` in `reader.rs`.

pub use super::key::{Key, Kind};
use super::{key::sentences, schedule_keys, settings};

/// A table of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// As it is written in a file: `[cloud]`.
    pub header: &'static str,
    /// What it is for.
    pub text: &'static str,
    /// Its keys, in the order in which people write them.
    pub keys: Vec<Key>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Definitions {
    /// `[cloud]`.
    pub cloud: Section,
    /// `[daemon]`.
    pub daemon: Section,
    /// `[[schedule]]`.
    pub schedule: Section,
    /// `[defaults]`: the keys of a schedule that several can share.
    pub defaults: Section,
    /// `[profile.NAME]`: likewise.
    pub profile: Section,
}

/// The configuration, key by key.
pub fn definitions() -> Definitions {
    let schedule = schedule_keys::ScheduleLayer::keys();
    let shared: Vec<Key> = schedule.iter().filter(|key| !schedule_keys::OWN.contains(&key.name)).cloned().collect();
    Definitions {
        cloud: Section {
            header: "[cloud]",
            text: "How the cloud is spoken to.",
            keys: with_texts(settings::CloudLayer::keys(), settings::CloudSettings::TEXTS),
        },
        daemon: Section {
            header: "[daemon]",
            text: "How the daemon itself lives.",
            keys: with_texts(settings::DaemonLayer::keys(), settings::DaemonSettings::TEXTS),
        },
        schedule: Section { header: "[[schedule]]", text: "What is baked, and when.", keys: schedule },
        defaults: Section {
            header: "[defaults]",
            text: "Keys that every schedule builds upon, unless its profile or it itself has them, too.",
            keys: shared.clone(),
        },
        profile: Section {
            header: "[profile.NAME]",
            text: "A named set of keys that a schedule builds upon with `profile = \"NAME\"`.",
            keys: shared,
        },
    }
}

/// Keys without a text of their own have the text of the setting of the same name.
fn with_texts(mut keys: Vec<Key>, texts: &[(&str, &[&str])]) -> Vec<Key> {
    for key in keys.iter_mut().filter(|key| key.text.is_empty()) {
        key.text =
            texts.iter().find(|(name, _)| *name == key.name).map(|(_, lines)| sentences(lines)).unwrap_or_default();
    }
    keys
}
