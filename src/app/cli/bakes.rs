//! Arguments of the commands about bakes.

use clap::{Args, ValueEnum};

use super::{
    schedule_args::{OnlySchedule, Schedules},
    values::{bake_id, count, filled},
};
use crate::domain::time::AskedTime;
use crate::domain::{bake::State, ids::BakeId};

/// `bake`.
#[derive(Debug, Args)]
pub struct BakeArgs {
    /// Which.
    #[command(flatten)]
    pub schedules: Schedules,
    /// Only this instance; may be repeated. It needs no schedule if only one has the instance.
    #[arg(long, value_name = "ID")]
    pub instance: Vec<String>,
    /// Bake every schedule, after a question.
    #[arg(long, conflicts_with_all = ["schedule", "schedule_option", "instance"])]
    pub all: bool,
    /// Do not ask, with `--all`.
    #[arg(long, short)]
    pub yes: bool,
    /// Stay until the bakes are over and their images are verified; exits with 1 unless all are good.
    #[arg(long)]
    pub wait: bool,
}

/// `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Which.
    #[command(flatten)]
    pub schedule: OnlySchedule,
    /// Only this instance.
    #[arg(long, value_name = "ID")]
    pub instance: Option<String>,
    /// Only these states, e.g. `failed` or `failed,skipped`.
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(State::WORDS))]
    pub state: Vec<String>,
    /// Slots at or after this time: `36h`, `yesterday`, `2026-11-26 03:00`
    #[arg(long, value_name = "TIME")]
    pub since: Option<AskedTime>,
    /// Slots at or before this time; a day counts whole.
    #[arg(long, value_name = "TIME")]
    pub until: Option<AskedTime>,
    /// Only bakes one of whose calls met this code, e.g. `ExceedBuilderQuota`.
    #[arg(long, value_name = "CODE", value_parser = filled)]
    pub code: Option<String>,
    /// At most so many rows; 0 shows all [default: 50; on a terminal, those that fit on it].
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub limit: Option<u32>,
    /// Rows before this one: the number of the last bake of the page before.
    #[arg(long, value_name = "BAKE", value_parser = bake_id, allow_negative_numbers = true)]
    pub before: Option<BakeId>,
}

/// `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The bake's number, as in the history.
    #[arg(value_parser = bake_id, allow_negative_numbers = true)]
    pub bake: BakeId,
    /// With the settings and each call, however often it was repeated and however long that gets on a terminal.
    #[arg(long)]
    pub all: bool,
}

/// `retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The bake's number, as in the history.
    #[arg(value_parser = bake_id, allow_negative_numbers = true)]
    pub bake: BakeId,
    /// Stay until the new bake is over and its image is verified; exits with 1 unless it is good.
    #[arg(long)]
    pub wait: bool,
    /// What is done again: the whole `bake`, or the copies of its image that failed (`distribute`), to the regions that its
    /// schedule has now.
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

/// `cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The bake's number, as in the history.
    #[arg(value_parser = bake_id, allow_negative_numbers = true)]
    pub bake: BakeId,
}
