//! Standing problems: those that were found before and those found now go in, what began, changed and ended comes out.
//!
//! A problem is known by its code and its subject. It begins once, when it is first found, and ends once, when it is not
//! found any more.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{Acknowledgement, Problem, ProblemCode, ReportedProblem, Severity, Subject};
use crate::domain::text::quoted;

/// Problems by code and subject.
type ByKey<T> = BTreeMap<(ProblemCode, Subject), T>;

/// A difference between two comparisons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemChange {
    /// A problem was found that was not there before.
    Started(Problem),
    /// The severity of a problem changed.
    SeverityChanged {
        /// As it is now.
        problem: Problem,
        /// Before.
        before: Severity,
    },
    /// A problem was acknowledged, and counts again.
    AcknowledgementEnded {
        /// As it is now.
        problem: Problem,
        /// Why.
        why: AcknowledgementEnd,
    },
    /// A problem is not found any more.
    Ended(Problem),
}

/// Why an acknowledgement ended, while its problem stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcknowledgementEnd {
    /// At its `until`.
    Over,
    /// The severity of the problem rose.
    Worse,
}

/// Compares the standing problems with those found at `now`. Returns the standing ones of now and the changes.
///
/// `last`: the instant of the last comparison, if this process made one. A problem that began after it is another one
/// than the one of the same code and subject that was standing then.
pub fn compare(
    standing: &[ReportedProblem],
    found: Vec<Problem>,
    last: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> (Vec<ReportedProblem>, Vec<ProblemChange>) {
    let mut before: ByKey<&ReportedProblem> = standing.iter().map(|one| (key(&one.problem), one)).collect();
    let mut changes = Vec::new();
    let mut after = Vec::with_capacity(found.len());
    for (key, problem) in distinct(found) {
        let known = before.get(&key).filter(|known| !is_another(&known.problem, &problem, last));
        let Some(known) = known else {
            changes.push(ProblemChange::Started(problem.clone()));
            after.push(ReportedProblem { problem, acknowledged: None });
            continue;
        };
        let (was, acknowledged) = (known.problem.severity, known.acknowledged.clone());
        // It began when it was first found, however its facts are dated later.
        let problem = Problem { since: known.problem.since.clone(), ..problem };
        before.remove(&key);
        if problem.severity != was {
            changes.push(ProblemChange::SeverityChanged { problem: problem.clone(), before: was });
        }
        let ended = acknowledged.as_ref().and_then(|acknowledged| {
            if problem.severity > was {
                Some(AcknowledgementEnd::Worse)
            } else {
                is_over(acknowledged, now).then_some(AcknowledgementEnd::Over)
            }
        });
        if let Some(why) = ended {
            changes.push(ProblemChange::AcknowledgementEnded { problem: problem.clone(), why });
        }
        after.push(ReportedProblem { problem, acknowledged: acknowledged.filter(|_| ended.is_none()) });
    }
    // Ends first: one of the same code and subject may have begun.
    let ends = before.into_values().map(|known| ProblemChange::Ended(known.problem.clone()));
    (after, ends.chain(changes).collect())
}

fn key(problem: &Problem) -> (ProblemCode, Subject) {
    (problem.code, problem.subject.clone())
}

/// One problem for each code and subject: the most severe, the oldest of those.
fn distinct(found: Vec<Problem>) -> ByKey<Problem> {
    let mut distinct: ByKey<Problem> = BTreeMap::new();
    let rank = |problem: &Problem| (std::cmp::Reverse(problem.severity), problem.since.clone());
    for problem in found {
        let key = key(&problem);
        if distinct.get(&key).is_none_or(|other| rank(&problem) < rank(other)) {
            distinct.insert(key, problem);
        }
    }
    distinct
}

fn is_another(standing: &Problem, found: &Problem, last: Option<DateTime<Utc>>) -> bool {
    let instant = |text: &str| text.parse::<DateTime<Utc>>().ok();
    match (last, instant(&standing.since), instant(&found.since)) {
        (Some(last), Some(standing), Some(found)) => found > standing && found > last,
        _ => false,
    }
}

fn is_over(acknowledged: &Acknowledgement, now: DateTime<Utc>) -> bool {
    let until = acknowledged.until.as_deref().and_then(|until| until.parse::<DateTime<Utc>>().ok());
    until.is_some_and(|until| until <= now)
}

/// Why no problem, or no single one, is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotMeant {
    /// There is none of this code.
    #[error("no problem {} stands; `imagebaked status` lists those that do", .0.as_str())]
    NoneOfCode(ProblemCode),
    /// There is one of this code, but of another subject.
    #[error("no problem {} of {} stands; it stands of: {}", code.as_str(), quoted(subject), others.join(", "))]
    NoneOfSubject {
        /// The code.
        code: ProblemCode,
        /// The subject asked for.
        subject: String,
        /// The subjects there are.
        others: Vec<String>,
    },
    /// There are several.
    #[error("the problem {} stands of several subjects; name one: {}", code.as_str(), subjects.join(", "))]
    Several {
        /// The code.
        code: ProblemCode,
        /// Their subjects.
        subjects: Vec<String>,
    },
}

/// The standing problem that a person means: by its code, and by its subject unless there is only one. A subject is
/// named by its id, by `kind:id`, or by its kind.
///
/// # Errors
///
/// [`NotMeant`] if there is none or more than one.
pub fn find<'a>(
    standing: &'a [ReportedProblem],
    code: ProblemCode,
    subject: Option<&str>,
) -> Result<&'a ReportedProblem, NotMeant> {
    let of_code: Vec<_> = standing.iter().filter(|one| one.problem.code == code).collect();
    let names = |problems: &[&ReportedProblem]| problems.iter().map(|one| one.problem.subject.to_string()).collect();
    let is_meant = |one: &&&ReportedProblem| {
        let of = &one.problem.subject;
        subject
            .is_none_or(|text| of.to_string() == text || !of.id.is_empty() && of.id == text || of.kind.as_str() == text)
    };
    let meant: Vec<_> = of_code.iter().filter(is_meant).copied().collect();
    match (meant.as_slice(), subject) {
        ([one], _) => Ok(one),
        ([], Some(subject)) if !of_code.is_empty() => {
            Err(NotMeant::NoneOfSubject { code, subject: subject.to_owned(), others: names(&of_code) })
        }
        ([], _) => Err(NotMeant::NoneOfCode(code)),
        (several, _) => Err(NotMeant::Several { code, subjects: names(several) }),
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
