//! Times that are probably not meant: rare, crowded, uneven, on days that some months lack, or in the hour of a clock
//! change; and zones whose names mislead.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone, Utc};

use super::Linter;
use crate::{
    adapters::config::{reader::Mark, source_map::WrittenValue},
    domain::{
        calendar::{Timing, zone::Zone},
        plan::{
            clock_change_lints::{ClockChange, Effect, UnevenStep},
            day_lints::{Crowded, EitherDay, MissingDay, ShortMonth},
        },
        schedule::Schedule,
    },
};

impl Linter<'_> {
    pub(super) fn times(&mut self, schedule: &Schedule, written: &WrittenValue) {
        let zone = schedule.timing.zone();
        // Expressions of [defaults] or a profile are judged once in each zone, however many schedules have them.
        if let Some(first) = written.cron.first()
            && !self.judged.insert((*first, zone, written.own_zone))
        {
            return;
        }
        let mut expressions = HashSet::new();
        for (index, (timing, text)) in schedule.timing.rules_apart().zip(schedule.timing.expressions()).enumerate() {
            let Some(mark) = written.cron.get(index).and_then(|span| span.of(self.sources)) else { continue };
            if !expressions.insert(text) {
                let hint = "a slot comes once, however many expressions it has: remove one".to_owned();
                self.found.warning(
                    mark,
                    "repeated-expression",
                    format!("`{text}` stands twice in this list"),
                    Some(hint),
                );
                continue;
            }
            self.rare(&timing, mark.inside(text, 0..text.len()), text);
            self.days(&timing, mark, text);
            if let Some(found) = timing.crowded() {
                let (message, hint) = crowded(&found, text);
                self.found.warning(mark.inside(text, found.span), "every-minute", message, Some(hint));
            }
            for step in timing.uneven_steps() {
                let place = mark.inside(text, step.span.clone());
                self.found.warning(place, "uneven-step", uneven(&step, text), Some(even(&step)));
            }
            if let Some((message, hint)) = self.clock_changes(&timing, zone, text) {
                let place = written.expression(index, self.sources);
                let mark = place.map_or(mark, |(mark, own)| if own { mark.inside(text, 0..text.len()) } else { mark });
                self.found.warning(mark, "dst-affected", message, Some(hint));
            }
        }
    }

    /// Days that some months lack, and two restrictions of which one suffices.
    fn days(&mut self, timing: &Timing, mark: Mark<'_>, text: &str) {
        if let Some(found) = timing.short_month(self.now) {
            let (message, hint) = short_month(&found, text);
            self.found.warning(mark.inside(text, 0..text.len()), "short-month", message, Some(hint.into()));
        }
        if let Some(found) = timing.either_day(self.now) {
            let (message, hint) = either_day(&found, text);
            self.found.warning(mark.inside(text, found.span), "either-day", message, Some(hint));
        }
    }

    /// Zones whose names mean something else than they seem to.
    pub(super) fn zone(&mut self, schedule: &Schedule, written: &WrittenValue) {
        let zone = schedule.timing.zone();
        let name = zone.name();
        let reported = if let Some(sign) =
            name.strip_prefix("Etc/GMT").filter(|sign| !matches!(*sign, "" | "0" | "+0" | "-0"))
        {
            let ahead = sign.starts_with('-');
            let (side, other, place) = if ahead {
                ("ahead of", "behind", "America/New_York")
            } else {
                ("behind", "ahead of", "Asia/Shanghai")
            };
            let hours = &sign[1..];
            let opposite = if ahead { "+" } else { "-" };
            let message =
                format!("the clock of {name} is {hours} hours {side} UTC: the signs of these names are reversed");
            Some((
                message,
                format!("{hours} hours {other} UTC are `Etc/GMT{opposite}{hours}`; best is a place, like `{place}`"),
            ))
        } else {
            let place = match name {
                "EST" => Some("America/New_York"),
                "MST" => Some("America/Denver"),
                "HST" => Some("America/Adak"),
                _ => None,
            };
            place.map(|place| {
                (
                    format!("the clock of {name} is the same all year: it has no summer time"),
                    format!("did you mean `{place}`?"),
                )
            })
        };
        if let (Some((message, hint)), Some(mark)) = (reported, self.place(written.zone, "zone-name")) {
            self.found.warning(mark, "zone-name", message, Some(hint));
        }
    }

    fn rare(&mut self, timing: &Timing, mark: Mark<'_>, text: &str) {
        let Some((slot, after)) = timing.rare_slots(self.now) else { return };
        let then = match after {
            Some(after) => format!("then not before {}", after.format("%F")),
            None => "then never again".to_owned(),
        };
        let message = format!("`{text}` fires on {}, and {then}", slot.format("%F"));
        let hint = Some("the last day of a month is `L`, whichever it is".into());
        self.found.warning(mark, "never-fires", message, hint);
    }

    /// Effects of the next clock changes on the rule.
    fn clock_changes(&mut self, timing: &Timing, zone: Zone, text: &str) -> Option<(String, String)> {
        let found: Vec<(String, ClockChange)> = self
            .clock_changes_of(zone)
            .iter()
            .filter_map(|change| Some((words(zone, change, timing.effect_of(change)?), *change)))
            .collect();
        let (_, first) = found.first()?;
        let times = found.iter().fold(first.times(), |times, (_, change)| {
            let other = change.times();
            // The same hours on another day.
            if other.start.time() < times.start.time() { other } else { times }
        });
        let nights: Vec<&str> = found.iter().map(|(night, _)| night.as_str()).collect();
        let message = format!("the clock of {zone} changes at times of `{text}`: {}", nights.join("; "));
        let hint = format!(
            "a time outside of {} to {} comes once every night, and every time does in `timezone = \"UTC\"`",
            times.start.format("%R"),
            times.end.format("%R")
        );
        Some((message, hint))
    }
}

/// Effect of one clock change on one rule.
fn words(zone: Zone, change: &ClockChange, effect: Effect) -> String {
    let clock = |wall: NaiveDateTime| wall.format("%R").to_string();
    let jump = format!("on {} from {} to {}", change.from.format("%a %F"), clock(change.from), clock(change.to));
    let at = utc(change.at);
    let effect = match effect {
        Effect::MadeUp { time, count: 1 } => {
            format!("{} does not exist, and the slot is at {} ({at})", clock(time), clock(change.to))
        }
        Effect::MadeUp { time, count } => {
            format!(
                "{count} times from {} on do not exist and fall together at {} ({at})",
                clock(time),
                clock(change.to)
            )
        }
        Effect::FirstPass { time, count } => {
            let first = zone.from_local_datetime(&time).earliest().map(|at| utc(at.to_utc())).unwrap_or_default();
            match count {
                1 => format!("{} comes twice, and the slot is at the first ({first})", clock(time)),
                _ => format!("{count} times from {} on come twice, with slots at the first pass only", clock(time)),
            }
        }
        Effect::LeftOut { time, count: 1 } => format!("{} does not exist and has no slot", clock(time)),
        Effect::LeftOut { time, count } => {
            format!("{count} times from {} on do not exist and have no slot", clock(time))
        }
        Effect::Twice { time, count: 1 } => format!("{} comes twice and has two slots", clock(time)),
        Effect::Twice { time, count } => {
            format!("{count} times from {} on come twice and have {} slots", clock(time), count * 2)
        }
    };
    format!("{jump}, where {effect}")
}

/// `Thu 2027-01-14`.
fn day(date: NaiveDate) -> String {
    date.format("%a %F").to_string()
}

fn short_month(found: &ShortMonth, text: &str) -> (String, &'static str) {
    const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let missing: Vec<String> = found
        .missing
        .iter()
        .map(|missing| match missing {
            MissingDay::Day(day) if *day == 31 => "31st".to_owned(),
            MissingDay::Day(day) => format!("{day}th"),
            MissingDay::NearWeekday(day) => format!("`{day}W`"),
            MissingDay::FromLast(back) => format!("`L-{back}`"),
            MissingDay::FifthWeekday(day) => format!("fifth {}", WEEKDAYS.get(*day as usize).unwrap_or(&"weekday")),
        })
        .collect();
    let hint = match found.missing.first() {
        Some(MissingDay::FifthWeekday(_)) => "the last such day of every month is written with `L`, like `friL`",
        Some(MissingDay::NearWeekday(_)) => "the last day from Monday to Friday of every month is `LW`",
        _ => "the last day of every month is `L`; days up to the 28th come in every month",
    };
    let month = found.month.format("%B %Y");
    (format!("{month} has no {}, and `{text}` has no slot for it", missing.join(", no ")), hint)
}

fn either_day(found: &EitherDay, text: &str) -> (String, String) {
    let days: Vec<String> = found.next.iter().map(|date| day(*date)).collect();
    let message = format!(
        "`{text}` has slots on days that match the day of the month, and also on days that match the weekday: {}, …",
        days.join(", ")
    );
    let either = format!("if that is meant, write `cron = [\"{}\", \"{}\"]`", found.by_date, found.by_weekday);
    let hint = match &found.nth {
        Some(nth) => format!("did you mean `{nth}`? {either}"),
        None => format!("{either}; the first Monday of a month is `mon#1`"),
    };
    (message, hint)
}

fn crowded(found: &Crowded, text: &str) -> (String, String) {
    let message = format!("`{text}` has a slot every {}, {} a day", found.unit, found.per_day);
    (message, format!("did you mean `{}`?", found.once))
}

fn uneven(step: &UnevenStep, text: &str) -> String {
    let field = text.get(step.span.clone()).unwrap_or(text);
    let one = step.unit.trim_end_matches('s');
    let (last, first) = (step.last, step.first);
    let every = format!("`{field}` is not every {} {}", step.step, step.unit);
    match step.gap {
        Some(1) => format!("{every}: after {one} {last} comes {one} {first}, 1 {one} later"),
        Some(gap) => format!("{every}: after {one} {last} comes {one} {first}, {gap} {} later", step.unit),
        None => format!("{every}: it begins again with {one} {first} of each month, also right after {one} {last}"),
    }
}

fn even(step: &UnevenStep) -> String {
    match step.even.as_slice() {
        [] if step.unit == "weekdays" => "name them, like `mon,wed,fri`".to_owned(),
        [] if step.unit == "days" => "name them, like `1,11,21`".to_owned(),
        [] => format!("name the {}", step.unit),
        [only] => format!("did you mean `*/{only}`?"),
        [below, above, ..] => format!("did you mean `*/{below}` or `*/{above}`?"),
    }
}

fn utc(at: DateTime<Utc>) -> String {
    at.format("%R UTC").to_string()
}
