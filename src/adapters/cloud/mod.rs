//! The client of the WUYING API: every call to the cloud goes through here.
//!
//! A call is a typed value ([`actions`]) that becomes names and values ([`request`]), is signed ([`acs3`]) with
//! [`credentials`], waits its turn ([`throttle`]), goes to its [`endpoint`] over [`http`], and comes back as an
//! [`ApiResponse`] or as an [`ApiError`](crate::domain::api::call::ApiError) ([`answer`]) whose class comes from one table
//! ([`codes`](crate::domain::api::codes)). [`client`] strings these together.
//!
//! Nothing here repeats a call. Whether a call may be repeated depends on the earlier attempts in the history,
//! so the bake decides that, and each call through this module is one attempt that it can record.

use std::time::Duration;

use crate::domain::api::mode::Mode;

pub mod acs3;
pub mod actions;
pub mod answer;
pub mod client;
pub mod credentials;
pub mod endpoint;
pub mod http;
mod lenient;
pub mod listing;
pub mod outage;
pub mod request;
pub mod throttle;

pub use self::answer::ApiResponse;
pub use self::client::{CloudClient, CloudError, Gate, NonceSource, ProbeResult, Unanswered, random_nonces};
pub use self::credentials::{CredentialSource, Environment};

/// What the client takes from the configuration.
#[derive(Debug, Clone)]
pub struct CloudOptions {
    /// The account's region, which decides between the two hosts of the API; not the region of an instance.
    pub region: String,
    /// Replaces the App Streaming host: `https://host[:port]`, a bare host, or `http://` on loopback.
    pub endpoint: Option<String>,
    /// Replaces the host of the cloud desktop calls likewise; a loopback `endpoint` serves both where this is `None`.
    pub ecd_endpoint: Option<String>,
    /// Where the key pair comes from.
    pub credentials: CredentialSource,
    /// How long a connection may take to be made, TLS included.
    pub connect_timeout: Duration,
    /// How long a whole call may take, its answer's body included.
    pub timeout: Duration,
    /// All calls together; the API's own limits are not published.
    pub requests_per_second: f64,
    /// Whether calls that change something go out.
    pub mode: Mode,
}

impl Default for CloudOptions {
    fn default() -> Self {
        Self {
            region: "cn-shanghai".to_owned(),
            endpoint: None,
            ecd_endpoint: None,
            credentials: CredentialSource::Default,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            requests_per_second: 5.0,
            mode: Mode::Act,
        }
    }
}
