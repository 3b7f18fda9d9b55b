//! One schedule: how it stands, its images, its last weeks, and how long its bakes take.

use maud::{Markup, html};

use super::{
    calendar::{self, calendar},
    curve::curve,
    frame::{Frame, document},
    health::act,
    history::bakes,
    schedules::{no_image, rank_sign},
    strip::{legend, strip},
    table::{facts, sign, table},
    time::{sentence, span},
};
use crate::{
    adapters::web::query::encode,
    domain::{
        health::{Problem, Severity, schedules::Findings},
        history::{ImageRow, ReplicaRow},
        image::{
            held::Held,
            judge::{Action, RetentionDecision},
            report::Judged,
            retention,
        },
        page::views::ScheduleView,
        schedule::Schedule,
        schedule_rows::Row,
        status::Status,
        text::counted,
    },
};

/// Maximum number of listed images.
const IMAGES: usize = 100;

/// The page of a schedule.
pub(in crate::adapters::web) fn schedule(frame: &Frame, view: &ScheduleView, row: &Row, status: &Status) -> Markup {
    let schedule = &*view.schedule;
    let id = schedule.id.as_str();
    let observes = status.daemon.mode.is_observe();
    let findings = Findings::of(&status.health);
    let problems: Vec<&Problem> = findings.of_schedule(schedule).chain(findings.of_all()).collect();
    let content = html! {
        h1 {
            (rank_sign(row)) " " (schedule.name)
        }
        @if !problems.is_empty() {
            @let is_bad = problems.iter().any(|problem| problem.severity == Severity::Problem);
            ul.findings .bad[is_bad] { @for problem in problems { (finding(frame, problem)) } }
        }
        div.glance {
            div { (strip(frame, &row.strip)) (legend(&row.strip.iter().map(|mark| mark.outcome).collect())) }
            @if let Some(waits_for) = row.waits_for() { p { (sentence(&waits_for)) } }
            @if let Some(next) = row.next {
                p {
                    "Next slot: " strong { (frame.distance(next)) } ", " (frame.time(next))
                    @if let Some(why) = row.skips(next, observes) { ". It will be skipped: " (why) }
                }
            }
        }
        (lines(frame, view, row))
        (images(frame, view))
        section aria-labelledby="weeks" {
            h2 #weeks { "The last weeks" }
            div.side {
                div { (calendar(frame, id, &view.recorded)) (calendar::legend(&view.recorded)) }
                @match curve(frame, &view.recorded) {
                    Some(curve) => div { h3 { "Bake times" } (curve) },
                    None => p.none { "A curve of the bake times is drawn from two good bakes on." },
                }
            }
        }
        (bakes(frame, ("bakes", "Last bakes"), &view.bakes, "No slot has come yet."))
        p.none { a href=(frame.to(&format!("history?schedule={}", encode(id)))) { "All bakes of " (schedule.name) } }
        (facts("Settings", &settings(frame, schedule, row, observes)))
    };
    document(frame, &format!("{} · imagebaked", schedule.name), true, &content)
}

fn finding(frame: &Frame, problem: &Problem) -> Markup {
    html! {
        li {
            p { strong { (problem.severity.to_string().to_uppercase()) ": " } (sentence(&frame.text(&problem.message))) }
            (act(frame, problem))
        }
    }
}

/// The newest good image of each line.
fn lines(frame: &Frame, view: &ScheduleView, row: &Row) -> Markup {
    let schedule = &*view.schedule;
    let mut instances: Vec<_> = schedule.instances.as_slice().iter().map(|one| (one, schedule.line(one))).collect();
    // Those without an image first.
    instances.sort_by_key(|(_, line)| view.newest.contains_key(line));
    let rows = instances.iter().map(|(instance, line)| {
        let newest = view.newest.get(line);
        [
            html! { span.code { (instance) } },
            html! {
                @match newest {
                    Some(image) => { strong { "version " (image.version) } ", " (span(frame.now - image.good_at)) " old" },
                    None => (no_image(&row.entry, row.entry.lost.contains(line))),
                }
            },
            html! { @if let Some(image) = newest { (image.name) small.code { (image.image_id) } } },
            html! { @if let Some(image) = newest { (channels(&image.channels, image.version)) } },
        ]
    });
    let columns = [("Instance", "short"), ("Good image", "short"), ("Image", "image"), ("Channels", "words")];
    table(("lines", "Lines"), columns, rows, "It has no instance.")
}

/// Each channel with its version; one that does not point to the newest image stands out.
pub(super) fn channels(channels: &[(String, Option<i64>)], newest: i64) -> Markup {
    html! {
        @for (n, (channel, version)) in channels.iter().enumerate() {
            @if n > 0 { ", " }
            span.whole {
                (channel) " "
                @match version {
                    Some(version) if *version == newest => (version),
                    Some(version) => strong { (version) },
                    None => "–",
                }
            }
        }
    }
}

fn settings(frame: &Frame, schedule: &Schedule, row: &Row, observes: bool) -> Vec<(String, Markup)> {
    let settings = &*schedule.settings;
    let duration = |length: std::time::Duration| span(chrono::TimeDelta::from_std(length).unwrap_or_default());
    let next: Vec<_> = schedule.timing.between(frame.now, chrono::DateTime::<chrono::Utc>::MAX_UTC).take(3).collect();
    let mut facts = vec![
        (
            "Next slots",
            html! {
                @if next.is_empty() { "none" }
                @for at in &next {
                    div {
                        (frame.time(*at)) ", " (frame.distance(*at))
                        @if let Some(why) = row.skips(*at, observes) { ": will be skipped, " (why) }
                    }
                }
            },
        ),
        ("Rule", html! { @for rule in schedule.timing.expressions() { code { (rule) } " " } "in " (frame.zone) }),
        ("Deadline", html! { (duration(settings.deadline)) " after the slot" }),
        ("Kept", html! { @match &schedule.keep { Some(keep) => (retention::all_words(keep)), None => "all images" } }),
    ];
    if let Some(pause) = &row.pause {
        facts.insert(0, ("Paused", html! { (pause.describe(frame.zone)) }));
    }
    if !settings.regions.is_empty() {
        facts.push(("Copied to", html! { (settings.regions.join(", ")) }));
    }
    if schedule.id.as_str() != schedule.name.as_str() {
        facts.push(("Id", html! { code { (schedule.id) } }));
    }
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn images(frame: &Frame, view: &ScheduleView) -> Markup {
    let is_one_line = view.schedule.instances.as_slice().len() == 1;
    let rows = view.images.iter().take(IMAGES).map(|(row, judged)| {
        let image = &row.image;
        [
            html! { span.narrow { "version " } (image.version) @if !is_one_line { small.code { (row.instance_id) } } },
            html! { (image.name) small.code { (image.image_id) } },
            html! {
                @match row.bake { Some(bake) => a href=(frame.to_bake(bake.0)) { (frame.time(image.slot)) }, None => (frame.time(image.slot)) }
                small { (frame.distance(image.slot)) }
            },
            html! {
                @if !image.channels.is_empty() { div { @for channel in &image.channels { span.tag { (channel) } " " } } }
                @for note in notes(frame, row) { div { (note) } }
            },
            replicas(view.replicas.get(image.image_id.as_str())),
            next_step(frame, judged),
        ]
    });
    let columns = [
        ("Version", "number"),
        ("Image", "image"),
        ("Slot", "short"),
        ("Marks", "words"),
        ("Replicas", "short"),
        ("Retention", "words"),
    ];
    html! {
        (table(("images", "Images"), columns, rows, "No good image is recorded yet."))
        @if view.images.iter().any(|(_, judged)| judged.is_announced()) {
            p.none { (view.next_pass.describe(frame.zone, frame.now)) }
        }
        @if let Some(more @ 1..) = view.images.len().checked_sub(IMAGES) {
            p.none { (counted(more, "older image", "older images")) " more: " (frame.command(&format!("imagebaked images {}", view.schedule.name))) }
        }
    }
}

/// What is known of an image besides its origin.
pub(super) fn notes(frame: &Frame, row: &ImageRow) -> Vec<Markup> {
    let image = &row.image;
    let mut notes = Vec::new();
    if let Some(pin) = image.pin.as_ref().filter(|pin| pin.holds(frame.now)) {
        notes.push(html! { (sign("good", "◆", "pinned")) ": " (pin.reason) });
    }
    if let Some(veto) = &image.veto {
        notes.push(html! { (sign("bad", "✗", "vetoed")) ": " (veto) });
    }
    match row.verify.as_deref() {
        Some("failed") => notes.push(sign("bad", "✗", "check failed")),
        Some("due") => notes.push(sign("idle", "…", "to be checked")),
        Some(_) => notes.push(sign("good", "✓", "verified")),
        None => {}
    }
    if let Some(since) = image.seen.missing_since {
        notes.push(html! { (sign("warn", "?", "not in the cloud")) " since " (frame.distance(since)) });
    } else if !image.seen.available {
        notes.push(sign("warn", "!", "not AVAILABLE"));
    } else if !image.seen.ours {
        notes.push(sign("idle", "–", "not ours"));
    }
    if !image.seen.used_by.is_empty() {
        notes.push(html! { "used by " (image.seen.used_by.join(", ")) });
    }
    notes
}

fn replicas(copies: Option<&Vec<ReplicaRow>>) -> Markup {
    html! {
        @for copy in copies.into_iter().flatten() {
            div {
                @match copy.state.as_str() {
                    "done" => (sign("good", "✓", &copy.region)),
                    "failed" => (sign("bad", "✗", &copy.region)),
                    _ => (sign("busy", "▸", &copy.region)),
                }
                @if let Some(listed) = copy.listed() { small { (listed) } }
            }
        }
    }
}

/// What retention does with an image next, when, and why.
pub(super) fn next_step(frame: &Frame, judged: &Judged) -> Markup {
    let why = judged.reasons(frame.zone);
    html! {
        @match &judged.action {
            Action::Keep if matches!(judged.verdict, RetentionDecision::Blocked { .. }) => (sign("idle", "‖", "kept for now")),
            Action::Keep => "kept",
            Action::Unmark => "kept, the mark is taken back",
            Action::Mark { .. } => (sign("warn", "!", "marked next")),
            Action::Wait { .. } => (sign("warn", "!", "in grace")),
            Action::Blocked { .. } => (sign("idle", "‖", "deletion waits")),
            Action::Delete => (sign("warn", "!", "deleted next")),
            Action::NeedsConfirmation => (sign("warn", "!", "needs a confirmation")),
            Action::Search => (sign("busy", "▸", "being deleted")),
        }
        @if let Some(at) = judged.not_before { div { "not before " (frame.time_and_distance(at)) } }
        @match judged.held {
            Some(Held::Confirmation) if judged.not_before.is_some() => div { "then held until " (frame.command("imagebaked prune --confirm")) },
            Some(held @ Held::Observe) => div { (held) },
            _ => {}
        }
        @if !why.is_empty() { small { (sentence(&why)) } }
    }
}
