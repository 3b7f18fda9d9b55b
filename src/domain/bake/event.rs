//! Input and output of the state machine. An [`Event`] goes in, an [`Effect`] comes out; [`PollPolicy`] holds the
//! settings that are not part of the bake.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::reason::ReasonCode;
use crate::domain::api::{
    call::{Call, Response},
    gmt_offset::GmtOffset,
};

/// An event of one bake.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The bake is admitted: instance and builder are free, and a version is assigned.
    Admitted {
        /// Version in the line, from 1.
        version: u32,
    },
    /// The line has no version left.
    NoVersion {
        /// Reason for the history.
        why: String,
    },
    /// A bake whose name is taken gets another version, see [`State::needs_version`](super::State::needs_version).
    Renumbered {
        /// Version in the line, from 1.
        version: u32,
    },
    /// The instant of the last [`Effect::Wait`] has come, or the bake was read from the history after a restart.
    Due,
    /// The deadline has passed while the daemon admitted no bake (credentials, clock, quota).
    AdmissionClosed {
        /// Reason code of the row.
        code: ReasonCode,
        /// Reason for the history.
        why: String,
    },
    /// The slot is in the future: the bake was admitted while the clock was ahead.
    ClockAhead,
    /// The daemon only observes since it was begun: nothing more is stopped or created.
    Observed,
    /// Response to the call in flight.
    Answered(Response),
    /// A person cancels the bake. Has an effect only where
    /// [`State::cannot_be_cancelled`](super::State::cannot_be_cancelled) is `None`.
    Cancelled {
        /// Who cancels, for the history.
        by: String,
    },
}

/// What the daemon does after it has committed the new state.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send this call and pass its response as [`Event::Answered`].
    Call(Call),
    /// Send [`Event::Due`] at this instant.
    Wait(DateTime<Utc>),
    /// Nothing: the bake has ended.
    Done,
}

/// Settings of the state machine that are not part of the bake.
#[derive(Debug, Clone, PartialEq)]
pub struct PollPolicy {
    /// Time between two polls of an image that is being made, or of an instance that changes its state.
    pub poll_interval: Duration,
    /// How long the image of an unclear create call is searched for before the call is repeated.
    pub lookup_window: Duration,
    /// `[daemon] owner`, for the ownership tag.
    pub owner: String,
    /// Until this instant every create call searches first: the calls before the daemon's start are not known for
    /// certain.
    pub search_until: Option<DateTime<Utc>>,
    /// Zone of `GmtCreate`, once it is known.
    pub gmt_offset: Option<GmtOffset>,
    /// How far the cloud's clock is ahead of this host's.
    pub clock_skew: TimeDelta,
    /// Time that has passed by this host's clock only, unconfirmed by the cloud. Deadlines do not count it.
    pub unproven: TimeDelta,
}
