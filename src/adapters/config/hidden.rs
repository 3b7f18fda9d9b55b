//! Characters that nobody sees, or that change the direction of what follows: with them a line of a comment can look like a
//! key, and the reverse. Strings with them are refused where they are read; everything else gets a warning here.

use super::reader::{Diagnostics, Source};
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
    fn the_first_of_each_line_is_reported_with_its_place() {
        assert_eq!(places("# 备份 – ✓ é\nname = \"镜像\"\n"), Vec::<String>::new());
        let found = places("# a\u{202e}b\u{2066}\n# ok\n\u{9b}31m = 1\n# x\u{200b}");
        let wanted = ["x:1:4: warning[hidden-character]: this has the invisible character U+202E", "x:3:1", "x:4:4"];
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().zip(wanted).all(|(found, wanted)| found.starts_with(wanted)), "{found:?}");
    }
}
