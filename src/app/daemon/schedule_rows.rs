//! The rows of schedules in the status: which ones, and what each shows.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use chrono::{DateTime, Utc};

use crate::{
    adapters::{
        config::Config,
        store::{GoodImageRow, Reader, ResultRow, StoreError},
    },
    domain::{
        health::{Health, Severity, schedules::Findings},
        page::strip::SLOTS,
        schedule::Schedule,
        status::{GoodImage, Late, Next, Paused, Running, ScheduleRow, SlotResult, Status},
        time::{rfc3339_seconds, show},
    },
};

/// Number of rows where not all are asked for.
pub const ROWS: usize = 20;
/// Maximum number of read rows of a schedule with many instances.
const MOST_READ: usize = 2_000;

/// What the rows show beside the history.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The problems.
    pub health: &'a Health,
    /// Running bakes.
    pub running: &'a [Running],
    /// Bakes in the queue that wait.
    pub waiting: &'a [Running],
    /// Bakes that should have started.
    pub late: &'a [Late],
    /// Paused schedules, except those paused in the file.
    pub paused: &'a [Paused],
    /// The next slots.
    pub next: &'a [Next],
}

impl<'a> Circumstances<'a> {
    /// Those of a status.
    pub fn of(status: &'a Status) -> Self {
        let Status { health, running, waiting, late, paused, next, .. } = status;
        Self { health, running, waiting, late, paused, next }
    }

    /// What the first open bake of a schedule waits for.
    fn reason(&self, name: &str) -> Option<String> {
        let of = |bakes: &[Running]| {
            let bake = bakes.iter().find(|bake| bake.schedule == name)?;
            let reason = bake.reason.as_deref().unwrap_or_default();
            Some(format!("bake {} {}: {reason}", bake.id, bake.state).trim_end_matches(": ").to_owned())
        };
        let late = || {
            let late = self.late.iter().find(|late| late.schedule == name)?;
            Some(format!("bake {} queued: {}", late.id, late.reason))
        };
        of(self.running).or_else(|| of(self.waiting)).or_else(late)
    }

    /// Names of schedules with an open bake.
    fn at_work(&self) -> HashSet<&'a str> {
        let bakes = self.running.iter().chain(self.waiting).map(|bake| bake.schedule.as_str());
        bakes.chain(self.late.iter().map(|late| late.schedule.as_str())).collect()
    }
}

/// The rows of these schedules: all, or the first of those that matter most.
///
/// # Errors
///
/// `StoreError` if the history cannot be read.
pub async fn schedule_rows(
    reader: &Reader,
    config: &Config,
    about: Circumstances<'_>,
    all: bool,
    now: DateTime<Utc>,
) -> Result<Vec<ScheduleRow>, StoreError> {
    let severities = severities(config, about.health);
    let chosen = choose(config, &severities, about, all);
    let ids: Vec<&str> = chosen.iter().map(|schedule| schedule.id.as_str()).collect();
    let instances = chosen.iter().map(|schedule| schedule.instances.as_slice().len()).max().unwrap_or(1);
    let most = instances.saturating_mul(SLOTS).min(MOST_READ);
    let mut results: HashMap<String, Vec<ResultRow>> = HashMap::new();
    for row in reader.newest_rows(&ids, u32::try_from(most).unwrap_or(u32::MAX)).await? {
        results.entry(row.schedule_id.clone()).or_default().push(row);
    }
    let lines: Vec<String> = chosen.iter().flat_map(|schedule| lines(schedule)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let images = reader.newest_good_images(&lines).await?;
    let images: HashMap<&str, &GoodImageRow> = images.iter().map(|image| (image.line_id.as_str(), image)).collect();
    let row = |schedule: &&Schedule| {
        let results = results.get(schedule.id.as_str()).map_or(&[][..], Vec::as_slice);
        let severity = severities.get(schedule.id.as_str()).copied();
        row(schedule, results, &images, severity, about, now)
    };
    Ok(chosen.iter().map(row).collect())
}

fn lines(schedule: &Schedule) -> Vec<String> {
    schedule.instances.as_slice().iter().map(|instance| schedule.line(instance).to_string()).collect()
}

/// The highest severity of the problems of each schedule that has one, by its id.
fn severities<'a>(config: &'a Config, health: &Health) -> HashMap<&'a str, Severity> {
    let findings = Findings::of(health);
    let highest =
        |schedule: &'a Schedule| Some((schedule.id.as_str(), findings.of_schedule(schedule).into_iter().max()?));
    config.schedules.iter().filter_map(|schedule| highest(schedule)).collect()
}

/// Schedules with problems first, then those that are at work, then by their next slot, then as in the file.
fn choose<'a>(
    config: &'a Config,
    severities: &HashMap<&str, Severity>,
    about: Circumstances<'_>,
    all: bool,
) -> Vec<&'a Schedule> {
    let places: HashMap<&str, usize> =
        about.next.iter().enumerate().rev().map(|(place, next)| (next.schedule.as_str(), place)).collect();
    let at_work = about.at_work();
    let mut ranked: Vec<_> = config
        .schedules
        .iter()
        .map(|schedule| {
            let name = schedule.name.as_str();
            let severity = severities.get(schedule.id.as_str()).copied();
            let place = places.get(name).copied().unwrap_or(usize::MAX);
            ((Reverse(severity), !at_work.contains(name), place), &**schedule)
        })
        .collect();
    // Stable, so that the order of the file decides the rest.
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.truncate(if all { usize::MAX } else { ROWS });
    ranked.into_iter().map(|(_, schedule)| schedule).collect()
}

fn row(
    schedule: &Schedule,
    results: &[ResultRow],
    images: &HashMap<&str, &GoodImageRow>,
    severity: Option<Severity>,
    about: Circumstances<'_>,
    now: DateTime<Utc>,
) -> ScheduleRow {
    let name = schedule.name.as_str();
    let pause = about.paused.iter().find(|pause| pause.schedule == schedule.id.as_str());
    let paused = match pause {
        Some(pause) => {
            let until = pause.until.as_deref().and_then(|until| until.parse().ok());
            let until = until.map_or_else(|| "it is resumed".to_owned(), |at| show(at, schedule.timing.zone()));
            Some(format!("paused by {} until {until}: {}", pause.who, pause.reason))
        }
        None => schedule.paused.then(|| "paused in the file".to_owned()),
    };
    let next = if paused.is_some() { None } else { schedule.timing.next_after(now) };
    let lines = lines(schedule);
    let good: Vec<&GoodImageRow> = lines.iter().filter_map(|line| images.get(line.as_str()).copied()).collect();
    let oldest = good.iter().min_by_key(|image| image.good_at());
    ScheduleRow {
        schedule: name.to_owned(),
        id: schedule.id.to_string(),
        severity,
        results: per_slot(results),
        lines: lines.len(),
        lines_with_image: good.len(),
        image: oldest.map(|image| GoodImage {
            line: image.line_id.clone(),
            image_id: image.image_id.clone(),
            image_name: image.image_name.clone(),
            version: image.version,
            since: rfc3339_seconds(image.good_at()),
        }),
        next: next.map(rfc3339_seconds),
        next_local: next.map(|at| show(at, schedule.timing.zone())),
        waits_for: about.reason(name).or(paused),
    }
}

/// The last slots, the oldest first; of the rows of one slot the worst.
fn per_slot(newest_first: &[ResultRow]) -> Vec<SlotResult> {
    let mut slots: Vec<(DateTime<Utc>, &ResultRow)> = Vec::new();
    for row in newest_first {
        if let Some((_, worst)) = slots.last_mut().filter(|(slot, _)| *slot == row.slot()) {
            if badness(row) > badness(worst) {
                *worst = row;
            }
        } else if slots.len() == SLOTS {
            break;
        } else {
            slots.push((row.slot(), row));
        }
    }
    let result = |(slot, row): (DateTime<Utc>, &ResultRow)| SlotResult {
        bake: row.id,
        slot: rfc3339_seconds(slot),
        state: if is_vetoed(row) { VETOED.to_owned() } else { row.state.clone() },
        reason_code: row.reason_code.clone(),
    };
    slots.into_iter().rev().map(result).collect()
}

/// The state of a bake whose image is vetoed.
const VETOED: &str = "vetoed";

fn is_vetoed(row: &ResultRow) -> bool {
    row.vetoed && row.state == "succeeded"
}

fn badness(row: &ResultRow) -> u8 {
    match row.state.as_str() {
        "failed" => 5,
        "succeeded" if row.vetoed => 4,
        "skipped" => 3,
        "cancelled" => 2,
        "succeeded" => 0,
        // It is not over yet.
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        adapters::{config, store::Store},
        domain::health::{Problem, ProblemCode, Subject, SubjectKind},
    };

    fn config(schedules: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("imagebaked.toml");
        std::fs::write(&path, schedules).unwrap();
        config::load(&path, &BTreeMap::new()).unwrap_or_else(|wrong| panic!("{}", wrong.render(false))).config
    }

    fn problem(severity: Severity, subject: Subject) -> Problem {
        Problem::new(ProblemCode::BakeFailed, severity, subject, DateTime::UNIX_EPOCH, "it failed".to_owned(), None)
    }

    fn running(schedule: &str) -> Running {
        Running {
            id: 7,
            schedule: schedule.to_owned(),
            instance_id: "ecd-7".to_owned(),
            slot: "2027-03-01T00:00:00Z".to_owned(),
            state: "building".to_owned(),
            reason: Some("CREATING".to_owned()),
            image_name: None,
            image_id: None,
            created_at: "2027-03-01T00:00:00Z".to_owned(),
            wake_at: None,
        }
    }

    #[tokio::test]
    async fn schedules_with_problems_come_first_and_those_at_work_next_and_the_rest_is_cut_off() {
        let schedules: String = (0..30)
            .map(|n| format!("[[schedule]]\nname = \"s{n}\"\ninstance_id = \"ecd-{n}\"\ncron = \"0 3 * * *\"\n"))
            .collect();
        let farm =
            "[[schedule]]\nname = \"farm\"\ninstance_ids = [\"ws-1\", \"ws-2\"]\ncron = \"0 4 * * *\"\npaused = true\n";
        let config = config(&format!("{schedules}{farm}"));
        let health = Health::of(vec![
            problem(Severity::Warning, Subject::new(SubjectKind::Instance, "ecd-28")),
            problem(Severity::Problem, Subject::new(SubjectKind::Line, "farm/ws-2")),
        ]);
        let (at_work, next) = (
            [running("s27")],
            [Next {
                schedule: "s26".to_owned(),
                instance_id: "ecd-26".to_owned(),
                slot: "2027-03-01T03:00:00Z".to_owned(),
                local: String::new(),
            }],
        );
        let about =
            Circumstances { health: &health, running: &at_work, waiting: &[], late: &[], paused: &[], next: &next };
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let now = "2027-03-01T00:00:00Z".parse().unwrap();
        let rows = schedule_rows(store.reader(), &config, about, false, now).await.unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row.schedule.as_str()).collect();
        assert_eq!((names.len(), &names[..5]), (ROWS, &["farm", "s28", "s27", "s26", "s0"][..]));
        assert_eq!(schedule_rows(store.reader(), &config, about, true, now).await.unwrap().len(), 31);
        let [farm, warned, at_work, ..] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((farm.severity, farm.lines, farm.lines_with_image), (Some(Severity::Problem), 2, 0));
        assert_eq!((farm.waits_for.as_deref(), &farm.next), (Some("paused in the file"), &None));
        assert_eq!(warned.next.as_deref(), Some("2027-03-01T03:00:00Z"));
        assert_eq!(at_work.waits_for.as_deref(), Some("bake 7 building: CREATING"));
    }
}
