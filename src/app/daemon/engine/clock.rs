//! This host's clock: steps, confirmation by the cloud, and the time of bakes.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Engine, LONGEST_WAIT};
use crate::{
    adapters::store::StoreError,
    app::daemon::clocks,
    domain::clock::{STEP_BACK, shifted, watch::ClockEvent},
};

impl Engine {
    /// Processes observations of the clock, and requests the cloud's time while the clock is unconfirmed.
    pub(super) async fn watch_clock(&mut self) {
        let clocks = self.cloud.clocks();
        for event in clocks.take_events() {
            clocks::log(&event);
            match event {
                ClockEvent::Stepped { from, to, confirmed } => {
                    if let Some(suspension) = self.suspension.as_mut().filter(|suspension| suspension.is_clock) {
                        // It may have been corrected.
                        suspension.next_probe = to;
                    }
                    if !confirmed {
                        self.planner.clock_corrected(to - from, to);
                    }
                    // If the cloud confirms it, slots from here on were on time.
                    self.planned_late_from = self.planned_late_from.or(Some(to)).filter(|from| *from <= to);
                }
                ClockEvent::Confirmed => self.planner.clock_confirmed(),
                _ => {}
            }
            self.idle_until = None;
            self.clock_events.push(event);
        }
        if clocks.is_unconfirmed() {
            let cloud = Arc::clone(&self.cloud);
            // The response is used by the clock watch, like every other.
            tokio::spawn(async move { cloud.ask_for_the_time().await });
        }
        if let Err(error) = self.record_clock_events().await {
            self.store_failed(&error, self.clock.now());
        }
        if let Err(error) = self.keep_clock_anchor().await {
            self.store_failed(&error, self.clock.now());
        }
    }

    /// For the next start, which then knows the time before the cloud has responded.
    pub(super) async fn keep_clock_anchor(&mut self) -> Result<(), StoreError> {
        let Some(anchor) = self.cloud.clocks().anchor() else { return Ok(()) };
        if self.lost.is_none() && self.anchor.as_ref().is_none_or(|kept| anchor.replaces(kept)) {
            self.store.keep_clock_anchor(&anchor, self.clock.now()).await?;
            self.anchor = Some(anchor);
        }
        Ok(())
    }

    /// A failed write is repeated at the next tick.
    pub(super) async fn record_clock_events(&mut self) -> Result<(), StoreError> {
        while let Some(event) = self.clock_events.first() {
            let now = self.clock.now();
            if clocks::is_audited(event) {
                self.store.note_clock(now, &event.to_string(), event.once().as_deref()).await?;
            }
            // Only the cloud's time shows that future rows were written by a wrong clock.
            if matches!(event, ClockEvent::Confirmed) && self.cloud.clocks().agreed().is_ok() {
                let latest = shifted(now, STEP_BACK);
                let ended = self.store.end_queued_ahead(latest, now).await?;
                if ended > 0 {
                    tracing::warn!(
                        bakes = ended,
                        "{ended} bakes in the queue end: the clock was ahead when they were written"
                    );
                    self.publish_status(None, true);
                }
                self.store.clamp_images_ahead(now, shifted(now, LONGEST_WAIT)).await?;
            }
            self.clock_events.remove(0);
        }
        Ok(())
    }

    /// The time of bakes: the cloud's if this host's clock is ahead of it, so that a clock that was set forward ends no
    /// wait and no deadline.
    pub(super) fn bake_time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.cloud.clocks().cloud_now().min(now)
    }
}
