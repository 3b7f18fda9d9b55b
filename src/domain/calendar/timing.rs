//! The slots of a schedule: one or more cron rules in one zone, with jitter.
//!
//! The effect of a clock change depends on how a rule is written.
//!
//! * A rule with *fixed* times (hour, minute and second are values or lists of values) fires once per matching local
//!   day and time: at the first instant at which the wall clock shows that time or a later one. A repeated hour counts
//!   at its first pass, and a skipped time counts at the first instant after the gap; several times in one gap have one
//!   slot. This applies to a skipped day too (Apia had no 30 December 2011): a rule for the 30th fires at the start of
//!   the 31st, so that the monthly image is not lost.
//! * A rule with a wildcard, step or range in one of those fields fires whenever the wall clock matches: on both passes
//!   of a repeated hour, and never in a skipped one.
//!
//! Slots lie between 1970 and 2200.

use std::{sync::Arc, time::Duration};

use super::zone::Zone;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

pub use super::error::CronError;
use super::{
    cron::{CronRule, DAY, count_in},
    field::stable_hash,
    utc_offsets::{OffsetSpan, offset_spans},
};

/// 2201-01-01 in seconds since 1970: no slot is searched from this instant on.
const END: i64 = 7_289_654_400;
/// Number of slots that are compared however many expressions there are.
const FEW: usize = 10;

/// One or more cron rules in one zone. The slots are the union of the rules' instants, strictly increasing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    lines: Arc<[Line]>,
    zone: Zone,
    jitter: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    text: Box<str>,
    rule: CronRule,
}

/// Kinds of rules that match a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// Rules with fixed times.
    pub(crate) fixed: bool,
    /// Rules with a wildcard, step or range.
    pub(crate) open: bool,
}

impl Named {
    pub(crate) fn any(self) -> bool {
        self.fixed || self.open
    }
}

impl Timing {
    /// Parses the expressions. `seed`, the schedule's id, seeds `H`.
    ///
    /// # Errors
    ///
    /// [`CronError`] if an expression is malformed or never fires.
    pub fn parse<S: AsRef<str>>(
        expressions: &[S],
        zone: Zone,
        jitter: Duration,
        seed: &str,
    ) -> Result<Self, CronError> {
        let lines = expressions.iter().enumerate().map(|(index, text)| {
            let text = text.as_ref();
            let rule = CronRule::parse(text, seed).map_err(|error| CronError { index, ..error })?;
            Ok(Line { text: text.into(), rule })
        });
        Ok(Self { lines: lines.collect::<Result<_, _>>()?, zone, jitter })
    }

    /// The expressions as written.
    pub fn expressions(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| line.text.as_ref())
    }

    /// Whether a rule has an `H`: the slots depend on the seed.
    pub fn is_hashed(&self) -> bool {
        self.rules().any(CronRule::is_hashed)
    }

    /// The zone of the rules.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// Maximum jitter.
    pub fn jitter(&self) -> Duration {
        self.jitter
    }

    /// The first slot strictly after `instant`; `None` past the year 2200.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut from = instant.timestamp().saturating_add(1).max(0);
        while from < END {
            let to = (from + DAY).min(END);
            if let Some(slot) = offset_spans(self.zone, from, to).find_map(|stretch| self.first_in(&stretch)) {
                return DateTime::from_timestamp(slot, 0);
            }
            // A skipped time fires up to two wall days later, and no zone is a full day from UTC.
            let day = self.rules().filter_map(|rule| rule.next_day(to.div_euclid(DAY) - 3)).min()?;
            from = to.max((day - 1) * DAY);
        }
        None
    }

    /// The latest slot at or before `instant`; `None` before the year 1970.
    pub fn last_until(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut to = instant.timestamp().saturating_add(1).min(END);
        while to > 0 {
            let from = (to - DAY).max(0);
            if let Some(slot) = offset_spans(self.zone, from, to).filter_map(|stretch| self.last_in(&stretch)).last() {
                return DateTime::from_timestamp(slot, 0);
            }
            // The same bounds as in `next_after`, in the other direction.
            let day = self.rules().filter_map(|rule| rule.previous_day(from.div_euclid(DAY) + 1)).max()?;
            to = from.min((day + 4) * DAY);
        }
        None
    }

    /// The slots in (`after`, `until`], in order.
    pub fn between(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        std::iter::successors(self.next_after(after), |slot| self.next_after(*slot))
            .take_while(move |slot| *slot <= until)
    }

    /// The first of them: at most `most` if there is one expression, fewer if there are more, at least ten.
    pub fn some_between(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
        most: usize,
    ) -> impl Iterator<Item = DateTime<Utc>> {
        self.between(after, until).take(self.share_of(most))
    }

    /// The number of slots whose search costs as much as that of `most` slots of one expression, at least ten.
    pub(crate) fn share_of(&self, most: usize) -> usize {
        (most / self.lines.len().max(1)).max(FEW.min(most))
    }

    /// Number of slots in (`after`, `until`], without iterating over them.
    pub fn count(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        let from = after.timestamp().saturating_add(1).max(0);
        let to = until.timestamp().saturating_add(1).min(END);
        offset_spans(self.zone, from, to).map(|stretch| self.count_in(&stretch)).sum()
    }

    /// Earliest start of the bake of `slot`: the slot plus its share of the jitter, before the next slot.
    pub fn begin(&self, slot: DateTime<Utc>, schedule_id: &str) -> DateTime<Utc> {
        let jitter = TimeDelta::from_std(self.jitter).unwrap_or(TimeDelta::MAX);
        let room = self.next_after(slot).map_or(jitter, |next| jitter.min(next - slot)).num_milliseconds();
        let Some(room) = u64::try_from(room).ok().filter(|room| *room > 0) else { return slot };
        let hash = stable_hash([schedule_id.as_bytes(), &slot.timestamp().to_le_bytes()]);
        let share = i64::try_from(hash % room).map_or(TimeDelta::zero(), TimeDelta::milliseconds);
        slot.checked_add_signed(share).unwrap_or(slot)
    }

    /// Kinds of rules that match a wall time, whether or not the zone's clock ever shows it.
    pub(crate) fn names(&self, wall: NaiveDateTime) -> Named {
        let at = wall.and_utc();
        let second = at.timestamp();
        let naming =
            self.rules().filter(|rule| at.timestamp_subsec_nanos() == 0 && rule.first_in(second, second + 1).is_some());
        naming.fold(Named::default(), |named, rule| Named {
            fixed: named.fixed || rule.is_fixed(),
            open: named.open || !rule.is_fixed(),
        })
    }

    /// How many expressions there are.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The timing of one expression alone.
    pub(crate) fn only(&self, index: usize) -> Self {
        let lines = if self.len() == 1 {
            Arc::clone(&self.lines)
        } else {
            self.lines.iter().skip(index).take(1).cloned().collect()
        };
        Self { lines, ..self.clone() }
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &CronRule> + Clone {
        self.lines.iter().map(|line| &line.rule)
    }

    /// Rules that apply in this span: fixed times ignore repeated time.
    fn heeding(&self, stretch: &OffsetSpan) -> impl Iterator<Item = &CronRule> + Clone {
        let repeated = stretch.repeated;
        self.rules().filter(move |rule| !(repeated && rule.is_fixed()))
    }

    /// Whether a fixed time lies in the gap just before the span, so that its start is a slot.
    fn makes_up(&self, stretch: &OffsetSpan) -> bool {
        let start = stretch.wall_start();
        stretch.skipped > 0
            && self.rules().any(|rule| rule.is_fixed() && rule.first_in(start - stretch.skipped, start).is_some())
    }

    fn first_in(&self, stretch: &OffsetSpan) -> Option<i64> {
        if self.makes_up(stretch) {
            return Some(stretch.start);
        }
        let wall =
            self.heeding(stretch).filter_map(|rule| rule.first_in(stretch.wall_start(), stretch.wall_end())).min();
        wall.map(|wall| wall - stretch.offset)
    }

    fn last_in(&self, stretch: &OffsetSpan) -> Option<i64> {
        let wall =
            self.heeding(stretch).filter_map(|rule| rule.last_in(stretch.wall_start(), stretch.wall_end())).max();
        wall.map(|wall| wall - stretch.offset).or_else(|| self.makes_up(stretch).then_some(stretch.start))
    }

    fn count_in(&self, stretch: &OffsetSpan) -> u64 {
        let start = stretch.wall_start();
        let made_up =
            self.makes_up(stretch) && self.heeding(stretch).all(|rule| rule.first_in(start, start + 1).is_none());
        count_in(&self.heeding(stretch), start, stretch.wall_end()) + u64::from(made_up)
    }
}
