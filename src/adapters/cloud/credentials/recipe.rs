//! How a source gets its key: what it found, before anything is asked of the network.

use std::path::PathBuf;

use super::{types::NoKey, variables::Environment};
use crate::adapters::cloud::signing::AccessKey;

/// A key to begin with, and roles to assume one after the other.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub(super) base: Base,
    /// The first is assumed with the base's key, each further one with the keys of the one before.
    pub(super) roles: Vec<Role>,
    /// For people: a profile and its mode, a section, a role.
    pub(super) detail: Option<String>,
}

/// What a recipe begins with.
#[derive(Debug, Clone)]
pub(super) enum Base {
    /// A key that is at hand.
    Key(AccessKey),
    /// A role for the OIDC token in a file.
    Oidc { provider_arn: String, token_file: PathBuf, role: Role },
    /// The role of the ECS machine; its name is asked for if it is not given.
    EcsRole(Option<String>),
    /// A service that hands out keys.
    Uri(String),
}

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) arn: String,
    pub(super) session_name: String,
    pub(super) duration_seconds: u32,
    pub(super) policy: Option<String>,
    pub(super) external_id: Option<String>,
    /// Region of the token service; one for all regions if absent.
    pub(super) region: Option<String>,
    /// Whether to use that region's host inside a VPC.
    pub(super) in_vpc: bool,
}

/// What a file or the variables say of a role; [`RoleFields::role`] fills in the rest.
#[derive(Debug, Clone, Default)]
pub(super) struct RoleFields {
    pub(super) arn: Option<String>,
    pub(super) session_name: Option<String>,
    pub(super) duration_seconds: Option<u32>,
    pub(super) policy: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) region: Option<String>,
    pub(super) in_vpc: Option<bool>,
}

/// Name of the session in the account's audit.
const SESSION_NAME: &str = "imagebaked";
/// Lifetime of the keys in seconds: the default of the token service, and its minimum.
const DURATION: u32 = 3600;
const SHORTEST: u32 = 900;

impl Recipe {
    pub(super) fn of(base: Base) -> Self {
        Self { base, roles: Vec::new(), detail: None }
    }

    /// The same, described so.
    pub(super) fn described(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The same with a role to assume at the end.
    pub(super) fn then(mut self, role: Role) -> Self {
        self.roles.push(role);
        self
    }
}

impl RoleFields {
    /// The role, with the variables for what is left out, as the official libraries do. `place` names the source.
    pub(super) fn role(self, place: &str, environment: &Environment) -> Result<Role, NoKey> {
        let Some(arn) = self.arn.or_else(|| environment.role_arn.clone()) else {
            return Err(NoKey::unusable(format!("{place} names no role")));
        };
        let duration_seconds = self.duration_seconds.filter(|&seconds| seconds > 0).unwrap_or(DURATION);
        if duration_seconds < SHORTEST {
            let why = format!("{place} asks for keys of {duration_seconds} s; the shortest are of {SHORTEST} s");
            return Err(NoKey::unusable(why));
        }
        Ok(Role {
            arn,
            session_name: self
                .session_name
                .or_else(|| environment.role_session_name.clone())
                .unwrap_or_else(|| SESSION_NAME.to_owned()),
            duration_seconds,
            policy: self.policy,
            external_id: self.external_id,
            region: self.region.or_else(|| environment.sts_region.clone()),
            in_vpc: self.in_vpc.unwrap_or(environment.sts_in_vpc),
        })
    }
}
