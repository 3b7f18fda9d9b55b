//! Takes over an edited configuration whole, or keeps the old one and says why.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Shared, engine::Order};
use crate::{config, control::Reply, error::chain, systemd};

/// Reads the configuration again. What only counts at the start (paths, addresses, the cloud's endpoint) is named in
/// the warnings when it was changed.
pub async fn reload(shared: &Shared, who: &str) -> Reply {
    systemd::reloading();
    let reply = take_over(shared).await;
    match &reply {
        Reply::Reloaded { config_hash, schedules, .. } => {
            tracing::info!(who, config_hash, schedules, "the configuration was read again");
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
    let (reply, answer) = oneshot::channel();
    let order = Order::Adopt { config: Box::new(config.clone()), reply };
    if shared.orders.send(order).await.is_err() {
        return Reply::Failed { message: "the daemon is stopping".to_owned() };
    }
    match answer.await {
        Ok(Ok(())) => {
            shared.replace_config(Arc::new(config));
            Reply::Reloaded { config_hash, schedules, warnings }
        }
        Ok(Err(error)) => Reply::Failed { message: chain(&error) },
        Err(_) => Reply::Failed { message: "the daemon is stopping".to_owned() },
    }
}
