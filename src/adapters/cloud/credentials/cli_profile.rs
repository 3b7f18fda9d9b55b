//! The key pair from `~/.aliyun/config.json`, which the `aliyun` command writes; profiles of modes AK and StsToken.

use secrecy::SecretString;
use serde::Deserialize;
use tokio::fs;

use super::types::{Credentials, Environment, SourceName};

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    current: String,
    #[serde(default)]
    profiles: Vec<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    name: String,
    #[serde(default)]
    mode: String,
    access_key_id: Option<String>,
    access_key_secret: Option<SecretString>,
    sts_token: Option<SecretString>,
}

pub(super) async fn fetch(environment: &Environment) -> Result<Credentials, String> {
    if environment.profile_disabled {
        return Err("switched off by ALIBABA_CLOUD_CLI_PROFILE_DISABLED".to_owned());
    }
    let home = environment.home.as_deref().ok_or("HOME is not set")?;
    let path = home.join(".aliyun/config.json");
    let text = fs::read(&path).await.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    // The parser's message may quote the file, which contains secrets: only the place is reported.
    let file: ConfigFile = serde_json::from_slice(&text)
        .map_err(|error| format!("{} is not as expected, line {}", path.display(), error.line()))?;
    let wanted = environment.profile.as_deref().unwrap_or(&file.current);
    let profile = file
        .profiles
        .into_iter()
        .find(|profile| profile.name == wanted)
        .ok_or_else(|| format!("no profile `{wanted}` in {}", path.display()))?;
    credentials(profile)
}

fn credentials(profile: Profile) -> Result<Credentials, String> {
    let name = profile.name;
    let security_token = match profile.mode.as_str() {
        "AK" => None,
        "StsToken" => Some(profile.sts_token.ok_or_else(|| format!("profile `{name}` has no sts_token"))?),
        mode => return Err(format!("profile `{name}` is of mode {mode}; AK and StsToken are read")),
    };
    let access_key_id = profile.access_key_id.filter(|id| !id.is_empty());
    Ok(Credentials {
        access_key_id: access_key_id.ok_or_else(|| format!("profile `{name}` has no access_key_id"))?,
        access_key_secret: profile
            .access_key_secret
            .ok_or_else(|| format!("profile `{name}` has no access_key_secret"))?,
        security_token,
        expires_at: None,
        source: SourceName::CliProfile,
    })
}
