//! Admission: which queued bakes start, and what prevents them.

use chrono::{DateTime, Utc};

use super::{Engine, Limits, steps::Turn};
use crate::{
    adapters::store::{DueBake, StoreError},
    domain::{
        api::{call::Response, codes::AccountQuota},
        bake::{
            Bake, State,
            event::Event,
            queue::{Blocker, ClosedAdmission, QueueState},
            reason::ReasonCode,
        },
        clock::later,
        ids::BakeId,
        time::show_length,
    },
};

/// Admission closed by a quota.
impl Engine {
    /// Closes admission if `answer` rejects a call of `bake` for a quota of the account.
    pub(super) fn close_on_quota(&mut self, bake: &Bake, answer: &Response, now: DateTime<Utc>) {
        let Response::Refused(error) = answer else { return };
        let Some(quota) = error.account_quota() else { return };
        let cap = bake.settings.retry.cap;
        let message = error.describe();
        let before = self.closed.take();
        if before.is_none() {
            tracing::warn!(
                bake = bake.id.0,
                reason = message,
                "admission is closed: nothing is stopped or created until an image has ended or {} have passed: {message}",
                show_length(cap)
            );
        }
        self.closed = Some(ClosedAdmission {
            since: before.as_ref().map_or(now, |before| before.since),
            quota,
            refused_at: now,
            message,
            cap,
            until: later(now, cap),
            trial: before.and_then(|before| before.trial).filter(|trial| *trial != bake.id),
        });
    }

    /// Instant at which the quota of images last rejected a create call, while it keeps admission closed.
    pub(super) fn image_quota_refused(&self) -> Option<DateTime<Utc>> {
        self.closed.as_ref().filter(|closed| closed.quota == AccountQuota::Images).map(|closed| closed.refused_at)
    }

    /// Images were deleted: if their quota closed admission, one bake tries now.
    pub(super) fn images_deleted(&mut self, now: DateTime<Utc>) {
        if let Some(closed) = self.closed.as_mut().filter(|closed| closed.quota == AccountQuota::Images) {
            tracing::info!("images were deleted: one bake tries whether the image quota has room");
            closed.until = closed.until.min(now);
        }
    }

    /// Whether `bake` may stop or create something at `now`. If admission is closed and its time has come, the first
    /// bake that calls this becomes the trial.
    pub(super) fn may_begin(&mut self, bake: BakeId, now: DateTime<Utc>) -> bool {
        let Some(closed) = &mut self.closed else { return true };
        if closed.trial.is_none() && now >= closed.until {
            closed.trial = Some(bake);
        }
        closed.trial == Some(bake)
    }

    /// Whether the response would let `bake` stop or create something while admission is closed. It is dropped: the
    /// call changed nothing, and is repeated.
    pub(super) fn is_closed_to(&self, bake: &Bake, answer: &Response, now: DateTime<Utc>) -> bool {
        let is_refused = matches!(answer, Response::Refused(_));
        let only_restarts = bake.only_restarts(self.bake_time(now), self.cloud.clocks().unproven());
        bake.state.begins_something()
            && !only_restarts
            && !is_refused
            && self.closed.as_ref().is_some_and(|closed| closed.trial != Some(bake.id))
    }

    /// Opens admission once the trial's image is being made; lets another bake try once the trial has ended without
    /// one, or an own image has ended.
    pub(super) fn update_admission(&mut self, before: &State, bake: &Bake, now: DateTime<Utc>) {
        let Some(closed) = &mut self.closed else { return };
        let is_building = matches!(bake.state, State::Building { .. });
        if closed.trial == Some(bake.id) {
            match bake.state {
                State::Building { .. } => {
                    tracing::info!(since = %closed.since, "admission is open: the quota of the account has room again");
                    self.closed = None;
                    return;
                }
                State::Queued { .. } | State::Starting { .. } | State::Finishing { .. } | State::Ended { .. } => {
                    closed.trial = None;
                }
                _ => {}
            }
        }
        if matches!(before, State::Building { .. }) && !is_building {
            closed.until = closed.until.min(now);
        }
    }

    /// A clock that was set back delays the next trial by `retry.cap` at most.
    pub(super) fn clamp_admission(&mut self, now: DateTime<Utc>) {
        if let Some(closed) = &mut self.closed {
            closed.until = closed.until.min(later(now, closed.cap));
        }
    }

    /// Instant of the next trial, if nothing else comes before.
    pub(super) fn admission_reopens(&self) -> Option<DateTime<Utc>> {
        self.closed.as_ref().filter(|closed| closed.trial.is_none()).map(|closed| closed.until)
    }

    /// What keeps every bake in the queue from beginning.
    pub(super) fn blocker(&self) -> Option<Blocker> {
        if let Some(suspension) = &self.suspension {
            let code = if suspension.is_clock { ReasonCode::Outage } else { ReasonCode::Credentials };
            return Some(Blocker {
                code,
                why: suspension.headline(),
                next_try: Some(suspension.next_probe),
                trial: None,
            });
        }
        if let Some(uncompared) = &self.uncompared {
            let why = uncompared.wait_reason();
            return Some(Blocker { code: ReasonCode::Outage, why, next_try: None, trial: None });
        }
        self.closed.as_ref().map(ClosedAdmission::blocker)
    }

    /// Keeps how the queue stands where that has changed: for those who show bakes, and for the next start.
    pub(super) async fn keep_queue(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let Limits { builders, builders_per_region, .. } = self.limits;
        let queue = QueueState { blocker: self.blocker(), builders, builders_per_region };
        if self.lost.is_some() || self.queue_kept.as_ref() == Some(&queue) {
            return Ok(());
        }
        self.store.keep_queue(&queue, self.closed.as_ref(), now).await?;
        self.queue_kept = Some(queue);
        Ok(())
    }
}

impl Engine {
    /// Starts queued bakes, as far as builders are free and admission is open.
    pub(super) async fn admit(&mut self, now: DateTime<Utc>, turn: &mut Turn) -> Result<(), StoreError> {
        let mut busy = self.store.busy_builders().await?;
        let mut free = self.limits.builders.saturating_sub(busy.values().sum());
        if self.suspension.is_some() {
            free = free.min(1);
        }
        if let Some(closed) = &self.closed {
            let may_try = closed.trial.is_none() && now >= closed.until;
            free = free.min(usize::from(may_try));
        }
        if free == 0 {
            return Ok(());
        }
        let room = self.limits.builders_per_region;
        let full: Vec<&str> = busy.iter().filter(|(_, n)| **n >= room).map(|(region, _)| region.as_str()).collect();
        let queued = self.store.next_queued(self.bake_time(now), free, &full).await?;
        // Checked only if something would start: the probe of a suspended daemon must not be wasted.
        if queued.iter().all(|due| turn.has_stepped(due.bake.id)) || !self.may_call(now) {
            return Ok(());
        }
        for DueBake { bake, last_version } in queued {
            if turn.has_stepped(bake.id) {
                continue;
            }
            let in_region = busy.entry(bake.settings.instance_region.clone()).or_default();
            if *in_region >= room {
                // Full since this turn; the next query omits the region.
                continue;
            }
            if !self.may_begin(bake.id, now) {
                continue;
            }
            if self.cloud.mode().is_observe() {
                self.step_in(turn, bake, Event::Observed, now);
                continue;
            }
            *in_region += 1;
            // A bake that returns from a wait has its version already.
            let event = match bake.state.work() {
                Some(work) => Event::Admitted { version: work.version },
                None => turn.next_version(&bake.line, last_version, |version| Event::Admitted { version }),
            };
            self.step_in(turn, bake, event, now);
        }
        Ok(())
    }
}
