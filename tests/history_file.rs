//! The file of the history, from outside: a disk that is full, files that are deleted, moved or replaced while the daemon runs,
//! copies that are older than the cloud, and folders in which others can plant names.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use support::{Cloud, Host, eventually};

const GOLDEN: &str = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 1 1 *\"\n";
const STOPPED: &str =
    "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 1 1 *\"\nstop_instance = \"required\"\n";
const OFTEN: &str = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"*/2 * * * * *\"\n\
                     catch_up = \"all\"\nimage_name = \"{name}-{slot:%Y%m%d-%H%M%S}-v{version}\"\n";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn status(host: &Host) -> (Option<i32>, String) {
    let report = host.run(&["status"]);
    (report.status.code(), String::from_utf8(report.stdout).unwrap() + &String::from_utf8(report.stderr).unwrap())
}

fn instance_status(cloud: &Cloud) -> String {
    let state = cloud.state();
    let instances = state["instances"].as_array().unwrap();
    instances.iter().find(|one| one["instance_id"] == "ecd-1").unwrap()["status"].as_str().unwrap().to_owned()
}

/// Waits until the newest bake is this far.
fn until_state(host: &Host, state: &str) {
    host.until(state, &[], |bake| bake["state"] == state);
}

// Disks

/// Where the daemon's files may not grow any more, as on a full disk; `None`: they may again.
fn limit_files(host: &Host, bytes: Option<u64>) {
    let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let mut command = Command::new("prlimit");
    command.args(["--pid", &host.pid().to_string(), &format!("--fsize={limit}:unlimited")]);
    assert!(command.status().unwrap().success());
}

/// A daemon that gets an error for a file that is too large, as for a full disk, and not a signal.
fn start_limitable(host: &mut Host) {
    let daemon = host.command(&["run"]);
    let mut command = Command::new("sh");
    command.env_clear().args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(daemon.get_program());
    command.envs(support::environment_of(&daemon)).args(daemon.get_args()).stdin(std::process::Stdio::null());
    host.start_by(command);
}

#[test]
fn a_disk_that_fills_up_stops_nothing_for_good() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        eprintln!("skipped: there is no prlimit");
        return;
    }
    let cloud = Cloud::with(&["--open", "--build-time", "1s", "--power-time", "200ms", "--builders", "50"]);
    let mut host = Host::new(cloud.addr, STOPPED);
    start_limitable(&mut host);
    host.bake("golden");
    host.expect(0, &["bake", "golden"]);
    until_state(&host, "building");
    limit_files(&host, Some(fs::metadata(host.path("state/imagebaked.db-wal")).unwrap().len()));
    // The image is done, and that cannot be written.
    let report = eventually("the status reports it", || {
        let (code, report) = status(&host);
        (code == Some(5) && report.contains("disk I/O error")).then_some(report)
    });
    let health = serde_json::from_slice::<serde_json::Value>(&host.run(&["status", "--json"]).stdout).unwrap();
    let problems = health["health"]["problems"].as_array().unwrap();
    let since = problems.iter().find(|problem| problem["code"] == "history_unwritable").map(|one| &one["since"]);
    assert!(since.is_some_and(|since| since.as_str().unwrap().ends_with('Z')), "{report}: {health:#}");
    assert_eq!(instance_status(&cloud), "Stopped", "no start is sent whose intent was not committed");
    // Orders, of every kind, are answered with the reason.
    for order in [&["bake", "golden"][..], &["pause", "golden", "--reason", "x"], &["reload"]] {
        let done = host.run(order);
        let err = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.code() == Some(1) && err.contains("disk I/O error"), "{order:?}: {err}");
    }
    limit_files(&host, None);
    host.until("it goes on by itself", &[], |bake| bake["state"] == "succeeded");
    assert_eq!(cloud.calls("CreateImageByInstance", None).len(), 2, "one for each bake");
    eventually("the instance runs again", || (instance_status(&cloud) == "Running").then_some(()));
    eventually("all is well again", || (status(&host).0 == Some(0)).then_some(()));
    host.bake("golden");
    host.stop();
}

// Names

#[test]
fn a_database_that_is_removed_costs_no_image_and_leaves_no_instance_off() {
    // Longer than a slow machine takes to ask for the status.
    let cloud = Cloud::with(&["--open", "--build-time", "10s", "--power-time", "200ms", "--builders", "50"]);
    let mut host = Host::new(cloud.addr, STOPPED);
    host.start();
    host.expect(0, &["bake", "golden"]);
    until_state(&host, "building");
    fs::remove_file(host.path("state/imagebaked.db")).unwrap();
    eventually("the status reports it", || status(&host).1.contains("was removed").then_some(()));
    assert_eq!(status(&host).0, Some(5));
    let (_, err) = host.expect(1, &["bake", "golden"]);
    assert!(err.contains("was removed"), "{err}");
    assert_eq!(host.ended(), Some(1), "{}", host.log());
    assert_eq!(instance_status(&cloud), "Running", "{}", host.log());
    // What was in it is where it was.
    host.start();
    let bake = host.until("it is known", &[], |bake| bake["state"] == "succeeded");
    assert_eq!(bake["version"], 1);
    assert_eq!(host.bake("golden")["version"], 2);
    assert_eq!(cloud.images("ecd-1").len(), 2);
}

#[test]
fn a_database_that_is_replaced_is_left_as_it_is_and_what_was_there_is_saved() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    host.bake("golden");
    let copy = host.path("copy.db");
    host.expect(0, &["backup", text(&copy)]);
    host.bake("golden");
    // As `mv` does it.
    fs::copy(&copy, host.path("state/copy.db")).unwrap();
    fs::rename(host.path("state/copy.db"), host.path("state/imagebaked.db")).unwrap();
    assert_eq!(host.ended(), Some(1), "{}", host.log());
    assert!(fs::read(host.path("state/imagebaked.db")).unwrap() == fs::read(&copy).unwrap(), "not a byte of it");
    let saved: Vec<PathBuf> = fs::read_dir(host.path("state"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| text(path).contains("imagebaked.db.saved-"))
        .collect();
    assert_eq!(saved.len(), 1, "{saved:?}");
    let (out, _) = host.expect(0, &["restore", text(&saved[0])]);
    assert!(out.contains("2 bakes"), "{out}");
    host.start();
    assert_eq!(host.bake("golden")["version"], 3);
}

/// Puts `copy` in the place of the database.
type Put = fn(&Path, &Path);

/// As `mv` and `cp` do it.
const PUTS: [(&str, Put); 2] = [
    ("moved over", |copy, database| {
        let beside = database.with_file_name("incoming");
        fs::copy(copy, &beside).unwrap();
        fs::rename(beside, database).unwrap();
    }),
    ("copied over", |copy, database| fs::write(database, fs::read(copy).unwrap()).unwrap()),
];

/// Files of the former history that were moved aside.
fn logs_aside(host: &Host) -> usize {
    files(host).iter().filter(|(path, _)| text(path).contains("imagebaked.db-wal.of-another-file")).count()
}

#[test]
fn a_database_that_another_takes_the_place_of_never_meets_the_old_log() {
    for (words, put) in PUTS {
        for is_killed in [false, true] {
            let cloud = Cloud::start();
            let mut host = Host::new(cloud.addr, GOLDEN);
            let (database, copy) = (host.path("state/imagebaked.db"), host.path("copy.db"));
            host.start();
            host.bake("golden");
            host.expect(0, &["backup", text(&copy)]);
            for _ in 0..3 {
                host.bake("golden");
            }
            if is_killed {
                host.kill();
                put(&copy, &database);
                let (_, err) = host.expect(7, &["history"]);
                assert!(err.contains("write-ahead log"), "{words}: {err}");
            } else {
                put(&copy, &database);
                assert_eq!(host.ended(), Some(1), "{words}: {}", host.log());
                assert!(fs::read(&database).unwrap() == fs::read(&copy).unwrap(), "{words}: not a byte of it");
                assert_eq!(logs_aside(&host), 1, "{words}: {}", host.log());
            }
            host.start();
            assert_eq!(logs_aside(&host), 1, "{words}: {}", host.log());
            assert_eq!(
                host.bake("golden")["version"],
                5,
                "{words}: the versions of the lost bakes are not given again"
            );
            host.stop();
            let (out, _) = host.expect(0, &["backup", text(&host.path("after.db"))]);
            assert!(out.contains("bakes"), "{words}: it is sound: {out}");
        }
    }
}

#[test]
fn files_that_go_beside_the_database_cost_nothing() {
    let cloud = Cloud::start();
    for (what, name) in [("log", "imagebaked.db-wal"), ("index", "imagebaked.db-shm"), ("lock", "lock")] {
        let mut host = Host::new(cloud.addr, GOLDEN);
        host.start();
        let bakes = [host.bake("golden"), host.bake("golden")];
        fs::remove_file(host.path("state").join(name)).unwrap();
        assert_eq!(host.ended(), Some(1), "{what}: {}", host.log());
        assert!(host.log().contains("was removed or moved"), "{what}: {}", host.log());
        host.start();
        for bake in &bakes {
            assert_eq!(host.show(&bake["id"])["image_id"], bake["image_id"], "{what}");
        }
        assert!(host.bake("golden")["version"].as_u64() > bakes[1]["version"].as_u64(), "{what}");
        host.stop();
    }
}

#[test]
fn a_state_directory_that_is_moved_ends_the_daemon_and_goes_on_where_it_is_put_back() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    host.bake("golden");
    fs::rename(host.path("state"), host.path("moved")).unwrap();
    assert_eq!(host.ended(), Some(1), "{}", host.log());
    let _ = fs::remove_dir_all(host.path("state"));
    fs::rename(host.path("moved"), host.path("state")).unwrap();
    host.start();
    assert_eq!(host.bake("golden")["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_goes_back_in_its_place_ends_the_daemon_and_the_next_start_searches_first() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    host.bake("golden");
    cloud.add_faults("[[fault]]\naction = \"CreateImageByInstance\"\ntimes = 1\ndelay = \"3s\"\n");
    host.expect(0, &["bake", "golden"]);
    until_state(&host, "creating");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(host.path("state/imagebaked.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("DELETE FROM attempts WHERE bake_id = 2").execute(&pool).await.unwrap();
    assert_eq!(sqlx::query("DELETE FROM bakes WHERE id = 2").execute(&pool).await.unwrap().rows_affected(), 1);
    pool.close().await;
    assert_eq!(host.ended(), Some(1), "{}", host.log());
    assert!(host.log().contains("the history went back under the running daemon"), "{}", host.log());
    host.start();
    assert!(host.log().contains("was not closed in order"), "{}", host.log());
    let searches = cloud.calls("ListImage", None).len();
    host.bake("golden");
    assert!(cloud.calls("ListImage", None).len() > searches);
    host.stop();
}

// Copies

/// How many images each slot has.
fn images_of_slots(cloud: &Cloud) -> BTreeMap<String, usize> {
    let mut slots = BTreeMap::new();
    for image in cloud.images("ecd-1") {
        *slots.entry(image["tags"]["imagebaked:slot"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    slots
}

fn succeeded(host: &Host) -> usize {
    let bakes = host.json(0, &["history", "--limit", "1000"]);
    bakes["bakes"].as_array().unwrap().iter().filter(|bake| bake["state"] == "succeeded").count()
}

/// Files with what is in them.
type Files = Vec<(PathBuf, Vec<u8>)>;

/// Every file of the history.
fn files(host: &Host) -> Files {
    let mut files = host.files();
    files.retain(|(path, _)| text(path).contains("state/imagebaked.db"));
    files
}

fn put_back(host: &Host, old: &Files) {
    for (path, _) in files(host) {
        fs::remove_file(path).unwrap();
    }
    for (path, bytes) in old {
        fs::write(path, bytes).unwrap();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// The whole folder with the marks in it, as after a snapshot of the machine.
fn put_back_whole(host: &Host, _: &Files) {
    fs::remove_dir_all(host.path("state")).unwrap();
    copy_folder(&host.path("whole"), &host.path("state"));
}

/// Some nights; an older state of the history, by `go_back`; some more. No slot may have two images.
fn goes_back(words: &str, end: fn(&mut Host), go_back: fn(&Host, &Files)) {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, OFTEN);
    host.start();
    eventually("an image", || (succeeded(&host) >= 1).then_some(()));
    end(&mut host);
    let old = files(&host);
    copy_folder(&host.path("state"), &host.path("whole"));
    host.start();
    let many = images_of_slots(&cloud).len() + 3;
    eventually("more images", || (succeeded(&host) >= many).then_some(()));
    end(&mut host);
    let before = images_of_slots(&cloud).len();
    go_back(&host, &old);
    host.start();
    eventually("and more", || (succeeded(&host) >= before + 2).then_some(()));
    host.stop();
    let slots = images_of_slots(&cloud);
    assert!(slots.values().all(|images| *images == 1), "{words}: {slots:?}\n{}", host.log());
    // Versions are given once, too.
    let mut versions: Vec<_> =
        cloud.images("ecd-1").iter().map(|image| image["tags"]["imagebaked:version"].to_string()).collect();
    let all = versions.len();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), all, "{words}");
}

#[test]
fn a_history_that_went_back_after_an_orderly_end_makes_no_slot_twice() {
    goes_back("copied over", Host::stop, put_back);
}

#[test]
fn a_history_that_went_back_after_a_kill_makes_no_slot_twice() {
    goes_back("copied over", Host::kill, put_back);
}

#[test]
fn a_whole_folder_that_was_put_back_makes_no_slot_twice() {
    goes_back("the whole folder", Host::stop, put_back_whole);
}

#[test]
fn a_whole_folder_that_was_put_back_is_reported_and_goes_on_after_the_cloud() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    host.bake("golden");
    host.stop();
    copy_folder(&host.path("state"), &host.path("whole"));
    host.start();
    assert!(!host.log().contains("older than the cloud"), "{}", host.log());
    host.bake("golden");
    host.stop();
    put_back_whole(&host, &Files::new());
    // No bake begins before the cloud has listed its images.
    cloud.add_faults("[[fault]]\naction = \"ListImage\"\ntimes = 1\ndelay = \"2s\"\n");
    host.start();
    host.expect(0, &["bake", "golden"]);
    let third = host.until("it has ended", &["golden"], |bake| bake["state"] == "succeeded");
    assert_eq!(third["version"], 3, "{}", host.log());
    let rows = host.json(0, &["history"]);
    let versions: Vec<_> = rows["bakes"].as_array().unwrap().iter().map(|bake| bake["version"].clone()).collect();
    assert_eq!(versions.len(), 3, "{versions:?}");
    let events = host.json(0, &["events"]).to_string();
    assert!(events.contains("golden has v2 in the cloud, v1 here"), "{events}");
    assert_eq!(host.run(&["reconcile"]).status.code(), Some(0));
    // Said once.
    host.stop();
    host.start();
    assert_eq!(host.log().matches("is older than the cloud").count(), 1, "{}", host.log());
}

#[test]
fn a_log_that_was_lost_makes_no_slot_twice() {
    goes_back("the log lost", Host::kill, |host, _| {
        fs::remove_file(host.path("state/imagebaked.db-wal")).unwrap();
        fs::remove_file(host.path("state/imagebaked.db-shm")).unwrap();
    });
}

#[test]
fn a_restored_backup_makes_no_slot_twice() {
    for end in [Host::stop as fn(&mut Host), Host::kill] {
        goes_back("restored", end, |host, old| {
            let copy = host.path("old");
            fs::create_dir(&copy).unwrap();
            for (path, bytes) in old {
                fs::write(copy.join(path.file_name().unwrap()), bytes).unwrap();
            }
            host.expect(0, &["restore", text(&copy.join("imagebaked.db"))]);
        });
    }
}

#[test]
fn a_lost_history_makes_no_slot_twice() {
    goes_back("lost", Host::stop, |host, _| put_back(host, &Files::new()));
}

/// As a newer version leaves a history.
async fn migrate_further(path: &Path) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
               VALUES (9999, 'of tomorrow', 1, x'00', 1)";
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
}

#[tokio::test]
async fn an_emptied_damaged_or_foreign_file_is_not_taken_for_a_new_history() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    host.stop();
    let path = host.path("state/imagebaked.db");
    let sound = fs::read(&path).unwrap();
    // A header, and no table.
    let foreign = [&sound[..100], &[0x0d], &[0; 4095 - 100]].concat();
    // Damage: pages of 4 KiB, the schema is in the first.
    let mut torn = sound.clone();
    for page in torn.chunks_mut(4096).skip(1) {
        page[..64].fill(0x5a);
    }
    let mut headless = sound.clone();
    headless[..64].fill(0);
    let newer = host.path("newer.db");
    fs::write(&newer, &sound).unwrap();
    migrate_further(&newer).await;
    for bytes in [vec![], b"hello".to_vec(), foreign, torn, headless, fs::read(&newer).unwrap()] {
        fs::write(&path, &bytes).unwrap();
        // The service manager does not start it again for this code.
        host.expect(7, &["run"]);
        assert!(fs::read(&path).unwrap() == bytes, "it was left as it is");
    }
    fs::write(&path, sound).unwrap();
    host.start();
    host.bake("golden");
}

// Planted names

const NOBODY: u32 = 65534;

#[test]
fn root_follows_no_link_in_a_state_directory_of_somebody_else() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, GOLDEN);
    if fs::metadata(host.path("keys")).unwrap().uid() != 0 {
        eprintln!("skipped: only root can work in folders of other users");
        return;
    }
    host.start();
    host.bake("golden");
    let (copy, export) = (host.path("copy.db"), host.path("export.json"));
    host.expect(0, &["backup", text(&copy)]);
    host.expect(0, &["export", text(&export)]);
    host.stop();
    let victim = host.path("victim");
    fs::write(&victim, "").unwrap();
    let orders: [&[&str]; 3] = [&["restore", text(&copy)], &["import", text(&export)], &["run"]];
    let names = ["lock", "imagebaked.db", "imagebaked.db-wal", "imagebaked.db.incoming", "imagebaked.db.first"];
    for order in orders {
        for name in names {
            for is_hard in [false, true] {
                fs::remove_dir_all(host.path("state")).unwrap();
                fs::create_dir(host.path("state")).unwrap();
                chown(host.path("state"), Some(NOBODY), Some(NOBODY)).unwrap();
                let planted = host.path("state").join(name);
                if is_hard {
                    fs::hard_link(&victim, &planted).unwrap();
                } else {
                    symlink(&victim, &planted).unwrap();
                }
                let mut child = support::Running(host.command(order).spawn().unwrap());
                // Most are refused; a daemon that starts all the same has not gone by that name.
                eventually("it has ended, or is ready", || {
                    let ended = child.0.try_wait().unwrap().is_some();
                    (ended || host.path("control.sock").exists()).then_some(())
                });
                drop(child);
                let _ = fs::remove_file(host.path("control.sock"));
                let (metadata, bytes) = (fs::metadata(&victim).unwrap(), fs::read(&victim).unwrap());
                let words = format!("{order:?} {name} {is_hard}");
                assert_eq!((metadata.uid(), bytes.len()), (0, 0), "{words}");
            }
        }
    }
}

#[test]
fn a_backup_goes_past_names_that_others_planted() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, GOLDEN);
    host.start();
    host.bake("golden");
    let folder = host.path("shared");
    fs::create_dir(&folder).unwrap();
    let victim = host.path("victim");
    fs::write(&victim, "dear").unwrap();
    symlink(&victim, folder.join("x.db.tmp")).unwrap();
    let target = folder.join("x.db");
    for order in ["backup", "export"] {
        host.expect(0, &[order, text(&target), "--force"]);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "dear");
        let made = fs::symlink_metadata(&target).unwrap();
        assert_eq!((made.is_file(), made.mode() & 0o777), (true, 0o600), "{order}");
    }
    host.stop();
}
