//! Rendering of an error as a chain of causes.
//!
//! ```
//! use imagebaked::domain::error::chain;
//!
//! let error = std::io::Error::other("the disk is full");
//! assert_eq!(chain(&error), "the disk is full");
//! ```

use std::error::Error;

use super::text::{LONGEST_ERROR, clean_lines};

/// The error and its causes, joined by `: `. A cause that repeats the text before it is omitted. Each is cleaned and
/// shortened: it may quote what it could not read.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = words(error);
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = words(next);
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = next.source();
    }
    text
}

fn words(error: &dyn Error) -> String {
    clean_lines(&error.to_string(), LONGEST_ERROR).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_quotes_its_input_is_short_and_clean() {
        let error = Outer(std::io::Error::other(format!("unknown field `\u{1b}{}`", "x".repeat(20_000_000))));
        let text = chain(&error);
        assert!(text.starts_with("cannot read the file: unknown field `\\u{1b}xxx"), "{}", &text[..80]);
        assert!(text.len() < LONGEST_ERROR + 100);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the file")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn shows_every_cause_once() {
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(chain(&error), "cannot read the file: disk on fire");
    }
}
