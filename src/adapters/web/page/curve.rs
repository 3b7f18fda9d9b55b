//! The times that bakes took, as SVG.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::{frame::Frame, time::span};
use crate::domain::{page::night::Recorded, time::show};

/// Size of the drawing.
const SIZE: (f64, f64) = (560.0, 180.0);
/// The part of it for the curve: left, top, right, bottom.
const AREA: (f64, f64, f64, f64) = (64.0, 10.0, 548.0, 152.0);
/// Maximum number of bakes in it.
const MOST: usize = 120;

/// The curve of the newest bakes that succeeded; `None` of fewer than two.
pub(super) fn curve(frame: &Frame, recorded: &[Recorded]) -> Option<Markup> {
    let mut points: Vec<(DateTime<Utc>, TimeDelta, &Recorded)> = recorded
        .iter()
        .filter(|bake| bake.state == "succeeded")
        .filter_map(|bake| Some((bake.slot, bake.took()?, bake)))
        .take(MOST)
        .collect();
    points.sort_by_key(|(slot, ..)| *slot);
    let (first, last) = (points.first()?.0, points.last()?.0);
    if points.len() < 2 || first == last {
        return None;
    }
    let longest = round_up(points.iter().map(|(_, took, _)| *took).max()?);
    let (left, top, right, bottom) = AREA;
    let x = |at: DateTime<Utc>| left + (right - left) * part(at - first, last - first);
    let y = |took: TimeDelta| bottom - (bottom - top) * part(took, longest);
    let has_one_line = points.iter().all(|(.., bake)| bake.line == points[0].2.line);
    let path: Vec<String> = points.iter().map(|(at, took, _)| format!("{:.1},{:.1}", x(*at), y(*took))).collect();
    let label = format!(
        "Times of {} bakes, from {} to {}",
        points.len(),
        span(points.iter().map(|(_, took, _)| *took).min()?),
        span(points.iter().map(|(_, took, _)| *took).max()?)
    );
    Some(html! {
        div.scroll role="region" aria-label="Curve of bake times" tabindex="0" {
            svg.curve role="img" aria-label=(label) width=(SIZE.0) height=(SIZE.1) viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } {
                @for (n, of) in [(0, 2), (1, 2), (2, 2)] {
                    @let at = longest * n / of;
                    line.hour x1=(left) x2=(right) y1=(format!("{:.1}", y(at))) y2=(format!("{:.1}", y(at))) {}
                    text.end x=(left - 6.0) y=(format!("{:.1}", y(at) + 4.0)) { (span(at)) }
                }
                @if has_one_line { polyline.curve points=(path.join(" ")) {} }
                @for (at, took, bake) in &points {
                    circle.good cx=(format!("{:.1}", x(*at))) cy=(format!("{:.1}", y(*took))) r="3" {
                        title { (show(*at, frame.zone)) " on " (bake.instance) ": " (span(*took)) }
                    }
                }
                text.hour.start x=(left) y=(bottom + 20.0) { (first.with_timezone(&frame.zone).format("%F")) }
                text.end x=(right) y=(bottom + 20.0) { (last.with_timezone(&frame.zone).format("%F")) }
            }
        }
    })
}

#[expect(clippy::cast_precision_loss, reason = "lengths of weeks in milliseconds are exact")]
fn part(of: TimeDelta, whole: TimeDelta) -> f64 {
    of.num_milliseconds() as f64 / whole.num_milliseconds().max(1) as f64
}

/// To a length whose half is a round one, too.
fn round_up(length: TimeDelta) -> TimeDelta {
    let steps = [10, 60, 600, 3_600, 6 * 3_600, 24 * 3_600].map(TimeDelta::seconds);
    let step = steps.into_iter().find(|step| length <= *step * 12).unwrap_or(TimeDelta::days(7));
    let step = step.num_seconds() * 2;
    TimeDelta::seconds((length.num_seconds() + step) / step * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_above_the_longest() {
        for (seconds, end) in [(4, 20), (119, 120), (120, 140), (1_800, 2_400), (5_000, 6_000)] {
            assert_eq!(round_up(TimeDelta::seconds(seconds)), TimeDelta::seconds(end), "{seconds}");
        }
    }
}
