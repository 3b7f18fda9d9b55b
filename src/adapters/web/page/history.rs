//! The history with filters, newest slot first.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::{
    frame::{Frame, document},
    table::{bake_link, image, table},
    time::{brief, instant, sentence},
};
use crate::{
    adapters::web::query::Query,
    domain::{
        bake::State,
        calendar::zone::Zone,
        history::{BakeRow, Filter},
        ids::BakeId,
        schedule::Schedule,
        schedule_rows::search::nearest,
        time::{AskedTime, Edge, Facing},
    },
};

/// What the state filter offers: its word, and the states that it includes.
const STATES: [(&str, &[&str]); 6] = [
    ("succeeded", &["succeeded"]),
    ("failed", &["failed"]),
    ("skipped", &["skipped"]),
    ("cancelled", &["cancelled"]),
    ("queued", &["queued"]),
    ("running", &State::RUNNING_WORDS),
];

/// The filters as they were asked for.
#[derive(Debug, Default)]
pub(in crate::adapters::web) struct Filters {
    /// Why they cannot be applied.
    pub(in crate::adapters::web) wrong: Vec<String>,
    /// Schedules that may be meant, if none in force has the name.
    near: Vec<Arc<Schedule>>,
    filter: Filter,
}

impl Filters {
    /// Reads them; times without a zone are in that of the schedule, or in `zone`.
    pub(in crate::adapters::web) fn read(
        query: &Query,
        schedules: &[Arc<Schedule>],
        zone: Zone,
        now: DateTime<Utc>,
    ) -> Self {
        let mut filters = Self::default();
        let schedule = query.get("schedule");
        let meant = schedules.iter().find(|one| schedule.is_some_and(|text| one.is_called(text)));
        let zone = meant.map_or(zone, |schedule| schedule.timing.zone());
        let mut wrong = Vec::new();
        let mut time = |name: &str, edge| {
            let text = query.get(name)?;
            match text.parse::<AskedTime>() {
                Ok(asked) => Some(asked.instant(zone, now, Facing::Past, edge)),
                Err(error) => {
                    wrong.push(format!("{} {text:?}: {error}.", if edge == Edge::Start { "Since" } else { "Until" }));
                    None
                }
            }
        };
        let (since, until) = (time("since", Edge::Start), time("until", Edge::End));
        let states = query.get("state").map(|word| match STATES.iter().find(|(known, _)| *known == word) {
            Some((_, states)) => states.iter().map(|state| (*state).to_owned()).collect(),
            // A single state of those that run.
            None => vec![word.to_owned()],
        });
        let states: Vec<String> = states.unwrap_or_default();
        if let Some(unknown) = states.iter().find(|state| !State::WORDS.contains(&state.as_str())) {
            let known: Vec<&str> = STATES.iter().map(|(word, _)| *word).collect();
            wrong.push(format!("State {unknown:?}: there is no such state; choose one of {}.", known.join(", ")));
        }
        if since.zip(until).is_some_and(|(since, until)| since > until) {
            wrong.push("Since is later than until: no slot lies between them.".to_owned());
        }
        let before = query.get("before").map(|text| (text, cursor(text)));
        if let Some((text, None)) = before {
            wrong.push(format!("Before {text:?}: this is no place in the history."));
        }
        if schedule.is_some() && meant.is_none() {
            filters.near = nearest(schedules, schedule.unwrap_or_default());
        }
        filters.wrong = wrong;
        filters.filter = Filter {
            schedule: schedule.map(str::to_owned),
            instance: query.get("instance").map(str::to_owned),
            states,
            since,
            until,
            before: before.and_then(|(_, place)| place),
            ..Filter::default()
        };
        filters
    }

    /// At most that many rows.
    pub(in crate::adapters::web) fn filter(&self, limit: u32) -> Filter {
        Filter { limit, ..self.filter.clone() }
    }
}

/// The end of a page: a slot in milliseconds since 1970, and a bake.
fn cursor(text: &str) -> Option<(DateTime<Utc>, BakeId)> {
    let (slot, id) = text.split_once('-')?;
    Some((DateTime::from_timestamp_millis(slot.parse().ok()?)?, BakeId(id.parse().ok()?)))
}

/// The page of the history.
pub(in crate::adapters::web) fn history(
    frame: &Frame,
    query: &Query,
    filters: &Filters,
    rows: &[BakeRow],
    has_more: bool,
    schedules: &[Arc<Schedule>],
) -> Markup {
    let is_later_page = query.get("before").is_some();
    let content = html! {
        h1 { "History" }
        (form(frame, query))
        @if !filters.wrong.is_empty() {
            div.wrong role="alert" { @for wrong in &filters.wrong { p { (with_code(wrong)) } } }
        } @else {
            (zoned_bakes(frame, ("bakes", "Bakes"), rows, schedules, "No bake is like that."))
            @if rows.is_empty() { (nothing_found(frame, query, filters, schedules)) }
        }
        @if has_more || is_later_page {
            nav.pages aria-label="Pages of the history" {
                @if is_later_page { a href=(query.link(&frame.to("history"), "before", "")) { "Newest" } }
                @if let Some(last) = rows.last().filter(|_| has_more) {
                    a rel="next" href=(query.link(&frame.to("history"), "before", &format!("{}-{}", last.slot, last.id))) { "Older" }
                }
            }
        }
    };
    document(frame, "History · imagebaked", false, &content)
}

/// A message whose words in backquotes are to be typed.
fn with_code(message: &str) -> Markup {
    html! { @for (n, part) in message.split('`').enumerate() { @if n % 2 == 1 { code { (part) } } @else { (part) } } }
}

/// What may be meant instead, and the way back to all.
fn nothing_found(frame: &Frame, query: &Query, filters: &Filters, schedules: &[Arc<Schedule>]) -> Markup {
    let asked = query.get("schedule");
    let is_in_force = schedules.iter().any(|one| asked.is_some_and(|text| one.is_called(text)));
    html! {
        p.summary {
            @if let Some(asked) = asked.filter(|_| !is_in_force) {
                "No schedule in force is called " code { (asked) } "."
                @for (n, near) in filters.near.iter().enumerate() {
                    @if n == 0 { " Did you mean " } @else { ", " }
                    a href=(query.link(&frame.to("history"), "schedule", near.id.as_str())) { (near.name) }
                }
                @if !filters.near.is_empty() { "?" }
                " "
            }
            a href=(frame.to("history")) { "All bakes" }
        }
    }
}

fn form(frame: &Frame, query: &Query) -> Markup {
    let field = |name: &str, label: &str, hint: &str| {
        html! {
            div {
                label for=(name) { (label) }
                input id=(name) type="text" name=(name) value=[query.get(name)] placeholder=(hint) maxlength="200";
            }
        }
    };
    html! {
        form.filters method="get" action=(frame.to("history")) {
            (field("schedule", "Schedule", "name or id"))
            (field("instance", "Instance", "ecd-… or ws-…"))
            div {
                label for="state" { "State" }
                select #state name="state" {
                    option value="" { "all" }
                    // A single state of those that run, such as `building`, from a link.
                    @if let Some(word) = query.get("state").filter(|word| STATES.iter().all(|(known, _)| known != word)) {
                        option value=(word) selected { (word) }
                    }
                    @for (word, _) in STATES { option value=(word) selected[query.get("state") == Some(word)] { (word) } }
                }
            }
            (field("since", "Since", "yesterday, 2d, 03:00"))
            (field("until", "Until", "2026-11-26, 07:00"))
            button type="submit" { "Filter" }
            a href=(frame.to("history")) { "All" }
        }
    }
}

/// Rows of one schedule, in the zone of the page.
pub(super) fn bakes(frame: &Frame, heading: (&str, &str), rows: &[BakeRow], when_empty: &str) -> Markup {
    zoned_bakes(frame, heading, rows, &[], when_empty)
}

/// Rows of several schedules, each in its zone.
fn zoned_bakes(
    frame: &Frame,
    heading: (&str, &str),
    rows: &[BakeRow],
    schedules: &[Arc<Schedule>],
    when_empty: &str,
) -> Markup {
    let zones: std::collections::HashMap<&str, Zone> =
        schedules.iter().map(|schedule| (schedule.id.as_str(), schedule.timing.zone())).collect();
    let rows = rows.iter().map(|row| {
        let frame = frame.in_zone(zones.get(row.schedule_id.as_str()).copied().unwrap_or(frame.zone));
        [
            bake_link(&frame.to_bake(row.id), row.id, row.word()),
            html! { (frame.time_of(row.slot)) small { (covers(&frame, row).unwrap_or_else(|| frame.distance(row.slot()))) } },
            html! { a href=(frame.to_schedule(&row.schedule_id)) { (row.schedule) } small.code { (row.instance_id) } },
            image(row.version, row.image_name.as_deref(), row.image_id.as_deref()),
            html! { (duration(row, &frame)) },
            html! {
                @if let Some(reason) = &row.reason { (sentence(reason)) }
                @if row.trigger != "slot" { small { (trigger(row)) } }
            },
        ]
    });
    let columns = [
        ("Bake", "short"),
        ("Slot", "short"),
        ("Schedule", "name"),
        ("Image", "image"),
        ("Duration", "number"),
        ("Reason", "words"),
    ];
    table(heading, columns, rows, when_empty)
}

/// Slots of a row, if it covers more than its own.
pub(super) fn covers(frame: &Frame, row: &BakeRow) -> Option<String> {
    let first = crate::domain::time::show(instant(row.first_slot), frame.zone);
    (row.slot_count > 1).then(|| format!("{} slots since {first}", row.slot_count))
}

pub(super) fn trigger(row: &BakeRow) -> String {
    match (row.trigger.as_str(), &row.requested_by) {
        ("slot", _) => "a slot of its schedule".to_owned(),
        ("caught_up", _) => "a missed slot, caught up".to_owned(),
        ("manual", Some(who)) => format!("requested by {who}"),
        (other, _) => other.to_owned(),
    }
}

/// Duration of a bake, so far or in total; none for a row that ended when it was created, and for a bake that has not begun.
pub(super) fn duration(row: &BakeRow, frame: &Frame) -> String {
    length(row, frame.now.timestamp_millis()).map_or_else(String::new, brief)
}

/// The same in milliseconds.
fn length(row: &BakeRow, now: i64) -> Option<i64> {
    match row.finished_at {
        None => row.version.is_some().then(|| now - row.created_at),
        Some(end) => (end != row.created_at).then(|| end - row.created_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bake_that_has_not_begun_has_no_duration() {
        let begun = |version, finished_at| BakeRow { version, finished_at, created_at: 1_000, ..BakeRow::example() };
        assert_eq!(length(&begun(None, None), 9_000), None, "it waits in the queue");
        assert_eq!(length(&begun(Some(3), None), 9_000), Some(8_000));
        assert_eq!(length(&begun(Some(3), Some(4_000)), 9_000), Some(3_000));
        assert_eq!(length(&begun(None, Some(1_000)), 9_000), None, "it ended when it was recorded");
    }

    #[test]
    fn filters_are_read() {
        let now: DateTime<Utc> = "2027-03-02T19:04:10Z".parse().unwrap();
        let read = |text: &str| {
            let query = Query::read(Some(text), &["schedule", "state", "since", "until", "before"]).unwrap();
            Filters::read(&query, &[], Zone::UTC, now)
        };
        let filters = read("schedule=golden&state=failed&since=2027-03-01&until=2027-03-01&before=1000-7");
        let filter = filters.filter(9);
        assert!(filters.wrong.is_empty());
        assert_eq!(
            (filter.schedule.as_deref(), filter.states.as_slice(), filter.limit),
            (Some("golden"), &["failed".to_owned()][..], 9)
        );
        assert_eq!(filter.since, Some("2027-03-01T00:00:00Z".parse().unwrap()));
        assert_eq!(filter.until, Some("2027-03-01T23:59:59.999Z".parse().unwrap()));
        assert_eq!(filter.before, DateTime::from_timestamp_millis(1_000).map(|slot| (slot, BakeId(7))));
        assert!(read("state=running").filter(1).states.len() > 3);
        for (wrong, message) in [
            ("since=soon", "Since \"soon\": this is no time"),
            ("until=x", "Until \"x\": this is no time"),
            ("state=lost", "State \"lost\": there is no such state; choose one of succeeded, failed"),
            ("since=2027-03-02&until=2027-03-01", "Since is later than until"),
            ("before=x", "Before \"x\": this is no place"),
        ] {
            let found = read(wrong).wrong;
            assert!(matches!(found.as_slice(), [one] if one.starts_with(message)), "{wrong}: {found:?}");
        }
        assert_eq!(read("since=soon&until=x&state=lost").wrong.len(), 3, "all at once");
    }
}
