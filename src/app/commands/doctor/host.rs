//! Checks of this host: files, their permissions, the disk, the time zones.

use std::{
    collections::BTreeSet,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use rustix::fs::StatVfsMountFlags;

use super::report::Check;
use crate::{
    adapters::{
        config::{Config, Problems, Severity, conf_d, hook_that_cannot_start},
        control::who,
        store::DATABASE_FILE,
    },
    app::commands::{context::Context, output::schedules},
    domain::{api::credential_source::CredentialSource, calendar::zone::Release},
};

/// Mode bits: others may read, others may write, sticky folder.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_ENTER: u32 = 0o001;
const STICKY: u32 = 0o1000;

const MIB: u64 = 1024 * 1024;
/// A year of ten bakes a night takes a few MiB; other data may fill the disk.
const LITTLE_ROOM: u64 = 500 * MIB;
const NO_ROOM: u64 = 20 * MIB;

pub(super) fn configuration(path: &Path, config: &Config, problems: &Problems) -> Check {
    let name = "configuration";
    let count = |severity| problems.0.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let plural = |n: usize, what: &str| if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") };
    let first = problems.0.iter().min_by_key(|problem| problem.severity).map(ToString::to_string).unwrap_or_default();
    let advice = format!("imagebaked --config {} check", path.display());
    if errors > 0 {
        let found = format!("{}, {}; {first}", plural(errors, "error"), plural(warnings, "warning"));
        let advice = if problems.0.iter().any(|problem| problem.code == "no-file") {
            "imagebaked init writes a first one from the instances of the account".to_owned()
        } else {
            format!("{advice} shows all, and what to write instead")
        };
        Check::fail(name, found, advice)
    } else if warnings > 0 {
        Check::warn(name, format!("{}; {first}", plural(warnings, "warning")), format!("{advice} shows all"))
    } else {
        let more = match config.files.len() {
            0 | 1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let found = format!("{} in {}{more}", schedules(config.schedules.len()), path.display());
        Check::ok(name, found)
    }
}

/// Write access to the configuration allows stopping any instance; the daemon must be able to read it.
pub(super) fn config_permissions(config: &Config) -> Check {
    let name = "configuration permissions";
    if config.files.is_empty() {
        return Check::skip(name, "no file could be read; what follows is by the defaults");
    }
    // The state directory belongs to the daemon's user.
    let daemon = fs::metadata(&config.daemon.state_dir).ok().map(|state| (state.uid(), state.gid()));
    // Also one without files: whoever can add one configures the daemon.
    if let Some(more) = config.files.first().map(|file| conf_d(file))
        && let Some(metadata) = fs::metadata(&more).ok().filter(Metadata::is_dir)
        && let Some(check) =
            open_folder(name, &more).or_else(|| foreign_owner(name, &more, &metadata, daemon.map(|(uid, _)| uid)))
    {
        return check;
    }
    for file in &config.files {
        let Ok(metadata) = fs::metadata(file) else { continue };
        let folder = match file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        if metadata.mode() & OTHERS_WRITE != 0 {
            let found = format!("everybody can write {}", file.display());
            return Check::fail(name, found, format!("chmod o-w {}", file.display()));
        }
        if let Some(check) = foreign_owner(name, file, &metadata, daemon.map(|(uid, _)| uid)) {
            return check;
        }
        if let Some(check) = open_folder(name, folder) {
            return check;
        }
        if let Some((uid, gid)) = daemon
            && !readable_by(&metadata, uid, gid)
        {
            let found = format!(
                "the daemon cannot read {}: it runs as user {uid}, which owns {}, unless another group lets it",
                file.display(),
                config.daemon.state_dir.display()
            );
            return Check::warn(name, found, format!("chmod 0644 {}", file.display()));
        }
        if metadata.mode() & 0o444 == 0 {
            let found = format!("nobody but root can read {}", file.display());
            return Check::warn(name, found, format!("chmod 0644 {}", file.display()));
        }
    }
    Check::ok(name, "the daemon can read it, and not everybody can write it")
}

/// Whether everybody can put another file in the place of one in this folder.
fn lets_others_replace(folder: &Metadata) -> bool {
    folder.mode() & OTHERS_WRITE != 0 && folder.mode() & STICKY == 0
}

/// A failure if everybody can replace files of a folder.
fn open_folder(name: &str, folder: &Path) -> Option<Check> {
    fs::metadata(folder).ok().filter(lets_others_replace)?;
    let found = format!("everybody can replace files of {}", folder.display());
    Some(Check::fail(name, found, format!("chmod o-w {}", folder.display())))
}

/// A control socket that everybody can use, or replace: whoever can write to it stops instances. Nothing otherwise.
pub(super) fn control_socket(config: &Config) -> Option<Check> {
    let (name, socket) = ("control socket", &config.daemon.control_socket);
    let mode = fs::symlink_metadata(socket).ok()?.mode();
    if mode & OTHERS_WRITE != 0 && is_reachable(socket) {
        let found = format!("everybody can send commands to {}", socket.display());
        return Some(Check::fail(name, found, format!("chmod o-w {}", socket.display())));
    }
    open_folder(name, socket.parent()?)
}

/// A warning if neither root, the daemon's user nor this one owns a file: its owner can change it at any time.
fn foreign_owner(name: &str, file: &Path, metadata: &Metadata, daemon: Option<u32>) -> Option<Check> {
    let me = rustix::process::geteuid().as_raw();
    if [Some(0), daemon, Some(me)].contains(&Some(metadata.uid())) {
        return None;
    }
    let found = format!("{} belongs to {}, who can change it", file.display(), who::person(metadata.uid()));
    Some(Check::warn(name, found, format!("chown root: {}", file.display())))
}

/// The history belongs to the daemon's user, and nobody else can replace its files. `daemon` is the user of the running
/// daemon.
pub(super) fn state_permissions(state_dir: &Path, daemon: Option<u32>) -> Check {
    let name = "state directory";
    let Ok(metadata) = fs::metadata(state_dir) else {
        return Check::skip(name, format!("{} is not there yet, or cannot be examined", state_dir.display()));
    };
    if metadata.mode() & OTHERS_WRITE != 0 {
        let found = format!("everybody can replace the files in {}", state_dir.display());
        return Check::fail(name, found, format!("chmod o-w {}", state_dir.display()));
    }
    let owner = metadata.uid();
    if let Some(daemon) = daemon.filter(|daemon| *daemon != owner && *daemon != 0) {
        let (found, user) = (who::person(owner), who::person(daemon));
        let found = format!("{} belongs to {found}, and the daemon runs as {user}", state_dir.display());
        return Check::warn(name, found, format!("chown -R {daemon}: {}", state_dir.display()));
    }
    for file in [DATABASE_FILE, "lock"].map(|file| state_dir.join(file)) {
        let Ok(metadata) = fs::symlink_metadata(&file) else { continue };
        if metadata.uid() != owner {
            let found = format!("{} belongs to {}", file.display(), who::person(metadata.uid()));
            return Check::warn(name, found, format!("chown --reference={} {}", state_dir.display(), file.display()));
        }
    }
    Check::ok(name, format!("{} and its files belong to {}", state_dir.display(), who::person(owner)))
}

/// Hooks that the service can start, and that others cannot change.
pub(super) fn hooks(config: &Config) -> Check {
    let name = "hooks";
    match hook_that_cannot_start(config) {
        Some((found, advice)) => Check::fail(name, found, advice),
        None => hook_permissions(name, config),
    }
}

/// Hooks run with the rights of the daemon: others must not be able to change their programs and scripts.
fn hook_permissions(name: &'static str, config: &Config) -> Check {
    let daemon = fs::metadata(&config.daemon.state_dir).ok().map(|state| state.uid());
    let commands = config.schedules.iter().flat_map(|schedule| schedule.settings.hooks.commands());
    let files: BTreeSet<&Path> =
        commands.flat_map(|command| &command.0).map(Path::new).filter(|path| path.is_absolute()).collect();
    let mut seen = 0;
    for file in files {
        // An argument need not be a file.
        let Ok(metadata) = fs::metadata(file) else { continue };
        if !metadata.is_file() {
            continue;
        }
        seen += 1;
        if metadata.mode() & OTHERS_WRITE != 0 {
            let found = format!("everybody can change {}, which the daemon runs", file.display());
            return Check::fail(name, found, format!("chmod o-w {}", file.display()));
        }
        if let Some(check) = foreign_owner(name, file, &metadata, daemon) {
            return check;
        }
        // Whoever can rename a folder above it can put another program in its place, also where a link leads.
        let target = fs::canonicalize(file).ok();
        let above = file.ancestors().skip(1).chain(target.iter().flat_map(|target| target.ancestors().skip(1)));
        for folder in above {
            let Ok(metadata) = fs::metadata(folder) else { continue };
            if lets_others_replace(&metadata) {
                let found = format!("everybody can replace {}, which the daemon runs", file.display());
                return Check::fail(name, found, format!("chmod o-w {}", folder.display()));
            }
            if let Some(check) = foreign_owner(name, folder, &metadata, daemon) {
                return check;
            }
        }
    }
    if seen == 0 {
        return Check::skip(name, "no schedule runs a program of this host");
    }
    Check::ok(name, format!("{seen} programs and scripts, which others cannot change"))
}

pub(super) fn readable_by(file: &Metadata, uid: u32, gid: u32) -> bool {
    let bit = if file.uid() == uid {
        0o400
    } else if file.gid() == gid {
        0o040
    } else {
        OTHERS_READ
    };
    uid == 0 || file.mode() & bit != 0
}

/// Whether every parent folder can be traversed.
fn is_reachable(file: &Path) -> bool {
    let full = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    full.ancestors().skip(1).all(|folder| fs::metadata(folder).is_ok_and(|it| it.mode() & OTHERS_ENTER != 0))
}

/// Folder beside the configuration from which the service's unit takes the key pair.
pub(super) fn unit_credentials(config_path: &Path) -> PathBuf {
    config_path.parent().unwrap_or(Path::new("")).join("credentials")
}

/// Files that may contain a key pair, whether or not this command reads them.
pub(super) fn credential_permissions(context: &Context<'_>, config: &Config) -> Check {
    let name = "credential files";
    let choice = &config.cloud.credentials;
    let may_read = |one: CredentialSource| *choice == CredentialSource::Default || *choice == one;
    let variable = |name: &str| context.environment.get(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let mut files: Vec<PathBuf> = Vec::new();
    if may_read(CredentialSource::Files) {
        let folders = [
            config.cloud.credentials_dir.clone().or_else(|| variable("CREDENTIALS_DIRECTORY")),
            Some(unit_credentials(context.config_path)),
        ];
        let parts = ["access_key_id", "access_key_secret", "security_token"];
        files.extend(folders.into_iter().flatten().flat_map(|folder| parts.map(|part| folder.join(part))));
    }
    let below_home = |file: &str| variable("HOME").map(|home| home.join(file));
    if may_read(CredentialSource::Default) || matches!(choice, CredentialSource::Profile(_)) {
        files.extend(variable("ALIBABA_CLOUD_CONFIG_FILE").or_else(|| below_home(".aliyun/config.json")));
    }
    if may_read(CredentialSource::Ini) {
        files.extend(variable("ALIBABA_CLOUD_CREDENTIALS_FILE"));
        files.extend(below_home(".alibabacloud/credentials"));
        files.extend(below_home(".alibabacloud/credentials.ini"));
    }
    let token = variable("ALIBABA_CLOUD_OIDC_TOKEN_FILE").filter(|_| may_read(CredentialSource::Oidc));
    files.extend(token.clone());
    if files.is_empty() {
        return Check::skip(name, format!("none are read: credentials = \"{choice}\""));
    }
    files.dedup();
    for id in files.iter().filter(|file| file.ends_with("access_key_id")) {
        let secret = id.with_file_name("access_key_secret");
        let (present, missing) = match (id.exists(), secret.exists()) {
            (true, false) => (id, &secret),
            (false, true) => (&secret, id),
            _ => continue,
        };
        let found = format!("{} is there, but {} is missing", present.display(), missing.display());
        return Check::fail(name, found, format!("install -m 0400 FILE {}", missing.display()));
    }
    let mut closed = Vec::new();
    for file in files {
        let metadata = match fs::metadata(&file) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                let advice = "run as root, or as the daemon's user";
                return Check::warn(name, format!("{} cannot be examined: {error}", file.display()), advice);
            }
        };
        let open =
            [(OTHERS_WRITE, "write"), (OTHERS_READ, "read")].into_iter().find(|(bit, _)| metadata.mode() & bit != 0);
        if let Some((_, what)) = open
            && is_reachable(&file)
        {
            if Some(&file) == token.as_ref() && what == "read" {
                // A cluster mounts it like this, and replaces it within hours.
                continue;
            }
            let advice =
                format!("chmod 0400 {}, and give the account a new key pair: this one may be known", file.display());
            return Check::fail(name, format!("everybody can {what} {}", file.display()), advice);
        }
        if let Some(check) = file.parent().and_then(|folder| open_folder(name, folder)) {
            return check;
        }
        closed.push(file.display().to_string());
    }
    if closed.is_empty() {
        Check::skip(name, "there are none")
    } else {
        Check::ok(name, format!("not open to others: {}", closed.join(", ")))
    }
}

pub(super) fn disk(state_dir: &Path) -> Check {
    let name = "disk";
    // Before the first run there is no state directory; it will be on the file system of its parent.
    let Some(folder) = state_dir.ancestors().find(|folder| folder.is_dir()) else {
        return Check::fail(name, format!("there is no folder above {}", state_dir.display()), "check state_dir");
    };
    let disk = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk,
        Err(error) => {
            let found = format!("{} cannot be examined: {error}", folder.display());
            return Check::warn(name, found, "run as root, or as the daemon's user");
        }
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let found = format!("{} MiB free for {}", free / MIB, state_dir.display());
    let advice = "make room: without it no bake starts, because its row could not be written";
    if disk.f_flag.contains(StatVfsMountFlags::RDONLY) {
        let found = format!("the file system of {} is read-only", state_dir.display());
        return Check::fail(name, found, "see why (dmesg), and mount it for writing");
    }
    if disk.f_files > 0 && disk.f_favail == 0 {
        return Check::fail(name, format!("{found}, but no file can be made: no inodes are left"), advice);
    }
    if free < NO_ROOM {
        Check::fail(name, found, advice)
    } else if free < LITTLE_ROOM {
        Check::warn(name, found, advice)
    } else {
        Check::ok(name, found)
    }
}

pub(super) fn time_zones(release: &Release, now: DateTime<Utc>) -> Check {
    let found = format!("the rules of {release}");
    match release.old_since(now) {
        None => Check::ok("time zones", found),
        Some(_) => Check::warn(
            "time zones",
            format!("{found}, older than a year"),
            "update the tzdata package of this host, then imagebaked reload",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::app::commands::doctor::report::CheckStatus;

    #[test]
    fn old_rules_of_time_zones_are_a_warning() {
        let built_in = Release::built_in();
        let published = built_in.published_by().unwrap().and_time(chrono::NaiveTime::MIN).and_utc();
        let check = |days| time_zones(&built_in, published + chrono::TimeDelta::days(days));
        assert_eq!(check(300).result, CheckStatus::Ok);
        assert_eq!(check(366).result, CheckStatus::Warn);
        assert!(check(366).found.contains(built_in.version()), "{:?}", check(366));
    }

    /// The check of hooks for a schedule whose hook is `program`.
    fn checked(folder: &Path, program: &Path) -> Check {
        let file = folder.join("imagebaked.toml");
        let text = format!(
            "[[schedule]]\nname = 'a'\ninstance_id = 'ecd-1'\ncron = '@daily'\nhooks = {{ after = ['{}'] }}\n",
            program.display()
        );
        fs::write(&file, text).unwrap();
        let (config, _) = crate::adapters::config::load_lenient(&file, &std::collections::BTreeMap::new());
        hooks(&config.unwrap())
    }

    #[test]
    fn a_socket_and_a_folder_that_are_open_to_all_are_found() {
        let place = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let (run, more) = (place.path().join("run"), place.path().join("conf.d"));
        fs::create_dir(&run).unwrap();
        fs::create_dir(&more).unwrap();
        for folder in [place.path(), &run, &more] {
            mode(folder, 0o755);
        }
        let (socket, file) = (run.join("control.sock"), place.path().join("imagebaked.toml"));
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        fs::write(
            &file,
            format!("[daemon]\nstate_dir = '{0}'\ncontrol_socket = '{1}'\n", run.display(), socket.display()),
        )
        .unwrap();
        let (config, _) = crate::adapters::config::load_lenient(&file, &std::collections::BTreeMap::new());
        let config = config.unwrap();
        mode(&socket, 0o660);
        assert!(control_socket(&config).is_none());
        mode(&socket, 0o666);
        assert!(control_socket(&config).unwrap().found.contains("everybody can send commands"));
        mode(&socket, 0o660);
        mode(&run, 0o777);
        assert!(control_socket(&config).unwrap().found.contains("everybody can replace files"));
        assert_eq!(config_permissions(&config).result, CheckStatus::Ok);
        mode(&more, 0o777);
        assert!(config_permissions(&config).found.contains("conf.d"), "without a file in it");
        drop(listener);
    }

    #[test]
    fn hooks_that_others_can_change_are_found() {
        let place = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let (outer, folder) = (place.path().join("a"), place.path().join("a/b"));
        fs::create_dir_all(&folder).unwrap();
        for folder in [place.path(), &outer, &folder] {
            mode(folder, 0o755);
        }
        let (hook, link) = (folder.join("hook"), place.path().join("link"));
        fs::write(&hook, "#!/bin/sh\n").unwrap();
        std::os::unix::fs::symlink(&hook, &link).unwrap();
        mode(&hook, 0o755);
        let found = |program: &Path| {
            let check = checked(place.path(), program);
            (check.result, check.found)
        };
        if found(&hook).1.contains("PrivateTmp") {
            return println!("skipped: the service of this host does not see temporary folders");
        }
        assert_eq!(found(&hook).0, CheckStatus::Ok, "{:?}", found(&hook));
        assert_eq!(found(&link).0, CheckStatus::Ok);
        let missing = found(&folder.join("another"));
        assert!(missing.0 == CheckStatus::Fail && missing.1.contains("there is no program"), "{missing:?}");
        mode(&hook, 0o644);
        assert_eq!(found(&hook).0, CheckStatus::Fail, "{:?}", found(&hook));
        mode(&hook, 0o757);
        assert!(found(&hook).1.contains("everybody can change"), "{:?}", found(&hook));
        mode(&hook, 0o755);
        // A folder anywhere above it, also above where a link leads.
        for (open, result) in [(0o777, CheckStatus::Fail), (0o1777, CheckStatus::Ok)] {
            mode(&outer, open);
            assert_eq!([found(&hook).0, found(&link).0], [result, result], "{open:o}");
        }
        mode(&outer, 0o755);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&folder, Some(4711), None).unwrap();
            let (result, text) = found(&hook);
            assert!(result == CheckStatus::Warn && text.contains("who can change it"), "{text}");
        }
    }
}
