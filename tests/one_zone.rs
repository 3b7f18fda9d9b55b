//! One answer has one zone: that of its schedules, wherever a time of it comes from, and whatever zone the host has.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{collections::BTreeSet, fs};

use support::{Cloud, Host, eventually};

const SCHEDULES: &str = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 * * *\"\n\
                         timezone = \"Asia/Shanghai\"\nkeep = { last = 1, grace = \"2d\" }\nchannels = { prod = {} }\n\n\
                         [[schedule]]\nname = \"lab\"\ninstance_id = \"ecd-2\"\ncron = \"0 4 * * *\"\n\
                         timezone = \"Asia/Shanghai\"\n\n[[schedule]]\nname = \"cad\"\ninstance_id = \"ecd-3\"\n\
                         cron = \"0 5 * * *\"\ntimezone = \"Asia/Shanghai\"\n";

/// The commands that show times.
const ANSWERS: [&[&str]; 22] = [
    &["status"],
    &["status", "--all"],
    &["status", "golden"],
    &["why", "golden"],
    &["why", "cad", "tomorrow 05:00"],
    &["why", "golden", "yesterday"],
    &["show", "1"],
    &["show", "3", "--all"],
    &["history"],
    &["history", "--since", "yesterday"],
    &["images"],
    &["images", "golden"],
    &["images", "--failed"],
    &["plan", "tonight"],
    &["plan"],
    &["plan", "golden"],
    &["prune", "--dry-run"],
    &["channels"],
    &["channels", "--history"],
    &["events"],
    &["audit"],
    &["doctor", "--no-probe"],
];

/// The offsets of a text: of the words like `+08:00` after a time of day.
fn offsets(text: &str) -> BTreeSet<&str> {
    let is_offset = |word: &&str| {
        word.len() == 6
            && word.starts_with(['+', '-'])
            && word.as_bytes()[3] == b':'
            && word[1..3].parse::<u8>().is_ok()
    };
    text.split(|c: char| c.is_whitespace() || ",;()".contains(c))
        .map(|word| word.trim_end_matches(['.', ':']))
        .filter(is_offset)
        .collect()
}

/// Asserts that each answer has times of this offset alone.
fn all_have(host: &Host, offset: &str, what: &str) {
    let mut seen = 0;
    for args in ANSWERS {
        // The host has a zone that no schedule has.
        let output = host.command(args).env("TZ", "America/New_York").output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let found = offsets(&text);
        assert!(found.iter().all(|one| *one == offset), "{what}: {args:?} has {found:?}:\n{text}");
        let raw = text.lines().find(|line| line.contains("T0") && line.contains("Z "));
        assert!(raw.is_none(), "{what}: {args:?} has an instant for programs: {raw:?}");
        seen += found.len();
    }
    assert!(seen > ANSWERS.len() / 2, "{what}: only {seen} answers have times");
}

#[test]
fn every_answer_has_the_zone_of_the_schedules() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, SCHEDULES);
    host.start();
    host.bake("golden");
    host.bake("lab");
    host.bake("golden");
    let image = host.bake("golden")["image_id"].as_str().unwrap().to_owned();
    cloud.add_faults(
        "[[fault]]\naction = \"CreateImageByInstance\"\ncode = \"Instance.ImageUnsupported\"\nstatus = 400\n",
    );
    host.bake("lab");
    host.expect(0, &["prune"]);
    host.expect(0, &["promote", &image, "prod"]);
    host.expect(0, &["pin", &image, "--until", "36h", "--reason", "test"]);
    host.expect(0, &["pause", "cad", "--until", "5d", "--reason", "patch day"]);
    eventually("the problem stands", || (host.run(&["status"]).status.code() == Some(5)).then_some(()));
    // One that is acknowledged shows until when.
    let code = host.json(5, &["status"])["health"]["problems"][0]["code"].as_str().unwrap().to_owned();
    host.expect(0, &["ack", &code, "--reason", "known", "--until", "2d"]);
    all_have(&host, "+08:00", "with a daemon");

    let text = fs::read_to_string(host.path("imagebaked.toml")).unwrap();
    fs::write(host.path("imagebaked.toml"), text.replace("* * *", "* *")).unwrap();
    all_have(&host, "+08:00", "with a broken file");
    let (out, _) = host.expect(0, &["pause", "cad", "--until", "6d", "--reason", "test"]);
    assert!(out.contains(" +08:00;"), "{out}");
    fs::write(host.path("imagebaked.toml"), text).unwrap();
    host.kill();
    all_have(&host, "+08:00", "without a daemon");
}
