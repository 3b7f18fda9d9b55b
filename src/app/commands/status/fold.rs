//! Problems and bakes with the same error: one of them with its text, the others by their names.

use std::collections::HashMap;

use super::shorten::{error_key, names, shorten};

/// Things that are shown together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group<'a, T> {
    /// The first one.
    pub(super) first: &'a T,
    /// The others.
    pub(super) others: Vec<&'a T>,
}

/// Things with the same error and the same `kind`, in the order of the first ones.
pub(super) fn groups<'a, T, K: Eq + std::hash::Hash>(
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

/// `the same for 3 more: farm-1, farm-2, … (imagebaked status --all)`; `None` for no others. `note` says how they differ, and
/// `word` stands before the names.
pub(super) fn same_for(others: &[String], note: &str, word: &str, command: &str, width: usize) -> Option<String> {
    if others.is_empty() {
        return None;
    }
    let begin = format!("    the same for {} more{note}: {word}", others.len());
    let (all, left_out) = names(others, width.saturating_sub(begin.len()));
    if left_out == 0 {
        return Some(shorten(&format!("{begin}{all}"), width));
    }
    let end = format!(", … ({command})");
    let room = width.saturating_sub(begin.len() + end.len() - 2);
    let (some, _) = names(others, room);
    Some(if some.len() <= room {
        format!("{begin}{some}{end}")
    } else {
        format!("    the same for {} more{note}: {command}", others.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn others_are_named_as_far_as_there_is_room() {
        let others: Vec<String> = (1..=6).map(|n| format!("farm-{n}")).collect();
        assert_eq!(same_for(&others[..2], "", "", "all", 80).unwrap(), "    the same for 2 more: farm-1, farm-2");
        assert_eq!(
            same_for(&others, "", "", "all", 60).unwrap(),
            "    the same for 6 more: farm-1, farm-2, farm-3, … (all)"
        );
        assert_eq!(
            same_for(&["n".repeat(90), "m".to_owned()], "", "", "all", 60).unwrap(),
            "    the same for 2 more: all"
        );
        assert_eq!(same_for(&[], "", "", "all", 60), None);
        for width in 40..120 {
            let line = same_for(&others, "", "bakes ", "imagebaked status --all", width).unwrap();
            assert!(line.chars().count() <= width.max(50), "{width}: {line}");
        }
    }
}
