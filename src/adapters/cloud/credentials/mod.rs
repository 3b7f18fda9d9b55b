//! Credentials: from the environment, files, the profile of the `aliyun` command, or the RAM role of the ECS machine.
//! One file each.
//!
//! [`CredentialProvider`] tries the sources in order, caches the first result, and refreshes it before it expires or
//! after the cloud rejected it. Secrets are in [`SecretString`](secrecy::SecretString) from the moment they are read.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::http::Http;
use crate::domain::clock::Clock;

mod cli_profile;
mod ecs_ram_role;
mod environment;
mod files;
mod types;

pub use self::types::{Credentials, Environment, NoCredentials, SourceName};

/// `credentials = …`: the sources to try.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialSource {
    /// Environment, files, CLI profile, ECS RAM role: the first one with credentials.
    #[default]
    Default,
    /// The credentials folder only.
    Files,
    /// The metadata service only.
    EcsRamRole,
}

/// Pause after a failed refresh, so that a source that is down does not slow every call.
const PAUSE: Duration = Duration::from_secs(30);

/// Provides current credentials.
#[derive(Debug)]
pub struct CredentialProvider {
    source: CredentialSource,
    environment: Environment,
    http: Http,
    clock: Arc<dyn Clock>,
    cached: Mutex<Option<Cached>>,
}

#[derive(Debug, Clone)]
struct Cached {
    credentials: Credentials,
    stale_at: Option<DateTime<Utc>>,
}

impl CredentialProvider {
    /// Creates a provider without reading a source.
    pub fn new(source: CredentialSource, environment: Environment, http: Http, clock: Arc<dyn Clock>) -> Self {
        Self { source, environment, http, clock, cached: Mutex::new(None) }
    }

    /// Credentials to sign with now. The cached ones serve until they expire if a refresh fails.
    ///
    /// # Errors
    ///
    /// `NoCredentials` if no source has credentials.
    pub async fn get(&self) -> Result<Credentials, NoCredentials> {
        let mut cached = self.cached.lock().await;
        let now = self.clock.now();
        let Some(at_hand) = cached.clone() else {
            return Ok(cached.insert(self.fetch(now).await?).credentials.clone());
        };
        if at_hand.stale_at.is_none_or(|stale_at| now < stale_at) {
            return Ok(at_hand.credentials);
        }
        match self.fetch(now).await {
            Ok(fresh) => Ok(cached.insert(fresh).credentials.clone()),
            Err(error) if at_hand.credentials.expires_at.is_some_and(|end| now < end) => {
                tracing::warn!(%error, "credentials cannot be refreshed yet");
                let credentials = at_hand.credentials;
                *cached = Some(Cached { credentials: credentials.clone(), stale_at: Some(now + PAUSE) });
                Ok(credentials)
            }
            Err(error) => Err(error),
        }
    }

    /// The cached credentials.
    pub async fn at_hand(&self) -> Option<Credentials> {
        self.cached.lock().await.as_ref().map(|cached| cached.credentials.clone())
    }

    /// Rereads the sources, after the cloud rejected the cached credentials. Keeps those if no source has any.
    ///
    /// # Errors
    ///
    /// `NoCredentials` if no source has credentials.
    pub async fn refresh(&self) -> Result<Credentials, NoCredentials> {
        let mut cached = self.cached.lock().await;
        let fresh = self.fetch(self.clock.now()).await?;
        Ok(cached.insert(fresh).credentials.clone())
    }

    async fn fetch(&self, now: DateTime<Utc>) -> Result<Cached, NoCredentials> {
        let sources: &[SourceName] = match self.source {
            CredentialSource::Default => {
                &[SourceName::Environment, SourceName::Files, SourceName::CliProfile, SourceName::EcsRamRole]
            }
            CredentialSource::Files => &[SourceName::Files],
            CredentialSource::EcsRamRole => &[SourceName::EcsRamRole],
        };
        let mut reasons = Vec::new();
        for &name in sources {
            match self.ask(name).await {
                Ok(credentials) => {
                    tracing::info!(source = %name, "credentials come from the {name}");
                    return Ok(Cached { stale_at: stale_at(&credentials, now), credentials });
                }
                Err(why) => reasons.push((name, why)),
            }
        }
        Err(NoCredentials { reasons })
    }

    async fn ask(&self, name: SourceName) -> Result<Credentials, String> {
        match name {
            SourceName::Environment => environment::fetch(&self.environment),
            SourceName::Files => files::fetch(&self.environment).await,
            SourceName::CliProfile => cli_profile::fetch(&self.environment).await,
            SourceName::EcsRamRole => ecs_ram_role::fetch(&self.environment, &self.http).await,
        }
    }
}

/// A quarter of an hour before expiry, or a quarter of the lifetime if that is less.
fn stale_at(credentials: &Credentials, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let end = credentials.expires_at?;
    let life = (end - now).to_std().unwrap_or_default();
    Some(end - (life / 4).min(Duration::from_mins(15)))
}

#[cfg(test)]
mod tests {
    use secrecy::{ExposeSecret, SecretString};

    use super::*;
    use crate::domain::clock::SystemClock;

    fn credential_provider(source: CredentialSource, environment: Environment) -> CredentialProvider {
        CredentialProvider::new(
            source,
            environment,
            Http::new(Duration::from_secs(1), None).unwrap(),
            Arc::new(SystemClock),
        )
    }

    fn bare() -> Environment {
        Environment::read(|name| (name == "ALIBABA_CLOUD_ECS_METADATA_DISABLED").then(|| "true".to_owned()))
    }

    fn put(folder: &std::path::Path, id: &str) {
        std::fs::write(folder.join("access_key_id"), format!("{id}\n")).unwrap();
        std::fs::write(folder.join("access_key_secret"), "file-secret\r\n").unwrap();
    }

    #[tokio::test]
    async fn the_first_source_wins_and_debug_shows_no_secret() {
        let variables = |name: &str| match name {
            "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some("env-id".to_owned()),
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some("env-secret".to_owned()),
            "ALIBABA_CLOUD_SECURITY_TOKEN" => Some("env-token".to_owned()),
            _ => None,
        };
        let credential_provider = credential_provider(CredentialSource::Default, Environment::read(variables));
        let credentials = credential_provider.get().await.unwrap();
        assert_eq!((credentials.access_key_id.as_str(), credentials.source), ("env-id", SourceName::Environment));
        assert_eq!(credentials.access_key_secret.expose_secret(), "env-secret");
        assert_eq!(credentials.security_token.as_ref().unwrap().expose_secret(), "env-token");
        let shown = format!("{credentials:?} {credential_provider:?}");
        assert!(!shown.contains("env-secret") && !shown.contains("env-token"), "{shown}");
    }

    #[tokio::test]
    async fn files_are_read_again_on_demand() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "old");
        let environment = Environment { credentials_directory: Some(folder.path().to_owned()), ..bare() };
        let credential_provider = credential_provider(CredentialSource::Files, environment);
        let first = credential_provider.get().await.unwrap();
        assert_eq!((first.access_key_id.as_str(), first.access_key_secret.expose_secret()), ("old", "file-secret"));
        put(folder.path(), "new");
        assert_eq!(credential_provider.get().await.unwrap().access_key_id, "old");
        assert_eq!(credential_provider.refresh().await.unwrap().access_key_id, "new");
        assert_eq!(credential_provider.get().await.unwrap().access_key_id, "new");
    }

    #[tokio::test]
    async fn profiles_with_a_key_are_read_and_others_named() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aliyun")).unwrap();
        let file = home.path().join(".aliyun/config.json");
        let profiles = r#"{"current":"b","profiles":[{"name":"a","mode":"OAuth"},
            {"name":"b","mode":"StsToken","access_key_id":"i","access_key_secret":"s","sts_token":"t"}]}"#;
        std::fs::write(&file, profiles).unwrap();
        let environment = Environment { home: Some(home.path().to_owned()), ..bare() };
        let credentials = credential_provider(CredentialSource::Default, environment.clone()).get().await.unwrap();
        assert_eq!((credentials.access_key_id.as_str(), credentials.source), ("i", SourceName::CliProfile));
        assert_eq!(credentials.security_token.unwrap().expose_secret(), "t");

        let other = Environment { profile: Some("a".to_owned()), ..environment };
        let error = credential_provider(CredentialSource::Default, other).get().await.unwrap_err().to_string();
        assert!(error.contains("OAuth"), "{error}");
    }

    #[tokio::test]
    async fn when_all_fail_each_has_its_reason() {
        let error = credential_provider(CredentialSource::Default, bare()).get().await.unwrap_err();
        let names: Vec<SourceName> = error.reasons.iter().map(|(name, _)| *name).collect();
        let all = [SourceName::Environment, SourceName::Files, SourceName::CliProfile, SourceName::EcsRamRole];
        assert_eq!(names, all);
        assert!(error.reasons.iter().all(|(_, why)| !why.is_empty()));
    }

    #[test]
    fn stale_before_the_end_and_sooner_when_life_is_short() {
        let now = DateTime::UNIX_EPOCH;
        let until = |end: Duration| Credentials {
            access_key_id: String::new(),
            access_key_secret: SecretString::from(""),
            security_token: None,
            expires_at: Some(now + end),
            source: SourceName::EcsRamRole,
        };
        assert_eq!(stale_at(&until(Duration::from_hours(6)), now), Some(now + Duration::from_mins(345)));
        assert_eq!(stale_at(&until(Duration::from_mins(20)), now), Some(now + Duration::from_mins(15)));
    }
}
