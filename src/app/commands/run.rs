//! `imagebaked run`: the daemon in the foreground.

use std::sync::Arc;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::{
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result},
};
use crate::{
    adapters::{store::StoreError, telemetry},
    app::{
        cli::RunArgs,
        daemon::{self, DaemonError, Setup, Signals},
    },
    domain::{clock::SystemClock, error::chain},
};

/// Variable of the secret of a key pair.
const SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";

pub async fn run(context: &Context<'_>, args: &RunArgs) -> Result {
    let journal_stream = context.environment.get("JOURNAL_STREAM").map(String::as_str);
    telemetry::start(args.log, &args.log_filter, journal_stream)
        .map_err(|error| Failure::new(Exit::Usage, chain(&error)))?;
    // Neither core files nor hooks, which run as the same user, may read the keys in this process and its environment.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the memory of this process stays readable for its user");
    }
    if context.environment.contains_key("INVOCATION_ID") && context.environment.contains_key(SECRET) {
        tracing::warn!(
            "the key pair is in the environment of the service, where systemctl show prints it: use LoadCredential="
        );
    }
    let loaded = context.load()?;
    for warning in &loaded.warnings.0 {
        tracing::warn!("{warning}");
    }
    // First, so that no signal comes before its handler.
    let signals =
        Signals::new().map_err(|error| Failure::new(Exit::Failed, format!("signals cannot be received: {error}")))?;
    let setup = Setup {
        config: loaded.config,
        config_path: context.config_path.to_owned(),
        environment: context.environment.clone(),
        clock: Arc::new(SystemClock),
        rng: fastrand::Rng::new(),
    };
    match daemon::run(setup, signals.receive()).await {
        Ok(()) => Ok(CommandOutput::done(String::new())),
        Err(error) => {
            let exit = match &error {
                DaemonError::Store(StoreError::InUse { .. }) | DaemonError::Cloud(_) => Exit::Usage,
                DaemonError::Store(error) if error.is_unusable_history() => Exit::Unusable,
                _ => Exit::Failed,
            };
            Err(Failure::new(exit, chain(&error)))
        }
    }
}
