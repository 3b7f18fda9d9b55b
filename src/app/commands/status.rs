//! `imagebaked status`: state of the daemon. Without a daemon, data of the history and exit code 4.

use std::{
    fmt::Write as _,
    io::{IsTerminal, stdout},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result, refused},
    output::{NONE, Rows, bytes, relative, schedules, short},
    terminal::{control, print_text, try_print_text},
};
use crate::{
    adapters::{
        config::Config,
        control::{Reply, Request},
        store::{PendingRestart, Reader},
        web,
    },
    app::cli::StatusArgs,
    domain::{
        clock::{Clock, SystemClock},
        health::{Acknowledgement, Verdict},
        status::{Backups, FailingBackups, GoodBackup, HousekeepingJob, LastDay, OnDisk, Running, Status, Zones},
    },
};

/// Interval of `--watch`.
const EVERY: Duration = Duration::from_secs(2);
/// Maximum number of names or problems in a line.
const LISTED: usize = 10;
/// Maximum number of listed problems.
const MAX_LISTED: usize = 30;
/// Cursor to the first line, and clear what follows.
const HOME: &str = "\u{1b}[H\u{1b}[J";
/// Clear the screen, once at the start.
const CLEAR: &str = "\u{1b}[2J";

pub async fn run(context: &Context<'_>, args: &StatusArgs) -> Result {
    if args.check {
        return Ok(plugin(context).await);
    }
    let config = context.locate_daemon()?;
    if args.watch {
        return watch(context, &config).await;
    }
    match ask(context, &config).await {
        Ok(status) => {
            let exit = if status.health.verdict == Verdict::Ok { Exit::Done } else { Exit::Unhealthy };
            Ok(CommandOutput { text: shown(context, &status)?, exit })
        }
        Err(failure) if failure.exit == Exit::Unreachable => {
            if let Ok(reader) = Reader::open(&config.daemon.state_dir).await {
                let known = web::from_history(&reader, SystemClock.now()).await;
                let stopped = reader.pending_restarts().await;
                reader.close().await;
                if let (Ok(bakes), Ok(stopped), false) = (known, stopped, context.json) {
                    print_text("The daemon is not reachable; the history shows this.\n\n");
                    print_text(&work(context, (&bakes.running, &bakes.waiting), bakes.queued, bakes.last_day));
                    for PendingRestart { bake, schedule, instance, .. } in stopped {
                        print_text(&format!(
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

/// Shows the status until the user, the daemon or the output ends it.
async fn watch(context: &Context<'_>, config: &Config) -> Result {
    let in_place = stdout().is_terminal() && !context.json;
    if in_place {
        control(CLEAR);
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
            control(HOME);
            print_text(&format!("{}\n(every {} s; Ctrl-C ends)\n", shown(context, &status)?, EVERY.as_secs()));
        } else if last.as_ref() != Some(&now) {
            let gap = if last.is_some() && !context.json { "\n" } else { "" };
            if !try_print_text(&format!("{gap}{}", shown(context, &status)?)) {
                return Ok(CommandOutput::done(String::new()));
            }
        }
        last = Some(now);
        tokio::time::sleep(EVERY).await;
    }
}

/// The compared part: all but the instants of the next polls.
fn steady(status: &Status) -> Status {
    let mut steady = status.clone();
    for bake in steady.running.iter_mut().chain(&mut steady.waiting) {
        bake.wake_at = None;
    }
    for task in &mut steady.image_tasks {
        (task.last_run, task.next_run) = (None, None);
    }
    for job in &mut steady.housekeeping {
        (job.last_run, job.next_run, job.last_run_seconds, job.running_since) = (None, None, None, None);
    }
    if let Some(last_good) = steady.backup.as_mut().and_then(|backup| backup.last_good.as_mut()) {
        last_good.age_seconds = 0;
    }
    steady
}

/// Exit codes of Nagios plug-ins, as variants of our own exit codes with the same numbers.
const UNKNOWN: (&str, Exit) = ("UNKNOWN", Exit::NotFound);

/// Word and number of a verdict for plug-ins.
fn plugin_state(verdict: Verdict) -> (&'static str, Exit) {
    match verdict {
        Verdict::Ok => ("OK", Exit::Done),
        Verdict::Warning => ("WARNING", Exit::Failed),
        Verdict::Problem => ("CRITICAL", Exit::Usage),
    }
}

/// Shows the verdict of `status`, without its own checks.
async fn plugin(context: &Context<'_>) -> CommandOutput {
    let Ok(config) = context.locate_daemon() else {
        return line(UNKNOWN, "the configuration cannot be read; see `imagebaked check`", "");
    };
    let status = match ask(context, &config).await {
        Ok(status) => status,
        // The daemon responds, but cannot read its history.
        Err(Failure { exit: Exit::Unhealthy, message }) => return line(plugin_state(Verdict::Problem), &message, ""),
        Err(failure) => return line(UNKNOWN, &failure.message, ""),
    };
    plugin_line(&status)
}

fn plugin_line(status: &Status) -> CommandOutput {
    let LastDay { succeeded, failed, skipped, cancelled } = status.last_day;
    let (running, queued, late) = (status.running.len(), status.queued, status.late.len());
    let numbers = format!(
        "running={running} queued={queued} late={late} succeeded={succeeded} failed={failed} skipped={skipped} \
         cancelled={cancelled}"
    );
    let state = plugin_state(status.health.verdict);
    if status.health.verdict == Verdict::Ok {
        let next = status
            .next
            .first()
            .map_or_else(|| "no slot to come".to_owned(), |next| format!("next {} at {}", next.schedule, next.local));
        return line(state, &format!("{}, {next}", schedules(status.daemon.schedules)), &numbers);
    }
    let (shown, more) = first(status.health.problems(), LISTED);
    let words: Vec<_> = shown.iter().map(|problem| problem.message.as_str()).collect();
    line(state, &format!("{}: {}{more}", status.health.counts(), words.join("; ")), &numbers)
}

/// The first of them, and a note about the rest.
fn first<T>(all: impl ExactSizeIterator<Item = T>, most: usize) -> (Vec<T>, String) {
    let rest = all.len().saturating_sub(most);
    (all.take(most).collect(), if rest == 0 { String::new() } else { format!("; and {rest} more") })
}

/// One line; the text after a bar is for graphs, so the message must have none.
fn line((word, exit): (&str, Exit), words: &str, numbers: &str) -> CommandOutput {
    let words = words.replace('|', "/").replace('\n', " ");
    let numbers = if numbers.is_empty() { String::new() } else { format!(" | {numbers}") };
    CommandOutput { text: format!("{word} - {words}{numbers}\n"), exit }
}

fn text(context: &Context<'_>, status: &Status) -> String {
    let now = SystemClock.now();
    let mut text = String::new();
    text.push_str(&headline(status, now));
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
    if daemon.mode.is_observe() {
        text.push_str("  mode         observe: no call changes the cloud, slots are recorded and not baked\n");
    }
    let credentials = daemon.credentials.as_deref().unwrap_or("not needed yet");
    let expiry = daemon.credentials_expire_at.as_ref().map(|at| format!(", until {at}")).unwrap_or_default();
    let _ = writeln!(text, "  credentials  {credentials}{expiry}");
    if let Some(key_id) = &daemon.credentials_key_id {
        let identity = daemon.credentials_identity.as_ref().map(|arn| format!(", {arn}")).unwrap_or_default();
        let _ = writeln!(text, "               key {key_id}{identity}");
    }
    if let Some(Zones { release, source }) = &daemon.zones {
        let _ = writeln!(text, "  time zones   release {release} ({source})");
    }
    if let Some(backups) = &status.backup {
        text.push_str(&last_backup(backups, now));
    }
    text.push('\n');
    text.push_str(&work(context, (&status.running, &status.waiting_in_time()), status.queued, status.last_day));
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
        let mut rows = Rows::new(&["SCHEDULE", "SINCE", "UNTIL", "BY", "REASON"], context.color);
        for pause in &status.paused {
            let until = pause.until.as_deref().unwrap_or("resumed");
            rows.row([&pause.schedule, &pause.since, until, &pause.who, &pause.reason]);
        }
        text.push_str(&rows.render());
    }
    if !status.next.is_empty() {
        text.push_str("\nNext slots\n");
        let mut rows = Rows::new(&["SLOT", "WHEN", "SCHEDULE", "INSTANCE"], context.color);
        for next in &status.next {
            let when = next.slot.parse().map(|at| relative(at, now)).unwrap_or_default();
            rows.row([&next.local, &when, &next.schedule, &next.instance_id]);
        }
        text.push_str(&rows.render());
    }
    if !status.image_tasks.is_empty() {
        text.push_str("\nImage tasks\n");
        let mut rows = Rows::new(&["TASK", "LAST RUN", "NEXT RUN", "LAST ERROR"], context.color);
        let when = |at: Option<&String>| at.and_then(|at| at.parse().ok()).map(|at| relative(at, now));
        for task in &status.image_tasks {
            let last = when(task.last_run.as_ref()).unwrap_or_else(|| NONE.to_owned());
            let next = task.next_run.as_deref().unwrap_or("after a change");
            let error = task.last_error.as_ref();
            let error = error.map(|error| format!("{}: {}", error.at, error.message)).unwrap_or_default();
            rows.row([&task.name, &last, next, &error]);
        }
        text.push_str(&rows.render());
    }
    text.push_str(&housekeeping(context, &status.housekeeping, now));
    text
}

fn last_backup(backups: &Backups, now: DateTime<Utc>) -> String {
    let when = |at: &str| at.parse().map(|at| relative(at, now)).unwrap_or_default();
    let last = match &backups.last_good {
        Some(GoodBackup { file, at, bytes: size, .. }) => format!("{}, {}: {file}", when(at), bytes(*size)),
        None => format!("none in {} yet", backups.dir),
    };
    let mut text = format!("  last backup  {last}\n");
    if let Some(FailingBackups { since, .. }) = &backups.failing {
        let _ = writeln!(text, "               failing since {since}");
    }
    text
}

fn housekeeping(context: &Context<'_>, jobs: &[HousekeepingJob], now: DateTime<Utc>) -> String {
    if jobs.is_empty() {
        return String::new();
    }
    let mut rows = Rows::new(&["JOB", "LAST RUN", "DURATION", "NEXT RUN", "ERROR"], context.color);
    for job in jobs {
        let when = |at: &Option<String>| at.as_ref()?.parse().ok().map(|at| relative(at, now));
        let last = match &job.running_since {
            Some(_) => format!("running, began {}", when(&job.running_since).unwrap_or_default()),
            None => when(&job.last_run).unwrap_or_else(|| NONE.to_owned()),
        };
        let took = job.last_run_seconds.and_then(|took| Duration::try_from_secs_f64(took).ok()).map(short);
        let next = when(&job.next_run).unwrap_or_else(|| NONE.to_owned());
        let error = job.standing_error().map(|error| format!("{}: {}", error.at, error.message));
        rows.row([&job.name, &last, &took.unwrap_or_else(|| NONE.to_owned()), &next, &error.unwrap_or_default()]);
    }
    format!("\nHousekeeping\n{}", rows.render())
}

/// The verdict with the first problem, then each problem with its command.
fn headline(status: &Status, now: DateTime<Utc>) -> String {
    let mut text = status.health.headline();
    if status.health.verdict == Verdict::Ok {
        text.push_str(&match status.no_image_yet {
            0 => ".\n".to_owned(),
            1 => "; 1 line has no image yet.\n".to_owned(),
            lines => format!("; {lines} lines have no image yet.\n"),
        });
        text.push_str(&acknowledged(status, now));
        return text;
    }
    text.push('\n');
    let only_one = status.health.problems().len() == 1;
    let (shown, more) = first(status.health.problems(), MAX_LISTED);
    for problem in shown {
        let since = problem.since.parse().map(|since: DateTime<Utc>| relative(since, now)).unwrap_or_default();
        if !only_one {
            let _ = writeln!(text, "\n  {}: {}", problem.severity.to_string().to_uppercase(), problem.message);
        }
        let command = problem.command.as_deref().map(|command| format!("{command}    ")).unwrap_or_default();
        let _ = writeln!(text, "    {command}({} {}, began {since})", problem.code.as_str(), problem.subject);
    }
    if !more.is_empty() {
        let _ = writeln!(text, "\n  {}: imagebaked status --json", more.trim_start_matches("; "));
    }
    text.push_str(&acknowledged(status, now));
    text
}

/// The problems that a person has acknowledged.
fn acknowledged(status: &Status, now: DateTime<Utc>) -> String {
    let mut text = String::new();
    let when = |at: &str| at.parse().map(|at: DateTime<Utc>| relative(at, now)).unwrap_or_default();
    for (problem, Acknowledgement { by, at, until, reason }) in status.health.acknowledged().take(MAX_LISTED) {
        let until = until.as_deref().map(|until| format!(", until {until}")).unwrap_or_default();
        let _ = writeln!(text, "\n  acknowledged: {}", problem.message);
        let _ = writeln!(text, "    by {by} {}{until}: {reason}", when(at));
        let (code, subject) = (problem.code.as_str(), &problem.subject);
        let _ = writeln!(text, "    imagebaked unack {code} {subject}    (began {})", when(&problem.since));
    }
    text
}

fn work(context: &Context<'_>, (running, waiting): (&[Running], &[Running]), queued: u64, last_day: LastDay) -> String {
    let mut text = format!(
        "Last 24 hours: {} succeeded, {} failed, {} skipped, {} cancelled. Queued: {queued}.\n",
        last_day.succeeded, last_day.failed, last_day.skipped, last_day.cancelled
    );
    if running.is_empty() {
        text.push_str("No bake is running.\n");
    } else {
        text.push_str(&bakes(context, "Running", running));
    }
    if !waiting.is_empty() {
        text.push_str(&bakes(context, "Waiting", waiting));
    }
    text
}

fn bakes(context: &Context<'_>, heading: &str, bakes: &[Running]) -> String {
    let mut text = format!("\n{heading}\n");
    let mut rows = Rows::new(&["BAKE", "SLOT", "SCHEDULE", "INSTANCE", "STATE", "IMAGE", "REASON"], context.color)
        .sparing(&["INSTANCE", "IMAGE"]);
    for bake in bakes {
        let image = bake.image_id.as_deref().or(bake.image_name.as_deref()).unwrap_or(NONE);
        let why = bake.reason.as_deref().unwrap_or_default();
        rows.row([&bake.id.to_string(), &bake.slot, &bake.schedule, &bake.instance_id, &bake.state, image, why]);
    }
    text.push_str(&rows.render());
    text
}
