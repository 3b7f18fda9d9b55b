//! Health of a history that cannot be used as it is.

use chrono::{DateTime, TimeDelta, Utc};

use super::engine::{EngineStatus, Ground};
use crate::domain::health::{Problem, ProblemCode, Severity, Subject, SubjectKind};

/// Maximum duration of a comparison that is no problem: every first start makes one.
const COMPARISON_TAKES: TimeDelta = TimeDelta::seconds(10);

/// Problem of a history whose files were replaced, or that must be compared with the cloud first.
pub fn history_problems(engine: &EngineStatus, now: DateTime<Utc>) -> Vec<Problem> {
    let problem = |code, since, message, command: Option<&str>| {
        let subject = Subject::only(SubjectKind::History);
        Problem::new(code, Severity::Problem, subject, since, message, command.map(str::to_owned))
    };
    let replaced = engine.lost_history.as_ref().map(|lost| {
        let message =
            format!("{}; no bake starts, and the daemon ends once the running bakes have ended", lost.message);
        problem(ProblemCode::HistoryReplaced, lost.since, message, None)
    });
    let pending = engine
        .uncompared
        .as_ref()
        .filter(|pending| pending.why.is_some() || now.signed_duration_since(pending.since).abs() >= COMPARISON_TAKES)
        // Nothing speaks against the history of an ordinary start but what is a problem of its own.
        .filter(|pending| pending.ground == Ground::NotTheFormer || pending.why.is_some() && !pending.is_reported);
    let pending = pending.map(|pending| {
        let why = pending.why.as_deref().unwrap_or("the cloud has not listed all images yet");
        let message = match pending.ground {
            Ground::NotTheFormer => format!(
                "nothing is stopped or created: the history is new, restored or imported, and its first comparison with the cloud \
                 is not finished: {why}"
            ),
            Ground::Start => format!(
                "no bake begins: it is not known since the start whether the history is older than the cloud: {why}"
            ),
        };
        problem(ProblemCode::ReconcilePending, pending.since, message, Some("imagebaked reconcile"))
    });
    replaced.into_iter().chain(pending).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::daemon::engine::{LostHistory, Uncompared};

    #[test]
    fn each_is_a_problem_since_when_it_is_known() {
        let since: DateTime<Utc> = "2027-01-01T03:00:00Z".parse().unwrap();
        let soon = since + TimeDelta::seconds(1);
        let pending = |why: Option<&str>| EngineStatus {
            uncompared: Some(Uncompared {
                since,
                why: why.map(Into::into),
                is_reported: false,
                ground: Ground::NotTheFormer,
            }),
            ..EngineStatus::default()
        };
        assert!(history_problems(&pending(None), soon).is_empty(), "every first start compares");
        let codes = |engine: &EngineStatus, now| {
            history_problems(engine, now).into_iter().map(|problem| (problem.code, problem.since)).collect::<Vec<_>>()
        };
        let wanted = (ProblemCode::ReconcilePending, "2027-01-01T03:00:00Z".to_owned());
        assert_eq!(codes(&pending(Some("no")), soon), std::slice::from_ref(&wanted));
        assert_eq!(codes(&pending(None), since + TimeDelta::minutes(1)), std::slice::from_ref(&wanted));
        let at_start = |is_reported| EngineStatus {
            uncompared: Some(Uncompared { since, why: Some("no".into()), is_reported, ground: Ground::Start }),
            ..EngineStatus::default()
        };
        assert_eq!(codes(&at_start(false), soon), [wanted]);
        assert_eq!(codes(&at_start(true), soon), [], "an outage is a problem of its own");
        let lost = EngineStatus {
            lost_history: Some(LostHistory { since, message: "it was removed".into() }),
            ..EngineStatus::default()
        };
        assert_eq!(codes(&lost, soon), [(ProblemCode::HistoryReplaced, "2027-01-01T03:00:00Z".to_owned())]);
    }
}
