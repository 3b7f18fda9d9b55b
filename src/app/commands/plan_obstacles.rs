//! What is in the way of a plan as things are: for all schedules, and for some of them.

use std::path::Path;

use super::presence::Presence;
use crate::{
    adapters::{
        config::Config,
        control::{Reply, Request, client},
        store::{DATABASE_FILE, Reader},
    },
    domain::{
        api::mode::ONLY_OBSERVES,
        calendar::zone::Zone,
        health::{Health, Problem, ProblemCode, schedules::Findings},
        schedule::Schedule,
    },
};

/// Problems under which nothing is baked, or nothing more than what has begun.
const BLOCKING: [ProblemCode; 7] = [
    ProblemCode::CredentialsRejected,
    ProblemCode::CloudUnreachable,
    ProblemCode::HistoryUnwritable,
    ProblemCode::EngineStalled,
    ProblemCode::ReconcilePending,
    ProblemCode::BuilderQuotaFull,
    ProblemCode::ImageQuotaFull,
];
/// Problems of a line or an instance that the next bake meets again unless somebody does something.
const RECURRING: [ProblemCode; 3] =
    [ProblemCode::BakeFailed, ProblemCode::InstanceNotRunning, ProblemCode::RightsMissing];
/// Characters of a problem: `status` has all of it.
const LONGEST_REASON: usize = 160;
/// So many of these problems are listed.
const LISTED: usize = 2;

/// What is in the way; known only where the daemon has run.
#[derive(Debug, Default)]
pub struct Obstacles {
    /// Why the plan comes to nothing.
    pub blocked: Option<String>,
    /// Problems of these schedules that their next bakes may meet again, and how many more there are.
    pub recurring: Vec<String>,
    /// Whether the daemon only observes, which is why.
    pub observes: bool,
    /// Whether a daemon said so.
    pub is_of_a_daemon: bool,
}

impl Obstacles {
    /// Asks the daemon; without one, the history.
    pub async fn find(
        config: &Config,
        state_dir: &Path,
        presence: &Presence,
        (schedules, zone): (&[&Schedule], Zone),
    ) -> Self {
        let Some(daemon) = presence.located() else {
            if config.daemon.mode.is_observe() {
                return Self::observing();
            }
            let blocked = without_daemon(state_dir, presence, zone).await;
            return Self { blocked, ..Self::default() };
        };
        // Not by the history, which may be what cannot be written.
        let found = match client::ask(&daemon.socket, &Request::Status { all: false }).await {
            Ok(Reply::Status(status)) if status.daemon.mode.is_observe() => Self::observing(),
            Ok(Reply::Status(status)) => Self::of(&status.health, schedules),
            Ok(Reply::Failed { message }) => Self { blocked: Some(in_short(&message)), ..Self::default() },
            _ => Self::default(),
        };
        Self { is_of_a_daemon: true, ..found }
    }

    fn observing() -> Self {
        let why = format!("{ONLY_OBSERVES} ([daemon] mode = \"observe\")");
        Self { blocked: Some(why), observes: true, ..Self::default() }
    }

    fn of(health: &Health, schedules: &[&Schedule]) -> Self {
        let blocking = health.problems().find(|problem| BLOCKING.contains(&problem.code));
        let findings = Findings::of(health);
        let mut recurring: Vec<&Problem> =
            schedules.iter().flat_map(|schedule| findings.of_schedule(schedule)).collect();
        recurring.retain(|problem| RECURRING.contains(&problem.code));
        let more = recurring.len().saturating_sub(LISTED);
        let mut recurring: Vec<String> =
            recurring.iter().take(LISTED).map(|problem| in_short(&problem.message)).collect();
        if more > 0 {
            recurring.push(format!("and {more} more"));
        }
        Self { blocked: blocking.map(|problem| in_short(&problem.message)), recurring, ..Self::default() }
    }
}

async fn without_daemon(state_dir: &Path, presence: &Presence, zone: Zone) -> Option<String> {
    if !state_dir.join(DATABASE_FILE).exists() {
        return None;
    }
    let unknown = "the daemon does not answer (`imagebaked status`)";
    let Ok(reader) = Reader::open(state_dir).await else { return Some(unknown.to_owned()) };
    let unfollowed = presence.unfollowed(&reader);
    reader.close().await;
    Some(unfollowed.map_or_else(|| unknown.to_owned(), |why| why.describe("this history", zone)))
}

fn in_short(message: &str) -> String {
    let short: String = message.chars().take(LONGEST_REASON).collect();
    let end = if short.len() < message.len() { "…" } else { "" };
    format!("{short}{end} (`imagebaked status`)")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::{
        health::{Severity, Subject, SubjectKind},
        schedule::example,
    };

    fn problem(code: ProblemCode, kind: SubjectKind, id: &str) -> Problem {
        let message = format!("{} of {id}", code.as_str());
        Problem::new(code, Severity::Problem, Subject::new(kind, id), DateTime::UNIX_EPOCH, message, None)
    }

    #[test]
    fn what_stands_of_the_schedules_is_named_and_what_blocks_all() {
        let (golden, other) = (example("golden", &["ecd-1"]), example("other", &["ecd-2"]));
        let health = Health::of(vec![
            problem(ProblemCode::BakeFailed, SubjectKind::Line, "golden"),
            problem(ProblemCode::InstanceNotRunning, SubjectKind::Instance, "ecd-2"),
            problem(ProblemCode::NoGoodImage, SubjectKind::Line, "other"),
            problem(ProblemCode::ImageQuotaFull, SubjectKind::Cloud, ""),
        ]);
        let of = |schedules: &[&Schedule]| Obstacles::of(&health, schedules);
        assert_eq!(of(&[&golden]).recurring, ["bake_failed of golden (`imagebaked status`)"]);
        assert_eq!(of(&[&other]).recurring, ["instance_not_running of ecd-2 (`imagebaked status`)"]);
        assert_eq!(of(&[&golden, &other]).recurring.len(), 2);
        assert!(of(&[&golden]).blocked.unwrap().starts_with("image_quota_full"));
        let many: Vec<_> =
            (0..5).map(|n| problem(ProblemCode::RightsMissing, SubjectKind::Instance, &format!("i-{n}"))).collect();
        let farm = example("farm", &["i-0", "i-1", "i-2", "i-3", "i-4"]);
        let found = Obstacles::of(&Health::of(many), &[&farm]);
        assert_eq!((found.recurring.len(), found.recurring[2].as_str()), (3, "and 3 more"));
        assert_eq!(found.blocked, None);
    }
}
