//! The variables that the sources read: the process's environment as a value, so that tests have their own.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use crate::adapters::secrets::KnownSecrets;

/// What the sources read.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Environment {
    pub(super) access_key_id: Option<String>,
    pub(super) access_key_secret: Option<SecretString>,
    pub(super) security_token: Option<SecretString>,
    pub(super) profile: Option<String>,
    pub(super) profile_file: Option<PathBuf>,
    pub(super) profile_disabled: bool,
    pub(super) credentials_file: Option<PathBuf>,
    pub(super) role_arn: Option<String>,
    pub(super) role_session_name: Option<String>,
    pub(super) oidc_provider_arn: Option<String>,
    pub(super) oidc_token_file: Option<PathBuf>,
    pub(super) credentials_uri: Option<String>,
    pub(super) ecs_role: Option<String>,
    pub(super) ecs_disabled: bool,
    pub(super) imds_v1_disabled: bool,
    pub(super) sts_region: Option<String>,
    pub(super) sts_in_vpc: bool,
    /// Home of `.aliyun/config.json` and `.alibabacloud/credentials`.
    pub home: Option<PathBuf>,
    /// Folder of `access_key_id`, `access_key_secret` and perhaps `security_token`; systemd's `LoadCredential=` makes it.
    pub credentials_directory: Option<PathBuf>,
    /// The operator named that folder in the configuration: it must have the key.
    pub folder_is_named: bool,
}

impl Environment {
    /// Takes what the sources need from variables; pass `|name| std::env::var(name).ok()`.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|text| !text.is_empty());
        let path = |name: &str| set(name).map(PathBuf::from);
        let on = |name: &str| set(name).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        Self {
            access_key_id: set("ALIBABA_CLOUD_ACCESS_KEY_ID"),
            access_key_secret: set("ALIBABA_CLOUD_ACCESS_KEY_SECRET").map(SecretString::from),
            security_token: set("ALIBABA_CLOUD_SECURITY_TOKEN").map(SecretString::from),
            profile: set("ALIBABA_CLOUD_PROFILE"),
            profile_file: path("ALIBABA_CLOUD_CONFIG_FILE"),
            profile_disabled: on("ALIBABA_CLOUD_CLI_PROFILE_DISABLED"),
            credentials_file: path("ALIBABA_CLOUD_CREDENTIALS_FILE"),
            role_arn: set("ALIBABA_CLOUD_ROLE_ARN"),
            role_session_name: set("ALIBABA_CLOUD_ROLE_SESSION_NAME"),
            oidc_provider_arn: set("ALIBABA_CLOUD_OIDC_PROVIDER_ARN"),
            oidc_token_file: path("ALIBABA_CLOUD_OIDC_TOKEN_FILE"),
            credentials_uri: set("ALIBABA_CLOUD_CREDENTIALS_URI"),
            ecs_role: set("ALIBABA_CLOUD_ECS_METADATA"),
            ecs_disabled: on("ALIBABA_CLOUD_ECS_METADATA_DISABLED"),
            imds_v1_disabled: on("ALIBABA_CLOUD_IMDSV1_DISABLED"),
            sts_region: set("ALIBABA_CLOUD_STS_REGION"),
            sts_in_vpc: on("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED"),
            home: path("HOME"),
            credentials_directory: path("CREDENTIALS_DIRECTORY"),
            folder_is_named: false,
        }
    }

    /// Adds the secrets among them, whether or not they are used.
    pub(in crate::adapters::cloud) fn teach(&self, secrets: &KnownSecrets) {
        for secret in [&self.access_key_secret, &self.security_token].into_iter().flatten() {
            secrets.learn(secret.expose_secret().trim());
        }
    }

    /// Region of the token service, and whether its host inside the VPC is meant.
    pub fn sts_region(&self) -> (Option<&str>, bool) {
        (self.sts_region.as_deref(), self.sts_in_vpc)
    }
}
