//! The slots of a schedule: one or more cron rules in one zone, with jitter.

use std::{ops::Range, time::Duration};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

/// One or more cron rules in one zone. The slots are the union of the rules' instants, strictly increasing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    expressions: Vec<Box<str>>,
    zone: Tz,
    jitter: Duration,
}

/// Why an expression is refused, with the place inside it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    /// Which of the expressions, from 0.
    pub index: usize,
    /// Bytes of that expression.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl Timing {
    /// Reads the expressions. `name` seeds `H`. Refuses those that never fire.
    pub fn parse<S: AsRef<str>>(expressions: &[S], zone: Tz, jitter: Duration, name: &str) -> Result<Self, CronError> {
        let _ = name;
        Ok(Self { expressions: expressions.iter().map(|e| e.as_ref().into()).collect(), zone, jitter })
    }

    /// The expressions as written.
    pub fn expressions(&self) -> impl Iterator<Item = &str> {
        self.expressions.iter().map(AsRef::as_ref)
    }

    /// The zone of the rules.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The bound of the jitter.
    pub fn jitter(&self) -> Duration {
        self.jitter
    }

    /// The first slot strictly after `instant`; `None` past the year 2200.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let _ = instant;
        None
    }

    /// The latest slot at or before `instant`; `None` before the year 1970.
    pub fn last_until(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let _ = instant;
        None
    }

    /// How many slots lie in (`after`, `until`], without walking through them one by one.
    pub fn count(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        let _ = (after, until);
        0
    }

    /// When the bake of `slot` may begin: the slot plus its own share of the jitter, before the next slot.
    pub fn begin(&self, slot: DateTime<Utc>, schedule_id: &str) -> DateTime<Utc> {
        let _ = schedule_id;
        slot
    }
}
