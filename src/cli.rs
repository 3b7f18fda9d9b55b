//! What can be typed. Types only: what a command does is in the file of its name under `commands/`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{ids::BakeId, schedule::explain::Asked};

/// Makes versioned images of WUYING cloud desktops and workstations on schedule.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not found, 4 daemon not reachable, 5 unhealthy.
#[derive(Debug, Parser)]
#[command(name = "imagebaked", version, max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    /// The configuration.
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/imagebaked/imagebaked.toml")]
    pub config: PathBuf,
    /// Print JSON with stable field names, for programs.
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours: by default on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
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
    /// See everything at once on a built-in simulator of the cloud: needs no account and no configuration.
    Demo(DemoArgs),
    /// Check the configuration and show the next slots.
    Check(CheckArgs),
    /// Show the slots to come; needs neither credentials nor a running daemon.
    Plan(PlanArgs),
    /// Bake now: one image of each instance of a schedule.
    Bake(BakeArgs),
    /// Show how the daemon is: health, running bakes, next slots.
    Status(StatusArgs),
    /// Show past and running bakes, the newest slot first.
    History(HistoryArgs),
    /// Show one bake with every call that was made for it.
    Show(ShowArgs),
    /// Explain what became of a schedule at some time, or why nothing did.
    Why(WhyArgs),
    /// Show the good images of each line.
    Images(ImagesArgs),
    /// Compare the ledger with the images in the cloud, and take over what only the cloud knows.
    Reconcile(ReconcileArgs),
    /// Skip the slots of a schedule from now on.
    Pause(PauseArgs),
    /// Bake the slots of a schedule again, from now on.
    Resume(ResumeArgs),
    /// Bake again what a failed or skipped bake did not bring.
    Retry(RetryArgs),
    /// Call off a bake that has not begun its image.
    Cancel(CancelArgs),
    /// Make the daemon read its configuration again.
    Reload,
    /// Run the simulator of the cloud alone, to rehearse a schedule against.
    Sim(SimArgs),
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// How the log looks; `auto` is the journal under systemd and text elsewhere.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub log: LogFormat,
    /// What is logged, e.g. `info` or `info,imagebaked::cloud=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log_filter: String,
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// The journal under systemd, text elsewhere.
    Auto,
    /// One line of text an event, on standard error.
    Text,
    /// One JSON object an event, on standard error.
    Json,
    /// The systemd journal.
    Journal,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Keep everything in this folder to look at afterwards; by default a temporary one is removed.
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
    /// At most so many slots in the table; JSON always has all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// Show what would change if this file stood in place of `--config`; the conf.d beside that goes on to count.
    #[arg(long, value_name = "NEWFILE", conflicts_with = "schedule")]
    pub diff: Option<PathBuf>,
}

/// `bake`.
#[derive(Debug, Args)]
pub struct BakeArgs {
    /// The schedule, by name or id.
    pub schedule: String,
    /// Stay until the bakes are over; exits with 1 unless all succeeded.
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
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(crate::bake::State::WORDS))]
    pub state: Vec<String>,
    /// Slots at or after this instant (RFC 3339) or this long ago (`36h`, `7d`).
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Slots at or before this instant (RFC 3339) or this long ago.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
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
    /// Also write into the ledger what the cloud's images say, and look for the images of unknown bakes now. Nothing is
    /// ever deleted.
    #[arg(long)]
    pub apply: bool,
}

/// `pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The schedule, by name or id.
    pub schedule: String,
    /// Until this instant (RFC 3339) or for this long (`36h`, `7d`); by default until it is resumed.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
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
    /// Stay until the new bake is over; exits with 1 unless it succeeded.
    #[arg(long)]
    pub wait: bool,
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
    /// Only this schedule, by name or id.
    pub schedule: Option<String>,
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
    /// Throttle each action to so many requests a second.
    #[arg(long, value_name = "N")]
    pub requests_per_second: Option<u32>,
    /// Add an instance (`ecd-…` or `ws-…`); may be given often.
    #[arg(long, value_name = "ID")]
    pub instance: Vec<String>,
    /// Take instances that are not known yet as they come.
    #[arg(long)]
    pub open: bool,
}

/// An instant, or a time ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// RFC 3339.
    At(DateTime<Utc>),
    /// So long before now; for what lies ahead, so long from now.
    Ago(Duration),
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(at) = text.parse::<DateTime<Utc>>() {
            return Ok(Self::At(at));
        }
        humantime::parse_duration(text)
            .map(Self::Ago)
            .map_err(|_| "neither an instant like 2027-03-01T03:00:00Z nor a time ago like 36h or 7d".to_owned())
    }
}

impl Moment {
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
        assert_eq!("36h".parse::<Moment>().unwrap().instant(now).to_rfc3339(), "2027-02-28T00:00:00+00:00");
        assert_eq!(
            "2027-03-01T03:00:00+08:00".parse::<Moment>().unwrap().instant(now).to_rfc3339(),
            "2027-02-28T19:00:00+00:00"
        );
        assert!("yesterday".parse::<Moment>().is_err());
    }
}
