//! `[cloud] credentials`: the sources of credentials that may be used.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The choice of the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CredentialSource {
    /// The first source that is set up.
    #[default]
    Default,
    /// `ALIBABA_CLOUD_ACCESS_KEY_ID` and its siblings.
    Environment,
    /// A role for the OIDC token of this host or pod (RRSA), from variables.
    Oidc,
    /// This profile of the `aliyun` command.
    Profile(String),
    /// The credentials file in the INI format.
    Ini,
    /// The RAM role of the ECS machine, from its metadata service.
    EcsRamRole,
    /// The URI that a variable names.
    Uri,
    /// A folder with a file for each part of the key.
    Files,
}

/// Before the name of a profile.
const PROFILE: &str = "profile:";

impl CredentialSource {
    /// The choices that are one word.
    pub const WORDS: [&str; 7] = ["default", "environment", "oidc", "ini", "ecs_ram_role", "uri", "files"];

    /// Reads a choice: one of [`Self::WORDS`], or `profile:NAME`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "default" => Self::Default,
            "environment" => Self::Environment,
            "oidc" => Self::Oidc,
            "ini" => Self::Ini,
            "ecs_ram_role" => Self::EcsRamRole,
            "uri" => Self::Uri,
            "files" => Self::Files,
            _ => Self::Profile(text.strip_prefix(PROFILE).filter(|name| !name.trim().is_empty())?.to_owned()),
        })
    }
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Environment => "environment",
            Self::Oidc => "oidc",
            Self::Profile(name) => return write!(f, "{PROFILE}{name}"),
            Self::Ini => "ini",
            Self::EcsRamRole => "ecs_ram_role",
            Self::Uri => "uri",
            Self::Files => "files",
        })
    }
}

impl From<CredentialSource> for String {
    fn from(source: CredentialSource) -> Self {
        source.to_string()
    }
}

/// Not a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a source of credentials")]
pub struct UnknownSource(String);

impl TryFrom<String> for CredentialSource {
    type Error = UnknownSource;

    fn try_from(text: String) -> Result<Self, UnknownSource> {
        Self::parse(&text).ok_or(UnknownSource(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_read_as_it_is_written() {
        for word in CredentialSource::WORDS.into_iter().chain(["profile:nightly bakes"]) {
            assert_eq!(CredentialSource::parse(word).map(|source| source.to_string()).as_deref(), Some(word));
        }
        for other in ["", "profile", "profile:", "profile: ", "Default", "file", "ecs"] {
            assert_eq!(CredentialSource::parse(other), None, "{other}");
        }
    }
}
