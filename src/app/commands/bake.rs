//! `imagebaked bake SCHEDULE… [--wait]`: the daemon bakes now and records the bakes as manual.

use std::{
    collections::HashSet,
    io::{BufRead as _, IsTerminal as _},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result, refused},
    output::short,
    table::wrapped,
    terminal::{print_error, print_question, print_text, progress_line},
};
use crate::{
    adapters::{
        config::Config,
        control::{BakeSelection, MOST_FOLLOWED, Reply, Request},
    },
    app::cli::BakeArgs,
    domain::{
        clock::{Clock, SystemClock},
        ids::BakeId,
        text::counted,
    },
};

/// Numbers of bakes that one sentence lists.
const MOST_LISTED: usize = 8;

pub async fn run(context: &Context<'_>, args: &BakeArgs) -> Result {
    let selection = BakeSelection {
        schedules: args.schedules.names(),
        instances: args.instance.iter().map(|id| id.as_str().into()).collect(),
        all: args.all,
    };
    if !args.all && selection.schedules.is_empty() && selection.instances.is_empty() {
        let message =
            "bake what? imagebaked bake SCHEDULE, --instance ID or --all; `imagebaked status` lists the schedules";
        return Err(Failure::new(Exit::Usage, message));
    }
    let config = context.locate_daemon().await?;
    if args.all && !args.yes {
        confirm(&config)?;
    }
    ask(context, &config, Request::Bake(selection), args.wait).await
}

/// Asks a person whether everything is to be baked.
fn confirm(config: &Config) -> Result<()> {
    let schedules = counted(config.schedules.len(), "schedule", "schedules");
    let images: usize = config.schedules.iter().map(|schedule| schedule.instances.as_slice().len()).sum();
    let images = counted(images, "image", "images");
    if !std::io::stdin().is_terminal() {
        let message = format!("--all makes {images} of {schedules}; add --yes to do it without a question");
        return Err(Failure::new(Exit::Usage, message));
    }
    print_question(&format!("Make {images} of {schedules} now? [y/N] "));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "nothing is baked"))
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
    // Why a bake does not begin is worth a question; without the answer the bakes are recorded all the same.
    let asked = Request::Follow { bakes: bakes.iter().copied().take(MOST_FOLLOWED).collect(), seen: 0 };
    let rows = match context.ask(config, asked).await {
        Ok(Reply::Rows { rows, .. }) => rows,
        _ => Vec::new(),
    };
    let mut text: String =
        bakes.iter().map(|id| format!("Bake {id} is recorded; follow it with `imagebaked show {id}`.\n")).collect();
    text.push_str(&not_begun(&rows));
    Ok(CommandOutput::done(text))
}

/// Why bakes cannot begin yet, each reason once, and that a pause does not keep them from it.
fn not_begun(rows: &[Value]) -> String {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    let mut pauses: Vec<String> = Vec::new();
    for row in rows {
        let (reason, pause) = (text(row, "reason"), text(row, "pause"));
        if row["state"] == "queued" && !reason.is_empty() {
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, ids)) => ids.push(row["id"].to_string()),
                None => reasons.push((reason, vec![row["id"].to_string()])),
            }
        }
        let paused =
            format!("{} is paused {pause}; a bake that is asked for is made all the same.\n", text(row, "schedule"));
        if !pause.is_empty() && !pauses.contains(&paused) {
            pauses.push(paused);
        }
    }
    let held = reasons.iter().map(|(reason, ids)| {
        let which = match ids.as_slice() {
            [id] => format!("Bake {id}"),
            [first, .., last] if ids.len() > MOST_LISTED => format!("{} bakes ({first} to {last})", ids.len()),
            many => format!("Bakes {}", many.join(", ")),
        };
        format!("{which} cannot begin yet: {reason}.\n")
    });
    held.chain(pauses).collect()
}

/// Reports each change of state, until all bakes have ended and the images of successful ones are verified.
async fn follow(context: &Context<'_>, config: &Config, bakes: Vec<BakeId>) -> Result {
    let mut seen = 0;
    let mut last: Vec<Value> = Vec::new();
    // One request has a bounded number of bakes: the first ones that have not ended.
    let (mut open, mut ended) = (bakes.clone(), Vec::new());
    // A bake that waits for users alternates between two states; each line is reported once.
    let mut reported: HashSet<String> = HashSet::new();
    let mut has_begun = false;
    loop {
        let request = Request::Follow { bakes: open.iter().copied().take(MOST_FOLLOWED).collect(), seen };
        let answer = with_progress(&last, context.ask(config, request)).await;
        progress_line("");
        let (rows, changes) = match answer {
            Ok(Reply::Rows { rows, changes }) => (rows, changes),
            Ok(other) => return Err(unconfirmed(context, &bakes, &last, refused(other))),
            Err(failure) => return Err(unconfirmed(context, &bakes, &last, failure)),
        };
        seen = changes;
        if !context.json {
            if !has_begun && !rows.iter().all(is_over) {
                print_error(&wrapped(&how_long(context, config, &rows).await, 2));
            }
            for line in rows.iter().map(line_of) {
                if reported.insert(line.clone()) {
                    print_text(&format!("{line}\n"));
                }
            }
        }
        has_begun = true;
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

/// Until when the bakes begin at the latest, how long they take, and how to cancel them.
async fn how_long(context: &Context<'_>, config: &Config, rows: &[Value]) -> String {
    let zones = context.zones_of_answer(config, rows.iter().map(|row| text(row, "schedule_id"))).await;
    let latest = rows.iter().filter_map(|row| Some((instant(row, "begins_until")?, text(row, "schedule_id"))));
    let latest = latest.max().map(|(at, schedule)| format!("; to begin by {}", zones.show(at, schedule)));
    let usual = rows.iter().filter_map(|row| row["usual_seconds"].as_u64()).max();
    let usual =
        usual.map_or_else(String::new, |seconds| format!(" It usually takes {}.", short(Duration::from_secs(seconds))));
    let ids: Vec<String> = rows.iter().map(|row| row["id"].to_string()).collect();
    let what = match ids.as_slice() {
        [one] => format!("bake {one}"),
        many => format!("{} bakes", many.len()),
    };
    let first = ids.first().map_or("BAKE", String::as_str);
    format!(
        "Waiting for {what}{}.{usual} Ctrl-C ends only the waiting; `imagebaked cancel {first}` cancels the bake.",
        latest.unwrap_or_default()
    )
}

/// Shows on a terminal how long the open bakes have run while the daemon is asked.
async fn with_progress<T>(rows: &[Value], asked: impl Future<Output = T>) -> T {
    let mut asked = std::pin::pin!(asked);
    loop {
        let now = SystemClock.now();
        progress_line(
            &rows.iter().find(|row| !is_over(row)).map_or_else(String::new, |row| progress_of(row, rows, now)),
        );
        tokio::select! {
            answer = &mut asked => return answer,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// `bake 7 building 4m 12s of about 28m [####------]`; with the number of further open bakes.
fn progress_of(row: &Value, rows: &[Value], now: DateTime<Utc>) -> String {
    let since = instant(row, "created_at").unwrap_or(now);
    let ran = (now - since).to_std().unwrap_or_default();
    let usual = row["usual_seconds"].as_u64().filter(|usual| *usual > 0);
    let bar = usual.map_or_else(String::new, |usual| {
        let tenths = usize::try_from(ran.as_secs().saturating_mul(10) / usual).unwrap_or(10).min(10);
        let (done, left) = ("#".repeat(tenths), "-".repeat(10 - tenths));
        format!(" of about {} [{done}{left}]", short(Duration::from_secs(usual)))
    });
    let others = match rows.iter().filter(|row| !is_over(row)).count() {
        0 | 1 => String::new(),
        open => format!(", and {} more", open - 1),
    };
    format!("bake {} {} {}{bar}{others}", row["id"], text(row, "state"), short(ran))
}

fn instant(row: &Value, field: &str) -> Option<DateTime<Utc>> {
    row[field].as_str()?.parse().ok()
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
    fn progress_is_measured_by_the_usual_duration() {
        let now = "2026-11-26T00:05:00Z".parse().unwrap();
        let row = |id: u64, usual: Option<u64>| {
            json!({ "id": id, "state": "building", "created_at": "2026-11-26T00:00:00Z", "finished_at": null,
                    "usual_seconds": usual })
        };
        let known = row(7, Some(1_000));
        assert_eq!(
            progress_of(&known, &[known.clone(), row(8, None)], now),
            "bake 7 building 5m of about 16m 40s [###-------], and 1 more"
        );
        assert_eq!(progress_of(&row(8, None), &[], now), "bake 8 building 5m");
        let late = row(9, Some(60));
        assert!(progress_of(&late, &[], now).ends_with("[##########]"), "no more than all of it");
    }

    #[test]
    fn a_bake_that_cannot_begin_says_why_and_until_when() {
        let row = |id: u64, state: &str, reason: &str, pause: Value| json!({ "id": id, "schedule": "golden", "state": state, "reason": reason, "pause": pause });
        let rejected = "credentials rejected, every schedule is suspended: no; next try 03:01, until 07:00 at most";
        let rows = [row(7, "queued", rejected, Value::Null), row(8, "queued", rejected, Value::Null)];
        assert_eq!(not_begun(&rows), format!("Bakes 7, 8 cannot begin yet: {rejected}.\n"));
        let paused = row(9, "preparing", "polls its instance", json!("by ann"));
        let said = not_begun(&[paused.clone(), paused]);
        assert_eq!(said, "golden is paused by ann; a bake that is asked for is made all the same.\n");
        assert_eq!(not_begun(&[row(9, "preparing", "polls its instance", Value::Null)]), "");
    }

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
