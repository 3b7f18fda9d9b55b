//! Health: problems with stable codes go in, the verdict comes out. Other modules collect the facts.
//!
//! ```
//! use imagebaked::domain::health::{Health, Problem, ProblemCode, Severity, Subject, SubjectKind, Verdict};
//!
//! let since = "2027-03-01T03:00:00Z".parse()?;
//! let subject = Subject::new(SubjectKind::Line, "golden");
//! let problem = Problem::new(ProblemCode::BakeFailed, Severity::Warning, subject, since, "golden failed".to_owned(), None);
//! assert_eq!(Health::of(vec![problem]).verdict, Verdict::Warning);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ids::LineId, time::rfc3339_seconds};

mod codes;
pub mod late;
pub mod lines;
pub mod outage;
pub mod quota;
pub mod same_error;
pub mod schedules;
pub mod standing;

pub use self::codes::{CODES, CodeRow, ProblemCode};

/// Severity of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A person should know.
    Warning,
    /// A person should act.
    Problem,
}

/// Result of health: the highest severity of its problems.
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

/// Subject of a problem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// Which kind of thing.
    pub kind: SubjectKind,
    /// Id; empty if there is only one, such as the clock.
    pub id: String,
}

/// Kinds of subjects, in the order of dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the thing of its name")]
pub enum SubjectKind {
    Daemon,
    History,
    Credentials,
    Cloud,
    Clock,
    Configuration,
    Instance,
    Schedule,
    Line,
    Bake,
    Image,
    Channel,
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
    /// The line of its subject, if that is a bake or an image. The history does not keep it: each comparison finds it anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<LineId>,
    /// Start, RFC 3339 in UTC.
    pub since: String,
    /// One sentence: what is wrong, with the cloud's message if known.
    pub message: String,
    /// Command that shows more or fixes it; `None` if there is none.
    pub command: Option<String>,
}

/// The verdict and its problems. All outputs of health use this.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The highest severity.
    pub verdict: Verdict,
    /// Most severe first.
    pub problems: Vec<ReportedProblem>,
}

/// A problem, and who has acknowledged it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedProblem {
    /// The finding.
    #[serde(flatten)]
    pub problem: Problem,
    /// Acknowledgement; the problem then counts neither for the verdict nor for exit codes.
    pub acknowledged: Option<Acknowledgement>,
}

/// A person's acknowledgement of a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// End; `None`: until the problem ends.
    pub until: Option<String>,
    /// The person's reason.
    pub reason: String,
}

impl Health {
    /// The verdict of these problems, in the order of reading. Nobody has acknowledged one.
    pub fn of(problems: Vec<Problem>) -> Self {
        Self::of_reported(problems.into_iter().map(|problem| ReportedProblem { problem, acknowledged: None }).collect())
    }

    /// The verdict of these problems, in the order of reading: those that count first.
    pub fn of_reported(mut problems: Vec<ReportedProblem>) -> Self {
        problems.sort_by(|a, b| {
            let weight = |one: &ReportedProblem| {
                let Problem { severity, code, subject, .. } = &one.problem;
                // A comparison waits for the cloud: what keeps the cloud away is named first.
                let follows = *code == ProblemCode::ReconcilePending;
                (!one.counts(), std::cmp::Reverse(*severity), follows, subject.kind)
            };
            let (of_a, of_b) = (&a.problem, &b.problem);
            // RFC 3339 in UTC sorts by time.
            (weight(a), &of_a.since, of_a.code, &of_a.subject.id).cmp(&(
                weight(b),
                &of_b.since,
                of_b.code,
                &of_b.subject.id,
            ))
        });
        let verdict = Verdict::of(problems.iter().filter(|one| one.counts()).map(|one| &one.problem));
        Self { verdict, problems }
    }

    /// The problems that nobody has acknowledged, most severe first.
    pub fn problems(&self) -> impl ExactSizeIterator<Item = &Problem> {
        let counting = self.problems.iter().take_while(|one| one.counts()).count();
        self.problems[..counting].iter().map(|reported| &reported.problem)
    }

    /// The problems that a person has acknowledged.
    pub fn acknowledged(&self) -> impl Iterator<Item = (&Problem, &Acknowledgement)> {
        self.problems.iter().filter_map(|one| Some((&one.problem, one.acknowledged.as_ref()?)))
    }

    /// `1 problem, 2 warnings, 1 acknowledged`.
    pub fn counts(&self) -> String {
        let count = |severity: Severity, word: &str| match self
            .problems()
            .filter(|problem| problem.severity == severity)
            .count()
        {
            0 => None,
            1 => Some(format!("1 {word}")),
            n => Some(format!("{n} {word}s")),
        };
        let acknowledged = match self.acknowledged().count() {
            0 => None,
            n => Some(format!("{n} acknowledged")),
        };
        let counts = [count(Severity::Problem, "problem"), count(Severity::Warning, "warning"), acknowledged];
        counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// One line: the verdict, the number of problems, and the first of them.
    pub fn headline(&self) -> String {
        match self.problems().next() {
            None if self.problems.is_empty() => self.verdict.to_string(),
            None => format!("{}: {}", self.verdict, self.counts()),
            Some(first) => format!("{}: {}: {}", self.verdict, self.counts(), first.message),
        }
    }
}

impl ReportedProblem {
    /// Whether it counts for the verdict: nobody has acknowledged it.
    pub fn counts(&self) -> bool {
        self.acknowledged.is_none()
    }
}

/// Messages of a hook or the cloud may have several lines; a problem has one.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Problem {
    /// A problem that began at `since`.
    pub fn new(
        code: ProblemCode,
        severity: Severity,
        subject: Subject,
        since: DateTime<Utc>,
        message: String,
        command: Option<String>,
    ) -> Self {
        Self { severity, code, subject, line: None, since: rfc3339_seconds(since), message, command }
    }

    /// The same about a bake or an image of this line.
    #[must_use]
    pub fn of_line(self, line: &LineId) -> Self {
        Self { line: Some(line.clone()), ..self }
    }

    /// The same for a daemon that only observes: it refuses a bake, so that none is advised.
    #[must_use]
    pub fn without_bakes(self) -> Self {
        let why = |command: String| match command.strip_prefix("imagebaked bake ") {
            Some(schedule) => format!("imagebaked why {schedule}"),
            None => command,
        };
        Self { command: self.command.map(why), ..self }
    }
}

/// In capitals: first word of a headline.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Problem => "PROBLEM",
        })
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Severity {
    /// Spelling in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }

    /// The severity with this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Warning, Self::Problem].into_iter().find(|severity| severity.as_str() == word)
    }
}

impl SubjectKind {
    /// Every kind with its spelling, which is the one of serde.
    pub const WORDS: [(Self, &'static str); 13] = [
        (Self::Daemon, "daemon"),
        (Self::History, "history"),
        (Self::Credentials, "credentials"),
        (Self::Cloud, "cloud"),
        (Self::Clock, "clock"),
        (Self::Configuration, "configuration"),
        (Self::Instance, "instance"),
        (Self::Schedule, "schedule"),
        (Self::Line, "line"),
        (Self::Bake, "bake"),
        (Self::Image, "image"),
        (Self::Channel, "channel"),
        (Self::Notify, "notify"),
    ];

    /// Spelling in tables and JSON.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }

    /// The kind with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }
}

/// `line:golden`; the kind alone if there is only one.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.id.is_empty() { "" } else { ":" };
        write!(f, "{}{separator}{}", self.kind.as_str(), self.id)
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
