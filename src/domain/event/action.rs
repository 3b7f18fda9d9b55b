//! What people and the daemon do that the audit records. Each line of the audit is an event, too.

use chrono::{DateTime, Utc};

use super::{Event, EventSeverity, EventType, bakes::short};
use crate::domain::health::Subject;

/// An action of the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table gives each its words")]
pub enum Action {
    Bake,
    Retry,
    Cancel,
    Pause,
    Resume,
    Mark,
    Unmark,
    Delete,
    Deleted,
    DeleteRefused,
    DeletePutOff,
    DeleteUnclear,
    Vanished,
    Veto,
    Unveto,
    Promote,
    Rollback,
    Pin,
    Unpin,
    Undelete,
    Adopt,
    ConfirmDeletions,
    PruneDespiteFailedBake,
    RetryDistribute,
    Reconcile,
    Restore,
    Clock,
    Zones,
    Reload,
    ReloadRefused,
    InUse,
    Acknowledge,
    Unacknowledge,
}

/// One row of the table: the action, its word in the audit, its event, and the beginning of the event's message.
type Row = (Action, &'static str, EventType, EventSeverity, &'static str);

impl Action {
    /// Every action.
    pub const ALL: [Row; 33] = {
        use EventSeverity::{Info, Problem, Warning};
        [
            (Self::Bake, "bake", EventType::BakeRequested, Info, "requested"),
            (Self::Retry, "retry", EventType::BakeRequested, Info, "requested"),
            (Self::Cancel, "cancel", EventType::BakeCancelRequested, Info, "cancelled"),
            (Self::Pause, "pause", EventType::SchedulePaused, Warning, "paused"),
            (Self::Resume, "resume", EventType::ScheduleResumed, Info, "resumed"),
            (Self::Mark, "mark", EventType::ImageMarked, Info, "marked for deletion"),
            (Self::Unmark, "unmark", EventType::ImageUnmarked, Info, "not marked any more"),
            (Self::Delete, "delete", EventType::ImageDeleting, Info, "deleting"),
            (Self::Deleted, "deleted", EventType::ImageDeleted, Info, "deleted"),
            (Self::DeleteRefused, "delete refused", EventType::ImageNotDeleted, Warning, "the cloud does not delete"),
            (Self::DeletePutOff, "delete put off", EventType::ImageNotDeleted, Warning, "not deleted yet"),
            (Self::DeleteUnclear, "delete unclear", EventType::ImageNotDeleted, Warning, "maybe deleted, searched for"),
            (Self::Vanished, "vanished", EventType::ImageGone, Warning, "deleted by somebody else"),
            (Self::Veto, "veto", EventType::ImageVetoed, Problem, "vetoed"),
            (Self::Unveto, "unveto", EventType::ImageUnvetoed, Info, "not vetoed any more"),
            (Self::Promote, "promote", EventType::ChannelRequested, Info, "promoted"),
            (Self::Rollback, "rollback", EventType::ChannelRequested, Warning, "rolled back"),
            (Self::Pin, "pin", EventType::ImagePinned, Info, "pinned"),
            (Self::Unpin, "unpin", EventType::ImageUnpinned, Info, "unpinned"),
            (Self::Undelete, "undelete", EventType::ImagePinned, Info, "unmarked and pinned"),
            (Self::Adopt, "adopt", EventType::ImageAdopted, Info, "adopted"),
            (
                Self::ConfirmDeletions,
                "confirm deletions",
                EventType::DeletionsConfirmed,
                Warning,
                "confirmed the deletion of",
            ),
            (
                Self::PruneDespiteFailedBake,
                "prune despite failed bake",
                EventType::DeletionsConfirmed,
                Warning,
                "allowed deletions despite a failed bake in",
            ),
            (
                Self::RetryDistribute,
                "retry distribute",
                EventType::ReplicaRequested,
                Info,
                "requested the copies again of",
            ),
            (Self::Reconcile, "reconcile", EventType::HistoryReconciled, Info, "reconciled with the cloud:"),
            (Self::Restore, "restore", EventType::HistoryRestored, Warning, "restored the history"),
            (Self::Clock, "clock", EventType::ClockChanged, Warning, ""),
            (Self::Zones, "zones", EventType::ZonesChanged, Warning, ""),
            (Self::Reload, "reload", EventType::ConfigurationReloaded, Info, "reloaded:"),
            (Self::ReloadRefused, "reload refused", EventType::ConfigurationRefused, Warning, "refused:"),
            (Self::InUse, "in_use", EventType::ConfigurationReloaded, Warning, "[cloud] in_use:"),
            (Self::Acknowledge, "ack", EventType::ProblemAcknowledged, Info, "acknowledged"),
            (Self::Unacknowledge, "unack", EventType::ProblemUnacknowledged, Info, "not acknowledged any more:"),
        ]
    };

    /// Its word in the audit, which `audit --action` takes.
    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> &'static Row {
        // Every action has its row, as a test says; the fallback is never used.
        Self::ALL.iter().find(|(action, ..)| *action == self).unwrap_or(&Self::ALL[0])
    }
}

/// A line of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine<'a> {
    /// When.
    pub at: DateTime<Utc>,
    /// Who: a person, or the daemon.
    pub who: &'a str,
    /// What was done.
    pub action: Action,
    /// To what.
    pub subject: Subject,
    /// Object and details of the action.
    pub detail: String,
}

impl AuditLine<'_> {
    /// The event of the line.
    pub fn event(&self) -> Event {
        let (_, word, kind, severity, begins) = *self.action.row();
        let message = short(format!("{begins} {}", self.detail).trim_start());
        Event::new(kind, severity, self.subject.clone(), message).with("who", self.who).with("action", word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::health::SubjectKind;

    #[test]
    fn every_action_has_its_own_row_and_word() {
        for (n, (action, word, ..)) in Action::ALL.iter().enumerate() {
            assert_eq!(action.as_str(), *word);
            assert_eq!(Action::ALL.iter().position(|(_, other, ..)| other == word), Some(n), "{word}");
        }
    }

    #[test]
    fn the_event_says_what_was_done_to_what_and_by_whom() {
        let line = AuditLine {
            at: DateTime::UNIX_EPOCH,
            who: "uid 1000 (alice)",
            action: Action::Pause,
            subject: Subject::new(SubjectKind::Schedule, "golden"),
            detail: "golden: maintenance".to_owned(),
        };
        let event = line.event();
        assert_eq!((event.kind, event.message.as_str()), (EventType::SchedulePaused, "paused golden: maintenance"));
        assert_eq!((event.text("who"), event.text("action")), (Some("uid 1000 (alice)"), Some("pause")));
    }
}
