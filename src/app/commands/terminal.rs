//! Standard output and the terminal.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

use super::table::{error_width, wrapped_lines};
use crate::domain::text::is_hidden;

/// Reports progress to a terminal; not to programs and logs.
pub(super) fn progress(step: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("{step} …");
    }
}

/// Shows a line in place of the last one on a terminal; an empty one removes it. Nothing elsewhere.
pub(super) fn progress_line(line: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        // Nobody reads a terminal that is gone.
        let _ = write!(stderr, "\r\u{1b}[K{}", printable(line)).and_then(|()| stderr.flush());
    }
}

/// Prints; a closed output, as in `imagebaked history | head`, is no error.
pub(super) fn print_text(text: &str) {
    try_print_text(text);
}

/// Prints; returns whether the output is open. Texts are cleaned where they come in; a history of an earlier version may
/// have others, so that only colours pass here.
pub(super) fn try_print_text(text: &str) -> bool {
    print_raw(&printable(text))
}

/// Moves the cursor or clears lines.
pub(super) fn control(sequence: &str) {
    print_raw(sequence);
}

/// An error on standard error.
pub(super) fn print_error(text: &str) {
    eprintln!("{}", wrapped_lines(&printable(text), error_width()));
}

/// Prints what a command has to say to people and programs; the error of a full disk is the caller's.
pub(super) fn write_text(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(printable(text).as_bytes()).and_then(|()| stdout.flush())
}

fn print_raw(text: &str) -> bool {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}

/// The text with escapes in place of hidden characters, except for line ends, tabs and colours. In JSON they are escapes
/// of JSON.
fn printable(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !is_hidden(c) || matches!(c, '\n' | '\t');
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    // Long JSON is printed in pieces, each of which begins with a value.
    let is_json = text.trim_start_matches(',').starts_with(['{', '[']);
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let color = color(rest);
        if color > 0 {
            shown.push_str(&rest[..color]);
        } else if is_plain(c) {
            shown.push(c);
        } else if is_json {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.extend(c.escape_default());
        }
        rest = &rest[color.max(c.len_utf8())..];
    }
    Cow::Owned(shown)
}

/// Length of the colour at the beginning of a text: `ESC [`, numbers and semicolons, `m`.
fn color(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return 0 };
    let numbers = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    if rest[numbers..].starts_with('m') { 2 + numbers + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_lines_and_tabs_reach_a_terminal() {
        let own = "1  \u{1b}[31;1mfailed\u{1b}[0m\tx\n";
        assert_eq!(printable(own), own);
        assert_eq!(printable("a\u{1b}[2Jb\u{1b}]0;t\u{7}\r\u{9b}5n"), r"a\u{1b}[2Jb\u{1b}]0;t\u{7}\r\u{9b}5n");
        let json = serde_json::json!({"name": "a\u{9b}\u{202e}\u{e0041}"});
        let shown = printable(&json.to_string()).into_owned();
        assert!(shown.is_ascii(), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), json, "it is the same JSON");
    }
}
