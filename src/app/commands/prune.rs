//! `imagebaked prune [--dry-run]`: the daemon runs a retention pass; the output lists every image with its decision.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    context::Context,
    outcome::{CommandOutput, Exit, Result, refused},
    output::{NONE, Rows, Zones},
};
use crate::{
    adapters::control::{Reply, Request},
    app::cli::PruneArgs,
    domain::image::{
        brake::Brake,
        failed::FailedAction,
        judge::Action,
        report::{Judged, JudgedFailed, RetentionReport},
    },
};

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
                             "images": report.images, "failed": report.failed });
        format!("{report}\n")
    } else {
        text(&context.zones(&config), context.color, &report, args)
    };
    Ok(CommandOutput { text, exit })
}

fn text(zones: &Zones, color: bool, report: &RetentionReport, args: &PruneArgs) -> String {
    if report.images.is_empty() && report.failed.is_empty() && report.problem.is_none() {
        return "No image belongs to a line with rules (`keep`); nothing is ever deleted.\n".to_owned();
    }
    let mut text = table(zones, color, &report.images);
    text.push('\n');
    text.push_str(&summary(&report.images, args.dry_run));
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
        let (does, why) = match &judged.action {
            FailedAction::Wait { delete_after } => {
                (format!("wait, deleted after {}", zones.show(*delete_after, judged.line.schedule())), String::new())
            }
            FailedAction::Keep { reason } => ("keep".to_owned(), reason.clone()),
            action => (action.as_str().to_owned(), String::new()),
        };
        rows.row([
            judged.line.to_string(),
            judged.version.map_or_else(|| NONE.to_owned(), |version| version.to_string()),
            judged.image_id.to_string(),
            judged.image_name.clone(),
            judged.slot.map_or_else(|| NONE.to_owned(), |slot| zones.show(slot, judged.line.schedule())),
            judged.bake.map_or_else(|| NONE.to_owned(), |bake| bake.to_string()),
            does,
            why,
        ]);
    }
    rows.render()
}

/// Each image with its action and reasons.
pub fn table<'a>(zones: &Zones, color: bool, images: impl IntoIterator<Item = &'a Judged>) -> String {
    let mut rows = Rows::new(&["LINE", "V", "IMAGE", "NAME", "SLOT", "ACTION", "REASON"], color)
        .sparing(&["NAME", "SLOT"])
        .or_blocks(&["LINE", "V", "IMAGE"]);
    for judged in images {
        let does = match &judged.action {
            Action::Mark { delete_after } | Action::Wait { delete_after } | Action::Blocked { delete_after } => {
                format!(
                    "{}, deleted after {}",
                    judged.action.as_str(),
                    zones.show(*delete_after, judged.line.schedule())
                )
            }
            action => action.as_str().to_owned(),
        };
        rows.row([
            judged.line.to_string(),
            judged.version.to_string(),
            judged.image_id.to_string(),
            judged.image_name.clone(),
            zones.show(judged.slot, judged.line.schedule()),
            does,
            judged.reasons(),
        ]);
    }
    rows.render()
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
