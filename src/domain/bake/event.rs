//! What the state machine takes and gives: events, effects, and what it has to know besides the bake.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::reason::ReasonCode;
use crate::domain::api::{
    call::{Call, Response},
    gmt_offset::GmtOffset,
};

/// What happened to a bake.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Its turn has come: instance and builder are free, and it has a version.
    Admitted {
        /// The version in the line.
        version: u32,
    },
    /// The line has no version left to give.
    NoVersion {
        /// In words.
        why: String,
    },
    /// It has the other version that it needs, see [`State::needs_version`](super::State::needs_version)(super::State::needs_version).
    Renumbered {
        /// The version in the line.
        version: u32,
    },
    /// The instant it waited for has come, or it was read back after a restart.
    Due,
    /// Its deadline has passed while everything was held, for this reason.
    Held {
        /// For the row.
        code: ReasonCode,
        /// In words.
        why: String,
    },
    /// Its slot has not come: the clock was ahead when it was begun.
    ClockAhead,
    /// The daemon only observes since it was begun: nothing more is stopped or created.
    Observed,
    /// The call under way came back.
    Answered(Response),
    /// A person cancels it. Done where that is possible, see [`State::cannot_be_cancelled`](super::State::cannot_be_cancelled)(super::State::cannot_be_cancelled).
    Cancelled {
        /// Who.
        by: String,
    },
}

/// What is to be done once the new state is committed.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Make this call and come back with its answer.
    Call(Call),
    /// Nothing until then.
    Wait(DateTime<Utc>),
    /// Nothing any more.
    Done,
}

/// What the machine has to know besides the bake.
#[derive(Debug, Clone, PartialEq)]
pub struct PollPolicy {
    /// How often an image being made, or an instance on its way, is looked at.
    pub poll_interval: Duration,
    /// How long after an unclear create call its image is looked for before the call is repeated.
    pub lookup_window: Duration,
    /// `[daemon] owner`, for the ownership tag.
    pub owner: String,
    /// Until then every create call searches first: what the daemon did before its start is not known for certain.
    pub search_until: Option<DateTime<Utc>>,
    /// The zone of `GmtCreate`, once it is learned.
    pub gmt_offset: Option<GmtOffset>,
    /// How far the cloud's clock is ahead of ours.
    pub clock_skew: TimeDelta,
    /// How much of the time that has passed nothing confirms: no deadline counts it.
    pub unproven: TimeDelta,
}
