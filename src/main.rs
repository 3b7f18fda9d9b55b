//! Parses the command line, builds the runtime, runs one command, turns its result into an exit code.

use std::process::ExitCode;

use clap::{FromArgMatches as _, error::ErrorKind};
use imagebaked::app::{
    cli::{self, Cli},
    commands,
};

fn main() -> ExitCode {
    let folder = std::env::current_dir().ok();
    match commands::completions::answer(std::env::args_os().collect(), folder.as_deref()) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(error) => return report_usage(&error),
    }
    let parsed = cli::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let code = report_usage(&error);
            let verbose = std::env::args_os().any(|argument| argument == "--verbose");
            if verbose && error.kind() == ErrorKind::DisplayVersion {
                commands::version_details();
            }
            return code;
        }
    };
    if cli.verbose {
        let misplaced = cli::command().error(ErrorKind::ArgumentConflict, "`--verbose` goes with `--version` alone");
        return report_usage(&misplaced);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime could not be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(commands::dispatch(cli))
}

/// Help and version are no failures; clap knows which stream and code.
fn report_usage(error: &clap::Error) -> ExitCode {
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    match error.print() {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}
