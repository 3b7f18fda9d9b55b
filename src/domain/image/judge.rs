//! Retention decisions: which images of a line stay, which are deleted, and why. The daemon, `prune --dry-run` and
//! `plan` share this function.
//!
//! An image is deleted only if all of this holds: the configuration has rules for its line, no rule wants it, tag and
//! history show that it belongs to this owner, it is listed as AVAILABLE, it has no pin, channel or user, enough good
//! images remain without it, and neither the line nor the inventory scan blocks deletions. All others stay, with the
//! reason.

use std::{borrow::Borrow, fmt};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    DeletionState, LineImage, Policy,
    retention::{self, Claim, RetentionRule},
};
use crate::domain::{calendar::zone::Zone, ids::BakeId, time::show};

/// A reason against all deletions of a line, or of all lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "blocker", rename_all = "snake_case")]
pub enum Blocker {
    /// The newest image of the line failed: what it was to replace must last. Failures for another cause than the image
    /// do not count.
    NewestFailed {
        /// That bake.
        bake: BakeId,
    },
    /// The last inventory scan was not complete.
    NotSeen {
        /// Why.
        why: String,
    },
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewestFailed { bake } => write!(f, "bake {bake} of the line failed, and none has succeeded since"),
            Self::NotSeen { why } => write!(f, "the last inventory scan was not complete: {why}"),
        }
    }
}

/// A reason why an image stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Why {
    /// The configuration has no rules for the line, or does not have the line.
    NoRules,
    /// A rule wants it.
    Rule(Claim),
    /// Newest good image of its line without a veto.
    LastGood,
    /// Pinned by a person.
    Pinned {
        /// End of the pin.
        until: Option<DateTime<Utc>>,
        /// Why.
        reason: String,
        /// Who; empty in a message of an earlier version.
        #[serde(default)]
        who: String,
    },
    /// A channel points to it.
    Channel {
        /// Which.
        channel: String,
    },
    /// It is being copied to other regions.
    Copied {
        /// Which.
        regions: Vec<String>,
    },
    /// It is in use.
    InUse {
        /// Who.
        by: Vec<String>,
    },
    /// The cloud does not list the owner's tag on it, or lists it as shared.
    NotOurs,
    /// Not listed as AVAILABLE.
    NotAvailable,
    /// Not listed at all.
    Missing,
    /// The cloud rejected its deletion.
    Refused {
        /// The error and its advice.
        reason: String,
    },
    /// Its delete call was sent, and no search has confirmed the result.
    Deleting,
    /// No rule wants it, but deletions are blocked now.
    Blocker {
        /// The blocker.
        because: Blocker,
    },
}

impl Why {
    /// Whether it keeps the image. All other reasons only delay its deletion.
    fn keeps(&self) -> bool {
        matches!(self, Self::NoRules | Self::Rule(_) | Self::LastGood | Self::Pinned { .. })
    }

    /// In words, with times in this zone.
    pub fn describe(&self, zone: Zone) -> String {
        match self {
            Self::Pinned { until, reason, who } => {
                let by = if who.is_empty() { String::new() } else { format!(" by {who}") };
                let until = until.map_or_else(String::new, |until| format!(" until {}", show(until, zone)));
                format!("pinned{by}{until}: {reason}")
            }
            without_time => without_time.to_string(),
        }
    }
}

/// Times are in UTC.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRules => f.write_str("no rules"),
            Self::Rule(claim) => claim.fmt(f),
            Self::LastGood => f.write_str("newest good image"),
            Self::Pinned { .. } => f.write_str(&self.describe(Zone::UTC)),
            Self::Channel { channel } => write!(f, "channel {channel}"),
            Self::Copied { regions } => write!(f, "being copied to {}", regions.join(", ")),
            Self::InUse { by } => match by.as_slice() {
                [one] => write!(f, "in use by {one}"),
                [first, rest @ ..] => write!(f, "in use by {first} and {} more", rest.len()),
                [] => f.write_str("in use"),
            },
            Self::NotOurs => f.write_str("not ours: our tag is not on it, or it is shared"),
            Self::NotAvailable => f.write_str("not listed as AVAILABLE"),
            Self::Missing => f.write_str("not in the cloud any more"),
            Self::Refused { reason } => write!(f, "the cloud rejected its deletion: {reason}"),
            Self::Deleting => f.write_str("its deletion was sent and is not confirmed yet"),
            Self::Blocker { because } => write!(f, "no rule wants it, but {because}"),
        }
    }
}

/// The decision for one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum RetentionDecision {
    /// It stays: a rule or a person keeps it. A mark is removed.
    Stays {
        /// Every reason.
        why: Vec<Why>,
    },
    /// No rule wants it, but something blocks its deletion for now. A mark stays, and its grace continues.
    Blocked {
        /// Rule that wants it deleted.
        rule: String,
        /// All blockers.
        why: Vec<Why>,
    },
    /// It is deleted after its grace.
    Goes {
        /// Rule that wants it deleted.
        rule: String,
    },
}

impl RetentionDecision {
    /// Whether it is deleted.
    pub fn goes(&self) -> bool {
        matches!(self, Self::Goes { .. })
    }

    /// Whether it is deleted, or only a temporary blocker prevents that.
    pub fn is_unwanted(&self) -> bool {
        match self {
            Self::Goes { .. } => true,
            Self::Blocked { why, .. } => why.iter().all(|why| matches!(why, Why::Blocker { .. })),
            Self::Stays { .. } => false,
        }
    }

    /// All reasons that keep it or block its deletion.
    pub fn why(&self) -> &[Why] {
        match self {
            Self::Stays { why } | Self::Blocked { why, .. } => why,
            Self::Goes { .. } => &[],
        }
    }
}

/// Returns the decisions for all images of one line, in the order of `images`. `policy` is `None` for a line without a
/// configuration. `images` has no deleted images.
pub fn judge(
    images: &[impl Borrow<LineImage>],
    policy: Option<&Policy>,
    blockers: &[Blocker],
    now: DateTime<Utc>,
) -> Vec<RetentionDecision> {
    let images: Vec<&LineImage> = images.iter().map(Borrow::borrow).collect();
    let keep = policy.and_then(|policy| Some((policy.keep.as_ref()?, policy.zone)));
    // The rules apply to good images of this owner, the newest first. Failed ones never count.
    let mut good: Vec<usize> = (0..images.len()).filter(|&index| is_good(images[index])).collect();
    good.sort_by_key(|&index| (images[index].version, images[index].date(now)));
    good.reverse();
    // Images of future slots count only among themselves: they never displace those of past slots.
    let is_true = |index: &&usize| !images[**index].is_of_the_future(now);
    let good_of_true_time: Vec<usize> = good.iter().filter(is_true).copied().collect();

    let mut reasons: Vec<Vec<Why>> = images.iter().map(|image| held(image, now)).collect();
    // A veto takes an image out of use: it is no image to fall back on. Nor is one whose check may still fail, if there is another.
    let newest_usable = |good: &[usize]| {
        let mut usable = good.iter().copied().filter(|&index| images[index].veto.is_none());
        let newest = usable.clone().next();
        usable.find(|&index| !images[index].unchecked).or(newest)
    };
    let newest = newest_usable(&good);
    let newest_of_true_time = newest_usable(&good_of_true_time).filter(|index| Some(*index) != newest);
    for index in newest.into_iter().chain(newest_of_true_time) {
        reasons[index].push(Why::LastGood);
    }
    let Some((keep, zone)) = keep else {
        return reasons
            .into_iter()
            .map(|mut why| {
                why.push(Why::NoRules);
                RetentionDecision::Stays { why }
            })
            .collect();
    };
    for counted in [&good, &good_of_true_time] {
        let dates: Vec<_> = counted.iter().map(|&index| images[index].date(now)).collect();
        for (&index, claims) in counted.iter().zip(retention::claims(keep, zone, &dates)) {
            for claim in claims {
                let is_same = |why: &Why| matches!(why, Why::Rule(known) if known.rule == claim.rule);
                if !reasons[index].iter().any(is_same) {
                    reasons[index].push(Why::Rule(claim));
                }
            }
        }
    }
    // The minimum comes last: it counts the good images that stay for any reason.
    for counted in [&good, &good_of_true_time] {
        let mut staying = counted.iter().filter(|&&index| !reasons[index].is_empty()).count();
        for &index in counted {
            if staying >= keep.min as usize {
                break;
            }
            if reasons[index].is_empty() {
                staying += 1;
                let place = u32::try_from(staying).unwrap_or(u32::MAX);
                reasons[index].push(Why::Rule(Claim::counted(RetentionRule::Min, place, keep.min)));
            }
        }
    }
    let rule = retention::words(keep);
    reasons
        .into_iter()
        .map(|mut why| {
            if why.iter().any(Why::keeps) {
                return RetentionDecision::Stays { why };
            }
            // A blocker of the image itself is reported instead of a general one.
            if why.is_empty() {
                why.extend(blockers.iter().map(|blocker| Why::Blocker { because: blocker.clone() }));
            }
            let rule = rule.clone();
            if why.is_empty() { RetentionDecision::Goes { rule } } else { RetentionDecision::Blocked { rule, why } }
        })
        .collect()
}

/// Whether an image counts as good: of this owner, listed as AVAILABLE, and without a pending delete call.
pub fn is_good(image: &LineImage) -> bool {
    let may_be_gone = matches!(image.deletion, DeletionState::Deleting { .. } | DeletionState::Deleted { .. });
    image.seen.available && image.seen.ours && image.seen.missing_since.is_none() && !may_be_gone
}

/// Reasons that keep an image whatever the rules are.
fn held(image: &LineImage, now: DateTime<Utc>) -> Vec<Why> {
    let mut why = Vec::new();
    if let Some(pin) = image.pin.as_ref().filter(|pin| pin.holds(now)) {
        why.push(Why::Pinned { until: pin.until, reason: pin.reason.clone(), who: pin.who.clone() });
    }
    why.extend(image.channels.iter().map(|channel| Why::Channel { channel: channel.clone() }));
    if !image.copied_to.is_empty() {
        why.push(Why::Copied { regions: image.copied_to.clone() });
    }
    if !image.seen.used_by.is_empty() {
        why.push(Why::InUse { by: image.seen.used_by.clone() });
    }
    if image.seen.missing_since.is_some() {
        why.push(Why::Missing);
    } else if !image.seen.available {
        why.push(Why::NotAvailable);
    } else if !image.seen.ours {
        why.push(Why::NotOurs);
    }
    match &image.deletion {
        DeletionState::Refused { why: reason } => why.push(Why::Refused { reason: reason.clone() }),
        DeletionState::Deleting { .. } => why.push(Why::Deleting),
        DeletionState::Kept | DeletionState::Marked { .. } | DeletionState::Deleted { .. } => {}
    }
    why
}

/// Action that follows from a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Nothing.
    Keep,
    /// Mark now, delete later.
    Mark {
        /// Earliest deletion.
        delete_after: DateTime<Utc>,
    },
    /// Marked; the grace has not passed.
    Wait {
        /// Earliest deletion.
        delete_after: DateTime<Utc>,
    },
    /// Marked; something blocks the deletion.
    Blocked {
        /// Earliest deletion.
        delete_after: DateTime<Utc>,
    },
    /// Remove the mark.
    Unmark,
    /// Delete now.
    Delete,
    /// The grace has passed, and the brake needs a confirmation.
    NeedsConfirmation,
    /// The delete call was sent: search for the image.
    Search,
}

impl Action {
    /// Spelling in tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Mark { .. } => "mark",
            Self::Wait { .. } => "marked",
            Self::Blocked { .. } => "marked, blocked",
            Self::Unmark => "unmark",
            Self::Delete => "delete",
            Self::NeedsConfirmation => "needs confirmation",
            Self::Search => "deleting",
        }
    }
}

/// When an image with this decision is deleted at the earliest, as it stands; `None` if nothing is planned. `grace` is the
/// time between mark and deletion, `next_pass` the instant of the next retention pass, which a full image quota or the end
/// of a grace may bring forward. A veto does not matter: the rules count vetoed images like others.
///
/// The image is deleted by the first pass at or after this instant, and a pass comes when a grace has passed. A limit that
/// needs a confirmation, and a reason that blocks the deletion, delay it further.
pub fn deleted_from(
    deletion: &DeletionState,
    verdict: &RetentionDecision,
    grace: TimeDelta,
    next_pass: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    match (deletion, verdict) {
        // The next pass marks it, and the grace begins there.
        (DeletionState::Kept | DeletionState::Refused { .. }, RetentionDecision::Goes { .. }) => {
            Some(next_pass.checked_add_signed(grace.max(TimeDelta::zero())).unwrap_or(DateTime::<Utc>::MAX_UTC))
        }
        // The instant itself is stored: a clock that was set back must not shorten the grace.
        (
            DeletionState::Marked { delete_after, .. },
            RetentionDecision::Goes { .. } | RetentionDecision::Blocked { .. },
        ) => Some(next_pass.max(*delete_after)),
        _ => None,
    }
}

/// Action for an image with this decision at `now`. `grace` is the time between mark and deletion, `next_pass` the instant
/// at which a pass carries the action out: `now` in a pass.
pub fn action(
    image: &LineImage,
    verdict: &RetentionDecision,
    grace: TimeDelta,
    now: DateTime<Utc>,
    next_pass: DateTime<Utc>,
) -> Action {
    match (&image.deletion, verdict) {
        // Only a search shows whether the image still exists.
        (DeletionState::Deleting { .. }, _) => Action::Search,
        (DeletionState::Kept | DeletionState::Refused { .. }, RetentionDecision::Goes { .. }) => {
            match deleted_from(&image.deletion, verdict, grace, next_pass) {
                Some(delete_after) if grace > TimeDelta::zero() => Action::Mark { delete_after },
                _ => Action::Delete,
            }
        }
        (DeletionState::Kept | DeletionState::Refused { .. } | DeletionState::Deleted { .. }, _) => Action::Keep,
        (DeletionState::Marked { .. }, RetentionDecision::Stays { .. }) => Action::Unmark,
        (DeletionState::Marked { delete_after, .. }, RetentionDecision::Blocked { .. }) => {
            Action::Blocked { delete_after: *delete_after }
        }
        (DeletionState::Marked { delete_after, .. }, RetentionDecision::Goes { .. }) if now < *delete_after => {
            Action::Wait { delete_after: *delete_after }
        }
        (DeletionState::Marked { .. }, RetentionDecision::Goes { .. }) => Action::Delete,
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
