//! The credentials of all calls: fetched once, renewed before they expire, by one call for all.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{
    chain::{Chain, KeyHosts},
    types::{Credentials, NoCredentials, SourceName},
    variables::Environment,
};
use crate::{
    adapters::cloud::http::Http,
    domain::{api::credential_source::CredentialSource, clock::Clock, time::rfc3339_seconds},
};

/// Pause after a failed renewal, so that a source that is down does not slow every call.
const PAUSE: Duration = Duration::from_secs(30);

/// Provides current credentials.
pub struct CredentialProvider {
    chain: Chain,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Held by the one call that fetches.
    fetching: tokio::sync::Mutex<()>,
}

impl fmt::Debug for CredentialProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialProvider").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    at_hand: Option<AtHand>,
    /// The source of the first credentials. No other one takes over: it would sign as somebody else.
    source: Option<SourceName>,
    /// Number of fetches, and why the last one failed.
    fetches: u64,
    failure: Option<NoCredentials>,
}

#[derive(Debug, Clone)]
struct AtHand {
    credentials: Credentials,
    stale_at: Option<DateTime<Utc>>,
}

impl AtHand {
    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.stale_at.is_none_or(|stale_at| now < stale_at)
    }

    fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.credentials.expires_at.is_none_or(|end| now < end)
    }
}

impl CredentialProvider {
    /// Creates a provider without reading a source. `nonce` makes signed requests to the token service unique.
    pub fn new(
        choice: CredentialSource,
        environment: Environment,
        hosts: KeyHosts,
        http: Http,
        clock: Arc<dyn Clock>,
        nonce: Arc<dyn Fn() -> String + Send + Sync>,
    ) -> Self {
        let chain = Chain::new(choice, environment, hosts, http, Arc::clone(&clock), nonce);
        Self { chain, clock, state: Mutex::default(), fetching: tokio::sync::Mutex::new(()) }
    }

    /// Credentials to sign with now. Near their end one call renews them, and the others go on with those at hand; they
    /// serve until they expire if that fails.
    ///
    /// # Errors
    ///
    /// `NoCredentials` if there are none.
    pub async fn get(&self) -> Result<Credentials, NoCredentials> {
        let now = self.clock.now();
        let at_hand = self.state().at_hand.clone();
        let Some(at_hand) = at_hand.filter(|at_hand| at_hand.is_valid(now)) else {
            let seen = self.fetches();
            return self.fetch(seen).await;
        };
        if at_hand.is_fresh(now) {
            return Ok(at_hand.credentials);
        }
        let seen = self.fetches();
        let Ok(turn) = self.fetching.try_lock() else { return Ok(at_hand.credentials) };
        match self.fetch_in_turn(&turn, seen).await {
            Ok(fresh) => Ok(fresh),
            Err(error) => {
                tracing::warn!(%error, "credentials cannot be renewed yet");
                let credentials = at_hand.credentials;
                let stale_at = Some(self.clock.now() + PAUSE);
                self.state().at_hand = Some(AtHand { credentials: credentials.clone(), stale_at });
                Ok(credentials)
            }
        }
    }

    /// The credentials at hand.
    pub fn at_hand(&self) -> Option<Credentials> {
        self.state().at_hand.as_ref().map(|at_hand| at_hand.credentials.clone())
    }

    /// Reads the source anew, after the cloud rejected the credentials at hand; many rejections at once read it once.
    ///
    /// # Errors
    ///
    /// `NoCredentials` if there are none. Those at hand stay.
    pub async fn refresh(&self) -> Result<Credentials, NoCredentials> {
        let seen = self.fetches();
        self.fetch(seen).await
    }

    /// Waits for the turn to fetch; the result of another call that fetched since `seen` is good for this one, too.
    async fn fetch(&self, seen: u64) -> Result<Credentials, NoCredentials> {
        let turn = self.fetching.lock().await;
        self.fetch_in_turn(&turn, seen).await
    }

    async fn fetch_in_turn(
        &self,
        _turn: &tokio::sync::MutexGuard<'_, ()>,
        seen: u64,
    ) -> Result<Credentials, NoCredentials> {
        let now = self.clock.now();
        let until_now = {
            let state = self.state();
            if state.fetches != seen {
                match (&state.failure, &state.at_hand) {
                    (Some(failure), _) => return Err(failure.clone()),
                    (None, Some(at_hand)) if at_hand.is_valid(now) => return Ok(at_hand.credentials.clone()),
                    (None, _) => {}
                }
            }
            state.source
        };
        let mut outcome = self.chain.fetch(self.chain.chosen().or(until_now), now).await;
        if let (Err(error), None, Some(_)) = (&mut outcome, self.chain.chosen(), until_now) {
            for (_, why) in &mut error.reasons {
                why.push_str(" (the source since the start; no other one takes over before a restart)");
            }
        }
        self.keep(&outcome, now);
        outcome
    }

    fn keep(&self, outcome: &Result<Credentials, NoCredentials>, now: DateTime<Utc>) {
        let mut state = self.state();
        state.fetches += 1;
        state.failure = outcome.as_ref().err().cloned();
        let Ok(credentials) = outcome else { return };
        let is_same = state.at_hand.as_ref().is_some_and(|before| before.credentials.key.id == credentials.key.id);
        if !is_same {
            tracing::info!(
                key = %credentials.key.masked(),
                identity = credentials.arn.as_deref(),
                expires_at = credentials.expires_at.map(rfc3339_seconds),
                "credentials come from the {}", credentials.origin()
            );
        }
        state.source = Some(credentials.source);
        state.at_hand = Some(AtHand { stale_at: stale_at(credentials, now), credentials: credentials.clone() });
    }

    fn fetches(&self) -> u64 {
        self.state().fetches
    }

    /// Never locked across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A quarter of an hour before expiry, or a quarter of the lifetime if that is less.
fn stale_at(credentials: &Credentials, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let end = credentials.expires_at?;
    let life = (end - now).to_std().unwrap_or_default();
    Some(end - (life / 4).min(Duration::from_mins(15)))
}
