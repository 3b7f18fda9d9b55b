//! Why a backup or a restore failed.

use std::{io, path::PathBuf};

use super::StoreError;

/// Error of a backup or restore.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error("cannot {step} {}", path.display())]
    File {
        /// Operation on the file.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite accepts only UTF-8 names.
    #[error("the name {} is not UTF-8; choose another", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// Not a database at all.
    #[error("{} is no backup: {what}", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// Not a history.
    #[error("{} is a database, but not a history of imagebaked", path.display())]
    NotAHistory {
        /// The file.
        path: PathBuf,
    },
    /// A history with an unexpected schema.
    #[error("{} does not have the schema of a history of imagebaked: {what}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The differences.
        what: String,
    },
    /// Rows that no history can have.
    #[error("{} has rows that no history has: {what}", path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// The first of them.
        what: String,
    },
    /// A history that no restore would take.
    #[error("the history has rows that `imagebaked restore` refuses: {what}")]
    NotRestorable {
        /// The first of them.
        what: String,
    },
    /// The copy is incomplete or damaged.
    #[error("the database {} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The defect.
        what: String,
    },
}
