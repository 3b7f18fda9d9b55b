//! `imagebaked show BAKE`: one bake with its settings and calls.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    context::{Context, next_pass},
    outcome::{CommandOutput, Exit, Failure, Result},
    output::{NONE, Rows, relative},
    presence::Presence,
    table::{screen, wrapped},
};
use crate::{
    adapters::{
        config::Config,
        store::{AttemptRow, BakeRow, CopyRow, ImageRow, Reader},
    },
    app::{cli::ShowArgs, daemon},
    domain::{
        bake::{
            stored_settings::with_shown_lengths,
            unfollowed::{Unfollowed, last_known},
        },
        calendar::zone::Zone,
        clock::{Clock, SystemClock},
        history::{
            absence::Absence,
            advice,
            importance::by_importance,
            repeated::{RepeatedCalls, folded},
            veto::Veto,
        },
        ids::BakeId,
        image::{
            DeletionState,
            passes::NextPass,
            report::{Decision, Judged},
        },
        time::show,
    },
};

pub async fn run(context: &Context<'_>, args: &ShowArgs) -> Result {
    let (config, presence) = context.find_daemon().await?;
    let reader = context.reader(&config).await?;
    let Some(row) = reader.bake(args.bake).await? else {
        let newest = reader.newest_bake().await?;
        let hint = newest.map_or_else(|| "none is recorded yet".to_owned(), |id| format!("the last one is {id}"));
        return Err(Failure::new(Exit::NotFound, format!("there is no bake {}; {hint}", args.bake)));
    };
    let zone = context.all_zones(&config, &reader, [row.schedule_id.as_str()]).await?.of(&row.schedule_id);
    let mut report = BakeReport::read(&reader, row, zone, &presence).await?;
    if report.row.image_id.is_some() {
        context.warn_if_not_in_force(&config, &presence);
    }
    report.retention = retention(&reader, &config, &report.row, next_pass(&config, &presence).await).await?;
    reader.close().await;
    if context.json {
        return Ok(CommandOutput::done(format!("{}\n", report.json()?)));
    }
    let lines = screen().filter(|_| !args.all);
    Ok(CommandOutput::done(report.text(SystemClock.now(), context.color, Extent { all: args.all, lines })))
}

/// What retention did or does with an image.
enum ImageRetention {
    /// Retention keeps it or deletes it.
    Judged(Box<Judged>),
    /// It was deleted by retention.
    Deleted(DateTime<Utc>),
    /// The cloud has not listed it since.
    Missing(DateTime<Utc>),
}

impl ImageRetention {
    fn describe(&self, zone: Zone) -> String {
        match self {
            Self::Judged(judged) => judged.describe(zone),
            Self::Deleted(at) => format!("deleted {}", show(*at, zone)),
            Self::Missing(since) => format!("not in the cloud since {}", show(*since, zone)),
        }
    }

    fn decision(&self) -> Option<Decision<'_>> {
        match self {
            Self::Judged(judged) => Some(judged.decision()),
            _ => None,
        }
    }
}

/// What becomes of the image of a bake; `None` if it has none, or none that was AVAILABLE.
async fn retention(
    reader: &Reader,
    config: &Config,
    row: &BakeRow,
    next_pass: NextPass,
) -> Result<Option<ImageRetention>> {
    let Some(image_id) = &row.image_id else { return Ok(None) };
    let Some(ImageRow { image, .. }) = reader.image(&image_id.as_str().into()).await? else { return Ok(None) };
    if let DeletionState::Deleted { at } = image.deletion {
        return Ok(Some(ImageRetention::Deleted(at)));
    }
    if let Some(since) = image.seen.missing_since {
        return Ok(Some(ImageRetention::Missing(since)));
    }
    let images = reader.present_images(Some(&[image.line])).await?;
    let judge = daemon::Judge::of_some(reader, config, (SystemClock.now(), next_pass)).await?;
    let judged = judge.some(reader, images, next_pass).await?;
    let mut judged = judged.into_iter().map(|(_, judged)| judged);
    Ok(judged
        .find(|judged| judged.image_id.as_str() == image_id)
        .map(|judged| ImageRetention::Judged(Box::new(judged))))
}

/// How much of a report is shown.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Each call by itself.
    pub all: bool,
    /// The lines that there is room for; on a terminal.
    pub lines: Option<usize>,
}

/// Facts that a terminal has no room for: they are for support tickets, or follow from others.
const MINOR: [&str; 6] = ["image version", "task", "recorded", "next poll", "configuration", "attempts"];
/// Those that an explanation has no room for either.
const BESIDE: [&str; 2] = ["image name", "version"];

/// The heading of the calls that the history has; polls without news are none of them.
const ALL_CALLS: &str = "Calls (failures, calls that change something, changes of status)";

/// A bake with its settings and calls.
pub struct BakeReport {
    row: BakeRow,
    attempts: Vec<AttemptRow>,
    copies: Vec<CopyRow>,
    settings: Value,
    zone: Zone,
    /// That no daemon follows it, if it is open.
    unfollowed: Option<Unfollowed>,
    /// The time without a daemon in which its slot was due.
    absence: Option<Absence>,
    /// Who refuses its image, and why.
    veto: Option<Veto>,
    /// What becomes of its image.
    retention: Option<ImageRetention>,
}

impl BakeReport {
    /// Reads the data of `row`. Its times are shown in the zone of its settings; in `zone` if it has none.
    pub async fn read(reader: &Reader, mut row: BakeRow, zone: Zone, presence: &Presence) -> Result<Self> {
        let bake = BakeId(row.id);
        let attempts = reader.attempts(bake).await?;
        let copies = reader.copies(bake).await?;
        let settings = match reader.settings(bake).await? {
            Some(json) => serde_json::from_str(&json)?,
            None => Value::Null,
        };
        let zone = settings["timezone"].as_str().and_then(Zone::find).unwrap_or(zone);
        let unfollowed = presence.unfollowed(reader).filter(|_| !row.is_ended());
        let absence = if row.came_late() { reader.absence(row.slot(), row.recorded()).await? } else { None };
        row.reason_as_of(SystemClock.now(), unfollowed.is_none());
        let veto = reader.veto_of(&row).await?;
        Ok(Self { row, attempts, copies, settings, zone, unfollowed, absence, veto, retention: None })
    }

    /// The same with all times in this zone, as a part of an answer that has others.
    pub fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    /// Its number.
    pub fn id(&self) -> i64 {
        self.row.id
    }

    /// What a person sees of it in one word.
    pub fn word(&self) -> &str {
        self.row.word()
    }

    /// Whether it made its image, and that is not vetoed.
    pub fn is_good(&self) -> bool {
        self.row.word() == "succeeded"
    }

    /// The row's fields with `settings`, `calls`, `distributions`, `veto`, `retention`, `unfollowed` and `absence`.
    pub fn json(&self) -> Result<Value> {
        let mut report = serde_json::to_value(&self.row)?;
        if let Some(fields) = report.as_object_mut() {
            fields.insert("settings".to_owned(), self.settings.clone());
            fields.insert("calls".to_owned(), json!(self.attempts));
            fields.insert("distributions".to_owned(), json!(self.copies));
            fields.insert("retention".to_owned(), json!(self.retention.as_ref().and_then(ImageRetention::decision)));
            fields.insert("unfollowed".to_owned(), json!(self.unfollowed.as_ref().map(Unfollowed::document)));
            fields.insert("veto".to_owned(), json!(self.veto));
            fields.insert("absence".to_owned(), json!(self.absence.map(|absence| absence.document())));
        }
        Ok(report)
    }

    /// Facts, settings, calls; without the settings where the room is limited.
    pub fn text(&self, now: DateTime<Utc>, color: bool, extent: Extent) -> String {
        let mut facts = self.facts(now);
        facts.retain(|(name, _)| extent.lines.is_none() || !self.is_minor(name));
        let mut text = listed(&self.row, &facts);
        if let (Some(settings), None) = (with_shown_lengths(&self.settings).as_object(), extent.lines) {
            text.push_str("\nSettings\n");
            for (name, value) in settings {
                text.push_str(&wrapped(&format!("  {name:<22} {value}\n"), 25));
            }
        }
        text.push_str(&self.regions(color, extent.rest(&text)));
        text.push_str(&self.calls(color, extent.rest(&text)));
        text
    }

    /// Progress of the copies in other regions.
    fn regions(&self, color: bool, extent: Extent) -> String {
        if self.copies.is_empty() {
            return String::new();
        }
        let header = ["REGION", "STATE", "LISTED AS", "PROGRESS", "ATTEMPTS", "TASK", "REASON"];
        let mut rows = Rows::new(&header, color).in_blocks(&["REGION", "STATE"]);
        // The failed ones first, where there is no room for all.
        let mut copies: Vec<_> = self.copies.iter().collect();
        copies.sort_by_key(|copy| copy.state != "failed");
        for copy in copies {
            rows.row([
                copy.region.clone(),
                copy.state.clone(),
                or_none(copy.status.as_ref()),
                or_none(copy.progress.as_ref()),
                copy.tries.to_string(),
                or_none(copy.task_id.as_ref()),
                copy.reason.clone().unwrap_or_default(),
            ]);
        }
        // The calls need room, too.
        let (mut text, shown) = rows.render_first(extent.lines.map(|lines| (lines / 2).saturating_sub(2)));
        if shown < self.copies.len() {
            text.push_str(&format!("… and {} more; {}\n", self.copies.len() - shown, self.hint()));
        }
        format!("\nCopies to other regions\n{text}")
    }

    /// Calls, and the facts that an explanation does not have; without the settings.
    pub fn short_text(&self, now: DateTime<Utc>, color: bool, extent: Extent) -> String {
        const SAID: [&str; 7] = ["state", "reason", "followed", "schedule", "instance", "slot", "configuration"];
        let mut facts = self.facts(now);
        facts.retain(|(name, _)| {
            let has_room = extent.lines.is_none() || !self.is_minor(name) && !BESIDE.contains(name);
            has_room && !SAID.contains(name)
        });
        let text = listed(&self.row, &facts);
        let calls = self.calls(color, extent.rest(&text));
        text + &calls
    }

    /// The facts of its row, what follows from others, and what to do about a failure.
    fn facts(&self, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
        let mut facts = facts(&self.row, now, self.zone);
        if let Some(advice) = advice::of(&self.row, &self.attempts) {
            let after = facts.iter().position(|(name, _)| *name == "schedule").unwrap_or(facts.len());
            facts.insert(after, ("advice", advice));
        }
        if let (Some(absence), Some(place)) = (&self.absence, facts.iter().position(|(name, _)| *name == "schedule")) {
            facts.insert(place, ("daemon", absence.describe(self.zone)));
        }
        if let (Some(veto), Some(place)) = (&self.veto, facts.iter().position(|(name, _)| *name == "schedule")) {
            facts.insert(place, ("veto", veto.describe(self.zone)));
        }
        if let Some(unfollowed) = &self.unfollowed {
            facts[0].1 = last_known(&self.row.state);
            facts.insert(1, ("followed", unfollowed.describe("it", self.zone)));
        }
        if let (Some(retention), Some(place)) = (&self.retention, facts.iter().position(|(name, _)| *name == "image")) {
            facts.insert(place + 1, ("retention", retention.describe(self.zone)));
        }
        facts
    }

    /// Whether a terminal goes without this fact. Who asked for a bake says that it was asked for.
    fn is_minor(&self, name: &str) -> bool {
        MINOR.contains(&name) || name == "trigger" && self.row.requested_by.is_some()
    }

    /// Where the rest is.
    fn hint(&self) -> String {
        format!("imagebaked show {} --all", self.row.id)
    }

    /// The calls, those that repeat each other in one line; where the room is limited, those that explain most.
    fn calls(&self, color: bool, extent: Extent) -> String {
        let calls = if extent.all {
            self.attempts.iter().map(|call| RepeatedCalls { first: call, last: call, count: 1 }).collect()
        } else {
            folded(&self.attempts)
        };
        if calls.is_empty() {
            return format!("\n{ALL_CALLS}\n  none\n");
        }
        let header = ["AT", "STAGE", "CALL", "OUTCOME", "HTTP", "CODE", "REQUEST ID", "MESSAGE"];
        let mut rows = Rows::new(&header, color).in_blocks(&["AT", "CALL", "OUTCOME"]);
        for call in &calls {
            let attempt = call.first;
            // Where the room is limited, a call that went well is one line; a ticket needs that of the create call.
            let is_brief = extent.lines.is_some() && attempt.outcome == "ok" && attempt.call != "create_image";
            let detail = |text: Option<String>| text.filter(|_| !is_brief).unwrap_or_else(|| NONE.to_owned());
            rows.row([
                shown(attempt.started_at, self.zone),
                detail(Some(attempt.stage.clone())),
                attempt.call.clone(),
                attempt.outcome.clone(),
                detail(attempt.http_status.map(|status| status.to_string())),
                detail(attempt.code.clone()),
                detail(attempt.request_id.clone()),
                self.message(call),
            ]);
        }
        // The heading, and the line below.
        let room = extent.lines.map(|lines| lines.saturating_sub(4));
        let (table, shown) = rows.render_chosen((usize::MAX, room), &by_importance(&self.row, &calls));
        if shown < calls.len() {
            let all = calls.len();
            let hint = self.hint();
            return format!(
                "\nCalls ({shown} of {all}, those that explain most)\n{table}… {} more, and the settings: {hint}\n",
                all - shown
            );
        }
        let rest = match extent.lines {
            Some(_) => format!("… with the settings and each call: {}\n", self.hint()),
            None => String::new(),
        };
        format!("\n{ALL_CALLS}\n{table}{rest}")
    }

    /// The message of a call, and how often it was repeated.
    fn message(&self, call: &RepeatedCalls<'_>) -> String {
        let message = call.first.message.clone().unwrap_or_default();
        if call.count == 1 {
            return message;
        }
        let gap = if message.is_empty() { "" } else { " " };
        let last = call.last.message.as_deref().filter(|last| *last != message);
        let last = last.map(|last| format!(", the last: {last}")).unwrap_or_default();
        format!(
            "{message}{gap}({} more of these until {}{last})",
            call.count - 1,
            shown(call.last.started_at, self.zone)
        )
    }
}

impl Extent {
    /// What is left below a text.
    fn rest(self, text: &str) -> Self {
        Self { lines: self.lines.map(|lines| lines.saturating_sub(text.lines().count())), ..self }
    }
}

fn or_none(value: Option<&String>) -> String {
    value.cloned().unwrap_or_else(|| NONE.to_owned())
}

/// Milliseconds since 1970 in a zone, to the second.
fn shown(millis: i64, zone: Zone) -> String {
    show(DateTime::from_timestamp_millis(millis).unwrap_or_default(), zone)
}

fn facts(row: &BakeRow, now: DateTime<Utc>, zone: Zone) -> Vec<(&'static str, String)> {
    let time = |at| {
        format!("{} ({})", shown(at, zone), relative(DateTime::from_timestamp_millis(at).unwrap_or_default(), now))
    };
    let mut facts = vec![
        ("state", row.word().to_owned()),
        ("reason", or_none(row.reason.as_ref())),
        ("cause", or_none(row.cause.as_ref())),
        ("schedule", format!("{} (id {})", row.schedule, row.schedule_id)),
        ("instance", row.instance_id.clone()),
        ("slot", time(row.slot)),
        ("trigger", row.trigger.clone()),
        (
            "image",
            row.image_id.clone().unwrap_or_else(|| if row.is_ended() { "none was made" } else { NONE }.to_owned()),
        ),
        ("image name", or_none(row.image_name.as_ref().filter(|_| row.image_id.is_some() || !row.is_ended()))),
        (
            "version",
            row.version.map_or_else(|| NONE.to_owned(), |version| format!("{version} of line {}", row.line_id)),
        ),
        ("image version", or_none(row.version_id.as_ref())),
        ("task", or_none(row.task_id.as_ref())),
        ("attempts", row.attempts.to_string()),
        ("recorded", time(row.created_at)),
        ("ended", row.finished_at.map_or_else(|| NONE.to_owned(), time)),
        ("next poll", row.wake_at.map_or_else(|| NONE.to_owned(), time)),
        ("configuration", row.config_hash.clone()),
    ];
    if row.slot_count > 1 {
        let range =
            format!("{} slots from {} to {}", row.slot_count, shown(row.first_slot, zone), shown(row.slot, zone));
        facts.insert(6, ("slots", range));
    }
    if let Some(who) = &row.requested_by {
        facts.insert(7, ("requested by", who.clone()));
    }
    facts.retain(|(_, value)| value != NONE);
    facts
}

fn listed(row: &BakeRow, facts: &[(&str, String)]) -> String {
    let lines = facts.iter().map(|(name, value)| wrapped(&format!("  {name:<14} {value}\n"), 17));
    format!("Bake {}\n{}", row.id, lines.collect::<String>())
}
