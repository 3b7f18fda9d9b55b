//! The proxy that the environment names. It is read once, and refused if it cannot be used: a mistyped proxy must not
//! mean calls without one.
//!
//! Only encrypted calls use it; unencrypted ones stay on this machine or its hypervisor.

use std::{fmt, io, net::IpAddr, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::{
    adapters::secrets::KnownSecrets,
    domain::{api::host::HostPort, text::clean},
};

/// Variables that name it; the first one with a value counts.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// Variables that name hosts without it, likewise.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Maximum length of a proxy's first line.
const LONGEST_LINE: u64 = 1024;
/// Maximum length of the status in a message, in characters.
const LONGEST_STATUS: usize = 100;

/// A proxy. Its URL may contain a password, so that `Debug` shows only the host.
#[derive(Clone)]
pub struct ProxySettings {
    host: String,
    encrypted: bool,
    user: Option<SecretString>,
    exceptions: String,
}

/// A variable names no usable proxy. Its value may contain a password and is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{variable} does not name a proxy that can be used: {why}; write http://HOST:PORT, or remove the variable for calls \
     without a proxy"
)]
pub struct ProxyError {
    variable: &'static str,
    why: &'static str,
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxySettings").field("host", &self.host).finish_non_exhaustive()
    }
}

impl ProxySettings {
    /// The proxy that the variables name; `None` if they name none. Pass `|name| std::env::var(name).ok()`.
    ///
    /// # Errors
    ///
    /// `ProxyError` if a variable is set and its value is no `http://` or `https://` proxy.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, ProxyError> {
        let set = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let Some((name, value)) = VARIABLES.iter().find_map(|name| Some((*name, set(name)?))) else { return Ok(None) };
        let exceptions = EXCEPTIONS.iter().find_map(|name| set(name)).unwrap_or_default();
        let settings = Self::parse(&value, exceptions).map_err(|why| ProxyError { variable: name, why })?;
        Ok(Some(settings))
    }

    fn parse(url: &str, exceptions: String) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let encrypted = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err("its scheme is neither http nor https"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(SecretString::from(user)), host),
            None => (None, rest),
        };
        // In a URL each of them ends the host, so that the library would take the user for it.
        if user.as_ref().is_some_and(|user| user.expose_secret().contains(['/', '?', '#', '\\', ' '])) {
            return Err("its user or password has a `/`, `?`, `#`, `\\` or space; write %2F, %3F, %23, %5C or %20");
        }
        let host = HostPort::parse(host).ok_or("it has no valid host and port")?;
        let port = if encrypted { ":443" } else { ":80" };
        let host = format!("{host}{}", if host.port().is_some() { "" } else { port });
        Ok(Self { host, encrypted, user, exceptions })
    }

    /// Its host and port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Hosts that are called without it, as the variable names them.
    pub fn exceptions(&self) -> &str {
        &self.exceptions
    }

    /// Entries of the exceptions that no host matches: the proxy is used in spite of them.
    pub fn void_exceptions(&self) -> Vec<&str> {
        let entries = self.exceptions.split(',').map(str::trim);
        entries.filter(|entry| matches!(Exception::of(entry), Exception::Void)).collect()
    }

    /// Whether encrypted calls to `host`, with or without a port, use it.
    pub(super) fn serves(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.trim_matches(['[', ']']).to_ascii_lowercase();
        !self.exceptions.split(',').map(str::trim).any(|entry| Exception::of(entry).has(&name))
    }

    /// Adds its user and password, as it is written and as it is sent.
    pub(super) fn teach(&self, secrets: &KnownSecrets) {
        let Some(user) = &self.user else { return };
        let written = user.expose_secret();
        let sent = percent_encoding::percent_decode_str(written).decode_utf8_lossy();
        secrets.learn(&BASE64_STANDARD.encode(&*sent));
        for login in [written, &*sent] {
            secrets.learn(login);
            secrets.learn(login.split_once(':').map_or("", |(_, password)| password));
        }
    }

    /// Its URL, with the user.
    pub(super) fn url(&self) -> SecretString {
        let scheme = if self.encrypted { "https" } else { "http" };
        let user = self.user.as_ref().map(|user| format!("{}@", user.expose_secret())).unwrap_or_default();
        format!("{scheme}://{user}{}", self.host).into()
    }

    /// Asks for a connection to `authority` again, for the reason of a failure, which the HTTP library does not keep.
    /// `None` if the proxy grants it, or its reason cannot be asked for.
    pub(super) async fn reason(&self, authority: &str, limit: Duration) -> Option<String> {
        if self.encrypted {
            return None;
        }
        match tokio::time::timeout(limit, self.connect(authority)).await {
            Ok(Ok(status)) if status.starts_with('2') => None,
            Ok(Ok(status)) => Some(format!("answers {}", clean(&status, LONGEST_STATUS))),
            Ok(Err(error)) => Some(format!("cannot be used: {error}")),
            Err(_) => Some("does not answer in time".to_owned()),
        }
    }

    /// The status of the answer to CONNECT, such as `503 Service Unavailable`.
    async fn connect(&self, authority: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(&self.host).await?;
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        if let Some(user) = &self.user {
            let user = percent_encoding::percent_decode_str(user.expose_secret()).collect::<Vec<u8>>();
            request.push_str(&format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(user)));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut line = Vec::new();
        BufReader::new(stream.take(LONGEST_LINE)).read_until(b'\n', &mut line).await?;
        let line = String::from_utf8_lossy(&line);
        let status = line.trim().split_once(' ').map(|(_, status)| status.trim().to_owned());
        status.filter(|_| line.starts_with("HTTP/")).ok_or_else(|| io::Error::other("it does not answer by HTTP"))
    }
}

/// An entry of the exceptions, by the rules of the HTTP library.
enum Exception {
    All,
    Network(IpAddr, u32),
    /// With all names below it.
    Domain(String),
    /// An entry that looks like more than these: a port, another wildcard, a network with a wrong length.
    Void,
}

impl Exception {
    fn of(entry: &str) -> Self {
        let (address, length) =
            entry.split_once('/').map_or((entry, None), |(address, length)| (address, Some(length)));
        if let Ok(ip) = address.parse::<IpAddr>() {
            let bits = if ip.is_ipv4() { 32 } else { 128 };
            return match length.map_or(Ok(bits), str::parse) {
                Ok(length) if length <= bits => Self::Network(ip, length),
                _ => Self::Void,
            };
        }
        match entry {
            "*" => Self::All,
            entry if entry.contains([':', '/', '*', '[']) => Self::Void,
            entry => Self::Domain(entry.trim_start_matches('.').to_ascii_lowercase()),
        }
    }

    fn has(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Network(network, length) => host.parse().is_ok_and(|ip| bits(*network, *length) == bits(ip, *length)),
            Self::Domain(domain) if domain.is_empty() => false,
            Self::Domain(domain) => {
                host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Self::Void => false,
        }
    }
}

/// The first bits of an address, and which kind it is.
fn bits(ip: IpAddr, length: u32) -> (bool, u128) {
    let (bits, width) = match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    };
    (width == 32, bits.checked_shr(width - length.min(width)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<ProxySettings>, ProxyError> {
        ProxySettings::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_first_variable_with_a_value_counts() {
        assert!(read(&[("HTTPS_PROXY", " "), ("HTTP_PROXY", "http://a:1")]).unwrap().is_none());
        let proxy = read(&[("ALL_PROXY", "http://b:2"), ("https_proxy", "a"), ("no_proxy", ".example,10.0.0.0/8")]);
        let proxy = proxy.unwrap().unwrap();
        assert_eq!((proxy.host(), proxy.exceptions()), ("a:80", ".example,10.0.0.0/8"));
        assert_eq!(proxy.url().expose_secret(), "http://a:80");
        let proxy = read(&[("HTTPS_PROXY", "https://n:p%40s@[::1]/")]).unwrap().unwrap();
        assert_eq!((proxy.host(), proxy.url().expose_secret()), ("[::1]:443", "https://n:p%40s@[::1]:443"));
        assert!(!format!("{proxy:?}").contains("p%40s"));
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_and_its_password_is_not_shown() {
        for value in [
            "socks5h://s3cret@proxy:1080",
            "http://n:s3cret@",
            "http://s3cret proxy:80",
            "proxy:99999",
            "http://a/s3cret",
            "http://n:s3cret/x@a:1",
            "http://n:s3cret#x@a:1",
            "http://n:s3cret?x@a:1",
        ] {
            let error = read(&[("HTTPS_PROXY", value)]).unwrap_err().to_string();
            assert!(error.starts_with("HTTPS_PROXY does not name") && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn exceptions_are_domains_networks_and_a_star() {
        let serves = |exceptions: &str, host: &str| {
            let proxy = read(&[("HTTPS_PROXY", "a:1"), ("NO_PROXY", exceptions)]).unwrap().unwrap();
            (proxy.serves(host), proxy.void_exceptions().len())
        };
        for (exceptions, host) in [
            ("*", "x.example"),
            (" x , .Example", "api.example:443"),
            ("example", "API.example"),
            ("api.example", "api.example"),
            ("10.0.0.0/8", "10.9.9.9:8443"),
            ("10.9.9.9", "10.9.9.9"),
            ("fd00::/8", "[fd12::1]:443"),
            ("0.0.0.0/0", "192.0.2.1"),
        ] {
            assert_eq!(serves(exceptions, host), (false, 0), "{exceptions}");
        }
        for (exceptions, host, void) in [
            ("", "x.example", 0),
            ("ample,10.0.0.0/8", "x.example", 0),
            ("10.0.0.0/8", "11.0.0.1", 0),
            ("0.0.0.0/0", "[fd12::1]", 0),
            ("api.example:443", "api.example:443", 1),
            ("*.example,10.0.0.0/33,[::1]", "api.example", 3),
        ] {
            assert_eq!(serves(exceptions, host), (true, void), "{exceptions}");
        }
    }

    #[tokio::test]
    async fn the_status_of_a_rejected_connection_is_named() {
        for (answer, reason) in [
            ("HTTP/1.1 503 Service\u{1b} Unavailable\r\n\r\n", Some(r"answers 503 Service\u{1b} Unavailable")),
            ("HTTP/1.0 407 Proxy Authentication Required\r\n", Some("answers 407 Proxy Authentication Required")),
            ("HTTP/1.1 200 Connection established\r\n\r\n", None),
            ("SSH-2.0-x\r\n", Some("cannot be used: it does not answer by HTTP")),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://name:pass@{}", listener.local_addr().unwrap());
            let proxy = read(&[("HTTPS_PROXY", &url)]).unwrap().unwrap();
            let served = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 1024];
                let length = stream.read(&mut request).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                String::from_utf8(request[..length].to_vec()).unwrap()
            });
            assert_eq!(proxy.reason("api.example:443", Duration::from_secs(30)).await.as_deref(), reason);
            let request = served.await.unwrap();
            assert!(request.starts_with("CONNECT api.example:443 HTTP/1.1\r\n"), "{request}");
            assert!(request.contains("\r\nProxy-Authorization: Basic bmFtZTpwYXNz\r\n"), "{request}");
        }
    }
}
