//! Instants and durations as the status page shows them.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use maud::{Markup, html};

pub(super) use crate::domain::time::show_relative as relative;
use crate::domain::{
    calendar::zone::Zone,
    time::{
        rfc3339, show, show_brief,
        words::{is_time, words},
    },
};

/// An instant in a zone, with its seconds if it has some.
pub(super) fn local(at: DateTime<Utc>, zone: Zone) -> Markup {
    html! { time datetime=(rfc3339(at.trunc_subsecs(0))) { (show(at, zone)) } }
}

/// A sentence, of which no time is broken at the end of a line.
pub(super) fn sentence(text: &str) -> Markup {
    html! {
        @for (n, word) in words(text).enumerate() {
            @if n > 0 { " " }
            @if is_time(word) { span.whole { (word) } } @else { (word) }
        }
    }
}

/// Of milliseconds since 1970.
pub(super) fn instant(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

pub(super) fn parse(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

/// A duration in milliseconds.
pub(super) fn brief(millis: i64) -> String {
    span(TimeDelta::milliseconds(millis))
}

/// A length of time in its two largest units.
pub(super) fn span(length: TimeDelta) -> String {
    show_brief(length.to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_a_sentence_stays_in_one_line() {
        let shown = sentence("<waits> until Sun 2026-11-29 02:11 +08:00 at most").into_string();
        assert_eq!(shown, "&lt;waits&gt; until <span class=\"whole\">Sun 2026-11-29 02:11 +08:00</span> at most");
        assert_eq!(sentence("CREATING").into_string(), "CREATING");
    }

    #[test]
    fn instants_of_the_status_are_read() {
        assert_eq!(parse("2027-01-01T11:00:00+08:00"), parse("2027-01-01T03:00:00Z"));
        assert_eq!(parse("soon"), None);
        assert_eq!((brief(412).as_str(), brief(-1).as_str()), ("412ms", "0s"));
    }
}
