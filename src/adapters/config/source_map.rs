//! What the files looked like when they were read: kept only for `check`, whose lints speak of schedules that have long
//! been put together and must still point at the line to change.

use super::{
    problem::Problems,
    reader::{Diagnostics, Hint, Mark, Source, Span},
};

/// Where things were written, by the schedules' order in the file.
#[derive(Debug, Default)]
pub(super) struct SourceSpans {
    pub schedules: Vec<WrittenValue>,
    pub max_builders: Option<Span>,
}

/// Where one schedule was written; its keys may stand in its profile or in [defaults].
#[derive(Debug)]
pub(super) struct WrittenValue {
    pub name: Span,
    /// One for each expression.
    pub cron: Box<[Span]>,
    pub own_cron: bool,
    pub own_zone: Option<Span>,
    pub keep: Option<Span>,
    pub paused: Option<Span>,
    pub max_image_age: Option<Span>,
    pub catch_up_window: Option<Span>,
}

/// The files' texts, where everything stands in them, and what has been found so far.
#[derive(Debug)]
pub struct SourceMap {
    pub(super) sources: Vec<Source>,
    pub(super) marks: SourceSpans,
    pub(super) found: Diagnostics,
}

/// The part of a configuration that a warning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningTarget {
    /// The times of a schedule, by its place in the configuration.
    Times(usize),
    /// How many bakes may be at work, or where that is not written the schedule that waits longest for it.
    Builders(usize),
}

impl SourceMap {
    pub(super) fn new(sources: Vec<Source>, marks: SourceSpans, found: Diagnostics) -> Self {
        Self { sources, marks, found }
    }

    /// Adds a warning that the files alone do not show.
    pub fn warn(&mut self, about: WarningTarget, code: &'static str, message: &str, hint: Hint) {
        let (WarningTarget::Times(at) | WarningTarget::Builders(at)) = about;
        let builders = self.marks.max_builders.filter(|_| matches!(about, WarningTarget::Builders(_)));
        let written = self.marks.schedules.get(at);
        let span = builders.or_else(|| written.map(WrittenValue::times));
        if let Some(mark) = span.and_then(|span| span.of(&self.sources)) {
            self.found.warning(mark, code, message, hint);
        }
    }

    /// All that has been found, in the order of the files and their lines.
    pub fn into_problems(self) -> Problems {
        Problems(self.found.into_problems())
    }
}

impl WrittenValue {
    /// The times where they are the schedule's own; else its name, for those of others are not to be changed for it.
    pub(super) fn times(&self) -> Span {
        self.cron.first().copied().filter(|_| self.own_cron).unwrap_or(self.name)
    }

    /// The expression, or the zone that makes it this schedule's own.
    pub(super) fn expression<'s>(&self, index: usize, sources: &'s [Source]) -> Option<(Mark<'s>, bool)> {
        match self.own_zone.filter(|_| !self.own_cron) {
            Some(zone) => zone.of(sources).map(|mark| (mark, false)),
            None => self.cron.get(index)?.of(sources).map(|mark| (mark, true)),
        }
    }
}
