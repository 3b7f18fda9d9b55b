//! The status of one schedule: what is about others is left out.

use super::{Next, ScheduleRow, Status};
use crate::domain::{
    health::{Health, schedules::concerns},
    schedule::Schedule,
};

impl Status {
    /// Leaves the problems that concern this schedule, and what says how it is paused and when it is due. Bakes and their
    /// numbers are read of one schedule in the first place. What is about the daemon stays.
    #[must_use]
    pub fn only(mut self, schedule: &Schedule) -> Self {
        let (name, id) = (schedule.name.as_str(), schedule.id.as_str());
        self.paused.retain(|pause| pause.schedule == id);
        self.paused_in_file.retain(|paused| paused == name);
        let is_paused = schedule.paused || !self.paused.is_empty();
        let mut problems = self.health.problems;
        problems.retain(|one| concerns(&one.problem, schedule, is_paused));
        self.health = Health::of_reported(problems);
        self.next.retain(|next| next.schedule == name);
        self.daemon.schedules = 1;
        self
    }

    /// The same with its row, which has what the lists of all schedules may not have room for.
    #[must_use]
    pub fn with_row_of(mut self, schedule: &Schedule, row: ScheduleRow) -> Self {
        // A paused one is not expected to have any.
        self.no_image_yet = if row.next.is_some() { row.no_image_yet as u64 } else { 0 };
        if let (true, Some(slot), Some(local)) = (self.next.is_empty(), &row.next, &row.next_local) {
            self.next = schedule
                .instances
                .as_slice()
                .iter()
                .map(|instance| Next {
                    schedule: row.schedule.clone(),
                    instance_id: instance.to_string(),
                    slot: slot.clone(),
                    local: local.clone(),
                })
                .collect();
        }
        self.schedules = vec![row];
        self
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::{
        health::{Problem, ProblemCode, Severity, Subject, SubjectKind, Verdict},
        schedule,
    };

    fn problem(code: ProblemCode, severity: Severity, kind: SubjectKind, id: &str) -> Problem {
        Problem::new(code, severity, Subject::new(kind, id), DateTime::UNIX_EPOCH, "wrong".to_owned(), None)
    }

    /// A status with these problems, read from the fields that have no default.
    fn status(problems: Vec<Problem>) -> Status {
        let mut status: Status = serde_json::from_value(serde_json::json!({
            "daemon": {
                "version": "1", "pid": 1, "started_at": "", "config_hash": "", "config_files": [], "schedules": 2,
                "credentials": null, "credentials_expire_at": null,
            },
            "health": { "verdict": "ok", "problems": [] }, "running": [], "queued": 0, "last_day": { "succeeded": 0, "failed": 0, "skipped": 0 },
            "paused_in_file": ["farm"],
            "next": [{ "schedule": "farm", "instance_id": "ecd-2", "slot": "2027-03-01T03:00:00Z", "local": "" }],
        }))
        .unwrap();
        status.health = Health::of(problems);
        status
    }

    #[test]
    fn the_verdict_is_of_this_schedule_and_of_what_concerns_all() {
        let (golden, farm) = (schedule::example("golden", &["ecd-1"]), schedule::example("farm", &["ecd-2"]));
        let of_farm = || problem(ProblemCode::BakeFailed, Severity::Problem, SubjectKind::Line, "farm");
        let verdict = |problems, schedule| status(problems).only(schedule).health.verdict;
        assert_eq!(verdict(vec![of_farm()], &golden), Verdict::Ok);
        assert_eq!(verdict(vec![of_farm()], &farm), Verdict::Problem);
        let of_clock = problem(ProblemCode::ClockSkew, Severity::Warning, SubjectKind::Clock, "");
        assert_eq!(verdict(vec![of_farm(), of_clock], &golden), Verdict::Warning);
        let only = status(vec![of_farm()]).only(&golden);
        assert!(only.next.is_empty() && only.paused_in_file.is_empty() && only.health.problems.is_empty(), "{only:?}");
    }
}
