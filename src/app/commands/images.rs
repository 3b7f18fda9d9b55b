//! `imagebaked images`: the images of each line, from the history, as of the last inventory scan.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    context::{Context, known_schedule},
    outcome::{CommandOutput, Exit, Failure, Result},
    output::{NONE, Rows, Zones, relative},
    prune::failed_table,
    table::room,
};
use crate::{
    adapters::{
        config::{Config, closest},
        store::{ImageRow, rfc3339},
    },
    app::{cli::ImagesArgs, daemon},
    domain::{
        clock::{Clock, SystemClock},
        history::ReplicaRow,
        ids::LineId,
        image::{
            DeletionState,
            failed::{FailedAction, FailedImage},
            report::JudgedFailed,
        },
        schedule::{LATEST, Schedule},
    },
};

/// Images of the table.
const LIMIT: u32 = 200;

pub async fn run(context: &Context<'_>, args: &ImagesArgs) -> Result {
    let config = context.locate_daemon().await?;
    let reader = context.reader(&config).await?;
    if args.failed {
        let failed = failed(context, args, &config, &reader).await;
        reader.close().await;
        return failed;
    }
    let lines = match args.schedule.name() {
        Some(wanted) => Some(lines_of(&config, &reader, wanted).await?),
        None => None,
    };
    let limit = args.limit.unwrap_or(LIMIT);
    // What is not shown is only counted.
    let is_plain = lines.is_none() && args.channel.is_none() && !args.orphans && !context.json;
    let (rows, in_all) = if is_plain {
        let (rows, all) = reader.first_present_images(limit).await?;
        (rows, usize::try_from(all).ok())
    } else {
        (reader.present_images(lines.as_deref()).await?, None)
    };
    let scan = reader.last_scan().await?;
    let mut images = wanted(rows, args, &config, &reader).await?;
    if let (true, Some(schedule)) = (images.is_empty(), args.schedule.name()) {
        known_schedule(&config, &reader, schedule).await?;
    }
    let ids: Vec<_> = images.iter().map(|row| &row.image.image_id).collect();
    let replicas = reader.copies_of_images(&ids).await?;
    reader.close().await;
    let now = SystemClock.now();
    if context.json {
        let images: Vec<_> = images.iter().map(|row| object(row, replicas_of(row, &replicas), now)).collect();
        return Ok(CommandOutput::done(format!("{}\n", json!({ "images": images }))));
    }
    if images.is_empty() {
        return nothing(args, &config);
    }
    let all = in_all.unwrap_or(images.len());
    images.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let listed = listed(context, &images, &replicas, &context.zones(&config), now);
    let (mut text, shown) = listed.render_first(room().filter(|_| args.limit.is_none()));
    let more = all.saturating_sub(shown);
    if more > 0 {
        text.push_str(&format!("… and {more} more; name a schedule, or see --limit and --json.\n"));
    }
    if let Some(scan) = scan {
        let problem = scan.problem.map_or_else(String::new, |problem| format!(", which was not complete: {problem}"));
        text.push_str(&format!("\nAs of the last scan of the cloud, {}{problem}.\n", relative(scan.at, now)));
    }
    Ok(CommandOutput::done(text))
}

/// The lines of a schedule, in the file and in the history: only their images are read.
async fn lines_of(config: &Config, reader: &crate::adapters::store::Reader, wanted: &str) -> Result<Vec<LineId>> {
    let mut lines: BTreeSet<LineId> = BTreeSet::from([LineId::from(wanted)]);
    let is_wanted = |schedule: &&Arc<Schedule>| schedule.name.as_str() == wanted || schedule.id.as_str() == wanted;
    for schedule in config.schedules.iter().filter(is_wanted) {
        lines.extend(schedule.instances.as_slice().iter().map(|one| schedule.line(one)));
    }
    for seen in reader.seen(wanted).await? {
        let of_several = format!("{}/{}", seen.schedule_id, seen.instance_id);
        lines.extend([LineId::from(seen.schedule_id.as_str()), LineId::from(of_several.as_str())]);
    }
    Ok(lines.into_iter().collect())
}

/// CREATE_FAILED images with their next action.
async fn failed(
    context: &Context<'_>,
    args: &ImagesArgs,
    config: &Config,
    reader: &crate::adapters::store::Reader,
) -> Result {
    let now = SystemClock.now();
    let mut images = daemon::failed_images(reader, config, now).await?;
    if let Some(wanted) = args.schedule.name() {
        known_schedule(config, reader, wanted).await?;
        let seen = reader.seen(wanted).await?;
        let mut ids: HashSet<&str> = seen.iter().map(|seen| seen.schedule_id.as_str()).collect();
        ids.insert(wanted);
        images.retain(|(image, _)| ids.contains(image.schedule_id.as_str()));
    }
    if context.json {
        let images: Vec<_> = images.iter().map(|(image, judged)| failed_object(image, judged)).collect();
        return Ok(CommandOutput::done(format!("{}\n", json!({ "images": images }))));
    }
    if images.is_empty() {
        return Ok(CommandOutput::done("The cloud lists no image of ours as CREATE_FAILED.\n".to_owned()));
    }
    let shown: Vec<_> =
        images.into_iter().map(|(_, judged)| judged).take(args.limit.unwrap_or(LIMIT) as usize).collect();
    Ok(CommandOutput::done(failed_table(&context.zones(config), context.color, &shown)))
}

/// With the field names of `images --failed --json`.
fn failed_object(image: &FailedImage, judged: &JudgedFailed) -> Value {
    let instant = |at: DateTime<Utc>| rfc3339(at.timestamp_millis());
    let delete_after = match &judged.action {
        FailedAction::Wait { delete_after } => Some(instant(*delete_after)),
        _ => None,
    };
    json!({
        "image_id": image.image_id, "image_name": image.name, "version": image.version, "line": image.line,
        "slot": image.slot.map(instant), "bake": image.bake, "status": "CREATE_FAILED",
        "in_history": image.bake.is_some(), "first_seen": image.seen.map(|(first, _)| instant(first)),
        "last_seen": image.seen.map(|(_, last)| instant(last)), "action": judged.action.as_str(),
        "delete_after": delete_after, "last_error": image.last_error,
    })
}

async fn wanted(
    mut rows: Vec<ImageRow>,
    args: &ImagesArgs,
    config: &Config,
    reader: &crate::adapters::store::Reader,
) -> Result<Vec<ImageRow>> {
    if let Some(wanted) = args.schedule.name() {
        // The id first: names can be reused, ids cannot. The history knows removed schedules.
        let seen = reader.seen(wanted).await?;
        let mut ids: HashSet<&str> = seen.iter().map(|seen| seen.schedule_id.as_str()).collect();
        ids.insert(wanted);
        rows.retain(|row| ids.contains(row.schedule_id.as_str()));
    }
    if let Some(channel) = &args.channel {
        rows.retain(|row| row.image.channels.contains(channel));
    }
    if args.orphans {
        let lines: HashSet<_> = config
            .schedules
            .iter()
            .flat_map(|schedule| schedule.instances.as_slice().iter().map(|one| schedule.line(one)))
            .collect();
        rows.retain(|row| !lines.contains(&row.image.line));
    }
    Ok(rows)
}

fn nothing(args: &ImagesArgs, config: &Config) -> Result {
    match args.schedule.name() {
        _ if args.orphans => Ok(CommandOutput::done("Every image belongs to a line of the file.\n".to_owned())),
        _ if let Some(channel) = &args.channel => Err(no_channel(config, channel)),
        Some(schedule) => Err(Failure::new(
            Exit::NotFound,
            format!("no good image of {schedule:?} is recorded; see `imagebaked history --schedule {schedule}`"),
        )),
        None => Ok(CommandOutput::done("No good image is recorded yet.\n".to_owned())),
    }
}

/// No image is in this channel, or no schedule has it.
fn no_channel(config: &Config, wanted: &str) -> Failure {
    let known = config.schedules.iter().flat_map(|schedule| &schedule.channels).map(|channel| channel.name.as_str());
    let known: Vec<&str> = known.chain([LATEST]).collect();
    let hint = match closest(wanted, known.iter().copied()) {
        Some(near) if !known.contains(&wanted) => format!("did you mean {near:?}?"),
        _ => "see `imagebaked channels`".to_owned(),
    };
    Failure::new(Exit::NotFound, format!("no image is in channel {wanted:?}; {hint}"))
}

/// Copies of images, by the image.
type Replicas = HashMap<String, Vec<ReplicaRow>>;

fn replicas_of<'a>(row: &ImageRow, replicas: &'a Replicas) -> &'a [ReplicaRow] {
    replicas.get(row.image.image_id.as_str()).map(Vec::as_slice).unwrap_or_default()
}

fn listed(context: &Context<'_>, images: &[ImageRow], replicas: &Replicas, zones: &Zones, now: DateTime<Utc>) -> Rows {
    let mut rows = Rows::new(&["LINE", "V", "IMAGE", "NAME", "SLOT", "AGE", "BAKE", "NOTE"], context.color)
        .in_blocks(&["LINE", "V", "IMAGE"]);
    for row in images {
        let image = &row.image;
        rows.row([
            image.line.to_string(),
            image.version.to_string(),
            image.image_id.to_string(),
            image.name.clone(),
            zones.show(image.slot, &row.schedule_id),
            relative(row.good_at(), now),
            row.bake.map_or_else(|| NONE.to_owned(), |bake| bake.to_string()),
            notes(row, replicas_of(row, replicas), now).join(", "),
        ]);
    }
    rows
}

/// Notes about an image besides its origin.
fn notes(row: &ImageRow, replicas: &[ReplicaRow], now: DateTime<Utc>) -> Vec<String> {
    let image = &row.image;
    let mut notes = image.channels.clone();
    if let Some(pin) = image.pin.as_ref().filter(|pin| pin.holds(now)) {
        notes.push(format!("pinned: {}", pin.reason));
    }
    if let Some(veto) = &image.veto {
        notes.push(format!("vetoed: {veto}"));
    }
    match &image.deletion {
        DeletionState::Marked { delete_after, last_error, .. } => {
            notes.push(if *delete_after > now {
                format!("to be deleted {}", relative(*delete_after, now))
            } else {
                "to be deleted by the next retention pass".to_owned()
            });
            notes.extend(last_error.as_ref().map(|error| format!("not deleted yet: {error}")));
        }
        DeletionState::Deleting { .. } => notes.push("its deletion was sent and is not confirmed yet".to_owned()),
        DeletionState::Refused { why } => notes.push(format!("the cloud rejected its deletion: {why}")),
        DeletionState::Kept | DeletionState::Deleted { .. } => {}
    }
    notes.extend(replicas.iter().map(replica_note));
    match row.verify.as_deref() {
        Some("failed") => notes.push("check failed".to_owned()),
        Some("due") => notes.push("to be checked".to_owned()),
        _ => {}
    }
    if let Some(since) = image.seen.missing_since {
        notes.push(format!("not in the cloud since {}", relative(since, now)));
    } else if !image.seen.available {
        notes.push("not AVAILABLE".to_owned());
    } else if !image.seen.ours {
        notes.push("not ours".to_owned());
    }
    if !image.seen.used_by.is_empty() {
        notes.push(format!("used by {}", image.seen.used_by.join(" ")));
    }
    notes
}

fn replica_note(replica: &ReplicaRow) -> String {
    let what = match replica.state.as_str() {
        "done" => "copied to",
        "failed" => "not copied to",
        _ => "being copied to",
    };
    let listed = replica.listed().map_or_else(String::new, |listed| format!(" ({listed})"));
    format!("{what} {}{listed}", replica.region)
}

/// With the field names of `images --json`.
fn object(row: &ImageRow, replicas: &[ReplicaRow], now: DateTime<Utc>) -> Value {
    let image = &row.image;
    let instant = |at: DateTime<Utc>| rfc3339(at.timestamp_millis());
    let delete_after = match &image.deletion {
        DeletionState::Marked { delete_after, .. } => Some(instant(*delete_after)),
        _ => None,
    };
    let last_error = match &image.deletion {
        DeletionState::Marked { last_error, .. } => last_error.as_ref(),
        DeletionState::Refused { why } => Some(why),
        _ => None,
    };
    json!({
        "image_id": image.image_id, "version_id": row.version_id, "image_name": image.name, "version": image.version,
        "line": image.line, "schedule": row.schedule, "instance_id": row.instance_id, "slot": instant(image.slot),
        "bake": row.bake, "finished_at": instant(image.available_at), "deletion": image.deletion.as_str(),
        "delete_after": delete_after, "last_error": last_error, "channels": image.channels, "available": image.seen.available,
        "ours": image.seen.ours, "used_by": image.seen.used_by, "missing_since": image.seen.missing_since.map(instant),
        "pinned": image.pin.as_ref().filter(|pin| pin.holds(now)).map(|pin| &pin.reason), "veto": image.veto,
        "verify": row.verify, "copied_to": image.copied_to,
        "replicas": replicas,
    })
}
