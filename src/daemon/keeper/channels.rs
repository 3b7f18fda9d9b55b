//! Channels at work: what has to move by itself moves, a batch of lines at a time.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::rounds::Rounds;
use crate::{
    daemon::Shared,
    ids::LineId,
    line::{Policy, channels::Target},
    store::{Moved, StoreError},
};

/// So many lines are one transaction.
const BATCH: u32 = 200;

/// Works until `stop`.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let work = async {
        let (mut rounds, mut in_force) = (Rounds::new(), None);
        loop {
            let now = rounds.begin(&shared).await;
            // Whatever a turn does is committed at once: it can end anywhere.
            rounds.end(turn(&shared, &mut in_force, now).await, "channels do not move");
        }
    };
    stop.run_until_cancelled(work).await;
}

/// Moves what is due. `in_force` is the configuration that was looked at last.
async fn turn(
    shared: &Shared,
    in_force: &mut Option<String>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let config = shared.config();
    if in_force.as_ref() != Some(&config.hash) {
        let policies = super::policies(&config);
        let with_channels = policies.into_iter().filter(|(_, policy)| !policy.channels.is_empty());
        let lines: Vec<LineId> = with_channels.map(|(line, _)| line).collect();
        shared.store.queue_channels(&lines).await?;
        *in_force = Some(config.hash.clone());
    }
    let mut policies: Option<BTreeMap<LineId, Policy>> = None;
    loop {
        let lines = shared.store.due_channels(now, BATCH).await?;
        if lines.is_empty() {
            return shared.store.reader().next_channels().await;
        }
        let policies = policies.get_or_insert_with(|| super::policies(&config));
        let declared = |line: &LineId| policies.get(line).map(|policy| policy.channels.as_slice());
        for moved in shared.store.settle_channels(&lines, declared, now).await? {
            log(&moved);
        }
    }
}

/// One line for each move.
pub fn log(moved: &Moved) {
    let (line, who) = (moved.line.as_str(), moved.who.as_str());
    let (channel, why) = (moved.by.channel.as_str(), moved.by.why.as_str());
    match &moved.by.to {
        Target::Image { image_id, version, .. } => {
            let image = image_id.as_str();
            if moved.by.is_loss {
                tracing::warn!(
                    line,
                    channel,
                    image,
                    who,
                    "channel {channel} of {line} goes back to v{version}, {image}: {why}"
                );
            } else {
                tracing::info!(line, channel, image, who, "channel {channel} of {line} is v{version}, {image}: {why}");
            }
        }
        Target::Nothing { .. } => {
            tracing::warn!(line, channel, who, "channel {channel} of {line} is empty: {why}");
        }
        Target::Dropped => tracing::info!(line, channel, who, "channel {channel} of {line} is dropped: {why}"),
    }
}
