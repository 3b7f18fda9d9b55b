//! One instance of one schedule, how far it is accounted for, and the rows that its slots make.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use crate::{
    adapters::store::{NewRow, Span, TargetProgress},
    domain::{
        api::mode::Mode,
        bake::{BakeSettings, State, Trigger, reason::ReasonCode, state::End},
        catch_up::{Entry, Missed},
        ids::{BakeId, InstanceId, LineId},
        schedule::{Overlap, Schedule},
    },
};

#[derive(Debug)]
pub(super) struct PlannedTarget {
    pub(super) schedule: Arc<Schedule>,
    pub(super) instance: InstanceId,
    pub(super) line: LineId,
    pub(super) processed_until: DateTime<Utc>,
    /// How far slots have rows already, because the clock was ahead once: those of `processed_until` up to here. Such a row keeps
    /// its slots when they come, unless it never began and was written later than they come.
    pub(super) seen_to: DateTime<Utc>,
    /// The last slot that has a row, where that is later than now.
    pub(super) rows_to: DateTime<Utc>,
    pub(super) known_since: DateTime<Utc>,
    /// `known_since` was read off a clock that nobody has confirmed: who corrects the clock corrects this, too.
    pub(super) is_provisional: bool,
}

impl PlannedTarget {
    /// Slots that come now and have rows from when the clock was ahead, if there are any.
    pub(super) fn span_ahead(&self, now: DateTime<Utc>) -> Option<Span> {
        (self.seen_to > self.processed_until).then(|| self.span(self.processed_until, self.seen_to.min(now)))
    }

    pub(super) fn span(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Span {
        Span { schedule_id: self.schedule.id.clone(), instance_id: self.instance.clone(), after, until }
    }

    /// What the history keeps once everything up to `processed_until` has its rows.
    pub(super) fn progress(&self, processed_until: DateTime<Utc>) -> TargetProgress {
        TargetProgress {
            schedule_id: self.schedule.id.clone(),
            instance_id: self.instance.clone(),
            processed_until,
            known_since: self.known_since,
        }
    }

    pub(super) fn row(
        &self,
        entry: Entry,
        mode: Mode,
        open: &HashMap<InstanceId, BakeId>,
        queued_now: &mut HashSet<InstanceId>,
    ) -> NewRow {
        match entry {
            Entry::Due { slot, caught_up } if mode.is_observe() => {
                let trigger = if caught_up { Trigger::CaughtUp } else { Trigger::Slot };
                let reason = "not baked: the daemon only observes ([daemon] mode)".to_owned();
                self.new_row(slot, trigger, None, skipped(ReasonCode::Observe, reason))
            }
            Entry::Due { slot, caught_up } => {
                let trigger = if caught_up { Trigger::CaughtUp } else { Trigger::Slot };
                if self.schedule.overlap == Overlap::Skip {
                    let busy = match open.get(&self.instance) {
                        Some(bake) => Some(format!("bake {bake} was still at work on the instance")),
                        None if queued_now.contains(&self.instance) => {
                            Some("another bake of the instance was due at the same moment".to_owned())
                        }
                        None => None,
                    };
                    if let Some(busy) = busy {
                        return self.new_row(
                            slot,
                            trigger,
                            None,
                            skipped(ReasonCode::Overlap, format!("skipped, overlap: {busy}")),
                        );
                    }
                }
                queued_now.insert(self.instance.clone());
                let not_before = self.schedule.timing.begin(slot, self.schedule.id.as_str());
                let settings = Some(Arc::clone(&self.schedule.settings));
                self.new_row(slot, trigger, settings, State::Queued { not_before, suspended: None })
            }
            Entry::Missed { first, last, count, why } => {
                let mut row = self.new_row(last, Trigger::Slot, None, skipped(code_of(&why), why.to_string()));
                row.first_slot = first;
                row.slot_count = count;
                row
            }
        }
    }

    pub(super) fn new_row(
        &self,
        slot: DateTime<Utc>,
        trigger: Trigger,
        settings: Option<Arc<BakeSettings>>,
        state: State,
    ) -> NewRow {
        NewRow {
            schedule_id: self.schedule.id.clone(),
            schedule: self.schedule.name.clone(),
            instance_id: self.instance.clone(),
            line: self.line.clone(),
            slot,
            first_slot: slot,
            slot_count: 1,
            trigger,
            settings,
            state,
        }
    }
}

fn code_of(why: &Missed) -> ReasonCode {
    match why {
        Missed::CatchUpSkip | Missed::OutsideWindow | Missed::TooMany => ReasonCode::Missed,
        Missed::Coalesced => ReasonCode::Superseded,
        Missed::Paused(_) => ReasonCode::Paused,
    }
}

pub(super) fn skipped(code: ReasonCode, reason: String) -> State {
    State::Ended { work: None, end: End::Skipped { code, reason } }
}
