//! `backup` of `[daemon]`: scheduled backups of the history.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    key::Kind,
    layer::layer,
    paths::{ABSOLUTE, absolute},
    reader::{Diagnostics, Item},
    value_types::{Custom, Integer, Period},
};

/// Minimum time between two backups.
const SHORTEST: Duration = Duration::from_hours(1);

/// `backup`: when the daemon copies its history, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupSettings {
    /// Time between two backups.
    pub every: Duration,
    /// Number of backups that are kept.
    pub keep: u32,
    /// Their folder, an absolute path.
    pub dir: PathBuf,
}

impl Default for BackupSettings {
    fn default() -> Self {
        Self { every: Duration::from_hours(24), keep: 7, dir: "/var/backups/imagebaked".into() }
    }
}

/// [`BackupSettings`] of one layer: what it does not set comes from the layer below.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct BackupLayer {
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<String>,
}

layer! {
    /// `backup` as written.
    struct BackupKeys {
        /// Time between two backups. Default `"1d"`.
        every: Duration = Period(SHORTEST),
        /// Number of backups that are kept; older ones are deleted after a good one. Default `7`.
        keep: u32 = Integer(1, 10_000),
        /// Folder of the backups, an absolute path that the service can write; each daemon needs its own. Default
        /// `"/var/backups/imagebaked"`.
        dir: String = Custom(absolute, || Kind::Text(ABSOLUTE)),
    }
}

pub(super) fn backup(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<BackupLayer> {
    let table =
        item.table_of("backup", "a table like { every = \"1d\", keep = 7, dir = \"/var/backups/imagebaked\" }", out)?;
    let keys = BackupKeys::read(item.mark.source, table, out);
    Some(BackupLayer {
        every: keys.every.map(|at| at.value),
        keep: keys.keep.map(|at| at.value),
        dir: keys.dir.map(|at| at.value),
    })
}

pub(super) fn backup_kind() -> Kind {
    Kind::Table(BackupKeys::keys())
}
