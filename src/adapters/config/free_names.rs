//! Names of schedules that a command makes up: each only once.

use std::collections::HashMap;

use crate::domain::text::is_hidden;

/// Names in use, each with the last number after it.
#[derive(Debug, Default)]
pub struct FreeNames(HashMap<String, u32>);

impl FreeNames {
    /// The name, or with the first number after it that makes it free. Thousands of one name are one walk.
    pub fn take(&mut self, name: &str) -> String {
        let Some(last) = self.0.get(name).copied() else {
            self.0.insert(name.to_owned(), 1);
            return name.to_owned();
        };
        let free =
            (last + 1..=u32::MAX).find(|number| !self.0.contains_key(&format!("{name}-{number}"))).unwrap_or(last);
        self.0.insert(name.to_owned(), free);
        let numbered = format!("{name}-{free}");
        self.0.insert(numbered.clone(), 1);
        numbered
    }
}

/// Whether a name of a schedule may have the character, and a person sees it.
pub fn is_of_names(c: char) -> bool {
    (c.is_alphanumeric() || "-_".contains(c)) && !is_hidden(c)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn each_name_is_given_once() {
        let mut names = FreeNames::default();
        let taken = ["a", "a", "a-2", "a", "b", "a-2"].map(|name| names.take(name));
        assert_eq!(taken, ["a", "a-2", "a-2-2", "a-3", "b", "a-2-3"]);
        let begun = Instant::now();
        let many: HashSet<String> = (0..50_000).map(|_| names.take("golden")).collect();
        assert!(many.len() == 50_000 && begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
