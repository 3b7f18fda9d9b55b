//! Shortens texts to the width of a terminal. What a person acts by stays: when something is tried next.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::super::table::wrapped_to;
use crate::domain::{
    bake::queue::{NEXT_TRY, UNTIL, try_of},
    health::same_error::{error_key, split},
    time::shown_first,
};

/// In place of what is left out.
const CUT: &str = "…";
/// An error is not shortened to less than this for the sake of the date of the next try.
const LEAST: usize = 36;
/// In place of an error that stands above.
const AS_ABOVE: &str = "the same error as above";

/// The beginning of a text within a width, with an ellipsis where it is cut: between words, if one ends near.
pub(super) fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let begin = first_columns(text, width.saturating_sub(CUT.width()));
    let words = begin.rsplit_once(' ').map(|(words, _)| words).filter(|words| words.width() * 4 >= begin.width() * 3);
    format!("{}{CUT}", words.unwrap_or(begin).trim_end_matches([' ', ',', ';', ':']))
}

/// Begin and end of a name within a width.
pub(super) fn shorten_name(name: &str, width: usize) -> String {
    if name.width() <= width {
        return name.to_owned();
    }
    let room = width.saturating_sub(CUT.width());
    let begin = first_columns(name, room.div_ceil(2));
    let backwards: String = name.chars().rev().collect();
    let end: String = first_columns(&backwards, room / 2).chars().rev().collect();
    format!("{begin}{CUT}{end}")
}

fn first_columns(text: &str, width: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > width
    });
    &text[..end.map_or(text.len(), |(at, _)| at)]
}

/// Names within a width, and how many are left out.
pub(super) fn names(names: &[String], width: usize) -> (String, usize) {
    let mut text = String::new();
    for (n, name) in names.iter().enumerate() {
        let gap = if n == 0 { "" } else { ", " };
        if n > 0 && text.width() + gap.len() + name.width() > width {
            return (text, names.len() - n);
        }
        text.push_str(gap);
        text.push_str(name);
    }
    (text, 0)
}

/// When something is tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NextTry<'a> {
    /// As an instant.
    pub(super) at: DateTime<Utc>,
    /// The time of the day, as printed.
    pub(super) time: &'a str,
}

/// The next try that a reason names: `; next try Thu 2026-11-26 03:14 +08:00`.
pub(super) fn next_try(text: &str) -> Option<NextTry<'_>> {
    let (_, _, tail) = split(text);
    let (at, time) = shown_first(tail.strip_prefix(NEXT_TRY)?)?;
    Some(NextTry { at, time })
}

/// The tail of a reason with the time of the next try alone: `; next try 03:14`.
fn time_alone(tail: &str) -> Option<String> {
    let is_time = |word: &&str| word.len() >= 5 && word.as_bytes()[2] == b':' && word.as_bytes()[0].is_ascii_digit();
    let time = tail.split([' ', ',']).find(is_time)?;
    let words = try_of(tail).map_or(NEXT_TRY, |(words, _)| words);
    Some(format!("{words}{time}"))
}

/// A reason within a width: until when it is tried goes first, then the end of the error, then the date of the next try.
fn one_line(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (_, _, tail) = split(text);
    if tail.is_empty() {
        return shorten(text, width);
    }
    let what = &text[..text.len() - tail.len()];
    let next = &tail[..tail.find(UNTIL).unwrap_or(tail.len())];
    let alone = time_alone(next);
    let room = |tail: &str| width.saturating_sub(tail.width());
    let whole =
        [Some(tail), Some(next), alone.as_deref()].into_iter().flatten().find(|tail| what.width() <= room(tail));
    let shorter = || [Some(next), alone.as_deref()].into_iter().flatten().find(|tail| room(tail) >= LEAST);
    let tail = whole.or_else(shorter).or(alone.as_deref()).unwrap_or(next);
    match width.checked_sub(tail.width()).filter(|room| *room > CUT.width()) {
        Some(room) => format!("{}{tail}", shorten(what, room)),
        None => shorten(tail.trim_start_matches("; "), width),
    }
}

/// A text in so many lines at most; `lead` stays before it. An error that is in `printed` is not repeated, and another one
/// is put there.
pub(super) fn message(
    lead: &str,
    text: &str,
    lines: usize,
    width: usize,
    printed: Option<&mut HashSet<String>>,
) -> Vec<String> {
    /// Before the lines after the first.
    const INDENT: usize = 2;
    let key = error_key(text);
    let is_known = printed.is_some_and(|printed| key.is_some_and(|key| !printed.insert(key)));
    let (what, _, tail) = split(text);
    let text = if is_known { format!("{what}{AS_ABOVE}{tail}") } else { text.to_owned() };
    let mut room = (width * lines).saturating_sub(lead.width() + INDENT * (lines - 1));
    loop {
        let fitted: Vec<String> = wrapped_to(&format!("{lead}{}", one_line(&text, room)), INDENT, width)
            .split('\n')
            .map(str::to_owned)
            .collect();
        if fitted.len() <= lines || room == 0 {
            return fitted.iter().take(lines).map(|line| shorten(line, width)).collect();
        }
        // Words that did not fit into the end of a line take the room of others.
        room = room.saturating_sub(INDENT * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REASON: &str = "waits for the cloud: QuotaExceeded.Image: the quota of images of this account is used up; next try Thu \
                          2026-11-26 03:14 +08:00, until Thu 2026-11-26 07:00 +08:00 at most";

    #[test]
    fn the_next_try_outlives_the_error() {
        assert_eq!(one_line(REASON, 200), REASON);
        let next = "waits for the cloud: QuotaExceeded.Image: the quota of images of this account is used up; next try Thu \
                    2026-11-26 03:14 +08:00";
        assert_eq!(one_line(REASON, 130), next);
        assert_eq!(
            one_line(REASON, 80),
            "waits for the cloud: QuotaExceeded.Image…; next try Thu 2026-11-26 03:14 +08:00"
        );
        assert_eq!(one_line(REASON, 60), "waits for the cloud: QuotaExceeded.Image…; next try 03:14");
        assert_eq!(one_line(REASON, 14), "next try 03:14");
        let builder = "waits for a builder: all 5 are at work, until Thu 2026-11-26 07:00 +08:00 at most";
        assert_eq!(one_line(builder, 60), "waits for a builder: all 5 are at work");
        for width in 20..220 {
            let line = one_line(REASON, width);
            assert!(line.width() <= width && line.contains("next try"), "{width}: {line}");
            assert!(width < 30 || line.contains("03:14"), "{width}: {line}");
        }
    }

    #[test]
    fn an_error_is_printed_once() {
        let mut printed = HashSet::new();
        let first = message("bake 7: ", REASON, 1, 120, Some(&mut printed));
        assert!(first[0].contains("QuotaExceeded.Image: the quota"), "{first:?}");
        let second = message("bake 8: ", REASON, 1, 120, Some(&mut printed));
        let wanted = "bake 8: waits for the cloud: the same error as above; next try Thu 2026-11-26 03:14 +08:00";
        assert_eq!(second, [wanted]);
    }

    #[test]
    fn a_message_takes_its_lines_and_no_more() {
        for width in 40..160 {
            for lines in 1..3 {
                for text in [REASON, &"x".repeat(500), "", "a b", &"平台 ".repeat(80)] {
                    let shown = message("PROBLEM: 3 problems: ", text, lines, width, None);
                    assert!(
                        shown.len() <= lines && shown.iter().all(|line| line.width() <= width),
                        "{width}: {shown:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn names_keep_their_begin_and_end() {
        assert_eq!(shorten_name("win11-golden-with-a-long-name", 12), "win11-…-name");
        assert_eq!(shorten_name("golden", 12), "golden");
        assert_eq!(shorten("one two three four", 14), "one two three…");
        let list: Vec<String> = ["farm-1", "farm-2", "farm-3"].map(str::to_owned).to_vec();
        assert_eq!(names(&list, 14), ("farm-1, farm-2".to_owned(), 1));
        assert_eq!(names(&list, 99).1, 0);
        assert_eq!(names(&list, 2), ("farm-1".to_owned(), 2), "one in any case");
    }
}
