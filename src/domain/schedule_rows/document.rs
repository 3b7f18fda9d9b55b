//! The rows as `status --json` and `/status.json` have them.

use super::{Row, facts::NewestGood, outcome::Outcome, strip::Mark};
use crate::domain::{
    status::{GoodImage, ScheduleRow, SlotResult},
    time::{rfc3339_seconds, show},
};

impl From<&Row> for ScheduleRow {
    fn from(row: &Row) -> Self {
        let schedule = &row.entry.schedule;
        Self {
            schedule: schedule.name.to_string(),
            id: schedule.id.to_string(),
            severity: row.entry.severity,
            problems: row.problems.clone(),
            mark: row.mark(),
            results: row.strip.iter().map(SlotResult::from).collect(),
            lines: row.lines,
            lines_with_image: row.lines_with_image,
            no_image_yet: row.entry.no_image_yet(),
            image: row.image.as_ref().map(GoodImage::from),
            next: row.next.map(rfc3339_seconds),
            next_local: row.next.map(|at| show(at, schedule.timing.zone())),
            due: false,
            waits_for: row.waits_for(),
            paused: row.paused(),
        }
    }
}

impl From<&Mark> for SlotResult {
    fn from(mark: &Mark) -> Self {
        let is_vetoed = mark.outcome == Outcome::Vetoed;
        Self {
            bake: mark.bake,
            slot: rfc3339_seconds(mark.slot),
            state: if is_vetoed { Outcome::Vetoed.word().to_owned() } else { mark.state.clone() },
            reason_code: mark.reason_code.clone(),
        }
    }
}

impl From<&NewestGood> for GoodImage {
    fn from(image: &NewestGood) -> Self {
        Self {
            line: image.line.to_string(),
            image_id: image.image_id.clone(),
            image_name: image.name.clone(),
            version: image.version,
            since: rfc3339_seconds(image.good_at),
        }
    }
}
