//! The state file, for restarts.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{call_record::CallRecord, world::World};

/// Format of the file; another format is rejected.
const FORMAT: u32 = 1;

/// Error of the state file.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file is unreadable.
    #[error("could not read the state file {}", path.display())]
    Read {
        /// The state file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is damaged: it is not changed.
    #[error("the state file {} is damaged; move it away to start afresh", path.display())]
    Damaged {
        /// The state file.
        path: PathBuf,
        /// Place of the error.
        source: serde_json::Error,
    },
    /// The file is of another version of the simulator: it is not changed.
    #[error("the state file {} has format {format}, this simulator reads format {FORMAT}", path.display())]
    Format {
        /// The state file.
        path: PathBuf,
        /// The format in the file.
        format: u32,
    },
    /// The file could not be replaced; the former one is complete.
    #[error("could not write the state file {}", path.display())]
    Write {
        /// The state file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// The stored state.
#[derive(Debug, Deserialize)]
pub(super) struct LoadedState {
    format: u32,
    pub(super) world: World,
    pub(super) calls: VecDeque<CallRecord>,
}

#[derive(Serialize)]
struct SavedState<'a> {
    format: u32,
    world: &'a World,
    calls: &'a [&'a CallRecord],
}

/// Reads the file; `None` if there is none.
pub(super) fn load(path: &Path) -> Result<Option<LoadedState>, SnapshotError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SnapshotError::Read { path: path.to_owned(), source }),
    };
    let kept: LoadedState =
        serde_json::from_slice(&text).map_err(|source| SnapshotError::Damaged { path: path.to_owned(), source })?;
    if kept.format != FORMAT {
        return Err(SnapshotError::Format { path: path.to_owned(), format: kept.format });
    }
    Ok(Some(kept))
}

/// Replaces the file atomically: after a kill at any moment the former or the new one is complete and synced.
pub(super) fn save(path: &Path, world: &World, calls: &[&CallRecord]) -> Result<(), SnapshotError> {
    let write = || -> io::Result<()> {
        let text = serde_json::to_vec(&SavedState { format: FORMAT, world, calls })?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let mut file = File::create(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| SnapshotError::Write { path: path.to_owned(), source })
}
