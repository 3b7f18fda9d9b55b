//! The overview: the verdict first, then the nights, the schedules, and what is at work.

use maud::{Markup, html};

use super::{
    frame::{Frame, document},
    health::{appearance, health},
    housekeeping,
    night::nights,
    overview_view::Overview,
    schedules::schedules,
    table::{state, table},
    work,
};
use crate::domain::{api::mode::ONLY_OBSERVES, status::Status, text::counted};

/// The overview.
pub(in crate::adapters::web) fn overview(frame: &Frame, overview: &Overview<'_>) -> Markup {
    let status = overview.status;
    let (_, symbol) = appearance(status.health.verdict);
    let title = match status.health.problems().len() {
        0 => format!("{symbol} imagebaked"),
        count => format!("{symbol} {count} · imagebaked"),
    };
    let waiting = status.waiting_in_time();
    let content = html! {
        (health(frame, status))
        (summary(frame, status))
        @match overview.nights {
            Some(shown) => (nights(frame, shown)),
            None => { h2 { "Tonight and last night" } p.none { "They are being computed; the next load of this page shows them." } }
        }
        (schedules(frame, overview))
        @if !status.running.is_empty() { (work::running(frame, ("running", "Running"), &status.running)) }
        @if !waiting.is_empty() { (work::running(frame, ("waiting", "Waiting"), &waiting)) }
        @if !status.late.is_empty() { (work::late(frame, &status.late)) }
        @if !status.housekeeping.is_empty() { (housekeeping_jobs(frame, status)) }
        (daemon(frame, status))
    };
    // A search is not interrupted by a reload.
    document(frame, &title, overview.query.get("q").is_none(), &content)
}

/// What runs, what comes next, and what ended in the last 24 hours.
fn summary(frame: &Frame, status: &Status) -> Markup {
    let day = status.last_day;
    let mut counts = vec![
        ("succeeded", day.succeeded),
        ("failed", day.failed),
        ("skipped", day.skipped),
        ("cancelled", day.cancelled),
    ];
    if day.vetoed > 0 {
        counts.insert(1, ("vetoed", day.vetoed));
    }
    html! {
        div.glance {
            p {
                strong { (status.running.len()) } " running, " strong { (status.queued) } " queued. "
                @match status.next.first() {
                    Some(next) => {
                        "Next: " strong { (next.schedule) } " " span.whole { (frame.distance_of_text(&next.slot)) } ", "
                        span.whole { (next.local) } "."
                        @if status.daemon.mode.is_observe() { " It will be skipped: the daemon only observes." }
                    }
                    None => "No slot to come.",
                }
                @if status.daemon.mode.is_observe() { " Nothing is baked or deleted: " strong { (ONLY_OBSERVES) } "." }
            }
            p {
                "Last 24 hours: "
                // A zero stays plain, so that a colour always has a meaning.
                @for (n, (word, count)) in counts.iter().enumerate() {
                    @if n > 0 { ", " }
                    span.whole .zero[*count == 0] { (count) " " (state(word)) }
                }
            }
        }
    }
}

fn housekeeping_jobs(frame: &Frame, status: &Status) -> Markup {
    let columns = [("Job", "short"), ("Last run", "short"), ("Next run", "short"), ("Result", "words")];
    table(("housekeeping", "Housekeeping"), columns, housekeeping::rows(frame, status).into_iter(), "")
}

fn daemon(frame: &Frame, status: &Status) -> Markup {
    let daemon = &status.daemon;
    html! {
        footer {
            p {
                "imagebaked " (daemon.version) ", process " (daemon.pid) ", started " (frame.time_of_text(&daemon.started_at))
                " (" (frame.distance_of_text(&daemon.started_at)) "). "
                @if daemon.mode.is_observe() { strong { "It only observes: no call changes the cloud." } " " }
                (counted(daemon.schedules, "schedule", "schedules"))
                @for (n, file) in daemon.config_files.iter().enumerate() {
                    @if n == 0 { " from " } @else { ", " }
                    code { (file) }
                }
                " (" code { (daemon.config_hash) } "). "
                @if let Some(source) = &daemon.credentials {
                    "Credentials: " (source)
                    @if let Some(key_id) = &daemon.credentials_key_id { ", key " code { (key_id) } }
                    @if let Some(identity) = &daemon.credentials_identity { ", " code { (identity) } }
                    @if let Some(end) = &daemon.credentials_expire_at { ", which end " (frame.distance_of_text(end)) }
                    "."
                }
            }
            p {
                "Times are in " (frame.zone) ", those of a schedule in its own zone. For programs: "
                @for (n, path) in ["status.json", "history.json", "healthz", "livez"].iter().enumerate() {
                    @if n > 0 { ", " }
                    a href=(frame.to(path)) { (path) }
                }
                "."
            }
        }
    }
}
