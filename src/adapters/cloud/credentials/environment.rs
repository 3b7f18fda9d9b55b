//! The key pair from `ALIBABA_CLOUD_ACCESS_KEY_ID`, `_SECRET` and perhaps `ALIBABA_CLOUD_SECURITY_TOKEN`.

use super::types::{Credentials, Environment, SourceName};

pub(super) fn fetch(environment: &Environment) -> Result<Credentials, String> {
    match (&environment.access_key_id, &environment.access_key_secret) {
        (Some(id), Some(secret)) => Ok(Credentials {
            access_key_id: id.clone(),
            access_key_secret: secret.clone(),
            security_token: environment.security_token.clone(),
            expires_at: None,
            source: SourceName::Environment,
        }),
        (None, None) => Err("ALIBABA_CLOUD_ACCESS_KEY_ID is not set".to_owned()),
        (Some(_), None) => Err("ALIBABA_CLOUD_ACCESS_KEY_SECRET is not set".to_owned()),
        (None, Some(_)) => Err("ALIBABA_CLOUD_ACCESS_KEY_SECRET is set, but the key id is not".to_owned()),
    }
}
