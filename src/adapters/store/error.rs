//! Errors of the history.

use std::{io, path::PathBuf};

use sqlx::migrate::MigrateError;

/// Error while opening, reading or writing the history.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state directory cannot be used.
    #[error("cannot use the state directory {}", dir.display())]
    StateDir {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon uses the state directory.
    #[error("another imagebaked is running on {}; stop it first, or give this one its own [daemon] state_dir", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no history to read.
    #[error("there is no database at {} yet; it is made when the daemon first runs", path.display())]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// Permission denied.
    #[error("you may not read the history {}; that takes membership of its group, or sudo", path.display())]
    Forbidden {
        /// The database.
        path: PathBuf,
    },
    /// Not a database, or damaged.
    #[error("cannot open the database {}; it was left as it is", path.display())]
    Open {
        /// The database.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// Written by an earlier version, whose daemon is or was running.
    #[error(
        "the history {} is of an earlier imagebaked (migration {found}, this version needs {needed}); restart the daemon, \
         which migrates it: systemctl restart imagebaked",
        path.display()
    )]
    Older {
        /// The database.
        path: PathBuf,
        /// Its migration.
        found: i64,
        /// The last migration of this version.
        needed: i64,
    },
    /// Damage that was found before a migration.
    #[error("the history {} is damaged: {what}; it was left as it is", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The copy before a migration failed.
    #[error("cannot copy the history to {} before its migration", path.display())]
    Copy {
        /// The copy.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Written by a newer version.
    #[error(
        "the database {} was written by a newer imagebaked (migration {version}); it was left as it is: install that version",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// The unknown migration.
        version: i64,
    },
    /// A migration failed.
    #[error("cannot bring the database {} up to date; it was left as it is", path.display())]
    Migrate {
        /// The database.
        path: PathBuf,
        /// Why.
        source: MigrateError,
    },
    /// A database of another program, or an empty file.
    #[error("{} is not a history of imagebaked; it was left as it is. Move it away, or restore a backup", path.display())]
    NotAHistory {
        /// The file.
        path: PathBuf,
    },
    /// The database was replaced, and the log of the former one is still beside it.
    #[error(
        "the history {} was replaced while the daemon ran or after it was killed: the write-ahead log beside it belongs to the \
         former file. Start the daemon, which moves the log aside, or move {}-wal away",
        path.display(), path.display()
    )]
    ForeignLog {
        /// The database.
        path: PathBuf,
    },
    /// The open files are not those of the path any more.
    #[error("the history database {} {what}", path.display())]
    Replaced {
        /// The path.
        path: PathBuf,
        /// What happened to it.
        what: String,
    },
    /// A statement failed.
    #[error("the history could not {step}")]
    Query {
        /// Operation of the statement.
        step: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// Rows that were just read were deleted or ended by another process.
    #[error(
        "the history went back under the running daemon: bakes that it works on are not in it, or have ended there; was the \
         database restored or replaced?"
    )]
    WentBack,
    /// A batch could not be written as JSON.
    #[error("a batch of rows could not be encoded")]
    Encode(#[source] serde_json::Error),
}

impl StoreError {
    /// The cause in words that a person looks for, where it is the disk: SQLite's own come last in a long chain.
    pub fn of_the_disk(&self) -> Option<&'static str> {
        let (Self::Open { source, .. } | Self::Query { source, .. }) = self else { return None };
        match sqlite_code(source)? {
            8 => Some("the history is read-only"),
            10 => Some("the disk of the history has an error"),
            13 => Some("the disk of the history is full"),
            _ => None,
        }
    }

    /// Whether the history is damaged, of another program or of a newer version: a person must restore or replace it. A
    /// full or failing disk does not count: the next attempt may succeed.
    pub fn is_unusable_history(&self) -> bool {
        match self {
            Self::Newer { .. } | Self::NotAHistory { .. } | Self::Damaged { .. } | Self::ForeignLog { .. } => true,
            Self::Open { source, .. } | Self::Query { source, .. } => is_damage(source),
            Self::Migrate { source, .. } => match source {
                MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                    is_damage(source) || sqlite_code(source) == Some(SQLITE_ERROR)
                }
                _ => true,
            },
            _ => false,
        }
    }
}

/// The statement does not match the schema.
const SQLITE_ERROR: u32 = 1;
/// The file is malformed, or no database.
const SQLITE_DAMAGE: [u32; 2] = [11, 26];

/// SQLite's primary result code, <https://sqlite.org/rescode.html>.
pub(super) fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn is_damage(error: &sqlx::Error) -> bool {
    sqlite_code(error).is_some_and(|code| SQLITE_DAMAGE.contains(&code))
}

/// Adds the operation to the error of a statement.
pub(super) fn failed(step: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Query { step, source }
}
