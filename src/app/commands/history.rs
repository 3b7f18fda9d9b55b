//! `imagebaked history`: the bakes, newest slot first. Works with and without the daemon.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    context::{Context, known_instance, known_schedule},
    outcome::{CommandOutput, Exit, Failure, Result},
    output::{NONE, Rows, Zones, relative, short},
    table::room,
    times::{Span, cut},
};
use crate::{
    adapters::store::{BakeRow, Filter},
    app::cli::HistoryArgs,
    domain::{
        bake::unfollowed::{Unfollowed, last_known},
        clock::{Clock, SystemClock},
        history::veto::Veto,
    },
};

/// Rows of a page.
const LIMIT: u32 = 50;

pub async fn run(context: &Context<'_>, args: &HistoryArgs) -> Result {
    let (config, presence) = context.find_daemon().await?;
    let reader = context.reader(&config).await?;
    let schedule = args.schedule.name();
    let (now, zones) = (SystemClock.now(), context.all_zones(&config, &reader, schedule).await?);
    let zone = zones.of(schedule.unwrap_or_default());
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
    let limit = args.limit.unwrap_or(LIMIT);
    let filter = Filter {
        schedule: schedule.map(str::to_owned),
        instance: args.instance.clone(),
        states: args.state.clone(),
        since: span.since,
        until: span.until,
        code: args.code.clone(),
        before,
        // One more shows whether there are older ones.
        limit: limit.saturating_add(1),
    };
    let mut rows = reader.history(&filter).await?;
    let has_more = cut(&mut rows, limit);
    if rows.is_empty() {
        if let Some(schedule) = schedule {
            known_schedule(&config, &reader, schedule).await?;
        }
        if let Some(instance) = &args.instance {
            known_instance(&config, &reader, instance).await?;
        }
    }
    let unfollowed = presence.unfollowed(&reader);
    let mut vetoes = HashMap::new();
    for row in rows.iter().filter(|row| row.vetoed) {
        if let Some(veto) = reader.veto_of(row).await? {
            vetoes.insert(row.id, veto);
        }
    }
    let zones = context.all_zones(&config, &reader, rows.iter().map(|row| row.schedule_id.as_str())).await?;
    reader.close().await;
    if context.json {
        let rows =
            rows.iter().map(|row| object(row, vetoes.get(&row.id), unfollowed.as_ref())).collect::<Result<Vec<_>>>()?;
        return Ok(CommandOutput::done(format!("{}\n", json!({ "bakes": rows }))));
    }
    if rows.is_empty() {
        return Ok(CommandOutput::done(span.none("bake") + &note(unfollowed.as_ref(), &rows, &zones)));
    }
    let listed = listed(&rows, &vetoes, &zones, (now, unfollowed.is_some()), context.color);
    let most = room().filter(|_| args.limit.is_none());
    let (mut text, shown) = listed.render_first(most.map(|most| most.saturating_sub(unfollowed.iter().count())));
    let last = rows.get(shown.saturating_sub(1)).map(|row| row.id);
    if let (true, Some(last)) = (has_more || shown < rows.len(), last) {
        text.push_str(&format!("… older ones: --before {last}\n"));
    }
    text.push_str(&note(unfollowed.as_ref(), &rows, &zones));
    Ok(CommandOutput::done(text))
}

/// That no daemon follows the open bakes, or, without such, that none adds rows.
fn note(unfollowed: Option<&Unfollowed>, rows: &[BakeRow], zones: &Zones) -> String {
    let what = if rows.iter().any(|row| !row.is_ended()) { "the open ones" } else { "this history" };
    let zone = zones.common(rows.iter().map(|row| row.schedule_id.as_str()));
    unfollowed.map_or_else(String::new, |unfollowed| format!("{}\n", unfollowed.sentence(what, zone)))
}

/// A row as JSON with the veto of its image; an open one with why no daemon follows it.
fn object(row: &BakeRow, veto: Option<&Veto>, unfollowed: Option<&Unfollowed>) -> Result<Value> {
    let mut object = serde_json::to_value(row)?;
    let unfollowed = unfollowed.filter(|_| !row.is_ended()).map(Unfollowed::document);
    object["unfollowed"] = json!(unfollowed);
    object["veto"] = json!(veto);
    Ok(object)
}

/// The history's table.
fn listed(
    rows: &[BakeRow],
    vetoes: &HashMap<i64, Veto>,
    zones: &Zones,
    (now, is_unfollowed): (DateTime<Utc>, bool),
    color: bool,
) -> Rows {
    let header =
        ["BAKE", "SLOT", "WHEN", "SCHEDULE", "INSTANCE", "STATE", "V", "IMAGE", "ATTEMPTS", "DURATION", "REASON"];
    let mut table = Rows::new(&header, color).in_blocks(&["BAKE", "SLOT", "SCHEDULE", "STATE"]);
    for row in rows {
        let took = row
            .finished_at
            .filter(|_| row.version.is_some())
            .map_or_else(|| NONE.to_owned(), |end| short(Duration::from_millis((end - row.created_at).unsigned_abs())));
        let mut row = row.clone();
        row.reason_as_of(now, !is_unfollowed);
        let row = &row;
        let mut reason = row.reason.clone().unwrap_or_default();
        if let Some(veto) = vetoes.get(&row.id) {
            reason = veto.after(&reason);
        }
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
            if is_unfollowed && !row.is_ended() { last_known(&row.state) } else { row.word().to_owned() },
            row.version.map_or_else(|| NONE.to_owned(), |version| version.to_string()),
            image(row),
            row.attempts.to_string(),
            took,
            reason.trim_end_matches([' ', ':']).to_owned(),
        ]);
    }
    table
}

/// The image of a bake. One that is not over has the name that its image will have, and one that made none has neither.
fn image(row: &BakeRow) -> String {
    match (&row.image_id, &row.image_name) {
        (Some(id), _) => id.clone(),
        (None, Some(name)) if !row.is_ended() => format!("none yet, to be {name}"),
        _ => NONE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_image_has_is_not_shown_as_one() {
        let row = |id: Option<&str>, name: Option<&str>, finished_at| BakeRow {
            image_id: id.map(str::to_owned),
            image_name: name.map(str::to_owned),
            finished_at,
            ..BakeRow::example()
        };
        assert_eq!(image(&row(Some("imgc-1"), Some("golden-v1"), Some(1))), "imgc-1");
        assert_eq!(image(&row(None, Some("golden-v1"), Some(1))), NONE, "it ended without an image");
        assert_eq!(image(&row(None, Some("golden-v1"), None)), "none yet, to be golden-v1");
        assert_eq!(image(&row(None, None, None)), NONE);
    }
}
