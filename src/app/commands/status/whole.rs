//! The status with all that it has, for a pipe, a file and `--all`.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use unicode_width::UnicodeWidthStr as _;

use super::{
    super::{
        context::Context,
        output::{NONE, Rows, Zones},
        table::{terminal_width, wrapped},
    },
    details,
    parts::{ALL, LISTED, OPEN, Offline, distance, first, last_day, no_image_yet, paused_elsewhere},
    schedules,
};
use crate::domain::{
    calendar::zone::Zone,
    health::{Acknowledgement, Problem, Verdict},
    status::{Running, ScheduleRow, Status},
    time::show,
};

/// Maximum number of listed problems, except with `--all`.
const MAX_LISTED: usize = 30;

/// The verdict with the first problem, then each problem with its command, at most `most` in all.
fn headline(status: &Status, now: DateTime<Utc>, most: usize) -> String {
    let mut text = status.health.headline();
    if status.health.verdict == Verdict::Ok {
        let _ = writeln!(text, "{}.", no_image_yet(status));
        text.push_str(&acknowledged(status, now));
        return text;
    }
    text.push('\n');
    let (shown, more) = first(status.health.problems(), most);
    for (number, problem) in shown.into_iter().enumerate() {
        // The headline has the first one.
        if number > 0 {
            text.push_str(&message_of(problem));
        }
        text.push_str(&below(problem, now));
    }
    if !more.is_empty() {
        let _ = writeln!(text, "\n  {}: {ALL}", more.trim_start_matches("; "));
    }
    text.push_str(&acknowledged(status, now));
    text
}

fn message_of(problem: &Problem) -> String {
    format!("  {}: {}\n", problem.severity.to_string().to_uppercase(), problem.message)
}

/// The command of a problem, its code and its begin.
fn below(problem: &Problem, now: DateTime<Utc>) -> String {
    let since = distance(&problem.since, now);
    let command = problem.command.as_deref().map(|command| format!("{command}    ")).unwrap_or_default();
    let known = format!("({} {}, began {since})", problem.code.as_str(), problem.subject);
    let line = format!("    {command}{known}");
    // The command stays whole on its line, to be copied.
    let fits = command.is_empty() || terminal_width().is_none_or(|width| line.width() <= width);
    if fits { format!("{line}\n") } else { format!("    {}\n    {known}\n", command.trim_end()) }
}

/// The problems that stood when a daemon last wrote the history.
fn stood(offline: &Offline<'_>, now: DateTime<Utc>) -> String {
    let (shown, more) = first(offline.health.problems(), MAX_LISTED);
    let problems: String = shown.iter().map(|problem| message_of(problem) + &below(problem, now)).collect();
    if problems.is_empty() {
        problems
    } else {
        format!("\n{}\n{problems}{}\n", offline.as_of(), more.trim_start_matches("; "))
    }
}

/// The problems that a person has acknowledged.
fn acknowledged(status: &Status, now: DateTime<Utc>) -> String {
    let mut text = String::new();
    for (problem, Acknowledgement { by, at, until, reason }) in status.health.acknowledged().take(MAX_LISTED) {
        let until = until.as_deref().map(|until| format!(", until {}", shown(until, status.daemon.zone())));
        let until = until.unwrap_or_default();
        let _ = writeln!(text, "\n  acknowledged: {}", problem.message);
        let _ = writeln!(text, "    by {by} {}{until}: {reason}", distance(at, now));
        let (code, subject) = (problem.code.as_str(), &problem.subject);
        let _ = writeln!(text, "    imagebaked unack {code} {subject}    (began {})", distance(&problem.since, now));
    }
    text
}

/// The status with all that was asked for.
pub(super) fn of_status(
    context: &Context<'_>,
    zones: &Zones,
    status: &Status,
    all: bool,
    now: DateTime<Utc>,
) -> String {
    let most = if all { usize::MAX } else { MAX_LISTED };
    let mut text = wrapped(&headline(status, now, most), 2);
    for (n, note) in details::state_of_configuration(status).iter().enumerate() {
        let _ = writeln!(text, "{}{note}", if n == 0 { "\n" } else { "" });
    }
    text.push('\n');
    text.push_str(&last_day(status.last_day, status.queued));
    text.push_str(&rows(context, &status.schedules, status.daemon.schedules, now));
    text.push_str(&paused(status));
    text.push_str(&work((context, now), zones, ("Running", &status.running), &status.waiting_in_time()));
    text.push_str(&late(context, zones, status, now));
    text.push_str(&if all { details::whole(context, status, now) } else { details::brief(status, now) });
    text
}

/// What the history shows without a daemon.
pub(super) fn of_history(context: &Context<'_>, zones: &Zones, offline: &Offline<'_>, now: DateTime<Utc>) -> String {
    let headline = offline.headline();
    let stood = stood(offline, now);
    let mut text = format!("{headline}\n    {}\n{stood}\n", offline.command);
    text.push_str(&last_day(offline.last_day, offline.queued));
    text.push_str(&rows(context, offline.rows, offline.known, now));
    text.push_str(&work((context, now), zones, (OPEN, offline.running), offline.waiting));
    for stopped in &offline.stopped {
        let _ = writeln!(text, "{stopped}");
    }
    text
}

/// The rows of schedules, and how many of all there are besides.
fn rows(context: &Context<'_>, rows: &[ScheduleRow], all: usize, now: DateTime<Utc>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let more = match all.saturating_sub(rows.len()) {
        0 => String::new(),
        more => format!("… and {more} more: {ALL}\n"),
    };
    format!("\n{}{more}", schedules::table(context, rows, now))
}

fn paused(status: &Status) -> String {
    let paused = paused_elsewhere(status, &status.schedules);
    if paused.is_empty() {
        return String::new();
    }
    let (shown, more) = first(paused.into_iter(), LISTED);
    format!("Paused: {}{}\n", shown.join(", "), more.replace("; and", " and"))
}

/// Bakes at work and in the queue, each in a table of its own.
fn work(
    (context, now): (&Context<'_>, DateTime<Utc>),
    zones: &Zones,
    (heading, running): (&str, &[Running]),
    waiting: &[Running],
) -> String {
    let table = |heading: &str, bakes: &[Running]| {
        if bakes.is_empty() {
            return String::new();
        }
        let header = ["BAKE", "SLOT", "SCHEDULE", "INSTANCE", "STATE", "IMAGE", "REASON"];
        let mut rows = Rows::new(&header, context.color).in_blocks(&["BAKE", "SLOT", "SCHEDULE", "STATE"]);
        for bake in bakes {
            let image = bake.image_id.as_deref().or(bake.image_name.as_deref()).unwrap_or(NONE);
            let reason = bake.reason.as_deref().unwrap_or_default();
            let reason = match &bake.begun_at {
                Some(begun) => {
                    format!("{reason}; {} (since {})", bake.progress(now), slot_of(begun, zones, &bake.schedule))
                }
                None => reason.to_owned(),
            };
            let slot = slot_of(&bake.slot, zones, &bake.schedule);
            rows.row([&bake.id.to_string(), &slot, &bake.schedule, &bake.instance_id, &bake.state, image, &reason]);
        }
        format!("\n{heading}\n{}", rows.render())
    };
    format!("{}{}", table(heading, running), table("Waiting", waiting))
}

fn shown(at: &str, zone: Zone) -> String {
    at.parse().map_or_else(|_| at.to_owned(), |at| show(at, zone))
}

fn slot_of(slot: &str, zones: &Zones, schedule: &str) -> String {
    slot.parse().map_or_else(|_| slot.to_owned(), |at| zones.show(at, schedule))
}

fn late(context: &Context<'_>, zones: &Zones, status: &Status, now: DateTime<Utc>) -> String {
    if status.late.is_empty() {
        return String::new();
    }
    let header = ["BAKE", "SLOT", "SCHEDULE", "LATE", "INSTANCE", "WAITS FOR"];
    let mut rows = Rows::new(&header, context.color).in_blocks(&["BAKE", "SLOT", "SCHEDULE"]);
    for bake in &status.late {
        let since = distance(&bake.slot, now);
        let slot = slot_of(&bake.slot, zones, &bake.schedule);
        rows.row([&bake.id.to_string(), &slot, &bake.schedule, &since, &bake.instance_id, &bake.reason]);
    }
    format!("\nLate\n{}", rows.render())
}
