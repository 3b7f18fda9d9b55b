//! The brake: how much may be deleted before a person has confirmed it. Pure arithmetic on what one pass would delete.
//!
//! Ordinary retention never meets it. A new image of a slot takes the place of an old one, at most one for each rule of
//! `keep`, and such a deletion does not count. What counts is everything else that stops being wanted: after an edit of
//! the rules, after pins were taken off, after images appeared that no slot made.
//!
//! Deletions of the last day are added to those of the pass, so that a slow trickle comes to the same as one pass.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{LineImage, judge::is_good, retention::counts};
use crate::domain::{ids::LineId, schedule::Keep};

/// Fewer deletions than this of a line are never held.
const AT_LEAST: usize = 3;
/// So many images that persons asked for may take the place of others between two passes.
const BY_HAND: usize = 2;
/// Deletions so far back are added to those of a pass.
pub const WINDOW: TimeDelta = TimeDelta::hours(24);

/// What the brake makes of the deletion of a marked image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MarkKind {
    /// A newer image took its place: it does not count.
    #[default]
    Ordinary,
    /// It counts.
    Counted,
    /// A person has confirmed it.
    Confirmed,
}

impl MarkKind {
    /// As the history spells it; `None`: ordinary.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Ordinary => None,
            Self::Counted => Some("counted"),
            Self::Confirmed => Some("confirmed"),
        }
    }

    /// Reads the history's spelling.
    pub fn parse(text: Option<&str>) -> Self {
        [Self::Counted, Self::Confirmed].into_iter().find(|kind| kind.as_str() == text).unwrap_or_default()
    }
}

/// An image of a line that was judged just now, with what the brake has to know of it.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that is so or not")]
pub struct Candidate<'a> {
    /// The image.
    pub image: &'a LineImage,
    /// How it was marked at an earlier pass; `None`: it was not.
    pub marked: Option<MarkKind>,
    /// Whether no pass has judged it before.
    pub is_new: bool,
    /// Whether a slot brought it, not a person.
    pub of_slot: bool,
    /// Whether it goes by the rules.
    pub goes: bool,
    /// Whether its time has come.
    pub is_due: bool,
}

/// Which images of a line count for the brake: those that were marked so, and those that stop being wanted now without a new
/// image that takes their place. `same_rules`: the line was last judged by the rules that are in force. In the order of
/// `images`.
pub fn counted(images: &[Candidate<'_>], keep: &Keep, same_rules: bool, now: DateTime<Utc>) -> Vec<bool> {
    let mut counted: Vec<bool> =
        images.iter().map(|one| one.goes && matches!(one.marked, None | Some(MarkKind::Counted))).collect();
    // The oldest are those that new images replace.
    let mut unmarked: Vec<usize> =
        (0..images.len()).filter(|&index| images[index].goes && images[index].marked.is_none()).collect();
    unmarked.sort_unstable_by_key(|&index| (images[index].image.date(now), images[index].image.version));
    for index in unmarked.into_iter().take(replaced(images, keep, same_rules, now)) {
        counted[index] = false;
    }
    counted
}

/// How many images may stop being wanted because new ones took their place.
fn replaced(images: &[Candidate<'_>], keep: &Keep, same_rules: bool, now: DateTime<Utc>) -> usize {
    if !same_rules {
        return 0;
    }
    // What gathered for longer than a day would go all at once: a person looks it over.
    let recent = |one: &&Candidate<'_>| one.is_new && is_good(one.image) && now - one.image.available_at <= WINDOW;
    let (of_slots, by_hand): (Vec<&Candidate<'_>>, Vec<_>) = images.iter().filter(recent).partition(|one| one.of_slot);
    let by_hand = if by_hand.len() > BY_HAND { 0 } else { by_hand.len() };
    (of_slots.len() + by_hand).saturating_mul(rules(keep))
}

/// How many rules of `keep` are in use: each can let go of one image for a new one.
fn rules(keep: &Keep) -> usize {
    counts(keep).count() + usize::from(keep.within.is_some())
}

/// What a pass would delete of one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineLoad {
    /// Good images, those that are to go among them.
    pub good: usize,
    /// Deletions of this pass.
    pub going: usize,
    /// Those of them that count.
    pub counted: usize,
    /// Deletions of the last day that count.
    pub deleted: usize,
}

impl LineLoad {
    /// Adds the images of the line, each with whether it counts. What was confirmed is no load.
    pub fn add(&mut self, images: &[Candidate<'_>], counted: &[bool]) {
        for (one, &counts) in images.iter().zip(counted) {
            self.good += usize::from(is_good(one.image));
            if one.is_due && one.marked != Some(MarkKind::Confirmed) {
                self.going += 1;
                self.counted += usize::from(counts);
            }
        }
    }
}

/// What is held, and why.
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
        /// Of how many good images.
        of: usize,
    },
    /// More in all than is allowed.
    All {
        /// How many would be deleted now.
        going: usize,
        /// How many were deleted in the last day.
        deleted: usize,
        /// How many may be.
        limit: usize,
    },
}

impl Brake {
    /// The line; `None` where it holds all of them.
    pub fn line(&self) -> Option<&LineId> {
        match self {
            Self::Line { line, .. } => Some(line),
            Self::All { .. } => None,
        }
    }
}

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Line { going, deleted, .. } | Self::All { going, deleted, .. }) = self;
        let before = match deleted {
            0 => String::new(),
            n => format!(" after {n} in the last 24 hours"),
        };
        match self {
            Self::Line { line, of, .. } => write!(
                f,
                "retention would delete {going} of {of} good images of {line}{before}, more than half; none of them is deleted"
            ),
            Self::All { limit, .. } => write!(
                f,
                "retention would delete {going} images{before}, more than max_deletions ({limit}); none is deleted"
            ),
        }
    }
}

/// What one pass may not delete without a person's word. `max_deletions` is the operator's own limit, for which every
/// deletion counts; without it the limit is twice the number of lines with rules.
pub fn brakes<'a>(
    lines: impl IntoIterator<Item = (&'a LineId, &'a LineLoad)>,
    max_deletions: Option<usize>,
    lines_with_rules: usize,
) -> Vec<Brake> {
    let (mut brakes, mut all, mut counted, mut deleted) = (Vec::new(), 0, 0, 0);
    for (line, load) in lines {
        all += load.going;
        counted += load.counted;
        deleted += load.deleted;
        let (lost, of) = (load.counted + load.deleted, load.good + load.deleted);
        if load.counted > 0 && lost >= AT_LEAST && 2 * lost > of {
            let (line, going) = (line.clone(), load.counted);
            brakes.push(Brake::Line { line, going, deleted: load.deleted, of });
        }
    }
    let (going, limit) = match max_deletions {
        Some(limit) => (all, limit),
        None => (counted, lines_with_rules.saturating_mul(2)),
    };
    if going > 0 && going + deleted > limit {
        brakes.push(Brake::All { going, deleted, limit });
    }
    brakes
}

#[cfg(test)]
#[path = "brake_tests.rs"]
mod tests;
