//! Profiles of `~/.aliyun/config.json`, which the `aliyun` command writes.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    environment::ecs_role,
    modes::unsupported,
    plain_value,
    recipe::{Base, Recipe, RoleFields},
    text_file,
    types::NoKey,
    variables::Environment,
};
use crate::adapters::cloud::signing::AccessKey;

/// Maximum number of profiles that refer to each other.
const LONGEST_CHAIN: usize = 8;

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    current: Option<String>,
    #[serde(default)]
    profiles: Option<Vec<Profile>>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Profile {
    name: Option<String>,
    mode: Option<String>,
    access_key_id: Option<String>,
    access_key_secret: Option<SecretString>,
    sts_token: Option<SecretString>,
    ram_role_name: Option<String>,
    ram_role_arn: Option<String>,
    ram_session_name: Option<String>,
    role_session_name: Option<String>,
    expired_seconds: Option<u32>,
    policy: Option<String>,
    external_id: Option<String>,
    sts_region: Option<String>,
    enable_vpc: Option<bool>,
    source_profile: Option<String>,
    oidc_provider_arn: Option<String>,
    oidc_token_file: Option<String>,
    credentials_uri: Option<String>,
}

/// The profile `wanted`; else that of `ALIBABA_CLOUD_PROFILE`; else the file's current one.
pub(super) async fn find(environment: &Environment, wanted: Option<&str>) -> Result<Recipe, NoKey> {
    // A name in the configuration decides alone; that of the variable may also mean a section of the INI file.
    let absent = |why: String| if wanted.is_some() { NoKey::unusable(why) } else { NoKey::not_set_up(why) };
    if environment.profile_disabled {
        return Err(absent("switched off by ALIBABA_CLOUD_CLI_PROFILE_DISABLED".to_owned()));
    }
    let path = match (&environment.profile_file, &environment.home) {
        (Some(file), _) => file.clone(),
        (None, Some(home)) => home.join(".aliyun/config.json"),
        (None, None) => return Err(absent("HOME is not set".to_owned())),
    };
    let Some(text) = text_file::read(&path).await? else {
        let why = format!("there is no {}", path.display());
        return Err(if environment.profile_file.is_some() { NoKey::unusable(why) } else { absent(why) });
    };
    let file: ConfigFile = serde_json::from_str(&text).map_err(|error| unreadable(&path, &text, &error))?;
    let profiles = Profiles { environment, path, all: file.profiles.unwrap_or_default() };
    let is_named = wanted.or(environment.profile.as_deref());
    let Some(name) = is_named.map(str::to_owned).or(file.current.filter(|name| !name.is_empty())) else {
        return Err(NoKey::not_set_up(format!("{} has no current profile", profiles.path.display())));
    };
    match profiles.all.iter().find(|profile| profile.name.as_deref() == Some(&name)) {
        None if environment.profile.is_some() || wanted.is_some() => Err(absent(profiles.no_profile(&name))),
        None => Err(NoKey::unusable(profiles.no_profile(&name))),
        // As the command leaves it when it was never configured.
        Some(profile) if is_named.is_none() && profile.is_blank() => {
            Err(NoKey::not_set_up(format!("profile `{name}` is empty")))
        }
        Some(profile) => {
            let mode = profile.mode.clone().unwrap_or_default();
            let recipe = profiles.recipe(&name, &mut Vec::new()).map_err(|error| profiles.in_file(error))?;
            Ok(recipe.described(format!("`{name}` ({mode})")))
        }
    }
}

/// The parser's message may quote the file, which contains secrets: only the place is reported.
fn unreadable(path: &Path, text: &str, error: &serde_json::Error) -> NoKey {
    let (path, line) = (path.display(), error.line());
    NoKey::unusable(if text.trim().is_empty() {
        format!("{path} is empty; `aliyun configure` writes it")
    } else if error.is_data() {
        format!("{path} has a value of another type than the aliyun command writes, line {line}")
    } else {
        format!("{path} is not valid JSON, line {line}, column {}", error.column())
    })
}

struct Profiles<'a> {
    environment: &'a Environment,
    path: PathBuf,
    all: Vec<Profile>,
}

impl Profiles<'_> {
    fn no_profile(&self, name: &str) -> String {
        format!("no profile `{name}` in {}", self.path.display())
    }

    /// The same error with the file that it is about.
    fn in_file(&self, error: NoKey) -> NoKey {
        let path = self.path.display().to_string();
        match error {
            NoKey::Unusable(why) if !why.contains(&path) => NoKey::Unusable(format!("{path}: {why}")),
            error => error,
        }
    }

    /// The recipe of a profile; `before` are those that lead to it.
    fn recipe(&self, name: &str, before: &mut Vec<String>) -> Result<Recipe, NoKey> {
        if before.len() >= LONGEST_CHAIN && !before.iter().any(|one| one == name) {
            let chain = before.join(", ");
            return Err(NoKey::unusable(format!(
                "more than {LONGEST_CHAIN} profiles are sources of each other: {chain}"
            )));
        }
        if before.iter().any(|one| one == name) {
            return Err(NoKey::unusable(format!("profile `{name}` is its own source: {}", before.join(", "))));
        }
        before.push(name.to_owned());
        let mut found = self.all.iter().filter(|profile| profile.name.as_deref() == Some(name));
        let profile = found.next().cloned().ok_or_else(|| NoKey::unusable(self.no_profile(name)))?;
        if found.next().is_some() {
            return Err(NoKey::unusable(format!(
                "there are several profiles `{name}`, and they may be of different accounts: leave one"
            )));
        }
        let place = format!("profile `{name}`");
        let missing = |what: &str| NoKey::unusable(format!("{place} has no {what}"));
        match profile.mode.as_deref().unwrap_or_default() {
            "AK" => Ok(Recipe::of(Base::Key(profile.key(&place)?))),
            "StsToken" => {
                let token = plain(profile.sts_token.as_ref(), &place, "sts_token")?;
                Ok(Recipe::of(Base::Key(AccessKey { security_token: Some(token), ..profile.key(&place)? })))
            }
            "RamRoleArn" => {
                let base = Base::Key(profile.key(&place)?);
                Ok(Recipe::of(base).then(profile.role().role(&place, self.environment)?))
            }
            "ChainableRamRoleArn" => {
                let source = given(profile.source_profile.as_ref()).ok_or_else(|| missing("source_profile"))?;
                let role = profile.role().role(&place, self.environment)?;
                Ok(self.recipe(&source, before)?.then(role))
            }
            "EcsRamRole" => ecs_role(given(profile.ram_role_name.as_ref()), &place, self.environment)
                .map_err(|error| error.set_up_as(&format!("{place} is of mode EcsRamRole"))),
            "OIDC" => {
                let environment = self.environment;
                let provider_arn =
                    given(profile.oidc_provider_arn.as_ref()).or_else(|| environment.oidc_provider_arn.clone());
                let file = given(profile.oidc_token_file.as_ref()).map(PathBuf::from);
                let file = file.or_else(|| environment.oidc_token_file.clone());
                Ok(Recipe::of(Base::Oidc {
                    provider_arn: provider_arn.ok_or_else(|| missing("oidc_provider_arn"))?,
                    token_file: file.ok_or_else(|| missing("oidc_token_file"))?,
                    role: profile.role().role(&place, environment)?,
                }))
            }
            "CredentialsURI" => {
                let uri = given(profile.credentials_uri.as_ref()).ok_or_else(|| missing("credentials_uri"))?;
                Ok(Recipe::of(Base::Uri(uri)))
            }
            mode => Err(unsupported(&place, "mode", mode)),
        }
    }
}

impl Profile {
    /// The fields of a role. The official libraries read the session's name from either key.
    fn role(&self) -> RoleFields {
        RoleFields {
            arn: given(self.ram_role_arn.as_ref()),
            session_name: given(self.ram_session_name.as_ref()).or_else(|| given(self.role_session_name.as_ref())),
            duration_seconds: self.expired_seconds,
            policy: given(self.policy.as_ref()),
            external_id: given(self.external_id.as_ref()),
            region: given(self.sts_region.as_ref()),
            in_vpc: self.enable_vpc,
        }
    }

    fn key(&self, place: &str) -> Result<AccessKey, NoKey> {
        let id = self.access_key_id.clone().map(SecretString::from);
        Ok(AccessKey {
            id: plain(id.as_ref(), place, "access_key_id")?.expose_secret().to_owned(),
            secret: plain(self.access_key_secret.as_ref(), place, "access_key_secret")?,
            security_token: None,
        })
    }

    fn is_blank(&self) -> bool {
        let has_secret = self.access_key_secret.as_ref().is_some_and(|secret| !secret.expose_secret().is_empty());
        matches!(self.mode.as_deref(), None | Some("" | "AK"))
            && given(self.access_key_id.as_ref()).is_none()
            && !has_secret
    }
}

/// A part of the key, without what an editor may add.
fn plain(text: Option<&SecretString>, place: &str, name: &str) -> Result<SecretString, NoKey> {
    let text = text.map(ExposeSecret::expose_secret).unwrap_or_default();
    match plain_value::of_text(text) {
        Ok(value) if value.is_empty() => Err(NoKey::unusable(format!("{place} has no {name}"))),
        Ok(value) => Ok(value.into()),
        Err(fault) => Err(NoKey::unusable(format!("{name} of {place} {fault}"))),
    }
}

/// The text, unless it is empty.
fn given(text: Option<&String>) -> Option<String> {
    text.cloned().filter(|text| !text.is_empty())
}
