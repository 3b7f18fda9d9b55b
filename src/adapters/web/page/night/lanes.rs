//! Each bake of a night by itself: a lane per builder with planned bars and the actual ones over them, lanes of those that
//! wait, deadlines, and what got no builder.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::axis::{Axis, HEAD, RIGHT, WIDTH, grouped, legend_item, n, whole};
use crate::{
    adapters::web::page::{frame::Frame, table::appearance, time::span},
    domain::{
        page::night::{Bar, Beside, Wait},
        schedule_rows::outcome::Outcome,
        time::{show, show_minute},
    },
};

/// Height of a lane.
const LANE: f64 = 28.0;
/// Height of a planned bar and of an actual one.
const BARS: (f64, f64) = (20.0, 14.0);
/// Width of a character of a bar's text, in the widest of the usual fonts.
const CHARACTER: f64 = 7.0;
/// Distance within which marks without a builder are one mark.
const CLOSE: f64 = 26.0;
/// Length of a bar's symbol.
const SYMBOL: f64 = 16.0;

/// The lanes, from the top: builders, bakes without one to themselves, those that wait, and slots without a bake.
pub(super) struct Lanes<'a> {
    pub(super) builders: &'a [Vec<Bar>],
    pub(super) others: &'a [Vec<Bar>],
    pub(super) waiting: &'a [Vec<Wait>],
    pub(super) beside: &'a [Beside],
}

impl Lanes<'_> {
    fn bars(&self) -> impl Iterator<Item = &Vec<Bar>> {
        self.builders.iter().chain(self.others)
    }

    /// Number of the first lane of those that wait, and of the one of slots without a builder.
    fn after_bars(&self) -> (usize, usize) {
        let waiting = self.builders.len() + self.others.len();
        (waiting, waiting + self.waiting.len())
    }
}

pub(super) fn height(lanes: &Lanes<'_>) -> f64 {
    top(lanes.after_bars().1 + usize::from(!lanes.beside.is_empty())) + 4.0
}

fn top(lane: usize) -> f64 {
    HEAD + LANE * whole(lane)
}

pub(super) fn names(lanes: &Lanes<'_>) -> Markup {
    let (waiting, beside) = lanes.after_bars();
    let of_builders = (0..lanes.builders.len()).map(|number| format!("builder {}", number + 1));
    // Several lanes of one kind have its name once.
    let once = |name: &'static str, lanes: usize| {
        (0..lanes).map(move |number| if number == 0 { name.to_owned() } else { String::new() })
    };
    let of_bars = of_builders.chain(once("others", lanes.others.len()));
    let beside = (beside, usize::from(!lanes.beside.is_empty()));
    let names = of_bars.chain(once("waiting", beside.0 - waiting)).chain(once("no builder", beside.1));
    html! {
        @for (number, name) in names.enumerate().filter(|(_, name)| !name.is_empty()) {
            text.lane x="0" y=(n(top(number) + 18.0)) { (name) }
        }
    }
}

pub(super) fn draw(frame: &Frame, axis: &Axis<'_>, lanes: &Lanes<'_>) -> Markup {
    let (waiting, beside) = lanes.after_bars();
    html! {
        @for (number, lane) in lanes.bars().enumerate() {
            @for bar in lane { (self::bar(frame, axis, bar, top(number))) }
        }
        @for (number, lane) in lanes.waiting.iter().enumerate() {
            @for one in lane { (wait(frame, axis, one, top(waiting + number))) }
            @for one in lane { (deadline(frame, axis, &one.bar, lane, top(waiting + number))) }
        }
        @if !lanes.beside.is_empty() {
            @for marks in grouped(lanes.beside, CLOSE, |mark| axis.x(mark.slot)) { (self::beside(frame, axis, &marks, top(beside))) }
        }
    }
}

/// The time before the begin of a bar, with the name of its schedule.
fn wait(frame: &Frame, axis: &Axis<'_>, wait: &Wait, top: f64) -> Markup {
    let (from, to, middle) = (axis.x(wait.from), axis.x(wait.bar.begin), top + LANE / 2.0);
    let title = title(frame, &wait.bar);
    let width = (to - from).max(3.0);
    let drawn = html! {
        rect.wait x=(n(from)) y=(n(middle - BARS.1 / 2.0)) width=(n(width)) height=(n(BARS.1)) rx="2" {}
        (label(&wait.bar.schedule, from + 5.0, width - 8.0, middle, "planned"))
        title { (title) }
    };
    html! {
        @match wait.bar.bake {
            Some(id) => a href=(frame.to_bake(id)) aria-label=(title) { (drawn) },
            None => g { (drawn) },
        }
    }
}

/// The deadline of a bar that waits, if there is room for its flag. Without a wait it is far away, and only clutters.
fn deadline(frame: &Frame, axis: &Axis<'_>, bar: &Bar, lane: &[Wait], top: f64) -> Markup {
    let middle = top + LANE / 2.0;
    let is_free = |at: &DateTime<Utc>| {
        let x = axis.x(*at);
        let covers = |other: &Wait| axis.x(other.from) - 8.0 < x && x < axis.x(other.bar.begin) + 2.0;
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
            (Some(outcome), Some(end)) => {
                (actual(bar, outcome, (begin, axis.x(end)), middle))
                // One that has just begun has its name where it will be.
                @if outcome.is_open() && axis.x(end) - begin < SYMBOL {
                    (label(&bar.schedule, axis.x(end) + 6.0, planned - axis.x(end) - 8.0, middle, "planned"))
                }
            }
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
    if let Some(from) = bar.waited_from.filter(|from| *from < bar.begin) {
        let (waits, length) = (if bar.outcome.is_some() { "waited" } else { "waits" }, span(bar.begin - from));
        let what = bar.waits_for.as_deref().map_or_else(|| " to begin".to_owned(), |what| format!(": {what}"));
        text.push_str(&format!("; {waits} {length}{what}"));
    }
    text
}

fn beside(frame: &Frame, axis: &Axis<'_>, marks: &[&Beside], top: f64) -> Markup {
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

pub(super) fn legend(lanes: &Lanes<'_>) -> Markup {
    let bars = || lanes.bars().flatten();
    let has = |outcome: Outcome| bars().any(|bar| bar.outcome == Some(outcome));
    let waits = || lanes.waiting.iter().flatten();
    let outcomes = [
        Outcome::Succeeded,
        Outcome::Failed,
        Outcome::Vetoed,
        Outcome::Running,
        Outcome::Unknown,
        Outcome::Skipped,
        Outcome::Cancelled,
    ];
    html! {
        @if bars().next().is_some() {
            (legend_item(&html! { rect.plan x="1" y="2" width="22" height="16" rx="3" {} }, "usual length"))
        }
        @for outcome in outcomes.into_iter().filter(|outcome| has(*outcome)) {
            @let (class, symbol) = appearance(outcome);
            @let shape = html! {
                rect.(class) .open[outcome.is_open()] x="1" y="3" width="22" height="14" rx="2" {}
                text.on.(class) x="8" y="14" { (symbol) }
            };
            (legend_item(&shape, outcome.word()))
        }
        @if waits().next().is_some() {
            (legend_item(&html! { rect.wait x="1" y="3" width="22" height="14" rx="2" {} }, "waits"))
        }
        @if waits().any(|wait| wait.bar.deadline.is_some()) {
            (legend_item(&html! { path.deadline d="M9 1 v18 m0 -18 h6 l-2 3 l2 3 h-6" {} }, "deadline"))
        }
        @if !lanes.others.is_empty() {
            li { "others: no builder to themselves, such as while their instance was started, or more were allowed then" }
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
}
