//! `imagebaked plan`: future slots. Needs neither credentials nor a daemon; versions, pauses and durations come from
//! the history, if there is one.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;

use super::{
    context::{Context, next_pass},
    diff,
    forecast::{Expected, KnownHistory, Outlook, Warnings, clock},
    outcome::{CommandOutput, Exit, Failure, Result},
    output::{NONE, Rows, relative},
    plan_now::Present,
    plan_obstacles::Obstacles,
    plan_span::wanted,
    plan_sum::{Asked, Foreseen, SumSpan, sum},
    prune,
    table::{room, terminal_width, wrapped, wrapped_lines},
    terminal::{print_error, print_text, try_print_text, with_config},
};
use crate::{
    adapters::{
        config::{Config, closest},
        store::{Reader, StoreError},
    },
    app::{cli::PlanArgs, daemon},
    domain::{
        bake::naming::{Template, Values},
        calendar::zone::Zone,
        clock::{Clock, SystemClock, shifted},
        error::chain,
        ids::{InstanceId, LineId},
        image::{
            brake::Brake,
            held::Held,
            passes::NextPass,
            report::{Judged, RetentionReport},
        },
        plan::{
            forecast::ForecastOutcome,
            slots::{SlotAhead, count, slots_ahead},
        },
        schedule::Schedule,
        text::counted,
        time::{AskedTime, rfc3339_seconds, show},
    },
};

/// A future slot; the field names are those of `plan --json`.
#[derive(Debug, Serialize)]
struct Slot<'a> {
    schedule: &'a str,
    slot: String,
    local: String,
    instance_id: &'a str,
    /// None where no image is made.
    image_name: Option<String>,
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_begin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// So many warnings are listed; on a terminal, where the list has to fit.
const MOST_WARNINGS: usize = 10;
const FEW_WARNINGS: usize = 2;
/// So many slots the table has by default.
const TABLE_LIMIT: usize = 100;
/// And the JSON.
const JSON_LIMIT: usize = 1000;
/// So many slots are considered for the sentence on the night and for warnings, though fewer are shown. More than these are
/// written as they are computed, without expected times: a rule may fire each second for thousands of instances.
const CONSIDERED: usize = 20_000;

/// So many images to delete are listed.
const MOST_GOING: usize = 100;

/// Notes of slots that are not baked.
const PAUSED: &str = "paused: will be skipped";
const OBSERVES: &str = "the daemon only observes: will be skipped";

/// Bytes of JSON that are written at once.
const BLOCK: usize = 1 << 16;

pub async fn run(context: &Context<'_>, args: &PlanArgs) -> Result {
    let now = SystemClock.now();
    let (config, presence, noted) = context.find_daemon_or_valid_file().await?;
    let (when, schedule) = words(args, &config)?;
    // Without a schedule the zone of the page: tonight is the same night here and there.
    let zone = context.zone_of(&config, schedule);
    let (from, until) = wanted(args, when, zone, now);
    let asked = asked(args, when, (from, until));
    if when.is_some() && until < now {
        let message = format!(
            "{} has passed; `imagebaked history --since {}` shows what ran",
            show(until, zone),
            shifted(from, TimeDelta::seconds(1)).with_timezone(&zone).format("%F")
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    if until < from {
        let message = format!("--until ({}) lies before --from ({})", show(until, zone), show(from, zone));
        return Err(Failure::new(Exit::Usage, message));
    }
    if let Some(file) = &args.diff {
        return diff::run(context, &config, file, (from, until), args.limit).await;
    }
    let schedules: Vec<&Schedule> = match schedule {
        None => config.schedules.iter().map(|schedule| &**schedule).collect(),
        Some(wanted) => {
            config.schedules.iter().map(|schedule| &**schedule).filter(|schedule| schedule.is_called(wanted)).collect()
        }
    };
    if let (true, Some(wanted)) = (schedules.is_empty(), schedule) {
        return Err(Failure::new(Exit::NotFound, config.no_schedule(wanted, config.schedule_words())));
    }
    let state_dir = presence.located().map_or(&config.daemon.state_dir, |daemon| &daemon.state_dir).clone();
    let Obstacles { blocked, recurring, observes, .. } =
        Obstacles::find(&config, &state_dir, &presence, (&schedules, zone)).await;
    let history = KnownHistory::read(&config, &state_dir).await.unwrap_or_else(|error| {
        let error = chain(&error);
        print_error(&format!(
            "warning: the history cannot be read, so versions are counted from 1 and pauses are not known: {error}"
        ));
        KnownHistory::default()
    });
    let limit = args.limit.unwrap_or(if context.json { JSON_LIMIT } else { TABLE_LIMIT });
    let limit = if limit == 0 { usize::MAX } else { limit };
    // On a terminal the list ends where the screen does, unless somebody says how long it is to be.
    let most = room().filter(|_| args.limit.is_none()).map(|most| most.saturating_sub(noted));
    let slots: Vec<SlotAhead> = slots_ahead(schedules.iter().copied(), from, until).take(CONSIDERED).collect();
    let last = slots.last().map_or(from, |slot| slot.at);
    let outlook = Outlook::of(&config, &history, now, from, last);
    let slots: Vec<Foreseen> = slots
        .into_iter()
        .map(|slot| Foreseen { slot, expected: outlook.expected(slot.schedule, slot.instance, slot.at) })
        .collect();
    let mut maker = RowMaker {
        history: &history,
        versions: history.versions_taken(),
        before: (now, from),
        observes,
        taken: HashMap::new(),
        lines: HashMap::new(),
    };
    let shown: Vec<Slot> = slots[..limit.min(slots.len())].iter().map(|slot| maker.row(slot)).collect();
    let all = count(schedules.iter().copied(), from, until);
    let more = all.saturating_sub(limit as u64);
    let rest = slots_ahead(schedules.iter().copied(), from, until).take(limit).skip(CONSIDERED);
    let rest = rest.map(|slot| Foreseen { slot, expected: None });
    let next_pass = next_pass(&config, &presence).await;
    let report = going(&config, &state_dir, (&schedules, schedule.is_some()), (now, next_pass)).await;
    let RetentionReport { images: going, brakes, .. } = report;
    if context.json {
        let head =
            json!({ "more": more, "blocked": blocked, "images": going, "brakes": brakes, "next_pass": next_pass });
        write_json(&head, shown, rest.map(|slot| maker.row(&slot)))?;
        return Ok(CommandOutput::done(String::new()));
    }
    let tail = tail(context, &config, (&going, &brakes), (next_pass, zone, now));
    let span = SumSpan::of(asked, &slots, (zone, now));
    let is_cut = slots.len() == CONSIDERED;
    let mut text = sum(&span, &slots, schedule, &history, (zone, is_cut)).unwrap_or_default();
    if from <= now && now <= until {
        let present = Present::of(&history, &schedules, now);
        text.push_str(&present.sentence(&presence, zone).unwrap_or_default());
    }
    if let Some(why) = blocked {
        text.push_str(&format!("warning: nothing is baked as long as this lasts: {why}\n"));
    }
    if !recurring.is_empty() {
        text.push_str(&format!("warning: their next bakes may meet this again: {}\n", recurring.join("; ")));
    }
    text.push_str(&warnings(&slots).render(if most.is_some() { FEW_WARNINGS } else { MOST_WARNINGS }));
    text = wrapped(&with_config(&text), 2);
    if !text.is_empty() {
        text.push('\n');
    }
    let height = |text: &str| wrapped_lines(text, terminal_width()).lines().count();
    let most = most.map(|most| most.saturating_sub(height(&text) + height(&tail)));
    let outlook = ((from, until), most, observes);
    text.push_str(&table(context, (&slots, &shown, more), &history, (now, zone), outlook));
    text.push_str(&tail);
    write_tables(context, text, rest, &mut maker, now);
    Ok(CommandOutput::done(String::new()))
}

/// What stands below the slots: the images to delete, on a terminal as a sum, and the limits that hold them.
fn tail(
    context: &Context<'_>,
    config: &Config,
    (going, brakes): (&[Judged], &[Brake]),
    (next_pass, zone, now): (NextPass, Zone, DateTime<Utc>),
) -> String {
    if going.is_empty() {
        return String::new();
    }
    let mut text = if terminal_width().is_some() {
        let images = counted(going.len(), "image", "images");
        let first = going.iter().filter_map(|judged| judged.not_before).min();
        let first = first.map_or_else(String::new, |at| format!(", the first not before {}", show(at, zone)));
        let held = held_of(going);
        format!("\nTo be deleted: {images}{first}{held}; `imagebaked prune --dry-run` shows them\n")
    } else {
        let table = prune::table(&context.zones(config), context.color, going.iter().take(MOST_GOING));
        let more = match going.len().checked_sub(MOST_GOING) {
            Some(more @ 1..) => format!("… and {more} more.\n"),
            _ => String::new(),
        };
        let head = "\nImages to delete; `imagebaked pin IMAGE` keeps one, `imagebaked prune --dry-run` shows all\n";
        format!("{head}{table}{more}{}", prune::times(next_pass, zone, now))
    };
    text.push_str(&prune::held(brakes));
    with_config(&text).into_owned()
}

/// What keeps the daemon from these deletions.
fn held_of(going: &[Judged]) -> String {
    let of = |held: Held| going.iter().filter(|judged| judged.held == Some(held)).count();
    match (of(Held::Observe), of(Held::Confirmation)) {
        (0, 0) => String::new(),
        (0, held) if held == going.len() => format!(", {}", Held::Confirmation),
        (0, held) => format!(", {held} of them {}", Held::Confirmation),
        _ => format!(", {}", Held::Observe),
    }
}

/// The fields of `head` and the slots, each as it is computed; ends early if the output is closed.
fn write_json<'a>(
    head: &serde_json::Value,
    shown: Vec<Slot<'a>>,
    rest: impl Iterator<Item = Slot<'a>>,
) -> std::result::Result<(), serde_json::Error> {
    let head = head.to_string();
    let mut text = format!("{},\"slots\":[", head.strip_suffix('}').unwrap_or(&head));
    let mut separator = "";
    for slot in shown.into_iter().chain(rest) {
        text.push_str(separator);
        text.push_str(&serde_json::to_string(&slot)?);
        separator = ",";
        if text.len() > BLOCK {
            if !try_print_text(&text) {
                return Ok(());
            }
            text.clear();
        }
    }
    text.push_str("]}\n");
    print_text(&text);
    Ok(())
}

/// The text, then the slots after the considered ones, in tables of as many.
fn write_tables<'a>(
    context: &Context<'_>,
    text: String,
    rest: impl Iterator<Item = Foreseen<'a>>,
    maker: &mut RowMaker<'a>,
    now: DateTime<Utc>,
) {
    if !try_print_text(&wrapped_lines(&text, terminal_width())) {
        return;
    }
    let mut rest = rest.peekable();
    while rest.peek().is_some() {
        let mut rows = Rows::new(&["SLOT", "WHEN", "SCHEDULE", "INSTANCE", "IMAGE NAME", "NOTE"], context.color);
        for foreseen in rest.by_ref().take(CONSIDERED) {
            let row = maker.row(&foreseen);
            let slot = show(foreseen.slot.at, foreseen.slot.schedule.timing.zone());
            let note = match (row.paused, maker.observes) {
                (true, _) => PAUSED,
                (false, true) => OBSERVES,
                (false, false) => "",
            };
            let when = relative(foreseen.slot.at, now);
            let image = row.image_name.as_deref().unwrap_or(NONE);
            rows.row([&slot, &when, row.schedule, row.instance_id, image, note]);
        }
        if !try_print_text(&format!("\n{}", rows.render())) {
            return;
        }
    }
}

/// The words: a time, a schedule, or both. The name of a schedule goes before a time that is written the same.
fn words<'a>(args: &'a PlanArgs, config: &Config) -> Result<(Option<AskedTime>, Option<&'a str>)> {
    let usage = |message: String| Err(Failure::new(Exit::Usage, message));
    let (mut when, mut schedule) = (None, args.schedule.as_deref());
    for word in &args.words {
        if config.schedule_words().any(|known| known == word) {
            if schedule.replace(word).is_some() {
                return usage(format!("plan takes one schedule; {word} is the second"));
            }
        } else if let Ok(time) = word.parse::<AskedTime>() {
            if when.replace(time).is_some() || args.from.is_some() || args.until.is_some() {
                return usage(format!("{word:?} cannot be used with another time; `--from` and `--until` take two"));
            }
        } else if closest(word, TIMES).is_some() || config.schedules.is_empty() {
            let near = closest(word, TIMES).map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
            return usage(format!("{word:?} is no time{near}"));
        } else {
            let no_schedule = config.no_schedule(word, config.schedule_words());
            let message = if config.only_in_file.contains(word) {
                no_schedule
            } else {
                format!("{word:?} is no time, and {no_schedule}")
            };
            return Err(Failure::new(Exit::NotFound, message));
        }
    }
    if args.diff.is_some() && schedule.is_some() {
        return usage("`--diff` compares all schedules; leave the schedule out".to_owned());
    }
    Ok((when, schedule))
}

/// Words for times that people misspell.
const TIMES: [&str; 4] = ["tonight", "today", "tomorrow", "yesterday"];

/// What the first sentence is about.
fn asked(args: &PlanArgs, when: Option<AskedTime>, (from, until): (DateTime<Utc>, DateTime<Utc>)) -> Asked {
    match when {
        Some(AskedTime::Tonight) => Asked::Tonight,
        Some(when) if when.is_day() => Asked::Day(shifted(from, TimeDelta::milliseconds(1))),
        Some(_) => Asked::Until(until),
        None if args.from.is_some() || args.until.is_some() => Asked::Until(until),
        None => Asked::Nothing,
    }
}

/// Images that are marked, or would be by the rules, as of the last inventory scan, the next one first; none if the history is
/// unreadable, which was reported already.
async fn going(
    config: &Config,
    state_dir: &Path,
    (schedules, is_one): (&[&Schedule], bool),
    times: (DateTime<Utc>, NextPass),
) -> RetentionReport {
    let Ok(reader) = Reader::open(state_dir).await else { return RetentionReport::default() };
    let lines: HashSet<LineId> = schedules.iter().flat_map(|schedule| schedule.lines()).collect();
    let report = if is_one {
        judgement_of(&reader, config, &lines, times).await
    } else {
        daemon::judgement(&reader, config, daemon::Mode::default(), times).await
    };
    reader.close().await;
    let mut report = report.unwrap_or_default();
    report.images.retain(|judged| judged.is_going() && lines.contains(&judged.line));
    report.images.sort_by_key(Judged::turn);
    report.brakes.retain(|brake| brake.line().is_none_or(|line| lines.contains(line)));
    report
}

/// The judgement of some lines alone.
async fn judgement_of(
    reader: &Reader,
    config: &Config,
    lines: &HashSet<LineId>,
    (now, next_pass): (DateTime<Utc>, NextPass),
) -> std::result::Result<RetentionReport, StoreError> {
    let lines: Vec<LineId> = lines.iter().cloned().collect();
    let images = reader.present_images(Some(&lines)).await?;
    let judged =
        daemon::Judge::of_some(reader, config, (now, next_pass)).await?.some(reader, images, next_pass).await?;
    let brakes = reader.brakes().await?.into_iter().map(|standing| standing.brake).collect();
    let images = judged.into_iter().map(|(_, judged)| judged).collect();
    Ok(RetentionReport { brakes, images, ..RetentionReport::default() })
}

/// Makes the rows of slots, in their order.
struct RowMaker<'a> {
    history: &'a KnownHistory,
    /// The last version of each line, with those of bakes in the queue.
    versions: HashMap<&'a LineId, u32>,
    /// The time before the first slot, whose slots take versions, too.
    before: (DateTime<Utc>, DateTime<Utc>),
    /// Whether the daemon only observes: no image is made.
    observes: bool,
    /// How many it takes, by schedule: the same for each of its instances.
    taken: HashMap<usize, u32>,
    /// The last version and the template of the name, by schedule and instance. The template was checked when the
    /// configuration was loaded.
    lines: HashMap<(usize, &'a InstanceId), (u32, Option<Template>)>,
}

/// Versions that the slots of a schedule between two instants take, for each of its instances.
fn taken_before(schedule: &Schedule, history: &KnownHistory, (now, from): (DateTime<Utc>, DateTime<Utc>)) -> u32 {
    let next = |after: &DateTime<Utc>| schedule.timing.next_after(*after).filter(|slot| *slot <= from);
    let slots = std::iter::successors(next(&now), next).take(CONSIDERED);
    u32::try_from(slots.filter(|slot| !history.is_paused(schedule, *slot)).count()).unwrap_or_default()
}

impl<'a> RowMaker<'a> {
    fn row(&mut self, foreseen: &Foreseen<'a>) -> Slot<'a> {
        let SlotAhead { at, schedule, place, instance } = foreseen.slot;
        let zone = schedule.timing.zone();
        let paused = self.history.is_paused(schedule, at);
        let (history, before) = (self.history, self.before);
        let taken = *self.taken.entry(place).or_insert_with(|| taken_before(schedule, history, before));
        let known = || {
            let version = self.versions.get(&schedule.line(instance)).copied().unwrap_or_default();
            (version.saturating_add(taken), Template::parse(&schedule.settings.image_name).ok())
        };
        let (version, template) = self.lines.entry((place, instance)).or_insert_with(known);
        // A slot that is not baked takes no version, and its image has no name.
        let is_baked = !paused && !self.observes && foreseen.expected.is_none_or(|expected| expected.work().is_some());
        let next = version.saturating_add(1);
        if is_baked {
            *version = next;
        }
        let values = Values {
            name: schedule.name.as_str(),
            id: schedule.id.as_str(),
            instance_id: instance.as_str(),
            slot: at,
            zone,
            version: next,
        };
        let work = foreseen.expected.and_then(|expected| expected.work());
        Slot {
            schedule: schedule.name.as_str(),
            slot: rfc3339_seconds(at),
            local: at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, false),
            instance_id: instance.as_str(),
            image_name: is_baked
                .then(|| template.as_ref().map(|template| template.render(&values)).unwrap_or_default()),
            paused,
            expected_begin: work.map(|(begin, _)| rfc3339_seconds(begin)),
            expected_end: work.map(|(_, end)| rfc3339_seconds(end)),
            warning: foreseen.warning(),
        }
    }
}

fn table(
    context: &Context<'_>,
    (slots, shown, more): (&[Foreseen<'_>], &[Slot<'_>], u64),
    history: &KnownHistory,
    (now, zone): (DateTime<Utc>, Zone),
    ((from, until), most, observes): ((DateTime<Utc>, DateTime<Utc>), Option<usize>, bool),
) -> String {
    if slots.is_empty() {
        return format!("No slots after {} up to {}.\n", show(from, zone), show(until, zone));
    }
    let mut at_once: HashMap<(DateTime<Utc>, &InstanceId), usize> = HashMap::new();
    for Foreseen { slot, .. } in slots.iter().filter(|one| !history.is_paused(one.slot.schedule, one.slot.at)) {
        *at_once.entry((slot.at, slot.instance)).or_default() += 1;
    }
    // Without waits and known durations these columns are omitted.
    let useful = slots.iter().filter_map(|slot| slot.expected).any(|expected| {
        !history.durations.is_empty() || expected.work().is_none() || expected.wait() > TimeDelta::zero()
    });
    let expected: &[_] = if useful { &["BEGINS", "DONE"] } else { &[] };
    let header = [&["SLOT", "WHEN"], expected, &["SCHEDULE", "INSTANCE", "IMAGE NAME", "NOTE"]].concat();
    let mut rows =
        Rows::new(&header, context.color).sparing(&["WHEN", "INSTANCE"]).or_blocks(&["SLOT", "SCHEDULE", "INSTANCE"]);
    for (Foreseen { slot, expected }, row) in slots.iter().zip(shown) {
        let note = if row.paused {
            PAUSED
        } else if observes {
            OBSERVES
        } else if let Some(Expected { outcome: ForecastOutcome::TooLate, .. }) = expected {
            "expected to be skipped: deadline"
        } else if let Some(Expected { outcome: ForecastOutcome::Overlaps, .. }) = expected {
            "expected to be skipped: overlap"
        } else if at_once.get(&(slot.at, slot.instance)).is_some_and(|n| *n > 1) {
            "same instance as another slot: one after the other"
        } else {
            ""
        };
        let mut cells = vec![show(slot.at, slot.schedule.timing.zone()), relative(slot.at, now)];
        if useful {
            let work = expected.and_then(|expected| expected.work());
            let time = |at| clock(slot.at, at, slot.schedule.timing.zone());
            cells.extend(work.map_or([NONE.to_owned(), NONE.to_owned()], |(begin, end)| [time(begin), time(end)]));
        }
        let image = row.image_name.as_deref().unwrap_or(NONE);
        cells.extend([row.schedule, row.instance_id, image, note].map(str::to_owned));
        rows.row(cells);
    }
    let (mut text, listed) = rows.render_first(most);
    let more = more + (shown.len() - listed) as u64;
    if more > 0 {
        text.push_str(&format!("… and {more} more up to {}; --limit shows more, --limit 0 all.\n", show(until, zone)));
    }
    text
}

/// Deviations from the plan.
fn warnings<'a>(slots: &[Foreseen<'a>]) -> Warnings<'a> {
    let mut warnings = Warnings::default();
    for one in slots {
        if let (Some(expected), Some(warning)) = (one.expected, one.warning()) {
            warnings.add(one.slot.schedule.name.as_str(), one.slot.instance.as_str(), expected.outcome, &warning);
        }
    }
    warnings
}
