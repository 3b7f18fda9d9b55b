//! `imagebaked completions`: prints a completion script. The script calls this program at every Tab, so that it offers
//! the current schedules, instances, channels, bakes and images, and is never out of date.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Arg;
use clap_complete::{
    CompleteEnv,
    engine::{ArgValueCompleter, CompletionCandidate},
    env::Shells,
};

use super::{
    context::environment,
    outcome::{CommandOutput, Exit, Failure, Result},
};
use crate::{
    adapters::{
        config::{self, Config},
        store::{BakeRow, Filter, Reader, StoreError},
    },
    app::cli::{self, CONFIG, CONFIG_VARIABLE, CompletionsArgs, Shell},
    domain::{
        calendar::zone::Zone,
        schedule::{LATEST, Schedule},
        text::{LONGEST_TEXT, clean},
        time::show,
    },
};

/// Set by the script to the name of the shell.
const VARIABLE: &str = "_IMAGEBAKED_COMPLETE";
const PROGRAM: &str = "imagebaked";

pub(super) fn run(args: &CompletionsArgs) -> Result {
    let shell = match args.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let mut script = Vec::new();
    Shells::builtins()
        .completer(shell)
        .ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
        .and_then(|completer| completer.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script))
        .map_err(|error| Failure::new(Exit::Failed, format!("the script could not be made: {error}")))?;
    Ok(CommandOutput::done(String::from_utf8_lossy(&script).into_owned()))
}

/// Answers a completion request of a shell; returns whether it was one.
pub fn answer(words: Vec<OsString>, folder: Option<&Path>) -> std::result::Result<bool, clap::Error> {
    // The script gives the command line that is completed after `--`.
    let start = words.iter().position(|word| word == "--").map_or(0, |at| at + 1);
    let exported = || std::env::var_os(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let file = cli::typed_config(&words[start..]).or_else(exported).unwrap_or_else(|| CONFIG.into());
    CompleteEnv::with_factory(|| with_candidates(&file)).var(VARIABLE).try_complete(words, folder)
}

/// The command line, with what the configuration `file` and its history have as possible values.
fn with_candidates(file: &Path) -> clap::Command {
    // One by one, because `mut_arg` would change the order of the arguments.
    cli::command().mut_subcommands(|command| {
        let name = command.get_name().to_owned();
        command.mut_args(|arg| {
            let Some(kind) = Kind::of(&name, &arg) else { return arg };
            let file = file.to_owned();
            arg.add(ArgValueCompleter::new(move |typed: &OsStr| kind.candidates(&file, typed)))
        })
    })
}

/// What an argument names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Schedule,
    Instance,
    Bake(Which),
    Image,
    Channel,
}

/// Bakes that a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Any,
    Open,
    WithoutImage,
}

/// The newest bakes are offered; older ones are typed from the history.
const BAKES: u32 = 30;

/// The newest images that fit what is typed; a list of thousands helps nobody and takes seconds.
const IMAGES: u32 = 100;

impl Kind {
    fn of(command: &str, arg: &Arg) -> Option<Self> {
        Some(match (command, arg.get_id().as_str()) {
            (_, "schedule" | "schedule_option") | ("plan", "words") => Self::Schedule,
            ("rollback" | "images" | "promote", "channel") => Self::Channel,
            ("init" | "sim", _) => return None,
            (_, "instance") => Self::Instance,
            ("cancel", "bake") => Self::Bake(Which::Open),
            ("retry", "bake") => Self::Bake(Which::WithoutImage),
            (_, "bake") | ("history", "before") => Self::Bake(Which::Any),
            (_, "image" | "images") => Self::Image,
            _ => return None,
        })
    }

    /// What begins with the typed text. The valid part of a file is enough; without a history there are fewer.
    fn candidates(self, file: &Path, typed: &OsStr) -> Vec<CompletionCandidate> {
        let (config, _) = config::load_lenient(file, &environment());
        let (Some(config), Some(typed)) = (config, typed.to_str()) else { return Vec::new() };
        let mut all = match self {
            Self::Schedule => schedules(&config),
            Self::Channel => channels(&config),
            Self::Instance => instances(&config),
            Self::Bake(which) => of_history(&config, async |reader| bakes(&reader, which).await),
            Self::Image => of_history(&config, async |reader| images(&reader, typed).await),
        };
        all.retain(|candidate| candidate.get_value().to_str().is_some_and(|value| value.starts_with(typed)));
        all
    }
}

fn candidate(value: &str, help: String) -> CompletionCandidate {
    // A row of an earlier version may have any text.
    let help = clean(&help, LONGEST_TEXT).into_owned();
    CompletionCandidate::new(clean(value, LONGEST_TEXT).into_owned()).help(Some(help.into()))
}

fn schedules(config: &Config) -> Vec<CompletionCandidate> {
    let times = |schedule: &Schedule| schedule.timing.expressions().collect::<Vec<_>>().join("; ");
    config.schedules.iter().map(|schedule| candidate(schedule.name.as_str(), times(schedule))).collect()
}

/// Each name once, with the schedules that have it.
fn channels(config: &Config) -> Vec<CompletionCandidate> {
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::from([(LATEST, vec!["every line"])]);
    for schedule in &config.schedules {
        for channel in &schedule.channels {
            names.entry(&channel.name).or_default().push(schedule.name.as_str());
        }
    }
    names.into_iter().map(|(name, schedules)| candidate(name, schedules.join(", "))).collect()
}

fn instances(config: &Config) -> Vec<CompletionCandidate> {
    let of = |schedule: &Arc<Schedule>| {
        let name = schedule.name.to_string();
        let ids = schedule.instances.as_slice().iter();
        ids.map(|id| candidate(id.as_str(), name.clone())).collect::<Vec<_>>()
    };
    config.schedules.iter().flat_map(of).collect()
}

/// Candidates from the history; none if it cannot be read.
fn of_history(
    config: &Config,
    read: impl AsyncFnOnce(Reader) -> std::result::Result<Vec<CompletionCandidate>, StoreError>,
) -> Vec<CompletionCandidate> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let state_dir = &config.daemon.state_dir;
    runtime.block_on(async { read(Reader::open(state_dir).await?).await }).unwrap_or_default()
}

async fn bakes(reader: &Reader, which: Which) -> std::result::Result<Vec<CompletionCandidate>, StoreError> {
    let states: &[&str] = match which {
        Which::Any => &[],
        Which::Open => &["queued", "preparing", "stopping", "ready"],
        Which::WithoutImage => &["failed", "skipped", "cancelled"],
    };
    let states = states.iter().map(|&state| state.to_owned()).collect();
    let rows = reader.history(&Filter { states, limit: BAKES, ..Filter::default() }).await?;
    let help = |row: &BakeRow| format!("{}, {}, {}", row.schedule, show(row.slot(), Zone::UTC), row.state);
    Ok(rows.iter().map(|row| candidate(&row.id.to_string(), help(row))).collect())
}

async fn images(reader: &Reader, typed: &str) -> std::result::Result<Vec<CompletionCandidate>, StoreError> {
    let rows = reader.images_by_id(typed, IMAGES).await?;
    Ok(rows.into_iter().map(|(id, name)| candidate(&id, name)).collect())
}
