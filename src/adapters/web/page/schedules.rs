//! The rows of the schedules: what their last slots brought, their newest good image, and what comes next.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{
    frame::Frame,
    overview_view::Overview,
    strip::{legend, strip},
    table::{bake_link, bare_table, sign},
    time::{sentence, span},
};
use crate::domain::{
    schedule_rows::{
        Row,
        order::{Entry, Rank},
        outcome::Outcome,
    },
    status::RowMark,
};

/// The table with its search and its pages.
pub(super) fn schedules(frame: &Frame, overview: &Overview<'_>) -> Markup {
    let Overview { rows: shown, query, .. } = overview;
    let (page, pages) = overview.pages;
    let rows = shown.iter().map(|shown| row(frame, shown));
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
    let last = ((page - 1) * 50 + shown.len()).min(overview.found);
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
            (legend(&outcomes(shown)))
            (bare_table("schedules", columns, rows, when_empty))
            @if pages > 1 {
                nav.pages aria-label="Pages of schedules" {
                    span { (last + 1 - shown.len()) " to " (last) " of " (overview.found) ", those with problems first" }
                    @if page > 1 { a rel="prev" href=(query.link(&frame.to(""), "page", &(page - 1).to_string())) { "Previous" } }
                    @if page < pages { a rel="next" href=(query.link(&frame.to(""), "page", &(page + 1).to_string())) { "Next" } }
                }
            }
        }
    }
}

/// The results that are in these rows, which are explained above them.
fn outcomes(rows: &[Row]) -> BTreeSet<Outcome> {
    rows.iter().flat_map(|row| &row.strip).map(|mark| mark.outcome).collect()
}

fn row(frame: &Frame, row: &Row) -> [Markup; 5] {
    let schedule = &*row.entry.schedule;
    let frame = frame.in_zone(schedule.timing.zone());
    let instances = schedule.instances.as_slice();
    [
        html! {
            div.entry {
                (rank_sign(row))
                div {
                    a href=(frame.to_schedule(schedule.id.as_str())) { (schedule.name) }
                    small.code { @if let [one] = instances { (one) } @else { (instances.len()) " instances" } }
                }
            }
        },
        strip(&frame, &row.strip),
        newest_image(&frame, row),
        next(&frame, row),
        now(&frame, row),
    ]
}

/// Symbol, colour and word of a place; the word is for those who do not see the others.
pub(super) fn rank_sign(row: &Row) -> Markup {
    let (class, symbol, word) = match row.mark() {
        RowMark::NoGoodImage => ("bad", "✗", "no good image"),
        RowMark::Problem => ("bad", "✗", "problem"),
        RowMark::Warning => ("warn", "!", "warning"),
        RowMark::Paused => ("idle", "‖", "paused"),
        RowMark::Acknowledged => ("idle", "○", "no good image"),
        RowMark::NoImageYet => ("idle", "○", "no image yet"),
        RowMark::Good => ("good", "✓", "good"),
    };
    let codes: Vec<&str> = row.problems.iter().map(|code| code.as_str()).collect();
    let title = if codes.is_empty() { word.to_owned() } else { format!("{word}: {}", codes.join(", ")) };
    html! { span.rank.(class) title=(title) { span aria-hidden="true" { (symbol) } span.read { (word) ": " } } }
}

/// Version and age; of several lines of the one whose image is the oldest.
fn newest_image(frame: &Frame, row: &Row) -> Markup {
    let without = row.lines - row.lines_with_image;
    html! {
        @if without > 0 {
            (no_image(&row.entry, !row.entry.lost.is_empty()))
            @if row.lines > 1 { small { (without) " of " (row.lines) " lines" } }
        } @else if let Some(image) = &row.image {
            span { strong { (span(frame.now - image.good_at)) } " old, version " (image.version) }
            @if row.lines > 1 { small { "the oldest of " (row.lines) " lines" } } @else { small.code { (image.image_id) } }
        }
    }
}

/// A line without a good image: red where it had slots or images, unless somebody knows of it.
pub(super) fn no_image(entry: &Entry, is_lost: bool) -> Markup {
    match (is_lost, entry.rank) {
        (true, Rank::NoGoodImage) => sign("bad", "✗", "no good image"),
        (true, _) => sign("idle", "○", "no good image"),
        (false, _) => sign("idle", "○", "no image yet"),
    }
}

fn next(frame: &Frame, row: &Row) -> Markup {
    html! {
        @match (&row.pause, row.next) {
            (Some(pause), _) => { (sign("idle", "‖", "paused")) small { (sentence(&pause.describe(frame.zone))) } }
            (None, Some(slot)) => { span { (frame.distance(slot)) } small { (frame.time(slot)) } }
            (None, None) => "none",
        }
    }
}

/// The open bake with what it waits for; without one the newest result, if it is none to be content with.
fn now(frame: &Frame, row: &Row) -> Markup {
    let newest = row.newest.as_ref().filter(|newest| newest.outcome() != Outcome::Succeeded);
    html! {
        @if let Some(open) = &row.open {
            (bake_link(&frame.to_bake(open.bake), open.bake, &open.state))
            @if let Some(reason) = &open.reason { small { (sentence(reason)) } }
        } @else if let Some(newest) = newest {
            @let word = if newest.vetoed { newest.outcome().word() } else { &newest.state };
            (bake_link(&frame.to_bake(newest.bake), newest.bake, word))
            @if let Some(reason) = &newest.reason { small { (sentence(reason)) } }
        }
    }
}
