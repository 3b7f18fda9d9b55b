//! `imagebaked prune [--dry-run]`: every image that stays and every one that goes, each with the rule; by the daemon.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    Context, Exit, Result, Said,
    output::{Rows, utc},
    refused,
};
use crate::{
    cli::PruneArgs,
    control::{Reply, Request},
    line::{
        judge::Action,
        report::{Judged, Report},
    },
};

pub async fn run(context: &Context<'_>, args: &PruneArgs) -> Result {
    let config = context.whereabouts()?;
    let request = Request::Prune { dry_run: args.dry_run, again: args.again };
    let report = match context.ask(&config, request).await? {
        Reply::Pruned { report } => report.unwrap_or_default(),
        other => return Err(refused(other)),
    };
    let exit = if report.problem.is_some() { Exit::Failed } else { Exit::Done };
    let text = if context.json {
        let report = json!({ "dry_run": args.dry_run, "problem": report.problem, "images": report.images });
        format!("{report}\n")
    } else {
        text(context, &report, args.dry_run)
    };
    Ok(Said { text, exit })
}

fn text(context: &Context<'_>, report: &Report, dry_run: bool) -> String {
    if report.images.is_empty() {
        return "No image belongs to a line with rules (`keep`); nothing is ever deleted.\n".to_owned();
    }
    let mut text = table(context, &report.images);
    text.push('\n');
    text.push_str(&summary(&report.images, dry_run));
    if let Some(problem) = &report.problem {
        text.push_str(&format!("Nothing is deleted now, for not everything could be looked at: {problem}\n"));
    }
    text
}

/// Each image, what follows, and why.
pub fn table<'a>(context: &Context<'_>, images: impl IntoIterator<Item = &'a Judged>) -> String {
    let mut rows =
        Rows::new(&["LINE", "V", "IMAGE", "NAME", "SLOT", "DOES", "WHY"], context.color).sparing(&["NAME", "SLOT"]);
    for judged in images {
        let does = match &judged.action {
            Action::Mark { delete_after } | Action::Wait { delete_after } => {
                format!("{}, deleted after {}", judged.action.as_str(), utc(*delete_after))
            }
            action => action.as_str().to_owned(),
        };
        rows.row([
            judged.line.to_string(),
            judged.version.to_string(),
            judged.image_id.to_string(),
            judged.image_name.clone(),
            utc(judged.slot),
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
    let would = if dry_run { "Would be: " } else { "" };
    let more = if dry_run { " Nothing was done." } else { " See `imagebaked images` and `imagebaked audit`." };
    format!(
        "{would}{} kept, {} newly marked, {} marked before, {} unmarked, {} deleted.{more}\n",
        of("keep"),
        of("mark"),
        of("marked"),
        of("unmark"),
        of("delete") + of("deleted"),
    )
}
