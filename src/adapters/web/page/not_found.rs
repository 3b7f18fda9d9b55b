//! What is not there, with the nearest that is, and the way back.

use std::sync::Arc;

use maud::{Markup, html};

use super::frame::{Frame, document};
use crate::{adapters::web::query::encode, domain::schedule::Schedule};

/// An unknown address.
pub(in crate::adapters::web) fn page(frame: &Frame, what: &str) -> Markup {
    whole(frame, what, &html! {})
}

/// An unknown schedule, with those that are near. One that is no longer in the file still has its bakes.
pub(in crate::adapters::web) fn schedule(frame: &Frame, name: &str, near: &[Arc<Schedule>]) -> Markup {
    let more = html! {
        p.summary {
            @if near.is_empty() { "No schedule in force has a name like " } @else { "No schedule in force is called " }
            code { (name) } "."
        }
        @if !near.is_empty() {
            p.summary {
                "Did you mean "
                @for (n, schedule) in near.iter().enumerate() {
                    @if n > 0 { @if n + 1 == near.len() { " or " } @else { ", " } }
                    a href=(frame.to_schedule(schedule.id.as_str())) { (schedule.name) }
                }
                "?"
            }
        }
        p.summary {
            "If it was removed from the file, its bakes are in "
            a href=(frame.to(&format!("history?schedule={}", encode(name)))) { "its history" } "."
        }
    };
    whole(frame, "There is no such schedule", &more)
}

/// An unknown bake, with the newest one.
pub(in crate::adapters::web) fn bake(frame: &Frame, newest: Option<i64>) -> Markup {
    let more = html! {
        @if let Some(newest) = newest {
            p.summary { "The bake of the newest slot is " a href=(frame.to_bake(newest)) { (newest) } "." }
        } @else {
            p.summary { "The history has no bake yet." }
        }
    };
    whole(frame, "There is no such bake", &more)
}

fn whole(frame: &Frame, what: &str, more: &Markup) -> Markup {
    let content = html! {
        h1 { (what) "." }
        (more)
        p.summary { a href=(frame.to("")) { "The overview" } " has all schedules, " a href=(frame.to("history")) { "the history" } " all bakes." }
    };
    document(frame, "Not found · imagebaked", false, &content)
}
