//! Headers of a signed request.

use chrono::{DateTime, SecondsFormat, Utc};
use secrecy::{ExposeSecret as _, SecretString};

use super::{acs3, request::RpcRequest};

/// What signs a request.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// Not a secret; see [`masked`](Self::masked).
    pub id: String,
    /// The secret that goes with it.
    pub secret: SecretString,
    /// Goes along with temporary keys.
    pub security_token: Option<SecretString>,
}

impl AccessKey {
    /// Whether both sign alike.
    pub fn is_same(&self, other: &Self) -> bool {
        let token = |key: &Self| key.security_token.as_ref().map(|token| token.expose_secret().to_owned());
        self.id == other.id
            && self.secret.expose_secret() == other.secret.expose_secret()
            && token(self) == token(other)
    }

    /// The id, for people: enough to recognise it, not enough to search the web for it.
    pub fn masked(&self) -> String {
        let chars: Vec<char> = self.id.chars().collect();
        let shown = if chars.len() >= 12 { 4 } else { chars.len() / 4 };
        let (first, last) = (&chars[..shown], &chars[chars.len() - shown..]);
        first.iter().copied().chain(['…']).chain(last.iter().copied()).collect()
    }
}

/// What makes a request unlike every other one.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// This host's time.
    pub at: DateTime<Utc>,
    /// At least 128 random bits as text.
    pub nonce: String,
}

/// All headers of a request to the host `authority`, `authorization` last; it covers the others.
pub fn signed_headers(
    request: &RpcRequest,
    authority: &str,
    key: &AccessKey,
    body: &str,
    stamp: &Stamp,
) -> Vec<(String, String)> {
    let body_sha256 = acs3::sha256_hex(body.as_bytes());
    let date = stamp.at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut headers = vec![
        ("accept", "application/json"),
        ("host", authority),
        ("user-agent", USER_AGENT),
        ("x-acs-action", request.action),
        ("x-acs-content-sha256", &body_sha256),
        ("x-acs-date", &date),
        ("x-acs-signature-nonce", &stamp.nonce),
        ("x-acs-version", request.product.version()),
    ];
    if request.form.is_some() {
        headers.push(("content-type", "application/x-www-form-urlencoded"));
    }
    if let Some(token) = &key.security_token {
        headers.push(("x-acs-accesskey-id", &key.id));
        headers.push(("x-acs-security-token", token.expose_secret()));
    }
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let mut headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let canonical = acs3::canonical_request("POST", "/", request.query.as_slice(), &headers, &names, &body_sha256);
    let signature = acs3::sign(key.secret.expose_secret(), &acs3::string_to_sign(&canonical));
    let authorization = acs3::authorization(&key.id, &names, &signature);
    headers.push(("authorization".to_owned(), authorization));
    headers
}

/// This program and its version.
pub(super) const USER_AGENT: &str = concat!("imagebaked/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_id_shows_its_ends_and_never_most_of_it() {
        let masked = |id: &str| {
            let key = AccessKey { id: id.to_owned(), secret: "".into(), security_token: None };
            key.masked()
        };
        assert_eq!(masked("STS.NUabcdefghijklmnop"), "STS.…mnop");
        assert_eq!(masked("sim-key-id"), "si…id");
        assert_eq!((masked("abc"), masked("")), ("…".to_owned(), "…".to_owned()));
    }
}
