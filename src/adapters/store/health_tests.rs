use std::{collections::BTreeMap, sync::Arc};

use chrono::TimeDelta;
use fastrand::Rng;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::*;
use crate::{
    adapters::store::{DATABASE_FILE, NewRow, Store, Transition},
    domain::{
        api::call::MadeImage,
        bake::{
            BakeSettings, State, Trigger, settings,
            state::{BakeWork, End},
        },
        health::{
            Severity,
            lines::{is_lost, judge},
        },
        ids::{InstanceId, ScheduleId},
    },
};

fn settings() -> Arc<BakeSettings> {
    Arc::new(settings::example())
}

fn minute(n: i64) -> DateTime<Utc> {
    "2026-11-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(n)
}

fn line(id: &str) -> Line {
    Line {
        id: id.into(),
        schedule: id.into(),
        zone: crate::domain::calendar::zone::Zone::find("Asia/Shanghai").unwrap(),
        max_image_age: None,
        known_since: minute(0),
    }
}

/// What became of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
enum SlotImage {
    Good,
    Gone,
    NotAvailable,
    Deleted,
    Vetoed,
    NotVerified,
    BeingVerified,
}

/// One row of a line, as the test knows it.
#[derive(Debug, Clone)]
struct SampleRow {
    slot: i64,
    slot_count: u64,
    trigger: Trigger,
    end: End,
    finished: i64,
    image: SlotImage,
}

fn sample_row(rng: &mut Rng, n: usize) -> SampleRow {
    let images = [
        SlotImage::Good,
        SlotImage::Good,
        SlotImage::Good,
        SlotImage::Gone,
        SlotImage::NotAvailable,
        SlotImage::Deleted,
        SlotImage::Vetoed,
        SlotImage::NotVerified,
        SlotImage::BeingVerified,
    ];
    let slot = i64::try_from(n).unwrap() * 20 + rng.i64(0..20);
    let code = ReasonCode::ALL[rng.usize(0..ReasonCode::ALL.len())];
    let reason = "for some reason".to_owned();
    let end = match rng.u8(0..10) {
        0..3 => {
            let image_id = format!("imgc-{}", rng.u64(..)).as_str().into();
            End::Succeeded { image: MadeImage { image_id, version_id: None, task_id: None }, reason }
        }
        3..6 => End::Failed { image: None, permanent: false, code, cause: code.cause(), reason },
        6..9 => End::Skipped { code, reason },
        _ => End::Cancelled { reason },
    };
    let slot_count = if matches!(end, End::Skipped { .. }) { rng.u64(1..4) } else { 1 };
    let trigger = [Trigger::Slot, Trigger::CaughtUp, Trigger::Manual][rng.usize(0..3)];
    SampleRow {
        slot,
        slot_count,
        trigger,
        end,
        finished: slot + rng.i64(1..50),
        image: images[rng.usize(0..images.len())],
    }
}

/// The rule of a line without an index: every question reads every row.
fn brute_force(rows: &[SampleRow], now: i64) -> Option<Severity> {
    let made = |row: &SampleRow| matches!(row.end, End::Succeeded { .. });
    // Versions are given in the order of the rows.
    let good = rows.iter().rfind(|row| made(row) && row.image == SlotImage::Good);
    // A person's veto revives nothing that the image had ended.
    let is_made = |row: &SampleRow| made(row) && matches!(row.image, SlotImage::Good | SlotImage::Vetoed);
    let last_made = rows.iter().rposition(is_made);
    let open = |row: &&SampleRow| last_made.is_none_or(|last| row.slot >= rows[last].finished);
    let lost: Vec<_> =
        rows.iter().filter(|row| is_lost(row.end.as_str(), row.end.reason_code(), row.trigger)).filter(open).collect();
    let unverified: Vec<_> = rows
        .iter()
        .enumerate()
        .filter(|(n, row)| made(row) && row.image == SlotImage::NotVerified && last_made.is_none_or(|last| *n > last))
        .map(|(_, row)| row)
        .collect();
    let slots: u64 = lost.iter().filter(|row| row.trigger != Trigger::Manual).map(|row| row.slot_count).sum::<u64>()
        + u64::try_from(unverified.len()).unwrap();
    let last = rows.iter().rfind(|row| made(row));
    if good.is_none() && last.is_some_and(|last| last.image != SlotImage::BeingVerified) {
        return Some(Severity::Problem);
    }
    let first =
        lost.iter().chain(&unverified).map(|row| row.slot - i64::try_from(row.slot_count).unwrap() + 1).min()?;
    Some(if slots >= 2 && now - first >= 60 { Severity::Problem } else { Severity::Warning })
}

#[tokio::test]
async fn what_the_statements_find_comes_to_what_all_rows_come_to() {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let mut lines = Vec::new();
    let mut rows_of = Vec::new();
    for n in 0..150 {
        let line = line(&format!("line-{n:03}"));
        let rows: Vec<_> = (0..rng.usize(0..7)).map(|n| sample_row(&mut rng, n)).collect();
        for (version, row) in (1..).zip(&rows) {
            let new = NewRow {
                schedule_id: ScheduleId::from(line.id.as_str()),
                schedule: line.schedule.clone(),
                instance_id: InstanceId::from("ecd-1"),
                line: line.id.clone(),
                slot: minute(row.slot),
                first_slot: minute(row.slot - i64::try_from(row.slot_count).unwrap() + 1),
                slot_count: row.slot_count,
                trigger: row.trigger,
                settings: Some(settings()),
                state: State::Queued { not_before: minute(row.slot), suspended: None },
            };
            store.record_slots(&[new], &[], "h", minute(row.slot)).await.unwrap();
            let bake = store.reader().newest_bake().await.unwrap().unwrap();
            let work = BakeWork { version, image_name: "x".into(), ..BakeWork::default() };
            let state = State::Ended { work: Some(work), end: row.end.clone() };
            let step =
                Transition { bake, line: line.id.clone(), state, reason: None, attempt: None, events: Vec::new() };
            store.commit(&[step], minute(row.finished)).await.unwrap();
        }
        lines.push(line);
        rows_of.push(rows);
    }
    let file = SqliteConnectOptions::new().filename(dir.path().join(DATABASE_FILE));
    let mut sql = SqliteConnection::connect_with(&file).await.unwrap();
    for row in rows_of.iter().flatten() {
        let End::Succeeded { image, .. } = &row.end else { continue };
        let veto = "INSERT INTO vetoes (image_id, at, reason, who) VALUES (?1, 0, 'no', 'ann')";
        let statements = match row.image {
            SlotImage::Good => ["UPDATE images SET verify = 'passed' WHERE image_id = ?1", ""],
            SlotImage::Gone => ["UPDATE images SET missing_since = 1 WHERE image_id = ?1", ""],
            SlotImage::NotAvailable => ["UPDATE images SET available = 0 WHERE image_id = ?1", ""],
            SlotImage::Deleted => ["UPDATE images SET deletion_state = 'deleted' WHERE image_id = ?1", ""],
            SlotImage::Vetoed => [veto, ""],
            SlotImage::NotVerified => ["UPDATE images SET verify = 'failed' WHERE image_id = ?1", veto],
            SlotImage::BeingVerified => ["UPDATE images SET verify = 'due' WHERE image_id = ?1", ""],
        };
        for statement in statements.into_iter().filter(|statement| !statement.is_empty()) {
            sqlx::query(statement).bind(image.image_id.as_str()).execute(&mut sql).await.unwrap();
        }
    }
    let facts = store.reader().line_facts(&lines).await.unwrap();
    let mut seen = BTreeMap::new();
    for now in [130, 170, 10_000] {
        for (line, rows) in lines.iter().zip(&rows_of) {
            let problems = facts.get(&line.id).map(|facts| judge(line, facts, minute(now))).unwrap_or_default();
            let found = problems.iter().map(|one| one.severity).max();
            let wanted = brute_force(rows, now);
            assert_eq!(
                found,
                wanted,
                "seed {seed}, {} at {now}: {rows:#?}\n{:#?}\n{problems:#?}",
                line.id,
                facts.get(&line.id)
            );
            *seen.entry(wanted).or_insert(0) += 1;
        }
    }
    assert!(seen.len() == 3 && seen.values().all(|n| *n > 20), "all verdicts are tried: {seen:?}");
}

/// What a rollback leaves: the newest image is vetoed by a person, an older one is good.
#[tokio::test]
async fn a_veto_by_a_person_revives_no_slot_and_no_check_from_before_its_image() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let row = NewRow {
        schedule_id: ScheduleId::from("golden"),
        schedule: "golden".into(),
        instance_id: InstanceId::from("ecd-1"),
        line: "golden".into(),
        slot: minute(300),
        first_slot: minute(200),
        slot_count: 3,
        trigger: Trigger::Slot,
        settings: None,
        state: State::Ended { work: None, end: End::Skipped { code: ReasonCode::Missed, reason: "no".into() } },
    };
    store.record_slots(&[row], &[], "h", minute(310)).await.unwrap();
    let file = SqliteConnectOptions::new().filename(dir.path().join(DATABASE_FILE));
    let mut sql = SqliteConnection::connect_with(&file).await.unwrap();
    for (version, verify, at) in [(3, "passed", 100), (4, "failed", 200), (5, "passed", 400)] {
        let image =
            "INSERT INTO images (image_id, line_id, schedule_id, instance_id, version, image_name, slot, available_at,
                                         ours, available, verify)
                     VALUES ('imgc-' || ?1, 'golden', 'golden', 'ecd-1', ?1, 'x', ?2, ?2, 1, 1, ?3)";
        let at = minute(at).timestamp_millis();
        sqlx::query(image).bind(version).bind(at).bind(verify).execute(&mut sql).await.unwrap();
    }
    let veto = async |sql: &mut SqliteConnection, image: &str| {
        let veto = "INSERT INTO vetoes (image_id, at, reason, who) VALUES (?1, 0, 'nosound', 'ann')";
        sqlx::query(veto).bind(image).execute(sql).await.unwrap();
    };
    let problems = async || {
        let facts = store.reader().line_facts(&[line("golden")]).await.unwrap();
        let found = facts.get(&LineId::from("golden")).map(|facts| judge(&line("golden"), facts, minute(900)));
        found.unwrap_or_default().into_iter().map(|one| one.code.as_str()).collect::<Vec<_>>()
    };
    veto(&mut sql, "imgc-4").await;
    assert_eq!(problems().await, [""; 0], "version 5 is good");
    veto(&mut sql, "imgc-5").await;
    assert_eq!(problems().await, [""; 0], "version 3 is good by a person's decision");
    sqlx::query("UPDATE images SET missing_since = 1 WHERE image_id = 'imgc-5'").execute(&mut sql).await.unwrap();
    assert_eq!(problems().await, ["bake_missed", "verify_failed"], "an image that is gone ends nothing");
}

#[tokio::test]
async fn an_adopted_image_is_as_old_as_its_slot_and_a_range_counts_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let row = |slot_count: u64, slot, code| NewRow {
        schedule_id: ScheduleId::from("golden"),
        schedule: "golden".into(),
        instance_id: InstanceId::from("ecd-1"),
        line: "golden".into(),
        slot: minute(slot),
        first_slot: minute(slot - 10 * (i64::try_from(slot_count).unwrap() - 1)),
        slot_count,
        trigger: Trigger::Slot,
        settings: None,
        state: State::Ended { work: None, end: End::Skipped { code, reason: "no".into() } },
    };
    let rows = [row(48, 500, ReasonCode::Missed), row(3, 600, ReasonCode::Paused), row(1, 610, ReasonCode::Overlap)];
    store.record_slots(&rows, &[], "h", minute(700)).await.unwrap();
    let file = SqliteConnectOptions::new().filename(dir.path().join(DATABASE_FILE));
    let mut sql = SqliteConnection::connect_with(&file).await.unwrap();
    let adopt = "INSERT INTO images (image_id, line_id, schedule_id, instance_id, version, image_name, slot, available_at, ours)
                 VALUES ('imgc-1', 'golden', 'golden', 'ecd-1', 1, 'old', ?1, ?2, 0)";
    sqlx::query(adopt)
        .bind(minute(100).timestamp_millis())
        .bind(minute(900).timestamp_millis())
        .execute(&mut sql)
        .await
        .unwrap();
    let facts = store.reader().line_facts(&[line("golden")]).await.unwrap();
    let facts = &facts[&LineId::from("golden")];
    assert_eq!(facts.good, Some(Good { at: minute(100) }));
    let lost = facts.lost.as_ref().unwrap();
    assert_eq!((lost.slots, lost.first, lost.more, lost.only_missed), (49, minute(30), false, false));
    assert_eq!((lost.last.slot, lost.last.code), (minute(610), Some(ReasonCode::Overlap)));
    let others = store.reader().line_facts(&[line("silver")]).await.unwrap();
    assert!(others[&LineId::from("silver")].no_image_yet(), "a line that nothing is known of");
}

#[tokio::test]
async fn a_year_of_failures_is_counted_to_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let rows: Vec<_> = (0..250)
        .map(|n| NewRow {
            schedule_id: ScheduleId::from("golden"),
            schedule: "golden".into(),
            instance_id: InstanceId::from("ecd-1"),
            line: "golden".into(),
            slot: minute(n),
            first_slot: minute(n),
            slot_count: 1,
            trigger: Trigger::Slot,
            settings: None,
            state: State::Ended {
                work: None,
                end: End::Failed {
                    image: None,
                    permanent: true,
                    code: ReasonCode::Refused,
                    cause: None,
                    reason: format!("no {n}"),
                },
            },
        })
        .collect();
    store.record_slots(&rows, &[], "h", minute(300)).await.unwrap();
    let facts = store.reader().line_facts(&[line("golden")]).await.unwrap();
    let lost = facts[&LineId::from("golden")].lost.clone().unwrap();
    assert!(lost.more && lost.slots >= u64::from(Lost::BOUND), "{lost:?}");
    assert_eq!((lost.first, lost.last.reason.as_str()), (minute(0), "no 249"));
}
