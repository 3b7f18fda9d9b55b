//! What keeps the daemon from deletions that the rules want, and from when on: said wherever a deletion is announced.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::brake::{Departed, MarkKind, WINDOW, is_too_much};
use crate::domain::{api::mode::ONLY_OBSERVES, ids::LineId};

/// Why the daemon does not do what is announced of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// The daemon only observes.
    Observe,
    /// The deletion will exceed a limit, and then needs a confirmation.
    Confirmation,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Observe => write!(f, "not done: {ONLY_OBSERVES}"),
            Self::Confirmation => f.write_str("then held until `imagebaked prune --confirm`"),
        }
    }
}

/// A deletion to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coming {
    /// When it is at the earliest.
    pub at: DateTime<Utc>,
    /// How it counts.
    pub kind: MarkKind,
    /// Whether the image is marked, or the next pass deletes it: the limit of all lines is foreseen for these.
    pub is_marked: bool,
}

/// Deletions to come of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineToCome {
    /// Deletions to come, without confirmed ones.
    pub coming: Vec<Coming>,
    /// Good images, including those to be deleted.
    pub good: usize,
    /// Images that are deleted already and count.
    pub departed: Vec<Departed>,
}

/// Instants from which deletions need a confirmation, if nothing changes until then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldFrom {
    /// Of each line with such an instant.
    pub lines: BTreeMap<LineId, DateTime<Utc>>,
    /// Of all lines.
    pub all: Option<DateTime<Utc>>,
}

impl HeldFrom {
    /// Foresees the limits that passes will exceed. New images are not foreseen: what they replace does not count.
    pub fn foresee(
        lines: &BTreeMap<LineId, LineToCome>,
        max_deletions: Option<usize>,
        lines_with_rules: usize,
    ) -> Self {
        let of_lines = lines.iter().filter_map(|(line, to_come)| Some((line.clone(), to_come.held_from()?))).collect();
        Self { lines: of_lines, all: all_held_from(lines.values(), max_deletions, lines_with_rules) }
    }

    /// Whether a deletion of this line at this instant needs a confirmation.
    pub fn holds(&self, line: &LineId, at: DateTime<Utc>) -> bool {
        self.lines.get(line).into_iter().chain(&self.all).any(|from| *from <= at)
    }
}

impl LineToCome {
    fn held_from(&self) -> Option<DateTime<Utc>> {
        let counted = self.coming.iter().filter(|one| one.kind == MarkKind::Counted).map(|one| one.at);
        let departed = self.departed.iter().filter(|one| !one.left_by_channel).map(|one| one.deleted_at);
        first_over(counted, departed, |going, deleted, gone| {
            is_too_much(going + deleted, self.good.saturating_sub(gone) + deleted)
        })
    }
}

fn all_held_from<'a>(
    lines: impl Iterator<Item = &'a LineToCome>,
    max_deletions: Option<usize>,
    lines_with_rules: usize,
) -> Option<DateTime<Utc>> {
    let limit = max_deletions.unwrap_or_else(|| lines_with_rules.saturating_mul(2));
    let (mut coming, mut departed) = (Vec::new(), Vec::new());
    for line in lines {
        let counts = |one: &&Coming| one.is_marked && (max_deletions.is_some() || one.kind == MarkKind::Counted);
        coming.extend(line.coming.iter().filter(counts).map(|one| one.at));
        departed.extend(line.departed.iter().filter(|one| !one.left_by_channel).map(|one| one.deleted_at));
    }
    first_over(coming.into_iter(), departed.into_iter(), |going, deleted, _| going + deleted > limit)
}

/// The first instant at which the deletions then, those of the day before, and all that are done by then are too many.
fn first_over(
    coming: impl Iterator<Item = DateTime<Utc>>,
    departed: impl Iterator<Item = DateTime<Utc>>,
    is_over: impl Fn(usize, usize, usize) -> bool,
) -> Option<DateTime<Utc>> {
    let mut at_once: BTreeMap<DateTime<Utc>, usize> = BTreeMap::new();
    coming.for_each(|at| *at_once.entry(at).or_default() += 1);
    let mut deleted: Vec<DateTime<Utc>> = departed.collect();
    deleted.sort_unstable();
    let (before, mut expired) = (deleted.len(), 0);
    for (at, going) in at_once {
        expired += deleted[expired..].iter().take_while(|gone| **gone <= at - WINDOW).count();
        if is_over(going, deleted.len() - expired, deleted.len() - before) {
            return Some(at);
        }
        deleted.extend(std::iter::repeat_n(at, going));
    }
    None
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(9) + TimeDelta::hours(hour)
    }

    fn line(good: usize, hours: &[i64], kind: MarkKind) -> LineToCome {
        let coming = hours.iter().map(|hour| Coming { at: at(*hour), kind, is_marked: true }).collect();
        LineToCome { coming, good, departed: Vec::new() }
    }

    fn foresee(lines: &[LineToCome], max_deletions: Option<usize>, with_rules: usize) -> HeldFrom {
        let lines =
            lines.iter().enumerate().map(|(n, line)| (LineId::from(format!("line-{n}")), line.clone())).collect();
        HeldFrom::foresee(&lines, max_deletions, with_rules)
    }

    #[test]
    fn a_line_is_held_from_where_more_than_half_would_be_gone_in_a_day() {
        let held =
            |good, hours: &[i64]| foresee(&[line(good, hours, MarkKind::Counted)], None, 99).lines.into_values().next();
        assert_eq!(held(5, &[1, 1, 1]), Some(at(1)));
        assert_eq!(held(5, &[1, 2, 3]), Some(at(3)));
        assert_eq!(held(6, &[1, 2, 3]), None);
        assert_eq!(held(5, &[1, 30, 60]), None, "a day apart each");
        assert_eq!(foresee(&[line(5, &[1, 1, 1], MarkKind::Ordinary)], None, 99), HeldFrom::default());
    }

    #[test]
    fn what_is_deleted_already_counts_for_a_day() {
        let departed = |hour| Departed { available_at: at(-99), deleted_at: at(hour), left_by_channel: false };
        let mut two_gone = line(3, &[1], MarkKind::Counted);
        two_gone.departed = vec![departed(-2), departed(-1)];
        assert!(foresee(std::slice::from_ref(&two_gone), None, 99).holds(&"line-0".into(), at(1)));
        two_gone.departed = vec![departed(-25), departed(-24)];
        assert!(!foresee(&[two_gone], None, 99).holds(&"line-0".into(), at(1)));
    }

    #[test]
    fn all_lines_together_are_held_from_the_instant_at_which_their_limit_is_exceeded() {
        let lines = [line(90, &[1, 2], MarkKind::Counted), line(90, &[2, 3], MarkKind::Counted)];
        assert_eq!(foresee(&lines, None, 2).all, None);
        assert_eq!(foresee(&lines, None, 1).all, Some(at(2)));
        assert_eq!(foresee(&lines, Some(3), 2).all, Some(at(3)));
        let ordinary = [line(90, &[1, 2], MarkKind::Ordinary)];
        assert_eq!(foresee(&ordinary, None, 0).all, None);
        assert_eq!(foresee(&ordinary, Some(1), 0).all, Some(at(2)), "the operator's limit counts every deletion");
        let held = foresee(&lines, None, 1);
        assert!(!held.holds(&"other".into(), at(1)) && held.holds(&"other".into(), at(2)));
    }
}
