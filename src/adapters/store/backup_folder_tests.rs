//! Scheduled backups: their names, what is removed, and what a failure leaves.

use std::os::unix::fs::PermissionsExt as _;

use chrono::TimeDelta;

use super::*;
use crate::adapters::store::Store;

fn noon() -> DateTime<Utc> {
    "2027-03-01T12:00:00Z".parse().unwrap()
}

fn names(folder: &BackupFolder) -> Vec<String> {
    folder.list().unwrap().into_iter().map(|file| file.name).collect()
}

fn everything(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_is_a_whole_history_of_the_time_in_its_name() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(&place.path().join("state")).await.unwrap();
    let folder = BackupFolder::new(&place.path().join("backups"), "prod/east");
    assert_eq!(folder.list().unwrap(), [], "there is no folder yet");
    let made = folder.back_up(store.reader(), noon() + TimeDelta::milliseconds(700)).await.unwrap();
    assert_eq!((made.name.as_str(), made.at), ("prod_east-20270301T120000Z.db", noon()));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join(&made.name)), 0o640);
    assert_eq!(folder.list().unwrap(), std::slice::from_ref(&made));
    let sum = format!("{}.sha256", made.name);
    assert_eq!(everything(folder.path()), [made.name.as_str(), &sum], "nothing else is left");
    let restored = place.path().join("other");
    let progress: super::super::Progress<'_> = &|_| ();
    super::super::restore(&restored, &folder.path().join(&made.name), "a test", noon(), progress).await.unwrap();

    let again = folder.back_up(store.reader(), noon()).await.unwrap_err();
    assert!(again.to_string().contains("cannot write"), "{again}");
    assert_eq!(folder.list().unwrap(), [made], "a backup is never replaced");
}

#[tokio::test]
async fn a_failed_backup_leaves_nothing_and_the_next_one_clears_what_a_kill_has_left() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(&place.path().join("state")).await.unwrap();
    let folder = BackupFolder::new(place.path(), "imagebaked");
    // A copy of something else is no backup.
    let other = place.path().join("state/other.db");
    fs::write(&other, "no database").unwrap();
    let reader = Reader::connect(&other).await.unwrap();
    folder.back_up(&reader, noon()).await.unwrap_err();
    assert_eq!(everything(place.path()), ["state"]);

    let left = format!("imagebaked-20270201T120000Z.db.{}.tmp", "0".repeat(32));
    let foreign = format!("golden.db.{}.tmp", "0".repeat(32));
    for name in [left.clone(), format!("{left}-journal"), foreign.clone()] {
        fs::write(place.path().join(name), "half").unwrap();
    }
    let made = folder.back_up(store.reader(), noon()).await.unwrap();
    let sum = format!("{}.sha256", made.name);
    assert_eq!(everything(place.path()), [foreign, made.name, sum, "state".into()]);
}

#[test]
fn only_our_own_backups_beyond_the_number_are_removed() {
    let place = tempfile::tempdir().unwrap();
    let folder = BackupFolder::new(place.path(), "imagebaked");
    let ours = ["20270226", "20270227", "20270228", "20270301"].map(|day| format!("imagebaked-{day}T030000Z.db"));
    // Of a clock that was ahead.
    let ahead = "imagebaked-20300101T030000Z.db";
    let others = [
        "backup.db",
        "imagebaked-20270101.db",
        "imagebaked-20270101T030000Z.db.gz",
        "imagebaked-20270101T030000.5Z.db",
        "imagebaked-20270132T030000Z.db",
        "other-20270101T030000Z.db",
        "imagebaked-x-20270101T030000Z.db",
    ];
    for name in ours.iter().map(String::as_str).chain(others).chain([ahead]) {
        fs::write(place.path().join(name), "").unwrap();
    }
    // Their checksums go with them.
    for name in &ours[..2] {
        write_checksum(&place.path().join(name), MODE).unwrap();
    }
    std::os::unix::fs::symlink(place.path().join("backup.db"), place.path().join("imagebaked-20270102T030000Z.db"))
        .unwrap();
    fs::create_dir(place.path().join("imagebaked-20270103T030000Z.db")).unwrap();
    let before = everything(place.path());

    assert_eq!(folder.newest(noon()).unwrap().unwrap().name, ours[3]);
    assert_eq!(folder.remove_beyond(4, noon()).unwrap(), [""; 0]);
    assert_eq!(folder.remove_beyond(2, noon()).unwrap(), ours[..2]);
    assert_eq!(names(&folder), [&ours[2..], &[ahead.to_owned()]].concat());
    let gone = |name: &String| ours[..2].iter().any(|ours| name.starts_with(ours));
    assert_eq!(everything(place.path()), before.into_iter().filter(|name| !gone(name)).collect::<Vec<_>>());
    let later = "2031-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(folder.remove_beyond(1, later).unwrap(), ours[2..], "once its time has come, it counts");
}
