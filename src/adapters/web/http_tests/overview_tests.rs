//! The overview.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use chrono::TimeDelta;

use super::{
    super::*,
    Served,
    history::{HOSTILE, fill, now, row, work},
};
use crate::{
    adapters::store::{NewRow, Store, Transition},
    domain::{
        bake::{
            State,
            queue::{Blocker, QueueState},
            reason::ReasonCode,
            state::{End, Resume, Suspended},
        },
        calendar::Timing,
        health::{Problem, ProblemCode, Severity, Subject, SubjectKind},
        ids::{BakeId, LineId},
        schedule::{self, Schedule},
        status::Status,
        suggestion::ConfigOption,
    },
};
#[tokio::test]
async fn the_page_shows_what_is_there_and_escapes_it() {
    let served = Served::start().await;
    let page = served.get("/").await;
    assert_eq!(page.code, 200);
    for shown in [
        "OK",
        "3 lines have no image yet",
        "Housekeeping",
        "the answer to the create call was lost",
        "version 41",
        "imgc-07if81c4ktj9shi01",
        "href=\"./bake/6\"",
        "href=\"./schedule/win11-golden\"",
        "Last night",
        "Tonight",
        "Thu 2027-03-04 03:00 +08:00",
        "last 2: 1 succeeded, 1 queued; newest queued",
        "&lt;img src=x onerror=alert(1)&gt;&quot;",
    ] {
        assert!(page.body.contains(shown), "{shown} is missing in {}", page.body);
    }
    assert!(!page.body.contains("<img") && !page.body.contains("<script"), "{}", page.body);
    served.complain(&[(Severity::Warning, HOSTILE), (Severity::Problem, "the disk is full")]);
    let page = served.get("/").await;
    assert_eq!(page.code, 200);
    for shown in
        ["PROBLEM: 1 problem, 1 warning", "the disk is full", "imagebaked show 2", "began 2h ago", "<title>✗ 2"]
    {
        assert!(page.body.contains(shown), "{shown} is missing in {}", page.body);
    }
    assert!(!page.body.contains("<img"), "{}", page.body);
    let many: Vec<_> = (0..60).map(|_| (Severity::Warning, "golden failed")).collect();
    served.complain(&many);
    let page = served.get("/").await.body;
    assert!(
        page.contains("WARNING: 60 warnings") && page.contains("The next 46") && page.contains("10 more in"),
        "{page}"
    );
}

#[tokio::test]
async fn fifty_schedules_are_a_page_and_those_with_problems_come_first() {
    let served = Served::start().await;
    let many = (0..120).map(|n| Arc::new(schedule::example(&format!("farm-{n:03}"), &[&format!("ecd-{n}")])));
    served.fake.schedules.lock().unwrap().splice(.., many);
    let subject = Subject::new(SubjectKind::Line, "farm-117");
    let problem = Problem::new(ProblemCode::BakeFailed, Severity::Warning, subject, now(), "failed".into(), None);
    *served.fake.problems.lock().unwrap() = vec![problem];
    let first = served.get("/").await.body;
    let places = ["schedule/farm-117\"", "schedule/farm-000\"", "schedule/farm-048\""].map(|link| first.find(link));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
    assert!(!first.contains("schedule/farm-049\"") && first.contains("1 to 50 of 120"), "{first}");
    assert!(first.contains("href=\"./?page=2\""), "{first}");
    let last = served.get("/?page=99").await.body;
    assert!(last.contains("101 to 120 of 120") && last.contains("schedule/farm-119\""), "{last}");
    let found = served.get("/?q=FARM-01").await.body;
    assert!(found.contains("schedule/farm-019\"") && !found.contains("schedule/farm-020\""), "{found}");
    assert!(served.get("/?q=nothing").await.body.contains("No schedule has this"));
}

#[tokio::test]
async fn what_all_visitors_see_is_computed_once() {
    let served = Served::start_with(Duration::from_mins(1)).await;
    for path in ["/", "/", "/status.json", "/healthz", "/schedule/finance"] {
        served.get(path).await;
    }
    assert_eq!(served.fake.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn bakes_that_wait_are_listed_with_their_reason() {
    let served = Served::start().await;
    assert!(!served.get("/").await.body.contains("waits for ann"));
    let reason = "waits for ann to leave, who is connected to the instance".to_owned();
    let suspended = Some(Suspended { work: work("win11-golden", 42), resume: Resume::Instance });
    let state = State::Queued { not_before: now() + TimeDelta::minutes(1), suspended };
    let line = LineId::from("win11-golden");
    let step = Transition { bake: BakeId(5), line, state, reason: Some(reason), attempt: None, events: Vec::new() };
    served.fake.store.commit(&[step], now()).await.unwrap();
    let status: Status = serde_json::from_str(&served.get("/status.json").await.body).unwrap();
    assert_eq!(status.waiting.iter().map(|bake| bake.id).collect::<Vec<_>>(), [5]);
    assert_eq!((status.running.len(), status.queued), (2, 1), "neither running nor lost");
    let page = served.get("/").await.body;
    assert!(page.contains("Waiting") && page.contains("waits for ann to leave"), "{page}");
}

#[tokio::test]
async fn a_bake_that_waits_too_long_is_late_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    fill(&store).await;
    let slot = now() - TimeDelta::minutes(30);
    let jittered = NewRow {
        state: State::Queued { not_before: now() - TimeDelta::minutes(1), suspended: None },
        ..row("jittered", "ecd-jitter", slot)
    };
    let rows = [row("again", "ecd-4jx0qqkx1d2aa", slot), row("free", "ecd-free", slot), jittered];
    store.record_slots(&rows, &[], "h", slot).await.unwrap();
    let report = async |builders, held: Option<&str>| {
        let blocker =
            held.map(|why| Blocker { code: ReasonCode::Credentials, why: why.to_owned(), next_try: None, trial: None });
        let queue = QueueState { blocker, builders, builders_per_region: builders };
        store.keep_queue(&queue, None, now()).await.unwrap();
        let late = store.reader().late(now(), None).await.unwrap();
        let what = |reason: &str| reason.split_once(", until ").unwrap_or((reason, "")).0.to_owned();
        late.into_iter().map(|late| (late.schedule, what(&late.reason))).collect::<Vec<_>>()
    };
    let free = report(5, None).await;
    assert_eq!(free.len(), 2, "neither the one of four minutes ago nor the one put off by jitter: {free:?}");
    assert_eq!(free[0], ("again".into(), "waits for its instance: bake 4 of finance is at work on it".into()));
    assert_eq!(report(2, None).await[1].1, "waits for a builder: all 2 are at work");
    assert_eq!(report(2, Some("credentials rejected")).await[1].1, "credentials rejected");
}

/// The begin of the first row of the table of schedules.
fn first_row(page: &str) -> &str {
    let (_, rows) = page.split_once("id=\"schedules\"").unwrap();
    rows.split_once("<tbody>").unwrap().1.split("</tr>").next().unwrap()
}

#[tokio::test]
async fn one_error_of_many_schedules_is_shown_once_with_each_command() {
    let served = Served::start().await;
    let problem = |n: u32| {
        let subject = Subject::new(SubjectKind::Line, format!("farm-{n}"));
        let text = format!("farm-{n} failed at 03:00: QuotaExceeded.Image: the quota of images is used up");
        let command = Some(format!("imagebaked show 10{n}"));
        Problem::new(ProblemCode::BakeFailed, Severity::Warning, subject, now(), text, command)
    };
    *served.fake.problems.lock().unwrap() = (1..=3).map(problem).collect();
    let page = served.get("/").await.body;
    assert_eq!(page.matches("the quota of images is used up").count(), 1, "{page}");
    for shown in ["The same for 2 more", "line farm-2", "line farm-3", "show 101", "show 102", "show 103"] {
        assert!(page.contains(shown), "{shown} is missing in {page}");
    }
}

#[tokio::test]
async fn without_schedules_the_page_says_so() {
    let served = Served::start().await;
    served.fake.schedules.lock().unwrap().clear();
    let page = served.get("/").await;
    assert_eq!(page.code, 200);
    assert!(page.body.contains("No schedule is in force."), "{}", page.body);
}

#[tokio::test]
async fn a_line_that_lost_its_slots_is_the_first_and_red_and_a_new_one_is_neither() {
    let served = Served::start().await;
    let (new, lost) = (schedule::example("new", &["ecd-new"]), schedule::example("lost", &["ecd-l1", "ecd-l2"]));
    served.fake.schedules.lock().unwrap().extend([Arc::new(new), Arc::new(lost)]);
    let subject = Subject::new(SubjectKind::Line, "lost/ecd-l2");
    let found = Problem::new(ProblemCode::BakeMissed, Severity::Warning, subject, now(), "missed".into(), None);
    let of_new = Subject::new(SubjectKind::Instance, "ecd-new");
    let right = Problem::new(ProblemCode::RightsMissing, Severity::Warning, of_new, now(), "no right".into(), None);
    *served.fake.problems.lock().unwrap() = vec![found, right];
    let end = End::Skipped { code: ReasonCode::Missed, reason: "the daemon could not run".into() };
    let missed = NewRow {
        line: "lost/ecd-l2".into(),
        state: State::Ended { work: None, end },
        ..row("lost", "ecd-l2", now() - TimeDelta::hours(1))
    };
    served.fake.store.record_slots(&[missed], &[], "hash", now()).await.unwrap();
    let page = served.get("/").await.body;
    let row = first_row(&page);
    for shown in
        ["schedule/lost\"", "class=\"state bad\"", "no good image: bake_missed", "2 of 2 lines", "newest skipped"]
    {
        assert!(row.contains(shown), "{shown} is missing in {row}");
    }
    let (before, row) = page.split_once("schedule/new\"").unwrap();
    let row = row.split("</tr>").next().unwrap();
    assert!(row.contains("no image yet") && row.contains("no slot yet") && !row.contains("state bad"), "{row}");
    assert!(before.contains("title=\"warning: rights_missing\""), "{before}");
    let detail = served.get("/schedule/new").await;
    assert_eq!(detail.code, 200);
    assert!(detail.body.contains("No slot has come yet.") && detail.body.contains("no image yet"), "{}", detail.body);
}

#[tokio::test]
async fn a_night_of_thousands_is_counted_and_stays_small() {
    let served = Served::start().await;
    let many = (0..3_000).map(|n| {
        let (name, zone) = (format!("farm-{n:04}"), "Asia/Shanghai".parse().unwrap());
        // From 04:00 to noon.
        let cron = format!("{} {} * * *", n % 60, 4 + n % 8);
        let timing = Timing::parse(&[&cron], zone, Duration::ZERO, &name).unwrap();
        Arc::new(Schedule { timing, ..schedule::example(&name, &[&format!("ecd-{n}")]) })
    });
    served.fake.schedules.lock().unwrap().splice(.., many);
    let page = served.get("/").await.body;
    assert!(page.contains("expected to be skipped") && page.contains("each column: the slots of"), "{page}");
    assert!(!page.contains("not drawn"), "{page}");
    let nights: usize =
        page.split("<svg class=\"night hours\" role=\"group\"").skip(1).map(|svg| svg.find("</svg>").unwrap()).sum();
    assert!((1_024..64 * 1_024).contains(&nights), "{nights} bytes");
    assert!(page.len() < 256 * 1_024, "{} bytes", page.len());
}

#[tokio::test]
async fn suggested_commands_find_the_daemon_of_the_page() {
    let page = Served::start().await;
    *page.fake.config.lock().unwrap() = ConfigOption::new(Path::new("/srv/b.toml"));
    page.complain(&[(Severity::Problem, "see `imagebaked doctor`")]);
    let body = page.get("/").await.body;
    assert!(body.contains("see `imagebaked --config /srv/b.toml doctor`"), "{body}");
    assert!(body.contains(">imagebaked --config /srv/b.toml show 2<"), "{body}");
    let body = page.get("/bake/1").await.body;
    assert!(body.contains(">imagebaked --config /srv/b.toml show 1<"), "{body}");
}
