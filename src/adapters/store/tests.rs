use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, Executor, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    lines::LAST_DURATIONS, open_bakes::OPEN_BAKES, page::NEWEST_IMAGES_AFTER, row_for_tests::queued_row,
    schema::migrations_up_to, statement_list_tests::STATEMENTS, *,
};
use crate::domain::{
    api::{
        call::MadeImage,
        cause::Cause,
        identity::{ImageStatus, RemoteImage},
    },
    bake::{
        BakeSettings, State, Trigger,
        reason::ReasonCode,
        settings,
        state::{BakeWork, End, Resume, Suspended},
        waiting::{Wait, WaitReason},
    },
    calendar::zone::Zone,
    ids::{BakeId, InstanceId, LineId, ScheduleId},
    image::reconcile::{Comparison, Rebuilt, Tagged},
    pause::Pause,
};

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(super) fn settings() -> Arc<BakeSettings> {
    Arc::new(BakeSettings {
        auto_clean_userdata: Some(true),
        tags: [("team".to_owned(), "桌面".to_owned())].into(),
        ..settings::example()
    })
}

pub(super) fn row(schedule: &str, slot: DateTime<Utc>) -> NewRow {
    queued_row(schedule, "ecd-1", slot, settings())
}

pub(super) async fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    (dir, store)
}

#[tokio::test]
async fn every_statement_fits_the_schema() {
    let (_dir, store) = store().await;
    for (_, sql) in STATEMENTS {
        store
            .writer
            .connection()
            .await
            .unwrap()
            .prepare(sqlx::SqlStr::from_static(sql))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[tokio::test]
async fn a_slot_is_recorded_once_however_often_it_is_planned() {
    let (_dir, store) = store().await;
    let slot = at("2027-01-01T03:00:00Z");
    for _ in 0..3 {
        store.record_slots(&[row("golden", slot)], &[], "abc", slot).await.unwrap();
    }
    let rows = store.reader().history(&Filter { limit: 10, ..Filter::default() }).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].state, "queued");
}

#[tokio::test]
async fn a_due_bake_comes_back_whole() {
    let (_dir, store) = store().await;
    let slot = at("2027-01-01T03:00:00Z");
    store.record_slots(&[row("golden", slot)], &[], "abc", slot).await.unwrap();
    assert!(store.next_queued(slot - TimeDelta::seconds(1), 9, &[]).await.unwrap().is_empty());
    let due = store.next_queued(slot, 9, &[]).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].bake.settings, settings());
    assert_eq!(due[0].bake.state, State::Queued { not_before: slot, suspended: None });
    assert_eq!(due[0].last_version, 0);
}

#[tokio::test]
async fn an_ended_row_is_never_reopened_and_versions_never_go_back() {
    let (_dir, store) = store().await;
    let slot = at("2027-01-01T03:00:00Z");
    store.record_slots(&[row("golden", slot), row("other", slot)], &[], "abc", slot).await.unwrap();
    let work = |version| BakeWork { version, image_name: "x".into(), attempts: 1, ..BakeWork::default() };
    let of = |bake, state: State| {
        let reason = state.reason().map(str::to_owned);
        Transition {
            bake: BakeId(bake),
            line: LineId::from("golden"),
            state,
            reason,
            attempt: None,
            events: Vec::new(),
        }
    };
    let step = |state| of(1, state);
    let ended = State::Ended {
        work: Some(work(7)),
        end: End::Failed { image: None, permanent: false, code: ReasonCode::Refused, cause: None, reason: "no".into() },
    };
    store.commit(&[step(ended)], slot).await.unwrap();
    let reopened = State::Creating { work: work(3), sent_at: slot };
    for steps in [
        vec![step(reopened.clone())],
        vec![of(2, reopened.clone()), step(reopened.clone())],
        vec![of(2, reopened.clone()), of(99, reopened.clone())],
        // Of two steps of one bake only one can be meant.
        vec![of(2, reopened.clone()), of(2, reopened.clone())],
    ] {
        let refused = store.commit(&steps, slot).await;
        assert!(matches!(refused, Err(StoreError::WentBack)), "{refused:?}");
    }
    assert_eq!(store.reader().bake(BakeId(2)).await.unwrap().unwrap().state, "queued", "all or none");
    store.commit(&[of(2, reopened)], slot).await.unwrap();
    let row = store.reader().bake(BakeId(1)).await.unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.reason.as_deref()), ("failed", Some("no")));
    assert_eq!(store.reader().versions().await.unwrap()[&LineId::from("golden")], 7);
}

#[tokio::test]
async fn the_deadline_counts_from_the_slot_or_from_the_commit_that_caught_it_up() {
    let (_dir, store) = store().await;
    let slot = at("2027-01-01T03:00:00Z");
    let now = slot + TimeDelta::hours(30);
    let caught_up = NewRow { trigger: Trigger::CaughtUp, ..row("late", slot) };
    store.record_slots(&[row("golden", slot), caught_up], &[], "abc", now).await.unwrap();
    let deadline = TimeDelta::from_std(settings().deadline).unwrap();
    let give_up_at = async |id| store.bake(BakeId(id)).await.unwrap().unwrap().give_up_at;
    assert_eq!((give_up_at(1).await, give_up_at(2).await), (slot + deadline, now + deadline));
    // What is past its deadline is not offered, nor does it keep others of its instance waiting.
    for (now, wanted) in
        [(slot + deadline, (vec![1], vec![])), (now, (vec![2], vec![1])), (now + deadline, (vec![2], vec![1]))]
    {
        let ids = |due: Vec<DueBake>| due.iter().map(|due| due.bake.id.0).collect::<Vec<_>>();
        let offered = ids(store.next_queued(now, 9, &[]).await.unwrap());
        assert_eq!((offered, ids(store.overdue_queued(now).await.unwrap())), wanted, "at {now}");
    }
}

#[tokio::test]
async fn not_after_ends_a_row_before_its_deadline_does() {
    let (_dir, store) = store().await;
    let slot = at("2027-01-01T03:00:00Z");
    let not_after = chrono::NaiveTime::from_hms_opt(5, 0, 0);
    let until_five = BakeSettings {
        not_after,
        timezone: crate::domain::calendar::zone::Zone::UTC,
        ..BakeSettings::clone(&settings())
    };
    store
        .record_slots(&[NewRow { settings: Some(Arc::new(until_five)), ..row("golden", slot) }], &[], "abc", slot)
        .await
        .unwrap();
    let five = slot + TimeDelta::hours(2);
    assert_eq!(store.bake(BakeId(1)).await.unwrap().unwrap().give_up_at, five);
    assert_eq!(store.overdue_queued(five).await.unwrap().len(), 0);
    assert_eq!(store.overdue_queued(five + TimeDelta::milliseconds(1)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_an_older_version_caught_up_only_to_fail_gets_its_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).foreign_keys(true);
    let old = sqlx::SqlitePool::connect_with(options).await.unwrap();
    migrations_up_to(4).run(&old).await.unwrap();
    sqlx::query("INSERT INTO settings (hash, json) VALUES ('h', ?1)")
        .bind(serde_json::to_string(&*settings()).unwrap())
        .execute(&old)
        .await
        .unwrap();
    let progress = r#"{"state":"queued","not_before":"2027-01-01T03:00:00Z"}"#;
    for trigger in ["slot", "caught_up"] {
        sqlx::query(
            "INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, covers_from, settings,
                                config_hash, state, progress, wake_at, give_up_at, created_at)
             VALUES (?1, ?1, ?1, ?1, 1000, ?1, 1000, 'h', 'abc', 'queued', ?2, 1000, 1600, 9000)",
        )
        .bind(trigger)
        .bind(progress)
        .execute(&old)
        .await
        .unwrap();
    }
    old.close().await;
    let store = Store::open(dir.path()).await.unwrap();
    let give_up_at = async |id| store.bake(BakeId(id)).await.unwrap().unwrap().give_up_at.timestamp_millis();
    assert_eq!((give_up_at(1).await, give_up_at(2).await), (1600, 9600));
}

#[tokio::test]
async fn a_second_store_on_the_same_directory_is_refused() {
    let (dir, store) = store().await;
    let error = Store::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    store.close().await;
    drop(store);
    Store::open(dir.path()).await.unwrap();
}

#[tokio::test]
async fn a_newer_database_is_left_as_it_is() {
    let (dir, store) = store().await;
    assert_eq!(store.reader().examine().await.unwrap(), Vec::<String>::new());
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', 1, x'00', 0)",
    )
    .execute(&mut *store.writer.connection().await.unwrap())
    .await
    .unwrap();
    let error = store.reader().examine().await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { version: 9999, .. }), "{error}");
    store.close().await;
    drop(store);
    let error = Store::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { version: 9999, .. }), "{error}");
}

#[tokio::test]
async fn a_history_from_before_the_hooks_keeps_its_rows_and_takes_the_new_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).foreign_keys(true);
    let old = sqlx::SqlitePool::connect_with(options).await.unwrap();
    migrations_up_to(2).run(&old).await.unwrap();
    let slot = at("2027-01-01T03:00:00Z");
    let settings = serde_json::to_string(&*settings()).unwrap();
    sqlx::query("INSERT INTO settings (hash, json) VALUES ('h', ?1)").bind(settings).execute(&old).await.unwrap();
    let insert = "
        INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, covers_from, settings, config_hash,
                           state, progress, wake_at, created_at, region)
        SELECT value, value, 'ecd-' || value, value, ?1, 'slot', ?1, 'h', 'abc', ?2, ?3, ?1, ?1, 'cn-hangzhou'
        FROM json_each('[\"a\", \"b\"]')";
    let bind = |state: &'static str| {
        let progress = r#"{"state":"queued","not_before":"2027-01-01T03:00:00Z"}"#;
        sqlx::query(insert).bind(slot.timestamp_millis()).bind(state).bind(progress)
    };
    bind("preparing").execute(&old).await.unwrap_err();
    bind("queued").execute(&old).await.unwrap();
    sqlx::query(
        "INSERT INTO attempts (bake_id, stage, call, started_at, finished_at, outcome) VALUES (1, 'stop', 'x', 1, 2, 'ok')",
    )
    .execute(&old)
    .await
    .unwrap();
    old.close().await;

    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.next_queued(slot, 9, &[]).await.unwrap().len(), 2);
    let work = BakeWork { version: 1, image_name: "x".into(), ..BakeWork::default() };
    let end = End::Skipped { code: ReasonCode::Paused, reason: "vetoed".into() };
    let step = |id, state| Transition {
        bake: BakeId(id),
        line: LineId::from("a"),
        state,
        reason: None,
        attempt: Some(Attempt {
            stage: "hook",
            call: "hook before 1".into(),
            started_at: slot,
            finished_at: slot,
            outcome: "veto",
            code: None,
            http_status: None,
            request_id: None,
            message: Some("no".into()),
            success: None,
            answer: None,
        }),
        events: Vec::new(),
    };
    let preparing = State::Preparing { work: work.clone(), hook: Some(0), next: slot };
    let finishing = State::Finishing { work, end: Some(end), done: 0, next: slot };
    store.commit(&[step(1, preparing.clone()), step(2, finishing.clone())], slot).await.unwrap();
    let due: Vec<_> = store.due(slot).await.unwrap().into_iter().map(|due| due.bake.state).collect();
    assert_eq!(due, [preparing, finishing]);
    assert_eq!(
        store.busy_builders().await.unwrap(),
        [("cn-hangzhou".to_owned(), 1)].into(),
        "finishing builds nothing"
    );
    let calls = store.reader().attempts(BakeId(1)).await.unwrap();
    assert_eq!(calls.iter().map(|call| call.stage.as_str()).collect::<Vec<_>>(), ["stop", "hook"]);
    // Other tables still point to the one that was made anew, and the file is sound.
    sqlx::query("UPDATE attempts SET stage = 'pondering'")
        .execute(&mut *store.writer.connection().await.unwrap())
        .await
        .unwrap_err();
    let sound: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut *store.writer.connection().await.unwrap())
        .await
        .unwrap();
    let writable: i64 = sqlx::query_scalar("PRAGMA writable_schema")
        .fetch_one(&mut *store.writer.connection().await.unwrap())
        .await
        .unwrap();
    assert_eq!((sound.as_str(), writable), ("ok", 0));
    sqlx::query("DELETE FROM bakes").execute(&mut *store.writer.connection().await.unwrap()).await.unwrap();
    assert!(store.reader().attempts(BakeId(1)).await.unwrap().is_empty(), "calls go with their bake");
}

#[tokio::test]
async fn a_bake_that_waits_for_users_is_found_again_without_a_pending_start() {
    let (_dir, store) = store().await;
    let slot = at("2027-01-01T03:00:00Z");
    store.record_slots(&[row("golden", slot), row("other", slot)], &[], "abc", slot).await.unwrap();
    let work = BakeWork { version: 4, image_name: "x".into(), ..BakeWork::default() };
    let waiting = Wait { since: slot, why: "waits for alice".into(), on: WaitReason::Users, times: 1 };
    let waits = BakeWork { waiting: Some(waiting), ..work.clone() };
    let later = slot + TimeDelta::hours(3);
    let waits =
        State::Queued { not_before: later, suspended: Some(Suspended { work: waits, resume: Resume::Instance }) };
    let pending = State::Starting {
        work: BakeWork { restart_pending: true, ..work },
        end: Some(End::Skipped { code: ReasonCode::Paused, reason: "no".into() }),
        tries: 1,
        stop_unconfirmed: false,
        since: Some(slot),
        start_sent: false,
        refused_since: None,
        last_error: Some("no stock".into()),
        next: later,
    };
    let step = |id, state: &State| Transition {
        bake: BakeId(id),
        line: LineId::from("golden"),
        state: state.clone(),
        reason: state.reason().map(str::to_owned),
        attempt: None,
        events: Vec::new(),
    };
    store.commit(&[step(1, &waits), step(2, &pending)], slot).await.unwrap();
    let row = store.reader().bake(BakeId(1)).await.unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.version, row.reason.as_deref()), ("queued", Some(4), Some("waits for alice")));
    assert!(store.next_queued(slot, 9, &[]).await.unwrap().is_empty());
    // A clock that was set back must not delay the next poll.
    store.clamp_wakeups_after_clock_step(slot, slot).await.unwrap();
    assert!(store.busy_builders().await.unwrap().is_empty());
    let pending_rows = store.reader().pending_restarts().await.unwrap();
    assert_eq!(
        pending_rows.iter().map(|pending_rows| (pending_rows.bake, &pending_rows.state)).collect::<Vec<_>>(),
        [(BakeId(2), &pending)]
    );
    let ended = State::Ended { work: None, end: End::Skipped { code: ReasonCode::Paused, reason: "no".into() } };
    store.commit(&[step(2, &ended)], slot).await.unwrap();
    let next = store.next_queued(slot, 9, &[]).await.unwrap();
    assert_eq!(next.iter().map(|due| &due.bake.state).collect::<Vec<_>>(), [&waits]);
    assert_eq!(store.reader().pending_restarts().await.unwrap(), []);
}

#[tokio::test]
async fn what_a_bake_holds_is_written_with_its_state() {
    let (_dir, store) = store().await;
    let slot = at("2027-01-01T03:00:00Z");
    store.record_slots(&[row("golden", slot)], &[], "abc", slot).await.unwrap();
    let holds = async || -> (bool, bool) {
        let query = sqlx::query_as("SELECT holds_builder, holds_instance FROM bakes WHERE id = 1");
        query.fetch_one(&store.reader().pool).await.unwrap()
    };
    assert_eq!(holds().await, (false, false), "a new row is in the queue");
    let work = || BakeWork { version: 1, image_name: "x".into(), ..BakeWork::default() };
    let end = || End::Skipped { code: ReasonCode::Paused, reason: "no".into() };
    let states = [
        State::Preparing { work: work(), hook: None, next: slot },
        State::Creating { work: work(), sent_at: slot },
        State::Unknown { work: work(), since: slot, polls: 1, next: slot, why: "lost".into() },
        State::Queued { not_before: slot, suspended: Some(Suspended { work: work(), resume: Resume::Instance }) },
        State::Finishing { work: work(), end: Some(end()), done: 0, next: slot },
        State::Ended { work: Some(work()), end: end() },
    ];
    for state in states {
        let (line, wanted) = ("golden".into(), (state.holds_builder(), state.holds_instance()));
        let step =
            Transition { bake: BakeId(1), line, state: state.clone(), reason: None, attempt: None, events: Vec::new() };
        store.commit(&[step], slot).await.unwrap();
        assert_eq!(holds().await, wanted, "{state:?}");
        assert_eq!(store.busy_builders().await.unwrap().len(), usize::from(wanted.0), "{state:?}");
    }
}

#[tokio::test]
async fn open_bakes_of_an_older_history_hold_what_their_states_say() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).foreign_keys(true);
    let old = sqlx::SqlitePool::connect_with(options).await.unwrap();
    migrations_up_to(7).run(&old).await.unwrap();
    for state in State::WORDS {
        sqlx::query(
            "INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, covers_from, config_hash, state,
                                progress, created_at, finished_at)
             VALUES (?1, ?1, ?1, ?1, 1000, 'slot', 1000, 'abc', ?1, ?3, 1000, ?2)",
        )
        .bind(state)
        .bind(["succeeded", "failed", "skipped", "cancelled"].contains(&state).then_some(2000))
        .bind(format!(r#"{{"state":"{state}","work":{{"owes_start":{}}}}}"#, state == "starting"))
        .execute(&old)
        .await
        .unwrap();
    }
    old.close().await;
    let store = Store::open(dir.path()).await.unwrap();
    let with = async |column: &str| -> Vec<String> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT state FROM bakes WHERE {column} ORDER BY state"));
        sqlx::query_scalar(sql).fetch_all(&store.reader().pool).await.unwrap()
    };
    let builders = ["building", "creating", "preparing", "ready", "stopping", "unknown"];
    assert_eq!(with("holds_builder").await, builders);
    let instances = ["building", "creating", "finishing", "preparing", "ready", "starting", "stopping", "unknown"];
    assert_eq!(with("holds_instance").await, instances);
    assert_eq!(with("finished_at IS NULL AND progress ->> '$.work.restart_pending'").await, ["starting"]);
}

#[tokio::test]
async fn an_export_of_an_older_history_can_be_imported() {
    let document = r#"{"imagebaked_ledger":{"format":1,"migration":9,"rows":{"looks":1}},
        "tables":{"looks":[{"id":1,"at":5,"problem":null,"since":null,"whole_at":5}]}}"#;
    let dir = tempfile::tempdir().unwrap();
    import(dir.path(), document.as_bytes(), DateTime::UNIX_EPOCH, &|_| {}).await.unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let scan: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe("SELECT whole_at FROM inventory_scan".to_owned()))
        .fetch_one(&store.reader().pool)
        .await
        .unwrap();
    assert_eq!(scan, 5);
}

#[tokio::test]
async fn something_else_than_a_database_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    let text = "not a database, but dear to somebody".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let error = Store::open(dir.path()).await.unwrap_err();
    assert!(error.to_string().contains("left as it is"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn the_reader_cannot_write_and_the_audit_cannot_be_changed() {
    let (_dir, store) = store().await;
    let insert = "INSERT INTO audit (at, who, action, detail) VALUES (1, 'uid 0', 'bake', 'x')";
    sqlx::query(insert).execute(&store.reader().pool).await.unwrap_err();
    sqlx::query(insert).execute(&mut *store.writer.connection().await.unwrap()).await.unwrap();
    sqlx::query("UPDATE audit SET who = 'nobody'")
        .execute(&mut *store.writer.connection().await.unwrap())
        .await
        .unwrap_err();
    sqlx::query("DELETE FROM audit").execute(&mut *store.writer.connection().await.unwrap()).await.unwrap_err();
}

#[tokio::test]
async fn history_pages_without_gaps_or_doubles() {
    let (_dir, store) = store().await;
    let start = at("2027-01-01T03:00:00Z");
    let rows: Vec<_> =
        (0..50).flat_map(|day| ["a", "b"].map(|schedule| row(schedule, start + TimeDelta::days(day)))).collect();
    store.record_slots(&rows, &[], "abc", start).await.unwrap();
    let mut seen = Vec::new();
    let mut filter = Filter { limit: 7, ..Filter::default() };
    loop {
        let page = store.reader().history(&filter).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.before = Some((last.slot(), BakeId(last.id)));
        seen.extend(page.iter().map(|row| row.id));
    }
    assert_eq!(seen.len(), 100);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 100);
}

#[tokio::test]
async fn the_queue_is_fair_and_gives_each_instance_to_one() {
    let (_dir, store) = store().await;
    let slot = at("2027-01-01T03:00:00Z");
    let on = |schedule: &str, instance: &str, minute| NewRow {
        instance_id: InstanceId::from(instance),
        ..row(schedule, slot + TimeDelta::minutes(minute))
    };
    let rows = [on("late", "ecd-1", 2), on("early", "ecd-1", 0), on("other", "ecd-2", 1), on("third", "ecd-3", 1)];
    store.record_slots(&rows, &[], "abc", slot).await.unwrap();
    let names = |due: Vec<DueBake>| due.into_iter().map(|due| due.bake.schedule.to_string()).collect::<Vec<_>>();
    let now = slot + TimeDelta::minutes(5);
    assert_eq!(names(store.next_queued(now, 2, &[]).await.unwrap()), ["early", "other"]);
    assert_eq!(names(store.next_queued(now, 9, &[]).await.unwrap()), ["early", "other", "third"]);
    let work = BakeWork { version: 1, image_name: "x".into(), attempts: 0, ..BakeWork::default() };
    let begun = State::Creating { work, sent_at: now };
    store
        .commit(
            &[Transition {
                bake: BakeId(2),
                line: LineId::from("early"),
                state: begun,
                reason: None,
                attempt: None,
                events: Vec::new(),
            }],
            now,
        )
        .await
        .unwrap();
    assert_eq!(names(store.next_queued(now, 9, &[]).await.unwrap()), ["other", "third"]);
    assert_eq!(store.busy_builders().await.unwrap(), [("cn-hangzhou".to_owned(), 1)].into());
    assert!(store.next_queued(now, 9, &["cn-hangzhou"]).await.unwrap().is_empty(), "a full region");
    assert!(store.overdue_queued(slot + TimeDelta::hours(4)).await.unwrap().is_empty());
    let late = store.overdue_queued(slot + TimeDelta::hours(4) + TimeDelta::seconds(90)).await.unwrap();
    assert_eq!(names(late), ["other", "third"]);
}

#[tokio::test]
async fn what_the_cloud_knows_is_added_and_nothing_is_overwritten() {
    let (_dir, store) = store().await;
    let slot = at("2027-01-01T03:00:00Z");
    store.record_slots(&[row("golden", slot), row("other", slot)], &[], "abc", slot).await.unwrap();
    let work = |version| BakeWork { version, image_name: "x".into(), attempts: 1, ..BakeWork::default() };
    let later = slot + TimeDelta::minutes(9);
    let unknown = State::Unknown { work: work(3), since: slot, polls: 4, next: later, why: "lost".into() };
    let step = Transition {
        bake: BakeId(1),
        line: LineId::from("golden"),
        state: unknown,
        reason: None,
        attempt: None,
        events: Vec::new(),
    };
    store.commit(&[step], slot).await.unwrap();
    assert!(store.due(slot).await.unwrap().is_empty());

    let rebuilt = |line: &str, slot, version| Rebuilt {
        schedule_id: ScheduleId::from(line),
        schedule: line.into(),
        instance_id: InstanceId::from("ecd-1"),
        tagged: Tagged { schedule_id: line.into(), line: line.into(), slot, version },
        image: RemoteImage {
            image_id: format!("imgc-{version}").into(),
            version_id: None,
            name: format!("{line}-v{version}"),
            status: ImageStatus::Available,
            tags: [].into(),
            kind: None,
            made_at: crate::domain::api::gmt_offset::parse("2026-12-31 11:20:00"),
        },
        checked_by: (version == 5).then(settings),
    };
    let found = Comparison {
        differences: Vec::new(),
        versions: vec![("golden".into(), 2), ("other".into(), 5)],
        rows: vec![rebuilt("other", slot, 4), rebuilt("other", slot - TimeDelta::days(1), 5)],
        unknown: vec![BakeId(1)],
        ..Comparison::default()
    };
    store.rebuild(&found, "uid 0", "abc", slot).await.unwrap();
    let due = store.due(slot).await.unwrap();
    assert_eq!(due.iter().map(|due| due.bake.id).collect::<Vec<_>>(), [BakeId(1)]);
    let versions = store.reader().versions().await.unwrap();
    assert_eq!((versions[&LineId::from("golden")], versions[&LineId::from("other")]), (3, 5));
    let queued = store.reader().bake(BakeId(2)).await.unwrap().unwrap();
    assert_eq!((queued.state.as_str(), queued.version), ("queued", None));
    let images = store.reader().present_images(None).await.unwrap();
    let [image] = images.as_slice() else { panic!("{images:?}") };
    assert_eq!((image.image.image_id.as_str(), image.image.version), ("imgc-5", 5));
    assert_eq!(image.image.available_at, at("2026-12-31T03:20:00Z"), "when it was made, not when it was found");
    assert!(store.reader().bake(BakeId(3)).await.unwrap().unwrap().record().rebuilt);
    let recorded = store.reader().recorded(&[]).await.unwrap();
    assert_eq!(recorded.len(), 3);
    assert_eq!(recorded.iter().filter(|row| row.ended).count(), 1);
}

#[tokio::test]
async fn a_range_answers_for_the_slots_it_covers() {
    let (_dir, store) = store().await;
    let slot = at("2027-01-09T03:00:00Z");
    let range = NewRow { first_slot: slot - TimeDelta::days(5), slot_count: 6, ..row("golden", slot) };
    store.record_slots(&[range, row("golden", slot + TimeDelta::days(1))], &[], "abc", slot).await.unwrap();
    let covering = async |days| {
        let at = slot + TimeDelta::days(days);
        store.reader().row_covering("golden", "ecd-1", at).await.unwrap().map(|row| row.id)
    };
    assert_eq!(covering(-6).await, None);
    assert_eq!(covering(-5).await, Some(1));
    assert_eq!(covering(0).await, Some(1));
    assert_eq!(covering(1).await, Some(2));
    assert_eq!(covering(2).await, None);
}

#[tokio::test]
async fn permanent_failures_are_counted_until_a_success() {
    let (_dir, store) = store().await;
    let start = at("2027-01-01T03:00:00Z");
    let rows: Vec<_> = (0..9).map(|day| row("golden", start + TimeDelta::days(day))).collect();
    store.record_slots(&rows, &[], "abc", start).await.unwrap();
    let end = async |id: i64, end: End| {
        let state = State::Ended { work: None, end };
        let step = Transition {
            bake: BakeId(id),
            line: LineId::from("golden"),
            state,
            reason: None,
            attempt: None,
            events: Vec::new(),
        };
        store.commit(&[step], start).await.unwrap();
        store.too_many_failures(2).await.unwrap()
    };
    let failed_for = |cause, permanent| {
        let (image, code) = (None, ReasonCode::Refused);
        End::Failed { image, permanent, code, cause, reason: "no".into() }
    };
    let failed = |permanent| failed_for(None, permanent);
    let image = || MadeImage { image_id: "imgc-1".into(), version_id: None, task_id: None };
    assert_eq!(end(1, failed(true)).await, []);
    assert_eq!(end(2, failed(false)).await, [], "what may go away by itself does not count");
    assert_eq!(end(3, End::Succeeded { image: image(), reason: "made".into() }).await, []);
    assert_eq!(end(4, failed(true)).await, []);
    assert_eq!(end(5, failed(true)).await, [(ScheduleId::from("golden"), 2)]);
    let pause = Pause {
        schedule_id: "golden".into(),
        since: start,
        until: None,
        reason: "failed too often".into(),
        who: ITSELF.into(),
    };
    store.pause(&pause, Zone::UTC).await.unwrap();
    assert_eq!(store.too_many_failures(2).await.unwrap(), [], "paused once");
    assert_eq!(store.reader().pauses().await.unwrap()[&ScheduleId::from("golden")], pause);
    store.resume(&"golden".into(), "uid 0", "fixed", start).await.unwrap();
    assert!(store.reader().pauses().await.unwrap().is_empty());
    assert_eq!(end(6, failed(true)).await, [], "a clean slate");
    assert_eq!(
        end(7, failed_for(Some(Cause::Quota), true)).await,
        [],
        "the account's quota is no fault of the schedule"
    );
    assert_eq!(end(8, failed_for(Some(Cause::Instance), true)).await, [(ScheduleId::from("golden"), 2)]);
    store.pause(&pause, Zone::UTC).await.unwrap();
    assert_eq!(store.recovered_schedules().await.unwrap(), []);
    end(9, End::Succeeded { image: image(), reason: "made".into() }).await;
    assert_eq!(store.recovered_schedules().await.unwrap(), [ScheduleId::from("golden")]);
    store.pause(&Pause { who: "uid 0".into(), ..pause }, Zone::UTC).await.unwrap();
    assert_eq!(store.recovered_schedules().await.unwrap(), [], "a person's pause is ended by a person");
}

#[tokio::test]
async fn only_results_about_images_count_for_the_newest() {
    let (_dir, store) = store().await;
    let start = at("2027-01-01T03:00:00Z");
    let rows: Vec<_> = (0..5).map(|day| row("golden", start + TimeDelta::days(day))).collect();
    store.record_slots(&rows, &[], "abc", start).await.unwrap();
    let line = rows[0].line.clone();
    let failed = |cause| {
        let (image, code) = (None, ReasonCode::Refused);
        End::Failed { image, permanent: true, code, cause, reason: "no".into() }
    };
    let newest = async |id: i64, end: End| {
        let state = State::Ended { work: None, end };
        let step =
            Transition { bake: BakeId(id), line: line.clone(), state, reason: None, attempt: None, events: Vec::new() };
        store.commit(&[step], start).await.unwrap();
        let row = store.reader().bake(BakeId(id)).await.unwrap().unwrap();
        let results = store.reader().newest_results(std::slice::from_ref(&line)).await.unwrap();
        (row.cause, results.get(&line).map(|newest| (newest.bake.0, newest.succeeded)))
    };
    let image = MadeImage { image_id: "imgc-1".into(), version_id: None, task_id: None };
    let succeeded = End::Succeeded { image, reason: "made".into() };
    assert_eq!(newest(1, succeeded).await, (None, Some((1, true))));
    assert_eq!(newest(2, failed(Some(Cause::Quota))).await, (Some("quota".into()), Some((1, true))));
    assert_eq!(newest(3, failed(Some(Cause::Image))).await, (Some("image".into()), Some((3, false))));
    assert_eq!(newest(4, failed(Some(Cause::Outage))).await, (Some("outage".into()), Some((3, false))));
    assert_eq!(newest(5, failed(None)).await, (None, Some((5, false))), "an unknown cause may be the image");
}

#[tokio::test]
async fn failures_of_an_older_version_get_the_cause_of_their_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).foreign_keys(true);
    let old = sqlx::SqlitePool::connect_with(options).await.unwrap();
    migrations_up_to(6).run(&old).await.unwrap();
    let cases = [
        ("failed", Some("stuck"), None, Some("image")),
        ("failed", Some("created_failed"), None, Some("image")),
        ("failed", Some("quota"), Some("ExceedBuilderQuota"), Some("quota")),
        ("failed", Some("hook_failed"), None, Some("hook")),
        ("failed", Some("refused"), Some("Instance.ImageUnsupported"), Some("instance")),
        ("failed", Some("refused"), Some("Forbidden.RAM"), Some("credentials")),
        ("failed", Some("refused"), Some("NeverHeardOf"), None),
        ("failed", Some("deadline"), None, None),
        ("failed", None, None, None),
        ("skipped", Some("quota"), None, None),
        ("succeeded", None, None, None),
    ];
    for (slot, (state, reason_code, code, _)) in cases.iter().enumerate() {
        let id = sqlx::query(
            "INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, covers_from, config_hash, state,
                                progress, reason_code, created_at, finished_at)
             VALUES ('a', 'a', 'a', 'a', ?1, 'slot', ?1, 'abc', ?2, '{}', ?3, 1, 1)",
        )
        .bind(i64::try_from(slot).unwrap())
        .bind(state)
        .bind(reason_code)
        .execute(&old)
        .await
        .unwrap()
        .last_insert_rowid();
        let attempts = [("create", "permanent", code.as_deref()), ("start", "ok", None)];
        for (stage, outcome, code) in attempts.iter().filter(|_| code.is_some()) {
            sqlx::query(
                "INSERT INTO attempts (bake_id, stage, call, started_at, finished_at, outcome, code)
                 VALUES (?1, ?2, 'call', 1, 1, ?3, ?4)",
            )
            .bind(id)
            .bind(stage)
            .bind(outcome)
            .bind(code)
            .execute(&old)
            .await
            .unwrap();
        }
    }
    old.close().await;
    let store = Store::open(dir.path()).await.unwrap();
    for (id, (.., cause)) in (1..).zip(cases) {
        let row = store.reader().bake(BakeId(id)).await.unwrap().unwrap();
        assert_eq!(row.cause.as_deref(), cause, "{row:?}");
    }
}

/// A bake of so many days later that succeeded and took so long, with its calls or without.
async fn bake(store: &Store, line: &str, day: i64, took: TimeDelta, called: bool) {
    let slot = at("2027-01-01T03:00:00Z") + TimeDelta::days(day);
    store.record_slots(&[row(line, slot)], &[], "abc", slot).await.unwrap();
    let filter = Filter { schedule: None, limit: 1, since: Some(slot), until: Some(slot), ..Filter::default() };
    let id = BakeId(store.reader().history(&filter).await.unwrap()[0].id);
    let version = u32::try_from(day).unwrap() + 1;
    let work = BakeWork { version, image_name: "x".into(), attempts: 1, ..BakeWork::default() };
    let attempt = |stage, started_at| Attempt {
        stage,
        call: "CreateImageByInstance".into(),
        started_at,
        finished_at: started_at + TimeDelta::seconds(1),
        outcome: "ok",
        code: None,
        http_status: Some(200),
        request_id: None,
        message: None,
        success: None,
        answer: None,
    };
    let step = |state, attempt| Transition {
        bake: id,
        line: LineId::from(line),
        reason: None,
        state,
        attempt,
        events: Vec::new(),
    };
    let begun = slot + TimeDelta::minutes(7);
    if called {
        let creating = State::Creating { work: work.clone(), sent_at: begun };
        store.commit(&[step(creating, Some(attempt("stop", begun)))], begun).await.unwrap();
    }
    let image = MadeImage { image_id: "imgc-1".into(), version_id: None, task_id: None };
    let ended = State::Ended { work: Some(work), end: End::Succeeded { image, reason: "good".into() } };
    let last = called.then(|| attempt("create", begun + TimeDelta::minutes(1)));
    store.commit(&[step(ended, last)], begun + took).await.unwrap();
}

#[tokio::test]
async fn durations_are_of_the_last_ten_bakes_that_made_calls() {
    let (_dir, store) = store().await;
    assert!(store.reader().durations().await.unwrap().is_empty());
    for day in 0..9 {
        bake(&store, "golden", day, TimeDelta::hours(5), true).await;
    }
    for day in 9..15 {
        bake(&store, "golden", day, TimeDelta::minutes(20), true).await;
    }
    // One whose end lies before its beginning, by a clock that was set back, and rows that know nothing of calls.
    bake(&store, "golden", 15, TimeDelta::minutes(-90), true).await;
    for day in 16..30 {
        bake(&store, "golden", day, TimeDelta::seconds(1), false).await;
    }
    let durations = store.reader().durations().await.unwrap();
    assert_eq!(durations.learned(&LineId::from("golden")), Some(Duration::from_mins(20)));
    assert_eq!(durations.learned(&LineId::from("other")), Some(Duration::from_mins(20)));
}

#[tokio::test]
async fn durations_and_lines_are_found_by_index() {
    let (_dir, store) = store().await;
    for sql in [LAST_DURATIONS, OPEN_BAKES, NEWEST_IMAGES_AFTER] {
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .bind(10)
                .fetch_all(&store.reader().pool)
                .await
                .unwrap();
        let scans: Vec<_> = plan.iter().map(|row| &row.3).filter(|step| step.starts_with("SCAN")).collect();
        // All lines are wanted, and all open bakes; nothing else is read whole.
        let allowed = |step: &str| {
            ["SCAN l", "SCAN newest", "VIRTUAL TABLE", "INDEX bakes_open"].iter().any(|scan| step.contains(scan))
        };
        assert!(scans.iter().all(|step| allowed(step)), "{plan:?}");
    }
}

#[tokio::test]
async fn open_bakes_show_their_stage() {
    let (_dir, store) = store().await;
    let slot = at("2027-01-01T03:00:00Z");
    bake(&store, "done", 1, TimeDelta::minutes(20), true).await;
    store.record_slots(&[row("waits", slot), row("works", slot)], &[], "abc", slot).await.unwrap();
    let work = BakeWork { version: 1, image_name: "x".into(), attempts: 0, ..BakeWork::default() };
    let begun = State::Creating { work, sent_at: slot };
    let step = Transition {
        bake: BakeId(3),
        line: LineId::from("works"),
        state: begun,
        reason: None,
        attempt: None,
        events: Vec::new(),
    };
    store.commit(&[step], slot).await.unwrap();
    let open = store.reader().open_bakes().await.unwrap();
    let report: Vec<_> = open.iter().map(|bake| (bake.line.as_str(), bake.region.as_str(), bake.stage)).collect();
    let queued = OpenStage::Queued { not_before: slot, give_up_at: slot + TimeDelta::hours(4) };
    let region = "cn-hangzhou";
    assert_eq!(report, [("waits", region, queued), ("works", region, OpenStage::Begun { at: None })]);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_no_other_from_being_baked() {
    let (_dir, store) = store().await;
    let slot = at("2027-01-01T03:00:00Z");
    let on = |schedule: &str, instance: &str| NewRow { instance_id: InstanceId::from(instance), ..row(schedule, slot) };
    store.record_slots(&[on("odd", "ecd-1"), on("even", "ecd-2")], &[], "abc", slot).await.unwrap();
    sqlx::query("UPDATE bakes SET progress = '{\"state\":\"levitating\"}' WHERE id = 1")
        .execute(&mut *store.writer.connection().await.unwrap())
        .await
        .unwrap();
    for _ in 0..2 {
        let due = store.next_queued(slot, 9, &[]).await.unwrap();
        assert_eq!(due.iter().map(|due| due.bake.id.0).collect::<Vec<_>>(), [2]);
    }
    assert_eq!(store.unreadable.lock().unwrap().len(), 1, "reported once");
}

/// `synchronous` of the current writing connection; 2 is FULL.
async fn synchronous(store: &Store) -> (i64, i64) {
    let mut connection = store.writer.connection().await.unwrap();
    let full: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await.unwrap();
    let keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(&mut *connection).await.unwrap();
    (full, keys)
}

#[tokio::test]
async fn a_commit_is_on_the_disk_before_its_effect_also_after_a_renewal() {
    let (_dir, store) = store().await;
    assert_eq!(synchronous(&store).await, (2, 1));
    drop(store.begin().await.unwrap());
    assert!(store.is_suspect(), "a transaction came to nothing");
    assert_eq!(synchronous(&store).await, (2, 1));
    store.probe().await.unwrap();
    assert!(!store.is_suspect());
}

#[tokio::test]
async fn whatever_fails_the_next_transaction_begins_on_a_sound_connection() {
    let (dir, store) = store().await;
    let slot = at("2027-01-01T03:00:00Z");
    let writes = async |n: i64| {
        let slot = slot + TimeDelta::hours(n);
        store.record_slots(&[row("golden", slot)], &[], "abc", slot).await.unwrap();
        let rows = store.reader().history(&Filter { limit: 100, ..Filter::default() }).await.unwrap();
        assert_eq!(i64::try_from(rows.len()).unwrap(), n);
    };
    writes(1).await;

    // A full disk, in a statement: no more pages than there are.
    let mut connection = store.writer.connection().await.unwrap();
    sqlx::query("PRAGMA max_page_count = 1").execute(&mut *connection).await.unwrap();
    drop(connection);
    let many: Vec<_> = (0..2000).map(|n| row("other", slot + TimeDelta::seconds(n))).collect();
    let error = store.record_slots(&many, &[], "abc", slot).await.unwrap_err();
    assert!(crate::domain::error::chain(&error).contains("database or disk is full"), "{error:?}");
    writes(2).await;

    // In the commit itself.
    let mut tx = store.begin().await.unwrap();
    sqlx::query("PRAGMA defer_foreign_keys = ON").execute(&mut *tx).await.unwrap();
    let orphan = "INSERT INTO attempts (bake_id, stage, call, started_at, finished_at, outcome) VALUES (99, 'stop', 'x', 1, 2, 'ok')";
    sqlx::query(orphan).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap_err();
    writes(3).await;

    // Somebody else writes.
    let options = SqliteConnectOptions::new().filename(dir.path().join(DATABASE_FILE));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let mut connection = store.writer.connection().await.unwrap();
    sqlx::query("PRAGMA busy_timeout = 0").execute(&mut *connection).await.unwrap();
    drop(connection);
    let error = store.record_slots(&many, &[], "abc", slot).await.unwrap_err();
    assert!(crate::domain::error::chain(&error).contains("locked"), "{error:?}");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    writes(4).await;

    // A task that was cancelled in the middle.
    let half = async {
        let _tx = store.begin().await.unwrap();
        std::future::pending::<()>().await;
    };
    tokio::time::timeout(Duration::from_millis(50), half).await.unwrap_err();
    writes(5).await;
    assert_eq!(store.reader().examine().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_lost_its_name_takes_no_transaction_but_the_end_of_what_was_begun() {
    let (dir, store) = store().await;
    let slot = at("2027-01-01T03:00:00Z");
    store.record_slots(&[row("golden", slot)], &[], "abc", slot).await.unwrap();
    store.settle().await.unwrap();
    assert!(store.replaced().is_none());
    std::fs::rename(dir.path().join(DATABASE_FILE), dir.path().join("moved")).unwrap();
    let error = store.record_slots(&[row("golden", slot + TimeDelta::hours(1))], &[], "abc", slot).await.unwrap_err();
    assert!(matches!(error, StoreError::Replaced { .. }), "{error}");
    let end = State::Ended {
        work: None,
        end: End::Failed { image: None, permanent: false, code: ReasonCode::Refused, cause: None, reason: "no".into() },
    };
    let step = [Transition {
        bake: BakeId(1),
        line: LineId::from("golden"),
        state: end,
        reason: None,
        attempt: None,
        events: Vec::new(),
    }];
    store.commit(&step, slot).await.unwrap_err();
    store.detach();
    store.commit(&step, slot).await.unwrap();
    store.probe().await.unwrap_err();
    let saved = store.save_copy(slot).await.unwrap();
    store.close().await;
    assert!(store.put_back(&saved).unwrap() && !store.put_back(&saved).unwrap());
    drop(store);
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.reader().bake(BakeId(1)).await.unwrap().unwrap().state, "failed");
    assert_eq!(store.lineage(), Lineage::Interrupted);
}

#[tokio::test]
async fn what_a_start_finds_depends_on_the_end_before_it() {
    let (dir, store) = store().await;
    assert_eq!(store.lineage(), Lineage::Empty);
    let slot = at("2027-01-01T03:00:00Z");
    store.record_slots(&[row("golden", slot)], &[], "abc", slot).await.unwrap();
    store.close().await;
    drop(store);
    let reopened = async || Store::open(dir.path()).await.unwrap();
    let store = reopened().await;
    assert_eq!(store.lineage(), Lineage::Empty, "it has not been compared with the cloud yet");
    store.settle().await.unwrap();
    store.close().await;
    drop(store);
    let store = reopened().await;
    assert_eq!(store.lineage(), Lineage::Continued);
    store.abandon().await;
    drop(store);
    let store = reopened().await;
    assert_eq!(store.lineage(), Lineage::Interrupted);
    store.settle().await.unwrap();
    let copy = std::fs::read(dir.path().join(DATABASE_FILE)).unwrap();
    store.close().await;
    drop(store);
    std::fs::write(dir.path().join(DATABASE_FILE), copy).unwrap();
    assert_eq!(reopened().await.lineage(), Lineage::Restored);
}

/// What the cloud's word does to the queue of a clock that was ahead: rows end that never sent a create call.
#[tokio::test]
async fn the_queue_of_a_clock_that_was_ahead_ends_once_the_cloud_confirms_it() {
    let (_dir, store) = store().await;
    let (now, written) = (at("2027-01-01T03:00:00Z"), at("2028-01-01T03:00:00Z"));
    let soon = now + TimeDelta::hours(3);
    let on = |schedule: &str, slot| NewRow { instance_id: InstanceId::from(schedule), ..row(schedule, slot) };
    let rows =
        [on("never-begun", written), on("asked", written), on("sent", written), on("sent-soon", soon), on("due", now)];
    store.record_slots(&rows, &[], "abc", written).await.unwrap();
    let kept = |sent: bool, id: i64, line: &str| {
        let mut work = BakeWork { version: 3, image_name: "x".into(), ..BakeWork::default() };
        work.evidence.first_sent = sent.then_some(written);
        let suspended =
            crate::domain::bake::state::Suspended { work, resume: crate::domain::bake::state::Resume::Create };
        let state = State::Queued { not_before: now, suspended: Some(suspended) };
        Transition {
            bake: BakeId(id),
            line: LineId::from(line),
            state,
            reason: None,
            attempt: None,
            events: Vec::new(),
        }
    };
    store.commit(&[kept(false, 2, "asked"), kept(true, 3, "sent"), kept(true, 4, "sent-soon")], written).await.unwrap();
    assert_eq!(store.newest_write().await.unwrap(), Some(written));
    assert_eq!(store.end_queued_ahead(now + TimeDelta::minutes(1), now).await.unwrap(), 3);
    for (id, state) in [(1, "skipped"), (2, "skipped"), (3, "skipped"), (4, "queued"), (5, "queued")] {
        let row = store.reader().bake(BakeId(id)).await.unwrap().unwrap();
        assert_eq!(row.state, state, "{id}");
        if state == "skipped" {
            assert_eq!(row.reason_code.as_deref(), Some("clock_ahead"));
            assert_eq!(row.reason.as_deref(), Some("the clock was ahead until Sat 2028-01-01 03:00 +00:00"));
            assert!(store.bake(BakeId(id)).await.unwrap().unwrap().state.is_ended(), "it can be read again");
        }
    }
    // Only the row whose create call went out keeps its slot for good.
    let span = |schedule: &str| Span {
        schedule_id: schedule.into(),
        instance_id: schedule.into(),
        after: now,
        until: written + TimeDelta::hours(1),
    };
    let ahead =
        store.rows_ahead(&["never-begun", "asked", "sent"].map(span), written + TimeDelta::hours(1)).await.unwrap();
    assert_eq!(ahead.iter().map(|row| row.id).collect::<Vec<_>>(), [BakeId(1), BakeId(2)]);
}

#[tokio::test]
async fn a_history_of_an_earlier_version_is_copied_before_it_is_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).foreign_keys(false);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    migrations_up_to(4).run(&mut old).await.unwrap();
    sqlx::query("INSERT INTO lines VALUES ('golden', 7)").execute(&mut old).await.unwrap();
    old.close().await.unwrap();
    let error = Reader::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Older { found: 4, .. }), "{error}");
    assert!(error.to_string().contains("restart the daemon") && !error.is_unusable_history(), "{error}");
    let any = Reader::open_any_version(dir.path()).await.unwrap();
    assert_eq!(any.examine().await.unwrap(), Vec::<String>::new(), "it is sound");
    any.close().await;
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.reader().versions().await.unwrap()[&LineId::from("golden")], 7);
    assert_eq!(store.reader().examine().await.unwrap(), Vec::<String>::new());
    let copy = dir.path().join(format!("{DATABASE_FILE}.before-migration-from-4"));
    let copy = Reader::connect(&copy).await.unwrap();
    assert_eq!(copy.versions().await.unwrap()[&LineId::from("golden")], 7);
    assert_eq!(copy.examine().await.unwrap(), Vec::<String>::new());
    copy.close().await;
    store.close().await;
    drop(store);
    // A start without a migration makes no copy.
    Store::open(dir.path()).await.unwrap().close().await;
    let copies = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().contains("before-migration"));
    assert_eq!(copies.count(), 1);
}

#[tokio::test]
async fn a_database_with_another_schema_is_not_restored_and_not_called_sound() {
    let now = at("2027-01-01T03:00:00Z");
    for (sql, wanted) in [
        ("DROP INDEX bakes_open", "the index bakes_open is missing"),
        (
            "CREATE TRIGGER x AFTER INSERT ON bakes BEGIN DELETE FROM attempts; END",
            "the trigger x is not of imagebaked",
        ),
        ("ALTER TABLE pins ADD COLUMN extra TEXT", "the table pins is not that of imagebaked"),
        (
            "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 2",
            "migration 2 is not that of this imagebaked",
        ),
        ("DELETE FROM _sqlx_migrations WHERE version = 3", "migration 3 was not carried out"),
    ] {
        let (dir, store) = store().await;
        store.execute(sql).await;
        let faults = store.reader().examine().await.unwrap();
        assert_eq!(faults, [wanted], "{sql}");
        store.close().await;
        drop(store);
        let target = tempfile::tempdir().unwrap();
        let error = restore(target.path(), &dir.path().join(DATABASE_FILE), "test", now, &|_| ()).await.unwrap_err();
        assert!(matches!(&error, BackupError::Schema { what, .. } if what == wanted), "{sql}: {error}");
        assert!(!target.path().join(DATABASE_FILE).exists());
    }
}

#[tokio::test]
async fn an_empty_file_is_damage_for_readers_too() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(DATABASE_FILE), "").unwrap();
    let error = Reader::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::NotAHistory { .. }) && error.is_unusable_history(), "{error}");
}

/// The file is generated: `UPDATE_DOCS=1` writes it.
#[tokio::test]
async fn the_documented_schema_is_that_of_a_fresh_history() {
    let (_dir, store) = store().await;
    let objects: Vec<String> = sqlx::query_scalar(
        "SELECT sql FROM sqlite_schema
         WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite^_%' ESCAPE '^' AND name <> '_sqlx_migrations'
         ORDER BY tbl_name, CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 ELSE 2 END, name",
    )
    .fetch_all(&mut *store.writer.connection().await.unwrap())
    .await
    .unwrap();
    let head = concat!(
        "-- The schema of the history after all migrations. Generated by a test of adapters::store with UPDATE_DOCS=1.\n",
        "-- Instants are milliseconds since 1970 in UTC.\n",
    );
    let text = objects.iter().fold(head.to_owned(), |text, sql| format!("{text}\n{sql};\n"));
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema.sql");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "UPDATE_DOCS=1 writes it anew");
}
