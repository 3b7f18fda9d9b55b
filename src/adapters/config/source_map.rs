//! Places of the keys of all schedules: only `check` keeps them, so that its lints can point to the line to change
//! after the layers were merged.

use super::{
    problem::Problems,
    reader::{Diagnostics, Hint, Mark, Source, Span},
};

/// Places by the schedules' order in the file.
#[derive(Debug, Default)]
pub(super) struct SourceSpans {
    pub schedules: Vec<WrittenValue>,
    pub max_builders: Option<Span>,
    /// `owner` of the last layer that has it.
    pub owner: Option<Span>,
}

/// Places of one schedule; its keys may be in its profile or in [defaults].
#[derive(Debug)]
pub(super) struct WrittenValue {
    pub name: Span,
    /// One per expression.
    pub cron: Box<[Span]>,
    pub own_cron: bool,
    pub own_zone: Option<Span>,
    pub keep: Option<Span>,
    pub paused: Option<Span>,
    pub max_image_age: Option<Span>,
    pub catch_up_window: Option<Span>,
    /// The window is that of [defaults].
    pub catch_up_window_is_default: bool,
    pub zone: Option<Span>,
    pub jitter: Option<Span>,
    pub stop_instance: Option<Span>,
    pub hooks: Option<Span>,
    pub regions: Option<Span>,
    pub image_name: Option<Span>,
    pub description: Option<Span>,
    pub tags: Option<Span>,
}

/// Texts of the files, the places in them, and the problems found so far.
#[derive(Debug)]
pub struct SourceMap {
    pub(super) sources: Vec<Source>,
    pub(super) marks: SourceSpans,
    pub(super) found: Diagnostics,
}

/// Subject of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningTarget {
    /// Times of a schedule, by its index.
    Times(usize),
    /// The limit of builders, or if that is not configured the schedule that waits longest.
    Builders(usize),
    /// The owner; where it is not configured, the file as a whole.
    Owner,
}

impl SourceMap {
    pub(super) fn new(sources: Vec<Source>, marks: SourceSpans, found: Diagnostics) -> Self {
        Self { sources, marks, found }
    }

    /// Adds a warning that needs more than the files.
    pub fn warn(&mut self, about: WarningTarget, code: &'static str, message: &str, hint: Hint) {
        let schedule = |at: usize| self.marks.schedules.get(at).map(WrittenValue::times);
        let span = match about {
            WarningTarget::Times(at) => schedule(at),
            WarningTarget::Builders(at) => self.marks.max_builders.or_else(|| schedule(at)),
            WarningTarget::Owner => self.marks.owner.or_else(|| schedule(0)),
        };
        if let Some(mark) = span.and_then(|span| span.of(&self.sources)) {
            self.found.warning(mark, code, message, hint);
        }
    }

    /// All problems, in the order of the files and their lines.
    pub fn into_problems(self) -> Problems {
        let Self { sources, marks, mut found } = self;
        let names = marks.schedules.iter().filter_map(|schedule| schedule.name.of(&sources));
        let mut names: Vec<(usize, usize, &str)> = names
            .filter_map(|mark| Some((mark.source.index, mark.start, mark.source.text.get(mark.start..mark.end)?)))
            .collect();
        names.sort_unstable();
        found.name_parts(|(source, at)| part(&sources, &names, source, at));
        Problems(found.into_problems())
    }
}

/// The name of the schedule that has this byte of a source, or the header of its section. `names` are those of all schedules
/// with their sources and places, sorted.
fn part(sources: &[Source], names: &[(usize, usize, &str)], source: usize, at: usize) -> Option<String> {
    let text = sources.get(source)?.text.as_str();
    let end = text.get(at..)?.find('\n').map_or(text.len(), |line_end| at + line_end);
    let mut begin = end;
    let header = text[..end].rsplit('\n').find(|line| {
        begin = begin.saturating_sub(line.len() + 1);
        is_header(line)
    })?;
    let header = header.trim();
    if !header.starts_with("[[") {
        return Some(header.to_owned());
    }
    let next = names.partition_point(|(of, start, _)| (*of, *start) < (source, begin));
    let (of, _, name) = names.get(next)?;
    (*of == source).then(|| name.trim_matches(['"', '\'']).to_owned())
}

/// Whether a line is `[section]` or `[[list]]`.
fn is_header(line: &str) -> bool {
    let code = line.split('#').next().unwrap_or(line).trim();
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '[' | ']' | '.' | '-' | '_' | '"');
    code.starts_with('[') && code.ends_with(']') && code.len() > 2 && code.chars().all(is_name)
}

impl WrittenValue {
    /// The times if they are the schedule's own; otherwise its name, because other schedules share those times.
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
