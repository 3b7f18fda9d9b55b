//! The words of a text for who breaks it into lines: a time is one of them.

/// The words, as `split(' ')` has them, but with a time such as `Thu 2026-11-26 03:00 +08:00` as one of them.
///
/// ```
/// use imagebaked::domain::time::words::words;
///
/// let all: Vec<&str> = words("next try (Sat 2026-11-28 14:01 +00:00), or not").collect();
/// assert_eq!(all, ["next", "try", "(Sat 2026-11-28 14:01 +00:00),", "or", "not"]);
/// ```
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let all = rest?;
        let mut end = all.find(' ').unwrap_or(all.len());
        let mut last = &all[..end];
        while end < all.len() {
            let next = all[end + 1..].split(' ').next().unwrap_or_default();
            if !goes_on(last, next) {
                break;
            }
            (end, last) = (end + 1 + next.len(), next);
        }
        rest = all.get(end + 1..);
        Some(&all[..end])
    })
}

/// Whether a word of [`words`] is a time of several words.
pub fn is_time(word: &str) -> bool {
    word.contains(' ')
}

/// Whether two words are neighbours in a time: weekday and date, date and clock, clock and offset.
fn goes_on(word: &str, next: &str) -> bool {
    let plain = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    let digits = |text: &str, at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let is_date = |text: &str| text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    let begins_with_clock = |text: &str| digits(text, 0) && digits(text, 1) && text.as_bytes().get(2) == Some(&b':');
    let is_offset = |text: &str| text.starts_with(['+', '-']) && begins_with_clock(&text[1..]);
    let is_weekday = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&plain);
    is_weekday && next.get(..10).is_some_and(is_date)
        || is_date(plain) && begins_with_clock(next)
        || begins_with_clock(plain) && is_offset(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_a_time_is_one_word() {
        let all = |text: &str| words(text).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            all("and 2026-11-28 14:01 or 14:01 +08:00; Sat is a day  x"),
            ["and", "2026-11-28 14:01", "or", "14:01 +08:00;", "Sat", "is", "a", "day", "", "x"]
        );
        assert_eq!(all("Sun 2026-11-29, 5 of 12:00"), ["Sun 2026-11-29,", "5", "of", "12:00"]);
        assert_eq!((all(""), all(" a ")), (vec![String::new()], vec![String::new(), "a".to_owned(), String::new()]));
        assert!(is_time("Sun 2026-11-29") && !is_time("2026-11-29"));
    }
}
