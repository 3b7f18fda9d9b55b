//! A night as SVG: the frame of the drawing, its axis, and the sentence above it.

mod axis;
mod columns;
mod lanes;

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use maud::{Markup, html};

use self::{
    axis::{Axis, HEAD, NAMES, WIDTH, n},
    lanes::Lanes,
};
use super::frame::Frame;
use crate::domain::{
    page::night::{Drawing, Night},
    time::{night::NightName, show_minute},
};

/// Width of what is shown before now on a phone, with the names of lanes.
const BEFORE_NOW: f64 = 200.0;

/// Both nights, each under its heading.
pub(super) fn nights(frame: &Frame, nights: &[Night; 2]) -> Markup {
    html! { @for one in nights { (night(frame, one)) } }
}

fn night(frame: &Frame, night: &Night) -> Markup {
    let frame = &frame.in_zone(night.zone);
    let (id, when_empty) = match night.name {
        NightName::Tonight => ("tonight", "No slot is due until noon."),
        NightName::Last | NightName::LastAndMorning => ("last-night", "No bake."),
    };
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (night.name.label()) }
            @if night.drawing == Drawing::Nothing {
                p.none { (when_empty) }
            } @else {
                p.sum { (sum(frame, night)) }
                div.scroll role="region" aria-labelledby=(id) tabindex="0" { (drawing(frame, night)) }
                (legend(night))
            }
        }
    }
}

/// One sentence on the night.
fn sum(frame: &Frame, night: &Night) -> Markup {
    // What is open is counted above, as of the moment of the page; a night is computed a few seconds before.
    let ended = night.counts.iter().filter(|(outcome, _)| !outcome.is_open());
    let mut parts: Vec<String> = ended.map(|(outcome, count)| format!("{count} {}", outcome.word())).collect();
    if night.planned > 0 {
        parts.push(format!("{} planned", night.planned));
    }
    if night.late > 0 {
        parts.push(format!("{} expected to be skipped", night.late));
    }
    html! {
        @if !parts.is_empty() { (parts.join(", ")) ". " }
        @match night.former {
            0 => {}
            1 => "1 of them is of a schedule or instance that the configuration has no more. ",
            former => { (former) " of them are of schedules or instances that the configuration has no more. " }
        }
        @if let Some(end) = night.end {
            @if end > frame.now { "Done at " } @else { "Done since " }
            span.whole { (show_minute(end, frame.zone)) } ". "
        }
        @if night.is_assumed && night.planned > 0 { "No bake has succeeded yet: 30 minutes each are assumed. " }
    }
}

/// The drawing in its frame: the hours behind it, and the line of now over it.
fn drawing(frame: &Frame, night: &Night) -> Markup {
    let axis = Axis { night };
    let height = match &night.drawing {
        Drawing::Nothing => HEAD,
        Drawing::Lanes { builders, others, waiting, beside } => {
            lanes::height(&Lanes { builders, others, waiting, beside })
        }
        Drawing::Columns(columns) => columns::height(columns),
    };
    let label = format!(
        "{}, {} to {}",
        night.name.label(),
        show_minute(night.from, night.zone),
        show_minute(night.to, night.zone)
    );
    html! {
        div.timeline {
            @if axis.has(frame.now) { (start(axis.x(frame.now))) }
            svg.night.names viewBox={ "0 0 " (NAMES) " " (n(height)) } {
                @match &night.drawing {
                    Drawing::Nothing => {}
                    Drawing::Lanes { builders, others, waiting, beside } => (lanes::names(&Lanes { builders, others, waiting, beside })),
                    Drawing::Columns(columns) => (columns::names(columns)),
                }
            }
            svg.night.hours role="group" aria-label=(label) viewBox={ (NAMES) " 0 " (WIDTH - NAMES) " " (n(height)) } {
                @for (n, hour) in axis.hours().into_iter().enumerate() { (self::hour(&axis, hour, height, n == 0)) }
                @match &night.drawing {
                    Drawing::Nothing => {}
                    Drawing::Lanes { builders, others, waiting, beside } => (lanes::draw(frame, &axis, &Lanes { builders, others, waiting, beside })),
                    Drawing::Columns(columns) => (columns::draw(frame, &axis, columns)),
                }
                @if axis.has(frame.now) { (now(axis.x(frame.now), height)) }
            }
        }
    }
}

/// Where a drawing that scrolls is shown first: now, and some of what was before. Its width is that of a picture, because the
/// page allows no styles of its own; older browsers begin at the left.
fn start(x: f64) -> Markup {
    html! {
        div.start aria-hidden="true" {
            svg width=(n((x - BEFORE_NOW).max(0.0))) height="1" {}
            svg.first width="1" height="1" {}
        }
    }
}

/// What the shapes mean; only those that are there.
fn legend(night: &Night) -> Markup {
    html! {
        ul.legend aria-label="Shapes" {
            @match &night.drawing {
                Drawing::Nothing => {}
                Drawing::Lanes { builders, others, waiting, beside } => (lanes::legend(&Lanes { builders, others, waiting, beside })),
                Drawing::Columns(columns) => (columns::legend(night, columns)),
            }
        }
    }
}

/// A line with its hour; the date where a day begins, and at the first one.
fn hour(axis: &Axis<'_>, at: DateTime<Utc>, height: f64, is_first: bool) -> Markup {
    let local = at.with_timezone(&axis.night.zone);
    let x = axis.x(at);
    html! {
        line.hour x1=(n(x)) x2=(n(x)) y1=(n(HEAD - 4.0)) y2=(n(height)) {}
        text.hour x=(n(x)) y=(n(HEAD - 8.0)) { (local.format("%H:%M")) }
        @if local.hour() == 0 || is_first { text.date x=(n(x)) y="11" { (local.format("%a")) " " (local.day()) } }
    }
}

fn now(x: f64, height: f64) -> Markup {
    html! {
        path.now d={ "M" (n(x - 5.0)) " " (n(HEAD - 6.0)) " h10 l-5 6 z" } { title { "now" } }
        line.now x1=(n(x)) x2=(n(x)) y1=(n(HEAD)) y2=(n(height)) {}
    }
}
