//! `imagebaked history`: the bakes, newest slot first. Works with and without the daemon.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    context::{Context, known_instance, known_schedule},
    outcome::{CommandOutput, Exit, Failure, Result},
    output::{NONE, Rows, Zones, relative, short},
    table::room,
    times::Span,
};
use crate::{
    adapters::store::{BakeRow, Filter},
    app::cli::HistoryArgs,
    domain::clock::{Clock, SystemClock},
};

/// Rows of a page.
const LIMIT: u32 = 50;

pub async fn run(context: &Context<'_>, args: &HistoryArgs) -> Result {
    let config = context.locate_daemon().await?;
    let reader = context.reader(&config).await?;
    let schedule = args.schedule.name();
    let (now, zone) = (SystemClock.now(), context.zone_of(&config, schedule));
    let span = Span::of(args.since, args.until, (zone, now))?;
    let before = match args.before {
        None => None,
        Some(id) => match reader.bake(id).await? {
            Some(row) => Some((row.slot(), id)),
            None => {
                return Err(Failure::new(Exit::NotFound, format!("there is no bake {id}; see `imagebaked history`")));
            }
        },
    };
    let filter = Filter {
        schedule: schedule.map(str::to_owned),
        instance: args.instance.clone(),
        states: args.state.clone(),
        since: span.since,
        until: span.until,
        code: args.code.clone(),
        before,
        limit: args.limit.unwrap_or(LIMIT),
    };
    let rows = reader.history(&filter).await?;
    if rows.is_empty() {
        if let Some(schedule) = schedule {
            known_schedule(&config, &reader, schedule).await?;
        }
        if let Some(instance) = &args.instance {
            known_instance(&config, &reader, instance).await?;
        }
    }
    reader.close().await;
    if context.json {
        return Ok(CommandOutput::done(format!("{}\n", serde_json::to_string(&json!({ "bakes": rows }))?)));
    }
    if rows.is_empty() {
        return Ok(CommandOutput::done(span.none("bake")));
    }
    let full_page = u32::try_from(rows.len()).is_ok_and(|n| n == filter.limit);
    let listed = listed(&rows, &context.zones(&config), now, context.color);
    let (mut text, shown) = listed.render_first(room().filter(|_| args.limit.is_none()));
    let last = rows.get(shown.saturating_sub(1)).map(|row| row.id);
    if let (true, Some(last)) = (full_page || shown < rows.len(), last) {
        text.push_str(&format!("… older ones: --before {last}\n"));
    }
    Ok(CommandOutput::done(text))
}

/// The history's table.
fn listed(rows: &[BakeRow], zones: &Zones, now: DateTime<Utc>, color: bool) -> Rows {
    let header =
        ["BAKE", "SLOT", "WHEN", "SCHEDULE", "INSTANCE", "STATE", "V", "IMAGE", "ATTEMPTS", "DURATION", "REASON"];
    let mut table = Rows::new(&header, color).in_blocks(&["BAKE", "SLOT", "SCHEDULE", "STATE"]);
    for row in rows {
        let image = row.image_id.as_deref().or(row.image_name.as_deref()).unwrap_or(NONE);
        let took = row
            .finished_at
            .filter(|_| row.version.is_some())
            .map_or_else(|| NONE.to_owned(), |end| short(Duration::from_millis((end - row.created_at).unsigned_abs())));
        let mut reason = row.reason.clone().unwrap_or_default();
        if row.slot_count > 1 {
            reason = format!("{} slots: {reason}", row.slot_count);
        }
        if row.trigger == "manual" {
            reason = format!("requested by {}: {reason}", row.requested_by.as_deref().unwrap_or("a person"));
        }
        table.row([
            row.id.to_string(),
            zones.show(row.slot(), &row.schedule_id),
            relative(row.slot(), now),
            row.schedule.clone(),
            row.instance_id.clone(),
            row.state.clone(),
            row.version.map_or_else(|| NONE.to_owned(), |version| version.to_string()),
            image.to_owned(),
            row.attempts.to_string(),
            took,
            reason.trim_end_matches([' ', ':']).to_owned(),
        ]);
    }
    table
}
