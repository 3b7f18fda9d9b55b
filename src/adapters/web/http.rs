//! The status page over HTTP/1.1, read-only: routes, access and responses.
//!
//! `/` and `/bake/N` are for people, `/status.json` and `/history.json?limit=N` for programs, `/healthz` and `/livez`
//! for probes. Nothing here changes anything, so there is no log-in; the listen address determines who has access.
//! Requests of a browser for a foreign name that resolves to that address are rejected by their Host header, and no
//! page runs a script.

use std::{io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
        header::{
            CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
        uri::Authority,
    },
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{listener::LimitedListener, page};
use crate::{
    adapters::store::{BakeRow, Filter, Reader, StoreError},
    domain::{error::chain, health::Verdict, ids::BakeId, status::Status},
};

/// Number of rows of the page, and of `/history.json` without a `limit`.
const ROWS: u32 = 50;
/// Maximum rows of `/history.json`: a response stays below about a megabyte.
const MOST_ROWS: u32 = 1_000;
/// Maximum duration of a connection. Every response ends its connection, so this bounds one request.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Maximum time for running responses once the daemon stops.
const GRACE: Duration = Duration::from_secs(1);

/// Headers of every response: not stored, not framed, no sniffing, no script, no foreign content.
const HEADERS: [(HeaderName, HeaderValue); 7] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (CONNECTION, HeaderValue::from_static("close")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The address cannot be bound.
    #[error("cannot serve the status page on {address}; choose another [daemon] listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error.
        source: io::Error,
    },
}

/// Future of a [`Status`].
pub type StatusFuture<'a> = Pin<Box<dyn Future<Output = Result<Status, StoreError>> + Send + 'a>>;

/// Data source of the page.
pub trait Source: Send + Sync + 'static {
    /// Status of the daemon.
    fn status(&self) -> StatusFuture<'_>;
    /// The history.
    fn reader(&self) -> &Reader;
    /// Whether the engine ticks. Reads memory only, so that it responds whatever else hangs.
    fn is_ticking(&self) -> bool;
    /// Current instant.
    fn now(&self) -> DateTime<Utc>;
}

/// The page, bound to its address or disabled.
#[derive(Debug)]
pub struct StatusPage {
    listener: Option<TcpListener>,
}

impl StatusPage {
    /// Binds the address, so that a failure is reported before the daemon is ready. `None` disables the page.
    ///
    /// # Errors
    ///
    /// `PageError` if the address cannot be bound.
    pub async fn bind(listen: Option<SocketAddr>) -> Result<Self, PageError> {
        let listener = match listen {
            None => None,
            Some(address) => {
                Some(TcpListener::bind(address).await.map_err(|source| PageError::Listen { address, source })?)
            }
        };
        Ok(Self { listener })
    }

    /// Bound address; with the actual port if 0 was configured.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `stop`.
    pub async fn serve(self, source: Arc<dyn Source>, stop: CancellationToken) {
        let Some(listener) = self.listener else { return stop.cancelled().await };
        let serving = axum::serve(LimitedListener::new(listener, TIME_LIMIT), router(source))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let too_late = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            // It ends by `stop` only: errors of single connections do not end it.
            _ = serving => {}
            () = too_late => {}
        }
    }
}

type WebState = State<Arc<dyn Source>>;

fn router(source: Arc<dyn Source>) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/bake/{id}", get(bake))
        .route("/status.json", get(status_json))
        .route("/history.json", get(history_json))
        .route("/healthz", get(healthz))
        .route("/livez", get(livez))
        .route(page::STYLE_PATH, get(async || ([(CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE)))
        .fallback(async |State(source): WebState| not_found("There is no such page", source.now()))
        .layer(middleware::from_fn(guard))
        .with_state(source)
}

/// Rejects foreign host names and adds [`HEADERS`] to every response.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = if asks_for_this_machine(request.headers()) {
        next.run(request).await
    } else {
        let advice = "This page answers to an IP address and to localhost only, not to other names.\n";
        (StatusCode::MISDIRECTED_REQUEST, advice).into_response()
    };
    response.headers_mut().extend(HEADERS);
    response
}

/// Whether the one Host header is an IP address or a name of the loopback. Another party may have pointed any other
/// name here (DNS rebinding), and its page could then read this one.
fn asks_for_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    // User information has no place in a Host header and could hide the real name.
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host().to_ascii_lowercase();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
    name == "localhost" || name.ends_with(".localhost") || bare.parse::<std::net::IpAddr>().is_ok()
}

async fn overview(State(source): WebState) -> Response {
    let shown = async {
        let status = source.status().await?;
        let lines = source.reader().lines(page::LINES).await?;
        let rows = newest(&*source, ROWS).await?;
        Ok((status, lines, rows))
    };
    match shown.await {
        Ok((status, lines, rows)) => {
            Html(page::overview(&status, &lines, &rows, source.now()).into_string()).into_response()
        }
        Err(error) => unreadable(&error, source.now()),
    }
}

async fn bake(State(source): WebState, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse().map(BakeId) else { return not_found("There is no such bake", source.now()) };
    let read = async {
        let reader = source.reader();
        let Some(row) = reader.bake(id).await? else { return Ok(None) };
        Ok(Some((row, reader.settings(id).await?, reader.attempts(id).await?)))
    };
    match read.await {
        Ok(Some((row, settings, attempts))) => {
            Html(page::bake(&row, settings.as_deref(), &attempts, source.now()).into_string()).into_response()
        }
        Ok(None) => not_found("There is no such bake", source.now()),
        Err(error) => unreadable(&error, source.now()),
    }
}

async fn status_json(State(source): WebState) -> Response {
    match source.status().await {
        Ok(status) => json(StatusCode::OK, &status),
        Err(error) => json_error(StatusCode::SERVICE_UNAVAILABLE, &chain(&error)),
    }
}

async fn history_json(State(source): WebState, uri: Uri) -> Response {
    #[derive(Serialize)]
    struct History {
        bakes: Vec<BakeRow>,
    }
    let Some(limit) = limit(uri.query()) else {
        let message = format!("the one parameter is limit, from 1 to {MOST_ROWS}");
        return json_error(StatusCode::BAD_REQUEST, &message);
    };
    match newest(&*source, limit).await {
        Ok(bakes) => json(StatusCode::OK, &History { bakes }),
        Err(error) => json_error(StatusCode::SERVICE_UNAVAILABLE, &chain(&error)),
    }
}

/// Response to a probe for alerts: 200 on ok and warning, 503 on problem, with the headline and a line for each.
async fn healthz(State(source): WebState) -> Response {
    match source.status().await {
        Ok(Status { health, .. }) => {
            let code = match health.verdict {
                Verdict::Ok | Verdict::Warning => StatusCode::OK,
                Verdict::Problem => StatusCode::SERVICE_UNAVAILABLE,
            };
            let mut text = format!("{}\n", health.verdict);
            for problem in health.problems() {
                text.push_str(&format!("{}: {}: {}\n", problem.severity, problem.code.as_str(), problem.message));
            }
            for (problem, _) in health.acknowledged() {
                text.push_str(&format!("acknowledged: {}: {}\n", problem.code.as_str(), problem.message));
            }
            (code, text).into_response()
        }
        Err(error) => {
            let text = format!("{}\nthe history cannot be read: {}\n", Verdict::Problem, chain(&error));
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

/// Response to a probe for restarts: 200 as long as the engine ticks, whatever the state of the bakes.
async fn livez(State(source): WebState) -> Response {
    if source.is_ticking() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the engine does not tick\n").into_response()
    }
}

async fn newest(source: &dyn Source, limit: u32) -> Result<Vec<BakeRow>, StoreError> {
    source.reader().history(&Filter { limit, ..Filter::default() }).await
}

/// The `limit` of a query; `None` if it is out of bounds or there are other parameters.
fn limit(query: Option<&str>) -> Option<u32> {
    match query {
        None | Some("") => Some(ROWS),
        Some(query) => query.strip_prefix("limit=")?.parse().ok().filter(|limit| (1..=MOST_ROWS).contains(limit)),
    }
}

fn not_found(what: &str, now: DateTime<Utc>) -> Response {
    (StatusCode::NOT_FOUND, Html(page::not_found(what, now).into_string())).into_response()
}

fn unreadable(error: &StoreError, now: DateTime<Utc>) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Html(page::unreadable(&chain(error), now).into_string())).into_response()
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => (status, [(CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", chain(&error))).into_response(),
    }
}

fn json_error(status: StatusCode, message: &str) -> Response {
    json(status, &serde_json::json!({ "error": message }))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
