//! An endpoint as the configuration writes it: the one parser of endpoints.

use core::net::{IpAddr, Ipv6Addr};

/// A scheme, a host and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: &'static str,
    /// As in the `host` header: without the scheme's default port, because HTTP clients omit it.
    authority: String,
}

impl Endpoint {
    /// Parses `https://host[:port]`, a host name, or `http://` on loopback.
    ///
    /// # Errors
    ///
    /// `EndpointError` if an address or the region is invalid.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let refuse = || EndpointError::NotAHost(text.to_owned());
        let text_lower = text.trim().trim_end_matches('/').to_ascii_lowercase();
        let (scheme, authority) = text_lower.split_once("://").unwrap_or(("https", &text_lower));
        let (scheme, own_port) = match scheme {
            "https" => ("https", ":443"),
            "http" => ("http", ":80"),
            _ => return Err(refuse()),
        };
        let authority = authority.strip_suffix(own_port).unwrap_or(authority).to_owned();
        let endpoint = Self { scheme, authority };
        if !endpoint.is_well_formed() {
            return Err(refuse());
        }
        if scheme == "http" && !endpoint.is_loopback() {
            return Err(EndpointError::NotEncrypted(text.to_owned()));
        }
        Ok(endpoint)
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
        is_loopback(self.host())
    }

    /// Whether requests to it are encrypted; if not, it is on this machine.
    pub fn is_encrypted(&self) -> bool {
        self.scheme == "https"
    }

    fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => host,
            _ => &self.authority,
        }
    }

    fn is_well_formed(&self) -> bool {
        let host = self.host();
        let port = self.authority[host.len()..].strip_prefix(':');
        let host_is_good = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-'),
        };
        host_is_good && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
    }
}

/// `localhost` or a loopback address, IPv6 in brackets or bare.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
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
            "https://user@a",
            "a b",
            "a:0",
            "a:99999",
            "https://a?x",
            "[::g]",
            "[127.0.0.1]",
            "http://[127.0.0.1]",
            "[::1",
            "::1",
        ] {
            assert_eq!(Endpoint::parse(text), Err(EndpointError::NotAHost(text.to_owned())));
        }
        for text in ["http://a.example", "http://127.0.0.1.example", "http://10.0.0.1:80"] {
            assert_eq!(Endpoint::parse(text), Err(EndpointError::NotEncrypted(text.to_owned())));
        }
        assert_eq!(Endpoint::parse("http://[::1]:80").unwrap().authority(), "[::1]");
    }
}
