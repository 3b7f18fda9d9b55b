//! Texts that end with the same error: one of them is shown with it, the others by their names.

use std::collections::HashMap;

use super::{
    Problem,
    lines::{FAILED, MISSED, SKIPPED},
};
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
    (error.chars().count() >= WORTH).then(|| without_numbers(error))
}

fn without_numbers(text: &str) -> String {
    let word = |word: &str| if word.contains(|c: char| c.is_ascii_digit()) { "#".to_owned() } else { word.to_owned() };
    text.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// What a message says besides the name and the error: what became of the slot, and how the error came to that.
fn ending(message: &str) -> (Option<&'static str>, String) {
    let (what, ..) = split(message);
    let (subject, how) = what.split_once(": ").unwrap_or((what, ""));
    let became = [MISSED, SKIPPED, FAILED].into_iter().find(|words| subject.contains(&format!(" {words} at ")));
    (became, without_numbers(how))
}

/// Problems that say the same of several things: of one severity and code, with the same end and the same error.
pub fn problem_groups<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Vec<Group<'a, Problem>> {
    groups(problems, |one| one.message.as_str(), |one| (one.severity, one.code, ending(&one.message)))
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
    use crate::domain::health::{ProblemCode, Severity, Subject, SubjectKind};

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
    fn a_failed_slot_and_a_skipped_one_are_not_the_same_whatever_the_error() {
        let quota = "QuotaExceeded.Image: the quota of images of this account is used up";
        let slot = |words: &str| format!("{words} at Thu 2026-11-26 03:30 +08:00: ");
        let problem = |message: String| Problem {
            severity: Severity::Warning,
            code: ProblemCode::BakeFailed,
            subject: Subject::new(SubjectKind::Line, &message),
            line: None,
            since: String::new(),
            message,
            command: None,
        };
        let late = |by: &str| format!("waited past its deadline (not_after {by}) for a builder: {quota}");
        let all = [
            format!("office/ecd-1 {}{quota}", slot("failed")),
            format!("cad {}{}", slot("was skipped"), late("07:00")),
            format!("office/ecd-2 {}{quota}", slot("failed")),
            format!("lab {}{quota}", slot("was skipped")),
            format!("farm {}{}", slot("was skipped"), late("08:00")),
            format!("golden has had no good image in 2 slots; the last {}{quota}", slot("failed")),
        ]
        .map(problem);
        let groups = problem_groups(&all);
        let first_word = |one: &Problem| one.message.split(' ').next().unwrap_or_default().to_owned();
        let found: Vec<Vec<String>> = groups
            .iter()
            .map(|group| std::iter::once(group.first).chain(group.others.iter().copied()).map(first_word).collect())
            .collect();
        assert_eq!(found, [vec!["office/ecd-1", "office/ecd-2", "golden"], vec!["cad", "farm"], vec!["lab"]]);
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
