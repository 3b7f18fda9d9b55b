//! Text from outside: the cloud, the control socket, an import, the output of hooks. Characters that change how a terminal,
//! a log or a file shows the text around them are replaced by their escapes, and the length is bounded.
//!
//! ```
//! use imagebaked::domain::text::clean;
//!
//! assert_eq!(clean("golden\u{1b}[2J\nok", 100), r"golden\u{1b}[2J\nok");
//! assert_eq!(clean("a long name", 6), "a lon…");
//! ```

use std::{borrow::Cow, fmt};

use serde_json::Value;

/// `1 bake`, `2 bakes`.
pub fn counted<N: fmt::Display + PartialEq + From<u8>>(n: N, one: &str, many: &str) -> String {
    format!("{n} {}", if n == N::from(1) { one } else { many })
}

/// Maximum length of a name, an id, a tag or a reason, in characters. The longest of the cloud's own is 256.
pub const LONGEST_TEXT: usize = 1_000;

/// Maximum length of a text of a row in an import. The longest that is written is the output of a hook.
pub const LONGEST_STORED: usize = 65_536;

/// Maximum length of an error's own text, in characters: an error may quote what it could not read.
pub const LONGEST_ERROR: usize = 2_000;

/// Length of the beginning of a longer text that an error repeats, in characters.
pub const LONGEST_EXCERPT: usize = 200;

/// Stands in a text of the cloud for what could not be read.
pub const UNREADABLE: char = '\u{fffd}';

/// Whether a text of the cloud may have been `known`: any characters may have been where it could not be read.
///
/// ```
/// use imagebaked::domain::text::may_be;
///
/// assert!(may_be("golden v1", "golden v1") && may_be("golden \u{fffd}1", "golden v1"));
/// assert!(!may_be("golden v", "golden v1") && !may_be("\u{fffd}2", "golden v1"));
/// ```
pub fn may_be(text: &str, known: &str) -> bool {
    let mut pieces = text.split(UNREADABLE);
    let Some(rest) = pieces.next().and_then(|first| known.strip_prefix(first)) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    // The leftmost place of each piece leaves the most for the next ones.
    let rest = pieces.into_iter().try_fold(rest, |rest, piece| Some(&rest[rest.find(piece)? + piece.len()..]));
    rest.is_some_and(|rest| rest.ends_with(last))
}

/// Whether a character is invisible: control characters, marks of the direction of writing, separators of lines, tags, and
/// characters without width, by which two names differ that look the same. Selectors of variants stay, as emoji have them.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The text in one line of at most `longest` characters.
pub fn clean(text: &str, longest: usize) -> Cow<'_, str> {
    bounded(text, longest, |_| false)
}

/// The text in quotes, for a message: on one line, and the same if it is one already, so that nothing is escaped twice.
///
/// ```
/// use imagebaked::domain::text::quoted;
///
/// assert_eq!(quoted("a\u{1b}"), r#""a\u{1b}""#);
/// assert_eq!(quoted(r"a\u{1b}"), r#""a\u{1b}""#);
/// ```
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", clean(text, usize::MAX))
}

/// The text of at most `longest` characters; line ends and tabs stay.
pub fn clean_lines(text: &str, longest: usize) -> Cow<'_, str> {
    bounded(text, longest, |c| matches!(c, '\n' | '\t'))
}

/// The beginning of a text that is longer than `longest` characters, with its length: what an error repeats of its input.
pub fn excerpt(text: &str, longest: usize) -> Cow<'_, str> {
    match text.char_indices().nth(longest) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}… ({} characters)", &text[..end], text.chars().count())),
    }
}

/// The end of a text of several lines, at most `longest` bytes of it; line ends and tabs stay. An escape is kept whole or
/// left out.
pub fn clean_end(text: &str, longest: usize) -> String {
    let mut pieces = Vec::new();
    let mut length = 0;
    for c in text.chars().rev() {
        let piece: String =
            if is_hidden(c) && !matches!(c, '\n' | '\t') { c.escape_default().collect() } else { c.into() };
        length += piece.len();
        if length > longest {
            break;
        }
        pieces.push(piece);
    }
    pieces.into_iter().rev().collect()
}

/// Cleans every string and name of a JSON value in place. Tokens (`NextToken`) keep their length: a shortened one is another.
pub fn clean_json(value: &mut Value, longest: usize) {
    clean_strings(value, longest, clean);
}

/// Likewise; line ends and tabs stay.
pub fn clean_stored_json(value: &mut Value, longest: usize) {
    clean_strings(value, longest, clean_lines);
}

fn clean_strings(value: &mut Value, longest: usize, clean: fn(&str, usize) -> Cow<'_, str>) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(cleaned) = clean(text, longest) {
                *text = cleaned;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| clean_strings(value, longest, clean)),
        Value::Object(fields) => {
            if fields.keys().any(|name| name.contains(is_hidden)) {
                let entries = std::mem::take(fields).into_iter();
                *fields = entries.map(|(name, value)| (clean(&name, LONGEST_TEXT).into_owned(), value)).collect();
            }
            for (name, value) in fields {
                clean_strings(value, if name.ends_with("Token") { usize::MAX } else { longest }, clean);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// JSON with escapes of JSON in place of hidden characters: the same document, and a terminal shows it as it is.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        push_json(&mut escaped, c);
    }
    Cow::Owned(escaped)
}

/// Appends a character of a JSON document, a hidden one as its escape. Line ends and tabs stay: they stand between values.
pub fn push_json(json: &mut String, c: char) {
    if !is_hidden(c) || matches!(c, '\n' | '\t') {
        json.push(c);
        return;
    }
    for unit in c.encode_utf16(&mut [0; 2]) {
        json.push_str(&format!("\\u{unit:04x}"));
    }
}

fn bounded(text: &str, longest: usize, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_fine = |c: char| !is_hidden(c) || stays(c);
    let is_short = text.len() <= longest || text.chars().nth(longest).is_none();
    if is_short && text.chars().all(is_fine) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::new();
    let mut length = 0;
    for c in text.chars() {
        let escape = (!is_fine(c)).then(|| c.escape_default());
        length += escape.as_ref().map_or(1, ExactSizeIterator::len);
        // The last place is for the mark that something is left out.
        if length >= longest {
            cleaned.push('…');
            break;
        }
        match escape {
            Some(escape) => cleaned.extend(escape),
            None => cleaned.push(c),
        }
    }
    Cow::Owned(cleaned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn hidden_characters_become_visible() {
        for (from, to) in [
            ("\u{1b}]0;title\u{7}", r"\u{1b}]0;title\u{7}"),
            ("ok\r\nbake 7: succeeded", r"ok\r\nbake 7: succeeded"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("gnp.\u{202e}x", r"gnp.\u{202e}x"),
            ("\u{2066}a\u{2069}", r"\u{2066}a\u{2069}"),
            ("a\u{2028}b", r"a\u{2028}b"),
            ("gold\u{200b}en\u{ad}\u{2060}\u{feff}", r"gold\u{200b}en\u{ad}\u{2060}\u{feff}"),
            ("✅ ❤\u{fe0f}", "✅ ❤\u{fe0f}"),
            ("研发 desktop – ✓", "研发 desktop – ✓"),
        ] {
            assert_eq!(clean(from, 100), to);
        }
        assert_eq!(clean_lines("a\n\tb\u{1b}", 100), "a\n\tb\\u{1b}");
        assert_eq!(clean_end("a\n\tb\u{1b}[1mc", 100), "a\n\tb\\u{1b}[1mc");
        // An escape is kept whole or left out.
        assert_eq!((clean_end("b\u{1b}c", 7).as_str(), clean_end("b\u{1b}c", 6).as_str()), ("\\u{1b}c", "c"));
    }

    #[test]
    fn the_beginning_of_a_long_text_has_its_length() {
        assert_eq!(excerpt("中文", 2), "中文");
        assert_eq!(excerpt("中文字", 2), "中文… (3 characters)");
    }

    #[test]
    fn a_json_value_is_cleaned_inside_and_keeps_its_tokens() {
        let mut value = json!({"a": ["x\u{7}", {"b": "中".repeat(20)}], "NextToken": "t".repeat(20), "n\u{1b}": 1});
        clean_json(&mut value, 5);
        // An escape is kept whole or left out.
        assert_eq!(value, json!({"a": ["x…", {"b": "中中中中…"}], "NextToken": "t".repeat(20), "n\\u{1b}": 1}));
    }

    #[test]
    fn json_stays_the_same_document() {
        let value = json!({"name": "a\u{9b}\u{202e}\u{e0041}\u{1b}\n中"});
        let text = value.to_string();
        let escaped = escape_json(&text);
        assert!(!escaped.contains(is_hidden), "{escaped}");
        assert_eq!(serde_json::from_str::<Value>(&escaped).unwrap(), value);
    }

    proptest! {
        #[test]
        fn no_text_has_hidden_characters_or_is_too_long(text in "\\PC*|[\\x00-\\xff]{0,40}|.{0,40}", longest in 1usize..60) {
            let cleaned = clean(&text, longest);
            prop_assert!(!cleaned.chars().any(is_hidden));
            prop_assert!(cleaned.chars().count() <= longest);
        }
    }
}
