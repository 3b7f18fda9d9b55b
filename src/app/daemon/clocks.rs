//! What the daemon says of this host's clock: to the log and the audit when something becomes known, and to health.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::domain::{
    clock::watch::{ClockEvent, ClockWatch, SKEW_TOO_FAR, Skew},
    health::{Problem, ProblemCode, Severity, Subject, SubjectKind},
};

/// The clock's problem, if it has one.
pub(super) fn list_problems(clocks: &ClockWatch, now: DateTime<Utc>) -> Vec<Problem> {
    let Some((skew, since)) = clocks.skewed() else { return Vec::new() };
    let (severity, consequence) = if skew.abs() > SKEW_TOO_FAR {
        (
            Severity::Problem,
            "nothing is marked, deleted or moved to a channel, and over 15 minutes every call is refused: check NTP",
        )
    } else {
        (Severity::Warning, "ages are judged by the cloud's time: check NTP")
    };
    vec![Problem {
        severity,
        code: ProblemCode::ClockSkew,
        subject: Subject::only(SubjectKind::Clock),
        since: since.min(now).to_rfc3339_opts(SecondsFormat::Secs, true),
        message: format!("{}; {consequence}", Skew(skew)),
        command: Some("imagebaked doctor".to_owned()),
    }]
}

/// One line of the log.
pub(super) fn log(event: &ClockEvent) {
    match event {
        ClockEvent::Confirmed => tracing::debug!("{event}"),
        ClockEvent::Skewed { skew } if skew.is_zero() => tracing::info!("{event}"),
        ClockEvent::Skewed { skew } => {
            let skew_seconds = skew.num_seconds();
            if skew.abs() > SKEW_TOO_FAR {
                tracing::error!(skew_seconds, "{event}");
            } else {
                tracing::warn!(skew_seconds, "{event}");
            }
        }
        ClockEvent::Stepped { .. } | ClockEvent::HistoryAhead { .. } => tracing::warn!("{event}"),
    }
}

/// Whether the audit keeps it: what explains rows of the history whose times look wrong.
pub(super) fn is_audited(event: &ClockEvent) -> bool {
    match event {
        ClockEvent::Stepped { .. } | ClockEvent::HistoryAhead { .. } => true,
        ClockEvent::Skewed { skew } => skew.abs() > SKEW_TOO_FAR || *skew == TimeDelta::zero(),
        ClockEvent::Confirmed => false,
    }
}
