//! The daemon: the one place where clock, history, cloud and engine are put together, and the order in which they start
//! and stop.
//!
//! Start: history (and with it the lock on the state directory), cloud, engine, control socket, pulse, then READY. Where the
//! history was restored or is empty, the engine begins nothing before it was compared with the cloud. Stop, on
//! SIGTERM or SIGINT: pulse, engine (which waits a bounded time for calls under way), socket, history. A second signal
//! ends the process at once; so does a power cut, and the next start is the same for all three.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::sync::{
    mpsc, oneshot,
    watch::{Receiver, Sender},
};
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        cloud::{CloudClient, CloudError},
        config::Config,
        failpoint,
        store::{ITSELF, Reader, Store, StoreError},
        systemd,
        web::{
            self,
            http::{PageError, Source, StatusFuture, StatusPage},
        },
    },
    domain::{
        clock::{Clock, STEP_BACK, earlier, watch::ClockBlocker},
        status::{Bakes, Daemon, Held, Next, OnDisk, Paused, Status, Zones},
    },
};

mod calls;
mod clocks;
mod control_server;
mod engine;
mod health;
mod history_problems;
mod image_tasks;
mod planner;
mod reconcile;
mod reload;
mod remote_images;
mod signals;
mod slot_lists;
mod ticker;
mod watch;
mod watchdog;

pub use self::calls::client;
pub use self::control_server::SocketError;
pub use self::engine::{Engine, EngineRequest, EngineStatus, PlannedLine, RequestError};
use self::health::Judgement;
pub use self::image_tasks::{edit::change_of_images, prune::judgement, strays::failed_images};
pub use self::planner::StoredTiming;
pub use self::reconcile::{ReconcileError, look};
use self::reload::Files;
pub use self::signals::{Asked, Signals};

/// Orders that wait for the engine; beyond it askers wait.
const ORDERS: usize = 256;

/// Why the daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The history.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cloud's client.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The control socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The status page.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The engine ended by itself.
    #[error("the engine ended badly")]
    Engine(#[source] tokio::task::JoinError),
    /// The metronome.
    #[error("the metronome could not be started")]
    Ticker(#[from] tokio_cron_scheduler::JobSchedulerError),
}

/// What the daemon is started with. Nothing in it is read again from the process.
#[derive(Debug)]
pub struct Setup {
    /// The configuration, checked.
    pub config: Config,
    /// Where it was read from, for reloads.
    pub config_path: PathBuf,
    /// The process's environment, for layers of the configuration and for credentials.
    pub environment: BTreeMap<String, String>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Seeds retry jitter.
    pub rng: fastrand::Rng,
}

/// What the tasks of the daemon share.
#[derive(Debug)]
struct DaemonContext {
    store: Arc<Store>,
    cloud: Arc<CloudClient>,
    clock: Arc<dyn Clock>,
    orders: mpsc::Sender<EngineRequest>,
    engine: Receiver<EngineStatus>,
    config_path: PathBuf,
    environment: BTreeMap<String, String>,
    // Read for a moment, replaced at a reload: never held across an await.
    config: Mutex<Arc<Config>>,
    // What counts only from the start on is in force as it stood here.
    started_with: Arc<Config>,
    // Held through a pass over the images, so that two never cross.
    keeping: tokio::sync::Mutex<()>,
    // Counts what commands changed about images: those who look after them look again.
    stirred: Sender<u64>,
    on_disk: Mutex<reload::Tried>,
    reloading: tokio::sync::Mutex<()>,
    /// The clock, and the time since boot, at the start.
    started: (DateTime<Utc>, Duration),
}

/// Runs until it is asked to stop, or nobody is left who could ask.
pub async fn run(setup: Setup, mut asked: mpsc::Receiver<Asked>) -> Result<(), DaemonError> {
    let Setup { config, config_path, environment, clock, mut rng } = setup;
    let rng_of_copies = rng.fork();
    let started = (clock.now(), clock.boottime());
    let store = Arc::new(Store::open(&config.daemon.state_dir).await?);
    failpoint::hit("start", "history");
    let cloud = Arc::new(calls::client(&config, &environment, &clock)?);
    let (engine, engine_status) =
        Engine::new(&config, Arc::clone(&store), Arc::clone(&cloud), Arc::clone(&clock), rng).await?;
    failpoint::hit("start", "engine");
    let socket = control_server::ControlSocket::bind(&config.daemon.control_socket).await?;
    failpoint::hit("start", "socket");
    let page = StatusPage::bind(config.daemon.listen).await?;

    let (orders, received) = mpsc::channel(ORDERS);
    let stop = CancellationToken::new();
    let drain = config.daemon.drain;
    let config = Arc::new(config);
    let shared = Arc::new(DaemonContext {
        store: Arc::clone(&store),
        cloud,
        clock,
        orders: orders.clone(),
        engine: engine_status,
        config_path,
        environment,
        started_with: Arc::clone(&config),
        config: Mutex::new(config),
        keeping: tokio::sync::Mutex::default(),
        stirred: Sender::default(),
        on_disk: Mutex::default(),
        reloading: tokio::sync::Mutex::default(),
        started,
    });
    let engine_stop = CancellationToken::new();
    let engine = tokio::spawn(engine.run(received, engine_stop.clone(), drain));
    let settling = tokio::spawn(reconcile::settle(Arc::clone(&shared), engine_stop.clone()));
    let control = tokio::spawn(socket.serve(Arc::clone(&shared), stop.clone()));
    let page = tokio::spawn(page.serve(Arc::clone(&shared) as Arc<dyn Source>, stop.clone()));
    let watch = tokio::spawn(watch::run(Arc::clone(&shared), stop.clone()));
    let watchdog = tokio::spawn(watchdog::run(shared.engine.clone(), stop.clone()));
    let keeper = tokio::spawn(image_tasks::run(Arc::clone(&shared), engine_stop.clone()));
    let copies = tokio::spawn(image_tasks::distribute::run(Arc::clone(&shared), engine_stop.clone(), rng_of_copies));
    let channels = tokio::spawn(image_tasks::channels::run(Arc::clone(&shared), engine_stop.clone()));
    let checks = tokio::spawn(image_tasks::verify::run(Arc::clone(&shared), engine_stop.clone()));
    let pulse = ticker::Ticker::start(orders, Arc::clone(&store)).await?;
    // The first look does not wait for a pulse: what was missed or under way goes on now.
    let _ = shared.orders.send(EngineRequest::Look).await;
    reload::note_left_out(&shared, ITSELF).await;
    systemd::ready(&shared.one_line());
    failpoint::hit("start", "ready");
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        schedules = shared.config().schedules.len(),
        state_dir = %shared.config().daemon.state_dir.display(),
        time_zones = %shared.config().zones,
        "imagebaked is ready"
    );

    let mut engine = engine;
    let mut ended = None;
    loop {
        tokio::select! {
            what = asked.recv() => match what {
                Some(Asked::Reload) => {
                    reload::reload(&shared, "SIGHUP").await;
                }
                _ => break,
            },
            // By itself it only ends where it cannot go on; what has become of it is seen below.
            joined = &mut engine => {
                ended = Some(joined);
                break;
            }
        }
    }

    tracing::info!("stopping");
    systemd::stopping(drain + Duration::from_secs(10));
    pulse.stop().await;
    engine_stop.cancel();
    let by_itself = ended.is_some();
    let ended = match ended {
        Some(ended) => ended,
        None => engine.await,
    };
    let in_order = matches!(ended, Ok(Ok(())));
    let outcome = match ended {
        Ok(outcome) => outcome.map_err(DaemonError::from),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the engine ended badly; its last commit stands");
            if by_itself { Err(DaemonError::Engine(error)) } else { Ok(()) }
        }
    };
    stop.cancel();
    for task in [settling, keeper, copies, channels, checks, control, page, watch, watchdog] {
        // Nothing to save in them; a panic was printed when it happened.
        let _ = task.await;
    }
    if store.replaced().is_some() {
        save_lost(&store, shared.clock.now()).await;
    } else if !in_order {
        store.abandon().await;
    } else {
        store.close().await;
    }
    tracing::info!("stopped");
    outcome
}

/// Closes a history whose files have lost their names, after saving what is in it.
async fn save_lost(store: &Store, now: DateTime<Utc>) {
    let saved = if store.has_lost_database() { Some(store.save_copy(now).await) } else { None };
    store.close().await;
    match saved {
        // Only what is beside it was touched: what was in the log is in the database now.
        None => {}
        Some(Ok(saved)) => match store.put_back(&saved) {
            Ok(true) => tracing::error!("the history was removed under the daemon, which has put it back as it was"),
            Ok(false) => tracing::error!(
                path = %saved.display(),
                "the history was replaced under the daemon; what it was is saved as {0}, `imagebaked restore {0}` brings \
                 it back",
                saved.display()
            ),
            Err(error) => tracing::error!(
                path = %saved.display(), error = &error as &dyn std::error::Error,
                "the history was removed under the daemon; what it was is saved as {}", saved.display()
            ),
        },
        Some(Err(error)) => {
            tracing::error!(
                error = crate::domain::error::chain(&error),
                "the history was replaced under the daemon, and could not be saved"
            );
        }
    }
}

impl Source for DaemonContext {
    fn status(&self) -> StatusFuture<'_> {
        Box::pin(Self::status(self))
    }

    fn reader(&self) -> &Reader {
        self.store.reader()
    }

    fn is_ticking(&self) -> bool {
        health::is_ticking(&self.engine.borrow())
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}

impl DaemonContext {
    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace_config(&self, config: Arc<Config>) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Gives the engine an order and waits for its answer; fails in words.
    async fn order<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> EngineRequest,
    ) -> Result<T, String> {
        let stopping = || "the daemon is stopping".to_owned();
        let (reply, answer) = oneshot::channel();
        self.orders.send(make(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?.map_err(|error| crate::domain::error::chain(&error))
    }

    /// When the daemon started. By the present clock, where the one that it started with was set since: a daemon is not years
    /// old for having begun at boot before the clock was set.
    fn started_at(&self) -> DateTime<Utc> {
        let (started_at, began) = self.started;
        let by_boottime = earlier(self.clock.now(), self.clock.boottime().saturating_sub(began));
        if (by_boottime - started_at).abs() <= STEP_BACK { started_at } else { by_boottime }
    }

    /// The instant by which ages are judged now, or why nothing may be marked, deleted or moved to a channel: this host's
    /// clock is in doubt. To be asked again right before each of these.
    fn clocks_agree(&self) -> Result<DateTime<Utc>, ClockBlocker> {
        self.cloud.clocks().agreed()
    }

    /// The same, after the cloud was asked for its time where it has not told it yet.
    async fn confirm_clocks(&self) -> Result<DateTime<Utc>, ClockBlocker> {
        self.cloud.ask_for_the_time().await;
        self.clocks_agree()
    }

    /// Images were changed by a command; whoever looks after them looks again.
    fn stir(&self) {
        self.stirred.send_modify(|count| *count += 1);
    }

    /// Counts what may have changed bakes and images; never goes back.
    fn changes(&self) -> u64 {
        self.engine.borrow().changes + *self.stirred.borrow()
    }

    /// The count once it is another one than `seen`; `None` when the engine has ended.
    async fn changed_since(&self, seen: u64) -> Option<u64> {
        let (mut engine, mut images) = (self.engine.clone(), self.stirred.subscribe());
        loop {
            // What comes after this look wakes the wait below.
            engine.mark_unchanged();
            images.mark_unchanged();
            let count = self.changes();
            if count != seen {
                return engine.has_changed().is_ok().then_some(count);
            }
            tokio::select! {
                changed = engine.changed() => changed.ok()?,
                changed = images.changed() => changed.ok()?,
            }
        }
    }

    /// For `systemctl status`.
    fn one_line(&self) -> String {
        let engine = self.engine.borrow();
        let next = engine.upcoming.first().map_or_else(
            || "no slot to come".to_owned(),
            |next| format!("next {} at {}", next.schedule, next.slot.with_timezone(&next.zone).format("%F %R %Z")),
        );
        format!("{} schedules, {next}", engine.schedules)
    }

    async fn status(&self) -> Result<Status, StoreError> {
        let now = self.clock.now();
        let engine = self.engine.borrow().clone();
        let config = self.config();
        let Bakes { running, waiting, queued, last_day } = web::from_history(self.store.reader(), now).await?;
        let held = engine.hold.as_ref().map(engine::Suspension::headline);
        let late = web::late(self.store.reader(), &running, config.daemon.max_builders, held.as_deref(), now).await?;
        let credentials = self.cloud.credentials_in_use().await;
        let files = self.compare_files();
        let Judgement { health, no_image_yet } = self.judge(&engine, files, now).await?;
        let utc = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        Ok(Status {
            daemon: Daemon {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                started_at: utc(self.started_at()),
                config_hash: engine.config_hash.clone(),
                config_files: config.files.iter().map(|file| file.display().to_string()).collect(),
                config_on_disk: match files {
                    Files::InForce => OnDisk::InForce,
                    Files::Edited => OnDisk::Edited,
                    Files::Refused { .. } => OnDisk::Refused,
                },
                schedules: engine.schedules,
                credentials: credentials.map(|(source, _)| source.to_string()),
                credentials_expire_at: credentials.and_then(|(_, expires_at)| expires_at).map(utc),
                zones: Some(Zones {
                    release: config.zones.version().to_owned(),
                    source: config.zones.origin().to_owned(),
                }),
            },
            health,
            no_image_yet,
            running,
            waiting,
            queued,
            late,
            held: engine.hold.as_ref().map(|hold| Held { since: utc(hold.since), reason: hold.message.clone() }),
            paused_in_file: config.schedules.iter().filter(|one| one.paused).map(|one| one.name.to_string()).collect(),
            paused: engine
                .pauses
                .iter()
                .filter(|pause| pause.until.is_none_or(|until| now < until))
                .map(|pause| Paused {
                    schedule: pause.schedule_id.to_string(),
                    since: utc(pause.since),
                    until: pause.until.map(utc),
                    who: pause.who.clone(),
                    reason: pause.reason.clone(),
                })
                .collect(),
            next: engine
                .upcoming
                .iter()
                .map(|next| Next {
                    schedule: next.schedule.clone(),
                    instance_id: next.instance.to_string(),
                    slot: utc(next.slot),
                    local: next.slot.with_timezone(&next.zone).format("%F %T %Z").to_string(),
                })
                .collect(),
            last_day,
        })
    }
}
