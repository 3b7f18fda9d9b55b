//! Steps of one turn before they are committed.

use std::collections::{HashMap, HashSet};

use crate::{
    adapters::store::Attempt,
    domain::{
        api::call::Response,
        bake::{
            Bake, State,
            event::{Effect, Event},
            state::End,
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
            let (bake, schedule, instance) =
                (self.bake.id.0, self.bake.schedule.as_str(), self.bake.instance_id.as_str());
            let (reason, output) = (self.bake.reason().unwrap_or_default(), outcome.output.as_str());
            tracing::error!(bake, schedule, instance, reason, output, "a hook of bake {bake} of {schedule} failed");
        }
    }

    /// Logs a change of state in one line that is readable alone, with the keys as fields.
    pub(super) fn log(&self) {
        let (before, state) = (&self.before, &self.bake.state);
        // A wait is reported once, however often it is polled.
        let why = |state: &State| state.waiting().map(|waiting| waiting.why.clone());
        if before.as_str() == state.as_str() || why(before).is_some() && why(before) == why(state) {
            return;
        }
        let bake = self.bake.id.0;
        let (schedule, instance) = (self.bake.schedule.as_str(), self.bake.instance_id.as_str());
        let reason = self.bake.reason().unwrap_or_default();
        match state {
            State::Ended { end: End::Failed { .. }, .. } => {
                tracing::error!(bake, schedule, instance, reason, "bake {bake} of {schedule} failed: {reason}");
            }
            State::Ended { end: End::Succeeded { image, .. }, .. } => {
                let (image_id, name) = (image.image_id.as_str(), state.work().map_or("", |work| &work.image_name));
                tracing::info!(
                    bake,
                    schedule,
                    instance,
                    image_id,
                    "bake {bake} of {schedule} succeeded: {name} is {image_id}"
                );
            }
            State::Ended { end: End::Cancelled { .. }, .. } => {
                tracing::info!(bake, schedule, instance, reason, "bake {bake} of {schedule} cancelled: {reason}");
            }
            State::Ended { .. } => {
                tracing::warn!(bake, schedule, instance, reason, "bake {bake} of {schedule} skipped: {reason}");
            }
            State::Unknown { .. } => {
                tracing::warn!(
                    bake,
                    schedule,
                    instance,
                    reason,
                    "bake {bake} of {schedule}: searching for its image: {reason}"
                );
            }
            State::Queued { suspended: Some(_), .. } => {
                tracing::warn!(bake, schedule, instance, reason, "bake {bake} of {schedule} {reason}");
            }
            State::Ready { .. } if !reason.is_empty() => {
                tracing::warn!(bake, schedule, instance, reason, "bake {bake} of {schedule} {reason}");
            }
            _ => {
                let (from, to) = (before.as_str(), state.as_str());
                tracing::info!(bake, schedule, instance, from, to, "bake {bake} of {schedule}: {from} -> {to}");
            }
        }
    }
}
