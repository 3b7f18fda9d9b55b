//! One turn: due bakes take a step, the steps are committed, and only then calls are sent.

use chrono::{DateTime, Utc};

use super::{
    Engine, MOST_PLANNED_LATE, SUSPENSION_PROBE,
    steps::{PendingCommit, Turn},
};
use crate::{
    adapters::store::{DueBake, StoreError, Transition},
    domain::{
        api::call::Call,
        bake::{
            Bake, State,
            event::{Effect, Event},
            queue::Blocker,
            state::{BakeWork, End, Resume, Suspended},
            transition::step,
            waiting::{Wait, WaitReason},
        },
        clock::{STEP_BACK, shifted},
        event::bakes,
    },
};

impl Engine {
    /// Reads clock and history once and starts everything that is due.
    pub async fn turn(&mut self) {
        let now = self.clock.now();
        let was_set_back = now < shifted(self.last_turn, -STEP_BACK);
        if let Some(suspension) = &mut self.suspension {
            // A clock that was set back must not delay the probe.
            suspension.next_probe = suspension.next_probe.min(shifted(now, SUSPENSION_PROBE));
        }
        self.clamp_admission(now);
        self.last_turn = now;
        if self.lost.is_none()
            && self.store.is_suspect()
            && let Err(error) = self.store.probe().await
        {
            return self.store_failed(&error, now);
        }
        match self.try_turn(now, was_set_back).await {
            Ok(changed) => match self.store_recovered(now).await {
                Ok(()) => self.publish_status(None, changed),
                Err(error) => self.store_failed(&error, now),
            },
            Err(error) => self.store_failed(&error, now),
        }
    }

    pub(super) async fn try_turn(&mut self, now: DateTime<Utc>, was_set_back: bool) -> Result<bool, StoreError> {
        if was_set_back {
            // Waits for an instant of the former clock would last as long as the step.
            self.store.clamp_wakeups_after_clock_step(now, now).await?;
        }
        self.wake_after_outage(now).await?;
        let mut changed = self.plan(now).await? > 0;
        let mut turn = Turn::default();
        loop {
            let bake_time = self.bake_time(now);
            let due = self.store.due(bake_time).await?;
            self.step_due(due, now, &mut turn);
            if self.admitting && self.lost.is_none() {
                let unproven = self.cloud.clocks().unproven();
                let expired = self.store.overdue_queued(shifted(bake_time, -unproven)).await?;
                for DueBake { bake, .. } in expired {
                    let held = self.blocker().map(|Blocker { code, why, .. }| Event::AdmissionClosed { code, why });
                    let event = held.unwrap_or(Event::Due);
                    self.step_in(&mut turn, bake, event, now);
                }
                if self.uncompared.is_none() {
                    self.admit(now, &mut turn).await?;
                }
            }
            let steps = turn.take_steps();
            if steps.is_empty() {
                break;
            }
            changed = true;
            self.commit(steps, now).await?;
        }
        self.keep_queue(now).await?;
        let bake_time = self.bake_time(now);
        let next = [
            self.planner.next_at(),
            self.store.next_wake(bake_time).await?,
            self.suspension_ends(),
            self.admission_reopens(),
        ];
        // A second step of a bake waits for the next tick; while the two clocks differ, every tick has work.
        self.idle_until = next.into_iter().flatten().min().filter(|_| bake_time == now && !turn.is_cut_short);
        Ok(changed)
    }

    /// Plans what is due, but nothing before history and cloud were compared: slots with an image in the cloud then
    /// have rows.
    pub(super) async fn plan(&mut self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        if self.uncompared.as_ref().is_some_and(|uncompared| !uncompared.lets_plan(now)) || self.lost.is_some() {
            return Ok(0);
        }
        // A clock ahead of the cloud's must not create rows for future slots.
        let now = self.bake_time(now);
        // Before the rows that it dates: a start in between would take them for rows of the future.
        self.keep_clock_anchor().await?;
        let mut rows = 0;
        if let Some(from) = self.planned_late_from.filter(|from| *from <= now) {
            // Slots due meanwhile were on time; earlier ones were missed.
            rows += self.planner.plan(&self.store, from).await?;
            for _ in 0..MOST_PLANNED_LATE {
                let Some(at) = self.planner.next_at().filter(|at| *at <= now) else { break };
                rows += self.planner.plan(&self.store, at).await?;
            }
            self.planned_late_from = None;
        }
        Ok(rows + self.planner.plan(&self.store, now).await?)
    }

    pub(super) fn step_due(&mut self, due: Vec<DueBake>, now: DateTime<Utc>, turn: &mut Turn) {
        let cloud_now = self.cloud.clocks().cloud_now();
        for DueBake { bake, last_version } in due {
            if self.in_flight.contains_key(&bake.id) {
                continue;
            }
            if self.lost.is_some() && bake.state.cannot_be_cancelled().is_none() {
                let by = "the daemon: the history was replaced".to_owned();
                self.step_in(turn, bake, Event::Cancelled { by }, now);
                continue;
            }
            if self.cloud.mode().is_observe() && bake.state.cannot_be_cancelled().is_none() {
                self.step_in(turn, bake, Event::Observed, now);
                continue;
            }
            if self.is_not_the_former() && matches!(bake.state, State::Stopping { .. }) {
                continue;
            }
            if cloud_now < bake.earliest() && self.step_early(&bake, now, turn) {
                continue;
            }
            let begins_something = matches!(
                bake.state,
                State::Ready { .. } | State::Preparing { .. } | State::Stopping { sent: false, .. }
            );
            // A bake past its deadline starts nothing: it ends, and its instance is started again.
            let (bake_time, unproven) = (self.bake_time(now), self.cloud.clocks().unproven());
            let is_past_deadline = bake.is_past_deadline(bake_time, unproven);
            let only_restarts = bake.only_restarts(bake_time, unproven);
            if begins_something
                && (!self.admitting
                    || self.is_not_the_former()
                    || !is_past_deadline && !only_restarts && !self.may_begin(bake.id, now)
                    || !self.may_call(now))
            {
                // While admission is closed, nobody is kept out of an instance for a stop that does not come.
                if self.admitting
                    && self.uncompared.is_none()
                    && bake.state.only_keeps_users_out()
                    && let Some(Blocker { code, why, .. }) = self.blocker()
                {
                    self.step_in(turn, bake, Event::AdmissionClosed { code, why }, now);
                }
                continue;
            }
            if matches!(bake.state, State::Finishing { .. }) && !self.admitting {
                continue;
            }
            let event = if bake.state.needs_version() {
                turn.next_version(&bake.line, last_version, |version| Event::Renumbered { version })
            } else {
                Event::Due
            };
            self.step_in(turn, bake, event, now);
        }
    }

    /// Ends a bake that was started before its slot, while the clock was ahead, unless a create call was sent.
    /// Otherwise an image may exist, and the row waits for its slot. Returns whether that is all for this turn.
    pub(super) fn step_early(&mut self, bake: &Bake, now: DateTime<Utc>, turn: &mut Turn) -> bool {
        match &bake.state {
            State::Preparing { work, .. } | State::Stopping { work, .. } | State::Ready { work, .. }
                if work.evidence.first_sent.is_none() =>
            {
                self.step_in(turn, bake.clone(), Event::ClockAhead, now);
                true
            }
            State::Ready { work, reconcile_before_create: false, .. } => {
                if !work.restart_pending && !work.maintenance.is_pending() {
                    let why = "waits for its slot: the clock was ahead when the bake started".to_owned();
                    let waiting = Some(Wait::go_on(None, WaitReason::Slot, why, now));
                    let work = BakeWork { waiting, ..work.clone() };
                    let suspended = Suspended { work, resume: Resume::FindImage };
                    turn.put_back(bake.clone(), State::Queued { not_before: bake.slot, suspended: Some(suspended) });
                }
                true
            }
            _ => false,
        }
    }

    /// Steps `bake`, unless it took a step in this turn, or has a call in flight.
    pub(super) fn step_in(&mut self, turn: &mut Turn, bake: Bake, event: Event, now: DateTime<Utc>) {
        if self.in_flight.contains_key(&bake.id) {
            return;
        }
        if turn.stepped.insert(bake.id) {
            let step = self.take(bake, event, now);
            turn.steps.push(step);
        } else {
            turn.is_cut_short = true;
        }
    }

    pub(super) fn take(&mut self, mut bake: Bake, event: Event, now: DateTime<Utc>) -> PendingCommit {
        let now = self.bake_time(now);
        self.pace.clock_skew = self.cloud.clocks().cloud_now() - now;
        self.pace.unproven = self.cloud.clocks().unproven();
        let (state, effect) = step(&bake, event, now, &self.pace, &mut self.rng);
        let before = std::mem::replace(&mut bake.state, state);
        PendingCommit { bake, before, effect, attempt: None }
    }

    /// Commits, then carries out the effects.
    pub(super) async fn commit(&mut self, steps: Vec<PendingCommit>, now: DateTime<Utc>) -> Result<(), StoreError> {
        let failed = steps
            .iter()
            .any(|step| matches!(&step.bake.state, State::Ended { end, .. } if end.counts_for_auto_pause()));
        let succeeded =
            steps.iter().any(|step| matches!(&step.bake.state, State::Ended { end: End::Succeeded { .. }, .. }));
        let transitions: Vec<_> = steps
            .iter()
            .map(|step| Transition {
                bake: step.bake.id,
                line: step.bake.line.clone(),
                state: step.bake.state.clone(),
                reason: step.bake.reason(),
                attempt: step.attempt.clone(),
                events: bakes::of_step(&step.bake, &step.before),
            })
            .collect();
        let cloud_now = self.cloud.clocks().cloud_now();
        let committed = self.store.commit_seen(&transitions, cloud_now, now).await;
        self.history_went_back |= matches!(committed, Err(StoreError::WentBack));
        committed?;
        for (step, transition) in steps.into_iter().zip(&transitions) {
            step.log(!transition.events.is_empty());
            self.update_admission(&step.before, &step.bake, now);
            if step.bake.state.is_ended() {
                self.last_warned.remove(&step.bake.id);
                self.accepted.remove(&step.bake.id);
            }
            match step.effect {
                // A hook that the end of the daemon would interrupt is left to the next start.
                Effect::Call(Call::RunHook(_)) if !self.admitting => {}
                Effect::Call(call) => self.send(step.bake, call),
                Effect::Wait(_) | Effect::Done => {}
            }
        }
        if failed {
            self.auto_pause_failing_schedules(now).await?;
        }
        if succeeded {
            self.resume_recovered_schedules(now).await?;
        }
        Ok(())
    }
}
