//! Command line arguments. Types only: the file of each command under `commands/` implements it.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

mod bakes;
mod channels;
mod daemon;
mod events;
mod images;
mod records;
mod setup;
mod timetable;
mod tools;
mod values;

pub use bakes::{BakeArgs, CancelArgs, HistoryArgs, RetryArgs, RetryStage, ShowArgs};
pub use channels::{ChannelsArgs, PromoteArgs, RollbackArgs, VetoArgs};
pub use daemon::{PauseArgs, ResumeArgs, RunArgs, StatusArgs};
pub use events::{AckArgs, EventsArgs, UnackArgs};
pub use images::{AdoptArgs, ImageArgs, ImagesArgs, PinArgs, PruneArgs, ReconcileArgs};
pub use records::{AuditArgs, BackupArgs, ExportArgs, ImportArgs, RestoreArgs};
pub use setup::{CoverageArgs, CrontabCommand, CrontabImportArgs, DoctorArgs, InitArgs};
pub use timetable::{CheckArgs, Deny, PlanArgs, WhyArgs};
pub use tools::{CompletionsArgs, DemoArgs, ManArgs, Shell, SimArgs};

/// The default path of the configuration.
pub const CONFIG: &str = "/etc/imagebaked/imagebaked.toml";

/// Makes versioned images of WUYING cloud desktops and workstations on schedule.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not found, 4 daemon not reachable, 5 unhealthy,
/// 6 accepted but not confirmed, 7 history unusable.
#[derive(Debug, Parser)]
#[command(name = "imagebaked", version, max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    /// The configuration.
    #[arg(long, global = true, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
    /// Print JSON with stable field names, for programs.
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours: by default on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    /// With `--version`: show the release of the time zone rules and its source, too.
    #[arg(long)]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
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
    /// Show a demonstration on a built-in simulator of the cloud; needs no account and no configuration.
    Demo(DemoArgs),
    /// Check the configuration and show the next slots.
    Check(CheckArgs),
    /// Show future slots; needs neither credentials nor a running daemon.
    Plan(PlanArgs),
    /// Bake now: one image of each instance of a schedule.
    #[command(alias = "run-now")]
    Bake(BakeArgs),
    /// Show the state of the daemon: health, running bakes, next slots.
    Status(StatusArgs),
    /// Show past and running bakes, the newest slot first.
    History(HistoryArgs),
    /// Show one bake with every call that was made for it.
    Show(ShowArgs),
    /// Explain what happened to a schedule at some time, or why nothing did.
    Why(WhyArgs),
    /// Show the images of each line, and planned deletions.
    #[command(alias = "ls")]
    Images(ImagesArgs),
    /// Compare the history with the images in the cloud, and optionally add what only the cloud has.
    Reconcile(ReconcileArgs),
    /// Show the audit: who did what and when, newest first.
    Audit(AuditArgs),
    /// Show events: what happened to bakes, images, channels, schedules and the daemon, oldest first.
    #[command(alias = "logs")]
    Events(EventsArgs),
    /// Acknowledge a problem: it is still listed, but does not count, until it ends or gets worse.
    Ack(AckArgs),
    /// End the acknowledgement of a problem.
    Unack(UnackArgs),
    /// Copy the history into a file, also while the daemon runs, and verify the copy.
    Backup(BackupArgs),
    /// Replace the history by a backup; the daemon must not run.
    Restore(RestoreArgs),
    /// Write the whole history as one JSON document.
    Export(ExportArgs),
    /// Create the history from an export; the daemon must not run.
    Import(ImportArgs),
    /// Convert a crontab to schedules.
    #[command(subcommand)]
    Crontab(CrontabCommand),
    /// Check everything that a bake needs: configuration, credentials, permissions, clock, instances, disk, history.
    Doctor(DoctorArgs),
    /// Write a first configuration from the instances that the account has.
    Init(InitArgs),
    /// Show instances of the account that no schedule bakes, and schedules whose instance is not there.
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
    /// Point a channel to its former image, and veto the image that it leaves.
    Rollback(RollbackArgs),
    /// Veto an image: no channel points to it.
    Veto(VetoArgs),
    /// Remove the veto of an image.
    Unveto(ImageArgs),
    /// Run retention: mark images that no rule of `keep` wants, and delete those whose grace has passed.
    Prune(PruneArgs),
    /// Pin an image: it is kept whatever the rules are.
    Pin(PinArgs),
    /// Remove the pin of an image.
    Unpin(ImageArgs),
    /// Unmark an image that is marked for deletion, and pin it.
    Undelete(ImageArgs),
    /// Adopt images of the cloud for the line of a schedule.
    Adopt(AdoptArgs),
    /// Reload the configuration of the daemon.
    Reload,
    /// Run the simulator of the cloud alone, to rehearse a schedule against.
    Sim(SimArgs),
    /// Print a JSON Schema of the configuration, for editors.
    Schema,
    /// Print the script by which a shell completes commands, options and schedules.
    Completions(CompletionsArgs),
    /// Print the manual page, or write all of them.
    Man(ManArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
