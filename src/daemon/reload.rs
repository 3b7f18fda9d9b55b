//! Takes over an edited configuration whole, or keeps the old one and says why.

use std::sync::Arc;

use super::{Shared, control_server, engine::Order};
use crate::{config, control::Reply, error::chain, systemd};

/// Reads the configuration again. What only counts at the start (paths, addresses, the cloud's endpoint) is named in
/// the warnings when it was changed.
pub async fn reload(shared: &Shared, who: &str) -> Reply {
    systemd::reloading();
    let before = shared.config().hash.clone();
    let reply = take_over(shared).await;
    match &reply {
        Reply::Reloaded { config_hash, schedules, .. } => {
            tracing::info!(who, config_hash, schedules, "the configuration was read again");
            let detail = if *config_hash == before {
                format!("configuration {config_hash}, as before")
            } else {
                format!("configuration {config_hash} instead of {before}")
            };
            if let Err(error) = shared.store.note(shared.clock.now(), who, "reload", &detail).await {
                tracing::error!(who, error = chain(&error), "the reload is not in the audit: {detail}");
            }
        }
        Reply::BadConfig { problems } => {
            tracing::error!(who, "the configuration has problems, the old one stays in force:\n{problems}");
        }
        Reply::Failed { message } => {
            tracing::error!(who, reason = %message, "the configuration could not be taken over");
        }
        _ => {}
    }
    systemd::ready(&shared.one_line());
    reply
}

async fn take_over(shared: &Shared) -> Reply {
    let loaded = match config::load(&shared.config_path, &shared.environment) {
        Ok(loaded) => loaded,
        Err(problems) => return Reply::BadConfig { problems: problems.render(false) },
    };
    let mut warnings = if loaded.warnings.is_empty() { String::new() } else { loaded.warnings.render(false) };
    let old = shared.config();
    if loaded.config.needs_restart(&old) {
        warnings.push_str("warning: changes in [cloud] and [daemon] count from the next start of the daemon\n");
    }
    let config = loaded.config;
    let (config_hash, schedules) = (config.hash.clone(), config.schedules.len());
    match control_server::order(shared, |reply| Order::Adopt { config: Box::new(config.clone()), reply }).await {
        Ok(()) => {
            shared.replace_config(Arc::new(config));
            shared.stir();
            Reply::Reloaded { config_hash, schedules, warnings }
        }
        Err(message) => Reply::Failed { message },
    }
}
