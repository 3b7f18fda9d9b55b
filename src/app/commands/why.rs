//! `imagebaked why SCHEDULE --at TIME`: explains a slot, call by call, or why there was none. Needs the history, but
//! neither the daemon nor credentials.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    context::{Context, unknown_schedule},
    outcome::{CommandOutput, Exit, Failure, Result},
    output::relative,
    presence::Presence,
    prospects::{Prospect, Prospects},
    show::{BakeReport, Extent},
    table::{screen, wrapped},
};
use crate::{
    adapters::{
        config::{self, Config},
        store::{BakeRow, Filter, Reader, StoreError, TargetRow},
    },
    app::{cli::WhyArgs, daemon::StoredTiming},
    domain::{
        bake::unfollowed::Unfollowed,
        calendar::{Timing, zone::Zone},
        catch_up::SlotPolicy,
        clock::{Clock, ON_TIME, SystemClock, shifted},
        ids::{InstanceId, ScheduleId},
        pause::Pause,
        plan::explain::{self, Case, Explanation, PointInTime, Record},
        schedule::Schedule,
        time::{AskedTime, Facing, rfc3339, show},
    },
};

/// Maximum number of explained slots of a day, of all instances together; a schedule of many has a few all the same.
const MOST_EXPLAINED: usize = 200;
/// That of one instance, at least.
const FEWEST_SLOTS: usize = 10;
/// Bakes that say the same whose numbers are listed.
const MOST_NUMBERED: usize = 12;
/// Lines of a terminal for the calls of one bake among several.
const ROOM_OF_CALLS: usize = 12;
/// Maximum number of considered slots of a day.
const MOST_CONSIDERED: usize = 2_000;

/// A schedule of the configuration, or one that only the history has.
struct Subject<'a> {
    name: String,
    id: String,
    in_file: Option<&'a Schedule>,
    timing: Timing,
    instances: BTreeSet<String>,
    seen: Vec<TargetRow>,
    pause: Option<Pause>,
}

/// Explanation of one instant and one instance.
struct InstanceExplanation {
    instance: String,
    moment: PointInTime,
    answer: Explanation,
    report: Option<BakeReport>,
    /// What is expected of a slot to come.
    prospect: Option<Prospect>,
    /// That no daemon follows the open bake, or makes a row for the slot.
    unfollowed: Option<Unfollowed>,
}

pub async fn run(context: &Context<'_>, args: &WhyArgs) -> Result {
    let asked = asked_time(args)?;
    let (config, presence) = context.find_daemon().await?;
    context.warn_if_not_in_force(&config, &presence);
    let now = SystemClock.now();
    let reader = match Reader::open(&config.daemon.state_dir).await {
        Ok(reader) => Some(reader),
        // A rule can be explained before the daemon has ever run.
        Err(StoreError::Missing { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let subject = subject(&config, reader.as_ref(), args).await?;
    let (moments, more) = subject.moments(reader.as_ref(), asked, now).await?;
    let mut explanations = Vec::new();
    for moment in moments {
        for instance in &subject.instances {
            explanations.push(subject.explain((reader.as_ref(), &presence), moment, instance, now).await?);
        }
    }
    if let Some(schedule) = subject.in_file.filter(|_| explanations.iter().any(|one| one.answer.will_run)) {
        let is_in_force = context.is_in_force(&config, &presence);
        let prospects =
            Prospects::find(&config, &presence, schedule, is_in_force, (&config.daemon.state_dir, now)).await;
        let mut to_come: Vec<_> = explanations.iter_mut().filter(|one| one.answer.will_run).collect();
        let slots: Vec<_> =
            to_come.iter().map(|one| (InstanceId::from(one.instance.as_str()), one.moment.at)).collect();
        for (one, prospect) in to_come.iter_mut().zip(prospects.of(schedule, &slots)) {
            one.prospect = Some(prospect);
        }
    }
    if let Some(reader) = reader {
        reader.close().await;
    }
    if context.json {
        return Ok(CommandOutput::done(format!("{}\n", as_json(&subject, &explanations)?)));
    }
    let mut text = as_text(&subject, &explanations, now, (context.color, args.all));
    if more > 0 {
        text.push_str(&format!("\n… and {more} more slots of that time; `--at` with a time of day shows one\n"));
    }
    Ok(CommandOutput::done(text))
}

/// The time after the schedule, or that of `--at`.
fn asked_time(args: &WhyArgs) -> Result<Option<AskedTime>> {
    let usage = |message: String| Err(Failure::new(Exit::Usage, message));
    match args.schedule.others(&args.time).as_slice() {
        [] => Ok(args.at),
        [_, other, ..] => usage(format!("{other:?} is one word too many: imagebaked why SCHEDULE [TIME]")),
        [_] if args.at.is_some() => usage("`--at` has the time already".to_owned()),
        [word] => match word.parse() {
            Ok(time) => Ok(Some(time)),
            Err(_) if args.schedule.name().parse::<AskedTime>().is_ok() => {
                usage(format!("the schedule comes first: imagebaked why {word} {:?}", args.schedule.name()))
            }
            Err(error) => usage(format!("{word:?}: {error}")),
        },
    }
}

async fn subject<'a>(config: &'a Config, reader: Option<&Reader>, args: &WhyArgs) -> Result<Subject<'a>> {
    let wanted = args.schedule.name();
    let by_id = config.schedules.iter().find(|schedule| schedule.id.as_str() == wanted);
    let in_file = by_id.or_else(|| config.schedules.iter().find(|schedule| schedule.name.as_str() == wanted));
    let in_file = in_file.map(|schedule| &**schedule);
    let asked = in_file.map_or(wanted, |schedule| schedule.id.as_str());
    let mut seen = match reader {
        Some(reader) => reader.seen(asked).await?,
        None => Vec::new(),
    };
    // The name may have belonged to another schedule before.
    let id = match (in_file, seen.iter().find(|seen| seen.schedule_id == asked).or(seen.last())) {
        (Some(schedule), _) => schedule.id.to_string(),
        (None, Some(last)) => last.schedule_id.clone(),
        (None, None) => {
            return Err(unknown_schedule(config, reader, wanted).await?);
        }
    };
    seen.retain(|seen| seen.schedule_id == id);
    let timing = match in_file {
        Some(schedule) => Some(schedule.timing.clone()),
        None => seen.last().and_then(|seen| StoredTiming::from_json(&seen.timing)?.read()),
    };
    let timing = timing.ok_or_else(|| {
        Failure::new(Exit::Failed, format!("the rule that {wanted:?} had is not readable; see `imagebaked history`"))
    })?;
    let of_file = in_file.into_iter().flat_map(|schedule| schedule.instances.as_slice()).map(ToString::to_string);
    let mut instances: BTreeSet<String> = of_file.chain(seen.iter().map(|seen| seen.instance_id.clone())).collect();
    if let Some(only) = &args.instance {
        if !instances.contains(only) {
            let whose = format!("the schedule {wanted:?}");
            let message = match config.schedules_of_instance(only).as_slice() {
                [] => config::no_instance(&whose, only, instances.iter().map(String::as_str)),
                owners => format!("{whose} has no instance {only:?}; it is one of {}", owners.join(", ")),
            };
            return Err(Failure::new(Exit::NotFound, message));
        }
        instances.retain(|instance| instance == only);
    }
    let name = match in_file {
        Some(schedule) => schedule.name.to_string(),
        None => seen.last().map_or_else(|| wanted.to_owned(), |seen| seen.schedule.clone()),
    };
    let pause = match reader {
        Some(reader) => reader.pauses().await?.remove(&ScheduleId::from(id.as_str())),
        None => None,
    };
    Ok(Subject { name, id, in_file, timing, instances, seen, pause })
}

impl Subject<'_> {
    /// The instants to explain, and the number of further ones: the slots and bakes of the time that was asked for, or that
    /// time itself where there is none; by default the newest slot.
    async fn moments(
        &self,
        reader: Option<&Reader>,
        asked: Option<AskedTime>,
        now: DateTime<Utc>,
    ) -> Result<(Vec<PointInTime>, usize)> {
        let zone = self.timing.zone();
        let Some(asked) = asked else {
            let newest = self.timing.last_until(now).max(self.newest_row(reader).await?);
            let at = newest.or_else(|| self.timing.next_after(now)).unwrap_or(now);
            return Ok((vec![explain::moment(at, zone)], 0));
        };
        let of_time = explain::moments(&asked, zone, now);
        if asked.is_day() {
            let (first, after) = asked.span(zone, now, Facing::Past);
            let slots = self.slots(reader, first, after).await?;
            let most = (MOST_EXPLAINED / self.instances.len().max(1)).max(FEWEST_SLOTS);
            let more = slots.len().saturating_sub(most);
            let shown: Vec<_> = slots.into_iter().take(most).map(|at| explain::moment(at, zone)).collect();
            return Ok(if shown.is_empty() { (of_time, 0) } else { (shown, more) });
        }
        let length = asked.length();
        let mut found = Vec::new();
        for moment in of_time {
            let mut slots = self.slots(reader, moment.at, shifted(moment.at, length)).await?;
            // `03:00` is the slot at 03:00, or else what was due within that minute.
            if slots.remove(&moment.at) || slots.is_empty() {
                found.push(moment);
            }
            found.extend(slots.into_iter().map(|at| explain::moment(at, zone)));
        }
        Ok((found, 0))
    }

    /// Slots of the rule and of the rows of the history, from `first` on and before `after`.
    async fn slots(
        &self,
        reader: Option<&Reader>,
        first: DateTime<Utc>,
        after: DateTime<Utc>,
    ) -> Result<BTreeSet<DateTime<Utc>>> {
        let moment = TimeDelta::milliseconds(1);
        let (before, last) = (shifted(first, -moment), shifted(after, -moment));
        let mut slots: BTreeSet<_> = self.timing.between(before, last).take(MOST_CONSIDERED).collect();
        if let Some(reader) = reader {
            let limit = u32::try_from(MOST_CONSIDERED).unwrap_or(u32::MAX);
            let filter = Filter {
                schedule: Some(self.id.clone()),
                since: Some(first),
                until: Some(last),
                limit,
                ..Filter::default()
            };
            slots.extend(reader.history(&filter).await?.iter().map(BakeRow::slot));
        }
        Ok(slots)
    }

    /// Slot of the newest row, for a rule without a slot in the past.
    async fn newest_row(&self, reader: Option<&Reader>) -> Result<Option<DateTime<Utc>>> {
        let Some(reader) = reader else { return Ok(None) };
        let filter = Filter { schedule: Some(self.id.clone()), limit: 1, ..Filter::default() };
        Ok(reader.history(&filter).await?.first().map(BakeRow::slot))
    }

    /// Why a slot at `at` is skipped, if the schedule is paused then: by the configuration, a person or the daemon.
    fn paused(&self, schedule: &Schedule, at: DateTime<Utc>) -> Option<String> {
        if schedule.paused {
            return Some("in the file".to_owned());
        }
        self.pause.as_ref().filter(|pause| pause.covers(at)).map(|pause| pause.words(self.timing.zone()))
    }

    async fn explain(
        &self,
        (reader, presence): (Option<&Reader>, &Presence),
        moment: PointInTime,
        instance: &str,
        now: DateTime<Utc>,
    ) -> Result<InstanceExplanation> {
        let row = match reader {
            Some(reader) => reader.row_covering(&self.id, instance, moment.at).await?,
            None => None,
        };
        let absent = reader.and_then(|reader| presence.unfollowed(reader));
        let unfollowed = absent.filter(|_| row.as_ref().is_some_and(|row| !row.is_ended()));
        let record = row.as_ref().map(BakeRow::record);
        let mut record = record.map(|record| Record { is_current: unfollowed.is_none(), ..record });
        let veto = match (reader, &row) {
            (Some(reader), Some(row)) => reader.veto_of(row).await?,
            _ => None,
        };
        if let (Some(record), Some(veto)) = (&mut record, veto) {
            record.reason = Some(format!("its image is vetoed {}", veto.describe(self.timing.zone())));
        }
        let planned = self
            .in_file
            .filter(|schedule| schedule.instances.as_slice().iter().any(|planned| planned.as_str() == instance));
        let paused = planned.and_then(|schedule| self.paused(schedule, moment.at));
        let case = Case {
            timing: &self.timing,
            policy: planned.map(|schedule| policy(schedule, paused.as_deref())),
            known: self.seen.iter().find(|seen| seen.instance_id == instance).map(TargetRow::known),
            record: record.as_ref(),
            not_after: planned.and_then(|schedule| schedule.settings.first_not_after(moment.at)),
            now,
        };
        let answer = explain::explain(moment, &case);
        // What is due and has no row waits for a daemon, and so does a slot to come.
        let is_waiting = answer.due && record.is_none() && planned.is_some();
        let unprocessed = reader.and_then(|reader| presence.unprocessed(reader));
        let unfollowed = unfollowed.or(unprocessed.filter(|_| is_waiting));
        // A row that covers the instant but is not of its slot says nothing about it.
        let bears = |row: &BakeRow| answer.slot.is_some() || row.slot() == moment.at;
        let report = match (reader, row.filter(bears)) {
            (Some(reader), Some(row)) => {
                let zone = self.timing.zone();
                Some(BakeReport::read(reader, row, zone, presence).await?.in_zone(zone))
            }
            _ => None,
        };
        Ok(InstanceExplanation { instance: instance.to_owned(), moment, answer, report, prospect: None, unfollowed })
    }
}

fn policy<'a>(schedule: &Schedule, paused: Option<&'a str>) -> SlotPolicy<'a> {
    SlotPolicy { catch_up: schedule.catch_up, window: schedule.catch_up_window, on_time: ON_TIME, paused }
}

/// How many slots there are of each result, if there are several.
fn sum(explanations: &[InstanceExplanation]) -> String {
    if explanations.len() < 2 {
        return String::new();
    }
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for one in explanations {
        match counts.iter_mut().find(|(word, _)| *word == one.result()) {
            Some((_, n)) => *n += 1,
            None => counts.push((one.result(), 1)),
        }
    }
    let counts: Vec<String> = counts.into_iter().map(|(word, n)| format!("{n} {word}")).collect();
    format!("{} answers: {}\n", explanations.len(), counts.join(", "))
}

/// What says the same as the first of these.
fn rest(alike: &[InstanceExplanation], zone: Zone) -> String {
    let [_, others @ ..] = alike else { return String::new() };
    let Some(last) = others.last() else { return String::new() };
    let ids: Vec<String> =
        others.iter().filter_map(|one| one.report.as_ref()).map(|report| report.id().to_string()).collect();
    let bakes = match ids.len() {
        0 => String::new(),
        n if n > MOST_NUMBERED => {
            format!(" (bakes {} and {} more)", ids[..MOST_NUMBERED].join(", "), n - MOST_NUMBERED)
        }
        1 => format!(" (bake {})", ids.concat()),
        _ => format!(" (bakes {})", ids.join(", ")),
    };
    format!("  The same for {} more, until {}{bakes}.\n", others.len(), show(last.moment.at, zone))
}

impl InstanceExplanation {
    /// What became of it, in a word.
    fn result(&self) -> &str {
        match &self.report {
            Some(report) => report.word(),
            None if matches!(self.prospect, Some(Prospect::Skipped { .. })) => "to be skipped",
            None if self.answer.will_run => "to come",
            None => "without a bake",
        }
    }

    /// Whether both explanations differ in nothing but their time, their bake and the name of their image.
    fn says_the_same(&self, other: &Self, zone: Zone) -> bool {
        let is_skipped = |one: &Self| one.prospect.as_ref().is_some_and(|prospect| prospect.image().is_none());
        self.gist(zone) == other.gist(zone) && is_skipped(self) == is_skipped(other)
    }

    fn gist(&self, zone: Zone) -> String {
        let mut words = self.answer.words.replace(&show(self.moment.at, zone), "…");
        if let Some(report) = &self.report {
            words = words.replace(&format!("ake {} ", report.id()), "ake … ");
        }
        words
    }

    fn words(&self, zone: Zone) -> String {
        let words = &self.answer.words;
        let it = if self.report.is_some() { "it" } else { "this schedule" };
        let absence = self.unfollowed.as_ref().map(|unfollowed| unfollowed.sentence(it, zone));
        let prospect = self.prospect.as_ref().map(|prospect| prospect.words(absence.is_none()));
        [Some(words.clone()), prospect, absence].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn json(&self, subject: &Subject<'_>) -> Result<Value> {
        let bakes = self.report.iter().map(BakeReport::json).collect::<Result<Vec<_>>>()?;
        let local = self.moment.at.with_timezone(&subject.timing.zone());
        Ok(json!({
            "schedule": subject.name,
            "instance_id": self.instance,
            "at": rfc3339(self.moment.at),
            "local": local.to_rfc3339_opts(SecondsFormat::AutoSi, false),
            "slot": self.answer.slot.map(rfc3339),
            "due": self.answer.due,
            "explanation": self.words(subject.timing.zone()),
            "image_name": self.prospect.as_ref().and_then(Prospect::image),
            "bakes": bakes,
            "nearest": { "before": self.answer.before.map(rfc3339), "after": self.answer.after.map(rfc3339) },
        }))
    }
}

/// The fields of the first instant that is a slot, or of the first instant; the bakes of all; under `answers` each
/// instant and instance separately.
fn as_json(subject: &Subject<'_>, explanations: &[InstanceExplanation]) -> Result<Value> {
    let answers = explanations.iter().map(|one| one.json(subject)).collect::<Result<Vec<_>>>()?;
    let chosen = answers.iter().find(|answer| answer["due"] == true).or(answers.first());
    let of = |field: &str| chosen.map(|answer| answer[field].clone()).unwrap_or_default();
    let bakes: Vec<&Value> = answers.iter().filter_map(|answer| answer["bakes"].as_array()).flatten().collect();
    let mut words: Vec<&str> = answers.iter().filter_map(|answer| answer["explanation"].as_str()).collect();
    words.dedup();
    Ok(json!({
        "schedule": subject.name,
        "at": of("at"),
        "slot": of("slot"),
        "due": of("due"),
        "explanation": words.join("\n"),
        "bakes": bakes,
        "nearest": of("nearest"),
        "answers": answers,
    }))
}

fn as_text(
    subject: &Subject<'_>,
    explanations: &[InstanceExplanation],
    now: DateTime<Utc>,
    (color, all): (bool, bool),
) -> String {
    let zone = subject.timing.zone();
    let rule: Vec<String> = subject.timing.expressions().map(|text| format!("{text:?}")).collect();
    let paused =
        subject.in_file.and_then(|schedule| subject.paused(schedule, shifted(now, TimeDelta::milliseconds(1))));
    let paused =
        paused.map_or_else(String::new, |paused| format!("Its slots are skipped from now on: paused {paused}\n"));
    let removed = match subject.in_file {
        Some(_) => "",
        None => "It is not in the file any more: this was its rule, and no slot comes.\n",
    };
    let head = wrapped(&format!("{}: {} in {zone}\n{removed}{paused}", subject.name, rule.join(", ")), 2);
    // Of several the first that is not good is shown call by call; the others by their number.
    let is_bad = |one: &&InstanceExplanation| one.report.as_ref().is_some_and(|report| !report.is_good());
    let whole = explanations.iter().find(is_bad).filter(|_| explanations.len() > 1).or(match explanations {
        [only] => Some(only),
        _ => None,
    });
    let is_whole = |one: &InstanceExplanation| whole.is_some_and(|whole| std::ptr::eq(whole, one));
    let head = format!("{head}{}", sum(explanations));
    let mut texts: Vec<(bool, String)> = Vec::new();
    for alike in explanations.chunk_by(|one, next| !is_whole(one) && !is_whole(next) && one.says_the_same(next, zone)) {
        let Some(one) = alike.first() else { continue };
        let (at, when) = (show(one.moment.at, zone), relative(one.moment.at, now));
        let mut text = wrapped(&format!("\n{}, {at} ({when})\n  {}\n", one.instance, one.words(zone)), 2);
        if let Some(report) = one.report.as_ref().filter(|_| !is_whole(one)) {
            text.push_str(&format!("    imagebaked show {}\n", report.id()));
        }
        text.push_str(&wrapped(&rest(alike, zone), 2));
        texts.push((is_whole(one), text));
    }
    let lines = screen().filter(|_| !all);
    let hidden = lines.map_or(0, |lines| shorten(&mut texts, lines.saturating_sub(head.lines().count())));
    let used = head.lines().count() + texts.iter().map(|(_, text)| text.lines().count()).sum::<usize>();
    // A blank line before the report, and the line on what is hidden.
    let extent = Extent { all, lines: lines.map(|lines| lines.saturating_sub(used + 1 + usize::from(hidden > 0))) };
    let mut text = head;
    for (is_whole, one) in texts {
        text.push_str(&one);
        if let Some(report) = whole.and_then(|whole| whole.report.as_ref()).filter(|_| is_whole) {
            text.push_str(&format!("\n{}", report.short_text(now, color, extent)));
        }
    }
    if hidden > 0 {
        text.push_str(&format!("… and {hidden} more; --all shows each\n"));
    }
    text
}

/// Removes explanations that a terminal has no room for, and returns their number. The one that is shown call by call stays,
/// with room for its calls.
fn shorten(texts: &mut Vec<(bool, String)>, lines: usize) -> usize {
    let all = texts.len();
    let has_whole = texts.iter().any(|(is_whole, _)| *is_whole);
    let whole: usize = texts.iter().filter(|(is_whole, _)| *is_whole).map(|(_, text)| text.lines().count()).sum();
    let mut room = lines.saturating_sub(whole + if has_whole && all > 1 { ROOM_OF_CALLS } else { 0 });
    let mut is_first = !has_whole;
    texts.retain(|(is_whole, text)| {
        let needed = text.lines().count();
        let fits = *is_whole || is_first || needed < room;
        if !is_whole {
            room = if fits { room.saturating_sub(needed) } else { 0 };
        }
        is_first = false;
        fits
    });
    all - texts.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(minute: i64, words: &str) -> InstanceExplanation {
        let at = DateTime::UNIX_EPOCH + TimeDelta::minutes(minute);
        let words = format!("{} {words}", show(at, Zone::UTC));
        let answer = Explanation { slot: Some(at), due: true, will_run: true, before: None, after: None, words };
        let moment = explain::moment(at, Zone::UTC);
        InstanceExplanation {
            instance: "ecd-1".to_owned(),
            moment,
            answer,
            report: None,
            prospect: None,
            unfollowed: None,
        }
    }

    #[test]
    fn slots_that_say_the_same_are_summed() {
        let explanations: Vec<_> = [0, 15, 30].map(|minute| slot(minute, "is a slot to come.")).into();
        assert_eq!(sum(&explanations), "3 answers: 3 to come\n");
        assert!(explanations[0].says_the_same(&explanations[2], Zone::UTC));
        assert!(!explanations[0].says_the_same(&slot(45, "is no slot."), Zone::UTC));
        let rest = rest(&explanations, Zone::UTC);
        assert_eq!(rest, "  The same for 2 more, until Thu 1970-01-01 00:30 +00:00.\n");
        assert_eq!((sum(&explanations[..1]).as_str(), super::rest(&explanations[..1], Zone::UTC).as_str()), ("", ""));
    }
}
