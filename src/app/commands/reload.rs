//! `imagebaked reload`: the daemon reloads its configuration, completely or not at all, and reports the changes.

use serde_json::json;

use super::{
    context::Context,
    diff,
    outcome::{CommandOutput, Exit, Failure, Result, refused},
    output::schedules as counted,
    table::{LONGEST_ANSWER, error_width, screen, terminal_width, wrapped_lines},
};
use crate::{
    adapters::control::{Reply, Request},
    domain::api::credential_review::CredentialReview,
};

/// Maximum number of listed entries.
const MAX_LISTED: usize = 12;
/// Lines of a terminal for warnings.
const LINES_OF_WARNINGS: usize = 9;
/// Where the rest of a change is.
const MORE: &str = "All changes: `imagebaked audit`; all images to be deleted: `imagebaked prune --dry-run`; all slots: `imagebaked plan`.\n";

pub async fn run(context: &Context<'_>) -> Result {
    let config = context.locate_daemon_quietly().await?;
    match context.ask(&config, Request::Reload).await? {
        Reply::Reloaded { config_hash, schedules, warnings, diff, images, credentials } => {
            if context.json {
                let report = json!({
                    "config_hash": config_hash, "schedules": schedules, "warnings": warnings, "diff": diff,
                    "image_counts": images.counts, "images_going": images.going, "images_staying": images.staying,
                    "orphans": images.orphans, "credentials": credentials,
                });
                return Ok(CommandOutput::done(format!("{report}\n")));
            }
            let news = credentials.as_ref().and_then(|review| review.sentence());
            let force = format!("In force: configuration {config_hash}, {}.\n", counted(schedules));
            let warnings = few_warnings(&warnings, screen().zip(terminal_width()));
            let head = format!("{warnings}{}", news.as_ref().map(|news| format!("{news}\n")).unwrap_or_default());
            if diff.is_empty() {
                let changed = nothing_changed(news.is_some(), credentials.as_deref());
                return Ok(CommandOutput::done(format!("{head}{changed}{force}")));
            }
            let zones = context.zones(&config);
            let whole = |shown: usize| {
                let images = diff::images(&zones, context.color, &images, shown);
                format!("{head}{}{images}\n{force}", diff::render(context, &diff, shown))
            };
            Ok(CommandOutput::done(diff::fitted(screen(), MAX_LISTED, whole, MORE)))
        }
        Reply::BadConfig { problems } => {
            let lines = error_width().map(|width| (width, LONGEST_ANSWER));
            Err(Failure::new(Exit::Usage, not_in_force(&problems, lines)))
        }
        other => Err(refused(other)),
    }
}

/// Of an unchanged configuration; credentials that cannot change before a restart may be what was edited.
fn nothing_changed(has_news: bool, credentials: Option<&CredentialReview>) -> String {
    if has_news {
        return "The configuration did not change.\n".to_owned();
    }
    let fixed = credentials.and_then(|review| review.only_at_restart.as_deref());
    format!("Nothing changed.\n{}", fixed.map(|why| format!("{why}.\n")).unwrap_or_default())
}

/// The warnings that a terminal of so many lines and columns has room for above the change, and how many there are.
fn few_warnings(warnings: &str, terminal: Option<(usize, usize)>) -> String {
    let Some((_, width)) = terminal.filter(|_| !warnings.is_empty()) else { return warnings.to_owned() };
    let height = |text: &str| wrapped_lines(text, Some(width)).lines().count();
    if height(warnings) <= LINES_OF_WARNINGS {
        return warnings.to_owned();
    }
    let blocks: Vec<&str> = warnings.trim_end().split("\n\n").collect();
    let sum = blocks.last().copied().unwrap_or_default();
    match blocks.first().filter(|first| blocks.len() > 1 && height(first) + 2 <= LINES_OF_WARNINGS) {
        Some(first) => format!("{first}\n{sum}: `imagebaked check` shows them.\n\n"),
        None => format!("warning: {sum}: `imagebaked check` shows them.\n\n"),
    }
}

/// What a refused configuration means first, then its problems: those that a terminal of this width has room for.
fn not_in_force(problems: &str, terminal: Option<(usize, usize)>) -> String {
    let head = "error: the reload was refused; the former configuration stays in force";
    let blocks: Vec<&str> = problems.trim_end().split("\n\n").collect();
    let mut text = head.to_owned();
    // The line on what is left out and the sum at the end, each with a blank line before it.
    let room = terminal.map_or(usize::MAX, |(_, lines)| lines.saturating_sub(5));
    let height = |text: &str| terminal.map_or(0, |(width, _)| wrapped_lines(text, Some(width)).lines().count());
    let (listed, sum) = match blocks.split_last() {
        Some((sum, listed)) => (listed, *sum),
        None => (&[][..], ""),
    };
    let mut used = 1;
    let fits = |(n, block): &(usize, &&str)| {
        used += height(block) + 1;
        *n == 0 || used <= room
    };
    let shown: Vec<&str> = listed.iter().enumerate().take_while(fits).map(|(_, block)| *block).collect();
    text.extend(shown.iter().map(|block| format!("\n\n{block}")));
    if shown.len() < listed.len() {
        text.push_str(&format!("\n\n… and {} more: `imagebaked check`", listed.len() - shown.len()));
    }
    format!("{text}\n\n{sum}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_warnings_leave_room_for_the_change() {
        let one = "warning[unknown-region]: unknown region\n --> a.toml:3:1\n  |\n3 | regions = 1\n  | ^^^^\n\n";
        let many = format!("{}40 warnings in 1 file\n\n", one.repeat(10));
        assert_eq!(few_warnings(&many, None), many);
        let few = few_warnings(&many, Some((23, 80)));
        assert!(
            few.lines().count() <= LINES_OF_WARNINGS && few.contains("40 warnings in 1 file: `imagebaked check`"),
            "{few}"
        );
        let only = format!("{one}1 warning in 1 file\n\n");
        assert_eq!(few_warnings(&only, Some((23, 80))), only);
    }

    #[test]
    fn a_refused_reload_says_so_first_and_fits_on_a_terminal() {
        let one = "error[unknown-key]: `crom` is no key\n --> a.toml:3:1\n  |\n3 | crom = 1\n  | ^^^^\n  |\n  = help: `cron`\n\n";
        let problems = format!("{}9 problems in 1 file\n", one.repeat(9));
        let whole = not_in_force(&problems, None);
        assert!(whole.starts_with("error: the reload was refused; the former configuration stays in force\n"));
        assert_eq!(whole.matches("unknown-key").count(), 9);
        let short = not_in_force(&problems, Some((80, 25)));
        assert!(short.lines().count() <= 25, "{short}");
        assert!(
            short.contains("… and 7 more: `imagebaked check`") && short.contains("9 problems in 1 file"),
            "{short}"
        );
        let long = format!("{}{one}1 problem", "error: a long one\n".repeat(40));
        assert_eq!(not_in_force(&long, Some((80, 25))).matches("a long one").count(), 40, "one is always shown");
    }
}
