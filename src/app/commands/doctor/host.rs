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
    daemon_user::{Access, DaemonUser},
    ownership::{Findings, OTHERS_WRITE, Seen, not_checked, open_group},
    report::{Check, CheckStatus},
};
use crate::{
    adapters::{
        config::{Config, Problems, Severity, conf_d, hooks_that_cannot_start},
        control::who,
        store::DATABASE_FILE,
    },
    app::commands::output::schedules,
    domain::{calendar::zone::Release, suggestion::ConfigOption, text::counted},
};

/// Mode bit: others may enter a folder.
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
pub(super) fn config_permissions(config: &Config, daemon: Option<&DaemonUser>) -> Check {
    let name = "configuration permissions";
    if config.files.is_empty() {
        return Check::skip(name, "no file could be read; what follows is by the defaults");
    }
    let mut findings = Findings::default();
    // Where it is hidden, nothing is known of the daemon's user.
    findings.see(&config.daemon.state_dir);
    let user = daemon.map(|daemon| daemon.uid);
    // Also one without files: whoever can add one configures the daemon.
    if let Some(more) = config.files.first().map(|file| conf_d(file))
        && let Some(metadata) = findings.see(&more).filter(Metadata::is_dir)
    {
        findings.add_ways_to_change(name, &more, &metadata, user);
    }
    for file in &config.files {
        let Some(metadata) = findings.see(file) else { continue };
        findings.add_ways_to_change(name, file, &metadata, user);
        if let Some(daemon) = daemon
            && let Some(closed) = daemon.obstacle(file, Access::Read)
        {
            let found =
                format!("the daemon ({}) cannot read {}{}", daemon.label(), file.display(), because(&closed, file));
            findings.add([Check::warn(name, found, opened(&closed))]);
        } else if metadata.mode() & 0o444 == 0 {
            let found = format!("nobody but root can read {}", file.display());
            findings.add([Check::warn(name, found, format!("chmod 0644 {}", file.display()))]);
        }
    }
    findings.or(Check::ok(name, "the daemon can read it, and no others can write it"))
}

/// Names the folder that keeps a user from a file.
fn because(closed: &Path, file: &Path) -> String {
    if closed == file || !closed.is_dir() { String::new() } else { format!(": it may not enter {}", closed.display()) }
}

/// How to let others read a file, or enter a folder.
fn opened(closed: &Path) -> String {
    if closed.is_dir() { format!("chmod a+x {}", closed.display()) } else { format!("chmod 0644 {}", closed.display()) }
}

/// A control socket that everybody can use, or replace: whoever can write to it stops instances. Nothing otherwise.
pub(super) fn control_socket(config: &Config, daemon: Option<u32>) -> Option<Check> {
    let (name, socket) = ("control socket", &config.daemon.control_socket);
    let metadata = fs::symlink_metadata(socket).ok()?;
    let mut findings = Findings::default();
    if metadata.mode() & OTHERS_WRITE != 0 && is_reachable(socket) {
        let found = format!("everybody can send commands to {}", socket.display());
        findings.add([Check::fail(name, found, format!("chmod o-w {}", socket.display()))]);
    }
    findings.add_ways_to_replace(name, socket, daemon);
    Some(findings.or(Check::ok(name, ""))).filter(|check| matches!(check.result, CheckStatus::Warn | CheckStatus::Fail))
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
    let owner = metadata.uid();
    let mut findings = Findings::default();
    if metadata.mode() & OTHERS_WRITE != 0 {
        let found = format!("everybody can replace the files in {}", state_dir.display());
        findings.add([Check::fail(name, found, format!("chmod o-w {}", state_dir.display()))]);
    }
    if let Some(daemon) = daemon.filter(|daemon| *daemon != owner && *daemon != 0) {
        let (found, user) = (who::person(owner), who::person(daemon));
        let found = format!("{} belongs to {found}, and the daemon runs as {user}", state_dir.display());
        findings.add([Check::warn(name, found, format!("chown -R {daemon}: {}", state_dir.display()))]);
    }
    findings.add(open_group(name, state_dir, &metadata, Some(owner)));
    findings.add_ways_to_replace(name, state_dir, Some(owner));
    let Ok(entries) = fs::read_dir(state_dir) else { return findings.or(not_checked(name, state_dir)) };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    findings.add(files.iter().filter_map(|file| state_file(name, state_dir, file, owner)));
    let link = fs::read_link(state_dir).map(|target| format!(", a link to {},", target.display())).unwrap_or_default();
    findings
        .or(Check::ok(name, format!("{}{link} and its files belong to {}", state_dir.display(), who::person(owner))))
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
pub(super) fn hooks(config: &Config, daemon: Option<&DaemonUser>) -> Check {
    let name = "hooks";
    let mut findings = Findings::default();
    findings.add(hooks_that_cannot_start(config).into_iter().map(|(found, advice)| Check::fail(name, found, advice)));
    hook_permissions(name, config, daemon, findings)
}

/// Hooks run with the rights of the daemon: others must not be able to change their programs and scripts.
fn hook_permissions(name: &'static str, config: &Config, daemon: Option<&DaemonUser>, mut findings: Findings) -> Check {
    let user = daemon.map(|daemon| daemon.uid);
    let hooks = || config.schedules.iter().flat_map(|schedule| schedule.settings.hooks.commands());
    let programs: BTreeSet<&Path> = hooks().map(|command| Path::new(command.program())).collect();
    let files: BTreeSet<&Path> =
        hooks().flat_map(|command| &command.0).map(Path::new).filter(|path| path.is_absolute()).collect();
    let mut seen = 0;
    for file in files {
        // An argument need not be a file.
        let Some(metadata) = findings.see(file) else { continue };
        if !metadata.is_file() {
            continue;
        }
        seen += 1;
        if metadata.mode() & OTHERS_WRITE != 0 {
            let found = format!("everybody can change {}, which the daemon runs", file.display());
            findings.add([Check::fail(name, found, format!("chmod o-w {}", file.display()))]);
            findings.add_ways_to_replace(name, file, user);
        } else {
            // Whoever can rename a folder above it can put another program in its place, also where a link leads.
            findings.add_ways_to_change(name, file, &metadata, user);
        }
        if let Some(daemon) = daemon.filter(|daemon| daemon.is_certain() && programs.contains(file))
            && let Some(closed) = daemon.obstacle(file, Access::Execute)
        {
            let found =
                format!("the daemon ({}) may not start {}{}", daemon.label(), file.display(), because(&closed, file));
            findings.add([Check::fail(name, found, format!("chmod a+x {}", closed.display()))]);
        }
    }
    if seen == 0 {
        return findings.or(Check::skip(name, "no schedule runs a program of this host"));
    }
    findings.or(Check::ok(
        name,
        format!("{}, which others cannot change", counted(seen, "program or script", "programs and scripts")),
    ))
}

/// Whether every parent folder can be traversed.
pub(super) fn is_reachable(file: &Path) -> bool {
    let full = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    full.ancestors().skip(1).all(|folder| fs::metadata(folder).is_ok_and(|it| it.mode() & OTHERS_ENTER != 0))
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
        hooks(&config.unwrap(), None)
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
        assert!(control_socket(&config, None).is_none());
        mode(&socket, 0o666);
        assert!(control_socket(&config, None).unwrap().found.contains("everybody can send commands"));
        mode(&socket, 0o660);
        mode(&run, 0o777);
        assert!(control_socket(&config, None).unwrap().found.contains("everybody can replace files"));
        assert_eq!(config_permissions(&config, None).result, CheckStatus::Ok);
        mode(&more, 0o777);
        assert!(config_permissions(&config, None).found.contains("conf.d"), "without a file in it");
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
