//! One call from end to end: credentials, signature, turn, exchange, answer. Never repeated here.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    CloudOptions, acs3,
    actions::{
        Accepted, CallerIdentity, CreateImageByInstance, CreatedImage, DeleteImage, DeliveryGroup, DescribeDesktops,
        Desktop, DesktopPage, GetCallerIdentity, Image, ImagePage, ListAppInstanceGroup, ListImage, ListWuyingServer,
        Server, ServerPage, StartDesktops, StartTaskForDistributeImage, StartWuyingServer, StopDesktops,
        StopWuyingServer,
    },
    answer::{self, Answer},
    credentials::{Credentials, Keyring, NoCredentials, SourceName, Surroundings},
    endpoint::{Endpoint, EndpointError, Endpoints},
    http::{Http, HttpError, Incoming, Method, Outgoing},
    request::{Call, Product, Repeat, RpcRequest},
    throttle::Throttle,
};
use crate::{
    bake::call::{Class, Refusal},
    clock::Clock,
};

/// Rows asked for at once; the most that the listing calls give.
const PAGE_SIZE: u32 = 100;
/// 100,000 rows: an account with more has no use for these lists, and a server that never ends must not hold us.
const MOST_PAGES: u32 = 1000;
/// An answer to a bare request is an error of a few lines; a page of a proxy may be longer.
const GREETING_LIMIT: usize = 256 * 1024;

/// More than the network and rounding to seconds can explain.
fn is_far(skew: TimeDelta) -> bool {
    skew.abs() > TimeDelta::minutes(1)
}

/// Makes a fresh nonce for every call: at least 128 random bits as text.
pub type NonceSource = Arc<dyn Fn() -> String + Send + Sync>;

/// A nonce source for real use.
pub fn random_nonces() -> NonceSource {
    Arc::new(|| uuid::Uuid::new_v4().simple().to_string())
}

/// The client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// A configured endpoint is wrong.
    #[error("cannot use the configured endpoint")]
    Endpoint(#[from] EndpointError),
    /// TLS or the resolver is not to be had.
    #[error("cannot prepare calls to the cloud")]
    Http(#[from] HttpError),
}

/// When a call must not go out any more. Asked after the wait of the rate limiter, right before the request is signed: much
/// can pass while a thousand calls are ahead.
#[derive(Debug, Clone)]
pub struct Gate {
    /// The last instant.
    pub until: DateTime<Utc>,
    /// Cancelled when the daemon begins nothing new.
    pub closing: CancellationToken,
}

/// Why a call behind a [`Gate`] has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// It did not bring what was asked for.
    Refused(Refusal),
    /// It did not go out.
    NotSent,
}

impl From<Refusal> for Unanswered {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What a request needs besides itself.
struct Ready {
    endpoint: Endpoint,
    credentials: Credentials,
}

/// How a host answered a bare request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// From the first packet to the answer, connection included where there was none.
    pub took: Duration,
    /// The host's clock less ours; it shows whole seconds.
    pub skew: Option<TimeDelta>,
}

/// The WUYING API for one account.
pub struct CloudClient {
    endpoints: Endpoints,
    keyring: Keyring,
    http: Http,
    throttle: Throttle,
    clock: Arc<dyn Clock>,
    nonce: NonceSource,
    timeout: Duration,
    /// The cloud's clock less ours, in milliseconds.
    skew_ms: AtomicI64,
}

impl fmt::Debug for CloudClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudClient").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl CloudClient {
    /// Sets up; talks to nobody yet. The nonce source is [`random_nonces`] but in tests.
    pub fn new(
        options: &CloudOptions,
        surroundings: Surroundings,
        clock: Arc<dyn Clock>,
        nonce: NonceSource,
    ) -> Result<Self, CloudError> {
        let http = Http::new(options.connect_timeout)?;
        Ok(Self {
            endpoints: Endpoints::new(&options.region, options.endpoint.as_deref(), options.ecd_endpoint.as_deref())?,
            keyring: Keyring::new(options.credentials, surroundings, http.clone(), Arc::clone(&clock)),
            http,
            throttle: Throttle::new(options.requests_per_second),
            clock,
            nonce,
            timeout: options.timeout,
            skew_ms: AtomicI64::new(0),
        })
    }

    /// Starts to make an image.
    pub async fn create_image(&self, call: &CreateImageByInstance) -> Result<Answer<CreatedImage>, Refusal> {
        self.call(call).await
    }

    /// One page of images.
    pub async fn list_images(&self, call: &ListImage) -> Result<Answer<ImagePage>, Refusal> {
        self.call(call).await
    }

    /// All images that pass the filter, page by page; the filter's own page number and size are not used. The first
    /// refusal ends it: a part of a list would pass for the whole.
    pub async fn list_all_images(&self, filter: &ListImage) -> Result<Vec<Image>, Refusal> {
        let mut pages = Pages::default();
        for page_number in 1..=MOST_PAGES {
            let page = ListImage { page_number: Some(page_number), page_size: Some(PAGE_SIZE), ..filter.clone() };
            let page = self.list_images(&page).await?.value;
            if pages.take(page.images, page.count, |image| (image.image_id.clone(), image.version_id.clone())) {
                return Ok(pages.rows);
            }
        }
        Err(endless("images"))
    }

    /// All workstations of the account.
    pub async fn list_all_servers(&self) -> Result<Vec<Server>, Refusal> {
        let mut pages = Pages::default();
        for page_number in 1..=MOST_PAGES {
            let page = ListWuyingServer {
                page_number: Some(page_number),
                page_size: Some(PAGE_SIZE),
                ..ListWuyingServer::default()
            };
            let page = self.list_servers(&page).await?.value;
            if pages.take(page.servers, page.total_count, |server| server.id.clone()) {
                return Ok(pages.rows);
            }
        }
        Err(endless("workstations"))
    }

    /// All delivery groups of the account.
    pub async fn list_all_groups(&self) -> Result<Vec<DeliveryGroup>, Refusal> {
        let mut pages = Pages::default();
        for page_number in 1..=MOST_PAGES {
            let page = self.call(&ListAppInstanceGroup { page_number, page_size: PAGE_SIZE }).await?.value;
            if pages.take(page.groups, page.total_count, |group| group.id.clone()) {
                return Ok(pages.rows);
            }
        }
        Err(endless("delivery groups"))
    }

    /// All cloud desktops that pass the filter; its own page is not used.
    pub async fn list_all_desktops(&self, filter: &DescribeDesktops) -> Result<Vec<Desktop>, Refusal> {
        let mut seen = BTreeSet::new();
        let mut desktops = Vec::new();
        let mut next_token = None;
        for _ in 1..=MOST_PAGES {
            let page = DescribeDesktops { max_results: Some(PAGE_SIZE), next_token, ..filter.clone() };
            let page = self.describe_desktops(&page).await?.value;
            desktops.extend(page.desktops.into_iter().filter(|desktop| seen.insert(desktop.id.clone())));
            next_token = page.next_token.filter(|token| !token.is_empty());
            if next_token.is_none() {
                return Ok(desktops);
            }
        }
        Err(endless("cloud desktops"))
    }

    /// Whose credentials these are.
    pub async fn caller_identity(&self) -> Result<Answer<CallerIdentity>, Refusal> {
        self.call(&GetCallerIdentity).await
    }

    /// The host that calls of this product go to.
    pub fn endpoint(&self, product: &Product) -> Result<Endpoint, Refusal> {
        self.endpoints.of(product).map_err(|error| misdirected(&error))
    }

    /// Knocks at a host without a signature: any answer shows that name, network and TLS are right, and what time it
    /// is there.
    pub async fn greet(&self, endpoint: &Endpoint) -> Result<Greeting, Refusal> {
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
        let incoming = self.http.send(outgoing).await.map_err(|error| answer::unanswered(&error, Repeat::Harmless))?;
        self.compare_clocks(&incoming);
        let skew = answer::server_date(&incoming).map(|theirs| theirs - self.clock.now());
        Ok(Greeting { took: started.elapsed(), skew })
    }

    /// What requests were last signed with; `None` before the first.
    pub async fn credentials_in_use(&self) -> Option<(SourceName, Option<DateTime<Utc>>)> {
        self.keyring.at_hand().await.map(|at_hand| (at_hand.source, at_hand.expires_at))
    }

    /// Deletes an image everywhere.
    pub async fn delete_image(&self, call: &DeleteImage) -> Result<Answer<Option<bool>>, Refusal> {
        self.call(call).await
    }

    /// Starts to copy an image to regions; the value is the task's id.
    pub async fn distribute_image(&self, call: &StartTaskForDistributeImage) -> Result<Answer<String>, Refusal> {
        self.call(call).await
    }

    /// One page of workstations.
    pub async fn list_servers(&self, call: &ListWuyingServer) -> Result<Answer<ServerPage>, Refusal> {
        self.call(call).await
    }

    /// Starts workstations.
    pub async fn start_servers(&self, call: &StartWuyingServer) -> Result<Answer<Accepted>, Refusal> {
        self.call(call).await
    }

    /// Stops workstations.
    pub async fn stop_servers(&self, call: &StopWuyingServer) -> Result<Answer<Accepted>, Refusal> {
        self.call(call).await
    }

    /// One page of cloud desktops.
    pub async fn describe_desktops(&self, call: &DescribeDesktops) -> Result<Answer<DesktopPage>, Refusal> {
        self.call(call).await
    }

    /// Starts cloud desktops.
    pub async fn start_desktops(&self, call: &StartDesktops) -> Result<Answer<Accepted>, Refusal> {
        self.call(call).await
    }

    /// Stops cloud desktops.
    pub async fn stop_desktops(&self, call: &StopDesktops) -> Result<Answer<Accepted>, Refusal> {
        self.call(call).await
    }

    /// Reads the credentials anew, after a refusal of class `Credential`; says where they are from.
    pub async fn refresh_credentials(&self) -> Result<SourceName, Refusal> {
        self.keyring.refresh().await.map(|credentials| credentials.source).map_err(|error| unavailable(&error))
    }

    /// Performs any call of the API, once.
    pub async fn call<C: Call>(&self, call: &C) -> Result<Answer<C::Value>, Refusal> {
        let request = call.request();
        let started = Instant::now();
        let outcome = match self.prepare(&request).await {
            Ok(ready) => self.exchange::<C>(&request, &ready).await,
            Err(refusal) => Err(refusal),
        };
        self.note(&request, outcome, started)
    }

    /// Performs a call that changes something, once, unless `gate` is shut when its turn has come.
    pub async fn call_behind<C: Call>(&self, call: &C, gate: &Gate) -> Result<Answer<C::Value>, Unanswered> {
        let request = call.request();
        let started = Instant::now();
        let prepared = tokio::select! {
            biased;
            () = gate.closing.cancelled() => return Err(Unanswered::NotSent),
            prepared = self.prepare(&request) => prepared,
        };
        let outcome = match prepared {
            Ok(_) if gate.closing.is_cancelled() || self.clock.now() > gate.until => return Err(Unanswered::NotSent),
            Ok(ready) => self.exchange::<C>(&request, &ready).await,
            Err(refusal) => Err(refusal),
        };
        Ok(self.note(&request, outcome, started)?)
    }

    /// Where to, when, and signed with what.
    async fn prepare(&self, request: &RpcRequest) -> Result<Ready, Refusal> {
        let endpoint = self.endpoints.of(&request.product).map_err(|error| misdirected(&error))?;
        // The turn comes first, so that neither key nor date grows old in the queue.
        self.throttle.wait().await;
        let credentials = self.keyring.get().await.map_err(|error| unavailable(&error))?;
        Ok(Ready { endpoint, credentials })
    }

    async fn exchange<C: Call>(&self, request: &RpcRequest, ready: &Ready) -> Result<Answer<C::Value>, Refusal> {
        let Ready { endpoint, credentials } = ready;
        let body = request.form.as_ref().map(|form| acs3::canonical_query(form.as_slice())).unwrap_or_default();
        let headers = self.signed_headers(request, endpoint, credentials, &body);
        let outgoing = Outgoing {
            method: Method::POST,
            url: &endpoint.url(&acs3::canonical_query(request.query.as_slice())),
            headers: &headers,
            body,
            timeout: self.timeout,
            limit: request.answer_limit,
            direct: endpoint.is_loopback(),
        };
        let incoming = self.http.send(outgoing).await.map_err(|error| answer::unanswered(&error, request.repeat))?;
        self.compare_clocks(&incoming);
        answer::read::<C>(&incoming, request.repeat)
    }

    /// Lets a delay that the server asked for count for all calls, and logs the outcome.
    fn note<T>(
        &self,
        request: &RpcRequest,
        outcome: Result<Answer<T>, Refusal>,
        started: Instant,
    ) -> Result<Answer<T>, Refusal> {
        if let Err(Refusal { retry_after: Some(delay), .. }) = &outcome {
            self.throttle.hold(*delay);
        }
        report(request.action, &outcome, started.elapsed());
        outcome
    }

    /// Remembers how far our clock is from the server's, and warns once when it is far. Answers that refuse a stale date
    /// carry the right one.
    fn compare_clocks(&self, incoming: &Incoming) {
        let Some(theirs) = answer::server_date(incoming) else { return };
        let skew = theirs - self.clock.now();
        let before = self.skew_ms.swap(skew.num_milliseconds(), Ordering::Relaxed);
        if is_far(skew) && !is_far(TimeDelta::milliseconds(before)) {
            tracing::warn!(
                skew_seconds = skew.num_seconds(),
                "this host's clock differs from the cloud's by {} s; over 15 minutes every call is refused: check NTP",
                skew.num_seconds()
            );
        }
    }

    /// How far the cloud's clock is ahead of ours, if that is more than a minute, as of the last answer.
    pub fn clock_skew(&self) -> Option<TimeDelta> {
        Some(TimeDelta::milliseconds(self.skew_ms.load(Ordering::Relaxed))).filter(|skew| is_far(*skew))
    }

    /// All headers that we set, `authorization` last; it covers all the others.
    fn signed_headers(
        &self,
        request: &RpcRequest,
        endpoint: &Endpoint,
        credentials: &Credentials,
        body: &str,
    ) -> Vec<(String, String)> {
        let body_sha256 = acs3::sha256_hex(body.as_bytes());
        let date = self.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let nonce = (self.nonce)();
        let mut headers = vec![
            ("accept", "application/json"),
            ("host", endpoint.authority()),
            ("user-agent", concat!("imagebaked/", env!("CARGO_PKG_VERSION"))),
            ("x-acs-action", request.action),
            ("x-acs-content-sha256", &body_sha256),
            ("x-acs-date", &date),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", request.product.version()),
        ];
        if request.form.is_some() {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
        }
        if let Some(token) = &credentials.security_token {
            headers.push(("x-acs-accesskey-id", &credentials.access_key_id));
            headers.push(("x-acs-security-token", token.expose_secret()));
        }
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let mut headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let canonical = acs3::canonical_request("POST", "/", request.query.as_slice(), &headers, &names, &body_sha256);
        let signature = acs3::sign(credentials.access_key_secret.expose_secret(), &acs3::string_to_sign(&canonical));
        let authorization = acs3::authorization(&credentials.access_key_id, &names, &signature);
        headers.push(("authorization".to_owned(), authorization));
        headers
    }
}

/// The rows of a numbered listing, each once: rows move to later pages when others are added meanwhile.
struct Pages<T, K> {
    rows: Vec<T>,
    seen: BTreeSet<K>,
}

impl<T, K> Default for Pages<T, K> {
    fn default() -> Self {
        Self { rows: Vec::new(), seen: BTreeSet::new() }
    }
}

impl<T, K: Ord> Pages<T, K> {
    /// Takes a page; answers whether it was the last. The count of all rows decides where it is given, as a server may
    /// give shorter pages than it was asked for.
    fn take(&mut self, page: Vec<T>, count: Option<i64>, key: impl Fn(&T) -> K) -> bool {
        let read = page.len();
        for row in page {
            if self.seen.insert(key(&row)) {
                self.rows.push(row);
            }
        }
        match count.and_then(|count| usize::try_from(count).ok()) {
            Some(count) => read == 0 || self.rows.len() >= count,
            None => read < PAGE_SIZE as usize,
        }
    }
}

fn endless(what: &str) -> Refusal {
    Refusal {
        class: Class::Permanent,
        code: Some("AnswerTooLarge".to_owned()),
        message: format!("the list of {what} does not end after {MOST_PAGES} pages"),
        advice: "Check the endpoint: this is hardly the cloud.".into(),
        http_status: None,
        request_id: None,
        retry_after: None,
    }
}

fn report<T>(action: &str, outcome: &Result<Answer<T>, Refusal>, took: Duration) {
    let (http_status, code, request_id) = match outcome {
        Ok(answer) => (Some(answer.http_status), answer.code.as_deref(), answer.request_id.as_deref()),
        Err(refusal) => (refusal.http_status, refusal.code.as_deref(), refusal.request_id.as_deref()),
    };
    let duration_ms = took.as_millis();
    tracing::debug!(action, http_status, code, request_id, duration_ms, ok = outcome.is_ok(), "cloud call");
}

fn unavailable(error: &NoCredentials) -> Refusal {
    Refusal {
        class: Class::Credential,
        code: Some("CredentialsUnavailable".to_owned()),
        message: answer::one_line(&error.to_string()),
        advice: "Provide an access key by one of these ways.".into(),
        http_status: None,
        request_id: None,
        retry_after: None,
    }
}

/// Nothing was sent, and nothing will be until the region is mended.
fn misdirected(error: &EndpointError) -> Refusal {
    Refusal {
        class: Class::Permanent,
        code: Some("ConnectFailed".to_owned()),
        message: answer::one_line(&error.to_string()),
        advice: "Check the region of the instance.".into(),
        http_status: None,
        request_id: None,
        retry_after: None,
    }
}
