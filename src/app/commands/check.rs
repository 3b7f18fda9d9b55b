//! `imagebaked check`: validates the configuration and shows the next slots.

use std::{collections::HashSet, path::Path};

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    context::Context,
    forecast::{KnownHistory, long_night, outlasting},
    outcome::{CommandOutput, Exit, Result},
    output::{Rows, relative, schedules},
    sessions::SessionReport,
    table::{screen, terminal_width, wrapped_lines},
    terminal::{print_error, with_config},
};
use crate::{
    adapters::config::{
        self, Config, Problems, SourceMap, WarningTarget,
        explain::{ExplainError, ExplainedKey, Layer, explain},
    },
    app::cli::CheckArgs,
    domain::{
        api::mode::ONLY_OBSERVES,
        clock::{Clock, SystemClock},
        ids::InstanceId,
        schedule::Schedule,
        time::{rfc3339_seconds, show},
    },
};

/// Files that are listed by name; on a terminal.
const MOST_FILES: usize = 20;
const FEW_FILES: usize = 3;
/// Slots by default, and below warnings on a terminal.
const SLOTS: usize = 5;
const FEW_SLOTS: usize = 2;

fn most_files() -> usize {
    if terminal_width().is_some() { FEW_FILES } else { MOST_FILES }
}

pub async fn run(context: &Context<'_>, args: &CheckArgs) -> Result {
    let path = args.file.as_deref().unwrap_or(context.config_path);
    let path = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
    if let Some(key) = &args.explain {
        return Ok(explained(context, path, key));
    }
    let now = SystemClock.now();
    let (config, source_map) = match config::load_with_source_map(path, &context.environment) {
        Ok(read) => read,
        Err(problems) => {
            let text = if context.json {
                format!("{}\n", json!({ "ok": false, "problems": problems.to_json() }))
            } else {
                let not_read = not_read(path);
                format!("{}{not_read}", shown(&problems, context.color, args.all, &not_read))
            };
            return Ok(CommandOutput { text, exit: Exit::Usage });
        }
    };
    // A file can be checked anywhere: without a readable history there is no forecast.
    let history = KnownHistory::read(&config, &context.state_dir(&config).await).await.unwrap_or_default();
    let expected = outlasting(&config, &history, now);
    let warnings = warnings(&config, source_map, &history, &expected, now);
    let denied = args.deny.is_some() && !warnings.is_empty();
    let sessions = if args.sessions { Some(SessionReport::ask(context, &config).await?) } else { None };
    let fails = denied || sessions.as_ref().is_some_and(SessionReport::fails);
    let exit = if fails { Exit::Usage } else { Exit::Done };
    // Above them the warnings need room, unless somebody says how many slots to show.
    let is_short = !warnings.is_empty() && !args.all && !context.json && terminal_width().is_some();
    let slots = args.next.unwrap_or(if is_short { FEW_SLOTS } else { SLOTS });
    let next = next_slots(&config, now, slots);
    if context.json {
        let next: Vec<_> = next
            .iter()
            .map(|(slot, schedule, instance)| {
                json!({
                    "schedule": schedule.name,
                    "slot": rfc3339_seconds(*slot),
                    "local": slot.with_timezone(&schedule.timing.zone()).to_rfc3339(),
                    "instance_id": instance,
                })
            })
            .collect();
        let mut report = json!({
            "ok": !fails,
            "problems": warnings.to_json(),
            "schedules": config.schedules.len(),
            "config_hash": config.hash,
            "files": config.files,
            "not_read": config::unread(path).iter().map(|(file, reason)| json!({ "file": file, "reason": reason })).collect::<Vec<_>>(),
            "next": next,
            "warnings": expected.iter().map(|(_, sentence)| sentence).collect::<Vec<_>>(),
        });
        if let Some(sessions) = sessions {
            report["sessions"] = sessions.json();
        }
        return Ok(CommandOutput { text: format!("{report}\n"), exit });
    }
    let mut text = summary(&config, path, warnings.0.len(), denied);
    if config.daemon.mode.is_observe() {
        text.push_str(&format!("With mode = \"observe\" {ONLY_OBSERVES}: nothing is baked or deleted.\n"));
    }
    text.push_str(&files(&config, path));
    match sessions {
        Some(sessions) => text.push_str(&sessions.text(context.color)),
        None => text.push_str(unnamed_sessions(&config)),
    }
    if !next.is_empty() {
        text.push_str("\nNext slots:\n");
        let mut rows = Rows::new(&["SLOT", "WHEN", "SCHEDULE", "INSTANCE"], context.color);
        for (slot, schedule, instance) in next {
            let shown = show(slot, schedule.timing.zone());
            rows.row([shown, relative(slot, now), schedule.name.to_string(), instance.to_string()]);
        }
        text.push_str(&rows.render());
    }
    if !warnings.is_empty() {
        text = format!("{}\n{text}", shown(&warnings, context.color, args.all, &text));
    }
    Ok(CommandOutput { text, exit })
}

/// The problems as text: on a terminal those that have room above the rest of the answer.
fn shown(problems: &Problems, color: bool, all: bool, below: &str) -> String {
    match terminal_width().zip(screen()).filter(|_| !all) {
        Some((width, lines)) => {
            let below = wrapped_lines(&with_config(below), Some(width)).lines().count() + 1;
            problems.render_folded(color, (width, lines.saturating_sub(below)), "--all shows each")
        }
        None => problems.render(color),
    }
}

/// Where sessions are left to the cloud, it may list several.
fn unnamed_sessions(config: &Config) -> &'static str {
    if config.schedules.iter().any(|schedule| schedule.settings.asks_for_session()) {
        "The sessions of workstations are not named: `imagebaked check --sessions` lists them.\n"
    } else {
        ""
    }
}

/// Where the values of keys come from: the one in force, and those that it overrides.
fn explained(context: &Context<'_>, path: &Path, key: &str) -> CommandOutput {
    let explained = match explain(path, &context.environment, key) {
        Ok(explained) => explained,
        Err(error) => {
            let exit = match error {
                ExplainError::NoSuchName { .. } => Exit::NotFound,
                ExplainError::NoSuchKey { .. } => Exit::Usage,
            };
            print_error(&format!("error: {error}"));
            return CommandOutput { text: String::new(), exit };
        }
    };
    let json = |Layer { value, place, of }: &Layer| json!({ "value": value, "place": place, "of": of });
    if context.json {
        let keys: Vec<_> = explained
            .iter()
            .map(|one| json!({ "key": one.key, "layers": one.layers.iter().map(json).collect::<Vec<_>>() }))
            .collect();
        return CommandOutput::done(format!("{}\n", json!({ "keys": keys })));
    }
    let words = |Layer { value, place, of }: &Layer| match of.as_str() {
        "" => format!("{value}    {place}"),
        of => format!("{value}    {place}, {of}"),
    };
    let mut text = String::new();
    for ExplainedKey { key, layers } in explained {
        let mut layers = layers.iter().map(words);
        let in_force = layers.next().unwrap_or_else(|| "not set".to_owned());
        text.push_str(&format!("{key} = {in_force}\n"));
        for layer in layers {
            text.push_str(&format!("    overrides {layer}\n"));
        }
    }
    CommandOutput::done(text)
}

/// Problems of the files, of the schedules' slots, and of the forecast.
fn warnings(
    config: &Config,
    mut source_map: SourceMap,
    history: &KnownHistory,
    expected: &[(usize, String)],
    now: DateTime<Utc>,
) -> Problems {
    source_map.lint(config, now, &history.durations);
    for (schedule, sentence) in expected {
        let hint = Some("increase the time between its slots".to_owned());
        source_map.warn(WarningTarget::Times(*schedule), "outlasts-interval", sentence, hint);
    }
    if let Some((schedule, sentence)) = long_night(config, history, now) {
        let hint = Some(
            "spread the slots, or raise `max_builders` if the cloud lets you; `imagebaked plan` shows the forecast"
                .to_owned(),
        );
        source_map.warn(WarningTarget::Builders(schedule), "queue-longer-than-night", &sentence, hint);
    }
    if let Some(sentence) = &history.changed_owner {
        let hint = Some(
            "for the images of before, keep the owner of before; a second daemon of the account needs its own"
                .to_owned(),
        );
        source_map.warn(WarningTarget::Owner, "owner-changed", sentence, hint);
    }
    source_map.into_problems()
}

/// The files that were read, if there are several, and those of conf.d that were not.
fn files(config: &Config, path: &std::path::Path) -> String {
    let mut text = String::new();
    if config.files.len() > 1 {
        text.push_str("Read, in this order:\n");
        for file in config.files.iter().take(most_files()) {
            text.push_str(&format!("  {}\n", file.display()));
        }
        text.push_str(&more(config.files.len(), "files; --json has them all"));
    }
    text + &not_read(path)
}

/// A line for each file of conf.d that was not read.
fn not_read(path: &Path) -> String {
    let line = |(file, reason): (std::path::PathBuf, &str)| format!("Not read: {}: {reason}\n", file.display());
    let unread = config::unread(path);
    let all = unread.len();
    unread.into_iter().take(most_files()).map(line).collect::<String>()
        + &more(all, "files are not read; --json has them all")
}

/// A line for what was not listed.
fn more(all: usize, what: &str) -> String {
    let most = most_files();
    if all > most { format!("  and {} more {what}\n", all - most) } else { String::new() }
}

fn summary(config: &Config, path: &std::path::Path, warnings: usize, denied: bool) -> String {
    let instances: HashSet<_> = config.schedules.iter().flat_map(|schedule| schedule.instances.as_slice()).collect();
    let paused = config.schedules.iter().filter(|schedule| schedule.paused).count();
    let more = match config.files.len() {
        0 | 1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    let paused = if paused == 0 { String::new() } else { format!(", {paused} of them paused") };
    let verdict = match (denied, warnings) {
        (true, _) => "it has warnings, which are denied".to_owned(),
        (false, 0) => "valid".to_owned(),
        (false, 1) => "valid, 1 warning".to_owned(),
        (false, n) => format!("valid, {n} warnings"),
    };
    format!(
        "{}{more}: {verdict}. {}{paused}, {} {}. Configuration {}.\n",
        path.display(),
        schedules(config.schedules.len()),
        instances.len(),
        if instances.len() == 1 { "instance" } else { "instances" },
        config.hash,
    )
}

/// The next `n` slots of all schedules that are not paused.
fn next_slots(config: &Config, now: DateTime<Utc>, n: usize) -> Vec<(DateTime<Utc>, &Schedule, &InstanceId)> {
    let mut next: Vec<(DateTime<Utc>, usize, &Schedule)> = config
        .schedules
        .iter()
        .enumerate()
        .filter(|(_, schedule)| !schedule.paused)
        .filter_map(|(index, schedule)| Some((schedule.timing.next_after(now)?, index, &**schedule)))
        .collect();
    next.sort_unstable_by_key(|(slot, index, _)| (*slot, *index));
    next.into_iter()
        .flat_map(|(slot, _, schedule)| schedule.instances.as_slice().iter().map(move |one| (slot, schedule, one)))
        .take(n)
        .collect()
}
