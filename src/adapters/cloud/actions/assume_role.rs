//! Temporary keys of a role.

use std::fmt;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, de::Error as _};

use crate::adapters::cloud::request::{CloudCall, Pairs, RpcRequest};

/// AssumeRole of the token service: the signer's rights are exchanged for those of a role.
#[derive(Clone, PartialEq, Eq)]
pub struct AssumeRole {
    /// `acs:ram::ACCOUNT:role/NAME`.
    pub role_arn: String,
    /// 2 to 64 characters of `A-Za-z0-9.@-_`; shows in the account's audit.
    pub role_session_name: String,
    /// Lifetime of the keys in seconds: 900 up to the role's maximum.
    pub duration_seconds: u32,
    /// Rights of this session, as far as the role has them: a policy document.
    pub policy: Option<String>,
    /// Agreed with the owner of the role.
    pub external_id: Option<String>,
}

/// The id agreed with the owner is no secret, but nobody else's business.
impl fmt::Debug for AssumeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssumeRole").field("role_arn", &self.role_arn).finish_non_exhaustive()
    }
}

/// The role's keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AssumedRole {
    /// Id, secret and token.
    pub credentials: TemporaryKey,
    /// Whose they are.
    #[serde(default)]
    pub assumed_role_user: Option<AssumedRoleUser>,
}

/// The session of a role.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AssumedRoleUser {
    /// `acs:ram::ACCOUNT:assumed-role/NAME/SESSION`.
    #[serde(default)]
    pub arn: Option<String>,
}

/// A key with an end.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TemporaryKey {
    /// `STS.…`.
    pub access_key_id: String,
    /// The secret that goes with it.
    pub access_key_secret: SecretString,
    /// Goes along with every request; of any length.
    pub security_token: SecretString,
    /// When the cloud stops accepting it.
    pub expiration: DateTime<Utc>,
}

impl TemporaryKey {
    /// Whether no part of it is missing. They become headers: a line end in one would begin another.
    pub fn is_whole(&self) -> bool {
        let parts = [&*self.access_key_id, self.access_key_secret.expose_secret(), self.security_token.expose_secret()];
        parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic()))
    }
}

impl AssumedRole {
    /// The session's name, where the answer has it.
    pub fn arn(&self) -> Option<String> {
        self.assumed_role_user.as_ref()?.arn.clone()
    }
}

impl AssumeRole {
    /// The role's parameters, as AssumeRoleWithOIDC takes them, too.
    pub fn parameters(&self) -> Pairs {
        Pairs::default()
            .text("RoleArn", Some(&self.role_arn))
            .text("RoleSessionName", Some(&self.role_session_name))
            .number("DurationSeconds", Some(self.duration_seconds))
            .text("Policy", self.policy.as_deref())
    }
}

impl CloudCall for AssumeRole {
    type Value = AssumedRole;

    fn request(&self) -> RpcRequest {
        RpcRequest::sts("AssumeRole").with_query(self.parameters().text("ExternalId", self.external_id.as_deref()))
    }

    /// The parser's message may quote the answer, which has keys in it: it is replaced.
    fn value(answer: serde_json::Value) -> Result<AssumedRole, serde_json::Error> {
        serde_json::from_value(answer).map_err(|_| serde_json::Error::custom("the keys of the role are not whole"))
    }
}
