//! The problems that are found while a configuration is read.

use std::{collections::HashSet, path::Path, sync::Arc};

use super::{
    marks::Mark,
    problem::{Place, Problem, Severity, mask},
};
use crate::{
    adapters::secrets::Parts,
    domain::text::{LONGEST_ERROR, clean_lines},
};

/// Maximum number of errors, and of warnings, that are kept: ten thousand schedules may have a warning each.
const MOST_ERRORS: usize = 1_000;
const MOST_WARNINGS: usize = 20_000;
/// Maximum number of problems for which a similar name or a first place is searched: each search reads many names, or the
/// file, and nobody reads so many hints.
const MOST_SEARCHES: usize = 200;

/// Tables with their keys.
pub(super) type Homes = &'static [(&'static str, &'static [&'static str])];

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    found: Vec<((usize, usize), Problem)>,
    seen: HashSet<(usize, usize, &'static str)>,
    /// Lines that are not TOML, as source and first byte: what was read of them is not judged.
    unreadable: HashSet<(usize, usize)>,
    errors: usize,
    searches: usize,
    /// Whether problems were left out.
    cut: bool,
    /// A file has syntax errors, so that missing keys may only be unreadable.
    pub broken: bool,
    /// The sections with their keys, to say where a misplaced key belongs.
    pub homes: Homes,
    /// Keys that are tables, with the keys in them.
    pub inner: Homes,
}

impl Diagnostics {
    pub(super) fn error(&mut self, mark: Mark<'_>, code: &'static str, message: impl Into<String>, hint: Hint) {
        self.add(Severity::Error, mark, code, &message.into(), hint, None);
    }

    pub(super) fn warning(&mut self, mark: Mark<'_>, code: &'static str, message: impl Into<String>, hint: Hint) {
        self.add(Severity::Warning, mark, code, &message.into(), hint, None);
    }

    /// Whether another search for a hint may be made; it counts.
    pub(super) fn may_search(&mut self) -> bool {
        self.searches += 1;
        self.searches <= MOST_SEARCHES
    }

    /// Whether the line is known not to be TOML.
    pub(super) fn is_unreadable(&self, mark: Mark<'_>) -> bool {
        self.unreadable.contains(&mark.line())
    }

    /// A line that is not TOML. What the parser reports of it after the first error follows from that one.
    pub(super) fn syntax(&mut self, mark: Mark<'_>, message: &str, hint: Hint) {
        if !self.is_unreadable(mark) {
            self.add(Severity::Error, mark, "syntax", message, hint, None);
            self.unreadable.insert(mark.line());
        }
    }

    /// A required key is missing. Not reported if a syntax error may have hidden it.
    pub(super) fn missing(&mut self, mark: Mark<'_>, code: &'static str, message: impl Into<String>, hint: Hint) {
        if !self.broken {
            self.error(mark, code, message, hint);
        }
    }

    /// An error with a related place.
    pub(super) fn error_with_related(
        &mut self,
        mark: Mark<'_>,
        code: &'static str,
        message: impl Into<String>,
        hint: &str,
        other: (Mark<'_>, &'static str),
    ) {
        self.add(Severity::Error, mark, code, &message.into(), Some(hint.to_owned()), Some(other));
    }

    /// A warning with a related place.
    pub(super) fn warn_with_related(
        &mut self,
        mark: Mark<'_>,
        code: &'static str,
        message: &str,
        hint: Hint,
        other: (Mark<'_>, &'static str),
    ) {
        self.add(Severity::Warning, mark, code, message, hint, Some(other));
    }

    /// Whether this place has a problem of this kind.
    pub(super) fn has(&self, mark: Mark<'_>, code: &'static str) -> bool {
        self.seen.contains(&(mark.source.index, mark.start, code))
    }

    /// A problem of a whole file, in the order of `index`.
    pub(super) fn file(
        &mut self,
        index: usize,
        file: &Path,
        severity: Severity,
        code: &'static str,
        message: String,
        hint: Hint,
    ) {
        let place = Place { file: file.into(), spot: None };
        self.found.push(((index, 0), Problem { severity, code, message, place, related: None, hint, of: None }));
    }

    /// One place of a file has one problem of a kind, however many schedules share it.
    fn add(
        &mut self,
        severity: Severity,
        mark: Mark<'_>,
        code: &'static str,
        message: &str,
        hint: Hint,
        other: Option<(Mark<'_>, &'static str)>,
    ) {
        let key = (mark.source.index, mark.start);
        if self.is_unreadable(mark) && code != "secret-in-file" {
            return;
        }
        let room = match severity {
            Severity::Error => self.errors < MOST_ERRORS,
            Severity::Warning => self.found.len() - self.errors < MOST_WARNINGS,
        };
        if !room {
            self.cut = true;
            return;
        }
        if self.seen.insert((key.0, key.1, code)) {
            let related = other.map(|(mark, what)| (mark.place(), what));
            // A hint may divide the value into words.
            let secrets = Parts::of(mark.text().get(..LONGEST_ERROR).unwrap_or(mark.text()));
            let (message, hint) = (shown(message, &secrets), hint.map(|hint| shown(&hint, &secrets)));
            self.errors += usize::from(severity == Severity::Error);
            self.found.push((key, Problem { severity, code, message, place: mark.place(), related, hint, of: None }));
        }
    }

    /// Whether no further error would be kept: the rest is left out, and the report says so.
    pub(super) fn is_full(&mut self) -> bool {
        let full = self.errors >= MOST_ERRORS;
        self.cut |= full;
        full
    }

    /// Number of problems; unchanged means that nothing was wrong in between.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// Whether there is an error.
    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(|(_, problem)| problem.severity == Severity::Error)
    }

    /// Number of errors so far.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// Names the schedule or the section of each problem, by its source and its first byte there.
    pub(super) fn name_parts(&mut self, name: impl Fn((usize, usize)) -> Option<String>) {
        for (key, problem) in &mut self.found {
            problem.of = name(*key);
        }
    }

    /// All problems, in the order of the sources.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|(key, _)| *key);
        let mut problems: Vec<_> = self.found.into_iter().map(|(_, problem)| problem).collect();
        if let (true, Some(last)) = (self.cut, problems.last()) {
            let place = Place { file: Arc::clone(&last.place.file), spot: None };
            let severity = if self.errors > 0 { Severity::Error } else { Severity::Warning };
            let message = "there are more problems than are listed".to_owned();
            let hint = Some("fix these first".to_owned());
            problems.push(Problem { severity, code: "too-many", message, place, related: None, hint, of: None });
        }
        problems
    }
}

/// A text of a diagnostic: it may quote a key or a value, which may be long or secret.
fn shown(text: &str, secrets: &Parts) -> String {
    mask(&secrets.hide(clean_lines(text, LONGEST_ERROR).into_owned()))
}

/// Hint with the most similar known word, if there is one.
pub(super) type Hint = Option<String>;
