//! Checks of this host: files, their permissions, the disk, the time zones.

use std::{
    collections::BTreeSet,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use rustix::fs::StatVfsMountFlags;

use super::{
    ownership::{
        Hidden, OTHERS_WRITE, Seen, changeable, foreign_owner, lets_others_replace, not_checked, open_folder,
        open_group,
    },
    report::Check,
};
use crate::{
    adapters::{
        config::{Config, Problems, Severity, conf_d, hook_that_cannot_start},
        control::who,
        store::DATABASE_FILE,
    },
    app::commands::{context::Context, output::schedules},
    domain::{api::credential_source::CredentialSource, calendar::zone::Release, suggestion::ConfigOption},
};

/// Mode bits: others may read, others may enter a folder.
const OTHERS_READ: u32 = 0o004;
const OTHERS_ENTER: u32 = 0o001;

/// Codes of files of the configuration that are there and cannot be read.
const UNREAD: [&str; 5] = ["unreadable", "not-a-file", "not-a-folder", "too-slow", "too-large"];

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
    let advice = ConfigOption::new(path).in_text("imagebaked check").into_owned();
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

/// The first file of the configuration that could not be read, if there is one: what the values in it are, nobody knows.
pub(super) fn unread_file(problems: &Problems) -> Option<Check> {
    let problem = problems.0.iter().find(|problem| UNREAD.contains(&problem.code))?;
    let advice = match &problem.hint {
        _ if problem.code == "unreadable" => {
            "run as root, or as the daemon's user, who must be able to read it".to_owned()
        }
        hint => hint.clone().unwrap_or_default(),
    };
    Some(Check::fail("configuration", problem.to_string(), advice))
}

/// Write access to the configuration allows stopping any instance; the daemon must be able to read it.
pub(super) fn config_permissions(config: &Config) -> Check {
    let name = "configuration permissions";
    if config.files.is_empty() {
        return Check::skip(name, "no file could be read; what follows is by the defaults");
    }
    let mut hidden = Hidden::default();
    // The state directory belongs to the daemon's user.
    let daemon = hidden.see(&config.daemon.state_dir).map(|state| (state.uid(), state.gid()));
    let user = daemon.map(|(uid, _)| uid);
    // Also one without files: whoever can add one configures the daemon.
    if let Some(more) = config.files.first().map(|file| conf_d(file))
        && let Some(metadata) = hidden.see(&more).filter(Metadata::is_dir)
        && let Some(check) = changeable(name, &more, &metadata, user)
    {
        return check;
    }
    for file in &config.files {
        let Some(metadata) = hidden.see(file) else { continue };
        let folder = match file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let of_folder = hidden.see(folder).and_then(|metadata| changeable(name, folder, &metadata, user));
        if let Some(check) = changeable(name, file, &metadata, user).or(of_folder) {
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
    hidden.or(Check::ok(name, "the daemon can read it, and no others can write it"))
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

/// The history belongs to the daemon's user, and nobody else can replace its files. `daemon` is the user of the running
/// daemon.
pub(super) fn state_permissions(state_dir: &Path, daemon: Option<u32>) -> Check {
    let name = "state directory";
    let metadata = match Seen::of(state_dir) {
        Seen::There(metadata) => metadata,
        Seen::Missing => return Check::skip(name, format!("{} is not there yet", state_dir.display())),
        Seen::Hidden => return not_checked(name, state_dir),
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
    if let Some(check) = open_group(name, state_dir, &metadata, Some(owner)) {
        return check;
    }
    let Ok(entries) = fs::read_dir(state_dir) else { return not_checked(name, state_dir) };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    if let Some(check) = files.iter().find_map(|file| state_file(name, state_dir, file, owner)) {
        return check;
    }
    let link = fs::read_link(state_dir).map(|target| format!(", a link to {},", target.display())).unwrap_or_default();
    Check::ok(name, format!("{}{link} and its files belong to {}", state_dir.display(), who::person(owner)))
}

/// What is wrong with a file of the history: the database, what belongs to it, and its copies.
fn state_file(name: &str, state_dir: &Path, file: &Path, owner: u32) -> Option<Check> {
    let base = file.file_name()?.to_str()?;
    let is_index = base.ends_with("-shm");
    if base != "lock" && !base.starts_with(DATABASE_FILE) {
        return None;
    }
    let Seen::There(metadata) = Seen::of_name(file) else { return None };
    let shown = file.display();
    if metadata.is_symlink() {
        let target = fs::read_link(file).map(|target| target.display().to_string()).unwrap_or_default();
        let found = format!("{shown} is a symbolic link to {target}, which the daemon does not follow");
        let advice =
            format!("stop the daemon and put the file itself there, or let {} be the link", state_dir.display());
        return Some(Check::fail(name, found, advice));
    }
    if !metadata.is_file() {
        let found = format!("{shown} is no regular file");
        return Some(Check::fail(name, found, format!("stop the daemon and put {shown} aside")));
    }
    if metadata.uid() != owner {
        let found = format!("{shown} belongs to {}", who::person(metadata.uid()));
        return Some(Check::warn(name, found, format!("chown --reference={} {shown}", state_dir.display())));
    }
    if metadata.mode() & OTHERS_WRITE != 0 {
        return Some(Check::fail(name, format!("everybody can write {shown}"), format!("chmod o-w {shown}")));
    }
    // Members of the group who read need the index of the log.
    if is_index { None } else { open_group(name, file, &metadata, Some(owner)) }
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
    let mut hidden = Hidden::default();
    let daemon = fs::metadata(&config.daemon.state_dir).ok().map(|state| state.uid());
    let commands = config.schedules.iter().flat_map(|schedule| schedule.settings.hooks.commands());
    let files: BTreeSet<&Path> =
        commands.flat_map(|command| &command.0).map(Path::new).filter(|path| path.is_absolute()).collect();
    let mut seen = 0;
    for file in files {
        // An argument need not be a file.
        let Some(metadata) = hidden.see(file) else { continue };
        if !metadata.is_file() {
            continue;
        }
        seen += 1;
        if metadata.mode() & OTHERS_WRITE != 0 {
            let found = format!("everybody can change {}, which the daemon runs", file.display());
            return Check::fail(name, found, format!("chmod o-w {}", file.display()));
        }
        if let Some(check) = changeable(name, file, &metadata, daemon) {
            return check;
        }
        // Whoever can rename a folder above it can put another program in its place, also where a link leads.
        let target = fs::canonicalize(file).ok();
        let above = file.ancestors().skip(1).chain(target.iter().flat_map(|target| target.ancestors().skip(1)));
        for folder in above {
            let Some(metadata) = hidden.see(folder) else { continue };
            if lets_others_replace(&metadata) {
                let found = format!("everybody can replace {}, which the daemon runs", file.display());
                return Check::fail(name, found, format!("chmod o-w {}", folder.display()));
            }
            let of_others = foreign_owner(name, folder, &metadata, daemon);
            if let Some(check) = of_others.or_else(|| open_group(name, folder, &metadata, daemon)) {
                return check;
            }
        }
    }
    if seen == 0 {
        return hidden.or(Check::skip(name, "no schedule runs a program of this host"));
    }
    hidden.or(Check::ok(name, format!("{seen} programs and scripts, which others cannot change")))
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
    let mut hidden = Hidden::default();
    let daemon = fs::metadata(&config.daemon.state_dir).ok().map(|state| state.uid());
    for file in files {
        let Some(metadata) = hidden.see(&file) else { continue };
        // An empty one, such as the null device, switches a source off.
        if !metadata.is_file() && file != Path::new("/dev/null") {
            let found = format!("{} is no regular file, and is not read", file.display());
            return Check::fail(name, found, "put the key into a file");
        }
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
        let of_others = foreign_owner(name, &file, &metadata, daemon);
        if let Some(check) = of_others.or_else(|| open_group(name, &file, &metadata, daemon)) {
            return check;
        }
        closed.push(file.display().to_string());
    }
    if closed.is_empty() {
        hidden.or(Check::skip(name, "there are none"))
    } else {
        hidden.or(Check::ok(name, format!("not open to others: {}", closed.join(", "))))
    }
}

pub(super) fn disk(state_dir: &Path) -> Check {
    let name = "disk";
    if matches!(Seen::of(state_dir), Seen::Hidden) {
        return not_checked(name, state_dir);
    }
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
    fn files_of_the_history_that_are_links_or_open_are_found() {
        let place = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let state = place.path().join("state");
        fs::create_dir(&state).unwrap();
        mode(&state, 0o750);
        let (database, log) = (state.join(DATABASE_FILE), state.join("imagebaked.db-wal"));
        fs::write(&database, "x").unwrap();
        fs::write(&log, "x").unwrap();
        mode(&database, 0o640);
        let found = |path: &Path| {
            let check = state_permissions(path, None);
            (check.result, check.found)
        };
        mode(&log, 0o640);
        assert_eq!(found(&state).0, CheckStatus::Ok, "{:?}", found(&state));
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&state, &link).unwrap();
        assert!(found(&link).1.contains(&format!("a link to {},", state.display())), "{:?}", found(&link));
        mode(&log, 0o646);
        assert!(found(&state).1.contains("everybody can write") && found(&state).1.contains("-wal"));
        mode(&log, 0o640);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&log, None, Some(471_147)).unwrap();
            mode(&log, 0o660);
            let (result, text) = found(&state);
            assert!(result == CheckStatus::Warn && text.contains("the group 471147 can write"), "{text}");
            std::os::unix::fs::chown(&log, Some(471_147), None).unwrap();
            assert!(found(&state).1.contains("belongs to uid 471147"), "{:?}", found(&state));
        }
        fs::remove_file(&log).unwrap();
        fs::rename(&database, place.path().join("elsewhere.db")).unwrap();
        std::os::unix::fs::symlink(place.path().join("elsewhere.db"), &database).unwrap();
        let (result, text) = found(&state);
        assert!(
            result == CheckStatus::Fail && text.contains("is a symbolic link to") && text.contains("elsewhere.db"),
            "{text}"
        );
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
