//! "Did you mean …": the known word with the smallest edit distance.

use std::collections::BTreeSet;

/// Maximum number of listed names if none is similar.
const FEW: usize = 8;

/// The candidate closest to `word`, if it is probably a typing error: at most a third of the word's letters differ, or
/// one. Case is ignored.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let limit = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() / 4 <= word.len() + limit)
        .map(|candidate| (distance(&word, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?`, or the known words if none is similar.
pub(super) fn suggestion(word: &str, known: &[&str]) -> String {
    match closest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// Message if `wanted` is none of these names and ids.
pub fn no_schedule<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: BTreeSet<&str> = known.into_iter().collect();
    let hint = match closest(wanted, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None if known.is_empty() => "there are none at all".to_owned(),
        None if known.len() <= FEW => format!("those there are: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
        None => "`imagebaked plan` shows them".to_owned(),
    };
    format!("there is no schedule {wanted:?}; {hint}")
}

/// Number of insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    // Three rows of the usual table suffice; a swap needs the row before the last.
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let keys = ["timezone", "cron", "catch_up", "catch_up_window", "keep"];
        assert_eq!(closest("timezon", keys), Some("timezone"));
        assert_eq!(closest("corn", keys), Some("cron"));
        assert_eq!(closest("CATCHUP", keys), Some("catch_up"));
        assert_eq!(closest("colour", keys), None);
        assert_eq!(closest("", keys), None);
    }

    #[test]
    fn an_unknown_schedule_is_reported_with_those_there_are() {
        let report = |known: &[&str]| no_schedule("gloden", known.iter().copied());
        assert_eq!(report(&["farm", "golden", "golden"]), r#"there is no schedule "gloden"; did you mean "golden"?"#);
        assert_eq!(report(&["farm", "box"]), r#"there is no schedule "gloden"; those there are: box, farm"#);
        assert_eq!(report(&[]), r#"there is no schedule "gloden"; there are none at all"#);
        let many: Vec<String> = (0..9).map(|n| format!("box-{n}")).collect();
        let report = no_schedule("gloden", many.iter().map(String::as_str));
        assert_eq!(report, r#"there is no schedule "gloden"; `imagebaked plan` shows them"#);
    }

    #[test]
    fn a_swap_of_neighbours_is_one_edit() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("corn"), &chars("cron")), 1);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
    }
}
