//! A simulated cloud and a host with a real daemon, both child processes, for tests from outside.
//!
//! Nothing of the machine's own environment reaches them, ports are chosen by the kernel, and what was started is killed
//! when its handle goes. Waits are for a state to be reached, with a bound; no test sleeps to hope.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    unreachable_pub,
    reason = "helpers of tests are not recognised as tests; a failure in them is a failed test, and not every test needs all"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// The longest wait for anything that should happen.
pub const BOUND: Duration = Duration::from_secs(30);

/// The simulator's key pair; the secret is one that can be searched for.
pub const KEY_ID: &str = "sim-key-id";
/// See [`KEY_ID`].
pub const SECRET: &str = "Zs3cr3tNowhereToBeSeen";

/// `imagebaked`, with nothing in its environment.
pub fn imagebaked() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imagebaked"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// Looks until there is something to see.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + BOUND;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < give_up, "waited {BOUND:?} for this in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A child that does not outlive its handle.
#[derive(Debug)]
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A simulator of its own.
#[derive(Debug)]
pub struct Cloud {
    pub addr: SocketAddr,
    _child: Running,
}

impl Cloud {
    /// With images that take a moment, taking every instance id as it comes.
    pub fn start() -> Self {
        Self::with(&["--open", "--build-time", "300ms", "--power-time", "200ms", "--builders", "50"])
    }

    /// With these arguments.
    pub fn with(args: &[&str]) -> Self {
        Self::at("127.0.0.1:0", args)
    }

    /// At this address.
    pub fn at(listen: &str, args: &[&str]) -> Self {
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
        Self { addr: addr.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{first}")), _child: child }
    }

    /// Adds faults, counted from now.
    pub fn add_faults(&self, plan: &str) {
        let answer = exchange(self.addr, "POST", "/_sim/faults", plan);
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    }

    /// Everything the simulated cloud knows.
    pub fn state(&self) -> Value {
        let answer = exchange(self.addr, "GET", "/_sim/state", "");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
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

    /// The images that were ever made of `instance`.
    pub fn images(&self, instance: &str) -> Vec<Value> {
        let state = self.state();
        state["images"].as_array().unwrap().iter().filter(|image| image["instance_id"] == instance).cloned().collect()
    }
}

/// One request to the simulator's controls; the whole answer as text.
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

/// A folder with a configuration, a key pair, and what the daemon makes of them.
#[derive(Debug)]
pub struct Host {
    folder: TempDir,
    daemon: Option<Running>,
}

impl Host {
    /// `[cloud]` points at `endpoint` and is quick; `schedules` follows, and may begin with more keys of `[cloud]`.
    pub fn new(endpoint: SocketAddr, schedules: &str) -> Self {
        let host = Self { folder: TempDir::new().unwrap(), daemon: None };
        fs::create_dir(host.path("keys")).unwrap();
        host.set_key(SECRET);
        host.configure(endpoint, schedules);
        host
    }

    /// A host with a history of one bake under another cloud: one that is empty is compared with the cloud before anything
    /// else, which is not what every test is about.
    pub fn with_history(endpoint: SocketAddr, schedules: &str) -> Self {
        let cloud = Cloud::start();
        let first = "[[schedule]]\nname = \"first\"\ninstance_id = \"ecd-first\"\ncron = \"0 3 1 1 *\"\n";
        let mut host = Self::new(cloud.addr, first);
        host.start();
        host.bake("first");
        // Until then what the cloud lists may be late, and every start asks anew.
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

    /// A command on this host.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = imagebaked();
        command.arg("--config").arg(self.path("imagebaked.toml")).args(args);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must end with `code`; what it says, and what it says on standard error.
    pub fn expect(&self, code: i32, args: &[&str]) -> (String, String) {
        let output = self.run(args);
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "imagebaked {args:?}\n{out}\n{err}\n{}", self.log());
        (out, err)
    }

    /// Runs a command with `--json` that must end with `code`; the one document that it prints.
    pub fn json(&self, code: i32, args: &[&str]) -> Value {
        let (out, err) = self.expect(code, &[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}{err}"))
    }

    /// The ledger's newest row that `filter` lets through.
    pub fn newest(&self, filter: &[&str]) -> Option<Value> {
        self.json(0, &[&["history", "--limit", "1"], filter].concat())["bakes"].get(0).cloned()
    }

    /// Waits until the newest row that `filter` lets through is as wanted.
    pub fn until(&self, what: &str, filter: &[&str], is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || self.newest(filter).filter(&is_so))
    }

    /// Bakes `schedule` now, to its end; the row and the calls, as `show` has them.
    pub fn bake(&self, schedule: &str) -> Value {
        let output = self.run(&["bake", schedule, "--wait", "--json"]);
        let told: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let is_good =
            |bake: &Value| bake["state"] == "succeeded" && (bake["verify"].is_null() || bake["verify"] == "passed");
        let good = told["bakes"].as_array().unwrap().iter().all(is_good);
        assert_eq!(output.status.code(), Some(i32::from(!good)), "{told}");
        self.show(&told["bakes"][0]["id"])
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

    /// Starts the daemon by this command and waits until it is ready.
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

    /// Starts the daemon, with points armed at which it dies, and waits for nothing.
    pub fn launch(&mut self, failpoint: &str) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("daemon.log")).unwrap();
        let mut command = self.command(&["run"]);
        if !failpoint.is_empty() {
            command.env("IMAGEBAKED_FAILPOINT", failpoint);
        }
        self.daemon = Some(Running(command.stderr(log).stdout(Stdio::null()).spawn().unwrap()));
    }

    /// Whether the daemon has ended; it must have been killed then, and not have given up.
    pub fn has_died(&mut self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        match self.daemon.as_mut().unwrap().0.try_wait().unwrap() {
            None => false,
            Some(status) => {
                assert_eq!(status.signal(), Some(9), "{status}:\n{}", self.log());
                true
            }
        }
    }

    /// Ends the daemon as a power cut does.
    pub fn kill(&mut self) {
        // Killed, and waited for, by the handle.
        self.daemon = None;
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().0.id()
    }

    /// Sends the daemon a signal, by the name that `kill` knows it under.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
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

    /// Waits for the end of a daemon that was told to stop.
    pub fn stopped(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        let status = eventually("the daemon has stopped", || daemon.0.try_wait().unwrap());
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    /// All that the daemon has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// Everything in the folder but the key pair itself, file by file.
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

/// The calls of a bake that met `code`.
pub fn calls_with<'a>(bake: &'a Value, code: &str) -> Vec<&'a Value> {
    bake["calls"].as_array().unwrap().iter().filter(|call| call["code"] == code).collect()
}
