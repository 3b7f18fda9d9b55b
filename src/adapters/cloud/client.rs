//! One call from end to end: credentials, signature, turn, exchange, answer. Never repeated here.

use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    CloudOptions, acs3,
    actions::{
        Accepted, CallerIdentity, CreateImageByInstance, CreatedImage, DeleteImage, DescribeDesktops, Desktop,
        GetCallerIdentity, Image, ImagePage, ListImage, ListWuyingServer, Server, StartDesktops,
        StartTaskForDistributeImage, StartWuyingServer, StopDesktops, StopWuyingServer,
    },
    answer::{self, ApiResponse},
    credentials::{CredentialProvider, Credentials, Environment, NoCredentials, SourceName},
    endpoint::{Endpoint, EndpointError, Endpoints},
    http::{Http, HttpError, Incoming, Method, Outgoing},
    listing::{Listing, MOST_PAGES, Pages, Taken},
    outage::OutageWatch,
    request::{CloudCall, Product, RpcRequest},
    throttle::Throttle,
};
use crate::domain::{
    api::{
        call::{ApiError, ErrorClass},
        codes::Idempotency,
        mode::Mode,
    },
    clock::{
        Clock,
        watch::{self, ClockWatch, Sent},
    },
    ids::{ImageId, InstanceId},
};

/// A list whose count changes with every reading is not read for ever.
const MOST_READINGS: u32 = 3;
/// An answer to a bare request is an error of a few lines; a page of a proxy may be longer.
const GREETING_LIMIT: usize = 256 * 1024;

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
    /// The first instant; a slot that has not come by the cloud's clock is not baked.
    pub from: DateTime<Utc>,
    /// The last instant.
    pub until: DateTime<Utc>,
    /// Cancelled when the daemon begins nothing new.
    pub closing: CancellationToken,
}

/// Why a call behind a [`Gate`] has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// It did not bring what was asked for.
    Refused(ApiError),
    /// It did not go out.
    NotSent,
}

impl From<ApiError> for Unanswered {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

/// What a request needs besides itself.
struct Ready {
    endpoint: Endpoint,
    credentials: Credentials,
}

/// How a host answered a bare request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeResult {
    /// From the first packet to the answer, connection included where there was none.
    pub took: Duration,
    /// How far the host's clock is from the time in which it answered; positive where it is ahead of ours.
    pub skew: Option<TimeDelta>,
}

/// The WUYING API for one account.
pub struct CloudClient {
    endpoints: Endpoints,
    credential_provider: CredentialProvider,
    http: Http,
    throttle: Throttle,
    clock: Arc<dyn Clock>,
    nonce: NonceSource,
    timeout: Duration,
    clocks: ClockWatch,
    outages: OutageWatch,
    mode: Mode,
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
        environment: Environment,
        clock: Arc<dyn Clock>,
        nonce: NonceSource,
    ) -> Result<Self, CloudError> {
        let http = Http::new(options.connect_timeout)?;
        Ok(Self {
            endpoints: Endpoints::new(&options.region, options.endpoint.as_deref(), options.ecd_endpoint.as_deref())?,
            credential_provider: CredentialProvider::new(
                options.credentials,
                environment,
                http.clone(),
                Arc::clone(&clock),
            ),
            http,
            throttle: Throttle::new(options.requests_per_second),
            clocks: ClockWatch::new(Arc::clone(&clock)),
            outages: OutageWatch::new(Arc::clone(&clock)),
            clock,
            nonce,
            timeout: options.timeout,
            mode: options.mode,
        })
    }

    /// Starts to make an image.
    pub async fn create_image(&self, call: &CreateImageByInstance) -> Result<ApiResponse<CreatedImage>, ApiError> {
        self.call(call).await
    }

    /// The images that pass the filter, in one answer that has to hold them all: for one image by its id. An answer that
    /// shows another image than the one asked for concludes nothing about it.
    pub async fn list_images(&self, call: &ListImage) -> Result<ApiResponse<ImagePage>, ApiError> {
        let asked: Vec<&str> = call.image_id.iter().map(ImageId::as_str).collect();
        let answer = self.list_once(call, &asked, |image: &Image| image.image_id.as_str()).await?;
        answer.try_map(|images| Ok(ImagePage { images }))
    }

    /// The workstations of these ids; none that is not among them.
    pub async fn list_servers(&self, call: &ListWuyingServer) -> Result<ApiResponse<Vec<Server>>, ApiError> {
        let asked: Vec<&str> = call.ids.iter().map(InstanceId::as_str).collect();
        self.list_once(call, &asked, |server: &Server| server.id.as_str()).await
    }

    /// The cloud desktops of these ids; none that is not among them.
    pub async fn describe_desktops(&self, call: &DescribeDesktops) -> Result<ApiResponse<Vec<Desktop>>, ApiError> {
        let asked: Vec<&str> = call.ids.iter().map(InstanceId::as_str).collect();
        self.list_once(call, &asked, |desktop: &Desktop| desktop.id.as_str()).await
    }

    /// All images that pass the filter.
    pub async fn list_all_images(&self, filter: &ListImage) -> Result<Vec<Image>, ApiError> {
        self.list_all(filter).await
    }

    /// One answer that has to hold all rows; `asked` are the ids that were asked for, if any.
    async fn list_once<L: Listing>(
        &self,
        call: &L,
        asked: &[&str],
        id: impl Fn(&L::Row) -> &str,
    ) -> Result<ApiResponse<Vec<L::Row>>, ApiError> {
        let answer = self.call(call).await?;
        let request_id = answer.request_id.clone();
        answer.try_map(|page| page.read_whole::<L>(asked, id)).map_err(|error| ApiError { request_id, ..error })
    }

    /// All rows of a list that pass the filter, page by page; the filter's own page is not used. The first error ends it:
    /// a part of a list would pass for the whole. A list that changed while it was read is read again.
    pub async fn list_all<L: Listing>(&self, filter: &L) -> Result<Vec<L::Row>, ApiError> {
        let mut reading = 1;
        loop {
            match self.read_all(filter).await? {
                Ok(rows) => return Ok(rows),
                Err(moved) if reading >= MOST_READINGS => return Err(moved),
                Err(_) => reading += 1,
            }
        }
    }

    /// Reads a list once; the inner error is for one that changed meanwhile.
    async fn read_all<L: Listing>(&self, filter: &L) -> Result<Result<Vec<L::Row>, ApiError>, ApiError> {
        let mut pages = Pages::<L>::default();
        let mut cursor = L::first();
        for _ in 1..=MOST_PAGES {
            let answer = self.call(&filter.page(&cursor)).await?;
            let taken = answer.value.read::<L>().and_then(|page| pages.take(page, &cursor));
            match taken.map_err(|error| ApiError { request_id: answer.request_id, ..error })? {
                Taken::Whole(rows) => return Ok(Ok(rows)),
                Taken::Next(next) => cursor = next,
                Taken::Moved(error) => return Ok(Err(error)),
            }
        }
        Err(pages.endless())
    }

    /// Whose credentials these are.
    pub async fn caller_identity(&self) -> Result<ApiResponse<CallerIdentity>, ApiError> {
        self.call(&GetCallerIdentity).await
    }

    /// The host that calls of this product go to.
    pub fn endpoint(&self, product: &Product) -> Result<Endpoint, ApiError> {
        self.endpoints.of(product).map_err(|error| misdirected(&error))
    }

    /// Calls a host without a signature: any answer shows that name, network and TLS are right, and the host's time.
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
        // Only for who asks: nothing shows that this is the cloud's own answer.
        let skew = answer::server_date(&incoming).map(|date| watch::skew(sent, self.clock.now(), date));
        Ok(ProbeResult { took: started.elapsed(), skew })
    }

    /// What requests were last signed with; `None` before the first.
    pub async fn credentials_in_use(&self) -> Option<(SourceName, Option<DateTime<Utc>>)> {
        self.credential_provider.at_hand().await.map(|at_hand| (at_hand.source, at_hand.expires_at))
    }

    /// Deletes an image everywhere.
    pub async fn delete_image(&self, call: &DeleteImage) -> Result<ApiResponse<Option<bool>>, ApiError> {
        self.call(call).await
    }

    /// Starts to copy an image to regions; the value is the task's id.
    pub async fn distribute_image(&self, call: &StartTaskForDistributeImage) -> Result<ApiResponse<String>, ApiError> {
        self.call(call).await
    }

    /// Starts workstations.
    pub async fn start_servers(&self, call: &StartWuyingServer) -> Result<ApiResponse<Accepted>, ApiError> {
        self.call(call).await
    }

    /// Stops workstations.
    pub async fn stop_servers(&self, call: &StopWuyingServer) -> Result<ApiResponse<Accepted>, ApiError> {
        self.call(call).await
    }

    /// Starts cloud desktops.
    pub async fn start_desktops(&self, call: &StartDesktops) -> Result<ApiResponse<Accepted>, ApiError> {
        self.call(call).await
    }

    /// Stops cloud desktops.
    pub async fn stop_desktops(&self, call: &StopDesktops) -> Result<ApiResponse<Accepted>, ApiError> {
        self.call(call).await
    }

    /// Reads the credentials anew, after an error of class `Credential`; returns their source.
    pub async fn refresh_credentials(&self) -> Result<SourceName, ApiError> {
        self.credential_provider
            .refresh()
            .await
            .map(|credentials| credentials.source)
            .map_err(|error| unavailable(&error))
    }

    /// Performs any call of the API, once.
    pub async fn call<C: CloudCall>(&self, call: &C) -> Result<ApiResponse<C::Value>, ApiError> {
        let request = call.request();
        let started = Instant::now();
        let outcome = match self.prepare(&request).await {
            Ok(ready) => self.exchange::<C>(&request, &ready).await,
            Err(error) => Err(error),
        };
        self.note(&request, outcome, started)
    }

    /// Performs a call that changes something, once, unless `gate` is shut when its turn has come.
    pub async fn call_behind<C: CloudCall>(&self, call: &C, gate: &Gate) -> Result<ApiResponse<C::Value>, Unanswered> {
        let request = call.request();
        let started = Instant::now();
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
        // The turn comes first, so that neither key nor date grows old in the queue.
        self.throttle.wait().await;
        let credentials = self.credential_provider.get().await.map_err(|error| unavailable(&error))?;
        Ok(Ready { endpoint, credentials })
    }

    async fn exchange<C: CloudCall>(
        &self,
        request: &RpcRequest,
        ready: &Ready,
    ) -> Result<ApiResponse<C::Value>, ApiError> {
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
        let (sent, sent_at) = (self.clocks.sent(), self.outages.sent());
        let answer = match self.http.send(outgoing).await {
            Ok(incoming) => {
                let answer = answer::read::<C>(&incoming, request.repeat);
                self.compare_clocks(sent, &incoming, &answer);
                answer
            }
            Err(error) => Err(answer::unanswered(&error, request.repeat)),
        };
        self.outages.note(&request.product, endpoint.authority(), sent_at, &answer);
        answer
    }

    /// Lets a delay that the server asked for count for all calls, and logs the outcome.
    fn note<T>(
        &self,
        request: &RpcRequest,
        outcome: Result<ApiResponse<T>, ApiError>,
        started: Instant,
    ) -> Result<ApiResponse<T>, ApiError> {
        if let Err(ApiError { retry_after: Some(delay), .. }) = &outcome {
            self.throttle.hold(*delay);
        }
        report(request.action, &outcome, started.elapsed());
        outcome
    }

    /// Compares our clock with the cloud's. A proxy has a clock of its own: only what shows a RequestId counts. Answers
    /// that refuse a stale date carry the right one.
    fn compare_clocks<T>(&self, sent: Sent, incoming: &Incoming, answer: &Result<ApiResponse<T>, ApiError>) {
        let is_the_clouds = match answer {
            Ok(answer) => answer.request_id.is_some(),
            Err(error) => error.request_id.is_some(),
        };
        if let (true, Some(date)) = (is_the_clouds, answer::server_date(incoming)) {
            self.clocks.answered(sent, date);
        }
    }

    /// The time that bakes go by: the cloud's where this host's clock is ahead of it, so that a clock that was set forward
    /// ends no wait and no deadline.
    pub fn bake_time(&self) -> DateTime<Utc> {
        self.clocks.cloud_now().min(self.clock.now())
    }

    /// What is known of our clock.
    pub fn clocks(&self) -> &ClockWatch {
        &self.clocks
    }

    /// Which hosts do not answer.
    pub fn outages(&self) -> &OutageWatch {
        &self.outages
    }

    /// Makes a cheap call to the host of `product`, for [`Self::outages`] to see whether it answers.
    pub async fn probe_outage(&self, product: Product) {
        match product {
            Product::AppStreaming => drop(self.list_images(&ListImage::of_one()).await),
            Product::Desktops { region } => {
                let one = DescribeDesktops { region, max_results: Some(1), ..DescribeDesktops::default() };
                drop(self.call(&one).await);
            }
            Product::Sts => drop(self.caller_identity().await),
        }
    }

    /// Asks for one image, for the sake of the Date of the answer, where that is wanted and was not asked for just now.
    /// Any answer of the cloud has it, an error, too.
    pub async fn ask_for_the_time(&self) {
        if self.clocks.may_ask() {
            let _ = self.list_images(&ListImage::of_one()).await;
        }
    }

    /// How far the cloud's clock is ahead of ours, if that is more than a minute, as of the last answer.
    pub fn clock_skew(&self) -> Option<TimeDelta> {
        self.clocks.skew()
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

fn report<T>(action: &str, outcome: &Result<ApiResponse<T>, ApiError>, took: Duration) {
    let (http_status, code, request_id) = match outcome {
        Ok(answer) => (Some(answer.http_status), answer.code.as_deref(), answer.request_id.as_deref()),
        Err(error) => (error.http_status, error.code.as_deref(), error.request_id.as_deref()),
    };
    let duration_ms = took.as_millis();
    tracing::debug!(action, http_status, code, request_id, duration_ms, ok = outcome.is_ok(), "cloud call");
}

fn unavailable(error: &NoCredentials) -> ApiError {
    ApiError {
        class: ErrorClass::Credential,
        code: Some("CredentialsUnavailable".to_owned()),
        message: answer::one_line(&error.to_string()),
        advice: "Provide an access key by one of these ways.".into(),
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
