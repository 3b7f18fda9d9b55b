//! Links to the control socket, from where commands search for it. A file that was edited may name another socket or
//! another state directory than those in use, which change only at the next start.

use std::{
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf, absolute},
    sync::{Mutex, PoisonError},
};

/// The links of this process; they are removed on drop.
#[derive(Debug)]
pub struct Signposts {
    socket: PathBuf,
    links: Mutex<Vec<PathBuf>>,
}

impl Signposts {
    /// Links to this socket.
    pub fn new(socket: &Path) -> Self {
        Self { socket: absolute(socket).unwrap_or_else(|_| socket.to_owned()), links: Mutex::default() }
    }

    /// Makes a link at this path. Only another link is replaced.
    ///
    /// # Errors
    ///
    /// The link cannot be made, or something else is there.
    pub fn put(&self, link: &Path) -> io::Result<()> {
        let link = absolute(link)?;
        if link == self.socket {
            return Ok(());
        }
        if let Some(folder) = link.parent() {
            std::fs::create_dir_all(folder)?;
        }
        if std::fs::symlink_metadata(&link).is_ok_and(|found| found.file_type().is_symlink()) {
            std::fs::remove_file(&link)?;
        }
        symlink(&self.socket, &link)?;
        self.links.lock().unwrap_or_else(PoisonError::into_inner).push(link);
        Ok(())
    }
}

impl Drop for Signposts {
    fn drop(&mut self) {
        for link in self.links.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // Another process may have replaced it meanwhile.
            if std::fs::read_link(&link).is_ok_and(|target| target == self.socket) {
                let _ = std::fs::remove_file(&link);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_replaces_links_alone_and_is_removed_with_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let [socket, link, file] = ["socket", "new/link", "file"].map(|name| folder.path().join(name));
        std::fs::write(&file, "").unwrap();
        let signposts = Signposts::new(&socket);
        signposts.put(&socket).unwrap();
        assert!(!socket.exists(), "the socket needs no link to itself");
        for _ in 0..2 {
            signposts.put(&link).unwrap();
            assert_eq!(std::fs::read_link(&link).unwrap(), socket);
        }
        assert!(signposts.put(&file).is_err() && file.is_file());
        let other = folder.path().join("other");
        signposts.put(&other).unwrap();
        std::fs::remove_file(&other).unwrap();
        symlink(&file, &other).unwrap();
        drop(signposts);
        assert!(std::fs::symlink_metadata(&link).is_err());
        assert_eq!(std::fs::read_link(&other).unwrap(), file, "a link of another process stays");
    }
}
