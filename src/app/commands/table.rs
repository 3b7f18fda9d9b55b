//! Tables: whole rows into a pipe, so that `grep` finds them; on a terminal as wide as it is, or a block per row. No word
//! is ever broken: ids are copied from the output.

use unicode_width::UnicodeWidthStr;

use super::colors::without_colors;
use crate::domain::time::words::words;

/// Text for an absent value.
pub const NONE: &str = "-";

/// A table without lines.
#[derive(Debug, Clone)]
pub struct Rows {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Columns that a narrow terminal omits, in this order.
    spared: Vec<&'static str>,
    /// The columns in the first line of a block; none: the first column.
    titles: Vec<&'static str>,
    /// Whether a narrow terminal has blocks even if the table fits.
    prefers_blocks: bool,
    color: bool,
}

/// Below this width a table with [`Rows::in_blocks`] is a block per row.
const NARROW: usize = 110;
/// A terminal counts as at least this wide.
const NARROWEST: usize = 40;
/// A terminal counts as at least this high.
const SHORTEST: usize = 16;
/// An answer is at most this long, however high the terminal is: it is read at a glance, and an option shows all.
pub(super) const LONGEST_ANSWER: usize = 25;
/// Lines around a list on a terminal: its heading, its end.
const AROUND: usize = 4;
/// Minimum width of the last column, which wraps.
const LAST: usize = 24;
/// Between two columns.
const GAP: usize = 2;
/// Before the lines of a block after its first.
const INDENT: usize = 4;

/// The width of the terminal; `None` for a pipe or a file.
pub fn terminal_width() -> Option<usize> {
    let size = terminal_size::terminal_size_of(std::io::stdout());
    size.map(|(width, _)| usize::from(width.0).max(NARROWEST))
}

/// The same of standard error.
pub(super) fn error_width() -> Option<usize> {
    let size = terminal_size::terminal_size_of(std::io::stderr());
    size.map(|(width, _)| usize::from(width.0).max(NARROWEST))
}

/// The lines of the terminal that an output may fill, so that its first line stays in sight; `None` for a pipe or a file.
pub(super) fn screen() -> Option<usize> {
    let size = terminal_size::terminal_size_of(std::io::stdout());
    size.map(|(_, height)| (usize::from(height.0).max(SHORTEST) - 1).min(LONGEST_ANSWER))
}

/// How many of them a list may have, beside what stands around it.
pub fn room() -> Option<usize> {
    screen().map(|lines| lines - AROUND)
}

/// How many lines a list may have above this text, besides its heading; `None` for a pipe or a file.
pub fn room_above(text: &str) -> Option<usize> {
    let below = wrapped_lines(text, terminal_width()).lines().count();
    screen().map(|lines| lines.saturating_sub(below + 1).max(1))
}

/// The text with each line that is too long for the terminal wrapped between words, indented like its beginning. Lines of
/// a source with its line numbers and carets stay whole.
pub(super) fn wrapped_lines(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let wrap_one = |line: &str| {
        let plain = without_colors(line);
        let words = plain.trim_start();
        let code = words.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let is_source = code.starts_with('|') || words.starts_with("-->") || words.starts_with(":::");
        if is_source || plain.width() <= width {
            return line.to_owned();
        }
        let begin = plain.len() - words.len();
        let indent = if words.starts_with("= ") { begin + 2 } else { begin.max(2) };
        wrapped_to(line, indent.min(width / 2), width)
    };
    text.split('\n').map(wrap_one).collect::<Vec<_>>().join("\n")
}

/// The text with each of its lines wrapped between words, continued lines indented by `indent`.
pub fn wrapped(text: &str, indent: usize) -> String {
    match terminal_width() {
        Some(width) => wrapped_to(text, indent, width),
        None => text.to_owned(),
    }
}

pub(super) fn wrapped_to(text: &str, indent: usize, width: usize) -> String {
    let wrap = |line: &str| wrap(line, width, width.saturating_sub(indent)).join(&format!("\n{}", " ".repeat(indent)));
    text.split('\n').map(wrap).collect::<Vec<_>>().join("\n")
}

/// Lines of at most `first` and then `rest` columns; a longer word is a line of its own. Spaces between words stay, except
/// where a line is broken.
fn wrap(text: &str, first: usize, rest: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut used, mut gap, mut has_word) = (0, 0, false);
    for word in words(text) {
        if word.is_empty() {
            gap += 1;
            continue;
        }
        let limit = if lines.len() == 1 { first } else { rest };
        let word_width = without_colors(word).width();
        if has_word && used + gap + word_width > limit {
            lines.push(String::new());
            (used, gap) = (0, 0);
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(&" ".repeat(gap));
            line.push_str(word);
        }
        used += gap + word_width;
        (gap, has_word) = (1, true);
    }
    lines
}

impl Rows {
    pub fn new(header: &[&str], color: bool) -> Self {
        let header = header.iter().copied().map(str::to_owned).collect();
        Self { header, rows: Vec::new(), spared: Vec::new(), titles: Vec::new(), prefers_blocks: false, color }
    }

    /// On a narrow terminal these columns are omitted, one after the other.
    pub fn sparing(self, spared: &[&'static str]) -> Self {
        Self { spared: spared.to_vec(), ..self }
    }

    /// On a narrow terminal each row is a block with these columns in its first line, and nothing is omitted.
    pub fn in_blocks(self, titles: &[&'static str]) -> Self {
        Self { prefers_blocks: true, ..self.or_blocks(titles) }
    }

    /// Where the table does not fit, each row is a block with these columns in its first line.
    pub fn or_blocks(self, titles: &[&'static str]) -> Self {
        Self { titles: titles.to_vec(), ..self }
    }

    pub fn row<S: ToString>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|cell| cell.to_string().replace('\n', " ")).collect());
    }

    /// The lines, trimmed on the right, with a line break after each.
    pub fn render(self) -> String {
        self.render_to(terminal_width())
    }

    fn render_to(self, width: Option<usize>) -> String {
        let (head, rows) = self.pieces(width);
        head + &rows.concat()
    }

    /// The first rows that `most` lines have room for, at least one, and their number; all of them without a limit.
    pub fn render_first(self, most: Option<usize>) -> (String, usize) {
        let (head, rows) = self.pieces(terminal_width());
        let shown = fitting(rows.iter(), most);
        (head + &rows[..shown].concat(), shown)
    }

    /// The same with the last rows.
    pub fn render_last(self, most: Option<usize>) -> (String, usize) {
        let order: Vec<usize> = (0..self.rows.len()).rev().collect();
        self.render_chosen((usize::MAX, most), &order)
    }

    /// The same with the rows that come first in `order`, which has all of them by their number, at most `limit`; they are
    /// printed as they stand in the table.
    pub fn render_chosen(self, (limit, most): (usize, Option<usize>), order: &[usize]) -> (String, usize) {
        let (head, rows) = self.pieces(terminal_width());
        let order = &order[..limit.min(order.len())];
        let shown = fitting(order.iter().map(|&row| &rows[row]), most);
        let mut chosen = order[..shown].to_vec();
        chosen.sort_unstable();
        (head + &chosen.iter().map(|&row| rows[row].as_str()).collect::<String>(), shown)
    }

    /// The heading, and the lines of each row.
    fn pieces(self, width: Option<usize>) -> (String, Vec<String>) {
        let Some(width) = width else { return self.table(None) };
        if self.prefers_blocks && width < NARROW {
            return (String::new(), self.blocks(width));
        }
        let mut fitted = self.clone();
        fitted.fit(width);
        if fitted.needs() <= width { fitted.table(Some(width)) } else { (String::new(), self.blocks(width)) }
    }

    /// Omits columns until the rest fits.
    fn fit(&mut self, width: usize) {
        for spared in std::mem::take(&mut self.spared) {
            if self.needs() <= width {
                return;
            }
            if let Some(index) = self.header.iter().position(|name| name == spared) {
                self.header.remove(index);
                for row in &mut self.rows {
                    row.remove(index);
                }
            }
        }
    }

    fn last(&self) -> usize {
        self.header.len().saturating_sub(1)
    }

    /// The widest cell of a column.
    fn widest(&self, index: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(index)).chain(self.header.get(index));
        cells.map(|cell| cell.width()).max().unwrap_or_default()
    }

    /// Width of the table if only the last column wraps, between words.
    fn needs(&self) -> usize {
        let last = self.last();
        let all = self.rows.iter().filter_map(|row| row.get(last)).flat_map(|cell| words(cell));
        let longest_word = all.map(UnicodeWidthStr::width).max().unwrap_or_default();
        let of_last = self.widest(last).min(LAST.max(longest_word));
        (0..last).map(|index| self.widest(index) + GAP).sum::<usize>() + of_last
    }

    fn table(&self, width: Option<usize>) -> (String, Vec<String>) {
        let last = self.last();
        let widths: Vec<usize> = (0..last).map(|index| self.widest(index)).collect();
        let before: usize = widths.iter().map(|width| width + GAP).sum();
        let mut all = Vec::with_capacity(self.rows.len());
        for (number, row) in std::iter::once(&self.header).chain(&self.rows).enumerate() {
            let (mut text, mut line) = (String::new(), String::new());
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let cell_width = cell.width();
                line.push_str(&if number == 0 { cell.clone() } else { self.painted(index, cell) });
                line.push_str(&" ".repeat(width.saturating_sub(cell_width) + GAP));
            }
            let cell = row.get(last).map_or("", String::as_str);
            let room = width.map_or(usize::MAX, |width| width.saturating_sub(before).max(1));
            let lines = if width.is_some() { wrap(cell, room, room) } else { vec![cell.to_owned()] };
            for (number, part) in lines.iter().enumerate() {
                if number > 0 {
                    line = " ".repeat(before);
                }
                line.push_str(&if lines.len() == 1 && last > 0 { self.painted(last, part) } else { part.clone() });
                text.push_str(line.trim_end());
                text.push('\n');
            }
            all.push(text);
        }
        (all.remove(0), all)
    }

    /// A block per row: its titles; then the other cells with their names, as many in a line as it has room for; then the
    /// last cell.
    fn blocks(&self, width: usize) -> Vec<String> {
        let titles = if self.titles.is_empty() {
            vec![self.header.first().map_or("", String::as_str)]
        } else {
            self.titles.clone()
        };
        let last = self.last();
        let block = |row: &Vec<String>| {
            let mut text = String::new();
            let cells = || self.header.iter().zip(row).enumerate().filter(|(_, (_, cell))| is_there(cell));
            let title = cells().filter(|(_, (name, _))| titles.contains(&name.as_str()));
            let title: Vec<(usize, String)> = title
                .map(|(index, (name, cell))| (titled(name, cell).width(), self.painted(index, &titled(name, cell))))
                .collect();
            text.push_str(&flow(&title, "  ", (0, INDENT), width));
            let rest = cells().filter(|(index, (name, _))| *index != last && !titles.contains(&name.as_str()));
            let rest: Vec<(usize, String)> = rest
                .map(|(index, (name, cell))| {
                    let label = name.to_lowercase();
                    (label.width() + 1 + cell.width(), format!("{} {}", self.dimmed(&label), self.painted(index, cell)))
                })
                .collect();
            text.push_str(&flow(&rest, "   ", (INDENT, INDENT), width));
            if let Some(cell) =
                row.get(last).filter(|cell| is_there(cell) && !titles.contains(&self.header[last].as_str()))
            {
                let lines = wrap(cell, width.saturating_sub(INDENT), width.saturating_sub(INDENT));
                text.push_str(&lines.iter().map(|line| format!("{}{line}\n", " ".repeat(INDENT))).collect::<String>());
            }
            text
        };
        self.rows.iter().map(block).collect()
    }

    fn dimmed(&self, text: &str) -> String {
        if self.color { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A cell of the column STATE in the colour of the state.
    fn painted(&self, column: usize, cell: &str) -> String {
        let is_state = self.header.get(column).is_some_and(|name| name == "STATE");
        match color_of(cell).filter(|_| self.color && is_state) {
            Some(code) => format!("\u{1b}[{code}m{cell}\u{1b}[0m"),
            None => cell.to_owned(),
        }
    }
}

/// How many of the rows `most` lines have room for, at least one.
fn fitting<'a>(rows: impl ExactSizeIterator<Item = &'a String>, most: Option<usize>) -> usize {
    let Some(most) = most else { return rows.len() };
    let mut used = 0;
    let fits = rows.take_while(|row| {
        used += row.lines().count();
        used <= most
    });
    fits.count().max(1)
}

fn is_there(cell: &str) -> bool {
    !cell.is_empty() && cell != NONE
}

/// A cell in the first line of a block: numbers say what they are.
fn titled(name: &str, cell: &str) -> String {
    match name {
        "BAKE" => format!("bake {cell}"),
        "V" => format!("v{cell}"),
        _ => cell.to_owned(),
    }
}

/// Cells, each with its width, in lines of at most `width`; each line with a line break. The first line is indented by the
/// first number, the others by the second.
fn flow(cells: &[(usize, String)], gap: &str, (indent, hanging): (usize, usize), width: usize) -> String {
    let mut text = " ".repeat(indent);
    let (mut used, mut is_first) = (indent, true);
    for (cell_width, cell) in cells {
        if is_first {
            is_first = false;
        } else if used + gap.len() + cell_width > width {
            text.push_str(&format!("\n{}", " ".repeat(hanging)));
            used = hanging;
        } else {
            text.push_str(gap);
            used += gap.len();
        }
        text.push_str(cell);
        used += cell_width;
    }
    if cells.is_empty() { String::new() } else { format!("{text}\n") }
}

/// The colour of a state of bakes, as a number of ANSI.
pub fn color_of(state: &str) -> Option<&'static str> {
    Some(match state {
        "succeeded" => "32",
        "failed" => "31;1",
        "skipped" => "33",
        "unknown" | "vetoed" => "35",
        "building" | "creating" | "stopping" | "starting" | "preparing" | "finishing" | "ready" => "36",
        "cancelled" | "queued" => "2",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> Rows {
        let mut rows = Rows::new(&["BAKE", "WHEN", "STATE", "IMAGE", "REASON"], false);
        let reason = "one two three four five six seven eight nine ten cb3f2a90-77c1-4f0e-9a4b-2d3c5e6f7a8b";
        rows.row(["1", "3h 12m ago, which is long", "succeeded", "imgc-0123456789abcdef", reason]);
        rows.row(["2", "now", "queued", "-", ""]);
        rows
    }

    #[test]
    fn a_list_ends_where_its_room_does() {
        let rows = ["one\n", "two\nlines\n", "three\n"].map(str::to_owned);
        let shown = |most| fitting(rows.iter(), most);
        assert_eq!([shown(Some(1)), shown(Some(2)), shown(Some(3)), shown(Some(9)), shown(None)], [1, 1, 2, 3, 3]);
        assert_eq!(fitting(rows.iter().rev(), Some(3)), 2);
        assert_eq!(shown(Some(0)), 1, "one in any case");
    }

    #[test]
    fn long_lines_are_wrapped_and_lines_of_a_source_are_not() {
        let text = "error[x]: one two three four five six\n 7 | key = \"a long value of this line\"\n   = help: one two three four\n";
        let shown = wrapped_lines(text, Some(20));
        assert_eq!(
            shown,
            "error[x]: one two\n  three four five\n  six\n 7 | key = \"a long value of this line\"\n   = help: one two\n     three four\n"
        );
        assert_eq!(wrapped_lines(text, None), text);
        let colored = wrapped_lines("\u{1b}[32mok\u{1b}[0m    disk: one two three", Some(20));
        assert_eq!(colored, "\u{1b}[32mok\u{1b}[0m    disk: one two\n  three");
    }

    #[test]
    fn a_narrow_terminal_goes_without_what_can_be_spared_and_breaks_no_word() {
        let rows = history().sparing(&["WHEN", "IMAGE"]);
        let whole = rows.clone().render_to(Some(120));
        assert!(whole.contains("3h 12m ago, which is long") && whole.contains("imgc-"), "{whole}");
        let narrow = rows.clone().render_to(Some(80));
        assert!(!narrow.contains("WHEN") && narrow.contains("imgc-0123456789abcdef"), "{narrow}");
        assert!(!rows.clone().render_to(Some(60)).contains("IMAGE"));
        for width in 40..140 {
            let text = rows.clone().render_to(Some(width));
            assert!(text.contains("cb3f2a90-77c1-4f0e-9a4b-2d3c5e6f7a8b"), "{width}: {text}");
            assert!(text.lines().all(|line| line.width() <= width), "{width}: {text}");
        }
        assert_eq!(rows.render_to(None).lines().count(), 3, "a pipe has whole rows");
    }

    #[test]
    fn blocks_omit_nothing_and_fit() {
        let rows = history().in_blocks(&["BAKE", "STATE"]);
        assert_eq!(rows.clone().render_to(Some(109)).lines().next(), Some("bake 1  succeeded"));
        assert!(rows.clone().render_to(Some(130)).starts_with("BAKE  WHEN"));
        let text = rows.render_to(Some(50));
        assert_eq!(
            text,
            "bake 1  succeeded\n    when 3h 12m ago, which is long\n    image imgc-0123456789abcdef\n    \
             one two three four five six seven eight nine\n    ten cb3f2a90-77c1-4f0e-9a4b-2d3c5e6f7a8b\n\
             bake 2  queued\n    when now\n"
        );
    }

    #[test]
    fn wide_letters_count_twice() {
        let mut rows = Rows::new(&["NAME", "STATE", "X"], false);
        rows.row(["平台", "failed", "x"]);
        rows.row(["abcd", "failed", "x"]);
        assert_eq!(rows.render_to(Some(80)), "NAME  STATE   X\n平台  failed  x\nabcd  failed  x\n");
    }

    #[test]
    fn only_states_are_painted() {
        let mut rows = Rows::new(&["STATE", "REASON"], true);
        rows.row(["failed", "failed"]);
        assert!(rows.render_to(None).ends_with("\u{1b}[31;1mfailed\u{1b}[0m  failed\n"));
    }

    #[test]
    fn a_time_is_never_broken() {
        let text = "next try (Sat 2026-11-28 14:01:33 +00:00), and 2026-11-28 14:01 or 14:01 +08:00; Sat is a day  x";
        for width in 34..60 {
            let wrapped = wrapped_to(text, 2, width);
            assert!(wrapped.lines().any(|line| line.contains("Sat 2026-11-28 14:01:33 +00:00")), "{wrapped}");
        }
    }

    #[test]
    fn text_is_wrapped_between_words_and_keeps_its_indent() {
        assert_eq!(wrapped_to("  ab cd ef\nx", 4, 8), "  ab cd\n    ef\nx");
        assert_eq!(wrapped_to("  ab   cd  ef", 7, 10), "  ab   cd\n       ef", "columns stay");
        assert_eq!(wrapped_to("ab longer-than-the-line cd", 2, 8), "ab\n  longer-than-the-line\n  cd");
    }
}
