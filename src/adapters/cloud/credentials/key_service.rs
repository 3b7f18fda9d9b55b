//! Services that hand out temporary keys as one JSON object: the metadata service of an ECS machine and credentials URIs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::zeroize::Zeroize as _;
use serde::Deserialize;

use super::{environment::is_role_name, service_error, types::NoKey};
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
    /// The role's name and keys. `is_meant`: the operator says that this machine has a role; otherwise a machine without
    /// a metadata service or a role is one where nothing is set up.
    pub(super) async fn keys(
        &self,
        name: Option<&str>,
        is_meant: bool,
        now: DateTime<Utc>,
    ) -> Result<(String, TemporaryKey), NoKey> {
        let absent = |why: String| if is_meant { NoKey::unusable(why) } else { NoKey::not_set_up(why) };
        let failed = |failure: Failure, what: &str| match failure {
            Failure::NoAnswer(error) => service_error::unanswered(&self.host(), what, &error),
            Failure::Status(incoming) if service_error::is_down(incoming.status) => {
                service_error::unexpected(&self.host(), what, &incoming)
            }
            Failure::Status(incoming) => {
                absent(format!("{} refuses {what} with HTTP {}", self.host(), incoming.status))
            }
        };
        let token = match self.token().await {
            Ok(token) => Some(token),
            Err(Failure::NoAnswer(error)) if !is_meant && matches!(error, HttpError::NotConnected(_)) => {
                return Err(absent(format!("no metadata service: {}", error.in_short())));
            }
            Err(error) if self.tokens_only => return Err(failed(error, "a metadata token")),
            // Old machines have no tokens.
            Err(_) => None,
        };
        let role = if let Some(name) = name {
            name.to_owned()
        } else {
            let answer = self.get(ROLES, token.as_deref()).await;
            answer.map_err(|failure| failed(failure, "the name of the machine's role"))?
        };
        if role.is_empty() {
            return Err(absent("the machine has no RAM role".to_owned()));
        }
        // The service lists one role; other content must not become part of a URL. It is not the answer of a machine without
        // a role: something else answers in its place, and no other identity takes the place of the role.
        if !is_role_name(&role) {
            let why = format!("{} does not name the machine's role: it answered with something else", self.host());
            return Err(NoKey::unusable(why));
        }
        let what = format!("the keys of the role `{role}`");
        let mut answer = match self.get(&format!("{ROLES}{role}"), token.as_deref()).await {
            Ok(answer) => answer,
            // There is a role, or a name of one: it is set up.
            Err(Failure::NoAnswer(error)) => return Err(service_error::unanswered(&self.host(), &what, &error)),
            Err(Failure::Status(incoming)) if incoming.status == 404 => {
                let why = format!("{} has no keys for it (HTTP 404)", self.host());
                return Err(NoKey::unusable(format!("the machine does not have the role `{role}`: {why}")));
            }
            Err(Failure::Status(incoming)) => return Err(service_error::unexpected(&self.host(), &what, &incoming)),
        };
        let key = parse(answer.as_bytes(), &self.host(), &what, now);
        answer.zeroize();
        Ok((role, key?))
    }

    /// Host and port.
    fn host(&self) -> String {
        let base = self.base.trim_end_matches('/');
        base.split_once("://").map_or(base, |(_, host)| host).to_owned()
    }

    async fn token(&self) -> Result<String, Failure> {
        let headers = [("x-aliyun-ecs-metadata-token-ttl-seconds".to_owned(), TOKEN_LIFE.to_owned())];
        self.ask(Method::PUT, "/latest/api/token", &headers).await
    }

    /// With a token, and without one if that is refused and allowed.
    async fn get(&self, path: &str, token: Option<&str>) -> Result<String, Failure> {
        let Some(token) = token else { return self.ask(Method::GET, path, &[]).await };
        let headers = [("x-aliyun-ecs-metadata-token".to_owned(), token.to_owned())];
        match self.ask(Method::GET, path, &headers).await {
            Err(_) if !self.tokens_only => self.ask(Method::GET, path, &[]).await,
            answer => answer,
        }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(String, String)]) -> Result<String, Failure> {
        let url = format!("{}{path}", self.base.trim_end_matches('/'));
        let sent = send(&self.http, method, &url, headers, METADATA_TIMEOUT, true).await;
        let incoming = sent.map_err(Failure::NoAnswer)?;
        match incoming.status {
            200 => Ok(String::from_utf8_lossy(&incoming.body).trim().to_owned()),
            _ => Err(Failure::Status(incoming)),
        }
    }
}

/// Why the metadata service gave nothing.
enum Failure {
    /// There was no complete response.
    NoAnswer(HttpError),
    /// It answered with another status than 200.
    Status(Incoming),
}

/// Keys from a credentials URI. The URI may have a secret in it: errors name its host only.
pub(super) async fn from_uri(http: &Http, uri: &str, now: DateTime<Utc>) -> Result<TemporaryKey, NoKey> {
    let (base, rest) = split(uri)?;
    let endpoint = Endpoint::parse(&base).map_err(|error| NoKey::unusable(error.to_string()))?;
    let (host, what) = (endpoint.authority(), "the keys of the credentials URI");
    let url = format!("{}{}", endpoint.url("").trim_end_matches('/'), if rest.is_empty() { "/" } else { rest });
    let sent = send(http, Method::GET, &url, &[], URI_TIMEOUT, endpoint.is_loopback()).await;
    let mut incoming = sent.map_err(|error| service_error::unanswered(host, what, &error))?;
    if incoming.status != 200 {
        return Err(service_error::unexpected(host, what, &incoming));
    }
    let key = parse(&incoming.body, host, what, now);
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
fn parse(answer: &[u8], host: &str, what: &str, now: DateTime<Utc>) -> Result<TemporaryKey, NoKey> {
    let refused = |why: &str| NoKey::unusable(format!("{host} does not give {what}: it answered {why}"));
    let keys: Keys = match serde_json::from_slice(answer) {
        Ok(keys) => keys,
        Err(error) if error.is_data() => return Err(refused("JSON without a Code")),
        Err(_) => return Err(service_error::foreign(host, what)),
    };
    if keys.code != "Success" {
        return Err(refused("without keys: its Code is not Success"));
    }
    let key = keys.key.filter(TemporaryKey::is_whole).ok_or_else(|| refused("with keys that are not whole"))?;
    service_error::unless_ended(host, what, key, now)
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
        let answer = |text: &str| {
            parse(text.as_bytes(), "there", "keys", DateTime::UNIX_EPOCH)
                .map(|key| key.access_key_id)
                .map_err(NoKey::why)
        };
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
            assert!(why.contains("there") && !why.contains("secret"), "{why}");
        }
    }
}
