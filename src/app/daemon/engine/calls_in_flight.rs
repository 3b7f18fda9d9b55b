//! Calls in flight: their start, their responses, and what the responses reveal about clock and zone.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::task::Id;
use tracing::Instrument as _;

use super::{
    Engine, MOST_UNKNOWN_STATES, REPEAT_WARNING_AFTER, START_TAKES,
    steps::{PendingCommit, span},
};
use crate::{
    adapters::{cloud::Gate, store::PendingRestart},
    app::daemon::calls::{self, Caller, Finished},
    domain::{
        api::{
            call::{Call, PowerState, Response},
            gmt_offset::GmtOffset,
            instance_state,
        },
        bake::{Bake, State, event::Event, identity::identity, maintenance::Maintenance},
    },
};

impl Engine {
    pub(super) fn send(&mut self, bake: Bake, call: Call) {
        let id = bake.id;
        let (cloud, clock) = (Arc::clone(&self.cloud), Arc::clone(&self.clock));
        let (instance, settings) = (bake.instance_id.clone(), Arc::clone(&bake.settings));
        let lines = match call {
            Call::FindImagesInProgress => self.planner.lines_on(&instance),
            _ => Vec::new(),
        };
        let description = calls::description(&bake);
        let session = bake.state.work().and_then(|work| work.session.clone());
        let owner = self.pace.owner.clone();
        let folder = Arc::clone(&self.folder);
        let slot_lists = Arc::clone(&self.slot_lists);
        let gate = Gate { from: bake.earliest(), until: bake.give_up_at, closing: self.closing.clone() };
        let task = async move {
            let (cloud, instance, settings, folder) = (&*cloud, &instance, &*settings, &*folder);
            let owner = &*owner;
            let slot_lists = &*slot_lists;
            Caller { cloud, instance, settings, session, description, owner, lines, folder, gate, slot_lists }
                .perform(call, &*clock)
                .await
        };
        let handle = self.calls.spawn(task.instrument(span(&bake)));
        self.call_of.insert(handle.id(), id);
        self.in_flight.insert(id, (bake, handle));
    }

    /// Processes this response and all others that are available, in one transaction.
    pub(super) async fn take_answers(&mut self, first: Result<(Id, Finished), tokio::task::JoinError>) {
        let now = self.clock.now();
        let mut steps = Vec::new();
        let mut next = Some(first);
        while let Some(joined) = next {
            steps.extend(self.answered(joined, now));
            next = self.calls.try_join_next_with_id();
        }
        // On a slow disk responses may take all the time; the engine continues to tick.
        self.note_progress();
        if let Err(error) = self.commit(steps, now).await {
            // The responses are lost, but every intent is committed: those bakes are handled like after a crash.
            self.store_failed(&error, now);
            return;
        }
        self.keep_what_was_taught(now).await;
        // The turn below may find nothing to do, and clients that wait for the end of a bake must still be notified.
        self.publish_status(None, true);
        self.turn().await;
    }

    pub(super) fn answered(
        &mut self,
        joined: Result<(Id, Finished), tokio::task::JoinError>,
        now: DateTime<Utc>,
    ) -> Option<PendingCommit> {
        let (id, finished) = match joined {
            Ok((id, finished)) => (id, finished),
            Err(error) => {
                // A panic or an abort: the result of the call is unknown. The committed intent remains in the database.
                let id = self.call_of.remove(&error.id())?;
                self.in_flight.remove(&id);
                tracing::error!(bake = %id, error = &error as &dyn std::error::Error, "a call ended without an answer");
                return None;
            }
        };
        let (bake, _) = self.in_flight.remove(&self.call_of.remove(&id)?)?;
        if !self.admitting && matches!(&finished.answer, Response::Hook(outcome) if !outcome.is_ok()) {
            // Stopping the daemon may have stopped the hook too: it runs again at the next start.
            return None;
        }
        self.judge_credentials(&finished, now);
        self.close_on_quota(&bake, &finished.answer, now);
        if self.is_closed_to(&bake, &finished.answer, now) {
            return None;
        }
        self.learn(&bake, &finished);
        let mut step = self.take(bake, Event::Answered(finished.answer.clone()), now);
        step.attempt = finished.attempt(&step.before, &step.bake.state);
        step.log_hook(&finished.answer);
        self.report_unknown_state(&step.bake, &finished.answer);
        self.warn_not_running(&step.bake, &finished.answer, now);
        warn_without_maintenance(&step.bake, &step.before);
        Some(step)
    }

    /// Derives the zone of `GmtCreate` from a listed own image and the instant at which the cloud accepted it.
    pub(super) fn learn(&mut self, bake: &Bake, finished: &Finished) {
        match (&finished.answer, finished.server_date) {
            (Response::Created(image), Some(at)) => {
                self.accepted.insert(bake.id, (image.image_id.clone(), at));
            }
            (Response::Image(Some(image)), _) => {
                let (Some((image_id, at)), Some(work)) = (self.accepted.get(&bake.id), bake.state.work()) else {
                    return;
                };
                let is_ours = *image_id == image.image_id && !identity(bake, work, &self.pace).contradicts(image);
                if let Some(shown) = image.made_at.filter(|_| is_ours) {
                    self.taught = GmtOffset::learn(shown, *at).or(self.taught);
                    self.accepted.remove(&bake.id);
                }
            }
            _ => {}
        }
    }

    pub(super) async fn keep_what_was_taught(&mut self, now: DateTime<Utc>) {
        let Some(observed) = self.taught.take() else { return };
        let known = GmtOffset::agree(self.pace.gmt_offset, observed);
        if known == self.pace.gmt_offset {
            return;
        }
        // It can be derived again: other writes report a history that cannot be written.
        if let Err(error) = self.store.keep_gmt_offset(known, now).await {
            tracing::debug!(error = crate::domain::error::chain(&error), "the zone of GmtCreate could not be stored");
        }
        match known.map(GmtOffset::minutes) {
            Some(minutes) => {
                tracing::info!(
                    minutes,
                    "the zone of GmtCreate is {minutes} minutes ahead of UTC, as an image of ours shows"
                );
            }
            None => {
                tracing::warn!("the zone of GmtCreate is not known any more: two images of ours contradict each other");
            }
        }
        self.pace.gmt_offset = known;
    }

    /// A state that is not in the table counts as transitional; the log reports it once.
    pub(super) fn report_unknown_state(&mut self, bake: &Bake, answer: &Response) {
        let Response::Instance(Some(PowerState::Transitioning(state))) = answer else { return };
        if instance_state::find(state, bake.settings.instance_type).is_some()
            || self.unknown_states.len() >= MOST_UNKNOWN_STATES
            || !self.unknown_states.insert(state.to_ascii_lowercase())
        {
            return;
        }
        let (schedule, instance) = (bake.schedule.as_str(), bake.instance_id.as_str());
        tracing::warn!(
            schedule,
            instance,
            state,
            "unknown instance state {state} of {instance}: bakes wait for it to change; this is reported once"
        );
    }

    /// Reports an instance that cannot be started again, at limited intervals.
    pub(super) fn warn_not_running(&mut self, bake: &Bake, answer: &Response, now: DateTime<Utc>) {
        let State::Starting { work, since, last_error, .. } = &bake.state else { return };
        let is_late = since.is_none_or(|since| now - since >= START_TAKES);
        let warned = self.last_warned.get(&bake.id).is_some_and(|at| now - *at < REPEAT_WARNING_AFTER && now >= *at);
        if warned || !(is_late || matches!(answer, Response::Refused(_))) {
            return;
        }
        self.last_warned.insert(bake.id, now);
        let (id, instance, schedule) = (bake.id.0, bake.instance_id.as_str(), bake.schedule.as_str());
        let [what, still] = work.what_is_pending();
        let reason = last_error.as_deref().unwrap_or("no start has worked so far");
        tracing::error!(
            bake = id,
            schedule,
            instance,
            reason,
            "instance {instance} {what} for bake {id} of {schedule} and {still}: {reason}"
        );
    }

    /// Logs the instances that stay stopped while no daemon runs.
    pub(super) async fn warn_of_instances_left_stopped(&self) {
        match self.store.reader().pending_restarts().await {
            Ok(pending) => {
                for PendingRestart { bake, schedule, instance, state } in pending {
                    let is_stopped = state.work().is_some_and(|work| work.restart_pending);
                    let is_kept = state.work().is_some_and(|work| work.maintenance.is_pending());
                    let what = match (is_stopped, is_kept) {
                        (true, true) => "stopped and in maintenance",
                        (true, false) => "stopped",
                        (false, _) => "in maintenance",
                    };
                    let then = if is_stopped { "starts it again once its image is made" } else { "ends that" };
                    tracing::warn!(
                        bake = bake.0,
                        schedule,
                        instance = instance.as_str(),
                        "instance {instance} is {what} for bake {bake} of {schedule}; the next start of the daemon {then}"
                    );
                }
            }
            Err(error) => {
                tracing::error!(error = crate::domain::error::chain(&error), "the stopped instances cannot be listed");
            }
        }
    }
}

/// Reports that users may connect until the stop.
fn warn_without_maintenance(bake: &Bake, before: &State) {
    let maintenance = |state: &State| state.work().map(|work| work.maintenance);
    let refused = Some(Maintenance::Refused);
    let Some(work) =
        bake.state.work().filter(|_| maintenance(&bake.state) == refused && maintenance(before) != refused)
    else {
        return;
    };
    let (id, instance, schedule) = (bake.id.0, bake.instance_id.as_str(), bake.schedule.as_str());
    let reason = work.notes.last().map(String::as_str).unwrap_or_default();
    tracing::warn!(bake = id, schedule, instance, reason, "bake {id} of {schedule} stops {instance} {reason}");
}
