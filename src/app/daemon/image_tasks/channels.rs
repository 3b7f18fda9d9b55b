//! Channel task: carries out automatic moves of channels, in batches of lines.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};

use super::{
    adopt,
    pins::{no_image, to_reply},
    policies,
    task_driver::{ImageTask, TaskRun},
};
use crate::{
    adapters::{
        config::{Config, closest},
        control::Reply,
        store::{ChannelOrder, StoreError},
    },
    app::daemon::context::DaemonContext,
    domain::{
        clock::later,
        error::chain,
        ids::{ImageId, InstanceId, LineId},
        image::{Policy, channels::Refused},
        schedule::{Channel, LATEST},
    },
};

/// Lines per transaction.
const BATCH: u32 = 200;
/// Interval of repeated checks while the clock is unconfirmed.
const WAIT_FOR_CLOCK: Duration = Duration::from_secs(2);

/// Carries out the automatic moves of channels.
#[derive(Debug, Default)]
pub(super) struct ChannelTask {
    /// The configuration whose lines were queued last.
    in_force: Option<String>,
}

impl ImageTask for ChannelTask {
    fn name(&self) -> &'static str {
        "channels"
    }

    fn complaint(&self) -> &'static str {
        "channels do not move"
    }

    fn run_once<'a>(&'a mut self, shared: &'a DaemonContext, now: DateTime<Utc>) -> TaskRun<'a> {
        Box::pin(self.move_due(shared, now))
    }
}

impl ChannelTask {
    async fn move_due(
        &mut self,
        shared: &DaemonContext,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let config = shared.config();
        if self.in_force.as_ref() != Some(&config.hash) {
            let with_channels =
                policies::with_rules(&config).into_iter().filter(|(_, policy)| !policy.channels.is_empty());
            let lines: Vec<LineId> = with_channels.map(|(line, _)| line).collect();
            shared.store.queue_channels(&lines).await?;
            self.in_force = Some(config.hash.clone());
        }
        let is_settled = settle(shared, &config).await?;
        let next = shared.store.reader().next_channels().await?;
        // While the clock is unconfirmed, due moves wait for the cloud's next response.
        Ok(if is_settled { next } else { Some(later(now, WAIT_FOR_CLOCK)) })
    }
}

/// Moves every channel that is due; `false` if none may move, because this host's clock is unconfirmed.
pub(super) async fn settle(shared: &DaemonContext, config: &Config) -> Result<bool, StoreError> {
    if shared.cloud.mode().is_observe() {
        return Ok(true);
    }
    let mut declared_by: Option<BTreeMap<LineId, Policy>> = None;
    loop {
        // Without a due line the cloud's time is not needed.
        if shared.store.due_channels(shared.cloud.clocks().cloud_now(), 1).await?.is_empty() {
            return Ok(true);
        }
        let now = match shared.confirm_clocks().await {
            Ok(now) => now,
            Err(blocker) => {
                tracing::debug!(reason = %blocker, "channels do not move: {blocker}");
                return Ok(false);
            }
        };
        let lines = shared.store.due_channels(now, BATCH).await?;
        if lines.is_empty() {
            return Ok(true);
        }
        let policies = declared_by.get_or_insert_with(|| policies::all(config));
        let declared = |line: &LineId| policies.get(line).map(|policy| policy.channels.as_slice());
        shared.store.settle_channels(&lines, declared, now).await?;
    }
}

/// Points a channel to an image on request.
pub async fn promote(
    shared: &DaemonContext,
    image: ImageId,
    channel: String,
    force: bool,
    reason: String,
    who: &str,
) -> Reply {
    let order = |image| ChannelOrder::Promote { image, channel: channel.clone(), force, reason };
    to_reply(on_image(shared, image, Some(&channel), order, who).await)
}

/// Vetoes an image on request.
pub async fn veto(shared: &DaemonContext, image: ImageId, reason: String, who: &str) -> Reply {
    to_reply(on_image(shared, image, None, |image| ChannelOrder::Veto { image, reason }, who).await)
}

/// Removes the veto of an image on request.
pub async fn unveto(shared: &DaemonContext, image: ImageId, who: &str) -> Reply {
    match shared.store.reader().image(&image).await {
        Ok(Some(row)) if row.image.veto.is_none() => Reply::Failed { message: format!("{image} has no veto") },
        Ok(_) => to_reply(on_image(shared, image, None, |image| ChannelOrder::Unveto { image }, who).await),
        Err(error) => Reply::Failed { message: chain(&error) },
    }
}

/// Points a channel of a schedule's line to its former image on request.
pub async fn rollback(
    shared: &DaemonContext,
    schedule: &str,
    instance: Option<&InstanceId>,
    channel: String,
    reason: String,
    who: &str,
) -> Reply {
    let line = match adopt::target(shared, schedule, instance) {
        Ok(target) => target.line,
        Err(reply) => return reply,
    };
    to_reply(
        order(shared, &line, Some(&channel), &ChannelOrder::Rollback { channel: channel.clone(), reason }, who).await,
    )
}

async fn on_image(
    shared: &DaemonContext,
    image: ImageId,
    channel: Option<&str>,
    make: impl FnOnce(ImageId) -> ChannelOrder,
    who: &str,
) -> Result<Reply, StoreError> {
    match shared.store.reader().image(&image).await? {
        None => no_image(shared, &image).await,
        Some(row) => order(shared, &row.image.line, channel, &make(image), who).await,
    }
}

/// Applies a request to one line, whose `channel` must be one that people may move.
async fn order(
    shared: &DaemonContext,
    line: &LineId,
    channel: Option<&str>,
    order: &ChannelOrder,
    who: &str,
) -> Result<Reply, StoreError> {
    let policies = policies::all(&shared.config());
    let declared = policies.get(line).map(|policy| policy.channels.as_slice());
    if let Some(refused) = channel.and_then(|channel| unknown(line, channel, declared)) {
        return Ok(match refused {
            Refused::NoChannel { .. } => Reply::NotFound { message: refused.to_string() },
            refused => Reply::Failed { message: refused.to_string() },
        });
    }
    // The automatic moves that follow use the cloud's time, whatever this host's clock shows.
    match shared.store.order_channels(line, declared, order, who, shared.cloud.clocks().cloud_now()).await? {
        Err(refused) => Ok(Reply::Failed { message: refused.to_string() }),
        Ok(moved) => {
            let mut sentences: Vec<String> = match order {
                ChannelOrder::Promote { .. } | ChannelOrder::Rollback { .. } => vec![],
                ChannelOrder::Veto { image, reason } => vec![format!("Image {image} of {line} is vetoed: {reason}.")],
                ChannelOrder::Unveto { image } => vec![format!("Image {image} of {line} may be used again.")],
            };
            sentences.extend(moved.iter().map(|moved| format!("Channel {moved}.")));
            Ok(Reply::CommandOutput { sentences })
        }
    }
}

/// Why people cannot move `channel`, if they cannot.
fn unknown(line: &LineId, channel: &str, declared: Option<&[Channel]>) -> Option<Refused> {
    if channel == LATEST {
        return Some(Refused::Latest);
    }
    let names = || declared.unwrap_or_default().iter().map(|channel| channel.name.as_str());
    if names().any(|name| name == channel) {
        return None;
    }
    let hint = match closest(channel, names()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if declared.is_none() => Some("the file does not have that line".to_owned()),
        None => None,
    };
    Some(Refused::NoChannel { line: line.to_string(), channel: channel.to_owned(), hint })
}
