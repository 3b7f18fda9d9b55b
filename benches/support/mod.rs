//! Shared by the benches: a table of targets, configurations and histories of any size, and the real daemon as a process.

#![allow(dead_code, reason = "no bench uses all of it")]
#![allow(clippy::panic, reason = "a bench may panic")]

use std::{
    fmt::Write as _,
    fs::{self, File},
    io,
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use imagebaked::adapters::store::{DATABASE_FILE, Store};

/// A target counts as missed at this many times its value, because machines are noisy.
const NOISE: f64 = 3.0;

/// Targets and measured values.
#[derive(Debug, Default)]
pub struct Table {
    lines: String,
    missed: bool,
}

impl Table {
    /// An empty table.
    pub fn new() -> Self {
        let lines = format!("{:<64} {:>10} {:>10}   {:>5}\n", "", "target", "measured", "ratio");
        Self { lines, missed: false }
    }

    /// Adds a line.
    pub fn row(&mut self, what: &str, target: f64, measured: f64, unit: &str) {
        let ratio = measured / target;
        let mark = if ratio > NOISE {
            self.missed = true;
            "  MISSED"
        } else if ratio > 1.0 {
            "  over"
        } else {
            ""
        };
        let (target, measured) = (format!("{target:.1} {unit}"), format!("{measured:.1} {unit}"));
        let _ = writeln!(self.lines, "{what:<64} {target:>10} {measured:>10}   {ratio:>5.2}{mark}");
    }

    /// Adds a line with a duration.
    pub fn time(&mut self, what: &str, target: Duration, measured: Duration) {
        self.row(what, target.as_secs_f64() * 1e3, measured.as_secs_f64() * 1e3, "ms");
    }

    /// Prints the table; panics if a target was clearly missed.
    pub fn finish(self) -> ExitCode {
        println!("{}", self.lines);
        if self.missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// The median of several measurements.
pub fn median(times: usize, mut measure: impl FnMut() -> Duration) -> Duration {
    let mut all: Vec<_> = (0..times).map(|_| measure()).collect();
    all.sort_unstable();
    all[times / 2]
}

/// The duration of a call.
pub fn timed<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let value = act();
    (begun.elapsed(), value)
}

/// `[daemon]` with everything in `folder`.
pub fn daemon_section(folder: &Path) -> String {
    let (state, socket) = (folder.join("state"), folder.join("control.sock"));
    format!("[daemon]\nstate_dir = \"{}\"\ncontrol_socket = \"{}\"\nlisten = \"\"\n", state.display(), socket.display())
}

/// `count` schedules of many kinds, none of which has a slot within a day of `now`. A tenth have settings of their own.
pub fn schedules(count: usize, now: DateTime<Utc>) -> String {
    const ZONES: [&str; 6] =
        ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC", "Australia/Lord_Howe", "Asia/Kolkata"];
    let day = now + TimeDelta::days(4);
    let (weekday, date) = (day.weekday().num_days_from_sunday(), day.day());
    let mut text = String::from("[profile.weekly]\nstop_instance = \"if_running\"\nmax_image_age = \"90d\"\n\n");
    for n in 0..count {
        let (minute, hour, zone) = (n % 60, n / 60 % 24, ZONES[n % ZONES.len()]);
        let cron = match n % 5 {
            0 => format!("\"{minute} {hour} * * {weekday}\""),
            1 => format!("\"H {hour} {date} * *\""),
            2 => format!("[\"{minute} {hour} * * {weekday}\", \"30 H(0-6) {date} */2 *\"]"),
            3 => format!("\"15 {minute} {hour} * * {weekday}\""),
            _ => format!("\"*/20 {hour}-23 {date} 1-6,9-12 *\""),
        };
        let more = match n % 10 {
            3 => format!("tags = {{ team = \"team-{n}\" }}\ndescription = \"nightly image of {{name}}\"\n"),
            5 | 8 => "profile = \"weekly\"\ncatch_up = \"skip\"\n".to_owned(),
            _ => String::new(),
        };
        let _ = write!(
            text,
            "[[schedule]]\nname = \"golden-{n:05}\"\ninstance_id = \"ecd-bench{n:05}\"\ncron = {cron}\n\
             timezone = \"{zone}\"\n{more}\n"
        );
    }
    text
}

/// Writes the configuration into `folder`.
pub fn write_config(folder: &Path, text: &str) {
    fs::write(folder.join("imagebaked.toml"), text).unwrap();
}

/// Writes a history of `count` ended bakes into `state_dir`, spread over 10,000 schedules and the years before `now`: most
/// succeeded, one in a hundred failed, one in fifty was throttled.
pub async fn fill_history(state_dir: &Path, count: u32, now: DateTime<Utc>) {
    Store::open(state_dir).await.unwrap().close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(state_dir.join(DATABASE_FILE))
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Off)
        .pragma("cache_size", "-262144");
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    for sql in [FILL_SETTINGS, FILL_TARGETS, FILL_BAKES, FILL_ATTEMPTS, FILL_LINES, FILL_IMAGES] {
        sqlx::query(sql).bind(i64::from(count)).bind(now.timestamp_millis()).execute(&pool).await.unwrap();
    }
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pool).await.unwrap();
    pool.close().await;
}

const FILL_SETTINGS: &str = "INSERT INTO settings (hash, json) SELECT 'h', '{}' WHERE ?1 > 0 AND ?2 > 0";

const FILL_TARGETS: &str = "
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999 AND ?1 > 0)
INSERT INTO targets (schedule_id, instance_id, schedule, line_id, timing, processed_until, known_since)
SELECT printf('golden-%05d', i), printf('ecd-bench%05d', i), printf('golden-%05d', i), printf('golden-%05d', i),
       '{}', ?2, 0
FROM n";

const FILL_BAKES: &str = "
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
INSERT INTO bakes (id, schedule_id, schedule, instance_id, line_id, slot, trigger, first_slot, settings, config_hash,
                   state, progress, reason, version, image_name, image_id, task_id, attempts, created_at, finished_at)
SELECT i, printf('golden-%05d', i % 10000), printf('golden-%05d', i % 10000), printf('ecd-bench%05d', i % 10000),
       printf('golden-%05d', i % 10000), ?2 - (?1 - i) / 10 * 60000, 'slot', ?2 - (?1 - i) / 10 * 60000, 'h',
       '0123456789ab',
       CASE WHEN i % 100 = 0 THEN 'failed' WHEN i % 1000 = 7 THEN 'skipped' ELSE 'succeeded' END,
       '{\"ended\":{\"work\":{\"version\":1,\"image_name\":\"x\",\"attempts\":1,\"owes_start\":false}}}',
       'AVAILABLE after 20m', i / 10000 + 1, printf('golden-%05d-20270101-0300-v%d', i % 10000, i / 10000 + 1),
       printf('imgc-%08d', i), printf('t-%08d', i), 1, ?2 - (?1 - i) / 10 * 60000 + 200,
       ?2 - (?1 - i) / 10 * 60000 + 1200000
FROM n";

const FILL_ATTEMPTS: &str = "
INSERT INTO attempts (bake_id, stage, call, started_at, finished_at, outcome, code, http_status, request_id, message)
SELECT id, 'create', 'CreateImageByInstance', slot, slot + 90, 'ok', NULL, 200, printf('%032d', id), 'made it' FROM bakes
WHERE ?2 > 0
UNION ALL
SELECT id, 'create', 'CreateImageByInstance', slot, slot + 90, 'busy',
       CASE WHEN id % 5000 = 0 THEN 'ExceedBuilderQuota' ELSE 'Throttling.User' END, 429, printf('%032d', id), 'later'
FROM bakes WHERE id % 50 = 0 AND ?1 > 0";

const FILL_LINES: &str = "
INSERT INTO lines (line_id, last_version) SELECT line_id, max(version) FROM bakes WHERE ?1 > 0 AND ?2 > 0 GROUP BY line_id";

/// The images of the last ten versions of each line.
const FILL_IMAGES: &str = "
INSERT INTO images (image_id, line_id, schedule_id, instance_id, bake_id, version, image_name, slot, available_at)
SELECT b.image_id, b.line_id, b.schedule_id, b.instance_id, b.id, b.version, b.image_name, b.slot, b.finished_at
FROM bakes b JOIN lines l ON l.line_id = b.line_id
WHERE b.state = 'succeeded' AND b.version > l.last_version - 10 AND ?1 > 0 AND ?2 > 0";

/// The program as cargo built it, without the machine's environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imagebaked"));
    command.env_clear();
    command
}

/// The real daemon. Dropping it ends the process.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// From the start of the process until READY=1.
    pub ready_after: Duration,
}

impl Daemon {
    /// Starts on the configuration in `folder` and waits until it is ready.
    pub fn start(folder: &Path) -> Self {
        let notify = folder.join("notify.sock");
        let _ = fs::remove_file(&notify);
        let report = UnixDatagram::bind(&notify).unwrap();
        report.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let begun = Instant::now();
        let child = program()
            .env("NOTIFY_SOCKET", &notify)
            .env("ALIBABA_CLOUD_ACCESS_KEY_ID", "sim-key-id")
            .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "sim-key-secret")
            .arg("--config")
            .arg(folder.join("imagebaked.toml"))
            .args(["run", "--log", "text", "--log-filter", "warn"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut daemon = Self { child, ready_after: Duration::ZERO };
        let mut buffer = [0; 4096];
        loop {
            match report.recv(&mut buffer) {
                Ok(length) if String::from_utf8_lossy(&buffer[..length]).contains("READY=1") => break,
                Ok(_) => {}
                Err(error) => panic!("not ready ({error}): {}", fs::read_to_string(folder.join("log")).unwrap()),
            }
        }
        daemon.ready_after = begun.elapsed();
        daemon
    }

    /// Its resident memory in MiB, now.
    pub fn resident_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// CPU time of all its threads so far.
    pub fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of = |task: io::Result<fs::DirEntry>| {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(tasks.filter_map(of).sum())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
