//! Outages of the cloud's hosts, detected by the daemon's own calls only.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::request::Product;
use crate::domain::{
    api::call::{ApiError, ErrorClass},
    clock::{Clock, earlier},
    health::outage::Outage,
};

/// Maximum time between two calls to a host that does not respond: waiting bakes are woken by its first response.
const PROBE_AGAIN: Duration = Duration::from_secs(15);

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
    hosts: HashMap<String, Host>,
    /// Number of ended outages.
    ended: u64,
}

struct Host {
    /// A product of the host, for the probe.
    product: Product,
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
    /// none.
    pub fn note<T>(&self, product: &Product, host: &str, sent: SentAt, outcome: &Result<T, ApiError>) {
        match outcome {
            Err(error) if error.request_id.is_none() => {
                // An invalid request was not sent.
                if error.class != ErrorClass::Permanent {
                    self.unanswered(product, host, sent, error);
                }
            }
            _ => self.answered(product, host, sent),
        }
    }

    fn answered(&self, product: &Product, host: &str, sent: SentAt) {
        self.with(product, host, |known, ended, _| {
            known.answered = known.answered.max(Some(sent.0));
            // The response to a call from before the outage does not end it.
            let Some(outage) = known.unanswered.take_if(|outage| outage.began <= sent.0) else { return };
            *ended += 1;
            let lasted = humantime::format_duration(Duration::from_secs(sent.0.saturating_sub(outage.began).as_secs()));
            tracing::info!(host, since = %outage.since, "{host} answers again after {lasted}");
        });
    }

    fn unanswered(&self, product: &Product, host: &str, sent: SentAt, error: &ApiError) {
        let now = self.clock.now();
        self.with(product, host, |known, _, boottime| {
            // A later call has been answered meanwhile.
            if known.answered.is_some_and(|answered| answered > sent.0) {
                return;
            }
            let error = error.describe();
            if let Some(outage) = &mut known.unanswered {
                outage.last = boottime;
                outage.error = error;
                return;
            }
            tracing::warn!(host, reason = error, "{host} does not answer: {error}");
            let since = earlier(now, boottime.saturating_sub(sent.0));
            known.unanswered = Some(Unanswered { since, began: sent.0, last: boottime, error });
        });
    }

    /// Hosts that do not respond, by name.
    pub fn outages(&self) -> Vec<Outage> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let boottime = self.clock.boottime();
        let outage = |(host, known): (&String, &Host)| {
            let Unanswered { since, began, error, .. } = known.unanswered.as_ref()?;
            let (host, lasted) = (host.clone(), boottime.saturating_sub(*began));
            Some(Outage { host, since: *since, lasted, error: error.clone() })
        };
        let mut outages: Vec<_> = seen.hosts.iter().filter_map(outage).collect();
        outages.sort_unstable_by(|a, b| a.host.cmp(&b.host));
        outages
    }

    /// Number of ended outages since the start: when it grows, bakes that wait for the cloud are due.
    pub fn ended(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).ended
    }

    /// Products of hosts that do not respond and have not been called recently; counts as a probe.
    pub fn take_probes(&self) -> Vec<Product> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let boottime = self.clock.boottime();
        let due = seen.hosts.values_mut().filter_map(|known| {
            let outage = known.unanswered.as_mut()?;
            if boottime.saturating_sub(outage.last) < PROBE_AGAIN {
                return None;
            }
            outage.last = boottime;
            Some(known.product.clone())
        });
        due.collect()
    }

    fn with(&self, product: &Product, host: &str, note: impl FnOnce(&mut Host, &mut u64, Duration)) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen { hosts, ended } = &mut *seen;
        if !hosts.contains_key(host) {
            hosts.insert(host.to_owned(), Host { product: product.clone(), answered: None, unanswered: None });
        }
        if let Some(known) = hosts.get_mut(host) {
            note(known, ended, self.clock.boottime());
        }
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
        watch.note(&Product::Sts, "another", watch.sent(), &Ok(()));
        assert_eq!(watch.take_probes(), []);
        clock.advance(TimeDelta::seconds(15));
        assert_eq!(watch.take_probes(), [Product::AppStreaming]);
        assert_eq!(watch.take_probes(), [], "one probe at a time");
    }
}
