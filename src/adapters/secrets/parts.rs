//! The secrets of one text, by which they are also found in its parts, where the option or the name before them is missing.

use super::{MASK, shapes};

/// A shorter text is found in its place only.
const SHORTEST: usize = 4;

/// The secrets of a text, the longest first.
#[derive(Debug, Clone, Default)]
pub struct Parts(Vec<String>);

impl Parts {
    /// Those that `text` has.
    pub fn of(text: &str) -> Self {
        let ranges = shapes::find(text.as_bytes());
        let texts = ranges.into_iter().filter_map(|range| text.get(range));
        let is_between = |c: char| c.is_whitespace() || "\"'\\,;".contains(c);
        let words = texts.flat_map(|text| text.split(is_between).chain([text]));
        let mut all: Vec<String> = words.filter(|word| word.len() >= SHORTEST).map(str::to_owned).collect();
        all.sort_by_key(|word| std::cmp::Reverse(word.len()));
        all.dedup();
        Self(all)
    }

    /// The text without them.
    pub fn hide(&self, text: String) -> String {
        self.0.iter().fold(text, |shown, secret| {
            if shown.contains(secret.as_str()) { shown.replace(secret.as_str(), MASK) } else { shown }
        })
    }
}
