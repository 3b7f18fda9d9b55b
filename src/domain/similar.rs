//! The known word that is most similar to one that a person typed.

/// Maximum length of a word that is compared, in characters: names and keys are shorter.
const LONGEST_WORD: usize = 128;

/// The candidate closest to `word`, if it is probably a typing error: at most a third of the word's letters differ, or
/// one. Case is ignored.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The number of bytes bounds that of characters from both sides.
    if word.len() > 4 * LONGEST_WORD {
        return None;
    }
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let limit = (word.len() / 3).max(1);
    let mut best = None;
    for candidate in candidates {
        let most = match best {
            Some((0, found)) => return Some(found),
            Some((distance, _)) => distance - 1,
            None => limit,
        };
        if candidate.len() / 4 > word.len() + most || candidate.len() + most < word.len() {
            continue;
        }
        let letters: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
        if let Some(distance) = distance_within(&word, &letters, most) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The closest name, or one that the word is a part of: people type the beginning of a name.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    closest(word, candidates.clone()).or_else(|| {
        let part = word.to_lowercase();
        let is_part = |candidate: &&str| part.chars().count() > 2 && candidate.to_lowercase().contains(&part);
        candidates.into_iter().find(is_part)
    })
}

/// Number of insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`, if it is at most `limit`.
fn distance_within(a: &[char], b: &[char], limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    // Three rows of the usual table suffice; a swap needs the row before the last. A path within the limit leaves the
    // diagonal by at most the limit, so that the rest of a row is not needed.
    let far = limit + 1;
    let mut before = vec![far; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).map(|j| j.min(far)).collect();
    let mut row = vec![far; b.len() + 1];
    for i in 1..=a.len() {
        row.fill(far);
        row[0] = i.min(far);
        for j in i.saturating_sub(limit).max(1)..=(i + limit).min(b.len()) {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row[j] = least.min(far);
        }
        std::mem::swap(&mut before, &mut above);
        std::mem::swap(&mut above, &mut row);
        // A later row is reached through one of these two.
        if above.iter().chain(&before).all(|distance| *distance > limit) {
            return None;
        }
    }
    Some(above[b.len()]).filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        let distance = |a: &str, b: &str| {
            let [a, b] = [a, b].map(|text| text.chars().collect::<Vec<_>>());
            distance_within(&a, &b, 9)
        };
        assert_eq!(distance("corn", "cron"), Some(1));
        assert_eq!(distance("kitten", "sitting"), Some(3));
    }

    /// The whole table, without a limit.
    fn distance(a: &[char], b: &[char]) -> usize {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                table[i][j] = match (i, j) {
                    (0, far) | (far, 0) => far,
                    _ => {
                        let replaced = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                        let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                        let least = replaced.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                        if swapped { least.min(table[i - 2][j - 2] + 1) } else { least }
                    }
                };
            }
        }
        table[a.len()][b.len()]
    }

    proptest! {
        #[test]
        fn the_part_of_the_table_gives_the_same_as_all_of_it(a in "[abc]{0,9}", b in "[abc]{0,9}", limit in 0usize..6) {
            let [a, b] = [a, b].map(|text| text.chars().collect::<Vec<_>>());
            let whole = distance(&a, &b);
            prop_assert_eq!(distance_within(&a, &b, limit), Some(whole).filter(|whole| *whole <= limit));
        }
    }

    #[test]
    fn a_text_is_no_word() {
        let text = "x".repeat(1_000_000);
        assert_eq!(closest(&text, ["cron", text.as_str()]), None);
    }
}
