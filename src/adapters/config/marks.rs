//! The texts of a configuration, and ranges in them.

use std::{
    cell::{OnceCell, RefCell},
    ops::Range,
    path::Path,
    sync::Arc,
};

use serde::{Serialize, Serializer};

use super::problem::{Place, Spot, mask_line, may_continue_secret};

/// Maximum length of a shown line, in bytes. Of a longer one, line and column are shown.
const LONGEST_LINE: usize = 500;
/// Number of lines before a line among which the begin of its value is looked for.
const MOST_CONTINUED: usize = 20;
/// Bytes between two counts of characters.
const BLOCK: usize = 256;

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
    /// First byte of each line.
    starts: OnceCell<Vec<usize>>,
    /// Number of characters before each block of [`BLOCK`] bytes: a column far into a long line needs no walk over it.
    blocks: OnceCell<Vec<usize>>,
    /// The line that was masked last, by its first byte: many problems of one line share its text.
    masked: RefCell<Option<(usize, Arc<str>)>>,
}

impl Source {
    pub(super) fn new(index: usize, file: &Path, text: String, untyped: bool) -> Self {
        let (starts, blocks, masked) = (OnceCell::new(), OnceCell::new(), RefCell::new(None));
        Self { index, file: file.into(), text, lines_before: 0, untyped, starts, blocks, masked }
    }

    pub(super) fn mark(&self, span: Range<usize>) -> Mark<'_> {
        Mark { source: self, start: span.start.min(self.text.len()), end: span.end.min(self.text.len()) }
    }

    fn starts(&self) -> &[usize] {
        self.starts.get_or_init(|| {
            std::iter::once(0).chain(self.text.match_indices('\n').map(|(newline, _)| newline + 1)).collect()
        })
    }

    /// First byte and end of the line that has the byte `at`, and its number from 1.
    fn line_of(&self, at: usize) -> (Range<usize>, usize) {
        let starts = self.starts();
        let line = starts.partition_point(|start| *start <= at).max(1);
        let end = starts.get(line).map_or(self.text.len(), |next| next - 1);
        (starts[line - 1]..end, line)
    }

    /// Number of characters that begin before the byte `at`.
    fn chars_before(&self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let begun = |bytes: &[u8]| bytes.iter().filter(|byte| **byte & 0b1100_0000 != 0b1000_0000).count();
        let blocks = self.blocks.get_or_init(|| {
            let sums = bytes.chunks(BLOCK).scan(0, |sum, block| {
                *sum += begun(block);
                Some(*sum)
            });
            std::iter::once(0).chain(sums).collect()
        });
        let at = at.min(bytes.len());
        blocks[at / BLOCK] + begun(&bytes[at / BLOCK * BLOCK..at])
    }

    /// Whether a line of text may belong to the value of an earlier line that is a secret.
    fn continues_secret(&self, first: usize, line: &str) -> bool {
        if line.contains('=') || line.trim_start().starts_with('[') {
            return false;
        }
        let mut before = self.text.get(..first).unwrap_or_default().lines().rev().take(MOST_CONTINUED);
        before.find(|line| line.contains('=')).is_some_and(may_continue_secret)
    }

    /// The line without its secrets.
    fn masked(&self, first: usize, line: &str) -> Arc<str> {
        let mut last = self.masked.borrow_mut();
        if let Some((at, text)) = &*last
            && *at == first
        {
            return Arc::clone(text);
        }
        let text = if self.continues_secret(first, line) { "*".repeat(line.chars().count()) } else { mask_line(line) };
        let text: Arc<str> = text.into();
        *last = Some((first, Arc::clone(&text)));
        text
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

    /// Its line, as the source and the line's first byte.
    pub(super) fn line(self) -> (usize, usize) {
        (self.source.index, self.source.line_of(self.start).0.start)
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
        let source = self.source;
        let (range, line) = source.line_of(self.start);
        let from = range.start;
        let content = source.text.get(range).unwrap_or("");
        let content = content.strip_suffix('\r').unwrap_or(content);
        let before = source.chars_before(from);
        let column = |at: usize| source.chars_before(at.clamp(from, from + content.len())) - before + 1;
        let (start, end) = (column(self.start), column(self.end));
        let line = line + source.lines_before;
        let text = if content.len() > LONGEST_LINE { "".into() } else { source.masked(from, content) };
        let spot = Spot { line, column: start, end_column: end.max(start + 1), text };
        Place { file: Arc::clone(&self.source.file), spot: Some(spot) }
    }
}

/// A range of bytes of one of the sources, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
