//! What all commands have in common: the options before the command, the configuration, the daemon and the history.

use std::{collections::BTreeMap, fs, io::IsTerminal, path::Path, sync::Arc};

use super::{
    outcome::{CommandOutput, Exit, Failure, Result, refused},
    output::Zones,
};
use crate::{
    adapters::{
        config::{self, Config, Loaded},
        control::{ControlError, Reply, Request, client},
        store::{Reader, StoreError},
    },
    domain::{calendar::zone::Zone, error::chain, schedule::Schedule},
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
            eprint!("{}", loaded.warnings.render(self.color_of_stderr()));
        }
        Ok(loaded.config)
    }

    /// The configuration as far as needed to find daemon and history: errors in it must not block reading the history.
    pub(super) fn locate_daemon(&self) -> Result<Config> {
        match config::load_lenient(self.config_path, &self.environment) {
            (Some(config), problems) if !config.files.is_empty() => {
                if problems.has_errors() {
                    eprintln!("warning: the configuration has {}; see `imagebaked check`", problems.summary());
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

    /// Sends a request to the daemon that has no result.
    pub(super) async fn order(&self, request: Request) -> Result<()> {
        let config = self.locate_daemon()?;
        match self.ask(&config, request).await? {
            Reply::Done => Ok(()),
            other => Err(refused(other)),
        }
    }

    /// Sends a request to the daemon and returns its result.
    pub(super) async fn print_text(&self, request: Request) -> Result {
        let config = self.locate_daemon()?;
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

/// Message for a schedule that neither the configuration nor the history has.
pub(super) async fn unknown_schedule(config: &Config, reader: Option<&Reader>, wanted: &str) -> Result<Failure> {
    let seen = match reader {
        Some(reader) => reader.schedule_words().await?,
        None => Vec::new(),
    };
    let known = config.schedule_words().chain(seen.iter().map(String::as_str));
    Ok(Failure::new(Exit::NotFound, config::no_schedule(wanted, known)))
}

/// Variables that are UTF-8.
pub(super) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect()
}
