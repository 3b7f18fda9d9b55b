//! A simulated cloud and a host with a real daemon, both child processes, for tests from outside.
//!
//! The machine's environment does not reach them, the kernel chooses their ports, and a child is killed when its handle is
//! dropped. Waits are for a state, with a bound; no test sleeps for a fixed time.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    unreachable_pub,
    reason = "helpers of tests are not recognised as tests; a failure in them is a failed test, and not every test needs all"
)]

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// The bound of every wait: far above what a machine needs that does ten other things, and whose disk takes seconds to sync.
pub const BOUND: Duration = Duration::from_mins(3);

/// The simulator's key pair. The secret is unique, so that tests can search output for it.
pub const KEY_ID: &str = "sim-key-id";
/// See [`KEY_ID`].
pub const SECRET: &str = "Zs3cr3tNowhereToBeSeen";

/// `imagebaked`, with nothing in its environment.
pub fn imagebaked() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imagebaked"));
    command.env_clear().env("TZ", "UTC").stdin(Stdio::null());
    command
}

/// The variables that a command sets, for one that runs it in another way.
pub fn environment_of(command: &Command) -> impl Iterator<Item = (&OsStr, &OsStr)> {
    command.get_envs().filter_map(|(name, value)| Some((name, value?)))
}

/// Polls until there is a value. Panics after [`BOUND`] with `what`.
pub fn eventually<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + BOUND;
    loop {
        if let Some(seen) = poll() {
            return seen;
        }
        assert!(Instant::now() < give_up, "waited {BOUND:?} for this in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A child process that is killed when its handle is dropped.
#[derive(Debug)]
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A simulator in its own process.
#[derive(Debug)]
pub struct Cloud {
    pub addr: SocketAddr,
    args: Vec<String>,
    child: Option<Running>,
}

impl Cloud {
    /// Starts a simulator that accepts every instance id and makes images within a moment.
    pub fn start() -> Self {
        Self::with(&["--open", "--build-time", "300ms", "--power-time", "200ms", "--builders", "50"])
    }

    /// Starts a simulator with these arguments.
    pub fn with(args: &[&str]) -> Self {
        Self::at("127.0.0.1:0", args)
    }

    /// Starts a simulator at this address.
    pub fn at(listen: &str, args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let (addr, child) = Self::spawn(listen, &args);
        Self { addr, args, child: Some(child) }
    }

    fn spawn(listen: &str, args: &[String]) -> (SocketAddr, Running) {
        let mut child = imagebaked()
            .args(["sim", "--listen", listen])
            .args(args)
            .env("SIM_ACCESS_KEY_SECRET", SECRET)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let child = Running(child);
        let mut first = String::new();
        BufReader::new(stdout).read_line(&mut first).unwrap();
        let addr = first.split_once("http://").and_then(|(_, rest)| rest.split(';').next());
        (addr.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{first}")), child)
    }

    /// Ends the simulator in an orderly way: nothing listens at its address until [`start_again`](Self::start_again). Its state
    /// is lost without a `--state` file. Its fault plan is always lost.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(child.0.id(), "TERM");
            eventually("the simulator has stopped", || child.0.try_wait().unwrap());
        }
    }

    /// Starts it again at its old address.
    pub fn start_again(&mut self) {
        self.child = Some(Self::spawn(&self.addr.to_string(), &self.args).1);
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.child.is_some()
    }

    /// Changes something as another user of the account: `instances`, `images`, `groups`.
    pub fn control(&self, what: &str, body: &Value) {
        let answer = exchange(self.addr, "POST", &format!("/_sim/{what}"), &body.to_string());
        assert!(answer.starts_with("HTTP/1.1 200"), "{body}: {answer}");
    }

    /// The faults that have not struck yet.
    pub fn faults_left(&self) -> Value {
        body(&exchange(self.addr, "GET", "/_sim/faults", ""))
    }

    /// Takes back all faults.
    pub fn clear_faults(&self) {
        exchange(self.addr, "DELETE", "/_sim/faults", "");
    }

    /// Whether no image is being made.
    pub fn is_at_rest(&self) -> bool {
        let making = ["INIT", "CREATING"].map(Value::from);
        self.state()["images"].as_array().unwrap().iter().all(|image| !making.contains(&image["status"]))
    }

    /// Adds faults, counted from now.
    pub fn add_faults(&self, plan: &str) {
        let answer = exchange(self.addr, "POST", "/_sim/faults", plan);
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    }

    /// The whole state of the simulated cloud.
    pub fn state(&self) -> Value {
        body(&exchange(self.addr, "GET", "/_sim/state", ""))
    }

    /// The calls of `action` that reached it, in order, of one instance or of all.
    pub fn calls(&self, action: &str, instance: Option<&str>) -> Vec<Value> {
        let state = self.state();
        let calls = state["calls"].as_array().unwrap().iter();
        calls
            .filter(|call| call["action"] == action && instance.is_none_or(|id| call["instance_id"] == id))
            .cloned()
            .collect()
    }

    /// All images of `instance` that were ever made.
    pub fn images(&self, instance: &str) -> Vec<Value> {
        let state = self.state();
        state["images"].as_array().unwrap().iter().filter(|image| image["instance_id"] == instance).cloned().collect()
    }
}

/// Sends one request to the simulator's controls; returns the whole response as text.
pub fn exchange(addr: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The JSON document of a response of the simulator's controls.
fn body(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Sends a process a signal, by the name that `kill` uses.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Runs a function for each of `items`, a few at a time; returns the results in order.
pub fn in_parallel<T: Sync, R: Send>(at_once: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let result = work(item);
                    done.lock().unwrap().push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// A number from the environment, for sweeps of any length.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A folder with a configuration, a key pair and the daemon's state.
#[derive(Debug)]
pub struct Host {
    folder: TempDir,
    daemon: Option<Running>,
}

impl Host {
    /// A configuration whose `[cloud]` has this `endpoint` and short timeouts. `schedules` follows, and may begin with more
    /// keys of `[cloud]`.
    pub fn new(endpoint: SocketAddr, schedules: &str) -> Self {
        let host = Self::bare();
        host.configure(endpoint, schedules);
        host
    }

    /// A host with a key pair and no configuration yet.
    pub fn bare() -> Self {
        let host = Self { folder: TempDir::with_prefix("imagebaked-").unwrap(), daemon: None };
        fs::create_dir(host.path("keys")).unwrap();
        host.set_key(SECRET);
        host
    }

    /// Keeps the folder for inspection.
    pub fn keep_folder(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    /// A host whose history has one bake of another cloud. An empty history is compared with the cloud before anything else,
    /// which most tests are not about.
    pub fn with_history(endpoint: SocketAddr, schedules: &str) -> Self {
        let cloud = Cloud::start();
        let first = "[[schedule]]\nname = \"first\"\ninstance_id = \"ecd-first\"\ncron = \"0 3 1 1 *\"\n";
        let mut host = Self::new(cloud.addr, first);
        host.start();
        host.bake("first");
        // Until then every start compares the history again, because the cloud's list may be late.
        eventually("the history is settled", || host.log().contains("the history is settled").then_some(()));
        host.stop();
        host.configure(endpoint, schedules);
        host
    }

    /// A path in the host's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts this secret into the files that the daemon reads its key pair from.
    pub fn set_key(&self, secret: &str) {
        fs::write(self.path("keys/access_key_id"), KEY_ID).unwrap();
        fs::write(self.path("keys/access_key_secret"), secret).unwrap();
    }

    /// The rows of the history; none where it cannot be read.
    pub fn rows(&self) -> Vec<Value> {
        let output = self.run(&["history", "--json", "--limit", "100000"]);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        document["bakes"].as_array().cloned().unwrap_or_default()
    }

    /// Writes the configuration anew; see [`Host::new`].
    pub fn configure(&self, endpoint: SocketAddr, schedules: &str) {
        let at = |name| self.path(name).display().to_string();
        let text = format!(
            "[daemon]\nstate_dir = \"{}\"\ncontrol_socket = \"{}\"\nlisten = \"\"\nmax_builders = 20\ndrain = \"2s\"\n\n\
             [cloud]\nendpoint = \"http://{endpoint}\"\ncredentials = \"files\"\ncredentials_dir = \"{}\"\n\
             poll_interval = \"50ms\"\nlookup_window = \"1s\"\nrequests_per_second = 200\ntimeout = \"10s\"\n{schedules}",
            at("state"),
            at("control.sock"),
            at("keys")
        );
        fs::write(self.path("imagebaked.toml"), text).unwrap();
    }

    /// An `imagebaked` command on this host.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = imagebaked();
        command.env("IMAGEBAKED_CONFIG", self.path("imagebaked.toml")).args(args);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must end with `code`; returns its standard output and standard error.
    pub fn expect(&self, code: i32, args: &[&str]) -> (String, String) {
        let output = self.run(args);
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "imagebaked {args:?}\n{out}\n{err}\n{}", self.log());
        (out, err)
    }

    /// Runs a command with `--json` that must end with `code`; returns the document that it prints.
    pub fn json(&self, code: i32, args: &[&str]) -> Value {
        let (out, err) = self.expect(code, &[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}{err}"))
    }

    /// The newest row of the history that `filter` accepts.
    pub fn newest(&self, filter: &[&str]) -> Option<Value> {
        self.json(0, &[&["history", "--limit", "1"], filter].concat())["bakes"].get(0).cloned()
    }

    /// Waits until the newest row that `filter` accepts is as wanted.
    pub fn until(&self, what: &str, filter: &[&str], is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || self.newest(filter).filter(&is_so))
    }

    /// Bakes `schedule` now and waits for the end; returns the row and the calls, as `show` has them.
    pub fn bake(&self, schedule: &str) -> Value {
        let output = self.run(&["bake", schedule, "--wait", "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let is_good =
            |bake: &Value| bake["state"] == "succeeded" && (bake["verify"].is_null() || bake["verify"] == "passed");
        let good = report["bakes"].as_array().unwrap().iter().all(is_good);
        assert_eq!(output.status.code(), Some(i32::from(!good)), "{report}");
        self.show(&report["bakes"][0]["id"])
    }

    /// A bake, with its calls.
    pub fn show(&self, id: &Value) -> Value {
        self.json(0, &["show", &id.to_string()])
    }

    /// Starts the daemon and waits until it is ready.
    pub fn start(&mut self) -> &Self {
        let command = self.command(&["run", "--log-filter", "debug"]);
        self.start_by(command)
    }

    /// Starts the daemon with this command and waits until it is ready.
    pub fn start_by(&mut self, mut command: Command) -> &Self {
        let ready = |log: &str| log.matches("imagebaked is ready").count();
        let before = ready(&self.log());
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("daemon.log")).unwrap();
        let child = command.stderr(log).stdout(Stdio::null()).spawn().unwrap();
        self.daemon = Some(Running(child));
        eventually("the daemon is ready", || {
            if let Ok(Some(status)) = self.daemon.as_mut().unwrap().0.try_wait() {
                panic!("the daemon ended with {status}:\n{}", self.log());
            }
            (ready(&self.log()) > before).then_some(())
        });
        self
    }

    /// Starts the daemon with armed failpoints, and does not wait.
    pub fn launch(&mut self, failpoint: &str) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("daemon.log")).unwrap();
        let mut command = self.command(&["run"]);
        if !failpoint.is_empty() {
            command.env("IMAGEBAKED_FAILPOINT", failpoint);
        }
        self.watch_over(command.stderr(log).stdout(Stdio::null()).spawn().unwrap());
    }

    /// Takes over a daemon that a test started in another way.
    pub fn watch_over(&mut self, daemon: Child) {
        self.daemon = Some(Running(daemon));
    }

    /// The exit status of the daemon, if it has ended.
    pub fn exit_status(&mut self) -> Option<std::process::ExitStatus> {
        self.daemon.as_mut().and_then(|daemon| daemon.0.try_wait().unwrap())
    }

    /// Whether the daemon has ended. Panics if it ended in another way than by a signal.
    pub fn has_died(&mut self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        match self.exit_status() {
            None => false,
            Some(status) => {
                assert_eq!(status.signal(), Some(9), "{status}:\n{}", self.log());
                true
            }
        }
    }

    /// Ends the daemon as a power cut does.
    pub fn kill(&mut self) {
        // The handle kills it and waits for it.
        self.daemon = None;
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().0.id()
    }

    /// Sends the daemon a signal, by the name that `kill` uses.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Stops the daemon in an orderly way.
    pub fn stop(&mut self) {
        self.signal("TERM");
        self.stopped();
    }

    /// Waits for the end of a daemon that ends by itself; its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        let mut daemon = self.daemon.take().unwrap();
        eventually("the daemon has ended", || daemon.0.try_wait().unwrap()).code()
    }

    /// Waits for the end of a daemon that was asked to stop.
    pub fn stopped(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        let status = eventually("the daemon has stopped", || daemon.0.try_wait().unwrap());
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    /// All that the daemon has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// Every file in the folder but the key pair.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    if !path.ends_with("keys") {
                        walk(&path, found);
                    }
                } else if path.is_file() {
                    found.push((path.clone(), fs::read(&path).unwrap()));
                }
            }
        }
        let mut found = Vec::new();
        walk(self.folder.path(), &mut found);
        found
    }
}

/// The calls of a bake that failed with `code`.
pub fn calls_with<'a>(bake: &'a Value, code: &str) -> Vec<&'a Value> {
    bake["calls"].as_array().unwrap().iter().filter(|call| call["code"] == code).collect()
}
