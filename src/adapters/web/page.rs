//! HTML of the status page, from a [`Status`] and rows of the history. Health comes first,
//! then running bakes, future slots, and the history. maud escapes every value.

use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

use self::time::{brief, clock, clock_text, clock_to_the_second, relative, relative_text};

use crate::{
    adapters::store::{AttemptRow, BakeRow, LineRow},
    domain::{
        health::{Acknowledgement, Problem, Severity, Verdict},
        status::{LastDay, Late, Next, Paused, Running, Status},
    },
};

mod housekeeping;
mod time;

/// The only stylesheet.
pub(super) const STYLE: &str = include_str!("page.css");
/// Its path.
pub(super) const STYLE_PATH: &str = "/page.css";

/// Seconds between two reloads of a page that can change.
const RELOAD: u32 = 10;
/// Maximum number of listed slots.
const COMING: usize = 12;
/// Maximum number of listed problems.
const PROBLEMS: usize = 50;
/// Maximum number of listed lines.
pub(super) const LINES: u32 = 100;

/// The status page.
pub(super) fn overview(status: &Status, lines: &[LineRow], rows: &[BakeRow], now: DateTime<Utc>) -> Markup {
    let (_, symbol) = appearance(status.health.verdict);
    let title = match status.health.problems().len() {
        0 => format!("{symbol} imagebaked"),
        count => format!("{symbol} {count} · imagebaked"),
    };
    let waiting = status.waiting_in_time();
    let content = html! {
        (health(status, now))
        (summary(status, now))
        (running(("running", "Running"), &status.running, now))
        @if !waiting.is_empty() { (running(("waiting", "Waiting"), &waiting, now)) }
        @if !status.late.is_empty() { (late(&status.late, now)) }
        @if !status.paused.is_empty() { (paused(&status.paused)) }
        (coming(&status.next, now))
        (last_day(status.last_day))
        @if !lines.is_empty() { (images(lines, now)) }
        (history(rows, now))
        @if !status.housekeeping.is_empty() { (housekeeping_jobs(status, now)) }
        (daemon(status, now))
    };
    document(&title, true, now, content)
}

/// One bake: its calls, its row, and its settings.
pub(super) fn bake(row: &BakeRow, settings: Option<&str>, attempts: &[AttemptRow], now: DateTime<Utc>) -> Markup {
    let content = html! {
        h1 { "Bake " (row.id) " " (state(&row.state)) }
        @if let Some(reason) = &row.reason { p.summary { (reason) } }
        (calls(attempts))
        (facts("In the history", &row_facts(row, now)))
        @match settings {
            Some(settings) => (facts("Settings", &settings_facts(settings))),
            None => { h2 { "Settings" } p.none { "None: this row only accounts for what was missed." } },
        }
    };
    document(&format!("Bake {} · imagebaked", row.id), !row.is_ended(), now, content)
}

/// Not found.
pub(super) fn not_found(what: &str, now: DateTime<Utc>) -> Markup {
    document("Not found · imagebaked", false, now, html! { h1 { (what) } })
}

/// Page for a history that does not respond. It reloads, to recover by itself.
pub(super) fn unreadable(why: &str, now: DateTime<Utc>) -> Markup {
    let content = html! {
        div.health.bad {
            h1 { span aria-hidden="true" { "✗ " } "PROBLEM: the history cannot be read" }
            p { (why) }
        }
        p.summary {
            "The state of the bakes is unknown meanwhile. Check the disk, the state directory and the log."
        }
    };
    document("✗ imagebaked", true, now, content)
}

/// Frame of every page. Its time stands at the top, so that an old page is recognisable.
fn document(title: &str, reloads: bool, now: DateTime<Utc>, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if reloads { meta http-equiv="refresh" content=(RELOAD); }
                title { (title) }
                link rel="stylesheet" href=(STYLE_PATH);
            }
            body {
                header {
                    a href="/" { "imagebaked" }
                    span {
                        (clock_to_the_second(now.timestamp_millis())) " UTC"
                        @if reloads { ", again every " (RELOAD) " s" }
                    }
                }
                main { (content) }
            }
        }
    }
}

/// Class and symbol of a verdict: colour, shape and word, because a reader may miss any of them.
fn appearance(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Ok => ("good", "✓"),
        Verdict::Warning => ("warn", "!"),
        Verdict::Problem => ("bad", "✗"),
    }
}

fn health(status: &Status, now: DateTime<Utc>) -> Markup {
    let health = &status.health;
    let (class, symbol) = appearance(health.verdict);
    let rest = health.problems().len().saturating_sub(PROBLEMS);
    let acknowledged: Vec<_> = health.acknowledged().take(PROBLEMS).collect();
    html! {
        div.health.(class) {
            h1 {
                span aria-hidden="true" { (symbol) " " }
                (health.verdict)
                @if !health.problems.is_empty() { ": " (health.counts()) }
            }
            @if health.problems.is_empty() && status.no_image_yet > 0 {
                p { (count(status.no_image_yet, "line has", "lines have")) " no image yet." }
            }
            @if !health.problems.is_empty() {
                ul { @for one in health.problems().take(PROBLEMS) { (problem(one, now)) } }
            }
            @if rest > 0 { p { (rest) " more in " a href="/status.json" { "status.json" } "." } }
            @if !acknowledged.is_empty() {
                h2 { "Acknowledged" }
                ul { @for (problem, by) in acknowledged { (known_problem(problem, by, now)) } }
            }
        }
    }
}

/// A problem that a person has acknowledged: the finding, and who knows of it until when.
fn known_problem(problem: &Problem, by: &Acknowledgement, now: DateTime<Utc>) -> Markup {
    html! {
        li {
            p { (problem.message) }
            p.more {
                (by.by) ", " span.whole { (relative_text(&by.at, now)) }
                @if let Some(until) = &by.until { ", until " (relative_text(until, now)) }
                ": " (by.reason) " "
                span.whole { (problem.code.as_str()) ", began " (relative_text(&problem.since, now)) }
            }
        }
    }
}

/// One problem: the finding, its start, and the command.
fn problem(problem: &Problem, now: DateTime<Utc>) -> Markup {
    let word = if problem.severity == Severity::Problem { "Problem" } else { "Warning" };
    html! {
        li {
            p { strong { (word) ": " } (problem.message) }
            p.more {
                @if let Some(command) = &problem.command { code { (command) } " " }
                span.whole { (problem.code.as_str()) ", began " (relative_text(&problem.since, now)) }
            }
        }
    }
}

/// Summary in one or two sentences.
fn summary(status: &Status, now: DateTime<Utc>) -> Markup {
    let running = u64::try_from(status.running.len()).unwrap_or(u64::MAX);
    html! {
        p.summary {
            (count(running, "bake", "bakes")) " running, " (status.queued) " queued. "
            @match status.next.first() {
                Some(next) => {
                    "Next: " strong { (next.schedule) } " " span.whole { (relative_text(&next.slot, now)) } "."
                }
                None => "No slot to come.",
            }
        }
    }
}

fn running((id, heading): (&str, &str), running: &[Running], now: DateTime<Utc>) -> Markup {
    let rows = running.iter().map(|bake| {
        [
            bake_link(bake.id, &bake.state),
            two_lines(&bake.schedule, &bake.instance_id),
            image(None, bake.image_name.as_deref(), bake.image_id.as_deref()),
            clock_text(&bake.slot),
            html! { (clock_text(&bake.created_at)) small { (relative_text(&bake.created_at, now)) } },
            html! {
                @if let Some(reason) = &bake.reason { (reason) }
                @if let Some(wake_at) = &bake.wake_at { small { "next poll " (relative_text(wake_at, now)) } }
            },
        ]
    });
    let columns = [
        ("Bake", "short"),
        ("Schedule", "short"),
        ("Image", "image"),
        ("Slot (UTC)", "short"),
        ("Since (UTC)", "short"),
        ("Waits for", "words"),
    ];
    table(id, heading, columns, rows, "No image is being made.")
}

fn late(late: &[Late], now: DateTime<Utc>) -> Markup {
    let rows = late.iter().map(|bake| {
        [
            bake_link(bake.id, "queued"),
            two_lines(&bake.schedule, &bake.instance_id),
            html! { (clock_text(&bake.slot)) small { (relative_text(&bake.slot, now)) } },
            html! { (bake.reason) },
        ]
    });
    let columns = [("Bake", "short"), ("Schedule", "name"), ("Slot (UTC)", "short"), ("Waits for", "words")];
    table("late", "Late", columns, rows, "No bake is late.")
}

fn paused(paused: &[Paused]) -> Markup {
    let rows = paused.iter().map(|pause| {
        [
            html! { (pause.schedule) },
            clock_text(&pause.since),
            html! { @match &pause.until { Some(until) => (clock_text(until)), None => "it is resumed" } },
            html! { (pause.who) },
            html! { (pause.reason) },
        ]
    });
    let columns =
        [("Schedule", "short"), ("Since (UTC)", "short"), ("Until (UTC)", "short"), ("By", "short"), ("Why", "words")];
    table("paused", "Paused", columns, rows, "No schedule is paused.")
}

fn coming(next: &[Next], now: DateTime<Utc>) -> Markup {
    let rows = next.iter().take(COMING).map(|next| {
        [
            html! { (relative_text(&next.slot, now)) },
            html! { (next.local) small { (clock_text(&next.slot)) " UTC" } },
            two_lines(&next.schedule, &next.instance_id),
        ]
    });
    let columns = [("When", "short"), ("Local time", "short"), ("Schedule", "name")];
    html! {
        (table("next", "Next", columns, rows, "No slot to come."))
        @if next.len() > COMING {
            p.none { "More in " a href="/status.json" { "status.json" } "." }
        }
    }
}

fn housekeeping_jobs(status: &Status, now: DateTime<Utc>) -> Markup {
    let columns = [("Job", "short"), ("Last run", "short"), ("Next run", "short"), ("Result", "words")];
    table("housekeeping", "Housekeeping", columns, housekeeping::rows(status, now).into_iter(), "")
}

fn last_day(day: LastDay) -> Markup {
    let counts =
        [("succeeded", day.succeeded), ("failed", day.failed), ("skipped", day.skipped), ("cancelled", day.cancelled)];
    html! {
        section aria-labelledby="day" {
            h2 #day { "Last 24 hours" }
            ul.counts {
                // A zero stays plain, so that a colour always has a meaning.
                @for (word, n) in counts { li .zero[n == 0] { strong { (n) } " " (state(word)) } }
            }
        }
    }
}

fn images(lines: &[LineRow], now: DateTime<Utc>) -> Markup {
    let rows = lines.iter().map(|line| {
        [
            html! { (line.line_id) },
            html! { (line.version) },
            html! { (line.image_name) small.code { (line.image_id) } },
            html! { (clock(line.slot)) small { (relative(line.slot, now)) } },
            html! {
                @for (n, (channel, version)) in line.channels.iter().enumerate() {
                    @if n > 0 { ", " }
                    span.whole {
                        (channel) " "
                        // Highlights a channel that does not point to the newest image.
                        @match version {
                            Some(version) if *version == line.version => (version),
                            Some(version) => strong { (version) },
                            None => "–",
                        }
                    }
                }
            },
        ]
    });
    let columns =
        [("Line", "name"), ("Version", "number"), ("Image", "image"), ("Slot (UTC)", "short"), ("Channels", "words")];
    html! {
        (table("images", "Newest good images", columns, rows, "No good image is recorded yet."))
        @if lines.len() >= LINES as usize {
            p.none { "The first " (LINES) " lines; all are in " code { "imagebaked images" } "." }
        }
    }
}

fn history(rows: &[BakeRow], now: DateTime<Utc>) -> Markup {
    let rows = rows.iter().map(|row| {
        [
            bake_link(row.id, &row.state),
            html! { (clock(row.slot)) small { (several_slots(row).unwrap_or_else(|| relative(row.slot, now))) } },
            two_lines(&row.schedule, &row.instance_id),
            image(row.version, row.image_name.as_deref(), row.image_id.as_deref()),
            html! { (took(row, now)) },
            html! {
                @if let Some(reason) = &row.reason { (reason) }
                @if row.trigger != "slot" { small { (trigger(row)) } }
            },
        ]
    });
    let columns = [
        ("Bake", "short"),
        ("Slot (UTC)", "name"),
        ("Schedule", "name"),
        ("Image", "image"),
        ("Took", "number"),
        ("Why", "words"),
    ];
    table("history", "History, newest slot first", columns, rows, "Nothing yet: the first slot makes the first row.")
}

fn daemon(status: &Status, now: DateTime<Utc>) -> Markup {
    let daemon = &status.daemon;
    html! {
        footer {
            p {
                "imagebaked " (daemon.version) ", process " (daemon.pid) ", started " (clock_text(&daemon.started_at))
                " UTC (" (relative_text(&daemon.started_at, now)) "). "
                @if daemon.mode.is_observe() { strong { "It only observes: no call changes the cloud." } " " }
                (count(u64::try_from(daemon.schedules).unwrap_or(u64::MAX), "schedule", "schedules"))
                @for (n, file) in daemon.config_files.iter().enumerate() {
                    @if n == 0 { " from " } @else { ", " }
                    code { (file) }
                }
                " (" code { (daemon.config_hash) } "). "
                @if let Some(source) = &daemon.credentials {
                    "Credentials: " (source)
                    @if let Some(key_id) = &daemon.credentials_key_id { ", key " code { (key_id) } }
                    @if let Some(identity) = &daemon.credentials_identity { ", " code { (identity) } }
                    @if let Some(end) = &daemon.credentials_expire_at { ", which end " (relative_text(end, now)) }
                    "."
                }
            }
            p {
                "For programs: " a href="/status.json" { "status.json" } ", " a href="/history.json" { "history.json" }
                ", " a href="/healthz" { "healthz" } ", " a href="/livez" { "livez" } "."
            }
        }
    }
}

fn row_facts(row: &BakeRow, now: DateTime<Utc>) -> Vec<(String, Markup)> {
    let text = |text: &Option<String>| text.as_ref().map(|text| html! { (text) });
    let instant = |at: i64| html! { (clock_to_the_second(at)) " UTC, " (relative(at, now)) };
    let facts = [
        ("Schedule", Some(html! { (row.schedule) })),
        ("Schedule's id", (row.schedule_id != row.schedule).then(|| html! { (row.schedule_id) })),
        ("Instance", Some(html! { (row.instance_id) })),
        ("Line", Some(html! { (row.line_id) })),
        ("Slot", Some(instant(row.slot))),
        ("Slots", several_slots(row).map(|slots| html! { (slots) })),
        ("Trigger", Some(html! { (trigger(row)) })),
        ("Image's name", text(&row.image_name)),
        ("Version", row.version.map(|version| html! { (version) })),
        ("Image", text(&row.image_id)),
        ("Image's version in the cloud", text(&row.version_id)),
        ("Task", text(&row.task_id)),
        ("Create calls that counted", Some(html! { (row.attempts) })),
        ("Recorded", Some(instant(row.created_at))),
        ("Next poll", row.wake_at.map(instant)),
        ("Ended", row.finished_at.map(instant)),
        ("Took", Some(html! { (took(row, now)) })),
        ("Configuration", Some(html! { (row.config_hash) })),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The stored settings, one line for each leaf. Read without their type, so that rows of any version can be shown.
fn settings_facts(json: &str) -> Vec<(String, Markup)> {
    let mut leaves = Vec::new();
    match serde_json::from_str(json) {
        Ok(settings) => flatten(String::new(), &settings, &mut leaves),
        Err(_) => leaves.push(("unreadable".to_owned(), json.to_owned())),
    }
    leaves.into_iter().map(|(name, value)| (name, html! { (value) })).collect()
}

fn flatten(name: String, value: &Value, leaves: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(name, value, leaves);
            }
        }
        Value::Array(items) => leaves.push((name, items.iter().map(bare).collect::<Vec<_>>().join(", "))),
        value => leaves.push((name, bare(value))),
    }
}

/// A text without its quotes, anything else as JSON.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn calls(attempts: &[AttemptRow]) -> Markup {
    let rows = attempts.iter().map(|attempt| {
        [
            two_lines(&attempt.stage, &attempt.call),
            outcome(&attempt.outcome),
            clock_to_the_second(attempt.started_at),
            html! { (brief(attempt.finished_at.saturating_sub(attempt.started_at).max(0))) },
            html! { @if let Some(status) = attempt.http_status { (status) } },
            html! {
                @if let Some(code) = &attempt.code { span.code { (code) } }
                @if let Some(request_id) = &attempt.request_id { small.code { (request_id) } }
            },
            html! { @if let Some(message) = &attempt.message { (message) } },
        ]
    });
    let columns = [
        ("Call", "short"),
        ("Outcome", "short"),
        ("Sent (UTC)", "short"),
        ("Took", "number"),
        ("HTTP", "number"),
        ("Code, RequestId", "short"),
        ("Message", "words"),
    ];
    table("calls", "Calls", columns, rows, "No call was recorded.")
}

fn facts(heading: &str, facts: &[(String, Markup)]) -> Markup {
    html! {
        section {
            h2 { (heading) }
            dl { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
        }
    }
}

/// A table under its heading; a column has a name and a class, and the first one heads the rows. A wide one scrolls by
/// itself, with a mouse, a finger or keys. On a phone the stylesheet turns every row into a card, and names the cells
/// by their `data-label`.
fn table<const N: usize>(
    id: &str,
    heading: &str,
    columns: [(&str, &str); N],
    rows: impl ExactSizeIterator<Item = [Markup; N]>,
    when_empty: &str,
) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (heading) }
            @if rows.len() == 0 {
                p.none { (when_empty) }
            } @else {
                div.scroll role="region" aria-labelledby=(id) tabindex="0" {
                    table {
                        thead { tr { @for (name, class) in columns { th.(class) scope="col" { (name) } } } }
                        tbody {
                            @for cells in rows {
                                tr {
                                    @for (n, (cell, (name, class))) in cells.into_iter().zip(columns).enumerate() {
                                        @if n == 0 { th scope="row" { (cell) } }
                                        @else { td.(class) data-label=(name) { (cell) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A state as word, symbol and colour, because a reader may miss any of them.
fn state(word: &str) -> Markup {
    let (class, symbol) = match word {
        "succeeded" => ("good", "✓"),
        "failed" => ("bad", "✗"),
        "unknown" => ("warn", "?"),
        "skipped" => ("idle", "–"),
        "cancelled" => ("idle", "⊘"),
        "queued" => ("idle", "…"),
        _ => ("busy", "▸"),
    };
    sign(class, symbol, word)
}

/// `ok`, or the class of an error: transient and unclear ones are not highlighted.
fn outcome(word: &str) -> Markup {
    let (class, symbol) = match word {
        "ok" => ("good", "✓"),
        "veto" => ("idle", "–"),
        "transient" | "busy" => ("warn", "…"),
        "unclear" => ("warn", "?"),
        _ => ("bad", "✗"),
    };
    sign(class, symbol, word)
}

fn sign(class: &str, symbol: &str, word: &str) -> Markup {
    html! { span.state .(class) { span aria-hidden="true" { (symbol) } " " (word) } }
}

fn bake_link(id: i64, word: &str) -> Markup {
    html! { a.bake href={ "/bake/" (id) } { span.id { (id) } " " (state(word)) } }
}

fn image(version: Option<i64>, name: Option<&str>, id: Option<&str>) -> Markup {
    html! {
        @if let Some(name) = name { (name) }
        @if version.is_some() || id.is_some() {
            small {
                @if let Some(version) = version { span.whole { "version " (version) } " " }
                @if let Some(id) = id { span.code { (id) } }
            }
        }
    }
}

fn two_lines(first: &str, second: &str) -> Markup {
    html! { (first) small.code { (second) } }
}

/// Slots of a row, if it covers more than its own.
fn several_slots(row: &BakeRow) -> Option<String> {
    let first = DateTime::from_timestamp_millis(row.first_slot).unwrap_or_default();
    (row.slot_count > 1).then(|| format!("{} slots since {}", row.slot_count, first.format("%F %R")))
}

fn trigger(row: &BakeRow) -> String {
    match (row.trigger.as_str(), &row.requested_by) {
        ("slot", _) => "a slot of its schedule".to_owned(),
        ("caught_up", _) => "a missed slot, caught up".to_owned(),
        ("manual", Some(who)) => format!("requested by {who}"),
        (other, _) => other.to_owned(),
    }
}

/// Duration of a bake, so far or in total; none for a row that ended when it was created.
fn took(row: &BakeRow, now: DateTime<Utc>) -> String {
    match row.finished_at {
        Some(end) if end == row.created_at => String::new(),
        Some(end) => brief(end - row.created_at),
        None => brief(now.timestamp_millis() - row.created_at),
    }
}

fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_one_line_for_each_leaf() {
        let json = r#"{"a":{"b":1,"c":null},"deadline":"4h","regions":["x","y"],"name":"<n>"}"#;
        let facts: Vec<_> = settings_facts(json).into_iter().map(|(name, value)| (name, value.into_string())).collect();
        let want = [("a.b", "1"), ("deadline", "4h"), ("name", "&lt;n&gt;"), ("regions", "x, y")];
        assert_eq!(facts, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
