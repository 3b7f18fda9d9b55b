//! What the fuzzer and `tests/hostile_input.rs` run: each takes any bytes, and panics if a rule is broken.
//!
//! The first rule is that there is no panic. The others stand in each function.

#![allow(dead_code, reason = "each fuzz target uses one of them")]
#![expect(clippy::expect_used, reason = "a target that cannot run is a failure")]

use std::{collections::BTreeMap, fmt, io::Cursor, path::Path, sync::OnceLock, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use imagebaked::{
    adapters::{
        cloud::{
            actions::{
                AssumeRole, CreateImageByInstance, DeleteImage, DescribeBundles, DescribeDesktopGroups,
                DescribeDesktops, DescribeImages, DescribeTemplates, GetCallerIdentity, ListAppInstanceGroup,
                ListImage, ListWuyingServer, StartTaskForDistributeImage, StopDesktops,
            },
            answer,
            http::Incoming,
            listing::{Listing, RawPage},
            request::CloudCall,
        },
        config::{self, crontab},
        control::{self, Request},
        store::{self, AuditFilter, EventFilter, Filter, Reader},
    },
    domain::{
        api::codes::Idempotency,
        bake::naming::{Template, Values},
        calendar::{Timing, zone::Zone},
        error::chain,
        ids::BakeId,
        text::{LONGEST_ERROR, LONGEST_TEXT, clean_json, is_hidden},
    },
};

/// An instant in a year with usual clock changes.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_774_000_000, 0).unwrap_or_default()
}

/// One for all inputs: threads are slow to make.
fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
    })
}

/// The text of a configuration: every problem can be shown, on a terminal and as JSON; a valid one loads the same again.
pub fn config(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("imagebaked.toml");
    std::fs::write(&path, data).expect("room on the disk");
    let problems = match config::load(&path, &BTreeMap::new()) {
        Ok(loaded) => {
            let again = config::load(&path, &BTreeMap::new()).expect("it was valid");
            assert_eq!(loaded.config.hash, again.config.hash);
            for schedule in loaded.config.schedules.iter().take(5) {
                let _ = schedule.timing.next_after(now());
            }
            loaded.warnings
        }
        Err(problems) => problems,
    };
    let _ = (problems.render(false), problems.render(true), problems.to_json(), problems.errors_in_one_line(20));
}

/// A cron expression: its slots increase, and counting them gives their number.
pub fn cron(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for zone in ["Europe/Berlin", "Asia/Shanghai", "Australia/Lord_Howe"] {
        let zone: Zone = zone.parse().expect("a zone of the database");
        let Ok(timing) = Timing::parse(&[text], zone, Duration::ZERO, "seed") else { continue };
        let slots: Vec<_> = timing.between(now(), DateTime::<Utc>::MAX_UTC).take(10).collect();
        assert!(slots.is_sorted_by(|a, b| a < b), "{text:?}: {slots:?}");
        if let Some(last) = slots.last() {
            assert_eq!(timing.count(now(), *last), slots.len() as u64, "{text:?}");
            assert_eq!(timing.last_until(*last), Some(*last), "{text:?}");
            assert!(timing.next_after(*last - TimeDelta::seconds(1)) == Some(*last), "{text:?}");
        }
    }
}

/// Codes of problems that no schedule made of a crontab may have: its text would be wrong, not what it asks for.
const OF_TEXT: [&str; 9] = [
    "syntax",
    "hidden-character",
    "bad-name",
    "bad-image-name",
    "bad-instance",
    "bad-cron",
    "bad-zone",
    "unknown-key",
    "duplicate-key",
];

/// A crontab: what it becomes has no hidden characters, and its tables are valid.
pub fn crontab(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let zone: Zone = "Asia/Shanghai".parse().expect("a zone of the database");
    for system in [false, true] {
        let toml = crontab::toml(&crontab::read(&text, zone, system));
        assert!(!toml.contains(|c: char| is_hidden(c) && c != '\n' && c != '\t'), "{toml:?}");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("imagebaked.toml");
        std::fs::write(&path, &toml).expect("room on the disk");
        if let Err(problems) = config::load(&path, &BTreeMap::new()) {
            let wrong = problems.0.iter().find(|problem| OF_TEXT.contains(&problem.code));
            assert!(wrong.is_none(), "{wrong:?} in {toml}");
        }
    }
}

/// A message on the control socket: a request is the same after a second reading, and has no hidden characters.
pub fn control_message(data: &[u8]) {
    let mut line = data.to_vec();
    line.push(b'\n');
    let read = runtime().block_on(control::read::<serde_json::Value>(&mut line.as_slice(), control::MAX_REQUEST));
    let mut body = match read {
        Ok(envelope) => envelope.body,
        Err(error) => return check_text(&chain(&error), 4 * LONGEST_ERROR),
    };
    clean_json(&mut body, LONGEST_TEXT);
    match serde_json::from_value::<Request>(body) {
        Ok(request) => {
            let written = serde_json::to_value(&request).expect("a request can be written");
            check_json(&written);
            assert_eq!(serde_json::from_value::<Request>(written).expect("it can be read"), request);
        }
        Err(error) => check_text(&chain(&error), 4 * LONGEST_ERROR),
    }
}

/// An answer of the cloud, with the status and the idempotency by the first byte: no text of it has hidden characters.
pub fn cloud_answer(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let status = [200, 400, 403, 407, 429, 500, 502, 503][usize::from(first % 8)];
    let repeat = if first & 8 == 0 { Idempotency::Idempotent } else { Idempotency::NonIdempotent };
    let headers = vec![
        ("date".to_owned(), "Sun, 01 Mar 2026 02:03:05 GMT".to_owned()),
        ("retry-after".to_owned(), String::from_utf8_lossy(body).chars().take(20).collect()),
    ];
    let incoming = Incoming { status, headers, body: body.to_vec() };
    check_answer::<CreateImageByInstance>(&incoming, repeat);
    check_answer::<DeleteImage>(&incoming, repeat);
    check_answer::<StopDesktops>(&incoming, repeat);
    check_answer::<StartTaskForDistributeImage>(&incoming, repeat);
    check_answer::<GetCallerIdentity>(&incoming, repeat);
    check_answer::<AssumeRole>(&incoming, repeat);
    check_list::<ListImage>(&incoming, repeat);
    check_list::<DescribeDesktops>(&incoming, repeat);
    check_list::<ListWuyingServer>(&incoming, repeat);
    check_list::<DescribeDesktopGroups>(&incoming, repeat);
    check_list::<DescribeBundles>(&incoming, repeat);
    check_list::<DescribeTemplates>(&incoming, repeat);
    check_list::<DescribeImages>(&incoming, repeat);
    check_list::<ListAppInstanceGroup>(&incoming, repeat);
}

fn check_answer<C: CloudCall>(incoming: &Incoming, repeat: Idempotency) -> Option<C::Value>
where
    C::Value: fmt::Debug,
{
    match answer::read::<C>(incoming, repeat) {
        Ok(answer) => {
            for text in [&answer.request_id, &answer.code, &answer.message].into_iter().flatten() {
                check_text(text, LONGEST_TEXT);
            }
            check_shown(&answer.value);
            Some(answer.value)
        }
        Err(error) => {
            check_text(&error.describe(), 2 * LONGEST_TEXT);
            assert!(error.retry_after.is_none_or(|delay| delay <= Duration::from_hours(1)));
            None
        }
    }
}

fn check_list<L: Listing>(incoming: &Incoming, repeat: Idempotency)
where
    L::Row: fmt::Debug,
{
    match check_answer::<L>(incoming, repeat).map(RawPage::rows::<L>) {
        Some(Ok(rows)) => check_shown(&rows),
        Some(Err(error)) => check_text(&error.describe(), 2 * LONGEST_TEXT),
        None => {}
    }
}

/// `Debug` escapes what is hidden: a raw escape is a text that was not cleaned.
fn check_shown(value: &impl fmt::Debug) {
    let shown = format!("{value:?}");
    assert!(!shown.contains("\\u{1b}") || shown.contains("\\\\u{1b}"), "{shown}");
}

/// An import document, with the numbers of rows that it has: it is taken as a whole, or the folder has no history. One
/// that is taken can be read in every way, and its export is taken, too, and equal.
pub fn import_document(data: &[u8]) {
    let counted = counted(data);
    let folder = tempfile::tempdir().expect("a folder");
    let Some(first) = import(folder.path(), counted.as_deref().unwrap_or(data)) else { return };
    // Not each time: it takes as long again.
    if data.len().is_multiple_of(4) {
        let again = tempfile::tempdir().expect("a folder");
        let second = import(again.path(), &first).expect("an export can be imported");
        assert_eq!(String::from_utf8_lossy(&first), String::from_utf8_lossy(&second));
    }
}

/// The document with its numbers of rows in its head: with wrong ones none gets further.
fn counted(data: &[u8]) -> Option<Vec<u8>> {
    let mut document: serde_json::Value = serde_json::from_slice(data).ok()?;
    let tables = document.get("tables")?.as_object()?;
    let rows = tables.iter().filter_map(|(table, rows)| Some((table.clone(), rows.as_array()?.len().into())));
    let rows: serde_json::Map<_, _> = rows.collect();
    *document.get_mut("imagebaked_ledger")?.get_mut("rows")? = rows.into();
    Some(document.to_string().into_bytes())
}

/// The export of what was imported; `None` if it was refused.
fn import(folder: &Path, data: &[u8]) -> Option<Vec<u8>> {
    let imported = runtime().block_on(store::import(folder, Cursor::new(data.to_vec()), now(), &|_| ()));
    let is_there = folder.join(store::DATABASE_FILE).exists();
    assert_eq!(imported.is_ok(), is_there);
    if let Err(error) = imported {
        check_text(&chain(&error), 8 * LONGEST_ERROR);
        return None;
    }
    runtime().block_on(async {
        let reader = Reader::open(folder).await.expect("it was imported");
        read_all(&reader).await;
        let mut export = Vec::new();
        reader.export(&mut export, &|_| ()).await.expect("it can be exported");
        reader.close().await;
        Some(export)
    })
}

/// Reads as commands do: an unreadable row is an error, and no panic.
async fn read_all(reader: &Reader) {
    let bakes = reader.history(&Filter { limit: 20, ..Filter::default() }).await.unwrap_or_default();
    for bake in bakes {
        let _ = (bake.slot(), bake.record(), serde_json::to_string(&bake));
        let _ = reader.attempts(BakeId(bake.id)).await;
        let _ = reader.settings(BakeId(bake.id)).await;
    }
    let _ = reader.audit(&AuditFilter { limit: 20, ..AuditFilter::default() }).await;
    let _ = reader.events(&EventFilter { limit: 20, ..EventFilter::default() }).await;
    let _ = reader.present_images(None).await;
    let _ = reader.channels(None).await;
    let _ = reader.pauses().await;
    let _ = reader.open_bakes().await;
    let _ = reader.pending_restarts().await;
    let _ = reader.work(now(), None).await;
    let _ = reader.late(now(), None).await;
    let _ = reader.durations().await;
    let _ = reader.last_scan().await;
    let _ = reader.standing_problems().await;
}

/// A template of image names: what it renders is the same each time, and has the version where it says so.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(template) = Template::parse(text) else { return };
    let zone: Zone = "Europe/Berlin".parse().expect("a zone of the database");
    let values = |version, minutes| Values {
        name: "golden",
        id: "golden",
        instance_id: "ecd-1",
        slot: now() + TimeDelta::minutes(minutes),
        zone,
        version,
    };
    let name = template.render(&values(7, 0));
    assert_eq!(name, template.render(&values(7, 0)));
    assert!(!template.has_version() || name != template.render(&values(8, 0)), "{text:?}");
    assert!(!template.has_slot() || name != template.render(&values(7, 1)), "{text:?}");
}

fn check_text(text: &str, longest: usize) {
    let hidden = text.chars().find(|c| is_hidden(*c) && !matches!(c, '\n' | '\t'));
    assert!(hidden.is_none() && text.chars().count() <= longest, "{hidden:?} in {text:?}");
}

fn check_json(value: &serde_json::Value) {
    match value {
        serde_json::Value::String(text) => check_text(text, LONGEST_TEXT),
        serde_json::Value::Array(values) => values.iter().for_each(check_json),
        serde_json::Value::Object(fields) => fields.values().for_each(check_json),
        _ => {}
    }
}
