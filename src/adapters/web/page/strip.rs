//! A strip of the last slots as SVG: one mark for each, which differ in shape, height and colour.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::frame::Frame;
use crate::domain::schedule_rows::{
    outcome::Outcome,
    strip::{Mark, SLOTS, describe},
};

/// Width of a mark with its gap.
const STEP: usize = 11;
/// Width of a mark.
const WIDE: usize = 8;
/// Height of the strip.
const HIGH: usize = 24;

/// The strip, the newest slot at the right. Missing ones are shown as dots.
pub(super) fn strip(frame: &Frame, marks: &[Mark]) -> Markup {
    let missing = SLOTS.saturating_sub(marks.len());
    html! {
        svg.strip role="img" aria-label=(describe(marks)) width=(SLOTS * STEP) height=(HIGH)
            viewBox={ "0 0 " (SLOTS * STEP) " " (HIGH) } {
            @for n in 0..missing { circle.none cx=(n * STEP + WIDE / 2) cy=(HIGH - 4) r="1.5" {} }
            @for (n, mark) in marks.iter().enumerate() {
                g transform={ "translate(" ((missing + n) * STEP) " 0)" } {
                    title { (title(frame, mark)) }
                    (shape(mark.outcome))
                }
            }
        }
    }
}

fn title(frame: &Frame, mark: &Mark) -> String {
    let when = crate::domain::time::show(mark.slot, frame.zone);
    let slots = if mark.slot_count > 1 { format!(", {} slots", mark.slot_count) } else { String::new() };
    match mark.count {
        (_, 1) => format!("{when}: {}{slots}", mark.outcome.word()),
        (n, all) => format!("{when}: {n} of {all} {}{slots}", mark.outcome.word()),
    }
}

/// The shape of a result within [`WIDE`] and [`HIGH`].
fn shape(outcome: Outcome) -> Markup {
    match outcome {
        Outcome::Succeeded => html! { rect.good x="0" y="2" width="8" height="20" rx="2" {} },
        // A full bar with a cross.
        Outcome::Failed => html! {
            rect.bad x="0" y="2" width="8" height="20" rx="2" {}
            path.cut d="M1.5 9.5 l5 5 m0 -5 l-5 5" {}
        },
        // As high as a good one, and hollow with a cross.
        Outcome::Vetoed => html! {
            rect.struck x="0.75" y="2.75" width="6.5" height="18.5" rx="2" {}
            path.strike d="M1.5 9.5 l5 5 m0 -5 l-5 5" {}
        },
        // Half as high, and hollow.
        Outcome::Skipped => html! { rect.hollow x="0.75" y="12.75" width="6.5" height="8.5" rx="1.5" {} },
        Outcome::Cancelled => html! {
            rect.hollow x="0.75" y="12.75" width="6.5" height="8.5" rx="1.5" {}
            path.stroke d="M1.5 20.5 l5 -7" {}
        },
        Outcome::Queued => html! {
            circle.idle cx="4" cy="8" r="1.5" {} circle.idle cx="4" cy="13" r="1.5" {} circle.idle cx="4" cy="18" r="1.5" {}
        },
        Outcome::Running => html! { path.busy d="M0.5 4 L7.5 12 L0.5 20 Z" {} },
        Outcome::Unknown => html! {
            rect.outline x="0.75" y="2.75" width="6.5" height="18.5" rx="2" {}
            circle.warn cx="4" cy="16.5" r="1.4" {} path.ask d="M2.3 8 a1.9 1.9 0 1 1 2.6 1.8 q-0.9 0.5 -0.9 2.2" {}
        },
    }
}

/// What the shapes mean.
pub(super) fn legend(outcomes: &BTreeSet<Outcome>) -> Markup {
    html! {
        @if !outcomes.is_empty() {
            ul.legend aria-label="Shapes" {
                @for outcome in outcomes {
                    li { svg.strip aria-hidden="true" width="8" height="24" viewBox="0 0 8 24" { (shape(*outcome)) } " " (outcome.word()) }
                }
            }
        }
    }
}
