//! An endpoint as the configuration writes it: the one parser of endpoints.

use super::host::HostPort;
use crate::domain::text::{LONGEST_EXCERPT, excerpt};

/// A scheme, a host and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: &'static str,
    host: HostPort,
    /// As in the `host` header: without the scheme's default port, because HTTP clients omit it.
    authority: String,
}

impl Endpoint {
    /// Parses `https://host[:port]`, a host, or `http://` on loopback; each may end in one slash.
    ///
    /// # Errors
    ///
    /// `EndpointError` if an address or the region is invalid.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let refuse = || EndpointError::NotAHost(shown(text));
        let (scheme, host) = text.split_once("://").unwrap_or(("https", text));
        let (scheme, usual_port) = match scheme.to_ascii_lowercase().as_str() {
            "https" => ("https", 443),
            "http" => ("http", 80),
            _ => return Err(refuse()),
        };
        let host = HostPort::parse(host.strip_suffix('/').unwrap_or(host)).ok_or_else(refuse)?;
        if scheme == "http" && !host.is_loopback() {
            return Err(EndpointError::NotEncrypted(shown(text)));
        }
        let host = host.without_port(usual_port);
        Ok(Self { scheme, authority: host.to_string(), host })
    }

    /// The value of the `host` header.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// URL of the API's one path, with this encoded query.
    pub fn url(&self, query: &str) -> String {
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}://{}/{mark}{query}", self.scheme, self.authority)
    }

    /// Whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        self.host.is_loopback()
    }

    /// Whether requests to it are encrypted; if not, it is on this machine.
    pub fn is_encrypted(&self) -> bool {
        self.scheme == "https"
    }
}

/// The text for an error, without the user and password that may stand before the host.
fn shown(text: &str) -> String {
    let text = text.rsplit_once('@').map_or_else(|| text.to_owned(), |(_, host)| format!("…@{host}"));
    excerpt(&text, LONGEST_EXCERPT).into_owned()
}

/// An invalid endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not `https://host[:port]` nor a host.
    #[error("`{0}` is not an endpoint: write https://host, https://host:port or a host's name")]
    NotAHost(String),
    /// Plain HTTP to another host.
    #[error("`{0}` is not encrypted: http:// is for loopback only, use https://")]
    NotEncrypted(String),
    /// The region gives no valid host name.
    #[error("`{0}` is not a region id, such as cn-shanghai")]
    NotARegion(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_not_a_safe_host() {
        for text in [
            "",
            "ftp://a",
            "https://a/b",
            "a b",
            "a:0",
            "a:99999",
            "https://a?x",
            "[::g]",
            "[127.0.0.1]",
            "http://[127.0.0.1]",
            "[::1",
            "::1",
            "https://a..b",
            "https://-a",
            "https://a.-b.c",
            "https://a:443:443",
            "https://a:+443",
            "https://a//",
            " https://a",
            "https://a ",
            "https://[::1]evil",
            "https://127.1",
            "https://https://a",
        ] {
            assert_eq!(Endpoint::parse(text), Err(EndpointError::NotAHost(text.to_owned())));
        }
        let refused = Endpoint::parse("https://user:secret@a");
        assert_eq!(refused, Err(EndpointError::NotAHost("…@a".to_owned())));
        for text in ["http://a.example", "http://127.0.0.1.example", "http://10.0.0.1:80"] {
            assert_eq!(Endpoint::parse(text), Err(EndpointError::NotEncrypted(text.to_owned())));
        }
        assert_eq!(Endpoint::parse("http://[::1]:80").unwrap().authority(), "[::1]");
        assert_eq!(Endpoint::parse("HTTPS://A.Example:443/").unwrap().url("x=1"), "https://a.example/?x=1");
        let long = Endpoint::parse(&"x".repeat(100_000)).unwrap_err().to_string();
        assert!(long.len() < 500 && long.contains("… (100000 characters)"), "{long}");
    }
}
