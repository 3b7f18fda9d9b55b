//! The sources in their order, and what becomes of a recipe.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;

use super::{
    cli_profile, environment, files, ini_file,
    key_service::{self, MetadataService},
    recipe::{Base, Recipe},
    token_service::TokenService,
    types::{Credentials, NoCredentials, NoKey, SourceName},
    variables::Environment,
};
use crate::{
    adapters::{
        cloud::{
            actions::{TemporaryKey, identity::LONGEST_ARN},
            endpoint::{Endpoint, EndpointError},
            http::Http,
            signing::AccessKey,
        },
        secrets::KnownSecrets,
    },
    domain::{api::credential_source::CredentialSource, clock::Clock, text::clean},
};

/// The order of the official libraries; the credentials folder of the service manager follows the environment.
const ORDER: [SourceName; 7] = [
    SourceName::Environment,
    SourceName::Files,
    SourceName::Oidc,
    SourceName::CliProfile,
    SourceName::Ini,
    SourceName::EcsRamRole,
    SourceName::Uri,
];

/// Hosts of the services that give keys, where they are not the usual ones.
#[derive(Debug, Clone, Default)]
pub struct KeyHosts {
    /// The token service.
    pub sts: Option<Endpoint>,
    /// The metadata service.
    pub metadata: Option<Endpoint>,
}

/// The metadata service: a link-local address, which is the same on every ECS machine.
const METADATA: &str = "http://100.100.100.200";

impl KeyHosts {
    /// The hosts, the metadata service by its address.
    ///
    /// # Errors
    ///
    /// `EndpointError` if that is not an address.
    pub fn new(sts: Option<Endpoint>, metadata: Option<&str>) -> Result<Self, EndpointError> {
        let is_usual = |text: &&str| text.trim_end_matches('/') == METADATA;
        Ok(Self { sts, metadata: metadata.filter(|text| !is_usual(text)).map(Endpoint::parse).transpose()? })
    }
}

/// All sources.
pub(super) struct Chain {
    choice: CredentialSource,
    environment: Environment,
    tokens: TokenService,
    metadata: MetadataService,
    secrets: Arc<KnownSecrets>,
}

/// A key with its end and its owner.
struct Issued {
    key: AccessKey,
    expires_at: Option<DateTime<Utc>>,
    arn: Option<String>,
    detail: Option<String>,
}

impl Chain {
    pub(super) fn new(
        choice: CredentialSource,
        environment: Environment,
        hosts: KeyHosts,
        http: Http,
        clock: Arc<dyn Clock>,
        nonce: Arc<dyn Fn() -> String + Send + Sync>,
        secrets: Arc<KnownSecrets>,
    ) -> Self {
        let metadata = MetadataService {
            http: http.clone(),
            base: hosts.metadata.map_or_else(|| METADATA.to_owned(), |endpoint| endpoint.url("")),
            tokens_only: environment.imds_v1_disabled,
        };
        let tokens = TokenService { http, clock, nonce, endpoint: hosts.sts, secrets: Arc::clone(&secrets) };
        Self { choice, environment, tokens, metadata, secrets }
    }

    /// The source that the operator chose; `None` lets the first one win that is set up.
    pub(super) fn chosen(&self) -> Option<SourceName> {
        Some(match self.choice {
            CredentialSource::Default => return None,
            CredentialSource::Environment => SourceName::Environment,
            CredentialSource::Oidc => SourceName::Oidc,
            CredentialSource::Profile(_) => SourceName::CliProfile,
            CredentialSource::Ini => SourceName::Ini,
            CredentialSource::EcsRamRole => SourceName::EcsRamRole,
            CredentialSource::Uri => SourceName::Uri,
            CredentialSource::Files => SourceName::Files,
        })
    }

    /// Why an edit of this source counts at the next start only, where that is so.
    pub(super) fn fixed(&self, source: SourceName) -> Option<&'static str> {
        match source {
            SourceName::Environment => Some("Variables of the daemon change with `systemctl restart imagebaked` only"),
            SourceName::Files if self.has_copies() => Some(
                "systemd gave the daemon a copy of the files (LoadCredential=), which changes with `systemctl restart \
                 imagebaked` only",
            ),
            _ => None,
        }
    }

    /// Whether the folder is the one that systemd makes for a unit, such as `/run/credentials/imagebaked.service`.
    fn has_copies(&self) -> bool {
        let folder = self.environment.credentials_directory.as_deref();
        folder.is_some_and(|folder| folder.extension().is_some_and(|end| end == "service"))
    }

    /// Credentials from `only`, or from the first source that is set up. One that is set up and fails ends the search:
    /// the next one would sign as somebody else.
    pub(super) async fn fetch(
        &self,
        only: Option<SourceName>,
        now: DateTime<Utc>,
    ) -> Result<Credentials, NoCredentials> {
        let mut reasons = Vec::new();
        for name in ORDER.into_iter().filter(|name| only.is_none_or(|only| only == *name)) {
            match self.ask(name, only.is_some(), now).await {
                Ok(credentials) => return Ok(credentials),
                Err(error) => {
                    let is_final = only.is_some() || !matches!(error, NoKey::NotSetUp(_));
                    let service = if let NoKey::Service(service) = &error { Some(service.clone()) } else { None };
                    reasons.push((name, error.why()));
                    if is_final {
                        return Err(NoCredentials { reasons, is_final, service });
                    }
                }
            }
        }
        Err(NoCredentials { reasons, is_final: false, service: None })
    }

    async fn ask(&self, source: SourceName, is_only: bool, now: DateTime<Utc>) -> Result<Credentials, NoKey> {
        let recipe = self.recipe(source).await?;
        let described = recipe.detail.clone();
        let Issued { key, expires_at, arn, detail } = self.carry_out(recipe, is_only, now).await?;
        let arn = arn.map(|arn| clean(&arn, LONGEST_ARN).into_owned());
        Ok(Credentials { key, expires_at, source, detail: described.or(detail), arn })
    }

    async fn recipe(&self, source: SourceName) -> Result<Recipe, NoKey> {
        let environment = &self.environment;
        match source {
            SourceName::Environment => environment::key(environment),
            SourceName::Files => files::find(environment).await,
            SourceName::Oidc => environment::oidc(environment),
            SourceName::CliProfile => {
                let wanted = match &self.choice {
                    CredentialSource::Profile(name) => Some(name.as_str()),
                    _ => None,
                };
                cli_profile::find(environment, wanted).await
            }
            SourceName::Ini => ini_file::find(environment).await,
            SourceName::EcsRamRole => environment::ecs_role(None, "", environment),
            SourceName::Uri => environment::uri(environment),
        }
    }

    async fn carry_out(&self, recipe: Recipe, is_only: bool, now: DateTime<Utc>) -> Result<Issued, NoKey> {
        // A profile or a variable that names the machine's role is set up, whatever the machine answers.
        let is_meant = is_only || recipe.detail.is_some();
        let mut issued = match recipe.base {
            Base::Key(key) => Issued { key, expires_at: None, arn: None, detail: None },
            Base::Oidc { provider_arn, token_file, role } => {
                let assumed = self.tokens.assume_with_oidc(&role, &provider_arn, &token_file).await?;
                Issued { arn: assumed.arn().or(Some(role.arn)), ..Issued::of(assumed.credentials) }
            }
            Base::EcsRole(name) => {
                let (role, key) = self.metadata.keys(name.as_deref(), is_meant || name.is_some(), now).await?;
                Issued { detail: Some(format!("`{role}`")), ..Issued::of(key) }
            }
            Base::Uri(uri) => {
                // Its query may be all that keeps others from the keys.
                if let Some((_, query)) = uri.split_once('?') {
                    self.secrets.learn(query);
                }
                Issued::of(key_service::from_uri(&self.metadata.http, &uri, now).await?)
            }
        };
        self.learn(&issued.key);
        for role in recipe.roles {
            let assumed = self.tokens.assume(&role, &issued.key).await?;
            issued = Issued { arn: assumed.arn().or(Some(role.arn)), ..Issued::of(assumed.credentials) };
            self.learn(&issued.key);
        }
        Ok(issued)
    }

    /// Also the id: people see a part of it only.
    fn learn(&self, key: &AccessKey) {
        self.secrets.learn(&key.id);
        self.secrets.learn(key.secret.expose_secret());
        if let Some(token) = &key.security_token {
            self.secrets.learn(token.expose_secret());
        }
    }
}

impl Issued {
    fn of(temporary: TemporaryKey) -> Self {
        let TemporaryKey { access_key_id, access_key_secret, security_token, expiration } = temporary;
        let key = AccessKey { id: access_key_id, secret: access_key_secret, security_token: Some(security_token) };
        Self { key, expires_at: Some(expiration), arn: None, detail: None }
    }
}
