//! The keys of the configuration as data, for editors and the reference. They are those of the reader: both come from
//! one declaration, see `layer!` in `layer.rs`.

pub use super::key::{Key, Kind};
use super::{key::sentences, schedule_keys, settings};

/// A table of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Spelling in a file: `[cloud]`.
    pub header: &'static str,
    /// Its purpose.
    pub text: &'static str,
    /// Its keys, in the usual order.
    pub keys: Vec<Key>,
}

/// All sections.
#[derive(Debug, Clone, PartialEq)]
pub struct Definitions {
    /// `[cloud]`.
    pub cloud: Section,
    /// `[daemon]`.
    pub daemon: Section,
    /// `[[schedule]]`.
    pub schedule: Section,
    /// `[defaults]`: keys shared by all schedules.
    pub defaults: Section,
    /// `[profile.NAME]`: keys shared by the schedules with that profile.
    pub profile: Section,
}

/// The configuration, key by key.
pub fn definitions() -> Definitions {
    let schedule = schedule_keys::ScheduleLayer::keys();
    let shared: Vec<Key> = schedule.iter().filter(|key| !schedule_keys::OWN.contains(&key.name)).cloned().collect();
    Definitions {
        cloud: Section {
            header: "[cloud]",
            text: "Connection to the cloud.",
            keys: with_texts(settings::CloudLayer::keys(), settings::CloudSettings::TEXTS),
        },
        daemon: Section {
            header: "[daemon]",
            text: "Settings of the daemon.",
            keys: with_texts(settings::DaemonLayer::keys(), settings::DaemonSettings::TEXTS),
        },
        schedule: Section {
            header: "[[schedule]]",
            text: "A schedule: which instances to image, and when.",
            keys: schedule,
        },
        defaults: Section {
            header: "[defaults]",
            text: "Keys that apply to every schedule, unless its profile or the schedule sets them.",
            keys: shared.clone(),
        },
        profile: Section {
            header: "[profile.NAME]",
            text: "A named set of keys, which a schedule applies with `profile = \"NAME\"`.",
            keys: shared,
        },
    }
}

/// A key without its own text has the text of the setting with the same name.
fn with_texts(mut keys: Vec<Key>, texts: &[(&str, &[&str])]) -> Vec<Key> {
    for key in keys.iter_mut().filter(|key| key.text.is_empty()) {
        key.text =
            texts.iter().find(|(name, _)| *name == key.name).map(|(_, lines)| sentences(lines)).unwrap_or_default();
    }
    keys
}
