//! Types of events, with their words and meanings. docs/events.md is made from this table.

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($variant:ident = $word:literal: $meaning:literal,)+) => {
        /// Type of an event. Scripts compare its word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum EventType {
            $(#[doc = $meaning] $variant,)+
        }

        impl EventType {
            /// Every type with its word, which is the one of serde, and its meaning.
            pub const ALL: &'static [(Self, &'static str, &'static str)] = &[$((Self::$variant, $word, $meaning),)+];
        }
    };
}

kinds! {
    BakeQueued = "bake_queued": "A bake was queued for its slot, or by a person.",
    BakeStarted = "bake_started": "A bake left the queue for the first time.",
    BakeWaits = "bake_waits": "A bake waits for something new: users, a quota, the state of its instance, the cloud.",
    BakeUnclear = "bake_unclear": "A create call had no clear answer: the image is searched for.",
    BakeSucceeded = "bake_succeeded": "A bake made a good image.",
    BakeFailed = "bake_failed": "A bake made no good image.",
    BakeSkipped = "bake_skipped": "A slot was skipped or missed, and no image was requested. A row of several slots counts them in `slots`.",
    BakeCancelled = "bake_cancelled": "A bake was cancelled.",
    BakeRequested = "bake_requested": "A person requested a bake, or the repetition of one.",
    BakeCancelRequested = "bake_cancel_requested": "A person cancelled a bake.",
    InstanceStopped = "instance_stopped": "A bake has stopped its instance.",
    InstanceStarted = "instance_started": "The instance that a bake had stopped runs again.",
    ImageMarked = "image_marked": "An image was marked for deletion.",
    ImageUnmarked = "image_unmarked": "An image is not marked any more.",
    ImageDeleting = "image_deleting": "The deletion of an image is about to be sent.",
    ImageDeleted = "image_deleted": "An image was deleted.",
    ImageNotDeleted = "image_not_deleted": "The deletion of an image was refused, put off, or has no clear result.",
    ImageGone = "image_gone": "An image was deleted by somebody else.",
    ImageVerified = "image_verified": "An image passed its check.",
    ImageVetoed = "image_vetoed": "An image was vetoed, by its check or by a person.",
    ImageUnvetoed = "image_unvetoed": "A person removed the veto of an image.",
    ImagePinned = "image_pinned": "A person pinned an image.",
    ImageUnpinned = "image_unpinned": "A person unpinned an image.",
    ImageAdopted = "image_adopted": "A person adopted an image for a line.",
    DeletionsConfirmed = "deletions_confirmed": "A person confirmed deletions that needed a confirmation.",
    ChannelMoved = "channel_moved": "A channel points to another image, or to none.",
    ChannelRequested = "channel_requested": "A person promoted an image or rolled a channel back.",
    ReplicaStarted = "replica_started": "The cloud copies an image to another region.",
    ReplicaMade = "replica_made": "An image is in another region.",
    ReplicaFailed = "replica_failed": "An image was not copied to another region.",
    ReplicaRequested = "replica_requested": "A person requested failed copies again.",
    ScheduleAdded = "schedule_added": "A schedule came into the configuration.",
    ScheduleChanged = "schedule_changed": "The name or the slots of a schedule changed.",
    ScheduleRemoved = "schedule_removed": "A schedule left the configuration.",
    SchedulePaused = "schedule_paused": "A schedule was paused, by a person or by the daemon.",
    ScheduleResumed = "schedule_resumed": "A schedule was resumed.",
    ConfigurationReloaded = "configuration_reloaded": "The configuration was read again.",
    ConfigurationRefused = "configuration_refused": "A configuration with problems was refused.",
    DaemonStarted = "daemon_started": "The daemon is ready.",
    DaemonStopped = "daemon_stopped": "The daemon stopped in order.",
    ClockChanged = "clock_changed": "The host's clock was stepped, differs from the cloud's, or agrees with it again.",
    ZonesChanged = "zones_changed": "The time zone rules are of another release.",
    HistoryRestored = "history_restored": "The history is another one than before: restored, imported or older.",
    HistoryReconciled = "history_reconciled": "Rows were added or changed after a comparison with the cloud.",
    ProblemStarted = "problem_started": "Health found a problem.",
    ProblemChanged = "problem_changed": "The severity of a problem changed.",
    ProblemEnded = "problem_ended": "A problem ended.",
    ProblemAcknowledged = "problem_acknowledged": "A person acknowledged a problem.",
    ProblemUnacknowledged = "problem_unacknowledged": "The acknowledgement of a problem ended: by a person, at its end, or because the problem got worse.",
}

impl EventType {
    /// Spelling in the history and JSON.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, word, _)| word)
    }

    /// The type with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == word).map(|(kind, ..)| *kind)
    }

    /// Whether it happens at every slot without telling anything: the log has it at debug level.
    pub fn is_routine(self) -> bool {
        matches!(self, Self::BakeQueued | Self::ImageDeleting)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_are_those_of_json_and_each_is_there_once() {
        let words: BTreeSet<_> = EventType::ALL.iter().map(|(_, word, _)| *word).collect();
        assert_eq!(words.len(), EventType::ALL.len());
        for (kind, word, meaning) in EventType::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), *word);
            assert_eq!(EventType::parse(word), Some(*kind));
            assert!(meaning.ends_with('.'), "{word}");
        }
    }
}
