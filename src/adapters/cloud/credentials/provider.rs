//! The credentials of all calls: fetched once, renewed before they expire, by one call for all.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{
    chain::{Chain, KeyHosts},
    types::{Credentials, FailedRenewal, NoCredentials, ServiceError, SourceName},
    variables::Environment,
};
use crate::{
    adapters::{
        cloud::{http::Http, outage::OutageWatch},
        secrets::KnownSecrets,
    },
    domain::{api::credential_source::CredentialSource, clock::Clock, time::rfc3339_seconds},
};

/// Pause after a failed renewal, so that a source that is down does not slow every call.
const PAUSE: Duration = Duration::from_secs(30);
/// Maximum pause that the source may ask for: keys have a quarter of an hour left then.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Provides current credentials.
pub struct CredentialProvider {
    chain: Chain,
    clock: Arc<dyn Clock>,
    outages: Arc<OutageWatch>,
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
    /// When the first of the fetches failed that have failed since the last good one.
    failing_since: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
struct AtHand {
    credentials: Credentials,
    stale_at: Option<DateTime<Utc>>,
    /// The cloud rejected them, so that they do not bridge an outage of their source.
    is_rejected: bool,
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
    /// Creates a provider without reading a source. `nonce` makes signed requests to the token service unique; `secrets` gets
    /// all that it reads.
    pub fn new(
        choice: CredentialSource,
        environment: Environment,
        hosts: KeyHosts,
        http: Http,
        clock: Arc<dyn Clock>,
        nonce: Arc<dyn Fn() -> String + Send + Sync>,
        secrets: Arc<KnownSecrets>,
    ) -> Self {
        let chain = Chain::new(choice, environment, hosts, http, Arc::clone(&clock), nonce, secrets);
        let outages = Arc::new(OutageWatch::new(Arc::clone(&clock)));
        Self { chain, clock, outages, state: Mutex::default(), fetching: tokio::sync::Mutex::new(()) }
    }

    /// The state of the services that give keys.
    pub fn outages(&self) -> &Arc<OutageWatch> {
        &self.outages
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
            return self.fetch(seen, None).await;
        };
        if at_hand.is_fresh(now) {
            return Ok(at_hand.credentials);
        }
        let seen = self.fetches();
        let Ok(turn) = self.fetching.try_lock() else { return Ok(at_hand.credentials) };
        let serves_until = at_hand.credentials.expires_at.filter(|_| !at_hand.is_rejected);
        match self.fetch_in_turn(&turn, seen, serves_until).await {
            Ok(fresh) => Ok(fresh),
            Err(error) => {
                tracing::warn!(%error, "credentials cannot be renewed yet");
                let credentials = at_hand.credentials.clone();
                let asked = error.service.and_then(|service| service.error.retry_after).unwrap_or_default();
                let stale_at = Some(self.clock.now() + asked.clamp(PAUSE, LONGEST_PAUSE));
                self.state().at_hand = Some(AtHand { credentials: credentials.clone(), stale_at, ..at_hand });
                Ok(credentials)
            }
        }
    }

    /// The credentials at hand.
    pub fn at_hand(&self) -> Option<Credentials> {
        self.state().at_hand.as_ref().map(|at_hand| at_hand.credentials.clone())
    }

    /// Why the credentials at hand, which serve still, are not renewed. An outage of their service is reported by
    /// [`Self::outages`].
    pub fn failed_renewal(&self) -> Option<FailedRenewal> {
        let now = self.clock.now();
        let state = self.state();
        let at_hand = state.at_hand.as_ref().filter(|at_hand| at_hand.is_valid(now) && !at_hand.is_rejected)?;
        let until = at_hand.credentials.expires_at?;
        let is_outage = |failure: &&NoCredentials| failure.service.as_ref().is_some_and(|service| service.is_outage());
        let failure = state.failure.as_ref().filter(|failure| !is_outage(failure))?;
        Some(FailedRenewal { since: state.failing_since.unwrap_or(now), until, error: failure.last_reason() })
    }

    /// Reads the source anew, after the cloud rejected the credentials at hand; many rejections at once read it once.
    ///
    /// # Errors
    ///
    /// `NoCredentials` if there are none. Those at hand stay.
    pub async fn refresh(&self) -> Result<Credentials, NoCredentials> {
        if let Some(at_hand) = &mut self.state().at_hand {
            at_hand.is_rejected = true;
        }
        let seen = self.fetches();
        self.fetch(seen, None).await
    }

    /// The same without a rejection, to find out whether the service that gives the keys answers again. Those at hand
    /// serve meanwhile if they are accepted still.
    pub async fn probe(&self) {
        let now = self.clock.now();
        let at_hand = self.state().at_hand.clone().filter(|at_hand| at_hand.is_valid(now) && !at_hand.is_rejected);
        let serves_until = at_hand.and_then(|at_hand| at_hand.credentials.expires_at);
        let seen = self.fetches();
        let _ = self.fetch(seen, serves_until).await;
    }

    /// Reads the source anew beside the credentials at hand, which stay. `None`: they are the same, or keys that are renewed by
    /// themselves.
    ///
    /// # Errors
    ///
    /// `NoCredentials` if there are none.
    pub async fn reread(&self) -> Result<Option<Credentials>, NoCredentials> {
        let (at_hand, source) = {
            let state = self.state();
            (state.at_hand.clone(), state.source)
        };
        if at_hand.as_ref().is_some_and(|at_hand| at_hand.credentials.expires_at.is_some() && !at_hand.is_rejected) {
            return Ok(None);
        }
        let found = self.chain.fetch(self.chain.chosen().or(source), self.clock.now()).await?;
        Ok(Some(found).filter(|found| !at_hand.is_some_and(|at_hand| at_hand.credentials.key.is_same(&found.key))))
    }

    /// Takes credentials that were read again in place of those at hand.
    pub fn take_over(&self, credentials: Credentials) {
        self.keep(&Ok(credentials), self.clock.now());
    }

    /// Why an edit of this source counts at the next start only, where that is so.
    pub fn fixed(&self, source: SourceName) -> Option<&'static str> {
        self.chain.fixed(source)
    }

    /// Waits for the turn to fetch; the result of another call that fetched since `seen` is good for this one, too.
    async fn fetch(&self, seen: u64, serves_until: Option<DateTime<Utc>>) -> Result<Credentials, NoCredentials> {
        let turn = self.fetching.lock().await;
        self.fetch_in_turn(&turn, seen, serves_until).await
    }

    async fn fetch_in_turn(
        &self,
        _turn: &tokio::sync::MutexGuard<'_, ()>,
        seen: u64,
        serves_until: Option<DateTime<Utc>>,
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
        let sent = self.outages.sent();
        let mut outcome = self.chain.fetch(self.chain.chosen().or(until_now), now).await;
        if let (Err(error @ NoCredentials { service: None, .. }), None, Some(_)) =
            (&mut outcome, self.chain.chosen(), until_now)
        {
            for (_, why) in &mut error.reasons {
                why.push_str(" (the source since the start; no other one takes over before a restart)");
            }
        }
        let outage = outcome.as_ref().err().and_then(|error| error.service.as_deref());
        match outage.filter(|service| service.is_outage()) {
            Some(ServiceError { host, error }) => self.outages.keys_unanswered(host, sent, error, serves_until),
            None => self.outages.keys_answered(sent),
        }
        self.keep(&outcome, now);
        outcome
    }

    fn keep(&self, outcome: &Result<Credentials, NoCredentials>, now: DateTime<Utc>) {
        let mut state = self.state();
        state.fetches += 1;
        state.failure = outcome.as_ref().err().cloned();
        state.failing_since = state.failure.as_ref().map(|_| state.failing_since.unwrap_or(now));
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
        let stale_at = stale_at(credentials, now);
        state.at_hand = Some(AtHand { credentials: credentials.clone(), stale_at, is_rejected: false });
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
