//! One key of the configuration as data: its name, description and accepted values.

use std::time::Duration;

/// A key of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Spelling.
    pub name: &'static str,
    /// Description. ``Default `VALUE`.`` in it gives the built-in value as TOML.
    pub text: String,
    /// Accepted values.
    pub kind: Kind,
}

impl Key {
    /// Built-in value, if there is one, as TOML.
    pub fn default(&self) -> Option<&str> {
        self.text.split_once("Default `")?.1.split('`').next()
    }
}

/// Accepted values of a key. They include everything that the reader accepts; the reader may reject more.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A string that matches this regular expression, in the syntax common to all dialects.
    Text(&'static str),
    /// One of a few words.
    OneOf(Vec<&'static str>),
    /// An integer.
    Integer {
        /// Minimum.
        min: i64,
        /// Maximum.
        max: i64,
    },
    /// A number, whole or not.
    Number {
        /// Minimum.
        min: f64,
        /// Maximum.
        max: f64,
    },
    /// A duration such as `15m`.
    Period {
        /// Minimum.
        min: Duration,
        /// Maximum.
        max: Duration,
    },
    /// A duration such as `15m`, or `never`.
    PeriodOrNever {
        /// Minimum.
        min: Duration,
    },
    /// A boolean.
    Bool,
    /// A list of such values.
    List(Box<Kind>),
    /// A list of such values without duplicates.
    Set {
        /// Kind of the elements.
        of: Box<Kind>,
        /// Minimum length.
        min: usize,
    },
    /// One value, or a list of at least one.
    OneOrMore(Box<Kind>),
    /// A table of such values under names of the operator's choice.
    Named {
        /// Kind of the values.
        of: Box<Kind>,
        /// Maximum length.
        max: Option<usize>,
    },
    /// A table with these keys.
    Table(Vec<Key>),
}

impl Kind {
    /// Any non-empty string.
    pub const FILLED: Self = Self::Text(r"\S");
}

/// The lines of a comment as one paragraph.
pub(super) fn sentences(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
