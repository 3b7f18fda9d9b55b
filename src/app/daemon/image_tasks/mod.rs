//! The image tasks: they delete images, copy them to other regions and move channels. The engine works on bakes, the image
//! tasks on images; they share only the history.
//!
//! A turn reads the database and the clock, does what is due, and says when the next turn can find something to do. What
//! woke it does not matter. Whoever is asked to do the same at once (`imagebaked prune`) calls the same functions; one
//! lock keeps two of them apart.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

pub(super) use self::inventory_scan::scan_problem;
use self::task_driver::TaskDriver;
use super::context::DaemonContext;
use crate::{
    adapters::{
        config::Config,
        store::{ITSELF, StoreError},
    },
    domain::{ids::LineId, image::Policy, schedule::Schedule},
};

pub(super) mod adopt;
pub(super) mod channels;
mod deletions;
pub(super) mod distribute;
pub mod edit;
mod inventory_scan;
pub(super) mod pins;
pub mod prune;
pub(super) mod strays;
mod task_driver;
pub(super) mod users;
pub(super) mod verify;

/// A look at the cloud that was not whole is repeated after this, where the usual pause is not shorter.
const AFTER_PROBLEM: TimeDelta = TimeDelta::minutes(5);
/// Between two passes that a full image quota asks for.
const BETWEEN_QUOTA_PASSES: TimeDelta = TimeDelta::hours(1);

/// Looks at the images until `stop`, and deletes what goes.
pub(super) async fn run(shared: Arc<DaemonContext>, stop: CancellationToken) {
    let work = async {
        let (mut rounds, mut agenda) = (TaskDriver::new(&shared), Agenda::default());
        loop {
            let now = rounds.begin(&shared).await;
            // Whatever a turn is doing is committed before it is done: it can end anywhere.
            rounds.end(turn(&shared, &mut agenda, now).await, "images are not looked after");
        }
    };
    stop.run_until_cancelled(work).await;
}

/// When the images are looked at.
#[derive(Debug, Default)]
struct Agenda {
    /// The next pass by the clock; `None` before the first.
    next_pass: Option<DateTime<Utc>>,
    /// The last pass that a full image quota asked for.
    quota_pass: Option<DateTime<Utc>>,
    /// The last pass. What was due then and was not deleted waits for the next one.
    judged_at: Option<DateTime<Utc>>,
}

impl Agenda {
    /// When a pass is due because the image quota refused a create call: at once, and at most once an hour.
    fn quota_pass_due(&self, refused_at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let refused_at = refused_at?;
        match self.quota_pass {
            Some(last) if refused_at <= last => None,
            Some(last) => Some(refused_at.max(last + BETWEEN_QUOTA_PASSES)),
            None => Some(refused_at),
        }
    }
}

/// Looks if that is due; answers when it will be due again.
async fn turn(
    shared: &DaemonContext,
    agenda: &mut Agenda,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let (config, reader) = (shared.config(), shared.store.reader());
    let pause = TimeDelta::from_std(config.daemon.prune_interval).unwrap_or(TimeDelta::hours(1));
    // A clock that was set back must not put anything off.
    let pass = agenda.next_pass.map_or(now, |next| next.min(now + pause));
    agenda.judged_at = agenda.judged_at.map(|at| at.min(now));
    agenda.quota_pass = agenda.quota_pass.map(|at| at.min(now));
    let refused_at = shared.engine.borrow().image_quota_refused;
    let for_quota = agenda.quota_pass_due(refused_at);
    let going = reader.next_deletion(agenda.judged_at).await?;
    agenda.next_pass = Some(pass);
    if [Some(pass), going, for_quota].into_iter().flatten().any(|due| now >= due) {
        if for_quota.is_some_and(|due| now >= due) {
            tracing::info!("the image quota is full: what is past its grace is deleted now");
            agenda.quota_pass = Some(now);
        }
        let _one_at_a_time = shared.keeping.lock().await;
        let report = prune::pass(shared, &config, prune::Mode::default(), ITSELF).await?;
        let whole = report.is_none_or(|report| report.problem.is_none());
        agenda.judged_at = Some(now);
        agenda.next_pass = Some(next_pass(now, whole, pause));
    } else if reader.next_search().await?.is_some_and(|search| search <= now) {
        let _one_at_a_time = shared.keeping.lock().await;
        deletions::search(shared, &config, ITSELF).await?;
    }
    let soon = |at: DateTime<Utc>| at.max(now + TimeDelta::seconds(1));
    let going = reader.next_deletion(agenda.judged_at).await?.map(soon);
    let search = reader.next_search().await?.map(soon);
    let for_quota = agenda.quota_pass_due(refused_at);
    Ok([agenda.next_pass, going, search, for_quota].into_iter().flatten().min())
}

/// When the pass after this one is due by the clock.
fn next_pass(now: DateTime<Utc>, whole: bool, pause: TimeDelta) -> DateTime<Utc> {
    now + if whole { pause } else { pause.min(AFTER_PROBLEM) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_image_quota_asks_for_one_pass_per_refusal_and_hour() {
        let minute = |n| DateTime::UNIX_EPOCH + TimeDelta::minutes(n);
        let mut agenda = Agenda::default();
        assert_eq!(agenda.quota_pass_due(None), None);
        assert_eq!(agenda.quota_pass_due(Some(minute(10))), Some(minute(10)));
        agenda.quota_pass = Some(minute(11));
        assert_eq!(agenda.quota_pass_due(Some(minute(10))), None, "the pass came after the refusal");
        assert_eq!(agenda.quota_pass_due(Some(minute(20))), Some(minute(71)));
        assert_eq!(agenda.quota_pass_due(Some(minute(90))), Some(minute(90)));
    }

    #[test]
    fn a_pass_that_did_not_see_everything_is_repeated_after_five_minutes_or_sooner() {
        let now = DateTime::UNIX_EPOCH;
        let minutes = |whole, pause| (next_pass(now, whole, TimeDelta::minutes(pause)) - now).num_minutes();
        assert_eq!([minutes(true, 60), minutes(false, 60), minutes(false, 3)], [60, 5, 3]);
    }
}
