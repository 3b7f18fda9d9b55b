//! A host and its port, as the configuration, a variable or the Host header of a request names them: the one parser, which
//! takes nothing before, between and after them.
//!
//! ```
//! use imagebaked::domain::api::host::HostPort;
//!
//! let host = HostPort::parse("Bake.Example.com:8443").unwrap();
//! assert_eq!((host.to_string().as_str(), host.port()), ("bake.example.com:8443", Some(8443)));
//! assert_eq!(HostPort::parse("[::1]evil"), None);
//! ```

use core::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// Maximum length of a name, and of one of its labels (RFC 1035).
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A name or an address, and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// In lower case.
    Name(String),
    Address(IpAddr),
}

impl HostPort {
    /// Parses `name`, `192.0.2.1` or `[2001:db8::1]`, each with or without `:port`. A name has labels of 1 to 63 letters,
    /// digits and hyphens between dots, no hyphen at an end of one, and its last label is no number.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            (Host::Address(address.parse::<Ipv6Addr>().ok()?.into()), port)
        } else {
            let end = text.find(':').unwrap_or(text.len());
            (Host::parse(&text[..end])?, &text[end..])
        };
        let port = match port.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if port.is_empty() => None,
            None => return None,
        };
        Some(Self { host, port })
    }

    /// The name in lower case; `None` for an address.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        }
    }

    /// The port, if it is named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The same without this port, which is the usual one.
    #[must_use]
    pub fn without_port(mut self, usual: u16) -> Self {
        self.port = self.port.filter(|port| *port != usual);
        self
    }

    /// Whether it is this machine: `localhost` or a loopback address.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Name(name) => name == "localhost",
            Host::Address(address) => address.is_loopback(),
        }
    }

    /// Whether no other party can lead a browser here by it: an address, `localhost` or a name below it. Any other name may
    /// have been pointed here (DNS rebinding).
    pub fn is_own(&self) -> bool {
        self.name().is_none_or(|name| name == "localhost" || name.ends_with(".localhost"))
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            // One of version 6 has brackets.
            return address.is_ipv4().then_some(Self::Address(address));
        }
        let is_label = |label: &str| {
            (1..=LONGEST_LABEL).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_name = text.len() <= LONGEST_NAME && text.split('.').all(is_label);
        // Other parsers read `127.1` and `0x7f.1` as addresses.
        let last = text.rsplit('.').next().unwrap_or(text).to_ascii_lowercase();
        let hex = last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let is_number = hex || last.bytes().all(|byte| byte.is_ascii_digit());
        (is_name && !is_number).then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

/// 1 to 65535, without a sign and without zeros before it.
fn parse_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

/// As in a Host header.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => f.write_str(name)?,
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_names_and_addresses() {
        let label = "a".repeat(63);
        for (text, shown) in [
            ("localhost", "localhost"),
            ("Bake.Example.com:8443", "bake.example.com:8443"),
            ("xn--fiqs8s", "xn--fiqs8s"),
            ("3com.example", "3com.example"),
            ("a-b.c", "a-b.c"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]", "[::1]"),
            ("[FD00:0:0::7]:65535", "[fd00::7]:65535"),
            (&label, &label),
        ] {
            assert_eq!(HostPort::parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_a_host_is_none() {
        let (label, name) = ("a".repeat(64), ["abcdefgh"; 29].join("."));
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "a.-b",
            "a_b",
            "a b",
            " a",
            "a ",
            "a/",
            "a\\",
            "a?x",
            "a#x",
            "a%20",
            "user@a",
            "user:1@a",
            "a:",
            "a:0",
            "a:+80",
            "a:080",
            "a:65536",
            "a:80:80",
            "a:80x",
            "::1",
            "[::1",
            "[::1]evil",
            "[::1].evil.example",
            "[::1]:",
            "[::1]]",
            "[[::1]]",
            "[127.0.0.1]",
            "[fe80::1%eth0]",
            "[a]",
            "127.1",
            "127.0.0.01",
            "127.0.0.1.",
            "1.2.3.4.5",
            "2130706433",
            "0x7f.1",
            "a.0x7f",
            "a\u{0}",
            "a\r\nb",
            "münchen.example",
            "ⓛocalhost",
            &label,
            &name,
        ] {
            assert_eq!(HostPort::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn names_that_others_can_point_here_are_not_own() {
        let is_own = |text: &str| HostPort::parse(text).is_some_and(|host| host.is_own());
        for text in ["localhost", "LOCALHOST:1", "a.localhost", "10.0.0.1", "[fd00::7]:80"] {
            assert!(is_own(text), "{text}");
        }
        for text in ["evil.example", "notlocalhost", "localhost.evil.example", "127.0.0.1.evil.example", "[::1]evil"] {
            assert!(!is_own(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_a_host_is_shown_as_one_and_has_nothing_else(text in "[a-zA-Z0-9.:@/\\[\\]%_ -]{0,40}|.{0,20}|[a-c1.:-]{1,8}") {
            if let Some(host) = HostPort::parse(&text) {
                let shown = host.to_string();
                prop_assert_eq!(HostPort::parse(&shown), Some(host.clone()));
                prop_assert!(shown.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)));
                // What other parsers of URLs read in it is the same host.
                let url = reqwest::Url::parse(&format!("https://{text}/")).unwrap();
                let other = HostPort::parse(url.host_str().unwrap_or_default()).unwrap();
                prop_assert_eq!(other.name(), host.name());
                prop_assert_eq!(other.is_loopback(), host.is_loopback());
                prop_assert_eq!((url.path(), url.username(), url.query()), ("/", "", None));
            }
        }

        #[test]
        fn every_name_and_address_is_a_host(name in "[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\\.[a-z]{1,10}){0,3}", port in 1u16.., v6: u128) {
            let host = HostPort::parse(&format!("{name}:{port}")).unwrap();
            prop_assert_eq!((host.name(), host.port()), (Some(name.as_str()), Some(port)));
            let text = format!("[{}]:{port}", Ipv6Addr::from_bits(v6));
            let is_own = HostPort::parse(&text).is_some_and(|host| host.is_own());
            prop_assert!(is_own, "{}", text);
        }
    }
}
