//! Reports on this host's clock and time zone rules: to the log, to the audit and to health.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::{
    calendar::zone::Release,
    clock::watch::{ClockEvent, ClockWatch, SKEW_TOO_FAR, Skew},
    health::{Problem, ProblemCode, Severity, Subject, SubjectKind},
};

/// Problem of the clock, if there is one.
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
    vec![Problem::new(
        ProblemCode::ClockSkew,
        severity,
        Subject::only(SubjectKind::Clock),
        since.min(now),
        format!("{}; {consequence}", Skew(skew)),
        Some("imagebaked doctor".to_owned()),
    )]
}

/// Problem of time zone rules whose release is older than a year.
pub(super) fn zones_old(release: &Release, now: DateTime<Utc>) -> Option<Problem> {
    let since = release.old_since(now)?;
    Some(Problem::new(
        ProblemCode::ZonesOld,
        Severity::Warning,
        Subject::only(SubjectKind::Clock),
        since,
        format!(
            "the time zone rules are of {release}, which is older than a year: slots are at the wrong hour where a country has \
             changed its clocks since; update the host's tzdata package, then reload"
        ),
        Some("imagebaked reload".to_owned()),
    ))
}

/// Logs an observation about the clock.
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

/// Whether the audit stores it: it explains rows of the history with unexpected times.
pub(super) fn is_audited(event: &ClockEvent) -> bool {
    match event {
        ClockEvent::Stepped { .. } | ClockEvent::HistoryAhead { .. } => true,
        ClockEvent::Skewed { skew } => skew.abs() > SKEW_TOO_FAR || *skew == TimeDelta::zero(),
        ClockEvent::Confirmed => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_rules_of_time_zones_are_a_warning() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let built_in = Release::built_in();
        let published = built_in.published_by().unwrap().and_time(chrono::NaiveTime::MIN).and_utc();
        assert_eq!(zones_old(&built_in, published + TimeDelta::days(364)), None);
        let problem = zones_old(&built_in, at("2035-01-01T00:00:00Z")).unwrap();
        assert_eq!((problem.code, problem.severity), (ProblemCode::ZonesOld, Severity::Warning));
        assert!(problem.message.contains(&format!("release {} (built in)", built_in.version())), "{}", problem.message);
        assert!(problem.since.starts_with("2027-10-28") || built_in.version() != "2026f");
    }
}
