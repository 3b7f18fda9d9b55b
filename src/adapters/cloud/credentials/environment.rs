//! The key pair from `ALIBABA_CLOUD_ACCESS_KEY_ID`, `_SECRET` and perhaps `ALIBABA_CLOUD_SECURITY_TOKEN`.

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    plain_value,
    types::{Credentials, Environment, SourceName},
};

pub(super) fn fetch(environment: &Environment) -> Result<Credentials, String> {
    match (&environment.access_key_id, &environment.access_key_secret) {
        (Some(id), Some(secret)) => Ok(Credentials {
            access_key_id: value("ALIBABA_CLOUD_ACCESS_KEY_ID", id)?,
            access_key_secret: secret_value("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret)?,
            security_token: environment
                .security_token
                .as_ref()
                .map(|token| secret_value("ALIBABA_CLOUD_SECURITY_TOKEN", token))
                .transpose()?,
            expires_at: None,
            source: SourceName::Environment,
        }),
        (None, None) => Err("ALIBABA_CLOUD_ACCESS_KEY_ID is not set".to_owned()),
        (Some(_), None) => Err("ALIBABA_CLOUD_ACCESS_KEY_SECRET is not set".to_owned()),
        (None, Some(_)) => Err("ALIBABA_CLOUD_ACCESS_KEY_SECRET is set, but the key id is not".to_owned()),
    }
}

/// The value of a variable, without what a file of variables may add.
fn value(name: &str, text: &str) -> Result<String, String> {
    match plain_value::of_text(text) {
        Ok(value) if value.is_empty() => Err(format!("{name} is empty")),
        Ok(value) => Ok(value),
        Err(fault) => Err(format!("{name} {fault}")),
    }
}

fn secret_value(name: &str, text: &SecretString) -> Result<SecretString, String> {
    value(name, text.expose_secret()).map(SecretString::from)
}
