//! The key from a folder with a file for each part, as systemd's `LoadCredential=` lays it out.

use std::path::Path;

use secrecy::SecretString;

use super::{
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
    let missing = |name: &str| format!("no {name} in {}", folder.display());
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

/// The file's text without the line end that editors add; `None` where it is missing or empty.
async fn part(folder: &Path, name: &str) -> Result<Option<String>, NoKey> {
    let text = text_file::read(&folder.join(name)).await?;
    Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
}
