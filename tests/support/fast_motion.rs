//! The real daemon and the simulator in this process, on clocks that the test moves. Between the two is a line that the test
//! can cut.

#![expect(clippy::unwrap_used, unreachable_pub, reason = "helpers of tests are not recognised as tests")]
#![allow(dead_code, reason = "each is used by some tests")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use imagebaked::{
    adapters::{
        config,
        control::{ControlError, Reply, Request, client},
        store::{BakeRow, Filter, Reader},
    },
    app::daemon::{self, Asked, Setup},
    domain::{
        bake::State,
        clock::{Clock, ManualClock},
    },
    sim::{Options, RunningSimulator, Simulator},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

/// The host's clock: the true time, and what it is ahead of that.
#[derive(Debug, Clone)]
pub struct HostClock {
    pub truth: ManualClock,
    ahead: Arc<Mutex<TimeDelta>>,
}

impl HostClock {
    /// Sets it ahead of the true time, as a person or NTP does.
    pub fn set_ahead(&self, span: TimeDelta) {
        *self.ahead.lock().unwrap() = span;
    }
}

impl Clock for HostClock {
    fn now(&self) -> DateTime<Utc> {
        self.truth.now() + *self.ahead.lock().unwrap()
    }

    fn boottime(&self) -> Duration {
        self.truth.boottime()
    }

    fn boot_id(&self) -> Option<String> {
        self.truth.boot_id()
    }
}

/// Forwards connections to the simulator until it is cut.
#[derive(Debug)]
struct Line {
    from: SocketAddr,
    to: SocketAddr,
    task: Option<JoinHandle<()>>,
}

impl Line {
    async fn open(&mut self) {
        let listener = TcpListener::bind(self.from).await.unwrap();
        self.from = listener.local_addr().unwrap();
        let to = self.to;
        self.task = Some(tokio::spawn(async move {
            // Dropped with the task, and with it every connection.
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(to).await {
                        let _ = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        }));
    }

    async fn cut(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

/// Where the daemon finds its things.
#[derive(Debug)]
pub struct Places {
    pub endpoint: SocketAddr,
    pub state_dir: PathBuf,
    pub socket: PathBuf,
}

/// A daemon and its cloud.
#[derive(Debug)]
pub struct FastMotion {
    pub clock: HostClock,
    pub sim: RunningSimulator,
    pub reader: Reader,
    socket: PathBuf,
    line: Line,
    stop: mpsc::Sender<Asked>,
    daemon: JoinHandle<()>,
    _folder: TempDir,
}

impl FastMotion {
    /// Starts both at `now`. `config` makes the text of the configuration.
    pub async fn begin(now: DateTime<Utc>, options: Options, config: impl FnOnce(&Places) -> String) -> Self {
        let key =
            [("ALIBABA_CLOUD_ACCESS_KEY_ID", "sim-key-id"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "sim-key-secret")];
        let environment = key.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self::begin_with(environment, now, options, config).await
    }

    /// The same with other variables, for other credentials.
    pub async fn begin_with(
        environment: BTreeMap<String, String>,
        now: DateTime<Utc>,
        options: Options,
        config: impl FnOnce(&Places) -> String,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let truth = ManualClock::at(now);
        let clock = HostClock { truth: truth.clone(), ahead: Arc::default() };
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(any_port).await.unwrap();
        let sim = Simulator::start(listener, options, Arc::new(truth)).unwrap();
        let mut line = Line { from: any_port, to: sim.addr(), task: None };
        line.open().await;
        let path = folder.path().join("imagebaked.toml");
        let places = Places {
            endpoint: line.from,
            state_dir: folder.path().join("state"),
            socket: folder.path().join("control.sock"),
        };
        std::fs::write(&path, config(&places)).unwrap();
        let (stop, asked) = mpsc::channel(1);
        let setup = setup(&path, environment, clock.clone());
        let daemon = tokio::spawn(async move { daemon::run(setup, asked).await.unwrap() });
        let reader = loop {
            match client::ask(&places.socket, &Request::Status { all: false }).await {
                Ok(_) => break Reader::open(&places.state_dir).await.unwrap(),
                Err(error) => assert!(!daemon.is_finished(), "{error}"),
            }
            tokio::task::yield_now().await;
        };
        Self { clock, sim, reader, socket: places.socket, line, stop, daemon, _folder: folder }
    }

    pub async fn ask(&self, request: Request) -> Reply {
        client::ask(&self.socket, &request).await.unwrap()
    }

    /// Makes the engine read the clock. Any request does.
    pub async fn nudge(&self) {
        let resume = Request::Resume { schedule: "nobody".into() };
        // On a busy machine an answer may come later than a command waits for it.
        while let Err(error) = client::ask(&self.socket, &resume).await {
            assert!(matches!(error, ControlError::Silent { .. }), "{error}");
        }
    }

    /// Sends a command to the simulator.
    pub async fn control(&self, method: &str, control: &str, body: &str) {
        let mut stream = TcpStream::connect(self.sim.addr()).await.unwrap();
        let head = format!(
            "{method} /_sim/{control} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{control}: {answer}");
    }

    /// The bakes that have not ended.
    pub async fn open(&self) -> Vec<BakeRow> {
        let states = ["queued"].iter().chain(&State::RUNNING_WORDS).map(|&word| word.to_owned()).collect();
        self.reader.history(&Filter { states, limit: 10_000, ..Filter::default() }).await.unwrap()
    }

    /// Lets the daemon do all that is to be done now, and answers with the open bakes. A bake whose call is answered waits for
    /// a later time; one that goes on waiting without a time of its own costs a moment.
    pub async fn settle(&self) -> Vec<BakeRow> {
        let mut before = Vec::new();
        let mut unchanged_since = Instant::now();
        loop {
            self.nudge().await;
            let rows = self.open().await;
            let now = self.clock.now().timestamp_millis();
            let is_pending = |row: &BakeRow| row.state != "queued" && row.wake_at.is_none_or(|at| at <= now);
            let pending: Vec<_> =
                rows.iter().filter(|row| is_pending(row)).map(|row| (row.id, row.state.clone(), row.wake_at)).collect();
            if pending != before {
                before = pending;
                unchanged_since = Instant::now();
            } else if before.is_empty() || unchanged_since.elapsed() > Duration::from_millis(300) {
                return rows;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Goes on to `until`, in steps to the next instant that some bake waits for.
    pub async fn go_on_to(&self, until: DateTime<Utc>) {
        while self.clock.truth.now() < until {
            let rows = self.settle().await;
            let now = self.clock.truth.now();
            let ahead = self.clock.now() - now;
            let wakes =
                rows.iter().filter_map(|row| DateTime::from_timestamp_millis(row.wake_at?)).map(|at| at - ahead);
            // What is due within two minutes is done at once: smaller steps would take long.
            let next = wakes.filter(|at| *at > now).min().map(|at| at.max(now + TimeDelta::minutes(2)));
            let step = next.unwrap_or(until).min(now + TimeDelta::minutes(10)).min(until);
            self.clock.truth.set(step);
        }
        self.settle().await;
    }

    /// Nobody listens at the cloud's address any more.
    pub async fn cut_line(&mut self) {
        self.line.cut().await;
    }

    pub async fn restore_line(&mut self) {
        self.line.open().await;
    }

    pub async fn end(mut self) {
        self.stop.send(Asked::Stop).await.unwrap();
        self.daemon.await.unwrap();
        self.line.cut().await;
        self.sim.stop().await;
    }
}

fn setup(path: &Path, environment: BTreeMap<String, String>, clock: HostClock) -> Setup {
    Setup {
        config: config::load(path, &environment).unwrap().config,
        config_path: path.to_owned(),
        environment,
        clock: Arc::new(clock),
        rng: fastrand::Rng::with_seed(7),
    }
}
