//! A crowded night: a column for each few minutes, as high as its slots are many, and below it what was lost.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::axis::{Axis, HEAD, grouped, legend_item, n, whole};
use crate::{
    adapters::web::{
        page::{frame::Frame, table::appearance},
        query::encode,
    },
    domain::{
        page::night::{
            Night,
            columns::{Column, Columns},
        },
        schedule_rows::outcome::Outcome,
        time::{rfc3339, show_minute},
    },
};

/// Height of the highest column.
const HIGH: f64 = 132.0;
/// Height of a line of marks below.
const LINE: f64 = 22.0;
/// Distance within which marks below are one mark: a sign and three characters.
const CLOSE: f64 = 38.0;
/// Minimum height of a part: one failure among thousands is seen.
const LEAST: f64 = 3.0;

/// The parts of a column from below: what was lost stands on the line, where it is compared best.
const PARTS: [Part; 10] = [
    Part::Is(Outcome::Failed),
    Part::Is(Outcome::Vetoed),
    Part::Is(Outcome::Unknown),
    Part::Is(Outcome::Skipped),
    Part::Late,
    Part::Is(Outcome::Cancelled),
    Part::Is(Outcome::Running),
    Part::Is(Outcome::Queued),
    Part::Is(Outcome::Succeeded),
    Part::Planned,
];

/// Results whose numbers stand below the columns.
const BELOW: [Outcome; 3] = [Outcome::Failed, Outcome::Vetoed, Outcome::Skipped];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Is(Outcome),
    Planned,
    Late,
}

impl Part {
    fn count(self, column: &Column) -> usize {
        match self {
            Self::Is(outcome) => column.counts.get(&outcome).copied().unwrap_or_default(),
            Self::Planned => column.planned,
            Self::Late => column.late,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Is(outcome) => outcome.word(),
            Self::Planned => "planned",
            Self::Late => "expected to be skipped",
        }
    }

    /// Filled is what happened, dashed what will; what brought no image is hollow.
    fn class(self) -> &'static str {
        match self {
            Self::Is(Outcome::Skipped) => "hollow",
            Self::Is(Outcome::Cancelled) => "hollow cut-short",
            Self::Is(outcome) => appearance(outcome).0,
            Self::Planned => "plan",
            Self::Late => "plan late",
        }
    }
}

/// The lines of marks that this night has.
fn lines(columns: &Columns) -> Vec<Outcome> {
    let has = |outcome: &Outcome| columns.columns.iter().any(|column| lost(*outcome, column) > 0);
    BELOW.into_iter().filter(has).collect()
}

/// Slots of a column that have this result or are expected to have it.
fn lost(outcome: Outcome, column: &Column) -> usize {
    Part::Is(outcome).count(column) + if outcome == Outcome::Skipped { column.late } else { 0 }
}

pub(super) fn height(columns: &Columns) -> f64 {
    HEAD + HIGH + LINE * whole(lines(columns).len()) + 10.0
}

/// Numbers of slots at the side, with their places.
fn heights(columns: &Columns) -> impl Iterator<Item = (usize, f64)> {
    let highest = columns.highest().max(1);
    [(highest, HEAD), (highest / 2, HEAD + HIGH / 2.0)].into_iter().filter(|(count, _)| *count > 0)
}

/// The middle of a line of marks.
fn middle_of(number: usize) -> f64 {
    HEAD + HIGH + LINE * (whole(number) + 0.5) + 4.0
}

pub(super) fn names(columns: &Columns) -> Markup {
    html! {
        @for (count, y) in heights(columns) { text.lane x="0" y=(n(y + 4.0)) { (count) " slots" } }
        @for (number, outcome) in lines(columns).into_iter().enumerate() {
            text.lane x="0" y=(n(middle_of(number) + 4.0)) { (outcome.word()) }
        }
    }
}

pub(super) fn draw(frame: &Frame, axis: &Axis<'_>, columns: &Columns) -> Markup {
    let (bottom, highest) = (HEAD + HIGH, columns.highest().max(1));
    html! {
        @for (_, y) in heights(columns) {
            line.hour x1=(n(axis.x(axis.night.from))) x2=(n(axis.x(axis.night.to))) y1=(n(y)) y2=(n(y)) {}
        }
        @for one in &columns.columns { (column(frame, axis, one, columns.length, highest)) }
        line.base x1=(n(axis.x(axis.night.from))) x2=(n(axis.x(axis.night.to))) y1=(n(bottom)) y2=(n(bottom)) {}
        @for (number, outcome) in lines(columns).into_iter().enumerate() {
            @let middle = middle_of(number);
            @let with: Vec<&Column> = columns.columns.iter().filter(|column| lost(outcome, column) > 0).collect();
            @for group in grouped(with, CLOSE, |column| axis.x(column.from)) { (mark(frame, axis, &group, outcome, columns.length, middle)) }
        }
    }
}

/// One column; its link leads to its bakes.
fn column(frame: &Frame, axis: &Axis<'_>, column: &Column, length: TimeDelta, highest: usize) -> Markup {
    let (left, right) = (axis.x(column.from) + 1.0, axis.x(column.from + length) - 1.0);
    let mut y = HEAD + HIGH;
    let parts: Vec<(Part, f64, f64)> = PARTS
        .into_iter()
        .filter(|part| part.count(column) > 0)
        .map(|part| {
            let high = (HIGH * share(part.count(column), highest)).max(LEAST);
            y -= high;
            (part, y, high)
        })
        .collect();
    let title = title(frame, &[column], length);
    let drawn = html! {
        @for (part, y, high) in parts {
            rect.(part.class()) x=(n(left)) y=(n(y.max(HEAD - 2.0))) width=(n((right - left).max(2.0))) height=(n(high)) {}
        }
        title { (title) }
    };
    html! {
        @if column.counts.is_empty() { g { (drawn) } }
        @else { a href=(history(frame, column.from, column.from + length, None)) aria-label=(title) { (drawn) } }
    }
}

/// A sign with the number of these columns' bakes of one result; its link leads to them.
fn mark(frame: &Frame, axis: &Axis<'_>, group: &[&Column], outcome: Outcome, length: TimeDelta, middle: f64) -> Markup {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return html! {} };
    let (class, symbol) = appearance(outcome);
    let count: usize = group.iter().map(|column| lost(outcome, column)).sum();
    let happened = group.iter().any(|column| Part::Is(outcome).count(column) > 0);
    let title = format!(
        "{count} {} {}",
        if happened { outcome.word() } else { "expected to be skipped" },
        between(frame, first.from, last.from + length)
    );
    let drawn = html! {
        text.mark.(class) .planned[!happened] x=(n(axis.x(first.from + length / 2))) y=(n(middle + 5.0)) {
            (symbol) tspan.count { (short(count)) }
        }
        title { (title) }
    };
    html! {
        @if happened { a href=(history(frame, first.from, last.from + length, Some(outcome))) aria-label=(title) { (drawn) } }
        @else { g { (drawn) } }
    }
}

/// A number of at most three characters.
fn short(count: usize) -> String {
    if count < 1_000 { count.to_string() } else { format!("{}k", (count / 1_000).min(99)) }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of slots are small")]
fn share(count: usize, highest: usize) -> f64 {
    count as f64 / highest.max(1) as f64
}

fn title(frame: &Frame, columns: &[&Column], length: TimeDelta) -> String {
    let (Some(first), Some(last)) = (columns.first(), columns.last()) else { return String::new() };
    let count = |part: Part| columns.iter().map(|column| part.count(column)).sum::<usize>();
    let parts = PARTS.into_iter().rev().filter(|part| count(*part) > 0);
    let counts: Vec<String> = parts.map(|part| format!("{} {}", count(part), part.word())).collect();
    format!("{} {}", counts.join(", "), between(frame, first.from, last.from + length))
}

/// `of the slots from Sat 2026-11-28 03:00 +08:00 to 03:30`
fn between(frame: &Frame, from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let until = to.with_timezone(&frame.zone).format("%H:%M");
    format!("of the slots from {} to {until}", show_minute(from, frame.zone))
}

fn history(frame: &Frame, from: DateTime<Utc>, to: DateTime<Utc>, outcome: Option<Outcome>) -> String {
    // The last instant of a written time counts, and these are written to the second.
    let until = to - TimeDelta::seconds(1);
    let state = outcome.filter(|outcome| *outcome != Outcome::Vetoed);
    let state = state.map(|outcome| format!("&state={}", outcome.word())).unwrap_or_default();
    frame.to(&format!("history?since={}&until={}{state}", encode(&rfc3339(from)), encode(&rfc3339(until))))
}

pub(super) fn legend(night: &Night, columns: &Columns) -> Markup {
    let parts: BTreeSet<&str> = PARTS
        .into_iter()
        .filter(|part| columns.columns.iter().any(|column| part.count(column) > 0))
        .map(Part::word)
        .collect();
    let minutes = columns.length.num_minutes();
    html! {
        @for part in PARTS.into_iter().rev().filter(|part| parts.contains(part.word())) {
            (legend_item(&html! { rect.(part.class()) x="4" y="2" width="16" height="16" {} }, part.word()))
        }
        li { "each column: the slots of " (minutes) " minutes, " (columns.highest()) " at most" @if night.planned > 0 { "; what waits stands at its slot" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_column_has_its_place() {
        let mut column = Column { planned: 1, late: 2, ..Column::default() };
        for outcome in ["succeeded", "cancelled", "queued", "running", "unknown", "skipped", "vetoed", "failed"] {
            column.counts.insert(Outcome::of(outcome), 3);
        }
        assert_eq!(PARTS.into_iter().map(|part| part.count(&column)).sum::<usize>(), column.all());
        assert_eq!(lost(Outcome::Skipped, &column), 5);
    }

    #[test]
    fn numbers_stay_short() {
        assert_eq!([0, 999, 1_000, 12_345, 5_000_000].map(short), ["0", "999", "1k", "12k", "99k"]);
    }
}
