//! Characters that nobody sees, or that change the direction of what follows: with them a line of a comment can look like a
//! key, and the reverse. Strings with them are refused where they are read; everything else gets a warning here.

use super::{
    diagnostics::Diagnostics,
    marks::{Mark, Source},
};
use crate::domain::text::is_hidden;

/// Warns of the first such character of each line, unless it is an error already.
pub(super) fn report(source: &Source, out: &mut Diagnostics) {
    if source.text.is_ascii() {
        return;
    }
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        // The parser refuses control characters of ASCII.
        if let Some((at, c)) = line.char_indices().find(|(_, c)| !c.is_ascii() && is_hidden(*c)) {
            let mark = source.mark(start + at..start + at + c.len_utf8());
            let message = format!("this has the invisible character U+{:04X}", u32::from(c));
            let what = if matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                "it shows what follows in another order than it is read"
            } else {
                "it changes how the line is shown"
            };
            out.warning(mark, "hidden-character", message, Some(format!("remove it: {what}")));
        }
        start += line.len();
    }
}

/// Whether all characters of a value are seen; the first that is not is an error. One that looks like a blank gets a warning.
pub(super) fn is_seen(text: &str, mark: Mark<'_>, out: &mut Diagnostics) -> bool {
    let place = |at: usize, c: char| mark.inside(text, at..at + c.len_utf8());
    if let Some((at, c)) = text.char_indices().find(|(_, c)| is_hidden(*c) && !matches!(c, '\n' | '\t')) {
        let message = format!("this has the invisible character U+{:04X}", u32::from(c));
        let hint = "remove it: it changes how terminals show the text";
        out.error(place(at, c), "hidden-character", message, Some(hint.into()));
        return false;
    }
    if let Some((at, c)) = text.char_indices().find(|(_, c)| is_odd_blank(*c)) {
        let message = format!("this has U+{:04X}, which looks like a blank and is another character", u32::from(c));
        out.warning(place(at, c), "odd-blank", message, Some("write a plain blank, or none".into()));
    }
    true
}

/// [`is_seen`] for a name: a blank at its begin or end is not seen either.
pub(super) fn is_name(name: &str, mark: Mark<'_>, out: &mut Diagnostics) -> bool {
    report_edges(name, mark, out);
    is_seen(name, mark, out)
}

/// Warns of a blank at the begin or end of a text that is compared with others.
pub(super) fn report_edges(text: &str, mark: Mark<'_>, out: &mut Diagnostics) {
    let is_blank = |c: &char| c.is_whitespace() && !is_odd_blank(*c);
    let edges = [(text.chars().next(), "begins"), (text.chars().next_back(), "ends")];
    if let Some((Some(c), what)) = edges.into_iter().find(|(c, _)| c.as_ref().is_some_and(is_blank)) {
        let message = format!("this {what} with the blank U+{:04X}", u32::from(c));
        out.warning(mark, "edge-blank", message, Some("take it away: nobody sees it".into()));
    }
}

/// Blanks that are no plain one, nor that of Chinese and Japanese.
fn is_odd_blank(c: char) -> bool {
    c.is_whitespace() && !c.is_ascii() && c != '\u{3000}'
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn places(text: &str) -> Vec<String> {
        let (source, mut out) = (Source::new(0, Path::new("x"), text.to_owned(), false), Diagnostics::default());
        report(&source, &mut out);
        out.into_problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_and_values_have_no_character_that_nobody_sees() {
        let of = |name: &str| {
            let (source, mut out) =
                (Source::new(0, Path::new("x"), format!("\"{name}\" = 1"), false), Diagnostics::default());
            let is_seen = is_name(name, source.mark(0..name.len() + 2), &mut out);
            (is_seen, out.into_problems().iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        };
        for (name, is_fine, wanted) in [
            ("te\u{200b}am", false, "x:1:4: error[hidden-character]: this has the invisible character U+200B"),
            ("team\u{202e}", false, "error[hidden-character]: this has the invisible character U+202E"),
            ("te\u{a0}am", true, "x:1:4: warning[odd-blank]: this has U+00A0, which looks like a blank"),
            ("te\u{2009}am", true, "warning[odd-blank]: this has U+2009"),
            ("team ", true, "x:1:1: warning[edge-blank]: this ends with the blank U+0020"),
            ("\tteam", true, "warning[edge-blank]: this begins with the blank U+0009"),
        ] {
            let (is_seen, found) = of(name);
            assert_eq!(is_seen, is_fine, "{name:?}");
            assert!(found.contains(wanted) && !found.contains("; "), "{name:?}: {found}");
        }
        assert_eq!(of("研发 desktop\u{3000}✓"), (true, String::new()));
    }

    #[test]
    fn the_first_of_each_line_is_reported_with_its_place() {
        assert_eq!(places("# 备份 – ✓ é\nname = \"镜像\"\n"), Vec::<String>::new());
        let found = places("# a\u{202e}b\u{2066}\n# ok\n\u{9b}31m = 1\n# x\u{200b}");
        let wanted = ["x:1:4: warning[hidden-character]: this has the invisible character U+202E", "x:3:1", "x:4:4"];
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().zip(wanted).all(|(found, wanted)| found.starts_with(wanted)), "{found:?}");
    }
}
