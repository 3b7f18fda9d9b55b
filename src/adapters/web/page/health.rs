//! The verdict with its problems, and under each the command to copy.

use maud::{Markup, html};

use super::{frame::Frame, time::sentence};
use crate::domain::{
    health::{
        Acknowledgement, Problem, Severity, Subject, Verdict,
        same_error::{Group, problem_groups},
    },
    status::Status,
    text::counted,
};

/// Maximum number of problems of each kind that are listed.
const PROBLEMS: usize = 50;
/// Number of them that are listed before the rest is folded.
const UNFOLDED: usize = 4;

/// Class and symbol of a verdict: colour, shape and word, because a reader may miss any of them.
pub(super) fn appearance(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Ok => ("good", "✓"),
        Verdict::Warning => ("warn", "!"),
        Verdict::Problem => ("bad", "✗"),
    }
}

/// The verdict with its problems.
pub(super) fn health(frame: &Frame, status: &Status) -> Markup {
    let health = &status.health;
    let (class, symbol) = appearance(health.verdict);
    // One error of many schedules is one entry.
    let listed: Vec<_> = health.problems().take(PROBLEMS).collect();
    let listed = problem_groups(listed);
    let (first, folded) = listed.split_at(listed.len().min(UNFOLDED));
    let rest = health.problems().len().saturating_sub(PROBLEMS);
    let acknowledged: Vec<_> = health.acknowledged().take(PROBLEMS).collect();
    let without = usize::try_from(status.no_image_yet).unwrap_or(usize::MAX);
    html! {
        div.health.(class) {
            h1 {
                span aria-hidden="true" { (symbol) " " }
                (health.verdict)
                @if !health.problems.is_empty() { ": " (health.counts()) }
            }
            @if without > 0 {
                p { (counted(without, "line has", "lines have")) " no image yet." }
            }
            @if !first.is_empty() { ul { @for one in first { (problem(frame, one)) } } }
            @if !folded.is_empty() {
                details {
                    summary { "The next " (folded.len()) }
                    ul { @for one in folded { (problem(frame, one)) } }
                }
            }
            @if rest > 0 { p { (rest) " more in " a href=(frame.to("status.json")) { "status.json" } "." } }
            @if !acknowledged.is_empty() {
                h2 { "Acknowledged" }
                ul { @for (problem, by) in acknowledged { (known_problem(frame, problem, by)) } }
            }
        }
    }
}

/// One problem: the finding, its start, and the command; then those with the same error.
fn problem(frame: &Frame, group: &Group<'_, Problem>) -> Markup {
    let problem = group.first;
    let word = if problem.severity == Severity::Problem { "Problem" } else { "Warning" };
    html! {
        li {
            p { strong { (word) ": " } (sentence(&frame.text(&problem.message))) }
            (act(frame, problem))
            @if !group.others.is_empty() {
                details {
                    summary { "The same for " (group.others.len()) " more" }
                    ul { @for other in &group.others { li { p { (name_of(&other.subject)) } (act(frame, other)) } } }
                }
            }
        }
    }
}

/// What a problem is about.
fn name_of(subject: &Subject) -> String {
    if subject.id.is_empty() {
        subject.kind.as_str().to_owned()
    } else {
        format!("{} {}", subject.kind.as_str(), subject.id)
    }
}

/// The command to copy, with the code and the begin.
pub(super) fn act(frame: &Frame, problem: &Problem) -> Markup {
    html! {
        div.act {
            @if let Some(command) = &problem.command { (frame.command(command)) }
            span.more { (problem.code.as_str()) ", began " (frame.distance_of_text(&problem.since)) }
        }
    }
}

/// A problem that a person has acknowledged: the finding, and who knows of it until when.
fn known_problem(frame: &Frame, problem: &Problem, by: &Acknowledgement) -> Markup {
    html! {
        li {
            p { (sentence(&frame.text(&problem.message))) }
            p.more {
                (by.by) ", " span.whole { (frame.distance_of_text(&by.at)) }
                @if let Some(until) = &by.until { ", until " (frame.distance_of_text(until)) }
                ": " (by.reason) " "
                span.whole { (problem.code.as_str()) ", began " (frame.distance_of_text(&problem.since)) }
            }
        }
    }
}
