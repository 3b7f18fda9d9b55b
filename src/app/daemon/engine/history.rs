//! A history that cannot be used, was replaced, or must be compared with the cloud first.

use chrono::{DateTime, Utc};

use super::{
    Engine, STORE_PAUSE,
    comparison::{Ground, HistoryAge, NotCompared, UNTIL_COMPARED},
};
use crate::{
    adapters::store::StoreError,
    domain::{
        bake::retry,
        clock::later,
        error::chain,
        health::{Problem, ProblemCode, Severity, Subject, SubjectKind, one_line, standing::ProblemChange},
    },
};

/// A history that cannot be used.
#[derive(Debug)]
pub struct StoreFailure {
    /// Its first failure.
    pub since: DateTime<Utc>,
    /// The last one.
    pub message: String,
}

/// A history whose files were removed, moved or replaced while the daemon used them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostHistory {
    /// Instant of the detection.
    pub since: DateTime<Utc>,
    /// What happened to them.
    pub message: String,
}

/// The problem of a history that cannot be used because of `error`.
pub fn unwritable(error: &str, since: DateTime<Utc>) -> Problem {
    Problem::new(
        ProblemCode::HistoryUnwritable,
        Severity::Problem,
        Subject::only(SubjectKind::History),
        since,
        format!("{}; no bake starts until the history can be used", one_line(error)),
        Some("imagebaked doctor".to_owned()),
    )
}

impl Engine {
    pub(super) fn store_failed(&mut self, error: &StoreError, now: DateTime<Utc>) {
        self.history_went_back |= matches!(error, StoreError::WentBack);
        if matches!(error, StoreError::Replaced { .. }) {
            return self.lose_history(error, now);
        }
        let text = chain(error);
        let text = error.of_the_disk().map_or_else(|| text.clone(), |disk| format!("{disk}: {text}"));
        let since = self.store_failure.take().map_or(now, |failure| failure.since);
        self.store_failure = Some(StoreFailure { since, message: text.clone() });
        tracing::error!(error = %text, "the history cannot be used; no bake starts until it can");
        self.idle_until = Some(later(now, STORE_PAUSE));
        self.publish_status(Some(text), true);
    }

    /// The history can be used again. While it could not, its problem could not be recorded either: both events are written now.
    pub(super) async fn store_recovered(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let Some(StoreFailure { since, message }) = &self.store_failure else { return Ok(()) };
        let problem = unwritable(message, *since);
        let standing = self.store.reader().standing_problems().await?;
        if !standing.iter().any(|known| known.problem.code == problem.code) {
            let changes = [ProblemChange::Started(problem.clone()), ProblemChange::Ended(problem)];
            self.store.commit_problems(&changes, now).await?;
        }
        tracing::info!(%since, "the history can be used again");
        self.store_failure = None;
        Ok(())
    }

    /// Whether the history may be older than the cloud for all that is known, and has not been compared. At an ordinary start
    /// bakes that have begun go on: each searches for its image first.
    pub(super) fn is_not_the_former(&self) -> bool {
        self.uncompared.as_ref().is_some_and(|uncompared| uncompared.ground == Ground::NotTheFormer)
    }

    pub(super) fn take_comparison(&mut self, outcome: Result<HistoryAge, NotCompared>) {
        let now = self.clock.now();
        let Some(uncompared) = &mut self.uncompared else { return };
        match outcome {
            Ok(age) => {
                if !uncompared.lets_plan(now) {
                    self.planned_late_from = Some(uncompared.since.min(self.cloud.bake_time()));
                }
                self.uncompared = None;
                if age == HistoryAge::Older {
                    // The result of the last calls may not be listed yet.
                    self.pace.search_until = Some(retry::later(now, self.pace.lookup_window));
                } else if self.pace.search_until == Some(UNTIL_COMPARED) {
                    self.pace.search_until = None;
                }
                // The cloud has responded.
                self.suspension = None;
            }
            Err(NotCompared { why, is_outage, rejection }) => {
                uncompared.is_reported = is_outage || rejection.is_some();
                if uncompared.why.as_ref() != Some(&why) {
                    tracing::warn!(
                        reason = %why,
                        "history and cloud cannot be compared; nothing is stopped or created until they are"
                    );
                }
                uncompared.why = Some(why);
                if let Some(rejection) = rejection {
                    let is_new = self.suspension.is_none();
                    self.suspend(&rejection, now);
                    if let Some(suspension) = self.suspension.as_mut().filter(|_| is_new) {
                        // The probe reads the source of the key again, which the comparison does not.
                        suspension.next_probe = now;
                    }
                }
            }
        }
    }

    /// The files have lost their names. Later writes end with the process, so nothing is started; but running images
    /// are followed to their end, and stopped instances are started again.
    pub(super) fn lose_history(&mut self, error: &StoreError, now: DateTime<Utc>) {
        if self.lost.is_some() {
            return;
        }
        let message = crate::domain::error::chain(error);
        tracing::error!(error = %message, "{message}; no bake starts, and the daemon ends once the running bakes have ended");
        self.store.detach();
        self.lost = Some(LostHistory { since: now, message });
        self.idle_until = None;
        self.publish_status(None, true);
    }

    /// Whether the history is lost and all running bakes have ended, or nothing more can be done for them.
    pub(super) async fn is_wound_down(&self) -> bool {
        if self.lost.is_none() {
            return false;
        }
        if self.store_failure.is_some() {
            return true;
        }
        match self.store.due(DateTime::<Utc>::MAX_UTC).await {
            Ok(begun) => begun.is_empty() && self.in_flight.is_empty(),
            Err(_) => true,
        }
    }
}
