//! Hooks: the operator's own commands around a bake.
//!
//! They nest. `before` runs first to last. Then the instance is stopped, imaged and started. Then `on_failure` (of a bake that
//! failed) and `after` run, each last to first. `on_failure` runs for every bake that failed. `after` runs if and only if
//! `before` began, also where a `before` command vetoed the bake. A command that the end of the daemon interrupted runs
//! again, so each runs at least once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `hooks` of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Hooks {
    /// First to last, before anything is done; each may veto.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<HookCommand>,
    /// Last to first, when everything is done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<HookCommand>,
    /// Last to first, ahead of `after`, when the bake failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_failure: Vec<HookCommand>,
    /// Whether an image may be promoted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<HookCommand>,
    /// Of each command.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Hooks {
    /// How long a command may take where nothing is said.
    pub const TIMEOUT: Duration = Duration::from_mins(5);

    /// Whether there is no command at all.
    pub fn is_empty(&self) -> bool {
        !self.wrap_a_bake() && self.verify.is_empty()
    }

    /// Whether there is something to run around a bake.
    pub fn wrap_a_bake(&self) -> bool {
        !(self.before.is_empty() && self.after.is_empty() && self.on_failure.is_empty())
    }

    /// What runs when the bake is over, in order, with its number in the file. `begun`: whether `before` began, or the bake
    /// did where there is no `before`.
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

/// A program, by its absolute path, and its arguments. No shell is between.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HookCommand(pub Vec<String>);

impl HookCommand {
    /// The program.
    pub fn program(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// What it is given.
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
    /// When the bake failed.
    OnFailure,
    /// When everything is done.
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

/// A hook that is to run now, with all that it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct HookRun {
    /// When.
    pub moment: Moment,
    /// Its place in the file's list, from 1.
    pub number: usize,
    /// What.
    pub command: HookCommand,
    /// How long it may take.
    pub timeout: Duration,
    /// What it is told.
    pub environment: Vec<(&'static str, String)>,
}

/// What came of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookOutcome {
    /// How it ended.
    pub result: HookResult,
    /// The end of what it wrote.
    pub output: String,
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookResult {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal that was not ours.
    Killed(i32),
    /// It was ended after this time.
    TimedOut(Duration),
    /// It never ran, and why.
    NotStarted(String),
}

impl HookOutcome {
    /// Whether it did what it was to do.
    pub fn is_ok(&self) -> bool {
        self.result == HookResult::Exited(0)
    }

    /// Its own word against the bake, as opposed to a mishap.
    pub fn is_veto(&self) -> bool {
        matches!(self.result, HookResult::Exited(status) if status != 0)
    }

    /// The last line that it wrote, or else how it ended.
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
                write!(out, "not done after {}, ended", humantime::format_duration(*limit))
            }
            Self::NotStarted(why) => write!(out, "cannot be started: {why}"),
        }
    }
}
