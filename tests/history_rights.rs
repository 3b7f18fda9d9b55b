//! Who may read the history: root, the service's user and members of its group, while the daemon runs, after an orderly
//! stop and after a kill.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::{Command, Output, Stdio},
};

use support::{Cloud, Host};

const GOLDEN: &str = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 1 1 *\"\n";

/// (user, group) of nobody on the host of the tests.
type User = (u32, u32);
const SERVICE: User = (64321, 64321);
const MEMBER: User = (64322, 64321);
const STRANGER: User = (64323, 64323);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A command of this host as another user.
fn command_as(host: &Host, user: User, args: &[&str]) -> Command {
    let own = host.command(args);
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user.0.to_string(), "--regid", &user.1.to_string(), "--clear-groups"]);
    command.env_clear().arg(own.get_program()).args(own.get_args());
    command.envs(support::environment_of(&own)).stdin(Stdio::null());
    command
}

fn run_as(host: &Host, user: User, args: &[&str]) -> Output {
    command_as(host, user, args).output().unwrap()
}

fn expect_as(host: &Host, user: User, code: i32, args: &[&str]) -> String {
    let output = run_as(host, user, args);
    let all = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?} as {user:?}: {all}");
    all
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A host whose daemon runs as the service's user; `None` where tests cannot change users.
fn host_of_service(cloud: &Cloud) -> Option<Host> {
    let mut host = Host::new(cloud.addr, GOLDEN);
    let is_root = fs::metadata(host.path("keys")).unwrap().uid() == 0;
    if !is_root || Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("skipped: only root can act as other users, with setpriv");
        return None;
    }
    let folder = host.path("keys").parent().unwrap().to_owned();
    fs::create_dir(host.path("member")).unwrap();
    chown(host.path("member"), Some(MEMBER.0), Some(MEMBER.1)).unwrap();
    for path in [&folder, &host.path("keys"), &host.path("keys/access_key_id"), &host.path("keys/access_key_secret")] {
        chown(path, Some(SERVICE.0), Some(SERVICE.1)).unwrap();
    }
    set_mode(&folder, 0o755);
    let daemon = command_as(&host, SERVICE, &["run"]);
    host.start_by(daemon);
    host.bake("golden");
    Some(host)
}

/// Every command that reads, as each user who may read.
fn assert_readable(host: &Host, what: &str) {
    for user in [(0, 0), SERVICE, MEMBER] {
        for args in [
            &["history"][..],
            &["show", "1"],
            &["why", "golden", "--at", "2030-01-01T03:00:00Z"],
            &["images"],
            &["plan"],
        ] {
            let out = expect_as(host, user, 0, args);
            assert!(!out.contains("cannot"), "{what}: {args:?}: {out}");
        }
        let history = expect_as(host, user, 0, &["history", "--json"]);
        assert!(history.contains("\"succeeded\""), "{what}: {user:?}: {history}");
        let doctor = run_as(host, user, &["doctor", "--no-probe"]);
        let doctor = String::from_utf8(doctor.stdout).unwrap();
        let line = doctor.lines().find(|line| line.contains("database")).unwrap_or_default();
        assert!(line.contains("sound"), "{what}: {user:?}: {doctor}");
        let folder = if user == MEMBER { host.path("member") } else { host.path("") };
        let copy = folder.join("copy.db");
        expect_as(host, user, 0, &["backup", text(&copy), "--force"]);
        fs::remove_file(&copy).unwrap();
    }
    assert_ne!(run_as(host, STRANGER, &["history"]).status.code(), Some(0), "{what}: others may not read");
}

#[test]
fn members_of_the_group_read_whether_the_daemon_runs_or_not() {
    let cloud = Cloud::start();
    let Some(mut host) = host_of_service(&cloud) else { return };
    assert_readable(&host, "running");
    host.stop();
    // What root's commands left there is of no use to the member.
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(host.path(&format!("state/imagebaked.db{suffix}")));
    }
    expect_as(&host, MEMBER, 0, &["history"]);
    assert!(!host.path("state/imagebaked.db-wal").exists(), "a member makes nothing there");
    assert_readable(&host, "stopped in order");
    let daemon = command_as(&host, SERVICE, &["run"]);
    host.start_by(daemon);
    host.kill();
    assert_readable(&host, "killed");
    let daemon = command_as(&host, SERVICE, &["run"]);
    host.start_by(daemon);
    host.stop();
}

#[test]
fn a_backup_of_root_is_restored_and_keeps_mode_and_owner() {
    let cloud = Cloud::start();
    let Some(mut host) = host_of_service(&cloud) else { return };
    let copy = host.path("copy.db");
    host.expect(0, &["backup", text(&copy)]);
    host.stop();
    let database = host.path("state/imagebaked.db");
    for mode in [0o640, 0o600] {
        set_mode(&database, mode);
        host.expect(0, &["restore", text(&copy)]);
        let file = fs::metadata(&database).unwrap();
        assert_eq!((file.mode() & 0o777, file.uid(), file.gid()), (mode, SERVICE.0, SERVICE.1));
    }
    // Where no history is, the file is for the service and its group.
    fs::remove_file(&database).unwrap();
    host.expect(0, &["restore", text(&copy)]);
    let file = fs::metadata(&database).unwrap();
    assert_eq!((file.mode() & 0o777, file.uid(), file.gid()), (0o640, SERVICE.0, SERVICE.1));
    expect_as(&host, MEMBER, 0, &["history"]);
    let daemon = command_as(&host, SERVICE, &["run"]);
    host.start_by(daemon);
    assert_eq!(host.bake("golden")["version"], 2);
    host.stop();
}
