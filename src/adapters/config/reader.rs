//! Typed reader of parsed TOML that collects problems instead of stopping at the first.
//!
//! Every value keeps a [`Mark`], its place in the file, because many checks follow the merge of the layers and must
//! still point to the line to change.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashSet},
    ops::Range,
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde::{Serialize, Serializer};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    mistakes,
    problem::{Place, Problem, Severity, Spot, find_key_id, is_secret_key, mask},
    suggest::closest,
};
use crate::domain::text::{LONGEST_ERROR, clean_lines, is_hidden};

/// Maximum duration in a configuration: ten years of 365 days.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// Maximum number of errors, and of warnings, that are kept: ten thousand schedules may have a warning each.
const MOST_ERRORS: usize = 1_000;
const MOST_WARNINGS: usize = 20_000;

/// Maximum length of a shown line, in bytes. Of a longer one, line and column are shown.
const LONGEST_LINE: usize = 4_000;

/// A text that values are read from: a chunk of a file, or the environment as lines of `NAME=value`.
#[derive(Debug)]
pub(super) struct Source {
    /// Its position among the sources; orders problems.
    pub index: usize,
    pub file: Arc<Path>,
    pub text: String,
    /// Number of lines of the file before the chunk.
    pub lines_before: usize,
    /// Variables have no types: numbers are parsed from text.
    pub untyped: bool,
    starts: OnceCell<Vec<usize>>,
}

impl Source {
    pub(super) fn new(index: usize, file: &Path, text: String, untyped: bool) -> Self {
        Self { index, file: file.into(), text, lines_before: 0, untyped, starts: OnceCell::new() }
    }

    pub(super) fn mark(&self, span: Range<usize>) -> Mark<'_> {
        Mark { source: self, start: span.start.min(self.text.len()), end: span.end.min(self.text.len()) }
    }

    fn starts(&self) -> &[usize] {
        self.starts.get_or_init(|| {
            std::iter::once(0).chain(self.text.match_indices('\n').map(|(newline, _)| newline + 1)).collect()
        })
    }
}

/// A range of bytes of a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark<'s> {
    pub source: &'s Source,
    pub start: usize,
    pub end: usize,
}

impl<'s> Mark<'s> {
    /// The same range without the text.
    pub(super) fn span(self) -> Span {
        Span { source: self.source.index, start: self.start, end: self.end }
    }

    /// The text marked.
    pub(super) fn text(self) -> &'s str {
        self.source.text.get(self.start..self.end).unwrap_or("")
    }

    /// The mark of some bytes of the string value `value` at this mark. A string with escapes differs from its source,
    /// so all of it is marked.
    pub(super) fn inside(self, value: &str, span: Range<usize>) -> Self {
        let written = self.text();
        let escaped = written.starts_with('"') && written.contains('\\');
        match written.find(value) {
            Some(at) if !value.is_empty() && !escaped => {
                let start = self.start + at + span.start.min(value.len());
                Self { start, end: (self.start + at + span.end.min(value.len())).max(start), ..self }
            }
            _ => self,
        }
    }

    /// The range for people; one of several lines is reduced to its first.
    pub(super) fn place(self) -> Place {
        let text = &self.source.text;
        let starts = self.source.starts();
        let line = starts.partition_point(|start| *start <= self.start).max(1);
        let from = starts[line - 1];
        let to = starts.get(line).map_or(text.len(), |next| next - 1);
        let content = text.get(from..to).unwrap_or("");
        let content = content.strip_suffix('\r').unwrap_or(content);
        let column = |at: usize| content.char_indices().take_while(|(byte, _)| from + byte < at).count() + 1;
        let (start, end) = (column(self.start), column(self.end));
        let line = line + self.source.lines_before;
        let text = if content.len() > LONGEST_LINE { String::new() } else { mask(content) }.into();
        let spot = Spot { line, column: start, end_column: end.max(start + 1), text };
        Place { file: Arc::clone(&self.source.file), spot: Some(spot) }
    }
}

/// A range of bytes of one of the sources, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    source: usize,
    start: usize,
    end: usize,
}

impl Span {
    /// The mark as a span; `None` if the source is temporary, as with variables.
    pub(super) fn of(self, sources: &[Source]) -> Option<Mark<'_>> {
        sources.get(self.source).map(|source| source.mark(self.start..self.end))
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct At<'s, T> {
    pub value: T,
    pub mark: Mark<'s>,
}

/// The merge of layers uses only values.
impl<T: Serialize> Serialize for At<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

/// Tables with their keys.
pub(super) type Homes = &'static [(&'static str, &'static [&'static str])];

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    found: Vec<((usize, usize), Problem)>,
    seen: HashSet<(usize, usize, &'static str)>,
    errors: usize,
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
        other: (Mark<'_>, &'static str),
    ) {
        self.add(Severity::Error, mark, code, &message.into(), None, Some(other));
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
        self.found.push(((index, 0), Problem { severity, code, message, place, related: None, hint }));
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
            let (message, hint) = (shown(message), hint.map(|hint| shown(&hint)));
            self.errors += usize::from(severity == Severity::Error);
            self.found.push((key, Problem { severity, code, message, place: mark.place(), related, hint }));
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

    /// All problems, in the order of the sources.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|(key, _)| *key);
        let mut problems: Vec<_> = self.found.into_iter().map(|(_, problem)| problem).collect();
        if let (true, Some(last)) = (self.cut, problems.last()) {
            let place = Place { file: Arc::clone(&last.place.file), spot: None };
            let severity = if self.errors > 0 { Severity::Error } else { Severity::Warning };
            let message = "there are more problems than are listed".to_owned();
            let hint = Some("fix these first".to_owned());
            problems.push(Problem { severity, code: "too-many", message, place, related: None, hint });
        }
        problems
    }
}

/// A text of a diagnostic: it may quote a key or a value, which may be long or secret.
fn shown(text: &str) -> String {
    mask(&clean_lines(text, LONGEST_ERROR))
}

/// Hint with the most similar known word, if there is one.
pub(super) type Hint = Option<String>;

/// A value of a file that is about to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'v, 's> {
    pub value: &'v DeValue<'s>,
    pub mark: Mark<'s>,
}

impl<'v, 's> Item<'v, 's> {
    pub(super) fn new(source: &'s Source, value: &'v Spanned<DeValue<'s>>) -> Self {
        Self { value: value.get_ref(), mark: source.mark(value.span()) }
    }

    fn wrong_type<T>(self, wanted: &str, hint: Hint, out: &mut Diagnostics) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        if !self.report_secrets(out) {
            out.error(self.mark, "bad-type", format!("expected {wanted}, found {found}"), hint);
        }
        None
    }

    /// Reports secrets inside a table or a list that is not read; whether there are any.
    fn report_secrets(self, out: &mut Diagnostics) -> bool {
        let source = self.mark.source;
        let before = out.count();
        match self.value {
            DeValue::Table(table) => {
                for (key, value) in table {
                    if is_secret_key(key.get_ref()) {
                        secret(source.mark(key.span()), "a secret does not belong in a configuration file", out);
                    } else if value.get_ref().is_table() || value.get_ref().is_array() {
                        Item::new(source, value).report_secrets(out);
                    }
                }
            }
            DeValue::Array(array) => {
                for value in array.iter().filter(|value| value.get_ref().is_table()) {
                    Item::new(source, value).report_secrets(out);
                }
            }
            _ => {}
        }
        out.count() > before
    }

    /// Reads a string; rejects one that looks like a credential, or has characters that act on the text around it.
    pub(super) fn text(self, out: &mut Diagnostics) -> Option<&'v str> {
        let Some(text) = self.value.as_str() else {
            return self.wrong_type("a string", Some(self.as_text()), out);
        };
        if let Some(range) = find_key_id(text) {
            secret(self.mark.inside(text, range), "this looks like an access key id", out);
            return None;
        }
        let hidden = |c: char| is_hidden(c) && !matches!(c, '\n' | '\t');
        if let Some((at, c)) = text.char_indices().find(|(_, c)| hidden(*c)) {
            let mark = self.mark.inside(text, at..at + c.len_utf8());
            let message = format!("this has the invisible character U+{:04X}", u32::from(c));
            out.error(
                mark,
                "hidden-character",
                message,
                Some("remove it: it changes how terminals show the text".into()),
            );
            return None;
        }
        Some(text)
    }

    /// Hint for another value where a string is expected.
    fn as_text(self) -> String {
        let Some(list) = self.value.as_array() else {
            let written = self.mark.text();
            let short = !written.contains(['"', '\n']) && written.len() <= 64;
            return if short { format!("write it in quotes: \"{written}\"") } else { "write it in quotes".into() };
        };
        let texts: Vec<&str> = list.iter().filter_map(|value| value.get_ref().as_str()).collect();
        match *texts.as_slice() {
            [only] => format!("write it without brackets: \"{only}\""),
            [first, ..] if first.starts_with("ecd-") || first.starts_with("ws-") => {
                "several instances are a list under `instance_ids`".into()
            }
            _ => "one text, without brackets".into(),
        }
    }

    /// Hint for a string where a list of strings is expected.
    fn as_list(self) -> Hint {
        let text = self.value.as_str()?;
        let parts: Vec<&str> = text.split([',', ';', ' ']).map(str::trim).filter(|part| !part.is_empty()).collect();
        let quoted = |parts: &[&str]| format!("write a list: [\"{}\"]", parts.join("\", \""));
        let several = parts.len() > 1 && text.contains([',', ';']);
        Some(if several { quoted(&parts) } else { quoted(&[text.trim()]) })
    }

    pub(super) fn table(self, wanted: &str, out: &mut Diagnostics) -> Option<&'v DeTable<'s>> {
        let single = self.mark.text().strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let hint = single.filter(|text| text.starts_with('[')).map(|text| match text {
            "[profile]" => "write `[profile.NAME]`, in single brackets".to_owned(),
            text => format!("write `{text}`, in single brackets"),
        });
        self.value.as_table().or_else(|| self.wrong_type(wanted, hint, out))
    }

    /// Reads the table of a key that people often write as another value.
    pub(super) fn table_of(self, key: &str, wanted: &str, out: &mut Diagnostics) -> Option<&'v DeTable<'s>> {
        self.value.as_table().or_else(|| self.wrong_type(wanted, mistakes::table(key, self.value), out))
    }

    /// Reads the elements of a list.
    pub(super) fn list(self, wanted: &str, out: &mut Diagnostics) -> Option<Vec<Item<'v, 's>>> {
        let Some(array) = self.value.as_array() else { return self.wrong_type(wanted, self.as_list(), out) };
        Some(array.iter().map(|value| Item::new(self.mark.source, value)).collect())
    }

    pub(super) fn bool(self, out: &mut Diagnostics) -> Option<bool> {
        if let (true, Some(word)) = (self.mark.source.untyped, self.value.as_str())
            && let Some(meant) = mistakes::boolean(word)
        {
            return Some(meant);
        }
        let meant = match self.value {
            DeValue::String(word) => mistakes::boolean(word),
            DeValue::Integer(_) => mistakes::boolean(self.mark.text()),
            _ => None,
        };
        let hint = meant
            .map_or("true or false, without quotes".to_owned(), |meant| format!("write `{meant}`, without quotes"));
        self.value.as_bool().or_else(|| self.wrong_type("true or false", Some(hint), out))
    }

    /// Hint for a number in quotes, or a whole number with a point.
    fn as_number(self) -> Hint {
        match self.value {
            DeValue::String(text) => {
                let number: i64 = text.trim().parse().ok()?;
                Some(format!("write {number}, without quotes"))
            }
            DeValue::Float(float) => {
                let whole = float.as_str().trim_end_matches('0').strip_suffix('.')?;
                Some(format!("write {whole}"))
            }
            _ => None,
        }
    }

    /// Reads an integer from `min` to `max`.
    pub(super) fn integer<T: TryFrom<i64>>(self, min: i64, max: i64, out: &mut Diagnostics) -> Option<T> {
        let number = match self.value {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
            DeValue::String(text) if self.mark.source.untyped => text.trim().parse().ok(),
            _ => return self.wrong_type("an integer", self.as_number(), out),
        };
        let fits = number.filter(|number| (min..=max).contains(number)).and_then(|number| T::try_from(number).ok());
        if fits.is_none() {
            out.error(self.mark, "out-of-range", format!("expected an integer from {min} to {max}"), None);
        }
        fits
    }

    /// Reads a number above 0 and at most `max`.
    pub(super) fn positive(self, max: f64, out: &mut Diagnostics) -> Option<f64> {
        let number = match self.value {
            // Both kinds may contain `_` between digits; toml has removed it.
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse::<f64>().ok(),
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            DeValue::String(text) if self.mark.source.untyped => text.trim().parse().ok(),
            _ => return self.wrong_type("a number", self.as_number(), out),
        };
        let fits = number.filter(|number| *number > 0.0 && *number <= max);
        if fits.is_none() {
            out.error(self.mark, "out-of-range", format!("expected a number above 0, at most {max}"), None);
        }
        fits
    }

    /// Reads a duration such as `15m` or `2h 30m`, at least `min` and at most ten years.
    pub(super) fn duration(self, min: Duration, out: &mut Diagnostics) -> Option<Duration> {
        let Some(text) = self.value.as_str() else {
            let hint = match self.value {
                DeValue::Integer(number) if number.radix() == 10 => mistakes::with_units(number.as_str()),
                _ => "write a string with a unit, like \"15m\" or \"2h 30m\"".into(),
            };
            return self.wrong_type("a duration", Some(hint), out);
        };
        match humantime::parse_duration(text) {
            Ok(period) if period < min => {
                let message = format!("a duration of {text} is too short here");
                let least = humantime::format_duration(min);
                out.error(self.mark, "out-of-range", message, Some(format!("at least {least}")));
                None
            }
            Ok(period) if period > LONGEST => {
                out.error(
                    self.mark,
                    "out-of-range",
                    format!("a duration of {text} is too long"),
                    Some("at most 10 years".into()),
                );
                None
            }
            Ok(period) => Some(period),
            Err(error) => {
                let number = text.trim();
                let hint = if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
                    mistakes::with_units(number)
                } else if let Some(meant) = mistakes::duration(text) {
                    format!("write \"{meant}\"")
                } else {
                    "durations look like \"90s\", \"15m\", \"2h 30m\" or \"7d\"".into()
                };
                out.error(self.mark, "bad-duration", format!("`{text}` is not a duration: {error}"), Some(hint));
                None
            }
        }
    }

    /// Whether it is this string.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.value.as_str() == Some(word)
    }

    /// Reads one of a few words.
    pub(super) fn one_of<T: Copy>(self, words: &[(&str, T)], out: &mut Diagnostics) -> Option<T> {
        if !self.value.is_str() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            return self.wrong_type("a word in quotes", Some(format!("one of \"{}\"", known.join("\", \""))), out);
        }
        let text = self.text(out)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint = match closest(text, known.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("one of \"{}\"", known.join("\", \"")),
            };
            out.error(self.mark, "bad-value", format!("`{text}` is not one of the values of this key"), Some(hint));
        }
        found
    }

    /// Reads a table of strings.
    pub(super) fn texts(self, out: &mut Diagnostics) -> Option<Vec<(At<'s, String>, At<'s, String>)>> {
        let source = self.mark.source;
        let table = self.table_of("tags", "a table of strings", out)?;
        let mut texts = Vec::with_capacity(table.len());
        for (key, value) in table {
            let mark = source.mark(key.span());
            let value = Item::new(source, value);
            if is_secret_key(key.get_ref()) {
                secret(mark, "a secret does not belong in a configuration file", out);
            } else if let Some(text) = value.text(out) {
                let key = At { value: key.get_ref().to_string(), mark };
                texts.push((key, At { value: text.to_owned(), mark: value.mark }));
            }
        }
        Some(texts)
    }
}

/// Reports a secret.
pub(super) fn secret(mark: Mark<'_>, message: &str, out: &mut Diagnostics) {
    let hint = "remove it and replace the key, which others may have seen; credentials come from the environment, \
                files, a profile or a role: see `credentials` of [cloud]";
    out.error(mark, "secret-in-file", message, Some(hint.into()));
}

/// Strings without duplicates, by key.
pub(super) fn to_map(texts: Vec<(At<'_, String>, At<'_, String>)>) -> BTreeMap<String, String> {
    texts.into_iter().map(|(key, value)| (key.value, value.value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(text: &str, span: Range<usize>) -> (usize, usize, usize) {
        let source = Source::new(0, Path::new("x"), text.into(), false);
        let spot = source.mark(span).place().spot.unwrap();
        (spot.line, spot.column, spot.end_column)
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(spot("a = 1\nb = 2\n", 6..7), (2, 1, 2));
        assert_eq!(spot("# 备份\r\n名 = 1\r\n", 10..13), (2, 1, 2));
        assert_eq!(spot("名 = 1", 4..6), (1, 3, 5));
        assert_eq!(spot("", 0..0), (1, 1, 2));
        assert_eq!(spot("a\nb\n", 4..4), (3, 1, 2));
    }

    #[test]
    fn a_place_inside_a_string_is_found_unless_it_has_escapes() {
        let text = |written: &str, value: &str, span: Range<usize>| {
            let source = Source::new(0, Path::new("x"), written.into(), false);
            source.mark(0..written.len()).inside(value, span).text().to_owned()
        };
        assert_eq!(text("\"61 3 * * *\"", "61 3 * * *", 0..2), "61");
        assert_eq!(text("'0 3 * * 9'", "0 3 * * 9", 8..9), "9");
        assert_eq!(text("\"\"\"\n0 25 * * *\"\"\"", "0 25 * * *", 2..4), "25");
        assert_eq!(text(r#""\u0030 25 * * *""#, "0 25 * * *", 2..4), r#""\u0030 25 * * *""#);
    }
}
