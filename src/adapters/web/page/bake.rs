//! One bake: its calls, its row, its settings, and the copies of its image.

use maud::{Markup, html};
use serde_json::Value;

use super::{
    frame::{Frame, document},
    history::{covers, duration, trigger},
    table::{facts, outcome, sign, state, table, two_lines},
    time::{brief, sentence},
};
use crate::domain::{
    bake::stored_settings::with_shown_lengths,
    history::{AttemptRow, BakeRow, CopyRow},
    page::views::BakeView,
};

/// The page of a bake. Its schedule may be gone.
pub(in crate::adapters::web) fn bake(frame: &Frame, view: &BakeView, has_schedule: bool) -> Markup {
    let BakeView { row, settings, attempts, copies } = view;
    let content = html! {
        h1 { "Bake " (row.id) " " (state(row.word())) }
        @if let Some(reason) = &row.reason { p.summary { (sentence(reason)) } }
        p.none {
            @if has_schedule { a href=(frame.to_schedule(&row.schedule_id)) { (row.schedule) } } @else { (row.schedule) }
            ", " (frame.time_of(row.slot)) ". For the terminal: " (frame.command(&format!("imagebaked show {}", row.id)))
        }
        (calls(frame, attempts))
        @if !copies.is_empty() { (regions(frame, copies)) }
        (facts("In the history", &row_facts(frame, row)))
        @match settings {
            Some(settings) => (facts("Settings", &settings_facts(settings))),
            None => { h2 { "Settings" } p.none { "None: this row only accounts for what was missed." } },
        }
    };
    document(frame, &format!("Bake {} · imagebaked", row.id), !row.is_ended(), &content)
}

fn row_facts(frame: &Frame, row: &BakeRow) -> Vec<(String, Markup)> {
    let text = |text: &Option<String>| text.as_ref().map(|text| html! { (text) });
    let instant =
        |at: i64| html! { (frame.time_of(at - at.rem_euclid(1_000))) ", " (frame.distance(super::time::instant(at))) };
    let facts = [
        ("Schedule", Some(html! { (row.schedule) })),
        ("Schedule's id", (row.schedule_id != row.schedule).then(|| html! { (row.schedule_id) })),
        ("Instance", Some(html! { (row.instance_id) })),
        ("Line", Some(html! { (row.line_id) })),
        ("Slot", Some(instant(row.slot))),
        ("Covers", covers(frame, row).map(|covers| html! { (covers) })),
        ("Trigger", Some(html! { (trigger(row)) })),
        ("Reason code", text(&row.reason_code)),
        ("Cause", text(&row.cause)),
        ("Image's name", text(&row.image_name)),
        ("Version", row.version.map(|version| html! { (version) })),
        ("Image", text(&row.image_id)),
        ("Image's version in the cloud", text(&row.version_id)),
        ("Task", text(&row.task_id)),
        ("Create calls that counted", Some(html! { (row.attempts) })),
        ("Recorded", Some(instant(row.created_at))),
        ("Next poll", row.wake_at.map(instant)),
        ("Ended", row.finished_at.map(instant)),
        ("Duration", Some(html! { (duration(row, frame)) })),
        ("Configuration", Some(html! { (row.config_hash) })),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn regions(frame: &Frame, copies: &[CopyRow]) -> Markup {
    let rows = copies.iter().map(|copy| {
        let (class, symbol) = match copy.state.as_str() {
            "done" => ("good", "✓"),
            "failed" => ("bad", "✗"),
            _ => ("busy", "▸"),
        };
        [
            html! { (copy.region) },
            sign(class, symbol, &copy.state),
            html! { @if let Some(status) = &copy.status { (status) } },
            html! { @if let Some(progress) = &copy.progress { (progress) } },
            html! { @if let Some(at) = copy.finished_at.or(copy.wake_at) { (frame.time_and_distance(super::time::instant(at))) } },
            html! { @if let Some(reason) = &copy.reason { (reason) } @if let Some(task) = &copy.task_id { small.code { (task) } } },
        ]
    });
    let columns = [
        ("Region", "short"),
        ("State", "short"),
        ("Listed as", "short"),
        ("Progress", "short"),
        ("Next or end", "short"),
        ("Reason", "words"),
    ];
    table(("regions", "Copies to other regions"), columns, rows, "")
}

/// The stored settings, one line for each leaf. Read without their type, so that rows of any version can be shown.
fn settings_facts(json: &str) -> Vec<(String, Markup)> {
    let mut leaves = Vec::new();
    match serde_json::from_str(json) {
        Ok(settings) => flatten(String::new(), &with_shown_lengths(&settings), &mut leaves),
        Err(_) => leaves.push(("unreadable".to_owned(), json.to_owned())),
    }
    leaves.into_iter().map(|(name, value)| (name, html! { (value) })).collect()
}

fn flatten(name: String, value: &Value, leaves: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(name, value, leaves);
            }
        }
        Value::Array(items) => leaves.push((name, items.iter().map(bare).collect::<Vec<_>>().join(", "))),
        value => leaves.push((name, bare(value))),
    }
}

/// A text without its quotes, anything else as JSON.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn calls(frame: &Frame, attempts: &[AttemptRow]) -> Markup {
    let rows = attempts.iter().map(|attempt| {
        [
            two_lines(&html! { (attempt.stage) }, &attempt.call),
            outcome(&attempt.outcome),
            frame.time_of(attempt.started_at - attempt.started_at.rem_euclid(1_000)),
            html! { (brief(attempt.finished_at.saturating_sub(attempt.started_at).max(0))) },
            html! { @if let Some(status) = attempt.http_status { (status) } },
            html! {
                @if let Some(code) = &attempt.code { span.code { (code) } }
                @if let Some(request_id) = &attempt.request_id { small.code { (request_id) } }
            },
            html! { @if let Some(message) = &attempt.message { (message) } },
        ]
    });
    let columns = [
        ("Call", "short"),
        ("Outcome", "short"),
        ("Sent", "short"),
        ("Duration", "number"),
        ("HTTP", "number"),
        ("Code, request id", "short"),
        ("Message", "words"),
    ];
    table(("calls", "Calls"), columns, rows, "No call was recorded.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_one_line_for_each_leaf() {
        let json = r#"{"a":{"b":1,"c":null},"deadline":"1day 4h","regions":["x","y"],"name":"<n>"}"#;
        let facts: Vec<_> = settings_facts(json).into_iter().map(|(name, value)| (name, value.into_string())).collect();
        let want = [("a.b", "1"), ("deadline", "1d 4h"), ("name", "&lt;n&gt;"), ("regions", "x, y")];
        assert_eq!(facts, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
