//! A host with a wrong clock, by the cloud's Date header.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not recognised as tests")]

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use chrono::TimeDelta;
use imagebaked::{
    adapters::{
        cloud::{CloudClient, CloudOptions, Environment, actions::ListImage, random_nonces},
        config,
        control::{BakeSelection, Reply, Request, client},
    },
    app::daemon::{self, Asked, Setup},
    domain::{
        clock::{Clock, ManualClock, SystemClock},
        image::judge::Action,
    },
    sim::{InstanceKind, InstanceSpec, Options, RunningSimulator, Simulator},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

/// A bake of the schedule.
fn golden() -> BakeSelection {
    BakeSelection { schedules: vec!["golden".into()], ..BakeSelection::default() }
}

#[tokio::test]
async fn a_clock_that_is_off_is_noticed_and_forgotten_when_it_is_right() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sim = Simulator::start(listener, Options::default(), Arc::new(SystemClock)).unwrap();
    let key = |name: &str| match name {
        "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some("sim-key-id".to_owned()),
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some("sim-key-secret".to_owned()),
        _ => None,
    };
    let options = CloudOptions {
        endpoint: Some(format!("http://{}", sim.addr())),
        requests_per_second: 100.0,
        ..CloudOptions::default()
    };
    let clock = ManualClock::at(SystemClock.now());
    let client = CloudClient::new(&options, Environment::read(key), Arc::new(clock.clone()), random_nonces()).unwrap();
    let skew = async || {
        let answer = client.list_images(&ListImage::default()).await;
        (answer.err().and_then(|error| error.code), client.clock_skew().map(|skew| skew.num_minutes()))
    };
    assert_eq!(skew().await, (None, None));
    clock.advance(-TimeDelta::minutes(5) - TimeDelta::seconds(5));
    assert_eq!(skew().await, (None, Some(5)), "a warning, and the call goes through");
    clock.advance(-TimeDelta::minutes(15));
    assert_eq!(skew().await, (Some("InvalidTimeStamp.Expired".to_owned()), Some(20)), "known from the error, too");
    clock.set(SystemClock.now());
    assert_eq!(skew().await, (None, None));
    sim.stop().await;
}

/// The real daemon with a clock that the test sets, against a cloud with its own clock.
struct World {
    clock: ManualClock,
    cloud: ManualClock,
    _sim: RunningSimulator,
    socket: PathBuf,
    stop: mpsc::Sender<Asked>,
    daemon: JoinHandle<()>,
    _folder: TempDir,
}

impl World {
    async fn begin() -> Self {
        let folder = TempDir::new().unwrap();
        let now = "2027-03-01T02:00:00Z".parse().unwrap();
        let (clock, cloud) = (ManualClock::at(now), ManualClock::at(now));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = Options {
            build_time: Duration::ZERO,
            instances: vec![InstanceSpec::running("ecd-1", InstanceKind::CloudDesktop)],
            ..Options::default()
        };
        let sim = Simulator::start(listener, options, Arc::new(cloud.clone())).unwrap();
        let (path, socket) = (folder.path().join("imagebaked.toml"), folder.path().join("control.sock"));
        let text = format!(
            "[cloud]\nendpoint = \"http://{}\"\nrequests_per_second = 1000\n[daemon]\nstate_dir = \"{}\"\n\
             control_socket = \"{}\"\nlisten = \"\"\nprune_interval = \"3650d\"\n[[schedule]]\nname = \"golden\"\n\
             instance_id = \"ecd-1\"\ncron = \"0 3 * * *\"\nkeep = {{ last = 1, grace = \"0s\" }}\n\
             channels = {{ stable = {{ after = \"3d\" }} }}\n",
            sim.addr(),
            folder.path().join("state").display(),
            socket.display()
        );
        std::fs::write(&path, text).unwrap();
        let environment: BTreeMap<String, String> = [
            ("ALIBABA_CLOUD_ACCESS_KEY_ID".to_owned(), "sim-key-id".to_owned()),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET".to_owned(), "sim-key-secret".to_owned()),
        ]
        .into();
        let setup = Setup {
            config: config::load(&path, &environment).unwrap().config,
            config_path: path,
            environment,
            clock: Arc::new(clock.clone()),
            rng: fastrand::Rng::with_seed(7),
        };
        let (stop, asked) = mpsc::channel(1);
        let daemon = tokio::spawn(async move { daemon::run(setup, asked).await.unwrap() });
        while client::ask(&socket, &Request::Status { all: false }).await.is_err() {
            assert!(!daemon.is_finished());
            tokio::task::yield_now().await;
        }
        Self { clock, cloud, _sim: sim, socket, stop, daemon, _folder: folder }
    }

    async fn ask(&self, request: Request) -> Reply {
        client::ask(&self.socket, &request).await.unwrap()
    }

    /// Moves both clocks ahead by this much, to the same true time.
    fn pass(&self, span: TimeDelta) {
        self.clock.advance(span);
        self.cloud.advance(span);
    }

    /// Makes one more image.
    async fn bake(&self) {
        let Reply::Bakes { bakes } = self.ask(Request::Bake(golden())).await else { panic!() };
        let mut seen = 0;
        loop {
            match self.ask(Request::Follow { bakes: bakes.clone(), seen }).await {
                Reply::Rows { rows, .. } if rows.iter().all(|row| !row["finished_at"].is_null()) => {
                    assert_eq!(rows[0]["state"], "succeeded", "{rows:?}");
                    return;
                }
                Reply::Rows { changes, .. } => seen = changes,
                other => panic!("{other:?}"),
            }
            self.pass(TimeDelta::seconds(30));
        }
    }

    /// The obstacle that a pass reports, and how many images it deleted.
    async fn prune(&self) -> (Option<String>, usize) {
        match self
            .ask(Request::Prune { dry_run: false, again: false, confirm: false, despite_failed_bake: false })
            .await
        {
            Reply::Pruned { report } => {
                let report = report.unwrap_or_default();
                let deleted = report.images.iter().filter(|judged| judged.action == Action::Delete).count();
                (report.problem, deleted)
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_deleted_by_a_clock_that_the_cloud_contradicts() {
    let world = World::begin().await;
    world.bake().await;
    world.pass(TimeDelta::minutes(10));
    world.bake().await;
    // The clock is ten minutes ahead, which the cloud accepts. The images stay, and the pass reports why.
    for off in [10, -10] {
        let truth = world.cloud.now();
        world.clock.step(truth + TimeDelta::minutes(off));
        let (problem, _) = world.prune().await;
        let side = if off > 0 { "ahead of" } else { "behind" };
        assert!(problem.as_ref().is_some_and(|why| why.contains(side)), "{problem:?}");
        let Reply::Status(status) = world.ask(Request::Status { all: false }).await else { panic!() };
        assert!(format!("{:?}", status.health).contains(side), "{:?}", status.health);
        world.clock.step(truth);
    }
    // The clock is right again. The first answer that agrees lets the pass go on.
    let (problem, deleted) = world.prune().await;
    assert_eq!((problem, deleted), (None, 1));
    drop(world.stop);
    world.daemon.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_stamp_that_is_refused_is_a_problem_of_the_clock_and_ends_when_that_is_set() {
    let world = World::begin().await;
    world.bake().await;
    let truth = world.cloud.now();
    world.clock.step(truth - TimeDelta::minutes(20));
    let Reply::Bakes { bakes } = world.ask(Request::Bake(golden())).await else { panic!() };
    let state = async || match world.ask(Request::Follow { bakes: bakes.clone(), seen: 0 }).await {
        Reply::Rows { rows, .. } => rows[0].clone(),
        other => panic!("{other:?}"),
    };
    let health = async || match world.ask(Request::Status { all: false }).await {
        Reply::Status(status) => format!("{:?}", status.health),
        other => panic!("{other:?}"),
    };
    while !health().await.contains("clock_skew") && !health().await.contains("ClockSkew") {
        tokio::task::yield_now().await;
    }
    let before = health().await;
    assert!(!before.to_lowercase().contains("credentials"), "{before}");
    assert!(state().await["finished_at"].is_null());
    // The clock is right again. The next try comes in less than a minute.
    world.clock.step(truth);
    while state().await["finished_at"].is_null() {
        world.ask(Request::Resume { schedule: "nobody".into() }).await;
        let now = world.clock.now();
        if now < truth + TimeDelta::minutes(50) {
            world.pass(TimeDelta::seconds(5));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(state().await["state"], "succeeded", "{}", state().await);
    drop(world.stop);
    world.daemon.await.unwrap();
}
