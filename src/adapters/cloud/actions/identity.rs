//! Owner of the credentials.

use serde::Deserialize;

use crate::adapters::cloud::{
    lenient,
    request::{CloudCall, RpcRequest},
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
    /// The user or role, `acs:ram::…`.
    pub arn: String,
    /// `Account`, `RAMUser` or `AssumedRoleUser`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub identity_type: Option<String>,
}

impl CloudCall for GetCallerIdentity {
    type Value = CallerIdentity;

    fn request(&self) -> RpcRequest {
        RpcRequest::sts("GetCallerIdentity")
    }
}
