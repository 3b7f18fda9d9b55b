//! Files of a configuration, and whether they have changed: by their stamps, which are cheap, and by their content.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::bounded;

/// Folder of further files, beside the main file.
pub fn conf_d(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join("conf.d")
}

/// Files of the folder, in their order; none without a folder.
pub(super) fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        // Beside a main file that is said to be below a file there is nothing, which the main file's own error says.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory && fs::symlink_metadata(folder).is_err() => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    // Editors create hidden files beside the real ones.
    let hidden = |path: &Path| path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !hidden(path));
    paths.sort();
    Ok(paths)
}

/// Entries of conf.d beside the main file at `path` that are not read, with the reason, in their order.
pub fn unread(path: &Path) -> Vec<(PathBuf, &'static str)> {
    let Ok(entries) = fs::read_dir(conf_d(path)) else { return Vec::new() };
    let mut unread: Vec<(PathBuf, &'static str)> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter_map(|path| {
            let name = path.file_name()?.as_encoded_bytes();
            if name.starts_with(b".") {
                Some((path, "its name begins with a dot"))
            } else if path.extension().is_none_or(|extension| extension != "toml") {
                Some((path, "its name does not end in .toml"))
            } else {
                None
            }
        })
        .collect();
    unread.sort();
    unread
}

fn all(path: &Path) -> Vec<PathBuf> {
    let mut paths = vec![path.to_owned()];
    // An unreadable folder counts as empty here; loading the configuration reports it.
    paths.extend(files_of(&conf_d(path)).unwrap_or_default());
    paths
}

/// Stamps of the files. Links are followed, so a link to another file has another stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStamps(Vec<(PathBuf, Option<Stamp>)>);

/// Device, inode, size, and the times of the last changes of content and metadata.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

impl FileStamps {
    /// Stamps of the main file at `path` and its conf.d.
    pub fn of(path: &Path) -> Self {
        let stamp = |path: &PathBuf| {
            let data = fs::metadata(path).ok()?;
            let (modified, changed) = ((data.mtime(), data.mtime_nsec()), (data.ctime(), data.ctime_nsec()));
            Some((data.dev(), data.ino(), data.size(), modified, changed))
        };
        Self(all(path).into_iter().map(|path| (path.clone(), stamp(&path))).collect())
    }
}

/// Hash of the names and contents of files.
#[derive(Default)]
pub(super) struct ContentHash(Sha256);

impl ContentHash {
    pub(super) fn add(&mut self, path: &Path, bytes: Option<&[u8]>) {
        self.0.update(path.as_os_str().as_encoded_bytes());
        let length = bytes.map_or(u64::MAX, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.0.update(length.to_le_bytes());
        self.0.update(bytes.unwrap_or_default());
    }

    pub(super) fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}

/// Hash of the main file at `path` and its conf.d; comparable with [`super::Config::fingerprint`].
pub fn fingerprint(path: &Path) -> String {
    let mut print = ContentHash::default();
    for path in all(path) {
        print.add(&path, bounded::read(&path).ok().as_deref());
    }
    print.finish()
}
