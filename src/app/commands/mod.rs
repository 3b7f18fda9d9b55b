//! One file per command. A command returns its output and an exit code, or a failure; only long-running commands print
//! by themselves.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

pub use self::terminal::{print_error, print_usage, usage_text};
use self::{
    context::{Context, environment},
    outcome::{CommandOutput, Exit},
    table::{terminal_width, wrapped_lines},
    terminal::{print_text, with_config, write_text},
};
use super::cli::{Cli, ColorChoice, Command, CrontabCommand};
use crate::{adapters::tzdata, domain::calendar::zone};

mod ack;
mod adopt;
mod atomic;
mod audit;
mod backup;
mod bake;
mod channels;
mod check;
mod colors;
pub mod completions;
mod context;
mod coverage;
mod crontab;
mod demo;
mod diff;
mod doctor;
mod events;
mod export;
mod folding;
mod forecast;
mod history;
mod images;
mod init;
mod inventory;
mod key_options;
mod long_answer;
mod man;
mod outcome;
mod output;
mod pause;
mod pin;
mod plan;
mod plan_now;
mod plan_obstacles;
mod plan_span;
mod plan_sum;
mod presence;
mod prospects;
mod prune;
mod reconcile;
mod reload;
mod retry;
mod run;
mod schema;
mod sessions;
mod show;
mod sim;
mod status;
mod table;
mod terminal;
mod times;
mod why;

/// Prints the second line of `--version --verbose`: the time zone rules.
pub fn version_details() {
    let environment = environment();
    tzdata::use_the_newer(&tzdata::directory(|name| environment.get(name).cloned()));
    print_text(&format!("time zones: {}\n", zone::release()));
}

fn version() -> CommandOutput {
    CommandOutput::done(format!("imagebaked {}\n", env!("CARGO_PKG_VERSION")))
}

/// Whether the output is a file for a program, whose lines must stay as they are.
fn is_for_programs(command: &Command) -> bool {
    matches!(
        command,
        Command::Schema | Command::Completions(_) | Command::Man(_) | Command::Crontab(_) | Command::Export(_)
    ) || matches!(command, Command::Init(args) if args.stdout)
        || matches!(command, Command::Status(args) if args.check)
}

/// The text with complete commands, as wide as the terminal, and no longer than a person reads.
fn for_people(text: &str, command: &Command) -> String {
    let wide = || wrapped_lines(&with_config(text), terminal_width());
    match terminal_width() {
        // What is left out is named by a command that is complete, too.
        Some(width) => wrapped_lines(&with_config(&long_answer::on_terminal(wide(), command)), Some(width)),
        None => wide(),
    }
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
    let for_programs = cli.json || is_for_programs(&cli.command);
    let result = match &cli.command {
        Command::Run(args) => run::run(&context, args).await,
        Command::Demo(args) => demo::run(&context, args).await,
        Command::Check(args) => check::run(&context, args).await,
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
        Command::Version => Ok(version()),
    };
    let exit = match result {
        Ok(output) => {
            let text = if for_programs { output.text } else { for_people(&output.text, &cli.command) };
            match write_text(&text) {
                // A closed output, as in `imagebaked history | head`, is no error.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    print_error(&format!("error: the output could not be written: {error}"));
                    Exit::Failed
                }
                _ => output.exit,
            }
        }
        Err(failure) => {
            let message = failure.message.trim_end();
            // Problems of the configuration are rendered already, each with its own heading.
            let heading = if message.starts_with("error") || message.starts_with('\u{1b}') { "" } else { "error: " };
            print_error(&format!("{heading}{message}"));
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}
