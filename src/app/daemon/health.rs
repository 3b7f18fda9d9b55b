//! Collects the facts for health: one function per source, which returns its problems. `problems` compares them with the
//! standing ones.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{
    clocks,
    context::DaemonContext,
    engine::{EngineStatus, START_TAKES, unwritable},
    history_problems::history_problems,
    housekeeping::problems::{backup_failed, housekeeping_stalled},
    image_tasks::inventory_scan::scan_problem,
    reload::{Files, applies},
};
use crate::{
    adapters::{
        cloud::credentials::FailedRenewal,
        control::Standstill,
        store::{FailedCopies, FailedCopy, PendingRestart, Reader, RefusedMaintenance, StoreError},
    },
    domain::{
        api::{cause::Cause, codes},
        bake::State,
        calendar::zone::Zone,
        clock::{STEP_BACK, watch::ClockWatch},
        health::{
            Problem, ProblemCode, Severity, Subject, SubjectKind, late,
            lines::{self, Line},
            one_line,
            outage::Outage,
            quota,
        },
        ids::InstanceId,
        pause::{ITSELF, Pause},
        time::{show, show_length},
    },
};

/// Time after its last tick at which the engine counts as stalled. It ticks every second, whatever its load.
const STALLED: Duration = Duration::from_mins(2);
/// Maximum number of failed copies to read.
const MOST_COPIES: u32 = 1_000;

/// Result of the collection.
#[derive(Debug)]
pub(super) struct Found {
    /// The problems; a code and a subject can occur twice.
    pub problems: Vec<Problem>,
    /// Lines without a finished slot, and so without an image.
    pub no_image_yet: u64,
}

impl DaemonContext {
    /// Collects all facts.
    pub(super) async fn find_problems(
        &self,
        engine: &EngineStatus,
        files: Files,
        now: DateTime<Utc>,
    ) -> Result<Found, StoreError> {
        let reader = self.store.reader();
        let mut problems = Vec::new();
        problems.extend(configuration_refused(files));
        problems.extend(self.restart_required());
        problems.extend(history_unwritable(engine, now));
        problems.extend(history_problems(engine, now));
        let skewed = clocks::list_problems(self.cloud.clocks(), now);
        problems.extend(clocks::zones_old(&self.config().zones, now));
        problems.extend(suspended(engine, skewed.is_empty()));
        problems.extend(skewed);
        problems.extend(cloud_unreachable(self.cloud.outages().outages(), self.zone(), reader).await?);
        problems.extend(self.cloud.failed_renewal().map(|failed| not_renewed(&failed, self.zone())));
        let closed = reader.closed_admission().await?;
        problems.extend(closed.and_then(|closed| quota::problem(&closed, now)));
        problems.extend(engine_stalled(engine, now));
        problems.extend(housekeeping_stalled(&self.housekeeping));
        problems.extend(backup_failed(&self.housekeeping, self.config().daemon.backup.as_ref(), now));
        problems.extend(schedules_auto_paused(&engine.pauses, now));
        problems.extend(instances_not_running(reader, now).await?);
        problems.extend(self.maintenances_refused(reader).await?);
        problems.extend(images_late(reader, now).await?);
        problems.extend(scan_failed(reader, now).await?);
        problems.extend(self.replicas_failed(reader).await?);
        problems.extend(super::image_tasks::prune::list_problems(reader).await?);
        problems.extend(super::image_tasks::strays::list_problems(reader).await?);
        let (of_lines, no_image_yet) = judge_lines(reader, engine, now).await?;
        problems.extend(of_lines);
        if self.cloud.mode().is_observe() {
            problems = problems.into_iter().map(Problem::without_bakes).collect();
        }
        Ok(Found { problems, no_image_yet })
    }

    /// Instances that bakes may not put into maintenance, although their schedule asks for it.
    async fn maintenances_refused(&self, reader: &Reader) -> Result<Vec<Problem>, StoreError> {
        let config = self.config();
        let kept = config.schedules.iter().filter(|schedule| !schedule.paused && schedule.settings.keeps_users_out());
        let instances: BTreeSet<InstanceId> =
            kept.flat_map(|schedule| schedule.instances.as_slice().iter().cloned()).collect();
        let refused = reader.refused_maintenances(&instances.into_iter().collect::<Vec<_>>()).await?;
        Ok(refused.into_iter().filter_map(maintenance_refused).collect())
    }

    /// Images that lack in a region which their schedule has. One that was removed from the file, or the whole schedule, is not
    /// wanted any more; one that came in its place is to be seen first.
    async fn replicas_failed(&self, reader: &Reader) -> Result<Vec<Problem>, StoreError> {
        let failed = reader.failed_copies(MOST_COPIES).await?.into_iter();
        let problem = |failed: FailedCopies| {
            let wanted = self.regions_of(&failed.schedule_id)?;
            replica_failed(failed, &wanted)
        };
        Ok(failed.filter_map(problem).collect())
    }

    /// The regions that a schedule of the configuration in force copies its images to.
    pub(super) fn regions_of(&self, schedule_id: &str) -> Option<Vec<String>> {
        let config = self.config();
        let schedule = config.schedules.iter().find(|schedule| schedule.id.as_str() == schedule_id)?;
        Some(schedule.settings.regions.clone())
    }

    /// Keys that a reload does not apply.
    fn restart_required(&self) -> Option<Problem> {
        let since = self.restart_required_since()?;
        let keys = self.restart_keys();
        Some(Problem::new(
            ProblemCode::RestartRequired,
            Severity::Warning,
            Subject::only(SubjectKind::Configuration),
            since,
            format!("the configuration was reloaded, but {} only at the next start of the daemon", applies(&keys)),
            Some("systemctl restart imagebaked".to_owned()),
        ))
    }
}

/// Whether the engine ticks. One that has not started waits for the cloud, which may take long.
pub(super) fn is_ticking(engine: &EngineStatus) -> bool {
    engine.last_tick.is_none_or(|tick| !is_stalled(tick.elapsed()))
}

/// Why no bake makes progress: the engine does not tick, or what it finds cannot be written.
pub(super) fn standstill(engine: &EngineStatus) -> Option<Standstill> {
    let of = |since, why: String, command: &str| Some(Standstill { since, why, command: command.to_owned() });
    match &engine.store_error {
        _ if !is_ticking(engine) => {
            of(engine.last_tick_at, "its engine does not tick".to_owned(), "systemctl restart imagebaked")
        }
        Some(error) => of(engine.store_error_since, one_line(error), "imagebaked doctor"),
        None => None,
    }
}

/// Why slots that are due by this host's clock get no rows, though the engine ticks: rows of the cloud may be missing, or the
/// clock is not believed.
pub(super) fn slots_held(engine: &EngineStatus, clocks: &ClockWatch, now: DateTime<Utc>) -> Option<Standstill> {
    let command = "imagebaked status".to_owned();
    if let Some(lost) = &engine.lost_history {
        return Some(Standstill { since: Some(lost.since), why: lost.message.clone(), command });
    }
    if let Some(uncompared) = &engine.uncompared {
        return Some(Standstill { since: Some(uncompared.since), why: uncompared.wait_reason(), command });
    }
    let ahead = now - clocks.cloud_now();
    (ahead > STEP_BACK).then(|| {
        let unheard = if clocks.is_unconfirmed() { ", which has not answered since to confirm it" } else { "" };
        let why = format!(
            "this host's clock is {} ahead of the cloud's{unheard}",
            show_length(ahead.abs().to_std().unwrap_or_default())
        );
        Standstill { since: None, why, command: "imagebaked doctor".to_owned() }
    })
}

fn is_stalled(since_last_tick: Duration) -> bool {
    since_last_tick > STALLED
}

fn engine_stalled(engine: &EngineStatus, now: DateTime<Utc>) -> Option<Problem> {
    if is_ticking(engine) {
        return None;
    }
    Some(Problem::new(
        ProblemCode::EngineStalled,
        Severity::Problem,
        Subject::only(SubjectKind::Daemon),
        engine.last_tick_at.unwrap_or(now),
        "the engine has not ticked for over two minutes; no bake proceeds".to_owned(),
        Some("systemctl restart imagebaked".to_owned()),
    ))
}

fn configuration_refused(files: Files) -> Option<Problem> {
    let (since, message, command) = match files {
        Files::Refused { since } => (
            since,
            "the configuration on disk has problems and is not in force; the daemon uses the former one, but would \
             not start again",
            "imagebaked check",
        ),
        Files::Edited { refused_since: Some(since) } => (
            since,
            "the configuration on disk had problems when it was last read, and was edited since: not tried yet; the \
             daemon uses the former one",
            "imagebaked reload",
        ),
        Files::InForce | Files::Edited { refused_since: None } => return None,
    };
    let subject = Subject::only(SubjectKind::Configuration);
    let (message, command) = (message.to_owned(), Some(command.to_owned()));
    Some(Problem::new(ProblemCode::ConfigurationRefused, Severity::Warning, subject, since, message, command))
}

fn history_unwritable(engine: &EngineStatus, now: DateTime<Utc>) -> Option<Problem> {
    Some(unwritable(engine.store_error.as_ref()?, engine.store_error_since.unwrap_or(now)))
}

/// Rejected credentials, or a rejected clock unless its skew is a problem already.
fn suspended(engine: &EngineStatus, is_clock_unreported: bool) -> Option<Problem> {
    let suspension = engine.suspension.as_ref().filter(|suspension| !suspension.is_clock || is_clock_unreported)?;
    let (code, subject) = if suspension.is_clock {
        (ProblemCode::ClockSkew, SubjectKind::Clock)
    } else {
        (ProblemCode::CredentialsRejected, SubjectKind::Credentials)
    };
    Some(Problem::new(
        code,
        Severity::Problem,
        Subject::only(subject),
        suspension.since,
        one_line(&suspension.headline()),
        Some("imagebaked doctor".to_owned()),
    ))
}

/// Keys near their end whose service refuses new ones.
fn not_renewed(failed: &FailedRenewal, zone: Zone) -> Problem {
    let FailedRenewal { since, until, error } = failed;
    Problem::new(
        ProblemCode::CredentialsNotRenewed,
        Severity::Warning,
        Subject::only(SubjectKind::Credentials),
        *since,
        format!("the credentials end at {}, and their last renewal failed: {}", show(*until, zone), one_line(error)),
        Some("imagebaked doctor".to_owned()),
    )
}

/// A host that does not respond. With an open bake it is a problem.
async fn cloud_unreachable(outages: Vec<Outage>, zone: Zone, reader: &Reader) -> Result<Vec<Problem>, StoreError> {
    if outages.is_empty() {
        return Ok(Vec::new());
    }
    let has_open_bake = reader.has_open_bake().await?;
    Ok(outages.iter().filter_map(|outage| outage.problem(has_open_bake, zone)).collect())
}

fn schedules_auto_paused(pauses: &[Pause], now: DateTime<Utc>) -> Vec<Problem> {
    let in_force = |pause: &&Pause| pause.who == ITSELF && pause.is_in_force(now);
    let problem = |pause: &Pause| {
        Problem::new(
            ProblemCode::ScheduleAutoPaused,
            Severity::Problem,
            Subject::new(SubjectKind::Schedule, pause.schedule_id.as_str()),
            pause.since,
            format!("{} is paused by the daemon: {}", pause.schedule_id, one_line(&pause.reason)),
            Some(format!("imagebaked resume {}", pause.schedule_id)),
        )
    };
    pauses.iter().filter(in_force).map(problem).collect()
}

/// Instances that a bake stopped and that do not run again: from the first rejected start, or after a start has taken
/// too long.
async fn instances_not_running(reader: &Reader, now: DateTime<Utc>) -> Result<Vec<Problem>, StoreError> {
    let mut problems = Vec::new();
    for PendingRestart { bake, schedule, instance, state, .. } in reader.pending_restarts().await? {
        let State::Starting { work, since, refused_since, last_error, .. } = state else { continue };
        let begun = since.unwrap_or(now);
        let late = since.is_none_or(|since| now - since >= START_TAKES);
        if refused_since.is_none() && !late {
            continue;
        }
        let last_error = last_error.as_deref().unwrap_or("no start has worked so far");
        let [what, still] = work.what_is_pending();
        problems.push(Problem::new(
            ProblemCode::InstanceNotRunning,
            Severity::Problem,
            Subject::new(SubjectKind::Instance, instance.as_str()),
            refused_since.unwrap_or(begun),
            format!("instance {instance} {what} for bake {bake} of {schedule} and {still}: {}", one_line(last_error)),
            Some(format!("imagebaked show {bake}")),
        ));
    }
    Ok(problems)
}

/// A right is missing. Bakes go on without the maintenance; their reason has the cloud's words, whatever its code is.
fn maintenance_refused(refused: RefusedMaintenance) -> Option<Problem> {
    let RefusedMaintenance { instance, bake, since, code, message } = refused;
    codes::find(&code).filter(|rule| rule.cause == Cause::Credentials)?;
    Some(Problem::new(
        ProblemCode::RightsMissing,
        Severity::Warning,
        Subject::new(SubjectKind::Instance, instance.as_str()),
        since,
        format!(
            "bake {bake} could not put {instance} into maintenance and went on without: {code}: {}",
            one_line(&message)
        ),
        Some("imagebaked doctor".to_owned()),
    ))
}

async fn images_late(reader: &Reader, now: DateTime<Utc>) -> Result<Vec<Problem>, StoreError> {
    let images = reader.images_in_progress().await?;
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let lines: Vec<_> = images.iter().map(|image| image.line.clone()).collect();
    let durations = reader.durations_of(&lines).await?;
    Ok(images.iter().filter_map(|image| late::problem(image, durations.of_line(&image.line), now)).collect())
}

async fn scan_failed(reader: &Reader, now: DateTime<Utc>) -> Result<Option<Problem>, StoreError> {
    Ok(reader.last_scan().await?.and_then(|scan| scan_problem(&scan, now)))
}

/// `None` if each region that its schedule has now has this image, or a newer one.
fn replica_failed(failed: FailedCopies, wanted: &[String]) -> Option<Problem> {
    let FailedCopies { bake, schedule, line, copies, others, .. } = failed;
    let (still_wanted, removed): (Vec<_>, Vec<_>) = copies.into_iter().partition(|copy| wanted.contains(&copy.region));
    let joined = |regions: &[&str]| regions.join(", ");
    let of = |copies: &[FailedCopy]| joined(&copies.iter().map(|copy| copy.region.as_str()).collect::<Vec<_>>());
    // An edit alone has copied nothing: what is in place of a region that failed is still to be shown.
    let is_there = |region: &&String| others.iter().any(|copy| copy.region == **region && copy.state == "done");
    let missing: Vec<&str> = wanted.iter().filter(|region| !is_there(region)).map(String::as_str).collect();
    let (since, regions, reason) = match (still_wanted.as_slice(), removed.as_slice()) {
        ([first, ..], _) => {
            (still_wanted.iter().map(FailedCopy::failed_at).min()?, of(&still_wanted), one_line(&first.reason))
        }
        ([], [_, ..]) if !missing.is_empty() => {
            let is_tried = missing.iter().all(|region| others.iter().any(|copy| copy.region == *region));
            let then = if is_tried { "is being tried" } else { "not tried yet" };
            let reason = format!("`regions` was edited since; {} {then}", joined(&missing));
            (removed.iter().map(FailedCopy::failed_at).min()?, of(&removed), reason)
        }
        _ => return None,
    };
    let problem = Problem::new(
        ProblemCode::ReplicaFailed,
        Severity::Warning,
        Subject::new(SubjectKind::Bake, bake.to_string()),
        since,
        format!("the image of bake {bake} of {schedule} was not copied to {regions}: {reason}"),
        Some(format!("imagebaked retry {bake} --stage distribute")),
    );
    Some(problem.of_line(&line))
}

/// Lines of schedules that are in force and not paused. Also returns the number of those without an image.
async fn judge_lines(
    reader: &Reader,
    engine: &EngineStatus,
    now: DateTime<Utc>,
) -> Result<(Vec<Problem>, u64), StoreError> {
    let paused: HashSet<&str> =
        engine.pauses.iter().filter(|pause| pause.is_in_force(now)).map(|pause| pause.schedule_id.as_str()).collect();
    // Two instances can share a line if the ids are chosen that way.
    let mut seen = HashSet::new();
    let judged: Vec<Line> = engine
        .lines
        .iter()
        .filter(|planned| !planned.paused_in_file && !paused.contains(planned.schedule_id.as_str()))
        .filter(|planned| seen.insert(&planned.line.id))
        .map(|planned| planned.line.clone())
        .collect();
    let facts = reader.line_facts(&judged).await?;
    let (mut problems, mut no_image_yet) = (Vec::new(), 0);
    for line in &judged {
        let Some(facts) = facts.get(&line.id) else { continue };
        problems.extend(lines::judge(line, facts, now));
        no_image_yet += u64::from(facts.no_image_yet());
    }
    Ok((problems, no_image_yet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapters::store::{NewRow, OtherCopy, Store},
        domain::{
            bake::{Trigger, settings},
            health::outage::Purpose,
            ids::BakeId,
        },
    };

    #[test]
    fn an_engine_is_stalled_after_two_minutes_without_a_tick() {
        assert!(!is_stalled(Duration::from_secs(119)) && !is_stalled(Duration::from_mins(2)));
        assert!(is_stalled(Duration::from_secs(121)));
        assert!(is_ticking(&EngineStatus::default()), "one that has not begun is not stalled");
    }

    #[test]
    fn an_edit_ends_no_problem_of_the_configuration_before_it_was_read() {
        let since = DateTime::UNIX_EPOCH;
        let found = |files| configuration_refused(files).map(|problem| (problem.message, problem.command.unwrap()));
        assert_eq!(found(Files::InForce), None);
        assert_eq!(found(Files::Edited { refused_since: None }), None);
        assert_eq!(found(Files::Refused { since }).unwrap().1, "imagebaked check");
        let (message, command) = found(Files::Edited { refused_since: Some(since) }).unwrap();
        assert!(message.contains("not tried yet") && command == "imagebaked reload", "{message}");
    }

    #[test]
    fn an_edit_of_the_regions_ends_no_problem_of_a_copy_before_the_new_one_is_there() {
        let copies = |others: &[(&str, &str)]| FailedCopies {
            bake: BakeId(7),
            schedule: "golden".to_owned(),
            schedule_id: "golden".to_owned(),
            line: "golden".into(),
            copies: serde_json::from_str(r#"[{"region":"cn-hangzou","reason":"unknown","at":1}]"#).unwrap(),
            others: others
                .iter()
                .map(|(region, state)| OtherCopy { region: (*region).to_owned(), state: (*state).to_owned() })
                .collect(),
        };
        let found = |wanted: &[&str], others: &[(&str, &str)]| {
            let wanted: Vec<String> = wanted.iter().map(|region| (*region).to_owned()).collect();
            replica_failed(copies(others), &wanted).map(|problem| problem.message)
        };
        assert!(found(&["cn-hangzou"], &[]).unwrap().ends_with("not copied to cn-hangzou: unknown"));
        assert!(found(&["cn-hangzhou"], &[]).unwrap().ends_with("cn-hangzhou not tried yet"));
        assert!(
            found(&["cn-hangzhou"], &[("cn-hangzhou", "copying")]).unwrap().ends_with("cn-hangzhou is being tried")
        );
        assert_eq!(found(&["cn-hangzhou"], &[("cn-hangzhou", "done")]), None);
        assert_eq!(found(&[], &[]), None, "no copy is wanted any more");
    }

    #[tokio::test]
    async fn an_outage_is_a_problem_while_a_bake_is_open_and_a_warning_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let outage = |lasted| Outage {
            host: "host".to_owned(),
            since: DateTime::UNIX_EPOCH,
            lasted,
            error: "ConnectFailed: cannot connect".to_owned(),
            purpose: Purpose::Calls,
        };
        let severities = async |seconds| {
            let outages = vec![outage(Duration::from_secs(seconds))];
            let problems = cloud_unreachable(outages, Zone::UTC, store.reader()).await.unwrap();
            problems.iter().map(|problem| (problem.code, problem.severity)).collect::<Vec<_>>()
        };
        assert_eq!(severities(59).await, []);
        assert_eq!(severities(60).await, [(ProblemCode::CloudUnreachable, Severity::Warning)]);
        let row = NewRow {
            schedule_id: "golden".into(),
            schedule: "golden".into(),
            instance_id: "ecd-1".into(),
            line: "golden".into(),
            slot: DateTime::UNIX_EPOCH,
            first_slot: DateTime::UNIX_EPOCH,
            slot_count: 1,
            trigger: Trigger::Slot,
            settings: Some(settings::example().into()),
            state: State::Queued { not_before: DateTime::UNIX_EPOCH, suspended: None },
        };
        store.record_slots(&[row], &[], "hash", DateTime::UNIX_EPOCH).await.unwrap();
        assert_eq!(severities(59).await, []);
        assert_eq!(severities(60).await, [(ProblemCode::CloudUnreachable, Severity::Problem)]);
    }
}
