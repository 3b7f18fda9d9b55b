//! `imagebaked audit`: actions of people and of the daemon, newest first. Works with and without the daemon.

use chrono::DateTime;
use serde_json::json;

use super::{
    context::Context,
    outcome::{CommandOutput, Result},
    output::{Rows, relative},
};
use crate::{
    adapters::store::AuditFilter,
    app::cli::AuditArgs,
    domain::{
        clock::{Clock, SystemClock},
        time::{Edge, Facing, show},
    },
};

pub async fn run(context: &Context<'_>, args: &AuditArgs) -> Result {
    let config = context.locate_daemon().await?;
    let reader = context.reader(&config).await?;
    let (now, zone) = (SystemClock.now(), context.zone());
    let filter = AuditFilter {
        since: args.since.map(|asked| asked.instant(zone, now, Facing::Past, Edge::Start)),
        until: args.until.map(|asked| asked.instant(zone, now, Facing::Past, Edge::End)),
        who: args.who.clone(),
        action: args.action.clone(),
        before: args.before,
        limit: args.limit,
    };
    let lines = reader.audit(&filter).await?;
    reader.close().await;
    if context.json {
        return Ok(CommandOutput::done(format!("{}\n", serde_json::to_string(&json!({ "audit": lines }))?)));
    }
    if lines.is_empty() {
        return Ok(CommandOutput::done("No matching line.\n".to_owned()));
    }
    let mut rows = Rows::new(&["ID", "AT", "WHEN", "WHO", "ACTION", "DETAIL"], context.color)
        .or_blocks(&["ID", "AT", "WHO", "ACTION"]);
    for line in &lines {
        let at = DateTime::from_timestamp_millis(line.at).unwrap_or_default();
        rows.row([&line.id.to_string(), &show(at, zone), &relative(at, now), &line.who, &line.action, &line.detail]);
    }
    let mut text = rows.render();
    if let (true, Some(last)) = (u32::try_from(lines.len()).is_ok_and(|n| n == args.limit), lines.last()) {
        text.push_str(&format!("… older ones: --before {}\n", last.id));
    }
    Ok(CommandOutput::done(text))
}
