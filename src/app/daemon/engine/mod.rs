//! The engine: the one task that advances bakes. It plans due slots, steps due bakes, commits, and only then sends
//! calls.
//!
//! A turn reads only the history and the clock. Its result does not depend on what woke it (its timer, a response, a
//! request), or on earlier turns. Calls run concurrently; their responses come back as events. All steps of a turn are
//! one transaction.

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
mod comparison;
mod credentials;
mod history;
mod outage;
mod requests;
mod status;
mod steps;
mod turn;

pub use self::comparison::{Ground, HistoryAge, NotCompared, Uncompared};
pub use self::credentials::Suspension;
pub use self::history::{LostHistory, StoreFailure, unwritable};
pub use self::requests::{EngineRequest, RequestError};
pub use self::status::{EngineStatus, PlannedLine};

/// While credentials are rejected, one probe call per this time.
const SUSPENSION_PROBE: TimeDelta = TimeDelta::minutes(1);
/// Pause after a failure of the history; the log gets at most six lines a minute.
const STORE_PAUSE: Duration = Duration::from_secs(10);
/// Maximum wait of a started bake, unless the clock was set back while the daemon was down.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(70);
/// Time after which an instance that does not run again is reported in the log and in `status`.
pub(super) const START_TAKES: TimeDelta = TimeDelta::minutes(5);
/// Interval of repeated reports.
const REPEAT_WARNING_AFTER: TimeDelta = TimeDelta::minutes(10);
/// Interval of the engine's timer. Steps of the wall clock do not change it.
const TICK: Duration = Duration::from_secs(1);
/// Maximum number of reported unknown instance states, so that memory stays bounded.
const MOST_UNKNOWN_STATES: usize = 100;
/// Maximum number of due instants that are planned one by one, each in its own transaction, after a time without
/// planning; later ones count as late.
const MOST_PLANNED_LATE: usize = 1000;
/// Number of published future slots.
const UPCOMING: usize = 10;

/// State of the engine.
#[derive(Debug)]
pub struct Engine {
    store: Arc<Store>,
    cloud: Arc<CloudClient>,
    clock: Arc<dyn Clock>,
    planner: Planner,
    pace: PollPolicy,
    limits: Limits,
    config_hash: String,
    /// Executor of hooks.
    folder: Arc<Path>,
    rng: Rng,
    /// Bakes with a call in flight, as of their last commit, and the handle that ends the call.
    in_flight: HashMap<BakeId, (Bake, AbortHandle)>,
    calls: JoinSet<Finished>,
    call_of: HashMap<Id, BakeId>,
    /// Last report of each instance that does not run again.
    last_warned: HashMap<BakeId, DateTime<Utc>>,
    suspension: Option<Suspension>,
    /// Whether new bakes may start; off while draining.
    admitting: bool,
    /// Cancelled while draining: calls that wait for the rate limit and would start something are not sent.
    closing: CancellationToken,
    /// Instants, by its own clock, at which the cloud accepted create calls of followed images: from them the zone of
    /// `GmtCreate` is derived. Lost at a restart; the next image shows it too.
    accepted: HashMap<BakeId, (ImageId, DateTime<Utc>)>,
    /// Shared lists of searches for one slot.
    slot_lists: Arc<SlotLists>,
    /// Zone of `GmtCreate` that images have shown since the last commit.
    taught: Option<GmtOffset>,
    /// Next instant at which a turn can find something to do; `None`: the next tick.
    idle_until: Option<DateTime<Utc>>,
    last_turn: DateTime<Utc>,
    /// Why the history cannot be used, while it cannot.
    store_failure: Option<StoreFailure>,
    /// Prevents everything until history and cloud have been compared.
    uncompared: Option<Uncompared>,
    /// Number of ended outages after which bakes were woken; `None` at the start, which wakes them too.
    outages_handled: Option<u64>,
    /// Admission closed by a quota.
    closed: Option<ClosedAdmission>,
    /// How the queue stands as the history has it.
    queue_kept: Option<QueueState>,
    /// Without planning until the comparison: slots due since then are planned as if one by one.
    planned_late_from: Option<DateTime<Utc>>,
    /// The history's files have lost their names: running bakes end, nothing else happens.
    lost: Option<LostHistory>,
    /// Observations about the clock that are not in the audit yet.
    clock_events: Vec<ClockEvent>,
    /// The stored comparison of the clocks.
    anchor: Option<ClockAnchor>,
    /// Set permanently once the history is another one than before: nothing is sent any more.
    history_went_back: bool,
    /// Reported unknown instance states.
    unknown_states: HashSet<String>,
    /// Whether rarely changing values have been published since their last change.
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
    /// Creates an engine for `config`, with the stored progress of its schedules.
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
        let ground = if store.lineage().must_be_compared() { Ground::NotTheFormer } else { Ground::Start };
        // What only observes makes no version and takes no slot.
        let uncompared = (ground == Ground::NotTheFormer || !cloud.mode().is_observe()).then_some(Uncompared {
            since: now,
            why: None,
            is_reported: false,
            ground,
        });
        let pace = PollPolicy {
            search_until: if store.lineage().searches_first() {
                Some(retry::later(now, config.cloud.lookup_window))
            } else {
                uncompared.as_ref().map(|_| comparison::UNTIL_COMPARED)
            },
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
            suspension: None,
            admitting: true,
            closing: CancellationToken::new(),
            accepted: HashMap::new(),
            slot_lists: Arc::default(),
            taught: None,
            idle_until: None,
            last_turn: now,
            store_failure: None,
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

    /// Runs until `stop`; then starts nothing new, waits at most `drain` for calls in flight and commits their
    /// responses. Fails if the history was replaced by an older one: calls in flight are dropped, and the next start
    /// checks them.
    pub async fn run(
        mut self,
        mut orders: mpsc::Receiver<EngineRequest>,
        stop: CancellationToken,
        drain: Duration,
    ) -> Result<(), StoreError> {
        let mut ticker = tokio::time::interval(TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.history_went_back && !self.is_wound_down().await {
            // In random order: continuous responses must not starve requests and ticks.
            tokio::select! {
                () = stop.cancelled() => break,
                Some(finished) = self.calls.join_next_with_id() => self.take_answers(finished).await,
                order = orders.recv() => match order {
                    Some(order) => self.handle(order).await,
                    None => break,
                },
                _ = ticker.tick() => self.tick().await,
            }
        }
        self.admitting = false;
        self.closing.cancel();
        if self.history_went_back {
            self.calls.shutdown().await;
            return Err(StoreError::WentBack);
        }
        if self.lost.is_some() && !stop.is_cancelled() {
            // No record is left for calls in flight.
            self.calls.shutdown().await;
            return Err(self.store.replaced().unwrap_or(StoreError::WentBack));
        }
        let waiting = self.in_flight.len();
        if waiting > 0 {
            tracing::info!(waiting, "stopping: waiting for running calls");
        }
        let drained = tokio::time::timeout(drain, async {
            while !self.history_went_back {
                tokio::select! {
                    finished = self.calls.join_next_with_id() => match finished {
                        Some(finished) => self.take_answers(finished).await,
                        None => break,
                    },
                    // The watchdog continues.
                    _ = ticker.tick() => self.note_progress(),
                }
            }
        });
        if drained.await.is_err() {
            tracing::warn!(
                waiting = self.in_flight.len(),
                "stopping before every call was answered; the next start finds out what became of them"
            );
        }
        // This kills hooks; they run again at the next start.
        self.calls.shutdown().await;
        self.warn_of_instances_left_stopped().await;
        if self.history_went_back { Err(StoreError::WentBack) } else { Ok(()) }
    }

    /// Runs a turn, unless nothing can be due.
    async fn tick(&mut self) {
        self.watch_clock().await;
        self.probe_outages();
        self.learn_key_owner();
        let now = self.clock.now();
        self.note_progress();
        if let Some(error) = self.store.replaced() {
            self.lose_history(&error, now);
        }
        let quiet = self.idle_until.is_some_and(|until| now < until) && now >= self.last_turn;
        // Another task could not write: a probe checks whether writing is possible.
        let unnoticed = self.store.is_suspect() && self.store_failure.is_none();
        // A history that cannot be used is tried again after its own pause.
        let is_news = self.heed_key_watch(now) && self.store_failure.is_none();
        if !quiet || unnoticed || is_news || self.has_outage_ended() {
            self.turn().await;
        }
        // After the turn: the call of a bake is the better probe.
        self.check_key(now);
    }

    /// For the watchdog and for health, without waking clients that wait for changes.
    fn note_progress(&self) {
        let now = self.clock.now();
        self.publish.send_if_modified(|status| {
            status.ticks += 1;
            status.last_tick_at = Some(now);
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
