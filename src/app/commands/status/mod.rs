//! `imagebaked status`: state of the daemon. Without a daemon, data of the history and exit code 4.

mod details;
mod schedules;

use std::{
    fmt::Write as _,
    io::{IsTerminal, stdout},
    time::Duration,
};

use chrono::{DateTime, Utc};
use unicode_width::UnicodeWidthStr as _;

use super::{
    context::{Context, no_schedule},
    outcome::{CommandOutput, Exit, Failure, Result, refused},
    output::{NONE, Rows, Zones, relative, schedules as counted},
    table::{screen, terminal_width, wrapped, wrapped_lines},
    terminal::{control, print_text, try_print_text},
};
use crate::{
    adapters::{
        config::Config,
        control::{Reply, Request},
        store::{PendingRestart, Reader},
    },
    app::{cli::StatusArgs, daemon::schedule_rows},
    domain::{
        clock::{Clock, SystemClock},
        health::{Acknowledgement, Health, Verdict},
        schedule_rows::open::Circumstances,
        status::{LastDay, Late, Paused, Running, ScheduleRow, Status},
    },
};

/// Interval of `--watch`.
const EVERY: Duration = Duration::from_secs(2);
/// Maximum number of names or problems in a line.
const LISTED: usize = 10;
/// Maximum number of running and of waiting bakes on a terminal.
const FEW: usize = 2;
/// So many of more are named.
const NAMED: usize = 3;
/// The heading of bakes at work.
const RUNNING: &str = "Running";
/// Maximum length of what one of them waits for there.
const SHORT: usize = 150;
/// Maximum number of listed problems.
const MAX_LISTED: usize = 30;
/// Cursor to the first line, and clear what follows.
const HOME: &str = "\u{1b}[H\u{1b}[J";
/// Clear the screen, once at the start.
const CLEAR: &str = "\u{1b}[2J";

pub async fn run(context: &Context<'_>, args: &StatusArgs) -> Result {
    if args.check && context.json {
        let message = "--check is one line for monitoring, and has no JSON: imagebaked status --json";
        return Err(Failure::new(Exit::Usage, message));
    }
    if args.check {
        return Ok(plugin(context).await);
    }
    let config = context.locate_daemon().await?;
    if args.watch {
        return watch(context, &config, args.all).await;
    }
    match ask(context, &config, args.all || args.schedule.name().is_some()).await {
        Ok(mut status) => {
            if let Some(wanted) = args.schedule.name() {
                only(&config, &mut status, wanted)?;
            }
            let exit = if status.health.verdict == Verdict::Ok { Exit::Done } else { Exit::Unhealthy };
            Ok(CommandOutput { text: shown(context, &config, &status, args.all)?, exit })
        }
        Err(failure) if failure.exit == Exit::Unreachable => {
            match of_history(context, &config, args).await {
                Ok(text) if !context.json => print_text(&wrapped_lines(&text, terminal_width())),
                Err(unknown) if unknown.exit == Exit::NotFound => return Err(unknown),
                _ => {}
            }
            Err(failure)
        }
        Err(failure) => Err(failure),
    }
}

/// Leaves only what is about one schedule; the verdict stays that of all.
fn only(config: &Config, status: &mut Status, wanted: &str) -> Result<()> {
    let is_wanted = |row: &ScheduleRow| row.schedule == wanted || row.id == wanted;
    let Some(name) = status.schedules.iter().find(|row| is_wanted(row)).map(|row| row.schedule.clone()) else {
        let known = status.schedules.iter().flat_map(|row| [row.schedule.as_str(), row.id.as_str()]);
        return Err(Failure::new(Exit::NotFound, no_schedule(config, wanted, known)));
    };
    status.schedules.retain(is_wanted);
    status.running.retain(|bake| bake.schedule == name);
    status.waiting.retain(|bake| bake.schedule == name);
    status.late.retain(|bake| bake.schedule == name);
    status.paused.clear();
    status.paused_in_file.clear();
    status.daemon.schedules = 1;
    Ok(())
}

/// What the history shows without a daemon.
async fn of_history(context: &Context<'_>, config: &Config, args: &StatusArgs) -> Result<String> {
    let only = args.schedule.name();
    let now = SystemClock.now();
    let reader = Reader::open(&config.daemon.state_dir).await?;
    let bakes = reader.work(now).await?;
    let stopped = reader.pending_restarts().await?;
    let health = Health::default();
    let paused: Vec<Paused> =
        reader.pauses().await?.values().filter(|pause| pause.is_in_force(now)).map(Paused::from).collect();
    let about = Circumstances {
        health: &health,
        running: &bakes.running,
        waiting: &bakes.waiting,
        late: &[],
        paused: &paused,
        next: &[],
    };
    let (mut rows, _) = schedule_rows(&reader, &config.schedules, about, args.all || only.is_some(), now).await?;
    reader.close().await;
    if let Some(wanted) = only {
        let is_wanted = |row: &ScheduleRow| row.schedule == wanted || row.id == wanted;
        if !rows.iter().any(is_wanted) {
            return Err(Failure::new(Exit::NotFound, no_schedule(config, wanted, config.schedule_words())));
        }
        rows.retain(is_wanted);
    }
    let name = rows.first().map(|row| row.schedule.clone()).filter(|_| only.is_some());
    let is_meant = |bake: &&Running| name.as_ref().is_none_or(|name| bake.schedule == *name);
    let of_one = |bakes: &[Running]| bakes.iter().filter(is_meant).cloned().collect::<Vec<_>>();
    let (running, waiting) = (of_one(&bakes.running), of_one(&bakes.waiting));
    let mut text =
        "UNKNOWN: the daemon does not answer, and nothing is baked without it; the history shows this.\n    \
                    systemctl status imagebaked\n\n"
            .to_owned();
    text.push_str(&last_day(bakes.last_day, bakes.queued));
    let work = work(context, config, (&running, &waiting), args.all);
    if !rows.is_empty() {
        // The error comes after it.
        let around = text.lines().count() + work.lines().count() + stopped.len() + 4;
        let most = if args.all { None } else { screen().map(|lines| lines.saturating_sub(around)) };
        let (table, shown) = schedules::table(context, &rows, now, most);
        text.push_str(&format!("\n{table}"));
        let known = if only.is_some() { shown } else { config.schedules.len() };
        if shown < known {
            text.push_str(&format!("… and {} more: imagebaked status --all\n", known - shown));
        }
    }
    text.push_str(&work);
    for PendingRestart { bake, schedule, instance, state } in stopped {
        let is_stopped = state.work().is_some_and(|work| work.restart_pending);
        let what = state.work().map_or("was stopped", |work| work.what_is_pending()[0]);
        let then = if is_stopped { "is started again" } else { "leaves it" };
        text.push_str(&format!(
            "Instance {instance} {what} for bake {bake} of {schedule}; it {then} only once the daemon runs.\n"
        ));
    }
    Ok(text)
}

async fn ask(context: &Context<'_>, config: &Config, all: bool) -> Result<Status> {
    match context.ask(config, Request::Status { all }).await? {
        Reply::Status(status) => Ok(*status),
        Reply::Failed { message } => Err(Failure::new(Exit::Unhealthy, message)),
        other => Err(refused(other)),
    }
}

fn shown(context: &Context<'_>, config: &Config, status: &Status, all: bool) -> Result<String> {
    Ok(if context.json { format!("{}\n", serde_json::to_string(status)?) } else { text(context, config, status, all) })
}

/// Shows the status until the user, the daemon or the output ends it.
async fn watch(context: &Context<'_>, config: &Config, all: bool) -> Result {
    let in_place = stdout().is_terminal() && !context.json;
    if in_place {
        control(CLEAR);
    }
    let mut last = None;
    loop {
        let status = ask(context, config, all).await.map_err(|failure| match failure.exit {
            Exit::Unreachable if last.is_some() => {
                Failure::new(Exit::Unreachable, format!("the daemon has gone: {}", failure.message))
            }
            _ => failure,
        })?;
        let now = steady(&status);
        if in_place {
            control(HOME);
            print_text(&format!(
                "{}\n(every {} s; Ctrl-C ends)\n",
                shown(context, config, &status, all)?,
                EVERY.as_secs()
            ));
        } else if last.as_ref() != Some(&now) {
            let gap = if last.is_some() && !context.json { "\n" } else { "" };
            if !try_print_text(&format!("{gap}{}", shown(context, config, &status, all)?)) {
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
    let Ok(config) = context.locate_daemon().await else {
        return line(UNKNOWN, "the configuration cannot be read; see `imagebaked check`", "");
    };
    let status = match ask(context, &config, false).await {
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
        return line(state, &format!("{}, {next}", counted(status.daemon.schedules)), &numbers);
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

/// The problems that are shown: on a terminal about half of the screen, for what they are about stands below.
fn most_problems(all: bool) -> usize {
    /// Lines of the screen for each of them.
    const LINES: usize = 5;
    if all { usize::MAX } else { screen().map_or(MAX_LISTED, |lines| (lines / LINES).clamp(2, MAX_LISTED)) }
}

/// The verdict with the first problem, then each problem with its command, at most `most` in all.
fn headline(status: &Status, now: DateTime<Utc>, most: usize) -> String {
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
    let (shown, more) = first(status.health.problems(), most);
    for (number, problem) in shown.into_iter().enumerate() {
        let since = problem.since.parse().map(|since: DateTime<Utc>| relative(since, now)).unwrap_or_default();
        // The headline has the first one.
        if number > 0 {
            let _ = writeln!(text, "  {}: {}", problem.severity.to_string().to_uppercase(), problem.message);
        }
        let command = problem.command.as_deref().map(|command| format!("{command}    ")).unwrap_or_default();
        let known = format!("({} {}, began {since})", problem.code.as_str(), problem.subject);
        let line = format!("    {command}{known}");
        // The command stays whole on its line, to be copied.
        let fits = command.is_empty() || terminal_width().is_none_or(|width| line.width() <= width);
        let line = if fits { line } else { format!("    {}\n    {known}", command.trim_end()) };
        let _ = writeln!(text, "{line}");
    }
    if !more.is_empty() {
        let _ = writeln!(text, "\n  {}: imagebaked status --all", more.trim_start_matches("; "));
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

fn text(context: &Context<'_>, config: &Config, status: &Status, all: bool) -> String {
    let now = SystemClock.now();
    let mut text = wrapped(&headline(status, now, most_problems(all)), 2);
    text.push_str(&details::state_of_configuration(status));
    text.push('\n');
    text.push_str(&last_day(status.last_day, status.queued));
    let schedules = &status.schedules;
    let mut after = paused(status);
    after.push_str(&work(context, config, (&status.running, &status.waiting_in_time()), all));
    after.push_str(&late(context, config, status, now, all));
    after.push_str(&if all { details::whole(context, status, now) } else { details::brief(status, now) });
    if !schedules.is_empty() {
        text.push('\n');
        // On a terminal the rows that fit, those with problems first.
        let around = text.lines().count() + after.lines().count() + 2;
        let most = if all { None } else { screen().map(|lines| lines.saturating_sub(around)) };
        let (table, shown) = schedules::table(context, schedules, now, most);
        text.push_str(&table);
        let more = status.daemon.schedules.saturating_sub(shown);
        if more > 0 {
            text.push_str(&format!("… and {more} more: imagebaked status --all\n"));
        }
    }
    text.push_str(&after);
    text
}

fn last_day(last_day: LastDay, queued: u64) -> String {
    let LastDay { succeeded, failed, skipped, cancelled } = last_day;
    format!(
        "Last 24 hours: {succeeded} succeeded, {failed} failed, {skipped} skipped, {cancelled} cancelled. Queued: {queued}.\n"
    )
}

/// Paused schedules that no row shows.
fn paused(status: &Status) -> String {
    let is_shown = |word: &str| status.schedules.iter().any(|row| row.id == word || row.schedule == word);
    let all = status.paused.iter().map(|pause| &pause.schedule).chain(&status.paused_in_file);
    let paused: Vec<&str> = all.map(String::as_str).filter(|word| !is_shown(word)).collect();
    if paused.is_empty() {
        return String::new();
    }
    let (shown, more) = first(paused.into_iter(), LISTED);
    format!("Paused: {}{}\n", shown.join(", "), more.replace("; and", " and"))
}

/// Bakes at work and in the queue, each in a table of its own.
fn work(context: &Context<'_>, config: &Config, (running, waiting): (&[Running], &[Running]), all: bool) -> String {
    let zones = context.zones(config);
    let table = |heading: &str, bakes: &[Running]| {
        if bakes.is_empty() {
            return String::new();
        }
        let named = bakes.iter().map(|bake| format!("bake {} of {}", bake.id, bake.schedule));
        if let Some(line) = in_one_line(heading, named, all || heading == RUNNING) {
            return line;
        }
        let header = ["BAKE", "SLOT", "SCHEDULE", "INSTANCE", "STATE", "IMAGE", "REASON"];
        let mut rows = Rows::new(&header, context.color).in_blocks(&["BAKE", "SLOT", "SCHEDULE", "STATE"]);
        let most = at_most(all);
        for bake in bakes.iter().take(most) {
            let image = bake.image_id.as_deref().or(bake.image_name.as_deref()).unwrap_or(NONE);
            let reason = &brief(bake.reason.as_deref().unwrap_or_default(), all);
            let slot = slot_of(&bake.slot, &zones, &bake.schedule);
            rows.row([&bake.id.to_string(), &slot, &bake.schedule, &bake.instance_id, &bake.state, image, reason]);
        }
        format!("\n{heading}\n{}{}", rows.render(), more_than(most, bakes.len()))
    };
    format!("{}{}", table(RUNNING, running), table("Waiting", waiting))
}

/// The beginning of a long reason on a terminal; `why` and `show` have all of it.
fn brief(reason: &str, all: bool) -> String {
    if all || screen().is_none() || reason.chars().count() <= SHORT {
        return reason.to_owned();
    }
    let short: String = reason.chars().take(SHORT).collect();
    format!("{} …", short.rsplit_once(' ').map_or(short.as_str(), |(short, _)| short))
}

/// How many bakes of a kind are listed.
fn at_most(all: bool) -> usize {
    if all || screen().is_none() { usize::MAX } else { FEW }
}

/// More bakes than a terminal has room for, by their numbers: the rows of their schedules have what they wait for.
fn in_one_line(heading: &str, bakes: impl ExactSizeIterator<Item = String>, all: bool) -> Option<String> {
    if bakes.len() <= at_most(all) {
        return None;
    }
    let (shown, more) = first(bakes, NAMED);
    Some(format!("\n{heading}: {}{more} (imagebaked status --all)\n", shown.join(", ")))
}

/// The line below a list that ends after `most` of `all`.
fn more_than(most: usize, all: usize) -> String {
    match all.saturating_sub(most) {
        0 => String::new(),
        more => format!("… and {more} more: imagebaked status --all\n"),
    }
}

fn slot_of(slot: &str, zones: &Zones, schedule: &str) -> String {
    slot.parse().map_or_else(|_| slot.to_owned(), |at| zones.show(at, schedule))
}

fn late(context: &Context<'_>, config: &Config, status: &Status, now: DateTime<Utc>, all: bool) -> String {
    if status.late.is_empty() {
        return String::new();
    }
    let since = |bake: &Late| bake.slot.parse().map(|at| relative(at, now)).unwrap_or_default();
    let named = status.late.iter().map(|bake| format!("bake {} of {} ({})", bake.id, bake.schedule, since(bake)));
    if let Some(line) = in_one_line("Late", named, all) {
        return line;
    }
    let zones = context.zones(config);
    let header = ["BAKE", "SLOT", "SCHEDULE", "LATE", "INSTANCE", "WAITS FOR"];
    let mut rows = Rows::new(&header, context.color).in_blocks(&["BAKE", "SLOT", "SCHEDULE"]);
    for bake in &status.late {
        let since = since(bake);
        let slot = slot_of(&bake.slot, &zones, &bake.schedule);
        rows.row([&bake.id.to_string(), &slot, &bake.schedule, &since, &bake.instance_id, &brief(&bake.reason, all)]);
    }
    format!("\nLate\n{}", rows.render())
}
