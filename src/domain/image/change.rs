//! What an edit of the file means for the images that are there: part of `plan --diff` and of `reload`.

use serde::{Deserialize, Serialize};

use super::{LineImage, Policy, report::Judged};
use crate::domain::schedule::LATEST;

/// Images about which the file before and after an edit say different things. The lists may be cut; the counts are of
/// everything. No image is in two of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// How many of each.
    pub counts: Counts,
    /// Not wanted by the new rules, and wanted by the old.
    pub going: Vec<Judged>,
    /// Not wanted by the old rules, and held by the new.
    pub staying: Vec<Judged>,
    /// Of lines that the file has no more: they stay until somebody deletes them.
    pub orphans: Vec<Judged>,
}

/// How many images there are of each kind in a [`Change`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// That go now.
    pub going: usize,
    /// That stay now.
    pub staying: usize,
    /// That lose their line.
    pub orphans: usize,
}

impl Change {
    /// Takes in one image: what follows for it by the old file, and by the new.
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

    /// Cuts every list to its first `most`, so that a message stays short.
    #[must_use]
    pub fn shortened(mut self, most: usize) -> Self {
        self.going.truncate(most);
        self.staying.truncate(most);
        self.orphans.truncate(most);
        self
    }

    /// One line: `3 images more to go, 2 without a line`; `None` where all stays as it is.
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

/// Whether an edit of this kind can change what follows for the images of a line.
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

/// Takes the channels off an image that the file does not have for its line: they come down before it is judged. Those of
/// a line that the file does not have stay where they are.
pub fn drop_channels(image: &mut LineImage, policy: Option<&Policy>) {
    if let Some(policy) = policy {
        image.channels.retain(|name| name == LATEST || policy.channels.iter().any(|channel| channel.name == *name));
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
