//! Checks of the files with keys: who can read them, and whether the daemon can.

use std::{
    collections::BTreeSet,
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{
    daemon_user::{Access, DaemonUser},
    host::is_reachable,
    ownership::{Findings, OTHERS_WRITE, changeable, listed},
    report::{Check, CheckStatus},
};
use crate::{
    adapters::config::Config, app::commands::context::Context, domain::api::credential_source::CredentialSource,
};

/// Mode bit: others may read.
const OTHERS_READ: u32 = 0o004;

/// Folder beside the configuration from which the service's unit takes the key pair.
pub(super) fn unit_credentials(config_path: &Path) -> PathBuf {
    config_path.parent().unwrap_or(Path::new("")).join("credentials")
}

/// Files that may contain a key pair, whether or not this command reads them.
pub(super) fn permissions(context: &Context<'_>, config: &Config, daemon: Option<&DaemonUser>) -> Check {
    let name = "credential files";
    let choice = &config.cloud.credentials;
    let may_read = |one: CredentialSource| *choice == CredentialSource::Default || *choice == one;
    let variable = |name: &str| context.environment.get(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let mut files: Vec<PathBuf> = Vec::new();
    // What the daemon reads itself; the rest systemd reads for it, as root.
    let mut of_daemon: Vec<PathBuf> = Vec::new();
    if may_read(CredentialSource::Files) {
        let parts =
            |folder: PathBuf| ["access_key_id", "access_key_secret", "security_token"].map(|part| folder.join(part));
        match &config.cloud.credentials_dir {
            Some(folder) => of_daemon.extend(parts(folder.clone())),
            None => files.extend(variable("CREDENTIALS_DIRECTORY").into_iter().flat_map(parts)),
        }
        files.extend(parts(unit_credentials(context.config_path)));
    }
    let below_home = |file: &str| variable("HOME").map(|home| home.join(file));
    if may_read(CredentialSource::Default) || matches!(choice, CredentialSource::Profile(_)) {
        of_daemon.extend(variable("ALIBABA_CLOUD_CONFIG_FILE").or_else(|| below_home(".aliyun/config.json")));
    }
    if may_read(CredentialSource::Ini) {
        of_daemon.extend(variable("ALIBABA_CLOUD_CREDENTIALS_FILE"));
        of_daemon.extend(below_home(".alibabacloud/credentials"));
        of_daemon.extend(below_home(".alibabacloud/credentials.ini"));
    }
    let token = variable("ALIBABA_CLOUD_OIDC_TOKEN_FILE").filter(|_| may_read(CredentialSource::Oidc));
    of_daemon.extend(token.clone());
    files.extend(of_daemon.iter().cloned());
    if files.is_empty() {
        return Check::skip(name, format!("none are read: credentials = \"{choice}\""));
    }
    let mut known = BTreeSet::new();
    files.retain(|file| known.insert(file.clone()));
    let mut findings = Findings::default();
    findings.add(halves(name, &files));
    let mut closed = Vec::new();
    let user = daemon.map(|daemon| daemon.uid);
    for file in files {
        let Some(metadata) = findings.see(&file) else { continue };
        // An empty one, such as the null device, switches a source off.
        if !metadata.is_file() {
            if file != Path::new("/dev/null") {
                let found = format!("{} is no regular file, and is not read", file.display());
                findings.add([Check::fail(name, found, "put the key into a file")]);
            }
            continue;
        }
        findings.add(open_to_all(name, &file, &metadata, Some(&file) == token.as_ref()));
        findings.add(
            changeable(name, &file, &metadata, user).into_iter().filter(|check| check.result == CheckStatus::Warn),
        );
        findings.add_ways_to_replace(name, &file, user);
        if let Some(daemon) = daemon.filter(|_| of_daemon.contains(&file))
            && let Some(obstacle) = daemon.obstacle(&file, Access::Read)
        {
            findings.add([unreadable(name, &file, &obstacle, daemon)]);
        }
        closed.push(file.display().to_string());
    }
    if closed.is_empty() {
        return findings.or(Check::skip(name, "there are none"));
    }
    let closed = listed(closed.iter().map(String::as_str), " more");
    findings.or(Check::ok(name, format!("not open to others: {}", closed.replace("; ", ", "))))
}

/// Halves of key pairs without the other one.
fn halves(name: &str, files: &[PathBuf]) -> Vec<Check> {
    let missing = files.iter().filter(|file| file.ends_with("access_key_id")).filter_map(|id| {
        let secret = id.with_file_name("access_key_secret");
        match (id.exists(), secret.exists()) {
            (true, false) => Some((id.clone(), secret)),
            (false, true) => Some((secret, id.clone())),
            _ => None,
        }
    });
    let check = |(present, missing): (PathBuf, PathBuf)| {
        let found = format!("{} is there, but {} is missing", present.display(), missing.display());
        Check::fail(name, found, format!("install -m 0400 FILE {}", missing.display()))
    };
    missing.map(check).collect()
}

/// A file that everybody can write or read. `is_mounted`: a cluster mounts it so that everybody can read it, and replaces it
/// within hours.
fn open_to_all(name: &str, file: &Path, metadata: &Metadata, is_mounted: bool) -> Option<Check> {
    let bits = [(OTHERS_WRITE, "write"), (OTHERS_READ, "read")];
    let (_, what) = bits.into_iter().find(|(bit, _)| metadata.mode() & bit != 0)?;
    if !is_reachable(file) || is_mounted && what == "read" {
        return None;
    }
    let advice = format!("chmod 0400 {}, and give the account a new key pair: this one may be known", file.display());
    Some(Check::fail(name, format!("everybody can {what} {}", file.display()), advice))
}

/// A file that the daemon reads itself and may not.
fn unreadable(name: &str, file: &Path, obstacle: &Path, daemon: &DaemonUser) -> Check {
    let shown = file.display();
    let what = if obstacle.is_dir() { format!(": it may not enter {}", obstacle.display()) } else { String::new() };
    let found = format!("the daemon ({}) cannot read {shown}{what}", daemon.label());
    let advice = if obstacle.is_dir() {
        "let it enter the folder, or hand the keys over by LoadCredential of the unit".to_owned()
    } else {
        format!("chown {} {shown}, mode 0400; or hand the keys over by LoadCredential of the unit", daemon.uid)
    };
    Check::fail(name, found, advice)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn open_files_and_halves_are_all_named() {
        let place = tempfile::tempdir().unwrap();
        let file = |folder: &str, part: &str, mode| {
            let folder = place.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            let file = folder.join(part);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            file
        };
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (a, b) = (file("a", "access_key_id", 0o604), file("b", "access_key_secret", 0o602));
        let files = [a.clone(), a.with_file_name("access_key_secret"), b.with_file_name("access_key_id"), b.clone()];
        assert_eq!(halves("x", &files).len(), 2);
        let what = |file: &Path, is_mounted| {
            open_to_all("x", file, &fs::metadata(file).unwrap(), is_mounted).map(|check| check.found)
        };
        assert!(what(&a, false).unwrap().contains("everybody can read") && what(&a, true).is_none());
        assert!(what(&b, true).unwrap().contains("everybody can write"));
    }
}
