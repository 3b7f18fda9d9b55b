//! Small text files.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use super::types::NoKey;
use crate::adapters::files::read_regular;

/// Maximum size in bytes: far above any key, token or list of profiles.
const LARGEST: u64 = 1024 * 1024;

/// The file's text without a byte order mark; `None` where there is no such file. A file that cannot be read may hold
/// the key that is meant, so that is [`NoKey::Unusable`].
pub(super) async fn read(path: &Path) -> Result<Option<String>, NoKey> {
    match bounded(path).await {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(NoKey::unusable(format!("cannot read {}: {error}", path.display()))),
    }
}

async fn bounded(path: &Path) -> io::Result<String> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_regular(&path, LARGEST)).await;
    let bytes = read.map_err(io::Error::other)??;
    let text = String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
