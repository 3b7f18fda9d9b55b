//! Which images are left out where not all have room: never those that matter most.

use std::collections::HashMap;

use crate::{
    adapters::store::ImageRow,
    domain::{
        ids::LineId,
        image::{judge::Why, report::Judged},
    },
};

/// The order in which images get room, by their places: of each line the newest good one, those that channels point to, and
/// the one to be deleted next; then the others to be deleted, the next one first; then what stays.
pub(super) fn order(images: &[(ImageRow, Judged)]) -> Vec<usize> {
    let mut next: HashMap<&LineId, usize> = HashMap::new();
    let turn = |at: usize| (images[at].1.turn(), images[at].1.version);
    for (at, (row, judged)) in images.iter().enumerate().filter(|(_, (_, judged))| judged.is_going()) {
        let first = next.entry(&row.image.line).or_insert(at);
        if (judged.turn(), judged.version) < turn(*first) {
            *first = at;
        }
    }
    let mut newest: HashMap<&LineId, usize> = HashMap::new();
    for (at, (row, _)) in images.iter().enumerate().filter(|(_, (row, _))| row.is_good()) {
        let best = newest.entry(&row.image.line).or_insert(at);
        if images[*best].0.image.version < row.image.version {
            *best = at;
        }
    }
    let matters = |at: usize| {
        let (row, judged) = &images[at];
        judged.verdict.why().contains(&Why::LastGood)
            || newest.get(&row.image.line) == Some(&at)
            || !row.image.channels.is_empty()
            || next.get(&row.image.line) == Some(&at)
    };
    let mut order: Vec<usize> = (0..images.len()).collect();
    order.sort_by_key(|&at| match (matters(at), images[at].1.is_going()) {
        (true, _) => (0, None),
        (false, true) => (1, Some(turn(at))),
        (false, false) => (2, None),
    });
    order
}

/// What is left out, and the command that shows all; empty if nothing is. `shown` are places, `unread` images were not even read.
pub(super) fn line(images: &[(ImageRow, Judged)], shown: &[usize], unread: usize, command: &str) -> String {
    let more = images.len() - shown.len() + unread;
    let going = images.iter().filter(|(_, judged)| judged.is_going()).count();
    let going = going - shown.iter().filter(|&&at| images[at].1.is_going()).count();
    let what = match (unread, going) {
        (0, 0) => ", which stay".to_owned(),
        (0, _) if going == more => ", to be deleted".to_owned(),
        (0, _) => format!(", {going} of them to be deleted"),
        _ => "; `imagebaked prune --dry-run` shows what is deleted next".to_owned(),
    };
    if more == 0 { String::new() } else { format!("… and {more} more{what}; `{command}` shows all\n") }
}

#[cfg(test)]
#[path = "folding_tests.rs"]
mod tests;
