//! All images: deletions to come, and the newest good image of each line.

use std::collections::HashSet;

use maud::{Markup, html};

use super::{
    frame::{Frame, document},
    schedule::{channels, next_step, notes},
    schedules::no_image,
    table::table,
    time::span,
};
use crate::{
    adapters::web::query::encode,
    domain::{ids::LineId, image::DeletionState, page::views::ImagesView, schedule_rows::order::Entry, text::counted},
};

/// Maximum number of listed lines without an image.
const WITHOUT: usize = 20;

/// The page of the images.
pub(in crate::adapters::web) fn images(
    frame: &Frame,
    view: &ImagesView,
    order: &[Entry],
    is_later_page: bool,
    has_more: bool,
) -> Markup {
    let in_force: HashSet<LineId> = order.iter().flat_map(|entry| entry.schedule.lines()).collect();
    let without: Vec<&Entry> = order.iter().filter(|entry| entry.without_image > 0).collect();
    let content = html! {
        h1 { "Images" }
        p.summary {
            @match &view.scan {
                Some((at, None)) => { "As of the last scan of the cloud, " (frame.distance(*at)) "." },
                Some((at, Some(problem))) => { "The last scan of the cloud, " (frame.distance(*at)) ", was not complete: " (problem) },
                None => "The cloud has not been scanned yet.",
            }
        }
        @if !without.is_empty() && !is_later_page { (lines_without(frame, &without)) }
        @if !is_later_page { (going(frame, view, &in_force)) }
        (newest(frame, view, &in_force))
        @if has_more || is_later_page {
            nav.pages aria-label="Pages of lines" {
                @if is_later_page { a href=(frame.to("images")) { "First page" } }
                @if let Some(last) = view.lines.last().filter(|_| has_more) {
                    a rel="next" href={ (frame.to("images")) "?after=" (encode(last.line.as_str())) } { "Next" }
                }
            }
        }
    };
    document(frame, "Images · imagebaked", true, &content)
}

fn lines_without(frame: &Frame, without: &[&Entry]) -> Markup {
    let rows = without.iter().take(WITHOUT).map(|entry| {
        let schedule = &*entry.schedule;
        let lines = schedule.instances.as_slice().len();
        [
            html! { a href=(frame.to_schedule(schedule.id.as_str())) { (schedule.name) } },
            html! {
                (no_image(entry, !entry.lost.is_empty()))
                @if lines > 1 { small { (entry.without_image) " of " (lines) " lines" } }
            },
        ]
    });
    let columns = [("Schedule", "name"), ("Lines", "words")];
    html! {
        (table(("without", "Without a good image"), columns, rows, ""))
        @if let Some(more @ 1..) = without.len().checked_sub(WITHOUT) { p.none { "And " (counted(more, "other schedule", "other schedules")) ", first in " a href=(frame.to("")) { "the overview" } "." } }
    }
}

/// The name of a line, and whether the configuration has it.
fn name(line: &LineId, in_force: &HashSet<LineId>) -> Markup {
    html! { (line) @if !in_force.contains(line) { small { "not in the configuration any more" } } }
}

fn going(frame: &Frame, view: &ImagesView, in_force: &HashSet<LineId>) -> Markup {
    let rows = view.going.iter().map(|(row, judged)| {
        let image = &row.image;
        let error = match &image.deletion {
            DeletionState::Marked { last_error, .. } => last_error.as_deref(),
            _ => None,
        };
        [
            name(&image.line, in_force),
            html! { (image.version) },
            html! { (image.name) small.code { (image.image_id) } },
            html! { (next_step(frame, judged)) @if let Some(error) = error { small { (error) } } },
            html! { @for note in notes(frame, row) { div { (note) } } },
        ]
    });
    let columns =
        [("Line", "name"), ("Version", "number"), ("Image", "image"), ("Retention", "words"), ("Marks", "words")];
    html! {
        (table(("going", "Deletions to come"), columns, rows, "No image is to be deleted."))
        p.none {
            @if view.more_going > 0 { "And " (counted(view.more_going, "more image", "more images")) ". " }
            @if view.only_marked { "Only marked images are listed. " code { "imagebaked plan" } " shows what the next pass marks, too. " }
            @if view.going.iter().any(|(_, judged)| judged.is_announced()) { (view.next_pass.describe(frame.zone, frame.now)) }
        }
    }
}

fn newest(frame: &Frame, view: &ImagesView, in_force: &HashSet<LineId>) -> Markup {
    let rows = view.lines.iter().map(|image| {
        [
            name(&image.line, in_force),
            html! { strong { "version " (image.version) } ", " (span(frame.now - image.good_at)) " old" },
            html! { (image.name) small.code { (image.image_id) } },
            html! { (frame.time(image.slot)) },
            html! { (image.images) },
            channels(&image.channels, image.version),
        ]
    });
    let columns = [
        ("Line", "name"),
        ("Good image", "short"),
        ("Image", "image"),
        ("Slot", "short"),
        ("Images", "number"),
        ("Channels", "words"),
    ];
    table(("newest", "Newest good images"), columns, rows, "No good image is recorded yet.")
}
