//! Problems and bakes with the same error as another one: by their names.

use unicode_width::UnicodeWidthStr as _;

use super::shorten::names;

/// `the same for 3 more: farm-1, farm-2, … (imagebaked status --all)`; `None` for no others. `note` says how they differ, and
/// `word` stands before the names.
pub(super) fn same_for(others: &[String], note: &str, word: &str, command: &str, width: usize) -> Option<String> {
    if others.is_empty() {
        return None;
    }
    let begin = format!("    the same for {} more{note}: {word}", others.len());
    let (all, left_out) = names(others, width.saturating_sub(begin.len()));
    // A name that is cut is no argument of a command.
    if left_out == 0 && begin.width() + all.width() <= width {
        return Some(format!("{begin}{all}"));
    }
    let end = format!(", … ({command})");
    let room = width.saturating_sub(begin.len() + end.len() - 2);
    let (some, left_out) = names(others, room);
    Some(if some.width() <= room && left_out > 0 {
        format!("{begin}{some}{end}")
    } else {
        format!("    the same for {} more{note}: {command}", others.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(
            same_for(&["n".repeat(50)], "", "", "all", 60).unwrap(),
            "    the same for 1 more: all",
            "whole or not"
        );
        assert_eq!(same_for(&[], "", "", "all", 60), None);
        for width in 40..120 {
            let line = same_for(&others, "", "bakes ", "imagebaked status --all", width).unwrap();
            assert!(line.chars().count() <= width.max(50), "{width}: {line}");
        }
    }
}
