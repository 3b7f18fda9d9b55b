//! `imagebaked prune [--dry-run]`: the daemon runs a retention pass; the output lists images with their decisions. A dry run
//! answers from the history, what is deleted next.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    context::{Context, next_pass},
    outcome::{CommandOutput, Exit, Result, refused},
    output::{NONE, Rows, Zones, relative},
    presence::Presence,
    table::{room_above, terminal_width},
    terminal::with_config,
};
use crate::{
    adapters::{
        config::Config,
        control::{Reply, Request},
    },
    app::{
        cli::PruneArgs,
        daemon::{self, Mode},
    },
    domain::{
        calendar::zone::Zone,
        clock::{Clock as _, SystemClock},
        ids::LineId,
        image::{
            brake::Brake,
            failed::FailedAction,
            passes::NextPass,
            report::{Judged, JudgedFailed, RetentionReport},
        },
        text::counted,
        time::show,
    },
};

/// Images of the table.
const LIMIT: u32 = 200;
/// Limits that need a confirmation, on a terminal.
const MOST_HELD: usize = 2;
/// Lines without rules that are named.
const NAMED: usize = 3;

pub async fn run(context: &Context<'_>, args: &PruneArgs) -> Result {
    let (config, presence) = context.find_daemon().await?;
    let mode = Mode {
        dry_run: args.dry_run,
        again: args.again,
        confirm: args.confirm,
        despite_failed_bake: args.despite_failed_bake,
    };
    context.warn_if_not_in_force(&config, &presence);
    let (report, scan) = if args.dry_run && !args.ask_cloud && context.is_in_force(&config, &presence) {
        from_history(context, &config, mode, &presence).await?
    } else {
        (by_daemon(context, &config, mode).await?, None)
    };
    let without_rules = if args.dry_run { without_rules(context, &config, &report).await } else { Vec::new() };
    let exit = if report.problem.is_some() { Exit::Failed } else { Exit::Done };
    let text = if context.json {
        let of = if scan.is_some() { "history" } else { "cloud" };
        let scanned_at = scan.as_ref().and_then(|scan| scan.at);
        let shown = Report { dry_run: args.dry_run, of, scanned_at, without_rules: &without_rules, report: &report };
        format!("{}\n", serde_json::to_string(&shown)?)
    } else {
        let of = || report.images.iter().map(|judged| judged.line.schedule());
        let zones = context.zones_of_answer(&config, of()).await;
        let zone = zones.common(of());
        let (color, now) = (context.color, SystemClock.now());
        Answer { zones: &zones, zone, color, args, scan, without_rules: &without_rules, now }.text(&report)
    };
    Ok(CommandOutput { text, exit })
}

/// With the field names of `prune --json`.
#[derive(Serialize)]
struct Report<'a> {
    dry_run: bool,
    of: &'static str,
    scanned_at: Option<DateTime<Utc>>,
    without_rules: &'a [Unjudged],
    #[serde(flatten)]
    report: &'a RetentionReport,
}

/// A line whose images no rules delete.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Unjudged {
    line: LineId,
    images: usize,
}

/// Lines of the history that the report has nothing of: they have no `keep`. None if the history is unreadable.
async fn without_rules(context: &Context<'_>, config: &Config, report: &RetentionReport) -> Vec<Unjudged> {
    let Ok(reader) = context.reader(config).await else { return Vec::new() };
    let lines = reader.lines_of_images().await.unwrap_or_default();
    reader.close().await;
    let judged: HashSet<&LineId> = report.images.iter().map(|judged| &judged.line).collect();
    let is_unjudged = |(line, images): &(LineId, usize)| *images > 0 && !judged.contains(line);
    lines.into_iter().filter(is_unjudged).map(|(line, images)| Unjudged { line, images }).collect()
}

/// `3 images of golden, silver and 2 more lines have no rules (`keep`): they are kept for ever.`
fn kept_for_ever(lines: &[Unjudged]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let images = counted(lines.iter().map(|one| one.images).sum::<usize>(), "image", "images");
    let names: Vec<&str> = lines.iter().take(NAMED).map(|one| one.line.as_str()).collect();
    let more = match lines.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {}", counted(more, "more line", "more lines")),
    };
    format!("Kept for ever, as there are no rules (`keep`) for them: {images} of {}{more}.\n", names.join(", "))
}

/// The pass of the daemon, after a scan of the cloud.
async fn by_daemon(context: &Context<'_>, config: &Config, mode: Mode) -> Result<RetentionReport> {
    let Mode { dry_run, again, confirm, despite_failed_bake } = mode;
    match context.ask(config, Request::Prune { dry_run, again, confirm, despite_failed_bake }).await? {
        Reply::Pruned { report } => Ok(report.unwrap_or_default()),
        other => Err(refused(other)),
    }
}

/// What the history is as of.
#[derive(Debug, Clone)]
struct Scan {
    /// The last scan of the cloud.
    at: Option<DateTime<Utc>>,
    /// Why that was not complete.
    problem: Option<String>,
    /// Whether a daemon could scan it now.
    has_daemon: bool,
}

/// What the next pass does as things stand in the history. Who uses an image now, and whether the cloud still lists it, only the
/// cloud knows.
async fn from_history(
    context: &Context<'_>,
    config: &Config,
    mode: Mode,
    presence: &Presence,
) -> Result<(RetentionReport, Option<Scan>)> {
    let reader = context.reader(config).await?;
    let (now, next_pass) = (SystemClock.now(), next_pass(config, presence).await);
    let report = daemon::judgement(&reader, config, mode, (now, next_pass)).await;
    let scan = reader.last_scan().await;
    reader.close().await;
    let (at, problem) = scan?.map_or((None, None), |scan| (Some(scan.at), scan.problem));
    let scan = Scan { at, problem, has_daemon: presence.located().is_some() };
    Ok((RetentionReport { next_pass: Some(next_pass), ..report? }, Some(scan)))
}

/// The answer to a person.
struct Answer<'a> {
    zones: &'a Zones,
    /// The zone of what belongs to no image.
    zone: Zone,
    color: bool,
    args: &'a PruneArgs,
    /// What the answer is as of; `None`: the cloud was scanned for it.
    scan: Option<Scan>,
    without_rules: &'a [Unjudged],
    now: DateTime<Utc>,
}

impl Answer<'_> {
    fn text(&self, report: &RetentionReport) -> String {
        if report.images.is_empty() && report.failed.is_empty() && report.problem.is_none() {
            let nothing = "There is no image of a line with rules (`keep`); nothing is to be deleted.\n";
            return format!("{nothing}{}{}", kept_for_ever(self.without_rules), self.as_of(report));
        }
        let mut images: Vec<&Judged> = report.images.iter().collect();
        // What goes first stands first; what stays is only counted where the room ends.
        images.sort_by_key(|judged| judged.turn());
        let tail = self.tail(report);
        let limit = usize::try_from(self.args.limit.unwrap_or(LIMIT)).unwrap_or(usize::MAX);
        // The line of those that are left out may be two.
        let most = room_above(&with_config(&format!("\n\n{tail}"))).filter(|_| self.args.limit.is_none());
        let listed = images.iter().take(limit.min(most.unwrap_or(usize::MAX))).copied();
        let (mut text, shown) = rows(self.zones, self.color, listed).render_first(most);
        if shown < images.len() {
            let kept = images[shown..].iter().filter(|judged| !judged.is_going()).count();
            let more = images.len() - shown;
            text.push_str(&format!("… and {more} more, {kept} of them kept; --limit 0 and --json have all\n"));
        }
        text + &tail
    }

    /// What stands below the images.
    fn tail(&self, report: &RetentionReport) -> String {
        // A daemon that only observes answers with a preview, too.
        let is_preview = self.args.dry_run || report.next_pass.is_some();
        let mut text = format!("\n{}", summary(&report.images, is_preview));
        text.push_str(&kept_for_ever(self.without_rules));
        if let Some(next_pass) = report.next_pass {
            text.push_str(&times(next_pass, self.zone, self.now));
        }
        text.push_str(&self.as_of(report));
        if !report.failed.is_empty() {
            text.push_str(&self.failed(&report.failed));
        }
        if !self.args.confirm {
            text.push_str(&held(&report.brakes));
        }
        if let Some(problem) = &report.problem {
            text.push_str(&format!("Nothing is deleted now, because the inventory scan was not complete: {problem}\n"));
        }
        text
    }

    /// What an answer from the history does not know.
    fn as_of(&self, report: &RetentionReport) -> String {
        let Some(scan) = &self.scan else { return String::new() };
        let at = match scan.at {
            Some(at) => format!("as of the last scan of the cloud, {}", relative(at, self.now)),
            None => "the cloud was never scanned".to_owned(),
        };
        let more = if scan.has_daemon {
            "`imagebaked prune --dry-run --ask-cloud` scans it now"
        } else {
            "without a daemon the cloud is not asked"
        };
        // The report may have it, too.
        let problem = scan.problem.as_ref().filter(|_| report.problem.is_none());
        let problem = problem.map_or_else(String::new, |why| format!("That scan was not complete: {why}\n"));
        format!("From the history, {at}; {more}.\n{problem}")
    }

    /// CREATE_FAILED images: on a terminal their number alone.
    fn failed(&self, images: &[JudgedFailed]) -> String {
        if terminal_width().is_some() && self.args.limit.is_none() {
            let images = counted(images.len(), "image", "images");
            return format!(
                "The cloud lists {images} of ours as CREATE_FAILED; `imagebaked images --failed` shows them.\n"
            );
        }
        format!("\nImages that the cloud lists as CREATE_FAILED:\n{}", failed_table(self.zones, self.color, images))
    }
}

/// When the daemon's next pass is, by which the times of a preview are computed.
pub fn times(next_pass: NextPass, zone: Zone, now: DateTime<Utc>) -> String {
    format!("{}\n", next_pass.describe(zone, now))
}

/// Limits that need a confirmation: a terminal has room for the first ones.
pub fn held(brakes: &[Brake]) -> String {
    let shown = if terminal_width().is_some() { MOST_HELD.min(brakes.len()) } else { brakes.len() };
    let mut text: String = brakes[..shown].iter().map(|brake| format!("PROBLEM: {brake}.\n")).collect();
    if shown < brakes.len() {
        let more = counted(brakes.len() - shown, "more line is", "more lines are");
        text.push_str(&format!("PROBLEM: {more} held likewise; `imagebaked status --all` shows each.\n"));
    }
    if !text.is_empty() {
        text.push_str("`imagebaked prune --confirm` deletes them.\n");
    }
    text
}

/// CREATE_FAILED images.
pub fn failed_table(zones: &Zones, color: bool, images: &[JudgedFailed]) -> String {
    let mut rows = Rows::new(&["LINE", "V", "IMAGE", "NAME", "SLOT", "BAKE", "ACTION", "REASON"], color)
        .sparing(&["NAME", "SLOT"])
        .or_blocks(&["LINE", "V", "IMAGE"]);
    for judged in images {
        let why = match &judged.action {
            FailedAction::Keep { reason } => reason.clone(),
            _ => String::new(),
        };
        rows.row([
            judged.line.to_string(),
            judged.version.map_or_else(|| NONE.to_owned(), |version| version.to_string()),
            judged.image_id.to_string(),
            judged.image_name.clone(),
            judged.slot.map_or_else(|| NONE.to_owned(), |slot| zones.show(slot, judged.line.schedule())),
            judged.bake.map_or_else(|| NONE.to_owned(), |bake| bake.to_string()),
            judged.step(zones.of(judged.line.schedule())),
            why,
        ]);
    }
    rows.render()
}

/// Each image with its action and reasons.
pub fn table<'a>(zones: &Zones, color: bool, images: impl IntoIterator<Item = &'a Judged>) -> String {
    rows(zones, color, images).render()
}

fn rows<'a>(zones: &Zones, color: bool, images: impl IntoIterator<Item = &'a Judged>) -> Rows {
    let mut rows = Rows::new(&["LINE", "V", "IMAGE", "NAME", "SLOT", "ACTION", "REASON"], color)
        .sparing(&["NAME", "SLOT"])
        .or_blocks(&["LINE", "V", "IMAGE"]);
    for judged in images {
        let zone = zones.of(judged.line.schedule());
        rows.row([
            judged.line.to_string(),
            judged.version.to_string(),
            judged.image_id.to_string(),
            judged.image_name.clone(),
            show(judged.slot, zone),
            judged.step(zone),
            judged.reasons(zone),
        ]);
    }
    rows
}

fn summary(images: &[Judged], dry_run: bool) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for judged in images {
        *counts.entry(judged.action.as_str()).or_default() += 1;
    }
    let of = |word: &str| counts.get(word).copied().unwrap_or_default();
    let held = match of("needs confirmation") {
        0 => String::new(),
        n => format!(", {n} held until it is confirmed"),
    };
    let would = if dry_run { "Would be: " } else { "" };
    let more = if dry_run { " Nothing was done." } else { " See `imagebaked images` and `imagebaked audit`." };
    format!(
        "{would}{} kept, {} newly marked, {} marked before, {} unmarked, {} deleted{held}.{more}\n",
        of("keep"),
        of("mark"),
        of("marked") + of("marked, blocked") + of("deleting"),
        of("unmark"),
        of("delete"),
    )
}
