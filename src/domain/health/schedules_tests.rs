use chrono::DateTime;

use super::*;
use crate::domain::{
    health::{CODES, ProblemCode, Severity, Subject},
    schedule,
};

fn problem(code: ProblemCode, kind: SubjectKind, id: &str) -> Problem {
    Problem::new(code, Severity::Warning, Subject::new(kind, id), DateTime::UNIX_EPOCH, "wrong".to_owned(), None)
}

/// What a problem of each code is about, for a schedule of this name and its only instance.
fn of_golden(code: ProblemCode) -> Vec<Problem> {
    use ProblemCode as Code;
    let line = LineId::from("golden");
    let of_line = |kind, id| problem(code, kind, id).of_line(&line);
    match code {
        Code::BakeFailed | Code::BakeMissed | Code::NoGoodImage | Code::ImageTooOld => {
            vec![problem(code, SubjectKind::Line, "golden")]
        }
        Code::ImageStuck | Code::ImageNotInHistory | Code::VerifyFailed => vec![of_line(SubjectKind::Image, "imgc-1")],
        Code::ImageLate | Code::ReplicaFailed => vec![of_line(SubjectKind::Bake, "7")],
        Code::InstanceNotRunning => vec![problem(code, SubjectKind::Instance, "ecd-1")],
        Code::ScheduleAutoPaused => vec![problem(code, SubjectKind::Schedule, "golden")],
        Code::RightsMissing => {
            vec![problem(code, SubjectKind::Instance, "ecd-1"), problem(code, SubjectKind::Cloud, "")]
        }
        Code::PruneNeedsConfirmation => {
            vec![problem(code, SubjectKind::Line, "golden"), problem(code, SubjectKind::Daemon, "")]
        }
        Code::CredentialsRejected | Code::CredentialsNotRenewed => vec![problem(code, SubjectKind::Credentials, "")],
        Code::CloudUnreachable => vec![problem(code, SubjectKind::Cloud, "ecd.cn-hangzhou.aliyuncs.com")],
        Code::ListIncomplete | Code::BuilderQuotaFull | Code::ImageQuotaFull => {
            vec![problem(code, SubjectKind::Cloud, "")]
        }
        Code::ClockSkew | Code::ZonesOld => vec![problem(code, SubjectKind::Clock, "")],
        Code::HistoryUnwritable | Code::HistoryReplaced | Code::ReconcilePending => {
            vec![problem(code, SubjectKind::History, "")]
        }
        Code::EngineStalled | Code::NoLeader => vec![problem(code, SubjectKind::Daemon, "")],
        Code::ConfigurationRefused | Code::RestartRequired => vec![problem(code, SubjectKind::Configuration, "")],
        Code::HousekeepingStalled => vec![problem(code, SubjectKind::Daemon, "scheduler")],
        Code::BackupFailed => vec![problem(code, SubjectKind::History, "")],
        Code::NotifyFailed => vec![problem(code, SubjectKind::Notify, "ops")],
    }
}

#[test]
fn every_problem_concerns_its_schedule_or_all_of_them_unless_it_is_of_the_daemon() {
    let (golden, other) = (schedule::example("golden", &["ecd-1"]), schedule::example("other", &["ecd-2"]));
    for row in CODES {
        for problem in of_golden(row.code) {
            let what = format!("{} of {}", row.word, problem.subject);
            let is_of_daemon = row.code.is_of_daemon() && problem.subject.kind != SubjectKind::Line;
            let concerned = |schedule| [false, true].map(|is_paused| concerns(&problem, schedule, is_paused));
            let (golden_is, other_is) = (concerned(&golden), concerned(&other));
            let health = Health::of(vec![problem]);
            let findings = Findings::of(&health);
            let (of_golden, of_other) = (findings.of_schedule(&golden).count(), findings.of_schedule(&other).count());
            let of_all = findings.of_all().count();
            assert_eq!(golden_is, [of_golden + of_all > 0, of_golden > 0], "{what}");
            assert_eq!(other_is, [of_all > 0, false], "{what}");
            assert_eq!(of_other, 0, "{what}");
            assert_eq!(of_golden + of_all, usize::from(!is_of_daemon), "{what}");
        }
    }
}

#[test]
fn a_line_of_two_instances_has_its_problem_once() {
    let farm = schedule::example("farm", &["ecd-1", "ecd-2"]);
    let health = Health::of(vec![
        problem(ProblemCode::BakeFailed, SubjectKind::Line, "farm/ecd-2"),
        problem(ProblemCode::ReplicaFailed, SubjectKind::Bake, "7").of_line(&"farm/ecd-1".into()),
        problem(ProblemCode::ReplicaFailed, SubjectKind::Channel, "farm/ecd-1/stable"),
        problem(ProblemCode::ReplicaFailed, SubjectKind::Bake, "8").of_line(&"farm/ecd-3".into()),
    ]);
    assert_eq!(Findings::of(&health).of_schedule(&farm).count(), 3);
}

#[test]
fn a_bake_of_an_unknown_line_may_be_of_any_schedule() {
    let health = Health::of(vec![problem(ProblemCode::ReplicaFailed, SubjectKind::Bake, "7")]);
    assert_eq!(Findings::of(&health).of_all().count(), 1);
}

#[test]
fn a_daemon_that_only_observes_advises_no_bake() {
    let advised = |command: &str| {
        let problem = problem(ProblemCode::BakeMissed, SubjectKind::Line, "golden");
        Problem { command: Some(command.to_owned()), ..problem }.without_bakes().command.unwrap_or_default()
    };
    assert_eq!(advised("imagebaked bake golden"), "imagebaked why golden");
    assert_eq!(advised("imagebaked show 7"), "imagebaked show 7");
}
