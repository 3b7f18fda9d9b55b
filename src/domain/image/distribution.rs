//! The state machine of a copy: one image on its way to one more region.
//!
//! ```text
//! pending -> asking -> copying -> done | failed
//!    ^          |         |
//!    +----------+---------+
//! ```
//!
//! `pending` polls before it requests the copy: an image that the region already has is not requested again, whoever
//! requested it before. `asking` is committed before the call is sent, so that a crash in between costs one poll. A
//! repeated request has no effect: the cloud responds that the image is there.

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
    clock::show::show_length,
    text::counted,
};

/// Error code for an image that the region has, or will have.
pub const REPEATED: &str = "ImageDistribute.RepeatedDistribution";

/// State of a copy, with the data to continue from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Polls for the copy and requests it if it is missing.
    Pending {
        /// See [`ReplicaWork`].
        work: ReplicaWork,
        /// Instant of the next poll.
        next: DateTime<Utc>,
        /// Reason for a delay.
        waits_for: Option<String>,
    },
    /// The request was about to be sent at `sent_at`.
    Asking {
        /// See [`ReplicaWork`].
        work: ReplicaWork,
        /// Instant just before the call.
        sent_at: DateTime<Utc>,
    },
    /// The cloud copies the image.
    Copying {
        /// See [`ReplicaWork`].
        work: ReplicaWork,
        /// Start of the copy.
        since: DateTime<Utc>,
        /// Instant from which the cloud reports that the region has the image, but lists no status.
        #[serde(alias = "told")]
        repeat_accepted_at: Option<DateTime<Utc>>,
        /// Progress as the cloud spells it.
        progress: Option<String>,
        /// Instant of the next poll.
        next: DateTime<Utc>,
    },
    /// The region has the image.
    Done {
        /// Evidence for it.
        reason: String,
    },
    /// The copy failed and is not repeated automatically.
    Failed {
        /// Why.
        reason: String,
        /// See [`ReplicaWork::nothing_there`].
        #[serde(default)]
        nothing_there: bool,
    },
}

/// Data of a copy until its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaWork {
    /// Instant at which the copy was wanted.
    pub since: DateTime<Utc>,
    /// Calls that count against `retry.attempts`.
    pub tries: u32,
    /// Consecutive polls that failed or did not show the image.
    pub misses: u32,
    /// Instant from which the image is not listed.
    pub missing_since: Option<DateTime<Utc>>,
    /// Instant of an unclear call; it is not repeated before its copy has had time to be listed.
    pub unclear_since: Option<DateTime<Utc>>,
    /// Whether the region certainly has no copy: the cloud accepted no request, and listed nothing there. A history that does
    /// not say so proves nothing.
    #[serde(default)]
    pub nothing_there: bool,
}

/// Settings of the state machine that are not part of the copy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CopyTimeouts {
    /// Time between two polls of a running copy.
    pub poll_interval: Duration,
    /// Maximum time that a listing lags behind a call.
    pub lookup_window: Duration,
    /// `retry` of the bake.
    pub retry: RetryPolicy,
    /// `build_deadline` of the bake: a longer copy is given up.
    pub deadline: Duration,
}

/// An event of one copy.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The instant of the last [`Effect::Wait`] has come, or the copy was read from the history after a restart.
    Due,
    /// Result of a poll.
    Observed(Result<Observation, ApiError>),
    /// Response to the request.
    Asked(Result<(), ApiError>),
    /// The image is gone, with the reason.
    Gone(String),
}

/// Result of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The image is not listed.
    NoImage,
    /// The image is listed, the region is not.
    Absent,
    /// The region is listed without a status.
    Named,
    /// The region is listed with a status.
    Listed {
        /// How far.
        status: ImageStatus,
        /// Progress as the cloud spells it.
        progress: Option<String>,
    },
}

/// What the daemon does after it has committed the new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Poll the image and pass the result as [`Event::Observed`].
    Observe,
    /// Request the copy and pass the response as [`Event::Asked`].
    Ask,
    /// Send [`Event::Due`] at this instant.
    Wait(DateTime<Utc>),
    /// Nothing: the copy has ended.
    Done,
}

/// Maximum time to the next poll. A later poll was scheduled by a clock that was ahead.
pub const LONGEST_WAIT: Duration = Duration::from_hours(24);

impl State {
    /// A copy wanted since `at`.
    pub fn wanted(at: DateTime<Utc>) -> Self {
        Self::wanted_again(at, true)
    }

    /// A copy wanted since `at` that ended before; `nothing_there` is that of its end.
    pub fn wanted_again(at: DateTime<Utc>, nothing_there: bool) -> Self {
        let work =
            ReplicaWork { since: at, tries: 0, misses: 0, missing_since: None, unclear_since: None, nothing_there };
        Self::Pending { work, next: at, waits_for: None }
    }

    /// Spelling in tables, JSON and the history.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Asking { .. } => "asking",
            Self::Copying { .. } => "copying",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
        }
    }

    /// Instant of the next event; `None` once the copy has ended.
    pub fn wake_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Pending { next, .. } | Self::Copying { next, .. } => Some(*next),
            Self::Asking { sent_at, .. } => Some(*sent_at),
            Self::Done { .. } | Self::Failed { .. } => None,
        }
    }

    /// Reason of the state.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Pending { waits_for, .. } => waits_for.as_deref(),
            Self::Done { reason } | Self::Failed { reason, .. } => Some(reason),
            Self::Asking { .. } | Self::Copying { .. } => None,
        }
    }

    /// Progress as the cloud spells it.
    pub fn progress(&self) -> Option<&str> {
        match self {
            Self::Copying { progress, .. } => progress.as_deref(),
            Self::Done { .. } => Some("100%"),
            _ => None,
        }
    }

    /// Data of the copy until its end.
    pub fn work(&self) -> Option<&ReplicaWork> {
        match self {
            Self::Pending { work, .. } | Self::Asking { work, .. } | Self::Copying { work, .. } => Some(work),
            Self::Done { .. } | Self::Failed { .. } => None,
        }
    }

    /// Whether the copy has ended.
    pub fn is_ended(&self) -> bool {
        self.wake_at().is_none()
    }
}

/// Returns the next state after `event`, and the effect to carry out once that state is committed. An event that does
/// not belong to the state changes nothing: it is a late response.
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
        if state.is_ended() {
            return (state, Effect::Done);
        }
        let still = nothing_there_after(&state, &event);
        let (mut next, effect) = self.next(state, event);
        match &mut next {
            State::Pending { work, .. } | State::Asking { work, .. } | State::Copying { work, .. } => {
                work.nothing_there = still;
            }
            State::Failed { nothing_there, .. } => *nothing_there = still,
            State::Done { .. } => {}
        }
        (next, effect)
    }

    fn next(&mut self, state: State, event: Event) -> (State, Effect) {
        match (state, event) {
            (state @ (State::Done { .. } | State::Failed { .. }), _) => (state, Effect::Done),
            (_, Event::Gone(why)) => fail(why),
            (state @ (State::Pending { .. } | State::Copying { .. }), Event::Due) => (state, Effect::Observe),
            // The process that sent the call is gone: a call in flight gets no `Due`.
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
            // A requested copy without a response may be listed late.
            Ok(_) if let Some(end) = self.unclear_until(&mut work) => {
                work.misses += 1;
                let gap = retry::poll_delay(self.first_poll_delay(), work.misses, retry::LONGEST_GAP, self.rng);
                // The last poll comes right after the window, not up to a full interval later.
                pending(work, self.after(gap).min(end), waits_for)
            }
            Ok(_) if work.tries >= self.pace.retry.attempts => {
                let last = waits_for.map(|why| format!(": {why}")).unwrap_or_default();
                fail(format!("gave up after {}{last}", counted(work.tries, "attempt", "attempts")))
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

    /// Instant until which an unanswered request may be listed late; `None` after it.
    fn unclear_until(&self, work: &mut ReplicaWork) -> Option<DateTime<Utc>> {
        // The clock may have been set back since.
        work.unclear_since = work.unclear_since.map(|since| since.min(self.now));
        work.unclear_since.map(|since| later(since, self.pace.lookup_window)).filter(|end| self.now < *end)
    }

    /// Waits without using an attempt; without limit only while the credentials are rejected, which is not an error of
    /// this copy.
    fn wait_or_give_up(&self, mut work: ReplicaWork, pause: Duration, error: &ApiError) -> (State, Effect) {
        work.since = work.since.min(self.now);
        if error.class != ErrorClass::Credential && self.now >= later(work.since, self.pace.deadline) {
            let after = show_length(self.pace.deadline);
            return fail(format!("could not be started within {after}: {}", error.describe()));
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

    /// One more attempt by the schedule's retry policy, or none.
    fn again(&mut self, work: ReplicaWork, why: String, asked: Option<Duration>) -> (State, Effect) {
        if work.tries >= self.pace.retry.attempts {
            return fail(format!("gave up after {}: {why}", counted(work.tries, "attempt", "attempts")));
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
        let mut last = progress.clone();
        match observed {
            Ok(Observation::Listed { status: ImageStatus::Available, .. }) => return done("copied"),
            Ok(Observation::Listed { status: status @ (ImageStatus::CreateFailed | ImageStatus::Deleted), .. }) => {
                let why = format!("the cloud lists the copy as {} and gives no reason", status.as_str());
                return self.again(seen(work), why, None);
            }
            Ok(Observation::Listed { status, progress: shown }) => {
                work = seen(work);
                progress = shown.or(progress);
                last = progress.clone().or_else(|| Some(status.as_str().to_owned()));
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
                    return done("the cloud reports that the region has it, and lists no status there");
                }
            }
            Err(error) => {
                work.misses += 1;
                pause = self.pause_after(&error, work.misses).max(pause);
            }
        }
        if self.now >= later(since, self.pace.deadline) {
            let after = show_length(self.pace.deadline);
            let last = last.map_or_else(|| "not listed there".to_owned(), |last| format!("last: {last}"));
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
            return fail(format!("the image has not been listed for {}", show_length(lag)));
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

/// Whether the region still certainly has no copy.
fn nothing_there_after(state: &State, event: &Event) -> bool {
    let before = state.work().is_some_and(|work| work.nothing_there);
    before
        && match (state, event) {
            (_, Event::Observed(Ok(Observation::Named | Observation::Listed { .. }))) => false,
            (State::Pending { .. }, _) => true,
            (State::Asking { .. }, Event::Asked(Err(error))) => {
                let refused = error.class == ErrorClass::Permanent && error.is_decided();
                error.code.as_deref() != Some(REPEATED) && (refused || error.did_nothing())
            }
            _ => false,
        }
}

fn pending(work: ReplicaWork, next: DateTime<Utc>, waits_for: Option<String>) -> (State, Effect) {
    (State::Pending { work, next, waits_for }, Effect::Wait(next))
}

/// Resets the count of polls without the image.
fn seen(work: ReplicaWork) -> ReplicaWork {
    ReplicaWork { misses: 0, missing_since: None, ..work }
}

fn done(reason: &str) -> (State, Effect) {
    (State::Done { reason: reason.to_owned() }, Effect::Done)
}

fn fail(reason: String) -> (State, Effect) {
    (State::Failed { reason, nothing_there: false }, Effect::Done)
}

#[cfg(test)]
#[path = "distribution_tests.rs"]
mod tests;
