//! Forecast for `plan` and `check`: combines configuration and history, and formats the result.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    path::Path,
};

use crate::domain::calendar::zone::Zone;
use chrono::{DateTime, TimeDelta, TimeZone, Timelike, Utc};

use super::output::short;
use crate::{
    adapters::{
        config::Config,
        store::{OpenBake, OpenStage, Reader, StoreError},
    },
    app::daemon,
    domain::{
        ids::{InstanceId, LineId, ScheduleId},
        pause::Pause,
        plan::forecast::{ASSUMED, Builders, Coming, Durations, ForecastOutcome, RunningBake, forecast},
        plan::slots::{SlotAhead, slots_ahead},
        schedule::{Instances, Overlap, Schedule},
        text::counted,
        time::{show, show_minute},
    },
};

/// The simulated queue starts this long before the requested slots and ends this long after them: earlier bakes may
/// still run, and later ones show whether the last slots end in time.
const MARGIN: TimeDelta = TimeDelta::days(1);
/// How far ahead `check` compares slots.
const CHECKED: TimeDelta = TimeDelta::days(7);
/// Maximum number of compared slots per schedule, so that a slot per second does not cost more.
const MOST_CHECKED: usize = 1000;

/// Maximum number of simulated slots, so that memory does not grow with the number of slots.
const MOST_PLAYED: usize = 100_000;

/// Data of the history for future slots; empty without a history.
#[derive(Debug, Default)]
pub struct KnownHistory {
    /// Last version of each line.
    pub versions: HashMap<LineId, u32>,
    /// Paused schedules, except those paused in the configuration.
    pub pauses: HashMap<ScheduleId, Pause>,
    /// Durations of former bakes.
    pub durations: Durations,
    /// What it means that the configuration has another owner than the last start.
    pub changed_owner: Option<String>,
    open: Vec<OpenBake>,
    /// The instant up to which all slots of an instance of a schedule have rows.
    recorded_until: HashMap<(ScheduleId, InstanceId), DateTime<Utc>>,
}

impl KnownHistory {
    /// Reads them.
    pub async fn read(config: &Config, state_dir: &Path) -> Result<Self, StoreError> {
        let reader = match Reader::open(state_dir).await {
            Ok(reader) => reader,
            Err(StoreError::Missing { .. }) => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let history = Self::read_from(&reader).await;
        let changed_owner = daemon::changed_owner(&reader, config).await;
        reader.close().await;
        Ok(Self { changed_owner: changed_owner?, ..history? })
    }

    async fn read_from(reader: &Reader) -> Result<Self, StoreError> {
        // The durations take longest: the others are read beside them.
        let others = async {
            let targets = reader.targets().await?;
            Ok((reader.versions().await?, reader.pauses().await?, reader.open_bakes().await?, targets))
        };
        let (durations, (versions, pauses, open, targets)) = tokio::try_join!(reader.durations(), others)?;
        let present = targets.into_iter().filter(|target| target.removed_at.is_none());
        let recorded_until =
            present.map(|target| ((target.schedule_id, target.instance_id), target.processed_until)).collect();
        Ok(Self { versions, pauses, durations, changed_owner: None, open, recorded_until })
    }

    /// The last version of each line, with those that bakes in the queue will take.
    pub fn versions_taken(&self) -> HashMap<&LineId, u32> {
        let mut taken: HashMap<&LineId, u32> = self.versions.iter().map(|(line, version)| (line, *version)).collect();
        for bake in self.open.iter().filter(|bake| !bake.has_version) {
            let version = taken.entry(&bake.line).or_default();
            *version = version.saturating_add(1);
        }
        taken
    }

    /// Number of queued and running bakes of these schedules.
    pub fn open_bakes(&self, schedules: &[&Schedule]) -> usize {
        let lines: HashSet<LineId> = schedules.iter().flat_map(|schedule| schedule.lines()).collect();
        self.open.iter().filter(|bake| lines.contains(&bake.line)).count()
    }

    /// The instant up to which all slots of this instance have rows, if a daemon has had it.
    pub fn recorded_until(&self, schedule: &ScheduleId, instance: &InstanceId) -> Option<DateTime<Utc>> {
        self.recorded_until.get(&(schedule.clone(), instance.clone())).copied()
    }

    #[cfg(test)]
    pub(super) fn recorded(schedule: &ScheduleId, instance: &InstanceId, until: DateTime<Utc>) -> Self {
        Self { recorded_until: [((schedule.clone(), instance.clone()), until)].into(), ..Self::default() }
    }

    /// Whether a slot will be skipped because its schedule is paused.
    pub fn is_paused(&self, schedule: &Schedule, slot: DateTime<Utc>) -> bool {
        schedule.paused || self.pauses.get(&schedule.id).is_some_and(|pause| pause.covers(slot))
    }
}

/// Forecast of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    not_before: DateTime<Utc>,
    /// Its result.
    pub outcome: ForecastOutcome,
}

impl Expected {
    /// Its time of work.
    pub fn work(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        match self.outcome {
            ForecastOutcome::Baked { begin, end, .. } => Some((begin, end)),
            ForecastOutcome::TooLate | ForecastOutcome::Overlaps => None,
        }
    }

    /// Its time in the queue.
    pub fn wait(&self) -> TimeDelta {
        self.work().map_or(TimeDelta::zero(), |(begin, _)| begin - self.not_before)
    }
}

/// Forecast of future slots.
#[derive(Debug)]
pub struct Outlook<'a> {
    expected: HashMap<(&'a ScheduleId, &'a InstanceId, DateTime<Utc>), Expected>,
}

impl<'a> Outlook<'a> {
    /// For the slots after `from` up to `until` that are after `now`. All schedules take part, whichever are shown:
    /// they share the builders.
    pub fn of(
        config: &'a Config,
        history: &'a KnownHistory,
        now: DateTime<Utc>,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Self {
        let start = from.checked_sub_signed(MARGIN).unwrap_or(from).max(now);
        let end = until.checked_add_signed(MARGIN).unwrap_or(until);
        let (mut coming, mut running_bakes) = (Vec::new(), Vec::new());
        if start == now {
            add_open_bakes(history, now, &mut coming, &mut running_bakes);
        }
        let known_already = coming.len();
        let mut keys = Vec::new();
        for slot in baked(config, history, start, end) {
            keys.push((&slot.schedule.id, slot.instance, slot.at));
            coming.push(coming_of(&slot, history));
        }
        let outcomes = forecast(&coming, &running_bakes, builders(config));
        let foreseen = coming.iter().zip(outcomes).skip(known_already);
        let expected = keys
            .into_iter()
            .zip(foreseen.map(|(coming, outcome)| Expected { not_before: coming.not_before, outcome }))
            .collect();
        Self { expected }
    }

    /// Forecast of one slot; none for past or paused ones.
    pub fn expected(&self, schedule: &Schedule, instance: &InstanceId, slot: DateTime<Utc>) -> Option<Expected> {
        self.expected.get(&(&schedule.id, instance, slot)).copied()
    }
}

fn builders(config: &Config) -> Builders {
    Builders { all: config.daemon.max_builders as usize, per_region: config.daemon.max_builders_per_region as usize }
}

/// The slots of all schedules that will be baked, after `from` up to `until`: at most [`MOST_PLAYED`].
fn baked<'a>(
    config: &'a Config,
    history: &KnownHistory,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> impl Iterator<Item = SlotAhead<'a>> {
    let schedules = config.schedules.iter().map(|schedule| &**schedule);
    let slots = slots_ahead(schedules, from, until).filter(|slot| !history.is_paused(slot.schedule, slot.at));
    slots.take(MOST_PLAYED)
}

fn coming_of<'a>(slot: &SlotAhead<'a>, history: &KnownHistory) -> Coming<'a> {
    let SlotAhead { at, schedule, instance, .. } = *slot;
    Coming {
        slot: at,
        not_before: schedule.timing.begin(at, schedule.id.as_str()),
        give_up_at: schedule.settings.give_up_at(at, at),
        instance,
        region: &schedule.settings.instance_region,
        overlap: schedule.overlap,
        takes: history.durations.expected(&schedule.line(instance)),
    }
}

/// Queued and running bakes.
fn add_open_bakes<'a>(
    history: &'a KnownHistory,
    now: DateTime<Utc>,
    coming: &mut Vec<Coming<'a>>,
    running_bakes: &mut Vec<RunningBake<'a>>,
) {
    for bake in &history.open {
        let takes = history.durations.expected(&bake.line);
        match bake.stage {
            OpenStage::Queued { not_before, give_up_at } => coming.push(Coming {
                slot: bake.slot,
                not_before: not_before.max(now),
                give_up_at,
                instance: &bake.instance,
                region: &bake.region,
                // Its overlap was decided when it was due.
                overlap: Overlap::Queue,
                takes,
            }),
            OpenStage::Begun { at } => {
                let end = TimeDelta::from_std(takes).ok().and_then(|takes| at.unwrap_or(now).checked_add_signed(takes));
                // One that takes longer than expected may end at any time.
                running_bakes.push(RunningBake {
                    instance: &bake.instance,
                    region: &bake.region,
                    until: end.unwrap_or(DateTime::<Utc>::MAX_UTC).max(now),
                });
            }
        }
    }
}

/// A warning about a slot.
pub fn warning(
    schedule: &Schedule,
    instance: &InstanceId,
    slot: DateTime<Utc>,
    outcome: ForecastOutcome,
) -> Option<String> {
    expectation(schedule, instance, slot, outcome).map(|what| format!("{} {what}", called(schedule, instance, slot)))
}

/// What is to be said of a slot with this outcome, as the rest of a sentence on it.
pub fn expectation(
    schedule: &Schedule,
    instance: &InstanceId,
    slot: DateTime<Utc>,
    outcome: ForecastOutcome,
) -> Option<String> {
    let zone = schedule.timing.zone();
    Some(match outcome {
        ForecastOutcome::Baked { runs_into: None, .. } => return None,
        ForecastOutcome::Baked { runs_into: Some(next), .. } => {
            let whose = if schedule.timing.next_after(slot) == Some(next) {
                "its next slot".to_owned()
            } else {
                format!("the next slot of {instance},")
            };
            format!("is expected to be still running at {whose} {}", local_after(slot, next, zone))
        }
        ForecastOutcome::TooLate if delayed_too_long(schedule, slot) => {
            "will be skipped: its jitter delays it past its deadline".to_owned()
        }
        ForecastOutcome::TooLate => {
            let deadline = short(schedule.settings.deadline);
            format!("is expected to be skipped: it would wait past its deadline, {deadline} after the slot")
        }
        ForecastOutcome::Overlaps => {
            "is expected to be skipped: another bake of its instance is not over by then (overlap = \"skip\")"
                .to_owned()
        }
    })
}

/// Whether the jitter alone delays the bake of a slot past its deadline.
fn delayed_too_long(schedule: &Schedule, slot: DateTime<Utc>) -> bool {
    schedule.timing.begin(slot, schedule.id.as_str()) > schedule.settings.give_up_at(slot, slot)
}

/// Warnings for people: of each kind the first one of every schedule and instance, with the number of others.
#[derive(Debug, Default)]
pub struct Warnings<'a> {
    first: Vec<(String, usize)>,
    at: HashMap<(&'a str, &'a str, &'static str), usize>,
}

impl<'a> Warnings<'a> {
    /// Adds a warning.
    pub fn add(&mut self, schedule: &'a str, instance: &'a str, outcome: ForecastOutcome, warning: &str) {
        let kind = match outcome {
            ForecastOutcome::Baked { .. } => "runs into",
            ForecastOutcome::TooLate => "too late",
            ForecastOutcome::Overlaps => "overlaps",
        };
        match self.at.entry((schedule, instance, kind)) {
            Entry::Occupied(at) => self.first[*at.get()].1 += 1,
            Entry::Vacant(at) => {
                at.insert(self.first.len());
                self.first.push((warning.to_owned(), 0));
            }
        }
    }

    /// One line for each of the first `most`, and one for the rest.
    pub fn render(&self, most: usize) -> String {
        let line = |(warning, more): &(String, usize)| match more {
            0 => format!("warning: {warning}\n"),
            n => format!("warning: {warning} (and {n} more times)\n"),
        };
        let mut text: String = self.first.iter().take(most).map(line).collect();
        if let Some(rest @ 1..) = self.first.len().checked_sub(most) {
            text.push_str(&format!("warning: likewise of {rest} more; --json has them all\n"));
        }
        text
    }
}

/// Schedules whose bakes took longer than the distance of some of their slots: one sentence per instance, with the
/// schedule's place in the configuration.
pub fn outlasting(config: &Config, history: &KnownHistory, now: DateTime<Utc>) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (place, schedule) in config.schedules.iter().enumerate() {
        let zone = schedule.timing.zone();
        let until = now.checked_add_signed(CHECKED).unwrap_or(now);
        let learned: Vec<_> = schedule
            .instances
            .as_slice()
            .iter()
            .filter_map(|instance| Some((instance, history.durations.learned(&schedule.line(instance))?)))
            .collect();
        if learned.is_empty() {
            continue;
        }
        let slots: Vec<_> = schedule
            .timing
            .some_between(now, until, MOST_CHECKED)
            .filter(|slot| !history.is_paused(schedule, *slot))
            .collect();
        for (instance, takes) in learned {
            let too_close = |slot: &DateTime<Utc>| {
                let next = schedule.timing.next_after(*slot)?;
                let apart = (next - *slot).to_std().ok()?;
                (apart < takes).then_some((*slot, next, apart))
            };
            let Some((slot, next, apart)) = slots.iter().find_map(too_close) else { continue };
            let outcome = match schedule.overlap {
                Overlap::Skip => "is skipped then (overlap = \"skip\")",
                Overlap::Queue => "waits then (overlap = \"queue\")",
            };
            let sentence = format!(
                "{} is expected to take {}, and its next slot is {} after it, at {}, and {outcome}",
                called(schedule, instance, slot),
                short(takes),
                short(apart),
                local_after(slot, next, zone),
            );
            found.push((place, sentence));
        }
    }
    found
}

/// Hour of the end of a night.
const MORNING: u32 = 8;
/// Hour of its start: slots of the day do not belong to it.
const EVENING: u32 = 18;

/// The next night if its queue is too long: one sentence, with the place of the schedule that waits longest.
pub fn long_night(config: &Config, history: &KnownHistory, now: DateTime<Utc>) -> Option<(usize, String)> {
    let until = now.checked_add_signed(MARGIN).unwrap_or(now);
    let (mut coming, mut running_bakes) = (Vec::new(), Vec::new());
    add_open_bakes(history, now, &mut coming, &mut running_bakes);
    let mut places = vec![None; coming.len()];
    for slot in baked(config, history, now, until) {
        coming.push(coming_of(&slot, history));
        places.push(Some(slot.place));
    }
    let outcomes = forecast(&coming, &running_bakes, builders(config));
    let (mut too_late, mut done) = (Vec::new(), None);
    for ((coming, place), outcome) in coming.iter().zip(&places).zip(&outcomes) {
        let Some(place) = *place else { continue };
        match *outcome {
            // `check` reports such a jitter; the queue has no part in it.
            ForecastOutcome::TooLate if coming.not_before > coming.give_up_at => {}
            ForecastOutcome::TooLate => too_late.push((coming.slot, place)),
            ForecastOutcome::Baked { begin, end, .. } if begin > coming.not_before => {
                let morning = morning_after(coming.slot, config.schedules[place].timing.zone());
                if morning.is_some_and(|morning| end > morning) {
                    done = done.max(Some((end, place)));
                }
            }
            ForecastOutcome::Baked { .. } | ForecastOutcome::Overlaps => {}
        }
    }
    let basis = if history.durations.is_empty() {
        format!(", {} min each assumed before the first", ASSUMED.as_secs() / 60)
    } else {
        String::new()
    };
    let busy = format!(
        "{} of the next 24 hours, {} at once{basis}",
        counted(coming.len(), "slot", "slots"),
        config.daemon.max_builders
    );
    if let Some(&(slot, place)) = too_late.iter().min() {
        let schedule = &config.schedules[place];
        let when = show(slot, schedule.timing.zone());
        let n = counted(too_late.len(), "slot", "slots");
        return Some((
            place,
            format!("the queue is too long ({busy}): {n} would wait past the deadline, first {} {when}", schedule.name),
        ));
    }
    let (end, place) = done?;
    let schedule = &config.schedules[place];
    let end = show_minute(end, schedule.timing.zone());
    Some((place, format!("the night's queue ({busy}) is expected to end at {end}, with {}", schedule.name)))
}

/// End of the night of a slot; `None` for a slot of the day.
fn morning_after(slot: DateTime<Utc>, zone: Zone) -> Option<DateTime<Utc>> {
    let local = slot.with_timezone(&zone).naive_local();
    let day = match local.hour() {
        hour if hour < MORNING => local.date(),
        hour if hour >= EVENING => local.date().succ_opt()?,
        _ => return None,
    };
    zone.from_local_datetime(&day.and_hms_opt(MORNING, 0, 0)?).earliest().map(|at| at.to_utc())
}

/// A slot by the name of its schedule, with the instance if the schedule has several.
fn called(schedule: &Schedule, instance: &InstanceId, slot: DateTime<Utc>) -> String {
    let when = show(slot, schedule.timing.zone());
    match schedule.instances {
        Instances::One(_) => format!("{} {when}", schedule.name),
        Instances::Many(_) => format!("{} {when} on {instance}", schedule.name),
    }
}

/// A later instant beside a slot: the time only, if the day is the same.
fn local_after(slot: DateTime<Utc>, later: DateTime<Utc>, zone: Zone) -> String {
    let (slot, later) = (slot.with_timezone(&zone), later.with_timezone(&zone));
    if slot.date_naive() == later.date_naive() {
        later.format("%R").to_string()
    } else {
        show_minute(later.to_utc(), zone)
    }
}

/// The time on the slot's day, and the number of later days.
pub fn clock(slot: DateTime<Utc>, at: DateTime<Utc>, zone: Zone) -> String {
    let (slot, at) = (slot.with_timezone(&zone), at.with_timezone(&zone));
    match (at.date_naive() - slot.date_naive()).num_days() {
        0 => at.format("%R").to_string(),
        days => format!("{} +{days}d", at.format("%R")),
    }
}
