//! End of a cloud outage: bakes that wait for a response try at once.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::Engine;
use crate::adapters::store::StoreError;

/// Bakes that are woken together are spread over this time; the rate limiter orders their calls.
const SPREAD: Duration = Duration::from_secs(2);

impl Engine {
    /// Probes hosts that do not respond if no other call does: bakes may wait for up to `retry.cap`.
    pub(super) fn probe_outages(&self) {
        for probe in self.cloud.outages().take_probes() {
            let cloud = Arc::clone(&self.cloud);
            // The response is recorded like every other.
            tokio::spawn(async move { cloud.probe_outage(probe).await });
        }
    }

    /// Asks whose the key is that signs, if that is not known: for `status`, beside everything else.
    pub(super) fn learn_key_owner(&self) {
        if self.cloud.take_owner_question() {
            let cloud = Arc::clone(&self.cloud);
            tokio::spawn(async move { cloud.learn_owner().await });
        }
    }

    /// Whether the cloud responds again, and waiting bakes have not been woken since.
    pub(super) fn has_outage_ended(&self) -> bool {
        self.outages_handled != Some(self.cloud.outages().ended())
    }

    /// Makes bakes due that wait for the cloud, if it responds again; also at the start.
    pub(super) async fn wake_after_outage(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let ended = self.cloud.outages().ended();
        if self.outages_handled == Some(ended) {
            return Ok(());
        }
        let woken = self.store.wake_outage_waits(self.bake_time(now), SPREAD).await?;
        self.outages_handled = Some(ended);
        self.cloud.ask_owner_again();
        if woken > 0 {
            tracing::info!(bakes = woken, "{woken} bakes that waited for an answer of the cloud try now");
        }
        Ok(())
    }
}
