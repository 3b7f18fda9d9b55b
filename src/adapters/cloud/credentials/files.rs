//! The key pair from a folder with a file for each part, as systemd's `LoadCredential=` lays it out.

use std::{io::ErrorKind, path::Path};

use secrecy::SecretString;
use tokio::fs;

use super::types::{Credentials, Environment, SourceName};

pub(super) async fn fetch(environment: &Environment) -> Result<Credentials, String> {
    let folder = environment.credentials_directory.as_deref().ok_or("CREDENTIALS_DIRECTORY is not set")?;
    let required = |name: &str, text: Option<String>| text.ok_or_else(|| format!("no {name} in {}", folder.display()));
    Ok(Credentials {
        access_key_id: required("access_key_id", read(folder, "access_key_id").await?)?,
        access_key_secret: required("access_key_secret", read(folder, "access_key_secret").await?)?.into(),
        security_token: read(folder, "security_token").await?.map(SecretString::from),
        expires_at: None,
        source: SourceName::Files,
    })
}

/// The file's text without the line end that editors add; `None` where it is missing or empty.
async fn read(folder: &Path, name: &str) -> Result<Option<String>, String> {
    match fs::read_to_string(folder.join(name)).await {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", folder.join(name).display())),
    }
}
