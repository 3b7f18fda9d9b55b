//! Credentials, where they are from, and why a source has none.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::{adapters::cloud::signing::AccessKey, domain::api::call::ApiError};

/// A source, as named in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceName {
    /// `ALIBABA_CLOUD_ACCESS_KEY_ID` and its siblings.
    Environment,
    /// `access_key_id` and its siblings in the credentials folder.
    Files,
    /// The role for an OIDC token, from variables.
    Oidc,
    /// `~/.aliyun/config.json`.
    CliProfile,
    /// `~/.alibabacloud/credentials`.
    Ini,
    /// The ECS metadata service.
    EcsRamRole,
    /// `ALIBABA_CLOUD_CREDENTIALS_URI`.
    Uri,
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Environment => "environment",
            Self::Files => "credentials folder",
            Self::Oidc => "OIDC role",
            Self::CliProfile => "aliyun profile",
            Self::Ini => "credentials file",
            Self::EcsRamRole => "ECS RAM role",
            Self::Uri => "credentials URI",
        })
    }
}

/// A key, where it is from, whose it is, and how long it is accepted.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// What signs.
    pub key: AccessKey,
    /// When the cloud stops accepting it, where that is known.
    pub expires_at: Option<DateTime<Utc>>,
    /// Where it is from.
    pub source: SourceName,
    /// Which of the source's: a profile and its mode, a section, a role.
    pub detail: Option<String>,
    /// The role's session, `acs:ram::…:assumed-role/…`, where the source reports it.
    pub arn: Option<String>,
}

impl Credentials {
    /// The source in words.
    pub fn origin(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{} {detail}", self.source),
            None => self.source.to_string(),
        }
    }
}

/// Why a source gives no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoKey {
    /// Nothing is set up there: the next source is asked.
    #[error("{0}")]
    NotSetUp(String),
    /// It is set up, and cannot be used. Another source would sign as somebody else, so none is asked.
    #[error("{0}")]
    Unusable(String),
    /// It is set up, and the service that gives its keys gives none for a reason that passes.
    #[error("{}", .0.error.message)]
    Service(Box<ServiceError>),
}

/// Keys that serve still, and could not be renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRenewal {
    /// When the first try failed.
    pub since: DateTime<Utc>,
    /// When the keys end.
    pub until: DateTime<Utc>,
    /// Why the last try failed, with its source.
    pub error: String,
}

/// A service that gives keys and cannot now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// Its host, and its port if that is not the usual one.
    pub host: String,
    /// The error of every call that needs the keys: it was not sent.
    pub error: ApiError,
}

impl ServiceError {
    /// Whether the service does not answer, or answers that it cannot; otherwise it refuses the time of this host.
    pub fn is_outage(&self) -> bool {
        self.error.is_outage()
    }
}

impl NoKey {
    pub(super) fn not_set_up(why: impl Into<String>) -> Self {
        Self::NotSetUp(why.into())
    }

    pub(super) fn unusable(why: impl Into<String>) -> Self {
        Self::Unusable(why.into())
    }

    /// The same for a source that a file sets up so: that it is switched off makes it unusable.
    pub(super) fn set_up_as(self, what: &str) -> Self {
        match self {
            Self::NotSetUp(why) => Self::Unusable(format!("{what}, which is {why}")),
            error => error,
        }
    }

    pub(super) fn why(self) -> String {
        match self {
            Self::NotSetUp(why) | Self::Unusable(why) => why,
            Self::Service(service) => service.error.message,
        }
    }
}

/// There is no key to sign with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCredentials {
    /// The sources asked, in order, each with its reason.
    pub reasons: Vec<(SourceName, String)>,
    /// The last of them is set up or chosen, so that no other one is asked.
    pub is_final: bool,
    /// Why the service of the last of them gives no keys, if that passes. It is boxed because it is rare.
    pub service: Option<Box<ServiceError>>,
}

impl std::error::Error for NoCredentials {}

impl NoCredentials {
    /// The reason of the last source that was asked, with its name.
    pub(super) fn last_reason(&self) -> String {
        self.reasons.last().map_or_else(|| self.to_string(), |(name, why)| format!("{name}: {why}"))
    }
}

impl fmt::Display for NoCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = |(name, why): &(SourceName, String)| format!("{name}: {why}");
        let reasons: Vec<String> = match (self.is_final, self.reasons.last()) {
            (true, Some(last)) => vec![reason(last)],
            _ => self.reasons.iter().map(reason).collect(),
        };
        write!(f, "no credentials: {}", reasons.join("; "))
    }
}
