//! The parser of a file: hints for lines that are not TOML, and the first place of a key that is written twice.

use toml::de::DeTable;

use super::{
    mistakes,
    reader::{Diagnostics, Mark, Source},
};

/// Reads a source as far as it is valid. Errors are identified by their place, so that a second reading adds none.
pub(super) fn parse<'s>(source: &'s Source, out: &mut Diagnostics) -> DeTable<'s> {
    let (tables, errors) = DeTable::parse_recoverable(&source.text);
    let end = if errors.is_empty() { 0 } else { source.text.trim_end().len() };
    for error in errors {
        out.broken = true;
        let mark = source.mark(error.span().unwrap_or(end..end));
        // The parser may report each byte of a line.
        if out.is_unreadable(mark) {
            continue;
        }
        if out.is_full() {
            break;
        }
        if !error.message().starts_with("duplicate key") {
            out.syntax(mark, error.message(), Some(help(mark, error.message())));
            continue;
        }
        let code = "duplicate-key";
        if !out.may_search() {
            out.error(mark, code, error.message(), Some("keep one of the two".into()));
            continue;
        }
        match first_place(mark) {
            _ if mark.text() == "schedule" => {
                let hint = "each schedule begins with `[[schedule]]`, in double brackets";
                out.error(mark, code, error.message(), Some(hint.into()));
            }
            Some(first) => {
                let hint = one_of_two(mark);
                out.error_with_related(mark, code, error.message(), hint, (first, "first here"));
            }
            None => out.error(mark, code, error.message(), Some(one_of_two(mark).into())),
        }
    }
    tables.into_inner()
}

/// What to write in place of the line at `mark`.
pub(super) fn hint(mark: Mark<'_>) -> Option<String> {
    let line = line_at(&mark.source.text, mark.start)?;
    let code = line.trim();
    if let Some(c) = code.chars().find(|c| c.is_control() && *c != '\t') {
        return Some(format!("remove the control character U+{:04X}", u32::from(c)));
    }
    let plain = plain_characters(code);
    if plain != code {
        return Some(format!("write plain quotes and signs: `{plain}`"));
    }
    if code.starts_with("//") || code.starts_with(';') || code.starts_with("--") {
        return Some("a comment begins with `#`".into());
    }
    if code.starts_with('{') {
        return Some("this looks like JSON; write TOML: `[[schedule]]`, and below it `name = \"…\"`".into());
    }
    if code.starts_with("- ") || (code.ends_with(':') && is_key(code.trim_end_matches(':'))) {
        return Some("this looks like YAML; write TOML: `[[schedule]]`, and below it `name = \"…\"`".into());
    }
    if let Some((section, name)) = code.strip_prefix('[').and_then(|code| code.strip_suffix("\"]")?.split_once(" \"")) {
        return Some(match section {
            "profile" => format!("write `[profile.{name}]`"),
            _ => format!("write `[[schedule]]`, and below it `name = \"{name}\"`"),
        });
    }
    if let Some(header) = code.strip_prefix('[') {
        let doubled = header.starts_with('[') && !code.ends_with("]]");
        let closing = if doubled { "]]" } else { "]" };
        return (!code.ends_with(closing)).then(|| format!("a section's name ends with `{closing}`"));
    }
    let (key, value) = match code.split_once('=') {
        Some(parts) => parts,
        None => code.split_once(':').filter(|(key, _)| is_key(key.trim()))?,
    };
    let (key, value) = (key.trim(), value.trim());
    let value = value.split_once(" #").map_or(value, |(value, _)| value.trim_end());
    if key.is_empty() || !is_key(key) {
        return None;
    }
    Some(match value {
        "" => format!("write a value after `{key} =`"),
        value if value.parse::<i64>().is_err() && mistakes::boolean(value).is_some() => {
            format!("write `{key} = {}`", mistakes::boolean(value).unwrap_or_default())
        }
        value if value.starts_with('"') || value.starts_with('\'') => {
            let quote = &value[..1];
            let odd = value.matches(quote).count() % 2 == 1;
            return match (odd, code.contains('=')) {
                (true, _) => Some(format!("the quote is not closed: add `{quote}`")),
                (false, false) => Some(format!("write `{key} = {value}`")),
                (false, true) => Some("nothing but a comment may follow the value".into()),
            };
        }
        value if value.starts_with(['[', '{']) => return None,
        value => format!("write `{key} = \"{}\"`", value.trim_end_matches([',', ';', '"', '\''])),
    })
}

/// What to write in place of the line at `mark`, which the parser refuses with this message.
fn help(mark: Mark<'_>, message: &str) -> String {
    // Of a line that is nested too deeply the parser has read the beginning only.
    if message.contains("recur") {
        return "no key has lists or tables within each other more than three deep: take the brackets or dots away"
            .into();
    }
    hint(mark).unwrap_or_else(|| form(mark).to_owned())
}

/// What a line of this kind looks like, where nothing shows what is meant.
fn form(mark: Mark<'_>) -> &'static str {
    let code = line_at(&mark.source.text, mark.start).unwrap_or_default().trim();
    let value = code.split_once('=').map_or(code, |(_, value)| value.trim_start());
    if code.starts_with("[schedule") || code.starts_with("[[schedule") {
        "each schedule begins with `[[schedule]]` in a line of its own, and has its name below it: `name = \"…\"`"
    } else if code.starts_with('[') {
        "a section begins with its name in brackets, in a line of its own: `[cloud]`"
    } else if value.starts_with('[') {
        "a list is written `[\"a\", \"b\"]`, with a comma between two values"
    } else if value.starts_with('{') {
        "a table is written `{ last = 7, grace = \"1d\" }`, with a comma between two keys"
    } else {
        "a line is `key = value`, `[section]`, `[[schedule]]`, or a comment that begins with `#`"
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// `text` with straight quotes and ASCII signs in place of their likenesses.
fn plain_characters(text: &str) -> String {
    text.chars()
        .filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{2060}'))
        .map(|c| match c {
            '\u{201c}'..='\u{201f}' | '\u{ab}' | '\u{bb}' | '\u{300c}' | '\u{300d}' => '"',
            '\u{2018}'..='\u{201b}' => '\'',
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
            '\u{a0}' | '\u{3000}' | '\u{2003}' | '\u{2009}' | '\u{202f}' => ' ',
            c => c,
        })
        .collect()
}

fn line_at(text: &str, at: usize) -> Option<&str> {
    let line = |at: usize| {
        let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
        Some((start, text.get(start..end)?))
    };
    let (start, found) = line(at)?;
    // An error at the end of a line points to its line break or after it; blank lines may be many.
    let before = text[..start].trim_end();
    if found.trim().is_empty() && !before.is_empty() { Some(line(before.len())?.1) } else { Some(found) }
}

/// What to do about a key or a header that is there already.
pub(super) fn one_of_two(mark: Mark<'_>) -> &'static str {
    let header = line_at(&mark.source.text, mark.start).is_some_and(|line| line.trim().starts_with('['));
    if header { "write the keys of both below one header" } else { "keep one of the two" }
}

/// The first place of the key at `mark` in its table, or of the same header in the file.
pub(super) fn first_place(mark: Mark<'_>) -> Option<Mark<'_>> {
    let text = &mark.source.text;
    let line = line_at(text, mark.start)?.trim();
    let before = text.get(..mark.start)?;
    if let Some(open) = inline_table(before) {
        return first_in_table(mark, open);
    }
    let header = line.starts_with('[');
    let key = mark.text().trim().trim_matches(['"', '\'']);
    let from = if header { 0 } else { before.rfind("\n[").map_or(0, |newline| newline + 1) };
    let section = format!("{}.", line.trim_matches(['[', ']']));
    let mut start = from;
    for other in text.get(from..mark.start)?.split_inclusive('\n') {
        let name =
            if header { other.trim() } else { other.split('=').next().unwrap_or("").trim().trim_matches(['"', '\'']) };
        // `cloud.region = "x"` makes the section, too.
        let dotted = header && name.starts_with(&section) && name.contains('=');
        let same = if header { name == line || dotted } else { name == key && other.contains('=') };
        if same && start + other.len() <= mark.start {
            let indent = other.len() - other.trim_start().len();
            let length = match (dotted, header) {
                (true, _) => name.split('=').next().unwrap_or("").trim_end().len(),
                (false, true) => name.len(),
                (false, false) => key.len(),
            };
            return Some(mark.source.mark(start + indent..start + indent + length));
        }
        start += other.len();
    }
    None
}

/// Where the inline table begins whose inside `before` ends in; none outside of such a table.
fn inline_table(before: &str) -> Option<usize> {
    let line = before.rfind('\n').map_or(0, |newline| newline + 1);
    let mut closed = 0;
    for (at, c) in before[line..].char_indices().rev() {
        match c {
            '}' => closed += 1,
            '{' if closed == 0 => return Some(line + at + 1),
            '{' => closed -= 1,
            _ => {}
        }
    }
    None
}

/// The first place of the key at `mark` in the inline table that begins at `open`.
fn first_in_table(mark: Mark<'_>, open: usize) -> Option<Mark<'_>> {
    let key = mark.text().trim().trim_matches(['"', '\'']);
    let inside = mark.source.text.get(open..mark.start)?;
    let mut start = open;
    for part in inside.split_inclusive(',') {
        let name = part.split('=').next().unwrap_or("").trim().trim_matches(['"', '\'']);
        if name == key && !key.is_empty() {
            let at = start + part.find(key)?;
            return Some(mark.source.mark(at..at + key.len()));
        }
        start += part.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{super::reader::Source, *};

    fn hint_of(line: &str) -> String {
        let source = Source::new(0, Path::new("x"), format!("a = 1\n{line}\nb = 2\n"), false);
        hint(source.mark(6..7)).unwrap_or_else(|| panic!("{line}"))
    }

    #[test]
    fn lines_that_are_not_toml_get_the_line_to_write() {
        for (line, wanted) in [
            ("paused = yes", "write `paused = true`"),
            ("paused = off # soon", "write `paused = false`"),
            ("watch = True", "write `watch = true`"),
            ("name = golden", "write `name = \"golden\"`"),
            ("cron = 0 3 * * *", "write `cron = \"0 3 * * *\"`"),
            ("deadline = 30m", "write `deadline = \"30m\"`"),
            ("name: golden", "write `name = \"golden\"`"),
            ("name: \"golden\"", "write `name = \"golden\"`"),
            ("name = “golden”", "write plain quotes and signs: `name = \"golden\"`"),
            ("name ＝ \"golden\"", "write plain quotes and signs: `name = \"golden\"`"),
            ("name = \"golden", "the quote is not closed: add `\"`"),
            ("name = \"golden\" x", "nothing but a comment may follow the value"),
            ("name =", "write a value after `name =`"),
            ("// nightly", "a comment begins with `#`"),
            ("{ \"schedule\": [] }", "this looks like JSON; write TOML: `[[schedule]]`, and below it `name = \"…\"`"),
            ("schedule:", "this looks like YAML; write TOML: `[[schedule]]`, and below it `name = \"…\"`"),
            ("- name: x", "this looks like YAML; write TOML: `[[schedule]]`, and below it `name = \"…\"`"),
            ("[schedule \"x\"]", "write `[[schedule]]`, and below it `name = \"x\"`"),
            ("[cloud", "a section's name ends with `]`"),
            ("[[schedule]", "a section's name ends with `]]`"),
            ("name = \"a\u{0}b\"", "remove the control character U+0000"),
        ] {
            assert_eq!(hint_of(line), wanted, "{line}");
        }
    }

    #[test]
    fn every_line_that_is_not_toml_gets_a_hint() {
        for (text, wanted) in [
            (format!("a = {}", "[".repeat(5_000)), "more than three deep"),
            (format!("a = {}", "{ b = ".repeat(5_000)), "more than three deep"),
            (format!("a{} = 1", ".a".repeat(5_000)), "more than three deep"),
            ("a = [1 2]".to_owned(), "a list is written"),
            ("a = [1, 2".to_owned(), "a list is written"),
            ("[schedule golden]".to_owned(), "each schedule begins with `[[schedule]]`"),
            ("[cloud settings]".to_owned(), "a section begins with its name"),
            ("a = { b = 1 c = 2 }".to_owned(), "a table is written"),
            ("= 1".to_owned(), "a line is `key = value`"),
            ("\"\"\"".to_owned(), "a line is `key = value`"),
            ("nonsense".to_owned(), "a line is `key = value`"),
        ] {
            let (source, mut out) = (Source::new(0, Path::new("x"), text, false), Diagnostics::default());
            parse(&source, &mut out);
            let found = out.into_problems();
            let hints: Vec<_> = found.iter().map(|problem| problem.hint.clone().unwrap_or_default()).collect();
            let head: String = source.text.chars().take(20).collect();
            assert!(hints.iter().any(|hint| hint.contains(wanted)), "{head}: {found:?}");
            assert!(hints.iter().all(|hint| !hint.is_empty()), "{head}: {found:?}");
        }
    }

    #[test]
    fn the_first_place_of_a_key_is_found() {
        let text = "[cloud]\nregion = \"a\"\n[daemon]\nwatch = true\n watch = false\n[cloud]\nk = { a = 1, last = 2, last = 3 }\n";
        let source = Source::new(0, Path::new("x"), text.into(), false);
        let first = |what: &str| {
            let at = text.rfind(what).unwrap();
            first_place(source.mark(at..at + what.len())).map(|mark| (mark.start, mark.end))
        };
        assert_eq!(first("watch"), Some((30, 35)));
        assert_eq!(first("cloud"), Some((0, 7)));
        assert_eq!(first("region"), None);
        assert_eq!(first("last").map(|(start, end)| &text[start - 2..end]), Some(", last"));
    }
}
