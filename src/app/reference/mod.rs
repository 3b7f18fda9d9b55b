//! The reference in all its formats, generated from what the program uses: the keys of the reader, the parsed command
//! line, the table of error codes. `tests/reference.rs` checks that the files of `docs/` are up to date.

pub mod man;
pub mod markdown;
pub mod schema;

use std::time::Duration;

use crate::{
    adapters::config::definitions::{Key, Kind},
    domain::time::{length::LONGEST, show_length},
};

/// Accepted values of a key, as text.
fn takes(kind: &Kind) -> String {
    match kind {
        Kind::Text(_) => "a string".to_owned(),
        Kind::OneOf(words) => one_of(words),
        Kind::Integer { min, max } => match i32::try_from(*max) {
            Ok(i32::MAX) => format!("an integer from {min}"),
            _ => format!("an integer from {min} to {max}"),
        },
        Kind::Number { min, max } => format!("a number from {min} to {max}"),
        Kind::Period { min, max } => {
            let least = (*min > Duration::ZERO).then(|| format!(", at least `\"{}\"`", show_length(*min)));
            let most = (*max < LONGEST).then(|| format!(", at most `\"{}\"`", show_length(*max)));
            format!("a duration{}{}", least.unwrap_or_default(), most.unwrap_or_default())
        }
        Kind::PeriodOrNever { min } => {
            format!("{}, or `\"never\"`", takes(&Kind::Period { min: *min, max: LONGEST }))
        }
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::List(of) | Kind::Set { of, min: 0 } => format!("a list of {}", plural(of)),
        Kind::Set { of, min } => format!("a list of {}, at least {min}", plural(of)),
        Kind::OneOrMore(of) => format!("{}, or a list of such", takes(of)),
        Kind::Named { of, max: None } => format!("names, each with {}", takes(of)),
        Kind::Named { of, max: Some(max) } => format!("at most {max} names, each with {}", takes(of)),
        Kind::Table(keys) => format!("a table of {}", names(keys)),
    }
}

fn plural(kind: &Kind) -> String {
    match kind {
        Kind::Text(_) => "strings".to_owned(),
        Kind::Table(keys) => format!("tables of {}", names(keys)),
        Kind::List(of) => format!("lists of {}", plural(of)),
        other => format!("this: {}", takes(other)),
    }
}

fn names(keys: &[Key]) -> String {
    keys.iter().map(|key| format!("`{}`", key.name)).collect::<Vec<_>>().join(", ")
}

fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Tables that are values of keys, each with its key's name.
fn inner_tables(keys: &[Key]) -> impl Iterator<Item = (&Key, &[Key])> {
    keys.iter().filter_map(|key| match &key.kind {
        Kind::Table(inner) => Some((key, inner.as_slice())),
        Kind::List(of) | Kind::Set { of, .. } | Kind::OneOrMore(of) | Kind::Named { of, .. } => match &**of {
            Kind::Table(inner) => Some((key, inner.as_slice())),
            _ => None,
        },
        _ => None,
    })
}
