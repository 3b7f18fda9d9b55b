//! `imagebaked images`: the images of each line, from the history, as of the last inventory scan.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    context::{Context, known_schedule, next_pass},
    folding,
    outcome::{CommandOutput, Exit, Failure, Result},
    output::{NONE, Rows, Zones, relative},
    prune::{failed_table, times},
    table::room_above,
    terminal::{try_print_text, with_config},
};
use crate::{
    adapters::{
        config::{Config, closest},
        store::{ImageRow, Reader, rfc3339},
    },
    app::{cli::ImagesArgs, daemon},
    domain::{
        calendar::zone::Zone,
        clock::{Clock, ON_TIME, SystemClock, later},
        history::ReplicaRow,
        ids::{BakeId, ImageId, LineId},
        image::{
            DeletionState,
            failed::{FailedAction, FailedImage},
            passes::NextPass,
            report::{Decision, Judged, JudgedFailed},
        },
        schedule::LATEST,
        time::show,
    },
};

/// Images of the table.
const LIMIT: u32 = 200;
/// Moves of channels that are read to know one that left the file.
const PAST: u32 = 10_000;
/// Lines whose images are read and written at once as JSON.
const AT_ONCE: usize = 500;
/// Maximum number of schedules or channels that a hint names.
const NAMED: usize = 5;

pub async fn run(context: &Context<'_>, args: &ImagesArgs) -> Result {
    let (config, presence) = context.find_daemon().await?;
    context.warn_if_not_in_force(&config, &presence);
    let reader = context.reader(&config).await?;
    let (now, next_pass) = (SystemClock.now(), next_pass(&config, &presence).await);
    let query = Query { context, args, config: &config, reader: &reader, now, next_pass };
    let outcome = if args.failed { query.failed().await } else { query.good().await };
    reader.close().await;
    outcome
}

/// What is asked, and where the answer is.
struct Query<'a> {
    context: &'a Context<'a>,
    args: &'a ImagesArgs,
    config: &'a Config,
    reader: &'a Reader,
    now: DateTime<Utc>,
    next_pass: NextPass,
}

/// Says that none of the images is good, where all of them are known.
fn without_good(images: &[(ImageRow, Judged)], unread: usize) -> String {
    if unread > 0 || images.iter().any(|(row, _)| row.is_good()) {
        return String::new();
    }
    "\nNo good image: each of these is vetoed, not checked yet, not ours, or not in the cloud.\n".to_owned()
}

/// What all images are judged and chosen by: read once.
struct Basis {
    judge: daemon::Judge,
    /// The ids that the wanted schedule has or had.
    of_schedule: Option<HashSet<String>>,
}

/// Images of some lines, each with what retention does with it, and their copies.
struct Listed {
    images: Vec<(ImageRow, Judged)>,
    replicas: Replicas,
    /// Whether some image of these lines, perhaps none of the wanted ones, is deleted at a known time, or would be.
    has_times: bool,
}

impl Query<'_> {
    /// Images with what retention does with each.
    async fn good(&self) -> Result {
        let lines = self.lines().await?;
        if lines.is_empty() {
            if let Some(schedule) = self.args.schedule.name() {
                known_schedule(self.config, self.reader, schedule).await?;
            }
            if let Some(channel) = &self.args.channel {
                known_channel(self.config, self.reader, channel).await?;
            }
        }
        let of_schedule = match self.args.schedule.name() {
            // The id first: names can be reused, ids cannot.
            Some(wanted) => Some(schedule_ids(self.reader, wanted).await?),
            None => None,
        };
        let times = (self.now, self.next_pass);
        let basis = Basis { judge: daemon::Judge::of_some(self.reader, self.config, times).await?, of_schedule };
        if self.context.json { self.write_json(&basis, &lines).await } else { self.table(&basis, &lines).await }
    }

    /// The table, as far as `--limit` and the screen want it: only those lines are read.
    async fn table(&self, basis: &Basis, lines: &[(LineId, usize)]) -> Result {
        let Self { context, args, config, now, .. } = *self;
        let limit = usize::try_from(args.limit.unwrap_or(LIMIT)).unwrap_or(usize::MAX);
        let mut before = 0_usize;
        let is_wanted = |(_, images): &&(LineId, usize)| {
            let is_wanted = before < limit;
            before = before.saturating_add(*images);
            is_wanted
        };
        let read: Vec<LineId> = lines.iter().take_while(is_wanted).map(|(line, _)| line.clone()).collect();
        let Listed { images, replicas, has_times } = self.read(basis, &read).await?;
        if images.is_empty() {
            return nothing(args, config);
        }
        let unread = lines.iter().skip(read.len()).map(|(_, images)| images).sum();
        let of = || images.iter().map(|(row, _)| row.schedule_id.as_str());
        let zones = context.all_zones(config, self.reader, of()).await?;
        let tail = without_good(&images, unread) + &self.tail(zones.common(of()), has_times).await?;
        let order = folding::order(&images);
        let rows = rows(context, &images, &replicas, &zones, now);
        let fold = |shown: &[usize]| folding::line(&images, shown, unread, &self.whole());
        let most = room_above(&with_config(&format!("{}{tail}", fold(&[])))).filter(|_| args.limit.is_none());
        let (mut text, shown) = rows.render_chosen((limit, most), &order);
        text.push_str(&fold(&order[..shown]));
        text.push_str(&tail);
        Ok(CommandOutput::done(text))
    }

    /// The command that shows all of what was asked for.
    fn whole(&self) -> String {
        let schedule = self.args.schedule.name().map_or_else(String::new, |schedule| format!(" {schedule}"));
        let channel = self.args.channel.as_ref().map_or_else(String::new, |channel| format!(" --channel {channel}"));
        let orphans = if self.args.orphans { " --orphans" } else { "" };
        format!("imagebaked images{schedule}{channel}{orphans} --limit 0")
    }

    /// What stands below the table.
    async fn tail(&self, zone: Zone, has_times: bool) -> Result<String> {
        let mut text = String::new();
        if self.reader.awaits_scan().await? {
            text.push_str(
                "\nThe history was restored, or is older than the cloud: these images are not compared with it yet.\n",
            );
        }
        if let Some(scan) = self.reader.last_scan().await? {
            let problem =
                scan.problem.map_or_else(String::new, |problem| format!(", which was not complete: {problem}"));
            // A time to come is none: the clock is behind, or was ahead.
            let when = if scan.at > later(self.now, ON_TIME) {
                format!("{}, which this host's clock has not reached", show(scan.at, zone))
            } else {
                relative(scan.at, self.now)
            };
            text.push_str(&format!("\nAs of the last scan of the cloud, {when}{problem}.\n"));
        }
        if has_times {
            text.push_str(&times(self.next_pass, zone, self.now));
        }
        if let (None, Some(hint)) = (self.args.schedule.name(), one_of_several(self.config)) {
            text.push_str(&hint);
        }
        Ok(text)
    }

    /// All images as JSON, some lines at a time; ends early if the output is closed.
    async fn write_json(&self, basis: &Basis, lines: &[(LineId, usize)]) -> Result {
        let (mut text, mut separator) = (format!("{{\"next_pass\":{},\"images\":[", json!(self.next_pass)), "");
        for lines in lines.chunks(AT_ONCE) {
            let lines: Vec<LineId> = lines.iter().map(|(line, _)| line.clone()).collect();
            let Listed { images, replicas, .. } = self.read(basis, &lines).await?;
            for (row, judged) in &images {
                text.push_str(separator);
                let object = ImageObject::of(row, judged, replicas_of(row, &replicas), self.now);
                text.push_str(&serde_json::to_string(&object)?);
                separator = ",";
            }
            if !try_print_text(&text) {
                return Ok(CommandOutput::done(String::new()));
            }
            text.clear();
        }
        text.push_str("]}\n");
        Ok(CommandOutput::done(text))
    }

    /// Reads and judges all images of these lines, of which the wanted ones stay.
    async fn read(&self, basis: &Basis, lines: &[LineId]) -> Result<Listed> {
        let all = self.reader.present_images(Some(lines)).await?;
        let mut images = basis.judge.some(self.reader, all, self.next_pass).await?;
        let has_times = images.iter().any(|(_, judged)| judged.is_announced());
        if let Some(ids) = &basis.of_schedule {
            images.retain(|(row, _)| ids.contains(row.schedule_id.as_str()));
        }
        if let Some(channel) = &self.args.channel {
            images.retain(|(row, _)| row.image.channels.contains(channel));
        }
        let ids: Vec<_> = images.iter().map(|(row, _)| &row.image.image_id).collect();
        let replicas = self.reader.copies_of_images(&ids).await?;
        Ok(Listed { images, replicas, has_times })
    }

    /// Lines of the wanted images with at least so many of them, by name: of a schedule in the file and in the history, of a
    /// channel, or of no schedule of the file.
    async fn lines(&self) -> Result<Vec<(LineId, usize)>> {
        let Self { args, config, reader, .. } = *self;
        let mut lines = reader.lines_of_images().await?;
        if let Some(wanted) = args.schedule.name() {
            let of_schedule = lines_of_schedule(config, reader, wanted).await?;
            lines.retain(|(line, _)| of_schedule.contains(line));
        }
        if let Some(channel) = &args.channel {
            let rows = reader
                .channels(None)
                .await?
                .into_iter()
                .filter(|row| row.channel == *channel && row.image_id.is_some());
            let of_channel: HashSet<LineId> = rows.map(|row| LineId::from(row.line_id)).collect();
            lines.retain(|(line, _)| of_channel.contains(line));
            for (_, images) in &mut lines {
                *images = 1;
            }
        }
        if args.orphans {
            let of_file: HashSet<LineId> = config.schedules.iter().flat_map(|schedule| schedule.lines()).collect();
            lines.retain(|(line, _)| !of_file.contains(line));
        }
        Ok(lines)
    }

    /// CREATE_FAILED images with their next action.
    async fn failed(&self) -> Result {
        let Self { context, args, config, reader, now, next_pass } = *self;
        let mut images = daemon::failed_images(reader, config, (now, next_pass)).await?;
        if let Some(wanted) = args.schedule.name() {
            known_schedule(config, reader, wanted).await?;
            let ids = schedule_ids(reader, wanted).await?;
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
        let of = || shown.iter().map(|judged| judged.line.schedule());
        let zones = context.all_zones(config, reader, of()).await?;
        let mut text = failed_table(&zones, context.color, &shown);
        if shown.iter().any(|judged| judged.not_before.is_some() || judged.held.is_some()) {
            text.push_str(&times(next_pass, zones.common(of()), now));
        }
        Ok(CommandOutput::done(text))
    }
}

/// Where there are several schedules, how to see the images of one.
fn one_of_several(config: &Config) -> Option<String> {
    let names: Vec<&str> = config.schedules.iter().map(|schedule| schedule.name.as_str()).collect();
    let more = names.len().checked_sub(NAMED).filter(|more| *more > 0);
    let named = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = more.map_or_else(String::new, |more| format!(" and {more} more"));
    (names.len() > 1).then(|| format!("`imagebaked images SCHEDULE` shows one schedule: {named}{more}.\n"))
}

async fn lines_of_schedule(config: &Config, reader: &Reader, wanted: &str) -> Result<BTreeSet<LineId>> {
    let mut lines: BTreeSet<LineId> = BTreeSet::from([LineId::from(wanted)]);
    for schedule in config.schedules.iter().filter(|schedule| schedule.is_called(wanted)) {
        lines.extend(schedule.lines());
    }
    for seen in reader.seen(wanted).await? {
        let of_several = format!("{}/{}", seen.schedule_id, seen.instance_id);
        lines.extend([LineId::from(seen.schedule_id.as_str()), LineId::from(of_several.as_str())]);
    }
    Ok(lines)
}

/// The ids that a word means, by name or id: the history knows removed schedules.
async fn schedule_ids(reader: &Reader, wanted: &str) -> Result<HashSet<String>> {
    let mut ids: HashSet<String> = reader.seen(wanted).await?.into_iter().map(|seen| seen.schedule_id).collect();
    ids.insert(wanted.to_owned());
    Ok(ids)
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
        "delete_after": delete_after, "not_before": judged.not_before.map(instant), "last_error": image.last_error,
    })
}

fn nothing(args: &ImagesArgs, config: &Config) -> Result {
    match args.schedule.name() {
        _ if args.orphans => Ok(CommandOutput::done("Every image belongs to a line of the file.\n".to_owned())),
        _ if let Some(channel) = &args.channel => {
            Err(Failure::new(Exit::NotFound, format!("no image is in channel {channel:?}; see `imagebaked channels`")))
        }
        Some(schedule) => Err(Failure::new(
            Exit::NotFound,
            format!("no good image of {schedule:?} is recorded; see `imagebaked history --schedule {schedule}`"),
        )),
        None => {
            let hint = if config.schedules.is_empty() { "" } else { " `imagebaked bake SCHEDULE` makes one." };
            Ok(CommandOutput::done(format!("No good image is recorded yet.{hint}\n")))
        }
    }
}

/// Fails if neither a schedule of the file nor the history has this channel.
async fn known_channel(config: &Config, reader: &Reader, wanted: &str) -> Result<()> {
    let in_file = config.schedules.iter().flat_map(|schedule| &schedule.channels).map(|channel| channel.name.as_str());
    // One that left the file was known.
    let seen = [reader.channels(None).await?, reader.channel_history(None, PAST).await?].concat();
    let seen = seen.iter().map(|row| row.channel.as_str());
    let known: BTreeSet<&str> = in_file.chain(seen).chain([LATEST]).collect();
    if known.contains(wanted) {
        return Ok(());
    }
    let hint = match closest(wanted, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None if known.len() <= NAMED => {
            format!("those there are: {}", known.into_iter().collect::<Vec<_>>().join(", "))
        }
        None => "`imagebaked channels` shows them".to_owned(),
    };
    Err(Failure::new(Exit::NotFound, format!("there is no channel {wanted:?}; {hint}")))
}

/// Copies of images, by the image.
type Replicas = HashMap<String, Vec<ReplicaRow>>;

fn replicas_of<'a>(row: &ImageRow, replicas: &'a Replicas) -> &'a [ReplicaRow] {
    replicas.get(row.image.image_id.as_str()).map(Vec::as_slice).unwrap_or_default()
}

fn rows(
    context: &Context<'_>,
    images: &[(ImageRow, Judged)],
    replicas: &Replicas,
    zones: &Zones,
    now: DateTime<Utc>,
) -> Rows {
    let header = ["LINE", "V", "IMAGE", "NAME", "SLOT", "AGE", "BAKE", "NOTE", "RETENTION"];
    let mut rows = Rows::new(&header, context.color).in_blocks(&["LINE", "V", "IMAGE"]);
    for (row, judged) in images {
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
            judged.describe(zones.of(&row.schedule_id)),
        ]);
    }
    rows
}

/// Notes about an image besides its origin and what retention does with it.
fn notes(row: &ImageRow, replicas: &[ReplicaRow], now: DateTime<Utc>) -> Vec<String> {
    let image = &row.image;
    let mut notes = image.channels.clone();
    if let Some(veto) = &image.veto {
        notes.push(format!("vetoed: {veto}"));
    }
    if let DeletionState::Marked { last_error: Some(error), .. } = &image.deletion {
        notes.push(format!("not deleted yet: {error}"));
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
#[derive(Serialize)]
struct ImageObject<'a> {
    image_id: &'a ImageId,
    version_id: Option<&'a str>,
    image_name: &'a str,
    version: u32,
    line: &'a LineId,
    schedule: &'a str,
    instance_id: &'a str,
    slot: String,
    bake: Option<BakeId>,
    finished_at: String,
    deletion: &'static str,
    delete_after: Option<String>,
    last_error: Option<&'a str>,
    channels: &'a [String],
    available: bool,
    ours: bool,
    used_by: &'a [String],
    missing_since: Option<String>,
    pinned: Option<&'a str>,
    veto: Option<&'a str>,
    verify: Option<&'a str>,
    copied_to: &'a [String],
    replicas: &'a [ReplicaRow],
    retention: Decision<'a>,
}

impl<'a> ImageObject<'a> {
    fn of(row: &'a ImageRow, judged: &'a Judged, replicas: &'a [ReplicaRow], now: DateTime<Utc>) -> Self {
        let image = &row.image;
        let instant = |at: DateTime<Utc>| rfc3339(at.timestamp_millis());
        let (delete_after, last_error) = match &image.deletion {
            DeletionState::Marked { delete_after, last_error, .. } => (Some(*delete_after), last_error.as_deref()),
            DeletionState::Refused { why } => (None, Some(why.as_str())),
            _ => (None, None),
        };
        Self {
            image_id: &image.image_id,
            version_id: row.version_id.as_deref(),
            image_name: &image.name,
            version: image.version,
            line: &image.line,
            schedule: &row.schedule,
            instance_id: &row.instance_id,
            slot: instant(image.slot),
            bake: row.bake,
            finished_at: instant(image.available_at),
            deletion: image.deletion.as_str(),
            delete_after: delete_after.map(instant),
            last_error,
            channels: &image.channels,
            available: image.seen.available,
            ours: image.seen.ours,
            used_by: &image.seen.used_by,
            missing_since: image.seen.missing_since.map(instant),
            pinned: image.pin.as_ref().filter(|pin| pin.holds(now)).map(|pin| pin.reason.as_str()),
            veto: image.veto.as_deref(),
            verify: row.verify.as_deref(),
            copied_to: &image.copied_to,
            replicas,
            retention: judged.decision(),
        }
    }
}
