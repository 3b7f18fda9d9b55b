//! Steps of one turn before they are committed.

use std::collections::{HashMap, HashSet};

use crate::{
    adapters::store::Attempt,
    domain::{
        api::call::Response,
        bake::{
            Bake, State,
            event::{Effect, Event},
        },
        ids::{BakeId, LineId},
    },
};

/// Steps of one turn. A bake takes at most one: the reads of a turn precede its commits, and a second step would start
/// from a changed row.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) stepped: HashSet<BakeId>,
    /// Uncommitted transitions.
    pub(super) steps: Vec<PendingCommit>,
    /// Last versions assigned in this turn: two bakes may share a line, and their versions must differ.
    pub(super) versions: HashMap<LineId, u32>,
    /// Whether a bake needs a second step.
    pub(super) is_cut_short: bool,
}

impl Turn {
    pub(super) fn has_stepped(&self, bake: BakeId) -> bool {
        self.stepped.contains(&bake)
    }

    /// Event that assigns the next version of a bake's line.
    pub(super) fn next_version(
        &mut self,
        line: &LineId,
        last_in_history: u32,
        event: impl FnOnce(u32) -> Event,
    ) -> Event {
        let last = self.versions.get(line).copied().unwrap_or_default().max(last_in_history);
        match last.checked_add(1) {
            Some(version) => {
                self.versions.insert(line.clone(), version);
                event(version)
            }
            None => Event::NoVersion { why: format!("line {line} has no version left, its last one is {last}") },
        }
    }

    /// Returns a bake to the queue.
    pub(super) fn put_back(&mut self, mut bake: Bake, queued: State) {
        if self.stepped.insert(bake.id) {
            let before = std::mem::replace(&mut bake.state, queued);
            self.steps.push(PendingCommit { bake, before, effect: Effect::Done, attempt: None });
        }
    }

    pub(super) fn take_steps(&mut self) -> Vec<PendingCommit> {
        std::mem::take(&mut self.steps)
    }
}

/// A bake with its uncommitted state.
pub(super) struct PendingCommit {
    pub(super) bake: Bake,
    pub(super) before: State,
    pub(super) effect: Effect,
    pub(super) attempt: Option<Attempt>,
}

impl PendingCommit {
    /// Logs a failed hook that has no other effect.
    pub(super) fn log_hook(&self, answer: &Response) {
        let (State::Finishing { .. }, Response::Hook(outcome)) = (&self.before, answer) else { return };
        if !outcome.is_ok() {
            let _of = span(&self.bake).entered();
            let (bake, schedule) = (self.bake.id, &self.bake.schedule);
            let (reason, output) = (self.bake.reason().unwrap_or_default(), outcome.output.as_str());
            tracing::error!(reason, output, "a hook of bake {bake} of {schedule} failed");
        }
    }

    /// Logs a change of state that is no event.
    pub(super) fn log(&self, is_event: bool) {
        let (from, to) = (self.before.as_str(), self.bake.state.as_str());
        if is_event || from == to {
            return;
        }
        let _of = span(&self.bake).entered();
        tracing::info!(from, to, "bake {} of {}: {from} -> {to}", self.bake.id, self.bake.schedule);
    }
}

/// What is logged while a bake is worked on, calls included, shows which one.
pub(super) fn span(bake: &Bake) -> tracing::Span {
    let (id, schedule, instance) = (bake.id.0, bake.schedule.as_str(), bake.instance_id.as_str());
    tracing::info_span!("bake", id, schedule, instance)
}
