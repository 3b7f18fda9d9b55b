//! Command line arguments. Types only: the file of each command under `commands/` implements it.

use std::{ffi::OsString, path::PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

mod bakes;
mod channels;
mod daemon;
mod events;
pub mod examples;
mod help;
mod images;
mod records;
mod schedule_args;
mod setup;
mod timetable;
mod tools;
mod usage;
mod values;

pub use bakes::{BakeArgs, CancelArgs, HistoryArgs, RetryArgs, RetryStage, ShowArgs};
pub use channels::{ChannelsArgs, PromoteArgs, RollbackArgs, VetoArgs};
pub use daemon::{PauseArgs, ResumeArgs, RunArgs, StatusArgs};
pub use events::{AckArgs, EventsArgs, UnackArgs};
pub use help::{GROUPS, command, command_here};
pub use images::{AdoptArgs, ImageArgs, ImagesArgs, PinArgs, PruneArgs, ReconcileArgs};
pub use records::{AuditArgs, BackupArgs, ExportArgs, ImportArgs, RestoreArgs};
pub use schedule_args::{OneSchedule, OnlySchedule, OnlyScheduleOfFile, ScheduleAndMore, Schedules};
pub use setup::{CoverageArgs, CrontabCommand, CrontabImportArgs, DoctorArgs, InitArgs};
pub use timetable::{CheckArgs, Deny, PlanArgs, WhyArgs};
pub use tools::{CompletionsArgs, DemoArgs, ManArgs, Shell, SimArgs};
pub use usage::{with_dashes, with_tip};

pub use crate::domain::suggestion::DEFAULT_CONFIG as CONFIG;

/// The variable that names another one.
pub const CONFIG_VARIABLE: &str = "IMAGEBAKED_CONFIG";

/// Makes versioned images of WUYING cloud desktops and workstations on schedule.
#[derive(Debug, Parser)]
#[command(name = "imagebaked", version, max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    /// The configuration.
    #[arg(long, global = true, value_name = "FILE", env = CONFIG_VARIABLE, hide_env_values = true, default_value = CONFIG)]
    pub config: PathBuf,
    /// Print JSON with stable field names, for programs.
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours: `auto` (on a terminal, unless NO_COLOR is set), `always` or `never`.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: ColorChoice,
    /// With `--version`: show the release of the time zone rules and its source, too.
    #[arg(long)]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The file that the words of a command line name with `--config`.
pub fn typed_config(words: &[OsString]) -> Option<PathBuf> {
    let mut options = words.iter().take_while(|word| *word != "--");
    while let Some(word) = options.next() {
        if word == "--config" {
            return options.next().map(PathBuf::from);
        }
        if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--config=")) {
            return Some(path.into());
        }
    }
    None
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon in the foreground, as systemd does.
    Run(RunArgs),
    /// See it work on a simulated cloud, without an account.
    ///
    /// Runs the simulator, the daemon and its history in one process, and shows a failure, retention and a rollback.
    Demo(DemoArgs),
    /// Check the configuration and show the next slots.
    Check(CheckArgs),
    /// Show the slots to come.
    ///
    /// Needs neither credentials nor a running daemon.
    Plan(PlanArgs),
    /// Bake now.
    ///
    /// Makes one image of each instance of the schedules, and records the bakes as manual.
    #[command(alias = "run-now")]
    Bake(BakeArgs),
    /// Show the verdict, its problems, and a row per schedule.
    ///
    /// Ends with 0 if all is well, and with 5 if there is a warning or a problem.
    Status(StatusArgs),
    /// Show past and running bakes, the newest slot first.
    History(HistoryArgs),
    /// Show one bake with every call that was made for it.
    Show(ShowArgs),
    /// Explain what happened at a slot, or why nothing did.
    Why(WhyArgs),
    /// Show the images of each line, and planned deletions.
    #[command(alias = "ls")]
    Images(ImagesArgs),
    /// Compare the history with the images in the cloud.
    ///
    /// Adds what only the cloud has with `--apply`. Nothing is ever deleted.
    Reconcile(ReconcileArgs),
    /// Show who did what and when, the newest first.
    Audit(AuditArgs),
    /// Show what happened, the newest last.
    ///
    /// Events of bakes, images, channels, schedules and the daemon.
    #[command(alias = "logs")]
    Events(EventsArgs),
    /// Acknowledge a problem, so that it does not count.
    ///
    /// It is still listed, until it ends or its severity rises. More of the same, such as a third lost slot, is no end of it.
    Ack(AckArgs),
    /// End the acknowledgement of a problem.
    Unack(UnackArgs),
    /// Copy the history into a file, and verify the copy.
    ///
    /// Also while the daemon runs.
    Backup(BackupArgs),
    /// Replace the history by a backup.
    ///
    /// The daemon must not run.
    Restore(RestoreArgs),
    /// Write the whole history as one JSON document.
    Export(ExportArgs),
    /// Create the history from an export.
    ///
    /// The daemon must not run.
    Import(ImportArgs),
    /// Convert a crontab to schedules.
    #[command(subcommand)]
    Crontab(CrontabCommand),
    /// Check everything that a bake needs.
    ///
    /// Configuration, credentials, permissions, clock, instances, disk, history.
    Doctor(DoctorArgs),
    /// Write a first configuration for the instances of the account.
    Init(InitArgs),
    /// Show instances without a schedule, and the reverse.
    ///
    /// Instances of the account that no schedule bakes, and schedules whose instance is not there.
    Coverage(CoverageArgs),
    /// Skip the slots of a schedule from now on.
    Pause(PauseArgs),
    /// Bake the slots of a schedule again, from now on.
    #[command(alias = "unpause")]
    Resume(ResumeArgs),
    /// Repeat a failed or skipped bake.
    Retry(RetryArgs),
    /// Cancel a bake that has not started its image.
    Cancel(CancelArgs),
    /// Show the image of each channel.
    Channels(ChannelsArgs),
    /// Point a channel to an image.
    Promote(PromoteArgs),
    /// Point a channel to its former image.
    ///
    /// The image that it leaves is vetoed.
    Rollback(RollbackArgs),
    /// Veto an image: no channel points to it.
    Veto(VetoArgs),
    /// Remove the veto of an image.
    Unveto(ImageArgs),
    /// Run retention: mark images, delete those marked before.
    ///
    /// Marks images that no rule of `keep` wants, and deletes those whose grace has passed.
    Prune(PruneArgs),
    /// Keep an image, whatever the rules are.
    Pin(PinArgs),
    /// Remove the pin of an image.
    Unpin(ImageArgs),
    /// Unmark an image that is to be deleted, and pin it.
    Undelete(ImageArgs),
    /// Adopt images of the cloud for the line of a schedule.
    Adopt(AdoptArgs),
    /// Make the daemon read its configuration again.
    Reload,
    /// Run the simulator of the cloud alone.
    ///
    /// To rehearse a schedule against it.
    Sim(SimArgs),
    /// Print a JSON Schema of the configuration, for editors.
    Schema,
    /// Print the completion script of a shell.
    ///
    /// It offers commands, options, schedules, bakes, images, channels and instances.
    Completions(CompletionsArgs),
    /// Print the manual page, or write all of them.
    Man(ManArgs),
    /// Print the version; the same as `--version`.
    #[command(hide = true)]
    Version,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::suggestion::COMMANDS;

    /// They work without a configuration, or on one of their own.
    const WITHOUT: [&str; 7] = ["completions", "crontab", "demo", "man", "schema", "sim", "version"];

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn suggestions_know_every_command_that_uses_the_configuration() {
        let command = command();
        let mut names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        names.retain(|name| !WITHOUT.contains(name));
        names.sort_unstable();
        assert_eq!(names, COMMANDS);
    }

    #[test]
    fn the_typed_configuration_is_found_wherever_it_stands() {
        let typed = |line: &str| typed_config(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(typed("imagebaked --config a.toml status"), Some("a.toml".into()));
        assert_eq!(typed("imagebaked status --json --config=a.toml"), Some("a.toml".into()));
        assert_eq!(typed("imagebaked status"), None);
        assert_eq!(typed("imagebaked bake -- --config a.toml"), None);
    }
}
