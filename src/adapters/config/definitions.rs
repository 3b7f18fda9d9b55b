//! The keys of the configuration as data, for editors and the reference. They are those that the reader knows, because
//! both come from one declaration: see `layer!` in `reader.rs`.

use std::time::Duration;

use super::{schedules, settings};

/// A key that can be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// How it is written.
    pub name: &'static str,
    /// What it means. ``Default `VALUE`.`` in it gives the built-in value as TOML.
    pub text: String,
    /// What it takes.
    pub kind: Kind,
}

impl Key {
    /// The built-in value where there is one, as it would be written.
    pub fn default(&self) -> Option<&str> {
        self.text.split_once("Default `")?.1.split('`').next()
    }
}

/// What a key takes. Lets everything pass that the reader takes; the reader may know better what to refuse.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Text that this regular expression matches, one that all dialects understand.
    Text(&'static str),
    /// One of a few words.
    OneOf(Vec<&'static str>),
    /// An integer.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A number above 0.
    Positive {
        /// The greatest.
        max: f64,
    },
    /// A period like `15m`.
    Period {
        /// The shortest.
        min: Duration,
    },
    /// A period like `15m`, or `never`.
    PeriodOrNever {
        /// The shortest.
        min: Duration,
    },
    /// True or false.
    Bool,
    /// A list of such things.
    List(Box<Kind>),
    /// A list of such things without doubles.
    Set {
        /// Of these.
        of: Box<Kind>,
        /// At least so many.
        min: usize,
    },
    /// One thing, or a list of at least one.
    OneOrMore(Box<Kind>),
    /// Such things under names of the operator's choice.
    Named {
        /// Of these.
        of: Box<Kind>,
        /// At most so many.
        max: Option<usize>,
    },
    /// A table with these keys.
    Table(Vec<Key>),
}

impl Kind {
    /// Any text that is not empty.
    pub const FILLED: Self = Self::Text(r"\S");
}

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
    let schedule = schedules::Layer::keys();
    let shared: Vec<Key> = schedule.iter().filter(|key| !schedules::OWN.contains(&key.name)).cloned().collect();
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

/// Keys that say no more than how they are read take their texts from the settings of the same name.
fn with_texts(mut keys: Vec<Key>, texts: &[(&str, &[&str])]) -> Vec<Key> {
    for key in keys.iter_mut().filter(|key| key.text.is_empty()) {
        key.text =
            texts.iter().find(|(name, _)| *name == key.name).map(|(_, lines)| sentences(lines)).unwrap_or_default();
    }
    keys
}

/// The lines of a comment as running text.
pub(super) fn sentences(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
