//! The brake: how many images may be deleted before a person confirms. It protects the good images of a line from disappearing
//! within a short time because of one mistake. The judged images of each line go in, the lines that need a confirmation come out.
//!
//! Ordinary retention never reaches it. A new image of a slot replaces an old one, at most one for each rule of `keep`,
//! and such deletions do not count, nor do those of vetoed images: a person or a check rejected each. All others count: after an
//! edit of the rules, after pins were removed, after images appeared that no slot made, or where old images go and no new ones come.
//!
//! Deletions of the last day are added to those of the pass, so that many small passes count like one large one. Images that a
//! channel has left for another one go at other times than new ones come. They count as far as the line has fewer good images
//! than at any time of that day: where as many come as go, they come to nothing.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{LineImage, judge::is_good, retention::counts};
use crate::domain::{ids::LineId, schedule::Keep, text};

/// Fewer deletions than this of a line never need a confirmation.
const AT_LEAST: usize = 3;
/// Images requested by persons that may replace others between two passes.
const BY_HAND: usize = 2;
/// Deletions of this period are added to those of a pass.
pub const WINDOW: TimeDelta = TimeDelta::hours(24);

/// How the brake counts the deletion of a marked image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MarkKind {
    /// A newer image replaced it: it does not count.
    #[default]
    Ordinary,
    /// It counts.
    Counted,
    /// A channel had left it for another image: it counts as far as the line has fewer good images than before.
    Left,
    /// A person has confirmed it.
    Confirmed,
}

impl MarkKind {
    /// Spelling in the history; `None`: ordinary.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Ordinary => None,
            Self::Counted => Some("counted"),
            Self::Left => Some("left"),
            Self::Confirmed => Some("confirmed"),
        }
    }

    /// Parses the spelling of the history.
    pub fn parse(text: Option<&str>) -> Self {
        [Self::Counted, Self::Left, Self::Confirmed].into_iter().find(|kind| kind.as_str() == text).unwrap_or_default()
    }
}

/// A judged image of a line, with the input of the brake.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that is so or not")]
pub struct Candidate<'a> {
    /// The image.
    pub image: &'a LineImage,
    /// Kind of the mark of an earlier pass, if any.
    pub marked: Option<MarkKind>,
    /// Whether no pass has judged it before.
    pub is_new: bool,
    /// Whether the image was made for a slot, not for a manual request.
    pub of_slot: bool,
    /// Whether a channel left it for another image within [`WINDOW`].
    pub left_by_channel: bool,
    /// Whether retention deletes it.
    pub goes: bool,
    /// Whether its grace has passed.
    pub is_due: bool,
}

impl Candidate<'_> {
    /// How its deletion counts unless a new image replaces it. Where the rules are the same, an image that a channel left
    /// goes because another one has taken its place; one that was marked by an edit of the rules counts all the same.
    fn kind(&self, same_rules: bool) -> MarkKind {
        if !self.goes || self.image.veto.is_some() {
            return MarkKind::Ordinary;
        }
        match self.marked {
            Some(kind) => kind,
            None if same_rules && self.left_by_channel => MarkKind::Left,
            None => MarkKind::Counted,
        }
    }
}

/// Returns for each image, in the order of `images`, how its deletion counts: marked images as they were marked; of the others
/// those that new images replace do not. `same_rules`: the last pass used the current rules.
pub fn kinds(images: &[Candidate<'_>], keep: &Keep, same_rules: bool, now: DateTime<Utc>) -> Vec<MarkKind> {
    let mut kinds: Vec<MarkKind> = images.iter().map(|one| one.kind(same_rules)).collect();
    // New images replace the oldest ones; those that a channel left, last.
    let mut unmarked: Vec<usize> = (0..images.len())
        .filter(|&index| kinds[index] != MarkKind::Ordinary && images[index].marked.is_none())
        .collect();
    unmarked.sort_unstable_by_key(|&index| {
        (kinds[index] == MarkKind::Left, images[index].image.date(now), images[index].image.version)
    });
    for index in unmarked.into_iter().take(replaced(images, keep, same_rules, now)) {
        kinds[index] = MarkKind::Ordinary;
    }
    kinds
}

/// Number of images that new ones may replace.
fn replaced(images: &[Candidate<'_>], keep: &Keep, same_rules: bool, now: DateTime<Utc>) -> usize {
    if !same_rules {
        return 0;
    }
    // Images of more than a day would all go at once: a person confirms that.
    let recent = |one: &&Candidate<'_>| one.is_new && is_good(one.image) && now - one.image.available_at <= WINDOW;
    let (of_slots, by_hand): (Vec<&Candidate<'_>>, Vec<_>) = images.iter().filter(recent).partition(|one| one.of_slot);
    let by_hand = if by_hand.len() > BY_HAND { 0 } else { by_hand.len() };
    (of_slots.len() + by_hand).saturating_mul(rules(keep))
}

/// Number of rules in `keep`: each can give up one image for a new one.
fn rules(keep: &Keep) -> usize {
    counts(keep).count() + usize::from(keep.within.is_some())
}

/// An image that was deleted within [`WINDOW`] and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departed {
    /// When it became AVAILABLE.
    pub available_at: DateTime<Utc>,
    /// When it was deleted.
    pub deleted_at: DateTime<Utc>,
    /// Whether a channel had left it for another image.
    pub left_by_channel: bool,
}

/// Deletions of one pass in one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineLoad {
    /// Good images, including those to be deleted.
    pub good: usize,
    /// Deletions of this pass.
    pub going: usize,
    /// Deletions of this pass that count.
    pub counted: usize,
    /// Counting deletions of the last day.
    pub deleted: usize,
    /// Deletions of this pass of images that a channel left.
    pub left: usize,
    /// The most good images that the line had at once within the last day, without those that new ones replaced.
    pub most: usize,
    /// How many fewer the line has after this pass.
    pub lost: usize,
}

impl LineLoad {
    /// Of the images of the line, each with how it counts, and of those that are deleted already. Confirmed deletions add nothing.
    pub fn of(images: &[Candidate<'_>], kinds: &[MarkKind], departed: &[Departed], now: DateTime<Utc>) -> Self {
        let mut load = Self::default();
        // When each image came and went: this pass is the last moment.
        let (mut came, mut went) = (Vec::new(), Vec::new());
        for (one, &kind) in images.iter().zip(kinds) {
            let is_good = is_good(one.image);
            load.good += usize::from(is_good);
            if one.is_due && kind != MarkKind::Confirmed {
                load.going += 1;
                load.counted += usize::from(kind == MarkKind::Counted);
                load.left += usize::from(kind == MarkKind::Left);
            }
            let goes_unnoticed = one.is_due && !matches!(kind, MarkKind::Counted | MarkKind::Left);
            if is_good && one.image.veto.is_none() && !goes_unnoticed {
                came.push(one.image.available_at);
            }
        }
        for one in departed {
            load.deleted += usize::from(!one.left_by_channel);
            came.push(one.available_at);
            went.push(one.deleted_at);
        }
        let staying = came.len().saturating_sub(departed.len() + load.counted + load.left);
        load.most = most_at_once(came, went, now);
        load.lost = load.most.saturating_sub(staying);
        load
    }

    /// The limit of a line that these deletions exceed: how many go now, how many have gone, and of how many.
    fn exceeded(&self) -> Option<(usize, usize, usize)> {
        let (lost, of) = (self.counted + self.deleted, self.good + self.deleted);
        if self.counted > 0 && is_too_much(lost, of) {
            return Some((self.counted, self.deleted, of));
        }
        let going = self.counted + self.left;
        (going > 0 && is_too_much(self.lost, self.most)).then(|| (going, self.lost.saturating_sub(going), self.most))
    }
}

/// Whether a line may not lose so many of its good images within [`WINDOW`] without a confirmation.
pub(super) fn is_too_much(lost: usize, of: usize) -> bool {
    lost >= AT_LEAST && 2 * lost > of
}

/// The largest number of images that were there at once within the last day.
fn most_at_once(mut came: Vec<DateTime<Utc>>, mut went: Vec<DateTime<Utc>>, now: DateTime<Utc>) -> usize {
    let begin = now - WINDOW;
    // Whatever the clocks were: an image that is there has come.
    for at in &mut came {
        *at = (*at).clamp(begin, now);
    }
    came.sort_unstable();
    went.sort_unstable();
    let (mut gone, mut most) = (0, 0);
    for (there, at) in came.iter().enumerate() {
        gone += went[gone..].iter().take_while(|went| *went < at).count();
        most = most.max((there + 1).saturating_sub(gone));
    }
    most
}

/// A limit that a pass exceeds; its deletions need a confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "snake_case")]
pub enum Brake {
    /// More than half of the good images of a line.
    Line {
        /// The line.
        line: LineId,
        /// How many would be deleted now.
        going: usize,
        /// How many were deleted in the last day.
        deleted: usize,
        /// Number of good images.
        of: usize,
    },
    /// More deletions in all than the limit.
    All {
        /// How many would be deleted now.
        going: usize,
        /// How many were deleted in the last day.
        deleted: usize,
        /// Maximum number of deletions.
        limit: usize,
        /// Whether the limit is `max_deletions` of the configuration; otherwise it is twice the number of lines with rules,
        /// and images that new ones replace do not count. The default is that of an earlier version's record.
        #[serde(default = "is_configured")]
        configured: bool,
        /// Lines of these images: three at most. An earlier version did not record them.
        #[serde(default)]
        lines: Vec<LineId>,
        /// Number of their other lines.
        #[serde(default)]
        more_lines: usize,
    },
}

fn is_configured() -> bool {
    true
}

/// Maximum number of lines that a limit of all lines names.
const NAMED_LINES: usize = 3;

impl Brake {
    /// The line; `None` for the limit of all lines.
    pub fn line(&self) -> Option<&LineId> {
        match self {
            Self::Line { line, .. } => Some(line),
            Self::All { .. } => None,
        }
    }
}

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, going, deleted, of } => {
                let there = of.saturating_sub(*deleted);
                write!(f, "retention would delete {going} of {there} good images of {line}, ")?;
                match deleted {
                    0 => f.write_str("more than half; none of them is deleted"),
                    n => write!(
                        f,
                        "and deleted {n} in the last 24 hours: together {} of {of}, more than half; none of them is deleted",
                        going + n
                    ),
                }
            }
            Self::All { going, deleted, limit, configured, lines, more_lines } => {
                let not_replaced = if *configured { "" } else { " that no new one replaces" };
                write!(f, "retention would delete {}{not_replaced}", text::counted(*going, "image", "images"))?;
                if !lines.is_empty() {
                    let names: Vec<&str> = lines.iter().map(LineId::as_str).collect();
                    let more = if *more_lines == 0 { String::new() } else { format!(" and {more_lines} more") };
                    write!(f, ", of {}{more}", names.join(", "))?;
                }
                if *deleted > 0 {
                    write!(f, ", after {deleted} in the last 24 hours")?;
                }
                if *configured {
                    write!(f, ": more than max_deletions ({limit}); none is deleted")
                } else {
                    write!(f, ": more than {limit}, twice the number of lines with rules; none is deleted")
                }
            }
        }
    }
}

/// Limits that one pass exceeds. All deletions count for `max_deletions`, the operator's limit; without it the limit is
/// twice the number of lines with rules.
pub fn brakes<'a>(
    lines: impl IntoIterator<Item = (&'a LineId, &'a LineLoad)>,
    max_deletions: Option<usize>,
    lines_with_rules: usize,
) -> Vec<Brake> {
    let (mut brakes, mut all, mut counted, mut deleted) = (Vec::new(), 0, 0, 0);
    let (mut named, mut more_lines) = (Vec::new(), 0);
    for (line, load) in lines {
        if (if max_deletions.is_some() { load.going } else { load.counted }) > 0 {
            if named.len() < NAMED_LINES {
                named.push(line.clone());
            } else {
                more_lines += 1;
            }
        }
        all += load.going;
        counted += load.counted;
        // What came in between makes up for what has gone.
        deleted += load.lost.saturating_sub(load.counted + load.left).min(load.deleted);
        if let Some((going, deleted, of)) = load.exceeded() {
            brakes.push(Brake::Line { line: line.clone(), going, deleted, of });
        }
    }
    let (going, limit) = match max_deletions {
        Some(limit) => (all, limit),
        None => (counted, lines_with_rules.saturating_mul(2)),
    };
    if going > 0 && going + deleted > limit {
        let configured = max_deletions.is_some();
        brakes.push(Brake::All { going, deleted, limit, configured, lines: named, more_lines });
    }
    brakes
}

#[cfg(test)]
#[path = "brake_tests.rs"]
mod tests;
