//! Hostile input: any bytes in each place where text comes in, names with escape sequences through the commands, idle
//! clients.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

#[path = "../fuzz/src/json.rs"]
mod json_mutations;
#[path = "../fuzz/src/targets.rs"]
mod targets;
#[path = "../fuzz/src/worst_cases.rs"]
mod worst_cases;

mod support;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use imagebaked::{
    adapters::config,
    app::{cli, commands},
    domain::text::is_hidden,
};
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

/// Takes any bytes, and panics if a rule is broken.
type Target = fn(&[u8]);

/// The work of each parser grows with its input, not with the square of it: 64 KiB take less than a second on a quiet
/// machine, and took minutes where problems were looked up in all of the file. The bound is for a busy one.
#[test]
fn no_input_takes_long() {
    const SIZE: usize = 64 << 10;
    const LONGEST: Duration = Duration::from_secs(15);
    let targets: [(&str, Target); 7] = [
        ("config", targets::config),
        ("cron", targets::cron),
        ("crontab", targets::crontab),
        ("template", targets::template),
        ("control_message", targets::control_message),
        ("cloud_answer", targets::cloud_answer),
        ("import_document", targets::import_document),
    ];
    let cases: Vec<_> = targets
        .into_iter()
        .flat_map(|(name, target)| worst_cases::of(name, SIZE).into_iter().map(move |input| (name, target, input)))
        .collect();
    support::in_parallel(2, &cases, |(name, target, input)| {
        let begun = Instant::now();
        target(input);
        let (took, head) = (begun.elapsed(), String::from_utf8_lossy(&input[..100.min(input.len())]).into_owned());
        if took > Duration::from_millis(300) {
            println!("{name}: {took:?} for {head:?}");
        }
        assert!(took < LONGEST, "{name}: {took:?} for {head:?}");
    });
}

const SCHEDULE: &str =
    "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 1 1 *\"\nkeep = { last = 2 }\n";
/// Sequences of terminals that clear, hide, link, set the title and the clipboard; other control characters; characters that
/// are not seen; and the beginning of a document.
const EVIL: &str = "evil\u{1b}[2J\u{9b}31m\u{1b}[8m\u{7}\r\nbake 7: succeeded\u{202e}\u{2028}\u{200b}\u{1b}]0;t\u{7}\
                    \u{1b}]8;;http://x\u{7}\u{1b}]52;c;YQ==\u{7}\t<script>alert(1)</script>";

fn assert_visible(what: &dyn std::fmt::Debug, text: &str) {
    let found = text.chars().find(|c| is_hidden(*c) && !matches!(c, '\n' | '\t'));
    assert!(found.is_none(), "{what:?}: {found:?} in {text}");
}

fn assert_clean(what: &dyn std::fmt::Debug, text: &str) {
    assert_visible(what, text);
    assert!(!text.lines().any(|line| line.starts_with("bake 7: succeeded")), "{what:?}: {text}");
}

/// Every command with its words, by the definition of the command line: a new one is among them.
fn every_command() -> Vec<(Vec<String>, clap::Command)> {
    fn add(command: &clap::Command, words: &[String], found: &mut Vec<(Vec<String>, clap::Command)>) {
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            let words = [words, &[inner.get_name().to_owned()]].concat();
            if inner.has_subcommands() {
                add(inner, &words, found);
            } else {
                found.push((words, inner.clone()));
            }
        }
    }
    let mut command = cli::command();
    command.build();
    let mut found = Vec::new();
    add(&command, &[], &mut found);
    assert!(found.len() > 40, "{}", found.len());
    found
}

/// The arguments `wanted` of a command, each with its value.
fn arguments(
    command: &clap::Command,
    wanted: impl Fn(&clap::Arg) -> bool,
    value: impl Fn(&clap::Arg) -> String,
) -> Vec<String> {
    let with_value = command.get_arguments().filter(|arg| arg.get_action().takes_values() && wanted(arg));
    with_value
        .flat_map(|arg| {
            let option = arg.get_long().map(|long| format!("--{long}"));
            option.into_iter().chain([value(arg)])
        })
        .collect()
}

#[test]
fn no_command_line_is_quoted_raw() {
    let mut refused = 0;
    let mut check = |words: Vec<String>| {
        let all: Vec<OsString> =
            [vec!["imagebaked".to_owned()], words].concat().into_iter().map(OsString::from).collect();
        if let Err(error) = cli::command().try_get_matches_from(&all) {
            refused += 1;
            assert_clean(&all, &commands::usage_text(&error, false, &all));
            let colored = commands::usage_text(&error, true, &all);
            let own = ["0m", "1m", "4m", "31m", "32m", "33m", "1m\u{1b}[31m", "1m\u{1b}[4m"];
            let plain = own.iter().fold(colored, |text, code| text.replace(&format!("\u{1b}[{code}"), ""));
            assert_clean(&all, &plain);
        }
    };
    check(vec![EVIL.to_owned()]);
    check(vec![format!("--{EVIL}")]);
    for (words, command) in every_command() {
        for arg in command.get_arguments() {
            check(
                [words.clone(), arguments(&command, |one| one.get_id() == arg.get_id(), |_| EVIL.to_owned())].concat(),
            );
        }
        check([words, vec![EVIL.to_owned(); 9]].concat());
    }
    assert!(refused > 50, "{refused}");
}

/// A host whose hook, cloud and operators all write [`EVIL`], with its page at an address.
fn evil_host(cloud: &Cloud) -> (Host, SocketAddr, String) {
    let mut host = Host::bare();
    let hook = host.path("hook");
    fs::write(&hook, format!("#!/bin/sh\ncat <<'end'\n{EVIL}\nend\nprintf '\\377'\nexit $1\n")).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let hook = hook.display();
    host.configure(
        cloud.addr,
        &format!(
            "{SCHEDULE}channels = {{ prod = {{ after = \"0s\" }} }}\nhooks = {{ before = [\"{hook}\", \"0\"] }}\n\
             [[schedule]]\nname = \"vetoed\"\ninstance_id = \"ecd-2\"\ncron = \"0 3 1 1 *\"\n\
             hooks = {{ before = [\"{hook}\", \"7\"] }}\n"
        ),
    );
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let path = host.path("imagebaked.toml");
    let text = fs::read_to_string(&path).unwrap().replace("listen = \"\"", &format!("listen = \"{address}\""));
    fs::write(&path, text).unwrap();
    host.start();
    let bake = host.bake("golden");
    assert_eq!(bake["state"], "succeeded", "{bake:#}");
    host.run(&["bake", "vetoed", "--wait"]);
    let image_id = bake["image_id"].as_str().unwrap().to_owned();
    let tags = json!({ "imagebaked:owner": "imagebaked", "imagebaked:line": EVIL, "imagebaked:slot": EVIL, "k": EVIL });
    let image = json!({ "image_id": format!("imgc-{EVIL}"), "image_name": EVIL, "tags": tags, "instance_id": "ecd-1",
        "status": "AVAILABLE", "image_type": "User" });
    cloud.control("images", &image);
    cloud.control("images", &json!({ "image_id": image_id, "image_name": EVIL }));
    cloud.control(
        "instances",
        &json!({ "instance_id": "ecd-3", "instance_type": "CloudDesktop", "status": EVIL,
        "image_id": image_id, "image_name": EVIL }),
    );
    let fault =
        format!("[[fault]]\naction = \"ListImage\"\ntimes = 2\ncode = {0}\nmessage = {0}\nstatus = 400\n", json!(EVIL));
    cloud.add_faults(&fault.replace("\\u007f", "\\u001b"));
    (host, address, image_id)
}

#[test]
fn names_with_escape_sequences_reach_no_terminal_no_page_and_no_log_raw() {
    let cloud = Cloud::start();
    let (mut host, page, image_id) = evil_host(&cloud);
    let value = |arg: &clap::Arg| match arg.get_id().as_str() {
        "schedule" | "schedule_option" | "words" | "subject" => "golden".to_owned(),
        "image" | "images" => image_id.clone(),
        "channel" => "prod".to_owned(),
        "bake" => "1".to_owned(),
        "code" => "no_good_image".to_owned(),
        "shell" => "bash".to_owned(),
        _ => EVIL.to_owned(),
    };
    // Those that would go on for ever.
    let more = |words: &[String]| match words[0].as_str() {
        "sim" => vec!["--faults".to_owned(), EVIL.to_owned()],
        "demo" => vec!["--dir".to_owned(), format!("/dev/null/{EVIL}")],
        _ => Vec::new(),
    };
    let mut lines: Vec<Vec<String>> = ["pause", "pin", "veto", "ack"]
        .map(|name| {
            let (words, command) = every_command().into_iter().find(|(words, _)| words[0] == name).unwrap();
            [words, arguments(&command, |arg| arg.is_positional() || arg.get_id() == "reason", value)].concat()
        })
        .to_vec();
    for (words, command) in every_command() {
        let needed = |arg: &clap::Arg| arg.is_required_set();
        let line = [words.clone(), more(&words), arguments(&command, needed, value)].concat();
        lines.push([line.clone(), vec!["--json".to_owned()]].concat());
        lines.push(line);
        let is_free = |arg: &clap::Arg| arg.is_positional();
        lines.push([words.clone(), more(&words), arguments(&command, is_free, |_| EVIL.to_owned())].concat());
    }
    let watch = host.command(&["status", "--watch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    support::in_parallel(4, &lines, |line| {
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        let output = host.command(&words).current_dir(host.path(".")).stdin(Stdio::null()).output().unwrap();
        for bytes in [output.stdout, output.stderr] {
            assert_clean(line, &String::from_utf8(bytes).unwrap());
        }
    });
    let escaped = EVIL.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let paths = ["", "schedule/golden", "bake/1", "bake/2", "history", "images", "status.json"].map(str::to_owned);
    for path in paths.into_iter().chain([
        format!("history?q={escaped}"),
        format!("schedule/{escaped}"),
        format!("?q={escaped}"),
    ]) {
        let answer = support::exchange(page, "GET", &format!("/{path}"), "");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        // The output of a hook keeps its lines, which are no lines of a page.
        assert_visible(&path, body);
        assert!(!body.contains("<script") || path == "status.json", "{path}: {body}");
    }
    host.stop();
    let watched = watch.wait_with_output().unwrap();
    assert_clean(&"status --watch", &String::from_utf8(watched.stdout).unwrap());
    assert_clean(&"the log", &host.log());
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
    let ask = |body: Value| -> Value {
        let message = json!({ "protocol": 1, "version": "x", "body": body });
        let mut stream = UnixStream::connect(host.path("control.sock")).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.write_all(format!("{message}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    };
    let follow = |bakes: Vec<i64>| ask(json!({ "ask": "follow", "bakes": bakes, "seen": 0 }));
    let same = follow(vec![1; 170_000]);
    assert_eq!(same["body"]["rows"].as_array().unwrap().len(), 1, "{same}");
    let many = follow((1..=1001).collect());
    assert_eq!(many["body"]["message"], "1001 bakes are too many to follow at once: at most 1000");
    let adopt = |wanted: Value| {
        ask(json!({ "ask": "adopt", "schedule": "golden", "instance": null, "wanted": wanted, "dry_run": true }))
    };
    let ids: Vec<String> = (0..60_000).map(|n| format!("imgc-{n}")).collect();
    let message = adopt(json!({ "images": ids }))["body"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("60000 images are too many to adopt at once: at most 1000"), "{message}");
    let refused = adopt(json!({ "name": "*a".repeat(400) }))["body"]["message"].as_str().unwrap().to_owned();
    assert!(refused.starts_with("the cloud has no image with a name like") && refused.len() < 1_200, "{refused}");
    let names: Vec<String> = (0..100_000).map(|n| format!("s{n}")).collect();
    let bake = ask(json!({ "ask": "bake", "schedules": names, "instances": [], "all": false }));
    let message = "100000 schedules or instances are too many for one request: at most 10000";
    assert_eq!(bake["body"]["message"], message);
    let until = "+262142-12-31T23:59:59Z";
    let pause = ask(json!({ "ask": "pause", "schedule": "golden", "until": until, "reason": "x" }));
    assert!(pause["body"]["message"].as_str().unwrap().contains("after the year 9999"), "{pause}");
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
