//! Events of problems: a change of the standing problems goes in, its event comes out.

use super::{Action, AuditLine, Event, EventSeverity, EventType, bakes::short};
use crate::domain::health::{
    Problem,
    standing::{AcknowledgementEnd, ProblemChange},
};

/// The event of a change.
pub fn of_change(change: &ProblemChange) -> Event {
    match change {
        ProblemChange::Started(problem) => {
            event(problem, EventType::ProblemStarted, problem.severity.into(), &problem.message)
        }
        ProblemChange::SeverityChanged { problem, before } => {
            let message = format!("now a {}, before a {before}: {}", problem.severity, problem.message);
            event(problem, EventType::ProblemChanged, problem.severity.into(), &message).with("before", before.as_str())
        }
        ProblemChange::AcknowledgementEnded { problem, why } => {
            let why = match why {
                AcknowledgementEnd::Over => "not acknowledged any more, its time is over",
                AcknowledgementEnd::Worse => "not acknowledged any more, it got worse",
            };
            let message = format!("{why}: {}", problem.message);
            event(problem, EventType::ProblemUnacknowledged, problem.severity.into(), &message)
        }
        ProblemChange::Ended(problem) => {
            let message = format!("problem ended: {}", problem.message);
            event(problem, EventType::ProblemEnded, EventSeverity::Info, &message)
        }
    }
}

/// The event of a person's acknowledgement, or of its end.
pub fn of_acknowledgement(problem: &Problem, line: &AuditLine<'_>) -> Event {
    let kind = if line.action == Action::Acknowledge {
        EventType::ProblemAcknowledged
    } else {
        EventType::ProblemUnacknowledged
    };
    let made = line.event();
    let who = made.text("who").unwrap_or_default().to_owned();
    event(problem, kind, EventSeverity::Info, &made.message).with("who", who).with("action", line.action.as_str())
}

fn event(problem: &Problem, kind: EventType, severity: EventSeverity, message: &str) -> Event {
    let event = Event::new(kind, severity, problem.subject.clone(), short(message)).with("code", problem.code.as_str());
    Event { since: problem.since.parse().ok(), command: problem.command.clone(), ..event }
}
