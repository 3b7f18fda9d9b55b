//! Arguments of the commands about the audit, and about copies of the history.

use std::path::PathBuf;

use clap::Args;

use super::values::count;
use crate::domain::time::AskedTime;

/// `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// At or after this time: `36h`, `yesterday`, `2026-11-26 03:00`
    #[arg(long, value_name = "TIME")]
    pub since: Option<AskedTime>,
    /// At or before this time; a day counts whole.
    #[arg(long, value_name = "TIME")]
    pub until: Option<AskedTime>,
    /// Only what this person did, by name or number: `alice`, `1000`, `"uid 1000"`; the daemon itself is `imagebaked`.
    #[arg(long, value_name = "WHO")]
    pub who: Option<String>,
    /// Only this kind, e.g. `bake`, `pause` or `reload`.
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// At most so many lines; 0 shows all [default: 50; on a terminal, those that fit on it].
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub limit: Option<u32>,
    /// Lines before this one: the number of the last line of the page before.
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
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
