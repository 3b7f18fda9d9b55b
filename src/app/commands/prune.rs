//! `imagebaked prune [--dry-run]`: the daemon runs a retention pass; the output lists every image with its decision.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    context::Context,
    outcome::{CommandOutput, Exit, Result, refused},
    output::{NONE, Rows, Zones},
    table::room,
};
use crate::{
    adapters::control::{Reply, Request},
    app::cli::PruneArgs,
    domain::{
        calendar::zone::Zone,
        clock::{Clock as _, SystemClock},
        image::{
            brake::Brake,
            failed::FailedAction,
            passes::NextPass,
            report::{Judged, JudgedFailed, RetentionReport},
        },
        time::show,
    },
};

/// Lines for the sum, the next pass and the rest, besides what stands around a list.
const BESIDE: usize = 4;

pub async fn run(context: &Context<'_>, args: &PruneArgs) -> Result {
    let config = context.locate_daemon().await?;
    let request = Request::Prune {
        dry_run: args.dry_run,
        again: args.again,
        confirm: args.confirm,
        despite_failed_bake: args.despite_failed_bake,
    };
    let report = match context.ask(&config, request).await? {
        Reply::Pruned { report } => report.unwrap_or_default(),
        other => return Err(refused(other)),
    };
    let exit = if report.problem.is_some() { Exit::Failed } else { Exit::Done };
    let text = if context.json {
        let report = json!({ "dry_run": args.dry_run, "problem": report.problem, "brakes": report.brakes,
                             "images": report.images, "failed": report.failed, "next_pass": report.next_pass });
        format!("{report}\n")
    } else {
        let shown = report.images.iter().map(|judged| judged.line.schedule());
        let zones = context.zones_of_answer(&config, shown).await;
        text(&zones, context.color, &report, (args, SystemClock.now()))
    };
    Ok(CommandOutput { text, exit })
}

fn text(zones: &Zones, color: bool, report: &RetentionReport, (args, now): (&PruneArgs, DateTime<Utc>)) -> String {
    if report.images.is_empty() && report.failed.is_empty() && report.problem.is_none() {
        return "There is no image of a line with rules (`keep`); nothing is to be deleted.\n".to_owned();
    }
    let mut images: Vec<&Judged> = report.images.iter().collect();
    // What goes first stands first; what stays is only counted where the room ends.
    images.sort_by_key(|judged| (!judged.is_going(), judged.not_before.is_none(), judged.not_before));
    let (mut text, shown) =
        rows(zones, color, images.iter().copied()).render_first(room().map(|lines| lines.saturating_sub(BESIDE)));
    if shown < images.len() {
        let kept = images[shown..].iter().filter(|judged| !judged.is_going()).count();
        let more = images.len() - shown;
        text.push_str(&format!(
            "… and {more} more, {kept} of them kept; see `imagebaked images SCHEDULE` and --json.\n"
        ));
    }
    text.push('\n');
    text.push_str(&summary(&report.images, args.dry_run));
    if let Some(next_pass) = report.next_pass {
        let schedules = report.images.iter().map(|judged| judged.line.schedule());
        text.push_str(&times(next_pass, zones.common(schedules), now));
    }
    if !report.failed.is_empty() {
        text.push_str("\nImages that the cloud lists as CREATE_FAILED:\n");
        text.push_str(&failed_table(zones, color, &report.failed));
    }
    if !args.confirm {
        text.push_str(&held(&report.brakes));
    }
    if let Some(problem) = &report.problem {
        text.push_str(&format!("Nothing is deleted now, because the inventory scan was not complete: {problem}\n"));
    }
    text
}

/// When the daemon's next pass is, by which the times of a preview are computed.
pub fn times(next_pass: NextPass, zone: Zone, now: DateTime<Utc>) -> String {
    format!("{}\n", next_pass.describe(zone, now))
}

/// Limits that need a confirmation.
pub fn held(brakes: &[Brake]) -> String {
    let mut text: String = brakes.iter().map(|brake| format!("PROBLEM: {brake}.\n")).collect();
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
