//! Cells of the table of housekeeping jobs.

use maud::{Markup, html};

use super::frame::Frame;
use crate::domain::status::{HousekeepingJob, Status};

/// One row for each job: its name, its last and next run, and what an operator should know.
pub(super) fn rows(frame: &Frame, status: &Status) -> Vec<[Markup; 4]> {
    let when = |at: &Option<String>| at.as_ref().map_or_else(|| "–".to_owned(), |at| frame.distance_of_text(at));
    let row = |job: &HousekeepingJob| {
        [
            html! { (job.name) },
            html! { @if job.running_since.is_some() { "running" } @else { (when(&job.last_run)) } },
            html! { (when(&job.next_run)) },
            html! {
                @if let Some(error) = job.standing_error() { "failed " (frame.distance_of_text(&error.at)) ": " (error.message) }
                @else if let Some(last_good) = status.backup.as_ref().filter(|_| job.name == "backup").and_then(|it| it.last_good.as_ref()) {
                    (frame.distance_of_text(&last_good.at)) ": " (last_good.file)
                }
            },
        ]
    };
    status.housekeeping.iter().map(row).collect()
}
