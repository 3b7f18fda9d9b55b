//! Runs the operator's commands on this host.
//!
//! A command is a program and its arguments, without a shell. It has its own process group, and nothing that it started
//! outlives it, neither in the background, nor in another group, nor by ignoring the signal at its timeout. The end of its
//! output is stored, without the secrets that the daemon knows: a command of the same user may read them elsewhere. It has
//! the given variables, one of its run and a `PATH`, and nothing of the daemon's own environment, which may contain
//! credentials.

mod leftovers;

use std::{
    ffi::OsStr,
    io,
    os::{fd::OwnedFd, unix::process::CommandExt as _, unix::process::ExitStatusExt as _},
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe,
    process::Child,
    time::{Instant, timeout, timeout_at},
};

use self::leftovers::Run;
use super::secrets::{KnownSecrets, LONGEST_WRITTEN, MASK, apart, shapes};
use crate::domain::{
    hooks::{HookCommand, HookOutcome, HookResult},
    text::clean_end,
};

/// The same on every host, whatever the service manager sets.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Maximum bytes of stored output, the last ones.
pub const KEPT: usize = 4096;
/// Time between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(5);
/// Time for reading output after the end. It is available at once, unless a process has left the group with the pipe.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Runs `command` in `folder` to its end, which comes after `limit` plus a grace at the latest. Dropping the future
/// kills the command. `secrets` are masked in its output.
pub async fn run<K, V>(
    command: &HookCommand,
    environment: impl IntoIterator<Item = (K, V)>,
    folder: &Path,
    limit: Duration,
    secrets: &KnownSecrets,
) -> HookOutcome
where
    K: AsRef<OsStr>,
    V: AsRef<OsStr>,
{
    match Running::start(command, environment, folder) {
        Ok(mut running) => running.finish(limit, secrets).await,
        Err(error) => HookOutcome { result: HookResult::NotStarted(error.to_string()), output: String::new() },
    }
}

/// A running command.
struct Running {
    child: Child,
    group: Group,
    pipe: pipe::Receiver,
    tail: Tail,
}

impl Running {
    fn start<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        hook: &HookCommand,
        environment: impl IntoIterator<Item = (K, V)>,
        folder: &Path,
    ) -> io::Result<Self> {
        let run = Run::new();
        let (ours, theirs) = io::pipe()?;
        let pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(ours))?;
        let mut command = std::process::Command::new(hook.program());
        command
            .args(hook.arguments())
            .env_clear()
            .env("PATH", PATH)
            .envs(environment)
            .envs([run.variable()])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(theirs.try_clone()?)
            .stderr(theirs)
            .process_group(0);
        // The command holds the other end of the pipe until this drop.
        let child = tokio::process::Command::from(command).spawn()?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())), run);
        Ok(Self { child, group, pipe, tail: Tail::default() })
    }

    async fn finish(&mut self, limit: Duration, secrets: &KnownSecrets) -> HookOutcome {
        let status = self.ended(Instant::now() + limit).await;
        let result = match status {
            Some(Ok(status)) => result(status),
            Some(Err(error)) => HookResult::NotStarted(error.to_string()),
            None => {
                self.group.signal(Signal::TERM);
                self.ended(Instant::now() + GRACE).await;
                HookResult::TimedOut(limit)
            }
        };
        self.group.kill();
        // The list of all processes may be long.
        let run = self.group.1.clone();
        let _ = tokio::task::spawn_blocking(move || run.end()).await;
        // Those that hide may still hold the pipe; they are not waited for.
        let _ = timeout(LAST_WORDS, self.read_to_end()).await;
        // Reaps it after a kill.
        let _ = timeout(LAST_WORDS, self.child.wait()).await;
        HookOutcome { result, output: self.tail.text(secrets) }
    }

    /// Reads its output until it has ended; `None` if it has not by then.
    async fn ended(&mut self, until: Instant) -> Option<io::Result<ExitStatus>> {
        let mut buffer = [0; KEPT];
        let mut open = true;
        let ended = async {
            loop {
                tokio::select! {
                    status = self.child.wait() => break status,
                    read = self.pipe.read(&mut buffer), if open => match read {
                        Ok(length) if length > 0 => self.tail.push(&buffer[..length]),
                        _ => open = false,
                    },
                }
            }
        };
        timeout_at(until, ended).await.ok()
    }

    async fn read_to_end(&mut self) {
        let mut buffer = [0; KEPT];
        while let Ok(length) = self.pipe.read(&mut buffer).await
            && length > 0
        {
            self.tail.push(&buffer[..length]);
        }
    }
}

fn result(status: ExitStatus) -> HookResult {
    match (status.code(), status.signal()) {
        (Some(code), _) => HookResult::Exited(code),
        (None, signal) => HookResult::Killed(signal.unwrap_or_default()),
    }
}

/// Process group of a command, with what left it; killed on drop.
struct Group(Option<Pid>, Run);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.0 {
            // Fails if the group is empty.
            let _ = kill_process_group(leader, signal);
        }
    }

    /// Only once: the number may be reused.
    fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.kill();
            let run = self.1.clone();
            std::thread::spawn(move || run.end());
        }
    }
}

/// The end of the output, and so much before it that a secret at its beginning is whole.
#[derive(Debug, Default)]
struct Tail {
    bytes: Vec<u8>,
    cut: bool,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let surplus = self.bytes.len().saturating_sub(KEPT + LONGEST_WRITTEN);
        self.cut |= surplus > 0;
        self.bytes.drain(..surplus);
    }

    /// Without secrets. What may be the end of one is left out.
    fn masked(&self, secrets: &KnownSecrets) -> Vec<u8> {
        let mut masked = Vec::with_capacity(self.bytes.len());
        let mut from = if self.cut { LONGEST_WRITTEN } else { 0 };
        let mut found = secrets.find(&self.bytes);
        found.extend(shapes::find(&self.bytes));
        for secret in apart(found) {
            // It ended before.
            if secret.end <= from {
                continue;
            }
            masked.extend_from_slice(self.bytes.get(from..secret.start).unwrap_or_default());
            masked.extend_from_slice(MASK.as_bytes());
            from = secret.end;
        }
        masked.extend_from_slice(&self.bytes[from..]);
        masked
    }

    /// As printable text: no partial characters, and control characters as their escapes.
    fn text(&self, secrets: &KnownSecrets) -> String {
        let bytes = self.masked(secrets);
        let is_inside = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
        let half = if self.cut { bytes.iter().take_while(is_inside).count() } else { 0 };
        let text = String::from_utf8_lossy(&bytes[half..]);
        // Line ends of other systems are line ends. Escapes, and the replacement of an invalid byte, are longer than the byte.
        clean_end(text.replace("\r\n", "\n").trim_end(), KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::secrets::examples::EXAMPLES;

    fn command(words: &[&str]) -> HookCommand {
        HookCommand(words.iter().map(|word| (*word).to_owned()).collect())
    }

    async fn shell(script: &str, limit: Duration) -> HookOutcome {
        run(&command(&["/bin/sh", "-c", script]), [("GREETING", "hello")], Path::new("/"), limit, &none()).await
    }

    fn none() -> KnownSecrets {
        KnownSecrets::default()
    }

    const LONG: Duration = Duration::from_secs(20);

    fn is_alive(pid: &str) -> bool {
        // A zombie is as good as gone.
        std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// Signals take a moment.
    async fn is_gone(pid: &str) -> bool {
        timeout(LONG, async {
            while is_alive(pid) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .is_ok()
    }

    #[tokio::test]
    async fn both_outputs_the_status_and_the_environment_come_through() {
        let outcome = shell("echo out; echo err >&2; env | sort; pwd; exit 3", LONG).await;
        assert_eq!(outcome.result, HookResult::Exited(3));
        let mut lines: Vec<&str> = outcome.output.lines().filter(|line| !line.starts_with("_=")).collect();
        lines.retain(|line| !line.starts_with("SHLVL=") && !line.starts_with("OLDPWD="));
        lines.retain(|line| !line.starts_with("IMAGEBAKED_HOOK_RUN="));
        assert_eq!(lines, ["out", "err", "GREETING=hello", &format!("PATH={PATH}"), "PWD=/", "/"]);
        assert_eq!(outcome.last_word(), "/");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_was_not_started() {
        let outcome = run(&command(&["/nowhere/x"]), [("A", "b")], Path::new("/"), LONG, &none()).await;
        assert!(matches!(outcome.result, HookResult::NotStarted(_)), "{outcome:?}");
        let outcome = run(&command(&[]), [("A", "b")], Path::new("/"), LONG, &none()).await;
        assert!(matches!(outcome.result, HookResult::NotStarted(_)), "{outcome:?}");
    }

    #[tokio::test]
    async fn what_it_leaves_in_the_background_does_not_hold_it_and_does_not_outlive_it() {
        let outcome = shell("sleep 600 & echo $!", LONG).await;
        assert_eq!(outcome.result, HookResult::Exited(0));
        assert!(is_gone(&outcome.output).await, "{outcome:?}");
    }

    #[tokio::test]
    async fn what_leaves_its_group_does_not_outlive_it() {
        let folder = tempfile::tempdir().unwrap();
        let inner = "sleep 600 & echo $! $$ > pid.new; mv pid.new pid; wait";
        let script = format!("setsid sh -c '{inner}' & while [ ! -e pid ]; do sleep 0.01; done; cat pid");
        let hook = command(&["/bin/sh", "-c", &script]);
        let outcome = run(&hook, [("A", "b")], folder.path(), LONG, &none()).await;
        assert_eq!(outcome.result, HookResult::Exited(0), "{outcome:?}");
        let pids: Vec<&str> = outcome.output.split_whitespace().collect();
        assert_eq!(pids.len(), 2, "{outcome:?}");
        for pid in pids {
            assert!(is_gone(pid).await, "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn the_whole_group_ends_when_its_time_is_up() {
        let outcome = shell("sleep 600 & echo $!; wait", Duration::from_millis(300)).await;
        assert_eq!(outcome.result, HookResult::TimedOut(Duration::from_millis(300)));
        assert!(is_gone(&outcome.output).await, "{outcome:?}");
    }

    #[tokio::test]
    async fn one_that_ends_in_its_grace_may_print_why() {
        let outcome = shell("trap 'echo cleaned up; exit 0' TERM; sleep 600 & wait", Duration::from_millis(300)).await;
        assert!(matches!(outcome.result, HookResult::TimedOut(_)), "it did not do what it was to do");
        assert_eq!(outcome.output, "cleaned up");
    }

    #[tokio::test]
    async fn a_dropped_run_kills_the_group() {
        let folder = tempfile::tempdir().unwrap();
        let script = "sleep 600 & echo $! > pid.new; mv pid.new pid; wait";
        let hook = command(&["/bin/sh", "-c", script]);
        let mut running = Running::start(&hook, [("A", "b")], folder.path()).unwrap();
        let path = folder.path().join("pid");
        let pid = loop {
            assert!(running.ended(Instant::now() + Duration::from_millis(20)).await.is_none());
            if let Ok(pid) = std::fs::read_to_string(&path) {
                break pid;
            }
        };
        assert!(is_alive(&pid));
        drop(running);
        assert!(is_gone(&pid).await);
    }

    #[tokio::test]
    async fn the_end_of_much_output_is_kept() {
        let outcome = shell("i=0; while [ $i -lt 20000 ]; do echo 桌面 $i; i=$((i+1)); done", LONG).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        assert!(outcome.output.len() <= KEPT && outcome.output.len() > KEPT - 10, "{}", outcome.output.len());
        assert_eq!(outcome.last_word(), "桌面 19999");
    }

    #[tokio::test]
    async fn secrets_that_it_prints_are_masked_wherever_they_stand() {
        let (secrets, secret) = (KnownSecrets::default(), "hunter2-hunter2");
        secrets.learn(secret);
        let printed = format!("printf 'a={secret}\\0b={secret}'; echo {secret} >&2");
        let hook = command(&["/bin/sh", "-c", &printed]);
        let outcome = run(&hook, [("A", "b")], Path::new("/"), LONG, &secrets).await;
        assert_eq!(outcome.output, "a=***\\u{0}b=***");
        // Wherever the output is cut, no end of a secret is left of it.
        let end = LONGEST_WRITTEN + 2 * secret.len();
        for more in (0..4 * secret.len()).chain(LONGEST_WRITTEN - 2 * secret.len()..end) {
            let mut tail = Tail::default();
            tail.push(format!("{}{secret}{}", "x".repeat(40), "y".repeat(KEPT - secret.len() + more)).as_bytes());
            let text = tail.text(&secrets);
            assert!(!text.contains("hunter2") && !text.contains("ter2y") && text.ends_with('y'), "{more}: {text}");
            assert!(text.len() > KEPT - 2 * secret.len(), "{more}: {}", text.len());
        }
    }

    #[test]
    fn what_looks_like_a_secret_is_masked_too() {
        for (text, hidden) in EXAMPLES {
            for more in ["\n", "\r\n", "\u{1b}[0m\n"] {
                let mut tail = Tail::default();
                tail.push(b"begin\n");
                tail.push(text.as_bytes());
                tail.push(more.as_bytes());
                tail.push(b"end");
                let shown = tail.text(&none());
                assert!(!hidden.iter().any(|secret| shown.contains(secret)), "{text}: {shown}");
                assert!(shown.starts_with("begin\n"), "{shown}");
            }
        }
    }

    #[test]
    fn what_is_kept_is_text() {
        let mut tail = Tail::default();
        tail.push(b"\x1b[31mred\x07 \xff \xe6\xa1\x8c\r\n\n");
        assert_eq!(tail.text(&none()), "\\u{1b}[31mred\\u{7} \u{fffd} 桌");
        let mut tail = Tail::default();
        tail.push("桌".repeat(KEPT).as_bytes());
        assert_eq!(tail.text(&none()), "桌".repeat(KEPT / 3));
        tail.push(&[0xff; 2 * KEPT]);
        assert!(tail.text(&none()).len() <= KEPT);
        tail.push(&[0x1b; 2 * KEPT]);
        assert!(tail.text(&none()).len() <= KEPT && tail.text(&none()).starts_with(r"\u{1b}"));
    }
}
