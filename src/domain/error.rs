//! Rendering of an error as a chain of causes.
//!
//! ```
//! use imagebaked::domain::error::chain;
//!
//! let error = std::io::Error::other("the disk is full");
//! assert_eq!(chain(&error), "the disk is full");
//! ```

use std::error::Error;

/// The error and its causes, joined by `: `. A cause that repeats the text before it is omitted.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = next.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the file")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn shows_every_cause_once() {
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(chain(&error), "cannot read the file: disk on fire");
    }
}
