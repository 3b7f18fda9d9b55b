//! Executes one call: credentials, signature, rate limit, HTTP exchange, response. It never repeats a call.

use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    CloudOptions, acs3,
    actions::{GetCallerIdentity, ListImage},
    answer::{self, ApiResponse},
    authorities::AuthoritiesError,
    credentials::{CredentialProvider, Environment, FailedRenewal, KeyHosts, NoCredentials},
    endpoint::{Endpoint, EndpointError, Endpoints},
    http::{Http, HttpError, Incoming, Method, Outgoing},
    key_owner::KeyOwner,
    key_watch::{KeyWatch, Turn},
    outage::{OutageWatch, Probe},
    proxy::{ProxyError, ProxySettings},
    request::{CloudCall, Product, RpcRequest},
    signing::{AccessKey, Stamp, signed_headers},
    text_faults::TextFaults,
    throttle::Throttle,
};
use crate::adapters::secrets::KnownSecrets;
use crate::domain::{
    api::{
        call::{ApiError, CREDENTIALS_UNAVAILABLE, ErrorClass},
        codes::Idempotency,
        mode::Mode,
    },
    clock::{
        Clock,
        watch::{self, ClockWatch, Sent},
    },
};

/// Maximum size of a response to an unsigned request: an error has a few lines, a page of a proxy may be longer.
const GREETING_LIMIT: usize = 256 * 1024;

/// Creates a new nonce for every call: at least 128 random bits as text.
pub type NonceSource = Arc<dyn Fn() -> String + Send + Sync>;

/// Random nonces.
pub fn random_nonces() -> NonceSource {
    Arc::new(|| uuid::Uuid::new_v4().simple().to_string())
}

/// The client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// A configured endpoint is invalid.
    #[error("cannot use the configured endpoint")]
    Endpoint(#[from] EndpointError),
    /// TLS or the resolver is not available.
    #[error("cannot prepare calls to the cloud")]
    Http(#[from] HttpError),
    /// The proxy of the environment cannot be used.
    #[error("cannot use the proxy of the environment")]
    Proxy(#[from] ProxyError),
    /// The certificates of the environment cannot be used.
    #[error("cannot use the certificates of the environment")]
    Authorities(#[from] AuthoritiesError),
}

/// When a call must not be sent any more. Checked after the wait for the rate limit, right before the request is
/// signed: the wait can be long.
#[derive(Debug, Clone)]
pub struct Gate {
    /// First instant: a future slot by the cloud's clock is not baked.
    pub from: DateTime<Utc>,
    /// The last instant.
    pub until: DateTime<Utc>,
    /// Cancelled when the daemon starts no further calls.
    pub closing: CancellationToken,
}

/// Why a call behind a [`Gate`] has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// It failed.
    Refused(ApiError),
    /// It was not sent.
    NotSent,
}

impl From<ApiError> for Unanswered {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

/// Parameters of every request.
pub(super) struct Ready {
    pub(super) endpoint: Endpoint,
    pub(super) key: AccessKey,
}

/// Response of a host to an unsigned request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeResult {
    /// Time from the first packet to the response, including a new connection.
    pub took: Duration,
    /// Difference of the host's clock to the time of the response; positive if it is ahead of this host's.
    pub skew: Option<TimeDelta>,
}

/// Credentials as people see them: no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialsInUse {
    /// Where they are from.
    pub source: String,
    /// The key's id, masked.
    pub key_id: String,
    /// Whose it is, `acs:ram::…`, where the source reports it or the token service did.
    pub identity: Option<String>,
    /// When the cloud stops accepting them, where that is known.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Client of the WUYING API for one account.
pub struct CloudClient {
    endpoints: Endpoints,
    pub(super) credential_provider: CredentialProvider,
    http: Http,
    throttle: Throttle,
    clock: Arc<dyn Clock>,
    nonce: NonceSource,
    timeout: Duration,
    clocks: ClockWatch,
    outages: Arc<OutageWatch>,
    owner: KeyOwner,
    pub(super) keys: KeyWatch,
    mode: Mode,
    pub(super) text_faults: TextFaults,
    secrets: Arc<KnownSecrets>,
}

impl fmt::Debug for CloudClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudClient").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl CloudClient {
    /// Creates a client without a call. Tests pass their own nonce source instead of [`random_nonces`].
    ///
    /// # Errors
    ///
    /// `CloudError` if an endpoint is invalid or TLS is not available.
    pub fn new(
        options: &CloudOptions,
        environment: Environment,
        clock: Arc<dyn Clock>,
        nonce: NonceSource,
    ) -> Result<Self, CloudError> {
        let http =
            Http::with_authorities(options.connect_timeout, options.proxy.clone(), options.authorities.as_ref())?;
        let endpoints = Endpoints::new(
            &options.region,
            options.endpoint.as_deref(),
            options.ecd_endpoint.as_deref(),
            options.sts_endpoint.as_deref(),
        )?;
        let (sts_region, in_vpc) = environment.sts_region();
        let endpoints = endpoints.with_sts_region(sts_region, in_vpc)?.with_regions(&options.ecd_endpoints)?;
        let hosts = KeyHosts::new(endpoints.tokens().cloned(), options.metadata_endpoint.as_deref())?;
        let secrets = Arc::new(KnownSecrets::default());
        environment.teach(&secrets);
        if let Some(proxy) = &options.proxy {
            proxy.teach(&secrets);
        }
        let credential_provider = CredentialProvider::new(
            options.credentials.clone(),
            environment,
            hosts,
            http.clone(),
            Arc::clone(&clock),
            Arc::clone(&nonce),
            Arc::clone(&secrets),
        );
        Ok(Self {
            endpoints,
            // One watch for the hosts of calls and of keys.
            outages: Arc::clone(credential_provider.outages()),
            owner: KeyOwner::new(Arc::clone(&clock)),
            keys: KeyWatch::new(Arc::clone(&clock)),
            credential_provider,
            http,
            throttle: Throttle::new(options.requests_per_second),
            clocks: ClockWatch::new(Arc::clone(&clock)),
            clock,
            nonce,
            timeout: options.timeout,
            mode: options.mode,
            text_faults: TextFaults::default(),
            secrets,
        })
    }

    /// Host of calls of this product.
    ///
    /// # Errors
    ///
    /// `ApiError` if the region gives no valid host name.
    pub fn endpoint(&self, product: &Product) -> Result<Endpoint, ApiError> {
        self.endpoints.of(product).map_err(|error| misdirected(&error))
    }

    /// Lets the next `calls` calls pass the rate limit without a wait: for a command that makes a few of different actions.
    pub fn allow_at_once(&self, calls: u32) {
        self.throttle.allow(calls);
    }

    /// The proxy of encrypted calls, by its host and port.
    pub fn proxy(&self) -> Option<&str> {
        self.http.proxy().map(ProxySettings::host)
    }

    /// Entries of its exceptions that no host matches.
    pub fn void_exceptions(&self) -> Vec<&str> {
        self.http.proxy().map(ProxySettings::void_exceptions).unwrap_or_default()
    }

    /// Calls a host without a signature: any response shows that name, network and TLS work, and the host's time.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn probe(&self, endpoint: &Endpoint) -> Result<ProbeResult, ApiError> {
        self.throttle.wait().await;
        let started = Instant::now();
        let outgoing = Outgoing {
            method: Method::GET,
            url: &endpoint.url(""),
            headers: &[("accept".to_owned(), "application/json".to_owned())],
            body: String::new(),
            timeout: self.timeout,
            limit: GREETING_LIMIT,
            direct: endpoint.is_loopback(),
        };
        let sent = self.clock.now();
        let incoming =
            self.http.send(outgoing).await.map_err(|error| answer::unanswered(&error, Idempotency::Idempotent))?;
        // Only for diagnosis: nothing shows that this is the cloud's own response.
        let skew = answer::server_date(&incoming).map(|date| watch::skew(sent, self.clock.now(), date));
        Ok(ProbeResult { took: started.elapsed(), skew })
    }

    /// The last used credentials; `None` before the first request.
    pub fn credentials_in_use(&self) -> Option<CredentialsInUse> {
        let credentials = self.credential_provider.at_hand()?;
        Some(CredentialsInUse {
            source: credentials.origin(),
            key_id: credentials.key.masked(),
            identity: credentials.arn.or_else(|| self.owner.arn(&credentials.key.id)),
            expires_at: credentials.expires_at,
        })
    }

    /// Why the credentials in use, which serve still, are not renewed.
    pub fn failed_renewal(&self) -> Option<FailedRenewal> {
        self.credential_provider.failed_renewal()
    }

    /// The secrets that it knows or knew, for masking them in what other programs print.
    pub fn secrets(&self) -> &KnownSecrets {
        &self.secrets
    }

    /// Fetches the credentials, if they are not at hand.
    ///
    /// # Errors
    ///
    /// `ApiError` if there are none.
    pub async fn fetch_credentials(&self) -> Result<(), ApiError> {
        self.credential_provider.get().await.map(drop).map_err(|error| unavailable(&error))
    }

    /// Whether [`Self::learn_owner`] is to be called now: the source did not say whose the key is.
    pub fn take_owner_question(&self) -> bool {
        let at_hand = self.credential_provider.at_hand();
        at_hand.is_some_and(|credentials| credentials.arn.is_none() && self.owner.take(&credentials.key.id))
    }

    /// Has an unknown owner of the key asked for again: the cloud accepts the key, or answers, after it did not.
    pub fn ask_owner_again(&self) {
        self.owner.ask_again();
    }

    /// Asks the token service whose the key at hand is, for those who read `status`: once for each key, outside of the rate
    /// limit. No bake waits for it, and a failure means nothing.
    pub async fn learn_owner(&self) {
        let Some(credentials) = self.credential_provider.at_hand() else { return };
        let key = credentials.key;
        let request = GetCallerIdentity.request();
        let Ok(endpoint) = self.endpoints.of(&request.product) else { return };
        let (started, turn) = (Instant::now(), self.keys.turn());
        let outcome = self.exchange::<GetCallerIdentity>(&request, &Ready { endpoint, key: key.clone() }).await;
        report(request.action, &outcome, started.elapsed());
        if let Ok(answer) = &outcome {
            let (key_id, arn) = (key.masked(), answer.value.arn.clone());
            tracing::info!(key = %key_id, identity = arn, "the key {key_id} belongs to {arn}");
            self.owner.answered(&key.id, arn);
        } else {
            // A service that accepts the key does not show that the image service does.
            self.keys.note(&request.product, turn, &outcome);
        }
    }

    /// Rereads the credentials, after an error of class `Credential`.
    ///
    /// # Errors
    ///
    /// `ApiError` if there are none.
    pub async fn refresh_credentials(&self) -> Result<(), ApiError> {
        self.credential_provider.refresh().await.map(drop).map_err(|error| unavailable(&error))
    }

    /// Rereads the credentials after a call was rejected for them. `Ok`: it is sent again. `Err`: what it met, which is an
    /// outage if the service that gives the credentials does not answer: new ones may be good.
    ///
    /// # Errors
    ///
    /// `ApiError` if there are no new credentials.
    pub async fn renew_after(&self, rejection: &ApiError) -> Result<(), ApiError> {
        match self.refresh_credentials().await {
            Err(error) if error.is_outage() && !rejection.is_clock() => Err(error),
            Err(_) => Err(rejection.clone()),
            Ok(()) => Ok(()),
        }
    }

    /// Sends any call of the API, once.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn call<C: CloudCall>(&self, call: &C) -> Result<ApiResponse<C::Value>, ApiError> {
        let request = call.request();
        let started = (Instant::now(), self.keys.turn());
        let outcome = match self.prepare(&request).await {
            Ok(ready) => self.exchange::<C>(&request, &ready).await,
            Err(error) => Err(error),
        };
        self.note(&request, outcome, started)
    }

    /// Sends a call with side effects, once, unless `gate` is closed after the wait for the rate limit.
    ///
    /// # Errors
    ///
    /// `Unanswered` if the call fails, or was not sent because `gate` is closed.
    pub async fn call_behind<C: CloudCall>(&self, call: &C, gate: &Gate) -> Result<ApiResponse<C::Value>, Unanswered> {
        let request = call.request();
        let started = (Instant::now(), self.keys.turn());
        let prepared = tokio::select! {
            biased;
            () = gate.closing.cancelled() => return Err(Unanswered::NotSent),
            prepared = self.prepare(&request) => prepared,
        };
        let outcome = match prepared {
            Ok(ready) => {
                if !self.clocks.is_compared() {
                    self.ask_for_the_time().await;
                }
                let is_too_early = self.clocks.cloud_now() < gate.from;
                if gate.closing.is_cancelled() || is_too_early || self.bake_time() > gate.until {
                    return Err(Unanswered::NotSent);
                }
                self.exchange::<C>(&request, &ready).await
            }
            Err(error) => Err(error),
        };
        Ok(self.note(&request, outcome, started)?)
    }

    /// Whether calls that change something go out.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Where to, when, and signed with what. Every call passes here: none that changes something goes out in observe mode.
    async fn prepare(&self, request: &RpcRequest) -> Result<Ready, ApiError> {
        if self.mode.is_observe() && !request.only_reads() {
            return Err(not_in_observe(request.action));
        }
        let endpoint = self.endpoints.of(&request.product).map_err(|error| misdirected(&error))?;
        // The wait comes first, so that neither key nor date becomes old in the queue.
        self.throttle.wait().await;
        let credentials = self.credential_provider.get().await.map_err(|error| unavailable(&error))?;
        Ok(Ready { endpoint, key: credentials.key })
    }

    pub(super) async fn exchange<C: CloudCall>(
        &self,
        request: &RpcRequest,
        ready: &Ready,
    ) -> Result<ApiResponse<C::Value>, ApiError> {
        let Ready { endpoint, key } = ready;
        let body = request.form.as_ref().map(|form| acs3::canonical_query(form.as_slice())).unwrap_or_default();
        let stamp = Stamp { at: self.clock.now(), nonce: (self.nonce)() };
        let headers = signed_headers(request, endpoint.authority(), key, &body, &stamp);
        let outgoing = Outgoing {
            method: Method::POST,
            url: &endpoint.url(&acs3::canonical_query(request.query.as_slice())),
            headers: &headers,
            body,
            timeout: self.timeout,
            limit: request.answer_limit,
            direct: endpoint.is_loopback(),
        };
        let (sent, sent_at) = (self.clocks.sent(), self.outages.sent());
        let answer = match self.http.send(outgoing).await {
            Ok(mut incoming) => {
                let mut answer = answer::read::<C>(&incoming, request.repeat);
                // What refuses a call may repeat it, with its token.
                if answer.is_err() && self.secrets.blot(&mut incoming.body) {
                    answer = answer::read::<C>(&incoming, request.repeat);
                }
                self.compare_clocks(sent, &incoming, &answer);
                answer.map_err(|error| self.named(error, endpoint))
            }
            Err(error) => Err(answer::unanswered(&error, request.repeat)),
        };
        self.outages.note(&request.product, endpoint.authority(), sent_at, &answer);
        answer
    }

    /// Names who answered in place of the cloud.
    fn named(&self, mut error: ApiError, endpoint: &Endpoint) -> ApiError {
        if answer::is_foreign(&error) {
            let proxy = self.http.proxy().filter(|proxy| endpoint.is_encrypted() && proxy.serves(endpoint.authority()));
            let through = proxy.map(|proxy| format!(" through the proxy {}", proxy.host())).unwrap_or_default();
            error.message = answer::one_line(&format!("{}{through} answered {}", endpoint.authority(), error.message));
        }
        error
    }

    /// Applies a delay that the server asked for to all calls, and records the result.
    fn note<T>(
        &self,
        request: &RpcRequest,
        outcome: Result<ApiResponse<T>, ApiError>,
        (started, turn): (Instant, Turn),
    ) -> Result<ApiResponse<T>, ApiError> {
        if let Err(ApiError { retry_after: Some(delay), .. }) = &outcome {
            self.throttle.pause(*delay);
        }
        if let Ok(answer) = &outcome {
            self.text_faults.texts(request.action, answer.replaced_texts);
        }
        self.keys.note(&request.product, turn, &outcome);
        report(request.action, &outcome, started.elapsed());
        outcome
    }

    /// Compares this host's clock with the cloud's. A proxy has its own clock: only responses with a RequestId count.
    /// Rejections of a stale date have the right date.
    fn compare_clocks<T>(&self, sent: Sent, incoming: &Incoming, answer: &Result<ApiResponse<T>, ApiError>) {
        let is_the_clouds = match answer {
            Ok(answer) => answer.request_id.is_some(),
            Err(error) => error.request_id.is_some(),
        };
        if let (true, Some(date)) = (is_the_clouds, answer::server_date(incoming)) {
            self.clocks.answered(sent, date);
        }
    }

    /// The time of bakes: the cloud's if this host's clock is ahead of it, so that a clock that was set forward ends no
    /// wait and no deadline.
    pub fn bake_time(&self) -> DateTime<Utc> {
        self.clocks.cloud_now().min(self.clock.now())
    }

    /// The clock watch.
    pub fn clocks(&self) -> &ClockWatch {
        &self.clocks
    }

    /// Hosts that do not respond.
    pub fn outages(&self) -> &OutageWatch {
        &self.outages
    }

    /// Sends something cheap to a host that does not respond, so that [`Self::outages`] can detect a response.
    pub async fn probe_outage(&self, probe: Probe) {
        match probe {
            Probe::Credentials => self.credential_provider.probe().await,
            Probe::Call(product) => drop(self.ask_cheaply(&product).await),
        }
    }

    /// Lists one image for the Date of the response, if needed and not requested recently. Any response of the cloud
    /// has it, including errors.
    pub async fn ask_for_the_time(&self) {
        if self.clocks.may_ask() {
            let _ = self.list_images(&ListImage::of_one()).await;
        }
    }

    /// Difference to the cloud's clock at the last response, if that is more than a minute.
    pub fn clock_skew(&self) -> Option<TimeDelta> {
        self.clocks.skew()
    }
}

fn report<T>(action: &str, outcome: &Result<ApiResponse<T>, ApiError>, took: Duration) {
    let (http_status, code, request_id) = match outcome {
        Ok(answer) => (Some(answer.http_status), answer.code.as_deref(), answer.request_id.as_deref()),
        Err(error) => (error.http_status, error.code.as_deref(), error.request_id.as_deref()),
    };
    let duration_ms = took.as_millis();
    tracing::debug!(action, http_status, code, request_id, duration_ms, ok = outcome.is_ok(), "cloud call");
}

fn unavailable(error: &NoCredentials) -> ApiError {
    if let Some(service) = &error.service {
        return ApiError { message: answer::one_line(&error.to_string()), ..service.error.clone() };
    }
    ApiError {
        class: ErrorClass::Credential,
        code: Some(CREDENTIALS_UNAVAILABLE.to_owned()),
        message: answer::one_line(&error.to_string()),
        advice: if error.is_final {
            "Fix it, or choose another source with `credentials` in [cloud].".into()
        } else {
            "Provide an access key by one of these ways.".into()
        },
        http_status: None,
        request_id: None,
        retry_after: None,
    }
}

fn not_in_observe(action: &str) -> ApiError {
    ApiError {
        class: ErrorClass::Permanent,
        code: Some("ObserveOnly".to_owned()),
        message: format!("{action} would change the cloud, and the daemon only observes"),
        advice: "Set [daemon] mode to \"act\" and restart the daemon.".into(),
        http_status: None,
        request_id: None,
        retry_after: None,
    }
}

/// Nothing was sent, and nothing will be until the region is fixed.
fn misdirected(error: &EndpointError) -> ApiError {
    ApiError {
        class: ErrorClass::Permanent,
        code: Some("ConnectFailed".to_owned()),
        message: answer::one_line(&error.to_string()),
        advice: "Check the region of the instance.".into(),
        http_status: None,
        request_id: None,
        retry_after: None,
    }
}
