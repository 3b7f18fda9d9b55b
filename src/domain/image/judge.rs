//! Which images of a line stay, which go, and why: the one place that decides it, for the daemon, for `prune --dry-run`
//! and for `plan`.
//!
//! An image goes only if all of this holds: the file has rules for its line, none of them wants it, it is ours by tag and
//! by history, it is listed as AVAILABLE, nobody holds it (a pin, a channel, a user), enough good images are left without
//! it, and nothing is in doubt about the line or the look at the cloud. Everything else stays, with the reason.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    DeletionState, LineImage, Policy,
    retention::{self, RetentionRule},
};
use crate::domain::ids::BakeId;

/// What stands against any deletion in a line, or in all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "doubt", rename_all = "snake_case")]
pub enum Doubt {
    /// The newest image of the line failed: what it was to replace must last. Failures for another cause than the image
    /// say nothing of images.
    NewestFailed {
        /// That bake.
        bake: BakeId,
    },
    /// The cloud could not be looked at as a whole.
    NotSeen {
        /// Why.
        why: String,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewestFailed { bake } => write!(f, "bake {bake} of the line failed, and none has succeeded since"),
            Self::NotSeen { why } => write!(f, "not everything could be looked at: {why}"),
        }
    }
}

/// Why an image stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Why {
    /// The file has no rules for the line, or does not have the line.
    NoRules,
    /// A rule wants it.
    Rule {
        /// Which.
        rule: RetentionRule,
    },
    /// It is the newest good image of its line that has no veto.
    LastGood,
    /// A person has pinned it.
    Pinned {
        /// Until when.
        until: Option<DateTime<Utc>>,
        /// Why.
        reason: String,
    },
    /// A channel stands for it.
    Channel {
        /// Which.
        channel: String,
    },
    /// It is on its way to other regions.
    Copied {
        /// Which.
        regions: Vec<String>,
    },
    /// Somebody uses it.
    InUse {
        /// Who.
        by: Vec<String>,
    },
    /// The cloud does not show our tag on it, or shows it as shared: it is not ours to delete.
    NotOurs,
    /// It is not listed as AVAILABLE.
    NotAvailable,
    /// It is not listed at all.
    Missing,
    /// The cloud would not delete it.
    Refused {
        /// The cloud's words and ours.
        reason: String,
    },
    /// Its delete call was sent, and no search has answered since whether it is gone.
    Deleting,
    /// No rule wants it, but nothing is deleted now.
    Doubt {
        /// Why not.
        because: Doubt,
    },
}

impl Why {
    /// Whether it is a reason to keep the image. All others only make its deletion wait.
    fn keeps(&self) -> bool {
        matches!(self, Self::NoRules | Self::Rule { .. } | Self::LastGood | Self::Pinned { .. })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRules => f.write_str("no rules"),
            Self::Rule { rule } => f.write_str(rule.as_str()),
            Self::LastGood => f.write_str("newest good image"),
            Self::Pinned { until: None, reason } => write!(f, "pinned: {reason}"),
            Self::Pinned { until: Some(until), reason } => {
                write!(f, "pinned until {}: {reason}", until.format("%F %RZ"))
            }
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
            Self::Refused { reason } => write!(f, "the cloud would not delete it: {reason}"),
            Self::Deleting => f.write_str("its deletion was sent and is not confirmed yet"),
            Self::Doubt { because } => write!(f, "no rule wants it, but {because}"),
        }
    }
}

/// What is to become of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum RetentionDecision {
    /// It stays: a rule or a person keeps it. A mark is taken back.
    Stays {
        /// Every reason.
        why: Vec<Why>,
    },
    /// No rule wants it, but something stands in the way for now. A mark stays, and its grace goes on.
    Blocked {
        /// What asked for it.
        rule: String,
        /// Everything that stands in the way.
        why: Vec<Why>,
    },
    /// It goes.
    Goes {
        /// What asked for it.
        rule: String,
    },
}

impl RetentionDecision {
    /// Whether it goes.
    pub fn goes(&self) -> bool {
        matches!(self, Self::Goes { .. })
    }

    /// Whether it goes, or would but for a doubt, which passes.
    pub fn is_unwanted(&self) -> bool {
        match self {
            Self::Goes { .. } => true,
            Self::Blocked { why, .. } => why.iter().all(|why| matches!(why, Why::Doubt { .. })),
            Self::Stays { .. } => false,
        }
    }

    /// Everything that keeps it or stands in the way.
    pub fn why(&self) -> &[Why] {
        match self {
            Self::Stays { why } | Self::Blocked { why, .. } => why,
            Self::Goes { .. } => &[],
        }
    }
}

/// Judges all images of one line, which come in any order; the verdicts are in theirs. `policy` is `None` for a line that
/// the file does not have. Images that are deleted already must not be among them.
pub fn judge(
    images: &[LineImage],
    policy: Option<&Policy>,
    doubts: &[Doubt],
    now: DateTime<Utc>,
) -> Vec<RetentionDecision> {
    let keep = policy.and_then(|policy| Some((policy.keep.as_ref()?, policy.zone)));
    // What the rules see: good images of ours, the newest first. Failed ones never count.
    let mut good: Vec<usize> = (0..images.len()).filter(|&index| is_good(&images[index])).collect();
    good.sort_by_key(|&index| (images[index].version, images[index].date(now)));
    good.reverse();
    // Images of the future count for one another only: they must never push out those of the true time.
    let is_true = |index: &&usize| !images[**index].is_of_the_future(now);
    let good_of_true_time: Vec<usize> = good.iter().filter(is_true).copied().collect();

    let mut reasons: Vec<Vec<Why>> = images.iter().map(|image| held(image, now)).collect();
    // A veto takes an image out of use: it is no image to fall back on.
    let newest_usable = |good: &[usize]| good.iter().copied().find(|&index| images[index].veto.is_none());
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
        for (&index, rules) in counted.iter().zip(retention::wanted(keep, zone, &dates)) {
            for why in rules.into_iter().map(|rule| Why::Rule { rule }) {
                if !reasons[index].contains(&why) {
                    reasons[index].push(why);
                }
            }
        }
    }
    // The floor comes last: it counts the good images that stay for whatever reason.
    for counted in [&good, &good_of_true_time] {
        let mut staying = counted.iter().filter(|&&index| !reasons[index].is_empty()).count();
        for &index in counted {
            if staying >= keep.min as usize {
                break;
            }
            if reasons[index].is_empty() {
                reasons[index].push(Why::Rule { rule: RetentionRule::Min });
                staying += 1;
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
            // What stands in the way by itself says more than a doubt.
            if why.is_empty() {
                why.extend(doubts.iter().map(|doubt| Why::Doubt { because: doubt.clone() }));
            }
            let rule = rule.clone();
            if why.is_empty() { RetentionDecision::Goes { rule } } else { RetentionDecision::Blocked { rule, why } }
        })
        .collect()
}

/// Whether an image counts as good: ours, there, AVAILABLE, and not perhaps deleted by a call of ours already.
pub fn is_good(image: &LineImage) -> bool {
    let may_be_gone = matches!(image.deletion, DeletionState::Deleting { .. } | DeletionState::Deleted { .. });
    image.seen.available && image.seen.ours && image.seen.missing_since.is_none() && !may_be_gone
}

/// What holds an image whatever the rules say.
fn held(image: &LineImage, now: DateTime<Utc>) -> Vec<Why> {
    let mut why = Vec::new();
    if let Some(pin) = image.pin.as_ref().filter(|pin| pin.holds(now)) {
        why.push(Why::Pinned { until: pin.until, reason: pin.reason.clone() });
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

/// What is to be done with an image, once judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Nothing.
    Keep,
    /// Marked now, deleted later.
    Mark {
        /// Not before.
        delete_after: DateTime<Utc>,
    },
    /// Marked already; its time has not come.
    Wait {
        /// Not before.
        delete_after: DateTime<Utc>,
    },
    /// Marked already; something stands in the way of its deletion.
    Blocked {
        /// Not before.
        delete_after: DateTime<Utc>,
    },
    /// It is kept again.
    Unmark,
    /// Its time has come.
    Delete,
    /// Its time has come, and the brake holds it.
    NeedsConfirmation,
    /// Its delete call was sent: the image is searched for.
    Search,
}

impl Action {
    /// The word for it in tables.
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

/// What follows from a verdict for an image of this fate. `grace` is how long it stays marked.
pub fn action(image: &LineImage, verdict: &RetentionDecision, grace: TimeDelta, now: DateTime<Utc>) -> Action {
    match (&image.deletion, verdict) {
        // Only a search can say whether there is still anything to keep.
        (DeletionState::Deleting { .. }, _) => Action::Search,
        (DeletionState::Kept | DeletionState::Refused { .. }, RetentionDecision::Goes { .. }) => {
            let delete_after = now.checked_add_signed(grace).unwrap_or(DateTime::<Utc>::MAX_UTC);
            if grace <= TimeDelta::zero() { Action::Delete } else { Action::Mark { delete_after } }
        }
        (DeletionState::Kept | DeletionState::Refused { .. } | DeletionState::Deleted { .. }, _) => Action::Keep,
        (DeletionState::Marked { .. }, RetentionDecision::Stays { .. }) => Action::Unmark,
        (DeletionState::Marked { delete_after, .. }, RetentionDecision::Blocked { .. }) => {
            Action::Blocked { delete_after: *delete_after }
        }
        // A clock that was set back must not shorten the grace: the instant itself was noted.
        (DeletionState::Marked { delete_after, .. }, RetentionDecision::Goes { .. }) if now < *delete_after => {
            Action::Wait { delete_after: *delete_after }
        }
        (DeletionState::Marked { .. }, RetentionDecision::Goes { .. }) => Action::Delete,
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
