//! What the status has on a terminal and elsewhere.

use chrono::{DateTime, Utc};

use super::super::output::relative;
use crate::domain::{
    health::Health,
    status::{LastDay, Running, ScheduleRow, Status},
};

/// Maximum number of names or problems in a line.
pub(super) const LISTED: usize = 10;
/// Shows what a screen has no room for.
pub(super) const ALL: &str = "imagebaked status --all";
/// The headline without a daemon.
const UNANSWERED: &str = "UNKNOWN: the daemon does not answer, and nothing is baked without it; the history shows this";
/// The heading of bakes that are open without a daemon.
pub(super) const OPEN: &str = "Open, and no daemon follows them";

/// What the history has without a daemon.
pub(super) struct Offline<'a> {
    pub(super) last_day: LastDay,
    /// Number of queued bakes.
    pub(super) queued: u64,
    pub(super) rows: &'a [ScheduleRow],
    /// Number of all schedules.
    pub(super) known: usize,
    /// What helps, or shows more.
    pub(super) command: String,
    pub(super) running: &'a [Running],
    pub(super) waiting: &'a [Running],
    /// Instances that stay stopped or in maintenance, a sentence each.
    pub(super) stopped: Vec<String>,
    /// When a daemon last wrote the history.
    pub(super) since: Option<String>,
    /// The problems that stood then.
    pub(super) health: &'a Health,
}

impl Offline<'_> {
    /// The headline.
    pub(super) fn headline(&self) -> String {
        let since = self.since.as_ref().map(|since| format!(", last written {since}")).unwrap_or_default();
        format!("{UNANSWERED}{since}.")
    }

    /// The heading of the problems.
    pub(super) fn as_of(&self) -> String {
        self.since.as_ref().map_or_else(|| "As of the last write:".to_owned(), |since| format!("As of {since}:"))
    }
}

/// What ended lately, in a line.
pub(super) fn last_day(last_day: LastDay, queued: u64) -> String {
    let LastDay { succeeded, failed, skipped, cancelled, vetoed } = last_day;
    let vetoed_part = if vetoed == 0 { String::new() } else { format!("{vetoed} vetoed, ") };
    // The line keeps within 80 columns.
    let cancelled = if vetoed > 0 && cancelled == 0 { String::new() } else { format!(", {cancelled} cancelled") };
    format!(
        "Last 24 hours: {succeeded} succeeded, {vetoed_part}{failed} failed, {skipped} skipped{cancelled}. Queued: {queued}.\n"
    )
}

/// How far an instant is from now; empty for a text that is none.
pub(super) fn distance(at: &str, now: DateTime<Utc>) -> String {
    at.parse().map(|at| relative(at, now)).unwrap_or_default()
}

/// `; 2 lines have no image yet`; empty where none is without.
pub(super) fn no_image_yet(status: &Status) -> String {
    match status.no_image_yet {
        0 => String::new(),
        1 => "; 1 line has no image yet".to_owned(),
        lines => format!("; {lines} lines have no image yet"),
    }
}

/// Paused schedules that none of these rows shows.
pub(super) fn paused_elsewhere<'a>(status: &'a Status, rows: &[ScheduleRow]) -> Vec<&'a str> {
    let is_shown = |word: &str| rows.iter().any(|row| row.id == word || row.schedule == word);
    let all = status.paused.iter().map(|pause| &pause.schedule).chain(&status.paused_in_file);
    all.map(String::as_str).filter(|word| !is_shown(word)).collect()
}

/// The first of them, and a note about the rest.
pub(super) fn first<T>(all: impl ExactSizeIterator<Item = T>, most: usize) -> (Vec<T>, String) {
    let rest = all.len().saturating_sub(most);
    (all.take(most).collect(), if rest == 0 { String::new() } else { format!("; and {rest} more") })
}
