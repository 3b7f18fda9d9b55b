//! HTTP client, the only user of reqwest: bounded in time and size, without redirects and repetitions.
//!
//! A signed request must not be sent elsewhere or twice, so redirects and the library's own retries are off.
//! [`super::endpoint`] allows unencrypted requests on loopback only; the metadata service has a fixed link-local
//! address.

use std::{error::Error, fmt, time::Duration};

pub use reqwest::Method;
use reqwest::{Certificate, Client, NoProxy, Proxy, redirect, retry};
use secrecy::ExposeSecret as _;

use super::{authorities::Authorities, proxy::ProxySettings};

/// Idle connections per host; more concurrent calls open more.
const IDLE_PER_HOST: usize = 4;

/// A request to send. Its headers contain tokens, so `Debug` omits them.
pub struct Outgoing<'a> {
    /// `GET`, `POST` or `PUT`.
    pub method: Method,
    /// With the encoded query.
    pub url: &'a str,
    /// As signed. The library sets `host`: it derives the same value from the URL and places it for HTTP/2.
    pub headers: &'a [(String, String)],
    /// May be empty.
    pub body: String,
    /// Timeout of the whole exchange.
    pub timeout: Duration,
    /// Maximum size of the response, in bytes after decompression.
    pub limit: usize,
    /// Without a proxy: for this host itself and its hypervisor.
    pub direct: bool,
}

/// A response of any status. Its body may contain keys, so `Debug` shows only its length.
pub struct Incoming {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case; values that are no text are omitted.
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

/// No complete response.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The client could not be set up.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// No connection: nothing was sent.
    #[error("cannot connect")]
    NotConnected(#[source] reqwest::Error),
    /// No connection, because of the proxy: nothing was sent.
    #[error("cannot connect: the proxy {proxy} {reason}")]
    Proxy {
        /// Its host and port.
        proxy: String,
        /// Its answer, in words.
        reason: String,
    },
    /// Timeout; the request may have arrived.
    #[error("no answer in time")]
    TimedOut(#[source] reqwest::Error),
    /// The connection broke; the request may have arrived.
    #[error("the connection was lost before the answer was whole")]
    Lost(#[source] reqwest::Error),
    /// The request is invalid: nothing was sent.
    #[error("cannot form the request")]
    NotFormed(#[source] reqwest::Error),
    /// The response exceeds its maximum size.
    #[error("the answer is longer than {limit} bytes")]
    TooLarge {
        /// The HTTP status.
        status: u16,
        /// In bytes.
        limit: usize,
    },
}

impl HttpError {
    /// The error and its root cause, without the library's intermediate errors.
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
    proxy: Option<ProxySettings>,
    connect_timeout: Duration,
}

impl Http {
    /// Creates the clients with the authorities of this host: see [`with_authorities`](Self::with_authorities).
    ///
    /// # Errors
    ///
    /// `HttpError` if TLS or the resolver is not available.
    pub fn new(connect_timeout: Duration, proxy: Option<ProxySettings>) -> Result<Self, HttpError> {
        Self::with_authorities(connect_timeout, proxy, None)
    }

    /// Creates both clients: one with the proxy, if there is one, and one without. They trust `authorities` alone, or
    /// without them those of this host.
    ///
    /// # Errors
    ///
    /// `HttpError` if TLS or the resolver is not available, or this host has no authorities.
    pub fn with_authorities(
        connect_timeout: Duration,
        proxy: Option<ProxySettings>,
        authorities: Option<&Authorities>,
    ) -> Result<Self, HttpError> {
        // Fails only if a provider is installed already, which then serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let trusted = match authorities {
            None => Vec::new(),
            Some(authorities) => authorities
                .certificates()
                .map(Certificate::from_der)
                .collect::<Result<Vec<_>, _>>()
                .map_err(HttpError::Setup)?,
        };
        let builder = || {
            let builder = builder(connect_timeout);
            if trusted.is_empty() { builder } else { builder.tls_certs_only(trusted.iter().cloned()) }
        };
        let direct = builder().build().map_err(HttpError::Setup)?;
        let proxied = match &proxy {
            None => direct.clone(),
            Some(proxy) => {
                let used =
                    Proxy::https(proxy.url().expose_secret()).map_err(|error| HttpError::Setup(error.without_url()))?;
                let used = used.no_proxy(NoProxy::from_string(proxy.exceptions()));
                builder().proxy(used).build().map_err(HttpError::Setup)?
            }
        };
        Ok(Self { proxied, direct, proxy, connect_timeout })
    }

    /// The proxy of encrypted calls.
    pub fn proxy(&self) -> Option<&ProxySettings> {
        self.proxy.as_ref()
    }

    /// One exchange. Every status is a response; an error means that none was complete.
    ///
    /// # Errors
    ///
    /// `HttpError` if there is no complete response.
    pub async fn send(&self, outgoing: Outgoing<'_>) -> Result<Incoming, HttpError> {
        let client = if outgoing.direct { &self.direct } else { &self.proxied };
        let mut request = client.request(outgoing.method, outgoing.url).timeout(outgoing.timeout).body(outgoing.body);
        for (name, value) in outgoing.headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.named(sort(error), outgoing.url).await),
        };
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

impl Http {
    /// The error of a connection that the proxy did not make, with the proxy's reason.
    async fn named(&self, error: HttpError, url: &str) -> HttpError {
        let HttpError::NotConnected(cause) = &error else { return error };
        let Some((scheme, rest)) = url.split_once("://") else { return error };
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let Some(proxy) = self.proxy.as_ref().filter(|proxy| scheme == "https" && proxy.serves(host)) else {
            return error;
        };
        // A silent proxy fails like a silent host.
        if !is_of_a_tunnel(cause) && !cause.is_timeout() {
            return error;
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let authority = if has_port { host.to_owned() } else { format!("{host}:443") };
        match proxy.reason(&authority, self.connect_timeout).await {
            Some(reason) => HttpError::Proxy { proxy: proxy.host().to_owned(), reason },
            None => error,
        }
    }
}

/// Whether a proxy was asked for the connection: one error of the chain says so.
fn is_of_a_tunnel(error: &dyn Error) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.to_string().contains("tunnel") {
            return true;
        }
        next = error.source();
    }
    false
}

#[expect(clippy::disallowed_methods, reason = "the one place that builds clients, after it installed the TLS provider")]
fn builder(connect_timeout: Duration) -> reqwest::ClientBuilder {
    Client::builder()
        .no_proxy()
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

/// A connect timeout is both a timeout and a failed connection; it counts that nothing was sent.
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
