//! The status within the screen of a terminal: the verdict with the first problems, the worst schedules, and what is at work.

use chrono::{DateTime, Utc};
use unicode_width::UnicodeWidthStr as _;

use super::{
    super::{output::relative, table::wrapped_to},
    details,
    fold::same_for,
    layout::{Block, Goal, Item, Part, Size, fit},
    parts::{ALL, OPEN, Offline, distance, last_day, no_image_yet, paused_elsewhere},
    schedules::{Lines, lines},
    shorten::{names, next_try, shorten, shorten_name},
};
use crate::{
    adapters::store::LISTED_BAKES,
    domain::{
        bake::queue::AT_REST,
        health::{
            Acknowledgement, Health, Problem, Subject, SubjectKind, Verdict,
            same_error::{Group, groups, problem_groups},
        },
        status::{Late, Running, ScheduleRow, Status},
    },
};

/// Lines of the headline.
const HEADLINE: usize = 2;
/// Lines of a note about the configuration.
const NOTE: usize = 2;
/// Columns that a schedule's name has in a line about a bake at least.
const NAME: usize = 12;

/// Columns of the next try at least.
const TRY: usize = 20;

/// A bake in a line.
struct BakeLine {
    id: i64,
    /// `bake 7 of golden (ecd-1), building: `.
    lead: String,
    reason: String,
}

// The blocks, in their order.
const PROBLEMS: usize = 1;
const CONFIGURATION: usize = 2;
const ACKNOWLEDGED: usize = 3;
const ROWS: usize = 5;
const RUNNING: usize = 7;
const WAITING: usize = 8;
const LATE: usize = 9;
const STOPPED: usize = 10;
const DAEMON: usize = 11;

/// What is shown, the most important first, as long as there is room.
const GOALS: [Goal; 31] = [
    Goal::Items(STOPPED, 2),
    Goal::Items(PROBLEMS, 1),
    Goal::Items(RUNNING, 1),
    Goal::Items(ROWS, 3),
    Goal::Items(WAITING, 1),
    Goal::Items(LATE, 1),
    Goal::Items(CONFIGURATION, 3),
    Goal::Items(PROBLEMS, 2),
    Goal::Items(ROWS, 5),
    Goal::Items(RUNNING, 2),
    Goal::Items(WAITING, 2),
    Goal::Items(LATE, 2),
    Goal::Items(DAEMON, 1),
    Goal::Items(ACKNOWLEDGED, 1),
    Goal::Gaps,
    Goal::Items(PROBLEMS, 4),
    Goal::Items(ROWS, 8),
    Goal::Items(RUNNING, 4),
    Goal::Items(WAITING, 4),
    Goal::Items(LATE, 4),
    Goal::Items(ACKNOWLEDGED, 2),
    Goal::Items(ROWS, 12),
    Goal::Items(PROBLEMS, 8),
    Goal::Items(RUNNING, 8),
    Goal::Items(WAITING, usize::MAX),
    Goal::Items(LATE, usize::MAX),
    Goal::Items(RUNNING, usize::MAX),
    Goal::Items(ROWS, usize::MAX),
    Goal::Items(PROBLEMS, usize::MAX),
    Goal::Items(ACKNOWLEDGED, usize::MAX),
    Goal::Items(STOPPED, usize::MAX),
];

/// The status of a daemon.
pub(super) fn of_status(status: &Status, now: DateTime<Utc>, size: Size, color: bool) -> String {
    let Size { width, .. } = size;
    let problems = problem_groups(status.health.problems());
    let waiting = status.waiting_in_time();
    let blocks = [
        verdict(status, problems.first(), now, width),
        Block {
            items: problems.iter().skip(1).map(|group| problem(group, now, width)).collect(),
            rest: ["problem", "problems", ALL],
            ..Block::default()
        },
        configuration(status, width),
        acknowledged(&status.health, now, width),
        one_line(&last_day(status.last_day, status.queued), width),
        rows(&status.schedules, status.daemon.schedules, now, width, color),
        paused(status, width),
        bakes("Running", "running", &running(&status.running, now, width), width),
        Block { beyond: unlisted(status), ..bakes("Waiting", "waiting", &running(&waiting, now, width), width) },
        bakes("Late", "late", &late(&status.late, now, width), width),
        Block::default(),
        daemon(status, now, width),
    ];
    fit(&blocks, &GOALS, size)
}

/// What the history has without a daemon.
pub(super) fn of_history(offline: &Offline<'_>, now: DateTime<Utc>, size: Size, color: bool) -> String {
    let Size { width, .. } = size;
    let headline = Part::Message { lead: String::new(), text: offline.headline(), lines: HEADLINE };
    let stopped = |sentence: &String| Item {
        parts: vec![Part::Message { lead: String::new(), text: sentence.clone(), lines: 2 }],
        count: 1,
    };
    let blocks = [
        Block { heading: vec![headline, Part::Line(format!("    {}", offline.command))], ..Block::default() },
        stood(offline, now, width),
        Block::default(),
        acknowledged(offline.health, now, width),
        one_line(&last_day(offline.last_day, offline.queued), width),
        rows(offline.rows, offline.known, now, width, color),
        Block::default(),
        bakes(OPEN, "open", &running(offline.running, now, width), width),
        bakes("Waiting", "waiting", &running(offline.waiting, now, width), width),
        Block::default(),
        Block {
            items: offline.stopped.iter().map(stopped).collect(),
            rest: ["instance that is not started", "instances that are not started", ALL],
            has_gap: true,
            ..Block::default()
        },
        Block::default(),
    ];
    fit(&blocks, &GOALS, size)
}

/// Bakes in the queue beyond those that the daemon lists.
fn unlisted(status: &Status) -> usize {
    let queued = usize::try_from(status.queued).unwrap_or(usize::MAX);
    if status.waiting.len() < LISTED_BAKES as usize { 0 } else { queued.saturating_sub(status.waiting.len()) }
}

/// The problems that stood when a daemon last wrote the history.
fn stood(offline: &Offline<'_>, now: DateTime<Utc>, width: usize) -> Block {
    let problems = problem_groups(offline.health.problems());
    if problems.is_empty() {
        return Block::default();
    }
    Block {
        heading: vec![Part::Line(shorten(&offline.as_of(), width))],
        items: problems.iter().map(|group| problem(group, now, width)).collect(),
        rest: ["problem of then", "problems of then", ALL],
        has_gap: true,
        ..Block::default()
    }
}

/// The verdict with the first problem and its command.
fn verdict(status: &Status, first: Option<&Group<'_, Problem>>, now: DateTime<Utc>, width: usize) -> Block {
    let health = &status.health;
    let heading = if let Some(group) = first {
        let lead = format!("{}: {}: ", health.verdict, health.counts());
        let mut parts = vec![Part::Message { lead, text: group.first.message.clone(), lines: HEADLINE }];
        parts.extend(below(group, now, width));
        parts
    } else {
        let end = if health.verdict == Verdict::Ok { no_image_yet(status) } else { String::new() };
        vec![Part::Line(shorten(&format!("{}{end}.", health.headline()), width))]
    };
    Block { heading, ..Block::default() }
}

fn problem(group: &Group<'_, Problem>, now: DateTime<Utc>, width: usize) -> Item {
    let severity = group.first.severity.to_string().to_uppercase();
    let message = Part::Message { lead: format!("  {severity}: "), text: group.first.message.clone(), lines: 1 };
    let mut parts = vec![message];
    parts.extend(below(group, now, width));
    Item { parts, count: 1 + group.others.len() }
}

/// What stands below the message of a problem: its command with its code and begin, and the others of the same error.
fn below(group: &Group<'_, Problem>, now: DateTime<Utc>, width: usize) -> Vec<Part> {
    let Problem { code, subject, since, command, .. } = group.first;
    let known = format!("({} {subject}, began {})", code.as_str(), distance(since, now));
    let command = command.as_deref().map(|command| format!("{command}    ")).unwrap_or_default();
    let line = format!("    {command}{known}");
    // The command stays whole, to be copied.
    let short = format!("    {command}");
    let line = match (command.is_empty(), line.width() <= width) {
        (_, true) => line,
        (true, false) => shorten(&line, width),
        (false, false) => {
            let room = width.saturating_sub(short.width());
            let code = code.as_str();
            let shorter = [format!("({code}, began {})", distance(since, now)), format!("({code})")];
            let known = shorter.into_iter().find(|known| known.len() <= room).unwrap_or_default();
            format!("{short}{known}").trim_end().to_owned()
        }
    };
    let others: Vec<String> = group.others.iter().map(|one| name_of(&one.subject)).collect();
    let same = same_for(&others, "", "", ALL, width);
    [line].into_iter().chain(same).map(Part::Line).collect()
}

/// As commands take it: `golden`, `bake 7`, or `cloud` where there is only one.
fn name_of(subject: &Subject) -> String {
    match subject {
        Subject { kind, id } if id.is_empty() => kind.as_str().to_owned(),
        Subject { kind: SubjectKind::Bake, id } => format!("bake {id}"),
        Subject { id, .. } => id.clone(),
    }
}

fn configuration(status: &Status, width: usize) -> Block {
    let item = |text: String| {
        let lines = wrapped_to(&text, 2, width).lines().count().min(NOTE);
        Item { parts: vec![Part::Message { lead: String::new(), text, lines }], count: 1 }
    };
    Block {
        items: details::state_of_configuration(status).into_iter().map(item).collect(),
        rest: ["note about the file", "notes about the file", ALL],
        has_gap: true,
        ..Block::default()
    }
}

/// The problems that a person has acknowledged.
fn acknowledged(health: &Health, now: DateTime<Utc>, width: usize) -> Block {
    let item = |(problem, by): (&Problem, &Acknowledgement)| {
        let until = by.until.as_deref().map(|until| format!(", until {}", distance(until, now))).unwrap_or_default();
        let known = format!("    by {} {}{until}: {}", by.by, distance(&by.at, now), by.reason);
        let message = Part::Message { lead: "  acknowledged: ".to_owned(), text: problem.message.clone(), lines: 1 };
        Item { parts: vec![message, Part::Line(shorten(&known, width))], count: 1 }
    };
    Block {
        items: health.acknowledged().map(item).collect(),
        rest: ["acknowledged", "acknowledged", ALL],
        ..Block::default()
    }
}

fn one_line(text: &str, width: usize) -> Block {
    let text = text.trim_end().to_owned();
    let lines = wrapped_to(&text, 2, width).lines().count();
    let part = Part::Message { lead: String::new(), text, lines };
    Block { heading: vec![part], has_gap: true, ..Block::default() }
}

/// The rows of schedules; `all` is how many there are.
fn rows(schedules: &[ScheduleRow], all: usize, now: DateTime<Utc>, width: usize, color: bool) -> Block {
    if schedules.is_empty() {
        return Block::default();
    }
    let Lines { header, rows, legend } = lines(schedules, now, width, color);
    let parts = |lines: Vec<String>| lines.into_iter().map(Part::Line).collect::<Vec<_>>();
    Block {
        heading: vec![Part::Line(header)],
        items: rows.into_iter().map(|row| Item { parts: parts(row), count: 1 }).collect(),
        beyond: all.saturating_sub(schedules.len()),
        footer: parts(legend),
        rest: ["schedule", "schedules", ALL],
        has_gap: true,
        ..Block::default()
    }
}

/// Paused schedules that no row shows, in one line.
fn paused(status: &Status, width: usize) -> Block {
    let all: Vec<String> = paused_elsewhere(status, &status.schedules).into_iter().map(str::to_owned).collect();
    if all.is_empty() {
        return Block::default();
    }
    let begin = "Paused: ";
    let end = |more: usize| if more == 0 { String::new() } else { format!(" and {more} more: {ALL}") };
    let (mut text, mut more) = names(&all, width.saturating_sub(begin.len()));
    if more > 0 {
        (text, more) = names(&all, width.saturating_sub(begin.len() + end(all.len()).width()));
    }
    let line = format!("{begin}{text}{}", end(more));
    let line = if line.width() <= width { line } else { format!("{} paused schedules: {ALL}", all.len()) };
    Block { heading: vec![Part::Line(line)], ..Block::default() }
}

fn running(bakes: &[Running], now: DateTime<Utc>, width: usize) -> Vec<BakeLine> {
    let line = |bake: &Running| {
        let Running { id, schedule, instance_id, .. } = bake;
        let known = format!("  bake {id} of , : ").width() + NAME + TRY;
        let progress = Some(bake.progress(now)).filter(|progress| known + progress.width() <= width);
        let state = progress.unwrap_or_else(|| bake.state.clone());
        let reason = bake.reason.clone().unwrap_or_default();
        let end = if reason.is_empty() { "" } else { ": " };
        BakeLine { id: *id, lead: lead(*id, (schedule, instance_id), &format!(", {state}{end}"), width), reason }
    };
    bakes.iter().map(line).collect()
}

fn late(bakes: &[Late], now: DateTime<Utc>, width: usize) -> Vec<BakeLine> {
    let line = |bake: &Late| {
        let Late { id, schedule, instance_id, slot, reason } = bake;
        let since =
            slot.parse().map(|slot: DateTime<Utc>| format!(", due {}", relative(slot, now))).unwrap_or_default();
        let lead = lead(*id, (schedule, instance_id), &format!("{since}: "), width);
        BakeLine { id: *id, lead, reason: reason.clone() }
    };
    bakes.iter().map(line).collect()
}

/// At most half of the line, but for long ends: the instance goes first, then the middle of the schedule's name.
fn lead(id: i64, (schedule, instance): (&str, &str), end: &str, width: usize) -> String {
    let whole = format!("  bake {id} of {schedule} ({instance}){end}");
    if whole.width() <= width / 2 {
        return whole;
    }
    let begin = format!("  bake {id} of ");
    let room = (width / 2).saturating_sub(begin.width() + end.width()).max(NAME);
    format!("{begin}{}{end}", shorten_name(schedule, room))
}

/// Bakes in one line each; those with the same error by their numbers.
fn bakes(heading: &str, things: &'static str, bakes: &[BakeLine], width: usize) -> Block {
    if bakes.is_empty() {
        return Block::default();
    }
    let item = |group: &Group<'_, BakeLine>| {
        let BakeLine { lead, reason, .. } = group.first;
        let lead = if reason.is_empty() { shorten(lead, width) } else { lead.clone() };
        // Since when an instance is stopped, and until when at most, stays whole.
        let lines = if reason.contains(AT_REST) { 2 } else { 1 };
        let mut parts = vec![Part::Message { lead, text: reason.clone(), lines }];
        let others: Vec<String> = group.others.iter().map(|one| one.id.to_string()).collect();
        let note = other_tries(reason, group.others.iter().map(|one| one.reason.as_str()));
        parts.extend(same_for(&others, &note, "bakes ", ALL, width).map(Part::Line));
        Item { parts, count: 1 + group.others.len() }
    };
    Block {
        heading: vec![Part::Line(heading.to_owned())],
        items: groups(bakes, |one| one.reason.as_str(), |_| ()).iter().map(item).collect(),
        rest: [things, things, ALL],
        is_counted_above: true,
        has_gap: true,
        ..Block::default()
    }
}

/// When the others of a group are tried next, unless that is when the first one is: ` (next tries from 10:20:03)`.
fn other_tries<'a>(first: &str, others: impl Iterator<Item = &'a str> + Clone) -> String {
    let differs = others.clone().any(|reason| next_try(reason) != next_try(first));
    let earliest = others.clone().filter_map(next_try).min_by_key(|next| next.at).filter(|_| differs);
    let word = if others.count() == 1 { "next try" } else { "next tries from" };
    earliest.map(|next| format!(" ({word} {})", next.time)).unwrap_or_default()
}

/// The process and its credentials.
fn daemon(status: &Status, now: DateTime<Utc>, width: usize) -> Block {
    let mut parts = Vec::new();
    for line in details::brief(status, now).lines().filter(|line| !line.is_empty()) {
        let whole = wrapped_to(line, details::INDENT, width);
        parts.extend(whole.lines().map(|line| Part::Line(shorten(line, width))));
    }
    let count = parts.len();
    Block {
        items: vec![Item { parts, count }],
        rest: ["line about the daemon", "lines about the daemon", ALL],
        has_gap: true,
        ..Block::default()
    }
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
