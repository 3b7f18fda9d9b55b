//! One key of the configuration as data: its name, its meaning and the values that it takes.

use std::time::Duration;

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

/// What a key takes. Everything that the reader takes passes; the reader may refuse more.
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

/// The lines of a comment as running text.
pub(super) fn sentences(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
