//! Arguments of the commands that set a host up, and that check it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::{region, zone};
use crate::domain::calendar::zone::Zone;

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
    pub timezone: Option<Zone>,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Leave out the permissions that change things. They are tried with ids that exist nowhere, so that nothing is ever
    /// changed, but the tries show in the account's audit.
    #[arg(long)]
    pub no_probe: bool,
    /// Show each check also on a terminal.
    #[arg(long)]
    pub all: bool,
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
    /// `credentials` of [cloud], such as `default`, `files`, `ecs_ram_role` or `profile:NAME`.
    #[arg(long, value_name = "SOURCE")]
    pub credentials: Option<String>,
    /// `credentials_dir` of [cloud].
    #[arg(long, value_name = "DIR")]
    pub credentials_dir: Option<String>,
    /// List the cloud desktops of this region; may be given often. Default: the region of [cloud].
    #[arg(long, value_name = "REGION", value_parser = region)]
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
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub desktop_region: Vec<String>,
    /// End with 1 where anything is not covered or missing.
    #[arg(long)]
    pub strict: bool,
}
