//! How an instant is written: one format for people, one for programs.

use std::fmt::Display;

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

/// For programs: RFC 3339 in UTC, with milliseconds where they are not zero.
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// For programs: RFC 3339 in UTC, to the second.
pub fn rfc3339_seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
