//! HTTP, and the only user of reqwest: bounded in time and size, never redirected, never repeated.
//!
//! A signed request must not be replayed elsewhere or twice, so redirects and the library's own retries are off.
//! Whether an address may be asked without encryption is settled where the address is made: [`super::endpoint`] allows
//! loopback alone, and the metadata service has a fixed link-local address.

use std::{error::Error, fmt, time::Duration};

pub use reqwest::Method;
use reqwest::{Client, redirect, retry};

/// Idle connections kept for a host; more calls at once open more.
const IDLE_PER_HOST: usize = 4;

/// A request as it goes out. Its headers hold tokens, so `Debug` shows none of them.
pub struct Outgoing<'a> {
    /// `GET`, `POST` or `PUT`.
    pub method: Method,
    /// Query included, encoded already.
    pub url: &'a str,
    /// As signed. `host` is left to the library, which derives the same value from the URL and places it for HTTP/2.
    pub headers: &'a [(String, String)],
    /// May be empty.
    pub body: String,
    /// For the whole exchange.
    pub timeout: Duration,
    /// The longest answer that is read, in bytes after decompression.
    pub limit: usize,
    /// Past any proxy: for this host itself and its hypervisor.
    pub direct: bool,
}

/// An answer as it came in, of any status. Its body may hold keys, so `Debug` shows only how long it is.
pub struct Incoming {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case; values that are no text are left out.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("method", &self.method).field("url", &self.url).finish_non_exhaustive()
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Incoming {
    /// The first value of a header, its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// No whole answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The client could not be set up.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// No connection: nothing was sent.
    #[error("cannot connect")]
    NotConnected(#[source] reqwest::Error),
    /// The time was up; the request may have arrived.
    #[error("no answer in time")]
    TimedOut(#[source] reqwest::Error),
    /// The connection broke; the request may have arrived.
    #[error("the connection was lost before the answer was whole")]
    Lost(#[source] reqwest::Error),
    /// The request could not be written down: nothing was sent.
    #[error("cannot form the request")]
    NotFormed(#[source] reqwest::Error),
    /// Somebody answers without end.
    #[error("the answer is longer than {limit} bytes")]
    TooLarge {
        /// The HTTP status.
        status: u16,
        /// In bytes.
        limit: usize,
    },
}

impl HttpError {
    /// The error and its root cause: what lies between is the library's own layering.
    pub fn in_short(&self) -> String {
        let mut root: Option<&dyn Error> = None;
        let mut cause = self.source();
        while let Some(error) = cause {
            root = Some(error);
            cause = error.source();
        }
        root.map_or_else(|| self.to_string(), |root| format!("{self} ({root})"))
    }
}

/// Sends requests; cheap to clone, as clones share their connections.
#[derive(Debug, Clone)]
pub struct Http {
    proxied: Client,
    direct: Client,
}

impl Http {
    /// Sets up both clients, one that honours the environment's proxies and one that does not.
    pub fn new(connect_timeout: Duration) -> Result<Self, HttpError> {
        // Fails only where a provider is installed already, and then that one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let proxied = builder(connect_timeout).build().map_err(HttpError::Setup)?;
        let direct = builder(connect_timeout).no_proxy().build().map_err(HttpError::Setup)?;
        Ok(Self { proxied, direct })
    }

    /// One exchange. Every status is an answer; an error means that none came whole.
    pub async fn send(&self, outgoing: Outgoing<'_>) -> Result<Incoming, HttpError> {
        let client = if outgoing.direct { &self.direct } else { &self.proxied };
        let mut request = client.request(outgoing.method, outgoing.url).timeout(outgoing.timeout).body(outgoing.body);
        for (name, value) in outgoing.headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(sort)?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        let body = read(response, status, outgoing.limit).await?;
        Ok(Incoming { status, headers, body })
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that builds clients, after it installed the TLS provider")]
fn builder(connect_timeout: Duration) -> reqwest::ClientBuilder {
    Client::builder()
        .connect_timeout(connect_timeout)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .pool_max_idle_per_host(IDLE_PER_HOST)
}

async fn read(mut response: reqwest::Response, status: u16, limit: usize) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(sort)? {
        if body.len() + chunk.len() > limit {
            return Err(HttpError::TooLarge { status, limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A connect time-out is both a time-out and a failed connection; that nothing was sent is what counts.
fn sort(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    if error.is_connect() {
        HttpError::NotConnected(error)
    } else if error.is_builder() {
        HttpError::NotFormed(error)
    } else if error.is_timeout() {
        HttpError::TimedOut(error)
    } else {
        HttpError::Lost(error)
    }
}
