//! Hooks: the operator's own commands around a bake.
//!
//! Hooks nest. `before` runs first to last. Then the instance is stopped, imaged and started. Then `on_failure` (if the
//! bake failed) and `after` run, each last to first. `on_failure` runs for every failed bake. `after` runs if and only
//! if `before` started, even if a `before` command vetoed the bake. A command that the end of the daemon interrupts
//! runs again: each runs at least once.
//!
//! ```
//! use imagebaked::domain::hooks::{HookOutcome, HookResult};
//!
//! let outcome = HookOutcome { result: HookResult::Exited(1), output: "users are at work\n".to_owned() };
//! assert!(outcome.is_veto());
//! assert_eq!(outcome.last_word(), "users are at work");
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::show::show_length;

/// `hooks` of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Hooks {
    /// Run first to last, before anything else; each may veto the bake.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<HookCommand>,
    /// Run last to first, at the end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<HookCommand>,
    /// Run last to first, before `after`, if the bake failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_failure: Vec<HookCommand>,
    /// Decides whether an image may be promoted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<HookCommand>,
    /// Timeout of each command.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Hooks {
    /// Default of `timeout`.
    pub const TIMEOUT: Duration = Duration::from_mins(5);

    /// Whether there is no command at all.
    pub fn is_empty(&self) -> bool {
        !self.wrap_a_bake() && self.verify.is_empty()
    }

    /// Whether a bake runs a command before or after its work.
    pub fn wrap_a_bake(&self) -> bool {
        !(self.before.is_empty() && self.after.is_empty() && self.on_failure.is_empty())
    }

    /// All commands.
    pub fn commands(&self) -> impl Iterator<Item = &HookCommand> {
        [&self.before, &self.after, &self.on_failure, &self.verify].into_iter().flatten()
    }

    /// Commands at the end of a bake, in order, with their number in the configuration. `begun`: whether `before`
    /// started, or the bake if there is no `before`.
    pub fn ending(&self, failed: bool, begun: bool) -> impl Iterator<Item = (Moment, usize, &HookCommand)> {
        fn backwards(moment: Moment, commands: &[HookCommand]) -> impl Iterator<Item = (Moment, usize, &HookCommand)> {
            commands.iter().enumerate().rev().map(move |(index, command)| (moment, index + 1, command))
        }
        let on_failure = if failed { self.on_failure.as_slice() } else { &[] };
        let after = if begun { self.after.as_slice() } else { &[] };
        backwards(Moment::OnFailure, on_failure).chain(backwards(Moment::After, after))
    }
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            before: Vec::new(),
            after: Vec::new(),
            on_failure: Vec::new(),
            verify: Vec::new(),
            timeout: Self::TIMEOUT,
        }
    }
}

/// A program, by its absolute path, and its arguments. No shell is used.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HookCommand(pub Vec<String>);

impl HookCommand {
    /// The program.
    pub fn program(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// Its arguments.
    pub fn arguments(&self) -> &[String] {
        self.0.get(1..).unwrap_or_default()
    }
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Before anything is done.
    Before,
    /// If the bake failed.
    OnFailure,
    /// At the end.
    After,
    /// Before an image is promoted.
    Verify,
}

impl Moment {
    /// The key it is written under.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::OnFailure => "on_failure",
            Self::After => "after",
            Self::Verify => "verify",
        }
    }
}

/// A hook to run now.
#[derive(Debug, Clone, PartialEq)]
pub struct HookRun {
    /// When.
    pub moment: Moment,
    /// Its place in the configured list, from 1.
    pub number: usize,
    /// What.
    pub command: HookCommand,
    /// Timeout.
    pub timeout: Duration,
    /// Environment variables.
    pub environment: Vec<(&'static str, String)>,
}

/// Result of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookOutcome {
    /// How it ended.
    pub result: HookResult,
    /// End of its output.
    pub output: String,
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookResult {
    /// It exited with this status.
    Exited(i32),
    /// A signal of another process killed it.
    Killed(i32),
    /// It was killed after this timeout.
    TimedOut(Duration),
    /// It did not start, with the reason.
    NotStarted(String),
}

impl HookOutcome {
    /// Whether it succeeded.
    pub fn is_ok(&self) -> bool {
        self.result == HookResult::Exited(0)
    }

    /// Whether it vetoed, as opposed to a failure to run.
    pub fn is_veto(&self) -> bool {
        matches!(self.result, HookResult::Exited(status) if status != 0)
    }

    /// Last line of its output, or else its result.
    pub fn last_word(&self) -> String {
        let line = self.output.lines().rev().map(str::trim).find(|line| !line.is_empty());
        line.map_or_else(|| self.result.to_string(), |line| line.chars().take(300).collect())
    }
}

impl std::fmt::Display for HookResult {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(status) => write!(out, "exit status {status}"),
            Self::Killed(signal) => write!(out, "killed by signal {signal}"),
            Self::TimedOut(limit) => {
                write!(out, "not done after {}, ended", show_length(*limit))
            }
            Self::NotStarted(why) => write!(out, "cannot be started: {why}"),
        }
    }
}
