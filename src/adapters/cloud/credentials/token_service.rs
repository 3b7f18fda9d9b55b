//! The token service: keys of a role, for a key or for an OIDC token.

use std::{path::Path, sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroize as _};

use super::{recipe::Role, service_error, text_file, types::NoKey};
use crate::{
    adapters::{
        cloud::{
            acs3,
            actions::{AssumeRole, AssumedRole},
            answer,
            endpoint::{Endpoint, sts_host},
            http::{Http, Incoming, Method, Outgoing},
            request::{CloudCall as _, Pairs},
            signing::{AccessKey, Stamp, USER_AGENT, signed_headers},
        },
        secrets::KnownSecrets,
    },
    domain::{api::codes::Idempotency, clock::Clock},
};

/// As the official libraries wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of an answer in bytes; tokens have a few thousand.
const ANSWER_LIMIT: usize = 256 * 1024;

/// Assumes roles.
pub(super) struct TokenService {
    pub(super) http: Http,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) nonce: Arc<dyn Fn() -> String + Send + Sync>,
    /// Overrides the host of every region.
    pub(super) endpoint: Option<Endpoint>,
    pub(super) secrets: Arc<KnownSecrets>,
}

impl TokenService {
    /// Keys of `role` for the owner of `key`.
    pub(super) async fn assume(&self, role: &Role, key: &AccessKey) -> Result<AssumedRole, NoKey> {
        let endpoint = self.endpoint(role)?;
        let request = call(role).request();
        let stamp = Stamp { at: self.clock.now(), nonce: (self.nonce)() };
        let headers = signed_headers(&request, endpoint.authority(), key, "", &stamp);
        let url = endpoint.url(&acs3::canonical_query(request.query.as_slice()));
        self.send(role, &endpoint, &url, &headers, String::new()).await
    }

    /// Keys of `role` for the token in a file, which is read anew each time: it is renewed. Nothing is signed.
    pub(super) async fn assume_with_oidc(
        &self,
        role: &Role,
        provider_arn: &str,
        token_file: &Path,
    ) -> Result<AssumedRole, NoKey> {
        let Some(token) = text_file::read(token_file).await?.filter(|token| !token.trim().is_empty()) else {
            return Err(NoKey::unusable(format!("there is no OIDC token in {}", token_file.display())));
        };
        let token = SecretString::from(token);
        self.secrets.learn(token.expose_secret().trim());
        let endpoint = self.endpoint(role)?;
        let query = Pairs::default()
            .text("Action", Some("AssumeRoleWithOIDC"))
            .text("Format", Some("JSON"))
            .text("Timestamp", Some(&self.clock.now().format("%Y-%m-%dT%H:%M:%SZ").to_string()))
            .text("Version", Some("2015-04-01"));
        let url = endpoint.url(&acs3::canonical_query(query.as_slice()));
        let form = call(role)
            .parameters()
            .text("OIDCProviderArn", Some(provider_arn))
            .text("OIDCToken", Some(token.expose_secret().trim()));
        let headers = [
            ("accept", "application/json"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("user-agent", USER_AGENT),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.send(role, &endpoint, &url, &headers, acs3::canonical_query(form.as_slice())).await
    }

    async fn send(
        &self,
        role: &Role,
        endpoint: &Endpoint,
        url: &str,
        headers: &[(String, String)],
        body: String,
    ) -> Result<AssumedRole, NoKey> {
        let outgoing = Outgoing {
            method: Method::POST,
            url,
            headers,
            body,
            timeout: TIMEOUT,
            limit: ANSWER_LIMIT,
            direct: endpoint.is_loopback(),
        };
        let (host, what) = (endpoint.authority(), format!("the keys of {}", role.arn));
        let sent = self.http.send(outgoing).await;
        let mut incoming = sent.map_err(|error| service_error::unanswered(host, &what, &error))?;
        let mut answer = answer::read::<AssumeRole>(&incoming, Idempotency::Idempotent);
        // What refuses a token may repeat it.
        if answer.is_err() && self.secrets.blot(&mut incoming.body) {
            answer = answer::read::<AssumeRole>(&incoming, Idempotency::Idempotent);
        }
        wipe(&mut incoming);
        let assumed = answer.map_err(|error| service_error::of_api(host, &what, &error))?.value;
        if !assumed.credentials.is_whole() {
            return Err(NoKey::unusable(format!(
                "{host} does not give {what}: it answered with keys that are not whole"
            )));
        }
        let credentials = service_error::unless_ended(host, &what, assumed.credentials, self.clock.now())?;
        Ok(AssumedRole { credentials, ..assumed })
    }

    fn endpoint(&self, role: &Role) -> Result<Endpoint, NoKey> {
        let own = || Endpoint::parse(&sts_host(role.region.as_deref(), role.in_vpc)?);
        match &self.endpoint {
            Some(endpoint) => Ok(endpoint.clone()),
            None => own().map_err(|error| NoKey::unusable(error.to_string())),
        }
    }
}

fn call(role: &Role) -> AssumeRole {
    AssumeRole {
        role_arn: role.arn.clone(),
        role_session_name: role.session_name.clone(),
        duration_seconds: role.duration_seconds,
        policy: role.policy.clone(),
        external_id: role.external_id.clone(),
    }
}

/// Overwrites a body with keys in it.
fn wipe(incoming: &mut Incoming) {
    incoming.body.zeroize();
}
