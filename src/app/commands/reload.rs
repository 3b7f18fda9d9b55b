//! `imagebaked reload`: the daemon reloads its configuration, completely or not at all, and reports the changes.

use serde_json::json;

use super::{
    context::Context,
    diff,
    outcome::{CommandOutput, Result, refused},
    output::schedules as counted,
};
use crate::adapters::control::{Reply, Request};

/// Maximum number of listed entries.
const MAX_LISTED: usize = 12;

pub async fn run(context: &Context<'_>) -> Result {
    let config = context.locate_daemon().await?;
    match context.ask(&config, Request::Reload).await? {
        Reply::Reloaded { config_hash, schedules, warnings, diff, images } => {
            if context.json {
                let report = json!({
                    "config_hash": config_hash, "schedules": schedules, "warnings": warnings, "diff": diff,
                    "image_counts": images.counts, "images_going": images.going, "images_staying": images.staying,
                    "orphans": images.orphans,
                });
                return Ok(CommandOutput::done(format!("{report}\n")));
            }
            let changed = if diff.is_empty() {
                "Nothing changed.\n".to_owned()
            } else {
                let images = diff::images(&context.zones(&config), context.color, &images, MAX_LISTED);
                format!("{}{images}\n", diff::render(context, &diff, MAX_LISTED))
            };
            let force = format!("In force: configuration {config_hash}, {}.\n", counted(schedules));
            Ok(CommandOutput::done(format!("{warnings}{changed}{force}")))
        }
        other => Err(refused(other)),
    }
}
