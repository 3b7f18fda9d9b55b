//! `imagebaked events`: what happened, oldest first. Works with and without the daemon.

use std::{collections::BTreeSet, time::Duration};

use chrono::DateTime;
use serde_json::json;

use super::{
    context::{Context, known_schedule},
    outcome::{CommandOutput, Exit, Failure, Result},
    output::Rows,
    table::room,
    terminal::try_print_text,
    times::Span,
};
use crate::{
    adapters::{
        config::Config,
        store::{EventFilter, EventRow, Reader, UNREADABLE},
    },
    app::cli::EventsArgs,
    domain::{
        calendar::zone::Zone,
        clock::{Clock, SystemClock},
        ids::{BakeId, InstanceId, LineId},
        similar::nearest,
        time::show,
    },
};

/// Events of a page.
const LIMIT: u32 = 50;
/// So many events are counted at most, where not all are shown.
const MOST_COUNTED: u32 = 10_000;
/// Interval of `--follow`.
const EVERY: Duration = Duration::from_millis(500);
/// Events of one read of `--follow`.
const AT_ONCE: u32 = 1_000;

pub async fn run(context: &Context<'_>, args: &EventsArgs) -> Result {
    let (config, presence) = context.find_daemon().await?;
    let reader = context.reader(&config).await?;
    let subject = args.about.clone().or_else(|| args.schedule.name().map(str::to_owned));
    let zones = context.all_zones(&config, &reader, args.schedule.name()).await?;
    let (now, zone) = (SystemClock.now(), zones.of(subject.as_deref().unwrap_or_default()));
    let span = Span::of(args.since, args.until, (zone, now))?;
    let filter = EventFilter {
        since: span.since,
        until: span.until,
        kinds: args.kinds.clone(),
        severity: args.severity,
        subject,
        after: args.after,
        limit: args.limit.unwrap_or(LIMIT),
    };
    known_event(&reader, args.after).await?;
    if let (true, Some(about)) = (args.follow, &args.about) {
        known_subject(&config, &reader, about).await?;
    }
    if args.follow {
        return follow(context, &reader, filter, zone).await;
    }
    let is_page = args.after.is_some();
    // One more shows whether there are others: earlier ones, or later ones of a page.
    let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let filter = EventFilter { limit: filter.limit.saturating_add(1), ..filter };
    let mut events = reader.events(&filter).await?;
    let has_more = events.len() > limit;
    if has_more && !is_page {
        events.remove(0);
    }
    events.truncate(limit);
    let (mut all, mut or_more) = (events.len(), "");
    if has_more && !is_page {
        let most = MOST_COUNTED.max(filter.limit);
        all = reader.events(&EventFilter { limit: most, ..filter }).await?.len();
        or_more = if u32::try_from(all).is_ok_and(|all| all < most) { "" } else { " or more" };
    }
    let unfollowed = presence.unfollowed(&reader);
    match (args.schedule.name(), &args.about) {
        (Some(schedule), _) if events.is_empty() => known_schedule(&config, &reader, schedule).await?,
        (None, Some(about)) if events.is_empty() => known_subject(&config, &reader, about).await?,
        _ => {}
    }
    reader.close().await;
    if context.json {
        return Ok(CommandOutput::done(format!("{}\n", serde_json::to_string(&json!({ "events": events }))?)));
    }
    if events.is_empty() {
        return Ok(CommandOutput::done(span.none("event")));
    }
    let mut rows = Rows::new(&["ID", "AT", "SEVERITY", "EVENT", "MESSAGE"], context.color)
        .or_blocks(&["ID", "AT", "SEVERITY", "EVENT"]);
    for event in &events {
        let at = DateTime::from_timestamp_millis(event.at).unwrap_or_default();
        rows.row([&event.id.to_string(), &show(at, zone), &event.severity, &event.kind, &event.message]);
    }
    let most = room().filter(|_| args.limit.is_none()).map(|most| most.saturating_sub(unfollowed.iter().count()));
    let (mut text, shown) = if is_page { rows.render_first(most) } else { rows.render_last(most) };
    let is_full = has_more || shown < events.len();
    if let (true, Some(last), true) = (is_full, events.get(shown.saturating_sub(1)), is_page) {
        text.push_str(&format!("… later ones: --after {}\n", last.id));
    } else if is_full {
        text.push_str(&format!(
            "… these are the newest {shown} of {all}{or_more}: --limit 0 shows all, --limit N as many\n"
        ));
    }
    if let Some(unfollowed) = unfollowed {
        text.push_str(&format!("{}\n", unfollowed.sentence("this history", zone)));
    }
    let damaged: Vec<_> = events.iter().filter(|event| event.data.contains_key(UNREADABLE)).collect();
    if let Some(first) = damaged.first() {
        text.push_str(&format!(
            "… the facts of {} of these are unreadable, the first is {}: `imagebaked doctor` examines the history\n",
            damaged.len(),
            first.id
        ));
    }
    Ok(CommandOutput::done(text))
}

/// Fails if `after` is a number that no event has had: whoever fetches what is new would wait for it for ever. That is so
/// after a restore of an older history.
async fn known_event(reader: &Reader, after: Option<i64>) -> Result<()> {
    let Some(after) = after else { return Ok(()) };
    match reader.newest_event().await? {
        // All of them may have been deleted with time.
        0 => Ok(()),
        newest if after <= newest => Ok(()),
        newest => {
            let message = format!(
                "this history has no event {after}: its newest is {newest}. If it was restored or replaced since, go on \
                 from there: imagebaked events --after {newest}"
            );
            Err(Failure::new(Exit::NotFound, message))
        }
    }
}

/// Fails if neither the configuration nor the history has anything that is called so, with or without its kind before it.
async fn known_subject(config: &Config, reader: &Reader, about: &str) -> Result<()> {
    let bare = about.split_once(':').map_or(about, |(_, id)| id);
    let any = EventFilter { subject: Some(about.to_owned()), limit: 1, ..EventFilter::default() };
    let bake = bare.parse().ok().map(BakeId);
    let is_bake = match bake {
        Some(bake) => reader.bake(bake).await?.is_some(),
        None => false,
    };
    if is_bake || !reader.events(&any).await?.is_empty() || reader.image(&bare.into()).await?.is_some() {
        return Ok(());
    }
    let lines: Vec<LineId> = config.schedules.iter().flat_map(|schedule| schedule.lines()).collect();
    let instances = config.schedules.iter().flat_map(|schedule| schedule.instances.as_slice());
    let (seen, instances_seen) = (reader.schedule_words().await?, reader.instance_words().await?);
    let known: BTreeSet<&str> = config
        .schedule_words()
        .chain(instances.map(InstanceId::as_str))
        .chain(lines.iter().map(LineId::as_str))
        .chain(seen.iter().chain(&instances_seen).map(String::as_str))
        .collect();
    if known.contains(bare) {
        return Ok(());
    }
    let hint = match nearest(bare, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "it takes a schedule, an instance, a line, an image, or the number of a bake".to_owned(),
    };
    Err(Failure::new(Exit::NotFound, format!("nothing is called {about:?}; {hint}")))
}

/// Prints the matching events and then the new ones, until the user or the output ends it.
async fn follow(context: &Context<'_>, reader: &Reader, mut filter: EventFilter, zone: Zone) -> Result {
    let mut newest = reader.newest_event().await?;
    let mut events = reader.events(&filter).await?;
    loop {
        for event in &events {
            let line = if context.json { serde_json::to_string(event)? } else { line(event, zone) };
            if !try_print_text(&format!("{line}\n")) {
                return Ok(CommandOutput::done(String::new()));
            }
        }
        // A full page may have more behind it; otherwise all up to the newest number were read.
        let is_full = filter.after.is_some() && u32::try_from(events.len()).is_ok_and(|n| n == filter.limit);
        let last = events.last().map_or(0, |event| event.id);
        filter.after = Some(if is_full { last } else { newest.max(last) });
        filter.limit = AT_ONCE;
        if !is_full {
            tokio::time::sleep(EVERY).await;
            newest = reader.newest_event().await?.max(newest);
        }
        events = reader.events(&filter).await?;
    }
}

fn line(event: &EventRow, zone: Zone) -> String {
    let at = DateTime::from_timestamp_millis(event.at).unwrap_or_default();
    format!("{}  {:<7}  {:<16}  {}", show(at, zone), event.severity, event.kind, event.message)
}
