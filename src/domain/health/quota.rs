//! Health of the account's quotas: a quota that keeps bakes from beginning goes in, a problem comes out.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Problem, ProblemCode, Severity, Subject, SubjectKind, one_line};
use crate::domain::{api::codes::AccountQuota, bake::queue::ClosedAdmission, clock::age};

/// Time without a builder that is worth a warning: builders become free when images are made.
pub const BUILDERS_WARNING: Duration = Duration::from_mins(15);

/// The problem of a quota that has closed admission. A full quota of images does not become free by itself.
pub fn problem(closed: &ClosedAdmission, now: DateTime<Utc>) -> Option<Problem> {
    let (code, severity, what, command) = match closed.quota {
        AccountQuota::Images => (
            ProblemCode::ImageQuotaFull,
            Severity::Problem,
            "the quota of images is used up",
            "imagebaked prune --dry-run",
        ),
        AccountQuota::Builders if age(closed.since, now) >= BUILDERS_WARNING => {
            (ProblemCode::BuilderQuotaFull, Severity::Warning, "the cloud has no builder for us", "imagebaked status")
        }
        AccountQuota::Builders => return None,
    };
    let message = format!("{what}, and no bake begins until it has room: {}", one_line(&closed.message));
    Some(Problem::new(
        code,
        severity,
        Subject::only(SubjectKind::Cloud),
        closed.since,
        message,
        Some(command.to_owned()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_image_quota_is_a_problem_at_once_and_builders_are_a_warning_after_a_while() {
        let since: DateTime<Utc> = "2026-11-26T03:00:00Z".parse().unwrap();
        let found = |quota, seconds| {
            let closed = ClosedAdmission {
                since,
                quota,
                refused_at: since,
                message: "QuotaExceeded.Image:\nthe quota is used up".to_owned(),
                cap: Duration::from_mins(10),
                until: since,
                trial: None,
            };
            problem(&closed, since + Duration::from_secs(seconds))
        };
        assert_eq!(found(AccountQuota::Builders, 15 * 60 - 1), None);
        let builders = found(AccountQuota::Builders, 15 * 60).unwrap();
        assert_eq!((builders.code, builders.severity), (ProblemCode::BuilderQuotaFull, Severity::Warning));
        let images = found(AccountQuota::Images, 0).unwrap();
        assert_eq!((images.code, images.severity), (ProblemCode::ImageQuotaFull, Severity::Problem));
        assert_eq!(
            images.message,
            "the quota of images is used up, and no bake begins until it has room: QuotaExceeded.Image: the quota is used up"
        );
    }
}
