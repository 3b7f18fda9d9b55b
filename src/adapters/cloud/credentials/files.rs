//! The key from a folder with a file for each part, as systemd's `LoadCredential=` lays it out.

use std::path::Path;

use secrecy::SecretString;

use super::{
    plain_value,
    recipe::{Base, Recipe},
    text_file,
    types::NoKey,
    variables::Environment,
};
use crate::adapters::cloud::signing::AccessKey;

pub(super) async fn find(environment: &Environment) -> Result<Recipe, NoKey> {
    let Some(folder) = environment.credentials_directory.as_deref() else {
        return Err(NoKey::not_set_up("CREDENTIALS_DIRECTORY is not set"));
    };
    let id = part(folder, "access_key_id").await?;
    let secret = part(folder, "access_key_secret").await?;
    let missing = |name: &str| {
        let path = folder.join(name);
        if path.exists() {
            format!("{} is empty", path.display())
        } else {
            format!("no {name} in {}", folder.display())
        }
    };
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(Recipe::of(Base::Key(AccessKey {
            id,
            secret: secret.into(),
            security_token: part(folder, "security_token").await?.map(SecretString::from),
        }))),
        (Some(_), None) => Err(NoKey::unusable(missing("access_key_secret"))),
        (None, Some(_)) => Err(NoKey::unusable(missing("access_key_id"))),
        (None, None) if environment.folder_is_named => Err(NoKey::unusable(missing("access_key_id"))),
        (None, None) => Err(NoKey::not_set_up(missing("access_key_id"))),
    }
}

/// The value in the file; `None` where it is missing or empty.
async fn part(folder: &Path, name: &str) -> Result<Option<String>, NoKey> {
    let path = folder.join(name);
    let Some(text) = text_file::read(&path).await? else { return Ok(None) };
    let value = plain_value::of_text(&text).map_err(|fault| NoKey::unusable(format!("{} {fault}", path.display())))?;
    Ok(Some(value).filter(|value| !value.is_empty()))
}
