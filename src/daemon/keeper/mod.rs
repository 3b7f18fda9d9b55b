//! The keeper: the one task that looks after images once they are made. The engine moves bakes, the keeper moves images;
//! they meet in the ledger only.
//!
//! A turn reads the database and the clock, does what is due, and says when the next turn can find something to do. What
//! woke it does not matter. Whoever is asked to do the same at once (`imagebaked prune`) calls the same functions; one
//! lock keeps two of them apart.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::{
    config::Config,
    error::chain,
    ids::LineId,
    line::Policy,
    store::{ITSELF, StoreError},
};

pub(super) mod adopt;
pub(super) mod channels;
pub(super) mod distribute;
mod look;
pub(super) mod pins;
pub mod prune;
mod rounds;
pub(super) mod verify;

/// How often the keeper asks itself whether there is something to do; the question costs nothing.
const BEAT: Duration = Duration::from_millis(500);
/// A look at the cloud that was not whole is repeated after this, where the usual pause is not shorter.
const AFTER_PROBLEM: TimeDelta = TimeDelta::minutes(5);
/// After a failure of the database.
const AFTER_STORE_ERROR: TimeDelta = TimeDelta::seconds(30);

/// What the task remembers from turn to turn; nothing is lost with it.
#[derive(Debug, Default)]
struct Memory {
    /// The engine's count of changes at the last turn.
    changes: u64,
    last_turn: Option<DateTime<Utc>>,
    quiet_until: Option<DateTime<Utc>>,
    next_look: Option<DateTime<Utc>>,
}

/// Works until `stop`.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut memory = Memory::default();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = beat.tick() => {}
        }
        let now = shared.clock.now();
        let changes = shared.engine.borrow().changes;
        let set_back = memory.last_turn.is_some_and(|last| now < last);
        let quiet = memory.quiet_until.is_some_and(|until| now < until);
        if quiet && !set_back && changes == memory.changes {
            continue;
        }
        memory.changes = changes;
        memory.last_turn = Some(now);
        if set_back {
            memory.next_look = memory.next_look.map(|next| next.min(now));
        }
        memory.quiet_until = tokio::select! {
            biased;
            // Whatever a turn is doing is committed before it is done: it can end anywhere.
            () = stop.cancelled() => return,
            turned = turn(&shared, &mut memory, now) => match turned {
                Ok(next) => Some(next),
                Err(error) => {
                    tracing::error!(error = chain(&error), "images are not looked after until the ledger can be used");
                    Some(now + AFTER_STORE_ERROR)
                }
            }
        };
    }
}

/// Does what is due; answers when something will be due again.
async fn turn(shared: &Shared, memory: &mut Memory, now: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
    let config = shared.config();
    let pause = TimeDelta::from_std(config.daemon.prune_interval).unwrap_or(TimeDelta::hours(1));
    let going = shared.store.reader().next_deletion().await?;
    let next_look = memory.next_look.unwrap_or(now).min(going.unwrap_or(DateTime::<Utc>::MAX_UTC));
    if now >= next_look {
        let _one_at_a_time = shared.keeping.lock().await;
        let report = prune::pass(shared, &config, prune::Mode::Apply { again: false }, ITSELF).await?;
        // What was seen of the images may move channels.
        shared.stir();
        let whole = report.is_none_or(|report| report.problem.is_none());
        memory.next_look = Some(now + if whole { pause } else { pause.min(AFTER_PROBLEM) });
    }
    let going = shared.store.reader().next_deletion().await?.map(|at| at.max(now + TimeDelta::seconds(1)));
    let next = [memory.next_look, going].into_iter().flatten().min();
    Ok(next.unwrap_or(now + pause))
}

/// What the file says of each of its lines.
pub(super) fn policies(config: &Config) -> BTreeMap<LineId, Policy> {
    let mut policies = BTreeMap::new();
    for schedule in &config.schedules {
        for instance in schedule.instances.as_slice() {
            policies.insert(
                schedule.line(instance),
                Policy {
                    schedule: schedule.name.clone(),
                    zone: schedule.timing.zone(),
                    keep: schedule.keep.clone(),
                    channels: schedule.channels.clone(),
                },
            );
        }
    }
    policies
}

/// The regions that instances of the file are in, whose desktops may use images.
fn regions(config: &Config) -> Vec<String> {
    let regions: HashSet<&str> = config
        .schedules
        .iter()
        .flat_map(|schedule| {
            let settings = &schedule.settings;
            settings.regions.iter().map(String::as_str).chain([settings.instance_region.as_str()])
        })
        .chain([config.cloud.region.as_str()])
        .collect();
    let mut regions: Vec<String> = regions.into_iter().map(str::to_owned).collect();
    regions.sort_unstable();
    regions
}
