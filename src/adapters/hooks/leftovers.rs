//! Processes that a command left behind outside of its process group, in a session of their own. They have a variable of its
//! run in their environment. One that was started with an empty environment is not found.

use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable that every process of a run inherits.
const VARIABLE: &str = "IMAGEBAKED_HOOK_RUN";
/// How often the processes are read: one that is killed may have started another one meanwhile.
const READINGS: usize = 8;

/// The mark of one run.
#[derive(Debug, Clone)]
pub(super) struct Run(String);

impl Run {
    /// A mark that no other run has.
    pub(super) fn new() -> Self {
        Self(format!("{}-{:016x}", std::process::id(), fastrand::u64(..)))
    }

    /// Name and value of the variable.
    pub(super) fn variable(&self) -> (&'static str, &str) {
        (VARIABLE, &self.0)
    }

    /// Kills every process of the run. Reads the list of all processes.
    pub(super) fn end(&self) {
        for _ in 0..READINGS {
            let left = self.left();
            if left.is_empty() {
                return;
            }
            for pid in left {
                let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
                // The number may be that of another process by now; the descriptor stays with this one.
                if self.is_of_run(pid) {
                    let _ = pidfd_send_signal(&process, Signal::KILL);
                }
            }
        }
    }

    fn left(&self) -> Vec<Pid> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.filter_map(Pid::from_raw).filter(|pid| self.is_of_run(*pid)).collect()
    }

    /// Processes of other users, and those that have ended, have no environment here.
    fn is_of_run(&self, pid: Pid) -> bool {
        let Ok(environment) = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())) else { return false };
        let wanted = format!("{VARIABLE}={}", self.0);
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    }
}
