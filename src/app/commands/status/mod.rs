//! `imagebaked status`: state of the daemon. Without a daemon, data of the history and exit code 4.

mod details;
mod due;
mod fold;
mod layout;
mod parts;
mod schedules;
mod screen;
mod shorten;
mod whole;

use std::{
    io::{IsTerminal, stdout},
    time::Duration,
};

use self::{
    layout::Size,
    parts::{LISTED, Offline, first},
};
use super::{
    backup::restore_newest,
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result, refused},
    output::schedules as counted,
    presence::Presence,
    table::{screen as screen_lines, terminal_width, wrapped_lines},
    terminal::{control, lines_of_error, lines_of_errors, print_text, try_print_text, with_config},
};
use crate::{
    adapters::{
        config::Config,
        control::{Reply, Request, client, liveness::SERVICE},
        store::{PendingRestart, Reader},
    },
    app::{cli::StatusArgs, daemon::schedule_rows},
    domain::{
        api::mode::ONLY_OBSERVES,
        bake::unfollowed::Unfollowed,
        clock::{Clock, SystemClock},
        health::{Health, Verdict, schedules::concerns},
        schedule_rows::open::Circumstances,
        status::{LastDay, Paused, Status},
        suggestion::ConfigOption,
        time::show,
    },
};

/// Interval of `--watch`.
const EVERY: Duration = Duration::from_secs(2);
/// Lines below the text of `--watch`.
const WATCHED: usize = 2;
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
        return Ok(plugin(context, args.schedule.name()).await);
    }
    let (config, presence) = context.find_daemon().await?;
    if args.watch {
        return watch(context, &config, args).await;
    }
    match ask(&config, args.all, args.schedule.name()).await {
        Ok(status) => {
            let exit = if status.health.verdict == Verdict::Ok { Exit::Done } else { Exit::Unhealthy };
            Ok(CommandOutput { text: shown(context, &config, &status, args.all, 0).await?, exit })
        }
        Err(Unanswered { failure, command }) if failure.exit == Exit::Unreachable => {
            let below = lines_of_error(&failure.message);
            match of_history(context, (&config, &presence), args, command, below).await {
                // A terminal's lines are made to fit already.
                Ok(text) if !context.json => print_text(&wrapped_lines(&with_config(&text), terminal_width())),
                Err(unknown) if unknown.exit == Exit::NotFound => return Err(unknown),
                Err(unusable) if unusable.exit == Exit::Unusable => {
                    return Err(without_history(context, &config, &failure, &unusable));
                }
                _ => {}
            }
            Err(failure)
        }
        Err(unanswered) => Err(unanswered.failure),
    }
}

/// Neither daemon nor history: the daemon does not start before the history is restored.
fn without_history(context: &Context<'_>, config: &Config, failure: &Failure, unusable: &Failure) -> Failure {
    let restore = restore_newest(config).map_or_else(
        || "restore a backup: imagebaked restore FILE".to_owned(),
        |restore| format!("restore the newest backup: {restore}"),
    );
    let message = format!(
        "{}\nThe history cannot be used, and the daemon does not start with it: {}\nTo go on, {restore} (imagebaked doctor has the \
         details)",
        failure.message, unusable.message
    );
    Failure::new(Exit::Unusable, ConfigOption::new(context.config_path).in_text(&message).into_owned())
}

/// What the history shows without a daemon.
async fn of_history(
    context: &Context<'_>,
    (config, presence): (&Config, &Presence),
    args: &StatusArgs,
    command: String,
    below: usize,
) -> Result<String> {
    let only = match args.schedule.name() {
        Some(wanted) => Some(
            config
                .schedule(wanted)
                .ok_or_else(|| Failure::new(Exit::NotFound, config.no_schedule(wanted, config.schedule_words())))?,
        ),
        None => None,
    };
    let now = SystemClock.now();
    let reader = Reader::open(&config.daemon.state_dir).await?;
    let bakes = reader.work(now, only.map(|one| &one.id)).await?;
    let mut stopped = reader.pending_restarts().await?;
    stopped.retain(|pending| only.is_none_or(|one| pending.schedule == one.name.as_str()));
    let mut standing = reader.standing_problems().await?;
    let paused: Vec<Paused> =
        reader.pauses().await?.values().filter(|pause| pause.is_in_force(now)).map(Paused::from).collect();
    if let Some(one) = only {
        standing.retain(|stood| {
            concerns(&stood.problem, one, one.paused || paused.iter().any(|pause| pause.schedule == one.id.as_str()))
        });
    }
    let health = Health::of_reported(standing);
    let about = Circumstances {
        health: &health,
        running: &bakes.running,
        waiting: &bakes.waiting,
        late: &[],
        paused: &paused,
        next: &[],
    };
    let schedules = only.map_or(&config.schedules[..], std::slice::from_ref);
    let (mut rows, _) = schedule_rows(&reader, schedules, about, args.all, now).await?;
    due::mark(&mut rows, schedules, &reader.targets().await?, now);
    let shown = bakes.running.iter().chain(&bakes.waiting).map(|bake| bake.schedule.as_str());
    let zones = context.all_zones(config, &reader, shown).await?;
    let since = match (presence.unfollowed(&reader), reader.last_write()) {
        (Some(Unfollowed { since: Some(since), .. }), _) => Some(show(since, zones.main)),
        (Some(_), Some(_)) => Some("at a time that this host's clock has not reached".to_owned()),
        _ => None,
    };
    reader.close().await;
    let offline = Offline {
        last_day: bakes.last_day,
        queued: bakes.queued,
        rows: &rows,
        known: schedules.len(),
        command,
        running: &bakes.running,
        waiting: &bakes.waiting,
        stopped: stopped.iter().map(stopped_instance).collect(),
        since,
        health: &health,
    };
    Ok(match size(args.all, below) {
        Some(size) => screen::of_history(&offline, now, size, context.color),
        None => whole::of_history(context, &zones, &offline, now),
    })
}

/// An instance that stays stopped or in maintenance as long as the daemon does not run.
fn stopped_instance(pending: &PendingRestart) -> String {
    let PendingRestart { bake, schedule, instance, state } = pending;
    let is_stopped = state.work().is_some_and(|work| work.restart_pending);
    let what = state.work().map_or("was stopped", |work| work.what_is_pending()[0]);
    let then = if is_stopped { "is started again" } else { "leaves it" };
    format!("Instance {instance} {what} for bake {bake} of {schedule}; it {then} only once the daemon runs.")
}

/// The terminal, but for some lines below; `None` where all is shown: into a pipe or a file, and with `--all`.
fn size(all: bool, below: usize) -> Option<Size> {
    if all {
        return None;
    }
    let (lines, width) = screen_lines().zip(terminal_width())?;
    Some(Size { lines: lines.saturating_sub(below + lines_of_errors()), width })
}

/// Why there is no status, and the command that helps.
struct Unanswered {
    failure: Failure,
    command: String,
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Self {
        unanswered.failure
    }
}

/// The status of one schedule, or of all.
async fn ask(config: &Config, all: bool, only: Option<&str>) -> std::result::Result<Status, Unanswered> {
    let request = match only {
        Some(schedule) => Request::StatusOf { schedule: schedule.to_owned() },
        None => Request::Status { all },
    };
    let failure = match client::ask(&config.daemon.control_socket, &request).await {
        Ok(Reply::Status(status)) => return Ok(*status),
        Ok(Reply::Failed { message }) => Failure::new(Exit::Unhealthy, message),
        Ok(other) => refused(other),
        Err(error) => return Err(Unanswered { command: error.command(), failure: error.into() }),
    };
    Err(Unanswered { failure, command: SERVICE.to_owned() })
}

/// The text or the JSON; on a terminal with some lines below it.
async fn shown(context: &Context<'_>, config: &Config, status: &Status, all: bool, below: usize) -> Result<String> {
    if context.json {
        return Ok(format!("{}\n", serde_json::to_string(status)?));
    }
    let now = SystemClock.now();
    if let Some(size) = size(all, below) {
        return Ok(screen::of_status(status, now, size, context.color));
    }
    let bakes = status.running.iter().chain(&status.waiting).map(|bake| bake.schedule.as_str());
    let shown = bakes.chain(status.late.iter().map(|late| late.schedule.as_str()));
    let zones = context.zones_of_answer(config, shown).await;
    Ok(whole::of_status(context, &zones, status, all, now))
}

/// Shows the status until the user, the daemon or the output ends it.
async fn watch(context: &Context<'_>, config: &Config, args: &StatusArgs) -> Result {
    let in_place = stdout().is_terminal() && !context.json;
    if in_place {
        control(CLEAR);
    }
    let mut last = None;
    loop {
        let status =
            ask(config, args.all, args.schedule.name()).await.map_err(Failure::from).map_err(
                |failure| match failure.exit {
                    Exit::Unreachable if last.is_some() => {
                        Failure::new(Exit::Unreachable, format!("the daemon has gone: {}", failure.message))
                    }
                    _ => failure,
                },
            )?;
        let now = steady(&status);
        if in_place {
            control(HOME);
            print_text(&format!(
                "{}\n(every {} s; Ctrl-C ends)\n",
                shown(context, config, &status, args.all, WATCHED).await?,
                EVERY.as_secs()
            ));
        } else if last.as_ref() != Some(&now) {
            let gap = if last.is_some() && !context.json { "\n" } else { "" };
            if !try_print_text(&format!("{gap}{}", shown(context, config, &status, args.all, 0).await?)) {
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
    steady.daemon.credentials_accepted_at = None;
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
async fn plugin(context: &Context<'_>, only: Option<&str>) -> CommandOutput {
    let Ok(config) = context.locate_daemon().await else {
        return line(UNKNOWN, "the configuration cannot be read; see `imagebaked check`", "");
    };
    let status = match ask(&config, false, only).await.map_err(Failure::from) {
        Ok(status) => status,
        // The daemon responds, but cannot read its history.
        Err(Failure { exit: Exit::Unhealthy, message }) => return line(plugin_state(Verdict::Problem), &message, ""),
        Err(failure) => return line(UNKNOWN, &failure.message, ""),
    };
    plugin_line(&status)
}

fn plugin_line(status: &Status) -> CommandOutput {
    let LastDay { succeeded, failed, skipped, cancelled, vetoed } = status.last_day;
    let (running, queued, late) = (status.running.len(), status.queued, status.late.len());
    let numbers = format!(
        "running={running} queued={queued} late={late} succeeded={succeeded} failed={failed} skipped={skipped} \
         cancelled={cancelled} vetoed={vetoed}"
    );
    let state = plugin_state(status.health.verdict);
    if status.health.verdict == Verdict::Ok {
        let next = status
            .next
            .first()
            .map_or_else(|| "no slot to come".to_owned(), |next| format!("next {} at {}", next.schedule, next.local));
        let next = if status.daemon.mode.is_observe() { ONLY_OBSERVES.to_owned() } else { next };
        return line(state, &format!("{}, {next}", counted(status.daemon.schedules)), &numbers);
    }
    let (shown, more) = first(status.health.problems(), LISTED);
    let words: Vec<_> = shown.iter().map(|problem| problem.message.as_str()).collect();
    let observes = if status.daemon.mode.is_observe() { format!("{ONLY_OBSERVES}; ") } else { String::new() };
    line(state, &format!("{observes}{}: {}{more}", status.health.counts(), words.join("; ")), &numbers)
}

/// One line; the text after a bar is for graphs, so the message must have none.
fn line((word, exit): (&str, Exit), words: &str, numbers: &str) -> CommandOutput {
    let words = words.replace('|', "/").replace('\n', " ");
    let numbers = if numbers.is_empty() { String::new() } else { format!(" | {numbers}") };
    CommandOutput { text: format!("{word} - {words}{numbers}\n"), exit }
}
