//! Instants and durations as the status page shows them.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use maud::{Markup, html};

use crate::domain::{
    calendar::zone::Zone,
    time::{rfc3339, show},
};

/// An instant in a zone, with its seconds if it has some.
pub(super) fn local(at: DateTime<Utc>, zone: Zone) -> Markup {
    html! { time datetime=(rfc3339(at.trunc_subsecs(0))) { (show(at, zone)) } }
}

/// Of milliseconds since 1970.
pub(super) fn instant(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

pub(super) fn parse(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

/// `in 3 h 12 m`, `5 m ago` or `now`.
pub(super) fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    // Both to the second, or a slot an hour away would be shown as 59 m 59 s for most of the first second.
    let ahead = at.trunc_subsecs(0) - now.trunc_subsecs(0);
    match ahead.num_seconds() {
        0 => "now".to_owned(),
        1.. => format!("in {}", span(ahead)),
        _ => format!("{} ago", span(-ahead)),
    }
}

/// A duration in milliseconds.
pub(super) fn brief(millis: i64) -> String {
    if (0..1_000).contains(&millis) { format!("{millis} ms") } else { span(TimeDelta::milliseconds(millis)) }
}

/// A length of time in its two largest units.
pub(super) fn span(length: TimeDelta) -> String {
    let (days, hours) = (length.num_days(), length.num_hours() % 24);
    let (minutes, seconds) = (length.num_minutes() % 60, length.num_seconds() % 60);
    let units = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")];
    let first = units.iter().position(|(n, _)| *n != 0).unwrap_or(units.len() - 1);
    let shown = units.iter().skip(first).take(2).enumerate().filter(|(place, (n, _))| *place == 0 || *n != 0);
    shown.map(|(_, (n, unit))| format!("{n} {unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 m"),
            (3_599, "59 m 59 s"),
            (11_520, "3 h 12 m"),
            (11_579, "3 h 12 m"),
            (86_405, "1 d"),
            (200_000, "2 d 7 h"),
        ] {
            assert_eq!(span(TimeDelta::seconds(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn instants_are_shown_relative_to_now() {
        let now: DateTime<Utc> = "2027-01-01T03:00:00.700Z".parse().unwrap();
        let report = |text: &str| parse(text).map(|at| relative(at, now));
        assert_eq!(report("2027-01-01T04:00:00Z").unwrap(), "in 1 h");
        assert_eq!(report("2027-01-01T03:00:00.900Z").unwrap(), "now");
        assert_eq!(report("2027-01-01T02:58:00+00:00").unwrap(), "2 m ago");
        assert_eq!(report("2027-01-01T11:00:00+08:00").unwrap(), "now");
        assert_eq!(report("soon"), None);
    }
}
