//! Times as people write and read them: one format for all outputs, one parser for all inputs. Programs read RFC 3339.
//!
//! ```
//! use chrono::{DateTime, Utc};
//! use imagebaked::domain::{calendar::zone::Zone, time::{self, AskedTime, Edge, Facing}};
//!
//! let zone: Zone = "Asia/Shanghai".parse()?;
//! let slot: DateTime<Utc> = "2026-11-25T19:00:00Z".parse()?;
//! let shown = time::show(slot, zone);
//! assert_eq!(shown, "Thu 2026-11-26 03:00 +08:00");
//! let asked: AskedTime = shown.parse()?;
//! assert_eq!(asked.instant(zone, slot, Facing::Past, Edge::Start), slot);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{str::FromStr, time::Duration};

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Utc, Weekday};

use super::{
    calendar::zone::Zone,
    clock::{earlier, later, shifted},
};
use length::LengthError;

pub mod length;
mod meant;
pub mod night;
pub mod words;

pub use super::calendar::wall::{after_gap, first_at};

pub use super::clock::show::{
    rfc3339, rfc3339_seconds, show, show_brief, show_day, show_length, show_minute, show_relative, show_utc,
    shown_first,
};

/// A time as a person wrote it. What it means depends on now, on a zone, and on whether it lies behind or ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedTime {
    /// An instant.
    Instant {
        /// When.
        at: DateTime<Utc>,
        /// Length of what was written: a minute for `03:00`.
        length: TimeDelta,
    },
    /// What the wall clock of the zone shows.
    Wall {
        /// Date and time.
        wall: NaiveDateTime,
        /// Length of what was written.
        length: TimeDelta,
    },
    /// A time of day, of the nearest day that fits.
    TimeOfDay {
        /// The time.
        time: NaiveTime,
        /// Length of what was written.
        length: TimeDelta,
    },
    /// A whole day.
    Day(NaiveDate),
    /// A whole day, counted from today.
    DayFromToday(i64),
    /// A time of a day that is counted from today.
    TimeFromToday {
        /// Days after today.
        days: i64,
        /// The time.
        time: NaiveTime,
        /// Length of what was written.
        length: TimeDelta,
    },
    /// The night of that name, see [`night`].
    Tonight,
    /// So long before or after now.
    Distance {
        /// How long.
        length: Duration,
        /// Where it lies, if that was written.
        facing: Option<Facing>,
    },
}

/// Where a time lies that does not say so itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Facing {
    /// Before now.
    Past,
    /// After now.
    Future,
}

/// Which end of a time that has a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Its first instant.
    Start,
    /// Its last instant, to the millisecond.
    End,
}

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// It is none of the known forms.
    #[error(
        "this is no time; give `03:00`, `2026-11-26`, `2026-11-26 03:00`, `yesterday`, `tomorrow 07:00`, a length like `2d` or \
         `36h`, or an instant like `2026-11-26T03:00:00+08:00`"
    )]
    Unknown,
    /// It is a form that people use elsewhere.
    #[error("this is no time; {0}")]
    Meant(String),
    /// A length that nobody means.
    #[error("{0}")]
    Length(LengthError),
    /// The weekday is not that of the date.
    #[error("{date} is a {real}, not a {written}")]
    Weekday {
        /// The date.
        date: NaiveDate,
        /// Its weekday.
        real: Weekday,
        /// The written one.
        written: Weekday,
    },
}

impl FromStr for AskedTime {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (weekday, rest) = weekday(&words);
        let asked = match rest {
            [] => None,
            [one] => one_word(one),
            [day, time] => day_and_time(day, time),
            [day, time, offset] => date(day).zip(clock(time)).and_then(|(date, (time, length))| {
                let at = self::offset(offset)?.from_local_datetime(&date.and_time(time)).single()?;
                Some(Self::Instant { at: at.to_utc(), length })
            }),
            _ => None,
        };
        // `3h 30m`, `3 hours ago`, `in 5h 20m`: as they are printed.
        let asked = match asked {
            Some(asked) => asked,
            None => distance(&words).map_err(|error| match (error, meant::meant(text)) {
                (TimeError::Unknown, Some(meant)) => TimeError::Meant(meant),
                (error, _) => error,
            })?,
        };
        match (weekday, asked.date()) {
            (Some(written), Some(date)) if chrono::Datelike::weekday(&date) != written => {
                Err(TimeError::Weekday { date, real: chrono::Datelike::weekday(&date), written })
            }
            // A weekday alone is no date.
            (Some(_), None) if !matches!(asked, Self::Instant { .. }) => Err(TimeError::Unknown),
            _ => Ok(asked),
        }
    }
}

/// A leading weekday, with or without a comma, if more follows.
fn weekday<'a>(words: &'a [&'a str]) -> (Option<Weekday>, &'a [&'a str]) {
    match words {
        [first, rest @ ..] if !rest.is_empty() => match first.trim_end_matches(',').parse() {
            Ok(weekday) => (Some(weekday), rest),
            Err(_) => (None, words),
        },
        _ => (None, words),
    }
}

fn one_word(word: &str) -> Option<AskedTime> {
    if let Ok(at) = DateTime::parse_from_rfc3339(word) {
        return Some(AskedTime::Instant { at: at.to_utc(), length: length_of(word) });
    }
    if let Some((day, time)) = word.split_once('T') {
        let ((time, length), date) = (clock(time)?, date(day)?);
        return Some(AskedTime::Wall { wall: date.and_time(time), length });
    }
    match word.to_ascii_lowercase().as_str() {
        "now" => Some(AskedTime::Distance { length: Duration::ZERO, facing: None }),
        "tonight" => Some(AskedTime::Tonight),
        word => {
            let of_day = days_from_today(word).map(AskedTime::DayFromToday);
            let of_date = || date(word).map(AskedTime::Day);
            let of_clock = || clock(word).map(|(time, length)| AskedTime::TimeOfDay { time, length });
            of_day.or_else(of_date).or_else(of_clock)
        }
    }
}

fn day_and_time(day: &str, time: &str) -> Option<AskedTime> {
    // `05:10 +1d`, as `plan` writes what is done on a later day.
    if let Some(days) = time.strip_prefix('+').and_then(|days| days.strip_suffix('d')) {
        let ((time, length), days) = (clock(day)?, days.parse::<u16>().ok()?);
        return Some(AskedTime::TimeFromToday { days: i64::from(days), time, length });
    }
    // `2026-11-26 03:00:00Z`
    if let (Some(day), Some(utc)) = (date(day), time.strip_suffix(['Z', 'z'])) {
        let (time, length) = clock(utc)?;
        return Some(AskedTime::Instant { at: day.and_time(time).and_utc(), length });
    }
    // `2026-11-26 03:00+08:00`
    if let (Some(day), Some(at)) = (date(day), time.rfind(['+', '-']).filter(|at| *at > 0)) {
        let ((time, length), offset) = (clock(&time[..at])?, offset(&time[at..])?);
        let at = offset.from_local_datetime(&day.and_time(time)).single()?.to_utc();
        return Some(AskedTime::Instant { at, length });
    }
    let (time, length) = clock(time)?;
    if let Some(day) = date(day) {
        return Some(AskedTime::Wall { wall: day.and_time(time), length });
    }
    days_from_today(&day.to_ascii_lowercase()).map(|days| AskedTime::TimeFromToday { days, time, length })
}

fn days_from_today(word: &str) -> Option<i64> {
    match word {
        "today" => Some(0),
        "yesterday" => Some(-1),
        "tomorrow" => Some(1),
        _ => None,
    }
}

fn date(text: &str) -> Option<NaiveDate> {
    // Years of four digits only: `1-2-3` is a mistake.
    (text.find('-') == Some(4)).then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten()
}

/// A time of day, and the length of what was written.
fn clock(text: &str) -> Option<(NaiveTime, TimeDelta)> {
    ["%H:%M", "%H:%M:%S", "%H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveTime::parse_from_str(text, format).ok())
        .map(|time| (time, length_of(text)))
}

/// A minute without seconds, a second without a fraction, else a millisecond.
fn length_of(text: &str) -> TimeDelta {
    let time = text.split(['T', 't']).next_back().unwrap_or(text);
    let time = time.split(['Z', 'z', '+', '-']).next().unwrap_or(time);
    match (time.matches(':').count(), time.contains('.')) {
        (1, _) => TimeDelta::minutes(1),
        (_, false) => TimeDelta::seconds(1),
        _ => TimeDelta::milliseconds(1),
    }
}

fn offset(text: &str) -> Option<FixedOffset> {
    if ["Z", "UTC", "GMT"].iter().any(|utc| utc.eq_ignore_ascii_case(text)) {
        return FixedOffset::east_opt(0);
    }
    text.parse().ok().filter(|_| text.starts_with(['+', '-']))
}

fn distance(words: &[&str]) -> Result<AskedTime, TimeError> {
    let (words, facing) = match words {
        ["in", rest @ ..] => (rest, Some(Facing::Future)),
        [rest @ .., "ago"] => (rest, Some(Facing::Past)),
        all => (all, None),
    };
    match length::length(&words.join(" ")) {
        Ok(length) => Ok(AskedTime::Distance { length, facing }),
        Err(LengthError::Unknown) => Err(TimeError::Unknown),
        Err(error) => Err(TimeError::Length(error)),
    }
}

impl AskedTime {
    /// The date that was written.
    fn date(&self) -> Option<NaiveDate> {
        match self {
            Self::Wall { wall, .. } => Some(wall.date()),
            Self::Day(date) => Some(*date),
            _ => None,
        }
    }

    /// Whether it is a whole day.
    pub fn is_day(&self) -> bool {
        matches!(self, Self::Day(_) | Self::DayFromToday(_) | Self::Tonight)
    }

    /// Length of what was written: a minute for `03:00`, a second for `03:00:00`; no time for a distance from now.
    pub fn length(&self) -> TimeDelta {
        match *self {
            Self::Instant { length, .. }
            | Self::Wall { length, .. }
            | Self::TimeOfDay { length, .. }
            | Self::TimeFromToday { length, .. } => length,
            Self::Day(_) | Self::DayFromToday(_) => TimeDelta::days(1),
            Self::Tonight | Self::Distance { .. } => TimeDelta::milliseconds(1),
        }
    }

    /// The wall clock that was meant, with the length of what was written; `None` for an instant.
    pub fn wall(&self, zone: Zone, now: DateTime<Utc>, facing: Facing) -> Option<(NaiveDateTime, TimeDelta)> {
        let shown = now.with_timezone(&zone).naive_local();
        let day = |days: i64| shown.date().checked_add_signed(TimeDelta::days(days)).unwrap_or(shown.date());
        match *self {
            Self::Instant { .. } | Self::Distance { .. } | Self::Tonight => None,
            Self::Wall { wall, length } => Some((wall, length)),
            Self::Day(date) => Some((date.and_time(NaiveTime::MIN), TimeDelta::days(1))),
            Self::DayFromToday(days) => Some((day(days).and_time(NaiveTime::MIN), TimeDelta::days(1))),
            Self::TimeFromToday { days, time, length } => Some((day(days).and_time(time), length)),
            Self::TimeOfDay { time, length } => {
                let days = match facing {
                    Facing::Past if time > shown.time() => -1,
                    Facing::Future if time <= shown.time() => 1,
                    _ => 0,
                };
                Some((day(days).and_time(time), length))
            }
        }
    }

    /// First instant, and the first one after it: what was written has a length.
    pub fn span(&self, zone: Zone, now: DateTime<Utc>, facing: Facing) -> (DateTime<Utc>, DateTime<Utc>) {
        match *self {
            Self::Instant { at, length } => (at, shifted(at, length)),
            Self::Distance { length, facing: written } => {
                let at = match written.unwrap_or(facing) {
                    Facing::Past => earlier(now, length),
                    Facing::Future => later(now, length),
                };
                (at, shifted(at, TimeDelta::milliseconds(1)))
            }
            Self::Tonight => {
                let night::Window { from, to, .. } = night::tonight(zone, now);
                // What has passed of it is no part of what comes.
                (if facing == Facing::Future { from.max(now) } else { from }, to)
            }
            _ => match self.wall(zone, now, facing) {
                None => (now, now),
                // A time that the clock shows twice is both passes.
                Some((wall, length)) => (first_at(wall, zone), last_at(wall, length, zone)),
            },
        }
    }

    /// The instant that is meant.
    pub fn instant(&self, zone: Zone, now: DateTime<Utc>, facing: Facing, edge: Edge) -> DateTime<Utc> {
        let (first, after) = self.span(zone, now, facing);
        // What is printed to the second has fractions of it. A time to the minute is that instant.
        let has_end = self.is_day() || facing == Facing::Past && after - first <= TimeDelta::seconds(1);
        match edge {
            Edge::End if has_end => shifted(after, -TimeDelta::milliseconds(1)),
            Edge::Start | Edge::End => first,
        }
    }
}

/// First instant after the last pass of what `wall` shows for `length`.
fn last_at(wall: NaiveDateTime, length: TimeDelta, zone: Zone) -> DateTime<Utc> {
    if length >= TimeDelta::days(1) {
        return first_at(wall.checked_add_signed(length).unwrap_or(wall), zone);
    }
    let last = zone.from_local_datetime(&wall).latest().map_or_else(|| after_gap(wall, zone), |at| at.to_utc());
    shifted(last, length)
}

#[cfg(test)]
#[path = "time_tests.rs"]
mod tests;
