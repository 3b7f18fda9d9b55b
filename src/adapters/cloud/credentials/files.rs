//! The key pair from a folder with a file for each part, as systemd's `LoadCredential=` lays it out.

use std::{io::ErrorKind, path::Path};

use secrecy::SecretString;
use tokio::fs;

use super::{
    plain_value,
    types::{Credentials, Environment, SourceName},
};

pub(super) async fn fetch(environment: &Environment) -> Result<Credentials, String> {
    let folder = environment.credentials_directory.as_deref().ok_or("CREDENTIALS_DIRECTORY is not set")?;
    let access_key_id = required(folder, "access_key_id").await?;
    let access_key_secret = required(folder, "access_key_secret").await?;
    let security_token = read(folder, "security_token").await?.filter(|text| !text.is_empty());
    Ok(Credentials {
        access_key_id,
        access_key_secret: access_key_secret.into(),
        security_token: security_token.map(SecretString::from),
        expires_at: None,
        source: SourceName::Files,
    })
}

async fn required(folder: &Path, name: &str) -> Result<String, String> {
    let text = read(folder, name).await?.ok_or_else(|| format!("no {name} in {}", folder.display()))?;
    if text.is_empty() { Err(format!("{} is empty", folder.join(name).display())) } else { Ok(text) }
}

/// The value in the file; `None` if there is no such file.
async fn read(folder: &Path, name: &str) -> Result<Option<String>, String> {
    let path = folder.join(name);
    match fs::read(&path).await {
        Ok(bytes) => plain_value::of_file(&bytes).map(Some).map_err(|fault| format!("{} {fault}", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}
