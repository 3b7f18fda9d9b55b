//! Arguments of the commands about images.

use clap::Args;

use super::{
    schedule_args::{OnlySchedule, ScheduleAndMore},
    values::count,
};
use crate::domain::time::AskedTime;

/// `images`.
#[derive(Debug, Args)]
pub struct ImagesArgs {
    /// Which.
    #[command(flatten)]
    pub schedule: OnlySchedule,
    /// At most so many images in the table; 0 shows all, and JSON always has all [default: 200; on a terminal, those that
    /// fit on it].
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub limit: Option<u32>,
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

/// `reconcile`.
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// Also add the cloud's images to the history, and search for the images of unknown bakes now. Nothing is
    /// ever deleted.
    #[arg(long)]
    pub apply: bool,
}

/// `prune`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct PruneArgs {
    /// Only show what would be done, and what is deleted next: from the history, as of the last scan of the cloud, with or
    /// without a daemon.
    #[arg(long)]
    pub dry_run: bool,
    /// Let the daemon scan the cloud first.
    #[arg(long, requires = "dry_run")]
    pub ask_cloud: bool,
    /// At most so many images in the table; 0 shows all, and JSON always has all [default: 200; on a terminal, those that fit on
    /// it].
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub limit: Option<u32>,
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
    /// Until this time (`tomorrow 07:00`, `2026-11-30`) or for this long (`36h`, `7d`); by default until it is unpinned.
    #[arg(long, value_name = "TIME")]
    pub until: Option<AskedTime>,
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
    /// Which.
    #[command(flatten)]
    pub schedule: ScheduleAndMore,
    /// The images (`imgc-…`).
    #[arg(value_name = "IMAGE")]
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
