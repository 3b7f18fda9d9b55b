//! A history that cannot be used, was replaced, or has to be compared with the cloud first.

use chrono::{DateTime, Utc};

use super::{Engine, STORE_PAUSE, requests::NotCompared};
use crate::{
    adapters::store::StoreError,
    domain::{bake::retry, clock::later},
};

/// A history that was restored, imported or is empty, before it was compared with the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncompared {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why it could not be compared so far.
    pub why: Option<String>,
}

impl Uncompared {
    /// What bakes wait for meanwhile.
    pub fn wait_reason(&self) -> String {
        let why = self.why.as_deref().unwrap_or("the cloud has not listed all images yet");
        format!("waits for the comparison of the history with the cloud: {why}")
    }
}

/// A history whose files were removed, moved or replaced under the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostHistory {
    /// Since when it is known.
    pub since: DateTime<Utc>,
    /// What became of them.
    pub message: String,
}

impl Engine {
    pub(super) fn store_failed(&mut self, error: &StoreError, now: DateTime<Utc>) {
        self.history_went_back |= matches!(error, StoreError::WentBack);
        if matches!(error, StoreError::Replaced { .. }) {
            return self.lose_history(error, now);
        }
        self.store_error_since.get_or_insert(now);
        let text = crate::domain::error::chain(error);
        tracing::error!(error = %text, "the history cannot be used; nothing new is begun until it can");
        self.idle_until = Some(later(now, STORE_PAUSE));
        self.publish_status(Some(text), true);
    }

    pub(super) fn take_comparison(&mut self, outcome: Result<(), NotCompared>) {
        let now = self.clock.now();
        let Some(uncompared) = &mut self.uncompared else { return };
        match outcome {
            Ok(()) => {
                self.planned_late_from = Some(uncompared.since.min(self.cloud.bake_time()));
                self.uncompared = None;
                // What the cloud was asked for last may not be on its lists yet.
                self.pace.search_until = Some(retry::later(now, self.pace.lookup_window));
                // The cloud has answered.
                self.suspension = None;
            }
            Err(NotCompared { why, credentials }) => {
                if uncompared.why.as_ref() != Some(&why) {
                    tracing::warn!(
                        reason = %why,
                        "history and cloud cannot be compared; nothing is stopped or created until they are"
                    );
                }
                uncompared.why = Some(why);
                if let Some(message) = credentials {
                    self.suspend(message, false, now);
                }
            }
        }
    }

    /// The files have lost their names. What is written from now on is gone with the process, so nothing is begun; but an
    /// image that is being made is followed to its end, and an instance that was stopped is started again.
    pub(super) fn lose_history(&mut self, error: &StoreError, now: DateTime<Utc>) {
        if self.lost.is_some() {
            return;
        }
        let message = crate::domain::error::chain(error);
        tracing::error!(error = %message, "{message}; nothing new is begun, and the daemon ends once what was begun is over");
        self.store.detach();
        self.lost = Some(LostHistory { since: now, message });
        self.idle_until = None;
        self.publish_status(None, true);
    }

    /// Whether the history is lost and nothing is left that was begun under it, or nothing more can be done about that.
    pub(super) async fn is_wound_down(&self) -> bool {
        if self.lost.is_none() {
            return false;
        }
        if self.store_error_since.is_some() {
            return true;
        }
        match self.store.due(DateTime::<Utc>::MAX_UTC).await {
            Ok(begun) => begun.is_empty() && self.in_flight.is_empty(),
            Err(_) => true,
        }
    }
}
