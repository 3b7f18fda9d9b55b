//! `imagebaked bake SCHEDULE [--wait]`: the daemon bakes now and records the bakes as manual.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result, refused},
    terminal::print_text,
};
use crate::{
    adapters::{
        config::Config,
        control::{MOST_FOLLOWED, Reply, Request},
    },
    app::cli::BakeArgs,
    domain::ids::BakeId,
};

pub async fn run(context: &Context<'_>, args: &BakeArgs) -> Result {
    let config = context.locate_daemon()?;
    ask(context, &config, Request::Bake { schedule: args.schedule.clone() }, args.wait).await
}

/// Requests bakes, and waits for their end if requested.
pub async fn ask(context: &Context<'_>, config: &Config, request: Request, wait: bool) -> Result {
    let bakes = match context.ask(config, request).await? {
        Reply::Bakes { bakes } => bakes,
        other => return Err(refused(other)),
    };
    if wait {
        return follow(context, config, bakes).await;
    }
    if context.json {
        let bakes: Vec<_> = bakes.iter().map(|id| json!({ "id": id })).collect();
        return Ok(CommandOutput::done(format!("{}\n", json!({ "bakes": bakes }))));
    }
    let text =
        bakes.iter().map(|id| format!("Bake {id} is recorded; follow it with `imagebaked show {id}`.\n")).collect();
    Ok(CommandOutput::done(text))
}

/// Reports each change of state, until all bakes have ended and the images of successful ones are verified.
async fn follow(context: &Context<'_>, config: &Config, bakes: Vec<BakeId>) -> Result {
    let mut seen = 0;
    let mut last: Vec<Value> = Vec::new();
    // One request has a bounded number of bakes: the first ones that have not ended.
    let (mut open, mut ended) = (bakes.clone(), Vec::new());
    // A bake that waits for users alternates between two states; each line is reported once.
    let mut reported: HashSet<String> = HashSet::new();
    loop {
        let request = Request::Follow { bakes: open.iter().copied().take(MOST_FOLLOWED).collect(), seen };
        let (rows, changes) = match context.ask(config, request).await {
            Ok(Reply::Rows { rows, changes }) => (rows, changes),
            Ok(other) => return Err(unconfirmed(context, &bakes, &last, refused(other))),
            Err(failure) => return Err(unconfirmed(context, &bakes, &last, failure)),
        };
        seen = changes;
        if !context.json {
            for line in rows.iter().map(line_of) {
                if reported.insert(line.clone()) {
                    print_text(&format!("{line}\n"));
                }
            }
        }
        let (over, running): (Vec<Value>, Vec<Value>) = rows.into_iter().partition(is_over);
        if open.len() > MOST_FOLLOWED && !over.is_empty() {
            // Others take their places, and may have changed before.
            seen = 0;
        }
        open.retain(|bake| !over.iter().any(|row| row["id"] == bake.0));
        ended.extend(over);
        last = ended.iter().cloned().chain(running).collect();
        last.sort_by_key(|row| row["id"].as_i64());
        if open.is_empty() {
            let exit = if last.iter().all(is_good) { Exit::Done } else { Exit::Failed };
            let text = if context.json { format!("{}\n", json!({ "bakes": last })) } else { String::new() };
            return Ok(CommandOutput { text, exit });
        }
    }
}

/// The bakes are recorded and continue without a client; their result is unknown here.
fn unconfirmed(context: &Context<'_>, bakes: &[BakeId], last: &[Value], failure: Failure) -> Failure {
    if !matches!(failure.exit, Exit::Unreachable | Exit::Unconfirmed) {
        return failure;
    }
    if context.json {
        print_text(&format!("{}\n", json!({ "bakes": last })));
    }
    let shows: Vec<_> = bakes.iter().map(|id| format!("`imagebaked show {id}`")).collect();
    let message = format!(
        "{}; the requested bakes are recorded and continue while the daemon runs, see {}",
        failure.message,
        shows.join(", ")
    );
    Failure::new(Exit::Unconfirmed, message)
}

/// Whether its state is final, including the check of its image.
fn is_over(row: &Value) -> bool {
    !row["finished_at"].is_null() && row["verify"] != "due"
}

fn is_good(row: &Value) -> bool {
    row["state"] == "succeeded" && (row["verify"].is_null() || row["verify"] == "passed")
}

/// State of a bake in one line; with the image's id once there is a good one.
fn line_of(row: &Value) -> String {
    let (id, state) = (row["id"].as_i64().unwrap_or_default(), text(row, "state"));
    let reason = match text(row, "reason") {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    if state != "succeeded" {
        return format!("bake {id}: {state}{reason}");
    }
    let image = text(row, "image_id");
    match (text(row, "verify"), text(row, "veto")) {
        ("due", _) => format!("bake {id}: {state}{reason}; image {image} is being verified"),
        ("failed", veto) => format!("bake {id}: image {image} is vetoed: {veto}"),
        ("passed", _) => format!("bake {id}: {state}{reason}; image {image}, verified"),
        _ => format!("bake {id}: {state}{reason}; image {image}"),
    }
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bake_is_over_and_good_once_its_image_is() {
        let row = |state: &str, finished: bool, verify: Option<&str>| {
            json!({ "id": 7, "state": state, "finished_at": finished.then_some("2026-11-26T00:00:00Z"), "verify": verify,
                    "reason": "for a reason", "image_id": "imgc-1", "veto": (verify == Some("failed")).then_some("no boot") })
        };
        for (state, finished, verify, over, good, line) in [
            ("building", false, None, false, false, "bake 7: building: for a reason"),
            ("succeeded", true, None, true, true, "bake 7: succeeded: for a reason; image imgc-1"),
            (
                "succeeded",
                true,
                Some("due"),
                false,
                false,
                "bake 7: succeeded: for a reason; image imgc-1 is being verified",
            ),
            ("succeeded", true, Some("passed"), true, true, "bake 7: succeeded: for a reason; image imgc-1, verified"),
            ("succeeded", true, Some("failed"), true, false, "bake 7: image imgc-1 is vetoed: no boot"),
            ("failed", true, None, true, false, "bake 7: failed: for a reason"),
            ("skipped", true, None, true, false, "bake 7: skipped: for a reason"),
            ("cancelled", true, None, true, false, "bake 7: cancelled: for a reason"),
        ] {
            let row = row(state, finished, verify);
            assert_eq!((is_over(&row), is_good(&row), line_of(&row).as_str()), (over, good, line), "{row}");
        }
    }
}
