//! The control socket: access rights, malformed requests, other versions. The daemon is real. Some tests send it raw bytes,
//! and some put a false daemon in its place.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{BOUND, Cloud, Host, eventually};

const FILE: &str = "[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 1 1 *\"\n";

fn connect(host: &Host) -> UnixStream {
    let stream = UnixStream::connect(host.path("control.sock")).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream
}

/// Sends these bytes and reads until the daemon closes the connection.
fn send(host: &Host, bytes: &[u8]) -> String {
    let mut stream = connect(host);
    // The daemon may close the connection before all bytes of a message that is too long are written.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn ask(host: &Host, message: &Value) -> Value {
    serde_json::from_str(&send(host, format!("{message}\n").as_bytes())).unwrap()
}

fn message(protocol: u32, version: &str, body: &Value) -> Value {
    json!({ "protocol": protocol, "version": version, "body": body })
}

#[test]
fn malformed_requests_get_a_clear_error_and_the_daemon_lives() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    host.start();

    let newer = ask(&host, &message(99, "9.9.9", &json!({ "ask": "status", "how": "in verse" })));
    assert_eq!((&newer["body"]["answer"], &newer["protocol"]), (&"other_protocol".into(), &1.into()));
    let older = ask(&host, &message(0, "0.0.1", &json!("how are you?")));
    assert_eq!(older["body"]["answer"], "other_protocol");
    let unknown = ask(&host, &message(1, "9.9.9", &json!({ "ask": "levitate" })));
    let words = unknown["body"]["message"].as_str().unwrap();
    assert!(words.contains("9.9.9") && words.contains("restart the daemon"), "{words}");
    assert_eq!(unknown["body"]["answer"], "failed");

    let deep = "[".repeat(100_000);
    for garbage in ["\n", "GET / HTTP/1.1\r\n\r\n", "{}\n", "null\n", "\u{0}\u{1}\n", &format!("{deep}\n")] {
        let answer: Value = serde_json::from_str(&send(&host, garbage.as_bytes())).unwrap();
        assert!(answer["body"]["message"].as_str().unwrap().starts_with("a message could not be read"), "{answer}");
    }
    let endless = send(&host, &[0xff; 64]);
    assert!(endless.contains("no whole request came within 5 s"), "{endless}");
    let long = send(&host, &vec![b' '; 2 << 20]);
    assert!(long.is_empty() || long.contains("longer than"), "{long}");
    // A client connects and leaves without a request.
    drop(connect(&host));

    host.expect(0, &["status"]);
}

#[test]
fn half_a_message_delays_no_other_client() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    host.start();
    let mut slow: Vec<UnixStream> = (0..3).map(|_| connect(&host)).collect();
    for stream in &mut slow {
        stream.write_all(b"{\"protocol\":1,\"vers").unwrap();
    }
    let begun = Instant::now();
    host.expect(0, &["status"]);
    assert!(begun.elapsed() < Duration::from_secs(4), "others are served meanwhile: {:?}", begun.elapsed());
    for mut stream in slow {
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.contains("no whole request came within 5 s"), "the daemon says why it hangs up: {answer}");
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn a_client_that_sends_its_request_byte_by_byte_or_nothing_learns_why_it_ends() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    host.start();
    let mut dripping = connect(&host);
    let begun = Instant::now();
    let dripped = std::thread::spawn({
        let mut stream = dripping.try_clone().unwrap();
        move || {
            // Far more than the daemon waits for.
            for _ in 0..600 {
                if stream.write_all(b" ").is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    });
    let mut answer = String::new();
    let _ = dripping.read_to_string(&mut answer);
    assert!(answer.contains("no whole request came within 5 s"), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(25), "it was waited for {:?}", begun.elapsed());
    dripped.join().unwrap();
    // Many idle connections of one user do not keep out that user's commands, and each learns why it ends.
    let mut idle: Vec<UnixStream> = (0..400).map(|_| connect(&host)).collect();
    assert_eq!(host.json(0, &["status"])["daemon"]["pid"], host.pid());
    let mut answer = String::new();
    let _ = idle[0].read_to_string(&mut answer);
    assert!(answer.contains("too many connections of uid"), "{answer:?}");
    drop(idle.drain(..));
}

#[test]
fn two_operators_are_served_at_once() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    host.start();
    let commands: Vec<_> = ["status", "bake", "status", "reload", "pause", "status"]
        .into_iter()
        .map(|command| {
            let args: &[&str] = if ["bake", "pause"].contains(&command) { &[command, "golden"] } else { &[command] };
            host.command(args).stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut command in commands {
        assert!(command.wait().unwrap().success());
    }
    assert_eq!(host.json(0, &["status"])["paused"][0]["schedule"], "golden");
}

#[test]
fn the_socket_is_for_owner_and_group_and_goes_with_the_daemon() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    // A killed daemon leaves a stale socket.
    drop(UnixListener::bind(host.path("control.sock")).unwrap());
    let (_, err) = host.expect(4, &["status"]);
    assert!(err.contains("is it running?"), "{err}");
    host.start();
    let found = fs::metadata(host.path("control.sock")).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o660);
    host.expect(0, &["status"]);
    host.kill();
    assert!(host.path("control.sock").exists());
    host.start();
    host.expect(0, &["status"]);
    host.stop();
    assert!(!host.path("control.sock").exists());
}

#[test]
fn a_live_socket_is_refused_and_what_is_no_socket_is_left_alone() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    let mut other = Host::new(cloud.addr, FILE);
    host.start();
    // The daemon hangs, but lives.
    host.signal("STOP");
    let file = fs::read_to_string(other.path("imagebaked.toml")).unwrap();
    let theirs = host.path("control.sock").display().to_string();
    let ours = other.path("control.sock").display().to_string();
    fs::write(other.path("imagebaked.toml"), file.replace(&ours, &theirs)).unwrap();
    let (_, err) = other.expect(1, &["run"]);
    assert!(err.contains("another daemon listens"), "{err}");
    host.signal("CONT");
    host.expect(0, &["status"]);

    fs::write(other.path("imagebaked.toml"), &file).unwrap();
    fs::write(other.path("control.sock"), "dear to somebody").unwrap();
    let (_, err) = other.expect(1, &["run"]);
    assert!(err.contains("is no socket") && err.contains("control_socket"), "{err}");
    assert_eq!(fs::read_to_string(other.path("control.sock")).unwrap(), "dear to somebody");
    fs::remove_file(other.path("control.sock")).unwrap();
    other.start();
}

#[test]
fn a_hung_daemon_is_recognised_within_seconds() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    host.start();
    host.bake("golden");
    host.signal("STOP");
    let begun = Instant::now();
    let (out, err) = host.expect(4, &["status"]);
    // Two requests, a few tenths of a second each, on a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(err.contains("was stopped by a signal and does not answer"), "{err}");
    assert!(out.contains("the history shows this") && out.contains("1 succeeded"), "{out}");
    host.signal("CONT");
    eventually("it is well again", || host.run(&["status"]).status.success().then_some(()));
}

#[test]
fn a_plan_names_what_is_in_the_way_of_it() {
    let cloud = Cloud::start();
    let mut host = Host::new(cloud.addr, FILE);
    assert_eq!(host.json(0, &["plan"])["blocked"], Value::Null, "nothing is known before the daemon has run");
    host.start();
    eventually("nothing is in the way", || host.json(0, &["plan"])["blocked"].is_null().then_some(()));
    let file = fs::read_to_string(host.path("imagebaked.toml")).unwrap();
    fs::write(host.path("imagebaked.toml"), file.replace("0 3 1 1 *", "0 33 1 1 *")).unwrap();
    let (out, err) = host.expect(0, &["plan", "--until", "400d"]);
    assert!(
        err.contains("the configuration has 1 problem in 1 file and is not in force (`imagebaked check`)"),
        "{err}"
    );
    assert!(out.contains("-01-01 03:00"), "{out}");
    fs::write(host.path("imagebaked.toml"), file).unwrap();
    host.stop();
    let (out, _) = host.expect(0, &["plan", "--until", "400d"]);
    let (sum, blocked) = out.split_once('\n').unwrap();
    assert!(sum.starts_with("Up to ") && sum.contains("bake"), "{out}");
    assert!(
        blocked.starts_with("warning: nothing is baked as long as this lasts: no daemon follows this history since"),
        "{out}"
    );
}

/// A false daemon that answers the two requests of a command with these bytes: which daemon it is, and the command's own.
fn false_daemon(host: &Host, answer: Vec<u8>) -> std::thread::JoinHandle<()> {
    let path = host.path("control.sock");
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            while stream.read(&mut byte).unwrap() == 1 && byte != *b"\n" {}
            // The command may close the connection early.
            let _ = stream.write_all(&answer);
        }
    })
}

#[test]
fn a_command_reports_a_daemon_of_another_version_and_what_is_no_daemon() {
    let cloud = Cloud::start();
    let host = Host::new(cloud.addr, FILE);
    let line = |value: Value| format!("{value}\n").into_bytes();
    let other = "of version 9.9.9";
    for (code, words, answer) in [
        (1, other, line(message(2, "9.9.9", &json!({ "answer": "other_protocol" })))),
        (1, other, line(message(1, "9.9.9", &json!({ "answer": "in verse" })))),
        (4, "could not be read", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        (4, "could not be read", line(message(1, env!("CARGO_PKG_VERSION"), &json!({ "answer": "in verse" })))),
        (4, "connection to the daemon broke", b"{\"protocol\":1".to_vec()),
        (4, "connection to the daemon broke", Vec::new()),
        (4, "longer than", vec![b' '; 65 << 20]),
    ] {
        let daemon = false_daemon(&host, answer);
        let (out, err) = host.expect(code, &["status", "--json"]);
        assert!(out.is_empty() && err.contains(words), "{words}: {out}{err}");
        daemon.join().unwrap();
    }
}
