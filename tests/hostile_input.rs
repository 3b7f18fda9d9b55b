//! Hostile input: any bytes in each place where text comes in, names with escape sequences through the commands, idle
//! clients.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

#[path = "../fuzz/src/json.rs"]
mod json_mutations;
#[path = "../fuzz/src/targets.rs"]
mod targets;

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use imagebaked::{adapters::config, domain::text::is_hidden};
use serde_json::{Value, json};
use support::{BOUND, Cloud, Host};

/// Calls a target of the fuzzer with its corpus, and for `limit` with mutations of it: of its bytes, and of JSON as JSON.
fn run(name: &str, limit: Duration, target: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(!corpus.is_empty(), "{}", folder.display());
    for input in &corpus {
        target(input);
    }
    let seed = support::number("SEED", 1);
    let (mut random, begun, mut runs) = (fastrand::Rng::with_seed(seed), Instant::now(), 0);
    while begun.elapsed() < limit {
        let input = mutated(&corpus, &mut random);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(&input)));
        assert!(outcome.is_ok(), "SEED={seed}, run {runs} of {name}: {:?}", String::from_utf8_lossy(&input));
        runs += 1;
    }
    println!("{name}: {runs} mutated inputs");
}

fn mutated(corpus: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    const BYTES: &[&[u8]] = &[
        b"\0",
        b"\x1b[2J",
        b"\n",
        b"\r\n",
        b"\"",
        b"'",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"*",
        b"/",
        b"%",
        b"#",
        b"-",
        b"0",
        b"99999999999999999999",
        b"\\u0000",
        b"\xff",
        "\u{202e}".as_bytes(),
        "中".as_bytes(),
        b"null",
        b"=",
    ];
    let mut input = corpus[random.usize(..corpus.len())].clone();
    // The first byte of an answer is no part of the JSON.
    let prefix = usize::from(!input.starts_with(b"{"));
    if random.bool()
        && let Some(mutated) = input.get(prefix..).and_then(|text| json_mutations::mutated(text, random))
    {
        input.truncate(prefix);
        input.extend(mutated);
        return input;
    }
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=input.len());
        let until = random.usize(at..=input.len().min(at + 8));
        let piece = match random.u8(..4) {
            0 => Vec::new(),
            1 => BYTES[random.usize(..BYTES.len())].to_vec(),
            2 => vec![random.u8(..)],
            _ => {
                let other = &corpus[random.usize(..corpus.len())];
                let from = random.usize(..=other.len());
                other[from..random.usize(from..=other.len())].to_vec()
            }
        };
        input.splice(at..until, piece);
    }
    input
}

/// Time for each target; `FUZZ_SECONDS` sets another.
fn limit() -> Duration {
    Duration::from_secs(support::number("FUZZ_SECONDS", 1))
}

#[test]
fn no_bytes_break_what_reads_text() {
    run("config", limit(), targets::config);
    run("cron", limit(), targets::cron);
    run("crontab", limit(), targets::crontab);
    run("template", limit(), targets::template);
}

#[test]
fn no_bytes_break_what_reads_messages() {
    run("control_message", limit(), targets::control_message);
    run("cloud_answer", limit(), targets::cloud_answer);
    run("import_document", limit(), targets::import_document);
}

const SCHEDULE: &str =
    "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 1 1 *\"\nkeep = { last = 2 }\n";
const EVIL: &str = "evil\u{1b}[2J\u{9b}31m\u{7}\r\nbake 7: succeeded\u{202e}\u{2028}";

#[test]
fn names_with_escape_sequences_reach_no_terminal_and_no_log_raw() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, SCHEDULE);
    host.start();
    let bake = host.bake("golden");
    assert_eq!(bake["state"], "succeeded", "{bake:#}");
    let tags = json!({ "imagebaked:owner": "imagebaked", "imagebaked:line": EVIL, "imagebaked:slot": EVIL, "k": EVIL });
    let image = json!({ "image_id": format!("imgc-{EVIL}"), "image_name": EVIL, "tags": tags, "instance_id": "ecd-1",
        "status": "AVAILABLE", "image_type": "User" });
    cloud.control("images", &image);
    cloud.control("images", &json!({ "image_id": bake["image_id"], "image_name": EVIL }));
    cloud.control(
        "instances",
        &json!({ "instance_id": "ecd-2", "instance_type": "CloudDesktop", "status": EVIL,
        "image_id": bake["image_id"], "image_name": EVIL }),
    );
    let fault =
        format!("[[fault]]\naction = \"ListImage\"\ntimes = 2\ncode = {0}\nmessage = {0}\nstatus = 400\n", json!(EVIL));
    cloud.add_faults(&fault.replace("\\u007f", "\\u001b"));
    let commands: &[&[&str]] = &[
        &["doctor"],
        &["reconcile"],
        &["coverage"],
        &["init", "--stdout"],
        &["prune", "--dry-run"],
        &["adopt", "golden", "--name", "*", "--dry-run"],
        &["pause", "golden", "--reason", EVIL],
        &["pin", bake["image_id"].as_str().unwrap(), "--reason", EVIL],
        &["status"],
        &["history"],
        &["images"],
        &["channels"],
        &["audit"],
        &["events"],
        &["show", "1"],
        &["why", EVIL],
        &["plan", "--schedule", EVIL],
    ];
    for json in [false, true] {
        for words in commands {
            let words: Vec<&str> = words.iter().copied().chain(json.then_some("--json")).collect();
            let output = host.run(&words);
            for bytes in [&output.stdout, &output.stderr] {
                let text = String::from_utf8(bytes.clone()).unwrap();
                let found = text.chars().find(|c| is_hidden(*c) && !matches!(c, '\n' | '\t'));
                assert!(found.is_none(), "{words:?}: {found:?} in {text}");
                assert!(!text.lines().any(|line| line.starts_with("bake 7: succeeded")), "{words:?}: {text}");
            }
        }
    }
    let log = host.log();
    assert!(!log.chars().any(|c| is_hidden(c) && c != '\n'), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("bake 7")), "{log}");
}

#[test]
fn idle_clients_keep_nobody_out() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, SCHEDULE);
    host.start();
    let socket = host.path("control.sock");
    let idle: Vec<_> = (0..300).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    // Half a request is no request.
    for mut stream in &idle {
        let _ = stream.write_all(b"{\"protocol\"");
    }
    host.expect(0, &["status"]);
    drop(idle);
}

#[test]
fn a_small_request_makes_no_large_reply() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, SCHEDULE);
    host.start();
    host.bake("golden");
    let ask = |bakes: Vec<i64>| -> Value {
        let message = json!({ "protocol": 1, "version": "x", "body": { "ask": "follow", "bakes": bakes, "seen": 0 } });
        let mut stream = UnixStream::connect(host.path("control.sock")).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.write_all(format!("{message}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    };
    let same = ask(vec![1; 170_000]);
    assert_eq!(same["body"]["rows"].as_array().unwrap().len(), 1, "{same}");
    let many = ask((1..=1001).collect());
    assert_eq!(many["body"]["message"], "1001 bakes are too many to follow at once: at most 1000");
}

/// Problems of a configuration with this text.
fn problems(text: &str) -> config::Problems {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imagebaked.toml");
    fs::write(&path, text).unwrap();
    config::load(&path, &BTreeMap::new()).unwrap_err()
}

#[test]
fn a_configuration_has_bounds_and_its_problems_too() {
    // Without bounds, each of these takes gigabytes or minutes.
    let begun = Instant::now();
    let newlines = problems(&"\n".repeat(1_500_000));
    assert_eq!((newlines.0.len(), newlines.0[0].code), (1, "too-large"), "{}", newlines.render(false));
    let brackets = problems(&format!("a = {}", "[".repeat(100_000)));
    assert!(brackets.render(false).len() < 100_000, "{}", brackets.render(false).len());
    let headers = problems(&"[[schedule]]\n".repeat(10_000));
    assert_eq!((headers.0.len(), headers.0[1000].code), (1001, "too-many"));
    // One long line with many problems: none of them has the line.
    let one_line =
        problems(&format!("[[schedule]]\nname = 'a'\ncron = '@daily'\ninstance_ids = [{}]\n", "1,".repeat(10_000)));
    let text = one_line.render(false);
    assert!(text.len() < 2_000_000 && text.contains(":4:17"), "{} bytes", text.len());
    let long_key = problems(&format!("{} = 1\n", "k".repeat(100_000)));
    assert!(long_key.render(false).len() < 10_000, "{}", long_key.render(false).len());
    let ids: String = (0..50_001).map(|n| format!("\"ecd-{n}\",")).collect();
    let schedule = |name: &str| format!("[[schedule]]\nname = '{name}'\ncron = '@daily'\ninstance_ids = [{ids}]\n");
    let many = problems(&format!("{}{}{}", schedule("a"), schedule("b"), schedule("c")));
    assert_eq!(many.0.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["too-many-instances"]);
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
}

#[test]
fn all_files_together_have_one_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imagebaked.toml");
    fs::write(&path, "").unwrap();
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    let comments = format!("{}\n", "#".repeat(900_000));
    for n in 0..20 {
        fs::write(folder.path().join(format!("conf.d/{n:02}.toml")), &comments).unwrap();
    }
    let problems = config::load(&path, &BTreeMap::new()).expect_err("18 MB in all");
    let codes: Vec<&str> = problems.0.iter().map(|problem| problem.code).collect();
    assert!(codes.iter().filter(|code| **code == "too-large").count() >= 1, "{codes:?}");
}

#[test]
fn invisible_characters_of_a_configuration_are_named() {
    let found = problems("[daemon]\nowner = \"o\\u001b[2J\"\n");
    let hidden = found.0.iter().find(|problem| problem.code == "hidden-character").unwrap();
    assert!(hidden.message.contains("U+001B"), "{}", hidden.message);
}
