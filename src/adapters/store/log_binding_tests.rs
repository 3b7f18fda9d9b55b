//! The number of the database, the salts of its log, and when they do not belong together.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{location::DATABASE_FILE, log_binding::has_foreign_log, *};

fn database(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join(DATABASE_FILE)
}

fn number(path: &Path) -> i32 {
    i32::from_be_bytes(fs::read(path).unwrap()[60..64].try_into().unwrap())
}

#[tokio::test]
async fn each_checkpoint_gives_the_database_a_new_number_and_a_copy_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let first = number(&database(&dir));
    for _ in 0..600 {
        store.probe().await.unwrap();
        assert!(store.replaced().is_none() && !has_foreign_log(dir.path()));
    }
    let second = number(&database(&dir));
    assert!(first > 0 && second > 0 && first != second, "checkpoints come by themselves: {first} {second}");
    let log = fs::metadata(dir.path().join("imagebaked.db-wal")).unwrap().len();
    assert!(log < 8 << 20, "the log is bounded: {log}");
    store.upkeep().await.unwrap();
    assert_ne!(number(&database(&dir)), second);
    let copy = dir.path().join("copy.db");
    store.reader().copy(&copy, &|_| ()).await.unwrap();
    assert_eq!(number(&copy), 0);
}

#[tokio::test]
async fn a_reader_that_holds_a_checkpoint_up_makes_no_database_foreign() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let before = number(&database(&dir));
    store.probe().await.unwrap();
    let mut reading = store.reader().pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM bakes").fetch_one(&mut *reading).await.unwrap();
    for _ in 0..3 {
        store.probe().await.unwrap();
        store.upkeep().await.unwrap();
        assert!(store.replaced().is_none() && !has_foreign_log(dir.path()));
    }
    reading.rollback().await.unwrap();
    store.upkeep().await.unwrap();
    assert_ne!(number(&database(&dir)), before);
    assert!(store.replaced().is_none());
}

#[tokio::test]
async fn another_database_in_its_place_is_noticed_and_its_file_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let copy = dir.path().join("copy.db");
    store.reader().copy(&copy, &|_| ()).await.unwrap();
    store.probe().await.unwrap();
    let bytes = fs::read(&copy).unwrap();
    fs::write(database(&dir), &bytes).unwrap();
    assert!(store.is_overwritten());
    assert!(matches!(store.probe().await.unwrap_err(), StoreError::Replaced { .. }));
    store.leave_overwritten().await;
    assert!(store.set_foreign_log_aside().unwrap().is_some() && store.set_foreign_log_aside().unwrap().is_none());
    assert!(fs::read(database(&dir)).unwrap() == bytes);
}

#[tokio::test]
async fn a_database_and_its_own_log_are_used_wherever_they_are_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    store.probe().await.unwrap();
    let old: Vec<_> = ["", "-wal"]
        .map(|suffix| dir.path().join(format!("{DATABASE_FILE}{suffix}")))
        .map(|path| (fs::read(&path).unwrap(), path))
        .into();
    for _ in 0..300 {
        store.probe().await.unwrap();
    }
    store.close().await;
    drop(store);
    for (bytes, path) in old {
        fs::write(path, bytes).unwrap();
    }
    assert!(!has_foreign_log(dir.path()), "both are older than what the lock file notes");
    Store::open(dir.path()).await.unwrap();
}
