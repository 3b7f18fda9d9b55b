//! One cron rule: its text goes in, wall-clock matches come out.
//!
//! A rule is independent of zones. It counts in *wall seconds*: the seconds that a wall clock has counted since it
//! would have shown 1970-01-01 00:00:00. [`super::timing`] converts them to instants.
//!
//! The language is crontab's, five fields or six with seconds first, and: names, lists, ranges, steps, `?` for `*`;
//! `L`, `L-3`, `LW` and `15W` in the day of the month; `friL` and `mon#1` in the day of the week; `H`, a value
//! taken from the schedule's name, so that many schedules spread by themselves; `@daily` and its like.
//!
//! As in crontab, a day matches when either the day of the month or the day of the week does, if both are
//! restricted. A field that begins with `*` or `?` counts as unrestricted, even `*/2`: then both must match.

use std::ops::Range;

use chrono::{Datelike, NaiveDate};

use super::{
    error::CronError,
    field::{DAY_OF_MONTH, DAY_OF_WEEK, Field, HOUR, MINUTE, MONTH, SECOND, Word},
    foreign,
};

/// Seconds of a day on a wall clock.
pub(crate) const DAY: i64 = 86_400;

/// 1970-01-01 in chrono's count of days.
const EPOCH_FROM_CE: i64 = 719_163;

/// No rule is evaluated past this year.
const LAST_YEAR: i32 = 2201;

/// A rule as bit masks; bit n is value n. Small, because ten thousand rules are in memory at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CronRule {
    seconds: u64,
    minutes: u64,
    /// Bit 7 * (n - 1) + weekday is the nth such weekday of the month; n = 6 is the last one.
    nth_weekdays: u64,
    hours: u32,
    days: u32,
    /// Bit n is the day n before the last.
    days_from_last: u32,
    /// Bit n is the weekday nearest to day n; bit 0 is the last weekday of the month.
    near_weekdays: u32,
    months: u32,
    weekdays: u32,
    both_days: bool,
    fixed: bool,
    hashed: bool,
}

impl CronRule {
    /// Parses an expression. `seed` seeds `H`.
    ///
    /// # Errors
    ///
    /// [`CronError`] if the expression is malformed or never fires.
    pub fn parse(text: &str, seed: &str) -> Result<Self, CronError> {
        Self::parse_plain(text, seed).map_err(|error| Self::translated(text, seed).unwrap_or(error))
    }

    /// The error for an expression in the notation of another scheduler, if what it suggests is valid.
    fn translated(text: &str, seed: &str) -> Option<CronError> {
        let mut foreign = foreign::recognise(text)?;
        if let Some(cron) = &mut foreign.cron {
            *cron = cron.split_whitespace().collect::<Vec<_>>().join(" ");
            Self::parse_plain(cron, seed).ok()?;
        }
        let start = text.len() - text.trim_start().len();
        Some(CronError::new(start..start + text.trim().len(), foreign.message.clone(), foreign.hint()))
    }

    fn parse_plain(text: &str, seed: &str) -> Result<Self, CronError> {
        let start = text.len() - text.trim_start().len();
        let whole = start..start + text.trim().len();
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(CronError::new(whole, "the expression is empty", "write five fields, as in `0 3 * * *`"));
        }
        if trimmed.starts_with('@') {
            let plain = expand_nickname(trimmed).map_err(|(message, hint)| CronError::new(whole, message, hint))?;
            return Self::parse_plain(plain, seed);
        }
        let words: Vec<Word<'_>> =
            Word::split(text, 0, char::is_whitespace).filter(|word| !word.text.is_empty()).collect();
        let (second, minute, hour, day, month, weekday) = match *words.as_slice() {
            [minute, hour, day, month, weekday] => (None, minute, hour, day, month, weekday),
            [second, minute, hour, day, month, weekday] => (Some(second), minute, hour, day, month, weekday),
            _ => {
                let hint = if trimmed.contains('=') {
                    "a zone is not part of the expression: set `timezone`"
                } else if words.len() == 7 {
                    "a year cannot be given: leave out the seventh field"
                } else {
                    "write minute, hour, day of month, month, day of week, and before them a second if wanted"
                };
                return Err(CronError::new(whole, format!("expected 5 or 6 fields, found {}", words.len()), hint));
            }
        };
        // Six fields of a cloud scheduler have a year at the end: `0 3 * * ? *` would be each hour here.
        if second.is_some() && [hour, month].iter().any(|word| word.text == "?") {
            return Err(CronError::new(whole, "with six fields the first is the second", "write `*` in place of `?`"));
        }
        let second = second.map(|word| Field::read(&SECOND, word, seed)).transpose()?;
        let minute = Field::read(&MINUTE, minute, seed)?;
        let hour = Field::read(&HOUR, hour, seed)?;
        let by_date = Field::read(&DAY_OF_MONTH, day, seed)?;
        let by_weekday = Field::read(&DAY_OF_WEEK, weekday, seed)?;
        let month = Field::read(&MONTH, month, seed)?;
        let fields = [second.as_ref(), Some(&minute), Some(&hour), Some(&by_date), Some(&month), Some(&by_weekday)];
        let rule = Self {
            seconds: second.as_ref().map_or(1, |field| field.mask),
            minutes: minute.mask,
            nth_weekdays: by_weekday.nth_weekdays,
            hours: low_half(hour.mask),
            days: low_half(by_date.mask),
            days_from_last: by_date.days_from_last,
            near_weekdays: by_date.near_weekdays,
            months: low_half(month.mask),
            weekdays: low_half(by_weekday.mask),
            both_days: by_date.star || by_weekday.star,
            fixed: fields[..3].iter().flatten().all(|field| field.fixed),
            hashed: fields.into_iter().flatten().any(|field| field.hashed),
        };
        if rule.has_a_day() {
            return Ok(rule);
        }
        Err(CronError::new(
            day.start..weekday.start + weekday.text.len(),
            "this never fires: no year has such a day",
            "the last day of every month is `L`",
        ))
    }

    /// Whether hour, minute and second are values or lists of values, without wildcard, step or range.
    pub fn is_fixed(&self) -> bool {
        self.fixed
    }

    /// Whether it has an `H`: its slots depend on the seed.
    pub fn is_hashed(&self) -> bool {
        self.hashed
    }

    /// Whether it has matches in every hour of its days.
    pub(crate) fn is_of_every_hour(&self) -> bool {
        self.hours == (1 << 24) - 1
    }

    /// Whether it has matches in each minute of its hours.
    pub(crate) fn is_of_every_minute(&self) -> bool {
        self.minutes == (1 << 60) - 1
    }

    /// Whether it has matches in each second of its minutes.
    pub(crate) fn is_of_every_second(&self) -> bool {
        self.seconds == (1 << 60) - 1
    }

    /// Whether day of the month and day of the week are both restricted, so that a day needs to match only one of them.
    pub(crate) fn takes_either_day(&self) -> bool {
        !self.both_days
    }

    /// Whether it names a day that a month can lack: every month has 28 days, and each weekday four times.
    pub(crate) fn names_days_that_months_lack(&self) -> bool {
        bits(self.days.into()).any(|day| day > 28 && !self.continues_to(day))
            || self.near_weekdays >> 29 != 0
            || self.days_from_last >> 28 != 0
            || bits(self.nth_weekdays).any(|bit| bit / 7 == 4)
    }

    /// Whether it has all days from the 28th to before `day`.
    fn continues_to(&self, day: u32) -> bool {
        (28..day).all(|before| self.days >> before & 1 == 1)
    }

    /// The days that it names for this month and that the month does not have. A range that begins by the 28th ends with
    /// the month, and lacks nothing.
    pub(crate) fn days_missing_in(&self, year: i32, month: u32) -> Vec<MissingDay> {
        let first = NaiveDate::from_ymd_opt(year, month, 1).filter(|_| self.months >> month & 1 == 1);
        let Some(first) = first else { return Vec::new() };
        let length = u32::from(first.num_days_in_month());
        let month = Month { first_weekday: first.weekday().num_days_from_sunday(), length };
        let days = bits(self.days.into()).filter(|day| *day > length && !self.continues_to(*day)).map(MissingDay::Day);
        let near = bits(self.near_weekdays.into()).filter(|day| *day > length).map(MissingDay::NearWeekday);
        let back = bits(self.days_from_last.into()).filter(|back| *back >= length).map(MissingDay::FromLast);
        let fifth = bits(self.nth_weekdays)
            .filter(|bit| bit / 7 == 4 && month.all_of(bit % 7).count_ones() < 5)
            .map(|bit| MissingDay::FifthWeekday(bit % 7));
        days.chain(near).chain(back).chain(fifth).collect()
    }

    /// The first and the last value of a field, by what it counts.
    pub(crate) fn bounds_of(&self, unit: &str) -> Option<(u32, u32)> {
        let mask = match unit {
            "seconds" => self.seconds,
            "minutes" => self.minutes,
            "hours" => self.hours.into(),
            "days" => self.days.into(),
            "months" => self.months.into(),
            _ => self.weekdays.into(),
        };
        mask.checked_ilog2().map(|last| (mask.trailing_zeros(), last))
    }

    /// Whether any day of the calendar matches. There are fourteen kinds of years (leap or not, by the first weekday),
    /// and 28 years without a skipped leap day contain all of them, so this is exact for the 400-year cycle.
    fn has_a_day(&self) -> bool {
        (2000..2028).any(|year| (1..=12).any(|month| self.days_of(year, month) != 0))
    }

    /// The matching days of one month: bit n is day n.
    fn days_of(&self, year: i32, month: u32) -> u32 {
        if self.months >> month & 1 == 0 {
            return 0;
        }
        let Some(first) = NaiveDate::from_ymd_opt(year, month, 1) else { return 0 };
        let length = u32::from(first.num_days_in_month());
        let month = Month { first_weekday: first.weekday().num_days_from_sunday(), length };
        let by_date = self.days | self.special_days(month);
        let by_weekday = self.weekdays_of(month);
        let days = if self.both_days { by_date & by_weekday } else { by_date | by_weekday };
        days & month.all_days()
    }

    fn special_days(&self, month: Month) -> u32 {
        let last = bits(self.days_from_last.into()).filter(|back| *back < month.length).map(|back| month.length - back);
        let near = bits(self.near_weekdays.into()).filter(|day| *day <= month.length).map(|day| match day {
            0 => month.weekday_near(month.length),
            day => month.weekday_near(day),
        });
        last.chain(near).fold(0, |days, day| days | 1 << day)
    }

    fn weekdays_of(&self, month: Month) -> u32 {
        let every = bits(self.weekdays.into()).fold(0, |days, weekday| days | month.all_of(weekday));
        bits(self.nth_weekdays).fold(every, |days, bit| {
            let same = month.all_of(bit % 7);
            days | match bit / 7 {
                5 => 1 << same.ilog2(),
                before => bits(same.into()).nth(before as usize).map_or(0, |day| 1 << day),
            }
        })
    }

    /// Whether the day matches, counted from 1970-01-01.
    fn matches_day(&self, day: i64) -> bool {
        date_of(day).is_some_and(|date| self.days_of(date.year(), date.month()) >> date.day() & 1 == 1)
    }

    /// The first matching day at or after `day`.
    pub(crate) fn next_day(&self, day: i64) -> Option<i64> {
        let date = date_of(day)?;
        let (mut year, mut month, mut from) = (date.year(), date.month(), date.day());
        while year <= LAST_YEAR {
            let days = self.days_of(year, month) & u32::MAX << from;
            if days != 0 {
                return NaiveDate::from_ymd_opt(year, month, days.trailing_zeros()).map(day_of);
            }
            (year, month, from) = if month == 12 { (year + 1, 1, 1) } else { (year, month + 1, 1) };
        }
        None
    }

    /// The last matching day at or before `day`; `None` before 1969.
    pub(crate) fn previous_day(&self, day: i64) -> Option<i64> {
        let date = date_of(day)?;
        let (mut year, mut month, mut until) = (date.year(), date.month(), date.day());
        while year >= 1969 {
            let days = self.days_of(year, month) & u32::MAX >> (31 - until);
            if days != 0 {
                return NaiveDate::from_ymd_opt(year, month, days.ilog2()).map(day_of);
            }
            (year, month, until) = if month == 1 { (year - 1, 12, 31) } else { (year, month - 1, 31) };
        }
        None
    }

    /// The first match in [`from`, `to`). Meant for spans of a few days: it checks day by day.
    pub(crate) fn first_in(&self, from: i64, to: i64) -> Option<i64> {
        days_between(from, to).find_map(|(day, range)| {
            let time = self.time_from(range.start).filter(|time| *time < range.end)?;
            self.matches_day(day).then_some(day * DAY + time)
        })
    }

    /// The last match in [`from`, `to`). Meant for spans of a few days: it checks day by day.
    pub(crate) fn last_in(&self, from: i64, to: i64) -> Option<i64> {
        days_between(from, to).rev().find_map(|(day, range)| {
            let time = self.time_until(range.end - 1).filter(|time| *time >= range.start)?;
            self.matches_day(day).then_some(day * DAY + time)
        })
    }

    /// The first listed time of day at or after `time`, in seconds.
    fn time_from(&self, time: i64) -> Option<i64> {
        let (hour, minute, second) = hms(time);
        let hours = u64::from(self.hours);
        if has(hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = at_or_above(self.seconds, second)
            {
                return Some(seconds_of(hour, minute, second));
            }
            if let Some(minute) = at_or_above(self.minutes, minute + 1) {
                return Some(seconds_of(hour, minute, self.seconds.trailing_zeros()));
            }
        }
        let hour = at_or_above(hours, hour + 1)?;
        Some(seconds_of(hour, self.minutes.trailing_zeros(), self.seconds.trailing_zeros()))
    }

    /// The last listed time of day at or before `time`, in seconds.
    fn time_until(&self, time: i64) -> Option<i64> {
        let (hour, minute, second) = hms(time);
        let hours = u64::from(self.hours);
        if has(hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = below(self.seconds, second + 1)
            {
                return Some(seconds_of(hour, minute, second));
            }
            if let Some(minute) = below(self.minutes, minute) {
                return Some(seconds_of(hour, minute, self.seconds.ilog2()));
            }
        }
        let hour = below(hours, hour)?;
        Some(seconds_of(hour, self.minutes.ilog2(), self.seconds.ilog2()))
    }

    /// Number of matches on a matching day.
    pub(crate) fn times_per_day(&self) -> u64 {
        u64::from(self.hours.count_ones() * self.minutes.count_ones() * self.seconds.count_ones())
    }
}

/// Number of wall seconds in [`from`, `to`) that at least one of the rules matches. A whole day of one rule is a
/// product; only partial days and days that several rules share are counted minute by minute.
pub(crate) fn count_in<'a>(rules: &(impl Iterator<Item = &'a CronRule> + Clone), from: i64, to: i64) -> u64 {
    days_between(from, to)
        .map(|(day, range)| {
            let mut today = rules.clone().filter(|rule| rule.matches_day(day)).peekable();
            let Some(first) = today.next() else { return 0 };
            if range == (0..DAY) && today.peek().is_none() {
                return first.times_per_day();
            }
            let active: Vec<&CronRule> = std::iter::once(first).chain(today).collect();
            count_times(&active, &range)
        })
        .sum()
}

fn count_times(rules: &[&CronRule], range: &Range<i64>) -> u64 {
    let hours = rules.iter().fold(0, |all, rule| all | u64::from(rule.hours));
    let mut count = 0;
    for hour in bits(hours) {
        let now = || rules.iter().filter(move |rule| has(rule.hours.into(), hour));
        for minute in bits(now().fold(0, |all, rule| all | rule.minutes)) {
            let seconds = now().filter(|rule| has(rule.minutes, minute)).fold(0, |all, rule| all | rule.seconds);
            let start = seconds_of(hour, minute, 0);
            // Both are at most 60, so the shifts are defined.
            let skipped = (range.start - start).clamp(0, 60);
            let kept = (range.end - start).clamp(0, 60);
            count += u64::from((seconds >> skipped << skipped & ((1 << kept) - 1)).count_ones());
        }
    }
    count
}

/// A day that some months do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingDay {
    /// The 29th, 30th or 31st.
    Day(u32),
    /// The weekday nearest to that day.
    NearWeekday(u32),
    /// That many days before the last.
    FromLast(u32),
    /// The fifth such weekday; 0 is Sunday.
    FifthWeekday(u32),
}

/// The weekdays of a month; weekday 0 is Sunday.
#[derive(Clone, Copy)]
struct Month {
    first_weekday: u32,
    length: u32,
}

impl Month {
    /// A bit for each day from 1 to the last.
    fn all_days(self) -> u32 {
        (u32::MAX >> (31 - self.length)) & !1
    }

    fn all_of(self, weekday: u32) -> u32 {
        // Days 1, 8, 15, 22, 29, moved to the first such weekday.
        0x2040_8102_u32.wrapping_shl((weekday + 7 - self.first_weekday) % 7) & self.all_days()
    }

    /// The Monday to Friday nearest to `day` that lies in this month.
    fn weekday_near(self, day: u32) -> u32 {
        match (self.first_weekday + day - 1) % 7 {
            6 if day == 1 => 3,
            6 => day - 1,
            0 if day == self.length => day - 2,
            0 => day + 1,
            _ => day,
        }
    }
}

/// The only value of a field, or several if they are no more than 32.
fn low_half(mask: u64) -> u32 {
    u32::try_from(mask & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// The positions of the set bits, lowest first.
fn bits(mut mask: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros());
        mask &= mask.wrapping_sub(1);
        bit
    })
}

fn has(mask: u64, bit: u32) -> bool {
    mask >> bit & 1 == 1
}

/// The lowest set bit that is not below `bit`; `bit` is at most 63.
fn at_or_above(mask: u64, bit: u32) -> Option<u32> {
    let left = mask & u64::MAX << bit;
    (left != 0).then(|| left.trailing_zeros())
}

/// The highest set bit below `bit`; `bit` is at most 63.
fn below(mask: u64, bit: u32) -> Option<u32> {
    (mask & ((1 << bit) - 1)).checked_ilog2()
}

fn hms(time: i64) -> (u32, u32, u32) {
    let part = |value: i64| u32::try_from(value).unwrap_or(0);
    (part(time / 3600), part(time / 60 % 60), part(time % 60))
}

fn seconds_of(hour: u32, minute: u32, second: u32) -> i64 {
    i64::from(hour * 3600 + minute * 60 + second)
}

fn date_of(day: i64) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(i32::try_from(day + EPOCH_FROM_CE).ok()?)
}

fn day_of(date: NaiveDate) -> i64 {
    i64::from(date.num_days_from_ce()) - EPOCH_FROM_CE
}

/// The days that [`from`, `to`) touches, each with the part of it that lies inside, in seconds.
fn days_between(from: i64, to: i64) -> impl DoubleEndedIterator<Item = (i64, Range<i64>)> {
    let days = if from < to { from.div_euclid(DAY)..(to - 1).div_euclid(DAY) + 1 } else { 0..0 };
    days.map(move |day| (day, (from - day * DAY).max(0)..(to - day * DAY).min(DAY)))
}

/// The expression of a nickname, or why it is rejected and the correction.
fn expand_nickname(text: &str) -> Result<&'static str, (String, &'static str)> {
    let word = text.split_whitespace().next().unwrap_or(text).to_ascii_lowercase();
    match word.as_str() {
        "@reboot" => {
            Err(("`@reboot` is not supported: nothing runs because the daemon starts".into(), "give times of day"))
        }
        "@every" => Err((
            "`@every` is not supported: its times would depend on when the daemon started".into(),
            "write `*/30 * * * *`",
        )),
        _ if word != text.to_ascii_lowercase() => {
            Err((format!("`{word}` stands alone"), "leave out what follows it, or write five fields"))
        }
        "@hourly" => Ok("0 * * * *"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@monthly" => Ok("0 0 1 * *"),
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        _ => Err((format!("`{word}` is not known"), "use @hourly, @daily, @weekly, @monthly or @yearly")),
    }
}

#[cfg(test)]
#[path = "cron_tests.rs"]
mod tests;
