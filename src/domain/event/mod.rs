//! Events: what happened, in the envelope that all who are notified get.
//!
//! An event is written in the transaction that makes it true. Log, audit and notifications come from events.
//!
//! ```
//! use imagebaked::domain::{event::{Event, EventSeverity, EventType}, health::{Subject, SubjectKind}};
//!
//! let subject = Subject::new(SubjectKind::Bake, "42");
//! let event = Event::new(EventType::BakeFailed, EventSeverity::Problem, subject, "bake 42 of golden failed".to_owned())
//!     .with("schedule", "golden");
//! assert_eq!((event.kind.as_str(), event.text("schedule")), ("bake_failed", Some("golden")));
//! ```

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::health::{self, Subject};

mod action;
pub mod bakes;
mod kind;
pub mod problems;

pub use self::action::{Action, AuditLine};
pub use self::kind::EventType;

/// Version of the envelope; a new field does not raise it, another meaning does.
pub const ENVELOPE: u32 = 1;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What.
    pub kind: EventType,
    /// How much it weighs.
    pub severity: EventSeverity,
    /// What it is about.
    pub subject: Subject,
    /// Start of the problem that it is about.
    pub since: Option<DateTime<Utc>>,
    /// One sentence.
    pub message: String,
    /// Command that shows more or fixes it.
    pub command: Option<String>,
    /// The facts by name; docs/events.md lists the names.
    pub data: Map<String, Value>,
}

/// Weight of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventSeverity {
    /// As expected.
    Info,
    /// A person should know.
    Warning,
    /// A person should act.
    Problem,
}

impl EventSeverity {
    /// Every severity with its spelling, which is the one of serde.
    pub const WORDS: [(Self, &'static str); 3] =
        [(Self::Info, "info"), (Self::Warning, "warning"), (Self::Problem, "problem")];

    /// Spelling in the history and JSON.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(severity, _)| *severity == self).map_or("", |(_, word)| word)
    }
}

impl From<health::Severity> for EventSeverity {
    fn from(severity: health::Severity) -> Self {
        match severity {
            health::Severity::Warning => Self::Warning,
            health::Severity::Problem => Self::Problem,
        }
    }
}

impl Event {
    /// An event without further facts.
    pub fn new(kind: EventType, severity: EventSeverity, subject: Subject, message: String) -> Self {
        Self { kind, severity, subject, since: None, message, command: None, data: Map::new() }
    }

    /// The same with one more fact. An empty text is none.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if value != Value::Null && value.as_str() != Some("") {
            self.data.insert(name.to_owned(), value);
        }
        self
    }

    /// The same with the command that shows more.
    #[must_use]
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// A fact that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.data.get(name)?.as_str()
    }

    /// A fact that is a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.data.get(name)?.as_i64()
    }
}
