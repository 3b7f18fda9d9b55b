//! `imagebaked channels`, `promote`, `rollback`, `veto` and `unveto`: shows and moves the channels of lines.

use std::collections::HashSet;

use chrono::DateTime;
use serde_json::json;

use super::{
    context::{Context, known_schedule},
    outcome::{CommandOutput, Exit, Failure, Result},
    output::{NONE, Rows},
    table::room,
    times::cut,
};
use crate::{
    adapters::{config::Config, control::Request, store::ChannelRow},
    app::cli::{ChannelsArgs, ImageArgs, PromoteArgs, RollbackArgs, VetoArgs},
    domain::{api::mode::ONLY_OBSERVES, time::show_length},
};

/// Lines of the history that are shown.
const LIMIT: u32 = 50;

pub async fn run(context: &Context<'_>, args: &ChannelsArgs) -> Result {
    let (config, presence) = context.find_daemon().await?;
    context.warn_if_not_in_force(&config, &presence);
    let reader = context.reader(&config).await?;
    let schedule = args.schedule.name();
    let limit = args.limit.unwrap_or(LIMIT);
    let mut rows = if args.history {
        reader.channel_history(schedule, limit.saturating_add(1)).await?
    } else {
        let mut now = reader.channels(schedule).await?;
        if reader.awaits_scan().await? {
            now.iter_mut().for_each(hide_image);
        }
        let mut rows = with_empty(now, &config, schedule);
        rows.truncate(args.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
        rows
    };
    let has_more = args.history && cut(&mut rows, limit);
    if let (true, Some(schedule)) = (rows.is_empty(), schedule) {
        known_schedule(&config, &reader, schedule).await?;
    }
    // The line of a schedule with several instances has its id before the slash.
    let schedule_of = |row: &ChannelRow| row.line_id.split('/').next().unwrap_or_default().to_owned();
    let shown: Vec<String> = rows.iter().map(schedule_of).collect();
    let zones = context.all_zones(&config, &reader, shown.iter().map(String::as_str)).await?;
    reader.close().await;
    if context.json {
        let key = if args.history { "history" } else { "channels" };
        return Ok(CommandOutput::done(format!("{}\n", json!({ key: rows }))));
    }
    if rows.is_empty() {
        return match schedule {
            Some(schedule) => Err(Failure::new(Exit::NotFound, format!("no channel of {schedule:?} is known"))),
            None => Ok(CommandOutput::done("No channel points to an image yet.\n".to_owned())),
        };
    }
    let since = if args.history { "AT" } else { "SINCE" };
    let mut table = Rows::new(&["LINE", "CHANNEL", "V", "IMAGE", "NAME", since, "BY", "REASON"], context.color)
        .in_blocks(&["LINE", "CHANNEL", "V", "IMAGE"]);
    let all = rows.len();
    for row in rows {
        let schedule = schedule_of(&row);
        let none = || NONE.to_owned();
        table.row([
            row.line_id,
            row.channel,
            row.version.map_or_else(none, |version| version.to_string()),
            row.image_id.unwrap_or_else(none),
            row.image_name.unwrap_or_else(none),
            row.since.and_then(DateTime::from_timestamp_millis).map_or_else(none, |at| zones.show(at, &schedule)),
            row.who.unwrap_or_else(none),
            reason(row.ours, row.why),
        ]);
    }
    let observes = if presence.only_observes(&config) && !args.history {
        format!("No channel moves: {ONLY_OBSERVES}.\n")
    } else {
        String::new()
    };
    let room = room().map(|room| room.saturating_sub(observes.lines().count()));
    let (mut text, shown) = table.render_first(room.filter(|_| args.limit.is_none()));
    if args.history && (shown < all || has_more) {
        let or_name = if schedule.is_none() { ", or name a schedule" } else { "" };
        text.push_str(&format!("… older ones: --limit N{or_name}\n"));
    } else if shown < all {
        let or_name = if schedule.is_none() { "name a schedule, or " } else { "" };
        text.push_str(&format!("… and {} more; {or_name}see --limit 0 and --json\n", all - shown));
    }
    Ok(CommandOutput::done(text + &observes))
}

/// A history that was put in place may name images that are gone since: nobody is to take one for good.
fn hide_image(row: &mut ChannelRow) {
    if row.image_id.is_some() {
        let why = "not compared with the cloud yet: the history was restored, or is older".to_owned();
        let (line_id, channel) = (std::mem::take(&mut row.line_id), std::mem::take(&mut row.channel));
        *row = ChannelRow {
            line_id,
            channel,
            image_id: None,
            image_name: None,
            version_id: None,
            version: None,
            since: None,
            who: None,
            why: Some(why),
            ours: None,
        };
    }
}

/// Why a channel points to its image, which may be of another owner by now.
fn reason(ours: Option<bool>, why: Option<String>) -> String {
    let why = why.unwrap_or_default();
    if ours == Some(false) { format!("image not ours: it lacks the tag of [daemon] owner; {why}") } else { why }
}

/// Adds configured channels that have never pointed to an image.
fn with_empty(mut rows: Vec<ChannelRow>, config: &Config, wanted: Option<&str>) -> Vec<ChannelRow> {
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| wanted == name);
    let known: HashSet<(String, String)> = rows.iter().map(|row| (row.line_id.clone(), row.channel.clone())).collect();
    for schedule in &config.schedules {
        if !is_wanted(schedule.name.as_str()) && !is_wanted(schedule.id.as_str()) {
            continue;
        }
        for line in schedule.lines() {
            for channel in &schedule.channels {
                if known.contains(&(line.to_string(), channel.name.clone())) {
                    continue;
                }
                let after = channel.after.map(show_length);
                rows.push(ChannelRow {
                    line_id: line.to_string(),
                    channel: channel.name.clone(),
                    image_id: None,
                    image_name: None,
                    version_id: None,
                    version: None,
                    since: None,
                    who: None,
                    ours: None,
                    why: Some(after.map_or_else(
                        || "moves only by `promote`".to_owned(),
                        |after| format!("waits for an image that has been good for {after}"),
                    )),
                });
            }
        }
    }
    rows.sort_by(|a, b| a.line_id.cmp(&b.line_id));
    rows
}

pub async fn promote(context: &Context<'_>, args: &PromoteArgs) -> Result {
    let PromoteArgs { image, channel, reason, force } = args;
    let request = Request::Promote {
        image: image.as_str().into(),
        channel: channel.clone(),
        force: *force,
        reason: reason.clone(),
    };
    context.print_text(request).await
}

pub async fn rollback(context: &Context<'_>, args: &RollbackArgs) -> Result {
    let others = args.schedule.others(&args.channel);
    let [channel] = others.as_slice() else {
        return Err(Failure::new(
            Exit::Usage,
            "rollback takes one schedule and one channel: imagebaked rollback SCHEDULE CHANNEL",
        ));
    };
    let request = Request::Rollback {
        schedule: args.schedule.name().to_owned(),
        instance: args.instance.as_deref().map(Into::into),
        channel: (*channel).to_owned(),
        reason: args.reason.clone(),
    };
    context.print_text(request).await
}

pub async fn veto(context: &Context<'_>, args: &VetoArgs) -> Result {
    context.print_text(Request::Veto { image: args.image.as_str().into(), reason: args.reason.clone() }).await
}

pub async fn unveto(context: &Context<'_>, args: &ImageArgs) -> Result {
    context.print_text(Request::Unveto { image: args.image.as_str().into() }).await
}
