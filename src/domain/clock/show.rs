//! How an instant is written: one format for people, one for programs.

use std::{fmt::Display, time::Duration};

use chrono::{DateTime, SecondsFormat, TimeZone, Timelike as _, Utc};

/// `Thu 2026-11-26 03:00 +08:00`; with seconds where they are not zero.
pub fn show<Z: TimeZone<Offset: Display>>(at: DateTime<Utc>, zone: Z) -> String {
    let format = if at.second() == 0 { "%a %F %R %:z" } else { "%a %F %T %:z" };
    at.with_timezone(&zone).format(format).to_string()
}

/// The same to the minute: for ends, of which nobody counts the seconds.
pub fn show_minute<Z: TimeZone<Offset: Display>>(at: DateTime<Utc>, zone: Z) -> String {
    at.with_timezone(&zone).format("%a %F %R %:z").to_string()
}

/// The same where no zone of a schedule is known.
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

/// For programs: RFC 3339 in UTC, with milliseconds where they are not zero.
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// For programs: RFC 3339 in UTC, to the second.
pub fn rfc3339_seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
