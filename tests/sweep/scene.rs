//! One scene: a host with several schedules, random faults that a seed decides, then no faults until the daemon is idle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use fastrand::Rng;
use imagebaked::adapters::failpoint::{DELETION_POINTS, MAINTENANCE_POINTS, POINTS};
use serde_json::{Value, json};

use crate::{
    evidence::{Evidence, Kind, Planned, Protected, Violation, instant, is_unfinished},
    nemesis::{Nemesis, pick},
    support::{Cloud, Host, Running},
};

/// How long the daemon may take to become idle after the last fault has ended.
const IDLE_WITHIN: Duration = Duration::from_mins(2);
/// How long a command may take during the faults. The daemon may be stopped meanwhile.
const COMMAND_TAKES: Duration = Duration::from_secs(5);
/// Transient states of instances.
const PASSING: [&str; 6] = ["Migrating", "Updating", "Rebuilding", "Hibernated", "Config", "Unheard"];

/// The means of this machine.
#[derive(Debug, Clone, Default)]
pub struct Means {
    /// The path of libfaketime.
    pub faketime: Option<PathBuf>,
    /// Whether a small file system can be mounted.
    pub mount: bool,
    /// Whether a running process can be given limits.
    pub prlimit: bool,
}

/// The result of a scene.
#[derive(Debug)]
pub struct Outcome {
    pub seed: u64,
    pub counts: BTreeMap<Nemesis, u64>,
    pub slots: usize,
    /// Slots that ended without an image for a permitted reason.
    pub excused: usize,
    pub images: usize,
    pub deleted: usize,
    pub took: Duration,
    pub violations: Vec<Violation>,
    /// The folder of a scene that broke a promise.
    pub folder: Option<PathBuf>,
}

/// The action that ends a fault.
#[derive(Debug)]
enum Relief {
    Launch,
    Continue,
    StartCloud(Value),
    Instance(Value),
    Disconnect(Value),
    EmptyDisk,
    LiftLimit,
    SetClock,
    Restore(PathBuf),
    Rollback(PathBuf),
}

/// Runs the scene of `seed` with these kinds of faults, or with those that the seed picks.
pub fn play(seed: u64, means: &Means, only: &[Nemesis]) -> Outcome {
    let started = Instant::now();
    std::panic::catch_unwind(|| play_to_the_end(seed, means, only)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        Outcome {
            seed,
            counts: BTreeMap::new(),
            slots: 0,
            excused: 0,
            images: 0,
            deleted: 0,
            took: started.elapsed(),
            violations: vec![Violation { kind: Kind::Unhealthy, what: format!("the scene broke off: {words}") }],
            folder: None,
        }
    })
}

fn play_to_the_end(seed: u64, means: &Means, only: &[Nemesis]) -> Outcome {
    let started = Instant::now();
    let mut scene = Scene::new(seed, means, only);
    scene.inject_faults();
    let violations = scene.end_faults_and_check();
    let world = if scene.cloud.is_up() { scene.cloud.state() } else { Value::Null };
    let images = world["images"].as_array().map(Vec::as_slice).unwrap_or_default();
    let excused =
        scene.host.rows().iter().filter(|row| row["state"] != "succeeded" && row["state"] != "queued").count();
    let folder = (!violations.is_empty()).then(|| scene.keep(&world, &violations));
    Outcome {
        seed,
        counts: scene.counts.clone(),
        slots: scene.planned.iter().map(|planned| planned.slots.len()).sum(),
        excused,
        images: images.len(),
        deleted: images.iter().filter(|image| !image["deleted_at"].is_null()).count(),
        took: started.elapsed(),
        violations,
        folder,
    }
}

struct Scene {
    rng: Rng,
    fault_kinds: Vec<Nemesis>,
    host: Host,
    cloud: Cloud,
    log: Arc<Mutex<fs::File>>,
    faketime: Option<PathBuf>,
    disk: Option<Mount>,
    schedules: String,
    planned: Vec<Planned>,
    began_at: DateTime<Utc>,
    last_slot: DateTime<Utc>,
    reliefs: Vec<(Instant, Relief)>,
    counts: BTreeMap<Nemesis, u64>,
    /// Faults that were given to the simulator and have not struck, by kind.
    given: Vec<(Nemesis, u64)>,
    by_hand: BTreeSet<String>,
    used: Vec<Protected>,
    pinned: Vec<Protected>,
    wrong_clock: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// Since when the clock is wrong.
    wrong_since: Option<DateTime<Utc>>,
    /// Whether the daemon should run. It may have died at a failpoint since.
    is_up: bool,
    is_paused: bool,
    disk_fails: bool,
    /// When the disk last worked again. A daemon that met the failure may end a moment later.
    disk_well_since: Option<Instant>,
    /// The failpoint that is armed.
    armed: String,
    reloads: u32,
    surprises: Vec<Violation>,
}

/// A small file system of the scene's own.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path) -> Self {
        fs::create_dir(at).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m,mode=0700", "tmpfs"]).arg(at).status();
        assert!(done.unwrap().success());
        Self(at.to_owned())
    }

    /// Fills the file system.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("FILL")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        let _ = file.flush();
    }

    fn empty(&self) {
        let _ = fs::remove_file(self.0.join("FILL"));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

impl Scene {
    fn new(seed: u64, means: &Means, only: &[Nemesis]) -> Self {
        let mut rng = Rng::with_seed(seed);
        let fault_kinds = fault_kinds(&mut rng, means, only);
        let host = Host::bare();
        let state = host.path("cloud.json").display().to_string();
        let cloud = Cloud::with(&[
            "--open",
            "--build-time",
            "400ms",
            "--power-time",
            "200ms",
            "--builders",
            "50",
            "--state",
            &state,
        ]);
        let disk = fault_kinds.contains(&Nemesis::DiskFull).then(|| Mount::new(&host.path("state")));
        let log = Arc::new(Mutex::new(fs::File::create(host.path("daemon.log")).unwrap()));
        let faketime = fault_kinds.contains(&Nemesis::Clock).then(|| means.faketime.clone()).flatten();
        let first = Utc::now().with_nanosecond(0).unwrap() + TimeDelta::seconds(4);
        let length = rng.i64(6..10);
        let (schedules, planned) = timetable(&mut rng, first, length);
        let last_slot = planned.iter().flat_map(|planned| &planned.slots).max().copied().unwrap_or(first);
        let mut scene = Self {
            rng,
            fault_kinds,
            host,
            cloud,
            log,
            faketime,
            disk,
            schedules,
            planned,
            began_at: Utc::now(),
            last_slot,
            reliefs: Vec::new(),
            counts: BTreeMap::new(),
            given: Vec::new(),
            by_hand: BTreeSet::new(),
            used: Vec::new(),
            pinned: Vec::new(),
            wrong_clock: Vec::new(),
            wrong_since: None,
            is_up: false,
            is_paused: false,
            disk_fails: false,
            disk_well_since: None,
            armed: String::new(),
            reloads: 0,
            surprises: Vec::new(),
        };
        scene.excuse();
        // The API pages do not document whether the cloud refuses to delete an image that a template uses.
        scene.cloud.control("deletes_in_use", &json!(true));
        scene.set_clock("+0");
        scene.configure();
        scene.note(&format!("seed {seed}: {:?}", scene.fault_kinds));
        scene.launch("");
        assert!(scene.wait_until_ready(), "the daemon does not start:\n{}", scene.host.log());
        // A slot that came due before the daemon first started has no row. A busy machine may be that late.
        let ready = Utc::now();
        for planned in &mut scene.planned {
            planned.slots.retain(|slot| *slot > ready);
        }
        scene
    }

    /// Reason codes that the faults of this scene justify.
    fn excuse(&mut self) {
        let has = |nemesis| self.fault_kinds.contains(&nemesis);
        let (spoil, start, connect) = (has(Nemesis::Spoil), has(Nemesis::UserStart), has(Nemesis::Connect));
        for planned in &mut self.planned {
            if spoil || start {
                planned.excused.insert("created_failed");
            }
            if connect {
                planned.excused.insert("users_connected");
            }
        }
    }

    fn configure(&self) {
        let at = |name| self.host.path(name).display().to_string();
        // A rolled-back history must still search when it bakes a lost slot again.
        let lookup = if self.fault_kinds.contains(&Nemesis::Rollback) { "10s" } else { "1s" };
        let text = format!(
            "[daemon]\nstate_dir = \"{}\"\ncontrol_socket = \"{}\"\nlisten = \"\"\nmax_builders = 20\ndrain = \"1s\"\n\
             prune_interval = \"400ms\"\n\n\
             [cloud]\nendpoint = \"http://{}\"\ncredentials = \"files\"\ncredentials_dir = \"{}\"\npoll_interval = \"50ms\"\n\
             lookup_window = \"{lookup}\"\nrequests_per_second = 200\ntimeout = \"1s\"\nconnect_timeout = \"500ms\"\n\n\
             [defaults]\nimage_name = \"{{name}}-{{slot:%Y%m%d-%H%M%S}}-v{{version}}\"\ndeadline = \"1h\"\n\
             build_deadline = \"{}h\"\nretry = {{ attempts = 60, base = \"50ms\", cap = \"1s\", rebakes = 0 }}\n{}",
            at("state"),
            at("control.sock"),
            self.cloud.addr,
            at("keys"),
            10 + self.reloads % 2,
            self.schedules,
        );
        fs::write(self.host.path("new.toml"), text).unwrap();
        fs::rename(self.host.path("new.toml"), self.host.path("imagebaked.toml")).unwrap();
    }

    /// Notes an action of the scene in the daemon's log.
    fn note(&self, what: &str) {
        let now = Utc::now().format("%H:%M:%S%.3f");
        let _ = writeln!(self.log.lock().unwrap(), "{now} ### {what}");
    }

    fn count(&mut self, nemesis: Nemesis) {
        *self.counts.entry(nemesis).or_default() += 1;
    }

    fn surprise(&mut self, what: String) {
        self.note(&what);
        self.surprises.push(Violation { kind: Kind::Unhealthy, what });
    }

    fn set_clock(&self, offset: &str) {
        fs::write(self.host.path("clock.new"), format!("{offset}\n")).unwrap();
        fs::rename(self.host.path("clock.new"), self.host.path("clock")).unwrap();
    }

    // ---- The daemon's life.

    fn launch(&mut self, failpoint: &str) {
        self.note(&format!("launch {failpoint}"));
        let run = self.host.command(&["run", "--log-filter", "info,imagebaked::adapters::cloud=debug"]);
        // A write beyond the limit fails only if SIGXFSZ is ignored; otherwise it kills.
        let mut command = Command::new("/bin/sh");
        command
            .env_clear()
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(run.get_program())
            .args(run.get_args())
            .envs(crate::support::environment_of(&run));
        if !failpoint.is_empty() {
            command.env("IMAGEBAKED_FAILPOINT", failpoint);
        }
        if let Some(library) = &self.faketime {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", self.host.path("clock"))
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // The log goes through a pipe, because the process's file size limit would apply to its log file.
        let (lines, log) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&self.log));
        std::thread::spawn(move || {
            for line in lines.split(b'\n').map_while(Result::ok) {
                let _ = log.lock().unwrap().write_all(&[line.as_slice(), b"\n"].concat());
            }
        });
        self.host.watch_over(child);
        self.is_up = true;
        self.is_paused = false;
        failpoint.clone_into(&mut self.armed);
    }

    /// Starts the daemon amid the faults, sometimes with a failpoint armed.
    fn launch_amid_faults(&mut self) {
        let armed = if self.fault_kinds.contains(&Nemesis::Failpoint) && self.rng.u8(0..6) > 0 {
            let points: Vec<&str> = POINTS.iter().chain(&DELETION_POINTS).chain(&MAINTENANCE_POINTS).copied().collect();
            let (point, n) = (*pick(&mut self.rng, &points), self.rng.u32(1..3));
            format!("{point}:{n}")
        } else {
            String::new()
        };
        self.launch(&armed);
    }

    fn kill(&mut self) {
        let pid = self.host.pid();
        self.host.kill();
        self.is_up = false;
        self.is_paused = false;
        self.sweep_up(pid);
    }

    /// Removes the files that libfaketime leaves of a killed process.
    fn sweep_up(&self, pid: u32) {
        if self.faketime.is_some() {
            for name in ["faketime_shm_", "sem.faketime_sem_"] {
                let _ = fs::remove_file(format!("/dev/shm/{name}{pid}"));
            }
        }
    }

    /// Notes a daemon that has ended by itself.
    fn notice_end(&mut self) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        let Some(status) = self.is_up.then(|| self.host.exit_status()).flatten() else { return false };
        self.note(&format!("ended: {status}"));
        let pid = self.host.pid();
        self.sweep_up(pid);
        self.is_up = false;
        self.is_paused = false;
        if status.signal() == Some(9) {
            self.count(Nemesis::Failpoint);
        } else if !self.may_end_with(status) {
            self.surprise(format!("the daemon ended by itself with {status}"));
        }
        true
    }

    /// Whether the daemon may have ended with this status: the service manager restarts all but 2 and 7.
    fn may_end_with(&self, status: ExitStatus) -> bool {
        let failed_just_now = self.disk_well_since.is_some_and(|since| since.elapsed() < Duration::from_secs(5));
        (self.disk_fails || failed_just_now) && status.code().is_some_and(|code| code != 2 && code != 7)
    }

    /// Stops the daemon in an orderly way; returns whether it lived until then.
    fn stop(&mut self) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        if self.is_paused {
            self.host.signal("CONT");
            self.is_paused = false;
        }
        if self.notice_end() || !self.is_up {
            return false;
        }
        self.note("stop");
        self.host.signal("TERM");
        let give_up = Instant::now() + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = self.host.exit_status() {
                break status;
            }
            if Instant::now() > give_up {
                self.surprise("the daemon did not stop within 30 s".to_owned());
                self.kill();
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        // SIGTERM before the daemon handles signals kills it.
        if status.success() || status.signal() == Some(15) {
            self.is_up = false;
            return true;
        }
        self.notice_end();
        false
    }

    fn wait_until_ready(&mut self) -> bool {
        let give_up = Instant::now() + Duration::from_secs(30);
        while Instant::now() < give_up {
            if self.run(&["status", "--json"]).is_some_and(|(code, _)| code == 0 || code == 5) {
                return true;
            }
            if self.notice_end() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// Runs a command with a bound; returns its exit code and output.
    fn run(&self, args: &[&str]) -> Option<(i32, String)> {
        let out = fs::File::create(self.host.path("command.out")).unwrap();
        let mut command = self.host.command(args);
        command.stdout(out.try_clone().unwrap()).stderr(out);
        let mut child = Running(command.spawn().unwrap());
        let give_up = Instant::now() + COMMAND_TAKES;
        while Instant::now() < give_up {
            if let Some(status) = child.0.try_wait().unwrap() {
                let output = fs::read(self.host.path("command.out")).unwrap();
                return Some((status.code().unwrap_or(-1), String::from_utf8_lossy(&output).into_owned()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Whether the daemon answers.
    fn answers(&self) -> bool {
        self.is_up && !self.is_paused
    }

    fn later(&mut self, low: u64, high: u64, relief: Relief) {
        let pause = Duration::from_millis(self.rng.u64(low..high));
        self.reliefs.push((Instant::now() + pause, relief));
    }

    // ---- The faults.

    fn inject_faults(&mut self) {
        let until = self.last_slot + TimeDelta::milliseconds(700);
        let mut next = Instant::now() + Duration::from_millis(self.rng.u64(0..1500));
        while Utc::now() < until {
            if self.notice_end() {
                self.later(0, 900, Relief::Launch);
            }
            self.relieve(false);
            if Instant::now() >= next {
                let kind = if self.rng.u8(0..4) == 0 && self.fault_kinds.contains(&Nemesis::Kill) {
                    Nemesis::Kill
                } else {
                    *pick(&mut self.rng, &self.fault_kinds)
                };
                self.strike(kind);
                next = Instant::now() + Duration::from_millis(self.rng.u64(100..900));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends the faults whose time is over, or all.
    fn relieve(&mut self, all: bool) {
        let now = Instant::now();
        let (due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.reliefs).into_iter().partition(|(at, _)| all || *at <= now);
        self.reliefs = rest;
        for (_, relief) in due {
            self.end(relief, all);
        }
    }

    fn end(&mut self, relief: Relief, is_over: bool) {
        match relief {
            // At the end it is started without failpoints.
            Relief::Launch if is_over => {}
            Relief::Launch => {
                if !self.is_up {
                    self.launch_amid_faults();
                }
            }
            Relief::Continue => {
                if self.is_up && self.is_paused {
                    self.note("continue");
                    self.host.signal("CONT");
                    self.is_paused = false;
                }
            }
            Relief::StartCloud(faults) => {
                self.note("the cloud is back");
                self.cloud.start_again();
                if faults["fault"].as_array().is_some_and(|faults| !faults.is_empty()) {
                    self.cloud.add_faults(&faults.to_string());
                }
            }
            Relief::Disconnect(id) => {
                // Its current state: it may have been stopped since.
                match self.find_instance(&id) {
                    Some(spec) => self.cloud.control("instances", &spec),
                    None => self.later(100, 101, Relief::Disconnect(id)),
                }
            }
            Relief::Instance(spec) => {
                self.note(&format!("instance {spec}"));
                if self.cloud.is_up() {
                    self.cloud.control("instances", &spec);
                } else {
                    self.later(500, 501, Relief::Instance(spec));
                }
            }
            Relief::EmptyDisk => {
                self.note("the disk has room");
                if let Some(disk) = &self.disk {
                    disk.empty();
                }
                self.disk_fails = false;
                self.disk_well_since = Some(Instant::now());
            }
            Relief::LiftLimit => {
                self.note("writes work");
                if self.is_up {
                    limit_files(self.host.pid(), "unlimited");
                }
                self.disk_fails = false;
                self.disk_well_since = Some(Instant::now());
            }
            Relief::SetClock => {
                self.note("the clock is right");
                self.set_clock("+0");
                // The daemon may have read the old file just before.
                let until = Utc::now() + TimeDelta::milliseconds(300);
                self.wrong_clock.extend(self.wrong_since.take().map(|from| (from, until)));
            }
            Relief::Restore(backup) if !is_over => self.restore(&backup),
            Relief::Rollback(copy) if !is_over => self.roll_back(&copy),
            Relief::Restore(_) | Relief::Rollback(_) => {}
        }
    }

    fn strike(&mut self, kind: Nemesis) {
        match kind {
            Nemesis::Kill => {
                // The daemon may have died at a failpoint meanwhile.
                if self.is_up && !self.notice_end() {
                    self.note("kill");
                    self.kill();
                    self.count(kind);
                }
                self.later(0, 900, Relief::Launch);
            }
            // The start before armed it.
            Nemesis::Failpoint => {}
            Nemesis::Pause => {
                if self.answers() {
                    self.note("pause");
                    self.host.signal("STOP");
                    self.is_paused = true;
                    self.count(kind);
                    self.later(100, 2500, Relief::Continue);
                }
            }
            Nemesis::Restart => {
                if self.answers() && self.stop() {
                    self.count(kind);
                }
                self.later(0, 500, Relief::Launch);
            }
            Nemesis::Proxy
            | Nemesis::WrongId
            | Nemesis::Cut
            | Nemesis::Timeout
            | Nemesis::List
            | Nemesis::Throttle
            | Nemesis::CloudFault
            | Nemesis::Spoil => {
                if let (true, Some((plan, times))) = (self.cloud.is_up(), kind.fault_plan(&mut self.rng)) {
                    self.note(&plan.replace('\n', " "));
                    self.cloud.add_faults(&plan);
                    self.given.push((kind, times));
                }
            }
            Nemesis::Outage => {
                if self.cloud.is_up() {
                    self.note("outage");
                    let faults = self.cloud.faults_left();
                    self.cloud.stop();
                    self.count(kind);
                    self.later(100, 3000, Relief::StartCloud(faults));
                }
            }
            Nemesis::InstanceState | Nemesis::Connect | Nemesis::UserStart => self.touch_instance(kind),
            Nemesis::HandImage => self.make_by_hand(),
            Nemesis::DiskFull => {
                if let (Some(disk), false) = (&self.disk, self.disk_fails) {
                    self.note("the disk is full");
                    disk.fill();
                    self.disk_fails = true;
                    self.count(kind);
                    self.later(200, 3000, Relief::EmptyDisk);
                }
            }
            Nemesis::DiskError => {
                if self.answers() && !self.disk_fails {
                    self.note("writes fail");
                    limit_files(self.host.pid(), "4096");
                    self.disk_fails = true;
                    self.count(kind);
                    self.later(200, 2000, Relief::LiftLimit);
                }
            }
            Nemesis::Clock => {
                let offset = *pick(&mut self.rng, &["+90s", "+20m", "+3h", "+30h", "+5d", "+400d", "-2h", "-90s"]);
                self.note(&format!("the clock goes {offset}"));
                self.wrong_since.get_or_insert(Utc::now());
                self.set_clock(offset);
                self.count(kind);
                self.later(300, 3000, Relief::SetClock);
            }
            Nemesis::Restore => {
                let waits = self.reliefs.iter().any(|(_, relief)| matches!(relief, Relief::Restore(_)));
                if self.answers() && !waits && !self.disk_fails {
                    let path = self.host.path(&format!("backup-{}.db", self.reloads));
                    self.reloads += 2;
                    if self.run(&["backup", &path.display().to_string()]).is_some_and(|(code, _)| code == 0) {
                        self.note("backup");
                        self.later(500, 2500, Relief::Restore(path));
                    }
                }
            }
            Nemesis::Rollback => {
                let waits = self.reliefs.iter().any(|(_, relief)| matches!(relief, Relief::Rollback(_)));
                if self.answers() && !waits && !self.disk_fails && !self.notice_end() {
                    self.note("kill, and a copy of the files");
                    self.kill();
                    self.count(Nemesis::Kill);
                    let copy = self.host.path(&format!("copy-{}", self.reloads));
                    self.reloads += 2;
                    copy_history(&self.host.path("state"), &copy);
                    self.launch_amid_faults();
                    self.later(500, 2500, Relief::Rollback(copy));
                }
            }
            Nemesis::Reload => {
                if self.answers() {
                    self.reloads += 1;
                    self.configure();
                    if self.run(&["reload"]).is_some_and(|(code, _)| code == 0) {
                        self.note("reloaded");
                        self.count(kind);
                    }
                }
            }
            Nemesis::Manual => {
                if self.answers() {
                    let schedule = pick(&mut self.rng, &self.planned).schedule.clone();
                    if self.run(&["bake", &schedule]).is_some_and(|(code, _)| code == 0) {
                        self.note(&format!("asked for {schedule}"));
                        self.count(kind);
                    }
                }
            }
            Nemesis::Use | Nemesis::Pin => self.protect(kind),
        }
    }

    /// A random instance in one of these states, in the form that puts it back.
    fn instance_that_is(&mut self, states: &[&str]) -> Option<Value> {
        if !self.cloud.is_up() {
            return None;
        }
        let world = self.cloud.state();
        let is_free = |id: &Value| {
            !self.reliefs.iter().any(|(_, relief)| match relief {
                Relief::Instance(spec) => spec["instance_id"] == *id,
                Relief::Disconnect(connected) => connected == id,
                _ => false,
            })
        };
        let mut found: Vec<&Value> = world["instances"].as_array()?.iter().collect();
        found.retain(|instance| {
            let status = instance["status"].as_str().unwrap_or_default().to_ascii_lowercase();
            states.contains(&status.as_str())
                && is_free(&instance["instance_id"])
                && self.planned.iter().any(|planned| instance["instance_id"] == *planned.instance)
        });
        (!found.is_empty()).then(|| untouched(found[self.rng.usize(0..found.len())]))
    }

    /// A random instance that is not starting or stopping. Put back in such a state, it would stay in it.
    fn find_instance(&self, id: &Value) -> Option<Value> {
        if !self.cloud.is_up() {
            return None;
        }
        let world = self.cloud.state();
        let found = world["instances"].as_array()?.iter().find(|instance| instance["instance_id"] == *id)?;
        let status = found["status"].as_str()?.to_ascii_lowercase();
        ["running", "stopped"].contains(&status.as_str()).then(|| untouched(found))
    }

    fn touch_instance(&mut self, kind: Nemesis) {
        let states: &[&str] = match kind {
            Nemesis::InstanceState => &["running", "stopped"],
            Nemesis::Connect => &["running"],
            _ => &["stopped"],
        };
        let Some(before) = self.instance_that_is(states) else { return };
        let mut now = before.clone();
        match kind {
            Nemesis::InstanceState => now["status"] = json!(pick(&mut self.rng, &PASSING)),
            Nemesis::Connect => now["connected"] = json!(true),
            _ => now["status"] = json!("Running"),
        }
        self.note(&format!("{kind}: {now}"));
        self.cloud.control("instances", &now);
        self.count(kind);
        match kind {
            Nemesis::InstanceState => self.later(200, 2500, Relief::Instance(before)),
            Nemesis::Connect => self.later(200, 2500, Relief::Disconnect(before["instance_id"].clone())),
            _ => {}
        }
    }

    /// Makes an image under the name of a next slot of a line.
    fn make_by_hand(&mut self) {
        if !self.cloud.is_up() {
            return;
        }
        let planned = pick(&mut self.rng, &self.planned).clone();
        let Some(slot) = planned.slots.iter().find(|slot| **slot > Utc::now()) else { return };
        let state = self.cloud.state();
        let versions = state["images"].as_array().into_iter().flatten();
        let last = versions
            .filter(|image| image["tags"]["imagebaked:line"] == *planned.line)
            .filter_map(|image| image["tags"]["imagebaked:version"].as_str()?.parse::<u32>().ok())
            .max()
            .unwrap_or_default();
        let version = last + self.rng.u32(1..4);
        let id = format!("imgc-hand{:010}", self.by_hand.len());
        let name = format!("{}-{}-v{version}", planned.schedule, slot.format("%Y%m%d-%H%M%S"));
        let image_type = pick(&mut self.rng, &["User", "User", "Shared"]);
        let product = if planned.instance.starts_with("ws-") { "WuyingServer" } else { "CloudDesktop" };
        // Made within the minute before the slot's create call, nothing would distinguish it from the slot's own image.
        let made = Utc::now() - TimeDelta::minutes(self.rng.i64(2..600));
        let image = json!({
            "image_id": id, "image_name": name, "tags": {}, "image_type": image_type, "product_type": product,
            "created_at": made,
        });
        self.note(&format!("by hand: {image}"));
        self.cloud.control("images", &image);
        self.by_hand.insert(id);
        self.count(Nemesis::HandImage);
    }

    /// Uses or pins an image of a line that has `keep`.
    fn protect(&mut self, kind: Nemesis) {
        if !self.cloud.is_up() {
            return;
        }
        let state = self.cloud.state();
        let mut candidates: Vec<&Value> = state["images"].as_array().into_iter().flatten().collect();
        candidates.retain(|image| {
            image["status"] == "AVAILABLE"
                && self.planned.iter().any(|p| p.keep.is_some() && image["tags"]["imagebaked:line"] == *p.line)
        });
        if candidates.is_empty() {
            return;
        }
        let image = pick(&mut self.rng, &candidates)["image_id"].as_str().unwrap_or_default().to_owned();
        let protected = Protected { image: image.clone(), from: Utc::now(), until: None };
        if kind == Nemesis::Use {
            let users = pick(&mut self.rng, &["groups", "pools", "bundles", "templates"]);
            self.cloud.control(users, &json!({"id": format!("user-{}", self.used.len()), "image_id": image}));
            self.used.push(protected);
        } else if self.answers()
            && self.run(&["pin", &image, "--reason", "to be kept"]).is_some_and(|(code, _)| code == 0)
        {
            self.pinned.push(Protected { from: Utc::now(), ..protected });
        } else {
            return;
        }
        self.note(&format!("{kind}: {image}"));
        self.count(kind);
    }

    // ---- An older history.

    /// Stops the daemon when no instance is stopped that only the lost part of the history has.
    fn stop_for_history(&mut self) -> bool {
        if !self.cloud.is_up() || self.disk_fails || !self.answers() || !self.instances_run() {
            return false;
        }
        let stopped = self.stop();
        if stopped && self.instances_run() {
            return true;
        }
        self.later(0, 300, Relief::Launch);
        false
    }

    /// Whether every instance with a schedule runs. The simulator's sample account has others.
    fn instances_run(&self) -> bool {
        let state = self.cloud.state();
        state["instances"].as_array().into_iter().flatten().all(|instance| {
            let is_ours = self.planned.iter().any(|planned| instance["instance_id"] == *planned.instance);
            !is_ours || instance["status"].as_str().is_some_and(|status| status.eq_ignore_ascii_case("running"))
        })
    }

    /// Pins that the older history does not have protect nothing.
    fn forget_pins(&mut self) {
        let now = Utc::now();
        for pin in &mut self.pinned {
            pin.until.get_or_insert(now);
        }
    }

    fn restore(&mut self, backup: &Path) {
        if !self.stop_for_history() {
            return;
        }
        self.forget_pins();
        match self.run(&["restore", &backup.display().to_string()]) {
            Some((0, _)) => {
                self.note("restored");
                self.count(Nemesis::Restore);
            }
            other => self.surprise(format!("restore ended with {other:?}")),
        }
        self.launch_amid_faults();
    }

    fn roll_back(&mut self, copy: &Path) {
        if !self.stop_for_history() {
            return;
        }
        self.forget_pins();
        let state = self.host.path("state");
        for name in ["imagebaked.db", "imagebaked.db-wal", "imagebaked.db-shm"] {
            let _ = fs::remove_file(state.join(name));
        }
        for entry in fs::read_dir(copy).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), state.join(entry.file_name())).unwrap();
        }
        self.note("rolled back");
        self.count(Nemesis::Rollback);
        self.launch_amid_faults();
    }

    // ---- The end.

    fn end_faults_and_check(&mut self) -> Vec<Violation> {
        self.note("all faults end");
        // The order matters: the cloud has to be back before instances can be put back.
        let give_up = Instant::now() + Duration::from_secs(10);
        while !self.reliefs.is_empty() && Instant::now() < give_up {
            self.relieve(true);
            std::thread::sleep(Duration::from_millis(20));
        }
        self.count_struck();
        self.cloud.clear_faults();
        if !self.armed.is_empty() || !self.is_up {
            if self.is_up && self.rng.bool() && self.stop() {
                self.count(Nemesis::Restart);
            } else if self.is_up && !self.notice_end() {
                self.kill();
                self.count(Nemesis::Kill);
            }
            self.launch("");
        }
        let not_idle = self.wait_until_idle();
        self.note("judging");
        let evidence = self.evidence();
        let mut found = evidence.judge();
        if let Some(why) = not_idle {
            found.push(Violation { kind: Kind::Unhealthy, what: why });
        }
        if self.is_up && !self.stop() {
            self.surprise("the daemon could not be stopped".to_owned());
        }
        found.append(&mut self.surprises);
        found
    }

    /// Counts the faults that met a call: those that are not left in the plan.
    fn count_struck(&mut self) {
        let left = self.cloud.faults_left();
        let mut unstruck: u64 =
            left["fault"].as_array().into_iter().flatten().map(|fault| fault["times"].as_u64().unwrap_or(1)).sum();
        // Faults strike roughly in the order in which they were given.
        for (kind, times) in std::mem::take(&mut self.given).into_iter().rev() {
            let idle = unstruck.min(times);
            unstruck -= idle;
            if times > idle {
                *self.counts.entry(kind).or_default() += times - idle;
            }
        }
    }

    fn evidence(&self) -> Evidence {
        Evidence {
            planned: self.planned.clone(),
            began_at: self.began_at,
            ended_at: Utc::now(),
            world: self.cloud.state(),
            rows: self.host.rows(),
            by_hand: self.by_hand.clone(),
            used: self.used.clone(),
            pinned: self.pinned.clone(),
            wrong_clock: self.wrong_clock.clone(),
        }
    }

    /// Waits until nothing is running, and some scans longer for wrong deletions; returns the reason if that never comes.
    fn wait_until_idle(&mut self) -> Option<String> {
        let give_up = Instant::now() + IDLE_WITHIN;
        let mut why = String::new();
        let mut settled_calls = None;
        while Instant::now() < give_up {
            if self.notice_end() {
                return Some("the daemon ended after all faults had ended".to_owned());
            }
            if let Some(unrest) = self.unrest() {
                why = unrest;
                settled_calls = None;
            } else {
                let scans = self.cloud.calls("ListImage", None).len();
                if scans >= *settled_calls.get_or_insert(scans) + 4 {
                    return None;
                }
                why.clear();
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        if why.is_empty() {
            why.push_str("the images in the cloud are not scanned any more");
        }
        Some(format!("not idle after {IDLE_WITHIN:?}: {why}"))
    }

    /// What still runs, by the simulator and by `status`.
    fn unrest(&self) -> Option<String> {
        if !self.cloud.is_at_rest() {
            return Some("an image is being made".to_owned());
        }
        if !self.instances_run() {
            return Some("an instance does not run".to_owned());
        }
        let rows = self.host.rows();
        if rows.is_empty() {
            return Some("the history has no rows, or cannot be read".to_owned());
        }
        if let Some(row) = rows.iter().find(|row| is_unfinished(row, Utc::now())) {
            return Some(format!("bake {} is {}: {}", row["id"], row["state"], row["reason"]));
        }
        let missing =
            self.planned.iter().flat_map(|planned| planned.slots.iter().map(move |slot| (planned, slot))).find(
                |(planned, slot)| {
                    !rows.iter().any(|row| {
                        row["schedule"] == *planned.schedule
                            && row["instance_id"] == *planned.instance
                            && instant(&row["first_slot"]).is_some_and(|first| first <= **slot)
                            && instant(&row["slot"]).is_some_and(|last| **slot <= last)
                    })
                },
            );
        if let Some((planned, slot)) = missing {
            return Some(format!("{} {} {slot} has no row", planned.schedule, planned.instance));
        }
        let Some((_, text)) = self.run(&["status", "--json"]) else { return Some("status does not answer".to_owned()) };
        let Ok(status) = serde_json::from_str::<Value>(&text) else { return Some(format!("status: {text}")) };
        wrong_health(&status["health"], rows.iter().any(|row| row["state"] != "succeeded"))
    }

    /// Keeps everything that shows what happened.
    fn keep(&mut self, world: &Value, violations: &[Violation]) -> PathBuf {
        let mut text = String::new();
        for violation in violations {
            let _ = writeln!(text, "{violation}");
        }
        let folder = self.host.keep_folder();
        let rows = Value::from(self.host.rows());
        let _ = fs::write(folder.join("violations"), text);
        let _ = fs::write(folder.join("world.json"), format!("{world:#}"));
        let _ = fs::write(folder.join("history.json"), format!("{rows:#}"));
        if self.disk.is_some() {
            let _ =
                Command::new("cp").arg("-a").arg(folder.join("state")).arg(folder.join("state-at-the-end")).status();
        }
        folder
    }
}

/// The problems of `status` that are wrong after all faults have ended.
fn wrong_health(health: &Value, has_failures: bool) -> Option<String> {
    // The brake may ask for a confirmation. Bakes that failed are reported until a newer image is good.
    let mut allowed = vec!["prune_needs_confirmation"];
    if has_failures {
        allowed.extend(["bake_failed", "bake_missed", "no_good_image"]);
    }
    let problems = health["problems"].as_array()?;
    let wrong = problems.iter().find(|problem| problem["code"].as_str().is_none_or(|code| !allowed.contains(&code)));
    wrong.map(|problem| format!("status: {problem}"))
}

/// An instance of the simulator's state in the form that puts it back, without connected users.
fn untouched(instance: &Value) -> Value {
    json!({
        "instance_id": instance["instance_id"], "instance_type": instance["instance_type"],
        "status": instance["status"], "image_id": instance["image_id"], "connected": false,
    })
}

fn limit_files(pid: u32, bytes: &str) {
    let _ = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--fsize={bytes}:")]).status();
}

/// A copy of the database as a power cut leaves it on the disk.
fn copy_history(state: &Path, copy: &Path) {
    fs::create_dir(copy).unwrap();
    for name in ["imagebaked.db", "imagebaked.db-wal"] {
        if state.join(name).exists() {
            fs::copy(state.join(name), copy.join(name)).unwrap();
        }
    }
}

/// The kinds of faults of a scene: kills, and some of those that this machine has the means for.
pub fn fault_kinds(rng: &mut Rng, means: &Means, only: &[Nemesis]) -> Vec<Nemesis> {
    let can = |nemesis: &Nemesis| match nemesis {
        Nemesis::DiskFull => means.mount,
        Nemesis::DiskError => means.prlimit,
        Nemesis::Clock => means.faketime.is_some(),
        _ => true,
    };
    if !only.is_empty() {
        return only.iter().copied().filter(can).collect();
    }
    // The kinds are picked before the means are checked, so that a seed gives nearly the same scene on every machine.
    let mut others = Nemesis::OTHERS;
    rng.shuffle(&mut others);
    let others = others.into_iter().take(rng.usize(3..7));
    Nemesis::KILLS.into_iter().chain(others).filter(can).collect()
}

/// Schedules in TOML, and their slots.
fn timetable(rng: &mut Rng, first: DateTime<Utc>, length: i64) -> (String, Vec<Planned>) {
    let keep = rng.usize(1..3);
    let stopped_keeps = rng.bool().then_some(2);
    let mut schedules = String::new();
    let mut planned = Vec::new();
    let mut add = |name: &str, instances: &[&str], period: std::ops::Range<i64>, keep: Option<usize>, keys: &str| {
        let (period, offset) = (rng.i64(period), rng.i64(0..3));
        let slots: Vec<DateTime<Utc>> = (offset..=length)
            .step_by(usize::try_from(period).unwrap())
            .map(|second| first + TimeDelta::seconds(second))
            .collect();
        let catch_up = pick(rng, &["all", "latest", "skip"]);
        let skips = rng.u8(0..4) == 0;
        let ids: Vec<String> = instances.iter().map(|id| format!("\"{id}\"")).collect();
        let target = match ids.as_slice() {
            [one] => format!("instance_id = {one}"),
            many => format!("instance_ids = [{}]", many.join(", ")),
        };
        let _ = write!(
            schedules,
            "[[schedule]]\nname = \"{name}\"\n{target}\ncron = {:?}\ncatch_up = \"{catch_up}\"\noverlap = \"{}\"\n{}{keys}\n",
            cron(&slots, rng.bool()),
            if skips { "skip" } else { "queue" },
            keep.map(|last| format!("keep = {{ last = {last}, grace = \"500ms\" }}\n")).unwrap_or_default(),
        );
        planned.extend(instances.iter().map(|&instance| Planned {
            schedule: name.to_owned(),
            instance: instance.to_owned(),
            line: if instances.len() == 1 { name.to_owned() } else { format!("{name}/{instance}") },
            slots: slots.clone(),
            keep,
            excused: if skips { BTreeSet::from(["overlap"]) } else { BTreeSet::new() },
        }));
    };
    let stop = "stop_instance = \"required\"\n";
    add("often", &["ecd-often"], 2..4, None, "");
    add("kept", &["ecd-kept"], 1..3, Some(keep), "channels = { stable = { after = \"1s\" } }\n");
    add("stopped", &["ws-stopped"], 3..5, stopped_keeps, stop);
    let desk = "stop_instance = \"if_running\"\nif_connected = \"proceed\"\nmaintenance = true\n";
    add("desk", &["ecd-desk"], 3..5, Some(2), desk);
    add("pair-a", &["ecd-pair"], 3..6, None, "");
    add("pair-b", &["ecd-pair"], 3..6, Some(1), stop);
    add("fleet", &["ecd-fleet", "ecd-horde"], 3..6, None, "channels = { pilot = {} }\n");
    (schedules, planned)
}

/// Cron expressions for these slots, on their day only or on every day.
fn cron(slots: &[DateTime<Utc>], daily: bool) -> Vec<String> {
    let mut minutes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for slot in slots {
        let day = if daily { "* *".to_owned() } else { slot.format("%-d %-m").to_string() };
        minutes
            .entry(slot.format(&format!("%-M %-H {day} *")).to_string())
            .or_default()
            .push(slot.second().to_string());
    }
    minutes.into_iter().map(|(rest, seconds)| format!("{} {rest}", seconds.join(","))).collect()
}
