//! The one task that moves bakes: it plans what is due, steps the bakes that are due, commits, and only then sends calls.
//!
//! A turn reads the history and the clock and nothing else. Its result does not depend on what woke it (the ticker, an
//! answer, a request), or on what this process did before. Calls run beside it; their answers come back as events. All
//! steps of a turn are one transaction.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, Id, JoinSet},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::{calls::Finished, planner::Planner, slot_lists::SlotLists};
use crate::{
    adapters::{
        cloud::CloudClient,
        config::Config,
        store::{Store, StoreError},
    },
    domain::{
        api::gmt_offset::GmtOffset,
        bake::{
            Bake,
            event::PollPolicy,
            queue::{ClosedAdmission, QueueState},
            retry,
        },
        clock::{
            Clock, shifted,
            watch::{ClockAnchor, ClockEvent},
        },
        ids::{BakeId, ImageId},
        schedule::Schedule,
    },
};

mod admission;
mod calls_in_flight;
mod clock;
mod credentials;
mod history;
mod outage;
mod requests;
mod status;
mod steps;
mod turn;

pub use self::credentials::Suspension;
pub use self::history::{LostHistory, Uncompared};
pub use self::requests::{EngineRequest, NotCompared, RequestError};
pub use self::status::{EngineStatus, PlannedLine};

/// While credentials are rejected, one call in this time is sent to find out whether they still are.
const SUSPENSION_PROBE: TimeDelta = TimeDelta::minutes(1);
/// The engine tries the history again this much after it failed; the log gets at most six lines a minute.
const STORE_PAUSE: Duration = Duration::from_secs(10);
/// No started bake waits longer than this for its next step, unless the clock was set back while the daemon was down.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(70);
/// An instance that does not run this long after it had to be started is reported in the log and in `status`.
pub(super) const START_TAKES: TimeDelta = TimeDelta::minutes(5);
/// The log repeats that report after this time.
const REPEAT_WARNING_AFTER: TimeDelta = TimeDelta::minutes(10);
/// The engine ticks at least this often, also when the ticker is silent.
const OWN_TICK: Duration = Duration::from_secs(2);
/// Unknown states of instances that are reported; a cloud that makes up a new one each time must not fill the memory.
const MOST_UNKNOWN_STATES: usize = 100;
/// So many instants that came due while nothing could be planned are planned one by one, each in a transaction of its own;
/// what comes after them is taken as late.
const MOST_PLANNED_LATE: usize = 1000;
/// How many slots to come are shown.
const UPCOMING: usize = 10;

/// Everything that the engine works with.
#[derive(Debug)]
pub struct Engine {
    store: Arc<Store>,
    cloud: Arc<CloudClient>,
    clock: Arc<dyn Clock>,
    planner: Planner,
    pace: PollPolicy,
    limits: Limits,
    config_hash: String,
    /// Where hooks run.
    folder: Arc<Path>,
    rng: Rng,
    /// Bakes with a call under way, as of their last commit, and what ends the call.
    in_flight: HashMap<BakeId, (Bake, AbortHandle)>,
    calls: JoinSet<Finished>,
    call_of: HashMap<Id, BakeId>,
    /// When the log last reported that an instance does not run again.
    last_warned: HashMap<BakeId, DateTime<Utc>>,
    hold: Option<Suspension>,
    /// Whether new bakes may begin; off while draining.
    admitting: bool,
    /// Cancelled while draining: calls that wait for the rate limit and would begin something do not go out.
    closing: CancellationToken,
    /// When the cloud accepted the create calls whose images are followed, by its own clock: they teach the zone of
    /// `GmtCreate`. Lost at a restart; the next image teaches it, too.
    accepted: HashMap<BakeId, (ImageId, DateTime<Utc>)>,
    /// What searches of one slot share.
    slot_lists: Arc<SlotLists>,
    /// The zone of `GmtCreate` that images have shown since the last commit.
    taught: Option<GmtOffset>,
    /// The next instant at which a turn can find something to do; `None`: the next tick.
    idle_until: Option<DateTime<Utc>>,
    last_turn: DateTime<Utc>,
    /// Since when the history cannot be written.
    store_error_since: Option<DateTime<Utc>>,
    /// What keeps anything from being begun until history and cloud have been compared.
    uncompared: Option<Uncompared>,
    /// How many ended outages of the cloud bakes have been woken after; `None` at the start, which wakes them, too.
    outages_handled: Option<u64>,
    /// What a quota of the account keeps from beginning.
    closed: Option<ClosedAdmission>,
    /// How the queue stands as the history has it.
    queue_kept: Option<QueueState>,
    /// Until it was compared nothing was planned: what came due since then is planned as if it came due one by one.
    planned_late_from: Option<DateTime<Utc>>,
    /// The history's files have lost their names: what was begun is ended, nothing else is.
    lost: Option<LostHistory>,
    /// What became known of the clock and is not in the audit yet.
    clock_events: Vec<ClockEvent>,
    /// The comparison of the clocks that the history has.
    anchor: Option<ClockAnchor>,
    /// Set for good once the history turned out to be another one than the engine worked with: nothing is sent any more.
    history_went_back: bool,
    /// Unknown states of instances that the log has reported.
    unknown_states: HashSet<String>,
    /// Whether what rarely changes has been published since it changed.
    status_published: bool,
    publish: watch::Sender<EngineStatus>,
}

/// Limits of concurrency, and the threshold of the auto-pause.
#[derive(Debug, Clone, Copy)]
struct Limits {
    builders: usize,
    builders_per_region: usize,
    pause_after_failures: u32,
}

impl Engine {
    /// An engine for `config`; takes over what the history knows of its schedules.
    pub async fn new(
        config: &Config,
        store: Arc<Store>,
        cloud: Arc<CloudClient>,
        clock: Arc<dyn Clock>,
        rng: Rng,
    ) -> Result<(Self, watch::Receiver<EngineStatus>), StoreError> {
        let now = clock.now();
        if let Some(written) = store.newest_write().await? {
            cloud.clocks().history_written(written);
        }
        let anchor = store.reader().clock_anchor().await?;
        if let Some(anchor) = &anchor {
            cloud.clocks().resume(anchor);
        }
        store.clamp_wakeups_after_clock_step(now, shifted(now, LONGEST_WAIT)).await?;
        let planner = Planner::adopt(&shared(config), &config.hash, &store, cloud.mode(), cloud.bake_time()).await?;
        // A bake that tried before the restart is asked again.
        let closed = store.reader().closed_admission().await?.map(|closed| ClosedAdmission { trial: None, ..closed });
        let uncompared = store.lineage().must_be_compared().then_some(Uncompared { since: now, why: None });
        let pace = PollPolicy {
            search_until: store.lineage().searches_first().then(|| retry::later(now, config.cloud.lookup_window)),
            gmt_offset: store.reader().gmt_offset().await?,
            ..pace(config)
        };
        let (publish, status) = watch::channel(EngineStatus::default());
        let mut engine = Self {
            store,
            cloud,
            clock,
            planner,
            pace,
            limits: limits(config),
            config_hash: config.hash.clone(),
            folder: config.daemon.state_dir.as_path().into(),
            rng,
            in_flight: HashMap::new(),
            calls: JoinSet::new(),
            call_of: HashMap::new(),
            last_warned: HashMap::new(),
            hold: None,
            admitting: true,
            closing: CancellationToken::new(),
            accepted: HashMap::new(),
            slot_lists: Arc::default(),
            taught: None,
            idle_until: None,
            last_turn: now,
            store_error_since: None,
            uncompared,
            outages_handled: None,
            closed,
            queue_kept: None,
            planned_late_from: None,
            lost: None,
            clock_events: Vec::new(),
            anchor,
            history_went_back: false,
            unknown_states: HashSet::new(),
            status_published: false,
            publish,
        };
        engine.publish_status(None, false);
        Ok((engine, status))
    }

    /// Works until `stop`; then begins nothing new, waits at most `drain` for calls under way and commits their answers.
    /// Fails where the history went back under it: calls under way are dropped, and the next start finds out about them.
    pub async fn run(
        mut self,
        mut orders: mpsc::Receiver<EngineRequest>,
        stop: CancellationToken,
        drain: Duration,
    ) -> Result<(), StoreError> {
        // The ticker goes by the wall clock and is silent while that has been set back; this interval is not.
        let mut own_tick = tokio::time::interval(OWN_TICK);
        own_tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.history_went_back && !self.is_wound_down().await {
            // Not in a fixed order: answers that keep coming must not starve the orders and the ticks.
            tokio::select! {
                () = stop.cancelled() => break,
                Some(finished) = self.calls.join_next_with_id() => self.take_answers(finished).await,
                order = orders.recv() => match order {
                    Some(order) => self.handle(order).await,
                    None => break,
                },
                _ = own_tick.tick() => self.tick().await,
            }
        }
        self.admitting = false;
        self.closing.cancel();
        if self.history_went_back {
            self.calls.shutdown().await;
            return Err(StoreError::WentBack);
        }
        if self.lost.is_some() && !stop.is_cancelled() {
            // Nothing is left that a call could be under way for.
            self.calls.shutdown().await;
            return Err(self.store.replaced().unwrap_or(StoreError::WentBack));
        }
        let waiting = self.in_flight.len();
        if waiting > 0 {
            tracing::info!(waiting, "stopping: waiting for calls under way");
        }
        let drained = tokio::time::timeout(drain, async {
            while !self.history_went_back {
                tokio::select! {
                    finished = self.calls.join_next_with_id() => match finished {
                        Some(finished) => self.take_answers(finished).await,
                        None => break,
                    },
                    // The watchdog goes on counting.
                    _ = own_tick.tick() => self.note_progress(),
                }
            }
        });
        if drained.await.is_err() {
            tracing::warn!(
                waiting = self.in_flight.len(),
                "stopping before every call was answered; the next start finds out what became of them"
            );
        }
        // Hooks are killed by this, and run again at the next start.
        self.calls.shutdown().await;
        self.warn_of_instances_left_stopped().await;
        if self.history_went_back { Err(StoreError::WentBack) } else { Ok(()) }
    }

    /// Runs a turn, unless nothing can be due.
    async fn tick(&mut self) {
        self.watch_clock().await;
        self.probe_outages();
        let now = self.clock.now();
        self.note_progress();
        if let Some(error) = self.store.replaced() {
            self.lose_history(&error, now);
        }
        let quiet = self.idle_until.is_some_and(|until| now < until) && now >= self.last_turn;
        // Somebody else could not write: whether anybody can is not left to the next bake to find out.
        let unnoticed = self.store.is_suspect() && self.store_error_since.is_none();
        if !quiet || unnoticed || self.has_outage_ended() {
            self.turn().await;
        }
    }

    /// For the watchdog and for health, without waking those who wait for changes.
    fn note_progress(&self) {
        let now = self.clock.now();
        self.publish.send_if_modified(|status| {
            status.looks += 1;
            status.last_look = Some(now);
            status.last_tick = Some(Instant::now());
            false
        });
    }
}

fn shared(config: &Config) -> Vec<Arc<Schedule>> {
    config.schedules.clone()
}

fn limits(config: &Config) -> Limits {
    Limits {
        builders: config.daemon.max_builders as usize,
        builders_per_region: config.daemon.max_builders_per_region as usize,
        pause_after_failures: config.daemon.pause_after_failures,
    }
}

fn pace(config: &Config) -> PollPolicy {
    PollPolicy {
        poll_interval: config.cloud.poll_interval,
        lookup_window: config.cloud.lookup_window,
        owner: config.daemon.owner.clone(),
        search_until: None,
        gmt_offset: None,
        clock_skew: TimeDelta::zero(),
        unproven: TimeDelta::zero(),
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod history_tests;
