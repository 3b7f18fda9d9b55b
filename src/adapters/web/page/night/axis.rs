//! The axis of a night, and what both kinds of drawings share.

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use maud::{Markup, html};

use crate::domain::page::night::Night;

/// Width of the drawing; it scrolls where there is less room.
pub(super) const WIDTH: f64 = 1120.0;
/// Width of the names of lanes, which stay in sight where the drawing scrolls.
pub(super) const NAMES: f64 = 64.0;
/// Where the axis begins: the label of its first hour has room after the names.
const BEGIN: f64 = NAMES + 20.0;
/// Room for half an hour's label after the axis.
pub(super) const RIGHT: f64 = 24.0;
/// Height of the head with the hours.
pub(super) const HEAD: f64 = 34.0;
/// Minimum distance of two labels of hours.
pub(super) const HOUR_LABEL: f64 = 48.0;

/// The axis: instants to places.
pub(super) struct Axis<'a> {
    pub(super) night: &'a Night,
}

impl Axis<'_> {
    pub(super) fn x(&self, at: DateTime<Utc>) -> f64 {
        let whole = seconds(self.night.to - self.night.from).max(1.0);
        let part = seconds(at - self.night.from) / whole;
        BEGIN + part.clamp(0.0, 1.0) * (WIDTH - BEGIN - RIGHT)
    }

    pub(super) fn has(&self, at: DateTime<Utc>) -> bool {
        self.night.from <= at && at <= self.night.to
    }

    /// Full hours with enough room for their labels.
    pub(super) fn hours(&self) -> Vec<DateTime<Utc>> {
        let hours = (self.night.to - self.night.from).num_hours().max(1);
        let width = (WIDTH - BEGIN - RIGHT) / f64::from(u16::try_from(hours).unwrap_or(u16::MAX));
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
pub(super) fn n(place: f64) -> String {
    let text = format!("{place:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

pub(super) fn legend_item(shape: &Markup, word: &str) -> Markup {
    html! { li { svg.night aria-hidden="true" width="24" height="20" viewBox="0 0 24 20" { (shape) } " " (word) } }
}

/// Height of so many lanes.
pub(super) fn whole(lanes: usize) -> f64 {
    f64::from(u16::try_from(lanes).unwrap_or(u16::MAX))
}

/// Neighbours that are closer than this and would cover each other, together; `x` is the place of each.
pub(super) fn grouped<'a, T>(
    all: impl IntoIterator<Item = &'a T>,
    close: f64,
    x: impl Fn(&T) -> f64,
) -> Vec<Vec<&'a T>> {
    let mut groups: Vec<Vec<&T>> = Vec::new();
    for one in all {
        match groups.last_mut() {
            Some(group) if group.first().is_some_and(|first| x(one) - x(first) < close) => group.push(one),
            _ => groups.push(vec![one]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_one_decimal_at_most() {
        assert_eq!([n(1.0), n(1.25), n(-0.06)], ["1", "1.2", "-0.1"]);
    }
}
