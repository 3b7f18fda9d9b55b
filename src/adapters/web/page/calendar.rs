//! The last weeks of a schedule as a table of days, each a link to its bakes.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{
    frame::Frame,
    table::{appearance, sign},
};
use crate::{
    adapters::web::query::encode,
    domain::{
        page::{
            calendar::{Day, weeks},
            night::Recorded,
        },
        schedule_rows::outcome::Outcome,
    },
};

/// The weeks, each a row.
pub(super) fn calendar(frame: &Frame, schedule_id: &str, recorded: &[Recorded]) -> Markup {
    html! {
        table.calendar {
            thead { tr { @for day in ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] { th scope="col" { (day) } } } }
            tbody {
                @for week in weeks(recorded, frame.zone, frame.now) {
                    tr { @for day in &week { td.ahead[day.is_ahead] { (cell(frame, schedule_id, day)) } } }
                }
            }
        }
    }
}

/// What the signs of the days mean.
pub(super) fn legend(recorded: &[Recorded]) -> Markup {
    let outcomes: BTreeSet<Outcome> = recorded.iter().map(Recorded::outcome).collect();
    html! {
        @if !outcomes.is_empty() {
            ul.legend aria-label="Signs of the days" {
                @for outcome in outcomes {
                    @let (class, symbol) = appearance(outcome);
                    li { (sign(class, symbol, outcome.word())) }
                }
                li { "a number: so many of several bakes of a day" }
            }
        }
    }
}

fn cell(frame: &Frame, schedule_id: &str, day: &Day) -> Markup {
    let counts: Vec<String> = day.counts.iter().map(|(outcome, n)| format!("{n} {}", outcome.word())).collect();
    let date = day.date.format("%F").to_string();
    html! {
        @match day.worst() {
            Some(outcome) => {
                @let (class, symbol) = appearance(outcome);
                @let path = format!("history?schedule={}&since={date}&until={date}", encode(schedule_id));
                a.day.(class) href=(frame.to(&path)) title={ (date) ": " (counts.join(", ")) } {
                    span.date { (date_of(day)) }
                    span.read { ": " (counts.join(", ")) }
                    span aria-hidden="true" { (symbol) @if day.counts.values().sum::<usize>() > 1 { (day.counts[&outcome]) } }
                }
            }
            None => span.day { span.date { (date_of(day)) } },
        }
    }
}

/// The day of the month, with the month where it is named.
fn date_of(day: &Day) -> String {
    day.date.format(if day.names_month { "%-d %b" } else { "%-d" }).to_string()
}
