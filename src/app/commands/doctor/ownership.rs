//! Who can change a file or a folder, and what this user may not see.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::report::Check;
use crate::adapters::control::who;

/// Mode bits: the group, others may write; sticky folder.
const GROUP_WRITE: u32 = 0o020;
pub(super) const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// Members of a group that are named.
const SHOWN: usize = 3;

/// A path as this user sees it.
#[derive(Debug)]
pub(super) enum Seen {
    There(Metadata),
    Missing,
    /// It may or may not be there.
    Hidden,
}

impl Seen {
    /// What the path leads to.
    pub(super) fn of(path: &Path) -> Self {
        Self::from(fs::metadata(path))
    }

    /// The name itself, also if it is a link.
    pub(super) fn of_name(path: &Path) -> Self {
        Self::from(fs::symlink_metadata(path))
    }

    fn from(metadata: io::Result<Metadata>) -> Self {
        match metadata {
            Ok(metadata) => Self::There(metadata),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Self::Missing
            }
            Err(_) => Self::Hidden,
        }
    }
}

/// Paths of one check that this user may not see.
#[derive(Debug, Default)]
pub(super) struct Hidden(Option<PathBuf>);

impl Hidden {
    /// The metadata of a path; one that is hidden is remembered.
    pub(super) fn see(&mut self, path: &Path) -> Option<Metadata> {
        match Seen::of(path) {
            Seen::There(metadata) => Some(metadata),
            Seen::Missing => None,
            Seen::Hidden => {
                self.0.get_or_insert_with(|| path.to_owned());
                None
            }
        }
    }

    /// What was seen is as it should be: `check`, unless something was hidden.
    pub(super) fn or(self, check: Check) -> Check {
        self.0.map_or_else(|| check.clone(), |path| not_checked(&check.name, &path))
    }
}

/// A path that this user may not see is neither good nor bad.
pub(super) fn not_checked(name: &str, path: &Path) -> Check {
    Check::skip(name, format!("not checked: needs root; this user may not see {}", path.display()))
}

/// Whether everybody can put another file in the place of one in this folder.
pub(super) fn lets_others_replace(folder: &Metadata) -> bool {
    folder.mode() & OTHERS_WRITE != 0 && folder.mode() & STICKY == 0
}

/// A failure if everybody can replace files of a folder.
pub(super) fn open_folder(name: &str, folder: &Path) -> Option<Check> {
    fs::metadata(folder).ok().filter(lets_others_replace)?;
    let found = format!("everybody can replace files of {}", folder.display());
    Some(Check::fail(name, found, format!("chmod o-w {}", folder.display())))
}

/// A warning if neither root, the daemon's user nor this one owns a file: its owner can change it at any time.
pub(super) fn foreign_owner(name: &str, file: &Path, metadata: &Metadata, daemon: Option<u32>) -> Option<Check> {
    if is_trusted(metadata.uid(), daemon) {
        return None;
    }
    let found = format!("{} belongs to {}, who can change it", file.display(), who::person(metadata.uid()));
    Some(Check::warn(name, found, format!("chown root: {}", file.display())))
}

/// A warning if others can write a file, or replace those of a folder, by their group.
pub(super) fn open_group(name: &str, path: &Path, metadata: &Metadata, daemon: Option<u32>) -> Option<Check> {
    let is_safe = metadata.is_dir() && metadata.mode() & STICKY != 0;
    if metadata.mode() & GROUP_WRITE == 0 || is_safe {
        return None;
    }
    let group = who::group(metadata.gid());
    let mut members = group.members;
    members.retain(|uid| *uid != metadata.uid() && !is_trusted(*uid, daemon));
    // The members of a group of a directory service are not known here.
    if members.is_empty() && group.name.is_some() {
        return None;
    }
    let mut people: Vec<String> = members.iter().take(SHOWN).map(|uid| who::person(*uid)).collect();
    people.extend(members.len().checked_sub(SHOWN).filter(|more| *more > 0).map(|more| format!("{more} more")));
    let people = if people.is_empty() { String::new() } else { format!(" ({})", people.join(", ")) };
    let group = group.name.unwrap_or_else(|| metadata.gid().to_string());
    let what = if metadata.is_dir() { "replace files of" } else { "write" };
    let found = format!("the group {group}{people} can {what} {}", path.display());
    Some(Check::warn(name, found, format!("chmod g-w {}", path.display())))
}

/// The first way in which others can change a file or folder: everybody, its owner, its group.
pub(super) fn changeable(name: &str, path: &Path, metadata: &Metadata, daemon: Option<u32>) -> Option<Check> {
    if metadata.is_dir() {
        if let Some(check) = open_folder(name, path) {
            return Some(check);
        }
    } else if metadata.mode() & OTHERS_WRITE != 0 {
        let found = format!("everybody can write {}", path.display());
        return Some(Check::fail(name, found, format!("chmod o-w {}", path.display())));
    }
    foreign_owner(name, path, metadata, daemon).or_else(|| open_group(name, path, metadata, daemon))
}

fn is_trusted(uid: u32, daemon: Option<u32>) -> bool {
    let me = rustix::process::geteuid().as_raw();
    [Some(0), daemon, Some(me)].contains(&Some(uid))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;
    use crate::app::commands::doctor::report::CheckStatus;

    #[test]
    fn everybody_other_owners_and_groups_are_found_in_this_order() {
        let place = tempfile::tempdir().unwrap();
        let (file, folder) = (place.path().join("file"), place.path().join("folder"));
        fs::write(&file, "").unwrap();
        fs::create_dir(&folder).unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let found = |path: &Path| {
            let check = changeable("x", path, &fs::metadata(path).unwrap(), None);
            check.map(|check| (check.result, check.found))
        };
        mode(&file, 0o644);
        mode(&folder, 0o755);
        assert_eq!((found(&file), found(&folder)), (None, None));
        for (path, open) in [(&file, 0o646), (&folder, 0o757)] {
            mode(path, open);
            let (result, text) = found(path).unwrap();
            assert!(result == CheckStatus::Fail && text.contains("everybody can"), "{text}");
        }
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: only root can make files of other users");
        }
        // A group without a name may have any member.
        for (path, closed, open, what) in [(&file, 0o644, 0o664, "write"), (&folder, 0o755, 0o775, "replace files of")]
        {
            chown(path, Some(0), Some(471_147)).unwrap();
            mode(path, closed);
            assert_eq!(found(path), None);
            mode(path, open);
            let (result, text) = found(path).unwrap();
            let wanted = format!("the group 471147 can {what} {}", path.display());
            assert_eq!((result, text), (CheckStatus::Warn, wanted));
            chown(path, Some(471_147), None).unwrap();
            assert!(found(path).unwrap().1.contains("belongs to uid 471147, who can change it"));
            let of_daemon = changeable("x", path, &fs::metadata(path).unwrap(), Some(471_147)).unwrap();
            assert!(of_daemon.found.starts_with("the group"), "{of_daemon:?}");
        }
        mode(&folder, 0o1775);
        assert_eq!(changeable("x", &folder, &fs::metadata(&folder).unwrap(), Some(471_147)).map(|it| it.found), None);
    }
}
