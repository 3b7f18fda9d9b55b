//! The user as whom the daemon runs, and what this user can read: by mode bits and groups. Access lists are not read.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{service, way::Way};
use crate::adapters::control::{ControlError, Reply, who};

/// A user with all groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DaemonUser {
    pub(super) uid: u32,
    pub(super) gids: Vec<u32>,
    /// How it is known: `the running daemon`.
    known_by: &'static str,
}

/// What is asked of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Execute,
}

impl DaemonUser {
    /// The user of the running daemon, otherwise that of its unit, otherwise the owner of the state directory.
    pub(super) async fn find(
        answer: &Result<Reply, ControlError>,
        environment: &BTreeMap<String, String>,
        state_dir: &Path,
    ) -> Option<Self> {
        if let Ok(Reply::Status(status)) = answer {
            // Not the owner of its folder in /proc, which is root for a process without core files.
            let process = fs::read_to_string(format!("/proc/{}/status", status.daemon.pid)).ok();
            if let Some(user) = process.and_then(|process| Self::of_process(&process)) {
                return Some(user);
            }
        }
        if let Some(user) = Self::of_unit(environment).await {
            return Some(user);
        }
        let owner = fs::metadata(state_dir).ok()?;
        let mut gids = who::groups_of(owner.uid());
        gids.push(owner.gid());
        Some(Self { uid: owner.uid(), gids, known_by: "the owner of the state directory" })
    }

    /// Whether more than the owner of a folder names it.
    pub(super) fn is_certain(&self) -> bool {
        self.known_by != "the owner of the state directory"
    }

    fn of_process(status: &str) -> Option<Self> {
        let numbers = |name: &str| -> Option<Vec<u32>> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().map(|number| number.parse().ok()).collect()
        };
        // Real, effective, saved, of the file system.
        let uid = *numbers("Uid:")?.get(1)?;
        let mut gids = vec![*numbers("Gid:")?.get(1)?];
        gids.extend(numbers("Groups:")?);
        Some(Self { uid, gids, known_by: "the running daemon" })
    }

    async fn of_unit(environment: &BTreeMap<String, String>) -> Option<Self> {
        let user = service::property(environment, "User").await.ok()?;
        let uid = user.parse().ok().or_else(|| who::number_of(&user))?;
        let mut gids = who::groups_of(uid);
        for property in ["Group", "SupplementaryGroups"] {
            let groups = service::property(environment, property).await.unwrap_or_default();
            gids.extend(
                groups
                    .split_whitespace()
                    .filter_map(|group| group.parse().ok().or_else(|| who::group_number_of(group))),
            );
        }
        Some(Self { uid, gids, known_by: "the unit" })
    }

    /// `uid 998 (imagebaked), the user of the unit`.
    pub(super) fn label(&self) -> String {
        format!("{}, by {}", who::person(self.uid), self.known_by)
    }

    /// What keeps this user from a file: a folder on the way to it, or the file itself; `None` if nothing does, or this
    /// process may not see it.
    pub(super) fn obstacle(&self, path: &Path, access: Access) -> Option<PathBuf> {
        let way = Way::to(path);
        let is_closed = |folder: &&PathBuf| fs::metadata(folder).is_ok_and(|it| !self.may(&it, 0o1));
        if let Some(folder) = way.folders.iter().find(is_closed) {
            return Some(folder.clone());
        }
        let bit = if access == Access::Read { 0o4 } else { 0o1 };
        fs::metadata(&way.end).is_ok_and(|file| !self.may(&file, bit)).then_some(way.end)
    }

    /// Whether the mode has one of these bits (read 4, write 2, execute or enter 1) for this user.
    fn may(&self, metadata: &Metadata, bits: u32) -> bool {
        if self.uid == 0 {
            return bits != 0o1 || metadata.is_dir() || metadata.mode() & 0o111 != 0;
        }
        let shift = if metadata.uid() == self.uid {
            6
        } else if self.gids.contains(&metadata.gid()) {
            3
        } else {
            0
        };
        metadata.mode() >> shift & bits == bits
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    #[test]
    fn the_user_of_a_process_has_all_its_groups() {
        let status = "Name:\timagebaked\nUid:\t0\t998\t998\t998\nGid:\t0\t997\t997\t997\nGroups:\t500 501 \n";
        let user = DaemonUser::of_process(status).unwrap();
        assert_eq!((user.uid, user.gids.as_slice(), user.is_certain()), (998, &[997, 500, 501][..], true));
        assert_eq!(DaemonUser::of_process("Name:\tx\n"), None);
        let own = DaemonUser::of_process(&fs::read_to_string("/proc/self/status").unwrap()).unwrap();
        assert_eq!(own.uid, rustix::process::geteuid().as_raw());
    }

    #[test]
    fn rights_are_those_of_the_owner_or_of_a_group_or_of_others_and_folders_count() {
        let place = tempfile::tempdir().unwrap();
        let (folder, file) = (place.path().join("a"), place.path().join("a/key"));
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "").unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(place.path(), 0o755);
        let own = fs::metadata(&file).unwrap();
        let user = |uid, gids: &[u32]| DaemonUser { uid, gids: gids.to_vec(), known_by: "the unit" };
        let (stranger, fellow) = (user(471_147, &[471_147]), user(471_147, &[471_147, own.gid()]));
        for (folder_mode, file_mode, of_stranger, of_fellow) in [
            (0o755, 0o644, None, None),
            (0o755, 0o640, Some(&file), None),
            (0o755, 0o400, Some(&file), Some(&file)),
            (0o750, 0o644, Some(&folder), None),
            (0o700, 0o644, Some(&folder), Some(&folder)),
            // Members of the group are not others.
            (0o705, 0o604, None, Some(&folder)),
        ] {
            mode(&folder, folder_mode);
            mode(&file, file_mode);
            for (user, wanted) in [(&stranger, of_stranger), (&fellow, of_fellow)] {
                assert_eq!(user.obstacle(&file, Access::Read).as_ref(), wanted, "{folder_mode:o} {file_mode:o}");
            }
            assert_eq!(user(0, &[0]).obstacle(&file, Access::Read), None);
        }
        mode(&folder, 0o755);
        mode(&file, 0o644);
        assert_eq!(user(0, &[0]).obstacle(&file, Access::Execute).as_ref(), Some(&file));
        if rustix::process::geteuid().is_root() {
            chown(&file, Some(471_147), None).unwrap();
            mode(&file, 0o044);
            assert_eq!(
                stranger.obstacle(&file, Access::Read).as_ref(),
                Some(&file),
                "an owner is not one of the others"
            );
        }
    }
}
