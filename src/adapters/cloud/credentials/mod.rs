//! Credentials, from the sources of the official libraries in their order: the environment (with the credentials folder
//! of the service manager after it), a role for an OIDC token, a profile of the `aliyun` command, the credentials file,
//! the RAM role of the ECS machine, a credentials URI.
//!
//! A source yields a recipe: a key to begin with, and roles to assume. The chain carries it out with the token
//! service and the services that hand out keys. A source that is set up and cannot be used ends the search, and the
//! source of the first credentials stays the source: another one would sign as somebody else.
//!
//! [`CredentialProvider`] shares the result between all calls, and renews it before it expires or after the cloud
//! rejected it. A service that gives keys and does not answer is an outage, like that of the cloud; one that
//! refuses is not. Secrets are in [`SecretString`](secrecy::SecretString) from the moment they are read.

mod chain;
mod cli_profile;
mod environment;
mod files;
mod ini_file;
mod key_service;
mod modes;
mod plain_value;
mod provider;
mod recipe;
mod service_error;
mod text_file;
mod token_service;
mod types;
mod variables;

#[cfg(test)]
mod chain_tests;

pub use self::chain::KeyHosts;
pub use self::provider::CredentialProvider;
pub use self::types::{Credentials, FailedRenewal, NoCredentials, ServiceError, SourceName};
pub use self::variables::Environment;
