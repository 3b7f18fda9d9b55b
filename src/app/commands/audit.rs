//! `imagebaked audit`: actions of people and of the daemon, newest first. Works with and without the daemon.

use chrono::DateTime;
use serde_json::json;

use super::{
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result},
    output::{Rows, relative},
    table::room,
    times::{Span, cut},
};
use crate::{
    adapters::{config::closest, store::AuditFilter},
    app::cli::AuditArgs,
    domain::{
        clock::{Clock, SystemClock},
        event::Action,
        time::show,
    },
};

/// Lines of a page.
const LIMIT: u32 = 50;

/// Fails if the audit has no such kind of line.
fn known_action(wanted: &str) -> Result<()> {
    let known: Vec<&str> = Action::ALL.iter().map(|(action, ..)| action.as_str()).collect();
    if known.contains(&wanted) {
        return Ok(());
    }
    let hint = match closest(wanted, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("there are: {}", known.join(", ")),
    };
    Err(Failure::new(Exit::NotFound, format!("there is no action {wanted:?}; {hint}")))
}

pub async fn run(context: &Context<'_>, args: &AuditArgs) -> Result {
    let config = context.locate_daemon().await?;
    let reader = context.reader(&config).await?;
    let (now, zone) = (SystemClock.now(), context.all_zones(&config, &reader, []).await?.main);
    let span = Span::of(args.since, args.until, (zone, now))?;
    let limit = args.limit.unwrap_or(LIMIT);
    let filter = AuditFilter {
        since: span.since,
        until: span.until,
        who: args.who.clone(),
        action: args.action.clone(),
        before: args.before,
        limit: limit.saturating_add(1),
    };
    let mut lines = reader.audit(&filter).await?;
    let has_more = cut(&mut lines, limit);
    reader.close().await;
    if let (true, Some(action)) = (lines.is_empty(), args.action.as_deref()) {
        known_action(action)?;
    }
    if context.json {
        return Ok(CommandOutput::done(format!("{}\n", serde_json::to_string(&json!({ "audit": lines }))?)));
    }
    if lines.is_empty() {
        return Ok(CommandOutput::done(span.none("line")));
    }
    let mut rows = Rows::new(&["ID", "AT", "WHEN", "WHO", "ACTION", "DETAIL"], context.color)
        .or_blocks(&["ID", "AT", "WHO", "ACTION"]);
    for line in &lines {
        let at = DateTime::from_timestamp_millis(line.at).unwrap_or_default();
        rows.row([&line.id.to_string(), &show(at, zone), &relative(at, now), &line.who, &line.action, &line.detail]);
    }
    let (mut text, shown) = rows.render_first(room().filter(|_| args.limit.is_none()));
    if let (true, Some(last)) = (has_more || shown < lines.len(), lines.get(shown.saturating_sub(1))) {
        text.push_str(&format!("… older ones: --before {}\n", last.id));
    }
    Ok(CommandOutput::done(text))
}
