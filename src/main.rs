//! Parses the command line, builds the runtime, runs one command, turns its result into an exit code.

use std::process::ExitCode;

use clap::{FromArgMatches as _, error::ErrorKind};
use imagebaked::{
    adapters::config::closest,
    app::{
        cli::{self, Cli},
        commands,
    },
};

fn main() -> ExitCode {
    let folder = std::env::current_dir().ok();
    match commands::completions::answer(std::env::args_os().collect(), folder.as_deref()) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(error) => return report_usage(&error),
    }
    let words: Vec<String> = arguments().skip(1).collect();
    if let Some(error) = cli::with_dashes(&cli::command(), &words) {
        return report_usage(&error);
    }
    let parsed = cli::command_here().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let error = cli::with_tip(error, &cli::command(), &words);
            let code = if is_without_command(&error) { show_help() } else { report_usage(&error) };
            if error.kind() == ErrorKind::InvalidSubcommand
                && let Some(tip) = tip(&error)
            {
                commands::print_error(&format!("  tip: {tip}"));
            }
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
            commands::print_error(&format!("error: the runtime could not be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(commands::dispatch(cli))
}

/// Whether only options were typed. The error of a command that takes another one has a message and no context.
fn is_without_command(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::MissingSubcommand && error.context().next().is_some()
}

/// The help on standard error, for a command line without a command.
fn show_help() -> ExitCode {
    commands::print_error(&cli::command().render_help().to_string());
    ExitCode::from(2)
}

/// The nearest command, for `help` of one that is not there: clap names it only for commands.
fn tip(error: &clap::Error) -> Option<String> {
    let wanted = arguments().skip_while(|word| word != "help").nth(1)?;
    let command = cli::command();
    let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    let near = closest(&wanted, names.iter().copied()).filter(|_| !error.to_string().contains("tip:"))?;
    Some(format!("imagebaked help {near}"))
}

/// Help and version are no failures; clap knows which stream and code.
fn report_usage(error: &clap::Error) -> ExitCode {
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    match commands::print_usage(error) {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

/// The command line; an argument need not be UTF-8.
fn arguments() -> impl Iterator<Item = String> {
    std::env::args_os().map(|argument| argument.to_string_lossy().into_owned())
}
