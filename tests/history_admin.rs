//! What an operator does with the history: the audit, copies of it, schedules that come from a crontab.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{fs, io::Write as _, path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use support::{Cloud, Host, Running, eventually};

const FILE: &str = r#"
[[schedule]]
name = "golden"
instance_id = "ecd-1"
cron = "0 3 1 1 *"
[[schedule]]
name = "wrong"
id = "wrong-id"
instance_id = "ecd-wrong"
cron = "0 4 1 1 *"
"#;

/// Who this test is, as in the audit.
fn myself() -> String {
    use std::os::unix::fs::MetadataExt as _;
    let uid = fs::metadata("/proc/self").unwrap().uid();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|user| user[2] == uid.to_string());
    name.map_or_else(|| format!("uid {uid}"), |user| format!("uid {uid} ({})", user[0]))
}

fn column<'a>(lines: &'a Value, field: &str) -> Vec<&'a str> {
    lines["audit"].as_array().unwrap().iter().map(|line| line[field].as_str().unwrap()).collect()
}

#[test]
fn whatever_a_person_does_is_in_the_audit() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    host.expect(3, &["audit"]);
    host.start();
    assert!(host.expect(0, &["audit"]).0.starts_with("No matching line"));
    cloud.add_faults(
        "[[fault]]\naction = \"CreateImageByInstance\"\ninstance_id = \"ecd-wrong\"\ncode = \"Instance.ImageUnsupported\"\n\
         [[fault]]\naction = \"CreateImageByInstance\"\ninstance_id = \"ecd-1\"\ntimes = 0\ncode = \"ExceedBuilderQuota\"\n",
    );
    let failed = host.bake("wrong")["id"].to_string();
    host.expect(0, &["retry", &failed, "--wait"]);
    host.expect(0, &["bake", "golden"]);
    let waiting =
        host.until("it waits", &[], |bake| bake["state"] == "queued" && !bake["reason"].is_null())["id"].to_string();
    eventually("it is cancelled between two calls", || host.run(&["cancel", &waiting]).status.success().then_some(()));
    host.expect(0, &["pause", "golden", "--reason", "patch day"]);
    host.expect(0, &["resume", "golden"]);
    host.configure(cloud.addr, &FILE.replace("0 3 1", "0 5 1"));
    host.expect(0, &["reload"]);
    host.configure(cloud.addr, &FILE.replace("0 3 1", "0 99 1"));
    host.expect(2, &["reload"]);
    host.configure(cloud.addr, FILE);
    host.signal("HUP");
    eventually("the signal is noted", || (host.json(0, &["audit"])["audit"][0]["who"] == "SIGHUP").then_some(()));
    host.expect(0, &["reconcile", "--apply"]);

    let all = host.json(0, &["audit"]);
    let wanted =
        ["reconcile", "reload", "reload refused", "reload", "resume", "pause", "cancel", "bake", "retry", "bake"];
    let actions: Vec<_> = column(&all, "action");
    assert_eq!(actions, wanted, "{all:#}");
    let who = column(&all, "who");
    assert_eq!(who.iter().filter(|who| **who == "SIGHUP").count(), 1);
    assert_eq!(who.iter().filter(|who| **who == myself()).count(), who.len() - 1, "{all:#}");
    let details = column(&all, "detail").join("\n");
    let changed = "schedule golden: cron: ";
    let refused = "the former one stays in force: error";
    for report in ["patch day", "retry of bake 1", "bake 3 of golden on ecd-1", " instead of ", changed, refused] {
        assert!(details.contains(report), "{report}: {details}");
    }
    let ids: Vec<_> = all["audit"].as_array().unwrap().iter().map(|line| line["id"].as_i64().unwrap()).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
    assert!(column(&all, "at").iter().all(|at| at.ends_with('Z')));

    // Pages and filters.
    let only = |args: &[&str]| column(&host.json(0, &[&["audit"], args].concat()), "action").len();
    let mine = myself();
    let uid = mine.split(' ').nth(1).unwrap();
    assert_eq!(only(&["--who", "SIGHUP"]), 1);
    assert_eq!((only(&["--who", &mine]), only(&["--who", uid])), (actions.len() - 1, actions.len() - 1));
    assert_eq!((only(&["--who", "99999"]), only(&["--who", "ui"])), (0, 0));
    assert_eq!(
        (only(&["--action", "reload"]), only(&["--until", "1h"]), only(&["--since", "1h"])),
        (2, 0, actions.len())
    );
    assert_eq!(only(&["--before", &ids[1].to_string()]), actions.len() - 2);
    let (out, _) = host.expect(0, &["audit", "--limit", "2"]);
    assert!(out.ends_with(&format!("older ones: --before {}\n", ids[1])), "{out}");
    host.stop();
    assert_eq!(host.json(0, &["audit"]), all, "the daemon need not run");

    // Without the daemon it is the command that knows who types.
    let mut alone = host.command(&["reconcile", "--apply"]);
    let alone = alone.env("ALIBABA_CLOUD_ACCESS_KEY_ID", support::KEY_ID);
    assert!(alone.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", support::SECRET).output().unwrap().status.success());
    let who = format!("{mine}, without the daemon");
    assert_eq!(host.json(0, &["audit"])["audit"][0]["who"], who);
}

#[test]
fn a_slip_in_a_name_is_reported_with_what_was_meant() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    host.expect(3, &["plan", "--schedule", "gloden"]);
    let meant = |host: &Host, commands: &[&[&str]]| {
        for args in commands {
            let (out, err) = host.expect(3, args);
            assert!(
                out.is_empty() && err.contains(r#"no schedule "gloden"; did you mean "golden"?"#),
                "{args:?}: {err}"
            );
        }
    };
    let local: &[&[&str]] = &[&["plan", "--schedule", "gloden"], &["why", "gloden", "--at", "2027-01-01T03:00:00Z"]];
    let history: &[&[&str]] = &[&["history", "--schedule", "gloden"], &["images", "gloden"]];
    meant(&host, local);
    host.start();
    meant(&host, &[&["bake", "gloden"], &["pause", "gloden"], &["resume", "gloden"], &["adopt", "gloden", "imgc-1"]]);
    meant(&host, local);
    meant(&host, history);
    // What is known but has nothing to show is no slip.
    assert!(host.expect(0, &["history", "--schedule", "wrong-id"]).0.contains("No matching bake"));
    assert!(host.expect(3, &["images", "wrong"]).1.contains("no good image"));
    assert!(host.expect(3, &["show", "7"]).1.contains("none is recorded yet"));
    host.bake("golden");
    assert!(host.expect(3, &["show", "7"]).1.contains("the last one is 1"));
    // Gone from the file, still in the history.
    host.configure(cloud.addr, "[[schedule]]\nname = \"farm\"\ninstance_id = \"ecd-2\"\ncron = \"@yearly\"\n");
    host.expect(0, &["reload"]);
    assert_eq!(host.json(0, &["history", "--schedule", "golden"])["bakes"].as_array().unwrap().len(), 1);
    meant(&host, &history[..1]);
    let (_, err) = host.expect(3, &["bake", "gloden"]);
    assert!(err.contains("those there are: farm"), "{err}");
}

/// Some history of every kind: bakes that ended well and badly, calls, a pause, an audit.
fn some_history(cloud: &Cloud, host: &mut Host) {
    host.start();
    host.bake("golden");
    cloud.add_faults("[[fault]]\naction = \"CreateImageByInstance\"\ncode = \"Instance.ImageUnsupported\"\n");
    host.bake("wrong");
    host.expect(0, &["pause", "golden", "--reason", "a \"quoted\" word, 桌面, \\ and a\ttab"]);
}

fn names(host: &Host, folder: &str) -> Vec<String> {
    let all = fs::read_dir(host.path(folder)).unwrap();
    let mut names: Vec<_> = all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_backup_is_made_while_the_daemon_works_and_can_be_put_back() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    let copies = host.path("copies");
    fs::create_dir(&copies).unwrap();
    let file = copies.join("it's \"one\" backup.db");
    host.expect(3, &["backup", text(&file)]);
    some_history(&cloud, &mut host);
    let history = host.json(0, &["history"]);

    let report = host.json(0, &["backup", text(&file)])["backup"].clone();
    assert_eq!((report["rows"]["bakes"].as_u64(), report["rows"]["pauses"].as_u64()), (Some(2), Some(1)), "{report:#}");
    assert_eq!(report["bytes"].as_u64(), Some(fs::metadata(&file).unwrap().len()));
    let (_, err) = host.expect(2, &["backup", text(&file)]);
    assert!(err.contains("is there already; --force replaces it"), "{err}");
    let (out, _) = host.expect(0, &["backup", text(&file), "--force"]);
    assert!(out.contains("2 bakes, ") && out.contains("verified"), "{out}");
    let files = ["it's \"one\" backup.db", "it's \"one\" backup.db.sha256"];
    assert_eq!(names(&host, "copies"), files, "nothing else is left beside it");

    // Not where it would do harm, and not where there is no place.
    for name in ["imagebaked.db", "imagebaked.db-wal", "lock"] {
        let (_, err) = host.expect(2, &["backup", "--force", text(&host.path("state").join(name))]);
        assert!(err.contains("is the daemon's own"), "{err}");
    }
    host.expect(2, &["backup", text(&copies)]);
    host.expect(1, &["backup", text(&copies.join("none/x.db"))]);

    // More happens, then the history is lost.
    host.expect(0, &["resume", "golden"]);
    host.bake("golden");
    let (_, err) = host.expect(1, &["restore", text(&file)]);
    assert!(err.contains("another imagebaked is running"), "{err}");
    host.kill();
    // A byte of a text has become another one: the database does not notice, the checksum does.
    let sound = fs::read(&file).unwrap();
    let mut flipped = sound.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&file, &flipped).unwrap();
    let (_, err) = host.expect(1, &["restore", text(&file)]);
    assert!(err.contains("is damaged: its checksum is not that of"), "{err}");
    fs::write(&file, &sound).unwrap();
    let (out, _) = host.expect(0, &["restore", text(&file)]);
    assert!(out.contains("reconcile --apply") && !out.contains("checksum"), "{out}");
    assert_eq!(host.json(0, &["history"]), history);
    let audit = host.json(0, &["audit"])["audit"][0].clone();
    assert_eq!(
        (&audit["action"], audit["who"].as_str()),
        (&"restore".into(), Some(&*format!("{}, without the daemon", myself())))
    );

    // What was there is kept, and what the killed daemon had written last is not lost.
    let state = names(&host, "state");
    let kept = state.iter().find(|name| name.starts_with("imagebaked.db.before-restore-")).unwrap();
    host.expect(0, &["restore", text(&host.path("state").join(kept))]);
    assert_eq!(host.json(0, &["history"])["bakes"].as_array().unwrap().len(), 3);

    // After the way that the command names, the daemon goes on as if nothing had been.
    host.expect(0, &["restore", text(&file)]);
    let mut alone = host.command(&["reconcile", "--apply"]);
    let alone = alone.env("ALIBABA_CLOUD_ACCESS_KEY_ID", support::KEY_ID);
    assert!(alone.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", support::SECRET).output().unwrap().status.success());
    host.start();
    host.expect(0, &["resume", "golden"]);
    assert_eq!(host.bake("golden")["version"], 3, "no version is given twice");
}

#[test]
fn what_is_no_backup_is_not_put_in_place() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    some_history(&cloud, &mut host);
    let good = host.path("good.db");
    host.expect(0, &["backup", text(&good)]);
    host.stop();
    let before = host.json(0, &["history"]);
    let whole = fs::read(&good).unwrap();
    let mut broken = whole.clone();
    // Somewhere in the middle of its pages.
    for byte in &mut broken[40_960..45_000] {
        *byte ^= 0xa5;
    }
    let tries: [(&str, &[u8]); 4] =
        [("text.db", b"hello"), ("empty.db", b""), ("half.db", &whole[..whole.len() / 2]), ("broken.db", &broken)];
    for (name, bytes) in tries {
        let path = host.path(name);
        fs::write(&path, bytes).unwrap();
        let (_, err) = host.expect(1, &["restore", text(&path)]);
        assert!(err.contains(name), "{name}: {err}");
        assert_eq!(err.contains("is no backup"), ["text.db", "empty.db"].contains(&name), "{err}");
        assert!(!err.contains("is a database"), "{err}");
    }
    host.expect(3, &["restore", text(&host.path("none.db"))]);
    assert_eq!(host.json(0, &["history"]), before);
    let own = names(&host, "state").into_iter().filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    assert_eq!(own.collect::<Vec<_>>(), ["imagebaked.db", "lock"]);
}

#[test]
fn a_backup_that_is_killed_leaves_no_half_file() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    some_history(&cloud, &mut host);
    let file = host.path("killed.db");
    // Where it is killed is left to chance; that it is never half is not.
    let mut unfinished = 0;
    for n in 0..30 {
        let command = host.command(&["backup", text(&file)]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = Running(command.unwrap());
        std::thread::sleep(Duration::from_millis(n * 2));
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        if file.exists() {
            let other = Host::new(cloud.addr, FILE);
            other.expect(0, &["restore", text(&file)]);
            fs::remove_file(&file).unwrap();
        } else {
            unfinished += 1;
        }
    }
    assert!(unfinished > 0, "none was killed in time");
    host.expect(0, &["backup", text(&file)]);
    assert!(!host.path("killed.db.tmp").exists(), "what was left is cleared away");
}

#[test]
fn an_export_comes_back_byte_for_byte() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    let (one, two) = (host.path("one.json"), host.path("two.json"));
    host.expect(3, &["export"]);
    some_history(&cloud, &mut host);
    host.expect(0, &["export", text(&one)]);
    host.expect(2, &["export", text(&one)]);
    let (out, _) = host.expect(0, &["export"]);
    assert_eq!(out, fs::read_to_string(&one).unwrap(), "the same at standard output");
    let document: Value = serde_json::from_str(&out).unwrap();
    let rows = |table: &str| document["tables"][table].as_array().unwrap().len() as u64;
    for (table, promised) in document["imagebaked_ledger"]["rows"].as_object().unwrap() {
        assert_eq!(Some(rows(table)), promised.as_u64(), "{table}");
    }
    assert_eq!((rows("bakes"), rows("pauses"), rows("audit")), (2, 1, 3));
    assert_eq!(document["tables"]["bakes"][0]["state"], "succeeded");

    let (_, err) = host.expect(1, &["import", text(&one)]);
    assert!(err.contains("another imagebaked is running"), "{err}");
    host.stop();
    let (_, err) = host.expect(1, &["import", text(&one)]);
    assert!(err.contains("is not empty") && err.contains("never mixes two"), "{err}");

    let other = Host::new(cloud.addr, FILE);
    let (out, _) = other.expect(0, &["import", text(&one)]);
    assert!(out.contains("2 bakes, "), "{out}");
    other.expect(0, &["export", text(&two)]);
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap(), "{} and {}", one.display(), two.display());

    // In other words, the same: by another program, and through a pipe.
    let sorted = serde_json::to_string_pretty(&document).unwrap();
    // Where the cloud has images of ours, an empty history does not stay empty.
    let nothing = Cloud::start();
    let mut third = Host::new(nothing.addr, FILE);
    third.start();
    third.stop();
    let mut import = third.command(&["import", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(sorted.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success(), "a history that follows from the file alone is as good as none");
    assert_eq!(third.expect(0, &["export"]).0, fs::read_to_string(&one).unwrap());
    third.start();
    assert_eq!(third.json(0, &["history"]), host.json(0, &["history"]));
    assert_eq!(third.json(5, &["status"])["paused"][0]["schedule"], "golden");
}

#[test]
fn an_export_that_is_not_whole_is_refused_and_nothing_is_left_of_it() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    some_history(&cloud, &mut host);
    let (good, _) = host.expect(0, &["export"]);
    let other = Host::new(cloud.addr, FILE);
    let file = other.path("export.json");
    let end = good.len();
    let tries = [
        (good[..end / 2].to_owned(), "EOF while parsing"),
        (good[..end - 3].to_owned(), "EOF while parsing"),
        (format!("{good}x"), "trailing characters"),
        ("[1]".to_owned(), "what `imagebaked export` writes"),
        ("{\"bakes\":[]}".to_owned(), "does not begin with"),
        (good.replacen("\"format\":1", "\"format\":2", 1), "by a newer imagebaked (format 2)"),
        (good.replacen("\"migration\":", "\"migration\":99", 1), "by a newer imagebaked (migration 99"),
        (good.replacen("\"bakes\":2", "\"bakes\":3", 1), "of \"bakes\" it promises 3 rows and has 2"),
        (
            good.replacen("\"state\":\"succeeded\"", "\"state\":\"excellent\"", 1),
            "row 1 of \"bakes\": \"excellent\" is no state",
        ),
        (
            good.replacen("\"id\":1,\"schedule_id\"", "\"id\":\"x\",\"schedule_id\"", 1),
            "rows 1 to 2 of \"bakes\" do not fit",
        ),
        (good.replacen("\"task_id\":", "\"task\":", 1), "row 1 of \"bakes\": it has no \"task_id\""),
        (good.replacen("\"task_id\":", "\"more\":1,\"task_id\":", 1), "row 1 of \"bakes\": \"more\" is not known"),
        (good.replacen("\"bake_id\":1", "\"bake_id\":7", 1), "inconsistent"),
        (good.replacen("\"audit\":[", "\"secrets\":[", 1), "there is no table \"secrets\""),
    ];
    for (bad, words) in tries {
        assert_ne!(bad, good, "{words}");
        fs::write(&file, bad).unwrap();
        let (out, err) = other.expect(1, &["import", text(&file)]);
        assert!(out.is_empty() && err.contains(words), "{words}: {err}");
        assert_eq!(names(&other, "state"), ["lock"], "{words}");
    }
    other.expect(3, &["import", text(&other.path("none.json"))]);
    fs::write(&file, good).unwrap();
    other.expect(0, &["import", text(&file)]);
}

#[test]
fn what_root_puts_into_the_daemons_folder_is_the_daemons() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    some_history(&cloud, &mut host);
    let (document, copy) = (host.path("export.json"), host.path("copy.db"));
    host.expect(0, &["export", text(&document)]);
    host.expect(0, &["backup", text(&copy)]);
    let other = Host::new(cloud.addr, FILE);
    let state = other.path("state");
    fs::create_dir(&state).unwrap();
    if chown(&state, Some(4242), Some(4343)).is_err() {
        // Nobody else can give files away, so there is nothing to see.
        return;
    }
    for args in [["import", text(&document)], ["restore", text(&copy)]] {
        other.expect(0, &args);
        for entry in fs::read_dir(&state).unwrap() {
            let entry = entry.unwrap();
            let owner = entry.metadata().unwrap();
            assert_eq!((owner.uid(), owner.gid()), (4242, 4343), "{args:?}: {:?}", entry.file_name());
        }
    }
}

const CRONTAB: &str = r#"# m h dom mon dow command
SHELL=/bin/sh
MAILTO="ops@example.com"
ALIBABA_CLOUD_ACCESS_KEY_SECRET=ThisIsNotToBeSeen

# the golden desktop, weekdays
0 3 * * 1-5   /opt/bake/bake-image.sh --instance ecd-7w78ozhjcwa3u >> /var/log/bake.log 2>&1
*/30 9-17 1,15 * fri  /opt/bake/bake-image.sh ecd-7w78ozhjcwa3u

CRON_TZ=Europe/Berlin
30 4 * * sun  /opt/bake/farm.py ws-0cf1d2e3a4b5 ws-1a2b3c4d5e6f --access-key-secret ThisIsNotToBeSeen
#0 5 * * * /opt/bake/bake-image.sh ecd-retired01
@reboot       /opt/bake/bake-image.sh ecd-7w78ozhjcwa3u
15 2 * * *    /usr/bin/certbot renew
0 25 * * *    /opt/bake/bake-image.sh ecd-8a8b8c8d8e8f8
"#;

#[test]
fn a_crontab_becomes_schedules_that_pass_the_check() {
    let cloud = Cloud::start();
    let host = Host::new(cloud.addr, "");
    fs::write(host.path("crontab"), CRONTAB).unwrap();
    let args = ["crontab", "import", "--timezone", "Asia/Shanghai"];
    let from = host.path("crontab");
    let (out, _) = host.expect(0, &[&args[..], &[text(&from)]].concat());
    assert!(!out.contains("ThisIsNotToBeSeen"), "{out}");
    insta::assert_snapshot!(out);

    host.configure(cloud.addr, &out);
    let report = host.json(0, &["check", "--next", "9"]);
    assert_eq!((report["schedules"].as_u64(), &report["ok"]), (Some(3), &Value::Bool(true)), "{report:#}");

    let report = host.json(0, &[&args[..], &[text(&from)]].concat());
    assert_eq!(report["schedules"][2]["instance_ids"][1], "ws-1a2b3c4d5e6f");
    assert_eq!((report["schedules"].as_array().unwrap().len(), report["left_out"].as_array().unwrap().len()), (3, 6));

    // By standard input, in the format of /etc/crontab, and where there is nothing to take over.
    let mut child = host.command(&["crontab", "import", "--system"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"CRON_TZ=UTC\n0 3 * * * root bake ecd-1\n").unwrap();
    let report = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(report.contains("# was line 2: bake ecd-1\n[[schedule]]\nname = \"ecd-1\"\n"), "{report}");
    fs::write(&from, "15 2 * * * /usr/bin/certbot renew\n").unwrap();
    let (_, err) = host.expect(0, &[&args[..], &[text(&from)]].concat());
    assert!(err.contains("no line names an instance"), "{err}");
    host.expect(3, &["crontab", "import", "/none/such"]);
    host.expect(2, &["crontab", "import", "--timezone", "Mars/Base"]);
}

#[test]
fn output_names_what_was_done() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    some_history(&cloud, &mut host);
    let (copy, document) = (host.path("copy.db"), host.path("export.json"));
    let report = |host: &Host, args: &[&str]| format!("== {}\n{}\n", args[0], host.expect(0, args).0);
    let mut all = report(&host, &["audit"]);
    all.push_str(&report(&host, &["audit", "--limit", "1"]));
    all.push_str(&report(&host, &["audit", "--action", "unpin"]));
    all.push_str(&report(&host, &["backup", text(&copy)]));
    all.push_str(&report(&host, &["export", text(&document)]));
    host.stop();
    all.push_str(&report(&host, &["restore", text(&copy)]));
    let other = Host::new(cloud.addr, FILE);
    all.push_str(&report(&other, &["import", text(&document)]));
    insta::with_settings!({ filters => [
        (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? [+-]\d\d:\d\d", "[time]"),
        (r"\b(now|\d+[dhms]+( \d+[hms])? ago)  ", "[span]  "),
        (r"uid \d+( \([\w-]+\))?", "uid [uid]"),
        (r"took \d+m?s", "took [time]"),
        (r"\d+ rows in all", "[n] rows in all"),
        (r"\d+\.\d [KM]iB", "[size]"),
        (r"/\S+/(state|copy\.db|export\.json)", "[folder]/$1"),
        (r"before-restore-\S+Z", "before-restore-[instant]"),
        (r" {2,}", "  "),
    ] }, { insta::assert_snapshot!(all) });
}

#[test]
fn a_restore_keeps_pins_and_vetoes_and_says_what_is_lost() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, &FILE.replacen("cron", "keep = { last = 1, grace = \"1h\" }\ncron", 1));
    host.start();
    let images: Vec<String> = (0..3).map(|_| host.bake("golden")["image_id"].as_str().unwrap().to_owned()).collect();
    host.run(&["prune"]);
    let marked = |host: &Host| {
        let report = host.json(0, &["images", "golden"]);
        let images = report["images"].as_array().unwrap().clone();
        images.iter().filter(|image| image["deletion"] == "marked").count()
    };
    assert!(marked(&host) > 0);
    let file = host.path("copy.db");
    host.expect(0, &["backup", text(&file)]);
    host.expect(0, &["pin", &images[0], "--reason", "golden master"]);
    host.expect(0, &["veto", &images[1], "--reason", "no sound"]);
    host.expect(0, &["pause", "wrong", "--reason", "it's late"]);
    host.kill();
    let (out, _) = host.expect(0, &["restore", text(&file)]);
    assert!(out.contains("The backup ends ") && out.contains("pins 1, vetoes 1"), "{out}");
    assert!(
        out.contains("the pause of wrong-id: ") && out.contains(" pause wrong-id --reason 'it'\\''s late'"),
        "{out}"
    );
    assert!(out.contains("Marks begin anew"), "{out}");
    let shown = host.json(0, &["images", "golden"]).to_string();
    assert!(shown.contains("golden master") && shown.contains("no sound"), "{shown}");
    // Its images may be gone by now.
    let latest = |host: &Host| host.json(0, &["channels", "golden"])["channels"][0].clone();
    assert_eq!(latest(&host)["image_id"], Value::Null);
    assert!(latest(&host)["why"].as_str().unwrap().starts_with("not compared with the cloud yet"));

    host.start();
    eventually("the start says it", || host.log().contains("marks begin anew with a whole grace").then_some(()));
    eventually("its channels are compared", || (latest(&host)["image_id"] == images[2].as_str()).then_some(()));
    eventually("old marks are gone", || {
        let audit = host.json(0, &["audit"]);
        column(&audit, "detail").iter().any(|detail| detail.contains("their grace begins anew")).then_some(())
    });
    let events = host.json(0, &["events", "--limit", "0"]).to_string();
    assert!(events.contains("lost since then: the pause of wrong-id"), "{events}");

    // Where the former history is damaged, nothing can be taken over, and that is said.
    host.stop();
    fs::write(host.path("state/imagebaked.db"), b"no database").unwrap();
    let (out, _) = host.expect(0, &["restore", text(&file)]);
    assert!(out.contains("What people decided since then is lost") && out.contains("It is not known what"), "{out}");
}
