//! The state machine of a copy: one image on its way to one more region.
//!
//! ```text
//! pending -> asking -> copying -> done | failed
//!    ^          |         |
//!    +----------+---------+
//! ```
//!
//! `pending` looks before it asks: what the region has already is never asked for, whoever asked before and whatever
//! became of the answer. `asking` is committed before the call goes out, so that a crash in between costs a look and no
//! more. That a copy was asked for twice does no harm: the cloud answers that the image is there.

use std::time::Duration;

use chrono::{DateTime, Utc};
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::domain::{
    api::{
        call::{ApiError, ErrorClass},
        identity::ImageStatus,
    },
    bake::{
        retry::{self, later},
        settings::RetryPolicy,
    },
};

/// The code for an image that the region has already, or is about to have.
pub const REPEATED: &str = "ImageDistribute.RepeatedDistribution";

/// How far a copy is, with what is needed to go on from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It is looked for, and asked for where it is not there.
    Pending {
        /// See [`ReplicaWork`].
        work: ReplicaWork,
        /// The next look.
        next: DateTime<Utc>,
        /// Why not before.
        waits_for: Option<String>,
    },
    /// The call was about to be sent at `sent_at`.
    Asking {
        /// See [`ReplicaWork`].
        work: ReplicaWork,
        /// Just before the call.
        sent_at: DateTime<Utc>,
    },
    /// The cloud is at it.
    Copying {
        /// See [`ReplicaWork`].
        work: ReplicaWork,
        /// Since when.
        since: DateTime<Utc>,
        /// Since when the cloud says that the region has it, without saying how far it is.
        #[serde(alias = "told")]
        repeat_accepted_at: Option<DateTime<Utc>>,
        /// The cloud's word for how far it is.
        progress: Option<String>,
        /// The next look.
        next: DateTime<Utc>,
    },
    /// The region has it.
    Done {
        /// How that is known.
        reason: String,
    },
    /// It has not, and nothing more is done about it by itself.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What a copy carries until it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaWork {
    /// When it was wanted.
    pub since: DateTime<Utc>,
    /// Calls so far that count against `retry.attempts`.
    pub tries: u32,
    /// Looks in a row that failed or did not show the image at all.
    pub misses: u32,
    /// Since when the image is not listed.
    pub missing_since: Option<DateTime<Utc>>,
    /// When a call became unclear; it is not repeated before its copy has had time to be listed.
    pub unclear_since: Option<DateTime<Utc>>,
}

/// What the machine has to know besides the state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CopyTimeouts {
    /// How often a copy under way is looked at.
    pub poll_interval: Duration,
    /// How long a listing may lag behind a call.
    pub lookup_window: Duration,
    /// `retry` of the bake.
    pub retry: RetryPolicy,
    /// `build_deadline` of the bake: a copy that takes longer is given up.
    pub deadline: Duration,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The instant it waited for has come, or it was read back after a restart.
    Due,
    /// A look came back.
    Observed(Result<Observation, ApiError>),
    /// The call came back.
    Asked(Result<(), ApiError>),
    /// The image is gone, for this reason.
    Gone(String),
}

/// What a look showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The image is not listed.
    NoImage,
    /// The image is, the region is not.
    Absent,
    /// The region is named, without a word about how far it is.
    Named,
    /// The region is listed.
    Listed {
        /// How far.
        status: ImageStatus,
        /// The cloud's word for it.
        progress: Option<String>,
    },
}

/// What is to be done once the new state is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Look at the image and come back.
    Observe,
    /// Ask for the copy and come back.
    Ask,
    /// Nothing until then.
    Wait(DateTime<Utc>),
    /// Nothing any more.
    Done,
}

/// No copy waits longer for its next look: one that does waits by a clock that was set back since.
pub const LONGEST_WAIT: Duration = Duration::from_hours(24);

impl State {
    /// A copy that is wanted since `at`.
    pub fn wanted(at: DateTime<Utc>) -> Self {
        let work = ReplicaWork { since: at, tries: 0, misses: 0, missing_since: None, unclear_since: None };
        Self::Pending { work, next: at, waits_for: None }
    }

    /// The word for it in tables, JSON and the history.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Asking { .. } => "asking",
            Self::Copying { .. } => "copying",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
        }
    }

    /// When it wants to be looked at again; `None` once it has ended.
    pub fn wake_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Pending { next, .. } | Self::Copying { next, .. } => Some(*next),
            Self::Asking { sent_at, .. } => Some(*sent_at),
            Self::Done { .. } | Self::Failed { .. } => None,
        }
    }

    /// Why it is as it is.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Pending { waits_for, .. } => waits_for.as_deref(),
            Self::Done { reason } | Self::Failed { reason } => Some(reason),
            Self::Asking { .. } | Self::Copying { .. } => None,
        }
    }

    /// The cloud's word for how far it is.
    pub fn progress(&self) -> Option<&str> {
        match self {
            Self::Copying { progress, .. } => progress.as_deref(),
            Self::Done { .. } => Some("100%"),
            _ => None,
        }
    }

    /// What it carries until it has ended.
    pub fn work(&self) -> Option<&ReplicaWork> {
        match self {
            Self::Pending { work, .. } | Self::Asking { work, .. } | Self::Copying { work, .. } => Some(work),
            Self::Done { .. } | Self::Failed { .. } => None,
        }
    }

    /// Whether nothing can change any more by itself.
    pub fn is_ended(&self) -> bool {
        self.wake_at().is_none()
    }
}

/// The next state after `event`, and what is to be done once it is committed. An event that does not belong to the state
/// changes nothing: it can only be an answer that was overtaken.
pub fn step(state: &State, event: Event, now: DateTime<Utc>, pace: &CopyTimeouts, rng: &mut Rng) -> (State, Effect) {
    ReplicaTransition { now, pace, rng }.take(state.clone(), event)
}

struct ReplicaTransition<'a> {
    now: DateTime<Utc>,
    pace: &'a CopyTimeouts,
    rng: &'a mut Rng,
}

impl ReplicaTransition<'_> {
    fn take(&mut self, state: State, event: Event) -> (State, Effect) {
        match (state, event) {
            (state @ (State::Done { .. } | State::Failed { .. }), _) => (state, Effect::Done),
            (_, Event::Gone(why)) => fail(why),
            (state @ (State::Pending { .. } | State::Copying { .. }), Event::Due) => (state, Effect::Observe),
            // The process that sent it is gone: a call under way is not stepped by `Due`.
            (State::Asking { mut work, .. }, Event::Due) => {
                work.tries += 1;
                self.unclear(work, "the daemon stopped before the call was answered".to_owned(), Effect::Observe)
            }
            (State::Pending { work, waits_for, .. }, Event::Observed(observed)) => {
                self.observed_before(work, waits_for, observed)
            }
            (State::Asking { work, .. }, Event::Asked(asked)) => self.asked(work, asked),
            (State::Copying { work, since, repeat_accepted_at, progress, .. }, Event::Observed(observed)) => {
                // The clock may have been set back since.
                self.observed(work, since.min(self.now), repeat_accepted_at, progress, observed)
            }
            (state, Event::Observed(_) | Event::Asked(_)) => {
                let next = self.after(self.pace.poll_interval);
                (state, Effect::Wait(next))
            }
        }
    }

    // Pending

    fn observed_before(
        &mut self,
        mut work: ReplicaWork,
        waits_for: Option<String>,
        observed: Result<Observation, ApiError>,
    ) -> (State, Effect) {
        match observed {
            Ok(Observation::Listed { status: ImageStatus::Available, .. }) => done("listed as AVAILABLE in the region"),
            Ok(Observation::Listed { status: ImageStatus::InProgress | ImageStatus::Other(_), progress }) => {
                self.follow(seen(work), None, progress)
            }
            Ok(Observation::Named) => self.follow(seen(work), Some(self.now), None),
            Ok(Observation::NoImage) => self.missing(work, |work, next| State::Pending { work, next, waits_for }),
            // What was asked for and never answered may be listed late.
            Ok(_) if let Some(end) = self.unclear_until(&mut work) => {
                work.misses += 1;
                let gap = retry::poll_delay(self.first_poll_delay(), work.misses, retry::LONGEST_GAP, self.rng);
                // The look that may end it comes right after the window, not up to a gap later.
                pending(work, self.after(gap).min(end), waits_for)
            }
            Ok(_) if work.tries >= self.pace.retry.attempts => {
                let last = waits_for.map(|why| format!(": {why}")).unwrap_or_default();
                fail(format!("gave up after {}{last}", count(work.tries)))
            }
            Ok(_) => {
                let work = ReplicaWork { unclear_since: None, ..seen(work) };
                (State::Asking { work, sent_at: self.now }, Effect::Ask)
            }
            Err(error) if error.class == ErrorClass::Permanent => fail(error.describe()),
            Err(error) => {
                work.misses += 1;
                let pause = self.pause_after(&error, work.misses);
                self.wait_or_give_up(work, pause, &error)
            }
        }
    }

    /// Until when a copy that was asked for without an answer may be listed late; `None` once that is over.
    fn unclear_until(&self, work: &mut ReplicaWork) -> Option<DateTime<Utc>> {
        // The clock may have been set back since.
        work.unclear_since = work.unclear_since.map(|since| since.min(self.now));
        work.unclear_since.map(|since| later(since, self.pace.lookup_window)).filter(|end| self.now < *end)
    }

    /// Waits without using a try; for ever only where the credentials are at fault, which is no matter of this copy.
    fn wait_or_give_up(&self, mut work: ReplicaWork, pause: Duration, error: &ApiError) -> (State, Effect) {
        work.since = work.since.min(self.now);
        if error.class != ErrorClass::Credential && self.now >= later(work.since, self.pace.deadline) {
            let after = humantime::format_duration(self.pace.deadline);
            return fail(format!("could not be begun within {after}: {}", error.describe()));
        }
        pending(work, self.after(pause), Some(error.describe()))
    }

    // Asking

    fn asked(&mut self, mut work: ReplicaWork, asked: Result<(), ApiError>) -> (State, Effect) {
        let error = match asked {
            Ok(()) => {
                work.tries += 1;
                return self.follow(work, None, None);
            }
            Err(error) => error,
        };
        if error.code.as_deref() == Some(REPEATED) {
            work.tries += 1;
            return self.follow(work, Some(self.now), None);
        }
        match error.class {
            ErrorClass::Permanent => fail(error.describe()),
            ErrorClass::Unclear => {
                work.tries += 1;
                let next = Effect::Wait(self.after(self.first_poll_delay()));
                self.unclear(work, error.to_string(), next)
            }
            ErrorClass::Transient => {
                work.tries += 1;
                self.again(work, error.describe(), error.server_delay())
            }
            ErrorClass::Busy => {
                let pause = retry::poll_delay(self.pace.poll_interval, 1, retry::LONGEST_GAP, self.rng);
                self.wait_or_give_up(work, pause.max(error.server_delay().unwrap_or_default()), &error)
            }
            ErrorClass::Credential => {
                self.wait_or_give_up(work, retry::credential_pause(self.pace.poll_interval), &error)
            }
        }
    }

    fn unclear(&self, mut work: ReplicaWork, why: String, effect: Effect) -> (State, Effect) {
        work.misses = 0;
        work.unclear_since = Some(self.now);
        let next = if let Effect::Wait(next) = effect { next } else { self.now };
        (State::Pending { work, next, waits_for: Some(why) }, effect)
    }

    /// One more try by the schedule's rule, or none.
    fn again(&mut self, work: ReplicaWork, why: String, asked: Option<Duration>) -> (State, Effect) {
        if work.tries >= self.pace.retry.attempts {
            return fail(format!("gave up after {}: {why}", count(work.tries)));
        }
        let pause = retry::delay(&self.pace.retry, work.tries.max(1), asked, self.rng);
        pending(work, self.after(pause), Some(why))
    }

    // Copying

    fn follow(
        &self,
        work: ReplicaWork,
        repeat_accepted_at: Option<DateTime<Utc>>,
        progress: Option<String>,
    ) -> (State, Effect) {
        let next = self.after(self.pace.poll_interval);
        let work = ReplicaWork { unclear_since: None, misses: 0, ..work };
        (State::Copying { work, since: self.now, repeat_accepted_at, progress, next }, Effect::Wait(next))
    }

    fn observed(
        &mut self,
        mut work: ReplicaWork,
        since: DateTime<Utc>,
        mut repeat_accepted_at: Option<DateTime<Utc>>,
        mut progress: Option<String>,
        observed: Result<Observation, ApiError>,
    ) -> (State, Effect) {
        let mut pause = self.pace.poll_interval;
        match observed {
            Ok(Observation::Listed { status: ImageStatus::Available, .. }) => return done("copied"),
            Ok(Observation::Listed { status: status @ (ImageStatus::CreateFailed | ImageStatus::Deleted), .. }) => {
                let why = format!("the cloud lists the copy as {} and gives no reason", status.as_str());
                return self.again(seen(work), why, None);
            }
            Ok(Observation::Listed { status, progress: shown }) => {
                work = seen(work);
                progress = shown.or_else(|| Some(status.as_str().to_owned()));
            }
            Ok(Observation::NoImage) => {
                let state = |work, next| State::Copying { work, since, repeat_accepted_at, progress, next };
                return self.missing(work, state);
            }
            Ok(observation @ (Observation::Named | Observation::Absent)) => {
                work = seen(work);
                if observation == Observation::Named {
                    repeat_accepted_at = Some(repeat_accepted_at.unwrap_or(self.now));
                }
                repeat_accepted_at = repeat_accepted_at.map(|repeat_accepted_at| repeat_accepted_at.min(self.now));
                if repeat_accepted_at
                    .is_some_and(|repeat_accepted_at| self.now >= later(repeat_accepted_at, self.pace.lookup_window))
                {
                    return done("the cloud says that the region has it, and lists no status there");
                }
            }
            Err(error) => {
                work.misses += 1;
                pause = self.pause_after(&error, work.misses).max(pause);
            }
        }
        if self.now >= later(since, self.pace.deadline) {
            let after = humantime::format_duration(self.pace.deadline);
            let last = progress.map_or_else(|| "not listed there".to_owned(), |progress| format!("last: {progress}"));
            return fail(format!("stuck: not copied after {after} ({last}), no longer followed"));
        }
        let next = self.after(pause);
        (State::Copying { work, since, repeat_accepted_at, progress, next }, Effect::Wait(next))
    }

    // Shared

    /// One listing without the image proves nothing; none for a while does.
    fn missing(
        &mut self,
        mut work: ReplicaWork,
        state: impl FnOnce(ReplicaWork, DateTime<Utc>) -> State,
    ) -> (State, Effect) {
        let since = work.missing_since.map_or(self.now, |since| since.min(self.now));
        let lag = self.pace.lookup_window.max(self.pace.poll_interval.saturating_mul(3));
        if self.now >= later(since, lag) {
            return fail(format!("the image has not been listed for {}", humantime::format_duration(lag)));
        }
        work.missing_since = Some(since);
        let next = self.after(self.pace.poll_interval);
        (state(work, next), Effect::Wait(next))
    }

    /// See [`retry::pause_after`].
    fn pause_after(&mut self, error: &ApiError, n: u32) -> Duration {
        retry::pause_after(error, n, self.pace.poll_interval, retry::LONGEST_GAP, self.rng)
    }

    fn first_poll_delay(&self) -> Duration {
        retry::FIRST_POLL.min(self.pace.lookup_window / 4)
    }

    fn after(&self, pause: Duration) -> DateTime<Utc> {
        later(self.now, pause.min(LONGEST_WAIT))
    }
}

fn pending(work: ReplicaWork, next: DateTime<Utc>, waits_for: Option<String>) -> (State, Effect) {
    (State::Pending { work, next, waits_for }, Effect::Wait(next))
}

/// The image was listed.
fn seen(work: ReplicaWork) -> ReplicaWork {
    ReplicaWork { misses: 0, missing_since: None, ..work }
}

fn done(reason: &str) -> (State, Effect) {
    (State::Done { reason: reason.to_owned() }, Effect::Done)
}

fn fail(reason: String) -> (State, Effect) {
    (State::Failed { reason }, Effect::Done)
}

fn count(n: u32) -> String {
    if n == 1 { "1 attempt".to_owned() } else { format!("{n} attempts") }
}

#[cfg(test)]
#[path = "distribution_tests.rs"]
mod tests;
