//! The rows of the schedules: what their last slots brought, their newest good image, and what comes next.

use maud::{Markup, html};

use super::{
    frame::Frame,
    overview_view::Overview,
    strip::{legend, strip},
    table::{bake_link, bare_table, count, sign},
    time::{instant, span},
};
use crate::domain::{
    history::BakeRow,
    ids::LineId,
    page::{
        roster::{Entry, Rank},
        strip::{self as results, Outcome},
        views::{Details, NewestImage},
    },
    schedule::Schedule,
    status::{Paused, Status},
};

/// What is explained above the table.
const EXPLAINED: [Outcome; 5] =
    [Outcome::Succeeded, Outcome::Failed, Outcome::Skipped, Outcome::Running, Outcome::Queued];

/// The table with its search and its pages.
pub(super) fn schedules(frame: &Frame, overview: &Overview<'_>) -> Markup {
    let Overview { entries, details, query, status, .. } = overview;
    let (page, pages) = overview.pages;
    let rows = entries.iter().map(|entry| row(frame, entry, details, status));
    let columns = [
        ("Schedule", "name"),
        ("Last slots", "strip"),
        ("Good image", "short"),
        ("Next slot", "short"),
        ("Now", "words"),
    ];
    let typed = query.get("q");
    let when_empty =
        if typed.is_some() { "No schedule has this in its name or an instance." } else { "No schedule is in force." };
    let last = ((page - 1) * 50 + entries.len()).min(overview.found);
    html! {
        section aria-labelledby="schedules" {
            div.bar {
                h2 #schedules { "Schedules" }
                form method="get" action=(frame.to("")) role="search" {
                    label for="q" { "Find" }
                    input #q type="search" name="q" value=[typed] placeholder="name, id or instance" maxlength="200";
                    button type="submit" { "Search" }
                    @if typed.is_some() { a href=(frame.to("")) { "All " (overview.all) } }
                }
            }
            (legend(&EXPLAINED))
            (bare_table("schedules", columns, rows, when_empty))
            @if pages > 1 {
                nav.pages aria-label="Pages of schedules" {
                    span { (last + 1 - entries.len()) " to " (last) " of " (overview.found) ", those with problems first" }
                    @if page > 1 { a rel="prev" href=(query.link(&frame.to(""), "page", &(page - 1).to_string())) { "Previous" } }
                    @if page < pages { a rel="next" href=(query.link(&frame.to(""), "page", &(page + 1).to_string())) { "Next" } }
                }
            }
        }
    }
}

fn row(frame: &Frame, entry: &Entry, details: &Details, status: &Status) -> [Markup; 5] {
    let schedule = &*entry.schedule;
    let frame = frame.in_zone(schedule.timing.zone());
    let rows = details.rows.get(schedule.id.as_str()).map_or(&[][..], Vec::as_slice);
    let instances = schedule.instances.as_slice();
    let paused = pause(schedule, status);
    [
        html! {
            div.entry {
                (rank_sign(entry.rank, paused.is_some()))
                div {
                    a href=(frame.to_schedule(schedule.id.as_str())) { (schedule.name) }
                    small.code { @if let [one] = instances { (one) } @else { (instances.len()) " instances" } }
                }
            }
        },
        strip(&frame, &results::strip(rows)),
        newest_image(&frame, entry, details),
        next(&frame, schedule, paused.as_ref()),
        now(&frame, rows),
    ]
}

/// Symbol, colour and word of a place; the word is for those who do not see the others.
pub(super) fn rank_sign(rank: Rank, is_paused: bool) -> Markup {
    let (class, symbol, word) = match rank {
        Rank::NoGoodImage => ("bad", "✗", "no good image"),
        Rank::Problem => ("bad", "✗", "problem"),
        Rank::Warning => ("warn", "!", "warning"),
        Rank::NoImageYet | Rank::Good if is_paused => ("idle", "‖", "paused"),
        Rank::NoImageYet => ("idle", "○", "no image yet"),
        Rank::Good => ("good", "✓", "good"),
    };
    html! { span.rank.(class) title=(word) { span aria-hidden="true" { (symbol) } span.read { (word) ": " } } }
}

/// How a schedule is paused, and until when.
pub(super) fn pause(schedule: &Schedule, status: &Status) -> Option<(String, Option<String>)> {
    if status.paused_in_file.iter().any(|name| name == schedule.name.as_str()) {
        return Some(("in the file".to_owned(), None));
    }
    let Paused { until, who, reason, .. } =
        status.paused.iter().find(|pause| pause.schedule == schedule.id.as_str())?;
    Some((format!("by {who}: {reason}"), until.clone()))
}

/// Version and age; of several lines of the one whose image is the oldest.
fn newest_image(frame: &Frame, entry: &Entry, details: &Details) -> Markup {
    let schedule = &*entry.schedule;
    let lines: Vec<LineId> = schedule.instances.as_slice().iter().map(|instance| schedule.line(instance)).collect();
    let oldest = lines.iter().filter_map(|line| details.images.get(line)).min_by_key(|image| image.slot);
    // The image may have come or gone since the order was computed.
    let without = lines.iter().filter(|line| !details.images.contains_key(*line)).count();
    html! {
        @if without > 0 {
            @let (class, symbol) = if entry.rank == Rank::NoGoodImage { ("bad", "✗") } else { ("idle", "○") };
            @let word = if entry.rank == Rank::NoGoodImage { "no good image" } else { "no image yet" };
            (sign(class, symbol, word))
            @if lines.len() > 1 { small { (without) " of " (lines.len()) " lines" } }
        }
        @if let Some(NewestImage { version, slot, image_id, .. }) = oldest {
            @if without == 0 {
                span { strong { (span(frame.now - *slot)) } " old, version " (version) }
                @if lines.len() > 1 { small { "the oldest of " (lines.len()) " lines" } } @else { small.code { (image_id) } }
            }
        }
    }
}

fn next(frame: &Frame, schedule: &Schedule, paused: Option<&(String, Option<String>)>) -> Markup {
    html! {
        @match (paused, schedule.timing.next_after(frame.now)) {
            (Some((how, until)), _) => {
                (sign("idle", "‖", "paused"))
                small {
                    (how)
                    @if let Some(until) = until { ", until " (frame.time_of_text(until)) }
                }
            }
            (None, Some(slot)) => { span { (frame.distance(slot)) } small { (frame.time(slot)) } }
            (None, None) => "none",
        }
    }
}

/// Open bakes with what they wait for; without one the newest result, if it is none to be content with.
fn now(frame: &Frame, rows: &[BakeRow]) -> Markup {
    let mut open: Vec<&BakeRow> = rows.iter().filter(|row| !row.is_ended()).collect();
    open.sort_by_key(|row| (row.slot, row.id));
    let newest = rows.iter().max_by_key(|row| (row.slot, row.id));
    html! {
        @if let Some((first, rest)) = open.split_first() {
            (bake_link(&frame.to_bake(first.id), first.id, &first.state))
            @match (&first.reason, first.wake_at) {
                (Some(reason), _) => small { (reason) },
                (None, Some(wake_at)) => small { "next step " (frame.distance(instant(wake_at))) },
                (None, None) => {}
            }
            @if !rest.is_empty() { small { "and " (count(rest.len(), "other bake", "other bakes")) } }
        } @else if let Some(row) = newest.filter(|row| row.state != "succeeded") {
            (bake_link(&frame.to_bake(row.id), row.id, &row.state))
            @if let Some(reason) = &row.reason { small { (reason) } }
        }
    }
}
