//! `imagebaked reload`: the daemon reads its configuration again, whole or not at all.

use serde_json::json;

use super::{Context, Result, Said, output::schedules as counted, refused};
use crate::control::{Reply, Request};

pub async fn run(context: &Context<'_>) -> Result {
    let config = context.whereabouts()?;
    match context.ask(&config, Request::Reload).await? {
        Reply::Reloaded { config_hash, schedules, warnings } => {
            if context.json {
                let report = json!({ "config_hash": config_hash, "schedules": schedules, "warnings": warnings });
                return Ok(Said::done(format!("{report}\n")));
            }
            Ok(Said::done(format!("{warnings}In force: configuration {config_hash}, {}.\n", counted(schedules))))
        }
        other => Err(refused(other)),
    }
}
