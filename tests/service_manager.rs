//! A real daemon and what it sends to the service manager: the line of its state, and its progress while it stops.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

mod support;

use std::{
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

use support::{Cloud, Host, eventually};

/// The next notification, if one comes within `bound`.
fn next(socket: &UnixDatagram, bound: Duration) -> Option<String> {
    socket.set_read_timeout(Some(bound)).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

#[test]
fn the_state_is_renewed_and_a_drain_is_progress() {
    let cloud = Cloud::start();
    let hook = "hooks = { before = [['/bin/sh', '-c', 'sleep 300']] }\nstop_instance = 'required'";
    let schedule = format!("[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 0 1 1 *\"\n{hook}\n");
    let mut host = Host::with_history(cloud.addr, &schedule);
    let path = host.path("imagebaked.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace("drain = \"2s\"", "drain = \"100s\"");
    std::fs::write(&path, text).unwrap();
    let socket = UnixDatagram::bind(host.path("notify.sock")).unwrap();
    let mut command = host.command(&["run"]);
    command.env("NOTIFY_SOCKET", host.path("notify.sock")).env("WATCHDOG_USEC", "6000000").env_remove("WATCHDOG_PID");
    host.start_by(command);

    host.expect(0, &["bake", "golden"]);
    eventually("the line shows the bake", || {
        next(&socket, Duration::from_secs(1)).filter(|sent| sent.contains("STATUS=") && sent.contains("1 bake running"))
    });

    host.signal("TERM");
    let stopping = eventually("the stop is reported", || {
        next(&socket, Duration::from_secs(1)).filter(|sent| sent.contains("STOPPING=1"))
    });
    let bound: u64 =
        stopping.lines().find_map(|line| line.strip_prefix("EXTEND_TIMEOUT_USEC=")).unwrap().parse().unwrap();
    assert!((100_000_000..=110_000_000).contains(&bound), "{stopping}");
    // The hook keeps the drain open for longer than the watchdog allows: three reports outlast it.
    let since = Instant::now();
    for _ in 0..4 {
        eventually("the drain is progress", || {
            next(&socket, Duration::from_secs(6)).filter(|sent| sent.contains("WATCHDOG=1"))
        });
    }
    assert!(since.elapsed() > Duration::from_secs(5), "one report for each third of the interval");
    assert!(host.exit_status().is_none(), "the drain goes on:\n{}", host.log());
    host.kill();
}
