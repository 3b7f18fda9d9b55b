//! A key or a role from variables alone.

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    plain_value,
    recipe::{Base, Recipe, RoleFields},
    types::NoKey,
    variables::Environment,
};
use crate::adapters::cloud::signing::AccessKey;

/// The key of `ALIBABA_CLOUD_ACCESS_KEY_ID`, `_SECRET` and perhaps `ALIBABA_CLOUD_SECURITY_TOKEN`.
pub(super) fn key(environment: &Environment) -> Result<Recipe, NoKey> {
    match (&environment.access_key_id, &environment.access_key_secret, &environment.security_token) {
        (Some(id), Some(secret), token) => Ok(Recipe::of(Base::Key(AccessKey {
            id: value("ALIBABA_CLOUD_ACCESS_KEY_ID", id)?,
            secret: secret_value("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret)?,
            security_token: match token {
                Some(token) => Some(secret_value("ALIBABA_CLOUD_SECURITY_TOKEN", token)?),
                None => None,
            },
        }))),
        (None, None, None) => Err(NoKey::not_set_up("ALIBABA_CLOUD_ACCESS_KEY_ID is not set")),
        (Some(_), None, _) => Err(half("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET")),
        (None, Some(_), _) => Err(half("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_ACCESS_KEY_ID")),
        (None, None, Some(_)) => Err(half("ALIBABA_CLOUD_SECURITY_TOKEN", "ALIBABA_CLOUD_ACCESS_KEY_ID")),
    }
}

/// The value of a variable, without what a file of variables may add.
fn value(name: &str, text: &str) -> Result<String, NoKey> {
    match plain_value::of_text(text) {
        Ok(value) if value.is_empty() => Err(NoKey::unusable(format!("{name} is empty"))),
        Ok(value) => Ok(value),
        Err(fault) => Err(NoKey::unusable(format!("{name} {fault}"))),
    }
}

fn secret_value(name: &str, text: &SecretString) -> Result<SecretString, NoKey> {
    value(name, text.expose_secret()).map(SecretString::from)
}

/// The role for an OIDC token, as a cluster gives it to a pod (RRSA).
pub(super) fn oidc(environment: &Environment) -> Result<Recipe, NoKey> {
    let (provider, file) = (&environment.oidc_provider_arn, &environment.oidc_token_file);
    match (&environment.role_arn, provider, file) {
        (Some(_), Some(provider_arn), Some(token_file)) => {
            let role = RoleFields::default().role("the environment", environment)?;
            let (provider_arn, token_file) = (provider_arn.clone(), token_file.clone());
            Ok(Recipe::of(Base::Oidc { provider_arn, token_file, role }))
        }
        // The role's name alone is a default of profiles.
        (_, None, None) => Err(NoKey::not_set_up("ALIBABA_CLOUD_OIDC_TOKEN_FILE is not set")),
        (None, Some(_), _) => Err(half("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "ALIBABA_CLOUD_ROLE_ARN")),
        (None, None, Some(_)) => Err(half("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "ALIBABA_CLOUD_ROLE_ARN")),
        (_, Some(_), None) => Err(half("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "ALIBABA_CLOUD_OIDC_TOKEN_FILE")),
        (_, None, Some(_)) => Err(half("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN")),
    }
}

/// The role of the ECS machine.
pub(super) fn ecs_role(name: Option<String>, environment: &Environment) -> Result<Recipe, NoKey> {
    if environment.ecs_disabled {
        return Err(NoKey::not_set_up("switched off by ALIBABA_CLOUD_ECS_METADATA_DISABLED"));
    }
    Ok(Recipe::of(Base::EcsRole(name.or_else(|| environment.ecs_role.clone()))))
}

/// The service of `ALIBABA_CLOUD_CREDENTIALS_URI`.
pub(super) fn uri(environment: &Environment) -> Result<Recipe, NoKey> {
    match &environment.credentials_uri {
        Some(uri) => Ok(Recipe::of(Base::Uri(uri.clone()))),
        None => Err(NoKey::not_set_up("ALIBABA_CLOUD_CREDENTIALS_URI is not set")),
    }
}

fn half(set: &str, missing: &str) -> NoKey {
    NoKey::unusable(format!("{set} is set, but {missing} is not"))
}
