//! Effect of a configuration edit on existing images, from the history.

use std::collections::BTreeSet;

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
            Policy,
            change::{Change, drop_channels, matters},
            passes::NextPass,
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
    let (old, new) = (policies::all(old), policies::all(new));
    let lines: BTreeSet<&LineId> = old.keys().chain(new.keys()).collect();
    let lines: Vec<LineId> = lines.into_iter().filter(|line| matters(old.get(line), new.get(line))).cloned().collect();
    let mut change = Change::default();
    if lines.is_empty() {
        return Ok(change);
    }
    let results = reader.newest_results(&lines).await?;
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
        for (before, after) in judged(old.get(&line)).iter().zip(judged(new.get(&line))) {
            change.add(before, after);
        }
    }
    Ok(change)
}

/// The images with the channels of the new configuration.
fn under(rows: &[ImageRow], policy: Option<&Policy>) -> Vec<ImageRow> {
    let mut rows = rows.to_vec();
    for row in &mut rows {
        drop_channels(&mut row.image, policy);
    }
    rows
}
