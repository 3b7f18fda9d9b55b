//! Arguments of the commands that run, show and steer the daemon.

use clap::Args;

use super::schedule_args::{OneSchedule, OnlyScheduleOfFile};
use crate::adapters::telemetry::LogFormat;
use crate::domain::time::AskedTime;

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

/// `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Which.
    #[command(flatten)]
    pub schedule: OnlyScheduleOfFile,
    /// Go on showing it, in place on a terminal, and into a pipe whenever it changes; ends with Ctrl-C or the daemon.
    #[arg(long)]
    pub watch: bool,
    /// Show every problem, schedule and bake, not only what fits the screen or the first 20 schedules, and all about the daemon:
    /// files, credentials, tasks, housekeeping.
    #[arg(long, conflicts_with = "check")]
    pub all: bool,
    /// One line for Nagios and its like, with their exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    #[arg(long, conflicts_with = "watch")]
    pub check: bool,
}

/// `pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// Which.
    #[command(flatten)]
    pub schedule: OneSchedule,
    /// Until this time (`tomorrow 07:00`, `2026-11-30`) or for this long (`36h`, `7d`); by default until it is resumed.
    #[arg(long, value_name = "TIME")]
    pub until: Option<AskedTime>,
    /// Why; shown with every slot that is skipped.
    #[arg(long, value_name = "TEXT", default_value = "no reason given")]
    pub reason: String,
}

/// `resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Which.
    #[command(flatten)]
    pub schedule: OneSchedule,
}
