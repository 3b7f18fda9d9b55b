//! The known word that is most similar to one that a person typed.

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

/// The closest name, or one that the word is a part of: people type the beginning of a name.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    closest(word, candidates.clone()).or_else(|| {
        let part = word.to_lowercase();
        let is_part = |candidate: &&str| part.chars().count() > 2 && candidate.to_lowercase().contains(&part);
        candidates.into_iter().find(is_part)
    })
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
    fn a_swap_of_neighbours_is_one_edit() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("corn"), &chars("cron")), 1);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
    }
}
