//! What all commands have in common: the options before the command, the configuration, the daemon and the history.

use std::{
    collections::BTreeMap,
    fs,
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    outcome::{CommandOutput, Exit, Failure, Result, refused},
    output::Zones,
    terminal::print_error,
};
use crate::{
    adapters::{
        config::{self, Config, DaemonSettings, Loaded},
        control::{
            ControlError, Reply, Request, SOCKET_LINK,
            client::{self, Located},
        },
        store::{Reader, StoreError},
    },
    domain::{calendar::zone::Zone, error::chain, ids::InstanceId, image::passes::NextPass, schedule::Schedule},
};

/// Common input of all commands.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) config_path: &'a Path,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) json: bool,
    pub(super) color: bool,
}

impl Context<'_> {
    /// The configuration, or its problems as a failure. Warnings go to standard error.
    pub(super) fn config(&self) -> Result<Config> {
        let loaded = self.load()?;
        if !loaded.warnings.is_empty() {
            print_error(&loaded.warnings.render(self.color_of_stderr()));
        }
        Ok(loaded.config)
    }

    /// The configuration as far as needed to find daemon and history: errors in it must not block reading the history.
    /// The state directory and the socket are those that the running daemon uses.
    pub(super) async fn locate_daemon(&self) -> Result<Config> {
        Ok(self.with_running(self.lenient_config()?).await)
    }

    /// The configuration with the state directory and the socket that the running daemon uses.
    pub(super) async fn with_running(&self, mut config: Config) -> Config {
        if let Some(Located { socket, state_dir }) = self.running(&config).await {
            config.daemon.control_socket = socket;
            config.daemon.state_dir = state_dir;
        }
        config
    }

    /// The valid part of the configuration.
    fn lenient_config(&self) -> Result<Config> {
        match config::load_lenient(self.config_path, &self.environment) {
            (Some(config), problems) if !config.files.is_empty() => {
                if problems.has_errors() {
                    print_error(&format!(
                        "warning: the configuration has {}; see `imagebaked check`",
                        problems.summary()
                    ));
                }
                Ok(config)
            }
            (_, problems) => Err(Failure { message: problems.render(self.color_of_stderr()), exit: Exit::Usage }),
        }
    }

    pub(super) fn load(&self) -> Result<Loaded> {
        config::load(self.config_path, &self.environment)
            .map_err(|problems| Failure { message: problems.render(self.color_of_stderr()), exit: Exit::Usage })
    }

    /// Zone of times that belong to no schedule: that of the host. UTC if it is not known.
    pub(super) fn zone(&self) -> Zone {
        let linked = fs::read_link("/etc/localtime").ok();
        let linked = linked.as_deref().and_then(Path::to_str).and_then(|path| path.split_once("zoneinfo/"));
        let written = fs::read_to_string("/etc/timezone").ok();
        let of_process = self.environment.get("TZ").map(|name| name.trim_start_matches(':'));
        let names = [of_process, linked.map(|(_, name)| name), written.as_deref()];
        names.into_iter().flatten().find_map(|name| Zone::find(name.trim())).unwrap_or(Zone::UTC)
    }

    /// Zones of all schedules.
    pub(super) fn zones(&self, config: &Config) -> Zones {
        let words = |schedule: &Arc<Schedule>| {
            [schedule.name.as_str(), schedule.id.as_str()].map(|word| (word.to_owned(), schedule.timing.zone()))
        };
        Zones { host: self.zone(), schedules: config.schedules.iter().flat_map(words).collect() }
    }

    /// Zone of a schedule, by name or id; that of the host if the configuration does not have it.
    pub(super) fn zone_of(&self, config: &Config, wanted: Option<&str>) -> Zone {
        let is_wanted =
            |schedule: &&Arc<Schedule>| [schedule.name.as_str(), schedule.id.as_str()].map(Some).contains(&wanted);
        config.schedules.iter().find(is_wanted).map_or_else(|| self.zone(), |schedule| schedule.timing.zone())
    }

    pub(super) fn color_of_stderr(&self) -> bool {
        self.color && std::io::stderr().is_terminal()
    }

    pub(super) async fn ask(&self, config: &Config, request: Request) -> Result<Reply> {
        let answer = client::ask(&config.daemon.control_socket, &request).await;
        let sent = matches!(
            answer,
            Err(ControlError::Broken(_)
                | ControlError::Silent { .. }
                | ControlError::Slow { .. }
                | ControlError::Garbled(_)
                | ControlError::TooLong { .. })
        );
        answer.map_err(|error| {
            let failure = Failure::from(error);
            if sent && !request.only_asks() {
                let message = format!("the request was sent, but its answer did not come: {}", failure.message);
                Failure::new(Exit::Unconfirmed, message)
            } else {
                failure
            }
        })
    }

    /// The daemon of this configuration, wherever it listens: the file may have been edited since its start.
    pub(super) async fn running(&self, config: &Config) -> Option<Located> {
        match client::locate(&config.daemon.control_socket, None).await {
            Err(ControlError::Unreachable { .. }) => {}
            answer => return answer.ok().flatten(),
        }
        let default = DaemonSettings::default();
        let links =
            [config.daemon.state_dir.join(SOCKET_LINK), default.control_socket, default.state_dir.join(SOCKET_LINK)];
        for link in links.iter().filter(|link| link.exists()) {
            if let Ok(Some(daemon)) = client::locate(link, Some(self.config_path)).await {
                return Some(daemon);
            }
        }
        None
    }

    /// The folder of the history: that of the running daemon, otherwise that of the file.
    pub(super) async fn state_dir(&self, config: &Config) -> PathBuf {
        self.running(config).await.map_or_else(|| config.daemon.state_dir.clone(), |daemon| daemon.state_dir)
    }

    /// The next retention pass of the daemon.
    pub(super) async fn next_pass(&self, config: &Config) -> NextPass {
        next_pass(config, self.running(config).await.as_ref()).await
    }

    /// Sends a request to the daemon that has no result.
    pub(super) async fn order(&self, request: Request) -> Result<()> {
        let config = self.locate_daemon().await?;
        match self.ask(&config, request).await? {
            Reply::Done => Ok(()),
            other => Err(refused(other)),
        }
    }

    /// Sends a request to the daemon and returns its result.
    pub(super) async fn print_text(&self, request: Request) -> Result {
        let config = self.locate_daemon().await?;
        match self.ask(&config, request).await? {
            Reply::CommandOutput { sentences } if self.json => {
                Ok(CommandOutput::done(format!("{}\n", serde_json::json!({ "done": sentences.join(" ") }))))
            }
            Reply::CommandOutput { sentences } => {
                Ok(CommandOutput::done(sentences.iter().map(|line| format!("{line}\n")).collect()))
            }
            other => Err(refused(other)),
        }
    }

    /// One sentence for people, an object for programs.
    pub(super) fn done(&self, sentence: String) -> String {
        if self.json { format!("{}\n", serde_json::json!({ "done": sentence })) } else { format!("{sentence}\n") }
    }

    pub(super) async fn reader(&self, config: &Config) -> Result<Reader> {
        Reader::open(&config.daemon.state_dir).await.map_err(|error| unreadable(&error))
    }

    /// The history, also of an earlier version: for copies and exports.
    pub(super) async fn reader_of_any_version(&self, config: &Config) -> Result<Reader> {
        Reader::open_any_version(&config.daemon.state_dir).await.map_err(|error| unreadable(&error))
    }
}

/// The next retention pass of this daemon.
pub(super) async fn next_pass(config: &Config, daemon: Option<&Located>) -> NextPass {
    let Some(daemon) = daemon else {
        return if config.daemon.mode.is_observe() { NextPass::Never } else { NextPass::AtStart };
    };
    match client::ask(&daemon.socket, &Request::NextPass).await {
        Ok(Reply::NextPass { next_pass }) => next_pass,
        _ => NextPass::Unknown,
    }
}

fn unreadable(error: &StoreError) -> Failure {
    let exit = match error {
        StoreError::Missing { .. } => Exit::NotFound,
        error if error.is_unusable_history() => Exit::Unusable,
        _ => Exit::Failed,
    };
    Failure::new(exit, chain(error))
}

/// Fails if neither the configuration nor the history has a schedule with this name or id.
pub(super) async fn known_schedule(config: &Config, reader: &Reader, wanted: &str) -> Result<()> {
    let known = config.schedule_words().any(|word| word == wanted) || !reader.seen(wanted).await?.is_empty();
    if known { Ok(()) } else { Err(unknown_schedule(config, Some(reader), wanted).await?) }
}

/// Fails if neither the configuration nor the history has this instance.
pub(super) async fn known_instance(config: &Config, reader: &Reader, wanted: &str) -> Result<()> {
    let in_file = config.schedules.iter().flat_map(|schedule| schedule.instances.as_slice()).map(InstanceId::as_str);
    let seen = reader.instance_words().await?;
    let mut known = in_file.chain(seen.iter().map(String::as_str));
    if known.clone().any(|id| id == wanted) {
        return Ok(());
    }
    Err(Failure::new(Exit::NotFound, config::no_instance("the history", wanted, known.by_ref())))
}

/// Message for a schedule that neither the configuration nor the history has.
pub(super) async fn unknown_schedule(config: &Config, reader: Option<&Reader>, wanted: &str) -> Result<Failure> {
    let seen = match reader {
        Some(reader) => reader.schedule_words().await?,
        None => Vec::new(),
    };
    let known = config.schedule_words().chain(seen.iter().map(String::as_str));
    Ok(Failure::new(Exit::NotFound, config.no_schedule(wanted, known)))
}

/// Variables that are UTF-8.
pub(super) fn environment() -> BTreeMap<String, String> {
    // A value that is not UTF-8 is wrong, not absent: whoever reads it reports it.
    let lossy = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
    std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, lossy(value)))).collect()
}
