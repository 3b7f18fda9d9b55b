//! Texts that end with the same error: one of them is shown with it, the others by their names.

use std::collections::HashMap;

use crate::domain::bake::queue::{AT_MOST, UNTIL, try_at};

/// A shorter error is repeated.
const WORTH: usize = 16;

/// A reason in its parts: what, the error in it, and when something is tried next. The error begins with a code, or is what
/// follows the last colon: `waits for the cloud: ` is none.
pub fn split(text: &str) -> (&str, &str, &str) {
    let until = || text.rfind(UNTIL).filter(|_| text.ends_with(AT_MOST));
    let (text, tail) = text.split_at(try_at(text).or_else(until).unwrap_or(text.len()));
    let mut begin = text.find(": ").map_or(text.len(), |at| at + 2);
    while let Some(colon) = text[begin..].find(": ").filter(|colon| text[begin..begin + colon].contains(' ')) {
        begin += colon + 2;
    }
    let (what, error) = text.split_at(begin);
    (what, error, tail)
}

/// By what equal errors are known: request ids, times and other numbers differ. `None` where there is none.
pub fn error_key(text: &str) -> Option<String> {
    let (_, error, _) = split(text);
    let word = |word: &str| if word.contains(|c: char| c.is_ascii_digit()) { "#".to_owned() } else { word.to_owned() };
    (error.chars().count() >= WORTH).then(|| error.split_whitespace().map(word).collect::<Vec<_>>().join(" "))
}

/// Things that are shown together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'a, T> {
    /// The first one.
    pub first: &'a T,
    /// The others.
    pub others: Vec<&'a T>,
}

/// Things with the same error and the same `kind`, in the order of the first ones.
pub fn groups<'a, T, K: Eq + std::hash::Hash>(
    all: impl IntoIterator<Item = &'a T>,
    text: impl Fn(&T) -> &str,
    kind: impl Fn(&T) -> K,
) -> Vec<Group<'a, T>> {
    let mut groups: Vec<Group<'a, T>> = Vec::new();
    let mut places: HashMap<(K, String), usize> = HashMap::new();
    for one in all {
        let key = error_key(text(one)).map(|error| (kind(one), error));
        if let Some(place) = key.as_ref().and_then(|key| places.get(key)) {
            groups[*place].others.push(one);
            continue;
        }
        if let Some(key) = key {
            places.insert(key, groups.len());
        }
        groups.push(Group { first: one, others: Vec::new() });
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const REASON: &str = "waits for the cloud: QuotaExceeded.Image: the quota of images of this account is used up; next try Thu \
                          2026-11-26 03:14 +08:00, until Thu 2026-11-26 07:00 +08:00 at most";

    #[test]
    fn equal_errors_differ_in_numbers_alone() {
        let key = |text: &str| error_key(text);
        let other = REASON.replace("03:14", "03:20").replace("is used up", "is used up (RequestId 7A-41)");
        assert_eq!(key(&other), key(&other.replace("7A-41", "0B-99")));
        assert_ne!(key(&other), key(REASON));
        assert_eq!(key(&format!("golden failed at Thu 2026-11-26 03:00 +08:00: {REASON}")), key(REASON));
        assert_eq!(key("CREATING"), None);
        assert_eq!(key("starts its instance: NoStock"), None, "short ones are repeated");
    }

    #[test]
    fn the_same_error_makes_a_group_unless_the_kind_differs() {
        let error = "failed at 03:00: Instance.ImageUnsupported: no";
        let all: Vec<(u8, String)> = vec![
            (1, format!("golden {error}")),
            (1, "other failed: QuotaExceeded.Image: full".to_owned()),
            (1, format!("farm {error}")),
            (2, format!("lab {error}")),
            (1, "no error".to_owned()),
            (1, "no error".to_owned()),
        ];
        let groups = groups(&all, |one| one.1.as_str(), |one| one.0);
        let sizes: Vec<_> =
            groups.iter().map(|group| (group.first.1.split(' ').next().unwrap(), group.others.len())).collect();
        assert_eq!(sizes, [("golden", 1), ("other", 0), ("lab", 0), ("no", 0), ("no", 0)]);
    }
}
