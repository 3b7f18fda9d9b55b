//! Splits a long file into chunks that can be parsed one after the other.
//!
//! A parsed document takes many times the memory of its text. Split before `[[schedule]]` headers, a file of ten
//! thousand schedules never needs more than the document of one chunk.

use std::ops::Range;

/// Header at the beginning of a chunk.
const HEADER: &str = "[[schedule]]";

/// Splits `text` into chunks of at least `least` bytes, each but the first beginning with a `[[schedule]]` line. A
/// similar line inside a multi-line string does not count; one inside a list does not parse anyway.
pub(super) fn split_at_headers(text: &str, least: usize) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let (mut begin, mut at, mut inside) = (0, 0, None);
    for line in text.split_inclusive('\n') {
        if inside.is_none() && at - begin >= least && line.trim_start().starts_with(HEADER) {
            chunks.push(begin..at);
            begin = at;
        }
        inside = after(line.as_bytes(), inside);
        at += line.len();
    }
    chunks.push(begin..at);
    chunks
}

/// The quote that closes, three times, the string at the end of `line`, if any; `inside` is the same for its beginning.
/// for its begin.
fn after(line: &[u8], mut inside: Option<u8>) -> Option<u8> {
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        let triple = line[at..].starts_with(&[byte; 3]);
        match inside {
            // Strings in single quotes have no escapes.
            Some(b'"') if byte == b'\\' => at += 2,
            Some(quote) if byte == quote && triple => {
                // Up to two quotes more belong to the string's content.
                at += line[at..].iter().take_while(|next| **next == quote).count();
                inside = None;
            }
            Some(_) => at += 1,
            None => match byte {
                b'#' => break,
                b'"' | b'\'' if triple => {
                    at += 3;
                    inside = Some(byte);
                }
                b'"' | b'\'' => at += single(&line[at..], byte),
                _ => at += 1,
            },
        }
    }
    inside
}

/// Length of the one-line string at the beginning of `line`; the whole line if it is not closed.
fn single(line: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(&byte) = line.get(at) {
        match byte {
            b'\\' if quote == b'"' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(text: &str) -> Vec<&str> {
        split_at_headers(text, 1).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn cuts_before_headers_only() {
        assert_eq!(chunks(""), [""]);
        let text = "a = 1\n[[schedule]]\nb = 2\n [[schedule]] # c";
        assert_eq!(chunks(text), ["a = 1\n", "[[schedule]]\nb = 2\n", " [[schedule]] # c"]);
        assert_eq!(split_at_headers("a = 1\n[[schedule]]\n", 7).len(), 1);
    }

    #[test]
    fn a_header_inside_a_string_is_none() {
        for text in [
            "d = \"\"\"\n[[schedule]]\n\"\"\"\n",
            "d = '''\n[[schedule]]\n'''\n",
            "d = '''it''s\n[[schedule]]\n'''\n",
            "d = \"\"\"\\\"\"\"\n[[schedule]]\n\"\"\"\n",
        ] {
            assert_eq!(chunks(text), [text]);
        }
        for head in [
            "d = \"\"\"x\"\"\"\"\"\n",
            "# \"\"\"\n",
            "d = '\"\"\"'\n",
            "d = \"it's\"\n",
            "d = \"\" # '''\n",
            "d = 'x\n",
        ] {
            assert_eq!(chunks(&format!("{head}[[schedule]]\n")).len(), 2, "{head}");
        }
    }
}
