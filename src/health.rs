//! What health comes to: problems with a stable code each, and the verdict of them all. Pure: facts are collected elsewhere.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much a problem weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// To be watched.
    Warning,
    /// To be fixed.
    Problem,
}

/// What health comes to: the highest severity of its problems.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No problem.
    #[default]
    Ok,
    /// Warnings only.
    Warning,
    /// At least one problem of severity `problem`.
    Problem,
}

/// The stable word of a kind of problem. Scripts compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "docs/problems.md says what each code means and what to do")]
pub enum ProblemCode {
    BakeFailed,
    BakeMissed,
    NoGoodImage,
    ImageTooOld,
    ImageStuck,
    ImageLate,
    ImageNotInHistory,
    VerifyFailed,
    ReplicaFailed,
    InstanceNotRunning,
    ScheduleAutoPaused,
    CredentialsRejected,
    RightsMissing,
    CloudUnreachable,
    ListIncomplete,
    BuilderQuotaFull,
    ImageQuotaFull,
    ClockSkew,
    ZonesOld,
    HistoryUnwritable,
    HistoryReplaced,
    ReconcilePending,
    ConfigurationRefused,
    RestartRequired,
    EngineStalled,
    HousekeepingStalled,
    BackupFailed,
    NotifyFailed,
    PruneNeedsConfirmation,
    NoLeader,
}

/// What a problem is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// Which kind of thing.
    pub kind: SubjectKind,
    /// Which of them; empty where there is only one, such as the clock.
    pub id: String,
}

/// The kinds of things that problems are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the thing of its name")]
pub enum SubjectKind {
    Schedule,
    Line,
    Bake,
    Instance,
    Image,
    Clock,
    Cloud,
    Credentials,
    History,
    Configuration,
    Daemon,
    Notify,
}

/// A finding of health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// How much it weighs.
    pub severity: Severity,
    /// Its kind.
    pub code: ProblemCode,
    /// What it is about.
    pub subject: Subject,
    /// Since when, RFC 3339 in UTC.
    pub since: String,
    /// One sentence: what is wrong, in the cloud's words where they are known.
    pub message: String,
    /// The command that shows more or fixes it; `None` where no command does.
    pub command: Option<String>,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Problem => "problem",
        })
    }
}

impl Subject {
    /// The thing of this kind with this id.
    pub fn new(kind: SubjectKind, id: impl Into<String>) -> Self {
        Self { kind, id: id.into() }
    }

    /// The only thing of this kind.
    pub fn only(kind: SubjectKind) -> Self {
        Self::new(kind, "")
    }
}

impl Verdict {
    /// The verdict of these problems.
    pub fn of<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Self {
        match problems.into_iter().map(|problem| problem.severity).max() {
            None => Self::Ok,
            Some(Severity::Warning) => Self::Warning,
            Some(Severity::Problem) => Self::Problem,
        }
    }
}
