//! `imagebaked status`: how the daemon is. Without it, what the ledger knows, and exit code 4.

use std::{
    fmt::Write as _,
    io::{IsTerminal, stdout},
    time::Duration,
};

use super::{
    Context, Exit, Failure, Result, Said,
    output::{NONE, Rows, relative, schedules},
    refused, say,
};
use crate::{
    cli::StatusArgs,
    clock::{Clock, SystemClock},
    config::Config,
    control::{Reply, Request},
    status::{self, LastDay, OnDisk, Running, Status},
    store::{OwedStart, Reader},
};

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(2);
/// So many names stand in a line.
const LISTED: usize = 10;
/// Back to the first line, and away with what stands below.
const HOME: &str = "\u{1b}[H\u{1b}[J";
/// The whole screen away, once at the beginning.
const CLEAR: &str = "\u{1b}[2J";

pub async fn run(context: &Context<'_>, args: &StatusArgs) -> Result {
    if args.check {
        return Ok(plugin(context).await);
    }
    let config = context.whereabouts()?;
    if args.watch {
        return watch(context, &config).await;
    }
    match ask(context, &config).await {
        Ok(status) => {
            let exit = if status.health.ok { Exit::Done } else { Exit::Unhealthy };
            Ok(Said { text: shown(context, &status)?, exit })
        }
        Err(failure) if failure.exit == Exit::Unreachable => {
            if let Ok(reader) = Reader::open(&config.daemon.state_dir).await {
                let known = status::from_ledger(&reader, SystemClock.now()).await;
                let stopped = reader.owed_starts().await;
                reader.close().await;
                if let (Ok(bakes), Ok(stopped), false) = (known, stopped, context.json) {
                    say("The daemon is not reachable; this is what the ledger knows.\n\n");
                    say(&work(context, (&bakes.running, &bakes.waiting), bakes.queued, bakes.last_day));
                    for OwedStart { bake, schedule, instance, .. } in stopped {
                        say(&format!(
                            "Instance {instance} was stopped for bake {bake} of {schedule}; it is started again only once \
                             the daemon runs.\n"
                        ));
                    }
                }
            }
            Err(failure)
        }
        Err(failure) => Err(failure),
    }
}

async fn ask(context: &Context<'_>, config: &Config) -> Result<Status> {
    match context.ask(config, Request::Status).await? {
        Reply::Status(status) => Ok(*status),
        Reply::Failed { message } => Err(Failure::new(Exit::Unhealthy, message)),
        other => Err(refused(other)),
    }
}

fn shown(context: &Context<'_>, status: &Status) -> Result<String> {
    Ok(if context.json { format!("{}\n", serde_json::to_string(status)?) } else { text(context, status) })
}

/// Shows it until somebody or something ends this: the person, the daemon, or the reader at the other end.
async fn watch(context: &Context<'_>, config: &Config) -> Result {
    let in_place = stdout().is_terminal() && !context.json;
    if in_place {
        say(CLEAR);
    }
    let mut last = None;
    loop {
        let status = ask(context, config).await.map_err(|failure| match failure.exit {
            Exit::Unreachable if last.is_some() => {
                Failure::new(Exit::Unreachable, format!("the daemon has gone: {}", failure.message))
            }
            _ => failure,
        })?;
        let now = steady(&status);
        if in_place {
            say(&format!("{HOME}{}\n(every {} s; Ctrl-C ends)\n", shown(context, &status)?, EVERY.as_secs()));
        } else if last.as_ref() != Some(&now) {
            let gap = if last.is_some() && !context.json { "\n" } else { "" };
            if !super::say_to(&format!("{gap}{}", shown(context, &status)?)) {
                return Ok(Said::done(String::new()));
            }
        }
        last = Some(now);
        tokio::time::sleep(EVERY).await;
    }
}

/// What counts as a change: all but when things are looked at next.
fn steady(status: &Status) -> Status {
    let mut steady = status.clone();
    for bake in steady.running.iter_mut().chain(&mut steady.waiting) {
        bake.wake_at = None;
    }
    steady
}

/// What plugins of Nagios end with, by the numbers that our own exit codes happen to have.
const OK: (&str, Exit) = ("OK", Exit::Done);
const WARNING: (&str, Exit) = ("WARNING", Exit::Failed);
const CRITICAL: (&str, Exit) = ("CRITICAL", Exit::Usage);
const UNKNOWN: (&str, Exit) = ("UNKNOWN", Exit::NotFound);

async fn plugin(context: &Context<'_>) -> Said {
    let Ok(config) = context.whereabouts() else {
        return line(UNKNOWN, "the configuration cannot be read; see `imagebaked check`", "");
    };
    let status = match ask(context, &config).await {
        Ok(status) => status,
        Err(failure) => return line(CRITICAL, &failure.message, ""),
    };
    let LastDay { succeeded, failed, skipped } = status.last_day;
    let (running, queued, late) = (status.running.len(), status.queued, status.late.len());
    let numbers = format!(
        "running={running} queued={queued} late={late} succeeded={succeeded} failed={failed} skipped={skipped}"
    );
    let mut doubts = Vec::new();
    if late > 0 {
        doubts.push(format!("{late} late, the oldest of {}", status.late[0].schedule));
    }
    if failed > 0 {
        doubts.push(format!("{failed} failed in the last 24 hours"));
    }
    if status.daemon.config_on_disk == OnDisk::Edited {
        doubts.push("the configuration was edited and not reloaded".to_owned());
    }
    if !status.health.ok {
        line(CRITICAL, &status.health.reasons.join("; "), &numbers)
    } else if !doubts.is_empty() {
        line(WARNING, &doubts.join("; "), &numbers)
    } else {
        let next = status
            .next
            .first()
            .map_or_else(|| "no slot to come".to_owned(), |next| format!("next {} at {}", next.schedule, next.local));
        line(OK, &format!("{}, {next}", schedules(status.daemon.schedules)), &numbers)
    }
}

/// One line; what follows a bar is for graphs, so that none may stand in the words.
fn line((word, exit): (&str, Exit), words: &str, numbers: &str) -> Said {
    let words = words.replace('|', "/").replace('\n', " ");
    let numbers = if numbers.is_empty() { String::new() } else { format!(" | {numbers}") };
    Said { text: format!("{word} - {words}{numbers}\n"), exit }
}

fn text(context: &Context<'_>, status: &Status) -> String {
    let now = SystemClock.now();
    let mut text = String::new();
    if status.health.ok {
        text.push_str("All is well.\n");
    } else {
        text.push_str("Not well:\n");
        for reason in &status.health.reasons {
            let _ = writeln!(text, "  - {reason}");
        }
    }
    let daemon = &status.daemon;
    let since = daemon.started_at.parse().map(|at| relative(at, now)).unwrap_or_default();
    let _ = writeln!(
        text,
        "\nimagebaked {}, pid {}, started {since}; {}, configuration {}",
        daemon.version,
        daemon.pid,
        schedules(daemon.schedules),
        daemon.config_hash
    );
    let _ = writeln!(text, "  read from    {}", daemon.config_files.join(", "));
    match daemon.config_on_disk {
        OnDisk::InForce => {}
        OnDisk::Edited => text.push_str("               edited since, not reloaded: `imagebaked reload`\n"),
        OnDisk::Refused => text.push_str("               edited since, and refused: `imagebaked check`\n"),
    }
    let credentials = daemon.credentials.as_deref().unwrap_or("not needed yet");
    let expiry = daemon.credentials_expire_at.as_ref().map(|at| format!(", until {at}")).unwrap_or_default();
    let _ = writeln!(text, "  credentials  {credentials}{expiry}");
    text.push('\n');
    text.push_str(&work(context, (&status.running, &status.waiting), status.queued, status.last_day));
    if !status.late.is_empty() {
        text.push_str("\nLate\n");
        let mut rows = Rows::new(&["BAKE", "SLOT", "LATE", "SCHEDULE", "INSTANCE", "WAITS FOR"], context.color);
        for bake in &status.late {
            let since = bake.slot.parse().map(|at| relative(at, now)).unwrap_or_default();
            rows.row([&bake.id.to_string(), &bake.slot, &since, &bake.schedule, &bake.instance_id, &bake.reason]);
        }
        text.push_str(&rows.render());
    }
    if !status.paused_in_file.is_empty() {
        let (shown, rest) = status.paused_in_file.split_at(status.paused_in_file.len().min(LISTED));
        let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        let _ = writeln!(text, "\nPaused in the file: {}{more}", shown.join(", "));
    }
    if !status.paused.is_empty() {
        text.push_str("\nPaused\n");
        let mut rows = Rows::new(&["SCHEDULE", "SINCE", "UNTIL", "BY", "WHY"], context.color);
        for pause in &status.paused {
            let until = pause.until.as_deref().unwrap_or("resumed");
            rows.row([&pause.schedule, &pause.since, until, &pause.who, &pause.reason]);
        }
        text.push_str(&rows.render());
    }
    if !status.next.is_empty() {
        text.push_str("\nNext slots\n");
        let mut rows = Rows::new(&["SLOT", "LOCAL", "WHEN", "SCHEDULE", "INSTANCE"], context.color).sparing(&["SLOT"]);
        for next in &status.next {
            let when = next.slot.parse().map(|at| relative(at, now)).unwrap_or_default();
            rows.row([&next.slot, &next.local, &when, &next.schedule, &next.instance_id]);
        }
        text.push_str(&rows.render());
    }
    text
}

fn work(context: &Context<'_>, (running, waiting): (&[Running], &[Running]), queued: u64, last_day: LastDay) -> String {
    let mut text = format!(
        "Last 24 hours: {} succeeded, {} failed, {} skipped. Waiting for their turn: {queued}.\n",
        last_day.succeeded, last_day.failed, last_day.skipped
    );
    if running.is_empty() {
        text.push_str("No bake is under way.\n");
    } else {
        text.push_str(&bakes(context, "Under way", running));
    }
    if !waiting.is_empty() {
        text.push_str(&bakes(context, "Waiting", waiting));
    }
    text
}

fn bakes(context: &Context<'_>, heading: &str, bakes: &[Running]) -> String {
    let mut text = format!("\n{heading}\n");
    let mut rows = Rows::new(&["BAKE", "SLOT", "SCHEDULE", "INSTANCE", "STATE", "IMAGE", "WHY"], context.color)
        .sparing(&["INSTANCE", "IMAGE"]);
    for bake in bakes {
        let image = bake.image_id.as_deref().or(bake.image_name.as_deref()).unwrap_or(NONE);
        let why = bake.reason.as_deref().unwrap_or_default();
        rows.row([&bake.id.to_string(), &bake.slot, &bake.schedule, &bake.instance_id, &bake.state, image, why]);
    }
    text.push_str(&rows.render());
    text
}
