//! What a command ends with: its output, or a failure, each with an exit code.

use crate::{
    adapters::{
        control::{ControlError, Reply},
        store::StoreError,
    },
    domain::error::chain,
};

/// Exit codes; scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// Success.
    Done = 0,
    /// Failure.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Not found.
    NotFound = 3,
    /// The daemon does not respond.
    Unreachable = 4,
    /// The daemon reports a problem.
    Unhealthy = 5,
    /// The request was sent, and its result is unknown.
    Unconfirmed = 6,
    /// The history is damaged, of a newer version or of another program.
    Unusable = 7,
}

/// Output of a command.
#[derive(Debug)]
pub(super) struct CommandOutput {
    pub(super) text: String,
    pub(super) exit: Exit,
}

impl CommandOutput {
    pub(super) fn done(text: String) -> Self {
        Self { text, exit: Exit::Done }
    }
}

/// Failure of a command.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) exit: Exit,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), exit }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = if error.is_unusable_history() { Exit::Unusable } else { Exit::Failed };
        Self::new(exit, chain(&error))
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        let exit = match error {
            ControlError::OtherVersion { .. } => Exit::Failed,
            _ => Exit::Unreachable,
        };
        Self::new(exit, chain(&error))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(Exit::Failed, format!("the result could not be written as JSON: {error}"))
    }
}

/// What a command returns.
pub(super) type Result<T = CommandOutput> = std::result::Result<T, Failure>;

/// Failure for an unexpected reply of the daemon.
pub(super) fn refused(reply: Reply) -> Failure {
    match reply {
        Reply::Stopping => Failure::new(
            Exit::Unreachable,
            "the daemon is stopping; running bakes continue at its next start (`imagebaked history`)",
        ),
        Reply::Unconfirmed { message } => Failure::new(Exit::Unconfirmed, message),
        Reply::NotFound { message } => Failure::new(Exit::NotFound, message),
        Reply::Failed { message } => Failure::new(Exit::Failed, message),
        Reply::BadConfig { problems } => Failure::new(Exit::Usage, problems),
        _ => Failure::new(Exit::Failed, "the daemon sent an unexpected reply"),
    }
}
