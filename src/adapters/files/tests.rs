use std::{
    io::{Read as _, Write as _},
    os::unix::fs::{PermissionsExt as _, chown, symlink},
};

use super::*;

/// Who owns nothing.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    let is = rustix::process::geteuid().is_root();
    if !is {
        eprintln!("skipped: only root can make files of other users");
    }
    is
}

/// A folder of another user, in which root is to work.
fn foreign() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    dir
}

fn owner(path: &Path) -> u32 {
    fs::metadata(path).unwrap().uid()
}

#[test]
fn what_is_no_plain_file_is_not_opened_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let victim = dir.path().join("victim");
    fs::write(&victim, "dear").unwrap();
    symlink(&victim, dir.path().join("link")).unwrap();
    symlink(dir.path().join("nowhere"), dir.path().join("dangling")).unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    rustix::fs::mknodat(CWD, dir.path().join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    for name in ["link", "dangling", "folder", "fifo"] {
        folder.open_or_make(name, 0o640).unwrap_err();
        folder.check(name).unwrap_err();
        folder.create_new(name, 0o640).unwrap_err();
    }
    assert!(!dir.path().join("nowhere").exists());
    assert!(folder.check("victim").unwrap() && !folder.check("none").unwrap());
    folder.open_or_make("victim", 0o640).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "dear");
}

#[test]
fn root_gives_away_what_it_made_and_nothing_that_was_slipped_under_it() {
    if !is_root() {
        return;
    }
    let dir = foreign();
    let victim = dir.path().join("../victim-of-imagebaked-tests");
    fs::write(&victim, "root's").unwrap();
    fs::hard_link(&victim, dir.path().join("second-name")).unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    folder.open_or_make("second-name", 0o640).unwrap_err();
    folder.check("second-name").unwrap_err();
    folder.give(&File::open(&victim).unwrap());
    assert_eq!(owner(&victim), 0, "a file with two names is nobody's to give away");
    let made = folder.create_new("made", 0o640).unwrap();
    folder.give(&made);
    assert_eq!(owner(&dir.path().join("made")), NOBODY);
    fs::remove_file(victim).unwrap();
}

#[test]
fn a_folder_stays_the_one_that_was_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let folder = Folder::make(&path, 0o750).unwrap();
    fs::rename(&path, dir.path().join("moved")).unwrap();
    fs::create_dir(&path).unwrap();
    folder.create_new("lock", 0o640).unwrap();
    assert!(dir.path().join("moved/lock").exists() && !path.join("lock").exists());
}

#[test]
fn an_atomic_file_is_there_whole_with_its_mode_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("x.db");
    let names = || fs::read_dir(dir.path()).unwrap().count();
    let begun = AtomicFile::begin(&target, false, 0o600).unwrap();
    assert_eq!(fs::metadata(begun.part()).unwrap().permissions().mode() & 0o777, 0o600, "from the first byte on");
    begun.file().write_all(b"half").unwrap();
    drop(begun);
    assert_eq!(names(), 0, "nothing is left of what was given up");

    let begun = AtomicFile::begin(&target, false, 0o644).unwrap();
    begun.file().write_all(b"whole").unwrap();
    fs::write(&target, "somebody was faster").unwrap();
    assert_eq!(begun.finish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&target).unwrap(), "somebody was faster");
    assert_eq!(AtomicFile::begin(&target, false, 0o644).unwrap_err().kind(), io::ErrorKind::AlreadyExists);

    let begun = AtomicFile::begin(&target, true, 0o644).unwrap();
    begun.file().write_all(b"whole").unwrap();
    begun.finish().unwrap();
    assert_eq!((fs::read_to_string(&target).unwrap().as_str(), names()), ("whole", 1));
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
fn planted_names_are_neither_followed_nor_filled() {
    let dir = tempfile::tempdir().unwrap();
    let victim = dir.path().join("victim");
    fs::write(&victim, "dear").unwrap();
    let target = dir.path().join("x.db");
    // What an earlier version wrote through, and the target itself.
    symlink(&victim, dir.path().join("x.db.tmp")).unwrap();
    symlink(&victim, &target).unwrap();
    for replace in [false, true] {
        let error = AtomicFile::begin(&target, replace, 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "a link is neither followed nor replaced");
    }
    fs::remove_file(&target).unwrap();
    let begun = AtomicFile::begin(&target, true, 0o600).unwrap();
    begun.file().write_all(b"new").unwrap();
    begun.finish().unwrap();
    let mut text = String::new();
    File::open(&target).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), fs::read_to_string(&victim).unwrap().as_str()), ("new", "dear"));
    assert!(fs::symlink_metadata(&target).unwrap().is_file());
}

#[test]
fn what_is_no_regular_file_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for target in [socket.as_path(), Path::new("/dev/null")] {
        for replace in [false, true] {
            let error = AtomicFile::begin(target, replace, 0o600).unwrap_err();
            assert!(error.to_string().contains("no regular file"), "{}: {error}", target.display());
        }
    }
    // Also if it comes while the file is written.
    let target = dir.path().join("x.db");
    let begun = AtomicFile::begin(&target, true, 0o600).unwrap();
    symlink(&socket, &target).unwrap();
    assert_eq!(begun.finish().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert!(fs::symlink_metadata(&target).unwrap().is_symlink());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left of what was given up");
}

#[test]
fn what_was_taken_away_while_it_was_written_is_not_put_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("x.db");
    let begun = AtomicFile::begin(&target, false, 0o600).unwrap();
    fs::remove_file(begun.part()).unwrap();
    fs::write(begun.part(), "planted").unwrap();
    begun.finish().unwrap_err();
    assert!(!target.exists());
}

#[test]
fn what_a_killed_writer_left_is_cleared_away_and_what_is_written_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("x.db");
    let left = dir.path().join(format!("x.db.{}.tmp", "0".repeat(32)));
    let other = dir.path().join("x.db.notes.tmp");
    for path in [&left, &other] {
        fs::write(path, "half").unwrap();
    }
    let one = AtomicFile::begin(&target, false, 0o600).unwrap();
    assert!(!left.exists() && other.exists());
    let two = AtomicFile::begin(&target, true, 0o600).unwrap();
    assert!(one.part().exists(), "it is being written");
    two.finish().unwrap();
    one.finish().unwrap_err();
}
