//! One file per command. A command returns its output and an exit code, or a failure; only long-running commands print
//! by themselves.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use super::cli::{Cli, ColorChoice, Command, CrontabCommand};
use crate::{
    adapters::{
        config::{self, Config, Loaded},
        control::{ControlError, Reply, Request, client},
        store::{Reader, StoreError},
        tzdata,
    },
    domain::{calendar::zone, error::chain},
};

mod ack;
mod adopt;
mod atomic;
mod audit;
mod backup;
mod bake;
mod channels;
mod check;
pub mod completions;
mod coverage;
mod crontab;
mod demo;
mod diff;
mod doctor;
mod events;
mod export;
mod forecast;
mod history;
mod images;
mod init;
mod inventory;
mod man;
mod output;
mod pause;
mod pin;
mod plan;
mod prune;
mod reconcile;
mod reload;
mod retry;
mod run;
mod schema;
mod show;
mod sim;
mod status;
mod why;

/// Exit codes; scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Success.
    Done = 0,
    /// Failure.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Not found.
    NotFound = 3,
    /// The daemon does not respond.
    Unreachable = 4,
    /// The daemon reports a problem.
    Unhealthy = 5,
    /// The request was sent, and its result is unknown.
    Unconfirmed = 6,
    /// The history is damaged, of a newer version or of another program.
    Unusable = 7,
}

/// Output of a command.
#[derive(Debug)]
struct CommandOutput {
    text: String,
    exit: Exit,
}

impl CommandOutput {
    fn done(text: String) -> Self {
        Self { text, exit: Exit::Done }
    }
}

/// Failure of a command.
#[derive(Debug)]
struct Failure {
    message: String,
    exit: Exit,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), exit }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = if error.is_unusable_history() { Exit::Unusable } else { Exit::Failed };
        Self::new(exit, chain(&error))
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        let exit = match error {
            ControlError::OtherVersion { .. } => Exit::Failed,
            _ => Exit::Unreachable,
        };
        Self::new(exit, chain(&error))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(Exit::Failed, format!("the result could not be written as JSON: {error}"))
    }
}

type Result<T = CommandOutput> = std::result::Result<T, Failure>;

/// Common input of all commands.
#[derive(Debug)]
struct Context<'a> {
    config_path: &'a Path,
    environment: BTreeMap<String, String>,
    json: bool,
    color: bool,
}

impl Context<'_> {
    /// The configuration, or its problems as a failure. Warnings go to standard error.
    fn config(&self) -> Result<Config> {
        let loaded = self.load()?;
        if !loaded.warnings.is_empty() {
            eprint!("{}", loaded.warnings.render(self.color_of_stderr()));
        }
        Ok(loaded.config)
    }

    /// The configuration as far as needed to find daemon and history: errors in it must not block reading the history.
    fn locate_daemon(&self) -> Result<Config> {
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

    fn load(&self) -> Result<Loaded> {
        config::load(self.config_path, &self.environment)
            .map_err(|problems| Failure { message: problems.render(self.color_of_stderr()), exit: Exit::Usage })
    }

    fn color_of_stderr(&self) -> bool {
        self.color && std::io::stderr().is_terminal()
    }

    async fn ask(&self, config: &Config, request: Request) -> Result<Reply> {
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
    async fn order(&self, request: Request) -> Result<()> {
        let config = self.locate_daemon()?;
        match self.ask(&config, request).await? {
            Reply::Done => Ok(()),
            other => Err(refused(other)),
        }
    }

    /// Sends a request to the daemon and returns its result.
    async fn print_text(&self, request: Request) -> Result {
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
    fn done(&self, sentence: String) -> String {
        if self.json { format!("{}\n", serde_json::json!({ "done": sentence })) } else { format!("{sentence}\n") }
    }

    async fn reader(&self, config: &Config) -> Result<Reader> {
        Reader::open(&config.daemon.state_dir).await.map_err(|error| unreadable(&error))
    }

    /// The history, also of an earlier version: for copies and exports.
    async fn reader_of_any_version(&self, config: &Config) -> Result<Reader> {
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
async fn known_schedule(config: &Config, reader: &Reader, wanted: &str) -> Result<()> {
    let known = config.schedule_words().any(|word| word == wanted) || !reader.seen(wanted).await?.is_empty();
    if known { Ok(()) } else { Err(unknown_schedule(config, Some(reader), wanted).await?) }
}

/// Message for a schedule that neither the configuration nor the history has.
async fn unknown_schedule(config: &Config, reader: Option<&Reader>, wanted: &str) -> Result<Failure> {
    let seen = match reader {
        Some(reader) => reader.schedule_words().await?,
        None => Vec::new(),
    };
    let known = config.schedule_words().chain(seen.iter().map(String::as_str));
    Ok(Failure::new(Exit::NotFound, config::no_schedule(wanted, known)))
}

/// Variables that are UTF-8.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// Prints the second line of `--version --verbose`: the time zone rules.
pub fn version_details() {
    let environment = environment();
    tzdata::use_the_newer(&tzdata::directory(|name| environment.get(name).cloned()));
    print_text(&format!("time zones: {}\n", zone::release()));
}

/// Runs the command and prints its output.
pub async fn dispatch(cli: Cli) -> ExitCode {
    let environment = environment();
    tzdata::use_the_newer(&tzdata::directory(|name| environment.get(name).cloned()));
    let color = match cli.color {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            std::io::stdout().is_terminal() && environment.get("NO_COLOR").is_none_or(String::is_empty)
        }
    };
    let context = Context { config_path: &cli.config, environment, json: cli.json, color };
    let result = match &cli.command {
        Command::Run(args) => run::run(&context, args).await,
        Command::Demo(args) => demo::run(&context, args).await,
        Command::Check(args) => Ok(check::run(&context, args).await),
        Command::Plan(args) => plan::run(&context, args).await,
        Command::Bake(args) => bake::run(&context, args).await,
        Command::Status(args) => status::run(&context, args).await,
        Command::History(args) => history::run(&context, args).await,
        Command::Show(args) => show::run(&context, args).await,
        Command::Why(args) => why::run(&context, args).await,
        Command::Images(args) => images::run(&context, args).await,
        Command::Reconcile(args) => reconcile::run(&context, args).await,
        Command::Audit(args) => audit::run(&context, args).await,
        Command::Events(args) => events::run(&context, args).await,
        Command::Ack(args) => ack::ack(&context, args).await,
        Command::Unack(args) => ack::unack(&context, args).await,
        Command::Backup(args) => backup::backup(&context, args).await,
        Command::Restore(args) => backup::restore(&context, args).await,
        Command::Export(args) => export::export(&context, args).await,
        Command::Import(args) => export::import(&context, args).await,
        Command::Crontab(CrontabCommand::Import(args)) => crontab::import(&context, args),
        Command::Doctor(args) => doctor::run(&context, args).await,
        Command::Init(args) => init::run(&context, args).await,
        Command::Coverage(args) => coverage::run(&context, args).await,
        Command::Pause(args) => pause::pause(&context, args).await,
        Command::Resume(args) => pause::resume(&context, args).await,
        Command::Retry(args) => retry::retry(&context, args).await,
        Command::Cancel(args) => retry::cancel(&context, args).await,
        Command::Prune(args) => prune::run(&context, args).await,
        Command::Pin(args) => pin::pin(&context, args).await,
        Command::Unpin(args) => pin::unpin(&context, args).await,
        Command::Undelete(args) => pin::undelete(&context, args).await,
        Command::Adopt(args) => adopt::run(&context, args).await,
        Command::Channels(args) => channels::run(&context, args).await,
        Command::Promote(args) => channels::promote(&context, args).await,
        Command::Rollback(args) => channels::rollback(&context, args).await,
        Command::Veto(args) => channels::veto(&context, args).await,
        Command::Unveto(args) => channels::unveto(&context, args).await,
        Command::Reload => reload::run(&context).await,
        Command::Sim(args) => sim::run(&context, args).await,
        Command::Schema => schema::run(),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(&context, args),
    };
    let exit = match result {
        Ok(output) => {
            print_text(&output.text);
            output.exit
        }
        Err(failure) => {
            let message = failure.message.trim_end();
            // Problems of the configuration are rendered already, each with its own heading.
            let heading = if message.starts_with("error") || message.starts_with('\u{1b}') { "" } else { "error: " };
            eprintln!("{heading}{message}");
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// Failure for an unexpected reply of the daemon.
fn refused(reply: Reply) -> Failure {
    match reply {
        Reply::Stopping => Failure::new(
            Exit::Unreachable,
            "the daemon is stopping; running bakes continue at its next start (`imagebaked history`)",
        ),
        Reply::Unconfirmed { message } => Failure::new(Exit::Unconfirmed, message),
        Reply::NotFound { message } => Failure::new(Exit::NotFound, message),
        Reply::Failed { message } => Failure::new(Exit::Failed, message),
        Reply::BadConfig { problems } => Failure::new(Exit::Usage, problems),
        _ => Failure::new(Exit::Failed, "the daemon sent an unexpected reply"),
    }
}

/// Reports progress to a terminal; not to programs and logs.
fn progress(step: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("{step} …");
    }
}

/// Prints; a closed output (`imagebaked history
/// head`) is no error.
fn print_text(text: &str) {
    try_print_text(text);
}

/// Prints; returns whether the output is open.
fn try_print_text(text: &str) -> bool {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}
