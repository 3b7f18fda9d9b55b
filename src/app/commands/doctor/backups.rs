//! Checks the folder of the scheduled backups: whether the service can write it.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::StatVfsMountFlags;

use super::{
    ownership::{Findings, Seen, changeable, not_checked},
    report::Check,
    service::{self, UNIT},
};
use crate::adapters::{
    config::{BackupSettings, Config},
    store::{BackupError, Checksum, checksum_file, verify_checksum},
};

const NAME: &str = "backup folder";
/// Maximum time for reading a backup.
const READ_THROUGH: Duration = Duration::from_secs(20);

/// By the owner of the state directory, who is the user of the service, and by the restrictions of its unit. `None` if no
/// backups are scheduled.
pub(super) async fn folder(config: &Config, environment: &BTreeMap<String, String>) -> Option<Check> {
    let BackupSettings { dir, .. } = config.daemon.backup.as_ref()?;
    Some(examine(dir, config, environment).await)
}

async fn examine(dir: &Path, config: &Config, environment: &BTreeMap<String, String>) -> Check {
    let state_dir = &config.daemon.state_dir;
    let state = match Seen::of(state_dir) {
        Seen::There(state) => state,
        Seen::Missing => {
            return Check::skip(NAME, format!("{} is not there yet: the daemon has not run", state_dir.display()));
        }
        Seen::Hidden => return not_checked(NAME, state_dir),
    };
    if matches!(Seen::of(dir), Seen::Hidden) {
        return not_checked(NAME, dir);
    }
    if let Err(check) = permissions(dir, state.uid(), state.gid()) {
        return *check;
    }
    let is_inside = dir.starts_with(&config.daemon.state_dir);
    if !is_inside && service::property(environment, "ProtectSystem").await.is_ok_and(|value| value == "strict") {
        // Without a value systemctl prints nothing.
        let paths = service::property(environment, "ReadWritePaths").await.unwrap_or_default();
        if !allows(&paths, dir) {
            let found = format!("the unit {UNIT} lets the service write nothing in {}", dir.display());
            let advice = format!(
                "systemctl edit {UNIT}: [Service] ReadWritePaths={}; then systemctl restart {UNIT}",
                dir.display()
            );
            return Check::fail(NAME, found, advice);
        }
    }
    let mut findings = Findings::default();
    add_open_backups(&mut findings, dir, state.uid());
    let newest = newest(dir);
    let (added, checked) = match newest {
        None => (None, String::new()),
        Some(newest) => verified(newest).await,
    };
    findings.add(added);
    findings.or(Check::ok(NAME, format!("the service can write {}, and no others can{checked}", dir.display())))
}

/// A backup that others can change brings back what they want.
fn add_open_backups(findings: &mut Findings, dir: &Path, daemon: u32) {
    let Some(metadata) = findings.see(dir) else { return };
    findings.add_ways_to_change(NAME, dir, &metadata, Some(daemon));
    for path in backups(dir).into_iter().flat_map(|path| [checksum_file(&path), path]) {
        if let Seen::There(metadata) = Seen::of_name(&path)
            && metadata.is_file()
        {
            findings.add(changeable(NAME, &path, &metadata, Some(daemon)));
        }
    }
}

/// By name, which has the time.
fn backups(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut backups: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "db")).collect();
    backups.sort();
    backups
}

fn newest(dir: &Path) -> Option<PathBuf> {
    backups(dir).pop()
}

/// What is wrong with a backup by its checksum, or the end of a sentence about it.
async fn verified(backup: PathBuf) -> (Option<Check>, String) {
    let shown = backup.display().to_string();
    let verified = tokio::task::spawn_blocking(move || verify_checksum(&backup));
    match tokio::time::timeout(READ_THROUGH, verified).await {
        Ok(Ok(Ok(Checksum::Right))) => (None, "; the newest one has the right checksum".to_owned()),
        Ok(Ok(Ok(Checksum::Missing))) => (None, "; the newest one has no checksum".to_owned()),
        Ok(Ok(Err(error @ BackupError::Damaged { .. }))) => {
            let advice = "imagebaked backup FILE makes a new one; see whether the disk is broken";
            (Some(Check::fail(NAME, error.to_string(), advice)), String::new())
        }
        Ok(Ok(Err(_))) => (None, "; whether the newest one has the right checksum, this user may not see".to_owned()),
        Ok(Err(_)) | Err(_) => {
            let found = format!("{shown} is not read through within {} s", READ_THROUGH.as_secs());
            (Some(Check::warn(NAME, found, "see whether the disk is slow or broken")), String::new())
        }
    }
}

/// Whether one of the paths, separated by spaces, has the folder in it.
fn allows(paths: &str, dir: &Path) -> bool {
    paths.split_whitespace().any(|path| dir.starts_with(path.trim_start_matches(['-', '+'])))
}

/// Whether the user can make files in the folder, or the folder itself.
fn permissions(dir: &Path, uid: u32, gid: u32) -> Result<(), Box<Check>> {
    let fail = |found: String, advice: String| Err(Box::new(Check::fail(NAME, found, advice)));
    let Some(nearest) = dir.ancestors().find(|folder| folder.exists()) else {
        return fail(format!("there is no folder above {}", dir.display()), "check [daemon] backup".to_owned());
    };
    let metadata = match fs::metadata(nearest) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            return fail(format!("{} is not a folder", nearest.display()), "move it, or choose another".to_owned());
        }
        Err(error) => {
            let found = format!("{} cannot be examined: {error}", nearest.display());
            return Err(Box::new(Check::warn(NAME, found, "run as root, or as the daemon's user")));
        }
    };
    if rustix::fs::statvfs(nearest).is_ok_and(|disk| disk.f_flag.contains(StatVfsMountFlags::RDONLY)) {
        let found = format!("the file system of {} is read-only", dir.display());
        return fail(found, "see why (dmesg), and mount it for writing".to_owned());
    }
    if is_writable_by(&metadata, uid, gid) {
        return Ok(());
    }
    let what = if nearest == dir { "write" } else { "make" };
    let found = format!("the service (user {uid}, which owns the state directory) cannot {what} {}", dir.display());
    fail(found, format!("install -d -m 0750 -o {uid} -g {gid} {}", dir.display()))
}

/// Whether the user can make and remove names in the folder.
fn is_writable_by(folder: &Metadata, uid: u32, gid: u32) -> bool {
    let shift = if folder.uid() == uid {
        6
    } else if folder.gid() == gid {
        3
    } else {
        0
    };
    uid == 0 || folder.mode() >> shift & 0o3 == 0o3
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn folders_that_the_service_cannot_write_are_found() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("backups");
        let own = fs::metadata(place.path()).unwrap();
        let found = |uid| permissions(&dir, uid, 4711).map_err(|check| check.found);
        let stranger = own.uid() + 4711;
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(found(own.uid()), Ok(()), "it can be made");
        assert!(found(stranger).unwrap_err().contains("cannot make"));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(found(own.uid()), Ok(()));
        assert!(found(stranger).unwrap_err().contains("cannot write"));
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(found(stranger), Ok(()));
        fs::remove_dir(&dir).unwrap();
        fs::write(&dir, "").unwrap();
        assert!(found(own.uid()).unwrap_err().contains("not a folder"));
    }

    #[test]
    fn paths_of_the_unit_count_with_their_marks() {
        let dir = Path::new("/var/backups/imagebaked");
        assert!(allows("/srv -/var/backups", dir) && allows("/var/backups/imagebaked", dir));
        assert!(!allows("", dir) && !allows("/var/backups/image /srv", dir));
    }
}
