//! Channels: which image of the line each one points to.
//!
//! * `latest` points to the newest fit image: good, present, without a veto. It moves to none whose check is not over.
//! * A channel with `after` moves by itself to the newest fit image that has been good for that long and has passed its
//!   check, if it has one. It moves only to versions above the last one it pointed to or was rolled back from.
//! * A channel without `after` moves only when a person moves it.
//! * By itself a channel moves only to images of this owner, and never to a higher version with an earlier slot: an
//!   adopted image needs a person.
//! * No channel points to an unfit image. A channel that loses its image goes back: with `after`, to the newest older
//!   version that qualifies; without, to the image it pointed to before. Without such an image it is empty.
//!
//! A line that is not in the configuration keeps its channels; they only go back.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{DeletionState, LineImage};
use crate::domain::{
    clock::show::show_length,
    ids::ImageId,
    schedule::{Channel, LATEST},
};

/// Result of the check of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Not run yet.
    Due,
    /// The image passed.
    Passed,
    /// The image failed.
    Failed,
}

/// Input of the decision for one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Images of the line that are not deleted.
    pub images: Vec<Candidate>,
    /// Current assignments.
    pub assigned: Vec<Assigned>,
    /// Former assignments, the last one first.
    pub past: Vec<(String, ImageId)>,
}

/// An image that a channel may point to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The image.
    pub image_id: ImageId,
    /// Its version.
    pub version: u32,
    /// Instant at which it became AVAILABLE.
    pub available_at: DateTime<Utc>,
    /// Reason why no channel may point to it; `None` if it is fit.
    pub unfit: Option<String>,
    /// Whether a channel may move to it by itself: it carries the owner's tag, and no lower version of the line has a
    /// later slot. Other images, such as adopted ones, need a person.
    pub moves_in: bool,
    /// Result of its check, if it has one.
    pub check: Option<Check>,
}

/// What a channel points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The channel.
    pub channel: String,
    /// The image; `None` if the channel is empty.
    pub image_id: Option<ImageId>,
    /// Version of the image.
    pub version: Option<u32>,
    /// By itself the channel moves only to versions above this one.
    pub above: i64,
}

/// A change of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The channel.
    pub channel: String,
    /// New target.
    pub to: ChannelTarget,
    /// Reason in plain words.
    pub why: String,
    /// Whether the channel goes back, for the log.
    pub is_loss: bool,
}

/// Target of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelTarget {
    /// An image.
    Image {
        /// The image.
        image_id: ImageId,
        /// Its version.
        version: u32,
        /// By itself the channel moves only to versions above this one.
        above: i64,
    },
    /// No image, until one qualifies.
    Nothing {
        /// By itself the channel moves only to versions above this one.
        above: i64,
    },
    /// The channel is removed.
    Dropped,
}

impl Candidate {
    /// The input of the decision for `image`.
    pub fn new(image: &LineImage, check: Option<Check>) -> Self {
        Self {
            image_id: image.image_id.clone(),
            version: image.version,
            available_at: image.available_at,
            unfit: unfit(image),
            moves_in: image.seen.ours,
            check,
        }
    }

    /// Instant from which a channel with this `after` may move to the image by itself; `None` if it may not.
    fn ripe_at(&self, after: Duration) -> Option<DateTime<Utc>> {
        let checked = matches!(self.check, None | Some(Check::Passed));
        let soaked = TimeDelta::from_std(after).ok().and_then(|after| self.available_at.checked_add_signed(after))?;
        (self.unfit.is_none() && self.moves_in && checked).then_some(soaked)
    }
}

/// Reason why no channel may point to an image.
fn unfit(image: &LineImage) -> Option<String> {
    if let Some(reason) = &image.veto {
        return Some(format!("vetoed: {reason}"));
    }
    match &image.deletion {
        DeletionState::Deleting { .. } => return Some("being deleted".to_owned()),
        DeletionState::Deleted { .. } => return Some("deleted".to_owned()),
        DeletionState::Kept | DeletionState::Refused { .. } | DeletionState::Marked { .. } => {}
    }
    if image.seen.missing_since.is_some() {
        Some("not in the cloud any more".to_owned())
    } else if !image.seen.available {
        Some("not listed as AVAILABLE".to_owned())
    } else {
        None
    }
}

impl View {
    fn image(&self, image_id: &ImageId) -> Option<&Candidate> {
        self.images.iter().find(|image| image.image_id == *image_id)
    }

    fn assigned(&self, channel: &str) -> Option<&Assigned> {
        self.assigned.iter().find(|assigned| assigned.channel == channel)
    }

    /// Reason why `assigned` must leave its image, if it must.
    fn loss(&self, assigned: &Assigned) -> Option<String> {
        let image_id = assigned.image_id.as_ref()?;
        self.image(image_id).map_or_else(|| Some("gone".to_owned()), |image| image.unfit.clone())
    }

    /// Newest fit image that matches `wanted`.
    fn newest(&self, wanted: impl Fn(&Candidate) -> bool) -> Option<&Candidate> {
        let fit = self.images.iter().filter(|image| image.unfit.is_none() && wanted(image));
        fit.max_by(|a, b| (a.version, &a.image_id).cmp(&(b.version, &b.image_id)))
    }

    /// Image that `channel` pointed to last, among fit images other than `but`.
    fn previous(&self, channel: &str, but: Option<&ImageId>) -> Option<&Candidate> {
        self.past
            .iter()
            .filter(|(of, image_id)| of == channel && Some(image_id) != but)
            .filter_map(|(_, image_id)| self.image(image_id))
            .find(|image| image.unfit.is_none())
    }

    /// Applies the moves, so that the next decision uses them.
    pub fn apply(&mut self, moves: &[Move]) {
        for Move { channel, to, .. } in moves {
            self.assigned.retain(|assigned| assigned.channel != *channel);
            let (image_id, version, above) = match to {
                ChannelTarget::Image { image_id, version, above } => (Some(image_id.clone()), Some(*version), *above),
                ChannelTarget::Nothing { above } => (None, None, *above),
                ChannelTarget::Dropped => continue,
            };
            if let Some(image_id) = &image_id {
                self.past.retain(|past| (&past.0, &past.1) != (channel, image_id));
                self.past.insert(0, (channel.clone(), image_id.clone()));
            }
            self.assigned.push(Assigned { channel: channel.clone(), image_id, version, above });
        }
    }

    /// Applies a veto.
    pub fn veto(&mut self, image_id: &ImageId, reason: &str) {
        for image in self.images.iter_mut().filter(|image| image.image_id == *image_id) {
            image.unfit = Some(format!("vetoed: {reason}"));
        }
    }
}

/// Moves that are due by themselves, and the instant of the next one. `declared` lists the channels of the
/// configuration except `latest`; `None` if the configuration does not have the line.
pub fn settle(view: &View, declared: Option<&[Channel]>, now: DateTime<Utc>) -> (Vec<Move>, Option<DateTime<Utc>>) {
    let mut moves: Vec<Move> = latest(view).into_iter().collect();
    let mut next: Option<DateTime<Utc>> = None;
    for channel in declared.unwrap_or_default() {
        if let Some(after) = channel.after {
            moves.extend(by_itself(view, &channel.name, after, now));
            let soaking = view.images.iter().filter_map(|image| image.ripe_at(after)).filter(|at| *at > now).min();
            next = [next, soaking].into_iter().flatten().min();
        } else {
            moves.extend(by_hand(view, &channel.name));
        }
    }
    for assigned in view.assigned.iter().filter(|assigned| assigned.channel != LATEST) {
        match declared {
            None => moves.extend(by_hand(view, &assigned.channel)),
            Some(declared) if declared.iter().all(|channel| channel.name != assigned.channel) => moves.push(Move {
                channel: assigned.channel.clone(),
                to: ChannelTarget::Dropped,
                why: "not in the file any more".to_owned(),
                is_loss: false,
            }),
            Some(_) => {}
        }
    }
    (moves, next)
}

fn latest(view: &View) -> Option<Move> {
    let assigned = view.assigned(LATEST);
    let current = assigned.and_then(|assigned| assigned.image_id.as_ref());
    let is_good = |image: &Candidate| image.moves_in && image.check != Some(Check::Due);
    let newest = view.newest(|image| is_good(image) || Some(&image.image_id) == current);
    if current == newest.map(|image| &image.image_id) {
        return None;
    }
    let loss = assigned.and_then(|assigned| view.loss(assigned));
    let why = loss.clone().map_or_else(|| "newest good image".to_owned(), |why| left(assigned, &why));
    let to = match newest {
        Some(image) => point_to(image, image.version.into()),
        None => ChannelTarget::Nothing { above: -1 },
    };
    Some(Move { channel: LATEST.to_owned(), to, why, is_loss: loss.is_some() })
}

/// Decides for a channel with `after`.
fn by_itself(view: &View, channel: &str, after: Duration, now: DateTime<Utc>) -> Option<Move> {
    let ripe = |image: &Candidate| image.ripe_at(after).is_some_and(|at| at <= now);
    let assigned = view.assigned(channel);
    let above = assigned.map_or(-1, |assigned| assigned.above);
    let loss = assigned.and_then(|assigned| view.loss(assigned));
    if let Some(image) = view.newest(|image| ripe(image) && i64::from(image.version) > above) {
        let why = match &loss {
            Some(loss) => left(assigned, loss),
            None if after.is_zero() => "good".to_owned(),
            None => format!("good for {}", show_length(after)),
        };
        let to = point_to(image, image.version.into());
        return Some(Move { channel: channel.to_owned(), to, why, is_loss: false });
    }
    let (assigned, loss) = (assigned?, loss?);
    let version = assigned.version.unwrap_or_default();
    // A rolled-back version does not return; one that was only lost may return once it is fit again.
    let rolled_back = assigned.above > i64::from(version);
    let to = match view.newest(|image| ripe(image) && image.version < version) {
        Some(image) => point_to(image, if rolled_back { assigned.above } else { image.version.into() }),
        None => ChannelTarget::Nothing { above: if rolled_back { assigned.above } else { i64::from(version) - 1 } },
    };
    Some(Move { channel: channel.to_owned(), to, why: left(Some(assigned), &loss), is_loss: true })
}

/// Decides for a channel without `after`, or of a line without a configuration: it only goes back.
fn by_hand(view: &View, channel: &str) -> Option<Move> {
    let assigned = view.assigned(channel)?;
    let loss = view.loss(assigned)?;
    let to = match view.previous(channel, assigned.image_id.as_ref()) {
        Some(image) => point_to(image, assigned.above.max(image.version.into())),
        None => ChannelTarget::Nothing { above: assigned.above },
    };
    Some(Move { channel: channel.to_owned(), to, why: left(Some(assigned), &loss), is_loss: true })
}

fn point_to(image: &Candidate, above: i64) -> ChannelTarget {
    ChannelTarget::Image { image_id: image.image_id.clone(), version: image.version, above }
}

fn left(assigned: Option<&Assigned>, why: &str) -> String {
    match assigned.and_then(|assigned| Some((assigned.version?, assigned.image_id.as_ref()?))) {
        Some((version, image_id)) => format!("v{version} ({image_id}) is {why}"),
        None => why.to_owned(),
    }
}

/// Reason why a person's request is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `latest` moves only by itself.
    #[error("`latest` always points to the newest good image; `imagebaked veto IMAGE --reason …` takes one out of it")]
    Latest,
    /// The line has no such channel.
    #[error("{line} has no channel `{channel}`; {}", hint.as_deref().unwrap_or("name it in `channels` of the schedule first"))]
    NoChannel {
        /// The line.
        line: String,
        /// The requested channel.
        channel: String,
        /// The most similar channel.
        hint: Option<String>,
    },
    /// No channel may point to the image.
    #[error("image {image} is {why}")]
    Unfit {
        /// The image.
        image: ImageId,
        /// Why.
        why: String,
    },
    /// The image has not passed its check.
    #[error("the check of image {image} {}; --force promotes it all the same", if *failed { "failed" } else { "is not over" })]
    NotChecked {
        /// The image.
        image: ImageId,
        /// Whether the check failed.
        failed: bool,
    },
    /// The channel points to the image already.
    #[error("channel `{channel}` points to image {image} already")]
    Already {
        /// The channel.
        channel: String,
        /// The image.
        image: ImageId,
    },
    /// The channel is empty.
    #[error("channel `{channel}` of {line} is empty: there is nothing to roll back from")]
    Empty {
        /// The line.
        line: String,
        /// The channel.
        channel: String,
    },
    /// The channel pointed to no other fit image.
    #[error(
        "channel `{channel}` of {line} pointed to no other image that still exists and has no veto; \
         `imagebaked veto {image} --reason …` takes this one out of every channel"
    )]
    NoPrevious {
        /// The line.
        line: String,
        /// The channel.
        channel: String,
        /// The image it points to.
        image: ImageId,
    },
}

/// Points `channel` to an image of the line on request, whatever its `after`.
///
/// # Errors
///
/// [`Refused`] if the line has no such channel, the image is unfit or unchecked, or nothing would change.
pub fn promote(view: &View, image_id: &ImageId, channel: &str, force: bool, why: &str) -> Result<Move, Refused> {
    let Some(image) = view.image(image_id) else {
        return Err(Refused::Unfit { image: image_id.clone(), why: "deleted".to_owned() });
    };
    if let Some(why) = &image.unfit {
        return Err(Refused::Unfit { image: image_id.clone(), why: why.clone() });
    }
    if let (Some(check @ (Check::Due | Check::Failed)), false) = (image.check, force) {
        return Err(Refused::NotChecked { image: image_id.clone(), failed: check == Check::Failed });
    }
    let assigned = view.assigned(channel);
    if assigned.and_then(|assigned| assigned.image_id.as_ref()) == Some(image_id) {
        return Err(Refused::Already { channel: channel.to_owned(), image: image_id.clone() });
    }
    // An older version is chosen to last: the channel does not return by itself to the version that it leaves.
    let left = assigned.and_then(|assigned| assigned.version).map_or(-1, i64::from);
    let to = point_to(image, left.max(image.version.into()));
    Ok(Move { channel: channel.to_owned(), to, why: why.to_owned(), is_loss: false })
}

/// Points `channel` to its former image on request. The caller vetoes the image that it leaves.
///
/// # Errors
///
/// [`Refused`] if the channel is empty, is `latest`, or has no other fit image.
pub fn rollback(view: &View, line: &str, channel: &str, why: &str) -> Result<(ImageId, Move), Refused> {
    let empty = || Refused::Empty { line: line.to_owned(), channel: channel.to_owned() };
    let assigned = view.assigned(channel).ok_or_else(empty)?;
    let current = assigned.image_id.clone().ok_or_else(empty)?;
    let Some(image) = view.previous(channel, Some(&current)) else {
        return Err(Refused::NoPrevious { line: line.to_owned(), channel: channel.to_owned(), image: current });
    };
    let left = assigned.version.map_or(-1, i64::from);
    let to = point_to(image, assigned.above.max(left).max(image.version.into()));
    Ok((current, Move { channel: channel.to_owned(), to, why: why.to_owned(), is_loss: true }))
}

#[cfg(test)]
#[path = "channels_tests.rs"]
mod tests;
