//! Rows of the history as people and programs see them: bakes with their calls and copies, and images.

use chrono::{DateTime, Utc};
use serde::Serialize;

use self::instants::{instant, maybe_instant};
use super::{
    bake::{Trigger, queue::as_of, reason::ReasonCode},
    ids::BakeId,
    image::{DeletionState, LineImage, brake::MarkKind, reconcile::REBUILT},
    plan::explain::Record,
};

pub mod absence;
pub mod advice;
pub mod importance;
pub mod instants;
pub mod repeated;
pub mod veto;

/// One row of the history; the field names are those of `history --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BakeRow {
    /// The bake's number.
    pub id: i64,
    /// The schedule's stable id.
    pub schedule_id: String,
    /// Name of the schedule when the row was created.
    pub schedule: String,
    /// The instance.
    pub instance_id: String,
    /// The line.
    #[serde(rename = "line")]
    pub line_id: String,
    /// The slot, in milliseconds since 1970; RFC 3339 in JSON, as all instants here.
    #[serde(serialize_with = "instant")]
    pub slot: i64,
    /// `slot`, `caught_up` or `manual`.
    pub trigger: String,
    /// Number of slots of the row.
    pub slot_count: i64,
    /// First of its slots.
    #[serde(serialize_with = "instant")]
    pub first_slot: i64,
    /// One of [`State::WORDS`](super::bake::State::WORDS).
    pub state: String,
    /// Reason in plain words.
    pub reason: Option<String>,
    /// Reason code of an end without a good image, see [`ReasonCode`].
    pub reason_code: Option<String>,
    /// Cause of a failure, see [`Cause`](super::api::cause::Cause).
    pub cause: Option<String>,
    /// The version in the line.
    pub version: Option<i64>,
    /// The image's name.
    pub image_name: Option<String>,
    /// The image.
    pub image_id: Option<String>,
    /// Version id in the cloud.
    pub version_id: Option<String>,
    /// Task that made the image.
    pub task_id: Option<String>,
    /// Create calls that count as attempts.
    pub attempts: i64,
    /// Instant of the next event.
    #[serde(serialize_with = "maybe_instant")]
    pub wake_at: Option<i64>,
    /// When the row was created.
    #[serde(serialize_with = "instant")]
    pub created_at: i64,
    /// When it ended.
    #[serde(serialize_with = "maybe_instant")]
    pub finished_at: Option<i64>,
    /// Who requested a manual bake.
    pub requested_by: Option<String>,
    /// Fingerprint of its configuration.
    pub config_hash: String,
    /// Whether its image is vetoed.
    pub vetoed: bool,
}

/// One call of a bake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptRow {
    /// `stop`, `create`, `build`, `start`, …
    pub stage: String,
    /// Which call.
    pub call: String,
    /// When it was started.
    #[serde(serialize_with = "instant")]
    pub started_at: i64,
    /// When it was answered.
    #[serde(serialize_with = "instant")]
    pub finished_at: i64,
    /// `ok`, or the class of the failure.
    pub outcome: String,
    /// The API's Code, of a good answer too where the call has one.
    pub code: Option<String>,
    /// The HTTP status.
    pub http_status: Option<i64>,
    /// For support tickets.
    pub request_id: Option<String>,
    /// Description of the result.
    pub message: Option<String>,
    /// The API's Success, where the call has it.
    pub success: Option<bool>,
    /// The API's own Message.
    pub answer: Option<String>,
}

/// Filter of the history, newest slot first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Name or stable id.
    pub schedule: Option<String>,
    /// The instance.
    pub instance: Option<String>,
    /// State.
    pub states: Vec<String>,
    /// Slots at or after this instant.
    pub since: Option<DateTime<Utc>>,
    /// Slots at or before this instant.
    pub until: Option<DateTime<Utc>>,
    /// Bakes with a call that returned this code.
    pub code: Option<String>,
    /// Rows older than this (slot, number): the end of the last page.
    pub before: Option<(DateTime<Utc>, BakeId)>,
    /// Maximum number of rows.
    pub limit: u32,
}

impl BakeRow {
    /// The slot as an instant.
    pub fn slot(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.slot).unwrap_or_default()
    }

    /// When the row was made.
    pub fn recorded(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.created_at).unwrap_or_default()
    }

    /// Whether its slot was caught up, or missed because nobody came to it in time.
    pub fn came_late(&self) -> bool {
        let missed = [ReasonCode::Missed, ReasonCode::Superseded].map(ReasonCode::as_str);
        self.trigger == Trigger::CaughtUp.as_str()
            || self.reason_code.as_deref().is_some_and(|code| missed.contains(&code))
    }

    /// What a person sees of it: the word of its state, or that its image is vetoed.
    pub fn word(&self) -> &str {
        if self.vetoed && self.state == "succeeded" { "vetoed" } else { &self.state }
    }

    /// Words the reason of an open bake for this instant; `is_followed`: whether a daemon makes the calls that are due.
    pub fn reason_as_of(&mut self, now: DateTime<Utc>, is_followed: bool) {
        if !self.is_ended() {
            let is_called = is_followed && self.state != "queued";
            self.reason = self.reason.take().map(|reason| as_of(&reason, now, is_called).into_owned());
        }
    }

    /// Progress of the bake.
    pub fn record(&self) -> Record {
        Record {
            bake: BakeId(self.id),
            state: self.state.clone(),
            reason: match self.word() {
                "vetoed" => Some("its image is vetoed".to_owned()),
                _ => self.reason.clone(),
            },
            is_current: true,
            manual: self.trigger == Trigger::Manual.as_str(),
            rebuilt: self.reason.as_deref() == Some(REBUILT),
            first: DateTime::from_timestamp_millis(self.first_slot).unwrap_or_default(),
            last: self.slot(),
            count: self.slot_count.unsigned_abs(),
        }
    }

    /// Whether the bake has ended.
    pub fn is_ended(&self) -> bool {
        self.finished_at.is_some()
    }
}

#[cfg(test)]
impl BakeRow {
    /// A bake that waits in the queue.
    pub(crate) fn example() -> Self {
        Self {
            id: 7,
            schedule_id: "golden".to_owned(),
            schedule: "golden".to_owned(),
            instance_id: "ecd-1".to_owned(),
            line_id: "golden".to_owned(),
            slot: 0,
            trigger: "slot".to_owned(),
            slot_count: 1,
            first_slot: 0,
            state: "queued".to_owned(),
            reason: None,
            reason_code: None,
            cause: None,
            version: None,
            image_name: None,
            image_id: None,
            version_id: None,
            task_id: None,
            attempts: 0,
            wake_at: None,
            created_at: 0,
            finished_at: None,
            requested_by: None,
            config_hash: String::new(),
            vetoed: false,
        }
    }
}

/// A copy, with the field names that `show --json` promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyRow {
    /// Where to.
    pub region: String,
    /// How far.
    pub state: String,
    /// The cloud's own status of it, as last listed in the region, also after the end.
    pub status: Option<String>,
    /// Calls so far.
    pub tries: i64,
    /// Percent done as the cloud spells it, as last listed.
    pub progress: Option<String>,
    /// Why it is as it is.
    pub reason: Option<String>,
    /// The task that makes it.
    pub task_id: Option<String>,
    /// Instant of the next poll.
    #[serde(serialize_with = "maybe_instant")]
    pub wake_at: Option<i64>,
    /// When it was first wanted.
    #[serde(serialize_with = "instant")]
    pub created_at: i64,
    /// When it ended.
    #[serde(serialize_with = "maybe_instant")]
    pub finished_at: Option<i64>,
}

/// A copy of an image as lists of images show it, with the field names of `images --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplicaRow {
    /// Where.
    pub region: String,
    /// `pending`, `asking`, `copying`, `done` or `failed`.
    pub state: String,
    /// See [`CopyRow::status`].
    pub status: Option<String>,
    /// See [`CopyRow::progress`].
    pub progress: Option<String>,
}

impl ReplicaRow {
    /// What the cloud last listed of it, unless that is what its state says.
    pub fn listed(&self) -> Option<String> {
        let is_there = self.state == "done";
        let status = self.status.as_deref().filter(|status| !(is_there && *status == "AVAILABLE"));
        let progress = self.progress.as_deref().filter(|progress| !(is_there && *progress == "100%"));
        let known: Vec<&str> = status.into_iter().chain(progress).collect();
        (!known.is_empty()).then(|| known.join(", "))
    }
}

/// An image of a line with its origin, for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRow {
    /// The image.
    pub image: LineImage,
    /// The schedule's stable id.
    pub schedule_id: String,
    /// Name of the schedule when last seen.
    pub schedule: String,
    /// The instance.
    pub instance_id: String,
    /// The bake; `None` for an adopted image.
    pub bake: Option<BakeId>,
    /// Version id in the cloud.
    pub version_id: Option<String>,
    /// State of its check; `None` if the schedule has none.
    pub verify: Option<String>,
    /// Whether a complete pass has judged it by the rules of its line.
    pub judged: bool,
    /// Whether it was made for a slot, not for a manual request.
    pub of_slot: bool,
    /// Whether its deletion counts for the brake; only for marked images.
    pub mark: MarkKind,
}

impl ImageRow {
    /// Whether it is good as of the last scan, as the statements of the history have it: the newest good image of a line is the one
    /// of the highest version.
    pub fn is_good(&self) -> bool {
        let image = &self.image;
        let may_be_gone = matches!(image.deletion, DeletionState::Deleting { .. } | DeletionState::Deleted { .. });
        let is_of_the_line = image.seen.ours || self.bake.is_none();
        let is_there = image.seen.available && image.seen.missing_since.is_none() && !may_be_gone;
        is_there && is_of_the_line && image.veto.is_none() && !image.unchecked
    }

    /// Since when it has been good, which is the start of its age: when it was first seen AVAILABLE. An adopted image is as old
    /// as its slot, whenever it was adopted.
    pub fn good_at(&self) -> DateTime<Utc> {
        if self.bake.is_none() { self.image.slot } else { self.image.available_at }
    }
}
