//! Arguments of the commands about the configuration and its slots.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};

use crate::domain::plan::explain::Asked;

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
