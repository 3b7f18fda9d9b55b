//! Whether a daemon that has not answered yet still runs, by what the kernel knows of its process. A daemon that is slow under
//! load gets processor time, or waits for it or for a disk; one that hangs does none of these, and one that was stopped by a
//! signal is marked as such.
//!
//! Without a readable `/proc`, or with the daemon in another namespace of processes, nothing is concluded.

use std::{fs, time::Duration};

/// What shows more of the daemon.
pub const SERVICE: &str = "systemctl status imagebaked";
/// Between two readings.
const INTERVAL: Duration = Duration::from_millis(100);
/// So many readings in a row that find the process stopped: a debugger stops it for a moment.
const STOPPED_FOR: u32 = 2;

/// Why no answer will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// The process was stopped by a signal or a debugger.
    Stopped {
        /// Its number.
        pid: i32,
    },
    /// The process is there and does nothing at all.
    Idle {
        /// Its number.
        pid: i32,
    },
    /// The time for the answer is over, whatever the process does.
    Late {
        /// In seconds.
        after: u64,
    },
}

impl Silence {
    /// What helps.
    pub fn command(self) -> String {
        match self {
            Self::Stopped { pid } => format!("kill -CONT {pid}"),
            Self::Idle { .. } => "systemctl restart imagebaked".to_owned(),
            Self::Late { .. } => SERVICE.to_owned(),
        }
    }

    /// In a few words, without the command.
    pub fn brief(self) -> String {
        match self {
            Self::Stopped { pid } => format!("the daemon, pid {pid}, was stopped by a signal"),
            Self::Idle { pid } => format!("the daemon, pid {pid}, hangs"),
            Self::Late { after } => format!("the daemon did not answer within {after} s"),
        }
    }

    /// The end of a sentence that begins with the daemon.
    pub(super) fn label(self) -> String {
        let command = self.command();
        match self {
            Self::Stopped { pid } => format!(
                "(pid {pid}) was stopped by a signal and does not answer: nothing is baked until it continues ({command})"
            ),
            Self::Idle { pid } => {
                format!("(pid {pid}) took the request but does not answer, and does nothing: it hangs ({command})")
            }
            Self::Late { after } => {
                format!("took the request but did not answer within {after} s; it hangs or is overloaded ({command})")
            }
        }
    }
}

/// What a reading found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    /// The process is stopped.
    is_stopped: bool,
    /// A thread runs, is about to, or waits for a disk.
    is_busy: bool,
    /// Time that all threads had a processor or waited for one, in nanoseconds.
    ran: u64,
}

/// Readings so far.
struct Watch {
    idle_limit: Duration,
    last: Option<Reading>,
    stopped: u32,
    idle_for: Duration,
}

impl Watch {
    fn new(idle_limit: Duration) -> Self {
        Self { idle_limit, last: None, stopped: 0, idle_for: Duration::ZERO }
    }

    /// What the next reading shows, after [`INTERVAL`].
    fn next(&mut self, reading: Reading, pid: i32) -> Option<Silence> {
        self.stopped = if reading.is_stopped { self.stopped + 1 } else { 0 };
        let has_moved = self.last.is_none_or(|last| last.ran != reading.ran) || reading.is_busy;
        self.idle_for = if has_moved { Duration::ZERO } else { self.idle_for + INTERVAL };
        self.last = Some(reading);
        if self.stopped >= STOPPED_FOR {
            Some(Silence::Stopped { pid })
        } else {
            (self.idle_for >= self.idle_limit).then_some(Silence::Idle { pid })
        }
    }
}

/// Completes once the process is found to be stopped, or idle for `idle_limit`; never if nothing can be found out.
pub(super) async fn silence(pid: Option<i32>, idle_limit: Duration) -> Silence {
    let mut watch = Watch::new(idle_limit);
    while let Some((pid, reading)) = pid.filter(|pid| *pid > 0).and_then(|pid| Some((pid, read(pid)?))) {
        if let Some(silence) = watch.next(reading, pid) {
            return silence;
        }
        tokio::time::sleep(INTERVAL).await;
    }
    std::future::pending().await
}

fn read(pid: i32) -> Option<Reading> {
    let mut states = Vec::new();
    let mut ran = 0u64;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let folder = thread.ok()?.path();
        // A thread may have ended in between.
        let (Ok(stat), Ok(times)) =
            (fs::read_to_string(folder.join("stat")), fs::read_to_string(folder.join("schedstat")))
        else {
            continue;
        };
        // The name in brackets may contain anything.
        states.push(stat.rsplit_once(')')?.1.trim_start().chars().next()?);
        ran = ran.wrapping_add(times.split(' ').take(2).filter_map(|time| time.parse::<u64>().ok()).sum());
    }
    let is_stopped = !states.is_empty() && states.iter().all(|state| matches!(state, 'T' | 't'));
    let is_busy = states.iter().any(|state| matches!(state, 'R' | 'D'));
    (!states.is_empty()).then_some(Reading { is_stopped, is_busy, ran })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE_LIMIT: Duration = Duration::from_secs(1);

    /// After which of the readings what is concluded, if anything is.
    fn concluded(readings: impl IntoIterator<Item = (bool, bool, u64)>) -> Option<(usize, Silence)> {
        let mut watch = Watch::new(IDLE_LIMIT);
        readings
            .into_iter()
            .enumerate()
            .find_map(|(n, (is_stopped, is_busy, ran))| Some((n, watch.next(Reading { is_stopped, is_busy, ran }, 7)?)))
    }

    #[test]
    fn a_daemon_that_is_slow_under_load_is_not_called_hung() {
        // It gets a little time now and then, waits for a processor, or for a disk.
        assert_eq!(concluded((0..600).map(|n| (false, false, n / 9))), None);
        assert_eq!(concluded((0..600).map(|_| (false, true, 5))), None);
        // A debugger stops it for a moment.
        assert_eq!(concluded((0..600).map(|n| (n % 5 == 0, false, n))), None);
    }

    #[test]
    fn a_stopped_one_is_recognised_at_once_and_a_hung_one_after_a_second() {
        assert_eq!(concluded((0..9).map(|_| (true, false, 5))), Some((1, Silence::Stopped { pid: 7 })));
        assert_eq!(concluded((0..99).map(|_| (false, false, 5))), Some((10, Silence::Idle { pid: 7 })));
        let hangs_later = (0..99).map(|n| (false, false, if n < 20 { n } else { 20 }));
        assert_eq!(Silence::Stopped { pid: 7 }.command(), "kill -CONT 7");
        assert!(Silence::Stopped { pid: 7 }.label().ends_with("(kill -CONT 7)"));
        assert_eq!(concluded(hangs_later), Some((30, Silence::Idle { pid: 7 })));
    }

    #[test]
    fn this_process_is_at_work_and_no_process_is_nothing() {
        let own = i32::try_from(std::process::id()).unwrap();
        let reading = read(own).unwrap();
        assert!(reading.is_busy && !reading.is_stopped && reading.ran > 0, "{reading:?}");
        assert_eq!(read(i32::MAX), None);
    }
}
