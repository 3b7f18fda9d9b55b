//! Lints: valid configurations that are probably not intended. Each lint reports what will happen, with dates, and what
//! to write instead. No I/O: schedules, their places and the current instant go in.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use crate::domain::calendar::zone::Zone;
use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Utc};

use super::{
    Config, SourceMap,
    reader::{Diagnostics, Mark, Source},
    source_map::WrittenValue,
};
use crate::domain::{
    calendar::Timing,
    catch_up::CatchUp,
    clock::ON_TIME,
    ids::InstanceId,
    image::retention::counts,
    plan::{
        clock_change_lints::{ClockChange, Effect, UnevenStep, clock_changes},
        forecast::Durations,
    },
    schedule::{Overlap, Schedule},
    time::show,
};

/// How far ahead slots of one instance are compared.
const COMPARED: TimeDelta = TimeDelta::days(7);
/// Maximum number of compared slots per schedule, so that a slot per second does not cost more.
const MOST_COMPARED: usize = 500;
/// Maximum number of slots among which the largest gap is searched.
const MOST_GAPS: usize = 300;
/// Number of reported clock changes: usually one in spring and one in autumn.
const CHANGES: usize = 2;

impl SourceMap {
    /// Adds warnings about the schedules of this map. `durations` are those of their former bakes.
    pub fn lint(&mut self, config: &Config, now: DateTime<Utc>, durations: &Durations) {
        let mut linter = Linter { sources: &self.sources, found: &mut self.found, now, changes: HashMap::new() };
        for (schedule, written) in config.schedules.iter().zip(&self.marks.schedules) {
            linter.times(schedule, written);
            linter.retention(schedule, written);
            linter.age(schedule, written);
            linter.catch_up(schedule, written);
            linter.paused(schedule, written);
        }
        linter.collisions(config, &self.marks.schedules, durations);
    }
}

struct Linter<'a> {
    sources: &'a [Source],
    found: &'a mut Diagnostics,
    now: DateTime<Utc>,
    /// The next clock changes of each zone.
    changes: HashMap<Zone, Vec<ClockChange>>,
}

impl<'a> Linter<'a> {
    fn times(&mut self, schedule: &Schedule, written: &WrittenValue) {
        let zone = schedule.timing.zone();
        for (index, (timing, text)) in schedule.timing.rules_apart().zip(schedule.timing.expressions()).enumerate() {
            let Some(mark) = written.cron.get(index).and_then(|span| span.of(self.sources)) else { continue };
            self.rare(&timing, mark.inside(text, 0..text.len()), text);
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
        let now = self.now;
        let changes = self.changes.entry(zone).or_insert_with(|| clock_changes(zone, now, CHANGES));
        let found: Vec<(String, &ClockChange)> = changes
            .iter()
            .filter_map(|change| Some((words(zone, change, timing.effect_of(change)?), change)))
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

    /// Images that are deleted before the next one is made.
    fn retention(&mut self, schedule: &Schedule, written: &WrittenValue) {
        let Some(keep) = &schedule.keep else { return };
        let Some(within) = keep.within.filter(|_| counts(keep).next().is_none()) else { return };
        let Some(mark) = self.place(written.keep, "retention-shorter-than-interval") else { return };
        let Some((slot, gap)) = schedule.timing.longest_gap(self.now, MOST_GAPS).filter(|(_, gap)| within < *gap)
        else {
            return;
        };
        let message = format!(
            "`within` keeps images of {} for {}, and after {} the next one comes {} later: then only `min` = {} is left",
            schedule.name,
            span(within),
            local(slot, schedule.timing.zone()),
            span(gap),
            keep.min
        );
        let hint = format!("did you mean `within = \"{}\"`? or count them, as in `last = 3`", span(gap * 2));
        self.found.warning(mark, "retention-shorter-than-interval", message, Some(hint));
    }

    /// Images that exceed their maximum age before the next one is made.
    fn age(&mut self, schedule: &Schedule, written: &WrittenValue) {
        let Some(age) = schedule.max_image_age else { return };
        let Some(mark) = self.place(written.max_image_age, "age-shorter-than-interval") else { return };
        let Some((slot, gap)) = schedule.timing.longest_gap(self.now, MOST_GAPS).filter(|(_, gap)| age < *gap) else {
            return;
        };
        let message = format!(
            "{} will be overdue by itself: after {} the next slot comes {} later, and its images may be {} old",
            schedule.name,
            local(slot, schedule.timing.zone()),
            span(gap),
            span(age)
        );
        let hint = format!("at least {} and the time that a bake takes", span(gap));
        self.found.warning(mark, "age-shorter-than-interval", message, Some(hint));
    }

    /// A window that never contains a missed slot.
    fn catch_up(&mut self, schedule: &Schedule, written: &WrittenValue) {
        if schedule.catch_up == CatchUp::Skip || schedule.catch_up_window > ON_TIME {
            return;
        }
        let Some(mark) = self.place(written.catch_up_window, "catch-up-window-short") else { return };
        let message = format!(
            "nothing is ever caught up: a slot counts as missed after {}, and is too old then for this window",
            span(ON_TIME)
        );
        let hint = "a window of hours, like \"6h\"; or `catch_up = \"skip\"`, which is explicit";
        self.found.warning(mark, "catch-up-window-short", message, Some(hint.into()));
    }

    fn paused(&mut self, schedule: &Schedule, written: &WrittenValue) {
        if !schedule.paused {
            return;
        }
        let Some(mark) = self.place(written.paused, "paused-for-ever") else { return };
        let message = format!("{} makes no image until somebody edits this line again", schedule.name);
        let hint = format!(
            "`imagebaked pause {} --until … --reason …` ends by itself and has a reason; or remove the schedule",
            schedule.name
        );
        self.found.warning(mark, "paused-for-ever", message, Some(hint));
    }

    /// Slots of one instance in several schedules at the same instant, or closer together than the duration of a bake.
    fn collisions(&mut self, config: &Config, written: &[WrittenValue], durations: &Durations) {
        let mut by_instance: BTreeMap<&InstanceId, Vec<usize>> = BTreeMap::new();
        for (index, schedule) in config.schedules.iter().enumerate().filter(|(_, schedule)| !schedule.paused) {
            for instance in schedule.instances.as_slice() {
                by_instance.entry(instance).or_default().push(index);
            }
        }
        let until = self.now.checked_add_signed(COMPARED).unwrap_or(self.now);
        let mut found = HashSet::new();
        for (instance, indices) in by_instance.into_iter().filter(|(_, indices)| indices.len() > 1) {
            let mut slots: Vec<(DateTime<Utc>, usize)> = Vec::new();
            for &index in &indices {
                let slots_of = config.schedules[index].timing.between(self.now, until).take(MOST_COMPARED);
                slots.extend(slots_of.map(|slot| (slot, index)));
            }
            slots.sort_unstable();
            for pair in slots.windows(2) {
                let ((before, first), (slot, second)) = (pair[0], pair[1]);
                let earlier = &config.schedules[first];
                let takes = durations.expected(&earlier.line(instance));
                let apart = (slot - before).to_std().unwrap_or_default();
                let (lower, upper) = (first.min(second), first.max(second));
                if lower == upper || (!apart.is_zero() && apart >= takes) || !found.insert((lower, upper)) {
                    continue;
                }
                let marks = [upper, lower].map(|at| written.get(at).and_then(|place| place.name.of(self.sources)));
                let [Some(place), Some(other)] = marks else { continue };
                let assumed = durations.learned(&earlier.line(instance)).is_none();
                let collision = Collision { instance, slot, apart, takes, assumed };
                let message = collision.words(earlier, &config.schedules[second]);
                let hint = "move one of them; or write one schedule with both times, if one line of images is enough";
                let other = (other, "the other schedule");
                self.found.warn_with_related(place, "same-instance-collision", &message, Some(hint.into()), other);
            }
        }
    }

    /// The place of a key, unless it was reported before: a key that many schedules share is reported once.
    fn place(&self, span: Option<super::reader::Span>, code: &'static str) -> Option<Mark<'a>> {
        span?.of(self.sources).filter(|mark| !self.found.has(*mark, code))
    }
}

struct Collision<'a> {
    instance: &'a InstanceId,
    slot: DateTime<Utc>,
    apart: Duration,
    takes: Duration,
    assumed: bool,
}

impl Collision<'_> {
    fn words(&self, earlier: &Schedule, later: &Schedule) -> String {
        let when = local(self.slot, later.timing.zone());
        let instance = self.instance;
        if self.apart.is_zero() {
            let effect = match later.overlap {
                Overlap::Queue => "one waits for the other",
                Overlap::Skip => "one of them is skipped (overlap = \"skip\")",
            };
            let (earlier, later) = (&earlier.name, &later.name);
            return format!("{earlier} and {later} have slots of {instance} at one instant, next {when}: {effect}");
        }
        let assumed = if self.assumed { ", as is assumed before the first" } else { "" };
        let effect = match later.overlap {
            Overlap::Queue => "waits",
            Overlap::Skip => "is skipped (overlap = \"skip\")",
        };
        format!(
            "{} comes {} after {} on {instance}, next {when}, and {effect} if a bake takes {}{assumed}",
            later.name,
            span(self.apart),
            earlier.name,
            span(self.takes)
        )
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

/// `Mon 2027-03-01 03:00 CET`.
fn local(slot: DateTime<Utc>, zone: Zone) -> String {
    show(slot, zone)
}

fn utc(at: DateTime<Utc>) -> String {
    at.format("%R UTC").to_string()
}

fn span(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
