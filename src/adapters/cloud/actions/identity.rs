//! Owner of the credentials.

use serde::{Deserialize, Deserializer};

use crate::{
    adapters::cloud::{
        lenient,
        request::{CloudCall, RpcRequest},
    },
    domain::text::clean,
};

/// GetCallerIdentity of the token service: needs no permission, so it distinguishes bad credentials from missing rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetCallerIdentity;

/// The signer of the request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CallerIdentity {
    /// The account's number.
    #[serde(default, deserialize_with = "lenient::text")]
    pub account_id: Option<String>,
    /// The user or role, `acs:ram::…`, of at most [`LONGEST_ARN`] characters.
    #[serde(deserialize_with = "arn")]
    pub arn: String,
    /// `Account`, `RAMUser` or `AssumedRoleUser`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub identity_type: Option<String>,
}

/// Maximum length of the name of a user or role, in characters: an account, and at most 64 characters for each of the role and
/// its session.
pub const LONGEST_ARN: usize = 256;

fn arn<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(clean(&text, LONGEST_ARN).into_owned())
}

impl CloudCall for GetCallerIdentity {
    type Value = CallerIdentity;

    fn request(&self) -> RpcRequest {
        RpcRequest::sts("GetCallerIdentity")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_as_long_as_one_can_be() {
        let of = |arn: &str| serde_json::from_value::<CallerIdentity>(serde_json::json!({ "Arn": arn })).unwrap().arn;
        assert_eq!(of("acs:ram::1:user/a"), "acs:ram::1:user/a");
        let long = of(&"x".repeat(65_536));
        assert!(long.chars().count() == LONGEST_ARN && long.ends_with('…'), "{}", long.len());
    }
}
