//! Health of lines: a line and its history since the last good image go in, problems come out.
//!
//! A slot without a good image counts, unless a person or a rule caused it. One such slot is a warning; two, of which
//! the first is an hour old, are a problem. Both end only with the next good image: neither time nor a restart ends
//! them. `max_image_age` adds another bound.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Problem, ProblemCode, Severity, Subject, SubjectKind, one_line};
use crate::domain::{
    bake::{Trigger, reason::ReasonCode},
    calendar::zone::Zone,
    ids::{BakeId, ImageId, LineId, ScheduleName},
    time::{show_length, show_minute},
};

/// Lost slots within this time of each other may have one transient cause.
const PROBLEM_AFTER: TimeDelta = TimeDelta::hours(1);
/// Number of lost slots that is a problem.
const PROBLEM_SLOTS: u64 = 2;

/// What became of a slot, in the message about it; its time follows.
pub const MISSED: &str = "was missed";
/// See [`MISSED`].
pub const SKIPPED: &str = "was skipped";
/// See [`MISSED`].
pub const FAILED: &str = "failed";

/// Whether a slot whose row ended this way is lost: all but good images and ends that a person, a rule of the
/// configuration or an operator's hook caused. Unknown reasons count too. Of manual bakes only failed ones count: a
/// person who requests a bake while users are connected sees the result.
pub fn is_lost(state: &str, code: Option<ReasonCode>, trigger: Trigger) -> bool {
    match state {
        "failed" => true,
        "skipped" => trigger != Trigger::Manual && !code.is_some_and(|code| WANTED.contains(&code)),
        _ => false,
    }
}

/// Reasons of skipped slots that are no problem.
pub const WANTED: [ReasonCode; 7] = [
    ReasonCode::Paused,
    ReasonCode::Calendar,
    ReasonCode::VetoedByHook,
    ReasonCode::Cancelled,
    ReasonCode::Superseded,
    ReasonCode::ClockAhead,
    ReasonCode::Observe,
];

/// Input: a line whose schedule is in force and not paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The line.
    pub id: LineId,
    /// Its schedule's name.
    pub schedule: ScheduleName,
    /// Its schedule's zone, for times in messages.
    pub zone: Zone,
    /// Maximum age of its newest good image.
    pub max_image_age: Option<Duration>,
    /// Start of the line: a line younger than `max_image_age` needs no image yet.
    pub known_since: DateTime<Utc>,
}

/// History of a line since its last good image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The last good image.
    pub good: Option<Good>,
    /// Lost slots after it.
    pub lost: Option<Lost>,
    /// Images after it that failed their check and are vetoed for that, the newest first.
    pub unverified: Vec<Unverified>,
    /// Instant from which there is no good image although there were images; `None` if there never was one, or still
    /// is.
    pub none_good_since: Option<DateTime<Utc>>,
}

impl Facts {
    /// Whether no slot of the line has ended yet.
    pub fn no_image_yet(&self) -> bool {
        *self == Self::default()
    }
}

/// The last good image of a line: the one with the highest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Good {
    /// When it was first seen AVAILABLE, the start of its age. Slots before this are covered by it.
    pub at: DateTime<Utc>,
}

/// Slots without a good image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Their number without manual bakes. At most [`Lost::BOUND`] rows are counted.
    pub slots: u64,
    /// Whether there are more rows than were counted.
    pub more: bool,
    /// The first of them.
    pub first: DateTime<Utc>,
    /// Whether the daemon could not run in any of them.
    pub only_missed: bool,
    /// The last of them.
    pub last: LastLost,
}

impl Lost {
    /// Maximum number of counted rows: one or two decide.
    pub const BOUND: u32 = 100;
}

/// The last row without a good image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastLost {
    /// The row.
    pub bake: BakeId,
    /// Its slot.
    pub slot: DateTime<Utc>,
    /// `failed` or `skipped`.
    pub state: String,
    /// Why, for programs.
    pub code: Option<ReasonCode>,
    /// Why, in words.
    pub reason: String,
    /// The image, if one was started.
    pub image: Option<ImageId>,
}

/// An image that failed its check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified {
    /// The image.
    pub image: ImageId,
    /// Its version.
    pub version: u32,
    /// Its slot.
    pub slot: DateTime<Utc>,
    /// When it was vetoed.
    pub vetoed_at: DateTime<Utc>,
    /// The bake that made it, with the output of the hook.
    pub bake: Option<BakeId>,
    /// The result of the check.
    pub reason: String,
}

/// Problem of a line; none if it has its image, or if none of its slots has ended yet.
pub fn judge(line: &Line, facts: &Facts, now: DateTime<Utc>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let severity = severity(facts, now);
    if let Some(lost) = &facts.lost {
        problems.push(lost_slots(line, facts.good, lost, severity));
        problems.extend(stuck(line, lost));
    }
    problems.extend(not_verified(line, facts, severity));
    if let (true, Some(since)) = (facts.unverified.is_empty(), facts.none_good_since) {
        let message = format!(
            "{} has no good image any more: all of its images are gone, vetoed, not AVAILABLE or of another owner",
            name_of(line)
        );
        problems.push(of_line(line, ProblemCode::NoGoodImage, Severity::Problem, since, message, bake_now(line)));
    }
    problems.extend(too_old(line, facts, now));
    problems
}

/// One lost slot may have a transient cause, two are a problem; a burst within an hour may also have one cause.
fn severity(facts: &Facts, now: DateTime<Utc>) -> Severity {
    let slots = facts.lost.as_ref().map_or(0, |lost| lost.slots) + facts.unverified.len() as u64;
    let first = facts.lost.iter().map(|lost| lost.first).chain(facts.unverified.iter().map(|one| one.slot)).min();
    match first {
        Some(first) if slots >= PROBLEM_SLOTS && now - first >= PROBLEM_AFTER => Severity::Problem,
        _ => Severity::Warning,
    }
}

fn lost_slots(line: &Line, good: Option<Good>, lost: &Lost, severity: Severity) -> Problem {
    let last = &lost.last;
    let at = show_minute(last.slot, line.zone);
    let name = name_of(line);
    let reason = one_line(&last.reason);
    let verb = match (last.state.as_str(), last.code) {
        (_, Some(ReasonCode::Missed)) => MISSED,
        ("skipped", _) => SKIPPED,
        _ => FAILED,
    };
    let message = match lost.slots {
        0 | 1 => format!("{name} {verb} at {at}: {reason}"),
        slots => {
            let least = if lost.more { "at least " } else { "" };
            let since = match good {
                Some(_) => format!("since {}", show_minute(lost.first, line.zone)),
                None => format!("since {}, and there is no older one", show_minute(lost.first, line.zone)),
            };
            format!("{name} has had no good image in {least}{slots} slots {since}; the last {verb} at {at}: {reason}")
        }
    };
    let (code, command) = if lost.only_missed {
        (ProblemCode::BakeMissed, bake_now(line))
    } else {
        (ProblemCode::BakeFailed, format!("imagebaked show {}", last.bake))
    };
    of_line(line, code, severity, lost.first, message, command)
}

/// An image that was given up may still be in the making and use a builder of the cloud.
fn stuck(line: &Line, lost: &Lost) -> Option<Problem> {
    let LastLost { code: Some(ReasonCode::Stuck), image: Some(image), bake, slot, .. } = &lost.last else {
        return None;
    };
    let at = show_minute(*slot, line.zone);
    let problem = Problem::new(
        ProblemCode::ImageStuck,
        Severity::Warning,
        Subject::new(SubjectKind::Image, image.as_str()),
        *slot,
        format!(
            "image {image} of {}, begun for {at}, was not finished within build_deadline; the cloud may still make it",
            line.schedule
        ),
        Some(format!("imagebaked show {bake}")),
    );
    Some(problem.of_line(&line.id))
}

/// Images that failed their check. Without an older good image the line has none, which is a problem at once.
fn not_verified(line: &Line, facts: &Facts, severity: Severity) -> Option<Problem> {
    let all = &facts.unverified;
    let Unverified { image, version, bake, reason, .. } = all.first()?;
    let since = all.iter().map(|one| one.vetoed_at).min()?;
    let before = match all.len() {
        1 => String::new(),
        count => format!(", like {} before it", count - 1),
    };
    let (severity, none) = match facts.none_good_since {
        Some(_) => (Severity::Problem, "; there is no good image"),
        None => (severity, ""),
    };
    let message = format!(
        "the newest image of {}, v{version} ({image}), is vetoed{before}{none}: {}",
        name_of(line),
        one_line(reason)
    );
    // What the hook printed comes first: only then can a person decide about the veto.
    let command =
        bake.map_or_else(|| format!("imagebaked images {}", line.schedule), |bake| format!("imagebaked show {bake}"));
    let subject = Subject::new(SubjectKind::Image, image.as_str());
    Some(Problem::new(ProblemCode::VerifyFailed, severity, subject, since, message, Some(command)).of_line(&line.id))
}

/// The operator's bound. A line without an image is as old as its schedule.
fn too_old(line: &Line, facts: &Facts, now: DateTime<Utc>) -> Option<Problem> {
    let allowed = line.max_image_age?;
    let since = facts.good.map_or(line.known_since, |good| good.at);
    let age = (now - since).to_std().unwrap_or_default();
    if age <= allowed {
        return None;
    }
    let (age, most) = (minutes(age), show_length(allowed));
    let message = match facts.good {
        Some(_) => {
            format!("{} ({}): its newest good image is {age} old, max_image_age is {most}", line.schedule, line.id)
        }
        None => format!("{} ({}): it has had no good image for {age}, max_image_age is {most}", line.schedule, line.id),
    };
    let begun =
        TimeDelta::from_std(allowed).ok().and_then(|allowed| since.checked_add_signed(allowed)).unwrap_or(since);
    Some(of_line(line, ProblemCode::ImageTooOld, Severity::Problem, begun, message, bake_now(line)))
}

fn of_line(
    line: &Line,
    code: ProblemCode,
    severity: Severity,
    since: DateTime<Utc>,
    message: String,
    command: String,
) -> Problem {
    Problem::new(code, severity, Subject::new(SubjectKind::Line, line.id.as_str()), since, message, Some(command))
}

/// The schedule's name, and the line if it has more.
fn name_of(line: &Line) -> String {
    let (line, schedule) = (line.id.as_str(), line.schedule.as_str());
    let has_schedule_name = line.strip_prefix(schedule).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if has_schedule_name { line.to_owned() } else { format!("{schedule} ({line})") }
}

fn bake_now(line: &Line) -> String {
    format!("imagebaked bake {}", line.schedule)
}

fn minutes(length: Duration) -> String {
    show_length(Duration::from_secs(length.as_secs() / 60 * 60))
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
