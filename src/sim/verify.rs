//! Whether a request is signed as ACS3-HMAC-SHA256 asks, fresh, and not a replay.
//!
//! Written apart from the client's signing on purpose: two implementations of one text check each other.

use std::{
    collections::{HashSet, VecDeque},
    fmt::Write as _,
};

use axum::http::HeaderMap;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{codes::SimFailure, params::form_pairs};

const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// How far x-acs-date may be from the server's time, either way.
pub(super) const TOLERANCE: TimeDelta = TimeDelta::minutes(15);

/// A date is acceptable for twice [`TOLERANCE`], so a nonce has to be known for longer than that.
const NONCE_MEMORY: TimeDelta = TimeDelta::minutes(31);

/// Bounds the memory for nonces to some 100 MB at worst; the oldest are forgotten first.
const MOST_NONCES: usize = 1_000_000;

/// What RFC 3986 calls unreserved stays as it is; all other bytes are escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A request as it came over the wire.
#[derive(Debug)]
pub(super) struct Received<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

impl Received<'_> {
    /// A header's text, trimmed; empty where it is absent or not text.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).unwrap_or_default().trim()
    }
}

/// The key pair that the simulator accepts.
#[derive(Debug, Clone)]
pub(super) struct KeyPair {
    pub(super) id: String,
    pub(super) secret: SecretString,
    pub(super) token: Option<SecretString>,
}

/// The key id that a request claims, before anything is checked.
pub(super) fn claimed_key<'a>(received: &'a Received<'_>) -> Option<&'a str> {
    Claim::parse(received.header("authorization")).map(|claim| claim.key_id)
}

/// Checks everything but the nonce, which only counts once the signature has been found good.
pub(super) fn verify(received: &Received<'_>, keys: &KeyPair, now: DateTime<Utc>) -> Result<(), SimFailure> {
    let authorization = received.header("authorization");
    if authorization.is_empty() {
        return Err(SimFailure::new("MissingAccessKeyId"));
    }
    let claim = Claim::parse(authorization).ok_or_else(|| SimFailure::new("IncompleteSignature"))?;
    if claim.key_id != keys.id {
        return Err(SimFailure::new("InvalidAccessKeyId.NotFound"));
    }
    let date = NaiveDateTime::parse_from_str(received.header("x-acs-date"), "%Y-%m-%dT%H:%M:%SZ")
        .map_err(|_| SimFailure::new("InvalidTimeStamp.Format"))?;
    if now.signed_duration_since(date.and_utc()).abs() > TOLERANCE {
        return Err(SimFailure::new("InvalidTimeStamp.Expired"));
    }
    if received.header("x-acs-signature-nonce").is_empty() {
        return Err(SimFailure::missing("SignatureNonce"));
    }
    if let Some(unsigned) = unsigned_header(received.headers, &claim.signed_headers) {
        return Err(
            SimFailure::new("IncompleteSignature").with_message(format!("The header {unsigned} must be signed."))
        );
    }
    let text = string_to_sign(received, &claim.signed_headers);
    let body_hash = hex::encode(Sha256::digest(received.body));
    if received.header("x-acs-content-sha256") != body_hash
        || claim.signature != sign(keys.secret.expose_secret(), &text)
    {
        return Err(SimFailure::new("SignatureDoesNotMatch").with_message(format!(
            "Specified signature does not match our calculation. server StringToSign is [{text}]"
        )));
    }
    match (&keys.token, received.header("x-acs-security-token")) {
        (None, "") => Ok(()),
        (Some(_), "") => Err(SimFailure::new("MissingSecurityToken")),
        (Some(token), sent) if token.expose_secret() == sent => Ok(()),
        _ => Err(SimFailure::new("InvalidSecurityToken.Expired")),
    }
}

/// The parts of an Authorization header.
struct Claim<'a> {
    key_id: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    fn parse(authorization: &'a str) -> Option<Self> {
        let parts = authorization.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        let field = |name: &str| {
            parts.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).filter(|f| !f.is_empty())
        };
        Some(Self {
            key_id: field("Credential")?,
            signed_headers: field("SignedHeaders")?.split(';').collect(),
            signature: field("Signature")?,
        })
    }
}

/// A header that is there, has to be signed and is not. `host` has to be there too.
fn unsigned_header<'a>(headers: &'a HeaderMap, signed: &[&str]) -> Option<&'a str> {
    headers
        .keys()
        .map(axum::http::header::HeaderName::as_str)
        .filter(|name| name.starts_with("x-acs-") || *name == "content-type")
        .chain(std::iter::once("host"))
        .find(|name| !signed.contains(name))
}

fn string_to_sign(received: &Received<'_>, signed: &[&str]) -> String {
    let mut pairs: Vec<(String, String)> = form_pairs(received.query.as_bytes()).collect();
    pairs.sort_unstable();
    let query: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", utf8_percent_encode(name, ESCAPED), utf8_percent_encode(value, ESCAPED)))
        .collect();
    let mut names = signed.to_vec();
    names.sort_unstable();
    let mut headers = String::new();
    for name in &names {
        let mut values: Vec<String> = received
            .headers
            .get_all(*name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
            .collect();
        values.sort_unstable();
        // Writing into a String cannot fail.
        let _ = writeln!(headers, "{name}:{}", values.join(","));
    }
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{}\n{}",
        received.method,
        received.path,
        query.join("&"),
        names.join(";"),
        received.header("x-acs-content-sha256"),
    );
    format!("{ALGORITHM}\n{}", hex::encode(Sha256::digest(canonical)))
}

fn sign(secret: &str, text: &str) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// The nonces of accepted requests, while a replay could still pass the date check.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    known: HashSet<String>,
    by_age: VecDeque<(DateTime<Utc>, String)>,
}

impl Nonces {
    /// Remembers `nonce`, or refuses it because it is remembered already.
    pub(super) fn admit(&mut self, nonce: &str, now: DateTime<Utc>) -> Result<(), SimFailure> {
        while let Some((seen, _)) = self.by_age.front() {
            if now.signed_duration_since(*seen) <= NONCE_MEMORY && self.by_age.len() < MOST_NONCES {
                break;
            }
            if let Some((_, old)) = self.by_age.pop_front() {
                self.known.remove(&old);
            }
        }
        if !self.known.insert(nonce.to_owned()) {
            return Err(SimFailure::new("SignatureNonceUsed"));
        }
        self.by_age.push_back((now, nonce.to_owned()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::HeaderValue;

    use super::*;

    #[test]
    fn the_published_example_is_reproduced() {
        let body_hash = hex::encode(Sha256::digest(b""));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "ecs.cn-shanghai.aliyuncs.com"),
            ("x-acs-action", "RunInstances"),
            ("x-acs-content-sha256", &body_hash),
            ("x-acs-date", "2023-10-26T10:22:32Z"),
            ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
            ("x-acs-version", "2014-05-26"),
        ] {
            headers
                .insert(axum::http::header::HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let received = Received {
            method: "POST",
            path: "/",
            query: "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai",
            headers: &headers,
            body: b"",
        };
        let signed =
            ["host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"];
        assert_eq!(
            sign("YourAccessKeySecret", &string_to_sign(&received, &signed)),
            "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        );
    }

    #[test]
    fn the_parts_of_a_signature_have_no_blanks() {
        let key = |text: &str| Claim::parse(text).map(|claim| claim.key_id.to_owned());
        let fields = "Credential=id,SignedHeaders=host,Signature=0";
        assert_eq!(key(&format!("{ALGORITHM} {fields}")).as_deref(), Some("id"));
        assert_eq!(
            key(&format!("{ALGORITHM} {}", fields.replace("id,", "id ,"))).as_deref(),
            Some("id "),
            "another key"
        );
        for wrong in [format!("{ALGORITHM}{fields}"), format!("{ALGORITHM}  {fields}"), fields.replace(',', ", ")] {
            assert_eq!(key(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_nonce_is_forgotten_only_after_its_date_has_expired() {
        let mut nonces = Nonces::default();
        let start = DateTime::UNIX_EPOCH;
        assert_eq!(nonces.admit("n", start), Ok(()));
        assert_eq!(nonces.admit("n", start + TimeDelta::minutes(30)), Err(SimFailure::new("SignatureNonceUsed")));
        assert_eq!(nonces.admit("n", start + TimeDelta::minutes(32)), Ok(()));
    }
}
