//! How an instant is written: one format for people, one for programs.

use std::{fmt::Display, time::Duration};

use chrono::{DateTime, FixedOffset, SecondsFormat, SubsecRound as _, TimeZone, Timelike as _, Utc};

/// `Thu 2026-11-26 03:00 +08:00`; with seconds where they are not zero.
pub fn show<Z: TimeZone<Offset: Display>>(at: DateTime<Utc>, zone: Z) -> String {
    let format = if at.second() == 0 { "%a %F %R %:z" } else { "%a %F %T %:z" };
    at.with_timezone(&zone).format(format).to_string()
}

/// The same to the minute: for ends, of which nobody counts the seconds.
pub fn show_minute<Z: TimeZone<Offset: Display>>(at: DateTime<Utc>, zone: Z) -> String {
    at.with_timezone(&zone).format("%a %F %R %:z").to_string()
}

/// `Thu 2026-11-26`: a whole day.
pub fn show_day<Z: TimeZone<Offset: Display>>(at: DateTime<Utc>, zone: Z) -> String {
    at.with_timezone(&zone).format("%a %F").to_string()
}

/// An instant where no zone of a schedule is known.
pub fn show_utc(at: DateTime<Utc>) -> String {
    show(at, Utc)
}

/// `1d 2h`: a length as it is written in the configuration, in whole days, hours, minutes, seconds and milliseconds.
pub fn show_length(length: Duration) -> String {
    let (seconds, millis) = (length.as_secs(), length.subsec_millis());
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(millis), "ms"),
    ];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// The instant that a text begins with, as [`show`] writes it, and its time of day as it stands there.
pub fn shown_first(text: &str) -> Option<(DateTime<Utc>, &str)> {
    let mut words = text.split([' ', ',']);
    let (_, date, time, offset) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let seconds = if time.len() == "03:14".len() { ":00" } else { "" };
    let at: DateTime<FixedOffset> = format!("{date}T{time}{seconds}{offset}").parse().ok()?;
    Some((at.to_utc(), time))
}

/// `3h 12m`: the two largest units of a length, milliseconds only below a second.
pub fn show_brief(length: Duration) -> String {
    let seconds = length.as_secs();
    if seconds == 0 {
        return show_length(length);
    }
    let units = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let largest = units.iter().skip_while(|(n, _)| *n == 0).take(2).filter(|(n, _)| *n > 0);
    largest.map(|(n, unit)| format!("{n}{unit}")).collect::<Vec<_>>().join(" ")
}

/// `in 3h 12m`, `5m ago` or `now`.
pub fn show_relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    // Both to the second, or a slot an hour away would be shown as 59m 59s for most of the first second.
    let ahead = at.trunc_subsecs(0) - now.trunc_subsecs(0);
    let length = show_brief(ahead.abs().to_std().unwrap_or_default());
    match ahead.num_seconds() {
        0 => "now".to_owned(),
        1.. => format!("in {length}"),
        _ => format!("{length} ago"),
    }
}

/// For programs: RFC 3339 in UTC, with milliseconds where they are not zero.
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// For programs: RFC 3339 in UTC, to the second.
pub fn rfc3339_seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_brief_length_has_its_two_largest_units() {
        for (millis, text) in [
            (0, "0s"),
            (412, "412ms"),
            (59_900, "59s"),
            (60_000, "1m"),
            (3_599_000, "59m 59s"),
            (3_600_000, "1h"),
            (11_579_000, "3h 12m"),
            (86_405_000, "1d"),
            (200_000_000, "2d 7h"),
        ] {
            assert_eq!(show_brief(Duration::from_millis(millis)), text, "{millis}");
        }
    }

    #[test]
    fn an_instant_is_shown_relative_to_now_to_the_second() {
        let now: DateTime<Utc> = "2027-01-01T03:00:00.700Z".parse().unwrap();
        let report = |text: &str| show_relative(text.parse().unwrap(), now);
        assert_eq!(report("2027-01-01T04:00:00Z"), "in 1h");
        assert_eq!(report("2027-01-01T03:00:00.900Z"), "now");
        assert_eq!(report("2027-01-01T02:58:59Z"), "1m 1s ago");
        assert_eq!(show_relative(now + TimeDelta::days(2) + TimeDelta::hours(5), now), "in 2d 5h");
    }
}
