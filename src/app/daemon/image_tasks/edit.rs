//! Effect of a configuration edit on existing images, from the history.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{
    judging::{by_line, judge_line},
    policies,
};
use crate::{
    adapters::{
        config::Config,
        store::{ImageRow, Reader, StoreError},
    },
    domain::{
        ids::LineId,
        image::{
            DeletionState, Policy,
            brake::MarkKind,
            change::{Change, drop_channels, matters},
            held::{Coming, Held, HeldFrom, LineToCome},
            judge::is_good,
            passes::NextPass,
            report::Judged,
        },
    },
};

/// Judges the images of all lines that differ between the two configurations by both of them. Without an inventory
/// scan: a later pass may find more users, and a new channel keeps an image once it has moved.
pub async fn change_of_images(
    reader: &Reader,
    old: &Config,
    new: &Config,
    now: DateTime<Utc>,
) -> Result<Change, StoreError> {
    let max_deletions = new.daemon.max_deletions.and_then(|most| usize::try_from(most).ok());
    let (old, new) = (policies::all(old), policies::all(new));
    let lines: BTreeSet<&LineId> = old.keys().chain(new.keys()).collect();
    let lines: Vec<LineId> = lines.into_iter().filter(|line| matters(old.get(line), new.get(line))).cloned().collect();
    let mut change = Change::default();
    if lines.is_empty() {
        return Ok(change);
    }
    let results = reader.newest_results(&lines).await?;
    let mut to_come = BTreeMap::new();
    let problem = reader.last_scan().await?.and_then(|scan| scan.problem);
    for (line, rows) in by_line(reader.present_images(Some(&lines)).await?) {
        let judged = |policy: Option<&Policy>| {
            judge_line(
                &under(&rows, policy),
                policy,
                results.get(&line),
                problem.as_deref(),
                false,
                (now, NextPass::At(now)),
            )
        };
        let after = judged(new.get(&line));
        to_come.insert(line.clone(), coming(&rows, &after));
        for (before, after) in judged(old.get(&line)).iter().zip(after) {
            change.add(before, after);
        }
    }
    let with_rules = new.values().filter(|policy| policy.keep.is_some()).count();
    let held_from = HeldFrom::foresee(&to_come, max_deletions, with_rules);
    for judged in &mut change.going {
        if judged.not_before.is_some_and(|at| held_from.holds(&judged.line, at)) {
            judged.held = Some(Held::Confirmation);
        }
    }
    Ok(change)
}

/// What goes of a line by the new rules: each image that they mark counts for the brake.
fn coming(rows: &[ImageRow], judged: &[Judged]) -> LineToCome {
    let one = |(row, judged): (&ImageRow, &Judged)| {
        let at = judged.not_before.filter(|_| judged.verdict.goes())?;
        let is_marked = matches!(row.image.deletion, DeletionState::Marked { .. });
        let kind = if is_marked { row.mark } else { MarkKind::Counted };
        (kind != MarkKind::Confirmed).then_some(Coming { at, kind, is_marked: true })
    };
    let good = rows.iter().filter(|row| is_good(&row.image)).count();
    LineToCome { coming: rows.iter().zip(judged).filter_map(one).collect(), good, departed: Vec::new() }
}

/// The images with the channels of the new configuration.
fn under(rows: &[ImageRow], policy: Option<&Policy>) -> Vec<ImageRow> {
    let mut rows = rows.to_vec();
    for row in &mut rows {
        drop_channels(&mut row.image, policy);
    }
    rows
}
