//! A night as SVG: a lane per builder, planned bars and the actual ones over them, waits, deadlines, and what got no builder.

use chrono::{DateTime, Datelike as _, TimeDelta, Timelike as _, Utc};
use maud::{Markup, html};

use super::{
    frame::Frame,
    table::{appearance, count},
    time::span,
};
use crate::domain::{
    page::{
        night::{Bar, Beside, Night},
        strip::Outcome,
    },
    time::{show, show_minute},
};

/// Width of the drawing; it scrolls where there is less room.
const WIDTH: f64 = 1120.0;
/// Width of the names of lanes.
const NAMES: f64 = 84.0;
/// Room for half an hour's label after the axis.
const RIGHT: f64 = 24.0;
/// Height of the head with the hours.
const HEAD: f64 = 34.0;
/// Height of a lane.
const LANE: f64 = 28.0;
/// Height of a planned bar and of an actual one.
const BARS: (f64, f64) = (20.0, 14.0);
/// Minimum distance of two labels of hours.
const HOUR_LABEL: f64 = 48.0;
/// Width of a character of a bar's text, in the widest of the usual fonts.
const CHARACTER: f64 = 7.0;
/// Distance within which marks without a builder are one mark.
const CLOSE: f64 = 26.0;
/// Length of a bar's symbol.
const SYMBOL: f64 = 16.0;

/// Both nights, each under its heading.
pub(super) fn nights(frame: &Frame, nights: &[Night; 2]) -> Markup {
    html! {
        (night(frame, ("last-night", "Last night"), &nights[0], "No bake."))
        (night(frame, ("tonight", "Tonight"), &nights[1], "No slot is due until tomorrow noon."))
    }
}

fn night(frame: &Frame, (id, heading): (&str, &str), night: &Night, when_empty: &str) -> Markup {
    let frame = &frame.in_zone(night.zone);
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (heading) }
            @if night.is_empty() {
                p.none { (when_empty) }
            } @else {
                p.sum { (sum(frame, night)) }
                div.scroll role="region" aria-labelledby=(id) tabindex="0" { (drawing(frame, heading, night)) }
                (legend(night))
            }
        }
    }
}

/// One sentence on the night.
fn sum(frame: &Frame, night: &Night) -> Markup {
    let mut parts: Vec<String> =
        night.counts.iter().map(|(outcome, count)| format!("{count} {}", outcome.word())).collect();
    if night.planned > 0 {
        parts.push(format!("{} planned", night.planned));
    }
    if night.late > 0 {
        parts.push(format!("{} expected to be skipped", night.late));
    }
    html! {
        (parts.join(", ")) ". "
        @if let Some(end) = night.end {
            @if end > frame.now { "Done at " } @else { "Done since " }
            (show_minute(end, frame.zone)) ". "
        }
        @if night.is_assumed && night.planned > 0 { "No bake has succeeded yet: 30 minutes each are assumed. " }
        @if night.more > 0 { (count(night.more, "is", "are")) " not drawn." }
    }
}

/// The axis: instants to places.
struct Axis<'a> {
    night: &'a Night,
}

impl Axis<'_> {
    fn x(&self, at: DateTime<Utc>) -> f64 {
        let whole = seconds(self.night.to - self.night.from).max(1.0);
        let part = seconds(at - self.night.from) / whole;
        NAMES + part.clamp(0.0, 1.0) * (WIDTH - NAMES - RIGHT)
    }

    fn has(&self, at: DateTime<Utc>) -> bool {
        self.night.from <= at && at <= self.night.to
    }

    /// Full hours with enough room for their labels.
    fn hours(&self) -> Vec<DateTime<Utc>> {
        let hours = (self.night.to - self.night.from).num_hours().max(1);
        let width = (WIDTH - NAMES - RIGHT) / f64::from(u16::try_from(hours).unwrap_or(u16::MAX));
        let every = [1_u32, 2, 3, 4, 6, 12].into_iter().find(|n| width * f64::from(*n) >= HOUR_LABEL).unwrap_or(12);
        let at = |n: i64| self.night.from + TimeDelta::hours(n);
        let fits = |at: &DateTime<Utc>| at.with_timezone(&self.night.zone).hour().is_multiple_of(every);
        (0..=hours).map(at).filter(|at| *at <= self.night.to).filter(fits).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "lengths of a day are small")]
fn seconds(length: TimeDelta) -> f64 {
    length.num_milliseconds() as f64 / 1_000.0
}

/// A place to a tenth: finer ones only make the page longer.
fn n(place: f64) -> String {
    let text = format!("{place:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn drawing(frame: &Frame, heading: &str, night: &Night) -> Markup {
    let axis = Axis { night };
    let lanes = night.lanes.len() + usize::from(!night.beside.is_empty());
    let height = HEAD + LANE * f64::from(u16::try_from(lanes).unwrap_or(u16::MAX)) + 4.0;
    let top = |lane: usize| HEAD + LANE * f64::from(u16::try_from(lane).unwrap_or(u16::MAX));
    html! {
        svg.night role="group" aria-label={ (heading) ", " (show_minute(night.from, night.zone)) " to " (show_minute(night.to, night.zone)) }
            width=(WIDTH) height=(n(height)) viewBox={ "0 0 " (WIDTH) " " (n(height)) } {
            @for (n, hour) in axis.hours().into_iter().enumerate() { (self::hour(&axis, hour, height, n == 0)) }
            @for (number, lane) in night.lanes.iter().enumerate() {
                text.lane x="0" y=(n(top(number) + 18.0)) { "builder " (number + 1) }
                // Bars lie over the waits of others, and no flag stands in a bar.
                @for bar in lane { (wait(&axis, bar, top(number))) }
                @for bar in lane { (self::bar(frame, &axis, bar, top(number))) }
                @for bar in lane { (deadline(frame, &axis, bar, lane, top(number))) }
            }
            @if !night.beside.is_empty() {
                text.lane x="0" y=(n(top(night.lanes.len()) + 18.0)) { "no builder" }
                @for marks in grouped(&axis, &night.beside) { (beside(frame, &axis, marks, top(night.lanes.len()))) }
            }
            @if axis.has(frame.now) { (now(axis.x(frame.now), height)) }
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

/// The wait before a bar.
fn wait(axis: &Axis<'_>, bar: &Bar, top: f64) -> Markup {
    let (begin, middle) = (axis.x(bar.begin), top + LANE / 2.0);
    html! {
        @if let Some(from) = bar.waited_from.map(|from| axis.x(from)).filter(|from| *from < begin) {
            line.wait x1=(n(from)) x2=(n(begin)) y1=(n(middle)) y2=(n(middle)) {}
            line.wait-end x1=(n(from)) x2=(n(from)) y1=(n(middle - 5.0)) y2=(n(middle + 5.0)) {}
        }
    }
}

/// The deadline of a bar, if there is room for its flag.
fn deadline(frame: &Frame, axis: &Axis<'_>, bar: &Bar, lane: &[Bar], top: f64) -> Markup {
    let middle = top + LANE / 2.0;
    let is_free = |at: &DateTime<Utc>| {
        let x = axis.x(*at);
        let covers =
            |other: &Bar| axis.x(other.begin) - 8.0 < x && x < axis.x(other.end.unwrap_or(other.planned_end)) + 2.0;
        axis.has(*at) && !lane.iter().any(covers)
    };
    html! {
        @if let Some(at) = bar.deadline.filter(is_free) {
            path.deadline d={ "M" (n(axis.x(at))) " " (n(middle - 9.0)) " v18 m0 -18 h6 l-2 3 l2 3 h-6" } {
                title { (bar.schedule) ": deadline " (show(at, frame.zone)) }
            }
        }
    }
}

/// The planned length of a bar, and its actual one with its result.
fn bar(frame: &Frame, axis: &Axis<'_>, bar: &Bar, top: f64) -> Markup {
    let (begin, planned) = (axis.x(bar.begin), axis.x(bar.planned_end));
    let middle = top + LANE / 2.0;
    let planned_width = (planned - begin).max(3.0);
    let title = title(frame, bar);
    let drawn = html! {
        rect.plan x=(n(begin)) y=(n(middle - BARS.0 / 2.0)) width=(n(planned_width)) height=(n(BARS.0)) rx="3" {}
        @match (bar.outcome, bar.end) {
            (Some(outcome), Some(end)) => (actual(bar, outcome, (begin, axis.x(end)), middle)),
            _ => (label(&bar.schedule, begin + 5.0, planned_width - 8.0, middle, "planned")),
        }
        title { (title) }
    };
    html! {
        @match bar.bake {
            Some(id) => a href=(frame.to_bake(id)) aria-label=(title) { (drawn) },
            None => g { (drawn) },
        }
    }
}

fn actual(bar: &Bar, outcome: Outcome, (begin, end): (f64, f64), middle: f64) -> Markup {
    let (class, symbol) = appearance(outcome);
    let width = (end - begin).max(4.0);
    html! {
        rect.(class) .open[outcome.is_open()] x=(n(begin)) y=(n(middle - BARS.1 / 2.0)) width=(n(width)) height=(n(BARS.1)) rx="2" {}
        @if width >= SYMBOL {
            text.on.(class) x=(n(begin + 4.0)) y=(n(middle + 4.0)) aria-hidden="true" { (symbol) }
            (label(&bar.schedule, begin + SYMBOL, width - SYMBOL - 3.0, middle, &format!("on {class}")))
        } @else if outcome != Outcome::Succeeded {
            // Too short for a symbol: a sign above the bar.
            path.(class) .flag d={ "M" (n(begin + width / 2.0)) " " (n(middle - BARS.1 / 2.0)) " l-4 -6 h8 z" } {}
        }
    }
}

/// The schedule's name as far as there is room for it.
fn label(name: &str, x: f64, room: f64, middle: f64, class: &str) -> Markup {
    let room = room / CHARACTER;
    let length = name.chars().count();
    let fits = f64::from(u16::try_from(length).unwrap_or(u16::MAX)) <= room;
    let cut: String = if fits {
        name.to_owned()
    } else {
        let shown = (0..length).take_while(|n| f64::from(u16::try_from(*n).unwrap_or(u16::MAX)) + 2.0 <= room).count();
        name.chars().take(shown).chain(['…']).collect()
    };
    html! { @if fits || cut.chars().count() >= 4 { text class=(class) x=(n(x)) y=(n(middle + 4.0)) aria-hidden="true" { (cut) } } }
}

fn title(frame: &Frame, bar: &Bar) -> String {
    let took = |end: DateTime<Utc>| span(end - bar.begin);
    let mut text = format!("{} on {}, slot {}: ", bar.schedule, bar.instance, show(bar.slot, frame.zone));
    match (bar.outcome, bar.end) {
        (Some(outcome), Some(end)) if outcome.is_open() => {
            text.push_str(&format!("{} for {}, usually {}", outcome.word(), took(end), took(bar.planned_end)));
        }
        (Some(outcome), Some(end)) => {
            text.push_str(&format!("{} after {}, usually {}", outcome.word(), took(end), took(bar.planned_end)));
        }
        _ => {
            let begin = show_minute(bar.begin, frame.zone);
            text.push_str(&format!("planned from {begin} for {}", took(bar.planned_end)));
        }
    }
    if let Some(from) = bar.waited_from {
        let (waits, length) = (if bar.outcome.is_some() { "waited" } else { "waits" }, span(bar.begin - from));
        text.push_str(&format!("; {waits} {length} for a builder"));
    }
    text
}

/// Marks that are so close that they would cover each other, together.
fn grouped<'a>(axis: &Axis<'_>, beside: &'a [Beside]) -> Vec<Vec<&'a Beside>> {
    let mut groups: Vec<Vec<&Beside>> = Vec::new();
    for mark in beside {
        let first = groups.last().and_then(|group| group.first());
        match first {
            Some(first) if axis.x(mark.slot) - axis.x(first.slot) < CLOSE => {
                if let Some(group) = groups.last_mut() {
                    group.push(mark);
                }
            }
            _ => groups.push(vec![mark]),
        }
    }
    groups
}

fn beside(frame: &Frame, axis: &Axis<'_>, marks: Vec<&Beside>, top: f64) -> Markup {
    let Some(worst) = marks.iter().max_by_key(|mark| mark.outcome) else { return html! {} };
    let (class, symbol) = appearance(worst.outcome);
    let x = axis.x(marks.first().map_or(worst.slot, |mark| mark.slot)).min(WIDTH - RIGHT);
    let middle = top + LANE / 2.0;
    let shown = marks.iter().take(8).map(|mark| {
        let planned = if mark.bake.is_none() { "will be " } else { "" };
        let reason = if mark.reason.is_empty() { String::new() } else { format!(": {}", mark.reason) };
        format!("{} {} {planned}{}{reason}", show(mark.slot, frame.zone), mark.schedule, mark.outcome.word())
    });
    let mut title = shown.collect::<Vec<_>>().join("\n");
    if marks.len() > 8 {
        title.push_str(&format!("\nand {} more", marks.len() - 8));
    }
    let drawn = html! {
        text.mark.(class) .planned[worst.bake.is_none()] x=(n(x)) y=(n(middle + 5.0)) {
            (symbol) @if marks.len() > 1 { tspan.count { (marks.len().min(999)) } }
        }
        title { (title) }
    };
    html! {
        @match worst.bake {
            Some(id) => a href=(frame.to_bake(id)) aria-label=(title) { (drawn) },
            None => g { (drawn) },
        }
    }
}

/// What the shapes mean; only those that are there.
fn legend(night: &Night) -> Markup {
    let bars = || night.lanes.iter().flatten();
    let has = |outcome: Outcome| bars().any(|bar| bar.outcome == Some(outcome));
    let outcomes = [Outcome::Succeeded, Outcome::Failed, Outcome::Running, Outcome::Unknown, Outcome::Cancelled];
    let item = |shape: Markup, word: &str| {
        html! { li { svg.night aria-hidden="true" width="24" height="20" viewBox="0 0 24 20" { (shape) } " " (word) } }
    };
    html! {
        ul.legend aria-label="Shapes" {
            @if !night.lanes.is_empty() {
                (item(html! { rect.plan x="1" y="2" width="22" height="16" rx="3" {} }, "usual length"))
            }
            @for outcome in outcomes.into_iter().filter(|outcome| has(*outcome)) {
                @let (class, symbol) = appearance(outcome);
                (item(html! {
                    rect.(class) .open[outcome.is_open()] x="1" y="3" width="22" height="14" rx="2" {}
                    text.on.(class) x="8" y="14" { (symbol) }
                }, outcome.word()))
            }
            @if bars().any(|bar| bar.waited_from.is_some()) {
                (item(html! { line.wait x1="2" x2="22" y1="10" y2="10" {} line.wait-end x1="2" x2="2" y1="5" y2="15" {} }, "waits for a builder"))
            }
            @if bars().any(|bar| bar.deadline.is_some_and(|at| night.from <= at && at <= night.to)) {
                (item(html! { path.deadline d="M9 1 v18 m0 -18 h6 l-2 3 l2 3 h-6" {} }, "deadline"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_to_their_room() {
        let text = |room: f64| label("win11-golden", 0.0, room, 0.0, "on good").into_string();
        assert!(text(12.0 * CHARACTER).contains(">win11-golden<"));
        assert!(text(8.0 * CHARACTER).contains(">win11-g…<"), "{}", text(8.0 * CHARACTER));
        assert_eq!(text(3.0 * CHARACTER), "");
        assert_eq!(text(-9.0), "");
        assert!(label("lab", 0.0, 3.0 * CHARACTER, 0.0, "on good").into_string().contains(">lab<"));
    }

    #[test]
    fn places_have_one_decimal_at_most() {
        assert_eq!([n(1.0), n(1.25), n(-0.06)], ["1", "1.2", "-0.1"]);
    }
}
