//! Who can change a file or a folder, and what this user may not see.

use std::{
    collections::BTreeSet,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{report::Check, way::Way};
use crate::adapters::control::who;

/// Mode bits: the group, others may write; sticky folder.
const GROUP_WRITE: u32 = 0o020;
pub(super) const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// Members of a group that are named.
const PEOPLE: usize = 3;
/// Findings of one check that are named.
pub(super) const SHOWN: usize = 5;

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

/// What one check found, all of it, and the paths that this user may not see.
#[derive(Debug, Default)]
pub(super) struct Findings {
    hidden: Option<PathBuf>,
    found: Vec<Check>,
    /// Folders of a path that were examined already: many files share them.
    folders: BTreeSet<PathBuf>,
}

impl Findings {
    /// The metadata of a path; one that is hidden is remembered.
    pub(super) fn see(&mut self, path: &Path) -> Option<Metadata> {
        match Seen::of(path) {
            Seen::There(metadata) => Some(metadata),
            Seen::Missing => None,
            Seen::Hidden => {
                self.hidden.get_or_insert_with(|| path.to_owned());
                None
            }
        }
    }

    /// Adds what was found.
    pub(super) fn add(&mut self, found: impl IntoIterator<Item = Check>) {
        for check in found {
            if !self.found.iter().any(|known| known.found == check.found) {
                self.found.push(check);
            }
        }
    }

    /// Adds every way in which others can change a file or folder, or put another one in its place: in any folder of its
    /// path, also where links lead.
    pub(super) fn add_ways_to_change(&mut self, name: &str, path: &Path, metadata: &Metadata, daemon: Option<u32>) {
        self.add(changeable(name, path, metadata, daemon));
        self.add_ways_to_replace(name, path, daemon);
    }

    /// Adds every way in which others can put another file or folder in the place of this one.
    pub(super) fn add_ways_to_replace(&mut self, name: &str, path: &Path, daemon: Option<u32>) {
        let way = Way::to(path);
        for folder in way.folders {
            if !self.folders.insert(folder.clone()) {
                continue;
            }
            let Some(metadata) = self.see(&folder) else { continue };
            self.add(changeable(name, &folder, &metadata, daemon));
        }
        for (link, folder) in way.links {
            // The owner of a link can replace it where everybody may make files.
            if let (Seen::There(link_itself), Seen::There(folder)) = (Seen::of_name(&link), Seen::of(&folder))
                && folder.mode() & OTHERS_WRITE != 0
            {
                self.add(foreign_owner(name, &link, &link_itself, daemon));
            }
        }
    }

    /// What was found in one check, the worst first; otherwise `check`, unless something was hidden.
    pub(super) fn or(mut self, check: Check) -> Check {
        self.found.sort_by_key(|check| std::cmp::Reverse(check.result));
        let Some(worst) = self.found.first() else {
            return self.hidden.map_or_else(|| check.clone(), |path| not_checked(&check.name, &path));
        };
        let (name, result) = (worst.name.clone(), worst.result);
        let found = listed(self.found.iter().map(|check| check.found.as_str()), " more");
        let mut advice: Vec<&str> = Vec::new();
        for one in self.found.iter().take(SHOWN).filter_map(|check| check.advice.as_deref()) {
            if !advice.contains(&one) {
                advice.push(one);
            }
        }
        Check::new(name, result, found, Some(advice.join("; ")))
    }
}

/// At most [`SHOWN`] sentences, and how many more there are.
pub(super) fn listed<'a>(sentences: impl ExactSizeIterator<Item = &'a str>, more: &str) -> String {
    let all = sentences.len();
    let mut shown: Vec<String> = sentences.take(SHOWN).map(str::to_owned).collect();
    if all > SHOWN {
        shown.push(format!("and {}{more}", all - SHOWN));
    }
    shown.join("; ")
}

/// A path that this user may not see is neither good nor bad.
pub(super) fn not_checked(name: &str, path: &Path) -> Check {
    Check::skip(name, format!("not checked: needs root; this user may not see {}", path.display()))
}

/// Whether everybody can put another file in the place of one in this folder.
fn lets_others_replace(folder: &Metadata) -> bool {
    folder.mode() & OTHERS_WRITE != 0 && folder.mode() & STICKY == 0
}

/// A failure if everybody can replace files of a folder.
fn open_folder(name: &str, folder: &Path, metadata: &Metadata) -> Option<Check> {
    lets_others_replace(metadata).then(|| {
        let found = format!("everybody can replace files of {}", folder.display());
        Check::fail(name, found, format!("chmod o-w {}", folder.display()))
    })
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
    let mut people: Vec<String> = members.iter().take(PEOPLE).map(|uid| who::person(*uid)).collect();
    people.extend(members.len().checked_sub(PEOPLE).filter(|more| *more > 0).map(|more| format!("{more} more")));
    let people = if people.is_empty() { String::new() } else { format!(" ({})", people.join(", ")) };
    let group = group.name.unwrap_or_else(|| metadata.gid().to_string());
    let what = if metadata.is_dir() { "replace files of" } else { "write" };
    let found = format!("the group {group}{people} can {what} {}", path.display());
    Some(Check::warn(name, found, format!("chmod g-w {}", path.display())))
}

/// Every way in which others can change a file or folder: everybody, its owner, its group.
pub(super) fn changeable(name: &str, path: &Path, metadata: &Metadata, daemon: Option<u32>) -> Vec<Check> {
    let by_all = if metadata.is_dir() {
        open_folder(name, path, metadata)
    } else if metadata.mode() & OTHERS_WRITE != 0 {
        let found = format!("everybody can write {}", path.display());
        Some(Check::fail(name, found, format!("chmod o-w {}", path.display())))
    } else {
        None
    };
    // Whoever is in the group is one of all.
    let by_group = if by_all.is_some() { None } else { open_group(name, path, metadata, daemon) };
    by_all.into_iter().chain(foreign_owner(name, path, metadata, daemon)).chain(by_group).collect()
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
            let check = changeable("x", path, &fs::metadata(path).unwrap(), None).into_iter().next();
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
            assert_eq!(changeable("x", path, &fs::metadata(path).unwrap(), None).len(), 2, "the owner and the group");
            let of_daemon = changeable("x", path, &fs::metadata(path).unwrap(), Some(471_147)).remove(0);
            assert!(of_daemon.found.starts_with("the group"), "{of_daemon:?}");
        }
        mode(&folder, 0o1775);
        assert!(changeable("x", &folder, &fs::metadata(&folder).unwrap(), Some(471_147)).is_empty());
    }

    #[test]
    fn every_folder_to_which_links_lead_counts_and_all_findings_are_named_up_to_a_bound() {
        let place = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let (open, inner) = (place.path().join("open"), place.path().join("open/inner"));
        fs::create_dir_all(&inner).unwrap();
        for folder in [place.path(), &open, &inner] {
            mode(folder, 0o755);
        }
        fs::write(inner.join("file"), "").unwrap();
        mode(&inner.join("file"), 0o644);
        let link = place.path().join("link");
        std::os::unix::fs::symlink("open/inner/../inner/file", &link).unwrap();
        let judged = || {
            let mut findings = Findings::default();
            findings.add_ways_to_change("x", &link, &fs::metadata(&link).unwrap(), None);
            findings.or(Check::ok("x", "fine"))
        };
        assert_eq!(judged().result, CheckStatus::Ok, "{:?}", judged());
        mode(&open, 0o777);
        let check = judged();
        assert_eq!(check.result, CheckStatus::Fail);
        assert!(check.found.ends_with("/open") && check.found.starts_with("everybody can replace"), "{check:?}");
        mode(&inner, 0o757);
        mode(&inner.join("file"), 0o646);
        assert_eq!(judged().found.matches("everybody can").count(), 3, "{:?}", judged());
        let mut many = Findings::default();
        many.add((0..9).map(|n| Check::warn("x", format!("w{n}"), "do it")));
        many.add([Check::fail("x", "bad", "fix it"), Check::fail("x", "bad", "fix it")]);
        let check = many.or(Check::ok("x", "fine"));
        assert_eq!(check.found, "bad; w0; w1; w2; w3; and 5 more");
        assert_eq!((check.result, check.advice.as_deref()), (CheckStatus::Fail, Some("fix it; do it")));
    }
}
