//! `imagebaked completions`: prints a completion script. The script calls this program at every Tab, so that it offers
//! the current schedules and is never out of date.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use clap::{Arg, CommandFactory};
use clap_complete::{
    CompleteEnv,
    engine::{ArgValueCandidates, CompletionCandidate},
    env::Shells,
};

use super::{
    context::environment,
    outcome::{CommandOutput, Exit, Failure, Result},
};
use crate::{
    adapters::config,
    app::cli::{CONFIG, Cli, CompletionsArgs, Shell},
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
    let file = typed_config(&words).unwrap_or_else(|| CONFIG.into());
    CompleteEnv::with_factory(|| with_schedules(&file)).var(VARIABLE).try_complete(words, folder)
}

/// The command line, with the schedules of `file` as possible values.
fn with_schedules(file: &Path) -> clap::Command {
    // One by one, because `mut_arg` would change the order of the arguments.
    let named = |arg: Arg| {
        if arg.get_id() != "schedule" {
            return arg;
        }
        let file = file.to_owned();
        arg.add(ArgValueCandidates::new(move || schedules(&file)))
    };
    Cli::command().mut_subcommands(|command| command.mut_args(named))
}

/// The valid part of a file is enough.
fn schedules(file: &Path) -> Vec<CompletionCandidate> {
    let (config, _) = config::load_lenient(file, &environment());
    let schedules = config.into_iter().flat_map(|config| config.schedules);
    schedules
        .map(|schedule| {
            let times = schedule.timing.expressions().collect::<Vec<_>>().join("; ");
            CompletionCandidate::new(schedule.name.as_str()).help(Some(times.into()))
        })
        .collect()
}

/// The file named in the words on the command line.
fn typed_config(words: &[OsString]) -> Option<PathBuf> {
    let at = words.iter().position(|word| word == "--config");
    let apart = at.and_then(|at| words.get(at + 1));
    let joined = || words.iter().find_map(|word| word.to_str()?.strip_prefix("--config="));
    apart.map(PathBuf::from).or_else(|| joined().map(PathBuf::from))
}
