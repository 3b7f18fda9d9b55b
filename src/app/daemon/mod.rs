//! The daemon: sets up clock, history, cloud and engine, and defines the order of start and stop.
//!
//! Start: history (with the lock on the state directory), cloud, engine, control socket, then READY. If the
//! history was restored or is empty, the engine starts nothing before the comparison with the cloud. Stop, on SIGTERM
//! or SIGINT: engine (which waits a limited time for calls in flight), socket, history. A second signal ends
//! the process at once, like a power cut; the next start is the same in all cases.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch::Sender};
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        cloud::CloudError,
        config::Config,
        control, failpoint,
        store::{ITSELF, Store, StoreError},
        systemd,
        web::{
            http::{PageError, StatusPage},
            source::Source,
        },
    },
    domain::clock::Clock,
};

mod calls;
mod catch_panic;
mod clocks;
mod context;
mod control_clients;
mod control_server;
mod engine;
mod health;
mod history_problems;
mod housekeeping;
mod identity_change;
mod image_tasks;
mod life;
mod not_in_force;
mod page;
mod planner;
mod problems;
mod reconcile;
mod reload;
mod remote_images;
mod schedule_rows;
mod service_status;
mod signals;
mod signposts;
mod slot_lists;
mod standing;
mod status;
mod task_reports;
mod watch;
mod watchdog;

#[cfg(test)]
mod context_for_tests;

pub use self::calls::client;
use self::context::DaemonContext;
pub use self::control_server::SocketError;
pub use self::engine::{Engine, EngineRequest, EngineStatus, PlannedLine, RequestError};
pub use self::identity_change::{changed_owner, identity_changes};
pub use self::image_tasks::{
    edit::change_of_images,
    judging::{Judge, Mode, judgement},
    strays::failed_images,
};
pub use self::planner::StoredTiming;
pub use self::reconcile::{ReconcileError, compare_history};
pub use self::schedule_rows::schedule_rows;
pub use self::signals::{Asked, Signals};
use self::signposts::Signposts;

/// Length of the engine's request queue; further senders wait.
const ORDERS: usize = 256;

/// Maximum time to end the other tasks and close the history, after the engine has drained.
const AFTER_DRAIN: Duration = Duration::from_secs(10);
/// Interval of extending systemd's stop timeout.
const STOP_BOUND_RENEWED: Duration = Duration::from_mins(1);

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
    /// The engine ended unexpectedly.
    #[error("the engine ended badly")]
    Engine(#[source] tokio::task::JoinError),
}

/// Input of the daemon. It reads nothing else from the process.
#[derive(Debug)]
pub struct Setup {
    /// The valid configuration.
    pub config: Config,
    /// Its path, for reloads.
    pub config_path: PathBuf,
    /// Environment of the process, for keys of the configuration and for credentials.
    pub environment: BTreeMap<String, String>,
    /// Source of time.
    pub clock: Arc<dyn Clock>,
    /// Seed of the retry jitter.
    pub rng: fastrand::Rng,
}

/// Runs until a stop is requested, or nobody can request one any more.
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
    let signposts = Signposts::new(&config.daemon.control_socket);
    if let Err(error) = signposts.put(&config.daemon.state_dir.join(control::SOCKET_LINK)) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the state directory has no link to the control socket"
        );
    }
    let page = StatusPage::bind(config.daemon.listen, config.daemon.page_hosts.clone()).await?;

    let (orders, received) = mpsc::channel(ORDERS);
    let stop = CancellationToken::new();
    let drain = config.daemon.drain;
    let config = Arc::new(config);
    let shared = Arc::new(DaemonContext {
        store: Arc::clone(&store),
        cloud,
        clock,
        orders,
        engine: engine_status,
        config_path,
        environment,
        started_with: Arc::clone(&config),
        config: Mutex::new(config),
        image_lock: tokio::sync::Mutex::default(),
        passes: Mutex::default(),
        activations: Sender::default(),
        task_reports: Mutex::default(),
        housekeeping: housekeeping::board::Board::default(),
        on_disk: Mutex::default(),
        standing: tokio::sync::Mutex::default(),
        reloading: tokio::sync::Mutex::default(),
        signposts,
        started,
    });
    shared.store.set_zone(shared.zone());
    let engine_stop = CancellationToken::new();
    let engine = tokio::spawn(engine.run(received, engine_stop.clone(), drain));
    let settling = tokio::spawn(reconcile::settle(Arc::clone(&shared), engine_stop.clone()));
    let control = tokio::spawn(socket.serve(Arc::clone(&shared), stop.clone()));
    let page = tokio::spawn(page.serve(Arc::clone(&shared) as Arc<dyn Source>, stop.clone()));
    let watch = tokio::spawn(watch::run(Arc::clone(&shared), stop.clone()));
    let watchdog = tokio::spawn(watchdog::run(shared.engine.clone(), stop.clone()));
    let problems = tokio::spawn(problems::run(Arc::clone(&shared), stop.clone()));
    let service_status = tokio::spawn(service_status::run(Arc::clone(&shared), stop.clone()));
    let image_tasks = tokio::spawn(image_tasks::run(Arc::clone(&shared), engine_stop.clone(), rng_of_copies));
    let housekeeping = tokio::spawn(housekeeping::run(Arc::clone(&shared), engine_stop.clone()));
    // The first turn does not wait for the engine's timer: missed slots and running bakes continue now.
    let _ = shared.orders.send(EngineRequest::Tick).await;
    reload::note_left_out(&shared, ITSELF).await;
    reload::note_changed_owner(&shared, ITSELF).await;
    life::record(&shared, life::started(&shared)).await;
    systemd::ready(&service_status::line(&shared).await);
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
            // The engine ends by itself only if it cannot continue; the reason is evaluated below.
            joined = &mut engine => {
                ended = Some(joined);
                break;
            }
        }
    }

    tracing::info!("stopping");
    let stop_bound = tokio::time::Instant::now() + drain + AFTER_DRAIN;
    ask_for_time_to_stop(stop_bound);
    engine_stop.cancel();
    let by_itself = ended.is_some();
    let ended = match ended {
        Some(ended) => ended,
        None => loop {
            tokio::select! {
                ended = &mut engine => break ended,
                () = tokio::time::sleep(STOP_BOUND_RENEWED) => ask_for_time_to_stop(stop_bound),
            }
        },
    };
    let in_order = matches!(ended, Ok(Ok(())));
    let outcome = match ended {
        Ok(outcome) => outcome.map_err(DaemonError::from),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the engine ended unexpectedly; its last commit is valid"
            );
            if by_itself { Err(DaemonError::Engine(error)) } else { Ok(()) }
        }
    };
    stop.cancel();
    for task in [settling, image_tasks, housekeeping, control, page, watch, watchdog, problems, service_status] {
        // They have nothing to save; a panic was logged when it happened.
        let _ = task.await;
    }
    if store.replaced().is_some() {
        save_lost(&store, shared.clock.now()).await;
    } else if !in_order {
        store.abandon().await;
    } else {
        life::record(&shared, life::stopped()).await;
        store.close().await;
    }
    tracing::info!("stopped");
    outcome
}

/// systemd accepts at most 71 minutes, and `drain` may be longer: the timeout is extended during the stop.
fn ask_for_time_to_stop(until: tokio::time::Instant) {
    systemd::stopping(until.saturating_duration_since(tokio::time::Instant::now()));
}

/// Closes a history whose files have lost their names or were overwritten, after saving its content.
async fn save_lost(store: &Store, now: DateTime<Utc>) {
    if store.is_overwritten() {
        store.leave_overwritten().await;
        set_log_aside(store);
        tracing::error!(
            "another database was copied over the history while the daemon used it; what was written since the last checkpoint \
             is in the log alone. Restore a backup if the file is not the one that you want: `imagebaked restore`"
        );
        return;
    }
    let saved = if store.has_lost_database() { Some(store.save_copy(now).await) } else { None };
    store.close().await;
    match saved {
        // Only the files beside it were changed: the content of the log is in the database now.
        None => {}
        Some(Ok(saved)) => match store.put_back(&saved) {
            Ok(true) => tracing::error!("the history was removed while the daemon used it; the daemon has restored it"),
            Ok(false) => tracing::error!(
                path = %saved.display(),
                "the history was replaced while the daemon used it; the former one is saved as {0}, `imagebaked restore {0}` brings \
                 it back",
                saved.display()
            ),
            Err(error) => tracing::error!(
                path = %saved.display(), error = &error as &dyn std::error::Error,
                "the history was removed while the daemon used it; it is saved as {}", saved.display()
            ),
        },
        Some(Err(error)) => {
            tracing::error!(
                error = crate::domain::error::chain(&error),
                "the history was replaced while the daemon used it, and could not be saved"
            );
        }
    }
    set_log_aside(store);
}

/// The log of the former database must not meet the one with its name.
fn set_log_aside(store: &Store) {
    match store.set_foreign_log_aside() {
        Ok(None) => {}
        Ok(Some(aside)) => {
            tracing::warn!(log = %aside.display(), "the write-ahead log of the former history was moved aside");
        }
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "the write-ahead log of the former history could not be moved aside; the next start does it"
        ),
    }
}
