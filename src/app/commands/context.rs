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
    presence::Presence,
    table::{LONGEST_ANSWER, error_width},
    terminal::print_error,
};
use crate::{
    adapters::{
        config::{self, Config, DaemonSettings, Loaded, Problems},
        control::{
            self, ControlError, Reply, Request, SOCKET_LINK,
            client::{self, Located},
        },
        store::{Reader, StoreError},
    },
    domain::{
        api::mode::Mode, calendar::zone::Zone, error::chain, ids::InstanceId, image::passes::NextPass, page::main_zone,
        schedule::Schedule, status::OnDisk,
    },
};

/// What shows each problem of a configuration.
const CHECK_ALL: &str = "`imagebaked check --all` shows each";
/// Lines of a warning on a terminal of 80 columns.
const LINES_OF_WARNING: usize = 3;

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
        Ok(self.config_with_notes()?.0)
    }

    /// The same, with the number of lines that its warnings took on a terminal: there they are counted, so that the answer
    /// stays in sight.
    pub(super) fn config_with_notes(&self) -> Result<(Config, usize)> {
        let Loaded { config, warnings, .. } = self.load()?;
        if warnings.is_empty() {
            return Ok((config, 0));
        }
        if std::io::stderr().is_terminal() {
            print_error(&format!("warning: the configuration has {}; see `imagebaked check`", warnings.summary()));
            return Ok((config, 1));
        }
        print_error(&warnings.render(self.color_of_stderr()));
        Ok((config, 0))
    }

    /// The configuration in force: that of the running daemon, otherwise the valid part of the file, for errors in it must not
    /// block reading the history. The state directory and the socket are those that the daemon uses.
    pub(super) async fn locate_daemon(&self) -> Result<Config> {
        Ok(self.find_daemon().await?.0)
    }

    /// The same, with what is known of the daemon. Where the answer depends on rules, [`Self::warn_if_not_in_force`] says that the
    /// file has others.
    pub(super) async fn find_daemon(&self) -> Result<(Config, Presence)> {
        let (of_file, problems) = config::load_lenient(self.config_path, &self.environment);
        let of_file = of_file.filter(|config| !config.files.is_empty());
        // Without a readable file the daemon may be found where the defaults are.
        let Some(mut config) = of_file.or_else(|| config::without_file(&self.environment).0) else {
            return self.lenient_config().map(|config| (config, Presence::Unknown));
        };
        let presence = self.presence(&config).await;
        if let Some(in_force) = self.in_force(&config, &presence).await {
            return Ok((in_force, presence));
        }
        if config.files.is_empty() {
            return Err(self.refused(&problems));
        }
        warn_of_errors(&problems);
        use_paths(&mut config, presence.located());
        Ok((config, presence))
    }

    /// The same for commands that take a file only without errors if no daemon has another configuration in force; with the
    /// number of lines that its warnings took on a terminal.
    pub(super) async fn find_daemon_or_valid_file(&self) -> Result<(Config, Presence, usize)> {
        let (strict, problems) = match self.config_with_notes() {
            Ok((config, noted)) => (Ok(noted), Ok(config)),
            Err(failure) => (Err(failure), Err(config::load_lenient(self.config_path, &self.environment).0)),
        };
        let of_file = problems.map_or_else(|lenient| lenient.filter(|one| !one.files.is_empty()), Some);
        let of_file = of_file.or_else(|| config::without_file(&self.environment).0);
        let Some(config) = of_file else { return self.config().map(|config| (config, Presence::Unknown, 0)) };
        let presence = self.presence(&config).await;
        if let Some(in_force) = self.in_force(&config, &presence).await {
            let noted = strict.unwrap_or_default() + self.warn_if_not_in_force(&in_force, &presence);
            return Ok((in_force, presence, noted));
        }
        let noted = strict? + self.warn_if_not_in_force(&config, &presence);
        let mut config = config;
        use_paths(&mut config, presence.located());
        Ok((config, presence, noted))
    }

    /// The configuration of the running daemon, if this file is the daemon's and not in force as it is now; with the names of
    /// schedules that only the file has.
    async fn in_force(&self, of_file: &Config, presence: &Presence) -> Option<Config> {
        let daemon = presence.located().filter(|daemon| daemon.on_disk != OnDisk::InForce)?;
        if control::canonical(self.config_path) != daemon.config_path {
            return None;
        }
        let Ok(Reply::Config { document }) = client::ask(&daemon.socket, &Request::Config).await else { return None };
        let mut config = Config::from_document(document)?;
        let is_new = |word: &&str| config.schedule_words().all(|known| known != *word);
        config.only_in_file = of_file.schedule_words().filter(is_new).map(str::to_owned).collect();
        use_paths(&mut config, Some(daemon));
        Some(config)
    }

    /// Whether this is the configuration by which the daemon works, if one is at work.
    pub(super) fn is_in_force(&self, config: &Config, presence: &Presence) -> bool {
        let is_in_force = |daemon: &Located| daemon.on_disk == OnDisk::InForce;
        presence.located().is_none_or(is_in_force) || config.fingerprint != config::fingerprint(self.config_path)
    }

    /// Says in one line that the file would give another answer than this one, which is by `config`; returns the number of lines
    /// on a terminal.
    pub(super) fn warn_if_not_in_force(&self, config: &Config, presence: &Presence) -> usize {
        if presence.located().is_none_or(|daemon| daemon.on_disk == OnDisk::InForce) {
            return 0;
        }
        let (of_file, problems) = config::load_lenient(self.config_path, &self.environment);
        let path = self.config_path.display();
        let by = if self.is_in_force(config, presence) {
            "this answer is by the configuration in force"
        } else {
            "this answer is by the file, the daemon goes by the former one"
        };
        if problems.has_errors() {
            let errors = problems.summary();
            print_error(&format!(
                "warning: the configuration has {errors} and is not in force (`imagebaked check`): {by}"
            ));
        } else if of_file.is_some_and(|of_file| of_file.hash == config.hash) {
            // A comment, or the order of the keys.
            return 0;
        } else {
            print_error(&format!(
                "warning: the file was edited and is not in force: {by}; `imagebaked plan --diff {path}` shows what `imagebaked \
                 reload` changes"
            ));
        }
        LINES_OF_WARNING
    }

    /// The same without a word on errors: the daemon reports them itself.
    pub(super) async fn locate_daemon_quietly(&self) -> Result<Config> {
        match config::load_lenient(self.config_path, &self.environment) {
            (Some(config), _) if !config.files.is_empty() => Ok(self.with_running(config).await),
            _ => self.locate_daemon().await,
        }
    }

    /// The configuration with the state directory and the socket that the running daemon uses.
    pub(super) async fn with_running(&self, mut config: Config) -> Config {
        let daemon = self.running(&config).await;
        use_paths(&mut config, daemon.as_ref());
        config
    }

    /// The valid part of the configuration.
    fn lenient_config(&self) -> Result<Config> {
        match config::load_lenient(self.config_path, &self.environment) {
            (Some(config), problems) if !config.files.is_empty() => {
                warn_of_errors(&problems);
                Ok(config)
            }
            (_, problems) => Err(self.refused(&problems)),
        }
    }

    /// The failure of a configuration with these problems.
    pub(super) fn refused(&self, problems: &Problems) -> Failure {
        let color = self.color_of_stderr();
        // Its heading is that of the first problem.
        let message = match error_width() {
            Some(width) => problems.render_folded(color, (width, LONGEST_ANSWER), CHECK_ALL),
            None => problems.render(color),
        };
        Failure { message, exit: Exit::Usage }
    }

    pub(super) fn load(&self) -> Result<Loaded> {
        config::load(self.config_path, &self.environment).map_err(|problems| self.refused(&problems))
    }

    /// Zone of the host; UTC if it is not known. For what has no schedules at all.
    pub(super) fn host_zone(&self) -> Zone {
        let linked = fs::read_link("/etc/localtime").ok();
        let linked = linked.as_deref().and_then(Path::to_str).and_then(|path| path.split_once("zoneinfo/"));
        let written = fs::read_to_string("/etc/timezone").ok();
        let of_process = self.environment.get("TZ").map(|name| name.trim_start_matches(':'));
        let names = [of_process, linked.map(|(_, name)| name), written.as_deref()];
        names.into_iter().flatten().find_map(|name| Zone::find(name.trim())).unwrap_or(Zone::UTC)
    }

    /// The zone of times that belong to no schedule: that of most schedules, as on the page.
    pub(super) fn main_zone(&self, config: &Config) -> Zone {
        match config.schedules.as_slice() {
            [] => self.host_zone(),
            schedules => main_zone(schedules.iter().map(|schedule| &**schedule)),
        }
    }

    /// Zones of all schedules of the file.
    pub(super) fn zones(&self, config: &Config) -> Zones {
        let words = |schedule: &Arc<Schedule>| {
            [schedule.name.as_str(), schedule.id.as_str()].map(|word| (word.to_owned(), schedule.timing.zone()))
        };
        Zones { main: self.main_zone(config), schedules: config.schedules.iter().flat_map(words).collect() }
    }

    /// Zones of all schedules: of those that the file does not have, or has with errors, as the history has them. `shown` are
    /// the schedules of the answer.
    pub(super) async fn all_zones<'a>(
        &self,
        config: &Config,
        reader: &Reader,
        shown: impl IntoIterator<Item = &'a str>,
    ) -> Result<Zones> {
        let mut zones = self.zones(config);
        if config.schedules.is_empty() || !shown.into_iter().all(|schedule| zones.schedules.contains_key(schedule)) {
            let seen = reader.schedule_zones().await?;
            if let (true, Some((_, first))) = (config.schedules.is_empty(), seen.first()) {
                zones.main = *first;
            }
            for (words, zone) in seen {
                for word in words {
                    zones.schedules.entry(word).or_insert(zone);
                }
            }
        }
        Ok(zones)
    }

    /// The same for an answer of the daemon, which needs no history: without a readable one those of the file.
    pub(super) async fn zones_of_answer<'a>(&self, config: &Config, shown: impl IntoIterator<Item = &'a str>) -> Zones {
        let Ok(reader) = self.reader(config).await else { return self.zones(config) };
        let zones = self.all_zones(config, &reader, shown).await;
        reader.close().await;
        zones.unwrap_or_else(|_| self.zones(config))
    }

    /// Zone of a schedule, by name or id; that of most schedules if the configuration does not have it.
    pub(super) fn zone_of(&self, config: &Config, wanted: Option<&str>) -> Zone {
        let is_wanted =
            |schedule: &&Arc<Schedule>| [schedule.name.as_str(), schedule.id.as_str()].map(Some).contains(&wanted);
        config
            .schedules
            .iter()
            .find(is_wanted)
            .map_or_else(|| self.main_zone(config), |schedule| schedule.timing.zone())
    }

    pub(super) fn color_of_stderr(&self) -> bool {
        self.color && std::io::stderr().is_terminal()
    }

    pub(super) async fn ask(&self, config: &Config, request: Request) -> Result<Reply> {
        client::ask(&config.daemon.control_socket, &request).await.map_err(|error| unanswered(&request, error))
    }

    /// The daemon of this configuration, wherever it listens: the file may have been edited since its start.
    pub(super) async fn running(&self, config: &Config) -> Option<Located> {
        self.presence(config).await.located().cloned()
    }

    /// The daemon of this configuration, or why none is at work.
    pub(super) async fn presence(&self, config: &Config) -> Presence {
        let unreachable = match client::locate(&config.daemon.control_socket, None).await {
            Err(error @ ControlError::Unreachable { .. }) => error,
            answer => return answer.into(),
        };
        let default = DaemonSettings::default();
        let links =
            [config.daemon.state_dir.join(SOCKET_LINK), default.control_socket, default.state_dir.join(SOCKET_LINK)];
        for link in links.iter().filter(|link| link.exists()) {
            if let Ok(Some(daemon)) = client::locate(link, Some(self.config_path)).await {
                return Presence::AtWork(daemon);
            }
        }
        Err(unreachable).into()
    }

    /// The folder of the history: that of the running daemon, otherwise that of the file.
    pub(super) async fn state_dir(&self, config: &Config) -> PathBuf {
        self.running(config).await.map_or_else(|| config.daemon.state_dir.clone(), |daemon| daemon.state_dir)
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

/// The failure of a request. One that changes something may still be carried out once it was sent.
pub(super) fn unanswered(request: &Request, error: ControlError) -> Failure {
    let is_sent = matches!(
        error,
        ControlError::Broken(_)
            | ControlError::Silent { .. }
            | ControlError::Slow { .. }
            | ControlError::Garbled(_)
            | ControlError::TooLong { .. }
    );
    let when = match error {
        ControlError::Silent { .. } => "It may still be carried out when the daemon goes on",
        _ => "It may have been carried out, or still be",
    };
    let failure = Failure::from(error);
    if !is_sent || request.only_asks() {
        return failure;
    }
    let shown = request.shown_by();
    let message = format!(
        "the request was sent, but its answer did not come: {}. {when}: `{shown}` shows whether it was; do not repeat it before",
        failure.message.trim_end_matches('.')
    );
    Failure::new(Exit::Unconfirmed, message)
}

fn warn_of_errors(problems: &Problems) {
    if problems.has_errors() {
        print_error(&format!("warning: the configuration has {}; see `imagebaked check`", problems.summary()));
    }
}

fn use_paths(config: &mut Config, daemon: Option<&Located>) {
    if let Some(Located { socket, state_dir, .. }) = daemon.cloned() {
        config.daemon.control_socket = socket;
        config.daemon.state_dir = state_dir;
    }
}

/// The next retention pass of this daemon.
pub(super) async fn next_pass(config: &Config, presence: &Presence) -> NextPass {
    let daemon = match presence {
        Presence::AtWork(daemon) if daemon.mode == Mode::Act => daemon,
        _ if presence.only_observes(config) => return NextPass::Never,
        Presence::Absent { .. } => return NextPass::AtStart,
        Presence::AtWork(_) | Presence::Unknown => return NextPass::Unknown,
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
