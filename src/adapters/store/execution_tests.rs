//! Every statement, executed by the function that it belongs to, on rows: it runs, and the function can read the names and
//! types of its columns. A statement that is only planned may still fail when it meets a row. So each query must return a
//! row, and each change must change one. What was executed is taken from the log of the database's driver.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{from_value, json};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::{
    statement_list_tests::STATEMENTS,
    tests::{at, row, settings},
    *,
};
use crate::domain::{
    api::{
        call::MadeImage,
        cause::Cause,
        codes::AccountQuota,
        gmt_offset::GmtOffset,
        identity::{ImageStatus, RemoteImage},
    },
    bake::{
        BakeSettings, State, Trigger,
        queue::{ClosedAdmission, QueueState},
        reason::ReasonCode,
        state::{BakeWork, End},
        waiting::{Wait, WaitReason},
    },
    calendar::zone::Zone,
    catch_up::{GivenUp, Range},
    clock::watch::ClockAnchor,
    event::{Action, Event, EventSeverity, EventType},
    health::{Problem, ProblemCode, Severity, Subject, SubjectKind, lines::Line, standing::ProblemChange},
    hooks::HookCommand,
    ids::{BakeId, InstanceId, LineId, ScheduleId},
    image::{
        LineImage, Pin,
        brake::{Brake, MarkKind},
        distribution,
        reconcile::{Comparison, Rebuilt, ReturnedImage, Tagged},
    },
    pause::Pause,
    schedule::Channel,
};

/// Statements that neither return nor change rows.
const WITHOUT_ROWS: [&str; 4] =
    ["backup::COPY_INTO", "backup::TAKE_NUMBER_OFF", "log_binding::CHECKPOINT", "migrating::DROP_STATISTICS"];

/// How many rows each text returned or changed.
#[derive(Debug, Clone, Default)]
struct Executed(Arc<Mutex<BTreeMap<String, u64>>>);

/// A text with single spaces: the log has its own line breaks.
fn normal(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[derive(Default)]
struct Fields {
    summary: String,
    statement: String,
    affected: u64,
    returned: u64,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.statement),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "rows_affected" => self.affected = value,
            "rows_returned" => self.returned = value,
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl<S: tracing::Subscriber> Layer<S> for Executed {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "sqlx::query" {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        // A short text is its own summary.
        let sql = normal(if fields.statement.is_empty() { &fields.summary } else { &fields.statement });
        // A query repeats the number of rows of the change before it.
        let is_change =
            ["INSERT", "UPDATE", "DELETE"].iter().any(|verb| sql.contains(verb)) && !sql.contains("RETURNING");
        let rows = if is_change { fields.affected } else { fields.returned };
        *self.0.lock().unwrap().entry(sql).or_default() += rows;
    }
}

fn start() -> DateTime<Utc> {
    at("2027-01-01T03:00:00Z")
}

fn day(n: i64) -> DateTime<Utc> {
    start() + TimeDelta::days(n)
}

fn instance_of(schedule: &str) -> InstanceId {
    format!("ecd-{schedule}").into()
}

fn new_row(schedule: &str, slot: DateTime<Utc>) -> NewRow {
    let settings = BakeSettings {
        regions: vec!["cn-beijing".to_owned(), "cn-chengdu".to_owned()],
        hooks: crate::domain::hooks::Hooks {
            verify: vec![HookCommand(vec!["/bin/true".to_owned()])],
            ..settings().hooks.clone()
        },
        ..BakeSettings::clone(&settings())
    };
    NewRow { instance_id: instance_of(schedule), settings: Some(Arc::new(settings)), ..row(schedule, slot) }
}

/// The row of a range of slots that were missed.
fn missed(schedule: &str, from: i64, to: i64, slot_count: u64) -> NewRow {
    let end = End::Skipped { code: ReasonCode::Missed, reason: "missed".to_owned() };
    NewRow {
        first_slot: day(from),
        slot_count,
        settings: None,
        trigger: Trigger::CaughtUp,
        state: State::Ended { work: None, end },
        ..new_row(schedule, day(to))
    }
}

fn target(schedule: &str) -> StoredTarget {
    StoredTarget {
        schedule_id: schedule.into(),
        instance_id: instance_of(schedule),
        schedule: schedule.into(),
        line: schedule.into(),
        timing: r#"{"timezone":"Asia/Shanghai"}"#.to_owned(),
        processed_until: start(),
        known_since: day(-9),
        removed_at: None,
    }
}

fn range(first: DateTime<Utc>, last: DateTime<Utc>, count: u64) -> Range {
    Range { first, last, count }
}

fn work(version: u32) -> BakeWork {
    BakeWork { version, image_name: format!("v{version}"), attempts: 1, ..BakeWork::default() }
}

fn made(image: &str) -> MadeImage {
    MadeImage { image_id: image.into(), version_id: Some("iv-1".to_owned()), task_id: Some("t-1".to_owned()) }
}

fn call(stage: &'static str, now: DateTime<Utc>) -> Attempt {
    Attempt {
        stage,
        call: "CreateImageByInstance".into(),
        started_at: now,
        finished_at: now + TimeDelta::seconds(1),
        outcome: "ok",
        code: Some("Throttling".to_owned()),
        http_status: Some(200),
        request_id: Some("R-1".to_owned()),
        message: Some("accepted".to_owned()),
        success: Some(true),
        answer: Some("success".to_owned()),
    }
}

async fn bake_of(store: &Store, schedule: &str, slot: DateTime<Utc>) -> BakeId {
    let row = store.reader().row_covering(schedule, instance_of(schedule).as_str(), slot).await.unwrap();
    BakeId(row.unwrap().id)
}

/// The open bake of a slot takes a step.
async fn step(store: &Store, schedule: &str, slot: DateTime<Utc>, state: State) {
    let bake = bake_of(store, schedule, slot).await;
    let reason = state.reason().map(str::to_owned);
    let transition = Transition {
        bake,
        line: schedule.into(),
        state,
        reason,
        attempt: Some(call("create", slot)),
        events: Vec::new(),
    };
    store.commit(&[transition], slot + TimeDelta::minutes(20)).await.unwrap();
}

/// A bake of a slot, recorded and succeeded.
async fn succeed(store: &Store, schedule: &str, n: i64, version: u32) {
    store.record_slots(&[new_row(schedule, day(n))], &[], "c", day(n)).await.unwrap();
    let end = End::Succeeded { image: made(&format!("{schedule}-{version}")), reason: "created".to_owned() };
    step(store, schedule, day(n), State::Ended { work: Some(work(version)), end }).await;
}

async fn fail(store: &Store, schedule: &str, n: i64, version: u32) {
    store.record_slots(&[new_row(schedule, day(n))], &[], "c", day(n)).await.unwrap();
    let end = End::Failed {
        image: Some(made(&format!("{schedule}-{version}"))),
        permanent: true,
        code: ReasonCode::CreatedFailed,
        cause: Some(Cause::Image),
        reason: "CREATE_FAILED".to_owned(),
    };
    step(store, schedule, day(n), State::Ended { work: Some(work(version)), end }).await;
}

async fn image(store: &Store, id: &str) -> LineImage {
    store.reader().image(&id.into()).await.unwrap().unwrap().image
}

async fn targets_and_slots(store: &Store) {
    let gone = ("gone".into(), instance_of("gone"));
    for (present, gone) in [(vec![target("golden"), target("gone")], vec![]), (vec![target("golden")], vec![gone])] {
        let adoption = Adoption { present: &present, gone: &gone, given_up: &[], rows: &[], events: Vec::new() };
        store.adopt_targets(adoption, "c", start()).await.unwrap();
    }
    let progress = TargetProgress {
        schedule_id: "golden".into(),
        instance_id: instance_of("golden"),
        processed_until: start(),
        known_since: day(-9),
    };
    store.record_slots(&[new_row("golden", day(3))], &[progress], "c", start()).await.unwrap();
    assert_eq!(store.reader().targets().await.unwrap().len(), 2);
    assert_eq!(store.reader().seen("golden").await.unwrap().len(), 1);
    assert_eq!(store.reader().schedule_words().await.unwrap().len(), 2);
    let zones = store.reader().schedule_zones().await.unwrap();
    assert!(zones.len() == 2 && zones.iter().all(|(_, zone)| zone.name() == "Asia/Shanghai"), "{zones:?}");
    assert!(!store.slots_ahead(start()).await.unwrap().is_empty());
    let span = Span { schedule_id: "golden".into(), instance_id: instance_of("golden"), after: start(), until: day(9) };
    assert!(!store.slots_with_rows(std::slice::from_ref(&span), &[]).await.unwrap().is_empty());
    assert!(!store.open_instances(day(9), &[]).await.unwrap().is_empty());
    let manual = ManualBake { row: new_row("manual", day(0)), who: "uid 0".to_owned(), retry_of: None };
    assert_eq!(store.record_manual(&[manual], "c", start()).await.unwrap().len(), 1);
}

/// Rows that were written while the clock was ahead give their slots up.
async fn a_clock_that_was_ahead(store: &Store) {
    store.record_slots(&[missed("removed", 36, 40, 5), missed("split", 36, 40, 5)], &[], "c", day(60)).await.unwrap();
    let mut given_up = Vec::new();
    for schedule in ["removed", "split"] {
        let span =
            Span { schedule_id: schedule.into(), instance_id: instance_of(schedule), after: day(30), until: day(40) };
        let found = store.rows_ahead(&[span], day(30)).await.unwrap().remove(0);
        let slots = found.slots;
        given_up.push(if schedule == "removed" {
            (found, GivenUp { slots, earlier: None, later: None })
        } else {
            let (earlier, later) = (range(day(36), day(37), 2), range(day(39), day(40), 2));
            (found, GivenUp { slots: range(day(38), day(38), 1), earlier: Some(earlier), later: Some(later) })
        });
    }
    store.replace_slots(&[], &given_up, &[], "c", day(30)).await.unwrap();
    store.record_slots(&[new_row("ahead", day(50))], &[], "c", day(50)).await.unwrap();
    assert!(store.end_queued_ahead(day(45), day(30)).await.unwrap() > 0);
    succeed(store, "clamped", 50, 1).await;
    store.record_scan(&[], &[], None, day(50)).await.unwrap();
    store.clamp_images_ahead(day(30), day(30)).await.unwrap();
    assert!(store.newest_write().await.unwrap().is_some());
    store.note_clock(day(30), "the clock went back", Some("the clock")).await.unwrap();
    store.note_clock(day(30), "the clock went back", Some("the clock")).await.unwrap();
}

/// The newest begin of a maintenance counts.
async fn refused_maintenance(store: &Store) {
    let instance = instance_of("creating");
    let asked = [instance.clone(), InstanceId::from("ecd-none")];
    let begin = |outcome, code: &str| Attempt {
        call: "enter_maintenance".into(),
        outcome,
        code: Some(code.to_owned()),
        ..call("stop", day(3))
    };
    let bake = bake_of(store, "creating", day(3)).await;
    for (outcome, refused) in [("ok", 0), ("permanent", 1)] {
        let state = store.bake(bake).await.unwrap().unwrap().state;
        let attempt = Some(begin(outcome, "Forbidden.RAM"));
        let line = LineId::from("creating");
        let step = Transition { bake, line, state, reason: None, attempt, events: Vec::new() };
        store.commit(&[step], day(3)).await.unwrap();
        let found = store.reader().refused_maintenances(&asked).await.unwrap();
        assert_eq!(found.len(), refused, "{outcome}");
        assert!(found.iter().all(|one| one.instance == instance && one.bake == bake && one.code == "Forbidden.RAM"));
    }
}

/// Bakes in each state that a statement asks for.
async fn bakes(store: &Store) {
    let reader = store.reader();
    succeed(store, "golden", 0, 1).await;
    succeed(store, "golden", 1, 2).await;
    fail(store, "golden", 2, 3).await;
    for schedule in ["creating", "unknown", "starting", "outage", "queued"] {
        store.record_slots(&[new_row(schedule, day(3))], &[], "c", day(3)).await.unwrap();
    }
    step(store, "creating", day(3), State::Creating { work: work(1), sent_at: day(3) }).await;
    let unknown = |work, why: &str| State::Unknown { work, since: day(3), polls: 1, next: day(5), why: why.to_owned() };
    step(store, "unknown", day(3), unknown(work(1), "no answer")).await;
    let starting = State::Starting {
        work: BakeWork { restart_pending: true, ..work(1) },
        end: None,
        tries: 1,
        stop_unconfirmed: false,
        since: Some(day(3)),
        start_sent: false,
        refused_since: None,
        last_error: None,
        next: day(3),
    };
    step(store, "starting", day(3), starting).await;
    let waiting = Wait { since: day(3), why: "not reachable".to_owned(), on: WaitReason::Outage, times: 1 };
    step(store, "outage", day(3), unknown(BakeWork { waiting: Some(waiting), ..work(1) }, "outage")).await;

    assert!(reader.has_open_bake().await.unwrap());
    assert!(reader.newest_bake().await.unwrap().is_some());
    let bake = bake_of(store, "golden", day(0)).await;
    assert!(store.bake(bake).await.unwrap().is_some() && reader.bake(bake).await.unwrap().is_some());
    assert_eq!(reader.attempts(bake).await.unwrap().len(), 1);
    assert!(reader.settings(bake).await.unwrap().is_some());
    assert!(!reader.counts(None, day(0), &["succeeded"]).await.unwrap().is_empty());
    assert!(!reader.counts(Some(&"golden".into()), day(0), &["succeeded"]).await.unwrap().is_empty());
    assert!(!reader.versions().await.unwrap().is_empty());
    reader.durations().await.unwrap();
    reader.durations_of(&["golden".into()]).await.unwrap();
    assert!(!reader.images_in_progress().await.unwrap().is_empty());
    assert!(!reader.open_bakes().await.unwrap().is_empty());
    assert!(!reader.recorded_between(day(0), day(30), 99).await.unwrap().is_empty());
    assert!(!reader.recorded_between(day(30), day(31), 99).await.unwrap().is_empty(), "open bakes of older slots");
    assert!(!reader.counted_between(day(0), day(30)).await.unwrap().is_empty());
    assert!(!reader.recorded_of(&"golden".into(), day(0), 99).await.unwrap().is_empty());
    assert_eq!(reader.pending_restarts().await.unwrap().len(), 1);
    refused_maintenance(store).await;
    assert!(!store.due(day(4)).await.unwrap().is_empty());
    assert!(!store.next_queued(day(3), 9, &[]).await.unwrap().is_empty());
    assert!(!store.overdue_queued(day(30)).await.unwrap().is_empty());
    assert!(store.next_wake(day(3)).await.unwrap().is_some());
    assert!(!store.busy_builders().await.unwrap().is_empty());
    assert!(store.wake_outage_waits(day(4), Duration::from_mins(1)).await.unwrap() > 0);
    assert!(store.clamp_wakeups_after_clock_step(day(3), day(3)).await.unwrap() > 0);
    let queue = QueueState { blocker: None, builders: 1, builders_per_region: 1 };
    let closed = ClosedAdmission {
        since: day(3),
        quota: AccountQuota::Builders,
        refused_at: day(3),
        message: "full".to_owned(),
        cap: Duration::from_mins(1),
        until: day(3),
        trial: None,
    };
    store.keep_queue(&queue, Some(&closed), day(3)).await.unwrap();
    store.keep_queue(&queue, None, day(3)).await.unwrap();
    let filter = Filter { limit: 9, instance: Some("ecd-queued".to_owned()), ..Filter::default() };
    assert_eq!(reader.history(&filter).await.unwrap().len(), 1);
}

async fn pauses_and_failures(store: &Store) {
    assert_eq!(store.too_many_failures(1).await.unwrap().len(), 1);
    assert_eq!(store.failed_under_other_settings(|_| None).await.unwrap().len(), 0);
    let pause = |who: &str| Pause {
        schedule_id: "golden".into(),
        since: day(3),
        until: Some(day(4)),
        reason: "tests".to_owned(),
        who: who.to_owned(),
    };
    store.pause(&pause("uid 0"), Zone::UTC).await.unwrap();
    store.pause(&pause(ITSELF), Zone::UTC).await.unwrap();
    assert_eq!(store.reader().pauses().await.unwrap().len(), 1);
    let pauses = store.reader().pauses().await.unwrap();
    assert_eq!(store.reader().pause_of(&"golden".into()).await.unwrap().as_ref(), pauses.get(&"golden".into()));
    assert_eq!(store.reader().pause_of(&"other".into()).await.unwrap(), None);
    succeed(store, "golden", 4, 4).await;
    assert_eq!(store.recovered_schedules().await.unwrap().len(), 1);
    store.resume(&"golden".into(), "uid 0", "done", day(4)).await.unwrap();
    assert!(!store.reader().audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).await.unwrap().is_empty());
}

async fn checks_and_health(store: &Store) {
    let lines = |known: &[&str]| -> Vec<Line> {
        known
            .iter()
            .map(|id| Line {
                id: (*id).into(),
                schedule: (*id).into(),
                zone: Zone::UTC,
                max_image_age: None,
                known_since: day(-9),
            })
            .collect()
    };
    assert!(store.next_check().await.unwrap().is_some());
    let due = store.due_checks(day(20)).await.unwrap();
    for check in &due {
        let result = match (check.line.as_str(), check.version) {
            ("golden", 1) => CheckResult::Failed { why: "black screen".to_owned() },
            _ => CheckResult::Passed,
        };
        store.end_check(check, &result, &[call("hook", day(5))], day(5)).await.unwrap();
    }
    let check = store.reader().check_of_image("golden-1").await.unwrap().unwrap();
    assert_eq!(check.verify.as_deref(), Some("failed"));
    let row = BakeRow { image_id: Some("golden-1".to_owned()), vetoed: true, ..BakeRow::example() };
    let veto = store.reader().veto_of(&row).await.unwrap().unwrap();
    assert_eq!((veto.at, veto.reason.as_str()), (day(5).timestamp_millis(), "black screen"));
    let line = LineId::from("golden");
    assert_eq!(store.reader().newest_images(std::slice::from_ref(&line)).await.unwrap().len(), 1);
    assert!(!store.reader().newest_images_after("a", 9).await.unwrap().is_empty());
    let asked = [line, "no-such-line".into()];
    let without = store.reader().lines_without_image(&asked).await.unwrap();
    assert_eq!(without, [("no-such-line".into(), false)].into());
    assert!(store.reader().usual_duration(&"golden".into()).await.unwrap().is_some());
    assert!(!store.reader().instance_words().await.unwrap().is_empty());
    let newest_bake = store.reader().newest_bake().await.unwrap().unwrap();
    store.reader().give_up_at(newest_bake).await.unwrap();
    let newest = store.reader().newest_rows(&[&"golden".into(), &"none".into()], 2).await.unwrap();
    let golden = &newest[&ScheduleId::from("golden")];
    assert!(newest.len() == 1 && golden.len() == 2 && golden[0].slot > golden[1].slot, "{newest:?}");
    let good = store.reader().newest_good_images(&["golden".into(), "none".into()]).await.unwrap();
    assert!(good.len() == 1 && good.contains_key(&LineId::from("golden")), "{good:?}");
    // A line whose only image failed its check, and which failed since.
    succeed(store, "vetoed", 0, 1).await;
    let due = store.due_checks(day(20)).await.unwrap();
    let why = CheckResult::Failed { why: "black screen".to_owned() };
    store.end_check(&due[0], &why, &[], day(5)).await.unwrap();
    fail(store, "vetoed", 1, 2).await;
    let facts = store.reader().line_facts(&lines(&["golden", "vetoed"])).await.unwrap();
    let vetoed = &facts[&LineId::from("vetoed")];
    assert!(vetoed.lost.is_some() && vetoed.none_good_since.is_some() && !vetoed.unverified.is_empty(), "{vetoed:?}");
    let without = store.reader().lines_without_image(&["vetoed".into()]).await.unwrap();
    assert_eq!(without, [("vetoed".into(), true)].into(), "it had slots, and an image");
    let vetoed = async |of: Option<&str>| store.reader().vetoed(of.map(Into::into).as_ref(), day(-9)).await.unwrap();
    assert!(vetoed(None).await > 0);
    assert_eq!(vetoed(Some("nobody")).await, 0);
}

async fn events_and_problems(store: &Store) {
    let reader = store.reader();
    assert!(reader.newest_event().await.unwrap() > 0);
    assert!(!reader.events(&EventFilter { limit: 9, ..EventFilter::default() }).await.unwrap().is_empty());
    let about = EventFilter { subject: Some("golden".to_owned()), limit: 9, ..EventFilter::default() };
    assert!(!reader.events(&about).await.unwrap().is_empty());
    let subject = Subject::new(SubjectKind::Line, "golden");
    let (code, severity) = (ProblemCode::BakeFailed, Severity::Warning);
    let problem = Problem::new(code, severity, subject, start(), "it failed".to_owned(), None);
    store.commit_problems(&[ProblemChange::Started(problem.clone())], start()).await.unwrap();
    assert_eq!(reader.standing_problems().await.unwrap().len(), 1);
    store.acknowledge_problem(&problem, None, "uid 0", start()).await.unwrap();
    store.commit_problems(&[ProblemChange::Ended(problem)], start()).await.unwrap();
    let started = EventType::DaemonStarted;
    let started = Event::new(started, EventSeverity::Info, Subject::only(SubjectKind::Daemon), "started".to_owned());
    store.record_event(day(90), started).await.unwrap();
    assert!(reader.absence(day(89), day(90)).await.unwrap().is_some());
    assert!(store.prune_events(day(99)).await.unwrap() > 0);
}

async fn copies(store: &Store) {
    assert!(store.next_copy().await.unwrap().is_some());
    assert_eq!(store.reader().replica_regions().await.unwrap().len(), 2);
    let copies: Vec<Copy> = store.due_copies(day(5), 99).await.unwrap();
    let newest = copies.into_iter().filter(|copy| copy.image_id.as_str() == "golden-4");
    let steps: Vec<CopyStep> = newest
        .map(|copy| CopyStep {
            before: copy.state.clone(),
            copy: Copy {
                state: distribution::State::Failed { reason: "no space".to_owned(), nothing_there: false },
                ..copy
            },
            task_id: Some("t-2".to_owned()),
            attempt: Some(call("distribute", day(4))),
            listed: Some(ListedReplica { status: Some("CREATE_FAILED".to_owned()), progress: Some("40%".to_owned()) }),
        })
        .collect();
    assert_eq!(steps.len(), 2);
    let bake = steps[0].copy.bake;
    store.commit_copies(&steps, day(4)).await.unwrap();
    let copies = store.reader().copies(bake).await.unwrap();
    let known = |copy: &CopyRow| (copy.status.clone().unwrap(), copy.progress.clone().unwrap());
    assert!(copies.len() == 2 && copies.iter().all(|copy| known(copy) == ("CREATE_FAILED".into(), "40%".into())));
    let failed = store.reader().failed_copies(9).await.unwrap();
    assert_eq!(failed.iter().map(|copies| copies.line.as_str()).collect::<Vec<_>>(), ["golden"]);
    // After its end the scans go on with what is known of it; a list without a status takes nothing back.
    let scanned = |status: Option<&str>, progress: Option<&str>| ReplicaObservation {
        image_id: "golden-4".into(),
        region: copies[0].region.clone(),
        listed: ListedReplica { status: status.map(str::to_owned), progress: progress.map(str::to_owned) },
    };
    store.record_scan(&[], &[scanned(Some("AVAILABLE"), Some("100%"))], None, day(4)).await.unwrap();
    store.record_scan(&[], &[scanned(None, None)], None, day(4)).await.unwrap();
    let replicas = store.reader().copies_of_images(&[&"golden-4".into()]).await.unwrap()["golden-4"].clone();
    let known: Vec<_> = replicas.iter().map(|copy| (copy.status.as_deref(), copy.progress.as_deref())).collect();
    assert_eq!(known, [(Some("AVAILABLE"), Some("100%")), (Some("CREATE_FAILED"), Some("40%"))]);
    let again: Vec<_> = copies.iter().map(|copy| copy.region.clone()).collect();
    let new = ["cn-nanjing".to_owned()];
    assert_eq!(store.reopen_copies(bake, &again[..1], &[], "uid 0", day(4)).await.unwrap(), 1);
    assert_eq!(store.reopen_copies(bake, &again, &new, "uid 0", day(4)).await.unwrap(), 2, "one failed, one is new");
    assert_eq!(store.reopen_copies(bake, &again, &new, "uid 0", day(4)).await.unwrap(), 0, "all are wanted");
    copies_that_never_were(store, bake, &again).await;
    // What is left would keep images from being deleted.
    store.execute("UPDATE distributions SET state = 'done', wake_at = NULL, finished_at = 1").await;
}

/// A failed copy adds no region where nothing can be; one that was retried remembers what may be there.
async fn copies_that_never_were(store: &Store, bake: BakeId, regions: &[String]) {
    let all = store.reader().replica_regions().await.unwrap();
    for nothing_there in [true, false] {
        let due = store.due_copies(day(5), 99).await.unwrap().into_iter();
        let failed = |copy: Copy| CopyStep {
            before: copy.state.clone(),
            copy: Copy { state: distribution::State::Failed { reason: "no".to_owned(), nothing_there }, ..copy },
            task_id: None,
            attempt: None,
            listed: None,
        };
        let steps: Vec<_> = due.filter(|copy| copy.bake == bake && copy.region == "cn-nanjing").map(failed).collect();
        assert_eq!(steps.len(), 1);
        store.commit_copies(&steps, day(4)).await.unwrap();
        let left = store.reader().replica_regions().await.unwrap();
        assert_eq!(left.len(), all.len() - usize::from(nothing_there), "{left:?}");
        let nanjing = ["cn-nanjing".to_owned()];
        assert_eq!(store.reopen_copies(bake, &nanjing, regions, "uid 0", day(4)).await.unwrap(), 1);
        let due = store.due_copies(day(5), 99).await.unwrap();
        let again = due.iter().find(|copy| copy.bake == bake && copy.region == "cn-nanjing").unwrap();
        assert_eq!(again.state.work().unwrap().nothing_there, nothing_there);
    }
}

async fn channels(store: &Store) {
    let golden: LineId = "golden".into();
    let declared = [Channel { name: "stable".to_owned(), after: None }];
    store.queue_channels(std::slice::from_ref(&golden)).await.unwrap();
    assert!(store.reader().next_channels().await.unwrap().is_some());
    let due = store.due_channels(day(9), 99).await.unwrap();
    assert!(due.contains(&golden));
    let soaking = [Channel { name: "stable".to_owned(), after: Some(Duration::from_hours(999)) }];
    store.settle_channels(&due, |_| Some(&soaking), day(9)).await.unwrap();
    let order = async |order: ChannelOrder| {
        store.order_channels(&golden, Some(&declared), &order, "uid 0", day(9)).await.unwrap().unwrap();
    };
    let promote = |image: &str| ChannelOrder::Promote {
        image: image.into(),
        channel: "stable".to_owned(),
        force: true,
        reason: "good".to_owned(),
    };
    order(promote("golden-2")).await;
    order(promote("golden-4")).await;
    order(ChannelOrder::Rollback { channel: "stable".to_owned(), reason: "bad".to_owned() }).await;
    order(ChannelOrder::Unveto { image: "golden-4".into() }).await;
    order(ChannelOrder::Veto { image: "golden-1".into(), reason: "bad".to_owned() }).await;
    assert!(!store.reader().channels(Some("golden")).await.unwrap().is_empty());
    assert!(!store.reader().channel_history(Some("golden"), 99).await.unwrap().is_empty());
    let left = store.reader().images_left_by_channels(day(8)).await.unwrap();
    assert!(left.contains(&"golden-2".into()) && left.contains(&"golden-4".into()), "{left:?}");
    assert!(store.reader().images_left_by_channels(day(9)).await.unwrap().is_empty());
    // The channel is not in the configuration any more.
    store.settle_channels(std::slice::from_ref(&golden), |_| Some(&[]), day(9)).await.unwrap();
}

async fn images(store: &Store) {
    let reader = store.reader();
    let seen = |id: &str| ImageObservation {
        image_id: id.into(),
        listed: true,
        available: true,
        ours: true,
        used_by: vec!["ecd-9".to_owned()],
    };
    store.record_scan(&[seen("golden-1"), seen("golden-2"), seen("golden-4")], &[], None, day(10)).await.unwrap();
    assert!(reader.last_scan().await.unwrap().is_some());
    let images = reader.present_images(None).await.unwrap().len();
    assert_eq!(reader.lines_of_images().await.unwrap().iter().map(|(_, n)| n).sum::<usize>(), images);
    assert!(!reader.newest_results(&["golden".into()]).await.unwrap().is_empty());
    store.set_users(&"golden-1".into(), &[]).await.unwrap();
    let pin = Pin { until: None, reason: "tests".to_owned(), who: "uid 0".to_owned() };
    store.pin_image(&"golden-1".into(), &pin, Action::Pin, day(10)).await.unwrap();
    assert!(store.unpin_image(&"golden-1".into(), "uid 0", day(10)).await.unwrap());
    let adopted = NewImage {
        image_id: "golden-1".into(),
        image_name: "v1".to_owned(),
        version_id: None,
        schedule_id: "other".into(),
        instance_id: instance_of("other"),
        line: "other".into(),
        version: None,
        slot: day(0),
        made_at: day(0),
        ours: true,
        obstacle: None,
    };
    let back = NewImage {
        schedule_id: "golden".into(),
        instance_id: instance_of("golden"),
        line: "golden".into(),
        version: Some(1),
        ..adopted.clone()
    };
    for image in [adopted, back] {
        let adopted = store.adopt_images(vec![image], false, "uid 0", day(10)).await.unwrap();
        assert!(adopted.iter().all(|adopted| adopted.obstacle.is_none()), "{adopted:?}");
    }
}

async fn deletions(store: &Store) {
    let reader = store.reader();
    let golden: LineId = "golden".into();
    let first = image(store, "golden-1").await;
    let mark = async |image: &LineImage, kind| {
        assert!(store.mark_image(image, "last = 1", day(11), kind, "imagebaked", day(10)).await.unwrap());
    };
    mark(&first, MarkKind::Ordinary).await;
    assert_eq!(reader.marked_images(false).await.unwrap(), 0);
    assert!(store.unmark_image(&first, "kept", "imagebaked", day(10)).await.unwrap());
    mark(&first, MarkKind::Counted).await;
    assert_eq!(reader.lines_with_marks().await.unwrap(), std::slice::from_ref(&golden));
    assert_eq!(reader.going_images(9).await.unwrap().len(), 1);
    assert_eq!(reader.images_by_id("golden-1", 9).await.unwrap()[0].0, first.image_id.as_str());
    assert!(reader.images_by_id("", 9).await.unwrap().len() > 1);
    assert!(reader.images_by_id("another", 9).await.unwrap().is_empty());
    assert!(reader.next_deletion(None).await.unwrap().is_some());
    assert_eq!([reader.marked_images(true).await.unwrap(), reader.marked_images(false).await.unwrap()], [1, 1]);
    let doomed = Doomed::from(&first);
    store.put_off_deletion(&doomed, "in use", day(12)).await.unwrap();
    assert!(store.begin_deletion(&doomed, "last = 1", "imagebaked", day(12)).await.unwrap());
    assert!(reader.next_search().await.unwrap().is_some());
    let sent = reader.sent_deletions().await.unwrap();
    store.search_later(&sent[0], day(13), "no answer").await.unwrap();
    assert!(store.end_deletion(&doomed, &DeleteOutcome::Deleted, "deleted", "imagebaked", day(13)).await.unwrap());
    let left = std::collections::HashSet::from([first.image_id.clone()]);
    let departed = &reader.counted_deletions(day(0), &left).await.unwrap()[&golden];
    assert_eq!((departed.len(), departed[0].deleted_at, departed[0].left_by_channel), (1, day(13), true));
    let second = image(store, "golden-2").await;
    mark(&second, MarkKind::Counted).await;
    store.confirm_deletions(std::slice::from_ref(&second.image_id), "golden", "uid 0", day(13)).await.unwrap();
    assert!(store.image_vanished(&second, day(13)).await.unwrap());

    let line = [(&golden, "last = 1".to_owned())];
    let other: LineId = "other".into();
    store.record_judged(&[&"golden-4".into()], &line, &[&golden]).await.unwrap();
    assert_eq!(reader.line_rules().await.unwrap().len(), 1);
    store.record_judged(&[], &[], &[&other]).await.unwrap();
    let brake = Brake::Line { line: golden.clone(), going: 3, deleted: 1, of: 4 };
    store.set_brakes(&[brake], &[], day(13)).await.unwrap();
    assert_eq!(reader.brakes().await.unwrap().len(), 1);
    store.set_brakes(&[], &[], day(13)).await.unwrap();
}

async fn strays(store: &Store) {
    let failed = |id: &str| FailedSighting {
        image_id: id.into(),
        line_id: "golden".into(),
        schedule_id: "golden".into(),
        instance_id: instance_of("golden"),
        version: Some(3),
        image_name: "v3".to_owned(),
        slot: Some(day(2).timestamp_millis()),
    };
    let unrecorded = UnrecordedSighting {
        image_id: "foreign-1".into(),
        line_id: "golden".into(),
        schedule_id: "golden".into(),
        instance_id: instance_of("golden"),
        image_name: "v9".to_owned(),
        status: "AVAILABLE".to_owned(),
        slot: day(7).timestamp_millis(),
    };
    store.record_strays(&[failed("golden-3"), failed("failed-2")], &[unrecorded], day(14)).await.unwrap();
    assert!(store.reader().failed_images().await.unwrap().len() >= 2);
    assert_eq!(store.reader().unrecorded_images(9).await.unwrap().len(), 1);
    store.record_strays(&[failed("golden-3")], &[], day(14)).await.unwrap();
    let doomed = Doomed { image_id: "golden-3".into(), line: "golden".into(), name: "v3".to_owned(), of_failed: true };
    store.put_off_deletion(&doomed, "in use", day(14)).await.unwrap();
    assert!(store.begin_deletion(&doomed, "failed", "imagebaked", day(14)).await.unwrap());
    assert!(store.end_deletion(&doomed, &DeleteOutcome::Deleted, "deleted", "imagebaked", day(14)).await.unwrap());
}

/// What only the cloud knows gets its rows.
async fn rebuilding(store: &Store) {
    fail(store, "back", 3, 1).await;
    let rows =
        [missed("one", 20, 20, 1), missed("last", 18, 20, 3), missed("all", 18, 20, 1), missed("few", 18, 20, 3)];
    store.record_slots(&rows, &[], "c", day(20)).await.unwrap();
    let rebuilt = |schedule: &str, n| Rebuilt {
        schedule_id: schedule.into(),
        schedule: schedule.into(),
        instance_id: instance_of(schedule),
        tagged: Tagged { schedule_id: schedule.into(), line: schedule.into(), slot: day(n), version: 1 },
        image: RemoteImage {
            image_id: format!("{schedule}-1").into(),
            version_id: None,
            name: "v1".to_owned(),
            status: ImageStatus::Available,
            tags: [].into(),
            kind: None,
            made_at: None,
        },
        checked_by: None,
    };
    let found = Comparison {
        versions: vec![("one".into(), 1)],
        rows: vec![rebuilt("one", 20), rebuilt("last", 20), rebuilt("all", 18), rebuilt("few", 18)],
        unknown: vec![bake_of(store, "unknown", day(3)).await],
        returned: vec![ReturnedImage {
            slot: day(19),
            bake: bake_of(store, "back", day(3)).await,
            version: 1,
            image: rebuilt("back", 3).image,
        }],
        ..Comparison::default()
    };
    store.rebuild(&found, "uid 0", "c", day(20)).await.unwrap();
    assert!(!store.reader().listed_images(day(20)).await.unwrap().is_empty());
    assert!(!store.reader().recorded(&[]).await.unwrap().is_empty());
}

/// What was learned, copies of the history, and its upkeep.
async fn the_history_itself(dir: &std::path::Path, store: &Store) {
    store.keep_gmt_offset(Some(GmtOffset::from_minutes(480)), day(20)).await.unwrap();
    assert!(store.reader().gmt_offset().await.unwrap().is_some());
    let anchor: ClockAnchor =
        from_value(json!({"boot_id": "b", "boottime": {"secs": 1, "nanos": 0}, "wall": day(20), "cloud": day(20)}))
            .unwrap();
    store.keep_clock_anchor(&anchor, day(20)).await.unwrap();
    store.keep_owner("ops", day(20)).await.unwrap();
    assert_eq!(store.reader().owner().await.unwrap().as_deref(), Some("ops"));
    assert!(store.reader().work_in_cloud().await.unwrap().images > 0);
    store.settle().await.unwrap();
    store.upkeep().await.unwrap();
    assert_eq!(store.reader().examine().await.unwrap(), Vec::<String>::new());
    store.reader().export(&mut Vec::new(), &|_| ()).await.unwrap();
    let copy = dir.join("copy.db");
    store.reader().copy(&copy, &|_| ()).await.unwrap();
    let other = dir.join("other");
    restore(&other, &copy, "uid 0", day(20), &|_| ()).await.unwrap();
    // What people decided since is taken over by the next one.
    let former = Store::open(&other).await.unwrap();
    let pin = Pin { until: None, reason: "golden master".to_owned(), who: "uid 0".to_owned() };
    former.pin_image(&"back-1".into(), &pin, Action::Pin, day(21)).await.unwrap();
    former.execute("INSERT INTO vetoes (image_id, at, reason, who) VALUES ('back-1', 1, 'no sound', 'uid 0')").await;
    former.close().await;
    drop(former);
    let since = restore(&other, &copy, "uid 0", day(22), &|_| ()).await.unwrap().since;
    assert_eq!((since.pins, since.vetoes, since.unread), (1, 1, None));
    let back = image(store, "back-1").await;
    assert!(store.mark_image(&back, "last = 1", day(23), MarkKind::Ordinary, "imagebaked", day(22)).await.unwrap());
    assert_eq!(store.begin_marks_anew(day(22)).await.unwrap(), 1);
    assert_eq!(store.reader().restored().await.unwrap(), None);
    assert!(store.reader().awaits_scan().await.unwrap());
}

#[tokio::test]
async fn every_statement_runs_on_rows_and_is_read() {
    let executed = Executed::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(executed.clone())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).await.unwrap().close().await;
    let store = Store::open(dir.path()).await.unwrap();
    targets_and_slots(&store).await;
    bakes(&store).await;
    pauses_and_failures(&store).await;
    checks_and_health(&store).await;
    events_and_problems(&store).await;
    copies(&store).await;
    channels(&store).await;
    images(&store).await;
    deletions(&store).await;
    strays(&store).await;
    rebuilding(&store).await;
    a_clock_that_was_ahead(&store).await;
    the_history_itself(dir.path(), &store).await;
    store.close().await;

    let executed = executed.0.lock().unwrap();
    let mut wrong = Vec::new();
    for (name, sql) in STATEMENTS {
        let text = normal(sql);
        // A page of the history or of the audit adds its conditions.
        let page = format!("{text} WHERE 1 ");
        let rows: Vec<u64> =
            executed.iter().filter(|(sql, _)| **sql == text || sql.starts_with(&page)).map(|(_, rows)| *rows).collect();
        if rows.is_empty() {
            wrong.push(format!("{name} was not executed"));
        } else if rows.iter().sum::<u64>() == 0 && !WITHOUT_ROWS.contains(name) {
            wrong.push(format!("{name} met no row"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
