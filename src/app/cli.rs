//! Command line arguments. Types only: the file of each command under `commands/` implements it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::adapters::telemetry::LogFormat;
use crate::domain::calendar::zone::Zone;
use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::domain::{ids::BakeId, plan::explain::Asked};

mod events;

pub use self::events::{AckArgs, EventsArgs, UnackArgs};

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
    Images(ImagesArgs),
    /// Compare the history with the images in the cloud, and optionally add what only the cloud has.
    Reconcile(ReconcileArgs),
    /// Show the audit: who did what and when, newest first.
    Audit(AuditArgs),
    /// Show events: what happened to bakes, images, channels, schedules and the daemon, oldest first.
    Events(EventsArgs),
    /// Acknowledge a problem: it is listed, and counts for no verdict, until it ends or gets worse.
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

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Format of the log; `auto` is the journal under systemd and text elsewhere.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub log: LogFormat,
    /// What is logged, e.g. `info` or `info,imagebaked::adapters::cloud=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log_filter: String,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Keep all files in this folder; by default a temporary one is removed.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The file to check instead of `--config`.
    pub file: Option<PathBuf>,
    /// How many slots to show.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub next: usize,
    /// `warnings`: end with 2 if there are any, too.
    #[arg(long, value_name = "WHAT")]
    pub deny: Option<Deny>,
}

/// What else than errors makes `check` fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Deny {
    /// Any warning.
    Warnings,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Slots after this instant (RFC 3339); default now.
    #[arg(long, value_name = "TIME")]
    pub from: Option<DateTime<Utc>>,
    /// Slots up to and including this instant (RFC 3339); default 7 days after `--from`.
    #[arg(long, value_name = "TIME")]
    pub until: Option<DateTime<Utc>>,
    /// Only this schedule, by name or id.
    #[arg(long, value_name = "NAME")]
    pub schedule: Option<String>,
    /// At most so many slots; 0 shows all [default: 100, 1000 with --json].
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Show what would change with this file in place of `--config`; the conf.d beside `--config` is used.
    #[arg(long, value_name = "NEWFILE", conflicts_with = "schedule")]
    pub diff: Option<PathBuf>,
}

/// `bake`.
#[derive(Debug, Args)]
pub struct BakeArgs {
    /// The schedule, by name or id.
    pub schedule: String,
    /// Stay until the bakes are over and their images are verified; exits with 1 unless all are good.
    #[arg(long)]
    pub wait: bool,
}

/// `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Go on showing it, in place on a terminal, and into a pipe whenever it changes; ends with Ctrl-C or the daemon.
    #[arg(long)]
    pub watch: bool,
    /// One line for Nagios and its like, with their exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    #[arg(long, conflicts_with = "watch")]
    pub check: bool,
}

/// `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Only this schedule, by name or id.
    #[arg(long, value_name = "NAME")]
    pub schedule: Option<String>,
    /// Only this instance.
    #[arg(long, value_name = "ID")]
    pub instance: Option<String>,
    /// Only these states, e.g. `failed` or `failed,skipped`.
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(crate::domain::bake::State::WORDS))]
    pub state: Vec<String>,
    /// Slots at or after this instant (RFC 3339) or this long ago (`36h`, `7d`).
    #[arg(long, value_name = "TIME")]
    pub since: Option<TimeArgument>,
    /// Slots at or before this instant (RFC 3339) or this long ago.
    #[arg(long, value_name = "TIME")]
    pub until: Option<TimeArgument>,
    /// Only bakes one of whose calls met this code, e.g. `ExceedBuilderQuota`.
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
    /// At most so many rows.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u32,
    /// Rows before this one: the number of the last bake of the page before.
    #[arg(long, value_name = "BAKE", value_parser = bake_id)]
    pub before: Option<BakeId>,
}

/// `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The bake's number, as in the history.
    #[arg(value_parser = bake_id)]
    pub bake: BakeId,
}

/// `why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// The schedule, by name or id; also one that is not in the file any more.
    pub schedule: String,
    /// An instant (RFC 3339), or what the clock of the schedule's zone showed: `2027-03-28 02:30`.
    #[arg(long, value_name = "TIME")]
    pub at: Asked,
    /// Only this instance.
    #[arg(long, value_name = "ID")]
    pub instance: Option<String>,
}

/// `reconcile`.
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// Also add the cloud's images to the history, and search for the images of unknown bakes now. Nothing is
    /// ever deleted.
    #[arg(long)]
    pub apply: bool,
}

/// `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// At or after this instant (RFC 3339) or this long ago (`36h`, `7d`).
    #[arg(long, value_name = "TIME")]
    pub since: Option<TimeArgument>,
    /// At or before this instant (RFC 3339) or this long ago.
    #[arg(long, value_name = "TIME")]
    pub until: Option<TimeArgument>,
    /// Only what this person did, by name or number: `alice`, `1000`, `"uid 1000"`; the daemon itself is `imagebaked`.
    #[arg(long, value_name = "WHO")]
    pub who: Option<String>,
    /// Only this kind, e.g. `bake`, `pause` or `reload`.
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// At most so many lines.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u32,
    /// Lines before this one: the number of the last line of the page before.
    #[arg(long, value_name = "ID")]
    pub before: Option<i64>,
}

/// `backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The file to make.
    pub file: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    pub force: bool,
}

/// `restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// A file that `imagebaked backup` made. The history that is there now is kept beside it.
    pub file: PathBuf,
}

/// `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The file to make; `-` is standard output.
    #[arg(default_value = "-")]
    pub file: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    pub force: bool,
}

/// `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A file that `imagebaked export` made; `-` is standard input.
    pub file: PathBuf,
}

/// `crontab`.
#[derive(Debug, Subcommand)]
pub enum CrontabCommand {
    /// Print a [[schedule]] for each line of a crontab that names an instance; nothing is written.
    Import(CrontabImportArgs),
}

/// `crontab import`.
#[derive(Debug, Args)]
pub struct CrontabImportArgs {
    /// The crontab; `-` is standard input: crontab -l | imagebaked crontab import
    #[arg(default_value = "-")]
    pub file: PathBuf,
    /// It has the format of /etc/crontab, with a user before each command.
    #[arg(long)]
    pub system: bool,
    /// The zone of its times if it sets none; by default this host's.
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub timezone: Option<crate::domain::calendar::zone::Zone>,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Leave out the permissions that change things. They are tried with ids that exist nowhere, so that nothing is ever
    /// changed, but the tries show in the account's audit.
    #[arg(long)]
    pub no_probe: bool,
}

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The file to write instead of `--config`. One that is there is never overwritten.
    pub file: Option<PathBuf>,
    /// Print the text instead of writing a file.
    #[arg(long, conflicts_with = "file")]
    pub stdout: bool,
    /// `region` of [cloud]; default: IMAGEBAKED_CLOUD__REGION, else cn-shanghai.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// `endpoint` of [cloud], e.g. that of a simulator.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// `ecd_endpoint` of [cloud].
    #[arg(long, value_name = "URL")]
    pub ecd_endpoint: Option<String>,
    /// `credentials` of [cloud]: `default`, `files` or `ecs_ram_role`.
    #[arg(long, value_name = "SOURCE")]
    pub credentials: Option<String>,
    /// `credentials_dir` of [cloud].
    #[arg(long, value_name = "DIR")]
    pub credentials_dir: Option<String>,
    /// List the cloud desktops of this region; may be given often. Default: the region of [cloud].
    #[arg(long, value_name = "REGION")]
    pub desktop_region: Vec<String>,
    /// The zone of the times; default: Asia/Shanghai for regions of China, UTC elsewhere.
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub timezone: Option<Zone>,
}

/// `coverage`.
#[derive(Debug, Args)]
pub struct CoverageArgs {
    /// List the cloud desktops of this region, too; may be given often. The region of [cloud] and those of the schedules
    /// always are.
    #[arg(long, value_name = "REGION")]
    pub desktop_region: Vec<String>,
    /// End with 1 where anything is not covered or missing.
    #[arg(long)]
    pub strict: bool,
}

/// `pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The schedule, by name or id.
    pub schedule: String,
    /// Until this instant (RFC 3339) or for this long (`36h`, `7d`); by default until it is resumed.
    #[arg(long, value_name = "TIME")]
    pub until: Option<TimeArgument>,
    /// Why; shown with every slot that is skipped.
    #[arg(long, value_name = "TEXT", default_value = "no reason given")]
    pub reason: String,
}

/// `resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The schedule, by name or id.
    pub schedule: String,
}

/// `retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The bake's number, as in the history.
    #[arg(value_parser = bake_id)]
    pub bake: BakeId,
    /// Stay until the new bake is over and its image is verified; exits with 1 unless it is good.
    #[arg(long)]
    pub wait: bool,
    /// What is done again: the whole `bake`, or what failed when its image was copied to other regions (`distribute`).
    #[arg(long, value_name = "STAGE", default_value = "bake")]
    pub stage: RetryStage,
}

/// What `retry` does again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RetryStage {
    /// Everything, as a new bake.
    Bake,
    /// The copies to other regions that failed.
    Distribute,
}

/// `channels`.
#[derive(Debug, Args)]
pub struct ChannelsArgs {
    /// Only this schedule, by name or id.
    pub schedule: Option<String>,
    /// Every assignment that ever was, the last first.
    #[arg(long)]
    pub history: bool,
    /// At most so many lines of history.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u32,
}

/// `promote`.
#[derive(Debug, Args)]
pub struct PromoteArgs {
    /// The image's id.
    pub image: String,
    /// The channel, as the schedule names it.
    pub channel: String,
    /// Why; shown in the history of the channel.
    #[arg(long, value_name = "TEXT", default_value = "promoted")]
    pub reason: String,
    /// Also an image whose check failed or is not over.
    #[arg(long)]
    pub force: bool,
}

/// `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The schedule, by name or id.
    pub schedule: String,
    /// The channel.
    pub channel: String,
    /// Which instance, where the schedule has several.
    #[arg(long, value_name = "ID")]
    pub instance: Option<String>,
    /// What is wrong with the image.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// `veto`.
#[derive(Debug, Args)]
pub struct VetoArgs {
    /// The image's id.
    pub image: String,
    /// What is wrong with it.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// `cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The bake's number, as in the history.
    #[arg(value_parser = bake_id)]
    pub bake: BakeId,
}

/// `images`.
#[derive(Debug, Args)]
pub struct ImagesArgs {
    /// Only this schedule, by name or id; also one that is not in the file any more.
    pub schedule: Option<String>,
    /// At most so many images in the table; JSON always has all.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub limit: u32,
    /// Only images whose line is not in the file any more.
    #[arg(long)]
    pub orphans: bool,
    /// The images that the cloud lists as CREATE_FAILED instead, also those that the history does not know.
    #[arg(long, conflicts_with_all = ["channel", "orphans"])]
    pub failed: bool,
    /// Only the image of this channel, of each line: `latest`, or one that the schedule names.
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
}

/// `prune`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct PruneArgs {
    /// Only show what would be done; the cloud is scanned nevertheless.
    #[arg(long)]
    pub dry_run: bool,
    /// Retry deletions that the cloud rejected.
    #[arg(long)]
    pub again: bool,
    /// Also delete what is held because it is more than half of a line, or more than `max_deletions` in all.
    #[arg(long, conflicts_with = "dry_run")]
    pub confirm: bool,
    /// Also delete images of lines whose newest image failed.
    #[arg(long)]
    pub despite_failed_bake: bool,
}

/// `pin`.
#[derive(Debug, Args)]
pub struct PinArgs {
    /// The image (`imgc-…`), as `imagebaked images` shows it.
    pub image: String,
    /// Until this instant (RFC 3339) or for this long (`36h`, `7d`); by default until it is unpinned.
    #[arg(long, value_name = "TIME")]
    pub until: Option<TimeArgument>,
    /// Why; shown wherever the image is kept for it.
    #[arg(long, value_name = "TEXT", default_value = "no reason given")]
    pub reason: String,
}

/// `unpin`, `undelete`.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// The image (`imgc-…`), as `imagebaked images` shows it.
    pub image: String,
}

/// `adopt`.
#[derive(Debug, Args)]
pub struct AdoptArgs {
    /// The schedule, by name or id.
    pub schedule: String,
    /// The images (`imgc-…`).
    #[arg(required_unless_present_any = ["name", "tag"], conflicts_with_all = ["name", "tag"])]
    pub images: Vec<String>,
    /// All images of this name; a `*` matches any text.
    #[arg(long, value_name = "PATTERN", conflicts_with = "tag")]
    pub name: Option<String>,
    /// All images with this tag.
    #[arg(long, value_name = "KEY=VALUE")]
    pub tag: Option<String>,
    /// Which instance's line, where the schedule has several.
    #[arg(long, value_name = "ID")]
    pub instance: Option<String>,
    /// Only show which images would be adopted.
    #[arg(long)]
    pub dry_run: bool,
}

/// `sim`.
#[derive(Debug, Args)]
pub struct SimArgs {
    /// Where to listen; loopback only.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8480")]
    pub listen: SocketAddr,
    /// Keep the simulated world in this file; it survives a restart.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Faults to inject, as TOML.
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
    /// The key pair that is accepted; its secret is read from SIM_ACCESS_KEY_SECRET.
    #[arg(long, value_name = "ID", default_value = "sim-key-id")]
    pub access_key_id: String,
    /// How long an image takes.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub build_time: Duration,
    /// How long a start or a stop takes.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub power_time: Duration,
    /// How many images can be made at once.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub builders: u32,
    /// How many images there can be; any number by default.
    #[arg(long, value_name = "N")]
    pub images: Option<u32>,
    /// Throttle each action to so many requests a second.
    #[arg(long, value_name = "N")]
    pub requests_per_second: Option<u32>,
    /// Add an instance (`ecd-…` or `ws-…`); may be given often.
    #[arg(long, value_name = "ID")]
    pub instance: Vec<String>,
    /// Take instances that are not known yet as they come.
    #[arg(long)]
    pub open: bool,
    /// Show `GmtCreate` in a zone so many minutes ahead of UTC.
    #[arg(long, value_name = "MINUTES", default_value_t = 0, allow_negative_numbers = true)]
    pub gmt_zone: i32,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: Shell,
}

/// Shells that can be helped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// `source <(imagebaked completions bash)`
    Bash,
    /// `source <(imagebaked completions zsh)`
    Zsh,
    /// `imagebaked completions fish | source`
    Fish,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write the pages of the program, of each command and of the configuration into this folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// An instant, or a time ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeArgument {
    /// RFC 3339.
    At(DateTime<Utc>),
    /// So long before now; for what lies ahead, so long from now.
    Ago(Duration),
}

impl std::str::FromStr for TimeArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(at) = text.parse::<DateTime<Utc>>() {
            return Ok(Self::At(at));
        }
        humantime::parse_duration(text).map(Self::Ago).map_err(|_| {
            "give an instant like 2027-03-01T03:00:00Z, or a length of time like 90m, 36h or 7d".to_owned()
        })
    }
}

impl TimeArgument {
    /// The instant meant where it lies ahead, seen from `now`.
    pub fn ahead(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Ago(length) => chrono::TimeDelta::from_std(length)
                .ok()
                .and_then(|length| now.checked_add_signed(length))
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
        }
    }

    /// The instant meant, seen from `now`.
    pub fn instant(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => chrono::TimeDelta::from_std(ago)
                .ok()
                .and_then(|ago| now.checked_sub_signed(ago))
                .unwrap_or(DateTime::UNIX_EPOCH),
        }
    }
}

fn zone(text: &str) -> Result<Zone, String> {
    text.parse().map_err(|_| "zones look like Asia/Shanghai".to_owned())
}

fn bake_id(text: &str) -> Result<BakeId, String> {
    match text.trim_start_matches('#').parse() {
        Ok(id) if id > 0 => Ok(BakeId(id)),
        _ => Err("a bake is named by its number, as the first column of `imagebaked history` shows it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_moment_is_an_instant_or_a_time_ago() {
        let now: DateTime<Utc> = "2027-03-01T12:00:00Z".parse().unwrap();
        assert_eq!("36h".parse::<TimeArgument>().unwrap().instant(now).to_rfc3339(), "2027-02-28T00:00:00+00:00");
        assert_eq!(
            "2027-03-01T03:00:00+08:00".parse::<TimeArgument>().unwrap().instant(now).to_rfc3339(),
            "2027-02-28T19:00:00+00:00"
        );
        for wrong in ["yesterday", "5x"] {
            let message = wrong.parse::<TimeArgument>().unwrap_err();
            assert!(message.contains("2027-03-01T03:00:00Z") && message.contains("36h or 7d"), "{message}");
        }
    }
}
