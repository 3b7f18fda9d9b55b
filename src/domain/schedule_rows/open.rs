//! What a schedule does now: its open bake with what that waits for, or how it is paused.

use std::{
    collections::{HashMap, HashSet},
    fmt::{Display, Formatter, Result},
};

use chrono::{DateTime, Utc};

use super::facts::SlotRow;
use crate::domain::{
    calendar::zone::Zone,
    health::Health,
    schedule::Schedule,
    status::{Late, Next, Paused, Running, Status},
    time::show,
};

/// What rows show beside the history.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The problems.
    pub health: &'a Health,
    /// Running bakes.
    pub running: &'a [Running],
    /// Bakes in the queue that wait.
    pub waiting: &'a [Running],
    /// Bakes that should have started.
    pub late: &'a [Late],
    /// Paused schedules, except those paused in the file.
    pub paused: &'a [Paused],
    /// The next slots.
    pub next: &'a [Next],
}

impl<'a> Circumstances<'a> {
    /// Those of a status.
    pub fn of(status: &'a Status) -> Self {
        let Status { health, running, waiting, late, paused, next, .. } = status;
        Self { health, running, waiting, late, paused, next }
    }

    /// The first open bake of each schedule that has one, by the schedule's name: one that runs, else one that waits.
    pub(super) fn open(&self) -> HashMap<&'a str, OpenBake> {
        let mut open: HashMap<&str, OpenBake> = HashMap::new();
        for bake in self.running.iter().chain(self.waiting) {
            open.entry(&bake.schedule).or_insert_with(|| OpenBake {
                bake: bake.id,
                state: bake.state.clone(),
                reason: bake.reason.clone(),
            });
        }
        for late in self.late {
            open.entry(&late.schedule).or_insert_with(|| OpenBake {
                bake: late.id,
                state: "queued".to_owned(),
                reason: Some(late.reason.clone()),
            });
        }
        open
    }

    /// Ids of the schedules that are paused, except in the file.
    pub(super) fn paused_ids(&self) -> HashSet<&'a str> {
        self.paused.iter().map(|pause| pause.schedule.as_str()).collect()
    }

    /// How a schedule is paused. The file's pause stands first: resuming the schedule does not end it.
    pub fn pause(&self, schedule: &Schedule) -> Option<PauseNote> {
        if schedule.paused {
            return Some(PauseNote::InFile);
        }
        let pause = self.paused.iter().find(|pause| pause.schedule == schedule.id.as_str())?;
        let Paused { until, who, reason, .. } = pause;
        let until = until.as_deref().and_then(|until| until.parse().ok());
        Some(PauseNote::By { who: who.clone(), until, reason: reason.clone() })
    }
}

/// A bake that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBake {
    /// Its number.
    pub bake: i64,
    /// The word of its state.
    pub state: String,
    /// What it waits for.
    pub reason: Option<String>,
}

impl OpenBake {
    /// The open bake of the oldest slot of these rows, the newest first.
    pub(super) fn first_of(rows: &[SlotRow]) -> Option<Self> {
        let row = rows.iter().rev().find(|row| row.outcome().is_open())?;
        Some(Self { bake: row.bake, state: row.state.clone(), reason: row.reason.clone() })
    }
}

impl Display for OpenBake {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "bake {} {}", self.bake, self.state)?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

/// How a schedule is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PauseNote {
    /// By `paused = true`.
    InFile,
    /// By a person or the daemon.
    By {
        /// Who.
        who: String,
        /// The end; `None`: until it is resumed.
        until: Option<DateTime<Utc>>,
        /// The reason.
        reason: String,
    },
}

impl PauseNote {
    /// Whether a slot to come is skipped for it.
    pub fn covers(&self, slot: DateTime<Utc>) -> bool {
        match self {
            Self::InFile => true,
            Self::By { until, .. } => until.is_none_or(|until| slot <= until),
        }
    }

    /// In words, with times in this zone.
    pub fn describe(&self, zone: Zone) -> String {
        match self {
            Self::InFile => "paused in the file".to_owned(),
            Self::By { who, until, reason } => {
                let until = until.map_or_else(|| "it is resumed".to_owned(), |at| show(at, zone));
                format!("paused by {who} until {until}: {reason}")
            }
        }
    }
}
