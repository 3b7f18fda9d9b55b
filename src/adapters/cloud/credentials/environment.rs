//! A key or a role from variables alone.

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    plain_value,
    recipe::{Base, Recipe, RoleFields},
    types::NoKey,
    variables::Environment,
};
use crate::{adapters::cloud::signing::AccessKey, domain::text::excerpt};

/// Maximum length of the name of a role, as the access control service has it.
const LONGEST_ROLE: usize = 64;

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

/// The role of the ECS machine, by the `name` that `place` gives or else the variable.
pub(super) fn ecs_role(name: Option<String>, place: &str, environment: &Environment) -> Result<Recipe, NoKey> {
    if environment.ecs_disabled {
        return Err(NoKey::not_set_up("switched off by ALIBABA_CLOUD_ECS_METADATA_DISABLED"));
    }
    let given = name.as_ref().map(|name| (place, name));
    let given = given.or(environment.ecs_role.as_ref().map(|name| ("ALIBABA_CLOUD_ECS_METADATA", name)));
    if let Some((place, name)) = given.filter(|(_, name)| !is_role_name(name)) {
        let name = excerpt(name, LONGEST_ROLE);
        return Err(NoKey::unusable(format!(
            "{place} names the role {name:?}; the name of a role has 1 to {LONGEST_ROLE} letters, digits, `.`, `-` and `_`"
        )));
    }
    Ok(Recipe::of(Base::EcsRole(given.map(|(_, name)| name.clone()))))
}

/// Whether the name may be that of a role. It becomes the last part of an address, which dots alone would shorten.
pub(super) fn is_role_name(name: &str) -> bool {
    let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    name.len() <= LONGEST_ROLE && name.bytes().all(is_of_names) && name.contains(|c: char| c.is_ascii_alphanumeric())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_role_is_no_path() {
        for name in ["baker", "AliyunECSImageRole_2", "a.b-c", &"x".repeat(64)] {
            assert!(is_role_name(name), "{name}");
        }
        for name in ["", ".", "..", "../../x", "a/b", "a b", "a%2f", "r\u{f6}le", "a\nb", "a?b", &"x".repeat(65)] {
            assert!(!is_role_name(name), "{name}");
        }
        let environment = |name: &str| {
            let name = name.to_owned();
            Environment::read(move |key| (key == "ALIBABA_CLOUD_ECS_METADATA").then(|| name.clone()))
        };
        let refused = ecs_role(None, "x", &environment("../../x")).unwrap_err();
        let why = refused.why();
        assert!(why.starts_with("ALIBABA_CLOUD_ECS_METADATA names the role \"../../x\"; the name of a role"), "{why}");
        let refused = ecs_role(Some("a\u{1b}b".repeat(99)), "profile `p`", &environment("baker")).unwrap_err().why();
        assert!(refused.starts_with("profile `p` names the role \"a\\u{1b}b") && refused.len() < 999, "{refused}");
        assert!(ecs_role(None, "x", &environment("baker")).is_ok());
    }
}
