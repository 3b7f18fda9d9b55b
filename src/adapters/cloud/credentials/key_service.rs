//! Services that hand out temporary keys as one JSON object: the metadata service of an ECS machine and credentials URIs.

use std::time::Duration;

use secrecy::zeroize::Zeroize as _;
use serde::Deserialize;

use super::types::NoKey;
use crate::adapters::cloud::{
    actions::TemporaryKey,
    endpoint::Endpoint,
    http::{Http, HttpError, Incoming, Method, Outgoing},
};

/// The metadata service is on the machine's own hypervisor; where there is none, nothing answers.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// As the official libraries wait for a credentials URI.
const URI_TIMEOUT: Duration = Duration::from_secs(10);
const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
/// Lifetime of a metadata token in seconds: six hours, the maximum of the service.
const TOKEN_LIFE: &str = "21600";
/// Maximum size of an answer in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

#[derive(Deserialize)]
struct Keys {
    #[serde(rename = "Code")]
    code: String,
    #[serde(flatten)]
    key: Option<TemporaryKey>,
}

/// The metadata service of an ECS machine.
#[derive(Debug, Clone)]
pub(super) struct MetadataService {
    pub(super) http: Http,
    /// `http://100.100.100.200`, unless it is overridden.
    pub(super) base: String,
    /// Whether every request needs a token.
    pub(super) tokens_only: bool,
}

impl MetadataService {
    /// The role's name and keys. A role that is named has to be there; without a name there may be none.
    pub(super) async fn keys(&self, name: Option<&str>) -> Result<(String, TemporaryKey), NoKey> {
        let absent = |why: String| if name.is_some() { NoKey::unusable(why) } else { NoKey::not_set_up(why) };
        let token = match self.token().await {
            Ok(token) => Some(token),
            Err(Silence::Nobody(why)) => return Err(absent(format!("no metadata service: {why}"))),
            Err(error) if self.tokens_only => return Err(absent(format!("no metadata token: {}", error.why()))),
            // Old machines have no tokens.
            Err(_) => None,
        };
        let role = match name {
            Some(name) => name.to_owned(),
            None => self.get(ROLES, token.as_deref()).await.map_err(|error| absent(error.why()))?,
        };
        // The service lists one role; other content must not become part of a URL.
        if role.is_empty() || !role.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err(absent("the machine has no RAM role".to_owned()));
        }
        let answer = self.get(&format!("{ROLES}{role}"), token.as_deref()).await;
        let mut answer = answer.map_err(|error| NoKey::unusable(format!("role {role}: {}", error.why())))?;
        let key = parse(answer.as_bytes(), &format!("role {role}"));
        answer.zeroize();
        Ok((role, key?))
    }

    async fn token(&self) -> Result<String, Silence> {
        let headers = [("x-aliyun-ecs-metadata-token-ttl-seconds".to_owned(), TOKEN_LIFE.to_owned())];
        self.ask(Method::PUT, "/latest/api/token", &headers).await
    }

    /// With a token, and without one if that is refused and allowed.
    async fn get(&self, path: &str, token: Option<&str>) -> Result<String, Silence> {
        let Some(token) = token else { return self.ask(Method::GET, path, &[]).await };
        let headers = [("x-aliyun-ecs-metadata-token".to_owned(), token.to_owned())];
        match self.ask(Method::GET, path, &headers).await {
            Err(_) if !self.tokens_only => self.ask(Method::GET, path, &[]).await,
            answer => answer,
        }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(String, String)]) -> Result<String, Silence> {
        let url = format!("{}{path}", self.base.trim_end_matches('/'));
        let incoming = send(&self.http, method, &url, headers, METADATA_TIMEOUT, true).await.map_err(Silence::of)?;
        match incoming.status {
            200 => Ok(String::from_utf8_lossy(&incoming.body).trim().to_owned()),
            status => Err(Silence::Status(status)),
        }
    }
}

/// Why the metadata service gave nothing.
enum Silence {
    /// Nothing listens there.
    Nobody(String),
    /// It did not answer whole or in time.
    Broken(String),
    /// It answered with this status.
    Status(u16),
}

impl Silence {
    fn of(error: HttpError) -> Self {
        match error {
            HttpError::NotConnected(_) => Self::Nobody(error.in_short()),
            _ => Self::Broken(error.in_short()),
        }
    }

    fn why(self) -> String {
        match self {
            Self::Nobody(why) | Self::Broken(why) => why,
            Self::Status(status) => format!("the metadata service answered HTTP {status}"),
        }
    }
}

/// Keys from a credentials URI. The URI may have a secret in it: errors name its host only.
pub(super) async fn from_uri(http: &Http, uri: &str) -> Result<TemporaryKey, NoKey> {
    let (base, rest) = split(uri)?;
    let endpoint = Endpoint::parse(&base).map_err(|error| NoKey::unusable(error.to_string()))?;
    let url = format!("{}{}", endpoint.url("").trim_end_matches('/'), if rest.is_empty() { "/" } else { rest });
    let sent = send(http, Method::GET, &url, &[], URI_TIMEOUT, endpoint.is_loopback()).await;
    let mut incoming = sent.map_err(|error| NoKey::unusable(format!("{base}: {}", error.in_short())))?;
    if incoming.status != 200 {
        return Err(NoKey::unusable(format!("{base} answered HTTP {}", incoming.status)));
    }
    let key = parse(&incoming.body, &base);
    incoming.body.zeroize();
    key
}

/// Scheme with host and port, and the rest.
fn split(uri: &str) -> Result<(String, &str), NoKey> {
    let uri = uri.trim();
    let Some((scheme, rest)) = uri.split_once("://") else {
        return Err(NoKey::unusable("a credentials URI begins with http:// or https://"));
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err(NoKey::unusable("a credentials URI has no user in it"));
    }
    Ok((format!("{scheme}://{authority}"), path.split('#').next().unwrap_or_default()))
}

async fn send(
    http: &Http,
    method: Method,
    url: &str,
    headers: &[(String, String)],
    timeout: Duration,
    direct: bool,
) -> Result<Incoming, HttpError> {
    http.send(Outgoing { method, url, headers, body: String::new(), timeout, limit: ANSWER_LIMIT, direct }).await
}

/// The answer contains secrets, so no error quotes it.
fn parse(answer: &[u8], place: &str) -> Result<TemporaryKey, NoKey> {
    let keys: Keys = serde_json::from_slice(answer)
        .map_err(|_| NoKey::unusable(format!("{place}: the answer is not as documented")))?;
    if keys.code != "Success" {
        return Err(NoKey::unusable(format!("{place}: there are no keys, the answer's Code is not Success")));
    }
    let whole = |key: &TemporaryKey| {
        use secrecy::ExposeSecret as _;
        !key.access_key_id.is_empty()
            && !key.access_key_secret.expose_secret().is_empty()
            && !key.security_token.expose_secret().is_empty()
    };
    keys.key.filter(whole).ok_or_else(|| NoKey::unusable(format!("{place}: the keys are not whole")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_keeps_its_path_and_query() {
        let parts = |uri| split(uri).map_err(NoKey::why);
        assert_eq!(parts("http://localhost:6666/?user=a"), Ok(("http://localhost:6666".to_owned(), "/?user=a")));
        assert_eq!(parts("https://h?x=1#f"), Ok(("https://h".to_owned(), "?x=1")));
        assert!(parts("localhost:6666").is_err() && parts("http://user@h/").is_err());
    }

    #[test]
    fn keys_have_to_be_whole_and_are_never_quoted() {
        let answer = |text: &str| parse(text.as_bytes(), "there").map(|key| key.access_key_id).map_err(NoKey::why);
        let key = r#""AccessKeyId":"i","AccessKeySecret":"s","SecurityToken":"t","Expiration":"2026-01-01T00:00:00Z""#;
        assert_eq!(answer(&format!(r#"{{"Code":"Success",{key}}}"#)), Ok("i".to_owned()));
        for wrong in [
            format!(r#"{{"Code":"Failed",{key}}}"#),
            format!("{{{key}}}"),
            r#"{"Code":"Success","AccessKeyId":"secret-in-id"}"#.to_owned(),
            format!(r#"{{"Code":"Success",{}}}"#, key.replace("\"s\"", "\"\"")),
            "secret".to_owned(),
        ] {
            let why = answer(&wrong).unwrap_err();
            assert!(why.starts_with("there: ") && !why.contains("secret"), "{why}");
        }
    }
}
