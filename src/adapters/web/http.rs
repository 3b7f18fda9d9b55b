//! The status page over HTTP/1.1, read-only: address, routes, and responses to programs and probes.
//!
//! `/`, `/schedule/NAME`, `/bake/N`, `/history` and `/images` are for people, `/status.json` and `/history.json?limit=N` for
//! programs, `/healthz` and `/livez` for probes. No page runs a script. All links are relative: a reverse proxy may put the
//! page under any path.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri, header::CONTENT_TYPE},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    access::guard,
    listener::LimitedListener,
    page::{STYLE, STYLE_PATH},
    pages,
    site::{FRESH, LONGEST_WAIT, Site, WebState},
    source::Source,
};
use crate::domain::{
    error::chain,
    health::Verdict,
    history::{BakeRow, Filter},
};

/// Number of rows of `/history.json` without a `limit`.
const ROWS: u32 = 50;
/// Maximum rows of `/history.json`: a response stays below about a megabyte.
const MOST_ROWS: u32 = 1_000;
/// Response to parameters where there are none.
const NO_PARAMETERS: &str = "there are no parameters here";
/// Maximum number of problems in a response to a probe, which may keep it or send it on.
const MOST_LINES: usize = 100;
/// Maximum duration of a connection. Every response ends its connection, so this bounds one request.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Maximum time for running responses once the daemon stops.
const GRACE: Duration = Duration::from_secs(1);

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

/// The page, bound to its address or disabled.
#[derive(Debug)]
pub struct StatusPage {
    listener: Option<TcpListener>,
    hosts: Vec<String>,
    pub(super) fresh: Duration,
    pub(super) longest_wait: Duration,
}

impl StatusPage {
    /// Binds the address, so that a failure is reported before the daemon is ready. `None` disables the page. `hosts` are
    /// names that it answers to, besides addresses and those of the loopback.
    ///
    /// # Errors
    ///
    /// `PageError` if the address cannot be bound.
    pub async fn bind(listen: Option<SocketAddr>, hosts: Vec<String>) -> Result<Self, PageError> {
        let listener = match listen {
            None => None,
            Some(address) => {
                Some(TcpListener::bind(address).await.map_err(|source| PageError::Listen { address, source })?)
            }
        };
        Ok(Self { listener, hosts, fresh: FRESH, longest_wait: LONGEST_WAIT })
    }

    /// Bound address; with the actual port if 0 was configured.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `stop`.
    pub async fn serve(self, source: Arc<dyn Source>, stop: CancellationToken) {
        let Some(listener) = self.listener else { return stop.cancelled().await };
        let site = Arc::new(Site::new(source, self.hosts, self.fresh, self.longest_wait));
        let serving = axum::serve(LimitedListener::new(listener, TIME_LIMIT), router(site))
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

fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(pages::overview))
        .route("/schedule/{name}", get(pages::schedule))
        .route("/bake/{id}", get(pages::bake))
        .route("/history", get(pages::history))
        .route("/images", get(pages::images))
        .route("/status.json", get(status_json))
        .route("/history.json", get(history_json))
        .route("/healthz", get(healthz))
        .route("/livez", get(livez))
        .route(STYLE_PATH, get(async || ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
        .fallback(pages::no_such_page)
        .layer(middleware::from_fn_with_state(Arc::clone(&site), guard))
        .with_state(site)
}

async fn status_json(State(site): WebState, uri: Uri) -> Response {
    if has_parameters(&uri) {
        return json_error(StatusCode::BAD_REQUEST, NO_PARAMETERS);
    }
    match site.standing().await {
        Ok(standing) => json(StatusCode::OK, &standing.status),
        Err(error) => json_error(StatusCode::SERVICE_UNAVAILABLE, &chain(&*error)),
    }
}

async fn history_json(State(site): WebState, uri: Uri) -> Response {
    #[derive(Serialize)]
    struct History {
        bakes: Vec<BakeRow>,
    }
    let Some(limit) = limit(uri.query()) else {
        let message = format!("the one parameter is limit, from 1 to {MOST_ROWS}");
        return json_error(StatusCode::BAD_REQUEST, &message);
    };
    match site.source.history(Filter { limit, ..Filter::default() }).await {
        Ok(bakes) => json(StatusCode::OK, &History { bakes }),
        Err(error) => json_error(StatusCode::SERVICE_UNAVAILABLE, &chain(&*error)),
    }
}

/// Response to a probe for alerts: 200 on ok and warning, 503 on problem, with the headline and a line for each.
async fn healthz(State(site): WebState, uri: Uri) -> Response {
    if has_parameters(&uri) {
        return (StatusCode::BAD_REQUEST, format!("{NO_PARAMETERS}\n")).into_response();
    }
    match site.standing().await {
        Ok(standing) => {
            let health = &standing.status.health;
            let code = match health.verdict {
                Verdict::Ok | Verdict::Warning => StatusCode::OK,
                Verdict::Problem => StatusCode::SERVICE_UNAVAILABLE,
            };
            let mut text = format!("{}\n", health.verdict);
            for problem in health.problems().take(MOST_LINES) {
                text.push_str(&format!("{}: {}: {}\n", problem.severity, problem.code.as_str(), problem.message));
            }
            if let Some(more @ 1..) = health.problems().len().checked_sub(MOST_LINES) {
                text.push_str(&format!("and {more} more\n"));
            }
            for (problem, _) in health.acknowledged().take(MOST_LINES) {
                text.push_str(&format!("acknowledged: {}: {}\n", problem.code.as_str(), problem.message));
            }
            (code, text).into_response()
        }
        Err(error) => {
            let text = format!("{}\nthe history cannot be read: {}\n", Verdict::Problem, chain(&*error));
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

/// Response to a probe for restarts: 200 as long as the engine ticks, whatever the state of the bakes and the parameters.
async fn livez(State(site): WebState) -> Response {
    if site.source.is_ticking() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the engine does not tick\n").into_response()
    }
}

/// Whoever sends one means a part of the answer, and would take the whole for it.
fn has_parameters(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| !query.is_empty())
}

/// The `limit` of a query; `None` if it is out of bounds or there are other parameters.
fn limit(query: Option<&str>) -> Option<u32> {
    match query {
        None | Some("") => Some(ROWS),
        Some(query) => query.strip_prefix("limit=")?.parse().ok().filter(|limit| (1..=MOST_ROWS).contains(limit)),
    }
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
