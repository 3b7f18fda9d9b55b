//! Codes of problems, with their words, meanings and advice. docs/problems.md is made from this table.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($variant:ident = $word:literal: $meaning:literal, $advice:literal;)+) => {
        /// Stable code of a kind of problem. Scripts compare its word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ProblemCode {
            $(#[doc = $meaning] $variant,)+
        }

        /// Every code with its explanation.
        pub const CODES: &[CodeRow] =
            &[$(CodeRow { code: ProblemCode::$variant, word: $word, meaning: $meaning, advice: $advice },)+];
    };
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeRow {
    /// The code.
    pub code: ProblemCode,
    /// Its word in tables and JSON, which is the one of serde.
    pub word: &'static str,
    /// What it means, in Markdown.
    pub meaning: &'static str,
    /// What to do, in Markdown.
    pub advice: &'static str,
}

codes! {
    BakeFailed = "bake_failed":
        "Slots since the last good image failed, or were skipped for an unplanned reason.",
        "`imagebaked show BAKE` has the code, the cloud's message and our advice; after the fix `imagebaked retry BAKE`.";
    BakeMissed = "bake_missed":
        "Slots passed while the daemon could not run, and `catch_up` did not bake them.",
        "`imagebaked bake SCHEDULE`; consider `catch_up = \"latest\"`.";
    NoGoodImage = "no_good_image":
        "Images were made, and none is good any more: they are gone, vetoed, not AVAILABLE or of another owner. A problem at once, because there is nothing to fall back on.",
        "`imagebaked images SCHEDULE`, then `imagebaked bake SCHEDULE`.";
    ImageTooOld = "image_too_old":
        "The newest good image is older than `max_image_age`.",
        "`imagebaked bake SCHEDULE`.";
    ImageStuck = "image_stuck":
        "An image was not finished within `build_deadline`. The cloud may still make it, and it holds a builder meanwhile.",
        "Check it in the console; `imagebaked show BAKE` has the request ids for a ticket.";
    ImageLate = "image_late":
        "An image is not finished after three times the usual duration of its line, and at least 30 minutes more than that. 30 minutes are assumed of a line without a finished image.",
        "`imagebaked show BAKE`.";
    ImageNotInHistory = "image_not_in_history":
        "The cloud has an image with our tags that is in no list: a second daemon, an older history, or an image that came back after its bake ended without it.",
        "Stop the other daemon, or `imagebaked reconcile`, then `imagebaked reconcile --apply`.";
    VerifyFailed = "verify_failed":
        "The newest image did not pass its `verify` hook and is vetoed.",
        "`imagebaked show BAKE` has the hook's output; `imagebaked unveto IMAGE` allows its use nevertheless.";
    ReplicaFailed = "replica_failed":
        "An image was not copied to every region that its schedule has.",
        "Correct a mistyped region in the file and `imagebaked reload`; then `imagebaked retry BAKE --stage distribute`. A region that left the file ends it.";
    InstanceNotRunning = "instance_not_running":
        "An instance that was stopped for its image does not run again: the cloud rejects its start, or the start takes too long. The start is tried without a time limit.",
        "Read the cloud's message; start it in the console if it cannot wait.";
    ScheduleAutoPaused = "schedule_auto_paused":
        "The daemon paused a schedule after too many permanent failures in a row, whose cause is the image, the instance or a hook.",
        "Fix the cause, then `imagebaked bake SCHEDULE`: a good image ends the pause. `imagebaked resume SCHEDULE` and an edit of the schedule end it, too.";
    CredentialsRejected = "credentials_rejected":
        "The cloud does not accept the key, token or signature. Every schedule is suspended; one call a minute tries again.",
        "Check the key pair and the host's clock; `imagebaked doctor`; `imagebaked reload` tries at once.";
    CredentialsNotRenewed = "credentials_not_renewed":
        "The service that gives the credentials refuses new ones, and those at hand serve until their end only. It is asked again every 30 seconds at most, and the first new key ends it.",
        "The message has the service's words: check the role, its trust policy and the key that asks for it; `imagebaked doctor`.";
    RightsMissing = "rights_missing":
        "A grant is missing.",
        "[ram-policy.md](ram-policy.md).";
    CloudUnreachable = "cloud_unreachable":
        "A host of the cloud has not answered for a minute: no connection, no answer in time, or an answer of a proxy. A warning; a problem after five minutes, or at once where a bake is open. Likewise the service that gives the credentials; a warning while those at hand are valid.",
        "Check network, DNS and proxies: `imagebaked doctor`. Bakes continue by themselves with the first answer.";
    ListIncomplete = "list_incomplete":
        "A list of the cloud has not been complete for an hour (a warning) or a day (a problem): null, missing, fewer rows than its count, rows without ids. It is not used, and nothing is deleted.",
        "The message has the call, its count and its rows. If the cloud does not fix it, `[cloud] in_use` can exclude that kind of user.";
    BuilderQuotaFull = "builder_quota_full":
        "For 15 minutes the cloud has had no builder for us, and no bake begins.",
        "Wait, or lower `max_builders`.";
    ImageQuotaFull = "image_quota_full":
        "The quota of images is used up, and no bake begins.",
        "A retention pass deletes images past their grace; delete others, or request a higher quota.";
    ClockSkew = "clock_skew":
        "This host's clock and the cloud's differ. Above one minute a warning: ages are computed by the cloud's time. Above five minutes a problem: no image is marked, deleted or moved to a channel.",
        "`timedatectl timesync-status`; set up NTP.";
    ZonesOld = "zones_old":
        "The time zone rules are of a release that is older than a year. Slots may be at the wrong hour where a country has changed its clocks since. The newer of two releases counts: the one that is built in, or the host's.",
        "Update the host's `tzdata` package, then `imagebaked reload`; or update imagebaked.";
    HistoryUnwritable = "history_unwritable":
        "The history database cannot be used. Nothing new starts until it can be used again.",
        "Free disk space, or check the disk; the daemon continues by itself.";
    HistoryReplaced = "history_replaced":
        "The history database is not the file that the daemon opened.",
        "Restore it, or restart the daemon: [disaster-recovery.md](disaster-recovery.md).";
    ReconcilePending = "reconcile_pending":
        "The history is compared with the cloud's images before anything is made: one that is new, restored or imported as a whole, any other at each start by their versions.",
        "Wait, or fix what the message names, such as a right; `imagebaked reconcile` tries the same now.";
    ConfigurationRefused = "configuration_refused":
        "The configuration on disk has problems. The daemon keeps the former one, and would not start again.",
        "`imagebaked check`, then `imagebaked reload`.";
    RestartRequired = "restart_required":
        "Keys were reloaded that take effect at the next start.",
        "`systemctl restart imagebaked`.";
    EngineStalled = "engine_stalled":
        "The engine does not tick; no bake proceeds.",
        "`systemctl restart imagebaked`, and report it with the log.";
    HousekeepingStalled = "housekeeping_stalled":
        "The scheduler of the housekeeping has given no signal for two minutes (subject `scheduler`), or a job is due for an hour and does not begin, or does not end within an hour (`retention`: two hours). Bakes go on; images are not pruned, or the history is not backed up or tidied. The scheduler is started anew by itself; after a minute of regular signals the problem ends.",
        "The log has the reason; `imagebaked status` lists the jobs. If it stays: `systemctl restart imagebaked`.";
    BackupFailed = "backup_failed":
        "The last scheduled backup of the history failed: the copy could not be written or was not a whole history. A warning; a problem once the newest good backup is older than three times `every`. It is tried again after an hour at the latest, and ends with the next good backup.",
        "The message has the reason, and `imagebaked doctor` checks the folder. Make room, or let the service write the folder: [disaster-recovery.md](disaster-recovery.md). `imagebaked backup FILE` makes one at once.";
    NotifyFailed = "notify_failed":
        "Notifications are not delivered.",
        "The log has the reason.";
    PruneNeedsConfirmation = "prune_needs_confirmation":
        "A pass would delete unusually many images, and deletes none.",
        "`imagebaked prune --dry-run`, then `imagebaked prune --confirm`.";
    NoLeader = "no_leader":
        "No host acts.",
        "Start one.";
}

impl ProblemCode {
    /// Its row in the table.
    fn row(self) -> &'static CodeRow {
        // Every code has its row: the macro writes both.
        CODES.iter().find(|row| row.code == self).unwrap_or(&CODES[0])
    }

    /// Spelling in tables and JSON.
    pub fn as_str(self) -> &'static str {
        self.row().word
    }

    /// Whether it is about the daemon alone, unless it has a schedule or line as its subject: neither slots nor images of a
    /// schedule suffer.
    pub fn is_of_daemon(self) -> bool {
        matches!(
            self,
            Self::ConfigurationRefused
                | Self::RestartRequired
                | Self::HousekeepingStalled
                | Self::BackupFailed
                | Self::NotifyFailed
                | Self::PruneNeedsConfirmation
        )
    }

    /// The code with this word.
    pub fn parse(word: &str) -> Option<Self> {
        CODES.iter().find(|row| row.word == word).map(|row| row.code)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_are_those_of_json_and_each_is_there_once() {
        let words: BTreeSet<_> = CODES.iter().map(|row| row.word).collect();
        assert_eq!(words.len(), CODES.len());
        for CodeRow { code, word, meaning, advice } in CODES {
            assert_eq!(serde_json::to_value(code).unwrap(), *word);
            assert_eq!((ProblemCode::parse(word), code.as_str()), (Some(*code), *word));
            assert!(meaning.ends_with('.') && advice.ends_with('.'), "{word}");
        }
    }
}
