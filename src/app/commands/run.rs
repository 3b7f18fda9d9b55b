//! `imagebaked run`: the daemon in the foreground.

use std::sync::Arc;

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

pub async fn run(context: &Context<'_>, args: &RunArgs) -> Result {
    let journal_stream = context.environment.get("JOURNAL_STREAM").map(String::as_str);
    telemetry::start(args.log, &args.log_filter, journal_stream)
        .map_err(|error| Failure::new(Exit::Usage, chain(&error)))?;
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
