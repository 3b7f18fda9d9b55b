//! Small text files.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use tokio::{fs, io::AsyncReadExt as _};

use super::types::NoKey;

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
    let mut text = String::new();
    let length = fs::File::open(path).await?.take(LARGEST + 1).read_to_string(&mut text).await?;
    if length as u64 > LARGEST {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("longer than {LARGEST} bytes")));
    }
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
