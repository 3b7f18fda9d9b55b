use super::*;
use crate::domain::{
    event::{Action, AuditLine},
    health::{Problem, ProblemCode, Severity, Subject, SubjectKind, standing::ProblemChange},
    history::absence::Absence,
};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn event(subject: &str, severity: EventSeverity) -> Event {
    let subject = Subject::new(SubjectKind::Schedule, subject);
    Event::new(EventType::ScheduleAdded, severity, subject, "it was added".to_owned()).with("line", "a-line")
}

async fn store() -> (tempfile::TempDir, Store) {
    super::super::tests::store().await
}

async fn ids(store: &Store, filter: EventFilter) -> Vec<i64> {
    let events = store.reader().events(&EventFilter { limit: 100, ..filter }).await.unwrap();
    events.iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn events_are_there_with_their_transaction_or_not_at_all() {
    let (_dir, store) = store().await;
    let mut tx = store.begin().await.unwrap();
    tx.record(at(0), event("a", EventSeverity::Info));
    drop(tx);
    assert_eq!(ids(&store, EventFilter::default()).await, [0i64; 0]);
    let mut tx = store.begin().await.unwrap();
    tx.record(at(0), event("a", EventSeverity::Info));
    tx.rollback().await.unwrap();
    assert_eq!(ids(&store, EventFilter::default()).await, [0i64; 0]);
    let mut tx = store.begin().await.unwrap();
    tx.record(at(0), event("a", EventSeverity::Info));
    tx.commit().await.unwrap();
    assert_eq!(ids(&store, EventFilter::default()).await.len(), 1);
}

#[tokio::test]
async fn the_envelope_has_the_documented_fields() {
    let (_dir, store) = store().await;
    let recorded = Event { since: Some(at(-60)), ..event("a", EventSeverity::Warning) }.command("imagebaked show 1");
    store.record_event(at(0), recorded).await.unwrap();
    let events = store.reader().events(&EventFilter { limit: 1, ..EventFilter::default() }).await.unwrap();
    let wanted = serde_json::json!({
        "version": 1, "id": 1, "type": "schedule_added", "time": "2027-01-15T08:00:00Z", "severity": "warning",
        "subject": {"kind": "schedule", "id": "a"}, "since": "2027-01-15T07:59:00Z", "message": "it was added",
        "command": "imagebaked show 1", "link": null, "data": {"line": "a-line"},
    });
    assert_eq!(serde_json::to_value(&events[0]).unwrap(), wanted);
}

#[tokio::test]
async fn events_are_found_by_time_type_severity_and_what_they_are_about() {
    let (_dir, store) = store().await;
    for (second, subject, severity) in
        [(0, "a", EventSeverity::Info), (1, "b", EventSeverity::Warning), (2, "a", EventSeverity::Problem)]
    {
        store.record_event(at(second), event(subject, severity)).await.unwrap();
    }
    let all = EventFilter::default;
    assert_eq!(ids(&store, all()).await, [1, 2, 3]);
    assert_eq!(ids(&store, EventFilter { since: Some(at(1)), ..all() }).await, [2, 3]);
    assert_eq!(ids(&store, EventFilter { until: Some(at(1)), ..all() }).await, [1, 2]);
    assert_eq!(ids(&store, EventFilter { severity: Some(EventSeverity::Warning), ..all() }).await, [2, 3]);
    assert_eq!(ids(&store, EventFilter { kinds: vec![EventType::BakeFailed], ..all() }).await, [0i64; 0]);
    assert_eq!(ids(&store, EventFilter { after: Some(1), ..all() }).await, [2, 3]);
    for (subject, wanted) in [("a", vec![1, 3]), ("schedule:b", vec![2]), ("a-line", vec![1, 2, 3]), ("c", vec![])] {
        assert_eq!(ids(&store, EventFilter { subject: Some(subject.to_owned()), ..all() }).await, wanted);
    }
    let newest = store.reader().events(&EventFilter { limit: 2, ..all() }).await.unwrap();
    assert_eq!(newest.iter().map(|event| event.id).collect::<Vec<_>>(), [2, 3], "the newest, oldest first");
    assert_eq!(store.reader().newest_event().await.unwrap(), 3);
}

/// A schedule `golden` with two instances and another one; each line has a bake, an image and a channel.
const LINES: [&str; 5] = [
    "INSERT INTO targets (schedule_id, instance_id, schedule, line_id, timing, processed_until, known_since)
     VALUES ('g-id', 'ecd-1', 'golden', 'g-1', '{}', 0, 0), ('g-id', 'ecd-2', 'golden', 'g-2', '{}', 0, 0),
            ('o-id', 'ecd-3', 'other', 'o', '{}', 0, 0)",
    "INSERT INTO bakes (id, schedule_id, schedule, instance_id, line_id, slot, trigger, first_slot, config_hash, state,
                        progress, created_at)
     SELECT rowid_ + 10, schedule_id, schedule, instance_id, line_id, 5, 'slot', 5, 'c', 'succeeded', '{}', 5
     FROM (SELECT *, row_number() OVER (ORDER BY line_id) AS rowid_ FROM targets)",
    "INSERT INTO images (image_id, line_id, schedule_id, instance_id, bake_id, version, image_name, slot, available_at)
     SELECT 'm-' || id, line_id, schedule_id, instance_id, id, 1, 'x', 5, 5 FROM bakes",
    "INSERT INTO channels (line_id, channel, above, since) SELECT line_id, 'stable', 0, 0 FROM targets",
    "INSERT INTO failed_images (image_id, line_id, schedule_id, instance_id, image_name, first_seen, last_seen)
     SELECT 'f-' || line_id, line_id, schedule_id, instance_id, 'x', 0, 0 FROM targets",
];

#[tokio::test]
async fn events_about_a_thing_have_those_of_what_belongs_to_it() {
    let (_dir, store) = store().await;
    for sql in LINES {
        sqlx::query(sql).execute(&mut *store.writer.connection().await.unwrap()).await.unwrap();
    }
    let subjects = [
        (SubjectKind::Schedule, "g-id"),
        (SubjectKind::Instance, "ecd-2"),
        (SubjectKind::Line, "g-2"),
        (SubjectKind::Bake, "12"),
        (SubjectKind::Image, "m-12"),
        (SubjectKind::Image, "f-g-2"),
        (SubjectKind::Channel, "g-2/stable"),
        // Of the schedule's other line.
        (SubjectKind::Image, "m-11"),
        // Of the other schedule, and of neither.
        (SubjectKind::Bake, "13"),
        (SubjectKind::Instance, "ecd-3"),
        (SubjectKind::Daemon, ""),
    ];
    for (n, (kind, id)) in (1..).zip(subjects) {
        let event = Event::new(EventType::ProblemStarted, EventSeverity::Info, Subject::new(kind, id), "x".to_owned());
        store.record_event(at(n), event).await.unwrap();
    }
    for (about, wanted) in [
        ("golden", vec![1, 2, 3, 4, 5, 6, 7, 8]),
        ("g-id", vec![1, 2, 3, 4, 5, 6, 7, 8]),
        ("ecd-2", vec![2, 3, 4, 5, 6, 7]),
        ("g-2", vec![1, 2, 3, 4, 5, 6, 7]),
        ("m-12", vec![4, 5]),
        ("12", vec![4, 5]),
        ("bake:12", vec![4]),
        ("other", vec![9, 10]),
        ("none", vec![]),
    ] {
        assert_eq!(
            ids(&store, EventFilter { subject: Some(about.to_owned()), ..EventFilter::default() }).await,
            wanted,
            "{about}"
        );
    }
}

#[tokio::test]
async fn old_events_go_and_the_number_is_bounded() {
    let (_dir, store) = store().await;
    for second in 0..10 {
        store.record_event(at(second), event("a", EventSeverity::Info)).await.unwrap();
    }
    assert_eq!(store.prune_events(at(3)).await.unwrap(), 3);
    assert_eq!(ids(&store, EventFilter::default()).await, [4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(store.prune_events_beyond(at(0), 2).await.unwrap(), 5);
    assert_eq!(ids(&store, EventFilter::default()).await, [9, 10]);
    store.prune_events(at(100)).await.unwrap();
    store.record_event(at(200), event("a", EventSeverity::Info)).await.unwrap();
    assert_eq!(ids(&store, EventFilter::default()).await, [11], "a number is never used twice");
}

#[tokio::test]
async fn a_line_of_the_audit_is_an_event() {
    let (_dir, store) = store().await;
    let subject = Subject::new(SubjectKind::Image, "imgc-1");
    let detail = "imgc-1: the audit needs it".to_owned();
    store.note(&AuditLine { at: at(0), who: "alice", action: Action::Pin, subject, detail }).await.unwrap();
    let events = store.reader().events(&EventFilter { limit: 9, ..EventFilter::default() }).await.unwrap();
    assert_eq!((events.len(), events[0].kind.as_str()), (1, "image_pinned"));
    assert_eq!(events[0].message, "pinned imgc-1: the audit needs it");
    assert_eq!(events[0].data["who"], "alice");
}

#[tokio::test]
async fn problems_stand_until_they_end_and_keep_their_acknowledgement() {
    let (_dir, store) = store().await;
    let subject = Subject::new(SubjectKind::Line, "golden");
    let problem =
        Problem::new(ProblemCode::BakeFailed, Severity::Warning, subject, at(0), "it failed".to_owned(), None);
    store.commit_problems(&[ProblemChange::Started(problem.clone())], at(1)).await.unwrap();
    let made = crate::domain::health::Acknowledgement {
        by: "alice".to_owned(),
        at: crate::domain::time::rfc3339_seconds(at(2)),
        until: None,
        reason: "known".to_owned(),
    };
    store.acknowledge_problem(&problem, Some(&made), "alice", at(2)).await.unwrap();
    let standing = store.reader().standing_problems().await.unwrap();
    assert_eq!((standing.len(), &standing[0].problem, standing[0].acknowledged.as_ref()), (1, &problem, Some(&made)));
    store.commit_problems(&[ProblemChange::Ended(problem)], at(3)).await.unwrap();
    assert_eq!(store.reader().standing_problems().await.unwrap(), []);
    let events = store.reader().events(&EventFilter { limit: 9, ..EventFilter::default() }).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.since)).collect();
    let since = Some(at(0).timestamp_millis());
    assert_eq!(kinds, [("problem_started", since), ("problem_acknowledged", since), ("problem_ended", since)]);
}

#[tokio::test]
async fn a_time_without_a_daemon_is_known_by_the_start_that_ends_it() {
    let (_dir, store) = store().await;
    let daemon = |kind| Event::new(kind, EventSeverity::Info, Subject::only(SubjectKind::Daemon), "x".to_owned());
    let at = |hour: u32| format!("2027-01-01T{hour:02}:00:00Z").parse::<DateTime<Utc>>().unwrap();
    let absence = async |slot, recorded| store.reader().absence(at(slot), at(recorded)).await.unwrap();
    store.record_event(at(1), daemon(EventType::DaemonStopped)).await.unwrap();
    assert_eq!(absence(2, 3).await, None);
    store.record_event(at(3), daemon(EventType::DaemonStarted)).await.unwrap();
    let ordered = Absence { last_event: Some(at(1)), stopped_in_order: true, started: at(3) };
    assert_eq!(absence(2, 3).await, Some(ordered));
    assert_eq!(absence(2, 2).await, None, "the row is older than the start");
    assert_eq!(absence(0, 3).await, None, "something was written after the slot");
    store.record_event(at(5), daemon(EventType::DaemonStarted)).await.unwrap();
    let killed = Absence { last_event: Some(at(3)), stopped_in_order: false, started: at(5) };
    assert_eq!(absence(4, 5).await, Some(killed));
}
