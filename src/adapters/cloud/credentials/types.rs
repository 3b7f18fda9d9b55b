//! The credentials, the environment that the sources read, and the error of all sources together.

use std::{fmt, path::PathBuf};

use chrono::{DateTime, Utc};
use secrecy::SecretString;

/// A source, as named in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceName {
    /// `ALIBABA_CLOUD_ACCESS_KEY_ID` and its siblings.
    Environment,
    /// `access_key_id` and its siblings in the credentials folder.
    Files,
    /// `~/.aliyun/config.json`.
    CliProfile,
    /// The ECS metadata service.
    EcsRamRole,
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Environment => "environment",
            Self::Files => "credentials folder",
            Self::CliProfile => "aliyun profile",
            Self::EcsRamRole => "ECS RAM role",
        })
    }
}

/// What signs a request.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Not a secret, but of no use in logs.
    pub access_key_id: String,
    /// The secret that goes with it.
    pub access_key_secret: SecretString,
    /// Goes along with temporary keys.
    pub security_token: Option<SecretString>,
    /// When the cloud stops accepting it, where that is known.
    pub expires_at: Option<DateTime<Utc>>,
    /// Where it is from.
    pub source: SourceName,
}

/// What the sources read: the process's environment as a value, so that tests have their own.
#[derive(Debug, Clone)]
pub struct Environment {
    pub(in crate::adapters::cloud) access_key_id: Option<String>,
    pub(in crate::adapters::cloud) access_key_secret: Option<SecretString>,
    pub(in crate::adapters::cloud) security_token: Option<SecretString>,
    pub(in crate::adapters::cloud) profile: Option<String>,
    pub(in crate::adapters::cloud) profile_disabled: bool,
    pub(in crate::adapters::cloud) ecs_role: Option<String>,
    pub(in crate::adapters::cloud) ecs_disabled: bool,
    pub(in crate::adapters::cloud) imds_v1_disabled: bool,
    /// Home of `.aliyun/config.json`.
    pub home: Option<PathBuf>,
    /// Folder of `access_key_id`, `access_key_secret` and perhaps `security_token`; systemd's `LoadCredential=` makes it.
    pub credentials_directory: Option<PathBuf>,
    /// Base of the metadata service; another one only in tests.
    pub metadata_url: String,
}

impl Environment {
    /// Takes what the sources need from variables; pass `|name| std::env::var(name).ok()`.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|text| !text.is_empty());
        let on = |name: &str| set(name).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        Self {
            access_key_id: set("ALIBABA_CLOUD_ACCESS_KEY_ID"),
            access_key_secret: set("ALIBABA_CLOUD_ACCESS_KEY_SECRET").map(SecretString::from),
            security_token: set("ALIBABA_CLOUD_SECURITY_TOKEN").map(SecretString::from),
            profile: set("ALIBABA_CLOUD_PROFILE"),
            profile_disabled: on("ALIBABA_CLOUD_CLI_PROFILE_DISABLED"),
            ecs_role: set("ALIBABA_CLOUD_ECS_METADATA"),
            ecs_disabled: on("ALIBABA_CLOUD_ECS_METADATA_DISABLED"),
            imds_v1_disabled: on("ALIBABA_CLOUD_IMDSV1_DISABLED"),
            home: set("HOME").map(PathBuf::from),
            credentials_directory: set("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            metadata_url: "http://100.100.100.200".to_owned(),
        }
    }
}

/// No source has a key pair; one error for each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no credentials: {}", reasons.iter().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("; "))]
pub struct NoCredentials {
    /// The sources asked, in order.
    pub reasons: Vec<(SourceName, String)>,
}
