//! Client of the WUYING API: every call to the cloud goes through this module.
//!
//! A call is a typed value ([`actions`]) that is converted to names and values ([`request`]), signed ([`signing`], [`acs3`]) with
//! [`credentials`], delayed by the rate limit ([`throttle`]), sent to its [`endpoint`] over [`http`], and returned as
//! an [`ApiResponse`] or as an [`ApiError`](crate::domain::api::call::ApiError) ([`answer`]) whose class comes from one
//! table ([`codes`](crate::domain::api::codes)). [`client`] combines these.
//!
//! This module never repeats a call. Whether a call may be repeated depends on the earlier attempts in the history, so
//! the bake decides that; each call here is one attempt that it can record.

use std::{collections::BTreeMap, time::Duration};

use crate::domain::api::{credential_source::CredentialSource, mode::Mode};

pub mod acs3;
pub mod actions;
pub mod answer;
pub mod authorities;
mod calls;
pub mod client;
mod credential_review;
pub mod credentials;
mod damaged_json;
pub mod endpoint;
pub mod http;
mod key_check;
mod key_owner;
pub mod key_watch;
mod lenient;
mod list_calls;
pub mod listing;
pub mod outage;
pub mod proxy;
pub mod request;
pub mod signing;
mod text_faults;
pub mod throttle;

pub use self::answer::ApiResponse;
pub use self::authorities::{Authorities, AuthoritiesError};
pub use self::client::{
    CloudClient, CloudError, CredentialsInUse, Gate, NonceSource, ProbeResult, Unanswered, random_nonces,
};
pub use self::credentials::Environment;
pub use self::list_calls::Readable;
pub use self::proxy::{ProxyError, ProxySettings};

/// Settings of the client from the configuration.
#[derive(Debug, Clone)]
pub struct CloudOptions {
    /// Region of the account, which selects one of the two hosts of the API; not the region of an instance.
    pub region: String,
    /// Overrides the App Streaming host: `https://host[:port]`, a host name, or `http://` on loopback.
    pub endpoint: Option<String>,
    /// Overrides the host of the cloud desktop calls; if it is `None`, a loopback `endpoint` serves both.
    pub ecd_endpoint: Option<String>,
    /// The same for single regions; they go before it.
    pub ecd_endpoints: BTreeMap<String, String>,
    /// Overrides the host of the token service; if it is `None`, a loopback `endpoint` serves it, too.
    pub sts_endpoint: Option<String>,
    /// Overrides the ECS metadata service, for machines without one.
    pub metadata_endpoint: Option<String>,
    /// Source of the key pair.
    pub credentials: CredentialSource,
    /// Timeout of a connection attempt, TLS included.
    pub connect_timeout: Duration,
    /// Timeout of a whole call, the response's body included.
    pub timeout: Duration,
    /// Maximum calls per second, all together; the API's own limits are not published.
    pub requests_per_second: f64,
    /// Proxy of encrypted calls.
    pub proxy: Option<ProxySettings>,
    /// Authorities that are trusted in place of those of the host.
    pub authorities: Option<Authorities>,
    /// Whether calls that change something go out.
    pub mode: Mode,
}

impl Default for CloudOptions {
    fn default() -> Self {
        Self {
            region: "cn-shanghai".to_owned(),
            endpoint: None,
            ecd_endpoint: None,
            ecd_endpoints: BTreeMap::new(),
            sts_endpoint: None,
            metadata_endpoint: None,
            credentials: CredentialSource::Default,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            requests_per_second: 5.0,
            proxy: None,
            authorities: None,
            mode: Mode::Act,
        }
    }
}
