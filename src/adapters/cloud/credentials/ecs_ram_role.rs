//! Temporary keys of the ECS machine's RAM role, from its metadata service: first a token, then the role's name unless
//! it is given, then the keys.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;

use super::types::{Credentials, Environment, SourceName};
use crate::adapters::cloud::http::{Http, Method, Outgoing};

/// The service is on the same host; if it is absent, nothing responds.
const TIMEOUT: Duration = Duration::from_secs(1);
const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
/// Lifetime of the token in seconds: six hours, the maximum of the service.
const TOKEN_LIFE: &str = "21600";
const ANSWER_LIMIT: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleKeys {
    code: String,
    access_key_id: Option<String>,
    access_key_secret: Option<SecretString>,
    security_token: Option<SecretString>,
    expiration: Option<DateTime<Utc>>,
}

pub(super) async fn fetch(environment: &Environment, http: &Http) -> Result<Credentials, String> {
    if environment.ecs_disabled {
        return Err("switched off by ALIBABA_CLOUD_ECS_METADATA_DISABLED".to_owned());
    }
    let base = environment.metadata_url.trim_end_matches('/');
    let token = token(http, base).await;
    // Old machines have no tokens; the request is sent without one unless that is forbidden.
    if let (Err(why), true) = (&token, environment.imds_v1_disabled) {
        return Err(format!("no metadata token: {why}"));
    }
    let headers: Vec<(String, String)> =
        token.into_iter().map(|token| ("x-aliyun-ecs-metadata-token".to_owned(), token)).collect();
    let role = match &environment.ecs_role {
        Some(role) => role.clone(),
        None => ask(http, Method::GET, &format!("{base}{ROLES}"), &headers).await?,
    };
    // The service lists one role; other content must not become part of a URL.
    if role.is_empty() || !role.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err("the machine has no RAM role".to_owned());
    }
    let keys = ask(http, Method::GET, &format!("{base}{ROLES}{role}"), &headers).await?;
    credentials(&keys)
}

async fn token(http: &Http, base: &str) -> Result<String, String> {
    let headers = [("x-aliyun-ecs-metadata-token-ttl-seconds".to_owned(), TOKEN_LIFE.to_owned())];
    ask(http, Method::PUT, &format!("{base}/latest/api/token"), &headers).await
}

async fn ask(http: &Http, method: Method, url: &str, headers: &[(String, String)]) -> Result<String, String> {
    let outgoing =
        Outgoing { method, url, headers, body: String::new(), timeout: TIMEOUT, limit: ANSWER_LIMIT, direct: true };
    let incoming = http.send(outgoing).await.map_err(|error| error.in_short())?;
    match incoming.status {
        200 => Ok(String::from_utf8_lossy(&incoming.body).trim().to_owned()),
        status => Err(format!("the metadata service answered HTTP {status}")),
    }
}

/// The response contains secrets, so no error quotes it.
fn credentials(answer: &str) -> Result<Credentials, String> {
    let keys: RoleKeys =
        serde_json::from_str(answer).map_err(|_| "the metadata service's keys are not as documented".to_owned())?;
    if keys.code != "Success" {
        return Err("the metadata service has no keys for the role".to_owned());
    }
    let (Some(access_key_id), Some(access_key_secret), Some(token), Some(expires_at)) =
        (keys.access_key_id, keys.access_key_secret, keys.security_token, keys.expiration)
    else {
        return Err("the metadata service's keys are not whole".to_owned());
    };
    Ok(Credentials {
        access_key_id,
        access_key_secret,
        security_token: Some(token),
        expires_at: Some(expires_at),
        source: SourceName::EcsRamRole,
    })
}
