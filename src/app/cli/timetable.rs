//! Arguments of the commands about the configuration and its slots.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{schedule_args::ScheduleAndMore, values::many};
use crate::domain::time::AskedTime;

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The file to check instead of `--config`; `-` is standard input.
    pub file: Option<PathBuf>,
    /// How many slots to show [default: 5; on a terminal, fewer below warnings].
    #[arg(long, value_name = "N", value_parser = many, allow_negative_numbers = true)]
    pub next: Option<usize>,
    /// Show where the value of a key comes from: `daemon.drain`, `golden.deadline`; or of all keys: `daemon`, `golden`.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["next", "deny"])]
    pub explain: Option<String>,
    /// Ask the cloud for the sessions of workstations; end with 2 if there are several and none is chosen.
    #[arg(long, conflicts_with = "explain")]
    pub sessions: bool,
    /// `warnings`: end with 2 if there are any, too.
    #[arg(long, value_name = "WHAT")]
    pub deny: Option<Deny>,
    /// On a terminal, show each problem: without it those of one kind are one, and the answer ends with the screen.
    #[arg(long)]
    pub all: bool,
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
    /// Only the slots of this time: `tonight` (the night up to the next noon, as on the page), `tomorrow`, `2026-11-30`; or of this schedule; or both.
    #[arg(value_name = "WHEN|SCHEDULE", num_args = 0..=2)]
    pub words: Vec<String>,
    /// Slots after this time (`tomorrow 07:00`, `2d`, `2026-11-30`); default now.
    #[arg(long, value_name = "TIME")]
    pub from: Option<AskedTime>,
    /// Slots up to and including this time; a day counts whole. Default 7 days after `--from`.
    #[arg(long, value_name = "TIME")]
    pub until: Option<AskedTime>,
    /// Only this schedule, by name or id.
    #[arg(long, value_name = "NAME")]
    pub schedule: Option<String>,
    /// At most so many slots; 0 shows all [default: 100, 1000 with --json; on a terminal, those that fit on it].
    #[arg(long, value_name = "N", value_parser = many, allow_negative_numbers = true)]
    pub limit: Option<usize>,
    /// Show what would change with this file in place of `--config`; the conf.d beside `--config` is used.
    #[arg(long, value_name = "NEWFILE", conflicts_with = "schedule")]
    pub diff: Option<PathBuf>,
}

/// `why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Which.
    #[command(flatten)]
    pub schedule: ScheduleAndMore,
    /// The same as `--at TIME`.
    #[arg(value_name = "TIME", conflicts_with = "at")]
    pub time: Option<String>,
    /// A time as any command prints it, or in the schedule's zone: `07:06`, `yesterday`, `2027-03-28 02:30`. A day explains
    /// each of its slots. By default the newest slot.
    #[arg(long, value_name = "TIME")]
    pub at: Option<AskedTime>,
    /// Only this instance.
    #[arg(long, value_name = "ID")]
    pub instance: Option<String>,
    /// Each instance and slot, and each call, however often it was repeated and however long that gets on a terminal.
    #[arg(long)]
    pub all: bool,
}
