//! Outages of the cloud's hosts, detected by the daemon's own calls only.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::request::Product;
use crate::domain::{
    api::call::{ApiError, ErrorClass},
    clock::{Clock, earlier},
    health::outage::{Outage, Purpose},
    time::show_length,
};

/// Maximum time between two calls to a host that does not respond: waiting bakes are woken by its first response.
const PROBE_AGAIN: Duration = Duration::from_secs(15);

/// What finds out whether a host answers again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A cheap call of this product.
    Call(Product),
    /// A request for the credentials.
    Credentials,
}

/// Instant of a call, by the time since boot.
#[derive(Debug, Clone, Copy)]
pub struct SentAt(Duration);

/// State of all hosts.
pub struct OutageWatch {
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// A simulator is the host of calls and of keys: it is in both.
    hosts: HashMap<String, Host>,
    keys: HashMap<String, Host>,
    /// Number of ended outages.
    ended: u64,
}

struct Host {
    probe: Probe,
    /// Instant of the last answered call.
    answered: Option<Duration>,
    unanswered: Option<Unanswered>,
}

struct Unanswered {
    since: DateTime<Utc>,
    /// Instant of the first unanswered call, by the time since boot.
    began: Duration,
    /// Instant at which the last one failed.
    last: Duration,
    error: String,
    /// Until when calls go on in spite of it.
    bridged_until: Option<DateTime<Utc>>,
}

impl fmt::Debug for OutageWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutageWatch").finish_non_exhaustive()
    }
}

impl OutageWatch {
    /// Starts without hosts.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, seen: Mutex::default() }
    }

    /// Records that a call is about to be sent.
    pub fn sent(&self) -> SentAt {
        SentAt(self.clock.boottime())
    }

    /// Records the result of a call. A response with a RequestId is the cloud's own, errors included; a proxy's has
    /// none. No bake needs the calls of the token service: they count nothing.
    pub fn note<T>(&self, product: &Product, host: &str, sent: SentAt, outcome: &Result<T, ApiError>) {
        if *product == Product::Sts {
            return;
        }
        let (mut seen, now) = (self.seen(), self.now());
        let Seen { hosts, ended, .. } = &mut *seen;
        let known = hosts.entry(host.to_owned()).or_insert_with(|| Host::new(Probe::Call(product.clone())));
        match outcome {
            Err(error) if error.request_id.is_none() => {
                // An invalid request, and one without keys, was not sent.
                if error.class != ErrorClass::Permanent {
                    known.unanswered(host, sent, now, error.describe(), None);
                }
            }
            _ => *ended += u64::from(known.answered(host, sent)),
        }
    }

    /// Records that the service of the credentials at `host` gave none, and does not refuse them either. The keys at hand
    /// serve until `bridged_until`.
    pub fn keys_unanswered(&self, host: &str, sent: SentAt, error: &ApiError, bridged_until: Option<DateTime<Utc>>) {
        let (mut seen, now) = (self.seen(), self.now());
        let Seen { keys, ended, .. } = &mut *seen;
        // Whoever gives the keys that this one is asked with has answered.
        for (other, known) in keys.iter_mut().filter(|(other, _)| *other != host) {
            *ended += u64::from(known.answered(other, sent));
        }
        let advice = error.advice.trim();
        let text = if advice.is_empty() { error.message.clone() } else { format!("{} ({advice})", error.message) };
        let known = keys.entry(host.to_owned()).or_insert_with(|| Host::new(Probe::Credentials));
        known.unanswered(host, sent, now, text, bridged_until);
    }

    /// Records that there are credentials, or that their service refuses them.
    pub fn keys_answered(&self, sent: SentAt) {
        let mut seen = self.seen();
        let Seen { keys, ended, .. } = &mut *seen;
        for (host, known) in keys.iter_mut() {
            *ended += u64::from(known.answered(host, sent));
        }
    }

    /// Hosts that do not respond, by name.
    pub fn outages(&self) -> Vec<Outage> {
        let (seen, (now, boottime)) = (self.seen(), self.now());
        let outage = |(host, known): (&String, &Host)| {
            let Unanswered { since, began, error, bridged_until, .. } = known.unanswered.as_ref()?;
            let purpose = match known.probe {
                Probe::Call(_) => Purpose::Calls,
                Probe::Credentials => {
                    Purpose::Credentials { bridged_until: bridged_until.filter(|&until| now < until) }
                }
            };
            let (host, lasted) = (host.clone(), boottime.saturating_sub(*began));
            Some(Outage { host, since: *since, lasted, error: error.clone(), purpose })
        };
        let mut outages: Vec<_> = seen.hosts.iter().chain(&seen.keys).filter_map(outage).collect();
        outages.sort_by(|a, b| (&a.host, b.lasted).cmp(&(&b.host, a.lasted)));
        outages.dedup_by(|second, first| second.host == first.host);
        outages
    }

    /// Number of ended outages since the start: when it grows, bakes that wait for the cloud are due.
    pub fn ended(&self) -> u64 {
        self.seen().ended
    }

    /// Probes of hosts that do not respond and have not been called recently; each counts as called now.
    pub fn take_probes(&self) -> Vec<Probe> {
        let (mut seen, (_, boottime)) = (self.seen(), self.now());
        let Seen { hosts, keys, .. } = &mut *seen;
        let due = hosts.values_mut().chain(keys.values_mut()).filter_map(|known| {
            let outage = known.unanswered.as_mut()?;
            if boottime.saturating_sub(outage.last) < PROBE_AGAIN {
                return None;
            }
            outage.last = boottime;
            Some(known.probe.clone())
        });
        due.collect()
    }

    fn now(&self) -> (DateTime<Utc>, Duration) {
        (self.clock.now(), self.clock.boottime())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    fn new(probe: Probe) -> Self {
        Self { probe, answered: None, unanswered: None }
    }

    /// Whether this ends an outage.
    fn answered(&mut self, host: &str, sent: SentAt) -> bool {
        self.answered = self.answered.max(Some(sent.0));
        // The response to a call from before the outage does not end it.
        let Some(outage) = self.unanswered.take_if(|outage| outage.began <= sent.0) else { return false };
        let lasted = show_length(Duration::from_secs(sent.0.saturating_sub(outage.began).as_secs()));
        tracing::info!(host, since = %outage.since, "{host} answers again after {lasted}");
        true
    }

    fn unanswered(
        &mut self,
        host: &str,
        sent: SentAt,
        (now, boottime): (DateTime<Utc>, Duration),
        error: String,
        bridged_until: Option<DateTime<Utc>>,
    ) {
        // A later call has been answered meanwhile.
        if self.answered.is_some_and(|answered| answered > sent.0) {
            return;
        }
        if let Some(outage) = &mut self.unanswered {
            (outage.last, outage.error, outage.bridged_until) = (boottime, error, bridged_until);
            return;
        }
        tracing::warn!(host, reason = error, "{host} does not answer: {error}");
        let since = earlier(now, boottime.saturating_sub(sent.0));
        self.unanswered = Some(Unanswered { since, began: sent.0, last: boottime, error, bridged_until });
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::clock::ManualClock;

    fn error(code: &str, request_id: Option<&str>) -> Result<(), ApiError> {
        Err(ApiError {
            class: ErrorClass::Transient,
            code: Some(code.to_owned()),
            message: "no".to_owned(),
            advice: "".into(),
            http_status: None,
            request_id: request_id.map(str::to_owned),
            retry_after: None,
        })
    }

    fn watch() -> (ManualClock, OutageWatch) {
        let clock = ManualClock::at("2026-11-26T03:00:00Z".parse().unwrap());
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        (clock, OutageWatch::new(shared))
    }

    #[test]
    fn an_outage_begins_with_the_first_call_without_an_answer_and_ends_with_an_answer_of_the_cloud_itself() {
        let (clock, watch) = watch();
        let (product, began) = (Product::AppStreaming, clock.now());
        assert_eq!(watch.outages(), [], "no call was made");
        let sent = watch.sent();
        clock.advance(TimeDelta::seconds(30));
        watch.note(&product, "host", sent, &error("Timeout", None));
        clock.advance(TimeDelta::seconds(30));
        watch.note(&product, "host", watch.sent(), &error("AnswerNotJson", None));
        let outages = watch.outages();
        assert_eq!((outages.len(), outages[0].since), (1, began));
        assert_eq!((outages[0].lasted, outages[0].error.as_str()), (Duration::from_mins(1), "AnswerNotJson: no"));
        assert_eq!(watch.ended(), 0);

        watch.note(&product, "another", watch.sent(), &Ok(()));
        assert_eq!((watch.outages().len(), watch.ended()), (1, 0), "each host answers for itself");
        watch.note(&product, "host", watch.sent(), &error("Throttling", Some("request")));
        assert_eq!((watch.outages().len(), watch.ended()), (0, 1), "an error of the API is an answer");
    }

    #[test]
    fn calls_that_overtake_each_other_neither_begin_nor_end_an_outage() {
        let (clock, watch) = watch();
        let product = Product::AppStreaming;
        let early = watch.sent();
        clock.advance(TimeDelta::seconds(1));
        watch.note(&product, "host", watch.sent(), &Ok(()));
        watch.note(&product, "host", early, &error("Timeout", None));
        assert_eq!(watch.outages(), [], "a later call was answered");
        clock.advance(TimeDelta::seconds(1));
        watch.note(&product, "host", watch.sent(), &error("ConnectFailed", None));
        watch.note(&product, "host", early, &Ok(()));
        assert_eq!((watch.outages().len(), watch.ended()), (1, 0), "the answer is older than the outage");
    }

    #[test]
    fn a_host_that_does_not_answer_is_called_again_and_no_other_is() {
        let (clock, watch) = watch();
        watch.note(&Product::AppStreaming, "host", watch.sent(), &error("ConnectFailed", None));
        watch.note(&desktops(), "another", watch.sent(), &Ok(()));
        assert_eq!(watch.take_probes(), []);
        clock.advance(TimeDelta::seconds(15));
        assert_eq!(watch.take_probes(), [Probe::Call(Product::AppStreaming)]);
        assert_eq!(watch.take_probes(), [], "one probe at a time");
        watch.note(&Product::Sts, "sts", watch.sent(), &error("ConnectFailed", None));
        assert_eq!(watch.outages().len(), 1, "no bake needs the calls of the token service");
    }

    fn desktops() -> Product {
        Product::Desktops { region: "cn-shanghai".to_owned() }
    }

    #[test]
    fn a_service_of_keys_is_an_outage_of_its_own_beside_the_calls_to_the_same_host() {
        let (clock, watch) = watch();
        let error = error("CredentialsUnreachable", None).unwrap_err();
        let end = clock.now() + TimeDelta::minutes(10);
        let bridged = || watch.outages().iter().map(|outage| (outage.host.clone(), outage.purpose)).collect::<Vec<_>>();
        watch.keys_unanswered("sim", watch.sent(), &error, Some(end));
        watch.note(&Product::AppStreaming, "sim", watch.sent(), &Ok(()));
        let purpose = |bridged_until| Purpose::Credentials { bridged_until };
        assert_eq!(bridged(), [("sim".to_owned(), purpose(Some(end)))], "a call is no answer of the service");
        clock.advance(TimeDelta::minutes(10));
        assert_eq!(bridged(), [("sim".to_owned(), purpose(None))], "the key at hand has ended");
        assert_eq!(watch.take_probes(), [Probe::Credentials]);

        // The machine's keys are there again; now the token service, which is asked with them, is down.
        watch.keys_unanswered("sts", watch.sent(), &error, None);
        assert_eq!((bridged(), watch.ended()), (vec![("sts".to_owned(), purpose(None))], 1));
        watch.keys_answered(watch.sent());
        assert_eq!((watch.outages(), watch.ended()), (Vec::new(), 2));
    }
}
