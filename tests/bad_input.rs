//! Faults of the cloud, the network and people: each gives a clear reason and an attempt row, loses nothing, and causes no
//! busy loop.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;
use support::{Cloud, Host, calls_with, eventually};

const RARELY: &str = "0 3 1 1 *";

/// One schedule for each name, each with its own instance. Only manual requests bake them.
fn schedules(names: &[&str], more: &str) -> String {
    let one = |name: &&str| {
        format!("[[schedule]]\nname = \"{name}\"\ninstance_id = \"ecd-{name}\"\ncron = \"{RARELY}\"\n{more}\n")
    };
    format!(
        "[defaults]\nretry = {{ attempts = 3, base = \"50ms\", cap = \"200ms\", rebakes = 0 }}\n{}",
        names.iter().map(one).collect::<String>()
    )
}

fn host(cloud: &Cloud, names: &[&str], more: &str) -> Host {
    let mut host = Host::new(cloud.addr, &schedules(names, more));
    host.start();
    host
}

fn fault(name: &str, keys: &str) -> String {
    format!("[[fault]]\naction = \"CreateImageByInstance\"\ninstance_id = \"ecd-{name}\"\n{keys}\n")
}

fn reason(bake: &Value) -> &str {
    bake["reason"].as_str().unwrap()
}

/// A server that answers every connection by the text of its request and closes it.
fn canned_server(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 16 * 1024];
            let read = stream.read(&mut request).unwrap_or_default();
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(&answer(&String::from_utf8_lossy(&request[..read])));
        }
    });
    (addr, served)
}

#[test]
fn every_code_of_the_create_call_ends_by_its_class() {
    // Permanent: one call, then failed. Busy: the bake waits. Unclear: the image is searched for, then the call is repeated.
    let permanent = [
        "Instance.NotFound",
        "DesktopInstance.NotFound",
        "Instance.ImageUnsupported",
        "Instance.PhysicalNodeNotExist",
        "InvalidBaseImage.NotConfigured",
        "Image.NotExist",
        "ImageRegionDistribute.NotAllow",
        "ImageUpdateFailed.NotAllow",
        "ImageUpdateSharedImageFailed.NotAllow",
        "ParentImageRegionDistribute.NotExist",
    ];
    let waits = ["ImageCreateByInstance.TaskExist", "ExceedBuilderQuota"];
    let unclear = ["CreateDesktopImageRecord.Failed", "InternalError"];
    let all: Vec<&str> = permanent.iter().chain(&waits).chain(&unclear).copied().collect();
    let name = |code: &str| code.replace('.', "-");
    let names: Vec<String> = all.iter().map(|code| name(code)).collect();
    let cloud = Cloud::start();
    let host = host(&cloud, &names.iter().map(String::as_str).collect::<Vec<_>>(), "");
    for (n, code) in all.iter().enumerate() {
        // The API pages document both shapes.
        let shape = if n % 2 == 0 { "status = 400" } else { "success_false = true" };
        cloud.add_faults(&fault(&name(code), &format!("code = \"{code}\"\n{shape}")));
    }
    std::thread::scope(|scope| {
        for code in &all {
            let (host, name, cloud) = (&host, name(code), &cloud);
            scope.spawn(move || {
                let bake = host.bake(&name);
                let met = calls_with(&bake, code);
                assert_eq!(met.len(), 1, "{bake:#}");
                assert!(met[0]["request_id"].as_str().is_some_and(|id| id.len() == 36), "{bake:#}");
                assert!(met[0]["http_status"] == 400 || met[0]["http_status"] == 200, "{bake:#}");
                let creates = cloud.calls("CreateImageByInstance", Some(&format!("ecd-{name}"))).len();
                if permanent.contains(code) {
                    assert_eq!((bake["state"].as_str(), creates), (Some("failed"), 1), "{bake:#}");
                    assert!(reason(&bake).starts_with(code) && reason(&bake).contains('('), "{bake:#}");
                } else {
                    assert_eq!((bake["state"].as_str(), creates), (Some("succeeded"), 2), "{bake:#}");
                    let attempts = if waits.contains(code) { 1 } else { 2 };
                    assert_eq!(bake["attempts"], attempts, "waiting uses no attempts: {bake:#}");
                }
                let made = cloud.images(&format!("ecd-{name}")).len();
                assert_eq!(made, usize::from(!permanent.contains(code)), "{bake:#}");
            });
        }
    });
}

#[test]
fn an_answer_that_is_broken_in_any_way_never_makes_a_second_image() {
    let broken = [
        ("lost", "drop = \"after\""),
        ("unsent", "drop = \"before\""),
        ("cut", "body = \"truncate\""),
        ("garbled", "body = \"not_json\""),
        ("empty", "body = \"empty\""),
        ("huge", "body = \"huge\""),
        ("late", "code = \"InternalError\"\nstatus = 400\nlate_image = \"400ms\""),
        ("gateway", "code = \"ServiceUnavailable\"\nstatus = 503\nact = true"),
    ];
    let cloud = Cloud::start();
    let host = host(&cloud, &broken.map(|(name, _)| name), "");
    for (name, keys) in broken {
        cloud.add_faults(&fault(name, keys));
    }
    std::thread::scope(|scope| {
        for (name, _) in broken {
            let (host, cloud) = (&host, &cloud);
            scope.spawn(move || {
                let bake = host.bake(name);
                assert_eq!(bake["state"], "succeeded", "{name}: {bake:#}");
                assert_eq!(cloud.images(&format!("ecd-{name}")).len(), 1, "{name}: {bake:#}");
                let unclear = bake["calls"].as_array().unwrap().iter().any(|call| call["outcome"] == "unclear");
                assert!(unclear, "{name}: {bake:#}");
            });
        }
    });
}

#[test]
fn the_end_of_an_image_is_shown() {
    let cases = [
        ("bad", "image = \"CREATE_FAILED\"", "failed", "CREATE_FAILED"),
        ("gone", "image = \"VANISH\"", "failed", "vanished"),
        ("stuck", "image = \"STUCK\"", "failed", "stuck: the image is still CREATING after 2s"),
        ("odd", "image = \"PONDERING\"", "failed", "stuck: the image is still PONDERING after 2s"),
    ];
    let cloud = Cloud::start();
    let host = host(&cloud, &cases.map(|(name, ..)| name), "build_deadline = \"2s\"");
    for (name, keys, ..) in cases {
        cloud.add_faults(&fault(name, keys));
    }
    std::thread::scope(|scope| {
        for (name, _, state, words) in cases {
            let host = &host;
            scope.spawn(move || {
                let bake = host.bake(name);
                assert_eq!(bake["state"], state, "{bake:#}");
                assert!(reason(&bake).contains(words), "{bake:#}");
            });
        }
    });
}

#[test]
fn the_servers_own_delay_is_kept() {
    let cloud = Cloud::start();
    let host = host(&cloud, &["a"], "");
    let keys = "code = \"Throttling.User\"\nstatus = 429\nheaders = { x-acs-retry-after = \"1200\" }";
    cloud.add_faults(&fault("a", keys));
    assert_eq!(host.bake("a")["attempts"], 1, "a limit on calls spends none");
    let at: Vec<chrono::DateTime<chrono::Utc>> = cloud
        .calls("CreateImageByInstance", None)
        .iter()
        .map(|call| call["at"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!((at[1] - at[0]).num_milliseconds() >= 1200, "{at:?}");
}

#[test]
fn a_wrong_secret_suspends_everything_until_it_is_right() {
    let cloud = Cloud::start();
    let mut host = Host::with_history(cloud.addr, &schedules(&["a", "b"], ""));
    host.set_key("not-the-secret");
    host.start();
    assert!(host.run(&["bake", "a"]).status.success() && host.run(&["bake", "b"]).status.success());
    let status = eventually("health is bad", || {
        let output = host.run(&["status", "--json"]);
        (output.status.code() == Some(5)).then(|| serde_json::from_slice::<Value>(&output.stdout).unwrap())
    });
    let problem = &status["health"]["problems"][0];
    assert_eq!(
        (&problem["code"], &problem["severity"]),
        (&"credentials_rejected".into(), &"problem".into()),
        "{problem}"
    );
    let report = problem["message"].as_str().unwrap();
    assert!(report.starts_with("credentials rejected") && report.contains("SignatureDoesNotMatch"), "{report}");
    let refused = cloud.state()["calls"].as_array().unwrap().len();
    assert!(refused < 10, "{refused} calls with a key that is known to be wrong");
    let outputs =
        [&["status"][..], &["status", "--json"], &["history", "--json"], &["show", "2"], &["show", "2", "--json"]]
            .map(|args| String::from_utf8(host.run(args).stdout).unwrap());
    assert!(outputs.iter().all(|text| !text.is_empty() && !text.contains("not-the-secret")), "{outputs:?}");
    host.set_key(support::SECRET);
    // The next probe comes in a minute. A restart probes at once.
    host.stop();
    host.start();
    for name in ["a", "b"] {
        let bake = host.until("it is made in the end", &["--schedule", name], |bake| bake["state"] == "succeeded");
        assert_eq!(cloud.images(bake["instance_id"].as_str().unwrap()).len(), 1);
    }
    for (path, bytes) in host.files() {
        for secret in [support::SECRET, "not-the-secret"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret is in {}", path.display());
        }
    }
}

#[test]
fn corrected_keys_count_from_the_next_reload_on() {
    let cloud = Cloud::start();
    let mut host = Host::with_history(cloud.addr, &schedules(&["a"], ""));
    host.set_key("not-the-secret");
    host.start();
    host.expect(0, &["bake", "a"]);
    eventually("health is bad", || (host.run(&["status"]).status.code() == Some(5)).then_some(()));
    // Turns of the engine that start nothing must not use up the probe.
    host.expect(0, &["pause", "a"]);
    host.expect(0, &["resume", "a"]);
    host.set_key(support::SECRET);
    host.expect(0, &["reload"]);
    let bake = host.until("it is made without a restart", &[], |bake| bake["state"] == "succeeded");
    assert_eq!((cloud.images("ecd-a").len(), &bake["attempts"]), (1, &Value::from(1)), "{bake:#}");
    host.expect(0, &["status"]);
    let refused = calls_with(&host.show(&bake["id"]), "SignatureDoesNotMatch").len();
    // None where the start has found it out before.
    assert!(refused <= 2, "{refused} calls with a key that is known to be wrong");
}

#[test]
fn an_endpoint_that_is_down_is_no_busy_loop() {
    let cloud = Cloud::start();
    let mut host = Host::with_history(cloud.addr, &schedules(&["a", "b"], "deadline = \"4s\""));
    host.start();
    // The start has compared the history with the cloud.
    assert_eq!(host.bake("b")["state"], "succeeded");
    drop(cloud);
    let bake = host.bake("a");
    assert_eq!((bake["state"].as_str(), &bake["attempts"]), (Some("failed"), &Value::from(0)), "{bake:#}");
    assert_eq!(bake["reason_code"], "outage");
    let words =
        "no image could be started before the deadline (4s after the request): it waited for the cloud: ConnectFailed";
    assert!(reason(&bake).starts_with(words), "{bake:#}");
    // The pauses are up to 200 ms, on average 100 ms.
    let calls = calls_with(&bake, "ConnectFailed").len();
    assert!((4..200).contains(&calls), "{calls} calls");
}

#[test]
fn answers_of_something_else_than_the_cloud_are_reported_by_their_status() {
    let pages: [(u16, &'static [u8]); 2] = [
        (502, b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 22\r\nconnection: close\r\n\r\n<html>proxy down</html>"),
        (200, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"),
    ];
    for (status, page) in pages {
        let (addr, served) = canned_server(|_| page.to_vec());
        let mut host = Host::with_history(addr, &schedules(&["a"], "deadline = \"3s\"\nbuild_deadline = \"2s\""));
        host.start();
        let bake = host.bake("a");
        assert_eq!(bake["state"], "failed", "{bake:#}");
        assert!(!reason(&bake).is_empty());
        let calls = bake["calls"].as_array().unwrap();
        assert!(calls.iter().all(|call| call["http_status"] == status), "{bake:#}");
        let served = served.load(Ordering::SeqCst);
        assert!(served < 60, "{served} calls in a few seconds");
    }
}

#[test]
fn answers_that_make_no_sense_neither_stop_the_daemon_nor_pass_for_an_image() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [(&str, &[u8], &str); 8] = [
        ("null", b"null", "AnswerNotJson"),
        ("a list", b"[{\"ImageId\":\"m-1\"}]", "AnswerNotJson"),
        ("no text", b"{\"RequestId\":\"\xff\xfe\"}", "AnswerNotFromApi"),
        ("nested without end", deep.as_bytes(), "AnswerNotJson"),
        ("no data", b"{\"RequestId\":\"R-1\",\"Success\":true,\"Code\":\"200\",\"Data\":null}", "AnswerIncomplete"),
        ("no image", b"{\"RequestId\":\"R-2\",\"Success\":true,\"Data\":{\"ImageId\":\"\"}}", "AnswerIncomplete"),
        ("wrong types", b"{\"RequestId\":7,\"Code\":[],\"Success\":\"yes\",\"Data\":\"m-1\"}", "AnswerIncomplete"),
        ("refused without a code", b"{\"RequestId\":\"R-3\",\"Success\":false}", "HttpStatus"),
    ];
    std::thread::scope(|scope| {
        for (name, body, code) in bodies {
            scope.spawn(move || {
                let page = |body: &[u8]| {
                    let length = body.len();
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                    [head.as_bytes(), body].concat()
                };
                // A start compares the history with the cloud: that list makes sense.
                let none = b"{\"RequestId\":\"L\",\"Success\":true,\"Count\":0,\"TotalCount\":0,\"Data\":[]}";
                let (listed, answered) = (page(none), page(body));
                let (addr, _) =
                    canned_server(
                        move |request| {
                            if request.contains("ListImage") { listed.clone() } else { answered.clone() }
                        },
                    );
                let mut host =
                    Host::with_history(addr, &schedules(&["a"], "deadline = \"2s\"\nbuild_deadline = \"2s\""));
                host.start();
                let bake = host.bake("a");
                assert_eq!(
                    (bake["state"].as_str(), &bake["image_id"]),
                    (Some("failed"), &Value::Null),
                    "{name}: {bake:#}"
                );
                let first = &bake["calls"][0];
                assert_eq!(
                    (first["code"].as_str(), first["outcome"].as_str()),
                    (Some(code), Some("unclear")),
                    "{name}: {bake:#}"
                );
                assert_eq!(first["http_status"], 200, "{name}: {bake:#}");
                if body.starts_with(b"{\"RequestId\":\"R") {
                    assert!(first["request_id"].as_str().is_some_and(|id| id.starts_with("R-")), "{name}: {bake:#}");
                }
                assert!(!reason(&bake).is_empty() && reason(&bake).len() < 2_000, "{name}: {bake:#}");
                host.stop();
            });
        }
    });
}

// Paths that lead to no file

/// What a path may lead to in the place of a file, by name.
fn no_files(host: &Host) -> Vec<(&'static str, String)> {
    let at = |name: &str| host.path(name).display().to_string();
    assert!(std::process::Command::new("mkfifo").arg(host.path("pipe")).status().unwrap().success());
    std::fs::create_dir(host.path("folder")).unwrap();
    std::os::unix::fs::symlink(host.path("loop"), host.path("loop")).unwrap();
    // Its name stays when it is closed.
    drop(std::os::unix::net::UnixListener::bind(host.path("socket")).unwrap());
    let own = ["pipe", "folder", "socket", "loop", "missing"].map(|name| (name, at(name)));
    own.into_iter().chain([("device", "/dev/zero".to_owned())]).collect()
}

/// Each command that opens a path: none waits for a pipe or reads a device for ever, and each names the path.
#[test]
fn a_path_that_leads_to_no_file_is_refused_at_once_and_by_name() {
    let host = Host::new("127.0.0.1:9".parse().unwrap(), &schedules(&["golden"], ""));
    let commands: [&[&str]; 9] = [
        &["import"],
        &["restore"],
        &["crontab", "import"],
        &["check"],
        &["plan", "--diff"],
        &["doctor", "--no-probe", "--config"],
        &["sim", "--listen", "127.0.0.1:0", "--instances"],
        &["sim", "--listen", "127.0.0.1:0", "--faults"],
        &["sim", "--listen", "127.0.0.1:0", "--state"],
    ];
    let mut runs = Vec::new();
    for (kind, path) in no_files(&host) {
        for command in commands {
            // These may come from a pipe that ends within 5 s.
            let may_be_pipe = ["crontab", "check", "plan", "doctor"].contains(&command[0]);
            // The simulator makes its state file, and doctor goes on without a configuration.
            let may_be_missing = command.ends_with(&["--state"]) || command[0] == "doctor";
            if !(kind == "pipe" && may_be_pipe || kind == "missing" && may_be_missing) {
                runs.push((
                    kind,
                    [command, &[path.as_str()]].concat().into_iter().map(str::to_owned).collect::<Vec<_>>(),
                ));
            }
        }
    }
    support::in_parallel(4, &runs, |(kind, args)| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = if args.contains(&"--config") { support::imagebaked() } else { host.command(&[]) };
        let output = command.args(&args).stdin(std::process::Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let code = output.status.code();
        assert!(matches!(code, Some(1..=3)), "{kind}: {args:?}: {code:?}: {said}");
        let words: &[&str] = match *kind {
            "pipe" => &["pipe", "regular file"],
            "folder" => &["folder", "regular file", "directory"],
            "socket" => &["socket", "regular file"],
            "device" => &["device", "regular file", "larger than"],
            "loop" => &["symbolic links", "link"],
            _ => &["no such file", "No such file"],
        };
        assert!(words.iter().any(|word| said.contains(word)), "{kind}: {args:?}: {said}");
        assert!(said.contains(args[args.len() - 1]), "{kind}: {args:?} names no path: {said}");
    });
}

/// What the values of an unreadable configuration are, nobody knows: nothing is checked by the defaults.
#[test]
fn doctor_names_a_configuration_that_it_cannot_read_and_checks_nothing_by_defaults() {
    let host = Host::new("127.0.0.1:9".parse().unwrap(), &schedules(&["golden"], ""));
    let more = host.path("conf.d");
    std::fs::create_dir_all(more.join("more.toml")).unwrap();
    let report = host.json(2, &["doctor", "--no-probe"]);
    let checks = report["checks"].as_array().unwrap();
    let names: Vec<_> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["configuration", "everything else", "time zones", "systemd unit"]);
    let found = checks[0]["found"].as_str().unwrap();
    assert!(found.contains("more.toml") && found.contains("this is a folder"), "{found}");
    assert_eq!((&checks[0]["result"], &checks[1]["result"]), (&"fail".into(), &"skip".into()));
}

/// Keys and certificates likewise: a pipe in their place would keep the daemon from starting.
#[test]
fn a_pipe_in_the_place_of_a_key_or_a_certificate_is_named() {
    let host = Host::new("127.0.0.1:9".parse().unwrap(), &schedules(&["golden"], ""));
    no_files(&host);
    std::fs::rename(host.path("pipe"), host.path("keys/access_key_secret")).unwrap();
    std::fs::set_permissions(host.path("keys"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let (out, _) = host.expect(5, &["doctor", "--no-probe"]);
    assert!(out.contains("access_key_secret is no regular file"), "{out}");
    let output = host.command(&["doctor", "--no-probe"]).env("SSL_CERT_FILE", host.path("folder")).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("it is no regular file"), "{out}");
}
