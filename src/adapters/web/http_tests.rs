//! The page over HTTP, with a history and a data source of its own.

#[path = "http_tests/access_tests.rs"]
mod access;
#[path = "http_tests/details_tests.rs"]
mod details;
#[path = "http_tests/history_for_tests.rs"]
mod history;
#[path = "http_tests/history_page_tests.rs"]
mod history_page;
#[path = "http_tests/overview_tests.rs"]
mod overview;
#[path = "http_tests/programs_tests.rs"]
mod programs;
#[path = "http_tests/serving_tests.rs"]
mod serving;
#[path = "http_tests/source_for_tests.rs"]
mod source;

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize},
};

use chrono::TimeDelta;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use self::{
    history::{HOSTILE, fill, now},
    source::Fake,
};
use super::*;
use crate::{
    adapters::store::Store,
    domain::{
        health::{Problem, ProblemCode, Severity, Subject, SubjectKind},
        schedule,
    },
};

struct Served {
    fake: Arc<Fake>,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    async fn start() -> Self {
        Self::start_with(Duration::ZERO).await
    }

    async fn start_with(fresh: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        fill(&store).await;
        let schedules = [
            ("win11-golden", "ecd-7w78ozhjcwa3u"),
            ("cad-station", "ws-0bz55ixxtb4p2g"),
            ("office-cn", "ecd-9ekw2la5v0hgd"),
            ("finance", "ecd-4jx0qqkx1d2aa"),
            ("hourly-dev", "ecd-2hourlyhourly"),
            (HOSTILE, HOSTILE),
        ];
        let schedules = schedules.iter().map(|(name, instance)| Arc::new(schedule::example(name, &[instance])));
        let fake = Arc::new(Fake {
            store,
            problems: Mutex::default(),
            ticks: AtomicBool::new(true),
            schedules: Mutex::new(schedules.collect()),
            config: Mutex::default(),
            asked: AtomicUsize::new(0),
            _dir: dir,
        });
        let hosts = vec!["bake.example.com".to_owned()];
        let longest_wait = Duration::from_mins(1);
        let page = StatusPage {
            fresh,
            longest_wait,
            ..StatusPage::bind(Some("127.0.0.1:0".parse().unwrap()), hosts).await.unwrap()
        };
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
