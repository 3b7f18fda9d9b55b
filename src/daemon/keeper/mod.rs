//! The keeper looks after images once they are made: deletes what goes, copies what is to be elsewhere, moves channels. The
//! engine moves bakes, the keeper moves images; they meet in the ledger only.
//!
//! A turn reads the database and the clock, does what is due, and says when the next turn can find something to do. What
//! woke it does not matter. Whoever is asked to do the same at once (`imagebaked prune`) calls the same functions; one
//! lock keeps two of them apart.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

pub(super) use self::look::scan_problem;
use self::rounds::Rounds;
use super::Shared;
use crate::{
    config::Config,
    ids::LineId,
    line::Policy,
    schedule::Schedule,
    store::{ITSELF, StoreError},
};

pub(super) mod adopt;
pub(super) mod channels;
pub(super) mod distribute;
pub mod edit;
mod look;
pub(super) mod pins;
pub mod prune;
mod rounds;
pub(super) mod users;
pub(super) mod verify;

/// A look at the cloud that was not whole is repeated after this, where the usual pause is not shorter.
const AFTER_PROBLEM: TimeDelta = TimeDelta::minutes(5);

/// Looks at the images until `stop`, and deletes what goes.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let work = async {
        let (mut rounds, mut next_look) = (Rounds::new(&shared), None);
        loop {
            let now = rounds.begin(&shared).await;
            // Whatever a turn is doing is committed before it is done: it can end anywhere.
            rounds.end(turn(&shared, &mut next_look, now).await, "images are not looked after");
        }
    };
    stop.run_until_cancelled(work).await;
}

/// Looks if that is due; answers when it will be due again.
async fn turn(
    shared: &Shared,
    next_look: &mut Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let config = shared.config();
    let pause = TimeDelta::from_std(config.daemon.prune_interval).unwrap_or(TimeDelta::hours(1));
    // A clock that was set back must not put the look off.
    let look = next_look.map_or(now, |next| next.min(now + pause));
    let going = shared.store.reader().next_deletion().await?;
    *next_look = Some(look);
    if now >= going.map_or(look, |going| going.min(look)) {
        let _one_at_a_time = shared.keeping.lock().await;
        let report = prune::pass(shared, &config, prune::Mode::Apply { again: false }, ITSELF).await?;
        let whole = report.is_none_or(|report| report.problem.is_none());
        *next_look = Some(now + if whole { pause } else { pause.min(AFTER_PROBLEM) });
    }
    let going = shared.store.reader().next_deletion().await?.map(|at| at.max(now + TimeDelta::seconds(1)));
    Ok([*next_look, going].into_iter().flatten().min())
}

/// What the file says of each of its lines.
pub(super) fn policies(config: &Config) -> BTreeMap<LineId, Policy> {
    policies_of(config, |_| true)
}

/// What it says of the lines whose images it has anything to say of: ten thousand schedules without rules cost nothing.
fn policies_with_rules(config: &Config) -> BTreeMap<LineId, Policy> {
    policies_of(config, |schedule| {
        schedule.keep.is_some() || !schedule.channels.is_empty() || schedule.max_image_age.is_some()
    })
}

fn policies_of(config: &Config, wanted: impl Fn(&Schedule) -> bool) -> BTreeMap<LineId, Policy> {
    let mut policies = BTreeMap::new();
    for schedule in config.schedules.iter().filter(|schedule| wanted(schedule)) {
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
