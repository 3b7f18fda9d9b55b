use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use super::*;
use crate::{
    adapters::{
        store::{Attempt, ChannelOrder, NewRow, Store, Transition},
        web::from_history,
    },
    domain::{
        api::{call::MadeImage, mode::Mode},
        bake::{
            BakeSettings, State, Trigger,
            queue::{Blocker, QueueState},
            reason::ReasonCode,
            settings,
            state::{BakeWork, End, Resume, Suspended},
        },
        health::{Health, Problem, ProblemCode, Severity, Subject, SubjectKind},
        ids::{InstanceId, LineId, ScheduleId},
        schedule::Channel,
        status::{Bakes, Daemon, HousekeepingJob, Next, OnDisk, TaskError},
    },
};

const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    at("2027-03-02T19:04:10Z")
}

fn settings() -> Arc<BakeSettings> {
    Arc::new(BakeSettings {
        auto_clean_userdata: Some(true),
        tags: [("team".to_owned(), HOSTILE.to_owned())].into(),
        image_name: "{name}-{slot:%Y%m%d-%H%M}-v{version}".into(),
        regions: vec!["cn-shanghai".into(), "cn-beijing".into()],
        ..settings::example()
    })
}

fn row(schedule: &str, instance: &str, slot: DateTime<Utc>) -> NewRow {
    NewRow {
        schedule_id: ScheduleId::from(schedule),
        schedule: schedule.into(),
        instance_id: InstanceId::from(instance),
        line: LineId::from(schedule),
        slot,
        first_slot: slot,
        slot_count: 1,
        trigger: Trigger::Slot,
        settings: Some(settings()),
        state: State::Queued { not_before: slot, suspended: None },
    }
}

fn image(n: u32) -> MadeImage {
    MadeImage {
        image_id: format!("imgc-07if81c4ktj9shi{n:02}").as_str().into(),
        version_id: Some("iv-1".into()),
        task_id: Some(format!("tid-0bz5{n}")),
    }
}

fn work(schedule: &str, version: u32) -> BakeWork {
    BakeWork { version, image_name: format!("{schedule}-20270303-0300-v{version}"), attempts: 1, ..BakeWork::default() }
}

/// Bakes 1 to 7, one of each kind that a page must be able to show; 7 bears hostile names.
async fn fill(store: &Store) {
    let ended = |reason: &str| State::Ended {
        work: None,
        end: End::Skipped { code: ReasonCode::Paused, reason: reason.into() },
    };
    let hour = |hours| at("2027-03-02T19:00:00Z") - TimeDelta::hours(hours);
    let rows = [
        row("win11-golden", "ecd-7w78ozhjcwa3u", hour(20)),
        row("cad-station", "ws-0bz55ixxtb4p2g", hour(9)),
        row("office-cn", "ecd-9ekw2la5v0hgd", hour(2)),
        row("finance", "ecd-4jx0qqkx1d2aa", hour(1)),
        row("win11-golden", "ecd-7w78ozhjcwa3u", hour(0)),
        NewRow {
            slot_count: 48,
            first_slot: hour(60),
            settings: None,
            state: ended("48 slots were missed while the daemon did not run; catch_up is skip"),
            ..row("hourly-dev", "ecd-2hourlyhourly", hour(13))
        },
        NewRow { trigger: Trigger::CaughtUp, ..row(HOSTILE, HOSTILE, hour(30)) },
    ];
    for row in rows {
        // A range is recorded when the daemon is back, a slot when it comes.
        let recorded = row.slot + TimeDelta::milliseconds(40);
        store.record_slots(&[row], &[], "5f0c2a9be1d4", recorded).await.unwrap();
    }
    let step = async |bake, schedule: &str, at, state: State, attempt| {
        let reason = state.reason().map(str::to_owned);
        let step =
            Transition { bake: BakeId(bake), line: LineId::from(schedule), state, reason, attempt, events: Vec::new() };
        store.commit(&[step], at).await.unwrap();
    };
    let refused = Attempt {
        stage: "create",
        call: "CreateImageByInstance".into(),
        started_at: hour(9),
        finished_at: hour(9) + TimeDelta::milliseconds(412),
        outcome: "permanent",
        code: Some("ImageQuotaExceeded".into()),
        http_status: Some(403),
        request_id: Some("1CBAFFAB-B697-4049-A9B1-67E1FC5F****".into()),
        message: Some("The image quota is used up: delete images or ask for more.".into()),
        success: None,
        answer: None,
    };
    let succeeded = End::Succeeded { image: image(1), reason: "the image is AVAILABLE".into() };
    let state = State::Ended { work: Some(work("win11-golden", 41)), end: succeeded };
    step(1, "win11-golden", hour(20) + TimeDelta::minutes(37), state, None).await;
    let reason = "the image quota is used up: delete images or ask for more".into();
    let state = State::Ended {
        work: Some(work("cad-station", 7)),
        end: End::Failed { image: None, permanent: false, code: ReasonCode::Refused, cause: None, reason },
    };
    step(2, "cad-station", hour(9) + TimeDelta::seconds(2), state, Some(refused)).await;
    let state = State::Unknown {
        work: work("office-cn", 112),
        since: hour(2),
        polls: 4,
        next: now() + TimeDelta::seconds(25),
        why: "the answer to the create call was lost; searching for its image".into(),
    };
    step(3, "office-cn", now(), state, None).await;
    let state = State::Building {
        work: work("finance", 3),
        image: image(2),
        since: hour(1),
        seen_at: now(),
        consecutive_errors: 0,
        next: now() + TimeDelta::seconds(48),
        status: "CREATING".into(),
        searching: false,
        found: None,
    };
    step(4, "finance", now(), state, None).await;
    let hostile = BakeWork { image_name: HOSTILE.into(), ..work("x", 1) };
    let state = State::Ended {
        work: Some(hostile),
        end: End::Failed {
            image: None,
            permanent: false,
            code: ReasonCode::Refused,
            cause: None,
            reason: HOSTILE.into(),
        },
    };
    step(7, "x", hour(29), state, None).await;
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
        let late = crate::adapters::web::late(store.reader(), now()).await.unwrap();
        let what = |reason: &str| reason.split_once(", until ").unwrap_or((reason, "")).0.to_owned();
        late.into_iter().map(|late| (late.schedule, what(&late.reason))).collect::<Vec<_>>()
    };
    let free = report(5, None).await;
    assert_eq!(free.len(), 2, "neither the one of four minutes ago nor the one put off by jitter: {free:?}");
    assert_eq!(free[0], ("again".into(), "waits for its instance: bake 4 of finance is at work on it".into()));
    assert_eq!(report(2, None).await[1].1, "waits for a builder: all 2 are at work");
    assert_eq!(report(2, Some("credentials rejected")).await[1].1, "credentials rejected");
}

/// The history of a temporary directory, problems that can be set, and an engine that can be stopped.
struct Fake {
    store: Store,
    problems: Mutex<Vec<Problem>>,
    ticks: AtomicBool,
    _dir: tempfile::TempDir,
}

impl Source for Fake {
    fn status(&self) -> StatusFuture<'_> {
        let problems = self.problems.lock().unwrap().clone();
        Box::pin(async move {
            let Bakes { running, waiting, queued, last_day } = from_history(self.store.reader(), now()).await?;
            let coming = |schedule: &str, slot: &str, local: &str| Next {
                schedule: schedule.into(),
                instance_id: "ecd-7w78ozhjcwa3u".into(),
                slot: slot.into(),
                local: local.into(),
            };
            Ok(Status {
                daemon: Daemon {
                    version: "0.1.0".into(),
                    pid: 4711,
                    started_at: "2027-02-20T06:00:00Z".into(),
                    config_hash: "5f0c2a9be1d4".into(),
                    config_files: vec!["/etc/imagebaked/imagebaked.toml".into(), HOSTILE.into()],
                    config_on_disk: OnDisk::InForce,
                    mode: Mode::Act,
                    schedules: 6,
                    state_dir: "/var/lib/imagebaked".into(),
                    restart_required: Vec::new(),
                    credentials: Some("the RAM role of this ECS instance".into()),
                    credentials_key_id: Some("STS.…a1b2".into()),
                    credentials_identity: Some("acs:ram::1:assumed-role/baker/imagebaked".into()),
                    credentials_expire_at: Some("2027-03-02T23:00:00Z".into()),
                    zones: None,
                },
                health: Health::of(problems),
                no_image_yet: 3,
                running,
                waiting,
                queued,
                late: Vec::new(),
                suspended: None,
                paused: Vec::new(),
                paused_in_file: Vec::new(),
                next: vec![
                    coming("hourly-dev", "2027-03-02T20:00:00Z", "2027-03-03 04:00:00 CST"),
                    coming("office-cn", "2027-03-02T22:16:20Z", "2027-03-03 06:16:20 CST"),
                    coming(HOSTILE, "2027-03-03T19:00:00Z", "2027-03-04 03:00:00 CST"),
                ],
                schedules: Vec::new(),
                image_tasks: Vec::new(),
                housekeeping: vec![HousekeepingJob {
                    name: "backup".into(),
                    running_since: None,
                    last_run: Some("2027-03-02T11:00:00Z".into()),
                    last_run_seconds: Some(0.1),
                    next_run: Some("2027-03-02T23:00:00Z".into()),
                    last_error: Some(TaskError { at: "2027-03-02T11:00:00Z".into(), message: HOSTILE.into() }),
                }],
                backup: None,
                last_day,
            })
        })
    }

    fn reader(&self) -> &Reader {
        self.store.reader()
    }

    fn is_ticking(&self) -> bool {
        self.ticks.load(Ordering::Relaxed)
    }

    fn now(&self) -> DateTime<Utc> {
        now()
    }
}

struct Served {
    fake: Arc<Fake>,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        fill(&store).await;
        let fake = Arc::new(Fake { store, problems: Mutex::default(), ticks: AtomicBool::new(true), _dir: dir });
        let page = StatusPage::bind(Some("127.0.0.1:0".parse().unwrap())).await.unwrap();
        let address = page.address().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(page.serve(Arc::clone(&fake) as Arc<dyn Source>, stop.clone()));
        Self { fake, address, stop, task }
    }

    fn complain(&self, problems: &[(Severity, &str)]) {
        let problem = |(n, (severity, message)): (usize, &(Severity, &str))| {
            let subject = Subject::new(SubjectKind::Line, format!("line-{n}"));
            let command = Some("imagebaked show 2".to_owned());
            let since = now() - TimeDelta::hours(2);
            Problem::new(ProblemCode::BakeFailed, *severity, subject, since, (*message).to_owned(), command)
        };
        *self.fake.problems.lock().unwrap() = problems.iter().enumerate().map(problem).collect();
    }

    /// Sends the head of a request, and reads until the server closes.
    async fn send(&self, head: &str) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { code, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}", self.address)).await
    }
}

#[derive(Debug)]
struct Reply {
    code: u16,
    head: String,
    body: String,
}

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
        "win11-golden-20270303-0300-v41",
        "imgc-07if81c4ktj9shi01",
        "48 slots since 2027-02-28 07:00",
        "href=\"/bake/6\"",
        "in 3 h 12 m",
        "2027-03-03 06:16:20 CST",
        "&lt;img src=x onerror=alert(1)&gt;&quot;",
    ] {
        assert!(page.body.contains(shown), "{shown} is missing in {}", page.body);
    }
    assert!(!page.body.contains("<img") && !page.body.contains("<script"), "{}", page.body);
    served.complain(&[(Severity::Warning, HOSTILE), (Severity::Problem, "the disk is full")]);
    let page = served.get("/").await;
    assert_eq!(page.code, 200);
    for shown in
        ["PROBLEM: 1 problem, 1 warning", "the disk is full", "imagebaked show 2", "began 2 h ago", "<title>✗ 2"]
    {
        assert!(page.body.contains(shown), "{shown} is missing in {}", page.body);
    }
    assert!(!page.body.contains("no image yet") && !page.body.contains("<img"), "{}", page.body);
    let many: Vec<_> = (0..60).map(|_| (Severity::Warning, "golden failed")).collect();
    served.complain(&many);
    let page = served.get("/").await.body;
    assert!(page.contains("WARNING: 60 warnings") && page.contains("10 more in"), "{page}");
}

#[tokio::test]
async fn the_page_shows_the_newest_image_of_each_line_and_its_channels() {
    let served = Served::start().await;
    let store = &served.fake.store;
    let line = LineId::from("win11-golden");
    let stable = [Channel { name: "stable".into(), after: None }];
    let promote = ChannelOrder::Promote {
        image: image(1).image_id,
        channel: "stable".into(),
        force: false,
        reason: "it is good".into(),
    };
    store.order_channels(&line, Some(&stable), &promote, "ann", now()).await.unwrap().unwrap();
    let state = State::Ended {
        work: Some(work("win11-golden", 42)),
        end: End::Succeeded { image: image(3), reason: "the image is AVAILABLE".into() },
    };
    store
        .commit(
            &[Transition {
                bake: BakeId(5),
                line: line.clone(),
                state,
                reason: None,
                attempt: None,
                events: Vec::new(),
            }],
            now(),
        )
        .await
        .unwrap();
    store.settle_channels(&[line], |_| Some(&stable), now()).await.unwrap();
    let images = async || {
        let page = served.get("/").await.body;
        let (_, rest) = page.split_once("id=\"images\"").unwrap();
        rest.split_once("<section").unwrap().0.to_owned()
    };
    let table = images().await;
    for shown in ["win11-golden-20270303-0300-v42", "imgc-07if81c4ktj9shi03", "4 m 10 s ago"] {
        assert!(table.contains(shown), "{shown} is missing in {table}");
    }
    let channels = table.split("data-label=\"Channels\"").nth(1).unwrap();
    assert!(channels.contains("latest 42") && channels.contains("stable <strong>41</strong>"), "{channels}");
    assert!(!table.contains("v41") && !table.contains("The first"), "{table}");

    let many: Vec<_> = (0..120).map(|n| row(&format!("line-{n:03}"), "ecd-1", now())).collect();
    store.record_slots(&many, &[], "h", now()).await.unwrap();
    let made = |n: u32| Transition {
        bake: BakeId(8 + i64::from(n)),
        line: LineId::from(format!("line-{n:03}")),
        state: State::Ended {
            work: Some(work("line", 1)),
            end: End::Succeeded { image: image(100 + n), reason: "made".into() },
        },
        reason: None,
        attempt: None,
        events: Vec::new(),
    };
    store.commit(&(0..120).map(made).collect::<Vec<_>>(), now()).await.unwrap();
    let table = images().await;
    assert!(table.contains("The first 100 lines") && table.contains("imgc-07if81c4ktj9shi199"), "{table}");
    assert!(!table.contains("imgc-07if81c4ktj9shi200"), "{table}");
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
async fn a_bake_is_shown_with_its_settings_and_calls() {
    let served = Served::start().await;
    let page = served.get("/bake/2").await;
    assert_eq!(page.code, 200);
    for shown in ["retry.cap", "10m", "cn-shanghai, cn-beijing", "ImageQuotaExceeded", "403", "1CBAFFAB", "412 ms"] {
        assert!(page.body.contains(shown), "{shown} is missing in {}", page.body);
    }
    assert!(!page.body.contains("<img"), "{}", page.body);
    assert!(!page.body.contains("http-equiv"), "an ended bake does not change any more");
    assert!(served.get("/bake/3").await.body.contains("http-equiv"));
    assert!(served.get("/bake/6").await.body.contains("only accounts"));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let served = Served::start().await;
    for path in ["/bake/8", "/bake/0", "/bake/x", "/bake/99999999999999999999", "/bake/", "/admin", "//"] {
        let page = served.get(path).await;
        assert_eq!(page.code, 404, "{path}");
        assert!(page.body.contains("There is no such"), "{path}: {}", page.body);
    }
}

#[tokio::test]
async fn a_probe_fails_on_problems_and_not_on_warnings() {
    let served = Served::start().await;
    let well = served.get("/healthz").await;
    assert_eq!((well.code, well.body.as_str()), (200, "OK\n"));
    served.complain(&[(Severity::Warning, "golden failed")]);
    let ill = served.get("/healthz").await;
    assert_eq!((ill.code, ill.body.as_str()), (200, "WARNING\nwarning: bake_failed: golden failed\n"));
    served.complain(&[(Severity::Warning, "golden failed"), (Severity::Problem, "silver failed twice")]);
    let worse = served.get("/healthz").await;
    let text = "PROBLEM\nproblem: bake_failed: silver failed twice\nwarning: bake_failed: golden failed\n";
    assert_eq!((worse.code, worse.body.as_str()), (503, text));
    // What restarts the daemon asks something else: no bake is better for it.
    let alive = served.get("/livez").await;
    assert_eq!((alive.code, alive.body.as_str()), (200, "ok\n"));
    served.fake.store.reader().close().await;
    assert_eq!(served.get("/livez").await.code, 200, "the history is another matter");
    served.fake.ticks.store(false, Ordering::Relaxed);
    assert_eq!(served.get("/livez").await.code, 503);
}

#[tokio::test]
async fn programs_get_json() {
    let served = Served::start().await;
    let status: Status = serde_json::from_str(&served.get("/status.json").await.body).unwrap();
    assert_eq!(status.running.iter().map(|bake| bake.id).collect::<Vec<_>>(), [3, 4]);
    let ids = async |query: &str| {
        let reply = served.get(&format!("/history.json{query}")).await;
        assert_eq!(reply.code, 200, "{query}");
        assert!(reply.head.contains("content-type: application/json"), "{}", reply.head);
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        body["bakes"].as_array().unwrap().iter().map(|bake| bake["id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, [5, 4, 3, 2, 6, 1, 7]);
    assert_eq!(ids("?limit=2").await, [5, 4]);
    for query in ["?limit=0", "?limit=1001", "?limit=-1", "?limit=x", "?limit=", "?state=failed"] {
        assert_eq!(served.get(&format!("/history.json{query}")).await.code, 400, "{query}");
    }
}

#[tokio::test]
async fn other_names_are_refused() {
    let served = Served::start().await;
    for host in ["127.0.0.1", "localhost:8080", "LOCALHOST", "page.localhost", "[::1]:80", "10.0.0.7", "[fd00::7]"] {
        assert_eq!(served.send(&format!("GET / HTTP/1.1\r\nHost: {host}")).await.code, 200, "{host}");
    }
    for host in
        ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "notlocalhost", "127.0.0.1@evil.example"]
    {
        let reply = served.send(&format!("GET / HTTP/1.1\r\nHost: {host}")).await;
        assert_eq!(reply.code, 421, "{host}");
        assert!(!reply.body.contains("golden"), "{}", reply.body);
    }
    for head in ["GET / HTTP/1.1", "GET / HTTP/1.0", "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example"] {
        assert_eq!(served.send(head).await.code, 421, "{head}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_headers() {
    let served = Served::start().await;
    let foreign = served.send("GET / HTTP/1.1\r\nHost: evil.example").await;
    let replies = [served.get("/").await, served.get("/page.css").await, served.get("/nowhere").await, foreign];
    for reply in replies {
        for header in ["cache-control: no-store", "default-src 'none'", "x-content-type-options: nosniff"] {
            assert!(reply.head.contains(header), "{header} is missing in {}", reply.head);
        }
    }
    assert!(served.get("/page.css").await.head.contains("content-type: text/css"));
}

#[tokio::test]
async fn only_reading_is_possible() {
    let served = Served::start().await;
    let head = served.send("HEAD / HTTP/1.1\r\nHost: localhost").await;
    assert_eq!((head.code, head.body.as_str()), (200, ""));
    assert!(head.head.contains("content-type: text/html"), "{}", head.head);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let reply = served.send(&format!("{method} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0")).await;
        assert_eq!(reply.code, 405, "{method}");
    }
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_reported() {
    let served = Served::start().await;
    served.fake.store.reader().close().await;
    let page = served.get("/").await;
    assert_eq!(page.code, 503);
    assert!(page.body.contains("the history cannot be read"), "{}", page.body);
    for path in ["/bake/1", "/healthz", "/status.json", "/history.json"] {
        let reply = served.get(path).await;
        assert_eq!(reply.code, 503, "{path}");
        assert!(reply.body.contains("the history could not"), "{path}: {}", reply.body);
    }
}

#[tokio::test]
async fn it_stops_although_a_visitor_lingers() {
    let served = Served::start().await;
    let mut lingering = TcpStream::connect(served.address).await.unwrap();
    lingering.write_all(b"GET / HTTP/1.1\r\nHost: lo").await.unwrap();
    assert_eq!(served.get("/healthz").await.code, 200);
    served.stop.cancel();
    tokio::time::timeout(Duration::from_secs(9), served.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_page_that_is_off_waits_for_the_end() {
    let served = Served::start().await;
    let page = StatusPage::bind(None).await.unwrap();
    assert_eq!(page.address(), None);
    served.stop.cancel();
    page.serve(Arc::clone(&served.fake) as Arc<dyn Source>, served.stop.clone()).await;
}

#[tokio::test]
async fn an_address_in_use_is_reported() {
    let served = Served::start().await;
    let error = StatusPage::bind(Some(served.address)).await.unwrap_err();
    assert!(error.to_string().contains(&served.address.to_string()), "{error}");
}
