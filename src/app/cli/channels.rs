//! Arguments of the commands about channels and vetoes.

use clap::Args;

use super::{
    schedule_args::{OnlySchedule, ScheduleAndMore},
    values::{count, filled},
};

/// `channels`.
#[derive(Debug, Args)]
pub struct ChannelsArgs {
    /// Which.
    #[command(flatten)]
    pub schedule: OnlySchedule,
    /// Every assignment that ever was, the last first.
    #[arg(long)]
    pub history: bool,
    /// At most so many lines; 0 shows all [default: all, 50 of the history; on a terminal, those that fit on it].
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub limit: Option<u32>,
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
    /// Which.
    #[command(flatten)]
    pub schedule: ScheduleAndMore,
    /// The channel.
    #[arg(required_unless_present = "schedule_option")]
    pub channel: Option<String>,
    /// Which instance, where the schedule has several.
    #[arg(long, value_name = "ID")]
    pub instance: Option<String>,
    /// What is wrong with the image.
    #[arg(long, value_name = "TEXT", value_parser = filled)]
    pub reason: String,
}

/// `veto`.
#[derive(Debug, Args)]
pub struct VetoArgs {
    /// The image's id.
    pub image: String,
    /// What is wrong with it.
    #[arg(long, value_name = "TEXT", value_parser = filled)]
    pub reason: String,
}
