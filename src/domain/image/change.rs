//! Effect of a configuration change on existing images: part of `plan --diff` and of `reload`.

use serde::{Deserialize, Serialize};

use super::{LineImage, Policy, report::Judged};
use crate::domain::schedule::LATEST;

/// Images that the old and the new configuration treat differently. Each image is in one list at most. The lists may be
/// shortened; the counts are complete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// Complete counts.
    pub counts: Counts,
    /// Wanted by the old rules, not by the new.
    pub going: Vec<Judged>,
    /// Not wanted by the old rules, but by the new.
    pub staying: Vec<Judged>,
    /// Images of lines that are not in the new configuration: they stay until somebody deletes them.
    pub orphans: Vec<Judged>,
}

/// Number of images of each kind in a [`Change`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Images to delete.
    pub going: usize,
    /// Images to keep.
    pub staying: usize,
    /// Images without a line.
    pub orphans: usize,
}

impl Change {
    /// Adds one image with its decisions by the old and the new configuration.
    pub fn add(&mut self, before: &Judged, after: Judged) {
        let (list, count) = if before.schedule.is_some() && after.schedule.is_none() {
            (&mut self.orphans, &mut self.counts.orphans)
        } else {
            match (before.verdict.is_unwanted(), after.verdict.is_unwanted()) {
                (false, true) => (&mut self.going, &mut self.counts.going),
                (true, false) => (&mut self.staying, &mut self.counts.staying),
                _ => return,
            }
        };
        list.push(after);
        *count += 1;
    }

    /// Shortens every list to `most` entries, so that a message stays short.
    #[must_use]
    pub fn shortened(mut self, most: usize) -> Self {
        self.going.truncate(most);
        self.staying.truncate(most);
        self.orphans.truncate(most);
        self
    }

    /// One line such as `3 images more to go, 2 without a line`; `None` without a change.
    pub fn summary(&self) -> Option<String> {
        let Counts { going, staying, orphans } = self.counts;
        let parts: Vec<String> = [(going, "more to go"), (staying, "to stay after all"), (orphans, "without a line")]
            .into_iter()
            .filter(|(n, _)| *n > 0)
            .enumerate()
            .map(|(place, (n, what))| match (place, n) {
                (0, 1) => format!("1 image {what}"),
                (0, n) => format!("{n} images {what}"),
                (_, n) => format!("{n} {what}"),
            })
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// Whether this change of the policy can affect the images of a line.
pub fn matters(old: Option<&Policy>, new: Option<&Policy>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => {
            let names = |policy: &Policy| policy.channels.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
            old.keep != new.keep || old.zone != new.zone || names(old) != names(new)
        }
        (None, None) => false,
        _ => true,
    }
}

/// Removes channels that the configuration does not have for the line, before the image is judged. Channels of a line
/// without a configuration stay.
pub fn drop_channels(image: &mut LineImage, policy: Option<&Policy>) {
    if let Some(policy) = policy {
        image.channels.retain(|name| name == LATEST || policy.channels.iter().any(|channel| channel.name == *name));
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
