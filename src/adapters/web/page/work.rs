//! Tables of bakes that run, wait or are late.

use maud::{Markup, html};

use super::{
    frame::Frame,
    table::{bake_link, image, table, two_lines},
    time::sentence,
};
use crate::domain::status::{Late, Running};

/// Running or waiting bakes.
pub(super) fn running(frame: &Frame, heading: (&str, &str), running: &[Running]) -> Markup {
    let rows = running.iter().map(|bake| {
        [
            bake_link(&frame.to_bake(bake.id), bake.id, &bake.state),
            two_lines(&html! { (bake.schedule) }, &bake.instance_id),
            image(None, bake.image_name.as_deref(), bake.image_id.as_deref()),
            html! { (frame.time_of_text(&bake.slot)) small { "recorded " (frame.distance_of_text(&bake.created_at)) } },
            html! {
                @if let Some(reason) = &bake.reason { (sentence(reason)) }
                @if let Some(wake_at) = &bake.wake_at { small { "next poll " (frame.distance_of_text(wake_at)) } }
            },
        ]
    });
    let columns =
        [("Bake", "short"), ("Schedule", "name"), ("Image", "image"), ("Slot", "short"), ("Waits for", "words")];
    table(heading, columns, rows, "No image is being made.")
}

/// Bakes whose time has come.
pub(super) fn late(frame: &Frame, late: &[Late]) -> Markup {
    let rows = late.iter().map(|bake| {
        [
            bake_link(&frame.to_bake(bake.id), bake.id, "queued"),
            two_lines(&html! { (bake.schedule) }, &bake.instance_id),
            html! { (frame.time_of_text(&bake.slot)) small { (frame.distance_of_text(&bake.slot)) } },
            sentence(&bake.reason),
        ]
    });
    let columns = [("Bake", "short"), ("Schedule", "name"), ("Slot", "short"), ("Waits for", "words")];
    table(("late", "Late"), columns, rows, "No bake is late.")
}
