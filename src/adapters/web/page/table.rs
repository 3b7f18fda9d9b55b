//! Parts that pages have in common: tables, lists of facts, and the signs of states.

use maud::{Markup, html};

use crate::domain::schedule_rows::outcome::Outcome;

/// A table under its heading; a column has a name and a class, and the first one heads the rows. A wide one scrolls by
/// itself, with a mouse, a finger or keys. On a phone the stylesheet turns every row into a card, and names the cells
/// by their `data-label`.
pub(super) fn table<const N: usize>(
    (id, heading): (&str, &str),
    columns: [(&str, &str); N],
    rows: impl ExactSizeIterator<Item = [Markup; N]>,
    when_empty: &str,
) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (heading) }
            (bare_table(id, columns, rows, when_empty))
        }
    }
}

/// A table without a heading of its own; `id` is that of its heading.
pub(super) fn bare_table<const N: usize>(
    id: &str,
    columns: [(&str, &str); N],
    rows: impl ExactSizeIterator<Item = [Markup; N]>,
    when_empty: &str,
) -> Markup {
    html! {
        @if rows.len() == 0 {
            p.none { (when_empty) }
        } @else {
            div.scroll role="region" aria-labelledby=(id) tabindex="0" {
                table {
                    thead { tr { @for (name, class) in columns { th.(class) scope="col" { (name) } } } }
                    tbody {
                        @for cells in rows {
                            tr {
                                @for (n, (cell, (name, class))) in cells.into_iter().zip(columns).enumerate() {
                                    @if n == 0 { th.(class) scope="row" { (cell) } }
                                    @else { td.(class) data-label=(name) { (cell) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Names and values.
pub(super) fn facts(heading: &str, facts: &[(String, Markup)]) -> Markup {
    html! {
        section {
            h2 { (heading) }
            dl { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
        }
    }
}

/// Class and symbol of a result: shape and colour, because a reader may miss either.
pub(super) fn appearance(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Succeeded => ("good", "✓"),
        Outcome::Failed => ("bad", "✗"),
        Outcome::Vetoed => ("bad", "⊗"),
        Outcome::Unknown => ("warn", "?"),
        Outcome::Skipped => ("idle", "–"),
        Outcome::Cancelled => ("idle", "⊘"),
        Outcome::Queued => ("idle", "…"),
        Outcome::Running => ("busy", "▸"),
    }
}

/// A state as word, symbol and colour.
pub(super) fn state(word: &str) -> Markup {
    let (class, symbol) = appearance(Outcome::of(word));
    sign(class, symbol, word)
}

/// `ok`, or the class of an error: transient and unclear ones are not highlighted.
pub(super) fn outcome(word: &str) -> Markup {
    let (class, symbol) = match word {
        "ok" => ("good", "✓"),
        "veto" => ("idle", "–"),
        "transient" | "busy" => ("warn", "…"),
        "unclear" => ("warn", "?"),
        _ => ("bad", "✗"),
    };
    sign(class, symbol, word)
}

pub(super) fn sign(class: &str, symbol: &str, word: &str) -> Markup {
    html! { span.state .(class) { span aria-hidden="true" { (symbol) } " " (word) } }
}

/// The number alone is underlined, the whole is the link: a finger finds it.
pub(super) fn bake_link(address: &str, id: i64, word: &str) -> Markup {
    html! { a.bake href=(address) { span.id { (id) } " " (state(word)) } }
}

pub(super) fn image(version: Option<i64>, name: Option<&str>, id: Option<&str>) -> Markup {
    html! {
        @if let Some(name) = name { (name) }
        @if version.is_some() || id.is_some() {
            small {
                @if let Some(version) = version { span.whole { "version " (version) } " " }
                @if let Some(id) = id { span.code { (id) } }
            }
        }
    }
}

pub(super) fn two_lines(first: &Markup, second: &str) -> Markup {
    html! { (first) small.code { (second) } }
}
