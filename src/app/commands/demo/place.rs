//! What the show and the trial have in common: their files, the simulator and the daemon in this process.

use std::{
    collections::BTreeMap,
    fs::Permissions,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

use super::super::outcome::{Exit, Failure, Result};
use crate::{
    adapters::config,
    app::daemon::{self, Asked, DaemonError, Setup, Signals},
    domain::{clock::SystemClock, error::chain, suggestion::shell_word},
    sim::{Options, RunningSimulator, Simulator},
};

/// This program, as it was called.
pub(super) fn program() -> String {
    std::env::args_os().next().map_or_else(|| "imagebaked".to_owned(), |name| name.to_string_lossy().into_owned())
}

pub(super) fn signals() -> Result<mpsc::Receiver<Asked>> {
    let failed = |error| Failure::new(Exit::Failed, format!("signals cannot be received: {error}"));
    Ok(Signals::new().map_err(failed)?.receive())
}

/// The address if it is free, otherwise another one on loopback.
pub(super) async fn listen(wanted: Option<SocketAddr>) -> Result<TcpListener> {
    if let Some(wanted) = wanted
        && let Ok(listener) = TcpListener::bind(wanted).await
    {
        return Ok(listener);
    }
    let failed = |error| Failure::new(Exit::Failed, format!("cannot listen on loopback: {error}"));
    TcpListener::bind("127.0.0.1:0").await.map_err(failed)
}

pub(super) fn start(listener: TcpListener, options: Options) -> Result<RunningSimulator> {
    Simulator::start(listener, options, Arc::new(SystemClock))
        .map_err(|error| Failure::new(Exit::Failed, chain(&error)))
}

/// The files of a demonstration.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The configuration, by the path that the user typed.
    pub(super) typed: PathBuf,
    pub(super) config: PathBuf,
    pub(super) state: PathBuf,
    pub(super) keys: PathBuf,
    pub(super) socket: PathBuf,
}

impl Place {
    /// The files in this folder, by absolute paths: the daemon writes them into its configuration.
    pub(super) fn new(folder: &Path) -> Self {
        let at = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Self {
            typed: folder.join("imagebaked.toml"),
            config: at.join("imagebaked.toml"),
            state: at.join("state"),
            keys: at.join("keys"),
            socket: at.join("control.sock"),
        }
    }

    /// The beginning of a command line on this configuration.
    pub(super) fn command(&self) -> String {
        format!("{} --config {}", program(), shell_word(&self.typed.to_string_lossy()))
    }

    /// Writes the configuration and the key pair of the simulator.
    pub(super) fn write(&self, configuration: &str) -> Result<()> {
        let write = |path: &Path, text: &str| {
            std::fs::write(path, text)
                .map_err(|error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display())))
        };
        // Closed to others, as `doctor` wants it, although the keys are known.
        std::fs::create_dir_all(&self.keys)
            .and_then(|()| std::fs::set_permissions(&self.keys, Permissions::from_mode(0o700)))
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot make {}: {error}", self.keys.display())))?;
        for (name, key) in [("access_key_id", "sim-key-id"), ("access_key_secret", "sim-key-secret")] {
            let path = self.keys.join(name);
            write(&path, key)?;
            // As `doctor` wants it of real ones.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
                .map_err(|error| Failure::new(Exit::Failed, format!("cannot protect {}: {error}", path.display())))?;
        }
        write(&self.config, configuration)
    }
}

/// The daemon in this process.
pub(super) struct RunningDaemon {
    stop: mpsc::Sender<Asked>,
    pub(super) task: JoinHandle<std::result::Result<(), DaemonError>>,
}

impl RunningDaemon {
    pub(super) fn start(place: &Place) -> Result<Self> {
        // Without the environment of the host: no credentials, no settings.
        let environment = BTreeMap::new();
        let loaded = config::load(&place.config, &environment)
            .map_err(|problems| Failure { message: problems.render(false), exit: Exit::Usage })?;
        let setup = Setup {
            config: loaded.config,
            config_path: place.config.clone(),
            environment,
            clock: Arc::new(SystemClock),
            rng: fastrand::Rng::new(),
        };
        let (stop, asked) = mpsc::channel(1);
        Ok(Self { stop, task: tokio::spawn(daemon::run(setup, asked)) })
    }

    pub(super) async fn stop(self) -> Result<()> {
        let _ = self.stop.send(Asked::Stop).await;
        match self.task.await {
            Ok(Ok(())) => Ok(()),
            ended => Err(daemon_failed(ended)),
        }
    }
}

pub(super) fn daemon_failed(
    ended: std::result::Result<std::result::Result<(), DaemonError>, tokio::task::JoinError>,
) -> Failure {
    let message = match ended {
        Ok(Ok(())) => "the daemon ended before the demo did".to_owned(),
        Ok(Err(error)) => chain(&error),
        Err(error) => format!("the daemon failed: {error}"),
    };
    Failure::new(Exit::Failed, message)
}
